"""Path-traced pictures of a scene of known truth, with depth, normals and labels for every pixel.

The world is in metres, right-handed, y up, the ground at y = 0. The scene (what the truth is told in) is the house's
convention: the camera at the origin, looking along −z, x right, y up. `Camera` turns one into the other.
Mitsuba 3 in its `scalar_rgb` variant does the light transport (Jakob et al., Mitsuba 3, 2022).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Float32, Int, UInt8

# What a pixel shows.
BACKGROUND, OBJECT, GROUND, OTHER = 0, 1, 2, 3

Bsdf = dict[str, Any]
GUIDES = 2  # rays a pixel that tell the denoiser colours and normals


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole in the world: where it stands and how it is turned.

    `rotation` has the camera's right, up and backward directions as rows, in world axes; `fov_deg` is the angle across
    the picture (square pictures: across and down alike).
    """

    position: Float[np.ndarray, 3]
    rotation: Float[np.ndarray, "3 3"]
    fov_deg: float

    @classmethod
    def looking(cls, position: np.ndarray, target: np.ndarray, fov_deg: float, roll_deg: float = 0.0) -> Camera:
        """A camera at `position` whose middle ray goes through `target`, rolled about that ray."""
        back = np.asarray(position, float) - np.asarray(target, float)
        back /= np.linalg.norm(back)
        up = np.array([0.0, 1.0, 0.0]) if abs(back[1]) < 0.999 else np.array([0.0, 0.0, -1.0])
        right = np.cross(up, back)
        right /= np.linalg.norm(right)
        up = np.cross(back, right)
        c, s = math.cos(math.radians(roll_deg)), math.sin(math.radians(roll_deg))
        return cls(
            np.asarray(position, float), np.stack([c * right + s * up, c * up - s * right, back]), float(fov_deg)
        )

    def to_scene(self, points: np.ndarray) -> np.ndarray:
        """World points [..., 3] in scene axes."""
        return (points - self.position) @ self.rotation.T

    def turn(self, directions: np.ndarray) -> np.ndarray:
        """World directions [..., 3] in scene axes."""
        return directions @ self.rotation.T

    @property
    def to_world(self) -> Float[np.ndarray, "4 4"]:
        """The matrix that takes scene coordinates to world coordinates."""
        m = np.eye(4)
        m[:3, :3], m[:3, 3] = self.rotation.T, self.position
        return m


def project(points: np.ndarray, fov_deg: float) -> np.ndarray:
    """Scene points [..., 3] in front of the camera → picture coordinates [..., 2] in [0, 1] from the top left."""
    scale = 0.5 / math.tan(math.radians(fov_deg) / 2)
    x = 0.5 + scale * points[..., 0] / -points[..., 2]
    y = 0.5 - scale * points[..., 1] / -points[..., 2]
    return np.stack([x, y], axis=-1)


@dataclass(frozen=True, eq=False)
class Body:
    """Something with a surface: a triangle mesh in the world, what it looks like and what its pixels are called.

    `vertices`, `normals` are [V, 3], `uv` [V, 2], `faces` [F, 3].
    """

    vertices: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    faces: np.ndarray
    bsdf: Bsdf
    label: int
    fluff: bool = False  # seen in the picture, absent from the maps (hairs)


@dataclass(frozen=True, eq=False)
class Maps:
    """What each pixel shows, exactly: planar depth in metres (0 = nothing there), the scene-axes normal, a label."""

    depth: Float32[np.ndarray, "h w"]
    normal: Float32[np.ndarray, "h w 3"]
    mask: UInt8[np.ndarray, "h w"]
    point: Float32[np.ndarray, "h w 3"]


def _mitsuba() -> Any:
    import drjit as dr
    import mitsuba as mi

    if mi.variant() != "scalar_rgb":
        mi.set_variant("scalar_rgb")
        dr.set_thread_count(1)  # worlds are made by whole processes; one thread each keeps them out of each other's way
    return mi


