"""The training of hear and locate, end to end on a world of two kinds: red hums low, green hisses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import write, write_audioldm2
from safetensors.torch import load_file
from torch.nn import functional as F
from toys import RATE, toy_photo, toy_shards

from synesthesia import data
from synesthesia.bridges.grounding import Locator
from synesthesia.bridges.hearing import Hearing, HearingConfig
from synesthesia.bridges.mapper import MapperConfig
from synesthesia.bridges.singing import SingingConfig
from synesthesia.codecs import load_voice
from synesthesia.codecs.bands import Bands
from synesthesia.encoders import load_eyes
from synesthesia.encoders.base import PatchEncoder
from synesthesia.encoders.vision import EyesConfig, save_tiny_eyes, tiny_eyes
from synesthesia.evaluate import hear as protocols
from synesthesia.evaluate.hear_rows import Library, Neighbour, excerpt, noise_like
from synesthesia.senses import Image, InputError, Point, Sound
from synesthesia.shards import examples
from synesthesia.train.eyes import photos
from synesthesia.train.hear import HearRun, Pictures, dino_audioldm, look_at, patches_of, resampled, train, truth_of
from synesthesia.train.hear_data import quarters, read
from synesthesia.train.hear_scenes import ABSENT, MOST_LOUDER_DB, read_scenes
from synesthesia.train.outlines import OutlineRun
from synesthesia.train.outlines import train as train_outline
from synesthesia.worlds.scenes import generate

DATA = Path(__file__).parents[2] / "shared" / "data"
RUN = HearRun(
    checked=6,
    look_steps=2,
    glances=8,
    locate_steps=2,
    hear_steps=2,
    pictures=3,
    seconds=1.0,
    moments=6,
    sequences=4,
    frames=192,
    size=64,
    ambience=("wind",),
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_shards(tmp_path_factory.mktemp("mine"), tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def trained(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    save_tiny_eyes(tiny_eyes(config=EyesConfig(64, (8, 8, 16, 16), (1, 1, 1, 1))), out / "eyes")
    train(shards, out / "eyes", out, RUN)
    return out


@pytest.fixture(scope="module")
def eyes(trained: Path) -> PatchEncoder:
    return load_eyes(trained / "eyes", device="cpu")


def test_a_run_leaves_two_models_that_work(trained: Path) -> None:
    model = Hearing.load(trained / "final")
    assert model.config.locator == str(trained / "locator")
    assert float(model.ambience.abs().sum()) > 0
    image = Image(toy_photo(np.random.default_rng(1), (200, 30, 30)))
    sound = model.sounds([image], [Point(0.5, 0.5)], 0.5, [0])[0]
    assert sound.seconds == 0.5
    found = Locator.load(trained / "locator").locate(image, sound if sound.samples.any() else excerpt(sound, 0.5, 0))
    assert 0 <= found.confidence <= 1


def test_a_run_again_is_the_same(trained: Path, shards: Path, tmp_path: Path) -> None:
    train(shards, trained / "eyes", tmp_path, RUN)
    for name in ("locator", "final"):
        a, b = ((folder / name / "model.safetensors").read_bytes() for folder in (trained, tmp_path))
        assert a == b


def test_what_is_known_about_collages(shards: Path, eyes: PatchEncoder) -> None:
    lessons = read(shards, "train")
    pictures = Pictures(lessons, dataclasses.replace(RUN, whole=0.0), eyes)
    g = torch.Generator().manual_seed(0)
    seen = pictures.draw(np.random.default_rng(0), g, 5)
    truth = truth_of(seen, np.random.default_rng(0))
    assert truth.places is not None
    assert (seen.kinds[:, 0] != seen.kinds[:, 1]).all()
    flat = seen.kinds.ravel()
    for i in range(5):
        assert truth.pairs[i, : len(flat)].tolist() == [bool(k in seen.kinds[i]) for k in flat]
        assert truth.pairs[i, len(flat) :].tolist() == [j == i for j in range(5)]
    where = {
        (int(p), int(s)): m for p, s, m in zip(truth.places.picture, truth.places.sound, truth.places.mask, strict=True)
    }
    for i in range(5):
        for k in range(2):  # each part's own sound is at the part
            assert torch.equal(where[i, 2 * i + k], seen.masks[i, k])
    for (i, j), mask in where.items():  # what nothing in the picture makes is nowhere
        assert bool(mask.any()) == bool(flat[j] in seen.kinds[i])


def test_recordings_come_at_one_loudness(shards: Path, eyes: PatchEncoder) -> None:
    lessons = read(shards, "train")
    pictures = Pictures(lessons, RUN, eyes)
    rng = np.random.default_rng(0)
    rows = pictures.recordings(rng, np.repeat(pictures.kinds, 4))
    waves = lessons.sounds.waves_at(*pictures.sounding(rng, rows, 200, 0.0))
    level = 10 * np.log10((waves**2).mean(1).numpy())
    assert np.abs(level + 23).max() < 2.5


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for split in ("train", "val"):
        generate(6, 3, folder / split, split, workers=1, side=96, seconds=1.0, progress=False)
    return folder


KINDS = ("fire", "hiss", "hum", "rain", "river", "sea", "thunder", "waterfall", "wind")


def test_scenes_are_read_with_their_sounds(scenes: Path) -> None:
    read_back = read_scenes(scenes / "train", KINDS)
    truth = [e.truth["sources"] for e in examples(scenes / "train")]
    assert 3 <= len(read_back) <= len(truth)
    assert {KINDS[k] for k in read_back.sounds.kind} <= {s["kind"] for told in truth for s in told}
    assert np.abs(read_back.level).max() <= MOST_LOUDER_DB
    # Encoded at one level, whatever it was in the scene.
    power = [
        float((w.float() ** 2).mean()) for w in read_back.sounds.waves.split(np.diff(read_back.sounds.first).tolist())
    ]
    assert np.ptp(10 * np.log10(power)) < 0.1
    with pytest.raises(InputError, match="no scenes of bark"):
        read_scenes(scenes / "train", ("bark",))


def test_views_of_scenes_keep_masks_on_their_sources(scenes: Path) -> None:
    """A source that is painted in its mask is found where the turned and cut mask says."""
    read_back = read_scenes(scenes / "train", KINDS)
    side = read_back.pixels.shape[1]
    painted = F.interpolate(read_back.masks[read_back.first[:-1], None].float(), (side, side))[:, 0, ..., None]
    painted = dataclasses.replace(read_back, pixels=painted.expand(-1, -1, -1, 3).round().byte())
    rows = np.repeat(np.arange(len(painted)), 4)
    x, masks = painted.views(rows, torch.Generator().manual_seed(1), 64)
    for picture, mask in zip(x.mean(1), masks[:, 0], strict=True):
        if mask.std() > 0.05:
            assert np.corrcoef(picture.flatten(), mask.flatten())[0, 1] > 0.9


def test_scenes_join_the_pictures(shards: Path, scenes: Path, eyes: PatchEncoder) -> None:
    lessons = read(shards, "train")
    wanted = (*lessons.kinds, "fire", "rain", "river", "sea", "thunder", "waterfall")
    drawn = read_scenes(scenes / "train", wanted)
    pictures = Pictures(lessons, dataclasses.replace(RUN, drawn=0.5, recorded=0.0, whole=0.3), eyes, drawn)
    seen = pictures.draw(np.random.default_rng(0), torch.Generator().manual_seed(0), 6)
    assert seen.x.shape[0] == len(seen.kinds) == 6
    picture, part = seen.parts
    own = seen.rows[picture, part] >= len(lessons.sounds)
    assert own.any()
    assert (own == (picture >= 3)).all()  # scenes sound like themselves, collages like recordings
    for i, k in zip(picture, part, strict=True):
        assert pictures.sounds.kind[seen.rows[i, k]] == seen.kinds[i, k]
    assert not seen.masks[torch.from_numpy(seen.kinds == ABSENT)].any()
    truth = truth_of(seen, np.random.default_rng(0))
    sounds = len(picture)
    assert truth.pairs.shape == (6, sounds + 6)
    for j, i in enumerate(picture):
        assert truth.pairs[i, j]
    # A mixture of what another picture shows too is neither right nor wrong for it.
    for i in range(6):
        for j in range(6):
            common = set(seen.kinds[i]) & set(seen.kinds[j]) - {ABSENT}
            assert truth.unknown is not None
            assert bool(truth.unknown[i, sounds + j]) == (i != j and bool(common))


def test_photos_alone_fill_the_picture(shards: Path, eyes: PatchEncoder) -> None:
    pictures = Pictures(read(shards, "train"), dataclasses.replace(RUN, whole=1.0), eyes)
    seen = pictures.draw(np.random.default_rng(0), torch.Generator().manual_seed(0), 4)
    assert (seen.kinds[:, 1:] == ABSENT).all()
    assert (seen.masks[:, 0] == 1).all()
    assert not seen.masks[:, 1:].any()


def test_what_was_looked_at_is_kept(shards: Path, scenes: Path, eyes: PatchEncoder, tmp_path: Path) -> None:
    """What is drawn with eyes is what they see in views of the same photos; a second look finds it in the file."""
    lessons = read(shards, "train")
    photos = lessons.photos[0]
    looked = look_at(eyes, photos, 2, 64, torch.Generator().manual_seed(0), tmp_path / "looked.safetensors")
    x = photos.views(np.repeat(np.arange(32), 2), torch.Generator().manual_seed(0), 64)
    expected = patches_of(eyes, x).permute(0, 3, 1, 2)
    assert torch.allclose(looked.patches[:32].flatten(0, 1).float(), expected, atol=2e-2)
    again = look_at(eyes, photos, 2, 64, torch.Generator(), tmp_path / "looked.safetensors")
    assert torch.equal(again.patches, looked.patches)
    drawn = read_scenes(scenes / "train", (*lessons.kinds, "fire", "rain", "river", "sea", "thunder", "waterfall"))
    run = dataclasses.replace(RUN, drawn=0.5)
    seen = Pictures(lessons, run, eyes, drawn, tmp_path).draw(np.random.default_rng(0), torch.Generator(), 6)
    assert seen.x.shape == (6, expected.shape[1], 4, 4)
    assert seen.masks.shape[2:] == (4, 4)


def test_a_run_with_scenes(shards: Path, scenes: Path, trained: Path, tmp_path: Path) -> None:
    train(shards, trained / "eyes", tmp_path, RUN, scenes)
    assert Hearing.load(tmp_path / "final").config.locator == str(tmp_path / "locator")


def test_quarters_are_photos_at_half_their_size() -> None:
    g = torch.Generator().manual_seed(0)
    colours = torch.rand(2, 4, 3, generator=g)
    x, masks = quarters(colours[..., None, None].expand(-1, -1, -1, 64, 64), g)
    torch.testing.assert_close(masks.sum(1), torch.ones(2, 64, 64))
    torch.testing.assert_close(masks.mean((2, 3)), torch.full((2, 4), 0.25), atol=0.01, rtol=0)
    torch.testing.assert_close(x, torch.einsum("nkc,nkhw->nchw", colours, masks))
    assert (masks.amax((2, 3)) > 0.99).all()


def test_quartered_pictures_show_two_of_what_sounds(shards: Path, eyes: PatchEncoder) -> None:
    run = dataclasses.replace(RUN, whole=0.0, quartered=1.0)
    pictures = Pictures(read(shards, "train"), run, eyes, finer=4)
    seen = pictures.draw(np.random.default_rng(0), torch.Generator().manual_seed(0), 4)
    assert seen.masks.shape == (4, 2, 16, 16)
    torch.testing.assert_close(seen.masks.mean((2, 3)), torch.full((4, 2), 0.25), atol=0.01, rtol=0)


def test_a_locator_learns_to_outline_and_nothing_else_of_it_changes(
    trained: Path, shards: Path, scenes: Path, tmp_path: Path
) -> None:
    run = OutlineRun(shown=6, steps=2, parts=4, checked=6, seconds=1.0)
    before = Locator.load(trained / "locator")
    final = train_outline(shards, trained / "locator", tmp_path / "a", scenes, run)
    after = Locator.load(final)
    assert after.outline is not None
    assert after.grounding.shared == before.grounding.shared
    for name, values in before.state_dict().items():
        assert torch.equal(values, after.state_dict()[name])
    assert (after.config.sounding, after.config.alike) == (before.config.sounding, before.config.alike)
    found = after.locate(Image(toy_photo(np.random.default_rng(1), (200, 30, 30))), Sound(np.ones((1, 800)), 8000))
    assert 0 < found.heat.max() <= found.confidence < 1
    again = train_outline(shards, trained / "locator", tmp_path / "b", scenes, run)
    assert (final / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    taught_again = train_outline(shards, final, tmp_path / "c", scenes, run)  # from nothing, on the same locator
    assert Locator.load(taught_again).grounding.shared == before.grounding.shared


def test_a_run_with_eyes_and_a_voice_of_others(shards: Path, tmp_path: Path) -> None:
    """`hear/dino-audioldm` in small: the same code learns from DINOv2's patches to speak AudioLDM 2's latents."""
    pytest.importorskip("diffusers")
    eyes, whole = dino_audioldm(str(write("dinov2", tmp_path / "eyes")), str(write_audioldm2(tmp_path / "voice")))
    final = train(shards, eyes, tmp_path, dataclasses.replace(RUN, head=whole.head, voice=whole.voice))
    model = Hearing.load(final)
    assert (model.config.mapper.head, model.config.voice) == ("flow", str(tmp_path / "voice"))
    assert model.locator.config.eyes == eyes
    assert model.mapper.source == load_eyes(eyes, device="cpu").dense
    assert model.mapper.target == model.voice.space
    kept = load_file(final / "model.safetensors")  # those of others are named, not copied
    assert not [name for name in kept if name.startswith(("voice", "locator"))]
    image = Image(toy_photo(np.random.default_rng(1), (200, 30, 30)))
    heard = [model.sounds([image], [Point(0.5, 0.5)], 0.5, [seed])[0] for seed in (0, 0, 1)]
    assert {(s.rate, s.seconds) for s in heard} == {(16_000, 0.5)}
    assert np.array_equal(heard[0].samples, heard[1].samples)
    assert not np.array_equal(heard[0].samples, heard[2].samples)
    (view,) = model.see([image])
    period = model.loop(view, model.plan(view, Point(0.5, 0.5), 0), 1.2).mix
    assert period.seconds == pytest.approx(model.voice.frames(1.2) * model.voice.hop / 16_000)


def test_a_singer_needs_its_own_voice(trained: Path, tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    voice = load_voice(write_audioldm2(tmp_path / "voice"), device="cpu")
    locator = Locator.load(trained / "locator")
    mapper = MapperConfig(locator.eyes.dense, voice.space)
    config = HearingConfig("x", mapper, SingingConfig(), voice=str(tmp_path / "voice"))
    with pytest.raises(InputError, match="the voice bands"):
        Hearing(config, locator)


def test_resampling_keeps_a_tone() -> None:
    at, wanted = (np.sin(2 * np.pi * 440 * np.arange(rate) / rate) for rate in (RATE, 24_000))
    out = resampled(torch.from_numpy(at.astype(np.float32))[None], 24_000)
    assert out.shape == (1, 24_000)
    assert np.allclose(out[0].numpy(), wanted, atol=1e-4)


class _Ear:
    """Hears hums by their level below 400 Hz."""

    def kinds(self, sound: Sound) -> dict[str, float]:
        power = np.abs(np.fft.rfft(sound.mono)) ** 2 + 1e-9
        low = float(power[: round(400 * sound.seconds)].sum() / power.sum())
        scores = {"hum": low, "hiss": 1 - low, "wind": 0.3 * (1 - low)}
        return dict(sorted(scores.items(), key=lambda pair: -pair[1]))


class _Perfect:
    """Knows red from green."""

    def patches(self, images: list[Image], regions: list) -> np.ndarray:
        return np.array([(i.pixels.mean((0, 1))) for i in images])

    def sounds(self, images: list[Image], regions: list, seconds: float, seeds: list[int]) -> list[Sound]:
        t = np.arange(round(seconds * RATE)) / RATE
        out = []
        for image, region, seed in zip(images, regions, seeds, strict=True):
            weight = region.on(image.height, image.width)[..., None]
            red, green, _ = (image.pixels * weight).sum((0, 1)) / weight.sum()
            noise = np.random.default_rng(seed).standard_normal(len(t))
            wave = np.sin(2 * np.pi * 170 * t) if red > green else noise
            out.append(Sound(0.1 * wave.astype(np.float32)[None].clip(-9, 9), RATE))
        return out


def test_selectivity_of_one_who_knows_and_of_one_who_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    monkeypatch.setattr(protocols, "SECONDS", 0.5)
    shots = [
        protocols.Shot(f"{kind}{k}", Image(toy_photo(rng, colour)), protocols.Region.whole(), kind, f"{kind}{k}")
        for kind, colour in (("hum", (200, 30, 30)), ("hiss", (30, 200, 30))) for k in range(3)
    ]  # fmt: skip
    pairs = protocols.pair_up(shots, 6, 0)
    assert all(a.kind != b.kind for a, b in pairs)
    assert protocols.selectivity(_Perfect(), pairs, _Ear(), 0).value == 1.0

    class Blind(_Perfect):
        def sounds(self, images: list[Image], regions: list, seconds: float, seeds: list[int]) -> list[Sound]:
            return super().sounds(images, [protocols.Region.whole()] * len(images), seconds, [0] * len(images))

    assert protocols.selectivity(Blind(), pairs, _Ear(), 0).value == 0.0  # never *more* of the own kind


def test_halves_of_a_pair_cover_it_once() -> None:
    rng = np.random.default_rng(0)
    image, here, there = protocols.side_by_side(*(Image(toy_photo(rng, c)) for c in ((200, 0, 0), (0, 200, 0))))
    assert np.allclose(here.mask + there.mask, 1)
    assert here.centre.x < 0.3 < 0.7 < there.centre.x
    left, right = (image.pixels[:, s].mean((0, 1)) for s in (slice(0, 100), slice(-100, None)))
    assert left[0] > left[1]
    assert right[1] > right[0]


def test_a_neighbour_speaks_with_a_recording_of_its_kind() -> None:
    t = np.arange(RATE) / RATE
    tone = Sound(0.3 * np.sin(2 * np.pi * 500 * t).astype(np.float32)[None], RATE)
    hiss = Sound(0.1 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)[None], RATE)
    library = Library(np.eye(2, dtype=np.float32), ("tone", "hiss"), {"tone": [tone], "hiss": [hiss]})
    neighbour = Neighbour(library, Bands())
    looks = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    assert neighbour.kinds(looks) == ["tone", "hiss"]
    spectra = [np.abs(np.fft.rfft(s.mono)) ** 2 for s in neighbour.sounds(looks, 1.0, [0, 1])]
    shares = [float(s[450:550].sum() / s.sum()) for s in spectra]
    assert shares[0] > 0.8
    assert shares[1] < 0.2


def test_excerpts_and_noise() -> None:
    sound = Sound(np.arange(100, dtype=np.float32)[None] / 100, 100)
    assert excerpt(sound, 2.5, 0).samples.shape == (1, 250)
    part = excerpt(sound, 0.3, 1).mono
    assert np.allclose(np.diff(part), 0.01)
    noise = noise_like(Sound(np.full((1, 100), 0.1), 100), 10.0, 1000, 0)
    assert np.sqrt((noise.mono**2).mean()) == pytest.approx(0.1, rel=0.05)


@pytest.mark.data
def test_eyes_never_see_what_is_measured() -> None:
    held = [
        i
        for i in data.starter()
        if i.sense == "photo" and i.split in ("judge", "test") and i.file.startswith("photos/")
    ]
    assert held
    count = sum(1 for p in photos(DATA) if len(p) == 208)
    every = sum(1 for _ in (DATA / "photos").rglob("*.jpg"))
    assert count <= every - len(held)
