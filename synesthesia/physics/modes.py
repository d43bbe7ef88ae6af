"""Modes of a free solid: natural frequencies and mode shapes by quadratic finite elements.

One solve serves every size and every stiffness of a shape: for the unit body (largest dimension L = 1, E = 1, density
1) omega scales exactly as sqrt(E / density) / L. Poisson's ratio is the only constant that does not scale out, so each
shape is solved at two values, where the exact slopes are known too (Hellmann-Feynman), and log f is interpolated by
the cubic through both (within a few cents of a direct solve: tests/test_modes.py).

Bodies of revolution are solved one Fourier harmonic at a time on the half plane (r, z), u = (u_r cos n0, u_z cos n0,
u_0 sin n0) (Zienkiewicz & Taylor, The Finite Element Method, 5th ed., vol. 2, sec. 9.6); the strain is linear in n, so
everything is assembled once for all n. Block-like bodies use 20-node hexahedra and their mirror symmetries, other
bodies quadratic tetrahedra.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._elements import gauss, jacobians, serendipity
from .materials import Material
from .shapes import TET_EDGES, Shape

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix, csr_matrix

# The two Poisson's ratios of every solve.
POISSON: tuple[float, float] = (0.20, 0.42)
# Raise when the elements or the solver change: cached modes of older versions are then solved again.
VERSION = 2
_MOST_HARMONICS = 60

# What a solver returns: omega [2, K], slope [2, K], nodal displacements [K, N, 3], harmonic [K].
Solution = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Modes:
    """Elastic modes of the unit body, ascending at the first Poisson's ratio; rigid motions are left out.

    `omega` [2, K] rad/s at the two values of `POISSON` and `slope` [2, K] = d log(omega) / d(Poisson's ratio) there;
    `shapes` [K, V, 3] displacement at the shape's vertices, normalised to unit modal mass; `harmonic` [K] is n of the
    pairs cos n0, sin n0 of a body of revolution, else 0.
    """

    omega: np.ndarray
    slope: np.ndarray
    shapes: np.ndarray
    harmonic: np.ndarray

    @property
    def count(self) -> int:
        return self.omega.shape[1]


def lame(poisson: float) -> tuple[float, float]:
    """Lame's constants (lambda, mu) of a body with E = 1."""
    return poisson / ((1 + poisson) * (1 - 2 * poisson)), 0.5 / (1 + poisson)


def _slopes(poisson: float, omega2: np.ndarray, lam_energy: np.ndarray) -> np.ndarray:
    """d log(omega) / d(nu) from omega^2 = lambda a + mu b of normalised modes, where `lam_energy` is a."""
    lam, mu = lame(poisson)
    d_lam = (1 + 2 * poisson**2) / ((1 + poisson) * (1 - 2 * poisson)) ** 2
    d_mu = -0.5 / (1 + poisson) ** 2
    return (d_lam * lam_energy + d_mu * (omega2 - lam * lam_energy) / mu) / (2 * omega2)


def frequencies(modes: Modes, material: Material, size: float) -> np.ndarray:
    """Natural frequencies in Hz, [K], of a body of the given material and largest dimension `size` in metres."""
    width = POISSON[1] - POISSON[0]
    t = (material.poisson - POISSON[0]) / width
    a, b = np.log(modes.omega)
    da, db = modes.slope * width
    log = a + t * (da + t * (3 * (b - a) - 2 * da - db + t * (2 * (a - b) + da + db)))
    return np.exp(log) * material.wave_speed / (2 * math.pi * size)


def solve(shape: Shape, count: int = 128, cache: Path | None = None) -> Modes:
    """The lowest `count` elastic modes of `shape` (one fewer where that would split a pair of a body of revolution).

    `cache` is a folder where results are kept by content: a shape that was solved before, with at least as many modes,
    is read back.
    """
    path = None if cache is None else Path(cache) / f"{shape.key}-{count}-v{VERSION}.npz"
    if path is not None and path.exists():
        with np.load(path, allow_pickle=False) as stored:
            fields, omega, slope, harmonic = (stored[name] for name in ("fields", "omega", "slope", "harmonic"))
    else:
        solver = {"revolution": _revolution, "hex": _hexahedra, "tet": _tetrahedra}[shape.kind]
        omega, slope, fields, harmonic = solver(shape, count)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{os.getpid()}.part")
            with part.open("wb") as file:
                np.savez(file, fields=fields.astype(np.float32), omega=omega, slope=slope, harmonic=harmonic)
            part.replace(path)
    return Modes(omega, slope, _at_vertices(shape, fields, harmonic), harmonic)


def _at_vertices(shape: Shape, fields: np.ndarray, harmonic: np.ndarray) -> np.ndarray:
    """Displacements [K, V, 3] at the vertices from nodal fields [K, N, 3]; of a pair the second member has sin n0."""
    at = fields[:, shape.vertex_node].astype(float)
    if shape.kind == "revolution":
        angle = shape.vertex_angle
        c, s = np.cos(angle), np.sin(angle)
        second = np.concatenate([[False], (harmonic[1:] == harmonic[:-1]) & (harmonic[1:] > 0)])
        # Pairs stand next to each other with equal fields; of three or more equal harmonics every other is a second.
        for k in range(1, len(second)):
            second[k] = second[k] and not second[k - 1] and bool(np.array_equal(fields[k], fields[k - 1]))
        phase = np.outer(harmonic, angle) - np.where(second, np.pi / 2, 0.0)[:, None]
        even, odd = np.cos(phase), np.where(harmonic[:, None] > 0, np.sin(phase), 1.0)
        radial, axial, tangential = at[..., 0] * even, at[..., 1] * even, at[..., 2] * odd
        at = np.stack([radial * c - tangential * s, axial, -radial * s - tangential * c], -1)
    return (at @ shape.frame.T).astype(np.float32)


# ------------------------------------------------------------------------------------------------ sparse eigenvalues


class _Pattern:
    """Assembles matrices of elements [E, n nodes] with three unknowns per node, numbered 3 * node + component."""

    def __init__(self, elements: np.ndarray, count: int) -> None:
        n = elements.shape[1]
        rows, cols = np.repeat(elements, n, 1).ravel(), np.tile(elements, (1, n)).ravel()
        keys, self._slot = np.unique(rows.astype(np.int64) * count + cols, return_inverse=True)
        self._indices = (keys % count).astype(np.int32)
        self._indptr = np.searchsorted(keys, np.arange(count + 1, dtype=np.int64) * count).astype(np.int32)
        self._count = count

    def blocks(self, element_matrices: np.ndarray) -> np.ndarray:
        """Sums element matrices [E, n, 3, n, 3] into the 3x3 blocks of the pattern."""
        parts = element_matrices.transpose(2, 4, 0, 1, 3).reshape(9, -1)
        return np.stack([np.bincount(self._slot, p, len(self._indices)) for p in parts], -1).reshape(-1, 3, 3)

    def scalars(self, element_matrices: np.ndarray) -> np.ndarray:
        """The same for a scalar [E, n, n] that stands on the diagonal of every block (mass)."""
        return np.bincount(self._slot, element_matrices.ravel(), len(self._indices))[:, None, None] * np.eye(3)

    def matrix(self, blocks: np.ndarray) -> csr_matrix:
        from scipy.sparse import bsr_matrix

        size = 3 * self._count
        return bsr_matrix((blocks, self._indices, self._indptr), shape=(size, size)).tocsr()


Solve = Callable[[np.ndarray], np.ndarray]


def _factor(matrix: Any) -> Solve:
    """Solver of a symmetric sparse system; symmetric ordering and diagonal pivots halve the fill (SuperLU)."""
    from scipy.sparse.linalg import splu

    options = {"SymmetricMode": True}
    return splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options).solve


