"""What `sing` learns from: places cut out of pictures, and what sings or rushes there, as songs and textures.

Worlds of `synesthesia world birds` or `scenes` go in; of each thing that sounds there is a cut by its mask, and one by
a click on it, beside clicks on the ground between things. Whatever is drawn comes from generators that the caller
seeds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from .. import shards
from ..bridges.singing import FEWEST, MARGIN, NOTE, Cut, Singing, closer, notion_of, pooled
from ..codecs import bands, notes, textures
from ..codecs.bands import Bands
from ..encoders.base import PatchEncoder
from ..senses import Image, InputError, Point, Region, Sound
from .distil import jitter
from .hear_data import NONE, Photos, Sounds
from .loop import quick
from .see import in_spreads

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, UInt8

AT_ONCE = 64  # places that are looked at
SIDE = 240  # pixels of what is kept of a place
AROUND = 1.5  # as `singing.MARGIN`, for views that lie a little beside
MOST = 28  # notes of a song
CLEAR = 0.75  # of a sound's power that are notes, for it to be a song: the bubbles of a river are none
SECONDS = 4.0  # of a recording that are listened to
NOISY = 0.7  # of a sound's power that are no tones, for its texture to be told
USUAL_DB = -24.0  # RMS of a kind of a world, re full scale, as a recordist might have it …
MOST_LOUDER_DB = 20.0  # … and how much louder or softer one of them can be
GROUNDS = 0.6  # of the pictures of a world are clicked beside everything
CLICKS = 3  # at a photo, near its middle
BESIDE = 0.12  # of a photo's side: how far from the middle it is clicked
LEAST_MARGIN = 1.1
MOST_PLACES = 3000  # pictures of a world in which outlines are learned
ALL = 0.15  # of the places are shown without saying what of them is meant …
NOWHERE = 0.15  # … and without saying where they are
COARSE = (
    0.3  # of the places are shown with fewer pixels, a quarter to a side at least, as from afar or by a poor camera
)
COLOURS = 0.35  # of `jitter`, at most, where something sings: the colours of a bird say how …
ANY_COLOURS = 1.0  # … and elsewhere: a sea roars alike in any light


@dataclass(frozen=True, eq=False)
class Songs:
    """Sounds as songs and as noise: `notes` (n, MOST, names) in the units of `codecs.notes`, how many each has, and how
    `clear` it is; `texture` (n, WIDTH), and how much of it is `noise`.
    """

    notes: Float[torch.Tensor, "n most names"]
    count: Int[torch.Tensor, " n"]
    clear: Float[torch.Tensor, " n"]
    texture: Float[torch.Tensor, "n width"]
    noise: Float[torch.Tensor, " n"]

    @cached_property
    def sung(self) -> Bool[torch.Tensor, " n"]:
        """Those that are songs at all."""
        return (self.count >= FEWEST) & (self.clear >= CLEAR)

    @cached_property
    def noisy(self) -> Float[torch.Tensor, "n width"]:
        """The textures; NaN where there is none."""
        return self.texture.where((self.noise >= NOISY)[:, None], torch.nan)

    @cached_property
    def notions(self) -> Float[torch.Tensor, "n notion"]:
        """How the notes of each song are on the whole; NaN where it is none."""
        nothing = notion_of(np.zeros((FEWEST, NOTE))) * np.nan
        return torch.from_numpy(
            np.stack([
                notion_of(song[:count].numpy()) if sung else nothing
                for song, count, sung in zip(self.notes, self.count, self.sung, strict=True)
            ])
        )  # fmt: skip


def songs(sounds: Sequence[Sound]) -> Songs:
    """What is sung in each of these sounds, and what noise there is."""
    voice = Bands()
    heard = [notes.listen(sound) for sound in sounds]
    kept = torch.zeros(len(heard), MOST, NOTE)
    for row, one in zip(kept, heard, strict=True):
        row[: len(one.notes)] = torch.from_numpy(one.notes[:MOST])
    count = torch.tensor([min(len(one.notes), MOST) for one in heard])
    clear = torch.tensor([one.clear for one in heard], dtype=torch.float32)
    found = Songs(kept, count, clear, torch.zeros(len(heard), textures.WIDTH), torch.zeros(len(heard)))
    for k, sound in enumerate(sounds):
        if found.sung[k]:
            continue  # a whistle that is too quick for the partials of `bands` is no noise
        if voice.frames(sound.seconds) >= textures.LEAST:
            woven = textures.heard(sound)
            found.texture[k], found.noise[k] = torch.from_numpy(woven.texture), woven.noise
    return found


@dataclass(frozen=True, eq=False)
class Singers:
    """Places that were cut out of pictures, with a margin, as they are kept (`_bytes`), and which of the `songs` is
    theirs (`NONE` for the ground between things); what the patches of the whole pictures say (`singing.pooled`), in
    half precision, and where their horizon is, a share of the picture from its top (NaN where nobody says); of each
    song the numbers behind it and its look, in their spreads (NaN where there are none), and those of them that its
    sound was made of.
    """

    cuts: Cut
    around: Float[torch.Tensor, "n twice_patches"]
    horizon: Float[torch.Tensor, " n"]
    row: Int[torch.Tensor, " n"]
    songs: Songs
    numbers: Float[torch.Tensor, "songs behind"]
    made_of: Float[torch.Tensor, "songs some"]

    def some(self, most: int) -> Singers:
        """So many of the places at most, chosen blindly; of the songs all."""
        at = torch.randperm(len(self.row), generator=torch.Generator().manual_seed(7))[:most].sort().values
        own = {name: getattr(self, name)[at] for name in ("around", "horizon", "row")}
        return replace(self, cuts=some_of(self.cuts, at), **own)


def some_of(cuts: Cut, at: torch.Tensor) -> Cut:
    """Some of many places."""
    return Cut(*(part[at] for part in cuts))


def joined(one: Cut, other: Cut) -> Cut:
    """The places of both."""
    return Cut(*(torch.cat(parts) for parts in zip(one, other, strict=True)))


def viewed(cuts: Cut, g: torch.Generator, size: int, sings: Bool[torch.Tensor, " n"] | None = None) -> Cut:
    """Places as they might have been cut out: larger or beside, half mirrored, in other colours (those that `sings`, by
    default all, in nearly their own), some of them with few pixels; some without telling where they are."""
    n = len(cuts.pixels)
    x, share, _ = _floats(cuts)
    low = LEAST_MARGIN / AROUND
    zoom = low + (1 - low) * torch.rand(n, 1, generator=g)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, :1] = zoom * torch.where(torch.rand(n, 1, generator=g) < 0.5, -1.0, 1.0)
    theta[:, 1, 1:2] = zoom
    theta[:, :, 2] = 0.6 * (2 * torch.rand(n, 2, generator=g) - 1) * (1 - zoom)
    grid, coarse = (F.affine_grid(theta, [n, 1, k, k], align_corners=False) for k in (size, size // 4))
    x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    share = F.grid_sample(share, coarse, align_corners=False)
    most = torch.full((n,), COLOURS) if sings is None else torch.where(sings, COLOURS, ANY_COLOURS)
    x = torch.lerp(x, jitter(x.clone(), g), most.view(-1, 1, 1, 1) * torch.rand(n, 1, 1, 1, generator=g))
    far = torch.rand(n, generator=g) < COARSE
    if far.any():
        few = int(torch.randint(size // 4, size, (), generator=g))
        fewer = F.interpolate(x[far], (few, few), mode="bilinear", antialias=True, align_corners=False)
        x[far] = F.interpolate(fewer, (size, size), mode="bicubic", align_corners=False).clamp(0, 1)
    # Attention marks a place less sharply than its mask.
    share = torch.lerp(share, F.avg_pool2d(share, 9, 1, 4), torch.rand(n, 1, 1, 1, generator=g))
    shown = torch.where(torch.rand(n, 1, 1, generator=g) < ALL, 1.0, share[:, 0])
    place = torch.where(torch.rand(n, 1, generator=g) < NOWHERE, 0.0, cuts.place)
    return Cut(x, shown, place, glanced(cuts.whole, g))


def glanced(whole: UInt8[torch.Tensor, "n side side 4"], g: torch.Generator) -> Float[torch.Tensor, "n 4 side side"]:
    """Whole pictures as they might have been seen: half mirrored, in any light."""
    x = whole.permute(0, 3, 1, 2).float() / 255
    x = torch.where(torch.rand(len(x), 1, 1, 1, generator=g) < 0.5, x.flip(-1), x)
    return torch.cat([jitter(x[:, :3].clone(), g), x[:, 3:]], 1)


def _floats(cuts: Cut) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pixels, masks (as one channel) and the wholes of places that were kept as bytes, in [0, 1]."""
    pixels, whole = (x.permute(0, 3, 1, 2).float() / 255 for x in (cuts.pixels, cuts.whole))
    return pixels, cuts.share[:, None].float() / 255, whole


