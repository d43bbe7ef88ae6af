"""From pixels to metres: how far each part of a picture is, and how loud it is at one metre.

How far something is comes from a `Depth`. `Ground` needs no learning: what stands on level ground is as far as the
ground that is seen at its foot. A network may take its place (`pretrained_depth`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from ..acoustics import BLOCK, Outdoors, Renderer, Room, receiver
from ..senses import Image, Listener, Region, Scene, Sound
from .stage import Camera, Spot, Stage

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

FOCAL = 26 / 43.27  # focal length to the picture's diagonal: the main camera of most telephones (26 mm on 24 × 36 mm)
NEAREST, FARTHEST = 0.5, 300.0  # metres; what is farther is still heard from there
ALOFT = 40.0  # metres to what stands on no ground that is seen: crowns of trees, birds, clouds
CLEAR = 0.5  # of a mask's peak; from there on a cell belongs to the region
CRUMBS = 0.02  # of a region, at each of its ends
USUAL = 0.2  # how far from the middle the horizon usually is, a share of the picture's height
PARTED = 0.1  # of full scale, summed over three colours: a smaller step is no horizon
MARGIN = 0.15  # metres between a source and a wall
SPREAD_S = 0.1  # that a response lasts in the open, where wide sources are spread in time
RINGS_S = 3.0  # of a room's response that count for a level, at most
LISTEN_S = 20.0  # of a sound from which its level is known
SILENT = 1e-12  # energy

Place = Outdoors | Room


@runtime_checkable
class Depth(Protocol):
    """Whatever says how far parts of a picture are."""

    def distances(self, image: Image, regions: Sequence[Region], camera: Camera) -> Float[np.ndarray, " regions"]:
        """Metres along the view (not along the ray) to each region; positive, infinite where it is not known."""
        ...


class Ground:
    """Everything stands on level ground: as far as the ground seen at its foot, z = h f/(y_foot − y_horizon).

    What has its foot above the horizon has none; its distance is not known.
    """

    def distances(self, image: Image, regions: Sequence[Region], camera: Camera) -> Float[np.ndarray, " regions"]:
        return np.array([camera.ground(foot(region)) for region in regions], float)


def foot(region: Region) -> float:
    """How far down a region reaches, a share of the picture's height."""
    return extent(region, axis=0)[1]


def extent(region: Region, axis: int) -> tuple[float, float]:
    """Where the clear part of a region begins and ends along an axis (0: from the top, 1: from the left), shares of the
    picture; crumbs of 2 % at each end do not count, and what an even region loses by that is put back."""
    clear = np.where(region.mask >= CLEAR * region.mask.max(), region.mask, 0.0).sum(axis=1 - axis, dtype=float)
    upto = np.concatenate([[0.0], np.cumsum(clear) / clear.sum()])
    low, high = np.interp([CRUMBS, 1 - CRUMBS], upto, np.arange(len(upto)) / len(clear))
    middle, half = (low + high) / 2, (high - low) / 2 / (1 - 2 * CRUMBS)
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def camera(image: Image) -> Camera:
    """A usual camera: the lens of a telephone, held level in a standing person's hands; the horizon where it is seen,
    in the middle where it is not."""
    aspect = image.width / image.height
    fov = 2 * math.degrees(math.atan(0.5 / (FOCAL * math.hypot(1.0, aspect))))
    found = horizon(image)
    return Camera(fov, aspect, horizon=0.5 if found is None else found)


def horizon(image: Image) -> float | None:
    """Where the sky ends, a share of the picture's height; None where no level line parts the picture.

    Of 64 rows the one where the colour above differs most from the colour below, in the median over the columns, so
    that what juts into the sky does not count; the middle is more likely than the edges.
    """
    small = _reduced(image.pixels, 64)
    rows = len(small)
    sums = np.concatenate([np.zeros_like(small[:1]), small.cumsum(axis=0)])
    at = np.arange(2, rows - 1)
    step = np.abs(np.median(sums[at + 2] - 2 * sums[at] + sums[at - 2], axis=1)).sum(axis=-1) / 2
    likely = step * np.exp(-0.5 * ((at / rows - 0.5) / USUAL) ** 2)
    best = int(likely.argmax())
    return float(at[best]) / rows if likely[best] >= PARTED else None


