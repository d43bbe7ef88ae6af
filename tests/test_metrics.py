"""Metrics against their closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from synesthesia import metrics

RATE = 48_000
POINTS = hnp.arrays(np.float64, st.integers(1, 12), elements=st.floats(-50, 50))
WEIGHTS = st.floats(0.01, 10)
LABELS = hnp.arrays(np.int64, st.integers(2, 60), elements=st.integers(0, 5))


def sine(hz: float, seconds: float = 0.5, amplitude: float = 0.5) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)


# ------------------------------------------------------------------------------------------------------------- modes


def test_an_octave_is_1200_cents() -> None:
    assert metrics.cents(np.array([440.0, 880.0]), np.array([880.0, 440.0])) == pytest.approx([1200.0, -1200.0])


def test_the_energy_of_a_line_is_the_integral_of_its_square() -> None:
    t60, gain = 0.7, 0.3
    t = np.arange(20 * RATE) / RATE
    wave = gain * np.exp(-np.log(1000.0) / t60 * t) * np.sin(2 * np.pi * 1000 * t)
    assert metrics.line_energy(np.array([gain]), np.array([t60]))[0] == pytest.approx((wave**2).sum() / RATE, rel=1e-3)


def test_audible_keeps_thirty_decibels() -> None:
    assert metrics.audible(np.array([1.0, 0.04, 0.03, 0.0])).tolist() == [True, True, False, False]
    assert not metrics.audible(np.zeros(3)).any()


@given(POINTS, st.floats(-20, 20))
def test_w1_of_shifted_points_is_the_shift(x: np.ndarray, shift: float) -> None:
    w = np.arange(1.0, len(x) + 1.0)
    assert metrics.wasserstein(x, w, x + shift, w) == pytest.approx(abs(shift), abs=1e-9)


@given(POINTS, POINTS, POINTS)
def test_w1_is_a_distance(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> None:
    def d(a: np.ndarray, b: np.ndarray) -> float:
        return metrics.wasserstein(a, np.ones(len(a)), b, np.ones(len(b)))

    assert d(x, x) == pytest.approx(0.0, abs=1e-12)
    assert d(x, y) == pytest.approx(d(y, x), abs=1e-9)
    assert d(x, z) <= d(x, y) + d(y, z) + 1e-9


@given(POINTS, WEIGHTS)
def test_w1_does_not_see_the_total_weight_nor_the_order(x: np.ndarray, scale: float) -> None:
    w = np.linspace(1.0, 2.0, len(x))
    y, v = np.array([0.0, 3.0]), np.array([1.0, 3.0])
    assert metrics.wasserstein(x[::-1], scale * w[::-1], y, v) == pytest.approx(metrics.wasserstein(x, w, y, v))


def test_w1_splits_mass() -> None:
    # Half the mass stays at 0, half travels from 0 to 10.
    assert metrics.wasserstein(np.zeros(1), np.ones(1), np.array([0.0, 10.0]), np.ones(2)) == pytest.approx(5.0)


def test_silence_has_no_mode_distance() -> None:
    assert np.isnan(metrics.wasserstein(np.zeros(1), np.zeros(1), np.zeros(1), np.ones(1)))


def test_mode_distance_counts_octaves_and_aligning_removes_the_pitch() -> None:
    f, t, g = np.array([200.0, 550.0, 1080.0]), np.array([1.0, 0.5, 0.2]), np.array([1.0, 0.5, 0.7])
    # The same gains and decay times twice as high: one octave in frequency, nothing in decay.
    raw = metrics.mode_distance(f, t, g, 2 * f, t, g)
    assert raw == pytest.approx((1.0, 0.0))
    assert metrics.mode_distance(f, t, g, 2 * f, t, g, align=True) == pytest.approx((0.0, 0.0), abs=1e-9)
    # Twice the decay times at any level: one factor of two in decay.
    assert metrics.mode_distance(f, t, g, f, 2 * t, 5 * g) == pytest.approx((0.0, 1.0), abs=1e-9)
    assert raw.total == pytest.approx(1.0)


@settings(deadline=None)
@given(st.integers(0, 2**31))
def test_signatures_reproduce_the_mode_distance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sets = [(np.sort(rng.uniform(100, 9000, 9)), rng.uniform(0.05, 2, 9), rng.uniform(0.1, 1, 9)) for _ in range(2)]
    levels = 4096
    a, b = (metrics.quantile_signature(*s, levels=levels) for s in sets)
    exact = metrics.mode_distance(*sets[0], *sets[1]).total
    assert np.abs(a - b).sum() / levels == pytest.approx(exact, abs=0.02)


def test_the_medoid_is_a_member_in_the_middle() -> None:
    assert metrics.medoid(np.array([[0.0], [1.0], [1.2], [9.0]])) in (1, 2)


def test_matching_pairs_in_order_and_leaves_strangers_alone() -> None:
    reference = np.array([100.0, 200.0, 300.0, 1000.0])
    estimate = np.array([101.0, 240.0, 302.0, 995.0, 4000.0])
    assert metrics.match_modes(reference, estimate).tolist() == [[0, 0], [2, 2], [3, 3]]
    assert metrics.match_modes(reference, 3 * reference[-1:] + 1).shape == (0, 2)


@given(
    st.lists(st.floats(50, 10_000), min_size=1, max_size=12), st.lists(st.floats(50, 10_000), min_size=1, max_size=12)
)
def test_matching_is_one_to_one_ascending_and_within_the_limit(a: list[float], b: list[float]) -> None:
    x, y = np.sort(a), np.sort(b)
    pairs = metrics.match_modes(x, y, limit=80.0)
    assert (np.diff(pairs, axis=0) > 0).all()
    assert (np.abs(metrics.cents(x[pairs[:, 0]], y[pairs[:, 1]])) <= 80.0 + 1e-9).all()
    assert len(metrics.match_modes(x, x)) == len(x)


def test_decay_is_read_between_the_modes_on_log_axes() -> None:
    f, t = np.array([100.0, 10_000.0]), np.array([1.0, 0.01])  # T60 ∝ 1/f
    assert metrics.t60_at(f, t, np.array([1000.0, 20.0, 20_000.0])) == pytest.approx([0.1, 1.0, 0.01])


def test_octave_decay_error_ignores_pitch_and_inaudible_modes() -> None:
    f = np.array([250.0, 500.0, 1000.0, 8000.0])
    t = 100.0 / f
    gain = np.array([1.0, 0.5, 0.5, 1e-3])  # the last is inaudible
    higher = 1.5 * f
    assert metrics.octave_decay_errors(f, t, gain, higher, 100.0 / higher)[1:] == pytest.approx(0.0, abs=1e-9)
    assert metrics.octave_decay_errors(f, t, gain, f, 1.35 * t) == pytest.approx([0.35] * 3)


# --------------------------------------------------------------------------------------------------------- waveforms


def test_a_sine_of_amplitude_one_half_peaks_at_one_half() -> None:
    assert metrics.spectrogram(sine(1500.0)).max() == pytest.approx(0.5, rel=1e-3)  # 1500 Hz is a bin's centre


@pytest.mark.parametrize("measure", [metrics.log_spectral_distance, metrics.spectrogram_l1, metrics.envelope_distance])
def test_a_sound_is_at_no_distance_from_itself_and_a_cut_one_is_padded(measure) -> None:
    s = sine(700.0)
    assert measure(s, s) == 0.0
    assert measure(s, s[: len(s) // 2]) > 0.0
    assert measure(s, np.concatenate([s, s])) == 0.0


def test_log_spectral_distance_of_a_gain_is_the_gain() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE // 2)
    assert metrics.log_spectral_distance(noise, noise * 10 ** (-6 / 20), floor_db=200.0) == pytest.approx(6.0)


def test_long_silence_after_a_short_sound_earns_nothing() -> None:
    short = sine(700.0)
    padded = np.concatenate([short, np.zeros(4 * RATE)])
    alone = metrics.log_spectral_distance(short, 0.1 * short, floor_db=60.0)
    assert metrics.log_spectral_distance(padded, 0.1 * padded, floor_db=60.0) == pytest.approx(alone, rel=0.15)
    assert metrics.log_spectral_distance(np.zeros(RATE), np.zeros(RATE)) == 0.0


def test_log_l1_of_a_gain_is_its_logarithm() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE // 2)
    assert metrics.spectrogram_l1(noise, noise * np.e, log=True) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("n", [4800, 4801])
def test_the_envelope_of_a_sine_is_its_amplitude(n: int) -> None:
    wave = 0.3 * np.sin(2 * np.pi * 100 * np.arange(n) / n)
    assert metrics.envelope(wave) == pytest.approx(np.full(n, 0.3), abs=1e-6)
    assert metrics.envelope_distance(wave, 0.5 * wave) == pytest.approx(0.5, rel=1e-3)


# -------------------------------------------------------------------------------------------------------- statistics


def test_coverage_of_a_calibrated_gaussian_is_its_level() -> None:
    rng = np.random.default_rng(1)
    mean, std = rng.normal(size=20_000), rng.uniform(0.5, 2, 20_000)
    truth = mean + std * rng.normal(size=20_000)
    assert metrics.coverage(truth, mean, std) == pytest.approx(0.8, abs=0.01)
    assert metrics.coverage(truth, mean, std / 2) < 0.55


@given(LABELS)
def test_kappa_and_nmi_of_identical_codings_are_one(a: np.ndarray) -> None:
    several = len(np.unique(a)) > 1
    assert metrics.kappa(a, a) == pytest.approx(1.0 if several else 0.0)
    assert metrics.nmi(a, a) == pytest.approx(1.0 if several else 0.0)
    # NMI does not care about names; κ does.
    assert metrics.nmi(a, (a + 3) % 7) == pytest.approx(metrics.nmi(a, a))


def test_kappa_of_independent_codings_is_nought_and_of_a_known_table() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 4, 20_000), rng.integers(0, 4, 20_000)
    assert metrics.kappa(a, b) == pytest.approx(0.0, abs=0.02)
    assert metrics.nmi(a, b) == pytest.approx(0.0, abs=0.01)
    # 20 yes–yes, 5, 10, 15 no–no of 50: po = .7, pe = .5 (Cohen 1960).
    a = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    b = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    assert metrics.kappa(a, b) == pytest.approx(0.4)


def test_one_code_for_everything_earns_nothing() -> None:
    same = np.zeros(10, dtype=int)
    assert metrics.kappa(same, same) == 0.0
    assert metrics.nmi(same, np.arange(10) % 3) == 0.0
    assert metrics.perplexity(metrics.usage(same, 16)) == pytest.approx(1.0)


def test_perplexity_of_even_use_is_the_count() -> None:
    assert metrics.perplexity(metrics.usage(np.arange(32) % 8, 16)) == pytest.approx(8.0)


@given(st.lists(st.integers(-1000, 1000), min_size=3, max_size=30, unique=True))
def test_spearman_sees_only_order(numbers: list[int]) -> None:
    x = np.array(numbers, dtype=float)
    assert metrics.spearman(x, np.arctan(x / 1e3)) == pytest.approx(1.0)
    assert metrics.spearman(x, -(x**3)) == pytest.approx(-1.0)


def test_ties_share_their_rank() -> None:
    assert metrics.ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]
    assert np.isnan(metrics.spearman(np.ones(4), np.arange(4.0)))


def test_bootstrap_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for trial in range(120):
        x = rng.normal(size=40)
        e = metrics.bootstrap(np.arange(40), lambda i, x=x: float(x[i].mean()), resamples=200, seed=trial)
        hits += e.low <= 0.0 <= e.high
    assert 0.86 <= hits / 120 <= 1.0


def test_bootstrap_resamples_objects_not_items() -> None:
    # Ten objects of a hundred equal items each are ten observations, not a thousand.
    rng = np.random.default_rng(4)
    means = rng.normal(size=10)
    items, objects = np.repeat(means, 100), np.repeat([f"o{k}" for k in range(10)], 100)
    by_object = metrics.bootstrap(objects, lambda i: float(items[i].mean()), resamples=400)
    by_item = metrics.bootstrap(np.arange(1000), lambda i: float(items[i].mean()), resamples=400)
    assert (by_object.n, by_object.objects) == (1000, 10)
    assert by_object.high - by_object.low > 5 * (by_item.high - by_item.low)
    assert by_object.value == pytest.approx(means.mean())


def test_an_empty_protocol_says_so() -> None:
    record = metrics.bootstrap(np.array([]), lambda i: 1.0).record()
    assert record == {"value": None, "low": None, "high": None, "n": 0, "objects": 0}
