"""The knock world: what is told about a picture is what the picture shows, and a seed is a world."""

from __future__ import annotations

import itertools
import json
import math
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mitsuba", reason="worlds need the extra `worlds`")
pytest.importorskip("pyoidn", reason="worlds need the extra `worlds`")

from synesthesia import shards
from synesthesia.physics.materials import GROUPS, MATERIALS
from synesthesia.physics.modes import Modes
from synesthesia.physics.shapes import FAMILIES, Shape
from synesthesia.senses import Example, InputError
from synesthesia.worlds import knock, looks, making, render
from synesthesia.worlds.render import Camera, Maps

# One shape; several objects of it; a shard for each picture.
SEED, WIDTH, SPP, COUNT = 11, 40, 4, 3
CONFIG = {"width": WIDTH, "spp": SPP, "per_shard": 1, "progress": False}
WORLD = knock.World(SEED, "train", WIDTH, SPP, per_shard=1)


def forget() -> None:
    for cached in (knock._shape, knock._thing, knock._prepared):
        cached.cache_clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNESTHESIA_CACHE", str(base / "cache"))
        knock.generate(COUNT, SEED, base / "a", workers=1, **CONFIG)
    return base


@pytest.fixture(scope="module")
def world(folder: Path) -> list[Example]:
    return list(shards.examples(folder / "a"))


def to_world(example: Example, points: np.ndarray) -> np.ndarray:
    """Scene points in world axes, by the matrix that the shard tells."""
    camera = example.truth["camera"]
    assert isinstance(camera, dict)
    matrix = np.array(camera["to_world"])
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def to_object(example: Example, points: np.ndarray) -> np.ndarray:
    """Scene points in the object's axes, in units of its largest dimension."""
    placed = example.truth["object_to_world"]
    assert isinstance(placed, dict)
    return (to_world(example, points) - placed["shift"]) @ np.array(placed["rotation"]) / placed["size"]


