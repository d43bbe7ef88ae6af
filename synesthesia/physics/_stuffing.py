"""Tetrahedra that fill a solid given by a signed distance: isosurface stuffing.

A body-centred cubic lattice of tetrahedra is cut by the surface: lattice points near the surface are first moved onto
it, then the tetrahedra that still cross it are cut (Labelle & Shewchuk, "Isosurface stuffing", SIGGRAPH 2007).
Quadrilaterals are split at their lowest-numbered corner, so neighbours agree (Dompierre et al., "How to subdivide
pyramids, prisms and hexahedra into tetrahedra", 1999).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# A cut nearer to a lattice point than this fraction of the edge moves the point (Labelle & Shewchuk, table 1).
_NEAR_LONG, _NEAR_SHORT = 0.24999, 0.41189


def _lattice(low: np.ndarray, high: np.ndarray, h: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Points and tetrahedra of the lattice over a box; points from the returned number on are cell centres."""
    n = np.ceil((high - low) / h).astype(int) + 2
    start = (low + high) / 2 - n * h / 2
    corner = np.stack(np.meshgrid(*[np.arange(v + 1) for v in n], indexing="ij"), -1).reshape(-1, 3)
    centre = np.stack(np.meshgrid(*[np.arange(v) for v in n], indexing="ij"), -1).reshape(-1, 3)
    points = start + h * np.concatenate([corner.astype(float), centre.astype(float) + 0.5])
    corner_step = np.array([(n[1] + 1) * (n[2] + 1), n[2] + 1, 1])
    centre_step = np.array([n[1] * n[2], n[2], 1])
    tets = []
    for axis in range(3):
        unit = np.eye(3, dtype=int)[axis]
        u, w = np.eye(3, dtype=int)[(axis + 1) % 3], np.eye(3, dtype=int)[(axis + 2) % 3]
        inner = centre[centre[:, axis] < n[axis] - 1]
        a, b = inner @ centre_step, (inner + unit) @ centre_step
        ring = [(inner + unit + s) @ corner_step for s in (0 * u, u, u + w, w)]
        tets += [np.stack([a + len(corner), b + len(corner), ring[i], ring[(i + 1) % 4]], 1) for i in range(4)]
    return points, np.concatenate(tets), len(corner)


