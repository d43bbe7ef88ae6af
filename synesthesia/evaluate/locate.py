"""The protocols of `evaluate locate`: recordings looked for in pictures, neither of which taught anything.

In collages, two photos beside two of what makes no sound, a held-out recording of each kind is looked for; in drawn
scenes each source's own sound. The threshold is the one that the model fixed on validation data. The rows beside it
know less: the whole picture, a Gaussian at its centre, a random map, the model's map for another sound. The thresholds
of Gaussian and random map are those with which they do best on this very data, in their favour.

Retrieval asks which of one photo of each kind goes with a recording, and the other way round.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from ..data.pack import BY_KIND, TOGETHER
from ..data.table import SILENT_KIND
from ..metrics import bootstrap, mean
from ..metrics.localisation import best_threshold, iou, pointing, share_above, success_auc
from ..senses import Image, InputError, Region, Sound
from .collage import in_quarters
from .hear import Held, pair_up, read, shots_of
from .hear_clips import Matcher
from .hear_laws import read as read_scenes
from .hear_rows import Shot, excerpt

if TYPE_CHECKING:
    from jaxtyping import Float

SECONDS = 4.0
MOST_PHOTOS = 8  # of a kind
MOST_SOURCES = 40  # of a kind in scenes
ROUNDS = 5  # of retrieval
SPREAD = 0.25  # standard deviation of the Gaussian, in shares of each side
COARSE = 28  # cells of the longer side of the maps on which thresholds are sought


@runtime_checkable
class Finder(Matcher, Protocol):
    """Who also says where in a picture a sound comes from; its `config` has the `threshold` fixed beforehand."""

    config: Any

    def find(self, seen: Any, heard: Any) -> Any: ...


@dataclass(frozen=True, eq=False)
class Question:
    """Where in this picture (its number) is this sound (its number)? `where`: the truth; `kind`: told beside."""

    picture: int
    sound: int
    where: Region
    kind: str
    object: str


def evaluate(
    model: Finder,
    folder: Path,
    *,
    world: Path | None = None,
    seed: int = 0,
    pairs: int = 150,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """All protocols on the shards of `synesthesia data pack` and, where given, a held-out world of scenes."""
    test = read(folder, "test", MOST_PHOTOS, quiet=True)
    shots = shots_of(test, test.sounds.keys())
    tell(f"{len(shots)} photos read")
    result: dict[str, Any] = {"threshold": model.config.threshold, "seed": seed, "pairing": BY_KIND}
    result["collages"] = _where(model, *_collages(test, shots, pairs, seed), seed) | {"pairing": BY_KIND}
    tell(f"{pairs} collages looked at")
    if world is not None:
        result["scenes"] = _where(model, *_scenes(world), seed) | {"pairing": TOGETHER}
        tell("scenes looked at")
    result["retrieval"] = retrieval(model, shots, test, seed)
    tell("retrieval done")
    return result


def _collages(
    test: Held, shots: Sequence[Shot], pairs: int, seed: int
) -> tuple[list[Image], list[Sound], list[Question]]:
    """Two photos and two that make no sound (or others still) as the quarters of one picture, in any order."""
    images: list[Image] = []
    sounds: list[Sound] = []
    asked: list[Question] = []
    number: dict[tuple[str, int], int] = {}
    quiet = [(SILENT_KIND, image) for _, _, image in test.photos.get(SILENT_KIND, ())]
    rng = np.random.default_rng([seed, 3])
    for i, (a, b) in enumerate(pair_up(shots, pairs, seed)):
        rest = quiet if len(quiet) > 1 else [(s.kind, s.image) for s in shots if s.kind not in (a.kind, b.kind)]
        if not rest:
            raise InputError("To look for two kinds among others, there must be photos of silent things or of a third.")
        four = [a.image, b.image, *(rest[k][1] for k in rng.integers(len(rest), size=2))]
        order = rng.permutation(4)
        image, quarters = in_quarters([four[k] for k in order])
        images.append(image)
        for k, shot in enumerate((a, b)):
            where = quarters[int(np.flatnonzero(order == k)[0])]
            take = i % len(test.sounds[shot.kind])
            if (shot.kind, take) not in number:
                number[shot.kind, take] = len(sounds)
                sounds.append(excerpt(test.sounds[shot.kind][take], SECONDS, take))
            asked.append(Question(i, number[shot.kind, take], where, shot.kind, shot.cluster))
    return images, sounds, asked


def _scenes(world: Path) -> tuple[list[Image], list[Sound], list[Question]]:
    sources = read_scenes(world, "test", MOST_SOURCES)
    number: dict[str, int] = {}
    images: list[Image] = []
    for s in sources:
        if s.scene not in number:
            number[s.scene] = len(images)
            images.append(s.image)
    asked = [Question(number[s.scene], k, s.region, s.kind, s.scene) for k, s in enumerate(sources)]
    return images, [audible(s.sound) for s in sources], asked


def audible(sound: Sound, level_db: float = -23.0) -> Sound:
    """The sound at a level at which it can be heard; a world's own levels span from a breeze to thunder."""
    power = float(np.mean(np.square(sound.samples, dtype=np.float64)))
    return Sound(sound.samples * np.float32(10 ** (level_db / 20) / max(np.sqrt(power), 1e-9)), sound.rate)


