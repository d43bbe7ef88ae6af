"""What a voice is: the way from a sound to continuous latents and back, for any length, in blocks.

`Voice` is what every voice can do. A `RunningVoice` also encodes a sound while it comes in; a `TokenVoice` has
codebooks, and its tokens decode themselves.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..senses import InputError, Sound
from ..spaces import Features, Space, Tokens, join

if TYPE_CHECKING:
    from jaxtyping import Float, Int

MAX_SAMPLES = 500_000_000  # four hours at 32 kHz
_PIECE = 2**18  # samples encoded at a time
_ROWS = 2**12  # frames turned into codes at a time


def checked(latents: Features, space: Space) -> Float[np.ndarray, "frames width"]:
    """The latents of a sound; SpaceError for those of another voice, InputError for what no sound can be made of."""
    values = latents.require(space)
    if values.ndim != 2 or len(values) == 0:
        raise InputError(
            f"A sound's latents are (frames, {space.width}) with a frame at least; these are {values.shape}."
        )
    if not np.isfinite(values).all():
        raise InputError("These latents hold NaN or infinite values; no sound can be made of them.")
    return values.astype(np.float32)


class Encoder(ABC):
    """One running encode: samples go in as they come, latents come out as soon as they are determined.

    What comes out, joined, is bit for bit what `encode` gives for all the samples, however they were cut, and memory
    does not grow with length.
    """

    @abstractmethod
    def push(self, samples: Float[np.ndarray, " samples"]) -> Features:
        """The latents that are determined now, perhaps none, for mono samples at the voice's rate."""

    @abstractmethod
    def finish(self) -> Features:
        """The rest, padded with silence to whole frames. After this the encoder takes no more."""


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


class RunningVoice(Voice):
    """A voice that encodes in blocks, as every voice decodes."""

    @abstractmethod
    def encoder(self) -> Encoder:
        """A new running encode."""

    def encode(self, sound: Sound) -> Features:
        samples, encoder = self.prepare(sound), self.encoder()
        parts = [encoder.push(samples[first : first + _PIECE]) for first in range(0, len(samples), _PIECE)]
        return join([*parts, encoder.finish()])


@dataclass(frozen=True, eq=False)
class Codes(Tokens):
    """Tokens that know the voice they belong to, and so decode themselves."""

    voice: TokenVoice

    def sound(self, seed: int = 0) -> Sound:
        """What the tokens say."""
        return self.voice.decode(self.voice.latents(self), seed)


class TokenVoice(RunningVoice):
    """A voice with `codebooks` of `size` codes each, of which each says what those before it left over.

    The codec that its tokens name is its space. The first few books alone are a coarser sound at fewer bits.
    """

    codebooks: int
    size: int

    def tokens(self, sound: Sound, books: int | None = None) -> Codes:
        """The tokens of a sound, (frames, books); all books by default. Raises InputError as `encode` does."""
        return self.quantise(self.encode(sound), books)

    def quantise(self, latents: Features, books: int | None = None) -> Codes:
        """The nearest tokens to latents."""
        values, count = checked(latents, self.space), self._count(books)
        parts = [self._to_codes(values[first : first + _ROWS], count) for first in range(0, len(values), _ROWS)]
        return Codes(np.concatenate(parts), self.space.name, self.size, self)

    def latents(self, tokens: Tokens) -> Features:
        """The latents that tokens stand for; SpaceError for another codec's."""
        codes = tokens.require(self.space.name)
        if codes.ndim != 2 or not len(codes):
            raise InputError(f"A sound's tokens are (frames, books) with a frame at least; these are {codes.shape}.")
        self._count(codes.shape[1])
        parts = [self._from_codes(codes[first : first + _ROWS]) for first in range(0, len(codes), _ROWS)]
        return Features(np.concatenate(parts), self.space)

    def bits_per_second(self, books: int | None = None) -> float:
        """What tokens of so many books cost, each code taken as equally likely."""
        return self._count(books) * math.log2(self.size) * self.rate / self.hop

    def _count(self, books: int | None) -> int:
        count = self.codebooks if books is None else books
        if not 1 <= count <= self.codebooks:
            raise InputError(f"{self.space.name} has 1 to {self.codebooks} codebooks, not {count}.")
        return count

    @abstractmethod
    def _to_codes(self, values: Float[np.ndarray, "frames width"], books: int) -> Int[np.ndarray, "frames books"]: ...

    @abstractmethod
    def _from_codes(self, codes: Int[np.ndarray, "frames books"]) -> Float[np.ndarray, "frames width"]: ...
