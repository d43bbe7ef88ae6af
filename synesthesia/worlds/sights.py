"""Sights: pictures of places that sound, drawn from numbers, for kinds of which there are few photos or none.

A `Plan` says what there is: ground, light, camera, and one to three sources (a river, rain, thunder, wind in trees, a
fire, a waterfall, the sea), each with its parameters and its distance. `draw` makes the picture, a soft mask of each
source and the distance of every pixel. Everything that is drawn has a random stream of its own, named by the plan's
seed and by what it is, so another fire size moves no tree.

The camera is a pinhole whose picture plane stands upright (as in a view camera: it looks up or down by moving the
horizon, verticals stay vertical), h metres above a plane: a pixel i rows below the horizon sees ground at
Z = h f / i, f the focal length in pixels. Textures have spectra that fall as 1/f in amplitude, as photographs have
(Field 1987, J. Opt. Soc. Am. A 4, 2379). Light is linear until the last step. NumPy only.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..senses import Image, InputError
from .noises import check

if TYPE_CHECKING:
    from jaxtyping import Float

GROUNDS = ("grass", "sand", "soil", "stones")
MIN_SIDE, MAX_SIDE = 32, 1024
FAR = 1e5  # metres; the sky
_MARGIN = 1.16  # the canvas is larger than the picture, so that it can be turned

Rng = np.random.Generator
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """Vertical field of view, height above the ground, the horizon (share of the picture from the top), roll."""

    fov_deg: float = 55.0
    height_m: float = 1.6
    horizon: float = 0.45
    roll_deg: float = 0.0


@dataclass(frozen=True)
class Source:
    """Something that sounds: its kind, the parameters of that kind's law, its distance, and where across the picture.

    `x` is the place of its foot, 0 (left) to 1 (right); for the sea, rain and wind it only turns things about.
    """

    kind: str
    parameters: Mapping[str, float]
    distance_m: float
    x: float = 0.5


@dataclass(frozen=True)
class Plan:
    """What is to be seen. `trees` in [0, 1] is how many plants stand about (those that wind moves are its own).

    `mirrored` exchanges left and right in the end; the sources' `x` are those before.
    """

    seed: int
    light: str
    ground: str
    camera: Camera
    sources: tuple[Source, ...]
    trees: float = 0.3
    mirrored: bool = False

    def __post_init__(self) -> None:
        if self.light not in LIGHTS or self.ground not in GROUNDS:
            raise InputError(
                f"Light is one of {', '.join(LIGHTS)} and ground one of {', '.join(GROUNDS)}, not "
                f"{self.light!r} and {self.ground!r}."
            )
        for source in self.sources:
            check(source.kind, source.parameters, source.distance_m)
        kinds = [source.kind for source in self.sources]
        if len(set(kinds)) != len(kinds):
            raise InputError(f"Each kind comes once in a picture; this plan has {', '.join(kinds)}.")


@dataclass(frozen=True, eq=False)
class Sight:
    """A picture; a soft mask in [0, 1] of what is seen of each source; the distance of each pixel in metres."""

    image: Image
    masks: Float[np.ndarray, "sources h w"]
    depth: Float[np.ndarray, "h w"]


# --- light ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Light:
    """Linear light: sky above and at the horizon, the sun (or moon), the sky's light on things; metres one can see."""

    top: Colour
    low: Colour
    sun: Colour
    ambient: Colour
    visibility: float
    exposure: float


LIGHTS: dict[str, _Light] = {
    "day": _Light((0.09, 0.24, 0.60), (0.52, 0.66, 0.84), (1.25, 1.18, 1.02), (0.30, 0.37, 0.47), 6000, 1.0),
    "cloudy": _Light((0.42, 0.46, 0.52), (0.70, 0.72, 0.74), (0.20, 0.19, 0.18), (0.46, 0.48, 0.51), 3000, 1.1),
    "golden": _Light((0.16, 0.24, 0.46), (0.95, 0.60, 0.32), (1.15, 0.62, 0.28), (0.26, 0.24, 0.28), 3500, 1.1),
    "dusk": _Light((0.045, 0.065, 0.17), (0.50, 0.25, 0.20), (0.10, 0.05, 0.04), (0.085, 0.085, 0.135), 4000, 2.3),
    "storm": _Light((0.055, 0.062, 0.075), (0.20, 0.22, 0.24), (0.02, 0.02, 0.02), (0.13, 0.145, 0.165), 1500, 1.5),
    "night": _Light(
        (0.004, 0.006, 0.013), (0.016, 0.020, 0.032), (0.014, 0.016, 0.022), (0.008, 0.010, 0.016), 5000, 8.0
    ),
}


def _shifted(rng: Rng, colour: Sequence[float] | np.ndarray, spread: float = 0.12) -> np.ndarray:
    """A colour, made a little brighter or darker, warmer or colder."""
    warm = rng.normal(0, 0.4 * spread)
    scale = np.exp(rng.normal(0, spread) + warm * np.array([1.0, 0.1, -1.0]))
    return (np.asarray(colour) * scale).astype(np.float32)


# --- textures ------------------------------------------------------------------------------------------------------

_TILE = 512
_PERIOD = 18.0  # the octave tile's dominant wavelength in its pixels
# Slope of the amplitude spectrum and how much longer than high its grains are; "octave" holds one octave only.
_TILES = {"rough": (0.55, 1.0), "natural": (1.0, 1.0), "soft": (1.9, 1.0), "streak": (0.9, 9.0), "octave": (0.0, 1.0)}


@functools.cache
def _tile(kind: str, number: int) -> np.ndarray:
    """A field of mean 0 and deviation 1 that repeats every 512 pixels; one of four of its kind."""
    slope, longer = _TILES[kind]
    rng = np.random.default_rng([list(_TILES).index(kind), number])
    fy, fx = np.fft.fftfreq(_TILE)[:, None] * _TILE, np.fft.rfftfreq(_TILE)[None] * _TILE
    r = np.hypot(fy, fx * longer)
    r[0, 0] = np.inf
    shape = np.exp(-0.5 * (np.log2(r * _PERIOD / _TILE) / 0.45) ** 2) if kind == "octave" else (r + 2.0) ** -slope
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((_TILE, _TILE))) * shape, s=(_TILE, _TILE))
    return (field / field.std()).astype(np.float32)


@functools.cache
def _wrapped(kind: str, number: int) -> np.ndarray:
    """The tile with its first row and column once more at its end, flat, for `_sample`."""
    return np.pad(_tile(kind, number), (0, 1), mode="wrap").reshape(-1)


def _patch(rng: Rng, kind: str, height: int, width: int, upright: bool = False) -> np.ndarray:
    """A window of a tile at the scale of pixels, anywhere in it, perhaps mirrored; `upright` turns its grain."""
    tile = _tile(kind, int(rng.integers(4)))
    rows = (int(rng.integers(_TILE)) + np.arange(height) * int(rng.choice([-1, 1]))) % _TILE
    columns = (int(rng.integers(_TILE)) + np.arange(width) * int(rng.choice([-1, 1]))) % _TILE
    return tile.T[rows][:, columns] if upright else tile[rows][:, columns]


