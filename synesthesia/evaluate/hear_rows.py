"""What `evaluate hear` holds a model against: silence, noise, another picture's sound, real recordings, what the voice
can keep at best, the nearest picture's sound, and the way through words, all with the same eyes, data and voice.

Every row makes its sound from the same part of the same picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from .. import metrics
from ..codecs.voice import Voice
from ..senses import Image, Region, Sound
from ..spaces import Features
from .baselines import KernelRidge

if TYPE_CHECKING:
    from jaxtyping import Float

    from ..bridges.hearing import Hearing

LEVEL_DB = -23.0
AHEAD_S = 0.25  # what a voice may want to know of what follows
AT_ONCE = 16  # sounds made at once
MOST_COMPARED = 16  # recordings of a kind, of which the most typical is looked for

ROWS = ("silence", "noise", "shuffled", "real", "voice", "neighbour", "cascade", "model")


@dataclass(frozen=True, eq=False)
class Shot:
    """A picture, the part of it that is asked about, and what that part is (for the judge alone, never for a model)."""

    key: str
    image: Image
    region: Region
    kind: str
    cluster: str


@runtime_checkable
class Maker(Protocol):
    """Anything that makes sound of parts of pictures: `bridges.hearing.Hearing`, or a row to compare it with."""

    def patches(self, images: Sequence[Image], regions: Sequence[Region]) -> Float[np.ndarray, "n width"]: ...

    def sounds(
        self, images: Sequence[Image], regions: Sequence[Region], seconds: float, seeds: Sequence[int]
    ) -> list[Sound]: ...


@runtime_checkable
class Rival(Protocol):
    """A row that makes its sound from what the model's eyes see, in a way that the model has to beat."""

    def kinds(self, features: Float[np.ndarray, "n width"]) -> list[str]: ...

    def sounds(self, features: Float[np.ndarray, "n width"], seconds: float, seeds: Sequence[int]) -> list[Sound]: ...


class Chorus:
    """A hearing model that makes many sounds at once: what `Hearing.sounds` gives, in a quarter of the time.

    Every sound has its own seed and is that of the model's own plan for the place, ambience where it is not sure.
    """

    def __init__(self, model: Hearing) -> None:
        self.model = model

    def patches(self, images: Sequence[Image], regions: Sequence[Region]) -> Float[np.ndarray, "n width"]:
        parts = _parts(len(images))
        return np.concatenate([self.model.patches(images[p], regions[p]) for p in parts])

    def sounds(
        self, images: Sequence[Image], regions: Sequence[Region], seconds: float, seeds: Sequence[int]
    ) -> list[Sound]:
        parts = _parts(len(images))
        return [s for p in parts for s in self._some(images[p], regions[p], seconds, seeds[p])]

    def _some(
        self, images: Sequence[Image], regions: Sequence[Region], seconds: float, seeds: Sequence[int]
    ) -> list[Sound]:
        import torch

        from ..bridges.hearing import limited, louder, voices
        from ..bridges.mapper import Condition

        model, config = self.model, self.model.config
        leads, own, gains, sung = [], [], [], {}
        once = {id(image): image for image in images}  # two places in one picture need one look
        views = dict(zip(once, model.see(list(once.values())), strict=True))
        for number, (image, region, seed) in enumerate(zip(images, regions, seeds, strict=True)):
            view = views[id(image)]
            plan = model.plan(view, region, seed)
            if not voices(plan):  # all of it is sung or woven
                sung[number] = model.scene(view, plan, seconds).mix
                continue
            row = 0 if plan.foci[0].tokens is not None else 1  # the row of the plan that is heard gives the seed
            lead = (plan.foci[0].tokens, plan.bed)[row]
            assert lead is not None, "a plan for a place leads either the place or the bed"
            leads.append(lead)
            own.append(seed + row)
            gains.append(louder(plan, row))
        if not leads:
            return list(sung.values())
        tokens = torch.stack(leads)
        latents = model.mapper.generate(
            Condition(tokens, tokens.new_zeros(len(leads), 1, 1)),
            model.voice.frames(seconds + AHEAD_S),
            own,
            steps=config.steps,
            guidance=config.guidance,
        )
        n, rate = round(seconds * model.voice.rate), model.voice.rate
        made = iter(
            Sound(limited(gain * model.voice.decode(Features(row, latents.space), seed).mono[:n])[None], rate)
            for row, seed, gain in zip(latents.values, own, gains, strict=True)
        )
        return [sung[number] if number in sung else next(made) for number in range(len(images))]


def _parts(n: int) -> list[slice]:
    return [slice(start, start + AT_ONCE) for start in range(0, n, AT_ONCE)]


@dataclass(frozen=True, eq=False)
class Library:
    """Training photos as the model's eyes see them [n, width] with their kinds, and recordings by kind."""

    features: Float[np.ndarray, "n width"]
    kinds: tuple[str, ...]
    recordings: Mapping[str, Sequence[Sound]]


def noise_like(reference: Sound, seconds: float, rate: int, seed: int) -> Sound:
    """White noise at the level of a sound."""
    level = float(np.sqrt(np.mean(np.square(reference.samples, dtype=np.float64))))
    n = round(seconds * rate)
    return Sound((level * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)[None].clip(-1, 1), rate)


