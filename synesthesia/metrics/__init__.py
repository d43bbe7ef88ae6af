"""Metrics: pure functions, arrays in, numbers out.

Everything here has a closed form that `tests/test_metrics.py` checks. Frequencies are in Hz, decay times (T60) in
seconds, sounds are one-dimensional arrays of samples with 1.0 = full scale. Protocols (which sounds, which split,
which baseline) live in `evaluate`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

AUDIBLE_DB = 30.0  # a mode this far below the loudest no longer counts
FLOOR_DB = 80.0  # spectra are compared down to this far below the reference's loudest bin


# ------------------------------------------------------------------------------------------------ modes of one strike


class ModeDistance(NamedTuple):
    """How far two sets of modes are apart, in octaves of frequency and in octaves (factors of two) of decay time."""

    frequency: float
    decay: float

    @property
    def total(self) -> float:
        return self.frequency + self.decay


def cents(reference: Float[np.ndarray, ...], estimate: Float[np.ndarray, ...]) -> Float[np.ndarray, ...]:
    """The interval from reference to estimate in cents (1200 to the octave); positive when the estimate is higher."""
    return 1200.0 * np.log2(np.asarray(estimate, dtype=float) / np.asarray(reference, dtype=float))


def line_energy(gain: Float[np.ndarray, "*b k"], t60: Float[np.ndarray, "*b k"]) -> Float[np.ndarray, "*b k"]:
    """The energy of damped sinusoids: ∫ (g e^{−at} sin ωt)² dt = g²/(4a) with a = ln(1000)/T60, for ω ≫ a."""
    return np.asarray(gain, dtype=float) ** 2 * np.asarray(t60, dtype=float) / (4.0 * np.log(1000.0))


def audible(gain: Float[np.ndarray, "*b k"], within_db: float = AUDIBLE_DB) -> Bool[np.ndarray, "*b k"]:
    """Which lines of a strike lie within `within_db` of its loudest one (by initial amplitude)."""
    g = np.abs(np.asarray(gain, dtype=float))
    return (g > 0) & (g >= g.max(axis=-1, keepdims=True) * 10.0 ** (-within_db / 20.0))


def wasserstein(
    x: Float[np.ndarray, " n"],
    weight_x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " m"],
    weight_y: Float[np.ndarray, " m"],
) -> float:
    """Wasserstein-1 distance of two weighted sets of points on a line, in their unit.

    ∫ |F(u) − G(u)| du of the two cumulative distributions: the least mean distance that mass must travel.
    Weights are normalised; a set without mass has no distribution and gives NaN.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    p, q = np.asarray(weight_x, dtype=float), np.asarray(weight_y, dtype=float)
    if p.sum() <= 0 or q.sum() <= 0:
        return float("nan")
    points = np.concatenate([x, y])
    mass = np.concatenate([p / p.sum(), -q / q.sum()])
    order = np.argsort(points, kind="stable")
    return float(np.abs(np.cumsum(mass[order])[:-1]) @ np.diff(points[order]))


def mode_distance(
    frequency: Float[np.ndarray, " k"],
    t60: Float[np.ndarray, " k"],
    gain: Float[np.ndarray, " k"],
    frequency_estimate: Float[np.ndarray, " l"],
    t60_estimate: Float[np.ndarray, " l"],
    gain_estimate: Float[np.ndarray, " l"],
    *,
    align: bool = False,
) -> ModeDistance:
    """Energy-weighted Wasserstein-1 distance over log₂ frequency and over log₂ decay time.

    `align` first moves the estimate so that its lowest mode has the reference's frequency: what is left is the
    pattern of the modes, without the pitch. Level plays no part (weights are normalised).
    """
    f, g = np.asarray(frequency, dtype=float), np.asarray(frequency_estimate, dtype=float)
    if align:
        g = g * (f.min() / g.min())
    p, q = line_energy(gain, t60), line_energy(gain_estimate, t60_estimate)
    return ModeDistance(
        wasserstein(np.log2(f), p, np.log2(g), q), wasserstein(np.log2(t60), p, np.log2(t60_estimate), q)
    )


