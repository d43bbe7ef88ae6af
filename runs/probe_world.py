"""Cost: a minute on one core. Can the material be seen at all? A linear probe of a pretrained network on a knock world.

    python runs/probe_world.py TRAIN_WORLD OTHER_WORLD TEACHER.tflite

Ridge regression on the teacher's features at the strike points and on its pooled map, six material groups, trained on
one folder of shards and tested on another (other shapes). A world on which this fails will not teach a small network
either. Needs the wheel ai-edge-litert.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from synesthesia.metrics import bootstrap
from synesthesia.physics.materials import GROUPS
from synesthesia.shards import examples
from synesthesia.train.distil import MAPS

RIDGES = (1e3, 1e4, 3e4)


def features(world: Path, teacher: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features [n, d], group numbers [n] and shape keys [n] of every picture."""
    from ai_edge_litert.interpreter import Interpreter

    net = Interpreter(str(teacher), experimental_preserve_all_tensors=True, num_threads=1)
    net.allocate_tensors()
    entry = net.get_input_details()[0]["index"]
    details = {d["name"]: d for d in net.get_tensor_details()}
    rows, groups, shapes = [], [], []
    for example in examples(world, only={"jpg", "json", "safetensors"}):
        large = Image.fromarray(np.asarray(example.image.pixels)).resize((224, 224), Image.Resampling.BICUBIC)
        net.set_tensor(entry, np.asarray(large)[None])
        net.invoke()
        parts = []
        for name, side, _ in MAPS:
            scale, zero = details[name]["quantization"]
            values = (net.get_tensor(details[name]["index"])[0].astype(float) - zero) * scale
            at = np.clip((example.arrays["strike_xy"] * side).astype(int), 0, side - 1)
            parts.append(values.reshape(side, side, -1)[at[:, 1], at[:, 0]].mean(0))
        rows.append(np.concatenate(parts))
        groups.append(GROUPS.index(str(example.truth["group"])))
        shapes.append(str(example.truth["shape_key"]))
    return np.array(rows), np.array(groups), np.array(shapes)


def main(train: Path, other: Path, teacher: Path) -> None:
    """Print the accuracy on both worlds for each ridge."""
    x, group, _ = features(train, teacher)
    y, truth, shapes = features(other, teacher)
    mean, spread = x.mean(0), x.std(0) + 1e-6
    x, y = (x - mean) / spread, (y - mean) / spread
    for ridge in RIDGES:
        weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ np.eye(len(GROUPS))[group])
        fit = float(((x @ weights).argmax(1) == group).mean())
        right = ((y @ weights).argmax(1) == truth).astype(float)
        held = bootstrap(shapes, lambda i, r=right: float(r[i].mean())).record()
        interval = f"[{held['low']:.3f}, {held['high']:.3f}]"
        print(f"ridge {ridge:g}: train {fit:.3f}; other {held['value']:.3f} {interval}, n = {held['n']}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
