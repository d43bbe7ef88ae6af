"""The way back: what ears heard → latents of a picture.

    ears' frames, where they lie in the ─ listen ─▶ notion ─ flow ─▶ a grid of latents
    space that eyes and ears share,                     └ sketch ┘
    and the sound's log-mel picture

First comes a notion of what is to be seen: numbers that say how eyes would see it on the whole, and what is known of it
in worlds where that is known (how long a bird's bill is, how dense what was struck). So whoever draws can learn from
pictures with what is true of them, and need not find out in the same steps what a sound says (as unCLIP draws from an
image's embedding: Ramesh et al. 2022). Led by what ears heard itself, a flow of this size came to draw how large a bird
is and none of its plumage.

A small network of convolutions sketches what that would look like on average, at one stroke; the flow sees the sketch
beside its noise, and what is left to it is all that may be otherwise.

It is the mapper turned round, on the same parts: `heads.Led` leads a Transformer by adaptive layer norms. Here each
token is a square of the grid; its row and column turn half of each head's dimensions each (rotary embedding along two
axes: Heo et al., ECCV 2024). From noise to a picture the Transformer says how to go (rectified flow: Liu et al., ICLR
2023; a Transformer over latents: Peebles & Xie, ICCV 2023).

What is known of a picture stays: at every step the known latents, with as much of the noise as that step has, take the
place of what was drawn there (Lugmayr et al., RePaint, CVPR 2022, §4.1), so that the rest is drawn to fit them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..encoders.audio import BANDS
from ..senses import InputError
from ..spaces import Space, SpaceError
from .heads import TOKENS, Led, clock, flow_times, joined, turned
from .mapper import drawn_noise, still
from .scale import Scale

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


WORTHLESS, RIGHT = 0.45, 0.3  # spreads of latents by which a sketch is wrong; pictures begun with the first stay plain
LATEST = 0.9  # at which the flow begins; seeds would make no difference later
RIDGE = 0.1  # for each notion that doubt is fitted on


@dataclass(frozen=True)
class PicturingConfig:
    """Spaces and sizes. `source` is the space that eyes and ears share, `ears` that of the ears' own frames, which know
    more; `target` is the picture codec's, with `grid` latents along a side, `patch` × `patch` of them one token.

    A sound is heard by `questions`, each a mean of its frames with an attention of its own; so it is by a small ear of
    the bridge's own with so many `channels`, for what frozen ears have not kept (how fast a bird trills). `forget` is
    the share of training items whose condition is dropped, so that guidance has something to lead away from. By `blur`,
    in spreads, a notion is moved in training: that of a sound it has never heard is never quite right. A notion has
    so many numbers as `notion`, the network that sketches so many channels as `sketch`.
    """

    source: Space
    ears: Space
    target: Space
    notion: int
    grid: int = 16
    patch: int = 2
    width: int = 256
    layers: int = 8
    heads: int = 4
    dropout: float = 0.1
    questions: int = 8
    channels: tuple[int, ...] = (16, 32, 48, 64)
    forget: float = 0.1
    blur: float = 0.1
    sketch: int = 64

    def __post_init__(self) -> None:
        sizes = (self.source.width, self.ears.width, self.target.width, self.grid, self.patch, self.width, self.layers)
        sizes += (self.heads, self.questions, self.notion, self.sketch, *self.channels)
        if not self.channels or not all(isinstance(size, int) and 1 <= size <= 8192 for size in sizes):
            raise InputError("The sizes of a picturing bridge are whole numbers between 1 and 8192.")
        if self.width % (4 * self.heads) or self.grid % self.patch:
            raise InputError(
                f"A picturing bridge's width ({self.width}) is a multiple of four times its heads ({self.heads}), "
                f"its grid ({self.grid}) of its patch ({self.patch})."
            )
        if not (0 <= self.dropout < 1 and 0 <= self.forget < 1 and 0 <= self.blur <= 10):
            raise InputError("Dropout and forget are at least 0 and below 1, blur is at most 10.")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PicturingConfig:
        """What `dataclasses.asdict` gave, perhaps by way of JSON. Raises InputError for anything else."""
        try:
            told = dict(values)
            source, ears, target = (Space(**told.pop(name)) for name in ("source", "ears", "target"))
            told["channels"] = tuple(told["channels"])
            return cls(source=source, ears=ears, target=target, **told)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"This is no configuration of a picturing bridge: {error}") from error


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of n pictures: latents (n, rows, columns, width), and where they are to be drawn anew."""

    latents: Float[torch.Tensor, "n rows columns latent"]
    draw: Bool[torch.Tensor, "n rows columns"]


