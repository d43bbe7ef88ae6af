"""Shapes of things that can be struck: parametric families, and invented unions and cuts of solids.

A shape is a closed surface to look at together with the finite elements to listen to: bodies of revolution carry
quadrilaterals in the half plane (r, z), block-like bodies carry hexahedra, invented ones tetrahedra. Proportions only:
the largest bounding dimension is 1, and size in metres comes later (`modes.frequencies`).
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ._elements import H20, gauss, jacobians, serendipity
from ._stuffing import stuff

# Surfaces are split where faces meet at more than this angle, so that shading keeps edges sharp.
CREASE_DEGREES = 38.0


class ShapeError(ValueError):
    """These proportions do not make a valid body (walls that cross, an element turned inside out)."""


@dataclass(frozen=True, eq=False)
class Shape:
    """Proportions of a body: its surface and its finite elements, in units of the largest bounding dimension.

    `vertices` [V, 3] (x right, y up, resting on y = 0, centred in x and z), `faces` [F, 3] outward-facing triangles,
    `normals` [V, 3] unit and smooth except at edges, `uv` [V, 2] in units of the largest dimension (places on an edge
    or a seam stand several times among the vertices). `wall`: thickness of a wall, of a solid its smallest dimension.
    `kind` is "revolution" (nodes [N, 2] = r, z; elements [E, 8]), "hex" ([N, 3]; [E, 20]) or "tet" ([N, 3]; [E, 10]).
    A vertex takes the displacement of node `vertex_node` at the angle `vertex_angle` around the axis, turned by `frame`
    from the elements' axes to the vertices'. `key` hashes the elements: equal keys have equal modes.
    """

    family: str
    params: dict[str, float]
    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    wall: float
    hollow: bool
    volume: float
    kind: str
    nodes: np.ndarray
    elements: np.ndarray
    vertex_node: np.ndarray
    vertex_angle: np.ndarray
    frame: np.ndarray
    key: str = field(default="")

    def vertex_areas(self) -> np.ndarray:
        """The part of the surface that belongs to each vertex, [V], a third of the triangles around it."""
        corners = self.vertices[self.faces].astype(float)
        area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1)
        return np.bincount(self.faces.ravel(), np.repeat(area / 3, 3), len(self.vertices))

    def nearest_vertex(self, points: np.ndarray, normals: np.ndarray | None = None) -> np.ndarray:
        """Index of the vertex nearest to each point [P, 3] (units of this shape); on edges the one facing `normals`."""
        d = ((np.asarray(points, float)[:, None] - self.vertices[None]) ** 2).sum(-1)
        if normals is not None:
            d = d + 1e-4 * (1 - np.asarray(normals, float) @ self.normals.T)
        return d.argmin(1)


# ------------------------------------------------------------------------------------------------ assembling a shape


def _key(kind: str, nodes: np.ndarray, elements: np.ndarray) -> str:
    digest = hashlib.sha256(kind.encode())
    digest.update(np.round(nodes * 1e7).astype(np.int64).tobytes())
    digest.update(elements.astype(np.int32).tobytes())
    return digest.hexdigest()[:16]


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """Area-weighted normals; vertices with the same number in `smooth` share one (seams of a smooth surface)."""
    corners = vertices[faces]
    face_normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros((int(smooth.max()) + 1, 3))
    for a in range(3):
        np.add.at(total, smooth[faces[:, a]], face_normal)
    normal = total[smooth]
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)


def _place(vertices: np.ndarray) -> np.ndarray:
    """Rest on y = 0, centred in x and z."""
    low, high = vertices.min(0), vertices.max(0)
    return vertices - np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])


def _merge(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unique points (to 1e-6) and the number of each point among them."""
    code = np.round(points * 1e6).astype(np.int64)
    _, first, number = np.unique(code, axis=0, return_index=True, return_inverse=True)
    return points[first], number.reshape(-1)


