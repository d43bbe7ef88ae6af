"""What `knock` learns from, in memory: rendered pictures with their truth, and real photos of one material each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ..bridges.knock import LINES, MATTER_MEAN, MATTER_SCALE
from ..physics.materials import COATINGS, named
from ..senses import SUPPORTS, Example
from ..shards import examples


@dataclass(frozen=True, eq=False)
class World:
    """A world in memory, one row per picture; strikes are (rows, P, ...), lines beyond an object's last are NaN."""

    pictures: np.ndarray  # (n, side, side, 3) uint8
    # (n, side/4, side/4, 6) float16: the normal, 1 on the object, log depth over the object's median, the share of what
    # is neither object nor ground (strings, hands, clamps, clutter)
    maps: np.ndarray
    matter: np.ndarray  # (n, 9) in the units of the network
    scalars: np.ndarray  # (n, 4): log size, log wall/size, hollow, log fill
    support: np.ndarray  # (n,) index into SUPPORTS
    log_frequency: np.ndarray  # (n, LINES)
    log_loss: np.ndarray  # (n, LINES) total
    log_bare: np.ndarray  # (n, LINES) of the material and the support alone
    log_extra: np.ndarray  # (n, LINES) of all the rest: what covers a thing, and what it radiates
    place: np.ndarray  # (n, P, 2)
    normal: np.ndarray  # (n, P, 3)
    log_gain: np.ndarray  # (n, P, LINES)
    shape_key: np.ndarray  # (n,) str
    family: np.ndarray  # (n,) int: which shapes are of one sort (a number, not a name)
    coat: np.ndarray  # (n,) int: what covers it, likewise; 0 where it is bare
    drawn: np.ndarray  # (n, PROPORTIONS) what the shape was drawn with, standardised within its sort; NaN beyond
    truth: tuple[dict[str, Any], ...]

    def __len__(self) -> int:
        return len(self.pictures)


OTHER = 3  # in the masks of worlds: neither background (0) nor object (1) nor ground (2)
LEAST_LOSS = 1e-5  # loss factors below are all the same to a sound
PROPORTIONS = 7  # the most numbers that a sort of shape is drawn with


def matter_vector(truth: dict[str, Any]) -> np.ndarray:
    """What a material is, as the network learns it, from an example's truth."""
    noise = truth["noise"]
    rest = named(truth["material"])
    raw = [np.log(truth["wave_speed"]), np.log(truth["density"]), np.log(truth["loss"]), truth["loss_slope"]]
    raw += [np.log(rest.rest_loss), rest.rest_slope]
    raw += [np.log(noise["relative"]), np.log(noise["seconds"]), np.log(noise["hz"])]
    return ((np.array(raw) - MATTER_MEAN) / MATTER_SCALE).astype(np.float32)


