"""Eyes that learn from photos alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pil

from synesthesia.encoders import load_eyes
from synesthesia.encoders.vision import Eyes, EyesConfig
from synesthesia.train.distil import crops
from synesthesia.train.eyes import Alike, EyesRun, train

RUN = EyesRun(steps=4, batch=6, size=64, small=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    (out / "photos" / "mine").mkdir(parents=True)
    for k in range(8):
        colour = rng.integers(256, size=3)
        noise = rng.normal(0, 30, (80, 100, 3))
        Pil.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8)).save(out / "photos" / "mine" / f"{k}.jpg")
    return out


def test_what_is_asked_of_two_views() -> None:
    torch.manual_seed(0)
    learner = Alike(Eyes(EyesConfig(64, (8, 8, 16, 16), (1, 1, 1, 1))), 32).train()
    x = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    same = learner.loss(torch.cat([x, x]))
    assert same["apart"].item() == pytest.approx(0, abs=1e-6)
    assert learner.loss(torch.cat([x, x.roll(1, 0)]))["apart"].item() > 0.1  # views of others are not alike
    # Who says the same of every photo is told so: nothing is apart, nothing goes together, but nothing is spread.
    grey = learner.loss(torch.full((16, 3, 64, 64), 0.5))
    assert grey["apart"].item() == pytest.approx(0, abs=1e-6)
    assert grey["together"].item() == pytest.approx(0, abs=1e-6)
    assert grey["spread"].item() == pytest.approx(25 * 0.99, abs=1e-3)


def test_a_run_without_a_teacher(folder: Path, tmp_path: Path) -> None:
    final = train(folder, None, tmp_path / "a", RUN)
    assert load_eyes(final, device="cpu").dense.width == 480
    again = train(folder, None, tmp_path / "b", RUN)
    one, two = ((path / "model.safetensors").read_bytes() for path in (final, again))
    assert one == two
    assert train(folder, None, tmp_path / "c", dataclasses.replace(RUN, seed=1)).is_dir()
    assert (tmp_path / "c" / "final" / "model.safetensors").read_bytes() != one


def test_crops_of_rows_that_are_given() -> None:
    pictures = np.stack([np.full((40, 40, 3), 20 * k, np.uint8) for k in range(8)])
    rows = np.array([3, 3, 5])
    x = crops(pictures, np.random.default_rng(0), 3, 16, rows)
    assert torch.allclose(x.mean((1, 2, 3)) * 255, torch.tensor([60.0, 60.0, 100.0]), atol=0.01)
