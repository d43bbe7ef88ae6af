"""The voice `bands`: closed forms of its latents, and that what was encoded comes back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia.codecs import bands
from synesthesia.codecs.bands import (
    CLICK,
    FLOOR_DB,
    HOP,
    LEVELS,
    ONSET,
    PARTIALS,
    PLACES,
    RATE,
    RISE,
    WIDTH,
    Bands,
)
from synesthesia.senses import InputError, Sound
from synesthesia.spaces import Features, Space, SpaceError

VOICE = Bands()


def noise(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def tone(hz: float, seconds: float = 1.0, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def encode(samples: np.ndarray) -> np.ndarray:
    return VOICE.encode(Sound(samples[None], RATE)).values


def decode(values: np.ndarray, seed: int = 0) -> np.ndarray:
    return VOICE.decode(Features(values.astype(np.float32), VOICE.space), seed).mono


def test_the_responses_sum_to_one_so_that_no_power_is_lost() -> None:
    hz = np.linspace(55.0, 14_800.0, 500)
    np.testing.assert_allclose(bands._response(hz, bands.centres()).sum(axis=1), 1.0, atol=1e-12)


def test_white_noise_has_flat_levels_as_high_as_its_bands_are_wide() -> None:
    level = 0.1
    values = encode(noise(8.0, level))[10:-10]
    power = (10 ** (values[:, LEVELS] / 10)).mean(axis=0)
    hz = np.linspace(0, RATE / 2, 32_001)
    expected = level**2 * bands._response(hz, bands.centres()).mean(axis=0)
    # 8 s in a band of 18 Hz are some 150 independent values: 0.35 dB of chance; in bands of 80 Hz and more 0.17 dB.
    error = np.abs(10 * np.log10(power / expected))
    assert error.max() < 1.5
    assert error[32:].max() < 0.5
    assert (values[:, PARTIALS] > FLOOR_DB).mean() < 0.005, "noise is not taken for tones"


@pytest.mark.parametrize("hz", [150.0, 440.0, 1000.0, 3100.0, 7900.0])
def test_a_pure_tone_is_one_partial_of_the_right_pitch_and_level(hz: float) -> None:
    values = encode(tone(hz))[20:-20]
    there = values[:, PARTIALS] > FLOOR_DB
    region = int(there.sum(axis=0).argmax())
    assert there[:, region].all()
    assert there.sum(axis=1).mean() < 1.1
    heard = bands.region_centres()[region] * 2.0 ** values[:, PLACES][:, region]
    np.testing.assert_allclose(heard, hz, rtol=2e-3)  # 3 cents
    np.testing.assert_allclose(values[:, PARTIALS][:, region], 10 * np.log10(0.125), atol=0.15)


def test_a_tone_comes_back_as_a_tone_of_the_same_level() -> None:
    out = decode(encode(tone(1000.0, 2.0)))[RATE // 4 : -RATE // 4]
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out)))) ** 2
    hz = np.fft.rfftfreq(len(out), 1 / RATE)
    near = np.abs(hz - 1000.0) < 10
    assert spectrum[near].sum() > 0.995 * spectrum.sum()
    assert abs(20 * np.log10(out.std() / (0.5 / np.sqrt(2)))) < 0.1


def test_two_tones_are_two_partials() -> None:
    values = encode(tone(500.0, amplitude=0.2) + tone(2000.0, amplitude=0.1))[20:-20]
    there = (values[:, PARTIALS] > FLOOR_DB).mean(axis=0) > 0.9
    assert there.sum() == 2
    levels = values[:, PARTIALS][:, there].mean(axis=0)
    assert levels[0] - levels[1] == pytest.approx(20 * np.log10(2), abs=0.2)


def test_a_tone_that_glides_is_followed() -> None:
    t = np.arange(RATE) / RATE
    hz = 2000 * 2**t
    samples = (0.3 * np.sin(2 * np.pi * np.cumsum(hz) / RATE)).astype(np.float32)
    values = encode(samples)[20:-20]
    loudest = values[:, PARTIALS].argmax(axis=1)
    heard = bands.region_centres()[loudest] * 2.0 ** values[np.arange(len(values)), PLACES.start + loudest]
    sounds = values[:, PARTIALS].max(axis=1) > FLOOR_DB
    expected = hz[HOP // 2 :: HOP][20:-20]
    assert sounds.mean() > 0.85
    np.testing.assert_allclose(heard[sounds], expected[sounds], rtol=0.01)


def test_twice_the_amplitude_is_six_decibels_more_and_nothing_else() -> None:
    samples = noise(1.0, 0.05) + tone(880.0, 1.0, 0.1)
    samples[16_000:] *= 3.0
    one, two = encode(samples), encode(2 * samples)
    np.testing.assert_allclose(two[:, LEVELS] - one[:, LEVELS], 20 * np.log10(2), atol=1e-3)
    np.testing.assert_allclose(two[:, PLACES], one[:, PLACES], atol=1e-3)
    there = one[:, PARTIALS] > FLOOR_DB
    np.testing.assert_array_equal(two[:, PARTIALS] > FLOOR_DB, there)
    np.testing.assert_allclose((two - one)[:, PARTIALS][there], 20 * np.log10(2), atol=1e-3)
    np.testing.assert_allclose(two[:, RISE:], one[:, RISE:], atol=1e-2)


def test_latents_twelve_decibels_lower_sound_twelve_decibels_lower() -> None:
    values = encode(noise(1.0))
    quiet = values.copy()
    quiet[:, LEVELS] -= 12.0
    quiet[:, PARTIALS][values[:, PARTIALS] > FLOOR_DB] -= 12.0
    np.testing.assert_allclose(decode(quiet), decode(values) * 10 ** (-12 / 20), atol=2e-6)


def test_levels_come_back() -> None:
    values = encode(noise(4.0))
    again = encode(decode(values, seed=5))
    error = (again - values)[20:-20, LEVELS]
    assert np.abs(error.mean(axis=0)[3:]).max() < 1.0, "no band is louder or softer than it was"
    assert error[:, 32:].std() < 1.5, "what the chance of the original was is kept, and no other is added"


def test_a_narrow_valley_is_not_filled() -> None:
    values = np.tile(bands.REST, (100, 1))
    values[:, LEVELS] = -40.0
    values[:, 30:34] = -70.0
    again = encode(decode(values))[10:-10, LEVELS].mean(axis=0)
    assert again[31:33].max() < -58.0
    np.testing.assert_allclose(again[40:60], -40.0, atol=1.0)


def test_an_attack_is_sharp_and_stands_where_it_stood() -> None:
    samples = noise(1.0, 1e-4)
    at = 16_123
    samples[at : at + 4000] += noise(4000 / RATE, 0.3, seed=1) * np.exp(-np.arange(4000) / 800).astype(np.float32)
    values = encode(samples)
    frame = int(values[:, RISE].argmax())
    assert abs(frame * HOP + values[frame, ONSET] * HOP - at) < 64, "within 2 ms"
    out = decode(values)
    before, after = out[at - 320 : at - 64], out[at + 64 : at + 320]
    assert 20 * np.log10(after.std() / before.std()) > 25.0
    values[:, RISE] = 0.0
    blunt = decode(values)
    assert blunt[at - 320 : at - 64].std() > 5 * before.std(), "without the onset the attack would smear"


def test_a_click_is_more_of_a_click_than_a_burst() -> None:
    click, burst = noise(0.5, 1e-4), noise(0.5, 1e-4)
    click[8_000] += 0.8
    burst[8_000:9_000] += noise(1_000 / RATE, 0.3)
    assert encode(click)[25, CLICK] > 0.9
    assert encode(burst)[25, CLICK] < 0.5


def test_an_onset_in_the_treble_leaves_the_bass_as_it_was() -> None:
    from scipy import signal

    bass = signal.sosfilt(signal.butter(6, 400, fs=RATE, output="sos"), noise(1.0, 0.5)).astype(np.float32)
    hits = signal.sosfilt(signal.butter(6, 3000, "highpass", fs=RATE, output="sos"), noise(1.0, 0.3, 2))
    hits = hits * (np.exp(-np.mod(np.arange(RATE), 8000) / 300))
    values = encode((bass + hits).astype(np.float32))
    assert (values[:, RISE] > 0).sum() >= 3
    plain = values.copy()
    plain[:, RISE] = 0.0
    low = signal.butter(6, 300, fs=RATE, output="sos")
    a, b = (signal.sosfilt(low, decode(v)) for v in (values, plain))
    # Thresholds on levels that move by chance let a little through.
    assert (a - b).std() < 0.1 * b.std()


def test_blocks_joined_are_the_whole_bit_for_bit() -> None:
    values = encode(noise(1.3) + tone(700.0, 1.3))
    whole = decode(values, seed=3)
    rng = np.random.default_rng(0)
    for _ in range(3):
        cuts = np.sort(rng.integers(1, len(values), 5))
        decoder = VOICE.decoder(seed=3)
        parts = [
            decoder.push(Features(part, VOICE.space)) for part in np.split(values, np.unique(cuts))
        ]  # fmt: skip
        np.testing.assert_array_equal(np.concatenate([*parts, decoder.finish()]), whole)


def test_the_first_sound_comes_before_the_last_latents() -> None:
    decoder = VOICE.decoder()
    assert len(decoder.push(Features(encode(noise(0.5)), VOICE.space))) >= 0.2 * RATE


def test_the_beginning_does_not_depend_on_the_end() -> None:
    values = encode(noise(2.0))
    other = values.copy()
    other[150:] = bands.REST
    np.testing.assert_array_equal(decode(values)[: 128 * HOP], decode(other)[: 128 * HOP])


def test_memory_does_not_grow_with_length() -> None:
    values = encode(noise(1.0))
    decoder = VOICE.decoder()
    for _ in range(20):
        decoder.push(Features(values, VOICE.space))
    assert len(decoder._known) < 100 + len(values)  # type: ignore[attr-defined]


def test_a_seed_is_a_sound() -> None:
    values = encode(noise(0.5))
    np.testing.assert_array_equal(decode(values, 1), decode(values, 1))
    assert np.abs(np.corrcoef(decode(values, 1), decode(values, 2))[0, 1]) < 0.1


def test_a_loop_has_no_seam() -> None:
    values = encode(noise(1.37, 0.02) + tone(701.3, 1.37, 0.2))[5:-5]
    period = VOICE.loop(Features(values, VOICE.space), seed=1).mono
    assert len(period) == len(values) * HOP
    twice = np.concatenate([period, period])
    again = encode(twice)
    seam = len(values)
    around = slice(seam - 4, seam + 4)
    expected = np.concatenate([values, values])[around, LEVELS]
    loud = expected > -60
    assert np.abs(again[around, LEVELS] - expected)[loud].mean() < 3.0
    curvature = np.abs(np.diff(twice, 2))
    join = len(period)
    assert curvature[join - 3 : join + 3].max() < 1.5 * np.quantile(curvature, 0.999)
    partials = again[:, PARTIALS].max(axis=1)
    assert (partials[around] > -20).all(), "the tone goes through"


@pytest.mark.parametrize("frames", [1, 3, 33])
def test_a_loop_may_be_as_short_as_a_frame(frames: int) -> None:
    values = encode(noise(1.0))[50 : 50 + frames]
    period = VOICE.loop(Features(values, VOICE.space)).mono
    assert len(period) == frames * HOP
    assert period.std() > 0.01


def test_silence_is_silence() -> None:
    values = encode(np.zeros(RATE, np.float32))
    np.testing.assert_array_equal(values, np.tile(bands.REST, (len(values), 1)))
    assert not decode(values).any()


def test_any_sound_of_any_size_goes_in() -> None:
    assert VOICE.encode(Sound(np.array([[0.5]]), RATE)).values.shape == (1, WIDTH)
    assert VOICE.encode(Sound(np.array([[0.5]]), 192_000)).values.shape == (1, WIDTH)
    eight = Sound(np.tile(noise(0.1), (8, 1)), RATE)
    np.testing.assert_allclose(VOICE.encode(eight).values, encode(noise(0.1)), atol=1e-3)
    assert np.isfinite(VOICE.encode(Sound(np.array([[0.1, -0.1, 0.2]]), 1)).values).all()
    hot = Sound(1e3 * noise(0.1)[None], RATE)
    assert np.isfinite(decode(VOICE.encode(hot).values)).all()


def test_bad_input_is_a_sentence() -> None:
    with pytest.raises(InputError, match="no samples"):
        VOICE.encode(Sound(np.zeros((1, 0)), RATE))
    with pytest.raises(InputError, match="hours"):
        VOICE.encode(Sound(np.zeros((1, 20_000)), 1))
    with pytest.raises(InputError, match="NaN"):
        decode(np.full((3, WIDTH), np.nan))
    with pytest.raises(InputError, match="frame at least"):
        decode(np.zeros((0, WIDTH)))
    with pytest.raises(SpaceError):
        VOICE.decode(Features(np.zeros((3, WIDTH)), Space("another", WIDTH)))
    decoder = VOICE.decoder()
    decoder.finish()
    with pytest.raises(InputError, match="finished"):
        decoder.push(Features(np.tile(bands.REST, (3, 1)), VOICE.space))


def test_a_long_sound_is_encoded_in_parts_that_fit() -> None:
    samples = noise(12.0)
    whole = encode(samples)
    begin = encode(samples[: 1000 * HOP])
    np.testing.assert_allclose(begin[:980, LEVELS], whole[:980, LEVELS], atol=1e-3)
    late = encode(samples[1000 * HOP :])
    np.testing.assert_allclose(late[20:, LEVELS], whole[1020:, LEVELS], atol=1e-3)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.floats(0.1, 300.0))
def test_any_latents_make_a_finite_sound(seed: int, frames: int, scale: float) -> None:
    """A bridge may predict anything; the voice never fails on finite numbers."""
    values = (scale * np.random.default_rng(seed).standard_normal((frames, WIDTH))).astype(np.float32)
    out = decode(values)
    assert len(out) == frames * HOP
    assert np.isfinite(out).all()


def test_a_struck_tone_does_not_sound_before_it_is_struck() -> None:
    t = np.arange(RATE) / RATE
    struck = np.where(t >= 0.5, np.exp(-np.maximum(t - 0.5, 0) / 0.2), 0.0)
    samples = (struck * (0.3 * np.sin(2 * np.pi * 1237.0 * t) + 0.2 * np.sin(2 * np.pi * 560.0 * t))).astype(np.float32)
    out = decode(encode(samples))
    before, after = out[15_000:15_650], out[16_000:17_600]
    assert 20 * np.log10(after.std() / max(before.std(), 1e-9)) > 25.0
