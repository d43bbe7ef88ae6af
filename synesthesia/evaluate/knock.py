"""The protocol of `evaluate knock`: one model against known truth, a judge's ear, and baselines that must be beaten.

Every figure has a 95 % bootstrap interval over objects (shapes), not over strikes, and its n. What is measured:

- *from the photo alone*: the model is told the click, nothing else, unless a row says otherwise.
- by ear: the judge's verdict on the sound, beside its verdict on the true sounds.
- pitch, mode ratios, decay, mode distance: from the modes that the model says it made; interventions also from the
  rendered waveform.
- oracle on visible evidence: see `baselines.Bank.oracle`. Where the size can be read off the picture it makes no
  error at all, so the model is held against it on the pictures without a scale cue.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import metrics
from ..metrics import bootstrap
from ..physics.materials import GROUPS
from ..senses import SUPPORTS, InputError
from . import baselines
from .baselines import Answer, Bank, Item
from .interventions import intervention_lines
from .photos import photo_lines
from .protocol import (
    BATCH,
    ENDINGS,
    MEDOIDS,
    RATE,
    ROWS,
    SECONDS,
    SPLITS,
    Ear,
    Heard,
    Model,
    choose,
    collect,
    line,
    look,
    mean,
    median,
    model_answers,
    modes_of,
    nothing,
    play,
    pooled,
    rows_of,
    score,
    summarise,
    take,
    think,
    told_by,
)

RATIOS = 8  # mode ratios f_k/f_1 up to this k
CLEAR = 0.6  # a code stands for a group when at least this share of its pictures is of that group
IN_USE = 0.03  # and counts as used above this share

# --------------------------------------------------------------------------------------------------------- protocols


def pitch_lines(model: Model, heard: Heard, bank: Bank, seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """First mode, mode ratios and coverage: the lines of the table, and the numbers beside them."""
    items, shapes = heard.items, heard.shapes
    true = np.array([i.frequency.min() for i in items])
    given = think(model, heard.seen, items, given=True)
    errors = {
        "given": np.abs(metrics.cents(true, np.asarray(given.frequency)[:, 0])),
        "photo": np.abs(metrics.cents(true, np.asarray(heard.physics.frequency)[:, 0])),
        "oracle": np.abs(metrics.cents(true, np.array([bank.oracle(i).frequency.min() for i in items]))),
        "family_mean": np.abs(metrics.cents(true, np.array([bank.family_pitch(i.family) for i in items]))),
    }
    cue = np.array([i.scale_cue for i in items])
    beside = {
        name: {
            "all": median(e, shapes, seed).record(),
            "scale_cue": median(e[cue], shapes[cue], seed).record(),
            "no_scale_cue": median(e[~cue], shapes[~cue], seed).record(),
        }
        for name, e in errors.items()
    }
    f1_given, f1_photo = median(errors["given"], shapes, seed), median(errors["photo"], shapes, seed)
    blind = ~cue
    times_oracle = bootstrap(
        shapes[blind],
        lambda i: float(np.median(errors["photo"][blind][i]) / max(np.median(errors["oracle"][blind][i]), 1e-9)),
        seed=seed,
    )

    def ratios(physics: Any) -> tuple[np.ndarray, np.ndarray]:
        cents, owners = [], []
        for k, i in enumerate(items):
            f, g = np.sort(i.frequency), np.sort(np.asarray(physics.frequency)[k])
            top = min(RATIOS, len(f), len(g))
            cents += list(np.abs(metrics.cents(f[1:top] / f[0], g[1:top] / g[0])))
            owners += [i.shape] * (top - 1)
        return np.array(cents), np.array(owners)

    ratio = median(*ratios(heard.physics), seed)
    beside["ratios_given"] = {"all": median(*ratios(given), seed).record()}

    log_true = np.log(true)
    inside = metrics.covered(log_true, np.asarray(heard.physics.log_f1_mean), np.asarray(heard.physics.log_f1_std))
    inside_given = metrics.covered(log_true, np.asarray(given.log_f1_mean), np.asarray(given.log_f1_std))
    covers = mean(inside.astype(float), shapes, seed)
    beside["coverage"] = {
        "all": covers.record(),
        "scale_cue": mean(inside[cue].astype(float), shapes[cue], seed).record(),
        "no_scale_cue": mean(inside[blind].astype(float), shapes[blind], seed).record(),
        "given": mean(inside_given.astype(float), shapes, seed).record(),
    }
    lines = [
        line("f1_given", f1_given, f1_given.value <= 150, f1_given.value <= 50),
        line(
            "f1_photo", f1_photo, f1_photo.value <= 350, times_oracle.value <= 1.2, times_oracle=times_oracle.record()
        ),
        line("ratios", ratio, ratio.value <= 120, ratio.value <= 50),
        line("coverage", covers, 0.7 <= covers.value <= 0.9, 0.78 <= covers.value <= 0.82),
    ]
    return lines, beside


def ear_line(heard: Heard, scores: Mapping[str, Mapping[str, np.ndarray]], seed: int) -> dict[str, Any]:
    """By ear: the judge's accuracy on the model's sounds as a share of its accuracy on the true ones."""
    ours, true = scores["model"]["right"], scores["truth"]["right"]
    share = bootstrap(heard.shapes, lambda i: float(ours[i].mean() / max(true[i].mean(), 1e-9)), seed=seed)
    return line(
        "by_ear",
        share,
        share.value >= 0.85,
        share.value >= 0.98,
        accuracy=mean(ours, heard.shapes, seed).record(),
        ceiling=mean(true, heard.shapes, seed).record(),
        by_support={
            support: {
                "accuracy": mean(ours[at], heard.shapes[at], seed).record(),
                "ceiling": mean(true[at], heard.shapes[at], seed).record(),
            }
            for support in SUPPORTS
            for at in [np.array([i.support == support for i in heard.items])]
            if at.any()
        },
    )


def decay_line(heard: Heard, seed: int) -> dict[str, Any]:
    errors, owners = [], []
    for i, a in zip(heard.items, model_answers(heard), strict=True):
        e = metrics.octave_decay_errors(*modes_of(i, a)[:5])
        errors += list(e)
        owners += [i.shape] * len(e)
    found = median(np.array(errors), np.array(owners), seed)
    return line("decay", found, found.value <= 0.35, found.value <= 0.2)


def distance_lines(heard: Heard, scores: Mapping[str, Mapping[str, np.ndarray]], seed: int) -> list[dict[str, Any]]:
    """The four distances against the three medoids: mean, with the medoids' own means and intervals beside."""
    lines = []
    for name in ("mode_distance", "mode_distance_aligned", "lsd", "lsd_aligned"):
        ours = mean(scores["model"][name], heard.shapes, seed)
        others = {m: mean(scores[m][name], heard.shapes, seed) for m in MEDOIDS}
        apart = all(ours.high < o.low for o in others.values())
        half = ours.value <= 0.5 * others["cascade"].value
        lines.append(line(name, ours, apart, half, medoids={m: o.record() for m, o in others.items()}))
    return lines