def texture(array: np.ndarray, scale: float | tuple[float, float] = 1.0) -> Bsdf:
    """A picture of linear values [h, w] or [h, w, 3] that repeats, `scale` times per unit of uv."""
    mi = _mitsuba()
    a = np.ascontiguousarray(array, dtype=np.float32)
    su, sv = (scale, scale) if isinstance(scale, (int, float)) else scale
    return {
        "type": "bitmap",
        "bitmap": mi.Bitmap(a if a.ndim == 3 else a[..., None]),
        "raw": True,
        "to_uv": mi.ScalarTransform4f().scale([su, sv, 1.0]),
    }


def rgb(colour: Sequence[float] | np.ndarray) -> Bsdf:
    """A linear colour."""
    return {"type": "rgb", "value": [float(c) for c in colour]}


def _mesh(body: Body, name: str) -> Any:
    mi = _mitsuba()
    props = mi.Properties()
    props["bsdf"] = mi.load_dict(body.bsdf)
    mesh = mi.Mesh(
        name, len(body.vertices), len(body.faces), has_vertex_normals=True, has_vertex_texcoords=True, props=props
    )
    params = mi.traverse(mesh)
    params["vertex_positions"] = body.vertices.reshape(-1).astype(np.float32)
    params["vertex_normals"] = body.normals.reshape(-1).astype(np.float32)
    params["vertex_texcoords"] = body.uv.reshape(-1).astype(np.float32)
    params["faces"] = body.faces.reshape(-1).astype(np.uint32)
    params.update()
    return mesh


class Stage:
    """A scene ready to be looked at: `maps` first (cheap), `picture` when the view is good."""

    def __init__(self, bodies: Sequence[Body], lights: Sequence[Bsdf]) -> None:
        mi = _mitsuba()
        meshes = [(_mesh(b, f"body{i}"), b) for i, b in enumerate(bodies)]
        emitters = {f"light{i}": light for i, light in enumerate(lights)}
        full = {f"body{i}": m for i, (m, _) in enumerate(meshes)}
        self._scene = mi.load_dict({"type": "scene", **full, **emitters})
        self._solid = self._scene
        if any(b.fluff for b in bodies):
            solid = {f"body{i}": m for i, (m, b) in enumerate(meshes) if not b.fluff}
            self._solid = mi.load_dict({"type": "scene", **solid, **emitters})
        by_id = {f"body{i}": b.label for i, b in enumerate(bodies)}
        self._labels = np.array([by_id.get(s.id(), BACKGROUND) for s in self._solid.shapes()], dtype=np.uint8)

    def _sensor(self, camera: Camera, width: int, spp: int) -> Any:
        mi = _mitsuba()
        flip = np.diag([-1.0, 1.0, -1.0, 1.0])  # Mitsuba's camera looks along +z with x to the left
        return mi.load_dict(
            {
                "type": "perspective",
                "fov": camera.fov_deg,
                "near_clip": 1e-3,
                "far_clip": 1e4,
                "to_world": mi.ScalarTransform4f((camera.to_world @ flip).tolist()),
                "film": {
                    "type": "hdrfilm",
                    "width": width,
                    "height": width,
                    "rfilter": {"type": "box"},
                    "component_format": "float32",
                },
                "sampler": {"type": "independent", "sample_count": spp},
            }
        )

    def maps(self, camera: Camera, width: int, seed: int) -> Maps:
        """The truth per pixel, from one ray through each."""
        mi = _mitsuba()
        aov = mi.load_dict({"type": "aov", "aovs": "p:position,n:sh_normal,i:shape_index"})
        raw = np.array(mi.render(self._solid, sensor=self._sensor(camera, width, 1), integrator=aov, seed=seed, spp=1))
        raw = raw[..., -7:]
        point, normal = camera.to_scene(raw[..., 0:3].astype(np.float64)), camera.turn(raw[..., 3:6].astype(np.float64))
        hit = np.linalg.norm(normal, axis=-1) > 0.5
        index = np.clip(np.round(raw[..., 6]).astype(int) - 1, 0, len(self._labels) - 1)  # 0 is "no shape"
        mask = np.where(hit, self._labels[index], BACKGROUND).astype(np.uint8)
        point = np.where(hit[..., None], point, 0.0)
        normal = np.where(hit[..., None], normal, 0.0)
        normal = np.where((normal * point).sum(-1, keepdims=True) > 0, -normal, normal)
        return Maps(-point[..., 2].astype(np.float32), normal.astype(np.float32), mask, point.astype(np.float32))

    def picture(self, camera: Camera, width: int, spp: int, seed: int, depth: int = 5) -> Float32[np.ndarray, "h w 3"]:
        """Linear light from `spp` paths of at most `depth` bounces a pixel, denoised."""
        mi = _mitsuba()
        path = mi.load_dict({"type": "path", "max_depth": depth, "rr_depth": 2})
        light = mi.render(self._scene, sensor=self._sensor(camera, width, spp), integrator=path, seed=seed, spp=spp)
        guide = mi.load_dict({"type": "aov", "aovs": "colour:albedo,normal:sh_normal"})
        sensor = self._sensor(camera, width, GUIDES)
        raw = np.array(mi.render(self._scene, sensor=sensor, integrator=guide, seed=seed + 1, spp=GUIDES))
        return denoised(np.array(light)[..., :3], np.clip(raw[..., -6:-3], 0, 1), raw[..., -3:])


