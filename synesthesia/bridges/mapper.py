"""Direct sensory mapping: patches of a picture and a region of it → latents of a voice, of any length.

    eyes' patches ─┐
    point or mask ─┴─ look ─▶ condition: the region, the whole picture, size and place ─ head ─▶ blocks of latents

Looking. In training the region is a soft attention that grows from a point; a mask, where one is given, takes the
attention's place. (Masks as input of training are worse, and more heads of attention than one lose the mask's grip:
Sounding that Object, ICML 2025, arXiv 2506.04214.)

Heads, one interface. `codes` says one code after another of a language of its own (see `codes`). `mlp` says one frame,
the mean of all that the region may sound like. `transformer` says the mean of the next block, given those before.
`flow` draws the next block from what it may be: rectified flow (Liu et al. 2023; Esser et al. 2024 for the times) in a
Transformer that reads clean blocks and fills in one noised block (Arriola et al., Block Diffusion, ICLR 2025). In
training every block of a sequence is filled in at once: a clean and a noised copy stand side by side, a noised block
sees itself and the clean blocks before it. Time and condition enter by adaptive layer norms (Peebles & Xie 2023).
Places in time are told by rotary embedding alone, so that any length works.

The network of a flow does not say the velocity. A frame's noise has more dimensions than the network is wide, and what
little passes would be all that a few steps bring back. It says the mean μ that is left when the grain, a noise of known
width s in each channel, is taken off; the velocity is that of a Gaussian N(μ, s²), v = [(t s² − (1−t)) x + (1−t) μ] /
σ², σ² = (1−t)² + t² s² (in the spirit of Karras et al. 2022, §5). While μ stands still, so does (x − t μ)/σ: steps
along it have no error for grain, and those that take along how μ moved last (as Lu et al., DPM-Solver++, 2022) little
for anything else: four leave a Gaussian 1.0 to 1.25 of its spread, where Euler's leave 0.3 to 0.7 (closed form, spreads
0.1 to 2, s = 0.2).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..senses import InputError
from ..spaces import Features, Space, SpaceError
from .codes import Codes
from .heads import Blocks, Still, weighted
from .scale import Scale

if TYPE_CHECKING:
    from jaxtyping import Float

Head = Literal["mlp", "transformer", "flow", "codes"]

_ABSENT = 0.1  # weight of a channel that means nothing at the moment: it should still settle at its rest
_GRAIN = (0.2, 1.0)  # s at least and at most, in standard deviations


@dataclass(frozen=True)
class MapperConfig:
    """Spaces and sizes. `source` is the eyes' space of patches, `target` the voice's space of latents.

    `fold` frames are one token, `block` frames are made at a time, `context` blocks are remembered. `forget` is the
    share of training items whose condition is dropped, so that guidance has something to lead away from; `alone` the
    share of training blocks that are not told the past, which says as much as the condition does and is easier to
    read; `blur` the most noise, in standard deviations, on the clean blocks of training: what it goes on from is
    its own work. `summary` weighs how well the region alone tells mean and spread of what is heard, channel by channel:
    without that a flow takes thousands of steps to notice what it is led by. The head `codes` spells a patch of `fold`
    frames, along `axes` of its own, in one of `words` codes of each of `books`.
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
    books: int = 4
    words: int = 1024
    axes: int = 200

    def __post_init__(self) -> None:
        if self.head not in get_args(Head):
            raise InputError(f"A mapper's head is one of {', '.join(get_args(Head))}, not {self.head!r}.")
        sizes = (self.source.width, self.target.width, self.width, self.layers, self.heads, self.fold, self.block)
        sizes += (self.context, self.books, self.words, self.axes)
        if not all(isinstance(size, int) and 1 <= size <= 8192 for size in sizes):
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
        self.scale = Scale(config.target)
        self.eye = _Look(config)
        kinds: dict[str, type[Still | Blocks | Codes]] = {"mlp": Still, "codes": Codes}
        self.head = kinds.get(config.head, Blocks)(config)
        self.summary = nn.Linear(config.width, 2 * config.target.width)  # of the region's token; heard by nobody

    def fit_scale(self, latents: Float[torch.Tensor, "n frames width"]) -> None:
        """Learn mean, spread, grain and range of each channel from pieces of training sounds; before training."""
        self._check_width(latents, self.target)
        self.scale.fit(latents.flatten(0, 1))
        if isinstance(self.head, Blocks):
            self.head.grain.copy_(self.scale.grain(latents).clamp(*_GRAIN))
        elif isinstance(self.head, Codes):
            self.head.fit(self.scale, latents)

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
        return weighted(error, torch.cat([known, known], 1) / latents.shape[1])

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
        with still(mapper):
            self._run = mapper.head.begin(condition.tokens, steps, guidance)
            for past in self._pasts(given):
                self._run.remember(mapper.scale(past))

    def __next__(self) -> Features:
        mapper, shape = self._mapper, (self._mapper.config.block, self._mapper.head.noise)
        noise = np.stack([drawn_noise(seed, self._number, shape) for seed in self._seeds])
        with still(mapper):
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


def drawn_noise(seed: int, number: int, shape: tuple[int, int]) -> Float[np.ndarray, "frames width"]:
    """Noise of one block. The key's upper half keeps clear of the voices', who draw theirs from the same seed."""
    bits = np.random.Philox(key=np.array([seed % 2**64, 2**63 + number], np.uint64))
    return np.random.Generator(bits).standard_normal(shape, np.float32)


@contextmanager
def still(model: nn.Module) -> Generator[None, None, None]:
    """Without gradients and, in the middle of training too, without dropout."""
    training = model.training
    if training:
        model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        if training:
            model.train()