def read_singers(folders: Sequence[Path], eyes: PatchEncoder, path: Path) -> Singers:
    """Read worlds of `synesthesia world birds` or `scenes`, listen to them, and cut out by its mask whatever sounds;
    kept in the file `path` for a run that resumes.

    Raises InputError for a folder without pictures with sources.
    """
    if not path.is_file():
        cuts, around, horizon, heard, numbers, made_of = [], [], [], [], [], []
        kinds: list[str] = []
        for folder in folders:
            before = len(cuts)
            for example in track(shards.examples(folder), f"listening to {folder.name}", total=None):
                dense = _patches(eyes, example.image)
                scale = float(str(example.truth.get("scale", 1.0)))  # by which all its sounds were divided
                for source, mask, sound in _sources(example):
                    region = Region(mask.astype(np.float32) / 255)
                    cuts.append(_bytes(closer(example.image, region, SIDE, AROUND)))
                    around.append(pooled(dense, region))
                    horizon.append(_horizon(example))
                    heard.append(songs([sound]))
                    heard[-1].texture[:, textures.LEVEL] += 2 * math.log10(scale)
                    look, song = source.get("parameters", {}), source.get("song", {})
                    away = {"distance_m": source["distance_m"]} if "distance_m" in source else {}
                    for told, into in ((look | song | away, numbers), ((song or look) | away, made_of)):
                        into.append({f"{source['kind']}.{name}": float(value) for name, value in told.items()})
                    kinds.append(str(source["kind"]))
            if len(cuts) == before:
                raise InputError(f"{folder} holds no scenes; make some with `synesthesia world birds`.")
        every = Songs(*(torch.cat([getattr(song, field.name) for song in heard]) for field in fields(Songs)))
        _as_recorded(every.texture[:, textures.LEVEL], kinds)
        _keep(
            _small(cuts, around)
            | {"horizon": torch.tensor(horizon), "numbers": in_spreads(numbers), "made_of": in_spreads(made_of)}
            | {field.name: getattr(every, field.name) for field in fields(Songs)},
            path,
        )
    found = load_file(path)
    cuts = _taken(found)
    own = {name: found.pop(name) for name in ("around", "horizon", "numbers", "made_of")}
    return Singers(cuts, row=torch.arange(len(cuts.pixels)), songs=Songs(**found), **own)


