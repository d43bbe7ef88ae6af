"""The protocols of `evaluate hear`: photos, recordings, scenes and clips that taught nothing, and two judges' ears.

What is measured, each with its 95 % bootstrap interval over photos (scenes, clips); two judges, YAMNet and our own
(`hear_judge`), and the report says which:

- kind by ear: how often a judge hears the photo's kind first, beside its accuracy on real held-out recordings of the
  same kinds and how well the picture alone tells the kind;
- selectivity, two kinds: in a collage of two photos a judge hears more of A in the sound of A's place than in that of
  B's, and the other way round (chance one half); one kind twice and the laws behind it: `hear_laws`;
- distances of all sounds of a row from real held-out recordings in each judge's space: kernel (KAD) and Fréchet;
- textures (McDermott & Simoncelli 2011) and mean latents against a held-out recording of the kind; copies of training
  recordings, beside what real recordings of others have in common with them;
- whether the parts of a scene add up to their mix, and larger things are louder, and whether the parts that are found
  without a click are the sources of drawn scenes; speed; real clips: `hear_clips`.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import shards
from ..codecs.voice import Voice
from ..data.pack import BY_KIND
from ..data.table import SILENT_KIND
from ..media import resample
from ..metrics import Estimate, bootstrap, copies, mean, spearman
from ..metrics.distributions import discrepancy, frechet_distance, kernels
from ..metrics.localisation import iou
from ..metrics.texture import Texture, texture, texture_error
from ..senses import Image, InputError, Point, Region, Sound
from . import hear_clips, hear_judge, hear_laws
from .collage import side_by_side
from .ear import Ear, Judge, Listener
from .hear_rows import ROWS, Cascade, Chorus, Library, Maker, Neighbour, Rival, Shot, all_rows, colour

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from ..bridges.hearing import Hearing

SECONDS = 5.0
SHORT = 4.0  # seconds of each sound in pairs, and in scenes
MOST_PHOTOS = 6  # of a kind that are asked about, and …
MOST_LEARNED = 30  # … of a kind that the baselines look at
MOST_COMPARED = 100  # photos whose textures and latents are compared
MIXES = 16  # pictures that are heard as a whole
GRID = 112  # rows and columns on which parts are compared with masks
COPY = 0.9  # correlation from which a second counts as a copy
RIVALS = ("neighbour", "cascade")


EMBEDDINGS = {
    "yamnet": "log10 of YAMNet's 521 scores, mean over the sound",
    "own": "scores for kinds of our own judge, taught by the split judge, mean over looks of 2 s",
}


# --- what is read ----------------------------------------------------------------------------------------------------


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


def every(folder: Path) -> Iterator[Sound]:
    """All recordings that were there to learn from, in every take and piece."""
    for path in sorted(folder.glob("train-*.tar")):
        for example in shards.examples(path, only={"json", "hit0.flac"}):
            yield from example.sounds


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


# --- kind by ear -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What a judge heard of a row's sounds: whether the wanted kind came first, or among three; and where they lie."""

    first: Float[np.ndarray, " n"]
    three: Float[np.ndarray, " n"]
    place: Float[np.ndarray, "n d"]


def verdicts(judge: Judge, rows: Mapping[str, Sequence[Sound]], shots: Sequence[Shot]) -> dict[str, Verdicts]:
    """Every row as a judge hears it, among the kinds that the shots are of; a sound in several rows is heard once."""
    wanted = {s.kind for s in shots}
    memo: dict[int, tuple[list[str], np.ndarray]] = {}

    def one(sound: Sound) -> tuple[list[str], np.ndarray]:
        if id(sound) not in memo:
            kinds, place = judge.listen(sound)
            memo[id(sound)] = [k for k in kinds if k in wanted], place
        return memo[id(sound)]

    out = {}
    for name, sounds in rows.items():
        heard = [one(sound) for sound in sounds]
        pairs = list(zip((h for h, _ in heard), shots, strict=True))
        out[name] = Verdicts(
            np.array([h[:1] == [s.kind] for h, s in pairs], float),
            np.array([s.kind in h[:3] for h, s in pairs], float),
            np.stack([place for _, place in heard]),
        )
    return out


