"""A strike: contact pulse, excited modes, radiation to a listener, decay. Exactly linear in the force.

The force is the peak of a contact pulse, a half sine whose duration follows from Hertz's law at a nominal 1 m/s. A mode
of unit modal mass answers an impulse I with q(t) = phi I sin(wt) / w; its surface acceleration, summed over the surface
with the delays to the listener, is the pressure there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .materials import COATINGS, Coating, Material, decay_rate, loss_parts, t60
from .modes import Modes, frequencies
from .shapes import Shape

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..senses import Support

AIR_DENSITY, SOUND_SPEED = 1.204, 343.2  # kg/m3 and m/s at 20 degrees Celsius
STRIKER_MASS, STRIKER_RADIUS = 0.030, 0.010  # kg and m: a small mallet
# Gains "with an ideal short pulse" are those of an impulse of 1 N times this.
REFERENCE_PULSE = 1e-3  # s
# Effective moduli in Pa of coatings soft enough to lengthen a contact.
_SOFT = {"felt": 2.0e7, "fur": 5.0e6}


def contact_seconds(
    hardness: float,
    material: Material,
    mass: float,
    speed: float = 1.0,
    striker_mass: float = STRIKER_MASS,
    striker_radius: float = STRIKER_RADIUS,
    coating: Coating | None = None,
) -> float:
    """Duration in seconds of the contact of a spherical striker with an object of `mass` kg.

    Hertz: t = 3.21 (m^2 / (K^2 v))^(1/5), K = 4/3 E* sqrt(R), 1/E* = 1/E_striker + 1/E_object (Goldsmith, Impact, 1960,
    sec. 4.1), m the reduced mass. A soft coating acts in series. Proportional to v^(-1/5).
    """
    soft = 1 / _SOFT[coating.name] if coating is not None and coating.name in _SOFT else 0.0
    return float(
        hertz_seconds(hardness, 1 / (1 / material.youngs_modulus + soft), mass, speed, striker_mass, striker_radius)
    )


def hertz_seconds(
    hardness: ArrayLike,
    youngs_modulus: ArrayLike,
    mass: ArrayLike,
    speed: float = 1.0,
    striker_mass: float = STRIKER_MASS,
    striker_radius: float = STRIKER_RADIUS,
) -> np.ndarray:
    """`contact_seconds` for arrays of bare numbers: E of striker and object in Pa, mass of the object in kg."""
    compliance = 1 / np.asarray(hardness, float) + 1 / np.asarray(youngs_modulus, float)
    stiffness = 4 / 3 / compliance * math.sqrt(striker_radius)
    reduced = striker_mass * np.asarray(mass, float) / (striker_mass + np.asarray(mass, float))
    return np.asarray(3.21 * (reduced**2 / (stiffness**2 * speed)) ** 0.2)


def speed_factors(speed: float) -> tuple[float, float]:
    """What a striking speed in m/s does to the contact, relative to 1 m/s: (duration, peak force) by Hertz's law."""
    return speed**-0.2, speed**1.2


def contact_spectrum(f: ArrayLike, seconds: ArrayLike) -> np.ndarray:
    """Spectrum of a half-sine pulse of 1 N peak and the given duration at f in Hz, relative to 1 N x REFERENCE_PULSE.

    Complex; its phase is that of a pulse that starts at t = 0. At f = 0 it is 2 seconds / (pi REFERENCE_PULSE).
    """
    x = np.asarray(f, float) * np.asarray(seconds, float)
    gap = 1 - 4 * x * x
    near = np.abs(gap) < 1e-6
    ratio = np.where(near, np.pi / 4, np.cos(np.pi * x) / np.where(near, 1.0, gap))
    return np.asarray(2 / np.pi * np.asarray(seconds) / REFERENCE_PULSE * ratio * np.exp(-1j * np.pi * x))


@dataclass(frozen=True, eq=False)
class ModalSound:
    """The sound of one strike as damped modes, for 1 N of peak force.

    Pressure at the listener = Im sum_k amplitude_k exp((2 pi i frequency_k - decay_k) t), in Pa. `frequency` [K] Hz,
    `decay` [K] 1/s of the amplitude, `amplitude` [K] complex Pa with pulse and radiation in it. `noise`: the contact
    noise as (rms level at its start in Pa, seconds to fall by 60 dB, centre in Hz).
    """

    frequency: np.ndarray
    decay: np.ndarray
    amplitude: np.ndarray
    noise: tuple[float, float, float]
    contact_seconds: float


