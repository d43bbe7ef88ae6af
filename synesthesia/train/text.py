"""How `describe/tiny` is trained: after and apart. A locator is frozen, what it sees and hears is kept once, and
phrases learn to stand where the pictures and sounds that they are true of stand.

Real photos and recordings come from the shards of `synesthesia data pack`, paired with phrases by kind; drawn places
from those of `synesthesia world scenes`, of which is known what is where, how large and how far.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import hub, shards
from ..bridges.grounding import Locator, Places, Truth
from ..bridges.naming import Naming
from ..encoders.text import TextConfig
from ..senses import Image, InputError, Sound
from .loop import LoopConfig, fit
from .phrases import DEGREES, WORDS, Meaning, Thing, degrees, finer, misspelt, phrase

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

T = TypeVar("T")

SECONDS = 4.0  # of a sound that is listened to at once
MOST_PIECES = 4  # of a recording
MOST_LITTLE = 40  # photos of a kind with less than `LARGE` pixels on a side
LARGE = 112
LEVEL_DB = -23.0  # RMS at which sounds are listened to: phrases tell what, not how the recorder was set
TYPO = 0.15  # of the phrases
DEGREE = 0.6  # of the phrases about drawn places say how large, strong or far
FINER = 0.4  # of the phrases about photos of which a finer name is known
AT_ONCE = 16


@dataclass(frozen=True)
class TextRun:
    """A run. A step has `pictures` and `sounds`, and as many phrases for each."""

    steps: int = 1300
    lr: float = 2e-3
    pictures: int = 48
    sounds: int = 48
    drawn: float = 0.3  # of them
    seed: int = 0
    text: TextConfig | str = field(default_factory=TextConfig)


# --- what the locator saw and heard ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Views:
    """Pictures in the shared space: units of patches for each head in half precision, logits that a patch sounds.

    `things[i]` are those in picture i; `masks[i]` says for each thing which share of each patch it is, or is None where
    nobody knows.
    """

    patches: Float[torch.Tensor, "n rows columns heads width"]
    sounding: Float[torch.Tensor, "n rows columns"]
    things: list[list[Thing]]
    masks: list[Float[torch.Tensor, "k rows columns"] | None]
    owner: list[str]


@dataclass(frozen=True, eq=False)
class Takes:
    """Sounds in the shared space: units of frames for each head, how much each counts, and what they are."""

    frames: Float[torch.Tensor, "n time heads width"]
    weight: Float[torch.Tensor, "n time"]
    things: list[Thing]
    owner: list[str]


def see(locator: Locator, pictures: Iterator[tuple[Image, list[Thing], np.ndarray | None, str]]) -> Views:
    """What the locator sees in square pictures."""
    heads = locator.config.grounding.heads
    patches, sounding, things, masks, owner = [], [], [], [], []
    for some in _batches(pictures, AT_ONCE):
        for seen, (_, what, shares, whose) in zip(locator.see([square(p[0]) for p in some]), some, strict=True):
            patches.append(torch.from_numpy(seen.patches.values).unflatten(-1, (heads, -1)).half())
            sounding.append(torch.from_numpy(seen.sounding).clamp(1e-4, 1 - 1e-4).logit())
            things.append(what)
            masks.append(None if shares is None else _on(shares, patches[-1].shape[:2]))
            owner.append(whose)
    return Views(torch.stack(patches), torch.stack(sounding), things, masks, owner)


def listen(locator: Locator, sounds: Iterator[tuple[Sound, Thing, str]]) -> Takes:
    """What the locator hears in sounds of `SECONDS`."""
    heads = locator.config.grounding.heads
    frames, weight, things, owner = [], [], [], []
    for some in _batches(sounds, AT_ONCE):
        for heard, (_, what, whose) in zip(locator.hear([s[0] for s in some]), some, strict=True):
            frames.append(torch.from_numpy(heard.frames.values).unflatten(-1, (heads, -1)).half())
            weight.append(torch.from_numpy(heard.weight))
            things.append(what)
            owner.append(whose)
    return Takes(torch.stack(frames), torch.stack(weight), things, owner)


def _batches(items: Iterator[T], n: int) -> Iterator[list[T]]:
    some: list[T] = []
    for item in items:
        some.append(item)
        if len(some) == n:
            yield some
            some = []
    if some:
        yield some


def _on(shares: np.ndarray, size: Sequence[int]) -> torch.Tensor:
    """Masks [k, rows, columns] at the resolution of the patches."""
    return F.interpolate(torch.from_numpy(shares.astype(np.float32))[None], tuple(size), mode="area")[0]


def square(image: Image) -> Image:
    """The middle of a picture, as high as wide: then all have as many patches."""
    side = min(image.width, image.height)
    y, x = (image.height - side) // 2, (image.width - side) // 2
    return Image(image.pixels[y : y + side, x : x + side])


def mirrored(image: Image) -> Image:
    """Left and right exchanged."""
    return Image(np.ascontiguousarray(image.pixels[:, ::-1]))


def photos(
    folder: Path, split: str, most_little: int = MOST_LITTLE
) -> Iterator[tuple[Image, list[Thing], np.ndarray | None, str]]:
    """The photos of a split: every large one, also mirrored for training, and some of the little ones."""
    count: dict[str, int] = defaultdict(int)
    for example in _examples(folder, split, {"jpg", "json"}):
        if example.image is shards.UNSEEN:
            continue
        kind = str(example.truth["kind"])
        if kind not in WORDS:
            continue
        large = min(example.image.width, example.image.height) >= LARGE
        if not large:
            count[kind] += 1
            if count[kind] > most_little:
                continue
        thing = Thing(kind, finer(kind, str(example.truth["file"])))
        yield example.image, [thing], None, str(example.truth["cluster"])
        if large and split == "train":
            yield mirrored(example.image), [thing], None, str(example.truth["cluster"])


def recordings(folder: Path, split: str, most: int = MOST_PIECES) -> Iterator[tuple[Sound, Thing, str]]:
    """Pieces of the recordings of a split, evenly spread over each."""
    for example in _examples(folder, split, {"hit0.flac", "json"}):
        kind = str(example.truth["kind"])
        if not example.sounds or kind not in WORDS:
            continue
        for piece in cut(example.sounds[0], most):
            yield piece, Thing(kind), str(example.truth["cluster"])


def _examples(folder: Path, split: str, only: set[str]) -> Iterator[shards.Example]:
    files = sorted(folder.glob(f"{split}-*.tar"))
    if not files:
        raise InputError(f"{folder} has no shards of the split {split}; make them with `synesthesia data pack`.")
    for path in files:
        yield from shards.examples(path, only=only)


def cut(sound: Sound, most: int) -> list[Sound]:
    """Pieces of `SECONDS` at one level, evenly spread, those that are silent left out; a short sound comes again."""
    n = round(SECONDS * sound.rate)
    mono = sound.mono if len(sound.mono) >= n else np.resize(sound.mono, n)
    count = min(most, max(1, len(mono) // n))
    out = []
    for start in np.linspace(0, len(mono) - n, count).round().astype(int):
        piece = mono[start : start + n]
        level = math.sqrt(float(np.mean(np.square(piece, dtype=np.float64))))
        if level > 1e-5:
            out.append(Sound((piece * np.float32(10 ** (LEVEL_DB / 20) / level))[None], sound.rate))
    return out


@dataclass(frozen=True, eq=False)
class Drawn:
    """A drawn place: its picture, its things with their masks [k, rows, columns], and the sound of each."""

    key: str
    image: Image
    things: list[Thing]
    masks: np.ndarray
    sounds: list[Sound]


def drawn(folder: Path) -> Iterator[Drawn]:
    """The scenes of `synesthesia world scenes`; InputError for shards of anything else."""
    for example in shards.examples(folder, only={"jpg", "json", "safetensors", *(f"hit{k}.flac" for k in range(8))}):
        told, masks = example.truth.get("sources"), example.arrays.get("masks")
        if not isinstance(told, list) or masks is None or len(masks) != len(told):
            raise InputError(f"{example.key!r} is no scene; make some with `synesthesia world scenes`.")
        things = [Thing(s["kind"], "", degrees(s["kind"], s["parameters"], s["distance_m"])) for s in told]
        yield Drawn(example.key, example.image, things, masks.astype(np.float32) / 255, list(example.sounds[:-1]))


# --- learning --------------------------------------------------------------------------------------------------------


def meanings(things: Sequence[Thing], rng: np.random.Generator) -> list[Meaning]:
    """For each thing something that a phrase could truly say of it."""
    out = []
    for thing in things:
        known = [(name, d) for name, d in (thing.degrees or {}).items() if d and (thing.kind, name) in DEGREES]
        if known and rng.random() < DEGREE:
            name, degree = known[int(rng.integers(len(known)))]
            out.append(Meaning(thing.kind, "", name, degree))
        elif thing.name and rng.random() < FINER:
            out.append(Meaning(thing.kind, thing.name))
        else:
            out.append(Meaning(thing.kind))
    return out


def truths(
    things: Sequence[Sequence[Thing]], said: Sequence[Meaning]
) -> tuple[Bool[torch.Tensor, "n m"], Bool[torch.Tensor, "n m"]]:
    """Which phrases are true of which pictures (of any thing in them), and of which nobody knows."""
    table = np.array([[_any([t.fits(m) for t in some]) for m in said] for some in things])
    return torch.from_numpy(table == 1.0), torch.from_numpy(np.isnan(table))


def _any(fits: Sequence[float]) -> float:
    if 1.0 in fits:
        return 1.0
    return math.nan if any(math.isnan(f) for f in fits) else 0.0


@dataclass(frozen=True, eq=False)
class Lessons:
    """All that phrases are held against: real and drawn pictures, real and drawn sounds, in this order."""

    views: tuple[Views, Views | None]
    takes: tuple[Takes, Takes | None]


def read(locator: Locator, folder: Path, scenes: Path | None, split: str = "train") -> Lessons:
    """Look at and listen to everything once."""
    views, takes = see(locator, photos(folder, split)), listen(locator, recordings(folder, split))
    if scenes is None:
        return Lessons((views, None), (takes, None))
    seen = see(locator, ((d.image, d.things, d.masks, d.key) for d in drawn(scenes / split)))
    pieces = ((p, t, d.key) for d in drawn(scenes / split)
              for t, s in zip(d.things, d.sounds, strict=True) for p in cut(s, 1))  # fmt: skip
    return Lessons((views, seen), (takes, listen(locator, pieces)))


def _balanced(kinds: Sequence[str], rng: np.random.Generator, n: int) -> list[int]:
    """Numbers of items, kind by kind in a random order, so that frequent kinds are not spoken of more."""
    of: dict[str, list[int]] = defaultdict(list)
    for i, kind in enumerate(kinds):
        of[kind].append(i)
    order: list[str] = []
    while len(order) < n:
        order += list(rng.permutation(sorted(of)))
    return [int(rng.choice(of[kind])) for kind in order[:n]]


class Student(nn.Module):
    """What learns, beside the frozen grounding that judges it."""

    def __init__(self, naming: Naming, locator: Locator, lessons: Lessons, run: TextRun) -> None:
        super().__init__()
        self.naming = naming
        self._grounding = [locator.grounding.requires_grad_(False).eval()]  # in a list: it is no part of what learns
        self._lessons, self._run = lessons, run

    def loss(self, step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([self._run.seed, 9, step])
        seen = [self._pictures(v, n, rng) for v, n in self._split(self._lessons.views, self._run.pictures)]
        heard = [self._sounds(t, n, rng) for t, n in self._split(self._lessons.takes, self._run.sounds)]
        out: dict[str, torch.Tensor] = defaultdict(lambda: torch.zeros(()))
        for name, terms in [("seen", t) for t in seen] + [("heard", t) for t in heard]:
            for key, value in terms.items():
                if key in ("contrast", "heat", "mass"):
                    out[f"{name} {key}"] = out[f"{name} {key}"] + value
        return dict(out)

    def _split(self, both: tuple[T, T | None], n: int) -> list[tuple[T, int]]:
        real, made = both
        if made is None:
            return [(real, n)]
        few = max(1, round(self._run.drawn * n))
        return [(real, n - few), (made, few)]

    def _phrases(self, said: Sequence[Meaning], rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        texts = [phrase(m, rng) for m in said]
        return self.naming([misspelt(t, rng) if rng.random() < TYPO else t for t in texts])

    def _pictures(self, views: Views, n: int, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        rows = _balanced([some[int(rng.integers(len(some)))].kind for some in views.things], rng, n)
        things = [views.things[r] for r in rows]
        chosen = [int(rng.integers(len(some))) for some in things]
        said = meanings([some[k] for some, k in zip(things, chosen, strict=True)], rng)
        pairs, unknown = truths(things, said)
        places = self._places(views, rows, said)
        as_sound, _ = self._phrases(said, rng)
        moments = as_sound[:, None]
        patches, logit = views.patches[rows].float(), views.sounding[rows]
        truth = Truth(pairs, unknown, places)
        return self._grounding[0].compared(patches, logit, moments, torch.ones(len(said), 1), truth)

    def _places(self, views: Views, rows: Sequence[int], said: Sequence[Meaning]) -> Places | None:
        """Where in its own picture, and in the one after it, what each phrase says is to be seen."""
        picture, sound, masks = [], [], []
        for j, meaning in enumerate(said):
            for i in (j, (j + 1) % len(rows)):
                shares = views.masks[rows[i]]
                fits = [t.fits(meaning) for t in views.things[rows[i]]]
                if shares is None or any(math.isnan(f) for f in fits):
                    continue
                picture.append(i)
                sound.append(j)
                masks.append(torch.einsum("k,krc->rc", torch.tensor(fits), shares).clamp(0, 1))
        if not masks:
            return None
        return Places(torch.tensor(picture), torch.tensor(sound), torch.stack(masks))

    def _sounds(self, takes: Takes, n: int, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        rows = _balanced([t.kind for t in takes.things], rng, n)
        things = [takes.things[r] for r in rows]
        said = meanings(things, rng)
        pairs, unknown = truths([[t] for t in things], said)
        _, as_place = self._phrases(said, rng)
        patches = as_place[:, None, None]
        truth = Truth(pairs.T, unknown.T)
        frames, weight = takes.frames[rows].float(), takes.weight[rows]
        return self._grounding[0].compared(patches, torch.zeros(len(said), 1, 1), frames, weight, truth)


def train(
    folder: Path, out: Path, *, locator: str = "locate/tiny", scenes: Path | None = None, run: TextRun | None = None
) -> Path:
    """Train a model of words on the shards in `folder`, and drawn scenes in `scenes`/train; resumes after a kill.

    The checkpoint is `out`/final.
    """
    run = run or TextRun()
    torch.manual_seed(run.seed)
    model = Locator.load(locator)
    lessons = read(model, folder, scenes)
    print(f"{len(lessons.views[0].things)} photos, {len(lessons.takes[0].things)} pieces of recordings")
    naming = Naming.for_grounding(model.grounding, run.text)
    student = Student(naming, model, lessons, run)
    fit(student, student.loss, LoopConfig(run.steps, run.lr, warmup=50, seed=run.seed, ema=0.99), out / "text")
    return naming.eval().save(out / "final", card(run, locator))


def card(run: TextRun, locator: str) -> hub.Card:
    """What a person should know before using it."""
    return hub.Card(
        "describe/tiny",
        "research use only",
        f"Phrases in the space in which {locator} sees and hears: what a photo, a place in it or a sound is called, "
        "and where in a photo a phrase is. Trained after and apart; nothing that makes sound of pictures knows it.",
        "Phrases of our own (`synesthesia/train/phrases.py`), held against the photos and recordings of the split "
        "train of the starter table, paired by kind, and drawn scenes of our own, of which more is known. Photos and "
        "recordings are partly of the tier research. The encoder of phrases has read no corpus.",
        f"`runs/describe_tiny.sh`: {run.steps} steps from nothing, minutes on one CPU core; the locator stays.",
        "It knows the words that it was taught, some 42 kinds of things and their synonyms in English, and what is "
        "spelt like them. It names no better than its locator sees and hears.",
    )
