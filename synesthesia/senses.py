"""The senses: what a person or a machine perceives, as frozen values with units.

Nothing here knows about files (see `media`), networks or physics. An array inside a sense is never modified.
"""

from __future__ import annotations

import base64
import io
import math
import unicodedata
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

FAR = 10_000.0  # metres from the camera; nothing beyond is placed in a scene
LONGEST_TEXT = 400  # characters


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
class Text:
    """A phrase in any script, such as "heavy rain": a few words about what is seen or heard, on one line.

    It is kept in Unicode's form C without white space at its ends. Nothing between a picture and a sound takes one.
    """

    text: str

    def __post_init__(self) -> None:
        if len(self.text) > 4 * LONGEST_TEXT:  # before anything is done with it
            raise InputError(f"A phrase has at most {LONGEST_TEXT} characters; this one has {len(self.text)}.")
        t = unicodedata.normalize("NFC", self.text).strip()
        kinds = [unicodedata.category(c) for c in t]
        if "Cs" in kinds:
            raise InputError("The phrase is not valid Unicode (half of a surrogate pair); is the file in UTF-8?")
        if "Cc" in kinds:
            raise InputError(f"A phrase is one line without control characters; this is {t[:60]!r}.")
        if all(kind[0] in "CZ" for kind in kinds):
            raise InputError("The phrase is empty; give a few words, such as 'heavy rain'.")
        if len(t) > LONGEST_TEXT:
            raise InputError(f"A phrase has at most {LONGEST_TEXT} characters; this one has {len(t)}.")
        object.__setattr__(self, "text", t)

    def __str__(self) -> str:
        return self.text


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


