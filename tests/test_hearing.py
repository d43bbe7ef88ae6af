"""Hearing a picture, with small untrained networks: what must hold whatever the weights are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from synesthesia import cli, media, verbs
from synesthesia.bridges.grounding import GroundingConfig, Locator, LocatorConfig
from synesthesia.bridges.hearing import BED_DB, CEILING, KNEE, Hearing, HearingConfig, gains, limited
from synesthesia.bridges.mapper import MapperConfig
from synesthesia.codecs.bands import Bands
from synesthesia.encoders.vision import EyesConfig
from synesthesia.senses import Image, InputError, Point, Sound

SECONDS = 1.6


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of both verbs, written to disk."""
    folder = tmp_path_factory.mktemp("hear")
    torch.manual_seed(0)
    config = LocatorConfig(EyesConfig(64, (8, 8, 16, 16), (1, 1, 1, 1)), grounding=GroundingConfig(16, 2, 16, 1))
    Locator(config).save(folder / "locate")
    locator = Locator.load(folder / "locate")
    mapper = MapperConfig(locator.eyes.dense, Bands.space, width=32, layers=2, heads=2)
    model = Hearing(HearingConfig(str(folder / "locate"), mapper, steps=2, sure=1e-6), locator)
    with torch.no_grad():  # a head that has learned nothing says the mean of nothing: make it say something
        model.mapper.scale.mean[:64] = -50.0
        model.mapper.scale.std[:64] = 6.0
    model.save(folder / "hear")
    return folder


@pytest.fixture(scope="module")
def system(checkpoint: Path) -> verbs.System:
    return verbs.load(hear=checkpoint / "hear", locate=checkpoint / "locate")


@pytest.fixture(scope="module")
def unsure(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> verbs.System:
    """The same model, but sure of nothing."""
    model = Hearing.load(checkpoint / "hear")
    model.config = dataclasses.replace(model.config, sure=1.0)
    folder = model.save(tmp_path_factory.mktemp("unsure") / "hear")
    return verbs.load(hear=folder)


@pytest.fixture(scope="module")
def photo() -> Image:
    return Image(np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8))


def test_a_checkpoint_gives_back_the_same_sound(checkpoint: Path, photo: Image) -> None:
    a, b = (Hearing.load(checkpoint / "hear") for _ in range(2))
    spots = [Point(0.3, 0.4)]
    first, second = (m.sounds([photo], spots, 0.5, [3])[0].samples for m in (a, b))
    assert np.array_equal(first, second)
    assert first.std() > 1e-4


def test_a_locator_that_sees_otherwise_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    model = Hearing.load(checkpoint / "hear")
    torch.manual_seed(1)
    other = Locator(model.locator.config).save(tmp_path / "other")
    model.config = dataclasses.replace(model.config, locator=str(other))
    model.save(tmp_path / "hear")
    with pytest.raises(InputError, match="its locator"):
        Hearing.load(tmp_path / "hear")


def test_the_mix_is_the_sum_of_the_stems_and_the_bed(system: verbs.System, photo: Image) -> None:
    scene = system.hear(photo, seconds=SECONDS)
    assert scene.mix.samples.shape == (1, round(SECONDS * scene.mix.rate))
    total = scene.bed.samples + sum(stem.sound.samples for stem in scene.stems)
    assert np.allclose(scene.mix.samples, total, atol=1e-6)
    assert np.abs(scene.mix.samples).max() <= 1.0
    assert all(0 <= stem.confidence <= 1 for stem in scene.stems)


def test_blocks_joined_are_the_whole(system: verbs.System, photo: Image) -> None:
    scene = system.hear(photo, at=(0.5, 0.5), seconds=SECONDS, seed=7)
    parts, have = [], 0
    for block in system.hear_blocks(photo, at=(0.5, 0.5), seed=7):
        parts.append(block.samples)
        have += block.samples.shape[1]
        if have >= scene.mix.samples.shape[1]:
            break
    assert len(parts) > 1
    assert np.array_equal(np.concatenate(parts, 1)[:, : scene.mix.samples.shape[1]], scene.mix.samples)


def test_a_seed_repeats_and_another_seed_differs(system: verbs.System, photo: Image) -> None:
    same, again, other = (system.hear(photo, box=(0, 0, 0.5, 1), seconds=0.5, seed=s).mix.samples for s in (1, 1, 2))
    assert np.array_equal(same, again)
    assert not np.allclose(same, other)


def test_what_the_model_is_not_sure_of_is_ambience_and_says_so(unsure: verbs.System, photo: Image) -> None:
    here, there = (unsure.hear(photo, at=at, seconds=0.5) for at in ((0.1, 0.1), (0.9, 0.9)))
    assert not here.stems[0].sound.samples.any()
    assert here.bed.samples.any()
    assert np.array_equal(here.bed.samples, there.bed.samples)  # ambience does not depend on what is not known
    assert "not sure" in verbs.heard_headline(here)
    assert unsure.hear(photo, seconds=0.5).stems == ()


