"""From pixels to metres: closed forms of perspective, and levels that the renderer confirms."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia import acoustics
from synesthesia.bridges import place as room
from synesthesia.bridges.place import Depth, Ground, extent, foot, horizon, place
from synesthesia.bridges.stage import Camera
from synesthesia.senses import Image, InputError, Listener, Region, Scene, Sound, Stem

RATE = 16_000
LEVEL = Camera(60.0, 1.5, 1.6, 0.4)

cameras = st.builds(Camera, st.floats(20, 100), st.floats(0.4, 2.5), st.floats(0.5, 10), st.floats(0.1, 0.9))


def noise(seed: int = 0, seconds: float = 1.0, level: float = 0.05) -> Sound:
    """Noise below 5 kHz: what is just below half the rate the renderer's interpolator loses."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(round(seconds * RATE)))
    spectrum[round(5000 * seconds) :] = 0
    return Sound(level * np.fft.irfft(spectrum), RATE)


def scene(*regions: Region, picture: Image | None = None) -> Scene:
    image = picture or Image(np.full((60, 90, 3), 90, np.uint8))
    stems = tuple(Stem(region, noise(k), 0.9) for k, region in enumerate(regions))
    return Scene(image, stems, noise(99, level=0.01))


def heard(stage: object, listener: Listener, form: acoustics.Format = "mono") -> np.ndarray:
    """The last half second of a second from one place, without the bed."""
    sources = stage.sources  # ty: ignore[unresolved-attribute]
    renderer = acoustics.Renderer(
        len(sources),
        stage.place,
        acoustics.receiver(form, RATE),
        RATE,  # ty: ignore[unresolved-attribute]
    )
    blocks = acoustics.walk(renderer, sources, [listener], 1.5, join=0.0)
    return np.concatenate([b.samples for b in blocks], axis=1)[:, RATE // 2 :]


# --- perspective -----------------------------------------------------------------------------------------------------


@given(cameras, st.floats(-20, 20), st.floats(-5, 5), st.floats(0.5, 200))
def test_a_place_is_seen_and_found_again(camera: Camera, x: float, y: float, away: float) -> None:
    u, v = camera.project((x, y, -away))
    assert camera.reach(u, v, away) == pytest.approx((x, y, -away), rel=1e-9, abs=1e-9)


@given(cameras, st.floats(-20, 20), st.floats(0.5, 300))
def test_a_point_of_the_ground_at_a_known_distance_is_seen_at_a_known_height(
    camera: Camera, x: float, away: float
) -> None:
    _, v = camera.project((x, -camera.height_m, -away))
    assert v == pytest.approx(camera.horizon + camera.height_m * camera.focal / away)
    assert camera.ground(v) == pytest.approx(away, rel=1e-6)


def test_a_camera_of_90_degrees_sees_the_ground_below_it_at_45() -> None:
    camera = Camera(90.0, 1.0, 1.6, 0.5)
    assert camera.ground(1.0) == pytest.approx(1.6)
    assert camera.across_deg == pytest.approx(90.0)
    assert camera.ground(0.5) == camera.ground(0.2) == math.inf
    with pytest.raises(InputError, match="in front of"):
        camera.project((0, 0, 1.0))


@given(st.floats(0.05, 0.4), st.floats(0.45, 0.98), st.floats(0.02, 0.45), st.floats(0.5, 0.98))
def test_a_box_ends_where_it_ends(x0: float, x1: float, y0: float, y1: float) -> None:
    region = Region.box(x0, y0, x1, y1)
    assert foot(region) == pytest.approx(y1, abs=1.5 / 224)
    assert extent(region, axis=1) == pytest.approx((x0, x1), abs=1.5 / 224)


@pytest.mark.parametrize("away", [3.0, 8.0, 25.0])
def test_what_stands_on_the_ground_is_as_far_as_its_foot(away: float) -> None:
    """A wall 2 m wide and 1 m high, seen by a known camera, is put where it stands."""
    u0, v1 = LEVEL.project((-1.5, -1.6, -away))
    u1, v0 = LEVEL.project((0.5, -0.6, -away))
    image = Image(np.full((60, 90, 3), 90, np.uint8))
    region = Region.box(u0, v0, u1, v1, side=1200)
    assert Ground().distances(image, [region], LEVEL)[0] == pytest.approx(away, rel=0.02)
    (spot,) = place(scene(region), taken=LEVEL).spots
    assert spot.position == pytest.approx((-0.5, -1.1, -away), rel=0.02, abs=0.03)
    assert spot.width == pytest.approx(2.0, rel=0.03)


def test_what_is_aloft_is_put_where_it_may_be_and_nothing_lies_below_the_ground() -> None:
    sky, feet = Region.box(0.4, 0.05, 0.6, 0.2), Region.box(0.1, 0.9, 0.3, 1.0)
    high, low = place(scene(sky, feet), taken=LEVEL).spots
    assert high.position[2] == -room.ALOFT
    assert high.position[1] > 5
    assert low.position[1] >= -1.6
    assert -low.position[2] < 5


def test_in_a_room_everything_stays_inside() -> None:
    box = acoustics.Room((-2, -1.6, -4), (2, 1, 1))
    stage = place(scene(Region.box(0.4, 0.05, 0.6, 0.2), Region.whole()), taken=LEVEL, where=box)
    assert box.holds(np.array([spot.position for spot in stage.spots]))
    assert len(stage.walls) == 4


def test_the_horizon_is_where_the_sky_ends_and_not_where_there_is_none() -> None:
    rng = np.random.default_rng(0)
    pixels = np.zeros((120, 160, 3))
    for at in (30, 55, 84):
        pixels[:at], pixels[at:] = (150, 180, 230), (90, 110, 60)
        pixels[20 : at + 15, 70:80] = 30  # a tree
        seen = horizon(Image((pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)))
        assert seen == pytest.approx(at / 120, abs=0.02)
    assert horizon(Image(rng.integers(90, 150, (64, 64, 3), np.uint8))) is None
    assert horizon(Image(np.full((16, 400, 3), 90, np.uint8))) is None


def test_a_usual_camera_is_that_of_a_telephone_however_it_is_held() -> None:
    wide, tall = (room.camera(Image(np.full(shape, 90, np.uint8))) for shape in ((300, 400, 3), (400, 300, 3)))
    assert wide.across_deg == pytest.approx(tall.fov_deg)
    assert wide.across_deg == pytest.approx(67.4, abs=0.5)  # 26 mm, 4 : 3
    assert wide.horizon == 0.5


# --- levels ----------------------------------------------------------------------------------------------------------

PLACES = [
    acoustics.Outdoors(None), acoustics.Outdoors("water"), acoustics.Outdoors("forest"),
    acoustics.Room((-8, -1.6, -12), (8, 3, 4), 0.2),
]  # fmt: skip


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("region", [Region.box(0.6, 0.5, 0.62, 0.6), Region.box(0.0, 0.45, 1.0, 0.65)])
def test_at_the_camera_a_part_is_as_loud_as_in_the_mix(where: room.Place, region: Region) -> None:
    stage = place(scene(region), taken=LEVEL, where=where)
    out = heard(stage, Listener())
    stem = stage.scene.stems[0].sound.samples
    assert 10 * math.log10(float((out**2).mean() / (stem**2).mean())) == pytest.approx(0, abs=0.7)


def test_without_ground_and_air_a_point_is_as_much_louder_at_one_metre_as_it_is_far() -> None:
    calm = acoustics.Outdoors(None, air=acoustics.Air(absorbing=False))
    for away in (2.0, 7.0, 30.0):
        assert room.gain(noise(), (0.0, 0.0, -away), 0.0, calm) == pytest.approx(away, rel=0.02)
    assert room.gain(Sound(np.zeros(100), RATE), (0.0, 0.0, -7.0), 0.0, calm) == 7.0


def test_twice_as_near_is_6_decibels_more_and_to_the_right_of_it_it_is_left() -> None:
    calm = acoustics.Outdoors(None, air=acoustics.Air(absorbing=False))
    stage = place(scene(Region.box(0.499, 0.55, 0.501, 0.56)), taken=LEVEL, where=calm)
    x, y, z = stage.spots[0].position
    away = math.hypot(x, y, z)
    far, near = (heard(stage, Listener((share * x, share * y, share * z))) for share in (0.0, 0.5))
    assert away > 5
    assert 10 * math.log10((near**2).mean() / (far**2).mean()) == pytest.approx(6.02, abs=0.1)
    left, right = (heard(stage, Listener((x + step, y, z), 0.0), "binaural") for step in (3.0, -3.0))
    for ears, nearer in ((left, 0), (right, 1)):
        assert (ears[nearer] ** 2).mean() > 4 * (ears[1 - nearer] ** 2).mean()


def test_a_network_may_say_how_far_things_are() -> None:
    class Six:
        def distances(self, image: Image, regions: list[Region], camera: Camera) -> np.ndarray:
            return np.full(len(regions), 6.0)

    assert isinstance(Six(), Depth)
    assert isinstance(Ground(), Depth)
    (spot,) = place(scene(Region.box(0.4, 0.1, 0.6, 0.2)), Six(), LEVEL).spots
    assert spot.position[2] == -6.0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_picture_and_mask_has_its_place(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width, rows, columns = rng.integers(16, 80), rng.integers(16, 80), *rng.integers(1, 30, 2)
    mask = (rng.random((rows, columns)) ** 4).astype(np.float32)
    image = Image(rng.integers(0, 256, (height, width, 3), np.uint8))
    camera = room.camera(image)
    assert 0 < camera.horizon < 1
    assert 0 < foot(Region(mask)) <= 1
    (away,) = Ground().distances(image, [Region(mask)], camera)
    assert away > 0


# --- a network of somebody else's ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def depth_anything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Depth Anything as it is published."""
    transformers = pytest.importorskip("transformers", reason="the extra `hub` is not installed")
    import torch

    torch.manual_seed(0)
    eyes = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=eyes, reassemble_hidden_size=32, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
        head_hidden_size=8, depth_estimation_type="metric", max_depth=80,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("depth")
    transformers.DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    told = {"size": {"height": 112, "width": 112}, "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225], "resample": 3}  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    return folder


def test_depth_anything_tells_metres(depth_anything: Path, tmp_path: Path) -> None:
    from synesthesia.bridges.pretrained_depth import DepthAnything

    net = DepthAnything.load(depth_anything)
    assert isinstance(net, Depth)
    image = Image(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))
    metres = net.see(image)
    assert metres.shape[1] / metres.shape[0] == pytest.approx(1.5, rel=0.15)
    assert ((metres > 0) & (metres < 80)).all()
    half = Region.box(0, 0, 0.5, 1)
    share = half.on(*metres.shape) >= 0.5
    assert net.distances(image, [half, Region.whole()], LEVEL) == pytest.approx(
        [np.median(metres[share]), np.median(metres)]
    )
    assert net.distances(image, [], LEVEL).shape == (0,)

    config = json.loads((depth_anything / "config.json").read_text())
    for name in ("model.safetensors", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((depth_anything / name).read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config | {"depth_estimation_type": "relative"}))
    with pytest.raises(InputError, match="metric kind"):
        DepthAnything.load(tmp_path)
