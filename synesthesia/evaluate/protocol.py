"""What the protocols of `evaluate knock` share: the model under test, its answers, their scores, the table's lines."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from .. import metrics
from ..metrics import Estimate, bootstrap
from ..senses import Example, Image, Sound
from . import baselines
from .baselines import Answer, Bank, Item

if TYPE_CHECKING:
    from jaxtyping import Float

SPLITS: tuple[str, ...] = ("objects", "families", "combinations", "invented")
RATE, SECONDS = 48_000, 1.0
ENDINGS = ("jpg", "json", "safetensors", "hit0.flac")  # what is read of a world
BATCH = 32
ROWS = ("silence", "noise", "shuffled", "material_medoid", "knn3", "cascade", "oracle", "truth", "model")
MEDOIDS = ("material_medoid", "knn3", "cascade")
SHARED = ("prototypes",)  # arrays of a physics that belong to the model, not to a click


@runtime_checkable
class Model(Protocol):
    """What is evaluated: `bridges.knock.Knock`, or anything with the same four answers."""

    def see(self, images: Sequence[Image]) -> list[Any]: ...

    def think(
        self,
        seen: list[Any],
        points: Any,
        *,
        size_m: Any = None,
        wall_m: Any = None,
        support: Any = None,
    ) -> Any: ...

    def sound(
        self, physics: Any, force: float, hardness: float, speed: float, seconds: float, rate: int, seed: int
    ) -> list[Sound]: ...

    def hear_code(self, sounds: Sequence[Sound]) -> Any: ...


@runtime_checkable
class Ear(Protocol):
    """Who judges materials by sound alone: `judge.Judge`, or anything that hears like it."""

    ceiling: dict[str, Any]
    sha256: str

    def labels(self, head: str) -> tuple[str, ...]: ...

    def groups(self, sounds: Sequence[Sound]) -> list[str]: ...

    def hear(self, sounds: Sequence[Sound], head: str) -> Float[np.ndarray, "n classes"]: ...


# --------------------------------------------------------------------------------------------------------- the table


@dataclass(frozen=True)
class Aim:
    """One line of the table: what, in which unit, the least that must be reached, and what is aimed at."""

    what: str
    unit: str
    floor: str
    aim: str


AIMS: dict[str, Aim] = {
    "by_ear": Aim(
        "material by ear, unseen objects, 6 groups, share of the judge's accuracy on truth", "", "≥ 0.85", "≥ 0.98"
    ),
    "f1_given": Aim("first mode, median error, true size and wall given", "cents", "≤ 150", "≤ 50"),
    "f1_photo": Aim("first mode, median error, from the photo alone", "cents", "≤ 350", "≤ 1.2 × oracle, no scale cue"),
    "ratios": Aim("mode ratios f_k/f_1, k ≤ 8, median error", "cents", "≤ 120", "≤ 50"),
    "coverage": Aim("the 80 % pitch interval covers", "", "0.70–0.90", "0.78–0.82"),
    "decay": Aim("decay time by octave, modes within 30 dB, median error", "", "≤ 0.35", "≤ 0.20"),
    "mode_distance": Aim("mode distance, raw", "octaves", "below all medoids, intervals apart", "≤ ½ cascade"),
    "mode_distance_aligned": Aim(
        "mode distance, f_1 aligned", "octaves", "below all medoids, intervals apart", "≤ ½ cascade"
    ),
    "lsd": Aim("log-spectral distance, raw", "dB", "below all medoids, intervals apart", "≤ ½ cascade"),
    "lsd_aligned": Aim("log-spectral distance, f_1 aligned", "dB", "below all medoids, intervals apart", "≤ ½ cascade"),
    "kappa": Aim("image code = sound code, Cohen's κ (≥ 8 codes > 3 %, NMI ≥ .5)", "", "≥ 0.5", "≥ 0.85"),
    "swap": Aim("swapping the code flips the group heard", "", "≥ 0.80", "≥ 0.95"),
    "interventions": Aim("interventions on mass, stiffness, size, damping land, in the waveform", "", "≥ 0.99", "1.00"),
    "interventions_fields": Aim("interventions land, in the modes", "", "≥ 0.99", "1.00"),
    "tokens": Aim("tokens against truth, least rank correlation of E/ρ, η, mass, hollow", "", "≥ 0.7", "≥ 0.9"),
    "shuffled": Aim("tokens shuffled between objects: mode distance grows", "×", "≥ 1.5", "≥ 2"),
    "coatings": Aim("unseen material/coating combinations: decay ordered as physics says", "", "≥ 0.80", "≥ 0.95"),
    "photos_simulation": Aim("real photos, 5 materials by ear, simulation only", "", "≥ 0.40", "≥ 0.60"),
    "photos_unlabelled": Aim("real photos, 5 materials by ear, unlabelled photos", "", "", ""),
    "photos_pairs": Aim("real photos, 5 materials by ear, with real pairs", "", "≥ 0.82", "≥ 0.92"),
}


def line(name: str, estimate: Estimate, floor: bool | None, aim: bool | None, **more: object) -> dict[str, Any]:
    """One line of the report's table. `floor` and `aim` say whether they are met; None where nothing was measured."""
    spec = AIMS[name]
    measured = math.isfinite(estimate.value)
    return {
        "name": name,
        **dataclasses.asdict(spec),
        **estimate.record(),
        "met": {"floor": floor if measured else None, "aim": aim if measured else None},
        **more,
    }


