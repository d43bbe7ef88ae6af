"""Looking closer and singing: what must hold whatever the weights are, and that both learn."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import toy_shards

from synesthesia import cli, shards
from synesthesia.bridges.grounding import GroundingConfig, Locator, LocatorConfig
from synesthesia.bridges.hearing import Hearing, HearingConfig, Woven
from synesthesia.bridges.mapper import MapperConfig
from synesthesia.bridges.singing import (
    NOTE,
    NOTION,
    REHEARSED,
    Cut,
    Singing,
    SingingConfig,
    closer,
    notion_of,
)
from synesthesia.codecs import notes, textures
from synesthesia.codecs.bands import Bands
from synesthesia.encoders.vision import EyesConfig
from synesthesia.evaluate import song as room
from synesthesia.senses import Image, InputError, Point, Region, Sound
from synesthesia.train import sing as school
from synesthesia.train import sing_data
from synesthesia.train.loop import LoopConfig, fit
from synesthesia.worlds import birds

EYES = EyesConfig(64, (8, 8, 16, 16), (1, 1, 1, 1))
SMALL = SingingConfig(EYES, 32, (8, 8), 16, 16, 24, 2, dropout=0.0, emphasis=1.0, contrast=1.0, clear=0.0, noisy=1.0)
SECONDS = 1.6


def song(pitch: float, n: int = 12) -> np.ndarray:
    """Notes of 80 ms, four a second, at one pitch."""
    rows = np.zeros((n, NOTE), np.float32)
    told = {"begins": -2.0, "lasts": -3.6, "pitch": pitch, "trill": 4.7, "rich": -30.0, "under": -40.0, "breath": -40.0}
    for name, value in told.items():
        rows[:, notes.NAMES.index(name)] = value
    return rows


@pytest.fixture(scope="module")
def photo() -> Image:
    return Image(np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models, written to disk: one sings wherever one clicks, one rushes, one does neither, and one cannot."""
    folder = tmp_path_factory.mktemp("sing")
    torch.manual_seed(0)
    Locator(LocatorConfig(EYES, grounding=GroundingConfig(16, 2, 16, 1))).save(folder / "locate")
    locator = Locator.load(folder / "locate")
    mapper = MapperConfig(locator.eyes.dense, Bands.space, width=32, layers=2, heads=2)
    hiss = np.random.default_rng(0).standard_normal((1, 64_000)).astype(np.float32)
    rushing = textures.listen(Bands().encode(Sound(0.05 * hiss, 32_000)).values).texture
    for name, clear, noisy in (("sings", 0.0, 1.0), ("rushes", 1.0, 0.0), ("silent", 1.0, 1.0)):
        config = dataclasses.replace(SMALL, clear=clear, noisy=noisy)
        model = Hearing(HearingConfig(str(folder / "locate"), mapper, config, steps=2, sure=1e-6), locator)
        assert model.singing is not None
        rows = torch.from_numpy(song(11.0))
        model.singing.middle.copy_(rows.mean(0))
        model.singing.spread.fill_(0.3)
        model.singing.plain.copy_(torch.from_numpy(rushing))
        model.singing.various.fill_(0.02)
        with torch.no_grad():
            model.mapper.scale.mean[:64] = -50.0
            model.mapper.scale.std[:64] = 6.0
        model.save(folder / name)
    model.singing, model.config = None, dataclasses.replace(model.config, singing=None)
    model.save(folder / "hears")
    return folder


@pytest.fixture(scope="module")
def hearing(folder: Path) -> Hearing:
    return Hearing.load(folder / "sings")


# --- the bridge ---


def test_a_notion_says_how_notes_are_and_how_they_change() -> None:
    same = notion_of(song(11.0)).reshape(7, NOTE)
    assert np.allclose(same[:6], song(11.0)[0])
    assert not same[6].any()
    rising = song(11.0, 11)
    rising[:, notes.NAMES.index("pitch")] += 0.1 * np.arange(11)
    told = notion_of(rising).reshape(7, NOTE)[:, notes.NAMES.index("pitch")]
    assert np.allclose(told, [11.0, 11.1, 11.5, 11.9, 12.0, 11.5, 0.1], atol=1e-4)
    late = song(11.0)
    late[0, 0] = 3.0  # when a song begins says nothing about it
    assert np.array_equal(notion_of(late), notion_of(song(11.0)))
    with pytest.raises(InputError, match="3 notes at least"):
        notion_of(song(11.0, 2))