def _as_recorded(tens_of_db: Float[torch.Tensor, " n"], kinds: Sequence[str]) -> None:
    """Bring levels to what a recordist might have: each kind's mean to the usual; within it they differ as before."""
    of = np.array(kinds)
    for kind in set(kinds):
        at = torch.from_numpy(np.flatnonzero(of == kind))
        away = (tens_of_db[at] - tens_of_db[at].mean()).clamp(-MOST_LOUDER_DB / 10, MOST_LOUDER_DB / 10)
        tens_of_db[at] = USUAL_DB / 10 + away


def _patches(eyes: PatchEncoder, image: Image) -> Float[torch.Tensor, "rows columns patches"]:
    return torch.from_numpy(eyes.see([image])[0].dense.values)


def _bytes(cut: Cut) -> Cut:
    """What was cut out, as it is kept: in bytes, colours last, a quarter as large."""
    pixels, whole = ((x * 255).round().byte().permute(1, 2, 0).contiguous() for x in (cut.pixels, cut.whole))
    return Cut(pixels, (cut.share * 255).round().byte(), cut.place, whole)


def _small(cuts: Sequence[Cut], around: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    parts = (torch.stack(part) for part in zip(*cuts, strict=True))
    return dict(zip(Cut._fields, parts, strict=True)) | {"around": torch.stack(list(around)).half()}


def _taken(kept: dict[str, torch.Tensor]) -> Cut:
    """The places of what `_small` gave, taken out of it."""
    return Cut(**{name: kept.pop(name) for name in Cut._fields})


def _keep(told: dict[str, torch.Tensor], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(told, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


@torch.inference_mode()
def clicked(singers: Singers, folders: Sequence[Path], model: Singing, eyes: PatchEncoder, path: Path) -> Singers:
    """The same places and beside them what a click on each leads to, and clicks on the ground; kept in `path`."""
    if not path.is_file():
        rng = np.random.default_rng(5)
        cuts, around, horizon, row = [], [], [], []

        def click(
            image: Image, dense: torch.Tensor, fine: tuple[torch.Tensor, ...], likely: np.ndarray, of: int
        ) -> None:
            at, x, y = likely.ravel().astype(float), *rng.random(2)
            spot = divmod(int(rng.choice(len(at), p=at / at.sum())), likely.shape[1])
            where = Point((spot[1] + x) / likely.shape[1], (spot[0] + y) / likely.shape[0])
            thing = model.around(dense, fine, where, image)
            cuts.append(_bytes(closer(image, thing, SIDE, AROUND)))
            around.append(pooled(dense, thing))
            row.append(of)

        count = 0
        for folder in folders:
            for example in track(shards.examples(folder), f"clicking on {folder.name}", total=None):
                dense, fine = _patches(eyes, example.image), eyes.fine(example.image)
                covered = np.zeros(example.arrays["masks"].shape[1:])
                for _, mask, _ in _sources(example):
                    click(example.image, dense, fine, (mask / 255.0) ** 2, count)
                    covered, count = np.maximum(covered, mask / 255.0), count + 1
                free = covered < 0.02
                if rng.random() < GROUNDS and free.mean() > 0.01:
                    click(example.image, dense, fine, free, NONE)
                horizon += [_horizon(example)] * (len(cuts) - len(horizon))
        _keep(_small(cuts, around) | {"horizon": torch.tensor(horizon), "row": torch.tensor(row)}, path)
    more = load_file(path)
    every = joined(singers.cuts, _taken(more))
    return replace(singers, cuts=every, **{name: torch.cat([getattr(singers, name), x]) for name, x in more.items()})


@torch.inference_mode()
def clicked_photos(
    photos: Photos, model: Singing, eyes: PatchEncoder, path: Path
) -> tuple[Cut, Float[torch.Tensor, "n twice_patches"]]:
    """Places and what is `around` them, as of `Singers`, that `CLICKS` clicks near the middle of each photo lead to;
    kept in `path`."""
    if not path.is_file():
        rng = np.random.default_rng(6)
        cuts, around = [], []
        for photo in track(photos.pixels, "clicking on photos"):
            image = Image(photo.numpy())
            dense, fine = _patches(eyes, image), eyes.fine(image)
            for _ in range(CLICKS):
                x, y = (0.5 + BESIDE * rng.standard_normal(2)).clip(0.05, 0.95)
                thing = model.around(dense, fine, Point(float(x), float(y)), image)
                cuts.append(_bytes(closer(image, thing, SIDE, AROUND)))
                around.append(pooled(dense, thing))
        _keep(_small(cuts, around), path)
    found = load_file(path)
    return _taken(found), found["around"]


@torch.inference_mode()
def whole(
    pictures: Sequence[UInt8[torch.Tensor, "_ _ _ 3"]], eyes: PatchEncoder, path: Path
) -> list[Float[torch.Tensor, "n twice"]]:
    """Of all pictures of each group what their patches say (`singing.pooled`), in half precision; kept in `path`."""
    if not path.is_file():
        told = {}
        for k, some in enumerate(pictures):
            seen = [pooled(_patches(eyes, Image(p.numpy())), Region.whole()) for p in track(some, "looking")]
            told[str(k)] = torch.stack(seen).half() if seen else torch.zeros(0, 2 * eyes.dense.width).half()
        _keep(told, path)
    found = load_file(path)
    return [found[str(k)] for k in range(len(pictures))]


@torch.inference_mode()
def looked_closer(model: Singing, cuts: Cut) -> Float[torch.Tensor, "n twice_width"]:
    """What the eyes that look closer see of places as they are kept, in half precision."""
    size, out = model.config.eyes.size, []
    for at in torch.arange(len(cuts.pixels)).split(AT_ONCE):
        some = some_of(cuts, at)
        pixels, share, whole = _floats(some)
        with quick():
            seen = model.seen(_middle(pixels, size), _middle(share, size // 4)[:, 0], some.place, whole)
        out.append(seen.half())
    return torch.cat(out)


def _middle(x: Float[torch.Tensor, "n channels side side"], size: int) -> Float[torch.Tensor, "n channels size size"]:
    """What was cut out with the margin `AROUND`, with that of `closer`."""
    edge = round(x.shape[-1] * (1 - MARGIN / AROUND) / 2)
    inner = x[..., edge : x.shape[-1] - edge, edge : x.shape[-1] - edge]
    return F.interpolate(inner, (size, size), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)


def _horizon(example: shards.Example) -> float:
    """A share of the picture from its top; NaN where the world does not say."""
    view = example.truth.get("view")
    return float(view["horizon"]) if isinstance(view, dict) and "horizon" in view else math.nan


def _sources(example: shards.Example) -> Iterator[tuple[dict[str, Any], np.ndarray, Sound]]:
    told, masks = example.truth.get("sources"), example.arrays.get("masks")
    if not isinstance(told, list) or masks is None or len(masks) != len(told):
        raise InputError(f"{example.key!r} is no scene; make some with `synesthesia world birds`.")
    for source, mask, sound in zip(told, masks, example.sounds, strict=False):
        if mask.any():
            yield source, mask, sound


def recorded(sounds: Sounds) -> Songs:
    """What is sung in the first seconds of every recording."""
    most = round(SECONDS * bands.RATE / bands.HOP)
    found = []
    for first, last in zip(sounds.first[:-1], sounds.first[1:], strict=True):
        wave = sounds.waves[first : min(last, first + most)].float().numpy().reshape(1, -1)
        found.append(Sound(wave, bands.RATE))
    return songs(found)


@dataclass(frozen=True, eq=False)
class Places:
    """What eyes see of whole pictures, in half precision, with what they see on the way (`outlining.Sight`), and on the
    finest grid the masks of things; `picture` says of each thing which it is in."""

    patches: Float[torch.Tensor, "pictures rows columns width"]
    fine: tuple[Float[torch.Tensor, "pictures _ _ _"], ...]
    masks: Float[torch.Tensor, "n _ _"]
    picture: Int[torch.Tensor, " n"]


@torch.inference_mode()
def read_places(folders: Sequence[Path], eyes: PatchEncoder, path: Path) -> Places:
    """The first pictures of worlds, and what sounds in them; kept in the file `path`, as by `read_singers`."""
    if not path.is_file():
        patches, fine, masks, picture = [], [], [], []
        for folder in folders:
            begun = len(patches)
            for example in track(shards.examples(folder), f"looking at {folder.name}", total=MOST_PLACES):
                seen, closely = _patches(eyes, example.image), eyes.fine(example.image)
                cells = closely[-1].shape[2:] if closely else seen.shape[:2]
                for _, mask, _ in _sources(example):
                    masks.append(torch.from_numpy(Region(mask.astype(np.float32) / 255).on(*cells)).half())
                    picture.append(len(patches))
                patches.append(seen.half())
                fine.append([x[0].half() for x in closely])
                if len(patches) == begun + MOST_PLACES:
                    break
        told = {f"fine{k}": torch.stack(maps) for k, maps in enumerate(zip(*fine, strict=True))}
        told |= {"patches": torch.stack(patches), "masks": torch.stack(masks), "picture": torch.tensor(picture)}
        _keep(told, path)
    found = load_file(path)
    maps = tuple(found.pop(f"fine{k}") for k in range(len(eyes.tower.fine)))
    return Places(fine=maps, **found)
