"""The small eyes: a residual convolutional network that gives a dense feature map of a picture.

`tiny_eyes` brings them behind the interface that all eyes share (see `base`).

`Eyes` is deliberately plain (He et al., Deep Residual Learning, CVPR 2016, basic blocks) and imports nothing but
torch, so that the whole command starts in the time torch takes to load. It learns by distilling the dense inner maps
of a larger network and is then tuned together with whatever bridge it serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import hub
from ..senses import Image, InputError
from .base import Eyesight, Look, PatchEncoder

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class EyesConfig:
    """`size`: side of the square the picture is brought to; `widths`: channels at strides 4, 8, 16, 32."""

    size: int = 128
    widths: tuple[int, int, int, int] = (32, 64, 160, 320)
    blocks: tuple[int, int, int, int] = (1, 1, 2, 2)


class _Block(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outer)
        same = stride == 1 and inner == outer
        self.skip = (
            nn.Identity() if same else nn.Sequential(nn.Conv2d(inner, outer, 1, bias=False), nn.BatchNorm2d(outer))
        )
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        short = F.avg_pool2d(x, 2, ceil_mode=True) if self.stride == 2 else x
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)), inplace=True)))
        return F.relu(y + self.skip(short), inplace=True)


class Eyes(nn.Module):
    """Picture → feature maps at strides 8, 16 and 32.

    Input: (batch, 3, size, size) in [0, 1] sRGB. Output: three maps (batch, width, size/stride, size/stride).
    """

    def __init__(self, config: EyesConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EyesConfig()
        w = config.widths
        self.stem = nn.Sequential(nn.Conv2d(3, w[0], 5, 2, 2, bias=False), nn.BatchNorm2d(w[0]), nn.ReLU(inplace=True))
        stages = []
        inner = w[0]
        for outer, count in zip(w, config.blocks, strict=True):
            stages.append(
                nn.Sequential(*[_Block(inner if k == 0 else outer, outer, 2 if k == 0 else 1) for k in range(count)])
            )
            inner = outer
        self.stages = nn.ModuleList(stages)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = self.stages[0](self.stem((x - 0.5) / 0.25))
        at8 = self.stages[1](x)
        at16 = self.stages[2](at8)
        return at8, at16, self.stages[3](at16)


def to_square(images: Sequence[Image], size: int) -> Float[torch.Tensor, "n 3 size size"]:
    """Pictures of any size, stretched (area-averaged) to a square: x and y stay what they are in [0, 1]."""
    from PIL import Image as Pil

    out = np.empty((len(images), size, size, 3), np.uint8)
    for row, image in zip(out, images, strict=True):
        small = Pil.fromarray(np.asarray(image.pixels))
        if small.size != (size, size):
            small = small.resize(
                (size, size),
                Pil.Resampling.BOX if min(small.size) >= 2 * size else Pil.Resampling.BICUBIC,
                reducing_gap=3.0,
            )
        row[:] = np.asarray(small)
    return torch.from_numpy(out).permute(0, 3, 1, 2).float() / 255


class EyesTower(Eyesight):
    """`Eyes` as a tower: at stride 16, the maps of strides 16 and 32 side by side; their means for the whole.

    Halving by convolutions leans to the upper left: on average a patch looks a few pixels (at most a third of its side)
    up and left of its centre.
    """

    def __init__(self, config: EyesConfig) -> None:
        super().__init__()
        self.eyes = Eyes(config)
        width = config.widths[2] + config.widths[3]
        self.widths = (width, width)
        self.fine = (config.widths[1], config.widths[0])

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, None]:
        _, at16, at32 = self.eyes(pixels)
        coarse = F.interpolate(at32, at16.shape[2:], mode="bilinear", align_corners=False)
        return torch.cat([at16, coarse], 1).permute(0, 2, 3, 1), None

    def closer(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The maps of strides 8 and 4."""
        at4 = self.eyes.stages[0](self.eyes.stem((pixels - 0.5) / 0.25))
        return self.eyes.stages[1](at4), at4


def tiny_eyes(name: str = "eyes/tiny", config: EyesConfig | None = None) -> PatchEncoder:
    """New small eyes, to be trained: patches of 16 pixels on pictures of about `config.size`² pixels (default 224²)."""
    config = config or EyesConfig(size=224)
    return PatchEncoder(name, EyesTower(config), Look(step=32, least=config.size**2, most=config.size**2))


def save_tiny_eyes(encoder: PatchEncoder, folder: str | Path, card: hub.Card | None = None) -> Path:
    """Write small eyes as a checkpoint folder that `encoders.load_eyes` reads."""
    if not isinstance(encoder.tower, EyesTower):
        raise InputError("Only small eyes of our own are saved here; eyes from the hub stay where they are.")
    eyes = encoder.tower.eyes
    return hub.save_model(folder, {"encoder": "tiny-eyes", "model": asdict(eyes.config)}, eyes.state_dict(), card)


def load_tiny_eyes(reference: str | Path, *, yes: bool = False) -> PatchEncoder:
    """Small eyes from a checkpoint (see `hub.load_model`); InputError when it is something else."""
    config, tensors = hub.load_model(reference, yes=yes)
    try:
        told: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config["model"].items()}
        encoder = tiny_eyes(f"eyes/tiny@{config['sha256'][:12]}", EyesConfig(**told))
        tower = encoder.tower
        assert isinstance(tower, EyesTower)
        tower.eyes.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise InputError(f"{reference} holds no small eyes: {str(error).splitlines()[0]}") from error
    return encoder.eval()
