"""How `eyes/tiny` are trained: what a larger network sees in photos, learned without asking what they show. Beside
them, to compare with, eyes that learn from photos alone, without a teacher that once was told what anything is.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import data, media
from ..encoders.vision import Eyes, EyesConfig, EyesTower, save_tiny_eyes, tiny_eyes
from ..senses import InputError
from .distil import Distiller, Teacher, crops, jitter, lessons
from .knock_data import held_out
from .loop import LoopConfig, fit, quick


@dataclass(frozen=True)
class EyesRun:
    """A run of `eyes/tiny`. Sizes are sides in pixels; `little` is the share of steps that look at 64-pixel photos."""

    steps: int = 2000
    lr: float = 3e-3
    batch: int = 48
    size: int = 160
    small: int = 96
    little: float = 0.5
    seed: int = 0


SIDES = (208, 64)  # photos as they are kept for training: large ones, little ones


def photos(folder: Path) -> Iterator[np.ndarray]:
    """Every photo under `folder`/photos that nothing is measured on, as a square (side, side, 3) of one of `SIDES`.

    Left out are the splits "judge" and "test" of the starter table and the test blocks of the materials.
    """
    from PIL import Image as Pil

    held = {item.file for item in data.starter() if item.split in ("judge", "test")}
    files = sorted((folder / "photos").rglob("*.jpg"))
    if not files:
        raise InputError(f"There is no photo under {folder / 'photos'}.")
    for path in files:
        name = path.relative_to(folder).as_posix()
        if name in held or ("/materials/" in name and held_out(path)):
            continue
        picture = Pil.fromarray(np.asarray(media.read_image(path).pixels))
        w, h = picture.size
        side = min(w, h)
        box = ((w - side) // 2, (h - side) // 2, (w + side) // 2, (h + side) // 2)
        yield np.asarray(picture.resize((SIDES[0], SIDES[0]), Pil.Resampling.BICUBIC, box=box, reducing_gap=3.0))
    for archive in sorted((folder / "photos").glob("*.zip")):
        with zipfile.ZipFile(archive) as file:
            for info in sorted(file.infolist(), key=lambda i: i.filename):
                number = Path(info.filename).stem.rpartition("_")[2]
                if not info.filename.endswith(".webp") or not number.isdigit():
                    continue
                if data.numbered_split(int(number)) == "train" and info.file_size <= media.MAX_PICTURE_BYTES:
                    with Pil.open(io.BytesIO(file.read(info))) as little:
                        yield np.asarray(little.convert("RGB").resize((SIDES[1], SIDES[1])))


class Alike(nn.Module):
    """Eyes for which two views of a photo are alike and different photos are not, without a label, a teacher or
    pairs that are said to differ: variance, invariance and covariance (VICReg; Bardes, Ponce & LeCun, ICLR 2022, with
    its weights). The read-out is thrown away afterwards.
    """

    def __init__(self, eyes: Eyes, width: int = 512) -> None:
        super().__init__()
        self.eyes = eyes
        seen = sum(eyes.config.widths[2:])
        self.tell = nn.Sequential(
            nn.Linear(seen, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True),
            nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True), nn.Linear(width, width),
        )  # fmt: skip

    def loss(self, views: torch.Tensor) -> dict[str, torch.Tensor]:
        """`views` (2 n, 3, size, size): one view of each of n photos, then another of each."""
        with quick():
            _, at16, at32 = self.eyes(views.contiguous(memory_format=torch.channels_last))
        seen = torch.cat([at16.float().mean((2, 3)), at32.float().mean((2, 3))], 1)
        a, b = self.tell(seen).chunk(2)
        spread, together = [], []
        for told in (a, b):
            told = told - told.mean(0)
            spread.append(F.relu(1 - (told.var(0) + 1e-4).sqrt()).mean())
            covariance = told.T @ told / (len(told) - 1)
            together.append((covariance.square().sum() - covariance.diagonal().square().sum()) / told.shape[1])
        return {
            "apart": 25 * F.mse_loss(a, b),
            "spread": 25 * torch.stack(spread).mean(),
            "together": torch.stack(together).sum(),
        }


def train(folder: Path, teacher: Path | None, out: Path, run: EyesRun | None = None) -> Path:
    """Train eyes on the photos under `folder` and leave the checkpoint in `out`/final; resumes after a kill.

    Without a teacher they learn from the photos alone, two views of each of `run.batch` photos at a time.
    """
    run = run or EyesRun()
    torch.manual_seed(run.seed)
    groups: dict[int, list[np.ndarray]] = {side: [] for side in SIDES}
    for picture in photos(folder):
        groups[len(picture)].append(picture)
    large, little = (groups[side] for side in SIDES)
    print(f"{len(large)} photos, {len(little)} little ones")
    encoder = tiny_eyes(config=EyesConfig(size=224))
    assert isinstance(encoder.tower, EyesTower)
    eyes = encoder.tower.eyes
    master = None if teacher is None else Teacher(teacher)
    if master is None:
        alone = Alike(eyes)
    else:
        rng = np.random.default_rng(run.seed)
        sample = [crops(group, rng, 128, run.size) for group in (large, little) if group]
        student = Distiller(eyes, [torch.cat(parts) for parts in zip(*map(master, sample), strict=True)])
    learner = (alone if master is None else student).to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([run.seed, 4, step])
        pictures: Sequence[np.ndarray] = little if little and rng.random() < run.little else large
        # Coarse first, fine later; what has 64 pixels is never worth more than the small size.
        size = run.small if pictures is little or step < 0.5 * run.steps else run.size
        if master is None:
            rows = np.tile(rng.integers(len(pictures), size=run.batch), 2)
            return alone.loss(jitter(crops(pictures, rng, len(rows), size, rows), g))
        x = lessons(pictures, rng, g, run.batch, size)
        return student.loss(eyes(x.contiguous(memory_format=torch.channels_last)), master(x))

    fit(learner, loss, LoopConfig(run.steps, run.lr, seed=run.seed), out / "eyes")
    return save_tiny_eyes(encoder, out / "final")