@pytest.mark.parametrize(
    "box", [(0.4, 0.3, 0.5, 0.6), (0.0, 0.0, 0.1, 0.1), (0.9, 0.5, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)]
)
def test_what_is_asked_about_is_cut_out_whole(box: tuple[float, float, float, float]) -> None:
    pixels = np.zeros((120, 200, 3), np.uint8)
    x0, y0, x1, y1 = (round(v * side) for v, side in zip(box, (200, 120, 200, 120), strict=True))
    pixels[y0:y1, x0:x1] = 255
    cut, mask, place, whole = closer(Image(pixels), Region.box(*box), 96)
    assert cut.shape == (3, 96, 96)
    assert mask.shape == (24, 24)
    assert float(mask.max()) == pytest.approx(1, abs=0.02)
    white = (cut.mean(0) > 0.5).float()
    fine = torch.nn.functional.interpolate(mask[None, None], (96, 96), mode="bilinear")[0, 0]
    assert float((white - fine).abs().mean()) < 0.06  # the mask lies on what is white
    across, down = (x1 - x0) / 200, (y1 - y0) / 120
    told = [1, math.log2(across) + 2, math.log2(down) + 2, 2 * y0 / 120 - 1, 2 * y1 / 120 - 1]
    assert place.tolist() == pytest.approx(told, abs=0.2)
    side = max(x1 - x0, y1 - y0)
    if side * 1.25 < 120:  # all of it, with a margin
        assert float(white.mean()) == pytest.approx((x1 - x0) * (y1 - y0) / (1.25 * side) ** 2, rel=0.15)
    assert whole.shape == (4, 64, 64)
    assert float((whole[:3].mean(0) - whole[3]).abs().mean()) < 0.02  # and in the whole picture, too
    assert float(whole[3].mean()) == pytest.approx(across * down, abs=0.02)


