"""How `see/tiny` is trained: on photos and recordings paired by kind, and on worlds in which both occurred together.

The picture codec finds the axes in which squares of pictures are said, and its decoder learns, judged by pixels and by
the locator's eyes, to put back what those leave out. The bridge learns to listen first: to tell from a sound, as the
locator's ears hear it, how the locator's eyes see what made it, and in worlds the numbers behind it (how long a bird's
bill is, how dense what was struck): a notion of the picture. Then it learns to draw, from notions that are true of
pictures in part and told from their sounds in part; a flow that must find out by itself what it is led by takes many
thousands of steps. Of worlds it draws portraits, without what nobody can hear. Eyes, ears and the space they share stay
as they are. What frozen ears hear is kept: to listen takes longer than to learn from it. Kinds are numbers that say
which photos and recordings may stand together; nobody tells what they are called.
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
from ..encoders.audio import RATE, log_mel
from ..encoders.vision import to_square
from ..senses import Image, InputError, Sound
from ..worlds import birds
from ..worlds.render import OBJECT
from .hear import heard, resampled
from .hear_data import SIDES, Lessons, Pairing, Photos, read
from .loop import LoopConfig, fit

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, UInt8

    from ..bridges.picturing import Picturing

SIDE = SIDES[0]  # pixels of a picture in memory
LEAST_AREA = 0.75  # of a picture that a view shows
SPREAD_DB = 2.0  # of the levels of sounds
WORN = 0.5  # the share of sounds that something is wrong with
QUIETEST = 1e-5  # RMS, full scale, below which there is nothing to learn from
AROUND = 1.25  # a close view is so much larger than what it shows …
CLOSEST = 0.25  # … and at least this share of the picture's side
FITTED = 2048  # pictures that the codec's axes are fitted on
AT_ONCE = 16  # sounds
STRUCK = ("density", "loss", "size", "wall", "wave_speed", "youngs_modulus")  # what is told of a struck object
DECADES = 30.0  # the largest by the smallest, above which logarithms are taken
NOTHING = 224  # of 255: grey around what is cut out


@dataclass(frozen=True)
class SeeRun:
    """Everything that a run is.

    Steps count batches: of `glances` pictures for the codec, of twice `batch` to learn to listen, of three times
    `batch` to sketch, of `batch` itself to draw. `eyes` weighs how differently the locator's eyes see a picture and
    what the codec made of it. `little` is the share of photos of 64 pixels among the photos, `drawn` that of worlds
    among all pictures, where there are any, each world by the root of how many it has. Of a sound `seconds` are heard,
    and `moments` of what is heard are kept, of `crops` crops of each recording. `width`, `layers`, `heads`, `patch`: of
    `PicturingConfig`.
    """

    codec_steps: int = 1000
    ear_steps: int = 4500
    sketch_steps: int = 6000
    see_steps: int = 5500
    glances: int = 8
    batch: int = 32
    eyes: float = 0.3
    little: float = 0.25
    drawn: float = 0.7
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
        steps = (self.codec_steps, self.ear_steps, self.sketch_steps, self.see_steps)
        if min(*steps, self.glances, self.batch, self.moments, self.crops) < 1:
            raise InputError("Steps, pictures, moments and crops of a run are one at least.")
        if not (0 <= self.little <= 1 and 0 <= self.drawn <= 1 and 0 <= self.eyes <= 100):
            raise InputError("Shares of a run lie between 0 and 1, the weight of the eyes between 0 and 100.")


# --- listening once --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Heard:
    """What frozen ears heard of n sounds, at some moments of each, in their own space and in the shared one; and the
    log-mel pictures of the sounds.
    """

    frames: Float[torch.Tensor, "n moments ears"]
    shared: Float[torch.Tensor, "n moments shared"]
    mel: Float[torch.Tensor, "n bands times"]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, rows: Int[torch.Tensor, " k"]) -> Heard:
        return Heard(self.frames[rows].float(), self.shared[rows].float(), self.mel[rows].float())

    def tensors(self) -> dict[str, torch.Tensor]:
        """What `Heard(**…)` takes."""
        return {"frames": self.frames, "shared": self.shared, "mel": self.mel}

    def listened(self, picturing: Picturing) -> Float[torch.Tensor, "n notion"]:
        """What a bridge makes of it."""
        return picturing.listen(self.shared, self.frames, torch.full((len(self),), self.frames.shape[1]), self.mel)


class Listener:
    """A locator's ears, in batches: `push` waves at `bands.RATE`, all of one length, then take `heard`."""

    def __init__(self, locator: Locator, run: SeeRun) -> None:
        self._ears, self._grounding, self._run = locator.ears.eval(), locator.grounding.eval(), run
        self._g = torch.Generator().manual_seed(run.seed)
        self._waiting: list[torch.Tensor] = []
        self._kept: list[Heard] = []

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
        return joined(self._kept)

    @torch.inference_mode()
    def _listen(self) -> None:
        waves = worn(torch.stack(self._waiting), self._g)
        dense, real = heard(self._ears, waves)
        shared = self._grounding.listen(dense, real)[0].flatten(-2)
        few = torch.rand(dense.shape[:2], generator=self._g).argsort(1)[:, : self._run.moments, None]
        frames, shared = (x.gather(1, few.expand(-1, -1, x.shape[-1])).half() for x in (dense, shared))
        self._kept.append(Heard(frames, shared, log_mel(resampled(waves, RATE)).half()))
        self._waiting = []


