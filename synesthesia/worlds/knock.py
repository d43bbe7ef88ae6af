"""The knock world: parametric objects of known truth, seen by a path tracer and struck by the modal engine.

Item i of (seed, split) is a pure function of those three numbers. `VIEWS` items in a row share an object (material,
coating, support, size), `VIEWS * VARIANTS` share a shape, so one finite-element solve serves several pictures; each has
its own view: camera, ground, light. Truth is told in scene axes: the camera at the origin looking along -z, x right,
y up, metres.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .. import hub, shards
from ..physics.materials import COATINGS, GROUPS, MATERIALS, Material, blend
from ..physics.modes import Modes, solve
from ..physics.shapes import FAMILIES, Shape, invented
from ..physics.strike import REFERENCE_PULSE, contact_seconds, hit, lines, prepare
from ..senses import MALLETS, SUPPORTS, InputError, Sound, Support
from . import looks, making, render
from .render import GROUND, OBJECT, OTHER, Body, Camera, Maps

if TYPE_CHECKING:
    from ..physics.strike import Body as Struck

VERSION = 5
SPLITS = ("train", "val", "objects", "families", "combinations", "invented")
# Never seen in training or validation: whole families, and pairs of material group and coating.
HELD_FAMILIES = ("bell", "pan")
HELD_COMBOS = (("metal", "fur"), ("mineral", "felt"), ("wood", "fur"), ("plastic", "felt"))
VIEWS, VARIANTS = 1, 2
PER_SHARD = 60
POINTS = 6
# How often the ground shows known lengths, and how often a held thing is held by a hand (whose size is known too):
# together less than half of all pictures carry a cue of scale.
MEASURED_GROUND, HELD_BY_HAND = 0.36, 0.45
SUPPORT_SHARE = {"hung": 0.25, "resting": 0.55, "held": 0.20}
COATED = 0.28  # share of things that are meant to have a coating; rust is for metal alone
_COATS = {"paint": 6, "felt": 7, "fur": 7, "rust": 8}  # how often each, beside the others
LINES = 48
MODES = 96
RATE, SECONDS = 48000, 1.0
UP = np.array([0.0, 1.0, 0.0])

# Largest dimension in metres, as such things have it in a household; "" is anything else. What a thing is thus tells
# something about its size, as it does in life.
_SIZES = {
    "": (0.09, 0.30),
    "bar": (0.10, 0.40),
    "rod": (0.10, 0.40),
    "pipe": (0.10, 0.40),
    "plate": (0.12, 0.32),
    "disc": (0.10, 0.28),
    "bowl": (0.11, 0.28),
    "cup": (0.07, 0.13),
    "bottle": (0.16, 0.34),
    "vase": (0.13, 0.32),
    "pan": (0.18, 0.40),
    "jar": (0.08, 0.20),
    "sphere_hollow": (0.05, 0.24),
    "sphere_solid": (0.04, 0.14),
    "bell": (0.06, 0.22),
    "wine_glass": (0.13, 0.24),
    "can": (0.08, 0.18),
    "dish": (0.14, 0.32),
    "gong": (0.16, 0.40),
    "ring": (0.04, 0.16),
    "pawn": (0.04, 0.18),
    "funnel": (0.09, 0.22),
    "tray": (0.16, 0.40),
    "fork": (0.13, 0.26),
}
# What such things are usually made of; one in three is made of anything.
_USUAL = {
    "bar": ("steel", "aluminium", "hardwood", "softwood", "hard_plastic"),
    "rod": ("steel", "brass", "hardwood", "bamboo", "acrylic"),
    "pipe": ("steel", "copper", "hard_plastic", "cardboard"),
    "plate": ("corrugated", "cardboard", "plywood", "steel", "marble", "acrylic"),
    "disc": ("steel", "brass", "hardwood", "cardboard", "hard_rubber"),
    "bowl": ("porcelain", "ceramic", "hardwood", "steel", "hard_plastic"),
    "cup": ("porcelain", "ceramic", "paper", "hard_plastic"),
    "bottle": ("glass", "glass", "pet", "pet", "soft_plastic"),
    "vase": ("ceramic", "porcelain", "glass"),
    "pan": ("iron", "steel", "aluminium"),
    "jar": ("glass", "ceramic", "soft_plastic"),
    "box_hollow": ("corrugated", "cardboard", "paper", "plywood", "hard_plastic"),
    "box_solid": ("hardwood", "softwood", "foam", "stone", "concrete"),
    "sphere_hollow": ("rubber", "hard_plastic", "soft_plastic"),
    "sphere_solid": ("rubber", "hard_rubber", "cork", "hardwood", "steel", "glass"),
    "bell": ("bronze", "brass", "iron"),
    "wine_glass": ("glass",),
    "can": ("aluminium", "steel"),
    "dish": ("porcelain", "ceramic", "paper", "soft_plastic"),
    "gong": ("bronze", "brass"),
    "ring": ("steel", "brass", "rubber", "hard_rubber"),
    "pawn": ("hardwood", "softwood", "hard_plastic"),
    "funnel": ("soft_plastic", "hard_plastic", "steel"),
    "tray": ("cardboard", "paper", "plywood", "hard_plastic", "aluminium"),
    "bracket": ("steel", "aluminium", "hard_plastic"),
    "channel": ("steel", "aluminium", "hardwood"),
    "fork": ("steel", "hardwood", "soft_plastic"),
    "frame": ("hardwood", "softwood", "aluminium"),
}
# Things whose wall cannot be told from outside.
_CLOSED = ("sphere_hollow", "sphere_solid", "box_hollow", "box_solid", "can")


@dataclass(frozen=True)
class World:
    """What determines every byte of a world; kept in its folder as world.json."""

    seed: int
    split: str
    width: int
    spp: int
    photos: str | None = None
    per_shard: int = PER_SHARD
    version: int = VERSION
    coated: float = COATED

    def rng(self, what: int, index: int) -> np.random.Generator:
        """An independent stream: `what` is 0 for shapes, 1 for objects, 2 for views."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, SPLITS.index(self.split), what, index]))


