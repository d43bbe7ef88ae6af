"""How `walk/tiny` is trained: drawn places, of which it is known how far each pixel is.

The eyes stay as they are, and what they see in several views of each picture is kept: to look takes longer than to
learn from it. The camera is the usual one with the horizon that is found, as it is in use, so that the head learns what
such a camera is worth.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file

from .. import hub, shards
from ..bridges.depth import Surveyor, SurveyorConfig, on_grid, places
from ..bridges.grounding import Locator
from ..bridges.place import camera
from ..senses import Image, InputError
from .distil import jitter
from .loop import LoopConfig, fit

if TYPE_CHECKING:
    from jaxtyping import Float

    from ..encoders.base import PatchEncoder

LEAST_AREA = 0.75  # of a picture that a view shows


@dataclass(frozen=True)
class DepthRun:
    """A run of `walk/tiny`: steps of `batch` views each; of every picture so many views are kept."""

    steps: int = 1600
    batch: int = 32
    lr: float = 2e-3
    views: int = 2
    hidden: int = 96
    layers: int = 3
    seed: int = 0


def view(
    image: Image, depth: Float[np.ndarray, "h w"], rng: np.random.Generator, g: torch.Generator
) -> tuple[Image, Float[np.ndarray, "_ _"]]:
    """A picture as it might have been: a part of it, half mirrored, in other colours; and how far its pixels are."""
    share = float(np.sqrt(rng.uniform(LEAST_AREA, 1)))
    height, width = depth.shape
    h, w = round(share * height), round(share * width)
    y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    turn = slice(None, None, -1 if rng.random() < 0.5 else 1)
    pixels = np.asarray(image.pixels)[y : y + h, x : x + w][:, turn]
    other = jitter(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255, g)[0]
    return Image((other * 255).round().byte().permute(1, 2, 0).numpy()), depth[y : y + h, x : x + w][:, turn]


def look_at(eyes: PatchEncoder, folder: Path, times: int, seed: int, path: Path) -> dict[str, torch.Tensor]:
    """What the eyes see in views of every picture of a folder of shards: `dense` (n, rows, columns, width) in half
    precision, `places` and the mean logarithm of metres `far` on the same grid. Kept in a file; a run that resumes
    finds it there. Raises InputError for a folder without pictures of known depth, or with ones of different shapes.
    """
    if path.is_file():
        return load_file(path)
    rng, g = np.random.default_rng([seed, 41]), torch.Generator().manual_seed(seed)
    kept: dict[str, list[torch.Tensor]] = {"dense": [], "places": [], "far": []}
    for example in track(shards.examples(folder, only={"jpg", "depth.png"}), "looking at pictures"):
        if "depth" not in example.arrays:
            raise InputError(f"{example.key!r} does not say how far its pixels are.")
        pairs = [view(example.image, example.arrays["depth"], rng, g) for _ in range(times)]
        for (image, depth), patches in zip(pairs, eyes.see([image for image, _ in pairs]), strict=True):
            grid = (patches.rows, patches.columns)
            if kept["far"] and kept["far"][0].shape != grid:
                raise InputError(f"The pictures of {folder} have different shapes; train on those of one shape.")
            kept["dense"].append(torch.from_numpy(patches.dense.values).half())
            kept["places"].append(places(camera(image), *grid))
            kept["far"].append(torch.from_numpy(np.log(on_grid(depth, *grid))))
    if not kept["far"]:
        raise InputError(f"There are no pictures in the shards of {folder}; make some with `synesthesia world scenes`.")
    seen = {name: torch.stack(values) for name, values in kept.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(seen, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)
    return seen


def train(folder: Path, out: Path, locator: str = "locate/tiny", run: DepthRun | None = None) -> Path:
    """Train on the shards of `synesthesia world scenes`, with a locator's eyes; leaves `out`/final, and resumes after a
    kill. Raises InputError for a folder without such shards.
    """
    run = run or DepthRun()
    torch.manual_seed(run.seed)
    seeing = Locator.load(locator)
    model = Surveyor(SurveyorConfig(locator, seeing.eyes.dense.width, run.hidden, run.layers), seeing)
    seen = look_at(model.eyes.eval(), folder, run.views, run.seed, out / "looked.safetensors")

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        rows = torch.randint(len(seen["far"]), (run.batch,), generator=g)
        return model.head.loss(seen["dense"][rows].float(), seen["places"][rows], seen["far"][rows])

    fit(model.head, loss, LoopConfig(run.steps, run.lr, weight_decay=0.05, seed=run.seed), out / "depth")
    card = hub.Card(
        "walk/mine",
        "as that of the locator",
        f"How far each part of a photo is: a head on the eyes of {locator}, which it needs.",
        "The drawn scenes that it was given.",
        f"`synesthesia train depth`, {run.steps} steps.",
        "It has seen drawn scenes only. Nothing is known about it until runs/place.py has measured it.",
    )
    return model.save(out / "final", card)
