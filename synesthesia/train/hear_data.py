"""What `hear` and `locate` learn from, in memory: recordings as latents of the voice `bands` and as waves, and photos.

Shards (`synesthesia.data.pack`) go in; batches of crops, views and collages come out. Which photo goes with which
recording is known by kind, a label's worth, or by a video in which they occurred together. Kinds are numbers here.
Whatever is drawn comes from generators that the caller seeds.

    lessons = read(shards)
    pairs = Pairing(lessons.sounds, lessons.photos[0])
    kinds = pairs.draw(rng, 32)
    heard = lessons.sounds.crops(pairs.hear(rng, kinds), rng)
    latents, waves = lessons.sounds.latents_at(heard), lessons.sounds.waves_at(heard)
    seen = lessons.photos[0].views(pairs.look(rng, kinds), g, 128)
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from .. import hub, media, shards
from ..codecs import bands
from ..data.clusters import Split
from ..data.pack import TOGETHER
from ..data.table import SILENT_KIND
from ..encoders.vision import to_square
from ..senses import Image, InputError, Sound
from .distil import jitter

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, UInt8

SILENT = -1  # the kind of a photo of what makes no sound
NONE = -1  # in place of a row, where there is none; in place of a frame, silence
SIDES = (224, 64)  # pixels; a photo is kept at the first of which it has half
FRAMES = 400  # of a crop: 4 s
EVENT_SECONDS = 1.0  # what is shorter is an event …
EVENT_DB = 20.0  # … and what ends so far below its loudest frame
ENDING = 10  # frames in which a sound ends
ACTIVE_DB = 30.0  # frames within this of a row's loudest are what it is about
MOST_TIMES = 5  # that an event recurs in a crop
REST_DB = -90.0  # frames below are at rest
SEAM = 0.025  # of a picture's side, over which quarters blend


# --- sounds -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Sounds:
    """Recordings in memory, one after another in whole frames. A row is a recording, or a piece of a long one.

    `latents` are those of `bands` and `waves` the samples of the same frames, full scale ±1, both at the level as
    recorded; row i has the frames from `first[i]` to `first[i + 1]`. `kind` and `cluster` are numbers.
    """

    latents: Float[torch.Tensor, "frames width"]
    waves: Float[torch.Tensor, "frames hop"]
    first: Int[np.ndarray, " edges"]
    kind: Int[np.ndarray, " rows"]
    cluster: Int[np.ndarray, " rows"]

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def frames(self) -> Int[np.ndarray, " rows"]:
        """How many frames each row has."""
        return np.diff(self.first)

    @cached_property
    def level(self) -> Float[np.ndarray, " rows"]:
        """The mean power of each row over the frames that are not at rest, dB re full scale."""
        power = np.where(self._loudness > REST_DB, 10.0 ** (self._loudness / 10), np.nan)
        with np.errstate(invalid="ignore"):
            return np.array([
                10 * np.log10(np.nanmean(p)) if np.isfinite(p).any() else bands.FLOOR_DB
                for p in np.split(power, self.first[1:-1])[: len(self)]
            ])  # fmt: skip

    @cached_property
    def _loudness(self) -> Float[np.ndarray, " frames"]:
        """The power of each frame, dB re full scale; bands at their floor count as silent."""
        power = np.zeros(len(self.latents))
        for first in range(0, len(power), 2**16):
            level = self.latents[first : first + 2**16, bands.LEVELS].numpy().astype(float)
            power[first : first + 2**16] = np.where(level > bands.FLOOR_DB, 10.0 ** (level / 10), 0.0).sum(1)
        return 10 * np.log10(np.maximum(power, 1e-20))

    @cached_property
    def _peak(self) -> Float[np.ndarray, " rows"]:
        """The power of the loudest frame of each row."""
        return np.maximum.reduceat(self._loudness, self.first[:-1]) if len(self) else np.zeros(0)

    @cached_property
    def event(self) -> Bool[np.ndarray, " rows"]:
        """Whether a row is an event, such as a bark or a step, rather than a part of something that goes on."""
        ending = [
            self._loudness[max(a, b - ENDING) : b].max() for a, b in zip(self.first[:-1], self.first[1:], strict=True)
        ]
        return (self.frames * bands.HOP < EVENT_SECONDS * bands.RATE) | (np.array(ending) < self._peak - EVENT_DB)

    @cached_property
    def _active(self) -> tuple[Int[np.ndarray, " active"], Int[np.ndarray, " edges"]]:
        """The frames that rows are about, and where those of each row begin among them."""
        active = np.flatnonzero(self._loudness >= np.repeat(self._peak, self.frames) - ACTIVE_DB)
        return active, np.searchsorted(active, self.first)

    def crops(
        self, rows: Int[np.ndarray, " n"], rng: np.random.Generator, frames: int = FRAMES
    ) -> Int[np.ndarray, "n frames"]:
        """A random crop of each row, as numbers of frames for `latents_at` and `waves_at`; `NONE` is silence.

        Of a row that is long enough it is a stretch that holds one of its active frames, evenly drawn. A shorter event
        recurs: it stands in the crop once or several times as a whole, with silence of random length around it. Of
        anything else that is short the end runs on into the beginning.
        """
        active, edges = self._active
        length = self.frames[rows]
        picked = active[edges[rows] + rng.integers(edges[rows + 1] - edges[rows])]
        begin = picked - self.first[rows] - rng.integers(frames, size=len(rows))
        begin = np.where(length >= frames, np.clip(begin, 0, np.maximum(length - frames, 0)), begin % length)
        index = self.first[rows][:, None] + (begin[:, None] + np.arange(frames)) % length[:, None]
        for n in np.flatnonzero(self.event[rows] & (length < frames)):
            index[n] = _recurring(int(self.first[rows[n]]), int(length[n]), frames, rng)
        return index

    def latents_at(
        self, index: Int[np.ndarray, "*batch frames"], gain_db: Float[np.ndarray, "*batch"] | None = None
    ) -> Float[torch.Tensor, "*batch frames width"]:
        """The latents of these frames, with a gain for each crop."""
        values = self.latents[torch.from_numpy(np.maximum(index, 0))].float()
        values[torch.from_numpy(index == NONE)] = torch.from_numpy(bands.REST.copy())
        return values if gain_db is None else louder(values, torch.from_numpy(gain_db)[..., None, None].float())

    def waves_at(
        self, index: Int[np.ndarray, "*batch frames"], gain_db: Float[np.ndarray, "*batch"] | None = None
    ) -> Float[torch.Tensor, "*batch samples"]:
        """The samples of these frames at 32 kHz, full scale ±1, with a gain for each crop."""
        values = self.waves[torch.from_numpy(np.maximum(index, 0))].float()
        values[torch.from_numpy(index == NONE)] = 0.0
        values = values.flatten(-2)
        return values if gain_db is None else values * 10.0 ** (torch.from_numpy(gain_db)[..., None].float() / 20)


def _recurring(first: int, length: int, frames: int, rng: np.random.Generator) -> Int[np.ndarray, " frames"]:
    times = 1 + int(rng.integers(min(MOST_TIMES, frames // length)))
    silence = np.sort(rng.integers(frames - times * length + 1, size=times))  # before each, in all
    index = np.full(frames, NONE)
    for n, before in enumerate(silence):
        at = int(before) + n * length
        index[at : at + length] = np.arange(first, first + length)
    return index


def louder(
    latents: Float[torch.Tensor, "*batch width"], gain_db: Float[torch.Tensor, ...] | float
) -> Float[torch.Tensor, "*batch width"]:
    """The latents of the same sound at another level: the levels of bands and partials move, where there is any."""
    out = latents.clone()
    for channels in (bands.LEVELS, bands.PARTIALS):
        level = latents[..., channels]
        out[..., channels] = torch.where(level > bands.FLOOR_DB, level + gain_db, level).clamp(min=bands.FLOOR_DB)
    out[..., bands.PLACES] = torch.where(out[..., bands.PARTIALS] > bands.FLOOR_DB, latents[..., bands.PLACES], 0.0)
    return out


# --- photos -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Photos:
    """Photos in memory, stretched to squares of one side. `kind` is `SILENT` for what makes no sound.

    `sound` is the row of the sound that occurred together with the photo, `NONE` for photos that go by kind.
    """

    pixels: UInt8[torch.Tensor, "n side side 3"]
    kind: Int[np.ndarray, " n"]
    cluster: Int[np.ndarray, " n"]
    sound: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.kind)

    def whole(self, rows: Int[np.ndarray, " n"], size: int) -> Float[torch.Tensor, "n 3 size size"]:
        """The photos as they are, sRGB in [0, 1], brought to another size."""
        x = self.pixels[torch.from_numpy(rows)].permute(0, 3, 1, 2).float() / 255
        if x.shape[-1] == size:
            return x
        return F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)

    def views(self, rows: Int[np.ndarray, " n"], g: torch.Generator, size: int) -> Float[torch.Tensor, "n 3 size size"]:
        """The photos as they might have been: parts of 35 to 100 % of the area, half mirrored, in other colours."""
        n = len(rows)
        area, ratio = _uniform(g, 0.35, 1.0, n), torch.exp(_uniform(g, -0.2, 0.2, n))
        zoom = (area[:, None] * torch.stack([ratio, 1 / ratio], 1)).sqrt().clamp(max=1.0)
        theta = torch.zeros(n, 2, 3)
        theta[:, 0, 0] = zoom[:, 0] * torch.where(torch.rand(n, generator=g) < 0.5, -1.0, 1.0)
        theta[:, 1, 1] = zoom[:, 1]
        theta[:, :, 2] = _uniform(g, -1, 1, n, 2) * (1 - zoom)
        x = self.pixels[torch.from_numpy(rows)].permute(0, 3, 1, 2).float() / 255
        grid = F.affine_grid(theta, [n, 3, size, size], align_corners=False)
        return jitter(F.grid_sample(x, grid, padding_mode="reflection", align_corners=False), g)


def _uniform(g: torch.Generator, low: float, high: float, *shape: int) -> torch.Tensor:
    return low + (high - low) * torch.rand(*shape, generator=g)


def collages(
    parts: Float[torch.Tensor, "n k c h w"],
    ground: Float[torch.Tensor, "n c size size"],
    g: torch.Generator,
    shapes: Float[torch.Tensor, "n k h w"] | None = None,
) -> tuple[Float[torch.Tensor, "n c size size"], Float[torch.Tensor, "n k size size"]]:
    """Photos pasted on others with soft masks: the pictures, and what share of each pixel shows which part.

    Maps of features can be pasted as well as pixels.

    The shares of the parts sum to at most 1; the rest shows `ground`, photos of what makes no sound. Parts lie around
    the middle as soft ellipses, in the order given from back to front; in a third of the pictures the first two share
    the whole picture along a soft line instead. With `shapes`, soft masks of the parts in their own pixels, parts are
    cut out by these.
    """
    n, k = parts.shape[:2]
    size = ground.shape[-1]
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")  # in [-1, 1], as grid_sample has it
    turn = _uniform(g, 0, 2 * math.pi, n, 1) + 2 * math.pi / k * torch.arange(k) + _uniform(g, -0.3, 0.3, n, k)
    centre = _uniform(g, 0.4, 0.55, n, k)[..., None] * torch.stack([turn.cos(), turn.sin()], -1)
    axes = _uniform(g, 0.3, 0.5, n, k, 2)
    zoom = axes.amax(-1) * _uniform(g, 1.0, 1.3, n, k)
    edge = _uniform(g, 0.03, 0.15, n, k, 1, 1)
    away = torch.stack([x, y], -1) - centre[:, :, None, None]
    alpha = torch.sigmoid((1 - (away / axes[:, :, None, None]).norm(dim=-1)) / edge)

    halved = torch.rand(n, generator=g) < (1 / 3 if k > 1 and shapes is None else 0.0)
    tilt, offset = _uniform(g, 0, 2 * math.pi, n, 1), _uniform(g, -0.2, 0.2, n, 1, 1)
    across = torch.cat([tilt.cos(), tilt.sin()], 1)
    beyond = across[:, 0, None, None] * x + across[:, 1, None, None] * y - offset
    half = torch.sigmoid(beyond / _uniform(g, 0.02, 0.1, n, 1, 1))
    if k > 1:
        alpha[halved, 0] = 1.0  # behind the second, which covers one side
        alpha[halved, 1] = 1 - half[halved]
        centre[halved, 0], centre[halved, 1] = 0.5 * across[halved], -0.5 * across[halved]
        zoom[halved, :2] = _uniform(g, 0.7, 1.0, int(halved.sum()), 2)

    theta = torch.zeros(n, k, 2, 3)
    theta[..., 0, 0] = theta[..., 1, 1] = 1 / zoom
    theta[..., 2] = -centre / zoom[..., None]
    grid = F.affine_grid(theta.flatten(0, 1), [n * k, parts.shape[2], size, size], align_corners=False)
    placed = F.grid_sample(parts.flatten(0, 1), grid, padding_mode="reflection", align_corners=False)
    if shapes is not None:
        alpha = F.grid_sample(shapes.flatten(0, 1)[:, None], grid, padding_mode="zeros", align_corners=False)
        alpha = alpha.clamp(0, 1).reshape(n, k, size, size)
    before = torch.cat([(1 - alpha[:, 1:]).flip(1).cumprod(1).flip(1), torch.ones_like(alpha[:, :1])], 1)
    masks = alpha * before  # what no later part covers
    picture = (masks[:, :, None] * placed.reshape(n, k, -1, size, size)).sum(1)
    return picture + (1 - masks.sum(1, keepdim=True)) * ground, masks


def quarters(
    parts: Float[torch.Tensor, "n 4 c size size"], g: torch.Generator
) -> tuple[Float[torch.Tensor, "n c size size"], Float[torch.Tensor, "n 4 size size"]]:
    """Four photos, each at half its size, as the quarters of one picture, in any order and with soft seams; and what
    share of each pixel shows which. Over the seams a photo goes on mirrored.
    """
    n, _, _, size, _ = parts.shape
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    first = torch.sigmoid(-line / SEAM)
    half = F.interpolate(parts.flatten(0, 1), (size // 2, size // 2), mode="area").unflatten(0, (n, 4))
    order = torch.rand(n, 4, generator=g).argsort(1)
    picture, masks = torch.zeros_like(parts[:, 0]), torch.zeros(n, 4, size, size)
    for place in range(4):
        part = order[:, place]
        photo = half[torch.arange(n), part]
        for axis, last in ((2, place // 2 == 1), (3, place % 2 == 1)):
            pair = (photo.flip(axis), photo) if last else (photo, photo.flip(axis))
            photo = torch.cat(pair, axis)
        down, across = (1 - first if place // 2 else first), (1 - first if place % 2 else first)
        share = down[:, None] * across
        masks[torch.arange(n), part] = share
        picture = picture + share * photo
    return picture, masks


# --- pairing ----------------------------------------------------------------------------------------------------------


class _Rows:
    """Rows by kind and cluster, to draw from: a cluster evenly within the kind, a row evenly within the cluster."""

    def __init__(self, kind: Int[np.ndarray, " rows"], cluster: Int[np.ndarray, " rows"]) -> None:
        self._order = np.lexsort((cluster, kind))
        pairs = np.stack([kind, cluster], 1)[self._order]
        new = np.ones(len(pairs), bool)
        new[1:] = (pairs[1:] != pairs[:-1]).any(1)
        self._first = np.append(np.flatnonzero(new), len(pairs))  # of each cluster, in the order
        self.kinds, self._group = np.unique(pairs[new][:, 0], return_index=True)  # … and of each kind, in the clusters
        self._group = np.append(self._group, len(self._first) - 1)

    def draw(self, kinds: Int[np.ndarray, "*n"], rng: np.random.Generator) -> Int[np.ndarray, "*n"]:
        if not np.isin(kinds, self.kinds).all():
            raise InputError(f"There is nothing of the kinds {np.setdiff1d(kinds, self.kinds).tolist()} here.")
        at = np.searchsorted(self.kinds, kinds)
        group = rng.integers(self._group[at], self._group[at + 1])
        return self._order[rng.integers(self._first[group], self._first[group + 1])]


class Pairing:
    """Which photos go with which sounds: by kind, or because they occurred together."""

    def __init__(self, sounds: Sounds, photos: Photos) -> None:
        self._sounds = _Rows(sounds.kind, sounds.cluster)
        self._photos = _Rows(photos.kind, photos.cluster)
        self.kinds = np.intersect1d(self._sounds.kinds, self._photos.kinds)
        self._together = np.flatnonzero(photos.sound != NONE)
        self._sound = photos.sound
        if not len(self.kinds):
            raise InputError("No kind has both photos and recordings here, so there is nothing to pair.")

    def draw(self, rng: np.random.Generator, n: int, of: int = 1) -> Int[np.ndarray, "n of"]:
        """n times `of` different kinds that have both photos and sounds, evenly drawn."""
        if of > len(self.kinds):
            raise InputError(f"There are {len(self.kinds)} kinds with photos and recordings, not {of}.")
        return self.kinds[np.argsort(rng.random((n, len(self.kinds))), axis=1)[:, :of]]

    def hear(self, rng: np.random.Generator, kinds: Int[np.ndarray, "*n"]) -> Int[np.ndarray, "*n"]:
        """A row of sounds for each of these kinds: a recording (cluster) evenly drawn, then one of its takes."""
        return self._sounds.draw(kinds, rng)

    def look(self, rng: np.random.Generator, kinds: Int[np.ndarray, "*n"]) -> Int[np.ndarray, "*n"]:
        """A row of photos for each of these kinds; `SILENT` is one of them."""
        return self._photos.draw(kinds, rng)

    def silent(self, rng: np.random.Generator, n: int) -> Int[np.ndarray, " n"]:
        """Rows of photos of what makes no sound; InputError when there are none."""
        if SILENT not in self._photos.kinds:
            raise InputError(f"There are no photos of what makes no sound (of the kind {SILENT_KIND!r}).")
        return self.look(rng, np.full(n, SILENT))

    def together(self, rng: np.random.Generator, n: int) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Rows of photos and of the sounds that occurred with them; InputError when there are none."""
        if not len(self._together):
            raise InputError("No photo occurred together with a sound here: there are no moments of videos.")
        rows = self._together[rng.integers(len(self._together), size=n)]
        return rows, self._sound[rows]


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Lessons:
    """All that the shards of a split hold: names of the kinds by number, sounds, and photos for each of `SIDES`."""

    kinds: tuple[str, ...]
    sounds: Sounds
    photos: tuple[Photos, ...]


