"""Texture statistics and copies: closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from synesthesia.metrics import copies
from synesthesia.metrics.texture import (
    BANDS,
    ENVELOPE_RATE,
    MODULATIONS_HZ,
    NEIGHBOURS,
    envelopes,
    texture,
    texture_error,
)

RATE = 32_000


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def test_a_texture_is_itself() -> None:
    t = texture(noise(2.0), RATE)
    assert texture_error(t, t) == (0.0, 0.0, 0.0, 0.0, 0.0)


def test_two_draws_of_one_noise_are_one_texture_and_two_colours_are_not() -> None:
    a, b = texture(noise(6.0, 1), RATE), texture(noise(6.0, 2), RATE)
    error = texture_error(a, b)
    assert error.mean < 0.6
    assert error.spread < 0.03
    assert error.correlation < 0.08
    brown = np.cumsum(noise(6.0, 3))
    brown = (brown - np.convolve(brown, np.ones(640) / 640, "same")).astype(np.float32)
    assert texture_error(a, texture(brown, RATE)).mean > 5.0


def test_twice_the_amplitude_moves_the_mean_by_six_decibels_only() -> None:
    x = noise(3.0)
    error = texture_error(texture(x, RATE), texture(2 * x, RATE))
    assert error.mean == pytest.approx(20 * np.log10(2), abs=1e-2)
    assert error[1:] == pytest.approx((0, 0, 0, 0), abs=3e-3)


def test_a_steady_tone_has_a_steady_envelope_of_its_amplitude() -> None:
    hz = 1000.0
    x = (0.5 * np.sin(2 * np.pi * hz * np.arange(2 * RATE) / RATE)).astype(np.float32)
    e = envelopes(x, RATE)
    assert e.shape == (BANDS, 2 * ENVELOPE_RATE)
    loudest = e.mean(axis=1).argmax()
    heard = e[loudest] ** (1 / 0.3)
    assert 0.3 < np.median(heard) <= 0.51  # the filter's response at 1 kHz is at most one, at a crossing cos(π/4)
    assert np.std(heard[20:-20]) < 0.01


def test_a_slow_beat_is_power_in_its_modulation_band() -> None:
    t = np.arange(4 * RATE) / RATE
    x = (noise(4.0) * (1 + 0.9 * np.sin(2 * np.pi * 8.0 * t))).astype(np.float32)
    modulation = texture(x, RATE).modulation[BANDS // 2 :]
    band = np.searchsorted(MODULATIONS_HZ, 8.0) - 1
    assert (modulation.argmax(axis=1) == band).all()
    assert modulation.mean(axis=0)[band] > 0.6


def test_bands_that_move_together_are_correlated() -> None:
    t = np.arange(4 * RATE) / RATE
    together = (noise(4.0) * (1 + 0.9 * np.sin(2 * np.pi * 3.0 * t))).astype(np.float32)
    far = sum(BANDS - d for d in NEIGHBOURS[:-1])  # where the pairs of the largest distance begin
    assert texture(together, RATE).correlation[far:].mean() > 0.6
    assert abs(texture(noise(4.0), RATE).correlation[far:].mean()) < 0.05


def test_silence_has_no_shape() -> None:
    t = texture(np.zeros(RATE, np.float32), RATE)
    assert all(np.isfinite(part).all() for part in t)
    assert not t.skew.any()
    assert all(np.isfinite(v) for v in texture_error(t, texture(noise(1.0), RATE)))


@pytest.mark.parametrize("samples", [1, 2, 100])
def test_a_few_samples_are_enough_not_to_fail(samples: int) -> None:
    assert all(np.isfinite(part).all() for part in texture(noise(1.0)[:samples], RATE))


# --- copies ----------------------------------------------------------------------------------------------------------


def bursts(seconds: float, seed: int) -> np.ndarray:
    """Something that moves: noise in random bursts."""
    rng = np.random.default_rng(seed)
    n = round(seconds * copies.RATE)
    shape = np.interp(np.arange(n), np.linspace(0, n, round(seconds * 12)), rng.exponential(1.0, round(seconds * 12)))
    return (0.1 * shape * rng.standard_normal(n)).astype(np.float32)


def test_a_cut_of_a_recording_is_a_copy_at_any_lag_and_level() -> None:
    x = bursts(8.0, 0)
    known = copies.log_mel(x)
    made = copies.log_mel(0.3 * x[31_111 : 31_111 + 3 * copies.RATE])
    assert copies.copied(made, known) > 0.7
    assert copies.any_lag(known, known).min() > 0.999


def test_another_recording_is_none() -> None:
    assert copies.copied(copies.log_mel(bursts(6.0, 1)), copies.log_mel(bursts(6.0, 2))) == 0.0


def test_two_steady_noises_of_one_colour_are_no_copies() -> None:
    a, b = (np.random.default_rng(s).standard_normal(4 * copies.RATE).astype(np.float32) for s in (0, 1))
    assert copies.copied(copies.log_mel(a), copies.log_mel(b)) == 0.0


def test_a_short_sound_is_found_in_a_long_one_and_in_itself() -> None:
    short = bursts(0.3, 4)
    long = np.concatenate([np.zeros(20_000, np.float32), short, np.zeros(40_000, np.float32)])
    assert copies.any_lag(copies.log_mel(short), copies.log_mel(long)).max() > 0.95
    assert copies.any_lag(copies.log_mel(short), copies.log_mel(short)).max() > 0.999


def test_a_difference_in_level_alone_is_no_difference() -> None:
    window = copies.cut(copies.log_mel(bursts(3.0, 5)), 10)
    np.testing.assert_allclose(np.diag(copies.difference_db(window, window - 7.0)), 0.0, atol=0.05)
    louder = window.copy()
    louder[:, : copies.BANDS // 2] += 10.0
    np.testing.assert_allclose(np.diag(copies.difference_db(window, louder)), 5.0, atol=0.05)
