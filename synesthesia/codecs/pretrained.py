"""Codecs from a hub as voices: EnCodec, DAC and Mimi, each a short adapter to its class in transformers.

Latents are what a codec's encoder says before its codebooks round it. Windows reach as far as convolutions do; of
EnCodec's LSTM they keep a second, of Mimi's transformer four. None has been run on its real checkpoint yet.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..pretrained import Checkpoint, build, read, transformers_errors
from ..senses import InputError
from ..spaces import Space
from .voice import TokenVoice
from .windows import NetVoice, Reach

if TYPE_CHECKING:
    from jaxtyping import Float, Int

NEAR = 16  # frames that convolutions without causality look to each side


def load(reference: str | Path, *, yes: bool = False) -> HubVoice:
    """The voice of a checkpoint of transformers; see `codecs.load_voice`."""
    with transformers_errors(reference):
        checkpoint = read(reference, "", yes=yes)
        return _ADAPTERS[checkpoint.config["model_type"]](checkpoint)


class HubVoice(NetVoice, TokenVoice):
    """What the adapters share: a model of one channel, its rate and hop, and the same windows both ways."""

    def __init__(self, name: str, model: Any, width: int, reach: Reach) -> None:
        self.net = model
        self.space = Space(name, width)
        self.rate = int(model.config.sampling_rate)
        self.hears = self.speaks = reach
        self.size = int(model.config.codebook_size)

    @torch.inference_mode()
    def _to_codes(self, values: Float[np.ndarray, "frames width"], books: int) -> Int[np.ndarray, "frames books"]:
        return self._codes(self.here(values).T[None], books).T.cpu().numpy()

    @torch.inference_mode()
    def _from_codes(self, codes: Int[np.ndarray, "frames books"]) -> Float[np.ndarray, "frames width"]:
        return self._stood(self.here(codes.T)).T.float().cpu().numpy()

    def _codes(self, z: torch.Tensor, books: int) -> torch.Tensor:
        """(1, width, frames) → (books, frames)."""
        raise NotImplementedError

    def _stood(self, codes: torch.Tensor) -> torch.Tensor:
        """(books, frames) → (width, frames)."""
        raise NotImplementedError


class Encodec(HubVoice):
    """EnCodec (Défossez et al. 2022) of one channel: the causal model at 24 kHz and MusicGen's at 32 kHz."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        from transformers import EncodecConfig, EncodecModel

        config: Any = EncodecConfig.from_dict(dict(checkpoint.config))
        if config.audio_channels != 1 or config.normalize:
            raise InputError(f"{checkpoint.name} is an EnCodec of music in stereo; use the one of 24 or of 32 kHz.")
        self.hop = config.hop_length
        second = math.ceil(config.sampling_rate / self.hop)
        reach = Reach(second, second, 0 if config.use_causal_conv else NEAR)
        super().__init__(checkpoint.name, build(EncodecModel, config, checkpoint), config.hidden_size, reach)
        self.codebooks = config.num_quantizers

    def _hear(self, waves: torch.Tensor) -> torch.Tensor:
        return self.net.encoder(waves[:, None])[0].T

    def _say(self, latents: torch.Tensor) -> torch.Tensor:
        return self.net.decoder(latents.T[None])[:, 0]

    def _codes(self, z: torch.Tensor, books: int) -> torch.Tensor:
        return self.net.quantizer.encode(z)[:books, 0]

    def _stood(self, codes: torch.Tensor) -> torch.Tensor:
        return self.net.quantizer.decode(codes[:, None])[0]


class Dac(HubVoice):
    """DAC (Kumar et al. 2023), at 16, 24 or 44.1 kHz."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        from transformers import DacConfig, DacModel

        config: Any = DacConfig.from_dict(dict(checkpoint.config))
        self.hop = config.hop_length
        reach = Reach(math.ceil(config.sampling_rate / self.hop), NEAR, NEAR)
        super().__init__(checkpoint.name, build(DacModel, config, checkpoint), config.hidden_size, reach)
        self.codebooks = config.n_codebooks

    def _hear(self, waves: torch.Tensor) -> torch.Tensor:
        return self.net.encoder(waves[:, None])[0].T

    def _say(self, latents: torch.Tensor) -> torch.Tensor:
        waves = self.net.decoder(latents.T[None])[:, 0]
        # Upsampling by an odd factor ends half a step short on either side.
        short = len(latents) * self.hop - waves.shape[1]
        return torch.nn.functional.pad(waves, (short // 2, short - short // 2))

    def _codes(self, z: torch.Tensor, books: int) -> torch.Tensor:
        return self.net.quantizer(z, books)[1][0]

    def _stood(self, codes: torch.Tensor) -> torch.Tensor:
        return self.net.quantizer.from_codes(codes[None])[0][0]


class Mimi(HubVoice):
    """Mimi (Défossez et al. 2024, Moshi), at 24 kHz and 12.5 frames a second.

    Two quantisers round the same vector side by side and their sum is decoded, which is not near what they rounded. So
    latents hold both: first what the encoder says, from which codes are taken, then what all codes of it stand for,
    which is decoded.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        from transformers import MimiConfig, MimiModel

        config: Any = MimiConfig.from_dict(dict(checkpoint.config))
        self.hop = math.prod(config.upsampling_ratios) * config.latent_stride
        second = math.ceil(config.sampling_rate / self.hop)
        reach = Reach(2 * second, 4 * second, 0)
        super().__init__(checkpoint.name, build(MimiModel, config, checkpoint), 2 * config.hidden_size, reach)
        self.codebooks = config.num_quantizers

    def _hear(self, waves: torch.Tensor) -> torch.Tensor:
        heard = self.net.encoder(waves[:, None]).latents
        stood = self.net.quantizer.decode(self.net.quantizer.encode(heard).transpose(0, 1))
        return torch.cat([heard, stood], 1)[0].T

    def _say(self, latents: torch.Tensor) -> torch.Tensor:
        return self.net.decoder(latents.T[None].chunk(2, 1)[1]).audio_values[:, 0]

    def _codes(self, z: torch.Tensor, books: int) -> torch.Tensor:
        return self.net.quantizer.encode(z.chunk(2, 1)[0], books)[:, 0]

    def _stood(self, codes: torch.Tensor) -> torch.Tensor:
        return self.net.quantizer.decode(codes[None])[0].repeat(2, 1)


_ADAPTERS: dict[str, type[Encodec] | type[Dac] | type[Mimi]] = {"encodec": Encodec, "dac": Dac, "mimi": Mimi}
