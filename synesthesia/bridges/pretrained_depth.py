"""Depth from a hub: Depth Anything V2 in its metric versions, as a `Depth` (see `place`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ..encoders.base import Look
from ..pretrained import build, read, transformers_errors
from ..senses import Image, InputError, Region
from .place import CLEAR
from .stage import Camera

if TYPE_CHECKING:
    from jaxtyping import Float


class DepthAnything:
    """Metres along the view for every pixel (Yang et al. 2024, Depth Anything V2, NeurIPS)."""

    def __init__(self, model: nn.Module, look: Look) -> None:
        self._model, self._look = model, look

    @classmethod
    def load(cls, reference: str | Path, *, yes: bool = False) -> DepthAnything:
        """A checkpoint of transformers' class DepthAnything that tells depth in metres, from a folder or
        hf:user/repo@commit. Raises InputError for one that tells only what is nearer than what."""
        with transformers_errors(reference):
            import transformers

            checkpoint = read(reference, "", yes=yes)
            config: Any = transformers.DepthAnythingConfig.from_dict(dict(checkpoint.config))
            if checkpoint.config.get("model_type") != "depth_anything" or config.depth_estimation_type != "metric":
                raise InputError(f"{reference} is no Depth Anything of the metric kind, which tells depth in metres.")
            told = checkpoint.preprocessor
            area = int(told["size"]["height"]) * int(told["size"]["width"])
            look = Look(config.patch_size, area, area, tuple(told["image_mean"]), tuple(told["image_std"]),
                        told.get("resample", 3))  # fmt: skip
            return cls(build(transformers.DepthAnythingForDepthEstimation, config, checkpoint), look)

    @torch.inference_mode()
    def see(self, image: Image) -> Float[np.ndarray, "rows columns"]:
        """Metres along the view, laid evenly over the picture."""
        look = self._look
        pixels = look.pixels(image, *look.steps(image.width, image.height))
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (look.mean, look.std))
        return self._model(pixel_values=((pixels - mean) / std)[None]).predicted_depth[0].numpy()

    def distances(self, image: Image, regions: Sequence[Region], camera: Camera) -> Float[np.ndarray, " regions"]:
        """The median over the clear part of each region; what the camera is like is not asked."""
        metres = self.see(image) if regions else np.zeros((1, 1), np.float32)
        out = []
        for region in regions:
            share = region.on(*metres.shape)
            out.append(float(np.median(metres[share >= CLEAR * share.max()])))
        return np.array(out, float)