def joined(parts: Sequence[Heard]) -> Heard:
    """One after the other."""
    return Heard(*(torch.cat(some) for some in zip(*(part.tensors().values() for part in parts), strict=True)))


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


@dataclass(frozen=True)
class Sight:
    """What is to be seen and heard at once, and the numbers behind it by name.

    `portrait`: what sounds by itself, without what nobody can hear (how a bird turns, what stands around).
    """

    image: Image
    sound: Sound
    numbers: dict[str, float] = field(default_factory=dict)
    portrait: Image | None = None


def sights(example: shards.Example) -> Iterator[Sight]:
    """What there is in an example of a world: the picture with all that sounds in it, and each source that has a mask
    close by, with its own sound.
    """
    rate = example.sounds[0].rate
    wave = np.zeros(max(sound.samples.shape[1] for sound in example.sounds), np.float32)
    for sound in example.sounds:
        if sound.rate != rate:
            raise InputError(f"The sounds of {example.key!r} have different rates.")
        wave[: sound.samples.shape[1]] += sound.mono
    struck = {name: float(str(example.truth[name])) for name in STRUCK if name in example.truth}
    mask = example.arrays.get("mask")
    shown = cut_out(example.image, np.asarray(mask) == OBJECT) if struck and mask is not None else None
    yield Sight(example.image, Sound(wave[None], rate), struck, shown)
    told, masks = example.truth.get("sources"), example.arrays.get("masks")
    if isinstance(told, list) and masks is not None and len(masks) == len(told):
        for source, mask, sound in zip(told, masks, example.sounds, strict=False):
            if len(box := close(np.asarray(mask))):
                numbers = {f"{source['kind']}.{name}": float(v) for name, v in source.get("parameters", {}).items()}
                bird = birds.portrait(source["parameters"], SIDE) if source["kind"] == "bird" else None
                yield Sight(_cut(example.image, box), sound, numbers, bird)


def portrayed(found: Iterator[Sight]) -> list[Sight]:
    """Those with a portrait, where there are any: whoever learns to draw learns more from less that cannot be heard."""
    every = list(found)
    return [sight for sight in every if sight.portrait is not None] or every


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


