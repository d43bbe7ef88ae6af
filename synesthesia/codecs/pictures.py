"""The picture codec: a picture of 128 × 128 pixels ↔ a grid of 16 × 16 vectors, in which pictures are drawn.

A small convolutional autoencoder. While it learns, each latent is drawn from a narrow normal distribution that is
pulled, hardly, to the standard one (Kingma & Welling 2014; a stride of eight and so weak a pull are those of Rombach et
al., Latent Diffusion, CVPR 2022, §3.1): so latents beside those of a picture still are a picture, as whoever draws
latents needs. Half of the way down is by folding pixels into channels, which costs nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from ..senses import InputError
from ..spaces import Space

if TYPE_CHECKING:
    from jaxtyping import Float

STRIDE = 8  # pixels of a side to a latent
PYRAMID = (1, 2, 4, 8)  # pixels over which colours are averaged before they are compared
_NARROWEST, _WIDEST = -12.0, 4.0  # of a latent's log variance


@dataclass(frozen=True)
class PictureConfig:
    """`side` of a picture in pixels, `latent` numbers in each place of the grid; `widths` at strides 2, 4 and 8.

    `layers` residual layers at each stride, on either side; `pull` weighs how far latents are from standard normal
    ones, in nats for each number.
    """

    side: int = 128
    latent: int = 8
    widths: tuple[int, int, int] = (48, 96, 160)
    layers: int = 2
    pull: float = 3e-4

    def __post_init__(self) -> None:
        sizes = (self.side, self.latent, self.layers, *self.widths)
        if len(self.widths) != 3 or not all(isinstance(size, int) and 1 <= size <= 2048 for size in sizes):
            raise InputError(
                f"The sizes of a picture codec are whole numbers from 1 to 2048, three widths; not {self}."
            )
        if self.side % STRIDE or not 0 <= self.pull <= 100:
            raise InputError(f"A picture's side is a multiple of {STRIDE}, the pull from 0 to 100; not {self}.")

    @property
    def grid(self) -> int:
        """Latents along a side."""
        return self.side // STRIDE

    @property
    def space(self) -> Space:
        """Of the latents. Its weights stand in the checkpoint of whoever draws in it, so sizes are name enough."""
        return Space(f"pictures/{self.side}", self.latent)


class _Layer(nn.Module):
    """Two convolutions, added to what came; the second begins at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        groups = math.gcd(width, 8)
        self.norms = nn.ModuleList(nn.GroupNorm(groups, width) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        nn.init.zeros_(self.convs[1].weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = conv(F.silu(norm(y)))
        return x + y


class PictureCodec(nn.Module):
    """Pictures (n, 3, side, side), sRGB in [0, 1] ↔ latents (n, rows, columns, latent) in `space`."""

    def __init__(self, config: PictureConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PictureConfig()
        self.space = config.space
        a, b, c = config.widths

        def layers(width: int) -> nn.Sequential:
            return nn.Sequential(*(_Layer(width) for _ in range(config.layers)))

        self.down = nn.Sequential(
            nn.PixelUnshuffle(2), nn.Conv2d(12, a, 3, padding=1), layers(a),
            nn.Conv2d(a, b, 3, 2, 1), layers(b), nn.Conv2d(b, c, 3, 2, 1), layers(c),
            nn.GroupNorm(math.gcd(c, 8), c), nn.SiLU(), nn.Conv2d(c, 2 * config.latent, 1),
        )  # fmt: skip
        self.up = nn.Sequential(
            nn.Conv2d(config.latent, c, 3, padding=1), layers(c), nn.Upsample(scale_factor=2),
            nn.Conv2d(c, b, 3, padding=1), layers(b), nn.Upsample(scale_factor=2),
            nn.Conv2d(b, a, 3, padding=1), layers(a),
            nn.GroupNorm(math.gcd(a, 8), a), nn.SiLU(), nn.Conv2d(a, 12, 3, padding=1), nn.PixelShuffle(2),
        )  # fmt: skip

    def encode(self, pictures: Float[torch.Tensor, "n 3 h w"]) -> Float[torch.Tensor, "n rows columns latent"]:
        """The mean of what each picture's latents may be. Sides are multiples of `STRIDE`."""
        return self._told(pictures)[0].permute(0, 2, 3, 1)

    def decode(self, latents: Float[torch.Tensor, "n rows columns latent"]) -> Float[torch.Tensor, "n 3 h w"]:
        """The pictures of latents, kept within [0, 1]."""
        return self._shown(latents.permute(0, 3, 1, 2)).clamp(0, 1)

    def loss(
        self, pictures: Float[torch.Tensor, "n 3 h w"], g: torch.Generator
    ) -> tuple[dict[str, torch.Tensor], Float[torch.Tensor, "n 3 h w"]]:
        """What is minimised, and what became of the pictures; `g` is on the CPU.

        "pixels": how far colours are apart, at the four scales of `PYRAMID`. "edges": how far neighbours' differences
        are, which blur makes smaller. "pull": nats from a standard normal distribution.
        """
        mean, log_variance = self._told(pictures)
        noise = torch.randn(mean.shape, generator=g).to(mean)
        shown = self._shown(mean + (0.5 * log_variance).exp() * noise)
        error = shown - pictures
        pixels = torch.stack([F.avg_pool2d(error, size).abs().mean() for size in PYRAMID]).sum()
        edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        nats = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        return {"pixels": pixels, "edges": edges, "pull": self.config.pull * nats}, shown

    def _told(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if pictures.shape[-1] % STRIDE or pictures.shape[-2] % STRIDE:
            raise InputError(f"A picture's sides are multiples of {STRIDE} pixels, not {tuple(pictures.shape[-2:])}.")
        mean, log_variance = self.down(2 * pictures - 1).chunk(2, 1)
        return mean, log_variance.clamp(_NARROWEST, _WIDEST)

    def _shown(self, latents: torch.Tensor) -> torch.Tensor:
        return 0.5 + 0.5 * self.up(latents)
