"""How a locator learns to outline (`bridges.outlining`): from true masks, of drawn scenes and of photos in collages.

Eyes, ears and grounding stay as they are, and with them all spaces. So each picture is looked at and each sound
listened to once, before the outline learns from what was seen and heard. Of a sound that belongs to a part of a picture
it learns where that is, of one that belongs to nothing there that this is so.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from ..bridges.grounding import Locator
from ..bridges.outlining import Outline, Sight, outline_loss
from ..codecs.bands import HOP, RATE
from ..metrics.localisation import best_threshold, fit_confidence
from .hear import HearRun, Pictures, heard, waves_of
from .hear_data import Lessons, read
from .hear_scenes import ABSENT, Scenes, read_scenes
from .loop import LoopConfig, fit

LEAST = 0.5  # of some cell; of what covers less of every one there is nothing to outline
SHOWN = 0.2  # what saying whether a sound is here counts beside saying where


@dataclass(frozen=True)
class OutlineRun:
    """`shown` pictures are looked at, `drawn` of them scenes; of the others `whole` show one photo and half of the rest
    four side by side. `seconds` are heard of each sound. `steps` count batches of `parts`. `checked` pictures of
    photos and scenes that taught nothing fix where a map is cut and what a score is worth.
    """

    shown: int = 7200
    drawn: float = 0.65
    whole: float = 0.15
    seconds: float = 4.0
    steps: int = 1500
    parts: int = 16
    checked: int = 320
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Shown:
    """What was seen of pictures, the nameless `kinds` of all their parts, and of each part: the number of its
    `picture`, its `kind`, its `mask` on the finest cells, and where its `sound` stands in the shared space.
    """

    sight: Sight
    kinds: torch.Tensor
    picture: torch.Tensor
    kind: torch.Tensor
    mask: torch.Tensor
    sound: torch.Tensor

    def at(self, part: torch.Tensor) -> Sight:
        """What was seen of the pictures of these parts."""
        picture, s = self.picture[part], self.sight
        patches, shared, sounding, *fine = (x[picture].float() for x in (s.patches, s.shared, s.sounding, *s.fine))
        return Sight(patches, shared, sounding, tuple(fine))

    def lacks(self, part: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Whether nothing in the pictures of these parts is of the kind of those others."""
        return (self.kinds[self.picture[part]] != self.kind[other][:, None]).all(1)


def show(model: Locator, lessons: Lessons, run: OutlineRun, n: int, path: Path, scenes: Scenes | None = None) -> Shown:
    """Look at n pictures and listen to their parts, and keep that in a file; a run that resumes finds it there."""
    if not path.is_file():
        size = math.isqrt(model.eyes.look.least)
        drawing = HearRun(size=size, drawn=run.drawn, whole=run.whole, quartered=0.5, seed=run.seed)
        finer = 2 ** len(model.eyes.tower.fine)
        pictures = Pictures(lessons, drawing, model.eyes, scenes, finer=finer)
        some = [
            _some(model, pictures, drawing.pictures, first, run)
            for first in track(range(0, n, drawing.pictures), f"looking at {n} pictures")
        ]
        most = max(part["kinds"].shape[1] for part in some)
        for part in some:
            part["kinds"] = F.pad(part["kinds"], (0, most - part["kinds"].shape[1]), value=ABSENT)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: torch.cat([part[name] for part in some]) for name in some[0]}, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)
    kept = load_file(path)
    fine = tuple(kept.pop(f"fine{k}") for k in range(len(model.eyes.tower.fine)))
    return Shown(Sight(kept.pop("patches"), kept.pop("shared"), kept.pop("sounding"), fine), **kept)


