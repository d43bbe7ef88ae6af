"""Textures: a sound as how it moves on the whole, a fire, rain, the sea, wind.

    latents of `bands` ─ listen ─▶ a texture: colour, level, how shapes of the spectrum move and how quickly, onsets
    latents of `bands` ◀─ Weaver ─┘

What rushes, crackles or drips has no notes, and no moment of it matters: how it is on the whole is all that a listener
keeps (McDermott & Simoncelli 2011, Neuron 71, 926). A texture says that in `WIDTH` numbers, and of these it is woven
again, for as long as you like. It is no voice for everything: of a song nothing is left. `Heard.noise` says how much of
a sound is no tone.

The levels of the bands, in dB, are written as cosines over the bands, as in a cepstrum; these are nearly uncorrelated.
Each moves as Gaussian noise of its own spectrum, bent to its skewness (a fire is quiet with loud crackles in it), and
the first ones as far as they go along with the level. Onsets stand where the level rises most. Nothing is learned.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import fft

from ..senses import InputError, Sound
from . import bands

if TYPE_CHECKING:
    from jaxtyping import Float

COLOUR = 32  # cosines over the bands that say what colour it has
EDGES = (0.2, 0.6, 1.5, 4.0, 10.0, 25.0, 50.0)  # Hz: upper ends of the bands of movement
GROUPS = (0, 1, 2, 3, 5, 8, 13, 21, 40, 64)  # of cosines that move alike
BENT = 4  # cosines, from the first on, whose skewness is told
_MOVES = (len(GROUPS) - 1, len(EDGES))
# In this order: the colour, dB of the mean power of each band as cosines over the bands; the level, dB of the whole
# mean power; how much each group of cosines moves in each band of movement, dB of power; the skewness of the first
# cosines, as tanh of its third; how far the three after the first go along with it; onsets: log₂ of how many a
# second, how far they rise in dB, and their click. All dB are in tens.
PARTS = (COLOUR, 1, _MOVES[0] * _MOVES[1], BENT, BENT - 1, 3)
WIDTH = sum(PARTS)
LEVEL = COLOUR
LEAST = 64  # frames that make a texture
LOUD = 0.9  # peak at which a sound is listened to
RANGE_DB = 80.0  # below the loudest band everything is equally quiet
_RATE = bands.RATE / bands.HOP
_QUIET = 1e-2  # dB²: what moves less is at rest
_BEND, _MOST_SKEW = 3.0, 6.0
_MOST_DB = 45.0  # above the mean of the loudest band; no frame is louder
_MOST = 100.0  # tens of dB that a number of the colour can say, or a level below full scale
_SEGMENT, _OVER = 1024, 128  # frames that are woven at a time, and over which one goes into the next


class Heard(NamedTuple):
    """A `texture`, and the share of the sound's power that is `noise` rather than tones (0 to 1)."""

    texture: Float[np.ndarray, " width"]
    noise: float


def listen(latents: Float[np.ndarray, "frames bands"]) -> Heard:
    """The texture of a sound, given as latents of `bands`. InputError for fewer than `LEAST` frames."""
    if latents.ndim != 2 or latents.shape[1] != bands.WIDTH or len(latents) < LEAST:
        raise InputError(f"A texture has {LEAST} frames of {bands.WIDTH} numbers at least; these are {latents.shape}.")
    level = latents[:, bands.LEVELS].astype(float)
    power = 10 ** (level / 10)
    level = np.maximum(level, max(float(level.max()) - RANGE_DB, bands.FLOOR_DB + 5))
    colour = fft.dct(10 * np.log10((10 ** (level / 10)).mean(0)), norm="ortho")[:COLOUR]
    moving = fft.dct(level - level.mean(0), axis=1, norm="ortho")
    unit = moving[:, :BENT] / (moving[:, :BENT].std(0) + 1e-3)
    along = (unit[:, 1:] * unit[:, :1]).mean(0)
    rise = latents[:, bands.RISE]
    onset = rise > 0
    count = float(onset.sum())
    struck = (rise[onset].mean(), latents[onset, bands.CLICK].mean()) if count else (15.0, 0.3)
    tones = 10 ** (latents[:, bands.PARTIALS].astype(float) / 10) * (latents[:, bands.PARTIALS] > bands.FLOOR_DB)
    told = np.concatenate([
        colour / 10,
        [np.log10(max(float(power.sum(1).mean()), 1e-10))],
        np.log10(_moves(moving) + _QUIET).ravel(),
        np.tanh((unit**3).mean(0) / _BEND),
        along,
        [np.log2(max(count, 0.5) * _RATE / len(level)), struck[0] / 10, struck[1]],
    ])  # fmt: skip
    heard = bool((latents[:, bands.LEVELS] > bands.FLOOR_DB).any())
    noise = 1 - min(float(tones.sum() / power.sum()), 1.0) if heard else 0.0
    return Heard(told.astype(np.float32), noise)


