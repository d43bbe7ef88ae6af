"""Birds without names: their looks, the laws of their songs, and the pictures and sounds that are made of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from synesthesia import cli, media, metrics, shards
from synesthesia.metrics import song as judge
from synesthesia.senses import Example, Image, InputError
from synesthesia.worlds import bird_laws as laws
from synesthesia.worlds import bird_looks, bird_places, bird_songs, birds, noises, scenes
from synesthesia.worlds.bird_bodies import Pose
from synesthesia.worlds.bird_looks import Lamp
from synesthesia.worlds.bird_places import Bird, Plan

SIDE, SECONDS, COUNT, SEED = 64, 0.8, 5, 3
CONFIG: dict[str, Any] = {"side": SIDE, "seconds": SECONDS, "per_shard": 2, "progress": False}
TRAITS, VOICE = list(laws.TRAITS), list(laws.VOICE)
SPECIES = [laws.species(k) for k in range(1500)]
LOOKS, SONGS = (np.stack([getattr(one, name) for one in SPECIES]) for name in ("look", "song"))


def plain(**changes: float) -> dict[str, float]:
    """The traits in the middle of the cube, with some of them changed."""
    return laws.traits(np.zeros(len(TRAITS))) | changes


# --- laws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trait", "voice", "sign"),
    [
        ("length_m", "pitch_hz", -1),
        ("length_m", "rate_hz", -1),
        ("bill_depth", "trill_hz", -1),
        ("tail", "repertoire", 1),
    ],
)
def test_law_a_has_the_trends_that_it_is_said_to_have(trait: str, voice: str, sign: int) -> None:
    low, high = LOOKS.copy(), LOOKS.copy()
    low[:, TRAITS.index(trait)], high[:, TRAITS.index(trait)] = -0.9, 0.9
    step = sign * (laws.songs(high) - laws.songs(low))[:, VOICE.index(voice)]
    assert (step > 0).mean() > 0.97
    assert step.mean() > 0.6


def test_a_bigger_bird_sings_lower() -> None:
    small, large = (plain(length_m=metres) for metres in (0.1, 0.32))
    looks = np.zeros((2, len(TRAITS)))
    looks[:, 0] = [-0.85, 0.85]
    songs = [laws.song(one) for one in laws.songs(looks)]
    pitches = [
        judge.song(bird_songs.sing(song, 2.0, np.random.default_rng(0))[0], bird_songs.RATE)[0] for song in songs
    ]
    assert pitches[0] - pitches[1] > 1.0  # an octave
    assert birds.loudness(large["length_m"]) > birds.loudness(small["length_m"])


@pytest.mark.parametrize("law", laws.LAWS)
def test_a_law_is_smooth_and_bent_and_says_most_of_a_song(law: str) -> None:
    songs = laws.songs(LOOKS, law)
    assert np.abs(songs.mean(0)).max() < 0.1
    assert songs.std(0) == pytest.approx(1, abs=0.07)
    rng = np.random.default_rng(0)
    nudge = 0.01 * rng.standard_normal(LOOKS.shape)
    assert np.abs(laws.songs(LOOKS + nudge, law) - songs).max() < 0.3  # no cliffs
    straight = np.c_[LOOKS, np.ones(len(LOOKS))]
    rest = songs - straight @ np.linalg.lstsq(straight, songs, rcond=None)[0]
    assert (rest.var(0) > 0.04).all()  # a straight line is not all of it
    told = np.stack([laws.species(k, law).song for k in range(400)])
    assert (told - songs[:400]).std(0) == pytest.approx(laws.SCATTER, rel=0.15)


def test_the_laws_differ_in_what_they_follow() -> None:
    a, b = laws.songs(LOOKS, "a"), laws.songs(LOOKS, "b")
    assert np.abs([np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(len(VOICE))]).mean() < 0.25
    assert abs(np.corrcoef(b[:, 0], LOOKS[:, 0])[0, 1]) < 0.2  # size does not tell the pitch under law b
    assert all((laws.species(k, "b").look == SPECIES[k].look).all() for k in range(5))


def test_the_laws_are_frozen() -> None:
    """These numbers may change only together with `VERSION`."""
    assert laws.VERSION == 1
    found = [laws.species(number, law) for number, law in ((0, "a"), (7000, "a"), (7000, "b"))]
    assert [float(one.look[0]) for one in found] == pytest.approx(GOLDEN_LOOK, abs=1e-9)
    assert [float(one.song[0]) for one in found] == pytest.approx(GOLDEN_SONG, abs=1e-6)


GOLDEN_LOOK = [-0.3362552163, 0.997747619, 0.997747619]
GOLDEN_SONG = [1.30296935, -0.73961888, -1.71841636]


def test_splits_share_no_species() -> None:
    numbers = [n for span in laws.SPLITS.values() for n in span]
    assert len(set(numbers)) == len(numbers) == 8000
    assert [laws.split_of(span[0]) for span in laws.SPLITS.values()] == list(laws.SPLITS)
    for split, span in laws.SPLITS.items():
        for k in range(20):
            assert all(one.number in span for one in birds._singers(np.random.default_rng(k), split, "a"))


def test_individuals_are_closer_than_species() -> None:
    rng = np.random.default_rng(1)
    within = np.std([laws.individual(SPECIES[0], rng)[1].pitch_hz for _ in range(40)])
    across = np.std([laws.individual(one, rng)[1].pitch_hz for one in SPECIES[:40]])
    assert 0.01 < within / across < 0.25


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=len(VOICE), max_size=len(VOICE)))
def test_every_song_lies_in_its_ranges(deviations: list[float]) -> None:
    song = laws.song(np.array(deviations))
    assert all(span.low - 1e-6 <= getattr(song, name) <= span.high + 1e-6 for name, span in laws.VOICE.items())


def test_what_no_law_knows_is_refused() -> None:
    with pytest.raises(InputError, match="law is one of"):
        laws.species(0, "c")
    with pytest.raises(InputError, match="numbers 0 to 7999"):
        laws.species(8000)
    with pytest.raises(InputError, match="pitch_hz of a song"):
        replace(laws.song(np.zeros(len(VOICE))), pitch_hz=math.nan)


# --- songs -----------------------------------------------------------------------------------------------------------

RICH = replace(laws.song(np.zeros(len(VOICE))), pitch_hz=6000.0, richness=0.75, range_oct=1.2, voices=0.7, breath=0.01)


def test_no_harmonic_lies_above_its_limit() -> None:
    """What would fold back comes out nowhere: above 0.47 of the rate, and below the lower voice, it is still."""
    wave, _ = bird_songs.sing(RICH, 3.0, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    hz = np.fft.rfftfreq(len(wave), 1 / bird_songs.RATE)
    assert power[hz > 0.47 * bird_songs.RATE].sum() < 1e-6 * power.sum()
    assert power[hz < 1200].sum() < 1e-5 * power.sum()


def test_the_same_song_is_made_at_another_rate() -> None:
    song = replace(RICH, pitch_hz=2000.0, repertoire=1.0)
    low, high = (bird_songs.sing(song, 1.5, np.random.default_rng(2), rate) for rate in (32_000, 48_000))
    one, other = judge.song(low[0], 32_000), judge.song(high[0], 48_000)
    assert one[:4] == pytest.approx(other[:4], abs=0.06)


def test_what_is_told_of_a_rendition_is_what_is_heard() -> None:
    for k in range(6):
        song = replace(laws.song(SPECIES[k].song), voices=0.1, breath=0.02)
        wave, sung = bird_songs.sing(song, 3.0, np.random.default_rng(k))
        heard = dict(zip(judge.NAMES, judge.song(wave, bird_songs.RATE), strict=True))
        assert np.abs(wave).max() == pytest.approx(1)
        assert sung.low_hz <= sung.mean_hz <= sung.high_hz
        assert abs(metrics.cents(np.array(sung.mean_hz), np.array(2 ** heard["pitch"]))) < 40
        assert heard["range"] <= math.log2(sung.high_hz / sung.low_hz) + 0.05
        assert heard["sweep"] == pytest.approx(sung.sweep_oct, abs=0.12)
        assert 2 ** heard["rate"] == pytest.approx(sung.rate_hz, rel=0.1)
        found = judge.syllables(judge.track(wave, bird_songs.RATE))
        assert len(found) == pytest.approx(sung.syllables, abs=1)


def test_own_species_is_known_among_ten_by_another_bird_of_it() -> None:
    heard = np.zeros((2, 16, len(judge.NAMES)))
    for k in range(16):
        for twice in range(2):
            rng = np.random.default_rng([k, twice])
            song = laws.individual(laws.species(7000 + k), rng)[1]
            heard[twice, k] = judge.song(bird_songs.sing(song, 2.0, rng)[0], bird_songs.RATE)
    gaps = np.stack([judge.distance(one, heard[1], np.nanstd(heard[0], axis=0)) for one in heard[0]])
    own = np.diag(gaps)[:, None]
    nearer = (gaps < own).sum(1) / 15  # the share of others that are nearer than the own one
    assert ((1 - nearer) ** 9).mean() > 0.9


def test_the_seed_is_the_rendition_and_the_echo_follows_it() -> None:
    song = laws.song(SPECIES[4].song)
    one, again, other = (bird_songs.sing(song, 1.0, np.random.default_rng(seed))[0] for seed in (5, 5, 6))
    assert (one == again).all()
    assert np.abs(one - other).max() > 0.1
    far = bird_songs.sing(song, 1.0, np.random.default_rng(5), echo_db=-20.0)[0].astype(float)
    dry = one * (far @ one) / (one @ one)
    assert 10 * math.log10(np.mean((far - dry) ** 2) / np.mean(dry**2)) == pytest.approx(-20, abs=4)


@pytest.mark.parametrize(("seconds", "rate"), [(0.05, 32_000), (math.nan, 32_000), (1.0, 8000), (90.0, 32_000)])
def test_impossible_songs_are_refused(seconds: float, rate: int) -> None:
    with pytest.raises(InputError, match="A song lasts"):
        bird_songs.sing(RICH, seconds, np.random.default_rng(0), rate)


# --- looks -----------------------------------------------------------------------------------------------------------

LAMP = Lamp(*(np.array(v, np.float32) for v in ([1.0, 1, 1], [0.4, 0.4, 0.4], [0.1, 0.1, 0.1], [0, 0.8, 0.6])))


def test_oklab_is_what_it_is_said_to_be() -> None:
    assert bird_looks.oklab(1.0, 0.0, 0.0) == pytest.approx(np.ones(3), abs=2e-3)
    assert bird_looks.oklab(0.5, 0.0, 0.0) == pytest.approx(np.full(3, 0.125), abs=1e-3)  # L = ∛Y for greys
    assert bird_looks.oklab(0.62796, 0.22486, 0.12585) == pytest.approx(np.array([1, 0, 0]), abs=2e-3)
    assert bird_looks.oklab(0.9, 0.4, 0.0).max() <= 1  # no screen shows that; something of that lightness comes


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 7999), st.floats(-40, 40), st.floats(-10, 15))
def test_a_bird_seen_from_its_other_side_is_its_mirror_image(number: int, yaw: float, pitch: float) -> None:
    traits = laws.traits(laws.species(number).look)
    one, other = (bird_looks.sprite(traits, Pose(yaw=angle, pitch=pitch), 40, LAMP) for angle in (yaw, 180 - yaw))
    flipped = other.alpha[:, ::-1]
    shift = round(one.foot[1] - (other.alpha.shape[1] - other.foot[1]))
    canvas = np.zeros((2, *(2 * n + 40 for n in np.maximum(one.alpha.shape, flipped.shape))))
    canvas[0, 10 : 10 + one.alpha.shape[0], 20 : 20 + one.alpha.shape[1]] = one.alpha
    rows = 10 + round(one.foot[0] - other.foot[0])
    canvas[1, rows : rows + flipped.shape[0], 20 + shift : 20 + shift + flipped.shape[1]] = flipped
    assert np.minimum(*canvas).sum() / np.maximum(*canvas).sum() > 0.9


def test_traits_show_where_they_should() -> None:
    def drawn(**changes: float) -> bird_looks.Sprite:
        return bird_looks.sprite(plain(**changes), Pose(), 60, LAMP)

    base = drawn()
    assert drawn(roundness=0.64).alpha.sum() > 1.15 * drawn(roundness=0.36).alpha.sum()
    assert drawn(tail=0.95).alpha.shape[1] > drawn(tail=0.2).alpha.shape[1] + 15
    assert drawn(leg=0.6).foot[0] - drawn(leg=0.16).foot[0] == pytest.approx(0.44 * 60, abs=3)
    assert drawn(bill_length=1.5).alpha.shape[1] > base.alpha.shape[1] + 8
    # A smaller bird has the larger head and eyes: what is nearly black grows though the body's length in pixels stays.
    dark = [
        (sprite.light.max(-1) < 0.03)[sprite.alpha > 0.9].sum() for sprite in (drawn(length_m=0.1), drawn(length_m=0.3))
    ]
    assert dark[0] > 1.5 * dark[1] > 0
    same = drawn(length_m=0.18 * 1.0000001)
    assert base.alpha.shape == same.alpha.shape
    red, blue = drawn(breast_a=0.13, breast_b=0.1).light, drawn(breast_a=-0.06, breast_b=-0.04).light
    changed = np.abs(red - blue).max(-1) > 0.02
    assert 0.1 < changed[base.alpha > 0.9].mean() < 0.7  # the breast, and neither back nor cap


def test_a_sprite_scales_with_its_pixels() -> None:
    small, large = (bird_looks.sprite(plain(), Pose(), pixels, LAMP) for pixels in (40, 80))
    assert large.alpha.sum() / small.alpha.sum() == pytest.approx(4, rel=0.04)
    assert large.alpha.min() >= 0
    assert large.alpha.max() == 1


# --- pictures --------------------------------------------------------------------------------------------------------


def a_plan(seed: int) -> Plan:
    rng = np.random.default_rng(seed)
    return birds.plan(rng, [laws.traits(laws.species(int(n)).look) for n in rng.choice(6000, 2, replace=False)])


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_masks_mark_the_birds_and_nothing_else(seed: int) -> None:
    """Birds of other colours change the picture just where the masks are."""
    plan = a_plan(seed)
    image, masks = bird_places.draw(plan, 96)
    assert masks.sum(0).max() <= 1 + 1e-5
    assert masks.min() >= 0
    for k, bird in enumerate(plan.birds):
        pale = {f"{part}_l": laws.TRAITS[f"{part}_l"].high for part in ("back", "breast", "cap", "wing")}
        dark = {f"{part}_l": laws.TRAITS[f"{part}_l"].low for part in ("back", "breast", "cap", "wing")}
        seen = []
        for colours in (pale, dark):
            others = [replace(b, traits={**b.traits, **colours}) if b is bird else b for b in plan.birds]
            seen.append(bird_places.draw(replace(plan, birds=tuple(others)), 96)[0].pixels.astype(int))
        changed = np.abs(seen[0] - seen[1]).max(-1) > 4
        near = ndimage.maximum_filter(masks[k], 5) > 0.02
        assert not (changed & ~near).any()
        assert changed[masks[k] > 0.95].mean() > 0.6
    assert image.pixels.shape == (96, 96, 3)


def test_a_mirrored_picture_has_the_mirrored_masks() -> None:
    plan = a_plan(5)
    (one, masks), (other, flipped) = (bird_places.draw(replace(plan, mirrored=m), 64) for m in (False, True))
    assert (one.pixels[:, ::-1] == other.pixels).all()
    assert (masks[..., ::-1] == flipped).all()


def test_what_stands_before_a_bird_is_not_the_bird() -> None:
    bird = Bird(plain(), Pose(), 0.4, 0.5, 0.7, "branch", 0.0)
    shown = []
    for cover in (0.0, 1.0):
        plans = [Plan(seed, "day", "wood", (replace(bird, cover=cover),)) for seed in range(4)]
        shown.append(sum(bird_places.draw(plan, 64)[1].sum() for plan in plans))
    assert shown[1] < 0.97 * shown[0]
    first, second = replace(bird, x=0.45), replace(bird, x=0.55)
    alone = bird_places.draw(Plan(0, "day", "wood", (first,)), 64)[1]
    both = bird_places.draw(Plan(0, "day", "wood", (first, second)), 64)[1]
    assert both[0].sum() < 0.8 * alone[0].sum()  # the later one stands before it


def test_a_photo_is_the_background() -> None:
    red = Image(np.full((50, 70, 3), (220, 10, 10), np.uint8))
    plan = replace(a_plan(1), photo=red)
    image, masks = bird_places.draw(plan, 64)
    away = ndimage.maximum_filter(masks.sum(0), 9) < 0.01
    assert np.median(image.pixels[away][:, 0].astype(int) - image.pixels[away][:, 1]) > 120


@pytest.mark.parametrize(
    ("bad", "message"), [({"light": "night"}, "Light is one of"), ({"place": "moon"}, "Light is one of")]
)
def test_impossible_plans_are_refused(bad: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(a_plan(0), **bad)
    with pytest.raises(InputError, match="pixels wide"):
        bird_places.draw(a_plan(0), 8)
    with pytest.raises(InputError, match="A bird's body is"):
        Plan(0, "day", "wood", (Bird(plain(), Pose(), math.nan, 0.5, 0.5),))


# --- worlds ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("birds")
    birds.generate(COUNT, SEED, base / "a", "test", workers=1, **CONFIG)
    return base


@pytest.fixture(scope="module")
def world(folder: Path) -> list[Example]:
    return list(shards.examples(folder / "a"))


def sources(example: Example) -> list[dict[str, Any]]:
    told = example.truth["sources"]
    assert isinstance(told, list)
    return told


def test_each_bird_has_its_mask_its_song_and_its_numbers(world: list[Example]) -> None:
    assert len(world) == COUNT
    for example in world:
        told, masks = sources(example), example.arrays["masks"]
        assert masks.shape == (len(told), SIDE // 2, SIDE // 2)
        assert masks.astype(int).sum(0).max() <= 255 + len(told)  # each was rounded
        assert len(example.sounds) == len(told) + 1  # the bed
        assert len({one["species"] for one in told}) == len(told)
        for k, one in enumerate(told):
            assert one["kind"] == "bird"
            assert one["mask"] == k
            assert laws.split_of(one["species"]) == "test"
            assert set(one["parameters"]) == set(TRAITS)
            assert set(one["song"]) == set(VOICE)
            kind = laws.species(one["species"])
            gap = [span.at((float(x) + 1) / 2) for span, x in zip(laws.TRAITS.values(), kind.look, strict=True)]
            assert abs(math.log(one["parameters"]["length_m"] / gap[0])) < 0.3  # an individual of that species
            assert one["area"] == pytest.approx(masks[k].mean() / 255, abs=0.01)


def test_songs_are_at_the_levels_that_are_told(world: list[Example]) -> None:
    for example in world:
        scale = example.truth["scale"]
        assert isinstance(scale, float)
        stems = [sound.mono.astype(float) for sound in example.sounds]
        assert np.abs(np.sum(stems, axis=0)).max() <= scenes.PEAK + 0.002
        for one, stem in zip(sources(example), stems, strict=False):
            rms = noises.loudest_second(stem * scale * noises.FULL_SCALE, noises.RATE)
            assert 20 * math.log10(rms / noises.REFERENCE) == pytest.approx(one["level_db"], abs=3)
            away = birds.loudness(one["parameters"]["length_m"]) - 20 * math.log10(one["distance_m"])
            assert one["level_db"] == pytest.approx(away)


def test_bytes_depend_on_neither_workers_nor_kills(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = birds.item

    def killed(w: birds.World, index: int) -> tuple[str, dict[str, bytes]]:
        if index == 3:
            raise KeyboardInterrupt
        return made(w, index)

    monkeypatch.setattr(birds, "item", killed)
    with pytest.raises(KeyboardInterrupt):
        birds.generate(COUNT, SEED, folder / "b", "test", workers=1, **CONFIG)
    monkeypatch.setattr(birds, "item", made)
    paths = birds.generate(COUNT, SEED, folder / "b", "test", workers=1, **CONFIG)
    assert [p.read_bytes() for p in paths] == [(folder / "a" / p.name).read_bytes() for p in paths]


def test_the_other_law_gives_the_same_pictures_other_songs() -> None:
    worlds = [birds.World(SEED, "val", 48, 0.5, law, "") for law in laws.LAWS]
    (_, a), (_, b) = (birds.item(world, 0) for world in worlds)
    assert a["jpg"] == b["jpg"]
    assert a["safetensors"] == b["safetensors"]
    assert a["hit0.flac"] != b["hit0.flac"]


def test_photos_behind_birds(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    with pytest.raises(InputError, match="not a folder of"):
        birds.generate(1, 0, tmp_path / "w", photos=photos, **CONFIG)
    media.write_image(photos / "red.png", Image(np.full((40, 40, 3), (220, 10, 10), np.uint8)))
    world = birds.World(0, "train", 48, 0.3, "a", str(photos))
    places = {shards_truth(birds.item(world, k)[1]["json"])["place"] for k in range(5)}
    assert "photo" in places
    assert len(places) > 1  # half of the pictures keep a drawn place


def shards_truth(data: bytes) -> dict[str, Any]:
    import json

    return json.loads(data)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"split": "objects"}, "A split is"),
        ({"law": "c"}, "A law is"),
        ({"n": 0}, "at least 1"),
        ({"side": 8}, "pixels wide"),
        ({"seconds": math.nan}, "pixels wide"),
    ],
)
def test_impossible_worlds_are_refused_before_anything_is_written(tmp_path: Path, bad: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        birds.generate(**({"n": 1, "seed": 0, "out": tmp_path / "w"} | bad))
    assert not (tmp_path / "w").exists()


def test_the_command_makes_birds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["-n", "1", "--side", "48", "--seconds", "0.3", "--workers", "1"]
    assert cli.main(["world", "birds", "-o", str(tmp_path / "b"), "--split", "val", "--law", "b", *small]) == 0
    (example,) = shards.examples(tmp_path / "b")
    assert example.truth["law"] == "b"
    assert cli.main(["world", "birds", "-o", str(tmp_path / "x"), "--split", "nowhere", *small]) == 2
    assert "A split is" in capsys.readouterr().err
