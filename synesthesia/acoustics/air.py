"""The air between a source and an ear: how fast sound goes through it and what it takes on the way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..senses import InputError

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Air:
    """Air at sea level: `celsius` from −40 to 60, relative `humidity` in per cent. `absorbing=False` only carries."""

    celsius: float = 15.0
    humidity: float = 50.0
    absorbing: bool = True

    def __post_init__(self) -> None:
        if not (-40 <= self.celsius <= 60 and 1 <= self.humidity <= 100):
            raise InputError(
                f"Air has -40 to 60 °C and 1 to 100 % humidity, not {self.celsius} °C and {self.humidity} %."
            )

    @property
    def speed(self) -> float:
        """Metres per second (ISO 9613-1:1993, eq. A.5)."""
        return 343.2 * math.sqrt((self.celsius + 273.15) / 293.15)

    def loss(self, hz: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """dB that a tone loses per metre (ISO 9613-1:1993, eqs. 3–5)."""
        f2 = np.asarray(hz, np.float64) ** 2
        if not self.absorbing:
            return np.zeros_like(f2)
        kelvin, reference = self.celsius + 273.15, 293.15
        saturation = 10 ** (-6.8346 * (273.16 / kelvin) ** 1.261 + 4.6151)
        molar = self.humidity * saturation  # concentration of water vapour in per cent
        oxygen = 24 + 4.04e4 * molar * (0.02 + molar) / (0.391 + molar)
        ratio = kelvin / reference
        nitrogen = ratio**-0.5 * (9 + 280 * molar * math.exp(-4.170 * (ratio ** (-1 / 3) - 1)))
        relaxing = 0.01275 * math.exp(-2239.1 / kelvin) / (oxygen + f2 / oxygen)
        relaxing = relaxing + 0.1068 * math.exp(-3352.0 / kelvin) / (nitrogen + f2 / nitrogen)
        return 8.686 * f2 * (1.84e-11 * ratio**0.5 + ratio**-2.5 * relaxing)
