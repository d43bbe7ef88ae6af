"""Modes against closed forms: bars, plates, spheres, scaling laws, refinement, Poisson's ratio, and tetrahedra."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import eigh

from synesthesia.physics import modes as modal
from synesthesia.physics import shapes
from synesthesia.physics.materials import MATERIALS, Material
from synesthesia.physics.modes import Modes, frequencies, solve
from synesthesia.physics.shapes import Shape

STEEL = MATERIALS["steel"]


def unit(poisson: float) -> Material:
    return dataclasses.replace(STEEL, youngs_modulus=1.0, density=1.0, poisson=poisson)


def omega(m: Modes, poisson: float) -> np.ndarray:
    return np.sort(2 * math.pi * frequencies(m, unit(poisson), 1.0))


def cents(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(1200 * np.log2(np.asarray(a) / np.asarray(b)))


def bar(h: float, along: int = 40, w: float | None = None) -> Shape:
    lines = [np.linspace(0, 1, along + 1), np.linspace(0, h, 3), np.linspace(0, 0.9 * h if w is None else w, 3)]
    filled = np.ones([len(g) - 1 for g in lines], bool)
    return shapes.blocks_of("bar", lines, filled, params={}, wall=h, hollow=False)


def disc(t: float, count: int = 16) -> Shape:
    curve = np.array([(0.0, 0.0), (0.5, 0.0)])
    return shapes.revolve("disc", [shapes._shell(curve, t, count)], params={}, wall=t, hollow=False)


def bending(m: Modes, axis: int) -> np.ndarray:
    """omega of the bending modes along one axis: those that move mostly that way (a twist moves both ways alike)."""
    motion = (m.shapes.astype(float) ** 2).sum(1)
    return m.omega[0][motion[:, axis] > 0.65 * motion.sum(1)]


def timoshenko(h: float, poisson: float, count: int) -> np.ndarray:
    """omega of a free-free Timoshenko bar (L = E = density = 1), by Galerkin's method with Legendre polynomials.

    Shear coefficient of a rectangle: Cowper, J. Appl. Mech. 33 (1966). Polynomials of degree 24 are exact here.
    """
    n = 25
    x, weight = np.polynomial.legendre.leggauss(40)
    p = np.stack([np.polynomial.legendre.Legendre.basis(k)(x) for k in range(n)])
    d = 2 * np.stack([np.polynomial.legendre.Legendre.basis(k).deriv()(x) for k in range(n)])  # d/dx on [0, 1]
    inner = lambda a, b: (a * weight / 2) @ b.T  # noqa: E731
    kappa = 10 * (1 + poisson) / (12 + 11 * poisson)
    shear = kappa / (2 * (1 + poisson))
    inertia = h * h / 12
    k = np.block([[shear * inner(d, d), -shear * inner(d, p)],
                  [-shear * inner(p, d), inertia * inner(d, d) + shear * inner(p, p)]])  # fmt: skip
    m = np.block([[inner(p, p), np.zeros((n, n))], [np.zeros((n, n)), inertia * inner(p, p)]])
    w = eigh(k, m, eigvals_only=True)
    return np.sqrt(w[w > 1e-6][:count])


def test_slender_bar_is_eulers() -> None:
    m = solve(bar(1 / 40), 24)
    beta = np.array([4.730041, 7.853205, 10.995608])
    euler = beta**2 / 40 / math.sqrt(12)
    assert np.abs(bending(m, 1)[:3] / euler - 1).max() < 0.02


def test_thick_bar_is_timoshenkos() -> None:
    m = solve(bar(1 / 10), 24)
    assert np.abs(bending(m, 1)[:3] / timoshenko(0.1, 0.20, 3) - 1).max() < 0.02
    # and not Euler's: the second overtone is far below 5.404
    assert bending(m, 1)[2] / bending(m, 1)[0] == pytest.approx(4.80, abs=0.05)


def test_circular_free_plate() -> None:
    t = 0.005
    m = solve(disc(t), 20)
    lam2 = omega(m, 0.33) * 0.25 * math.sqrt(12 * (1 - 0.33**2)) / t
    found = [lam2[0], lam2[2], lam2[3]]  # harmonics 2, 0, 3
    np.testing.assert_allclose(found, [5.25, 9.08, 12.2], rtol=0.01)
    assert m.harmonic[:5].tolist() == [2, 2, 0, 3, 3]


def test_solid_sphere() -> None:
    # Torsional (n = 2): ka = 2.5011 in shear waves; Lamb, Proc. London Math. Soc. 13 (1882).
    m = solve(
        shapes.revolve("ball", shapes._round_section(0, 0.5, 0.5, 3, half=True), params={}, wall=1.0, hollow=False), 30
    )
    shear = math.sqrt(0.5 / 1.3)
    expected = 2.5011 * shear / 0.5
    assert np.abs(omega(m, 0.30)[:5] / expected - 1).max() < 0.003  # five-fold


def test_refinement_converges() -> None:
    rng = np.random.default_rng(4)
    pts = [(0, 0), (0.2, 0), (0.45, 0.1), (0.5, 0.35)]
    t = float(rng.uniform(0.02, 0.03))
    build = lambda n: shapes.revolve("b", [shapes._shell(shapes._curve(pts), t, n)], params={}, wall=t, hollow=True)  # noqa: E731
    coarse, middle, fine = (solve(build(n), 20).omega[0] for n in (4, 10, 30))
    assert cents(middle, fine).max() < 0.3 * cents(coarse, fine).max()
    assert cents(middle, fine).max() < 3
    rough, smooth = solve(bar(0.1, 10), 12).omega[0], solve(bar(0.1, 40), 12).omega[0]
    assert (rough >= smooth - 1e-9).all()  # coarse elements are too stiff
    assert cents(rough, smooth)[:4].max() < 25


def test_size_and_stiffness_scale_exactly() -> None:
    m = solve(disc(0.03), 12)
    f = frequencies(m, STEEL, 0.2)
    np.testing.assert_allclose(frequencies(m, STEEL, 0.4), f / 2, rtol=1e-12)
    stiffer = dataclasses.replace(STEEL, youngs_modulus=2 * STEEL.youngs_modulus)
    np.testing.assert_allclose(frequencies(m, stiffer, 0.2), f * math.sqrt(2), rtol=1e-12)
    denser = dataclasses.replace(STEEL, density=2 * STEEL.density)
    np.testing.assert_allclose(frequencies(m, denser, 0.2), f / math.sqrt(2), rtol=1e-12)


@pytest.mark.parametrize("name", ["bowl", "sphere_solid", "box_solid", "bottle"])
def test_poissons_ratio_between_the_two_solves(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = shapes.FAMILIES[name](np.random.default_rng(4))
    m = solve(shape, 60)
    monkeypatch.setattr(modal, "POISSON", (0.30, 0.31))
    direct = solve(shape, 40)
    off = cents(omega_at(m, 0.30)[:30], np.sort(direct.omega[0])[:30])
    assert np.median(off) < 1
    assert off[:8].max() < 10


def omega_at(m: Modes, poisson: float) -> np.ndarray:
    saved = modal.POISSON
    modal.POISSON = (0.20, 0.42)
    try:
        return omega(m, poisson)
    finally:
        modal.POISSON = saved


def test_second_ratio_follows_the_first() -> None:
    # A mode of pure shear (the twist of a bar) goes with 1 / sqrt(2 (1 + nu)), a slender bar's bending stays.
    m = solve(shapes.FAMILIES["rod"](np.random.default_rng(1)), 20)
    ratio = m.omega[1] / m.omega[0]
    assert ratio[0] == pytest.approx(1, abs=0.01)
    assert np.abs(ratio - math.sqrt(1.2 / 1.42)).min() < 1e-4
    # Exact slopes: a small step along them is the small change of log omega.
    twist = int(np.abs(ratio - math.sqrt(1.2 / 1.42)).argmin())
    assert m.slope[0, twist] == pytest.approx(-0.5 / 1.2, rel=1e-3)


def kuhn(shape: Shape) -> Shape:
    """The same body as tetrahedra, six to a hexahedron."""
    six = np.array([[0, 1, 2, 6], [0, 2, 3, 6], [0, 3, 7, 6], [0, 7, 4, 6], [0, 4, 5, 6], [0, 5, 1, 6]])
    used, cells = np.unique(shape.elements[:, :8], return_inverse=True)
    tets = cells.reshape(-1, 8)[:, six].reshape(-1, 4)
    return shapes.tetrahedra_of("t", shape.nodes[used], tets, params={}, wall=shape.wall, hollow=False)


def revolved_tetrahedra(block: np.ndarray, sectors: int, wall: float) -> Shape:
    """A body of revolution away from its axis as tetrahedra around the axis."""
    corner = block[::2, ::2]
    a, b = corner.shape[:2]
    angle = 2 * np.pi * np.arange(sectors) / sectors
    r, z = corner[..., 0], corner[..., 1]
    # Vertices of a regular polygon of the same area as the circle.
    r = r * math.sqrt(2 * np.pi / sectors / math.sin(2 * np.pi / sectors))
    nodes = np.stack(
        [r[..., None] * np.cos(angle), np.broadcast_to(z[..., None], (a, b, sectors)), -r[..., None] * np.sin(angle)],
        -1,
    )
    index = np.arange(a * b * sectors).reshape(a, b, sectors)
    i, j, k = (v.ravel() for v in np.meshgrid(np.arange(a - 1), np.arange(b - 1), np.arange(sectors), indexing="ij"))
    steps = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)]
    hexes = np.stack([index[i + p, j + q, (k + s) % sectors] for p, q, s in steps], 1)
    six = np.array([[0, 1, 2, 6], [0, 2, 3, 6], [0, 3, 7, 6], [0, 7, 4, 6], [0, 4, 5, 6], [0, 5, 1, 6]])
    tets = hexes[:, six].reshape(-1, 4)
    points = nodes.reshape(-1, 3)
    flipped = np.linalg.det(points[tets[:, 1:]] - points[tets[:, :1]]) < 0
    tets[flipped] = tets[flipped][:, [0, 2, 1, 3]]
    return shapes.tetrahedra_of("t", points, tets, params={}, wall=wall, hollow=True)


def test_body_of_revolution_agrees_with_tetrahedra() -> None:
    t = 0.06
    curve = shapes._curve([(0.5, 0), (0.36, 0.3), (0.3, 0.8)])
    block = shapes._shell(curve, t, 7)
    ring = shapes.revolve("funnel", [block], params={}, wall=t, hollow=True)
    solid = revolved_tetrahedra(block, 28, t)
    a, b = solve(ring, 14), solve(solid, 14)
    assert solid.volume == pytest.approx(ring.volume, rel=0.02)
    # Straight tetrahedra are a little too stiff and the polygon a little off.
    assert cents(a.omega[0][:12], b.omega[0][:12]).max() < 45
    # The same doublets: both members of each pair stand beside each other.
    assert cents(b.omega[0][0], b.omega[0][1]) < 5
    # Unit modal mass in both: the same mean square motion over the surface.
    mean = [
        (m.shapes[:2].astype(float) ** 2).sum(-1) @ s.vertex_areas() / s.vertex_areas().sum()
        for m, s in ((a, ring), (b, solid))
    ]
    np.testing.assert_allclose(mean[0].sum(), mean[1].sum(), rtol=0.05)


def test_hexahedra_agree_with_tetrahedra_and_scikit_fem() -> None:
    fem = pytest.importorskip("skfem")
    lines = [np.linspace(0, 1, 6), np.linspace(0, 0.4, 3), np.linspace(0, 0.55, 4)]
    box = shapes.blocks_of("b", lines, np.ones((5, 2, 3), bool), params={}, wall=0.4, hollow=False)
    tets = kuhn(box)
    a, b = solve(box, 16), solve(tets, 16)
    assert cents(a.omega[0], b.omega[0])[:8].max() < 40
    assert cents(a.omega[1], b.omega[1])[:8].max() < 40
    from skfem.helpers import ddot, div, sym_grad

    corners = int(tets.elements[:, :4].max()) + 1
    mesh = fem.MeshTet(tets.nodes[:corners].T.copy(), tets.elements[:, :4].T.astype(np.int64).copy())
    basis = fem.Basis(mesh, fem.ElementVector(fem.ElementTetP2()), intorder=4)
    lam, mu = modal.lame(0.20)
    k = fem.BilinearForm(lambda u, v, w: lam * div(u) * div(v) + 2 * mu * ddot(sym_grad(u), sym_grad(v))).assemble(
        basis
    )
    m = fem.BilinearForm(lambda u, v, w: u[0] * v[0] + u[1] * v[1] + u[2] * v[2]).assemble(basis)
    w = eigh(k.toarray(), m.toarray(), eigvals_only=True, subset_by_index=[6, 21])
    np.testing.assert_allclose(b.omega[0], np.sqrt(w), rtol=1e-6)


def test_symmetry_loses_no_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = shapes.FAMILIES["fork"](np.random.default_rng(8))
    with_mirrors = solve(shape, 40).omega[0]
    monkeypatch.setattr(modal, "_mirrors", lambda nodes, elements: {})
    without = solve(shape, 40).omega[0]
    np.testing.assert_allclose(with_mirrors, without, rtol=1e-6)


def test_modes_are_orthonormal_motions() -> None:
    # Unit modal mass: for a rigid-like check, a free bar's first bending has mean square end-to-end motion 1 / volume.
    shape = bar(1 / 30)
    m = solve(shape, 8)
    x = np.linspace(0, 1, 2001)
    beta, sigma = 4.730041, 0.982502
    phi = np.cosh(beta * x) + np.cos(beta * x) - sigma * (np.sinh(beta * x) + np.sin(beta * x))
    phi = phi / math.sqrt(np.mean(phi**2)) / math.sqrt(shape.volume)
    first = m.shapes[0]
    axis = int((first.astype(float) ** 2).sum(0).argmax())
    end = np.abs(first[shape.vertices[:, 0] > 0.4999, axis]).mean()
    assert end == pytest.approx(abs(phi[-1]), rel=0.01)


def test_cache_is_by_content(tmp_path: Path) -> None:
    shape = shapes.FAMILIES["bowl"](np.random.default_rng(2))
    first = solve(shape, 20, cache=tmp_path)
    files = list(tmp_path.iterdir())
    assert len(files) == 1
    assert shape.key in files[0].name
    again = solve(shape, 20, cache=tmp_path)
    np.testing.assert_array_equal(first.omega, again.omega)
    np.testing.assert_allclose(first.shapes, again.shapes, rtol=1e-5, atol=1e-6)
    solve(shapes.FAMILIES["bowl"](np.random.default_rng(3)), 20, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", sorted(shapes.FAMILIES))
def test_every_family_rings(name: str) -> None:
    shape = shapes.FAMILIES[name](np.random.default_rng(11))
    start = time.process_time()
    m = solve(shape, 24)
    assert time.process_time() - start < 10
    assert 23 <= m.count <= 24
    assert m.omega[0, 0] > 1e-3 * shape.wall  # no rigid motion left
    assert (np.diff(m.omega[0]) >= 0).all()
    assert np.isfinite(m.shapes).all()
    pair = np.flatnonzero(m.harmonic > 0)
    assert len(pair) % 2 == 0


def test_an_invented_body_rings() -> None:
    m = solve(shapes.invented(np.random.default_rng(1)), 12)
    assert m.count == 12
    assert m.omega[0, 0] > 0.05
