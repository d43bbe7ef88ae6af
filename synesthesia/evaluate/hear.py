"""The protocols of `evaluate hear` and `evaluate locate`: photos and recordings that taught nothing, and a judge's ear.

What is measured, each with its 95 % bootstrap interval over photos:

- kind by ear: how often the judge (YAMNet, its classes mapped to kinds) hears the photo's kind first, beside its
  accuracy on real held-out recordings of the same kinds and how well the picture alone tells the kind;
- selectivity, two kinds: in a collage of two photos the judge hears more of A in the sound of A's place than in that of
  B's, and the other way round (chance one half);
- distances of all sounds of a row from real held-out recordings, on the judge's scores: kernel (KAD) and Fréchet;
- textures (McDermott & Simoncelli 2011) against a held-out recording of the kind, and copies of training recordings;
- localisation of a recording in collages, with the threshold that the model has fixed beforehand, and retrieval.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from .. import shards
from ..codecs.voice import Voice
from ..data.table import SILENT_KIND
from ..media import resample
from ..metrics import Estimate, bootstrap, copies
from ..metrics.distributions import frechet_distance, kernel_distance
from ..metrics.localisation import iou, pointing, share_above, success_auc
from ..metrics.texture import texture, texture_error
from ..senses import Image, InputError, Region, Sound
from .ear import Ear
from .hear_rows import ROWS, Library, Maker, Shot, all_rows, excerpt

if TYPE_CHECKING:
    pass

SECONDS = 8.0
MOST_PHOTOS = 12  # of a kind that are asked about, and …
MOST_LEARNED = 60  # … of a kind that the baselines look at
SIDE = 224  # of a collage


@runtime_checkable
class Listener(Protocol):
    """Who says how much of each kind is in a sound, clearest first: `ear.Ear`, or anything that hears like it."""

    def kinds(self, sound: Sound) -> dict[str, float]: ...


@dataclass(frozen=True, eq=False)
class Held:
    """Photos and recordings of a split by kind; of photos the larger first."""

    photos: Mapping[str, Sequence[tuple[str, str, Image]]]
    sounds: Mapping[str, Sequence[Sound]]


def read(folder: Path, split: str, most_photos: int, quiet: bool = False) -> Held:
    """What the shards of a split hold; `quiet`: also the photos of what makes no sound."""
    photos: dict[str, list[tuple[str, str, Image]]] = defaultdict(list)
    sounds: dict[str, list[Sound]] = defaultdict(list)
    files = sorted(folder.glob(f"{split}-*.tar"))
    if not files:
        raise InputError(f"{folder} has no shards of the split {split}; make them with `synesthesia data pack`.")
    heard: set[str] = set()
    for path in files:
        for example in shards.examples(path):
            kind, cluster = str(example.truth["kind"]), str(example.truth["cluster"])
            if kind == SILENT_KIND and not quiet:
                continue
            if example.image is not shards.UNSEEN:
                photos[kind].append((example.key, cluster, example.image))
            elif cluster not in heard:  # one take of a recording speaks for it
                heard.add(cluster)
                sound = example.sounds[0]
                sounds[kind].append(Sound(sound.samples * np.float32(str(example.truth.get("scale", 1.0))), sound.rate))
    for found in photos.values():
        found.sort(key=lambda photo: (-min(photo[2].width, photo[2].height), photo[0]))
        del found[most_photos:]
    return Held(dict(photos), dict(sounds))


def library(model: Maker, train: Held) -> Library:
    """What the baselines know: the training photos through the model's eyes, and the training recordings."""
    kinds = [k for k in sorted(train.photos) if train.sounds.get(k)]
    photos = [(k, image) for k in kinds for _, _, image in train.photos[k]]
    images = [image for _, image in photos]
    features = model.patches(images, [Region.whole()] * len(images))
    return Library(features, tuple(k for k, _ in photos), {k: train.sounds[k] for k in kinds})


def shots_of(test: Held, known: Collection[str]) -> list[Shot]:
    """Every held-out photo of a kind that has held-out recordings, asked about as a whole."""
    return [
        Shot(key, image, Region.whole(), kind, cluster)
        for kind in sorted(test.photos) if kind in known and test.sounds.get(kind)
        for key, cluster, image in test.photos[kind]
    ]  # fmt: skip


def _mean(values: np.ndarray, objects: Sequence[str]) -> Estimate:
    return bootstrap(np.array(objects), lambda index: float(values[index].mean()))


