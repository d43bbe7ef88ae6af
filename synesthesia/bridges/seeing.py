"""Seeing a sound: the part of it that says most → a picture, or what is missing of one.

`Seeing` is `picturing` with what it stands on: a locator, whose ears hear the sound and whose grounding brings it into
the space that it shares with what eyes see, and a picture codec. What leads from pictures to sounds in `hear` and
`locate` leads back here; nothing on the way reads or writes a word.

A sound is led to the loudness at which the ears learned, so that how loud a recording is does not matter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import hub, media
from ..codecs.pictures import STRIDE, PictureCodec, PictureConfig
from ..encoders.audio import RATE, log_mel
from ..encoders.vision import to_square
from ..senses import Image, InputError, Region, Sound
from .grounding import LONGEST_S, SILENT, Locator
from .hearing import ELSEWHERE, LOUDNESS_DB
from .picturing import Known, Picturing, PicturingConfig

if TYPE_CHECKING:
    from typing import Any

    from jaxtyping import Float, UInt8

REST_DB = 60.0  # frames so far below the loudest do not count for a sound's level
LOUDNESS = 0.3  # exponent of power: how loud a frame is to an ear (Stevens 1957)
AT_ONCE = 8  # pictures


@dataclass(frozen=True)
class SeeingConfig:
    """`locator`: a name, a folder or hf:user/repo@commit. `steps`, `guidance`: see `Picturing.draw`.

    What is told of a sound lies nearer to the mean than what is true, as regression does; without `emphasis` of the
    numbers of worlds all birds would look alike. Of a sound `seconds` are heard, as long as those that it learned from.
    """

    locator: str
    picturing: PicturingConfig
    codec: PictureConfig = field(default_factory=PictureConfig)
    steps: int = 12
    guidance: float = 2.0
    emphasis: float = 2.0
    seconds: float = 4.0

    def __post_init__(self) -> None:
        if not (0.1 <= self.seconds <= 60 and 1 <= self.steps <= 1000):
            raise InputError("Seconds go from 0.1 to 60, steps from 1 to 1000.")
        if not (0 <= self.guidance <= 100 and 0 <= self.emphasis <= 100):
            raise InputError("Guidance and emphasis go from 0 to 100.")


@dataclass(frozen=True, eq=False)
class Attended:
    """What leads a picture: `tokens`, one or a few, from `seconds` of the sound that begin at `start`."""

    tokens: Float[torch.Tensor, "count width"]
    start: float
    seconds: float


class Drawer(ABC):
    """What draws pictures to sounds: how it finds the part of a sound that says most, and fills in photos.

    `seconds` of a sound are heard, in `frame_rate` frames a second; pictures have `side` pixels and a grid of latents
    of `stride` pixels each.
    """

    seconds: float
    frame_rate: float
    side: int
    stride: int

    # --- listening ---

    @abstractmethod
    def attend(self, sound: Sound) -> Attended:
        """Listen to the part of a sound of any length that says most, and find what leads a picture.

        Raises InputError for a sound that is silent.
        """

    @abstractmethod
    def _weight(self, sound: Sound) -> Float[np.ndarray, " frames"]:
        """How much it listens to each frame of a sound."""

    def part(self, sound: Sound) -> tuple[Sound, float, float]:
        """The part of a sound that says most, at the loudness at which the ears learned; its start and its seconds."""
        start, seconds = self.salient(sound)
        first = round(start * sound.rate)
        part = Sound(sound.mono[None, first : first + max(1, round(seconds * sound.rate))], sound.rate)
        return _levelled(part), start, seconds

    def salient(self, sound: Sound) -> tuple[float, float]:
        """Where the part begins that says most, and how long it is, in seconds.

        Of a frame it counts how much the model listens to it (`_weight`) times how loud it is: pauses and what might be
        anything count little. Raises InputError for a sound that is silent.
        """
        wave = sound.mono
        if np.abs(wave).max(initial=0.0) < SILENT:
            raise InputError("The sound is silent (or its channels cancel out); there is nothing to see in it.")
        if sound.seconds <= self.seconds:
            return 0.0, sound.seconds
        counts = []
        step = int(LONGEST_S / 4 * sound.rate)
        for first in range(0, len(wave), step):
            piece = Sound(wave[None, first : first + step], sound.rate)
            if np.abs(piece.samples).max() < SILENT:
                counts.append(np.zeros(max(1, round(piece.seconds * self.frame_rate))))
                continue
            weight = self._weight(_levelled(piece))
            power = np.array([np.mean(np.square(p)) for p in np.array_split(piece.samples[0], len(weight))])
            counts.append(weight * np.nan_to_num(power) ** LOUDNESS)
        count = np.concatenate(counts)
        window = min(len(count), round(self.seconds * self.frame_rate))
        sums = np.cumsum([0.0, *count])
        sums = sums[window:] - sums[:-window]
        # Among parts that say as much (up to rounding), the first.
        best = int(np.argmax(sums >= sums.max() * (1 - 1e-9)))
        start = min(best * sound.seconds / len(count), sound.seconds - self.seconds)
        return start, self.seconds

    # --- drawing ---

    def pictures(self, attended: Attended, seeds: Sequence[int]) -> list[Image]:
        """A picture for each seed."""
        return [Image(_bytes(x)) for x in self._all_drawn(attended, seeds, None)]

    def fill(self, attended: Attended, photo: Image, where: Region, seeds: Sequence[int]) -> list[Image]:
        """The photo for each seed, with what `where` marks drawn to fit the sound and the rest; all else stays.

        What is drawn has the detail of the codec, brought to the photo's size. What the mask covers is not looked at.
        """
        side, grid = self.side, self.side // self.stride
        hidden = torch.from_numpy(where.on(side, side) > 0)
        x = to_square([photo], side)[0]
        seen = x[:, ~hidden]
        x = torch.where(hidden, (seen.mean(1) if seen.numel() else x.new_full((3,), 0.5))[:, None, None], x)
        # Latents look a little around; those beside the hidden part are drawn anew as well.
        draw = F.max_pool2d(hidden.float()[None], self.stride)
        draw = F.max_pool2d(draw, 3, 1, 1)[0] > 0
        with torch.inference_mode():
            latents = self._encoded(x[None])
        known = Known(latents.expand(len(seeds), -1, -1, -1), draw.view(1, grid, grid).expand(len(seeds), -1, -1))
        share = _share(where, photo)
        kept = np.asarray(photo.pixels)
        filled = []
        for pixels in self._all_drawn(attended, seeds, known):
            large = _resized(_bytes(pixels), photo.width, photo.height)
            mixed = np.round(share * large + (1 - share) * kept).astype(np.uint8)
            filled.append(Image(np.where(share > 0, mixed, kept)))
        return filled

    def _all_drawn(self, attended: Attended, seeds: Sequence[int], known: Known | None) -> torch.Tensor:
        pictures = []
        for first in range(0, len(seeds), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            part = None if known is None else Known(known.latents[some], known.draw[some])
            pictures.append(self._drawn(attended, seeds[some], part))
        return torch.cat(pictures)

    @abstractmethod
    def _encoded(self, pictures: Float[torch.Tensor, "n 3 side side"]) -> Float[torch.Tensor, "n rows columns latent"]:
        """Latents of pictures."""

    @abstractmethod
    def _drawn(
        self, attended: Attended, seeds: Sequence[int], known: Known | None
    ) -> Float[torch.Tensor, "n 3 side side"]:
        """A picture in [0, 1] for each of a few seeds."""


class Seeing(nn.Module, Drawer):
    """`see/tiny` and its kin."""

    def __init__(self, config: SeeingConfig, locator: Locator) -> None:
        super().__init__()
        self.config = config
        self.locator = locator.requires_grad_(False)
        self.codec = PictureCodec(config.codec)
        self.picturing = Picturing(config.picturing)
        self.seconds, self.frame_rate = config.seconds, locator.ears.frame_rate
        self.side, self.stride = config.codec.side, STRIDE
        c, wanted = config.picturing, (locator.grounding.shared, locator.ears.dense, self.codec.space)
        if (c.source, c.ears, c.target) != wanted or c.grid != config.codec.grid:
            raise InputError(
                f"The bridge reads {c.source.name} and {c.ears.name} and writes {c.target.name}; its locator hears in "
                f"{wanted[0].name} and {wanted[1].name}, and its codec reads {wanted[2].name}."
            )

    @classmethod
    def new(
        cls,
        locator: Locator,
        reference: str,
        notion: int,
        codec: PictureConfig | None = None,
        seconds: float = 4.0,
        **sizes: int,
    ) -> Seeing:
        """An untrained model on a locator that is found at `reference`; its bridge has such `notion` and `sizes`."""
        codec = codec or PictureConfig()
        spaces = (locator.grounding.shared, locator.ears.dense, codec.space)
        told: dict[str, Any] = dict(sizes)
        bridge = PicturingConfig(*spaces, notion=notion, grid=codec.grid, **told)
        return cls(SeeingConfig(reference, bridge, codec, seconds=seconds), locator)

    # --- checkpoints ---

    @classmethod
    def load(cls, reference: str | Path, *, yes: bool = False) -> Seeing:
        """A checkpoint (see `hub.load_model`) with the locator that it names, ready to use."""
        config, tensors = hub.load_model(reference, yes=yes)
        try:
            told = dict(config["model"])
            bridge = PicturingConfig.from_dict(told.pop("picturing"))
            codec = told.pop("codec")
            sizes = PictureConfig(**(codec | {"widths": tuple(codec["widths"])}))
            locator = Locator.load(told["locator"], yes=yes)
            model = cls(SeeingConfig(picturing=bridge, codec=sizes, **told), locator)
            hub.fill(model, tensors, reference, ELSEWHERE)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{reference} is not a seeing model: {str(error).splitlines()[0]}") from error
        return model.eval()

    def save(self, folder: str | Path, card: hub.Card | None = None) -> Path:
        """Write a checkpoint folder in half precision; the locator stays where it is."""
        return hub.save_model(folder, {"model": asdict(self.config)}, hub.halved(self, ELSEWHERE), card)

    # --- listening ---

    @torch.inference_mode()
    def attend(self, sound: Sound) -> Attended:
        """Listen to the part of a sound of any length that says most, and find what leads a picture.

        Raises InputError for a sound that is silent.
        """
        part, start, seconds = self.part(sound)
        (frames,) = self.locator.ears.listen([part])
        shared = self.locator.understand(frames).frames
        again = np.resize(media.resample(part, RATE).mono, round(self.config.seconds * RATE))
        notion = self.picturing.listen(
            torch.from_numpy(shared.require(self.picturing.source))[None],
            torch.from_numpy(np.asarray(frames.dense.require(self.config.picturing.ears), np.float32))[None],
            torch.tensor([len(shared.values)]),
            log_mel(torch.from_numpy(again)[None]),
        )
        return Attended(notion, start, seconds)

    def _weight(self, sound: Sound) -> Float[np.ndarray, " frames"]:
        """How much the grounding listens to each frame, more than to the others around it."""
        (heard,) = self.locator.hear([sound])
        return heard.weight * len(heard.weight)

    # --- drawing ---

    def _encoded(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.codec.encode(pictures)

    @torch.inference_mode()
    def _drawn(self, attended: Attended, seeds: Sequence[int], known: Known | None) -> torch.Tensor:
        c = self.config
        notion = attended.tokens.expand(len(seeds), -1)
        emphasis = torch.ones(notion.shape[1], device=notion.device)
        emphasis[self.locator.eyes.dense.width :] = c.emphasis  # looks come first
        return self.codec.decode(
            self.picturing.draw(notion, seeds, steps=c.steps, guidance=c.guidance, emphasis=emphasis, known=known)
        )


def _levelled(sound: Sound) -> Sound:
    """The sound at the loudness at which the ears learned; silence stays as it is."""
    frames = np.array_split(sound.mono, max(1, round(sound.seconds * 100)))
    power = np.array([np.mean(np.square(frame, dtype=np.float64)) for frame in frames if len(frame)])
    if power.max(initial=0.0) == 0:
        return sound
    power = power[power >= power.max() * 10 ** (-REST_DB / 10)]
    return Sound(sound.samples * np.float32(10 ** (LOUDNESS_DB / 20) / np.sqrt(power.mean())), sound.rate)


def _bytes(pixels: torch.Tensor) -> UInt8[np.ndarray, "h w 3"]:
    return (pixels * 255).round().byte().permute(1, 2, 0).numpy()


def _resized(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    from PIL import Image as Pil

    return np.asarray(Pil.fromarray(pixels).resize((width, height), Pil.Resampling.BICUBIC))


def _share(where: Region, photo: Image) -> Float[np.ndarray, "h w 1"]:
    """How much of each pixel is drawn: the mask at the photo's size, its edges as hard as they are."""
    mask = where.mask
    if mask.shape != (photo.height, photo.width):
        from PIL import Image as Pil

        size = (photo.width, photo.height)
        mask = np.asarray(Pil.fromarray(np.asarray(mask)).resize(size, Pil.Resampling.BOX)).clip(0, 1)
    return mask[..., None]
