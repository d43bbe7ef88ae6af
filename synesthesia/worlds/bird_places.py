"""Where birds are seen: a background out of focus, a perch in focus, leaves and grass before and behind, light, a lens.

A `Plan` says what there is; `draw` makes the picture and a soft mask of what is left to be seen of each bird. What is
near a bird is drawn at its scale, so that leaves, twigs and grass tell how large it is. As in `sights`, everything has
a random stream of its own, named by the plan's seed and by what it is.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from ..senses import Image, InputError
from . import bird_looks, sights
from .bird_bodies import Pose, Traits
from .bird_looks import Lamp

if TYPE_CHECKING:
    from jaxtyping import Float
    from PIL.Image import Image as Picture

PLACES = ("wood", "meadow", "shore", "sky")
PERCHES = ("branch", "post", "ground")
LIGHTS = ("day", "cloudy", "golden", "dusk")
LEAF_M = 0.05

Rng = np.random.Generator


@dataclass(frozen=True)
class Bird:
    """A bird in a picture: its traits and pose, the length of its body and the place (x, y) of its feet, in shares of
    the picture's side, and what it stands on. `cover` in [0, 1] is how much stands before it."""

    traits: Traits
    pose: Pose
    size: float
    x: float
    y: float
    perch: str = "branch"
    cover: float = 0.2


@dataclass(frozen=True)
class Plan:
    """What is to be seen. Birds are drawn in their order, later ones before earlier ones.

    `focus` is the blur of the background, in shares of the side. `mirrored` exchanges left and right in the end; the
    birds' `x` are those before. With `photo` that is the background, whatever the place.
    """

    seed: int
    light: str
    place: str
    birds: tuple[Bird, ...]
    focus: float = 0.012
    mirrored: bool = False
    photo: Image | None = None

    def __post_init__(self) -> None:
        if self.light not in LIGHTS or self.place not in PLACES or any(b.perch not in PERCHES for b in self.birds):
            raise InputError(
                f"Light is one of {', '.join(LIGHTS)}, the place one of {', '.join(PLACES)} and a perch one of "
                f"{', '.join(PERCHES)}; these are {self.light!r}, {self.place!r} and {[b.perch for b in self.birds]}."
            )
        for bird in self.birds:
            if not 0.02 <= bird.size <= 1.0:
                raise InputError(f"A bird's body is 0.02 to 1 of the picture's side, not {bird.size}.")

    def rng(self, what: str) -> Rng:
        """The random stream of one thing in this plan."""
        return np.random.default_rng([self.seed, zlib.crc32(what.encode())])


class _Canvas:
    """What has been drawn so far, back to front: light as the film has it, and how much of each bird is still seen."""

    def __init__(self, plan: Plan, side: int) -> None:
        self.plan, self.side = plan, side
        base, rng = sights.LIGHTS[plan.light], plan.rng("light")
        self.exposure = base.exposure * float(np.exp(rng.normal(0.05, 0.15)))
        sun, sky = sights._shifted(rng, base.sun, 0.12), sights._shifted(rng, base.ambient, 0.1)
        towards = np.array([rng.uniform(-0.9, 0.9), rng.uniform(0.35, 1.0), rng.uniform(0.25, 0.9)], np.float32)
        ground = (
            bird_looks._colour([0.14, 0.15, 0.08]) if plan.place != "shore" else bird_looks._colour([0.3, 0.27, 0.22])
        )
        self.lamp = Lamp(sun, sky, ground * (sun + sky), towards / np.linalg.norm(towards))
        self.film = np.zeros((side, side, 3), np.float32)
        self.masks = np.zeros((len(plan.birds), side, side), np.float32)

    def developed(self, light: np.ndarray) -> np.ndarray:
        return 1 - np.exp(-1.5 * self.exposure * np.maximum(light, 0))

    def put(self, alpha: np.ndarray, light: np.ndarray, top: int, left: int, bird: int | None = None) -> None:
        """Lay light over what is there, its first pixel at (top, left); what reaches beyond the picture is cut."""
        i0, j0 = max(0, -top), max(0, -left)
        i1, j1 = min(alpha.shape[0], self.side - top), min(alpha.shape[1], self.side - left)
        if i1 <= i0 or j1 <= j0:
            return
        a, box = alpha[i0:i1, j0:j1], (slice(top + i0, top + i1), slice(left + j0, left + j1))
        seen = self.developed(np.broadcast_to(light, (*alpha.shape, 3))[i0:i1, j0:j1])
        self.film[box] += a[..., None] * (seen - self.film[box])
        self.masks[:, box[0], box[1]] *= 1 - a
        if bird is not None:
            self.masks[bird][box] += a