def cut_out(image: Image, where: Bool[np.ndarray, "h w"]) -> Image | None:
    """What a mask marks, in the middle of a square of nothing else; None where it marks nothing."""
    rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
    if not len(rows):
        return None
    rows, columns = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    seen = np.where(where[..., None], image.pixels, np.uint8(NOTHING))[rows, columns]
    high, wide = seen.shape[:2]
    side = round(AROUND * max(high, wide))
    square = np.full((side, side, 3), NOTHING, np.uint8)
    top, left = (side - high) // 2, (side - wide) // 2
    square[top : top + high, left : left + wide] = seen
    return Image(square)


def _cut(image: Image, box: tuple[float, ...]) -> Image:
    x, y, side = box
    top, left = round(y * image.height), round(x * image.width)
    high, wide = max(1, round(side * image.height)), max(1, round(side * image.width))
    return Image(np.ascontiguousarray(image.pixels[top : top + high, left : left + wide]))


@dataclass(frozen=True, eq=False)
class Moments:
    """Pictures in memory, what was heard with each, and the numbers behind it, in spreads; NaN where there is none.

    Those that are `posed` are shown as they are, neither mirrored nor from nearer by.
    """

    pixels: UInt8[torch.Tensor, "n side side 3"]
    heard: Heard
    numbers: Float[torch.Tensor, "n numbers"]
    posed: Bool[torch.Tensor, " n"]

    def __len__(self) -> int:
        return len(self.pixels)


def read_moments(folder: Path, locator: Locator, run: SeeRun, path: Path) -> Moments:
    """Read a world of `synesthesia world …` and listen to it; kept in the file `path` for a run that resumes.

    Raises InputError for a folder without pictures with sounds.
    """
    if not path.is_file():
        listener, pixels, numbers, posed = Listener(locator, run), [], [], []
        rng = np.random.default_rng([run.seed, 50])
        files = sorted(folder.glob("*.tar"))
        for file in track(files, f"listening to {folder.name}"):
            for example in shards.examples(file):
                if example.image is shards.UNSEEN or not example.sounds:
                    continue
                for sight in portrayed(sights(example)):
                    wave = _stretch(sight.sound, listener.samples, rng)
                    if wave is not None:
                        shown = sight.portrait or sight.image
                        pixels.append((to_square([shown], SIDE)[0] * 255).round().byte().permute(1, 2, 0))
                        posed.append(sight.portrait is not None)
                        numbers.append(sight.numbers)
                        listener.push(wave)
        if not pixels:
            raise InputError(f"{folder} holds no pictures with sounds; make some with `synesthesia world`.")
        kept = listener.heard()
        told = {"pixels": torch.stack(pixels), "numbers": in_spreads(numbers), "posed": torch.tensor(posed)}
        _keep(path, told | kept.tensors())
    found = load_file(path)
    own = {name: found.pop(name) for name in ("pixels", "numbers", "posed")}
    return Moments(heard=Heard(**found), **own)


