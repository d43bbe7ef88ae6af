"""The body of a bird: its measures from its traits and its pose, and the surfaces that its parts have.

Every part (trunk with neck and head, bill, tail, wings' tips, legs, crest, eyes) is a canal surface: the envelope of
spheres along a curve. Lengths are shares of the body's, from the root of the tail to the breast; x is forward along the
bird, y up, z towards its right side. NumPy only.

What tells how large a bird is, when nothing else in the picture does: eyes and heads of small birds are large
(eye ∝ mass^0.2: Brooke, Hanley & Laughlin 1999, Proc. R. Soc. B 266, 405), and their legs thin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

USUAL_M = 0.18  # the length at which head and eye have their usual shares
DENSE = 1.1  # points of a surface for each cell of the grid it is drawn on, along each way

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


# --- measures --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Body:
    """The measures of a body that its parts and its plumage share: radii of trunk, head, eye and legs."""

    traits: Traits
    pose: Pose

    @property
    def _larger(self) -> float:
        return self.traits["length_m"] / USUAL_M

    @property
    def depth(self) -> float:
        """Radius of the trunk."""
        return 0.5 * self.traits["roundness"]

    @property
    def head(self) -> float:
        """Radius of the head."""
        return 0.20 * self.traits["head"] * self._larger**-0.2

    @property
    def eye(self) -> float:
        """Radius of the eyes."""
        return 0.26 * self.head * self._larger**-0.33

    @property
    def leg(self) -> float:
        """Radius of the legs."""
        return 0.017 * self._larger**0.25

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
    def feet(self) -> np.ndarray:
        """The middle between the feet, where they stand."""
        rise = 0.45 * self.axis[1] - self.depth - self.traits["leg"]
        return np.array([0.52 * self.axis[0] + 0.02, rise, 0.0])

    @property
    def head_along(self) -> float:
        """The arc from the root of the tail to the middle of the head."""
        return 0.86 + 0.55 * self.head + self.traits["neck"]

    @cached_property
    def spine(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


# --- surfaces --------------------------------------------------------------------------------------------------------


class _Curve(NamedTuple):
    """What a part is made of: the curve [n, 3] in an upright plane, the spheres' radii [n], and how much the surface is
    squeezed in the plane and across it."""

    name: str
    line: np.ndarray
    radii: np.ndarray
    flat: tuple[float, float] = (1.0, 1.0)


class Part(NamedTuple):
    """A surface: the point at row i and angle t is `at`[i] · (1, cos t, sin t), and its normal likewise.

    `at` and `normal` are [3, n, 3]; `along` [n] goes from 0 to 1; `around` angles go from 0, on top, over π, below.
    """

    name: str
    at: np.ndarray
    normal: np.ndarray
    along: np.ndarray
    around: int


def surfaces(body: Body, scale: float) -> list[Part]:
    """All surfaces of a bird, the trunk first, for a grid with `scale` cells to a unit of length."""
    t, pose = body.traits, body.pose
    parts: list[_Curve] = []
    head, gaze, axis = body.at(body.head_along), body.gaze, body.axis
    up, u = np.array([-gaze[1], gaze[0], 0.0]), np.linspace(0, 1, 60)[:, None]

    taper = (1 - u[:, 0] ** 1.5) ** 0.9 * np.sqrt(np.clip(u[:, 0] / 0.08, 0, 1))  # its root is hidden in the head
    long, deep = 2 * body.head * t["bill_length"], body.head * t["bill_depth"]
    for name, side, length in (("upper", 1, long), ("lower", -1, 0.94 * long)):
        open_ = side * math.radians(pose.gape) / 2 - t["bill_curve"] * np.linspace(0, 1, 60) ** 1.3
        open_ = np.cumsum(np.stack([np.cos(open_), np.sin(open_)], 1), axis=0) * length / 60
        base = head + 0.80 * body.head * gaze + (side * 0.42 * deep - 0.08 * body.head) * up
        line = base + open_[:, :1] * gaze + open_[:, 1:] * up - side * 0.36 * deep * u * up
        parts.append(_Curve(name, line, deep * (0.62 if side > 0 else 0.5) * taper, (1.0, 0.75)))

    for side in (-1.0, 1.0):
        where = head + 0.34 * body.head * gaze + 0.16 * body.head * up
        skull = float(np.interp(body.head_along + 0.34 * body.head, *body.spine[::2]))
        lateral = 0.88 * math.sqrt(max(0.1, skull**2 - (0.16 * body.head) ** 2)) - 0.45 * body.eye
        ball = -np.cos(np.pi * u)
        eye = where + [0, 0, side * lateral] + body.eye * ball * np.array([1.0, 0, 0])
        parts.append(_Curve("eye", eye, body.eye * np.sqrt(np.clip(1 - ball[:, 0] ** 2, 0, 1))))
        hip = 0.45 * axis + np.array([0.0, -0.62 * body.depth, side * 0.45 * body.depth])
        foot = body.feet + np.array([0, 0, side * 0.09])
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
    return _enveloped([trunk], scale) + _enveloped(parts, scale)


def _enveloped(curves: list[_Curve], scale: float) -> list[Part]:
    """The envelopes of the spheres along curves, all of one number of points."""
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
        parts.append(Part(curve.name, rows[:3], rows[3:], along.astype(np.float32), around))
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
