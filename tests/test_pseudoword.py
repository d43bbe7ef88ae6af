"""A sound in the place of a word: the bridge, a small Stable Diffusion written to disk, training, verb and command."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from toys import toy_shards

import synesthesia as syn
from synesthesia import cli, media
from synesthesia.bridges.imagining import Imagining
from synesthesia.bridges.pretrained_drawing import Drawing
from synesthesia.bridges.pseudoword import Pseudoword, PseudowordConfig
from synesthesia.encoders.audio import FrameEarsConfig, save_tiny_ears, tiny_ears
from synesthesia.senses import Image, InputError, Region, Sound
from synesthesia.spaces import Space, SpaceError
from synesthesia.train import loop
from synesthesia.train.pseudoword import PseudowordRun, train

needs_hub = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("diffusers", "transformers")), reason="needs diffusers"
)
SENTENCE = (5, 6)
RUN = PseudowordRun(steps=3, batch=2, lr=1e-3, seconds=0.5, sentence=SENTENCE)


def tone(hz: float) -> Sound:
    t = np.arange(16_000) / 32_000
    return Sound((0.1 * np.sin(2 * np.pi * hz * t)).astype(np.float32)[None], 32_000)


def bridge(count: int = 2) -> Pseudoword:
    torch.manual_seed(0)
    made = Pseudoword(PseudowordConfig(Space("ears", 6), Space("words", 8), count=count, hidden=16)).eval()
    made.fit_length(3.0 * torch.nn.functional.normalize(torch.randn(50, 8), dim=1))
    return made


# --- the bridge ------------------------------------------------------------------------------------------------------


def test_a_pseudo_word_begins_as_long_as_a_word() -> None:
    frames = torch.randn(64, 9, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        words = bridge()(frames, torch.full((64,), 9))
    assert words.shape == (64, 2, 8)
    assert 0.2 < float(words.norm(dim=-1).mean()) / 3.0 < 2.0


def test_frames_that_are_not_real_are_not_heard_and_their_order_does_not_matter() -> None:
    frames, five, made = torch.randn(1, 9, 6), torch.tensor([5]), bridge()
    with torch.no_grad():
        words = made(frames[:, :5], five)
        torch.testing.assert_close(made(frames, five), words)
        torch.testing.assert_close(made(frames[:, [3, 1, 4, 0, 2]], five), words)


def test_words_of_the_right_length_cost_no_length() -> None:
    made = bridge()
    right = 3.0 * torch.nn.functional.normalize(torch.randn(4, 2, 8), dim=-1)
    assert float(made.loss(right)["length"]) == pytest.approx(0, abs=1e-6)
    assert float(made.loss(2 * right)["length"]) == pytest.approx(made.config.length, rel=1e-4)
    assert float(made.loss(2 * right)["sparse"]) == pytest.approx(2 * float(made.loss(right)["sparse"]), rel=1e-4)


def test_what_does_not_fit_a_bridge_is_refused() -> None:
    with pytest.raises(SpaceError, match="6 dimensions"):
        bridge()(torch.zeros(1, 3, 5), torch.tensor([3]))
    with pytest.raises(SpaceError, match="8 dimensions"):
        bridge().fit_length(torch.zeros(4, 3))
    with pytest.raises(InputError, match="1 to 16"):
        PseudowordConfig(Space("a", 2), Space("b", 2), count=0)
    with pytest.raises(InputError, match="no configuration"):
        PseudowordConfig.from_dict({"source": 3})


# --- with a diffusion model -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion of a few thousand weights, as diffusers writes it."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("pipeline")
    text = CLIPTextConfig(
        vocab_size=20, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=12, bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=16,
        attention_head_dim=2, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            if ".attn2." in name or name.startswith("conv_out"):
                weight *= 4  # as in one that was trained, what is read in the sentence is seen in the picture
    unet.save_pretrained(folder / "unet")
    AutoencoderKL(
        block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, latent_channels=4, sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    ).save_pretrained(folder / "vae")  # fmt: skip
    DDIMScheduler(beta_schedule="scaled_linear").save_pretrained(folder / "scheduler")
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<|endoftext|>"}))
    return folder


@pytest.fixture(scope="module")
def ears(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    return save_tiny_ears(tiny_ears(config=FrameEarsConfig((4, 4, 8, 8), 12)), tmp_path_factory.mktemp("ears"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_shards(tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def model(pipeline: Path, ears: Path) -> Imagining:
    torch.manual_seed(2)
    made = Imagining.new(str(ears), str(pipeline), count=2, rank=2, sentence=SENTENCE, seconds=0.5)
    for name, weight in made.taught.named_parameters():
        if name.endswith("up.weight"):
            torch.nn.init.normal_(weight, std=0.1)  # as if something had been learned
    return made.eval()


@needs_hub
def test_only_the_pseudo_words_differ_from_the_constant_sentence(model: Imagining) -> None:
    drawing = model.drawing
    rows = torch.tensor([[1, *SENTENCE, 7, 8, 2, *[2] * 6]])
    with torch.no_grad():
        plain = drawing.text(input_ids=rows).last_hidden_state
        said = drawing.led(drawing.vocabulary[rows[:, 3:5]], SENTENCE)
        other = drawing.led(drawing.vocabulary[rows[:, 3:5] + 4], SENTENCE)
    torch.testing.assert_close(said, plain)
    torch.testing.assert_close(other[:, :3], plain[:, :3])  # what stands before does not know what follows
    assert float((other[:, 3:] - plain[:, 3:]).abs().max()) > 1e-2


@needs_hub
def test_sounds_change_the_picture_and_seeds_do(model: Imagining) -> None:
    low, high = model.attend(tone(150.0)), model.attend(tone(900.0))
    (again,), (two,) = model.pictures(low, [3]), model.pictures(high, [3])
    first = np.asarray(model.pictures(low, [3])[0].pixels)
    assert first.shape == (16, 16, 3)
    np.testing.assert_array_equal(first, np.asarray(again.pixels))
    assert not np.array_equal(first, np.asarray(two.pixels))
    assert not np.array_equal(first, np.asarray(model.pictures(low, [4])[0].pixels))


@needs_hub
def test_what_the_mask_does_not_cover_stays(model: Imagining) -> None:
    photo = Image(np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8))
    mask = np.zeros((20, 30), np.float32)
    mask[:, 15:] = 1
    (filled,) = model.fill(model.attend(tone(150.0)), photo, Region(mask), [0])
    np.testing.assert_array_equal(filled.pixels[:, :15], photo.pixels[:, :15])
    assert not np.array_equal(filled.pixels[:, 15:], photo.pixels[:, 15:])


@needs_hub
def test_a_checkpoint_holds_what_was_learned_and_no_more(model: Imagining, tmp_path: Path) -> None:
    model.save(tmp_path / "a")
    again = Imagining.load(tmp_path / "a")
    with safe_open(tmp_path / "a" / "model.safetensors", "pt") as kept:
        assert {name.split(".")[0] for name in kept.keys()} == {"bridge", "changes"}  # noqa: SIM118
    sound = tone(900.0)
    np.testing.assert_array_equal(
        again.pictures(again.attend(sound), [1])[0].pixels, model.pictures(model.attend(sound), [1])[0].pixels
    )
    told = json.loads((tmp_path / "a" / "config.json").read_text())
    told["model"]["rank"] = 0
    (tmp_path / "a" / "config.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match="too many, weights like changes"):
        Imagining.load(tmp_path / "a")


@needs_hub
def test_a_run_teaches_the_bridge_alone_and_resumes_to_the_same(
    shards: Path, ears: Path, pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = {path: path.read_bytes() for path in pipeline.rglob("*.safetensors")}
    one = train(shards, str(ears), str(pipeline), tmp_path / "a", RUN)
    assert {path: path.read_bytes() for path in frozen} == frozen
    real = loop.LoopConfig.__init__

    def often(self: Any, *given: Any, **named: Any) -> None:
        real(self, *given, **(named | {"checkpoint_every": 1}))

    monkeypatch.setattr(loop.LoopConfig, "__init__", often)
    calls = []

    def killed(self: Drawing, *given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return loss(self, *given, **named)

    loss = Drawing.loss
    with monkeypatch.context() as patch:
        patch.setattr(Drawing, "loss", killed)
        with pytest.raises(KeyboardInterrupt):
            train(shards, str(ears), str(pipeline), tmp_path / "b", RUN)
    two = train(shards, str(ears), str(pipeline), tmp_path / "b", RUN)
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()


@needs_hub
def test_two_sounds_learn_two_pictures(pipeline: Path, ears: Path) -> None:
    """What was noised is found more easily led by its own pseudo-word than by the other's."""
    torch.manual_seed(0)
    model = Imagining.new(str(ears), str(pipeline), count=2, rank=4, sentence=SENTENCE, seconds=0.5)
    frames, real = torch.randn(2, 5, 12), torch.tensor([5, 5])
    latents = torch.stack([torch.full((8, 8, 4), -1.5), torch.full((8, 8, 4), 1.5)])
    optimiser = torch.optim.Adam(model.taught.parameters(), 3e-3)

    def cost(order: list[int], seed: int, times: int = 1) -> torch.Tensor:
        states = model.drawing.led(model.bridge(frames, real)[order], SENTENCE).repeat(times, 1, 1)
        g = torch.Generator().manual_seed(seed)
        return model.drawing.loss(states, latents.repeat(times, 1, 1, 1), g)["diffusion"]

    for step in range(60):
        optimiser.zero_grad()
        cost([0, 1], step, 4).backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        nearer = [float(cost([0, 1], 1000 + k)) < float(cost([1, 0], 1000 + k)) for k in range(20)]
    assert sum(nearer) >= 16


