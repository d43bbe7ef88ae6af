"""One kind twice: does the sound follow the look where the label is the same?

Held-out scenes of `synesthesia world scenes` say of each source what it is, how large, how fast and how far, and hold
its sound alone. Two sources of one kind differ in what can be heard of them without knowing what they are
(`metrics.attributes`): level, brightness, events, movement. The sound made of one's place must differ from the sound
made of the other's in the direction in which their true sounds differ. Counted are only differences that the truth
itself tells clearly: `MARGIN` times as large as the same source's from one seed to another. A tie is half right, so a
way through the kind's name, which has one sound for both, is at chance by construction.

The laws behind it: the rank correlation of what is seen (a parameter, or the distance) with what is heard.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import metrics, shards
from ..codecs.voice import Voice
from ..metrics import bootstrap, spearman
from ..metrics.attributes import Attributes, attributes
from ..senses import Image, InputError, Region, Sound
from ..worlds import noises
from .baselines import KernelRidge
from .collage import SIDE, side_by_side
from .hear_rows import Maker

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

ATTRIBUTES = Attributes._fields
MARGIN = 3.0  # times the root mean square difference of two seeds of one source
LEAST = np.array([1.0, 0.1, 1.0, 0.5])  # dB, octaves, events a second, dB: less is no difference, however steady it is
MOST_SOURCES = 24  # of a kind that are asked about
MOST_LEARNED = 64  # of a kind that the baselines know
LEAST_PAIRS = 5  # of a kind that differ clearly, for an attribute of it to count
LAWFUL = 0.5  # rank correlation that a parameter has with the true sounds, to be a law that can be heard
SECONDS = 4.0
ROWS = ("model", "shuffled", "neighbour", "cascade", "real")


@dataclass(frozen=True, eq=False)
class Source:
    """One source of a scene: its picture, where it is in it, what is true of it, and its sound (full scale 2 Pa)."""

    scene: str
    image: Image
    region: Region
    kind: str
    parameters: Mapping[str, float]
    distance_m: float
    sound: Sound

    @property
    def seen(self) -> dict[str, float]:
        """All that its look depends on."""
        return {**self.parameters, "distance_m": self.distance_m}

    def again(self, seconds: float, seed: int) -> Sound:
        """The same source at another time: what is chance in its sound is drawn again."""
        return noises.sound(self.kind, self.parameters, self.distance_m, seconds, seed)


def read(folder: Path, split: str, most: int) -> list[Source]:
    """The sources of a world of scenes, at most so many of a kind, in the order of the world.

    Raises InputError for shards of anything else, or of another split.
    """
    out: list[Source] = []
    count: dict[str, int] = defaultdict(int)
    wanted = {"jpg", "json", "safetensors", *(f"hit{k}.flac" for k in range(8))}
    for example in shards.examples(folder, only=wanted):
        truth = example.truth
        if truth.get("split") != split:
            raise InputError(
                f"{folder} holds scenes of the split {truth.get('split')!r}; {split!r} is needed here: "
                f"synesthesia world scenes --split {split}."
            )
        for k, told in enumerate(_sources(example)):
            if count[told["kind"]] >= most:
                continue
            count[told["kind"]] += 1
            sound = Sound(example.sounds[k].samples * np.float32(float(str(truth["scale"]))), example.sounds[k].rate)
            mask = example.arrays["masks"][k].astype(np.float32) / 255
            parameters = {str(name): float(value) for name, value in told["parameters"].items()}
            out.append(
                Source(
                    example.key, example.image, Region(mask), told["kind"], parameters, float(told["distance_m"]), sound
                )
            )
        if len(count) == len(noises.KINDS) and min(count.values()) >= most:
            break
    return out


def _sources(example: shards.Example) -> list[dict[str, Any]]:
    told = example.truth.get("sources")
    masks = example.arrays.get("masks")
    whole = (
        isinstance(told, list)
        and masks is not None
        and masks.ndim == 3
        and len(masks) == len(told) <= len(example.sounds)
        and isinstance(example.truth.get("scale"), int | float)
        and all(isinstance(s, dict) and s.get("kind") in noises.KINDS for s in told)
        and all(isinstance(s.get("parameters"), dict) for s in told)
        and all(isinstance(v, int | float) for s in told for v in (s.get("distance_m"), *s["parameters"].values()))
    )
    if not whole:
        raise InputError(
            f"{example.key!r} is not a drawn scene with its sources' parameters; make some with "
            f"`synesthesia world scenes` (without --collages)."
        )
    return list(told)


# --- the rows --------------------------------------------------------------------------------------------------------


class Known:
    """What the training scenes teach the rows that a model must beat, through the model's own eyes."""

    def __init__(self, model: Maker, sources: Sequence[Source], voice: Voice, seconds: float) -> None:
        self._voice, self._seconds = voice, seconds
        self._sources = sources
        features = model.patches([s.image for s in sources], [s.region for s in sources])
        self._unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-9)
        self._reader = KernelRidge.fit(features, [s.kind for s in sources])
        self._word: dict[str, Sound] = {}
        self._kept: dict[int, Sound] = {}  # as the voice keeps them, by number

    def neighbour(self, features: Float[np.ndarray, "n width"]) -> list[Sound]:
        """The sound of the training source that looks most alike."""
        nearest = (features @ self._unit.T).argmax(axis=1)
        return [self._spoken(int(i)) for i in nearest]

    def cascade(self, features: Float[np.ndarray, "n width"]) -> list[Sound]:
        """The most typical training sound of the kind that the place is taken for: one word, one sound."""
        return [self._said(kind) for kind in self._reader.predict(features)]

    def _said(self, kind: str) -> Sound:
        if kind not in self._word:
            at = [i for i, s in enumerate(self._sources) if s.kind == kind]
            told = heard([self._sources[i].sound for i in at])
            self._word[kind] = self._spoken(at[metrics.medoid(told / (told.std(axis=0) + 1e-6))])
        return self._word[kind]

    def _spoken(self, number: int) -> Sound:
        if number not in self._kept:
            sound = self._sources[number].sound
            part = Sound(np.resize(sound.mono, round(self._seconds * sound.rate))[None], sound.rate)
            self._kept[number] = self._voice.decode(self._voice.encode(part), 0)
        return self._kept[number]


