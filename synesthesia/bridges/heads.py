"""Heads of the mapper: from a condition to blocks of standardised latents. `mlp`, `transformer` and `flow` live here
(see `mapper`), `codes` in `codes`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from jaxtyping import Bool

    from .mapper import MapperConfig

TOKENS = 3  # of a condition: the region, the whole picture, size and place of the region

_SLOWEST = 1000.0  # ratio of the fastest to the slowest turning of the rotary embedding
_WARP = 1.5  # above 1, the steps of a flow grow finer towards the end, where detail settles

Attend = Callable[[torch.Tensor], torch.Tensor]  # queries, keys and values side by side (…, tokens, 3 width) → (…)


class Run(ABC):
    """A head at work on n sequences of standardised latents."""

    @abstractmethod
    def draw(self, noise: torch.Tensor) -> torch.Tensor:
        """The next block (n, block, width) from noise (n, block, `noise` of the head)."""

    @abstractmethod
    def remember(self, block: torch.Tensor) -> None:
        """A block that stands now, for those after it to go on from."""

    @abstractmethod
    def kept(self) -> list[torch.Tensor]:
        """What is kept from one block to the next."""


class Still(nn.Module):
    """The head `mlp`: one frame for ever. A regression that knows no past can say no more than the mean."""

    def __init__(self, config: MapperConfig) -> None:
        super().__init__()
        d, self.noise = config.width, config.target.width
        self.frame = nn.Sequential(
            nn.Linear(TOKENS * d, 2 * d), nn.GELU(), nn.Dropout(config.dropout),
            nn.Linear(2 * d, 2 * d), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(2 * d, config.target.width),
        )  # fmt: skip

    def loss(self, tokens: torch.Tensor, clean: torch.Tensor, weight: torch.Tensor, g: torch.Generator) -> torch.Tensor:
        return weighted(self.frame(tokens.flatten(1))[:, None] - clean, weight)

    def begin(self, tokens: torch.Tensor, steps: int, guidance: float) -> Run:
        return _StillRun(self.frame(tokens.flatten(1)))


class _StillRun(Run):
    def __init__(self, frame: torch.Tensor) -> None:
        self._frame = frame

    def draw(self, noise: torch.Tensor) -> torch.Tensor:
        return self._frame[:, None].expand_as(noise)

    def remember(self, block: torch.Tensor) -> None:
        """Nothing: it knows no past."""

    def kept(self) -> list[torch.Tensor]:
        return [self._frame]


class Layer(nn.Module):
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


@runtime_checkable
class Sizes(Protocol):
    """Sizes of a Transformer; its width is a multiple of twice its heads."""

    @property
    def width(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def dropout(self) -> float: ...


class Led(nn.Module):
    """What all Transformers share that a condition leads: how it does, and their layers.

    The condition enters by adaptive layer norms: one map for all layers, and an offset for each (Chen et al., PixArt-α,
    2024, §2.3).
    """

    def __init__(self, config: Sizes) -> None:
        super().__init__()
        d = config.width
        self.sizes = config
        self.condition = nn.Linear(TOKENS * d, d)
        changes = nn.Linear(d, 6 * d)
        self.change = nn.Sequential(nn.SiLU(), changes)
        self.offsets = nn.Parameter(torch.zeros(config.layers, 6, d))
        self.nothing = nn.Parameter(torch.randn(d) * 0.02)  # stands for the condition where there is none
        self.layers = nn.ModuleList(Layer(d, config.dropout) for _ in range(config.layers))
        nn.init.zeros_(changes.weight)
        nn.init.zeros_(changes.bias)

    def told(self, tokens: torch.Tensor) -> torch.Tensor:
        """What leads, (n, width). Tokens are brought to one size: as they come they are a tenth of what they stand
        beside, and a flow does not notice them in thousands of steps.
        """
        return self.condition(F.layer_norm(tokens, tokens.shape[-1:]).flatten(1))

    def changed(self, told: torch.Tensor) -> list[Sequence[torch.Tensor]]:
        """For each layer its six changes (…, width), `told` (…, width)."""
        change = self.change(told).unflatten(-1, (6, -1))
        changes = []
        for offset in self.offsets:
            shift, scale, gate, shift2, scale2, gate2 = (change + offset).unbind(-2)
            changes.append((shift, 1 + scale, gate, shift2, 1 + scale2, gate2))
        return changes

    def turns(self, places: torch.Tensor) -> torch.Tensor:
        """The turns (places, half a head) of the rotary embedding (Su et al. 2021), complex numbers of length one."""
        half = self.sizes.width // self.sizes.heads // 2
        speed = _SLOWEST ** (-torch.arange(half, device=places.device, dtype=torch.float64) / half)
        angle = (places[:, None].double() * speed).float()
        return torch.polar(torch.ones_like(angle), angle)

    def split(self, qkv: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, tokens, 3 · width) → queries and keys (2, n, heads, tokens, head), values (n, heads, tokens, head)."""
        parts = qkv.unflatten(-1, (3, self.sizes.heads, -1)).permute(2, 0, 3, 1, 4)
        return parts[:2], parts[2]


class Framed(Led):
    """What Transformers over folded frames share."""

    def __init__(self, config: MapperConfig) -> None:
        super().__init__(config)
        self.config = config
        self.tokens = config.block // config.fold

    def fold(self, frames: torch.Tensor) -> torch.Tensor:
        """(n, frames, width) → (n, blocks, tokens, fold · width)."""
        return frames.reshape(len(frames), -1, self.tokens, self.config.fold * frames.shape[-1])


