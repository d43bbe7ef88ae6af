"""Distances of sets, against their closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synesthesia.metrics.distributions import frechet_distance, kernel_distance


def _set(seed: int, n: int = 200, d: int = 5, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, (n, d))


def test_a_set_is_at_no_distance_from_itself() -> None:
    x = _set(0)
    assert frechet_distance(x, x) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(x[:4], x[:4]) == pytest.approx(0.0, abs=1e-9)  # fewer items than dimensions


@given(st.floats(-20, 20), st.floats(0.1, 10))
def test_moving_and_stretching_have_closed_forms(shift: float, stretch: float) -> None:
    x = _set(1)
    centred = x - x.mean(axis=0)
    assert frechet_distance(x, x + shift) == pytest.approx(5 * shift**2, rel=1e-6, abs=1e-6)
    trace = np.trace(np.cov(x.T))
    assert frechet_distance(centred, stretch * centred) == pytest.approx((stretch - 1) ** 2 * trace, rel=1e-6, abs=1e-6)


def test_frechet_is_symmetric_and_does_not_care_about_rotation() -> None:
    a, b = _set(2), _set(3, shift=0.5) @ np.diag([1, 2, 3, 4, 5.0])
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(5, 5)))[0]
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b))


def test_the_kernel_distance_has_no_bias_and_grows_with_the_shift() -> None:
    alike = [kernel_distance(_set(2 * k), _set(2 * k + 1)) for k in range(20)]
    assert abs(np.mean(alike)) < 3 * np.std(alike) / np.sqrt(len(alike))
    assert min(alike) < 0 < max(alike)
    near, far, infinite = (kernel_distance(_set(0), _set(1, shift=s)) for s in (0.5, 2.0, 1e3))
    assert max(alike) < near < far < infinite


def test_the_kernel_distance_of_sets_without_anything_in_common_is_what_each_keeps_to_itself() -> None:
    """Two single points far apart, each twice: every pair within is alike (1 + 1), none across (0)."""
    assert kernel_distance(np.zeros((2, 3)), np.full((2, 3), 1e3)) == pytest.approx(200.0)


def test_one_item_is_not_a_set() -> None:
    with pytest.raises(ValueError, match="two items"):
        kernel_distance(_set(0), _set(1)[:1])