def surface_distance(shape: Shape, points: np.ndarray) -> np.ndarray:
    """Distance from each point to the triangle plane that it projects into, the least over triangles."""
    a, b, c = (shape.vertices[shape.faces[:, k]].astype(float) for k in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
    out = []
    for p in points:
        height = ((p - a) * normal).sum(1)
        foot = p - height[:, None] * normal
        u = np.stack([((np.cross(y - x, foot - x)) * normal).sum(1) for x, y in ((a, b), (b, c), (c, a))])
        twice = np.linalg.norm(np.cross(b - a, c - a), axis=1)
        out.append(np.abs(height[(u > -1e-3 * twice - 1e-7).all(0)]).min(initial=np.inf))
    return np.array(out)


def test_the_strikes_lie_on_the_object_where_the_picture_shows_them(world: list[Example]) -> None:
    assert len(world) == COUNT
    for example in world:
        a = example.arrays
        fov = example.truth["camera"]["fov_deg"]  # type: ignore[index]
        assert np.abs(render.project(a["strike_point"].astype(float), fov) - a["strike_xy"]).max() < 1e-5
        column, row = np.floor(a["strike_xy"] * WIDTH).astype(int).T
        assert (a["mask"][row, column] == render.OBJECT).all()
        toward = -(a["strike_normal"] * a["strike_point"]).sum(1) / np.linalg.norm(a["strike_point"], axis=1)
        assert (toward > 0.29).all()
        assert np.allclose(np.linalg.norm(a["strike_normal"], axis=1), 1, atol=1e-5)


def test_the_strikes_lie_on_the_shape_in_its_own_axes(world: list[Example]) -> None:
    for i, example in enumerate(world):
        rng = WORLD.rng(0, i // knock.VIEWS // knock.VARIANTS)
        names = knock.families("train")
        shape = FAMILIES[names[int(rng.integers(len(names)))]](rng)
        assert shape.key == example.truth["shape_key"]
        assert surface_distance(shape, to_object(example, example.arrays["strike_point"].astype(float))).max() < 1e-4


def test_depth_and_camera_give_points_that_agree_with_the_world(world: list[Example]) -> None:
    for example in world:
        a = example.arrays
        points = shards.point_map(example).astype(float)
        fov = math.radians(example.truth["camera"]["fov_deg"])  # type: ignore[index]
        # The ray of a pixel passes anywhere through it: the point is off by less than the pixel's diagonal there.
        pixel = 2 * math.tan(fov / 2) / WIDTH * a["depth"].astype(float) * 0.75 + 1e-3 * a["depth"].max()
        ground = a["mask"] == render.GROUND
        assert ground.any()
        assert (np.abs(to_world(example, points)[..., 1])[ground] < pixel[ground]).all()
        column, row = np.floor(a["strike_xy"] * WIDTH).astype(int).T
        gap = np.abs(points[row, column] - a["strike_point"]).max(1)
        assert (gap < pixel[row, column]).all()
        up = (a["normal"].astype(float) @ np.array(example.truth["camera"]["to_world"])[:3, :3].T)[ground]  # type: ignore[index]
        assert np.allclose(up, [0, 1, 0], atol=0.02)
        assert (a["depth"][a["mask"] != render.BACKGROUND] > 0).all()


def test_numbers_of_an_item_agree_with_each_other(world: list[Example]) -> None:
    for example in world:
        t, a = example.truth, example.arrays
        lines = len(a["frequency"])
        assert 1 <= lines <= knock.LINES
        assert a["t60"].shape == (lines,)
        assert a["gain"].shape == (knock.POINTS, lines)
        assert (np.diff(a["frequency"]) > 0).all()
        assert np.allclose(a["t60"], 2.2 / (a["frequency"] * a["loss_parts"].sum(1)), rtol=1e-4)
        assert t["mass"] == pytest.approx(t["density"] * t["volume"], rel=1e-9)  # type: ignore[operator]
        assert t["wave_speed"] == pytest.approx(math.sqrt(t["youngs_modulus"] / t["density"]))  # type: ignore[operator]
        assert t["f1"] == pytest.approx(a["frequency"][0], rel=0.004)
        assert t["group"] in GROUPS
        (sound,) = example.sounds
        assert (sound.rate, sound.samples.shape) == (knock.RATE, (1, knock.RATE))
        assert np.abs(sound.samples).max() == pytest.approx(1, abs=1e-3)
        assert t["hits"][0]["scale"] > 0  # type: ignore[index]


def test_neighbours_share_an_object_or_a_shape(world: list[Example]) -> None:
    for (i, one), (j, other) in itertools.combinations(enumerate(world), 2):
        same_object = i // knock.VIEWS == j // knock.VIEWS
        assert (one.truth["size"] == other.truth["size"]) == same_object
        same_shape = i // knock.VIEWS // knock.VARIANTS == j // knock.VIEWS // knock.VARIANTS
        assert (one.truth["shape_key"] == other.truth["shape_key"]) == same_shape
        assert one.truth["camera"] != other.truth["camera"]


def test_an_item_alone_has_the_bytes_of_the_item_in_its_shard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNESTHESIA_CACHE", str(folder / "another-cache"))
    forget()
    shards.write(folder / "alone.tar", [knock.item(WORLD, 2)])
    assert (folder / "alone.tar").read_bytes() == (folder / "a" / "train-00002.tar").read_bytes()


def test_bytes_do_not_depend_on_workers_or_kills(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNESTHESIA_CACHE", str(folder / "cache"))
    made = knock.item

    def killed(w: knock.World, index: int) -> tuple[str, dict[str, bytes]]:
        if index == 1:
            raise KeyboardInterrupt
        return made(w, index)

    monkeypatch.setattr(knock, "item", killed)
    with pytest.raises(KeyboardInterrupt):
        knock.generate(COUNT, SEED, folder / "b", workers=1, **CONFIG)
    assert sorted(p.name for p in (folder / "b").iterdir()) == ["train-00000.tar", "world.json"]
    monkeypatch.setattr(knock, "item", made)
    half = folder / "b" / ".train-00001.tar.0123456789ab.part.tar"
    half.write_bytes(b"half")
    stamp = (folder / "b" / "train-00000.tar").stat().st_mtime_ns
    paths = knock.generate(COUNT, SEED, folder / "b", workers=2, **CONFIG)
    assert (folder / "b" / "train-00000.tar").stat().st_mtime_ns == stamp
    assert not half.exists()
    for path in paths:
        assert path.read_bytes() == (folder / "a" / path.name).read_bytes()


def test_another_world_in_the_same_folder_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="another world"):
        knock.generate(COUNT, SEED + 1, folder / "a", **CONFIG)
    with pytest.raises(InputError, match="another world"):
        knock.generate(COUNT, SEED, folder / "a", **(CONFIG | {"width": WIDTH + 1}))


def test_a_world_from_before_it_could_be_asked_for_coats_goes_on(folder: Path) -> None:
    told = folder / "a" / "world.json"
    known = json.loads(told.read_text())
    assert known["train"].pop("coated") == knock.COATED
    told.write_text(json.dumps(known))
    with pytest.raises(InputError, match="another world"):
        knock.generate(COUNT, SEED, folder / "a", **CONFIG, coated=0.6)
    assert len(knock.generate(COUNT, SEED, folder / "a", **CONFIG)) == COUNT


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"split": "tests"}, "A split is"),
        ({"n": 0}, "at least 1"),
        ({"seed": -1}, "at least 0"),
        ({"width": 8}, "width"),
        ({"coated": 1.5}, "coated"),
    ],
)
def test_impossible_worlds_are_refused_before_anything_is_written(tmp_path: Path, bad: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        knock.generate(**({"n": 1, "seed": 0, "out": tmp_path / "w"} | bad))
    assert not (tmp_path / "w").exists()


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no photo"):
        knock.generate(1, 0, tmp_path / "w", photos=tmp_path)


# --- splits --------------------------------------------------------------------------------------------------------


def test_splits_share_no_held_family_and_no_held_combination() -> None:
    assert set(knock.HELD_FAMILIES) == set(knock.families("families"))
    assert knock.families("invented") == ()
    for split in ("train", "val", "objects", "combinations"):
        assert not set(knock.families(split)) & set(knock.HELD_FAMILIES)
    pairs = list(itertools.product(GROUPS, ("none", "paint", "felt", "fur", "rust")))
    for split in knock.SPLITS:
        if split != "combinations":
            assert not any(knock.allowed("combinations", *p) and knock.allowed(split, *p) for p in pairs)
    assert {p for p in pairs if knock.allowed("combinations", *p)} == set(knock.HELD_COMBOS)


def test_drawn_materials_keep_to_their_split() -> None:
    for split in ("train", "combinations"):
        rng = np.random.default_rng(3)
        drawn = [knock._made(rng, split, "bowl", knock.COATED) for _ in range(600)]
        held = [(made.material.group, made.coating) in knock.HELD_COMBOS for made in drawn]
        assert all(held) if split == "combinations" else not any(held)
        for made in drawn:  # the look is that of the nearer end, and what it has of another group shows
            assert made.material.name.split("~")[0] == made.looks_like
            far = made.material.name.split(":")[0].split("~")[-1]
            assert (made.inlay is not None) == (MATERIALS[far].group != made.material.group)
    assert {made.material.group for made in drawn} == {group for group, _ in knock.HELD_COMBOS}


def test_as_many_are_coated_as_was_asked() -> None:
    def furred(coated: float) -> float:
        rng = np.random.default_rng(3)
        drawn = [knock._made(rng, "train", "ring", coated).coating for _ in range(3000)]
        return float(np.mean([coat in ("felt", "fur") for coat in drawn]))

    assert furred(0.0) == 0.0
    usual = furred(knock.COATED)
    assert 0.03 < usual < 0.5 * knock.COATED  # felt and fur are half of all coatings; some pairs are held out
    assert furred(0.6) == pytest.approx(0.6 / knock.COATED * usual, rel=0.2)


def test_a_sleeve_leaves_the_body_to_be_seen() -> None:
    rng = np.random.default_rng(0)
    for name in ("bar", "bowl", "box_solid"):
        shape = FAMILIES[name](rng)
        corners = shape.vertices[shape.faces].astype(float)
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        for _ in range(20):
            worn = knock._sleeve(rng, corners)
            assert 0.3 < area[worn].sum() / area.sum() < 0.75


def test_streams_of_splits_seeds_and_purposes_differ() -> None:
    worlds = [knock.World(seed, split, 64, 4) for seed in (0, 1) for split in knock.SPLITS]
    draws = [w.rng(what, i).integers(2**62) for w in worlds for what in range(4) for i in range(3)]
    assert len(set(draws)) == len(draws)


class BareStage:
    """Stands for the path tracer: the object fills the picture."""

    def __init__(self, bodies: list[render.Body], lights: list[dict]) -> None:
        pass

    def maps(self, camera: Camera, width: int, seed: int) -> Maps:
        point = np.zeros((width, width, 3), np.float32)
        point[..., 2] = -1
        normal = -point
        return Maps(
            np.ones((width, width), np.float32), normal, np.full((width, width), render.OBJECT, np.uint8), point
        )

    def picture(self, camera: Camera, width: int, spp: int, seed: int, depth: int = 5) -> np.ndarray:
        return np.ones((width, width, 3), np.float32)


def test_about_half_of_the_pictures_carry_no_scale_cue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "Stage", BareStage)
    monkeypatch.setattr(knock, "_shape", lambda w, i: (BOX, MODES))
    monkeypatch.setattr(looks, "bare", lambda *_: looks.Look({"type": "diffuse"}))
    monkeypatch.setattr(looks, "noise", lambda *_, **__: np.zeros((looks.SIDE, looks.SIDE), np.float32))
    monkeypatch.setattr(looks, "coated", lambda rng, look, *_: look)
    knock._thing.cache_clear()
    w = knock.World(5, "train", 16, 1)
    seen = [knock.look_at(w, i) for i in range(160)]
    cue = [view.scale_cue for _, view in seen]
    assert 0.25 < np.mean(cue) < 0.55  # half, with room for n = 160
    assert {thing.support for thing, _ in seen} == {"hung", "resting", "held"}
    assert {thing.material.group for thing, _ in seen} == set(GROUPS)
    knock._thing.cache_clear()