# --- background ------------------------------------------------------------------------------------------------------


def _background(c: _Canvas) -> None:
    from PIL import Image as Pil
    from PIL import ImageFilter

    plan, rng = c.plan, c.plan.rng("background")
    if plan.photo is not None:
        picture = _part(rng, plan.photo, c.side)
    elif plan.place == "wood":
        c.film[:] = _wood(c, rng)
        return
    else:
        ground = {"meadow": "grass", "shore": str(rng.choice(["sand", "stones"])), "sky": "grass"}[plan.place]
        horizon = float(rng.uniform(0.85, 0.99)) if plan.place == "sky" else float(rng.uniform(0.2, 0.48))
        sources = ()
        if plan.place == "shore":
            sources = (sights.Source("sea", {"wave_height_m": float(rng.uniform(0.2, 0.8))},
                                     float(rng.uniform(18, 45))),)  # fmt: skip
        camera = sights.Camera(float(rng.uniform(25, 50)), float(rng.uniform(0.4, 1.2)), horizon, 0.0)
        share = 0.5 if plan.focus < 0.008 else 0.3
        what = sights.Plan(int(rng.integers(2**31)), plan.light, ground, camera, sources, float(rng.uniform(0.2, 1)))
        picture = Pil.fromarray(np.asarray(sights.draw(what, max(sights.MIN_SIDE, round(share * c.side))).image.pixels))
    picture = picture.resize((c.side, c.side), Pil.Resampling.BICUBIC)
    picture = picture.filter(ImageFilter.GaussianBlur(plan.focus * c.side))
    c.film[:] = (np.asarray(picture, np.float32) / 255) ** 2.2


def _part(rng: Rng, photo: Image, side: int) -> Picture:
    """A square part of the photo, most of it."""
    from PIL import Image as Pil

    short = min(photo.width, photo.height)
    size = short * float(rng.uniform(0.6, 1.0))
    x, y = rng.uniform(0, photo.width - size), rng.uniform(0, photo.height - size)
    box = (float(x), float(y), float(x + size), float(y + size))
    return Pil.fromarray(np.asarray(photo.pixels)).resize((side, side), Pil.Resampling.BILINEAR, box=box)


