"""Sorts of shape without names: which a picture shows, and what such shapes are like.

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


def weighted_median(
    values: Float[torch.Tensor, "n sorts ..."], weights: Float[torch.Tensor, "n sorts"]
) -> Float[torch.Tensor, "n ..."]:
    """The least value that half of the weight does not exceed, along the second axis."""
    ordered, order = values.sort(1)
    share = weights.reshape(*weights.shape, *[1] * (values.ndim - 2)).expand_as(values).gather(1, order).cumsum(1)
    first = (share >= 0.5 * share[:, -1:]).int().argmax(1, keepdim=True)
    return ordered.gather(1, first)[:, 0]


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
        self.which = nn.Linear(features, count)
        nn.init.zeros_(self.which.weight)
        nn.init.zeros_(self.which.bias)
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
        wall = weighted_median(self.wall.expand(len(seen), -1), likely)
        away = torch.where(known[:, None], log_wall[:, None] - self.wall, torch.zeros(()))
        lines = self.lines + self.slope * away[..., None]
        first = weighted_median(lines[..., 0], likely)
        rise = weighted_median(lines - lines[..., :1], likely).cummax(-1).values
        return torch.where(known, log_wall, wall), likely @ self.hollow, first[:, None] + rise
