"""Our own ear for kinds: a second judge, taught by recordings of the split `judge` alone, in less than a minute.

A sound is cut into looks of two seconds; of each, statistics of its mel bands are taken (colour, movement, modulation),
its level left out. Weighted kernel ridge regression says how much of each kind is in a look; its regression to labels
also serves as the embedding for distances between sets of sounds. It shares neither data nor features with any model
that it judges, nor with YAMNet, and it is worth what its own accuracy on real held-out recordings is.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import hub, media, shards
from ..data.table import SILENT_KIND
from ..senses import InputError, Sound

if TYPE_CHECKING:
    from jaxtyping import Float, Int

VERSION = 1
RATE = 16_000
LOOK_S, STEP_S = 2.0, 1.0
WINDOW, HOP = 512, 160  # samples; 100 frames a second
BANDS = 40
MODULATIONS_HZ = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # edges
GROUPS = 8  # of bands, whose modulations are told apart
RANGE_DB = 60.0
MOST_LOOKS = 6  # at one recording
MOST_OF_A_KIND = 90  # looks
WIDTHS, RIDGES = (0.25, 0.5, 1.0), (0.03, 0.1, 0.3, 1.0)  # tried; of the median distance, of a kind's mean weight
FOLDS = 5


@cache
def _mel() -> np.ndarray:
    """(bins, BANDS) triangles equally spaced in m = 2595 log10(1 + f/700) from 50 Hz to 7.9 kHz."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (50.0, 7900.0))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    f = np.linspace(0, RATE / 2, WINDOW // 2 + 1)[:, None]
    rise, fall = (f - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - f) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rise, fall)) + 1e-6


def looks(sound: Sound, most: int | None = None) -> list[Float[np.ndarray, " samples"]]:
    """Two seconds at a time, one second apart (at most so many, spread evenly); a shorter sound begins again."""
    wave = media.resample(Sound(sound.mono[None], sound.rate), RATE).mono
    size, step = round(LOOK_S * RATE), round(STEP_S * RATE)
    if len(wave) < size:
        return [np.resize(wave, size) if len(wave) else np.zeros(size, np.float32)]
    starts = np.arange(0, len(wave) - size + 1, step)
    if most is not None and len(starts) > most:
        starts = starts[np.linspace(0, len(starts) - 1, most).round().astype(int)]
    return [wave[s : s + size] for s in starts]


def statistics(wave: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " d"]:
    """What is heard in one look, whatever its level.

    In dB of mel bands, relative to the loudest and within 60 dB: mean, standard deviation and mean step between frames
    of each band; the share that each modulation band has in the movement of each group of bands; how the whole's
    level moves (standard deviation, skew, share of time within 10 dB of the loudest).
    """
    frames = np.lib.stride_tricks.sliding_window_view(wave.astype(np.float32), WINDOW)[::HOP]
    hann = np.hanning(WINDOW).astype(np.float32)
    power = np.abs(np.fft.rfft(frames * hann, axis=-1)) ** 2 @ _mel()
    top = max(float(power.max()), 1e-12)
    level = np.maximum(10 * np.log10(np.maximum(power / top, 1e-9)), -RANGE_DB)
    centred = level - level.mean(axis=0)
    grouped = centred.reshape(len(level), GROUPS, -1).mean(axis=2)
    spectrum = np.abs(np.fft.rfft(grouped * np.hanning(len(grouped))[:, None], axis=0)) ** 2
    hz = np.arange(len(spectrum)) * (RATE / HOP) / len(grouped)
    band = np.searchsorted(MODULATIONS_HZ, hz, side="right")
    moved = np.stack([spectrum[band == b].sum(axis=0) for b in range(1, len(MODULATIONS_HZ))])
    share = np.log10(moved / np.maximum(moved.sum(axis=0), 1e-9) + 1e-3)
    whole = 10 * np.log10(np.maximum(power.sum(axis=1) / power.sum(axis=1).max().clip(1e-12), 1e-6))
    spread = float(whole.std())
    skew = float(((whole - whole.mean()) ** 3).mean()) / max(spread, 1.0) ** 3
    total = [spread, 3.0 * skew, 20.0 * float((whole > -10).mean())]
    step = np.abs(np.diff(level, axis=0)).mean(axis=0)
    return np.concatenate([level.mean(axis=0), level.std(axis=0), 3.0 * step, 10.0 * share.ravel(), total])


@dataclass(frozen=True, eq=False)
class KindEar:
    """A listener: labels, and kernel ridge over the looks that it was taught with."""

    labels: tuple[str, ...]
    points: Float[np.ndarray, "n d"]
    mean: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]
    gamma: float
    weights: Float[np.ndarray, "n kinds"]

    def listen(self, sound: Sound) -> tuple[dict[str, float], Float[np.ndarray, " kinds"]]:
        """How much of each kind is heard, clearest first; and the same as a place in the judge's own space.

        About −1 … 1, the mean over the looks at the sound.
        """
        x = (np.stack([statistics(look) for look in looks(sound)]) - self.mean) / self.scale
        score = (np.exp(-self.gamma * _squares(x, self.points)) @ self.weights).mean(axis=0)
        return {self.labels[k]: float(score[k]) for k in np.argsort(-score, kind="stable")}, score

    def kinds(self, sound: Sound) -> dict[str, float]:
        """How much of each kind is heard, clearest first."""
        return self.listen(sound)[0]


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2.0 * a @ b.T, 0.0)


