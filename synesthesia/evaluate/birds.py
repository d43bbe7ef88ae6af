"""Real birds, zero-shot: which of some recordings goes with a photo of a bird, and which photo with a recording.

A folder holds a photo and a recording of each species under one name. The model was never told which belongs to which,
nor what any of them is called; its figure stands beside chance, whatever it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import media
from ..metrics import mean
from ..senses import Image, InputError, Sound
from .hear_clips import Matcher
from .hear_rows import excerpt

if TYPE_CHECKING:
    from jaxtyping import Float

SECONDS = 8.0
TOP = (1, 5, 10)
MOST = 1000


def read(folder: Path) -> list[tuple[str, Image, Sound]]:
    """Name, photo and recording of each species of which there are both, by name."""
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.")
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        for what, endings in (("photo", media.PICTURES), ("sound", media.SOUNDS)):
            if path.suffix.lower() in endings:
                found.setdefault(path.stem, {}).setdefault(what, path)
    both = {name: files for name, files in found.items() if len(files) == 2}
    if not 2 <= len(both) <= MOST:
        raise InputError(
            f"{folder} holds {len(both)} pairs of a photo and a recording of one name; between 2 and {MOST} are needed."
        )
    return [(name, media.read_image(f["photo"]), media.read_sound(f["sound"])) for name, f in both.items()]


def evaluate(model: Matcher, folder: Path) -> dict[str, Any]:
    """R@k both ways, the mean reciprocal rank, and chance."""
    birds = read(folder)
    seen = [s for _, image, _ in birds for s in model.see([image])]
    heard = [h for _, _, sound in birds for h in model.hear([excerpt(sound, SECONDS, 0)])]
    return retrieved(model.match(seen, heard))


def retrieved(score: Float[np.ndarray, "n n"]) -> dict[str, Any]:
    """The figures of a table of scores, photos by recordings, whose pairs lie on the diagonal; ties count half."""
    n = len(score)
    out: dict[str, Any] = {"pairs": n}
    for way, table in (("photo to recording", score), ("recording to photo", score.T)):
        own = np.diag(table)[:, None]
        rank = (table > own).sum(axis=1) + 0.5 * ((table == own).sum(axis=1) - 1)
        whose = [str(k) for k in range(n)]
        for k in TOP:
            told = mean((rank < k).astype(float), whose).record()
            out[f"{way}, R@{k}"] = told | {"chance": min(1.0, k / n)}
        out[f"{way}, mean reciprocal rank"] = mean(1 / (rank + 1), whose).record() | {
            "chance": float(np.mean(1 / np.arange(1, n + 1)))
        }
    return out


def table(result: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [f"{result['pairs']} photos and recordings of real birds", "", "| what | % | chance, % |", "|---|---|---|"]
    lines += [
        f"| {name} | {100 * e['value']:.0f} [{100 * e['low']:.0f}, {100 * e['high']:.0f}] | {100 * e['chance']:.0f} |"
        for name, e in result.items()
        if isinstance(e, Mapping)
    ]
    return "\n".join(lines)
