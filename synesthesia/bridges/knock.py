"""The physics adapter: a picture and a click → physics tokens → the modes of what was struck → its sound.

The tokens come before the sound ("thinking" in physics instead of words): vectors whose meaning was learned from
worlds of known truth. They can be read (`Physics`), replaced or scaled (`Physics.with_`), and only then is anything
made to sound. Nothing on the way reads or writes a word; a material is a code of a codebook shared with sounds, or a
point between codes.

Sound fixes E/ρ (through pitch) and η (through decay); E and ρ apart are guessed from the picture and the level alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import hub
from ..encoders.audio import Ears
from ..encoders.vision import Eyes, EyesConfig, to_square
from ..physics import strike as contact
from ..physics.bank import FULL_SCALE, contact_noise, modal_bank
from ..physics.materials import support_loss
from ..senses import MALLETS, SUPPORTS, Image, InputError, Sound, Support
from .sorts import Coats, Sorts, even

if TYPE_CHECKING:
    from jaxtyping import Float, Int

LINES = 32  # spectral lines (doublets merged) that are predicted
CODES = 16  # entries of the material codebook
KINDS = 24  # components of the mixture in which the matter token is read out
ALIKE = 0.7  # how far apart two of their centres are that mean nearly the same
# Frequencies in Hz at which the losses that neither the material nor the support explains (coating, radiation) are
# predicted.
ANCHORS = np.geomspace(50.0, 16000.0, 9)
# What a material is, as the decoder sees it: natural logarithms, but for the slopes. Its losses are its own (hung) and
# those it has on a table.
MATTER = (
    "wave_speed", "density", "loss", "loss_slope", "rest_loss", "rest_slope", "noise_level", "noise_seconds", "noise_hz"
)  # fmt: skip
MATTER_MEAN = np.array([7.6, 7.5, -5.0, -0.2, -4.0, -0.7, -2.5, -4.0, 8.2], np.float32)
MATTER_SCALE = np.array([1.0, 0.9, 2.0, 0.3, 1.5, 1.0, 1.2, 1.2, 0.6], np.float32)
_SLOPES = [3, 5]


@dataclass(frozen=True)
class KnockConfig:
    """Sizes of the adapter; `eyes` are the eyes' own."""

    eyes: EyesConfig = dataclasses.field(default_factory=EyesConfig)
    width: int = 192
    heads: int = 6
    layers: int = 3
    dropout: float = 0.1
    sorts: int = 26  # of shapes, that are told apart
    coats: int = 5  # coverings that are told apart, being bare among them
    # Factors on the standard deviation of log f₁ so that 80 % intervals cover 80 % of validation objects: size unknown,
    # size given.
    spread: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture that was looked at once: maps at strides 8, 16, 32 (float32), its width over its height."""

    maps: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    aspect: float

    @property
    def pooled(self) -> Float[np.ndarray, " width"]:
        """One vector for the whole picture (mean of the two deepest maps)."""
        return torch.cat([m.mean((1, 2)) for m in self.maps[1:]]).numpy()


@dataclass(frozen=True, eq=False)
class Physics:
    """What the model thinks was struck, for n clicks; numpy arrays with n first, SI units.

    `shape_frequency` is f·size/c of each line (a property of the shape alone). `loss` and `loss_slope` are the
    material's own loss factor at 1 kHz and its power of frequency, `rest_loss` and `rest_slope` the same for a body on
    a table, `extra_loss` the loss factor of everything else (coating, radiation) at `ANCHORS`. `gain` is in pascals at
    the listener for a very short push of 1 N (times `strike.REFERENCE_PULSE`) along the inward normal. `log_f1_std` is
    the standard deviation of the natural logarithm of the lowest frequency. `damping` multiplies all losses. `noise`
    holds level (relative to the modal sound), seconds (to fall by 60 dB) and centre frequency in Hz of the contact
    noise. `prototypes` are the materials of the codes.
    `struck` is "object" or "surround" (table, wall, ground).
    """

    wave_speed: Float[np.ndarray, " n"]
    density: Float[np.ndarray, " n"]
    loss: Float[np.ndarray, " n"]
    loss_slope: Float[np.ndarray, " n"]
    rest_loss: Float[np.ndarray, " n"]
    rest_slope: Float[np.ndarray, " n"]
    noise: Float[np.ndarray, "n 3"]
    size_m: Float[np.ndarray, " n"]
    wall_m: Float[np.ndarray, " n"]
    fill: Float[np.ndarray, " n"]
    hollow: Float[np.ndarray, " n"]
    shape_frequency: Float[np.ndarray, "n lines"]
    extra_loss: Float[np.ndarray, "n anchors"]
    gain: Float[np.ndarray, "n lines"]
    log_f1_std: Float[np.ndarray, " n"]
    support_probs: Float[np.ndarray, "n 3"]
    code_probs: Float[np.ndarray, "n codes"]
    code: Int[np.ndarray, " n"]
    normal: Float[np.ndarray, "n 3"]
    struck: np.ndarray
    prototypes: Float[np.ndarray, "codes matter"]
    damping: Float[np.ndarray, " n"]

    @cached_property
    def frequency(self) -> Float[np.ndarray, "n lines"]:
        """Hz, rising: f = (f·size/c)·c/size (all elastic bodies scale so)."""
        return self.shape_frequency * (self.wave_speed / self.size_m)[:, None]

    @property
    def log_f1_mean(self) -> Float[np.ndarray, " n"]:
        """Natural logarithm of the lowest frequency in Hz."""
        return np.log(self.frequency[:, 0])

    @property
    def youngs_modulus(self) -> Float[np.ndarray, " n"]:
        """E = c²ρ in Pa."""
        return self.wave_speed**2 * self.density

    @property
    def mass(self) -> Float[np.ndarray, " n"]:
        """ρ × volume in kg; `fill` is the volume over the cube of the size."""
        return self.density * self.fill * self.size_m**3

    @cached_property
    def total_loss(self) -> Float[np.ndarray, "n lines"]:
        """The loss factor η of each line: material, likeliest support and everything else, times `damping`."""
        f = np.clip(self.frequency, 20.0, 24000.0)
        matter = self.loss[:, None] * (f / 1000.0) ** self.loss_slope[:, None]
        at_rest = self.rest_loss[:, None] * (f / 1000.0) ** self.rest_slope[:, None]
        held = support_loss(matter, at_rest, f)[self.support_probs.argmax(-1), np.arange(len(f))]
        grid = np.log(ANCHORS)
        extra = np.stack(
            [np.exp(np.interp(np.log(row), grid, np.log(e))) for row, e in zip(f, self.extra_loss, strict=True)]
        )
        return self.damping[:, None] * (matter + held + extra)

    @property
    def t60(self) -> Float[np.ndarray, "n lines"]:
        """Seconds to fall by 60 dB: 2.2/(f η) (Cremer, Heckl & Petersson, §3.4)."""
        return 2.2 / (self.frequency * self.total_loss)

    def with_(
        self,
        mass: float = 1.0,
        stiffness: float = 1.0,
        size: float = 1.0,
        damping: float = 1.0,
        code: int | None = None,
    ) -> Physics:
        """The same object with some of its physics changed; each factor multiplies, the rest is kept.

        mass × m: density × m at the same size and E, so f / √m. stiffness × s: E × s, so f × √s. size × s: all lengths,
        so f / s. damping × d: all losses, so T60 / d. `code` replaces the material by that code's.
        """
        p = self
        if code is not None:
            if not 0 <= code < len(self.prototypes):
                raise InputError(f"Material codes go from 0 to {len(self.prototypes) - 1}; there is no {code}.")
            m = np.repeat(self.prototypes[code][None], len(self.code), 0)
            ratio = m[:, 1] / self.density
            probs = np.zeros_like(self.code_probs)
            probs[:, code] = 1
            p = dataclasses.replace(
                p, **_matter(m),
                gain=self.gain / ratio[:, None], code=np.full_like(self.code, code), code_probs=probs,
            )  # fmt: skip
        return dataclasses.replace(
            p,
            density=p.density * mass,
            wave_speed=p.wave_speed * math.sqrt(stiffness / mass),
            size_m=p.size_m * size,
            wall_m=p.wall_m * size,
            # The response to an impulse goes with 1/mass; a larger body also radiates from a larger surface.
            gain=p.gain / (mass * size),
            damping=p.damping * damping,
        )  # fmt: skip


class _Fourier(nn.Module):
    """Positions in the picture, absolute and relative to the click, as a vector."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bands: torch.Tensor
        self.register_buffer("bands", math.pi * 2.0 ** torch.arange(4), persistent=False)
        self.mix = nn.Linear(2 * 2 * 2 * 4 + 5, width)

    def forward(self, place: torch.Tensor, click: torch.Tensor) -> torch.Tensor:
        away = place - click
        both = torch.cat([place, away], -1)
        angle = (both[..., None] * self.bands).flatten(-2)
        return self.mix(torch.cat([angle.sin(), angle.cos(), both, away.norm(dim=-1, keepdim=True)], -1))


