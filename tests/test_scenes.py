"""Scenes and collages: what is told about an example is what it shows and sounds like, and a seed is a world."""

from __future__ import annotations

import io
import itertools
import json
import math
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia import cli, shards
from synesthesia.senses import Example, Image, InputError, Region, Sound
from synesthesia.worlds import collages, noises, scenes
from synesthesia.worlds.noises import LAWS, RATE

SIDE, SECONDS, COUNT, SEED = 64, 1.2, 5, 4
CONFIG: dict[str, Any] = {"side": SIDE, "seconds": SECONDS, "per_shard": 2, "progress": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("scenes")
    scenes.generate(COUNT, SEED, base / "a", workers=1, **CONFIG)
    return base


@pytest.fixture(scope="module")
def world(folder: Path) -> list[Example]:
    return list(shards.examples(folder / "a"))


def sources(example: Example) -> list[dict[str, Any]]:
    told = example.truth["sources"]
    assert isinstance(told, list)
    return told


# --- scenes ----------------------------------------------------------------------------------------------------------


def test_each_source_has_its_mask_its_sound_and_its_numbers(world: list[Example]) -> None:
    assert len(world) == COUNT
    for example in world:
        told, masks = sources(example), example.arrays["masks"]
        assert masks.shape == (len(told), SIDE // 2, SIDE // 2)
        assert masks.dtype == np.uint8
        assert len(example.sounds) == len(told) + 1  # the bed
        for k, one in enumerate(told):
            assert one["mask"] == k
            x0, y0, x1, y1 = one["box"]
            index = example.arrays["mask"] == k + 1
            rows, columns = np.nonzero(index)
            if len(rows):  # what is most of a pixel lies in the box of what is clearly seen
                assert x0 <= columns.min() / SIDE
                assert y0 <= rows.min() / SIDE
                assert (columns.max() + 1) / SIDE <= x1
                assert (rows.max() + 1) / SIDE <= y1
            assert one["area"] == pytest.approx(masks[k].mean() / 255, abs=0.01)
            centre = Region(masks[k] / 255).centre
            assert one["centre"] == pytest.approx([centre.x, centre.y], abs=0.02)


def test_sounds_are_at_the_levels_that_are_told(world: list[Example]) -> None:
    for example in world:
        scale = example.truth["scale"]
        assert isinstance(scale, float)
        stems = [sound.mono.astype(float) for sound in example.sounds]
        assert np.abs(np.sum(stems, axis=0)).max() <= scenes.PEAK + 0.002
        for one, stem in zip(sources(example), stems, strict=False):
            rms = noises.loudest_second(stem * scale * noises.FULL_SCALE, RATE)
            quietest = 20 * math.log10(scale * noises.FULL_SCALE / 2**15 / noises.REFERENCE)  # a step of 16 bits
            level = 20 * math.log10(max(rms, 1e-30) / noises.REFERENCE)
            assert level < max(one["level_db"], quietest) + 1
            if one["kind"] != "thunder" and one["level_db"] > quietest + 10:
                assert level > one["level_db"] - 6  # what the air took
            direct = noises.level_db(one["kind"], one["parameters"], one["distance_m"])
            assert one["level_db"] == pytest.approx(direct)


def test_bytes_depend_on_neither_workers_nor_kills(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scenes.item

    def killed(w: scenes.World, index: int) -> tuple[str, dict[str, bytes]]:
        if index == 3:
            raise KeyboardInterrupt
        return made(w, index)

    monkeypatch.setattr(scenes, "item", killed)
    with pytest.raises(KeyboardInterrupt):
        scenes.generate(COUNT, SEED, folder / "b", workers=1, **CONFIG)
    assert sorted(p.name for p in (folder / "b").iterdir()) == ["train-00000.tar", "world.json"]
    monkeypatch.setattr(scenes, "item", made)
    stamp = (folder / "b" / "train-00000.tar").stat().st_mtime_ns
    paths = scenes.generate(COUNT, SEED, folder / "b", workers=2, **CONFIG)
    assert (folder / "b" / "train-00000.tar").stat().st_mtime_ns == stamp
    for path in paths:
        assert path.read_bytes() == (folder / "a" / path.name).read_bytes()


def test_another_world_in_the_same_folder_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="another world"):
        scenes.generate(COUNT, SEED + 1, folder / "a", **CONFIG)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"split": "tests"}, "A split is"),
        ({"n": 0}, "at least 1"),
        ({"seed": -1}, "at least 0"),
        ({"side": 8}, "pixels wide"),
        ({"seconds": math.nan}, "pixels wide"),
    ],
)
def test_impossible_worlds_are_refused_before_anything_is_written(tmp_path: Path, bad: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        scenes.generate(**({"n": 1, "seed": 0, "out": tmp_path / "w"} | bad))
    assert not (tmp_path / "w").exists()


def test_splits_share_no_combination_of_parameters() -> None:
    plans = {s: [scenes.plan(np.random.default_rng([i, 1]), s)[1] for i in range(60)] for s in scenes.SPLITS}
    for split, several in plans.items():
        assert all(scenes.held(source) == (split == "test") for plan in several for source in plan.sources)
    assert {source.kind for plan in plans["test"] for source in plan.sources} == set(LAWS)
    # Of the sixteen cells four are held out, one in each row and each column.
    law = LAWS["river"]
    spans = list(law.parameters.items())
    held = []
    for cell in itertools.product(range(4), repeat=2):
        values = {
            name: low * (high / low) ** ((k + 0.5) / 4) for k, (name, (low, high)) in zip(cell, spans, strict=True)
        }
        if scenes.held(scenes.Source("river", values, 5.0)):
            held.append(cell)
    assert sorted(a for a, _ in held) == [0, 1, 2, 3]
    assert sorted(b for _, b in held) == [0, 1, 2, 3]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**40), st.sampled_from(scenes.SPLITS))
