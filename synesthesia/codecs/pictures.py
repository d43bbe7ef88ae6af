"""The picture codec: a picture of 128 × 128 pixels ↔ a grid of 16 × 16 vectors, in which pictures are drawn.

    picture ─ squares of 8 × 8 pixels ─ principal axes ─▶ latents ─ axes back, and what a decoder adds ─▶ picture

What a square is said in is fitted, not trained: the numbers along the principal axes of all squares (Karhunen–Loève;
Jain 1989, §5.11), which lose the least energy that so few can lose, and nothing of colour and shading. What they leave
out, edges above all, a small convolutional decoder puts back from the squares around. So latents never change while the
decoder learns, and whoever draws in them can learn at the same time. In training latents are moved a little: those that
are drawn never are quite those of a picture.

Along an axis latents spread as the root of how squares do, not all alike: otherwise fine edges, which nobody can
foretell, would be most of what whoever draws them learns from, and would be drawn as early as colours.
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
EVENED = 0.5  # exponent that makes the spreads along the axes alike (1) or leaves them as they are (0)
MOVED = 0.05  # by which latents are moved in training


@dataclass(frozen=True)
class PictureConfig:
    """`side` of a picture in pixels, `latent` numbers in each place of the grid; `widths` at strides 2, 4 and 8.

    `layers`: residual layers of the decoder at each stride.
    """

    side: int = 128
    latent: int = 12
    widths: tuple[int, int, int] = (32, 64, 128)
    layers: int = 1

    def __post_init__(self) -> None:
        sizes = (self.side, self.latent, self.layers, *self.widths)
        if len(self.widths) != 3 or not all(isinstance(size, int) and 1 <= size <= 2048 for size in sizes):
            raise InputError(
                f"The sizes of a picture codec are whole numbers from 1 to 2048, three widths; not {self}."
            )
        if self.side % STRIDE or self.latent > 3 * STRIDE**2:
            raise InputError(
                f"A picture's side is a multiple of {STRIDE}, and {3 * STRIDE**2} numbers say all of a square; "
                f"not {self}."
            )

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
        first, second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        nn.init.zeros_(second.weight)
        self.convs = nn.ModuleList((first, second))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = conv(F.silu(norm(y)))
        return x + y


class PictureCodec(nn.Module):
    """Pictures (n, 3, side, side), sRGB in [0, 1] ↔ latents (n, rows, columns, latent) in `space`.

    Latents have a spread of about 1 along the first axis, and less along each that follows.
    """

    centre: torch.Tensor
    axes: torch.Tensor
    spread: torch.Tensor

    def __init__(self, config: PictureConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PictureConfig()
        self.space = config.space
        a, b, c = config.widths
        square = 3 * STRIDE**2
        self.register_buffer("centre", torch.full((square,), 0.5))
        self.register_buffer("axes", torch.eye(square)[:, : config.latent].contiguous())
        self.register_buffer("spread", torch.ones(config.latent))

        def layers(width: int) -> nn.Sequential:
            return nn.Sequential(*(_Layer(width) for _ in range(config.layers)))

        self.up = nn.Sequential(
            nn.Conv2d(config.latent, c, 3, padding=1), layers(c), nn.Upsample(scale_factor=2),
            nn.Conv2d(c, b, 3, padding=1), layers(b), nn.Upsample(scale_factor=2),
            nn.Conv2d(b, a, 3, padding=1), layers(a),
            nn.GroupNorm(math.gcd(a, 8), a), nn.SiLU(), nn.Conv2d(a, 12, 3, padding=1), nn.PixelShuffle(2),
        )  # fmt: skip
        # At first it adds nothing: before any training, what comes out is what the axes say.
        last = self.up[-2]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    @torch.no_grad()
    def fit(self, pictures: Float[torch.Tensor, "n 3 h w"]) -> None:
        """Find the axes on training pictures, the same for the same pictures; before training."""
        x = self._squares(pictures).flatten(0, 2)
        self.centre.copy_(x.mean(0))
        x = x - self.centre
        power, axes = torch.linalg.eigh((x.T @ x).double() / len(x))
        self.axes.copy_(axes.flip(1)[:, : self.config.latent])
        spread = power.flip(0)[: self.config.latent].clamp_min(1e-8).sqrt()
        self.spread.copy_(spread[0] * (spread / spread[0]) ** EVENED)

    def encode(self, pictures: Float[torch.Tensor, "n 3 h w"]) -> Float[torch.Tensor, "n rows columns latent"]:
        """The latents of pictures whose sides are multiples of `STRIDE`. Raises InputError for others."""
        if pictures.shape[-1] % STRIDE or pictures.shape[-2] % STRIDE:
            raise InputError(f"A picture's sides are multiples of {STRIDE} pixels, not {tuple(pictures.shape[-2:])}.")
        return (self._squares(pictures) - self.centre) @ self.axes / self.spread

    def decode(self, latents: Float[torch.Tensor, "n rows columns latent"]) -> Float[torch.Tensor, "n 3 h w"]:
        """The pictures of latents, kept within [0, 1]."""
        return self._shown(latents).clamp(0, 1)

    def loss(
        self, pictures: Float[torch.Tensor, "n 3 h w"], g: torch.Generator
    ) -> tuple[dict[str, torch.Tensor], Float[torch.Tensor, "n 3 h w"]]:
        """What is minimised, and what became of the pictures; `g` is on the CPU.

        "pixels": how far colours are apart, at the four scales of `PYRAMID`. "edges": how far neighbours' differences
        are, which blur makes smaller.
        """
        latents = self.encode(pictures)
        shown = self._shown(latents + MOVED * torch.randn(latents.shape, generator=g).to(latents))
        error = shown - pictures
        pixels = torch.stack([F.avg_pool2d(error, size).abs().mean() for size in PYRAMID]).sum()
        edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        return {"pixels": pixels, "edges": edges}, shown

    def _shown(self, latents: torch.Tensor) -> torch.Tensor:
        squares = (latents * self.spread) @ self.axes.T + self.centre
        plain = squares.unflatten(-1, (3, STRIDE, STRIDE)).permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
        return plain + self.up(latents.permute(0, 3, 1, 2))

    @staticmethod
    def _squares(pictures: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) → (n, rows, columns, 3 · 8 · 8)."""
        parts = pictures.unflatten(3, (-1, STRIDE)).unflatten(2, (-1, STRIDE))  # n c r i s j
        return parts.permute(0, 2, 4, 1, 3, 5).flatten(3)