def quantile_signature(
    frequency: Float[np.ndarray, " k"], t60: Float[np.ndarray, " k"], gain: Float[np.ndarray, " k"], levels: int = 64
) -> Float[np.ndarray, " q"]:
    """A vector whose L1 distances are mode distances: quantiles of log₂ f and of log₂ T60 by energy.

    ‖a − b‖₁/levels tends to `mode_distance(...).total` as `levels` grows (W1 is the L1 distance of the quantile
    functions), so medoids of many sounds cost one matrix of L1 distances.
    """
    weight = line_energy(gain, t60)
    at = (np.arange(levels) + 0.5) / levels
    parts = []
    for values in (np.log2(np.asarray(frequency, dtype=float)), np.log2(np.asarray(t60, dtype=float))):
        order = np.argsort(values, kind="stable")
        cumulative = np.cumsum(weight[order]) / weight.sum()
        parts.append(values[order][np.minimum(np.searchsorted(cumulative, at), len(order) - 1)])
    return np.concatenate(parts)


def medoid(signatures: Float[np.ndarray, "n d"]) -> int:
    """The row with the least total L1 distance to all others: the most typical real item, never an average."""
    s = np.asarray(signatures, dtype=float)
    total = np.array([np.abs(s - row).sum() for row in s])
    return int(total.argmin())


def match_modes(
    reference: Float[np.ndarray, " k"], estimate: Float[np.ndarray, " l"], limit: float = 100.0
) -> Int[np.ndarray, "pairs 2"]:
    """Pair the modes of two ascending lists one to one, in order, each pair at most `limit` cents apart.

    The pairing keeps as many pairs as possible at the least total cost, where leaving a mode alone costs half of
    `limit` (dynamic programming, as in aligning two strings).
    """
    cost = np.abs(cents(np.asarray(reference)[:, None], np.asarray(estimate)[None, :]))
    k, m = cost.shape
    alone = limit / 2.0
    best = np.zeros((k + 1, m + 1))
    best[:, 0], best[0, :] = alone * np.arange(k + 1), alone * np.arange(m + 1)
    for i in range(1, k + 1):
        for j in range(1, m + 1):
            pair = best[i - 1, j - 1] + cost[i - 1, j - 1] if cost[i - 1, j - 1] <= limit else np.inf
            best[i, j] = min(pair, best[i - 1, j] + alone, best[i, j - 1] + alone)
    pairs: list[tuple[int, int]] = []
    i, j = k, m
    while i and j:
        if best[i, j] == best[i - 1, j] + alone:
            i -= 1
        elif best[i, j] == best[i, j - 1] + alone:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return np.array(pairs[::-1], dtype=int).reshape(-1, 2)


def t60_at(
    frequency: Float[np.ndarray, " k"], t60: Float[np.ndarray, " k"], at: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    """Decay times at other frequencies: linear in log f and log T60 between the modes, constant beyond them."""
    order = np.argsort(frequency)
    f, t = np.asarray(frequency, dtype=float)[order], np.asarray(t60, dtype=float)[order]
    return np.exp(np.interp(np.log(at), np.log(f), np.log(t)))


def octave_decay_errors(
    frequency: Float[np.ndarray, " k"],
    t60: Float[np.ndarray, " k"],
    gain: Float[np.ndarray, " k"],
    frequency_estimate: Float[np.ndarray, " l"],
    t60_estimate: Float[np.ndarray, " l"],
) -> Float[np.ndarray, " octaves"]:
    """Relative errors of the decay time, one for each octave band that holds audible modes of the reference.

    Bands are the standard octaves (…, 500, 1000, 2000 Hz …). In each, the median T60 of the reference's modes within
    `AUDIBLE_DB` of its loudest is compared with the median of the estimate's decay curve at those same frequencies,
    so an error of pitch is not counted again as one of damping. |T̂/T − 1|; 0.35 is 35 %.
    """
    keep = audible(gain)
    f, t = np.asarray(frequency, dtype=float)[keep], np.asarray(t60, dtype=float)[keep]
    estimate = t60_at(frequency_estimate, t60_estimate, f)
    band = np.round(np.log2(f / 1000.0)).astype(int)
    return np.array([abs(np.median(estimate[band == b]) / np.median(t[band == b]) - 1.0) for b in np.unique(band)])


# ------------------------------------------------------------------------------------------------- waveforms


def spectrogram(
    samples: Float[np.ndarray, " n"], window: int = 2048, hop: int = 512
) -> Float[np.ndarray, "frames bins"]:
    """Magnitudes of the short-time Fourier transform, Hann window, scaled so that a sine of amplitude 1 peaks at 1."""
    s = np.asarray(samples, dtype=np.float32)  # single precision: errors about −130 dB, half the time
    if len(s) < window:
        s = np.pad(s, (0, window - len(s)))
    frames = np.lib.stride_tricks.sliding_window_view(s, window)[::hop]
    hann = (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(window) / window)).astype(np.float32)
    return np.abs(np.fft.rfft(frames * hann, axis=-1)) * np.float32(2.0 / hann.sum())


