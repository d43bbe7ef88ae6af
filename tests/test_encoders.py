"""One contract for every encoder; those from a hub are loaded from small checkpoints of their architecture."""

from __future__ import annotations

import importlib.util
import io
import json
import pickle
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import checkpoints
import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import safe_open

from synesthesia import hub, media, pretrained
from synesthesia.encoders import EARS, EYES, audio, load_ears, load_eyes, vision
from synesthesia.encoders.base import (
    FrameEncoder,
    Frames,
    Hearing,
    ImageEncoder,
    Look,
    PatchEncoder,
    SoundEncoder,
)
from synesthesia.senses import Image, InputError, Point, Sound

LoadEyes = Callable[[str], PatchEncoder]
LoadEars = Callable[[str], FrameEncoder]
Written = Callable[[str], Path]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The folder of a small checkpoint of a kind; written once, not to be changed."""
    root = tmp_path_factory.mktemp("encoders")

    def folder(kind: str) -> Path:
        path = root / kind
        if path.exists():
            return path
        torch.manual_seed(0)
        if kind == "tiny-eyes":
            return vision.save_tiny_eyes(vision.tiny_eyes(config=vision.EyesConfig(size=128)).eval(), path)
        if kind == "tiny-ears":
            return audio.save_tiny_ears(audio.tiny_ears(config=audio.FrameEarsConfig((8, 8, 16, 16), 32)).eval(), path)
        with pretrained.quiet():
            return checkpoints.write(kind, path)

    return folder


@pytest.fixture(scope="module")
def eyes(written: Written) -> LoadEyes:
    loaded: dict[str, PatchEncoder] = {}

    def load(kind: str) -> PatchEncoder:
        if kind not in loaded:
            loaded[kind] = load_eyes(written(kind), device="cpu")
        return loaded[kind]

    return load


@pytest.fixture(scope="module")
def ears(written: Written) -> LoadEars:
    loaded: dict[str, FrameEncoder] = {}

    def load(kind: str) -> FrameEncoder:
        if kind not in loaded:
            loaded[kind] = load_ears(written(kind), device="cpu")
        return loaded[kind]

    return load


all_eyes = pytest.mark.parametrize("kind", list(EYES))
all_ears = pytest.mark.parametrize("kind", list(EARS))


def scene(width: int, height: int, seed: int = 0) -> Image:
    """Soft grey noise."""
    rng = np.random.default_rng(seed)
    return Image(rng.integers(90, 130, (height, width, 3)).astype(np.uint8))


def noise(seconds: float, rate: int, level: float = 0.01, channels: int = 1, seed: int = 0) -> Sound:
    rng = np.random.default_rng(seed)
    return Sound(level * rng.standard_normal((channels, max(1, round(seconds * rate)))), rate)


# --- the contract of eyes --------------------------------------------------------------------------------------------


def test_every_kind_is_tested() -> None:
    assert set(EYES) == {"tiny-eyes", *checkpoints.EYES}
    assert set(EARS) == {"tiny-ears", *checkpoints.EARS}


@all_eyes
def test_patches_have_the_shape_and_the_spaces_that_the_encoder_promises(eyes: LoadEyes, kind: str) -> None:
    encoder = eyes(kind)
    assert isinstance(encoder, ImageEncoder)
    (seen,) = encoder.see([scene(160, 120)])
    assert seen.dense.values.shape == (seen.rows, seen.columns, encoder.dense.width)
    assert seen.pooled.values.shape == (encoder.pooled.width,)
    assert seen.dense.values.dtype == seen.pooled.values.dtype == np.float32
    assert (seen.dense.space, seen.pooled.space) == (encoder.dense, encoder.pooled)
    assert re.fullmatch(r".+@[0-9a-f]{12}\.patch", encoder.dense.name)
    assert encoder.pooled.name == encoder.dense.name.removesuffix("patch") + "image"
    assert np.isfinite(seen.dense.values).all()
    assert seen.dense.values.std(axis=(0, 1)).max() > 1e-4, "every patch says the same"


@all_eyes
def test_pictures_do_not_depend_on_their_company(eyes: LoadEyes, kind: str) -> None:
    pictures = [scene(96, 96, 1), scene(160, 100, 2), scene(96, 96, 3), scene(60, 200, 4)]
    together = eyes(kind).see(pictures)
    for picture, seen in zip(pictures, together, strict=True):
        (alone,) = eyes(kind).see([picture])
        np.testing.assert_allclose(seen.dense.values, alone.dense.values, atol=2e-5)
        np.testing.assert_allclose(seen.pooled.values, alone.pooled.values, atol=2e-5)
        (again,) = eyes(kind).see([picture])
        np.testing.assert_array_equal(again.dense.values, alone.dense.values)
    assert not np.allclose(together[0].pooled.values, together[2].pooled.values, atol=1e-5)
    assert eyes(kind).see([]) == []


@all_eyes
@pytest.mark.parametrize("at", [(0.2, 0.25), (0.8, 0.3), (0.3, 0.85), (0.55, 0.5)])
def test_a_bright_square_changes_most_the_patches_where_it_is(
    eyes: LoadEyes, kind: str, at: tuple[float, float]
) -> None:
    before = scene(240, 160)
    pixels = before.pixels.copy()
    x, y = round(at[0] * 240), round(at[1] * 160)
    pixels[y - 9 : y + 9, x - 9 : x + 9] = 255
    old, new = eyes(kind).see([before, Image(pixels)])
    change = np.linalg.norm(new.dense.values - old.dense.values, axis=-1)
    row, column = np.unravel_index(change.argmax(), change.shape)
    # Within the square, or in the patch beside it: the square need not lie in one patch.
    reach = np.array([9 / 240 + 0.6 / new.columns, 9 / 160 + 0.6 / new.rows])
    assert (np.abs(new.places[row, column] - at) <= reach).all(), (new.places[row, column], at)
    here = new.cell(Point(*at))
    assert change[here] > 2 * np.median(change)


@all_eyes
@pytest.mark.parametrize(("width", "height"), [(200, 200), (320, 160), (150, 300), (16, 1600), (2000, 16), (16, 16)])
def test_a_picture_of_any_shape_is_seen_whole_and_in_its_proportions(
    eyes: LoadEyes, kind: str, width: int, height: int
) -> None:
    (seen,) = eyes(kind).see([scene(width, height)])
    assert 1 <= seen.rows * seen.columns <= 100
    assert np.sign(np.log(seen.columns / seen.rows)) == np.sign(np.log(width / height))
    if max(width, height) <= 2 * min(width, height):
        assert seen.columns / seen.rows == pytest.approx(width / height, rel=0.15)
    places = seen.places
    assert places.shape == (seen.rows, seen.columns, 2)
    assert (places > 0).all()
    assert (places < 1).all()
    np.testing.assert_allclose(places.mean((0, 1)), 0.5)
    assert seen.cell(Point(0, 0)) == (0, 0)
    assert seen.cell(Point(1, 1)) == (seen.rows - 1, seen.columns - 1)
    r, c = seen.rows // 2, seen.columns - 1
    assert seen.cell(Point(*map(float, places[r, c]))) == (r, c)


@all_eyes
def test_grey_and_transparent_files_are_seen_as_what_they_look_like(eyes: LoadEyes, kind: str) -> None:
    from PIL import Image as Pil

    grey = np.random.default_rng(0).integers(0, 255, (64, 96)).astype(np.uint8)
    alpha = np.where(np.arange(96) < 48, 255, 0).astype(np.uint8) * np.ones((64, 1), np.uint8)
    laid = np.where(alpha > 0, grey, 255).astype(np.uint8)

    def file(pixels: np.ndarray, mode: str) -> Image:
        buffer = io.BytesIO()
        Pil.fromarray(pixels, mode=None).convert(mode).save(buffer, "PNG")
        return media.read_image(buffer.getvalue())

    clear = io.BytesIO()
    Pil.fromarray(np.stack([grey, grey, grey, alpha], -1)).save(clear, "PNG")
    a, b, c, d = eyes(kind).see(
        [file(grey, "L"), file(grey, "RGB"), media.read_image(clear.getvalue()), file(laid, "L")]
    )
    np.testing.assert_allclose(a.dense.values, b.dense.values, atol=2e-5)
    np.testing.assert_allclose(c.dense.values, d.dense.values, atol=2e-5)
    assert not np.allclose(a.dense.values, c.dense.values, atol=1e-3)


# --- the contract of ears --------------------------------------------------------------------------------------------


@all_ears
def test_frames_have_the_rate_the_shape_and_the_spaces_that_the_encoder_promises(ears: LoadEars, kind: str) -> None:
    encoder = ears(kind)
    assert isinstance(encoder, SoundEncoder)
    (heard,) = encoder.listen([noise(1.7, 22_050)])
    assert heard.dense.values.shape == (int(np.ceil(1.7 * encoder.frame_rate)), encoder.dense.width)
    assert heard.pooled.values.shape == (encoder.pooled.width,)
    assert (heard.dense.space, heard.pooled.space) == (encoder.dense, encoder.pooled)
    assert re.fullmatch(r".+@[0-9a-f]{12}\.frame", encoder.dense.name)
    assert encoder.pooled.name == encoder.dense.name.removesuffix("frame") + "sound"
    assert heard.rate == encoder.frame_rate
    np.testing.assert_allclose(np.diff(heard.times), 1 / heard.rate)
    assert (heard.times > 0).all()
    assert heard.times[-1] < 1.7 + 0.5 / heard.rate


@all_ears
def test_sounds_do_not_depend_on_their_company(ears: LoadEars, kind: str) -> None:
    sounds = [noise(1.0, 24_000, seed=1), noise(0.3, 16_000, seed=2), noise(4.0, 24_000, seed=3), noise(1.0, 24_000)]
    together = ears(kind).listen(sounds)
    for sound, heard in zip(sounds, together, strict=True):
        (alone,) = ears(kind).listen([sound])
        same(heard, alone, 2e-5)
        (again,) = ears(kind).listen([sound])
        np.testing.assert_array_equal(again.dense.values, alone.dense.values)
    assert not np.allclose(together[0].pooled.values, together[3].pooled.values, atol=1e-5)
    assert ears(kind).listen([]) == []


@all_ears
@pytest.mark.parametrize(("at", "seconds"), [(0.6, 2.0), (1.5, 2.0), (12.3, 14.0)])
def test_a_burst_changes_most_the_frames_when_it_is_heard(ears: LoadEars, kind: str, at: float, seconds: float) -> None:
    before = noise(seconds, 16_000)
    samples = before.samples.copy()
    burst = slice(round((at - 0.05) * 16_000), round((at + 0.05) * 16_000))
    samples[:, burst] += 0.5 * np.random.default_rng(9).standard_normal(samples[:, burst].shape)
    old, new = ears(kind).listen([before, Sound(samples, 16_000)])
    change = np.linalg.norm(new.dense.values - old.dense.values, axis=-1)
    # Frames that only know the past go on hearing it for as long as they remember (19 frames).
    late = 0.5 if kind == "tiny-ears" else 0.0
    assert -1.5 / new.rate <= new.times[change.argmax()] - (at - 0.05) <= 0.1 + late + 1.5 / new.rate


def test_the_small_ears_hear_only_the_past_and_not_for_ever(ears: LoadEars) -> None:
    before = noise(3.0, audio.RATE)
    samples = before.samples.copy()
    click = round(1.0 * audio.RATE) + 100  # in frame 25, which begins at 1 s
    samples[:, click] = 1.0
    old, new = ears("tiny-ears").listen([before, Sound(samples, audio.RATE)])
    changed = np.flatnonzero((new.dense.values != old.dense.values).any(axis=1))
    assert changed[0] == 25
    assert new.times[25] - 0.02 <= click / audio.RATE < new.times[25] + 0.02
    assert changed[-1] <= 25 + 19


@all_ears
def test_other_rates_and_channels_are_the_same_sound(ears: LoadEars, kind: str) -> None:
    t = np.arange(48_000) / 48_000
    wave = 0.3 * np.sin(2 * np.pi * 440 * t) * np.exp(-3 * t) + 0.1 * np.sin(2 * np.pi * 2500 * t)
    mono = Sound(wave, 48_000)
    low = media.resample(mono, 32_000)
    rng = np.random.default_rng(0)
    apart = 0.1 * rng.standard_normal(48_000)
    stereo = Sound(np.stack([wave + apart, wave - apart]), 48_000)
    other = Sound(wave[::-1].copy(), 48_000)
    a, b, c, d = ears(kind).listen([mono, low, stereo, other])
    scale = np.abs(a.dense.values - d.dense.values).mean()
    assert np.abs(a.dense.values - b.dense.values).mean() < 0.25 * scale
    np.testing.assert_allclose(a.dense.values, c.dense.values, atol=0.02 * np.abs(a.dense.values).max())


@all_ears
def test_silence_and_scraps_of_sound_are_heard_without_complaint(ears: LoadEars, kind: str) -> None:
    scraps = [
        Sound(np.zeros((1, 16_000)), 16_000),
        Sound(np.zeros((2, 1)), 44_100),
        Sound(np.ones((1, 1)), 1),
        Sound(np.zeros((1, 0)), 48_000),
        Sound(0.5 * np.ones((1, 30)), 48_000),
        Sound(np.ones((8, 400)), 8000),
    ]
    for scrap, heard in zip(scraps, ears(kind).listen(scraps), strict=True):
        assert len(heard.dense.values) == max(1, int(np.ceil(scrap.seconds * heard.rate)))
        assert np.isfinite(heard.dense.values).all()
        assert np.isfinite(heard.pooled.values).all()


def same(a: Frames, b: Frames, tolerance: float) -> None:
    np.testing.assert_allclose(a.dense.values, b.dense.values, atol=tolerance)
    np.testing.assert_allclose(a.pooled.values, b.pooled.values, atol=tolerance)


def test_the_small_ears_hear_a_long_sound_in_blocks_as_in_one_piece(ears: LoadEars) -> None:
    encoder = ears("tiny-ears")
    long = noise(47.0, audio.RATE, 0.1)
    in_one = FrameEncoder(
        "x", encoder.tower, Hearing(audio.RATE, audio.STEP, 10**6, 0.02, audio.WINDOW // 2, fixed=False)
    )
    (blocks,), (whole,) = encoder.listen([long]), in_one.eval().listen([long])
    same(blocks, whole, 2e-5)


def test_the_small_ears_know_loud_from_soft(ears: LoadEars) -> None:
    sounds = [noise(1.0, 24_000, 0.003), noise(1.0, 24_000, 0.003, seed=1), noise(1.0, 24_000, 0.3)]
    soft, as_soft, loud = (heard.pooled.values for heard in ears("tiny-ears").listen(sounds))
    assert np.linalg.norm(loud - soft) > 5 * np.linalg.norm(as_soft - soft)


@pytest.mark.parametrize("frames", [1, 31, 32, 33, 64, 65, 100])
@pytest.mark.parametrize(("context", "fixed"), [(0, True), (5, False)])
def test_windows_take_every_frame_once_and_with_its_context(frames: int, context: int, fixed: bool) -> None:
    hearing = Hearing(16_000, 160, 32, 0.0, context=context, fixed=fixed)
    taken: list[int] = []
    for start, first, stop in hearing.windows(frames):
        assert 0 <= start <= max(0, first - context) or start == 0
        assert stop <= start + hearing.size(frames)
        taken += range(first, stop)
    assert taken == list(range(frames))


# --- other people's preprocessing, by our own hands ------------------------------------------------------------------


def test_steps_keep_proportions_within_the_budget() -> None:
    look = Look(step=14, least=224**2, most=224**2)
    assert look.steps(500, 500) == (16, 16)
    assert look.steps(10, 10) == (16, 16)
    assert look.steps(800, 600) == (14, 18)
    assert look.steps(600, 800) == (18, 14)
    for width, height in [(1, 10**6), (10**6, 1), (300, 200), (16, 17), (5000, 900)]:
        rows, columns = look.steps(width, height)
        assert 1 <= rows * columns <= 256
    free = Look(step=28, least=56 * 56, most=28 * 28 * 1280)
    assert free.steps(280, 140) == (5, 10), "between the limits a picture keeps its size"
    assert free.steps(16, 16) == (2, 2)


def test_qwen_s_patches_come_in_the_order_of_its_own_processor(eyes: LoadEyes) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    given: dict[str, torch.Tensor] = {}

    class Spy(torch.nn.Module):
        config = eyes("qwen2_5_vl").tower.model.config

        def forward(self, flat: torch.Tensor, grid_thw: torch.Tensor) -> Any:
            given.update(flat=flat, grid=grid_thw)
            return SimpleNamespace(pooler_output=torch.zeros(2 * 3 * 4, 32))

    pixels = torch.randn(2, 3, 3 * 28, 4 * 28)
    type(eyes("qwen2_5_vl").tower)(Spy())(pixels)
    told = [Qwen2VLImageProcessorPil.patchify(None, picture.numpy(), 14, 2, 2) for picture in pixels]
    np.testing.assert_array_equal(given["flat"], np.concatenate([flat for flat, _, _ in told]))
    assert given["grid"].tolist() == [[1, 6, 8]] * 2


def test_siglip_2_s_patches_come_in_the_order_of_its_own_processor(eyes: LoadEyes) -> None:
    from transformers.models.siglip2.image_processing_pil_siglip2 import convert_image_to_patches

    given: dict[str, torch.Tensor] = {}

    class Spy(torch.nn.Module):
        config = eyes("siglip2").tower.model.config

        def forward(self, **inputs: torch.Tensor) -> Any:
            given.update(inputs)
            return SimpleNamespace(last_hidden_state=torch.zeros(1, 6, 32), pooler_output=None)

    pixels = torch.randn(1, 3, 2 * 16, 3 * 16)
    type(eyes("siglip2").tower)(Spy())(pixels)
    np.testing.assert_array_equal(given["pixel_values"][0], convert_image_to_patches(pixels[0].numpy(), 16))
    assert given["spatial_shapes"].tolist() == [[2, 3]]


def test_pixels_are_resized_and_normalised_as_siglip_s_own_processor_does(eyes: LoadEyes) -> None:
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    square = Image(np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8))
    encoder = eyes("siglip")
    ours = (encoder.look.pixels(square, *encoder.look.steps(200, 200)) - encoder.mean) / encoder.std
    processor = SiglipImageProcessorPil(size={"height": 128, "width": 128}, resample=2)
    theirs = processor(np.asarray(square.pixels), return_tensors="np")["pixel_values"][0]
    np.testing.assert_allclose(ours, theirs, atol=0.02)


@pytest.mark.parametrize("seconds", [0.7, 3.0, 10.0])
def test_clap_s_front_end_is_that_of_its_extractor(ears: LoadEars, written: Written, seconds: float) -> None:
    from transformers import ClapFeatureExtractor

    wave = noise(seconds, 48_000, 0.1).samples[0]
    extractor = ClapFeatureExtractor.from_pretrained(written("clap"))
    theirs = extractor(wave, sampling_rate=48_000, return_tensors="pt")["input_features"]
    given = inputs_of(ears("clap"), Sound(wave[None], 48_000))["input_features"]
    assert given.shape == theirs.shape == (1, 1, 1001, 64)
    np.testing.assert_allclose(given, theirs, atol=0.01)


def test_a_fusing_clap_hears_without_chance(ears: LoadEars, written: Written) -> None:
    from transformers import ClapFeatureExtractor

    wave = noise(3.0, 48_000, 0.1).samples[0]
    extractor = ClapFeatureExtractor.from_pretrained(written("clap-fusing"))
    theirs = extractor(wave, sampling_rate=48_000, return_tensors="pt")["input_features"]
    given = inputs_of(ears("clap-fusing"), Sound(wave[None], 48_000))
    assert given["input_features"].shape == theirs.shape == (1, 4, 1001, 64)
    np.testing.assert_allclose(given["input_features"], theirs, atol=0.01)
    assert not given["is_longer"].any()
    long = noise(12.0, 48_000, 0.1)
    (a,), (b,) = (ears("clap-fusing").listen([long]) for _ in range(2))
    same(a, b, 0)


@pytest.mark.parametrize("seconds", [0.5, 2.5])
def test_ast_s_front_end_is_that_of_its_extractor(ears: LoadEars, written: Written, seconds: float) -> None:
    from transformers import ASTFeatureExtractor

    wave = noise(seconds, 16_000, 0.1).samples[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # empty bands
        extractor = ASTFeatureExtractor.from_pretrained(written("audio-spectrogram-transformer"))
    theirs = extractor(wave, sampling_rate=16_000, return_tensors="pt")["input_values"]
    given = inputs_of(ears("audio-spectrogram-transformer"), Sound(wave[None], 16_000))["input_values"]
    np.testing.assert_allclose(given, theirs, atol=2e-3)


def inputs_of(encoder: FrameEncoder, sound: Sound) -> dict[str, torch.Tensor]:
    """What the tower's network is given for a sound."""
    given: dict[str, torch.Tensor] = {}
    network = encoder.tower.model

    def keep(module: Any, args: Any, kwargs: dict[str, torch.Tensor]) -> None:
        given.update(kwargs)

    handle = network.register_forward_pre_hook(keep, with_kwargs=True)
    encoder.listen([sound])
    handle.remove()
    return given