def _mlp(inner: int, outer: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(inner), nn.Linear(inner, hidden), nn.GELU(), nn.Linear(hidden, outer))


TOKENS = ("matter", "body", "modes", "loss", "contact")
GIVEN = 2 + 2 + 3 + 1 + 1  # size and wall (value, given), support one-hot, support given, aspect


class Thinker(nn.Module):
    """Picture maps and a click → five physics tokens → their meanings.

    The tokens are learned queries that look at the picture through attention (Vaswani et al., 2017), with places told
    relative to the click. What the caller knows (size, wall, support) joins as one more thing to look at.
    """

    def __init__(self, config: KnockConfig) -> None:
        super().__init__()
        d = config.width
        w = config.eyes.widths
        self.where = _Fourier(d)
        self.from8, self.from16, self.from32 = nn.Linear(w[1], d), nn.Linear(w[2], d), nn.Linear(w[3], d)
        self.given = nn.Sequential(nn.Linear(GIVEN, d), nn.GELU(), nn.Linear(d, d))
        self.queries = nn.Parameter(torch.randn(len(TOKENS), d) * 0.3)
        self.at_click = nn.Linear(w[1] + w[2] + w[3], d)
        # Which places show the thing that was struck: a soft mask, over which the deeper maps are averaged.
        self.belongs = nn.Sequential(nn.Linear(w[2] + d, 64), nn.GELU(), nn.Linear(64, 1))
        self.whole = nn.Linear(w[2] + w[3], len(TOKENS) * d)
        self.dropout = config.dropout
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                d, config.heads, 3 * d, config.dropout, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(d)
        # The matter token is read as a mixture of Gaussians around fixed centres: when glass and plastic both fit the
        # picture, the sound should be that of one of them, not of a mean that no object has.
        self.matter = _mlp(d, KINDS * (1 + len(MATTER)), d)
        # Which centre it is, read straight off what is seen: fitted as a whole when the eyes have learned, it knows
        # more than what the token says of the centres, by which eyes and token learn.
        seen = 2 * (w[2] + w[3]) + w[1] + w[2] + w[3]
        self.straight = even(seen, KINDS)
        self.sorts = Sorts(seen, config.sorts, LINES)
        self.coats = Coats(seen, config.coats, len(ANCHORS))
        self.centres: torch.Tensor
        self.register_buffer("centres", torch.zeros(KINDS, len(MATTER)))
        # The direction compared with the codebook, from the matter token and how likely each centre is.
        self.code = _mlp(d + KINDS, 64, d)
        self.codebook = nn.Parameter(F.normalize(torch.randn(CODES, 64), dim=-1))
        self.prototypes: torch.Tensor
        self.register_buffer("prototypes", torch.zeros(CODES, len(MATTER)))
        # log size, its log std, log wall/size, hollow, log fill, struck, normal
        self.body = _mlp(d, 9, d)
        self.support = _mlp(d, len(SUPPORTS), d)
        # log f₁·size/c and how it rises with the wall, then log ratios between neighbours before softplus
        self.modes = _mlp(d, 2 + LINES - 1, 2 * d)
        self.spread = _mlp(d, 1, d)
        self.loss_ = _mlp(d, len(ANCHORS), d)
        self.contact = _mlp(3 * d, 1 + LINES, 2 * d)  # log level in Pa/(N s), then the lines relative to it

    def tokens(
        self, maps: Sequence[torch.Tensor], click: torch.Tensor, given: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(b, channels, h, w) maps, clicks (b, 2) in [0, 1], what is given (b, GIVEN) → (b, 5, width).

        With them, whether each place of the map at stride 16 belongs to what was struck, as logits (b, h, w), and what
        is seen of that, of the whole picture and at the click (b, features).
        """
        at8, at16, at32 = maps
        b = len(click)
        near = torch.linspace(-0.12, 0.12, 5, device=click.device)
        offsets = torch.stack(torch.meshgrid(near, near, indexing="xy"), -1).reshape(1, 25, 2)
        places8 = click[:, None] + offsets
        local = F.grid_sample(at8, 2 * places8[:, None] - 1, padding_mode="border", align_corners=False)[:, :, 0]
        parts = [self.from8(local.transpose(1, 2)) + self.where(places8, click[:, None])]
        for m, proj in ((at16, self.from16), (at32, self.from32)):
            h, w = m.shape[2:]
            ys, xs = (torch.arange(h, device=m.device) + 0.5) / h, (torch.arange(w, device=m.device) + 0.5) / w
            grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1).reshape(1, -1, 2).expand(b, -1, -1)
            parts.append(proj(m.flatten(2).transpose(1, 2)) + self.where(grid, click[:, None]))
        here = [
            F.grid_sample(m, 2 * click[:, None, None] - 1, padding_mode="border", align_corners=False)[:, :, 0, 0]
            for m in maps
        ]
        spot = self.at_click(torch.cat(here, -1))[:, None]
        memory = torch.cat([*parts, spot, self.given(given)[:, None]], 1)
        cells = at16.flatten(2).transpose(1, 2)
        belongs = self.belongs(torch.cat([cells, spot.expand(-1, cells.shape[1], -1)], -1))[..., 0]
        share = torch.sigmoid(belongs)
        deep = F.interpolate(at32, at16.shape[2:], mode="bilinear").flatten(2).transpose(1, 2)
        both = torch.cat([cells, deep], -1)
        whole = (both * share[..., None]).sum(1) / (share.sum(1, keepdim=True) + 1e-3)
        seen = torch.cat([whole, at16.mean((2, 3)), at32.mean((2, 3)), *here], -1)
        whole = F.dropout(whole, self.dropout, self.training)
        x = self.queries + self.whole(whole).unflatten(-1, (len(TOKENS), -1)) + spot + self.given(given)[:, None]
        for layer in self.layers:
            x = layer(x, memory)
        return self.norm(x), belongs.unflatten(-1, at16.shape[2:]), seen

    def forward(
        self, maps: Sequence[torch.Tensor], click: torch.Tensor, given: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Meanings of the tokens, in the units in which they are learned (logarithms, logits)."""
        tokens, belongs, seen = self.tokens(maps, click, given)
        t = dict(zip(TOKENS, tokens.unbind(1), strict=True))
        body = self.body(t["body"])
        modes = self.modes(t["modes"])
        ratios = torch.cumsum(F.softplus(modes[:, 2:] - 2.0), -1)
        rise = torch.cat([torch.zeros_like(ratios[:, :1]), ratios], -1)
        gains = self.contact(torch.cat([t["contact"], t["modes"], t["body"]], -1))
        kinds = self.matter(t["matter"]).unflatten(-1, (KINDS, 1 + len(MATTER)))
        means = self.centres + 0.5 * torch.tanh(kinds[..., 1:])
        straight = self.straight(seen)
        kind = kinds[..., 0] if self.training else straight
        thought = torch.cat([t["matter"], math.sqrt(KINDS) * straight.softmax(-1)], -1)
        direction = F.normalize(self.code(thought), dim=-1)
        # One of many like it is chosen, six metals share what one plastic has; then what is likely of those like it is
        # averaged: between neighbours a mean is still a material, and nearer than any of them.
        like = torch.exp(-0.5 * (torch.cdist(self.centres, self.centres) / ALIKE).square())
        likely = kind.softmax(-1)
        near = likely * like[(likely @ like).argmax(-1)]
        near = near / near.sum(-1, keepdim=True)
        log_size, log_wall = body[:, 0] - 1.5, body[:, 2] - 3.0
        # Thin things sound lower, as a power of the wall between 0 (a solid) and 1 (a plate, a shell).
        known_size = torch.where(given[:, 1] > 0, given[:, 0] - 1.5, log_size.detach())
        thin = torch.where(given[:, 3] > 0, given[:, 2] - 4.5 - known_size, log_wall.detach()).clamp(-8.0, 0.0)
        first = modes[:, 0] - 1.5 + (1.3 * torch.sigmoid(modes[:, 1]) - 0.15) * (thin + 3.0)
        log_shape, hollow = first[:, None] + rise, body[:, 3]
        log_extra = self.loss_(t["loss"]) - 5.0
        if not self.training:
            # What token and sorts say of lines is wrong in different ways: their mean is nearer than either, where
            # walls and hollowness are best left to the sorts. The token learns as if it were alone.
            log_wall, share, usual = self.sorts(seen, thin, given[:, 3] > 0)
            log_shape, hollow = 0.5 * (log_shape + usual), torch.logit(share, 1e-3)
            log_extra = torch.maximum(log_extra, self.coats(seen))  # the token says hardly ever that there is a coat
        return {
            "kind": kind,
            "straight": straight,
            "sort": self.sorts.which(seen),
            "coat": self.coats.which(seen),
            "means": means,
            "matter": (near[..., None] * means).sum(1),
            "direction": direction,
            "code": direction @ F.normalize(self.codebook, dim=-1).T / 0.1,
            "log_size": log_size,
            "log_size_std": body[:, 1].clamp(-4, 2) - 1.0,
            "log_wall": log_wall,
            "hollow": hollow,
            "log_fill": body[:, 4] - 2.0,
            "struck": body[:, 5] + 1.0,
            "normal": F.normalize(body[:, 6:9] + torch.tensor([0.0, 0.0, 1e-3], device=body.device), dim=-1),
            "support": self.support(t["body"]),
            "log_shape": log_shape,
            "log_spread": self.spread(t["modes"])[:, 0].clamp(-4, 2) - 1.0,
            "log_extra": log_extra,
            "log_gain": gains[:, :1] + gains[:, 1:],
            "thought": thought,
            "body_token": t["body"],
            "modes_token": t["modes"],
            "seen": seen,
            "belongs": belongs,
        }


def given_vector(n: int, aspect: Any, size_m: Any = None, wall_m: Any = None, support: Any = None) -> torch.Tensor:
    """What the caller knows, as the network takes it; NaN in `size_m` or `wall_m`, −1 in `support` mean "not given"."""

    def column(value: Any, blank: float) -> torch.Tensor:
        return torch.full((n,), blank) if value is None else torch.as_tensor(np.asarray(value, np.float32))

    size, wall, held = column(size_m, math.nan), column(wall_m, math.nan), column(support, -1.0).long()
    out = torch.zeros(n, GIVEN)
    know_size, know_wall = ~size.isnan(), ~wall.isnan()
    out[:, 0] = torch.where(know_size, (size.nan_to_num(1.0).log() + 1.5), torch.zeros(n))
    out[:, 1] = know_size.float()
    out[:, 2] = torch.where(know_wall, (wall.nan_to_num(1.0).log() + 4.5), torch.zeros(n))
    out[:, 3] = know_wall.float()
    rows = held >= 0
    out[rows, 4 + held[rows]] = 1.0
    out[:, 7] = rows.float()
    out[:, 8] = torch.as_tensor(np.asarray(aspect, np.float32)).log()
    return out


class Knock(nn.Module):
    """`knock/tiny`: eyes, thinker, the codebook's ears, and the modal bank that turns physics into sound."""

    def __init__(self, config: KnockConfig | None = None) -> None:
        super().__init__()
        self.config = config or KnockConfig()
        self.eyes = Eyes(self.config.eyes)
        self.thinker = Thinker(self.config)
        self.ears = Ears(64)

    # --- checkpoints ---

    @classmethod
    def load(cls, reference: str | Path) -> Knock:
        """A checkpoint (see `hub.load_model`), ready to use."""
        config, tensors = hub.load_model(reference)
        try:
            told = dict(config["model"])
            eyes = EyesConfig(**_tuples(told.pop("eyes")))
            model = cls(KnockConfig(eyes=eyes, **_tuples(told)))
            hub.fill(model, tensors, reference)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{reference} is not a knock model: {str(error).splitlines()[0]}") from error
        return model.eval()

    def save(self, folder: str | Path, card: hub.Card | None = None) -> Path:
        """Write a checkpoint folder in half precision."""
        return hub.save_model(folder, {"model": asdict(self.config)}, hub.halved(self), card)

    # --- seeing and thinking ---

    @torch.inference_mode()
    def see(self, images: Sequence[Image]) -> list[Seen]:
        """Encode pictures, each once; any number of clicks can follow."""
        out: list[Seen] = []
        for start in range(0, len(images), 32):
            part = images[start : start + 32]
            maps = self.eyes(to_square(part, self.config.eyes.size))
            for i, image in enumerate(part):
                out.append(Seen((maps[0][i], maps[1][i], maps[2][i]), image.width / image.height))
        return out

    @torch.inference_mode()
    def think(
        self,
        seen: Sequence[Seen],
        points: Float[np.ndarray, "n 2"],
        *,
        size_m: Float[np.ndarray, " n"] | None = None,
        wall_m: Float[np.ndarray, " n"] | None = None,
        support: Sequence[Support] | None = None,
    ) -> Physics:
        """Physics tokens for n clicks, the i-th on `seen[i]`, in SI units. NaN in `size_m`, `wall_m`: not given."""
        n = len(seen)
        maps = [torch.stack([s.maps[k] for s in seen]) for k in range(3)]
        held = None if support is None else [SUPPORTS.index(s) for s in support]
        given = given_vector(n, [s.aspect for s in seen], size_m, wall_m, held)
        out = self.thinker(maps, torch.as_tensor(np.asarray(points, np.float32)), given)
        o = {k: v.double().numpy() for k, v in out.items()}
        matter = o["matter"] * MATTER_SCALE + MATTER_MEAN
        prototypes = _natural(self.thinker.prototypes.double().numpy() * MATTER_SCALE + MATTER_MEAN)
        size = np.exp(o["log_size"])
        ratio = np.exp(np.minimum(o["log_wall"], 0.0))
        known = np.zeros(n, bool)
        if size_m is not None:
            known = ~np.isnan(size_m)
            size = np.where(known, size_m, size)
        wall = size * ratio
        if wall_m is not None:
            wall = np.where(np.isnan(wall_m), wall, wall_m)
        supports = np.eye(3)[held] if held is not None else _softmax(o["support"])
        probs = _softmax(o["code"])
        m = _natural(matter)
        spread = np.where(known, self.config.spread[1], self.config.spread[0])
        physics = Physics(
            **_matter(m), size_m=size, wall_m=wall, fill=np.exp(o["log_fill"]), hollow=_sigmoid(o["hollow"]),
            shape_frequency=np.exp(o["log_shape"]), extra_loss=np.exp(o["log_extra"]), gain=np.exp(o["log_gain"]),
            log_f1_std=np.exp(o["log_spread"]) * spread, support_probs=supports, code_probs=probs,
            code=probs.argmax(-1), normal=o["normal"], struck=np.where(o["struck"] > 0, "object", "surround"),
            prototypes=prototypes, damping=np.ones(n),
        )  # fmt: skip
        return _surround(physics)

    # --- sounding ---

    @torch.inference_mode()
    def sound(
        self,
        physics: Physics,
        force: float | tuple[float, float, float],
        hardness: float = MALLETS["wood"],
        speed: float | None = None,
        seconds: float = 1.5,
        rate: int = 44_100,
        seed: int = 0,
    ) -> list[Sound]:
        """One sound per click, exactly linear in `force` (newtons at the peak of the contact, or a vector)."""
        n = round(seconds * rate)
        count = len(physics.code)
        push = np.full(count, 1.0) * force if not isinstance(force, tuple) else -(physics.normal @ np.asarray(force))
        if isinstance(force, tuple):
            if (out := push < -1e-9 * np.abs(force).max()).any():
                normal = ", ".join(f"{v:.2f}" for v in physics.normal[out][0])
                raise InputError(
                    f"The force {force} points out of the surface, whose outward normal is seen as ({normal}); "
                    "turn it round, or give one number in newtons to push along the inward normal."
                )
            push = np.maximum(push, 0)
        if speed is not None:
            push = push * contact.speed_factors(speed)[1]
        touch = contact.hertz_seconds(hardness, physics.youngs_modulus, physics.mass, speed or 1.0)
        f, decay = physics.frequency, math.log(1000.0) / physics.t60
        amplitude = physics.gain * contact.contact_spectrum(f, touch[:, None]) * (f < 0.49 * rate)
        bank = (torch.from_numpy(part) for part in (f, decay, amplitude))
        waves = modal_bank(*bank, n, rate).numpy()
        sounds = []
        for i in range(count):
            level = float(np.sqrt(np.sum(np.abs(amplitude[i]) ** 2)))
            strength, fall, centre = physics.noise[i]
            burst = contact_noise(level * strength, fall, centre, n, rate, seed, attack=touch[i] / 3)
            sounds.append(Sound(((waves[i] + burst) * push[i] / FULL_SCALE).astype(np.float32)[None], rate))
        return sounds

    @torch.inference_mode()
    def hear_code(self, sounds: Sequence[Sound]) -> Float[np.ndarray, "n codes"]:
        """What material code each sound has, as probabilities: the codebook seen from the sound's side."""
        direction = self.ears.listen(sounds)
        return torch.softmax((direction @ F.normalize(self.thinker.codebook, dim=-1).T / 0.1).double(), -1).numpy()


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where the configurations have tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def _natural(matter: np.ndarray) -> np.ndarray:
    """Logarithms → units, slopes as they are; kept within what solids have."""
    out = np.exp(np.clip(matter, -12.0, 12.0))
    out[:, _SLOPES] = np.clip(matter[:, _SLOPES], -1.5, 0.5)
    return out


def _matter(natural: np.ndarray) -> dict[str, np.ndarray]:
    """The fields of `Physics` that a material decides, from rows of `MATTER` in units."""
    return dict(zip(MATTER[:6], natural[:, :6].T, strict=True)) | {"noise": natural[:, 6:]}


def _surround(p: Physics) -> Physics:
    """Clicks beside the object strike a thick damped slab of what is there: 0.6 m wide, 4 cm thick, on its ground.

    Its modes are those of a simply supported plate, f ∝ m² + n² (Leissa, Vibration of Plates, NASA SP-160, §4.1).
    """
    rows = p.struck == "surround"
    if not rows.any():
        return p
    m = np.arange(1, 16)
    squares = np.sort((m[:, None] ** 2 + m[None] ** 2).ravel())[:LINES] * (1 + 1e-3 * np.arange(LINES))
    side, thick = 0.6, 0.04
    shape = math.pi / (2 * math.sqrt(12 * (1 - 0.09))) * (thick / side) * squares
    replaced: dict[str, Any] = {
        "shape_frequency": shape, "size_m": side, "wall_m": thick, "fill": thick / side, "hollow": 0.0,
        "extra_loss": np.full(len(ANCHORS), 0.12),  # beside what the ground's own material and support lose
    }  # fmt: skip
    new = {}
    for name, value in replaced.items():
        column = getattr(p, name).copy()
        column[rows] = value
        new[name] = column
    mass = p.density * new["fill"] * new["size_m"] ** 3
    gain = p.gain.copy()
    gain[rows] = 0.2 / mass[rows, None] * np.ones(LINES)
    return dataclasses.replace(p, gain=gain, **new)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)
