"""What `knock` learns from, in memory: rendered pictures with their truth, and real photos of one material each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ..bridges.knock import LINES, MATTER_MEAN, MATTER_SCALE
from ..physics.materials import named
from ..senses import SUPPORTS, Example
from ..shards import examples


@dataclass(frozen=True, eq=False)
class World:
    """A world in memory, one row per picture; strikes are (rows, P, ...), lines beyond an object's last are NaN."""

    pictures: np.ndarray  # (n, side, side, 3) uint8
    maps: np.ndarray  # (n, side/4, side/4, 5) float16: the normal, 1 on the object, log depth over the object's median
    matter: np.ndarray  # (n, 9) in the units of the network
    scalars: np.ndarray  # (n, 4): log size, log wall/size, hollow, log fill
    support: np.ndarray  # (n,) index into SUPPORTS
    log_frequency: np.ndarray  # (n, LINES)
    log_loss: np.ndarray  # (n, LINES) total
    log_bare: np.ndarray  # (n, LINES) of the material and the support alone
    place: np.ndarray  # (n, P, 2)
    normal: np.ndarray  # (n, P, 3)
    log_gain: np.ndarray  # (n, P, LINES)
    shape_key: np.ndarray  # (n,) str
    family: np.ndarray  # (n,) int: which shapes are of one sort (a number, not a name)
    truth: tuple[dict[str, Any], ...]

    def __len__(self) -> int:
        return len(self.pictures)


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
        maps = np.concatenate([a["normal"][small, small], on[..., None], relief[..., None]], -1).astype(np.float16)
        fill = t["volume"] / t["size"] ** 3
        scalars = [np.log(t["size"]), np.log(t["wall"] / t["size"]), float(t["hollow"]), np.log(fill)]
        rows.append((
            np.asarray(e.image.pixels), maps, matter_vector(t), np.array(scalars, np.float32),
            SUPPORTS.index(t["support"]), pad(np.log(f)), pad(np.log(2.2 / (f * a["t60"]))),
            pad(np.log(a["loss_parts"][:, 0] + a["loss_parts"][:, 2])),
            a["strike_xy"].astype(np.float32), a["strike_normal"].astype(np.float32),
            pad(np.log(np.maximum(a["gain"].astype(np.float64), 1e-12))), str(t["shape_key"]), str(t["family"]), t,
        ))  # fmt: skip
    columns = list(zip(*rows, strict=True))
    family = np.unique(np.array(columns[-2]), return_inverse=True)[1]
    return World(*[np.stack(c) for c in columns[:-3]], np.array(columns[-3]), family, columns[-1])  # type: ignore[arg-type]


def read_world(path: Path) -> World:
    """A folder of shards."""
    return gather(examples(path, only={"jpg", "json", "safetensors", "mask.png", "normal.png", "depth.png"}))


def batch(
    world: World, rng: np.random.Generator, pictures: int, clicks: int, size: int, crop: bool = True
) -> dict[str, Any]:
    """Random pictures, cropped and mirrored with their truth; `clicks` strikes on each, some beside the object.

    "maps" are (pictures, 5, h, w), a quarter of the cropped picture's side.
    """
    rows = rng.choice(len(world), pictures, replace=len(world) < pictures)
    x = torch.from_numpy(world.pictures[rows]).permute(0, 3, 1, 2).float() / 255
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
    maps = torch.from_numpy(world.maps[rows]).permute(0, 3, 1, 2).float()
    if crop and rng.random() < 0.7:
        zoom = float(rng.uniform(0.72, 1.0))
        corner = rng.uniform(0, 1 - zoom, 2)
        side = x.shape[-1]
        x0, y0, w = (4 * round(v * side / 4) for v in (*corner, zoom))
        x = x[:, :, y0 : y0 + w, x0 : x0 + w]
        maps = maps[:, :, y0 // 4 : (y0 + w) // 4, x0 // 4 : (x0 + w) // 4]
        place, beside = ((p - np.array([x0, y0]) / side) * (side / w) for p in (place, beside))
    if rng.random() < 0.5:
        x, maps = x.flip(-1), maps.flip(-1)
        maps[:, 0] = -maps[:, 0]
        place[..., 0], beside[..., 0], normal[..., 0] = 1 - place[..., 0], 1 - beside[..., 0], -normal[..., 0]
    if x.shape[-1] != size:
        x = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
    owner = np.concatenate([np.repeat(np.arange(pictures), clicks), np.array(off_rows, int)])
    click = np.concatenate([place.reshape(-1, 2), beside]).astype(np.float32)
    inside = np.logical_and(click >= 0, click <= 1).all(axis=1)
    on = np.arange(len(owner)) < pictures * clicks
    kept = np.asarray(inside)[: pictures * clicks]
    return {
        "x": x, "maps": maps, "rows": rows, "owner": owner[inside], "row": rows[owner[inside]],
        "click": torch.from_numpy(click[inside].astype(np.float32)), "on": torch.from_numpy(on[inside]),
        "normal": torch.from_numpy(normal.reshape(-1, 3)[kept]),
        "gain": torch.from_numpy(gain.reshape(-1, LINES)[kept]),
    }  # fmt: skip


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
    """Rows of the world whose material a photo of the folder `name` is paired with; both ends of a blend must fit."""
    allowed = PAIRS[name]
    ok = [all(part in allowed for part in str(t["material"]).split(":")[0].split("~")) for t in world.truth]
    return np.flatnonzero(ok)
