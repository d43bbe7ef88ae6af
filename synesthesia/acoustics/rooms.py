"""Rooms with six flat walls: mirror images for what comes first, and a network of delays for what rings on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..senses import FAR, InputError
from .air import Air
from .filters import BANDS
from .outdoors import Screen, Ways, shadow

if TYPE_CHECKING:
    from jaxtyping import Float, Int

LINES = 16  # of the network, one for each direction of the renderer's loudspeakers
WALLS = ("left", "right", "floor", "ceiling", "front", "back")
Absorption = tuple[float, ...]


@dataclass(frozen=True)
class Room:
    """A room between two corners in scene axes, metres: `low` (x, y, z) and `high`.

    `absorption` is the share of energy that a wall takes: one number for all of it, or for each wall (left, right,
    floor, ceiling, front, back: −x, +x, −y, +y, −z, +z) its values by octave band (`filters.BANDS`).
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    absorption: float | tuple[Absorption, ...] = 0.2
    screens: tuple[Screen, ...] = ()
    air: Air = field(default_factory=lambda: Air(celsius=20.0))

    def __post_init__(self) -> None:
        corners = (*self.low, *self.high)
        if len(corners) != 6 or not all(math.isfinite(c) and abs(c) <= FAR for c in corners):
            raise InputError(f"A room has two corners (x, y, z) in metres; these are {self.low} and {self.high}.")
        if not all(0.5 <= side <= 500 for side in self.sides):
            raise InputError(f"A room is between 0.5 and 500 m long, high and wide; this one is {tuple(self.sides)} m.")
        if self.walls.shape != (6, len(BANDS)) or not ((self.walls >= 0.005) & (self.walls <= 0.995)).all():
            raise InputError(
                f"Absorption is a share from 0.005 to 0.995, one for the room or {len(BANDS)} octave bands for each of "
                f"the walls {', '.join(WALLS)}."
            )

    @property
    def sides(self) -> Float[np.ndarray, " 3"]:
        """Width, height and depth in metres."""
        return np.subtract(self.high, self.low).astype(float)

    @property
    def walls(self) -> Float[np.ndarray, "walls bands"]:
        """The absorption of each wall by octave band."""
        if isinstance(self.absorption, tuple):
            return np.array(self.absorption, float)
        return np.full((6, len(BANDS)), float(self.absorption))

    @property
    def volume(self) -> float:
        """m³."""
        return float(self.sides.prod())

    @property
    def areas(self) -> Float[np.ndarray, " 6"]:
        """m² of each wall."""
        return np.repeat(self.volume / self.sides, 2)

    @property
    def free_path(self) -> float:
        """Metres between two reflections, in the mean: 4 V/S (Kuttruff, Room Acoustics, 6th ed., §5.2)."""
        return 4 * self.volume / float(self.areas.sum())

    @property
    def wall_decay(self) -> Float[np.ndarray, " bands"]:
        """dB per second that the walls take, by octave band: −c/4V S 10 lg(1 − ᾱ) (Eyring 1930, JASA 1, 217)."""
        mean = self.areas @ self.walls / self.areas.sum()
        return -10 * np.log10(1 - mean) * self.air.speed / self.free_path

    @property
    def t60(self) -> Float[np.ndarray, " bands"]:
        """Seconds in which sound falls by 60 dB after Eyring, by octave band, the air's loss included."""
        return 60 / (self.wall_decay + self.air.speed * self.air.loss(np.array(BANDS)))

    def holds(self, point: Float[np.ndarray, "*n 3"]) -> bool:
        """Whether points lie inside."""
        return bool(((point >= np.array(self.low)) & (point <= np.array(self.high))).all())

    def ways(self, sources: Float[np.ndarray, "sources 3"], ear: Float[np.ndarray, " 3"]) -> Ways:
        """The straight way and those by one wall each, in the order of `WALLS`.

        Raises InputError when a source or the ear is not in the room.
        """
        if not (self.holds(ear) and self.holds(sources)):
            raise InputError(f"Everything must be in the room from {self.low} to {self.high}; something is not.")
        points = np.repeat(sources[:, None], 7, axis=1)
        for axis in range(3):
            points[:, 1 + 2 * axis, axis] = 2 * self.low[axis] - sources[:, axis]
            points[:, 2 + 2 * axis, axis] = 2 * self.high[axis] - sources[:, axis]
        loss = np.zeros((len(sources), 7, len(BANDS)))
        loss[:, 1:] = -10 * np.log10(1 - self.walls)
        if self.screens:
            loss[:, 0] += shadow(self.screens, sources, ear, self.air.speed)
        return Ways(points, loss, near=1)


@dataclass(frozen=True, eq=False)
class Network:
    """What a room does to sound after the first reflections: delay lines that feed each other (Jot 1991).

    `lengths` [lines] in samples, each at least a block; `feeds` [lines] is how an impulse enters them; `level` scales
    what comes out of each line; in one pass through line i sound loses lengths[i]/rate seconds' worth of the decay.
    The lines mix by an orthogonal matrix, so that all energy that is not taken stays.
    """

    lengths: Int[np.ndarray, " lines"]
    feeds: Float[np.ndarray, " lines"]
    level: float
    matrix: Float[np.ndarray, "lines lines"]


def network(room: Room, rate: int, block: int) -> Network:
    """The network that rings on as the room does.

    By images, an impulse of unit level at 1 m has, t seconds later, a density of 4πc/V reflections' energy per second,
    times the decay (Kuttruff, §4.1: 4πc³t²/V images a second at 1/(ct)²). Lines of L samples in all, fed one unit of
    energy, give out N/L of it per sample: the level makes both equal. Reflections by one wall are rendered apart;
    second ones come in the mean when a Poisson process of one per free path has its second event more likely than
    not, after 1.68 free paths, and about there the lines begin to speak.
    """
    first = 1.68 * room.free_path / room.air.speed * rate
    shortest = max(block + 1, round(0.8 * first))
    longest = max(3.5 * first, 3.0 * shortest)
    spread = shortest * (longest / shortest) ** (np.arange(LINES) / (LINES - 1))
    lengths = np.array(_primes(spread))
    # No line is near its neighbours in space: lengths run through the loudspeakers in steps of seven.
    lengths = lengths[np.arange(LINES) * 7 % LINES]
    hadamard = np.ones((1, 1))
    while len(hadamard) < LINES:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    feeds = np.where(np.arange(LINES) % 3 == 1, -1.0, 1.0) / math.sqrt(LINES)
    level = math.sqrt(4 * math.pi * room.air.speed * lengths.sum() / (room.volume * rate * LINES))
    return Network(lengths, feeds, level, hadamard / math.sqrt(LINES))


def _primes(wanted: np.ndarray) -> list[int]:
    """The next prime number from each, none twice."""
    found: list[int] = []
    for number in wanted:
        n = round(float(number))
        while n in found or any(n % k == 0 for k in range(2, math.isqrt(n) + 1)):
            n += 1
        found.append(n)
    return found
