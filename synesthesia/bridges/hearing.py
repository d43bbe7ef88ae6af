"""Hearing a picture: a place in it → its sound; all of it → a scene of stems over a bed.

`Hearing` is the mapper with what it stands on: a locator, whose eyes see the patches and whose grounding says what
sounds at all, and a voice, which makes sound of the mapper's latents. Nothing on the way reads or writes a word. What
sings or rushes is looked at again, closer, and sung note by note or woven as a texture (`singing`); the rest is the
mapper's.

All sound of the mapper is made at one loudness (it learned from recordings brought to `LOUDNESS_DB`), that of a texture
is told by its look, and what the mapper makes is played as loud as that as far as it is expected to be noise; how loud
a part of a scene is follows besides from how much of the picture it takes. A soft limit on each part and gains that sum
to at most one keep the mix, which is their plain sum, from clipping, block by block and without knowing what comes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from .. import hub
from ..codecs import load_voice, notes, textures
from ..codecs.bands import Bands
from ..encoders.base import Patches
from ..senses import Image, InputError, Point, Region, Scene, Sound, Stem
from ..spaces import Features
from .grounding import Locator, Seen
from .heads import TOKENS
from .mapper import Condition, Mapper, MapperConfig
from .singing import MARGINS, Singing, SingingConfig, closer, pooled

if TYPE_CHECKING:
    from jaxtyping import Float

ELSEWHERE = ("locator.",)  # how the weights begin that another checkpoint holds
LOUDNESS_DB = -23.0  # RMS of the louder half of a training recording's frames, full scale
BED_DB = -12.0  # of the bed below a stem that fills the picture
KNEE, CEILING = 0.6, 0.89  # of full scale; where the limit bends, and where it ends: 1 dB is left to who resamples
MOST_LOUDER_DB = 15.0  # than it was made, or softer, may be what the mapper makes
LEAST_LEFT = 0.02  # of the picture; a smaller rest leads no bed
FADE_S = 0.5  # in which a loop's end becomes its beginning
JOIN_S = 0.05  # cross-fade from a given sound to what goes on from it
AHEAD = 128  # frames that are woven at a time
GRID = 56  # rows and columns on which regions are compared
GIVEN = 100  # frames of a given sound that tell its texture, at least

Spot = Point | Region


@dataclass(frozen=True)
class HearingConfig:
    """`locator`, `voice`: a name, a folder or hf:user/repo@commit. `steps`, `guidance`: the mapper's, see
    `Mapper.stream`.

    A place whose patches sound with less than `sure` (in [0, 1]) is given ambience instead of a guess. Without
    `singing` everything is the mapper's; it needs the voice `bands`.
    """

    locator: str
    mapper: MapperConfig
    singing: SingingConfig | None = None
    steps: int = 4
    guidance: float = 3.0
    sure: float = 0.5
    voice: str = "bands"


@dataclass(frozen=True, eq=False)
class View:
    """A picture that was looked at once."""

    image: Image
    patches: Patches
    seen: Seen


@dataclass(frozen=True, eq=False)
class Focus:
    """What a click, a box or a mask led to: the part of the picture that is heard, and how surely it sounds.

    `tokens` lead the mapper; None where nothing is made of it. Instead `notion` leads the singer where notes are heard,
    or a `texture` (see `codecs.textures`) is woven where it is noise. `louder_db` is how much louder than it makes them
    the sounds of the mapper are played.
    """

    region: Region
    confidence: float
    tokens: torch.Tensor | None
    notion: torch.Tensor | None = None
    texture: np.ndarray | None = None
    louder_db: float = 0.0


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be heard of a picture: places, what leads the bed (None: no bed), their levels (the bed's last).

    Each part has a seed of its own, counted from `seed`.
    """

    foci: tuple[Focus, ...]
    bed: torch.Tensor | None
    levels: tuple[float, ...]
    seed: int


