"""The verb walk, its command, and the folder in which a scene is kept."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synesthesia import acoustics, cli, media, verbs
from synesthesia.bridges.grounding import GroundingConfig, Locator, LocatorConfig
from synesthesia.bridges.hearing import Hearing, HearingConfig
from synesthesia.bridges.mapper import MapperConfig
from synesthesia.bridges.place import place
from synesthesia.bridges.stage import JOIN_S, Camera, Spot, Stage, check_new, read_path
from synesthesia.codecs.bands import Bands
from synesthesia.encoders.vision import EyesConfig
from synesthesia.senses import Image, InputError, Listener, Region, Scene, Sound, Source, Stem

RATE = 16_000
STILL = [(0.0, 0.0, 0.0, 0.0)] * 2


def noise(seed: int, seconds: float = 0.5, level: float = 0.02) -> Sound:
    return Sound(level * np.random.default_rng(seed).standard_normal(round(seconds * RATE)), RATE)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Something on the left, something on the right, over a bed."""
    image = Image(np.random.default_rng(5).integers(60, 200, (60, 90, 3), np.uint8))
    left, right = Region.box(0.1, 0.6, 0.2, 0.7), Region.box(0.6, 0.55, 1.0, 0.65, side=50)
    return Scene(image, (Stem(left, noise(0), 0.9), Stem(right, noise(1), 0.4)), noise(2, level=0.002))


@pytest.fixture(scope="module")
def stage(scene: Scene) -> Stage:
    return place(scene, taken=Camera(60.0, 1.5, 1.6, 0.45))


@pytest.fixture(scope="module")
def system() -> verbs.System:
    """No models at all: whoever walks through a scene that is there needs none."""
    return verbs.System({})


def level_db(samples: np.ndarray) -> float:
    return 10 * math.log10(float((np.asarray(samples, float) ** 2).mean()))


# --- the verb --------------------------------------------------------------------------------------------------------


