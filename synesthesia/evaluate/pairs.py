"""The order of real things: of two photos of one kind, does what must be louder sound louder?

Forty-two pairs of held-out photos were chosen by eye (`data/pairs.csv`, with the point that is clicked in each): a
rougher and a calmer sea, a larger and a smaller fall of water or fountain, a larger or nearer and a smaller flame.
Photos cannot tell what they sounded like; that breakers are louder than a bay is what anyone would say. A way through
the kind's name has one sound for both and is at chance.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import table
from ..metrics import bootstrap
from ..senses import Point
from .hear_laws import ATTRIBUTES, heard

if TYPE_CHECKING:
    from jaxtyping import Float

    from ..bridges.hearing import Hearing

SECONDS = 4.0
TAKES = 3  # of each, of which the mean level counts


@dataclass(frozen=True)
class Spot:
    """A photo by its name in the data, and a point in it."""

    file: str
    at: Point


@dataclass(frozen=True)
class Pair:
    """Two of a kind, of which the first must be louder."""

    kind: str
    louder: Spot
    softer: Spot


def chosen() -> list[Pair]:
    """The pairs that were chosen by eye."""
    with files("synesthesia.data").joinpath("pairs.csv").open(encoding="utf-8") as file:
        return [
            Pair(
                row["kind"],
                *(Spot(row[of], Point(float(row[f"{of}_x"]), float(row[f"{of}_y"]))) for of in ("louder", "softer")),
            )
            for row in csv.DictReader(file)
        ]


def evaluate(model: Hearing, folder: Path, seed: int = 0) -> dict[str, Any]:
    """The share of pairs in their order, all and of each kind, with the interval over photos; and every pair.

    `folder` holds the starter data by the names of its table. Raises InputError for photos that are not there.
    """
    pairs = chosen()
    spots = sorted({s for p in pairs for s in (p.louder, p.softer)}, key=lambda s: s.file)
    images = [table.photo(folder, spot.file) for spot in spots]
    level = np.zeros(len(spots))
    for take in range(TAKES):
        made = model.sounds(
            images, [s.at for s in spots], SECONDS, [seed + TAKES * k + take for k in range(len(spots))]
        )
        level += heard(made)[:, ATTRIBUTES.index("level")] / TAKES
    number = {spot: k for k, spot in enumerate(spots)}
    first, second = (
        np.array([number[s] for s in side]) for side in zip(*((p.louder, p.softer) for p in pairs), strict=True)
    )
    gap = level[first] - level[second]
    right = 0.5 + 0.5 * np.where(np.abs(gap) < 1e-6, 0.0, np.sign(gap))

    def share(weight: Float[np.ndarray, " pairs"]) -> float:
        return float(right @ weight / weight.sum()) if weight.any() else np.nan

    def over(some: Sequence[int]) -> dict[str, Any]:
        of = np.zeros(len(pairs))
        of[list(some)] = 1

        def statistic(index: np.ndarray) -> float:
            count = np.bincount(index, minlength=len(spots)).astype(float)
            return share(of * count[first] * count[second])

        return bootstrap(np.arange(len(spots)), statistic, seed=seed).record() | {"n": len(some)}

    kinds = sorted({p.kind for p in pairs})
    return {
        "all": over(range(len(pairs))),
        "kinds": {kind: over([k for k, p in enumerate(pairs) if p.kind == kind]) for kind in kinds},
        "pairs": [
            {"kind": p.kind, "louder": p.louder.file, "softer": p.softer.file, "gap_db": float(g)}
            for p, g in zip(pairs, gap, strict=True)
        ],
    }


def plain(result: dict[str, Any]) -> str:
    """The figures of `evaluate` in a line."""

    def cell(e: dict[str, Any]) -> str:
        return f"{100 * e['value']:.0f} [{100 * e['low']:.0f}, {100 * e['high']:.0f}] % of {e['n']}"

    each = ", ".join(f"{kind} {cell(e)}" for kind, e in result["kinds"].items())
    return f"In order: {cell(result['all'])} pairs (chance 50); {each}."
