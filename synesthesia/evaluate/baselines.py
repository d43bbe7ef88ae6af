"""What a model must beat: silence, noise, other objects' sounds, medoids, the text cascade, and what no model can beat.

Every baseline answers a picture with modes and a sound, as the model does. The medoids and the cascade play *real*
sounds of the training world, never averages (a mean spectrum wins L1 by blur). The way through words exists here and
nowhere else in the project.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .. import metrics
from ..physics.strike import contact_spectrum
from ..senses import Example, InputError, Sound

if TYPE_CHECKING:
    from jaxtyping import Float

SIZE_WORDS = ("small", "medium", "large")
# A caption whose every word no training sound has loses words in this order until some sound matches.
DROP_ORDER = ("size", "support", "coating", "hollow", "family")


@dataclass(frozen=True, eq=False)
class Item:
    """One picture of the world with its first strike: what is true, and how it sounded."""

    key: str
    shape: str  # the object: views and materials of one shape are one object to the bootstrap
    split: str
    family: str
    group: str
    material: str
    coating: str
    support: str
    size: float
    wall: float
    hollow: bool
    mass: float
    wave_speed: float
    loss: float
    f1: float
    scale_cue: bool
    wall_visible: bool
    point: tuple[float, float]
    force: float
    hardness: float
    speed: float
    contact: float  # seconds that the wooden mallet touches this object
    frequency: Float[np.ndarray, " k"]
    t60: Float[np.ndarray, " k"]
    gain: Float[np.ndarray, " k"]
    sound: Sound

    @property
    def material_word(self) -> str:
        """The named material, or for one between two names the nearer: `glass~steel:0.30` is called glass."""
        if "~" not in self.material:
            return self.material
        ends, _, share = self.material.rpartition(":")
        a, b = ends.split("~")
        return a if float(share) < 0.5 else b


@dataclass(frozen=True, eq=False)
class Answer:
    """What a row of the report says to one picture: modes (empty where it has none) and the sound."""

    frequency: Float[np.ndarray, " k"]
    t60: Float[np.ndarray, " k"]
    gain: Float[np.ndarray, " k"]  # of an ideal short pulse; the unit is free
    sound: Sound

    @property
    def modal(self) -> bool:
        return len(self.frequency) > 0 and float(np.abs(self.gain).sum()) > 0


def item(example: Example) -> Item:
    """Read the truth of one example of the world; raises InputError naming the field that is missing."""
    t, a = example.truth, example.arrays
    evidence = t.get("evidence")
    seen = evidence if isinstance(evidence, dict) else {}
    hits = t.get("hits")
    try:
        hit = hits[0] if isinstance(hits, list) else {}
        gain = np.asarray(a["gain"], dtype=float)[0]
        keep = np.isfinite(gain) & (np.asarray(a["frequency"], dtype=float) > 0)
        return Item(
            key=example.key,
            shape=str(t["shape_key"]),
            split=str(t["split"]),
            family=str(t["family"]),
            group=str(t["group"]),
            material=str(t["material"]),
            coating=str(t["coating"]),
            support=str(t["support"]),
            size=_number(t["size"]),
            wall=_number(t["wall"]),
            hollow=bool(t["hollow"]),
            mass=_number(t["mass"]),
            wave_speed=_number(t["wave_speed"]),
            loss=_number(t["loss"]),
            f1=_number(t["f1"]),
            scale_cue=bool(seen.get("scale_cue", False)),
            wall_visible=bool(seen.get("wall_visible", True)),
            point=(float(a["strike_xy"][0, 0]), float(a["strike_xy"][0, 1])),
            force=_number(hit["force"]),
            hardness=_number(hit["hardness"]),
            speed=_number(hit["speed"]),
            contact=float(np.asarray(a["contact_seconds"])[0]),
            frequency=np.asarray(a["frequency"], dtype=float)[keep],
            t60=np.asarray(a["t60"], dtype=float)[keep],
            gain=np.abs(gain[keep]),
            # Shards keep sounds at full scale; the truth holds the factor back to 1.0 = 2 Pa.
            sound=Sound(example.sounds[0].samples * np.float32(_number(hit["scale"])), example.sounds[0].rate),
        )
    except (KeyError, IndexError) as error:
        raise InputError(
            f"The example {example.key!r} lacks {error}; make the world again with this version."
        ) from error


def _number(value: object) -> float:
    if not isinstance(value, (int, float, np.floating, np.integer)):
        raise InputError(f"The world's truth holds {value!r} where a number belongs.")
    return float(value)


def struck(
    frequency: Float[np.ndarray, " k"], gain: Float[np.ndarray, " k"], contact: float
) -> Float[np.ndarray, " k"]:
    """Gains as a mallet that touches for `contact` seconds excites them, from those of an ideal short pulse."""
    return np.abs(np.asarray(gain) * contact_spectrum(np.asarray(frequency), contact))


def answer(source: Item, force: float) -> Answer:
    """A real strike as an answer, at another force: sound is linear in force, and the force is given to every row."""
    if force == source.force:
        return Answer(source.frequency, source.t60, source.gain, source.sound)
    scaled = Sound(source.sound.samples * np.float32(force / source.force), source.sound.rate)
    return Answer(source.frequency, source.t60, source.gain, scaled)


# ---------------------------------------------------------------------------------------------- learning from features


@dataclass(frozen=True, eq=False)
class KernelRidge:
    """Classification by kernel ridge regression on ±1 targets with a Gaussian kernel; settings by a held-out fifth."""

    labels: tuple[str, ...]
    points: Float[np.ndarray, "n d"]
    mean: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]
    gamma: float
    weights: Float[np.ndarray, "n classes"]

    @staticmethod
    def fit(features: Float[np.ndarray, "n d"], names: Sequence[str], seed: int = 0) -> KernelRidge:
        """Learn names from features. Width and ridge are those that name a held-out fifth best."""
        x = np.asarray(features, dtype=np.float64)
        mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
        x = (x - mean) / scale
        labels = tuple(sorted(set(names)))
        y = np.where(np.array([[n == label for label in labels] for n in names]), 1.0, -1.0)
        square = _square_distances(x, x)
        unit = 1.0 / max(float(np.median(square)), 1e-9)
        held = np.random.default_rng(seed).permutation(len(x))[: max(len(x) // 5, 1)]
        kept = np.setdiff1d(np.arange(len(x)), held)
        best = (-1.0, unit, 1e-1)
        for gamma in unit * np.array([0.3, 1.0, 3.0]) if len(kept) else ():
            values, vectors = np.linalg.eigh(np.exp(-gamma * square[np.ix_(kept, kept)]))
            projected, cross = vectors.T @ y[kept], np.exp(-gamma * square[np.ix_(held, kept)]) @ vectors
            for ridge in (1e-3, 1e-2, 1e-1, 1.0):
                guess = cross @ (projected / (np.maximum(values, 0.0) + ridge)[:, None])
                right = float((guess.argmax(axis=1) == y[held].argmax(axis=1)).mean())
                best = max(best, (right, gamma, ridge))
        _, gamma, ridge = best
        weights = np.linalg.solve(np.exp(-gamma * square) + ridge * np.eye(len(x)), y)
        return KernelRidge(labels, x, mean, scale, gamma, weights)

    def predict(self, features: Float[np.ndarray, "m d"]) -> list[str]:
        x = (np.asarray(features, dtype=np.float64) - self.mean) / self.scale
        score = np.exp(-self.gamma * _square_distances(x, self.points)) @ self.weights
        return [self.labels[k] for k in score.argmax(axis=1)]


def _square_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2.0 * a @ b.T, 0.0)


# ---------------------------------------------------------------------------------------------------------- the bank


@dataclass(eq=False)
class Bank:
    """The training world as the baselines know it: its strikes, and the model's features of its pictures."""

    items: list[Item]
    pooled: Float[np.ndarray, "n d"]
    _signatures: Float[np.ndarray, "n q"] = field(init=False)
    _captions: list[dict[str, str]] = field(init=False)
    _size_edges: Float[np.ndarray, " 2"] = field(init=False)
    _namers: dict[str, KernelRidge] = field(init=False)

    def __post_init__(self) -> None:
        if not self.items:
            raise InputError("The training world holds no examples; the baselines need some to draw from.")
        self._signatures = np.array(
            [metrics.quantile_signature(i.frequency, i.t60, struck(i.frequency, i.gain, i.contact)) for i in self.items]
        )
        self._size_edges = np.quantile([i.size for i in self.items], [1 / 3, 2 / 3])
        self._captions = [self.words(i) for i in self.items]
        self._namers = {
            word: KernelRidge.fit(self.pooled, [c[word] for c in self._captions]) for word in self._captions[0]
        }

    def words(self, source: Item) -> dict[str, str]:
        """The caption of a known item, in the finest vocabulary of the world."""
        return {
            "size": SIZE_WORDS[int(np.searchsorted(self._size_edges, source.size))],
            "support": source.support,
            "coating": source.coating,
            "hollow": "hollow" if source.hollow else "solid",
            "family": source.family,
            "material": source.material_word,
        }

    def captions(self, pooled: Float[np.ndarray, "m d"]) -> list[dict[str, str]]:
        """The best caption of each picture: each word by a classifier on the image features."""
        named = {word: namer.predict(pooled) for word, namer in self._namers.items()}
        return [{word: named[word][k] for word in named} for k in range(len(pooled))]

    def cascade(self, caption: dict[str, str]) -> Item:
        """The medoid of the training sounds of a caption; words are dropped (`DROP_ORDER`) until a sound matches."""
        words = dict(caption)
        for drop in (None, *DROP_ORDER):
            if drop is not None:
                del words[drop]
            matching = [k for k, c in enumerate(self._captions) if all(c[w] == v for w, v in words.items())]
            if matching:
                return self.medoid(matching)
        return self.medoid(range(len(self.items)))

    def medoid(self, members: Iterable[int]) -> Item:
        index = np.fromiter(members, dtype=int)
        if len(index) > 400:  # the medoid of an even sample is as typical, at a fraction of the n² distances
            index = index[np.linspace(0, len(index) - 1, 400).astype(int)]
        return self.items[int(index[metrics.medoid(self._signatures[index])])]

    def group_medoid(self, group: str) -> Item:
        """The most typical strike of a material group. It is told the true group, which the model is not."""
        members = [k for k, i in enumerate(self.items) if i.group == group]
        return self.medoid(members or range(len(self.items)))

    def nearest(self, pooled: Float[np.ndarray, " d"], k: int = 3) -> Item:
        """The medoid of the strikes of the `k` most similar pictures (cosine of the model's own image features).

        Of three sounds it is the one between the others; `k` counts objects, so two views of one do not outvote.
        """
        p = self.pooled
        similarity = (p @ pooled) / (np.linalg.norm(p, axis=1) * np.linalg.norm(pooled) + 1e-12)
        chosen: dict[str, int] = {}
        for j in np.argsort(-similarity, kind="stable"):
            chosen.setdefault(self.items[j].shape, int(j))
            if len(chosen) == k:
                break
        return self.medoid(chosen.values())

    def family_pitch(self, family: str) -> float:
        """The mean first mode (in log f) of a family, Hz; of the whole world where the family is unknown."""
        known = [np.log(i.f1) for i in self.items if i.family == family] or [np.log(i.f1) for i in self.items]
        return float(np.exp(np.mean(known)))

    def expected(self, what: Sequence[str], source: Item) -> tuple[float, float]:
        """Mean log size and mean log (wall/size) of the training objects that share the item's `what` fields."""
        same = [i for i in self.items if all(getattr(i, w) == getattr(source, w) for w in what)] or self.items
        return float(np.mean([np.log(i.size) for i in same])), float(np.mean([np.log(i.wall / i.size) for i in same]))

    def oracle(self, source: Item) -> Answer:
        """Everything that the picture shows, known exactly; what it does not show, at its mean in the training world.

        Always known: dimensionless shape, material, coating, support, strike. With a scale cue the size is known too,
        and so is every frequency. Without one, log size is its mean over the training objects of that family; all
        frequencies move by the ratio (f ∝ 1/size). Where the wall cannot be seen, log (wall/size) is the family's mean
        for hollow bodies; frequencies move in proportion (f ∝ wall: bending of a thin shell). Decay times are those
        of the true loss factors at the moved frequencies.
        """
        log_size, log_wall = self.expected(("family",), source)
        ratio = 1.0
        if not source.scale_cue:
            ratio *= source.size / float(np.exp(log_size))
        if source.hollow and not source.wall_visible:
            ratio *= float(np.exp(log_wall)) / (source.wall / source.size)
        frequency = source.frequency * ratio
        loss = 2.2 / (source.frequency * source.t60)
        t60 = 2.2 / (frequency * metrics.t60_at(source.frequency, loss, frequency))
        if ratio == 1.0:
            return Answer(frequency, t60, source.gain, source.sound)
        # The true sound played at that ratio: at an even loss factor decay times shrink as frequencies rise.
        import soxr

        n, rate = source.sound.samples.shape[1], source.sound.rate
        wave = soxr.resample(source.sound.mono.astype(np.float64), ratio * rate, rate)[:n]
        return Answer(frequency, t60, source.gain, Sound(np.pad(wave, (0, n - len(wave)))[None], rate))


def silence(source: Item) -> Answer:
    empty = np.zeros(0)
    return Answer(empty, empty, empty, Sound(np.zeros_like(source.sound.samples), source.sound.rate))


def noise(source: Item, seed: int) -> Answer:
    """White noise at the RMS of the true sound: even energy in frequency, no decay."""
    true = source.sound.samples
    wave = np.random.default_rng(seed).standard_normal(true.shape) * float(np.sqrt((true.astype(float) ** 2).mean()))
    empty = np.zeros(0)
    return Answer(empty, empty, empty, Sound(wave.astype(np.float32), source.sound.rate))


def derangement(shapes: Sequence[str], seed: int) -> np.ndarray:
    """A shuffle that gives every item the strike of another object: a random cyclic shift past its own shape."""
    n = len(shapes)
    order = np.random.default_rng(seed).permutation(n)
    names = np.asarray(shapes)
    out = np.empty(n, dtype=int)
    for at, k in enumerate(order):
        others = (order[(at + step) % n] for step in range(1, n))
        out[k] = next((int(j) for j in others if names[j] != names[k]), int(k))
    return out
