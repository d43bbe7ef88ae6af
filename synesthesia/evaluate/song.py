"""Nameless birds: does what is heard at a bird of an unseen species sound like its own song?

Held-out pictures of `synesthesia world birds` say of each bird where it is and hold its song alone. The judge is
`metrics.song`, a follower of pitch that learned nothing. A sound is as far from a song as thirteen numbers say; the own
song among ten is found when it is nearer than those of nine birds of other species. Of two birds in one picture a click
on one must sound nearer to that one's song than to the other's.

Rows: the model by a click and by the bird's mask; what it made of another bird; a recording of the training bird that
its eyes think most alike; and the ceiling, the same bird at another time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import shards
from ..metrics import bootstrap, mean, spearman
from ..metrics import song as judge
from ..senses import Image, InputError, Point, Region, Sound
from ..worlds import bird_laws, bird_songs
from .baselines import derangement
from .words_worlds import AMONG, identified

if TYPE_CHECKING:
    from jaxtyping import Float

    from ..bridges.hearing import Hearing

SECONDS = 4.0
LEAST = 0.002  # of the picture that a bird must be, to be asked about
MOST_LEARNED = 2000

Tell = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Bird:
    """A bird in a picture: where it is, and how it sings."""

    picture: str
    image: Image
    region: Region
    species: str
    song: bird_laws.Song
    sound: Sound

    @property
    def middle(self) -> Point:
        """The point of it that is farthest from its edge."""
        from scipy.ndimage import distance_transform_edt

        inside = np.pad(np.asarray(self.region.mask) > 0.5, 1)
        away = distance_transform_edt(inside)[1:-1, 1:-1]
        row, column = np.unravel_index(int(away.argmax()), away.shape)
        return Point((column + 0.5) / away.shape[1], (row + 0.5) / away.shape[0])


def read(folder: Path, split: str, most: int) -> list[Bird]:
    """The first birds of a world; InputError for anything else, or another split."""
    return list(islice(_birds(folder, split), most))


def _birds(folder: Path, split: str) -> Any:
    for example in shards.examples(folder):
        told, masks = example.truth.get("sources"), example.arrays.get("masks")
        if example.truth.get("split") != split or not isinstance(told, list) or masks is None:
            raise InputError(f"{folder} does not hold birds of the split {split}; see `synesthesia world birds`.")
        for source, mask, sound in zip(told, masks, example.sounds, strict=False):
            if source.get("kind") != "bird" or float(mask.mean()) / 255 < LEAST or int(mask.max()) < 200:
                continue
            region = Region(mask.astype(np.float32) / 255)
            song = bird_laws.Song(**source["song"])
            yield Bird(example.key, example.image, region, str(source["species"]), song, sound)


def heard(sounds: Sequence[Sound]) -> Float[np.ndarray, "n names"]:
    """What the judge says of each sound."""
    return np.stack([judge.song(sound.mono, sound.rate) for sound in sounds])


def evaluate(
    model: Hearing, world: Path, train_world: Path | None = None, seed: int = 0, most: int = 1000, tell: Tell = print
) -> dict[str, Any]:
    """All rows; `train_world` is of the split train, for the row of neighbours."""
    asked = read(world, "test", most)
    if len(asked) < AMONG:
        raise InputError(f"{world} shows {len(asked)} birds; {AMONG} are needed.")
    images, masks = [a.image for a in asked], [a.region for a in asked]
    seeds = [seed + k for k in range(len(asked))]
    own = heard([a.sound for a in asked])
    tell(f"{len(asked)} birds of unseen species heard")
    made = {
        "click": heard(model.sounds(images, [a.middle for a in asked], SECONDS, seeds)),
        "mask": heard(model.sounds(images, masks, SECONDS, seeds)),
    }
    species = [a.species for a in asked]
    made["shuffled"] = made["click"][derangement(species, seed)]
    tell("the model has sung")
    if train_world is not None:
        known = read(train_world, "train", MOST_LEARNED)
        seen, library = (model.patches([b.image for b in some], [b.region for b in some]) for some in (asked, known))
        spread = library.std(0) + 1e-6
        near = [int(np.square((library - one) / spread).sum(1).argmin()) for one in seen]
        made["neighbour"] = heard([known[k].sound for k in near])
    again = [bird_songs.sing(a.song, SECONDS, np.random.default_rng([seed, 41, k]))[0] for k, a in enumerate(asked)]
    made["again"] = heard([Sound(wave[None], bird_songs.RATE) for wave in again])
    return {"seed": seed, "birds": len(asked), "species": len(set(species))} | {
        "rows": {name: _measured(row, own, asked, seed) for name, row in made.items()}
    }


def _measured(
    made: Float[np.ndarray, "n names"], own: Float[np.ndarray, "n names"], asked: Sequence[Bird], seed: int
) -> dict[str, Any]:
    spread = np.nanstd(own, axis=0)
    species = np.array([a.species for a in asked])
    pictures = np.array([a.picture for a in asked])

    def correlated(index: np.ndarray) -> float:
        found = []
        for k in range(own.shape[1]):
            a, b = made[index, k], own[index, k]
            both = np.isfinite(a) & np.isfinite(b)
            rho = spearman(a[both], b[both]) if both.sum() > 2 else math.nan
            found.append(rho if math.isfinite(rho) else 0.0)
        return float(np.mean(found))

    pairs, whose = [], []
    for k in range(len(asked)):
        for other in np.flatnonzero((pictures == pictures[k]) & (species != species[k])):
            gaps = judge.distance(made[k], own[[k, other]], spread)
            pairs.append(0.5 if gaps[0] == gaps[1] else float(gaps[0] < gaps[1]))
            whose.append(pictures[k])
    return {
        "among_10": mean(identified(made, own, species, spread, seed), species).record(),
        "correlation": bootstrap(species, correlated, seed=seed).record(),
        "of_two": mean(np.array(pairs), whose).record() if pairs else None,
    }


def table(result: Mapping[str, Any]) -> str:
    """The figures as Markdown."""

    def said(told: Mapping[str, float] | None, unit: float) -> str:
        if told is None:
            return ""
        value, low, high = (unit * told[k] for k in ("value", "low", "high"))
        return f"{value:.0f} [{low:.0f}, {high:.0f}]" if unit > 1 else f"{value:.2f} [{low:.2f}, {high:.2f}]"

    lines = [
        f"{result['birds']} birds of {result['species']} unseen species",
        "",
        f"| row | own song among {AMONG}, % | rank correlation | own of two in a picture, % |",
        "|---|---|---|---|",
    ]
    for name, row in result["rows"].items():
        figures = (said(row["among_10"], 100), said(row["correlation"], 1), said(row["of_two"], 100))
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return "\n".join(lines)