def codes_of(probs: Any) -> np.ndarray:
    return np.asarray(probs, dtype=float).argmax(axis=-1)


def codebook_lines(
    model: Model, heard: Heard, judge: Ear, seed: int, most: int = 60
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Do picture and sound get the same code, do codes mean materials, and is a swapped code heard as its material?

    Swapping: every code in use with a clear majority group is given to objects of other groups (at most `most`
    objects, evenly spread); the judge must hear the code's group.
    """
    items, shapes = heard.items, heard.shapes
    by_eye = np.asarray(heard.physics.code).astype(int)
    count = np.asarray(heard.physics.code_probs).shape[-1]
    true_sounds = [i.sound for i in items]
    by_ear = np.concatenate(
        [codes_of(model.hear_code(true_sounds[k : k + BATCH])) for k in range(0, len(items), BATCH)]
    )
    groups = np.array([i.group for i in items])
    agreement = bootstrap(shapes, lambda i: metrics.kappa(by_eye[i], by_ear[i]), seed=seed)
    nmi = bootstrap(shapes, lambda i: metrics.nmi(by_eye[i], groups[i]), seed=seed)
    share, share_ear = metrics.usage(by_eye, count), metrics.usage(by_ear, count)
    used = int((share > IN_USE).sum())
    healthy = used >= 8 and nmi.value >= 0.5
    names = sorted(set(groups))
    majority: dict[int, str] = {}
    for code in range(count):
        own = groups[by_eye == code]
        if len(own) and share[code] > IN_USE:
            shares = [(float((own == g).mean()), g) for g in names]
            if max(shares)[0] >= CLEAR:
                majority[code] = max(shares)[1]

    chosen = np.linspace(0, len(items) - 1, min(most, len(items))).astype(int)
    hits: list[float] = []
    owners: list[str] = []
    for code, target in majority.items():
        members = [int(k) for k in chosen if groups[k] != target]
        if not members:
            continue
        swapped = take(heard.physics, members).with_(code=code)
        told = judge.groups(play(model, swapped, [items[k] for k in members], seed))
        hits += [float(t == target) for t in told]
        owners += [items[k].shape for k in members]
    flips = mean(np.array(hits), np.array(owners), seed) if hits else nothing()
    lines = [
        line("kappa", agreement, agreement.value >= 0.5 and healthy, agreement.value >= 0.85 and healthy),
        line("swap", flips, flips.value >= 0.8, flips.value >= 0.95),
    ]
    beside = {
        "codes_in_use": used,
        "nmi_with_group": nmi.record(),
        "nmi_with_group_by_ear": bootstrap(shapes, lambda i: metrics.nmi(by_ear[i], groups[i]), seed=seed).record(),
        "perplexity": {"image": metrics.perplexity(share), "sound": metrics.perplexity(share_ear)},
        "usage": {"image": share.tolist(), "sound": share_ear.tolist()},
        "majority_group": {str(c): g for c, g in majority.items()},
        "table": {g: np.bincount(by_eye[groups == g], minlength=count).tolist() for g in names},
    }
    return lines, beside


def token_line(heard: Heard, seed: int) -> dict[str, Any]:
    """Rank correlation of the tokens, from the photo alone, with the truth; the line is the least of the four.

    Hollow is a yes or no in truth, so the token's yes or no (> ½) is ranked: against two values, probabilities without
    ties could not pass √3/2 even if they were never wrong.
    """
    p, items = heard.physics, heard.items
    pairs = {
        "wave_speed_squared": (np.asarray(p.wave_speed) ** 2, np.array([i.wave_speed**2 for i in items])),
        "loss": (np.asarray(p.loss), np.array([i.loss for i in items])),
        "mass": (np.asarray(p.mass), np.array([i.mass for i in items])),
        "hollow": ((np.asarray(p.hollow) > 0.5).astype(float), np.array([float(i.hollow) for i in items])),
    }
    each = {
        n: bootstrap(heard.shapes, lambda i, a=a, b=b: metrics.spearman(a[i], b[i]), seed=seed)
        for n, (a, b) in pairs.items()
    }
    least = min(each.values(), key=lambda e: e.value if math.isfinite(e.value) else math.inf)
    finite = all(math.isfinite(e.value) for e in each.values())
    return line(
        "tokens",
        least,
        finite and least.value >= 0.7,
        finite and least.value >= 0.9,
        each={n: e.record() for n, e in each.items()},
    )


def shuffle_line(heard: Heard, seed: int) -> dict[str, Any]:
    """How much worse the modes fit when every object is given the tokens of another."""
    answers = model_answers(heard)
    order = baselines.derangement([i.shape for i in heard.items], seed + 1)

    def distance(item: Item, a: Answer) -> float:
        return metrics.mode_distance(*modes_of(item, a)).total

    own = np.array([distance(i, a) for i, a in zip(heard.items, answers, strict=True)])
    other = np.array([distance(i, answers[int(k)]) for i, k in zip(heard.items, order, strict=True)])
    grows = bootstrap(heard.shapes, lambda i: float(other[i].mean() / max(own[i].mean(), 1e-9)), seed=seed)
    return line("shuffled", grows, grows.value >= 1.5, grows.value >= 2.0)


def coating_line(combinations: Heard, plain: Heard, seed: int) -> dict[str, Any]:
    """Unseen material/coating pairs against bare objects of the same group and support: whose sound lasts longer?

    Decay times are compared at the geometric mean of the two objects' first modes, true and predicted alike. Pairs that
    physics itself puts within 10 % of each other have no order and are left out. Resampled over the coated objects.
    """
    bare = [k for k, i in enumerate(plain.items) if i.coating == "none"]
    thought_c, thought_p = model_answers(combinations), model_answers(plain)
    right: list[float] = []
    owners: list[str] = []
    for k, i in enumerate(combinations.items):
        if i.coating == "none":
            continue
        for j in bare:
            other = plain.items[j]
            if (other.group, other.support) != (i.group, i.support):
                continue
            at = np.array([math.sqrt(i.frequency.min() * other.frequency.min())])

            def difference(a: Any, b: Any, at: np.ndarray = at) -> float:
                return math.log(metrics.t60_at(a.frequency, a.t60, at)[0] / metrics.t60_at(b.frequency, b.t60, at)[0])

            truly = difference(i, other)
            if abs(truly) > math.log(1.1):
                right.append(float(np.sign(difference(thought_c[k], thought_p[j])) == np.sign(truly)))
                owners.append(i.shape)
    ordered = mean(np.array(right), np.array(owners), seed) if right else nothing()
    return line("coatings", ordered, ordered.value >= 0.8, ordered.value >= 0.95)


# ------------------------------------------------------------------------------------------------------ everything


def evaluate(
    model: Model,
    world: Path,
    photos: Path | None,
    train_world: Path,
    judge: Ear,
    out: Path,
    *,
    n: int | None = None,
    n_train: int = 2000,
    seed: int = 0,
    row: str = "knock",
    learned: str = "pairs",
    stages: Mapping[str, Model] | None = None,
    bench: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure a knock model on a world's test splits and, where given, on real photos; write the report.

    `world` and `train_world` are folders of shards; of `world` the splits `SPLITS` are used (at most `n` pictures of
    each), of `train_world` at most `n_train` pictures of the split "train", for the baselines only. `row` names the
    model in the report, `learned` what it had of real photos (`photos.LEARNED`); `stages` are models that had less,
    each measured on the photos alone; `bench` is what `synesthesia bench knock` measured, passed through. Writes
    `report.json` and `page.html` into `out` and returns what is in `report.json`. Raises InputError when a world lacks
    what is needed.
    """
    from .. import shards
    from . import report

    test = choose(shards.examples(world, ENDINGS), SPLITS, n, seed)
    if not test["objects"]:
        raise InputError(f"{world} holds no examples of the split 'objects'; make them with `synesthesia world knock`.")
    known = choose(shards.examples(train_world, ENDINGS), ("train",), n_train, seed)["train"]
    bank = Bank([baselines.item(e) for e in known], pooled(look(model, [e.image for e in known])))

    splits = {name: collect(model, examples, seed) for name, examples in test.items() if examples}
    answers = {name: rows_of(heard, bank, seed) for name, heard in splits.items()}
    told = {name: told_by(judge, rows) for name, rows in answers.items()}
    scores = {
        name: {r: score(heard.items, answers[name][r], told[name][r]) for r in ROWS} for name, heard in splits.items()
    }
    heard, scored = splits["objects"], scores["objects"]

    pitch, pitch_beside = pitch_lines(model, heard, bank, seed)
    codes, codes_beside = codebook_lines(model, heard, judge, seed)
    moves, moves_beside = intervention_lines(model, heard, seed)
    table = [
        ear_line(heard, scored, seed),
        *pitch,
        decay_line(heard, seed),
        *distance_lines(heard, scored, seed),
        *codes,
        *moves,
        token_line(heard, seed),
        shuffle_line(heard, seed),
    ]
    if "combinations" in splits:
        table.append(coating_line(splits["combinations"], heard, seed))
    photos_beside: dict[str, Any] = {}
    if photos is not None:
        photo, photos_beside[learned] = photo_lines(model, photos, judge, seed, learned, n)
        table.append(photo)
        for name, earlier in (stages or {}).items():
            photo, photos_beside[name] = photo_lines(earlier, photos, judge, seed, name, n)
            table.append(photo)
    galleries = {name: beside.pop("gallery") for name, beside in photos_beside.items()}

    result: dict[str, Any] = {
        "row": row,
        "protocol": {
            "seed": seed,
            "resamples": 1000,
            "interval": "95 % percentile bootstrap over objects",
            "rate": RATE,
            "seconds": SECONDS,
            "pictures": {name: len(h.items) for name, h in splits.items()},
            "objects": {name: len(set(h.shapes)) for name, h in splits.items()},
            "pictures_train": len(known),
            "judge": judge.sha256,
        },
        "judge": judge.ceiling,
        "table": table,
        "pitch": pitch_beside,
        "codebook": codes_beside,
        "interventions": moves_beside,
        "splits": {
            name: {r: summarise(splits[name].items, s, seed) for r, s in rows.items()} for name, rows in scores.items()
        },
        "by_ear_confusion": {r: confusion(heard.items, told["objects"][r]) for r in ("truth", "model")},
        "photos": photos_beside,
        "bench": bench,
    }
    report.write(out, result, showcase(splits, answers, told, bank), galleries.get(learned, []))
    return result


def confusion(items: Sequence[Item], told: Sequence[str]) -> dict[str, dict[str, int]]:
    """How often each true group is heard as each group."""
    return {
        a: {b: sum(i.group == a and t == b for i, t in zip(items, told, strict=True)) for b in GROUPS} for a in GROUPS
    }


def showcase(
    splits: Mapping[str, Heard],
    answers: Mapping[str, Mapping[str, list[Answer]]],
    told: Mapping[str, Mapping[str, list[str]]],
    bank: Bank,
    each: int = 4,
) -> list[dict[str, Any]]:
    """A few pictures of every split with what can be heard: truth, model, KNN medoid, cascade and its caption."""
    shown = []
    for name, heard in splits.items():
        for k in np.linspace(0, len(heard.items) - 1, min(each, len(heard.items))).astype(int):
            caption = bank.captions(heard.pooled[k : k + 1])[0]
            rows = ("truth", "model", "knn3", "cascade")
            i = heard.items[k]
            shown.append(
                {
                    "split": name,
                    "image": heard.images[k],
                    "point": i.point,
                    "truth": f"{i.material} {i.family}, {100 * i.size:.0f} cm, {i.support}, "
                    f"coating: {i.coating}, {i.f1:.0f} Hz",
                    "caption": " ".join(caption.values()),
                    "sounds": {r: (answers[name][r][k].sound, told[name][r][k]) for r in rows},
                }
            )
    return shown
