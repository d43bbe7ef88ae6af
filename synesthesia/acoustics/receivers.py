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
    """Anything that hears; any number of renderers may share one.

    `latency` is in seconds; `spare` is how many samples its filters are long, less one; `rate` is in Hz, None if any
    will do.
    """

    channels: int
    readings: int
    latency: float
    spare: int

    @property
    def rate(self) -> int | None: ...

    def at(self, directions: Float[np.ndarray, "n 3"], size: int) -> tuple[np.ndarray, np.ndarray]:
        """Delays [n, readings] in seconds and spectra [n, channels, bins or 1] for transforms of `size` samples."""
        ...


class Binaural:
    """Two ears."""

    channels, readings = 2, 2

    def __init__(self, ears: Ears) -> None:
        self._responses = ears.responses.reshape(-1, 2, ears.responses.shape[-1])
        self._delays = ears.delays.reshape(-1, 2)
        self._spectra: dict[int, np.ndarray] = {}
        self.latency, self.rate = ears.latency, ears.rate
        self.spare = self._responses.shape[-1] - 1

    def at(self, directions: Float[np.ndarray, "n 3"], size: int) -> tuple[np.ndarray, np.ndarray]:
        if size not in self._spectra:
            spectra = scipy.fft.rfft(self._responses, size).astype(np.complex64)
            self._spectra[size] = spectra.reshape(len(spectra), -1).view(np.float32)
        index, weight = neighbours(directions)
        delays = (weight[..., None] * self._delays[index]).sum(1)
        spectra = weight[:, None].astype(np.float32) @ self._spectra[size].take(index, axis=0)
        return delays, spectra.view(np.complex64).reshape(len(directions), 2, -1)


class Microphones:
    """Coincident microphones of first order; `patterns` [channels, 4] weighs pressure and its front, left, up parts."""

    readings, latency, spare, rate = 1, 0.0, 0, None

    def __init__(self, patterns: Float[np.ndarray, "channels 4"]) -> None:
        self._patterns = patterns
        self.channels = len(patterns)

    def at(self, directions: Float[np.ndarray, "n 3"], size: int) -> tuple[np.ndarray, np.ndarray]:
        gains = self._patterns[:, 0] + directions @ self._patterns[:, 1:].T
        return np.zeros((len(directions), 1)), gains[..., None].astype(np.float32)


def receiver(form: Format = "binaural", rate: int = 48_000, ears: Ears | None = None) -> Receiver:
    """The receiver of a format; `ears` are KEMAR's unless others are given."""
    return Binaural(ears or kemar(rate)) if form == "binaural" else Microphones(PATTERNS[form])
