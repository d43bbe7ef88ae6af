"""Seeing a sound: what must hold whatever was learned, a toy world that is learned, the verb and the command."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pil
from toys import COLOURS, toy_shards, toy_sound

from synesthesia import cli, media, verbs
from synesthesia.bridges.grounding import GroundingConfig, Locator, LocatorConfig
from synesthesia.bridges.picturing import Known, Picturing, PicturingConfig
from synesthesia.bridges.seeing import Seeing
from synesthesia.codecs.pictures import STRIDE, PictureCodec, PictureConfig
from synesthesia.encoders.audio import BANDS, FrameEarsConfig
from synesthesia.encoders.vision import EyesConfig
from synesthesia.evaluate import see as protocols
from synesthesia.senses import Image, InputError, Region, Sound
from synesthesia.shards import Example, examples
from synesthesia.spaces import Space, SpaceError
from synesthesia.train.see import (
    NOTHING,
    SeeRun,
    close,
    cut_out,
    in_spreads,
    portrayed,
    read_moments,
    sights,
    train,
    views,
    worn,
)  # fmt: skip
from synesthesia.worlds import birds
from synesthesia.worlds.scenes import generate

RATE = 32_000
EYES = LocatorConfig(
    EyesConfig(64, (8, 8, 16, 16), (1, 1, 1, 1)), FrameEarsConfig((4, 4, 8, 8), 16), GroundingConfig(8, 2, 16)
)
SMALL = PictureConfig(32, 12, (8, 8, 8))
RUN = SeeRun(
    codec_steps=2, ear_steps=2, sketch_steps=2, see_steps=2, glances=3, batch=4, seconds=1.0, moments=6, crops=1,
    codec=SMALL, width=16, layers=1, heads=2,
)  # fmt: skip
NOTION = 10


def pictures(n: int, side: int = 32, seed: int = 0) -> torch.Tensor:
    """Smooth ones, as pictures are."""
    coarse = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=False).clamp(0, 1)


def tone(seconds: float = 1.0, hz: float = 300.0, rate: int = RATE) -> Sound:
    t = np.arange(round(seconds * rate)) / rate
    return Sound((0.1 * np.sin(2 * np.pi * hz * t)).astype(np.float32)[None], rate)


# --- the codec -------------------------------------------------------------------------------------------------------


def test_all_axes_say_all_of_a_picture() -> None:
    codec = PictureCodec(dataclasses.replace(SMALL, latent=3 * STRIDE**2))
    codec.fit(pictures(40))
    other = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(codec.decode(codec.encode(other)), other, atol=2e-3, rtol=0)


def test_more_axes_lose_less_and_latents_spread_as_the_root_of_squares() -> None:
    x, lost = pictures(60), []
    for latent in (1, 3, 12, 48):
        codec = PictureCodec(dataclasses.replace(SMALL, latent=latent))
        codec.fit(x)
        latents = codec.encode(x)
        squares = (latents * codec.spread).flatten(0, 2).std(0)
        expected = (squares / squares[0]).sqrt()
        torch.testing.assert_close(latents.flatten(0, 2).std(0), expected, atol=0.02, rtol=0)
        lost.append(float((codec.decode(latents) - x).square().mean().detach()))
    assert lost == sorted(lost, reverse=True)
    assert lost[-1] < 0.05 * lost[0]


@given(level=st.floats(0, 1))
@settings(max_examples=10, deadline=None)
def test_one_colour_stays_one_colour(level: float) -> None:
    codec = PictureCodec(SMALL)
    codec.fit(torch.cat([pictures(40), torch.full((2, 3, 32, 32), 0.2)]))
    plain = torch.full((1, 3, 32, 32), level)
    torch.testing.assert_close(codec.decode(codec.encode(plain)), plain, atol=0.08, rtol=0)


def test_the_decoder_learns_what_axes_leave_out() -> None:
    torch.manual_seed(0)
    x, g = pictures(16), torch.Generator().manual_seed(0)
    codec = PictureCodec(dataclasses.replace(SMALL, latent=3))
    codec.fit(x)
    optimiser = torch.optim.Adam(codec.parameters(), 3e-3)

    def error() -> float:
        return float((codec.decode(codec.encode(x)) - x).abs().mean().detach())

    before, latents = error(), codec.encode(x)
    for _ in range(60):
        loss = torch.stack(list(codec.loss(x, g)[0].values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert error() < 0.9 * before
    assert torch.equal(codec.encode(x), latents)  # so that a bridge can learn beside it


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="multiples of 8"):
        PictureCodec(SMALL).encode(torch.zeros(1, 3, 20, 32))
    with pytest.raises(InputError, match="multiple of 8"):
        PictureConfig(side=100)
    with pytest.raises(InputError, match="192 numbers"):
        PictureConfig(latent=200)


# --- the bridge ------------------------------------------------------------------------------------------------------


@pytest.fixture
def bridge() -> Picturing:
    torch.manual_seed(0)
    spaces = (Space("shared", 8), Space("ears", 16), Space("pictures/32", 12))
    made = Picturing(PicturingConfig(*spaces, notion=NOTION, grid=4, width=16, layers=2, heads=2))
    for weight in made.flow.leave.parameters():
        torch.nn.init.normal_(weight, std=0.1)  # as if something had been learned
    return made.eval()


def leads(n: int) -> torch.Tensor:
    return torch.randn(n, NOTION, generator=torch.Generator().manual_seed(3))


def test_a_batch_of_pictures_is_its_singles(bridge: Picturing) -> None:
    notions = leads(3)
    together = bridge.draw(notions, [5, 6, 7])
    for n in range(3):
        torch.testing.assert_close(bridge.draw(notions[n : n + 1], [5 + n]), together[n : n + 1], atol=1e-5, rtol=1e-4)
    assert torch.equal(bridge.draw(notions, [5, 6, 7]), together)
    assert not torch.allclose(bridge.draw(notions, [8, 9, 10]), together)


def test_what_is_known_of_a_picture_stays(bridge: Picturing) -> None:
    known = torch.randn(2, 4, 4, 12, generator=torch.Generator().manual_seed(4))
    draw = torch.zeros(2, 4, 4, dtype=torch.bool)
    assert torch.equal(bridge.draw(leads(2), [0, 1], known=Known(known, draw)), known)
    draw[:, :, 2:] = True
    made = bridge.draw(leads(2), [0, 1], known=Known(known, draw))
    assert torch.equal(made[:, :, :2], known[:, :, :2])
    assert not torch.allclose(made[:, :, 2:], known[:, :, 2:])


def test_folding_is_undone_by_unfolding(bridge: Picturing) -> None:
    grid = torch.randn(2, 4, 4, 12)
    assert torch.equal(bridge._unfolded(bridge._folded(grid)), grid)


def test_frames_beyond_the_real_ones_are_not_heard(bridge: Picturing) -> None:
    shared, frames = torch.randn(1, 9, 8), torch.randn(1, 9, 16)
    five, mel = torch.tensor([5]), torch.randn(1, BANDS, 64)
    short = bridge.listen(shared[:, :5], frames[:, :5], five, mel)
    torch.testing.assert_close(bridge.listen(shared, frames, five, mel), short)
    order = torch.randperm(5)
    torch.testing.assert_close(bridge.listen(shared[:, order], frames[:, order], five, mel), short)


def test_the_bridge_has_an_ear_of_its_own_for_rhythm(bridge: Picturing) -> None:
    """Frozen frames are heard in any order; the log-mel picture is not."""
    frames, three = (torch.zeros(1, 3, 8), torch.zeros(1, 3, 16)), torch.tensor([3])
    slow = torch.where(torch.arange(128) // 32 % 2 == 0, 0.0, -14.0).expand(1, BANDS, 128)
    fast = torch.where(torch.arange(128) // 4 % 2 == 0, 0.0, -14.0).expand(1, BANDS, 128)
    with torch.no_grad():
        led = [bridge.listen(*frames, three, mel) for mel in (slow, fast, slow.repeat(1, 1, 2))]
    assert float((led[0] - led[1]).norm()) > 3 * float((led[0] - led[2]).norm())


def test_other_spaces_and_impossible_settings_are_refused(bridge: Picturing) -> None:
    with pytest.raises(SpaceError, match="12 dimensions"):
        bridge.fit_scale(torch.zeros(2, 4, 4, 3))
    with pytest.raises(InputError, match="4 latents wide"):
        bridge.loss(leads(1), torch.zeros(1, 8, 8, 12), torch.Generator())
    with pytest.raises(InputError, match="a seed of its own"):
        bridge.draw(leads(2), [0])
    with pytest.raises(InputError, match="1 to 1000 steps"):
        bridge.draw(leads(1), [0], steps=0)
    with pytest.raises(InputError, match="no configuration"):
        PicturingConfig.from_dict({"source": 3})


def test_two_conditions_become_two_pictures() -> None:
    """A flow that learned two plain pictures draws the one that it is led to, from any noise."""
    torch.manual_seed(0)
    spaces = (Space("shared", 8), Space("ears", 16), Space("pictures/32", 12))
    bridge = Picturing(PicturingConfig(*spaces, notion=NOTION, grid=4, width=32, layers=1, heads=2, dropout=0.0))
    pair = torch.stack([torch.full((4, 4, 12), -1.0), torch.full((4, 4, 12), 1.0)])
    bridge.fit_scale(pair)
    ears, silence = torch.randn(2, 3, 16), torch.full((1, BANDS, 16), -14.0)
    optimiser, g = torch.optim.Adam(bridge.parameters(), 3e-3), torch.Generator().manual_seed(0)
    for _ in range(300):
        which = torch.randint(2, (16,), generator=g)
        notions = bridge.listen(torch.zeros(16, 3, 8), ears[which], torch.full((16,), 3), silence.expand(16, -1, -1))
        terms = bridge.loss(notions, pair[which], g) | bridge.sketch_loss(notions, pair[which], torch.ones(12), g)
        loss = torch.stack(list(terms.values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    bridge.eval()
    with torch.no_grad():
        notions = bridge.listen(torch.zeros(2, 3, 8), ears, torch.full((2,), 3), silence.expand(2, -1, -1))
    for seed in range(3):
        made = bridge.draw(notions, [seed, seed], guidance=1.0)
        assert float((made[0] < 0).float().mean()) > 0.8
        assert float((made[1] > 0).float().mean()) > 0.8


def test_a_sketch_is_what_pictures_are_on_average_and_the_flow_sees_it(bridge: Picturing) -> None:
    """One notion goes with either of two pictures, another with a third one."""
    g = torch.Generator().manual_seed(0)
    pictures, notions = torch.randn(3, 4, 4, 12, generator=g), leads(2)[[0, 0, 1]]
    bridge.fit_scale(pictures)
    optimiser = torch.optim.Adam(bridge.sketch.parameters(), 3e-3)
    for _ in range(300):
        loss = bridge.sketch_loss(notions, pictures, torch.ones(12), g)["sketch"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        drawn = bridge.scale.invert(bridge.sketch(leads(2)))
    torch.testing.assert_close(drawn[0], pictures[:2].mean(0), atol=0.2, rtol=0)
    torch.testing.assert_close(drawn[1], pictures[2], atol=0.2, rtol=0)
    before = bridge.draw(leads(2), [0, 1])
    with torch.no_grad():
        bridge.sketch.leave.bias += 1.0
    assert not torch.allclose(bridge.draw(leads(2), [0, 1]), before)
    with torch.no_grad():
        bridge.doubt.weight.zero_()
        bridge.doubt.bias.fill_(80.0)  # sure of nothing: it begins with noise alone
    assert torch.equal(bridge.draw(leads(2), [0, 1], guidance=0.0), bridge.draw(-leads(2), [0, 1], guidance=0.0))
    optimiser.zero_grad()
    bridge.loss(notions, pictures, g)["latents"].backward()
    assert all(weight.grad is None for weight in bridge.sketch.parameters())


def test_the_flow_begins_late_where_sketches_are_right(bridge: Picturing) -> None:
    g = torch.Generator().manual_seed(0)
    notions = torch.randn(400, NOTION, generator=g)
    with torch.no_grad():
        sketches = bridge.scale.invert(bridge.sketch(notions))
    size = torch.where(notions[:, 0] > 0, 3.0, 0.1)  # of the sketch's errors, told by the first number
    bridge.fit_doubt(notions, sketches + size[:, None, None, None] * torch.randn(sketches.shape, generator=g))
    with torch.no_grad():
        begins = bridge.begins(notions)
    assert float(begins[notions[:, 0] > 1].mean()) < 0.35
    assert float(begins[notions[:, 0] < -1].mean()) > 0.75
    with torch.no_grad():
        bridge.doubt.weight.zero_()
        bridge.doubt.bias.fill_(-40.0)  # sure of it: hardly anything is changed
        apart = (bridge.draw(notions[:2], [0, 1]) - sketches[:2]).square().mean()
        bridge.doubt.bias.fill_(80.0)
        assert apart < 0.3 * (bridge.draw(notions[:2], [0, 1]) - sketches[:2]).square().mean()


# --- seeing ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that has learned nothing."""
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("see")
    locator = Locator(EYES).eval()
    locator.save(out / "locator")
    model = Seeing.new(Locator.load(out / "locator"), str(out / "locator"), NOTION, SMALL, width=16, layers=1, heads=2)
    model.codec.fit(pictures(40))
    model.picturing.fit_scale(model.codec.encode(pictures(40)))
    for weight in model.picturing.flow.leave.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return model.save(out / "model")


