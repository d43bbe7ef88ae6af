"""How `see/tiny` is trained: on photos and recordings paired by kind, and on worlds in which both occurred together.

The picture codec finds the axes in which squares of pictures are said, and its decoder learns, judged by pixels and by
the locator's eyes, to put back what those leave out. The bridge learns which pictures go with a sound, as the locator's
ears hear it; eyes, ears and the space they share stay as they are. What frozen ears hear is kept: to listen takes
longer than to learn from it. Kinds are numbers that say which photos and recordings may stand together; nobody tells
what they are called.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from .. import media, shards
from ..bridges.grounding import Locator
from ..bridges.hearing import LOUDNESS_DB
from ..bridges.seeing import Seeing
from ..codecs import bands
from ..codecs.pictures import PictureConfig
from ..encoders.vision import to_square
from ..senses import Image, InputError, Sound
from .hear import heard
from .hear_data import SIDES, Lessons, Pairing, Photos, read
from .loop import LoopConfig, fit

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

SIDE = SIDES[0]  # pixels of a picture in memory
LEAST_AREA = 0.75  # of a picture that a view shows
SPREAD_DB = 2.0  # of the levels of sounds
WORN = 0.5  # the share of sounds that something is wrong with
QUIETEST = 1e-5  # RMS, full scale, below which there is nothing to learn from
AROUND = 1.25  # a close view is so much larger than what it shows …
CLOSEST = 0.25  # … and at least this share of the picture's side
FITTED = 2048  # pictures that the codec's axes are fitted on
AT_ONCE = 16  # sounds


@dataclass(frozen=True)
class SeeRun:
    """Everything that a run is. Steps count batches, of `glances` pictures for the codec and `batch` for the bridge.

    `eyes` weighs how differently the locator's eyes see a picture and what the codec made of it. `little` is the share
    of photos of 64 pixels among the photos, `drawn` that of worlds among all pictures, where there are any, each world
    as often as the others. Of a sound `seconds` are heard, and `moments` of what is heard are kept, of `crops` crops of
    each recording. `width`, `layers`, `heads`, `patch`: of `PicturingConfig`.
    """

    codec_steps: int = 1000
    see_steps: int = 10_000
    glances: int = 8
    batch: int = 48
    eyes: float = 0.3
    little: float = 0.1
    drawn: float = 0.5
    seconds: float = 4.0
    moments: int = 32
    crops: int = 6
    codec: PictureConfig = field(default_factory=PictureConfig)
    width: int = 192
    layers: int = 6
    heads: int = 4
    patch: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.codec_steps, self.see_steps, self.glances, self.batch, self.moments, self.crops) < 1:
            raise InputError("Steps, pictures, moments and crops of a run are one at least.")
        if not (0 <= self.little <= 1 and 0 <= self.drawn <= 1 and 0 <= self.eyes <= 100):
            raise InputError("Shares of a run lie between 0 and 1, the weight of the eyes between 0 and 100.")


# --- listening once --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Heard:
    """What frozen ears heard of n sounds, at some moments of each: in their own space and in the shared one."""

    frames: Float[torch.Tensor, "n moments ears"]
    shared: Float[torch.Tensor, "n moments shared"]

    def __len__(self) -> int:
        return len(self.frames)


class Listener:
    """A locator's ears, in batches: `push` waves at `bands.RATE`, all of one length, then take `heard`."""

    def __init__(self, locator: Locator, run: SeeRun) -> None:
        self._ears, self._grounding, self._run = locator.ears.eval(), locator.grounding.eval(), run
        self._g = torch.Generator().manual_seed(run.seed)
        self._waiting: list[torch.Tensor] = []
        self._frames: list[torch.Tensor] = []
        self._shared: list[torch.Tensor] = []

    @property
    def samples(self) -> int:
        """How long a wave is."""
        return round(self._run.seconds * bands.RATE / bands.HOP) * bands.HOP

    def push(self, wave: Float[torch.Tensor, " samples"]) -> None:
        self._waiting.append(wave)
        if len(self._waiting) == AT_ONCE:
            self._listen()

    def heard(self) -> Heard:
        if self._waiting:
            self._listen()
        return Heard(torch.cat(self._frames), torch.cat(self._shared))

    @torch.inference_mode()
    def _listen(self) -> None:
        dense, real = heard(self._ears, worn(torch.stack(self._waiting), self._g))
        shared = self._grounding.listen(dense, real)[0].flatten(-2)
        few = torch.rand(dense.shape[:2], generator=self._g).argsort(1)[:, : self._run.moments, None]
        for kept, values in ((self._frames, dense), (self._shared, shared)):
            kept.append(values.gather(1, few.expand(-1, -1, values.shape[-1])).half())
        self._waiting = []


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


