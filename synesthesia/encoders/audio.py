"""The small ears: a sound → a direction, by a convolutional network on a log-mel picture of its first second."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..senses import Sound

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
    spectrum = torch.stft(waves, WINDOW, HOP, window=torch.hann_window(WINDOW), return_complex=True).abs().square()
    mel = (spectrum.transpose(1, 2) @ mel_bank()).transpose(1, 2).clamp_min(1e-20).log()
    return (mel - mel.amax((1, 2), keepdim=True)).clamp_min(-14.0)


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