def by_ear(heard: Mapping[str, Verdicts], shots: Sequence[Shot]) -> dict[str, Any]:
    """How often each row is heard as its photo's kind, the model's share of the real recordings', and its leads."""
    photos = [s.cluster for s in shots]
    model, real = heard["model"].first, heard["real"].first
    return {
        "rows": {
            name: {"first": mean(v.first, photos).record(), "of_three": mean(v.three, photos).record()}
            for name, v in heard.items()
        },
        "share": bootstrap(
            np.array(photos), lambda k: float(model[k].mean() / real[k].mean()) if real[k].any() else math.nan
        ).record(),
        "lead": {name: mean(model - heard[name].first, photos).record() for name in RIVALS},
    }


def distances(heard: Mapping[str, Verdicts], shots: Sequence[Shot]) -> dict[str, Any]:
    """KAD and FAD of each row from the real recordings, and by how much the model is nearer than its rivals."""
    photos = np.array([s.cluster for s in shots])
    real = heard["real"].place
    table = {name: kernels(real, v.place) for name, v in heard.items() if name != "real"}
    n = len(photos)

    def kad(name: str) -> Callable[[np.ndarray], float]:
        def of(index: np.ndarray) -> float:
            count = np.bincount(index, minlength=n).astype(float)
            return discrepancy(table[name], count, count, paired=True)

        return of

    def nearer(name: str) -> Callable[[np.ndarray], float]:
        one, other = kad(name), kad("model")
        return lambda index: one(index) - other(index)

    return {
        "rows": {
            name: {
                "kad": bootstrap(photos, kad(name), resamples=200).record(),
                "fad": frechet_distance(real, heard[name].place),
            }
            for name in table
        },
        "lead": {name: bootstrap(photos, nearer(name), resamples=200).record() for name in RIVALS},
    }


def recordings(judge: Listener, sounds: Mapping[str, Sequence[Sound]], wanted: Collection[str]) -> dict[str, Any]:
    """How often a judge is right about real held-out recordings, each heard once as a whole (its first 20 s)."""
    right, names = [], []
    for kind in sorted(wanted):
        for k, sound in enumerate(sounds[kind]):
            part = Sound(sound.samples[:, : 20 * sound.rate], sound.rate)
            first = next(name for name in judge.kinds(part) if name in wanted)
            right.append(float(first == kind))
            names.append(f"{kind} {k}")
    return mean(np.array(right), names).record()


# --- two kinds in one picture ----------------------------------------------------------------------------------------


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


@dataclass(frozen=True, eq=False)
class Asked:
    """Pairs of photos, each pair as one picture, asked about at both places: 2k is the left one of pair k."""

    pairs: Sequence[tuple[Shot, Shot]]
    images: Sequence[Image]
    regions: Sequence[Region]

    @property
    def objects(self) -> list[str]:
        return [s.cluster for pair in self.pairs for s in pair]


def asked(pairs: Sequence[tuple[Shot, Shot]]) -> Asked:
    images: list[Image] = []
    regions: list[Region] = []
    for a, b in pairs:
        image, here, there = side_by_side(a.image, b.image)
        images += [image, image]
        regions += [here, there]
    return Asked(pairs, images, regions)


def told_apart(
    pairs: Sequence[tuple[Shot, Shot]], sounds: Sequence[Sound], ear: Listener
) -> Float[np.ndarray, " places"]:
    """Of each place whether more of its own kind is heard in its sound than in that of the other place.

    NaN where nobody has taught the ear that kind.
    """
    heard = [ear.kinds(sound) for sound in sounds]
    own = []
    for i, pair in enumerate(pairs):
        for shot, here, there in zip(pair, (2 * i, 2 * i + 1), (2 * i + 1, 2 * i), strict=True):
            known = shot.kind in heard[here]
            own.append(float(heard[here][shot.kind] > heard[there][shot.kind]) if known else np.nan)
    return np.array(own)


