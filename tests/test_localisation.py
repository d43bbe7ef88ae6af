"""Scores of maps against their closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from synesthesia.metrics import localisation

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))
SHARES = st.floats(0, 1, width=32)


@st.composite
def map_and_mask(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(SHAPES)
    heat = draw(hnp.arrays(np.float32, shape, elements=SHARES))
    return heat, draw(hnp.arrays(np.float32, shape, elements=st.sampled_from([0.0, 1.0])))


def half(rows: int = 4, columns: int = 8) -> np.ndarray:
    """The left half is marked."""
    return np.repeat((np.arange(columns) < columns // 2)[None], rows, 0).astype(float)


# --- intersection over union -----------------------------------------------------------------------------------------


def test_iou_of_rectangles_is_that_of_their_areas() -> None:
    heat = np.zeros((10, 10))
    heat[2:6, 2:6] = 0.8  # 16 cells
    mask = np.zeros((10, 10))
    mask[4:8, 2:6] = 1.0  # 16 cells, of which 8 are shared
    assert localisation.iou(heat, mask, 0.5) == pytest.approx(8 / 24)
    assert localisation.iou(heat, mask, 0.8) == pytest.approx(8 / 24), "the threshold itself is found"
    assert localisation.iou(heat, mask, 0.81) == 0.0
    assert localisation.iou(heat, mask, 0.0) == pytest.approx(0.16), "everything found: the mask's area"


def test_a_soft_mask_counts_by_its_shares() -> None:
    mask = np.array([[1.0, 0.5, 0.0]])
    heat = np.array([[1.0, 1.0, 0.0]])
    assert localisation.iou(heat, mask, 0.5) == pytest.approx(1.5 / (1.5 + 0.5))
    assert np.isnan(localisation.iou(np.zeros((2, 2)), np.zeros((2, 2)), 0.5))


@given(map_and_mask(), SHARES)
def test_iou_is_a_share_and_does_not_see_how_cells_are_arranged(
    pair: tuple[np.ndarray, np.ndarray], threshold: float
) -> None:
    heat, mask = pair
    value = localisation.iou(heat, mask, threshold)
    assert np.isnan(value) or 0 <= value <= 1
    assert localisation.iou(heat[::-1], mask[::-1], threshold) == pytest.approx(value, nan_ok=True)
    assert localisation.iou(heat.T, mask.T, threshold) == pytest.approx(value, nan_ok=True)
    if mask.any():
        assert localisation.iou(mask, mask, 0.5) == 1.0
        found = (heat >= threshold).astype(float)
        if found.any():
            assert localisation.iou(mask, found, 0.5) == pytest.approx(value), "symmetric for binary masks"


@given(hnp.arrays(np.float32, SHAPES, elements=SHARES, unique=True), st.floats(0.1, 3))
def test_the_median_threshold_finds_half_of_the_picture_whatever_the_scale(heat: np.ndarray, power: float) -> None:
    found = heat >= localisation.median_threshold(heat)
    assert found.sum() == heat.size - heat.size // 2
    raised = heat.astype(float) ** power
    # Powers may make two floats one; where they do not, the cells found are the same.
    if len(np.unique(raised)) == raised.size:
        np.testing.assert_array_equal(raised >= localisation.median_threshold(raised), found)


def test_at_the_median_a_map_that_orders_cells_rightly_is_perfect_where_half_is_marked() -> None:
    mask = half()
    heat = mask + np.linspace(0, 0.9, mask.size).reshape(mask.shape)
    assert localisation.iou(heat, mask, localisation.median_threshold(heat)) == 1.0
    assert localisation.iou(-heat, mask, localisation.median_threshold(-heat)) == 0.0


# --- over pictures ---------------------------------------------------------------------------------------------------


def test_success_is_counted_from_the_level_on() -> None:
    assert localisation.share_above(np.array([0.5, 0.49999, 0.9, 0.0])) == 0.5
    assert localisation.share_above(np.array([0.5, 0.3]), 0.3) == 1.0


@pytest.mark.parametrize("k", range(20))
def test_the_area_of_one_overlap_everywhere_is_the_overlap_and_half_a_step(k: int) -> None:
    assert localisation.success_auc(np.full(3, k / 20)) == pytest.approx((k + 0.5) / 20)
    assert localisation.success_auc(np.ones(3)) == pytest.approx(1.0)


@given(hnp.arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1)))
def test_the_area_is_the_mean_overlap_within_half_a_step(ious: np.ndarray) -> None:
    assert localisation.success_auc(ious) == pytest.approx(ious.mean(), abs=0.025 + 1e-9)
    raised = np.minimum(ious + 0.1, 1.0)
    assert localisation.success_auc(raised) >= localisation.success_auc(ious)


# --- the pointing game -----------------------------------------------------------------------------------------------


def test_pointing_hits_inside_and_within_the_tolerance() -> None:
    mask = np.zeros((9, 9))
    mask[4, 4] = 1.0
    for row, column in [(4, 4), (4, 7), (1, 4), (7, 8), (0, 0)]:
        heat = np.zeros((9, 9))
        heat[row, column] = 1.0
        away = float(np.hypot(row - 4, column - 4))
        assert localisation.pointing(heat, mask, away + 1e-9) == 1.0
        assert localisation.pointing(heat, mask, 0.99 * away) == float(away == 0)


@settings(deadline=None)
@given(map_and_mask(), st.floats(0, 12))
def test_pointing_agrees_with_measuring_every_distance(pair: tuple[np.ndarray, np.ndarray], reach: float) -> None:
    heat, mask = pair
    value = localisation.pointing(heat, mask, reach)
    inside, best = np.argwhere(mask >= 0.5), np.argwhere(heat == heat.max())
    if not len(inside):
        assert np.isnan(value)
        return
    distance = np.sqrt(((best[:, None] - inside[None]) ** 2).sum(-1)).min(1)
    assert value == pytest.approx((distance <= reach).mean())


def test_a_flat_map_points_like_a_blind_guess() -> None:
    mask = half()
    mask[0] = 0
    assert localisation.pointing(np.full(mask.shape, 0.3), mask) == pytest.approx(mask.mean())


# --- validation ------------------------------------------------------------------------------------------------------


def test_the_best_threshold_lies_between_the_thing_and_what_is_around_it() -> None:
    rng = np.random.default_rng(0)
    masks = [half(6, 8 + 2 * k) for k in range(4)]
    heats = [
        np.where(mask > 0, rng.uniform(0.62, 0.9, mask.shape), rng.uniform(0.0, 0.58, mask.shape)) for mask in masks
    ]
    best = localisation.best_threshold(heats, masks)
    assert 0.58 <= best <= 0.63
    assert all(localisation.iou(heat, mask, best) == 1.0 for heat, mask in zip(heats, masks, strict=True))


def test_the_best_threshold_maximises_success_first() -> None:
    rng = np.random.default_rng(1)
    heats = [rng.random((6, 6)) ** rng.uniform(0.5, 2) for _ in range(9)]
    masks = [(heat + 0.5 * rng.random((6, 6)) > 0.9).astype(float) for heat in heats]

    def success(threshold: float) -> tuple[float, float]:
        ious = np.array([localisation.iou(h, m, threshold) for h, m in zip(heats, masks, strict=True)])
        return localisation.share_above(ious), float(ious.mean())

    assert success(localisation.best_threshold(heats, masks)) == max(success(k / 100) for k in range(1, 100))


def test_a_confidence_is_right_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    score = rng.normal(0.3, 0.2, 20_000)
    shown = rng.random(20_000) < 1 / (1 + np.exp(-(8 * score - 3)))
    slope, offset = localisation.fit_confidence(score, shown)
    assert slope == pytest.approx(8, rel=0.05)
    assert offset == pytest.approx(-3, rel=0.05)


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, 12, elements=st.floats(-1, 1)),
    hnp.arrays(np.bool_, 12),
    st.floats(0.01, 100),
    st.floats(-5, 5),
)
def test_a_confidence_has_the_right_mean_and_does_not_depend_on_the_unit(
    score: np.ndarray, shown: np.ndarray, unit: float, zero: float
) -> None:
    slope, offset = localisation.fit_confidence(score, shown)
    assert np.isfinite([slope, offset]).all()
    confidence = 1 / (1 + np.exp(-(slope * score + offset)))
    n = int(shown.sum())
    target = (n * (n + 1) / (n + 2) + (12 - n) / (12 - n + 2)) / 12
    assert confidence.mean() == pytest.approx(target, abs=1e-4)
    assert confidence.min() > 0
    assert confidence.max() < 1
    if score.std() > 1e-3:
        other, moved = localisation.fit_confidence(unit * score + zero, shown)
        np.testing.assert_allclose(1 / (1 + np.exp(-(other * (unit * score + zero) + moved))), confidence, atol=1e-4)