def _same_length(reference: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    out = np.zeros(len(reference))
    n = min(len(reference), len(estimate))
    out[:n] = np.asarray(estimate, dtype=float)[:n]
    return out


def log_spectral_distance(
    reference: Float[np.ndarray, " n"], estimate: Float[np.ndarray, " m"], floor_db: float = FLOOR_DB
) -> float:
    """Log-spectral distance in dB: the RMS over frequency of the level difference, averaged over frames that sound.

    Both spectra are floored `floor_db` below the reference's loudest bin; frames in which neither rises above the floor
    do not count, so a long silence after a short sound earns nothing. The estimate is cut or padded with silence to
    the reference's length. Level counts. (Gray & Markel 1976, d₂.)
    """
    a = spectrogram(reference)
    b = spectrogram(_same_length(reference, estimate))
    floor = max(float(a.max()) * 10.0 ** (-floor_db / 20.0), 1e-12)
    sounding = (np.maximum(a, b) > floor).any(axis=-1)
    if not sounding.any():
        return 0.0
    difference = 20.0 * np.log10(np.maximum(a[sounding], floor) / np.maximum(b[sounding], floor))
    return float(np.sqrt((difference**2).mean(axis=-1)).mean())


def spectrogram_l1(
    reference: Float[np.ndarray, " n"], estimate: Float[np.ndarray, " m"], *, log: bool = False
) -> float:
    """Mean absolute difference of magnitude spectrograms, in units of the reference's largest magnitude.

    With `log`, of their natural logarithms, floored `FLOOR_DB` below that magnitude.
    """
    a, b = spectrogram(reference), spectrogram(_same_length(reference, estimate))
    top = max(float(a.max()), 1e-12)
    a, b = a / top, b / top
    if log:
        floor = 10.0 ** (-FLOOR_DB / 20.0)
        a, b = np.log(np.maximum(a, floor)), np.log(np.maximum(b, floor))
    return float(np.abs(a - b).mean())


def envelope(samples: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The magnitude of the analytic signal (Hilbert envelope)."""
    s = np.asarray(samples, dtype=np.float32)
    n = len(s)
    gain = np.zeros(n, dtype=np.float32)
    gain[0] = 1.0
    gain[1 : (n + 1) // 2] = 2.0
    if n % 2 == 0:
        gain[n // 2] = 1.0
    return np.abs(np.fft.ifft(np.fft.fft(s) * gain))


def envelope_distance(reference: Float[np.ndarray, " n"], estimate: Float[np.ndarray, " m"]) -> float:
    """ENV: the RMS difference of the two Hilbert envelopes, in units of the reference's peak."""
    a = envelope(reference)
    difference = a - envelope(_same_length(reference, estimate))
    return float(np.sqrt((difference**2).mean())) / max(float(a.max()), 1e-12)


# ------------------------------------------------------------------------------------------------- statistics


def coverage(
    truth: Float[np.ndarray, " n"], mean: Float[np.ndarray, " n"], std: Float[np.ndarray, " n"], level: float = 0.8
) -> float:
    """The share of truths inside the central `level` interval of the normal distribution that was predicted."""
    return float(covered(truth, mean, std, level).mean())


def covered(
    truth: Float[np.ndarray, " n"], mean: Float[np.ndarray, " n"], std: Float[np.ndarray, " n"], level: float = 0.8
) -> Bool[np.ndarray, " n"]:
    """Which truths lie inside the central `level` interval of the normal distribution that was predicted."""
    from statistics import NormalDist

    half = NormalDist().inv_cdf(0.5 + level / 2.0)
    return np.abs(np.asarray(truth) - np.asarray(mean)) <= half * np.asarray(std)


def _contingency(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    _, i = np.unique(np.asarray(a), return_inverse=True)
    _, j = np.unique(np.asarray(b), return_inverse=True)
    table = np.zeros((i.max() + 1, j.max() + 1))
    np.add.at(table, (i, j), 1.0)
    return table / len(i)


def kappa(a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"]) -> float:
    """Cohen's κ: agreement of two codings beyond what their frequencies give by chance.

    1 = always the same, 0 = chance. Two codings that both use one code only agree without any choice: 0.
    """
    a, b = np.asarray(a), np.asarray(b)
    codes = np.union1d(a, b)
    share_a = (a[:, None] == codes).mean(axis=0)
    share_b = (b[:, None] == codes).mean(axis=0)
    chance = float(share_a @ share_b)
    return 0.0 if chance >= 1.0 else (float((a == b).mean()) - chance) / (1.0 - chance)


def nmi(a: np.ndarray, b: np.ndarray) -> float:
    """Normalised mutual information of two labellings, I(a; b)/mean(H(a), H(b)); 0 where one is constant."""
    joint = _contingency(a, b)
    pa, pb = joint.sum(axis=1), joint.sum(axis=0)
    filled = joint > 0
    information = float((joint[filled] * np.log(joint[filled] / np.outer(pa, pb)[filled])).sum())
    entropy = -float((pa * np.log(pa)).sum()) - float((pb * np.log(pb)).sum())
    return 0.0 if entropy <= 0 or len(pa) == 1 or len(pb) == 1 else 2.0 * information / entropy


def usage(codes: Int[np.ndarray, " n"], count: int) -> Float[np.ndarray, " count"]:
    """The share of each of `count` codes."""
    return np.bincount(np.asarray(codes), minlength=count)[:count] / max(len(codes), 1)


def perplexity(share: Float[np.ndarray, " count"]) -> float:
    """How many codes are in use, effectively: exp of the entropy of the shares."""
    p = np.asarray(share, dtype=float)
    p = p[p > 0] / p.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Ranks from 1, ties sharing their mean rank."""
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[inverse]


def spearman(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, ties averaged; NaN where one side is constant."""
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 0 else float("nan")


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % bootstrap interval, the count of items `n` and of independent `objects` behind it."""

    value: float
    low: float
    high: float
    n: int
    objects: int

    def record(self) -> dict[str, float | int | None]:
        """For JSON, where NaN does not exist: null."""
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in asdict(self).items()}


def bootstrap(
    objects: np.ndarray,
    statistic: Callable[[Int[np.ndarray, " m"]], float],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """A statistic with its percentile bootstrap interval, resampling whole objects, not their items.

    `objects` names the object of each item; `statistic` takes the indices of the items drawn (with repeats). Items of
    one object (its views, points, octaves) share its peculiarities, so drawing them one by one would promise too much.
    Resamples on which the statistic is NaN are left out. (Efron & Tibshirani 1993, ch. 13; Field & Welsh 2007.)
    """
    labels = np.asarray(objects)
    if len(labels) == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0, 0)
    names, inverse = np.unique(labels, return_inverse=True)
    drawn = np.array([statistic(index) for index in _draws(inverse.tobytes(), resamples, seed)], dtype=float)
    drawn = drawn[np.isfinite(drawn)]
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(drawn, [tail, 100.0 - tail]) if len(drawn) else (float("nan"), float("nan"))
    return Estimate(float(statistic(np.arange(len(labels)))), float(low), float(high), len(labels), len(names))


def mean(values: Float[np.ndarray, " n"], objects: Sequence[str] | np.ndarray, *, seed: int = 0) -> Estimate:
    """The mean of what was measured (not NaN), its interval resampled over objects."""
    good = np.flatnonzero(np.isfinite(values))
    kept = np.asarray(values, dtype=float)[good]
    return bootstrap(np.array(objects)[good], lambda index: float(kept[index].mean()), seed=seed)


@functools.lru_cache(maxsize=4)
def _draws(objects: bytes, resamples: int, seed: int) -> list[np.ndarray]:
    """Item indices of each resample, which many statistics share. `objects`: the numbers 0, 1, … as bytes of intp."""
    inverse = np.frombuffer(objects, dtype=np.intp)
    members = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
    rng = np.random.default_rng(seed)
    count = len(members)
    return [np.concatenate([members[k] for k in rng.integers(0, count, count)]) for _ in range(resamples)]
