"""How the singing of `hear/tiny` is trained: on worlds in which what is seen and what is heard occurred together, and
on photos and recordings paired by kind.

Who sings learns first, from sounds alone: notes that follow one another, given how a song's notes are on the whole.
Then the eyes that look closer learn to tell that from what was cut out of pictures, and how much of its sound is notes.
Nobody tells either what anything is called. Beside that the eyes learn to tell the numbers that a world is made of, as
far as it has any: a note that was measured once is a noisy teacher. What tells those is thrown away.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from .. import shards
from ..bridges.hearing import Hearing
from ..bridges.singing import FEWEST, NOTE, Singing, SingingConfig, closer, notion_of
from ..codecs import bands, notes
from ..encoders.base import PatchEncoder
from ..encoders.vision import EyesTower
from ..senses import InputError, Region, Sound
from .distil import jitter
from .hear_data import Lessons, Pairing, Sounds, read
from .loop import LoopConfig, fit
from .see import in_spreads

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, UInt8

SIDE = 176  # pixels of what is kept of a place
AROUND = 1.5  # as `singing.MARGIN`, for views that lie a little beside
MOST = 28  # notes of a song
CLEAR = 0.5  # of a sound's power that are notes, for it to be a song
SECONDS = 4.0  # of a recording that are listened to
LEAST_MARGIN = 1.1
MOST_PLACES = 3000  # pictures of a world in which outlines are learned
WHOLE = 0.15  # of the places are shown without saying what of them is meant
COLOURS = 0.35  # of `jitter`, at most: the colours of a bird say how it sings
BLUR = 0.4  # deviations of a notion, at most, while who sings learns: what eyes tell is not quite true
MOVED = 0.02  # deviations of a note


@dataclass(frozen=True)
class SingRun:
    """Everything that a run is. Steps count batches of `songs`, then of `glances`, of which the share `photos` are
    photos (paired by kind) and the rest places in worlds."""

    song_steps: int = 2500
    look_steps: int = 2400
    outline_steps: int = 1200
    songs: int = 128
    glances: int = 64
    photos: float = 0.2
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Songs:
    """`notes` (n, MOST, names) in the units of `codecs.notes`, how many each song has, and how `clear` it is."""

    notes: Float[torch.Tensor, "n most names"]
    count: Int[torch.Tensor, " n"]
    clear: Float[torch.Tensor, " n"]

    @cached_property
    def sung(self) -> Bool[torch.Tensor, " n"]:
        """Those that are songs at all."""
        return (self.count >= FEWEST) & (self.clear >= CLEAR)

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


def songs(sounds: list[Sound]) -> Songs:
    """What is sung in each of these sounds."""
    heard = [notes.listen(sound) for sound in sounds]
    kept = torch.zeros(len(heard), MOST, NOTE)
    for row, one in zip(kept, heard, strict=True):
        row[: len(one.notes)] = torch.from_numpy(one.notes[:MOST])
    count = torch.tensor([min(len(one.notes), MOST) for one in heard])
    return Songs(kept, count, torch.tensor([one.clear for one in heard], dtype=torch.float32))


@dataclass(frozen=True, eq=False)
class Singers:
    """Places that were cut out of pictures, with a margin, what of them is meant, their songs, and the numbers behind
    them, in their spreads (NaN where there are none)."""

    pixels: UInt8[torch.Tensor, "n side side 3"]
    masks: UInt8[torch.Tensor, "n cells cells"]
    songs: Songs
    numbers: Float[torch.Tensor, "n behind"]

    def views(
        self, rows: Int[torch.Tensor, " n"], g: torch.Generator, size: int
    ) -> tuple[Float[torch.Tensor, "n 3 size size"], Float[torch.Tensor, "n cells cells"]]:
        """Places as they might have been cut out: larger or beside, half mirrored, in nearly their colours."""
        n = len(rows)
        x = self.pixels[rows].permute(0, 3, 1, 2).float() / 255
        masks = self.masks[rows, None].float() / 255
        low = LEAST_MARGIN / AROUND
        zoom = low + (1 - low) * torch.rand(n, 1, generator=g)
        theta = torch.zeros(n, 2, 3)
        theta[:, 0, :1] = zoom * torch.where(torch.rand(n, 1, generator=g) < 0.5, -1.0, 1.0)
        theta[:, 1, 1:2] = zoom
        theta[:, :, 2] = 0.6 * (2 * torch.rand(n, 2, generator=g) - 1) * (1 - zoom)
        cells = size // 4
        grid, coarse = (F.affine_grid(theta, [n, 1, k, k], align_corners=False) for k in (size, cells))
        x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
        masks = F.grid_sample(masks, coarse, align_corners=False)
        x = torch.lerp(x, jitter(x.clone(), g), COLOURS * torch.rand(n, 1, 1, 1, generator=g))
        # Attention marks a place less sharply than its mask.
        masks = torch.lerp(masks, F.avg_pool2d(masks, 9, 1, 4), torch.rand(n, 1, 1, 1, generator=g))
        return x, torch.where(torch.rand(n, 1, 1, generator=g) < WHOLE, 1.0, masks[:, 0])


def read_singers(folders: Sequence[Path], path: Path) -> Singers:
    """Read worlds of `synesthesia world birds` or `scenes` and listen to them; kept in the file `path` for a run that
    resumes.

    Raises InputError for a folder without pictures with sources.
    """
    if not path.is_file():
        pixels, masks, heard, numbers = [], [], [], []
        for folder in folders:
            before = len(pixels)
            for file in track(sorted(folder.glob("*.tar")), f"listening to {folder.name}"):
                for example in shards.examples(file):
                    for source, mask, sound in _sources(example):
                        cut, share = closer(example.image, Region(mask.astype(np.float32) / 255), SIDE, AROUND)
                        pixels.append((cut * 255).round().byte().permute(1, 2, 0))
                        masks.append((share * 255).round().byte())
                        heard.append(songs([sound]))
                        told = {**source.get("parameters", {}), **source.get("song", {})}
                        numbers.append({f"{source['kind']}.{name}": float(value) for name, value in told.items()})
            if len(pixels) == before:
                raise InputError(f"{folder} holds no scenes; make some with `synesthesia world birds`.")
        told = {"pixels": torch.stack(pixels), "masks": torch.stack(masks), "numbers": in_spreads(numbers)}
        told |= {name: torch.cat([getattr(song, name) for song in heard]) for name in ("notes", "count", "clear")}
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(told, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)
    found = load_file(path)
    own = {name: found.pop(name) for name in ("pixels", "masks", "numbers")}
    return Singers(songs=Songs(**found), **own)


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
    """What eyes see of whole pictures, in half precision, and on their grid the masks of things; `picture` says of each
    thing which it is in."""

    patches: Float[torch.Tensor, "pictures rows columns width"]
    masks: Float[torch.Tensor, "n rows columns"]
    picture: Int[torch.Tensor, " n"]


def read_places(folders: Sequence[Path], eyes: PatchEncoder, path: Path) -> Places:
    """The first pictures of worlds, and what sounds in them; kept in the file `path`, as by `read_singers`."""
    if not path.is_file():
        patches, masks, picture = [], [], []
        for folder in folders:
            begun = len(patches)
            for example in track(shards.examples(folder), f"looking at {folder.name}", total=MOST_PLACES):
                (seen,) = eyes.see([example.image])
                for _, mask, _ in _sources(example):
                    masks.append(torch.from_numpy(Region(mask.astype(np.float32) / 255).on(seen.rows, seen.columns)))
                    picture.append(len(patches))
                patches.append(torch.from_numpy(seen.dense.values).half())
                if len(patches) == begun + MOST_PLACES:
                    break
        told = {"patches": torch.stack(patches), "masks": torch.stack(masks).half(), "picture": torch.tensor(picture)}
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(told, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)
    return Places(**load_file(path))


class Drawn(NamedTuple):
    """Pictures and masks of places; the notions of their songs in the units of `codecs.notes` (NaN where nothing
    sings), how clear these are, and the numbers behind them (NaN where there are none)."""

    pixels: torch.Tensor
    masks: torch.Tensor
    notion: torch.Tensor
    clear: torch.Tensor
    numbers: torch.Tensor


class Glances:
    """Places in worlds and photos, with the songs that belong to them."""

    def __init__(self, worlds: Singers, lessons: Lessons, model: Singing, run: SingRun) -> None:
        self.worlds, self._run, self._size = worlds, run, model.config.eyes.size
        self._groups = [(photos, Pairing(lessons.sounds, photos)) for photos in lessons.photos if len(photos)]
        self._recorded = recorded(lessons.sounds) if self._groups else None
        every = worlds.songs
        there = torch.arange(MOST) < (every.count * every.sung)[:, None]
        known, told = every.notes[there], every.notions[every.sung]
        if len(told) < 2:
            raise InputError("Nothing sings in these worlds; make one with `synesthesia world birds`.")
        model.middle.copy_(known.mean(0))
        model.spread.copy_(known.std(0).clamp_min(0.05))
        model.usual.copy_(told.mean(0))
        model.varied.copy_(told.std(0).clamp_min(0.02))

    def draw(self, rng: np.random.Generator, g: torch.Generator, n: int) -> Drawn:
        """n places: those of worlds, then photos."""
        photos, worlds = round(self._run.photos * n) if self._groups else 0, self.worlds
        rows = torch.from_numpy(rng.integers(len(worlds.pixels), size=n - photos))
        x, masks = worlds.views(rows, g, self._size)
        drawn = Drawn(x, masks, worlds.songs.notions[rows], worlds.songs.clear[rows], worlds.numbers[rows])
        if not photos:
            return drawn
        return Drawn(*(torch.cat(parts) for parts in zip(drawn, self._photos(rng, g, photos), strict=True)))

    def _photos(self, rng: np.random.Generator, g: torch.Generator, n: int) -> Drawn:
        assert self._recorded is not None
        photos, pairing = self._groups[int(rng.integers(len(self._groups)))]
        kinds = pairing.draw(rng, n)[:, 0]
        heard = torch.from_numpy(pairing.hear(rng, kinds))
        x = photos.views(pairing.look(rng, kinds), g, self._size)
        whole = torch.ones(n, self._size // 4, self._size // 4)
        behind = torch.full((n, self.worlds.numbers.shape[1]), torch.nan)
        return Drawn(x, whole, self._recorded.notions[heard], self._recorded.clear[heard], behind)


def teach_to_sing(model: Singing, every: Songs, out: Path, run: SingRun) -> None:
    """Let it learn which note comes next; resumes after a kill."""
    told = (every.notions[every.sung] - model.usual) / model.varied
    notes_, count = model.standard(every.notes[every.sung]), every.count[every.sung]
    who = nn.ModuleList([model.enter, model.memory, model.say])

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        rows = torch.randint(len(told), (run.songs,), generator=g)
        notion = told[rows]
        notion = notion + BLUR * torch.rand(len(rows), 1, generator=g) * torch.randn(notion.shape, generator=g)
        song = notes_[rows] + MOVED * torch.randn(notes_[rows].shape, generator=g)
        return {"nats": model.loss(song, count[rows], notion)}

    fit(who, loss, LoopConfig(run.song_steps, 3e-3, ema=0.995, seed=run.seed), out / "sing")


def teach_to_look(model: Singing, glances: Glances, out: Path, run: SingRun) -> None:
    """Let the eyes that look closer learn what a song is going to be like; resumes after a kill."""
    model.eyes.to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]
    behind = nn.Linear(2 * model.config.width, glances.worlds.numbers.shape[1])
    nn.init.zeros_(behind.weight)
    who = nn.ModuleList([model.eyes, model.tell, model.answer, behind])

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        drawn = glances.draw(np.random.default_rng([run.seed, 61, step]), g, run.glances)
        with torch.autocast("cpu", torch.bfloat16):  # more than twice as fast where the processor knows how
            seen = model.seen(drawn.pixels.contiguous(memory_format=torch.channels_last), drawn.masks)
        seen = seen.float()
        told, sings, known = model.answer(seen), drawn.notion.isfinite().all(1), drawn.numbers.isfinite()
        return {
            "notion": F.smooth_l1_loss(told[sings, :-1], ((drawn.notion - model.usual) / model.varied)[sings]),
            "numbers": 2 * (behind(seen) - drawn.numbers)[known].square().mean(),
            "clear": 0.3 * F.binary_cross_entropy_with_logits(told[:, -1], drawn.clear),
        }

    groups: list[dict[str, object]] = [
        {"params": list(model.eyes.parameters()), "lr": 6e-4},
        {"params": [p for part in (model.tell, model.answer, behind) for p in part.parameters()], "lr": 1e-3},
    ]
    fit(who, loss, LoopConfig(run.look_steps, 1e-3, ema=0.995, seed=run.seed), out / "look", groups=groups)


def teach_to_outline(model: Singing, places: Places, out: Path, run: SingRun) -> None:
    """Let it learn what belongs to a point, from any point of a thing; resumes after a kill."""
    clear = torch.nonzero(places.masks.flatten(1).amax(1) >= 0.5)[:, 0]
    if not len(clear):
        raise InputError("Nothing in these worlds is as large as a patch; make one with `synesthesia world birds`.")

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        rows = clear[torch.randint(len(clear), (run.glances,), generator=g)]
        masks, dense = places.masks[rows].float(), places.patches[places.picture[rows]].float()
        spot = torch.multinomial(masks.flatten(1).square() + 1e-9, 1, generator=g)[:, 0]
        size = torch.tensor([masks.shape[2], masks.shape[1]])
        point = (torch.stack([spot % size[0], spot // size[0]], 1) + torch.rand(len(rows), 2, generator=g)) / size
        said = model.outline(dense, point)
        share = said.sigmoid()
        overlap = 2 * (share * masks).sum((1, 2)) / (share.sum((1, 2)) + masks.sum((1, 2)))
        return {"patches": F.binary_cross_entropy_with_logits(said, masks), "overlap": 0.3 * (1 - overlap).mean()}

    fit(model.outline, loss, LoopConfig(run.outline_steps, 2e-3, ema=0.99, seed=run.seed), out / "outline")


def train(shards_: Path, hearing: str | Path, out: Path, worlds: Sequence[Path], run: SingRun | None = None) -> Path:
    """Teach a hearing model to sing; what it had learned stays as it is. Leaves `out`/final; resumes after a kill.

    `worlds` are folders of `synesthesia world birds` or `scenes`. Raises InputError for folders without them.
    """
    run = run or SingRun()
    torch.manual_seed(run.seed)
    model = Hearing.load(hearing)
    # They begin as the eyes that see the whole picture, less what those have of more than one block at the coarsest.
    tower = model.locator.eyes.tower
    assert isinstance(tower, EyesTower)
    eyes, config = tower.eyes, SingingConfig()
    blocks = (*eyes.config.blocks[:3], config.eyes.blocks[3])
    model.singing = singing = Singing(
        replace(
            config,
            eyes=replace(eyes.config, size=config.eyes.size, blocks=blocks),
            patches=model.locator.eyes.dense.width,
        )
    )
    fewer = singing.eyes.state_dict()
    singing.eyes.load_state_dict({k: v for k, v in eyes.state_dict().items() if k in fewer})
    known = read_singers(worlds, out / "worlds.safetensors")
    glances = Glances(known, read(shards_, "train"), singing, run)
    teach_to_sing(singing, known.songs, out, run)
    teach_to_outline(singing, read_places(worlds, model.locator.eyes, out / "places.safetensors"), out, run)
    teach_to_look(singing, glances, out, run)
    model.config = replace(model.config, singing=singing.config)
    return model.eval().save(out / "final")
