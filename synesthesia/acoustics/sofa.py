"""SOFA files (AES69): measured responses of heads and rooms, read with h5py (extra `walk`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..senses import InputError

if TYPE_CHECKING:
    from jaxtyping import Float, Num

MAX_BYTES = 512 * 2**20
MAX_VALUES = 2**27  # of the responses; a full sphere of 2,702 directions with 4,096 taps has 2^24.4


@dataclass(frozen=True, eq=False)
class Responses:
    """Impulse responses of two ears, [directions, 2, taps], left ear first, with their rate in Hz.

    `directions` are unit vectors (front, left, up) from the head to the source; `licence` and `title` are the file's.
    """

    directions: Float[np.ndarray, "n 3"]
    samples: Float[np.ndarray, "n 2 taps"]
    rate: int
    title: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if len(self.directions) != len(self.samples) or not len(self.samples):
            raise InputError(f"{len(self.directions)} directions do not fit {len(self.samples)} responses.")
        if not (np.isfinite(self.samples).all() and np.isfinite(self.directions).all()):
            raise InputError("The responses hold NaN or infinite values.")
        if not self.samples.any(axis=-1).all():
            raise InputError("Some of the responses are silent: this is no whole measurement of a head.")

    @property
    def azimuth(self) -> Float[np.ndarray, " n"]:
        """Degrees, 0 in front, positive to the left, in (−180, 180]."""
        return np.degrees(np.arctan2(self.directions[:, 1], self.directions[:, 0]))

    @property
    def elevation(self) -> Float[np.ndarray, " n"]:
        """Degrees, positive up."""
        return np.degrees(np.arcsin(self.directions[:, 2].clip(-1, 1)))


def direction(azimuth: Num[np.ndarray, "*n"] | float, elevation: Num[np.ndarray, "*n"] | float = 0.0) -> np.ndarray:
    """Unit vectors (front, left, up), [..., 3], of angles in degrees; azimuth is positive to the left."""
    a, e = np.radians(np.asarray(azimuth, float)), np.radians(np.asarray(elevation, float))
    a, e = np.broadcast_arrays(a, e)
    return np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=-1)


def read(path: str | Path) -> Responses:
    """The responses of a SOFA file with two receivers (SimpleFreeFieldHRIR and its kin).

    Raises InputError when h5py is missing, when the file is no SOFA file, or when it is not about two ears.
    """
    try:
        import h5py
    except ImportError:
        raise InputError("SOFA files need the extra `walk`: pip install 'synesthesia[walk]'.") from None
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path} has more than {MAX_BYTES // 2**20} MB; that is no set of head responses.")
    try:
        with h5py.File(path, "r") as file:
            return _responses(file, path)
    except InputError:
        raise
    # A spoiled HDF5 file makes h5py raise almost anything, RuntimeError and KeyError included.
    except Exception as error:
        raise InputError(f"{path} is not a SOFA file: {error}.") from error


def _responses(file: Any, path: Path) -> Responses:
    import h5py

    if _text(file.attrs.get("Conventions")) != "SOFA":
        raise InputError(f"{path} is an HDF5 file, but not a SOFA one: it does not say Conventions = SOFA.")
    wanted = ("Data.IR", "Data.SamplingRate", "SourcePosition")
    if missing := [name for name in wanted if not isinstance(file.get(name), h5py.Dataset)]:
        raise InputError(f"{path} holds no {', '.join(missing)}: responses as FIR filters are needed.")
    shape = file["Data.IR"].shape
    if len(shape) != 3 or shape[1] != 2 or 0 in shape:
        raise InputError(f"{path} holds responses of the shape {shape}; two ears are (directions, 2, taps).")
    if np.prod(shape, dtype=float) > MAX_VALUES:
        raise InputError(f"{path} holds {np.prod(shape, dtype=float):.0f} values; that is no set of head responses.")
    samples = np.asarray(file["Data.IR"][...], np.float64)
    rates = np.unique(np.asarray(file["Data.SamplingRate"][...], float))
    if len(rates) != 1 or not 8000 <= rates[0] <= 192_000:
        raise InputError(f"{path} has the rates {rates} Hz; one between 8 and 192 kHz is needed.")
    rate = round(float(rates[0]))
    position = file["SourcePosition"]
    places = np.broadcast_to(np.asarray(position[...], float), (shape[0], 3))
    if _text(position.attrs.get("Type")).lower().startswith("cart"):
        length = np.linalg.norm(places, axis=1, keepdims=True)
        if not (length > 0).all():
            raise InputError(f"{path} has a source inside the head.")
        directions = places / length
    else:
        directions = direction(places[:, 0], places[:, 1])
    delay = file.get("Data.Delay")
    if isinstance(delay, h5py.Dataset) and np.any(delay[...]):
        samples = _delayed(samples, np.broadcast_to(np.asarray(delay[...], float), shape[:2]))
    if _left_is_right(directions, samples):
        samples = samples[:, ::-1]
    return Responses(directions, samples, rate, _text(file.attrs.get("Title")), _text(file.attrs.get("License")))


def _left_is_right(directions: np.ndarray, samples: np.ndarray) -> bool:
    """Whether the first ear is louder for sources on the right: files mislabel their ears, sound does not."""
    energy = np.log(np.square(samples).sum(-1) + 1e-30)
    return float((energy[:, 0] - energy[:, 1]) @ directions[:, 1]) < 0


def _delayed(samples: np.ndarray, delay: np.ndarray) -> np.ndarray:
    """Responses with the file's separate delays (in samples, at most a tenth of a second) put in."""
    if not np.isfinite(delay).all() or delay.min() < 0 or delay.max() > 19_200:
        raise InputError("The file's delays are negative or longer than a head is wide.")
    whole = np.round(delay).astype(int)  # files give whole samples
    if samples.shape[0] * 2 * (samples.shape[2] + int(whole.max())) > MAX_VALUES:
        raise InputError("The file's responses and delays are too long for a set of head responses.")
    out = np.zeros((*samples.shape[:2], samples.shape[2] + int(whole.max())))
    for i, ear in np.ndindex(*whole.shape):
        out[i, ear, whole[i, ear] : whole[i, ear] + samples.shape[2]] = samples[i, ear]
    return out


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else ""
