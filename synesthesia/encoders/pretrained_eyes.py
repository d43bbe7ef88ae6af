"""Eyes from a hub: DINOv2, DINOv3, SigLIP 2 and the vision towers of Qwen2.5-VL and Qwen3-VL, each a short adapter.

The numbers of preprocessing are the checkpoint's own; the hands are ours (`base.Look`): the whole picture is seen, in
its proportions, where the original recipes crop or stretch to a square. Position embeddings are interpolated for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..pretrained import Checkpoint, build, read, transformers_errors
from .base import Eyesight, Look, PatchEncoder

# A picture is a place, not a page: beyond this (1280 patches of 28 pixels) Qwen's towers gain small print, at a price.
MOST = 1280 * 28 * 28

# Where a checkpoint keeps its vision tower beside other things.
TOWER = r"(?:model\.)?visual\.|dinov2(?:_with_registers)?\.|(?=vision_model\.)"


def load(reference: str | Path, *, yes: bool = False) -> PatchEncoder:
    """The eyes of a checkpoint of transformers; see `encoders.load_eyes`."""
    with transformers_errors(reference):
        checkpoint = read(reference, TOWER, yes=yes)
        tower, look = _ADAPTERS[checkpoint.config["model_type"]](checkpoint)
        return PatchEncoder(checkpoint.name, tower, look).eval()


class _Dino(Eyesight):
    """The last layer, normalised: class token for the whole, patch tokens; registers are dropped."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.widths = (model.config.hidden_size, model.config.hidden_size)
        self.others = 1 + getattr(model.config, "num_register_tokens", 0)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out = self.model(pixel_values=pixels)
        columns = pixels.shape[3] // self.model.config.patch_size
        return out.last_hidden_state[:, self.others :].unflatten(1, (-1, columns)), out.pooler_output


def _dino(checkpoint: Checkpoint) -> tuple[Eyesight, Look]:
    import transformers

    names = {"dinov2": "Dinov2", "dinov2_with_registers": "Dinov2WithRegisters", "dinov3_vit": "DINOv3ViT"}
    name = names[checkpoint.config["model_type"]]
    config: Any = getattr(transformers, f"{name}Config").from_dict(dict(checkpoint.config))
    tower = _Dino(build(getattr(transformers, f"{name}Model"), config, checkpoint))
    return tower, _look(checkpoint.preprocessor, config.patch_size, _area(checkpoint.preprocessor))


class _Siglip(Eyesight):
    """The last layer, normalised, and its attention-pooled vector."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.widths = (model.config.hidden_size, model.config.hidden_size)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        out = self.model(pixel_values=pixels, interpolate_pos_encoding=True)
        columns = pixels.shape[3] // self.model.config.patch_size
        return out.last_hidden_state.unflatten(1, (-1, columns)), out.pooler_output


def _siglip(checkpoint: Checkpoint) -> tuple[Eyesight, Look]:
    from transformers import SiglipVisionConfig, SiglipVisionModel

    config: Any = SiglipVisionConfig.from_dict(checkpoint.config["vision_config"])
    tower = _Siglip(build(SiglipVisionModel, config, checkpoint))
    return tower, _look(checkpoint.preprocessor, config.patch_size, _area(checkpoint.preprocessor))


class _Siglip2(_Siglip):
    """The same at any size ("naflex"): patches come flat, with the shape of their grid."""

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        p = self.model.config.patch_size
        n, _, height, width = pixels.shape
        rows, columns = height // p, width // p
        flat = pixels.unflatten(3, (columns, p)).unflatten(2, (rows, p)).permute(0, 2, 4, 3, 5, 1).flatten(3)
        out = self.model(
            pixel_values=flat.flatten(1, 2),
            pixel_attention_mask=torch.ones(n, rows * columns, dtype=torch.long, device=pixels.device),
            spatial_shapes=torch.tensor([(rows, columns)] * n, device=pixels.device),
        )
        return out.last_hidden_state.unflatten(1, (rows, columns)), out.pooler_output


def _siglip2(checkpoint: Checkpoint) -> tuple[Eyesight, Look]:
    from transformers import Siglip2VisionConfig, Siglip2VisionModel

    config: Any = Siglip2VisionConfig.from_dict(checkpoint.config["vision_config"])
    area = checkpoint.preprocessor.get("max_num_patches", config.num_patches) * config.patch_size**2
    tower = _Siglip2(build(Siglip2VisionModel, config, checkpoint))
    return tower, _look(checkpoint.preprocessor, config.patch_size, area)


class _Qwen(Eyesight):
    """What Qwen's language model would be given: patches merged 2 × 2 into its width. No pooled vector of its own."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.widths = (model.config.out_hidden_size, model.config.out_hidden_size)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, None]:
        c = self.model.config
        p, m = c.patch_size, c.spatial_merge_size
        n, _, height, width = pixels.shape
        rows, columns = height // (p * m), width // (p * m)
        # The order of transformers' Qwen2VLImageProcessor.patchify: patches of one merged cell follow each other.
        cells = pixels.unflatten(3, (columns, m, p)).unflatten(2, (rows, m, p)).permute(0, 2, 5, 3, 6, 1, 4, 7)
        still = cells.unsqueeze(6).expand(*cells.shape[:6], c.temporal_patch_size, p, p)
        flat = still.reshape(n * rows * m * columns * m, -1)
        grid = torch.tensor([(1, rows * m, columns * m)] * n, device=pixels.device)
        return self.model(flat, grid_thw=grid).pooler_output.unflatten(0, (n, rows, columns)), None


def _qwen(checkpoint: Checkpoint) -> tuple[Eyesight, Look]:
    if checkpoint.config["model_type"] == "qwen3_vl":
        from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLVisionConfig as Config
        from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel as Model
    else:
        from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig as Config
        from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel as Model

    config: Any = Config.from_dict(checkpoint.config["vision_config"])
    size = checkpoint.preprocessor.get("size") or {}
    least = checkpoint.preprocessor.get("min_pixels") or size["shortest_edge"]  # pixels, whatever the name says
    most = checkpoint.preprocessor.get("max_pixels") or size["longest_edge"]
    step = config.patch_size * config.spatial_merge_size
    tower = _Qwen(build(Model, config, checkpoint))
    return tower, _look(checkpoint.preprocessor, step, min(most, MOST), least=min(least, most))


_ADAPTERS = {
    **dict.fromkeys(("dinov2", "dinov2_with_registers", "dinov3_vit"), _dino),
    "siglip": _siglip,
    "siglip2": _siglip2,
    **dict.fromkeys(("qwen2_5_vl", "qwen3_vl"), _qwen),
}


def _look(told: Mapping[str, Any], step: int, most: int, least: int | None = None) -> Look:
    mean, std = tuple(told["image_mean"]), tuple(told["image_std"])
    return Look(step, most if least is None else least, most, mean, std, told.get("resample", 3))


def _area(told: Mapping[str, Any]) -> int:
    """Pixels that the checkpoint expects: of its crop when it crops, otherwise of what it resizes to."""
    size = told["crop_size"] if told.get("do_center_crop") else told["size"]
    if isinstance(size, int):
        return size**2
    return size["shortest_edge"] ** 2 if "shortest_edge" in size else size["height"] * size["width"]