def heard(sound: Sound) -> Heard:
    """The texture of a sound, however quiet; InputError for one of fewer than `LEAST` frames.

    It is listened to as if it were loud, since what lies below the floor of `bands` is lost to them: a faint wind would
    keep but its loudest bands, and be woven a good deal too bright.
    """
    louder = LOUD / max(float(np.abs(sound.samples).max()), 1e-7)
    told = listen(bands.Bands().encode(Sound(sound.samples * np.float32(louder), sound.rate)).values)
    told.texture[LEVEL] -= 2 * np.log10(louder)
    return told


def _moves(moving: Float[np.ndarray, "frames bands"]) -> Float[np.ndarray, "groups edges"]:
    """The mean power of each group of cosines in each band of movement; one too slow for the sound is as the next."""
    spectrum = np.abs(np.fft.rfft(moving, axis=0))[1:] ** 2 / len(moving)
    band = _band_of(np.fft.rfftfreq(len(moving), 1 / _RATE)[1:])
    out = np.zeros(_MOVES)
    for group, (first, last) in enumerate(pairwise(GROUPS)):
        each = spectrum[:, first:last].mean(1)
        for k in range(len(EDGES)):
            out[group, k] = each[band == k].mean() if (band == k).any() else np.nan
    for k in reversed(range(len(EDGES) - 1)):
        out[:, k] = np.where(np.isnan(out[:, k]), out[:, k + 1], out[:, k])
    return out