def _where(
    model: Finder, images: Sequence[Image], sounds: Sequence[Sound], asked: Sequence[Question], seed: int
) -> dict[str, Any]:
    """Every row's answers to the questions, scored."""
    heard = [h for s in sounds for h in model.hear([s])]
    rng = np.random.default_rng(seed)
    # Another sound of another kind for each question, where there is one.
    others = [[q.sound for q in asked if q.kind != question.kind] or [question.sound] for question in asked]
    wrong = [int(rng.choice(o)) for o in others]
    threshold = model.config.threshold
    heats: dict[str, list[np.ndarray]] = defaultdict(list)
    masks: list[np.ndarray] = []
    ious: dict[str, list[float]] = defaultdict(list)
    hits: dict[str, list[float]] = defaultdict(list)
    seen_of: dict[int, Any] = {}
    for question, other in zip(asked, wrong, strict=True):
        if question.picture not in seen_of:
            seen_of = {question.picture: model.see([images[question.picture]])[0]}  # questions come picture by picture
        seen = seen_of[question.picture]
        found = model.find(seen, heard[question.sound]).heat
        mask = question.where.on(*found.shape)
        shuffled = model.find(seen, heard[other]).heat
        for name, heat in (("model", found), ("shuffled", shuffled)):
            ious[name].append(iou(heat, mask, threshold * float(heat.max())))
            hits[name].append(pointing(heat, mask))
        ious["whole"].append(iou(np.ones_like(found), mask, 0.5))
        hits["whole"].append(pointing(np.ones_like(found), mask))
        rows, columns = (max(1, round(COARSE * side / max(found.shape))) for side in found.shape)
        masks.append(question.where.on(rows, columns))
        heats["centre"].append(gaussian(rows, columns))
        heats["random"].append(rng.random((rows, columns)))
    fixed = {name: best_threshold(maps, masks, 20) for name, maps in heats.items()}
    for name, maps in heats.items():
        for heat, mask in zip(maps, masks, strict=True):
            ious[name].append(iou(heat, mask, fixed[name]))
            hits[name].append(pointing(heat, mask))
    objects = np.array([q.object for q in asked])
    kinds = np.array([q.kind for q in asked])
    rows_told = {
        name: _scored(np.array(ious[name]), np.array(hits[name]), objects)
        for name in ("model", "whole", "centre", "random", "shuffled")
    }
    at = np.array(ious["model"])
    return {
        "pictures": len(images),
        "questions": len(asked),
        "rows": rows_told,
        "thresholds": {"model": threshold, **fixed},
        "by_kind": {
            kind: {"n": int((kinds == kind).sum()), "share_iou_half": share_above(at[kinds == kind])}
            for kind in sorted(set(kinds.tolist()))
        },
    }


def gaussian(rows: int, columns: int) -> Float[np.ndarray, "rows columns"]:
    """A map that is 1 at the centre and falls off towards the edges."""
    y, x = ((np.arange(n) + 0.5) / n - 0.5 for n in (rows, columns))
    return np.exp(-(y[:, None] ** 2 + x**2) / (2 * SPREAD**2))