def load(folder: Path) -> KindEar:
    """The judge for these shards: taught now, or kept in the cache folder by the hash of the shards it learned from."""
    files = sorted(folder.glob("judge-*.tar"))
    if not files:
        raise InputError(f"{folder} has no shards of the split judge; make them with `synesthesia data pack`.")
    sha = hashlib.sha256(str(VERSION).encode())
    for path in files:
        with open(path, "rb") as file:
            sha.update(hashlib.file_digest(file, "sha256").digest())
    kept = hub.cache_folder("judges") / f"kinds-{VERSION}-{sha.hexdigest()[:32]}.safetensors"
    if kept.is_file():
        return _read(kept)
    ear = teach(*_examples(files))
    _write(kept, ear)
    return ear


def _examples(files: Sequence[Path]) -> tuple[Float[np.ndarray, "n d"], list[str], list[str]]:
    """Statistics of the looks at each recording, with its kind and its cluster."""
    x: list[np.ndarray] = []
    kinds: list[str] = []
    clusters: list[str] = []
    count: dict[str, int] = defaultdict(int)
    for path in files:
        for example in shards.examples(path, only={"json", "hit0.flac"}):
            kind, cluster = str(example.truth.get("kind")), str(example.truth.get("cluster"))
            if not example.sounds or kind == SILENT_KIND:
                continue
            for look in looks(example.sounds[0], MOST_LOOKS):
                if count[kind] < MOST_OF_A_KIND and count[cluster] < 2 * MOST_LOOKS:
                    count[kind] += 1
                    count[cluster] += 1
                    x.append(statistics(look))
                    kinds.append(kind)
                    clusters.append(cluster)
    if len(set(kinds)) < 2:
        raise InputError("The split judge holds recordings of fewer than two kinds; there is nothing to tell apart.")
    return np.stack(x), kinds, clusters


def teach(x: Float[np.ndarray, "n d"], kinds: Sequence[str], clusters: Sequence[str]) -> KindEar:
    """Kernel ridge on ±1 targets, every kind counting the same; width and ridge are those that name left-out recordings
    best (five folds of whole recordings).
    """
    labels = tuple(sorted(set(kinds)))
    number = np.array([labels.index(k) for k in kinds])
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-3
    unit = (x - mean) / scale
    square = _squares(unit, unit)
    middle = 1.0 / max(float(np.median(square)), 1e-9)
    y = np.where(number[:, None] == np.arange(len(labels)), 1.0, -1.0)
    each = np.bincount(number)[number].astype(float)
    noise = each / each.mean()  # of a kind with many looks each counts less
    names, cluster = np.unique(np.array(clusters), return_inverse=True)
    fold = np.random.default_rng(0).integers(FOLDS, size=len(names))[cluster]

    def solved(rows: Int[np.ndarray, " m"], kernel: np.ndarray, ridge: float) -> np.ndarray:
        inner = kernel[np.ix_(rows, rows)] + ridge * np.diag(noise[rows])
        return np.linalg.solve(inner, y[rows])

    best = (-1.0, WIDTHS[0], RIDGES[0])
    for width in WIDTHS:
        kernel = np.exp(-width * middle * square)
        for ridge in RIDGES:
            right = np.zeros(len(x))
            for k in range(FOLDS):
                out, kept = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
                if len(out) and len(kept):
                    guess = kernel[np.ix_(out, kept)] @ solved(kept, kernel, ridge)
                    right[out] = guess.argmax(axis=1) == number[out]
            share = float((right / each).sum() / len(labels))
            best = max(best, (share, width, ridge))
    _, width, ridge = best
    kernel = np.exp(-width * middle * square)
    return KindEar(labels, unit, mean, scale, width * middle, solved(np.arange(len(x)), kernel, ridge))


def _write(path: Path, ear: KindEar) -> None:
    import safetensors.numpy

    tensors = {k: np.asarray(getattr(ear, k), np.float32) for k in ("points", "mean", "scale", "weights")}
    told = {"labels": json.dumps(ear.labels), "gamma": repr(ear.gamma)}
    path.parent.mkdir(parents=True, exist_ok=True)
    media.write_bytes(path, safetensors.numpy.save(tensors, metadata=told))


def _read(path: Path) -> KindEar:
    import safetensors
    import safetensors.numpy

    data = media.read_bytes(path, 2**28)
    hub.check_safetensors(data, str(path))
    tensors = safetensors.numpy.load(data)
    try:
        with safetensors.safe_open(path, "numpy") as file:
            told = file.metadata()
        labels = tuple(json.loads(told["labels"]))
        parts = {k: tensors[k].astype(np.float64) for k in ("points", "mean", "scale", "weights")}
        return KindEar(labels, gamma=float(told["gamma"]), **parts)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a judge of kinds ({error}); delete it and it is taught again.") from error