def _quads(blocks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and 8-node elements of structured blocks [2m+1, 2n+1, 2]; blocks are joined where their nodes coincide."""
    points, elements, base = [], [], 0
    for block in blocks:
        a, b = block.shape[:2]
        index = base + np.arange(a * b).reshape(a, b)
        i, j = np.meshgrid(np.arange(0, a - 1, 2), np.arange(0, b - 1, 2), indexing="ij")
        i, j = i.ravel(), j.ravel()
        steps = [(0, 0), (2, 0), (2, 2), (0, 2), (1, 0), (2, 1), (1, 2), (0, 1)]
        e = np.stack([index[i + p, j + q] for p, q in steps], 1)
        c = block.reshape(-1, 2)[e[:, :4] - base]
        area = np.sum(c[:, :, 0] * np.roll(c[:, :, 1], -1, 1) - c[:, :, 1] * np.roll(c[:, :, 0], -1, 1), 1)
        e[area < 0] = e[area < 0][:, [0, 3, 2, 1, 7, 6, 5, 4]]
        points.append(block.reshape(-1, 2))
        elements.append(e)
        base += a * b
    nodes, number = _merge(np.concatenate(points))
    quads = number[np.concatenate(elements)]
    used, quads = np.unique(quads, return_inverse=True)
    return nodes[used], quads.reshape(-1, 8)


def _chains(nodes: np.ndarray, quads: np.ndarray) -> list[np.ndarray]:
    """The boundary away from the axis as chains of nodes (corner, mid, corner, ...), material on the left."""
    edges = {}
    for a in range(4):
        for start, mid, end in zip(quads[:, a], quads[:, 4 + a], quads[:, (a + 1) % 4], strict=True):
            edges[int(start), int(end)] = int(mid)
    outer = {s: (m, e) for (s, e), m in edges.items() if (e, s) not in edges and nodes[[s, m, e], 0].max() > 1e-9}
    chains = []
    ends = {e for _, e in outer.values()}
    starts = sorted((s for s in outer if s not in ends), key=lambda s: -nodes[s, 1])
    while outer:
        current = starts.pop() if starts else min(outer)
        chain = [current]
        while current in outer:
            mid, current = outer.pop(current)
            chain += [mid, current]
        chains.append(np.array(chain))
    return chains


def revolve(
    family: str,
    blocks: Sequence[np.ndarray],
    *,
    params: dict[str, float],
    wall: float,
    hollow: bool,
    lying: bool = False,
) -> Shape:
    """A body of revolution from structured blocks of nodes in the half plane (r, z), any scale.

    Raises ShapeError where an element is turned inside out.
    """
    nodes, quads = _quads(blocks)
    nodes = np.where(np.abs(nodes) < 1e-9, 0.0, nodes)
    size = max(2 * nodes[:, 0].max(), np.ptp(nodes[:, 1]))
    nodes = (nodes - [0, nodes[:, 1].min()]) / size
    det, _ = jacobians(nodes, quads, 3)
    if det.min() <= 0.02 * np.abs(det).mean(1).min() or nodes[:, 0].min() < 0:
        raise ShapeError(f"{family}: an element is turned inside out")
    chains = _chains(nodes, quads)
    if sum(map(len, chains)) > 64:
        chains = [c[::2] for c in chains]
    around = int(np.clip(2200 // sum(map(len, chains)), 24, 48))
    angle = np.linspace(0, 2 * np.pi, around + 1)
    rmax = nodes[:, 0].max()
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    base = group = 0
    for chain in chains:
        p = nodes[chain]
        step = np.diff(p, axis=0)
        length = np.hypot(*step.T)
        turn = np.degrees(np.arctan2(_cross(step[:-1], step[1:]), (step[:-1] * step[1:]).sum(1)))
        cuts = [0, *(np.flatnonzero(np.abs(turn) > CREASE_DEGREES) + 1), len(chain) - 1]
        closed = chain[0] == chain[-1]
        arc = np.concatenate([[0], np.cumsum(length)])
        for a, b in itertools.pairwise(cuts):
            run = chain[a : b + 1]
            m = len(run)
            r, z = nodes[run].T
            x, y = np.outer(r, np.cos(angle)), -np.outer(r, np.sin(angle))
            v = np.stack([x, np.broadcast_to(z[:, None], x.shape), y], -1)
            flat = np.abs(np.diff(r)).sum() > 2.2 * np.abs(np.diff(z)).sum()
            around_and_along = np.broadcast_arrays(angle * rmax, arc[a : b + 1, None])
            uv = v[..., [0, 2]] if flat else np.stack(around_and_along, -1)
            i, j = np.meshgrid(np.arange(m - 1), np.arange(around), indexing="ij")
            q = base + (i * (around + 1) + j)
            lower, upper = r[i] > 1e-9, r[i + 1] > 1e-9
            # Boundary chains keep the body on their left in (r, z); with y = z and angle from x to -z this is outward.
            f = np.concatenate(
                [
                    np.stack([q, q + 1, q + around + 1], -1)[lower],
                    np.stack([q + 1, q + around + 2, q + around + 1], -1)[upper],
                ]
            )
            ring = np.broadcast_to((np.arange(around + 1) % around)[None], x.shape)
            number = group + around * np.arange(m)[:, None] + np.where(r[:, None] > 1e-9, ring, 0)
            if closed and len(cuts) == 2:  # a smooth closed loop: its last ring is its first
                number[-1] = number[0]
            parts.append((v.reshape(-1, 3), f, uv.reshape(-1, 2), number.ravel(), np.repeat(run, around + 1)))
            base += v.shape[0] * v.shape[1]
            group += around * m
    vertices = np.concatenate([p[0] for p in parts])
    faces = np.concatenate([p[1] for p in parts])
    if _signed_volume(vertices, faces) < 0:
        faces = faces[:, ::-1]
    normals = _vertex_normals(vertices, faces, np.concatenate([p[3] for p in parts]))
    frame = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]]) if lying else np.eye(3)
    vertices, normals = vertices @ frame.T, normals @ frame.T
    # Element axes (r cos, -r sin, z) -> (x, z, y): the columns say where radial, tangential and axial unit vectors go.
    weights = gauss(3, 2)[1]
    radius = serendipity(3, 2)[0] @ nodes[quads][..., 0].T
    volume = float(2 * np.pi * np.sum(radius.T * det * weights))
    return Shape(
        family=family,
        params=dict(params),
        vertices=_place(vertices).astype(np.float32),
        faces=np.ascontiguousarray(faces, dtype=np.int32),
        normals=normals.astype(np.float32),
        uv=np.concatenate([p[2] for p in parts]).astype(np.float32),
        wall=float(wall / size),
        hollow=hollow,
        volume=volume,
        kind="revolution",
        nodes=nodes,
        elements=quads,
        vertex_node=np.concatenate([p[4] for p in parts]).astype(np.int32),
        vertex_angle=np.concatenate([np.tile(angle, len(p[0]) // (around + 1)) for p in parts]),
        frame=frame,
        key=_key("revolution", nodes, quads),
    )


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _signed_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    c = vertices[faces]
    return float(np.einsum("fi,fi->", c[:, 0], np.cross(c[:, 1], c[:, 2])) / 6)


def blocks_of(
    family: str,
    lines: Sequence[np.ndarray],
    filled: np.ndarray,
    *,
    params: dict[str, float],
    wall: float,
    hollow: bool,
    warp: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Shape:
    """A body of hexahedra: the cells `filled` [nx, ny, nz] between grid `lines` (x, y, z), then warped smoothly."""
    fine = [np.insert(g[1:], np.arange(len(g) - 1), (g[1:] + g[:-1]) / 2) for g in lines]
    fine = [np.concatenate([g[:1], f]) for g, f in zip(lines, fine, strict=True)]
    shape = [len(f) for f in fine]
    index = np.arange(np.prod(shape)).reshape(shape)
    cells = np.argwhere(filled) * 2
    steps = (H20 + 1).astype(int)
    hexes = index[tuple((cells[:, None] + steps[None]).transpose(2, 0, 1))]
    flat = np.stack(np.meshgrid(*fine, indexing="ij"), -1).reshape(-1, 3)
    used, hexes = np.unique(hexes, return_inverse=True)
    hexes = hexes.reshape(-1, 20)
    straight = flat[used]
    straight = straight - (straight.max(0) + straight.min(0)) / 2
    nodes = straight if warp is None else warp(straight)
    size = np.ptp(nodes, axis=0).max()
    nodes, straight = nodes / size, straight / size
    det, _ = jacobians(nodes, hexes, 3)
    if det.min() <= 0:
        raise ShapeError(f"{family}: an element is turned inside out")
    volume = float(np.sum(det * gauss(3, 3)[1]))
    # Faces between a filled cell and nothing; corners in the order that looks outwards.
    padded = np.pad(filled, 1)
    corner = {tuple(c): n for n, c in enumerate(H20[:8].astype(int))}
    v_node, v_dir, quads = [], [], []
    where = np.argwhere(filled)
    for axis in range(3):
        for sign in (-1, 1):
            step = np.zeros(3, int)
            step[axis] = sign
            bare = ~padded[tuple((where + 1 + step).T)]
            u, w = (axis + 1) % 3, (axis + 2) % 3
            loop = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
            loop = loop if sign > 0 else loop[::-1]
            order = []
            for p, q in loop:
                c = np.zeros(3, int)
                c[axis], c[u], c[w] = sign, p, q
                order.append(corner[tuple(c)])
            face = hexes[bare][:, order]
            quads.append(face)
            v_dir.append(np.full(len(face), axis * 2 + (sign > 0)))
    quads, direction = np.concatenate(quads), np.concatenate(v_dir)
    number = quads * 6 + direction[:, None]
    unique, number = np.unique(number, return_inverse=True)
    number = number.reshape(-1, 4)
    v_node = unique // 6
    faces = np.concatenate([number[:, [0, 1, 2]], number[:, [0, 2, 3]]])
    vertices = nodes[v_node]
    axes = np.array([[2, 1], [0, 2], [0, 1]])[(unique % 6) // 2]
    uv = np.take_along_axis(straight[v_node], axes, 1)
    normals = _vertex_normals(vertices, faces, np.arange(len(vertices)))
    return Shape(
        family=family,
        params=dict(params),
        vertices=_place(vertices).astype(np.float32),
        faces=faces.astype(np.int32),
        normals=normals.astype(np.float32),
        uv=uv.astype(np.float32),
        wall=float(wall / size),
        hollow=hollow,
        volume=volume,
        kind="hex",
        nodes=nodes,
        elements=hexes,
        vertex_node=v_node.astype(np.int32),
        vertex_angle=np.zeros(len(v_node)),
        frame=np.eye(3),
        key=_key("hex", nodes, hexes),
    )


TET_EDGES = np.array([(0, 1), (1, 2), (0, 2), (0, 3), (1, 3), (2, 3)])


def tetrahedra_of(
    family: str,
    nodes: np.ndarray,
    tets: np.ndarray,
    *,
    params: dict[str, float],
    wall: float,
    hollow: bool,
    distance: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Shape:
    """A body of tetrahedra [T, 4] on `nodes` [N, 3], any scale; its surface gets the mid-edge nodes too.

    With a signed `distance` (in the units of `nodes`) mid-edge vertices are drawn on its zero, so that the surface
    looks as smooth as it is; the elements keep straight edges.
    """
    ends = np.sort(tets[:, TET_EDGES].reshape(-1, 2), 1)
    pairs, mid = np.unique(ends, axis=0, return_inverse=True)
    elements = np.concatenate([tets, len(nodes) + mid.reshape(-1, 6)], 1)
    every = np.concatenate([nodes, nodes[pairs].mean(1)])
    drawn = every.copy()
    # Outward triangles seen once: the boundary.
    triples = tets[:, [[1, 2, 3], [0, 3, 2], [0, 1, 3], [0, 2, 1]]].reshape(-1, 3)
    _, first, count = np.unique(np.sort(triples, 1), axis=0, return_index=True, return_counts=True)
    outer = triples[np.sort(first[count == 1])]
    key = pairs @ np.array([len(nodes), 1])
    sides = [np.sort(outer[:, [a, b]], 1) @ np.array([len(nodes), 1]) for a, b in ((0, 1), (1, 2), (2, 0))]
    ab, bc, ca = (len(nodes) + np.searchsorted(key, v) for v in sides)
    if distance is not None:
        on = np.unique(np.concatenate([ab, bc, ca]))
        drawn[on] = _onto(distance, every[on], 0.25 * np.linalg.norm(np.diff(nodes[pairs], axis=1), axis=-1).mean())
    directed = outer[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    if len(np.unique(directed, axis=0)) < len(directed):
        raise ShapeError(f"{family}: the surface touches itself along an edge")
    a, b, c = outer.T
    faces = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    normal = np.cross(drawn[faces[:, 1]] - drawn[faces[:, 0]], drawn[faces[:, 2]] - drawn[faces[:, 0]])
    axis = np.abs(normal).argmax(1)
    unique, number = np.unique(faces * 3 + axis[:, None], return_inverse=True)
    number = number.reshape(-1, 3)
    node, axis = unique // 3, unique % 3
    size = np.ptp(drawn[node], axis=0).max()
    vertices = drawn[node] / size
    every = every / size
    det = np.linalg.det(every[tets[:, 1:]] - every[tets[:, :1]])
    if det.min() <= 1e-4 * det.mean():
        raise ShapeError(f"{family}: a tetrahedron is flat")
    return Shape(
        family=family,
        params=dict(params),
        vertices=_place(vertices).astype(np.float32),
        faces=number.astype(np.int32),
        normals=_vertex_normals(vertices, number, node).astype(np.float32),
        uv=np.take_along_axis(vertices, np.array([[2, 1], [0, 2], [0, 1]])[axis], 1).astype(np.float32),
        wall=float(wall / size),
        hollow=hollow,
        volume=float(det.sum() / 6),
        kind="tet",
        nodes=every,
        elements=elements,
        vertex_node=node.astype(np.int32),
        vertex_angle=np.zeros(len(node)),
        frame=np.eye(3),
        key=_key("tet", every, elements),
    )


def _onto(distance: Callable[[np.ndarray], np.ndarray], p: np.ndarray, most: float) -> np.ndarray:
    """Points moved along the gradient to the zero of a distance, by at most `most` (left alone where farther)."""
    q = p.copy()
    e = 1e-4
    for _ in range(4):
        d = distance(q)
        g = np.stack([distance(q + e * u) - distance(q - e * u) for u in np.eye(3)], 1) / (2 * e)
        q = q - g * (d / np.maximum((g * g).sum(1), 0.1))[:, None]
    return np.where((np.linalg.norm(q - p, axis=1) < most)[:, None], q, p)


# ------------------------------------------------------------------------------------------------ curves and blocks


def _curve(points: Sequence[tuple[float, float]], rounds: int = 5) -> np.ndarray:
    """A smooth curve through the ends of a control polygon (Chaikin's corner cutting: a quadratic B-spline)."""
    p = np.asarray(points, float)
    for _ in range(rounds):
        q = np.empty((2 * len(p), 2))
        q[0::2] = np.concatenate([p[:1], 0.75 * p[1:-1] + 0.25 * p[2:], p[-1:]]) if len(p) > 2 else p
        q[1::2] = np.concatenate([0.5 * (p[:1] + p[1:2]), 0.25 * p[1:-1] + 0.75 * p[2:], p[-1:]]) if len(p) > 2 else p
        p = _without_repeats(q)
    return p


def _without_repeats(p: np.ndarray) -> np.ndarray:
    keep = np.concatenate([[True], np.hypot(*np.diff(p, axis=0).T) > 1e-9])
    return p[keep]


def _shell(curve: np.ndarray, thickness: Callable[[np.ndarray], np.ndarray] | float, count: int = 16) -> np.ndarray:
    """A wall of the given thickness around a middle curve [M, 2]: a block [2m+1, 3, 2].

    About `count` elements along the curve and one more for each 28 degrees of turning. `thickness` is a number or a
    function of the fraction of arc length in [0, 1].
    """
    step = np.diff(curve, axis=0)
    length = np.hypot(*step.T)
    angle = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
    arc = np.concatenate([[0], np.cumsum(length)])
    turning = np.concatenate([[0], np.cumsum(np.concatenate([np.abs(np.diff(angle)), [0]]))])
    load = count * arc / arc[-1] + turning / math.radians(28)
    m = max(3, round(load[-1]))
    s = np.interp(np.linspace(0, load[-1], 2 * m + 1), load, arc)
    # Mid-side nodes halfway along the arc, so that the quadratic map stays regular.
    s[1::2] = (s[:-1:2] + s[2::2]) / 2
    p = np.stack([np.interp(s, arc, curve[:, 0]), np.interp(s, arc, curve[:, 1])], 1)
    mid = (arc[1:] + arc[:-1]) / 2
    direction = np.interp(s, mid, angle)
    normal = np.stack([-np.sin(direction), np.cos(direction)], 1)
    for end in (0, -1):
        if p[end, 0] < 1e-9:  # on the axis the wall is crossed along the axis
            normal[end] = [0, np.sign(normal[end, 1])]
    t = np.asarray(thickness(s / arc[-1]) if callable(thickness) else np.full(len(s), thickness))
    across = np.array([-0.5, 0.0, 0.5])
    return p[:, None] + (t[:, None] * across)[..., None] * normal[:, None]


def _patch(a: np.ndarray, b: np.ndarray, count: int) -> np.ndarray:
    """A block between two curves of nodes [2m+1, 2] with `count` elements from `a` to `b`."""
    t = np.linspace(0, 1, 2 * count + 1)[None, :, None]
    return a[:, None] * (1 - t) + b[:, None] * t


def _line(a: tuple[float, float], b: tuple[float, float], count: int) -> np.ndarray:
    t = np.linspace(0, 1, 2 * count + 1)[:, None]
    return np.asarray(a, float) * (1 - t) + np.asarray(b, float) * t


def _spindle(radius: Callable[[np.ndarray], np.ndarray], height: float, along: int, across: int) -> np.ndarray:
    """A solid block between the axis and r = radius(z / height)."""
    z = np.linspace(0, 1, 2 * along + 1)
    return _patch(np.stack([0 * z, z * height], 1), np.stack([radius(z), z * height], 1), across)


def _round_section(centre: float, a: float, b: float, count: int, half: bool) -> list[np.ndarray]:
    """Blocks of an ellipse with half axes a (along r) and b, centred at r = centre; `half` keeps r >= centre only."""
    core = 0.55
    blocks = []
    low = 0.0 if half else -core
    n = count if half else 2 * count
    inner = [
        (_line((low, -core), (core, -core), n), -90, -45)
        if half
        else (_line((-core, -core), (core, -core), n), -135, -45),
        (_line((core, -core), (core, core), 2 * count), -45, 45),
        (_line((core, core), (low, core), n), 45, 90) if half else (_line((core, core), (-core, core), n), 45, 135),
    ]
    if not half:
        inner.append((_line((-core, core), (-core, -core), 2 * count), 135, 225))
    blocks.append(_patch(inner[0][0], inner[2][0][::-1], 2 * count))
    for edge, start, end in inner:
        angle = np.radians(np.linspace(start, end, len(edge)))
        blocks.append(_patch(edge, np.stack([np.cos(angle), np.sin(angle)], 1), count))
    scale = np.array([a, b])
    return [block * scale + [centre, 0] for block in blocks]


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))


