"""The modal bank: damped sinusoids as one matrix product, differentiable, and a strike as a `Sound`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..senses import Sound

if TYPE_CHECKING:
    from torch import Tensor

    from .strike import ModalSound

_BLOCK = 256
FULL_SCALE = 2.0  # Pa


def modal_bank(frequency: Tensor, decay: Tensor, amplitude: Tensor, n: int, rate: int) -> Tensor:
    """Im sum_k amplitude_k exp((2 pi i frequency_k - decay_k) t) at t = 0, 1/rate, ..., (n - 1)/rate.

    `frequency` in Hz and `decay` in 1/s, [..., K] (float64 keeps the phase exact), `amplitude` complex [..., K];
    returns [..., n] float32. With t = (256 i + j) / rate each mode is a product of a function of i and one of j, so all
    samples are the product of a [n/256, K] and a [K, 256] matrix: exponents in float64, product in complex64 (error
    about -130 dB).
    """
    rows = -(-n // _BLOCK)
    exponent = torch.complex(-decay.double(), 2 * math.pi * frequency.double()) / rate
    i = torch.arange(rows, device=exponent.device, dtype=torch.float64) * _BLOCK
    j = torch.arange(_BLOCK, device=exponent.device, dtype=torch.float64)
    coarse = torch.exp(exponent[..., None, :] * i[:, None]) * amplitude.to(torch.complex128)[..., None, :]
    fine = torch.exp(exponent[..., :, None] * j)
    # Im(a b) = Re a Im b + Im a Re b: one real product of twice the inner size.
    left = torch.cat([coarse.real, coarse.imag], -1).float()
    right = torch.cat([fine.imag, fine.real], -2).float()
    return (left @ right).flatten(-2)[..., :n]


def contact_noise(
    level: float, seconds: float, centre: float, n: int, rate: int, seed: int, attack: float = 0.0
) -> np.ndarray:
    """A burst of band-limited noise in Pa, [n] float32: rms `level` at its start, falling by 60 dB in `seconds`.

    The band is a resonance of Q = 0.8 around `centre` Hz; `attack` in seconds is the rise time. Drawn on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    m = min(n, int(1.5 * seconds * rate) + 1)
    white = torch.randn(max(m, 64), generator=generator, dtype=torch.float64).numpy()
    x = np.fft.rfftfreq(len(white), 1 / rate) / min(centre, 0.4 * rate)
    band = x / 0.8 / np.sqrt((1 - x * x) ** 2 + (x / 0.8) ** 2)
    band[-1] = 0.0
    shaped = np.fft.irfft(np.fft.rfft(white) * band, len(white))
    shaped /= math.sqrt(float(np.mean(band**2)))
    t = np.arange(m) / rate
    out = np.zeros(n, np.float32)
    rise = 1.0 if attack <= 0 else 1 - np.exp(-t / attack)
    out[:m] = level * shaped[:m] * np.exp(-math.log(1000) / seconds * t) * rise
    return out


def render(modal: ModalSound, force: float = 1.0, seconds: float = 1.5, rate: int = 48_000, seed: int = 0) -> Sound:
    """The sound of a strike with `force` newtons of peak force; full scale is 2 Pa and nothing is normalised.

    Modes at or above 0.49 of the rate are left out. The noise of the contact is drawn from `seed`.
    """
    n = round(seconds * rate)
    heard = modal.frequency < 0.49 * rate
    parts = (torch.from_numpy(np.ascontiguousarray(v[heard])) for v in (modal.frequency, modal.decay, modal.amplitude))
    wave = modal_bank(*parts, n, rate).numpy()
    wave = wave + contact_noise(*modal.noise, n, rate, seed, attack=modal.contact_seconds / 3)
    return Sound(wave[None] * np.float32(force / FULL_SCALE), rate)
