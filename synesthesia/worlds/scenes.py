"""Scenes: drawn places with one to three sources of known place, mask, distance, parameters and sound.

Item i of (seed, split) is a pure function of those three numbers. What is seen comes from `sights`, what is heard from
`noises`, both from the same few parameters: the sound follows the look by a law, not by a label. `val` has other seeds
than `train` and the same combinations of parameters; `test` has combinations that neither of them has (`held`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import shards
from ..senses import InputError, Region, Sound
from . import making, noises, sights
from .noises import LAWS
from .sights import Camera, Plan, Source

if TYPE_CHECKING:
    from jaxtyping import Float

VERSION = 1
SPLITS = ("train", "val", "test")
PER_SHARD = 32
PEAK = 0.9  # of full scale: the mix, or its loudest part
BED_DB = (22.0, 38.0)  # dB SPL of the air in the open
DEPTH_LIMIT = 500.0  # metres; what is farther has depth 0, as the sky has
# At least so much of the picture shows each source, and somewhere clearly.
SEEN, CLEAR = 0.002, 0.5

# What is always there, and what may join it.
PLACES: dict[str, tuple[str, tuple[str, ...]]] = {
    "beach": ("sea", ("fire", "wind", "rain", "thunder")),
    "bank": ("river", ("fire", "wind", "rain", "thunder")),
    "gorge": ("waterfall", ("river", "fire", "wind", "rain")),
    "camp": ("fire", ("wind", "thunder")),
    "wood": ("wind", ("rain", "thunder")),
    "storm": ("thunder", ("rain", "wind")),
    "wet": ("rain", ("thunder", "wind")),
}
_CELLS = 4
_HELD = (1, 3, 0, 2)  # the cell of the second axis that is held out, for each cell of the first


@dataclass(frozen=True)
class World:
    """What determines every byte of a world; kept in its folder as world.json."""

    seed: int
    split: str
    side: int
    seconds: float
    per_shard: int = PER_SHARD
    version: int = VERSION

    def rng(self, index: int) -> np.random.Generator:
        """The random stream of one item."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, SPLITS.index(self.split), index]))


# --- plans ---------------------------------------------------------------------------------------------------------


def held(source: Source) -> bool:
    """Whether this combination of parameters is seen in the split `test` only.

    The first parameter's range and the second's (or the distance's) are cut into four each, evenly in their logarithms;
    of the sixteen cells four are held out, one in each row and column, so each value of either is known by itself.
    """
    law = LAWS[source.kind]
    axes = [(source.parameters[name], *span) for name, span in law.parameters.items()]
    axes.append((source.distance_m, *law.distance))
    first, second = (
        min(_CELLS - 1, max(0, int(_CELLS * math.log(value / low) / math.log(high / low))))
        for value, low, high in axes[:2]
    )
    return _HELD[first] == second


def _drawn(rng: np.random.Generator, span: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(math.log(span[0]), math.log(span[1]))))


def _source(rng: np.random.Generator, kind: str, split: str) -> Source:
    """A source of this kind whose combination of parameters belongs to the split, near enough to be seen."""
    law = LAWS[kind]
    while True:
        parameters = {name: _drawn(rng, span) for name, span in law.parameters.items()}
        distance, x = _drawn(rng, law.distance), float(rng.uniform(0.22, 0.78))
        if kind == "waterfall":
            low, high = law.distance
            distance = min(high, max(low, parameters["height_m"] * float(rng.uniform(1.2, 3.5))))
        source = Source(kind, parameters, distance, x)
        if held(source) == (split == "test") and _visible(source):
            return source


def _visible(source: Source) -> bool:
    """Large enough in the picture to be told, and not too large for it."""
    d, p = source.distance_m, source.parameters
    match source.kind:
        case "fire":
            return 1.3 * p["size_m"] <= d <= 16 * p["size_m"]
        case "river":
            return d <= 3 + 1.5 * p["width_m"]
        case "wind":
            return d >= 8
    return True


def _fit(sources: Sequence[Source]) -> bool:
    """Whether these sources can stand in one place: no fire in the sea, no tree in the river."""
    of = {source.kind: source for source in sources}
    away = {kind: source.distance_m for kind, source in of.items()}
    far = math.inf
    shore = 0.9 * sights.foam_edge(of["sea"]) if "sea" in of else far
    pool = 0.5 * away.get("waterfall", far)
    stream = away.get("river", far)
    bank = stream + (of["river"].parameters["width_m"] if "river" in of else 0.0)
    fire = "fire" not in of or (
        away["fire"] + 1 <= min(shore, pool)
        and ("river" not in of or stream >= max(6.0, away["fire"] + 1.5))
        and all(abs(of["fire"].x - other.x) > 0.25 for other in sources if other.kind == "waterfall")
    )
    wind = "wind" not in of or (away["wind"] <= min(shore, 1.4 * pool) and not stream <= away["wind"] <= bank)
    return fire and wind and ("waterfall" not in of or "river" not in of or bank <= 1.2 * pool)