def _cells(length: float, thickness: float, most: int, ratio: float = 7.0, least: int = 3) -> int:
    """Elements along `length` so that none is longer than `ratio` thicknesses, between `least` and `most`."""
    return int(np.clip(round(length / (ratio * thickness)), least, most))


# ------------------------------------------------------------------------------------------------ families


def rod(rng: np.random.Generator) -> Shape:
    """A solid round rod, usually lying."""
    radius = _log(rng, 0.012, 0.12)
    taper = float(rng.uniform(0.7, 1.0)) if rng.random() < 0.3 else 1.0
    lying = bool(rng.random() < 0.8)
    block = _spindle(lambda z: radius * (1 + (taper - 1) * z), 1.0, 20, 2)
    p = {"radius": radius, "taper": taper, "lying": float(lying)}
    return revolve("rod", [block], params=p, wall=2 * radius, hollow=False, lying=lying)


def disc(rng: np.random.Generator) -> Shape:
    """A flat round plate."""
    t = _log(rng, 0.012, 0.12)
    hole = float(rng.uniform(0.05, 0.2)) if rng.random() < 0.25 else 0.0
    curve = np.array([(hole, 0.0), (0.5, 0.0)])
    return revolve("disc", [_shell(curve, t, 16)], params={"thickness": t, "hole": hole}, wall=t, hollow=False)


