#!/usr/bin/env python3
# Cost: about 50 minutes on one core for 300 steps of each head (two thirds of it training, the rest listening).
"""The mapper's heads compared: the same data, the same look, the same steps, one judge.

    python runs/heads.py SHARDS LOCATOR JUDGE [OUT [STEPS]]

SHARDS: of `synesthesia data pack`. LOCATOR: a folder of `synesthesia train hear` (or `locate/tiny`), whose eyes see.
JUDGE: the folder with yamnet.tflite. The look is taught once (`HearRun.look_steps`) and is the same for all; then each
head learns for so many steps. Asked are photos of the split judge, which taught nothing, whole: how far mean latents
are from those of a recording of the kind (in standard deviations; always saying the mean is a row of its own), whether
YAMNet hears the kind first or among three, and what a step and 8 s of sound cost. Intervals are over photos.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import time
from pathlib import Path
from typing import get_args

import numpy as np

from synesthesia.bridges.hearing import Hearing
from synesthesia.bridges.mapper import Head
from synesthesia.codecs.bands import Bands
from synesthesia.evaluate.ear import Ear
from synesthesia.evaluate.hear import read, shots_of, verdicts
from synesthesia.evaluate.hear_rows import Chorus, Shot, colour, excerpt
from synesthesia.metrics import mean
from synesthesia.train.hear import HearRun, train_hearing
from synesthesia.train.hear_data import read as read_lessons

SECONDS, PHOTOS = 5.0, 3


def asked(hearing: Hearing, shots: list[Shot], ear: Ear, real: np.ndarray, spread: np.ndarray) -> dict[str, object]:
    """What a head makes of photos, judged."""
    begun = time.process_time()
    sounds = Chorus(hearing).sounds([s.image for s in shots], [s.region for s in shots], SECONDS, range(len(shots)))
    seconds = (time.process_time() - begun) / len(shots) * 8.0 / SECONDS
    photos = [s.cluster for s in shots]
    heard = verdicts(ear, {"head": sounds}, shots)["head"]
    made = np.stack([colour(sound, hearing.voice) for sound in sounds])
    off = (((made - real) / spread) ** 2).mean(1)
    return {
        "first": mean(heard.first, photos).record(),
        "of_three": mean(heard.three, photos).record(),
        "latents": mean(off, photos).record(),
        "eight_seconds": seconds,
    }


def main() -> None:
    shards, locator, judge = (Path(a) for a in sys.argv[1:4])
    out = Path(sys.argv[4] if len(sys.argv) > 4 else "out/heads")
    steps = int(sys.argv[5]) if len(sys.argv) > 5 else 300
    lessons, ear, voice = read_lessons(shards, "train"), Ear(judge), Bands()
    run = HearRun(hear_steps=0)
    train_hearing(lessons, locator, out / "look", run)  # pictures are looked at and the look is taught, once
    held = read(shards, "judge", PHOTOS)
    shots = shots_of(held, held.sounds.keys())
    rng = np.random.default_rng(0)
    own = [held.sounds[s.kind][rng.integers(len(held.sounds[s.kind]))] for s in shots]
    real = np.stack([colour(excerpt(sound, SECONDS, 0), voice) for sound in own])
    known = np.stack([colour(excerpt(s, SECONDS, 0), voice) for kind in held.sounds.values() for s in kind])
    spread = np.maximum(known.std(0), 1e-3)
    photos = [s.cluster for s in shots]
    rows: dict[str, dict[str, object]] = {}
    for head in get_args(Head):
        folder = out / head
        if not folder.is_dir():
            shutil.copytree(out / "look", folder, ignore=shutil.ignore_patterns("hear"))
        begun = time.process_time()
        hearing = train_hearing(lessons, locator, folder, dataclasses.replace(run, hear_steps=steps, head=head))
        step = (time.process_time() - begun) / steps
        hearing.config = dataclasses.replace(hearing.config, sure=0.0)  # asked about is the head, not whether it sounds
        rows[head] = {"step_seconds": step} | asked(hearing, shots, ear, real, spread)
        print(head, json.dumps(rows[head]), flush=True)
    always = mean((((known.mean(0) - real) / spread) ** 2).mean(1), photos).record()
    told = {"photos": len(shots), "steps": steps, "rows": rows, "the mean, latents": always}
    (out / "heads.json").write_text(json.dumps(told, indent=1))
    print("| head | s a step | 8 s of sound, s | YAMNet first, % | of three, % | latents off |")
    print("|---|---|---|---|---|---|")
    for head, row in rows.items():
        print(f"| {head} | {row['step_seconds']:.2f} | {row['eight_seconds']:.2f} | " + " | ".join(
            f"{factor * r['value']:.{places}f} [{factor * r['low']:.{places}f}, {factor * r['high']:.{places}f}]"
            for r, factor, places in ((row["first"], 100, 0), (row["of_three"], 100, 0), (row["latents"], 1, 2))
        ) + " |")  # fmt: skip
    print(f"{len(shots)} photos; always the mean: latents {always['value']:.2f}")


if __name__ == "__main__":
    main()
