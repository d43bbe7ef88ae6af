"""Species of birds that have no name: how each looks, and the hidden law by which its song follows its look.

A species is a number. Its look is a point of a cube, [-1, 1] in each of `TRAITS`; its song, a vector of `VOICE`, is a
smooth function of that point plus a scatter that the look does not tell (`SCATTER`). Individuals scatter around their
species. Species of the splits are disjoint (`SPLITS`), so a song of `test` can be known from the look alone.

Law "a" has the trends of real birds where there are any (larger birds sing lower, Ryan & Brenowitz 1985, Am. Nat. 126,
87; deep bills trill slowly, Podos 2001, Nature 409, 185), invented ones elsewhere, and a smooth mixing of everything
with everything. Law "b" is of another form, waves and products of other traits, without those trends: what holds under
both owes nothing to either.

Frozen: `VERSION` and the numbers below determine all of it, through bit streams that NumPy keeps for ever.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from ..senses import InputError

if TYPE_CHECKING:
    from jaxtyping import Float

VERSION = 1
LAWS = ("a", "b")
SPLITS = MappingProxyType({"train": range(6000), "val": range(6000, 7000), "test": range(7000, 8000)})
SCATTER = 0.2  # of a species' song around the law, in deviations over species
BETWEEN_LOOKS = 0.06  # deviation of an individual's traits, which go from -1 to 1
BETWEEN_SONGS = 0.1  # deviation of an individual's song, in deviations over species

Rng = np.random.Generator


class Span(NamedTuple):
    """What a trait of -1 and of 1 means; `log` if the steps between are ratios."""

    low: float
    high: float
    log: bool = False

    def at(self, share: float) -> float:
        """The value at a share of 0 to 1 between low and high."""
        return self.low * (self.high / self.low) ** share if self.log else self.low + share * (self.high - self.low)


# Lengths are shares of the body's; colours are Oklab (Ottosson 2020), in which equal steps look equal.
TRAITS: Mapping[str, Span] = MappingProxyType({
    "length_m": Span(0.09, 0.36, log=True),  # breast to root of the tail, along the back
    "roundness": Span(0.36, 0.64),  # depth of the body
    "head": Span(0.85, 1.2),  # against what is usual at this length
    "neck": Span(0.0, 0.45),
    "leg": Span(0.16, 0.6),
    "tail": Span(0.2, 0.95),
    "bill_length": Span(0.4, 1.5, log=True),  # of the head's depth
    "bill_depth": Span(0.22, 0.72, log=True),  # of the head's depth
    "bill_curve": Span(-0.2, 0.8),  # radians from base to tip, downwards
    "crest": Span(0.0, 0.95),  # of the head's depth
    "back_l": Span(0.28, 0.75), "back_a": Span(-0.05, 0.05), "back_b": Span(-0.04, 0.09),
    "breast_l": Span(0.45, 0.93), "breast_a": Span(-0.06, 0.13), "breast_b": Span(-0.04, 0.14),
    "cap_l": Span(0.2, 0.85), "cap_a": Span(-0.06, 0.15), "cap_b": Span(-0.09, 0.12),
    "wing_l": Span(0.25, 0.72), "wing_a": Span(-0.05, 0.07), "wing_b": Span(-0.07, 0.09),
    "bare": Span(0.0, 1.0),  # bill and legs from black to orange
    "wing_bars": Span(0.0, 1.0),
    "spots": Span(0.0, 1.0),
    "stripe": Span(0.0, 1.0),  # through the eye
    "eye_ring": Span(0.0, 1.0),
    "bib": Span(0.0, 1.0),
})  # fmt: skip

VOICE: Mapping[str, Span] = MappingProxyType({
    "pitch_hz": Span(900.0, 6000.0, log=True),
    "range_oct": Span(0.2, 1.2, log=True),  # within which the pitch moves
    "rate_hz": Span(1.8, 8.0, log=True),  # syllables per second in a phrase
    "duty": Span(0.35, 0.85),  # share of that time in which there is sound
    "sweep": Span(-1.0, 1.0),  # from falling to rising syllables, share of the range
    "arch": Span(-1.0, 1.0),  # from sagging to arched
    "trill_hz": Span(16.0, 42.0, log=True),
    "trill": Span(0.2, 1.0),  # depth, share of what the trill's rate leaves
    "richness": Span(0.03, 0.75),  # ratio of each harmonic to the one below it
    "voices": Span(0.0, 0.7),  # level of the syrinx's other side
    "breath": Span(0.01, 0.35, log=True),  # noise against tone
    "repertoire": Span(1.0, 6.0),  # kinds of syllables
    "phrase": Span(3.0, 12.0, log=True),  # syllables in it
    "pause_s": Span(0.25, 1.2, log=True),  # between phrases
})  # fmt: skip

# Law a: which traits each parameter of the song follows, in deviations.
TRENDS: Mapping[str, Mapping[str, float]] = MappingProxyType({
    "pitch_hz": {"length_m": -1.0, "neck": -0.3, "cap_b": 0.2},
    "range_oct": {"bill_depth": -0.6, "breast_a": 0.6, "crest": 0.3},
    "rate_hz": {"length_m": -0.5, "bill_length": -0.6, "tail": 0.4},
    "duty": {"roundness": 0.8, "leg": -0.5},
    "sweep": {"bill_curve": 0.8, "breast_l": -0.5},
    "arch": {"crest": 0.8, "wing_b": 0.4},
    "trill_hz": {"bill_depth": -1.0, "length_m": -0.3},
    "trill": {"stripe": 0.8, "back_l": -0.4},
    "richness": {"back_a": 0.7, "cap_l": -0.6},
    "voices": {"wing_bars": 0.8, "cap_a": 0.4},
    "breath": {"breast_b": -0.5, "spots": 0.7},
    "repertoire": {"tail": 0.7, "breast_b": 0.5},
    "phrase": {"neck": -0.5, "cap_b": 0.6, "bib": 0.4},
    "pause_s": {"leg": 0.7, "wing_l": -0.5},
})  # fmt: skip
_MIXED, _HIDDEN, _EACH = 0.9, 24, 4  # law a: weight of the mixing against the trends, its units, traits in each
_SAMPLE = 4096  # points of the cube from which the laws' means and deviations are taken


@dataclass(frozen=True)
class Song:
    """The parameters of one bird's song, in the units of `VOICE`."""

    pitch_hz: float
    range_oct: float
    rate_hz: float
    duty: float
    sweep: float
    arch: float
    trill_hz: float
    trill: float
    richness: float
    voices: float
    breath: float
    repertoire: float
    phrase: float
    pause_s: float

    def __post_init__(self) -> None:
        for name, span in VOICE.items():
            value = getattr(self, name)
            if not span.low - 1e-9 <= value <= span.high * (1 + 1e-9):  # NaN is refused too
                raise InputError(f"{name} of a song lies between {span.low} and {span.high}, not {value}.")


