"""How the voice `neural` is trained, and the control: EnCodec in its default configuration, on the same recordings.

Both hear crops of recordings at many levels and answer for spectra of several resolutions on the ear's scale, so that a
click counts at its moment and a tone at its pitch (as the multi-scale mel losses of EnCodec and DAC), and a little for
their phase. Nothing judges the sound but this: there is no adversary.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import nn

from .. import hub, media
from ..codecs import bands, neural
from ..senses import InputError
from .hear import resampled
from .hear_data import Sounds, read
from .loop import LoopConfig, fit

if TYPE_CHECKING:
    from jaxtyping import Float, Int

SCALES = ((2048, 96), (1024, 64), (512, 40), (256, 20), (128, 10))  # samples of a window, bands on the ear's scale
BINS = (2048, 1024, 512)  # windows whose bins are compared one by one, too
QUIETEST = 1e-5  # amplitude in a band below which nothing is told apart
PHASE_WINDOW = 1024
SOFT_DB, LOUD_DB = -45.0, -12.0  # levels of the crops
FREE = 0.25  # the share of crops whose latents no code rounds
TIMED = 3  # steps by which the pace is measured
DECAY = 0.99  # of the control's averages of what falls to a code
LEAST_USED = 0.1  # in a step, on average; codes below begin anew


@dataclass(frozen=True)
class VoiceRun:
    """A run. `frames` are those of the voice `bands`, 10 ms each; a step hears `batch` crops of so many."""

    steps: int = 8_000
    batch: int = 12
    frames: int = 100
    lr: float = 1e-3
    seed: int = 0
    net: neural.NeuralConfig = field(default_factory=neural.NeuralConfig)


# --- loss ------------------------------------------------------------------------------------------------------------


@cache
def _responses(window: int, count: int, rate: int) -> torch.Tensor:
    """(bins, bands): triangles equally spaced on the ear's scale from 30 Hz to the highest frequency."""
    edges = np.linspace(*bands.erb_number(np.array([30.0, rate / 2])), count + 2)
    at = bands.erb_number(np.arange(window // 2 + 1) * rate / window)[:, None]
    step = edges[1] - edges[0]
    return torch.from_numpy(np.maximum(0.0, 1.0 - np.abs(at - edges[1:-1]) / step).astype(np.float32))


def _spectrum(waves: torch.Tensor, window: int) -> torch.Tensor:
    """(n, samples) → (n, times, bins), a sine of amplitude 1 being 1."""
    hann = torch.hann_window(window, device=waves.device)
    out = torch.stft(waves, window, window // 4, window=hann, pad_mode="constant", return_complex=True)
    return out.transpose(1, 2) * (4.0 / window)


def _turned(spectrum: torch.Tensor) -> torch.Tensor:
    size = spectrum.abs().clamp_min(QUIETEST)
    return torch.view_as_real(spectrum * size**-0.7)


def spectral_loss(
    made: Float[torch.Tensor, "n samples"], real: Float[torch.Tensor, "n samples"], rate: int
) -> dict[str, torch.Tensor]:
    """`bands`: how far log amplitudes in bands are apart, over all `SCALES`; `bins`: those in single bins of spectra
    over `BINS`, since a sine in each band has the levels of a noise and is none; `phase`: compressed complex spectra.

    Log amplitudes are natural logarithms, so 0.1 is 0.9 dB.
    """
    apart, within = made.new_zeros(()), made.new_zeros(())
    for window, count in SCALES:
        response = _responses(window, count, rate).to(made.device)
        powers = [_spectrum(waves, window).abs().square() for waves in (made, real)]
        logs = [(power @ response + QUIETEST**2).log() / 2 for power in powers]
        apart = apart + (logs[0] - logs[1]).abs().mean() / len(SCALES)
        if window in BINS:
            fine = [(power + QUIETEST**2).log() / 2 for power in powers]
            within = within + (fine[0] - fine[1]).abs().mean() / len(BINS)
    a, b = (_turned(_spectrum(waves, PHASE_WINDOW)) for waves in (made, real))
    return {"bands": 4.0 * apart, "bins": 2.0 * within, "phase": 4.0 * (a - b).abs().mean()}


# --- what learns -----------------------------------------------------------------------------------------------------


class Student(Protocol):
    """What the training asks of a codec: its rate, and crops → what is made of them and the loss of its codes."""

    rate: int

    def again(self, waves: torch.Tensor, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]: ...

    def save(self, folder: Path) -> Path: ...


class NeuralStudent(nn.Module):
    """The voice `neural`; every crop has its own number of books, a quarter of them none."""

    rate = neural.RATE

    def __init__(self, config: neural.NeuralConfig) -> None:
        super().__init__()
        self.net = neural.Net(config)

    def again(self, waves: torch.Tensor, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        n, most = len(waves), self.net.config.books
        free = torch.rand(n, generator=g) < FREE
        books = torch.where(free, 0, torch.randint(1, most + 1, (n,), generator=g))
        latents, lost = self.net.quantised(self.net.encode(waves), books)
        return self.net.decode(latents), lost

    def save(self, folder: Path) -> Path:
        card = hub.Card(
            "neural",
            "Apache-2.0",
            "A causal codec at 32 kHz: 64 latents, or up to 18 codes of 10 bits, 50 times a second.",
            "The recordings of the split train of the shards that it was given.",
            "`synesthesia train voice`: spectra of five resolutions, phase, codes; no adversary.",
            "Nothing is known about it until runs/voice_bands.py has measured it.",
        )
        return neural.save(self.net, folder, card)


class EncodecStudent(nn.Module):
    """The control: transformers' EnCodec as its default configuration has it, at 24 kHz.

    Its codebooks are running averages of what fell to each code (Défossez et al. 2022, 3.2), since transformers has
    them for use only.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            from transformers import EncodecConfig, EncodecModel
        except ImportError as error:
            raise InputError("The control needs the extra `hub`: pip install 'synesthesia[hub]'.") from error
        config: Any = EncodecConfig()
        self.model: Any = EncodecModel(config)
        self.rate = int(config.sampling_rate)

    def again(self, waves: torch.Tensor, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        rounds, widths = self.model.quantizer, self.model.config.target_bandwidths
        width = widths[int(torch.randint(len(widths), (1,), generator=g))]
        z = self.model.encoder(waves[:, None])
        left, out = z.transpose(1, 2), torch.zeros_like(z.transpose(1, 2))
        lost = z.new_zeros(())
        for layer in rounds.layers[: rounds.get_num_quantizers_for_bandwidth(width)]:
            code = learned_code(layer.codebook, left.detach(), g)
            lost = lost + (left - code).square().mean()
            out, left = out + code, left - code
        through = z.transpose(1, 2)
        through = through + (out - through).detach()
        return self.model.decoder(through.transpose(1, 2))[:, 0, : waves.shape[1]], lost

    def save(self, folder: Path) -> Path:
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        self.model.save_pretrained(part)
        told = {"feature_extractor_type": "EncodecFeatureExtractor", "sampling_rate": self.rate}
        media.write_bytes(part / "preprocessor_config.json", json.dumps(told).encode())
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)
        return folder


@torch.no_grad()
def learned_code(book: Any, left: Float[torch.Tensor, "n frames width"], g: torch.Generator) -> torch.Tensor:
    """The nearest codes to what is left, after which the codebook has moved towards it; unused codes begin anew."""
    flat = left.flatten(0, 1)
    drawn = flat[torch.randint(len(flat), (len(book.embed),), generator=g)]
    if not book.cluster_size.any():
        book.embed.copy_(drawn)
        book.embed_avg.copy_(drawn)
        book.cluster_size.fill_(1.0)
    codes = book.quantize(flat)
    chosen = book.embed[codes].view_as(left)
    count = torch.bincount(codes, minlength=len(book.embed)).to(flat.dtype)
    total = torch.zeros_like(book.embed).index_add_(0, codes, flat)
    book.cluster_size.lerp_(count, 1 - DECAY)
    book.embed_avg.lerp_(total, 1 - DECAY)
    unused = book.cluster_size < LEAST_USED
    book.cluster_size[unused] = 1.0
    book.embed_avg[unused] = drawn[unused]
    book.embed.copy_(book.embed_avg / book.cluster_size[:, None])
    return chosen


# --- the run ---------------------------------------------------------------------------------------------------------


def chances(sounds: Sounds) -> Float[np.ndarray, " rows"]:
    """How often each row is drawn: kinds evenly, recordings evenly within the kind, pieces within the recording."""
    pairs = np.stack([sounds.kind, sounds.cluster], 1)
    recordings, of, pieces = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    kinds, kind, clusters = np.unique(recordings[:, 0], return_inverse=True, return_counts=True)
    return (1.0 / (len(kinds) * clusters[kind] * pieces))[of.ravel()]


def lesson(
    sounds: Sounds, chance: Float[np.ndarray, " rows"], rng: np.random.Generator, run: VoiceRun
) -> Float[torch.Tensor, "n samples"]:
    """Crops at 32 kHz, at levels from soft to loud."""
    rows: Int[np.ndarray, " n"] = rng.choice(len(sounds), run.batch, p=chance)
    gain = rng.uniform(SOFT_DB, LOUD_DB, run.batch) - sounds.level[rows]
    return sounds.waves_at(sounds.crops(rows, rng, run.frames), gain)


def train(
    shards: Path, out: Path, run: VoiceRun | None = None, *, control: bool = False, minutes: float | None = None
) -> Path:
    """Train a voice on the recordings of the split train; leaves the checkpoint in `out`/final. Resumes after a kill.

    `control` trains EnCodec's default configuration instead. With `minutes` the number of steps is what this machine
    does in that time; it is measured once and kept in `out`. Raises InputError for a folder without recordings.
    """
    run = run or VoiceRun()
    if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
        raise InputError(f"Training lasts a positive number of minutes, not {minutes:g}.")
    if run.frames < 2 or run.frames % neural.PER_FRAME:
        raise InputError(f"A crop has an even number of frames of 10 ms, not {run.frames}.")
    sounds = read(shards, "train").sounds
    if not len(sounds):
        raise InputError(f"{shards} holds no recordings of the split train; a voice learns from recordings.")
    torch.manual_seed(run.seed)
    student: Any = EncodecStudent() if control else NeuralStudent(run.net)
    chance = chances(sounds)

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        real = lesson(sounds, chance, np.random.default_rng([run.seed, 41, step]), run)
        if student.rate != neural.RATE:
            real = resampled(real, student.rate)
        made, lost = student.again(real, g)
        return spectral_loss(made, real, student.rate) | {"codes": lost}

    steps = run.steps if minutes is None else _steps_in(minutes, student, loss, out)
    fit(student, loss, LoopConfig(steps, run.lr, ema=0.999, seed=run.seed), out / "voice")
    return student.save(out / "final")


def _steps_in(
    minutes: float, student: nn.Module, loss: Callable[[int, torch.Generator], dict[str, torch.Tensor]], out: Path
) -> int:
    """How many steps this machine does in so many minutes, as measured when the run began."""
    path = out / "steps.json"
    if path.is_file():
        told = hub.read_config(out, path.name)
        if told.get("minutes") == minutes and isinstance(told.get("steps"), int):
            return told["steps"]
        raise InputError(f"{out} holds a run of {told.get('minutes')} minutes; give it that, or another folder.")
    before = {name: value.clone() for name, value in student.state_dict().items()}
    took = []
    for step in range(TIMED):
        start = time.perf_counter()
        torch.stack(list(loss(step, torch.Generator().manual_seed(step)).values())).sum().backward()
        took.append(time.perf_counter() - start)
    student.zero_grad(set_to_none=True)
    student.load_state_dict(before)
    steps = max(1, round(60 * minutes / sorted(took)[TIMED // 2]))
    out.mkdir(parents=True, exist_ok=True)
    media.write_bytes(path, json.dumps({"minutes": minutes, "steps": steps}).encode())
    return steps