def _wood(c: _Canvas, rng: Rng) -> np.ndarray:
    """Foliage far out of focus: a soft ground of greens, with gaps of sky and discs of light."""
    n = c.side
    green = sights._shifted(rng, [(0.07, 0.12, 0.03), (0.12, 0.15, 0.05), (0.16, 0.13, 0.05), (0.05, 0.08, 0.05)]
                            [int(rng.integers(4))], 0.25)  # fmt: skip
    soft, broad = sights._patch(rng, "soft", n, n), sights._patch(rng, "soft", n, n)
    fall = (np.arange(n, dtype=np.float32)[:, None] / n - 0.5) * rng.uniform(-1.2, 0.6)
    tone = np.exp(0.55 * soft + 0.35 * fall)[..., None] * green
    warm = np.exp(0.12 * broad[..., None] * np.array([1.0, 0.2, -0.8], np.float32))
    light = tone * warm * (c.lamp.sky + 0.5 * c.lamp.sun)
    gap = sights._step(0.7, 1.6, soft * 0.8 + broad * 0.6 - 1.2 * fall + rng.normal(-0.3, 0.5))[..., None]
    light = light + gap * (0.8 * np.array(sights.LIGHTS[c.plan.light].low, np.float32) - light)
    film = c.developed(light)
    radius = (0.02 + 0.8 * c.plan.focus) * n
    for _ in range(int(rng.integers(5, 45))):
        y, x = rng.uniform(0, n, 2)
        r = radius * float(np.exp(rng.normal(0.2, 0.4)))
        i, j = max(0, int(y - 1.2 * r)), max(0, int(x - 1.2 * r))
        part = film[i : int(y + 1.2 * r) + 1, j : int(x + 1.2 * r) + 1]
        d = np.hypot(np.arange(i, i + part.shape[0])[:, None] - y, np.arange(j, j + part.shape[1])[None] - x)
        alpha = sights._step(0.12, -0.12, d / r - 1)[..., None] * float(rng.uniform(0.1, 0.5))
        shine = (
            green * float(np.exp(rng.normal(0.9, 0.6))) if rng.random() < 0.7 else bird_looks._colour([0.7, 0.66, 0.56])
        )
        part += alpha * (c.developed(shine * (c.lamp.sun * 0.8 + c.lamp.sky)) - part)
    return film + 0.004 * sights._patch(rng, "rough", n, n)[..., None]


# --- perches ---------------------------------------------------------------------------------------------------------


def _tube(
    c: _Canvas, rng: Rng, ends: tuple[tuple[float, float], tuple[float, float]], thick: tuple[float, float],
    bark: np.ndarray, bend: float = 0.0,
) -> None:  # fmt: skip
    """A branch or a post from one (row, column) to another, so thick at its ends (pixels), with bark on it."""
    (y0, x0), (y1, x1) = ends
    length = math.hypot(y1 - y0, x1 - x0)
    most = max(thick) + abs(bend) + 2
    i0, i1 = max(0, int(min(y0, y1) - most)), min(c.side, int(max(y0, y1) + most) + 1)
    j0, j1 = max(0, int(min(x0, x1) - most)), min(c.side, int(max(x0, x1) + most) + 1)
    if i1 <= i0 or j1 <= j0 or length < 1:
        return
    dy, dx = (y1 - y0) / length, (x1 - x0) / length
    row = np.arange(i0, i1, dtype=np.float32)[:, None] + 0.5 - y0
    column = np.arange(j0, j1, dtype=np.float32)[None] + 0.5 - x0
    s, v = (row * dy + column * dx) / length, column * -dy + row * dx
    grain = sights._sample("natural", int(rng.integers(4)), s * length * 0.6 + rng.uniform(0, 512), v * 3)
    knots = sights._sample("soft", int(rng.integers(4)), s * length * 0.7 + rng.uniform(0, 512), v * 0.3)
    half = np.maximum(0.5 * (thick[0] + (thick[1] - thick[0]) * s) * (1 + 0.10 * knots), 0.3)
    v = (v - bend * 4 * s * (1 - s)) / half
    alpha = np.clip((1 - np.abs(v)) * half + 0.5, 0, 1) * np.clip(s * length + 0.5, 0, 1)
    alpha = alpha * np.clip((1 - s) * length + 0.5, 0, 1)
    low = np.clip(v, -1, 1)
    z = np.sqrt(1 - low**2)
    # The picture's rows go down: the normal across the tube points along (dx, -dy) turned, v grows with rows × dx.
    normal = np.stack([low * -dy, -low * dx, z], axis=-1)
    shade = np.clip(normal @ c.lamp.towards, 0, 1)[..., None] * c.lamp.sun
    shade = shade + (0.5 + 0.5 * normal[..., 1:2]) * c.lamp.sky + (0.5 - 0.5 * normal[..., 1:2]) * c.lamp.ground
    rough = np.clip(1 + 0.28 * grain + 0.15 * knots, 0.25, 1.9)[..., None]
    c.put(alpha.astype(np.float32), (bark * rough * shade).astype(np.float32), i0, j0)


