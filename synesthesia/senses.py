"""The senses: what a person or a machine perceives, as frozen values with units.

Nothing here knows about files (see `media`), networks or physics. An array inside a sense is never modified.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float, UInt8

Support = Literal["hung", "resting", "held"]
SUPPORTS: tuple[Support, ...] = ("hung", "resting", "held")

# Contact stiffness of the striker as an equivalent Young's modulus in Pa (mallet heads; Fletcher & Rossing,
# The Physics of Musical Instruments, 2nd ed., §19.3 orders felt < wood < steel; the values are for bulk material).
MALLETS: dict[str, float] = {"felt": 2.0e7, "wood": 1.0e10, "steel": 2.0e11}


class InputError(ValueError):
    """Bad input from outside. The message says what was wrong and what to do; the command line exits with 2."""


def _frozen(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, eq=False)
class Image:
    """A picture: 8-bit sRGB pixels, shape (height, width, 3), upright."""

    pixels: UInt8[np.ndarray, "h w 3"]

    def __post_init__(self) -> None:
        p = np.asarray(self.pixels)
        if p.dtype != np.uint8 or p.ndim != 3 or p.shape[2] != 3 or 0 in p.shape:
            raise InputError(f"An image is (height, width, 3) of 8-bit values; this array is {p.shape} {p.dtype}.")
        object.__setattr__(self, "pixels", _frozen(p))

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    def _repr_png_(self) -> bytes:
        from PIL import Image as Pil

        buffer = io.BytesIO()
        Pil.fromarray(np.asarray(self.pixels)).save(buffer, "PNG")
        return buffer.getvalue()


@dataclass(frozen=True, eq=False)
class Sound:
    """A sound: float32 samples of shape (channels, samples), full scale ±1 = 2 Pa peak, with its rate in Hz."""

    samples: Float[np.ndarray, "*channels n"]
    rate: int

    def __post_init__(self) -> None:
        s = np.atleast_2d(np.asarray(self.samples, dtype=np.float32))
        if s.ndim != 2 or s.shape[0] == 0:
            raise InputError(f"A sound is (channels, samples); this array has the shape {s.shape}.")
        if not np.isfinite(s).all():
            raise InputError("The sound holds NaN or infinite samples; remove them first.")
        if not 1 <= int(self.rate) <= 768_000:
            raise InputError(f"A sample rate is between 1 and 768000 Hz, not {self.rate}.")
        object.__setattr__(self, "samples", _frozen(s))
        object.__setattr__(self, "rate", int(self.rate))

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def seconds(self) -> float:
        return self.samples.shape[1] / self.rate

    @property
    def mono(self) -> Float[np.ndarray, " n"]:
        """The mean of the channels."""
        return np.asarray(self.samples.mean(axis=0, dtype=np.float32))

    def save(self, path: str | Path, bits: int = 16, rate: int | None = None) -> None:
        """Write WAV, FLAC, OGG or MP3 by the file's ending; see `media.write_sound`."""
        from . import media

        media.write_sound(path, self, bits=bits, rate=rate)

    def _repr_html_(self) -> str:
        from . import media

        data = base64.b64encode(media.encode_wav(self)).decode()
        return f'<audio controls src="data:audio/wav;base64,{data}"></audio>'


@dataclass(frozen=True)
class Point:
    """A place in a picture, (x, y) in [0, 1] from the top left; x right, y down."""

    x: float
    y: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x) and math.isfinite(self.y) and 0 <= self.x <= 1 and 0 <= self.y <= 1):
            raise InputError(
                f"The point ({self.x}, {self.y}) is outside the picture: x and y go from 0,0 (top left) to 1,1."
            )


@dataclass(frozen=True)
class Strike:
    """A knock: where, how hard, with what.

    `force` is the peak of the contact force: newtons along the inward normal, or a vector (x, y, z) in scene axes
    (x right, y up, z towards the camera). `hardness` is the striker's Young's modulus in Pa (`MALLETS` names three).
    `speed` in m/s lengthens or shortens the contact as Hertz's law says (nominal 1 m/s).
    """

    at: Point
    force: float | tuple[float, float, float] = 5.0
    hardness: float = MALLETS["wood"]
    speed: float | None = None

    def __post_init__(self) -> None:
        parts: Sequence[float] = self.force if isinstance(self.force, tuple) else (self.force,)
        if len(parts) not in (1, 3) or not all(math.isfinite(p) for p in parts):
            raise InputError(f"A force is one finite number in newtons or three (x, y, z); this is {self.force}.")
        if len(parts) == 1 and parts[0] < 0:
            raise InputError(f"A force of {parts[0]} N points out of the surface; give a positive number.")
        if max(abs(p) for p in parts) > 1e5:
            raise InputError(f"A force of {self.force} N is beyond 100 kN; nothing would be left to listen to.")
        if not (math.isfinite(self.hardness) and 1e3 <= self.hardness <= 2e12):
            names = ", ".join(MALLETS)
            raise InputError(f"Hardness is {names} or a Young's modulus between 1e3 and 2e12 Pa, not {self.hardness}.")
        if self.speed is not None and not (math.isfinite(self.speed) and 1e-3 <= self.speed <= 100):
            raise InputError(f"A striking speed lies between 0.001 and 100 m/s, not {self.speed}.")


@dataclass(frozen=True, eq=False)
class Example:
    """One item of data: what was seen, what was heard, and what is known to be true about it."""

    key: str
    image: Image
    sounds: tuple[Sound, ...] = ()
    truth: dict[str, object] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