def _derangement(kinds: Sequence[str], rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """Another item of the same kind for each item, at random; the item itself where there is no other."""
    out = np.arange(len(kinds))
    for kind in sorted(set(kinds)):
        members = rng.permutation(np.flatnonzero(np.array(kinds) == kind))
        out[members] = np.roll(members, 1)
    return out


def heard(sounds: Sequence[Sound]) -> Float[np.ndarray, "n attributes"]:
    """`ATTRIBUTES` of each sound."""
    return np.array([attributes(s.mono, s.rate) for s in sounds]).reshape(-1, len(ATTRIBUTES))


# --- two by two ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of sources of one kind: their numbers, which attributes tell them apart, and in which direction (±1)."""

    first: Int[np.ndarray, " pairs"]
    second: Int[np.ndarray, " pairs"]
    clear: Bool[np.ndarray, "pairs attributes"]
    sign: Float[np.ndarray, "pairs attributes"]


def clear_pairs(
    kinds: Sequence[str], true: Float[np.ndarray, "n attributes"], again: Float[np.ndarray, "n attributes"]
) -> Pairs:
    """All pairs of one kind of which the truth tells at least one attribute apart; see `MARGIN`.

    An attribute of a kind counts when at least `LEAST_PAIRS` pairs, and a tenth of all, differ clearly in it.
    """
    first, second, clear = [], [], []
    of = np.array(kinds)
    for kind in sorted(set(kinds)):
        at = np.flatnonzero(of == kind)
        i, j = (at[k] for k in np.triu_indices(len(at), 1))
        scatter = np.sqrt(((true[at] - again[at]) ** 2).mean(axis=0))
        told = np.abs(true[i] - true[j]) >= np.maximum(MARGIN * scatter, LEAST)
        told &= told.sum(axis=0) >= max(LEAST_PAIRS, 0.1 * len(told))
        some = told.any(axis=1)
        first, second, clear = [*first, *i[some]], [*second, *j[some]], [*clear, *told[some]]
    a, b = np.array(first, dtype=int), np.array(second, dtype=int)
    told = np.array(clear, dtype=bool).reshape(-1, len(ATTRIBUTES))
    return Pairs(a, b, told, np.sign(true[a] - true[b]))


def agreement(
    difference: Float[np.ndarray, "pairs attributes"], sign: Float[np.ndarray, "pairs attributes"]
) -> Float[np.ndarray, "pairs attributes"]:
    """1 where a difference has the sign of the true one, 0 where the other, ½ where there is none."""
    same = np.where(np.abs(difference) < 1e-9, 0.0, np.sign(difference)) * sign
    return 0.5 + 0.5 * same


def _cells(kinds: Sequence[str], pairs: Pairs) -> Int[np.ndarray, "pairs attributes"]:
    """The number of each judgement's kind and attribute; −1 for what is not judged."""
    number = {kind: k for k, kind in enumerate(sorted(set(kinds)))}
    kind = np.array([number[kinds[i]] for i in pairs.first], dtype=int)
    return np.where(pairs.clear, kind[:, None] * len(ATTRIBUTES) + np.arange(len(ATTRIBUTES)), -1)


def mean_of_cells(
    score: Float[np.ndarray, "pairs attributes"],
    cell: Int[np.ndarray, "pairs attributes"],
    weight: Float[np.ndarray, " pairs"],
) -> float:
    """The mean over kinds and attributes of their mean scores: a kind with many pairs counts as much as any."""
    judged = cell >= 0
    w = np.broadcast_to(weight[:, None], cell.shape)[judged]
    total = np.bincount(cell[judged], w)
    right = np.bincount(cell[judged], w * score[judged])
    some = total > 0
    return float((right[some] / total[some]).mean()) if some.any() else math.nan


def _over_sources(pairs: Pairs, cell: np.ndarray, score: np.ndarray, n: int) -> Callable[[np.ndarray], float]:
    """A statistic of drawn sources: a pair counts as often as both of its sources were drawn, multiplied."""

    def statistic(index: np.ndarray) -> float:
        count = np.bincount(index, minlength=n).astype(float)
        return mean_of_cells(score, cell, count[pairs.first] * count[pairs.second])

    return statistic


def _told(
    scores: Mapping[str, np.ndarray],
    pairs: Pairs,
    kinds: Sequence[str],
    scenes: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    """The share of judgements that are right for each row, for each kind and attribute, and the model's lead."""
    cell = _cells(kinds, pairs)
    count = np.bincount(cell[cell >= 0], minlength=1)
    cell = np.where((cell >= 0) & (count[np.maximum(cell, 0).clip(max=len(count) - 1)] >= LEAST_PAIRS), cell, -1)
    n = int((cell >= 0).sum())

    def estimate(score: np.ndarray) -> dict[str, Any]:
        return bootstrap(scenes, _over_sources(pairs, cell, score, len(kinds)), seed=seed).record() | {"n": n}

    names = sorted(set(kinds))
    each = {
        f"{names[c // len(ATTRIBUTES)]}, {ATTRIBUTES[c % len(ATTRIBUTES)]}": {
            "n": int((cell == c).sum()),
            **{row: float(score[cell == c].mean()) for row, score in scores.items()},
        }
        for c in sorted(set(cell[cell >= 0].tolist()))
    }
    return {
        "rows": {row: estimate(score) for row, score in scores.items()},
        "lead": {row: estimate(scores["model"] - scores[row]) for row in ("neighbour", "cascade") if row in scores},
        "each": each,
        "pairs": len(pairs.first),
    }


# --- the protocol ----------------------------------------------------------------------------------------------------


def evaluate(
    model: Maker, voice: Voice, sources: Sequence[Source], train_world: Path | None, seed: int = 0, pairs: int = 84
) -> dict[str, Any]:
    """Everything that sources of held-out scenes tell about one kind twice; `train_world` gives the rows neighbour and
    cascade.
    """
    known = None if train_world is None else Known(model, read(train_world, "train", MOST_LEARNED), voice, SECONDS)
    images, regions, kinds = [s.image for s in sources], [s.region for s in sources], [s.kind for s in sources]
    scenes = np.array([s.scene for s in sources])
    rng = np.random.default_rng(seed)

    true = heard([s.sound for s in sources])
    again = heard([s.again(s.sound.seconds, int(rng.integers(2**31))) for s in sources])
    made = heard(model.sounds(images, regions, SECONDS, [seed + i for i in range(len(sources))]))
    rows = {"model": made, "shuffled": made[_derangement(kinds, rng)], "real": again}
    if known is not None:
        features = model.patches(images, regions)
        rows["neighbour"] = heard(known.neighbour(features))
        rows["cascade"] = heard(known.cascade(features))

    apart = clear_pairs(kinds, true, again)
    judged = {row: agreement(values[apart.first] - values[apart.second], apart.sign) for row, values in rows.items()}
    chosen = _evenly(apart, kinds, pairs, rng)
    together = _together(model, sources, chosen, known, seed)
    together["real"] = agreement(again[chosen.first] - again[chosen.second], chosen.sign)
    return {
        "sources": len(sources),
        "margin": MARGIN,
        "seconds": SECONDS,
        "two_pictures": _told(_ordered(judged), apart, kinds, scenes, seed),
        "one_picture": _told(_ordered(together), chosen, kinds, scenes, seed),
        "laws": laws(sources, true, rows, seed),
    }


def _ordered(rows: Mapping[str, Any]) -> dict[str, Any]:
    return {name: rows[name] for name in ROWS if name in rows}


def _evenly(pairs: Pairs, kinds: Sequence[str], n: int, rng: np.random.Generator) -> Pairs:
    """At most n of the pairs, the kinds in turn."""
    of = np.array([kinds[i] for i in pairs.first])
    queues = [list(rng.permutation(np.flatnonzero(of == kind))) for kind in sorted(set(of.tolist()))]
    chosen: list[int] = []
    while len(chosen) < n and any(queues):
        chosen += [queue.pop() for queue in queues if queue]
    at = np.array(chosen[:n], dtype=int)
    return Pairs(pairs.first[at], pairs.second[at], pairs.clear[at], pairs.sign[at])


def _together(
    model: Maker, sources: Sequence[Source], pairs: Pairs, known: Known | None, seed: int
) -> dict[str, Float[np.ndarray, "pairs attributes"]]:
    """What each row says about two sources that stand side by side in one picture."""
    images: list[Image] = []
    regions: list[Region] = []
    for i, j in zip(pairs.first, pairs.second, strict=True):
        image, here, there = in_one(sources[i], sources[j])
        images += [image, image]
        regions += [here, there]
    if not images:
        return {row: np.zeros((0, len(ATTRIBUTES))) for row in ROWS if known or row not in ("neighbour", "cascade")}
    made = heard(model.sounds(images, regions, SECONDS, [seed + k for k in range(len(images))]))
    rows = {"model": made, "shuffled": _exchanged(made, seed)}
    if known is not None:
        features = model.patches(images, regions)
        rows["neighbour"] = heard(known.neighbour(features))
        rows["cascade"] = heard(known.cascade(features))
    return {row: agreement(values[::2] - values[1::2], pairs.sign) for row, values in rows.items()}


def _exchanged(made: np.ndarray, seed: int) -> np.ndarray:
    """The sounds of the two places the wrong way round in half of the pictures, at random."""
    turned = np.random.default_rng([seed, 5]).random(len(made) // 2) < 0.5
    out = made.copy()
    out[::2][turned], out[1::2][turned] = made[1::2][turned], made[::2][turned]
    return out


def in_one(a: Source, b: Source) -> tuple[Image, Region, Region]:
    """The pictures of two sources side by side, and where in the one picture each source is."""
    image, here, there = side_by_side(a.image, b.image)
    left = np.concatenate([a.region.on(SIDE, SIDE), np.zeros((SIDE, SIDE), np.float32)], axis=1)
    right = np.concatenate([np.zeros((SIDE, SIDE), np.float32), b.region.on(SIDE, SIDE)], axis=1)
    return image, Region(left * here.mask), Region(right * there.mask)


# --- laws ------------------------------------------------------------------------------------------------------------


def laws(
    sources: Sequence[Source], true: Float[np.ndarray, "n attributes"], rows: Mapping[str, np.ndarray], seed: int
) -> dict[str, Any]:
    """The rank correlation of what is seen with what is heard, for every law that the true sounds follow.

    A law is a kind, something seen and something heard whose rank correlation in the true sounds is at least `LAWFUL`
    in size. A row's correlation counts as positive when it has the truth's sign; what never changes follows nothing: 0.
    """
    found = lawful(sources, true)

    def mean(values: np.ndarray) -> Callable[[np.ndarray], float]:
        return lambda index: kept(found, values, index)

    scenes = np.array([s.scene for s in sources])
    everything = np.arange(len(sources))
    with_truth = {**_ordered(rows), "truth": true}
    estimates = {
        row: bootstrap(scenes, mean(v), resamples=200, seed=seed).record() | {"n": len(found)}
        for row, v in with_truth.items()
    }
    each = {law.name: {row: law.kept(v, everything) for row, v in with_truth.items()} for law in found}
    return {"rows": estimates, "each": each}


@dataclass(frozen=True, eq=False)
class Lawful:
    """A law that the true sounds follow: of which sources, what is seen, what is heard (its number) and in which
    direction.
    """

    name: str
    members: Int[np.ndarray, " members"]
    seen: Float[np.ndarray, " n"]
    attribute: int
    sign: float

    def kept(self, values: Float[np.ndarray, "n attributes"], index: Int[np.ndarray, " m"]) -> float:
        """The rank correlation that other sounds' attributes have, positive in the truth's direction."""
        drawn = index[np.isin(index, self.members)]
        rho = spearman(self.seen[drawn], values[drawn, self.attribute]) if len(drawn) > 2 else math.nan
        return self.sign * rho if math.isfinite(rho) else 0.0


def lawful(sources: Sequence[Source], true: Float[np.ndarray, "n attributes"]) -> list[Lawful]:
    """The laws that can be heard in these sources' true sounds; see `laws`."""
    found = []
    for kind in sorted({s.kind for s in sources}):
        at = np.array([i for i, s in enumerate(sources) if s.kind == kind])
        if len(at) < 8:
            continue
        for name in sources[at[0]].seen:
            seen = np.full(len(sources), np.nan)
            seen[at] = [sources[i].seen[name] for i in at]
            for a, attribute in enumerate(ATTRIBUTES):
                truth = spearman(seen[at], true[at, a])
                if abs(truth) >= LAWFUL and np.ptp(true[at, a]) >= LEAST[a]:
                    found.append(Lawful(f"{kind}: {name}, {attribute}", at, seen, a, float(np.sign(truth))))
    return found


def kept(found: Sequence[Lawful], values: Float[np.ndarray, "n attributes"], index: Int[np.ndarray, " m"]) -> float:
    """The mean over laws of the rank correlation that these sounds keep of them."""
    return float(np.mean([law.kept(values, index) for law in found])) if found else math.nan
