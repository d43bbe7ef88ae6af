"""The verbs through the public API: with a fake model (what the house does), and with the weights that ship."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FakeKnock
from PIL import Image as Pil

import synesthesia as syn
from synesthesia import hub, media
from synesthesia.senses import Image, InputError, Point

SHIPPED = pytest.mark.skipif("knock/tiny" not in hub.shipped_models(), reason="knock/tiny is not in this checkout")


def pitch(sound: syn.Sound) -> float:
    """The strongest frequency in Hz."""
    spectrum = np.abs(np.fft.rfft(sound.mono * np.hanning(sound.samples.shape[1])))
    return float(np.argmax(spectrum)) / sound.seconds


def test_a_knock_gives_a_sound_and_says_what_it_struck(fake: FakeKnock, photo: Image) -> None:
    hit = syn.knock(photo, at=(0.5, 0.25), force=5.0, seconds=1.0, rate=16_000)
    assert (hit.sound.rate, hit.sound.seconds, len(hit)) == (16_000, 1.0, 1)
    assert pitch(hit.sound) == pytest.approx(400, abs=2)
    told = hit.describe()[0]
    assert told["pitch"]["median_hz"] == pytest.approx(400)
    low, high = told["pitch"]["interval_80_hz"]
    assert math.log(high / low) == pytest.approx(2 * 1.2816 * 0.1, rel=1e-3)
    assert told["modes"][0]["t60_s"] == pytest.approx(0.5)
    assert told["support"]["resting"] == 1


def test_system_and_package_are_the_same_verb(fake: FakeKnock, photo: Image) -> None:
    a, b = syn.knock(photo, (0.1, 0.2)), syn.load().knock(photo, at=Point(0.1, 0.2))
    np.testing.assert_array_equal(a.sound.samples, b.sound.samples)


def test_a_batch_is_its_singles(fake: FakeKnock, photo: Image) -> None:
    dark = Image(photo.pixels // 4)
    points = [(0.2, 0.3), (0.8, 0.9), (0.5, 0.5)]
    batch = syn.knock([photo, dark], points, seconds=0.1, variations=2)
    assert (len(batch), batch.variations, len(batch.sounds)) == (6, 2, 12)
    for i, hit in enumerate(batch):
        for k in range(2):
            single = syn.knock((photo, dark)[i // 3], points[i % 3], seconds=0.1, seed=k)
            np.testing.assert_array_equal(hit.sounds[k].samples, single.sound.samples)
            assert hit.describe() == single.describe()
    np.testing.assert_array_equal(batch[-1].sound.samples, batch.sounds[10].samples)


def test_a_picture_is_encoded_once(fake: FakeKnock, photo: Image, tmp_path: Path) -> None:
    system = syn.load()
    system.knock(photo, [(0.1, 0.1), (0.2, 0.2)])
    system.knock(photo, (0.3, 0.3))
    assert fake.encoded == 1
    path = tmp_path / "a.png"
    media.write_image(path, photo)
    first = system.knock([path, str(path), photo], (0.3, 0.3), seconds=0.1)
    assert fake.encoded == 2
    media.write_image(path, Image(photo.pixels // 2))
    again = system.knock(path, (0.3, 0.3), seconds=0.1)
    assert fake.encoded == 3, "a file that changed is another picture"
    assert np.abs(again.sound.samples).max() < 0.7 * np.abs(first.sound.samples).max()


def test_a_photo_may_be_a_file_a_pillow_image_or_an_array(fake: FakeKnock, photo: Image, tmp_path: Path) -> None:
    media.write_image(tmp_path / "a.png", photo)
    array = np.array(photo.pixels)
    given: list[Any] = [photo, tmp_path / "a.png", str(tmp_path / "a.png"), array, Pil.fromarray(array)]
    sounds = [syn.knock(one, (0.5, 0.5), seconds=0.1).sound.samples for one in given]
    for sound in sounds[1:]:
        np.testing.assert_array_equal(sound, sounds[0])
    with pytest.raises(InputError, match="not a dict"):
        syn.knock({}, (0.5, 0.5))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"at": (1.2, 0.5)}, "outside the picture"),
        ({"at": []}, "A point is"),
        ({"force": math.nan}, "finite"),
        ({"force": -2.0}, "points out of the surface"),
        ({"force": (0.0, 0.0, 1.0)}, "points out of the surface"),
        ({"hardness": "glass"}, "felt, wood, steel"),
        ({"seconds": -1.0}, "seconds lies between"),
        ({"seconds": math.nan}, "seconds lies between"),
        ({"size_m": 0.0}, "size_m lies between"),
        ({"mass": 0.0}, "mass lies between"),
        ({"damping": math.inf}, "damping lies between"),
        ({"variations": 0}, "variations lies between"),
        ({"rate": 10}, "rate lies between"),
        ({"speed": 0.0}, "speed"),
        ({"material_code": 99}, "no 99"),
        ({"seed": -1}, "seed lies between"),
    ],
)
def test_bad_settings_get_a_sentence(fake: FakeKnock, photo: Image, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        syn.knock(photo, **{"at": (0.5, 0.5), **settings})


def test_a_verb_without_a_model_says_so() -> None:
    with pytest.raises(InputError, match="no verb 'smell'"):
        syn.load(smell="tiny")
    with pytest.raises(InputError, match=r"no model for knock.*tiny"):
        syn.System({}).model("knock")


def test_the_picture_of_a_knock_shows_click_wave_and_modes(fake: FakeKnock, photo: Image) -> None:
    hit = syn.knock(photo, (0.25, 0.5), seconds=1.0)
    shown = hit.picture().pixels.astype(int)
    assert shown.shape == (800, 1600, 3)
    accent = (abs(shown - (255, 176, 84)).sum(axis=-1)) < 40
    left = accent[:, :760]
    ys, xs = np.nonzero(left)
    # The ring is centred on the click: a quarter into the 676-pixel-wide photo that starts at 40, at half its height.
    assert (xs.min() + xs.max()) / 2 == pytest.approx(40 + 0.25 * 676, abs=4)
    assert (ys.min() + ys.max()) / 2 == pytest.approx(40 + 676 / 2, abs=4)
    assert accent[:, 800:].sum() > 300, "the wave"
    bright = shown[300:700, 820:1000].sum(axis=-1).mean(axis=1)
    from synesthesia.picture import LOW_HZ

    top, bottom = 258, 716
    expected = bottom - (bottom - top) * math.log(450 / LOW_HZ) / math.log(20_000 / LOW_HZ)
    assert 300 + int(np.argmax(bright)) == pytest.approx(expected, abs=4), "the mode at 200 × (1 + 0.25 + 1) = 450 Hz"


def test_silence_can_be_drawn(fake: FakeKnock, photo: Image) -> None:
    hit = syn.knock(photo, (0.5, 0.5), force=0.0, seconds=0.05)
    assert not hit.sound.samples.any()
    assert hit.picture().width == 1600


# --- the weights that ship -------------------------------------------------------------------------------------------


@SHIPPED
def test_shipped_force_is_linear_and_zero_is_silent() -> None:
    photo = Image(np.array(Pil.effect_mandelbrot((96, 96), (-2, -1.5, 1, 1.5), 60).convert("RGB")))
    one, two, zero = (syn.knock(photo, (0.5, 0.5), force=f, seconds=0.3).sound.samples for f in (1.0, 2.0, 0.0))
    np.testing.assert_allclose(two, 2 * one, rtol=1e-4, atol=1e-7)
    assert np.abs(one).max() > 0
    assert not zero.any()


@SHIPPED
def test_shipped_interventions_move_pitch_and_decay_as_physics_says(photo: Image) -> None:
    at = [(0.5, 0.5), (0.2, 0.8)]
    plain = syn.knock(photo, at, seconds=0.05).physics
    for settings, cents, ratio in (
        ({"mass": 2.0}, -600, None), ({"stiffness": 2.0}, 600, None), ({"size": 2.0}, -1200, None),
        ({"damping": 2.0}, 0, 0.5),
    ):  # fmt: skip
        changed = syn.knock(photo, at, seconds=0.05, **settings).physics
        np.testing.assert_allclose(1200 * np.log2(changed.frequency[:, 0] / plain.frequency[:, 0]), cents, atol=20)
        if ratio is not None:
            np.testing.assert_allclose(changed.t60 / plain.t60, ratio, rtol=0.05)


@SHIPPED
def test_shipped_batches_and_seeds(photo: Image) -> None:
    points = [(0.3, 0.4), (0.7, 0.6)]
    batch = syn.knock([photo, Image(photo.pixels[::-1].copy())], points, seconds=0.2)
    single = syn.knock(photo, points[1], seconds=0.2)
    np.testing.assert_allclose(
        batch[1].sound.samples, single.sound.samples, atol=1e-4 * np.abs(single.sound.samples).max()
    )
    once, again = (syn.load().knock(photo, points[1], seconds=0.2).sound.samples for _ in range(2))
    np.testing.assert_array_equal(once, again)


@SHIPPED
def test_shipped_weights_have_a_card_and_fit() -> None:
    folder = hub.resolve("knock/tiny")
    config, _ = hub.load_model("knock/tiny")
    assert config["bytes"] < 64 * 2**20
    assert config["licence"] == "Apache-2.0"
    assert "cannot" in (folder / "README.md").read_text()
