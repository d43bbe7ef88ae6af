"""How a bird looks: a body in three dimensions from its traits, seen from any side, feathered and lit.

Every part (trunk with neck and head, bill, tail, legs, crest, eyes) is a canal surface: the envelope of spheres along
a curve. Points of these surfaces are thrown onto a grid finer than the picture, the nearest one stays, and only what is
seen gets its plumage and its light. Lengths are shares of the body's, from the root of the tail to the breast; x is
forward along the bird, y up, z towards its right side. NumPy only.

What tells how large a bird is, when nothing else in the picture does: eyes and heads of small birds are large
(eye ∝ mass^0.2: Brooke, Hanley & Laughlin 1999, Proc. R. Soc. B 266, 405), and their legs thin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import sights

if TYPE_CHECKING:
    from jaxtyping import Float

USUAL_M = 0.18  # the length at which head and eye have their usual shares
DENSE = 1.1  # points for each cell of the fine grid, along each way

Rng = np.random.Generator
Traits = Mapping[str, float]


@dataclass(frozen=True)
class Pose:
    """How a bird stands. Angles in degrees: the trunk's rise, the head's rise, the view's yaw (0: its right side is
    seen; 180: its left; 90: it faces the viewer) and pitch, the bill's gape, the tail's lift.

    `seed` gives the grain of its feathers.
    """

    rise: float = 35.0
    head: float = 5.0
    yaw: float = 0.0
    pitch: float = 0.0
    gape: float = 0.0
    tail: float = 0.0
    seed: int = 0


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


class _Curve(NamedTuple):
    """What a part is made of: the curve [n, 3] in an upright plane, the spheres' radii [n], and how much the surface is
    squeezed in the plane and across it."""

    name: str
    line: np.ndarray
    radii: np.ndarray
    flat: tuple[float, float] = (1.0, 1.0)


class _Part(NamedTuple):
    """A surface: the point at row i and angle t is `at`[i] · (1, cos t, sin t), and its normal likewise.

    `at` and `normal` are [3, n, 3]; `along` [n] goes from 0 to 1; `around` angles go from 0, on top, over π, below.
    """

    name: str
    at: np.ndarray
    normal: np.ndarray
    along: np.ndarray
    around: int


# --- colour -----------------------------------------------------------------------------------------------------------


def oklab(lightness: float, a: float, b: float) -> np.ndarray:
    """Linear sRGB in [0, 1] of an Oklab colour (Ottosson 2020, "A perceptual color space for image processing").

    Colours that no screen can show lose chroma, at the same lightness and hue, until one can.
    """
    for keep in np.linspace(1, 0, 9):
        root = lightness + keep * (np.array([0.3963377774, -0.1055613458, -0.0894841775]) * a
                                   + np.array([0.2158037573, -0.0638541728, -1.2914855480]) * b)  # fmt: skip
        rgb = _FROM_CONES @ root**3
        if (rgb > -1e-3).all() and (rgb < 1.001).all():
            break
    return np.clip(rgb, 0, 1).astype(np.float32)


_FROM_CONES = np.array([
    [4.0767416621, -3.3077115913, 0.2309699292],
    [-1.2684380046, 2.6097574011, -0.3413193965],
    [-0.0041960863, -0.7034186147, 1.7076147010],
])  # fmt: skip


def _colour(values: list[float]) -> np.ndarray:
    return np.array(values, np.float32)


def _region(traits: Traits, name: str) -> np.ndarray:
    return oklab(*(traits[f"{name}_{axis}"] for axis in "lab"))


# --- shape ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Body:
    """The measures of a body that its parts and its plumage share."""

    traits: Traits
    pose: Pose

    def __post_init__(self) -> None:
        t, small = self.traits, self.traits["length_m"] / USUAL_M
        set_ = object.__setattr__
        set_(self, "depth", 0.5 * t["roundness"])  # radius of the trunk
        set_(self, "head", 0.20 * t["head"] * small**-0.2)  # radius of the head
        set_(self, "eye", self.head * 0.26 * small**-0.33)
        set_(self, "leg", 0.017 * small**0.25)
        set_(self, "spine", self._spine())

    depth: float = 0.0
    head: float = 0.0
    eye: float = 0.0
    leg: float = 0.0
    spine: tuple[np.ndarray, np.ndarray, np.ndarray] = (np.zeros(0), np.zeros(0), np.zeros(0))

    @property
    def axis(self) -> np.ndarray:
        """The trunk's direction, from the tail to the breast."""
        rise = math.radians(self.pose.rise)
        return np.array([math.cos(rise), math.sin(rise), 0.0], np.float32)

    @property
    def gaze(self) -> np.ndarray:
        """The head's direction."""
        rise = math.radians(self.pose.head)
        return np.array([math.cos(rise), math.sin(rise), 0.0], np.float32)

    @property
    def head_along(self) -> float:
        """The arc from the root of the tail to the middle of the head."""
        return 0.86 + 0.55 * self.head + self.traits["neck"]

    def _spine(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The arc [n], the points [n, 3] and the radii [n] of the trunk, neck and head, from the tail to the face."""
        end = self.head_along + self.head
        arc = np.linspace(0, end, 400)
        rise, neck, gaze = self.pose.rise, max(62.0, self.pose.rise + 12), self.pose.head
        bend = 0.05 + 0.25 * self.traits["neck"]
        turn = rise + (neck - rise) / (1 + np.exp(-(arc - 0.80) / bend))
        turn = np.radians(turn + (gaze - turn) / (1 + np.exp(-(arc - self.head_along + 0.3 * self.head) / 0.045)))
        step = arc[1] * np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
        points = np.concatenate([np.zeros((1, 3)), np.cumsum(0.5 * (step[1:] + step[:-1]), axis=0)])

        def bump(middle: float, behind: float, before: float, power: float) -> np.ndarray:
            u = (arc - middle) / np.where(arc < middle, behind, before)
            return np.clip(1 - np.abs(u) ** 2, 0, 1) ** power

        trunk = self.depth * np.where(arc < 0.58, bump(0.58, 0.585, 0.45, 0.72), bump(0.58, 0.585, 0.45, 0.5))
        head = self.head * bump(self.head_along, self.head, self.head, 0.5)
        thick = self.head * (1.0 - 0.85 * self.traits["neck"])
        neck_r = thick * np.clip((arc - 0.5) / 0.25, 0, 1) * np.clip((self.head_along - arc) / 0.02 + 1, 0, 1)
        root = 0.075 * np.clip(1 - arc / 0.3, 0, 1) ** 0.5 * np.clip(arc / 0.02, 0, 1) ** 0.5
        radii = (trunk**4 + head**4 + neck_r**4 + root**4) ** 0.25
        return arc, points, radii

    def at(self, arc: float) -> np.ndarray:
        """The point of the spine at an arc."""
        return np.array([np.interp(arc, self.spine[0], self.spine[1][:, k]) for k in range(3)])


def _surfaces(curves: list[_Curve], scale: float) -> list[_Part]:
    """The envelopes of the spheres along curves of one number of points, `scale` cells to a unit of length."""
    line, r = np.stack([c.line for c in curves]), np.stack([c.radii for c in curves])[..., None]
    flat = np.array([c.flat for c in curves])[:, None, :, None]
    arc = np.cumsum(_gaps(line), axis=1)
    tangent = _difference(line)
    run = np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), 1e-9)
    slope = np.clip(_difference(r) / run, -0.999, 0.999)
    tangent /= run
    level = np.sqrt(1 - slope**2)
    across = np.stack([-tangent[..., 1], tangent[..., 0], 0 * tangent[..., 0]], axis=-1)
    side = np.array([0.0, 0.0, 1.0])
    at = np.stack([line - r * slope * tangent, r * level * across * flat[:, :, 0], r * level * side * flat[:, :, 1]])
    normal = np.stack([-slope * tangent, level * across / flat[:, :, 0], level * side / flat[:, :, 1]])
    # Rows as close as cells are: where the radius changes quickly the surface runs across the line.
    walls = at[0] + np.stack([at[1], -at[1], at[2]])
    runs = np.cumsum(np.max([_gaps(wall) for wall in walls], axis=0) + 1e-9, axis=1)
    both, parts = np.concatenate([at, normal]), []
    for k, curve in enumerate(curves):
        run_k = runs[k] - runs[k, 0]
        even = np.linspace(0, run_k[-1], int(np.clip(DENSE * scale * run_k[-1], 6, 1500)))
        i = np.clip(np.searchsorted(run_k, even) - 1, 0, len(run_k) - 2)
        share = (even - run_k[i]) / (run_k[i + 1] - run_k[i])
        rows = (both[:, k, i] + (both[:, k, i + 1] - both[:, k, i]) * share[:, None]).astype(np.float32)
        along = (arc[k, i] + (arc[k, i + 1] - arc[k, i]) * share) / arc[k, -1]
        around = int(np.clip(DENSE * scale * 2 * np.pi * curve.radii.max() * max(curve.flat), 6, 2000))
        parts.append(_Part(curve.name, rows[:3], rows[3:], along.astype(np.float32), around))
    return parts


def _gaps(line: np.ndarray) -> np.ndarray:
    """How far each point of curves [k, n, 3] is from the one before; 0 for the first."""
    return np.pad(np.linalg.norm(np.diff(line, axis=1), axis=2), ((0, 0), (1, 0)))


def _difference(x: np.ndarray) -> np.ndarray:
    """Central differences along axis 1, one-sided at the ends."""
    out = np.empty_like(x)
    out[:, 1:-1] = 0.5 * (x[:, 2:] - x[:, :-2])
    out[:, 0], out[:, -1] = x[:, 1] - x[:, 0], x[:, -1] - x[:, -2]
    return out


def _parts(body: _Body, scale: float) -> list[_Part]:
    """All surfaces of a bird; the trunk is the first."""
    t, pose = body.traits, body.pose
    parts: list[_Curve] = []
    head, gaze, axis = body.at(body.head_along), body.gaze, body.axis
    up, u = np.array([-gaze[1], gaze[0], 0.0]), np.linspace(0, 1, 60)[:, None]

    long, deep = 2 * body.head * t["bill_length"], body.head * t["bill_depth"]
    for name, side, length in (("upper", 1, long), ("lower", -1, 0.94 * long)):
        open_ = side * math.radians(pose.gape) / 2 - t["bill_curve"] * np.linspace(0, 1, 60) ** 1.3
        open_ = np.cumsum(np.stack([np.cos(open_), np.sin(open_)], 1), axis=0) * length / 60
        base = head + 0.80 * body.head * gaze + (side * 0.42 * deep - 0.08 * body.head) * up
        line = base + open_[:, :1] * gaze + open_[:, 1:] * up - side * 0.36 * deep * u * up
        parts.append(_Curve(name, line, deep * (0.62 if side > 0 else 0.5) * (1 - u[:, 0] ** 1.5) ** 0.9, (1.0, 0.75)))

    for side in (-1.0, 1.0):
        where = head + 0.34 * body.head * gaze + 0.16 * body.head * up
        skull = float(np.interp(body.head_along + 0.34 * body.head, *body.spine[::2]))
        lateral = 0.88 * math.sqrt(max(0.1, skull**2 - (0.16 * body.head) ** 2)) - 0.45 * body.eye
        ball = -np.cos(np.pi * u)
        eye = where + [0, 0, side * lateral] + body.eye * ball * np.array([1.0, 0, 0])
        parts.append(_Curve("eye", eye, body.eye * np.sqrt(np.clip(1 - ball[:, 0] ** 2, 0, 1))))
        hip = 0.45 * axis + np.array([0.0, -0.62 * body.depth, side * 0.45 * body.depth])
        foot = np.array([0.52 * axis[0] + 0.02, 0.45 * axis[1] - body.depth - t["leg"], side * 0.09])
        knee = hip + 0.35 * (foot - hip) + np.array([-0.07, 0, 0])
        thigh = hip + (knee - hip) * u
        parts.append(_Curve("thigh", thigh, body.depth * 0.36 * (1 - 0.8 * u[:, 0])))
        shank = knee + (foot - knee) * u - np.array([0.05, 0, 0]) * np.sin(np.pi * u) * t["leg"]
        parts.append(_Curve("leg", shank, np.full(60, body.leg)))
        for turn, long in ((-0.45, 0.14), (0.35, 0.14), (math.pi, 0.09)):
            reach = long * np.array([math.cos(turn), 0, math.sin(turn)])
            toe = foot + u * reach + np.array([0, 1, 0]) * 0.05 * np.sin(np.pi * u) * u * (turn < 3) - [0, 0.02, 0] * u
            parts.append(_Curve("leg", toe, body.leg * (0.95 - 0.5 * u[:, 0])))

    lift = math.radians(pose.rise + pose.tail)
    back = -np.array([math.cos(lift), math.sin(lift), 0.0])
    root = 0.10 * axis + 0.01 * np.array([-axis[1], axis[0], 0.0])
    width = 0.055 + 0.035 * u[:, 0]
    width *= np.clip((1 - u[:, 0]) / 0.05, 0, 1) ** 0.5
    parts.append(_Curve("tail", root + u * back * (t["tail"] + 0.1), width, (0.55, 1.3)))
    for side in (-1.0, 1.0):  # the folded wing's long feathers, which lie over the rump and the tail
        begin = 0.35 * axis + 0.30 * body.depth * np.array([-axis[1], axis[0], 0]) + [0, 0, side * 0.62 * body.depth]
        end = 0.02 * axis - 0.2 * t["tail"] * axis + np.array([-axis[1], axis[0], 0]) * 0.03 + [0, 0, side * 0.03]
        thick = 0.085 * np.sqrt(np.clip(1 - u[:, 0] ** 2, 0, 1)) + 0.004
        parts.append(_Curve("wingtip", begin + (end - begin) * u, thick, (1.0, 0.42)))
    if t["crest"] > 0.03:
        for k in range(5):
            height = 2 * body.head * t["crest"] * (1 - 0.09 * abs(k - 2))
            lean = np.radians(pose.head + 143 + 7 * (k - 2) - 28 * u[:, 0])
            run = np.cumsum(np.stack([np.cos(lean), np.sin(lean), 0 * lean], 1), axis=0) * height / 60
            start = head + body.head * (0.78 * up + (0.26 - 0.16 * k) * gaze)
            feather = body.head * 0.3 * (1 - u[:, 0]) ** 0.7 * min(1.0, 0.4 + t["crest"])
            parts.append(_Curve("crest", start + run, feather, (1.0, 0.6)))
    trunk = _Curve("trunk", body.spine[1], body.spine[2], (1.0, 0.88))
    return _surfaces([trunk], scale) + _surfaces(parts, scale)


# --- plumage ----------------------------------------------------------------------------------------------------------


def _step(low: float, high: float, x: np.ndarray) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _mix(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    return one + (other - one) * share[:, None]


def _noise(pose: Pose, k: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Grain of deviation 1 at (u, v) cells."""
    rng = np.random.default_rng([pose.seed, k])
    du, dv = rng.uniform(0, 512, 2)
    return sights._sample("rough", k % 4, u + du, v + dv)


def _trunk(body: _Body, at: np.ndarray, along: np.ndarray, around: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def _wing(body: _Body, at: np.ndarray) -> tuple[np.ndarray, ...]:
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
    return _step(1.4 * half, 0.6 * half, np.abs(x - middle))


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
    body: _Body, names: list[str], which: np.ndarray, at: np.ndarray, along: np.ndarray, around: np.ndarray
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


# --- drawing ----------------------------------------------------------------------------------------------------------


def sprite(traits: Traits, pose: Pose, pixels: float, lamp: Lamp) -> Sprite:
    """A bird whose body is `pixels` long, in a picture that just holds it."""
    body = _Body(traits, pose)
    fine = 2 if pixels > 70 else 3 if pixels > 35 else 4
    scale = pixels * fine
    parts, turn = _parts(body, scale), _turned(pose)
    placed = [(part.at @ turn.T) * np.float32(scale) for part in parts]
    reach = [np.hypot(at[1], at[2]) for at in placed]
    left = math.floor(min(float((at[0] - r)[:, 0].min()) for at, r in zip(placed, reach, strict=True))) - 2 * fine
    right = math.ceil(max(float((at[0] + r)[:, 0].max()) for at, r in zip(placed, reach, strict=True))) + 2 * fine
    low = math.floor(min(float((at[0] - r)[:, 1].min()) for at, r in zip(placed, reach, strict=True))) - 2 * fine
    top = math.ceil(max(float((at[0] + r)[:, 1].max()) for at, r in zip(placed, reach, strict=True))) + 2 * fine
    w, h = (-(-n // fine) * fine for n in (right - left, top - low))

    nearest, depth = np.full(h * w, -1, np.int64), np.full(h * w, -np.inf, np.float32)
    starts = np.concatenate([[0], np.cumsum([len(part.along) * part.around for part in parts])])
    for k, (part, at) in enumerate(zip(parts, placed, strict=True)):
        rows = np.argsort(at[0, :, 2])  # far rows first: of points that share a cell, the last stays
        angle = _angles(np.arange(part.around), part.around)
        c, s = np.cos(angle), np.sin(angle)
        x, y, z = (
            at[0, rows, axis, None] + at[1, rows, axis, None] * c + at[2, rows, axis, None] * s for axis in range(3)
        )
        facing = part.normal @ turn[2]
        front = facing[0, rows, None] + facing[1, rows, None] * c + facing[2, rows, None] * s > -0.02
        cell = (top - y[front]).astype(np.int64) * w + (x[front] - left).astype(np.int64)
        number = (rows[:, None] * part.around + np.arange(part.around))[front]
        near = z[front]
        over = near > depth[cell]
        depth[cell[over]] = near[over]
        nearest[cell[over]] = number[over] + starts[k]
    nearest = _filled(nearest.reshape(h, w))

    seen = np.flatnonzero(nearest >= 0)
    which = np.searchsorted(starts, nearest.flat[seen], side="right") - 1
    around = np.array([part.around for part in parts])[which]
    i, j = np.divmod(nearest.flat[seen] - starts[which], around)
    i += np.concatenate([[0], np.cumsum([len(part.along) for part in parts])])[which]
    angle = _angles(j, around)
    turned = np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle)])[..., None]
    at, normal = (
        (np.concatenate(field, axis=1)[:, i] * turned).sum(0)
        for field in ([part.at for part in parts], [part.normal for part in parts])
    )
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    along = np.concatenate([part.along for part in parts])[i]
    albedo, relief, gloss = _coloured(body, [part.name for part in parts], which, at, along, angle)
    light = np.zeros((h * w, 3), np.float32)
    light[seen] = _lit(albedo, relief, gloss, normal @ turn.T, lamp)
    light = light.reshape(h, w, 3)
    feet = turn @ np.array([0.52 * body.axis[0] + 0.02, 0.45 * body.axis[1] - body.depth - traits["leg"] - 0.02, 0])
    alpha = (nearest >= 0).astype(np.float32)
    shape = (h // fine, fine, w // fine, fine)
    cover = alpha.reshape(shape).mean((1, 3))
    mean = (light * alpha[..., None]).reshape(*shape, 3).mean((1, 3)) / np.maximum(cover, 1e-6)[..., None]
    return Sprite(mean.astype(np.float32), cover, ((top - scale * feet[1]) / fine, (scale * feet[0] - left) / fine))


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
