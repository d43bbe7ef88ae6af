"""How `see/tiny` is trained: on photos and recordings paired by kind, and on worlds in which both occurred together.

First the picture codec learns to say pictures in few numbers, judged by pixels and by the locator's eyes. Then the
bridge learns which of them go with a sound, as the locator's ears hear it; eyes, ears and the space they share stay as
they are. Kinds are numbers that say which photos and recordings may stand together; nobody tells what they are called.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from .. import shards
from ..bridges.grounding import Locator
from ..bridges.hearing import LOUDNESS_DB
from ..bridges.seeing import Seeing
from ..codecs import bands
from ..codecs.pictures import PictureCodec, PictureConfig
from ..encoders.vision import to_square
from ..senses import InputError
from .hear import heard
from .hear_data import SIDES, Lessons, Pairing, read
from .loop import LoopConfig, fit

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8

LEAST_AREA = 0.75  # of a picture that a view shows
SPREAD_DB = 2.0  # of the levels of sounds
WORN = 0.5  # the share of sounds that something is wrong with
QUIETEST = 1e-5  # RMS of a world's mixture, full scale, below which there is nothing to learn from


@dataclass(frozen=True)
class SeeRun:
    """Everything that a run is. Steps count batches, of `glances` pictures for the codec and `batch` for the bridge.

    `eyes` weighs how differently the locator's eyes see a picture and what the codec made of it. The codec's latents
    of `views` views of each picture are kept; `little` is the share of photos of 64 pixels, `drawn` that of worlds,
    where there are any. Of a sound `seconds` are heard. `width`, `layers`, `heads`, `patch`: of `PicturingConfig`.
    """

    codec_steps: int = 6000
    see_steps: int = 20_000
    glances: int = 12
    batch: int = 48
    eyes: float = 0.5
    views: int = 4
    little: float = 0.1
    drawn: float = 0.4
    seconds: float = 4.0
    codec: PictureConfig = field(default_factory=PictureConfig)
    width: int = 256
    layers: int = 8
    heads: int = 4
    patch: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.codec_steps, self.see_steps, self.glances, self.batch, self.views) < 1:
            raise InputError("Steps, pictures and views of a run are one at least.")
        if not (0 <= self.little <= 1 and 0 <= self.drawn <= 1 and 0 <= self.eyes <= 100):
            raise InputError("Shares of a run lie between 0 and 1, the weight of the eyes between 0 and 100.")


# --- worlds ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Moments:
    """Pictures in memory, and what was heard with each: the mixture, at `LOUDNESS_DB` and at `bands.RATE`."""

    pixels: UInt8[torch.Tensor, "n side side 3"]
    waves: tuple[torch.Tensor, ...]

    def __len__(self) -> int:
        return len(self.waves)

    def crops(
        self, rows: Int[np.ndarray, " n"], rng: np.random.Generator, samples: int
    ) -> Float[torch.Tensor, "n samples"]:
        """A stretch of the sound of each of these rows; the end of a shorter one runs on into the beginning."""
        out = torch.empty(len(rows), samples)
        for crop, row in zip(out, rows, strict=True):
            wave = self.waves[row]
            begin = int(rng.integers(max(1, len(wave) - samples + 1)))
            crop.copy_(wave[(begin + torch.arange(samples)) % len(wave)])
        return out


def read_moments(folders: Sequence[Path]) -> Moments | None:
    """Read worlds of `synesthesia world scenes` or `birds`; None for no folders.

    Raises InputError for a folder without pictures with sounds at `bands.RATE`.
    """
    pixels, waves = [], []
    for folder in folders:
        before = len(waves)
        for example in shards.examples(folder, only={"jpg", "json", *(f"hit{k}.flac" for k in range(100))}):
            if example.image is shards.UNSEEN or not example.sounds:
                continue
            if any(sound.rate != bands.RATE for sound in example.sounds):
                raise InputError(f"{example.key!r} does not sound at {bands.RATE} Hz; make the world again.")
            longest = max(sound.samples.shape[1] for sound in example.sounds)
            wave = np.zeros(longest, np.float32)
            for sound in example.sounds:
                wave[: sound.samples.shape[1]] += sound.mono
            loud = float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if longest else 0.0
            if loud < QUIETEST:
                continue
            waves.append(torch.from_numpy(wave * np.float32(10 ** (LOUDNESS_DB / 20) / loud)))
            pixels.append((to_square([example.image], SIDES[0])[0] * 255).round().byte().permute(1, 2, 0))
        if len(waves) == before:
            raise InputError(f"{folder} holds no pictures with sounds; make some with `synesthesia world`.")
    return Moments(torch.stack(pixels), tuple(waves)) if waves else None


# --- what is learned from --------------------------------------------------------------------------------------------


def views(
    pixels: UInt8[torch.Tensor, "n side side 3"], g: torch.Generator, size: int
) -> Float[torch.Tensor, "n 3 size size"]:
    """Pictures as they might have been: most of the area, half of them mirrored, in their own colours."""
    n = len(pixels)
    zoom = (LEAST_AREA + (1 - LEAST_AREA) * torch.rand(n, 1, generator=g)).sqrt()
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, :1] = zoom * torch.where(torch.rand(n, 1, generator=g) < 0.5, -1.0, 1.0)
    theta[:, 1, 1:2] = zoom
    theta[:, :, 2] = (2 * torch.rand(n, 2, generator=g) - 1) * (1 - zoom)
    x = pixels.permute(0, 3, 1, 2).float() / 255
    if x.shape[-1] > size:  # a little larger than needed, so that nothing finer than a pixel is left to alias
        x = F.interpolate(x, (size * 9 // 8,) * 2, mode="bilinear", antialias=True, align_corners=False)
    grid = F.affine_grid(theta, [n, 3, size, size], align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False).clamp(0, 1)


class Pairs:
    """Pictures and what is heard with them: photos with recordings of their kind, and moments of worlds."""

    def __init__(self, lessons: Lessons, moments: Moments | None, run: SeeRun) -> None:
        self._run = run
        self._sounds = lessons.sounds
        self._moments = moments
        self._photos = [photos for photos in lessons.photos if len(photos)]
        self._pairings = [Pairing(lessons.sounds, photos) for photos in self._photos]
        self._kept: list[torch.Tensor] = []

    @property
    def _all(self) -> list[torch.Tensor]:
        return [*(photos.pixels for photos in self._photos), *([] if self._moments is None else [self._moments.pixels])]

    def _shares(self) -> Float[np.ndarray, " groups"]:
        """How often a picture comes from each group: photos, little ones, worlds."""
        shares = [1.0] if len(self._photos) == 1 else [1 - self._run.little, self._run.little]
        if self._moments is not None:
            shares = [(1 - self._run.drawn) * share for share in shares] + [self._run.drawn]
        return np.array(shares)

    def pictures(self, rng: np.random.Generator, g: torch.Generator, n: int) -> Float[torch.Tensor, "n 3 side side"]:
        """Any pictures, those of what makes no sound too."""
        of, pixels = rng.choice(len(self._shares()), n, p=self._shares()), self._all
        side = self._run.codec.side
        return torch.cat([
            views(pixels[k][torch.from_numpy(rng.integers(len(pixels[k]), size=int((of == k).sum())))], g, side)
            for k in np.unique(of)
        ])  # fmt: skip

    @torch.inference_mode()
    def keep(self, codec: PictureCodec, path: Path) -> None:
        """Keep the latents of some views of each picture in a file; a run that resumes finds it there."""
        if not path.is_file():
            g, kept = torch.Generator().manual_seed(self._run.seed), {}
            for number, pixels in enumerate(self._all):
                latents = []
                for some in track(pixels.split(16), f"encoding {len(pixels)} pictures"):
                    seen = codec.encode(views(some.repeat_interleave(self._run.views, 0), g, self._run.codec.side))
                    latents.append(seen.unflatten(0, (-1, self._run.views)).half())
                kept[str(number)] = torch.cat(latents)
            save_file(kept, path.with_suffix(".part"))
            os.replace(path.with_suffix(".part"), path)
        found = load_file(path)
        self._kept = [found[str(number)] for number in range(len(self._all))]

    def some_latents(self) -> Float[torch.Tensor, "n rows columns width"]:
        """One view of every picture, at most 512 of a group: for the scale."""
        return torch.cat([kept[:512, 0].float() for kept in self._kept])

    def draw(
        self, rng: np.random.Generator, g: torch.Generator, n: int
    ) -> tuple[Float[torch.Tensor, "n rows columns width"], Float[torch.Tensor, "n samples"]]:
        """Latents of n pictures, and what is heard with each, at `bands.RATE`."""
        frames = round(self._run.seconds * bands.RATE / bands.HOP)
        latents, waves = [], []
        of = rng.choice(len(self._shares()), n, p=self._shares())
        for k in np.unique(of):
            count = int((of == k).sum())
            if k < len(self._photos):
                pairing = self._pairings[k]
                kinds = pairing.draw(rng, count)[:, 0]
                rows, sounds = pairing.look(rng, kinds), pairing.hear(rng, kinds)
                gain = LOUDNESS_DB - self._sounds.level[sounds] + rng.normal(0, SPREAD_DB, count)
                waves.append(self._sounds.waves_at(self._sounds.crops(sounds, rng, frames), gain))
            else:
                assert self._moments is not None
                rows = rng.integers(len(self._moments), size=count)
                waves.append(self._moments.crops(rows, rng, frames * bands.HOP))
            view = torch.randint(self._run.views, (count,), generator=g)
            latents.append(self._kept[k][torch.from_numpy(rows), view].float())
        return torch.cat(latents), worn(torch.cat(waves), g)


def worn(waves: Float[torch.Tensor, "n samples"], g: torch.Generator) -> Float[torch.Tensor, "n samples"]:
    """Sounds as people have them: in some of them noise, in some an overloaded recorder, in some a telephone's band."""
    n = len(waves)

    def some() -> torch.Tensor:
        return torch.rand(n, 1, generator=g) < 1 - (1 - WORN) ** (1 / 3)

    loud = waves.square().mean(1, keepdim=True).sqrt()
    noise = loud * 10 ** (-(10 + 20 * torch.rand(n, 1, generator=g)) / 20)
    waves = torch.where(some(), waves + noise * torch.randn(waves.shape, generator=g), waves)
    limit = waves.abs().amax(1, keepdim=True) * (0.2 + 0.6 * torch.rand(n, 1, generator=g))
    waves = torch.where(some(), waves.clamp(-limit, limit), waves)
    spectrum = torch.fft.rfft(waves)
    below = torch.arange(spectrum.shape[1]) * (bands.RATE / waves.shape[1]) < 4000.0
    return torch.where(some(), torch.fft.irfft(spectrum * below, waves.shape[1]), waves)