class Weaver:
    """Weaves a texture into latents of `bands`, for ever.

    What is taken, joined, is the same however it was cut, and memory does not grow with length.
    """

    def __init__(self, texture: Float[np.ndarray, " width"], seed: int) -> None:
        if np.shape(texture) != (WIDTH,) or not np.isfinite(texture).all():
            raise InputError(f"A texture is {WIDTH} finite numbers; this is {np.shape(texture)}.")
        colour, level, moves, skew, along, struck = np.split(np.asarray(texture, float), np.cumsum(PARTS)[:-1])
        self._colour = fft.idct(np.pad(10 * colour.clip(-_MOST, _MOST), (0, bands.BANDS - COLOUR)), norm="ortho")
        self._colour -= self._colour.max()
        self._level = 10 * float(level[0].clip(-_MOST, 0))
        self._gain = _gains(moves.reshape(_MOVES).clip(-2, 5))
        self._skew = _BEND * np.arctanh(skew.clip(-0.96, 0.96))
        self._along = along.clip(-0.95, 0.95)
        self._often, self._rise, self._click = 2 ** struck[0].clip(-4, 6), 10 * struck[1].clip(0, 6), struck[2]
        self._deviation = np.sqrt(np.maximum((self._gain**2).mean(0), 1e-9))
        self._seed = seed % 2**64
        self._offset: np.ndarray | None = None
        self._segments = self._woven()
        self._left = np.zeros((0, bands.WIDTH), np.float32)

    def take(self, frames: int) -> Float[np.ndarray, "frames bands"]:
        """The next frames."""
        parts, have = [self._left], len(self._left)
        while have < frames:
            parts.append(next(self._segments))
            have += _SEGMENT
        known = np.concatenate(parts)
        self._left = known[frames:]
        return known[:frames]

    def _woven(self) -> Iterator[Float[np.ndarray, "frames bands"]]:
        share = np.sin(0.5 * np.pi * (np.arange(_OVER) + 0.5) / _OVER)[:, None]
        number, before = 0, None
        while True:
            rng = np.random.Generator(np.random.Philox(key=np.array([self._seed, 2**62 + number], np.uint64)))
            n = _SEGMENT + _OVER
            white = np.fft.rfft(rng.standard_normal((n, bands.BANDS)), axis=0)
            moving = np.fft.irfft(white * self._gain, n, axis=0)
            if before is not None:  # two that do not know each other: powers add
                moving[:_OVER] = share * moving[:_OVER] + share[::-1] * before
            before = moving[_SEGMENT:]
            yield self._frames(moving[:_SEGMENT], rng)
            number += 1

    def _frames(self, moving: np.ndarray, rng: np.random.Generator) -> Float[np.ndarray, "frames bands"]:
        unit = moving[:, :BENT] / self._deviation[:BENT]
        unit[:, 1:] = self._along * unit[:, :1] + np.sqrt(1 - self._along**2) * unit[:, 1:]
        bent = np.stack([_skewed(column, skew) for column, skew in zip(unit.T, self._skew, strict=True)], 1)
        moving = np.concatenate([bent * self._deviation[:BENT], moving[:, BENT:]], 1)
        level = self._colour + fft.idct(moving, axis=1, norm="ortho")
        level = np.clip(level, -2 * RANGE_DB, _MOST_DB)
        if self._offset is None:  # so that the mean *power* of the first segment has colour and level as told
            offset = self._colour - 10 * np.log10((10 ** (level / 10)).mean(0))
            whole = 10 * np.log10((10 ** ((level + offset) / 10)).sum(1).mean())
            self._offset = offset + self._level - whole
        out = np.tile(bands.REST, (len(level), 1))
        out[:, bands.LEVELS] = np.clip(level + self._offset, bands.FLOOR_DB, 0.0)
        count = min(int(rng.poisson(self._often * len(level) / _RATE)), len(level) // 4)
        at = np.argsort(-np.diff(moving[:, 0], prepend=moving[:1, 0]), kind="stable")[:count]
        out[at, bands.RISE] = (self._rise * (1 + 0.3 * rng.standard_normal(count))).clip(6, 60)
        out[at, bands.ONSET] = rng.random(count)
        out[at, bands.CLICK] = np.clip(self._click, 0, 1)
        return out


def _band_of(hz: Float[np.ndarray, " bins"]) -> np.ndarray:
    """The number of the band of movement that each frequency lies in."""
    return np.searchsorted(EDGES, hz - 1e-9).clip(max=len(EDGES) - 1)


def _gains(moves: Float[np.ndarray, "groups edges"]) -> Float[np.ndarray, "bins bands"]:
    """The amplitude spectrum of each cosine: flat within a band of movement, so that its power is kept."""
    band = _band_of(np.fft.rfftfreq(_SEGMENT + _OVER, 1 / _RATE))
    gain = np.repeat(10 ** (0.5 * moves.T[band]), np.diff(GROUPS), axis=1)
    gain[0] = 0.0
    return gain


def _skewed(x: Float[np.ndarray, " n"], skew: float) -> Float[np.ndarray, " n"]:
    """Gaussian noise of deviation 1, bent by an exponential to this skewness; mean and deviation stay.

    A lognormal's skewness is t = (w + 2) √(w − 1) for w = exp σ²; so w = 2 cosh(arcosh(1 + t²/2) / 3) − 1.
    """
    t = min(abs(float(skew)), _MOST_SKEW)
    w = 2 * np.cosh(np.arccosh(1 + t * t / 2) / 3) - 1
    if w - 1 < 1e-4:
        return x
    sign = np.sign(skew)
    return sign * (np.exp(sign * np.sqrt(np.log(w)) * x) - np.sqrt(w)) / np.sqrt(w * (w - 1))