class Hearing(nn.Module):
    """`hear/tiny` and its kin."""

    ambience: torch.Tensor

    def __init__(self, config: HearingConfig, locator: Locator, *, yes: bool = False) -> None:
        """`yes` agrees to the download of the voice."""
        super().__init__()
        self.config = config
        self.locator = locator.requires_grad_(False)
        self.mapper = Mapper(config.mapper)
        self.singing = None if config.singing is None else Singing(config.singing)
        self.voice = load_voice(config.voice, device="cpu", yes=yes)
        if self.singing is not None and self.voice.space != Bands.space:
            raise InputError(f"What sings or rushes is made with the voice bands, not with {config.voice}.")
        if config.mapper.source != locator.eyes.dense or config.mapper.target != self.voice.space:
            raise InputError(
                f"The mapper reads {config.mapper.source.name} and writes {config.mapper.target.name}; its locator "
                f"sees {locator.eyes.dense.name} and its voice speaks {self.voice.space.name}."
            )
        # What leads the sound where nothing is known to sound: the mean condition of quiet pictures.
        self.register_buffer("ambience", torch.zeros(TOKENS, config.mapper.width))

    # --- checkpoints ---

    @classmethod
    def load(cls, reference: str | Path, *, yes: bool = False) -> Hearing:
        """A checkpoint (see `hub.load_model`) with the locator that it names, ready to use."""
        config, tensors = hub.load_model(reference, yes=yes)
        try:
            told = dict(config["model"])
            mapper, singing = MapperConfig.from_dict(told.pop("mapper")), told.pop("singing", None)
            sings = None if singing is None else SingingConfig.from_dict(singing)
            whole = HearingConfig(mapper=mapper, singing=sings, **told)
            model = cls(whole, Locator.load(told["locator"], yes=yes), yes=yes)
            hub.fill(model, tensors, reference, ELSEWHERE)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{reference} is not a hearing model: {str(error).splitlines()[0]}") from error
        return model.eval()

    def save(self, folder: str | Path, card: hub.Card | None = None) -> Path:
        """Write a checkpoint folder in half precision; the locator stays where it is."""
        return hub.save_model(folder, {"model": asdict(self.config)}, hub.halved(self, ELSEWHERE), card)

    # --- looking ---

    @torch.inference_mode()
    def see(self, images: Sequence[Image]) -> list[View]:
        """Encode pictures, each once; any number of places can be heard afterwards."""
        patches = self.locator.eyes.see(images)
        seen = [self.locator.recognise(image, p) for image, p in zip(images, patches, strict=True)]
        return [View(*parts) for parts in zip(images, patches, seen, strict=True)]

    @torch.inference_mode()
    def focus(self, view: View, spot: Spot) -> Focus:
        """Look at a place: what belongs to a point is found by attention; a box or a mask is taken as it is."""
        mask = point = None
        if isinstance(spot, Region):
            share = spot.on(view.patches.rows, view.patches.columns)
            if not share.any():
                raise InputError("The mask is empty at the resolution of the eyes: it marks no patch of the picture.")
            mask = torch.from_numpy(share)[None]
        else:
            point = torch.tensor([[spot.x, spot.y]], dtype=torch.float32)
        dense = Features(view.patches.dense.values[None], view.patches.dense.space)
        condition = self.mapper.look(dense, mask, point)
        weights = condition.weights[0].double().numpy()
        region = spot if isinstance(spot, Region) else Region(np.minimum(weights / weights.max(), 1.0))
        plain = Focus(region, _sounding(view, weights), condition.tokens[0])
        if self.singing is None:
            return plain
        patches = torch.from_numpy(view.patches.dense.values)
        thing = region
        if isinstance(spot, Point):
            thing = self.singing.around(patches, view.seen.sight.fine, spot, view.image)
        # The closer look has met ground between things and photos of what makes no sound, and is believed.
        c = self.singing.config
        cuts = [closer(view.image, thing, c.eyes.size, margin) for margin in MARGINS]
        told = self.singing.look(cuts, pooled(patches, thing))
        clear, noise = float(told.clear.sigmoid()), float(told.noise.sigmoid())
        sounding = max(_sounding(view, thing.on(*view.seen.sounding.shape)), clear, noise)
        found = Focus(thing, sounding, condition.tokens[0])
        if clear >= c.clear:
            return dataclasses.replace(found, notion=told.notion[0])
        texture = self.singing.texture(told.texture[0])
        if noise >= c.noisy:
            return dataclasses.replace(found, texture=texture)
        louder = noise * (10 * float(texture[textures.LEVEL]) - LOUDNESS_DB)
        return dataclasses.replace(plain, louder_db=min(max(louder, -MOST_LOUDER_DB), MOST_LOUDER_DB))

    def patches(self, images: Sequence[Image], regions: Sequence[Region]) -> Float[np.ndarray, "n width"]:
        """What the eyes say about a region of each picture: the mean over its patches. For baselines."""
        out = []
        for view, region in zip(self.see(images), regions, strict=True):
            share = region.on(view.patches.rows, view.patches.columns)[..., None]
            out.append((view.patches.dense.values * share).sum((0, 1)) / share.sum())
        return np.stack(out)

    def _part(self, view: View, piece: Region) -> Focus:
        """A piece of a picture that sounds. What the closer look knows is outlined as if its inmost point had been
        clicked, since a piece is made of whole patches; anything else is heard as the piece that it is.
        """
        if self.singing is not None:
            click = self.focus(view, _inmost(piece, view))
            if click.notion is not None or click.texture is not None:
                return click
        return self.focus(view, piece)

    # --- sounding ---

    def sure(self, focus: Focus) -> bool:
        """Whether what is there sounds, as far as the model can tell."""
        return focus.confidence >= self.config.sure

    def plan(self, view: View, spot: Spot | None, seed: int) -> Plan:
        """What is to be heard: one place at full level, or every sounding part of the picture over what is left."""
        if spot is not None:
            focus = self.focus(view, spot)
            if self.sure(focus):
                return Plan((focus,), None, (1.0, 0.0), seed)
            return Plan((dataclasses.replace(focus, tokens=None),), self.ambience, (0.0, 1.0), seed)
        found: list[Focus] = []
        for piece, _ in self.locator.regions(view.seen):
            f = self._part(view, piece)
            if self.sure(f) and not any(_same(f.region, other.region) for other in found):
                found.append(f)
        left = np.ones((view.patches.rows, view.patches.columns), np.float32)
        for f in found:
            left = np.minimum(left, 1 - f.region.on(*left.shape))
        bed = self.focus(view, Region(left)).tokens if left.mean() > LEAST_LEFT else None
        return Plan(tuple(found), self.ambience if bed is None else bed, gains([f.region.area for f in found]), seed)

    def blocks(self, plan: Plan, given: Sound | None = None) -> Iterator[Float[np.ndarray, "parts n"]]:
        """Blocks of sound for ever, one row for each focus of the plan and the last for the bed, at their levels.

        `given` is a sound to go on from. Joined they are what `scene` gives, sample by sample. The first comes after
        one block of latents and what the voice looks ahead.
        """
        songs: dict[int, notes.Player | Woven] = {
            row: self._player(lead, plan.seed + row, given) for row, lead in _sung(plan).items()
        }
        songs |= {
            row: Woven(_weaver(lead, plan.seed + row, given), plan.seed + row) for row, lead in _woven(plan).items()
        }
        for parts in self._led(plan, given):
            n = len(next(iter(parts.values()))) if parts else self.mapper.config.block * self.voice.hop
            yield _levelled(plan, parts | {row: song.take(n) for row, song in songs.items()}, n)

    def _led(self, plan: Plan, given: Sound | None) -> Iterator[dict[int, Float[np.ndarray, " n"]]]:
        """Blocks of what the mapper makes of a plan, by row; without rows for ever where it makes nothing of it."""
        led = voices(plan)
        if not led:
            yield from repeat({})
        past = None
        if given is not None:
            latents = self.voice.encode(given)
            past = Features(np.repeat(latents.values[None], len(led), 0), latents.space)
        c, seeds = self.config, [plan.seed + row for row in led]
        running = self.mapper.stream(_condition(led), seeds, steps=c.steps, guidance=c.guidance, given=past)
        decoders = [self.voice.decoder(seed) for seed in seeds]
        for block in running:
            parts = [d.push(Features(row, block.space)) for d, row in zip(decoders, block.values, strict=True)]
            if len(parts[0]):
                yield dict(zip(led, parts, strict=True))

    def _player(self, notion: torch.Tensor, seed: int, given: Sound | None = None) -> notes.Player:
        """Who sings; after a given song in its manner, if there were notes in it."""
        assert self.singing is not None
        heard = None if given is None else notes.listen(given)
        if heard is None or not len(heard.notes):
            return notes.Player(self.singing.sing(notion, seed), seed)
        return notes.Player(self.singing.sing(notion, seed, heard.notes), seed, begun=heard.since)

    def scene(self, view: View, plan: Plan, seconds: float, given: Sound | None = None) -> Scene:
        """So many seconds of what was planned."""
        n = round(seconds * self.voice.rate)
        parts, have = [], 0
        for block in self.blocks(plan, given):
            parts.append(block)
            have += block.shape[1]
            if have >= n:
                break
        return self._scene(view, plan, np.concatenate(parts, 1)[:, :n])

    def loop(self, view: View, plan: Plan, seconds: float) -> Scene:
        """One period of what was planned, which repeats without a seam: its end runs into its beginning."""
        fade = self.voice.frames(FADE_S)
        frames = max(2 * fade, self.voice.frames(seconds))
        n = frames * self.voice.hop
        parts = {}
        if led := voices(plan):
            c, seeds = self.config, [plan.seed + row for row in led]
            latents = self.mapper.generate(_condition(led), frames + fade, seeds, steps=c.steps, guidance=c.guidance)
            for row, values, seed in zip(led, latents.values, seeds, strict=True):
                period = _round(values, frames).astype(np.float32)
                parts[row] = self.voice.loop(Features(period, latents.space), seed).mono
        for row, texture in _woven(plan).items():
            values = _weaver(texture, plan.seed + row).take(frames + fade)
            period = _round(values, frames).astype(np.float32)
            parts[row] = self.voice.loop(Features(period, self.voice.space), plan.seed + row).mono
        for row, notion in _sung(plan).items():
            song = self._player(notion, plan.seed + row).take(n + fade * self.voice.hop)
            parts[row] = _round(song[:, None], n)[:, 0]
        return self._scene(view, plan, _levelled(plan, parts, n))

    def go_on(self, view: View, plan: Plan, given: Sound, seconds: float) -> Scene:
        """The given beginning, and so many seconds after it as the plan has it; a plan of one part."""
        from ..media import resample

        if not math.isclose(sum(level > 0 for level in plan.levels), 1):
            raise InputError("To go on from a sound, say which part of the picture it is the sound of.")
        begun = resample(Sound(given.mono[None], given.rate), self.voice.rate).mono
        join = min(round(JOIN_S * self.voice.rate), len(begun))
        scene = self.scene(view, plan, seconds + join / self.voice.rate, given)
        more = scene.mix.mono
        # Two sounds that do not know each other add in power.
        share = np.sin(0.5 * np.pi * (np.arange(join) + 0.5) / max(join, 1)).astype(np.float32)
        between = begun[len(begun) - join :] * share[::-1] + more[:join] * share
        whole = np.concatenate([begun[: len(begun) - join], between, more[join:]])
        rows = np.stack([whole * np.float32(level > 0) for level in plan.levels])
        return self._scene(view, plan, limited(rows))

    def _scene(self, view: View, plan: Plan, rows: np.ndarray) -> Scene:
        sounds = [Sound(row[None], self.voice.rate) for row in rows]
        stems = [Stem(f.region, s, f.confidence) for f, s in zip(plan.foci, sounds, strict=False)]
        return Scene(view.image, tuple(stems), sounds[-1])

    def sounds(
        self, images: Sequence[Image], regions: Sequence[Spot], seconds: float, seeds: Sequence[int]
    ) -> list[Sound]:
        """What a place in each picture sounds like; ambience where the model is not sure."""
        return [
            self.scene(view, self.plan(view, region, seed), seconds).mix
            for view, region, seed in zip(self.see(images), regions, seeds, strict=True)
        ]