# --- other people's checkpoints --------------------------------------------------------------------------------------


HUB = [*checkpoints.EYES, *checkpoints.EARS]


def load(kind: str, folder: Path | str) -> PatchEncoder | FrameEncoder:
    return load_eyes(folder, device="cpu") if kind in EYES else load_ears(folder, device="cpu")


@pytest.mark.parametrize("kind", [*EYES, *EARS])
def test_nothing_that_reads_words_is_loaded(eyes: LoadEyes, ears: LoadEars, kind: str) -> None:
    encoder = eyes(kind) if kind in EYES else ears(kind)
    names = [name for name, _ in encoder.named_parameters()]
    assert names
    assert not [name for name in names if re.search(r"text|embed_tokens|lm_head|language|token_embedding", name)]


# Names as in the published checkpoints, so that a small one written here is like them.
PUBLISHED = {
    "dinov2": "encoder.layer.0.attention.attention.query.weight",
    "dinov2_with_registers": "encoder.layer.0.attention.attention.query.weight",
    "dinov3_vit": "layer.0.attention.q_proj.weight",
    "siglip": "vision_model.encoder.layers.0.self_attn.q_proj.weight",
    "siglip2": "vision_model.encoder.layers.0.self_attn.q_proj.weight",
    "qwen2_5_vl": "visual.blocks.0.attn.qkv.weight",
    "qwen3_vl": "model.visual.blocks.0.attn.qkv.weight",
    "clap": "audio_model.audio_encoder.patch_embed.proj.weight",
    "audio-spectrogram-transformer": "audio_spectrogram_transformer.encoder.layer.0.attention.attention.query.weight",
}


