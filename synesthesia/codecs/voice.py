"""What a voice is: the way from a sound to continuous latents and back, for any length, in blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from ..senses import InputError, Sound
from ..spaces import Features, Space

if TYPE_CHECKING:
    from jaxtyping import Float

MAX_SAMPLES = 500_000_000  # four hours at 32 kHz


class Decoder(ABC):
    """One running decode: latents go in as they come, sound comes out as soon as it is determined.

    What comes out, joined, is bit for bit what `Voice.decode` gives for all the latents, however they were cut, and
    memory does not grow with length.
    """

    @abstractmethod
    def push(self, latents: Features) -> Float[np.ndarray, " samples"]:
        """The samples that are determined now; the last few frames wait for what follows them."""

    @abstractmethod
    def finish(self) -> Float[np.ndarray, " samples"]:
        """The rest. After this the decoder takes no more."""


class Voice(ABC):
    """Sound ↔ latents of shape (frames, space.width), one row for each `hop` samples at `rate` Hz.

    `encode` takes any sound (its channels are averaged, its rate converted) and pads it to whole frames with silence.
    `decode` is seeded: the same latents and seed give the same sound.
    """

    space: Space
    rate: int
    hop: int

    @abstractmethod
    def encode(self, sound: Sound) -> Features:
        """The latents of a sound. Raises InputError for a sound without samples or longer than four hours."""

    @abstractmethod
    def decoder(self, seed: int = 0) -> Decoder:
        """A new running decode."""

    @abstractmethod
    def loop(self, latents: Features, seed: int = 0) -> Sound:
        """One period of a sound that repeats without a seam: its end runs into its beginning."""

    def decode(self, latents: Features, seed: int = 0) -> Sound:
        """The sound of the latents, mono, `hop` samples a frame: the blocks of a decoder, joined."""
        decoder = self.decoder(seed)
        return Sound(np.concatenate([decoder.push(latents), decoder.finish()])[None], self.rate)

    def frames(self, seconds: float) -> int:
        """How many frames hold so many seconds."""
        return max(1, -(-round(seconds * self.rate) // self.hop))

    def prepare(self, sound: Sound) -> Float[np.ndarray, " samples"]:
        """The sound as mono samples at the voice's rate, padded with silence to whole frames."""
        from ..media import resample

        if sound.samples.shape[1] == 0:
            raise InputError("This sound has no samples; there is nothing to encode.")
        if sound.seconds * self.rate > MAX_SAMPLES:
            raise InputError(f"This sound lasts {sound.seconds / 3600:.1f} hours; at most four can be encoded at once.")
        mono = Sound(sound.mono[None], sound.rate)
        samples = resample(mono, self.rate).mono
        samples = samples if len(samples) else np.zeros(1, np.float32)  # one sample of a high rate rounds to none
        return np.pad(samples, (0, -len(samples) % self.hop))
