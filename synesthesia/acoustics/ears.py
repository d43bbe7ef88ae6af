"""Two ears: responses of a head to sound from every direction, smooth between the measured ones.

A head is kept as a table over directions, every `STEP` degrees: for each ear the response with its onset moved to a
fixed place, and when that onset really comes. Between directions both are interpolated, so that a source between two
measured ones comes from between them, and the arrival is put back by a delay that moves smoothly (`renderer`).
Directions are unit vectors (front, left, up) from the head's middle; azimuth is positive to the left.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import safetensors.numpy
import scipy.fft
import scipy.signal
import scipy.spatial
import scipy.special

from .. import hub, media
from ..senses import InputError
from . import sofa
from .sofa import Responses, direction

if TYPE_CHECKING:
    from jaxtyping import Float, Int

STEP = 5.0  # degrees between the directions of the table
SECONDS = 0.0038  # kept of every response
LEAD_S = 0.0004  # before the onset
RADIUS = 0.0875  # metres; a head as a sphere (Algazi, Avendano & Duda 2001)
SOUND_SPEED = 343.2
KEMAR = "ears/kemar"

_ELEVATIONS = np.arange(-90, 90 + STEP / 2, STEP)
_AZIMUTHS = np.arange(-180, 180 + STEP / 2, STEP)  # both ends, so that neighbours need no wrapping
_CORNERS = np.array([0, 1, len(_AZIMUTHS), len(_AZIMUTHS) + 1])  # of a cell of the table, from its first entry


@dataclass(frozen=True, eq=False)
class Ears:
    """A head: `responses` [elevations, azimuths, 2, taps] with their onsets aligned, left ear first, at `rate` Hz.

    `delays` [elevations, azimuths, 2] in seconds is when the sound reaches that ear after it would have reached the
    middle of the head if that were not there (negative on the near side). Elevations run from −90 to 90° and azimuths
    from −180 to 180°, every `STEP` degrees. The mean power gain over all directions is about 1.
    """

    responses: Float[np.ndarray, "elevations azimuths 2 taps"]
    delays: Float[np.ndarray, "elevations azimuths 2"]
    rate: int
    name: str

    @property
    def latency(self) -> float:
        """Seconds by which every sound is late."""
        return LEAD_S

    def symmetric(self) -> Ears:
        """The same head with left and right made alike: a mirrored scene then swaps the ears exactly."""
        responses = (self.responses + self.responses[:, ::-1, ::-1]) / 2
        return replace(self, responses=responses, delays=(self.delays + self.delays[:, ::-1, ::-1]) / 2)

    def response(self, directions: Float[np.ndarray, "n 3"], samples: int = 512) -> Float[np.ndarray, "n 2 samples"]:
        """Whole impulse responses of directions, delays included; the head's middle is reached at 1 ms."""
        index, weight = neighbours(directions)
        aligned = np.einsum("nk,nket->net", weight, self.responses.reshape(-1, *self.responses.shape[2:])[index])
        delays = np.einsum("nk,nke->ne", weight, self.delays.reshape(-1, 2)[index]) + 0.001 - LEAD_S
        return _shift(aligned, delays * self.rate, samples)


def neighbours(directions: Float[np.ndarray, "n 3"]) -> tuple[Int[np.ndarray, "n 4"], Float[np.ndarray, "n 4"]]:
    """Where directions lie in the table: flat indices of the four entries around each, and their bilinear weights."""
    front, left, up = directions.T
    azimuth = np.arctan2(left, front) * (180 / math.pi / STEP) + 180 / STEP
    elevation = np.arctan2(up, np.hypot(front, left)) * (180 / math.pi / STEP) + 90 / STEP
    column = np.minimum(azimuth.astype(np.int64), len(_AZIMUTHS) - 2)
    row = np.minimum(elevation.astype(np.int64), len(_ELEVATIONS) - 2)
    right, above = azimuth - column, elevation - row
    index = (row * len(_AZIMUTHS) + column)[:, None] + _CORNERS
    weight = np.empty((len(directions), 4))
    weight[:, 3] = above * right
    weight[:, 2] = above - weight[:, 3]
    weight[:, 1] = right - weight[:, 3]
    weight[:, 0] = 1 - above - weight[:, 1]
    return index, weight


def _grid() -> np.ndarray:
    """The directions of the table, [elevations, azimuths, 3]."""
    azimuth, elevation = np.meshgrid(_AZIMUTHS, _ELEVATIONS)
    return direction(azimuth, elevation)


