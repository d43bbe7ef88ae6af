"""The voice of AudioLDM 2: sound → mel spectrogram → latents of its VAE, and back through its vocoder.

A pipeline's folder holds the two in `vae/` (diffusers' AutoencoderKL) and `vocoder/` (transformers' SpeechT5HifiGan),
at 16 kHz with 64 mel bands every 10 ms; nothing else of it is read. Latents are those that its diffusion model makes:
means of the VAE, scaled, the cells of four mel frames side by side. It has no codebooks. Not yet run on the real
checkpoint.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import hub
from ..pretrained import Checkpoint, build, name_of, quiet, transformers_errors
from ..senses import InputError
from ..spaces import Space
from .windows import NetVoice, Reach

PIPELINE = "model_index.json"
VAE, VOCODER = "vae/diffusion_pytorch_model.safetensors", "vocoder/model.safetensors"
CONFIGS = ("vae/config.json", "vocoder/config.json")
WINDOW = 1024  # samples of a spectrum
QUIETEST = 1e-5
SECONDS = (5.12, 2.56)  # of a block, and of what is known to either side: together the 10.24 s that it was trained on


def load(reference: str | Path, *, yes: bool = False) -> AudioLdm:
    """The voice of a pipeline's folder or of `hf:user/repo@commit`; see `codecs.load_voice`."""
    if importlib.util.find_spec("diffusers") is None:
        raise InputError(f"{reference} needs the extra `hub`: pip install 'synesthesia[hub]'.")
    folder = Path(reference).expanduser()
    if str(reference).startswith("hf:"):
        folder = hub.resolve(reference, yes=yes, need=[*CONFIGS, VAE, VOCODER], also=[PIPELINE])
    with transformers_errors(reference):
        return AudioLdm(folder)


class _Parts(nn.Module):
    """VAE and vocoder, and the mel spectrogram between a sound and the first."""

    bank: torch.Tensor
    hann: torch.Tensor

    def __init__(self, vae: nn.Module, vocoder: nn.Module, rate: int, mels: int) -> None:
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        self.vae: Any = vae
        self.vocoder: Any = vocoder
        bank = mel_filter_bank(WINDOW // 2 + 1, mels, 0.0, rate / 2, rate, norm="slaney", mel_scale="slaney")
        self.register_buffer("bank", torch.from_numpy(bank).float(), persistent=False)
        self.register_buffer("hann", torch.hann_window(WINDOW), persistent=False)


class AudioLdm(NetVoice):
    """The VAE and the vocoder of AudioLDM 2 (Liu et al. 2023) as a voice."""

    def __init__(self, folder: Path) -> None:
        from diffusers import AutoencoderKL
        from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

        told = {name: hub.read_config(folder, name) for name in CONFIGS}
        weights = {name: hub.read_tensors(folder / name, bool) for name in (VAE, VOCODER)}
        name = name_of(folder, {f"{part}:{key}": value for part, own in weights.items() for key, value in own.items()})
        vae: Any = AutoencoderKL.from_config(told[CONFIGS[0]])
        vae.load_state_dict(weights[VAE])
        config: Any = SpeechT5HifiGanConfig.from_dict(told[CONFIGS[1]])
        with quiet():
            vocoder = build(SpeechT5HifiGan, config, Checkpoint(name, {}, {}, weights[VOCODER]))
        self.net = _Parts(vae.float(), vocoder, config.sampling_rate, config.model_in_dim).eval()
        self._steps = 2 ** (len(vae.config.block_out_channels) - 1)  # mel frames to a frame of latents
        self._mel_hop = int(np.prod(config.upsample_rates))
        self.rate, self.hop = int(config.sampling_rate), self._mel_hop * self._steps
        self.space = Space(name, vae.config.latent_channels * config.model_in_dim // self._steps)
        block, beside = (round(seconds * self.rate / self.hop) for seconds in SECONDS)
        self.hears = self.speaks = Reach(block, beside, beside)

    def _hear(self, waves: torch.Tensor) -> torch.Tensor:
        mel = self.mel(waves)[None]
        latents = self.net.vae.encode(mel).latent_dist.mean * self.net.vae.config.scaling_factor
        return latents[0].permute(1, 0, 2).flatten(1)

    def _say(self, latents: torch.Tensor) -> torch.Tensor:
        channels = self.net.vae.config.latent_channels
        cells = latents.unflatten(1, (channels, -1)).permute(1, 0, 2)[None]
        mel = self.net.vae.decode(cells / self.net.vae.config.scaling_factor).sample
        return self.net.vocoder(mel[:, 0])

    def mel(self, waves: torch.Tensor) -> torch.Tensor:
        """(1, samples) → (1, mel frames, bands), natural logarithms of amplitude, as AudioLDM was trained on."""
        beside = (WINDOW - self._mel_hop) // 2
        edged = nn.functional.pad(waves[:, None], (beside, beside + WINDOW), mode="constant")[:, 0]
        framed = edged.unfold(1, WINDOW, self._mel_hop)[:, : waves.shape[1] // self._mel_hop]
        return (torch.fft.rfft(framed * self.net.hann).abs() @ self.net.bank).clamp_min(QUIETEST).log()
