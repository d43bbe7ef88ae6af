"""How a bird looks: its body seen from any side, feathered, lit, and soft at its edge.

Points of its surfaces (`bird_bodies`) are thrown onto a grid finer than the picture, the nearest one stays, and only
what is seen gets its plumage and its light. Plumage is painted in the bird's own coordinates, so it turns with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .bird_bodies import Body, Part, Pose, Traits, surfaces
from .sights import _sample, _step

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Sprite:
    """A bird by itself: linear light [h, w, 3], not weighted by `alpha` [h, w], how much of each pixel it covers.

    `foot` is the row and column, counted from the first pixel's corner, of the middle between its feet.
    """

    light: Float[np.ndarray, "h w 3"]
    alpha: Float[np.ndarray, "h w"]
    foot: tuple[float, float]


class Lamp(NamedTuple):
    """Linear light: the sun's, that of the sky and that of the ground, and from where the sun comes (unit, y up)."""

    sun: np.ndarray
    sky: np.ndarray
    ground: np.ndarray
    towards: np.ndarray


# --- colour ----------------------------------------------------------------------------------------------------------


def oklab(lightness: float, a: float, b: float) -> np.ndarray:
    """Linear sRGB in [0, 1] of an Oklab colour (Ottosson 2020, "A perceptual color space for image processing").

    Colours that no screen can show lose chroma, at the same lightness and hue, until one can.
    """
    chroma = (np.array([0.3963377774, -0.1055613458, -0.0894841775]) * a
              + np.array([0.2158037573, -0.0638541728, -1.2914855480]) * b)  # fmt: skip
    keep, step = 1.0, 0.5
    rgb = _FROM_CONES @ (lightness + keep * chroma) ** 3
    if not _shown(rgb):
        for _ in range(12):
            keep += step if _shown(rgb) else -step
            step /= 2
            rgb = _FROM_CONES @ (lightness + keep * chroma) ** 3
    return np.clip(rgb, 0, 1).astype(np.float32)


def _shown(rgb: np.ndarray) -> bool:
    return bool((rgb > -1e-3).all() and (rgb < 1.001).all())


_FROM_CONES = np.array([
    [4.0767416621, -3.3077115913, 0.2309699292],
    [-1.2684380046, 2.6097574011, -0.3413193965],
    [-0.0041960863, -0.7034186147, 1.7076147010],
])  # fmt: skip


def _colour(values: list[float]) -> np.ndarray:
    return np.array(values, np.float32)


def _region(traits: Traits, name: str) -> np.ndarray:
    return oklab(*(traits[f"{name}_{axis}"] for axis in "lab"))


# --- plumage ---------------------------------------------------------------------------------------------------------


