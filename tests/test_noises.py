"""Noises: what is heard follows its parameters by the laws that the docstrings state."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia.data import KINDS
from synesthesia.senses import InputError
from synesthesia.worlds import noises
from synesthesia.worlds.noises import LAWS, RATE, air_loss, level_db, sound


def middle(kind: str, **changes: float) -> dict[str, float]:
    """The middle of each range of a kind's parameters, but for `changes`."""
    return {name: math.sqrt(low * high) for name, (low, high) in LAWS[kind].parameters.items()} | changes


def onsets(wave: np.ndarray, above_hz: float, pascals: float) -> int:
    """Events heard: rises of the level above `above_hz`, in steps of 2 ms, over so many pascals (RMS)."""
    spectrum = np.fft.rfft(wave)
    spectrum[np.fft.rfftfreq(len(wave), 1 / RATE) < above_hz] = 0
    step = RATE // 500
    power = (np.fft.irfft(spectrum, len(wave))[: len(wave) // step * step].reshape(-1, step) ** 2).mean(1)
    loud = power > pascals**2
    rising = loud[1:] & (power[1:] > 2 * power[:-1])
    return int(np.count_nonzero(rising[1:] & ~rising[:-1]))


def centroid(wave: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(wave)) ** 2
    return float((power * np.fft.rfftfreq(len(wave), 1 / RATE)).sum() / power.sum())


def pascals(kind: str, distance: float, seconds: float = 4.0, seed: int = 0, **changes: float) -> np.ndarray:
    return sound(kind, middle(kind, **changes), distance, seconds, seed).mono.astype(np.float64) * noises.FULL_SCALE


def test_the_kinds_are_kinds_of_the_table_whose_pictures_have_to_be_made() -> None:
    assert set(LAWS) <= set(KINDS)
    assert {name for name, kind in KINDS.items() if kind.procedural} <= set(LAWS)


@pytest.mark.parametrize("kind", sorted(set(LAWS) - {"thunder"}))
def test_twice_as_far_is_six_decibels_less_and_less_treble(kind: str) -> None:
    d = LAWS[kind].distance[0]
    near, far = (np.abs(np.fft.rfft(pascals(kind, x, seconds=1.0))) for x in (d, 2 * d))
    hz = np.fft.rfftfreq(RATE, 1 / RATE)
    lost = 20 * np.log10(near / np.maximum(far, 1e-30))
    for low, high in ((60, 300), (3000, 3200), (8000, 8200)):
        band = (hz > low) & (hz < high)
        expected = 20 * math.log10(2) + air_loss(hz[band], d).mean()
        assert np.median(lost[band]) == pytest.approx(expected, abs=0.15)
    assert level_db(kind, middle(kind), d) - level_db(kind, middle(kind), 2 * d) == pytest.approx(6.0206, abs=1e-3)


def test_the_air_takes_what_the_standard_says() -> None:
    """ISO 9613-2:1996, table 2, 15 °C and 50 %: dB per kilometre in octaves from 63 Hz to 8 kHz."""
    octaves = 1000.0 * 2.0 ** np.arange(-4, 4)
    assert air_loss(octaves, 1000.0) == pytest.approx([0.1, 0.5, 1.2, 2.2, 4.2, 10.8, 36.2, 129.0], rel=0.02, abs=0.06)
    assert air_loss(octaves, 500.0) == pytest.approx(air_loss(octaves, 1000.0) / 2)


def test_a_larger_fire_crackles_more_often_and_is_louder() -> None:
    sizes = (0.3, 0.9, 2.7)
    fires = [[pascals("fire", 3, 4.0, seed, size_m=s) for seed in range(3)] for s in sizes]
    counts = [sum(onsets(wave, 2500, 3e-3) for wave in waves) for waves in fires]
    assert counts[0] * 1.5 < counts[1]
    assert counts[1] * 1.5 < counts[2]
    assert counts[0] / 12 == pytest.approx(noises.crackle_rate(0.3), rel=0.5)
    loud = [noises.loudest_second(pascals("fire", 3, size_m=s), RATE) for s in sizes]
    for quiet, louder in itertools.pairwise(loud):
        assert 20 * math.log10(louder / quiet) == pytest.approx(25 * math.log10(3), abs=0.6)


def test_denser_rain_has_more_drops_and_is_louder() -> None:
    diameter = np.linspace(1.2, 12, 20_000)
    for rate in (1.0, 10.0, 80.0):
        density = 8000 * np.exp(-4.1 * rate**-0.21 * diameter) * (9.65 - 10.3 * np.exp(-0.6 * diameter))
        assert noises.drop_rate(rate) == pytest.approx(np.trapezoid(density, diameter), rel=1e-3)
    rates = (1.0, 2.5, 6.0)
    counts = [sum(onsets(pascals("rain", 2, 3.0, s, rate_mm_h=r), 3000, 7e-3) for s in range(3)) for r in rates]
    assert counts[0] * 1.3 < counts[1]
    assert counts[1] * 1.3 < counts[2]
    assert level_db("rain", middle("rain", rate_mm_h=60), 2) > level_db("rain", middle("rain", rate_mm_h=6), 2) + 10


def test_waves_come_in_their_period_and_it_grows_as_the_root_of_their_height() -> None:
    assert noises.wave_period(1.0) == pytest.approx(5.0, abs=0.02)
    assert noises.wave_period(4.0) == pytest.approx(2 * noises.wave_period(1.0))
    for tall in (0.25, 1.0):
        wave = pascals("sea", 20, 100.0, 3, wave_height_m=tall)
        step = RATE // 20
        level = np.log((wave[: len(wave) // step * step].reshape(-1, step) ** 2).mean(1))
        level -= level.mean()
        like = np.correlate(level, level, "full")[len(level) - 1 :]
        period = noises.wave_period(tall) * 20
        lags = np.arange(int(0.6 * period), int(1.5 * period))
        assert lags[np.argmax(like[lags])] == pytest.approx(period, rel=0.15)


def test_a_bubble_of_a_millimetre_sings_at_three_kilohertz() -> None:
    assert noises.minnaert(np.array([1e-3, 2e-3])) == pytest.approx([3260, 1630], rel=0.01)


def test_what_is_larger_or_farther_is_deeper() -> None:
    fall = [centroid(pascals("waterfall", 20, height_m=h)) for h in (2.5, 10.0, 28.0)]
    assert fall[0] > fall[1] > fall[2]
    roar = [centroid(pascals("thunder", d, seed=2)) for d in (500.0, 2000.0, 8000.0)]
    assert roar[0] > roar[1] > roar[2]


def test_more_leaves_rustle_more_and_a_quicker_river_is_louder() -> None:
    def treble(density: float) -> float:
        power = np.abs(np.fft.rfft(pascals("wind", 10, tree_density=density))) ** 2
        hz = np.fft.rfftfreq(4 * RATE, 1 / RATE)
        return float(power[hz > 2000].sum() / power.sum())

    assert treble(0.06) < treble(0.25) < treble(1.0)
    slow, quick = (noises.loudest_second(pascals("river", 5, speed_m_s=v), RATE) for v in (0.5, 2.0))
    assert 20 * math.log10(quick / slow) == pytest.approx(30 * math.log10(4), abs=0.5)


def test_the_seed_is_the_sound() -> None:
    for kind in LAWS:
        one, same, other = (pascals(kind, 500 if kind == "thunder" else 10, 0.5, seed) for seed in (1, 1, 2))
        assert np.array_equal(one, same)
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.9


def test_the_loudest_second_is_a_second() -> None:
    wave = np.concatenate([np.zeros(RATE), np.ones(RATE), np.zeros(3 * RATE)])
    assert noises.loudest_second(wave, RATE) == pytest.approx(1.0)
    assert noises.loudest_second(np.full(RATE // 2, 0.5), RATE) == pytest.approx(0.5)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_parameters_give_anything_but_a_sound_at_its_level(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(LAWS)))
    law = LAWS[kind]
    parameters = {name: data.draw(st.floats(low / 3, high * 3)) for name, (low, high) in law.parameters.items()}
    distance = data.draw(st.floats(law.distance[0] / 2, law.distance[1] * 2))
    seconds = data.draw(st.sampled_from([0.05, 0.11, 1.0, 1.7]))
    made = sound(kind, parameters, distance, seconds, data.draw(st.integers(0, 2**40)))
    assert made.samples.shape == (1, round(seconds * RATE))
    pressure = made.mono.astype(np.float64) * noises.FULL_SCALE
    level = 20 * math.log10(max(noises.loudest_second(pressure, RATE), 1e-30) / noises.REFERENCE)
    target = level_db(kind, parameters, distance)
    assert level < target + 0.5  # the air only takes
    if kind != "thunder":
        assert level > target - air_loss(np.array([12_000.0]), distance)[0] - 1


def test_a_bed_is_soft() -> None:
    made = noises.bed(2.0, 0, 30.0)
    level = 20 * math.log10(noises.loudest_second(made.mono * noises.FULL_SCALE, RATE) / noises.REFERENCE)
    assert level == pytest.approx(30.0, abs=0.01)
    with pytest.raises(InputError, match="bed"):
        noises.bed(2.0, 0, math.nan)


@pytest.mark.parametrize(
    ("kind", "parameters", "distance", "seconds", "message"),
    [
        ("earthquake", {}, 5.0, 1.0, "no noise"),
        ("fire", {}, 5.0, 1.0, "size_m"),
        ("fire", {"size_m": math.nan}, 5.0, 1.0, "size_m lies between"),
        ("fire", {"size_m": 1.0}, 0.0, 1.0, "distance_m lies between"),
        ("fire", {"size_m": 1.0}, 5.0, 0.0, "lasts"),
        ("fire", {"size_m": 1.0}, 5.0, math.nan, "lasts"),
    ],
)
def test_what_is_no_noise_is_refused(
    kind: str, parameters: dict, distance: float, seconds: float, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        sound(kind, parameters, distance, seconds, 0)
