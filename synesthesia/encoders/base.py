"""One interface for all eyes and ears: a sense → vectors in a named space that know where or when they belong.

An encoder is a tower (a network, ours or somebody else's) and the way a sense is brought to it. The tower is all that a
new encoder has to write; fitting, batching, blocks of long sounds and naming of spaces are here, once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from .. import media
from ..senses import Image, Point, Sound
from ..spaces import Features, Space

if TYPE_CHECKING:
    from jaxtyping import Float

BATCH = 16  # pictures, or windows of sound, that a tower takes at once


@dataclass(frozen=True, eq=False)
class Patches:
    """A picture as an encoder sees it: a grid of vectors that covers all of it evenly, and one vector for the whole.

    `dense` has the shape (rows, columns, width), row 0 at the top, column 0 at the left; `pooled` the shape (width,).
    The two are different spaces: what is near in one need not be near in the other.
    """

    dense: Features
    pooled: Features

    @property
    def rows(self) -> int:
        return int(self.dense.values.shape[0])

    @property
    def columns(self) -> int:
        return int(self.dense.values.shape[1])

    @property
    def places(self) -> Float[np.ndarray, "rows columns 2"]:
        """The centre (x, y) of every patch in the picture, in [0, 1] from the top left."""
        x, y = (np.arange(self.columns) + 0.5) / self.columns, (np.arange(self.rows) + 0.5) / self.rows
        return np.stack(np.meshgrid(x, y), axis=-1)

    def cell(self, point: Point) -> tuple[int, int]:
        """(row, column) of the patch that a point of the picture lies in."""
        return min(int(point.y * self.rows), self.rows - 1), min(int(point.x * self.columns), self.columns - 1)


@dataclass(frozen=True, eq=False)
class Frames:
    """A sound as an encoder hears it: a sequence of vectors at a steady rate, and one vector for the whole.

    `dense` has the shape (frames, width), `pooled` (width,). Frame i stands for the sound around `start` + i / `rate`
    seconds (`rate` in frames per second).
    """

    dense: Features
    pooled: Features
    rate: float
    start: float

    @property
    def times(self) -> Float[np.ndarray, " frames"]:
        """The middle of every frame, in seconds from the beginning of the sound."""
        return self.start + np.arange(len(self.dense.values)) / self.rate


@runtime_checkable
class ImageEncoder(Protocol):
    """Eyes: pictures of any size and shape → patches. `dense` and `pooled` are the spaces of what it says."""

    dense: Space
    pooled: Space

    def see(self, images: Sequence[Image]) -> list[Patches]: ...


@runtime_checkable
class SoundEncoder(Protocol):
    """Ears: sounds of any rate, length and number of channels → frames, `frame_rate` of them a second."""

    dense: Space
    pooled: Space
    frame_rate: float

    def listen(self, sounds: Sequence[Sound]) -> list[Frames]: ...


# --- pictures --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """How a picture is brought to a tower: the whole of it, resized, with its proportions kept as well as steps allow.

    Sides become multiples of `step` pixels. Pictures of fewer than `least` pixels are enlarged to about that area, of
    more than `most` reduced to at most that. Channels become (value − `mean`) / `std` of sRGB in [0, 1]. `resample` is
    Pillow's number of a filter (2 bilinear, 3 bicubic).
    """

    step: int
    least: int
    most: int
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    resample: int = 3

    def steps(self, width: int, height: int) -> tuple[int, int]:
        """(rows, columns) of steps for a picture of this size: at most its share of `most`, proportions within 10 %.

        Where no such grid exists (few steps, or a picture like a ribbon) it is the one of the nearest proportions.
        """
        area = min(max(width * height, self.least), self.most)
        budget = max(1, int(area / self.step**2 + 1e-6))
        ratio = max(width, height) / min(width, height)
        wish = int(math.sqrt(budget / ratio))
        grids = []
        for few in {max(1, wish), min(wish + 1, math.isqrt(budget))}:
            many = min(max(1, round(few * ratio)), budget // few)
            error = abs(math.log(many / few / ratio))
            grids.append((error if error > 0.1 else 0.0, -few * many, few, many))
        *_, few, many = min(grids)
        return (few, many) if width >= height else (many, few)

    def pixels(self, image: Image, rows: int, columns: int) -> Float[torch.Tensor, "3 h w"]:
        """The picture at rows × columns steps, sRGB in [0, 1], not yet normalised."""
        from PIL import Image as Pil

        size = (columns * self.step, rows * self.step)
        small = Pil.fromarray(np.asarray(image.pixels))
        if small.size != size:
            small = small.resize(size, Pil.Resampling(self.resample), reducing_gap=3.0)
        return torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255


class Eyesight(nn.Module):
    """A tower for pictures: normalised (n, 3, height, width) → (n, rows, columns, width) and (n, width) or None.

    None means that it has no pooled vector of its own; the mean of the patches is taken. `widths` are those of the two.
    `fine` are the widths of the maps that `closer` gives.
    """

    widths: tuple[int, int]
    fine: tuple[int, ...] = ()

    def closer(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What is seen on the way to the patches, channels first: twice as fine, four times … where there is any."""
        return ()


