"""Sorts of shape and of covering without names: which a picture shows, and what such shapes and coverings are like.

How a body rings depends first on what sort of thing it is, a bowl or a bar, and then on its proportions. Which sort is
read straight off what is seen; of each sort it is known from worlds how thick its walls are, whether it is hollow and
where its lines lie. Several may fit a picture; what is said is the middle of what they say, weighed by how likely each
is: a few unlikely sorts that ring three octaves away do not move it, as they would a mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


def weighted_quantile(
    values: Float[torch.Tensor, "n sorts ..."], weights: Float[torch.Tensor, "n sorts"], quantile: float = 0.5
) -> Float[torch.Tensor, "n ..."]:
    """The least value that this share of the weight does not exceed (default: the median), along the second axis."""
    ordered, order = values.sort(1)
    share = weights.reshape(*weights.shape, *[1] * (values.ndim - 2)).expand_as(values).gather(1, order).cumsum(1)
    first = (share >= quantile * share[:, -1:]).int().argmax(1, keepdim=True)
    return ordered.gather(1, first)[:, 0]


def even(features: int, count: int) -> nn.Linear:
    """A read-out of logits that takes all of `count` for equally likely until it is fitted."""
    line = nn.Linear(features, count)
    nn.init.zeros_(line.weight)
    nn.init.zeros_(line.bias)
    return line


class Sorts(nn.Module):
    """How likely each sort is, from what is seen (n, features); logarithms of wall/size and f·size/c of its shapes.

    `wall` and `hollow` are the median log wall/size and the share of hollow ones, `lines` the mean logarithms of
    f·size/c at that wall, `slope` how they rise with the wall's logarithm.
    """

    wall: torch.Tensor
    hollow: torch.Tensor
    lines: torch.Tensor
    slope: torch.Tensor

    def __init__(self, features: int, count: int, lines: int) -> None:
        super().__init__()
        self.which = even(features, count)
        for name in ("wall", "hollow"):
            self.register_buffer(name, torch.zeros(count))
        for name in ("lines", "slope"):
            self.register_buffer(name, torch.zeros(count, lines))

    def forward(
        self,
        seen: Float[torch.Tensor, "n features"],
        log_wall: Float[torch.Tensor, " n"],
        known: Bool[torch.Tensor, " n"],
    ) -> tuple[Float[torch.Tensor, " n"], Float[torch.Tensor, " n"], Float[torch.Tensor, "n lines"]]:
        """Log wall/size, the probability of being hollow, and log f·size/c, rising. `log_wall` counts where `known`."""
        likely = self.which(seen).softmax(-1)
        wall = weighted_quantile(self.wall.expand(len(seen), -1), likely)
        away = torch.where(known[:, None], log_wall[:, None] - self.wall, torch.zeros(()))
        lines = self.lines + self.slope * away[..., None]
        first = weighted_quantile(lines[..., 0], likely)
        rise = weighted_quantile(lines - lines[..., :1], likely).cummax(-1).values
        return torch.where(known, log_wall, wall), likely @ self.hollow, first[:, None] + rise


class Coats(nn.Module):
    """How likely each covering is (bare, furry …), from what is seen (n, features), and what it costs.

    `loss` holds the logarithms of the loss factor beside that of material and support, usual for each covering at
    frequencies on which caller and training agree. A coat takes ten times what the body itself loses, so there is one
    or there is none, and a mean would be neither; but what rings ten times too long is worse than what is cut short,
    so a coat counts from one chance in four on.
    """

    loss: torch.Tensor

    def __init__(self, features: int, count: int, frequencies: int) -> None:
        super().__init__()
        self.which = even(features, count)
        self.register_buffer("loss", torch.full((count, frequencies), -8.0))

    def forward(self, seen: Float[torch.Tensor, "n features"]) -> Float[torch.Tensor, "n frequencies"]:
        """The logarithm of the loss factor at each frequency."""
        return weighted_quantile(self.loss.expand(len(seen), -1, -1), self.which(seen).softmax(-1), 0.75)