def bowl(rng: np.random.Generator) -> Shape:
    """An open bowl: a flat or round bottom, a wall that opens upwards."""
    t = _log(rng, 0.008, 0.06)
    depth = float(rng.uniform(0.22, 0.62))
    foot = float(rng.uniform(0.08, 0.28))
    belly = float(rng.uniform(0.0, 1.0))
    lip = float(rng.uniform(-0.03, 0.05))
    side = 0.5 * (0.80 + 0.24 * belly)
    pts = [
        (0, 0),
        (foot, 0),
        (max(side, foot + 0.1), depth * (0.12 + 0.2 * (1 - belly))),
        (0.5 - lip, depth * 0.72),
        (0.5, depth),
    ]
    thick = float(rng.uniform(1.0, 1.8))
    p = {"thickness": t, "depth": depth, "foot": foot, "belly": belly, "lip": lip, "bottom": thick}
    return revolve(
        "bowl",
        [_shell(_curve(pts), lambda s: t * (thick + (1 - thick) * np.minimum(1, s / 0.6)))],
        params=p,
        wall=t,
        hollow=True,
    )


def cup(rng: np.random.Generator) -> Shape:
    """A tumbler or beaker: a flat bottom, a nearly straight wall."""
    t = _log(rng, 0.010, 0.06)
    height = float(rng.uniform(0.8, 2.2))
    bottom = float(rng.uniform(0.28, 0.5))
    bulge = float(rng.uniform(-0.05, 0.10))
    corner = float(rng.uniform(0.05, 0.16))
    base = float(rng.uniform(1.0, 2.5))
    pts = [
        (0, 0),
        (bottom - corner, 0),
        (bottom - 0.1 * corner, 0),
        (bottom + 0.02, corner),
        (0.5 * (bottom + 0.5) + bulge, 0.5 * height),
        (0.5, height),
    ]
    p = {"thickness": t, "height": height, "bottom": bottom, "bulge": bulge, "corner": corner, "base": base}
    wall = t * max(1.0, height)
    return revolve(
        "cup",
        [_shell(_curve(pts), lambda s: wall * (base + (1 - base) * _smooth(s, 0.12, 0.32)))],
        params=p,
        wall=wall,
        hollow=True,
    )


def _smooth(s: np.ndarray, a: float, b: float) -> np.ndarray:
    x = np.clip((s - a) / (b - a), 0, 1)
    return x * x * (3 - 2 * x)


def bottle(rng: np.random.Generator) -> Shape:
    """A bottle: a body, shoulders, a narrow neck with a lip."""
    t = _log(rng, 0.007, 0.030)
    body = float(rng.uniform(0.11, 0.21))
    neck = float(rng.uniform(0.035, 0.065))
    shoulder = float(rng.uniform(0.42, 0.68))
    slope = float(rng.uniform(0.08, 0.26))
    waist = float(rng.uniform(0.86, 1.05))
    neck = max(neck, 2.2 * t)
    top = min(shoulder + slope, 0.88)
    pts = [
        (0, 0),
        (body * 0.8, 0),
        (body, 0),
        (body, body * 0.4),
        (body * waist, 0.5 * shoulder),
        (body, shoulder - 0.05),
        (body, shoulder),
        (neck + 0.25 * (body - neck), 0.5 * (shoulder + top)),
        (neck, top),
        (neck, top + 0.04),
        (neck, 0.95),
        (neck * 1.08, 1.0),
    ]
    base = float(rng.uniform(1.0, 2.2))
    p = {"thickness": t, "body": body, "neck": neck, "shoulder": shoulder, "slope": slope, "waist": waist, "base": base}
    curve = _curve(pts)
    return revolve(
        "bottle",
        [_shell(curve, lambda s: t * (base + (1 - base) * _smooth(s, 0.05, 0.2)), 18)],
        params=p,
        wall=t,
        hollow=True,
    )


