"""The small ears, on log-mel pictures: `Ears` (a struck sound → one direction), `tiny_ears` (any sound → frames)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import hub
from ..senses import InputError, Sound
from .base import Earshot, FrameEncoder, Hearing

RATE = 24_000
SECONDS = 0.8
BANDS = 64
WINDOW, HOP = 512, 240  # 21 ms, 10 ms


@cache
def mel_bank() -> torch.Tensor:
    """(WINDOW/2 + 1, BANDS) triangles equally spaced on the mel scale, m = 2595 log10(1 + f/700), 60 Hz to 11.5 kHz."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (60, 11500))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    f = np.linspace(0, RATE / 2, WINDOW // 2 + 1)[:, None]
    rise, fall = (f - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - f) / np.diff(edges)[1:]
    return torch.from_numpy(np.maximum(0, np.minimum(rise, fall)).astype(np.float32) + 1e-6)


def log_mel(waves: torch.Tensor) -> torch.Tensor:
    """(n, samples) at RATE → (n, BANDS, frames): natural log of power, maximum at 0, floor at −14 (−61 dB)."""
    mel = _mel_power(waves, "reflect").clamp_min(1e-20).log()
    return (mel - mel.amax((1, 2), keepdim=True)).clamp_min(-14.0)


def _mel_power(waves: torch.Tensor, edges: str) -> torch.Tensor:
    window = torch.hann_window(WINDOW, device=waves.device)
    spectrum = torch.stft(waves, WINDOW, HOP, window=window, pad_mode=edges, return_complex=True).abs().square()
    return (spectrum.transpose(1, 2) @ mel_bank().to(waves.device)).transpose(1, 2)


class Ears(nn.Module):
    """Log-mel pictures → unit vectors of `width` dimensions."""

    def __init__(self, width: int) -> None:
        super().__init__()

        def step(inner: int, outer: int, stride: tuple[int, int]) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)
            )

        self.net = nn.Sequential(step(1, 24, (2, 2)), step(24, 48, (2, 2)), step(48, 96, (2, 2)), step(96, 128, (2, 2)))
        self.out = nn.Sequential(nn.Linear(2 * 128 + 2 * BANDS, 192), nn.GELU(), nn.Linear(192, width))

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """(n, BANDS, frames) from `log_mel` → (n, width), unit length."""
        x = self.net(mel[:, None] / 7 + 1)
        plain = torch.cat([mel.mean(2), mel[:, :, 20] - mel[:, :, 4]], 1) / 7
        return F.normalize(self.out(torch.cat([x.mean((2, 3)), x.amax((2, 3)), plain], 1)), dim=-1)

    def listen(self, sounds: Sequence[Sound]) -> torch.Tensor:
        """Sounds of any rate and length: the first 0.8 s from the onset, resampled."""
        import soxr

        n = int(RATE * SECONDS)
        waves = np.zeros((len(sounds), n), np.float32)
        for row, sound in zip(waves, sounds, strict=True):
            x = sound.mono if sound.rate == RATE else soxr.resample(sound.mono, sound.rate, RATE)
            peak = float(np.abs(x).max(initial=0.0))
            if peak > 0:
                x = x / peak
                first = int(np.argmax(np.abs(x) > 0.02))
                x = x[max(0, first - 24) :][:n]
                row[: len(x)] = x
        return self(log_mel(torch.from_numpy(waves)))


# --- frames ----------------------------------------------------------------------------------------------------------

STEP = 4 * HOP  # samples a frame: 40 ms
REACH = 25  # frames; nothing in `FrameEars` looks back further (19 frames), so a second of context makes blocks exact


@dataclass(frozen=True)
class FrameEarsConfig:
    """`channels`: of the four convolutions over the log-mel picture; `width`: of a frame."""

    channels: tuple[int, int, int, int] = (32, 64, 128, 192)
    width: int = 256


class _Past2d(nn.Module):
    """A 3 × 3 convolution that halves the bands; in time it sees no further ahead than its own step reaches."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inner, outer, 3, (2, stride), (1, 0), bias=False)
        self.norm = nn.BatchNorm2d(outer)
        self.before = 3 - stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.norm(self.conv(F.pad(x, (self.before, 0)))))


class _Past1d(nn.Module):
    """A residual convolution over the present frame, the one `gap` and the one 2 `gap` frames ago."""

    def __init__(self, width: int, gap: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, dilation=gap, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.before = 2 * gap

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + F.gelu(self.norm(self.conv(F.pad(x, (self.before, 0)))))


class FrameEars(Earshot):
    """Waves at `RATE` → 25 frames a second, each of which has heard the sound up to its own end and 16 samples more.

    Levels are kept (a full-scale sine is near 2, silence at −1.8), so that loud and soft differ.
    """

    def __init__(self, config: FrameEarsConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FrameEarsConfig()
        self.widths = (config.width, config.width)
        strides, sizes = (2, 2, 1, 1), (1, *config.channels)
        self.picture = nn.Sequential(*[_Past2d(a, b, s) for a, b, s in zip(sizes, sizes[1:], strides, strict=False)])
        self.mix = nn.Conv1d(config.channels[-1] * BANDS // 16, config.width, 1)
        self.time = nn.Sequential(*[_Past1d(config.width, gap) for gap in (1, 2, 4)])

    def forward(self, waves: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, None]:
        frames = waves.shape[1] // STEP
        mel = (_mel_power(waves, "constant") + 1e-4).log()[:, :, : 4 * frames] / 5
        return self.time(self.mix(self.picture(mel[:, None]).flatten(1, 2))).transpose(1, 2), None


def tiny_ears(name: str = "ears/tiny", config: FrameEarsConfig | None = None) -> FrameEncoder:
    """New small ears, to be trained: 25 frames a second of sounds of any length, in blocks that join exactly."""
    hearing = Hearing(RATE, STEP, 500 + REACH, STEP / RATE / 2, tail=WINDOW // 2, context=REACH, fixed=False)
    return FrameEncoder(name, FrameEars(config), hearing)


def save_tiny_ears(encoder: FrameEncoder, folder: str | Path, card: hub.Card | None = None) -> Path:
    """Write small ears as a checkpoint folder that `encoders.load_ears` reads."""
    if not isinstance(encoder.tower, FrameEars):
        raise InputError("Only small ears of our own are saved here; ears from the hub stay where they are.")
    ears = encoder.tower
    return hub.save_model(folder, {"encoder": "tiny-ears", "model": asdict(ears.config)}, ears.state_dict(), card)


def load_tiny_ears(reference: str | Path, *, yes: bool = False) -> FrameEncoder:
    """Small ears from a checkpoint (see `hub.load_model`); InputError when it is something else."""
    config, tensors = hub.load_model(reference, yes=yes)
    try:
        told: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config["model"].items()}
        encoder = tiny_ears(f"ears/tiny@{config['sha256'][:12]}", FrameEarsConfig(**told))
        encoder.tower.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise InputError(f"{reference} holds no small ears: {str(error).splitlines()[0]}") from error
    return encoder.eval()
