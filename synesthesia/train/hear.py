"""How `locate/tiny` and `hear/tiny` are trained, on photos and recordings paired by kind and pasted into collages.

The eyes stay as they are. First the grounding learns, with ears from nothing, where in a collage each sound belongs;
then the mapper learns what a place of a picture sounds like. Nobody tells either what anything is called: kinds are
numbers that say which photos and recordings may stand together.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..bridges.grounding import Locator, LocatorConfig, Places, Truth
from ..bridges.hearing import LOUDNESS_DB, Hearing, HearingConfig
from ..bridges.mapper import Condition, MapperConfig, attention_loss
from ..codecs.bands import HOP, RATE, Bands
from ..encoders import load_eyes
from ..encoders.base import Eyesight, FrameEncoder
from ..encoders.vision import EyesTower
from ..metrics.localisation import best_threshold, fit_confidence
from ..senses import InputError
from .hear_data import Lessons, Pairing, collages, read
from .loop import LoopConfig, fit

STRIDE = 16  # pixels between patches
QUIET_DB = -12.0  # what is heard where nothing sounds, below what sounds


@dataclass(frozen=True)
class HearRun:
    """Everything that a run is. Steps count batches; `little` is the share of parts that are 64-pixel photos.

    `checked` collages of the split judge fix the thresholds.
    """

    locate_steps: int = 1500
    hear_steps: int = 2000
    pictures: int = 12
    parts: int = 2
    seconds: float = 2.0
    moments: int = 12
    sequences: int = 14
    frames: int = 384
    size: int = 160
    little: float = 0.5
    checked: int = 120
    ambience: tuple[str, ...] = ("wind",)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Seen:
    """Collages (n, 3, size, size), soft masks of their parts on the patches' grid (n, k, rows, columns), and kinds."""

    x: torch.Tensor
    masks: torch.Tensor
    kinds: np.ndarray