BOX = FAMILIES["box_solid"](np.random.default_rng(0))
MODES = Modes(np.ones((2, 1)), np.zeros((2, 1)), np.zeros((1, len(BOX.vertices), 3)), np.zeros(1, int))


# --- poses ---------------------------------------------------------------------------------------------------------


def thing(support: str, family: str) -> knock.Thing:
    shape = FAMILIES[family](np.random.default_rng(4))
    look = looks.Look({"type": "diffuse"})
    return knock.Thing(shape, MODES, knock.MATERIALS["steel"], "none", support, 0.2, False, 0, look)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ["bottle", "bracket", "plate"])
def test_a_hung_body_hangs_below_its_string(family: str) -> None:
    t = thing("hung", family)
    area = t.shape.vertex_areas()
    centre = (area[:, None] * t.shape.vertices).sum(0) / area.sum()
    for seed in range(8):
        rotation, shift, grip = knock._pose(np.random.default_rng(seed), t)
        assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(rotation) == pytest.approx(1)
        assert grip is not None
        hangs = rotation @ centre * t.size + shift
        assert np.allclose(hangs[[0, 2]], grip[[0, 2]], atol=1e-6)
        assert hangs[1] < grip[1]
        assert (t.shape.vertices @ rotation.T * t.size + shift)[:, 1].min() > 0.01


