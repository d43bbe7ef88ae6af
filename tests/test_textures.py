"""A texture says how a sound is on the whole, and is woven again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synesthesia.bridges.hearing import Woven
from synesthesia.codecs import bands, textures
from synesthesia.codecs.bands import Bands
from synesthesia.metrics.attributes import Attributes, attributes
from synesthesia.senses import InputError, Sound
from synesthesia.spaces import Features
from synesthesia.worlds import noises

RATE = bands.RATE
VOICE = Bands()


def latents(samples: np.ndarray) -> np.ndarray:
    return VOICE.encode(Sound(samples[None].astype(np.float32), RATE)).values


def again(texture: np.ndarray, seconds: float = 4.0, seed: int = 1) -> Attributes:
    """What is heard of a texture that is woven."""
    values = textures.Weaver(texture, seed).take(round(seconds * RATE / bands.HOP))
    return attributes(VOICE.decode(Features(values, VOICE.space), seed).mono, RATE)


@pytest.fixture(scope="module")
def hiss() -> np.ndarray:
    return 0.05 * np.random.default_rng(0).standard_normal(4 * RATE)


def test_noise_comes_back_as_loud_and_as_bright(hiss: np.ndarray) -> None:
    told = textures.listen(latents(hiss))
    assert told.noise > 0.95
    true, made = attributes(hiss, RATE), again(told.texture)
    assert made.level == pytest.approx(true.level, abs=1.0)
    assert made.brightness == pytest.approx(true.brightness, abs=0.15)
    values = textures.Weaver(told.texture, 3).take(400)
    colour = 10 * np.log10((10 ** (values[:, bands.LEVELS] / 10)).mean(0))
    known = 10 * np.log10((10 ** (latents(hiss)[:, bands.LEVELS] / 10)).mean(0))
    assert np.abs(colour - known)[4:].mean() < 2.0


def test_louder_is_louder_and_nothing_else(hiss: np.ndarray) -> None:
    soft, loud = (textures.listen(latents(gain * hiss)).texture for gain in (1.0, 2.0))
    assert 10 * (loud[textures.LEVEL] - soft[textures.LEVEL]) == pytest.approx(6.02, abs=0.05)
    rest = np.arange(textures.WIDTH) > textures.LEVEL
    assert np.allclose(loud[rest], soft[rest], atol=0.05)


def test_what_is_faint_keeps_its_colour() -> None:
    """Wind 60 dB down lies below the floor of `bands` in all but its loudest bands."""
    wind = noises.sound("wind", {"speed_m_s": 8.0, "tree_density": 0.3}, 20.0, 5.0, 7)
    loud, faint = (Sound(wind.samples * np.float32(gain / np.abs(wind.samples).max()), RATE) for gain in (0.5, 0.0005))
    told = [textures.heard(sound).texture for sound in (loud, faint)]
    assert told[0][textures.LEVEL] - told[1][textures.LEVEL] == pytest.approx(6, abs=0.01)
    away = np.delete(told[0] - told[1], textures.LEVEL)
    assert np.abs(away).max() < 0.02
    lost = textures.listen(VOICE.encode(faint).values).texture
    assert np.abs(np.delete(told[0] - lost, textures.LEVEL)).max() > 0.5


def test_what_swells_swells_again(hiss: np.ndarray) -> None:
    t = np.arange(len(hiss)) / RATE
    moving = hiss * 10 ** (0.6 * np.sin(2 * np.pi * 1.0 * t))
    still, swelling = (again(textures.listen(latents(x)).texture, 20.0) for x in (hiss, moving))
    assert swelling.movement > still.movement + 4
    assert swelling.movement == pytest.approx(attributes(moving, RATE).movement, abs=3)


def test_more_crackles_are_more_again() -> None:
    """A fire four times as large crackles four times as often (`worlds.noises`), and so does what is woven of it."""
    counted = []
    for size in (0.3, 1.2):
        sound = noises.sound("fire", {"size_m": size}, 3.0, 5.0, 7)
        told = textures.listen(VOICE.encode(sound).values)
        counted.append(again(told.texture, 5.0).events)
        assert counted[-1] == pytest.approx(attributes(sound.mono, RATE).events, rel=0.7, abs=3)
    assert counted[1] > 1.4 * counted[0]


def test_a_tone_is_no_noise_nor_is_silence() -> None:
    tone = 0.2 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    assert textures.listen(latents(tone)).noise < 0.2
    nothing = textures.listen(latents(np.zeros(RATE)))
    assert nothing.noise == 0
    assert np.isfinite(nothing.texture).all()
    assert again(nothing.texture).level < -60


@given(cuts=st.lists(st.integers(1, 700), min_size=1, max_size=6), seed=st.integers(0, 2**64 - 1))
@settings(max_examples=15, deadline=None)
def test_however_it_is_cut_it_is_the_same(cuts: list[int], seed: int) -> None:
    told = textures.listen(latents(0.1 * np.random.default_rng(1).standard_normal(RATE))).texture
    whole = textures.Weaver(told, seed).take(sum(cuts))
    weaver = textures.Weaver(told, seed)
    assert np.array_equal(np.concatenate([weaver.take(n) for n in cuts]), whole)
    assert not np.array_equal(textures.Weaver(told, seed + 1).take(sum(cuts)), whole)


def test_samples_are_the_same_however_many_are_asked_for(hiss: np.ndarray) -> None:
    told = textures.listen(latents(hiss)).texture
    whole = Woven(textures.Weaver(told, 2), 2).take(50_000)
    parts = Woven(textures.Weaver(told, 2), 2)
    assert np.array_equal(np.concatenate([parts.take(n) for n in (1, 20_000, 29_999)]), whole)


def test_one_segment_goes_over_into_the_next(hiss: np.ndarray) -> None:
    values = textures.Weaver(textures.listen(latents(hiss)).texture, 5).take(2500)
    level = 10 * np.log10((10 ** (values[:, bands.LEVELS] / 10)).sum(1))
    step = np.abs(np.diff(level))
    assert step[1020:1030].max() <= step.max()
    assert abs(level[1024:1152].mean() - level.mean()) < 1.0


@given(arrays(np.float64, textures.WIDTH, elements=st.floats(-1e6, 1e6)))
@settings(max_examples=40, deadline=None)
def test_whatever_is_told_something_finite_is_woven(texture: np.ndarray) -> None:
    values = textures.Weaver(texture, 0).take(80)
    assert np.isfinite(values).all()
    level = values[:, bands.LEVELS]
    assert level.min() >= bands.FLOOR_DB
    assert level.max() <= 0


def test_what_is_no_texture_is_refused() -> None:
    with pytest.raises(InputError, match="finite numbers"):
        textures.Weaver(np.zeros(3), 0)
    with pytest.raises(InputError, match="finite numbers"):
        textures.Weaver(np.full(textures.WIDTH, np.nan), 0)
    with pytest.raises(InputError, match="64 frames"):
        textures.listen(np.zeros((63, bands.WIDTH)))
