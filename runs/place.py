#!/usr/bin/env python3
# Cost: ten seconds for 192 scenes; five minutes before for the scenes.
"""How well distances are told: drawn scenes of the split test, whose masks, cameras, depths and distances are known.

    synesthesia world scenes -n 192 --split test --seed 90003 -o scenes
    python runs/place.py scenes [--model walk/tiny]

Median relative error of the distance of each source whose kind has a place on the ground, by its true mask: of the
formula with the true camera, with the usual camera and the horizon that is found (the photo alone), and with the
horizon in the middle; of the model from the photo alone; and of the true depth map, which is what the mask costs. Then
of every patch on land, and the share of patches within a quarter of the truth. Intervals of 95 %, over scenes.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import defaultdict
from pathlib import Path

import numpy as np

from synesthesia import shards
from synesthesia.bridges.depth import SKY, Surveyor, distance, on_grid
from synesthesia.bridges.place import ALOFT, FARTHEST, Ground, camera
from synesthesia.bridges.stage import Camera
from synesthesia.metrics import bootstrap
from synesthesia.senses import Region

KINDS = ("fire", "river", "sea", "waterfall", "wind")  # rain is all around, thunder kilometres away
TOLD = ("formula, true camera", "formula, photo", "formula, middle", "model, photo", "true depth")


def main(paths: list[Path], model: str) -> None:
    net = Surveyor.load(model)
    errors: dict[str, list[list[float]]] = defaultdict(list)
    owners: dict[str, list[str]] = defaultdict(list)
    horizons, land, patch_owners = [], [], []
    for example in (e for path in paths for e in shards.examples(path)):
        view, image = example.truth["view"], example.image
        true = Camera(view["fov_deg"], image.width / image.height, view["height_m"], view["horizon"])
        found = camera(image)
        middle = dataclasses.replace(found, horizon=0.5)
        horizons.append([abs(one.horizon - true.horizon) for one in (found, middle)])
        seen = net.see(image, found)
        real = on_grid(example.arrays["depth"], *seen.shape)
        y = (np.arange(len(seen)) + 0.5) / len(seen)
        plain = np.array([min(found.ground(float(one)), FARTHEST) for one in y])[:, None]
        on = real < SKY
        both = np.stack([np.abs(np.broadcast_to(told, real.shape)[on] / real[on] - 1) for told in (plain, seen)], 1)
        land.append(both)
        patch_owners += [example.key] * len(both)
        for source in example.truth["sources"]:
            if source["kind"] not in KINDS:
                continue
            region = Region(example.arrays["masks"][source["mask"]] / 255)
            metres = [float(Ground().distances(image, [region], one)[0]) for one in (true, found, middle)]
            metres += [float(net.distances(image, [region], found)[0]), distance(real, region)]
            away = np.where(np.isfinite(metres), metres, ALOFT)
            for kind in (source["kind"], "all"):
                errors[kind].append(list(np.abs(away / source["distance_m"] - 1)))
                owners[kind].append(example.key)
    print("horizon, error in heights of the picture, median (found, middle):", np.round(np.median(horizons, axis=0), 3))
    print("sources | n |", " | ".join(TOLD))
    for kind in sorted(errors, key=lambda name: (name == "all", name)):
        print(kind, "|", len(errors[kind]), "|", _row(np.array(errors[kind]), owners[kind]))
    every = np.concatenate(land)
    print("patches on land | n | formula, photo | model, photo")
    print("median error |", len(every), "|", _row(every, patch_owners))
    print("within 25 % |", len(every), "|", " | ".join(f"{100 * one:.0f} %" for one in (every < 0.25).mean(axis=0)))


def _row(errors: np.ndarray, owners: list[str]) -> str:
    """The medians of some columns with their intervals."""
    cells = []
    for column in errors.T:
        e = bootstrap(np.array(owners), lambda index, c=column: float(np.median(c[index])), resamples=300)
        cells.append(f"{100 * e.value:.0f} % [{100 * e.low:.0f}, {100 * e.high:.0f}]")
    return " | ".join(cells)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--model", default="walk/tiny")
    told = parser.parse_args()
    main(told.paths, told.model)