# -------------------------------------------------------------------------------------------------------- collecting


@dataclass(frozen=True, eq=False)
class Heard:
    """A split as the model perceives it: the items, what it saw, what it thinks they are, and what it plays."""

    items: list[Item]
    images: list[Image]
    seen: list[Any]
    pooled: Float[np.ndarray, "n d"]
    physics: Any
    sounds: list[Sound]

    @property
    def shapes(self) -> np.ndarray:
        return np.array([i.shape for i in self.items])

    @property
    def points(self) -> Float[np.ndarray, "n 2"]:
        return np.array([i.point for i in self.items])


def take(physics: Any, index: Sequence[int] | np.ndarray) -> Any:
    """The chosen clicks of a batched physics."""
    values = {f.name: getattr(physics, f.name) for f in dataclasses.fields(physics) if f.init and f.name not in SHARED}
    chosen = np.asarray(index, dtype=int)
    return dataclasses.replace(physics, **{name: v[chosen] for name, v in values.items() if isinstance(v, np.ndarray)})


def play(model: Model, physics: Any, items: Sequence[Item], seed: int) -> list[Sound]:
    """The model's sounds with each item's own striker; clicks that share a striker go in one batch."""
    out: dict[int, Sound] = {}
    strikers: dict[tuple[float, float, float], list[int]] = {}
    for k, i in enumerate(items):
        strikers.setdefault((i.force, i.hardness, i.speed), []).append(k)
    for (force, hardness, speed), members in strikers.items():
        for start in range(0, len(members), BATCH):
            part = members[start : start + BATCH]
            sounds = model.sound(take(physics, part), force, hardness, speed, SECONDS, RATE, seed)
            out.update(zip(part, sounds, strict=True))
    return [out[k] for k in range(len(items))]


def look(model: Model, images: Sequence[Image]) -> list[Any]:
    return [s for start in range(0, len(images), BATCH) for s in model.see(list(images[start : start + BATCH]))]


def pooled(seen: Iterable[Any]) -> Float[np.ndarray, "n d"]:
    return np.array([np.asarray(s.pooled, dtype=np.float64).ravel() for s in seen])