def vase(rng: np.random.Generator) -> Shape:
    """A vase: a free curve of four radii from foot to lip."""
    t = _log(rng, 0.012, 0.05)
    foot, belly, neck, lip = (
        float(v)
        for v in (rng.uniform(0.12, 0.26), rng.uniform(0.2, 0.42), rng.uniform(0.08, 0.22), rng.uniform(0.12, 0.3))
    )
    where = float(rng.uniform(0.3, 0.6))
    high = float(rng.uniform(0.72, 0.88))
    pts = [
        (0, 0),
        (foot * 0.85, 0),
        (foot, 0),
        (foot + 0.02, 0.06),
        (belly, where - 0.12),
        (belly, where + 0.1),
        (neck, high - 0.05),
        (neck, high + 0.03),
        (lip, 1.0),
    ]
    p = {"thickness": t, "foot": foot, "belly": belly, "neck": neck, "lip": lip, "where": where, "high": high}
    return revolve("vase", [_shell(_curve(pts), t, 18)], params=p, wall=t, hollow=True)


def pan(rng: np.random.Generator) -> Shape:
    """A pan or baking tin: a wide flat bottom, a low flared wall, a turned rim."""
    t = _log(rng, 0.006, 0.030)
    depth = float(rng.uniform(0.10, 0.34))
    flare = float(rng.uniform(0.0, 0.10))
    rim = float(rng.uniform(0.0, 0.05))
    corner = float(rng.uniform(0.03, 0.09))
    side = 0.5 - flare
    pts = [
        (0, 0),
        (side - 1.5 * corner, 0),
        (side - 0.2 * corner, 0),
        (side + 0.1 * flare, corner),
        (0.5, depth * 0.93),
        (0.5 + 0.2 * rim, depth),
        (0.5 + rim + 2 * t, depth + 0.2 * rim),
    ]
    base = float(rng.uniform(1.0, 2.5))
    p = {"thickness": t, "depth": depth, "flare": flare, "rim": rim, "corner": corner, "base": base}
    return revolve(
        "pan",
        [_shell(_curve(pts), lambda s: t * (base + (1 - base) * _smooth(s, 0.45, 0.62)))],
        params=p,
        wall=t,
        hollow=True,
    )


def jar(rng: np.random.Generator) -> Shape:
    """A jar: a wide body, a short step to a wide mouth."""
    t = _log(rng, 0.014, 0.06)
    height = float(rng.uniform(0.9, 1.7))
    mouth = float(rng.uniform(0.3, 0.44))
    collar = float(rng.uniform(0.10, 0.2))
    p = {"thickness": t, "height": height, "mouth": mouth, "collar": collar}
    top = height - collar
    pts = [
        (0, 0),
        (0.40, 0),
        (0.49, 0),
        (0.5, 0.10),
        (0.5, 0.4 * height),
        (0.5, top - 0.14),
        (0.49, top - 0.02),
        (mouth, top),
        (mouth, top + 0.3 * collar),
        (mouth, height),
    ]
    return revolve("jar", [_shell(_curve(pts), t * max(1, height), 18)], params=p, wall=t * max(1, height), hollow=True)


def pipe(rng: np.random.Generator) -> Shape:
    """A tube open at both ends, lying or standing."""
    radius = _log(rng, 0.018, 0.42)
    t = radius * _log(rng, 0.05, 0.4)
    lying = bool(rng.random() < 0.6)
    curve = np.array([(radius, 0.0), (radius, 1.0)])
    p = {"radius": radius, "thickness": t, "lying": float(lying)}
    return revolve("pipe", [_shell(curve, t, 18)], params=p, wall=t, hollow=True, lying=lying)


def sphere_solid(rng: np.random.Generator) -> Shape:
    """A ball, sometimes flattened or drawn out like an egg."""
    b = float(rng.uniform(0.6, 1.5)) if rng.random() < 0.5 else 1.0
    p = {"aspect": b}
    return revolve(
        "sphere_solid", _round_section(0.0, 0.5, 0.5 * b, 3, half=True), params=p, wall=min(1.0, b), hollow=False
    )


def sphere_hollow(rng: np.random.Generator) -> Shape:
    """A hollow ball, closed or with a round opening on top."""
    t = _log(rng, 0.012, 0.09)
    aspect = float(rng.uniform(0.65, 1.4))
    opening = float(rng.uniform(12, 50)) if rng.random() < 0.5 else 0.0
    angle = np.radians(np.linspace(-90, 90 - opening, 200))
    curve = np.stack([0.5 * np.cos(angle), 0.5 * aspect * np.sin(angle)], 1)
    curve[0, 0] = 0.0
    if not opening:
        curve[-1, 0] = 0.0
    p = {"thickness": t, "aspect": aspect, "opening": opening}
    return revolve("sphere_hollow", [_shell(curve, t, 12)], params=p, wall=t, hollow=True)


def bell(rng: np.random.Generator) -> Shape:
    """A bell standing on its mouth: crown, waist, flared lip with a thick sound bow."""
    t = _log(rng, 0.018, 0.05)
    height = float(rng.uniform(0.65, 1.1))
    crown = float(rng.uniform(0.16, 0.26))
    waist = float(rng.uniform(0.24, 0.34))
    bow = float(rng.uniform(1.2, 2.6))
    pts = [
        (0, height),
        (crown * 0.7, height),
        (crown, height * 0.99),
        (crown + 0.03, height * 0.86),
        (waist, height * 0.5),
        (waist + 0.05, height * 0.25),
        (0.42, 0.09 * height),
        (0.5, 0),
    ]
    p = {"thickness": t, "height": height, "crown": crown, "waist": waist, "bow": bow}
    return revolve(
        "bell",
        [_shell(_curve(pts), lambda s: t * (1 + (bow - 1) * np.exp(-(((s - 0.93) / 0.09) ** 2))))],
        params=p,
        wall=t,
        hollow=True,
    )