def _sounding(view: View, weights: Float[np.ndarray, "rows columns"]) -> float:
    """How surely a part of a picture sounds, as far as its patches tell."""
    return float((weights * view.seen.sounding).sum() / weights.sum())


def _inmost(piece: Region, view: View) -> Point:
    """Where a piece of a picture sounds and its border is far."""
    from scipy.ndimage import distance_transform_edt

    rows, columns = view.seen.sounding.shape
    share = piece.on(rows, columns)
    depth = distance_transform_edt(np.pad(share >= 0.5 * share.max(), 1))[1:-1, 1:-1] * share
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return Point((float(column) + 0.5) / columns, (float(row) + 0.5) / rows)


def _same(a: Region, b: Region) -> bool:
    """Whether two regions are one thing: more of what either holds is in both than not."""
    x, y = (region.on(GRID, GRID) for region in (a, b))
    return float(np.minimum(x, y).sum()) > 0.5 * float(np.maximum(x, y).sum())


def voices(plan: Plan) -> dict[int, torch.Tensor]:
    """The rows of a plan that the mapper makes, and what leads them."""
    leads = [*(f.tokens if f.notion is None and f.texture is None else None for f in plan.foci), plan.bed]
    return {row: lead for row, lead in enumerate(leads) if lead is not None}


