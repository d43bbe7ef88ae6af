"""Noises with laws: parametric synthesisers of fire, rain, sea, river, waterfall, wind and thunder.

None of them is a recording. A noise of a kind is a function of a few numbers that can be seen (how large a fire, how
dense a rain, how high the waves) and of a seed. `LAWS` says for each kind which numbers, their ranges, and its level.

Levels are in dB SPL (re 20 µPa): the mean over the loudest second, free field, as if all of it came from one point, so
that between 1 m and d the direct level falls by 20 log10 d (6.02 dB per doubling) and the air takes its share of the
treble (`air_loss`). The `level` formulas are laws of this world, anchored at usual values; their slopes are cited.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from ..acoustics import Air
from ..senses import InputError, Sound

if TYPE_CHECKING:
    from jaxtyping import Float

RATE = 32_000
FULL_SCALE = 2.0  # Pa; see senses.Sound
REFERENCE = 20e-6  # Pa
SPEED_OF_SOUND = 343.0
MAX_SECONDS = 600.0
NEAR = 0.2  # m²; drops that fall here are heard one by one

Rng = np.random.Generator
Parameters = Mapping[str, float]


@dataclass(frozen=True)
class Law:
    """A kind of noise: its parameters' ranges, its distances in metres, its level at 1 m and how it is made.

    `parameters` and `distance` are (low, high) and meant to be drawn evenly in their logarithms. `level(p)` is in
    dB SPL at 1 m; `wave(p, n, rate, rng, metres)` gives n samples of any scale.
    """

    parameters: Mapping[str, tuple[float, float]]
    distance: tuple[float, float]
    level: Callable[[Parameters], float]
    wave: Callable[[Parameters, int, int, Rng, float], np.ndarray]


# --- laws that can be counted ----------------------------------------------------------------------------------------


def crackle_rate(size_m: float) -> float:
    """Crackles per second of a wood fire with flames of `size_m` metres: 8 per half metre.

    A crackle is vapour bursting out of heated wood, so more wood crackles more often. The heat goes as size^(5/2)
    (Heskestad 1983, Fire Safety J. 5, 103); crackles are taken to grow with the size alone, as most of a large fire's
    wood is large and dry already. That exponent is this world's own.
    """
    return 16.0 * size_m


def drop_rate(rate_mm_h: float) -> float:
    """Drops of more than 1.2 mm per second on a square metre, for rain of `rate_mm_h`.

    ∫ N(D) v(D) dD with N = 8000 exp(−4.1 R^−0.21 D) m⁻³ mm⁻¹ (Marshall & Palmer 1948, J. Meteorol. 5, 165) and terminal
    speed v = 9.65 − 10.3 exp(−0.6 D) m/s, D in mm (Atlas, Srivastava & Sekhon 1973, Rev. Geophys. 11, 1).
    """
    slope = 4.1 * rate_mm_h**-0.21
    from_mm = 1.2
    return 8000 * (
        9.65 * math.exp(-slope * from_mm) / slope - 10.3 * math.exp(-(slope + 0.6) * from_mm) / (slope + 0.6)
    )


def wave_period(wave_height_m: float) -> float:
    """Seconds between waves of this significant height in a sea that the wind has fully raised: 5.0 √H.

    From H = 0.21 U²/g and T = 2π U / (0.877 g) (Pierson & Moskowitz 1964, J. Geophys. Res. 69, 5181).
    """
    return 2 * math.pi / (0.877 * 9.81) * math.sqrt(9.81 * wave_height_m / 0.21)


def minnaert(radius_m: np.ndarray) -> np.ndarray:
    """Hz of an air bubble in water: √(3 γ p / ρ) / (2π r), about 3.26 m/s / r (Minnaert 1933, Phil. Mag. 16, 235)."""
    return math.sqrt(3 * 1.4 * 101_325 / 998) / (2 * math.pi * radius_m)


def air_loss(hz: Float[np.ndarray, " n"], metres: float) -> Float[np.ndarray, " n"]:
    """dB that 15 °C air of 50 % humidity takes from a tone over a distance (ISO 9613-1:1993, eqs. 3–5)."""
    return Air(celsius=15.0, humidity=50.0).loss(hz) * metres


# --- parts -----------------------------------------------------------------------------------------------------------


def _coloured(rng: Rng, n: int, rate: int, shape: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Gaussian noise of n samples, deviation 1, whose amplitude spectrum is shape(Hz)."""
    size = _fast(n)
    hz = np.fft.rfftfreq(size, 1 / rate)
    gain = shape(np.maximum(hz, 1.0)).astype(np.float32)
    gain[0] = 0
    spectrum = rng.standard_normal((2, len(hz)), np.float32)
    wave = np.fft.irfft((spectrum[0] + 1j * spectrum[1]).astype(np.complex64) * gain, size)[:n]
    return (wave / max(float(wave.std()), 1e-30)).astype(np.float32)