@functools.cache
def _denoiser() -> Any:
    import pyoidn

    device = pyoidn.Device()
    device.set_int("numThreads", 1)  # like Mitsuba above: worlds are made by whole processes
    device.set_bool("setAffinity", False)
    device.commit()
    return device


def denoised(light: np.ndarray, albedo: np.ndarray, normal: np.ndarray) -> Float32[np.ndarray, "h w 3"]:
    """Linear light [h, w, 3] without the noise of few paths, guided by what the surfaces are, [h, w, 3] each.

    Intel Open Image Denoise (Áfra, Intel Open Image Denoise, 2025). Voting out bright paths between passes, as was
    done before, took the light that reaches the inside of a bowl or passes through glass along with the noise.
    """
    import pyoidn

    h, w = light.shape[:2]
    out = np.zeros((h, w, 3), np.float32)
    given = {
        name: np.ascontiguousarray(np.nan_to_num(a, nan=0.0, posinf=1e3, neginf=0.0), np.float32)
        for name, a in (("color", light), ("albedo", albedo), ("normal", normal))
    }
    with pyoidn.Filter(_denoiser(), "RT") as work:
        for name, a in (*given.items(), ("output", out)):
            work.set_image(name, a, pyoidn.OIDN_FORMAT_FLOAT3, w, h)
        work.set_bool("hdr", True)
        work.commit()
        work.execute()
    if (error := _denoiser().get_error()) is not None:
        raise RuntimeError(f"Open Image Denoise failed: {error}")
    return out


def tonemap(light: np.ndarray, exposure: float, white: float = 0.93) -> UInt8[np.ndarray, "h w 3"]:
    """Linear light → 8-bit sRGB. `exposure` is the sRGB-linear level given to the picture's 90th percentile.

    Above `white` a soft shoulder keeps highlights from clipping hard, as cameras do.
    """
    luminance = light @ np.array([0.2126, 0.7152, 0.0722])
    level = float(np.percentile(luminance, 90))
    x = np.clip(light * (exposure / max(level, 1e-6)), 0, None)
    knee = 0.7 * white
    x = np.where(x > knee, knee + (1 - knee) * (1 - np.exp(-(x - knee) / (1 - knee))), x)
    srgb = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.power(np.maximum(x, 1e-9), 1 / 2.4) - 0.055)
    return np.asarray(np.clip(np.round(srgb * 255), 0, 255), dtype=np.uint8)


# --- simple bodies -------------------------------------------------------------------------------------------------