@dataclass(frozen=True, eq=False)
class Thing:
    """An object that can be seen and struck: a shape, made of something, coated, supported, of a size in metres."""

    shape: Shape
    modes: Modes
    material: Material
    coating: str
    support: Support
    size: float
    is_invented: bool
    seed: int
    look: looks.Look


def allowed(split: str, group: str, coating: str) -> bool:
    """Whether this pair of material group and coating may appear in `split`."""
    if coating == "rust" and group != "metal":
        return False
    held = (group, coating) in HELD_COMBOS
    return held if split == "combinations" else not held


def families(split: str) -> tuple[str, ...]:
    """The families that `split` draws from (invented objects have none)."""
    if split == "families":
        return HELD_FAMILIES
    return () if split == "invented" else tuple(f for f in FAMILIES if f not in HELD_FAMILIES)


def cache_folder() -> Path:
    """Where finite-element solutions are kept: SYNESTHESIA_CACHE, else ~/.cache/synesthesia."""
    return hub.cache_folder("modes")


# --- objects -------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=2)
def _shape(world: World, index: int) -> tuple[Shape, Modes]:
    rng = world.rng(0, index)
    names = families(world.split)
    shape = FAMILIES[names[int(rng.integers(len(names)))]](rng) if names else invented(rng)
    # What is kept is rounded to 32 bits: solve, then take what was kept, so that a run that finds it there is the same.
    solve(shape, MODES, cache_folder())
    return shape, solve(shape, MODES, cache_folder())


@dataclass(frozen=True)
class Made:
    """What a thing is made of: the material, the name whose look it has, and a coating.

    `inlay` names a second material that shows on `share` of the surface, when the material lies between two groups.
    """

    material: Material
    looks_like: str
    coating: str
    inlay: str | None = None
    share: float = 0.0


def _made(rng: np.random.Generator, split: str, family: str, coated: float) -> Made:
    usual = _USUAL.get(family, ()) if rng.random() < 0.67 else ()
    if split == "combinations":
        group, coating = HELD_COMBOS[int(rng.integers(len(HELD_COMBOS)))]
        usual = tuple(n for n in usual if MATERIALS[n].group == group)
    else:
        group = str(rng.choice(GROUPS))
        if usual:
            group = MATERIALS[usual[int(rng.integers(len(usual)))]].group
            usual = tuple(n for n in usual if MATERIALS[n].group == group)
        shares = [1 - coated, *(coated * n / sum(_COATS.values()) for n in _COATS.values())]
        coating = str(rng.choice(["none", *_COATS], p=shares))
        if not allowed(split, group, coating):
            coating = "none"
    own = [n for n, m in MATERIALS.items() if m.group == group]
    if group == "mineral":  # glass is one name of six, but a third of the group
        own += ["glass"] * 2
    if group == "paper":
        own += ["paper"]
    names = list(usual) or own
    name = names[int(rng.integers(len(names)))]
    kind = rng.random()
    if kind < 0.72:
        return Made(MATERIALS[name], name, coating)
    if kind < 0.87:  # an alloy, a body between two of its kind: it looks like the one it is more of
        other = own[int(rng.integers(len(own)))]
        t = float(rng.uniform(0.05, 0.45))
        return Made(MATERIALS[name] if other == name else blend(MATERIALS[name], MATERIALS[other], t), name, coating)
    others = [n for n, m in MATERIALS.items() if m.group != group]
    other = others[int(rng.integers(len(others)))]
    t = float(rng.uniform(0.08, 0.3))
    return Made(blend(MATERIALS[name], MATERIALS[other], t), name, coating, other, t)


