"""Open air: the straight way, its reflection in the ground, and what stands between.

A place tells the renderer by which ways a source reaches an ear: `ways(sources, ear)`, see `Ways`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..senses import FAR, InputError
from .air import Air
from .filters import BANDS

if TYPE_CHECKING:
    from jaxtyping import Float

# Flow resistivity in Pa s/m² by Embleton, Piercy & Daigle (1983, JASA 74, 1239), the middle of their ranges.
GROUNDS: dict[str, float] = {
    "snow": 3.0e4,
    "forest": 5.0e4,
    "grass": 2.2e5,
    "sand": 6.0e5,
    "gravel": 1.2e6,
    "earth": 6.0e6,
    "asphalt": 3.0e7,
    "water": 1.0e10,
}


class Ways(NamedTuple):
    """How sources reach an ear, way by way.

    `points` [sources, ways, 3] is where the sound seems to come from (the first way is the straight one; the others
    are mirror images), `loss_db` [sources, ways, bands] what it lost to walls, ground and screens. The first `near` of
    the ways are rendered each with its own direction and spectrum, the others together.
    """

    points: Float[np.ndarray, "sources ways 3"]
    loss_db: Float[np.ndarray, "sources ways bands"]
    near: int


@dataclass(frozen=True)
class Screen:
    """A wall, a house, a hedge, a crowd, as an upright board between two points (x, z) of the ground, up to y = `top`.

    `loss_db` is what goes through it, by octave band. Around the board sound bends over the top and both ends.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    top: float
    loss_db: tuple[float, ...] = (15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0)

    def __post_init__(self) -> None:
        numbers = (*self.start, *self.end, self.top)
        if len(numbers) != 5 or not all(math.isfinite(n) and abs(n) <= FAR for n in numbers) or self.start == self.end:
            raise InputError(f"A screen stands between two points (x, z) and has a top in metres; this is {self}.")
        if len(self.loss_db) != len(BANDS) or not all(0 <= loss <= 200 for loss in self.loss_db):
            raise InputError(f"A screen loses between 0 and 200 dB in each of {len(BANDS)} octave bands.")


@dataclass(frozen=True)
class Outdoors:
    """Open air over flat ground.

    `ground` is one of `GROUNDS`, or None for none at all; it lies at y = `level` in metres (a camera held at 1.6 m).
    """

    ground: str | None = "grass"
    level: float = -1.6
    screens: tuple[Screen, ...] = ()
    air: Air = field(default_factory=Air)

    def __post_init__(self) -> None:
        if self.ground is not None and self.ground not in GROUNDS:
            raise InputError(f"There is no ground {self.ground!r}; there are: {', '.join(GROUNDS)}, or none.")
        if not (math.isfinite(self.level) and abs(self.level) <= FAR):
            raise InputError(f"The ground lies at a height in metres, not {self.level}.")

    @functools.cached_property
    def _loss(self) -> np.ndarray:
        """dB [ways, bands] of the straight way and of the one by the ground."""
        nothing = np.zeros((1, len(BANDS)))
        if self.ground is None:
            return nothing
        return np.concatenate([nothing, -10 * np.log10(1 - np.array([ground_absorption(self.ground)]))])

    def ways(self, sources: Float[np.ndarray, "sources 3"], ear: Float[np.ndarray, " 3"]) -> Ways:
        """The straight way and the one by the ground. A source below the ground is taken to lie on it."""
        loss = np.repeat(self._loss[None], len(sources), axis=0)
        if self.ground is None:
            points = sources[:, None]
        else:
            points = np.repeat(sources[:, None], 2, axis=1)
            height = np.maximum(sources[:, 1], self.level)
            points[:, 0, 1], points[:, 1, 1] = height, 2 * self.level - height
        if self.screens:
            # What hides the source hides its mirror image as much: both ways are close to each other.
            loss += shadow(self.screens, points[:, 0], ear, self.air.speed)[:, None]
        return Ways(points, loss, near=points.shape[1])


@functools.cache
def ground_absorption(ground: str) -> tuple[float, ...]:
    """The share of energy that a ground takes from sound from all sides, by octave band.

    Impedance Z = 1 + 9.08 (1000 f/σ)^−.75 + 11.9 i (1000 f/σ)^−.73 for a flow resistivity σ (Delany & Bazley 1970,
    Appl. Acoust. 3, 105), absorption 1 − |R|² of plane waves, averaged over angles with Paris' weight sin 2θ.
    """
    f = 1000 * np.array(BANDS) / GROUNDS[ground]
    impedance = (1 + 9.08 * f**-0.75 + 11.9j * f**-0.73)[:, None]
    angle = (np.arange(90) + 0.5) * np.pi / 180
    reflected = (impedance * np.cos(angle) - 1) / (impedance * np.cos(angle) + 1)
    taken = ((1 - np.abs(reflected) ** 2) * np.sin(2 * angle)).sum(1) * np.pi / 180
    return tuple(float(a) for a in taken.clip(0, 0.99))


def shadow(
    screens: tuple[Screen, ...], sources: Float[np.ndarray, "sources 3"], ear: Float[np.ndarray, " 3"], speed: float
) -> Float[np.ndarray, "sources bands"]:
    """dB that screens take from sources, by octave band.

    Each edge lets past what a half-plane does: 5 + 20 lg(x / tanh x) dB with x = √(2πN), N = 2 δ f/c, and for sound
    that just passes it the same with tan (Kurze & Anderson 1971, Appl. Acoust. 4, 35). The energies of the three edges
    and of what goes through the board add up, to at most all of it, so that nothing jumps when a source comes into
    sight.
    """
    start, end = (np.array([getattr(s, name) for s in screens]) for name in ("start", "end"))
    top = np.array([s.top for s in screens])
    along = end - start
    length = np.linalg.norm(along, axis=1)
    along = along / length[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    flat, here = sources[:, None, [0, 2]], ear[[0, 2]]
    off_source = ((flat - start) * across).sum(-1)  # [sources, screens]
    off_ear = ((here - start) * across).sum(-1)
    between = off_source * off_ear < 0
    part = np.where(between, off_source / np.where(between, off_source - off_ear, 1.0), 0.0)[..., None]
    meet = sources[:, None] + part * (ear - sources[:, None])  # where the straight line meets the board's plane
    where = ((meet[..., [0, 2]] - start) * along).sum(-1)

    over = meet.copy()
    over[..., 1] = top
    left, right = meet.copy(), meet.copy()
    left[..., [0, 2]], right[..., [0, 2]] = np.broadcast_to(start, flat.shape[:1] + start.shape), end
    edge = np.stack([over, left, right])  # [3, sources, screens, 3]
    hidden = np.stack([top - meet[..., 1], where, length - where])
    straight = np.linalg.norm(sources - ear, axis=1)[:, None]
    detour = np.linalg.norm(edge - sources[:, None], axis=-1) + np.linalg.norm(edge - ear, axis=-1) - straight

    fresnel = 2 * np.maximum(detour, 0)[..., None] * np.array(BANDS) / speed
    x = np.sqrt(2 * np.pi * fresnel) + 1e-6
    dark = np.minimum(5 + 20 * np.log10(x / np.tanh(x)), 24.0)
    bent = np.minimum(x, 1.5)
    lit = np.maximum(5 + 20 * np.log10(bent / np.tan(bent)), 0.0)
    passed = (10 ** (-0.1 * np.where(hidden[..., None] > 0, dark, lit))).sum(0)
    passed += 10 ** (-0.1 * np.array([s.loss_db for s in screens]))
    return np.where(between[..., None], -10 * np.log10(np.minimum(passed, 1.0)), 0.0).sum(1)
