"""The modal bank: equal to the direct sum, differentiable, in pascals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from synesthesia.physics.bank import contact_noise, modal_bank, render
from synesthesia.physics.strike import ModalSound

RATE = 48_000


def modes(k: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    f = 100 * torch.exp(torch.rand(k, generator=g, dtype=torch.float64) * 5)
    d = 5 + 60 * torch.rand(k, generator=g, dtype=torch.float64)
    a = torch.complex(
        torch.randn(k, generator=g, dtype=torch.float64), torch.randn(k, generator=g, dtype=torch.float64)
    )
    return f, d, a


def direct(f: torch.Tensor, d: torch.Tensor, a: torch.Tensor, n: int) -> torch.Tensor:
    t = torch.arange(n, dtype=torch.float64) / RATE
    return (a[:, None] * torch.exp(torch.complex(-d, 2 * math.pi * f)[:, None] * t)).sum(0).imag


@pytest.mark.parametrize("n", [1, 255, 256, 257, 72_000])
def test_bank_is_the_direct_sum(n: int) -> None:
    f, d, a = modes(128)
    y, exact = modal_bank(f, d, a, n, RATE).double(), direct(f, d, a, n)
    assert y.shape == (n,)
    error = (y - exact).square().sum().sqrt() / exact.square().sum().sqrt()
    assert 20 * math.log10(float(error) + 1e-30) < -100


def test_a_batch_is_its_singles() -> None:
    sets = [modes(16, s) for s in range(3)]
    together = modal_bank(*(torch.stack(v) for v in zip(*sets, strict=True)), 1000, RATE)
    for row, one in zip(together, sets, strict=True):
        torch.testing.assert_close(row, modal_bank(*one, 1000, RATE), rtol=1e-5, atol=1e-5)


def test_gradient_is_right() -> None:
    # Against finite differences of the direct sum in double precision.
    leaves = [*modes(4)[:2], *(part.contiguous() for part in torch.view_as_real(modes(4)[2]).unbind(-1))]
    weight = torch.linspace(-1, 1, 600, dtype=torch.float64)
    ours = [v.clone().requires_grad_() for v in leaves]
    wave = modal_bank(ours[0], ours[1], torch.complex(ours[2], ours[3]), 600, RATE)
    grads = torch.autograd.grad((wave.double() * weight).square().sum(), ours)

    def exact(f: torch.Tensor, d: torch.Tensor, re: torch.Tensor, im: torch.Tensor) -> torch.Tensor:
        return (direct(f, d, torch.complex(re, im), 600) * weight).square().sum()

    for i, grad in enumerate(grads):
        assert torch.isfinite(grad).all()
        numeric = torch.zeros(4, dtype=torch.float64)
        for k in range(4):
            step = torch.zeros(4, dtype=torch.float64)
            step[k] = 1e-4
            up, down = (exact(*[v + s * step if j == i else v for j, v in enumerate(leaves)]) for s in (1, -1))
            numeric[k] = (up - down) / 2e-4
        torch.testing.assert_close(grad, numeric, rtol=1e-3, atol=1e-4 * float(numeric.abs().max()))


def test_render_is_in_pascals_of_a_two_pascal_full_scale() -> None:
    tone = ModalSound(np.array([1000.0]), np.array([1e-6]), np.array([0.5 + 0j]), (0.0, 0.01, 1000.0), 0.0)
    sound = render(tone, force=2.0, seconds=0.1)
    assert sound.rate == RATE
    assert sound.seconds == pytest.approx(0.1)
    assert np.abs(sound.mono).max() == pytest.approx(0.5, rel=1e-3)  # 1 Pa of 2


def test_modes_beyond_nyquist_are_left_out() -> None:
    high = ModalSound(np.array([30_000.0]), np.array([1.0]), np.array([1.0 + 0j]), (0.0, 0.01, 1000.0), 0.0)
    assert np.abs(render(high, 1.0, 0.05).mono).max() == 0


def test_zero_force_is_silence() -> None:
    tone = ModalSound(np.array([1000.0]), np.array([5.0]), np.array([0.5 + 0j]), (0.1, 0.01, 1000.0), 1e-4)
    assert np.abs(render(tone, force=0.0, seconds=0.1).mono).max() == 0


def test_contact_noise_has_its_level_length_and_colour() -> None:
    bursts = np.stack([contact_noise(0.3, 0.2, 2000.0, RATE, RATE, seed) for seed in range(30)])
    rms = np.sqrt((bursts[:, :480] ** 2).mean())
    assert rms == pytest.approx(0.3 * 10 ** (-1.5 / 20), rel=0.25)  # the first 10 ms fall by 3 dB
    late = np.sqrt((bursts[:, 4800:5280] ** 2).mean())
    assert 20 * math.log10(late / rms) == pytest.approx(-30, abs=2)
    power = (np.abs(np.fft.rfft(bursts)) ** 2).mean(0)
    centre = float((power * np.arange(len(power))).sum() / power.sum())
    assert 1500 < centre < 5000
    np.testing.assert_array_equal(bursts[3], contact_noise(0.3, 0.2, 2000.0, RATE, RATE, 3))
    assert not np.array_equal(bursts[3], bursts[4])


def test_a_seed_is_a_sound() -> None:
    tone = ModalSound(np.array([1000.0]), np.array([5.0]), np.array([0.5 + 0j]), (0.1, 0.05, 1000.0), 1e-4)
    a, b, c = (render(tone, 1.0, 0.1, seed=s).mono for s in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