def selectivity(model: Maker, pairs: Sequence[tuple[Shot, Shot]], ear: Listener, seed: int) -> Estimate:
    """How often the judge hears more of a kind in the sound of its own place than in that of the other place."""
    both = asked(pairs)
    sounds = model.sounds(both.images, both.regions, SECONDS, [seed + i for i in range(len(both.images))])
    right = told_apart(pairs, sounds, ear)
    known = np.isfinite(right)
    return mean(right[known], [o for o, k in zip(both.objects, known, strict=True) if k])


def two_kinds(
    model: Maker,
    neighbour: Rival,
    cascade: Rival,
    pairs: Sequence[tuple[Shot, Shot]],
    judges: Mapping[str, Judge],
    seed: int,
) -> dict[str, Any]:
    """Selectivity of the model, of the sounds the other way round, and of its rivals at the same places."""
    both = asked(pairs)
    features = model.patches(both.images, both.regions)
    made = model.sounds(both.images, both.regions, SHORT, [seed + i for i in range(len(both.images))])
    few = [seed + i % 2 for i in range(len(both.images))]  # of rivals; the two places of a picture differ
    other = np.random.default_rng(seed).permutation(len(made))
    rows = {
        "model": made,
        "shuffled": [made[i] for i in other],
        "neighbour": neighbour.sounds(features, SHORT, few),
        "cascade": cascade.sounds(features, SHORT, few),
    }
    out: dict[str, Any] = {}
    for name, judge in judges.items():
        right = {row: told_apart(pairs, sounds, judge) for row, sounds in rows.items()}
        known = np.isfinite(right["model"])
        places = [o for o, k in zip(both.objects, known, strict=True) if k]
        out[name] = {
            "rows": {row: mean(values[known], places).record() for row, values in right.items()},
            "lead": {row: mean((right["model"] - right[row])[known], places).record() for row in RIVALS},
        }
    return out


# --- sounds themselves -----------------------------------------------------------------------------------------------