@pytest.mark.parametrize("family", ["bottle", "bracket", "box_solid"])
def test_a_resting_body_touches_the_ground_and_does_not_topple(family: str) -> None:
    t = thing("resting", family)
    area = t.shape.vertex_areas()
    centre = (area[:, None] * t.shape.vertices).sum(0) / area.sum()
    for seed in range(8):
        rotation, shift, grip = knock._pose(np.random.default_rng(seed), t)
        placed = t.shape.vertices @ rotation.T * t.size + shift
        assert grip is None
        assert placed[:, 1].min() == pytest.approx(0, abs=1e-6)
        feet = placed[placed[:, 1] < 2e-3 * t.size]
        over = rotation @ centre * t.size + shift
        assert feet[:, 0].min() - 1e-3 * t.size <= over[0] <= feet[:, 0].max() + 1e-3 * t.size
        assert feet[:, 2].min() - 1e-3 * t.size <= over[2] <= feet[:, 2].max() + 1e-3 * t.size


# --- camera and picture --------------------------------------------------------------------------------------------


def test_a_camera_looks_along_minus_z_with_the_target_in_the_middle() -> None:
    camera = Camera.looking(np.array([1.0, 2.0, 3.0]), np.array([0.2, 0.1, -0.4]), 40.0, 15.0)
    target = camera.to_scene(np.array([0.2, 0.1, -0.4]))
    assert np.allclose(target[:2], 0, atol=1e-12)
    assert target[2] < 0
    assert np.allclose(render.project(target, 40.0), 0.5)
    # A point on the edge of the field of view is on the edge of the picture; up is up.
    half = math.tan(math.radians(20.0))
    assert np.allclose(render.project(np.array([half, half, -1.0]), 40.0), [1.0, 0.0])
    world = camera.to_world @ np.append(target, 1)
    assert np.allclose(world[:3], [0.2, 0.1, -0.4])


