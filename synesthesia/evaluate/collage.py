"""Photos side by side as one picture: the simplest scene of which it is known what is where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..senses import Image, Region

SIDE = 224  # of a half
SOFT = 6.0  # pixels over which the seam blends


def square(image: Image) -> np.ndarray:
    """The middle of a picture as a square of `SIDE` pixels, float64 [side, side, 3]."""
    from PIL import Image as Pil

    side = min(image.width, image.height)
    x, y = (image.width - side) // 2, (image.height - side) // 2
    part = Pil.fromarray(np.asarray(image.pixels)).crop((x, y, x + side, y + side))
    return np.asarray(part.resize((SIDE, SIDE), Pil.Resampling.BICUBIC), np.float64)


def side_by_side(a: Image, b: Image) -> tuple[Image, Region, Region]:
    """Two photos as one picture with a soft seam, and where each of them is; over the seam they go on mirrored."""
    left = 1 / (1 + np.exp((np.arange(2 * SIDE) - SIDE + 0.5) / SOFT))[None, :, None]
    one, other = square(a), square(b)
    pixels = left * np.concatenate([one, one[:, ::-1]], axis=1)
    pixels += (1 - left) * np.concatenate([other[:, ::-1], other], axis=1)
    mask = np.broadcast_to(left[0, :, 0].astype(np.float32), (SIDE, 2 * SIDE))
    return Image(np.clip(np.round(pixels), 0, 255).astype(np.uint8)), Region(mask.copy()), Region(1 - mask)


def in_quarters(images: Sequence[Image]) -> tuple[Image, list[Region]]:
    """Four photos as the quarters of one picture, row by row, with soft seams, and where each of them is."""
    if len(images) != 4:
        raise ValueError(f"A picture has four quarters, not {len(images)}.")
    first = 1 / (1 + np.exp((np.arange(2 * SIDE) - SIDE + 0.5) / SOFT))
    along = np.stack([first, 1 - first])
    masks = np.einsum("ai,bj->abij", along, along).reshape(4, 2 * SIDE, 2 * SIDE)
    pixels = np.zeros((2 * SIDE, 2 * SIDE, 3))
    for k, image in enumerate(images):
        part = square(image)
        for axis, last in ((0, k // 2 == 1), (1, k % 2 == 1)):  # over the seams a photo goes on mirrored
            pair = (np.flip(part, axis), part) if last else (part, np.flip(part, axis))
            part = np.concatenate(pair, axis)
        pixels += masks[k][..., None] * part
    whole = Image(np.clip(np.round(pixels), 0, 255).astype(np.uint8))
    return whole, [Region(mask.astype(np.float32).clip(0, 1)) for mask in masks]
