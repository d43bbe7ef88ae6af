"""What hearing is learned from: crops that are what they say, draws that are even, collages that add up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import DATA
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia import data, media, shards
from synesthesia.codecs import bands
from synesthesia.codecs.bands import Bands
from synesthesia.data import pack
from synesthesia.senses import Image, InputError, Sound
from synesthesia.train import hear_data
from synesthesia.train.hear_data import NONE, SILENT, Lessons, Pairing, Photos, Sounds

RATE, HOP = bands.RATE, bands.HOP


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sounds_of(*parts: np.ndarray, kind: list[int] | None = None, cluster: list[int] | None = None) -> Sounds:
    """Recordings in memory, each a kind and a cluster of its own unless said otherwise."""
    padded = [np.pad(p, (0, -len(p) % HOP)).astype(np.float32) for p in parts]
    latents = [torch.from_numpy(Bands().encode(Sound(p, RATE)).values).half() for p in padded]
    own = list(range(len(parts)))
    return Sounds(
        torch.cat(latents), torch.cat([torch.from_numpy(p.reshape(-1, HOP)).half() for p in padded]),
        np.cumsum([0, *map(len, latents)]), np.array(kind or own), np.array(cluster or own),
    )  # fmt: skip


def hiss(seconds: float, seed: int = 0) -> np.ndarray:
    return 0.1 * rng(seed).standard_normal(round(seconds * RATE))


def hit(seconds: float, seed: int = 0) -> np.ndarray:
    n = round(seconds * RATE)
    return 0.5 * rng(seed).uniform(-1, 1, n) * np.exp(-np.arange(n) * 8 / n)


LONG, TEXTURE, STEP, DECAY = 0, 1, 2, 3  # rows
HEARD = sounds_of(np.concatenate([np.zeros(6 * RATE), hiss(1), np.zeros(3 * RATE)]), hiss(1.5), hit(0.3), hit(1.6))


# --- crops ------------------------------------------------------------------------------------------------------------


def test_what_is_an_event_and_what_goes_on() -> None:
    assert HEARD.event.tolist() == [True, False, True, True]
    assert sounds_of(hiss(0.5)).event.tolist() == [True], "so short that it can only be an event"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(20, 500))
def test_a_crop_is_of_its_row_and_of_what_the_row_is_about(seed: int, frames: int) -> None:
    rows = np.array([LONG, TEXTURE, STEP, DECAY])
    crops = HEARD.crops(rows, rng(seed), frames)
    assert crops.shape == (4, frames)
    for row, crop in zip(rows, crops, strict=True):
        there = crop[crop != NONE]
        first, length = HEARD.first[row], HEARD.frames[row]
        assert ((there >= first) & (there < first + length)).all()
        if length >= frames:
            assert (np.diff(crop) == 1).all(), "a stretch as it was"
        elif HEARD.event[row]:
            begins = np.flatnonzero(there == first)
            assert len(there) == len(begins) * length > 0, "whole events"
            assert (there.reshape(len(begins), length) == first + np.arange(length)).all()
            assert len(begins) <= hear_data.MOST_TIMES
        else:
            assert len(there) == frames
            assert ((np.diff(crop) == 1) | (np.diff(crop) == 1 - length)).all(), "the end runs on into the beginning"
    begin, end = 596, 704  # the second that LONG is about, and the reach of the voice's windows
    assert ((crops[0] >= begin) & (crops[0] <= end)).any()


def test_events_recur_and_crops_differ() -> None:
    crops = HEARD.crops(np.full(200, STEP), rng())
    times = (crops == HEARD.first[STEP]).sum(1)
    assert set(times) == set(range(1, hear_data.MOST_TIMES + 1))
    assert len({tuple(crop) for crop in crops}) > 190
    starts = HEARD.crops(np.full(200, LONG), rng())[:, 0]
    assert starts.std() > 60, "what a crop holds stands anywhere in it"
    assert (HEARD.crops(np.arange(4), rng(5)) == HEARD.crops(np.arange(4), rng(5))).all()


def test_latents_and_waves_of_a_crop_are_of_the_same_sound() -> None:
    crops = HEARD.crops(np.array([LONG, TEXTURE, STEP]), rng(3))
    latents, waves = HEARD.latents_at(crops), HEARD.waves_at(crops)
    assert latents.shape == (3, 400, bands.WIDTH)
    assert waves.shape == (3, 400 * HOP)
    silent = torch.from_numpy(crops == NONE)
    assert silent[2].any()
    assert (latents[silent] == torch.from_numpy(bands.REST.copy())).all()
    assert not waves.reshape(3, 400, HOP)[silent].any()
    for row in range(3):
        again = Bands().encode(Sound(waves[row].numpy(), RATE)).values[:, bands.LEVELS]
        power = (10 ** (np.array(again) / 10)).sum(1)
        mine = (10 ** (latents[row, :, bands.LEVELS].numpy() / 10)).sum(1)
        assert power.sum() == pytest.approx(mine.sum(), rel=0.1)
        assert np.corrcoef(power, mine)[0, 1] > 0.9


@pytest.mark.parametrize("db", [-12.0, 6.0])
def test_louder_latents_are_those_of_a_louder_sound(db: float) -> None:
    t = np.arange(RATE) / RATE
    tone = 0.1 * np.sin(2 * np.pi * 1000 * t) + 0.01 * hiss(1.0)
    sound = np.concatenate([np.zeros(RATE // 2), tone, np.zeros(RATE // 2)])
    known = torch.from_numpy(Bands().encode(Sound(sound * 10 ** (db / 20), RATE)).values)
    made = hear_data.louder(torch.from_numpy(Bands().encode(Sound(sound, RATE)).values), db)
    heard = known[:, bands.LEVELS] > -70
    assert heard.any()
    for channels in (bands.LEVELS, bands.PARTIALS):
        assert (made - known)[:, channels][known[:, channels] > -70].abs().max() < 0.5
    assert (made[10, bands.LEVELS] == bands.FLOOR_DB).all(), "silence stays silent"
    quiet = hear_data.louder(made, -200.0)
    assert (quiet[:, : bands.RISE] == torch.from_numpy(bands.REST[: bands.RISE].copy())).all()


def test_gains_are_of_each_crop() -> None:
    crops = HEARD.crops(np.array([TEXTURE, TEXTURE]), rng())
    crops[1] = crops[0]
    waves = HEARD.waves_at(crops, np.array([0.0, 20.0]))
    torch.testing.assert_close(waves[1], 10 * waves[0])
    latents = HEARD.latents_at(crops, np.array([0.0, 20.0]))
    torch.testing.assert_close(latents[1, :, bands.LEVELS], latents[0, :, bands.LEVELS] + 20)
    assert HEARD.level[TEXTURE] == pytest.approx(20 * np.log10(0.1), abs=1.0)
    assert HEARD.level[LONG] == pytest.approx(HEARD.level[TEXTURE], abs=1.0), "silence around it is no part of it"


# --- drawing ----------------------------------------------------------------------------------------------------------


def photos_of(kind: list[int], cluster: list[int], sound: list[int] | None = None, side: int = 8) -> Photos:
    pixels = torch.from_numpy(rng().integers(0, 256, (len(kind), side, side, 3), dtype=np.uint8))
    return Photos(pixels, np.array(kind), np.array(cluster), np.array(sound or [NONE] * len(kind)))


def test_kinds_and_then_recordings_are_drawn_evenly_whatever_they_have() -> None:
    # Kind 0 has three recordings, the first of them with four takes; kind 2 has one; kind 1 has no photo.
    heard = sounds_of(*[hit(0.05, n) for n in range(8)], kind=[0] * 6 + [2, 1], cluster=[0, 0, 0, 0, 1, 2, 3, 4])
    seen = photos_of([2, SILENT, 0, 0, SILENT], [9, 5, 6, 6, 7])
    pairs = Pairing(heard, seen)
    assert pairs.kinds.tolist() == [0, 2]
    kinds = pairs.draw(rng(1), 6000)[:, 0]
    assert np.mean(kinds == 0) == pytest.approx(0.5, abs=0.03)
    rows = pairs.hear(rng(2), kinds)
    assert (heard.kind[rows] == kinds).all()
    assert np.bincount(heard.cluster[rows], minlength=5) / 6000 == pytest.approx(
        [1 / 6, 1 / 6, 1 / 6, 1 / 2, 0], abs=0.02
    )
    takes = np.bincount(rows, minlength=8)[:4] / 6000
    assert takes == pytest.approx([1 / 24] * 4, abs=0.01)
    looked = pairs.look(rng(3), kinds)
    assert (seen.kind[looked] == kinds).all()
    assert set(pairs.silent(rng(4), 50)) == {1, 4}
    assert all(sorted(two) == [0, 2] for two in pairs.draw(rng(5), 20, of=2)), "different kinds"
    with pytest.raises(InputError, match="2 kinds"):
        pairs.draw(rng(), 1, of=3)
    with pytest.raises(InputError, match=r"nothing of the kinds \[1\]"):
        pairs.look(rng(), np.array([0, 1]))
    with pytest.raises(InputError, match="occurred together"):
        pairs.together(rng(), 1)


def test_moments_stay_together_and_what_cannot_be_paired_is_said() -> None:
    heard = sounds_of(*[hit(0.05, n) for n in range(3)], kind=[0, 0, 0])
    seen = photos_of([0, 0, 0], [0, 1, 2], [2, NONE, 0])
    pairs = Pairing(heard, seen)
    rows, sounds = pairs.together(rng(), 40)
    assert {(int(r), int(s)) for r, s in zip(rows, sounds, strict=True)} == {(0, 2), (2, 0)}
    with pytest.raises(InputError, match="makes no sound"):
        pairs.silent(rng(), 1)
    with pytest.raises(InputError, match="nothing to pair"):
        Pairing(heard, photos_of([SILENT, 1], [0, 1]))


# --- photos -----------------------------------------------------------------------------------------------------------


def test_a_view_is_a_part_of_its_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    side = 64
    ramp = np.linspace(0, 255, side)
    pixels = np.stack([*np.meshgrid(ramp, ramp), np.full((side, side), 128.0)], -1).round().astype(np.uint8)
    photos = Photos(torch.from_numpy(pixels)[None], np.zeros(1, int), np.zeros(1, int), np.full(1, NONE))
    whole = photos.whole(np.array([0]), side)
    torch.testing.assert_close(whole[0].permute(1, 2, 0), torch.from_numpy(pixels).float() / 255)
    assert photos.whole(np.array([0]), 16).mean() == pytest.approx(float(whole.mean()), abs=0.01)
    with monkeypatch.context() as m:
        m.setattr(hear_data, "jitter", lambda x, g: x)
        views = photos.views(np.zeros(300, int), g(), 32)
    span = views[:, 0, 0, -1] - views[:, 0, 0, 0], views[:, 1, -1, 0] - views[:, 1, 0, 0]
    area = (span[0].abs() * span[1]) * (32 / 31) ** 2
    assert (span[0] < 0).float().mean() == pytest.approx(0.5, abs=0.1), "half of them mirrored"
    assert (span[1] > 0).all(), "none upside down"
    assert 0.3 < area.min() < 0.45
    assert 0.85 < area.max() < 1.1
    assert views.min() >= 0
    assert views.max() <= 1
    coloured = photos.views(np.zeros(300, int), g(), 32)
    assert (coloured - views).abs().mean() > 0.02
    torch.testing.assert_close(coloured, photos.views(np.zeros(300, int), g(), 32))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.sampled_from([32, 48]))
def test_a_collage_shows_what_its_masks_say(seed: int, k: int, size: int) -> None:
    n = 6
    colours = torch.rand(n, k, 3, generator=g(seed))
    ground = torch.rand(n, 3, 1, 1, generator=g(seed + 1)).expand(n, 3, size, size)
    picture, masks = hear_data.collages(colours[..., None, None].expand(n, k, 3, 20, 20), ground, g(seed))
    assert masks.shape == (n, k, size, size)
    assert masks.min() >= 0
    assert masks.sum(1).max() <= 1 + 1e-5
    assert (masks.mean((2, 3)) > 0.02).all(), "every part is to be seen"
    assert (masks.amax((2, 3)) > 0.5).all()
    mixed = torch.einsum("nkhw,nkc->nchw", masks, colours) + (1 - masks.sum(1, keepdim=True)) * ground
    torch.testing.assert_close(picture, mixed, atol=1e-5, rtol=1e-5)


def test_some_collages_are_halves_without_ground_and_most_are_soft_islands() -> None:
    ground = torch.ones(300, 3, 24, 24)
    _, masks = hear_data.collages(torch.zeros(300, 2, 3, 24, 24), ground, g(1))
    covered = masks.sum(1).amin((1, 2)) > 0.999
    assert covered.float().mean() == pytest.approx(1 / 3, abs=0.08)
    assert masks[~covered].sum(1).mean((1, 2)).max() < 0.7
    soft = (masks > 0.05) & (masks < 0.95)
    assert (soft.flatten(1).sum(1) > 5).all()


def test_parts_with_shapes_of_their_own_are_cut_out_by_them() -> None:
    n, size = 20, 64
    parts = torch.zeros(n, 2, 3, 32, 32)
    parts[:, :, 0, 8:24, 8:24] = 1.0  # a red square on black
    shapes = parts[:, :, 0].clone()
    shapes[:, 1] = 0.0  # and a part without any shape
    picture, masks = hear_data.collages(parts, torch.ones(n, 3, size, size), g(2), shapes)
    assert not masks[:, 1].any()
    inside = masks[:, 0] > 0.99
    assert (inside.flatten(1).sum(1) > 80).all()
    red = picture.permute(0, 2, 3, 1)[inside]
    assert red[:, 0].mean() > 0.97
    assert red[:, 1:].mean() < 0.03


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder packed from two kinds, with photos of what makes no sound, and a cache of its own."""
    monkeypatch.setenv("SYNESTHESIA_CACHE", str(tmp_path / "cache"))
    for kind in ("water", "dog"):
        (tmp_path / "mine" / kind).mkdir(parents=True)
        for n in range(4):
            wave = np.repeat(rng(n).exponential(0.02, 10), 3200) * rng(n).standard_normal(32_000)
            media.write_sound(tmp_path / f"mine/{kind}/{n}.wav", Sound(wave * (1 + (kind == "dog")), RATE))
            for side in (40, 150):
                pixels = rng(n + side).integers(0, 256, (side, side, 3), dtype=np.uint8)
                media.write_image(tmp_path / f"mine/{kind}/{n}-{side}.png", Image(pixels))
    (tmp_path / "mine/silent").mkdir()
    media.write_image(tmp_path / "mine/silent/a.png", Image(np.full((200, 120, 3), 99, np.uint8)))
    pack.pack(tmp_path / "mine", tmp_path / "shards", progress=False)
    return tmp_path


