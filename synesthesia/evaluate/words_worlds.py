"""The worlds in which `evaluate words` asks what words lose: nameless birds, laws within a kind, strikes.

Of each: what eyes see of a thing, what can be said of it, which numbers decide its sound, the decoder that makes it,
and the judges. Birds are judged by `metrics.song`, laws by `hear_laws.kept`, strikes by the rank correlation of their
numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from .. import shards
from ..metrics import song as judge
from ..metrics import spearman
from ..senses import Image, InputError, Region
from ..train.knock_data import World, read_world
from ..worlds import bird_laws, bird_songs, noises
from . import hear_laws, words
from .hear_laws import Source
from .words import Examples, Row, Score, Trait

if TYPE_CHECKING:
    from jaxtyping import Float

    from ..bridges.hearing import Hearing
    from ..bridges.knock import Knock

AMONG = 10
DRAWS = 20  # sets of others for each bird
SECONDS = 4.0
LEAST = 0.002  # of the picture that a thing must be, to be looked at
AT_ONCE = 32

Tell = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Asked:
    """A world as it is asked about: examples to learn from, held-out ones, and what is measured of a row's answers."""

    name: str
    train: Examples
    test: Examples
    scores: Mapping[str, Score]


def answer(asked: Asked, seed: int) -> dict[str, Any]:
    """All rows of a world, measured."""
    found = words.rows(asked.train, asked.test, seed)
    return {
        "name": asked.name,
        "train": len(asked.train),
        "test": len(asked.test),
        "rows": words.measured(found, asked.test.objects, asked.scores, seed),
    }


# --- looking ---------------------------------------------------------------------------------------------------------


def look(model: Hearing, things: Iterator[tuple[Image, Region]]) -> Float[np.ndarray, "n width"]:
    """What the closer look of a hearing model sees of each thing, cut out (`bridges.singing`)."""
    import torch

    from ..bridges.singing import closer

    singing = model.singing
    if singing is None:
        raise InputError("This hearing model does not look closer; what words lose is asked of one that does.")
    out: list[np.ndarray] = []
    cuts = (closer(image, region, singing.config.eyes.size) for image, region in things)
    with torch.inference_mode():
        while some := list(islice(cuts, AT_ONCE)):
            out.append(singing.seen(*(torch.stack(parts) for parts in zip(*some, strict=True))).double().numpy())
    return np.concatenate(out)


# --- birds -----------------------------------------------------------------------------------------------------------


def birds(model: Hearing, folder: Path, most: int, judged: int, seed: int, tell: Tell) -> Asked:
    """`folder` has train/ and test/ of `synesthesia world birds`; at most so many birds are learned from and judged."""
    train = _birds(model, folder / "train", "train", most)
    tell(f"{len(train)} birds looked at")
    test = _first(_birds(model, folder / "test", "test", 4 * judged), judged)
    tell(f"{len(test)} birds of unseen species looked at")
    own = np.stack([_sung(row, seed, 2 * i) for i, row in enumerate(test.targets)])
    spread = np.nanstd(own, axis=0)
    heard: dict[int, np.ndarray] = {}

    def made(row: Row) -> np.ndarray:
        if id(row) not in heard:
            heard[id(row)] = np.stack([_sung(t, seed, 2 * i + 1) for i, t in enumerate(row.targets)])
            tell(f"{row.way}, {row.bandwidth}: sung and heard")
        return heard[id(row)]

    def identity(row: Row) -> Callable[[np.ndarray], float]:
        right = identified(made(row), own, np.array(test.objects), spread, seed)
        return lambda index: float(right[index].mean())

    def songs(row: Row) -> Callable[[np.ndarray], float]:
        found = made(row)
        return lambda index: float(np.mean([_correlation(found[index, k], own[index, k]) for k in range(own.shape[1])]))

    scores = {
        f"own song among {AMONG}": identity,
        "song, rank correlation": songs,
        "parameters, rank correlation": words.correlation(test),
    }
    return Asked("birds", train, test, scores)


def _birds(model: Hearing, folder: Path, split: str, most: int) -> Examples:
    found: list[tuple[dict[str, Any], str]] = []

    def things() -> Iterator[tuple[Image, Region]]:
        for example in shards.examples(folder, only={"jpg", "json", "safetensors"}):
            told = example.truth.get("sources")
            if example.truth.get("split") != split or not isinstance(told, list):
                raise InputError(f"{folder} does not hold birds of the split {split}; see `synesthesia world birds`.")
            for source, mask in zip(told, example.arrays["masks"], strict=True):
                if source.get("kind") != "bird" or float(mask.mean()) / 255 < LEAST or int(mask.max()) < 255:
                    continue
                if len(found) == most:
                    return
                found.append((source, str(source["species"])))
                yield example.image, Region(mask.astype(np.float32) / 255)

    features = look(model, things())
    names = list(bird_laws.TRAITS)
    shares = np.array([[share(bird_laws.TRAITS[n], s["parameters"][n]) for n in names] for s, _ in found])
    traits = tuple(Trait(name, shares[:, k]) for k, name in enumerate(names))
    songs = np.array([deviations(s["song"]) for s, _ in found])
    return Examples(features, traits, songs, tuple(species for _, species in found))


