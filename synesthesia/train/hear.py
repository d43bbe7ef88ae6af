"""How `locate/tiny` and `hear/tiny` are trained: on photos and recordings paired by kind and pasted into collages, and
on drawn scenes, in which what is seen and what is heard occurred together.

The eyes stay as they are, ours or those of a hub, and so does the voice. First the grounding learns, with ears from
nothing, where in a picture each sound belongs; then the mapper learns what a place of a picture sounds like. Nobody
tells either what anything is called: kinds are numbers that say which pictures and recordings may stand together.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from ..bridges.grounding import Grounding, GroundingConfig, Locator, LocatorConfig, Places, Truth, multi_positive
from ..bridges.hearing import LOUDNESS_DB, Hearing, HearingConfig
from ..bridges.mapper import Condition, Head, MapperConfig, attention_loss
from ..codecs import load_voice
from ..codecs.bands import HOP, RATE, Bands
from ..codecs.voice import Voice
from ..encoders import load_eyes
from ..encoders.base import FrameEncoder, PatchEncoder
from ..encoders.vision import EyesTower
from ..metrics.localisation import best_threshold, fit_confidence
from ..senses import InputError, Sound
from .hear_data import Lessons, Pairing, Photos, Sounds, collages, quarters, read
from .hear_scenes import ABSENT, Scenes, joined, read_scenes
from .loop import LoopConfig, fit

QUIET_DB = -12.0  # what is heard where nothing sounds, below what sounds
FOLD_S, BLOCK_S = 0.04, 0.96  # of sound that is one token of the mapper, and that is made at a time
KEPT = 0.9  # of the places that sound, to be heard as such: to miss a sound is worse than to hear one too many


@dataclass(frozen=True)
class HearRun:
    """Everything that a run is. Steps count batches; `little` is the share of parts that are 64-pixel photos, `whole`
    that of pictures that show one photo instead of pasted parts, `quartered` that of pasted ones that show four photos,
    two of which make no sound, side by side.

    What the frozen eyes see in views of large photos, little ones and scenes, as many of each as `looks` says, is kept;
    pictures are put together from that. `look_steps` of `glances` pictures teach the mapper's look before its head.

    `drawn` is the share of drawn scenes among the pictures, where there are any; of their parts the share `recorded`
    is heard as a recording of the same kind in place of its own sound, since a recording sounds as things do.
    `checked` pictures fix the thresholds: collages of the split judge, and scenes of the split val. `size` is brought
    to a multiple of what the eyes step by. `head` is that of the mapper, `voice` what it speaks with: `bands`, a
    folder or hf:user/repo@commit.
    """

    locate_steps: int = 1200
    look_steps: int = 600
    hear_steps: int = 4000
    looks: tuple[int, int, int] = (6, 1, 2)
    glances: int = 192
    pictures: int = 16
    parts: int = 2
    seconds: float = 2.0
    moments: int = 12
    sequences: int = 16
    frames: int = 384
    size: int = 160
    little: float = 0.5
    whole: float = 0.5
    drawn: float = 0.3
    recorded: float = 0.3
    checked: int = 120
    quartered: float = 0.0
    ambience: tuple[str, ...] = ("wind",)
    head: Head = "codes"
    voice: str = "bands"
    seed: int = 0


def dino_audioldm(eyes: str, voice: str) -> tuple[str, HearRun]:
    """`hear/dino-audioldm`: DINOv2's patches (`eyes`, a folder or hf:user/repo@commit) → latents of AudioLDM 2
    (`voice`, likewise) by rectified flow. What `train` wants as eyes and as its run; meant for a GPU.
    """
    return eyes, HearRun(locate_steps=6000, hear_steps=60_000, sequences=64, size=224, head="flow", voice=voice)


@dataclass(frozen=True, eq=False)
class Seen:
    """Pictures (n, 3, size, size), or what the eyes saw in them (n, width, rows, columns), and of their parts:

    soft masks (n, k, rows, columns) on the patches' grid, kinds (n, k) with `ABSENT` where there are fewer, the rows of
    their sounds, and how much louder they are than their kind, in dB.
    """

    x: torch.Tensor
    masks: torch.Tensor
    kinds: np.ndarray
    rows: np.ndarray
    level: np.ndarray

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """The picture and the number of every part that is there, picture by picture."""
        picture, part = np.nonzero(self.kinds != ABSENT)
        return picture, part


def _together(seen: Sequence[Seen]) -> Seen:
    most = max(s.kinds.shape[1] for s in seen)

    def filled(values: np.ndarray, value: float) -> np.ndarray:
        return np.pad(values, ((0, 0), (0, most - values.shape[1])), constant_values=value)

    return Seen(
        torch.cat([s.x for s in seen]),
        torch.cat([F.pad(s.masks, (0, 0, 0, 0, 0, most - s.masks.shape[1])) for s in seen]),
        np.concatenate([filled(s.kinds, ABSENT) for s in seen]),
        np.concatenate([filled(s.rows, 0) for s in seen]),
        np.concatenate([filled(s.level, 0) for s in seen]),
    )


@dataclass(frozen=True, eq=False)
class Looked:
    """What frozen eyes saw in several views of each picture: (pictures, views, width, rows, columns), half precision;
    and, of scenes, the masks of their sources on the same grid (pictures, views, sources, rows, columns).
    """

    patches: torch.Tensor
    masks: torch.Tensor | None = None

    def some(self, rows: np.ndarray, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor | None]:
        """One view of each of these pictures."""
        which = torch.randint(self.patches.shape[1], (len(rows),), generator=g)
        at = (torch.from_numpy(rows), which)
        return self.patches[at].float(), None if self.masks is None else self.masks[at].float()


def look_at(
    eyes: PatchEncoder, pictures: Photos | Scenes, times: int, size: int, g: torch.Generator, path: Path
) -> Looked:
    """Look at `times` views of each picture, and keep what was seen in a file; a run that resumes finds it there."""
    if path.is_file():
        kept = load_file(path)
        return Looked(kept["patches"], kept.get("masks"))
    patches, masks = [], []
    for first in track(range(0, len(pictures), 32), f"looking at {len(pictures)} pictures"):
        rows = np.repeat(np.arange(first, min(first + 32, len(pictures))), times)
        if isinstance(pictures, Photos):
            seen = patches_of(eyes, pictures.views(rows, g, size))
        else:
            x, shares = pictures.views(rows, g, size)
            seen = patches_of(eyes, x)
            on_patches = F.adaptive_avg_pool2d(shares, (seen.shape[1], seen.shape[2]))
            masks.append(on_patches.unflatten(0, (-1, times)).half())
        patches.append(seen.permute(0, 3, 1, 2).unflatten(0, (-1, times)).half().contiguous())
    kept = {"patches": torch.cat(patches)} | ({"masks": torch.cat(masks)} if masks else {})
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)
    return Looked(kept["patches"], kept.get("masks"))


class Pictures:
    """Photos alone, collages of large and little ones over photos of what makes no sound, and drawn scenes; what is in
    them, and what that sounds like.

    With a folder `out`, all that is drawn is what these eyes saw (kept there), put together patch by patch: to look at
    a picture takes longer than to learn from it. Without one, masks may be `finer` than the patches.
    """

    def __init__(
        self,
        lessons: Lessons,
        run: HearRun,
        eyes: PatchEncoder,
        scenes: Scenes | None = None,
        out: Path | None = None,
        finer: int = 1,
    ) -> None:
        self._run, self._eyes = run, eyes
        self._size = eyes.look.step * max(1, round(run.size / eyes.look.step))
        rows, columns = patches_of(eyes, torch.zeros(1, 3, self._size, self._size)).shape[1:3]
        self._grid = (finer * rows, finer * columns)
        self._groups = [(p, Pairing(lessons.sounds, p)) for p in lessons.photos if len(p)]
        self._scenes = scenes
        self._own = len(lessons.sounds)  # the first row of what scenes sound like
        self._recorded = np.unique(lessons.sounds.kind)
        self.sounds = joined(lessons.sounds, scenes.sounds) if scenes else lessons.sounds
        self.kinds = np.unique(np.concatenate([pairing.kinds for _, pairing in self._groups]))
        self._looked: list[Looked] = []
        if out is not None:
            g = torch.Generator().manual_seed(run.seed)
            every = [*(photos for photos, _ in self._groups), *([scenes] if scenes else [])]
            for number, some in enumerate(every):
                times = run.looks[number if isinstance(some, Photos) else 2]
                self._looked.append(look_at(eyes, some, times, self._size, g, out / f"looked-{number}.safetensors"))

    def draw(self, rng: np.random.Generator, g: torch.Generator, n: int) -> Seen:
        """n pictures, photos first; the parts of one are of different kinds."""
        drawn = round(self._run.drawn * n) if self._scenes else 0
        seen = [self._collages(rng, g, n - drawn)]
        return _together([*seen, self._drawn(rng, g, drawn)] if drawn else seen)

    def dense(self, x: torch.Tensor) -> torch.Tensor:
        """Patches (n, rows, columns, width) of what was drawn."""
        return x.permute(0, 2, 3, 1) if self._looked else patches_of(self._eyes, x)

    def _on_patches(self, masks: torch.Tensor) -> torch.Tensor:
        return masks if self._looked else F.adaptive_avg_pool2d(masks, self._grid)

    def _collages(self, rng: np.random.Generator, g: torch.Generator, n: int) -> Seen:
        parts = self._run.parts
        kinds = self.kinds[np.argsort(rng.random((n, len(self.kinds))), axis=1)[:, :parts]]
        views = torch.stack([self._view(rng, g, int(kind)) for kind in kinds.ravel()]).unflatten(0, (n, parts))
        x, masks = collages(views, self.quiet(rng, g, n), g)
        if self._run.quartered > 0:
            few = np.flatnonzero(rng.random(n) < self._run.quartered)
            x[few], masks[few] = self._quartered(rng, g, views[few])
        rows = self.recordings(rng, kinds)
        alone = rng.random(n) < self._run.whole
        whole = torch.from_numpy(alone)
        x[whole] = views[whole, 0]
        masks[whole] = 0.0
        masks[whole, 0] = 1.0
        kinds[alone, 1:] = ABSENT
        return Seen(x, self._on_patches(masks), kinds, rows, np.zeros(kinds.shape))

    def _quartered(
        self, rng: np.random.Generator, g: torch.Generator, views: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        n, parts = views.shape[:2]
        if not n:
            return views[:, 0], views[:, :, 0]
        rest = torch.stack([self.quiet(rng, g, n) for _ in range(4 - parts)], 1)
        x, masks = quarters(torch.cat([views, rest], 1), g)
        return x, masks[:, :parts]

    def _drawn(self, rng: np.random.Generator, g: torch.Generator, n: int) -> Seen:
        scenes = self._scenes
        assert scenes is not None
        rows = rng.integers(len(scenes), size=n)
        if self._looked:
            x, masks = self._looked[-1].some(rows, g)
            assert masks is not None
        else:
            x, shares = scenes.views(rows, g, self._size)
            masks = self._on_patches(shares)
        sources = scenes.sources(rows)
        there = sources != ABSENT
        kinds = np.where(there, scenes.sounds.kind[np.maximum(sources, 0)], ABSENT)
        heard, level = self._own + np.maximum(sources, 0), np.where(there, scenes.level[np.maximum(sources, 0)], 0.0)
        other = there & (rng.random(kinds.shape) < self._run.recorded) & np.isin(kinds, self._recorded)
        heard[other] = self.recordings(rng, kinds[other])
        level[other] = 0.0
        return Seen(x, masks, kinds, heard, level)

    def quiet(self, rng: np.random.Generator, g: torch.Generator, n: int) -> torch.Tensor:
        """n photos of what makes no sound."""
        number = self._group(rng, len(self._groups))
        return self._some(number, self._groups[number][1].silent(rng, n), g)

    def recordings(self, rng: np.random.Generator, kinds: np.ndarray) -> np.ndarray:
        """The row of a recording of each of these kinds."""
        return self._groups[0][1].hear(rng, kinds)

    def sounding(
        self, rng: np.random.Generator, rows: np.ndarray, frames: int, spread_db: float, level: np.ndarray | float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """A crop of each of these rows, as frames, and the gain that brings it to `LOUDNESS_DB` and `level` above."""
        gain = LOUDNESS_DB - self.sounds.level[rows] + level + rng.normal(0, spread_db, len(rows))
        return self.sounds.crops(rows, rng, frames), gain

    def _view(self, rng: np.random.Generator, g: torch.Generator, kind: int) -> torch.Tensor:
        have = [number for number, (_, pairing) in enumerate(self._groups) if kind in pairing.kinds]
        number = have[self._group(rng, len(have))]
        return self._some(number, self._groups[number][1].look(rng, np.array([kind])), g)[0]

    def _some(self, number: int, rows: np.ndarray, g: torch.Generator) -> torch.Tensor:
        if self._looked:
            return self._looked[number].some(rows, g)[0]
        return self._groups[number][0].views(rows, g, self._size)

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
def patches_of(eyes: PatchEncoder, x: torch.Tensor) -> torch.Tensor:
    """Patches of pictures by eyes that are not trained."""
    return eyes(x.contiguous(memory_format=torch.channels_last))[0]


def train_locator(lessons: Lessons, eyes: str | Path, out: Path, run: HearRun, scenes: Scenes | None = None) -> Locator:
    """Train ears and grounding on collages and scenes; resumes after a kill."""
    torch.manual_seed(run.seed)
    encoder = load_eyes(eyes, device="cpu").eval().requires_grad_(False)
    tower = encoder.tower
    model = Locator(LocatorConfig(tower.eyes.config if isinstance(tower, EyesTower) else str(eyes)), eyes=encoder)
    pictures = Pictures(lessons, run, encoder, scenes, out)
    frames = round(run.seconds * RATE / HOP)
    anchors = Anchors(len(lessons.kinds), model.config.grounding)

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([run.seed, 21, step])
        seen = pictures.draw(rng, g, run.pictures)
        waves = waves_of(pictures, seen, rng, frames, 4.0)
        picture = torch.from_numpy(seen.parts[0])
        mixed = torch.zeros(len(seen.x), waves.shape[1]).index_add(0, picture, waves)
        dense, real = heard(model.ears, torch.cat([waves, mixed]))
        # A few moments of each sound will do for its mean.
        few = torch.rand(dense.shape[:2], generator=g).argsort(1)[:, : run.moments]
        dense = dense.gather(1, few[..., None].expand(-1, -1, dense.shape[-1]))
        looked = model.grounding.look(pictures.dense(seen.x))
        listened = model.grounding.listen(dense, real.clamp(max=run.moments))
        terms = model.grounding.compared(*looked, *listened, truth_of(seen, rng))
        return terms | anchors(model.grounding, looked, listened, seen, rng)

    trained = nn.ModuleList([model.ears, model.grounding, anchors])
    fit(trained, loss, LoopConfig(run.locate_steps, 2e-3, seed=run.seed), out / "locate")
    return model.eval()


class Anchors(nn.Module):
    """A point of the shared space for each nameless number, which what is seen and what is heard are both drawn to.

    A small batch holds a few kinds at a time; the anchors stand for all the others (proxies: Movshovitz-Attias et al.,
    No Fuss Distance Metric Learning, ICCV 2017). They are thrown away after training.
    """

    def __init__(self, kinds: int, config: GroundingConfig) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.randn(kinds, config.heads, config.width // config.heads))

    def forward(
        self,
        grounding: Grounding,
        looked: tuple[torch.Tensor, torch.Tensor],
        listened: tuple[torch.Tensor, torch.Tensor],
        seen: Seen,
        rng: np.random.Generator,
    ) -> dict[str, torch.Tensor]:
        """What is minimised: "seen" holds pictures, and where in them, against the anchors, "heard" sounds."""
        points, every = F.normalize(self.points, dim=-1), np.arange(len(self.points))
        shown = (seen.kinds[:, :, None] == every).any(1)
        picture, part = seen.parts
        alone = seen.kinds[picture, part]
        lacking = np.argwhere(~shown & (rng.random(shown.shape) < 1 / len(every)))
        places = Places(
            torch.from_numpy(np.concatenate([picture, lacking[:, 0]])),
            torch.from_numpy(np.concatenate([alone, lacking[:, 1]])),
            torch.cat([seen.masks[picture, part], seen.masks.new_zeros(len(lacking), *seen.masks.shape[2:])]),
        )
        truth = Truth(torch.from_numpy(shown), places=places)
        told = grounding.compared(*looked, points[:, None], points.new_ones(len(points), 1), truth)
        moments, weight = listened
        near = torch.einsum("mthw,khw->mkth", moments, points).amax(-1)
        scores = (near * weight[:, None]).sum(-1) * grounding.log_contrast.exp().clamp(max=100.0)
        own = np.concatenate([alone[:, None] == every, shown])
        return {
            "seen": 0.5 * torch.stack(list(told.values())).sum(),
            "heard": 0.5 * multi_positive(scores, torch.from_numpy(own)),
        }


def waves_of(pictures: Pictures, seen: Seen, rng: np.random.Generator, frames: int, spread_db: float) -> torch.Tensor:
    """What each part that is there sounds like, picture by picture: (parts, samples)."""
    picture, part = seen.parts
    told = pictures.sounding(rng, seen.rows[picture, part], frames, spread_db, seen.level[picture, part])
    return pictures.sounds.waves_at(*told)


def truth_of(seen: Seen, rng: np.random.Generator) -> Truth:
    """What goes with what, when the sounds are those of all parts, picture by picture, and then the mixture of each."""
    n = len(seen.kinds)
    picture, part = seen.parts
    alone = seen.kinds[picture, part]
    own = (alone[None, None] == seen.kinds[:, :, None]).any(1)
    itself = np.eye(n, dtype=bool)
    common = (seen.kinds[:, None, :, None] == seen.kinds[None, :, None, :]) & (seen.kinds != ABSENT)[:, None, :, None]
    shared = common.any((2, 3)) & ~itself
    nothing = torch.zeros_like(seen.masks[0, 0])
    places = []
    for i in range(n):
        for j, kind in enumerate(alone):
            same = np.flatnonzero(seen.kinds[i] == kind)
            if len(same):
                places.append((i, j, seen.masks[i, same[0]]))
            elif rng.random() < 1 / n:  # about as often, nothing in the picture makes the sound
                places.append((i, j, nothing))
    at, sound, mask = zip(*places, strict=True)
    return Truth(
        torch.from_numpy(np.concatenate([own, itself], 1)),
        torch.from_numpy(np.concatenate([np.zeros_like(own), shared], 1)),
        Places(torch.tensor(at), torch.tensor(sound), torch.stack(mask)),
        seen.masks.sum(1).clamp(0, 1),
    )


@torch.inference_mode()
def fix_thresholds(model: Locator, lessons: Lessons, run: HearRun, scenes: Scenes | None = None) -> Locator:
    """Choose, on recordings and pictures that taught nothing, where a map is cut and what a score is worth."""
    pictures = Pictures(lessons, dataclasses.replace(run, whole=0.0), model.eyes, scenes)
    rng = np.random.default_rng([run.seed, 23])
    g = torch.Generator().manual_seed(23)
    frames = round(run.seconds * RATE / HOP)
    heats, masks, scores, matches, sounding, truth = [], [], [], [], [], []
    for _ in range(0, run.checked, run.pictures):
        seen = pictures.draw(rng, g, run.pictures)
        picture, part = seen.parts
        dense, real = heard(model.ears, waves_of(pictures, seen, rng, frames, 0.0))
        patches, logit = model.grounding.look(pictures.dense(seen.x))
        moments, weight = model.grounding.listen(dense, real)
        volume = model.grounding.volume(patches, moments)
        scores.append((model.grounding.peak(volume, logit.flatten(1)) * weight).sum(-1).flatten().numpy())
        matches.append((seen.kinds[picture, part][None, None] == seen.kinds[:, :, None]).any(1).ravel())
        sounding.append(logit.sigmoid().flatten().numpy())
        truth.append(seen.masks.sum(1).clamp(0, 1).flatten().numpy())
        similarity = torch.einsum("nmpt,mt->nmp", volume, weight)
        for j, (i, k) in enumerate(zip(picture, part, strict=True)):
            if float(seen.masks[i, k].max()) < 0.5:
                continue  # smaller than a patch: no map of patches can show it
            heat = model.grounding.heat(similarity[i, j], logit[i].flatten()).sigmoid()
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


def said(voice: Voice, sounds: Sounds, index: np.ndarray, gain_db: np.ndarray) -> torch.Tensor:
    """Latents (n, frames, width) of crops in a voice. Those of `bands` are kept; of other voices they are made anew."""
    if voice.space == Bands.space:
        return sounds.latents_at(index, gain_db)
    waves = sounds.waves_at(index, gain_db).clamp(-1, 1).numpy()
    return torch.stack([torch.from_numpy(voice.encode(Sound(wave[None], RATE)).values) for wave in waves])


def train_hearing(lessons: Lessons, locator: Path, out: Path, run: HearRun, scenes: Scenes | None = None) -> Hearing:
    """Train the mapper on places in pictures and on quiet photos, with a locator's eyes; resumes after a kill."""
    torch.manual_seed(run.seed)
    eyes = Locator.load(locator)
    voice = load_voice(run.voice, device="cpu")
    a_second = voice.rate / voice.hop
    fold = max(1, round(FOLD_S * a_second))
    block = fold * max(1, round(BLOCK_S * a_second / fold))
    mapper = MapperConfig(eyes.eyes.dense, voice.space, head=run.head, fold=fold, block=block)
    model = Hearing(HearingConfig(str(locator), mapper, voice=run.voice), eyes)
    pictures = Pictures(lessons, run, eyes.eyes, scenes, out)
    missing = set(run.ambience) - set(lessons.kinds)
    if missing:
        raise InputError(f"There are no recordings of {', '.join(sorted(missing))} to learn ambience from.")
    ambience = np.array([lessons.kinds.index(name) for name in run.ambience])
    rng = np.random.default_rng([run.seed, 30])
    some = pictures.recordings(rng, np.repeat(pictures.kinds, 20))
    if scenes:
        some = np.concatenate([some, rng.integers(len(lessons.sounds), len(pictures.sounds), len(some) // 4)])
    model.mapper.fit_scale(said(voice, pictures.sounds, *pictures.sounding(rng, some, run.frames, 1.5)))

    def drawn(
        rng: np.random.Generator, g: torch.Generator, n: int
    ) -> tuple[torch.Tensor, Condition, torch.Tensor, torch.Tensor]:
        """n places in pictures: latents of what is heard there, what leads to them, their nameless kinds (one more for
        what makes no sound), the loss of the attention."""
        quiet = max(1, n // 10)
        seen = pictures.draw(rng, g, (n - quiet) // 2)
        # Two parts of each picture, where it has two: what is heard depends on the place, not on the picture alone.
        order = np.where(seen.kinds == ABSENT, -1.0, rng.random(seen.kinds.shape)).argsort(1)[:, ::-1][:, :2]
        single = np.take_along_axis(seen.kinds, order, 1)[:, 1] == ABSENT
        order[single, 1] = order[single, 0]
        chosen, part = np.repeat(np.arange(len(order)), 2), order.ravel()
        masks = torch.cat([seen.masks[chosen, part], torch.ones(quiet, *seen.masks.shape[2:])])
        dense = pictures.dense(torch.cat([seen.x, pictures.quiet(rng, g, quiet)]))
        dense = torch.cat([dense[chosen], dense[len(order) :]])
        n = len(dense)
        rows = np.concatenate([seen.rows[chosen, part], pictures.recordings(rng, rng.choice(ambience, quiet))])
        level = np.concatenate([seen.level[chosen, part], np.full(quiet, QUIET_DB)])
        kinds = np.concatenate([seen.kinds[chosen, part], np.full(quiet, len(lessons.kinds))])
        index, gain = pictures.sounding(rng, rows, run.frames, 1.5, level)
        mixing = rng.permutation(n)
        dense, masks, index, gain, kinds = dense[mixing], masks[mixing], index[mixing], gain[mixing], kinds[mixing]
        # Half are led by a point, to which attention must find what belongs, half by the mask itself.
        half = n // 2
        rows, columns = masks.shape[1:]
        spot = torch.multinomial(masks[:half].flatten(1) + 1e-6, 1, generator=g)[:, 0]
        point = torch.stack([spot % columns, spot // columns], 1) + torch.rand(half, 2, generator=g)
        by_point = model.mapper.look(dense[:half], None, point / torch.tensor([columns, rows]))
        by_mask = model.mapper.look(dense[half:], masks[half:].clamp_min(1e-4))
        told = Condition(*(torch.cat(parts) for parts in zip(by_point, by_mask, strict=True)))
        strayed = 0.1 * attention_loss(by_point.weights, masks[:half].clamp_min(1e-6))
        return said(voice, pictures.sounds, index, gain), told, torch.from_numpy(kinds), strayed

    # What tells the nameless kinds apart; thrown away after the first stage.
    telling = nn.Linear(model.config.mapper.width, len(lessons.kinds) + 1)

    def glance(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        latents, told, kinds, strayed = drawn(np.random.default_rng([run.seed, 33, step]), g, run.glances)
        apart = F.cross_entropy(telling(told.tokens[:, 0]), kinds, label_smoothing=0.1)
        return {"summary": model.mapper.summarised(told, latents), "kind": 0.2 * apart, "attention": strayed}

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        latents, told, _, _ = drawn(np.random.default_rng([run.seed, 31, step]), g, run.sequences)
        return model.mapper.loss(told, latents, g)

    look = nn.ModuleList([model.mapper.eye, model.mapper.summary, telling])
    fit(look, glance, LoopConfig(run.look_steps, 2e-3, seed=run.seed), out / "look")
    look.requires_grad_(False)
    fit(model.mapper, loss, LoopConfig(run.hear_steps, 1.5e-3, seed=run.seed), out / "hear")
    model.eval()
    with torch.inference_mode():
        g = torch.Generator().manual_seed(run.seed)
        quiet = pictures.dense(pictures.quiet(np.random.default_rng([run.seed, 32]), g, 64))
        model.ambience.copy_(model.mapper.look(quiet).tokens.mean(0))
    return model


@torch.inference_mode()
def fix_sureness(model: Hearing, lessons: Lessons, run: HearRun) -> Hearing:
    """Choose, on photos that taught nothing, how surely a place must sound to be heard: so that `KEPT` of the places
    that sound are.
    """
    pictures, grounding = Pictures(lessons, run, model.locator.eyes), model.locator.grounding
    rng, g = np.random.default_rng([run.seed, 24]), torch.Generator().manual_seed(24)
    loud, quiet = [], []
    for _ in range(0, run.checked, run.pictures):
        seen = pictures.draw(rng, g, run.pictures)
        picture, part = seen.parts
        masks = seen.masks[picture, part].clamp_min(1e-4)
        sounding = grounding.sounding(pictures.dense(seen.x))[picture]
        loud += ((sounding * masks).sum((1, 2)) / masks.sum((1, 2))).tolist()
        quiet += grounding.sounding(pictures.dense(pictures.quiet(rng, g, run.pictures))).mean((1, 2)).tolist()
    model.config = dataclasses.replace(model.config, sure=round(float(np.quantile(loud, 1 - KEPT)), 3))
    kept = np.mean(np.array(quiet) >= model.config.sure)
    print(f"sure from {model.config.sure} on: so are {kept:.0%} of photos of what makes no sound")
    return model


def train(shards: Path, eyes: str | Path, out: Path, run: HearRun | None = None, scenes: Path | None = None) -> Path:
    """Train both on the shards of `synesthesia data pack`; leaves `out`/locator and `out`/final. Resumes after a kill.

    `scenes` is a folder with the folders train and val, worlds of `synesthesia world scenes`. Raises InputError for a
    folder without such shards, for eyes or a voice that are not known.
    """
    run = run or HearRun()
    lessons = read(shards, "train")
    drawn, checked = (read_scenes(scenes / split, lessons.kinds) if scenes else None for split in ("train", "val"))
    judged = read(shards, "judge")
    locator = train_locator(lessons, eyes, out, run, drawn)
    where = fix_thresholds(locator, judged, run, checked).save(out / "locator")
    return fix_sureness(train_hearing(lessons, where, out, run, drawn), judged, run).save(out / "final")