def by_ear(
    rows: Mapping[str, Sequence[Sound]], shots: Sequence[Shot], ear: Ear
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """How often each row is heard as its photo's kind, first of all kinds or among three, and the judge's scores."""
    out: dict[str, Any] = {}
    scores: dict[str, np.ndarray] = {}
    photos = [s.cluster for s in shots]
    wanted = sorted({s.kind for s in shots})
    for name, sounds in rows.items():
        heard = [[k for k in ear.kinds(sound) if k in wanted] for sound in sounds]
        scores[name] = np.log10(np.stack([ear.scores(sound).mean(axis=0) for sound in sounds]) + 1e-4)
        first = np.array([h[0] == s.kind for h, s in zip(heard, shots, strict=True)], float)
        three = np.array([s.kind in h[:3] for h, s in zip(heard, shots, strict=True)], float)
        out[name] = {"first": _mean(first, photos).record(), "of_three": _mean(three, photos).record()}
    return out, scores


def pair_up(shots: Sequence[Shot], n: int, seed: int) -> list[tuple[Shot, Shot]]:
    """Pairs of photos of two different kinds, kinds evenly drawn."""
    rng = np.random.default_rng(seed)
    kinds = sorted({s.kind for s in shots})
    by_kind = {k: [s for s in shots if s.kind == k] for k in kinds}
    pairs = []
    for _ in range(n):
        a, b = rng.choice(len(kinds), 2, replace=False)
        one, other = (by_kind[kinds[i]][rng.integers(len(by_kind[kinds[i]]))] for i in (a, b))
        pairs.append((one, other))
    return pairs


def side_by_side(a: Image, b: Image) -> tuple[Image, Region, Region]:
    """Two photos as one picture with a soft seam, and where each of them is."""
    from PIL import Image as Pil

    def square(image: Image) -> np.ndarray:
        side = min(image.width, image.height)
        x, y = (image.width - side) // 2, (image.height - side) // 2
        part = Pil.fromarray(np.asarray(image.pixels)).crop((x, y, x + side, y + side))
        return np.asarray(part.resize((SIDE, SIDE), Pil.Resampling.BICUBIC), np.float64)

    left = 1 / (1 + np.exp((np.arange(2 * SIDE) - SIDE + 0.5) / 6.0))[None, :, None]
    wide = [np.concatenate(pair, axis=1) for pair in ((square(a), square(a)[:, ::-1]), (square(b)[:, ::-1], square(b)))]
    pixels = left * wide[0] + (1 - left) * wide[1]
    mask = np.broadcast_to(left[0, :, 0].astype(np.float32), (SIDE, 2 * SIDE))
    return Image(np.clip(pixels, 0, 255).astype(np.uint8)), Region(mask.copy()), Region(1 - mask)


def selectivity(model: Maker, pairs: Sequence[tuple[Shot, Shot]], ear: Listener, seed: int) -> Estimate:
    """How often the judge hears more of a kind in the sound of its own place than in that of the other place."""
    images, regions, kinds = [], [], []
    for a, b in pairs:
        image, here, there = side_by_side(a.image, b.image)
        images += [image, image]
        regions += [here, there]
        kinds.append((a.kind, b.kind))
    sounds = model.sounds(images, regions, SECONDS, [seed + i for i in range(len(images))])
    heard = [ear.kinds(sound) for sound in sounds]
    own = []
    for i, (a, b) in enumerate(kinds):
        here, there = heard[2 * i], heard[2 * i + 1]
        own += [float(here[a] > there[a]), float(there[b] > here[b])]
    return _mean(np.array(own), [s.cluster for pair in pairs for s in pair])


def evaluate(model: Maker, voice: Voice, folder: Path, judge: Path, seed: int = 0, pairs: int = 100) -> dict[str, Any]:
    """All protocols of `evaluate hear` on the shards of `synesthesia data pack`."""
    ear = Ear(judge)
    train, test = read(folder, "train", MOST_LEARNED), read(folder, "test", MOST_PHOTOS)
    known = library(model, train)
    shots = shots_of(test, known.recordings.keys())
    if not shots:
        raise InputError(f"{folder} has no held-out photos of kinds with training and held-out recordings.")
    rows, told = all_rows(model, shots, known, test.sounds, voice, SECONDS, seed)
    heard, scores = by_ear(rows, shots, ear)
    photos = [s.cluster for s in shots]
    real = scores["real"]
    mels = [copies.log_mel(resample(s, copies.RATE).mono) for k in known.recordings for s in known.recordings[k]]
    other = {
        name: {
            "kad": kernel_distance(real, scores[name]),
            "fad": frechet_distance(real, scores[name]),
            **_textures(rows["real"], rows[name]),
        }
        for name in ROWS if name != "real"
    }  # fmt: skip
    copied = {name: _copied(rows[name], mels, photos) for name in ("model", "real")}
    image_only = {
        way: _mean(np.array([g == s.kind for g, s in zip(guess, shots, strict=True)], float), photos).record()
        for way, guess in told.items()
    }
    return {
        "photos": len(shots),
        "kinds": len({s.kind for s in shots}),
        "seconds": SECONDS,
        "seed": seed,
        "embedding": "log10 of YAMNet's 521 scores, mean over the sound",
        "by_ear": heard,
        "share_of_judge": heard["model"]["first"]["value"] / max(heard["real"]["first"]["value"], 1e-9),
        "image_only": image_only,
        "selectivity": selectivity(model, pair_up(shots, pairs, seed), ear, seed).record(),
        "distances": other,
        "copied": copied,
    }


def _textures(real: Sequence[Sound], made: Sequence[Sound]) -> dict[str, float]:
    """Median differences of texture statistics."""
    errors = [
        texture_error(texture(r.mono, r.rate), texture(m.mono, m.rate))._asdict()
        for r, m in zip(real, made, strict=True)
    ]
    return {f"texture_{name}": float(np.median([e[name] for e in errors])) for name in errors[0]}


def _copied(sounds: Sequence[Sound], known: Sequence[np.ndarray], photos: Sequence[str]) -> dict[str, Any]:
    """The share of one-second windows that stand in any of the known recordings."""
    each = []
    for sound in sounds:
        mel = copies.log_mel(resample(sound, copies.RATE).mono)
        best = np.max([copies.any_lag(mel, other) for other in known], axis=0)
        each.append(float((best > 0.9).mean()))
    return _mean(np.array(each), photos).record()


# --- localisation ----------------------------------------------------------------------------------------------------


def evaluate_locator(model: Any, folder: Path, seed: int = 0, pairs: int = 200) -> dict[str, Any]:
    """All protocols of `evaluate locate`: recordings looked for in pairs of photos, none of which taught anything.

    `model` is a `bridges.grounding.Locator`, or anything with its `see`, `hear`, `find` and `match`.
    """
    test = read(folder, "test", MOST_PHOTOS)
    shots = shots_of(test, test.sounds.keys())
    drawn = pair_up(shots, pairs, seed)
    ious, hits, objects, centre = [], [], [], []
    for i, (a, b) in enumerate(drawn):
        image, here, there = side_by_side(a.image, b.image)
        (seen,) = model.see([image])
        for shot, where in ((a, here), (b, there)):
            recordings = test.sounds[shot.kind]
            sound = excerpt(recordings[i % len(recordings)], SECONDS / 2, seed + i)
            found = model.find(seen, model.hear([sound])[0])
            mask = where.on(*found.heat.shape)
            ious.append(iou(found.heat, mask, model.config.threshold * float(found.heat.max())))
            hits.append(pointing(found.heat, mask))
            objects.append(shot.cluster)
            centre.append(iou(np.ones_like(found.heat), mask, 0.5))
    at = np.array(ious)
    return {
        "pictures": len(drawn),
        "share_iou_half": bootstrap(np.array(objects), lambda k: share_above(at[k])).record(),
        "mean_iou": bootstrap(np.array(objects), lambda k: float(at[k].mean())).record(),
        "auc": success_auc(at),
        "pointing": _mean(np.array(hits), objects).record(),
        "whole_picture_mean_iou": float(np.mean(centre)),
        "retrieval": _retrieval(model, shots, test, seed),
        "threshold": model.config.threshold,
    }


def _retrieval(model: Any, shots: Sequence[Shot], test: Held, seed: int) -> dict[str, Any]:
    """Of one photo and one recording of each kind: how often the right one of all kinds is first, or among five."""
    rng = np.random.default_rng(seed)
    kinds = sorted({s.kind for s in shots})
    right: dict[str, list[float]] = defaultdict(list)
    for _ in range(10):
        photos = [rng.choice([i for i, s in enumerate(shots) if s.kind == k]) for k in kinds]
        sounds = [excerpt(test.sounds[k][int(rng.integers(len(test.sounds[k])))], SECONDS / 2, seed) for k in kinds]
        score = model.match(model.see([shots[i].image for i in photos]), model.hear(sounds))
        for way, table in (("sound_to_photo", score.T), ("photo_to_sound", score)):
            rank = (table > np.diag(score)[:, None]).sum(axis=1)
            right[f"{way}_r1"].append(float((rank < 1).mean()))
            right[f"{way}_r5"].append(float((rank < 5).mean()))
    return {"of": len(kinds), **{name: float(np.mean(values)) for name, values in right.items()}}


def told(result: Mapping[str, Any]) -> str:
    """The main figures of `evaluate`, as a Markdown table."""

    def cell(e: Mapping[str, Any]) -> str:
        return f"{100 * e['value']:.0f} [{100 * e['low']:.0f}, {100 * e['high']:.0f}]"

    lines = [
        f"{result['photos']} held-out photos of {result['kinds']} kinds; {result['seconds']:g} s each.",
        "",
        "| row | kind by ear, first, % | of three, % | KAD | FAD | texture mean, dB |",
        "|---|---|---|---|---|---|",
    ]
    for name in ROWS:
        ear, far = result["by_ear"][name], result["distances"].get(name)
        tail = f"{far['kad']:.1f} | {far['fad']:.1f} | {far['texture_mean']:.1f} |" if far else "– | – | – |"
        lines.append(f"| {name} | {cell(ear['first'])} | {cell(ear['of_three'])} | {tail}")
    lines += ["", f"Share of the judge's accuracy on real recordings: {100 * result['share_of_judge']:.0f} %."]
    lines += [f"Picture alone, {way}: {cell(e)} %." for way, e in result["image_only"].items()]
    lines += [f"Selectivity, two kinds: {cell(result['selectivity'])} %."]
    lines += [f"Copied windows: model {cell(result['copied']['model'])} %, real {cell(result['copied']['real'])} %."]
    return "\n".join(lines)