def think(model: Model, seen: list[Any], items: Sequence[Item], *, given: bool = False) -> Any:
    """What the model thinks of each item's first strike, from the photo alone or with the true size and wall."""
    points = np.array([i.point for i in items])
    if not given:
        return model.think(seen, points, size_m=None, wall_m=None, support=None)
    size, wall = np.array([i.size for i in items]), np.array([i.wall for i in items])
    return model.think(seen, points, size_m=size, wall_m=wall, support=None)


def collect(model: Model, examples: Sequence[Example], seed: int) -> Heard:
    items = [baselines.item(e) for e in examples]
    images = [e.image for e in examples]
    seen = look(model, images)
    physics = think(model, seen, items)
    return Heard(items, images, seen, pooled(seen), physics, play(model, physics, items, seed))


def choose(examples: Iterable[Example], splits: Sequence[str], n: int | None, seed: int) -> dict[str, list[Example]]:
    """At most `n` examples of each split, drawn evenly over its examples (reservoir sampling, Vitter 1985)."""
    rng = np.random.default_rng(seed)
    kept: dict[str, list[Example]] = {s: [] for s in splits}
    met = dict.fromkeys(splits, 0)
    for e in examples:
        split = str(e.truth.get("split"))
        if split not in kept:
            continue
        met[split] += 1
        if n is None or len(kept[split]) < n:
            kept[split].append(e)
        else:
            at = int(rng.integers(0, met[split]))
            if at < n:
                kept[split][at] = e
    return kept


# ------------------------------------------------------------------------------------------------------------ scoring


def model_answers(heard: Heard) -> list[Answer]:
    p = heard.physics
    f, t, g = (np.asarray(x, dtype=float) for x in (p.frequency, p.t60, p.gain))
    return [Answer(f[k], t[k], np.abs(g[k]), s) for k, s in enumerate(heard.sounds)]


def rows_of(heard: Heard, bank: Bank, seed: int) -> dict[str, list[Answer]]:
    """The answers of every row of the report to every picture of a split."""
    items = heard.items
    captions = bank.captions(heard.pooled)
    order = baselines.derangement([i.shape for i in items], seed)
    return {
        "silence": [baselines.silence(i) for i in items],
        "noise": [baselines.noise(i, seed + k) for k, i in enumerate(items)],
        "shuffled": [baselines.answer(items[int(k)], i.force) for i, k in zip(items, order, strict=True)],
        "material_medoid": [baselines.answer(bank.group_medoid(i.group), i.force) for i in items],
        "knn3": [baselines.answer(bank.nearest(p), i.force) for i, p in zip(items, heard.pooled, strict=True)],
        "cascade": [baselines.answer(bank.cascade(c), i.force) for i, c in zip(items, captions, strict=True)],
        "oracle": [bank.oracle(i) for i in items],
        "truth": [baselines.answer(i, i.force) for i in items],
        "model": model_answers(heard),
    }


def modes_of(item: Item, a: Answer) -> tuple[np.ndarray, ...]:
    """(f, T60, gain) of the truth, then of the answer, both under the pulse of a wooden mallet on the true object."""
    return (
        item.frequency, item.t60, baselines.struck(item.frequency, item.gain, item.contact),
        a.frequency, a.t60, baselines.struck(a.frequency, a.gain, item.contact),
    )  # fmt: skip


def told_by(judge: Ear, rows: Mapping[str, Sequence[Answer]]) -> dict[str, list[str]]:
    """The group that the judge hears in every answer of every row; a sound that several rows play is heard once."""
    sounds = {id(a.sound): a.sound for answers in rows.values() for a in answers}
    told = dict(zip(sounds, judge.groups(list(sounds.values())), strict=True))
    return {row: [told[id(a.sound)] for a in answers] for row, answers in rows.items()}


