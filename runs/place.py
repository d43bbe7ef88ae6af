#!/usr/bin/env python3
# Cost: seconds; two minutes before for the scenes.
"""How well the ground tells distances: drawn scenes of the split test, whose masks, cameras and distances are known.

    synesthesia world scenes -n 64 --split test --seed 7 --seconds 0.1 -o scenes
    python runs/place.py scenes/*.tar

For each kind that has a place on the ground: the median relative error of the distance with the true camera, with the
usual camera and the horizon that is found, and with the usual camera and the horizon in the middle.
"""

from __future__ import annotations

import dataclasses
import sys

import numpy as np

from synesthesia import shards
from synesthesia.bridges.place import ALOFT, Ground, camera
from synesthesia.bridges.stage import Camera
from synesthesia.senses import Region

KINDS = ("fire", "river", "sea", "waterfall", "wind")  # rain is all around, thunder kilometres away


def main(paths: list[str]) -> None:
    errors: dict[str, list[list[float]]] = {}
    horizons = []
    for example in (e for path in paths for e in shards.examples(path)):
        view, image = example.truth["view"], example.image
        true = Camera(view["fov_deg"], image.width / image.height, view["height_m"], view["horizon"])
        found = camera(image)
        middle = dataclasses.replace(found, horizon=0.5)
        horizons.append([abs(one.horizon - true.horizon) for one in (found, middle)])
        for source in example.truth["sources"]:
            if source["kind"] in KINDS:
                region = Region(example.arrays["masks"][source["mask"]] / 255)
                metres = np.array([Ground().distances(image, [region], one)[0] for one in (true, found, middle)])
                metres[~np.isfinite(metres)] = ALOFT
                errors.setdefault(source["kind"], []).append(list(np.abs(metres / source["distance_m"] - 1)))
    print("horizon, error in heights of the picture, median (found, middle):", np.round(np.median(horizons, axis=0), 3))
    print("kind  n  true camera  horizon found  horizon in the middle")
    errors["all"] = [row for rows in errors.values() for row in rows]
    for kind in sorted(errors, key=lambda name: (name == "all", name)):
        middles = np.median(errors[kind], axis=0)
        print(f"{kind:10} {len(errors[kind]):3}", "  ".join(f"{100 * e:4.0f} %" for e in middles))


if __name__ == "__main__":
    main(sys.argv[1:])