@needs_hub
def test_the_verb_and_the_command(
    model: Imagining, tmp_path: Path, capsys: pytest.CaptureFixture[str], shards: Path, ears: Path, pipeline: Path
) -> None:
    model.save(tmp_path / "model")
    tone(150.0).save(tmp_path / "a.wav")
    glimpse = syn.load(see=tmp_path / "model").see(tmp_path / "a.wav", variations=2)
    assert len(glimpse.pictures) == 2
    given = ["see", str(tmp_path / "a.wav"), "--model", str(tmp_path / "model"), "-o", str(tmp_path / "a.png")]
    assert cli.main(given) == 0
    assert media.read_image(tmp_path / "a.png").width == 16
    (tmp_path / "empty").mkdir()
    wrong = ["train", "pseudoword", str(shards), "--ears", str(ears), "--drawing", str(tmp_path / "empty"), "-o"]
    assert cli.main([*wrong, str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("synesthesia: ")
    silent = Sound(np.zeros((1, 8000), np.float32), 16_000)
    with pytest.raises(InputError, match="silent"):
        model.attend(silent)


@needs_hub
def test_a_pickle_is_refused(pipeline: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(pipeline, tmp_path / "p")
    weights = tmp_path / "p" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(InputError):
        Drawing.load(tmp_path / "p")
