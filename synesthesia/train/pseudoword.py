"""How a pseudo-word is trained: frozen ears, a frozen diffusion model, photos and recordings paired by kind.

The run is AudioToken's (Yariv et al. 2023): the diffusion model's own loss and the bridge's small ones, batches of 8.
Kinds are numbers that say which photos and recordings may stand together; nobody tells what they are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..bridges.hearing import LOUDNESS_DB
from ..bridges.imagining import Imagining
from ..bridges.pretrained_drawing import SENTENCE
from ..codecs import bands
from ..senses import InputError, Sound
from .hear_data import Lessons, Pairing, read
from .loop import LoopConfig, fit
from .see import views

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class PseudowordRun:
    """Everything that a run is. `count` pseudo-words, `rank` of what the cross-attention learns (0: nothing)."""

    steps: int = 30_000
    batch: int = 8
    lr: float = 8e-5
    count: int = 1
    rank: int = 0
    seconds: float = 4.0
    sentence: tuple[int, ...] = SENTENCE
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.count) < 1 or not 0 <= self.rank <= 256:
            raise InputError("Steps, batch and pseudo-words are one at least; the rank goes from 0 to 256.")


class Moments:
    """Photos and sounds of one kind each, as a diffusion model and ears take them."""

    def __init__(self, lessons: Lessons, run: PseudowordRun, side: int) -> None:
        # The largest photos that there are.
        self._photos = next(photos for photos in lessons.photos if len(photos))
        self._pairing, self._sounds = Pairing(lessons.sounds, self._photos), lessons.sounds
        self._run, self._side = run, side

    def draw(
        self, rng: np.random.Generator, g: torch.Generator
    ) -> tuple[Float[torch.Tensor, "n 3 side side"], Sequence[Sound]]:
        n = self._run.batch
        kinds = self._pairing.draw(rng, n)[:, 0]
        photos, rows = self._pairing.look(rng, kinds), self._pairing.hear(rng, kinds)
        index = self._sounds.crops(rows, rng, round(self._run.seconds * bands.RATE / bands.HOP))
        waves = self._sounds.waves_at(index, LOUDNESS_DB - self._sounds.level[rows])
        pixels = self._photos.pixels[torch.from_numpy(photos)]
        return views(pixels, g, self._side), [Sound(wave[None].numpy(), bands.RATE) for wave in waves]


def train(
    folder: Path, ears: str, drawing: str, out: Path, run: PseudowordRun | None = None, *, yes: bool = False
) -> Path:
    """Train on the shards of `synesthesia data pack`; leaves `out`/final. Resumes after a kill.

    Raises InputError for a folder that holds no such shards, and for what are no ears or no diffusion model.
    """
    run = run or PseudowordRun()
    torch.manual_seed(run.seed)
    model = Imagining.new(
        ears, drawing, count=run.count, rank=run.rank, sentence=run.sentence, seconds=run.seconds, yes=yes
    )
    moments = Moments(read(folder, "train"), run, model.side)

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        pictures, sounds = moments.draw(np.random.default_rng([run.seed, 60, step]), g)
        with torch.no_grad():
            frames, real = model.hear(sounds)
        words = model.bridge(frames, real)
        states = model.drawing.led(words, run.sentence)
        return model.drawing.loss(states, model.drawing.encode(pictures), g) | model.bridge.loss(words)

    fit(model.taught, loss, LoopConfig(run.steps, run.lr, ema=0.999, seed=run.seed), out / "pseudoword")
    return model.save(out / "final")
