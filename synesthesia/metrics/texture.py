"""Statistics of sound textures after McDermott & Simoncelli (2011): what makes rain sound like rain, whatever the drop.

A sound passes a bank of filters of the ear's width; of the compressed envelopes the mean, spread and skew, the power of
their modulations and their correlations between bands are measured. Two excerpts of one texture agree in them though no
sample agrees.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

BANDS = 32
LOW_HZ, HIGH_HZ = 50.0, 14_000.0
ENVELOPE_RATE = 400
COMPRESSION = 0.3
MODULATIONS_HZ = (0.5, 1.6, 5.0, 15.0, 50.0, 100.0, 200.0)  # edges of six bands
NEIGHBOURS = (1, 2, 3, 5, 8, 11, 16, 21)  # distances in bands, as in their §"Texture statistics"
SILENCE_DB = 100.0  # full scale to what counts as no sound in a band


class Texture(NamedTuple):
    """Statistics of one sound's envelopes.

    `mean` [bands]; `spread` [bands], standard deviation over mean; `skew` [bands]; `modulation` [bands, 6], the share
    that a modulation band has in the envelope's power; `correlation` [pairs] of bands at the distances `NEIGHBOURS`.
    """

    mean: np.ndarray
    spread: np.ndarray
    skew: np.ndarray
    modulation: np.ndarray
    correlation: np.ndarray


@cache
def _edges() -> np.ndarray:
    """Half-cosine filters equally spaced on the ear's scale, 21.4 log10(1 + 0.00437 f); neighbours overlap by half."""
    low, high = (21.4 * np.log10(1 + 0.00437 * f) for f in (LOW_HZ, HIGH_HZ))
    return (10 ** (np.linspace(low, high, BANDS + 2) / 21.4) - 1) / 0.00437


def envelopes(samples: Float[np.ndarray, " n"], rate: int) -> Float[np.ndarray, "bands frames"]:
    """Compressed envelopes |analytic band|^0.3 at 400 Hz.

    Each band's positive frequencies are moved to zero and transformed back at a rate just above their width: the
    magnitude is the envelope of the full-rate band, sampled more sparsely. Compression comes before the last low pass,
    as in the original.
    """
    s = np.asarray(samples, dtype=np.float32)
    seconds = len(s) / rate
    frames = max(1, round(seconds * ENVELOPE_RATE))
    spectrum = np.fft.rfft(s)
    hz = np.arange(len(spectrum)) / max(seconds, 1e-9)
    numbers = 21.4 * np.log10(1 + 0.00437 * hz)
    edges = _edges()
    at = 21.4 * np.log10(1 + 0.00437 * edges)
    out = np.zeros((BANDS, frames))
    floor = 10 ** (-SILENCE_DB / 20)
    for band in range(BANDS):
        first, last = np.searchsorted(hz, [edges[band], edges[band + 2]])
        centre, half = at[band + 1], (at[band + 2] - at[band]) / 2
        part = spectrum[first:last] * np.cos(np.pi / 2 * np.clip((numbers[first:last] - centre) / half, -1, 1))
        size = max(2 * len(part), frames, 2)
        envelope = np.abs(np.fft.ifft(part, size)) * (2 * size / max(len(s), 1))
        out[band] = _slower((envelope + floor) ** COMPRESSION, frames)
    return out


def _slower(signal: Float[np.ndarray, " n"], frames: int) -> Float[np.ndarray, " frames"]:
    """The signal at fewer samples, low-passed on the way, without ringing across its ends (it is mirrored)."""
    if frames >= len(signal):
        return signal[:frames]
    mirrored = np.concatenate([signal, signal[::-1]])
    spectrum = np.fft.rfft(mirrored)[: frames + 1]
    return np.fft.irfft(spectrum, 2 * frames)[:frames] * (2 * frames / len(mirrored))


def texture(samples: Float[np.ndarray, " n"], rate: int) -> Texture:
    """The statistics of a sound. Shorter than two seconds it has no slow modulations, and they are measured as none."""
    e = envelopes(samples, rate)
    mean = e.mean(axis=1)
    centred = e - mean[:, None]
    variance = (centred**2).mean(axis=1)
    # A band at rest has no shape: its envelope is the floor, and its spread is counted as nothing.
    spread = np.sqrt(variance) / mean
    moving = variance > 1e-12
    safe = np.where(moving, variance, 1.0)
    skew = np.where(moving, (centred**3).mean(axis=1) / safe**1.5, 0.0)
    power = np.abs(np.fft.rfft(centred * np.hanning(e.shape[1] + 2)[1:-1], axis=1)) ** 2
    hz = np.arange(power.shape[1]) * ENVELOPE_RATE / e.shape[1]
    total = np.maximum(power.sum(axis=1), 1e-30)
    modulation = np.stack(
        [power[:, (hz >= low) & (hz < high)].sum(axis=1) / total for low, high in pairwise(MODULATIONS_HZ)],
        axis=1,
    )
    unit = np.where(moving[:, None], centred / np.sqrt(safe)[:, None], 0.0)
    correlation = np.concatenate([(unit[:-d] * unit[d:]).mean(axis=1) for d in NEIGHBOURS])
    return Texture(mean, spread, skew, np.where(moving[:, None], modulation, 0.0), correlation)


class TextureError(NamedTuple):
    """How far two textures are apart: the root mean square difference of each group of statistics.

    `mean`: in dB of level (compression undone); `spread`, `skew`, `modulation`, `correlation`: in their own units.
    """

    mean: float
    spread: float
    skew: float
    modulation: float
    correlation: float


def texture_error(reference: Texture, estimate: Texture) -> TextureError:
    """The differences of two textures, over the bands that sound in the reference (within 60 dB of its loudest)."""
    level = 20.0 / COMPRESSION * np.log10(np.maximum(reference.mean, 1e-12))
    sounding = level > level.max() - 60.0
    pairs = np.concatenate([sounding[:-d] & sounding[d:] for d in NEIGHBOURS])

    def apart(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.sqrt(((a - b) ** 2).mean())) if a.size else 0.0

    other = 20.0 / COMPRESSION * np.log10(np.maximum(estimate.mean, 1e-12))
    return TextureError(
        apart(level[sounding], other[sounding]),
        apart(reference.spread[sounding], estimate.spread[sounding]),
        apart(reference.skew[sounding], estimate.skew[sounding]),
        apart(reference.modulation[sounding], estimate.modulation[sounding]),
        apart(reference.correlation[pairs], estimate.correlation[pairs]),
    )
