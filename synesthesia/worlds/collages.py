"""Collages: photos pasted with soft masks, their sounds mixed, so that it is known what sounds where.

"Mix and separate" after Zhao et al. 2018 (The Sound of Pixels, ECCV), with regions of one picture in place of
pictures side by side.
`generate_collages` takes photos and sounds from shards in which each example is one or the other, with its kind and its
split in the truth; photos of the kind "silent" make no sound and are pasted too.
"""

from __future__ import annotations

import functools
import json
import math
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from .. import media, shards
from ..senses import Example, Image, InputError, Region, Sound
from . import making, noises, scenes, sights
from .noises import RATE

VERSION = 1
SILENT = "silent"
LEVEL_DB = (-30.0, -12.0)  # of full scale, RMS
BED_DB = (15.0, 40.0)  # dB SPL, that is about 79 to 54 dB below a full-scale sound's RMS
SOUND_SECONDS = 60.0  # of a recording, so much is looked at
PER_SHARD = 32
TRIES = 200

Rng = np.random.Generator


# --- one collage -----------------------------------------------------------------------------------------------------


def collage(
    rng: Rng,
    photos: Sequence[tuple[Image, Region | None]],
    sounds: Sequence[Sound | None],
    background: Image,
    kinds: Sequence[str],
    key: str = "collage",
    side: int = 224,
    seconds: float = 5.0,
) -> Example:
    """Photos pasted on a background, later ones over earlier ones, with a sound each, mixed at random levels.

    A photo with a region is cut out along it; of others an ellipse is taken, or, of two or more, sometimes half of the
    picture. None for a sound is a photo that makes none. The example has the sounds alone, at their levels, and a soft
    bed last; arrays `masks` float32 [photos, side, side], what is left to be seen of each; truth["sources"] with kind,
    place (`scenes.where`) and level_dbfs (RMS re full scale; None if silent) of each.
    """
    if not photos or not len(photos) == len(sounds) == len(kinds):
        raise InputError(f"Each photo needs its sound and its kind: {len(photos)}, {len(sounds)} and {len(kinds)}.")
    scenes.check(1, 0, None, side, seconds, 1)
    for _ in range(TRIES):
        light, masks = _picture(rng, photos, background, side)
        if scenes.seen(masks):
            break
    else:
        raise InputError("These photos cannot be pasted so that all are seen; are their regions very faint or thin?")
    n = round(seconds * RATE)
    stems, levels = [], []
    for sound in sounds:
        level = float(rng.uniform(*LEVEL_DB))
        if sound is None:
            stems.append(np.zeros(n, np.float32))
        else:
            stems.append(_excerpt(rng, sound, n, level))
        levels.append(level if stems[-1].any() else None)
    bed = noises.bed(seconds, int(rng.integers(2**31)), float(rng.uniform(*BED_DB)))
    told = [
        {"kind": kind, "level_dbfs": level} | place
        for kind, level, place in zip(kinds, levels, scenes.where(masks), strict=True)
    ]
    heard = (*(Sound(stem, RATE) for stem in stems), bed)
    return Example(key, Image(light), heard, {"key": key, "sources": told}, {"masks": masks})