def in_spreads(numbers: Sequence[dict[str, float]]) -> Float[torch.Tensor, "n names"]:
    """Numbers by name, in order of the names, each less its mean and by its spread; NaN where a name is lacking.

    Of those that go over decades it is their logarithm.
    """
    names = sorted({name for some in numbers for name in some})
    table = np.array([[some.get(name, np.nan) for name in names] for some in numbers]).reshape(len(numbers), len(names))
    for column in table.T:
        if np.nanmin(column) > 0 and np.nanmax(column) > DECADES * np.nanmin(column):
            column[:] = np.log(column)
        column -= np.nanmean(column)
        column /= max(float(np.nanstd(column)), 1e-9)
    return torch.from_numpy(table.astype(np.float32))


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
    pixels: UInt8[torch.Tensor, "n side side 3"],
    g: torch.Generator,
    size: int,
    posed: Bool[torch.Tensor, " n"] | None = None,
) -> Float[torch.Tensor, "n 3 size size"]:
    """Pictures as they might have been: most of the area, half of them mirrored, in their own colours.

    Those that are posed are shown as they are.
    """
    n = len(pixels)
    free = torch.ones(n, 1, dtype=torch.bool) if posed is None else ~posed[:, None]
    zoom = (1 - (1 - LEAST_AREA) * torch.rand(n, 1, generator=g) * free).sqrt()
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, :1] = zoom * torch.where((torch.rand(n, 1, generator=g) < 0.5) & free, -1.0, 1.0)
    theta[:, 1, 1:2] = zoom
    theta[:, :, 2] = (2 * torch.rand(n, 2, generator=g) - 1) * (1 - zoom)
    x = pixels.permute(0, 3, 1, 2).float() / 255
    if x.shape[-1] > size:  # a little larger than needed, so that nothing finer than a pixel is left to alias
        x = F.interpolate(x, (size * 9 // 8,) * 2, mode="bilinear", antialias=True, align_corners=False)
    grid = F.affine_grid(theta, [n, 3, size, size], align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False).clamp(0, 1)


@dataclass(frozen=True, eq=False)
class Lesson:
    """n pictures, what is heard with each, how eyes see each as a whole, the numbers behind it (see `Moments`)."""

    pictures: Float[torch.Tensor, "n 3 side side"]
    heard: Heard
    looks: Float[torch.Tensor, "n eyes"]
    numbers: Float[torch.Tensor, "n numbers"]

    @property
    def notion(self) -> Float[torch.Tensor, "n notion"]:
        """What is true of each picture: how eyes see it, and the numbers, 0 where there are none."""
        return torch.cat([self.looks, self.numbers.nan_to_num()], 1)


class Pairs:
    """Pictures and what is heard with them: photos with recordings of their kind, and moments of worlds.

    What is heard of recordings, and how eyes see all the pictures, is kept in the folder `out`.
    """

    def __init__(
        self, lessons: Lessons, moments: Sequence[Moments], locator: Locator, run: SeeRun, out: Path | None = None
    ) -> None:
        self._run = run
        photos: list[Photos] = [photos for photos in lessons.photos if len(photos)]
        self._pairings = [Pairing(lessons.sounds, some) for some in photos]
        self._pixels = [some.pixels for some in (*photos, *moments)]
        self._posed = [torch.zeros(len(some), dtype=torch.bool) for some in photos] + [one.posed for one in moments]
        self._heard = _recordings(lessons, locator, run, None if out is None else out / "recordings.safetensors")
        self._with = [one.heard for one in moments]
        self._looks = _looks(self._pixels, locator, None if out is None else out / "looks.safetensors")
        widths = [one.numbers.shape[1] for one in moments]
        self.behind = sum(widths)
        """How many numbers may stand behind a picture, over all worlds."""
        self._numbers = [
            F.pad(one.numbers, (sum(widths[:k]), sum(widths[k + 1 :])), value=torch.nan)
            for k, one in enumerate(moments)
        ]
        shares = [1.0] if len(photos) == 1 else [1 - run.little, run.little]
        worlds = np.sqrt([len(one) for one in moments])
        worlds *= run.drawn / max(worlds.sum(), 1.0)
        self._shares = np.concatenate([(1 - worlds.sum()) * np.array(shares), worlds])

    def pictures(self, rng: np.random.Generator, g: torch.Generator, n: int) -> Float[torch.Tensor, "n 3 side side"]:
        """Any pictures, those of what makes no sound too."""
        of, out = rng.choice(len(self._shares), n, p=self._shares), []
        for k in np.unique(of):
            some = torch.from_numpy(rng.integers(len(self._pixels[k]), size=int((of == k).sum())))
            out.append(views(self._pixels[k][some], g, self._run.codec.side, self._posed[k][some]))
        return torch.cat(out)

    def posed(self) -> Float[torch.Tensor, "n 3 side side"]:
        """The first pictures that are shown in one pose; of no world, the first of any."""
        posed = [pixels[some][:FITTED] for pixels, some in zip(self._pixels, self._posed, strict=True) if some.any()]
        first = (posed or self._pixels)[0][:FITTED]
        still = torch.ones(len(first), dtype=torch.bool)
        return views(first, torch.Generator(), self._run.codec.side, still)

    def draw(self, rng: np.random.Generator, g: torch.Generator, n: int) -> Lesson:
        """Pictures of what sounds, and what is heard with each."""
        of = rng.choice(len(self._shares), n, p=self._shares)
        parts: list[Lesson] = []
        for k in np.unique(of):
            count, first = int((of == k).sum()), len(self._pairings)
            if k < first:
                pairing = self._pairings[k]
                kinds = pairing.draw(rng, count)[:, 0]
                rows, sounds = torch.from_numpy(pairing.look(rng, kinds)), pairing.hear(rng, kinds)
                at = torch.from_numpy(sounds * self._run.crops + rng.integers(self._run.crops, size=count))
                kept, numbers = self._heard, torch.full((count, self.behind), torch.nan)
            else:
                rows = at = torch.from_numpy(rng.integers(len(self._pixels[k]), size=count))
                kept, numbers = self._with[k - first], self._numbers[k - first][rows]
            pictures = views(self._pixels[k][rows], g, self._run.codec.side, self._posed[k][rows])
            parts.append(Lesson(pictures, kept[at], self._looks[k][rows].float(), numbers))
        return Lesson(
            torch.cat([part.pictures for part in parts]),
            joined([part.heard for part in parts]),
            torch.cat([part.looks for part in parts]),
            torch.cat([part.numbers for part in parts]),
        )


def _looks(pixels: Sequence[torch.Tensor], locator: Locator, path: Path | None) -> list[torch.Tensor]:
    """How eyes see pictures on the whole: the mean over patches, in spreads. Of photos and of each world."""
    if path is None or not path.is_file():
        tower, seen = locator.eyes.tower.eval(), []
        for number, some in enumerate(pixels):
            parts = track(some.split(AT_ONCE), f"looking at pictures {number + 1}/{len(pixels)}")
            with torch.inference_mode():
                seen.append(torch.cat([tower(p.permute(0, 3, 1, 2) / 255)[0].mean((1, 2)) for p in parts]))
        every = torch.cat(seen)
        middle, spread = every.mean(0), every.std(0).clamp_min(1e-6)
        kept = {f"{number:02d}": ((some - middle) / spread).half() for number, some in enumerate(seen)}
        if path is None:
            return list(kept.values())
        _keep(path, kept)
    found = load_file(path)
    return [found[name] for name in sorted(found)]


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
        _keep(path, kept.tensors())
    return Heard(**load_file(path))


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
    teach_to_listen(model, pairs, out, run)
    teach_to_sketch(model, pairs, out, run)
    teach_to_draw(model, pairs, out, run)
    return model.save(out / "final")


def begun(pairs: Pairs, locator: Locator, reference: str, run: SeeRun) -> Seeing:
    """A model that has learned nothing but the axes of pictures."""
    torch.manual_seed(run.seed)
    sizes = {"width": run.width, "layers": run.layers, "heads": run.heads, "patch": run.patch}
    notion = locator.eyes.dense.width + pairs.behind
    model = Seeing.new(locator, reference, notion, run.codec, seconds=run.seconds, **sizes)
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


def teach_to_listen(model: Seeing, pairs: Pairs, out: Path, run: SeeRun) -> None:
    """The bridge learns to tell from a sound what there is to see: a notion of it, as far as a sound says it."""
    bridge, eyes = model.picturing, model.locator.eyes.dense.width
    bridge.requires_grad_(False)
    bridge.ear.requires_grad_(True)
    bridge.tell.requires_grad_(True)

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        lesson = pairs.draw(np.random.default_rng([run.seed, 55, step]), g, 2 * run.batch)
        gaps = (lesson.heard.listened(bridge) - lesson.notion).square()
        looks, numbers, known = gaps[:, :eyes], gaps[:, eyes:], lesson.numbers.isfinite()
        return {
            "looks": looks.mean(),
            "numbers": numbers[known].sum() / max(int(known.sum()), 1),
            # A bird is not dense: numbers that other things have are none.
            "none": numbers[~known].sum() / max(int((~known).sum()), 1),
        }

    fit(bridge, loss, LoopConfig(run.ear_steps, 1e-3, ema=0.995, seed=run.seed, weight_decay=0.05), out / "ear")


def teach_to_sketch(model: Seeing, pairs: Pairs, out: Path, run: SeeRun) -> None:
    """The bridge learns what a notion looks like on average."""
    bridge, weight = model.picturing, evened(model, pairs.posed())
    bridge.requires_grad_(False)
    bridge.sketch.requires_grad_(True)

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([run.seed, 56, step])
        notion, latents = _half_true(model, pairs.draw(rng, g, 3 * run.batch), g)
        return bridge.sketch_loss(notion, latents, weight, g)

    fit(bridge, loss, LoopConfig(run.sketch_steps, 1.5e-3, ema=0.99, seed=run.seed), out / "sketch")
    fit_doubt(model, pairs, run)


def fit_doubt(model: Seeing, pairs: Pairs, run: SeeRun) -> None:
    """The bridge learns how wrong its sketches are."""
    g = torch.Generator().manual_seed(run.seed)
    lesson = pairs.draw(np.random.default_rng([run.seed, 59]), g, FITTED)
    model.eval()
    with torch.no_grad():
        latents, heard = model.codec.encode(lesson.pictures), lesson.heard.listened(model.picturing)
    model.picturing.fit_doubt(heard, latents)


@torch.no_grad()
def evened(model: Seeing, pictures: Float[torch.Tensor, "n 3 side side"]) -> Float[torch.Tensor, " latent"]:
    """Weights, 1 on the mean, that make all axes of the codec count alike in pictures of one pose.

    Colour, which tells birds apart, has a tenth of the variance that light and dark have.
    """
    latents = model.picturing.scale(model.codec.encode(pictures))
    weight = 1 / (latents - latents.mean(0)).square().mean((0, 1, 2)).clamp_min(1e-6)
    return weight / weight.mean()


def teach_to_draw(model: Seeing, pairs: Pairs, out: Path, run: SeeRun) -> None:
    """The bridge learns to draw pictures from notions, over their sketches."""
    bridge = model.picturing
    bridge.requires_grad_(False)
    bridge.flow.requires_grad_(True)

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        bridge.sketch.eval()
        lesson = pairs.draw(np.random.default_rng([run.seed, 52, step]), g, run.batch)
        return bridge.loss(*_half_true(model, lesson, g), g)

    fit(bridge, loss, LoopConfig(run.see_steps, 1e-3, ema=0.999, seed=run.seed), out / "see")


def _half_true(
    model: Seeing, lesson: Lesson, g: torch.Generator
) -> tuple[Float[torch.Tensor, "n notion"], Float[torch.Tensor, "n rows columns latent"]]:
    """Notions to draw from, and latents of the pictures.

    How eyes see a picture is told in part by the picture, in part by its sound, so that what a sound leaves open is
    left open; numbers are the true ones, so that what is told is drawn.
    """
    eyes = model.locator.eyes.dense.width
    model.picturing.ear.eval()
    with torch.no_grad():
        latents, heard = model.codec.encode(lesson.pictures), lesson.heard.listened(model.picturing)
    looks = torch.lerp(heard[:, :eyes], lesson.looks, torch.rand(len(heard), 1, generator=g))
    return torch.cat([looks, lesson.notion[:, eyes:]], 1), latents
