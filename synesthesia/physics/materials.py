"""Materials and coatings: elastic constants, densities and loss factors, each with its source.

The loss factor eta of a vibrating body is a sum, eta = material + coating + support + radiation, and the time to fall
by 60 dB is T60 = 2.2 / (f eta) (Cremer, Heckl & Petersson, Structure-Borne Sound, 3rd ed., sec. 3.4). Every part is a
power law of frequency, eta = loss (f / 1 kHz)^slope. "Hung" is the loss of the material alone, from the literature;
"resting" is calibrated on measured tables of struck household objects (`runs/calibrate_losses.py`, docs/losses.md).

Wood, cardboard and the like are anisotropic; here they are isotropic with the effective modulus of a bent plate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from ..senses import SUPPORTS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..senses import Support

GROUPS: tuple[str, ...] = ("metal", "mineral", "wood", "plastic", "paper", "rubber")

# Sources, cited by the constants below.
_AB = "Ashby, Materials Selection in Mechanical Design, 4th ed., App. A (E, density, nu, loss coefficient)"
_CH = "Cremer, Heckl & Petersson, Structure-Borne Sound, 3rd ed., table 3.2 (E, density, loss factor)"
_FR = "Fletcher & Rossing, The Physics of Musical Instruments, 2nd ed., ch. 22 (materials)"
_WH = "Wood Handbook, FPL-GTR-190 (2010), ch. 5; loss: Haines, Catgut Acoust. Soc. Newsl. 31 (1979)"
_LK = "Lakes, Viscoelastic Materials (2009), ch. 7 (loss tangents near 1 kHz)"
_NI = "Niskanen (ed.), Mechanics of Paper Products (2012), ch. 1-3; loss: Salmen & Back, Tappi J. 60 (1977)"
_GA = "Gibson & Ashby, Cellular Solids, 2nd ed., ch. 5-6 (foams)"
_TDW = "; resting: ThreeDWorld PyImpact tables"


@dataclass(frozen=True)
class Material:
    """A solid: elasticity, density, losses and the noise of touching it.

    Units: `youngs_modulus` Pa, `density` kg/m3, `poisson` 1. `loss` and `loss_slope` describe the hung body (eta at
    1 kHz and its power of frequency), `rest_loss` and `rest_slope` the total at rest on a table. `noise` is the level
    of the contact noise relative to the modal sound of the same strike (amplitude ratio at its start),
    `noise_seconds` the time in which it falls by 60 dB, `noise_hz` its centre frequency. `source` cites the constants.
    """

    name: str
    group: str
    youngs_modulus: float
    density: float
    poisson: float
    loss: float
    loss_slope: float
    rest_loss: float
    rest_slope: float
    noise: float
    noise_seconds: float
    noise_hz: float
    source: str

    @property
    def wave_speed(self) -> float:
        """sqrt(E / density), m/s: the one elastic number that pitch depends on."""
        return math.sqrt(self.youngs_modulus / self.density)


@dataclass(frozen=True)
class Coating:
    """A thin layer that damps: eta at 1 kHz and its slope, areal density in kg/m2, contact noise as in `Material`."""

    name: str
    loss: float
    loss_slope: float
    areal_density: float
    source: str


# Measured totals at rest, (eta at 1 kHz, slope), medians of runs/calibrate_losses.py; where a material has no table of
# its own the nearest table stands in.
_REST: dict[str, tuple[float, float]] = {
    "metal": (0.0083, -0.47),
    "glass": (0.0094, -0.55),
    "ceramic": (0.0029, 0.19),
    "stone": (0.0142, -0.72),
    "wood_hard": (0.0151, -0.91),
    "wood_medium": (0.0281, -0.77),
    "wood_soft": (0.0194, -0.87),
    "plastic_hard": (0.0410, -0.86),
    "plastic_soft_foam": (0.0508, -1.08),
    "cardboard": (0.0339, -0.75),
    "paper": (0.0885, -1.16),
    "rubber": (0.0494, -1.30),
}


def _material(
    name: str,
    group: str,
    elastic: tuple[float, float, float],
    hung: tuple[float, float],
    rest: str,
    noise: tuple[float, float, float],
    source: str,
) -> Material:
    return Material(name, group, *elastic, *hung, *_REST[rest], *noise, source + _TDW + f" '{rest}'")


_ALL = (
    # name, group, (E, density, nu), hung (eta at 1 kHz, slope), table at rest, noise (level, T60, Hz), source
    _material("steel", "metal", (200e9, 7850, 0.29), (2.0e-4, -0.3), "metal", (0.02, 0.004, 6000), _CH),
    _material("aluminium", "metal", (70e9, 2700, 0.33), (2.5e-4, -0.3), "metal", (0.02, 0.004, 6000), _CH),
    _material("brass", "metal", (100e9, 8500, 0.34), (3.0e-4, -0.3), "metal", (0.02, 0.004, 6000), _FR),
    _material("bronze", "metal", (105e9, 8700, 0.34), (2.5e-4, -0.3), "metal", (0.02, 0.004, 6000), _FR),
    _material("copper", "metal", (120e9, 8940, 0.34), (4.0e-4, -0.3), "metal", (0.02, 0.004, 6000), _AB),
    _material("iron", "metal", (110e9, 7200, 0.26), (5.5e-4, -0.2), "metal", (0.03, 0.005, 5000), _AB),
    _material("titanium", "metal", (110e9, 4500, 0.34), (2.5e-4, -0.3), "metal", (0.02, 0.004, 6000), _AB),
    _material("glass", "mineral", (70e9, 2500, 0.22), (1.2e-3, -0.1), "glass", (0.03, 0.005, 7000), _CH),
    _material("porcelain", "mineral", (70e9, 2400, 0.20), (1.5e-3, -0.1), "ceramic", (0.04, 0.006, 6000), _AB),
    _material("ceramic", "mineral", (45e9, 2200, 0.20), (1.8e-3, -0.1), "ceramic", (0.05, 0.008, 5000), _AB),
    _material("stone", "mineral", (50e9, 2650, 0.25), (2.2e-3, -0.1), "stone", (0.10, 0.012, 4000), _AB),
    _material("marble", "mineral", (55e9, 2700, 0.25), (1.8e-3, -0.1), "stone", (0.08, 0.010, 4500), _AB),
    _material("concrete", "mineral", (28e9, 2350, 0.20), (4.0e-3, -0.1), "stone", (0.15, 0.020, 3000), _CH),
    _material("hardwood", "wood", (11e9, 700, 0.35), (5.5e-3, 0.0), "wood_hard", (0.10, 0.015, 2200), _WH),
    _material("bamboo", "wood", (15e9, 700, 0.35), (6.0e-3, 0.0), "wood_medium", (0.12, 0.015, 2600), _WH),
    _material("plywood", "wood", (7.5e9, 600, 0.30), (9.5e-3, 0.0), "wood_medium", (0.12, 0.018, 1900), _WH),
    _material("softwood", "wood", (8e9, 430, 0.37), (8.0e-3, 0.1), "wood_soft", (0.12, 0.020, 1600), _WH),
    _material("hard_plastic", "plastic", (2.4e9, 1050, 0.38), (1.3e-2, 0.0), "plastic_hard", (0.08, 0.010, 3200), _LK),
    _material("polycarbonate", "plastic", (2.3e9, 1200, 0.37), (1.3e-2, 0.0), "plastic_hard", (0.08, 0.010, 3400), _LK),
    _material("pet", "plastic", (2.9e9, 1380, 0.40), (1.6e-2, 0.0), "plastic_hard", (0.12, 0.014, 4200), _LK),
    _material("acrylic", "plastic", (3.2e9, 1190, 0.37), (2.6e-2, -0.1), "plastic_hard", (0.08, 0.010, 3600), _LK),
    _material("soft_plastic", "plastic", (0.9e9, 930, 0.42), (4.5e-2, 0.0), "plastic_hard", (0.12, 0.016, 2400), _LK),
    _material("cardboard", "paper", (1.8e9, 690, 0.30), (2.2e-2, 0.0), "cardboard", (0.7, 0.06, 950), _NI),
    _material("corrugated", "paper", (0.45e9, 160, 0.25), (2.8e-2, 0.0), "cardboard", (0.9, 0.09, 650), _NI),
    _material("paper", "paper", (2.5e9, 780, 0.30), (3.6e-2, 0.0), "paper", (1.2, 0.22, 4800), _NI),
    _material("rubber", "rubber", (8e6, 1100, 0.48), (1.0e-1, 0.1), "rubber", (0.25, 0.03, 350), _LK),
    _material("hard_rubber", "rubber", (8e7, 1200, 0.47), (8.0e-2, 0.1), "rubber", (0.20, 0.02, 600), _LK),
    _material("foam", "rubber", (6e6, 30, 0.15), (9.0e-2, 0.0), "plastic_soft_foam", (0.6, 0.05, 420), _GA),
    _material("cork", "rubber", (2.5e7, 180, 0.10), (7.0e-2, 0.0), "plastic_soft_foam", (0.4, 0.035, 800), _GA),
)
MATERIALS: dict[str, Material] = {m.name: m for m in _ALL}

# A damping layer adds about its areal density times its own loss over the host's; the constants are of a layer on a
# host of a few kg/m2 (Cremer, Heckl & Petersson, sec. 3.7). The layer's mass is too small to matter and is left out.
COATINGS: dict[str, Coating] = {
    c.name: c
    for c in (
        Coating("none", 0.0, 0.0, 0.0, "definition"),
        Coating("felt", 0.025, 0.3, 0.6, _CH + ", sec. 3.7, soft unconstrained layer"),
        Coating("fur", 0.050, 0.2, 0.9, _CH + ", sec. 3.7, soft unconstrained layer, air pumping"),
        Coating("paint", 0.0015, 0.0, 0.1, _LK + ", polymer film of .1 mm, Oberst's formula"),
        Coating("rust", 0.0008, -0.1, 0.15, _CH + ", granular layer, friction"),
    )
}

# A hand or a clamp damps on top of what a table does, mostly at low frequencies (chosen, not measured).
HELD_LOSS, HELD_SLOPE = 0.015, -0.5


def blend(a: Material, b: Material, t: float) -> Material:
    """The material a fraction `t` of the way from `a` to `b`; the group is that of the nearer end.

    Positive constants go in the logarithm, slopes and Poisson's ratio linearly. Raises ValueError for t outside [0, 1].
    """
    if not 0 <= t <= 1:
        raise ValueError(f"A blend lies between its ends: t is in [0, 1], not {t}.")
    linear = {"poisson", "loss_slope", "rest_slope"}
    values: dict[str, float] = {}
    for f in fields(Material):
        if f.name in ("name", "group", "source"):
            continue
        x, y = getattr(a, f.name), getattr(b, f.name)
        values[f.name] = (1 - t) * x + t * y if f.name in linear else math.exp((1 - t) * math.log(x) + t * math.log(y))
    near = a if t < 0.5 else b
    return Material(f"{a.name}~{b.name}:{t:.2f}", near.group, **values, source=f"between {a.name} and {b.name}")


def named(name: str) -> Material:
    """The material of this name: one of `MATERIALS`, or a blend by the name `blend` gives it ("steel~cork:0.25").

    Raises ValueError for a name that is neither.
    """
    ends, _, share = name.partition(":")
    first, _, second = ends.partition("~")
    try:
        return blend(MATERIALS[first], MATERIALS[second], float(share)) if second else MATERIALS[first]
    except (KeyError, ValueError) as error:
        raise ValueError(f"{name!r} names no material.") from error


def support_loss(own: np.ndarray, at_rest: np.ndarray, f: np.ndarray) -> np.ndarray:
    """What each of `senses.SUPPORTS` adds to the loss factor, [3, ...]: hung nothing, resting, held.

    `own` is the material's own loss, `at_rest` the measured total of a body on a table, both at `f` in Hz.
    """
    rest = np.maximum(at_rest - own, 0.0)
    return np.stack([np.zeros_like(rest), rest, 2 * rest + HELD_LOSS * (np.maximum(f, 1.0) / 1000.0) ** HELD_SLOPE])


def loss_parts(
    material: Material, coating: Coating, support: Support, f: ArrayLike, radiation: ArrayLike = 0.0
) -> dict[str, np.ndarray]:
    """The parts of the loss factor at the frequencies `f` in Hz: material, coating, support, radiation; they add up.

    The support part at rest is what the measured total has beyond the material's own loss, never below zero.
    """
    x = np.maximum(np.asarray(f, float), 1.0) / 1000.0
    own = material.loss * x**material.loss_slope
    parts = dict(zip(SUPPORTS, support_loss(own, material.rest_loss * x**material.rest_slope, 1000.0 * x), strict=True))
    if support not in parts:
        raise ValueError(f"A support is hung, resting or held, not {support!r}.")
    return {
        "material": np.asarray(own),
        "coating": np.asarray(coating.loss * x**coating.loss_slope),
        "support": np.asarray(parts[support]),
        "radiation": np.broadcast_to(np.asarray(radiation, float), x.shape).copy(),
    }


def t60(f: ArrayLike, eta: ArrayLike) -> np.ndarray:
    """Seconds to fall by 60 dB, 2.2 / (f eta)."""
    return np.asarray(2.2 / (np.asarray(f, float) * np.asarray(eta, float)))


def decay_rate(t60_seconds: ArrayLike) -> np.ndarray:
    """Decay rate of the amplitude in 1/s, ln(1000) / T60."""
    return np.asarray(math.log(1000.0) / np.asarray(t60_seconds, float))