# --- worlds ----------------------------------------------------------------------------------------------------------


def sights(example: shards.Example) -> Iterator[tuple[Image, Sound]]:
    """What is to be seen and heard in an example of a world: the picture with all that sounds in it, and each source
    that has a mask close by, with its own sound.
    """
    rate = example.sounds[0].rate
    wave = np.zeros(max(sound.samples.shape[1] for sound in example.sounds), np.float32)
    for sound in example.sounds:
        if sound.rate != rate:
            raise InputError(f"The sounds of {example.key!r} have different rates.")
        wave[: sound.samples.shape[1]] += sound.mono
    yield example.image, Sound(wave[None], rate)
    told, masks = example.truth.get("sources"), example.arrays.get("masks")
    if isinstance(told, list) and masks is not None and len(masks) == len(told):
        for mask, sound in zip(masks, example.sounds, strict=False):
            if len(box := close(np.asarray(mask))):
                yield _cut(example.image, box), sound


def close(mask: UInt8[np.ndarray, "rows columns"]) -> tuple[float, ...]:
    """The square (x, y of its corner, side; shares of the picture) around what a mask marks, inside the picture.

    Empty where the mask marks nothing.
    """
    rows, columns = np.flatnonzero((mask > 127).any(1)), np.flatnonzero((mask > 127).any(0))
    if not len(rows):
        return ()
    high, wide = mask.shape
    ends = rows[0] / high, (rows[-1] + 1) / high, columns[0] / wide, (columns[-1] + 1) / wide
    side = min(1.0, max(AROUND * max(ends[1] - ends[0], ends[3] - ends[2]), CLOSEST))
    return (
        min(max((ends[2] + ends[3] - side) / 2, 0.0), 1 - side),
        min(max((ends[0] + ends[1] - side) / 2, 0.0), 1 - side),
        side,
    )


def _cut(image: Image, box: tuple[float, ...]) -> Image:
    x, y, side = box
    top, left = round(y * image.height), round(x * image.width)
    high, wide = max(1, round(side * image.height)), max(1, round(side * image.width))
    return Image(np.ascontiguousarray(image.pixels[top : top + high, left : left + wide]))


@dataclass(frozen=True, eq=False)
class Moments:
    """Pictures in memory, and what was heard with each."""

    pixels: UInt8[torch.Tensor, "n side side 3"]
    heard: Heard

    def __len__(self) -> int:
        return len(self.pixels)


def read_moments(folder: Path, locator: Locator, run: SeeRun, path: Path) -> Moments:
    """Read a world of `synesthesia world …` and listen to it; kept in the file `path` for a run that resumes.

    Raises InputError for a folder without pictures with sounds.
    """
    if not path.is_file():
        listener, pixels = Listener(locator, run), []
        rng = np.random.default_rng([run.seed, 50])
        files = sorted(folder.glob("*.tar"))
        for file in track(files, f"listening to {folder.name}"):
            for example in shards.examples(file):
                if example.image is shards.UNSEEN or not example.sounds:
                    continue
                for image, sound in sights(example):
                    wave = _stretch(sound, listener.samples, rng)
                    if wave is not None:
                        pixels.append((to_square([image], SIDE)[0] * 255).round().byte().permute(1, 2, 0))
                        listener.push(wave)
        if not pixels:
            raise InputError(f"{folder} holds no pictures with sounds; make some with `synesthesia world`.")
        kept = listener.heard()
        _keep(path, {"pixels": torch.stack(pixels), "frames": kept.frames, "shared": kept.shared})
    found = load_file(path)
    return Moments(found["pixels"], Heard(found["frames"], found["shared"]))


