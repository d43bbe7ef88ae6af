"""Quadratic serendipity elements (8-node quadrilateral, 20-node hexahedron) and Gauss rules on [-1, 1]^d.

Shape functions after Zienkiewicz & Taylor, The Finite Element Method, 5th ed., vol. 1, sec. 8.6-8.8.
"""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np

# Node positions: corners, then mid-sides.
Q8 = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (0, -1), (1, 0), (0, 1), (-1, 0)], float)
_CORNERS = [(-1, -1, -1), (1, -1, -1), (1, 1, -1), (-1, 1, -1), (-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)]
_EDGES = [p for p in itertools.product((-1, 0, 1), repeat=3) if p.count(0) == 1]
H20 = np.array(_CORNERS + _EDGES, float)


@cache
def gauss(order: int, dims: int) -> tuple[np.ndarray, np.ndarray]:
    """Points [P, dims] and weights [P] of the product rule with `order` points along each axis."""
    x, w = np.polynomial.legendre.leggauss(order)
    points = np.array(list(itertools.product(x, repeat=dims)))
    weights = np.array([np.prod(c) for c in itertools.product(w, repeat=dims)])
    return points, weights


@cache
def serendipity(order: int, dims: int) -> tuple[np.ndarray, np.ndarray]:
    """Shape functions N [P, n] and their derivatives [P, n, dims] at the Gauss points of `gauss(order, dims)`."""
    nodes = Q8 if dims == 2 else H20
    x = gauss(order, dims)[0][:, None, :]
    s = nodes[None]
    free = s == 0
    one = 1 + x * s  # the linear factor of each direction, 1 where the node sits in the middle
    factor = np.where(free, 1 - x * x, one)
    slope = np.where(free, -2 * x, s + 0 * x)
    corner = ~free.any(-1)
    product = factor.prod(-1)
    total = (x * s).sum(-1) - (dims - 1)
    scale = np.where(corner, 0.5**dims, 0.5 ** (dims - 1))
    n = scale * np.where(corner, product * total, product)
    dn = np.empty((*n.shape, dims))
    for a in range(dims):
        others = np.delete(factor, a, -1).prod(-1)
        d = slope[..., a] * others
        dn[..., a] = scale * np.where(corner, d * total + product * s[..., a], d)
    return n, dn


def jacobians(nodes: np.ndarray, elements: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Determinants [E, P] and physical derivatives of the shape functions [E, P, n, d] at the Gauss points."""
    dims = nodes.shape[1]
    dn = serendipity(order, dims)[1]
    jacobian = np.einsum("pna,enb->epab", dn, nodes[elements], optimize=True)  # dx_b / dxi_a
    det = np.linalg.det(jacobian)
    with np.errstate(all="ignore"):
        inverse = np.linalg.inv(np.where((np.abs(det) > 0)[..., None, None], jacobian, np.eye(dims)))
    return det, np.einsum("epba,pna->epnb", inverse, dn, optimize=True)