def test_every_plan_can_stand(seed: int, split: str) -> None:
    place, plan = scenes.plan(np.random.default_rng(seed), split)
    kinds = [source.kind for source in plan.sources]
    assert kinds[0] == scenes.PLACES[place][0]
    assert 1 <= len(kinds) <= 3
    focal = 0.5 / math.tan(math.radians(plan.camera.fov_deg) / 2)
    for source in plan.sources:
        if source.kind == "fire":  # its foot is in the picture
            assert plan.camera.horizon + focal * plan.camera.height_m / source.distance_m <= 0.951


# --- collages --------------------------------------------------------------------------------------------------------


def plain(*colour: int, side: int = 50) -> Image:
    return Image(np.full((side, side, 3), colour, np.uint8))


def tone(hz: float, seconds: float = 3.0) -> Sound:
    return Sound(0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * 16_000)) / 16_000), 16_000)


RED, GREEN, GREY = plain(200, 20, 20), plain(20, 200, 20, side=70), plain(120, 120, 120)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**40))
def test_a_collage_shows_each_photo_in_its_mask_and_the_background_elsewhere(seed: int) -> None:
    made = collages.collage(
        np.random.default_rng(seed), [(RED, None), (GREEN, None)], [tone(440), tone(1000)], GREY, ["a", "b"], side=64,
        seconds=0.5,
    )  # fmt: skip
    pixels, masks = made.image.pixels.astype(float), made.arrays["masks"]
    red, green = pixels[..., 0] - pixels[..., 1], pixels[..., 1] - pixels[..., 0]
    assert (red[masks[0] > 0.9] > 60).all()
    assert (green[masks[1] > 0.9] > 60).all()
    assert (np.abs(pixels - 120)[masks.sum(0) < 1e-3] < 1).all()
    assert masks.sum(0).max() < 1.001
    assert [len(s.mono) for s in made.sounds] == [RATE // 2] * 3
    for one, stem, hz in zip(made.truth["sources"], made.sounds, (440, 1000), strict=False):  # type: ignore[arg-type]
        assert 20 * math.log10(np.sqrt((stem.mono.astype(float) ** 2).mean())) == pytest.approx(
            one["level_dbfs"], abs=0.3
        )
        assert np.argmax(np.abs(np.fft.rfft(stem.mono))) / 0.5 == pytest.approx(hz, abs=3)


def test_a_given_region_is_what_is_cut_out() -> None:
    pixels = np.full((60, 60, 3), (200, 20, 20), np.uint8)
    pixels[20:40, 10:50] = (20, 20, 200)
    region = Region(np.pad(np.ones((20, 40)), ((20, 20), (10, 10))))
    made = collages.collage(
        np.random.default_rng(3), [(Image(pixels), region)], [None], GREY, ["c"], side=64, seconds=0.5
    )
    mask = made.arrays["masks"][0]
    shown = made.image.pixels.astype(float)
    assert (shown[..., 2] - shown[..., 0])[mask > 0.95].mean() > 100
    rows, columns = np.nonzero(mask > 0.5)
    assert np.ptp(columns) / np.ptp(rows) == pytest.approx(2.0, rel=0.15)
    assert not made.sounds[0].samples.any()
    assert made.truth["sources"][0]["level_dbfs"] is None  # type: ignore[index]


def test_photos_that_would_not_be_seen_are_refused() -> None:
    faint = Region(np.full((8, 8), 0.3))
    with pytest.raises(InputError, match="cannot be pasted"):
        collages.collage(np.random.default_rng(0), [(RED, faint)], [None], GREY, ["c"], side=32, seconds=0.5)
    with pytest.raises(InputError, match="Each photo needs"):
        collages.collage(np.random.default_rng(0), [(RED, None)], [], GREY, ["c"])


def test_a_short_sound_is_not_louder_than_a_long_one() -> None:
    rng = np.random.default_rng(0)
    short = collages._excerpt(rng, tone(500, 0.25), RATE, -20.0)
    assert np.count_nonzero(np.abs(short) > 1e-4) < 0.27 * RATE
    assert np.abs(short).max() == pytest.approx(math.sqrt(2) * 0.1, rel=0.1)
    assert not collages._excerpt(rng, Sound(np.zeros(10), RATE), RATE, -20.0).any()


def packed(path: Path, items: list[tuple[str, dict[str, bytes]]]) -> None:
    """A shard in which examples may lack a picture."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, members in items:
            for ending, data in members.items():
                info = tarfile.TarInfo(f"{key}.{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos and sounds of two kinds in two splits, a kind without sounds, and a silent photo."""
    path = tmp_path_factory.mktemp("starter")
    items = []
    for split, (kind, colour, hz) in itertools.product(
        ("train", "test"),
        (("a", (200, 20, 20), 400), ("b", (20, 200, 20), 900), ("c", (0, 0, 9), 0), ("silent", (9,) * 3, 0)),
    ):
        truth = {"kind": kind, "split": split, "cluster": f"{kind}-{split}", "tier": "open"}
        photo = {"jpg": shards.encode_jpeg(np.asarray(plain(*colour).pixels)), "json": json.dumps(truth).encode()}
        items.append((f"photo-{kind}-{split}", photo))
        if hz:
            heard = {"json": json.dumps(truth).encode(), "hit0.flac": shards.encode_flac(tone(hz))}
            items.append((f"sound-{kind}-{split}", heard))
    packed(path / "starter-00000.tar", items)
    return path


def test_collages_from_shards_keep_to_their_split_and_resume(starter: Path, tmp_path: Path) -> None:
    config: dict[str, Any] = {"side": 48, "seconds": 0.3, "per_shard": 4, "workers": 1, "progress": False}
    collages.generate_collages(starter, 4, 1, tmp_path / "one", "test", **config)
    paths = collages.generate_collages(starter, 10, 1, tmp_path / "one", "test", **config)
    again = collages.generate_collages(starter, 10, 1, tmp_path / "two", "test", **config)
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again]
    kinds = set()
    for example in shards.examples(tmp_path / "one"):
        assert len(example.sounds) == len(sources(example)) + 1
        for one, stem in zip(sources(example), example.sounds, strict=False):
            kinds.add(one["kind"])
            assert one["photo"] == f"photo-{one['kind']}-test"
            assert one["sound"] == (None if one["kind"] == "silent" else f"sound-{one['kind']}-test")
            assert (one["level_dbfs"] is None) == (not stem.samples.any())
    assert kinds == {"a", "b", "silent"}


