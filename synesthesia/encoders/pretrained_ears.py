"""Ears from a hub: CLAP and AST, each a short adapter with its front end.

The numbers of the front ends are the checkpoint's own; the hands are ours, in torch and without torchaudio, and agree
with transformers' feature extractors (tests/test_encoders.py). Sounds longer than a window are heard in windows.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from ..pretrained import Checkpoint, build, read, transformers_errors
from .base import Earshot, FrameEncoder, Hearing

# Where a checkpoint keeps its audio tower beside other things.
TOWER = r"audio_spectrogram_transformer\.|(?=audio_(?:model|projection)\.)"


def load(reference: str | Path, *, yes: bool = False) -> FrameEncoder:
    """The ears of a checkpoint of transformers; see `encoders.load_ears`."""
    with transformers_errors(reference):
        checkpoint = read(reference, TOWER, yes=yes)
        tower, hearing = _ADAPTERS[checkpoint.config["model_type"]](checkpoint)
        return FrameEncoder(checkpoint.name, tower, hearing).eval()


class _Clap(Earshot):
    """The last layer of the audio tower, averaged over bands; pooled: CLAP's joint space (not normalised).

    A sound shorter than the window is repeated as often as it fits, as CLAP was trained. Of a fusing checkpoint the way
    for short sounds is used; its way for long ones takes crops at random.
    """

    def __init__(self, model: Any, told: dict[str, Any]) -> None:
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        self.model = model
        self.widths = (model.config.hidden_size, model.config.projection_dim)
        self.fuses = bool(model.config.enable_fusion)
        self.size, self.hop = told["fft_window_size"], told["hop_length"]
        scale: dict[str, Any] = (
            {"norm": None, "mel_scale": "htk"} if self.fuses else {"norm": "slaney", "mel_scale": "slaney"}
        )
        bank = mel_filter_bank(
            num_frequency_bins=self.size // 2 + 1, num_mel_filters=told["feature_size"],
            min_frequency=told["frequency_min"], max_frequency=told["frequency_max"],
            sampling_rate=told["sampling_rate"], **scale,
        )  # fmt: skip
        self.register_buffer("bank", torch.from_numpy(bank).float(), persistent=False)
        self.register_buffer("shape", torch.hann_window(self.size), persistent=False)

    def decibels(self, waves: torch.Tensor) -> torch.Tensor:
        """(n, samples) → log-mel picture (n, times, bands) in dB."""
        shape, bank = self.get_buffer("shape"), self.get_buffer("bank")
        power = torch.stft(waves, self.size, self.hop, window=shape, return_complex=True).abs().square()
        return 10 * (power.transpose(1, 2) @ bank).clamp_min(1e-10).log10()

    def forward(self, waves: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        waves = waves.clone()
        for row, n in zip(waves, real.tolist(), strict=True):
            for k in range(1, len(row) // n if n else 0):
                row[k * n : (k + 1) * n] = row[:n]
        mel = self.decibels(waves)[:, None].expand(-1, 4 if self.fuses else 1, -1, -1)
        short = torch.zeros(len(waves), 1, dtype=torch.bool, device=waves.device)
        out = self.model(input_features=mel, is_longer=short)
        return out.last_hidden_state.mean(2).transpose(1, 2), out.audio_embeds


def _clap(checkpoint: Checkpoint) -> tuple[Earshot, Hearing]:
    from transformers import ClapAudioConfig, ClapAudioModelWithProjection

    config: Any = ClapAudioConfig.from_dict(checkpoint.config["audio_config"])
    told = dict(checkpoint.preprocessor)
    tower = _Clap(build(ClapAudioModelWithProjection, config, checkpoint), told)
    # The log-mel picture is folded into a square of `spec_size`, which the stages shrink; see ClapAudioEncoder.
    folds = config.spec_size // config.num_mel_bins
    frames = folds * (config.spec_size // 2 ** (len(config.depths) - 1) // tuple(config.patch_stride)[1])
    hop = told["max_length_s"] * told["sampling_rate"] // frames
    return tower, Hearing(told["sampling_rate"], hop, frames, hop / told["sampling_rate"] / 2)


class _Ast(Earshot):
    """The last layer, normalised, averaged over bands; pooled: the mean of its two class tokens."""

    SIZE, HOP = 400, 160  # Kaldi's 25 and 10 ms at 16 kHz

    def __init__(self, model: Any, told: dict[str, Any]) -> None:
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        self.model = model
        self.widths = (model.config.hidden_size, model.config.hidden_size)
        self.mean, self.std = (told["mean"], told["std"]) if told["do_normalize"] else (0.0, 0.5)
        rate = told["sampling_rate"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # AST's lowest bands are narrower than a bin and stay empty
            bank = mel_filter_bank(
                num_frequency_bins=257, num_mel_filters=told["num_mel_bins"], min_frequency=20, max_frequency=rate // 2,
                sampling_rate=rate, norm=None, mel_scale="kaldi", triangularize_in_mel_space=True,
            )  # fmt: skip
        self.register_buffer("bank", torch.from_numpy(bank).float(), persistent=False)
        self.register_buffer("shape", torch.hann_window(self.SIZE, periodic=False), persistent=False)

    def kaldi(self, waves: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """(n, samples) → normalised log-mel picture (n, times, bands), as Kaldi's fbank; 0 beyond the sound."""
        x = waves.unfold(1, self.SIZE, self.HOP)
        x = x - x.mean(2, keepdim=True)
        x = torch.cat([x[..., :1] * (1 - 0.97), x[..., 1:] - 0.97 * x[..., :-1]], 2)
        power = torch.fft.rfft(x * self.get_buffer("shape"), 512).abs().square()
        mel = (power @ self.get_buffer("bank")).clamp_min(1.192092955078125e-07).log()
        times = (1 + (real - self.SIZE).div(self.HOP, rounding_mode="floor")).clamp_min(1)
        heard = torch.arange(mel.shape[1], device=mel.device) < times[:, None]
        return (mel * heard[..., None] - self.mean) / (2 * self.std)

    def forward(self, waves: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        c = self.model.config
        out = self.model(input_values=self.kaldi(waves, real))
        bands = (c.num_mel_bins - c.patch_size) // c.frequency_stride + 1
        return out.last_hidden_state[:, 2:].unflatten(1, (bands, -1)).mean(1), out.pooler_output


def _ast(checkpoint: Checkpoint) -> tuple[Earshot, Hearing]:
    from transformers import ASTConfig, ASTModel

    config: Any = ASTConfig.from_dict(dict(checkpoint.config))
    told = dict(checkpoint.preprocessor)
    tower = _Ast(build(ASTModel, config, checkpoint), told)
    frames = (config.max_length - config.patch_size) // config.time_stride + 1
    hop = config.time_stride * _Ast.HOP
    span = (config.max_length - 1) * _Ast.HOP + _Ast.SIZE  # samples that fill the log-mel picture
    middle = ((config.patch_size - 1) * _Ast.HOP + _Ast.SIZE) / 2  # of a patch, in samples
    return tower, Hearing(told["sampling_rate"], hop, frames, middle / told["sampling_rate"], tail=span - frames * hop)


_ADAPTERS = {"clap": _clap, "audio-spectrogram-transformer": _ast}