# --- measured heads --------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4)
def kemar(rate: int = 48_000) -> Ears:
    """The ears of the KEMAR dummy head, normal pinnae, which ship with the package (Gardner & Martin 1995).

    Made by `runs/hrtf_kemar.py`; left and right are exactly alike.
    """
    folder = hub.resolve(KEMAR)
    config, data = hub.read_config(folder), media.read_bytes(folder / "model.safetensors", 2**20)
    hub.check_safetensors(data, KEMAR)
    tensors = safetensors.numpy.load(data)  # without torch: ears alone should not wait for it
    angles = tensors["angles"].astype(float)
    half = direction(angles[:, 0], angles[:, 1])
    samples = tensors["samples"] * float(config["scale"])
    beside = np.abs(half[:, 1]) > 1e-9  # what stands off the median plane was measured on one side only
    mirrored = half[beside] * [1, -1, 1]
    both = Responses(
        np.concatenate([half, mirrored]), np.concatenate([samples, samples[beside][:, ::-1]]), int(config["rate"])
    )
    return fit(both, rate, "KEMAR, normal pinnae").symmetric()


def load(path: str | Path, rate: int = 48_000) -> Ears:
    """The head of a SOFA file; raises InputError when it is none, or when it measures a room."""
    measured = sofa.read(path)
    energy = np.square(measured.samples).cumsum(-1).mean((0, 1))
    onset = int(np.searchsorted(energy, 0.001 * energy[-1]))
    kept = energy[min(onset + round(0.01 * measured.rate), len(energy) - 1)] / energy[-1]
    if kept < 0.9:
        raise InputError(
            f"{path} was measured in a room: {1 - kept:.0%} of its sound comes after 10 ms. Ears need none."
        )
    return fit(measured, rate, measured.title or Path(path).stem)


def fit(measured: Responses, rate: int, name: str) -> Ears:
    """The table of a head from responses in any directions.

    Onsets are found against each response's own minimum-phase version (Nam, Abel & Smith 2008, AES 125, 7612), taken
    out, and both parts are interpolated in the triangles between the measured directions. Where nothing was measured
    above or below, the mean of the outermost ring stands in; where nothing was measured behind, what is in front.
    A set that keeps levels but no delays gets those of a sphere.
    """
    directions, samples = _complete(measured)
    samples = _resample(samples, measured.rate, rate)
    taps, lead = round(SECONDS * rate), LEAD_S * rate
    arrival, least = _arrivals(samples, rate)
    corners, weights = _triangles(directions, _grid().reshape(-1, 3))
    shape = (len(_ELEVATIONS), len(_AZIMUTHS), 2)
    if np.ptp(arrival[:, 0] - arrival[:, 1]) < 1e-4 * rate:
        aligned, delays = _shift(least, np.full(arrival.shape, lead), taps), sphere_delays(_grid())
    else:
        median_plane = np.abs(directions[:, 1]) < 0.3
        middle = arrival[median_plane].mean() if median_plane.any() else arrival.mean()
        aligned = _shift(samples, lead - arrival, taps)
        delays = np.einsum("nk,nke->ne", weights, arrival[corners] - middle).reshape(shape) / rate
    aligned = aligned * _fades(taps, lead)
    responses = np.einsum("nk,nket->net", weights, aligned[corners]).reshape(*shape, taps)
    for _ in range(2):  # what is put back is cut again
        responses = _with_bass(responses, rate) * _fades(taps, lead)
    return Ears((responses / _loudness(responses, rate)).astype(np.float32), delays, rate, name)


def _complete(measured: Responses) -> tuple[np.ndarray, np.ndarray]:
    """Directions, each once, and responses, with stand-ins for what was not measured at all."""
    _, first = np.unique(np.round(measured.directions, 4), axis=0, return_index=True)
    directions, samples = measured.directions[first], measured.samples[first]
    if len(directions) < 3:
        raise InputError(f"Ears need responses from at least three directions; here are {len(directions)}.")
    if directions[:, 0].min() > -0.3 and directions[:, 0].max() > 0.3:
        front = directions[:, 0] > 0.05
        directions = np.concatenate([directions, directions[front] * [-1, 1, 1]])
        samples = np.concatenate([samples, samples[front]])
    for sign in (1, -1):
        height = sign * directions[:, 2]
        if height.max() < math.sin(math.radians(75)):
            ring = np.flatnonzero(height > height.max() - 0.02)
            arrival, least = _arrivals(samples[ring], measured.rate)
            pole = _shift(least.mean(0, keepdims=True), np.full((1, 2), arrival.mean()), samples.shape[-1])
            directions = np.concatenate([directions, [[0.0, 0.0, sign]]])
            samples = np.concatenate([samples, pole])
    return directions, samples


