"""A toy world of real files, for tests of training: red photos hum low, green ones hiss, blue ones are windy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Pil

from synesthesia import media
from synesthesia.data.pack import pack
from synesthesia.senses import Sound

RATE = 32_000
COLOURS = {"hum": (200, 30, 30), "hiss": (30, 200, 30), "wind": (30, 30, 200), "silent": (120, 120, 120)}


def toy_photo(rng: np.random.Generator, colour: tuple[int, int, int]) -> np.ndarray:
    return np.clip(np.array(colour) + rng.normal(0, 25, (120, 120, 3)), 0, 255).astype(np.uint8)


def toy_sound(rng: np.random.Generator, kind: str) -> Sound:
    t = np.arange(2 * RATE) / RATE
    noise = rng.standard_normal(len(t)) * (0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(1, 9) * t))
    wave = 0.2 * np.sin(2 * np.pi * rng.uniform(150, 200) * t) + 0.01 * noise if kind == "hum" else 0.1 * noise
    return Sound(wave.astype(np.float32)[None], RATE)


def toy_shards(folder: Path, out: Path) -> Path:
    """Packed shards of all three splits in `out`, made of files in `folder`."""
    rng = np.random.default_rng(0)
    for kind, colour in COLOURS.items():
        (folder / kind).mkdir()
        for k in range(12):
            Pil.fromarray(toy_photo(rng, colour)).save(folder / kind / f"{k}.png")
            if kind != "silent":
                media.write_sound(folder / kind / f"{k}.wav", toy_sound(rng, kind))
    pack(folder, out)
    return out
