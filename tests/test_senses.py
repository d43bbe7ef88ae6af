from __future__ import annotations

import base64
import io
import math

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from synesthesia.senses import Image, InputError, Point, Sound, Strike


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