def _mix(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    return one + (other - one) * share[:, None]


def _noise(pose: Pose, k: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Grain of deviation 1 at (u, v) cells."""
    rng = np.random.default_rng([pose.seed, k])
    du, dv = rng.uniform(0, 512, 2)
    return _sample("rough", k % 4, u + du, v + dv)


def _trunk(body: Body, at: np.ndarray, along: np.ndarray, around: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Albedo [n, 3] and relief [n], light of -1 to 1 for feathers that lie higher or lower, at points of the trunk."""
    t, pose = body.traits, body.pose
    back, breast, cap, wing = (_region(t, name) for name in ("back", "breast", "cap", "wing"))
    total = body.spine[0][-1]
    arc, high = along * np.float32(total), np.cos(around)
    reach = np.interp(arc, body.spine[0], body.spine[2]).astype(np.float32)
    round_ = np.where(around > np.pi, 2 * np.pi - around, around) * reach  # along the skin from the top
    soft = 0.12 * _noise(pose, 0, arc * 60, round_ * 200)
    colour = _mix(np.tile(breast, (len(arc), 1)), back, _step(-0.05, 0.35, high + soft))
    belly = _step(0.55, 0.15, arc) * _step(-0.4, -0.8, high)
    colour = _mix(colour, 0.45 * breast + 0.5, 0.5 * belly)

    fleck = (
        _spots(arc, round_, 0.055, 0.22 + 0.18 * t["spots"])
        * _step(0.22, 0.40, arc)
        * _step(body.head_along - 0.3 * body.head, 0.75, arc)
    )
    colour = _mix(colour, 0.14 * breast + 0.25 * back * 0.3, np.clip(2.5 * t["spots"], 0, 1) * fleck
                  * _step(0.15, -0.1, high + soft))  # fmt: skip

    scallop, flight, q, edge, inside, s = _wing(body, at)
    feather = 0.8 + 0.25 * scallop
    on_wing = wing * feather[:, None] * (1 - 0.38 * flight)[:, None] + 0.10 * flight[:, None] * edge[:, None]
    bars = np.maximum(_ridge(s, 0.30, 0.035), _ridge(s, 0.47, 0.035)) * _step(0.97, 0.8, np.abs(q))
    on_wing = _mix(on_wing, np.full(3, 0.85, np.float32), t["wing_bars"] * bars)
    colour = _mix(colour, on_wing, inside)

    head, gaze = body.at(body.head_along).astype(np.float32), body.gaze
    up = np.array([-gaze[1], gaze[0], 0.0], np.float32)
    x, y = (at - head) @ gaze / body.head, (at - head) @ up / body.head
    on_head = _step(-1.15, -0.85, x + 0.25 * soft) * (arc > 0.7)
    colour = _mix(colour, cap, on_head * _step(0.02, 0.22, y + 0.18 * x + 0.5 * soft))
    bib = _step(0.25, -0.05, x - 0.9 + 0.8 * np.abs(y + 0.6)) * _step(-0.05, -0.3, y + 0.25 * x)
    bib = bib * _step(0.70, 0.86, arc)
    colour = _mix(colour, 0.12 * cap, np.clip(2.5 * t["bib"], 0, 1)
                  * _step(1.15 - 0.9 * t["bib"], 0.75 - 0.9 * t["bib"], -x) * bib)  # fmt: skip
    stripe = _ridge(y, 0.14 - 0.05 * x, 0.20 - 0.06 * x) * _step(-1.2, -0.95, x) * _step(1.05, 0.9, x)
    colour = _mix(colour, np.full(3, 0.03, np.float32), t["stripe"] * stripe)
    to_eye = np.hypot(x - 0.34, y - 0.16) * body.head / body.eye
    colour = _mix(colour, np.full(3, 0.92, np.float32), t["eye_ring"] * _step(1.55, 1.3, to_eye))
    relief = 0.6 * _noise(pose, 1, arc * 90, round_ * 330) + 0.5 * _noise(pose, 2, arc * 30, round_ * 90)
    shade = 1.3 * inside * (0.35 * scallop + flight * (edge - 0.45)) - 0.9 * _rim(q, s)
    return colour, 0.45 * relief * (1 - 0.6 * inside) + shade


def _wing(body: Body, at: np.ndarray) -> tuple[np.ndarray, ...]:
    """The folded wing on the side: scallops, flight feathers' share, place across [-1, 1], their edges, whether inside,
    and the place along it from the shoulder."""
    axis = body.axis
    up = np.array([-axis[1], axis[0], 0.0], np.float32)
    s = (0.93 - at @ axis) / 0.95
    half = 0.62 * np.where(s < 0.3, np.sqrt(np.clip(1 - (1 - s / 0.3) ** 2, 0, 1)),
                           1 - np.clip((s - 0.3) / 0.75, 0, 1) ** 1.7)  # fmt: skip
    q = (at @ up / body.depth - 0.18 - 0.12 * s) / np.maximum(half, 1e-3)
    inside = _step(1.03, 0.95, np.abs(q)) * _step(0.0, 0.02, s) * _step(1.08, 1.0, s)
    flight = _step(0.46, 0.52, s)
    rows, columns = s / 0.075, q * 4.0
    shift = np.floor(rows) % 2 * 0.5
    u, v = rows - np.floor(rows), columns + shift - np.floor(columns + shift) - 0.5
    scallop = (1 - flight) * (0.5 - 1.2 * _step(0.62, 0.98, u + 1.4 * v * v))
    line = 6.5 * (q + 0.5 * (s - 0.5))
    edge = 1 - np.abs(2 * (line - np.floor(line)) - 1)
    return scallop, flight, q, _step(0.55, 1.0, edge), inside, s


def _rim(q: np.ndarray, s: np.ndarray) -> np.ndarray:
    """The shadow that a wing throws along its lower edge."""
    return _step(-1.28, -1.04, q) * _step(-0.99, -1.05, q) * _step(0.04, 0.2, s) * _step(1.0, 0.8, s)


def _ridge(x: np.ndarray, middle: np.ndarray | float, half: np.ndarray | float) -> np.ndarray:
    return _step(1.4, 0.6, np.abs(x - middle) / half)


def _spots(arc: np.ndarray, round_: np.ndarray, cell: float, wide: float) -> np.ndarray:
    """Drop-shaped flecks in staggered rows."""
    rows = arc / (1.25 * cell)
    columns = round_ / cell + 0.5 * (np.floor(rows) % 2)
    u, v = rows - np.floor(rows) - 0.5, columns - np.floor(columns) - 0.5
    return _step(wide, 0.65 * wide, np.hypot(0.75 * u, v * (1.25 + 0.9 * u)))


_GLOSS = {"upper": 0.35, "lower": 0.35, "eye": 1.0, "leg": 0.1}
_ROUGH = {"upper": 0.15, "lower": 0.15, "eye": 0.0, "leg": 0.25, "thigh": 0.4, "crest": 0.35}


def _tones(t: Traits) -> dict[str, np.ndarray]:
    """The plain colour of each part but the trunk."""
    bare = _colour([0.025, 0.022, 0.02]) + t["bare"] * _colour([0.725, 0.248, 0.01])
    back, breast, cap, wing = (_region(t, name) for name in ("back", "breast", "cap", "wing"))
    return {
        "upper": bare, "lower": 0.75 * bare, "eye": _colour([0.012, 0.009, 0.008]), "leg": 0.75 * bare,
        "thigh": 0.85 * breast, "crest": cap, "wingtip": 0.58 * wing, "tail": 0.45 * back + 0.25 * wing,
    }  # fmt: skip


def _coloured(
    body: Body, names: list[str], which: np.ndarray, at: np.ndarray, along: np.ndarray, around: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Albedo [n, 3], relief [n] and gloss [n] of points; `which` are their parts' numbers, for `names`."""
    tones = _tones(body.traits)
    albedo, gloss = np.zeros((len(at), 3), np.float32), np.zeros(len(at), np.float32)
    relief = _noise(body.pose, 3, along * 14, np.cos(around) * 60)
    for name in dict.fromkeys(names):
        mine = np.flatnonzero(np.array([name == other for other in names])[which])
        if name == "trunk":
            albedo[mine], relief[mine] = _trunk(body, at[mine], along[mine], around[mine])
            continue
        albedo[mine], gloss[mine] = tones[name], _GLOSS.get(name, 0.0)
        relief[mine] *= _ROUGH.get(name, 0.25)
        if name == "crest":
            relief[mine] -= 0.4 * (1 - along[mine])
        elif name in ("upper", "lower"):
            albedo[mine] *= (1 - 0.35 * _step(0.6, 1.0, along[mine]))[:, None]
        elif name in ("tail", "wingtip"):  # long feathers with pale fringes
            line = 3.5 * (np.cos(around[mine]) if name == "wingtip" else np.sin(around[mine]))
            edge = _step(0.7, 1.0, 1 - np.abs(2 * (line - np.floor(line)) - 1))
            albedo[mine] += 0.10 * edge[:, None]
            relief[mine] += 0.7 * (edge - 0.4)
            if name == "tail":
                tip = 0.8 * body.traits["wing_bars"] * _step(0.93, 0.96, along[mine])
                albedo[mine] = _mix(albedo[mine], np.full(3, 0.8, np.float32), tip)
    return albedo, relief, gloss


# --- drawing ---------------------------------------------------------------------------------------------------------


def sprite(traits: Traits, pose: Pose, pixels: float, lamp: Lamp) -> Sprite:
    """A bird whose body is `pixels` long, in a picture that just holds it."""
    body = Body(traits, pose)
    fine = 2 if pixels > 70 else 3 if pixels > 35 else 4
    scale = pixels * fine
    parts, turn = surfaces(body, scale), _turned(pose)
    nearest, top, left = _thrown(parts, turn, scale, fine)
    h, w = nearest.shape
    light = np.zeros((h * w, 3), np.float32)
    seen = np.flatnonzero(nearest >= 0)
    light[seen] = _seen(body, parts, nearest.flat[seen], turn, lamp)
    alpha = (nearest >= 0).astype(np.float32)
    shape = (h // fine, fine, w // fine, fine)
    cover = alpha.reshape(shape).mean((1, 3))
    mean = light.reshape(*shape, 3).mean((1, 3)) / np.maximum(cover, 1e-6)[..., None]
    foot = turn @ (body.feet - [0, 0.02, 0])
    return Sprite(mean.astype(np.float32), cover, ((top - scale * foot[1]) / fine, (scale * foot[0] - left) / fine))


def _firsts(counts: list[int]) -> np.ndarray:
    """Where each of several runs begins, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(counts)])


def _thrown(parts: list[Part], turn: np.ndarray, scale: float, fine: int) -> tuple[np.ndarray, int, int]:
    """For each cell of a grid the number of the nearest point, of all parts' points in their order, or -1.

    Its first cell lies `top` cells above and `left` cells right of the origin; its sides are multiples of `fine`.
    """
    placed = [(part.at @ turn.T) * np.float32(scale) for part in parts]
    middle = np.concatenate([at[0] for at in placed])
    reach = np.concatenate([np.hypot(at[1], at[2]) for at in placed])
    low, high = (middle - reach).min(0), (middle + reach).max(0)
    left, bottom = (math.floor(float(low[k])) - 2 * fine for k in range(2))
    right, top = (math.ceil(float(high[k])) + 2 * fine for k in range(2))
    w, h = (-(-n // fine) * fine for n in (right - left, top - bottom))
    nearest, depth = np.full(h * w, -1, np.int64), np.full(h * w, -np.inf, np.float32)
    firsts = _firsts([len(part.along) * part.around for part in parts])
    for first, part, at in zip(firsts[:-1], parts, placed, strict=True):
        rows = np.argsort(at[0, :, 2])  # far rows first: of points that share a cell, the last stays
        angle = _angles(np.arange(part.around), part.around)
        c, s = np.cos(angle), np.sin(angle)
        x, y, z, facing = (
            field[0, rows, None] + field[1, rows, None] * c + field[2, rows, None] * s
            for field in (at[..., 0], at[..., 1], at[..., 2], part.normal @ turn[2])
        )
        front = facing > -0.02
        cell = (top - y[front]).astype(np.int64) * w + (x[front] - left).astype(np.int64)
        number = (rows[:, None] * part.around + np.arange(part.around))[front]
        near = z[front]
        over = near > depth[cell]
        depth[cell[over]] = near[over]
        nearest[cell[over]] = number[over] + first
    return _filled(nearest.reshape(h, w)), top, left


def _seen(body: Body, parts: list[Part], numbers: np.ndarray, turn: np.ndarray, lamp: Lamp) -> np.ndarray:
    """The light [n, 3] that comes from points of these numbers."""
    firsts = _firsts([len(part.along) * part.around for part in parts])
    which = np.searchsorted(firsts, numbers, side="right") - 1
    around = np.array([part.around for part in parts])[which]
    i, j = np.divmod(numbers - firsts[which], around)
    i += _firsts([len(part.along) for part in parts])[which]
    angle = _angles(j, around)
    turned = np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle)])[..., None]
    at, normal = (
        (np.concatenate(field, axis=1)[:, i] * turned).sum(0)
        for field in ([part.at for part in parts], [part.normal for part in parts])
    )
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    along = np.concatenate([part.along for part in parts])[i]
    albedo, relief, gloss = _coloured(body, [part.name for part in parts], which, at, along, angle)
    return _lit(albedo, relief, gloss, normal @ turn.T, lamp)


def _angles(j: np.ndarray, around: np.ndarray | int) -> np.ndarray:
    return (2 * np.pi * j / around).astype(np.float32)


def _turned(pose: Pose) -> np.ndarray:
    """The rotation from the bird's axes to the viewer's, who looks along -z."""
    a, b = math.radians(pose.yaw), math.radians(pose.pitch)
    yaw = np.array([[math.cos(a), 0, -math.sin(a)], [0, 1, 0], [math.sin(a), 0, math.cos(a)]])
    pitch = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    return (pitch @ yaw).astype(np.float32)


def _filled(nearest: np.ndarray) -> np.ndarray:
    """Single cells that no point hit, between others that were, take a neighbour's."""
    padded = np.pad(nearest, 1, constant_values=-1)
    h, w = nearest.shape
    sides = [padded[1 + i : 1 + i + h, 1 + j : 1 + j + w] for i, j in ((0, 1), (0, -1), (1, 0), (-1, 0))]
    hit = np.sum([side >= 0 for side in sides], axis=0)
    return np.where((nearest < 0) & (hit >= 3), np.max(sides, axis=0), nearest)


def _lit(albedo: np.ndarray, relief: np.ndarray, gloss: np.ndarray, normal: np.ndarray, lamp: Lamp) -> np.ndarray:
    """Light from feathers: they scatter some of the sun around the edge, and the ground lights them from below."""
    cosine = normal @ lamp.towards
    direct = np.clip((cosine + 0.25) / 1.25, 0, 1) * (0.75 + 0.25 * _step(-0.6, 0.2, normal[:, 1]))
    up = 0.5 + 0.5 * normal[:, 1]
    around = lamp.sky * up[:, None] + lamp.ground * (1 - up)[:, None]
    closed = 0.55 + 0.45 * np.clip(normal[:, 2], 0, 1) ** 0.5  # grazing feathers shade each other
    seen = albedo * (around * closed[:, None] + direct[:, None] * lamp.sun)
    seen = seen * np.clip(1 + 0.42 * relief, 0.25, 1.8)[:, None]
    half = lamp.towards + np.array([0, 0, 1], np.float32)
    shine = np.clip(normal @ (half / np.linalg.norm(half)), 0, 1) ** np.where(gloss > 0.9, 90, 25)
    seen = seen + (gloss * shine)[:, None] * (0.9 * lamp.sun + 0.6 * lamp.sky)
    return seen.astype(np.float32)
