"""The voice `neural`: a small causal network between a sound and 64 numbers 50 times a second, or codes of them.

Short-time spectra go in and come out: the last layer says the magnitude and phase of every bin, and overlapping windows
become the sound (Siuzdak 2023, Vocos: such a head learns from less than one that makes samples by transposed
convolutions). Between them are causal convolutions of the ConvNeXt kind (Liu et al. 2022). A frame of latents is
20 ms, 640 samples at 32 kHz; it depends on nothing after them, and a sample is determined 40 ms of latents later, when
the last window that covers it is.

Codes are residual: each book says, in 8 dimensions, what those before it left over, and the nearest code is that of the
nearest direction (Kumar et al. 2023, DAC, 3.2; Zeghidour et al. 2021, SoundStream, III-C). Training leaves out random
books, or all of them, so that the decoder understands any number of them, and latents that no code has rounded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import hub
from ..senses import InputError
from ..spaces import Space
from .voice import TokenVoice
from .windows import NetVoice, Reach

if TYPE_CHECKING:
    from jaxtyping import Float, Int

RATE = 32_000
STEP = 320  # samples between short-time spectra
WINDOW = 4 * STEP
PER_FRAME = 2  # spectra to a frame of latents
HOP = PER_FRAME * STEP
BINS = WINDOW // 2 + 1
LOUDEST = 8.0  # of a bin's log magnitude; e^8 in one bin is a sine of amplitude 6.2
AHEAD = 2  # frames of latents until every window that covers a frame's samples is known
_KERNEL = 7
_BLOCK = 32  # frames coded at a time


@dataclass(frozen=True)
class NeuralConfig:
    """`width` of the network; its layers at 100 and at 50 steps a second, on either side; the latents' `latent`.

    `books` codebooks of 2 to the power of `bits` codes, of `code` dimensions each.
    """

    width: int = 192
    fine: int = 4
    coarse: int = 2
    spoken: int = 6
    latent: int = 64
    books: int = 18
    bits: int = 10
    code: int = 8

    def __post_init__(self) -> None:
        limits = {"width": 2048, "fine": 64, "coarse": 64, "spoken": 64, "latent": 1024, "books": 64, "bits": 16,
                  "code": 256}  # fmt: skip
        for name, most in limits.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= most:
                raise InputError(f"A neural voice's {name} is a whole number from 1 to {most}, not {value!r}.")

    @property
    def hears(self) -> Reach:
        """How far back latents look: the window, then each layer's kernel."""
        fine = WINDOW // STEP - 1 + self.fine * (_KERNEL - 1)
        return Reach(_BLOCK, math.ceil(fine / PER_FRAME) + 1 + self.coarse * (_KERNEL - 1), 0)

    @property
    def speaks(self) -> Reach:
        """How far back samples look, and how far ahead."""
        fine = WINDOW // STEP - 1 + self.spoken * (_KERNEL - 1)
        return Reach(_BLOCK, math.ceil(fine / PER_FRAME) + 1 + self.coarse * (_KERNEL - 1), AHEAD)


class _Block(nn.Module):
    """(n, steps, width) → the same: a causal depthwise convolution, then a mixing of channels, added to what came."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.around = nn.Conv1d(width, width, _KERNEL, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.around(F.pad(x.transpose(1, 2), (_KERNEL - 1, 0))).transpose(1, 2)
        return x + self.scale * self.down(F.gelu(self.up(self.norm(y))))


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(width) for _ in range(count)))


class Book(nn.Module):
    """One codebook: latents → the nearest code's latents, by the direction of a projection to a few dimensions."""

    def __init__(self, config: NeuralConfig) -> None:
        super().__init__()
        self.inward = nn.Linear(config.latent, config.code)
        self.codes = nn.Parameter(torch.randn(2**config.bits, config.code))
        self.outward = nn.Linear(config.code, config.latent)

    def nearest(self, z: torch.Tensor) -> torch.Tensor:
        """(…, latent) → the numbers of the codes."""
        return (self.inward(z) @ F.normalize(self.codes, dim=-1).T).argmax(-1)

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The code's latents, with the gradient of what it stands for, and the squared distance for each frame."""
        small = self.inward(z)
        code = self.codes[(small.detach() @ F.normalize(self.codes.detach(), dim=-1).T).argmax(-1)]
        # The codes go to the latents fast, the latents to the codes slowly (van den Oord et al. 2017, eq. 3).
        apart = (code - small.detach()).square().mean(-1) + 0.25 * (code.detach() - small).square().mean(-1)
        return self.outward(small + (code - small).detach()), apart


