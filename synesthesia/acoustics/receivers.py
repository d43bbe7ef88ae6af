"""What hears: two ears, or microphones of first order (stereo, ambisonics, mono), with one interface.

A receiver says for directions (front, left, up) how late each of its readings is, and with which spectrum each of its
channels hears. Two ears read every sound twice, at two times; microphones in one point read it once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
import scipy.fft

from .ears import Ears, kemar, neighbours

if TYPE_CHECKING:
    from jaxtyping import Float

Format = Literal["binaural", "stereo", "ambix", "mono"]
FORMATS: tuple[Format, ...] = ("binaural", "stereo", "ambix", "mono")

# For each channel of first order: the omnidirectional part and the parts along front, left, up.
_CARDIOIDS = np.sqrt(0.5)  # two cardioids at ±45°
PATTERNS: dict[str, np.ndarray] = {
    "mono": np.array([[1.0, 0, 0, 0]]),
    # Powers add up to 1 in the mean over all horizontal directions; from the front both are alike.
    "stereo": np.array([[1, _CARDIOIDS, _CARDIOIDS, 0], [1, _CARDIOIDS, -_CARDIOIDS, 0]]) / np.sqrt(3),
    # AmbiX: ACN order W, Y, Z, X, normalised SN3D (Nachbar et al. 2011, Ambisonics Symposium).
    "ambix": np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]]),
}


@runtime_checkable
class Receiver(Protocol):
    """Anything that hears. `latency` is in seconds; `spare` is how many samples its filters are long, less one."""

    channels: int
    readings: int
    latency: float
    spare: int

    def prepare(self, size: int) -> None:
        """Get ready for spectra of blocks of `size` samples."""

    def at(self, directions: Float[np.ndarray, "n 3"]) -> tuple[np.ndarray, np.ndarray]:
        """Delays [n, readings] in seconds and spectra [n, channels, bins or 1]."""
        ...


class Binaural:
    """Two ears."""

    channels, readings = 2, 2

    def __init__(self, ears: Ears) -> None:
        self._ears = ears
        self.latency = ears.latency
        self.spare = ears.responses.shape[-1] - 1
        self._delays = ears.delays.reshape(-1, 2)
        self._spectra = np.zeros((0, 0), np.float32)
        self._bins = 0

    def prepare(self, size: int) -> None:
        if self._bins == size // 2 + 1:
            return
        spectra = scipy.fft.rfft(self._ears.responses.reshape(-1, 2, self.spare + 1), size)
        self._bins = spectra.shape[-1]
        self._spectra = np.ascontiguousarray(spectra.astype(np.complex64)).reshape(len(spectra), -1).view(np.float32)

    def at(self, directions: Float[np.ndarray, "n 3"]) -> tuple[np.ndarray, np.ndarray]:
        index, weight = neighbours(directions)
        delays = (weight[..., None] * self._delays[index]).sum(1)
        spectra = weight[:, None].astype(np.float32) @ self._spectra.take(index, axis=0)
        return delays, spectra.view(np.complex64).reshape(len(directions), 2, self._bins)


class Microphones:
    """Coincident microphones of first order; `patterns` [channels, 4] weighs pressure and its front, left, up parts."""

    readings, latency, spare = 1, 0.0, 0

    def __init__(self, patterns: Float[np.ndarray, "channels 4"]) -> None:
        self._patterns = patterns
        self.channels = len(patterns)

    def prepare(self, size: int) -> None:
        """Nothing to do: a microphone in one point has no spectrum."""

    def at(self, directions: Float[np.ndarray, "n 3"]) -> tuple[np.ndarray, np.ndarray]:
        gains = self._patterns[:, 0] + directions @ self._patterns[:, 1:].T
        return np.zeros((len(directions), 1)), gains[..., None].astype(np.float32)


def receiver(form: Format = "binaural", rate: int = 48_000, ears: Ears | None = None) -> Receiver:
    """The receiver of a format; `ears` are KEMAR's unless others are given."""
    return Binaural(ears or kemar(rate)) if form == "binaural" else Microphones(PATTERNS[form])
