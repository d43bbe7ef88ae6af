"""Measures of bird song: sounds of known pitch, syllables and trills come out as what they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia.metrics import song as judge
from synesthesia.metrics.song import NAMES

RATE = 32_000


def whistle(octaves: np.ndarray, harmonics: tuple[float, ...] = (1.0,)) -> np.ndarray:
    """A tone whose pitch is 2^octaves Hz at each sample."""
    phase = 2 * np.pi * np.cumsum(np.exp2(octaves)) / RATE
    return 0.3 * sum(a * np.sin((k + 1) * phase) for k, a in enumerate(harmonics))


def syllable(seconds: float, hz: float, sweep: float = 0.0, arch: float = 0.0) -> np.ndarray:
    """Rises by `sweep` octaves, and by `arch` more in its middle than at its ends."""
    u = np.linspace(0, 1, round(seconds * RATE))
    ramp = np.minimum(1, np.minimum(u, 1 - u) * seconds / 0.004)
    return whistle(math.log2(hz) + sweep * (u - 0.5) + arch * (1 - 4 * (u - 0.5) ** 2)) * ramp


def train(one: np.ndarray, rate: float, count: int) -> np.ndarray:
    gap = np.zeros(round(RATE / rate) - len(one))
    return np.concatenate([np.zeros(RATE // 10), *[np.concatenate([one, gap])] * count])


def number(name: str, samples: np.ndarray) -> float:
    return float(judge.song(samples, RATE)[NAMES.index(name)])


@pytest.mark.parametrize(("low", "high"), [(500, 700), (1000, 4000), (8000, 4000), (6000, 6000), (9500, 9800)])
@pytest.mark.parametrize("harmonics", [(1.0,), (1.0, 0.7, 0.5, 0.3), (0.5, 1.0, 0.3)])
def test_the_pitch_of_a_sweep_is_right_within_four_cents(low: float, high: float, harmonics: tuple[float, ...]) -> None:
    t = np.arange(RATE) / RATE
    kept = tuple(a for k, a in enumerate(harmonics) if (k + 1) * max(low, high) < 15_000)
    found = judge.track(whistle(math.log2(low) + t * math.log2(high / low), kept), RATE)
    true = low * (high / low) ** found.seconds
    inside = slice(10, -10)
    assert np.abs(1200 * np.log2(found.hz[inside] / true[inside])).max() < 4


def test_a_lower_second_voice_is_not_taken_for_the_pitch() -> None:
    t = np.arange(RATE) / RATE
    both = np.sin(2 * np.pi * 2000 * t) + 0.6 * np.sin(2 * np.pi * 2000 / 1.62 * t)
    found = judge.track(0.3 * both, RATE)
    assert np.abs(1200 * np.log2(found.hz[10:-10] / 2000)).max() < 5
    assert np.median(found.below_db) == pytest.approx(20 * math.log10(0.6), abs=0.5)


def test_levels_are_those_of_the_parts() -> None:
    tone = whistle(np.full(RATE, math.log2(1500.0)), (1.0, 0.5, 0.25))
    found = judge.track(tone, RATE)
    middle = slice(20, -20)
    assert np.median(found.level_db[middle]) == pytest.approx(10 * math.log10(np.mean(tone**2)), abs=0.2)
    assert np.median(found.harmonics_db[middle]) == pytest.approx(10 * math.log10(0.25 + 0.0625), abs=0.3)


@pytest.mark.parametrize("rate", [2.0, 5.0, 8.0])
@pytest.mark.parametrize("duty", [0.4, 0.8])
def test_syllables_are_counted_and_timed(rate: float, duty: float) -> None:
    sound = train(syllable(duty / rate, 3000.0), rate, 7)
    found = judge.syllables(judge.track(sound, RATE))
    assert len(found) == 7
    begins = np.array([s.first for s in found]) * judge.STEP
    assert begins == pytest.approx(0.1 + np.arange(7) / rate, abs=0.008)
    assert 2 ** number("rate", sound) == pytest.approx(rate, rel=0.01)
    assert number("duty", sound) == pytest.approx(duty, abs=0.08)
    assert number("phrase", sound) == pytest.approx(math.log2(7))


def test_pauses_part_phrases() -> None:
    phrase = train(syllable(0.1, 3000.0), 5.0, 4)
    sound = np.concatenate([phrase, np.zeros(RATE // 2), phrase])
    assert number("phrase", sound) == pytest.approx(2)
    assert 2 ** number("pause", sound) == pytest.approx(0.7, abs=0.03)  # 0.1 s each before and after, 0.5 s between


@pytest.mark.parametrize("sweep", [-0.6, 0.0, 0.4])
@pytest.mark.parametrize("arch", [-0.3, 0.0, 0.5])
def test_bends_are_measured(sweep: float, arch: float) -> None:
    sound = train(syllable(0.2, 2500.0, sweep, arch), 3.0, 4)
    assert number("sweep", sound) == pytest.approx(0.75 * sweep, abs=0.03)  # the mean of a quarter lies 1/8 inside
    # Means of 1 − 4 (u − ½)²: 47/48 over the middle quarter, 5/12 − 1/48 · … = 19/48 over the outer ones.
    assert number("arch", sound) == pytest.approx(arch * 28 / 48, abs=0.04)


@pytest.mark.parametrize("hz", [18.0, 27.0, 40.0])
def test_a_trill_is_found_with_its_depth(hz: float) -> None:
    t = np.arange(round(0.5 * RATE)) / RATE
    sound = np.pad(whistle(math.log2(3000) + 0.1 * np.sin(2 * np.pi * hz * t)), RATE // 10)
    assert 2 ** number("trill_rate", sound) == pytest.approx(hz, rel=0.02)
    assert number("trill_depth", sound) == pytest.approx(0.2, rel=0.35)  # a frame of 12 ms smooths the quickest


def test_level_does_not_matter_and_speed_matters_as_it_should() -> None:
    sound = train(syllable(0.16, 2000.0, 0.5), 4.0, 6)
    one = judge.song(sound, RATE)
    soft = judge.song(0.03 * sound, RATE)
    names = [name not in ("noise_db", "other_voice_db") for name in NAMES]
    assert soft[names] == pytest.approx(one[names], abs=1e-3, nan_ok=True)
    quick = dict(zip(NAMES, judge.song(sound[::2], RATE), strict=True))  # nothing in it folds back
    slow = dict(zip(NAMES, one, strict=True))
    assert quick["pitch"] - slow["pitch"] == pytest.approx(1, abs=0.01)
    assert quick["rate"] - slow["rate"] == pytest.approx(1, abs=0.02)
    assert quick["range"] == pytest.approx(slow["range"], abs=0.05)


def test_silence_has_no_song_and_distances_count_it() -> None:
    none, some = judge.song(np.zeros(RATE), RATE), judge.song(train(syllable(0.1, 3000.0), 5.0, 4), RATE)
    assert np.isnan(none).all()
    spread = np.ones(len(NAMES))
    assert judge.distance(none, none, spread) == 0
    assert judge.distance(some, some, spread) == 0
    have = ~np.isnan(some)
    assert judge.distance(some, none, spread) == pytest.approx(judge.AT_MOST * math.sqrt(have.mean()))
    other = some + 0.5
    assert judge.distance(some, other, spread) == pytest.approx(0.5 * math.sqrt(have.mean()))
    assert judge.distance(some, np.stack([some, other]), 2 * spread)[1] == pytest.approx(0.25 * math.sqrt(have.mean()))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 6000), st.sampled_from([8000, 22_050, 32_000, 48_000]), st.integers(0, 2**32),
    st.sampled_from([0.0, 1e-12, 1e-3, 1.0, 1e6]),
)  # fmt: skip
def test_any_sound_has_numbers_or_none(n: int, rate: int, seed: int, scale: float) -> None:
    noise = scale * np.random.default_rng(seed).standard_normal(n)
    values = judge.song(noise, rate)
    assert values.shape == (len(NAMES),)
    assert not np.isinf(values).any()
    if scale < 1e-6:
        assert np.isnan(values).all()