def _sung(plan: Plan) -> dict[int, torch.Tensor]:
    """The rows of a plan that are sung, and what leads them."""
    return {row: f.notion for row, f in enumerate(plan.foci) if f.tokens is not None and f.notion is not None}


def _woven(plan: Plan) -> dict[int, np.ndarray]:
    """The rows of a plan that are woven, and their textures."""
    return {row: f.texture for row, f in enumerate(plan.foci) if f.tokens is not None and f.texture is not None}


def _weaver(texture: np.ndarray, seed: int, given: Sound | None = None) -> textures.Weaver:
    """Who weaves; a given sound goes on as it is, if it is noise and long enough to tell how."""
    if given is not None and Bands().frames(given.seconds) >= GIVEN:
        own = textures.heard(given)
        if own.noise > 0.5:
            texture = own.texture
    return textures.Weaver(texture, seed)


class Woven:
    """Samples of what is woven, as many at a time as are asked for."""

    def __init__(self, weaver: textures.Weaver, seed: int) -> None:
        self._weaver, self._decoder = weaver, Bands().decoder(seed)
        self._left = np.zeros(0, np.float32)

    def take(self, n: int) -> Float[np.ndarray, " n"]:
        """The next n samples; however they are cut, joined they are the same."""
        while len(self._left) < n:
            latents = Features(self._weaver.take(AHEAD), Bands.space)
            self._left = np.concatenate([self._left, self._decoder.push(latents)])
        out, self._left = self._left[:n], self._left[n:]
        return out