def _reduced(pixels: UInt8[np.ndarray, "h w 3"], side: int) -> Float[np.ndarray, "rows columns 3"]:
    """Means over at most `side` × `side` cells, in [0, 1]."""
    out = np.asarray(pixels)
    for axis in (0, 1):
        n = pixels.shape[axis]
        edges = np.linspace(0, n, min(side, n) + 1).astype(int)
        out = np.add.reduceat(out, edges[:-1], axis=axis, dtype=np.float64)
        out = out / np.expand_dims(np.diff(edges), tuple({0, 1, 2} - {axis}))
    return out / 255


def place(
    scene: Scene, depth: Depth | None = None, taken: Camera | None = None, where: Place | None = None,
    *, loop: bool = False,
) -> Stage:  # fmt: skip
    """Put a scene in metres, so that from the camera it is as loud as its mix.

    `depth` is `Ground` by default, `taken` a usual camera, `where` open air over grass at the camera's height below.
    `loop` tells that the scene's sounds repeat without a seam.
    """
    taken = taken or camera(scene.image)
    where = where or Outdoors(level=-taken.height_m)
    regions = [stem.region for stem in scene.stems]
    metres = (depth or Ground()).distances(scene.image, regions, taken)
    metres = np.clip(np.where(np.isfinite(metres), metres, ALOFT), NEAREST, FARTHEST)
    spots = []
    for stem, far in zip(scene.stems, metres, strict=True):
        left, right = extent(stem.region, axis=1)
        position = _within(where, taken.reach((left + right) / 2, stem.region.centre.y, float(far)))
        width = (right - left) * taken.aspect * -position[2] / taken.focal
        spots.append(Spot(position, float(width), gain(stem.sound, position, width, where)))
    return Stage(scene, tuple(spots), taken, where, loop)


def _within(where: Place, position: tuple[float, float, float]) -> tuple[float, float, float]:
    """The place itself, or the nearest one that is above the ground or inside the walls."""
    x, y, z = position
    if isinstance(where, Room):
        inside = np.clip(position, np.array(where.low) + MARGIN, np.array(where.high) - MARGIN)
        return float(inside[0]), float(inside[1]), float(inside[2])
    return x, y if where.ground is None else max(y, where.level), z


def gain(sound: Sound, position: tuple[float, float, float], width: float, where: Place) -> float:
    """What a sound that is heard at the camera must be multiplied by to be the sound of its source at one metre.

    The place is asked for its response from there to the camera; the gain undoes what that makes of the sound's level.
    The metres of distance alone would leave out the ground, the walls, the width and the air.
    """
    metres = math.dist(position, (0.0, 0.0, 0.0))
    heard = sound.samples[0, : round(LISTEN_S * sound.rate)].astype(float)
    if float(heard @ heard) < SILENT:
        return max(metres, NEAREST)
    response = _response(position, width, where, sound.rate)
    size = 1 << (len(heard) + len(response)).bit_length()
    through = np.fft.rfft(heard, size) * np.fft.rfft(response, size)
    energy = float((np.abs(through) ** 2).sum()) / float((np.abs(np.fft.rfft(heard, size)) ** 2).sum())
    return float(np.clip(1 / math.sqrt(max(energy, SILENT)), 1e-3, 1e5))


def _response(position: tuple[float, float, float], width: float, where: Place, rate: int) -> np.ndarray:
    """What one microphone at the camera hears of an impulse."""
    renderer = Renderer(1, where, receiver("mono", rate), rate)
    late = math.dist(position, (0.0, 0.0, 0.0)) / 300  # no air is as slow
    rings = min(float(where.t60.max()), RINGS_S) if isinstance(where, Room) else SPREAD_S
    sounding, silence = np.zeros((2, 1, BLOCK), np.float32)
    sounding[0, 0] = 1.0
    stands, width_1 = np.array([position]), np.array([width])
    return np.concatenate(
        [
            renderer.render(silence if i else sounding, stands, Listener(), width_1)[0]
            for i in range(math.ceil((late + rings) * rate / BLOCK))
        ]
    ).astype(float)
