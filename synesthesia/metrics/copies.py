"""Is one sound a copy of another? Log-mel pictures compared at every lag: pure functions on samples.

The same rule serves twice: near-duplicate recordings are found before they are split, and sounds that a model made are
checked against what it was trained on.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

RATE = 16_000
BANDS = 24
HOP = 800  # 50 ms
WINDOW = 2 * HOP
SECOND = RATE // HOP  # frames in the window of one second that is compared
RANGE_DB = 60.0


@cache
def _mel() -> np.ndarray:
    """(WINDOW/2 + 1, BANDS) triangles equally spaced in m = 2595 log10(1 + f/700) from 60 Hz to 7.8 kHz."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (60.0, 7800.0))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    f = np.linspace(0, RATE / 2, WINDOW // 2 + 1)[:, None]
    rise, fall = (f - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - f) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rise, fall))


def log_mel(samples: Float[np.ndarray, " n"]) -> Float[np.ndarray, "frames bands"]:
    """Levels in dB of 24 mel bands every 50 ms, relative to the loudest, not below −60; for samples at `RATE`.

    The Hann window of 100 ms is twice the hop, so that two cuts of one recording look alike at any offset.
    """
    s = np.asarray(samples, dtype=np.float32)
    s = np.pad(s, (HOP // 2, WINDOW + (-len(s)) % HOP))
    frames = np.lib.stride_tricks.sliding_window_view(s, WINDOW)[::HOP][: max(1, (len(s) - WINDOW) // HOP)]
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
    power = np.abs(np.fft.rfft(frames * hann, axis=-1)) ** 2 @ _mel()
    top = max(float(power.max()), 1e-20)
    return np.maximum(10 * np.log10(np.maximum(power / top, 1e-20)), -RANGE_DB)


def cut(mel: Float[np.ndarray, "frames bands"], hop: int = 1) -> Float[np.ndarray, "windows bands second"]:
    """Windows of one second, [windows, bands, 20]. A shorter sound stands at every lag within a second of rest."""
    frames = np.asarray(mel, dtype=np.float32)
    if len(frames) < SECOND:
        rest = np.full((SECOND - len(frames), frames.shape[1]), -RANGE_DB, np.float32)
        frames = np.concatenate([rest, frames, rest])
    return np.lib.stride_tricks.sliding_window_view(frames, SECOND, axis=0)[::hop]


def movement(window: Float[np.ndarray, "windows bands second"]) -> Float[np.ndarray, "windows features"]:
    """Windows as unit vectors whose inner product is the correlation of how they move; windows at rest are zero.

    The mean of each band over the window is taken away: what is compared is how the sound moves, not its colour, in
    which any two rains agree.
    """
    centred = (window - window.mean(axis=-1, keepdims=True)).reshape(len(window), -1)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    # Below 1 dB of movement there is nothing but the coder's noise to compare.
    return np.where(norm > np.sqrt(centred.shape[1]), centred / np.maximum(norm, 1e-9), 0.0).astype(np.float32)


def difference_db(
    a: Float[np.ndarray, "n bands second"], b: Float[np.ndarray, "m bands second"]
) -> Float[np.ndarray, "n m"]:
    """The root mean square difference in dB of each window of a from each of b, whatever their levels as wholes."""
    x, y = ((w - w.mean(axis=(1, 2), keepdims=True)).reshape(len(w), -1) for w in (a, b))
    square = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * x @ y.T
    return np.sqrt(np.maximum(square, 0.0) / x.shape[1])


def any_lag(made: Float[np.ndarray, "n bands"], known: Float[np.ndarray, "m bands"]) -> Float[np.ndarray, " windows"]:
    """For each half second of `made`, the best correlation of the second that begins there with any of `known`."""
    return (movement(cut(made, SECOND // 2)) @ movement(cut(known)).T).max(axis=1)


def copied(made: Float[np.ndarray, "n bands"], known: Float[np.ndarray, "m bands"], limit: float = 0.9) -> float:
    """The share of one-second windows of `made` that stand in `known` at some lag with a correlation above `limit`."""
    return float((any_lag(made, known) > limit).mean())