class Picturing(nn.Module):
    """Frames of ears in `source` (and in `ears`) → latents in `target`, a grid of them."""

    def __init__(self, config: PicturingConfig) -> None:
        super().__init__()
        self.config = config
        self.source, self.target = config.source, config.target
        self.scale = Scale(config.target)
        self.ear = _Listen(config)
        self.tell = nn.Linear(TOKENS * config.width, config.notion)
        self.sketch = _Sketch(config)
        self.doubt = nn.Linear(config.notion, 1)
        self.flow = _Flow(config)

    def fit_scale(self, latents: Float[torch.Tensor, "n rows columns latent"]) -> None:
        """Learn mean and range of each channel from pictures, and one spread for all: what varies more counts for more.

        Before training.
        """
        self._check(latents)
        self.scale.fit(latents.flatten(0, 2))
        self.scale.std.fill_(self.scale.std.max())

    def listen(
        self,
        shared: Float[torch.Tensor, "n time source"],
        frames: Float[torch.Tensor, "n time ears"],
        real: Int[torch.Tensor, " n"],
        mel: Float[torch.Tensor, "n bands moments"],
    ) -> Float[torch.Tensor, "n notion"]:
        """The notion of what is to be seen, from the `real` first frames of each sound and its log-mel picture.

        The picture is `encoders.audio.log_mel`'s, of the same sound; it may be repeated.
        """
        return self.tell(self.ear(shared, frames, real, mel).flatten(1))

    def loss(
        self,
        notion: Float[torch.Tensor, "n notion"],
        latents: Float[torch.Tensor, "n rows columns latent"],
        g: torch.Generator,
    ) -> dict[str, torch.Tensor]:
        """What the flow minimises on true latents: the squared error of the velocity; `g` is on the CPU."""
        self._check(latents)
        notion = self._blurred(notion, g)
        with torch.no_grad():
            sketch = self._folded(self.sketch(notion))
        return {"latents": self.flow.loss(notion, sketch, self._folded(self.scale(latents)), g)}

    def sketch_loss(
        self,
        notion: Float[torch.Tensor, "n notion"],
        latents: Float[torch.Tensor, "n rows columns latent"],
        weight: Float[torch.Tensor, " latent"],
        g: torch.Generator,
    ) -> dict[str, torch.Tensor]:
        """What the sketch minimises on true latents, before the flow learns: its squared error, each axis weighted."""
        self._check(latents)
        gaps = self.sketch(self._blurred(notion, g)) - self.scale(latents)
        return {"sketch": (weight * gaps.square()).mean()}

    def draw(
        self,
        notion: Float[torch.Tensor, "n notion"],
        seeds: Sequence[int],
        *,
        steps: int = 12,
        guidance: float = 3.0,
        emphasis: Float[torch.Tensor, " notion"] | None = None,
        known: Known | None = None,
    ) -> Float[torch.Tensor, "n rows columns latent"]:
        """Latents of a picture for each notion and seed, in the codec's units.

        `steps` from noise to picture; `guidance` says how far the notion leads beyond what any picture would be (1
        as learned, 0 not at all), and the numbers of the notion are multiplied by `emphasis` before. Noise is drawn on
        the CPU from the seed, so that the same seed gives the same picture, whatever is drawn beside it. Where
        something is `known` it stays as it is.

        The flow begins as far on its way as the sketch is sure (see `begins`), with as much of the sketch as it then
        has of a picture (Meng et al., SDEdit, ICLR 2022).
        """
        if len(seeds) != len(notion):
            raise InputError(f"Each of {len(notion)} pictures needs a seed of its own; {len(seeds)} are given.")
        if not (1 <= steps <= 1000 and math.isfinite(guidance)):
            raise InputError(f"A flow has 1 to 1000 steps and a finite guidance, not {steps} and {guidance}.")
        c = self.config
        shape = (self.flow.tokens, c.patch**2 * c.target.width)
        noise = torch.from_numpy(np.stack([drawn_noise(seed, 0, shape) for seed in seeds])).to(notion.device)
        fixed = None
        if known is not None:
            self._check(known.latents)
            here = known.draw[..., None].expand_as(known.latents)
            fixed = (self._folded(self.scale(known.latents)), self._folded(here))
        with still(self):
            begin = self.begins(notion)
            notion = notion if emphasis is None else emphasis * notion
            x = self.flow.draw(notion, self._folded(self.sketch(notion)), noise, steps, guidance, begin, fixed)
            latents = self.scale.invert(self._unfolded(x))
        return latents if known is None else torch.where(known.draw[..., None], latents, known.latents)

    def fit_doubt(
        self, notion: Float[torch.Tensor, "n notion"], latents: Float[torch.Tensor, "n rows columns latent"]
    ) -> None:
        """Learn how wrong the sketch of a notion is going to be: a line through the logarithms of its squared errors.

        After the sketch has learned; `notion` as it was told from sounds.
        """
        with torch.no_grad(), still(self):
            gaps = (self.sketch(notion) - self.scale(latents)).square().mean((1, 2, 3)).log()
            x, y = notion - notion.mean(0), gaps - gaps.mean()
            ridge = RIDGE * len(x) * torch.eye(x.shape[1])
            weight = torch.linalg.solve(x.T @ x + ridge, x.T @ y)
            self.doubt.weight.copy_(weight[None])
            self.doubt.bias.copy_(gaps.mean() - notion.mean(0) @ weight)

    def begins(self, notion: Float[torch.Tensor, "n notion"]) -> Float[torch.Tensor, " n"]:
        """Where on its way from noise (0) to a picture (1) the flow begins: the later, the less wrong the sketch is
        going to be. One that is as wrong as `WORTHLESS` is not begun with, one that is `RIGHT` is hardly changed.
        """
        wrong = (self.doubt(notion)[:, 0] / 2).exp()
        return LATEST * ((WORTHLESS - wrong) / (WORTHLESS - RIGHT)).clamp(0.0, 1.0)

    def _blurred(self, notion: torch.Tensor, g: torch.Generator) -> torch.Tensor:
        return notion + self.config.blur * torch.randn(notion.shape, generator=g).to(notion)

    def _check(self, latents: torch.Tensor) -> None:
        if latents.shape[-1] != self.target.width:
            raise SpaceError(f"The space {self.target.name} has {self.target.width} dimensions, not {latents.shape}.")
        if latents.shape[1:3] != (self.config.grid, self.config.grid):
            raise InputError(f"A picture is {self.config.grid} latents wide and high, not {tuple(latents.shape[1:3])}.")

    def _folded(self, grid: torch.Tensor) -> torch.Tensor:
        """(n, rows, columns, width) → (n, tokens, patch² · width), tokens row by row."""
        p = self.config.patch
        parts = grid.unflatten(2, (-1, p)).unflatten(1, (-1, p)).permute(0, 1, 3, 2, 4, 5)
        return parts.flatten(3).flatten(1, 2)

    def _unfolded(self, tokens: torch.Tensor) -> torch.Tensor:
        p, side = self.config.patch, self.config.grid // self.config.patch
        parts = tokens.unflatten(2, (p, p, -1)).unflatten(1, (side, side)).permute(0, 1, 3, 2, 4, 5)
        return parts.flatten(3, 4).flatten(1, 2)


