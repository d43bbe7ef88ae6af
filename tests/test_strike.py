"""A strike: linear in force, silent at nodes, right in the far field, damped as its loss factors say."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from synesthesia.physics import shapes
from synesthesia.physics.bank import render
from synesthesia.physics.materials import COATINGS, MATERIALS
from synesthesia.physics.modes import Modes, solve
from synesthesia.physics.shapes import Shape
from synesthesia.physics.strike import (
    AIR_DENSITY,
    REFERENCE_PULSE,
    SOUND_SPEED,
    Body,
    ModalSound,
    contact_seconds,
    contact_spectrum,
    hit,
    lines,
    prepare,
    speed_factors,
    strike,
)

STEEL, GLASS, RUBBER = MATERIALS["steel"], MATERIALS["glass"], MATERIALS["rubber"]
INWARD = np.array([0.0, -1.0, 0.0])


@pytest.fixture(scope="module")
def bowl() -> tuple[Shape, Modes]:
    shape = shapes.FAMILIES["bowl"](np.random.default_rng(0))
    return shape, solve(shape, 40)


@pytest.fixture(scope="module")
def plate() -> tuple[Shape, Modes]:
    lines_xyz = [np.linspace(0, 1, 11), np.linspace(0, 0.03, 2), np.linspace(0, 0.6, 8)]
    filled = np.ones([len(g) - 1 for g in lines_xyz], bool)
    shape = shapes.blocks_of("plate", lines_xyz, filled, params={}, wall=0.03, hollow=False)
    return shape, solve(shape, 20)


def top(shape: Shape) -> int:
    return int(shape.nearest_vertex(np.array([[0.31, shape.vertices[:, 1].max(), 0.13]]), -INWARD[None])[0])


def quiet(sound: ModalSound) -> ModalSound:
    return dataclasses.replace(sound, noise=(0.0, 0.01, 1000.0))


def test_the_wave_is_linear_in_force(bowl: tuple[Shape, Modes]) -> None:
    shape, modes = bowl
    v = 100
    one = strike(shape, modes, STEEL, 0.2, vertex=v, normal=shape.normals[v])
    a, b, c = (render(one, force, 0.3).mono for force in (1.0, 2.0, 3.0))
    np.testing.assert_array_equal(2 * a, b)
    np.testing.assert_allclose(a + b, c, atol=1e-6 * np.abs(c).max())


def test_force_adds_as_a_vector(bowl: tuple[Shape, Modes]) -> None:
    shape, modes = bowl
    body = prepare(shape, modes, STEEL, 0.2)
    x, y, z = (body.gain(np.array(50), e) for e in np.eye(3))
    f = np.array([0.3, -0.5, 0.2])
    np.testing.assert_allclose(body.gain(np.array(50), f), f @ np.stack([x, y, z]), rtol=1e-9)
    many = body.gain(np.array([50, 60]), np.stack([f, f]))
    np.testing.assert_allclose(many[0], body.gain(np.array(50), f), rtol=1e-9)


def test_a_node_of_a_mode_is_silent(plate: tuple[Shape, Modes]) -> None:
    shape, modes = plate
    body = prepare(shape, modes, STEEL, 0.3)
    vertical = modes.shapes[0, :, 1].astype(float)
    upper = shape.normals[:, 1] > 0.9
    i, j = np.flatnonzero(upper & (vertical > 0))[0], np.flatnonzero(upper & (vertical < 0))[0]
    weights = np.zeros(len(vertical))
    weights[[i, j]] = -vertical[j], vertical[i]  # between the two the motion crosses zero
    weights /= weights.sum()
    at_node, elsewhere = body.gain(weights, INWARD), body.gain(np.array(i), INWARD)
    assert np.abs(at_node[0]) < 1e-6 * np.abs(elsewhere[0])
    assert np.abs(at_node[1:]).max() > 1e-3 * np.abs(elsewhere).max()


def test_the_axis_of_a_bowl_rings_no_wine_glass_mode(bowl: tuple[Shape, Modes]) -> None:
    shape, modes = bowl
    body = prepare(shape, modes, STEEL, 0.2)
    centre = int(np.hypot(shape.vertices[:, 0], shape.vertices[:, 2]).argmin())
    gain = np.abs(body.gain(np.array(centre), INWARD))
    assert gain[modes.harmonic == 2].max() < 1e-6 * gain.max()
    assert gain[modes.harmonic == 0].max() > 0


def test_twice_as_far_is_6_02_db_less(bowl: tuple[Shape, Modes]) -> None:
    shape, modes = bowl
    direction = np.array([0.6, 0.4, 0.7]) / np.linalg.norm([0.6, 0.4, 0.7])
    near, far = (np.abs(prepare(shape, modes, STEEL, 0.2, listener=direction * r).transfer) for r in (50.0, 100.0))
    heard = near > 1e-3 * near.max()
    np.testing.assert_allclose(20 * np.log10(near / far)[heard], 6.02, atol=0.1)


def test_the_decay_of_the_wave_is_t60(bowl: tuple[Shape, Modes]) -> None:
    shape, modes = bowl
    body = prepare(shape, modes, GLASS, 0.15, support="hung")
    whole = hit(body, 100, -shape.normals[100], hardness=2e11)
    for k in (0, 5):
        alone = ModalSound(whole.frequency[[k]], whole.decay[[k]], np.array([1.0 + 0j]), (0.0, 0.01, 1e3), 0.0)
        wave = render(alone, 1.0, 3.0).mono.astype(float)
        energy = np.cumsum(wave[::-1] ** 2)[::-1]
        level = 10 * np.log10(energy / energy[0] + 1e-30)
        i, j = np.searchsorted(-level, [5, 35])
        measured = 60 / (level[i] - level[j]) * (j - i) / 48000
        assert measured == pytest.approx(body.t60[k], rel=0.01)
    np.testing.assert_allclose(body.t60, 2.2 / (body.frequency * body.loss_parts.sum(1)))


def test_support_and_coating_shorten_the_sound(bowl: tuple[Shape, Modes]) -> None:
    shape, modes = bowl
    ring = [prepare(shape, modes, STEEL, 0.2, support=s).t60 for s in ("hung", "resting", "held")]
    assert (ring[0] > ring[1]).all()
    assert (ring[1] > ring[2]).all()
    bare, felt, fur = (
        prepare(shape, modes, STEEL, 0.2, support="hung", coating=COATINGS[c]).t60 for c in ("none", "felt", "fur")
    )
    assert (bare > felt).all()
    assert (felt > fur).all()


def test_half_sine_spectrum_is_its_fourier_transform() -> None:
    seconds = 1.3e-3
    t = (np.arange(20000) + 0.5) / 20000 * seconds
    pulse = np.sin(np.pi * t / seconds)
    f = np.array([0.0, 100.0, 0.5 / seconds, 900.0, 2500.0])
    exact = (pulse * np.exp(-2j * np.pi * np.outer(f, t))).sum(1) * seconds / 20000 / REFERENCE_PULSE
    np.testing.assert_allclose(contact_spectrum(f, seconds), exact, atol=1e-6)


def test_hertz_contact() -> None:
    # Steel ball of 30 g on a heavy steel block at 1 m/s: below a tenth of a millisecond.
    assert contact_seconds(2e11, STEEL, 1e3) == pytest.approx(7e-5, rel=0.1)
    by_mallet = [contact_seconds(h, STEEL, 1.0) for h in (2e7, 1e10, 2e11)]
    assert by_mallet[0] > by_mallet[1] > by_mallet[2]
    assert contact_seconds(1e10, RUBBER, 1.0) > 5 * contact_seconds(1e10, STEEL, 1.0)
    assert contact_seconds(1e10, STEEL, 1.0, coating=COATINGS["fur"]) > 3 * contact_seconds(1e10, STEEL, 1.0)
    longer, stronger = speed_factors(2.0)
    assert contact_seconds(1e10, STEEL, 1.0, speed=2.0) == pytest.approx(longer * contact_seconds(1e10, STEEL, 1.0))
    assert longer == pytest.approx(2**-0.2)
    assert stronger == pytest.approx(2**1.2)


def test_a_soft_mallet_is_dull(bowl: tuple[Shape, Modes]) -> None:
    shape, modes = bowl
    body = prepare(shape, modes, STEEL, 0.2)
    soft, hard = (np.abs(hit(body, 100, -shape.normals[100], hardness=h).amplitude) for h in (2e7, 2e11))
    bright = body.frequency > 5000
    low = int(body.frequency.argmin())
    assert soft[bright].max() / soft[low] < 0.2 * hard[bright].max() / hard[low]
    ideal = hit(body, 100, -shape.normals[100], hardness=None)
    np.testing.assert_allclose(ideal.amplitude, body.gain(np.array(100), -shape.normals[100].astype(float)), rtol=1e-6)


def pulsating() -> tuple[Shape, Modes, Body, int]:
    ball = shapes.revolve("ball", shapes._round_section(0, 0.5, 0.5, 3, half=True), params={}, wall=1.0, hollow=False)
    modes = solve(ball, 60)
    normal = np.einsum("kvi,vi->kv", modes.shapes, ball.normals)
    flux = np.abs(normal @ ball.vertex_areas())
    k = int(flux.argmax())
    body = prepare(ball, modes, dataclasses.replace(RUBBER, youngs_modulus=5e5), 0.1, listener=(0.0, 0.05, 3.0))
    return ball, modes, body, k


def test_a_pulsating_ball_radiates_like_one() -> None:
    # p = rho a^2 acceleration / (r |1 + ika|), W = rho c S v^2 / 2 (ka)^2 / (1 + (ka)^2); Pierce, Acoustics, sec. 4.1.
    ball, _, body, k = pulsating()
    a, r = 0.05, 3.0
    ka = 2 * math.pi * body.frequency[k] / SOUND_SPEED * a
    assert ka < 0.6
    normal = float(
        np.einsum("vi,vi->v", body.shapes[k], ball.normals) @ ball.vertex_areas() / ball.vertex_areas().sum()
    )
    w = 2 * math.pi * body.frequency[k]
    expected = AIR_DENSITY * a * a * abs(normal) * w / (r * math.sqrt(1 + ka * ka))
    assert np.abs(body.transfer[k]) == pytest.approx(expected, rel=0.1)
    power = AIR_DENSITY * SOUND_SPEED * 4 * math.pi * a * a * normal**2 / 2 * ka**2 / (1 + ka**2)
    assert body.loss_parts[k, 3] == pytest.approx(power / (w * 0.5), rel=0.15)


def test_small_bodies_lose_their_bass(plate: tuple[Shape, Modes]) -> None:
    # A plate's front and back cancel: per unit of motion the lowest mode radiates less than a high one.
    shape, modes = plate
    body = prepare(shape, modes, STEEL, 0.05, listener=(0.0, 2.0, 0.0))
    per_acceleration = np.abs(body.transfer) / body.frequency
    assert per_acceleration[0] < 0.3 * per_acceleration[8:].max()


def test_doublets_are_split_a_little_and_by_seed(bowl: tuple[Shape, Modes]) -> None:
    shape, modes = bowl
    first, again, other = (prepare(shape, modes, STEEL, 0.2, seed=s).frequency for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    pair = np.flatnonzero(modes.harmonic > 0)[:2]
    split = first[pair[1]] / first[pair[0]] - 1
    assert 0.0009 < split < 0.0051
    power = np.ones(len(first))
    line, merged, number = lines(first, power)
    assert (np.diff(line) > 0).all()
    assert merged.sum() == pytest.approx(len(first))
    assert number[pair[0]] == number[pair[1]]
    # The pair's power does not depend on how the asymmetry turns it.
    p = [np.abs(prepare(shape, modes, STEEL, 0.2, seed=s).shapes[pair, 100].astype(float)) ** 2 for s in (1, 2)]
    np.testing.assert_allclose(p[0].sum(), p[1].sum(), rtol=1e-5)


def test_mass_is_density_times_volume(bowl: tuple[Shape, Modes]) -> None:
    shape, modes = bowl
    assert prepare(shape, modes, STEEL, 0.2).mass == pytest.approx(7850 * shape.volume * 0.008)


def test_cardboard_rustles_and_glass_does_not(bowl: tuple[Shape, Modes]) -> None:
    shape, modes = bowl
    card, glass = (
        hit(prepare(shape, modes, MATERIALS[m], 0.2), 100, -shape.normals[100]) for m in ("cardboard", "glass")
    )
    relative = [s.noise[0] / np.sqrt((np.abs(s.amplitude) ** 2).sum()) for s in (card, glass)]
    assert relative[0] > 5 * relative[1]
    assert card.noise[1] > glass.noise[1]


def test_a_listener_on_the_surface_is_refused(bowl: tuple[Shape, Modes]) -> None:
    shape, modes = bowl
    with pytest.raises(ValueError, match="listener"):
        prepare(shape, modes, STEEL, 0.2, listener=shape.vertices[10] * 0.2)
