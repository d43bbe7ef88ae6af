"""The voice SoundStream, as in Lyra V2: a real codec at 16 kHz, trained on speech, that runs on one core.

A folder with three files of TensorFlow Lite, of the repository google/lyra at 47698da (Apache-2.0), and the wheel
`ai-edge-litert`. A frame is 320 samples ↔ 64 latents ↔ up to 46 codes of 4 bits (Zeghidour et al. 2021; Lyra's own
rates of 3.2, 6 and 9.2 kbit/s are 16, 30 and 46 codes). Both networks remember what was before; each stream runs its
own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import media
from ..senses import InputError, Sound
from ..spaces import Features, Space
from .voice import Decoder, Encoder, TokenVoice, checked

if TYPE_CHECKING:
    from jaxtyping import Float, Int

FILES = ("soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite")
RATE = 16_000
HOP = 320
WIDTH = 64
BOOKS, CODES = 46, 16
MAX_BYTES = 2**26
_MEMORY = 100  # frames after which what was before is not heard
_UNUSED = -1


class SoundStream(TokenVoice):
    """The voice of a folder that holds `FILES`."""

    rate = RATE
    hop = HOP
    codebooks = BOOKS
    size = CODES

    def __init__(self, folder: str | Path) -> None:
        try:
            import ai_edge_litert.interpreter as runtime  # ty: ignore[import-not-found]
        except ImportError:
            raise InputError("SoundStream needs the wheel ai-edge-litert: pip install ai-edge-litert.") from None
        self._runtime = runtime
        self._files = {name: media.read_bytes(Path(folder) / name, MAX_BYTES) for name in FILES}
        digest = hashlib.sha256(b"".join(self._files.values())).hexdigest()
        self.space = Space(f"soundstream@{digest[:12]}", WIDTH)
        self._to_code, self._from_code = (self._signature(FILES[1], way) for way in ("encode", "decode"))

    def encoder(self) -> Encoder:
        return _Encoder(self._signature(FILES[0]), self.space)

    def decoder(self, seed: int = 0) -> Decoder:
        return _Decoder(self._signature(FILES[2]), self.space)

    def loop(self, latents: Features, seed: int = 0) -> Sound:
        values = checked(latents, self.space)
        decoder = self.decoder()
        before = np.arange(-_MEMORY, 0) % len(values)
        decoder.push(Features(values[before], self.space))
        return Sound(decoder.push(Features(values, self.space))[None], self.rate)

    def _signature(self, name: str, way: str | None = None) -> Callable[..., dict[str, np.ndarray]]:
        """A network of its own that begins with silence."""
        try:
            return self._runtime.Interpreter(model_content=self._files[name], num_threads=1).get_signature_runner(way)
        except (ValueError, RuntimeError) as error:
            raise InputError(f"{name} is not the network of Lyra V2: {str(error).splitlines()[0]}") from error

    def _to_codes(self, values: Float[np.ndarray, "frames width"], books: int) -> Int[np.ndarray, "frames books"]:
        every = [
            self._to_code(input_frames=row[None, None], num_quantizers=np.int32(books))["output_0"] for row in values
        ]
        return np.stack(every)[:, :books, 0, 0].astype(np.int64)

    def _from_codes(self, codes: Int[np.ndarray, "frames books"]) -> Float[np.ndarray, "frames width"]:
        every = np.full((len(codes), BOOKS, 1, 1), _UNUSED, np.int32)
        every[:, : codes.shape[1], 0, 0] = codes
        return np.stack([self._from_code(encoding_indices=row)["output_0"][0, 0] for row in every])


class _Encoder(Encoder):
    def __init__(self, network: Callable[..., dict[str, np.ndarray]], space: Space) -> None:
        self._network: Callable[..., dict[str, np.ndarray]] | None = network
        self._space = space
        self._rest = np.zeros(0, np.float32)

    def push(self, samples: Float[np.ndarray, " samples"]) -> Features:
        if self._network is None:
            raise InputError("This encoder has finished; ask the voice for another.")
        if not np.isfinite(samples).all():
            raise InputError("These samples hold NaN or infinite values; they are no sound.")
        known = np.concatenate([self._rest, samples.astype(np.float32)])
        whole = len(known) // HOP * HOP
        self._rest = known[whole:]
        rows = [self._network(input_audio=row[None])["output_0"][0, 0] for row in known[:whole].reshape(-1, HOP)]
        return Features(np.array(rows, np.float32).reshape(-1, WIDTH), self._space)

    def finish(self) -> Features:
        rest = self.push(np.zeros(-len(self._rest) % HOP, np.float32))
        self._network = None
        return rest


class _Decoder(Decoder):
    def __init__(self, network: Callable[..., dict[str, np.ndarray]], space: Space) -> None:
        self._network: Callable[..., dict[str, np.ndarray]] | None = network
        self._space = space

    def push(self, latents: Features) -> Float[np.ndarray, " samples"]:
        if self._network is None:
            raise InputError("This decoder has finished; ask the voice for another.")
        rows = checked(latents, self._space)
        return np.concatenate([self._network(input_audio=row[None, None])["output_0"][0] for row in rows])

    def finish(self) -> Float[np.ndarray, " samples"]:
        self._network = None
        return np.zeros(0, np.float32)
