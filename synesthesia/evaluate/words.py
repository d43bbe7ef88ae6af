"""What words lose: the way through words at rising bandwidth against the direct way, from the same look.

A look is what frozen eyes see of a thing. The direct way maps it to what decides the thing's sound; the other way maps
it to words, and the words to what decides the sound. Both ways are fitted by the same method on the same examples, make
their sound with the same decoder, and are measured by the same judges. In favour of words: they are taught by labels
that the direct way never sees, they have two fitted maps instead of one, and the listener learns from words of that
very speaker, so it knows how far to trust them. A third row lets the truth itself speak: all that words of this
bandwidth can carry.

Words are grades of what the world knows of a thing: thirds in `1 word` and `3 words`, fifths in a sentence of eight,
and sevenths of everything in `64 tokens`, two tokens for each trait, its name and its degree. Seven is how many
degrees of one thing people tell apart when they have to name them (Miller 1956, "The magical number seven", Psychol.
Rev. 63, 81: about 2.6 bits for one dimension). The direct way is cut down as well, to so many bits for each number
that it hands on.

Bits are sums of the entropies of the tokens over the training examples: the mean length of a message whose tokens are
coded one by one by the best code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..metrics import bootstrap, spearman
from ..picture import draw_bandwidth
from ..senses import Image

if TYPE_CHECKING:
    from jaxtyping import Float, Int

# Name, how many traits are told, in how many degrees.
BANDWIDTHS = (("1 word", 1, 3), ("3 words", 3, 3), ("sentence", 8, 5), ("64 tokens", 32, 7))
NUMBER_BITS = (1, 2, 3)  # for each number of the direct way
FOLDS = 5
MOST_SEARCHED = 1200  # examples on which a map's settings are chosen
GAMMAS, RIDGES = (0.1, 0.3, 1.0), (1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True, eq=False)
class Trait:
    """Something that words can tell: `values` are numbers, or codes from 0 to `classes` − 1 where there are classes."""

    name: str
    values: Float[np.ndarray, " n"]
    classes: int = 0


@dataclass(frozen=True, eq=False)
class Examples:
    """Things that were looked at: what the eyes see, what can be said of each, and what decides its sound.

    `objects` names what examples have in common that makes them one to the bootstrap (a species, a scene, a shape).
    The first `kinds` of the targets, if any, are one choice: a one among zeros.
    """

    features: Float[np.ndarray, "n width"]
    traits: tuple[Trait, ...]
    targets: Float[np.ndarray, "n numbers"]
    objects: tuple[str, ...]
    kinds: int = 0

    def __len__(self) -> int:
        return len(self.objects)


# --- the method of every map -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Map:
    """Kernel ridge regression with a Gaussian kernel: a smooth function of whatever form the examples have."""

    points: Float[np.ndarray, "n d"]
    mean: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]
    gamma: float
    ridge: float
    weights: Float[np.ndarray, "n numbers"]
    offset: Float[np.ndarray, " numbers"]

    @staticmethod
    def fit(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n numbers"], seed: int = 0) -> Map:
        """Width of the kernel and ridge are those that do best on a held-out fifth."""
        mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
        z, offset = (x - mean) / scale, y.mean(axis=0)
        spread = y.std(axis=0) + 1e-9
        some = np.random.default_rng(seed).permutation(len(z))[:MOST_SEARCHED]
        held, kept = some[: max(len(some) // 5, 1)], some[max(len(some) // 5, 1) :]
        square = _squares(z[some], z[some])
        unit = 1.0 / max(float(np.median(square)), 1e-9)
        at = {int(row): k for k, row in enumerate(some)}
        inner, outer = [at[int(r)] for r in kept], [at[int(r)] for r in held]
        best = (math.inf, unit, 1e-1)
        for gamma in (unit * g for g in GAMMAS):
            values, vectors = np.linalg.eigh(np.exp(-gamma * square[np.ix_(inner, inner)]))
            projected = vectors.T @ (y[kept] - offset)
            cross = np.exp(-gamma * square[np.ix_(outer, inner)]) @ vectors
            for ridge in RIDGES:
                guess = cross @ (projected / (np.maximum(values, 0.0) + ridge)[:, None])
                error = float(np.mean(((y[held] - offset - guess) / spread) ** 2))
                best = min(best, (error, gamma, ridge))
        return Map._solved(z, y, mean, scale, best[1], best[2])

    def again(self, x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n numbers"]) -> Map:
        """The same settings on other examples."""
        return Map._solved((x - self.mean) / self.scale, y, self.mean, self.scale, self.gamma, self.ridge)

    @staticmethod
    def _solved(
        z: np.ndarray, y: np.ndarray, mean: np.ndarray, scale: np.ndarray, gamma: float, ridge: float
    ) -> Map:  # fmt: skip
        from scipy.linalg import cho_factor, cho_solve

        kernel = np.exp(-gamma * _squares(z, z))
        kernel[np.diag_indices(len(z))] += ridge
        offset = y.mean(axis=0)
        return Map(z, mean, scale, gamma, ridge, cho_solve(cho_factor(kernel), y - offset), offset)

    def __call__(self, x: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m numbers"]:
        z = (x - self.mean) / self.scale
        return np.exp(-self.gamma * _squares(z, self.points)) @ self.weights + self.offset


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2.0 * a @ b.T, 0.0)


# --- words -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Which traits are told, in how many degrees: `edges[k]` between those of trait `told[k]`; None for classes."""

    told: tuple[int, ...]
    edges: tuple[Float[np.ndarray, " cuts"] | None, ...]

    @staticmethod
    def of(traits: Sequence[Trait], told: Sequence[int], degrees: int) -> Vocabulary:
        """Degrees that are equally frequent, so that each word says as much as it can."""
        cuts = np.arange(1, degrees) / degrees
        edges = tuple(None if traits[k].classes else np.quantile(traits[k].values, cuts) for k in told)
        return Vocabulary(tuple(told), edges)

    def words(self, values: Sequence[Float[np.ndarray, " n"]]) -> Int[np.ndarray, "n words"]:
        """The words for values of all traits; of classes, their codes."""
        columns = [
            values[k].astype(int) if edges is None else np.searchsorted(edges, values[k], side="right")
            for k, edges in zip(self.told, self.edges, strict=True)
        ]
        return np.stack(columns, axis=1)


