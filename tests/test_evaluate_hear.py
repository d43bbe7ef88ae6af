"""One kind twice, a judge of our own, localisation and the report of `evaluate hear`, on truths that can be counted."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from synesthesia import cli, shards
from synesthesia.bridges.grounding import GroundingConfig, Locator, LocatorConfig
from synesthesia.bridges.hearing import Hearing, HearingConfig
from synesthesia.bridges.mapper import MapperConfig
from synesthesia.codecs.bands import Bands
from synesthesia.encoders.vision import EyesConfig
from synesthesia.evaluate import collage, hear, hear_clips, hear_judge, hear_laws, hear_report, locate
from synesthesia.evaluate.hear_rows import Chorus, Shot
from synesthesia.metrics import mean
from synesthesia.metrics.attributes import SILENCE_DB, attributes
from synesthesia.metrics.distributions import discrepancy, kernel_distance, kernels
from synesthesia.senses import Image, InputError, Region, Sound
from synesthesia.worlds import scenes

RATE = 32_000


def noise(seconds: float, seed: int = 0, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def tone(hz: float, seconds: float = 1.0, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def flat(value: int, side: int = 32) -> Image:
    return Image(np.full((side, side, 3), value, np.uint8))


# --- attributes ------------------------------------------------------------------------------------------------------


def test_a_sine_has_the_level_and_the_brightness_of_its_formula() -> None:
    a = attributes(tone(1000.0), RATE)
    assert a.level == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.01)
    assert a.brightness == pytest.approx(0.0, abs=0.01)
    assert attributes(tone(4000.0), RATE).brightness == pytest.approx(2.0, abs=0.01)
    assert a.events == 0
    assert a.movement < 0.1


@given(st.floats(-40, 20))
@settings(max_examples=10, deadline=None)
def test_only_the_level_depends_on_how_loud_a_sound_is_played(gain_db: float) -> None:
    wave = noise(1.0) * (1 + np.sin(2 * np.pi * 3 * np.arange(RATE) / RATE))
    a, b = attributes(wave, RATE), attributes(wave * 10 ** (gain_db / 20), RATE)
    assert b.level - a.level == pytest.approx(gain_db, abs=1e-6)
    assert np.allclose(a[1:], b[1:], atol=1e-6)


@pytest.mark.parametrize("rate", [5, 10, 20])
def test_clicks_are_counted(rate: int) -> None:
    wave = noise(2.0, level=1e-4)
    wave[RATE // (2 * rate) :: RATE // rate] += 0.5
    assert attributes(wave, RATE).events == pytest.approx(rate, rel=0.05)


def test_what_swells_moves_more_and_silence_is_nothing() -> None:
    t = np.arange(2 * RATE) / RATE
    calm, rough = (attributes(noise(2.0) * (1 + d * np.sin(2 * np.pi * 2 * t)), RATE) for d in (0.2, 0.9))
    assert calm.movement < rough.movement
    assert attributes(np.zeros(100), RATE) == (SILENCE_DB, 0.0, 0.0, 0.0)
    assert attributes(np.zeros(0), RATE).level == SILENCE_DB


@given(
    hnp.arrays(np.float32, st.integers(1, 400), elements=st.floats(-1, 1, width=32)), st.sampled_from([1, 8000, RATE])
)
@settings(max_examples=40, deadline=None)
def test_attributes_of_anything_are_finite(samples: np.ndarray, rate: int) -> None:
    assert np.isfinite(attributes(samples, rate)).all()


# --- distances that are resampled ------------------------------------------------------------------------------------


def test_the_distance_of_repeated_items_is_that_of_the_items() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 4)), rng.standard_normal((25, 4)) + 0.5
    k = kernels(x, y)
    once = discrepancy(k, np.ones(30), np.ones(25))
    assert once == pytest.approx(kernel_distance(x, y))
    weight = np.zeros(30)
    weight[:20] = 1
    small = kernels(x[:20], y)
    assert discrepancy(k, weight, np.ones(25)) != pytest.approx(once)
    assert discrepancy(small, np.ones(20), np.ones(25)) == pytest.approx(kernel_distance(x[:20], y))

    def paired(a: np.ndarray) -> float:  # of a set and a noisy copy of it: still no bias by who belongs to whom
        return discrepancy(kernels(a, a + 0.01), *[np.ones(len(a))] * 2, paired=True)

    assert abs(np.mean([paired(rng.standard_normal((40, 3))) for _ in range(60)])) < 0.5
    alike = [
        discrepancy(kernels(rng.standard_normal((40, 3)), rng.standard_normal((40, 3))), *[np.ones(40)] * 2)
        for _ in range(60)
    ]
    assert abs(np.mean(alike)) < 3 * np.std(alike) / math.sqrt(60)  # no bias


def test_a_mean_leaves_out_what_was_not_measured() -> None:
    e = mean(np.array([1.0, math.nan, 3.0]), ["a", "b", "c"])
    assert (e.value, e.n) == (2.0, 2)


# --- one kind twice --------------------------------------------------------------------------------------------------


def test_only_clear_differences_are_judged() -> None:
    """Levels 0, 1, … dB, and a source's own scatter of 1 dB: what is 3 dB apart or more is clear."""
    true = np.zeros((12, 4))
    true[:, 0] = np.arange(12)
    again = true.copy()
    again[:, 0] += np.tile([1.0, -1.0], 6)
    pairs = hear_laws.clear_pairs(["fire"] * 12, true, again)
    assert (np.abs(true[pairs.first, 0] - true[pairs.second, 0]) >= hear_laws.MARGIN).all()
    assert len(pairs.first) == sum(range(1, 10))
    assert not pairs.clear[:, 1:].any()
    mixed = hear_laws.clear_pairs(["fire", "sea"] * 6, true, again)
    assert all((i - j) % 2 == 0 for i, j in zip(mixed.first, mixed.second, strict=True))


