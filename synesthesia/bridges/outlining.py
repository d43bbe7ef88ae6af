"""Outlines: which part of a picture is the thing that a sound belongs to, or that a point lies on, finer than the
patches of the eyes.

What a `grounding.Grounding` says of a patch it says of 16 pixels and more around it, and with what else is in the
picture it does not compare: its maps point well and outline badly. `Outline` learns from true masks what they lack. It
reads the patches, what the eyes saw on the way to them, and the sound where it stands in the shared space, which is all
that it knows of a sound: whatever has a place there, a phrase too, can be outlined. `Belonging` does the same for a
point, and `redrawn` puts any outline where the colours of the picture change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..senses import Image, InputError, Region

if TYPE_CHECKING:
    from jaxtyping import Float

DRAWN = 112  # rows and columns in which an outline is drawn along colours
CHANCE = 0.05  # of a cell to belong to what is looked for, before anything is learned


@dataclass(frozen=True)
class OutlineConfig:
    """`width`: of what is known of a patch; finer cells have half of it, a quarter …"""

    width: int = 64

    def __post_init__(self) -> None:
        if not (isinstance(self.width, int) and 16 <= self.width <= 1024):
            raise InputError(f"An outline of this width is not built: {self.width}.")


@dataclass(frozen=True, eq=False)
class Sight:
    """What is seen of n pictures: patches of the eyes, the same in the shared space with the logit that they sound, and
    what the eyes saw on the way, each map with twice the rows and columns of the one before, `fine`[0] with twice those
    of the patches.
    """

    patches: Float[torch.Tensor, "n rows columns patches"]
    shared: Float[torch.Tensor, "n rows columns shared"]
    sounding: Float[torch.Tensor, "n rows columns"]
    fine: tuple[Float[torch.Tensor, "n _ _ _"], ...] = ()


class _Channels(nn.Module):
    """(n, width, rows, columns), each cell brought to one scale, with another width."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(inner), nn.Linear(inner, outer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class Outline(nn.Module):
    """Pictures and as many sounds → of each cell of the finest map the logit that it makes the sound, if anything does;
    and the logit that anything in the picture does.
    """

    def __init__(
        self, patches: int, shared: int, heads: int, fine: Sequence[int], config: OutlineConfig | None = None
    ) -> None:
        super().__init__()
        self.config = config = config or OutlineConfig()
        self.heads, w = heads, config.width
        self.there, self.like = _Channels(patches, w), _Channels(patches, w)
        self.sound, self.bent = nn.Linear(shared, w), nn.Linear(shared, w)
        self.alike = nn.Linear(shared, w)
        self.mix = nn.Conv2d(3 * w + heads + 2, w, 1)
        self.near, self.far = nn.Conv2d(w, w, 3, padding=1), nn.Conv2d(w, w, 3, padding=2, dilation=2)
        self.whole = nn.Linear(2 * w, w)
        self.finer, self.joined = nn.ModuleList(), nn.ModuleList()
        for k, width in enumerate(fine):
            inner, outer = w >> k, w >> (k + 1)
            self.finer.append(_Channels(width, outer))
            self.joined.append(nn.Conv2d(inner + outer, outer, 3, padding=1))
        self.last = nn.Conv2d(w >> len(fine), 1, 3, padding=1)
        self.shown = nn.Linear(2 * w + heads, 1)
        assert self.last.bias is not None
        nn.init.constant_(self.last.bias, math.log(CHANCE / (1 - CHANCE)))

    def forward(
        self, sight: Sight, sound: Float[torch.Tensor, "n shared"]
    ) -> tuple[Float[torch.Tensor, "n _ _"], Float[torch.Tensor, " n"]]:
        """`sound` is the mean of a sound's frames in the shared space, by how much each counts."""
        x, shown = self.compared(sight, sound)
        for seen, finer, joined in zip(sight.fine, self.finer, self.joined, strict=True):
            x = F.interpolate(x, seen.shape[2:], mode="bilinear", align_corners=False)
            x = F.gelu(joined(torch.cat([x, finer(seen)], 1)))
        return self.last(x)[:, 0], shown

    def compared(
        self, sight: Sight, sound: Float[torch.Tensor, "n shared"]
    ) -> tuple[Float[torch.Tensor, "n width rows columns"], Float[torch.Tensor, " n"]]:
        """What is known of each patch before it is looked at closer; and the logit that the sound is here."""
        dense, shared = sight.patches.permute(0, 3, 1, 2), sight.shared.permute(0, 3, 1, 2)
        rows = dense.shape[2]
        product = shared * sound[:, :, None, None]
        cosine = product.unflatten(1, (self.heads, -1)).sum(2)
        down = (torch.arange(rows, device=dense.device) + 0.5) / rows
        told = [
            self.there(dense),
            self.like(dense) * self.sound(sound)[:, :, None, None],
            self.alike((8 * product).permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
            4 * cosine,
            sight.sounding[:, None] / 4,
            down[None, None, :, None].expand(len(dense), 1, -1, dense.shape[3]),
        ]
        x = F.gelu(self.mix(torch.cat(told, 1)) + self.bent(sound)[:, :, None, None])
        x = x + F.gelu(self.near(x))
        x = x + F.gelu(self.whole(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)))[:, :, None, None]
        x = x + F.gelu(self.far(x))
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3)), 4 * cosine.amax((2, 3))], 1)
        return x, self.shown(pooled)[:, 0]


