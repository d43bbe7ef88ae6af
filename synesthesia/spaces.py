"""What flows between rooms: features in a named space and tokens of a named codec. Two spaces never mix by accident."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .senses import InputError

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class SpaceError(TypeError):
    """Features of one space were given where another space was expected: a mistake in the program, not in the input."""


@dataclass(frozen=True)
class Space:
    """A vector space with a name that says who made it ("knock/tiny.eye", "dinov2-small.patch") and its width."""

    name: str
    width: int


@dataclass(frozen=True, eq=False)
class Features:
    """Vectors in a named space; `values` has the shape (..., space.width)."""

    values: Float[np.ndarray, "*batch width"]
    space: Space

    def __post_init__(self) -> None:
        if self.values.ndim < 1 or self.values.shape[-1] != self.space.width:
            raise SpaceError(
                f"The space {self.space.name} has {self.space.width} dimensions; these values are {self.values.shape}."
            )

    def require(self, space: Space) -> Float[np.ndarray, "*batch width"]:
        """The values, when they are in `space`; SpaceError otherwise."""
        if self.space != space:
            raise SpaceError(
                f"These features are in the space {self.space.name}, not in {space.name}; use a bridge to cross."
            )
        return self.values

    def cosine(self, other: Features) -> Float[np.ndarray, ...]:
        """Cosine similarity with features of the same space, broadcast over the leading dimensions."""
        a, b = self.values, other.require(self.space)
        norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
        return np.sum(a * b, axis=-1) / np.maximum(norms, np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class Tokens:
    """Discrete codes of a named codec; `codes` has the shape (..., codebooks), each below `size`."""

    codes: Int[np.ndarray, "*batch codebooks"]
    codec: str
    size: int

    def __post_init__(self) -> None:
        if self.codes.size and (self.codes.min() < 0 or self.codes.max() >= self.size):
            raise InputError(f"A code of {self.codec} is between 0 and {self.size - 1}.")

    def require(self, codec: str) -> Int[np.ndarray, "*batch codebooks"]:
        """The codes, when they belong to `codec`; SpaceError otherwise."""
        if self.codec != codec:
            raise SpaceError(f"These tokens belong to the codec {self.codec}, not to {codec}.")
        return self.codes


def join(parts: Sequence[Features]) -> Features:
    """Features of one space, concatenated along the first dimension; SpaceError when the spaces differ."""
    if not parts:
        raise SpaceError("Nothing to join: the space of no features is unknown.")
    space = parts[0].space
    return Features(np.concatenate([part.require(space) for part in parts]), space)
