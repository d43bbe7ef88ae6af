"""How the closer look of `hear/tiny` is trained: on worlds in which what is seen and what is heard occurred together,
and on photos and recordings paired by kind.

What belongs to a point is learned first, from what is seen of whole pictures, and where the horizon is, at a glance at
them. Then the eyes that look closer learn to tell from what was cut out of pictures, by masks and by clicks, how its
song is on the whole, how its noise is, and how much of its sound is the one and the other. Beside things also the
ground between them was clicked, where nothing sings. Last who sings learns notes that follow one another, given what
these eyes tell of a song. Nobody tells what anything is called.

A song or a noise that was measured once is a noisy teacher. As far as a world says which numbers its sounds were made
of, what is to be expected of these is learned from sounds alone, and that is what the eyes learn to tell; and beside it
the numbers themselves. What tells those, and what knew what to expect, is thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..bridges.hearing import Hearing
from ..bridges.singing import NOTION, PLACE, WHOLE, Cut, Singing, SingingConfig
from ..codecs import textures
from ..encoders.base import PatchEncoder
from ..encoders.vision import EyesTower
from ..senses import InputError
from .hear_data import NONE, SIDES, SILENT, Lessons, Pairing, read
from .loop import LoopConfig, fit, quick
from .sing_data import (
    CLICKS,
    MOST,
    NOISY,
    Places,
    Singers,
    Songs,
    clicked,
    clicked_photos,
    glanced,
    joined,
    looked_closer,
    read_places,
    read_singers,
    recorded,
    some_of,
    viewed,
    whole,
)

if TYPE_CHECKING:
    from jaxtyping import Float

CLICKED = 0.5  # of the larger photos are shown as they were clicked
SHARES = (0.55, 0.32, 0.13)  # of what sings, of what else sounds, and of the ground, among the places in worlds
SORTED, SORTED_PHOTOS = 256, 0.4  # places at a time for who sorts sounds, and the share of photos
MOST_SORTED = 12_000  # places in worlds, all of which are looked at as wholes as well
CLOSE_UPS = 0.3  # of the places in worlds are shown to who sorts sounds as if they were whole pictures
SILENT_PHOTOS = 0.2  # of the photos are of what makes no sound
BELIEVED = 0.75  # of the songs are learned from what the eyes tell of them, the others from what is true …
BLUR = 0.4  # … as if it was not quite: deviations of a notion, at most
MOVED = 0.02  # deviations of a note


@dataclass(frozen=True)
class SingRun:
    """Everything that a run is. Steps count batches of `songs`, then of `glances`, of which the share `photos` are
    photos (paired by kind) and the rest places in worlds; those of who sorts, of `SORTED` places, and of what knows
    what to expect, of `SORTED` sounds."""

    song_steps: int = 2500
    expect_steps: int = 1500
    glance_steps: int = 1500
    look_steps: int = 2400
    outline_steps: int = 3500
    sort_steps: int = 2500
    songs: int = 128
    glances: int = 64
    photos: float = 0.2
    seed: int = 0


class Meant(NamedTuple):
    """What is true of places: the notions of their songs in the units of `codecs.notes` (NaN where nothing sings), how
    clear these are; their textures (NaN where there are none, or as far as nothing is known of them) and how much is
    noise; the numbers behind them, and where the horizon is (NaN where there are none)."""

    notion: torch.Tensor
    clear: torch.Tensor
    texture: torch.Tensor
    noise: torch.Tensor
    numbers: torch.Tensor
    horizon: torch.Tensor


class Teachers(NamedTuple):
    """Of each song of worlds what the eyes are taught: a notion and a texture (NaN where there is none)."""

    notion: Float[torch.Tensor, "songs notion"]
    texture: Float[torch.Tensor, "songs width"]


class Chosen(NamedTuple):
    """Rows of places in worlds, and of photos of one of the groups; what is true of both."""

    worlds: torch.Tensor
    group: int
    photos: torch.Tensor
    meant: Meant


class Drawn(NamedTuple):
    """What is asked about, as it was cut out, and what is true of it."""

    cuts: Cut
    meant: Meant


class Glances:
    """Places in worlds and photos, with the songs that belong to them."""

    def __init__(
        self,
        worlds: Singers,
        lessons: Lessons,
        model: Singing,
        run: SingRun,
        clicks: tuple[Cut, torch.Tensor] | None = None,
    ) -> None:
        """`clicks` are those of `clicked_photos` at the larger photos."""
        self.clicks, self._run, self._size = clicks, run, model.config.eyes.size
        self.teachers = Teachers(worlds.songs.notions, worlds.songs.noisy)
        self.photos = tuple(photos for photos in lessons.photos if len(photos))
        self._groups = [Pairing(lessons.sounds, photos) for photos in self.photos]
        self._recorded = recorded(lessons.sounds) if self._groups else None
        self._in(worlds)

    def _in(self, worlds: Singers) -> None:
        self.worlds, every = worlds, worlds.songs
        ground, sings = worlds.row == NONE, every.sung[worlds.row.clamp_min(0)]
        self._sorts = [np.flatnonzero(some.numpy()) for some in (sings & ~ground, ~sings & ~ground, ground)]
        shares = np.array([share * (len(sort) > 0) for share, sort in zip(SHARES, self._sorts, strict=True)])
        self._shares = shares / shares.sum()

    def fewer(self, most: int) -> Glances:
        """The same with so many of the places in worlds, at most."""
        some = copy(self)
        some._in(self.worlds.some(most))
        return some

    def choose(self, rng: np.random.Generator, n: int, share: float) -> Chosen:
        """n places, of which that share are photos."""
        photos, worlds = round(share * n) if self._groups else 0, self.worlds
        which = rng.choice(len(SHARES), n - photos, p=self._shares)
        at = torch.from_numpy(np.array([rng.choice(self._sorts[sort]) for sort in which]))
        row = worlds.row[at]

        def told(values: torch.Tensor, nothing: float) -> torch.Tensor:
            found = values[row.clamp_min(0)].clone()
            found[row == NONE] = nothing
            return found

        songs, nan = worlds.songs, torch.nan
        there = Meant(
            told(self.teachers.notion, nan),
            told(songs.clear, 0.0),
            told(self.teachers.texture, nan),
            told(songs.noise, 0.0),
            told(worlds.numbers, nan),
            worlds.horizon[at],
        )
        if not photos:
            return Chosen(at, 0, torch.zeros(0, dtype=torch.int64), there)
        group, looked, paired = self._photos(rng, photos)
        return Chosen(at, group, looked, Meant(*(torch.cat(parts) for parts in zip(there, paired, strict=True))))

    def _photos(self, rng: np.random.Generator, n: int) -> tuple[int, torch.Tensor, Meant]:
        assert self._recorded is not None
        group = int(rng.integers(len(self._groups)))
        photos, pairing = self.photos[group], self._groups[group]
        kinds = pairing.draw(rng, n)[:, 0]
        heard = torch.from_numpy(pairing.hear(rng, kinds))
        looked = pairing.look(rng, kinds)
        silent = rng.random(n) < SILENT_PHOTOS * (photos.kind == SILENT).any()
        if silent.any():
            looked[silent] = pairing.silent(rng, int(silent.sum()))
        songs, nan = self._recorded, torch.nan
        behind = torch.full((n, self.worlds.numbers.shape[1]), nan)
        told = [values[heard].clone() for values in (songs.notions, songs.clear, songs.noisy, songs.noise)]
        for values, nothing in zip(told, (nan, 0.0, nan, 0.0), strict=True):
            values[torch.from_numpy(silent)] = nothing
        told[2][:, textures.LEVEL] = nan  # how loud a recording of a kind is says nothing about a photo
        return group, torch.from_numpy(looked), Meant(*told, behind, torch.full((n,), nan))

    def clicked(self, group: int) -> bool:
        """Whether photos of this group were clicked."""
        return self.clicks is not None and self.photos[group].pixels.shape[1] == SIDES[0]

    def draw(self, rng: np.random.Generator, g: torch.Generator, n: int) -> Drawn:
        """n places as they might have been seen: those of worlds, then photos."""
        chosen = self.choose(rng, n, self._run.photos)
        sings = chosen.meant.notion[: len(chosen.worlds)].isfinite().all(1)
        cuts = viewed(some_of(self.worlds.cuts, chosen.worlds), g, self._size, sings)
        return Drawn(joined(cuts, self._shown(chosen, g)) if len(chosen.photos) else cuts, chosen.meant)

    def _shown(self, chosen: Chosen, g: torch.Generator) -> Cut:
        n = len(chosen.photos)
        x = self.photos[chosen.group].views(chosen.photos.numpy(), g, self._size)
        masks, nowhere = torch.ones(n, self._size // 4, self._size // 4), torch.zeros(n, PLACE)
        cuts = Cut(x, masks, nowhere, torch.zeros(n, 4, WHOLE, WHOLE))
        if self.clicks is not None and self.clicked(chosen.group):
            some = torch.nonzero(torch.rand(n, generator=g) < CLICKED)[:, 0]
            at = (chosen.photos * CLICKS + torch.randint(CLICKS, (n,), generator=g))[some]
            if len(some):
                for part, seen in zip(cuts, viewed(some_of(self.clicks[0], at), g, self._size), strict=True):
                    part[some] = seen
        return cuts


def measure(model: Singing, every: Songs) -> None:
    """Let it know the mean and the spread of all notes, notions and textures, in whose units it tells them."""
    there = torch.arange(MOST) < (every.count * every.sung)[:, None]
    known, told = every.notes[there], every.notions[every.sung]
    if len(told) < 2:
        raise InputError("Nothing sings in these worlds; make one with `synesthesia world birds`.")
    model.middle.copy_(known.mean(0))
    model.spread.copy_(known.std(0).clamp_min(0.05))
    model.usual.copy_(told.mean(0))
    model.varied.copy_(told.std(0).clamp_min(0.02))
    noisy = every.texture[every.noise >= NOISY]
    if len(noisy) > 1:
        model.plain.copy_(noisy.mean(0))
        model.various.copy_(noisy.std(0).clamp_min(0.02))


def teach_to_sing(model: Singing, worlds: Singers, out: Path, run: SingRun) -> None:
    """Let it learn which note comes next; resumes after a kill.

    It is mostly given what the eyes tell of a place, not what is true: so it learns how far to believe them, number by
    number, and sings what is to be expected where they are vague.
    """
    songs, sung = worlds.songs, worlds.songs.sung
    true = (songs.notions - model.usual) / model.varied
    notes_ = model.standard(songs.notes)
    there = torch.nonzero((worlds.row != NONE) & sung[worlds.row.clamp_min(0)])[:, 0]
    seen = looked_closer(model, some_of(worlds.cuts, there))
    with torch.inference_mode():
        told = model.answer(seen.float())
    row = worlds.row[there]
    who = nn.ModuleList([model.enter, model.memory, model.say])

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        at = torch.randint(len(there), (run.songs,), generator=g)
        rows = row[at]
        blurred = true[rows] + BLUR * torch.rand(len(at), 1, generator=g) * torch.randn(run.songs, NOTION, generator=g)
        notion = torch.where(torch.rand(len(at), 1, generator=g) < BELIEVED, told[at], blurred)
        song = notes_[rows] + MOVED * torch.randn(notes_[rows].shape, generator=g)
        return {"nats": model.loss(song, songs.count[rows], notion)}

    fit(who, loss, LoopConfig(run.song_steps, 3e-3, ema=0.995, seed=run.seed), out / "sing")


def teach_to_expect(model: Singing, worlds: Singers, out: Path, run: SingRun) -> Teachers:
    """What is to be expected of each sound of worlds by the numbers that it was made of, learned from sounds alone; as
    it was measured where there are no numbers. Resumes after a kill.
    """
    numbers, songs = worlds.made_of, worlds.songs
    known = torch.cat([numbers.nan_to_num(), numbers.isfinite().float()], 1)  # which there are says what it is
    notion, texture = (songs.notions - model.usual) / model.varied, (songs.noisy - model.plain) / model.various
    told = numbers.isfinite().any(1)
    sings, rushes = (torch.nonzero(told & x.isfinite().all(1))[:, 0] for x in (notion, texture))
    wide = model.config.width // 4  # few sounds of a kind are known, and a smooth mean is what is asked for
    who = nn.Sequential(
        nn.Linear(known.shape[1], wide), nn.SiLU(), nn.Linear(wide, wide), nn.SiLU(),
        nn.Linear(wide, NOTION + textures.WIDTH),
    )  # fmt: skip

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        off = {}
        for name, rows, true, part in (
            ("notion", sings, notion, slice(NOTION)),
            ("texture", rushes, texture, slice(NOTION, None)),
        ):
            if len(rows):
                some = rows[torch.randint(len(rows), (SORTED,), generator=g)]
                off[name] = F.mse_loss(who(known[some])[:, part], true[some])
        return off

    fit(who, loss, LoopConfig(run.expect_steps, 3e-3, weight_decay=0.1, ema=0.99, seed=run.seed), out / "expect")
    with torch.inference_mode():
        expected = who(known)
    taught = Teachers(songs.notions.clone(), songs.noisy.clone())
    taught.notion[sings] = expected[sings, :NOTION] * model.varied + model.usual
    taught.texture[rushes] = expected[rushes, NOTION:] * model.various + model.plain
    return taught


def teach_to_glance(model: Singing, worlds: Singers, out: Path, run: SingRun) -> None:
    """Let a glance at the whole picture learn where the horizon is; resumes after a kill.

    Asked only for what a place sounds like, it hardly finds out: 2,000 steps of that told how far fires are a little
    better, while whoever knows the horizon tells it well.
    """
    there = torch.nonzero(worlds.horizon.isfinite())[:, 0]
    if not len(there):
        return
    tell = nn.Linear(model.overview.rows.out_features, 2)

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        at = there[torch.randint(len(there), (run.glances,), generator=g)]
        cuts = some_of(worlds.cuts, at)
        return {"horizon": _below(tell(model.overview(glanced(cuts.whole, g))), cuts.place, worlds.horizon[at])}

    fit(
        nn.ModuleList([model.overview, tell]),
        loss,
        LoopConfig(run.glance_steps, 3e-3, ema=0.99, seed=run.seed),
        out / "glance",
    )


def teach_to_look(model: Singing, glances: Glances, out: Path, run: SingRun) -> None:
    """Let the eyes that look closer learn what a song and what noise is going to be like; resumes after a kill."""
    model.eyes.to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]
    wide = 2 * model.config.width
    behind, rough = nn.Linear(wide, glances.worlds.numbers.shape[1]), nn.Linear(wide, 2)
    below = nn.Linear(model.overview.rows.out_features, 2)
    nn.init.zeros_(behind.weight)
    told_by = [model.tell, model.overview, model.where, model.both, model.answer, model.weave, rough, behind, below]
    who = nn.ModuleList([model.eyes, *told_by])

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        drawn = glances.draw(np.random.default_rng([run.seed, 61, step]), g, run.glances)
        pixels = drawn.cuts.pixels.contiguous(memory_format=torch.channels_last)
        with quick():
            seen = model.seen(*drawn.cuts._replace(pixels=pixels))
        seen, meant = seen.float(), drawn.meant
        sings, known = meant.notion.isfinite().all(1), meant.numbers.isfinite()
        off = (behind(seen) - meant.numbers.nan_to_num()).square()
        return {
            "notion": _away(model.answer(seen[sings]), ((meant.notion - model.usual) / model.varied)[sings]),
            "numbers": 2 * ((off * known).sum(1) / known.sum(1).clamp_min(1)).sum() / known.any(1).sum().clamp_min(1),
            "texture": _off(model.weave(seen), meant, model),
            "horizon": 2 * _below(below(model.overview(drawn.cuts.whole)), drawn.cuts.place, meant.horizon),
        } | _sorted(rough(seen), meant)

    groups: list[dict[str, object]] = [
        {"params": list(model.eyes.parameters()), "lr": 6e-4},
        {"params": [p for part in told_by for p in part.parameters()], "lr": 1e-3},
    ]
    fit(who, loss, LoopConfig(run.look_steps, 1e-3, ema=0.995, seed=run.seed), out / "look", groups=groups)


def teach_to_sort(model: Singing, glances: Glances, eyes: PatchEncoder, out: Path, run: SingRun) -> None:
    """Let it learn, from what either eyes see, how much of a sound is notes and how much noise; resumes after a kill.

    No eyes learn here: photos are few, and the eyes that see the whole know more of them.
    """
    worlds, clicks, size = glances.worlds, glances.clicks, model.config.eyes.size
    model.eval()

    def both(cuts: Cut, around: torch.Tensor) -> torch.Tensor:
        return torch.cat([looked_closer(model, cuts), around], 1)

    def everything(n: int) -> torch.Tensor:
        return torch.full((n, size // 4, size // 4), 255, dtype=torch.uint8)

    # A thing may also fill a picture: then who sees the whole sees nothing but the thing.
    cuts = worlds.cuts
    *known, close = whole([*(p.pixels for p in glances.photos), cuts.pixels], eyes, out / "whole.safetensors")
    alone = cuts._replace(place=torch.zeros_like(cuts.place))
    there = torch.stack([
        both(cuts, worlds.around),
        both(alone, close),
        both(alone._replace(share=everything(len(close))), close),
    ])  # fmt: skip
    photos = []
    for some, around in zip(glances.photos, known, strict=True):
        n = len(some)
        nowhere = Cut(some.pixels, everything(n), torch.zeros(n, PLACE), torch.zeros(n, WHOLE, WHOLE, 4).byte())
        photos.append(both(nowhere, around))
    at_clicks = None if clicks is None else both(*clicks)

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        chosen = glances.choose(np.random.default_rng([run.seed, 62, step]), SORTED, SORTED_PHOTOS)
        n = len(chosen.worlds)
        shown = (torch.rand(n, generator=g) < CLOSE_UPS) * torch.randint(1, 3, (n,), generator=g)
        parts = [there[shown, chosen.worlds]]
        if len(chosen.photos):
            parts.append(photos[chosen.group][chosen.photos])
            if at_clicks is not None and glances.clicked(chosen.group):
                some = torch.rand(len(chosen.photos), generator=g) < CLICKED
                at = chosen.photos * CLICKS + torch.randint(CLICKS, some.shape, generator=g)
                parts[1] = torch.where(some[:, None], at_clicks[at], parts[1])
        return _sorted(model.sort(torch.cat(parts).float()), chosen.meant)

    fit(model.sort, loss, LoopConfig(run.sort_steps, 1e-3, ema=0.995, seed=run.seed), out / "sort")


def _sorted(told: torch.Tensor, meant: Meant) -> dict[str, torch.Tensor]:
    cross = F.binary_cross_entropy_with_logits
    return {"clear": 0.3 * cross(told[:, 0], meant.clear), "noise": 0.3 * cross(told[:, 1], meant.noise)}


def _below(told: torch.Tensor, place: torch.Tensor, horizon: torch.Tensor) -> torch.Tensor:
    """How far off is told where the horizon is and how far below it a thing ends, where both are known."""
    known = horizon.isfinite() & (place[:, 0] > 0)
    end = (place[:, 4] + 1) / 2
    true = torch.stack([(horizon - 0.45) / 0.1, (end - horizon - 0.2) / 0.2], 1)
    return _away(told, torch.where(known[:, None], true, torch.nan))


def _off(texture: torch.Tensor, meant: Meant, model: Singing) -> torch.Tensor:
    """How far off textures are. Each part counts alike: the level is one number, the movement many."""
    rushes = meant.texture.isfinite().any(1)
    true = (meant.texture - model.plain) / model.various
    parts = zip(*(part[rushes].split(textures.PARTS, dim=1) for part in (texture, true)), strict=True)
    return torch.stack([_away(*part) for part in parts]).mean()


def _away(told: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """How far off, for each number that is known (the others are NaN); nothing where there is nothing to tell."""
    known = true.isfinite()
    return F.smooth_l1_loss(told[known], true[known], reduction="sum") / known.sum().clamp_min(1)


def teach_to_outline(model: Singing, places: Places, out: Path, run: SingRun) -> None:
    """Let it learn what belongs to a point, from any point of a thing; resumes after a kill."""
    clear = torch.nonzero(places.masks.flatten(1).amax(1) >= 0.5)[:, 0]
    if not len(clear):
        raise InputError("Nothing in these worlds is as large as a patch; make one with `synesthesia world birds`.")

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        rows = clear[torch.randint(len(clear), (run.glances,), generator=g)]
        masks, at = places.masks[rows].float(), places.picture[rows]
        dense, fine = places.patches[at].float(), [x[at].float() for x in places.fine]
        spot = torch.multinomial(masks.flatten(1).square() + 1e-9, 1, generator=g)[:, 0]
        size = torch.tensor([masks.shape[2], masks.shape[1]])
        point = (torch.stack([spot % size[0], spot // size[0]], 1) + torch.rand(len(rows), 2, generator=g)) / size
        with quick():
            said = model.outline(dense, fine, point).float()
        share = said.sigmoid()
        overlap = 2 * (share * masks).sum((1, 2)) / (share.sum((1, 2)) + masks.sum((1, 2)))
        return {"cells": F.binary_cross_entropy_with_logits(said, masks), "overlap": 0.3 * (1 - overlap).mean()}

    fit(model.outline, loss, LoopConfig(run.outline_steps, 2e-3, ema=0.99, seed=run.seed), out / "outline")


def _beginner(model: Hearing) -> Singing:
    """One whose eyes begin as those that see the whole picture, less what these have of more than one block at the
    coarsest stride."""
    tower, config = model.locator.eyes.tower, SingingConfig()
    assert isinstance(tower, EyesTower)
    eyes = tower.eyes
    blocks = (*eyes.config.blocks[:3], config.eyes.blocks[3])
    looks = replace(eyes.config, size=config.eyes.size, blocks=blocks)
    singing = Singing(replace(config, eyes=looks, patches=model.locator.eyes.dense.width, fine=tower.fine))
    fewer = singing.eyes.state_dict()
    singing.eyes.load_state_dict({k: v for k, v in eyes.state_dict().items() if k in fewer})
    return singing


def train(shards_: Path, hearing: str | Path, out: Path, worlds: Sequence[Path], run: SingRun | None = None) -> Path:
    """Teach a hearing model to sing, or go on teaching one that does; what else it had learned stays as it is.
    Leaves `out`/final; resumes after a kill.

    `worlds` are folders of `synesthesia world birds` or `scenes`. Raises InputError for folders without them.
    """
    run = run or SingRun()
    torch.manual_seed(run.seed)
    model = Hearing.load(hearing)
    begins = model.singing is None
    model.singing = singing = model.singing or _beginner(model)
    lessons, seeing = read(shards_, "train"), model.locator.eyes
    known = read_singers(worlds, seeing, out / "worlds.safetensors")
    if begins:
        measure(singing, known.songs)
    teach_to_outline(singing, read_places(worlds, seeing, out / "places.safetensors"), out, run)
    known = clicked(known, worlds, singing, seeing, out / "clicks.safetensors")
    larger = next(photos for photos in lessons.photos if photos.pixels.shape[1] == SIDES[0])
    clicks = clicked_photos(larger, singing, seeing, out / "photos.safetensors") if len(larger) else None
    glances = Glances(known, lessons, singing, run, clicks)
    glances.teachers = teach_to_expect(singing, known, out, run)
    teach_to_glance(singing, known, out, run)
    teach_to_look(singing, glances, out, run)
    teach_to_sing(singing, known, out, run)
    teach_to_sort(singing, glances.fewer(MOST_SORTED), seeing, out, run)
    model.config = replace(model.config, singing=singing.config)
    return model.eval().save(out / "final")