def _roots(distance: Callable[[np.ndarray], np.ndarray], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The fraction of each segment a (inside) to b (outside) at which the distance changes sign, by bisection."""
    low, high = np.zeros(len(a)), np.ones(len(a))
    for _ in range(18):
        mid = (low + high) / 2
        inside = distance(a + mid[:, None] * (b - a)) < 0
        low, high = np.where(inside, mid, low), np.where(inside, high, mid)
    return (low + high) / 2


def stuff(
    distance: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray, h: float
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes [N, 3] and tetrahedra [T, 4] (positive volume) of the largest connected part of {distance < 0} in a box.

    `h` is the lattice constant; the solid should be at least two of them thick. Empty arrays where nothing is inside.
    """
    points, tets, corners = _lattice(low, high, h)
    value = distance(points)
    sign = np.where(value < 0, 1, -1)
    tets = tets[(sign[tets] > 0).any(1)]
    pairs = np.array([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])
    edges = np.unique(np.sort(tets[:, pairs].reshape(-1, 2), 1), axis=0)
    edges = edges[sign[edges[:, 0]] != sign[edges[:, 1]]]
    edges = np.where((sign[edges[:, 0]] > 0)[:, None], edges, edges[:, ::-1])  # inside first
    at = _roots(distance, points[edges[:, 0]], points[edges[:, 1]])
    long = (edges >= corners).all(1) | (edges < corners).all(1)
    near = np.where(long, _NEAR_LONG, _NEAR_SHORT)
    cut = points[edges[:, 0]] + at[:, None] * (points[edges[:, 1]] - points[edges[:, 0]])
    # Each point with a cut too near moves to its nearest one.
    who = np.concatenate([edges[at < near, 0], edges[at > 1 - near, 1]])
    to = np.concatenate([cut[at < near], cut[at > 1 - near]])
    far = np.linalg.norm(to - points[who], axis=1)
    order = np.argsort(-far, kind="stable")
    points[who[order]] = to[order]
    sign[who] = 0
    crossing = (sign[edges[:, 0]] > 0) & (sign[edges[:, 1]] < 0)
    edges, cut = edges[crossing], cut[crossing]
    key = np.sort(edges, 1) @ np.array([len(points), 1])
    order = np.argsort(key)
    key, cut = key[order], cut[order]
    base = len(points)
    points = np.concatenate([points, cut])

    def between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return base + np.searchsorted(key, np.minimum(a, b) * base + np.maximum(a, b))

    tets = tets[(sign[tets] > 0).any(1)]
    tets = np.take_along_axis(tets, np.argsort(-sign[tets], 1, kind="stable"), 1)  # inside, on, outside
    plus, minus = (sign[tets] > 0).sum(1), (sign[tets] < 0).sum(1)
    out = [tets[minus == 0]]
    for p, m in ((1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 1)):
        t = tets[(plus == p) & (minus == m)]
        if not len(t):
            continue
        a, b, c, d = t.T
        if p == 1:
            out.append(np.stack([a, *(between(a, x) if i >= 3 - m else x for i, x in enumerate((b, c, d)))], 1))
        elif (p, m) == (2, 1):
            out.append(_pyramid(np.stack([a, b, between(b, d), between(a, d)], 1), c))
        elif (p, m) == (2, 2):
            out.append(_prism(np.stack([a, between(a, c), between(a, d), b, between(b, c), between(b, d)], 1)))
        else:
            out.append(_prism(np.stack([a, b, c, between(a, d), between(b, d), between(c, d)], 1)))
    tets = np.concatenate(out)
    if not len(tets):
        return np.empty((0, 3)), np.empty((0, 4), int)
    tets = _largest_part(tets)
    used, tets = np.unique(tets, return_inverse=True)
    nodes, tets = points[used], tets.reshape(-1, 4)
    edge = nodes[tets[:, 1:]] - nodes[tets[:, :1]]
    flipped = np.linalg.det(edge) < 0
    tets[flipped] = tets[flipped][:, [0, 2, 1, 3]]
    return nodes, tets


def _pyramid(base: np.ndarray, apex: np.ndarray) -> np.ndarray:
    """Two tetrahedra per pyramid; `base` [n, 4] in cyclic order, split at its lowest-numbered corner."""
    first = base.argmin(1)
    q = np.take_along_axis(base, (first[:, None] + np.arange(4)) % 4, 1)
    return np.concatenate([np.column_stack([q[:, [0, 1, 2]], apex]), np.column_stack([q[:, [0, 2, 3]], apex])])


def _prism(v: np.ndarray) -> np.ndarray:
    """Three tetrahedra per prism [n, 6] (triangle 0 1 2 below 3 4 5), each side split at its lowest-numbered corner."""
    turns = np.array([list(map(int, t)) for t in ("012345", "120453", "201534", "354021", "435102", "543210")])
    v = np.take_along_axis(v, turns[v.argmin(1)], 1)  # the lowest number comes first
    up = np.minimum(v[:, 1], v[:, 5]) < np.minimum(v[:, 2], v[:, 4])
    a, b, c, d, e, f = v.T
    one = np.stack([np.stack(t, 1) for t in ((a, b, c, f), (a, b, f, e), (a, e, f, d))])
    two = np.stack([np.stack(t, 1) for t in ((a, b, c, e), (a, e, c, f), (a, e, f, d))])
    return np.where(up[None, :, None], one, two).reshape(-1, 4)


def _largest_part(tets: np.ndarray) -> np.ndarray:
    """The tetrahedra of the largest part connected through faces."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    faces = np.sort(tets[:, [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]], 2).reshape(-1, 3)
    _, number = np.unique(faces, axis=0, return_inverse=True)
    owner = np.repeat(np.arange(len(tets)), 4)
    order = np.argsort(number.reshape(-1), kind="stable")
    same = number.reshape(-1)[order][1:] == number.reshape(-1)[order][:-1]
    i, j = owner[order][:-1][same], owner[order][1:][same]
    _, label = connected_components(coo_matrix((np.ones(len(i)), (i, j)), shape=(len(tets), len(tets))), directed=False)
    return tets[label == np.bincount(label).argmax()]
