"""How far each part of a picture is, learned: a locator's eyes, and a small head that reads metres off what they see.

The head is shown what the eyes see and how far level ground would be there (`Camera.ground`), and learns how far things
truly are: what is drawn larger is nearer, what stands before the horizon stands on the ground, a crown is as far as its
stem. Kernels are symmetric, so that what is seen in a mirror is as far as what is seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import hub
from ..senses import Image, InputError, Region
from ..spaces import Space
from .grounding import Locator
from .place import CLEAR, FARTHEST, NEAREST
from .stage import Camera

if TYPE_CHECKING:
    from jaxtyping import Float

NEAR_PART = 0.25  # of a region is nearer than what is said of it: what is behind shows through crowns and over edges
SKY = 200.0  # metres; what looks farther is sky, and how far something is there nobody knows
PLACED = 4  # numbers that say where a patch is


@dataclass(frozen=True)
class SurveyorConfig:
    """`locator`: whose eyes it looks with, a name, a folder or hf:user/repo@commit; `width` of what they see.

    `hidden` and `layers`: of the layers in which a patch takes in its neighbours. `dropout`: of what the eyes see, in
    training; half of it in the layers.
    """

    locator: str
    width: int
    hidden: int = 96
    layers: int = 3
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if not (1 <= self.width <= 8192 and 1 <= self.hidden <= 8192):
            raise InputError(f"A head of these widths is not built: {self}.")
        if not (0 <= self.layers <= 16 and 0 <= self.dropout < 1):
            raise InputError(f"Layers up to 16 and a dropout below 1, not {self}.")


class _Layer(nn.Module):
    """Each patch takes in its neighbours, left and right alike."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout))
        self.conv = nn.Conv2d(width, width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel = (self.conv.weight + self.conv.weight.flip(-1)) / 2
        around = F.pad(self.before(x).permute(0, 3, 1, 2), (1, 1, 1, 1), mode="replicate")
        return x + F.conv2d(around, kernel, self.conv.bias).permute(0, 2, 3, 1)


class Head(nn.Module):
    """Patches (`source`) and where they are → how far (`target`): the logarithm of metres along the view."""

    def __init__(self, source: Space, config: SurveyorConfig) -> None:
        super().__init__()
        if source.width != config.width:
            raise InputError(f"This head reads {config.width} numbers a patch; {source.name} has {source.width}.")
        h = config.hidden
        self.source, self.target = source, Space("depth/log-metres", 1)
        self.seen = nn.Sequential(nn.LayerNorm(source.width), nn.Dropout(config.dropout), nn.Linear(source.width, h))
        self.placed = nn.Linear(PLACED, h)
        self.whole = nn.Linear(h, h)
        self.layers = nn.Sequential(*[_Layer(h, config.dropout / 2) for _ in range(config.layers)])
        self.log_metres = nn.Sequential(nn.LayerNorm(h), nn.GELU(), nn.Linear(h, 1))

    def forward(
        self, dense: Float[torch.Tensor, "n rows columns source"], places: Float[torch.Tensor, "n rows columns 4"]
    ) -> Float[torch.Tensor, "n rows columns"]:
        """Log metres of every patch; `places` are those of `places`, stacked."""
        x = self.seen(dense) + self.placed(places)
        x = x + self.whole(F.gelu(x.mean((1, 2), keepdim=True)))
        # The middle of what things are, so that the first step need not look for it.
        return self.log_metres(self.layers(x))[..., 0] + math.log(20.0)

    def loss(
        self,
        dense: Float[torch.Tensor, "n rows columns source"],
        places: Float[torch.Tensor, "n rows columns 4"],
        truth: Float[torch.Tensor, "n rows columns"],
    ) -> dict[str, torch.Tensor]:
        """The mean distance between logarithms: what is twice as far and what is half as far count alike."""
        return {"depth": F.l1_loss(self(dense, places), truth)}


def places(camera: Camera, rows: int, columns: int) -> Float[torch.Tensor, "rows columns 4"]:
    """Where each patch is: how far down the picture, how far below the horizon, how far from the middle, and the
    logarithm of how far level ground would be, over its range."""
    y, x = (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns
    far = np.log(np.clip([camera.ground(float(one)) for one in y], NEAREST, FARTHEST))
    far = (far - math.log(NEAREST)) / math.log(FARTHEST / NEAREST)
    down = np.stack([2 * y - 1, y - camera.horizon, 2 * far - 1])
    out = np.concatenate([np.broadcast_to(down[:, :, None], (3, rows, columns)),
                          np.broadcast_to((2 * x - 1) ** 2, (1, rows, columns))])  # fmt: skip
    return torch.from_numpy(np.moveaxis(out, 0, -1).astype(np.float32))


class Surveyor(nn.Module):
    """`walk/tiny`: a `Depth` (see `place`) that looks."""

    def __init__(self, config: SurveyorConfig, locator: Locator) -> None:
        super().__init__()
        self.config = config
        self.eyes = locator.eyes.requires_grad_(False)
        self.head = Head(self.eyes.dense, config)

    # --- checkpoints ---

    @classmethod
    def load(cls, reference: str | Path, *, yes: bool = False) -> Surveyor:
        """A checkpoint (see `hub.load_model`) with the locator that it names, ready to use."""
        config, tensors = hub.load_model(reference, yes=yes)
        try:
            told: dict[str, Any] = dict(config["model"])
            model = cls(SurveyorConfig(**told), Locator.load(told["locator"], yes=yes))
            if model.eyes.dense.name != config["eyes"]:
                raise InputError(
                    f"{reference} was trained with the eyes {config['eyes']}; {told['locator']} now has "
                    f"{model.eyes.dense.name}."
                )
            hub.fill(model.head, tensors, reference)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{reference} does not tell depth: {str(error).splitlines()[0]}") from error
        return model.eval()

    def save(self, folder: str | Path, card: hub.Card | None = None) -> Path:
        """Write a checkpoint folder in half precision; the locator stays where it is."""
        told = {"model": asdict(self.config), "eyes": self.eyes.dense.name}
        return hub.save_model(folder, told, hub.halved(self.head), card)

    # --- use ---

    @torch.inference_mode()
    def see(self, image: Image, camera: Camera) -> Float[np.ndarray, "rows columns"]:
        """Metres along the view, laid evenly over the picture."""
        (patches,) = self.eyes.see([image])
        dense = torch.from_numpy(np.ascontiguousarray(patches.dense.require(self.head.source)))
        where = places(camera, patches.rows, patches.columns)
        here = self.head.placed.weight.device
        metres = self.head(dense[None].to(here), where[None].to(here))[0].exp()
        return metres.clamp(NEAREST, FARTHEST).cpu().numpy()

    def distances(self, image: Image, regions: Sequence[Region], camera: Camera) -> Float[np.ndarray, " regions"]:
        """The lower quartile over the clear part of each region (`distance`); infinite where that is sky.

        Of the camera only the horizon and what ground it would see are looked at.
        """
        metres = self.see(image, camera) if regions else np.zeros((1, 1), np.float32)
        return np.array([distance(metres, region) for region in regions], float)


def distance(metres: Float[np.ndarray, "rows columns"], region: Region) -> float:
    """How far a region is on a map of metres: a quarter of its clear part is nearer; infinite where that is sky."""
    share = region.on(*metres.shape)
    far = float(np.quantile(metres[share >= CLEAR * share.max()], NEAR_PART))
    return far if far < SKY else math.inf


def on_grid(depth: Float[np.ndarray, "h w"], rows: int, columns: int) -> Float[np.ndarray, "rows columns"]:
    """A world's depth map, in which 0 says that nothing is there, as metres of each patch: the geometric mean, with
    nothing as far as can be."""
    logs = np.log(np.where(depth > 0, depth, FARTHEST).clip(NEAREST, FARTHEST)).astype(np.float32)
    return F.adaptive_avg_pool2d(torch.from_numpy(logs)[None], (rows, columns))[0].exp().numpy()