def excerpt(sound: Sound, seconds: float, seed: int) -> Sound:
    """So many seconds of a recording from a random place; a shorter one begins again."""
    n = round(seconds * sound.rate)
    mono = sound.mono
    if len(mono) < n:
        mono = np.resize(mono, n)
    start = int(np.random.default_rng(seed).integers(len(mono) - n + 1))
    return Sound(mono[None, start : start + n], sound.rate)


def colour(sound: Sound, voice: Voice) -> Float[np.ndarray, " width"]:
    """The mean latent of a sound brought to −23 dB: what it sounds like on the whole, whatever its level."""
    level = float(np.sqrt(np.mean(np.square(sound.samples, dtype=np.float64))))
    louder = sound.samples * np.float32(10 ** (LEVEL_DB / 20) / max(level, 1e-7))
    return voice.encode(Sound(louder, sound.rate)).values.mean(axis=0)


class Neighbour:
    """The sound of the most similar training photo: a recording of what that shows, kept as well as the voice can."""

    def __init__(self, library: Library, voice: Voice) -> None:
        self._library = library
        self._unit = library.features / np.linalg.norm(library.features, axis=1, keepdims=True).clip(1e-9)
        self._say = _Speaker(library.recordings, voice)

    def kinds(self, features: Float[np.ndarray, "n width"]) -> list[str]:
        nearest = (features @ self._unit.T).argmax(axis=1)
        return [self._library.kinds[i] for i in nearest]

    def sounds(self, features: Float[np.ndarray, "n width"], seconds: float, seeds: Sequence[int]) -> list[Sound]:
        return [self._say(kind, seconds, seed) for kind, seed in zip(self.kinds(features), seeds, strict=True)]


class Cascade:
    """Picture → word → sound: the likeliest name by kernel ridge on the same features, and the most typical recording
    of that name (the medoid of its mean band levels), kept as well as the voice can. What words lose, it loses.

    `colours`: the mean latents of the recordings of each kind that were compared, [recordings, width].
    """

    def __init__(self, library: Library, voice: Voice) -> None:
        self._reader = KernelRidge.fit(library.features, library.kinds)
        self.colours: dict[str, np.ndarray] = {}
        medoids: dict[str, list[Sound]] = {}
        for name in sorted(set(library.kinds)):
            sounds = library.recordings[name][:MOST_COMPARED]
            self.colours[name] = np.stack([colour(excerpt(s, 4.0, 0), voice) for s in sounds])
            medoids[name] = [sounds[metrics.medoid(self.colours[name])]]
        self._say = _Speaker(medoids, voice)

    def kinds(self, features: Float[np.ndarray, "n width"]) -> list[str]:
        return self._reader.predict(features)

    def sounds(self, features: Float[np.ndarray, "n width"], seconds: float, seeds: Sequence[int]) -> list[Sound]:
        return [self._say(kind, seconds, seed) for kind, seed in zip(self.kinds(features), seeds, strict=True)]


class _Speaker:
    """An excerpt of one of a kind's recordings, by seed, as the voice keeps it; asked again, the same."""

    def __init__(self, recordings: Mapping[str, Sequence[Sound]], voice: Voice) -> None:
        self._recordings, self._voice = recordings, voice
        self._said: dict[tuple[str, float, int], Sound] = {}

    def __call__(self, kind: str, seconds: float, seed: int) -> Sound:
        key = (kind, seconds, seed)
        if key not in self._said:
            sounds = self._recordings[kind]
            chosen = sounds[int(np.random.default_rng([seed, 7]).integers(len(sounds)))]
            self._said[key] = self._voice.decode(self._voice.encode(excerpt(chosen, seconds, seed)), seed)
        return self._said[key]


def all_rows(
    model: Maker,
    shots: Sequence[Shot],
    neighbour: Rival,
    cascade: Rival,
    held_out: Mapping[str, Sequence[Sound]],
    voice: Voice,
    seconds: float,
    seed: int,
) -> tuple[dict[str, list[Sound]], dict[str, list[str]]]:
    """The sounds of every row for every shot, and beside them what the pictures alone are taken for."""
    images, regions = [s.image for s in shots], [s.region for s in shots]
    seeds = [seed + i for i in range(len(shots))]
    made = model.sounds(images, regions, seconds, seeds)
    features = model.patches(images, regions)
    other = np.random.default_rng(seed).permutation(len(shots))
    real = [excerpt(held_out[s.kind][k % len(held_out[s.kind])], seconds, k) for k, s in enumerate(shots)]
    rate = made[0].rate
    rows = {
        "silence": [Sound(np.zeros((1, round(seconds * rate)), np.float32), rate) for _ in shots],
        "noise": [noise_like(m, seconds, rate, k) for m, k in zip(made, seeds, strict=True)],
        "shuffled": [made[i] for i in other],
        "real": real,
        "voice": [voice.decode(voice.encode(r), k) for r, k in zip(real, seeds, strict=True)],
        "neighbour": neighbour.sounds(features, seconds, seeds),
        "cascade": cascade.sounds(features, seconds, seeds),
        "model": made,
    }
    told = {"linear": cascade.kinds(features), "neighbour": neighbour.kinds(features)}
    return rows, told