def share(span: bird_laws.Span, value: float) -> float:
    """How far a value lies from the low end of its span to the high one; `bird_laws.Span.at` undone."""
    if span.log:
        return math.log(value / span.low) / math.log(span.high / span.low)
    return (value - span.low) / (span.high - span.low)


def deviations(song: Mapping[str, float]) -> Float[np.ndarray, " voice"]:
    """A song's parameters as deviations over species; `bird_laws.song` undone."""
    shares = np.array([share(span, song[name]) for name, span in bird_laws.VOICE.items()])
    return ndtri(np.clip(shares, 1e-4, 1 - 1e-4)) * math.sqrt(1 + bird_laws.SCATTER**2)


def _first(examples: Examples, most: int) -> Examples:
    """One example of each object, at most so many."""
    at = np.sort(np.unique(np.array(examples.objects), return_index=True)[1])[:most]
    traits = tuple(Trait(t.name, t.values[at], t.classes) for t in examples.traits)
    return Examples(examples.features[at], traits, examples.targets[at], tuple(examples.objects[i] for i in at))


def _sung(target: Float[np.ndarray, " voice"], seed: int, number: int) -> Float[np.ndarray, " names"]:
    """What the judge says of one rendition of a song."""
    wave, _ = bird_songs.sing(bird_laws.song(target), SECONDS, np.random.default_rng([seed, number]))
    return judge.song(wave, bird_songs.RATE)


def identified(
    made: Float[np.ndarray, "n names"],
    own: Float[np.ndarray, "n names"],
    species: np.ndarray,
    spread: Float[np.ndarray, " names"],
    seed: int,
) -> Float[np.ndarray, " n"]:
    """Of each: in which share of draws its own song is nearer to what was made than those of `AMONG` − 1 others, of
    other species."""
    rng, right = np.random.default_rng([seed, 31]), np.zeros(len(made))
    among = min(AMONG, len(made))
    for k in range(len(made)):
        gaps = judge.distance(made[k], own, spread)
        for _ in range(DRAWS):
            others = rng.choice(np.flatnonzero(species != species[k]), among - 1, replace=False)
            right[k] += float(gaps[k] < gaps[others].min())
    return right / DRAWS