def _light(rng: np.random.Generator, kinds: Sequence[str]) -> str:
    if "thunder" in kinds:
        share = {"storm": 0.7, "night": 0.3} if "rain" in kinds else {"storm": 0.55, "night": 0.3, "dusk": 0.15}
    elif "rain" in kinds:
        share = {"storm": 0.4, "cloudy": 0.5, "night": 0.1}
    else:
        share = {"day": 0.34, "cloudy": 0.24, "golden": 0.16, "dusk": 0.12, "night": 0.14}
    return str(rng.choice(list(share), p=list(share.values())))


def plan(rng: np.random.Generator, split: str) -> tuple[str, Plan]:
    """A place's name and what is to be seen there, at random, with one to three sources of the split."""
    place = str(rng.choice(list(PLACES)))
    first, others = PLACES[place]
    count = int(rng.choice([0, 1, 2], p=[0.3, 0.45, 0.25]))
    while True:
        kinds = [first, *map(str, rng.choice(others, count, replace=False))]
        sources = tuple(_source(rng, kind, split) for kind in kinds)
        if _fit(sources):
            break
    ground = str(rng.choice(["sand", "stones"], p=[0.75, 0.25]) if "sea" in kinds else rng.choice(sights.GROUNDS))
    return place, Plan(
        int(rng.integers(2**31)), _light(rng, kinds), ground, _camera(rng, sources), sources,
        float(rng.random()), bool(rng.random() < 0.5),
    )  # fmt: skip


def _camera(rng: np.random.Generator, sources: Sequence[Source]) -> Camera:
    """A camera that sees the foot of what is near, and enough sky for lightning and enough height for a fall."""
    of = {source.kind: source for source in sources}
    fov, height = float(rng.uniform(38, 66)), float(rng.uniform(1.2, 2.4))
    if "sea" in of and rng.random() < 0.5:
        height = _drawn(rng, (2.0, 6.0))
    if "river" in of:
        height = _drawn(rng, (1.3, 4.0))
    horizon = float(rng.uniform(0.28, 0.55))
    focal = 0.5 / math.tan(math.radians(fov) / 2)  # in picture heights
    if "thunder" in of:
        horizon = float(rng.uniform(0.55, 0.82))
    if "waterfall" in of:  # its lip below the upper edge
        fall = of["waterfall"]
        lip = focal * (fall.parameters["height_m"] - height) / fall.distance_m
        horizon = float(np.clip(lip + rng.uniform(0.06, 0.25), 0.3, 0.75))
    for kind in ("fire", "river"):  # its near edge above the lower one
        if kind in of:
            near = of[kind].distance_m
            height = min(height, 0.6 * near / focal)
            horizon = min(horizon, 0.95 - focal * height / near)
    return Camera(fov, height, horizon, float(np.clip(rng.normal(0, 1.8), -6, 6)))


# --- examples ------------------------------------------------------------------------------------------------------


def mixed(stems: Sequence[Float[np.ndarray, " n"]]) -> float:
    """The number to divide these waves by so that neither they nor their sum exceed `PEAK`."""
    loudest = max(float(np.abs(wave).max(initial=0.0)) for wave in (*stems, np.sum(stems, axis=0)))
    return max(loudest, 1e-9) / PEAK


def where(masks: Float[np.ndarray, "sources h w"]) -> list[dict[str, Any]]:
    """For each mask its number, centre (x, y), box (x0, y0, x1, y1) of what exceeds one half, share of the picture."""
    told = []
    for number, mask in enumerate(masks):
        rows, columns = (np.flatnonzero((mask > CLEAR).any(axis=axis)) for axis in (1, 0))
        h, w = mask.shape
        centre = Region(mask).centre
        told.append(
            {
                "mask": number,
                "centre": [centre.x, centre.y],
                "box": [columns[0] / w, rows[0] / h, (columns[-1] + 1) / w, (rows[-1] + 1) / h],
                "area": float(mask.mean()),
            }
        )
    return told


def seen(masks: Float[np.ndarray, "sources h w"]) -> bool:
    """Whether every mask shows something: a clear place, and at least `SEEN` of the picture."""
    return all(float(mask.max()) > CLEAR and float(mask.mean()) >= SEEN for mask in masks)