def test_a_box_and_the_same_mask_sound_the_same(system: verbs.System, photo: Image) -> None:
    mask = np.zeros((photo.height, photo.width), np.float32)
    mask[:, : photo.width // 2] = 1
    by_box = system.hear(photo, box=(0, 0, 0.5, 1), seconds=0.5)
    by_mask = system.hear(photo, mask=mask, seconds=0.5)
    assert np.allclose(by_box.mix.samples, by_mask.mix.samples, atol=1e-4)


def test_a_mask_of_another_size_is_laid_over_all_with_a_note(system: verbs.System, photo: Image) -> None:
    half = np.zeros((2, 2), np.float32)
    half[:, 0] = 1
    with pytest.warns(UserWarning, match="laid over"):
        by_mask = system.hear(photo, mask=half, seconds=0.5)
    assert np.allclose(by_mask.mix.samples, system.hear(photo, box=(0, 0, 0.5, 1), seconds=0.5).mix.samples, atol=1e-4)


def test_a_loop_has_no_seam(system: verbs.System, photo: Image) -> None:
    """Around the seam the sound changes no more than anywhere else, at the scale of 10 ms."""
    period = system.hear(photo, at=(0.5, 0.5), seconds=2.0, loop=True).mix.mono
    twice = np.concatenate([period, period])
    level = 10 * np.log10((twice[: len(twice) // 320 * 320].reshape(-1, 320) ** 2).mean(1) + 1e-12)
    steps = np.abs(np.diff(level))
    seam = len(period) // 320
    assert steps[seam - 2 : seam + 2].max() <= steps.max() + 1e-9
    assert abs(twice[len(period)] - twice[len(period) - 1]) <= 2 * np.abs(np.diff(period)).max()


def test_a_sound_goes_on_from_what_is_given(system: verbs.System, photo: Image) -> None:
    rate = Bands.rate
    given = Sound((0.1 * np.random.default_rng(5).standard_normal(2 * rate)).astype(np.float32)[None], rate)
    whole = system.hear(photo, at=(0.5, 0.5), seconds=1.0, given=given).mix
    assert whole.seconds == pytest.approx(3.0, abs=0.01)
    kept = round(1.9 * rate)
    assert np.allclose(whole.mono[:kept], given.mono[:kept], atol=1e-6)
    joint = whole.mono[round(1.9 * rate) : round(2.1 * rate)]
    assert np.sqrt((joint.reshape(-1, 320) ** 2).mean(1)).min() > 1e-4  # no hole at the seam


@pytest.mark.parametrize(
    "where",
    [
        {"at": (0.5, 1.5)},
        {"box": (0.6, 0.1, 0.2, 0.9)},
        {"at": (0.5, 0.5), "box": (0, 0, 1, 1)},
        {"mask": np.zeros((96, 128), np.float32)},
        {"mask": np.full((96, 128), np.nan, np.float32)},
        {"seconds": 0.0},
        {"seconds": 1e9},
        {"seed": -1},
        {"loop": True, "given": Sound(np.ones((1, 9)), 9)},
        {"given": Sound(np.zeros((1, 0)), 32_000)},
    ],
)
def test_bad_input_is_a_sentence(system: verbs.System, photo: Image, where: dict[str, object]) -> None:
    with pytest.raises(InputError):
        system.hear(photo, **where)


def test_nothing_clips_whatever_is_planned() -> None:
    for areas in ([], [1.0], [0.9] * 6, [0.01, 0.5]):
        assert sum(gains(areas)) <= 1 + 1e-9
    assert 20 * np.log10(gains([0.2])[0] / gains([0.1])[0]) == pytest.approx(3.01, abs=0.01)
    assert gains([])[-1] == pytest.approx(10 ** (BED_DB / 20))


def test_the_limit_leaves_the_quiet_alone_and_never_reaches_full_scale() -> None:
    x = np.linspace(-20, 20, 4001).astype(np.float32)
    y = limited(x)
    assert np.array_equal(y[np.abs(x) <= KNEE], x[np.abs(x) <= KNEE])
    assert np.abs(y).max() <= CEILING
    assert (np.diff(y) >= 0).all()


def test_the_commands(checkpoint: Path, photo: Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    media.write_image(tmp_path / "p.png", photo)
    picture, out = str(tmp_path / "p.png"), tmp_path / "o"
    model = ["--model", str(checkpoint / "hear")]
    wav = str(tmp_path / "a.wav")
    made = ["--stems", str(out), "--picture", str(tmp_path / "s.png")]
    assert cli.main(["hear", picture, "--seconds", "0.4", "-o", wav, *made, *model]) == 0
    assert media.read_sound(wav).seconds == pytest.approx(0.4)
    assert (out / "bed.wav").is_file()
    assert media.read_image(tmp_path / "s.png").width == 1600
    assert cli.main(["hear", picture, "--box", "0,0,0.5,1", "--seconds", "0.4", "-o", wav, *model]) == 0
    found = ["locate", picture, wav, "-o", str(tmp_path / "h.png"), "--json", "--model", str(checkpoint / "locate")]
    capsys.readouterr()
    assert cli.main(found) == 0
    assert '"confidence"' in capsys.readouterr().out
    assert media.read_image(tmp_path / "h.png").pixels.shape == photo.pixels.shape
    with pytest.raises(SystemExit, match="2"):
        cli.main(["hear", picture, "--at", "2,2", "-o", wav, *model])
    assert cli.main(["hear", picture, "--box", "0.5,0,0.5,1", "-o", wav, *model]) == 2


def test_a_long_sound_is_written_as_it_is_made(
    checkpoint: Path, photo: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_LONG_S", 1.0)
    media.write_image(tmp_path / "p.png", photo)
    common = ["hear", str(tmp_path / "p.png"), "--at", "0.5,0.5", "--model", str(checkpoint / "hear")]
    assert cli.main([*common, "--seconds", "1.5", "-o", str(tmp_path / "long.wav")]) == 0
    monkeypatch.setattr(cli, "_LONG_S", 60.0)
    assert cli.main([*common, "--seconds", "1.5", "-o", str(tmp_path / "whole.wav")]) == 0
    assert (tmp_path / "long.wav").read_bytes() == (tmp_path / "whole.wav").read_bytes()