def wine_glass(rng: np.random.Generator) -> Shape:
    """A stemmed glass: foot, solid stem, thin bowl."""
    t = _log(rng, 0.006, 0.018)
    stem = float(rng.uniform(0.016, 0.03))
    foot = float(rng.uniform(0.15, 0.21))
    length = float(rng.uniform(0.22, 0.42))
    belly = float(rng.uniform(0.16, 0.25))
    mouth = float(rng.uniform(0.72, 1.02)) * belly
    slab = max(0.012, 1.2 * t)
    hub = float(rng.uniform(1.5, 2.5)) * t
    h = 1.0
    top_of_foot = slab * 1.6
    nr = 1
    foot_in = _line((stem, 0), (stem, top_of_foot), 1)
    foot_out = _line((foot, 0), (foot, slab * 0.7), 1)
    foot_block = _patch(foot_in, foot_out, 5)
    z0, z1 = top_of_foot, top_of_foot + length
    along = _cells(length, stem, 10, 2.0, 5)
    z = np.linspace(0, 1, 2 * along + 1)
    waist = float(rng.uniform(0.7, 1.0))
    radius = stem * (1 - (1 - waist) * np.sin(np.pi * z) ** 2)
    stem_block = _patch(np.stack([0 * z, z0 + z * length], 1), np.stack([radius, z0 + z * length], 1), nr)
    lower = _patch(_line((0, 0), (stem, 0), nr), _line((0, z0), (stem, z0), nr), 1)
    upper = _patch(_line((0, z1), (stem, z1), nr), _line((0, z1 + hub), (stem, z1 + hub), nr), 1)
    c = z1 + hub / 2
    pts = [
        (stem, c),
        (stem + 0.03, c),
        (0.62 * belly + 0.02, c + 0.005),
        (belly, c + 0.3 * (h - c)),
        (belly * 0.98 + 0.02 * mouth, c + 0.55 * (h - c)),
        (mouth, h),
    ]
    shell = _shell(_curve(pts), lambda s: hub + (t - hub) * _smooth(s, 0.0, 0.3), 14)
    shell[0] = _line((stem, z1), (stem, z1 + hub), 1)
    p = {"thickness": t, "stem": stem, "foot": foot, "length": length, "belly": belly, "mouth": mouth}
    return revolve("wine_glass", [foot_block, lower, stem_block, upper, shell], params=p, wall=t, hollow=True)


def can(rng: np.random.Generator) -> Shape:
    """A closed can: thin walls, slightly rounded edges, sometimes ribs."""
    t = _log(rng, 0.005, 0.025)
    radius = float(rng.uniform(0.25, 0.5))
    edge = float(rng.uniform(0.03, 0.09))
    rib = float(rng.uniform(0.0, 0.012)) if rng.random() < 0.4 else 0.0
    low = [(0, 0), (radius - edge, 0), (radius, 0), (radius, edge)]
    ribs = [(radius - rib, 0.35), (radius + rib, 0.45), (radius - rib, 0.55), (radius + rib, 0.65)]
    pts = [*low, *ribs, (radius, 1 - edge), (radius, 1), (radius - edge, 1), (0, 1)]
    lying = bool(rng.random() < 0.15)
    p = {"thickness": t, "radius": radius, "edge": edge, "rib": rib, "lying": float(lying)}
    return revolve("can", [_shell(_curve(pts), t, 20)], params=p, wall=t, hollow=True, lying=lying)


def dish(rng: np.random.Generator) -> Shape:
    """A dinner plate: flat well, raised rim."""
    t = _log(rng, 0.010, 0.035)
    well = float(rng.uniform(0.24, 0.36))
    rise = float(rng.uniform(0.04, 0.12))
    pts = [(0, 0), (well * 0.8, 0), (well, 0), (well + 0.05, rise * 0.6), (0.5, rise)]
    p = {"thickness": t, "well": well, "rise": rise}
    return revolve("dish", [_shell(_curve(pts), t)], params=p, wall=t, hollow=False)


def gong(rng: np.random.Generator) -> Shape:
    """A gong or cymbal: a wide thin dome with a boss or a turned rim."""
    t = _log(rng, 0.005, 0.018)
    boss = float(rng.uniform(0.05, 0.14))
    dome = float(rng.uniform(0.03, 0.12))
    cup_height = float(rng.uniform(0.02, 0.07))
    rim = float(rng.uniform(0.0, 0.08))
    top = dome + cup_height + rim
    pts = [
        (0, top),
        (boss * 0.7, top),
        (boss, top - cup_height),
        (boss + 0.06, top - cup_height),
        (0.35, top - cup_height - 0.5 * dome),
        (0.49, rim),
        (0.5, 0),
    ]
    p = {"thickness": t, "boss": boss, "dome": dome, "cup": cup_height, "rim": rim}
    return revolve("gong", [_shell(_curve(pts), t)], params=p, wall=t, hollow=False)


def ring(rng: np.random.Generator) -> Shape:
    """A ring of round or oval section."""
    a = _log(rng, 0.03, 0.12)
    b = a * float(rng.uniform(0.6, 2.0))
    p = {"a": a, "b": b}
    return revolve("ring", _round_section(0.5 - a, a, b, 1, half=False), params=p, wall=2 * min(a, b), hollow=False)


def pawn(rng: np.random.Generator) -> Shape:
    """A turned solid: a chess piece, a baluster, a skittle."""
    radii = rng.uniform(0.10, 0.27, 5)
    radii[0] = rng.uniform(0.18, 0.3)
    radii[1:4:2] *= float(rng.uniform(0.5, 0.9))
    ctrl = _curve([(float(r), float(z)) for r, z in zip(radii, np.linspace(0, 1, 5), strict=True)])
    block = _spindle(lambda z: np.interp(z, ctrl[:, 1], ctrl[:, 0]), 1.0, 14, 2)
    p = {f"r{i}": float(r) for i, r in enumerate(radii)}
    return revolve("pawn", [block], params=p, wall=2 * float(ctrl[:, 0].min()), hollow=False)


def funnel(rng: np.random.Generator) -> Shape:
    """A hollow cone open at both ends, like a horn or a lamp shade, standing on its wide end."""
    t = _log(rng, 0.008, 0.05)
    height = float(rng.uniform(0.5, 1.4))
    top = float(rng.uniform(0.08, 0.34))
    bend = float(rng.uniform(-0.12, 0.06))
    pts = [(0.5, 0), (0.5 * (0.5 + top) + bend, 0.5 * height), (top, height)]
    p = {"thickness": t, "height": height, "top": top, "bend": bend}
    return revolve("funnel", [_shell(_curve(pts), t * max(1, height))], params=p, wall=t * max(1, height), hollow=True)


def bar(rng: np.random.Generator) -> Shape:
    """A straight bar of rectangular section; some are undercut like a xylophone's."""
    h = _log(rng, 0.015, 0.11)
    w = min(h * _log(rng, 1.0, 5.0), 0.35)
    cut = float(rng.uniform(0.2, 0.6)) if rng.random() < 0.35 else 0.0
    nx = _cells(1.0, h, 36, 1.5, 16)
    lines = [np.linspace(0, 1, nx + 1), np.linspace(0, h, 3), np.linspace(0, w, 1 + _cells(w, h, 6, 1.0, 2))]

    def undercut(x: np.ndarray) -> np.ndarray:
        x = x.copy()
        part = cut * np.exp(-((x[:, 0] / 0.26) ** 4))
        x[:, 1] = h / 2 - (h / 2 - x[:, 1]) * (1 - part)
        return x

    filled = np.ones([len(g) - 1 for g in lines], bool)
    p = {"height": h, "width": w, "undercut": cut}
    return blocks_of("bar", lines, filled, params=p, wall=h * (1 - cut), hollow=False, warp=undercut if cut else None)


