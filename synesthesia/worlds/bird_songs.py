"""How a bird sounds: a syrinx driven by gestures of tension and pressure, from the few numbers of a `Song`.

Two sources (the syrinx has two sides) give a pulse train each, the sum of harmonics c, c², c³ … of c sin φ, whose
c grows with the pressure: pure near the threshold of oscillation, rich far above it (the normal form of Sitt,
Amador, Goller & Mindlin 2008, Phys. Rev. E 78, 011905, keeps timbre and pitch tied in this way). The tract follows
the pitch, as birds open their bills with it (Goller, Mallinckrodt & Torti 2004, J. Comp. Physiol. A 190, 797), and
takes the treble above. No harmonic above 0.45 of the rate is made, so nothing folds back.

Syllables come in phrases, of several kinds in turn. One kind is a gesture: where its pitch lies, how it rises or
falls, how it bends. A trill is a quick tremble of both tension and pressure. What was really sung is told beside it
(`Sung`), for no two renditions are the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..senses import InputError
from .bird_laws import Song

if TYPE_CHECKING:
    from jaxtyping import Float

RATE = 32_000
STEP = 0.001  # seconds between points of a gesture
HIGHEST = 0.45  # of the rate; harmonics above are not made
MAX_HARMONICS = 16
SIXTH = 1 / 6  # octaves by which one rendition of a song may lie beside another, at most
MAX_SECONDS = 60.0

Rng = np.random.Generator


class Sung(NamedTuple):
    """What one rendition was, measured on its gestures, not on its sound.

    Pitches in Hz (mean: of the octaves, over the time that sounds); syllables per second of a phrase; `sweep_oct`, how
    far a syllable rises from its first to its last quarter, `arch_oct`, how far its middle lies above both, means of
    all syllables; the trill's rate; `harmonics_db`, energy above the fundamental against it, before the tract; share
    of the whole time that sounds; how many syllables, and of how many kinds.
    """

    low_hz: float
    high_hz: float
    mean_hz: float
    rate_hz: float
    sweep_oct: float
    arch_oct: float
    trill_hz: float
    harmonics_db: float
    sounding: float
    syllables: int
    kinds: int


@dataclass(frozen=True)
class _Syllable:
    begin: float  # seconds
    seconds: float
    kind: int
    loud: float


def gesture(song: Song, kind: int, u: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Octaves above the song's pitch at places u in [0, 1] of a syllable of a kind, without its trill.

    Kinds share the song's sweep and arch; every third turns the sweep around when the song has none to speak of, and
    they lie spread over the range by the golden section, so that any number of them fills it.
    """
    spread = 0.0 if song.repertoire < 1.5 else 0.5
    place = ((kind * 0.6180339887 + 0.5) % 1.0 - 0.5) * spread
    turned = -1.0 if kind % 3 == 2 and abs(song.sweep) < 0.3 else 1.0
    moved = 0.7 * turned * song.sweep * (u - 0.5) + 0.45 * song.arch * (1 - 4 * (u - 0.5) ** 2 - 2 / 3)
    return song.range_oct * (place + moved)


def _phrases(song: Song, seconds: float, rng: Rng) -> list[_Syllable]:
    """Syllables in time: in a phrase each kind comes a few times, then the next."""
    kinds = max(1, round(song.repertoire))
    at, out, kind = float(rng.uniform(0.02, 0.5)) * song.pause_s, [], int(rng.integers(kinds))
    while at < seconds:
        count = max(2, round(song.phrase * float(np.exp(rng.normal(0, 0.1)))))
        for k in range(count):
            period = float(np.exp(rng.normal(0, 0.03))) / song.rate_hz
            length = period * song.duty * float(np.exp(rng.normal(0, 0.03)))
            swell = 0.75 + 0.25 * math.sin(math.pi * (k + 0.5) / count)
            if at + length > seconds - 0.01:
                return out
            out.append(_Syllable(at, length, kind, swell * float(np.exp(rng.normal(0, 0.06)))))
            at += period
            if (k + 1) % max(1, round(count / min(kinds, count))) == 0:
                kind = (kind + 1) % kinds
        at += song.pause_s * float(np.exp(rng.normal(0, 0.12)))
    return out


