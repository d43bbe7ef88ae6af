"""Notes: a sound as what sings in it, one whistle, chirp or chime after another.

    sound ─ pitch, syllables ─▶ notes: when, how long, how loud, where, how it bends, trills, how rich and how breathy
    sound ◀─ oscillators ◀─────┘

What frames of a hundredth of a second smear, a fast trill or a steep sweep, a note says in a few numbers, and a song
of ten seconds is some thirty notes. It is no voice for everything: rain has no notes. `clear` says how much of a sound
they are. Notes are found by `metrics.song`, which follows the strongest partial; nothing is learned.

A note's pitch is a parabola through what was sung plus a sine, its harmonics are the powers of one number (as those of
a syrinx or reed driven harder or softer), a second partial may go along at a constant interval below, and a band of
noise follows the pitch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..media import resample
from ..metrics.song import STEP, Syllable, Track, syllables, track
from ..senses import InputError, Sound

if TYPE_CHECKING:
    from jaxtyping import Float

# begins: log₂ seconds since the note before began; lasts: log₂ seconds; level: dB below the loudest note; pitch: mean
# log₂ Hz; sweep: octaves from beginning to end; arch: octaves by which the middle lies above the ends; trill: log₂ Hz,
# depth: its octaves from peak to peak, tremble: the dB by which the level swings with it; rich, under, breath: the
# harmonics, the strongest partial below and noise nearby, dB re the fundamental; interval: octaves of that partial.
NAMES = (
    "begins", "lasts", "level", "pitch", "sweep", "arch", "trill", "depth", "tremble", "rich", "under", "interval",
    "breath",
)  # fmt: skip
LOWEST, HIGHEST = (
    np.array([-6.5, -6.5, -40, 8.6, -4, -3, 3.7, 0, 0, -50, -50, -1.0, -50]),
    np.array([5.0, 2.0, 0, 13.5, 4, 3, 5.65, 2, 20, 6, 0, -0.05, 0]),
)  # what a note can be; what lies outside is brought to the edge
RATE = 32_000
CLEAR_DB = -14.0  # of noise beside a partial; with more it is no note
LOUDEST = 0.15  # of full scale: the fundamental of the loudest note
EDGE = 0.018  # seconds of a note's rise and fall, at most a fifth of it
LONGER = 0.010  # seconds by which a note lasts longer than it is heard to
PARTIALS = 16
WIDE = 0.2  # of the pitch: the band of noise
_TRILL_HZ = (13.0, 50.0)
_FRAMES = 2048
_LEAST = 8  # frames of a note that can be said to bend; 16 to trill
_ROOM = 0.47  # of the rate; no partial goes above
_FAINTEST = -49.0  # dB; what is fainter is not played


class Heard(NamedTuple):
    """`notes` (n, NAMES) in order; the share of the sound's power that they are (0 to 1); how many seconds the sound
    lasts after the last has begun."""

    notes: Float[np.ndarray, "n names"]
    clear: float
    since: float


def listen(sound: Sound) -> Heard:
    """The notes of a sound; none where nothing sings. Channels are averaged, its rate is converted."""
    if sound.rate != RATE:
        sound = resample(sound, RATE)
    found = track(sound.mono, RATE)
    parts = syllables(found)
    if not parts:
        return Heard(np.zeros((0, len(NAMES)), np.float32), 0.0, sound.seconds)
    rows = np.stack([_note(found, part) for part in parts])
    starts = found.seconds[[part.first for part in parts]]
    rows[:, 0] = np.log2(np.maximum(np.diff(starts, prepend=0.0), 0.01))
    rows[:, 2] -= rows[:, 2].max()
    power = 10 ** (found.level_db / 10)
    sung = np.zeros(len(power), bool)
    for part in parts:
        sung[part.first : part.last] = True
    pure = found.noise_db < CLEAR_DB
    clear = float(power[sung & pure].sum() / power.sum())
    return Heard(np.clip(rows, LOWEST, HIGHEST).astype(np.float32), clear, sound.seconds - float(starts[-1]))


def _note(found: Track, part: Syllable) -> Float[np.ndarray, " names"]:
    inside = slice(part.first + 1, max(part.first + 2, part.last - 1))
    octaves, level = np.log2(found.hz[inside]), found.level_db[inside]
    n = len(octaves)
    u = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
    weight = 10 ** ((level - level.max()) / 40)
    if n >= _LEAST:
        basis = np.stack([np.ones(n), u, 1 / 3 - u**2], 1)
        bent = np.linalg.lstsq(basis * weight[:, None], octaves * weight, rcond=None)[0]
        left = octaves - basis @ bent
    else:
        bent, left = np.array([np.average(octaves, weights=weight), 0.0, 0.0]), octaves * 0
    rate, depth, tremble = _trill(left, level)
    near = weight > 0.3
    rich, under, breath = (
        float(np.median(x[inside][near])) for x in (found.harmonics_db, found.below_db, found.noise_db)
    )
    interval = float(np.median(np.log2(found.below_hz[inside][near]) - octaves[near]))
    loud = 10 * math.log10(float(np.mean(10 ** (level / 10))))
    lasts = math.log2(max((part.last - part.first) * STEP, 0.01))
    return np.array(
        [0.0, lasts, loud, bent[0], 2 * bent[1], bent[2], rate, depth, tremble, rich, under, interval, breath]
    )


def _trill(left: np.ndarray, level: np.ndarray) -> tuple[float, float, float]:
    """log₂ Hz of the strongest quick modulation, its octaves from peak to peak, the dB by which the level swings."""
    middle = 0.5 * (math.log2(_TRILL_HZ[0]) + math.log2(_TRILL_HZ[1]))
    n = len(left)
    if n < 2 * _LEAST:
        return middle, 0.0, 0.0
    shape, place = np.hanning(n + 2)[1:-1], np.linspace(-1, 1, n)
    loud = level - np.polynomial.Polynomial.fit(place, level, 4)(place)
    pitch, swing = (2 * np.abs(np.fft.rfft(x * shape, _FRAMES)) / shape.sum() for x in (left, loud))
    hz = np.fft.rfftfreq(_FRAMES, STEP)
    band = (hz >= _TRILL_HZ[0]) & (hz <= _TRILL_HZ[1])
    best = int(np.argmax(np.where(band, pitch**2 + 0.5 * (swing / 30) ** 2, 0)))
    return math.log2(hz[best]), 2 * float(pitch[best]), float(swing[best])


def play(notes: Float[np.ndarray, "n names"], seconds: float, seed: int) -> Sound:
    """What was noted, so many seconds of it; the same notes and seed give the same sound."""
    if notes.ndim != 2 or notes.shape[1] != len(NAMES) or not np.isfinite(notes).all():
        raise InputError(f"Notes are finite numbers (n, {len(NAMES)}); these are {notes.shape}.")
    return Sound(Player(iter(notes), seed).take(round(seconds * RATE))[None], RATE)


class Player:
    """Plays notes as they come, for ever or until there are no more; then it is silent.

    What is taken, joined, is the same however it was cut, and memory does not grow with length. `begun`: the note
    before the first began so many seconds ago.
    """

    def __init__(self, notes: Iterator[Float[np.ndarray, " names"]], seed: int, begun: float = 0.0) -> None:
        self._notes = enumerate(notes)
        self._seed = seed
        self._begins = -begun  # seconds at which the last note began
        self._taken = 0
        self._sounding: list[tuple[int, np.ndarray]] = []  # the first sample of what is not played to its end
        self._next = self._coming()

    def take(self, n: int) -> Float[np.ndarray, " n"]:
        """The next n samples at `RATE`."""
        end = self._taken + n
        while self._next is not None and self._next[0] < end:
            self._sounding.append(self._next)
            self._next = self._coming()
        out = np.zeros(n, np.float32)
        for first, wave in self._sounding:
            begin, stop = max(first, self._taken), min(first + len(wave), end)
            out[begin - self._taken : stop - self._taken] += wave[begin - first : stop - first]
        self._sounding = [(first, wave) for first, wave in self._sounding if first + len(wave) > end]
        self._taken = end
        return out

    def _coming(self) -> tuple[int, np.ndarray] | None:
        number, note = next(self._notes, (0, None))
        if note is None:
            return None
        note = np.clip(np.asarray(note, np.float64), LOWEST, HIGHEST)
        self._begins = max(0.0, self._begins + 2.0 ** note[0])
        noise = np.random.Generator(np.random.Philox(key=np.array([self._seed % 2**64, 2**62 + number], np.uint64)))
        return max(0, round((self._begins - LONGER / 2) * RATE)), _wave(note, noise)


def _wave(note: Float[np.ndarray, " names"], rng: np.random.Generator) -> Float[np.ndarray, " samples"]:
    _, lasts, level, pitch, sweep, arch, trill, depth, tremble, rich, under, interval, breath = note.tolist()
    seconds = 2.0**lasts + LONGER
    n = round(seconds * RATE)
    t = np.arange(n) / RATE
    u = 2 * t / seconds - 1
    quick = np.sin(2 * np.pi * 2.0**trill * t + rng.uniform(0, 2 * np.pi))
    plain = pitch + 0.5 * sweep * u + arch * (1 / 3 - u**2)
    octaves = np.clip(plain + 0.5 * depth * quick, LOWEST[3], math.log2(_ROOM * RATE))
    rise = np.minimum(1.0, np.minimum(t, seconds - t) / min(EDGE, 0.2 * seconds))
    loud = np.sin(0.5 * np.pi * np.maximum(rise, 0)) ** 2 * 10 ** ((level + tremble * quick) / 20)
    phase = 2 * np.pi * np.cumsum(2.0**octaves) / RATE + rng.uniform(0, 2 * np.pi)
    wave = np.sin(phase)
    if rich > _FAINTEST:
        above = 10 ** (rich / 10)
        ratio, strength = math.sqrt(above / (1 + above)), 1.0
        top = 2.0 ** octaves.max()
        for k in range(2, PARTIALS + 1):
            strength *= ratio
            if k * top > _ROOM * RATE or strength < 1e-3:
                break
            wave += strength * np.sin(k * phase)
    if under > _FAINTEST:
        wave += 10 ** (under / 20) * np.sin(2.0**interval * phase + rng.uniform(0, 2 * np.pi))
    if breath > _FAINTEST:
        wave += _breath(n, 2.0**pitch, rng, phase) * 10 ** (breath / 20)
    return (LOUDEST * wave * loud).astype(np.float32)


def _breath(n: int, hz: float, rng: np.random.Generator, phase: np.ndarray) -> Float[np.ndarray, " n"]:
    """A band of noise around the pitch that is as strong in a window of the listener as a sine of amplitude 1."""
    from scipy.signal import lfilter

    pole = math.exp(-2 * np.pi * WIDE * hz / RATE)
    slow = lfilter([1 - pole], [1, -pole], rng.standard_normal((2, n)), axis=1)
    slow = lfilter([1 - pole], [1, -pole], slow, axis=1)
    return (slow[0] * np.cos(phase) - slow[1] * np.sin(phase)) * 34.0
