"""A closer look: at what sings, and a notion of its song → notes; at what rushes, and its texture → noise.

    place in a picture, cut out and looked at again ─ eyes ─┬─▶ notion ─ singer ─▶ notes ─ `codecs.notes` ─▶ sound
    the whole picture at a glance, the place marked ────────┴─▶ texture ─ `codecs.textures` ─▶ sound

What a patch of the whole picture keeps of a bird does not tell it from another, nor a blaze from a small fire: so what
is asked about is looked at again, larger, by eyes that were taught with pictures and sounds that belong together. They
tell how the notes of its song are on the whole, which is its *notion*, a vector and no word, and how its noise is on
the whole, its *texture*. How much of the sound is notes at all (`clear`) and how much `noise` is told from that and
from what the eyes say that see the whole picture. What is neither is left to the mapper.

Given the notion of a song, who sings says which note comes next, as a mixture of Gaussians (Bishop 1994; Graves 2013,
arXiv 1308.0850) over a recurrent memory. It learns when the eyes have learned, mostly from what these tell of a song.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..codecs import notes, textures
from ..encoders.vision import Eyes, EyesConfig
from ..senses import Image, InputError, Point, Region
from .outlining import Belonging, redrawn

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from PIL.Image import Image as Picture

NOTE = len(notes.NAMES)
QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)  # the longest time from note to note is the pause between phrases
# Of each number of a note its quantiles, its mean, and how much it changes from note to note.
NOTION = (len(QUANTILES) + 2) * NOTE
FEWEST = 3  # notes that make a song
MARGIN = 1.25  # side of what is cut out, in units of what is asked about
MARGINS = (1.05, 1.15, 1.3, 1.45)  # with which one place is looked at: what is told of all is nearer to the truth
PLACE = 5  # numbers of where it is
WHOLE = 64  # pixels to a side of a glance at the whole picture
REHEARSED = 32  # notes that are sung unheard
SEEN = 0.3  # of a mask's maximum; what has less is not part of what is cut out
_FIRST = 0.05, 0.3  # seconds, in which a song begins
_PITCH = notes.NAMES.index("pitch")
_STRETCH = 8.0  # of the pitches of a song, at most, and as much narrower
_SHARPEST = 0.03  # deviations; the least width of a Gaussian


@dataclass(frozen=True)
class SingingConfig:
    """`eyes` look at squares of `eyes.size` pixels; `patches` is the width of those that see the whole picture, `fine`
    of what they see on the way (`outlining.Sight`), `outline` of what tells from these what belongs to a point.
    `memory`: of the singer; `mixture`: Gaussians for each note.

    `calm` narrows each Gaussian and prefers likely ones (1: as learned). `emphasis` moves a notion away from the mean
    of all songs: what is told of a song is nearer to the mean than what is true. `contrast` does the same for textures,
    all but their level.
    What is less `clear` is not sung, and what is less `noisy` not woven.
    """

    eyes: EyesConfig = field(default_factory=lambda: EyesConfig(192, blocks=(1, 1, 2, 1)))
    patches: int = 480
    fine: tuple[int, ...] = ()
    outline: int = 80
    width: int = 256
    memory: int = 256
    mixture: int = 6
    dropout: float = 0.2
    calm: float = 0.15
    emphasis: float = 1.3
    contrast: float = 2.2
    clear: float = 0.6
    noisy: float = 0.7

    def __post_init__(self) -> None:
        sizes = (self.patches, *self.fine, self.outline >> len(self.fine), self.width, self.memory, self.mixture)
        if not all(isinstance(size, int) and 1 <= size <= 4096 for size in sizes) or not 0 <= self.dropout < 1:
            raise InputError(
                f"The sizes of a singer are whole numbers from 1 to 4096, its dropout below 1; not {self}."
            )
        strong, shares = (self.emphasis, self.contrast), (self.clear, self.noisy)
        if not (0 <= self.calm <= 2 and all(0 < x <= 10 for x in strong) and all(0 <= x <= 1 for x in shares)):
            raise InputError(
                f"A singer's calm lies in [0, 2], its emphasis and contrast in (0, 10], what it takes for clear and "
                f"for noisy in [0, 1]; not {self}."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SingingConfig:
        """What `dataclasses.asdict` gave, perhaps by way of JSON. Raises InputError for anything else."""
        try:
            told = dict(values)
            eyes: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.pop("eyes").items()}
            return cls(eyes=EyesConfig(**eyes), fine=tuple(told.pop("fine")), **told)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"This is no configuration of a singer: {error}") from error


class Told(NamedTuple):
    """Of each of n places: the `notion` of its song (n, NOTION), standardised; how much of its sound is `clear` (n, 1)
    and how much is `noise` (n, 1), logits; the `texture` of its noise (n, textures.WIDTH), standardised."""

    notion: torch.Tensor
    clear: torch.Tensor
    noise: torch.Tensor
    texture: torch.Tensor


def notion_of(song: Float[np.ndarray, "n names"]) -> Float[np.ndarray, " notion"]:
    """How the notes of a song are on the whole; InputError for fewer than `FEWEST`."""
    if len(song) < FEWEST:
        raise InputError(f"A song has {FEWEST} notes at least; this has {len(song)}.")
    x = np.asarray(song, np.float64)
    # The first note's time since the one before is unknown.
    timed = np.concatenate([x[1:2], x[1:]])
    x = np.concatenate([timed[:, :1], x[:, 1:]], 1)
    parts = [*np.quantile(x, QUANTILES, axis=0), x.mean(0), np.abs(np.diff(x, axis=0)).mean(0)]
    return np.concatenate(parts).astype(np.float32)


class Cut(NamedTuple):
    """What is asked about, cut out: `pixels` (3, size, size); what of it is meant, `share` (size/4, size/4), in [0, 1];
    its `place` (PLACE) in the whole picture; and that picture itself, small and with what is meant as the fourth
    channel, `whole` (4, WHOLE, WHOLE)."""

    pixels: torch.Tensor
    share: torch.Tensor
    place: torch.Tensor
    whole: torch.Tensor


def closer(image: Image, region: Region, size: int, margin: float = MARGIN) -> Cut:
    """What is asked about, cut out square with a margin and brought to one size.

    What a cut no longer tells is how large a thing stands in the picture and how low, by which eyes know how far it is:
    its `place` is 1 (it is known), log₂ of its width and of its height as shares of the picture's, less −2, and where
    its top and its bottom are, from −1 to 1. How low it stands means something only beside the horizon, which is not in
    the cut either: so the whole picture is kept as well, stretched to a small square.
    """
    from PIL import Image as Pil

    mask = np.asarray(region.mask, np.float32)
    y, x = (np.flatnonzero((mask > SEEN * mask.max()).any(axis)) for axis in (1, 0))
    tall, wide = image.height / mask.shape[0], image.width / mask.shape[1]
    edges = x[0] * wide, y[0] * tall, (x[-1] + 1) * wide, (y[-1] + 1) * tall
    side = min(max(edges[2] - edges[0], edges[3] - edges[1]) * margin, image.width, image.height)
    left, top = (
        min(max((edges[k] + edges[k + 2] - side) / 2, 0.0), whole - side)
        for k, whole in ((0, image.width), (1, image.height))
    )
    box = (left, top, left + side, top + side)
    picture, outline = Pil.fromarray(np.asarray(image.pixels)), Pil.fromarray(mask / mask.max())
    pixels = _planes(picture.resize((size, size), Pil.Resampling.BICUBIC, box, reducing_gap=3.0))
    within = (left / wide, top / tall, (left + side) / wide, (top + side) / tall)
    cells = size // 4
    share = outline.resize((cells, cells), Pil.Resampling.BILINEAR, within)
    across, down = (x[-1] + 1 - x[0]) / mask.shape[1], (y[-1] + 1 - y[0]) / mask.shape[0]
    first, last = y[0] / mask.shape[0], (y[-1] + 1) / mask.shape[0]
    place = torch.tensor(
        [1, math.log2(across) + 2, math.log2(down) + 2, 2 * first - 1, 2 * last - 1], dtype=torch.float32
    )
    seen, meant = (
        part.resize((WHOLE, WHOLE), Pil.Resampling.BILINEAR, reducing_gap=3.0) for part in (picture, outline)
    )
    whole = torch.cat([_planes(seen), torch.from_numpy(np.asarray(meant).copy())[None].clamp(0, 1)])
    return Cut(pixels, torch.from_numpy(np.asarray(share).copy()).clamp(0, 1), place, whole)


def _planes(picture: Picture) -> Float[torch.Tensor, "3 h w"]:
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255


def _with(point: Point, region: Region) -> Region:
    """A region to which the point itself belongs as much as anything."""
    mask = np.array(region.mask)
    row, column = (min(int(v * n), n - 1) for v, n in zip((point.y, point.x), mask.shape, strict=True))
    mask[row, column] = mask.max()
    return Region(mask)


def pooled(dense: Float[torch.Tensor, "rows columns patches"], region: Region) -> Float[torch.Tensor, " twice_patches"]:
    """What the patches of a whole picture say of a part of it and of all of it: their means."""
    share = torch.from_numpy(region.on(*dense.shape[:2])).to(dense)[..., None]
    return torch.cat([(dense * share).sum((0, 1)) / share.sum().clamp_min(1e-6), dense.mean((0, 1))])


class Overview(nn.Module):
    """A glance at the whole picture with what is meant of it: above all where the horizon is, and how far a thing
    stands below it. Rows are kept apart to the end, columns are not."""

    CHANNELS = (16, 32, 32)

    def __init__(self, width: int) -> None:
        super().__init__()
        a, b, c = self.CHANNELS
        self.layers = nn.Sequential(
            nn.Conv2d(4, a, 5, 2, 2, bias=False), nn.BatchNorm2d(a), nn.ReLU(inplace=True),
            nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True),
            nn.Conv2d(b, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.rows = nn.Linear(c * WHOLE // 4, width)

    def forward(self, whole: Float[torch.Tensor, "n 4 side side"]) -> Float[torch.Tensor, "n width"]:
        return F.gelu(self.rows(self.layers(2 * whole - 1).mean(3).flatten(1)))


class Singing(nn.Module):
    """Eyes that tell a notion and a texture, and a singer. Notes, notions and textures are standardised inside."""

    middle: torch.Tensor
    spread: torch.Tensor
    usual: torch.Tensor
    varied: torch.Tensor
    plain: torch.Tensor
    various: torch.Tensor

    def __init__(self, config: SingingConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or SingingConfig()
        self.outline = Belonging(c.patches, c.fine, c.outline)
        self.eyes = Eyes(c.eyes)
        seen = sum(c.eyes.widths[1:])
        self.tell = nn.Sequential(
            nn.LayerNorm(2 * seen), nn.Dropout(c.dropout), nn.Linear(2 * seen, 2 * c.width), nn.GELU(),
            nn.Dropout(c.dropout),
        )  # fmt: skip
        self.overview = Overview(c.width // 4)
        self.where = nn.Sequential(
            nn.Linear(PLACE + c.width // 4, c.width), nn.GELU(), nn.Linear(c.width, c.width), nn.GELU(),
        )  # fmt: skip
        self.both = nn.Linear(3 * c.width, 2 * c.width)
        self.answer = nn.Linear(2 * c.width, NOTION)
        self.weave = nn.Linear(2 * c.width, textures.WIDTH)
        both = 2 * c.width + 2 * c.patches
        self.sort = nn.Sequential(
            nn.LayerNorm(both), nn.Dropout(c.dropout), nn.Linear(both, c.width // 2), nn.GELU(),
            nn.Dropout(c.dropout), nn.Linear(c.width // 2, 2),
        )  # fmt: skip
        self.enter = nn.Sequential(nn.Linear(NOTION, c.width), nn.GELU(), nn.Linear(c.width, c.width))
        self.memory = nn.GRU(NOTE + c.width, c.memory, batch_first=True)
        self.say = nn.Linear(c.memory + c.width, c.mixture * (1 + 2 * NOTE))
        for name, size in (("middle", NOTE), ("usual", NOTION), ("plain", textures.WIDTH)):
            self.register_buffer(name, torch.zeros(size))
        for name, size in (("spread", NOTE), ("varied", NOTION), ("various", textures.WIDTH)):
            self.register_buffer(name, torch.ones(size))

    # --- looking ---

    def around(
        self,
        dense: Float[torch.Tensor, "rows columns patches"],
        fine: Sequence[Float[torch.Tensor, "1 _ _ _"]],
        point: Point,
        image: Image,
    ) -> Region:
        """What belongs to a point, as far as what is seen of the whole picture (as in `outlining.Sight`) tells, drawn
        along its colours."""
        said = self.outline(dense[None], fine, dense.new_tensor([[point.x, point.y]]))[0].sigmoid().cpu().numpy()
        return _with(point, redrawn(image, _with(point, Region(np.clip(said, 0.0, 1.0)))))

    def look(self, cuts: Sequence[Cut], around: Float[torch.Tensor, " twice_patches"]) -> Told:
        """What is told of one place that was cut out once or more often (`closer`), with what the patches of its
        picture say (`pooled`): the mean over all cuts and their mirrors.
        """
        pixels, masks, place, whole = (torch.stack(parts) for parts in zip(*cuts, strict=True))
        pixels, masks, whole = (torch.cat([x, x.flip(-1)]) for x in (pixels, masks, whole))
        seen = self.seen(pixels, masks, torch.cat([place, place]), whole)
        told = self.told(seen, around.expand(len(seen), -1))
        return Told(*(part.mean(0, keepdim=True) for part in told))

    def told(self, seen: Float[torch.Tensor, "n twice_width"], around: Float[torch.Tensor, "n twice_patches"]) -> Told:
        """What is told of what was `seen`, and of what is `around` it."""
        clear, noise = self.sort(torch.cat([seen, around], 1)).split(1, 1)
        return Told(self.answer(seen), clear, noise, self.weave(seen))

    def texture(self, told: Float[torch.Tensor, " width"]) -> Float[np.ndarray, " width"]:
        """A texture that was told, in the units of `codecs.textures`; its level as far from the mean as it was told."""
        away = self.config.contrast * told
        away[textures.LEVEL] = told[textures.LEVEL]
        return (away * self.various + self.plain).cpu().double().numpy()

    def seen(
        self,
        pixels: Float[torch.Tensor, "n 3 size size"],
        masks: Float[torch.Tensor, "n cells cells"],
        place: Float[torch.Tensor, "n place"],
        whole: Float[torch.Tensor, "n 4 glance glance"],
    ) -> Float[torch.Tensor, "n twice_width"]:
        """What it is told from: of all that lies in the mask, mean and maximum; and where in the whole it is. A place
        of zeros is unknown, and so is the whole then."""
        pooled = []
        for dense in self.eyes(pixels):
            share = F.adaptive_avg_pool2d(masks[:, None], dense.shape[2:]) + 1e-3
            pooled.append((dense * share).sum((2, 3)) / share.sum((2, 3)))
            pooled.append((dense * share / share.amax((2, 3), keepdim=True)).amax((2, 3)))
        look = self.tell(torch.cat(pooled, 1))
        where = self.where(torch.cat([place, place[:, :1] * self.overview(whole)], 1))
        return look + F.gelu(self.both(torch.cat([look, where], 1)))

    # --- singing ---

    def standard(self, song: Float[torch.Tensor, "*n names"]) -> Float[torch.Tensor, "*n names"]:
        """Notes in units of their spread over all songs."""
        return (song - self.middle) / self.spread

    def loss(
        self,
        song: Float[torch.Tensor, "n most names"],
        count: Int[torch.Tensor, " n"],
        notion: Float[torch.Tensor, "n notion"],
    ) -> torch.Tensor:
        """What it takes to say the next note, in nats for each of its numbers, a mean over notes; all standardised.

        When a song begins says nothing about it and is not learned.
        """
        known = torch.ones_like(song)
        known[:, 0, 0] = 0.0
        before = torch.cat([torch.zeros_like(song[:, :1]), (known * song)[:, :-1]], 1)
        led = self.enter(notion)[:, None].expand(-1, song.shape[1], -1)
        x, _ = self.memory(torch.cat([before, led], -1))
        likely, middle, width = self._mixed(self.say(torch.cat([x, led], -1)))
        each = -0.5 * ((song[:, :, None] - middle) / width).square() - width.log() - 0.5 * math.log(2 * math.pi)
        whole = (likely.log_softmax(-1) + (each * known[:, :, None]).sum(-1)).logsumexp(-1)
        there = torch.arange(song.shape[1], device=song.device) < count[:, None]
        return -(whole * there).sum() / there.sum() / NOTE

    def _mixed(self, said: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        k = self.config.mixture
        likely, rest = said.split([k, 2 * k * NOTE], -1)
        middle, width = rest.unflatten(-1, (k, 2 * NOTE)).chunk(2, -1)
        return likely, middle, F.softplus(width) + _SHARPEST

    def sing(
        self,
        notion: Float[torch.Tensor, " notion"],
        seed: int,
        given: Float[np.ndarray, "n names"] | None = None,
    ) -> Iterator[Float[np.ndarray, " names"]]:
        """Notes for ever, in the units of `codecs.notes`; after those of a `given` song, as if they were its own.

        Who sings calmly varies pitch less from note to note than songs do, the less the less likely a notion is. So the
        first `REHEARSED` notes are sung unheard, and then pitches lie where the notion has them: the median at its
        median, the others as far from it as its quantiles say. What goes on from a given song keeps to that.
        """
        if given is not None:
            yield from self._sung(notion, seed, given)
            return
        unheard = np.stack([*islice(self._sung(notion, seed), REHEARSED)])[:, _PITCH]
        low, middle, high = np.quantile(unheard, QUANTILES[1:-1])
        told = (self.config.emphasis * notion * self.varied + self.usual).view(-1, NOTE)[: len(QUANTILES), _PITCH]
        lowest, own, highest = told[1:-1].tolist()
        stretch = min(max((highest - lowest) / max(high - low, 1e-3), 1 / _STRETCH), _STRETCH)
        for note in self._sung(notion, seed):
            note[_PITCH] = own + stretch * (note[_PITCH] - middle)
            yield np.clip(note, notes.LOWEST, notes.HIGHEST)

    def _sung(
        self, notion: Float[torch.Tensor, " notion"], seed: int, given: Float[np.ndarray, "n names"] | None = None
    ) -> Iterator[Float[np.ndarray, " names"]]:
        """Notes as they come, one after another."""
        c = self.config
        rng = np.random.Generator(np.random.Philox(key=np.array([seed % 2**64, 2**61], np.uint64)))
        with torch.inference_mode():
            led = self.enter(c.emphasis * notion[None])
            last, memory = torch.zeros(1, NOTE, device=led.device), None
            past = iter(() if given is None else self.standard(torch.from_numpy(given).to(led)))
        first = True
        while True:
            with torch.inference_mode():
                x, memory = self.memory(torch.cat([last, led], -1)[:, None], memory)
                before = next(past, None)
                own = before is None
                if own:
                    likely, middle, width = self._mixed(self.say(torch.cat([x[:, 0], led], -1)))
                    shares = (likely[0].double() / max(c.calm, 1e-3)).softmax(-1).cpu().numpy()
                    which = min(int(np.searchsorted(shares.cumsum(), rng.random())), c.mixture - 1)
                    drawn = torch.from_numpy(rng.standard_normal(NOTE)).to(middle)
                    last = (middle[0, which] + c.calm * width[0, which] * drawn)[None]
                else:
                    last = before[None]
                note = (last[0] * self.spread + self.middle).cpu().numpy()
                if first:
                    last[0, 0] = 0.0
                    note[0] = math.log2(rng.uniform(*_FIRST))
                first = False
            if own:
                yield np.clip(note, notes.LOWEST, notes.HIGHEST)