def sing(
    song: Song, seconds: float, rng: Rng, rate: int = RATE, echo_db: float | None = None
) -> tuple[Float[np.ndarray, " n"], Sung]:
    """One rendition: samples of any scale, peak 1, and what was sung.

    `echo_db` adds a wood's diffuse echo, so far below the song (energies). Raises InputError for less than 0.1 s or
    more than a minute, and for a rate outside 22.05 to 192 kHz.
    """
    if not 0.1 <= seconds <= MAX_SECONDS or not 22_050 <= rate <= 192_000:
        raise InputError(
            f"A song lasts 0.1 to {MAX_SECONDS:.0f} s at 22050 to 192000 Hz, not {seconds} s at {rate} Hz."
        )
    n = round(seconds * rate)
    wave = np.zeros(n)
    shift = float(np.clip(rng.normal(0, 0.02), -SIXTH, SIXTH))
    sung = _phrases(song, seconds, rng) or [_Syllable(0.01, min(seconds - 0.02, song.duty / song.rate_hz), 0, 1.0)]
    told = []
    for syllable in sung:
        first = round(syllable.begin * rate)
        count = min(round(syllable.seconds * rate), n - first)
        if count < 8 * STEP * rate:
            continue
        part, facts = _syllable(song, syllable, shift, count, rate, rng)
        wave[first : first + count] += part
        told.append(facts)
    if echo_db is not None:
        wave = _echo(wave, rate, echo_db, rng)
    peak = float(np.abs(wave).max(initial=0.0))
    return (wave / max(peak, 1e-12)).astype(np.float32), _told(song, sung, told, seconds)


class _Facts(NamedTuple):
    octaves: np.ndarray  # log2 Hz of the points that sound
    sweep: float
    arch: float
    harmonics: float  # energy above the fundamental, as a share of it
    seconds: float