@pytest.fixture(scope="module")
def model(folder: Path) -> Seeing:
    return Seeing.load(folder)


def test_the_part_that_says_most_is_found(model: Seeing) -> None:
    long = np.zeros((1, 30 * RATE), np.float32)
    long[:, 17 * RATE : 19 * RATE] = 0.3 * tone(2.0).samples
    attended = model.attend(Sound(long, RATE))
    assert attended.seconds == 4.0
    assert attended.start <= 17.1
    assert attended.start + attended.seconds >= 18.9
    assert model.attend(tone(1.5)).seconds == 1.5


@given(gain=st.floats(0.01, 5.0))
@settings(max_examples=8, deadline=None)
def test_loudness_is_not_seen(gain: float) -> None:
    torch.manual_seed(0)
    locator = Locator(EYES).eval()
    one = Seeing.new(locator, "none", NOTION, SMALL, width=16, layers=1, heads=2).eval()
    sound = tone(0.5)
    louder = Sound(sound.samples * np.float32(gain), RATE)
    torch.testing.assert_close(one.attend(louder).tokens, one.attend(sound).tokens, atol=1e-3, rtol=1e-3)


def test_silence_cannot_be_seen(model: Seeing) -> None:
    with pytest.raises(InputError, match="silent"):
        model.attend(Sound(np.zeros((1, RATE), np.float32), RATE))
    opposite = np.concatenate([tone().samples, -tone().samples])
    with pytest.raises(InputError, match="silent"):
        model.attend(Sound(opposite, RATE))