class Pictures:
    """Collages of large and little photos over photos of what makes no sound, and the sounds of what is in them."""

    def __init__(self, lessons: Lessons, run: HearRun) -> None:
        self._run = run
        self._groups = [(p, Pairing(lessons.sounds, p)) for p in lessons.photos if len(p)]
        self._sounds = lessons.sounds
        self.kinds = np.unique(np.concatenate([pairing.kinds for _, pairing in self._groups]))

    def draw(self, rng: np.random.Generator, g: torch.Generator, n: int, parts: int) -> Seen:
        """n collages of `parts` parts each, of different kinds."""
        size = self._run.size
        kinds = self.kinds[np.argsort(rng.random((n, len(self.kinds))), axis=1)[:, :parts]]
        views = torch.stack([self._view(rng, g, int(kind)) for kind in kinds.ravel()])
        photos, pairing = self._groups[self._group(rng, len(self._groups))]
        ground = photos.views(pairing.silent(rng, n), g, size)
        x, masks = collages(views.unflatten(0, (n, parts)), ground, g)
        return Seen(x, F.avg_pool2d(masks, STRIDE), kinds)

    def quiet(self, rng: np.random.Generator, g: torch.Generator, n: int) -> torch.Tensor:
        """n photos of what makes no sound."""
        photos, pairing = self._groups[self._group(rng, len(self._groups))]
        return photos.views(pairing.silent(rng, n), g, self._run.size)

    def sounding(
        self, rng: np.random.Generator, kinds: np.ndarray, frames: int, spread_db: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """A crop of a recording of each of these kinds, as frames, and the gain that brings it to `LOUDNESS_DB`."""
        rows = self._groups[0][1].hear(rng, kinds)
        gain = LOUDNESS_DB - self._sounds.level[rows] + rng.normal(0, spread_db, len(rows))
        return self._sounds.crops(rows, rng, frames), gain

    def _view(self, rng: np.random.Generator, g: torch.Generator, kind: int) -> torch.Tensor:
        have = [(p, pairing) for p, pairing in self._groups if kind in pairing.kinds]
        photos, pairing = have[self._group(rng, len(have))]
        return photos.views(pairing.look(rng, np.array([kind])), g, self._run.size)[0]

    def _group(self, rng: np.random.Generator, groups: int) -> int:
        return groups - 1 if rng.random() < self._run.little else 0


def resampled(waves: torch.Tensor, rate: int) -> torch.Tensor:
    """(n, samples) at the voice's rate → at a lower rate, through the spectrum of the whole crop."""
    n = waves.shape[1] * rate // RATE
    return torch.fft.irfft(torch.fft.rfft(waves)[:, : n // 2 + 1], n) * (n / waves.shape[1])


def heard(ears: FrameEncoder, waves: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames of whole crops, and how many are real: all."""
    at_rate = resampled(waves, ears.hearing.rate)
    dense, _ = ears(at_rate, torch.full((len(waves),), at_rate.shape[1]))
    return dense, torch.full((len(waves),), dense.shape[1])


@torch.no_grad()
def patches_of(tower: Eyesight, x: torch.Tensor) -> torch.Tensor:
    """Patches of pictures by eyes that are not trained."""
    return tower(x.contiguous(memory_format=torch.channels_last))[0]


def train_locator(lessons: Lessons, eyes: str | Path, out: Path, run: HearRun) -> Locator:
    """Train ears and grounding on collages; resumes after a kill."""
    torch.manual_seed(run.seed)
    encoder = load_eyes(eyes, device="cpu")
    if not isinstance(encoder.tower, EyesTower):
        raise InputError(f"{eyes} does not hold small eyes; train some with `synesthesia train eyes`.")
    model = Locator(LocatorConfig(encoder.tower.eyes.config), eyes=encoder)
    tower = encoder.tower.eval().requires_grad_(False)
    pictures, sounds = Pictures(lessons, run), lessons.sounds
    frames = round(run.seconds * RATE / HOP)

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([run.seed, 21, step])
        seen = pictures.draw(rng, g, run.pictures, run.parts)
        waves = sounds.waves_at(*pictures.sounding(rng, seen.kinds.ravel(), frames, 4.0))
        mixed = waves.unflatten(0, seen.kinds.shape).sum(1)
        dense, real = heard(model.ears, torch.cat([waves, mixed]))
        # A few moments of each sound will do for its mean.
        few = torch.rand(dense.shape[:2], generator=g).argsort(1)[:, : run.moments]
        dense = dense.gather(1, few[..., None].expand(-1, -1, dense.shape[-1]))
        return model.grounding.loss(patches_of(tower, seen.x), dense, real.clamp(max=run.moments), truth_of(seen, rng))

    trained = nn.ModuleList([model.ears, model.grounding])
    fit(trained, loss, LoopConfig(run.locate_steps, 2e-3, seed=run.seed), out / "locate")
    return model.eval()


def truth_of(seen: Seen, rng: np.random.Generator) -> Truth:
    """What goes with what, when the sounds are those of all parts, collage by collage, and then the mixture of each."""
    n, parts = seen.kinds.shape
    alone = seen.kinds.ravel()
    own = (alone[None, None] == seen.kinds[:, :, None]).any(1)
    itself = np.eye(n, dtype=bool)
    shared = (seen.kinds[:, None, :, None] == seen.kinds[None, :, None, :]).any((2, 3)) & ~itself
    nothing = torch.zeros_like(seen.masks[0, 0])
    places = []
    for i in range(n):
        for j in range(n * parts):
            same = np.flatnonzero(seen.kinds[i] == alone[j])
            if len(same):
                places.append((i, j, seen.masks[i, same[0]]))
            elif rng.random() < 1 / n:  # about as often, nothing in the picture makes the sound
                places.append((i, j, nothing))
    picture, sound, mask = zip(*places, strict=True)
    return Truth(
        torch.from_numpy(np.concatenate([own, itself], 1)),
        torch.from_numpy(np.concatenate([np.zeros_like(own), shared], 1)),
        Places(torch.tensor(picture), torch.tensor(sound), torch.stack(mask)),
        seen.masks.sum(1).clamp(0, 1),
    )


@torch.inference_mode()
def fix_thresholds(model: Locator, lessons: Lessons, run: HearRun) -> Locator:
    """Choose, on recordings and photos that taught nothing, where a map is cut and what a score is worth."""
    pictures, rng, g = Pictures(lessons, run), np.random.default_rng([run.seed, 23]), torch.Generator().manual_seed(23)
    frames = round(run.seconds * RATE / HOP)
    heats, masks, scores, matches, sounding, truth = [], [], [], [], [], []
    for _ in range(0, run.checked, run.pictures):
        seen = pictures.draw(rng, g, run.pictures, run.parts)
        dense, real = heard(
            model.ears, lessons.sounds.waves_at(*pictures.sounding(rng, seen.kinds.ravel(), frames, 0.0))
        )
        patches, logit = model.grounding.look(patches_of(model.eyes.tower, seen.x))
        moments, weight = model.grounding.listen(dense, real)
        volume = model.grounding.volume(patches, moments)
        scores.append((model.grounding.peak(volume, logit.flatten(1)) * weight).sum(-1).flatten().numpy())
        matches.append((seen.kinds.ravel()[None, None] == seen.kinds[:, :, None]).any(1).ravel())
        sounding.append(logit.sigmoid().flatten().numpy())
        truth.append(seen.masks.sum(1).flatten().numpy())
        similarity = torch.einsum("nmpt,mt->nmp", volume, weight)
        for i in range(len(seen.x)):
            for k in range(run.parts):
                heat = model.grounding.heat(similarity[i, i * run.parts + k], logit[i].flatten()).sigmoid()
                heats.append((heat / heat.max()).view_as(seen.masks[i, k]).numpy())
                masks.append(seen.masks[i, k].numpy())
    every = [np.concatenate(part)[None] for part in (sounding, truth)]
    model.config = dataclasses.replace(
        model.config,
        threshold=best_threshold(heats, masks),
        confidence=fit_confidence(np.concatenate(scores), np.concatenate(matches)),
        sounding=best_threshold(every[:1], every[1:]),
    )
    print(f"threshold {model.config.threshold}, sounding {model.config.sounding}, confidence {model.config.confidence}")
    return model


def train_hearing(lessons: Lessons, locator: Path, out: Path, run: HearRun) -> Hearing:
    """Train the mapper on places in collages and quiet photos, with the eyes of a locator; resumes after a kill."""
    torch.manual_seed(run.seed)
    eyes = Locator.load(locator)
    model = Hearing(HearingConfig(str(locator), MapperConfig(eyes.eyes.dense, Bands.space)), eyes)
    tower = eyes.eyes.tower.eval()
    pictures, sounds = Pictures(lessons, run), lessons.sounds
    missing = set(run.ambience) - set(lessons.kinds)
    if missing:
        raise InputError(f"There are no recordings of {', '.join(sorted(missing))} to learn ambience from.")
    ambience = np.array([lessons.kinds.index(name) for name in run.ambience])
    rng = np.random.default_rng([run.seed, 30])
    some = sounds.latents_at(*pictures.sounding(rng, np.repeat(pictures.kinds, 12), run.frames, 1.5))
    model.mapper.fit_scale(some)

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([run.seed, 31, step])
        n = run.sequences
        quiet = max(1, n // 10)
        seen = pictures.draw(rng, g, n - quiet, run.parts)
        part = torch.from_numpy(rng.integers(run.parts, size=n - quiet))
        chosen = torch.arange(n - quiet)
        masks = torch.cat([seen.masks[chosen, part], torch.ones(quiet, *seen.masks.shape[2:])])
        dense = patches_of(tower, torch.cat([seen.x, pictures.quiet(rng, g, quiet)]))
        kinds = np.concatenate([seen.kinds[chosen, part], rng.choice(ambience, quiet)])
        index, gain = pictures.sounding(rng, kinds, run.frames, 1.5)
        gain[n - quiet :] += QUIET_DB
        # Half are led by a point, to which attention must find what belongs, half by the mask itself.
        half = n // 2
        rows, columns = masks.shape[1:]
        spot = torch.multinomial(masks[:half].flatten(1) + 1e-6, 1, generator=g)[:, 0]
        point = torch.stack([spot % columns, spot // columns], 1) + torch.rand(half, 2, generator=g)
        by_point = model.mapper.look(dense[:half], None, point / torch.tensor([columns, rows]))
        by_mask = model.mapper.look(dense[half:], masks[half:].clamp_min(1e-4))
        told = Condition(*(torch.cat(parts) for parts in zip(by_point, by_mask, strict=True)))
        terms = model.mapper.loss(told, sounds.latents_at(index, gain), g)
        return terms | {"attention": 0.1 * attention_loss(by_point.weights, masks[:half].clamp_min(1e-6))}

    fit(model.mapper, loss, LoopConfig(run.hear_steps, 1.5e-3, seed=run.seed), out / "hear")
    model.eval()
    with torch.inference_mode():
        g = torch.Generator().manual_seed(run.seed)
        quiet = patches_of(tower, pictures.quiet(np.random.default_rng([run.seed, 32]), g, 64))
        model.ambience.copy_(model.mapper.look(quiet).tokens.mean(0))
    return model


def train(shards: Path, eyes: str | Path, out: Path, run: HearRun | None = None) -> Path:
    """Train both on the shards of `synesthesia data pack`; leaves `out`/locator and `out`/final. Resumes after a kill.

    Raises InputError for a folder without such shards or eyes that are not small eyes of ours.
    """
    run = run or HearRun()
    lessons = read(shards, "train")
    locator = fix_thresholds(train_locator(lessons, eyes, out, run), read(shards, "judge"), run)
    where = locator.save(out / "locator")
    return train_hearing(lessons, where, out, run).save(out / "final")