# --- the run ---------------------------------------------------------------------------------------------------------


def train(
    folder: Path, locator: str | Path, out: Path, run: SeeRun | None = None, *, worlds: Sequence[Path] = ()
) -> Path:
    """Train on the shards of `synesthesia data pack` and on worlds; leaves `out`/final. Resumes after a kill.

    Raises InputError for folders that hold no such shards, and for what is not a locator.
    """
    run = run or SeeRun()
    listener = Locator.load(locator)
    pairs = Pairs(read(folder, "train"), read_moments(worlds), run)
    torch.manual_seed(run.seed)
    sizes = {"width": run.width, "layers": run.layers, "heads": run.heads, "patch": run.patch}
    model = Seeing.new(listener, str(locator), run.codec, seconds=run.seconds, **sizes)
    eyes, ears, grounding = listener.eyes.eval(), listener.ears.eval(), listener.grounding.eval()

    def compress(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        x = pairs.pictures(np.random.default_rng([run.seed, 51, step]), g, run.glances)
        terms, shown = model.codec.loss(x, g)
        with torch.no_grad():
            seen = eyes(x)[0]
        alike = F.cosine_similarity(eyes(shown)[0], seen, dim=-1).mean()
        return terms | {"eyes": run.eyes * (1 - alike)}

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        latents, waves = pairs.draw(np.random.default_rng([run.seed, 52, step]), g, run.batch)
        with torch.no_grad():
            dense, real = heard(ears, waves)
            shared = grounding.listen(dense, real)[0].flatten(-2)
        return model.picturing.loss(model.picturing.listen(shared, dense, real), latents, g)

    fit(model.codec, compress, LoopConfig(run.codec_steps, 1e-3, ema=0.999, seed=run.seed), out / "codec")
    pairs.keep(model.codec, out / "latents.safetensors")
    model.picturing.fit_scale(pairs.some_latents())
    fit(model.picturing, loss, LoopConfig(run.see_steps, 1e-3, ema=0.999, seed=run.seed), out / "see")
    return model.save(out / "final")
