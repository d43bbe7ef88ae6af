"""What can be heard of a sound without knowing what it is: how loud, how bright, how eventful and how unsteady it is.

Within one kind of thing these are what a look changes: a blaze crackles faster than a small fire, a far river is duller
than a near one. They are estimators with closed forms, not networks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

LOW_HZ, HIGH_HZ = 50.0, 14_000.0
SILENCE_DB = -140.0
STEP_S = 0.005  # between looks for onsets
RISE_DB, LOOK_BACK = 6.0, 3  # a rise within so many steps: an onset
GAP_S = 0.02  # between onsets that are told apart
FRAME_S = 0.05  # of the level whose movement is measured
RANGE_DB = 40.0  # below the loudest frame everything is equally quiet


class Attributes(NamedTuple):
    """`level`: dB re full scale. `brightness`: octaves above 1 kHz. `events`: onsets a second. `movement`: dB."""

    level: float
    brightness: float
    events: float
    movement: float


def attributes(samples: Float[np.ndarray, " n"], rate: int) -> Attributes:
    """Measure a mono sound; of silence all but the level are zero. Only the level depends on how loud it is played.

    `brightness` is the mean of log₂ f weighted by power, from 50 Hz to 14 kHz. `events`: the level of the sound's slope
    (6 dB an octave of treble, which clicks are made of) every 5 ms rises by `RISE_DB` or more within 15 ms, at most
    once in 20 ms. `movement`: the standard deviation of the level of 50 ms, over 40 dB.
    """
    s = np.asarray(samples, dtype=np.float64)
    level = float(_db(np.mean(s**2, keepdims=True))[0]) if len(s) else SILENCE_DB
    if level <= SILENCE_DB:
        return Attributes(SILENCE_DB, 0.0, 0.0, 0.0)
    return Attributes(level, _brightness(s, rate), _events(s, rate), _movement(s, rate))


def _db(power: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return 10.0 * np.log10(np.maximum(power, 10.0 ** (SILENCE_DB / 10)))


def _levels(s: Float[np.ndarray, " n"], rate: int, step: float) -> Float[np.ndarray, " frames"]:
    """Levels of consecutive stretches of `step` seconds in dB; a last, shorter one is left out unless it is all."""
    size = max(1, round(step * rate))
    count = max(1, len(s) // size)
    return _db(np.array([np.mean(part**2) for part in np.split(s[: count * size], count)]))


def _brightness(s: Float[np.ndarray, " n"], rate: int) -> float:
    power = np.abs(np.fft.rfft(s * np.hanning(len(s) + 2)[1:-1])) ** 2
    hz = np.arange(len(power)) * rate / len(s)
    heard = (hz >= LOW_HZ) & (hz <= HIGH_HZ)
    total = float(power[heard].sum())
    return float(power[heard] @ np.log2(hz[heard] / 1000.0)) / total if total > 0 else 0.0


def _events(s: Float[np.ndarray, " n"], rate: int) -> float:
    level = _levels(np.diff(s, prepend=s[:1]), rate, STEP_S)
    level = np.maximum(level, level.max() - 2 * RANGE_DB)
    before = np.concatenate([np.full(LOOK_BACK, level[0]), level])
    least = np.lib.stride_tricks.sliding_window_view(before, LOOK_BACK)[:-1].min(axis=1)
    count, last = 0, -math.inf
    for at in np.flatnonzero(level - least >= RISE_DB):
        if (at - last) * STEP_S > GAP_S:
            count, last = count + 1, at
    return count / (len(s) / rate)


def _movement(s: Float[np.ndarray, " n"], rate: int) -> float:
    level = _levels(s, rate, FRAME_S)
    return float(np.maximum(level, level.max() - RANGE_DB).std())