@dataclass(frozen=True, eq=False)
class Body:
    """An object of a given size and material in front of a listener, ready to be struck anywhere.

    `frequency`, `t60` [K]; `loss_parts` [K, 4]: eta of material, coating, support, radiation; `shapes` [K, V, 3]
    mode shapes of the real body (kg^-1/2); `transfer` [K] complex: pressure at the listener in Pa for a modal
    velocity impulse of 1 (so that gain = mode shape at the strike x transfer).
    """

    material: Material
    coating: Coating
    mass: float
    frequency: np.ndarray
    loss_parts: np.ndarray
    shapes: np.ndarray
    transfer: np.ndarray

    @property
    def t60(self) -> np.ndarray:
        """Seconds to fall by 60 dB, per mode."""
        return t60(self.frequency, self.loss_parts.sum(-1))

    @property
    def decay(self) -> np.ndarray:
        """Decay rates of the amplitude in 1/s, per mode."""
        return decay_rate(self.t60)

    def gain(self, weights: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Pa of each mode at t = 0, complex [..., K], for an ideal short pulse of 1 N x REFERENCE_PULSE.

        `weights`: vertex numbers [...] or interpolation weights [..., V]; `direction` [..., 3]: the force's direction.
        """
        if np.issubdtype(np.asarray(weights).dtype, np.integer):
            at = np.moveaxis(self.shapes[:, weights], 0, -2)
        else:
            at = np.einsum("...v,kvi->...ki", weights, self.shapes, optimize=True)
        return np.einsum("...ki,...i->...k", at, np.asarray(direction, float)) * self.transfer * REFERENCE_PULSE

    def noise(self, seconds: float) -> tuple[float, float, float]:
        """Contact noise per newton: its level follows the modal sound of the same pulse, averaged over the surface."""
        pulse = np.abs(contact_spectrum(self.frequency, seconds)) * REFERENCE_PULSE
        mean = (self.shapes.astype(float) ** 2).sum(-1).mean(1) / 3
        level = math.sqrt(float(np.sum(mean * np.abs(self.transfer * pulse) ** 2)))
        return self.material.noise * level, self.material.noise_seconds, self.material.noise_hz


def prepare(
    shape: Shape,
    modes: Modes,
    material: Material,
    size: float,
    *,
    coating: Coating = COATINGS["none"],
    support: Support = "resting",
    listener: ArrayLike = (0.0, 0.3, 1.0),
    seed: int = 0,
) -> Body:
    """Frequencies, losses and radiation of an object, once for all strikes.

    `size`: largest dimension in metres; `listener`: metres, in the object's axes (origin on the ground below its
    middle); `seed` draws the small asymmetry that parts the pairs of a body of revolution (by .1 to .5 %) and turns
    them.
    """
    rng = np.random.default_rng([seed, int(shape.key[:8], 16)])
    frequency = frequencies(modes, material, size)
    fields = modes.shapes
    pairs = np.flatnonzero((modes.harmonic[1:] > 0) & np.isclose(modes.omega[0, 1:], modes.omega[0, :-1], rtol=1e-12))
    if len(pairs):
        fields = fields.copy()
        split = rng.uniform(0.001, 0.005, len(pairs)) / 2
        turn = rng.uniform(0, 2 * np.pi, len(pairs))
        frequency[pairs] *= 1 - split
        frequency[pairs + 1] *= 1 + split
        c, s = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
        a, b = fields[pairs], fields[pairs + 1]
        fields[pairs], fields[pairs + 1] = c * a + s * b, c * b - s * a
    fields = fields / math.sqrt(material.density * size**3)
    normal_shape = np.einsum("kvi,vi->kv", fields, shape.normals)
    transfer = _transfer(shape, normal_shape, frequency, size, np.asarray(listener, float))
    radiation = _radiation_loss(shape, normal_shape, frequency, size)
    parts = loss_parts(material, coating, support, frequency, radiation)
    return Body(
        material=material,
        coating=coating,
        mass=material.density * shape.volume * size**3,
        frequency=frequency,
        loss_parts=np.stack([parts[name] for name in ("material", "coating", "support", "radiation")], -1),
        shapes=fields,
        transfer=transfer,
    )


def _transfer(shape: Shape, normal: np.ndarray, frequency: np.ndarray, size: float, listener: np.ndarray) -> np.ndarray:
    """Pressure [K] per modal velocity impulse: sum over the surface of acceleration, delay and spreading.

    Kirchhoff's integral with the surface pressure of a pulsating sphere of the body's radius: every element radiates
    (1 + x cos) rho a dS e^{-ikr} / (4 pi r), x = ika / (1 + ika). Small bodies are sums of monopoles and lose bass as
    (ka)^2; at high frequencies this is Rayleigh's integral over the side that faces the listener.
    """
    ray = listener - shape.vertices * size
    r = np.linalg.norm(ray, axis=1)
    if r.min() < 1e-3:
        raise ValueError("The listener stands inside or on the object; move the listener away from its surface.")
    cosine = (ray * shape.normals).sum(1) / r
    k = 2 * np.pi * frequency / SOUND_SPEED
    near = 1j * k * size / 2
    area = shape.vertex_areas() * size**2
    phase = np.exp(-1j * np.outer(k, r - r.min())).astype(np.complex64) * (normal * (area / r)).astype(np.float32)
    pressure = phase.sum(1) + near / (1 + near) * (phase * cosine.astype(np.float32)).sum(1)
    # The acceleration after an impulse is -w sin(wt): Im of the complex amplitude.
    return -2 * np.pi * frequency * AIR_DENSITY / (4 * np.pi) * pressure


# Directions of a cube's corners and faces: a 14-point cubature of the sphere, exact to degree 5.
_AROUND = np.concatenate(
    [np.eye(3), -np.eye(3), np.stack(np.meshgrid(*[[-1, 1]] * 3), -1).reshape(8, 3) / math.sqrt(3)]
)
_SHARE = np.concatenate([np.full(6, 8 / 120), np.full(8, 9 / 120)])
_SURFACE_SAMPLES = 700


def _radiation_loss(shape: Shape, normal: np.ndarray, frequency: np.ndarray, size: float) -> np.ndarray:
    """Loss factor [K] by radiation: far-field power of the same Kirchhoff sum in 14 directions over w x energy."""
    step = max(1, len(shape.vertices) // _SURFACE_SAMPLES)
    area = shape.vertex_areas() * size**2
    pick = slice(step // 2, None, step)
    weight = area[pick] * (area.sum() / area[pick].sum())
    points, normals = shape.vertices[pick] * size, shape.normals[pick]
    source = (normal[:, pick] * weight).astype(np.float32)
    k = 2 * np.pi * frequency / SOUND_SPEED
    near = (1j * k * size / 2) / (1 + 1j * k * size / 2)
    power = np.zeros(len(k))
    for direction, share in zip(_AROUND, _SHARE, strict=True):
        phase = np.exp((1j * np.outer(k, points @ direction)).astype(np.complex64)) * source
        field = phase.sum(1) + near * (phase * (normals @ direction).astype(np.float32)).sum(1)
        power += share * np.abs(field) ** 2
    # p = rho w v field / (4 pi r), W = 4 pi r^2 <|p|^2> / (2 rho c), energy = v^2 / 2, eta = W / (w energy).
    return AIR_DENSITY * 2 * np.pi * frequency / (4 * np.pi * SOUND_SPEED) * power


def strike(
    shape: Shape,
    modes: Modes,
    material: Material,
    size: float,
    *,
    vertex: int | np.ndarray,
    normal: ArrayLike,
    force_direction: ArrayLike | None = None,
    coating: Coating = COATINGS["none"],
    support: Support = "resting",
    hardness: float | None = 1.0e10,
    speed: float = 1.0,
    listener: ArrayLike = (0.0, 0.3, 1.0),
    seed: int = 0,
) -> ModalSound:
    """Strike an object once; the result is for 1 N of peak force. For many strikes `prepare` once and use `hit`.

    `vertex`: a vertex number or interpolation weights [V]; `normal`: outward; the force goes along the inward normal
    unless `force_direction` says otherwise. `hardness` in Pa; None is an ideal short pulse of 1 N x REFERENCE_PULSE.
    """
    body = prepare(shape, modes, material, size, coating=coating, support=support, listener=listener, seed=seed)
    direction = -np.asarray(normal, float) if force_direction is None else np.asarray(force_direction, float)
    return hit(body, vertex, direction, hardness=hardness, speed=speed)


def hit(
    body: Body,
    vertex: int | np.ndarray,
    direction: ArrayLike,
    *,
    hardness: float | None = 1.0e10,
    speed: float = 1.0,
) -> ModalSound:
    """Strike a prepared object at a vertex (or with weights [V]) along `direction`; for 1 N of peak force."""
    direction = np.asarray(direction, float)
    direction = direction / np.linalg.norm(direction)
    amplitude = body.gain(np.asarray(vertex), direction)
    seconds = 0.0
    if hardness is None:
        noise = body.noise(contact_seconds(1.0e10, body.material, body.mass, speed, coating=body.coating))
    else:
        seconds = contact_seconds(hardness, body.material, body.mass, speed, coating=body.coating)
        amplitude = amplitude * contact_spectrum(body.frequency, seconds)
        noise = body.noise(seconds)
    return ModalSound(body.frequency, body.decay, amplitude, noise, seconds)


def lines(frequency: np.ndarray, power: np.ndarray, tol: float = 0.006) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Merge modes nearer than `tol` (relative): line frequencies [L], summed power [..., L], line of each mode [K].

    Lines ascend. A line spans at most `tol` and its frequency is the mean over its modes, the same for every point.
    """
    order = np.argsort(frequency)
    number = np.zeros(len(order), int)
    start, line = frequency[order[0]], 0
    for k in order:
        if frequency[k] > start * (1 + tol):
            start, line = frequency[k], line + 1
        number[k] = line
    member = np.eye(line + 1)[number]
    return (frequency @ member) / member.sum(0), power @ member, number