@given(hnp.arrays(float, (6, 4), elements=st.floats(-5, 5)))
def test_a_mirrored_answer_is_as_wrong_as_the_answer_was_right(difference: np.ndarray) -> None:
    sign = np.tile([1.0, -1.0], (6, 2))
    assert np.allclose(hear_laws.agreement(difference, sign) + hear_laws.agreement(-difference, sign), np.ones((6, 4)))
    assert (hear_laws.agreement(np.zeros((6, 4)), sign) == 0.5).all()


def test_cells_count_alike_however_many_pairs_they_have() -> None:
    cell = np.array([[0, -1], [0, -1], [0, -1], [-1, 1]])
    score = np.array([[1.0, 9], [1.0, 9], [1.0, 9], [9, 0.0]])
    assert hear_laws.mean_of_cells(score, cell, np.ones(4)) == 0.5
    assert hear_laws.mean_of_cells(score, cell, np.array([1.0, 1, 1, 0])) == 1.0
    assert math.isnan(hear_laws.mean_of_cells(score, cell, np.zeros(4)))


@dataclasses.dataclass(frozen=True, eq=False)
class Steady(hear_laws.Source):
    """A source that sounds the same at any time."""

    def again(self, seconds: float, seed: int) -> Sound:
        return self.sound


def bright(n: int, split: int) -> list[hear_laws.Source]:
    """Fires and rivers whose brightness in the picture is their level, from dark −60 dB to bright −20 dB."""
    out: list[hear_laws.Source] = []
    for k in range(n):
        value = 40 + 200 * k // n + split
        for kind in ("fire", "river"):
            wave = noise(1.0, k) if kind == "fire" else tone(300.0, 1.0)
            level = 10 ** ((value / 6.0 - 65) / 20)
            sound = Sound((wave / np.sqrt((wave**2).mean()) * level)[None], RATE)
            image = Image(np.stack([np.full((32, 32), v, np.uint8) for v in (value, 250 * (kind == "fire"), 9)], -1))
            out.append(Steady(f"{kind}{k}", image, Region.whole(), kind, {"size": float(value)}, 1.0, sound))
    return out


