#!/usr/bin/env python3
# Cost: seconds.
"""The ears that ship: KEMAR's responses from a SOFA file, levelled, cut, and kept as 16-bit numbers.

    python runs/hrtf_kemar.py mit_kemar_normal_pinna.sofa

Half of the sphere is kept, for this set is exactly the same left and right (checked). What all directions share, the
loudspeaker's colour above all, is divided out: the minimum-phase filter of the mean power over the sphere. Below
200 Hz, where the loudspeaker gives out, a head is small against the wave: the level stays and the delay goes on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from scipy.signal import resample_poly

from synesthesia import hub
from synesthesia.acoustics import sofa

TAPS = 256
SIZE = 4096
LOW_HZ = 200.0
SPEAKER_HZ = 50.0  # down to here the loudspeaker's fall is undone, for its phase reaches far above
HIGH_HZ = 18_000.0  # above, the measurement holds noise only: nothing is lifted there
BEFORE = 20  # samples kept before the first onset of all

CARD = hub.Card(
    name="ears/kemar",
    licence="other",
    summary="The ears of the KEMAR dummy head with normal pinnae: impulse responses from 710 directions at 44.1 kHz "
    "(half of them kept, the other half is their mirror image), for `walk`.",
    data='W. G. Gardner and K. D. Martin (1995), "HRTF measurements of a KEMAR", J. Acoust. Soc. Am. 97, 3907-3908; '
    "MIT Media Lab, http://sound.media.mit.edu/resources/KEMAR.html, in the SOFA version of the Acoustics Research "
    'Institute (P. Majdak, M. Mihocic). Its terms: "This HRTF data is provided without any usage restrictions. It is '
    "requested that you cite Gardner and Martin (1995) when using this data for research or commercial "
    'applications." Tier: open.',
    training="None: `runs/hrtf_kemar.py` divides out the mean over all directions (the loudspeaker's colour), goes on "
    "below 200 Hz as a small body does, keeps 256 samples, 16 bits.",
    limits="One dummy head at 1.4 m: not your ears, nor a source at your ear. Nothing was measured more than 40 "
    "degrees below the horizon.",
)


def levelled(samples: np.ndarray, rate: int, weight: np.ndarray) -> np.ndarray:
    """Responses [n, 2, taps] without what is common to all directions."""
    hz = np.fft.rfftfreq(SIZE, 1 / rate)
    spectrum = np.fft.rfft(samples, SIZE)
    mean = np.sqrt(np.average(np.square(np.abs(spectrum)).mean(1), axis=0, weights=weight))
    smooth = np.array([np.exp(np.mean(np.log(mean[(hz >= f / 1.06) & (hz <= f * 1.06 + 1)]))) for f in hz])
    inside = (hz >= SPEAKER_HZ) & (hz <= HIGH_HZ)
    smooth = np.interp(hz, hz[inside], smooth[inside])
    cepstrum = np.fft.irfft(-np.log(smooth))
    cepstrum[1 : SIZE // 2] *= 2
    cepstrum[SIZE // 2 + 1 :] = 0
    spectrum = spectrum * np.exp(np.fft.rfft(cepstrum))
    k = int(np.argmax(hz >= LOW_HZ))
    late = np.exp(-2j * np.pi * np.arange(k + 1) / SIZE * np.abs(samples).argmax(-1).mean())
    rest = np.angle(spectrum[..., k] / late[k])  # less than half a turn; it shrinks to nothing at 0 Hz
    spectrum[..., :k] = np.abs(spectrum[..., k, None]) * late[:k] * np.exp(1j * rest[..., None] * np.arange(k) / k)
    return np.fft.irfft(spectrum, SIZE)


def main(path: Path) -> None:
    measured = sofa.read(path)
    azimuth, elevation = measured.azimuth, measured.elevation
    mirror = np.array([np.argmin(np.linalg.norm(measured.directions - d * [1, -1, 1], axis=1))
                       for d in measured.directions])  # fmt: skip
    assert np.array_equal(measured.samples, measured.samples[mirror][:, ::-1]), "left and right differ: keep all of it"
    weight = np.array([np.cos(np.radians(e)) / np.sum(np.isclose(elevation, e)) + 1e-6 for e in elevation])
    samples = levelled(measured.samples, measured.rate, weight)
    finer = np.abs(resample_poly(samples, 4, 1, axis=-1)[..., : 4 * SIZE // 2])
    onset = (finer > 0.1 * finer.max(-1, keepdims=True)).argmax(-1).min() // 4
    samples = np.roll(samples, BEFORE - onset, axis=-1)[..., :TAPS]
    samples[..., :8] *= np.linspace(0, 1, 8)
    samples[..., -48:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, 49) / 48)

    half = np.flatnonzero((azimuth > -1e-6) & (azimuth < 180 + 1e-6))
    order = half[np.lexsort((azimuth[half], np.round(elevation[half], 3)))]
    scale = float(np.abs(samples).max() / 32767)
    tensors = {
        "angles": torch.from_numpy(np.stack([azimuth, elevation], 1)[order].astype(np.float32)),
        "samples": torch.from_numpy(np.round(samples[order] / scale).astype(np.int16)),
    }
    config = {"rate": measured.rate, "scale": scale, "source": CARD.data}
    hub.save_model(hub.WEIGHTS / "ears-kemar", config, tensors, CARD)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