def read(folder: str | Path, split: Split = "train", *, tiers: Collection[str] | None = None) -> Lessons:
    """Read the shards of a split, of all tiers or of some, into memory: about 90 KB for a second of sound.

    Kinds are numbered in the order of their names over all splits, so that every split has the same numbers. Latents
    are kept in the cache folder by the hash of their shard. Raises InputError for what is not such a folder.
    """
    folder = Path(folder)
    names = {_entry(e, "kind") for e in shards.examples(folder, only={"json"})} - {SILENT_KIND}
    kinds = tuple(sorted(names))
    numbers = {name: number for number, name in enumerate(kinds)} | {SILENT_KIND: SILENT}
    clusters: dict[str, int] = {}
    heard: list[tuple[int, int]] = []
    latents, waves = [], []
    seen: dict[int, list[tuple[torch.Tensor, int, int, int]]] = {side: [] for side in SIDES}
    for path in sorted(folder.glob(f"{split}-*.tar")):
        encoded = Encoded(path)
        for example in shards.examples(path):
            kind = numbers[_entry(example, "kind")]
            cluster = clusters.setdefault(_entry(example, "cluster"), len(clusters))
            wanted = tiers is None or _entry(example, "tier") in tiers
            row = NONE
            if example.sounds:
                samples = _samples(example)
                values = encoded.next(samples)
                if wanted:
                    row = len(heard)
                    heard.append((kind, cluster))
                    latents.append(values)
                    waves.append(torch.from_numpy(samples.reshape(-1, bands.HOP)).half())
            if example.image is not shards.UNSEEN and wanted:
                side = _side(example.image)
                pixels = (to_square([example.image], side)[0] * 255).round().byte().permute(1, 2, 0)
                together = row if _entry(example, "pairing") == TOGETHER else NONE
                seen[side].append((pixels, kind, cluster, together))
        encoded.keep()
    if not heard and not any(seen.values()):
        raise InputError(f"{folder} holds nothing of the split {split} to learn from.")
    table = np.array(heard, dtype=np.int64).reshape(-1, 2)
    sounds = Sounds(
        torch.cat(latents) if latents else torch.zeros(0, bands.WIDTH).half(),
        torch.cat(waves) if waves else torch.zeros(0, bands.HOP).half(),
        np.cumsum([0, *map(len, latents)]),
        table[:, 0],
        table[:, 1],
    )
    return Lessons(kinds, sounds, tuple(_photos(seen[side], side) for side in SIDES))


