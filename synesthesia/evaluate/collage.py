"""Two photos as one picture: the simplest scene of which it is known what is where."""

from __future__ import annotations

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
    return Image(np.clip(pixels, 0, 255).astype(np.uint8)), Region(mask.copy()), Region(1 - mask)