def _sample(kind: str, number: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A tile at (column u, row v), bilinear, repeating."""
    iu, iv = np.floor(u), np.floor(v)
    fu, fv = (u - iu).astype(np.float32), (v - iv).astype(np.float32)
    at = (iv.astype(np.int32) & (_TILE - 1)) * (_TILE + 1) + (iu.astype(np.int32) & (_TILE - 1))
    flat = _wrapped(kind, number)
    top = flat[at]
    top += (flat[at + 1] - top) * fu
    low = flat[at + (_TILE + 1)]
    low += (flat[at + (_TILE + 2)] - low) * fu
    return top + (low - top) * fv


def _fractal(
    rng: Rng, x: np.ndarray, z: np.ndarray, pixel: np.ndarray, coarse: float, octaves: int = 6,
    keep: float = 0.75, longer: float = 1.0,
) -> np.ndarray:  # fmt: skip
    """Noise on a surface at (x, z) metres, octaves from `coarse` metres down, none finer than `pixel` metres there.

    `longer` > 1 stretches it along x. Deviation about 1.
    """
    out, weight = np.zeros(x.shape, np.float32), 1.0
    turn = rng.uniform(-0.35, 0.35) if longer > 1 else rng.uniform(0, 2 * np.pi)
    c, s = math.cos(turn), math.sin(turn)
    for k in range(octaves):
        wave = coarse / 2**k
        du, dv = (float(offset) for offset in rng.uniform(0, _TILE, 2))
        fade = _step(0.8, 2.5, wave / pixel)
        rows = np.flatnonzero(fade.any(axis=1))
        if len(rows):
            part, scale = slice(rows[0], rows[-1] + 1), _PERIOD / wave
            u, v = (c * x[part] + s * z[part]) * (scale / longer) + du, (c * z[part] - s * x[part]) * scale + dv
            out[part] += weight * fade[part] * _sample("octave", k % 4, u, v)
        weight *= keep
    return out / math.sqrt(sum(keep ** (2 * k) for k in range(octaves)))


def _step(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def _blur(field: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur [H, W] with reflection at the edges left out: what leaves the picture is gone."""
    h, w = field.shape
    pad = int(3 * sigma) + 1
    fy, fx = np.fft.fftfreq(h + pad)[:, None], np.fft.rfftfreq(w + pad)[None]
    gain = np.exp(-2 * (np.pi * sigma) ** 2 * (fy**2 + fx**2)).astype(np.float32)
    spectrum = np.fft.rfft2(field.astype(np.float32), s=(h + pad, w + pad)) * gain
    return np.maximum(np.fft.irfft2(spectrum, s=(h + pad, w + pad))[:h, :w], 0).astype(np.float32)


def _splat(shape: tuple[int, int], rows: np.ndarray, columns: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Points spread over the four pixels around each: what thin things (blades, streaks, bolts) are drawn with."""
    h, w = shape
    rows, columns, weight = (np.broadcast_to(a, np.broadcast_shapes(rows.shape, columns.shape, weight.shape)).ravel()
                             for a in (rows, columns, weight))  # fmt: skip
    i, j = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    fi, fj = rows - i, columns - j
    out = np.zeros(h * w)
    for di, dj, share in ((0, 0, (1 - fi) * (1 - fj)), (0, 1, (1 - fi) * fj), (1, 0, fi * (1 - fj)), (1, 1, fi * fj)):
        ii, jj = i + di, j + dj
        inside = (ii >= 0) & (ii < h) & (jj >= 0) & (jj < w)
        out += np.bincount((ii * w + jj)[inside], (share * weight)[inside], minlength=h * w)
    return out.reshape(h, w).astype(np.float32)


# --- the canvas ----------------------------------------------------------------------------------------------------


class _Canvas:
    """What has been drawn so far, back to front: light, albedo, distance, and how much of each source is still seen."""

    def __init__(self, plan: Plan, side: int) -> None:
        self.plan, self.camera = plan, plan.camera
        self.side = n = int(math.ceil(side * _MARGIN / 2) * 2)
        self.unit = side / 224  # textures at the scale of pixels are drawn for 224
        self.f = side / 2 / math.tan(math.radians(plan.camera.fov_deg) / 2)
        self.horizon = (n - side) / 2 + plan.camera.horizon * side
        self.middle = n / 2
        self.row, self.column = np.arange(n, dtype=np.float32)[:, None], np.arange(n, dtype=np.float32)[None]
        below = np.maximum(self.row + 0.5 - self.horizon, 0.25) + 0 * self.column
        self.z = (plan.camera.height_m * self.f / below).astype(np.float32)
        self.x = ((self.column + 0.5 - self.middle) * self.z / self.f).astype(np.float32)
        # Metres that a pixel covers on the ground: the mean of across and away.
        self.pixel = self.z / self.f * np.sqrt(self.z / plan.camera.height_m)
        self.land = _step(-0.5, 0.5, self.row + 0.5 - self.horizon) + 0 * self.column
        self.light = np.zeros((n, n, 3), np.float32)
        self.albedo = np.zeros((n, n, 3), np.float32)
        self.depth = np.full((n, n), FAR, np.float32)
        self.masks = np.zeros((len(plan.sources), n, n), np.float32)

        base, rng = LIGHTS[plan.light], self.rng("light")
        self.top, self.low = _shifted(rng, base.top, 0.15), _shifted(rng, base.low, 0.12)
        self.sun, self.ambient = _shifted(rng, base.sun, 0.15), _shifted(rng, base.ambient, 0.1)
        self.sun_side = float(rng.choice([-1, 1])) * float(rng.uniform(0.3, 1))
        self.visibility = base.visibility * float(np.exp(rng.normal(-0.3, 0.7)))
        self.dark = plan.light in ("night", "dusk", "storm")

    def rng(self, what: str) -> Rng:
        """The random stream of one thing in this plan."""
        return np.random.default_rng([self.plan.seed, zlib.crc32(what.encode())])

    def source(self, kind: str) -> tuple[int, Source] | None:
        """The source of this kind with its number, if the plan has one."""
        return next(((n, s) for n, s in enumerate(self.plan.sources) if s.kind == kind), None)

    def at(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Row and column of a point x right, y above the ground, z away (metres)."""
        return self.horizon + self.f * (self.camera.height_m - y) / z, self.middle + self.f * x / z

    def lit(self, shade: np.ndarray | float = 0.6) -> np.ndarray:
        """Light that falls on a surface whose share of the sun is `shade`."""
        return self.ambient + np.asarray(shade, np.float32)[..., None] * self.sun

    def put(
        self, alpha: np.ndarray, albedo: np.ndarray, shade: np.ndarray | float, depth: np.ndarray | float,
        source: int | None = None, box: tuple[slice, slice] = (slice(None), slice(None)),
        own_light: np.ndarray | float | None = None,
    ) -> None:  # fmt: skip
        """Lay a surface over what is there. With `own_light` that is what is seen, whatever falls on it."""
        a = alpha[..., None].astype(np.float32)
        seen = np.asarray(albedo * self.lit(shade) if own_light is None else own_light, np.float32)
        self.light[box] += a * (seen - self.light[box])
        self.albedo[box] += a * (np.asarray(albedo, np.float32) - self.albedo[box])
        self.depth[box] = np.where(alpha > 0.5, depth, self.depth[box])
        self.masks[:, box[0], box[1]] *= 1 - alpha
        if source is not None:
            self.masks[source][box] += alpha

    def box(self, top: float, bottom: float, left: float, right: float) -> tuple[slice, slice] | None:
        """The part of this rectangle that lies on the canvas, if any."""
        i0, i1 = max(0, math.floor(top)), min(self.side, math.ceil(bottom))
        j0, j1 = max(0, math.floor(left)), min(self.side, math.ceil(right))
        return (slice(i0, i1), slice(j0, j1)) if i1 > i0 and j1 > j0 else None


# --- sky and land --------------------------------------------------------------------------------------------------


def _sky(c: _Canvas) -> None:
    rng = c.rng("sky")
    up = np.maximum(c.horizon - c.row - 0.5, 0) / c.f + 0 * c.column
    t = np.clip(up / rng.uniform(0.5, 1.0), 0, 1)[..., None] ** rng.uniform(0.5, 0.8)
    sky = c.low * (1 - t) + c.top * t
    across = (c.column + 0.5 - c.middle) / c.f
    sx, sy = c.sun_side * 0.7, rng.uniform(0.02, 0.25) if c.plan.light in ("golden", "dusk") else rng.uniform(0.4, 0.9)
    gap = np.hypot(across - sx, up - sy)[..., None]
    sky = sky + c.sun * (0.25 * np.exp(-gap / 0.25) + 0.6 * np.exp(-((gap / 0.06) ** 2)))
    if c.plan.light == "golden":
        sky = sky + 6 * c.sun * _step(-0.025, -0.018, -gap)
    # Clouds lie on a plane above: the nearer the horizon, the denser they seem.
    far = 1 / (up + 0.09)
    cover = {"day": rng.uniform(-0.2, 2.2), "cloudy": rng.uniform(-1.2, -0.4), "storm": rng.uniform(-1.3, -0.6)}.get(
        c.plan.light, rng.uniform(-0.4, 2.0)
    )
    plane = np.full_like(far, 0.004) * far**2
    kind = rng.uniform(0.8, 1.6)
    n = _fractal(rng, across * far, 1.0 * far, plane, 4.0 * kind, 7, 0.62, longer=rng.uniform(1, 2.2))
    lit = np.clip(0.55 - 0.33 * n + 0.25 * _patch(rng, "soft", c.side, c.side), 0.05, 1.3)[..., None]
    alpha = (_step(0, 1.3, n - cover) * _step(0.0, 0.06, up) * rng.uniform(0.6, 1.0))[..., None]
    body = {"storm": 0.75, "night": 0.5, "dusk": 0.9}.get(c.plan.light, 1.0)
    cloud = (c.ambient * 1.3 + c.sun * 0.55 * lit) * (0.55 + 0.55 * lit) * body
    if c.plan.light in ("golden", "dusk"):
        cloud = cloud * 0.6 + 0.5 * c.low * (1 - t) * (0.4 + lit)
    sky = sky + alpha * (cloud - sky)
    if c.plan.light == "night" and c.source("rain") is None and c.source("thunder") is None:
        count = int(rng.integers(30, 350))
        star = _splat((c.side, c.side), rng.uniform(0, c.side, count), rng.uniform(0, c.side, count),
                      rng.pareto(2.0, count).clip(0, 6) * 0.05)  # fmt: skip
        sky = sky + star[..., None] * (1 - alpha) * (up > 0.03)[..., None]
    c.put(np.ones((c.side, c.side), np.float32), np.zeros(3), 0.0, FAR, own_light=sky)


def _hills(c: _Canvas) -> None:
    """Ridges and a far line of trees, each hazier the farther."""
    rng = c.rng("hills")
    sea = c.source("sea") is not None
    for k in range(int(rng.integers(0, 2 if sea else 4))):
        away = 5000 / 2.2**k * float(rng.uniform(0.7, 1.4))
        rough = "soft" if k == 0 else "natural"
        line = _patch(rng, rough, 1, c.side)[0] * rng.uniform(3, 9) + _patch(rng, "natural", 1, c.side)[0] * 1.2
        height = (rng.uniform(4, 30) / (1 + 0.5 * k) + line) * c.unit
        if sea:  # a headland at one side
            slope = (c.column[0] / c.side - 0.5) * float(rng.choice([-1, 1])) * 3 + rng.uniform(-1.2, 0.3)
            height = np.minimum(height, 40 * c.unit * slope)
        alpha = _step(-0.8, 0.8, c.row - (c.horizon - height)) * (1 - c.land * 0)
        alpha *= _step(-1.5, 0.0, c.horizon + 1.5 - c.row)
        green = _shifted(rng, [(0.07, 0.10, 0.035), (0.13, 0.12, 0.06), (0.16, 0.15, 0.13)][int(rng.integers(3))], 0.25)
        texture = 1 + 0.35 * _patch(rng, "rough", c.side, c.side) + 0.25 * _patch(rng, "natural", c.side, c.side)
        c.put(alpha, green * np.clip(texture, 0.2, 2.2)[..., None], 0.5, away)
    if not sea and rng.random() < 0.75:
        away = float(rng.uniform(60, 300))
        tall = c.f * rng.uniform(6, 14) / away
        line = tall * (1 + 0.3 * _patch(rng, "natural", 1, c.side)[0] + 0.10 * _patch(rng, "rough", 1, c.side)[0])
        foot = c.horizon + c.f * c.camera.height_m / away
        alpha = _step(-0.9, 0.9, c.row - (foot - line)) * _step(-0.6, 0.6, foot - c.row)
        leaf = _shifted(rng, (0.055, 0.085, 0.025), 0.3)
        texture = np.clip(0.8 + 0.45 * _patch(rng, "rough", c.side, c.side, upright=True), 0.15, 2.2)
        c.put(alpha, leaf * texture[..., None], np.clip(0.5 * texture - 0.1, 0, 1), away)


_GROUNDS: dict[str, tuple[tuple[Colour, Colour], ...]] = {
    "grass": (((0.09, 0.14, 0.03), (0.20, 0.23, 0.07)), ((0.20, 0.19, 0.07), (0.34, 0.29, 0.13))),
    "sand": (((0.46, 0.37, 0.25), (0.60, 0.51, 0.38)), ((0.36, 0.32, 0.27), (0.52, 0.48, 0.42))),
    "soil": (((0.13, 0.09, 0.06), (0.26, 0.19, 0.12)), ((0.22, 0.14, 0.06), (0.34, 0.22, 0.10))),
    "stones": (((0.12, 0.115, 0.11), (0.28, 0.27, 0.25)), ((0.15, 0.13, 0.11), (0.31, 0.27, 0.23))),
}


def _ground(c: _Canvas) -> None:
    rng = c.rng("ground")
    kinds = _GROUNDS[c.plan.ground]
    dark, light = (_shifted(rng, colour, 0.15) for colour in kinds[int(rng.integers(len(kinds)))])
    broad = _fractal(rng, c.x, c.z, c.pixel, 9.0, 5, 0.8)
    fine = _fractal(rng, c.x, c.z, c.pixel, 0.6, 5, 0.9)
    rough = {"grass": 0.5, "sand": 0.13, "soil": 0.4, "stones": 0.5}[c.plan.ground]
    grain = _patch(rng, "rough", c.side, c.side, upright=c.plan.ground == "grass")
    if c.plan.ground == "stones":  # cells: dark seams between bright tops
        fine = 1.3 - 2.2 * np.exp(-2.5 * np.abs(fine)) + 0.5 * _fractal(rng, c.x, c.z, c.pixel, 0.25, 3)
    t = np.clip(0.5 + 0.3 * broad + 0.2 * fine, 0, 1)[..., None]
    albedo = (dark * (1 - t) + light * t) * np.clip(1 + rough * (0.75 * fine + 0.25 * grain), 0.15, 2.2)[..., None]
    shade = np.clip(0.6 + rough * 0.5 * fine, 0.1, 1.2)
    c.put(c.land, albedo, shade, c.z)


def _blades(c: _Canvas) -> None:
    """Grass that stands up in front, leaning with the wind; part of what wind moves."""
    if c.plan.ground != "grass":
        return
    rng, wind = c.rng("blades"), c.source("wind")
    speed = wind[1].parameters["speed_m_s"] if wind else 0.0
    way = _downwind(c)
    near = c.camera.height_m * c.f / (c.side - c.horizon)
    count = 2600
    z = near * 0.85 * np.exp(rng.exponential(0.45, count))
    x = (rng.uniform(-0.1, 1.1, count) * c.side - c.middle) * z / c.f
    tall = float(np.exp(rng.uniform(math.log(0.08), math.log(0.5)))) * np.exp(rng.normal(0, 0.35, count))
    s = np.linspace(0, 1, 14)[None]
    gust = np.clip(speed / 8, 0, 2.2) * (1 + 0.3 * rng.normal(size=count))
    lean = (rng.normal(0, 0.25, count) + way * gust)[:, None]
    px = x[:, None] + tall[:, None] * lean * s**2
    py = tall[:, None] * s / np.sqrt(1 + lean**2 * s**2)
    rows = c.horizon + c.f * (c.camera.height_m - py) / z[:, None]
    columns = c.middle + c.f * px / z[:, None]
    thick = np.clip(c.f * tall / z / 14, 0.15, 2.2)[:, None] * (1.15 - s)
    shape = (c.side, c.side)
    cover = _splat(shape, rows, columns, thick)
    tint = rng.uniform(0.5, 1.5, count)[:, None] * (0.45 + 0.8 * s)
    bright = _splat(shape, rows, columns, thick * tint) / np.maximum(cover, 1e-4)
    base = _shifted(rng, (0.16, 0.20, 0.055) if rng.random() < 0.65 else (0.30, 0.26, 0.11), 0.2)
    alpha = np.clip(cover, 0, 1) * 0.9 * c.land
    c.put(alpha, base * bright[..., None], 0.7, c.z, wind[0] if wind else None)


def _downwind(c: _Canvas) -> float:
    """Which way the wind blows: −1 left, +1 right."""
    return float(c.rng("wind's way").choice([-1, 1]))


# --- plants and stones ---------------------------------------------------------------------------------------------

_LEAVES = ((0.06, 0.10, 0.02), (0.10, 0.14, 0.03), (0.045, 0.075, 0.03), (0.20, 0.15, 0.03), (0.24, 0.10, 0.025))


def _tree(c: _Canvas, tree: _Tree, wind: float, source: int | None) -> None:
    """A tree; `wind` (m/s, positive to the right) bends it and blurs its leaves."""
    rng, sort, z = c.rng(f"look of tree {tree.number}"), tree.sort, tree.z
    foot, column = c.at(tree.x, 0, z)
    size = c.f * tree.tall / z
    if size < 4:
        return
    stiff = {"broad": 24.0, "fir": 32.0, "palm": 20.0, "bush": 16.0}[sort]
    lean = math.copysign(0.75 * math.tanh((abs(wind) / stiff) ** 1.5 * 1.6), wind) * float(
        rng.uniform(0.7, 1.2)
    ) + float(rng.normal(0, 0.03))
    reach = size * (0.75 + abs(lean))
    box = c.box(foot - 1.15 * size, foot + 1, column - reach, column + reach)
    seeds = rng.integers(2**31, size=3)
    if box is None:
        return
    v = (foot - c.row[box[0]]) / size
    bent = lean * np.clip(v, 0, 1.2) ** 1.8
    u = (c.column[:, box[1]] - column) / size - bent
    shape = np.broadcast_shapes(u.shape, v.shape)
    v = v + 0 * u
    shapes, grain, tint = (np.random.default_rng(int(s)) for s in seeds)
    leaf = _shifted(tint, _LEAVES[int(tint.choice(5, p=[0.34, 0.3, 0.2, 0.09, 0.07]))], 0.25)
    bark = _shifted(tint, (0.10, 0.075, 0.055), 0.3)
    if sort == "palm":
        _palm(c, shapes, box, foot, column, size, lean, leaf, bark, z, source)
        return
    noise = _patch(grain, "rough", *shape)
    clump = _patch(grain, "natural", *shape)
    if abs(wind) > 3:  # leaves move while the shutter is open
        share = min(0.85, abs(wind) / 16)
        noise = (1 - share) * noise + share * _patch(grain, "streak", *shape)
    if sort != "bush":
        thick = (0.035 if sort == "broad" else 0.02) * (1.25 - v) * shapes.uniform(0.7, 1.4)
        trunk = _step(-0.5, 0.5, (thick - np.abs(u)) * size) * (v < 0.75) * (v > 0)
        c.put(
            trunk,
            bark * np.clip(1 + 0.4 * noise, 0.3, 1.8)[..., None],
            np.clip(0.5 + u * c.sun_side / 0.05, 0.1, 1),
            z,
            box=box,
        )
    if sort == "fir":
        layers = shapes.integers(6, 12)
        width = shapes.uniform(0.16, 0.26) * (1.02 - v) * (0.75 + 0.5 * ((v * layers) % 1.0)[..., ::1])
        field = (width - np.abs(u)) / 0.08 - 3 * (v < 0.08)
        height = v
    else:
        count = 9 if sort == "broad" else 5
        low, high = (0.42, 0.86) if sort == "broad" else (0.05, 0.5)
        by, bx = shapes.uniform(low, high, count), shapes.normal(0, 0.17 if sort == "broad" else 0.25, count)
        bx += lean * 0.5 * np.abs(shapes.normal(0.3, 0.4, count))  # boughs stream to lee
        br = shapes.uniform(0.13, 0.25, count) * (1.0 if sort == "broad" else 1.1)
        d = ((u[None] - bx[:, None, None]) ** 2 + (v[None] - by[:, None, None]) ** 2) / br[:, None, None] ** 2
        field = (1 - d.min(0)) * 2.2
        height = np.clip(0.5 + (v - (by - 0)[d.argmin(0)]) / 0.3, 0, 1)
    ragged = 0.9 if sort == "fir" else 0.75
    foot_fade = _step(0.0, 0.10, v + 0.04 * noise) if sort == "bush" else 1.0
    alpha = foot_fade * _step(-0.25, 0.45, field + ragged * (0.7 * noise + 0.5 * clump)) * _step(-1.2, -0.2, field)
    side = np.clip(0.5 + u * c.sun_side * 1.6, 0, 1)
    shade = np.clip(0.15 + 0.5 * height * side + 0.28 * noise + 0.22 * clump, 0.0, 1.3)
    dim = np.clip(0.55 + 0.35 * height + 0.25 * noise, 0.15, 1.5)
    c.put(alpha, leaf * dim[..., None], shade, z, source, box)


def _palm(
    c: _Canvas, rng: Rng, box: tuple[slice, slice], foot: float, column: float, size: float, lean: float,
    leaf: np.ndarray, bark: np.ndarray, z: float, source: int | None,
) -> None:  # fmt: skip
    """A palm: a slim curved trunk and a crown of feathered fronds, which the wind throws to one side."""
    lean = lean + float(rng.normal(0, 0.12))
    shape = (box[0].stop - box[0].start, box[1].stop - box[1].start)
    v = (foot - c.row[box[0]]) / size
    s = np.clip(v / 0.8, 0, 1)
    u = (c.column[:, box[1]] - column) / size - lean * s**2
    half = 0.022 * (1.35 - 0.6 * s)
    trunk = _step(-0.6, 0.6, (half - np.abs(u)) * size) * (v > 0) * (v < 0.8)
    rings = 1 + 0.25 * np.sin(v * 90) + 0.3 * _patch(rng, "rough", *shape)
    c.put(trunk, bark * 1.5 * rings[..., None], np.clip(0.5 + u * c.sun_side / 0.04, 0.1, 1), z, box=box)
    top = foot - 0.8 * size - box[0].start, column + lean * size - box[1].start
    count, blown = 15, math.copysign(min(1.0, abs(lean) * 1.8), lean)
    angle = np.linspace(-0.15, np.pi + 0.15, count) + rng.normal(0, 0.12, count)
    out = np.cos(angle) * (1 - 0.5 * abs(blown)) + 1.3 * blown
    rise = np.sin(angle) * 1.0 * (1 - 0.6 * abs(blown)) + 0.15
    t = np.linspace(0, 1, max(30, int(0.5 * size)))[None]
    length = 0.38 * size * rng.uniform(0.7, 1.1, count)[:, None]
    fx = top[1] + length * out[:, None] * t
    fy = top[0] - length * (rise[:, None] * t - (0.85 - 0.45 * abs(blown)) * t**2)
    leaves = max(7, int(0.1 * size))
    leaflet = np.linspace(0, 1, leaves)[None, None]
    hang = 0.075 * size * np.sin(np.pi * np.clip(t * 0.92 + 0.06, 0, 1))[..., None] * leaflet
    sway = rng.normal(0.2, 0.35, (count, t.shape[1], 1)) + blown
    light = np.broadcast_to((0.4 + 0.9 * rng.random((count, 1, 1))), (count, t.shape[1], leaves))
    weight = np.full((count, t.shape[1], leaves), 0.55)
    frond = _splat(shape, fy[..., None] + hang, fx[..., None] + hang * sway, weight)
    bright = _splat(shape, fy[..., None] + hang, fx[..., None] + hang * sway, weight * light) / np.maximum(frond, 1e-4)
    c.put(np.clip(frond, 0, 1), leaf * bright[..., None], 0.6, z, source, box)


def _rock(c: _Canvas, rng: Rng, x: float, z: float, wide: float, base: np.ndarray) -> None:
    """A boulder, `wide` metres across."""
    foot, column = c.at(x, 0, z)
    size = c.f * wide / z
    tall, skew, power = rng.uniform(0.35, 0.75), rng.uniform(-0.3, 0.3), rng.uniform(1.8, 3.0)
    box = c.box(foot - size, foot + 0.2 * size, column - 0.65 * size, column + 0.65 * size)
    if box is None or size < 2:
        return
    v = (foot - c.row[box[0]]) / size / tall
    u = (c.column[:, box[1]] - column) / size * 2 + skew * v
    shape = np.broadcast_shapes(u.shape, v.shape)
    noise = _patch(rng, "natural", *shape)
    field = (
        1 - np.abs(u) ** power - np.clip(v + 0.12, 0, None) ** power - 40 * np.clip(-v - 0.12 + 0.1 * u * u, 0, None)
    )
    alpha = _step(-0.04, 0.1, field + 0.12 * noise)
    shade = np.clip(0.35 + 0.5 * v + 0.4 * u * c.sun_side + 0.22 * noise, 0.02, 1.2)
    albedo = base * np.clip(0.75 + 0.3 * v + 0.2 * noise, 0.2, 1.6)[..., None]
    c.put(alpha, albedo, shade, z, box=box)


# --- water ---------------------------------------------------------------------------------------------------------


def _mirror(c: _Canvas, ripple: np.ndarray) -> np.ndarray:
    """What a level water surface reflects: the picture above the horizon upside down, its rows moved by `ripple`."""
    rows = 2 * c.horizon - c.row - 1 - np.abs(ripple)
    columns = np.broadcast_to(np.arange(c.side)[None], rows.shape)
    seen = c.light[np.clip(rows, 0, max(1.0, c.horizon - 1)).astype(np.int64), columns]
    beyond = _step(0.0, 0.12 * c.side, -rows)[..., None]  # higher than the picture: the sky up there
    return seen + beyond * (np.minimum(c.top * 0.5 + c.low * 0.5, 1.0) - seen)


def _fresnel(c: _Canvas, slope: np.ndarray) -> np.ndarray:
    """The share of light that water reflects (Schlick 1994), seen at the grazing angle of its place plus `slope`."""
    graze = np.clip(c.camera.height_m / np.hypot(c.z, c.camera.height_m) + slope, 0.0, 1.0)
    return 0.02 + 0.98 * (1 - graze) ** 5


def _water(c: _Canvas, ripple: np.ndarray, body: np.ndarray, foam: np.ndarray, steep: float) -> np.ndarray:
    """Light from water whose surface slopes by `ripple` (deviation 1) times `steep`, with `foam` in [0, 1] on it."""
    seen = _mirror(c, ripple * steep * c.f * 1.2)
    share = _fresnel(c, steep * (0.7 + np.clip(ripple, -1.5, 2.5)))[..., None]
    deep = body * c.lit(0.6) * (1 + 0.25 * np.clip(ripple, -1, 2))[..., None]
    light = deep * (1 - share) + seen * share
    white = 0.82 * c.lit(np.clip(0.62 + 0.15 * ripple, 0, 1.2))
    return light + foam[..., None] * (white - light)


def _river(c: _Canvas, n: int, source: Source) -> None:
    """Water between banks: across the picture, or coming towards the viewer."""
    rng = c.rng("river")
    speed, wide, near = source.parameters["speed_m_s"], source.parameters["width_m"], source.distance_m
    along = rng.random() < 0.65 and near < 6
    bend = _fractal(rng, (c.x if not along else c.z), np.zeros_like(c.z), c.pixel * 0.05, 14.0, 3, 0.5)
    edge = _fractal(rng, c.x, c.z, c.pixel, 1.5, 4, 0.7) * 0.06 * wide
    if along:
        side = 1.0 if source.x >= 0.5 else -1.0
        away = (
            side * (0.25 * near + 0.12 * wide)
            + (0.5 - source.x) * -0.25 * c.z
            + 0.12 * wide * bend * np.minimum(c.z / 6, 2)
        )
        inside = wide / 2 - np.abs(c.x - away) + edge
        flow, cross = c.z, c.x
    else:
        inside = wide / 2 - np.abs(c.z - near - wide / 2 - 0.1 * near * bend) + edge
        flow, cross = c.x, c.z
    if not (inside[c.land > 0.5] > 0).any():
        inside = wide / 2 - np.abs(c.x) + edge
        flow, cross = c.z, c.x
    alpha = _step(0.0, 1.0, inside / np.maximum(c.pixel, 0.02)) * c.land
    # Ripples are long with the flow when it is quick, round when it is slow.
    ripple = _fractal(rng, flow, cross, c.pixel, 0.9, 6, 0.85, longer=1 + 1.3 * speed)
    streaks = _fractal(rng, flow, cross, c.pixel, 0.7, 5, 0.85, longer=2 + 2.0 * speed)
    froude = speed / math.sqrt(9.81 * 0.35)
    broken = _fractal(rng, flow, cross, c.pixel * 0.5, 3.0, 3, 0.7, longer=1.5)
    foam = _step(0, 1.1, streaks + 0.9 * broken + 2.1 * froude - 2.75) * np.clip(0.55 + 0.4 * froude, 0, 1)
    foam = np.maximum(
        foam, 0.5 * _step(0.0, 1.0, 1 - np.abs(inside / (0.08 * wide) - 0.7)) * _step(0.5, 1.5, streaks + froude)
    )
    body = _shifted(rng, [(0.035, 0.055, 0.045), (0.07, 0.06, 0.035), (0.02, 0.07, 0.075)][int(rng.integers(3))], 0.25)
    light = _water(c, ripple, body, foam, 0.03 + 0.09 * min(speed, 2.0))
    bank = _step(-0.35 - 0.06 * wide, 0.0, inside) * c.land * (1 - alpha)
    c.light *= (1 - 0.55 * bank)[..., None]  # wet
    c.put(alpha, np.full(3, 0.1), 0.5, c.z, n, own_light=light)
    # Stones in it and at its banks, each with white water behind it when the flow is quick.
    stones = c.rng("river's stones")
    base = _shifted(stones, (0.20, 0.19, 0.175), 0.25)
    places = np.argwhere((np.abs(inside) < 0.5 * wide) & (c.land > 0.5) & (c.z < 14 + near * 2))
    for _ in range(int(stones.integers(2, 16)) if len(places) else 0):
        i, j = places[int(stones.integers(len(places)))]
        size = float(np.exp(stones.uniform(math.log(0.12), math.log(0.5)))) * min(1.5, 0.5 + wide / 6)
        z, x = float(c.z[i, j]), float(c.x[i, j])
        if inside[i, j] > 0:
            _wake(c, stones, n, x, z, size * 1.2, min(1.0, 0.25 + 0.5 * froude))
        _rock(c, stones, x, z, size, base)


def _wake(c: _Canvas, rng: Rng, n: int, x: float, z: float, wide: float, strength: float) -> None:
    """White water around something that stands in it."""
    foot, column = c.at(x, 0, z)
    size = c.f * wide / z
    box = c.box(foot - 0.5 * size, foot + 0.6 * size, column - 1.3 * size, column + 1.3 * size)
    if box is None:
        return
    v, u = (foot - c.row[box[0]] + 0.1 * size) / (0.35 * size), (c.column[:, box[1]] - column) / size
    shape = np.broadcast_shapes(u.shape, v.shape)
    alpha = strength * _step(0.1, 0.9, 1 - u * u - v * v + 0.45 * _patch(rng, "rough", *shape))
    c.put(alpha, np.full(3, 0.8, np.float32), 0.6, z, n, box)


def _sea(c: _Canvas, n: int, source: Source) -> None:
    """The sea beyond a shore, with swell, whitecaps, breakers as high as the waves, and foam running up the beach."""
    rng = c.rng("sea")
    tall, shore = source.parameters["wave_height_m"], source.distance_m
    near = foam_edge(source)
    tilt = (source.x - 0.5) * 0.35
    bend = _fractal(rng, c.x, c.z * 0.3, c.pixel * 0.3, 25.0, 3, 0.6) * 0.06 * shore
    away = c.z - near + tilt * c.x + bend
    wet = _step(-6.0 - 4 * tall, 0.0, away) * c.land
    c.light *= (1 - 0.42 * wet)[..., None]
    sheen = (0.30 * wet * _fresnel(c, np.zeros_like(c.z)))[..., None]
    c.light += sheen * (_mirror(c, np.zeros_like(c.z)) - c.light)
    alpha = _step(0.0, 1.0, away / np.maximum(c.pixel, 0.05)) * c.land
    long = 5.0 * math.sqrt(tall)  # seconds (Pierson & Moskowitz 1964), and the waves' length in 2 m of water
    wave = long * math.sqrt(9.81 * 2.0)
    foot = c.pixel * 0.8
    swell = _fractal(rng, c.x, c.z, foot, min(wave, 30), 5, 0.8, longer=3.2)
    chop = _fractal(rng, c.x, c.z, foot, 1.6, 5, 0.85, longer=1.8)
    ripple = 0.75 * swell + 0.65 * chop
    lace = _fractal(rng, c.x, c.z, foot, 2.2, 5, 0.85, longer=1.3)
    caps = 0.8 * _step(0.0, 1.2, swell + 0.6 * lace - 3.6 + 0.7 * min(tall, 2.6)) * _step(0.0, 8.0, away)
    run = np.clip(away / (5 + 3 * tall), 0, 4)
    wash = (
        _step(0.1, 1.0, np.abs(lace) * -0.9 + 1.25 - 0.8 * run) * _step(0.02, 0.2, run) * (0.5 + 0.25 * min(tall, 1.5))
    )
    edge = _step(0.0, 0.4, 1 - np.abs(away - 0.15) / (0.12 + 0.1 * tall) + 0.3 * lace) * 0.8
    body = _shifted(rng, [(0.02, 0.055, 0.075), (0.02, 0.085, 0.085), (0.05, 0.065, 0.06), (0.012, 0.03, 0.055)]
                    [int(rng.integers(4))], 0.2)  # fmt: skip
    foam = np.clip(np.maximum(np.maximum(caps, wash), edge), 0, 1)
    light = _water(c, ripple, body, foam, 0.05 + 0.05 * min(tall, 2))
    c.put(alpha, np.full(3, 0.1), 0.5, c.z, n, own_light=light)
    # Breakers, far ones first: a dark face with a white, torn crest, `tall` metres high.
    count = int(np.clip(round(2 + tall), 2, 5))
    for k in reversed(range(count)):
        z = shore + k * float(rng.uniform(0.5, 0.9)) * wave * (0.5 + 0.25 * k) + 1.0
        _breaker(c, rng, n, z, tall * float(rng.uniform(0.75, 1.05)), k / count, body, tilt)


def foam_edge(sea: Source) -> float:
    """Metres to where the last foam runs out on the beach."""
    return max(0.3, sea.distance_m - 5 - 3 * sea.parameters["wave_height_m"])


def _breaker(c: _Canvas, rng: Rng, n: int, z: float, tall: float, calm: float, body: np.ndarray, tilt: float) -> None:
    bend = 0.05 * z * _patch(rng, "soft", 1, c.side)[0] - tilt * (c.column[0] - c.middle) * z / c.f
    away = np.maximum(z + bend, 2.0)
    foot = c.horizon + c.f * c.camera.height_m / away
    along = np.clip(0.45 + 0.75 * _patch(rng, "soft", 1, c.side)[0] - 0.25 * calm, 0, 1)  # it breaks here and not there
    ragged = _patch(rng, "natural", 1, c.side)[0]
    high = c.f * tall / away * (0.35 + 0.65 * along) * (1 + 0.15 * ragged)
    v = (foot - c.row) / np.maximum(high, 0.7)
    rough, soft = _patch(rng, "natural", c.side, c.side), _patch(rng, "natural", c.side, c.side)
    alpha = _step(-0.15, 0.15, v + 0.1 * rough) * _step(-0.12, 0.25, 1 - v + 0.2 * rough * along)
    white = _step(0.0, 0.5, v - 1.15 + 0.95 * along + 0.35 * rough + 0.2 * soft)
    face = (body * (1.0 + 1.6 * np.clip(v, 0, 1))[..., None] + 0.01) * c.lit(0.5 + 0.2 * soft)
    light = face + white[..., None] * (0.85 * c.lit(np.clip(0.55 + 0.25 * v + 0.25 * rough, 0, 1.2)) - face)
    alpha = alpha * _step(0.05, 0.4, along + 0.12 * soft - 0.05)
    c.put(alpha, np.full(3, 0.4), 0.5, np.broadcast_to(away, alpha.shape), n, own_light=light)


def _waterfall(c: _Canvas, n: int, source: Source) -> None:
    """A cliff with water falling over it into a pool, and the mist at its foot."""
    rng = c.rng("waterfall")
    tall, wide, z = source.parameters["height_m"], source.parameters["width_m"], source.distance_m
    foot, column = c.at((source.x - 0.5) * (c.side / _MARGIN) / c.f * z, 0, z)
    high, across = c.f * tall / z, c.f * wide / z
    # The cliff reaches a little above the lip and to both sides; a slot is cut where the water comes.
    rim = _patch(rng, "natural", 1, c.side)[0] * 0.06 + _patch(rng, "soft", 1, c.side)[0] * 0.12
    slot = np.exp(-(((c.column[0] - column) / (0.8 * across + 2)) ** 2))
    wall = high * (1.12 + np.clip(rim + 0.10, 0, 1)) * (1 - slot) + slot * high
    v = (foot - c.row) / high
    inside = _step(-1.0, 1.0, c.row - (foot - wall)) * _step(-1.0, 1.5, foot - c.row)
    rough, strata = _patch(rng, "natural", c.side, c.side), _patch(rng, "streak", c.side, c.side, rng.random() < 0.5)
    stone = _shifted(rng, [(0.12, 0.11, 0.10), (0.17, 0.14, 0.11), (0.09, 0.095, 0.09)][int(rng.integers(3))], 0.25)
    moss = _shifted(rng, (0.06, 0.10, 0.025), 0.3)
    green = (_step(0.0, 0.8, _patch(rng, "natural", c.side, c.side) + rng.uniform(-1.0, 0.8)))[..., None]
    bumps = 1 + 0.4 * rough + 0.3 * strata
    albedo = (stone * (1 - green) + moss * green) * np.clip(bumps, 0.15, 2.2)[..., None]
    c.put(inside, albedo, np.clip(0.35 + 0.35 * rough + 0.2 * strata, 0.0, 1.2), z)
    # The pool, from the foot towards the viewer.
    pool = np.hypot((c.x - (column - c.middle) / c.f * z) / (1.4 * wide + 0.25 * z), (c.z - z * 0.8) / (0.55 * z))
    edge = _fractal(rng, c.x, c.z, c.pixel, 4.0, 4) * 0.12
    alpha = _step(-0.02, 0.03, 1 - pool + edge) * c.land * _step(-1.0, 1.0, c.row - foot)
    churn = _fractal(rng, c.x, c.z, c.pixel, 1.2, 5, 0.85)
    near_fall = np.exp(-np.hypot(c.x - (column - c.middle) / c.f * z, c.z - z) / (0.5 * wide + 0.15 * tall))
    foam = _step(0.2, 1.1, 2.0 * near_fall + 0.4 * churn)
    body = _shifted(rng, (0.03, 0.06, 0.055), 0.3)
    c.put(alpha, np.full(3, 0.1), 0.5, c.z, None, own_light=_water(c, churn, body, foam, 0.10))
    c.masks[n] += alpha * foam * (1 - c.masks[n])
    # The water: one to three strands of white streaks that fray as they fall.
    strands = int(rng.integers(1, 4))
    centres = column + across * (np.linspace(-0.5, 0.5, strands + 2)[1:-1] if strands > 1 else np.zeros(1))
    streak = _patch(rng, "streak", c.side, c.side, upright=True)
    fine = _patch(rng, "rough", c.side, c.side, upright=True)
    falls = np.zeros_like(inside)
    for centre in centres:
        drift = _patch(rng, "soft", 1, c.side)[0][: c.side][:, None] * 0.05 * across
        half = 0.5 * across / strands * (0.72 + 0.35 * np.clip(1 - v, 0, 1)) * rng.uniform(0.75, 1.2)
        gap = np.abs(c.column - centre - drift) / np.maximum(half, 0.8)
        falls = np.maximum(falls, _step(0.0, 0.55, 1.1 - gap + 0.30 * streak * np.clip(1.1 - 0.5 * v, 0.3, 1)))
    ledge = _step(-0.02, 0.02, 1.0 - v + 0.012 * fine) * _step(-0.03, 0.03, v + 0.02 * rough)
    falls = falls * ledge * np.clip(0.86 + 0.25 * streak, 0.35, 1)
    shade = np.clip(0.62 + 0.26 * streak + 0.12 * fine, 0.05, 1.25)
    c.put(falls, np.full(3, 0.85, np.float32) * np.clip(0.9 + 0.12 * streak, 0.5, 1.05)[..., None], shade, z, n)
    spread = np.hypot(
        (c.column - column) / (0.75 * across + 0.10 * high), (c.row - foot + 0.04 * high) / (0.17 * high + 2)
    )
    mist = 0.75 * np.exp(-(spread**2)) * np.clip(0.8 + 0.3 * _patch(rng, "soft", c.side, c.side), 0, 1)
    c.put(mist, np.full(3, 0.8, np.float32), 0.6, z, n)
    stones = c.rng("waterfall's stones")
    base = stone * 1.2
    for _ in range(int(stones.integers(4, 14))):
        side = float(stones.choice([-1, 1]))
        x = (column - c.middle) / c.f * z + side * float(stones.uniform(0.5, 1.6)) * (0.7 * wide + 0.15 * z)
        _rock(c, stones, x, z * float(stones.uniform(0.55, 0.98)), 0.05 * z * float(stones.uniform(0.4, 1.6)), base)


# --- fire ----------------------------------------------------------------------------------------------------------

_HEAT = (0.0, 0.12, 0.3, 0.5, 0.75, 1.0)
_FLAME = np.array([(0.25, 0.02, 0.0), (0.8, 0.10, 0.01), (2.2, 0.5, 0.05), (4.0, 1.4, 0.18), (6.0, 3.2, 0.7),
                   (8.0, 5.8, 2.4)])  # fmt: skip


def _fire(c: _Canvas, n: int, source: Source) -> None:
    """Flames `size_m` high over logs, their light on what is around, sparks and smoke."""
    rng = c.rng("fire")
    tall, z = source.parameters["size_m"], source.distance_m
    x = (source.x - 0.5) * (c.side / _MARGIN) / c.f * z
    foot, column = c.at(x, 0, z)
    size = c.f * tall / z
    # What is near it is lit: 1/r² from the middle of the flame.
    gap = (c.column - c.middle) * c.depth / c.f - x
    lift = (c.horizon - c.row) * c.depth / c.f + c.camera.height_m - 0.4 * tall
    square = gap**2 + lift**2 + (np.minimum(c.depth, 1e4) - z) ** 2
    glow = tall**2 / (square + (0.55 * tall) ** 2) * {"night": 0.10, "dusk": 0.2}.get(c.plan.light, 0.15)
    c.light += c.albedo * np.minimum(glow, 1.5)[..., None] * np.array([2.6, 1.0, 0.28], np.float32)
    box = c.box(foot - 2.6 * size, foot + 0.35 * size, column - 1.3 * size, column + 1.3 * size)
    if box is None:
        return
    v = (foot - c.row[box[0]]) / size
    u = (c.column[:, box[1]] - column) / size
    shape = np.broadcast_shapes(u.shape, v.shape)
    v, u = v + 0 * u, u + 0 * v
    scale = 70.0  # a flame's eddies grow with it
    o = rng.uniform(0, _TILE, 8)
    smoke = _sample("soft", 1, u * 60 + o[0], v * 45 + o[1])
    plume = np.exp(-(((u - 0.12 * v * np.sin(o[2])) / (0.20 + 0.22 * np.clip(v, 0, None))) ** 2))
    dim = np.clip(0.28 * plume * _step(0.5, 1.2, v) * _step(0.0, 1.4, 2.5 - v) * (0.6 + 0.5 * smoke), 0, 0.5)
    c.put(dim, np.full(3, 0.35, np.float32), 0.5, c.depth[box], box=box)
    bed = float(rng.uniform(0.5, 1.0))
    _logs(c, rng, box, foot, column, size * bed, z)
    # Tongues that rise from the bed; the whole is warped by eddies, more so the higher.
    warp = _sample("natural", 2, u * scale * 0.8 + o[3], v * scale * 0.55 + o[4])
    fine = _sample("rough", 3, u * scale * 1.3 + o[5], v * scale * 0.6 + o[6])
    wu = u + 0.085 * warp * np.clip(v + 0.1, 0, 1.2)
    heat = np.zeros(shape, np.float32)
    for _ in range(int(rng.integers(4, 8))):
        centre, reach = float(rng.normal(0, 0.14)), float(rng.uniform(0.55, 1.0))
        half = float(rng.uniform(0.10, 0.21)) * bed + 0.04
        t = np.clip(v / reach, -0.2, 1.3)
        width = half * np.clip(1 - t, 0, None) ** 0.75 * np.clip(t + 0.35, 0, 1) ** 0.4 * 1.35
        body = 1 - ((wu - centre * (1 - 0.65 * np.clip(t, 0, 1))) / np.maximum(width, 1e-3)) ** 2
        heat = np.maximum(heat, np.where(t < 1, np.clip(body, 0, 1) * (1.05 - 0.55 * np.clip(t, 0, 1)), 0))
    heat = heat * np.clip(0.86 + 0.30 * fine + 0.16 * warp, 0.1, 1.3) * _step(-0.10, 0.02, v)
    lick = (
        _step(0.55, 0.9, warp + fine * 0.5 - 1.6 * np.abs(u) * 2 - 0.3) * _step(0.55, 0.8, v) * _step(-1.15, -0.8, -v)
    )
    heat = np.clip(np.maximum(heat, 0.28 * lick), 0, 1)
    alpha = _step(0.02, 0.30, heat) * 0.96
    colour = np.stack([np.interp(heat, _HEAT, _FLAME[:, k]) for k in range(3)], -1)
    level = {"night": 0.28, "dusk": 0.5, "storm": 0.5}.get(c.plan.light, 0.85)
    c.put(alpha, np.zeros(3), 0.0, z, n, box, own_light=colour * level)
    count = int(8 + 40 * rng.random() * min(1.5, tall))
    t = np.linspace(0, 1, 5)[None]
    rise, lane = rng.exponential(0.7, count)[:, None], rng.normal(0, 0.16, count)[:, None]
    drift = rng.normal(0, 0.012, count)[:, None]
    rows, columns = foot - size * (0.3 + rise + 0.03 * t), column + size * (lane * (0.6 + 0.6 * rise) + drift * t)
    spark = _splat((c.side, c.side), rows, columns, rng.uniform(0.01, 0.10, count)[:, None])
    bloom = np.exp(-np.hypot(c.column - column, (c.row - foot + 0.4 * size) * 0.8) / (0.55 * size + 3)) * (
        0.9 if c.dark else 0.2
    )
    c.light += (spark * level * 5 + 0.35 * bloom * level)[..., None] * np.array([1.6, 0.62, 0.14], np.float32)


def _logs(c: _Canvas, rng: Rng, box: tuple[slice, slice], foot: float, column: float, wide: float, z: float) -> None:
    """Dark wood crossing in the fire, embers under it, perhaps a ring of stones."""
    shape = (box[0].stop - box[0].start, box[1].stop - box[1].start)
    row, middle = foot - box[0].start, column - box[1].start
    s = np.linspace(-0.5, 0.5, max(20, int(2 * wide)))[None]
    count = int(rng.integers(4, 8))
    tilt, length = rng.uniform(-0.45, 0.45, count)[:, None], rng.uniform(0.5, 0.85, count)[:, None] * wide
    thick = np.linspace(-1, 1, 9)[:, None, None] * max(0.8, 0.045 * wide)
    rows = row - 0.06 * wide + rng.normal(0, 0.05, count)[:, None] * wide + np.sin(tilt) * length * s + thick
    columns = middle + rng.normal(0, 0.06, count)[:, None] * wide + np.cos(tilt) * length * s
    cover = np.clip(_splat(shape, rows, columns + 0 * thick, np.full(1, 0.6)), 0, 1)
    ember = np.clip(_patch(rng, "rough", *shape), 0, 2)[..., None] * np.array([0.5, 0.10, 0.015], np.float32)
    c.put(cover, np.full(3, 0.05, np.float32), 0.4, z, box=box, own_light=0.035 * c.lit(0.4) + 0.5 * ember)
    if rng.random() < 0.6:
        base = _shifted(rng, (0.2, 0.19, 0.18), 0.25)
        for angle in np.sort(rng.uniform(np.pi, 2 * np.pi, 9)):
            x = (column - c.middle) / c.f * z + 0.5 * wide * z / c.f * math.cos(angle) * 1.1
            _rock(c, rng, x, z + 0.4 * wide * z / c.f * math.sin(angle) * -0.3, 0.17 * wide * z / c.f, base)


# --- weather -------------------------------------------------------------------------------------------------------


def _bolt(rng: Rng, start: tuple[float, float], end: tuple[float, float], rough: float) -> np.ndarray:
    """A path [points, 2] of rows and columns, displaced at ever finer scales."""
    points = np.array([start, end], np.float64)
    for _ in range(7):
        middle = (points[1:] + points[:-1]) / 2
        gap = np.linalg.norm(points[1:] - points[:-1], axis=1, keepdims=True)
        middle += rng.normal(0, rough, middle.shape) * gap * [0.35, 1.0]
        points = np.insert(points, np.arange(1, len(points)), middle, axis=0)
    return points


def _thunder(c: _Canvas, n: int, source: Source) -> None:
    """Lightning from clouds at 1200 m: the farther, the lower it stands; the stronger, the brighter."""
    rng = c.rng("thunder")
    strong = 1 + 0.35 * math.log10(source.parameters["energy_j_m"] / 1e5)
    base = c.f * 1200 / source.distance_m  # rows from the horizon to the clouds
    foot, top = c.horizon - 1, max(-0.15 * c.side, c.horizon - base)
    column = c.middle + (source.x - 0.5) * c.side / _MARGIN
    shape = (c.side, c.side)
    height = foot - top
    wide = float(np.clip(0.8 * strong * 1500 / source.distance_m, 0.45, 1.0)) * c.unit
    core = np.zeros(shape, np.float32)
    sheet = rng.random() < 0.15  # only the clouds light up
    path = _bolt(rng, (top, column + float(rng.normal(0, 0.15)) * height), (foot, column), 0.17)
    paths = [(path, 1.0)]
    for _ in range(int(rng.integers(2, 9))):
        k = int(rng.integers(8, 100))
        drop = float(rng.uniform(0.12, 0.45)) * height
        end = (path[k, 0] + drop, path[k, 1] + float(rng.choice([-1, 1])) * drop * float(rng.uniform(0.3, 1.0)))
        paths.append(
            (_bolt(rng, (path[k, 0], path[k, 1]), (min(end[0], foot), end[1]), 0.2), float(rng.uniform(0.15, 0.5)))
        )
    for points, weight in paths:
        dense = np.linspace(0, len(points) - 1, int(3 * max(height, 40)))
        rows, columns = (np.interp(dense, np.arange(len(points)), points[:, k]) for k in range(2))
        core = np.maximum(core, np.clip(_splat(shape, rows, columns, np.full(1, 0.7 * weight)), 0, weight))
    above = _step(-2.0, 2.0, c.horizon - c.row)
    core = np.clip(_blur(core, 0.5 * wide) * (1.8 * wide + 0.8), 0, 1.5) * above * (0.0 if sheet else 1.0)
    glow = _blur(core, 3 * c.unit) * 1.0 + _blur(core, 14 * c.unit) * 1.6
    cloud = np.clip(0.5 + 0.45 * _patch(rng, "soft", *shape) + 0.12 * _patch(rng, "natural", *shape), 0, 2)
    gap = np.hypot(
        (c.column - path[0, 1]) / 1.5,
        np.minimum(c.row - max(top, 0.08 * c.side), 0) * 0.7 + np.maximum(c.row - max(top, 0.08 * c.side), 0) * 1.1,
    )
    flash = np.exp(-gap / (0.16 * c.side)) * cloud * above * (3.2 if sheet else 0.9) * strong
    tint = _shifted(rng, (0.75, 0.80, 1.15), 0.15)
    level = 0.55 / LIGHTS[c.plan.light].exposure * 2
    c.light += level * (6 * core + 0.9 * glow + 0.22 * flash)[..., None] * tint
    reach = np.clip(_blur(core, 3 * c.unit) * 5, 0, 1) + (1.2 if sheet else 0.35) * np.clip(
        flash / (strong * 0.6), 0, 1
    )
    alpha = np.clip(reach, 0, 1) * above
    c.masks *= 1 - alpha
    c.masks[n] += alpha


_TALL = {"broad": 7.0, "fir": 10.0, "palm": 7.0, "bush": 1.6}  # metres
_WOODS = (("broad", "bush"), ("fir",), ("broad", "fir", "bush"), ("bush", "broad", "broad"))


@dataclass(frozen=True)
class _Tree:
    number: int
    sort: str
    x: float
    z: float
    tall: float


def _trees(c: _Canvas) -> list[_Tree]:
    """Where plants stand; with wind they are its own, the first of them at its distance and the others farther."""
    rng, wind, sea, fall, river = c.rng("trees"), *(c.source(k) for k in ("wind", "sea", "waterfall", "river"))
    woods = ("palm",) if sea else _WOODS[int(rng.integers(4))]
    share = rng.random()
    count = 2 + round(26 * wind[1].parameters["tree_density"]) if wind else round(14 * c.plan.trees * share)
    out = []
    for k in range(count):
        own = c.rng(f"tree {k}")
        first = wind is not None and k == 0
        sort = str(own.choice([s for s in woods if s != "bush"] if first else woods))
        tall = _TALL[sort] * float(np.exp(own.normal(0, 0.3)))
        away, across = float(own.exponential(0.55)), float(own.uniform(-0.55, 0.55))
        z = wind[1].distance_m * math.exp(0 if first else away) if wind else 12 * math.exp(away * 1.8)
        if first:
            across *= 0.5
        if sea is not None:
            edge = 0.9 * foam_edge(sea[1])
            if edge < 5:  # no beach to stand on
                continue
            z, across = min(z, edge), math.copysign(max(abs(across), 0.15), across)
        if fall is not None and not first:
            z = fall[1].distance_m * (1.25 if k % 3 else 0.75)
            across = across if k % 3 else math.copysign(max(abs(across), 0.42), across)
        if river is not None and not first and 0 < z - river[1].distance_m < river[1].parameters["width_m"]:
            z += river[1].parameters["width_m"]
        out.append(_Tree(k, sort, across * c.side / c.f * z, z, min(tall, 0.85 * z)))
    return out


def _blown(c: _Canvas) -> None:
    """Leaves and dust in the air, drawn out by their motion; the more, the stronger the wind."""
    wind = c.source("wind")
    if wind is None:
        return
    rng, speed, way = c.rng("blown"), wind[1].parameters["speed_m_s"], _downwind(c)
    most = 260
    count = int(most * min(1.0, (speed / 15) ** 2))
    t = np.linspace(0, 1, 12)[None]
    size, row, column = (
        np.exp(rng.normal(0.1, 0.45, most)) * c.unit,
        rng.uniform(0.05, 0.95, most) * c.side,
        rng.uniform(0, 1, most) * c.side,
    )
    length = (speed * rng.uniform(0.3, 1.0, most) * size * 0.5 * c.unit)[:, None]
    rows = row[:, None] + length * rng.normal(0.12, 0.35, (most, 1)) * t
    columns = column[:, None] + way * length * t
    cover = np.clip(
        _splat(
            (c.side, c.side),
            rows[:count],
            columns[:count],
            (0.25 + 0.6 * size / (1 + 0.06 * length[:, 0]))[:count, None],
        ),
        0,
        0.9,
    )
    leaf = _shifted(rng, [(0.20, 0.11, 0.03), (0.10, 0.12, 0.03), (0.3, 0.2, 0.06)][int(rng.integers(3))], 0.3)
    c.put(cover, leaf + 0 * cover[..., None], 0.5, c.depth, wind[0])


def _rain(c: _Canvas) -> None:
    """Rain over all: puddles and rings on the ground first, then veils of streaks at several distances."""
    found = c.source("rain")
    if found is None:
        return
    n, source = found
    rng = c.rng("rain")
    rate, puddles = source.parameters["rate_mm_h"], source.parameters["puddles"]
    ground = c.depth < 0.98 * FAR
    water = sum((c.masks[k] for k, s in enumerate(c.plan.sources) if s.kind in ("sea", "river")), np.zeros_like(c.land))
    flat = c.land * (np.abs(c.depth - c.z) < 0.02 * c.z) * (1 - water)
    low = _fractal(rng, c.x, c.z, c.pixel, 2.6, 4, 0.6)
    pool = _step(0.0, 0.5, low + 2.6 * puddles - 1.9) * flat
    shape, count = (c.side, c.side), 30 + int(26 * rate**0.75)
    # Rings where drops fall; each an ellipse flattened by the perspective.
    near = c.camera.height_m * c.f / (c.side - c.horizon)
    z = near * np.exp(rng.exponential(0.8, 1400))[:count]
    x = (rng.random(1400)[:count] * c.side - c.middle) * z / c.f
    radius = rng.uniform(0.02, 0.11, 1400)[:count, None]
    angle = np.linspace(0, 2 * np.pi, 28)[None]
    zz = z[:, None] + radius * np.sin(angle)
    rows, columns = (
        c.horizon + c.f * c.camera.height_m / zz,
        c.middle + c.f * (x[:, None] + radius * np.cos(angle)) / zz,
    )
    ring = np.clip(_splat(shape, rows, columns, np.clip(c.f * radius / zz * 0.10, 0.02, 0.5)), 0, 1) * flat
    ripple = 0.6 * _fractal(rng, c.x, c.z, c.pixel, 0.3, 4) * min(1.0, rate / 20) + 2.2 * ring
    body = np.array([0.05, 0.05, 0.045], np.float32)
    sheen = _water(c, ripple, body, np.zeros(shape, np.float32), 0.03)
    c.light *= (1 - 0.35 * flat * min(1.0, 0.3 + rate / 20))[..., None]  # wet
    c.light += pool[..., None] * (sheen - c.light)
    c.light += (ring * (0.35 + 0.6 * pool) * 0.35)[..., None] * c.lit(0.3)
    hop = np.linspace(0, 1, 5)[None]
    tall = 0.03 * np.clip(rate / 15, 0.3, 2.0)
    rows = c.horizon + c.f * (c.camera.height_m - tall * hop) / z[:, None]
    columns = (c.middle + c.f * x / z)[:, None]
    crown = _splat(shape, rows, columns, np.clip(0.9 / z, 0.03, 0.4)[:, None])
    c.light += np.clip(crown * flat, 0, 0.8)[..., None] * 0.5 * c.lit(0.3)
    # Air full of drops hides what is far: extinction .2 R^.63 per km (Atlas 1953, J. Meteorol. 10, 486), three times
    # that for the mist that rain raises.
    veil = 1 - np.exp(-np.minimum(c.depth, 2500.0) * 0.6e-3 * rate**0.63)
    c.light += (veil * 0.9)[..., None] * (c.low * 0.75 - c.light)
    wind = c.source("wind")
    slant = _downwind(c) * min(1.2, (wind[1].parameters["speed_m_s"] if wind else 1.5) / 9) + float(rng.normal(0, 0.08))
    t = np.linspace(0, 1, 26)[None]
    shutter = float(np.exp(rng.uniform(math.log(1 / 125), math.log(1 / 25))))
    most = 2400
    away = np.exp(rng.uniform(math.log(0.8), math.log(14), most))
    row, column = rng.uniform(-0.1, 1.1, most) * c.side, rng.uniform(-0.1, 1.1, most) * c.side
    spread = rng.uniform(0.6, 1.4, most)
    shown = min(most, int(70 * rate**0.75))
    length = np.clip(6.5 * shutter * c.f / away, 3, 0.35 * c.side)[:shown, None]
    weight = np.clip(length / 26, 0.25, 3) * (0.07 + 0.16 / away[:shown, None]) * spread[:shown, None]
    streak = _splat(shape, row[:shown, None] + length * t, column[:shown, None] + slant * length * t, weight)
    streak = np.clip(0.6 * streak + 0.7 * _blur(streak, 0.8 * c.unit), 0, 0.75)
    bright = 0.55 * c.low + 0.9 * c.ambient
    c.light += streak[..., None] * (bright - c.light) * 0.6
    drops = np.clip(0.25 + 1.5 * streak, 0, 0.45) * (0.5 + 0.5 * ground)
    c.masks[n] += (1 - c.masks[n]) * np.maximum(flat, drops) * (1 - np.clip(np.delete(c.masks, n, 0).sum(0), 0, 1))


# --- the whole -----------------------------------------------------------------------------------------------------


def draw(plan: Plan, side: int = 224) -> Sight:
    """The picture of a plan, `side` pixels square, with the soft masks of its sources in their order and the distances.

    The same plan gives the same picture. Raises InputError for a side below 32 or above 1024.
    """
    if not MIN_SIDE <= side <= MAX_SIDE:
        raise InputError(f"A picture is {MIN_SIDE} to {MAX_SIDE} pixels wide, not {side}.")
    c = _Canvas(plan, side)
    _sky(c)
    if (found := c.source("thunder")) is not None:
        _thunder(c, *found)
    _hills(c)
    _ground(c)
    if (found := c.source("sea")) is not None:
        _sea(c, *found)
    _stand(c)
    _blades(c)
    _air(c)
    _blown(c)
    _rain(c)
    return _expose(c, side)


def _stand(c: _Canvas) -> None:
    """All that stands on the ground, far things first; a river lies behind what is nearer than its far bank."""
    wind = c.source("wind")
    breeze = _downwind(c) * wind[1].parameters["speed_m_s"] if wind else 0.0
    things: list[tuple[float, Callable[[], None]]] = [
        (t.z, functools.partial(_tree, c, t, breeze, wind[0] if wind else None)) for t in _trees(c)
    ]
    for kind, drawing in (("waterfall", _waterfall), ("river", _river), ("fire", _fire)):
        if (found := c.source(kind)) is not None:
            away = found[1].distance_m + found[1].parameters.get("width_m", 0.0) * (kind == "river")
            things.append((away, functools.partial(drawing, c, *found)))
    for _, drawing in sorted(things, key=lambda thing: -thing[0]):
        drawing()


def _air(c: _Canvas) -> None:
    """Aerial perspective: what is far fades into the light of the horizon."""
    clear = np.exp(-np.minimum(c.depth, 2e4) / c.visibility) + (c.depth >= FAR)
    c.light += (1 - np.clip(clear, 0, 1))[..., None] * (c.low * 0.9 - c.light)


def _expose(c: _Canvas, side: int) -> Sight:
    """The camera: roll, exposure, white balance, vignette, focus, film curve, grain; 8-bit sRGB."""
    rng = c.rng("camera")
    roll = math.radians(c.camera.roll_deg)
    grid = np.arange(side, dtype=np.float32) - (side - 1) / 2
    columns = grid[None] * math.cos(roll) - grid[:, None] * math.sin(roll) + (c.side - 1) / 2
    rows = grid[None] * math.sin(roll) + grid[:, None] * math.cos(roll) + (c.side - 1) / 2
    columns, rows = np.clip(columns, 0, c.side - 1.001), np.clip(rows, 0, c.side - 1.001)
    i, j = rows.astype(np.int64), columns.astype(np.int64)
    fi, fj = (rows - i)[..., None], (columns - j)[..., None]
    stack = np.concatenate([c.light, np.moveaxis(c.masks, 0, -1)], axis=-1)
    turned = (stack[i, j] * (1 - fi) + stack[i + 1, j] * fi) * (1 - fj) + (
        stack[i, j + 1] * (1 - fi) + stack[i + 1, j + 1] * fi
    ) * fj
    light, masks = turned[..., :3], np.clip(np.moveaxis(turned[..., 3:], -1, 0), 0, 1)
    depth = c.depth[np.round(rows).astype(np.int64), np.round(columns).astype(np.int64)]

    light = light * LIGHTS[c.plan.light].exposure * float(np.exp(rng.normal(0.1, 0.25)))
    light = light * np.exp(
        rng.normal(0, 0.05) * np.array([1.0, 0.0, -1.0]) + rng.normal(0, 0.02) * np.array([-0.5, 1.0, -0.5])
    )
    corner = np.hypot(grid[None], grid[:, None])[..., None] / side
    light = light * (1 - rng.uniform(0, 0.6) * corner**2)
    film = 1 - np.exp(-1.5 * np.maximum(light, 0))
    film = film + rng.uniform(0.0, 0.35) * film * (1 - film) * (2 * film - 0.9)
    grey = film.mean(-1, keepdims=True)
    film = grey + rng.uniform(0.8, 1.3) * (film - grey)
    if rng.random() < 0.5:  # not everything is sharp
        soft = rng.uniform(0.2, 0.75) * c.unit
        film = np.stack([_blur(np.pad(film[..., k], 4, mode="edge"), soft)[4:-4, 4:-4] for k in range(3)], -1)
    grain = rng.uniform(0.002, 0.02) * (1.5 if c.dark else 1.0)
    noise = _patch(rng, "rough", side, side)[..., None] * 0.5 + rng.standard_normal((side, side, 3), np.float32) * 0.8
    film = np.clip(film, 0, 1) + grain * noise * np.sqrt(np.clip(film, 0.03, 1))
    srgb = np.clip(film, 0, 1) ** (1 / 2.2)
    pixels = np.round(255 * srgb).astype(np.uint8)
    if c.plan.mirrored:
        pixels, masks, depth = pixels[:, ::-1], masks[..., ::-1], depth[:, ::-1]
    return Sight(Image(np.ascontiguousarray(pixels)), masks.astype(np.float32), depth.astype(np.float32))