def _fast(n: int) -> int:
    """The next length that an FFT likes: 2^a 3^b 5^c."""
    best = 1 << (max(n, 2) - 1).bit_length()
    for five in (1, 5, 25, 125):
        for three in (1, 3, 9, 27):
            odd = five * three
            best = min(best, odd << max(1, (-(-n // odd) - 1).bit_length()))
    return best


def _slow(rng: Rng, n: int, rate: int, seconds: float, slope: float = 1.0) -> np.ndarray:
    """A slow wander of deviation 1: little of it is quicker than `seconds`; amplitude falls as f^−slope above."""
    step = max(1, rate // 100)
    points = n // step + 2
    long = points + int(20 * seconds * 100)  # so that the mean over a short sound is not nailed to zero
    hz = np.fft.rfftfreq(long, step / rate)
    gain = (1 + (hz * seconds) ** 2) ** (-slope / 2)
    gain[0] = 0
    spectrum = (rng.standard_normal((2, len(hz))) * [[1.0], [1.0]])[0] + 1j * rng.standard_normal(len(hz))
    wander = np.fft.irfft(spectrum * gain, long)
    wander = wander[:points] / wander.std()
    return np.interp(np.arange(n) / step, np.arange(points), wander).astype(np.float32)


def _band(low: float, high: float, below: float = 1.0, above: float = 1.0) -> Callable[[np.ndarray], np.ndarray]:
    """Flat from `low` to `high` Hz; amplitude falls as powers `below` and `above` of frequency outside."""
    return lambda hz: (1 + (low / hz) ** 2) ** (-below / 2) * (1 + (hz / high) ** 2) ** (-above / 2)


def _scatter(n: int, start: np.ndarray, grain: np.ndarray) -> np.ndarray:
    """The sum of grains [events, length], each beginning at its sample `start`; what reaches beyond n is cut."""
    at = np.minimum(start, n)[:, None] + np.arange(grain.shape[1])
    return np.bincount(at.ravel(), grain.ravel(), minlength=n)[:n].astype(np.float32)


def _times(rng: Rng, n: int, rate: int, per_second: float) -> np.ndarray:
    """Sample numbers of Poisson events, sorted."""
    return np.sort(rng.integers(0, n, int(rng.poisson(per_second * n / rate))))


def _rings(rng: Rng, n: int, rate: int, start: np.ndarray, hz: np.ndarray, decay: np.ndarray, gain: np.ndarray,
           rise: np.ndarray | float = 0.0) -> np.ndarray:  # fmt: skip
    """Damped sinusoids gain exp(−decay t) sin(2π hz (t + rise t²/2)), by length in five groups, down to −40 dB."""
    out = np.zeros(n, np.float32)
    rise = np.broadcast_to(rise, hz.shape)
    length = np.clip(4.6 / decay * rate, 16, 2399).astype(int)
    edges = (0, 60, 130, 300, 700, 2400)
    for low, high in itertools.pairwise(edges):
        part = (length >= low) & (length < high)
        if not part.any():
            continue
        t = (np.arange(int(length[part].max())) / rate).astype(np.float32)
        pitch, sweep, fall, loud = (a[part, None].astype(np.float32) for a in (hz, rise, decay, gain))
        grain = np.sin(np.float32(2 * np.pi) * pitch * (t + (0.5 * sweep) * (t * t)))
        grain *= loud * np.exp(-fall * t)
        out += _scatter(n, start[part], grain)
    return out


def _bubbles(rng: Rng, n: int, rate: int, per_second: float, low_m: float, high_m: float, depth: float) -> np.ndarray:
    """Bubbles as they are entrained: damped, rising Minnaert tones.

    Radii by Deane & Stokes 2002 (Nature 418, 839): number ∝ r^−3/2 below 1 mm and r^−10/3 above; loudness, damping
    0.13/r + 0.0072 r^−3/2 per second and the rise of pitch of those near the surface by van den Doel 2005 (ACM Trans.
    Appl. Percept. 2, 534). `depth` in [0, 1] is how many are too deep to rise in pitch.
    """
    start = _times(rng, n, rate, per_second)
    grid = np.geomspace(low_m, high_m, 200)
    density = np.where(grid < 1e-3, (grid / 1e-3) ** -1.5, (grid / 1e-3) ** (-10 / 3)) * grid
    radius = np.interp(rng.random(len(start)), np.cumsum(density) / density.sum(), grid)
    decay = 0.13 / radius + 0.0072 * radius**-1.5
    rises = rng.random(len(start)) ** 2 * (rng.random(len(start)) > depth)
    gain = (radius / 1e-3) ** 1.5 * rng.random(len(start)) ** 1.5
    return _rings(rng, n, rate, start, np.minimum(minnaert(radius), 0.45 * rate), decay, gain, 0.1 * decay * rises)


def _pieces(*parts: tuple[float, np.ndarray]) -> np.ndarray:
    """A sum of waves, each brought to its own RMS."""
    return np.sum([weight / max(float(np.sqrt(np.mean(wave**2))), 1e-12) * wave for weight, wave in parts], axis=0)


# --- kinds -----------------------------------------------------------------------------------------------------------


def _fire(p: Parameters, n: int, rate: int, rng: Rng, metres: float) -> np.ndarray:
    """Crackles over a rumble that flickers as flames puff, 1.5/√D Hz (Cetegen & Ahmed 1993), and a faint hiss."""
    size = p["size_m"]
    puff = 1.5 / math.sqrt(max(0.5 * size, 0.05))
    flicker = np.exp(0.35 * _slow(rng, n, rate, 1 / puff, 2.0))
    roar = _coloured(rng, n, rate, _band(30, 160 / math.sqrt(size / 0.5), 2, 1.1)) * flicker
    hiss = _coloured(rng, n, rate, _band(1800, 9000, 2, 1)) * np.exp(0.3 * _slow(rng, n, rate, 0.8))
    # Crackles come in flurries: the rate wanders, its mean is the law.
    start = _times(rng, n, rate, crackle_rate(size))
    loud = np.exp(rng.normal(0, 0.85, len(start))).clip(0.12, 7)
    pieces = []
    for _ in range(3):  # a crackle is one to three snaps of band noise
        lag = (rng.exponential(0.0025, len(start)) * rate).astype(int)
        hz = np.exp(rng.normal(math.log(2400), 0.75, len(start))).clip(300, 11_000)
        decay = 350 + hz * rng.uniform(0.12, 0.5, len(start))
        pieces.append(_rings(rng, n, rate, start + lag, hz, decay, loud * rng.uniform(0.3, 1.0, len(start))))
    tick = np.zeros(n, np.float32)
    for snap in pieces:
        tick += snap
    grain = (
        rng.standard_normal((len(start), 160), np.float32) * np.exp(-np.arange(160) / (0.0008 * rate)) * loud[:, None]
    )
    crackle = tick + 0.6 * _scatter(n, start, grain.astype(np.float32))
    # The roar's power goes with the heat, as size^(5/2); crackles add up by their number.
    return 0.012 * (size / 0.5) ** 1.25 * roar + 0.0035 * hiss + 0.18 * (size / 0.5) ** 0.2 * crackle


def _rain(p: Parameters, n: int, rate: int, rng: Rng, metres: float) -> np.ndarray:
    """The nearest fifth of a square metre (`NEAR`) drop by drop, the rest as hiss; on puddles bubbles ring.

    A drop is a click whose loudness goes with its impact energy; drops on water entrain bubbles of 1 to 4 kHz or so
    (Pumphrey, Crum & Bjørnø 1989, J. Acoust. Soc. Am. 85, 1518).
    """
    heard = NEAR * drop_rate(p["rate_mm_h"])
    start = _times(rng, n, rate, heard)
    slope = 4.1 * p["rate_mm_h"] ** -0.21
    diameter = 1.2 + rng.exponential(1 / (slope - 0.9), len(start)).clip(0, 4)
    gain = (diameter / 2) ** 1.5 * (rng.random(len(start)) + 0.02) ** -0.5  # as 1 / distance
    hz = np.exp(rng.normal(math.log(5200), 0.5, len(start))) / diameter**0.4
    click = _rings(rng, n, rate, start, hz.clip(700, 13_000), 900 + 0.25 * hz, gain)
    wet = rng.random(len(start)) < 0.75 * p["puddles"]
    radius = 1e-3 * np.exp(rng.normal(math.log(1.1), 0.4, len(start))).clip(0.35, 4)
    lag = (rng.uniform(0.006, 0.02, len(start)) * rate).astype(int)
    decay = 0.13 / radius + 0.0072 * radius**-1.5
    plop = _rings(
        rng, n, rate, (start + lag)[wet], minnaert(radius)[wet], decay[wet], 0.8 * gain[wet], 0.05 * decay[wet]
    )
    tilt = 0.35 + 0.25 * (1 - p["puddles"])
    hiss = _coloured(rng, n, rate, lambda hz: _band(500, 12_000, 1.2, 1)(hz) * (hz / 4000) ** (0.5 - tilt))
    hiss = hiss * (1 + 0.10 * _slow(rng, n, rate, 0.7))
    beyond = 0.0035 * math.sqrt(drop_rate(p["rate_mm_h"]))
    return 0.10 * (click + plop) + beyond * hiss


def _sea(p: Parameters, n: int, rate: int, rng: Rng, metres: float) -> np.ndarray:
    """Breakers one after the other, on several stretches of shore, over the wash of those before.

    A breaker rises within a fifth of the period with its treble last and dies away as foam. The spectrum falls by 5 dB
    per octave (Knudsen, Alford & Emling 1948, J. Mar. Res. 7, 410), from a corner that is the lower the higher the wave
    (larger bubbles).
    """
    tall = p["wave_height_m"]
    period = wave_period(tall)
    corner = 450 / math.sqrt(tall + 0.3)
    low = _coloured(rng, n, rate, _band(40, corner, 1, 1.4))
    body = _coloured(rng, n, rate, _band(corner, 2.5 * corner, 1, 0.85))
    foam = _coloured(rng, n, rate, _band(1800, 9000, 1, 0.6))
    t = np.arange(0, n / rate + 0.02, 0.01)
    swell = np.zeros((3, len(t)))

    def up(since: np.ndarray, rise: float) -> np.ndarray:
        return 1 / (1 + np.exp(-np.clip(since / rise, -30, 30)))

    for share, lean in ((1.0, 0.0), (0.3, 0.02), (0.2, 0.06)):  # breakers in front, and those to the left and right
        count = int(n / rate / period) + 6
        gaps = period * (1 + 0.10 * rng.normal(size=count)).clip(0.6, 1.4)
        arrive = np.cumsum(gaps) + period * (lean - 2.0 - rng.random())
        since = t - arrive[:, None]
        size = (share * np.exp(0.25 * rng.normal(size=count)))[:, None]
        rise, late = 0.09 * period, np.maximum(since - 0.03 * period, 0)
        swell[0] += (size * up(since, rise) * np.exp(-np.maximum(since + 0.1 * period, 0) / (0.16 * period))).sum(0)
        swell[1] += (size * up(since - 0.05 * period, 0.6 * rise) * np.exp(-late / (0.2 * period))).sum(0)
        swell[2] += (size * up(since - 0.15 * period, rise) * np.exp(-late / (0.36 * period))).sum(0)
    swell = [np.interp(np.arange(n) / rate, t, 0.025 + row) for row in swell]
    fizz = np.abs(1 + 0.3 * _slow(rng, n, rate, 0.05, 1.0))
    return np.asarray(low * swell[0] + 0.75 * body * swell[1] + 0.32 * foam * fizz * swell[2])


def _river(p: Parameters, n: int, rate: int, rng: Rng, metres: float) -> np.ndarray:
    """Bubbles, the more the quicker it flows, until they run together into a rush."""
    speed = p["speed_m_s"]
    many = min(500.0, 40 * speed**1.5 * math.sqrt(p["width_m"]) + 40)
    large = min(9e-3, 2.5e-3 * (1 + speed))
    bubbles = _bubbles(rng, n, rate, many, 0.35e-3, large, 0.4)
    flurry = np.exp(0.3 * _slow(rng, n, rate, 0.25))
    rush = _coloured(rng, n, rate, _band(350, 1600, 1.2, 0.9)) * np.exp(0.12 * _slow(rng, n, rate, 0.4))
    gurgle = _coloured(rng, n, rate, _band(180, 700, 2, 1.5)) * np.exp(0.5 * _slow(rng, n, rate, 0.12))
    turbulent = speed**1.5 / (1 + speed**1.5)
    return _pieces((1.0 - 0.45 * turbulent, bubbles * flurry), (0.25 + 1.0 * turbulent, rush), (0.3, gurgle))


def _waterfall(p: Parameters, n: int, rate: int, rng: Rng, metres: float) -> np.ndarray:
    """So many bubbles that they are noise; the higher the fall, the larger its bubbles and the deeper its roar."""
    tall = p["height_m"]
    corner = 900 / math.sqrt(tall / 5)
    roar = _coloured(rng, n, rate, _band(0.25 * corner, corner, 1.5, 0.55)) * np.exp(0.10 * _slow(rng, n, rate, 0.3))
    spray = _coloured(rng, n, rate, _band(2500, 9000, 1, 1)) * np.exp(0.10 * _slow(rng, n, rate, 0.15))
    bubbles = _bubbles(rng, n, rate, 350, 0.4e-3, 8e-3, 0.7)
    return _pieces((1.0, roar), (0.22, spray), (0.35 / (1 + tall / 5), bubbles))


def _wind(p: Parameters, n: int, rate: int, rng: Rng, metres: float) -> np.ndarray:
    """Gusts that tune twigs and shake leaves.

    The speed wanders by a quarter (turbulence near the ground) over 20 m / U seconds. Twigs sing at Strouhal's 0.2 U/d
    (d of 1 to 12 mm, so a broad band whose pitch follows the gust); pressure goes as U² (Strasberg 1988, J. Acoust.
    Soc. Am. 83, 544). Leaves rustle the more, the more there are and the stronger the gust (Fégeant 1999, Acustica 85,
    228 and 241).
    """
    speed, leaves = p["speed_m_s"], p["tree_density"]
    gust = np.clip(1 + 0.25 * _slow(rng, n, rate, 20 / speed, 2) + 0.06 * _slow(rng, n, rate, 5 / speed, 2), 0.2, 2.2)
    low, rows = 0.2 * speed / 0.020, []
    for k in range(4):  # bands whose strength moves upwards in a gust
        hz = low * 2.2**k
        rows.append(_coloured(rng, n, rate, _band(0.8 * hz, 1.25 * hz, 3, 3)) * gust ** (1.3 + 0.6 * k) * (0.6**k))
    sough = np.sum(rows, axis=0)
    song = np.zeros(n, np.float32)
    for d in np.exp(rng.uniform(math.log(2e-3), math.log(6e-3), 3)):  # a few twigs sing alone, in and out of tune
        phase = np.cumsum(0.2 * speed / d * gust * (1 + 0.01 * _slow(rng, n, rate, 0.03))) * (2 * np.pi / rate)
        song += np.sin(phase).astype(np.float32) * np.exp(1.1 * _slow(rng, n, rate, 0.8)) * gust**2
    rumble = _coloured(rng, n, rate, _band(25, 90, 2, 1.6)) * gust**2
    rustle = _coloured(rng, n, rate, _band(1300, 5000, 1.6, 1.4)) * gust**2.6 * np.exp(0.25 * _slow(rng, n, rate, 0.06))
    start = _times(rng, n, rate, min(900.0, 500 * leaves * (speed / 8) ** 1.2))
    hz = np.exp(rng.normal(math.log(4200), 0.35, len(start))).clip(1500, 11_000)
    tick = _rings(rng, n, rate, start, hz, 600 + 0.2 * hz, rng.exponential(1.0, len(start)) * gust[start.clip(0)] ** 2)
    return _pieces(
        (1.0, sough), (0.12, song), (0.12, rumble), (0.4 * math.sqrt(leaves), rustle), (0.05 * math.sqrt(leaves), tick)
    )


def _thunder(p: Parameters, n: int, rate: int, rng: Rng, metres: float) -> np.ndarray:
    """A channel of thousands of short segments, each an N-wave that arrives when its distance says.

    String of pearls (Few 1969, J. Geophys. Res. 74, 6926): the wave of a segment has its peak at 0.63 c √(p₀/E), E the
    energy per metre. A near channel claps, a far one only rumbles: its segments' delays spread, its treble is lost in
    the air (`air_loss`, applied to all sound by its distance), and echoes from land and clouds follow.
    """
    energy = p["energy_j_m"]
    peak_hz = float(np.clip(0.63 * SPEED_OF_SOUND * math.sqrt(101_325 / energy), 20, 900))
    count = 3000
    climb = np.linspace(0, 1, count)
    height = 1500 * climb + 60
    walk = np.cumsum(rng.normal(0, 13, (2, count)), axis=1) + rng.normal(0, 500, (2, 1)) * np.clip(climb - 0.4, 0, 1)
    away = np.sqrt((metres + walk[0]) ** 2 + walk[1] ** 2 + height**2)
    delay = (away - away.min()) / SPEED_OF_SOUND
    bursts = np.convolve(rng.normal(0, 1, count + 180), np.hanning(181) / math.sqrt(67.5), "valid")
    gain = away.min() / away * np.exp(1.1 * bursts + rng.normal(0, 0.5, count))
    start = (delay * rate).astype(int) + int(0.05 * rate)
    echoes = 6000
    from_where = rng.integers(0, count, echoes)
    late = rng.exponential(1.6, echoes)
    start = np.concatenate([start, start[from_where] + (late * rate).astype(int)])
    gain = np.concatenate([gain, 0.32 * gain[from_where] * np.exp(-late / 2.2) * rng.normal(0, 1, echoes)])
    inside = start < n
    impulses = np.bincount(start[inside], gain[inside], minlength=n)[:n]
    # An N-wave that lasts 1.1 / peak: from + straight to −; its edges are rounded, as they are after a way through air.
    length = max(16, int(1.1 / peak_hz * rate))
    edge = np.minimum(1, np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1)) / (0.12 * length))
    shape = np.linspace(1, -1, length) * edge
    size = _fast(n + length)
    wave = np.fft.irfft(np.fft.rfft(impulses, size) * np.fft.rfft(shape, size), size)[:n]
    rumble = _coloured(rng, n, rate, _band(35, peak_hz, 1, 1.2))
    t = np.arange(n) / rate - 0.05
    tail = np.clip(t / 0.4, 0, 1) * np.exp(-np.maximum(t, 0) / 2.6) * np.exp(0.7 * _slow(rng, n, rate, 0.4))
    loudest = float(np.sqrt(np.mean(wave**2)))
    return (wave + 0.7 * loudest * tail * rumble).astype(np.float32)


def _rain_energy(rate_mm_h: float) -> float:
    """J/m²/h that rain brings down: R · 28.3 (1 − 0.52 exp(−0.042 R)) (van Dijk et al. 2002, J. Hydrol. 261, 1)."""
    return rate_mm_h * 28.3 * (1 - 0.52 * math.exp(-0.042 * rate_mm_h))


def _log(value: float, at: float) -> float:
    return 10 * math.log10(value / at)


# Anchors: a camp fire of half a metre 58 dB at 1 m; steady rain of 10 mm/h 56 (as of one point 2 m away); waves of 1 m
# 84 (64 at 10 m); a brook of 1 m/s and 2 m width 66; a fall of 5 m by 3 m 84; wind of 8 m/s in a wood 72 (50 at 12 m);
# thunder of 1e5 J/m 142 (82 at 1 km).
# Slopes: fire, radiated power ∝ heat ∝ size^(5/2) (Heskestad 1983); rain, energy of the drops; sea, energy flux
# H² T ∝ H^(5/2); river, power of turbulence ∝ width · speed³; waterfall, ρ g Q h at constant flow per width; wind,
# pressure ∝ speed² (Strasberg 1988) and leaves; thunder, power ∝ energy.
LAWS: Mapping[str, Law] = MappingProxyType({
    "fire": Law({"size_m": (0.25, 3.0)}, (2.5, 25), lambda p: 58 + 2.5 * _log(p["size_m"], 0.5), _fire),
    "rain": Law({"rate_mm_h": (1.0, 100.0), "puddles": (0.05, 1.0)}, (2, 2),
                lambda p: 62 + _log(_rain_energy(p["rate_mm_h"]), _rain_energy(10)), _rain),
    "sea": Law({"wave_height_m": (0.15, 3.0)}, (8, 60), lambda p: 84 + 2.5 * _log(p["wave_height_m"], 1), _sea),
    "river": Law({"speed_m_s": (0.2, 3.0), "width_m": (1.0, 12.0)}, (2, 15),
                 lambda p: 66 + 3 * _log(p["speed_m_s"], 1) + _log(p["width_m"], 2), _river),
    "waterfall": Law({"height_m": (2.0, 30.0), "width_m": (1.0, 12.0)}, (8, 100),
                     lambda p: 84 + _log(p["height_m"], 5) + _log(p["width_m"], 3), _waterfall),
    "wind": Law({"speed_m_s": (2.0, 20.0), "tree_density": (0.05, 1.0)}, (6, 40),
                lambda p: 72 + 4 * _log(p["speed_m_s"], 8) + 0.5 * _log(p["tree_density"], 1), _wind),
    "thunder": Law({"energy_j_m": (1e4, 3e5)}, (500, 8000), lambda p: 142 + _log(p["energy_j_m"], 1e5), _thunder),
})  # fmt: skip
KINDS = tuple(LAWS)


def check(kind: str, parameters: Parameters, distance_m: float) -> None:
    """Raises InputError unless this is a kind with just its parameters, all within a decade of their ranges."""
    if kind not in LAWS:
        raise InputError(f"There is no noise of {kind!r}; there are {', '.join(LAWS)}.")
    ranges = LAWS[kind].parameters
    if set(parameters) != set(ranges):
        raise InputError(f"The parameters of {kind} are {', '.join(ranges)}, not {', '.join(parameters) or 'none'}.")
    for name, value in (*parameters.items(), ("distance_m", distance_m)):
        low, high = LAWS[kind].distance if name == "distance_m" else ranges[name]
        if not low / 10 <= value <= high * 10:  # NaN is refused too
            raise InputError(f"{kind}: {name} lies between {low / 10:g} and {high * 10:g}, not {value}.")


def level_db(kind: str, parameters: Parameters, distance_m: float) -> float:
    """dB SPL of the loudest second at a distance, before the air takes its share of the treble."""
    check(kind, parameters, distance_m)
    return LAWS[kind].level(parameters) - 20 * math.log10(distance_m)


def sound(
    kind: str, parameters: Parameters, distance_m: float, seconds: float, seed: int, rate: int = RATE
) -> Sound:  # fmt: skip
    """The noise of a thing heard alone in the open from `distance_m`, at its level (full scale is 2 Pa).

    The same arguments give the same sound; but for thunder, another distance changes no event. Thunder begins 50 ms in,
    though its light was earlier by distance / 343 m/s. Near thunder may exceed ±1: whoever writes it to a file scales
    it. Raises InputError for what `check` refuses, for less than 0.05 s or more than ten minutes, and for a rate
    outside 8 to 192 kHz.
    """
    check(kind, parameters, distance_m)
    if not 0.05 <= seconds <= MAX_SECONDS or not 8000 <= rate <= 192_000:
        raise InputError(
            f"A noise lasts 0.05 to {MAX_SECONDS:.0f} s at 8000 to 192000 Hz, not {seconds} s at {rate} Hz."
        )
    n = round(seconds * rate)
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    wave = LAWS[kind].wave(parameters, n, rate, rng, distance_m)
    target = REFERENCE * 10 ** (level_db(kind, parameters, distance_m) / 20)
    wave = wave * (target / max(loudest_second(wave, rate), 1e-30))
    hz = np.fft.rfftfreq(_fast(n), 1 / rate)
    spectrum = np.fft.rfft(wave, _fast(n)) * 10 ** (-air_loss(hz, distance_m) / 20)
    return Sound((np.fft.irfft(spectrum, _fast(n))[:n] / FULL_SCALE).astype(np.float32), rate)


def bed(seconds: float, seed: int, level: float, rate: int = RATE) -> Sound:
    """Air and far-off things: soft noise that falls by 6 dB per octave, `level` in dB SPL."""
    if not 0.05 <= seconds <= MAX_SECONDS or not 8000 <= rate <= 192_000 or not -20 <= level <= 90:
        raise InputError(f"A bed lasts 0.05 to {MAX_SECONDS:.0f} s at −20 to 90 dB SPL, not {seconds} s at {level} dB.")
    n, rng = round(seconds * rate), np.random.default_rng([seed, len(KINDS)])
    wave = _coloured(rng, n, rate, _band(60, 250, 1, 1)) * np.exp(0.15 * _slow(rng, n, rate, 1.5))
    pressure = REFERENCE * 10 ** (level / 20) / max(loudest_second(wave, rate), 1e-30)
    return Sound((wave * (pressure / FULL_SCALE)).astype(np.float32), rate)


def loudest_second(wave: Float[np.ndarray, " n"], rate: int) -> float:
    """RMS over the loudest second (or over all, if it is shorter), in the wave's own unit."""
    total = np.concatenate([[0.0], np.cumsum(np.asarray(wave, np.float64) ** 2)])
    length = min(rate, len(wave))
    return math.sqrt(max(float((total[length:] - total[:-length]).max()), 0.0) / length)