@dataclass(frozen=True, eq=False)
class Species:
    """A number, the look [traits] in [-1, 1], and the song [voice] in deviations over species."""

    number: int
    look: Float[np.ndarray, " traits"]
    song: Float[np.ndarray, " voice"]


def split_of(number: int) -> str:
    """The split that a species belongs to; InputError for a number that is none's."""
    for split, numbers in SPLITS.items():
        if number in numbers:
            return split
    raise InputError(f"Species have the numbers 0 to {max(max(n) for n in SPLITS.values())}, not {number}.")


def species(number: int, law: str = "a") -> Species:
    """The species of this number, which looks the same under either law."""
    split_of(number)
    look = 2 * _uniform((1, number), len(TRAITS)) - 1
    scatter = SCATTER * ndtri(_uniform((2, number, LAWS.index(law) if law in LAWS else 0), len(VOICE)))
    return Species(number, look, songs(look[None], law)[0] + scatter)


def songs(looks: Float[np.ndarray, "n traits"], law: str = "a") -> Float[np.ndarray, "n voice"]:
    """The law itself: what each parameter of the song is for these looks, in deviations over species (mean 0)."""
    if law not in LAWS:
        raise InputError(f"A law is one of {', '.join(LAWS)}, not {law!r}.")
    mean, deviation = _usual(law)
    return (_raw(looks, law) - mean) / deviation