def _stretch(sound: Sound, samples: int, rng: np.random.Generator) -> torch.Tensor | None:
    """A stretch of a sound at `LOUDNESS_DB`; the end of a shorter one runs on into the beginning. None for silence."""
    wave = media.resample(Sound(sound.mono[None], sound.rate), bands.RATE).mono
    loud = float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0
    if loud < QUIETEST:
        return None
    begin = int(rng.integers(max(1, len(wave) - samples + 1)))
    return torch.from_numpy(np.resize(wave[begin:], samples) * np.float32(10 ** (LOUDNESS_DB / 20) / loud))


def _keep(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


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
    """Pictures and what is heard with them: photos with recordings of their kind, and moments of worlds.

    What is heard of recordings is kept in the folder `out`.
    """

    def __init__(
        self, lessons: Lessons, moments: Sequence[Moments], locator: Locator, run: SeeRun, out: Path | None = None
    ) -> None:
        self._run = run
        self._moments = list(moments)
        self._photos: list[Photos] = [photos for photos in lessons.photos if len(photos)]
        self._pairings = [Pairing(lessons.sounds, photos) for photos in self._photos]
        self._heard = _recordings(lessons, locator, run, None if out is None else out / "recordings.safetensors")
        photos = [1.0] if len(self._photos) == 1 else [1 - run.little, run.little]
        worlds = [run.drawn / len(self._moments)] * len(self._moments)
        self._shares = np.array([(1 - sum(worlds)) * share for share in photos] + worlds)

    def pictures(self, rng: np.random.Generator, g: torch.Generator, n: int) -> Float[torch.Tensor, "n 3 side side"]:
        """Any pictures, those of what makes no sound too."""
        of, out = rng.choice(len(self._shares), n, p=self._shares), []
        for k in np.unique(of):
            pixels = (self._photos[k] if k < len(self._photos) else self._moments[k - len(self._photos)]).pixels
            some = torch.from_numpy(rng.integers(len(pixels), size=int((of == k).sum())))
            out.append(views(pixels[some], g, self._run.codec.side))
        return torch.cat(out)

    def draw(
        self, rng: np.random.Generator, g: torch.Generator, n: int
    ) -> tuple[Float[torch.Tensor, "n 3 side side"], Heard]:
        """n pictures, and what is heard with each."""
        of, pictures, frames, shared = rng.choice(len(self._shares), n, p=self._shares), [], [], []
        for k in np.unique(of):
            count = int((of == k).sum())
            if k < len(self._photos):
                pairing = self._pairings[k]
                kinds = pairing.draw(rng, count)[:, 0]
                rows, sounds = pairing.look(rng, kinds), pairing.hear(rng, kinds)
                kept, pixels = self._heard, self._photos[k].pixels
                at = torch.from_numpy(sounds * self._run.crops + rng.integers(self._run.crops, size=count))
            else:
                moments = self._moments[k - len(self._photos)]
                rows = rng.integers(len(moments), size=count)
                kept, pixels, at = moments.heard, moments.pixels, torch.from_numpy(rows)
            pictures.append(views(pixels[torch.from_numpy(rows)], g, self._run.codec.side))
            frames.append(kept.frames[at].float())
            shared.append(kept.shared[at].float())
        return torch.cat(pictures), Heard(torch.cat(frames), torch.cat(shared))


def _recordings(lessons: Lessons, locator: Locator, run: SeeRun, path: Path | None) -> Heard:
    """What is heard in `crops` crops of each recording, recording by recording."""
    if path is None or not path.is_file():
        listener, rng = Listener(locator, run), np.random.default_rng([run.seed, 53])
        rows = np.repeat(np.arange(len(lessons.sounds)), run.crops)
        for some in track(np.array_split(rows, max(1, len(rows) // AT_ONCE)), "listening to recordings"):
            gain = LOUDNESS_DB - lessons.sounds.level[some] + rng.normal(0, SPREAD_DB, len(some))
            index = lessons.sounds.crops(some, rng, listener.samples // bands.HOP)
            for wave in lessons.sounds.waves_at(index, gain):
                listener.push(wave)
        kept = listener.heard()
        if path is None:
            return kept
        _keep(path, {"frames": kept.frames, "shared": kept.shared})
    found = load_file(path)
    return Heard(found["frames"], found["shared"])


# --- the run ---------------------------------------------------------------------------------------------------------


def gather(folder: Path, locator: Locator, out: Path, run: SeeRun, worlds: Sequence[Path]) -> Pairs:
    """All that is learned from: shards of `synesthesia data pack`, and worlds; what is heard of it is kept in `out`."""
    moments = [
        read_moments(world, locator, run, out / f"moments-{number}.safetensors") for number, world in enumerate(worlds)
    ]
    return Pairs(read(folder, "train"), moments, locator, run, out)


def train(
    folder: Path, locator: str | Path, out: Path, run: SeeRun | None = None, *, worlds: Sequence[Path] = ()
) -> Path:
    """Train on the shards of `synesthesia data pack` and on worlds; leaves `out`/final. Resumes after a kill.

    Raises InputError for folders that hold no such shards, and for what is not a locator.
    """
    run = run or SeeRun()
    listener = Locator.load(locator)
    pairs = gather(folder, listener, out, run, worlds)
    model = begun(pairs, listener, str(locator), run)
    teach_codec(model, pairs, out, run)
    teach_bridge(model, pairs, out, run)
    return model.save(out / "final")


def begun(pairs: Pairs, locator: Locator, reference: str, run: SeeRun) -> Seeing:
    """A model that has learned nothing but the axes of pictures."""
    torch.manual_seed(run.seed)
    sizes = {"width": run.width, "layers": run.layers, "heads": run.heads, "patch": run.patch}
    model = Seeing.new(locator, reference, run.codec, seconds=run.seconds, **sizes)
    some = pairs.pictures(np.random.default_rng([run.seed, 54]), torch.Generator().manual_seed(run.seed), FITTED)
    model.codec.fit(some)
    model.picturing.fit_scale(model.codec.encode(some))
    return model


def teach_codec(model: Seeing, pairs: Pairs, out: Path, run: SeeRun) -> None:
    """The codec's decoder learns. Latents do not change by it, so that the bridge can learn at the same time."""
    tower = model.locator.eyes.tower.eval()

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        x = pairs.pictures(np.random.default_rng([run.seed, 51, step]), g, run.glances)
        terms, shown = model.codec.loss(x, g)
        with torch.no_grad():
            seen = tower(x)[0]
        return terms | {"eyes": run.eyes * (1 - F.cosine_similarity(tower(shown)[0], seen, dim=-1).mean())}

    fit(model.codec, loss, LoopConfig(run.codec_steps, 1e-3, ema=0.999, seed=run.seed), out / "codec")


def teach_bridge(model: Seeing, pairs: Pairs, out: Path, run: SeeRun) -> None:
    """The bridge learns which pictures go with a sound."""

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        pictures, known = pairs.draw(np.random.default_rng([run.seed, 52, step]), g, run.batch)
        real = torch.full((len(pictures),), known.frames.shape[1])
        with torch.no_grad():
            latents = model.codec.encode(pictures)
        return model.picturing.loss(model.picturing.listen(known.shared, known.frames, real), latents, g)

    fit(model.picturing, loss, LoopConfig(run.see_steps, 1e-3, ema=0.999, seed=run.seed), out / "see")