def _spread(n: int) -> Int[np.ndarray, " chosen"]:
    """The numbers of at most `MOST_COMPARED` of n, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(MOST_COMPARED, n)).round().astype(int))


def textures(rows: Mapping[str, Sequence[Sound]]) -> dict[str, dict[str, float]]:
    """Median differences of texture statistics from the real recordings, for the rows that are sounds of their own."""
    chosen = _spread(len(rows["real"]))

    def of(name: str) -> list[Texture]:
        return [texture(rows[name][i].mono, rows[name][i].rate) for i in chosen]

    real = of("real")
    out = {}
    for name in ("voice", "neighbour", "cascade", "model"):
        errors = [texture_error(r, m)._asdict() for r, m in zip(real, of(name), strict=True)]
        out[name] = {key: float(np.median([e[key] for e in errors])) for key in errors[0]}
    return out


def latent_errors(
    rows: Mapping[str, Sequence[Sound]], cascade: Cascade, voice: Voice, shots: Sequence[Shot]
) -> dict[str, Any]:
    """How far mean latents are from those of a real recording of the kind, beside what the mean latent is off.

    The mean square over channels, each in units of its spread over the training recordings; all sounds at one loudness.
    """
    known = np.concatenate(list(cascade.colours.values()))
    middle, spread = known.mean(axis=0), known.std(axis=0)
    heard = spread > 1e-3
    chosen = _spread(len(shots))
    photos = [shots[i].cluster for i in chosen]
    real = np.stack([colour(rows["real"][i], voice) for i in chosen])

    def error(values: np.ndarray) -> Float[np.ndarray, " n"]:
        return ((((values - real) / np.maximum(spread, 1e-3)) ** 2)[:, heard]).mean(axis=1)

    errors = {
        name: error(np.stack([colour(rows[name][i], voice) for i in chosen]))
        for name in ("model", "neighbour", "cascade")
    }
    errors["mean"] = error(np.broadcast_to(middle, real.shape))
    return {name: mean(values, photos).record() for name, values in errors.items()}


def copied(rows: Mapping[str, Sequence[Sound]], known: Iterable[Sound], photos: Sequence[str]) -> dict[str, Any]:
    """The share of one-second windows that stand in any of the known recordings, and how much more than real ones'."""

    def print_of(sound: Sound) -> np.ndarray:
        return copies.log_mel(resample(sound, copies.RATE).mono)

    names = ("model", "real")
    cuts = [copies.movement(copies.cut(print_of(s), copies.SECOND // 2)) for name in names for s in rows[name]]
    made, owner = np.concatenate(cuts), np.repeat(np.arange(len(cuts)), [len(c) for c in cuts])
    best = np.zeros(len(made), np.float32)
    for sound in known:
        best = np.maximum(best, (made @ copies.movement(copies.cut(print_of(sound))).T).max(axis=1))
    share = np.bincount(owner, best > COPY, len(cuts)) / np.bincount(owner, minlength=len(cuts))
    model, real = share.reshape(2, -1)
    return {
        "model": mean(model, photos).record(),
        "real": mean(real, photos).record(),
        "above": mean(model - real, photos).record(),
    }


# --- scenes as a whole, and speed ------------------------------------------------------------------------------------


def mixes(model: Hearing, images: Sequence[Image], seed: int) -> dict[str, Any]:
    """Whether stems and bed add up to the mix and never clip, and whether what is larger is louder."""
    off, peak, area, level, larger = 0.0, 0.0, [], [], []
    count = 0
    for k, view in enumerate(model.see(images)):
        scene = model.scene(view, model.plan(view, None, seed + 100 * k), SHORT)
        mix = scene.mix.samples
        total = np.sum([stem.sound.samples for stem in scene.stems], axis=0) + scene.bed.samples
        off = max(off, float(np.abs(total - mix).max()))
        peak = max(peak, float(np.abs(mix).max()))
        here = [(stem.region.area, float(np.mean(stem.sound.samples**2))) for stem in scene.stems]
        larger += [float((p > q) == (a > b)) for i, (a, p) in enumerate(here) for b, q in here[:i] if a != b]
        area += [a for a, _ in here]
        level += [p for _, p in here]
        count += len(here)
    return {
        "pictures": len(images),
        "stems": count,
        "off": off,
        "peak": peak,
        "area_and_level": spearman(np.array(area), np.array(level)) if count > 2 else None,
        "larger_is_louder": float(np.mean(larger)) if larger else None,
    }


def found(model: Hearing, sources: Sequence[hear_laws.Source]) -> dict[str, Any]:
    """How well the parts that a model finds by itself cover the sources of drawn scenes: of each source the largest
    overlap with a part, in the mean and as the share of at least one half; and how many parts a scene has.
    """
    images = {s.scene: s.image for s in sources}
    parts: dict[str, list[np.ndarray]] = {}
    for scene, image in images.items():
        (view,) = model.see([image])
        parts[scene] = [focus.region.on(GRID, GRID) for focus in model.plan(view, None, 0).foci]
    best = np.array([
        max((iou(part, s.region.on(GRID, GRID), 0.5 * float(part.max())) for part in parts[s.scene]), default=0.0)
        for s in sources
    ])  # fmt: skip
    scenes = [s.scene for s in sources]
    return {
        "sources": len(sources),
        "iou": mean(best, scenes).record(),
        "half": mean((best >= 0.5).astype(float), scenes).record(),
        "parts": float(np.mean([len(p) for p in parts.values()])),
    }


def speed(model: Hearing, image: Image) -> dict[str, float]:
    """Seconds for 8 s of sound from a click, the picture encoded, and to the first sound of a stream; medians of 3."""
    (view,) = model.see([image])
    whole, first = [], []
    for seed in range(3):
        start = time.perf_counter()
        plan = model.plan(view, Point(0.5, 0.5), seed)
        next(iter(model.blocks(plan)))
        first.append(time.perf_counter() - start)
        start = time.perf_counter()
        model.scene(view, model.plan(view, Point(0.5, 0.5), seed), 8.0)
        whole.append(time.perf_counter() - start)
    return {"eight_seconds": float(np.median(whole)), "first_sound": float(np.median(first))}


# --- all of it -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Shown:
    """One photo for the page: what it is, and each row's sound with what YAMNet takes it for."""

    image: Image
    kind: str
    sounds: Mapping[str, tuple[Sound, str]]


def evaluate(
    model: Hearing,
    folder: Path,
    judge: Path,
    *,
    world: Path | None = None,
    train_world: Path | None = None,
    clips: Path | None = None,
    seed: int = 0,
    pairs: int = 80,
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[dict[str, Any], list[Shown]]:
    """All protocols of `evaluate hear` on the shards of `synesthesia data pack`, and what the page shows of them.

    `world`, `train_world`: held-out and training scenes of `synesthesia world scenes`. `clips`: a folder of videos.
    What is not given is not measured. `tell` is called with what was just done.
    """
    begun, used = time.perf_counter(), time.process_time()

    def done(what: str) -> None:
        tell(f"{time.perf_counter() - begun:5.0f} s, {time.process_time() - used:5.0f} of CPU: {what}")

    judges: dict[str, Judge] = {"yamnet": Ear(judge), "own": hear_judge.load(folder)}
    chorus, voice = Chorus(model), model.voice
    train, test = read(folder, "train", MOST_LEARNED), read(folder, "test", MOST_PHOTOS)
    known = library(chorus, train)
    shots = shots_of(test, known.recordings.keys())
    if not shots:
        raise InputError(f"{folder} has no held-out photos of kinds with training and held-out recordings.")
    neighbour, cascade = Neighbour(known, voice), Cascade(known, voice)
    done(f"{len(shots)} photos read, judges and baselines ready")
    rows, guesses = all_rows(chorus, shots, neighbour, cascade, test.sounds, voice, SECONDS, seed)
    done("the sounds of all rows made")
    heard = {name: verdicts(j, rows, shots) for name, j in judges.items()}
    photos, wanted = [s.cluster for s in shots], {s.kind for s in shots}
    done("and heard")
    result: dict[str, Any] = {
        "photos": len(shots),
        "kinds": len(wanted),
        "seconds": SECONDS,
        "seed": seed,
        "pairing": BY_KIND,
        "embeddings": EMBEDDINGS,
        "recordings": {name: recordings(j, test.sounds, wanted) for name, j in judges.items()},
        "by_ear": {name: by_ear(v, shots) for name, v in heard.items()},
        "image_only": {
            way: mean(np.array([g == s.kind for g, s in zip(guess, shots, strict=True)], float), photos).record()
            for way, guess in guesses.items()
        },
        "distances": {name: distances(v, shots) for name, v in heard.items()},
        "textures": textures(rows),
        "latents": latent_errors(rows, cascade, voice, shots),
    }
    done("distances, textures and latents compared")
    result["copied"] = copied(rows, every(folder), photos)
    done("copies looked for")
    result["two_kinds"] = two_kinds(chorus, neighbour, cascade, pair_up(shots, pairs, seed), judges, seed)
    done(f"{pairs} pairs of two kinds")
    step = max(1, len(shots) // MIXES)
    result["mix"] = mixes(model, [s.image for s in shots[::step]][:MIXES], seed)
    result["speed"] = speed(model, shots[0].image)
    done("scenes mixed")
    if world is not None:
        sources = hear_laws.read(world, "test", hear_laws.MOST_SOURCES)
        if not sources:
            raise InputError(f"{world} holds no scenes.")
        result["one_kind"] = hear_laws.evaluate(chorus, voice, sources, train_world, seed)
        done("one kind twice")
        result["found"] = found(model, sources)
        done("parts of scenes found")
    if clips is not None:
        result["clips"] = hear_clips.evaluate(chorus, model.locator, neighbour, cascade, judges, clips, seed)
        done("clips")
    return result, _shown(shots, rows, judges["yamnet"], wanted)


def _shown(
    shots: Sequence[Shot], rows: Mapping[str, Sequence[Sound]], ear: Listener, wanted: Collection[str]
) -> list[Shown]:
    """The first photo of each kind, at most sixteen."""
    first = list({s.kind: k for k, s in reversed(list(enumerate(shots)))}.values())[::-1][:16]
    return [
        Shown(
            shots[k].image,
            shots[k].kind,
            {
                name: (rows[name][k], next(kind for kind in ear.kinds(rows[name][k]) if kind in wanted))
                for name in ("model", "neighbour", "cascade", "real")
            },
        )
        for k in first
    ]


def plain(result: Mapping[str, Any]) -> str:
    """The main figures of `evaluate`, as Markdown tables."""

    def cell(e: Mapping[str, Any], scale: float = 100, digits: int = 0) -> str:
        if e["value"] is None:
            return "–"
        low, high = (math.nan if e[k] is None else e[k] for k in ("low", "high"))
        return f"{scale * e['value']:.{digits}f} [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"

    lines = [f"{result['photos']} held-out photos of {result['kinds']} kinds; {result['seconds']:g} s each."]
    for judge in result["by_ear"]:
        ear, far = result["by_ear"][judge], result["distances"][judge]
        lines += [
            "",
            f"Judge {judge} ({result['embeddings'][judge]}); on real held-out recordings "
            f"{cell(result['recordings'][judge])} %:",
            "",
            "| row | kind by ear, first, % | of three, % | KAD | FAD | texture mean, dB |",
            "|---|---|---|---|---|---|",
        ]
        for name in ROWS:
            e, d, t = ear["rows"][name], far["rows"].get(name), result["textures"].get(name)
            tail = f"{cell(d['kad'], 1, 1)} | {d['fad']:.1f} |" if d else "– | – |"
            lines.append(
                f"| {name} | {cell(e['first'])} | {cell(e['of_three'])} | {tail} {t['mean']:.1f} |" if t
                else f"| {name} | {cell(e['first'])} | {cell(e['of_three'])} | {tail} – |"
            )  # fmt: skip
        lines += ["", f"Share of this judge's accuracy on real recordings: {cell(ear['share'])} %."]
        two = result["two_kinds"][judge]["rows"]
        lines += ["Two kinds: " + ", ".join(f"{row} {cell(e)}" for row, e in two.items()) + " %."]
    lines += ["", *(f"Picture alone, {way}: {cell(e)} %." for way, e in result["image_only"].items())]
    lines += ["Latents, mean square: " + ", ".join(f"{k} {cell(e, 1, 2)}" for k, e in result["latents"].items()) + "."]
    lines += ["Copied windows: " + ", ".join(f"{k} {cell(e, 100, 1)}" for k, e in result["copied"].items()) + " %."]
    if "one_kind" in result:
        for name in ("one_picture", "two_pictures"):
            rows = result["one_kind"][name]["rows"]
            lines += [f"One kind twice, {name.replace('_', ' ')}: "
                      + ", ".join(f"{row} {cell(e)}" for row, e in rows.items()) + " %."]  # fmt: skip
        rows = result["one_kind"]["laws"]["rows"]
        lines += ["Laws, rank correlation: " + ", ".join(f"{row} {cell(e, 1, 2)}" for row, e in rows.items()) + "."]
    if "found" in result:
        told = result["found"]
        lines += [f"Sources found without a click, IoU ≥ .5: {cell(told['half'])} % of {told['sources']}, mean IoU "
                  f"{cell(told['iou'])} %, {told['parts']:.1f} parts a scene."]  # fmt: skip
    if "clips" in result:
        rows = result["clips"]["yamnet"]["rows"]
        lines += ["Clips, heard as their own sound is: "
                  + ", ".join(f"{row} {cell(e['agree'])}" for row, e in rows.items()) + " %."]  # fmt: skip
    return "\n".join(lines)
