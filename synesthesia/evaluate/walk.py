"""What `evaluate walk` measures: rendered scenes against closed forms, and against a judge of direction.

The judge hears two ears and knows what a head does to sound from a ring of directions: the difference in time between
the ears in narrow bands below 1.5 kHz, that in level above. Its templates stand at other directions than those that
are rendered, and may be those of another head. Measured responses of real heads and rooms (SOFA files) go through it
too, which says how good it is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import acoustics
from ..acoustics import Air, Ears, Outdoors, Receiver, Renderer, Room, sofa
from ..senses import InputError, Listener

if TYPE_CHECKING:
    from jaxtyping import Float

RATE = 48_000
LOW_HZ = np.geomspace(250, 1400, 12)  # centres of the bands that tell time
HIGH_HZ = np.geomspace(1800, 12_000, 14)  # and of those that tell level
ITD_S, ILD_DB = 30e-6, 2.0  # how far apart two differences are that the judge takes as one step apart

_FREE = Outdoors(ground=None, air=Air(absorbing=False))
_HERE = Listener()


@dataclass(frozen=True)
class Row:
    """A line of the table: `value` in `unit` should be at most `floor` and is meant to get below `aim`, if given."""

    what: str
    value: float
    unit: str
    floor: float | None = None
    aim: float | None = None
    n: int = 1

    @property
    def met(self) -> str:
        """Whether aim or floor is met, as a word."""
        if self.floor is None or self.aim is None:
            return ""
        return "aim" if self.value <= self.aim else "floor" if self.value <= self.floor else "no"


# --- the judge -------------------------------------------------------------------------------------------------------


def cues(two: Float[np.ndarray, "n 2 m"], rate: int) -> tuple[Float[np.ndarray, "n low"], Float[np.ndarray, "n high"]]:
    """Seconds by which the right ear is later, in bands below 1.5 kHz, and dB by which it is fainter, in bands above.

    A band is a Gaussian over frequency, an eighth of its centre wide but no less than 60 Hz. The time is where the
    ears' correlation in the band is largest within ±1 ms.
    """
    size = max(4096, 1 << (two.shape[-1] - 1).bit_length())
    spectrum = np.fft.rfft(two, size)
    hz = np.fft.rfftfreq(size, 1 / rate)
    lags = np.arange(-1e-3, 1e-3, 4e-6)

    def band(centre: float) -> np.ndarray:
        return np.exp(-0.5 * ((hz - centre) / max(centre / 8, 60.0)) ** 2)

    cross = spectrum[:, 0] * spectrum[:, 1].conj()
    times = np.empty((len(two), len(LOW_HZ)))
    for i, centre in enumerate(LOW_HZ):
        near = np.abs(hz - centre) < 4 * max(centre / 8, 60.0)
        turn = np.exp(-2j * np.pi * hz[near, None] * lags)
        alike = np.real((cross[:, near] * band(centre)[near]) @ turn)
        times[:, i] = lags[alike.argmax(-1)]
    power = np.square(np.abs(spectrum))
    levels = [10 * np.log10((power @ band(c))[:, 0] / (power @ band(c))[:, 1]) for c in HIGH_HZ]
    return times, np.stack(levels, axis=1)


class Judge:
    """Says from which azimuth a sound comes, by the responses of a head on a ring of level directions.

    Between its templates it knows nothing but that cues change smoothly: they are interpolated over azimuth.
    """

    def __init__(
        self, azimuth: Float[np.ndarray, " n"], responses: Float[np.ndarray, "n 2 m"], rate: int, whole: bool = False
    ) -> None:
        order = np.argsort(azimuth)
        azimuth, responses = azimuth[order], responses[order]
        self.grid = np.arange(-180, 180, 0.5) if whole else np.arange(-90, 90.5, 0.5)
        known = np.concatenate(cues(responses, rate), axis=1)
        around = np.concatenate([azimuth - 360, azimuth, azimuth + 360])
        known = np.concatenate([known] * 3)
        self._known = np.stack([np.interp(self.grid, around, column) for column in known.T], axis=1)
        self._scale = np.repeat([ITD_S, ILD_DB], [len(LOW_HZ), len(HIGH_HZ)])

    @classmethod
    def of(cls, ears: Ears, step: float = 5.0, whole: bool = False) -> Judge:
        """With templates every `step` degrees, from 0°, of a head's table."""
        azimuth = np.arange(-180, 180, step)
        return cls(azimuth, ears.response(sofa.direction(azimuth)), ears.rate, whole)

    @classmethod
    def measured(cls, responses: sofa.Responses, whole: bool = False) -> Judge:
        """With the level directions of a measured head."""
        level = np.abs(responses.elevation) < 2
        if level.sum() < 5:
            raise InputError("The judge needs a head measured from at least five level directions.")
        return cls(responses.azimuth[level], responses.samples[level], responses.rate, whole)

    def azimuth(self, two: Float[np.ndarray, "n 2 m"], rate: int) -> Float[np.ndarray, " n"]:
        """Degrees, positive to the left."""
        heard = np.concatenate(cues(two, rate), axis=1)
        # Differences beyond three steps count as three: an ear's notch elsewhere must not outvote all the rest.
        apart = np.abs(heard[:, None] - self._known) / self._scale
        return self.grid[np.square(np.minimum(apart, 3.0)).mean(-1).argmin(-1)]