class Belonging(nn.Module):
    """What is seen of a picture, and a point in it: which cells of the finest map belong to the thing that the point
    lies on."""

    def __init__(self, patches: int, fine: Sequence[int], width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(patches)
        self.here, self.there = nn.Linear(patches, width), nn.Linear(patches, width)
        self.mix = nn.Conv2d(2 * width + 3, width, 1)
        self.near = nn.Conv2d(width, width, 3, padding=1)
        self.far = nn.Conv2d(width, width, 3, padding=2, dilation=2)
        self.finer, self.joined = nn.ModuleList(), nn.ModuleList()
        for k, seen in enumerate(fine):
            inner, outer = width >> k, width >> (k + 1)
            self.finer.append(_Channels(seen, outer))
            self.joined.append(nn.Conv2d(inner + 2 * outer, outer, 3, padding=1))
        self.last = nn.Conv2d(width >> len(fine), 1, 3, padding=1)

    def forward(
        self,
        dense: Float[torch.Tensor, "n rows columns patches"],
        fine: Sequence[Float[torch.Tensor, "n _ _ _"]],
        point: Float[torch.Tensor, "n 2"],
    ) -> Float[torch.Tensor, "n _ _"]:
        """Logits; `fine` as in `Sight`, `point` is (x, y) in [0, 1] from the top left."""
        rows, columns = dense.shape[1:3]
        x = self.norm(dense).permute(0, 3, 1, 2)
        here = self.here(_at(x, point))[:, :, None, None]
        there = self.there(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        across = (torch.arange(columns, device=x.device) + 0.5) / columns - point[:, :1]
        down = (torch.arange(rows, device=x.device) + 0.5) / rows - point[:, 1:]
        away = torch.stack([across[:, None].expand(-1, rows, -1), down[:, :, None].expand(-1, -1, columns)], 1)
        away = torch.cat([away, away.square().sum(1, keepdim=True).sqrt()], 1)
        x = F.gelu(self.mix(torch.cat([there, here * there, 3 * away], 1)))
        x = x + F.gelu(self.near(x))
        x = x + F.gelu(self.far(x))
        for seen, finer, joined in zip(fine, self.finer, self.joined, strict=True):
            x = F.interpolate(x, seen.shape[2:], mode="bilinear", align_corners=False)
            cells = finer(seen)
            x = F.gelu(joined(torch.cat([x, cells, cells * _at(cells, point)[:, :, None, None]], 1)))
        return self.last(x)[:, 0]


def _at(
    x: Float[torch.Tensor, "n width rows columns"], point: Float[torch.Tensor, "n 2"]
) -> Float[torch.Tensor, "n width"]:
    """What a map says at a point, between cells the mean of those around it."""
    return F.grid_sample(x, 2 * point[:, None, None] - 1, padding_mode="border", align_corners=False)[..., 0, 0]


def outline_loss(
    logits: Float[torch.Tensor, "n rows columns"], mask: Float[torch.Tensor, "n rows columns"]
) -> dict[str, torch.Tensor]:
    """Named scalars whose sum is minimised, for masks that are not empty: "cells", the cross-entropy of each cell, and
    "overlap", one less the soft intersection over union, in which a small thing counts as much as a large one.
    """
    p = logits.sigmoid()
    union = mask.sum((1, 2)) + (p * (1 - mask)).sum((1, 2))
    overlap = (p * mask).sum((1, 2)) / union.clamp_min(1e-6)
    return {"cells": F.binary_cross_entropy_with_logits(logits, mask), "overlap": (1 - overlap).mean()}


def redrawn(image: Image, rough: Region) -> Region:
    """A rough outline drawn anew along the colours of the picture, [DRAWN, DRAWN].

    What is coloured like the inside and unlike what is near outside belongs to it, told twice from histograms (as in
    GrabCut: Rother, Kolmogorov & Blake, SIGGRAPH 2004); a guided filter (He, Sun & Tang, TPAMI 35, 2013) then puts
    its borders where the picture's are. An outline of which nothing is left stays as it was.
    """
    from PIL import Image as Pil

    small = Pil.fromarray(np.asarray(image.pixels)).resize((DRAWN, DRAWN), Pil.Resampling.BOX)
    colours = np.asarray(small, np.float64) / 255
    share = Pil.fromarray(np.asarray(rough.mask, np.float32)).resize((DRAWN, DRAWN), Pil.Resampling.BILINEAR)
    inside = np.asarray(share, np.float64)
    for _ in range(2):
        inside = _coloured(colours, inside)
    sharp = np.clip(3 * (_guided(colours, inside) - 0.5) + 0.5, 0, 1)
    return Region(sharp.astype(np.float32)) if (sharp > 0.5).any() else rough


def _coloured(colours: np.ndarray, inside: np.ndarray, bins: int = 8) -> np.ndarray:
    """`inside` (h, w), in [0, 1], after half the evidence that the colours (h, w, 3) of what is in and out give."""
    from scipy.ndimage import gaussian_filter

    cell = np.ravel_multi_index(tuple(np.clip(colours * bins, 0, bins - 1).astype(int).transpose(2, 0, 1)), (bins,) * 3)
    near = gaussian_filter(inside, DRAWN / 11)
    outside = np.square(1 - inside) * (near > 0.08 * near.max())

    def likely(weight: np.ndarray) -> np.ndarray:
        count = np.bincount(cell.ravel(), weight.ravel(), bins**3).reshape((bins,) * 3)
        count = gaussian_filter(count, 0.7)
        return np.log(count / max(count.sum(), 1e-9) + 1e-5).ravel()[cell]

    held = np.clip(inside, 1e-3, 1 - 1e-3)
    odds = np.log(held / (1 - held)) + 0.5 * (likely(np.square(inside)) - likely(outside))
    return 1 / (1 + np.exp(-odds))


def _guided(colours: np.ndarray, inside: np.ndarray, reach: int = 3, smooth: float = 1e-3) -> np.ndarray:
    """`inside` as, around every place, the linear function of the colours that is nearest to it."""
    from scipy.ndimage import uniform_filter

    def mean(x: np.ndarray) -> np.ndarray:
        side = 2 * reach + 1
        return np.asarray(uniform_filter(x, (side, side) + (1,) * (x.ndim - 2), mode="nearest"))

    colour, share = mean(colours), mean(inside)
    together = mean(colours * inside[..., None]) - colour * share[..., None]
    spread = mean(colours[..., :, None] * colours[..., None, :]) - colour[..., :, None] * colour[..., None, :]
    slope = np.linalg.solve(spread + smooth * np.eye(3), together[..., None])[..., 0]
    level = share - (slope * colour).sum(-1)
    return (mean(slope) * colours).sum(-1) + mean(level)