class Net(nn.Module):
    """The network of the voice `neural`, without its blocks and its name."""

    window: torch.Tensor

    def __init__(self, config: NeuralConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.listen = nn.Linear(3 * BINS, width)
        self.hear_fine = _blocks(width, config.fine)
        self.pair = nn.Linear(PER_FRAME * width, width)
        self.hear_coarse = _blocks(width, config.coarse)
        self.latent = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.latent))
        self.books = nn.ModuleList(Book(config) for _ in range(config.books))
        self.enter = nn.Linear(config.latent, width)
        self.say_coarse = _blocks(width, config.coarse)
        self.part = nn.Linear(width, PER_FRAME * width)
        self.say_fine = _blocks(width, config.spoken)
        self.speak = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * BINS))
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def encode(self, waves: torch.Tensor) -> torch.Tensor:
        """(n, frames · HOP) → (n, frames, latent); before the first sample there is silence."""
        framed = F.pad(waves, (WINDOW - STEP, 0)).unfold(1, WINDOW, STEP) * self.window
        spectrum = torch.fft.rfft(framed) * (2.0 / WINDOW)
        size = spectrum.abs().clamp_min(1e-7)
        # Roots make soft and loud alike; the real and the imaginary part keep the phase.
        turned = torch.view_as_real(spectrum * size**-0.7).flatten(-2)
        x = self.hear_fine(self.listen(torch.cat([turned, 0.1 * size.log() + 1.0], -1)))
        return self.latent(self.hear_coarse(self.pair(x.unflatten(1, (-1, PER_FRAME)).flatten(2))))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """(n, frames, latent) → (n, frames · HOP); after the last frame the latents are 0."""
        frames = latents.shape[1]
        x = self.part(self.say_coarse(self.enter(F.pad(latents, (0, 0, 0, AHEAD)))))
        size, angle = self.speak(self.say_fine(x.unflatten(-1, (PER_FRAME, -1)).flatten(1, 2))).chunk(2, -1)
        spectrum = torch.polar(size.clamp(max=LOUDEST).exp(), angle)
        windows = torch.fft.irfft(spectrum, WINDOW) * self.window * (2 / 3)  # squared Hann windows sum to 3/2
        first, steps = WINDOW - STEP, windows.shape[1]
        waves = F.fold(windows.transpose(1, 2), (1, steps * STEP + first), (1, WINDOW), stride=(1, STEP)).flatten(1)
        return waves[:, first : first + frames * HOP]

    def quantised(self, z: torch.Tensor, books: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, frames, latent) and (n,) how many books, 0 for no rounding → rounded latents, and the codes' loss."""
        out, left, lost = torch.zeros_like(z), z, z.new_zeros(())
        for number, book in enumerate(self.books):
            used = (books > number).float()[:, None]
            code, apart = book(left)
            out, left = out + code * used[..., None], left - code * used[..., None]
            lost = lost + (apart * used).mean()
        return torch.where((books > 0)[:, None, None], out, z), lost


class Neural(NetVoice, TokenVoice):
    """The voice `neural`; `name` says which state of it."""

    rate = RATE
    hop = HOP

    def __init__(self, net: Net, name: str) -> None:
        self.net = net.eval()
        self.space = Space(name, net.config.latent)
        self.hears, self.speaks = net.config.hears, net.config.speaks
        self.codebooks, self.size = net.config.books, 2**net.config.bits

    def _hear(self, waves: torch.Tensor) -> torch.Tensor:
        return self.net.encode(waves)[0]

    def _say(self, latents: torch.Tensor) -> torch.Tensor:
        return self.net.decode(latents[None])

    @torch.inference_mode()
    def _to_codes(self, values: Float[np.ndarray, "frames width"], books: int) -> Int[np.ndarray, "frames books"]:
        left, codes = self.here(values), []
        for book in self.net.books[:books]:
            codes.append(book.nearest(left))
            left = left - book.outward(book.codes[codes[-1]])
        return torch.stack(codes, -1).cpu().numpy()

    @torch.inference_mode()
    def _from_codes(self, codes: Int[np.ndarray, "frames books"]) -> Float[np.ndarray, "frames width"]:
        parts = [book.outward(book.codes[code]) for book, code in zip(self.net.books, self.here(codes.T), strict=False)]
        return torch.stack(parts).sum(0).cpu().numpy()


def save(net: Net, folder: str | Path, card: hub.Card | None = None) -> Path:
    """Write the voice as a checkpoint, its weights in half precision."""
    return hub.save_model(folder, {"voice": "neural", "net": asdict(net.config)}, hub.halved(net), card)


def load(reference: str | Path, *, yes: bool = False) -> Neural:
    """The voice of a checkpoint; InputError when it holds none."""
    config, tensors = hub.load_model(reference, yes=yes)
    told: Any = config.get("net")
    if config.get("voice") != "neural" or not isinstance(told, Mapping):
        raise InputError(f"{reference} holds no voice of the kind neural.")
    try:
        net = Net(NeuralConfig(**told))
        net.load_state_dict({name: value.float() for name, value in tensors.items()})
    except InputError:
        raise
    except (TypeError, RuntimeError) as error:
        raise InputError(f"{reference} holds no neural voice: {str(error).splitlines()[0]}") from error
    return Neural(net, f"neural@{config['sha256'][:12]}")