class _Pool(nn.Module):
    """Attentive pooling of frames (n, frames, width): means by learned questions, their mean and their spread."""

    def __init__(self, width: int, questions: int) -> None:
        super().__init__()
        self.questions = nn.Linear(width, questions)

    def forward(self, x: torch.Tensor, here: torch.Tensor) -> torch.Tensor:
        """`here` (n, frames): which there are."""
        weight = self.questions(x).masked_fill(~here[..., None], -torch.inf).softmax(1)
        share = (here / here.sum(1, keepdim=True))[..., None]
        mean = (x * share).sum(1)
        spread = ((x - mean[:, None]).square() * share).sum(1).add(1e-6).sqrt()
        return torch.cat([(weight.transpose(1, 2) @ x).flatten(1), mean, spread], 1)


class _Listen(nn.Module):
    """What frozen ears heard, and what a small ear hears in the log-mel picture, pooled each by itself."""

    def __init__(self, config: PicturingConfig) -> None:
        super().__init__()
        d, c = config.width, config.channels
        self.from_shared = nn.Linear(config.source.width, d)
        self.from_ears = nn.Sequential(nn.LayerNorm(config.ears.width), nn.Linear(config.ears.width, d))
        self.mix = nn.Sequential(nn.GELU(), nn.Linear(d, d), nn.GELU())
        steps: list[nn.Module] = []
        for inner, outer in zip((1, *c), c, strict=False):
            steps += [nn.Conv2d(inner, outer, 3, 2, 1, bias=False), nn.BatchNorm2d(outer), nn.GELU()]
        self.own = nn.Sequential(*steps)
        self.from_own = nn.Sequential(nn.Linear(-(-BANDS // 2 ** len(c)) * c[-1], d), nn.GELU())
        self.pools = nn.ModuleList(_Pool(d, config.questions) for _ in range(2))
        self.says = nn.Sequential(
            nn.Linear(2 * (config.questions + 2) * d, 2 * d), nn.GELU(), nn.Dropout(2 * config.dropout),
            nn.Linear(2 * d, TOKENS * d),
        )  # fmt: skip

    def forward(
        self, shared: torch.Tensor, frames: torch.Tensor, real: torch.Tensor, mel: torch.Tensor
    ) -> torch.Tensor:
        x = self.mix(self.from_shared(shared) + self.from_ears(frames))
        y = self.from_own(self.own(mel[:, None] / 7 + 1).flatten(1, 2).transpose(1, 2))
        here = torch.arange(x.shape[1], device=x.device) < real[:, None]
        first, second = self.pools
        heard = torch.cat([first(x, here), second(y, torch.ones_like(y[..., 0], dtype=torch.bool))], 1)
        return self.says(heard).unflatten(1, (TOKENS, -1))


class _Sketch(nn.Module):
    """A notion → the latents of its picture on average (n, rows, columns, latent), in spreads."""

    def __init__(self, config: PicturingConfig) -> None:
        super().__init__()
        d, c = config.width, config.sketch
        self.sides = [max(1, config.grid // 4), max(1, config.grid // 2), config.grid]
        self.begin = nn.Sequential(nn.Linear(config.notion, 2 * d), nn.GELU(), nn.Linear(2 * d, c * self.sides[0] ** 2))
        self.finer = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.GELU(), nn.Conv2d(c, c, 3, padding=1), nn.GELU())
            for _ in self.sides[1:]
        )
        self.leave = nn.Conv2d(c, config.target.width, 3, padding=1)

    def forward(self, notion: torch.Tensor) -> torch.Tensor:
        x = self.begin(notion)
        x = x.unflatten(1, (-1, self.sides[0], self.sides[0]))
        for side, layers in zip(self.sides[1:], self.finer, strict=True):
            x = layers(F.interpolate(x, (side, side)))
        return self.leave(x).permute(0, 2, 3, 1)


class _Flow(Led):
    """The velocity of a picture's folded latents at a time, 0 noise, 1 clean."""

    turn: torch.Tensor

    def __init__(self, config: PicturingConfig) -> None:
        super().__init__(config)
        d, token = config.width, config.patch**2 * config.target.width
        self.config = config
        side = config.grid // config.patch
        self.tokens = side**2
        self.lead = nn.Sequential(nn.Linear(config.notion, 2 * d), nn.GELU(), nn.Linear(2 * d, TOKENS * d))
        self.enter, self.leave = nn.Linear(2 * token, d), nn.Linear(d, token)
        self.time = nn.Sequential(nn.Linear(16, d), nn.SiLU(), nn.Linear(d, d))
        place = torch.arange(side)
        by_row, by_column = self.turns(place.repeat_interleave(side)), self.turns(place.repeat(side))
        odd = torch.arange(by_row.shape[1]) % 2 == 1
        self.register_buffer("turn", torch.where(odd, by_row, by_column), persistent=False)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def led(self, notion: torch.Tensor) -> torch.Tensor:
        """What leads all layers, (n, width)."""
        return self.told(self.lead(notion).unflatten(1, (TOKENS, -1)))

    def loss(self, notion: torch.Tensor, sketch: torch.Tensor, clean: torch.Tensor, g: torch.Generator) -> torch.Tensor:
        n = len(clean)
        forgotten = (torch.rand(n, 1, generator=g) < self.config.forget).to(clean.device)
        told = torch.where(forgotten, self.nothing, self.led(notion))
        sketch = sketch.masked_fill(forgotten[..., None], 0.0)
        t, noise = flow_times(g, n).to(clean), torch.randn(clean.shape, generator=g).to(clean)
        x = torch.lerp(noise, clean, t[:, None, None])
        return (self.velocity(x, t, told, sketch) - (clean - noise)).square().mean()

    def velocity(self, x: torch.Tensor, t: torch.Tensor, told: torch.Tensor, sketch: torch.Tensor) -> torch.Tensor:
        """dx/dt of x (n, tokens, patch² · width) at times t (n,), led by `told` (n, width) and the sketch of x."""

        def attend(qkv: torch.Tensor) -> torch.Tensor:
            qk, v = self.split(qkv)
            q, k = turned(qk, self.turn)
            return joined(F.scaled_dot_product_attention(q, k, v))

        x = self.enter(torch.cat([x, sketch], -1))
        for layer, change in zip(self.layers, self.changed((told + self.time(clock(t)))[:, None]), strict=True):
            x = layer(x, change, attend)
        return self.leave(F.layer_norm(x, (self.config.width,)))

    def draw(
        self,
        notion: torch.Tensor,
        sketch: torch.Tensor,
        noise: torch.Tensor,
        steps: int,
        guidance: float,
        begin: torch.Tensor,
        fixed: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> torch.Tensor:
        """From noise to clean latents; `fixed` are known ones, and where they are not (true where to draw).

        Each step goes on as the velocity changed in the last one (Adams and Bashforth's second order), at no cost.
        """
        told = self.led(notion)
        both = torch.cat([told, self.nothing.expand_as(told)]), torch.cat([sketch, torch.zeros_like(sketch)])
        begin = begin[:, None, None]
        x, last = torch.lerp(noise, sketch, begin), None
        for step in range(steps):
            time = torch.lerp(begin, torch.ones_like(begin), step / steps)
            t = time[:, 0, 0]
            if fixed is not None:
                x = torch.where(fixed[1], x, torch.lerp(noise, fixed[0], time))
            if guidance == 1:
                v = self.velocity(x, t, told, sketch)
            else:
                led, free = self.velocity(x.repeat(2, 1, 1), t.repeat(2), *both).chunk(2)
                v = torch.lerp(free, led, guidance)
            x = x + (v if last is None else 1.5 * v - 0.5 * last) * (1 - begin) / steps
            last = v
        return x
