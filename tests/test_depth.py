"""Depth from the picture: what perspective and mirrors demand of it, its training on a world, the verb that uses it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia import hub, verbs
from synesthesia.bridges import place as room
from synesthesia.bridges.depth import SKY, Head, Surveyor, SurveyorConfig, distance, on_grid, places
from synesthesia.bridges.grounding import GroundingConfig, Locator, LocatorConfig
from synesthesia.bridges.place import FARTHEST, NEAREST, Depth, Ground, place
from synesthesia.bridges.stage import Camera
from synesthesia.encoders.vision import EyesConfig
from synesthesia.senses import Image, InputError, Region, Scene, Sound, Stem
from synesthesia.spaces import Space
from synesthesia.train.depth import LEAST_AREA, DepthRun, train, view
from synesthesia.worlds.scenes import generate

LEVEL = Camera(60.0, 1.5, 1.6, 0.4)
RUN = DepthRun(steps=3, batch=4, views=2, hidden=16, layers=1)


def head(width: int = 12) -> Head:
    torch.manual_seed(0)
    return Head(Space("toy", width), SurveyorConfig("toy", width, 16, 2)).eval()


@pytest.fixture(scope="module")
def locator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = LocatorConfig(EyesConfig(64, (8, 8, 16, 16), (1, 1, 1, 1)), grounding=GroundingConfig(16, 2, 16, 1))
    return Locator(config).save(tmp_path_factory.mktemp("eyes") / "locator")


@pytest.fixture(scope="module")
def surveyor(locator: Path) -> Surveyor:
    torch.manual_seed(1)
    seeing = Locator.load(locator)
    return Surveyor(SurveyorConfig(str(locator), seeing.eyes.dense.width, 16, 1), seeing).eval()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    generate(6, 5, folder, workers=1, side=64, seconds=0.1, progress=False)
    return folder


# --- the head --------------------------------------------------------------------------------------------------------


def test_what_is_seen_in_a_mirror_is_as_far() -> None:
    net, dense = head(), torch.randn(2, 5, 8, 12)
    where = places(LEVEL, 5, 8).expand(2, -1, -1, -1)
    torch.testing.assert_close(where.flip(2), where)
    with torch.inference_mode():
        far = net(dense, where)
        torch.testing.assert_close(net(dense.flip(2), where), far.flip(2))
        assert not torch.allclose(far.flip(2), far, atol=1e-3)
        torch.testing.assert_close(net(dense[1:], where[1:]), far[1:])


def test_the_loss_counts_factors() -> None:
    net, dense, where = head(), torch.randn(1, 4, 4, 12), places(LEVEL, 4, 4)[None]
    with torch.inference_mode():
        far = net(dense, where)
        for factor in (1.0, 2.0, 0.5):
            loss = net.loss(dense, where, far + math.log(factor))["depth"]
            assert float(loss) == pytest.approx(abs(math.log(factor)), abs=1e-5)


def test_a_patch_is_told_how_far_level_ground_would_be() -> None:
    where = places(LEVEL, 10, 3).numpy()
    span = math.log(FARTHEST / NEAREST)
    for row in (5, 7, 9):
        told = NEAREST * math.exp((where[row, 0, 2] + 1) / 2 * span)
        assert told == pytest.approx(LEVEL.ground((row + 0.5) / 10), rel=1e-4)
    assert where[:4, :, 2] == pytest.approx(1), "above the horizon it is as far as can be"
    assert (np.diff(where[4:, 0, 2]) < 0).all()


def test_what_is_nothing_is_as_far_as_can_be() -> None:
    depth = np.full((8, 12), 20.0, np.float32)
    assert on_grid(depth, 2, 3) == pytest.approx(np.full((2, 3), 20.0), rel=1e-5)
    depth[:4] = 0
    assert on_grid(depth, 2, 3)[0] == pytest.approx(FARTHEST, rel=1e-5)
    depth[4:, ::2] = 5.0
    assert on_grid(depth, 2, 3)[1] == pytest.approx(10.0, rel=1e-5), "the geometric mean"


# --- distances -------------------------------------------------------------------------------------------------------


def test_a_region_is_as_far_as_its_nearer_part_and_the_sky_nobody_knows() -> None:
    metres = np.repeat(np.array([[300.0], [30.0], [6.0], [3.0]], np.float32), 6, axis=1)
    assert distance(metres, Region.box(0, 0.5, 1, 0.75)) == pytest.approx(6.0)
    assert distance(metres, Region.box(0, 0.25, 1, 1)) < 6.0
    assert distance(metres, Region.box(0, 0, 1, 0.25)) == math.inf
    assert distance(np.full((4, 4), SKY - 1, np.float32), Region.whole()) < math.inf


def test_what_is_in_the_sky_is_put_aloft(surveyor: Surveyor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Surveyor, "see", lambda self, image, camera: np.full((4, 4), 299.0, np.float32))
    image = Image(np.full((60, 90, 3), 90, np.uint8))
    scene = Scene(image, (Stem(Region.whole(), Sound(np.ones(100), 16_000), 0.9),), Sound(np.zeros(100), 16_000))
    assert place(scene, surveyor, LEVEL).spots[0].position[2] == -room.ALOFT


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_picture_and_mask_has_its_distance(surveyor: Surveyor, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width, rows, columns = rng.integers(16, 80), rng.integers(16, 80), *rng.integers(1, 30, 2)
    image = Image(rng.integers(0, 256, (height, width, 3), np.uint8))
    taken = room.camera(image)
    metres = surveyor.see(image, taken)
    assert metres.shape[1] / metres.shape[0] == pytest.approx(width / height, rel=1.0)
    assert ((metres >= NEAREST) & (metres <= FARTHEST)).all()
    (away,) = surveyor.distances(image, [Region((rng.random((rows, columns)) ** 4).astype(np.float32))], taken)
    assert away > 0
    assert surveyor.distances(image, [], taken).shape == (0,)


# --- checkpoints -----------------------------------------------------------------------------------------------------


def test_a_checkpoint_says_the_same_as_what_was_kept(surveyor: Surveyor, tmp_path: Path, photo: Image) -> None:
    assert isinstance(surveyor, Depth)
    again = Surveyor.load(surveyor.save(tmp_path))
    np.testing.assert_allclose(again.see(photo, LEVEL), surveyor.see(photo, LEVEL), rtol=0.02)
    assert again.config == surveyor.config


def test_it_is_bound_to_the_eyes_it_was_trained_with(surveyor: Surveyor, locator: Path, tmp_path: Path) -> None:
    config, tensors = hub.load_model(surveyor.save(tmp_path / "a"))
    del config["sha256"], config["bytes"]
    with pytest.raises(InputError, match="was trained with the eyes"):
        Surveyor.load(hub.save_model(tmp_path / "b", config | {"eyes": "others"}, tensors))
    for broken in ({"model": {}}, {"model": {**config["model"], "layers": 99}}, {"model": [1]}):
        with pytest.raises(InputError):
            Surveyor.load(hub.save_model(tmp_path / "c", config | broken, tensors))
    with pytest.raises(InputError, match="lacks, or has too many, weights"):
        Surveyor.load(hub.save_model(tmp_path / "d", config, {"other": torch.zeros(2)}))
    with pytest.raises(InputError):
        Surveyor.load(locator)


# --- training --------------------------------------------------------------------------------------------------------


def test_a_view_takes_its_depth_along() -> None:
    """Where the picture is bright the depth is large, whatever part of it is shown, mirrored or not."""
    bright = np.kron(np.random.default_rng(0).uniform(20, 230, (8, 8)), np.ones((8, 8))).astype(np.float32)
    image = Image(np.repeat(bright[..., None], 3, axis=2).astype(np.uint8))
    g, turned = torch.Generator().manual_seed(0), set()
    for seed in range(8):
        part, depth = view(image, bright, np.random.default_rng(seed), g)
        assert LEAST_AREA - 0.05 <= depth.size / bright.size <= 1
        assert np.corrcoef(np.asarray(part.pixels).mean(-1).ravel(), depth.ravel())[0, 1] > 0.95
        turned.add(bool(depth[0, 0] in bright[:, :32]))
    assert turned == {True, False}


def test_the_same_seed_gives_the_same_weights_and_a_run_goes_on(world: Path, locator: Path, tmp_path: Path) -> None:
    once = train(world, tmp_path / "a", str(locator), RUN)
    weights = (once / "model.safetensors").read_bytes()
    looked = (tmp_path / "a" / "looked.safetensors").stat().st_mtime_ns
    assert (train(world, tmp_path / "b", str(locator), RUN) / "model.safetensors").read_bytes() == weights
    assert (train(world, tmp_path / "a", str(locator), RUN) / "model.safetensors").read_bytes() == weights
    assert (tmp_path / "a" / "looked.safetensors").stat().st_mtime_ns == looked, "what was looked at is kept"
    assert "drawn scenes" in (once / "README.md").read_text()
    model = Surveyor.load(once)
    assert model.config.locator == str(locator)


def test_training_learns(world: Path, locator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from synesthesia import shards

    def error(model: Surveyor) -> float:
        out = []
        for example in shards.examples(world, only={"jpg", "depth.png"}):
            metres = model.see(example.image, room.camera(example.image))
            out.append(np.abs(np.log(metres / on_grid(example.arrays["depth"], *metres.shape))).mean())
        return float(np.mean(out))

    new, old = (
        Surveyor.load(train(world, tmp_path / str(steps), str(locator), DepthRun(steps, 4, 5e-3, 2, 16, 1)))
        for steps in (1, 80)
    )
    assert error(old) < 0.6 * error(new)


def test_a_folder_without_depth_is_refused(locator: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError):
        train(tmp_path / "empty", tmp_path / "out", str(locator), RUN)


# --- the verb --------------------------------------------------------------------------------------------------------


def test_the_verb_looks_unless_it_is_told_to_reckon(surveyor: Surveyor, tmp_path: Path, photo: Image) -> None:
    scene = Scene(photo, (Stem(Region.box(0.4, 0.5, 0.6, 0.8), Sound(np.ones(800), 16_000), 0.9),),
                  Sound(np.zeros(800), 16_000))  # fmt: skip
    taken = room.camera(photo)
    folder = surveyor.save(tmp_path / "mine")
    looked, reckoned, none = (
        -verbs.stage(system, scene).spots[0].position[2]
        for system in (verbs.load(walk=folder), verbs.load(walk="ground"), verbs.System({}))
    )
    region = scene.stems[0].region
    assert looked == pytest.approx(float(Surveyor.load(folder).distances(photo, [region], taken)[0]))
    assert reckoned == none == pytest.approx(float(Ground().distances(photo, [region], taken)[0]))
    assert looked != pytest.approx(reckoned, rel=1e-3)
    assert verbs.load().models["walk"] == "walk/tiny"