def _leaf(c: _Canvas, rng: Rng, y: float, x: float, angle: float, long: float, colour: np.ndarray) -> None:
    """A leaf from (y, x) on, `long` pixels, folded a little along its rib."""
    wide = long * float(rng.uniform(0.17, 0.27))
    tip, reach = (y - long * math.sin(angle), x + long * math.cos(angle)), wide + 2
    i0, i1 = int(min(y, tip[0]) - reach), int(max(y, tip[0]) + reach) + 1
    j0, j1 = int(min(x, tip[1]) - reach), int(max(x, tip[1]) + reach) + 1
    tilt = rng.uniform(-0.6, 0.6, 2)
    if i1 < 0 or j1 < 0 or i0 > c.side or j0 > c.side:
        return
    row, column = np.arange(i0, i1)[:, None] + 0.5 - y, np.arange(j0, j1)[None] + 0.5 - x
    s = (column * math.cos(angle) - row * math.sin(angle)) / long
    v = column * math.sin(angle) + row * math.cos(angle) + 0.10 * long * s * s * tilt[0]
    half = wide * np.clip(np.sin(np.pi * np.clip(s, 0, 1) ** 0.8), 0, 1)
    alpha = np.clip(half - np.abs(v) + 0.5, 0, 1) * (s > 0) * (s < 1)
    fold = np.where(v > 0, 1.0, -1.0) * 0.35
    normal = np.stack(np.broadcast_arrays(tilt[0] + 0 * v, 0.55 + fold + 0 * s, 0.75 + 0.2 * tilt[1] + 0 * v), axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    facing = np.abs(normal @ c.lamp.towards)[..., None]
    veins = 1 - 0.12 * sights._step(0.75, 1.0, np.abs(2 * ((6 * s - np.abs(v) / wide) % 1.0) - 1))
    rib = 1 + 0.35 * np.exp(-((v / (0.05 * wide + 0.4)) ** 2))
    light = colour * (facing * c.lamp.sun + 0.8 * c.lamp.sky) * (veins * rib)[..., None]
    c.put(alpha.astype(np.float32), light.astype(np.float32), i0, j0)


_BARK = ((0.13, 0.10, 0.08), (0.22, 0.19, 0.16), (0.18, 0.12, 0.07), (0.3, 0.28, 0.25))
_GREEN = ((0.09, 0.17, 0.03), (0.14, 0.20, 0.05), (0.06, 0.11, 0.04), (0.30, 0.22, 0.04), (0.32, 0.11, 0.03))


def _behind(c: _Canvas, k: int, bird: Bird) -> None:
    """What a bird stands on, and what is behind it: its branch or post, or its shadow on the ground."""
    rng, px = c.plan.rng(f"perch {k}"), bird.size * c.side
    y, x = bird.y * c.side, bird.x * c.side
    bark = sights._shifted(rng, _BARK[int(rng.integers(4))], 0.2)
    if bird.perch == "ground":
        _shadow(c, y + 0.01 * px, x, 0.5 * px)
        return
    if bird.perch == "post":
        wide = px * float(rng.uniform(0.35, 0.7))
        _tube(c, rng, ((y, x), (c.side + 2.0, x + float(rng.normal(0, 0.05)) * px)), (wide, wide), bark * 1.3)
        return
    metre = px / bird.traits["length_m"]
    thick = float(np.clip(metre * rng.uniform(0.010, 0.022), 0.10 * px, 0.32 * px))
    slope = float(rng.normal(0, 0.18))
    ends = [
        (y - slope * reach, x + reach) for reach in (-rng.uniform(0.4, 1.5) * c.side, rng.uniform(0.4, 1.5) * c.side)
    ]
    if rng.random() < 0.5:
        ends.reverse()
    drop = 0.5 * thick + 0.01 * px
    for _ in range(int(rng.integers(0, 4))):  # twigs that leave it
        s, turn = float(rng.uniform(-2, 2)), float(rng.choice([-1, 1])) * float(rng.uniform(0.35, 0.9))
        start = (y + drop - slope * s * px, x + s * px)
        far = float(rng.uniform(0.6, 1.8)) * px
        end = (start[0] - far * math.sin(turn), start[1] + far * math.cos(turn) * float(rng.choice([-1, 1])))
        _tube(c, rng, (start, end), (0.4 * thick, 0.12 * thick), bark, 0.1 * far)
        _leaves(c, rng, bird, [(start[0] + t * (end[0] - start[0]), start[1] + t * (end[1] - start[1]))
                               for t in rng.uniform(0.4, 1.0, int(rng.integers(1, 5)))])  # fmt: skip
    _tube(
        c, rng, ((ends[0][0] + drop, ends[0][1]), (ends[1][0] + drop, ends[1][1])), (1.25 * thick, 0.75 * thick), bark
    )


def _before(c: _Canvas, k: int, bird: Bird) -> None:
    """What hides part of a bird: leaves of its branch, or grass at its feet."""
    rng, px = c.plan.rng(f"cover {k}"), bird.size * c.side
    y, x = bird.y * c.side, bird.x * c.side
    if bird.perch == "ground" and c.plan.place != "shore":
        _grass(c, rng, y, x, px, bird)
        return
    metre = px / bird.traits["length_m"]
    spots = [(y + 0.06 * px, x + float(d) * px) for d in rng.uniform(-1.6, 1.6, int(rng.integers(1, 7)))]
    if rng.random() < bird.cover and bird.perch == "branch":  # a spray before its body
        turn, far = float(rng.uniform(0.3, 1.2)), min(1.3 * px, 0.25 * metre)
        foot = (y + 0.5 * px, x + float(rng.choice([-1, 1])) * 0.75 * px)
        end = (foot[0] - far * math.sin(turn), foot[1] + math.copysign(far * math.cos(turn), x - foot[1]))
        bark = sights._shifted(rng, _BARK[0], 0.2)
        _tube(c, rng, (foot, end), (0.006 * metre, 0.003 * metre), bark, 0.08 * far)
        spots += [(foot[0] + t * (end[0] - foot[0]), foot[1] + t * (end[1] - foot[1])) for t in (0.45, 0.7, 0.95, 1.0)]
    if bird.perch == "branch":
        _leaves(c, rng, bird, spots)


def _leaves(c: _Canvas, rng: Rng, bird: Bird, spots: list[tuple[float, float]]) -> None:
    metre = bird.size * c.side / bird.traits["length_m"]
    green = sights._shifted(
        c.plan.rng("leaves"), _GREEN[int(c.plan.rng("sort").choice(5, p=[0.3, 0.3, 0.2, 0.1, 0.1]))], 0.2
    )
    for y, x in spots:
        long = LEAF_M * metre * float(np.exp(rng.normal(0, 0.25)))
        colour = sights._shifted(rng, green, 0.18)
        _leaf(c, rng, y, x, float(rng.uniform(0, 2 * np.pi)), float(np.clip(long, 4, 0.35 * c.side)), colour)


def _shadow(c: _Canvas, y: float, x: float, half: float) -> None:
    row, column = np.arange(c.side)[:, None] + 0.5 - y, np.arange(c.side)[None] + 0.5 - x
    towards = c.lamp.towards
    long = half * (1 + 0.6 * abs(float(towards[0]) / max(0.3, float(towards[1]))))
    shift = -0.5 * float(towards[0]) / max(0.4, float(towards[1])) * half
    d = np.hypot(row / (0.16 * half), (column - shift) / long)
    strong = 0.55 * float(c.lamp.sun.sum() / (c.lamp.sun.sum() + c.lamp.sky.sum())) + 0.1
    c.film *= (1 - strong * sights._step(1.25, 0.2, d))[..., None]


def _grass(c: _Canvas, rng: Rng, y: float, x: float, px: float, bird: Bird) -> None:
    """Blades before its feet, up to 6 cm and more where there is much cover."""
    metre = px / bird.traits["length_m"]
    count = 150
    tall = np.clip(metre * rng.uniform(0.015, 0.03 + 0.05 * bird.cover, count), 2, 0.75 * px)[:, None]
    foot = y + np.abs(rng.normal(0, 0.10, (count, 1))) * px + 0.04 * px
    place = x + rng.normal(0, 1.1, (count, 1)) * px
    s = np.linspace(0, 1, 2 + int(1.5 * float(tall.max())))[None]
    rows = foot - tall * s
    columns = place + tall * rng.normal(0, 0.3, (count, 1)) * s**2
    thick = np.clip(0.0035 * metre, 0.35, 3.0) * (1.15 - s) * tall / float(tall.max())
    cover = sights._splat((c.side, c.side), rows, columns, thick)
    tone = thick * rng.uniform(0.6, 1.5, (count, 1)) * (0.45 + 0.8 * s)
    bright = sights._splat((c.side, c.side), rows, columns, tone) / np.maximum(cover, 1e-4)
    base = sights._shifted(c.plan.rng("leaves"), (0.13, 0.19, 0.045), 0.25)
    light = base * bright[..., None] * (0.6 * c.lamp.sun + c.lamp.sky)
    c.put(np.clip(1.6 * cover, 0, 1), light, 0, 0)


# --- the picture -----------------------------------------------------------------------------------------------------


def draw(plan: Plan, side: int = 224) -> tuple[Image, Float[np.ndarray, "birds h w"]]:
    """The picture of a plan, `side` pixels square, and what is seen of each bird, in [0, 1]; masks sum to at most 1.

    The same plan gives the same picture. Raises InputError for a side below 32 or above 1024.
    """
    if not sights.MIN_SIDE <= side <= sights.MAX_SIDE:
        raise InputError(f"A picture is {sights.MIN_SIDE} to {sights.MAX_SIDE} pixels wide, not {side}.")
    c = _Canvas(plan, side)
    _background(c)
    for k, bird in enumerate(plan.birds):
        _behind(c, k, bird)
        made = bird_looks.sprite(bird.traits, bird.pose, bird.size * side, c.lamp)
        top, left = round(bird.y * side - made.foot[0]), round(bird.x * side - made.foot[1])
        c.put(made.alpha, made.light, top, left, k)
        _before(c, k, bird)
    return _exposed(c)


def _exposed(c: _Canvas) -> tuple[Image, np.ndarray]:
    """The camera: white balance, contrast, vignette, sharpness, grain; 8-bit sRGB."""
    rng, n = c.plan.rng("camera"), c.side
    film = c.film * np.exp(rng.normal(0, 0.05) * np.array([1.0, 0, -1.0]) + rng.normal(0, 0.05))
    grid = (np.arange(n) + 0.5) / n - 0.5
    film = film * (1 - rng.uniform(0, 0.5) * (grid[:, None] ** 2 + grid[None] ** 2)[..., None])
    film = film + rng.uniform(0.0, 0.3) * film * (1 - film) * (2 * film - 0.9)
    soft = float(rng.uniform(0.3, 0.75)) * n / 224
    film = ndimage.gaussian_filter(film.astype(np.float32), (soft, soft, 0), truncate=3.0)
    noise = rng.standard_normal((n, n, 3), np.float32) * np.float32(rng.uniform(0.002, 0.015))
    film = np.clip(film, 0, 1) + noise * np.sqrt(np.clip(film, 0.03, 1))
    pixels = np.round(255 * np.clip(film, 0, 1) ** (1 / 2.2)).astype(np.uint8)
    masks = np.clip(c.masks, 0, 1)
    if c.plan.mirrored:
        pixels, masks = pixels[:, ::-1], masks[..., ::-1]
    return Image(np.ascontiguousarray(pixels)), np.ascontiguousarray(masks)