def _condition(led: Mapping[int, torch.Tensor]) -> Condition:
    tokens = torch.stack(list(led.values()))
    return Condition(tokens, tokens.new_zeros(len(led), 1, 1))


def _round(values: Float[np.ndarray, "more width"], n: int) -> Float[np.ndarray, "n width"]:
    """The first n rows, with what follows them brought in at their beginning: they come round without a seam."""
    over = len(values) - n
    share = ((np.arange(over) + 0.5) / over)[:, None]
    period = values[:n].copy()
    period[:over] = share * values[:over] + (1 - share) * values[n:]
    return period


def _levelled(plan: Plan, parts: Mapping[int, np.ndarray], n: int) -> Float[np.ndarray, "parts n"]:
    out = np.zeros((len(plan.levels), n), np.float32)
    for row, part in parts.items():
        out[row] = limited(part * louder(plan, row)) * np.float32(plan.levels[row])
    return out


def louder(plan: Plan, row: int) -> np.float32:
    """The factor on a row of a plan before it is limited; a bed is as loud as it was made."""
    return np.float32(10 ** (plan.foci[row].louder_db / 20) if row < len(plan.foci) else 1.0)


def gains(areas: Sequence[float]) -> tuple[float, ...]:
    """Gains of the stems, by the share of the picture that each takes, and of the bed; they sum to at most one.

    Level follows area as power: half the area is 3 dB less, as of half as many drops, birds or people, or of one thing
    √2 times as far away.
    """
    raw = [math.sqrt(max(area, 1e-3)) for area in areas] + [10 ** (BED_DB / 20)]
    total = sum(raw)
    return tuple(g / max(total, 1.0) for g in raw)


def limited(samples: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Samples unchanged below `KNEE`, bent towards ±`CEILING` above it, with a continuous slope."""
    over, room = np.abs(samples) - KNEE, CEILING - KNEE
    bent = KNEE + room * np.tanh(np.maximum(over, 0) / room)
    return np.where(over > 0, np.copysign(bent, samples), samples).astype(np.float32)