def clock(t: torch.Tensor) -> torch.Tensor:
    """Times (…) of a flow, from 0 to 1 → (…, 16): sines and cosines of eight octaves."""
    angle = math.pi * 2.0 ** torch.arange(8, device=t.device) * t[..., None]
    return torch.cat([angle.sin(), angle.cos()], -1)


def flow_times(g: torch.Generator, *shape: int) -> torch.Tensor:
    """Times to learn a flow at. Half are logit-normal (Esser et al. 2024, §3.1); these alone hardly ever come near 0,
    where every flow begins and the condition decides most.
    """
    t, even = torch.randn(*shape, generator=g).sigmoid(), torch.rand(2, *shape, generator=g)
    return torch.where(even[0] < 0.5, t, even[1])


class Blocks(Framed):
    """The heads `flow` and `transformer`: a Transformer over folded frames that says the mean of a block.

    It is told the clean blocks before, the noised block, its time (0 noise, 1 clean) and the condition. `transformer`
    is the same network with nothing in the noise's place, at time 0, where v = μ.
    """

    grain: torch.Tensor  # s of each channel, in standard deviations

    def __init__(self, config: MapperConfig) -> None:
        super().__init__(config)
        d, token = config.width, config.fold * config.target.width
        self.noise = config.target.width
        self.draws = config.head == "flow"
        self.enter, self.leave = nn.Linear(token, d), nn.Linear(d, token)
        self.time = nn.Sequential(nn.Linear(16, d), nn.SiLU(), nn.Linear(d, d))
        self.register_buffer("grain", torch.ones(config.target.width))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    # --- learning ---

    def loss(self, tokens: torch.Tensor, clean: torch.Tensor, weight: torch.Tensor, g: torch.Generator) -> torch.Tensor:
        clean = self.fold(clean)
        n, blocks = clean.shape[:2]
        told = self.told(tokens)
        t, noise = torch.zeros(n, blocks), torch.zeros(clean.shape)
        if self.draws:
            t = flow_times(g, n, blocks)
            noise = torch.randn(clean.shape, generator=g)
            forgotten = torch.rand(n, 1, generator=g) < self.config.forget
            told = torch.where(forgotten.to(told.device), self.nothing, told)
        blur = self.config.blur * torch.rand(n, 1, 1, 1, generator=g) * torch.randn(clean.shape, generator=g)
        alone = (torch.rand(n, blocks, generator=g) < self.config.alone).to(clean.device)
        t, noise, blur = (part.to(clean) for part in (t, noise, blur))
        x = torch.lerp(noise, clean, t[..., None, None])
        error = self.velocity(x, self.means(clean + blur, x, t, told, alone), t) - (clean - noise)
        return weighted(error, self.fold(weight))

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
        turns = self.turns(torch.arange(blocks * tokens, device=clean.device)).repeat(2, 1)
        hidden = torch.zeros(n, 2, 2, blocks * tokens, blocks * tokens, dtype=torch.bool, device=clean.device)
        hidden[:, 1, 0] = alone.repeat_interleave(tokens, 1)[..., None]
        sees = self._sees(blocks, clean.device) & ~hidden.transpose(2, 3).flatten(3).flatten(1, 2)[:, None]

        def attend(qkv: torch.Tensor) -> torch.Tensor:
            qk, v = self.split(qkv.flatten(1, 2))
            q, k = turned(qk, turns)
            return joined(F.scaled_dot_product_attention(q, k, v, sees)).unflatten(1, (2 * blocks, tokens))

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

    def changes(self, told: torch.Tensor, t: torch.Tensor) -> list[Sequence[torch.Tensor]]:
        """For each layer its six changes (…, width); `told` (…, width), `t` (…)."""
        return self.changed(told + self.time(clock(t)))

    def said(self, x: torch.Tensor) -> torch.Tensor:
        return self.leave(F.layer_norm(x, (self.config.width,)))

    def velocity(self, x: torch.Tensor, mean: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """dx/dt at time t (n, blocks) if what comes is N(mean, s²); see this module's docstring."""
        t = t[..., None, None]
        s2 = self.grain.repeat(self.config.fold).square()
        return ((t * s2 - (1 - t)) * x + (1 - t) * mean) / ((1 - t).square() + t.square() * s2)

    def begin(self, tokens: torch.Tensor, steps: int, guidance: float) -> Run:
        return _BlocksRun(self, tokens, steps, guidance) if self.draws else _BlocksRun(self, tokens, 1, 1.0)


class _BlocksRun(Run):
    """Blocks after blocks. Of the past, each layer's keys and values of the last `context` blocks are kept; keys are
    turned to their place when it is known how far back they lie."""

    def __init__(self, head: Blocks, tokens: torch.Tensor, steps: int, guidance: float) -> None:
        config = head.config
        self._head = head
        self._guidance = guidance
        self._most = config.context * head.tokens
        self._turns = head.turns(torch.arange(self._most + head.tokens, device=tokens.device))
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
        all_keys = torch.cat([turned(keys, self._turns[:past]), room], 2)
        all_values = torch.cat([values, room], 2)

        def attend(qkv: torch.Tensor) -> torch.Tensor:
            qk, v = head.split(qkv)
            q, all_keys[:, :, past:] = turned(qk, turns)
            all_values[:, :, past:] = v
            return joined(F.scaled_dot_product_attention(q, all_keys, all_values))

        return attend


def turned(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """(…, tokens, head) with each pair of dimensions turned by its token's angle."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)


def joined(heads: torch.Tensor) -> torch.Tensor:
    """(n, heads, tokens, head) → (n, tokens, width)."""
    return heads.transpose(1, 2).flatten(2)


def weighted(error: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (error.square() * weight).sum() / weight.sum()
