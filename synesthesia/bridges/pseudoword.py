"""A sound in the place of a word: frames of frozen ears → a few vectors where embeddings of words stand.

    ears' frames ─ network on each ─ attentive pooling ─▶ pseudo-words ─▶ a frozen text-to-image model

As in AudioToken (Yariv et al., Interspeech 2023): the sentence around is a constant, nobody's text takes part, and what
is learned is the way from the ears to the one place in it. That the pseudo-word leads to the right picture is learned
from the diffusion model's own loss (see `pretrained_drawing`); here are the bridge and what keeps its words small. The
paper also draws a pseudo-word towards the embedding of the sound's label. There are no labels on our way, so that term
is replaced by one that keeps its length near that of a word's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..senses import InputError
from ..spaces import Space, SpaceError

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class PseudowordConfig:
    """`source`: the space of the ears' frames; `target`: that of embeddings of words, `count` of which are made.

    `hidden`: width of the network. `sparse` weighs the mean size of a pseudo-word's numbers (the paper's L1 term),
    `length` how far it is from as long as a word.
    """

    source: Space
    target: Space
    count: int = 1
    hidden: int = 512
    dropout: float = 0.1
    sparse: float = 0.01
    length: float = 0.01

    def __post_init__(self) -> None:
        if not all(isinstance(n, int) and 1 <= n <= 8192 for n in (self.count, self.hidden)) or self.count > 16:
            told = f"{self.count} and {self.hidden}"
            raise InputError(
                f"There are 1 to 16 pseudo-words, and the network's width goes from 1 to 8192; not {told}."
            )
        if not (0 <= self.dropout < 1 and 0 <= self.sparse <= 100 and 0 <= self.length <= 100):
            raise InputError("Dropout is at least 0 and below 1, weights go from 0 to 100.")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PseudowordConfig:
        """What `dataclasses.asdict` gave, perhaps by way of JSON. Raises InputError for anything else."""
        try:
            told = dict(values)
            source, target = (Space(**told.pop(name)) for name in ("source", "target"))
            return cls(source=source, target=target, **told)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"This is no configuration of a pseudo-word: {error}") from error


class Pseudoword(nn.Module):
    """Frames in `source` → embeddings in `target`."""

    usual: torch.Tensor  # how long the embedding of a word is

    def __init__(self, config: PseudowordConfig) -> None:
        super().__init__()
        self.config = config
        self.source, self.target = config.source, config.target
        d = config.hidden
        self.enter = nn.Sequential(
            nn.LayerNorm(config.source.width), nn.Linear(config.source.width, d), nn.GELU(), nn.Dropout(config.dropout),
            nn.Linear(d, d), nn.GELU(),
        )  # fmt: skip
        self.questions = nn.Linear(d, config.count)
        self.leave = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, config.target.width))
        self.register_buffer("usual", torch.ones(()))

    @torch.no_grad()
    def fit_length(self, words: Float[torch.Tensor, "vocabulary target"]) -> None:
        """Learn how long the embeddings of words are; before training."""
        if words.shape[1] != self.target.width:
            raise SpaceError(f"The space {self.target.name} has {self.target.width} dimensions, not {words.shape[1]}.")
        self.usual.copy_(words.norm(dim=1).median())

    def forward(
        self, frames: Float[torch.Tensor, "n time source"], real: Int[torch.Tensor, " n"]
    ) -> Float[torch.Tensor, "n count target"]:
        """The pseudo-words of sounds, each of which has so many `real` first frames."""
        if frames.shape[-1] != self.source.width:
            raise SpaceError(
                f"The space {self.source.name} has {self.source.width} dimensions, not {frames.shape[-1]}."
            )
        x = self.enter(frames)
        here = torch.arange(x.shape[1], device=x.device) < real[:, None]
        weight = self.questions(x).masked_fill(~here[..., None], -torch.inf).softmax(1)
        # As it begins, each number is as large as those of a word.
        return self.leave(weight.transpose(1, 2) @ x) * (self.usual / self.target.width**0.5)

    def loss(self, words: Float[torch.Tensor, "n count target"]) -> dict[str, torch.Tensor]:
        """What keeps pseudo-words like words, both relative to a word's length."""
        length = words.norm(dim=-1) / self.usual
        return {
            "sparse": self.config.sparse * words.abs().mean() * self.target.width**0.5 / self.usual,
            "length": self.config.length * (length - 1).square().mean(),
        }