def _arrivals(samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """When responses [n, 2, taps] begin, in samples [n, 2], and their minimum-phase versions [n, 2, taps].

    Below 1.5 kHz or so, where a wave bends around the head as one: with the treble in it, the correlation has several
    peaks, and from one direction to the next another one may be the largest.
    """
    taps, finer = samples.shape[-1], 2
    size = scipy.fft.next_fast_len(2 * taps, real=True)
    spectrum = scipy.fft.rfft(samples, size)
    level = np.log(np.maximum(np.abs(spectrum), 1e-4 * np.abs(spectrum).max(-1, keepdims=True)))
    cepstrum = scipy.fft.irfft(level, size)
    cepstrum[..., 1 : size // 2] *= 2
    cepstrum[..., size // 2 + 1 :] = 0
    least = np.exp(scipy.fft.rfft(cepstrum))
    bass = np.exp(-0.5 * np.square(np.linspace(0, rate / 2, spectrum.shape[-1]) / 1500))
    alike = scipy.fft.irfft(spectrum * least.conj() * bass, finer * size)
    best = alike.argmax(-1)
    before, at, after = (
        np.take_along_axis(alike, (best[..., None] + k) % alike.shape[-1], -1)[..., 0] for k in (-1, 0, 1)
    )
    peak = best + 0.5 * (before - after) / np.minimum(before - 2 * at + after, -1e-30)
    peak = np.where(best > alike.shape[-1] // 2, peak - alike.shape[-1], peak)
    return peak / finer, scipy.fft.irfft(least, size)[..., :taps]


def _shift(samples: np.ndarray, by: np.ndarray, taps: int) -> np.ndarray:
    """Signals [n, 2, m] later by any number of samples [n, 2], the first `taps` of them."""
    size = scipy.fft.next_fast_len(2 * max(samples.shape[-1], taps) + 64, real=True)
    turn = np.exp(-2j * np.pi / size * np.arange(size // 2 + 1) * np.asarray(by)[..., None])
    if size % 2 == 0:
        turn[..., -1] = turn[..., -1].real
    return scipy.fft.irfft(scipy.fft.rfft(samples, size) * turn, size)[..., :taps]


def _fades(taps: int, lead: float) -> np.ndarray:
    """A window that lets a response in before its onset and out at its end."""
    window = np.ones(taps)
    rise, fall = max(2, int(lead * 0.6)), taps // 5
    window[:rise] = 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / rise)
    window[-fall:] = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fall + 1) / fall)
    return window


def _with_bass(responses: np.ndarray, rate: int) -> np.ndarray:
    """Responses with the level of 400 Hz in the mean below it too, as around a body that is small against the wave.

    Loudspeakers give out there, and short responses have no room for it.
    """
    size = 1 << (2 * responses.shape[-1]).bit_length()
    spectrum = scipy.fft.rfft(responses.astype(np.float32), size)
    level = np.sqrt(np.square(np.abs(spectrum)).mean((0, 1, 2), dtype=float))
    low = round(400 / rate * size)
    level[:low] = np.maximum(level[:low], level[low] / 4)
    gain = np.zeros(len(level))
    gain[:low] = np.log(level[low] / level[:low])
    cepstrum = scipy.fft.irfft(gain)
    cepstrum[1 : size // 2] *= 2
    cepstrum[size // 2 + 1 :] = 0
    spectrum *= np.exp(scipy.fft.rfft(cepstrum)).astype(np.complex64)
    return scipy.fft.irfft(spectrum, size)[..., : responses.shape[-1]]


def _resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    if rate == wanted:
        return samples
    common = math.gcd(rate, wanted)
    # A response is a density over time: at a finer rate each of its samples weighs less.
    return scipy.signal.resample_poly(samples, wanted // common, rate // common, axis=-1) * (rate / wanted)


def _loudness(responses: np.ndarray, rate: int) -> float:
    """The root mean square gain from 300 Hz to 3 kHz over all directions, weighted by their share of the sphere."""
    power = np.square(np.abs(scipy.fft.rfft(responses, 512))).mean(-2)
    hz = np.fft.rfftfreq(512, 1 / rate)
    power = power[..., (hz > 300) & (hz < 3000)].mean(-1)
    return float(np.sqrt(np.average(power[:, :-1].mean(1), weights=np.cos(np.radians(_ELEVATIONS)) + 1e-3)))


def _triangles(directions: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each wanted direction the three measured ones around it and their weights, [m, 3] both."""
    try:
        corners = scipy.spatial.ConvexHull(directions).simplices
    except scipy.spatial.QhullError as error:
        raise InputError("The measured directions lie in one plane through too few points; ears need more.") from error
    volume = np.abs(np.linalg.det(directions[corners]))
    corners = corners[volume > 1e-9]  # a face through the middle of the head sees no direction
    inverse = np.linalg.inv(directions[corners])
    index, weights = np.empty((len(wanted), 3), np.int64), np.empty((len(wanted), 3))
    for start in range(0, len(wanted), 64):
        part = np.einsum("qi,tij->qtj", wanted[start : start + 64], inverse)
        best = part.min(-1).argmax(-1)
        index[start : start + 64] = corners[best]
        weights[start : start + 64] = part[np.arange(len(best)), best].clip(0)
    return index, weights / weights.sum(1, keepdims=True)


# --- a head in closed form -------------------------------------------------------------------------------------------

EAR_AZIMUTH = 100.0  # degrees from the front; ears sit behind the middle (Duda & Martens 1998, §II)


def sphere_delays(directions: Float[np.ndarray, "*n 3"], radius: float = RADIUS) -> Float[np.ndarray, "*n 2"]:
    """Seconds after which a plane wave is at each ear of a sphere, from when it would be at its middle.

    The straight way to the lit side, along the surface to the shaded one (Woodworth & Schlosberg 1962).
    """
    ears = direction(np.array([EAR_AZIMUTH, -EAR_AZIMUTH]))
    cosine = (directions @ ears.T).clip(-1, 1)
    return radius / SOUND_SPEED * np.where(cosine > 0, -cosine, np.arccos(cosine) - np.pi / 2)


@functools.lru_cache(maxsize=8)
def sphere(rate: int = 48_000, radius: float = RADIUS) -> Ears:
    """A head as a rigid sphere with ears at ±100°, in closed form (Duda & Martens 1998, JASA 104, 3048, eq. 4)."""
    if not 0.03 <= radius <= 0.3:
        raise InputError(f"A head has a radius between 0.03 and 0.3 m, not {radius} m.")
    taps, lead, size = round(SECONDS * rate), LEAD_S * rate, scipy.fft.next_fast_len(round(0.02 * rate), real=True)
    hz = np.fft.rfftfreq(size, 1 / rate)
    angles = np.radians(np.arange(0, 180.5, 1.0))
    spectrum = sphere_response(2 * np.pi * hz * radius / SOUND_SPEED, np.cos(angles))
    delay = radius / SOUND_SPEED * np.where(angles < np.pi / 2, -np.cos(angles), angles - np.pi / 2)
    late = lead / rate - delay
    spectrum = spectrum * np.exp(-2j * np.pi * hz * late[:, None])
    spectrum[:, -1] = spectrum[:, -1].real
    aligned = scipy.fft.irfft(spectrum, size)[:, :taps] * _fades(taps, lead)

    grid = _grid()
    ears = direction(np.array([EAR_AZIMUTH, -EAR_AZIMUTH]))
    angle = np.degrees(np.arccos((grid @ ears.T).clip(-1, 1)))
    below = np.minimum(angle.astype(int), 179)
    share = (angle - below)[..., None]
    responses = (1 - share) * aligned[below] + share * aligned[below + 1]
    responses = responses / _loudness(responses, rate)
    return Ears(responses.astype(np.float32), sphere_delays(grid, radius), rate, f"a sphere of {radius * 100:g} cm")


def sphere_response(
    ka: Float[np.ndarray, " bins"], cosine: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n bins"] | np.ndarray:
    """Pressure on a rigid sphere in a plane wave, over that in its middle without it; complex [n, bins], e^{+iωt}.

    H = (1/μ²) Σ_m (2m + 1) (−i)^{m−1} P_m(cos θ) / h'_m(μ) with μ = ka (Duda & Martens 1998, eq. 4, conjugated).
    """
    order = np.arange(math.ceil(float(ka.max())) + 24)
    with np.errstate(all="ignore"):  # y_m overflows where its term vanishes
        bessel = scipy.special.spherical_jn(order[:, None], ka, derivative=True)
        hankel = bessel + 1j * scipy.special.spherical_yn(order[:, None], ka, derivative=True)
        term = (2 * order[:, None] + 1) * (-1j) ** (order[:, None] - 1) / (hankel * ka**2)
    term[~np.isfinite(term)] = 0
    legendre = scipy.special.eval_legendre(order, cosine[:, None])
    out = (legendre @ term).conj()
    out[:, ka == 0] = 1
    return out