def files(
    pixels: np.ndarray, masks: Float[np.ndarray, "sources h w"], stems: Sequence[Sound], truth: Mapping[str, Any],
    quality: int, depth: Float[np.ndarray, "h w"] | None = None,
) -> dict[str, bytes]:  # fmt: skip
    """The members of a shard for a scene: its picture, masks, sounds (the bed last), truth, and distances if known.

    mask.png: 0 where nothing sounds, else the number of the source that is most of what is seen, plus 1. The array
    `masks` is uint8 [sources, h/2, w/2], 255 where all of a pixel is the source. `stems` are at their levels; they are
    divided by one number for all, truth["scale"].
    """
    scale = mixed([stem.mono for stem in stems])
    h, w = masks.shape[1:]
    half = np.stack([Region(mask).on(h // 2, w // 2) for mask in masks])
    index = np.where(masks.max(axis=0) > CLEAR, masks.argmax(axis=0) + 1, 0).astype(np.uint8)
    members = {"jpg": shards.encode_jpeg(pixels, quality=quality)}
    told = dict(truth) | {"scale": scale}
    if depth is not None:
        told["depth_scale"] = DEPTH_LIMIT / 65535
        near = np.where(depth < DEPTH_LIMIT, depth, 0) / told["depth_scale"]
        members["depth.png"] = shards.encode_png(np.round(near).astype(np.uint16))
    members["mask.png"] = shards.encode_png(index)
    members["json"] = shards.encode_json(told)
    members["safetensors"] = shards.encode_arrays({"masks": np.round(255 * half).astype(np.uint8)})
    for k, stem in enumerate(stems):
        members[f"hit{k}.flac"] = shards.encode_flac(Sound(stem.samples / np.float32(scale), stem.rate))
    return members


def item(world: World, index: int) -> tuple[str, dict[str, bytes]]:
    """Item `index` of a world: its key and the bytes of its files by ending (`files`).

    truth["sources"] tells of each source, in the order of masks and sounds: kind, parameters, distance_m, level_db (dB
    SPL of its loudest second at the listener, before the air takes treble), where it is seen. A sample times
    truth["scale"] times 2 Pa is sound pressure. truth["view"] is the camera of `sights`, whose axis stays level.
    """
    rng = world.rng(index)
    while True:
        place, what = plan(rng, world.split)
        sight = sights.draw(what, world.side)
        if seen(sight.masks):
            break
    level = float(rng.uniform(*BED_DB))
    stems = [
        noises.sound(s.kind, s.parameters, s.distance_m, world.seconds, int(rng.integers(2**31))) for s in what.sources
    ]
    stems.append(noises.bed(world.seconds, int(rng.integers(2**31)), level))
    sources = [
        {
            "kind": s.kind,
            "parameters": dict(s.parameters),
            "distance_m": s.distance_m,
            "level_db": noises.level_db(s.kind, s.parameters, s.distance_m),
        }
        | told
        for s, told in zip(what.sources, where(sight.masks), strict=True)
    ]
    truth = {
        "key": f"{world.split}-{world.seed}-{index:07d}",
        "split": world.split,
        "seed": world.seed,
        "index": index,
        "place": place,
        "light": what.light,
        "ground": what.ground,
        "view": asdict(what.camera),
        "sources": sources,
        "bed_db": level,
    }
    quality = int(rng.integers(60, 96))
    return truth["key"], files(np.asarray(sight.image.pixels), sight.masks, stems, truth, quality, sight.depth)


# --- generation ----------------------------------------------------------------------------------------------------


def generate(
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
    """Make scenes 0 to n - 1 of (seed, split) in the folder `out` as tar shards; returns the shards' paths.

    Shards that are there are kept, so a killed run goes on where it stopped. The bytes do not depend on `workers`
    (processes; default: one per core) nor on kills. Pictures are `side` pixels square, sounds `seconds` long at 32 kHz.
    A folder that holds another world is refused with InputError.
    """
    if split not in SPLITS:
        raise InputError(f"A split is one of {', '.join(SPLITS)}, not {split!r}.")
    check(n, seed, workers, side, seconds, per_shard)
    world = World(int(seed), split, int(side), float(seconds), int(per_shard))
    return making.make(world, item, n, Path(out), workers, progress)


def check(n: int, seed: int, workers: int | None, side: int, seconds: float, per_shard: int) -> None:
    """Raises InputError for numbers that no world of scenes can have."""
    if n < 1 or seed < 0 or not 1 <= per_shard <= 64 or (workers or 1) < 1:
        raise InputError(
            f"n and workers are at least 1, the seed at least 0 and per_shard 1 to 64; "
            f"these are {n}, {workers}, {seed} and {per_shard}."
        )
    if not sights.MIN_SIDE <= side <= sights.MAX_SIDE or not 0.1 <= seconds <= 60:
        raise InputError(
            f"A picture is {sights.MIN_SIDE} to {sights.MAX_SIDE} pixels wide and its sounds last 0.1 to 60 s, "
            f"not {side} and {seconds}."
        )