class Follower:
    """Plays noise whose level follows how red the place is (or, deaf to it, always the same)."""

    def __init__(self, sign: float = 1.0) -> None:
        self.sign = sign

    def patches(self, images: Sequence[Image], regions: Sequence[Region]) -> np.ndarray:
        def seen(image: Image, region: Region) -> np.ndarray:
            weight = region.on(image.height, image.width)[..., None]
            return (image.pixels * weight).sum((0, 1)) / weight.sum()

        return np.stack([seen(i, r) for i, r in zip(images, regions, strict=True)])

    def sounds(
        self, images: Sequence[Image], regions: Sequence[Region], seconds: float, seeds: Sequence[int]
    ) -> list[Sound]:
        looks = self.patches(images, regions)
        return [Sound((noise(seconds, 1, 10 ** ((self.sign * look[0] / 6.0 - 40) / 20)))[None], RATE) for look in looks]


def test_who_follows_the_look_is_right_and_the_way_through_the_name_is_at_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hear_laws, "read", lambda folder, split, most: bright(6, 3))
    monkeypatch.setattr(hear_laws, "SECONDS", 0.3)
    right, wrong, deaf = (
        hear_laws.evaluate(Follower(sign), Bands(), bright(8, 0), train, pairs=12)
        for sign, train in ((1.0, Path("b")), (-1.0, None), (0.0, None))
    )
    for name in ("one_picture", "two_pictures"):
        assert right[name]["rows"]["model"]["value"] == 1.0
        assert right[name]["rows"]["real"]["value"] == 1.0
        assert right[name]["rows"]["cascade"]["value"] == 0.5
        assert right[name]["lead"]["cascade"]["low"] > 0
        assert wrong[name]["rows"]["model"]["value"] == 0.0
        assert deaf[name]["rows"]["model"]["value"] == 0.5
    assert right["two_pictures"]["rows"]["neighbour"]["value"] > 0.9
    law = right["laws"]["each"]["fire: size, level"]
    assert law["truth"] == pytest.approx(1.0)
    assert law["model"] == pytest.approx(1.0)
    assert law["cascade"] == 0.0
    assert wrong["laws"]["rows"]["model"]["value"] == pytest.approx(-1.0)


def test_two_sources_in_one_picture_keep_their_places() -> None:
    mask = np.zeros((8, 8), np.float32)
    mask[:4] = 1
    sources = [dataclasses.replace(s, region=Region(mask)) for s in bright(2, 0)[:2]]
    image, here, there = hear_laws.in_one(*sources)
    assert image.width == 2 * image.height
    assert here.centre.x < 0.35
    assert there.centre.x > 0.65
    assert here.centre.y < 0.3
    assert here.area == pytest.approx(0.25, abs=0.02)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    scenes.generate(3, 0, out, split="test", workers=1, side=64, seconds=1.0, progress=False)
    return out


def test_a_world_is_read_as_it_was_made(world: Path) -> None:
    sources = hear_laws.read(world, "test", 100)
    truths = [s for e in shards.examples(world, only={"json"}) for s in e.truth["sources"]]  # type: ignore[union-attr]
    assert [s.kind for s in sources] == [t["kind"] for t in truths]
    assert all(s.seen["distance_m"] == t["distance_m"] for s, t in zip(sources, truths, strict=True))
    again = [s.again(1.0, 0) for s in sources]
    for s, a in zip(sources, again, strict=True):  # levels are those of the source, not those of the file
        assert attributes(s.sound.mono, RATE).level == pytest.approx(attributes(a.mono, a.rate).level, abs=12)
    assert len(hear_laws.read(world, "test", 1)) == len({s.kind for s in sources})


