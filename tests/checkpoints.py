"""Small checkpoints of the architectures that hub encoders load, written to disk as their makers publish them.

Random weights, a few thousand of them; whole models (with their text towers and classifiers) where the published
checkpoints are whole models, so that the tower has to be found among other things.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

VIT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 56,
}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2}
DINO_CROP = {"do_center_crop": True, "crop_size": {"height": 112, "width": 112}, "size": {"shortest_edge": 128}}
QWEN_ROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}
WORDS = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}


def _dinov2() -> tuple[Any, dict[str, Any]]:
    from transformers import Dinov2Config, Dinov2Model

    return Dinov2Model(Dinov2Config(**VIT, patch_size=14)), {**IMAGENET, **DINO_CROP}


def _dinov2_with_registers() -> tuple[Any, dict[str, Any]]:
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    config = Dinov2WithRegistersConfig(**VIT, patch_size=14, num_register_tokens=4)
    return Dinov2WithRegistersModel(config), {**IMAGENET, **DINO_CROP}


def _dinov3_vit() -> tuple[Any, dict[str, Any]]:
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    config = DINOv3ViTConfig(**VIT, patch_size=16, num_register_tokens=4)
    return DINOv3ViTModel(config), {**IMAGENET, "size": {"height": 128, "width": 128}, "resample": 2}


def _siglip() -> tuple[Any, dict[str, Any]]:
    from transformers import SiglipConfig, SiglipModel

    config = SiglipConfig(text_config=WORDS, vision_config={**VIT, "image_size": 64, "patch_size": 16})
    return SiglipModel(config), {**HALF, "size": {"height": 128, "width": 128}}


def _siglip2() -> tuple[Any, dict[str, Any]]:
    from transformers import Siglip2Config, Siglip2Model

    vision = {**{k: v for k, v in VIT.items() if k != "image_size"}, "patch_size": 16, "num_patches": 16}
    return Siglip2Model(Siglip2Config(text_config=WORDS, vision_config=vision)), {**HALF, "max_num_patches": 64}


def _qwen(size: dict[str, Any], model: Any, config: Any, vision: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    text = {**WORDS, "num_key_value_heads": 1, "head_dim": 16, "rope_parameters": QWEN_ROPE, "bos_token_id": 1,
            "eos_token_id": 2, "pad_token_id": 0}  # fmt: skip
    tower = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32, **vision}
    ids = {"image_token_id": 30, "video_token_id": 31, "vision_start_token_id": 32, "vision_end_token_id": 33}
    return model(config(text_config=text, vision_config=tower, **ids)), {**HALF, **size}


def _qwen2_5_vl() -> tuple[Any, dict[str, Any]]:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    size = {"min_pixels": 56 * 56, "max_pixels": 28 * 28 * 40}
    vision = {"patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1]}
    return _qwen(size, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLConfig, vision)


def _qwen3_vl() -> tuple[Any, dict[str, Any]]:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    size = {"size": {"shortest_edge": 64 * 64, "longest_edge": 32 * 32 * 40}}
    vision = {"patch_size": 16, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
    return _qwen(size, Qwen3VLForConditionalGeneration, Qwen3VLConfig, vision)


def _clap(fuses: bool = False) -> tuple[Any, dict[str, Any]]:
    from transformers import ClapConfig, ClapModel

    audio = {"hidden_size": 32, "patch_embeds_hidden_size": 16, "depths": [1, 1], "num_attention_heads": [2, 2],
             "num_hidden_layers": 2, "projection_dim": 24, "enable_fusion": fuses}  # fmt: skip
    text = {**WORDS, "projection_dim": 24, "max_position_embeddings": 16}
    told = {"feature_size": 64, "sampling_rate": 48_000, "hop_length": 480, "fft_window_size": 1024,
            "max_length_s": 10, "frequency_min": 50, "frequency_max": 14_000, "padding": "repeatpad",
            "truncation": "fusion" if fuses else "rand_trunc"}  # fmt: skip
    return ClapModel(ClapConfig(audio_config=audio, text_config=text, projection_dim=24)), told


def _clip() -> tuple[Any, dict[str, Any]]:
    from transformers import CLIPConfig, CLIPModel

    text = {**WORDS, "projection_dim": 24, "max_position_embeddings": 16, "bos_token_id": 38, "eos_token_id": 39}
    vision = {**VIT, "patch_size": 14}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)), {**IMAGENET, **DINO_CROP}


def _ast() -> tuple[Any, dict[str, Any]]:
    from transformers import ASTConfig, ASTForAudioClassification

    sizes = {k: v for k, v in VIT.items() if k != "image_size"}
    told = {"sampling_rate": 16_000, "num_mel_bins": 128, "max_length": 256, "do_normalize": True, "mean": -4.2677393,
            "std": 4.5689974}  # fmt: skip
    return ASTForAudioClassification(ASTConfig(**sizes, max_length=256)), told


EYES: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
    "dinov2": _dinov2,
    "dinov2_with_registers": _dinov2_with_registers,
    "dinov3_vit": _dinov3_vit,
    "siglip": _siglip,
    "siglip2": _siglip2,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
}
EARS: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {"clap": _clap, "audio-spectrogram-transformer": _ast}


TEXTS: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {"clip": _clip, "clap": _clap}


def write_tokenizer(kind: str, folder: Path) -> Path:
    """Letters as tokens, between a beginning and an end, as `tokenizer.json`."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    ends = {"clip": ("<begin>", 38, "<end>", 39), "clap": ("<begin>", 0, "<end>", 2)}[kind]
    known = {ends[0]: ends[1], ends[2]: ends[3]} | ({"<pad>": 1} if kind == "clap" else {})
    free = iter(sorted(set(range(WORDS["vocab_size"])) - set(known.values())))
    known |= {letter: next(free) for letter in "?abcdefghijklmnopqrstuvwxyz"}
    made = Tokenizer(models.WordLevel(known, unk_token="?"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    made.post_processor = processors.TemplateProcessing(
        single=f"{ends[0]} $A {ends[2]}", special_tokens=[(ends[0], ends[1]), (ends[2], ends[3])]
    )
    made.save(str(folder / "tokenizer.json"))
    return folder


def write(kind: str, folder: Path, shard: str = "5GB") -> Path:
    """A small checkpoint of this kind in `folder`, in shards of at most this size."""
    torch.manual_seed(0)
    model, told = {**EYES, **EARS, **TEXTS, "clap-fusing": partial(_clap, fuses=True)}[kind]()
    # At their initial values class tokens, scales and positions are often 0 or 1, which hides mistakes.
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.02 * torch.randn_like(value))
    model.save_pretrained(folder, max_shard_size=shard)
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    return folder


def stirred(model: Any, by: float = 0.05) -> Any:
    """Weights of some size everywhere, codebooks too, which begin as zeros."""
    with torch.no_grad():
        for value in model.parameters():
            value.add_(by * torch.randn_like(value))
        for name, value in model.named_buffers():
            if name.endswith(("embed", "embed_avg", "embed_sum")):
                value.copy_(0.3 * torch.randn_like(value))
    return model


def write_audioldm2(folder: Path) -> Path:
    """The parts of a small pipeline of AudioLDM 2 that make its voice."""
    from diffusers import AutoencoderKL
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
    vae = AutoencoderKL(in_channels=1, out_channels=1, block_out_channels=(8, 8, 8), layers_per_block=1,
                        latent_channels=8, norm_num_groups=4, sample_size=64, scaling_factor=0.4, **kinds)  # fmt: skip
    stirred(vae).save_pretrained(folder / "vae")
    config = SpeechT5HifiGanConfig(model_in_dim=64, sampling_rate=16_000, upsample_initial_channel=16,
                                   upsample_rates=[5, 4, 4, 2], upsample_kernel_sizes=[16, 16, 8, 4],
                                   resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3, 5]])  # fmt: skip
    stirred(SpeechT5HifiGan(config), 0.3).save_pretrained(folder / "vocoder")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "AudioLDM2Pipeline"}))
    return folder