def gather(items: Iterable[Example]) -> World:
    """Read a world's examples into arrays."""
    rows: list[tuple[Any, ...]] = []
    for e in items:
        t: dict[str, Any] = e.truth
        a = e.arrays
        lines = min(LINES, len(a["frequency"]))

        def pad(x: np.ndarray, lines: int = lines) -> np.ndarray:
            out = np.full((*x.shape[:-1], LINES), np.nan, np.float32)
            out[..., :lines] = x[..., :lines]
            return out

        f = a["frequency"].astype(np.float64)
        small = slice(2, None, 4)
        on = (a["mask"][small, small] == 1).astype(np.float32)
        depth = np.maximum(a["depth"][small, small], 1e-4)
        middle = float(np.median(depth[on > 0])) if on.any() else 1.0
        relief = np.clip(np.log(depth / middle), -1.5, 1.5)
        tall, wide = on.shape
        other = np.pad(a["mask"] == OTHER, 3)[3 : 3 + 4 * tall, 3 : 3 + 4 * wide]  # a side need not be whole fours
        beside = other.reshape(tall, 4, wide, 4).mean((1, 3))
        extra = [np.asarray(m)[..., None] for m in (on, relief, beside)]
        maps = np.concatenate([a["normal"][small, small], *extra], -1).astype(np.float16)
        fill = t["volume"] / t["size"] ** 3
        scalars = [np.log(t["size"]), np.log(t["wall"] / t["size"]), float(t["hollow"]), np.log(fill)]
        rows.append((
            np.asarray(e.image.pixels), maps, matter_vector(t), np.array(scalars, np.float32),
            SUPPORTS.index(t["support"]), pad(np.log(f)), pad(np.log(2.2 / (f * a["t60"]))),
            pad(np.log(a["loss_parts"][:, 0] + a["loss_parts"][:, 2])),
            pad(np.log(np.maximum(a["loss_parts"][:, 1] + a["loss_parts"][:, 3], LEAST_LOSS))),
            a["strike_xy"].astype(np.float32), a["strike_normal"].astype(np.float32),
            pad(np.log(np.maximum(a["gain"].astype(np.float64), 1e-12))), str(t["shape_key"]), str(t["family"]), t,
        ))  # fmt: skip
    columns = list(zip(*rows, strict=True))
    family = np.unique(np.array(columns[-2]), return_inverse=True)[1]
    coat = np.array([list(COATINGS).index(t["coating"]) for t in columns[-1]])
    arrays = [np.stack(c) for c in columns[:-3]]
    drawn = proportions(columns[-1], family)
    return World(*arrays, np.array(columns[-3]), family, coat, drawn, columns[-1])  # type: ignore[arg-type]


def proportions(truths: Sequence[dict[str, Any]], family: np.ndarray) -> np.ndarray:
    """The numbers that each shape was drawn with, standardised within its sort (n, PROPORTIONS); NaN where none is."""
    out = np.full((len(truths), PROPORTIONS), np.nan, np.float32)
    for sort in np.unique(family):
        rows = np.flatnonzero(family == sort)
        names = sorted(truths[rows[0]]["params"])[:PROPORTIONS]
        if not all(set(names) <= set(truths[i]["params"]) for i in rows):
            continue  # invented shapes are drawn with other numbers each time
        values = np.array([[truths[i]["params"][name] for name in names] for i in rows]).reshape(len(rows), len(names))
        out[rows, : len(names)] = (values - values.mean(0)) / (values.std(0) + 1e-3)
    return out


def read_world(path: Path) -> World:
    """A folder of shards."""
    return gather(examples(path, only={"jpg", "json", "safetensors", "mask.png", "normal.png", "depth.png"}))


def squares(pictures: np.ndarray, size: int) -> torch.Tensor:
    """Square pictures (n, side, side, 3) as eyes take them: (n, 3, size, size) in [0, 1]."""
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    return F.interpolate(x, (size, size), mode="bilinear", antialias=True)


