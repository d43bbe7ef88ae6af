"""Direct sensory mapping: patches of a picture and a region of it → latents of a voice, of any length.

    eyes' patches ─┐
    point or mask ─┴─ look ─▶ condition: the region, the whole picture, size and place ─ head ─▶ blocks of latents

Looking. In training the region is a soft attention that grows from a point; a mask, where one is given, takes the
attention's place. (Masks as input of training are worse, and more heads of attention than one lose the mask's grip:
Sounding that Object, ICML 2025, arXiv 2506.04214.)

Heads, one interface. `mlp` says one frame, the mean of all that the region may sound like. `transformer` says the mean
of the next block, given those before. `flow` draws the next block from what it may be: rectified flow (Liu et al. 2023;
Esser et al. 2024 for the times) in a Transformer that reads clean blocks and fills in one noised block (Arriola et al.,
Block Diffusion, ICLR 2025). In training every block of a sequence is filled in at once: a clean and a noised copy stand
side by side, a noised block sees itself and the clean blocks before it. Time and condition enter by adaptive layer
norms (Peebles & Xie 2023). Places in time are told by rotary embedding alone, so that any length works.

The network does not say the velocity. A frame's noise has more dimensions than the network is wide, and what little
passes would be all that a few steps bring back. It says the mean μ that is left when the grain, a noise of known width
s in each channel, is taken off; the velocity is that of a Gaussian N(μ, s²), v = [(t s² − (1−t)) x + (1−t) μ] / σ²,
σ² = (1−t)² + t² s² (in the spirit of Karras et al. 2022, §5). While μ stands still, so does (x − t μ)/σ: steps along it
have no error for grain, and those that take along how μ moved last (as Lu et al., DPM-Solver++, 2022) little for
anything else: four leave a Gaussian 1.0 to 1.25 of its spread, where Euler's leave 0.3 to 0.7 (closed form, spreads 0.1
to 2, s = 0.2).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..codecs import bands
from ..senses import InputError
from ..spaces import Features, Space, SpaceError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

Head = Literal["mlp", "transformer", "flow"]
TOKENS = 3  # of a condition: the region, the whole picture, size and place of the region

_ABSENT = 0.1  # weight of a channel that means nothing at the moment: it should still settle at its rest
_REST_AT = 4.0  # how many standard deviations from its mean a channel's rest lies at most
_SNAP = 0.5  # a channel less than so many standard deviations from its rest is at rest
_GRAIN = (0.2, 1.0)  # s at least and at most, in standard deviations
_SLOWEST = 1000.0  # ratio of the fastest to the slowest turning of the rotary embedding
_WARP = 1.5  # above 1, the steps of a flow grow finer towards the end, where detail settles

Attend = Callable[[torch.Tensor], torch.Tensor]  # queries, keys and values side by side (…, tokens, 3 width) → (…)


@dataclass(frozen=True)
class MapperConfig:
    """Spaces and sizes. `source` is the eyes' space of patches, `target` the voice's space of latents.

    `fold` frames are one token, `block` frames are made at a time, `context` blocks are remembered. `forget` is the
    share of training items whose condition is dropped, so that guidance has something to lead away from; `alone` the
    share of training blocks that are not told the past, which says as much as the condition does and is easier to
    read; `blur` the most noise, in standard deviations, on the clean blocks of training: what it goes on from is
    its own work. `summary` weighs how well the region alone tells mean and spread of what is heard, channel by channel:
    without that a flow takes thousands of steps to notice what it is led by.
    """

    source: Space
    target: Space
    head: Head = "flow"
    width: int = 256
    layers: int = 5
    heads: int = 4
    fold: int = 4
    block: int = 96
    context: int = 2
    dropout: float = 0.1
    forget: float = 0.1
    alone: float = 0.5
    blur: float = 0.1
    summary: float = 0.5

    def __post_init__(self) -> None:
        if self.head not in get_args(Head):
            raise InputError(f"A mapper's head is one of {', '.join(get_args(Head))}, not {self.head!r}.")
        sizes = (self.source.width, self.target.width, self.width, self.layers, self.heads, self.fold, self.block)
        if not all(isinstance(size, int) and 1 <= size <= 8192 for size in (*sizes, self.context)):
            raise InputError("The sizes of a mapper are whole numbers between 1 and 8192.")
        if self.width % (2 * self.heads) or self.block % self.fold:
            raise InputError(
                f"A mapper's width ({self.width}) is a multiple of twice its heads ({self.heads}), "
                f"its block ({self.block}) of its fold ({self.fold})."
            )
        if not all(0 <= part < 1 for part in (self.dropout, self.forget, self.blur)):
            raise InputError("A mapper's dropout, forget and blur are at least 0 and below 1.")
        if not (0 <= self.alone <= 1 and 0 <= self.summary <= 100):
            raise InputError("A mapper's alone is a share, its summary a weight from 0 to 100.")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MapperConfig:
        """What `dataclasses.asdict` gave, perhaps by way of JSON. Raises InputError for anything else."""
        try:
            told = dict(values)
            return cls(source=Space(**told.pop("source")), target=Space(**told.pop("target")), **told)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"This is no configuration of a mapper: {error}") from error


class Condition(NamedTuple):
    """What was looked at: `tokens` (n, TOKENS, width) lead the sound; `weights` (n, rows, columns) say where, sum 1."""

    tokens: torch.Tensor
    weights: torch.Tensor


def attention_loss(
    weights: Float[torch.Tensor, "n rows columns"], mask: Float[torch.Tensor, "n rows columns"]
) -> torch.Tensor:
    """How far the attention is from the true region, in nats: KL(mask / Σ mask ‖ weights), a mean over n.

    0 where it lies evenly on the mask. A single patch inside would not do: the mask that takes the attention's place
    at inference covers all of the region, and the head should have seen such regions.
    """
    truth = (mask / mask.sum((1, 2), keepdim=True)).flatten(1)
    return F.kl_div((weights.flatten(1) + 1e-6).log(), truth, reduction="batchmean")


class Mapper(nn.Module):
    """Patches in `source` → latents in `target`. Latents are in the voice's units outside, standardised inside."""

    def __init__(self, config: MapperConfig) -> None:
        super().__init__()
        self.config = config
        self.source, self.target = config.source, config.target
        self.scale = _Scale(config.target)
        self.eye = _Look(config)
        self.head: _Still | _Blocks = _Still(config) if config.head == "mlp" else _Blocks(config)
        self.summary = nn.Linear(config.width, 2 * config.target.width)  # of the region's token; heard by nobody

    def fit_scale(self, latents: Float[torch.Tensor, "n frames width"]) -> None:
        """Learn mean, spread, grain and range of each channel from pieces of training sounds; before training."""
        self._check_width(latents, self.target)
        self.scale.fit(latents.flatten(0, 1))
        if isinstance(self.head, _Blocks):
            self.head.grain.copy_(self.scale.grain(latents).clamp(*_GRAIN))

    def look(
        self,
        dense: Features | Float[torch.Tensor, "n rows columns width"],
        mask: Float[torch.Tensor, "n mask_rows mask_columns"] | None = None,
        point: Float[torch.Tensor, "n 2"] | None = None,
    ) -> Condition:
        """Look at a region of each of n pictures: a mask, or else what belongs to a point, or else the whole picture.

        `mask` is on the patches' grid (`Region.on`), `point` is (x, y) in [0, 1] from the top left. Where both are
        given the mask counts. SpaceError when the patches are those of other eyes, InputError for an empty mask.
        """
        if isinstance(dense, Features):
            values = np.asarray(dense.require(self.source), np.float32)
            dense = torch.from_numpy(values).to(self.eye.log_reach.device)
        self._check_width(dense, self.source)
        return self.eye(dense, mask, point)

    def loss(
        self, condition: Condition, latents: Float[torch.Tensor, "n frames width"], g: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """What is minimised on whole blocks of true latents, means over all that means something; `g` is on the CPU.

        "latents": the head's squared error in standard deviations; for a flow that of the velocity. "summary": that of
        the mean and the spread over time, as the region alone tells them. Frames after the last whole block are left
        out; fewer than one block are refused with InputError.
        """
        self._check_width(latents, self.target)
        frames = latents.shape[1] // self.config.block * self.config.block
        if not frames:
            raise InputError(f"A mapper learns from {self.config.block} frames or more, not {latents.shape[1]}.")
        latents = latents[:, :frames]
        weight = torch.where(self.scale.present(latents), 1.0, _ABSENT)
        return {
            "latents": self.head.loss(condition.tokens, self.scale(latents), weight, g),
            "summary": self.config.summary * self.summarised(condition, latents),
        }

    def summarised(self, condition: Condition, latents: Float[torch.Tensor, "n frames width"]) -> torch.Tensor:
        """The squared error of the mean and the spread over time of latents, as the region alone tells them.

        In standard deviations, a mean over channels as far as they mean something.
        """
        weight, clean = torch.where(self.scale.present(latents), 1.0, _ABSENT), self.scale(latents)
        known = weight.sum(1)
        mean = (clean * weight).sum(1) / known
        spread = ((clean - mean[:, None]).square() * weight).sum(1).div(known).sqrt()
        error = self.summary(condition.tokens[:, 0]) - torch.cat([mean, spread], 1)
        return _weighted(error, torch.cat([known, known], 1) / latents.shape[1])

    def stream(
        self,
        condition: Condition,
        seeds: Sequence[int],
        *,
        steps: int = 4,
        guidance: float = 2.0,
        given: Features | None = None,
    ) -> Running:
        """Blocks of latents for ever, one sequence for each of n regions and seeds; see `Running`.

        `steps` and `guidance` are the flow's: how many steps from noise to sound, and how far the region leads beyond
        what the past alone would suggest (1 as learned, 0 not at all). `given` are latents (n, frames, width) to go on
        from. InputError when these do not fit, SpaceError for latents of another voice.
        """
        return Running(self, condition, seeds, steps, guidance, given)

    def generate(
        self,
        condition: Condition,
        frames: int,
        seeds: Sequence[int],
        *,
        steps: int = 4,
        guidance: float = 2.0,
        given: Features | None = None,
    ) -> Features:
        """So many frames at once, (n, frames, width): the blocks of `stream`, joined."""
        if frames < 1:
            raise InputError(f"A sound has a frame at least; {frames} were asked for.")
        running = self.stream(condition, seeds, steps=steps, guidance=guidance, given=given)
        blocks = islice(running, -(-frames // self.config.block))
        return Features(np.concatenate([block.values for block in blocks], 1)[:, :frames], self.target)

    def forward(
        self,
        dense: Features | Float[torch.Tensor, "n rows columns width"],
        frames: int,
        seeds: Sequence[int],
        mask: Float[torch.Tensor, "n mask_rows mask_columns"] | None = None,
        point: Float[torch.Tensor, "n 2"] | None = None,
    ) -> Features:
        """From patches to latents in one go: look, then generate."""
        return self.generate(self.look(dense, mask, point), frames, seeds)

    @staticmethod
    def _check_width(values: torch.Tensor, space: Space) -> None:
        if values.shape[-1] != space.width:
            raise SpaceError(f"The space {space.name} has {space.width} dimensions; these are {tuple(values.shape)}.")


class Running(Iterator[Features]):
    """A running generation: each step gives the next block, (n, block, width) in the voice's units.

    Noise is drawn on the CPU for each item from its seed and the block's number: the same seed gives the same latents,
    whatever is generated beside it. `memory` does not grow with length.
    """

    def __init__(
        self,
        mapper: Mapper,
        condition: Condition,
        seeds: Sequence[int],
        steps: int,
        guidance: float,
        given: Features | None,
    ) -> None:
        if len(seeds) != len(condition.tokens):
            raise InputError(
                f"Each of {len(condition.tokens)} regions needs a seed of its own; {len(seeds)} are given."
            )
        if not (1 <= steps <= 1000 and math.isfinite(guidance)):
            raise InputError(f"A flow has 1 to 1000 steps and a finite guidance, not {steps} and {guidance}.")
        self._mapper = mapper
        self._seeds = list(seeds)
        self._number = 0
        self._device = condition.tokens.device
        with _still(mapper):
            self._run = mapper.head.begin(condition.tokens, steps, guidance)
            for past in self._pasts(given):
                self._run.remember(mapper.scale(past))

    def __next__(self) -> Features:
        mapper, shape = self._mapper, (self._mapper.config.block, self._mapper.target.width)
        noise = np.stack([_noise(seed, self._number, shape) for seed in self._seeds])
        with _still(mapper):
            latents = mapper.scale.invert(self._run.draw(torch.from_numpy(noise).to(self._device)))
            self._run.remember(mapper.scale(latents))
        self._number += 1
        return Features(latents.cpu().numpy(), mapper.target)

    @property
    def memory(self) -> int:
        """Bytes that are kept from one block to the next."""
        return sum(part.nbytes for part in self._run.kept())

    def _pasts(self, given: Features | None) -> Iterator[torch.Tensor]:
        """The whole blocks at the end of what is given; no more of them than can still be felt."""
        if given is None:
            return
        config = self._mapper.config
        values = given.require(config.target)
        if values.ndim != 3 or len(values) != len(self._seeds) or not np.isfinite(values).all():
            raise InputError(
                f"To go on from latents, give finite ones of {len(self._seeds)} sounds, not {values.shape}."
            )
        count = min(values.shape[1] // config.block, config.layers * config.context)
        if not count:
            raise InputError(f"To go on from a sound takes {config.block} frames of it; this has {values.shape[1]}.")
        past = torch.from_numpy(values[:, -count * config.block :].astype(np.float32)).to(self._device)
        yield from past.split(config.block, 1)


# --- standardising ----------------------------------------------------------------------------------------------------


class _Scale(nn.Module):
    """A voice's units ↔ standardised channels.

    Some channels mean something only while another, their gate, is not at rest: the place of a partial only while the
    partial sounds. Mean and spread are those of the frames in which a channel means something.
    """

    mean: torch.Tensor
    std: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    gate: torch.Tensor
    rest: torch.Tensor

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(space.width))
        self.register_buffer("std", torch.ones(space.width))
        self.register_buffer("low", torch.full((space.width,), -math.inf))
        self.register_buffer("high", torch.full((space.width,), math.inf))
        gate, rest = _gates(space)
        self.register_buffer("gate", gate, persistent=False)
        self.register_buffer("rest", rest, persistent=False)

    def fit(self, latents: torch.Tensor) -> None:
        if not len(latents) or not latents.isfinite().all():
            raise InputError("The latents to learn the scale from are empty, or hold NaN or infinite values.")
        self.low.copy_(latents.amin(0))
        self.high.copy_(latents.amax(0))
        for channel, gate in enumerate(self.gate.tolist()):
            there = latents[latents[:, gate] > self.rest[gate], channel].double()
            if not len(there):  # never heard of: it stays at rest
                there = self.rest[channel : channel + 1].double()
            mean, std = there.mean(), there.std(correction=0)
            if gate == channel and self.rest[channel].isfinite():
                std = torch.maximum(std, (mean - self.rest[channel]).abs() / _REST_AT)
            self.mean[channel], self.std[channel] = mean, std if std > 1e-4 else 1.0

    def grain(self, latents: torch.Tensor) -> torch.Tensor:
        """What a frame has that its neighbours do not tell, in standard deviations: 0 smooth, 1 white noise."""
        there = self.present(latents)
        known = there[:, :-2] & there[:, 1:-1] & there[:, 2:]
        x = self(latents)
        bend = torch.where(known, x[:, 1:-1] - (x[:, :-2] + x[:, 2:]) / 2, 0.0)
        return (bend.square().sum((0, 1)) / (1.5 * known.sum((0, 1)).clamp_min(1))).sqrt()

    def present(self, latents: torch.Tensor) -> Bool[torch.Tensor, "*n width"]:
        """Which channels mean something."""
        return (latents > self.rest)[..., self.gate]

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return (latents - self.mean) / self.std

    def invert(self, standard: torch.Tensor) -> torch.Tensor:
        """Back to the voice's units, within the range that was met in training; what is nearly at rest is at rest."""
        latents = torch.clamp(standard * self.std + self.mean, self.low, self.high)
        there = (latents > self.rest + _SNAP * self.std)[..., self.gate]
        return torch.where(there, latents, self.rest)


def _gates(space: Space) -> tuple[torch.Tensor, torch.Tensor]:
    """For each channel its gate (itself, where it has none), and its rest (−∞ where it is never at rest)."""
    gate, rest = torch.arange(space.width), torch.full((space.width,), -math.inf)
    if space == bands.Bands.space:
        gate[bands.PLACES] = gate[bands.PARTIALS]
        gate[[bands.ONSET, bands.CLICK]] = bands.RISE
        rest[bands.BANDS :] = torch.from_numpy(bands.REST[bands.BANDS :].copy())
    return gate, rest


# --- looking ----------------------------------------------------------------------------------------------------------


class _Look(nn.Module):
    """Patches and a region → a condition. The region is a weighted mean of what single patches say, and they do not
    know where they are: a mask's token is made of the patches in it and of nothing else."""

    def __init__(self, config: MapperConfig) -> None:
        super().__init__()
        inner, d = config.source.width, config.width
        self.norm = nn.LayerNorm(inner)
        self.query = nn.Linear(inner + 2, d)
        self.key = nn.Linear(inner, d, bias=False)
        self.log_reach = nn.Parameter(torch.tensor(math.log(0.25)))  # of the attention, in shares of the picture
        self.value = nn.Sequential(nn.Linear(inner, d), nn.GELU(), nn.Dropout(config.dropout))
        self.region, self.picture = nn.Linear(d, d), nn.Linear(d, d)
        self.place = nn.Sequential(nn.Linear(5, d), nn.GELU(), nn.Linear(d, d))

    def forward(self, dense: torch.Tensor, mask: torch.Tensor | None, point: torch.Tensor | None) -> Condition:
        n, rows, columns, _ = dense.shape
        patches = self.norm(dense)
        places = _places(rows, columns).to(dense.device)
        if mask is not None:
            if mask.shape[1:] != (rows, columns) or not bool((mask.flatten(1).sum(1) > 0).all()):
                raise InputError(
                    f"A mask is on the patches' grid of {rows} × {columns} and marks a part of the picture."
                )
            weights = mask.flatten(1).to(dense)
            weights = weights / weights.sum(1, keepdim=True)
        elif point is not None:
            weights = self._attention(patches, places, point.to(dense))
        else:
            weights = dense.new_full((n, rows * columns), 1 / (rows * columns))
        said = self.value(patches).flatten(1, 2)
        region = self.region((weights[:, None] @ said)[:, 0])
        tokens = torch.stack([region, self.picture(said.mean(1)), self.place(_extent(weights, places))], 1)
        return Condition(tokens, weights.unflatten(1, (rows, columns)))

    def _attention(self, patches: torch.Tensor, places: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
        """(n, patches): one head, from what is at the point and where it is, to what the patches hold and how near."""
        at = F.grid_sample(
            patches.permute(0, 3, 1, 2), 2 * point[:, None, None] - 1, padding_mode="border", align_corners=False
        )[..., 0, 0]
        query = self.query(torch.cat([at, 2 * point - 1], 1))
        alike = (self.key(patches).flatten(1, 2) @ query[:, :, None])[..., 0] / math.sqrt(query.shape[1])
        away = (places - point[:, None]).square().sum(-1)
        return (alike - away / (2 * (2 * self.log_reach).exp())).softmax(-1)


def _places(rows: int, columns: int) -> torch.Tensor:
    """(patches, 2): the patches' centres (x, y) in [0, 1]."""
    x, y = (torch.arange(columns) + 0.5) / columns, (torch.arange(rows) + 0.5) / rows
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)


def _extent(weights: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """(n, 5): the region's centre, its spread along x and y, and the logarithm of its share of the picture.

    The share is 1 / (patches Σ weight²): what an even mask covers, and defined for an attention as well.
    """
    centre = weights @ places
    spread = (weights @ places.square() - centre.square()).clamp_min(0.0) + 1e-4
    share = -(weights.shape[1] * weights.square().sum(1, keepdim=True)).log()
    return torch.cat([2 * centre - 1, spread.sqrt(), share], 1)


# --- heads ------------------------------------------------------------------------------------------------------------


class _Run(ABC):
    """A head at work on n sequences of standardised latents."""

    @abstractmethod
    def draw(self, noise: torch.Tensor) -> torch.Tensor:
        """The next block (n, block, width) from noise of that shape."""

    @abstractmethod
    def remember(self, block: torch.Tensor) -> None:
        """A block that stands now, for those after it to go on from."""

    @abstractmethod
    def kept(self) -> list[torch.Tensor]:
        """What is kept from one block to the next."""


class _Still(nn.Module):
    """The head `mlp`: one frame for ever. A regression that knows no past can say no more than the mean."""

    def __init__(self, config: MapperConfig) -> None:
        super().__init__()
        d = config.width
        self.frame = nn.Sequential(
            nn.Linear(TOKENS * d, 2 * d), nn.GELU(), nn.Dropout(config.dropout),
            nn.Linear(2 * d, 2 * d), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(2 * d, config.target.width),
        )  # fmt: skip

    def loss(self, tokens: torch.Tensor, clean: torch.Tensor, weight: torch.Tensor, g: torch.Generator) -> torch.Tensor:
        return _weighted(self.frame(tokens.flatten(1))[:, None] - clean, weight)

    def begin(self, tokens: torch.Tensor, steps: int, guidance: float) -> _Run:
        return _StillRun(self.frame(tokens.flatten(1)))


class _StillRun(_Run):
    def __init__(self, frame: torch.Tensor) -> None:
        self._frame = frame

    def draw(self, noise: torch.Tensor) -> torch.Tensor:
        return self._frame[:, None].expand_as(noise)

    def remember(self, block: torch.Tensor) -> None:
        """Nothing: it knows no past."""

    def kept(self) -> list[torch.Tensor]:
        return [self._frame]


class _Layer(nn.Module):
    """A Transformer layer whose norms are shifted, scaled and gated by `change`, six tensors (…, 1, width)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, change: Sequence[torch.Tensor], attend: Attend) -> torch.Tensor:
        shift, scale, gate, shift2, scale2, gate2 = change
        seen = attend(self.qkv(torch.addcmul(shift, F.layer_norm(x, (self.width,)), scale)))
        x = torch.addcmul(x, self.drop(self.out(seen)), gate)
        made = self.down(F.gelu(self.up(torch.addcmul(shift2, F.layer_norm(x, (self.width,)), scale2))))
        return torch.addcmul(x, self.drop(made), gate2)


class _Blocks(nn.Module):
    """The heads `flow` and `transformer`: a Transformer over folded frames that says the mean of a block.

    It is told the clean blocks before, the noised block, its time (0 noise, 1 clean) and the condition. `transformer`
    is the same network with nothing in the noise's place, at time 0, where v = μ.
    """

    grain: torch.Tensor  # s of each channel, in standard deviations

    def __init__(self, config: MapperConfig) -> None:
        super().__init__()
        d, token = config.width, config.fold * config.target.width
        self.config = config
        self.draws = config.head == "flow"
        self.tokens = config.block // config.fold
        self.enter, self.leave = nn.Linear(token, d), nn.Linear(d, token)
        self.condition = nn.Linear(TOKENS * d, d)
        self.time = nn.Sequential(nn.Linear(16, d), nn.SiLU(), nn.Linear(d, d))
        # One map from time and condition for all layers, and an offset for each (Chen et al., PixArt-α, 2024, §2.3).
        changes = nn.Linear(d, 6 * d)
        self.change = nn.Sequential(nn.SiLU(), changes)
        self.offsets = nn.Parameter(torch.zeros(config.layers, 6, d))
        self.nothing = nn.Parameter(torch.randn(d) * 0.02)  # stands for the condition where there is none
        self.register_buffer("grain", torch.ones(config.target.width))
        self.layers = nn.ModuleList(_Layer(d, config.dropout) for _ in range(config.layers))
        for last in (self.leave, changes):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    # --- learning ---

    def loss(self, tokens: torch.Tensor, clean: torch.Tensor, weight: torch.Tensor, g: torch.Generator) -> torch.Tensor:
        clean = self.fold(clean)
        n, blocks = clean.shape[:2]
        told = self.told(tokens)
        t, noise = torch.zeros(n, blocks), torch.zeros(clean.shape)
        if self.draws:
            # Half of the times are logit-normal (Esser et al. 2024, §3.1). These alone hardly ever come near 0, where
            # every flow begins and the condition decides most.
            t, even = torch.randn(n, blocks, generator=g).sigmoid(), torch.rand(2, n, blocks, generator=g)
            t = torch.where(even[0] < 0.5, t, even[1])
            noise = torch.randn(clean.shape, generator=g)
            forgotten = torch.rand(n, 1, generator=g) < self.config.forget
            told = torch.where(forgotten.to(told.device), self.nothing, told)
        blur = self.config.blur * torch.rand(n, 1, 1, 1, generator=g) * torch.randn(clean.shape, generator=g)
        alone = (torch.rand(n, blocks, generator=g) < self.config.alone).to(clean.device)
        t, noise, blur = (part.to(clean) for part in (t, noise, blur))
        x = torch.lerp(noise, clean, t[..., None, None])
        error = self.velocity(x, self.means(clean + blur, x, t, told, alone), t) - (clean - noise)
        return _weighted(error, self.fold(weight))

    def means(
        self, clean: torch.Tensor, noised: torch.Tensor, t: torch.Tensor, told: torch.Tensor, alone: torch.Tensor
    ) -> torch.Tensor:
        """μ of every block (n, blocks, tokens, fold · width), each filled in after the clean blocks before it.

        `noised` is of that shape, `t` (n, blocks), `told` (n, width); blocks marked in `alone` (n, blocks) do not see
        those before.
        """
        n, blocks, tokens, _ = clean.shape
        both = torch.cat([self.nothing.expand(n, blocks, -1), told[:, None].expand(-1, blocks, -1)], 1)[:, :, None]
        changes = self.changes(both, torch.cat([torch.ones_like(t), t], 1)[:, :, None])
        turns = self.turns(blocks * tokens, clean.device).repeat(2, 1)
        hidden = torch.zeros(n, 2, 2, blocks * tokens, blocks * tokens, dtype=torch.bool, device=clean.device)
        hidden[:, 1, 0] = alone.repeat_interleave(tokens, 1)[..., None]
        sees = self._sees(blocks, clean.device) & ~hidden.transpose(2, 3).flatten(3).flatten(1, 2)[:, None]

        def attend(qkv: torch.Tensor) -> torch.Tensor:
            qk, v = self.split(qkv.flatten(1, 2))
            q, k = _turned(qk, turns)
            return _joined(F.scaled_dot_product_attention(q, k, v, sees)).unflatten(1, (2 * blocks, tokens))

        x = self.enter(torch.cat([clean, noised], 1)) + both
        for layer, change in zip(self.layers, changes, strict=True):
            x = layer(x, change, attend)
        return self.said(x[:, blocks:])

    def _sees(self, blocks: int, device: torch.device) -> Bool[torch.Tensor, "tokens tokens"]:
        """Which token (row) sees which (column), the clean copy first: clean blocks themselves and the `context`
        before, noised ones the same of the clean copy, and themselves instead of their clean selves."""
        number = torch.arange(blocks, device=device).repeat_interleave(self.tokens)
        back = number[:, None] - number
        before = (back > 0) & (back <= self.config.context)
        same, never = back == 0, torch.zeros_like(before)
        return torch.cat([torch.cat([before | same, never], 1), torch.cat([before, same], 1)])

    # --- the parts that learning and generating share ---

    def told(self, tokens: torch.Tensor) -> torch.Tensor:
        """What leads, (n, width). Tokens are brought to one size: as they come they are a tenth of what they stand
        beside, and a flow does not notice them in thousands of steps.
        """
        return self.condition(F.layer_norm(tokens, tokens.shape[-1:]).flatten(1))

    def fold(self, frames: torch.Tensor) -> torch.Tensor:
        """(n, frames, width) → (n, blocks, tokens, fold · width)."""
        return frames.reshape(len(frames), -1, self.tokens, self.config.fold * frames.shape[-1])

    def changes(self, told: torch.Tensor, t: torch.Tensor) -> list[Sequence[torch.Tensor]]:
        """For each layer its six changes (…, width); `told` (…, width), `t` (…)."""
        angle = math.pi * 2.0 ** torch.arange(8, device=t.device) * t[..., None]
        time = self.time(torch.cat([angle.sin(), angle.cos()], -1))
        change = self.change(told + time).unflatten(-1, (6, -1))
        changes = []
        for offset in self.offsets:
            shift, scale, gate, shift2, scale2, gate2 = (change + offset).unbind(-2)
            changes.append((shift, 1 + scale, gate, shift2, 1 + scale2, gate2))
        return changes

    def turns(self, tokens: int, device: torch.device) -> torch.Tensor:
        """The turns (tokens, half a head) of the rotary embedding (Su et al. 2021), complex numbers of length one."""
        half = self.config.width // self.config.heads // 2
        speed = _SLOWEST ** (-torch.arange(half, device=device) / half)
        angle = torch.arange(tokens, device=device)[:, None] * speed
        return torch.polar(torch.ones_like(angle), angle)

    def split(self, qkv: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, tokens, 3 · width) → queries and keys (2, n, heads, tokens, head), values (n, heads, tokens, head)."""
        parts = qkv.unflatten(-1, (3, self.config.heads, -1)).permute(2, 0, 3, 1, 4)
        return parts[:2], parts[2]

    def said(self, x: torch.Tensor) -> torch.Tensor:
        return self.leave(F.layer_norm(x, (self.config.width,)))

    def velocity(self, x: torch.Tensor, mean: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """dx/dt at time t (n, blocks) if what comes is N(mean, s²); see this module's docstring."""
        t = t[..., None, None]
        s2 = self.grain.repeat(self.config.fold).square()
        return ((t * s2 - (1 - t)) * x + (1 - t) * mean) / ((1 - t).square() + t.square() * s2)

    def begin(self, tokens: torch.Tensor, steps: int, guidance: float) -> _Run:
        return _BlocksRun(self, tokens, steps, guidance) if self.draws else _BlocksRun(self, tokens, 1, 1.0)


class _BlocksRun(_Run):
    """Blocks after blocks. Of the past, each layer's keys and values of the last `context` blocks are kept; keys are
    turned to their place when it is known how far back they lie."""

    def __init__(self, head: _Blocks, tokens: torch.Tensor, steps: int, guidance: float) -> None:
        config = head.config
        self._head = head
        self._guidance = guidance
        self._most = config.context * head.tokens
        self._turns = head.turns(self._most + head.tokens, tokens.device)
        told = head.told(tokens)[:, None]
        nothing = head.nothing.expand_as(told)
        self._told = told if guidance == 1 else torch.cat([told, nothing])
        self._nothing = nothing
        t = 1 - (1 - torch.arange(steps + 1, device=tokens.device) / steps) ** _WARP
        self._times: list[float] = t.tolist()
        self._changes = [head.changes(self._told, when.expand(self._told.shape[:2])) for when in t[:-1]]
        self._clean = head.changes(nothing, nothing.new_ones(nothing.shape[:2]))
        # σ at each time, as in the velocity; between two times, (x − t μ)/σ changes by −μ times the change of t/σ.
        self._sigma = ((1 - t[:, None]) ** 2 + (t[:, None] * head.grain.repeat(config.fold)) ** 2).sqrt()
        span = (t[:, None] / self._sigma).diff(dim=0)
        self._ahead = span[1:] / (2 * span[:-1])
        empty = tokens.new_zeros(len(tokens), config.heads, 0, config.width // config.heads)
        self._past = [(empty, empty) for _ in range(config.layers)]

    def kept(self) -> list[torch.Tensor]:
        return [part for pair in self._past for part in pair]

    def draw(self, noise: torch.Tensor) -> torch.Tensor:
        head = self._head
        x = head.fold(noise)[:, 0] if head.draws else noise.new_zeros(head.fold(noise)[:, 0].shape)
        copies = len(self._told) // len(x)
        attends = [self._with_past(k.repeat(copies, 1, 1, 1), v.repeat(copies, 1, 1, 1)) for k, v in self._past]
        last = x
        for step, (t, later) in enumerate(pairwise(self._times)):
            mean = self._say(x.repeat(copies, 1, 1), self._told, self._changes[step], attends)
            if copies == 2:
                led, free = mean.chunk(2)
                mean = torch.lerp(free, led, self._guidance)
            held = torch.addcmul(mean, mean - last, self._ahead[step - 1]) if step else mean
            x = later * held + self._sigma[step + 1] / self._sigma[step] * (x - t * held)
            last = mean
        return x.reshape(noise.shape)

    def remember(self, block: torch.Tensor) -> None:
        head = self._head
        pasts: list[tuple[torch.Tensor, torch.Tensor]] = []

        def keeping(past: tuple[torch.Tensor, torch.Tensor]) -> Attend:
            attend = self._with_past(*past)

            def attended(qkv: torch.Tensor) -> torch.Tensor:
                (_, k), v = head.split(qkv)
                keys, values = (
                    torch.cat(pair, 2)[:, :, -self._most :].contiguous() for pair in ((past[0], k), (past[1], v))
                )
                pasts.append((keys, values))
                return attend(qkv)

            return attended

        self._say(head.fold(block)[:, 0], self._nothing, self._clean, [keeping(past) for past in self._past])
        self._past = pasts

    def _say(
        self, x: torch.Tensor, told: torch.Tensor, changes: list[Sequence[torch.Tensor]], attends: list[Attend]
    ) -> torch.Tensor:
        x = self._head.enter(x) + told
        for layer, change, attend in zip(self._head.layers, changes, attends, strict=True):
            x = layer(x, change, attend)
        return self._head.said(x)

    def _with_past(self, keys: torch.Tensor, values: torch.Tensor) -> Attend:
        """The attention of a block to itself and to what is kept, written into one place that every step reuses."""
        head, past, own = self._head, keys.shape[2], self._head.tokens
        turns = self._turns[past : past + own]
        room = keys.new_empty(*keys.shape[:2], own, keys.shape[3])
        all_keys = torch.cat([_turned(keys, self._turns[:past]), room], 2)
        all_values = torch.cat([values, room], 2)

        def attend(qkv: torch.Tensor) -> torch.Tensor:
            qk, v = head.split(qkv)
            q, all_keys[:, :, past:] = _turned(qk, turns)
            all_values[:, :, past:] = v
            return _joined(F.scaled_dot_product_attention(q, all_keys, all_values))

        return attend


def _turned(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """(…, tokens, head) with each pair of dimensions turned by its token's angle."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)


def _joined(heads: torch.Tensor) -> torch.Tensor:
    """(n, heads, tokens, head) → (n, tokens, width)."""
    return heads.transpose(1, 2).flatten(2)


def _weighted(error: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (error.square() * weight).sum() / weight.sum()


def _noise(seed: int, number: int, shape: tuple[int, int]) -> Float[np.ndarray, "frames width"]:
    """Noise of one block. The key's upper half keeps clear of the voices', who draw theirs from the same seed."""
    bits = np.random.Philox(key=np.array([seed % 2**64, 2**63 + number], np.uint64))
    return np.random.Generator(bits).standard_normal(shape, np.float32)


@contextmanager
def _still(mapper: Mapper) -> Generator[None, None, None]:
    """Without gradients and, in the middle of training too, without dropout."""
    training = mapper.training
    if training:
        mapper.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        if training:
            mapper.train()
