"""Real photos of five materials: folders of JPEGs, a split that neighbours cannot leak through, and hand features."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import media
from ..senses import MALLETS, Image, InputError, Sound
from .baselines import KernelRidge
from .judge import PHOTO_MATERIALS
from .protocol import BATCH, RATE, SECONDS, Ear, Model, line, mean, pooled

if TYPE_CHECKING:
    from jaxtyping import Float

# What a model can have learned from the photos it is asked about, and the floor and the aim of each.
LEARNED: dict[str, tuple[float, float] | None] = {"simulation": (0.4, 0.6), "unlabelled": None, "pairs": (0.82, 0.92)}
BLOCK = 20  # file numbers; neighbours show the same object, so they go to the same side of the split


@dataclass(frozen=True)
class Photo:
    """One photo: its file, its material, and the block of file numbers it belongs to."""

    path: Path
    material: str
    block: int

    @property
    def held_out(self) -> bool:
        return self.block % 5 == 0

    @property
    def object(self) -> str:
        """What the bootstrap resamples: a material's block."""
        return f"{self.material}/{self.block}"

    def read(self) -> Image:
        return media.read_image(self.path)


def find(folder: Path) -> list[Photo]:
    """The photos of `folder`/<material>/*.jpg, by material and file number.

    Raises InputError when a material has none or a file name holds no number (the split is by number).
    """
    photos: list[Photo] = []
    for material in PHOTO_MATERIALS:
        files = sorted((folder / material).glob("*.jpg"))
        if not files:
            raise InputError(f"{folder / material} holds no .jpg files; the folders are {', '.join(PHOTO_MATERIALS)}.")
        for path in files:
            number = re.search(r"(\d+)\D*$", path.stem)
            if number is None:
                raise InputError(f"{path} has no number in its name; photos are split by blocks of file numbers.")
            photos.append(Photo(path, material, int(number.group(1)) // BLOCK))
    return photos


def hand_features(image: Image) -> Float[np.ndarray, " d"]:
    """Colour histogram, local binary patterns and oriented gradients of a picture scaled to 128 × 128.

    Colour: 8 × 4 × 4 bins of hue, saturation and value, square roots. Texture: rotation-invariant uniform LBP of the
    8 neighbours at radii 1 and 2 in a 2 × 2 grid (Ojala et al. 2002). Shape: 9 orientations in 4 × 4 cells, blocks of
    2 × 2 (Dalal & Triggs 2005); finer cells would outnumber colour and texture in a distance.
    """
    from PIL import Image as Pil

    small = Pil.fromarray(np.asarray(image.pixels)).resize((128, 128), Pil.Resampling.BOX)
    hsv = np.asarray(small.convert("HSV"), dtype=int).reshape(-1, 3)
    grey = np.asarray(small.convert("L"), dtype=np.float64)
    bins = (hsv[:, 0] // 32) * 16 + (hsv[:, 1] // 64) * 4 + hsv[:, 2] // 64
    colour = np.sqrt(np.bincount(bins, minlength=128) / len(bins))
    return np.concatenate([colour, _lbp(grey, 1), _lbp(grey, 2), _hog(grey)])


def _lbp(grey: np.ndarray, radius: int) -> np.ndarray:
    n = len(grey)
    centre = grey[radius : n - radius, radius : n - radius]
    around = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    bits = np.stack(
        [
            grey[radius + dy * radius : n - radius + dy * radius, radius + dx * radius : n - radius + dx * radius]
            >= centre
            for dy, dx in around
        ]
    ).astype(int)
    changes = np.abs(bits - np.roll(bits, 1, axis=0)).sum(axis=0)
    code = np.where(changes <= 2, bits.sum(axis=0), 9)
    half = len(code) // 2
    cells = [code[i : i + half, j : j + half] for i in (0, half) for j in (0, half)]
    return np.concatenate([np.sqrt(np.bincount(c.ravel(), minlength=10) / c.size) for c in cells])


def _hog(grey: np.ndarray) -> np.ndarray:
    dy, dx = np.gradient(np.sqrt(grey / 255.0))
    strength, angle = np.hypot(dx, dy), np.arctan2(dy, dx) % np.pi
    bins = np.minimum((angle / np.pi * 9).astype(int), 8)
    cells = np.zeros((4, 4, 9))
    rows, columns = np.indices(grey.shape) // (len(grey) // 4)
    np.add.at(cells, (rows, columns, bins), strength)
    blocks = np.concatenate([cells[:-1, :-1], cells[1:, :-1], cells[:-1, 1:], cells[1:, 1:]], axis=-1)
    blocks = blocks / np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + 1e-4)
    blocks = np.minimum(blocks, 0.2)
    return (blocks / np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + 1e-4)).ravel() / 3.0


def photo_lines(
    model: Model, folder: Path, judge: Ear, seed: int, learned: str, n: int | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Five materials of real photos: knock at the centre of held-out photos, hung, and ask the judge.

    `learned` says what the model had of such photos (one of `LEARNED`), and so what is asked of it.
    Beside it: the same knocked at five places and voted, what a classifier reads off the model's own image features,
    hand features, and the judge's ceiling on true hung sounds. Blocks of file numbers are resampled.
    """
    found = find(folder)
    if n is not None:
        rng = np.random.default_rng(seed)
        held = [p for p in found if p.held_out]
        known = [p for p in found if not p.held_out]
        found = [*_some(known, 4 * n, rng), *_some(held, n, rng)]
    pictures: list[np.ndarray] = []
    hands: list[np.ndarray] = []
    test = np.array([p.held_out for p in found])
    seen_test: list[Any] = []
    images_test: list[Image] = []
    for start in range(0, len(found), BATCH):
        images = [p.read() for p in found[start : start + BATCH]]
        seen = model.see(images)
        pictures += list(pooled(seen))
        hands += [hand_features(i) for i in images]
        for p, s, image in zip(found[start : start + BATCH], seen, images, strict=True):
            if p.held_out:
                seen_test.append(s)
                images_test.append(image)
    names = np.array([p.material for p in found])
    truth, owners = names[test], np.array([p.object for p in found])[test]
    read: dict[str, np.ndarray] = {}
    for name, x in (("image_only", np.array(pictures)), ("hand_features", np.array(hands))):
        probe = KernelRidge.fit(x[~test], list(names[~test]), seed)
        read[name] = (np.array(probe.predict(x[test])) == truth).astype(float)

    places = [(0.5, 0.5), (0.4, 0.45), (0.6, 0.45), (0.45, 0.6), (0.55, 0.6)]
    votes = []
    centre: list[Sound] = []
    for place in places:
        heard: list[Sound] = []
        for start in range(0, len(seen_test), BATCH):
            part = seen_test[start : start + BATCH]
            thought = model.think(
                part, np.tile(place, (len(part), 1)), size_m=None, wall_m=None, support=["hung"] * len(part)
            )
            heard += model.sound(thought, 5.0, MALLETS["wood"], 1.0, SECONDS, RATE, seed)
        votes.append(judge.hear(heard, "photos"))
        centre = centre or heard
    labels = np.array(judge.labels("photos"))
    told = labels[votes[0].argmax(axis=1)]
    voted = labels[np.mean(votes, axis=0).argmax(axis=1)]
    by_ear = mean((told == truth).astype(float), owners, seed)
    bounds = LEARNED[learned]
    met = (None, None) if bounds is None else tuple(by_ear.value >= bound for bound in bounds)
    result = line(f"photos_{learned}", by_ear, *met)
    beside = {
        "by_ear_five_places": mean((voted == truth).astype(float), owners, seed).record(),
        **{name: mean(right, owners, seed).record() for name, right in read.items()},
        "judge_ceiling": judge.ceiling.get("photos"),
        "confusion": {a: {b: int(((truth == a) & (told == b)).sum()) for b in labels} for a in labels},
        "n_train": int((~test).sum()),
    }
    shown = np.linspace(0, len(truth) - 1, min(10, len(truth))).astype(int)
    gallery = [(images_test[k], str(truth[k]), str(told[k]), centre[k]) for k in shown]
    return result, {**beside, "gallery": gallery}


def _some(found: list[Photo], n: int, rng: np.random.Generator) -> list[Photo]:
    if len(found) <= n:
        return found
    return [found[int(k)] for k in np.sort(rng.choice(len(found), n, replace=False))]