@torch.inference_mode()
def _some(model: Locator, pictures: Pictures, n: int, first: int, run: OutlineRun) -> dict[str, torch.Tensor]:
    """n pictures, numbered from `first`."""
    rng, g = np.random.default_rng([run.seed, 25, first]), torch.Generator().manual_seed(run.seed + first)
    seen = pictures.draw(rng, g, n)
    sight = model.sight(seen.x.contiguous(memory_format=torch.channels_last))
    frames = heard(model.ears, waves_of(pictures, seen, rng, round(run.seconds * RATE / HOP), 4.0))
    vectors, weight = model.grounding.listen(*frames)
    picture, part = seen.parts
    told = {"patches": sight.patches, "shared": sight.shared, "sounding": sight.sounding}
    told |= {f"fine{k}": values for k, values in enumerate(sight.fine)}
    told |= {"mask": seen.masks[picture, part], "sound": (vectors.flatten(-2) * weight[..., None]).sum(1)}
    numbers = {"kinds": seen.kinds, "picture": first + picture, "kind": seen.kinds[picture, part]}
    return {name: values.half().contiguous() for name, values in told.items()} | {
        name: torch.from_numpy(values.astype(np.int64)) for name, values in numbers.items()
    }


def teach(outline: Outline, shown: Shown, out: Path, run: OutlineRun) -> None:
    """Let it learn where sounds belong and whether they do; resumes after a kill."""
    clear = torch.nonzero(shown.mask.flatten(1).amax(1) >= LEAST)[:, 0]

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        part = clear[torch.randint(len(clear), (run.parts,), generator=g)]
        other = torch.randint(len(shown.kind), (run.parts,), generator=g)
        sight = shown.at(part)
        logits, here = outline(sight, shown.sound[part].float())
        _, elsewhere = outline.compared(sight, shown.sound[other].float())
        lacks = shown.lacks(part, other)
        no = (F.softplus(elsewhere) * lacks).sum() / lacks.sum().clamp(min=1)
        return outline_loss(logits, shown.mask[part].float()) | {"shown": SHOWN * (F.softplus(-here).mean() + no)}

    fit(outline, loss, LoopConfig(run.steps, 2e-3, ema=0.995, seed=run.seed), out / "outline")


@torch.inference_mode()
def fix_thresholds(model: Locator, shown: Shown, run: OutlineRun) -> Locator:
    """Choose, on what taught nothing, where an outlined map is cut, and what saying that a sound is here is worth."""
    assert model.outline is not None
    every, g = torch.arange(len(shown.kind)), torch.Generator().manual_seed(run.seed)
    other = torch.randint(len(every), (len(every),), generator=g)
    heats, scores, truth = [], [], []
    for part in every.split(run.parts):
        sight, lacks = shown.at(part), shown.lacks(part, other[part])
        logits, here = model.outline(sight, shown.sound[part].float())
        _, elsewhere = model.outline.compared(sight, shown.sound[other[part]].float())
        heats.append(logits.sigmoid() / logits.sigmoid().amax((1, 2), keepdim=True))
        scores += [here, elsewhere[lacks]]
        truth += [torch.ones(len(here)), torch.zeros(int(lacks.sum()))]
    masks = shown.mask.float()
    clear = torch.nonzero(masks.flatten(1).amax(1) >= LEAST)[:, 0]
    model.config = replace(
        model.config,
        threshold=best_threshold([*torch.cat(heats)[clear].numpy()], [*masks[clear].numpy()], steps=20),
        confidence=fit_confidence(torch.cat(scores).numpy(), torch.cat(truth).bool().numpy()),
    )
    print(f"threshold {model.config.threshold}, confidence {model.config.confidence}")
    return model


def train(
    shards: Path, locator: str | Path, out: Path, scenes: Path | None = None, run: OutlineRun | None = None
) -> Path:
    """Teach a locator to outline; eyes, ears and grounding stay as they are. Leaves `out`/final; resumes after a kill.

    `scenes` is a folder with the folders train and val, worlds of `synesthesia world scenes`.
    """
    run = run or OutlineRun()
    torch.manual_seed(run.seed)
    model = Locator.load(locator).requires_grad_(False)
    model.outline = outline = model.new_outline()
    model.config = replace(model.config, outline=outline.config)
    shown = {}
    for split, world, n in (("train", "train", run.shown), ("judge", "val", run.checked)):
        lessons = read(shards, split)
        drawn = read_scenes(scenes / world, lessons.kinds) if scenes else None
        shown[split] = show(model, lessons, run, n, out / f"shown-{split}.safetensors", drawn)
    teach(outline, shown["train"], out, run)
    return fix_thresholds(model.eval(), shown["judge"], run).save(out / "final")
