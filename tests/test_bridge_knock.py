"""The physics adapter, with untrained weights: what must hold whatever was learned."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia.bridges.knock import ANCHORS, LINES, Knock, KnockConfig, Physics, given_vector
from synesthesia.bridges.sorts import weighted_quantile
from synesthesia.encoders.vision import EyesConfig
from synesthesia.physics.materials import COATINGS, MATERIALS, loss_parts
from synesthesia.senses import SUPPORTS, Image, InputError

SMALL = KnockConfig(EyesConfig(64, (8, 16, 24, 32), (1, 1, 1, 1)), width=48, heads=4, layers=1)


@pytest.fixture(scope="module")
def model() -> Knock:
    torch.manual_seed(0)
    knock = Knock(SMALL).eval()
    with torch.no_grad():
        knock.thinker.centres.normal_(0, 0.5)
        knock.thinker.prototypes.normal_(0, 0.5)
        knock.thinker.body[-1].bias[5] = 10.0  # every click is on an object
    return knock


@pytest.fixture(scope="module")
def photos() -> list[Image]:
    rng = np.random.default_rng(1)
    return [Image(rng.integers(0, 255, (90, 70 + 20 * k, 3)).astype(np.uint8)) for k in range(3)]


@pytest.fixture(scope="module")
def physics(model: Knock, photos: list[Image]) -> Physics:
    return model.think(model.see(photos), np.array([[0.5, 0.5], [0.2, 0.7], [0.9, 0.1]], np.float32))


def test_lines_rise_and_decay_obeys_the_loss_factor(physics: Physics) -> None:
    assert physics.frequency.shape == (3, LINES)
    assert (np.diff(physics.frequency, axis=1) > 0).all()
    np.testing.assert_allclose(physics.t60 * physics.frequency * physics.total_loss, 2.2)


def test_material_loss_is_a_power_law_when_nothing_else_damps(physics: Physics) -> None:
    nothing = np.full((3, len(ANCHORS)), 1e-12)
    hung = np.eye(3)[[0, 0, 0]]
    bare = dataclasses.replace(physics, extra_loss=nothing, loss_slope=np.full(3, -0.5), support_probs=hung)
    expected = bare.loss[:, None] * (np.clip(bare.frequency, 20, 24000) / 1000) ** -0.5
    np.testing.assert_allclose(bare.total_loss, expected, rtol=1e-6)


def test_a_table_and_a_hand_damp_as_the_worlds_say(physics: Physics) -> None:
    steel = MATERIALS["steel"]
    one = np.ones(3)
    same = dataclasses.replace(
        physics, extra_loss=np.full((3, len(ANCHORS)), 1e-12), support_probs=np.eye(3),
        loss=steel.loss * one, loss_slope=steel.loss_slope * one,
        rest_loss=steel.rest_loss * one, rest_slope=steel.rest_slope * one,
    )  # fmt: skip
    for k, support in enumerate(SUPPORTS):
        parts = loss_parts(steel, COATINGS["none"], support, np.clip(same.frequency[k], 20, 24000))
        np.testing.assert_allclose(same.total_loss[k], sum(parts.values()), rtol=1e-6)


def _cents(a: Physics, b: Physics) -> np.ndarray:
    return 1200 * np.log2(a.frequency / b.frequency)


def test_interventions_are_physics(physics: Physics) -> None:
    np.testing.assert_allclose(_cents(physics.with_(mass=2), physics), -600, atol=1e-6)
    np.testing.assert_allclose(_cents(physics.with_(stiffness=2), physics), 600, atol=1e-6)
    np.testing.assert_allclose(_cents(physics.with_(size=2), physics), -1200, atol=1e-6)
    np.testing.assert_allclose(physics.with_(mass=2).mass, 2 * physics.mass)
    np.testing.assert_allclose(physics.with_(mass=2).youngs_modulus, physics.youngs_modulus)
    np.testing.assert_allclose(physics.with_(stiffness=3).youngs_modulus, 3 * physics.youngs_modulus)
    np.testing.assert_allclose(physics.with_(size=2).mass, 8 * physics.mass)
    np.testing.assert_allclose(physics.with_(damping=2).t60 / physics.t60, 0.5)
    there_and_back = physics.with_(mass=2, size=3, damping=1.5).with_(mass=1 / 2, size=1 / 3, damping=1 / 1.5)
    np.testing.assert_allclose(there_and_back.frequency, physics.frequency)
    np.testing.assert_allclose(there_and_back.gain, physics.gain)


def test_a_code_replaces_the_material_and_keeps_the_shape(physics: Physics) -> None:
    swapped = physics.with_(code=3)
    np.testing.assert_allclose(swapped.shape_frequency, physics.shape_frequency)
    np.testing.assert_allclose(swapped.loss, physics.prototypes[3, 2])
    np.testing.assert_allclose(swapped.rest_slope, physics.prototypes[3, 5])
    assert (swapped.code == 3).all()
    with pytest.raises(InputError, match="codes go from 0 to 15"):
        physics.with_(code=16)


def test_sound_is_linear_in_force_and_repeats(model: Knock, physics: Physics) -> None:
    once = model.sound(physics, 1.0, seconds=0.2, rate=16_000, seed=3)
    thrice = model.sound(physics, 3.0, seconds=0.2, rate=16_000, seed=3)
    for a, b in zip(once, thrice, strict=True):
        np.testing.assert_allclose(3 * a.samples, b.samples, rtol=1e-5, atol=1e-7 * np.abs(b.samples).max())
    assert all((s.samples == 0).all() for s in model.sound(physics, 0.0, seconds=0.1, rate=16_000))
    other = model.sound(physics, 1.0, seconds=0.2, rate=16_000, seed=4)
    assert any((a.samples != b.samples).any() for a, b in zip(once, other, strict=True))


def test_force_vectors(model: Knock, physics: Physics) -> None:
    one = dataclasses.replace(physics, normal=np.tile([0.0, 0.0, 1.0], (3, 1)))
    straight = model.sound(one, 2.0, seconds=0.1, rate=16_000)
    vector = model.sound(one, (0.0, 0.0, -2.0), seconds=0.1, rate=16_000)
    np.testing.assert_allclose(straight[0].samples, vector[0].samples, rtol=1e-6)
    slanted = model.sound(one, (0.0, 2 * math.sin(1.0), -2 * math.cos(1.0)), seconds=0.1, rate=16_000)
    np.testing.assert_allclose(slanted[0].samples, straight[0].samples * math.cos(1.0), rtol=1e-5, atol=1e-9)
    with pytest.raises(InputError, match="out of the surface"):
        model.sound(one, (0.0, 0.0, 2.0), seconds=0.1, rate=16_000)


def test_a_batch_is_its_singles(model: Knock, photos: list[Image], physics: Physics) -> None:
    seen = model.see([photos[1]])
    alone = model.think(seen, np.array([[0.2, 0.7]], np.float32))
    np.testing.assert_allclose(alone.frequency[0], physics.frequency[1], rtol=1e-4)
    np.testing.assert_allclose(alone.gain[0], physics.gain[1], rtol=1e-3)


def test_given_size_is_used_exactly(model: Knock, photos: list[Image]) -> None:
    seen = model.see(photos[:1]) * 2
    points = np.full((2, 2), 0.5, np.float32)
    some = model.think(seen, points, size_m=np.array([0.3, np.nan], np.float32), support=["hung", "hung"])
    assert some.size_m[0] == pytest.approx(0.3)
    np.testing.assert_array_equal(some.support_probs, [[1, 0, 0], [1, 0, 0]])
    free = model.think(seen[:1], points[:1], support=["hung"])
    assert some.size_m[1] == pytest.approx(free.size_m[0], rel=1e-4)


def test_beside_the_object_a_slab_is_struck(model: Knock, photos: list[Image]) -> None:
    with torch.no_grad():
        model.thinker.body[-1].bias[5] = -10.0
    try:
        p = model.think(model.see(photos[:1]), np.array([[0.5, 0.5]], np.float32))
    finally:
        with torch.no_grad():
            model.thinker.body[-1].bias[5] = 10.0
    assert p.struck[0] == "surround"
    assert (p.total_loss >= 0.12).all()
    np.testing.assert_allclose(p.frequency[0, 1] / p.frequency[0, 0], 5 / 2, rtol=0.01)  # (1² + 2²)/(1² + 1²)


def test_checkpoint_round_trip(model: Knock, photos: list[Image], tmp_path: object) -> None:
    folder = model.save(f"{tmp_path}/knock")
    again = Knock.load(folder)
    points = np.full((1, 2), 0.4, np.float32)
    a, b = (m.think(m.see(photos[:1]), points) for m in (model, again))
    np.testing.assert_allclose(a.frequency, b.frequency, rtol=0.02)  # half precision
    assert again.config == model.config


def test_codes_are_probabilities_for_any_sound(model: Knock, physics: Physics) -> None:
    sounds = model.sound(physics, 1.0, seconds=0.3, rate=22_050)
    probs = model.hear_code(sounds)
    np.testing.assert_allclose(probs.sum(1), 1.0)
    louder = model.hear_code(model.sound(physics, 10.0, seconds=0.3, rate=22_050))
    np.testing.assert_allclose(louder, probs, atol=1e-3)  # level is no cue


def test_nothing_given_is_told_from_one_metre() -> None:
    v = given_vector(2, [1.0, 1.0], np.array([np.nan, math.exp(-1.5)]), None, [-1, 2])
    np.testing.assert_array_equal(v[0, [1, 4, 5, 6, 7]], 0)
    np.testing.assert_array_equal(v[1, [0, 1, 4, 5, 6, 7]], [0, 1, 0, 0, 1, 1])


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5, width=32), st.floats(0.0625, 1, width=32)), min_size=1, max_size=8))
def test_half_of_the_weight_lies_on_either_side_of_the_middle(pairs: list[tuple[float, float]]) -> None:
    values, weights = (torch.tensor([column]) for column in zip(*pairs, strict=True))
    middle = weighted_quantile(values, weights)
    half = float(weights.sum()) / 2
    assert float(weights[values < middle].sum()) <= half + 1e-5
    assert float(weights[values <= middle].sum()) >= half - 1e-5
    torch.testing.assert_close(weighted_quantile(values.flip(1)[..., None], weights.flip(1))[:, 0], middle)