def _correlation(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    rho = spearman(a[both], b[both]) if both.sum() > 2 else math.nan
    return rho if math.isfinite(rho) else 0.0


# --- laws within a kind ----------------------------------------------------------------------------------------------


def laws(model: Hearing, folder: Path, most: int, judged: int, seed: int, tell: Tell) -> Asked:
    """`folder` has train/ and test/ of `synesthesia world scenes`; at most so many sources of a kind."""
    train, test = (
        [s for s in hear_laws.read(folder / split, split, n) if float(s.region.mask.max()) > 0.9]
        for split, n in (("train", most), ("test", judged))
    )
    tell(f"{len(train)} and {len(test)} sources read")
    known, asked = _sources(model, train), _sources(model, test)
    tell("sources looked at")
    true = hear_laws.heard([s.sound for s in test])
    heard: dict[int, np.ndarray] = {}

    def made(row: Row) -> np.ndarray:
        if id(row) not in heard:
            rng = np.random.default_rng([seed, 32])
            told = [said(target) for target in row.targets]
            heard[id(row)] = hear_laws.heard(
                [noises.sound(kind, p, away, SECONDS, int(rng.integers(2**31))) for kind, p, away in told]
            )
            tell(f"{row.way}, {row.bandwidth}: made and heard")
        return heard[id(row)]

    found = hear_laws.lawful(test, true)

    def kept(row: Row) -> Callable[[np.ndarray], float]:
        values = made(row)
        return lambda index: hear_laws.kept(found, values, index)

    kinds = np.array([noises.KINDS.index(s.kind) for s in test])

    def named(row: Row) -> Callable[[np.ndarray], float]:
        right = row.targets[:, : len(noises.KINDS)].argmax(axis=1) == kinds
        return lambda index: float(right[index].mean())

    return Asked("laws", known, asked, {"laws, rank correlation": kept, "kind": named})


def _sources(model: Hearing, sources: Sequence[Source]) -> Examples:
    features = look(model, ((s.image, s.region) for s in sources))
    kinds = np.array([float(noises.KINDS.index(s.kind)) for s in sources])
    shares = np.array([_shares(s) for s in sources])
    traits = (Trait("kind", kinds, len(noises.KINDS)),
              *(Trait(name, shares[:, k]) for k, name in enumerate(("first", "second", "distance"))))  # fmt: skip
    targets = np.concatenate([np.eye(len(noises.KINDS))[kinds.astype(int)], shares], axis=1)
    return Examples(features, traits, targets, tuple(s.scene for s in sources), len(noises.KINDS))


def _spans(kind: str) -> list[tuple[str, tuple[float, float]]]:
    law = noises.LAWS[kind]
    return [*law.parameters.items(), ("", law.distance)]


def _shares(source: Source) -> list[float]:
    """Where the kind's first and second parameter and the distance lie in their ranges; the middle for none."""
    *own, (_, away) = [
        (name, math.log(source.seen[name or "distance_m"] / low) / math.log(high / low) if high > low else 0.5)
        for name, (low, high) in _spans(source.kind)
    ]
    return [*(value for _, value in own), *[0.5] * (2 - len(own)), away]


def said(target: Float[np.ndarray, " numbers"]) -> tuple[str, dict[str, float], float]:
    """Kind, parameters and distance out of a row's numbers: what the synthesiser is given."""
    count = len(noises.KINDS)
    kind = noises.KINDS[int(target[:count].argmax())]
    *own, (_, (near, far)) = _spans(kind)
    shares = np.clip(target[count:], 0.0, 1.0)
    values = {name: low * (high / low) ** float(s) for (name, (low, high)), s in zip(own, shares, strict=False)}
    return kind, values, near * (far / near) ** float(shares[2])


# --- strikes ---------------------------------------------------------------------------------------------------------

STRIKE = ("pitch", "decay", "brightness", "level")


def strikes(model: Knock, folder: Path, most: int, judged: int, tell: Tell) -> Asked:
    """`folder` has train/ and test/ of `synesthesia world knock`; of test the split of unseen objects is taken."""
    worlds = [read_world(folder / split) for split in ("train", "test")]
    classes = {
        name: sorted({str(t[name]) for w in worlds for t in w.truth})
        for name in ("family", "material", "coating", "support")
    }
    known, asked = (
        _strikes(model, w, classes, split, n)
        for w, split, n in zip(worlds, ("train", "objects"), (most, judged), strict=True)
    )
    tell(f"{len(known)} and {len(asked)} objects looked at")
    return Asked("strikes", known, asked, {"strike, rank correlation": words.correlation(asked)})


def _strikes(model: Knock, world: World, classes: Mapping[str, list[str]], split: str, most: int) -> Examples:
    at = [i for i, t in enumerate(world.truth) if t["split"] == split][:most]
    if not at:
        raise InputError(f"There is nothing of the split {split} among these strikes; see `synesthesia world knock`.")
    seen = model.see([Image(world.pictures[i]) for i in at])
    features = np.stack([_clicked(s, world.place[i, 0]) for s, i in zip(seen, at, strict=True)])
    truth = [world.truth[i] for i in at]
    traits = [Trait(name, np.array([float(values.index(str(t[name]))) for t in truth]), len(values))
              for name, values in classes.items()]  # fmt: skip
    traits.append(Trait("hollow", np.array([float(bool(t["hollow"])) for t in truth]), 2))
    traits += [Trait(name, np.log([float(t[name]) for t in truth])) for name in ("size", "wall", "mass")]
    return Examples(
        features, tuple(traits), np.stack([struck(world, i) for i in at]), tuple(str(world.shape_key[i]) for i in at)
    )


def _clicked(seen: Any, point: np.ndarray) -> Float[np.ndarray, " width"]:
    """What the eyes see of the whole, and where it is struck."""
    parts = [seen.pooled]
    for values in seen.maps[1:]:  # (width, rows, columns)
        rows, columns = values.shape[1:]
        x, y = min(int(point[0] * columns), columns - 1), min(int(point[1] * rows), rows - 1)
        parts.append(values[:, y, x].numpy())
    return np.concatenate(parts)


def struck(world: World, i: int) -> Float[np.ndarray, " strike"]:
    """`STRIKE`: natural logarithms of the lowest line's Hz and of its T60, the mean Hz by energy, the level."""
    f, loss, gain = world.log_frequency[i], world.log_loss[i], world.log_gain[i, 0]
    known = np.isfinite(f) & np.isfinite(loss) & np.isfinite(gain)
    f, t60 = f[known].astype(float), math.log(2.2) - loss[known] - f[known]
    energy = 2 * gain[known].astype(float) + t60
    weight = np.exp(energy - energy.max())
    first = int(f.argmin())
    level = 0.5 * (energy.max() + math.log(weight.sum()))
    return np.array([f[first], t60[first], float(weight @ f / weight.sum()), level])
