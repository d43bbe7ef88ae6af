"""Networks as voices: overlapping windows on a fixed grid, so that any length takes the memory of one window.

There is one path: a whole sound is its blocks, joined. Each block is computed from a window that holds as much before
and after it as reaches into it; where that covers all that the network looks at, the joined blocks are what the network
would make of everything at once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..senses import InputError, Sound
from ..spaces import Features, Space
from .voice import Decoder, Encoder, RunningVoice, checked

if TYPE_CHECKING:
    from jaxtyping import Float

    Rows = Float[np.ndarray, "rows wide"]


@dataclass(frozen=True)
class Reach:
    """A block of so many frames is computed from those `before` it, its own, and those `after` it."""

    block: int
    before: int
    after: int


class Windows:
    """Rows in, rows out, one for one, through a function of windows; the grid does not depend on how they come."""

    def __init__(self, through: Callable[[Rows], Rows], reach: Reach) -> None:
        self._through = through
        self._reach = reach
        self._known: Rows | None = None
        self._behind = 0  # rows of `_known` that have been answered
        self._done = False

    def push(self, rows: Rows) -> list[Rows]:
        """The answers that are determined now, block by block."""
        if self._done:
            raise InputError("This encoder or decoder has finished; ask the voice for another.")
        self._known = rows if self._known is None else np.concatenate([self._known, rows])
        out = []
        while len(self._known) - self._behind >= self._reach.block + self._reach.after:
            out.append(self._answer(self._known))
        return out

    def finish(self) -> list[Rows]:
        """The rest."""
        self._done = True
        out = []
        while self._known is not None and len(self._known) > self._behind:
            out.append(self._answer(self._known))
        return out

    def _answer(self, known: Rows) -> Rows:
        stop = self._behind + self._reach.block
        answer = self._through(known[: stop + self._reach.after])[self._behind : stop]
        drop = max(0, min(stop, len(known)) - self._reach.before)
        self._known, self._behind = known[drop:], min(stop, len(known)) - drop
        return answer


class NetVoice(RunningVoice):
    """A voice whose two ways are networks: `hears` and `speaks` say how far each looks.

    The networks have no chance in them: the sound is the same for every seed.
    """

    net: Any  # an nn.Module
    hears: Reach
    speaks: Reach

    @abstractmethod
    def _hear(self, waves: torch.Tensor) -> torch.Tensor:
        """(1, frames · hop) → (frames, width)."""

    @abstractmethod
    def _say(self, latents: torch.Tensor) -> torch.Tensor:
        """(frames, width) → (1, frames · hop)."""

    def encoder(self) -> Encoder:
        return _WindowedEncoder(Windows(self._encoded, self.hears), self.hop, self.space)

    def decoder(self, seed: int = 0) -> Decoder:
        return _WindowedDecoder(Windows(self._decoded, self.speaks), self.space)

    def loop(self, latents: Features, seed: int = 0) -> Sound:
        values, reach = checked(latents, self.space), self.speaks
        count, parts = len(values), []
        for first in range(0, count, reach.block):
            index = np.arange(first - reach.before, first + reach.block + reach.after) % count
            block = self._decoded(values[index])[reach.before : reach.before + reach.block]
            parts.append(block[: count - first].reshape(-1))
        return Sound(np.concatenate(parts)[None], self.rate)

    @torch.inference_mode()
    def _encoded(self, rows: Rows) -> Rows:
        latents = self._hear(self.here(rows.reshape(1, -1)))
        return latents[: len(rows)].float().cpu().numpy()

    @torch.inference_mode()
    def _decoded(self, rows: Rows) -> Rows:
        waves = self._say(self.here(rows))
        return waves[:, : len(rows) * self.hop].reshape(len(rows), self.hop).float().cpu().numpy()

    def to(self, device: torch.device) -> NetVoice:
        """The same voice, on another device from now on."""
        self.net.to(device)
        return self

    def here(self, values: np.ndarray) -> torch.Tensor:
        """An array where the network is."""
        return torch.tensor(values).to(next(self.net.parameters()).device)


class _WindowedEncoder(Encoder):
    def __init__(self, windows: Windows, hop: int, space: Space) -> None:
        self._windows, self._hop, self._space = windows, hop, space
        self._rest = np.zeros(0, np.float32)  # samples that do not fill a frame yet

    def push(self, samples: Float[np.ndarray, " samples"]) -> Features:
        if not np.isfinite(samples).all():
            raise InputError("These samples hold NaN or infinite values; they are no sound.")
        known = np.concatenate([self._rest, samples.astype(np.float32)])
        whole = len(known) // self._hop * self._hop
        self._rest = known[whole:]
        return self._features(self._windows.push(known[:whole].reshape(-1, self._hop)))

    def finish(self) -> Features:
        parts = []
        if len(self._rest):
            parts = self._windows.push(np.pad(self._rest, (0, self._hop - len(self._rest)))[None])
        return self._features(parts + self._windows.finish())

    def _features(self, parts: list[Rows]) -> Features:
        return Features(np.concatenate([np.zeros((0, self._space.width), np.float32), *parts]), self._space)


class _WindowedDecoder(Decoder):
    def __init__(self, windows: Windows, space: Space) -> None:
        self._windows, self._space = windows, space

    def push(self, latents: Features) -> Float[np.ndarray, " samples"]:
        return self._samples(self._windows.push(checked(latents, self._space)))

    def finish(self) -> Float[np.ndarray, " samples"]:
        return self._samples(self._windows.finish())

    def _samples(self, parts: list[Rows]) -> Float[np.ndarray, " samples"]:
        return np.concatenate([np.zeros(0, np.float32), *(part.reshape(-1) for part in parts)])