@pytest.mark.parametrize("kind", HUB)
def test_weights_are_found_under_the_names_that_published_checkpoints_use(
    eyes: LoadEyes, ears: LoadEars, written: Written, kind: str
) -> None:
    with safe_open(written(kind) / "model.safetensors", "pt") as file:
        names = set(file.keys())
        weight = file.get_tensor(PUBLISHED[kind]) if PUBLISHED[kind] in names else None
    assert weight is not None, sorted(names)[:20]
    encoder = eyes(kind) if kind in EYES else ears(kind)
    assert any(p.shape == weight.shape and torch.equal(p, weight) for p in encoder.parameters())


@pytest.mark.parametrize("kind", HUB)
def test_a_checkpoint_that_is_only_a_pickle_is_refused(written: Written, tmp_path: Path, kind: str) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(written(kind) / name, tmp_path / name)
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match=r"no model\.safetensors.*safetensors only, never from a pickle"):
        load(kind, tmp_path)
    (tmp_path / "pytorch_model.bin").rename(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="not a sound safetensors file"):
        load(kind, tmp_path)


def copy_of(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


@pytest.mark.parametrize("kind", HUB)
def test_a_checkpoint_that_does_not_fit_its_config_is_refused(written: Written, tmp_path: Path, kind: str) -> None:
    nested = {"siglip": "vision_config", "siglip2": "vision_config", "clap": "audio_config",
              "qwen2_5_vl": "vision_config", "qwen3_vl": "vision_config"}.get(kind)  # fmt: skip
    wide = copy_of(written(kind), tmp_path / "wide")
    key = "out_hidden_size" if "qwen" in kind else "hidden_size"
    edit(wide / "config.json", lambda c: (c[nested] if nested else c).update({key: 96}))
    with pytest.raises(InputError, match="does not fit its architecture"):
        load(kind, wide)
    mad = copy_of(written(kind), tmp_path / "mad")
    edit(mad / "config.json", lambda c: (c[nested] if nested else c).update({key: "blue"}))
    with pytest.raises(InputError, match="does not fit its architecture"):
        load(kind, mad)
    bare = copy_of(written(kind), tmp_path / "bare")
    (bare / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"no file .*preprocessor_config\.json"):
        load(kind, bare)
    (bare / "preprocessor_config.json").write_text("{}")
    with pytest.raises(InputError, match="does not fit its architecture"):
        load(kind, bare)


def test_a_missing_weight_is_named(written: Written, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copy_of(written("dinov2"), tmp_path / "short")
    tensors = load_file(folder / "model.safetensors")
    del tensors["layernorm.weight"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"lacks 1 weights of Dinov2Model, such as layernorm\.weight"):
        load_eyes(folder)


@pytest.mark.parametrize("tiny", ["tiny-eyes", "tiny-ears"])
def test_small_checkpoints_that_do_not_fit_are_refused(written: Written, tmp_path: Path, tiny: str) -> None:
    folder = copy_of(written(tiny), tmp_path / "odd")
    edit(folder / "config.json", lambda c: c["model"].update(colour="blue"))
    with pytest.raises(InputError, match=f"holds no small {tiny[5:]}"):
        load(tiny, folder)


def test_eyes_are_not_ears(written: Written) -> None:
    with pytest.raises(InputError, match="of the kind 'clap'; eyes are one of: tiny-eyes, dinov2"):
        load_eyes(written("clap"))
    with pytest.raises(InputError, match="of the kind 'dinov2'; ears are one of"):
        load_ears(written("dinov2"))


def test_only_small_encoders_of_our_own_are_saved(eyes: LoadEyes, ears: LoadEars, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of our own"):
        vision.save_tiny_eyes(eyes("dinov2"), tmp_path)
    with pytest.raises(InputError, match="of our own"):
        audio.save_tiny_ears(ears("clap"), tmp_path)


def test_without_the_extra_one_sentence_says_so(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written("dinov2")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the extra `hub`: pip install 'synesthesia\[hub\]'"):
        load_eyes(folder)


def test_features_are_named_by_repository_and_commit_or_by_what_the_weights_are(
    written: Written, tmp_path: Path
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = copy_of(written("dinov2"), tmp_path / "models--me--my-eyes" / "snapshots" / commit)
    assert load_eyes(cached).dense.name == "me/my-eyes@0123456789ab.patch"
    one, two = (load_eyes(copy_of(written("dinov2"), tmp_path / name / "mine")) for name in "ab")
    assert one.dense == two.dense
    assert one.dense.name.startswith("mine@")
    from safetensors.torch import load_file, save_file

    path = tmp_path / "b" / "mine" / "model.safetensors"
    save_file({name: value + 1e-3 for name, value in load_file(path).items()}, path)
    assert load_eyes(path.parent).dense != one.dense


def test_of_a_large_checkpoint_only_the_files_with_the_tower_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], eyes: LoadEyes
) -> None:
    with pretrained.quiet():
        there = checkpoints.write("qwen2_5_vl", tmp_path / "there", shard="40KB")
    weights = json.loads((there / "model.safetensors.index.json").read_text())["weight_map"]
    tower = {file for name, file in weights.items() if name.startswith("visual.")}
    assert tower < set(weights.values()), "a test of nothing: every file has a part of the tower"
    here = tmp_path / "models--me--qwen" / "snapshots" / ("a" * 40)
    fetched: list[str] = []

    def download(repo: str, *, allow_patterns: list[str], local_files_only: bool = False, **how: object) -> str:
        if local_files_only and not here.is_dir():
            raise LocalEntryNotFoundError("not in the cache")
        here.mkdir(parents=True, exist_ok=True)
        for name in allow_patterns if not local_files_only else []:
            if (there / name).is_file():
                fetched.append(name)
                shutil.copy(there / name, here / name)
        return str(here)

    parts = [SimpleNamespace(rfilename=p.name, size=p.stat().st_size * 100) for p in there.iterdir()]
    info = SimpleNamespace(siblings=parts, card_data={"license": "apache-2.0"})
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: SimpleNamespace(model_info=lambda *a, **k: info))
    encoder = load_eyes("hf:me/qwen@" + "a" * 40, yes=True, device="cpu")
    assert {name for name in fetched if name.endswith("safetensors")} == tower
    assert "licence: apache-2.0" in capsys.readouterr().err
    picture = scene(100, 80)
    (a,), (b,) = encoder.see([picture]), eyes("qwen2_5_vl").see([picture])
    np.testing.assert_array_equal(a.dense.values, b.dense.values)
    assert encoder.dense.name == "me/qwen@aaaaaaaaaaaa.patch"
    count = len(fetched)
    load_eyes("hf:me/qwen@" + "a" * 40)
    assert len(fetched) == count, "what is in the cache is not fetched again"


def test_a_repository_without_safetensors_is_refused_before_anything_is_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def download(repo: str, **how: object) -> str:
        raise LocalEntryNotFoundError("not in the cache")

    parts = [SimpleNamespace(rfilename=name, size=9) for name in ("config.json", "pytorch_model.bin")]
    info = SimpleNamespace(siblings=parts, card_data=None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: SimpleNamespace(model_info=lambda *a, **k: info))
    with pytest.raises(InputError, match=r"has no model\.safetensors\. .*never from a pickle"):
        hub.resolve("hf:me/old@0123456", yes=True)


def test_an_index_may_not_lead_out_of_its_folder(written: Written, tmp_path: Path) -> None:
    folder = copy_of(written("dinov2"), tmp_path / "split")
    for bad in ({"weight_map": {"a": "../x.safetensors"}}, {"weight_map": 3}, {}):
        (folder / "model.safetensors.index.json").write_text(json.dumps(bad))
        with pytest.raises(InputError, match="which file holds which weight"):
            load_eyes(folder)