def same(a: Lessons, b: Lessons) -> None:
    torch.testing.assert_close(a.sounds.latents, b.sounds.latents)
    torch.testing.assert_close(a.sounds.waves, b.sounds.waves)
    np.testing.assert_array_equal(a.sounds.first, b.sounds.first)
    for x, y in zip(a.photos, b.photos, strict=True):
        torch.testing.assert_close(x.pixels, y.pixels)


def test_shards_come_into_memory_once_encoded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lessons = hear_data.read(home / "shards")
    assert lessons.kinds == ("dog", "water")
    assert [p.pixels.shape[1] for p in lessons.photos] == [224, 64]
    examples = [e for e in shards.examples(home / "shards") if e.truth["split"] == "train"]
    heard = [e for e in examples if e.sounds]
    assert len(lessons.sounds) == len(heard) >= 4
    for row, example in enumerate(heard):
        assert lessons.kinds[lessons.sounds.kind[row]] == example.truth["kind"]
        part = slice(*lessons.sounds.first[row : row + 2])
        np.testing.assert_allclose(lessons.sounds.waves[part].flatten(), example.sounds[0].mono, atol=1e-3)
        known = Bands().encode(example.sounds[0]).values
        np.testing.assert_allclose(lessons.sounds.latents[part], known, atol=0.05)
    large, small = lessons.photos
    assert len(large) + len(small) == len(examples) - len(heard)
    assert sum(large.kind == SILENT) == 1

    with monkeypatch.context() as m:
        m.setattr(Bands, "encode", lambda *_: pytest.fail("it was encoded before"))
        same(lessons, hear_data.read(home / "shards"))
    (cached,) = (home / "cache/latents").iterdir()
    for damage in (b"", cached.read_bytes()[:-100]):
        cached.write_bytes(damage)
        same(lessons, hear_data.read(home / "shards"))
    assert len(list((home / "cache/latents").iterdir())) == 1


