#!/usr/bin/env python3
# Cost: about 3 minutes on one core. Makes the tables of docs/voices.md.
"""What the voice `bands` keeps of real recordings: encode, decode, compare, and ask a judge what it hears.

    python runs/voice_bands.py DATA JUDGE WORK

DATA is the folder of the data, JUDGE holds yamnet.tflite and yamnet_class_map.csv (Apache-2.0; needs the wheel
ai-edge-litert), WORK.jsonl keeps the results, so that a run that was stopped goes on. Up to `EACH` recordings of every
kind's test split, one a cluster, their first 8 s. The voice has nothing to train; its design was tried on train splits.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from synesthesia import data, media, metrics
from synesthesia.codecs.bands import FLOOR_DB, LEVELS, PARTIALS, RATE, RISE, Bands
from synesthesia.data.table import Item
from synesthesia.evaluate.ear import Ear
from synesthesia.metrics.texture import TextureError, texture, texture_error
from synesthesia.senses import Sound
from synesthesia.spaces import Features

ROOT = Path(__file__).parents[1]
EACH = 4
SECONDS = 8
SEED = 0


def without_extras(values: np.ndarray) -> np.ndarray:
    """The levels alone."""
    values = values.copy()
    values[:, PARTIALS] = FLOOR_DB
    values[:, RISE] = 0.0
    return values


def stilled(values: np.ndarray) -> np.ndarray:
    """The levels' mean power in every frame: noise of the recording's colour."""
    values = without_extras(values)
    values[:, LEVELS] = 10 * np.log10((10 ** (values[:, LEVELS] / 10)).mean(axis=0))
    return values


ROWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bands": lambda values: values,
    "its levels alone": without_extras,
    "steady noise of the same colour": stilled,
}


def chosen() -> list[Item]:
    """One file of each of up to `EACH` clusters a kind, in an order that nobody chose."""
    picked = []
    items = data.starter()
    for kind in data.KINDS:
        first: dict[str, Item] = {}
        for item in data.choose(items, "sound", kind, "test"):
            first.setdefault(item.cluster, item)
        order = sorted(first, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        picked += [first[name] for name in order[:EACH]]
    return picked


def measure(item: Item, other: Item | None, folder: Path, voice: Bands, ear: Ear) -> dict[str, object]:
    """The row of one recording; `other` is another one of its kind."""

    def load(row: Item) -> np.ndarray:
        return media.read_sound(folder / row.file, rate=RATE).mono[: SECONDS * RATE]

    def asked(samples: np.ndarray) -> dict[str, object]:
        heard = ear.kinds(Sound(samples[None], RATE))
        return {"first": next(iter(heard)) == item.kind, "three": item.kind in list(heard)[:3], "own": heard[item.kind]}

    real = load(item)
    latents = voice.encode(Sound(real[None], RATE))
    own = texture(real, RATE)
    out: dict[str, object] = {"file": item.file, "kind": item.kind, "real": asked(real)}
    for name, change in ROWS.items():
        made = voice.decode(Features(change(latents.values), voice.space), SEED).mono[: len(real)]
        error = texture_error(own, texture(made, RATE))._asdict()
        out[name] = asked(made) | error | {"lsd": metrics.log_spectral_distance(real, made)}
    if other is not None:
        second = load(other)
        error = texture_error(own, texture(second, RATE))._asdict()
        out["another recording of the kind"] = error | {"lsd": metrics.log_spectral_distance(real, second)}
    return out


def decoding_seconds(voice: Bands, folder: Path) -> float:
    """Processor seconds for 8 s of a recording with partials and onsets, the best of five."""
    item = data.choose(data.starter(), "sound", "bell", "test")[0]
    samples = np.resize(media.read_sound(folder / item.file, rate=RATE).mono, SECONDS * RATE)
    latents = voice.encode(Sound(samples[None], RATE))
    best = np.inf
    for _ in range(5):
        start = time.process_time()
        voice.decode(latents)
        best = min(best, time.process_time() - start)
    return best


def share(results: list[dict], row: str, key: str) -> str:
    """A share in percent with its interval over recordings."""
    values = np.array([float(r[row][key]) for r in results])
    e = metrics.bootstrap(np.arange(len(values)), lambda index: float(values[index].mean()))
    return f"{100 * e.value:.0f} [{100 * e.low:.0f}, {100 * e.high:.0f}]"


def page(results: list[dict], seconds: float) -> str:
    kinds = [k for k in data.KINDS if any(r["kind"] == k for r in results)]
    lines = [f"| real | {share(results, 'real', 'first')} | {share(results, 'real', 'three')} |" + " – |" * 6]
    for row in (*ROWS, "another recording of the kind"):
        here = [r for r in results if row in r]
        judged = row in ROWS
        cells = [share(here, row, "first"), share(here, row, "three")] if judged else ["–", "–"]
        numbers = [np.median([r[row][name] for r in here]) for name in ("lsd", *TextureError._fields)]
        cells += [f"{numbers[0]:.1f}", f"{numbers[1]:.1f}", *(f"{n:.3f}" for n in numbers[2:])]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    by_kind = []
    for kind in kinds:
        ours = [r for r in results if r["kind"] == kind]
        heard = [sum(bool(r[row]["first"]) for r in ours) for row in ("real", *ROWS)]
        own = [float(np.mean([r[row]["own"] for r in ours])) for row in ("real", *ROWS)]
        lsd = np.median([r["bands"]["lsd"] for r in ours])
        cells = [f"{h} ({o:.2f})" for h, o in zip(heard, own, strict=True)]
        by_kind.append(f"| {kind} | {len(ours)} | " + " | ".join(cells) + f" | {lsd:.1f} |")
    both = [r for r in results if r["real"]["first"]]
    kept = sum(bool(r["bands"]["first"]) for r in both)
    return f"""# Voices: what they keep