@pytest.mark.parametrize("rate", [8000, 48_000])
def test_other_rates_clipping_and_noise_are_tolerated(model: Seeing, rate: int) -> None:
    rng = np.random.default_rng(0)
    rough = np.clip(9 * tone(1.0, rate=rate).samples + 0.1 * rng.standard_normal((1, rate)), -1, 1)
    (picture,) = model.pictures(model.attend(Sound(rough.astype(np.float32), rate)), [0])
    assert picture.pixels.shape == (32, 32, 3)


def test_only_what_is_marked_is_drawn(model: Seeing, photo: Image) -> None:
    mask = np.zeros((photo.height, photo.width), np.float32)
    mask[:, : photo.width // 2] = 1.0
    first, second = model.fill(model.attend(tone()), photo, Region(mask), [0, 1])
    for made in (first, second):
        assert (np.asarray(made.pixels)[:, photo.width // 2 :] == np.asarray(photo.pixels)[:, photo.width // 2 :]).all()
    assert (np.asarray(first.pixels) != np.asarray(second.pixels)).any()
    hidden = np.asarray(photo.pixels).copy()
    hidden[:, : photo.width // 2] = 7  # what the mask covers is not looked at
    (again,) = model.fill(model.attend(tone()), Image(hidden), Region(mask), [0])
    assert (np.asarray(again.pixels)[:, : photo.width // 2] == np.asarray(first.pixels)[:, : photo.width // 2]).all()


def test_a_checkpoint_is_what_was_saved(model: Seeing, folder: Path, tmp_path: Path) -> None:
    again = Seeing.load(model.save(tmp_path / "again"))
    a, b = (m.pictures(m.attend(tone()), [0, 1]) for m in (model, again))
    assert all((np.asarray(x.pixels) == np.asarray(y.pixels)).all() for x, y in zip(a, b, strict=True))
    config = json.loads((folder / "config.json").read_text())
    config["model"]["picturing"]["layers"] = 3
    broken = model.save(tmp_path / "broken")
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError):
        Seeing.load(broken)


# --- verb and command ------------------------------------------------------------------------------------------------


def test_the_verb_gives_pictures_and_says_what_was_heard(folder: Path, photo: Image) -> None:
    system = verbs.load(see=folder)
    glimpse = system.see(tone(9.0), variations=5, seed=3)
    assert len(glimpse.pictures) == 5
    assert glimpse.of == 9.0
    assert 0 <= glimpse.start <= 5.0
    assert glimpse.grid.width > glimpse.pictures[0].width
    assert (np.asarray(system.see(tone(9.0), seed=5).grid.pixels) == np.asarray(glimpse.pictures[2].pixels)).all()
    mask = np.zeros((photo.height, photo.width), np.float32)
    mask[photo.height // 2 :] = 1.0
    filled = system.see(tone(), photo=photo, mask=mask)
    assert filled.grid.pixels.shape == photo.pixels.shape
    with pytest.raises(InputError, match="mask that is white"):
        system.see(tone(), photo=photo)
    with pytest.raises(InputError, match="variations"):
        system.see(tone(), variations=0)


def test_the_command_writes_a_picture(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    media.write_sound(tmp_path / "a.wav", tone(6.0))
    out = tmp_path / "a.png"
    assert cli.main(["see", str(tmp_path / "a.wav"), "--model", str(folder), "-o", str(out), "--variations", "2"]) == 0
    assert "2 pictures from the part that says most" in capsys.readouterr().out
    assert media.read_image(out).height == 32
    (tmp_path / "bad.wav").write_bytes(b"not a sound")
    assert cli.main(["see", str(tmp_path / "bad.wav"), "--model", str(folder), "-o", str(tmp_path / "b.png")]) == 2
    assert not (tmp_path / "b.png").exists()


# --- worlds and training ---------------------------------------------------------------------------------------------


def test_a_close_view_is_a_square_around_what_is_marked() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[40:60, 10:50] = 255
    assert close(mask) == pytest.approx((0.05, 0.25, 0.5))
    corner = np.zeros((100, 100), np.uint8)
    corner[:4, 96:] = 255
    assert close(corner) == pytest.approx((0.75, 0.0, 0.25))
    assert close(np.zeros((5, 5), np.uint8)) == ()
    assert close(np.full((5, 5), 255, np.uint8)) == pytest.approx((0.0, 0.0, 1.0))


def test_a_world_shows_the_whole_and_every_source() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[16:32, 16:32] = 200
    mask = np.zeros((1, 64, 64), np.uint8)
    mask[0, 16:32, 16:32] = 255
    stem, bed = tone(0.5), tone(1.0, 100)
    source = {"kind": "fire", "parameters": {"size_m": 2.5}}
    example = Example("a", Image(pixels), (stem, bed), {"sources": [source], "density": 700}, {"masks": mask})
    whole, near = sights(example)
    assert whole.image.pixels.shape == (64, 64, 3)
    assert near.image.pixels.shape == (20, 20, 3)
    assert (np.asarray(near.image.pixels)[2:18, 2:18] == 200).all()
    assert near.sound is stem
    np.testing.assert_allclose(whole.sound.mono[: RATE // 2], stem.mono + bed.mono[: RATE // 2], atol=1e-6)
    assert (whole.numbers, near.numbers) == ({"density": 700.0}, {"fire.size_m": 2.5})


def test_numbers_are_told_in_spreads_those_over_decades_by_their_logarithm() -> None:
    told = in_spreads([{"b": 1.0, "a": 5.0}, {"b": 100.0}, {"b": 10.0, "a": 7.0}])
    torch.testing.assert_close(told[:, 0], torch.tensor([-1.0, torch.nan, 1.0]), equal_nan=True)
    torch.testing.assert_close(told[:, 1], torch.tensor([-(1.5**0.5), 1.5**0.5, 0.0]))
    assert in_spreads([{}, {}]).shape == (2, 0)
    assert not in_spreads([{"c": 2.0}, {"c": 2.0}]).any()


def test_sounds_are_worn_in_half_of_the_cases() -> None:
    g = torch.Generator().manual_seed(0)
    waves = torch.randn(400, 2000, generator=g) * 0.1
    changed = (worn(waves, g) - waves).abs().amax(1) > 1e-4
    assert 0.4 < float(changed.float().mean()) < 0.6


def test_views_keep_colours() -> None:
    pixels = torch.full((3, 40, 40, 3), 77, dtype=torch.uint8)
    seen = views(pixels, torch.Generator().manual_seed(0), 24)
    torch.testing.assert_close(seen, torch.full((3, 3, 24, 24), 77 / 255), atol=1e-4, rtol=0)


def test_what_is_posed_is_shown_as_it_is() -> None:
    pixels = torch.randint(256, (2, 24, 24, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels[1] = pixels[0]
    seen = views(pixels, torch.Generator().manual_seed(0), 24, torch.tensor([True, False]))
    as_it_is = pixels[0].permute(2, 0, 1) / 255
    torch.testing.assert_close(seen[0], as_it_is, atol=1e-4, rtol=0)
    assert (seen[1] - as_it_is).abs().mean() > 0.05


def test_a_portrait_is_of_what_sounds_and_of_nothing_else() -> None:
    picture = np.random.default_rng(0).integers(0, 200, (40, 60, 3)).astype(np.uint8)
    where = np.zeros((40, 60), bool)
    where[10:20, 30:50] = True
    shown = cut_out(Image(picture), where)
    assert shown is not None
    assert shown.pixels.shape == (25, 25, 3)  # a quarter larger than the longer side
    inside = (shown.pixels != NOTHING).any(-1)
    assert inside.sum() == 200
    np.testing.assert_array_equal(shown.pixels[inside], picture[where])
    assert cut_out(Image(picture), np.zeros((40, 60), bool)) is None


def test_birds_that_look_alike_have_one_portrait(tmp_path: Path) -> None:
    (shard,) = birds.generate(1, 0, tmp_path, workers=1, side=64, seconds=1.0, progress=False)
    (only,) = examples(shard)
    told = only.truth["sources"]
    assert isinstance(told, list)
    assert [sight.portrait is None for sight in sights(only)] == [True] + [False] * len(told)
    assert len(portrayed(sights(only))) == len(told)
    look = told[0]["parameters"]
    again = birds.portrait(look, 48)
    np.testing.assert_array_equal(birds.portrait(look, 48).pixels, again.pixels)
    other = birds.portrait(look | {"cap_l": 1 - look["cap_l"]}, 48)
    changed = np.abs(np.asarray(again.pixels, int) - other.pixels).max(-1) > 8
    assert 0 < changed.mean() < 0.2  # its cap and nothing else


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_shards(tmp_path_factory.mktemp("mine"), tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    generate(3, 3, out, "train", workers=1, side=64, seconds=1.0, progress=False)
    return out


def test_a_run_leaves_a_model_and_again_the_same(shards: Path, world: Path, folder: Path, tmp_path: Path) -> None:
    locator = folder.parent / "locator"
    one, two = (train(shards, locator, tmp_path / name, RUN, worlds=[world]) for name in "ab")
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()
    model = Seeing.load(one)
    assert model.pictures(model.attend(tone()), [0])[0].pixels.shape == (32, 32, 3)
    moments = read_moments(world, Locator.load(locator), RUN, tmp_path / "a" / "moments-0.safetensors")
    sources = sum(len(e.truth["sources"]) for path in world.glob("*.tar") for e in examples(path))
    assert 3 <= len(moments) <= 3 + sources


def test_a_folder_without_sounds_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures with sounds"):
        read_moments(tmp_path / "empty", Locator.load(folder.parent / "locator"), RUN, tmp_path / "kept.safetensors")


# --- protocols -------------------------------------------------------------------------------------------------------


def test_a_reader_reads_what_is_there_and_finds_the_right_one() -> None:
    rng = np.random.default_rng(0)
    traits = rng.normal(size=(80, 5))
    x = traits @ rng.normal(size=(5, 30)) + 0.01 * rng.normal(size=(80, 30))
    reader = protocols.Reader.teach(x, traits)
    np.testing.assert_allclose(reader.read(x), reader.true(traits), atol=0.2)
    one = Image(np.zeros((8, 8, 3), np.uint8))
    asked = [protocols.Asked(tone(0.1), one, "bird", str(n), traits[n]) for n in range(80)]
    assert protocols.identity(reader, x, asked, 10, 0).value > 0.95
    assert 0.02 < protocols.identity(reader, x[::-1], asked, 10, 0).value < 0.25


def test_what_hardly_varies_does_not_decide_a_name() -> None:
    rng = np.random.default_rng(0)
    names = ["a", "b"] * 20
    x = np.where(np.arange(40) % 2, 1.0, -1.0)[:, None] + 0.3 * rng.normal(size=(40, 6))
    x = np.concatenate([x, np.full((40, 1), 0.2)], 1)
    odd = x[:10].copy()
    odd[:, -1] += 0.5
    assert protocols.Namer(x[10:], names[10:]).predict(odd) == names[:10]


def test_what_was_copied_counts_as_memorised() -> None:
    rng = np.random.default_rng(0)
    many = [Image(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)) for _ in range(60)]
    learned, real, new = many[:20], many[20:40], many[40:]
    assert protocols.memorised(learned[:10], real, learned)["share"]["value"] == 1.0
    assert protocols.memorised(new, real, learned)["share"]["value"] < 0.3


def test_all_protocols_run_and_print(shards: Path, folder: Path) -> None:
    result, shown = protocols.evaluate(Seeing.load(folder), shards)
    assert result["kinds"]["by_ears_alone"]["value"] > 0.6  # a hum, a hiss, wind: chance is a third
    assert set(result["kinds"]["by_eye"]) == {"model", "shuffled", "mean", "neighbour", "cascade", "codec", "real"}
    assert result["distance"]["codec"] < result["distance"]["model"]  # it has learned nothing
    assert len(shown["kinds"]["model"]) == result["kinds"]["by_eye"]["model"]["n"]
    told = protocols.table(result)
    assert "floor 50, aim 90" in told
    assert result["seconds"] > 0
    assert set(COLOURS) > {"hum", "hiss"}
    assert toy_sound(np.random.default_rng(0), "hum").seconds == 2.0


def test_pictures_are_squared(tmp_path: Path) -> None:
    Pil.fromarray(np.full((20, 60, 3), 9, np.uint8)).save(tmp_path / "wide.png")
    made = protocols.squared(media.read_image(tmp_path / "wide.png"), 16)
    assert (np.asarray(made.pixels) == 9).all()