def _syllable(
    song: Song, syllable: _Syllable, shift: float, count: int, rate: int, rng: Rng
) -> tuple[np.ndarray, _Facts]:
    points = max(8, round(count / (STEP * rate)))
    u = np.linspace(0, 1, points)
    t = u * count / rate
    tremble = np.sin(2 * np.pi * song.trill_hz * t + rng.uniform(0, 2 * np.pi))
    # Quick trills cannot be wide: the bill, which moves with them, is slow (Podos 1997, Evolution 51, 537).
    width = 0.5 * song.trill * (0.15 + 0.85 * song.range_oct) * (16.0 / song.trill_hz) ** 0.5
    plain = gesture(song, syllable.kind, u) + shift + rng.normal(0, 0.03) * song.range_oct
    octaves = math.log2(song.pitch_hz) + plain + 0.5 * width * tremble
    rise = np.minimum(1, np.minimum(t, t[-1] - t) / min(0.018, 0.2 * t[-1]))
    pressure = np.sin(0.5 * np.pi * rise) ** 2 * (1 + 0.45 * song.trill * np.sin(2 * np.pi * song.trill_hz * t + 1.0))
    pressure *= syllable.loud * (1 - 0.25 * u)
    ratio = song.richness * (0.55 + 0.45 * np.clip(pressure, 0, 1))

    at = np.linspace(0, points - 1, count)
    grid = np.arange(points)
    voice, above = _side(octaves, ratio, at, grid, rate, rng)
    if song.voices > 0.02:  # the other side, a fifth to a sixth lower, with its own slower course
        other = octaves - math.log2(1.62) - 0.3 * plain + 0.3 * plain.mean()
        voice = voice + song.voices * _side(other, ratio, at, grid, rate, rng)[0]
    smooth = np.interp(at, grid, pressure)
    voice = voice * smooth + song.breath * _breath(octaves, at, grid, rate, rng) * np.sqrt(np.maximum(smooth, 0))
    quarter = max(1, points // 4)
    ends = plain[:quarter].mean(), plain[-quarter:].mean()
    middle = plain[(points - quarter) // 2 : (points + quarter) // 2].mean()
    sounding = octaves[pressure > 0.1 * pressure.max()]
    return voice, _Facts(sounding, ends[1] - ends[0], middle - 0.5 * (ends[0] + ends[1]), above, count / rate)


def _side(
    octaves: np.ndarray, ratio: np.ndarray, at: np.ndarray, grid: np.ndarray, rate: int, rng: Rng
) -> tuple[np.ndarray, float]:
    """One side's pulses through the tract, and the energy of what lies above the fundamental, against it."""
    hz = np.exp2(np.interp(at, grid, octaves))
    phase = 2 * np.pi * np.cumsum(hz) / rate + rng.uniform(0, 2 * np.pi)
    c = np.interp(at, grid, ratio)
    wave, level, above = np.sin(phase), np.ones_like(c), 0.0
    for k in range(2, MAX_HARMONICS + 1):
        level = level * c
        room = np.clip((HIGHEST * rate / (k * hz) - 1) / 0.1, 0, 1)  # gone before it reaches the limit
        if not room.any() or level.max() < 1e-3:
            break
        above += float(np.mean(level**2))
        # The tract's resonance rides on the pitch and falls by 6 dB per octave above it; beyond 8 kHz by more.
        tract = (2 / k) ** 0.5 / (1 + (k * hz / 11_000) ** 4)
        wave += level * room * tract * np.sin(k * phase)
    return wave, above


def _breath(octaves: np.ndarray, at: np.ndarray, grid: np.ndarray, rate: int, rng: Rng) -> np.ndarray:
    """Noise about a fifth of the pitch wide, around it, of deviation 1."""
    hz = np.exp2(np.interp(at, grid, octaves))
    width = max(4, round(rate / float(hz.mean()) * 2.5))
    kernel = np.hanning(width + 2)[1:-1]
    kernel /= math.sqrt(float(kernel @ kernel))
    noise = rng.standard_normal((2, len(at) + width - 1))
    slow = np.stack([np.convolve(row, kernel, "valid") for row in noise])
    phase = 2 * np.pi * np.cumsum(hz) / rate
    return slow[0] * np.cos(phase) - slow[1] * np.sin(phase)


def _echo(wave: np.ndarray, rate: int, level_db: float, rng: Rng) -> np.ndarray:
    """The song and its echo from trees: noise that dies away within half a second, duller with time."""
    length = round(0.45 * rate)
    t = np.arange(length) / rate
    tail = rng.standard_normal(length) * np.exp(-6.9 * t / 0.45) * np.minimum(1, t / 0.012)
    tail = np.convolve(tail, [0.25, 0.5, 0.25], "same")
    tail *= 10 ** (level_db / 20) / math.sqrt(float(tail @ tail))
    size = 1 << (len(wave) + length).bit_length()
    late = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(tail, size), size)[: len(wave)]
    return wave + late


def _told(song: Song, sung: list[_Syllable], facts: list[_Facts], seconds: float) -> Sung:
    octaves = np.concatenate([f.octaves for f in facts]) if facts else np.array([math.log2(song.pitch_hz)])
    gaps = np.diff([s.begin for s in sung])
    close = gaps[gaps < 1.25 / song.rate_hz]
    weight = np.array([f.seconds for f in facts]) if facts else np.zeros(0)

    def mean(values: list[float]) -> float:
        return float(np.average(values, weights=weight)) if len(values) else 0.0

    return Sung(
        float(2 ** octaves.min()), float(2 ** octaves.max()), float(2 ** octaves.mean()),
        float(1 / np.mean(close)) if len(close) else song.rate_hz,
        mean([f.sweep for f in facts]), mean([f.arch for f in facts]), song.trill_hz,
        10 * math.log10(max(mean([f.harmonics for f in facts]), 1e-6)),
        float(weight.sum()) / seconds, len(facts), len({s.kind for s in sung}),
    )  # fmt: skip