class PatchEncoder(nn.Module):
    """Any tower for pictures as an `ImageEncoder`; `name` says whose eyes they are and which state of them."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, name: str, tower: Eyesight, look: Look) -> None:
        super().__init__()
        self.tower = tower
        self.look = look
        self.dense = Space(f"{name}.patch", tower.widths[0])
        self.pooled = Space(f"{name}.image", tower.widths[1])
        for key in ("mean", "std"):
            self.register_buffer(key, torch.tensor(getattr(look, key)).view(3, 1, 1), persistent=False)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 3, height, width) of sRGB in [0, 1] → (n, rows, columns, width), (n, width). For training."""
        dense, pooled = self.tower((pixels - self.mean) / self.std)
        return dense, dense.mean((1, 2)) if pooled is None else pooled

    def closer(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Of the same pixels what the tower saw on the way to the patches; see `Eyesight.closer`."""
        return self.tower.closer((pixels - self.mean) / self.std)

    @torch.inference_mode()
    def fine(self, image: Image) -> tuple[torch.Tensor, ...]:
        """`closer` for a picture, each map (1, width, rows, columns)."""
        pixels = self.look.pixels(image, *self.look.steps(image.width, image.height))
        return self.closer(pixels[None].to(self.mean.device))

    @torch.inference_mode()
    def see(self, images: Sequence[Image]) -> list[Patches]:
        """Patches of each picture, in order; pictures of one shape go through the tower together."""
        grids = [self.look.steps(image.width, image.height) for image in images]
        out: dict[int, Patches] = {}
        for group in _groups(grids):
            pixels = torch.stack([self.look.pixels(images[i], *grids[i]) for i in group])
            dense, pooled = (values.float().cpu().numpy() for values in self(pixels.to(self.mean.device)))
            for i, grid, whole in zip(group, dense, pooled, strict=True):
                out[i] = Patches(Features(grid, self.dense), Features(whole, self.pooled))
        return [out[i] for i in range(len(images))]


# --- sounds ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hearing:
    """How a sound is brought to a tower: mono at `rate` Hz, in windows of `window` frames of `hop` samples each.

    A window has `tail` more samples than its frames. Windows after the first overlap the one before by at least
    `context` frames, which are then not taken from them. `fixed`: shorter sounds still fill a whole window (with
    zeros; the tower is told how many samples are real). `centre` is the middle of the first frame in seconds.
    """

    rate: int
    hop: int
    window: int
    centre: float
    tail: int = 0
    context: int = 0
    fixed: bool = True

    def size(self, frames: int) -> int:
        """Frames in each window of a sound of so many."""
        return self.window if self.fixed else min(self.window, frames)

    def windows(self, frames: int) -> Iterator[tuple[int, int, int]]:
        """(first frame of the window, first and last + 1 frame that are taken from it) so that all are taken once."""
        size, done = self.size(frames), 0
        while done < frames:
            start = max(0, min(done - self.context, frames - size))
            stop = min(start + size, frames)
            yield start, done, stop
            done = stop


class Earshot(nn.Module):
    """A tower for sounds: (n, samples), (n,) real samples → (n, frames, width) and (n, width) or None.

    None means that it has no pooled vector of its own; the mean of the frames is taken. `widths` are those of the two.
    """

    widths: tuple[int, int]


class FrameEncoder(nn.Module):
    """Any tower for sounds as a `SoundEncoder`; `name` says whose ears they are and which state of them."""

    def __init__(self, name: str, tower: Earshot, hearing: Hearing) -> None:
        super().__init__()
        self.tower = tower
        self.hearing = hearing
        self.dense = Space(f"{name}.frame", tower.widths[0])
        self.pooled = Space(f"{name}.sound", tower.widths[1])
        self.frame_rate = hearing.rate / hearing.hop
        self.register_buffer("_here", torch.zeros(()), persistent=False)  # says where the tower is

    def forward(self, waves: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, samples) at `hearing.rate`, (n,) how many are real → (n, frames, width), (n, width). For training."""
        dense, pooled = self.tower(waves, real)
        return dense, dense.mean(1) if pooled is None else pooled

    @torch.inference_mode()
    def listen(self, sounds: Sequence[Sound]) -> list[Frames]:
        """Frames of each sound, in order. Long sounds go through the tower in windows, joined without a seam."""
        h = self.hearing
        waves = [media.resample(Sound(sound.mono[None], sound.rate), h.rate).samples[0] for sound in sounds]
        counts = [max(1, math.ceil(len(wave) / h.hop)) for wave in waves]
        parts = [(i, *taken) for i, frames in enumerate(counts) for taken in h.windows(frames)]
        dense = [np.zeros((frames, self.dense.width), np.float32) for frames in counts]
        pooled = [np.zeros(self.pooled.width, np.float32) for _ in counts]
        for group in _groups([h.size(counts[i]) for i, *_ in parts]):
            size = h.size(counts[parts[group[0]][0]])
            batch = torch.zeros(len(group), size * h.hop + h.tail)
            real = torch.zeros(len(group), dtype=torch.long)
            for row, (i, start, _, _) in enumerate(parts[k] for k in group):
                piece = waves[i][start * h.hop :][: batch.shape[1]]
                batch[row, : len(piece)] = torch.from_numpy(np.array(piece))
                real[row] = len(piece)
            here = self.get_buffer("_here").device
            frames, whole = self.tower(batch.to(here), real.to(here))
            for row, (i, start, first, stop) in enumerate(parts[k] for k in group):
                taken = frames[row, first - start : stop - start].float()
                dense[i][first:stop] = taken.cpu().numpy()
                vector = taken.mean(0) if whole is None else whole[row].float()
                pooled[i] += vector.cpu().numpy() * np.float32((stop - first) / counts[i])
        return [
            Frames(Features(d, self.dense), Features(p, self.pooled), self.frame_rate, h.centre)
            for d, p in zip(dense, pooled, strict=True)
        ]


def _groups(keys: Sequence[object]) -> Iterator[list[int]]:
    """Indices of equal keys, at most `BATCH` together."""
    together: dict[object, list[int]] = {}
    for i, key in enumerate(keys):
        together.setdefault(key, []).append(i)
    for group in together.values():
        for start in range(0, len(group), BATCH):
            yield group[start : start + BATCH]