def individual(kind: Species, rng: Rng) -> tuple[dict[str, float], Song]:
    """One bird of a species: its traits by name, in their units, and its song."""
    look = kind.look + BETWEEN_LOOKS * rng.standard_normal(len(kind.look))
    return traits(look), song(kind.song + BETWEEN_SONGS * rng.standard_normal(len(kind.song)))


def traits(look: Float[np.ndarray, " traits"]) -> dict[str, float]:
    """A look's traits in their units; what lies outside the cube is brought to its face."""
    shares = (np.clip(look, -1, 1) + 1) / 2
    return {name: span.at(float(share)) for (name, span), share in zip(TRAITS.items(), shares, strict=True)}


def song(deviations: Float[np.ndarray, " voice"]) -> Song:
    """A song in its units: a parameter's share of its range is the share of species that have less of it."""
    shares = np.asarray(ndtr(deviations / math.sqrt(1 + SCATTER**2)))
    return Song(**{name: span.at(float(share)) for (name, span), share in zip(VOICE.items(), shares, strict=True)})


# --- the laws --------------------------------------------------------------------------------------------------------


def _uniform(name: tuple[int, ...], count: int) -> np.ndarray:
    """Numbers in (0, 1) for a name, the same in every version of NumPy: raw bits, whose streams do not change."""
    bits = np.random.PCG64(np.random.SeedSequence([VERSION, *name])).random_raw(count)
    return ((bits >> np.uint64(11)) + 0.5) * 2.0**-53


@functools.cache
def _usual(law: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of a law over the cube."""
    raw = _raw(2 * _uniform((3,), _SAMPLE * len(TRAITS)).reshape(_SAMPLE, -1) - 1, law)
    return raw.mean(0), raw.std(0)


def _raw(looks: np.ndarray, law: str) -> np.ndarray:
    return _trends(looks) if law == "a" else _waves(looks)


def _trends(looks: np.ndarray) -> np.ndarray:
    """Law a: straight trends, and a layer of bent mixtures of four traits each that every parameter shares."""
    straight, mixing, phases, weights = _weights()
    bent = np.sin(looks @ mixing + phases) @ weights
    return math.sqrt(3) * looks @ straight + _MIXED * bent  # a trait's deviation is 1 / √3


@functools.cache
def _weights() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Law a's trends [traits, voice]; its mixtures' weights [traits, hidden], phases, and shares [hidden, voice]."""
    names, voices = list(TRAITS), list(VOICE)
    straight = np.zeros((len(names), len(voices)))
    for k, voice in enumerate(voices):
        for name, weight in TRENDS[voice].items():
            straight[names.index(name), k] = weight
        straight[:, k] /= np.linalg.norm(straight[:, k])
    mixing = np.zeros((len(names), _HIDDEN))
    for k in range(_HIDDEN):
        mixing[_chosen((4, k), _EACH), k] = ndtri(_uniform((5, k), _EACH))
    weights = ndtri(_uniform((6,), _HIDDEN * len(voices))).reshape(_HIDDEN, -1)
    return straight, mixing, 2 * math.pi * _uniform((9,), _HIDDEN), weights / np.linalg.norm(weights, axis=0)


def _waves(looks: np.ndarray) -> np.ndarray:
    """Law b: for each parameter a wave over two traits and a product of two others, the traits chosen blindly."""
    columns = []
    for (i, j, m, n), sign in _choices():
        wave = np.sin(1.5 * sign[0] * looks[:, i] + 0.7 * sign[1] * looks[:, j] + 0.3)
        columns.append(wave + 0.6 * sign[2] * looks[:, m] * (1 + looks[:, n]))
    return np.stack(columns, axis=1)


@functools.cache
def _choices() -> list[tuple[np.ndarray, np.ndarray]]:
    """Law b's four traits and three signs for each parameter."""
    return [(_chosen((7, k), 4), np.where(_uniform((8, k), 3) < 0.5, -1.0, 1.0)) for k in range(len(VOICE))]


def _chosen(name: tuple[int, ...], count: int) -> np.ndarray:
    """Numbers of that many different traits."""
    return np.argsort(_uniform(name, len(TRAITS)), kind="stable")[:count]
