#!/usr/bin/env python3
# Cost: about 2 minutes on one core. Makes the tables of docs/birds.md.
"""How well true songs of birds can be told apart and measured: the ceilings of every figure about birds.

    python runs/birds_ceiling.py

Species of the split `test`, two individuals of each, 5 s each, half of the songs with an echo; the judge is
`metrics.song`. "Law" rows sing what the law says for a bird's look without any scatter: no model that knows nothing but
the look can be expected to do better.
"""

from __future__ import annotations

import math

import numpy as np

from synesthesia.metrics import song as judge
from synesthesia.worlds import bird_laws as laws
from synesthesia.worlds.bird_songs import RATE, sing

SPECIES = 150
SECONDS = 5.0
AMONG = 10
DRAWS = 20
# Which parameter of the song each number of the judge stands for.
MEANT = {
    "pitch": "pitch_hz", "range": "range_oct", "rate": "rate_hz", "duty": "duty", "sweep": "sweep", "arch": "arch",
    "trill_rate": "trill_hz", "trill_depth": "trill", "harmonics_db": "richness", "other_voice_db": "voices",
    "noise_db": "breath", "phrase": "phrase", "pause": "pause_s",
}  # fmt: skip


def rendition(song: laws.Song, rng: np.random.Generator) -> np.ndarray:
    """What the judge says of one song, with an echo or without."""
    return judge.song(sing(song, SECONDS, rng, echo_db=-20.0 if rng.random() < 0.5 else None)[0], RATE)


def identified(heard: np.ndarray, own: np.ndarray, spread: np.ndarray) -> tuple[float, float]:
    """Share of species whose own song is the nearest to what is heard among `AMONG`, and its 95 % half-width."""
    rng, share = np.random.default_rng(0), np.zeros(len(heard))
    for k in range(len(heard)):
        for _ in range(DRAWS):
            others = rng.choice(np.delete(np.arange(len(heard)), k), AMONG - 1, replace=False)
            gaps = judge.distance(heard[k], own[np.append(others, k)], spread)
            share[k] += bool(gaps[-1] < gaps[:-1].min()) / DRAWS
    return float(share.mean()), 1.96 * float(share.std()) / math.sqrt(len(share))


def ranks(x: np.ndarray) -> np.ndarray:
    return x.argsort().argsort().astype(float)


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's, over what both have."""
    both = ~(np.isnan(x) | np.isnan(y))
    return float(np.corrcoef(ranks(x[both]), ranks(y[both]))[0, 1])


def main() -> None:
    for law in laws.LAWS:
        kinds = [laws.species(laws.SPLITS["test"].start + k, law) for k in range(SPECIES)]
        heard, told = [np.zeros((SPECIES, len(judge.NAMES))) for _ in range(3)], []
        for k, kind in enumerate(kinds):
            for twice in range(2):
                rng = np.random.default_rng([k, twice])
                song = laws.individual(kind, rng)[1]
                heard[twice][k] = rendition(song, rng)
                if not twice:
                    told.append([getattr(song, name) for name in MEANT.values()])
            alone = laws.song(laws.songs(kind.look[None], law)[0])
            heard[2][k] = rendition(alone, np.random.default_rng([k, 2]))
        spread = np.nanstd(heard[0], axis=0)
        for name, other in (("another bird of the species", heard[1]), ("what the law says", heard[2])):
            share, half = identified(other, heard[0], spread)
            print(f"law {law}: own song among {AMONG}, {name}: {100 * share:.1f} ± {100 * half:.1f} %, n = {SPECIES}")
        table = np.array(told)
        print("| | judge against truth | two birds of a species | the law's song | spread |\n|---|---|---|---|---|")
        for i, name in enumerate(judge.NAMES):
            row = [correlation(heard[0][:, i], other) for other in (table[:, i], heard[1][:, i], heard[2][:, i])]
            print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in row) + f" | {spread[i]:.3g} |")


if __name__ == "__main__":
    main()
