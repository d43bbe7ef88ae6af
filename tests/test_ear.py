"""The judge with ears: it needs its file and its wheel, and says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import DATA

from synesthesia import data
from synesthesia.senses import InputError, Sound

pytest.importorskip("ai_edge_litert", reason="the wheel ai-edge-litert is not installed")
from synesthesia.evaluate.ear import CLASSES, RATE, WINDOW, Ear

JUDGE = DATA.parent / "judges"


def test_a_judge_without_its_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        Ear(tmp_path)
    (tmp_path / "yamnet_class_map.csv").write_text("index,mid,display_name\n0,a,Speech\n")
    with pytest.raises(InputError, match="1 classes instead of 521"):
        Ear(tmp_path)


@pytest.mark.data
def test_a_dog_is_heard_and_silence_is_nothing() -> None:
    ear = Ear(JUDGE)
    heard = [
        next(iter(ear.kinds(Sound(samples[None], data.RATE))))
        for _, (_, samples) in zip(range(5), data.sounds(DATA, "dog", "judge"), strict=False)
    ]
    assert heard.count("dog") >= 3
    assert max(ear.kinds(Sound(np.zeros((1, RATE)), RATE)).values()) < 0.1


@pytest.mark.data
@pytest.mark.parametrize(("samples", "looks"), [(1, 1), (WINDOW, 1), (WINDOW + 1, 2), (2 * WINDOW, 3)])
def test_every_sample_is_looked_at(samples: int, looks: int) -> None:
    assert Ear(JUDGE).scores(Sound(np.zeros((2, samples)), RATE)).shape == (looks, CLASSES)