def test_denoising_keeps_light_and_borders_and_takes_noise() -> None:
    rng = np.random.default_rng(0)
    bright = np.arange(64) >= 32
    albedo = np.where(bright[None, :, None], 0.9, 0.25) * np.ones((64, 1, 3))
    normal = np.broadcast_to([0.0, 0.0, 1.0], albedo.shape)
    # Few paths meet a lamp: most pixels are a little dark, some are very bright, and the mean is the light.
    noisy = albedo * rng.gamma(3.0, 1 / 3.0, albedo.shape[:2])[..., None]
    clean = render.denoised(noisy, albedo, normal)
    assert np.abs(clean - albedo).mean() < 0.2 * np.abs(noisy - albedo).mean()
    assert np.quantile(clean[:, 34:], 0.02) > 0.6
    assert np.quantile(clean[:, :30], 0.98) < 0.45
    assert clean.mean() == pytest.approx(albedo.mean(), rel=0.1)
    same = render.denoised(albedo, albedo, normal)
    assert np.abs(same - albedo).mean() < 0.01
    assert np.array_equal(clean, render.denoised(noisy, albedo, normal))
    broken = noisy.copy()
    broken[3, 3] = np.nan
    assert np.isfinite(render.denoised(broken, albedo, normal)).all()


def test_textures_tile_and_noise_has_unit_spread() -> None:
    field = looks.noise(np.random.default_rng(1), 1.5)
    assert field.std() == pytest.approx(1, abs=1e-3)
    step = np.abs(np.diff(field, axis=0)).max()
    assert np.abs(field[0] - field[-1]).max() <= 1.5 * step


def _ticks(path: str) -> None:
    making._leave_with_parent()
    while True:
        with Path(path).open("a") as file:
            file.write(".")
        time.sleep(0.05)


def _parent(path: str) -> None:
    multiprocessing.get_context("spawn").Process(target=_ticks, args=(path,)).start()
    time.sleep(120)


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "ticks"
    parent = multiprocessing.get_context("spawn").Process(target=_parent, args=(str(path),))
    parent.start()
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert path.exists(), "the worker never started"
    parent.kill()
    parent.join()
    time.sleep(1.0)
    length = path.stat().st_size
    time.sleep(1.0)
    assert path.stat().st_size == length


def test_every_material_can_be_coated_and_inlaid() -> None:
    mi = render._mitsuba()
    rng = np.random.default_rng(5)
    names = list(MATERIALS)
    for k, (name, coating) in enumerate(itertools.product(names, ("none", "paint", "felt", "fur", "rust"))):
        look = looks.bare(rng, name, MATERIALS[name].group, 0.2, hollow=bool(k % 2))
        if k % 3:
            other = names[(7 * k) % len(names)]
            look = looks.inlaid(rng, look, looks.bare(rng, other, MATERIALS[other].group, 0.2, hollow=False), 0.2)
        if coating != "rust" or MATERIALS[name].group == "metal":
            look = looks.coated(rng, look, coating, 0.2)
        for part in (look, look.sleeve):
            if part is not None:
                assert mi.load_dict(part.bsdf) is not None