def _photos(rows: list[tuple[torch.Tensor, int, int, int]], side: int) -> Photos:
    pixels = torch.stack([row[0] for row in rows]) if rows else torch.zeros(0, side, side, 3, dtype=torch.uint8)
    table = np.array([row[1:] for row in rows], dtype=np.int64).reshape(-1, 3)
    return Photos(pixels, table[:, 0], table[:, 1], table[:, 2])


def _entry(example: shards.Example, name: str) -> str:
    value = example.truth.get(name)
    if not isinstance(value, str):
        raise InputError(f"{example.key!r} does not say its {name}; make such shards with `synesthesia data pack`.")
    return value


def _samples(example: shards.Example) -> Float[np.ndarray, " samples"]:
    """The samples of whole frames, at the level as recorded."""
    sound, scale = example.sounds[0], example.truth.get("scale")
    if sound.rate != bands.RATE or not isinstance(scale, int | float) or not 0 < scale <= 1e4:
        raise InputError(f"{example.key!r} is not a sound at {bands.RATE} Hz with a scale; pack it again.")
    samples = sound.mono * np.float32(scale)
    return np.pad(samples, (0, -len(samples) % bands.HOP))


def _side(image: Image) -> int:
    return next((side for side in SIDES if min(image.width, image.height) * 2 >= side), SIDES[-1])