def entropy(words: Int[np.ndarray, "n words"]) -> float:
    """Bits of a message: the sum of the entropies of its words."""
    total = 0.0
    for column in words.T:
        share = np.unique(column, return_counts=True)[1] / len(column)
        total -= float(share @ np.log2(share))
    return total


def spelt(words: Int[np.ndarray, "n words"], traits: Sequence[Trait], told: Sequence[int]) -> Float[np.ndarray, "n d"]:
    """Words as a listener takes them: degrees as numbers, for it knows their order, and classes apart."""
    columns = []
    for column, k in zip(words.T, told, strict=True):
        if traits[k].classes:
            columns += [(column == c).astype(float) for c in range(traits[k].classes)]
        else:
            columns.append(column.astype(float))
    return np.stack(columns, axis=1)


def chosen(examples: Examples, count: int, degrees: int) -> list[int]:
    """The traits that tell most of the targets, one after another: by how much a sum over their words explains."""
    y = (examples.targets - examples.targets.mean(axis=0)) / (examples.targets.std(axis=0) + 1e-9)
    columns = []
    for k in range(len(examples.traits)):
        words = Vocabulary.of(examples.traits, [k], degrees).words([t.values for t in examples.traits])[:, 0]
        columns.append(np.stack([words == w for w in np.unique(words)[1:]], axis=1).astype(float))
    told: list[int] = []
    base = np.ones((len(y), 1))
    while len(told) < min(count, len(columns)):
        left: dict[int, float] = {}
        for k in range(len(columns)):
            if k not in told:
                x = np.concatenate([base, columns[k]], axis=1)
                left[k] = float(((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2).sum())
        told.append(min(left, key=lambda k: (left[k], k)))
        base = np.concatenate([base, columns[told[-1]]], axis=1)
    return told


# --- the speaker -----------------------------------------------------------------------------------------------------


def _labels(traits: Sequence[Trait]) -> Float[np.ndarray, "n labels"]:
    """What the speaker is taught: numbers in deviations, classes as ones among zeros."""
    columns = []
    for t in traits:
        if t.classes:
            columns += [(t.values == c).astype(float) for c in range(t.classes)]
        else:
            columns.append((t.values - t.values.mean()) / (t.values.std() + 1e-9))
    return np.stack(columns, axis=1)


def _read(labels: Float[np.ndarray, "m labels"], traits: Sequence[Trait]) -> list[Float[np.ndarray, " m"]]:
    """Values of all traits out of what the speaker's map says."""
    out, at = [], 0
    for t in traits:
        if t.classes:
            out.append(labels[:, at : at + t.classes].argmax(axis=1).astype(float))
            at += t.classes
        else:
            out.append(labels[:, at] * (t.values.std() + 1e-9) + t.values.mean())
            at += 1
    return out


@dataclass(frozen=True, eq=False)
class Speaker:
    """What is read in looks: of training examples by maps that were fitted without them, and of those asked about."""

    train: list[Float[np.ndarray, " n"]]
    test: list[Float[np.ndarray, " m"]]

    @staticmethod
    def of(train: Examples, test: Examples, seed: int) -> Speaker:
        """`FOLDS` maps for the training examples, split by object, one of all for the others."""
        labels = _labels(train.traits)
        whole = Map.fit(train.features, labels, seed)
        return Speaker(_read(crossed(whole, train, labels), train.traits), _read(whole(test.features), train.traits))


def crossed(whole: Map, train: Examples, values: Float[np.ndarray, "n numbers"]) -> Float[np.ndarray, "n numbers"]:
    """What a map says of the training examples when it was fitted without them: in `FOLDS` parts, split by object."""
    part = np.unique(np.array(train.objects), return_inverse=True)[1] % FOLDS
    out = np.repeat(values.mean(axis=0, keepdims=True), len(values), axis=0)
    for fold in range(FOLDS):
        asked = part == fold
        if asked.any() and not asked.all():
            out[asked] = whole.again(train.features[~asked], values[~asked])(train.features[asked])
    return out


# --- rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Row:
    """One way at one bandwidth: bits (infinite where nothing is cut down) and what it hands to the decoder."""

    way: str
    bandwidth: str
    bits: float
    targets: Float[np.ndarray, "m numbers"]
    told: tuple[str, ...] = ()


def rows(train: Examples, test: Examples, seed: int = 0) -> list[Row]:
    """Every way's answers to the test examples, and the truth's at the end.

    The ways: `direct`; `words`, spoken by who sees the same look; `told`, words of the truth.
    """
    mapped = Map.fit(train.features, train.targets, seed)
    direct, known = mapped(test.features), crossed(mapped, train, train.targets)
    out = [Row("direct", f"{bits} bits a number", *_cut(known, direct, bits, train.kinds)) for bits in NUMBER_BITS]
    out.append(Row("direct", "whole", math.inf, direct))
    speaker = Speaker.of(train, test, seed)
    true = [t.values for t in train.traits], [t.values for t in test.traits]
    for name, count, degrees in BANDWIDTHS:
        told = chosen(train, count, degrees)
        vocabulary = Vocabulary.of(train.traits, told, degrees)
        names = tuple(train.traits[k].name for k in told)
        for way, (known, asked) in {"words": (speaker.train, speaker.test), "told": true}.items():
            said = vocabulary.words(known)
            listener = Map.fit(spelt(said, train.traits, told), train.targets, seed)
            answer = listener(spelt(vocabulary.words(asked), train.traits, told))
            out.append(Row(way, name, entropy(said), answer, names))
    out.append(Row("truth", "whole", math.inf, test.targets))
    return out


def _cut(
    known: Float[np.ndarray, "n k"], values: Float[np.ndarray, "m k"], bits: int, kinds: int = 0
) -> tuple[float, Float[np.ndarray, "m k"]]:
    """Each number in 2^bits steps that are equally frequent in what is known, told as their means; and the bits.

    Of the first `kinds` columns only the largest is told.
    """
    steps, out = [], np.empty_like(values)
    if kinds:
        steps.append(known[:, :kinds].argmax(axis=1))
        out[:, :kinds] = np.eye(kinds)[values[:, :kinds].argmax(axis=1)]
    for k in range(kinds, values.shape[1]):
        edges = np.quantile(known[:, k], np.arange(1, 2**bits) / 2**bits)
        steps.append(np.searchsorted(edges, known[:, k], side="right"))
        middles = np.array([known[steps[-1] == w, k].mean() if (steps[-1] == w).any() else edges[min(w, len(edges) - 1)]
                            for w in range(2**bits)])  # fmt: skip
        out[:, k] = middles[np.searchsorted(edges, values[:, k], side="right")]
    return entropy(np.stack(steps, axis=1)), out


# --- what survives ---------------------------------------------------------------------------------------------------

# Of a row: a statistic of drawn examples, as `metrics.bootstrap` takes it.
Score: TypeAlias = Callable[[Row], Callable[[np.ndarray], float]]


def measured(
    answers: Sequence[Row], objects: Sequence[str], scores: Mapping[str, Score], seed: int = 0, resamples: int = 300
) -> list[dict[str, Any]]:
    """For each row its bits and each score with its interval, and the direct way's lead over it, paired."""
    names = np.array(objects)
    whole = {key: make(next(r for r in answers if (r.way, r.bandwidth) == ("direct", "whole")))
             for key, make in scores.items()}  # fmt: skip
    out = []
    for row in answers:
        bits = row.bits if math.isfinite(row.bits) else None
        told: dict[str, Any] = {"way": row.way, "bandwidth": row.bandwidth, "bits": bits, "told": list(row.told)}
        for key, make in scores.items():
            score = make(row)
            told[key] = bootstrap(names, score, seed=seed, resamples=resamples).record()
            if row.way in ("words", "told"):
                lead = bootstrap(
                    names, lambda i, key=key, score=score: whole[key](i) - score(i), seed=seed, resamples=resamples
                )
                told[f"{key}, direct's lead"] = lead.record()
        out.append(told)
    return out


def correlation(test: Examples) -> Score:
    """The mean rank correlation of the numbers that are handed to the decoder with the true ones."""

    def of(row: Row) -> Callable[[np.ndarray], float]:
        def score(index: np.ndarray) -> float:
            each = [spearman(row.targets[index, k], test.targets[index, k]) for k in range(test.targets.shape[1])]
            return float(np.mean(np.nan_to_num(each)))

        return score

    return of


def drawn(parts: Sequence[Mapping[str, Any]]) -> Image:
    """The first score of each world against the bits, a curve for each way."""
    names = {"direct": "direct", "words": "through words", "told": "words of the truth", "truth": "the truth"}
    panels = []
    for part in parts:
        key = next(k for k, v in part["rows"][0].items() if isinstance(v, dict))
        curves = [
            (name, [(math.inf if r["bits"] is None else r["bits"], *(r[key][e] for e in ("value", "low", "high")))
                    for r in part["rows"] if r["way"] == way])
            for way, name in names.items()
        ]  # fmt: skip
        panels.append((f"{part['name']}: {key}", curves))
    return draw_bandwidth(panels)


def table(part: Mapping[str, Any]) -> str:
    """The figures of one world as Markdown."""
    keys = [k for k in part["rows"][0] if isinstance(part["rows"][0][k], dict)]

    def cell(e: Mapping[str, Any]) -> str:
        return f"{e['value']:.2f} [{e['low']:.2f}, {e['high']:.2f}]"

    lines = [f"{part['name']}: {part['train']} examples to learn from, {part['test']} asked about", "",
             "| way | bandwidth | bits | " + " | ".join(keys) + " |", "|---" * (3 + len(keys)) + "|"]  # fmt: skip
    for row in part["rows"]:
        bits = "–" if row["bits"] is None else f"{row['bits']:.0f}"
        lines.append(f"| {row['way']} | {row['bandwidth']} | {bits} | " + " | ".join(cell(row[k]) for k in keys) + " |")
    finest = next(r for r in part["rows"] if (r["way"], r["bandwidth"]) == ("words", BANDWIDTHS[-1][0]))
    leads = [f"{k} {cell(finest[f'{k}, direct' + chr(39) + 's lead'])}" for k in keys]
    return "\n".join([*lines, "", f"Direct above {BANDWIDTHS[-1][0]} of the same look: {'; '.join(leads)}."])