@dataclass(frozen=True, eq=False)
class Region:
    """A part of a picture as a soft mask: (rows, columns) of shares in [0, 1], laid evenly over the whole picture.

    The mask has its own resolution, which need not be the picture's. A mask that is empty everywhere is refused.
    """

    mask: Float[np.ndarray, "rows columns"]

    def __post_init__(self) -> None:
        m = np.asarray(self.mask, dtype=np.float32)
        if m.ndim != 2 or 0 in m.shape:
            raise InputError(f"A mask is (rows, columns); this array has the shape {m.shape}.")
        if not np.isfinite(m).all() or m.min() < 0 or m.max() > 1:
            raise InputError("A mask holds shares between 0 and 1.")
        if not m.any():
            raise InputError("The mask is empty: it marks no part of the picture.")
        object.__setattr__(self, "mask", _frozen(m))

    @classmethod
    def box(cls, x0: float, y0: float, x1: float, y1: float, side: int = 224) -> Region:
        """The rectangle between two corners, in [0, 1] from the top left; the edges count by the share they cover."""
        low, high = Point(x0, y0), Point(x1, y1)
        if x1 <= x0 or y1 <= y0:
            raise InputError(f"A box is X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1; this is {x0},{y0},{x1},{y1}.")
        edges = np.arange(side + 1) / side

        def cover(a: float, b: float) -> np.ndarray:
            return np.clip(np.minimum(edges[1:], b) - np.maximum(edges[:-1], a), 0, None) * side

        return cls(np.minimum(np.outer(cover(low.y, high.y), cover(low.x, high.x)), 1.0))

    @classmethod
    def around(cls, point: Point, radius: float = 0.1, side: int = 56) -> Region:
        """A soft disc (Gaussian, standard deviation `radius`/2) around a point; both in shares of the picture."""
        centres = (np.arange(side) + 0.5) / side
        square = (centres[None] - point.x) ** 2 + (centres[:, None] - point.y) ** 2
        return cls(np.exp(-2.0 * square / radius**2))

    @classmethod
    def whole(cls) -> Region:
        """All of the picture."""
        return cls(np.ones((1, 1)))

    @property
    def area(self) -> float:
        """The share of the picture that it covers."""
        return float(self.mask.mean())

    @property
    def centre(self) -> Point:
        """The mean place, weighted by the mask."""
        rows, columns = self.mask.shape
        weight = self.mask / self.mask.sum(dtype=np.float64)
        y, x = (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns
        return Point(float(weight.sum(0) @ x), float(weight.sum(1) @ y))

    def on(self, rows: int, columns: int) -> Float[np.ndarray, "rows columns"]:
        """The mask at another resolution: each cell gets the mean over the part of the picture that it covers."""
        return _overlap(self.mask.shape[0], rows) @ self.mask @ _overlap(self.mask.shape[1], columns).T


def _overlap(fine: int, coarse: int) -> np.ndarray:
    """(coarse, fine): the share of each fine cell in each coarse one, rows sum to one."""
    a, b = np.arange(fine + 1) / fine, np.arange(coarse + 1) / coarse
    shared = np.minimum(a[None, 1:], b[1:, None]) - np.maximum(a[None, :-1], b[:-1, None])
    return (np.clip(shared, 0, None) * coarse).astype(np.float32)


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
class Stem:
    """What one part of a picture sounds like, at its level in the scene; `confidence` in [0, 1] is how sure that is."""

    region: Region
    sound: Sound
    confidence: float


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture and all that it sounds like: a stem for each sounding part, over a bed of ambience.

    All sounds are mono, of one rate and length, and at the levels at which they sound together: their sum is the mix.
    """

    image: Image
    stems: tuple[Stem, ...]
    bed: Sound

    def __post_init__(self) -> None:
        for sound in (stem.sound for stem in self.stems):
            if sound.rate != self.bed.rate or sound.samples.shape != self.bed.samples.shape:
                raise InputError("The sounds of a scene have one rate, one length and one number of channels.")

    @property
    def mix(self) -> Sound:
        """The sum of the stems and the bed."""
        parts = np.stack([self.bed.samples, *(stem.sound.samples for stem in self.stems)])
        return Sound(parts.sum(axis=0, dtype=np.float32), self.bed.rate)


@dataclass(frozen=True, eq=False)
class Source:
    """Something that sounds somewhere in the scene.

    `sound` is mono and as loud as at one metre; `position` is (x, y, z) in metres (x right, y up, z towards the camera,
    which stands at the origin). `width` in metres is how far it stretches: 0 for a point, tens for a sea.
    """

    sound: Sound
    position: tuple[float, float, float]
    width: float = 0.0

    def __post_init__(self) -> None:
        if self.sound.channels != 1:
            raise InputError(f"A source is mono; this sound has {self.sound.channels} channels. Mix them down first.")
        _check_position(self.position, "A source")
        if not (math.isfinite(self.width) and 0 <= self.width <= FAR):
            raise InputError(f"A source is between 0 and {FAR:g} m wide, not {self.width} m.")


@dataclass(frozen=True)
class Listener:
    """Where somebody stands and looks: (x, y, z) in metres as for a `Source`, and the yaw in degrees.

    A yaw of 0 looks along −z, as the camera does; positive turns left (counter-clockwise from above). Any angle goes.
    """

    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    yaw: float = 0.0

    def __post_init__(self) -> None:
        _check_position(self.position, "A listener")
        if not (math.isfinite(self.yaw) and abs(self.yaw) <= 1e6):
            raise InputError(f"A yaw is a number of degrees, not {self.yaw}.")


def _check_position(position: tuple[float, float, float], who: str) -> None:
    if len(position) != 3 or not all(math.isfinite(c) and abs(c) <= FAR for c in position):
        raise InputError(f"{who} stands at (x, y, z), each within {FAR:g} m of the camera; this is {position}.")


@dataclass(frozen=True, eq=False)
class Example:
    """One item of data: what was seen, what was heard, and what is known to be true about it."""

    key: str
    image: Image
    sounds: tuple[Sound, ...] = ()
    truth: dict[str, object] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
