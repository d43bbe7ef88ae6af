"""Interventions: change one physics token, and the sound must follow as physics says, in its modes and its waveform."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import metrics
from ..senses import MALLETS, Sound
from .protocol import Heard, Model, line, mean, nothing, play, take

# What the waveform must hold before an intervention is measured on it: periods within T60.
# A line of 100 periods is 2.2 % wide at half power, 38 cents; on wider ones 20 cents cannot be told.
CLEAN_PITCH, CLEAN_DECAY = 100.0, 150.0


@dataclass(frozen=True)
class Intervention:
    """Scale one thing; the pitch must move by `cents` (± 20) or the decay time by `decay` (± 5 %)."""

    factor: dict[str, float]
    cents: float | None = None
    decay: float | None = None


INTERVENTIONS: dict[str, Intervention] = {
    "mass × 2": Intervention({"mass": 2.0}, cents=-600.0),
    "stiffness × 2": Intervention({"stiffness": 2.0}, cents=600.0),
    "size × 2": Intervention({"size": 2.0}, cents=-1200.0),
    "damping × 2": Intervention({"damping": 2.0}, decay=0.5),
}


def peak_near(wave: np.ndarray, rate: int, hz: float, cents: float = 60.0) -> float:
    """The frequency of the strongest spectral peak within `cents` of `hz`, by a parabola through its log magnitudes.

    NaN when nothing sounds at that place: the spectrum there has no peak, or one more than 40 dB below its maximum.
    """
    n = 4 * len(wave)
    spectrum = np.abs(np.fft.rfft(wave, n))
    reach = 2.0 ** (cents / 1200.0)
    low, high = max(int(hz / reach * n / rate), 1), min(math.ceil(hz * reach * n / rate), len(spectrum) - 2)
    if high <= low:
        return math.nan
    at = low + int(spectrum[low : high + 1].argmax())
    if spectrum[at] <= 0.01 * spectrum.max() or spectrum[at] < max(spectrum[at - 1], spectrum[at + 1]):
        return math.nan
    a, b, c = np.log(np.maximum(spectrum[at - 1 : at + 2], 1e-300))
    curve = a - 2.0 * b + c
    return (at + (0.5 * (a - c) / curve if curve < 0 else 0.0)) * rate / n


def decay_near(wave: np.ndarray, rate: int, hz: float) -> float:
    """T60 of the line at `hz` from the waveform: shifted to 0 Hz, smoothed over 40 periods, a straight line in dB."""
    n = len(wave)
    length = max(int(40.0 * rate / hz), 16)
    window = np.hanning(length) / np.hanning(length).sum()
    base = wave * np.exp(-2j * math.pi * hz * np.arange(n) / rate)
    level = 20.0 * np.log10(np.abs(np.convolve(base, window, "valid")) + 1e-12)
    below = np.flatnonzero(level < level[0] - 25.0)
    stop = int(below[0]) if len(below) else len(level)
    if stop < 16:
        return math.nan
    slope = np.polyfit(np.arange(stop) / rate, level[:stop], 1)[0]
    return -60.0 / slope if slope < 0 else math.nan


def intervention_lines(
    model: Model, heard: Heard, seed: int, most: int = 60
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Change one token and look whether the sound follows: in the modes (every line), and in the waveform.

    The blows are a steel mallet's, whose pulse has no gap where the lines are. The waveform is measured on the
    strongest line below 8 kHz, where it stands out: within T60 it makes at least `CLEAN_PITCH` periods (`CLEAN_DECAY`
    for decay times), and no line within 20 dB of it comes nearer than 6 %.
    """
    chosen = np.linspace(0, len(heard.items) - 1, min(most, len(heard.items))).astype(int)
    steel = {"force": 5.0, "hardness": MALLETS["steel"], "speed": 1.0}
    items = [dataclasses.replace(heard.items[int(k)], **steel) for k in chosen]
    base = take(heard.physics, chosen)
    sounds = play(model, base, items, seed)
    lines_hit: list[float] = []
    lines_of: list[str] = []
    wave_hit: list[float] = []
    wave_of: list[str] = []
    each: dict[str, dict[str, Any]] = {}
    for name, step in INTERVENTIONS.items():
        changed = base.with_(**step.factor)
        after = play(model, changed, items, seed)
        fields, waves, owners = [], [], []
        for k, i in enumerate(items):
            if step.cents is not None:
                moved = metrics.cents(np.asarray(base.frequency)[k], np.asarray(changed.frequency)[k])
                ok = bool((np.abs(moved - step.cents) <= 20.0).all())
            else:
                ok = bool(
                    (
                        np.abs(np.asarray(changed.t60)[k] / np.asarray(base.t60)[k] / (step.decay or 1.0) - 1.0) <= 0.05
                    ).all()
                )
            fields.append(float(ok))
            measured = _in_waveform(step, base, changed, k, sounds[k], after[k])
            if measured is not None:
                waves.append(float(measured))
                owners.append(i.shape)
        lines_hit += fields
        lines_of += [i.shape for i in items]
        wave_hit += waves
        wave_of += owners
        each[name] = {
            "modes": float(np.mean(fields)),
            "waveform": float(np.mean(waves)) if waves else None,
            "n_waveform": len(waves),
        }
    in_modes = mean(np.array(lines_hit), np.array(lines_of), seed)
    in_wave = mean(np.array(wave_hit), np.array(wave_of), seed) if wave_hit else nothing()
    lines = [
        line("interventions", in_wave, in_wave.value >= 0.99, in_wave.value >= 1.0),
        line("interventions_fields", in_modes, in_modes.value >= 0.99, in_modes.value >= 1.0),
    ]
    return lines, each


def _in_waveform(step: Intervention, base: Any, changed: Any, k: int, before: Sound, after: Sound) -> bool | None:
    """Whether the strongest line of the rendered sound moved as it must; None where it cannot be measured."""
    f, t, g = (np.asarray(x, dtype=float)[k] for x in (base.frequency, base.t60, base.gain))
    audible = (f > 60.0) & (f < 8_000.0)
    if not audible.any():
        return None
    spectrum = np.abs(np.fft.rfft(before.mono.astype(float), 4 * before.samples.shape[1]))
    height = np.array(
        [spectrum[min(round(x * 4 * before.samples.shape[1] / before.rate), len(spectrum) - 1)] for x in f]
    )
    top = int(np.where(audible, height, 0.0).argmax())
    near = (np.abs(f / f[top] - 1.0) < 0.06) & (np.arange(len(f)) != top) & (np.abs(g) > 0.1 * np.abs(g[top]))
    new_f, new_t = float(np.asarray(changed.frequency)[k, top]), float(np.asarray(changed.t60)[k, top])
    periods = min(f[top] * t[top], new_f * new_t)
    if near.any() or periods < (CLEAN_PITCH if step.decay is None else CLEAN_DECAY) or not 40.0 < new_f < 20_000.0:
        return None
    old = peak_near(before.mono.astype(float), before.rate, f[top])
    new = peak_near(after.mono.astype(float), after.rate, new_f)
    if not math.isfinite(old):
        return None
    if step.cents is not None:
        return math.isfinite(new) and bool(abs(metrics.cents(np.array(old), np.array(new)) - step.cents) <= 20.0)
    was = decay_near(before.mono.astype(float), before.rate, old)
    now = decay_near(after.mono.astype(float), after.rate, old)
    if not math.isfinite(was):
        return None
    return math.isfinite(now) and bool(abs(now / was / (step.decay or 1.0) - 1.0) <= 0.05)
