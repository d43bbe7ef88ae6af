#!/usr/bin/env python
"""Cost: a few minutes on one core. Renders the photos that ship with the demo, from scenes that no training sees.

    .venv/bin/python runs/demo_photos.py

Writes synesthesia/demo/NAME.jpg, clicks.json (the first visible strike of each scene) and beach.jpg.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load

from synesthesia.worlds import knock, scenes, sights

# Name → split and item of a world with this seed; the first is the one that out/knock.wav is made from.
SEED = 4242
SCENES = {
    "brass_bell": ("families", 47),
    "wooden_bowl": ("val", 14),
    "ceramic_bowl": ("val", 8),
}
WIDTH, SAMPLES = 320, 40
BEACH = 171  # item of the scenes of this seed, split test: sea, palms and a fire by day


def main() -> None:
    folder = Path(__file__).parents[1] / "synesthesia" / "demo"
    clicks: dict[str, list[float]] = {}
    for name, (split, index) in SCENES.items():
        _, files = knock.item(knock.World(SEED, split, WIDTH, SAMPLES), index)
        picture = Image.open(io.BytesIO(files["jpg"]))
        picture.save(folder / f"{name}.jpg", quality=92)
        truth = json.loads(files["json"])
        print(name, picture.size, truth["family"], truth["material"], np.round(truth["f1"]), "Hz")
        clicks[f"{name}.jpg"] = [round(float(v), 3) for v in load(files["safetensors"])["strike_xy"][0]]
    _, plan = scenes.plan(scenes.World(SEED, "test", 448, 5.0).rng(BEACH), "test")
    Image.fromarray(np.asarray(sights.draw(plan, 448).image.pixels)).save(folder / "beach.jpg", quality=90)
    (folder / "clicks.json").write_text(json.dumps(clicks, indent=1) + "\n")


if __name__ == "__main__":
    main()