def test_from_the_camera_it_is_as_loud_as_the_mix(system: verbs.System, stage: Stage, scene: Scene) -> None:
    out = system.walk(stage, STILL, seconds=2.0, format="mono")
    assert out.samples.shape == (1, 2 * RATE)
    assert level_db(out.samples[:, RATE // 2 :]) == pytest.approx(level_db(scene.mix.samples), abs=1.0)


def test_nearer_is_louder_and_turning_the_head_changes_the_ears(system: verbs.System, stage: Stage) -> None:
    x, y, z = stage.spots[0].position
    path = [(0.0, 0.0, 0.0, 0.0), (x, y, z + 1.0, 0.0)]
    out = system.walk(stage, path, seconds=3.0).samples
    assert level_db(out[:, -RATE // 2 :]) > level_db(out[:, RATE // 2 : RATE]) + 6
    for yaw, ear in ((-90.0, 0), (90.0, 1)):  # who looks to the right has what is in front at the left ear
        ears = system.walk(stage, [(x, y, z + 3.0, yaw)] * 2, seconds=1.0).samples[:, RATE // 2 :]
        assert level_db(ears[ear]) > level_db(ears[1 - ear]) + 3


def test_to_the_right_of_a_source_it_is_at_the_left_ear(system: verbs.System, stage: Stage) -> None:
    x, y, z = stage.spots[0].position
    for step, ear in ((2.0, 0), (-2.0, 1)):
        ears = system.walk(stage, [(x + step, y, z, 0.0)] * 2, seconds=1.0).samples[:, RATE // 2 :]
        assert level_db(ears[ear]) > level_db(ears[1 - ear]) + 3


def test_blocks_joined_are_the_whole_and_a_live_renderer_gives_the_same(system: verbs.System, stage: Stage) -> None:
    path = [Listener(), Listener((1.0, 0.0, -2.0), 60.0)]
    whole = system.walk(stage, path, seconds=0.4)
    parts = [block.samples for block in system.walk_blocks(stage, path, seconds=0.4)]
    assert np.array_equal(whole.samples, np.concatenate(parts, axis=1))
    live = acoustics.Renderer(2, stage.place, acoustics.receiver("binaural", RATE), RATE)
    positions, widths = (np.array([getattr(s, name) for s in stage.sources]) for name in ("position", "width"))
    sounds = np.stack([s.sound.samples[0] for s in stage.sources])
    for i, listener in zip(range(3), acoustics.poses(path, 25), strict=False):
        now = slice(i * 256, (i + 1) * 256)
        out = live.render(sounds[:, now], positions, listener, widths, stage.scene.bed.samples[0, now])
        assert np.array_equal(out, parts[i])


@pytest.mark.parametrize(("form", "channels"), [("binaural", 2), ("stereo", 2), ("ambix", 4), ("mono", 1)])
def test_every_format_has_its_channels_and_a_level(
    system: verbs.System, stage: Stage, form: Any, channels: int
) -> None:
    loud, soft = (system.walk(stage, STILL, seconds=0.1, format=form, level_db=db).samples for db in (0.0, -20.0))
    assert loud.shape == (channels, RATE // 10)
    assert np.allclose(soft, 0.1 * loud, atol=1e-7)


def test_a_walk_is_as_long_as_the_scene_or_as_one_likes(system: verbs.System, stage: Stage) -> None:
    assert system.walk(stage, STILL, format="mono").seconds == pytest.approx(0.5)
    long = system.walk(stage, STILL, seconds=3.3, format="mono").samples
    assert long.shape[1] == round(3.3 * RATE)
    levels = [level_db(part) for part in np.array_split(long[0, RATE // 2 :], 12)]
    assert max(levels) - min(levels) < 3, "sounds come again, and where they do it is as loud as before"


def test_a_loop_comes_again_without_a_seam_and_other_sounds_fade_into_themselves() -> None:
    t = np.arange(RATE) / RATE
    tone, ramp = Sound(0.1 * np.sin(2 * np.pi * 50 * t), RATE), Sound(np.linspace(0, 1, RATE), RATE)
    calm = acoustics.Outdoors(None, air=acoustics.Air(absorbing=False))

    def walked(sound: Sound, join: float | None, seconds: float = 2.5) -> np.ndarray:
        renderer = acoustics.Renderer(1, calm, acoustics.receiver("mono", RATE), RATE)
        source = Source(sound, (0.0, 0.0, -1.0))
        return np.concatenate(
            [b.samples[0] for b in acoustics.walk(renderer, [source], [Listener()] * 2, seconds, join=join)]
        )

    late = round(RATE / calm.air.speed) + 32  # and then the first sample has come
    steepest = float(np.abs(np.diff(tone.mono)).max())
    assert np.abs(np.diff(walked(tone, 0.0)[late:])).max() < 1.05 * steepest
    assert np.abs(np.diff(walked(ramp, 0.25)[late:])).max() < 0.01
    assert np.abs(np.diff(walked(ramp, 0.0)[late:])).max() > 0.1, "where there is a seam it is heard"
    assert np.abs(walked(ramp, None)[RATE + late :]).max() < 1e-4
    assert walked(Sound(np.ones(1), RATE), 0.5, 0.1).shape == (RATE // 10,)


def test_a_bed_alone_can_be_walked_through(system: verbs.System, scene: Scene) -> None:
    alone = Scene(scene.image, (), scene.bed)
    out = system.walk(alone, STILL, seconds=1.0, format="mono")
    assert level_db(out.samples[:, RATE // 4 :]) == pytest.approx(level_db(scene.bed.samples), abs=1.5)
    assert "ambience" in verbs.staged_headline(verbs.stage(system, alone))


def test_a_photo_is_heard_in_loops_and_then_walked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: Scene
) -> None:
    torch.manual_seed(0)
    config = LocatorConfig(EyesConfig(64, (8, 8, 16, 16), (1, 1, 1, 1)), grounding=GroundingConfig(16, 2, 16, 1))
    Locator(config).save(tmp_path / "locate")
    locator = Locator.load(tmp_path / "locate")
    mapper = MapperConfig(locator.eyes.dense, Bands.space, width=32, layers=2, heads=2)
    Hearing(HearingConfig(str(tmp_path / "locate"), mapper, steps=1, sure=1e-6), locator).save(tmp_path / "hear")
    monkeypatch.setattr(verbs, "LOOP_S", 1.5)
    media.write_image(tmp_path / "photo.png", scene.image)
    system = verbs.load(hear=tmp_path / "hear")
    staged = system.stage(tmp_path / "photo.png", seed=3)
    assert staged.loop
    assert staged.join == 0
    direct = system.walk(tmp_path / "photo.png", STILL, seconds=0.2, seed=3)
    assert np.array_equal(direct.samples, system.walk(staged, STILL, seconds=0.2).samples)
    assert direct.rate == staged.scene.bed.rate


def test_where_there_is_no_model_it_says_so(system: verbs.System, scene: Scene) -> None:
    with pytest.raises(InputError, match="no model for hear"):
        system.walk(scene.image, STILL)


BAD = [
    ([(0, 0, 0, 0)], "two poses"),
    ("0,0,0,0", "two poses"),
    ("0,0,0,0;0,0,nan,0", "stands at"),
    ("0,0,0,0;0,0,0,inf", "yaw"),
    ("0,0,0;0,0,0", "A pose is"),
    ("0,0,0,0;a,b,c,d", "A pose is"),
    ("", "list of poses"),
    ([], "list of poses"),
    ({"x": 1}, "list of poses"),
    ("0,0,0,0;0,-2,0,0", "below the ground"),
    ("0,0,0,0;0,0,-900,0", "scene ends at"),
    ("nowhere.json", "no file"),
]


@pytest.mark.parametrize(("path", "why"), BAD)
def test_a_path_that_is_none_is_refused_at_once(system: verbs.System, stage: Stage, path: Any, why: str) -> None:
    with pytest.raises(InputError, match=why):
        system.walk_blocks(stage, path)


def test_other_bad_input_is_refused(system: verbs.System, stage: Stage, scene: Scene, tmp_path: Path) -> None:
    for settings_, why in (
        ({"seconds": math.nan}, "seconds lies"),
        ({"level_db": 900.0}, "level_db lies"),
        ({"hrtf": tmp_path / "no.sofa"}, "(?i)sofa"),
        ({"hrtf": "a.sofa", "format": "mono"}, "binaural"),
    ):
        with pytest.raises(InputError, match=why):
            system.walk_blocks(stage, STILL, **settings_)
    walled = place(scene, where=acoustics.Room((-3, -1.6, -6), (3, 1, 2)))
    with pytest.raises(InputError, match="leaves the room"):
        system.walk_blocks(walled, [(0, 0, 0, 0), (5, 0, 0, 0)])
    with pytest.raises(InputError, match="as many places"):
        Stage(scene, (), stage.camera, stage.place)


# --- paths -----------------------------------------------------------------------------------------------------------


def test_a_path_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    poses = [(0.0, 0.0, 0.0, 0.0), (1.0, 0.5, -2.0, 30.0)]
    (tmp_path / "path.json").write_text(json.dumps(poses))
    told = [Listener(pose[:3], pose[3]) for pose in poses]
    for one in (
        poses,
        np.array(poses),
        told,
        "0,0,0,0; 1,.5,-2,30;",
        tmp_path / "path.json",
        str(tmp_path / "path.json"),
    ):
        assert read_path(one) == tuple(told)


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text("0123456789.,;-einfa \n", max_size=60)))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        path = read_path(text)
    except InputError:
        return
    assert all(math.isfinite(c) for pose in path for c in (*pose.position, pose.yaw))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=40), st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=12,
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_any_json_file_is_a_path_or_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "path.json").write_bytes(data)
    try:
        path = read_path(tmp_path / "path.json")
    except InputError:
        return
    assert all(isinstance(pose, Listener) for pose in path)


# --- folders ---------------------------------------------------------------------------------------------------------


def same(a: Stage, b: Stage) -> None:
    assert (a.camera, a.place, a.loop) == (b.camera, b.place, b.loop)
    assert np.array_equal(a.scene.image.pixels, b.scene.image.pixels)
    np.testing.assert_allclose(a.scene.bed.samples, b.scene.bed.samples, atol=2**-22)
    for one, other in zip(a.sources, b.sources, strict=True):
        assert (one.position, one.width, one.sound.rate) == (other.position, other.width, other.sound.rate)
        np.testing.assert_allclose(one.sound.samples, other.sound.samples, rtol=1e-3, atol=2e-5)
    for one, other in zip(a.scene.stems, b.scene.stems, strict=True):
        assert one.confidence == other.confidence
        np.testing.assert_allclose(one.region.on(7, 9), other.region.on(7, 9), atol=1 / 255)


def test_a_scene_comes_back_from_its_folder(stage: Stage, scene: Scene, tmp_path: Path, system: verbs.System) -> None:
    back = Stage.load(stage.save(tmp_path / "scene"))
    same(stage, back)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scene"], "nothing temporary is left"
    a, b = (system.walk(one, STILL, seconds=0.2) for one in (stage, tmp_path / "scene"))
    np.testing.assert_allclose(a.samples, b.samples, atol=1e-5)

    hedge = acoustics.Screen((-2.0, -3.0), (2.0, -3.0), 1.0)
    walls = tuple(tuple(0.1 * (k + 1) for _ in range(7)) for k in range(6))
    for k, where in enumerate((
        acoustics.Room((-9, -1.6, -30), (9, 3, 3), walls, (hedge,), acoustics.Air(20.0, 40.0, absorbing=False)),
        acoustics.Room((-9, -1.6, -30), (9, 3, 3), 0.3), acoustics.Outdoors(None),
        acoustics.Outdoors("snow", -1.0, (hedge,)),
    )):  # fmt: skip
        one = place(scene, where=where, loop=True)
        same(one, Stage.load(one.save(tmp_path / str(k))))


def test_what_is_beyond_full_scale_is_kept_and_small_masks_too(scene: Scene, stage: Stage, tmp_path: Path) -> None:
    stem = Stem(Region(np.array([[0.0, 1.0]])), Sound(40 * noise(0).samples, RATE), 1.0)
    loud = place(Scene(scene.image, (stem,), scene.bed), taken=stage.camera)
    back = Stage.load(loud.save(tmp_path / "loud"))
    np.testing.assert_allclose(back.scene.stems[0].sound.samples, stem.sound.samples, atol=1e-6)
    assert back.spots[0].gain == pytest.approx(loud.spots[0].gain)
    assert back.scene.stems[0].region.on(1, 2).tolist() == [[0.0, 1.0]]


def test_nothing_is_overwritten_and_nothing_is_half_written(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name, why in (("mine", "not empty"), ("file", "is a file"), ("no/scene", "make it first")):
        with pytest.raises(InputError, match=why):
            stage.save(tmp_path / name)
        with pytest.raises(InputError, match=why):
            check_new(tmp_path / name)
    (tmp_path / "empty").mkdir()
    same(stage, Stage.load(stage.save(tmp_path / "empty")))

    def full(*parts: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(media, "write_image", full)
    with pytest.raises(InputError, match="No space"):
        stage.save(tmp_path / "late")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file", "mine"]


@pytest.fixture(scope="module")
def kept(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stage.save(tmp_path_factory.mktemp("kept") / "scene")


def changed(kept: Path, folder: Path, *keys: Any, to: Any) -> Path:
    """A copy of the folder in which one thing in scene.json is different."""
    folder.mkdir()
    for file in kept.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    told = json.loads((folder / "scene.json").read_text())
    inner = told
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    (folder / "scene.json").write_text(json.dumps(told))
    return folder


WRONG: list[tuple[tuple[Any, ...], Any, str]] = [
    (("format",), "gltf", "does not describe"),
    (("version",), 9, "version 9"),
    (("photo",), "../photo.png", "no name of a file"),
    (("photo",), "/etc/passwd", "no name of a file"),
    (("photo",), "other.png", "There is no other.png"),
    (("photo",), None, "no name of a file"),
    (("sources", 0, "sound"), "..", "no name of a file"),
    (("sources", 0, "sound"), "out.wav", "leads out"),
    (("sources", 0, "sound"), "photo.png", "is none of"),
    (("sources", 0, "sound"), "photo.wav", "cannot be read as WAV"),
    (("sources", 0, "sound"), "long.wav", "too long"),
    (("sources", 0, "mask"), "black.png", "empty"),
    (("sources", 0, "position"), [0, 0], "wrong"),
    (("sources", 0, "position"), [0, 0, math.nan], "not JSON"),
    (("sources", 0, "position"), [0, 0, "1"], "finite number"),
    (("sources", 0, "position"), [0, 0, 1e6], "stands at"),
    (("sources", 0, "gain"), -1, "gain lies"),
    (("sources", 0, "width"), -1, "wide"),
    (("sources", 0, "confidence"), 2, "confidence lies"),
    (("sources",), {}, "sources are a list"),
    (("sources",), [{}] * 65, "sources are a list"),
    (("camera", "fov_deg"), 0, "fov_deg lies"),
    (("camera", "spin"), 0, "wrong"),
    (("scale",), 0, "scale lies"),
    (("ground", "kind"), "lava", "no ground"),
    (("ground",), 3, "wrong"),
    (("screens",), [1], "wrong"),
    (("air", "celsius"), 300, "Air has"),
    (("room",), {"low": [0, 0, 0], "high": [1, 1, 1], "absorption": 0.2}, "outside of its room"),
    (("bed",), [], "wrong"),
]


@pytest.mark.parametrize(("keys", "to", "why"), WRONG)
def test_a_wrong_folder_is_refused_with_a_sentence(
    kept: Path, tmp_path: Path, keys: tuple[Any, ...], to: Any, why: str
) -> None:
    folder = changed(kept, tmp_path / "scene", *keys, to=to)
    (folder / "photo.wav").write_bytes((folder / "photo.png").read_bytes())
    (folder / "out.wav").symlink_to(kept / "01.wav")
    media.write_sound(folder / "long.wav", Sound(np.zeros(2 * RATE), RATE))
    media.write_image(folder / "black.png", Image(np.zeros((16, 16, 3), np.uint8)))
    with pytest.raises(InputError, match=why):
        Stage.load(folder)


def test_a_missing_stem_or_description_is_told(kept: Path, tmp_path: Path) -> None:
    folder = changed(kept, tmp_path / "scene", "seconds", to=1)
    (folder / "02.wav").unlink()
    with pytest.raises(InputError, match=r"There is no 02\.wav"):
        Stage.load(folder)
    with pytest.raises(InputError, match="no folder"):
        Stage.load(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"There is no scene\.json"):
        Stage.load(tmp_path)
    (folder / "scene.json").write_bytes(b"[" * 100_000)
    with pytest.raises(InputError, match="not JSON"):
        Stage.load(folder)
    (folder / "scene.json").write_bytes(b" " * (2**20 + 1))
    with pytest.raises(InputError, match="limit"):
        Stage.load(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=5,
)  # fmt: skip
KEYS = [
    ("sources",), ("sources", 0), ("sources", 1, "position"), ("sources", 1, "gain"), ("sources", 0, "mask"),
    ("camera",), ("camera", "aspect"), ("ground",), ("ground", "y"), ("screens",), ("air",), ("room",), ("bed",),
    ("photo",), ("scale",), ("loop",), ("version",),
]  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(KEYS), JSON)
def test_whatever_stands_in_scene_json_is_read_or_refused(
    kept: Path, tmp_path_factory: pytest.TempPathFactory, keys: tuple[Any, ...], value: Any
) -> None:
    folder = changed(kept, tmp_path_factory.mktemp("any") / "scene", *keys, to=value)
    try:
        back = Stage.load(folder)
    except InputError:
        return
    assert len(back.sources) == len(back.spots)


# --- the command -----------------------------------------------------------------------------------------------------


def run(*arguments: str) -> int:
    return cli.main(["walk", *arguments])


def test_the_command_does_what_the_verb_does(
    kept: Path,
    system: verbs.System,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = "-1,0,0,0;1,0,-1,90"
    options = ["--seconds", "0.7", "--format", "ambix", "--level-db=-6", "--bits", "24"]
    assert run(str(kept), f"--path={path}", *options, "--map", "map.png", "--keep", "again", "-o", "a.wav") == 0
    out = media.read_sound("a.wav")
    expected = system.walk(kept, path, seconds=0.7, format="ambix", level_db=-6.0)
    np.testing.assert_allclose(out.samples, expected.samples, atol=2e-7)
    assert media.read_image("map.png").width == 1600
    same(Stage.load(kept), Stage.load("again"))
    told = capsys.readouterr()
    assert "2 sources" in told.out
    assert not told.err


@pytest.mark.filterwarnings("default")
def test_what_is_too_loud_is_told(
    kept: Path, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    x, y, z = stage.spots[0].position
    assert run(str(kept), f"--path={x},{y},{z},0;{x},{y},{z},0", "--level-db", "40") == 0
    err = capsys.readouterr().err
    assert "is clipped" in err
    advice = err.split("Give ")[1].split(".")[0]
    assert run(str(kept), f"--path={x},{y},{z},0;{x},{y},{z},0", advice) == 0
    assert not capsys.readouterr().err


@pytest.mark.parametrize(("path", "why"), [one for one in BAD if isinstance(one[0], str)])
def test_bad_input_is_one_sentence_and_2(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(str(kept), f"--path={path}") == 2
    err = capsys.readouterr().err
    assert why in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


# --- the map ---------------------------------------------------------------------------------------------------------


def test_the_map_shows_sources_on_their_side(scene: Scene) -> None:
    from synesthesia.picture import ACCENT, draw_map

    sources = [Source(noise(0), (-5.0, 0.0, -5.0)), Source(noise(1), (5.0, 0.0, -5.0), 4.0)]
    walls = (((-6.0, -8.0), (6.0, -8.0)),)
    pixels = np.asarray(
        draw_map(scene, sources, [Listener(), Listener((0.0, 0.0, -3.0), 0.0)], walls, 60.0).pixels, int
    )
    plan = pixels[40:760, 840:1560]

    def where(colour: tuple[int, int, int]) -> tuple[float, float]:
        rows, columns = np.nonzero(np.abs(plan - np.array(colour)).sum(-1) < 12)
        assert len(rows)
        return float(columns.mean()), float(rows.mean())

    first, second, path = where((230, 159, 0)), where((86, 180, 233)), where(ACCENT)
    assert first[0] < path[0] < second[0]
    assert first[1] == pytest.approx(second[1], abs=15)
    assert path[1] > first[1], "what is in front is above"


def test_spots_have_a_gain() -> None:
    with pytest.raises(InputError, match="gain"):
        Spot((0.0, 0.0, -1.0), 0.0, math.nan)
    assert JOIN_S > 0
