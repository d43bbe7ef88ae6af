"""How far one set of sounds or pictures is from another: distances of sets of embedded features.

Which embedding they are computed on is part of the result; a report says it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float


def frechet_distance(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]) -> float:
    """‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½): FAD, FID (Heusel et al. 2017, eq. 6; Kilgour et al. 2019).

    With fewer items than dimensions the covariances are rank-deficient and the value is biased upwards; prefer
    `kernel_distance` there. The trace of the root is the sum of the singular values of Σ_a^½ Σ_b^½.
    """
    difference = a.mean(axis=0) - b.mean(axis=0)
    root_a, root_b = _centred(a), _centred(b)
    cross = float(np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum())
    return float(difference @ difference + (root_a**2).sum() + (root_b**2).sum() - 2.0 * cross)


def _centred(x: np.ndarray) -> np.ndarray:
    """A matrix R (n, d) with RᵀR the covariance."""
    x = np.asarray(x, dtype=np.float64)
    return (x - x.mean(axis=0)) / np.sqrt(max(len(x) - 1, 1))


class Kernels(NamedTuple):
    """Gaussian kernels within a reference, within what was made, and between them; the diagonals of the first are 0."""

    reference: np.ndarray
    made: np.ndarray
    between: np.ndarray


def kernels(reference: Float[np.ndarray, "n d"], made: Float[np.ndarray, "m d"]) -> Kernels:
    """What `kernel_distance` is computed from, once for any number of resamples."""
    x, y = np.asarray(reference, dtype=np.float64), np.asarray(made, dtype=np.float64)
    if len(x) < 2 or len(y) < 2:
        raise ValueError(f"An unbiased estimate needs two items on both sides; there are {len(x)} and {len(y)}.")
    within = _squares(x, x)
    bandwidth = max(float(np.median(np.sqrt(within[np.triu_indices(len(x), 1)]))), 1e-12)

    def kernel(squares: np.ndarray, same: bool) -> np.ndarray:
        k = np.exp(-squares / (2 * bandwidth**2))
        if same:
            np.fill_diagonal(k, 0.0)
        return k

    return Kernels(kernel(within, True), kernel(_squares(y, y), True), kernel(_squares(x, y), False))


def discrepancy(
    k: Kernels,
    weight_reference: Float[np.ndarray, " n"],
    weight_made: Float[np.ndarray, " m"],
    paired: bool = False,
) -> float:
    """KAD of sets in which items stand so many times; an item is never compared with itself, nor with its repeats.

    `paired`: item i of both sets belongs together, and is not compared either (Gretton et al. 2012, lemma 6), or
    resamples, in which such pairs are more frequent, would all seem nearer.
    """
    p, q = weight_reference, weight_made
    same = sum(float(w @ m @ w) / max(float(w.sum() ** 2 - (w**2).sum()), 1e-12) for w, m in ((p, k[0]), (q, k[1])))
    between, pairs = float(p @ k.between @ q), float(p.sum() * q.sum())
    if paired:
        between -= float(p @ (np.diag(k.between) * q))
        pairs -= float(p @ q)
    return 100.0 * (same - 2.0 * between / max(pairs, 1e-12))


def kernel_distance(reference: Float[np.ndarray, "n d"], made: Float[np.ndarray, "m d"]) -> float:
    """KAD: the unbiased squared maximum mean discrepancy, Gaussian kernel, × 100 (Chung et al. 2025).

    The bandwidth is the median distance within the reference. The estimate has no bias at any number of items, and so
    may come out slightly negative where the sets are alike.
    """
    return discrepancy(kernels(reference, made), np.ones(len(reference)), np.ones(len(made)))


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.maximum(square, 0.0)