class Encoded:
    """The latents of a shard's sounds in their order, from the cache when it holds those of the same shard."""

    def __init__(self, shard: Path) -> None:
        with open(shard, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        name = bands.Bands.space.name.replace("/", "-")
        self._path = hub.cache_folder("latents") / f"{name}-{digest}.safetensors"
        self._known: list[torch.Tensor] = []
        self._made: list[torch.Tensor] = []
        if self._path.is_file():
            try:
                found = hub.read_tensors(self._path, lambda _: True)
                self._known = list(found["latents"].split(found["frames"].tolist()))
            except (InputError, LookupError, ValueError, RuntimeError):
                pass  # a damaged cache is made again

    def next(self, samples: Float[np.ndarray, " samples"]) -> torch.Tensor:
        shape = (len(samples) // bands.HOP, bands.WIDTH)
        at = len(self._made)
        known = self._known[at] if at < len(self._known) else None
        if known is None or known.shape != shape or known.dtype != torch.float16:
            known = torch.from_numpy(bands.Bands().encode(Sound(samples, bands.RATE)).values).half()
            self._known = []
        self._made.append(known)
        return known

    def keep(self) -> None:
        if self._made and len(self._known) != len(self._made):
            import safetensors.torch

            self._path.parent.mkdir(parents=True, exist_ok=True)
            frames = torch.tensor([len(part) for part in self._made])
            data = safetensors.torch.save({"latents": torch.cat(self._made), "frames": frames})
            media.write_bytes(self._path, data)
