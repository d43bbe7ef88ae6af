"""Shared fixtures. Every function of the package runs with its jaxtyping and beartype annotations checked."""

from __future__ import annotations

import builtins
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
# The package imports jaxtyping's names for type checkers only, so that it need not be installed; here the names are
# made known everywhere, without which the checks of shapes would be skipped in silence (tests/test_house.py).
for _name in ("Bool", "Complex", "Float", "Int", "Num", "Shaped", "UInt8"):
    setattr(builtins, _name, getattr(jaxtyping, _name))
jaxtyping.install_import_hook("synesthesia", "typecheck.checked")

from synesthesia import hub, verbs  # noqa: E402
from synesthesia.senses import Image, InputError, Sound  # noqa: E402

DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if DATA.is_dir():
        return
    for item in items:
        if "data" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no ../shared/data beside this checkout"))


@pytest.fixture
def photo() -> Image:
    """A picture with structure: a bright disc on a gradient."""
    y, x = np.mgrid[0:48, 0:64]
    pixels = np.stack([4 * x, 5 * y, 2 * x + 2 * y], axis=-1).astype(np.uint8)
    pixels[(x - 32) ** 2 + (y - 24) ** 2 < 150] = 240
    return Image(pixels)


@dataclasses.dataclass(frozen=True, eq=False)
class FakePhysics:
    """The fields of a physical state that the house uses, with one mode whose pitch says which click it belongs to."""

    frequency: np.ndarray
    t60: np.ndarray
    gain: np.ndarray
    code: np.ndarray
    code_probs: np.ndarray
    wave_speed: np.ndarray
    density: np.ndarray
    loss: np.ndarray
    size_m: np.ndarray
    wall_m: np.ndarray
    hollow: np.ndarray
    support_probs: np.ndarray
    struck: np.ndarray
    prototypes: np.ndarray

    mass = property(lambda self: self.density * self.size_m**3)
    youngs_modulus = property(lambda self: self.density * self.wave_speed**2)
    log_f1_mean = property(lambda self: np.log(self.frequency[:, 0]))
    log_f1_std = property(lambda self: np.full(len(self.code), 0.1))

    def with_(self, mass: float, stiffness: float, size: float, damping: float, code: int | None) -> FakePhysics:
        if code is not None and not 0 <= code < 16:
            raise InputError(f"Material codes go from 0 to 15; there is no {code}.")
        return dataclasses.replace(
            self, frequency=self.frequency * np.sqrt(stiffness / mass) / size, t60=self.t60 / damping
        )


class FakeKnock:
    """A model for the house's own tests: pitch = 200 Hz × (1 + x + 2 y), louder for brighter pictures."""

    def __init__(self) -> None:
        self.encoded = 0

    def see(self, images: list[Image]) -> list[float]:
        self.encoded += len(images)
        return [float(image.pixels.mean()) / 255 for image in images]

    def think(self, seen: list[float], points: np.ndarray, *, size_m: Any, wall_m: Any, support: Any) -> FakePhysics:
        n = len(seen)
        one = np.ones(n)
        hz = 200 * (1 + points[:, :1] + 2 * points[:, 1:])
        return FakePhysics(
            frequency=hz.astype(float), t60=np.full((n, 1), 0.5), gain=np.array(seen)[:, None] * 0.01,
            code=np.zeros(n, int), code_probs=np.eye(16)[[0] * n], wave_speed=5000 * one, density=2500 * one,
            loss=0.01 * one, size_m=0.2 * one if size_m is None else size_m, wall_m=0.01 * one, hollow=one,
            support_probs=np.eye(3)[[1] * n], struck=np.array(["object"] * n), prototypes=np.zeros((16, 9)),
        )  # fmt: skip

    def sound(
        self,
        physics: FakePhysics,
        force: Any,
        hardness: float,
        speed: float | None,
        seconds: float,
        rate: int,
        seed: int,
    ) -> list[Sound]:
        t = np.arange(round(seconds * rate)) / rate
        push = force if isinstance(force, float | int) else -force[2]
        if push < 0:
            raise InputError(f"The force {force} points out of the surface.")
        return [
            Sound(push * g[0] * np.exp(-6.9 * t / d[0]) * np.sin(2 * np.pi * f[0] * t + 0.1 * seed), rate)
            for f, d, g in zip(physics.frequency, physics.t60, physics.gain, strict=True)
        ]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKnock]:
    """Every system's knock model is the fake; nothing is resolved or loaded."""
    model = FakeKnock()
    monkeypatch.setattr(verbs, "_LOADERS", {"knock": lambda folder: model})
    monkeypatch.setattr(hub, "resolve", lambda reference, **options: Path("fake"))
    verbs.default.cache_clear()
    yield model
    verbs.default.cache_clear()