def plate(rng: np.random.Generator) -> Shape:
    """A flat rectangular plate, lying; some are slightly arched."""
    t = _log(rng, 0.010, 0.08)
    depth = float(rng.uniform(0.35, 1.0))
    arch = float(rng.uniform(0.02, 0.15)) if rng.random() < 0.3 else 0.0
    lines = [np.linspace(0, 1, 17), np.linspace(0, t, 2), np.linspace(0, depth, 1 + max(7, round(16 * depth)))]

    def bend(x: np.ndarray) -> np.ndarray:
        x = x.copy()
        x[:, 1] += arch * (1 - (2 * x[:, 0]) ** 2)
        return x

    filled = np.ones([len(g) - 1 for g in lines], bool)
    p = {"thickness": t, "depth": depth, "arch": arch}
    return blocks_of("plate", lines, filled, params=p, wall=t, hollow=False, warp=bend if arch else None)


def _walls(length: float, t: float, inner: int, layers: int = 1) -> np.ndarray:
    """Grid lines with `layers` cells in the wall at either end and `inner` cells between the walls."""
    wall = np.linspace(0, t, layers + 1)
    return np.concatenate([wall[:-1], np.linspace(t, length - t, inner + 1), length - wall[-2::-1]])


def box_hollow(rng: np.random.Generator) -> Shape:
    """A closed hollow box."""
    x, y, z = 1.0, float(rng.uniform(0.3, 1.0)), float(rng.uniform(0.4, 1.0))
    t = _log(rng, 0.012, 0.07)
    counts = [_cells(v, 0.1, 10, 1.0, 4) for v in (x, y, z)]
    lines = [_walls(v, t, n) for v, n in zip((x, y, z), counts, strict=True)]
    filled = np.ones([len(g) - 1 for g in lines], bool)
    filled[1:-1, 1:-1, 1:-1] = False
    p = {"height": y, "depth": z, "thickness": t}
    return blocks_of("box_hollow", lines, filled, params=p, wall=t, hollow=True)


def tray(rng: np.random.Generator) -> Shape:
    """An open box, from a tray to a bin; the walls may lean outwards."""
    x, y, z = 1.0, float(rng.uniform(0.1, 1.0)), float(rng.uniform(0.45, 1.0))
    t = _log(rng, 0.012, 0.07)
    lean = float(rng.uniform(0.0, 0.18))
    lines = [
        _walls(x, t, _cells(x, 0.09, 11, 1.0, 5)),
        np.concatenate([[0], np.linspace(t, max(y, 2.5 * t), 1 + _cells(y, 0.1, 9, 1.0, 2))]),
        _walls(z, t, _cells(z, 0.09, 11, 1.0, 5)),
    ]
    filled = np.ones([len(g) - 1 for g in lines], bool)
    filled[1:-1, 1:, 1:-1] = False

    def open_up(v: np.ndarray) -> np.ndarray:
        v = v.copy()
        v[:, [0, 2]] *= 1 + lean * (v[:, 1:2] / max(y, 2.5 * t) - 0.5)
        return v

    p = {"height": y, "depth": z, "thickness": t, "lean": lean}
    return blocks_of("tray", lines, filled, params=p, wall=t, hollow=True, warp=open_up if lean else None)


def box_solid(rng: np.random.Generator) -> Shape:
    """A solid block or brick."""
    sides = [1.0, float(rng.uniform(0.2, 1.0)), float(rng.uniform(0.3, 1.0))]
    lines = [np.linspace(0, v, 1 + int(np.clip(round(6 * v), 2, 6))) for v in sides]
    filled = np.ones([len(g) - 1 for g in lines], bool)
    p = {"height": sides[1], "depth": sides[2]}
    return blocks_of("box_solid", lines, filled, params=p, wall=min(sides), hollow=False)


def bracket(rng: np.random.Generator) -> Shape:
    """An L-shaped angle: two plates that meet at a right edge."""
    t = _log(rng, 0.02, 0.09)
    leg = float(rng.uniform(0.3, 1.0))
    width = float(rng.uniform(0.2, 0.9))
    lines = [
        np.concatenate([[0], np.linspace(t, 1, 15)]),
        np.concatenate([[0], np.linspace(t, leg, 1 + max(5, round(14 * leg)))]),
        np.linspace(0, width, 1 + max(4, round(12 * width))),
    ]
    filled = np.zeros([len(g) - 1 for g in lines], bool)
    filled[0] = True
    filled[:, 0] = True
    p = {"thickness": t, "leg": leg, "width": width}
    return blocks_of("bracket", lines, filled, params=p, wall=t, hollow=False)


def channel(rng: np.random.Generator) -> Shape:
    """A U-shaped gutter of flat walls, open side up."""
    t = _log(rng, 0.012, 0.06)
    height, width = float(rng.uniform(0.1, 0.45)), float(rng.uniform(0.15, 0.5))
    height = max(height, 2.5 * t)
    lines = [
        np.linspace(0, 1, 19),
        np.concatenate([[0], np.linspace(t, height, 1 + max(3, round(14 * height)))]),
        _walls(width, t, max(3, round(14 * width))),
    ]
    filled = np.ones([len(g) - 1 for g in lines], bool)
    filled[:, 1:, 1:-1] = False
    p = {"thickness": t, "height": height, "width": width}
    return blocks_of("channel", lines, filled, params=p, wall=t, hollow=False)


def fork(rng: np.random.Generator) -> Shape:
    """A tuning fork lying on its side: a handle and two prongs."""
    t = float(rng.uniform(0.035, 0.08))
    gap = t * float(rng.uniform(0.6, 2.0))
    handle = float(rng.uniform(0.2, 0.45))
    depth = t * float(rng.uniform(0.6, 1.6))
    xs = np.concatenate(
        [np.linspace(0, handle, 8)[:-1], np.linspace(handle, handle + t, 3)[:-1], np.linspace(handle + t, 1, 19)]
    )
    zs = np.concatenate(
        [np.linspace(0, t, 3)[:-1], np.linspace(t, t + gap, 3)[:-1], np.linspace(t + gap, 2 * t + gap, 3)]
    )
    lines = [xs, np.linspace(0, depth, 3), zs]
    filled = np.ones([len(g) - 1 for g in lines], bool)
    filled[9:, :, 2:4] = False
    filled[:7, :, :2] = filled[:7, :, 4:] = False
    p = {"thickness": t, "gap": gap, "handle": handle, "depth": depth}
    return blocks_of("fork", lines, filled, params=p, wall=min(t, depth, gap), hollow=False)


def frame(rng: np.random.Generator) -> Shape:
    """A flat rectangular frame, lying."""
    depth = float(rng.uniform(0.5, 1.0))
    border = float(rng.uniform(0.05, 0.18))
    t = border * _log(rng, 0.2, 1.0)
    lines = [_walls(1.0, border, 12, 2), np.linspace(0, t, 3), _walls(depth, border, max(6, round(12 * depth)), 2)]
    filled = np.ones([len(g) - 1 for g in lines], bool)
    filled[2:-2, :, 2:-2] = False
    p = {"depth": depth, "border": border, "thickness": t}
    return blocks_of("frame", lines, filled, params=p, wall=min(t, border), hollow=False)