def batch(
    world: World, rng: np.random.Generator, pictures: int, clicks: int, size: int, move: bool = True
) -> dict[str, Any]:
    """Random pictures with their truth, each turned, moved, scaled and mirrored its own way; `clicks` strikes on each.

    A fourth of the pictures also gets a strike beside the object. A fourth gets the object in front of another picture:
    then neither its support nor its size can be seen ("whole" is False). "maps" are (pictures, 6, size/4, size/4).
    """
    rows = rng.choice(len(world), pictures, replace=len(world) < pictures)
    x = torch.from_numpy(world.pictures[rows]).permute(0, 3, 1, 2).float() / 255
    maps = torch.from_numpy(world.maps[rows]).permute(0, 3, 1, 2).float()
    which = np.stack([rng.permutation(world.place.shape[1])[:clicks] for _ in rows])
    place = np.take_along_axis(world.place[rows], which[..., None], 1).copy()
    normal = np.take_along_axis(world.normal[rows], which[..., None], 1).copy()
    gain = np.take_along_axis(world.log_gain[rows], which[..., None], 1)
    off_rows, off_place = [], []
    for i in range(0, pictures, 4):
        free = np.argwhere(world.maps[rows[i], ..., 3] < 0.5)
        if len(free):
            y, z = free[rng.integers(len(free))]
            off_rows.append(i)
            off_place.append(((z + 0.5) / world.maps.shape[2], (y + 0.5) / world.maps.shape[1]))
    beside = np.array(off_place, np.float32).reshape(-1, 2)
    whole = np.ones(pictures, bool)
    if move:
        whole = rng.random(pictures) > 0.25
        x, maps = _before_another(x, maps, whole)
        # From the new picture's coordinates in [-1, 1] to the old one's: turned, scaled, mirrored, moved.
        angle = rng.uniform(-0.35, 0.35, pictures) * (rng.random(pictures) < 0.7)
        zoom = np.exp(rng.uniform(np.log(0.65), np.log(1.25), pictures))
        mirror = np.where(rng.random(pictures) < 0.5, -1.0, 1.0)
        turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
        back = turn * np.stack([mirror * zoom, zoom], -1)[:, None]
        shift = rng.uniform(-1, 1, (pictures, 2)) * (0.1 + np.abs(1 - zoom))[:, None]
        theta = torch.from_numpy(np.concatenate([back, shift[..., None]], -1).astype(np.float32))

        def moved(m: torch.Tensor, side: int, padding: str) -> torch.Tensor:
            grid = F.affine_grid(theta, [pictures, m.shape[1], side, side], align_corners=False)
            return F.grid_sample(m, grid, padding_mode=padding, align_corners=False)

        x, maps = moved(x, size, "reflection"), moved(maps, size // 4, "zeros")
        ahead = np.linalg.inv(back)

        def carried(points: np.ndarray, owner: np.ndarray) -> np.ndarray:
            centred = 2 * points - 1 - shift[owner]
            return (np.einsum("nij,nj->ni", ahead[owner], centred) + 1) / 2

        each = np.repeat(np.arange(pictures), clicks)
        place = carried(place.reshape(-1, 2), each).reshape(place.shape)
        beside = carried(beside, np.array(off_rows, int)) if len(beside) else beside
        # Normals have y up, pictures y down: what turns (x, y) there turns (x, -y) here; lengths stay.
        rotate = ahead * zoom[:, None, None]
        rotate[:, 0, 1] *= -1
        rotate[:, 1, 0] *= -1
        normal[..., :2] = np.einsum("nij,ncj->nci", rotate, normal[..., :2])
        maps[:, :2] = torch.einsum("nij,njhw->nihw", torch.from_numpy(rotate.astype(np.float32)), maps[:, :2])
    elif x.shape[-1] != size:
        x = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
    owner = np.concatenate([np.repeat(np.arange(pictures), clicks), np.array(off_rows, int)])
    click = np.concatenate([place.reshape(-1, 2), beside]).astype(np.float32)
    inside = np.logical_and(click >= 0, click <= 1).all(axis=1)
    on = np.arange(len(owner)) < pictures * clicks
    kept = np.asarray(inside)[: pictures * clicks]
    return {
        "x": x, "maps": maps, "rows": rows, "owner": owner[inside], "row": rows[owner[inside]], "whole": whole,
        "click": torch.from_numpy(click[inside].astype(np.float32)), "on": torch.from_numpy(on[inside]),
        "normal": torch.from_numpy(normal.reshape(-1, 3)[kept].astype(np.float32)),
        "gain": torch.from_numpy(gain.reshape(-1, LINES)[kept]),
    }  # fmt: skip


def _before_another(x: torch.Tensor, maps: torch.Tensor, whole: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """The objects of the pictures that are not `whole`, each before what another picture shows."""
    here = torch.from_numpy(np.flatnonzero(~whole))
    if not len(here):
        return x, maps
    there = (here + 1) % len(x)
    on = maps[here, 3:4]
    soft = F.interpolate(F.max_pool2d(on, 3, 1, 1), x.shape[-2:], mode="bilinear", align_corners=False)
    behind = x[there].flip(-1)
    x, maps = x.clone(), maps.clone()
    x[here] = torch.lerp(behind, x[here], soft)
    beside = torch.where(on > 0.5, torch.zeros(()), maps[there, 5:].flip(-1))
    maps[here] = torch.where(on > 0.5, maps[here], torch.zeros(()))
    maps[here, 5:] = beside
    return x, maps


# --- real photos -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Photos:
    """Real photos of one material each: pixels (n, side, side, 3), and which material each is paired with."""

    pixels: np.ndarray
    material: np.ndarray
    names: tuple[str, ...]


def held_out(path: Path) -> bool:
    """Whether a photo belongs to the test blocks: twenty consecutive file numbers in a hundred."""
    return int("".join(c for c in path.stem if c.isdigit())) // 20 % 5 == 0


def read_photos(folder: Path, side: int, test: bool = False) -> Photos:
    """`folder/<material>/*.jpg`, train blocks or test blocks."""
    from PIL import Image as Pil

    names = tuple(sorted(p.name for p in folder.iterdir() if p.is_dir()))
    pixels, material = [], []
    for k, name in enumerate(names):
        for path in sorted((folder / name).glob("*.jpg")):
            if held_out(path) == test:
                with Pil.open(path) as photo:
                    pixels.append(
                        np.asarray(photo.convert("RGB").resize((side, side), Pil.Resampling.BICUBIC, reducing_gap=3.0))
                    )
                material.append(k)
    return Photos(np.stack(pixels), np.array(material), names)


# Which of the world's materials a photo of the paired folder may sound like.
PAIRS: dict[str, tuple[str, ...]] = {
    "cardboard": ("cardboard", "corrugated"),
    "glass": ("glass",),
    "metal": ("aluminium", "steel", "iron", "titanium", "brass", "copper", "bronze"),
    "paper": ("paper",),
    "plastic": ("hard_plastic", "pet", "polycarbonate", "acrylic", "soft_plastic"),
}


def paired(world: World, name: str) -> np.ndarray:
    """Rows of the world whose material a photo of the folder `name` is paired with; both ends of a blend must fit.

    Bare things alone: so are those of the photos.
    """
    allowed = PAIRS[name]
    ok = [all(part in allowed for part in str(t["material"]).split(":")[0].split("~")) for t in world.truth]
    return np.flatnonzero(np.array(ok) & (world.coat == 0))


@dataclass(frozen=True, eq=False)
class Shown:
    """Parts of real photos (n, 3, size, size), where each is clicked (n, 2), and its material (n,)."""

    x: torch.Tensor
    click: torch.Tensor
    material: np.ndarray


def show(photos: Photos, rng: np.random.Generator, count: int, size: int) -> Shown:
    """`count` photos, balanced over materials: zoomed, turned and mirrored, clicked anywhere in the middle."""
    material = rng.integers(len(photos.names), size=count)
    rows = np.array([rng.choice(np.flatnonzero(photos.material == k)) for k in material])
    x = torch.from_numpy(photos.pixels[rows]).permute(0, 3, 1, 2).float() / 255
    click = rng.uniform(0.3, 0.7, (count, 2)).astype(np.float32)
    side = x.shape[-1]
    out = []
    for i in range(count):
        zoom = float(rng.uniform(0.6, 1.0))
        w = round(zoom * side)
        low = np.maximum(0, np.ceil(click[i] * side - w + 8)).astype(int)
        high = np.minimum(side - w, np.floor(click[i] * side - 8)).astype(int)
        x0, y0 = (int(rng.integers(a, max(a, b) + 1)) for a, b in zip(low, high, strict=True))
        part = x[i : i + 1, :, y0 : y0 + w, x0 : x0 + w]
        click[i] = np.clip((click[i] * side - (x0, y0)) / w, 0, 1)
        turn = int(rng.integers(4))
        part = torch.rot90(part, turn, (2, 3))
        for _ in range(turn):  # a quarter turn counter-clockwise takes (x, y) to (y, 1 − x)
            click[i] = (click[i, 1], 1 - click[i, 0])
        if rng.random() < 0.5:
            part = part.flip(-1)
            click[i, 0] = 1 - click[i, 0]
        out.append(F.interpolate(part, (size, size), mode="bilinear", antialias=True))
    return Shown(torch.cat(out), torch.from_numpy(click), material)
