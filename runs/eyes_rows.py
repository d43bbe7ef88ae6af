#!/usr/bin/env python3
# Cost: about three minutes on one core for each pair of eyes.
"""What eyes see of photos: the kinds that a kernel ridge reads from it, with and without a teacher.

    python runs/eyes_rows.py SHARDS [EYES ...]

SHARDS: of `synesthesia data pack`. EYES: folders of `synesthesia train eyes`, with a teacher or without, locators, or
hf:user/repo@commit; beside them always eyes that learned nothing, and the mean colour. Mean, spread and maximum of what
they see in photos of the split train, whole, are read (`evaluate.baselines.KernelRidge`); asked are the photos of the
split judge. Intervals are over clusters of photos.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from synesthesia.bridges.grounding import Locator
from synesthesia.encoders import load_eyes
from synesthesia.encoders.base import PatchEncoder
from synesthesia.encoders.vision import tiny_eyes
from synesthesia.evaluate.baselines import KernelRidge
from synesthesia.metrics import mean
from synesthesia.senses import Image, InputError
from synesthesia.train.hear_data import SILENT, Photos, read

MOST = 2000  # photos of a size to learn from, of what sounds


def load(name: str) -> PatchEncoder:
    """Eyes, or those of a locator."""
    try:
        return load_eyes(name, device="cpu")
    except InputError:
        return Locator.load(name).eyes


def seen(eyes: PatchEncoder | None, photos: Photos, rows: np.ndarray) -> np.ndarray:
    """Mean, spread and maximum over the patches of each photo; of no eyes, the colour."""
    pixels = photos.pixels[torch.from_numpy(rows)].numpy()
    if eyes is None:
        return pixels.reshape(len(pixels), -1, 3).mean(1) / 255
    out = []
    for at in range(0, len(pixels), 16):
        for patches in eyes.see([Image(p) for p in pixels[at : at + 16]]):
            flat = patches.dense.values.reshape(-1, patches.dense.values.shape[-1])
            out.append(np.concatenate([flat.mean(0), flat.std(0), flat.max(0)]))
    return np.stack(out)


def main() -> None:
    shards, names = Path(sys.argv[1]), sys.argv[2:]
    learned, asked = read(shards, "train"), read(shards, "judge")
    torch.manual_seed(0)
    rows: dict[str, PatchEncoder | None] = {"colour": None, "eyes that learned nothing": tiny_eyes().eval()}
    rows |= {name: load(name) for name in names}
    print("| eyes | large photos, % | little photos, % |\n|---|---|---|")
    for name, eyes in rows.items():
        cells = []
        for some, held in zip(learned.photos, asked.photos, strict=True):
            chosen = np.random.default_rng(0).permutation(np.flatnonzero(some.kind != SILENT))[:MOST]
            asked_of = np.flatnonzero(held.kind != SILENT)
            ridge = KernelRidge.fit(seen(eyes, some, chosen), [str(kind) for kind in some.kind[chosen]])
            told = ridge.predict(seen(eyes, held, asked_of))
            right = np.array([t == str(kind) for t, kind in zip(told, held.kind[asked_of], strict=True)], float)
            share = mean(right, held.cluster[asked_of]).record()
            low, value, high = (round(100 * share[k]) for k in ("low", "value", "high"))
            cells.append(f"{value} [{low}, {high}], n = {len(asked_of)}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