# Above this many unknowns block Krylov takes over from ARPACK: a triangular solve of many columns at once is about
# three times as fast per column.
_BLOCK_FROM, _BLOCK = 2500, 8


def _lowest(k: Any, m: Any, count: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """The lowest `count` eigenpairs of k x = w m x, x normalised by m, from the Krylov space of (k + shift m)^-1 m."""
    from scipy.linalg import eigh
    from scipy.sparse.linalg import LinearOperator, eigsh

    n = k.shape[0]
    count = min(count, n)
    if n <= 140 or count > n // 3:
        return eigh(k.toarray(), m.toarray(), subset_by_index=[0, count - 1])
    solve = _factor(k + shift * m)
    if n >= _BLOCK_FROM:
        return _block_krylov(solve, m, count, shift)
    inverse = LinearOperator((n, n), matvec=solve, dtype=float)  # ty: ignore
    start = np.cos(1.7 * np.arange(n)) + 0.3  # a fixed start: the same modes in every run
    w, x = eigsh(k, count, M=m, sigma=-shift, OPinv=inverse, v0=start, ncv=min(n, 2 * count + 12), tol=1e-9)
    order = np.argsort(w)
    return w[order], x[:, order]


def _block_krylov(solve: Solve, m: Any, count: int, shift: float, tol: float = 1e-5) -> tuple[np.ndarray, np.ndarray]:
    """Block Lanczos with full reorthogonalisation on solve(m x), until `count` Ritz values have residuals below `tol`.

    The relative error of an eigenvalue is of the order of tol squared.
    """
    from scipy.linalg import eigh

    n = m.shape[0]
    room = min(n // 2, 6 * count + 4 * _BLOCK)
    q, mq = np.empty((n, room), order="F"), np.empty((n, room), order="F")
    h = np.zeros((room, room))
    w = np.random.default_rng(0).standard_normal((n, _BLOCK))
    size = last = 0
    while True:
        # Two rounds of Gram-Schmidt in the inner product of m, then an orthonormal block; r couples it to the last one.
        coefficients = np.zeros((size, w.shape[1]))
        for _ in range(2):
            c = mq[:, :size].T @ w
            w -= q[:, :size] @ c
            coefficients += c
        mw = m @ w
        s, u = np.linalg.eigh(w.T @ mw)
        keep = s > 1e-14 * s[-1]
        r = (u[:, keep] * np.sqrt(s[keep])).T
        if size:
            h[:size, size - last : size] = coefficients
            h[size - last : size, :size] = coefficients.T
            full = size + _BLOCK > room
            if full or (size >= 1.8 * count and (size // _BLOCK) % 2 == 0):
                theta, y = eigh(h[:size, :size], subset_by_index=[size - count, size - 1])
                residual = np.linalg.norm(r @ y[size - last :], axis=0)
                if full or (residual < tol * theta).all():
                    return 1 / theta[::-1] - shift, q[:, :size] @ y[:, ::-1]
        last = int(keep.sum())
        to = u[:, keep] / np.sqrt(s[keep])
        q[:, size : size + last], mq[:, size : size + last] = w @ to, mw @ to
        size += last
        w = solve(mq[:, size - last : size])


def _both(
    k: tuple[Any, Any], m: Any, count: int, rigid: int | float, shift: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Elastic eigenpairs at both Poisson's ratios: (omega2 [2, n], slopes [2, n], vectors at the first [size, n]).

    `k`: the parts of the stiffness that lambda and mu multiply. `rigid`: how many rigid motions come first, or (a
    float) the eigenvalue below which a motion is rigid. The second set follows from the first by Rayleigh-Ritz on the
    old modes x and one inverse iteration b of them at the second ratio; each old mode takes the new one it overlaps
    most.
    """
    from scipy.linalg import eigh
    from scipy.optimize import linear_sum_assignment

    (lam1, mu1), (lam2, mu2) = map(lame, POISSON)
    w, x = _lowest(lam1 * k[0] + mu1 * k[1], m, count, shift)
    first = rigid if isinstance(rigid, int) else int((w < rigid).sum())
    n = len(w)
    k2 = (lam2 * k[0] + mu2 * k[1]).tocsc()
    mx = m @ x
    b = _factor(k2 + shift * m)(mx)
    b /= np.sqrt((b * (m @ b)).sum(0))
    for _ in range(2):
        b -= x @ (mx.T @ b)  # only what is new: the small matrices below stay well conditioned
    basis = np.concatenate([x, b], 1)
    gram, stiff, lam_part = (basis.T @ (a @ basis) for a in (m, k2, k[0]))
    s, u = np.linalg.eigh((gram + gram.T) / 2)
    keep = s > 1e-11 * s[-1]
    to = u[:, keep] / np.sqrt(s[keep])
    w2, y = eigh(to.T @ (stiff + stiff.T) @ to / 2)
    y = to @ y
    cols = linear_sum_assignment(-np.abs(gram[:n] @ y))[1]
    w2, y = w2[cols], y[:, cols]
    energy = np.diag(lam_part)[:n], np.einsum("ik,ik->k", y, lam_part @ y)
    slopes = [_slopes(v, a[first:], e[first:]) for v, a, e in zip(POISSON, (w, w2), energy, strict=True)]
    return np.array([w[first:], w2[first:]]), np.array(slopes), x[:, first:]


def _shift(shape: Shape) -> float:
    """A shift well below the first elastic eigenvalue of a thin body, for stable factors next to the rigid motions."""
    return 0.05 * min(shape.wall, 0.5) ** 2


def _thin(shape: Shape) -> bool:
    """Elements much longer than thick: reduced integration of the stiffness keeps them from locking in bending."""
    return bool(shape.wall < 0.25)


# ------------------------------------------------------------------------------------------------ bodies of revolution


def _revolution(shape: Shape, count: int) -> Solution:
    nodes, quads = shape.nodes, shape.elements
    pattern = _Pattern(quads, len(nodes))
    trace, shear = _strain_parts(nodes, quads, 2 if _thin(shape) else 3)
    parts = []  # of lambda and of mu: the coefficients of 1, n, n^2
    for b0, b1 in (trace, shear):
        b0t, b1t = b0.transpose(0, 2, 1), b1.transpose(0, 2, 1)
        cross = b0t @ b1
        powers = (b0t @ b0, cross + cross.transpose(0, 2, 1), b1t @ b1)
        parts.append([pattern.blocks(v.reshape(-1, 8, 3, 8, 3)) for v in powers])
    det, _ = jacobians(nodes, quads, 3)
    n3 = serendipity(3, 2)[0]
    weight = det * gauss(3, 2)[1] * (nodes[quads][..., 0] @ n3.T)
    mass = pattern.matrix(pattern.scalars(np.einsum("ep,pa,pb->eab", weight, n3, n3, optimize=True)))

    found: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def harmonic(n: int, wanted: int) -> None:
        keep = _axis_condition(nodes, n)
        k = tuple((keep.T @ pattern.matrix(p[0] + n * p[1] + n * n * p[2]) @ keep).tocsc() for p in parts)
        rigid = 2 if n < 2 else 0
        w, slopes, x = _both(k, (keep.T @ mass @ keep).tocsc(), wanted + rigid, rigid, _shift(shape))
        found[n] = w, slopes, (keep @ x).T / math.sqrt(2 * math.pi if n == 0 else math.pi)

    def limit() -> float:
        """The eigenvalue below which `count` modes are known so far."""
        w = np.concatenate([np.repeat(v[0][0], 1 if n == 0 else 2) for n, v in found.items()])
        return float(np.partition(w, count - 1)[count - 1]) if len(w) >= count else math.inf

    above = 0
    for n in range(_MOST_HARMONICS):
        harmonic(n, 10 if n > 1 else 8)
        above = above + 1 if found[n][0][0, 0] > limit() else 0
        if n >= 4 and above >= 2:
            break
    while incomplete := [n for n, v in found.items() if v[0][0, -1] < limit() and v[0].shape[1] < len(nodes)]:
        for n in incomplete:
            harmonic(n, 2 * found[n][0].shape[1])

    rows = sorted((w, n, i) for n, v in found.items() for i, w in enumerate(v[0][0]))
    omega, slope, fields, number = [], [], [], []
    for _, n, i in rows:
        members = 1 if n == 0 else 2
        if len(omega) + members > count:
            break
        w, s, x = found[n]
        for _ in range(members):
            omega.append(np.sqrt(w[:, i]))
            slope.append(s[:, i])
            fields.append(x[i].reshape(-1, 3))
            number.append(n)
    return np.array(omega).T, np.array(slope).T, np.array(fields), np.array(number, np.int32)


def _strain_parts(nodes: np.ndarray, quads: np.ndarray, order: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Strain-displacement matrices B = B0 + n B1 with the weights in: trace [E, P, 24] and sqrt-mu parts [E, 6P, 24].

    Energy = lambda |trace|^2 + mu (2 e_rr^2 + 2 e_zz^2 + 2 e_00^2 + g_rz^2 + g_r0^2 + g_z0^2), integrated over r dr dz.
    """
    det, grad = jacobians(nodes, quads, order)
    shape_n = serendipity(order, 2)[0]
    e, p = det.shape
    radius = nodes[quads][..., 0] @ shape_n.T
    root = np.sqrt(det * gauss(order, 2)[1] * radius)[..., None]
    n_r = shape_n[None] / radius[..., None]
    dr, dz = grad[..., 0], grad[..., 1]
    b0, b1 = np.zeros((2, e, p, 6, 24))
    r, z, t = slice(0, 24, 3), slice(1, 24, 3), slice(2, 24, 3)
    b0[:, :, 0, r] = dr
    b0[:, :, 1, z] = dz
    b0[:, :, 2, r] = n_r
    b1[:, :, 2, t] = n_r
    b0[:, :, 3, r], b0[:, :, 3, z] = dz, dr
    b0[:, :, 4, t] = dr - n_r
    b1[:, :, 4, r] = -n_r
    b0[:, :, 5, t] = dz
    b1[:, :, 5, z] = -n_r
    weight = root[..., None] * np.sqrt(np.array([2.0, 2, 2, 1, 1, 1]))[:, None]
    trace = tuple(b[:, :, :3].sum(2) * root for b in (b0, b1))
    return trace, tuple((b * weight).reshape(e, 6 * p, 24) for b in (b0, b1))


def _axis_condition(nodes: np.ndarray, n: int) -> csc_matrix:
    """Columns that span the displacements regular on the axis r = 0 for harmonic n."""
    from scipy.sparse import csc_matrix

    axis = nodes[:, 0] < 1e-9
    free = np.repeat(~axis[:, None], 3, 1)
    if n == 0:
        free[axis, 1] = True
    if n == 1:
        free[axis, 0] = True
    rows = np.flatnonzero(free.ravel())
    cols = np.arange(len(rows))
    values = np.ones(len(rows))
    if n == 1:  # on the axis the body moves sideways as a whole: u_0 = -u_r
        at = np.flatnonzero(axis)
        rows = np.concatenate([rows, 3 * at + 2])
        cols = np.concatenate([cols, np.searchsorted(rows[: len(cols)], 3 * at)])
        values = np.concatenate([values, -np.ones(len(at))])
    return csc_matrix((values, (rows, cols)), shape=(free.size, int(free.sum())))


# ------------------------------------------------------------------------------------------------ blocks of hexahedra


def _solid_parts(grad: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What lambda and mu multiply in element stiffness [E, n, 3, n, 3]; gradients [E, P, n, 3], weights [E, P]."""
    lam = np.einsum("epai,epbj->eaibj", grad * weight[..., None, None], grad, optimize=True)
    laplace = np.einsum("eaibi->eab", lam)
    return lam, lam.transpose(0, 1, 4, 3, 2) + laplace[:, :, None, :, None] * np.eye(3)[None, None, :, None, :]


def _hexahedra(shape: Shape, count: int) -> Solution:
    nodes, hexes = shape.nodes, shape.elements
    pattern = _Pattern(hexes, len(nodes))
    order = 2 if _thin(shape) else 3
    det, grad = jacobians(nodes, hexes, order)
    stiffness = [pattern.matrix(pattern.blocks(v)) for v in _solid_parts(grad, det * gauss(order, 3)[1])]
    n3 = serendipity(3, 3)[0]
    weight = jacobians(nodes, hexes, 3)[0] * gauss(3, 3)[1]
    mass = pattern.matrix(pattern.scalars(np.einsum("ep,pa,pb->eab", weight, n3, n3, optimize=True)))
    return _by_symmetry(shape, stiffness, mass, count)


def _mirrors(nodes: np.ndarray, elements: np.ndarray) -> dict[int, np.ndarray]:
    """Axes across whose middle plane the mesh is its own mirror image, with the mirrored number of every node."""
    centre = (nodes.max(0) + nodes.min(0)) / 2
    code = np.round((nodes - centre) * 1e6).astype(np.int64)
    order = np.lexsort(code.T)
    cells = np.unique(np.sort(elements, 1), axis=0)
    mirrors = {}
    for axis in range(3):
        flipped = code.copy()
        flipped[:, axis] *= -1
        back = np.lexsort(flipped.T)
        if not np.abs(code[order] - flipped[back]).max() <= 2:
            continue
        image = np.empty(len(nodes), np.int64)
        image[back] = order
        if np.array_equal(np.unique(np.sort(image[elements], 1), axis=0), cells):
            mirrors[axis] = image
    return mirrors


def _by_symmetry(shape: Shape, stiffness: list[Any], mass: Any, count: int) -> Solution:
    """Modes of each class of mirror symmetry by itself: up to eight eigenproblems of an eighth of the size."""
    mirrors = _mirrors(shape.nodes, shape.elements)
    axes = list(mirrors)
    rows = (*stiffness, mass)
    classes = []
    for signs in itertools.product((1, -1), repeat=len(axes)):
        span, keep, scale = _class_span(len(shape.nodes), mirrors, dict(zip(axes, signs, strict=True)))
        # Matrices commute with the mirrors, so only the rows of one member of each orbit are needed.
        classes.append((span, [(a[keep] @ span).multiply(scale[:, None]).tocsc() for a in rows]))
    total = len(classes)
    wanted = [int(1.35 * count / total) + (8 if total > 1 else 6)] * total
    found: list[Any] = [None] * total
    while True:
        for c, (_, (*k, m)) in enumerate(classes):
            if found[c] is None:
                rigid = 1e-5 * min(shape.wall, 0.5) ** 2
                w, slopes, x = _both(tuple(k), m, wanted[c], rigid, _shift(shape))
                found[c] = w, slopes, x
        limit = np.sort(np.concatenate([f[0][0] for f in found]))[count - 1 :][:1]
        short = [c for c, f in enumerate(found) if not len(limit) or (f[0].shape[1] and f[0][0, -1] < limit[0])]
        short = [c for c in short if wanted[c] < classes[c][1][0].shape[0]]
        if not short:
            break
        for c in short:
            found[c], wanted[c] = None, int(1.7 * wanted[c])
    ranked = sorted((w, c, i) for c, f in enumerate(found) for i, w in enumerate(f[0][0]))[:count]
    omega = np.sqrt(np.array([found[c][0][:, i] for _, c, i in ranked])).T
    slope = np.array([found[c][1][:, i] for _, c, i in ranked]).T
    fields = np.array([(classes[c][0] @ found[c][2][:, i]).reshape(-1, 3) for _, c, i in ranked])
    return omega, slope, fields, np.zeros(len(ranked), np.int32)


def _class_span(
    count: int, mirrors: dict[int, np.ndarray], signs: dict[int, int]
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Orthonormal columns of the displacements with the given parity under each mirror.

    Returns (columns [3N, n], one row of each column's orbit [n], factor that turns (A columns)[row] into the matrix of
    the class).
    """
    from scipy.sparse import coo_matrix

    node = np.arange(count)
    images, flips = [], []
    for group in itertools.product((False, True), repeat=len(signs)):
        image, flip = node, np.ones(3)
        for on, (axis, sign) in zip(group, signs.items(), strict=True):
            if on:
                image = mirrors[axis][image]
                flip = flip * sign
                flip[axis] *= -1
        images.append(image)
        flips.append(flip)
    head = np.flatnonzero(np.min(images, axis=0) == node)
    rows = np.concatenate([(3 * image[head][:, None] + np.arange(3)).ravel() for image in images])
    values = np.concatenate([np.tile(flip, len(head)) for flip in flips])
    cols = np.tile(np.arange(3 * len(head)), len(images))
    span = coo_matrix((values, (rows, cols)), shape=(3 * count, 3 * len(head))).tocsc()
    norm = np.sqrt(np.asarray(span.multiply(span).sum(0)).ravel())
    good = norm > 0.5
    keep = (3 * head[:, None] + np.arange(3)).ravel()[good]
    span = span[:, np.flatnonzero(good)].multiply(1 / norm[good]).tocsc()
    span.eliminate_zeros()
    at = np.asarray(span[keep, np.arange(len(keep))]).ravel()
    return span, keep, 1 / at


# ------------------------------------------------------------------------------------------------ tetrahedra


# The mass matrix of a straight quadratic tetrahedron over its volume / 420 (corners, then the edges of TET_EDGES).
def _tet_mass() -> np.ndarray:
    ends = np.zeros((6, 4))
    ends[np.arange(6)[:, None], TET_EDGES] = 1
    shared = ends @ ends.T
    corner = np.ones((4, 4)) + 5 * np.eye(4)
    mixed = -6 + 2 * ends.T
    return np.block([[corner, mixed], [mixed.T, 8 + 8 * (shared == 1) + 24 * np.eye(6)]]) / 420


def _tetrahedra(shape: Shape, count: int) -> Solution:
    """Quadratic tetrahedra with straight edges: four Gauss points are exact (tests compare with scikit-fem)."""
    nodes, tets = shape.nodes, shape.elements
    edge = nodes[tets[:, 1:4]] - nodes[tets[:, :1]]
    volume = np.linalg.det(edge) / 6
    corner_grad = np.empty((len(tets), 4, 3))
    corner_grad[:, 1:] = np.linalg.inv(edge).transpose(0, 2, 1)
    corner_grad[:, 0] = -corner_grad[:, 1:].sum(1)
    inner, outer = 0.5854101966249685, 0.1381966011250105
    at = np.full((4, 4), outer) + (inner - outer) * np.eye(4)  # barycentric coordinates of the points
    grad = np.empty((len(tets), 4, 10, 3))
    grad[:, :, :4] = (4 * at - 1)[None, :, :, None] * corner_grad[:, None]
    a, b = TET_EDGES.T
    ends = [at[None, :, i, None] * corner_grad[:, None, j] for i, j in ((a, b), (b, a))]
    grad[:, :, 4:] = 4 * (ends[0] + ends[1])
    pattern = _Pattern(tets, len(nodes))
    weight = np.repeat(volume[:, None] / 4, 4, 1)
    lam, mu = (pattern.matrix(pattern.blocks(v)).tocsc() for v in _solid_parts(grad, weight))
    mass = pattern.matrix(pattern.scalars(volume[:, None, None] * _tet_mass())).tocsc()
    w, slope, x = _both((lam, mu), mass, count + 6, 6, _shift(shape))
    return np.sqrt(w), slope, x.T.reshape(-1, len(nodes), 3), np.zeros(w.shape[1], np.int32)
