"""Materials: losses in the order physics says, totals at rest as measured, blends between their ends."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from synesthesia.physics.materials import COATINGS, GROUPS, MATERIALS, blend, decay_rate, loss_parts, named, t60

NONE = COATINGS["none"]
TABLES = Path(__file__).parents[2] / "shared" / "data" / "physics" / "tdw_modal_tables"


def test_every_constant_has_a_source() -> None:
    assert len(MATERIALS) >= 18
    assert {m.group for m in MATERIALS.values()} == set(GROUPS)
    for m in MATERIALS.values():
        assert len(m.source) > 20
        assert 0 < m.poisson < 0.5
        assert 10 < m.density < 2e4
        assert 50 < m.wave_speed < 7000
    assert all(c.source for c in COATINGS.values())


def test_hung_losses_are_ordered_as_in_the_literature() -> None:
    by_group = {g: [m.loss for m in MATERIALS.values() if m.group == g] for g in GROUPS}
    assert max(by_group["metal"]) < min(by_group["mineral"])
    assert max(by_group["mineral"]) < min(by_group["wood"])
    assert max(by_group["wood"]) < min(by_group["plastic"])
    assert np.median(by_group["plastic"]) < np.median(by_group["paper"]) < min(by_group["rubber"])


def test_t60_of_a_loss_factor() -> None:
    assert t60(440.0, 0.001) == pytest.approx(5.0)
    # The amplitude falls by 60 dB, to a thousandth, in T60.
    assert np.exp(-decay_rate(5.0) * 5.0) == pytest.approx(1e-3)


@pytest.mark.parametrize("name", ["steel", "glass", "ceramic", "stone", "hardwood", "hard_plastic", "cardboard"])
def test_rest_adds_up_to_the_measured_total(name: str) -> None:
    m = MATERIALS[name]
    f = np.array([300.0, 1000.0])
    parts = loss_parts(m, NONE, "resting", f)
    total = sum(parts.values())
    np.testing.assert_allclose(total, m.rest_loss * (f / 1000) ** m.rest_slope, rtol=1e-9)


@pytest.mark.parametrize("material", MATERIALS.values(), ids=lambda m: m.name)
def test_support_orders_the_damping(material) -> None:
    f = np.geomspace(50, 16000, 40)
    hung, rest, held = (loss_parts(material, NONE, s, f)["support"] for s in ("hung", "resting", "held"))
    assert (hung == 0).all()
    assert (rest >= 0).all()
    assert (held > rest).all()


def test_fur_damps_more_than_felt_more_than_paint() -> None:
    f = np.geomspace(100, 8000, 20)
    steel = MATERIALS["steel"]
    fur, felt, paint, bare = (
        loss_parts(steel, COATINGS[n], "hung", f)["coating"] for n in ("fur", "felt", "paint", "none")
    )
    assert (fur > felt).all()
    assert (felt > paint).all()
    assert (paint > bare).all()


def test_unknown_support_is_refused() -> None:
    with pytest.raises(ValueError, match="hung, resting or held"):
        loss_parts(MATERIALS["steel"], NONE, "floating", [100.0])  # type: ignore[arg-type]


def test_blend_meets_its_ends_and_lies_between() -> None:
    a, b = MATERIALS["steel"], MATERIALS["rubber"]
    for t, end in ((0.0, a), (1.0, b)):
        mixed = blend(a, b, t)
        assert mixed.group == end.group
        assert mixed.youngs_modulus == pytest.approx(end.youngs_modulus)
        assert mixed.loss == pytest.approx(end.loss)
    half = blend(a, b, 0.3)
    assert half.name == "steel~rubber:0.30"
    assert half.group == "metal"
    assert half.density == pytest.approx(a.density**0.7 * b.density**0.3)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        blend(a, b, 1.5)


@pytest.mark.data
def test_calibration_agrees_with_the_measured_tables() -> None:
    path = Path(__file__).parents[1] / "runs" / "calibrate_losses.py"
    spec = importlib.util.spec_from_file_location("calibrate_losses", path)
    assert spec is not None
    assert spec.loader is not None
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    tables = run.distinct_tables(TABLES)
    assert sum(map(len, tables.values())) == 37
    pairs = {"metal": "steel", "glass": "glass", "ceramic": "ceramic", "stone": "stone", "wood_hard": "hardwood",
             "wood_soft": "softwood", "plastic_hard": "hard_plastic", "cardboard": "cardboard",
             "paper": "paper"}  # fmt: skip
    for table, name in pairs.items():
        measured = run.fit(tables[table])[0]
        f = np.concatenate([v for v, _ in tables[table]])
        ours = np.median(sum(loss_parts(MATERIALS[name], NONE, "resting", f).values()))
        assert ours == pytest.approx(measured, rel=0.2), name


def test_a_blend_is_found_by_its_name() -> None:
    made = blend(MATERIALS["steel"], MATERIALS["cork"], 0.25)
    assert named(made.name) == made
    assert named("glass") is MATERIALS["glass"]
    for wrong in ("unobtainium", "steel~unobtainium:0.2", "steel~cork:much", "steel~cork:3"):
        with pytest.raises(ValueError, match="names no material"):
            named(wrong)
