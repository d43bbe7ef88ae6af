"""Standardising: a voice's units ↔ channels of mean 0 and spread 1, as far as they mean something."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..codecs import bands
from ..senses import InputError
from ..spaces import Space

if TYPE_CHECKING:
    from jaxtyping import Bool

_REST_AT = 4.0  # how many standard deviations from its mean a channel's rest lies at most
_SNAP = 0.5  # a channel less than so many standard deviations from its rest is at rest


class Scale(nn.Module):
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
        gate, rest = gates(space)
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


def gates(space: Space) -> tuple[torch.Tensor, torch.Tensor]:
    """For each channel its gate (itself, where it has none), and its rest (−∞ where it is never at rest)."""
    gate, rest = torch.arange(space.width), torch.full((space.width,), -math.inf)
    if space == bands.Bands.space:
        gate[bands.PLACES] = gate[bands.PARTIALS]
        gate[[bands.ONSET, bands.CLICK]] = bands.RISE
        rest[bands.BANDS :] = torch.from_numpy(bands.REST[bands.BANDS :].copy())
    return gate, rest