def test_splits_share_no_recording_but_the_numbers_of_kinds(home: Path) -> None:
    read = {split: hear_data.read(home / "shards", split) for split in data.SPLITS}
    assert {lessons.kinds for lessons in read.values()} == {("dog", "water")}
    assert sum(len(lessons.sounds) for lessons in read.values()) == 8
    with pytest.raises(InputError, match="nothing of the split train"):
        hear_data.read(home / "shards", tiers=("open",))
    assert len(hear_data.read(home / "shards", tiers=("own", "open")).sounds) == len(read["train"].sounds)


def test_shards_of_something_else_are_refused(tmp_path: Path) -> None:
    flac = shards.encode_flac(Sound(hit(0.1), RATE))
    shards.write(tmp_path / "train-00000.tar", [("a", {"hit0.flac": flac, "json": b"{}"})])
    with pytest.raises(InputError, match="does not say its kind"):
        hear_data.read(tmp_path)
    truth = {"kind": "a", "cluster": "a", "tier": "own", "pairing": pack.BY_KIND}
    shards.write(tmp_path / "train-00000.tar", [("a", {"hit0.flac": flac, "json": shards.encode_json(truth)})])
    with pytest.raises(InputError, match="with a scale"):
        hear_data.read(tmp_path)


@pytest.mark.data
def test_a_lesson_of_real_sounds_and_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNESTHESIA_CACHE", str(tmp_path / "cache"))
    wanted = {"pig": 3, "door": 3, "silent": 2}
    items = [i for i in data.starter() if i.split == "train" and i.kind in wanted]
    some = [
        i for kind, most in wanted.items() for sense in ("sound", "photo")
        for i in [i for i in items if (i.kind, i.sense) == (kind, sense)][:most]
    ]  # fmt: skip
    pack.pack(DATA, tmp_path / "shards", items=some, progress=False)
    lessons = hear_data.read(tmp_path / "shards")
    pairs = Pairing(lessons.sounds, lessons.photos[0])
    kinds = pairs.draw(rng(), 4, of=2)
    crops = lessons.sounds.crops(pairs.hear(rng(), kinds).ravel(), rng(), 200)
    assert torch.isfinite(lessons.sounds.latents_at(crops)).all()
    assert (lessons.sounds.waves_at(crops).abs().amax(1) > 1e-3).all(), "no crop is silent"
    parts = lessons.photos[0].views(pairs.look(rng(), kinds).ravel(), g(), 64).reshape(4, 2, 3, 64, 64)
    ground = lessons.photos[0].views(pairs.silent(rng(), 4), g(), 64)
    picture, masks = hear_data.collages(parts, ground, g())
    assert picture.std() > 0.05
    assert masks.sum(1).max() <= 1 + 1e-5