@functools.lru_cache(maxsize=2)
def _thing(world: World, index: int) -> Thing:
    shape, modes = _shape(world, index // VARIANTS)
    rng = world.rng(1, index)
    made = _made(rng, world.split, shape.family, world.coated)
    low, high = _SIZES.get(shape.family, _SIZES[""])
    size = float(np.exp(rng.uniform(math.log(low), math.log(high))))
    support = cast("Support", str(rng.choice(SUPPORTS, p=[SUPPORT_SHARE[s] for s in SUPPORTS])))
    seed = int(rng.integers(2**31))
    look = looks.bare(rng, made.looks_like, made.material.group, size, shape.hollow)
    if made.inlay is not None:
        other = looks.bare(rng, made.inlay, MATERIALS[made.inlay].group, size, shape.hollow)
        look = looks.inlaid(rng, look, other, made.share)
    look = looks.coated(rng, look, made.coating, size)
    return Thing(shape, modes, made.material, made.coating, support, size, not families(world.split), seed, look)


# --- poses ---------------------------------------------------------------------------------------------------------


def _turn(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation by `angle` radians about a unit axis (Rodrigues)."""
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * k @ k


def _onto(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smallest rotation that takes direction a to direction b."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    v, c = np.cross(a, b), float(a @ b)
    if c < -0.99999:
        return _turn(np.linalg.svd(a[None])[2][1], math.pi)
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + c)


def _rest(rng: np.random.Generator, vertices: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """A rotation that lays the body on a facet of its convex hull on which it does not topple."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(vertices)
    except QhullError:
        return np.eye(3)
    normal = hull.equations[:, :3]
    foot = centre - (normal @ centre + hull.equations[:, 3])[:, None] * normal
    a, b, c = (vertices[hull.simplices[:, k]] for k in range(3))
    u, v, w = b - a, c - a, foot - a
    uu, uv, vv, wu, wv = ((x * y).sum(1) for x, y in ((u, u), (u, v), (v, v), (w, u), (w, v)))
    det = np.maximum(uu * vv - uv * uv, 1e-30)
    s, t = (vv * wu - uv * wv) / det, (uu * wv - uv * wu) / det
    stable = np.flatnonzero((s > -1e-6) & (t > -1e-6) & (s + t < 1 + 1e-6))
    if not len(stable):
        return np.eye(3)
    _, name = np.unique(np.round(normal[stable], 1), axis=0, return_inverse=True)
    chosen = stable[name.reshape(-1) == int(rng.integers(name.max() + 1))]
    return _onto(normal[int(chosen[int(rng.integers(len(chosen)))])], np.array([0.0, -1.0, 0.0]))


def _pose(rng: np.random.Generator, thing: Thing) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Rotation and shift (metres) from object to world axes, and where in the world it is hung or held."""
    shape, size = thing.shape, thing.size
    vertices = shape.vertices.astype(float)
    area = shape.vertex_areas()
    centre = (area[:, None] * vertices).sum(0) / area.sum()
    yaw = _turn(UP, float(rng.uniform(0, 2 * np.pi)))
    if thing.support == "resting":
        rotation = yaw @ (_rest(rng, vertices, centre) if rng.random() < 0.4 else np.eye(3))
        gap, grip = 0.0, None
    else:
        way = rng.normal(size=3)
        way[1] = abs(way[1]) if thing.support == "hung" or rng.random() < 0.6 else way[1]
        grip = int(np.argmax((vertices - centre) @ way))
        arm = vertices[grip] - centre
        if thing.support == "hung":  # the centre of mass hangs below the string
            rotation = yaw @ _onto(arm, UP)
            gap = size * float(rng.uniform(0.1, 0.8))
        else:
            tilt = _turn(np.array([math.cos(yaw[0, 0]), 0.0, math.sin(yaw[0, 0])]), float(rng.normal(0, 0.35)))
            rotation = tilt @ yaw
            gap = size * float(rng.uniform(0.03, 0.35))
    turned = vertices @ rotation.T * size
    shift = np.array(
        [
            -np.ptp(turned[:, 0]) / 2 - turned[:, 0].min(),
            gap - turned[:, 1].min(),
            -np.ptp(turned[:, 2]) / 2 - turned[:, 2].min(),
        ]
    )
    return (
        rotation,
        shift,
        None if grip is None else np.concatenate([turned[grip] + shift, rotation @ shape.normals[grip]]),
    )


def _supports(rng: np.random.Generator, thing: Thing, at: np.ndarray, centre: np.ndarray) -> tuple[list[Body], bool]:
    """The string, the fingers or the clamp at the place `at` (position and normal); whether they show a known size."""
    place, normal = at[:3], at[3:]
    size = thing.size
    if thing.support == "hung":
        colour = looks.colour(rng, (0, 0.6), (0.02, 0.95))
        line: render.Bsdf = {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": render.rgb(colour)}}
        radius = size * float(rng.uniform(0.005, 0.014))
        knot = render.tube(place - 2 * radius * UP, place + 2 * radius * UP, 2.2 * radius, line, OTHER)
        return [render.tube(place, place + 30 * size * UP, radius, line, OTHER), knot], False
    out = place - centre
    out[1] = max(out[1], 0.25 * float(np.linalg.norm(out)))  # an arm comes from the side or from above
    out /= np.linalg.norm(out)
    side = normal - (normal @ out) * out
    side = side if np.linalg.norm(side) > 0.2 else np.cross(out, [0.3, 1.0, 0.2])
    side /= np.linalg.norm(side)
    third = np.cross(out, side)
    half = 0.5 * min(thing.shape.wall, 0.1) * size
    if rng.random() < HELD_BY_HAND:  # a hand; fingers are about 15 mm thick
        r = float(rng.uniform(0.007, 0.009))
        flesh = looks.skin(rng)
        parts = []
        for sign, spread in ((1, 0.0), (-1, -0.9), (-1, 0.9)):
            tip = place - 1.2 * r * out + sign * (r * 0.9 + half) * side + spread * r * 1.1 * third
            joint = place + 3.2 * r * out + sign * (2.6 * r + half) * side + spread * r * 1.3 * third
            palm = place + 8.5 * r * out + spread * r * 1.3 * third
            parts += [
                render.tube(tip, joint, r, flesh, OTHER, taper=1.08),
                render.tube(joint, palm, 1.08 * r, flesh, OTHER, taper=1.2),
            ]
        wrist = place + 11 * r * out
        return [*parts, render.tube(wrist - 1.5 * r * out, wrist + 40 * r * out, 3.2 * r, flesh, OTHER)], True
    r = size * float(rng.uniform(0.025, 0.05))
    rubber: render.Bsdf = {
        "type": "twosided",
        "bsdf": {"type": "diffuse", "reflectance": render.rgb(looks.jitter(rng, (0.04, 0.04, 0.045), 0.3))},
    }
    steel: render.Bsdf = {
        "type": "twosided",
        "bsdf": {
            "type": "roughconductor",
            "material": "none",
            "alpha": 0.25,
            "specular_reflectance": render.rgb(looks.jitter(rng, (0.5, 0.5, 0.5), 0.2)),
        },
    }
    axes = np.stack([out, side, third])
    parts = []
    for sign in (1, -1):
        pad = place + sign * (half + 0.5 * r) * side
        parts.append(render.block(pad, np.array([1.1 * r, 0.5 * r, r]), axes, rubber, OTHER))
        parts.append(
            render.block(
                pad + 2.2 * r * out + sign * 0.7 * r * side, np.array([3.2 * r, 0.3 * r, 0.8 * r]), axes, steel, OTHER
            )
        )
    parts.append(render.block(place + 5.4 * r * out, np.array([0.5 * r, 1.6 * r + half, 0.8 * r]), axes, steel, OTHER))
    parts.append(render.tube(place + 5.5 * r * out, place + 60 * r * out, 0.7 * r, steel, OTHER))
    return parts, False


def _hairs(
    rng: np.random.Generator,
    hairs: looks.Hairs,
    vertices: np.ndarray,
    normals: np.ndarray,
    faces: np.ndarray,
    size: float,
) -> Body:
    """Slim triangles standing out of a surface."""
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    face = rng.choice(len(faces), hairs.count, p=area / area.sum())
    w = rng.dirichlet((1, 1, 1), hairs.count)
    root = (w[..., None] * corners[face]).sum(1)
    n = (w[..., None] * normals[faces[face]]).sum(1)
    way = n + rng.normal(0, 0.45, n.shape) + [0, -hairs.droop, 0]
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    across = np.cross(way, rng.normal(size=n.shape))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    tip = root + way * (size * hairs.length * rng.uniform(0.5, 1.2, (hairs.count, 1)))
    half = 0.5 * hairs.width * size * across
    points = np.stack([root - half, root + half, tip], 1).reshape(-1, 3)
    uv = np.repeat(rng.random((hairs.count, 2)), 3, axis=0)
    shade = np.repeat(n + 0.3 * way, 3, axis=0)
    return Body(
        points,
        shade / np.linalg.norm(shade, axis=1, keepdims=True),
        uv,
        np.arange(len(points)).reshape(-1, 3),
        hairs.bsdf,
        OBJECT,
        True,
    )


def _object(rng: np.random.Generator, thing: Thing, rotation: np.ndarray, shift: np.ndarray) -> list[Body]:
    """The object in the world, with the printed label around it if it has one, and its hairs."""
    shape, look = thing.shape, thing.look
    vertices = shape.vertices.astype(float) * thing.size @ rotation.T + shift
    normals, faces = shape.normals @ rotation.T, shape.faces
    bodies = []
    if (
        look.label is not None
        and shape.kind == "revolution"
        and shape.family in ("bottle", "jar", "can", "cup", "vase", "pipe")
    ):
        axis = 0 if abs(shape.frame[0, 1]) > 0.5 else 1
        own = shape.vertices.astype(float)
        height = own[:, axis] - own[:, axis].min()
        top = float(height.max())
        cross = np.delete(own - (own.max(0) + own.min(0)) / 2, axis, axis=1)
        a = float(rng.uniform(0.08, 0.35)) * top
        b = a + float(rng.uniform(0.25, 0.5)) * top
        outward = (np.delete(shape.normals, axis, axis=1) * cross).sum(1) > 0.5 * np.linalg.norm(cross, axis=1)
        turns = np.arctan2(cross[:, 1], cross[:, 0])[faces]
        seam = np.ptp(turns, axis=1) > np.pi
        inside = ((height > a) & (height < b) & outward)[faces].all(1)
        wraps = np.ones(len(faces), bool) if rng.random() < 0.6 else np.cos(turns.mean(1) + rng.uniform(0, 6.28)) > -0.2
        chosen = inside & wraps & ~seam if not (inside & wraps & seam).any() else inside & wraps
        if chosen.any():
            around = np.where(shape.vertex_angle > 0, shape.vertex_angle, 0.0) / (2 * np.pi)
            uv = np.stack([2 * around, (height - a) / (b - a)], -1)
            bodies.append(Body(vertices, normals, uv, faces[chosen], look.label, OBJECT))
            faces = faces[~chosen]
    # Around the axis of a body of revolution its uv shrink to a point: flat ends take theirs from above.
    axis = 0 if abs(shape.frame[0, 1]) > 0.5 else 1
    ends = (
        np.abs(shape.normals[faces][..., axis].mean(1)) > 0.8
        if shape.kind == "revolution"
        else np.zeros(len(faces), bool)
    )
    worn = np.zeros(len(faces), bool) if look.sleeve is None else _sleeve(rng, shape.vertices[faces])
    for part, surface in ((~worn, look), (worn, look.sleeve)):
        if surface is None:
            continue
        for rows, uv in ((part & ends, np.delete(shape.vertices, axis, axis=1)), (part & ~ends, shape.uv)):
            if rows.any():
                bodies.append(Body(vertices, normals, uv, faces[rows], surface.bsdf, OBJECT))
        if surface.hairs is not None and part.any():
            bodies.append(_hairs(rng, surface.hairs, vertices, normals, faces[part], thing.size))
    return bodies


def _sleeve(rng: np.random.Generator, corners: np.ndarray) -> np.ndarray:
    """Which faces, by their corners [F, 3, 3], a worn coating covers: a band across the body, half of it or so."""
    middle = corners.mean(1).astype(float)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    along = middle - np.average(middle, axis=0, weights=area)
    way = np.linalg.svd(along * np.sqrt(area)[:, None], full_matrices=False)[2][0] + rng.normal(0, 0.25, 3)
    height = along @ way
    order = np.argsort(height)
    rank = np.empty(len(height))
    rank[order] = np.cumsum(area[order]) / area.sum()
    low = float(rng.uniform(0.0, 0.4))
    return np.asarray((rank > low) & (rank < low + float(rng.uniform(0.45, 0.6))))


# --- views ---------------------------------------------------------------------------------------------------------


def _camera(rng: np.random.Generator, vertices: np.ndarray, size: float, lifted: bool) -> Camera:
    fov = float(rng.uniform(25, 65))
    steep = rng.random() < 0.35
    low = 0 if lifted else 10
    elevation = math.radians(float(rng.uniform(55, 86) if steep else rng.uniform(low, 55)))
    azimuth = float(rng.uniform(0, 2 * np.pi))
    way = np.array(
        [math.cos(elevation) * math.cos(azimuth), math.sin(elevation), math.cos(elevation) * math.sin(azimuth)]
    )
    fill = float(rng.uniform(0.68, 0.97))
    roll = float(rng.uniform(-180, 180)) if steep and rng.random() < 0.5 else float(rng.normal(0, 4))
    middle = (vertices.max(0) + vertices.min(0)) / 2
    distance = size / math.tan(math.radians(fov) / 2)
    for _ in range(4):
        camera = Camera.looking(middle + way * distance, middle, fov, roll)
        seen = render.project(camera.to_scene(vertices), fov)
        extent = float(np.ptp(seen, axis=0).max())
        if not np.isfinite(extent) or camera.to_scene(vertices)[:, 2].max() > -0.05 * distance:
            distance *= 1.5
            continue
        distance = max(distance * (1 + 0.9 * (extent / fill - 1)), 0.55 * size)
    camera = Camera.looking(middle + way * distance, middle, fov, roll)
    seen = render.project(camera.to_scene(vertices), fov)
    off = (0.5 + (1 - fill) / 2 * rng.uniform(-1, 1, 2)) - (seen.max(0) + seen.min(0)) / 2
    span = 2 * distance * math.tan(math.radians(fov) / 2)
    position = camera.position - span * off[0] * camera.rotation[0] + span * off[1] * camera.rotation[1]
    position[1] = max(position[1], 0.06 * size)
    return replace(camera, position=position)


def _clutter(rng: np.random.Generator, reach: float, size: float) -> list[Body]:
    """Other things beside the object: blocks and rods that stand on the ground, some in front of it."""
    bodies = []
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.72, 0.14, 0.09, 0.05]))):
        half = size * rng.uniform(0.05, 0.3, 3)
        angle = float(rng.uniform(0, 2 * np.pi))
        far = reach + float(np.hypot(half[0], half[2])) + size * float(rng.uniform(0.03, 0.5))
        at = np.array([far * math.cos(angle), half[1] + 1e-4, far * math.sin(angle)])
        if rng.random() < 0.5:
            axes = _turn(UP, float(rng.uniform(0, 3)))
            bodies.append(render.block(at, half, axes, looks.plain(rng), OTHER))
        else:
            r = min(half[0], half[2])
            at[1] = r
            bodies.append(
                render.tube(at, at + 2 * half[1] * UP, r, looks.plain(rng), OTHER, taper=float(rng.uniform(0.5, 1.1)))
            )
    return bodies


def _strikes(rng: np.random.Generator, maps: Maps) -> np.ndarray | None:
    """Rows and columns [POINTS, 2] of object pixels with a clear normal, apart from each other; None if too few."""
    inside = maps.mask == OBJECT
    core = inside.copy()
    core[1:] &= inside[:-1]
    core[:-1] &= inside[1:]
    core[:, 1:] &= inside[:, :-1]
    core[:, :-1] &= inside[:, 1:]
    ray = maps.point / np.maximum(np.linalg.norm(maps.point, axis=-1, keepdims=True), 1e-9)
    good = np.argwhere((core if core.sum() > 60 else inside) & (-(maps.normal * ray).sum(-1) > 0.3))
    if inside.mean() < 0.012 or len(good) < 3 * POINTS:
        return None
    chosen = [good[int(rng.integers(len(good)))]]
    for _ in range(POINTS - 1):
        gap = np.min([np.hypot(*(good - c).T) for c in chosen], axis=0)
        weight = np.minimum(gap, 0.12 * maps.mask.shape[0])
        chosen.append(good[int(rng.choice(len(good), p=weight / weight.sum()))])
    return np.array(chosen)


@dataclass(frozen=True, eq=False)
class View:
    """A picture of a thing with the truth of its pixels, and how the thing stands in the world."""

    pixels: np.ndarray
    maps: Maps
    camera: Camera
    rotation: np.ndarray
    shift: np.ndarray
    strikes: np.ndarray
    ground: looks.Ground
    scale_cue: bool
    elsewhere: dict[str, bool]


def _photos(folder: str | None) -> tuple[Path, ...]:
    if folder is None:
        return ()
    found = tuple(sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp")))
    if not found:
        raise InputError(
            f"{folder} holds no photo (JPEG, PNG or WebP); give a folder of background photos or leave it out."
        )
    return found


def look_at(world: World, index: int) -> tuple[Thing, View]:
    """Item `index` seen: the object and one picture of it. Views that show too little of it are drawn again."""
    thing = _thing(world, index // VIEWS)
    rng = world.rng(2, index)
    photos = _photos(world.photos)
    size = thing.size
    while True:
        rotation, shift, grip = _pose(rng, thing)
        vertices = thing.shape.vertices.astype(float) * size @ rotation.T + shift
        cue = bool(rng.random() < MEASURED_GROUND)
        ground = looks.ground(rng, size, cue, photos)
        bodies = _object(rng, thing, rotation, shift)
        if grip is not None:
            parts, known = _supports(rng, thing, grip, (vertices.max(0) + vertices.min(0)) / 2)
            bodies += parts
            cue = cue or known
        camera = _camera(rng, vertices, size, lifted=grip is not None)
        turn = _turn(UP, float(rng.uniform(0, np.pi)))
        far = 12 * size + 2 * float(np.linalg.norm(camera.position))
        bodies.append(
            render.quad(np.array([0.0, 0.0, 0.0]), far * turn[0], far * turn[2] * -1, ground.bsdf, GROUND, ground.unit)
        )
        bodies += _clutter(rng, float(np.hypot(vertices[:, 0], vertices[:, 2]).max()), size)
        if rng.random() < 0.35:  # a wall behind
            back = -camera.rotation[2] * [-1, 0, -1]
            back = -back / max(np.linalg.norm(back), 1e-6)
            wall = looks.ground(rng, size, False, photos)
            side = np.cross([0.0, 1.0, 0.0], back)
            middle = back * (float(np.hypot(vertices[:, 0], vertices[:, 2]).max()) + size * float(rng.uniform(0.3, 4)))
            bodies.append(
                render.quad(
                    middle + far / 2 * UP,
                    far * side,
                    np.array([0, far / 2, 0]),
                    wall.bsdf,
                    render.BACKGROUND,
                    wall.unit,
                )
            )
        stage = render.Stage(bodies, [looks.environment(rng, photos)])
        maps = stage.maps(camera, world.width, int(rng.integers(2**31)))
        strikes = _strikes(rng, maps)
        if strikes is not None:
            break
    light = stage.picture(camera, world.width, world.spp, int(rng.integers(2**30)), thing.look.bounces)
    pixels = render.tonemap(light, float(rng.uniform(0.35, 0.8)))
    centre = camera.to_scene((vertices.max(0) + vertices.min(0)) / 2)
    seen = maps.mask == OBJECT
    inner = ((maps.point - centre) * maps.normal).sum(-1)[seen] < -0.02 * size
    wall_seen = thing.look.clear or float(inner.mean()) > 0.01 or thing.shape.family not in _CLOSED
    around = bool((maps.mask == GROUND).any()) if thing.support == "resting" else int((maps.mask == OTHER).sum()) > 4
    return thing, View(
        pixels,
        maps,
        camera,
        rotation,
        shift,
        strikes,
        ground,
        cue,
        {"support_visible": around, "wall_visible": wall_seen},
    )


# --- truth ---------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _prepared(world: World, index: int, place: tuple[float, float, float]) -> Struck:
    thing = _thing(world, index)
    return prepare(
        thing.shape,
        thing.modes,
        thing.material,
        thing.size,
        coating=COATINGS[thing.coating],
        support=thing.support,
        listener=place,
        seed=thing.seed,
    )


def item(world: World, index: int) -> tuple[str, dict[str, bytes]]:
    """Item `index` of a world: its key and the bytes of its files by ending.

    The picture, its maps, the sound of the first strike (16-bit at full scale; times truth["hits"][0]["scale"] it is at
    its level again), and everything that is known. Arrays: `frequency`, `t60` [L] and `loss_parts` [L, 4] of the lines
    (material, coating, support, radiation); `strike_xy` [P, 2] in picture coordinates; `strike_point`, `strike_normal`
    [P, 3] in scene axes, metres; `gain` [P, L] in Pa per newton of an ideal short pulse along the inward normal, heard
    from the camera; `contact_seconds` [P] of a wooden mallet.
    """
    from ..physics.bank import render as sound_of

    thing, view = look_at(world, index)
    shape, size, material = thing.shape, thing.size, thing.material
    row, column = view.strikes.T
    point = view.maps.point[row, column].astype(float)
    normal = view.maps.normal[row, column].astype(float)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    # Scene -> world -> object axes, in metres.
    to_object = view.camera.rotation.T, view.rotation
    placed = (point @ to_object[0].T + view.camera.position - view.shift) @ view.rotation
    facing = normal @ view.camera.rotation @ view.rotation
    listener = (view.camera.position - view.shift) @ view.rotation
    struck = _prepared(world, index // VIEWS, tuple(float(v) for v in listener))
    vertex = shape.nearest_vertex(placed / size, facing)
    gain = struck.gain(vertex, -facing)
    frequency, power, line = lines(struck.frequency, np.abs(gain) ** 2)
    keep = min(LINES, len(frequency))
    member = np.eye(len(frequency))[line]
    eta = (struck.loss_parts.T @ member / member.sum(0)).T[:keep]
    frequency = frequency[:keep]
    contact = contact_seconds(MALLETS["wood"], material, struck.mass, coating=struck.coating)

    rng = world.rng(3, index)
    force = float(np.exp(rng.uniform(math.log(0.5), math.log(20))))
    hardness = float(np.exp(rng.uniform(math.log(MALLETS["felt"]), math.log(MALLETS["steel"]))))
    modal = hit(struck, int(vertex[0]), -facing[0], hardness=hardness)
    sound = sound_of(modal, force, SECONDS, RATE, int(rng.integers(2**31)))
    level = max(float(np.abs(sound.samples).max()), 1e-9)
    depth_scale = max(float(view.maps.depth.max()), 1e-3) / 65535

    noise_level, noise_seconds, noise_hz = struck.noise(contact)
    truth: dict[str, Any] = {
        "key": f"{world.split}-{world.seed}-{index:07d}",
        "split": world.split,
        "index": index,
        "family": shape.family,
        "invented": thing.is_invented,
        "shape_key": shape.key,
        "params": {k: float(v) for k, v in shape.params.items()},
        "material": material.name,
        "group": material.group,
        "youngs_modulus": material.youngs_modulus,
        "density": material.density,
        "poisson": material.poisson,
        "wave_speed": material.wave_speed,
        "loss": material.loss,
        "loss_slope": material.loss_slope,
        "coating": thing.coating,
        "support": thing.support,
        "size": size,
        "wall": shape.wall * size,
        "hollow": bool(shape.hollow),
        "volume": shape.volume * size**3,
        "mass": struck.mass,
        "f1": float(struck.frequency.min()),
        "camera": {
            "position": view.camera.position.tolist(),
            "to_world": view.camera.to_world.tolist(),
            "fov_deg": view.camera.fov_deg,
            "height": float(view.camera.position[1]),
        },
        "object_to_world": {"rotation": view.rotation.tolist(), "shift": view.shift.tolist(), "size": size},
        "evidence": {"scale_cue": view.scale_cue, "ground": view.ground.name, "clear": thing.look.clear}
        | view.elsewhere,
        "noise": {"level": noise_level, "seconds": noise_seconds, "hz": noise_hz, "relative": material.noise},
        "depth_scale": depth_scale,
        "reference_pulse": REFERENCE_PULSE,
        "hits": [
            {
                "point": 0,
                "force": force,
                "hardness": hardness,
                "speed": 1.0,
                "scale": level,
                "contact_seconds": modal.contact_seconds,
            }
        ],
        "seed": world.seed,
    }
    arrays = {
        "frequency": frequency.astype(np.float32),
        "t60": (2.2 / (frequency * eta.sum(1))).astype(np.float32),
        "loss_parts": eta.astype(np.float32),
        "strike_xy": render.project(point, view.camera.fov_deg).astype(np.float32),
        "strike_normal": normal.astype(np.float32),
        "strike_point": point.astype(np.float32),
        "gain": np.sqrt(power[:, :keep]).astype(np.float32),
        "contact_seconds": np.full(POINTS, contact, np.float32),
    }
    return truth["key"], {
        "jpg": shards.encode_jpeg(view.pixels, quality=90),
        "depth.png": shards.encode_png(np.round(view.maps.depth / depth_scale).astype(np.uint16)),
        "normal.png": shards.encode_png(np.round((np.clip(view.maps.normal, -1, 1) + 1) * 127.5).astype(np.uint8)),
        "mask.png": shards.encode_png(view.maps.mask),
        "json": shards.encode_json(truth),
        "safetensors": shards.encode_arrays(arrays),
        "hit0.flac": shards.encode_flac(Sound(sound.samples / level, sound.rate)),
    }


# --- generation ----------------------------------------------------------------------------------------------------


def generate(
    n: int,
    seed: int,
    out: str | Path,
    split: str = "train",
    photos: str | Path | None = None,
    workers: int | None = None,
    width: int = 128,
    spp: int = 12,
    per_shard: int = PER_SHARD,
    coated: float = COATED,
    progress: bool = True,
) -> list[Path]:
    """Make items 0 to n - 1 of (seed, split) in the folder `out` as tar shards; returns the shards' paths.

    Shards that are there are kept, so a killed run goes on where it stopped; a run to a larger n adds shards (and makes
    a last one that was not full again). The bytes do not depend on `workers` (processes; default: one per core) nor on
    kills. `photos`: a folder of photos for grounds, walls and light. Pictures are `width` pixels square, from `spp`
    light paths per pixel. `coated` is the share of things that are meant to have a coating (in the split combinations
    all have one). A folder that holds another world is refused with InputError.
    """
    if split not in SPLITS:
        raise InputError(f"A split is one of {', '.join(SPLITS)}, not {split!r}.")
    if n < 1 or seed < 0 or not 16 <= width <= 2048 or spp < 1 or not 1 <= per_shard <= 64 or (workers or 1) < 1:
        raise InputError(
            f"n, spp and workers are at least 1, the seed at least 0, the width 16 to 2048 and per_shard 1 to 64; "
            f"these are {n}, {spp}, {workers}, {seed}, {width} and {per_shard}."
        )
    if not 0 <= coated <= 1:
        raise InputError(f"The share of coated things lies between 0 and 1, not {coated}.")
    if photos is not None:
        _photos(str(photos))
    folder = Path(out)
    drawn_from = None if photos is None else str(photos)
    world = World(int(seed), split, int(width), int(spp), drawn_from, int(per_shard), coated=float(coated))
    return making.make(world, item, n, folder, workers, progress)
