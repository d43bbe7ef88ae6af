"""What `hear` and `locate` learn from drawn places, in memory: pictures, what sounds in them, and how each part does.

Shards of `worlds.scenes` go in. Beside photos, which are paired with recordings by kind and no more, these occurred
together: a higher fire crackles more, a far river murmurs less. How loud a part is for its kind is kept, how loud its
kind is for the world is not: a drizzle and a thunderstorm can both be looked at closely.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from .. import shards
from ..codecs import bands
from ..encoders.vision import to_square
from ..senses import InputError
from .distil import jitter
from .hear_data import SIDES, Encoded, Sounds

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8

ABSENT = -2  # the kind of a source that is not there: pictures have different numbers of them
MOST_LOUDER_DB = 10.0  # than its kind is on average, or softer
FAINT_DB = -66.0  # RMS, full scale; of what is softer in its scene, 16 bits keep too little to learn from
CODED_DB = -23.0  # RMS at which sounds are encoded, so that no band meets the voice's floor before its time
LEAST_AREA = 0.75  # of a picture that a view shows: how large a thing is drawn says how it sounds


@dataclass(frozen=True, eq=False)
class Scenes:
    """Drawn scenes in memory; the sources of picture i are those from `first[i]` to `first[i + 1]`.

    `masks` are 255 where all of a pixel is the source. Row k of `sounds` is what source k sounds like (its kind among
    the numbers of the lessons); `level` says how much louder it is than its kind, in dB.
    """

    pixels: UInt8[torch.Tensor, "n side side 3"]
    masks: UInt8[torch.Tensor, "sources rows columns"]
    first: Int[np.ndarray, " edges"]
    sounds: Sounds
    level: Float[np.ndarray, " sources"]

    def __len__(self) -> int:
        return len(self.pixels)

    def sources(self, rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n most"]:
        """The sources of these pictures, filled up with `ABSENT`."""
        most = int(np.diff(self.first).max())
        index = self.first[rows][:, None] + np.arange(most)
        return np.where(index < self.first[rows + 1][:, None], index, ABSENT)

    def views(
        self, rows: Int[np.ndarray, " n"], g: torch.Generator, size: int
    ) -> tuple[Float[torch.Tensor, "n 3 size size"], Float[torch.Tensor, "n most size size"]]:
        """The pictures as they might have been, half mirrored, in other colours, and the masks of their sources."""
        n, sources = len(rows), self.sources(rows)
        zoom = (LEAST_AREA + (1 - LEAST_AREA) * torch.rand(n, 1, generator=g)).sqrt()
        theta = torch.zeros(n, 2, 3)
        theta[:, 0, :1] = zoom * torch.where(torch.rand(n, 1, generator=g) < 0.5, -1.0, 1.0)
        theta[:, 1, 1:2] = zoom
        theta[:, :, 2] = (2 * torch.rand(n, 2, generator=g) - 1) * (1 - zoom)
        x = self.pixels[torch.from_numpy(rows)].permute(0, 3, 1, 2).float() / 255
        masks = self.masks[torch.from_numpy(np.maximum(sources, 0))].float() / 255
        masks[torch.from_numpy(sources == ABSENT)] = 0.0
        grid = F.affine_grid(theta, [n, 3, size, size], align_corners=False)
        x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
        return jitter(x, g), F.grid_sample(masks, grid, align_corners=False)


def read_scenes(folder: str | Path, kinds: tuple[str, ...]) -> Scenes:
    """Read the shards of `synesthesia world scenes` into memory; `kinds` says which number a kind has.

    Sources of other kinds, and those too faint in their scene to be learned from, are seen but belong to nothing.
    Raises InputError for a folder without scenes.
    """
    folder = Path(folder)
    numbers = {name: number for number, name in enumerate(kinds)}
    pixels, masks, latents, waves, first = [], [], [], [], [0]
    kind: list[int] = []
    shift: list[float] = []
    for path in sorted(folder.glob("*.tar")):
        encoded = Encoded(path)
        for example in shards.examples(path):
            told, shares = example.truth.get("sources"), example.arrays.get("masks")
            if not isinstance(told, list) or shares is None or len(shares) != len(told):
                raise InputError(f"{example.key!r} is no scene; make some with `synesthesia world scenes`.")
            kept = 0
            for source, mask, sound in zip(told, shares, example.sounds, strict=False):
                number = numbers.get(str(source.get("kind")))
                level = 10 * np.log10(max(float(np.mean(np.square(sound.mono, dtype=np.float64))), 1e-20))
                if number is None or level < FAINT_DB or sound.rate != bands.RATE:
                    continue
                samples = sound.mono * np.float32(10 ** ((CODED_DB - level) / 20))
                samples = np.pad(samples, (0, -len(samples) % bands.HOP))
                latents.append(encoded.next(samples))
                waves.append(torch.from_numpy(samples.reshape(-1, bands.HOP)).half())
                masks.append(torch.from_numpy(np.ascontiguousarray(mask)))
                kind.append(number)
                shift.append(level + 20 * np.log10(_scale(example)))
                kept += 1
            if kept:
                first.append(first[-1] + kept)
                square = to_square([example.image], SIDES[0])[0]
                pixels.append((square * 255).round().byte().permute(1, 2, 0))
        encoded.keep()
    if not pixels:
        raise InputError(f"{folder} holds no scenes of {', '.join(kinds)}.")
    numbered, loud = np.array(kind), np.array(shift)
    for number in np.unique(numbered):
        loud[numbered == number] -= loud[numbered == number].mean()
    sounds = Sounds(
        torch.cat(latents), torch.cat(waves), np.cumsum([0, *map(len, latents)]), numbered, np.arange(len(numbered))
    )
    level = loud.clip(-MOST_LOUDER_DB, MOST_LOUDER_DB)
    return Scenes(torch.stack(pixels), torch.stack(masks), np.array(first), sounds, level)


def _scale(example: shards.Example) -> float:
    value = example.truth.get("scale")
    if not isinstance(value, int | float) or not 0 < value <= 1e6:
        raise InputError(f"{example.key!r} does not say its scale.")
    return float(value)


def joined(a: Sounds, b: Sounds) -> Sounds:
    """The rows of both, those of `b` after those of `a`."""
    return Sounds(
        torch.cat([a.latents, b.latents]),
        torch.cat([a.waves, b.waves]),
        np.concatenate([a.first, a.first[-1] + b.first[1:]]),
        np.concatenate([a.kind, b.kind]),
        np.concatenate([a.cluster, a.cluster.max(initial=-1) + 1 + b.cluster]),
    )
