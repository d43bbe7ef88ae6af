"""Which files are one recording, and which split each recording goes to.

Two files of one recording in two splits would let a model be measured on what it was trained on. Files are joined when
their catalogue says so and when they sound the same at some lag; photos when they look the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..metrics import copies
from ..senses import Image

if TYPE_CHECKING:
    from jaxtyping import Float

Split = Literal["train", "judge", "test"]
SPLITS: tuple[Split, ...] = ("train", "judge", "test")
SAME_MOVEMENT = 0.95
SAME_DB = 3.0
SAME_PHOTO = 0.98


def near_duplicates(prints: Sequence[Float[np.ndarray, "_ bands"]]) -> Iterator[tuple[int, int]]:
    """Pairs of sounds in which one second of the first stands in the second at some lag; see `metrics.copies`.

    It stands there when it moves alike (correlation above `SAME_MOVEMENT`) and looks alike (less than `SAME_DB` apart,
    or two drums would be one recording). At most six seconds of the first, spread over its length, are looked for.
    """
    probes = [copies.cut(p, copies.SECOND // 2) for p in prints]
    probes = [p[np.linspace(0, len(p) - 1, min(6, len(p))).round().astype(int)] for p in probes]
    if not probes:
        return
    starts = np.cumsum([0, *map(len, probes)])[:-1]
    stacked = np.concatenate(probes)
    moving = copies.movement(stacked)
    for j, known in enumerate(prints):
        windows = copies.cut(known)
        same = (moving @ copies.movement(windows).T > SAME_MOVEMENT) & (
            copies.difference_db(stacked, windows) < SAME_DB
        )
        for i in np.flatnonzero(np.logical_or.reduceat(same.any(axis=1), starts)):
            if i != j:
                yield int(i), j


def thumbnail(image: Image) -> Float[np.ndarray, " 256"]:
    """A photo as 16 × 16 area-averaged grey values, centred, of unit norm; one without any contrast is zero."""
    from PIL import Image as Pil

    grey = np.asarray(Pil.fromarray(np.asarray(image.pixels)).convert("L").resize((16, 16), Pil.Resampling.BOX), float)
    grey = (grey - grey.mean()).ravel()
    return grey / max(float(np.linalg.norm(grey)), 1e-9)


def same_photos(thumbs: Float[np.ndarray, "n 256"]) -> Iterator[tuple[int, int]]:
    """Pairs i < j of photos whose thumbnails correlate above `SAME_PHOTO`."""
    for i, one in enumerate(thumbs):
        for j in np.flatnonzero(thumbs[i + 1 :] @ one > SAME_PHOTO):
            yield i, i + 1 + int(j)


def union(count: int, pairs: Iterator[tuple[int, int]] | Sequence[tuple[int, int]]) -> list[int]:
    """The group of each of `count` items, named by its first member, when every pair stands in one group."""
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in pairs:
        first, second = sorted((root(a), root(b)))
        parent[second] = first
    return [root(i) for i in range(count)]


def _order(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def assign(kinds: Mapping[str, Sequence[str]], may_train: Callable[[str], bool]) -> dict[str, Split]:
    """The split of each cluster, given the clusters of each kind.

    Of the clusters of a kind that may be trained on, a fifth (at least one where there are three) goes to the judges
    and a fifth to the tests; with two, one is trained on and one tested; a single one is trained on, and the kind
    cannot be measured. Clusters that may not be trained on go to judges and tests by turns. A cluster of several kinds
    has one split for all. The order comes from a hash of the name, so that a new cluster moves few others.
    """
    split: dict[str, Split] = {}
    for kind in sorted(kinds, key=lambda k: (len(kinds[k]), k)):
        names = sorted(set(kinds[kind]), key=_order)
        trainable = [name for name in names if may_train(name)]
        share = 0 if len(trainable) < 3 else max(1, round(len(trainable) / 5))
        want = {"judge": share, "test": max(share, int(len(trainable) == 2))}
        for name in trainable:
            taken = split.get(name)
            if taken in want:
                want[taken] -= 1
        for name in trainable:
            if name not in split:
                open_splits = [s for s in ("test", "judge") if want[s] > 0]
                chosen: Split = "train"
                if open_splits:
                    chosen = "test" if open_splits[0] == "test" else "judge"
                    want[chosen] -= 1
                split[name] = chosen
        for turn, name in enumerate(n for n in names if n not in split):
            split[name] = "test" if turn % 2 == 0 else "judge"
    return split