def quad(
    centre: np.ndarray, half_u: np.ndarray, half_v: np.ndarray, bsdf: Bsdf, label: int, units: float = 1.0
) -> Body:
    """A flat rectangle; uv counts `units` of length from its middle."""
    c, u, v = (np.asarray(a, float) for a in (centre, half_u, half_v))
    vertices = np.stack([c - u - v, c + u - v, c + u + v, c - u + v])
    lu, lv = np.linalg.norm(u) / units, np.linalg.norm(v) / units
    uv = np.array([[-lu, -lv], [lu, -lv], [lu, lv], [-lu, lv]])
    normal = np.cross(u, v)
    normals = np.repeat(normal[None] / np.linalg.norm(normal), 4, axis=0)
    return Body(vertices, normals, uv, np.array([[0, 1, 2], [0, 2, 3]]), bsdf, label)


def tube(
    a: np.ndarray, b: np.ndarray, radius: float, bsdf: Bsdf, label: int, *, taper: float = 1.0, around: int = 12
) -> Body:
    """A capsule-like rod from `a` to `b` with rounded ends; `taper` is the radius at `b` relative to `a`."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    axis = b - a
    length = float(np.linalg.norm(axis))
    w = axis / max(length, 1e-9)
    u = np.cross(w, [1.0, 0, 0] if abs(w[0]) < 0.8 else [0, 1.0, 0])
    u /= np.linalg.norm(u)
    v = np.cross(w, u)
    cap = np.linspace(0.02, np.pi / 2, 5)
    r = np.concatenate([np.sin(cap), taper * np.sin(cap[::-1])]) * radius
    z = np.concatenate([-np.cos(cap) * radius, length + np.cos(cap[::-1]) * radius * taper])
    t = np.linspace(0, 2 * np.pi, around, endpoint=False)
    ring = np.cos(t)[:, None] * u + np.sin(t)[:, None] * v
    vertices = (a + z[:, None, None] * w + r[:, None, None] * ring).reshape(-1, 3)
    uv = np.stack(np.broadcast_arrays(t[None, :] / (2 * np.pi), z[:, None] / max(length, radius)), -1).reshape(-1, 2)
    lean = np.concatenate([np.cos(cap), -np.cos(cap[::-1])])  # towards a, towards b
    normals = np.sin(np.arccos(lean))[:, None, None] * ring - lean[:, None, None] * w
    return Body(vertices, normals.reshape(-1, 3), uv, lattice(len(z), around), bsdf, label)


def lattice(rows: int, around: int) -> Int[np.ndarray, "F 3"]:
    """Triangles of `rows` rings of `around` vertices each, closed around."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(around), indexing="ij")
    p, q = i * around + j, i * around + (j + 1) % around
    s, t = p + around, q + around
    return np.concatenate([np.stack([p, q, t], -1).reshape(-1, 3), np.stack([p, t, s], -1).reshape(-1, 3)])


def block(centre: np.ndarray, half: np.ndarray, axes: np.ndarray, bsdf: Bsdf, label: int, units: float = 1.0) -> Body:
    """A box with half-lengths `half` along the rows of `axes`."""
    half = np.asarray(half, float)
    s = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    vertices, normals, uv = [], [], []
    for k in range(3):
        for sign in (-1.0, 1.0):
            i, j = ((k + 1) % 3, (k + 2) % 3) if sign > 0 else ((k + 2) % 3, (k + 1) % 3)
            local = np.zeros((4, 3))
            local[:, k], local[:, i], local[:, j] = sign * half[k], s[:, 0] * half[i], s[:, 1] * half[j]
            vertices.append(np.asarray(centre, float) + local @ axes)
            normals.append(np.repeat(sign * axes[k][None], 4, 0))
            uv.append(s * [half[i], half[j]] / units)
    faces = np.concatenate([np.array([[0, 1, 2], [0, 2, 3]]) + 4 * n for n in range(6)])
    return Body(np.concatenate(vertices), np.concatenate(normals), np.concatenate(uv), faces, bsdf, label)