def _picture(
    rng: Rng, photos: Sequence[tuple[Image, Region | None]], background: Image, side: int
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Pixels, and what is seen of each photo."""
    light = _fitted(rng, background, side, side)
    masks = np.zeros((len(photos), side, side), np.float32)
    halves = _halves(rng, len(photos), side)
    for k, (photo, region) in enumerate(photos):
        if region is not None:
            alpha, pasted = _cut_out(rng, photo, region, side)
        elif halves is not None:
            alpha, pasted = halves[k], _fitted(rng, photo, side, side)
        else:
            alpha, pasted = _ellipse(rng, photo, side)
        gain = np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.05, 3))
        light += alpha[..., None] * (np.clip(pasted * gain, 0, 255) - light)
        masks *= 1 - alpha
        masks[k] = alpha
    return np.round(np.clip(light, 0, 255)).astype(np.uint8), masks


def _fitted(rng: Rng, photo: Image, height: int, width: int) -> np.ndarray:
    """A random part of the photo with these proportions, most of it, perhaps mirrored; float32 [height, width, 3]."""
    from PIL import Image as Pil

    scale = min(photo.width / width, photo.height / height) * float(rng.uniform(0.75, 1.0))
    w, h = max(1.0, width * scale), max(1.0, height * scale)
    x, y = rng.uniform(0, photo.width - w + 1e-6), rng.uniform(0, photo.height - h + 1e-6)
    picture = Pil.fromarray(np.asarray(photo.pixels)).resize(
        (width, height), Pil.Resampling.BILINEAR, box=(x, y, min(x + w, photo.width), min(y + h, photo.height)),
        reducing_gap=2.0,
    )  # fmt: skip
    pixels = np.asarray(picture, np.float32)
    return np.array(pixels[:, ::-1] if rng.random() < 0.5 else pixels)


def _halves(rng: Rng, count: int, side: int) -> list[np.ndarray] | None:
    """Two half-planes with a soft edge (and an ellipse's place left to others), now and then."""
    if count != 2 or rng.random() > 0.35:
        return None
    angle, soft = rng.uniform(0, 2 * np.pi), rng.uniform(0.005, 0.06)
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side - 0.5
    gap = math.cos(angle) * x + math.sin(angle) * y + rng.uniform(-0.15, 0.15)
    first = (1 / (1 + np.exp(-np.clip(gap / soft, -30, 30)))).astype(np.float32)
    return [first, 1 - first]


def _ellipse(rng: Rng, photo: Image, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A soft ellipse somewhere, the photo fitted to its bounding box."""
    ry, rx = side * np.exp(rng.uniform(math.log(0.16), math.log(0.42), 2))
    cy, cx = rng.uniform(0.22, 0.78, 2) * side
    soft = rng.uniform(0.03, 0.3)
    y, x = np.mgrid[0:side, 0:side] + 0.5
    gap = 1 - np.hypot((y - cy) / ry, (x - cx) / rx)
    alpha = np.clip(gap / soft, 0, 1).astype(np.float32)
    return alpha * alpha * (3 - 2 * alpha), _laid(
        _fitted(rng, photo, math.ceil(2 * ry), math.ceil(2 * rx)), cy - ry, cx - rx, side
    )


def _cut_out(rng: Rng, photo: Image, region: Region, side: int) -> tuple[np.ndarray, np.ndarray]:
    """What the region marks, at a size of a third to nine tenths of the picture, somewhere in it."""
    from PIL import Image as Pil

    rows, columns = (np.flatnonzero((region.mask > 0.05).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        raise InputError("A region that marks nothing clearly cannot be cut out.")
    (h, w), mask = region.mask.shape, np.asarray(region.mask)
    top, bottom, left, right = rows[0] / h, (rows[-1] + 1) / h, columns[0] / w, (columns[-1] + 1) / w
    tall, wide = (bottom - top) * photo.height, (right - left) * photo.width
    scale = side * float(rng.uniform(0.35, 0.9)) / max(tall, wide)
    size = max(8, round(wide * scale)), max(8, round(tall * scale))
    box = (left * photo.width, top * photo.height, right * photo.width, bottom * photo.height)
    pixels = np.asarray(
        Pil.fromarray(np.asarray(photo.pixels)).resize(size, Pil.Resampling.BILINEAR, box=box), np.float32
    )
    shown = Pil.fromarray(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]).resize(
        size, Pil.Resampling.BILINEAR
    )
    alpha = np.asarray(shown, np.float32)
    if rng.random() < 0.5:
        pixels, alpha = pixels[:, ::-1], alpha[:, ::-1]
    y, x = rng.uniform(0, side - size[1]), rng.uniform(0, side - size[0])
    return np.clip(_laid(alpha[..., None], y, x, side)[..., 0], 0, 1), _laid(pixels, y, x, side)


def _laid(pixels: np.ndarray, top: float, left: float, side: int) -> np.ndarray:
    """The pixels at this place on an empty picture; what reaches beyond it is cut."""
    out = np.zeros((side, side, pixels.shape[2]), np.float32)
    i, j = round(top), round(left)
    i0, j0 = max(0, i), max(0, j)
    i1, j1 = min(side, i + pixels.shape[0]), min(side, j + pixels.shape[1])
    if i1 > i0 and j1 > j0:
        out[i0:i1, j0:j1] = pixels[i0 - i : i1 - i, j0 - j : j1 - j]
    return out


def _excerpt(rng: Rng, sound: Sound, n: int, level_db: float) -> np.ndarray:
    """n samples of the sound at an RMS level, from a random place; a shorter sound comes at a random time."""
    whole = media.resample(sound, RATE).mono if sound.rate != RATE else sound.mono
    begin = int(rng.integers(abs(len(whole) - n) + 1))
    wave = whole[begin : begin + n] if len(whole) >= n else np.pad(whole, (begin, n - len(whole) - begin))
    # The level of what sounds: silence around a short sound does not make it louder.
    power = float(np.mean(wave.astype(np.float64) ** 2)) * n / max(1, min(n, len(whole)))
    if power < 1e-12:
        return np.zeros(n, np.float32)
    ramp = np.minimum(1, np.minimum(np.arange(n) + 1, n - np.arange(n)) / (0.005 * RATE))
    return (wave * (10 ** (level_db / 20) / math.sqrt(power)) * ramp).astype(np.float32)


# --- from shards -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """What determines every byte of a world of collages, together with the shards in `source`."""

    seed: int
    split: str
    side: int
    seconds: float
    source: str
    per_shard: int = PER_SHARD
    version: int = VERSION


@dataclass(frozen=True)
class _Place:
    """Where the bytes of a picture or a sound lie."""

    path: str
    offset: int
    size: int
    key: str

    def read(self) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass(frozen=True)
class Stock:
    """The photos and sounds of a split by kind."""

    photos: dict[str, tuple[_Place, ...]]
    sounds: dict[str, tuple[_Place, ...]]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds with both."""
        return tuple(sorted(set(self.photos) & set(self.sounds) - {SILENT}))


@functools.lru_cache(maxsize=4)
def stock(source: str, split: str) -> Stock:
    """What a shard, or a folder of shards, has for a split: examples with a sound are sounds, others photos."""
    path = Path(source)
    found = sorted(p for p in path.glob("*.tar") if not p.name.startswith(".")) if path.is_dir() else [path]
    if not found:
        raise InputError(f"There are no shards (*.tar) in {path}.")
    photos: dict[str, list[_Place]] = {}
    sounds: dict[str, list[_Place]] = {}
    for shard in found:
        for key, members in _groups(shard):
            truth = _truth(members, shard, key)
            if truth.get("split") != split:
                continue
            kind = str(truth.get("kind", ""))
            for pool, ending in ((sounds, "hit0.flac"), (photos, "jpg")):
                if ending in members:
                    pool.setdefault(kind, []).append(members[ending])
                    break
    made = Stock({k: tuple(v) for k, v in photos.items()}, {k: tuple(v) for k, v in sounds.items()})
    if not made.kinds:
        raise InputError(f"{source} has no kind with both photos and sounds in the split {split!r}.")
    return made


def _groups(shard: Path) -> list[tuple[str, dict[str, _Place]]]:
    """The members of a shard by key and ending: where they lie, nothing decoded."""
    groups: dict[str, dict[str, _Place]] = {}
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                key, _, ending = member.name.partition(".")
                if not member.isreg() or member.size > shards.MAX_MEMBER:
                    raise InputError(f"{shard} holds {member.name[:80]!r}, which is no file of a shard.")
                groups.setdefault(key, {})[ending] = _Place(str(shard), member.offset_data, member.size, key)
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{shard} is not a shard: {error}.") from error
    return list(groups.items())


def _truth(members: dict[str, _Place], shard: Path, key: str) -> dict[str, Any]:
    place = members.get("json")
    if place is None or place.size > shards.MAX_JSON:
        raise InputError(f"{shard}: {key!r} has no truth ({key}.json), or one that is too long.")
    try:
        truth = json.loads(place.read())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{shard}: {key}.json is not JSON: {error}.") from error
    if not isinstance(truth, dict):
        raise InputError(f"{shard}: {key}.json holds no JSON object.")
    return truth


def _pick(rng: Rng, pool: Sequence[_Place]) -> _Place:
    return pool[int(rng.integers(len(pool)))]


def _background(rng: Rng, silent: Sequence[_Place], side: int) -> Image:
    """A photo of things that make no sound, or a drawn place where nothing does."""
    if silent and rng.random() < 0.5:
        return media.read_image(_pick(rng, silent).read())
    light, ground = str(rng.choice(["day", "cloudy", "golden", "dusk"])), str(rng.choice(sights.GROUNDS))
    camera = sights.Camera(float(rng.uniform(40, 65)), 1.6, float(rng.uniform(0.3, 0.55)), 0.0)
    return sights.draw(sights.Plan(int(rng.integers(2**31)), light, ground, camera, (), 1.0), side).image


def item(world: World, index: int) -> tuple[str, dict[str, bytes]]:
    """Item `index`: one to three kinds, sometimes with a silent photo among them; `scenes.files` says what is in it."""
    pool = stock(world.source, world.split)
    digest = [ord(letter) for letter in world.split]
    rng = np.random.default_rng(np.random.SeedSequence([world.seed, index, *digest]))
    silent = pool.photos.get(SILENT, ())
    count = min(int(rng.choice([1, 2, 3], p=[0.15, 0.6, 0.25])), len(pool.kinds))
    kinds = [str(kind) for kind in rng.choice(pool.kinds, count, replace=False)]
    if silent and rng.random() < 0.3:
        kinds.insert(int(rng.integers(len(kinds) + 1)), SILENT)
    photos = [_pick(rng, pool.photos[kind]) for kind in kinds]
    sounds = [None if kind == SILENT else _pick(rng, pool.sounds[kind]) for kind in kinds]
    key = f"{world.split}-{world.seed}-{index:07d}"
    made = collage(
        rng,
        [(media.read_image(place.read()), None) for place in photos],
        [None if place is None else _sound(place) for place in sounds],
        _background(rng, silent, world.side),
        kinds,
        key,
        world.side,
        world.seconds,
    )
    sources = cast("list[dict[str, Any]]", made.truth["sources"])
    origins = [
        {"photo": photo.key, "sound": None if sound is None else sound.key}
        for photo, sound in zip(photos, sounds, strict=True)
    ]
    truth = {
        "key": key,
        "split": world.split,
        "seed": world.seed,
        "index": index,
        "place": "collage",
        "sources": [source | origin for source, origin in zip(sources, origins, strict=True)],
    }
    return key, scenes.files(
        np.asarray(made.image.pixels), made.arrays["masks"], made.sounds, truth, int(rng.integers(70, 96))
    )


def _sound(place: _Place) -> Sound:
    sound = media.read_sound(place.read())
    return Sound(sound.samples[:, : int(SOUND_SECONDS * sound.rate)], sound.rate)


def generate_collages(
    source: str | Path,
    n: int,
    seed: int,
    out: str | Path,
    split: str = "train",
    workers: int | None = None,
    side: int = 224,
    seconds: float = 5.0,
    per_shard: int = PER_SHARD,
    progress: bool = True,
) -> list[Path]:
    """Make collages 0 to n - 1 of (seed, split) from the shards in `source`; returns the shards' paths in `out`.

    Only examples of `source` whose truth says this split are used, so photos and recordings of splits do not meet.
    Resumes, and depends on neither workers nor kills, as `scenes.generate` does. InputError when no kind has both
    photos and sounds.
    """
    scenes.check(n, seed, workers, side, seconds, per_shard)
    where = os.fspath(source)
    stock(where, split)
    world = World(int(seed), split, int(side), float(seconds), where, int(per_shard))
    return making.make(world, item, n, Path(out), workers, progress)