def _scored(ious: np.ndarray, hits: np.ndarray, objects: np.ndarray) -> dict[str, Any]:
    return {
        "share_iou_half": bootstrap(objects, lambda k: share_above(ious[k])).record(),
        "mean_iou": mean(ious, objects).record(),
        "auc": bootstrap(objects, lambda k: success_auc(ious[k]), resamples=300).record(),
        "pointing": mean(hits, objects).record(),
    }


def retrieval(model: Matcher, shots: Sequence[Shot], test: Held, seed: int) -> dict[str, Any]:
    """Of one photo and one recording of each kind: how often the right one of all kinds is first, or among five.

    In several rounds, every photo and recording encoded once; a tie counts half.
    """
    rng = np.random.default_rng(seed)
    kinds = sorted({s.kind for s in shots})
    of = {k: [i for i, s in enumerate(shots) if s.kind == k] for k in kinds}
    draws = [
        ([int(rng.choice(of[k])) for k in kinds], [int(rng.integers(len(test.sounds[k]))) for k in kinds])
        for _ in range(ROUNDS)
    ]
    chosen = sorted({i for photos, _ in draws for i in photos})
    takes = sorted({(k, t) for _, takes in draws for k, t in zip(kinds, takes, strict=True)})
    seen = dict(zip(chosen, model.see([shots[i].image for i in chosen]), strict=True))
    heard = {(k, t): model.hear([excerpt(test.sounds[k][t], SECONDS, t)])[0] for k, t in takes}
    right: dict[str, list[float]] = defaultdict(list)
    objects: dict[str, list[str]] = defaultdict(list)
    for photos, take in draws:
        score = model.match([seen[i] for i in photos], [heard[key] for key in zip(kinds, take, strict=True)])
        recorded = [f"{k} {t}" for k, t in zip(kinds, take, strict=True)]
        shown = [shots[i].cluster for i in photos]
        for way, table, owner in (("sound_to_photo", score.T, recorded), ("photo_to_sound", score, shown)):
            own = np.diag(table)[:, None]
            rank = (table > own).sum(axis=1) + 0.5 * ((table == own).sum(axis=1) - 1)
            for name, limit in (("r1", 1), ("r5", 5)):
                right[f"{way}_{name}"] += (rank < limit).astype(float).tolist()
                objects[f"{way}_{name}"] += owner
    told: Mapping[str, Any] = {name: mean(np.array(values), objects[name]).record() for name, values in right.items()}
    return {"of": len(kinds), "chance_r1": 1 / len(kinds), "chance_r5": 5 / len(kinds), **told}


def table(result: Mapping[str, Any]) -> str:
    """The figures as Markdown."""

    def cell(e: Mapping[str, Any]) -> str:
        low, high = (0.0 if e[k] is None else e[k] for k in ("low", "high"))
        return "–" if e["value"] is None else f"{100 * e['value']:.0f} [{100 * low:.0f}, {100 * high:.0f}]"

    lines = []
    for name in ("collages", "scenes"):
        if name not in result:
            continue
        part = result[name]
        lines += [
            f"{name}, {part['pairing']}: {part['questions']} sounds looked for in {part['pictures']} pictures",
            "",
            "| row | IoU ≥ .5, % | mean IoU, % | AUC, % | pointing game, % |",
            "|---|---|---|---|---|",
            *(
                f"| {row} | {cell(e['share_iou_half'])} | {cell(e['mean_iou'])} | {cell(e['auc'])} | "
                f"{cell(e['pointing'])} |"
                for row, e in part["rows"].items()
            ),
            "",
        ]
    r = result["retrieval"]
    lines += [
        f"Retrieval among {r['of']} (chance R@1 {100 * r['chance_r1']:.0f} %, R@5 {100 * r['chance_r5']:.0f} %): "
        + ", ".join(f"{k} {cell(e)} %" for k, e in r.items() if isinstance(e, Mapping))
        + "."
    ]
    return "\n".join(lines)