# ------------------------------------------------------------------------------------------------ invented objects

_EDGE = 0.08  # radius of rounded edges: what the lattice can follow
_LATTICE = 0.105  # lattice constant over the size of an average invented object; finer for slender ones
_MOST_TETRAHEDRA = 2600


def _primitive(rng: np.random.Generator) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
    """A random ball, box, capsule, cylinder, ring or cone about the origin: its name and its signed distance."""
    kind = str(rng.choice(["ball", "box", "capsule", "cylinder", "ring", "cone"]))
    a, b, c = (float(v) for v in rng.uniform(0.16, 0.5, 3))
    if kind == "ball":
        scale = np.array([a, b, c])
        return kind, lambda p: (np.linalg.norm(p / scale, axis=1) - 1) * scale.min()
    if kind == "box":
        half = np.array([a, max(b, 0.14), max(0.6 * c, 0.13)])
        round_off = 0.6 * half.min()

        def box(p: np.ndarray) -> np.ndarray:
            q = np.abs(p) - (half - round_off)
            return np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0) - round_off

        return kind, box
    if kind == "capsule":
        radius = 0.11 + 0.3 * (a - 0.16)

        def capsule(p: np.ndarray) -> np.ndarray:
            return np.hypot(np.hypot(p[:, 0], p[:, 2]), np.maximum(np.abs(p[:, 1]) - (0.2 + b), 0)) - radius

        return kind, capsule
    if kind == "ring":
        big, thick = 0.24 + 0.6 * (a - 0.16), 0.10 + 0.2 * (b - 0.16)
        return kind, lambda p: np.hypot(np.hypot(p[:, 0], p[:, 2]) - big, p[:, 1]) - thick
    top = a if kind == "cylinder" else 0.35 * a

    def cone(p: np.ndarray) -> np.ndarray:
        r = np.hypot(p[:, 0], p[:, 2])
        radius = a + (top - a) * np.clip(p[:, 1] / (2 * b) + 0.5, 0, 1)
        side = (r - radius) * (2 * b / np.hypot(2 * b, a - top)) + _EDGE
        cap = np.abs(p[:, 1]) - b + _EDGE
        return np.hypot(np.maximum(side, 0), np.maximum(cap, 0)) + np.minimum(np.maximum(side, cap), 0) - _EDGE

    return kind, cone


def _rotation(rng: np.random.Generator) -> np.ndarray:
    """Half the time a turn by right angles, else any rotation."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    if rng.random() < 0.5:
        q = np.eye(3)[rng.permutation(3)]
    return q


def invented(rng: np.random.Generator) -> Shape:
    """An object nobody has seen: random unions and cuts of balls, boxes, capsules, cylinders, rings and cones."""
    return _robust(_invented)(rng)


def _invented(rng: np.random.Generator) -> Shape:
    parts: list[tuple[Callable[[np.ndarray], np.ndarray], np.ndarray, np.ndarray, float]] = []
    unions, cuts = int(rng.integers(1, 4)), int(rng.integers(0, 3))
    blend = float(rng.uniform(0.06, 0.16))
    cuts = max(cuts, 1) if unions == 1 else cuts
    place = np.zeros(3)
    for k in range(unions + cuts):
        _, one = _primitive(rng)
        if k:
            away = rng.normal(size=3)
            place = parts[int(rng.integers(min(k, unions)))][2] + away / np.linalg.norm(away) * rng.uniform(0.2, 0.5)
        parts.append((one, _rotation(rng), place, 1.0 if k < unions else float(rng.uniform(0.5, 0.8))))

    def distance(p: np.ndarray) -> np.ndarray:
        total = np.full(len(p), 10.0)
        for k, (one, turn, centre, scale) in enumerate(parts):
            d = one((p - centre) @ turn / scale) * scale
            # Smooth minimum and maximum: a fillet along every seam (Quilez, "smooth minimum", quadratic).
            sign = 1.0 if k < unions else -1.0
            h = np.maximum(blend - np.abs(total - sign * d), 0)
            pick = np.minimum(total, d) if sign > 0 else np.maximum(total, -d)
            total = pick - sign * h * h / (4 * blend)
        return total

    probe = np.linspace(-1.7, 1.7, 44)
    grid = np.stack(np.meshgrid(probe, probe, probe, indexing="ij"), -1).reshape(-1, 3)
    inside = grid[distance(grid) < 0]
    if len(inside) < 40:
        raise ShapeError("invented: almost nothing is left")
    low, high = inside.min(0) - 0.08, inside.max(0) + 0.08
    span = float((high - low).max())
    h = max(_LATTICE * span, (12 * len(inside) * (probe[1] - probe[0]) ** 3 / _MOST_TETRAHEDRA) ** (1 / 3))
    nodes, tets = stuff(distance, low, high, h)
    if len(tets) < 250 or len(tets) > 2 * _MOST_TETRAHEDRA:
        raise ShapeError("invented: too slender or too fine")
    p = {"unions": float(unions), "cuts": float(cuts), "blend": blend}
    thickest = -2 * float(distance(inside).min())  # of the largest ball that fits inside
    return tetrahedra_of("invented", nodes, tets, params=p, wall=thickest, hollow=False, distance=distance)


def _robust(make: Callable[[np.random.Generator], Shape]) -> Callable[[np.random.Generator], Shape]:
    """Draw again where random proportions do not make a valid body (rare; the same seed still gives the same shape)."""

    def draw(rng: np.random.Generator) -> Shape:
        for _ in range(50):
            try:
                return make(rng)
            except ShapeError:
                continue
        raise ShapeError("no valid proportions in 50 draws")

    draw.__doc__ = make.__doc__
    return draw


FAMILIES: dict[str, Callable[[np.random.Generator], Shape]] = {
    "bar": _robust(bar),
    "rod": _robust(rod),
    "plate": _robust(plate),
    "disc": _robust(disc),
    "bowl": _robust(bowl),
    "cup": _robust(cup),
    "bottle": _robust(bottle),
    "vase": _robust(vase),
    "pan": _robust(pan),
    "jar": _robust(jar),
    "box_hollow": _robust(box_hollow),
    "box_solid": _robust(box_solid),
    "pipe": _robust(pipe),
    "sphere_hollow": _robust(sphere_hollow),
    "sphere_solid": _robust(sphere_solid),
    "bell": _robust(bell),
    "wine_glass": _robust(wine_glass),
    "can": _robust(can),
    "dish": _robust(dish),
    "gong": _robust(gong),
    "ring": _robust(ring),
    "pawn": _robust(pawn),
    "funnel": _robust(funnel),
    "tray": _robust(tray),
    "bracket": _robust(bracket),
    "channel": _robust(channel),
    "fork": _robust(fork),
    "frame": _robust(frame),
}
