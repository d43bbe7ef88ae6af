"""Sights: what is drawn stands where the numbers say, and a mask marks what belongs to its source."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia.senses import InputError
from synesthesia.worlds import scenes, sights
from synesthesia.worlds.noises import LAWS
from synesthesia.worlds.sights import Camera, Plan, Source, draw

SIDE = 96
CAMERA = Camera(50.0, 1.6, 0.45, 0.0)
PARAMETERS = {
    "fire": ({"size_m": 0.8}, 5.0),
    "rain": ({"rate_mm_h": 20.0, "puddles": 0.5}, 2.0),
    "sea": ({"wave_height_m": 1.0}, 20.0),
    "river": ({"speed_m_s": 0.8, "width_m": 5.0}, 5.0),
    "waterfall": ({"height_m": 8.0, "width_m": 4.0}, 20.0),
    "wind": ({"speed_m_s": 8.0, "tree_density": 0.4}, 15.0),
    "thunder": ({"energy_j_m": 5e4}, 1500.0),
}


def source(kind: str, distance: float | None = None, x: float = 0.5, **changes: float) -> Source:
    parameters, usual = PARAMETERS[kind]
    return Source(kind, parameters | changes, usual if distance is None else distance, x)


def place(*sources: Source, seed: int = 5, light: str = "day", trees: float = 0.0, camera: Camera = CAMERA) -> Plan:
    return Plan(seed, light, "sand", camera, sources, trees)


def near(mask: np.ndarray, reach: int = 4) -> np.ndarray:
    """Pixels within `reach` of where the mask is not nearly nothing."""
    out = mask > 0.05
    for axis in (0, 1):
        out = np.logical_or.reduce([np.roll(out, k, axis) for k in range(-reach, reach + 1)])
    return out


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("fire", {"size_m": 1.1}),
        ("river", {"speed_m_s": 2.0}),
        ("thunder", {"energy_j_m": 2e5}),
        ("sea", {"wave_height_m": 1.3}),
        ("wind", {"speed_m_s": 14.0}),
    ],
)
def test_other_parameters_change_what_the_mask_marks_and_little_else(kind: str, change: dict[str, float]) -> None:
    one, other = draw(place(source(kind)), SIDE), draw(place(source(kind, **change)), SIDE)
    gap = np.abs(one.image.pixels.astype(float) - other.image.pixels).mean(-1)
    inside = near(one.masks[0]) | near(other.masks[0])
    assert gap[inside].mean() > 4 * gap[~inside].mean()
    assert gap[~inside].mean() < 2.5


def test_a_source_that_is_added_is_seen_in_its_mask() -> None:
    for kind in ("fire", "river", "thunder"):
        bare, with_it = draw(place(), SIDE), draw(place(source(kind)), SIDE)
        gap = np.abs(bare.image.pixels.astype(float) - with_it.image.pixels).mean(-1)
        mask = with_it.masks[0]
        assert gap[mask > 0.8].mean() > 3 * gap[~near(mask)].mean(), kind
    fall = draw(place(source("waterfall"), seed=1), SIDE)
    cliff = (fall.depth == 20.0) & (fall.masks[0] < 0.1)
    assert cliff.mean() > 0.05
    assert fall.image.pixels[fall.masks[0] > 0.8].mean() > fall.image.pixels[cliff].mean() + 40


def test_a_fire_stands_where_its_distance_says_and_is_as_large() -> None:
    focal = SIDE / 2 / math.tan(math.radians(25))
    for distance, x in ((4.0, 0.3), (8.0, 0.6)):
        sight = draw(place(source("fire", distance, x, size_m=1.0)), SIDE)
        rows, columns = np.nonzero(sight.masks[0] > 0.5)
        foot = CAMERA.horizon * SIDE + focal * CAMERA.height_m / distance
        assert rows.max() == pytest.approx(foot, abs=0.12 * focal / distance + 2)
        assert columns.mean() == pytest.approx(x * SIDE, abs=0.12 * focal / distance + 2)
        assert np.ptp(rows) == pytest.approx(focal / distance, rel=0.4)
        assert np.median(sight.depth[sight.masks[0] > 0.9]) == pytest.approx(distance)


def test_farther_lightning_stands_lower() -> None:
    tall = []
    for distance in (2500.0, 5000.0):
        mask = draw(place(source("thunder", distance), seed=1, light="storm", camera=Camera(50, 1.6, 0.8)), SIDE).masks[
            0
        ]
        tall.append(np.ptp(np.nonzero(mask > 0.7)[0]))
    assert tall[0] > 1.5 * tall[1]


def test_higher_waves_and_a_quicker_river_have_more_white_water() -> None:
    def white(plan: Plan) -> float:
        sight = draw(plan, SIDE)
        return float((sight.image.pixels.min(-1) > 165)[sight.masks[0] > 0.9].mean())

    seas = [np.mean([white(place(source("sea", wave_height_m=h), seed=s)) for s in range(3)]) for h in (0.3, 2.0)]
    rivers = [np.mean([white(place(source("river", speed_m_s=v), seed=s)) for s in range(3)]) for v in (0.4, 2.2)]
    assert seas[0] < seas[1]
    assert rivers[0] < rivers[1]


def test_what_is_in_front_hides_what_is_behind() -> None:
    sight = draw(place(source("sea", 30.0), source("fire", 6.0, size_m=2.5)), SIDE)
    sea, fire = sight.masks
    assert sea.max() > 0.9
    assert fire.max() > 0.9
    assert (fire > 0.94).sum() > 20
    assert sea[fire > 0.94].max() < 0.06
    assert (sight.masks.sum(0) <= 1.001).all()


def test_a_mirrored_plan_is_the_mirrored_picture() -> None:
    plan = place(source("river", 3.0, 0.3), source("fire", 9.0, 0.7), trees=1.0)
    one, other = draw(plan, 64), draw(dataclasses.replace(plan, mirrored=True), 64)
    assert np.array_equal(one.image.pixels[:, ::-1], other.image.pixels)
    assert np.array_equal(one.masks[..., ::-1], other.masks)
    assert np.array_equal(one.depth[:, ::-1], other.depth)
    assert not np.array_equal(one.image.pixels, other.image.pixels)


def test_the_seed_is_the_picture() -> None:
    plan = place(*(source(kind) for kind in ("wind", "rain")), trees=0.5)
    one, same, other = (draw(p, 64).image.pixels for p in (plan, plan, dataclasses.replace(plan, seed=6)))
    assert np.array_equal(one, same)
    assert np.abs(one.astype(float) - other).mean() > 3


def test_pictures_have_the_spectra_of_photographs() -> None:
    """Amplitude falls about as 1/f (Field 1987); photographs scatter between −0.7 and −1.6."""
    slopes = []
    for i in range(7):
        _, plan = scenes.plan(np.random.default_rng(i), "train")
        grey = draw(plan, 96).image.pixels.mean(-1)
        window = np.hanning(96)[:, None] * np.hanning(96)
        power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
        f = np.hypot(*np.meshgrid(np.fft.fftfreq(96), np.fft.fftfreq(96))) * 96
        rings = [power[(f >= r) & (f < 1.25 * r)].mean() for r in 1.25 ** np.arange(5, 16)]
        slopes.append(0.5 * np.polyfit(np.log(1.25 ** np.arange(5, 16)), np.log(rings), 1)[0])
    assert -1.5 < np.median(slopes) < -0.7


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_no_parameters_break_a_picture(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(LAWS)), min_size=1, max_size=3, unique=True))
    sources = []
    for kind in kinds:
        law = LAWS[kind]
        parameters = {name: data.draw(st.floats(*span)) for name, span in law.parameters.items()}
        sources.append(Source(kind, parameters, data.draw(st.floats(*law.distance)), data.draw(st.floats(0, 1))))
    camera = Camera(*(data.draw(st.floats(*span)) for span in ((20, 90), (0.5, 10), (0.05, 0.95), (-20, 20))))
    light, ground = data.draw(st.sampled_from(sorted(sights.LIGHTS))), data.draw(st.sampled_from(sights.GROUNDS))
    sight = draw(Plan(data.draw(st.integers(0, 2**31)), light, ground, camera, tuple(sources), 0.5), 40)
    assert sight.masks.shape == (len(kinds), 40, 40)
    assert np.isfinite(sight.masks).all()
    assert sight.masks.min() >= 0
    assert sight.masks.sum(0).max() <= 1.01
    assert np.isfinite(sight.depth).all()
    assert (sight.depth > 0).all()
    assert sight.image.pixels.std() > 0


def test_impossible_plans_are_refused() -> None:
    with pytest.raises(InputError, match="once"):
        place(source("fire"), source("fire"))
    with pytest.raises(InputError, match="Light is one of"):
        place(light="noon")
    with pytest.raises(InputError, match="size_m lies between"):
        place(source("fire", size_m=math.inf))
    with pytest.raises(InputError, match="pixels wide"):
        draw(place(), 8)