def wrapped(degrees: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Angles in [−180, 180)."""
    return (np.asarray(degrees) + 180) % 360 - 180


# --- rendering -------------------------------------------------------------------------------------------------------


def impulse(
    place: Outdoors | Room,
    position: tuple[float, float, float],
    hears: Receiver,
    listener: Listener = _HERE,
    seconds: float = 0.1,
) -> Float[np.ndarray, "channels n"]:
    """What is heard of a unit impulse."""
    renderer = Renderer(1, place, hears, RATE)
    blocks = []
    for i in range(math.ceil(seconds * RATE / renderer.block)):
        sound = np.zeros((1, renderer.block), np.float32)
        sound[0, 0] = i == 0
        blocks.append(renderer.render(sound, np.array([position]), listener))
    return np.concatenate(blocks, axis=1)


def beside(azimuth: float, metres: float = 2.0, height: float = 0.0) -> tuple[float, float, float]:
    """The place so many degrees to the left of where the camera looks."""
    a = math.radians(azimuth)
    return -metres * math.sin(a), height, -metres * math.cos(a)


def rendered(azimuths: Float[np.ndarray, " n"], listener: Listener, hears: Receiver) -> Float[np.ndarray, "n 2 m"]:
    """Impulses from azimuths of the scene, in open air without ground."""
    return np.stack([impulse(_FREE, beside(float(a)), hears, listener, seconds=0.03) for a in azimuths])


# --- protocols -------------------------------------------------------------------------------------------------------


def directions(hears: Receiver, own: Judge, others: Sequence[Judge]) -> list[Row]:
    """Azimuth errors of rendered sources, between the measured directions, and what a turn of the head does."""
    azimuths = np.arange(-77.5, 80, 5.0)
    heard = rendered(azimuths, _HERE, hears)
    n, other = len(azimuths), float(np.mean([_error(judge, heard, azimuths) for judge in others]))
    rows = [
        Row("azimuth error, same head, mean", _error(own, heard, azimuths), "°", 5, 2, n),
        Row("azimuth error, another head, mean", other, "°", 8, 4, n * len(others)),
    ]
    before = np.arange(12.5, 80, 5.0)
    after = rendered(before, Listener(yaw=90.0), hears)
    moved = own.azimuth(rendered(before, _HERE, hears), RATE) - own.azimuth(after, RATE)
    return [*rows, Row("head turn of 90°: mean deviation", float(np.abs(moved - 90).mean()), "°", 10, 3, len(before))]


def front_back(hears: Receiver, whole: Judge) -> Row:
    """How often what is in front is heard behind, or the other way round; sources within 15° of the side left out."""
    azimuths = np.concatenate([np.arange(-67.5, 75, 15.0), 180 + np.arange(-67.5, 75, 15.0)])
    said = whole.azimuth(rendered(azimuths, _HERE, hears), RATE)
    swapped = (np.cos(np.radians(said)) > 0) != (np.cos(np.radians(azimuths)) > 0)
    return Row("front heard as back or back as front", 100 * float(swapped.mean()), "%", n=len(azimuths))


def _error(judge: Judge, two: np.ndarray, azimuths: np.ndarray, rate: int = RATE) -> float:
    return float(np.abs(wrapped(judge.azimuth(two, rate) - azimuths)).mean())


def doubling(hears: Receiver) -> Row:
    """The largest deviation from 6.02 dB of twice the distance, from 1 to 32 m, in front and aside, ears and mono."""
    off = []
    for azimuth, who in itertools.product((0.0, 40.0, -110.0), (hears, acoustics.receiver("mono", RATE))):
        energy = [np.square(impulse(_FREE, beside(azimuth, d), who, seconds=0.15)).sum() for d in (1, 2, 4, 8, 16, 32)]
        off.append(np.abs(-np.diff(10 * np.log10(energy)) - 20 * math.log10(2)).max())
    return Row("level per doubling of distance: largest deviation from 6.02 dB", float(max(off)), "dB", 0.5, 0.1, 30)


def mirror(hears: Receiver, seed: int = 0) -> Row:
    """What is left when a mirrored scene's ears are swapped, in dB of the louder sample; three sources that move."""
    rng = np.random.default_rng(seed)
    start, speed = rng.uniform(-3, 3, (3, 3)), rng.uniform(-2, 2, (3, 3))
    sound = rng.standard_normal((40, 3, acoustics.BLOCK)).astype(np.float32) * 0.1
    heard = []
    for sign in (1, -1):
        renderer = Renderer(3, _FREE, hears, RATE)
        flip = np.array([sign, 1, 1])
        blocks = [
            renderer.render(sound[i], (start + speed * i * 0.005) * flip, Listener((0.1 * sign, 0, 0), sign * 3.0 * i))
            for i in range(len(sound))
        ]
        heard.append(np.concatenate(blocks, axis=1))
    left = np.abs(heard[0] - heard[1][::-1]).max() / np.abs(heard[0]).max()
    return Row("mirrored scene swaps ears: residual", 20 * math.log10(max(float(left), 1e-10)), "dB", -40, -90)


def clicks(hears: Receiver, hz: float = 250.0, seconds: float = 2.0) -> Row:
    """The largest step at a block's edge, dBFS, as a head walks past a tone of full scale at 1.4 m/s and turns.

    A tone of 250 Hz has next to nothing in its fourth differences (−119 dB); a step of s has 3 s. They are looked at
    where they reach over an edge, so that what shows is the renderer's doing.
    """
    renderer = Renderer(1, _FREE, hears, RATE)
    n = round(seconds * RATE / renderer.block)
    tone = np.sin(2 * np.pi * hz / RATE * np.arange(n * renderer.block)).astype(np.float32).reshape(n, 1, -1)
    path = [Listener((1.4 * seconds * (i / n - 0.5), 0.0, 0.0), 120.0 * seconds * i / n) for i in range(n)]
    out = np.concatenate([renderer.render(tone[i], np.array([[0.0, 0, -1]]), path[i]) for i in range(n)], axis=1)
    steps = np.abs(np.diff(out.astype(float), 4, axis=1)) / 3
    edges = (np.arange(20, n)[:, None] * renderer.block - np.arange(1, 5)).reshape(
        -1
    )  # the first sound has come by then
    return Row(
        "largest click at a block's edge, moving head", 20 * math.log10(steps[:, edges].max()), "dBFS", -50, -80, n
    )


def reverberation() -> list[Row]:
    """T60 (from T20) of rooms with even absorption .1–.4 and sides to 2 : 1 against Eyring.

    And the ratio of direct to reverberant energy against the energies of all mirror images.
    """
    late, ratio = [], []
    for sides, absorption in itertools.product(
        ((4.0, 3.0, 5.0), (6.0, 3.0, 4.5), (8.0, 4.2, 8.0), (10.0, 6.0, 12.0)), (0.1, 0.2, 0.3, 0.4)
    ):
        low = (-0.45 * sides[0], -0.4 * sides[1], -0.6 * sides[2])
        high = (0.55 * sides[0], 0.6 * sides[1], 0.4 * sides[2])
        room = Room(low, high, absorption, air=Air(20.0, 50.0, absorbing=False))
        source = (0.2 * sides[0], 0.05 * sides[1], -0.3 * sides[2])
        eyring = float(room.t60[3])
        heard = impulse(room, source, acoustics.receiver("mono", RATE), seconds=eyring + 0.15)[0]
        late.append(abs(t60(heard, RATE) / eyring - 1))
        distance = math.dist(source, (0, 0, 0))
        arrived = round(distance / room.air.speed * RATE) + 32
        direct = 10 * math.log10(np.square(heard[:arrived]).sum() / np.square(heard[arrived:]).sum())
        ratio.append(abs(direct + 10 * math.log10(images_energy(room, source) * distance**2)))
    return [
        Row("T60 of shoebox rooms against Eyring: largest deviation", 100 * max(late), "%", 20, 10, len(late)),
        Row("direct-to-reverberant ratio against all mirror images: mean deviation", float(np.mean(ratio)), "dB",
            n=len(ratio)),
    ]  # fmt: skip


def t60(response: Float[np.ndarray, " n"], rate: int) -> float:
    """Seconds to fall by 60 dB, from the fall between −5 and −25 dB of the backward sum (ISO 3382-1, T20)."""
    left = np.square(response.astype(float))[::-1].cumsum()[::-1]
    db = 10 * np.log10(left / left[0] + 1e-12)
    falling = np.flatnonzero((db < -5) & (db > -25))
    slope = np.polyfit(falling / rate, db[falling], 1)[0]
    return float(-60 / slope)


def images_energy(room: Room, source: tuple[float, float, float]) -> float:
    """Energy of all mirror images of a unit source at the origin but the source itself, even absorption, no air's loss.

    Σ (1 − α)^n / d² (Allen & Berkley 1979) up to a fall by 10 dB and to 20 m at least, from there as the mean says:
    4πc/V per second times the decay.
    """
    keep = 1 - float(room.walls[0, 0])
    radius = max(20.0, room.air.speed * float(room.t60[3]) / 6)
    squares, orders = [], []
    for axis in range(3):
        low, high = room.low[axis], room.high[axis]
        side = high - low
        reach = np.arange(-math.ceil(radius / side) - 1, math.ceil(radius / side) + 2)
        # Even images are the source moved by 2 m sides, odd ones its mirror image in the low wall moved as far.
        place = np.concatenate([source[axis] + 2 * side * reach, 2 * low - source[axis] + 2 * side * reach])
        squares.append(place**2)
        orders.append(np.concatenate([np.abs(2 * reach), np.abs(2 * reach - 1)]))
    total = np.add.outer(np.add.outer(squares[0], squares[1]), squares[2])
    order = np.add.outer(np.add.outer(orders[0], orders[1]), orders[2])
    inside = (total <= radius**2) & (order > 0)
    decay = float(room.wall_decay[0]) / 4.343  # of energy, per second
    rest = 4 * math.pi * room.air.speed / room.volume * math.exp(-decay * radius / room.air.speed) / decay
    return float((keep ** order[inside] / total[inside]).sum()) + rest


def ambisonics(seed: int = 0, n: int = 12) -> list[Row]:
    """Where the energy map of rendered ambisonics points, and how alike it is to the true one, in a dry room.

    The map of a(t)·Y¹ on a grid of 5°: correlation with that of the direct sound alone, and the area under the curve
    that separates the 20° around the source from all else (ViSAGe's protocol, first order).
    """
    rng = np.random.default_rng(seed)
    azimuth, elevation = np.meshgrid(np.arange(-180, 180, 5.0), np.arange(-87.5, 90, 5.0))
    grid = sofa.direction(azimuth.reshape(-1), elevation.reshape(-1))
    room = Room((-3, -1.5, -3), (3, 1.5, 3), 0.6)
    angles, alike, areas = [], [], []
    for _ in range(n):
        toward = sofa.direction(rng.uniform(-180, 180), rng.uniform(-40, 40))
        position = (-1.2 * toward[1], 1.2 * toward[2], -1.2 * toward[0])
        w, y, z, x = impulse(room, position, acoustics.receiver("ambix", RATE), seconds=0.3).astype(float)
        intensity = np.array([(w * x).sum(), (w * y).sum(), (w * z).sum()])
        cosine = intensity @ toward / np.linalg.norm(intensity)
        angles.append(math.degrees(math.acos(min(1.0, float(cosine)))))
        heard = np.stack([w, x, y, z])
        beams = np.concatenate([np.ones((len(grid), 1)), grid], axis=1)
        map_ = np.sqrt(((beams @ (heard @ heard.T)) * beams).sum(1))
        true = 1 + grid @ toward
        alike.append(float(np.corrcoef(map_, true)[0, 1]))
        near = grid @ toward > math.cos(math.radians(20))
        rank = map_.argsort().argsort()
        areas.append((rank[near].mean() - (near.sum() - 1) / 2) / (~near).sum())
    return [
        Row("ambisonics: direction of the energy, mean error", float(np.mean(angles)), "°", n=n),
        Row("ambisonics: 1 − correlation of energy maps", 1 - float(np.mean(alike)), "", n=n),
        Row("ambisonics: 1 − area under the curve", 1 - float(np.mean(areas)), "", n=n),
    ]


def real_rooms(files: Sequence[Path], judge: Judge) -> list[Row]:
    """Measured responses before the judge, as they are: what it makes of real ears in real rooms."""
    rows = []
    for file in files:
        measured = sofa.read(file)
        level = np.abs(measured.elevation) < 2
        # The first wave alone tells the direction: 5 ms from the first onset, as precedence has it.
        two, kept = measured.samples[level], round(0.005 * measured.rate)
        start = (np.abs(two) > 0.1 * np.abs(two).max((1, 2), keepdims=True)).any(1).argmax(-1)
        after = np.arange(two.shape[-1]) > start[:, None] + kept
        first = np.where(after[:, None], 0.0, two)
        azimuths = wrapped(measured.azimuth[level])
        front = np.abs(azimuths) <= 80
        error = _error(judge, first[front], azimuths[front], measured.rate)
        rows.append(Row(f"{file.stem}: azimuth error of the judge", error, "°", n=int(front.sum())))
        if measured.samples.shape[-1] > 0.1 * measured.rate:
            middle = two[int(np.abs(azimuths).argmin())].mean(0)
            rows.append(Row(f"{file.stem}: T60", t60(middle[start.min() :], measured.rate), "s"))
    return rows


def evaluate(ears: Ears | None = None, heads: Sequence[Path] = (), rooms: Sequence[Path] = ()) -> list[Row]:
    """The whole table. `ears` render (KEMAR's by default), `heads` judge beside them, `rooms` are judged."""
    ears = ears or acoustics.kemar(RATE)
    if ears.rate != RATE:
        raise InputError(f"The protocols run at {RATE} Hz; these ears are at {ears.rate} Hz.")
    hears, own = acoustics.receiver("binaural", RATE, ears), Judge.of(ears)
    # Without measured heads, a sphere judges KEMAR and the other way round.
    others = [Judge.measured(sofa.read(path)) for path in heads] or [Judge.of(acoustics.sphere(RATE))]
    rows = directions(hears, own, others)
    rows += [front_back(hears, Judge.of(ears, whole=True)), doubling(hears), mirror(hears), clicks(hears)]
    return [*rows, *reverberation(), *ambisonics(), *real_rooms(rooms, own)]


def table(rows: Sequence[Row]) -> str:
    """The rows as text."""

    def bound(value: float | None) -> str:
        return "" if value is None else f"≤ {value:g}"

    lines = [f"{'':72} {'measured':>13} {'floor':>8} {'aim':>8}  met"]
    for row in rows:
        measured = f"{row.value:.3g} {row.unit}".strip()
        lines.append(f"{row.what:72} {measured:>13} {bound(row.floor):>8} {bound(row.aim):>8}  {row.met}")
    return "\n".join(lines)


def record(rows: Sequence[Row]) -> list[dict[str, object]]:
    """The rows as JSON."""
    return [asdict(row) for row in rows]
