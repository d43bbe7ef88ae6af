"""Filters that move: delays of any fraction of a sample, and colours as minimum-phase spectra, both without clicks."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

if TYPE_CHECKING:
    from jaxtyping import Float

# Octave bands in Hz; absorption and losses are told at these.
BANDS: tuple[float, ...] = (125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)

TAPS = 20  # of the interpolator
POWERS = 6  # of its polynomial in the fraction of a sample
_CUTOFF, _KAISER = 0.86, 8.0  # of its low-pass, in shares of the Nyquist frequency, and its window's shape
_RINGING = 64  # samples that a colour may ring for


@functools.cache
def interpolator() -> Float[np.ndarray, "taps powers"]:
    """c such that y(t − d) ≈ Σ_k Σ_m c[k, m] (d' − ½)^m x[t' − k]: a delay whose fraction may change at every sample.

    Farrow's structure (1988, ISCAS, 2641): the filters c[:, m] are applied once to a sound as it comes in, and each
    delayed reading then is a polynomial of `POWERS` terms. The taps are a sinc in a Kaiser window, drawn at 33
    fractions; a polynomial is fitted through them. Its cutoff lies below the Nyquist frequency, so that all fractions
    lose the same treble (at 48 kHz: flat within .1 dB to 16 kHz) and a moving sound keeps its colour. The whole delay
    is `TAPS`/2 − 1 samples and the fraction d' in [0, 1).
    """
    fractions = np.linspace(0, 1, 33)
    time = np.arange(TAPS)[:, None] - (TAPS / 2 - 1 + fractions)
    window = np.i0(_KAISER * np.sqrt(np.maximum(1 - (2 * time / TAPS) ** 2, 0))) / np.i0(_KAISER)
    taps = np.sinc(_CUTOFF * time) * window  # [taps, fractions]
    taps /= taps.sum(0)
    powers = (fractions[:, None] - 0.5) ** np.arange(POWERS)
    return np.linalg.lstsq(powers, taps.T, rcond=None)[0].T.astype(np.float32)


def minimum_phase(db: Float[np.ndarray, "*n bins"]) -> np.ndarray:
    """The complex log-spectrum of the causal filter with this level, given in dB on evenly spaced bins up to Nyquist.

    The phase is the Hilbert transform of the log-magnitude, by folding the cepstrum (Oppenheim & Schafer,
    Discrete-Time Signal Processing, 3rd ed., §13.5). All of it is linear in dB, so colours add. The cepstrum is faded
    out over `_RINGING` samples, so that the filter is short enough for blocks; the level is smoothed by as much.
    """
    cepstrum = scipy.fft.irfft(np.asarray(db, np.float64) * (math.log(10) / 20), axis=-1)
    half = cepstrum.shape[-1] // 2
    fold = np.zeros(cepstrum.shape[-1])
    ringing = min(_RINGING, half)
    fold[:ringing] = 1 + np.cos(np.pi * np.arange(ringing) / ringing)
    fold[0] = 1
    return scipy.fft.rfft(cepstrum * fold, axis=-1)


def band_shapes(rate: int, bins: int) -> Float[np.ndarray, "bands bins"]:
    """How much each octave band counts at each frequency: straight lines over log f; the outer bands reach to the ends.

    The shapes sum to one everywhere.
    """
    hz = np.linspace(0, rate / 2, bins)
    octaves = np.log2(np.maximum(hz, 1.0) / BANDS[0])
    return np.stack([np.interp(octaves, np.arange(len(BANDS)), row) for row in np.eye(len(BANDS))])
