"""Shapes: closed, outward, at rest on the ground, of size one, and the same for a seed."""

from __future__ import annotations

import numpy as np
import pytest

from synesthesia.physics import shapes
from synesthesia.physics.shapes import FAMILIES, Shape, ShapeError

NAMES = sorted(FAMILIES)


def draw(name: str, seed: int) -> Shape:
    rng = np.random.default_rng(seed)
    return shapes.invented(rng) if name == "invented" else FAMILIES[name](rng)


def signed_volume(shape: Shape) -> float:
    c = shape.vertices[shape.faces].astype(float)
    return float(np.einsum("fi,fi->", c[:, 0], np.cross(c[:, 1], c[:, 2])) / 6)


def test_there_are_families_enough() -> None:
    assert len(NAMES) >= 15


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("name", [*NAMES, "invented"])
def test_a_shape_is_a_closed_outward_surface_at_rest(name: str, seed: int) -> None:
    s = draw(name, seed)
    _, place = np.unique(np.round(s.vertices.astype(float) * 1e5), axis=0, return_inverse=True)
    f = place.reshape(-1)[s.faces]
    edges = np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]])
    directed = {(int(a), int(b)) for a, b in edges}
    assert len(directed) == len(edges)  # no edge is used twice in one direction
    assert all((b, a) in directed for a, b in directed)  # and every edge has its partner: closed
    # Curved walls are drawn by chords, invented ones bulge over straight tetrahedra.
    assert signed_volume(s) == pytest.approx(s.volume, rel=0.07 if name == "invented" else 0.03)
    low, high = s.vertices.min(0), s.vertices.max(0)
    assert low[1] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose((low + high)[[0, 2]], 0, atol=1e-5)
    assert (high - low).max() == pytest.approx(1, abs=0.005)
    np.testing.assert_allclose(np.linalg.norm(s.normals, axis=1), 1, atol=1e-5)
    assert 100 <= len(s.vertices) <= 2700
    assert 0 < s.wall <= 1
    assert s.uv.shape == (len(s.vertices), 2)
    corners = s.vertices[s.faces].astype(float)
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.einsum("fi,fi->f", outward, s.normals[s.faces].mean(1)) > 0).mean() > 0.99


@pytest.mark.parametrize("name", [*NAMES, "invented"])
def test_a_seed_is_a_shape(name: str) -> None:
    a, b, c = draw(name, 3), draw(name, 3), draw(name, 4)
    assert a.key == b.key
    assert a.key != c.key
    np.testing.assert_array_equal(a.vertices, b.vertices)


def test_volume_of_a_known_body() -> None:
    t = 0.1
    curve = np.array([(0.0, 0.0), (0.5, 0.0)])
    disc = shapes.revolve("disc", [shapes._shell(curve, t)], params={}, wall=t, hollow=False)
    assert disc.volume == pytest.approx(np.pi * 0.25 * t, rel=1e-9)
    assert disc.vertex_areas().sum() == pytest.approx(np.pi * 0.5 + np.pi * t, rel=0.01)
    ball = shapes.revolve("ball", shapes._round_section(0, 0.5, 0.5, 3, half=True), params={}, wall=1.0, hollow=False)
    assert ball.volume == pytest.approx(np.pi / 6, rel=1e-3)


def test_a_lying_rod_lies() -> None:
    rng = np.random.default_rng(0)
    lying = next(s for s in (FAMILIES["rod"](rng) for _ in range(20)) if s.params["lying"])
    assert np.ptp(lying.vertices[:, 0]) == pytest.approx(1, abs=1e-3)
    assert np.ptp(lying.vertices[:, 1]) < 0.3


def test_nearest_vertex_takes_the_side_that_faces_the_point() -> None:
    s = draw("plate", 1)
    top = np.array([[0.1, s.vertices[:, 1].max(), 0.05]])
    v = s.nearest_vertex(top, np.array([[0.0, 1.0, 0.0]]))
    assert s.normals[v[0], 1] > 0.9


def test_a_body_turned_inside_out_is_refused() -> None:
    curve = np.array([(0.05, 0.0), (0.05, 1.0)])
    with pytest.raises(ShapeError, match="inside out"):
        shapes.revolve("tube", [shapes._shell(curve, 0.2)], params={}, wall=0.2, hollow=True)