def score(
    items: Sequence[Item], answers: Sequence[Answer], groups: Sequence[str]
) -> dict[str, Float[np.ndarray, " n"]]:
    """Every measure of every answer, NaN where an answer has no modes (silence, noise). `groups`: what was heard.

    `right` (by ear, 0 or 1), `f1` (|cents|), `decay` (median over octaves), `mode_distance`, `mode_distance_aligned`
    (octaves), `matched` (share of the audible true modes with a partner within 100 cents once f_1 is aligned), `lsd`,
    `lsd_aligned` (dB), `l1`, `log_l1`, `env`.
    """
    out: dict[str, list[float]] = {k: [] for k in MEASURES}
    for i, a, group in zip(items, answers, groups, strict=True):
        true = i.sound.mono
        guess = a.sound.mono
        values = dict.fromkeys(MEASURES, math.nan)
        values |= {
            "right": float(group == i.group),
            "lsd": metrics.log_spectral_distance(true, guess),
            "lsd_aligned": metrics.log_spectral_distance(true, guess),
            "l1": metrics.spectrogram_l1(true, guess),
            "log_l1": metrics.spectrogram_l1(true, guess, log=True),
            "env": metrics.envelope_distance(true, guess),
        }
        if a.modal:
            ratio = float(i.frequency.min() / a.frequency.min())
            modes = modes_of(i, a)
            values["f1"] = abs(float(metrics.cents(i.frequency.min(), a.frequency.min())))
            values["decay"] = float(np.median(metrics.octave_decay_errors(*modes[:5])))
            values["mode_distance"] = metrics.mode_distance(*modes).total
            values["mode_distance_aligned"] = metrics.mode_distance(*modes, align=True).total
            loud = i.frequency[metrics.audible(modes[2])]
            pairs = metrics.match_modes(loud, np.sort(a.frequency) * ratio)
            values["matched"] = len(pairs) / max(len(loud), 1)
            values["lsd_aligned"] = metrics.log_spectral_distance(*aligned(true, guess, ratio))
        for k, v in values.items():
            out[k].append(v)
    return {k: np.array(v) for k, v in out.items()}


MEASURES = (
    "right", "f1", "decay", "mode_distance", "mode_distance_aligned", "matched", "lsd", "lsd_aligned", "l1", "log_l1",
    "env",
)  # fmt: skip
MEDIANS = ("f1", "decay", "l1", "env")


def aligned(true: np.ndarray, guess: np.ndarray, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """The two sounds with their lowest modes at one frequency, over the time that both last.

    The guess is played `ratio` times as fast, which is what the same object sounds like at 1/ratio of its size (at an
    even loss factor decay times shrink as frequencies rise).
    """
    if abs(math.log2(ratio)) < 1e-4:
        return true, guess
    import soxr

    moved = soxr.resample(guess.astype(np.float64), ratio * RATE, RATE)
    n = min(len(true), len(moved))
    return true[:n], moved[:n]


def summarise(items: Sequence[Item], scores: Mapping[str, np.ndarray], seed: int) -> dict[str, dict[str, Any]]:
    """Each measure of a row over a split: medians for errors (`MEDIANS`), means for the rest, with intervals."""
    shapes = np.array([i.shape for i in items])
    out: dict[str, dict[str, Any]] = {}
    for name, values in scores.items():
        average = np.median if name in MEDIANS else np.mean
        good = np.flatnonzero(np.isfinite(values))
        if len(good):
            kept, of = values[good], shapes[good]
            out[name] = bootstrap(of, lambda i, v=kept, a=average: float(a(v[i])), seed=seed).record()
    return out


def median(values: np.ndarray, shapes: np.ndarray, seed: int) -> Estimate:
    """The median, its interval resampled over shapes."""
    return bootstrap(shapes, lambda i: float(np.median(values[i])), seed=seed)


def mean(values: np.ndarray, shapes: np.ndarray, seed: int) -> Estimate:
    """The mean, its interval resampled over shapes."""
    return bootstrap(shapes, lambda i: float(np.mean(values[i])), seed=seed)


def nothing() -> Estimate:
    """What is reported where there was nothing to measure."""
    return bootstrap(np.array([]), lambda i: math.nan)
