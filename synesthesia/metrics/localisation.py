"""How well a map of a picture says where something is: arrays in, numbers out.

A map and a mask have one shape, (rows, columns) laid evenly over the picture; a mask holds shares in [0, 1]. The
protocol is that of EZ-VSL (Mo & Morgado, ECCV 2022), whose "cIoU" is the share of pictures with an IoU of at least ½
(`share_above`). A threshold, and what turns a score into a confidence, are fixed on validation data, here as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

LEVELS = np.arange(21) / 20  # of IoU, over which success is averaged


def iou(heat: Float[np.ndarray, "rows columns"], mask: Float[np.ndarray, "rows columns"], threshold: float) -> float:
    """Intersection over union of what the map holds at `threshold` or above with the mask.

    Σ(p·m) / (Σm + Σ p·(1 − m)) for the binary p and a mask m that may be soft; NaN where both are empty. (EZ-VSL's own
    code adds only the p outside of m to the union: the same for a binary mask, more lenient for a soft one.)
    """
    found = np.asarray(heat) >= threshold
    true = np.asarray(mask, dtype=float)
    union = float(true.sum() + (1.0 - true[found]).sum())
    return float(true[found].sum()) / union if union > 0 else float("nan")


def median_threshold(heat: Float[np.ndarray, "rows columns"]) -> float:
    """The threshold of EZ-VSL's protocol: the upper median, so that at least half of the picture counts as found."""
    values = np.sort(np.asarray(heat), axis=None)
    return float(values[len(values) // 2])


def share_above(ious: Float[np.ndarray, " n"], level: float = 0.5) -> float:
    """The share of pictures whose IoU is `level` or more."""
    return float((np.asarray(ious) >= level).mean())


def success_auc(ious: Float[np.ndarray, " n"]) -> float:
    """The area under the curve of `share_above` over levels 0, .05 … 1 (trapezoids). Without any overlap: .025."""
    share = (np.asarray(ious)[:, None] >= LEVELS).mean(axis=0)
    return float(((share[1:] + share[:-1]) / 2 * np.diff(LEVELS)).sum())


def pointing(
    heat: Float[np.ndarray, "rows columns"], mask: Float[np.ndarray, "rows columns"], tolerance: float = 0.0
) -> float:
    """The pointing game: 1 if the map's maximum lies in the mask (½ or more), or at most `tolerance` cells off; else 0.

    Where several cells share the maximum, the share of them that hits: a flat map scores as a blind guess does. NaN
    where the mask marks nothing. (Zhang et al., Top-down Neural Attention by Excitation Backprop, IJCV 2018, §4.2: 15
    pixels.)
    """
    true = np.asarray(mask) >= 0.5
    if not true.any():
        return float("nan")
    values = np.asarray(heat)
    return float(_grown(true, tolerance)[values == values.max()].mean())


def _grown(mask: Bool[np.ndarray, "rows columns"], reach: float) -> Bool[np.ndarray, "rows columns"]:
    """All cells whose centre is at most `reach` cells from one of the mask."""
    rows, columns = mask.shape
    before = np.concatenate([np.zeros((rows, 1), int), np.cumsum(mask, axis=1)], axis=1)
    at = np.arange(columns)
    out = np.zeros_like(mask)
    for down in range(-min(int(reach), rows - 1), min(int(reach), rows - 1) + 1):
        half = int(math.sqrt(reach**2 - down**2))
        near = before[:, np.minimum(at + half + 1, columns)] > before[:, np.maximum(at - half, 0)]
        out[max(0, down) : rows + min(0, down)] |= near[max(0, -down) : rows - max(0, down)]
    return out


# --- what is fixed on validation data --------------------------------------------------------------------------------


def best_threshold(
    heats: Sequence[Float[np.ndarray, "_ _"]], masks: Sequence[Float[np.ndarray, "_ _"]], steps: int = 100
) -> float:
    """The threshold k/steps, 0 < k < steps, with which most maps reach an IoU of ½; of equals the highest mean IoU.

    Maps hold values in [0, 1]; pictures need not be of one size.
    """
    grid = np.arange(1, steps) / steps
    ious = np.array([[iou(heat, mask, t) for t in grid] for heat, mask in zip(heats, masks, strict=True)])
    success, mean = (ious >= 0.5).mean(axis=0), np.nanmean(ious, axis=0)
    return float(grid[np.lexsort((mean, success))[-1]])


def fit_confidence(scores: Float[np.ndarray, " n"], shown: Bool[np.ndarray, " n"]) -> tuple[float, float]:
    """(slope, offset) so that 1/(1 + exp(−(slope·score + offset))) is the probability that it is `shown`.

    Logistic regression on targets drawn in by a rule of succession, (N₊ + 1)/(N₊ + 2) and 1/(N₋ + 2), so that scores
    which part the two perfectly do not make certain (Platt 1999, Probabilistic Outputs for Support Vector Machines).
    """
    x, y = np.asarray(scores, dtype=float), np.asarray(shown, dtype=bool)
    target = np.where(y, (y.sum() + 1) / (y.sum() + 2), 1 / ((~y).sum() + 2))
    centre, scale = float(x.mean()), float(x.std())
    if scale <= 1e-12 * (1.0 + abs(centre)):  # all scores are one and say nothing
        return 0.0, float(np.log(target.mean() / (1.0 - target.mean())))
    design = np.stack([(x - centre) / scale, np.ones_like(x)], axis=1)

    def cost(w: np.ndarray) -> float:
        z = design @ w
        return float((np.logaddexp(0.0, z) - target * z).sum())

    w = np.zeros(2)
    for _ in range(100):  # Newton's method; the cost is convex, and halving keeps it from rising
        p = 1.0 / (1.0 + np.exp(-(design @ w)))
        gradient = design.T @ (p - target)
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        while cost(w - step) > cost(w) and np.abs(step).max() > 1e-12:
            step = step / 2
        w = w - step
        if np.abs(step).max() < 1e-10:
            break
    return float(w[0] / scale), float(w[1] - w[0] * centre / scale)
