from __future__ import annotations

import base64
import io
import math

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from synesthesia.senses import Image, InputError, Point, Region, Scene, Sound, Stem, Strike


def test_an_array_inside_a_sense_cannot_be_changed() -> None:
    image = Image(np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0, 0] = 1
    assert (image.width, image.height) == (5, 4)


@given(x=st.floats(), y=st.floats())
def test_a_point_is_inside_the_picture_or_refused(x: float, y: float) -> None:
    inside = math.isfinite(x) and math.isfinite(y) and 0 <= x <= 1 and 0 <= y <= 1
    if inside:
        Point(x, y)
    else:
        with pytest.raises(InputError, match="outside the picture"):
            Point(x, y)


@pytest.mark.parametrize("force", [math.nan, math.inf, -1.0, (1.0, math.nan, 0.0), 1e6])
def test_a_force_that_no_hand_could_give_is_refused(force: float | tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="force"):
        Strike(Point(0.5, 0.5), force)


def test_zero_force_is_allowed() -> None:
    assert Strike(Point(0.5, 0.5), 0.0).force == 0


def test_a_sound_refuses_samples_that_are_not_numbers() -> None:
    with pytest.raises(InputError, match="NaN"):
        Sound(np.array([0.0, math.nan], np.float32)[None], 16_000)


def test_a_sound_knows_its_length_and_plays_in_a_notebook() -> None:
    sound = Sound(np.full((2, 8000), 0.25, np.float32), 16_000)
    assert sound.seconds == 0.5
    np.testing.assert_array_equal(sound.mono, np.full(8000, 0.25))
    data = base64.b64decode(sound._repr_html_().split("base64,")[1].split('"')[0])
    samples, rate = soundfile.read(io.BytesIO(data))
    assert rate == 16_000
    np.testing.assert_allclose(samples, 0.25, atol=1e-4)


def test_a_box_covers_its_share_of_the_picture_at_every_resolution() -> None:
    box = Region.box(0.1, 0.25, 0.6, 0.75)
    assert box.area == pytest.approx(0.25, abs=1e-6)
    assert (box.centre.x, box.centre.y) == pytest.approx((0.35, 0.5), abs=1e-6)
    for rows, columns in ((14, 14), (7, 9), (1, 1)):
        coarse = box.on(rows, columns)
        assert coarse.shape == (rows, columns)
        assert coarse.mean() == pytest.approx(box.area, abs=1e-6)


def test_a_region_keeps_its_place_when_it_is_resampled() -> None:
    disc = Region.around(Point(0.2, 0.7), 0.2)
    row, column = np.unravel_index(disc.on(10, 20).argmax(), (10, 20))
    assert (row, column) in {(6, 3), (6, 4), (7, 3), (7, 4)}
    assert np.array_equal(Region(np.eye(4)).on(4, 4), np.eye(4))
    assert Region.whole().on(3, 5).tolist() == np.ones((3, 5)).tolist()


@pytest.mark.parametrize("mask", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.full((4, 4), 2.0), np.ones((0, 4))])
def test_a_mask_that_marks_nothing_is_refused(mask: np.ndarray) -> None:
    with pytest.raises(InputError):
        Region(mask)


@pytest.mark.parametrize("box", [(0.5, 0.5, 0.5, 0.9), (0.9, 0.1, 0.2, 0.5), (0.1, 0.1, 1.2, 0.5)])
def test_a_box_without_an_inside_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(InputError):
        Region.box(*box)


def test_the_mix_of_a_scene_is_the_sum_of_its_parts() -> None:
    image = Image(np.zeros((4, 4, 3), np.uint8))
    parts = [Sound(np.full((1, 8), level, np.float32), 32_000) for level in (0.1, 0.2, 0.3)]
    scene = Scene(image, tuple(Stem(Region.whole(), part, 0.5) for part in parts[:2]), parts[2])
    assert np.allclose(scene.mix.samples, 0.6)
    with pytest.raises(InputError):
        Scene(image, (Stem(Region.whole(), Sound(np.zeros((1, 9), np.float32), 32_000), 0.5),), parts[2])
