#!/usr/bin/env python3
# Cost: under a second on one core. Makes the table of docs/losses.md.
"""Median loss factor and its slope over frequency of the measured modal tables of struck objects at rest.

    python runs/calibrate_losses.py FOLDER

FOLDER holds ThreeDWorld's PyImpact tables `<material>_<size>_mm.json` (BSD-2), each with the lists `cf` (Hz),
`op` (dB) and `rt` (T60 in seconds, support losses included). Many names are byte copies of one table, so tables are
told apart by their content. T60 = 2.2 / (f eta). The second table compares the medians with ours.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np

from synesthesia.physics.materials import COATINGS, MATERIALS, loss_parts

NAMES = {"plastc_hard": "plastic_hard"}  # a misspelt file of the collection


def distinct_tables(folder: Path) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """material -> list of (frequency in Hz, T60 in seconds), every table once."""
    seen: set[str] = set()
    tables: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text())
        frequency, t60 = np.asarray(data["cf"], float), np.asarray(data["rt"], float)
        digest = hashlib.sha256(frequency.tobytes() + t60.tobytes()).hexdigest()
        if digest in seen:
            continue
        seen.add(digest)
        name = re.sub(r"_\d_mm$", "", path.stem)
        good = (frequency > 0) & (t60 > 0)
        tables.setdefault(NAMES.get(name, name), []).append((frequency[good], t60[good]))
    return tables


def fit(tables: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float, float]:
    """(median eta, common slope of log eta over log f inside the tables, median of eta carried along it to 1 kHz)."""
    x = [np.log(f / 1000) for f, _ in tables]
    y = [np.log(2.2 / (f * t)) for f, t in tables]
    xc = np.concatenate([v - v.mean() for v in x])
    yc = np.concatenate([v - v.mean() for v in y])
    slope = float(xc @ yc / (xc @ xc))
    level = np.median(np.concatenate(y) - slope * np.concatenate(x))
    return float(np.exp(np.median(np.concatenate(y)))), slope, float(np.exp(level))


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    tables = distinct_tables(Path(sys.argv[1]))
    print(f"{sum(map(len, tables.values()))} distinct tables\n")
    print("| material | tables | modes | median f, Hz | median eta | slope | eta at 1 kHz |")
    print("|---|---|---|---|---|---|---|")
    for name, rows in sorted(tables.items()):
        eta, slope, level = fit(rows)
        frequency = np.concatenate([f for f, _ in rows])
        print(
            f"| {name} | {len(rows)} | {frequency.size} | {np.median(frequency):.0f} "
            f"| {eta:.4f} | {slope:+.2f} | {level:.4f} |"
        )
    print("\n| our material | table | hung eta at 1 kHz | slope | at rest: ours | measured |")
    print("|---|---|---|---|---|---|")
    for m in MATERIALS.values():
        table = m.source.split("'")[-2]
        frequency = np.concatenate([f for f, _ in tables[table]])
        ours = np.median(sum(loss_parts(m, COATINGS["none"], "resting", frequency).values()))
        print(f"| {m.name} | {table} | {m.loss:.5f} | {m.loss_slope:+.1f} | {ours:.4f} | {fit(tables[table])[0]:.4f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
