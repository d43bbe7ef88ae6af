"""How `eyes/tiny` are trained: what a larger network sees in photos, learned without asking what they show."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .. import data, media
from ..encoders.vision import EyesConfig, EyesTower, save_tiny_eyes, tiny_eyes
from ..senses import InputError
from .distil import Distiller, Teacher, crops, lessons
from .knock_data import held_out
from .loop import LoopConfig, fit


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


def train(folder: Path, teacher: Path, out: Path, run: EyesRun | None = None) -> Path:
    """Train eyes on the photos under `folder` and leave the checkpoint in `out`/final; resumes after a kill."""
    run = run or EyesRun()
    torch.manual_seed(run.seed)
    groups: dict[int, list[np.ndarray]] = {side: [] for side in SIDES}
    for picture in photos(folder):
        groups[len(picture)].append(picture)
    large, little = (groups[side] for side in SIDES)
    print(f"{len(large)} photos, {len(little)} little ones")
    master = Teacher(teacher)
    rng = np.random.default_rng(run.seed)
    sample = [crops(group, rng, 128, run.size) for group in (large, little) if group]
    answers = [torch.cat(parts) for parts in zip(*map(master, sample), strict=True)]
    encoder = tiny_eyes(config=EyesConfig(size=224))
    assert isinstance(encoder.tower, EyesTower)
    student = Distiller(encoder.tower.eyes, answers).to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([run.seed, 4, step])
        pictures: Sequence[np.ndarray] = little if little and rng.random() < run.little else large
        # Coarse first, fine later; what has 64 pixels is never worth more than the small size.
        size = run.small if pictures is little or step < 0.5 * run.steps else run.size
        x = lessons(pictures, rng, g, run.batch, size)
        return student.loss(student.eyes(x.contiguous(memory_format=torch.channels_last)), master(x))

    fit(student, loss, LoopConfig(run.steps, run.lr, seed=run.seed), out / "eyes")
    return save_tiny_eyes(encoder, out / "final")