def test_shards_without_pairs_are_refused(starter: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no kind with both"):
        collages.generate_collages(starter, 1, 0, tmp_path / "w", "judge")
    with pytest.raises(InputError, match="no shards"):
        collages.generate_collages(tmp_path, 1, 0, tmp_path / "w")
    (tmp_path / "x.tar").write_bytes(b"not a tar file" * 100)
    with pytest.raises(InputError, match="is not a shard"):
        collages.generate_collages(tmp_path, 1, 0, tmp_path / "w")
    assert not (tmp_path / "w").exists()


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=300))
def test_hostile_truths_are_refused_in_a_sentence(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("hostile") / "x.tar"
    packed(path, [("k", {"json": data})])
    with pytest.raises(InputError):
        collages.stock(str(path), "train")


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_makes_both(starter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["-n", "1", "--side", "48", "--seconds", "0.2", "--workers", "1"]
    assert cli.main(["world", "scenes", "-o", str(tmp_path / "s"), "--split", "val", *small]) == 0
    assert cli.main(["world", "scenes", "-o", str(tmp_path / "c"), "--collages", str(starter), *small]) == 0
    assert len(list(shards.examples(tmp_path / "s" / "val-00000.tar"))) == 1
    assert len(list(shards.examples(tmp_path / "c" / "train-00000.tar"))) == 1
    assert cli.main(["world", "scenes", "-o", str(tmp_path / "x"), "--split", "nowhere", *small]) == 2
    assert "A split is" in capsys.readouterr().err