def test_a_mirror_image_is_told_the_same() -> None:
    torch.manual_seed(1)
    model = Singing(SMALL).eval()
    rng = np.random.default_rng(2)
    pixels, mask = rng.integers(0, 255, (64, 64, 3), np.uint8), np.zeros((64, 64), np.float32)
    mask[8:40, 12:50] = 1
    with torch.inference_mode():
        around = torch.randn(64)
        here = model.look([closer(Image(pixels), Region(mask), 64)], around)
        there = model.look([closer(Image(pixels[:, ::-1].copy()), Region(mask[:, ::-1].copy()), 64)], around)
    for a, b in zip(here, there, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_a_glance_at_the_whole_tells_what_a_cut_cannot(tmp_path: Path) -> None:
    """The same thing at the same place in the picture, under horizons that only the whole picture shows."""
    torch.manual_seed(0)
    model = Singing(SMALL)
    sky, thing = np.array([200, 220, 255], np.uint8), Region.box(0.4, 0.7, 0.5, 0.8)

    def cut(horizon: float) -> Cut:
        pixels = np.full((96, 96, 3), 90, np.uint8)
        pixels[: round(96 * horizon)] = sky
        return closer(Image(pixels), thing, 64)

    horizons = np.linspace(0.1, 0.6, 26)
    cuts = Cut(*(torch.stack(parts) for parts in zip(*map(cut, horizons), strict=True)))
    assert torch.equal(cuts.pixels[0], cuts.pixels[-1])
    assert torch.equal(cuts.place[0], cuts.place[-1])
    how_low = torch.from_numpy(0.8 - horizons).float()
    true = (how_low - how_low.mean()) / how_low.std()
    known = torch.arange(26) % 2 == 0
    tell = torch.nn.Linear(32, 1)
    seen = [model.overview, model.where, model.both]

    def told(some: Cut) -> torch.Tensor:
        return tell(model.seen(*some))[:, 0]

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        return {"off": (told(Cut(*(part[known] for part in cuts))) - true[known]).square().mean()}

    fit(torch.nn.ModuleList([*seen, tell]), loss, LoopConfig(120, 3e-3), tmp_path)
    model.eval()
    with torch.inference_mode():
        assert (told(cuts) - true)[~known].square().mean() < 0.1
        # Where it is not known where a thing is, the whole says nothing either.
        nowhere = told(cuts._replace(place=torch.zeros_like(cuts.place)))
        assert float(nowhere.std()) < 1e-4


def test_a_glance_finds_the_horizon(tmp_path: Path) -> None:
    """Asked for it alone, in any light; and whoever has never met one is not asked."""
    torch.manual_seed(0)
    model, n = Singing(SMALL), 48
    horizon = torch.linspace(0.1, 0.6, n)
    rows = (torch.arange(64) + 0.5) / 64
    whole = torch.full((n, 64, 64, 4), 70, dtype=torch.uint8)
    whole[..., :3][rows < horizon[:, None]] = 210
    whole[..., 3] = 0
    whole[:, 40:50, 20:30, 3] = 255
    place = torch.tensor([1.0, -1.0, -1.0, 0.2, 0.56]).expand(n, 5).contiguous()
    none, nothing = torch.zeros(n), torch.zeros(n, 1)
    silence = torch.zeros(n, sing_data.MOST, NOTE), none.long(), none, torch.zeros(n, textures.WIDTH), none
    songs = sing_data.Songs(*silence)
    cuts = Cut(whole[:, :1, :1, :3], whole[..., 3], place, whole)
    world = sing_data.Singers(cuts, nothing, horizon, torch.arange(n), songs, nothing, nothing)
    before = model.overview.rows.weight.clone()
    blind = dataclasses.replace(world, horizon=torch.full((n,), torch.nan))
    school.teach_to_glance(model, blind, tmp_path / "blind", RUN)
    assert torch.equal(model.overview.rows.weight, before)
    school.teach_to_glance(model, world, tmp_path, dataclasses.replace(RUN, glance_steps=150, glances=24))
    with torch.inference_mode():
        seen = model.overview(sing_data.glanced(whole, torch.Generator().manual_seed(1))).double()
    x = torch.cat([seen, torch.ones(n, 1)], 1)
    known = torch.arange(n) % 2 == 0
    told = x @ torch.linalg.lstsq(x[known], horizon[known].double()).solution
    assert float((told - horizon)[~known].abs().mean()) < 0.04


def test_the_singer_learns_who_sings_how(tmp_path: Path) -> None:
    """Two birds, one high and one low: told which, it sings at that pitch and in that time, and goes on so."""
    torch.manual_seed(0)
    model = Singing(dataclasses.replace(SMALL, width=32, memory=32))
    songs = torch.from_numpy(np.stack([song(10.0), song(12.0)]))
    model.middle.copy_(songs.flatten(0, 1).mean(0))
    model.spread.copy_(songs.flatten(0, 1).std(0).clamp_min(0.05))
    told = torch.zeros(2, NOTION)
    pitches = torch.arange(6) * NOTE + notes.NAMES.index("pitch")  # their quantiles and their mean
    model.usual[pitches] = 11.0
    told[0, pitches], told[1, pitches] = -1.0, 1.0

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        x = model.standard(songs)
        return {"nats": model.loss(x + 0.02 * torch.randn(x.shape, generator=g), torch.tensor([12, 12]), told)}

    before = loss(0, torch.Generator().manual_seed(0))["nats"].item()
    fit(model, loss, LoopConfig(300, 1e-2, warmup=10, ema=0.9), tmp_path)
    model.eval()
    assert loss(0, torch.Generator().manual_seed(0))["nats"].item() < before - 1
    for row, pitch in ((0, 10.0), (1, 12.0)):
        sung = np.stack(list(islice(model.sing(told[row], 4), 20)))
        assert np.abs(sung[:, notes.NAMES.index("pitch")] - pitch).max() < 0.15
        assert np.abs(sung[1:, 0] + 2).max() < 0.2
        again = np.stack(list(islice(model.sing(told[row], 4), 20)))
        assert np.array_equal(sung, again)
        assert not np.array_equal(sung, np.stack(list(islice(model.sing(told[row], 5), 20))))
    given = np.stack(list(islice(model.sing(told[1], 1, song(12.0, 3)), 4)))
    assert np.abs(given[:, notes.NAMES.index("pitch")] - 12).max() < 0.15


def test_pitches_lie_where_the_notion_has_them() -> None:
    """Whoever sings too narrowly or too widely, and elsewhere: after rehearsing, as high and as wide as was asked."""
    torch.manual_seed(3)
    model = Singing(SMALL).eval()
    model.usual.copy_(torch.randn(NOTION) * 0.1)
    pitch = notes.NAMES.index("pitch")
    for width in (0.6, 1.5):
        asked = torch.zeros(7, NOTE)
        asked[:5, pitch] = torch.tensor([10.3, 10.5, 11.0, 11.5, 11.7])
        model.spread[pitch], model.middle[pitch] = width, 9.0
        notion = (asked.flatten() - model.usual) / model.varied
        heard = np.stack([*islice(model.sing(notion, 1), 200)])[:, pitch]
        low, middle, high = np.quantile(heard[:REHEARSED], (0.1, 0.5, 0.9))
        plain = np.stack([*islice(model._sung(notion, 1), 200)])[:, pitch]
        assert abs(np.median(heard) - 11.0) < 0.35 < abs(np.median(plain) - 11.0)
        assert middle == pytest.approx(11.0, abs=0.01)
        assert high - low == pytest.approx(1.0, abs=0.05), "an octave between the tenth and the ninetieth of a hundred"


def test_a_configuration_comes_back_and_nonsense_is_refused() -> None:
    told = json.loads(json.dumps(dataclasses.asdict(SMALL)))
    assert SingingConfig.from_dict(told) == SMALL
    for bad in ({}, {"eyes": 3}, told | {"voice": 1}, told | {"calm": 9.0}, told | {"memory": 0}):
        with pytest.raises(InputError):
            SingingConfig.from_dict(bad)


# --- hear ---


def test_a_click_on_what_sings_is_notes(hearing: Hearing, photo: Image) -> None:
    (view,) = hearing.see([photo])
    plan = hearing.plan(view, Point(0.3, 0.4), 3)
    assert plan.foci[0].notion is not None
    mask = plan.foci[0].region.mask
    rows, columns = mask.shape
    assert mask[int(0.4 * rows), int(0.3 * columns)] == mask.max()  # the point itself belongs to what sings
    mix = hearing.scene(view, plan, SECONDS).mix
    player = hearing._player(plan.foci[0].notion, 3)
    assert np.allclose(mix.mono, player.take(round(SECONDS * mix.rate)), atol=1e-6)
    assert mix.mono.std() > 1e-3
    other = hearing.scene(view, hearing.plan(view, Point(0.3, 0.4), 4), SECONDS).mix
    assert not np.array_equal(mix.mono, other.mono)


def test_what_sings_is_outlined_once_and_the_rest_stays_a_piece(
    hearing: Hearing, photo: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    (view,) = hearing.see([photo])
    monkeypatch.setattr(hearing, "config", dataclasses.replace(hearing.config, sure=0.0))
    pieces = [(Region.box(0.0, 0.0, 0.5, 0.5), 0.9), (Region.box(0.5, 0.0, 1.0, 0.5), 0.9)]
    monkeypatch.setattr(hearing.locator, "regions", lambda seen: pieces)
    thing, clicked = Region.box(0.1, 0.1, 0.9, 0.4), []

    def around(dense: torch.Tensor, fine: tuple[torch.Tensor, ...], point: Point, image: Image) -> Region:
        clicked.append(point)
        return thing

    monkeypatch.setattr(hearing.singing, "around", around)
    (one,) = hearing.plan(view, None, 3).foci  # what lies under both pieces is one thing
    assert one.region is thing
    assert one.notion is not None
    assert [round(p.x) for p in clicked] == [0, 1]
    assert all(0.1 < p.y < 0.4 for p in clicked)
    assert hearing.singing is not None
    deaf = dataclasses.replace(hearing.singing.config, clear=1.0, noisy=1.0)
    monkeypatch.setattr(hearing.singing, "config", deaf)
    plain = hearing.plan(view, None, 3).foci
    assert [f.region for f in plain] == [piece for piece, _ in pieces]


def test_textures_are_told_with_contrast_and_levels_as_they_are() -> None:
    torch.manual_seed(2)
    model, told = Singing(dataclasses.replace(SMALL, contrast=2.0)), torch.randn(textures.WIDTH)
    model.plain.copy_(torch.randn(textures.WIDTH))
    model.various.copy_(torch.rand(textures.WIDTH) + 0.5)
    away = (torch.from_numpy(model.texture(told)).float() - model.plain) / model.various / told
    assert away[textures.LEVEL] == pytest.approx(1, abs=1e-3)
    others = torch.arange(textures.WIDTH) != textures.LEVEL
    assert torch.allclose(away[others], torch.full((textures.WIDTH - 1,), 2.0), rtol=1e-2)


def test_a_click_on_what_rushes_is_a_texture(folder: Path, photo: Image) -> None:
    model = Hearing.load(folder / "rushes")
    (view,) = model.see([photo])
    plan = model.plan(view, Point(0.3, 0.4), 3)
    texture = plan.foci[0].texture
    assert texture is not None
    assert plan.foci[0].notion is None
    mix = model.scene(view, plan, SECONDS).mix
    assert np.array_equal(mix.mono, Woven(textures.Weaver(texture, 3), 3).take(round(SECONDS * mix.rate)))
    assert 10 * np.log10(np.mean(mix.mono**2)) == pytest.approx(10 * texture[textures.LEVEL], abs=2.5)
    joined = np.concatenate(list(islice(model.blocks(plan), 3)), 1)[0]
    n = min(len(joined), len(mix.mono))
    assert np.array_equal(joined[:n], mix.mono[:n])
    loop = model.loop(view, plan, 2.0).mix.mono
    steps = np.abs(np.diff(np.concatenate([loop, loop[:1]])))
    assert steps[-1] <= steps[:-1].max()
    given = Sound(0.5 * np.random.default_rng(1).standard_normal((1, 48_000)).astype(np.float32), 32_000)
    more = model.go_on(view, plan, given, 1.0).mix.mono[52_000:]
    assert more.std() == pytest.approx(0.5, rel=0.3)  # it goes on as loud as what was given, not as was told


def test_songs_stand_beside_what_the_mapper_makes(hearing: Hearing, photo: Image) -> None:
    (view,) = hearing.see([photo])
    focus = hearing.focus(view, Point(0.3, 0.4))
    plain = dataclasses.replace(focus, notion=None)
    plan = dataclasses.replace(
        hearing.plan(view, Point(0.3, 0.4), 3), foci=(plain, focus), bed=focus.tokens, levels=(0.4, 0.4, 0.2)
    )
    scene = hearing.scene(view, plan, SECONDS)
    rows = [stem.sound.mono for stem in scene.stems] + [scene.bed.mono]
    assert all(row.std() > 1e-4 for row in rows)
    assert np.allclose(scene.mix.mono, sum(rows), atol=1e-6)
    joined = np.concatenate(list(islice(hearing.blocks(plan), 12)), 1)
    n = min(joined.shape[1], len(rows[0]))
    assert np.array_equal(joined[:, :n], np.stack(rows)[:, :n])


def test_a_loop_of_a_song_has_no_seam(hearing: Hearing, photo: Image) -> None:
    (view,) = hearing.see([photo])
    loop = hearing.loop(view, hearing.plan(view, Point(0.3, 0.4), 3), 2.0).mix.mono
    steps = np.abs(np.diff(np.concatenate([loop, loop[:1]])))
    assert steps[-1] <= steps[:-1].max()


def test_a_song_goes_on_from_what_was_given(hearing: Hearing, photo: Image) -> None:
    (view,) = hearing.see([photo])
    plan = hearing.plan(view, Point(0.3, 0.4), 3)
    for given in (notes.play(song(11.5, 5), 1.5, 0), Sound(np.zeros((1, 32_000), np.float32), 32_000)):
        mix = hearing.go_on(view, plan, given, 1.0).mix
        assert mix.seconds == pytest.approx(given.seconds + 1.0, abs=0.01)
        kept = len(given.mono) - 2_000
        assert np.allclose(mix.mono[:kept], given.mono[:kept], atol=1e-4)
        assert mix.mono[len(given.mono) :].std() > 1e-4


def test_where_nothing_sings_all_is_as_before(folder: Path, photo: Image) -> None:
    silent = Hearing.load(folder / "silent")
    expect(silent, noise=-30.0)
    (view,) = silent.see([photo])
    assert silent.focus(view, Point(0.3, 0.4)).notion is None
    made = silent.sounds([photo], [Point(0.3, 0.4)], 0.5, [3])[0].mono
    silent.singing, silent.config = None, dataclasses.replace(silent.config, singing=None)
    assert np.array_equal(silent.sounds([photo], [Point(0.3, 0.4)], 0.5, [3])[0].mono, made)


def expect(model: Hearing, noise: float, level: float = 0.0) -> None:
    """Let it say of all places how much of their sound is noise (a logit), and how loud that is (tens of dB)."""
    assert model.singing is not None
    said = model.singing.sort[-1]
    assert isinstance(said, torch.nn.Linear)
    with torch.no_grad():
        said.weight.zero_()
        said.bias.copy_(torch.tensor([-30.0, noise]))
        model.singing.weave.weight.zero_()
        model.singing.weave.bias.zero_()
        model.singing.plain[textures.LEVEL] = level


@pytest.mark.parametrize(("level", "louder"), [(-2.8, -5.0), (-1.8, 5.0), (-6.0, -15.0)])
def test_what_the_mapper_makes_is_as_loud_as_noise_looks(
    folder: Path, photo: Image, level: float, louder: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """−28 dB, −18 dB, and −60 dB, which is taken for 15 dB less than it was made."""
    monkeypatch.setattr("synesthesia.bridges.hearing.limited", lambda samples: samples)
    model, at = Hearing.load(folder / "silent"), Point(0.3, 0.4)
    (view,) = model.see([photo])

    def made(noise: float) -> np.ndarray:
        expect(model, noise, level)
        focus = model.focus(view, at)
        assert focus.texture is None
        assert focus.louder_db == pytest.approx(louder if noise > 0 else 0.0, abs=0.01)
        return model.scene(view, model.plan(view, at, 3), 0.5).mix.mono

    quiet = made(-30.0)
    assert made(9.0) == pytest.approx(quiet * 10 ** (louder / 20), rel=1e-2, abs=1e-6)


# --- learning ---


@dataclasses.dataclass(frozen=True)
class Small(SingingConfig):
    """What a toy is taught as."""

    eyes: EyesConfig = dataclasses.field(default_factory=lambda: dataclasses.replace(EYES, size=48))
    width: int = 16
    memory: int = 24
    mixture: int = 2


RUN = school.SingRun(
    song_steps=3, expect_steps=2, glance_steps=2, look_steps=2, outline_steps=2, sort_steps=2, songs=4, glances=6
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("birds")
    birds.generate(6, 5, folder, split="test", workers=1, side=96, seconds=2.0, progress=False)
    return folder


@pytest.mark.parametrize("begins", ["hears", "silent"])
def test_a_hearing_model_is_taught_to_sing(
    begins: str,
    folder: Path,
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "files").mkdir()
    packed = toy_shards(tmp_path / "files", tmp_path / "packed")
    monkeypatch.setattr(school, "SingRun", lambda: RUN)
    monkeypatch.setattr(school, "SingingConfig", Small)
    out = tmp_path / "run"
    told = ["--worlds", str(world), "--hearing", str(folder / begins)]
    arguments = ["train", "sing", str(packed), "-o", str(out), *told]
    assert cli.main(arguments) == 0
    assert str(out / "final") in capsys.readouterr().out
    taught, before = Hearing.load(out / "final"), Hearing.load(folder / begins)
    assert taught.singing is not None
    assert float(taught.singing.spread.min()) > 0
    for name, kept in before.mapper.state_dict().items():
        assert torch.equal(taught.mapper.state_dict()[name], kept), name
    if before.singing is not None:  # who can sing goes on learning, in the units that it knows
        assert torch.equal(taught.singing.usual, before.singing.usual)
        assert not torch.equal(taught.singing.answer.weight, before.singing.answer.weight)
    first = (out / "final" / "model.safetensors").read_bytes()
    assert cli.main(arguments) == 0  # a finished run finds its end again
    assert (out / "final" / "model.safetensors").read_bytes() == first


def test_levels_are_as_a_recordist_has_them() -> None:
    told = torch.tensor([-1.0, -3.0, -9.0, -8.0])
    sing_data._as_recorded(told, ["sea", "sea", "fire", "fire"])
    assert told.tolist() == pytest.approx([-1.4, -3.4, -2.9, -1.9])


def test_what_is_not_known_of_a_texture_is_not_taught() -> None:
    """Recordings are paired with photos by kind, and brought to one loudness: their levels say nothing."""
    model = Singing(SMALL)
    told, meant = torch.randn(5, textures.WIDTH, requires_grad=True), torch.randn(5, textures.WIDTH)
    meant[:2, textures.LEVEL] = torch.nan
    meant[4] = torch.nan
    nothing = torch.zeros(5)
    off = school._off(told, school.Meant(nothing, nothing, meant, nothing, nothing, nothing), model)
    off.backward()
    assert told.grad is not None
    assert told.grad[:2, textures.LEVEL].tolist() == [0, 0]
    assert not told.grad[4].any()
    assert bool(told.grad[2:4].all())
    assert bool(told.grad[:2, : textures.LEVEL].all())


def test_levels_are_those_of_the_world_and_not_of_its_files(
    hearing: Hearing, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sounds are kept at one peak a picture; what is told of them is how loud they were."""
    monkeypatch.setattr(sing_data, "CLEAR", 2.0)  # nothing is a song, all have textures
    singers = sing_data.read_singers([world], hearing.locator.eyes, tmp_path / "kept.safetensors")
    true = [
        sound.samples * float(str(example.truth["scale"]))
        for example in shards.examples(world)
        for _, _, sound in sing_data._sources(example)
    ]
    level = np.log10([np.mean(np.square(wave)) for wave in true])
    told = singers.songs.texture[:, textures.LEVEL].numpy()
    assert np.ptp(level) > 0.3
    assert np.abs((told - told.mean()) - (level - level.mean())).max() < 0.1


def test_what_is_to_be_expected_is_nearer_to_the_truth_than_what_was_measured(tmp_path: Path) -> None:
    """Songs whose pitch is a number that the world tells, measured badly; and noises whose level is one."""
    torch.manual_seed(0)
    model, n = Singing(dataclasses.replace(SMALL, width=64)), 160
    rng = np.random.default_rng(3)
    number, pitch = rng.standard_normal(n).astype(np.float32), notes.NAMES.index("pitch")
    sung = np.stack([song(10.0 + x + rng.normal(0, 0.7)) for x in number])
    none = np.full(n, np.nan, np.float32)
    rows = torch.zeros(2 * n, sing_data.MOST, NOTE)
    rows[:n, :12] = torch.from_numpy(sung)
    level = torch.zeros(2 * n, textures.WIDTH)
    level[n:, textures.LEVEL] = torch.from_numpy(number + rng.normal(0, 0.7, n).astype(np.float32))
    sings = torch.arange(2 * n) < n
    songs = sing_data.Songs(rows, 12 * sings, sings.float(), level, (~sings).float())
    made_of = torch.from_numpy(np.stack([np.concatenate(p) for p in ((number, none), (none, number))], 1))
    bytes_, nothing = torch.zeros(2 * n, 1, 1, 3, dtype=torch.uint8), torch.zeros(2 * n, 1)
    cuts = Cut(bytes_, bytes_[..., 0], nothing, bytes_)
    world = sing_data.Singers(cuts, nothing, nothing[:, 0], torch.arange(2 * n), songs, made_of, made_of)
    school.measure(model, songs)
    taught = school.teach_to_expect(model, world, tmp_path, dataclasses.replace(RUN, expect_steps=600))
    assert torch.equal(taught.notion.isfinite().all(1), sings)
    assert torch.equal(taught.texture.isfinite().all(1), ~sings)
    for told, measured, true in (
        (taught.notion[:n, NOTE + pitch], songs.notions[:n, NOTE + pitch], torch.from_numpy(10 + number)),
        (taught.texture[n:, textures.LEVEL], songs.noisy[n:, textures.LEVEL], torch.from_numpy(number)),
    ):
        assert (told - true).square().mean() < 0.3 * (measured - true).square().mean()


def test_who_sings_learns_how_far_to_believe_what_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eyes tell every pitch half as far from the mean as it is: who was taught by them sings it as far as it is."""
    torch.manual_seed(0)
    model, n = Singing(dataclasses.replace(SMALL, width=32, memory=32)), 64
    pitch = np.random.default_rng(4).standard_normal(n)
    rows = torch.zeros(n, sing_data.MOST, NOTE)
    rows[:, :12] = torch.from_numpy(np.stack([song(11.0 + x) for x in pitch]))
    every = torch.ones(n)
    songs = sing_data.Songs(rows, torch.full((n,), 12), every, torch.zeros(n, textures.WIDTH), 0 * every)
    bytes_, nothing = torch.zeros(n, 1, 1, 3, dtype=torch.uint8), torch.zeros(n, 1)
    cuts = Cut(bytes_, bytes_[..., 0], nothing, bytes_)
    world = sing_data.Singers(cuts, nothing, nothing[:, 0], torch.arange(n), songs, nothing, nothing)
    school.measure(model, songs)
    told = 0.5 * (songs.notions - model.usual) / model.varied
    monkeypatch.setattr(school, "looked_closer", lambda *_: told)
    monkeypatch.setattr(school, "BELIEVED", 1.0)
    model.answer = torch.nn.Identity()
    school.teach_to_sing(model, world, tmp_path, dataclasses.replace(RUN, song_steps=300, songs=32))
    model.eval()
    sung = [
        np.median([note[notes.NAMES.index("pitch")] for note in islice(model._sung(told[row], 1), 12)])
        for row in range(12)
    ]
    assert np.polyfit(pitch[:12], sung, 1)[0] == pytest.approx(1, abs=0.2)


def test_some_places_of_a_world_keep_their_songs(hearing: Hearing, world: Path, tmp_path: Path) -> None:
    singers = sing_data.read_singers([world], hearing.locator.eyes, tmp_path / "kept.safetensors")
    few = singers.some(3)
    assert len(few.row) == len(few.around) == 3
    assert all(len(part) == 3 for part in few.cuts)
    assert few.songs is singers.songs
    for k, row in enumerate(few.row):
        assert torch.equal(few.cuts.pixels[k], singers.cuts.pixels[row])
    assert torch.equal(singers.some(10**6).row, singers.row)


def test_clicks_lead_to_places_and_to_the_ground(hearing: Hearing, world: Path, tmp_path: Path) -> None:
    singers = sing_data.read_singers([world], hearing.locator.eyes, tmp_path / "kept.safetensors")
    assert hearing.singing is not None
    eyes = hearing.locator.eyes
    both = sing_data.clicked(singers, [world], hearing.singing, eyes, tmp_path / "clicks.safetensors")
    first = len(singers.cuts.pixels)
    row = both.row[first:]
    assert row[row != sing_data.NONE].tolist() == list(range(first))  # each once, in their order
    assert len(both.around) == len(both.row) > first
    assert all(len(part) == len(both.row) for part in both.cuts)
    again = sing_data.clicked(singers, [], hearing.singing, eyes, tmp_path / "clicks.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(again.cuts, both.cuts, strict=True))


def test_views_and_songs_of_a_world(
    hearing: Hearing, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    singers = sing_data.read_singers([world], hearing.locator.eyes, tmp_path / "kept.safetensors")
    again = sing_data.read_singers([tmp_path / "not there"], hearing.locator.eyes, tmp_path / "kept.safetensors")
    assert torch.equal(singers.cuts.pixels, again.cuts.pixels)
    assert torch.equal(singers.songs.notes, again.songs.notes)
    assert float(singers.songs.clear.median()) > 0.9
    assert singers.numbers.shape[1] == 28 + 14 + 1  # and how far away
    assert singers.numbers.isfinite().all()
    some = sing_data.some_of(singers.cuts, torch.arange(4) % len(singers.row))
    assert some.place.shape == (4, 5)
    assert float(singers.songs.noise.median()) == 0
    x, masks, place, whole = sing_data.viewed(some, torch.Generator().manual_seed(0), 48)
    assert x.shape == (4, 3, 48, 48)
    assert masks.shape == (4, 12, 12)
    assert all(torch.equal(told, true) or not told.any() for told, true in zip(place, some.place, strict=True))
    assert whole.shape == (4, 4, 64, 64)
    kept = some.whole.permute(0, 3, 1, 2)[:, 3].float() / 255
    for told, true in zip(whole[:, 3], kept, strict=True):
        assert torch.equal(told, true) or torch.equal(told, true.flip(-1))
    assert float(x.min()) >= 0
    assert float(x.max()) <= 1
    assert float(masks.amax((1, 2)).min()) > 0.1
    monkeypatch.setattr(sing_data, "COARSE", 0.0)
    sharp = sing_data.viewed(some, torch.Generator().manual_seed(0), 48).pixels
    monkeypatch.setattr(sing_data, "COARSE", 1.0)
    coarse = sing_data.viewed(some, torch.Generator().manual_seed(0), 48).pixels
    assert float(coarse.diff(dim=-1).abs().mean()) < 0.9 * float(sharp.diff(dim=-1).abs().mean())
    assert float((coarse.mean((2, 3)) - sharp.mean((2, 3))).abs().max()) < 0.02  # of the same colour all in all
    with pytest.raises(InputError, match="no shards"):
        sing_data.read_singers([tmp_path], hearing.locator.eyes, tmp_path / "nothing.safetensors")


# --- measuring ---


class Oracle:
    """Gives each bird its own song, or that of the bird after it."""

    def __init__(self, asked: Sequence[room.Bird], off: int) -> None:
        self.sounds_of = [asked[(k + off) % len(asked)].sound for k in range(len(asked))]

    def sounds(self, images: object, regions: object, seconds: float, seeds: Sequence[int]) -> list[Sound]:
        return [self.sounds_of[seed] for seed in seeds]


def test_own_songs_are_found_and_others_are_not(world: Path) -> None:
    asked = room.read(world, "test", 100)
    for bird in asked:
        rows, columns = bird.region.mask.shape
        assert bird.region.mask[int(bird.middle.y * rows), int(bird.middle.x * columns)] > 0.5
    right = room.evaluate(Oracle(asked, 0), world, tell=lambda _: None)  # ty: ignore[invalid-argument-type]
    rows = right["rows"]
    assert rows["click"]["among_10"]["value"] == 1
    assert rows["click"]["correlation"]["value"] > 0.99
    assert rows["click"]["of_two"]["value"] == 1
    assert rows["again"]["among_10"]["value"] > 0.7
    assert rows["shuffled"]["among_10"]["value"] < 0.3
    wrong = room.evaluate(Oracle(asked, 1), world, tell=lambda _: None)["rows"]  # ty: ignore[invalid-argument-type]
    assert wrong["click"]["among_10"]["value"] < 0.3
    assert "| again |" in room.table(right)


def test_another_split_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="split train"):
        room.read(world, "train", 3)
    assert cli.main(["evaluate", "song", str(tmp_path), "-o", str(tmp_path / "song.json")]) == 2
