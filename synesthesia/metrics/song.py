"""Measures of bird song: pitch by following the strongest partial, syllables by level, and what a song is in numbers.

Judges of song that nothing was trained for: they hear any whistle from 0.4 to 11 kHz. A song is a vector (`NAMES`); two
songs are compared in units of how far songs of different birds lie apart.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

LOW_HZ, HIGH_HZ = 400.0, 11_000.0
WINDOW = 0.012  # seconds of a frame
STEP = 0.0025  # seconds between frames
QUIET_DB = 13.0  # below the loudest within `NEAR` a syllable has ended …
NEAR = 0.25  # seconds
FAINT_DB = 30.0  # … and so far below the loudest of all nothing is heard
SHORTEST = 0.015  # seconds of a syllable
GAP = 0.008  # seconds; what parts syllables is longer
LOWER_DB = 12.0  # a half or a third of the strongest partial is the pitch if it is no weaker than this
TRILL_HZ = (13.0, 50.0)
AT_MOST = 3.0  # units by which two songs can differ in one number

# Pitches and depths in octaves, rates in octaves of Hz, pauses in octaves of seconds, levels in dB.
NAMES = (
    "pitch", "range", "rate", "duty", "sweep", "arch", "trill_rate", "trill_depth", "harmonics_db", "other_voice_db",
    "noise_db", "phrase", "pause",
)  # fmt: skip
_FLOOR_DB = -50.0


class Track(NamedTuple):
    """Frames [n]: their middle in seconds, pitch in Hz, power in dB re full scale, and, in dB re the fundamental, the
    power of the harmonics, of the strongest partial below it (which lies at `below_hz`), and of what lies near it
    without being it."""

    seconds: np.ndarray
    hz: np.ndarray
    level_db: np.ndarray
    harmonics_db: np.ndarray
    below_db: np.ndarray
    noise_db: np.ndarray
    below_hz: np.ndarray


class Syllable(NamedTuple):
    """From frame `first` to before frame `last`."""

    first: int
    last: int


def track(samples: Float[np.ndarray, " n"], rate: int) -> Track:
    """The pitch of each frame, whether or not anything sings there (`syllables` says where).

    The strongest partial between 0.4 and 11 kHz, or its half or third if that is a partial too (a bird's second voice
    lies at neither). Between bins by a parabola through the dB (a Hann window's main lobe is close to one).
    """
    window, step = max(16, round(WINDOW * rate)), max(1, round(STEP * rate))
    size = 1 << (2 * window - 1).bit_length()
    s = np.pad(np.asarray(samples, np.float64), window // 2)
    s = np.pad(s, (0, max(0, window - len(s))))
    frames = np.lib.stride_tricks.sliding_window_view(s, window)[::step]
    shape = np.hanning(window + 2)[1:-1]
    parts = [_frames(frames[k : k + 512] * shape, size, rate) for k in range(0, len(frames), 512)]
    hz, total, harmonics, below, noise, below_hz = (np.concatenate([part[k] for part in parts]) for k in range(6))
    gain = 20 * math.log10(math.sqrt(size * float(shape @ shape) / 2))
    return Track(np.arange(len(hz)) * step / rate, hz, total - gain, harmonics, below, noise, below_hz)


def _frames(frames: np.ndarray, size: int, rate: int) -> tuple[np.ndarray, ...]:
    power = np.abs(np.fft.rfft(frames, size)) ** 2 + 1e-20
    step = rate / size
    low, high = max(1, round(LOW_HZ / step)), min(power.shape[1] - 2, round(HIGH_HZ / step))
    row = np.arange(len(power))
    peak = low + power[:, low:high].argmax(axis=1)
    best = power[row, peak].copy()
    lobe = round(2 * rate / frames.shape[1] / step)  # bins from a partial to where a Hann window's lobe ends
    for divisor in (2, 3):
        at, strength = _nearby(power, peak / divisor, 1)
        crest = (strength > power[row, at - 1]) & (strength > power[row, at + 1])
        take = (at >= low) & crest & (strength > best * 10 ** (-LOWER_DB / 10))
        peak = np.where(take, at, peak)
    left, middle, right = (10 * np.log10(power[row, peak + k]) for k in (-1, 0, 1))
    curve = left - 2 * middle + right
    hz = (peak + np.clip(0.5 * (left - right) / np.minimum(curve, -1e-9), -1, 1)) * step
    own = power[row, peak]
    above = np.zeros(len(power))
    for k in range(2, 9):
        inside = k * hz < 0.48 * rate
        above += np.where(inside, _nearby(power, np.where(inside, k * hz / step, 1), 2)[1], 0)
    bins = np.arange(power.shape[1])[None]
    under = (bins < peak[:, None] - 1.3 * lobe) & (bins > 0.5 * peak[:, None]) & (bins >= low)
    lower = np.where(under, power, 0).argmax(axis=1)
    below = np.where(lower > 0, power[row, lower], 0)
    # Some places to both sides of the partial; their median is blind to a second voice.
    beside = 2 * lobe + np.linspace(0, 0.33, 12) * peak[:, None]
    places = np.clip(np.round(peak[:, None] + np.concatenate([beside, -beside], axis=1)), 1, power.shape[1] - 1)
    noise = np.median(np.take_along_axis(power, places.astype(np.int64), axis=1), axis=1)
    total = power[:, low:high].sum(axis=1)
    levels = (10 * np.log10(np.maximum(x, 1e-20)) for x in (total, above / own, below / own, noise / own))
    return hz, *levels, np.where(lower > 0, lower, 0.5 * peak) * step


def _nearby(power: np.ndarray, where: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """The strongest bin within `reach` of a place in each row, and its power."""
    near = np.round(where).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
    near = np.clip(near, reach + 1, power.shape[1] - reach - 2)
    values = np.take_along_axis(power, near, axis=1)
    best = values.argmax(axis=1)
    row = np.arange(len(power))
    return near[row, best], values[row, best]


def syllables(found: Track) -> list[Syllable]:
    """Stretches that are loud against what is near and against the whole."""
    from scipy import ndimage

    level = found.level_db
    if len(level) == 0 or level.max() < -90:
        return []
    smooth = 10 * np.log10(np.maximum(ndimage.uniform_filter1d(10 ** (level / 10), 3), 1e-20))
    near = ndimage.maximum_filter1d(smooth, 2 * round(NEAR / STEP) + 1)
    loud = (smooth > near - QUIET_DB) & (smooth > smooth.max() - FAINT_DB)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(np.int8)))
    out: list[Syllable] = []
    for first, last in edges.reshape(-1, 2):
        if out and first - out[-1].last < GAP / STEP:
            out[-1] = Syllable(out[-1].first, int(last))
        else:
            out.append(Syllable(int(first), int(last)))
    return [s for s in out if s.last - s.first >= SHORTEST / STEP]


def song(samples: Float[np.ndarray, " n"], rate: int) -> Float[np.ndarray, " names"]:
    """What a song is, as the numbers `NAMES`; NaN where a number cannot be told, as all of silence.

    pitch: mean of log₂ Hz; range: its 5th to 95th percentile; rate: log₂ of syllables per second within phrases; duty:
    share of that time that sounds; sweep, arch: octaves by which a syllable's last quarter lies above its first, and
    its middle above both; trill: the strongest quick modulation of pitch and level together, log₂ Hz and octaves of
    pitch; levels re the fundamental; phrase: log₂ of syllables in it; pause: log₂ seconds between phrases.
    """
    found = track(samples, rate)
    parts = syllables(found)
    if not parts:
        return np.full(len(NAMES), np.nan)
    octaves = np.log2(found.hz)
    inside = np.concatenate([np.arange(s.first + 1, max(s.first + 2, s.last - 1)) for s in parts])
    inside = inside[inside < len(octaves)]
    begins, ends = (found.seconds[0] + STEP * np.array([s[k] for s in parts]) for k in range(2))
    gaps = np.diff(begins)
    usual = float(np.median(gaps)) if len(gaps) else math.nan
    within = gaps < 1.6 * usual if len(gaps) else np.zeros(0, bool)
    period = float(np.mean(gaps[within])) if within.any() else math.nan
    runs = np.diff(np.flatnonzero(np.concatenate([[True], ~within, [True]])))
    pauses = begins[1:][~within] - ends[:-1][~within]
    bends = np.array([_bend(octaves[s.first + 1 : s.last - 1]) for s in parts if s.last - s.first >= 8])
    rate_of, depth = _trill([(octaves[s.first + 1 : s.last - 1], found.level_db[s.first + 1 : s.last - 1])
                             for s in parts])  # fmt: skip
    length = float(np.mean(ends - begins))
    low, high = np.percentile(octaves[inside], [5, 95])
    values = (
        np.mean(octaves[inside]), high - low, -math.log2(period) if period > 0 else math.nan,
        min(1.0, length / period) if period > 0 else math.nan,
        *(np.median(bends, axis=0) if len(bends) else (math.nan, math.nan)), rate_of, depth,
        *(max(_FLOOR_DB, float(np.median(x[inside]))) for x in (found.harmonics_db, found.below_db, found.noise_db)),
        math.log2(float(np.mean(runs))), math.log2(max(float(np.median(pauses)), 1e-3)) if len(pauses) else math.nan,
    )  # fmt: skip
    return np.array(values, np.float64)


def _bend(octaves: np.ndarray) -> tuple[float, float]:
    """How far the last quarter lies above the first, and the middle above both."""
    quarter = max(1, len(octaves) // 4)
    first, last = float(np.mean(octaves[:quarter])), float(np.mean(octaves[-quarter:]))
    begin = (len(octaves) - quarter) // 2
    return last - first, float(np.mean(octaves[begin : begin + quarter])) - 0.5 * (first + last)


def _trill(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """log₂ Hz of the strongest quick modulation of syllables, and how deep it is in pitch (octaves, peak to peak)."""
    size = 2048
    hz = np.fft.rfftfreq(size, STEP)
    total, pitch, energy = np.zeros(len(hz)), np.zeros(len(hz)), 0.0
    for octaves, level in parts:
        n = len(octaves)
        if n < 16:
            continue
        shape = np.hanning(n + 2)[1:-1]
        place = np.linspace(-1, 1, n)
        for values, weight in ((octaves, 1.0), (level / 30.0, 0.5)):
            rest = values - np.polynomial.Polynomial.fit(place, values, 2)(place)
            power = np.abs(np.fft.rfft(rest * shape, size)) ** 2
            total += weight * power
            if weight == 1.0:
                pitch += power
        energy += float(shape.sum()) ** 2
    band = (hz >= TRILL_HZ[0]) & (hz <= TRILL_HZ[1])
    if energy == 0.0 or total[band].max() < 1e-12:
        return math.nan, 0.0
    best = int(np.argmax(np.where(band, total, 0)))
    return math.log2(hz[best]), 4 * math.sqrt(float(pitch[best]) / energy)


def distance(
    one: Float[np.ndarray, " names"], other: Float[np.ndarray, "*n names"], spread: Float[np.ndarray, " names"]
) -> Float[np.ndarray, "*n"]:
    """Root mean square difference of songs, each number in units of its `spread` over birds, at most `AT_MOST`.

    Where one song has a number and the other has none they differ by `AT_MOST`; where both have none, by nothing.
    """
    gap = np.abs(np.asarray(other, float) - one) / spread
    both = np.isnan(one) & np.isnan(other)
    gap = np.where(both, 0.0, np.minimum(np.nan_to_num(gap, nan=AT_MOST), AT_MOST))
    return np.asarray(np.sqrt(np.mean(gap**2, axis=-1)))
