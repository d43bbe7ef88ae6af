#!/usr/bin/env python3
# Cost: a quarter of an hour on one core, most of it to make the birds.
"""What the closer look has for a law that it never met.

    python runs/birds_law_b.py TRAIN TEST [OUT]

TRAIN, TEST: folders of `synesthesia world birds --law b`, split train (2,000 pictures, seed 31) and test (160, seed
90031). Of hear/tiny, which learned law a, everything stays as it is but the last linear map, from what the closer look
sees to the notion of a song: that is fitted anew, by ridge regression, to the songs of TRAIN. Then the birds of TEST
are asked about as in `synesthesia evaluate song`, and beside it with the map of law a, which is wrong for them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from synesthesia.bridges.hearing import Hearing
from synesthesia.evaluate import song
from synesthesia.train.sing_data import looked_closer, read_singers

FOLDS, RIDGES = 5, (1.0, 3.0, 10.0, 30.0, 100.0)


def ridge(x: np.ndarray, y: np.ndarray, weight: float) -> np.ndarray:
    """Coefficients of y on x, the constant (the last of x) free."""
    penalty = weight * np.eye(x.shape[1])
    penalty[-1, -1] = 0
    return np.linalg.solve(x.T @ x + penalty, x.T @ y)


def main() -> None:
    train, test, out = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3] if len(sys.argv) > 3 else "out/law_b")
    hearing = Hearing.load("hear/tiny")
    model = hearing.singing
    assert model is not None
    before = song.evaluate(hearing, test)
    birds = read_singers([train], hearing.locator.eyes, out / "birds.safetensors")
    seen = looked_closer(model, birds.cuts).double().numpy()
    x = np.concatenate([seen, np.ones((len(seen), 1))], 1)[birds.songs.sung.numpy()]
    y = ((birds.songs.notions[birds.songs.sung] - model.usual) / model.varied).double().numpy()
    fold = np.random.default_rng(0).integers(FOLDS, size=len(x))
    error = [
        sum(((x[fold == k] @ ridge(x[fold != k], y[fold != k], w) - y[fold == k]) ** 2).sum() for k in range(FOLDS))
        for w in RIDGES
    ]
    best = RIDGES[int(np.argmin(error))]
    fitted = torch.from_numpy(ridge(x, y, best)).float()
    with torch.no_grad():
        model.answer.weight[:] = fitted[:-1].T
        model.answer.bias[:] = fitted[-1]
    after = song.evaluate(hearing, test)
    print(f"{len(x)} birds to learn from, ridge {best:g}, {min(error) / y.size:.3f} of the variance left (held out)")
    print("law a's map:\n" + song.table(before) + "\n\nthe map fitted anew:\n" + song.table(after))
    out.mkdir(parents=True, exist_ok=True)
    (out / "law_b.json").write_text(json.dumps({"before": before, "after": after}, indent=1))


if __name__ == "__main__":
    main()