Made by `python runs/voice_bands.py DATA JUDGE WORK`. {len(results)} recordings of {len(kinds)} kinds, from test splits,
their first {SECONDS} s; intervals are 95 % over recordings.

## bands

64 band levels, 32 partials and an onset every 10 ms, decoded in closed form (`synesthesia/codecs/bands.py` documents
every channel). Nothing is trained. {SECONDS} s are decoded in {seconds:.2f} s of one core.

The judge is YAMNet, its classes mapped to our {len(data.KINDS)} kinds (`synesthesia/data/kinds.py`): *first* is how
often the true kind is the clearest of all, *of three* how often it is among three. Its score on real recordings is the
ceiling. Of the {len(both)} recordings that it names right, it names {kept} right after the voice. Median errors against
the recording: *LSD* log-spectral distance, dB (two draws of one noise are 8 dB apart); textures after McDermott
& Simoncelli (2011): band *mean* in dB, *spread*, *skew*, *modulation* (six bands), *correlation* between bands.

| row | first, % | of three, % | LSD | mean | spread | skew | modulation | correlation |
|---|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}

By kind: recordings named right first (and the mean score of the kind).

| kind | n | real | bands | levels alone | steady noise | LSD |
|---|---|---|---|---|---|---|
{chr(10).join(by_kind)}
"""


def main(folder: Path, judge: Path, work: Path) -> None:
    voice, ear = Bands(), Ear(judge)
    store = work.with_suffix(".jsonl")
    results = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    done = {r["file"] for r in results}
    items = chosen()
    with store.open("a") as out:
        for item in items:
            if item.file not in done:
                other = next((i for i in items if i.kind == item.kind and i.cluster != item.cluster), None)
                results.append(measure(item, other, folder, voice, ear))
                out.write(json.dumps(results[-1]) + "\n")
                out.flush()
    (ROOT / "docs/voices.md").write_text(page(results, decoding_seconds(voice, folder)))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