def test_a_world_of_another_split_or_without_parameters_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'train' is needed"):
        hear_laws.read(world, "train", 1)
    members = {
        "jpg": shards.encode_jpeg(np.zeros((64, 64, 3), np.uint8)),
        "json": shards.encode_json({"split": "test", "sources": [{"kind": "dog"}], "scale": 1.0}),
        "safetensors": shards.encode_arrays({"masks": np.zeros((1, 4, 4), np.uint8)}),
        "hit0.flac": shards.encode_flac(Sound(noise(0.1)[None], RATE)),
    }
    shards.write(tmp_path / "test-00000.tar", [("test-0", members)])
    with pytest.raises(InputError, match="not a drawn scene"):
        hear_laws.read(tmp_path, "test", 1)


# --- our own judge ---------------------------------------------------------------------------------------------------


def recorded(kind: str, seed: int, seconds: float = 3.0) -> Sound:
    rng = np.random.default_rng(seed)
    if kind == "hum":
        wave = tone(rng.uniform(100, 200), seconds) + noise(seconds, seed, 0.01)
    elif kind == "hiss":
        wave = noise(seconds, seed, rng.uniform(0.05, 0.2))
    else:
        wave = noise(seconds, seed, 1e-3)
        wave[:: RATE // int(rng.integers(4, 9))] += 0.5
    return Sound(wave[None], RATE)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    items = []
    for n, (kind, k) in enumerate((kind, k) for kind in ("hum", "hiss", "tick") for k in range(6)):
        truth = {"kind": kind, "cluster": f"{kind}{k}", "split": "judge"}
        sound = shards.encode_flac(recorded(kind, 100 * n))
        items.append((f"judge-{n}", {"json": shards.encode_json(truth), "hit0.flac": sound}))
    shards.write(folder / "judge-00000.tar", items)
    return folder


def test_the_judge_knows_unheard_recordings_of_its_kinds_at_any_level(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNESTHESIA_CACHE", str(tmp_path))
    ear = hear_judge.load(packed)
    for kind in ear.labels:
        for seed in (7, 8):
            sound = recorded(kind, seed)
            assert next(iter(ear.kinds(sound))) == kind
            quiet = Sound(sound.samples * np.float32(0.03), RATE)
            assert np.allclose(ear.listen(sound)[1], ear.listen(quiet)[1], atol=0.02)
    kept = list(tmp_path.rglob("*.safetensors"))
    assert len(kept) == 1
    again = hear_judge.load(packed)  # from the cache
    assert np.allclose(again.listen(recorded("hum", 9))[1], ear.listen(recorded("hum", 9))[1], atol=1e-3)
    assert again.labels == ear.labels
    (packed / "train-00000.tar").write_bytes(b"never read")
    assert hear_judge.load(packed).gamma == again.gamma
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    kept[0].write_bytes(kept[0].read_bytes()[:100])
    with pytest.raises(InputError):
        hear_judge.load(packed)


def test_short_and_silent_sounds_are_judged_and_shards_without_judges_refused(tmp_path: Path) -> None:
    for samples in (np.zeros(1), np.zeros(RATE), noise(0.01)):
        found = hear_judge.looks(Sound(samples[None].astype(np.float32), RATE))
        assert len(found) == 1
        assert np.isfinite(hear_judge.statistics(found[0])).all()
    assert len(hear_judge.looks(Sound(noise(9.0)[None], RATE), most=3)) == 3
    with pytest.raises(InputError, match="no shards of the split judge"):
        hear_judge.load(tmp_path)


# --- many sounds at once ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Hearing:
    folder = tmp_path_factory.mktemp("hear")
    torch.manual_seed(0)
    config = LocatorConfig(EyesConfig(64, (8, 8, 16, 16), (1, 1, 1, 1)), grounding=GroundingConfig(16, 2, 16, 1))
    Locator(config).save(folder / "locate")
    locator = Locator.load(folder / "locate")
    mapper = MapperConfig(locator.eyes.dense, Bands.space, width=32, layers=2, heads=2)
    hearing = Hearing(HearingConfig(str(folder / "locate"), mapper, steps=2, sure=1e-6), locator).eval()
    with torch.no_grad():
        hearing.mapper.scale.mean[:64] = -50.0
        hearing.mapper.scale.std[:64] = 6.0
    return hearing


@pytest.mark.parametrize("sure", [1e-6, 1.0])
def test_many_at_once_are_the_single_ones(model: Hearing, sure: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "config", dataclasses.replace(model.config, sure=sure))
    rng = np.random.default_rng(0)
    images = [Image(rng.integers(0, 255, (64, 64, 3), np.uint8)) for _ in range(3)]
    regions, seeds = [Region.whole(), Region.box(0, 0, 0.5, 1), Region.box(0.5, 0, 1, 1)], [5, 9, 2]
    focus, louder = model.focus, iter([0.0, -9.0, 4.0] * 2)  # as loud as each looks, one way and the other
    monkeypatch.setattr(model, "focus", lambda *at: dataclasses.replace(focus(*at), louder_db=next(louder)))
    one = model.sounds(images, regions, 0.4, seeds)
    many = Chorus(model).sounds(images, regions, 0.4, seeds)
    for a, b in zip(one, many, strict=True):
        assert a.samples.shape == b.samples.shape
        assert np.abs(a.samples - b.samples).max() < 1e-4 * max(1.0, np.abs(a.samples).max())


def test_the_parts_of_a_scene_add_up(model: Hearing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hear, "SHORT", 0.3)
    told = hear.mixes(model, [flat(90), flat(200)], 0)
    assert told["off"] < 1e-6
    assert told["peak"] <= 1.0


def test_a_source_is_found_by_the_part_that_covers_most_of_it() -> None:
    left, right = Region.box(0, 0, 0.5, 1), Region.box(0.5, 0, 1, 1)

    class Model:
        def see(self, images: Sequence[Image]) -> list[Image]:
            return list(images)

        def plan(self, view: Image, spot: None, seed: int) -> SimpleNamespace:
            parts = [left, Region.whole()] if view.pixels[0, 0, 0] == 90 else []
            return SimpleNamespace(foci=[SimpleNamespace(region=part) for part in parts])

    def source(scene: str, grey: int, region: Region) -> hear_laws.Source:
        return hear_laws.Source(scene, flat(grey), region, "rain", {}, 1.0, Sound(noise(0.1)[None], RATE))

    three = [source("a", 90, left), source("a", 90, right), source("b", 200, left)]
    told = hear.found(cast("Hearing", Model()), three)
    assert told["iou"]["value"] == pytest.approx((1 + 0.5 + 0) / 3, abs=0.01)
    assert told["half"]["value"] == pytest.approx(2 / 3)
    assert told["parts"] == 1.0


# --- where -----------------------------------------------------------------------------------------------------------


def test_quarters_cover_a_picture_once_and_hold_their_photos() -> None:
    image, regions = collage.in_quarters([flat(v) for v in (0, 80, 160, 240)])
    assert np.allclose(np.sum([r.mask for r in regions], axis=0), 1, atol=1e-5)
    for region, value, (x, y) in zip(regions, (0, 80, 160, 240), ((0, 0), (1, 0), (0, 1), (1, 1)), strict=True):
        assert (region.centre.x > 0.5, region.centre.y > 0.5) == (x, y)
        assert int(np.asarray(image.pixels)[50 + 300 * y, 50 + 300 * x, 0]) == value


@dataclasses.dataclass(frozen=True)
class Found:
    heat: np.ndarray


class Pointer:
    """Finds a sound where the picture is as bright as the sound is long; or, blind, everywhere alike."""

    config = dataclasses.make_dataclass("Config", [("threshold", float)])(0.5)

    def __init__(self, blind: bool = False) -> None:
        self.blind = blind

    def see(self, images: Sequence[Image]) -> list[np.ndarray]:
        return [np.asarray(i.pixels)[..., 0].astype(float) for i in images]

    def hear(self, sounds: Sequence[Sound]) -> list[float]:
        return [float(s.mono[0]) * 255 for s in sounds]

    def find(self, seen: np.ndarray, heard: float) -> Found:
        return Found(np.full(seen.shape, 0.7) if self.blind else np.exp(-(((seen - heard) / 10) ** 2)))

    def match(self, seen: Sequence[np.ndarray], heard: Sequence[float]) -> np.ndarray:
        return np.array([[0.0 if self.blind else -abs(s.mean() - h) for h in heard] for s in seen])


def held() -> hear.Held:
    values = {"a": 40, "b": 90, "c": 140, "d": 190}
    photos = {k: [(f"{k}{n}", f"{k}{n}", flat(v)) for n in range(3)] for k, v in values.items()}
    sounds = {k: [Sound(np.full((1, 400), v / 255, np.float32), 100)] for k, v in values.items()}
    return hear.Held({**photos, "silent": [("s", "s", flat(240)), ("t", "t", flat(250))]}, sounds)


def test_who_knows_where_points_and_who_does_not_is_the_whole_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(locate, "read", lambda *a, **k: held())
    right = locate.evaluate(Pointer(), Path("x"), pairs=6)
    rows = right["collages"]["rows"]
    assert rows["model"]["share_iou_half"]["value"] == 1.0
    assert rows["model"]["pointing"]["value"] > 0.99  # on a seam a pixel of another photo may be as bright
    assert rows["shuffled"]["share_iou_half"]["value"] < 0.7  # a sound of another kind that is often not there
    assert rows["whole"]["mean_iou"]["value"] == pytest.approx(0.25, abs=0.01)
    assert rows["whole"]["pointing"]["value"] == pytest.approx(0.25, abs=0.01)
    assert rows["centre"]["share_iou_half"]["value"] == 0.0
    assert right["retrieval"]["sound_to_photo_r1"]["value"] == 1.0
    assert right["retrieval"]["chance_r1"] == 0.25
    blind = locate.evaluate(Pointer(blind=True), Path("x"), pairs=6)
    assert blind["collages"]["rows"]["model"]["mean_iou"] == blind["collages"]["rows"]["whole"]["mean_iou"]
    assert blind["retrieval"]["sound_to_photo_r1"]["value"] == 0.0  # a tie with all is half of their number behind
    text = locate.table(right)
    assert "chance R@1 25 %" in text
    lines = {line["name"]: line for line in hear_report.locate_table(right)}
    assert lines["collages"]["value"] == 1.0


# --- clips -----------------------------------------------------------------------------------------------------------


def test_ranks_count_what_beats_the_own_one() -> None:
    score = np.array([[3.0, 1, 2], [5, 4, 1], [1, 1, 1]])
    assert hear_clips.ranks(score).tolist() == [0.0, 1.0, 1.0]


class Pitch:
    """Hears low and high, and where a sound lies by its brightness."""

    def listen(self, sound: Sound) -> tuple[dict[str, float], np.ndarray]:
        b = attributes(sound.mono, sound.rate).brightness
        order = ["low", "middle", "high"] if b < 0 else ["high", "middle", "low"]
        return {k: 1.0 - n for n, k in enumerate(order)}, np.array([b, 1.0])

    def kinds(self, sound: Sound) -> dict[str, float]:
        return self.listen(sound)[0]


class Player(Follower):
    """Plays what the clip is known to sound like: dark pictures low, bright ones high."""

    def sounds(
        self, images: Sequence[Image], regions: Sequence[Region], seconds: float, seeds: Sequence[int]
    ) -> list[Sound]:
        return [Sound(tone(100.0 * 2 ** (int(i.pixels[0, 0, 0]) / 40), 0.3)[None], RATE) for i in images]

    def see(self, images: Sequence[Image]) -> list[Image]:
        return list(images)

    def hear(self, sounds: Sequence[Sound]) -> list[Sound]:
        return list(sounds)

    def match(self, seen: Sequence[Image], heard: Sequence[Sound]) -> np.ndarray:
        return -np.eye(len(seen))

    def kinds(self, features: np.ndarray) -> list[str]:
        return ["low"] * len(features)


class Constant(Player):
    """Always the same sound."""

    def sounds(self, features: np.ndarray, seconds: float, seeds: Sequence[int]) -> list[Sound]:  # type: ignore[override]
        return [Sound(tone(100.0, 0.3)[None], RATE) for _ in features]


def test_clips_are_heard_as_their_own_sound_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clips = [
        hear_clips.Clip(f"c{k}", flat(30 * k), Sound(tone(100.0 * 2 ** (30 * k / 40), 0.3)[None], RATE))
        for k in range(8)
    ]
    monkeypatch.setattr(hear_clips, "read", lambda folder: (clips, ["x.mp4 is silent."]))
    told = hear_clips.evaluate(Player(), Player(), Constant(), Constant(), {"pitch": Pitch()}, tmp_path)
    rows = told["pitch"]["rows"]
    assert rows["model"]["agree"]["value"] == 1.0
    assert rows["model"]["retrieval"]["r1"]["value"] == 1.0
    assert 0 < rows["cascade"]["agree"]["value"] < 1.0
    assert rows["model"]["kad"] < rows["cascade"]["kad"]
    assert told["locator"]["frame_to_sound"]["r1"]["value"] == 0.0
    assert told["left_out"] == ["x.mp4 is silent."]


def test_a_folder_without_clips_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder with videos"):
        hear_clips.read(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"no video")
    pytest.importorskip("av")
    with pytest.raises(InputError, match="fewer than two clips"):
        hear_clips.read(tmp_path)


# --- the photos' protocols -------------------------------------------------------------------------------------------


def shots(n: int = 12) -> list[Shot]:
    return [Shot(f"{k}", flat(k), Region.whole(), ("low", "high")[k % 2], f"photo{k}") for k in range(n)]


def test_rows_by_ear_their_shares_and_leads() -> None:
    asked = shots()
    right = [Sound(tone(200.0 if s.kind == "low" else 4000.0, 0.2)[None], RATE) for s in asked]
    wrong = right[1:] + right[:1]
    rows = {"model": right, "real": right, "neighbour": wrong, "cascade": right[:6] + wrong[6:]}
    heard = hear.verdicts(Pitch(), rows, asked)
    told = hear.by_ear(heard, asked)
    assert told["rows"]["model"]["first"]["value"] == 1.0
    assert told["rows"]["neighbour"]["first"]["value"] == 0.0
    assert told["rows"]["neighbour"]["of_three"]["value"] == 1.0
    assert told["share"]["value"] == 1.0
    assert told["lead"]["cascade"]["value"] == 0.5
    far = hear.distances(heard, asked)
    own = far["rows"]["model"]["kad"]
    assert own["low"] <= own["value"] <= own["high"]
    assert own["value"] == pytest.approx(0.0, abs=15)  # the real ones themselves
    assert far["lead"]["neighbour"]["value"] == pytest.approx(
        far["rows"]["neighbour"]["kad"]["value"] - far["rows"]["model"]["kad"]["value"]
    )


def test_a_copy_is_found_at_any_lag_and_what_is_new_is_not() -> None:
    rng = np.random.default_rng(0)
    steps = np.repeat(10 ** rng.uniform(-2, 0, 60), RATE // 10)
    known = Sound((noise(6.0) * steps)[None], RATE)
    part = Sound(known.samples[:, 5000 : 5000 + 3 * RATE], RATE)
    other = Sound((noise(3.0, 5) * np.repeat(10 ** rng.uniform(-2, 0, 30), RATE // 10))[None], RATE)
    told = hear.copied({"model": [part], "real": [other]}, [known], ["a"])
    assert told["model"]["value"] > 0.6
    assert told["real"]["value"] == 0.0
    assert told["above"]["value"] == told["model"]["value"]


# --- the report ------------------------------------------------------------------------------------------------------


def estimate(value: float, half: float = 0.05) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "n": 9, "objects": 9}


def figures(lead: float = 0.2, two: float = 0.85, above: float = 0.01) -> dict[str, Any]:
    leads = {"neighbour": estimate(lead), "cascade": estimate(lead)}
    judged = {"rows": {"model": estimate(two)}, "lead": leads}
    return {
        "seed": 0, "pairing": "paired by kind", "kinds": 26,
        "by_ear": {j: {"share": estimate(0.7), "lead": leads} for j in ("yamnet", "own")},
        "distances": {j: {"lead": leads} for j in ("yamnet", "own")},
        "two_kinds": dict.fromkeys(("yamnet", "own"), judged),
        "one_kind": {"one_picture": judged, "two_pictures": judged, "laws": {"rows": {"model": estimate(0.6)}}},
        "copied": {"above": estimate(above)},
        "speed": {"eight_seconds": 1.0, "first_sound": 0.5},
    }  # fmt: skip


def test_the_table_says_what_is_met() -> None:
    lines = {line["name"]: line for line in hear_report.hear_table(figures())}
    assert lines["two_kinds"]["met"] == {"floor": True, "aim": False}
    assert lines["one_picture"]["met"] == {"floor": True, "aim": True}
    assert lines["cascade"]["met"] == {"floor": True, "aim": True}
    assert lines["worse"]["met"]["aim"]
    assert lines["copied"]["met"] == {"floor": True, "aim": False}
    assert lines["first_sound"]["met"] == {"floor": False, "aim": False}
    worse = {line["name"]: line for line in hear_report.hear_table(figures(lead=-0.2))}
    assert not worse["cascade"]["met"]["floor"]
    assert "KAD, own: neighbour" in worse["worse"]["worse"]
    assert not hear_report.worse_than(figures(lead=-0.01))  # the interval reaches over 0


def test_the_page_holds_the_table_and_says_nothing_unescaped(tmp_path: Path) -> None:
    result = figures() | {"table": hear_report.hear_table(figures())}
    shown = [hear.Shown(flat(99), "<dog>", {"model": (Sound(tone(300.0, 0.1)[None], RATE), "cat & co")})]
    page = hear_report.write(tmp_path / "hear.json", "evaluate hear: x<y", result, shown).read_text()
    assert page.count("<audio") == 1
    assert "&lt;dog&gt;" in page
    assert "x&lt;y" in page
    assert "selectivity 2-AFC" in page
    assert json.loads((tmp_path / "hear.json").read_text())["table"][0]["name"] == "two_kinds"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["hear", "x", "--judge", "y", "--pairs", "0"], "At least one pair"),
        (["hear", "x", "--judge", "y", "-o", "out.txt"], "ends in .json"),
        (["locate", "x", "--pairs", "-3"], "At least one pair"),
        (["locate", "nowhere", "--model", "nowhere", "-o", "out.json"], "nowhere"),
    ],
)
def test_bad_input_is_a_sentence(
    command: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", *command]) == 2
    assert says in capsys.readouterr().err


def test_an_ear_is_not_asked_about_kinds_that_it_was_not_taught() -> None:
    """Only the place of that kind is left out; the other one of the pair counts."""

    class Ear:
        def kinds(self, sound: Sound) -> dict[str, float]:
            return {"low": -attributes(sound.mono, sound.rate).brightness}

    low, odd = (Shot(kind, flat(0), Region.whole(), kind, kind) for kind in ("low", "odd"))
    sounds = [Sound(tone(hz)[None], RATE) for hz in (200.0, 4000.0)]
    np.testing.assert_array_equal(hear.told_apart([(low, odd)], sounds, Ear()), [1.0, np.nan])
    np.testing.assert_array_equal(hear.told_apart([(low, odd)], sounds[::-1], Ear()), [0.0, np.nan])
