"""The voice `bands`: envelopes of 64 auditory bands, tracked partials and onsets, decoded in closed form.

Nothing here is trained. A sound is noise in bands of the ear's width whose levels move (McDermott & Simoncelli 2011
show how much of a natural texture that keeps), with up to one sinusoid in each of 32 regions for what sings (birds,
bells, sirens), and one onset a frame for attacks that are sharper than the frames (footsteps, keys, clocks, crackles).

A frame is 10 ms (320 samples at 32 kHz); frame t is centred on sample 320 t + 160. Its latents, `Bands.space`:

| channels | what | unit |
|---|---|---|
| 0 … 63 | level of a band: mean square of the sound in it, dB re full scale; the bands' sum is its power | dB, ≥ −100 |
| 64 … 95 | place of a region's strongest partial: octaves above the region's centre; 0 if there is none | octaves |
| 96 … 127 | level of that partial: its mean square; −100 if there is none; the bands' levels hold it too | dB, ≥ −100 |
| 128 | rise of the frame's onset: level after over level before; 0 where there is none | dB, 0 … 60 |
| 129 | place of the onset in the frame, 0 = its first sample, 1 = its end; 0.5 where there is none | frames |
| 130 | click: share of the energy of the 10 ms after the onset that lies within 0.5 ms of its peak | 0 … 1 |

Decoding. White noise is cut into windowed frames; around an onset, and only in the bands whose level rises there, it is
silenced before the onset and has a click at it. In each frame the noise's *own* power in every band is measured and
replaced by the band's level (less the partials' share), so that the chance of the noise adds nothing to levels that
already carry the chance of the original. Low bands are made with longer windows than high ones, as their filters ring
longer. Partials are oscillators whose frequency and amplitude move in straight lines from frame to frame.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import fft

from ..senses import InputError, Sound
from ..spaces import Features, Space
from .voice import Decoder, Voice, checked

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

RATE = 32_000
HOP = 320
BANDS = 64
REGIONS = 32
LOW_HZ, HIGH_HZ = 50.0, 15_000.0
FLOOR_DB = -100.0
WIDTH = BANDS + 2 * REGIONS + 3

LEVELS = slice(0, BANDS)
PLACES = slice(BANDS, BANDS + REGIONS)
PARTIALS = slice(BANDS + REGIONS, BANDS + 2 * REGIONS)
RISE, ONSET, CLICK = range(BANDS + 2 * REGIONS, WIDTH)

# A frame of silence: every channel at what it says where there is nothing.
REST = np.zeros(WIDTH, np.float32)
REST[LEVELS], REST[PARTIALS], REST[ONSET] = FLOOR_DB, FLOOR_DB, 0.5
REST.flags.writeable = False

# (window in samples, bands from which centre in Hz on): each window holds a few periods of its band's ringing.
_WINDOWS = ((2560, 0.0), (1600, 250.0), (960, 900.0))
_PARTIAL_FROM = (0.0, 900.0, 2500.0)  # the same windows, but tones are told from noise by longer looks
_BLOCK = 32  # frames decoded at a time
_REACH = 4  # frames to each side whose windows reach into a frame
_GATE = 1280  # samples before an onset over which the noise falls silent
_AHEAD = 2 * _REACH + _GATE // HOP  # frames that must be known after the last one decoded
_BEHIND = 3 * _REACH
_LEAST_RISE, _MOST_RISE = 6.0, 60.0  # dB; a smaller step needs no onset, and a larger one says no more
_SHARPENINGS = 3
_ENCODE = 1024  # frames encoded at a time


def erb_number(hz: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """The place of a frequency on the ear's scale: 21.4 log10(1 + 0.00437 f) (Glasberg & Moore 1990, eq. 4)."""
    return 21.4 * np.log10(1.0 + 0.00437 * np.asarray(hz, dtype=float))


def erb_hertz(number: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """The frequency in Hz at a place of the ear's scale; the inverse of `erb_number`."""
    return (10.0 ** (np.asarray(number, dtype=float) / 21.4) - 1.0) / 0.00437


@cache
def _step() -> float:
    low, high = erb_number(np.array([LOW_HZ, HIGH_HZ]))
    return float(high - low) / (BANDS - 1)


@cache
def centres() -> Float[np.ndarray, " bands"]:
    """The bands' centres in Hz, equally spaced on the ear's scale from 50 Hz to 15 kHz."""
    return erb_hertz(np.linspace(*erb_number(np.array([LOW_HZ, HIGH_HZ])), BANDS))


@cache
def region_edges() -> Float[np.ndarray, " edges"]:
    """The edges in Hz of the regions that hold one partial each: two bands wide."""
    low, high = erb_number(np.array([LOW_HZ, HIGH_HZ]))
    return erb_hertz(np.linspace(low - _step() / 2, high + _step() / 2, REGIONS + 1))


@cache
def region_centres() -> Float[np.ndarray, " regions"]:
    """The regions' centres in Hz, the zero of their partials' places."""
    edges = region_edges()
    return np.sqrt(edges[1:] * edges[:-1])


class _Layer(NamedTuple):
    """The bands that share a window: their slice, the window, and their power responses on the first bins."""

    bands: slice
    window: np.ndarray
    response: np.ndarray  # (bins, bands), cos² of the distance on the ear's scale

    @property
    def size(self) -> int:
        return len(self.window)

    @property
    def bins(self) -> int:
        return len(self.response)


def _hann(size: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * (np.arange(size) + 0.5) / size)).astype(np.float32)


def _response(hz: Float[np.ndarray, " bins"], centre_hz: Float[np.ndarray, " bands"]) -> np.ndarray:
    """(bins, bands): power responses that sum to one between the first and the last centre."""
    distance = (erb_number(hz)[:, None] - erb_number(centre_hz)) / _step()
    return np.where(np.abs(distance) < 1.0, np.cos(np.pi / 2 * distance) ** 2, 0.0)


@cache
def _layers() -> tuple[_Layer, ...]:
    starts = [int(np.searchsorted(centres(), hz)) for _, hz in _WINDOWS] + [BANDS]
    layers = []
    for (size, _), first, last in zip(_WINDOWS, starts[:-1], starts[1:], strict=True):
        hz = np.arange(size // 2) * RATE / size
        response = _response(hz, centres()[first:last])
        response[0] = 0.0  # a constant is no sound
        heard = int(np.flatnonzero(response.any(axis=1)).max()) + 1
        layers.append(_Layer(slice(first, last), _hann(size), response[:heard].astype(np.float32)))
    return tuple(layers)


@cache
def _leak() -> tuple[Float[np.ndarray, " grid"], Float[np.ndarray, "grid bands"]]:
    """The share of a sinusoid's power that each band measures, on a grid of ERB numbers; main lobes spread it."""
    numbers = np.linspace(*erb_number(np.array([LOW_HZ / 2, RATE / 2 - 200])), 1024)
    share = np.zeros((len(numbers), BANDS), np.float32)
    for layer in _layers():
        n = np.arange(layer.size)
        for start in range(0, len(numbers), 128):
            hz = erb_hertz(numbers[start : start + 128])
            waves = np.exp(2j * np.pi * hz[:, None] * n / RATE) * layer.window
            power = np.abs(np.fft.fft(waves, axis=1)[:, : layer.bins]) ** 2
            share[start : start + 128, layer.bands] = power @ layer.response / (layer.size * (layer.window**2).sum())
    return numbers, share


def _power_to_db(power: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    # Not every machine's logarithm of the floor is the floor.
    level = 10.0 * np.log10(np.maximum(power, 10.0 ** (FLOOR_DB / 10)))
    return np.maximum(level, FLOOR_DB).astype(np.float32)


def _db_to_power(level: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Zero at the floor, so that silence stays silent."""
    power = 10.0 ** (np.clip(level, FLOOR_DB, 20.0) / 10.0)
    return np.where(level <= FLOOR_DB, 0.0, power)


def _framed(samples: Float[np.ndarray, " n"], size: int) -> np.ndarray:
    """(frames, size) of samples that begin `size`/2 − HOP/2 before the first frame, a view."""
    return np.lib.stride_tricks.sliding_window_view(samples, size)[::HOP]


class Bands(Voice):
    """The voice `bands` (see this module's docstring for its latents)."""

    space = Space("bands/1", WIDTH)
    rate = RATE
    hop = HOP

    def encode(self, sound: Sound) -> Features:
        samples = self.prepare(sound)
        frames = len(samples) // HOP
        values = np.zeros((frames, WIDTH), np.float32)
        purity = np.zeros((frames, REGIONS), np.float32)
        margin = _WINDOWS[0][0] // 2
        padded = np.pad(samples, margin)
        for first in range(0, frames, _ENCODE):
            last = min(first + _ENCODE, frames)
            part = padded[first * HOP : last * HOP + 2 * margin]
            _measure(part, last - first, values[first:last], purity[first:last])
        _keep_tracks(values, purity)
        _find_onsets(samples, values)
        _begin_at_onsets(values)
        return Features(values, self.space)

    def decoder(self, seed: int = 0) -> Decoder:
        return _BandsDecoder(seed)

    def loop(self, latents: Features, seed: int = 0) -> Sound:
        values = checked(latents, self.space)
        count = len(values)
        turns = _paths(np.concatenate([values, values[:1]])).sum(axis=0) / (2 * np.pi)
        bend = (turns - np.round(turns)) * 2 * np.pi / count  # at most half a turn over the whole loop
        phase = np.zeros(REGIONS)
        parts = []
        for first in range(0, count, _BLOCK):
            index = np.arange(first - _BEHIND, first + _BLOCK + _AHEAD) % count
            block, phase = _render(values[index], index, phase, seed, bend)
            parts.append(block[: (count - first) * HOP])
        return Sound(np.concatenate(parts)[None], RATE)


# --- encoding ---------------------------------------------------------------------------------------------------------


def _measure(part: np.ndarray, frames: int, values: np.ndarray, purity: np.ndarray) -> None:
    """Levels and candidates for partials of some frames, written into `values` and `purity`."""
    margin = _WINDOWS[0][0] // 2
    for at, layer in enumerate(_layers()):
        start = margin - layer.size // 2 + HOP // 2
        framed = _framed(part[start:], layer.size)[:frames]
        spectrum = fft.rfft(framed * layer.window, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        scale = 2.0 / (layer.size * float((layer.window.astype(float) ** 2).sum()))
        values[:, layer.bands] = _power_to_db(power[:, : layer.bins] @ layer.response * scale)
        low, high = (*_PARTIAL_FROM, np.inf)[at : at + 2]
        for region in np.flatnonzero((region_centres() >= low) & (region_centres() < high)):
            _peak(power, layer, int(region), values, purity)


def _peak(power: np.ndarray, layer: _Layer, region: int, values: np.ndarray, purity: np.ndarray) -> None:
    """The strongest peak of a region in each frame: its place, its level, and its share of the region's power."""
    width = RATE / layer.size
    low, high = region_edges()[region : region + 2] / width
    first, last = max(3, int(np.ceil(low))), min(int(np.floor(high)), power.shape[1] - 4)
    inside = power[:, first : last + 1]
    at = inside.argmax(axis=1) + first
    rows = np.arange(len(power))
    around = power[rows[:, None], at[:, None] + np.arange(-2, 3)] + 1e-20
    before, peak, after = np.log(around[:, 1]), np.log(around[:, 2]), np.log(around[:, 3])
    # A parabola through the logarithms of a Hann window's main lobe (Smith & Serra 1987): within 0.05 bins.
    bend = np.minimum(before - 2 * peak + after, -1e-6)
    offset = np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
    height = np.exp(peak - 0.25 * (before - after) * offset)
    values[:, PLACES.start + region] = np.log2((at + offset) * width / region_centres()[region])
    # A sinusoid of amplitude a peaks at a Σw / 2; its mean square is a² / 2.
    values[:, PARTIALS.start + region] = _power_to_db(height * 2.0 / float(layer.window.astype(float).sum()) ** 2)
    is_peak = (around[:, 2] >= around[:, 1]) & (around[:, 2] >= around[:, 3])
    total = power[:, max(first - 2, 0) : last + 3].sum(axis=1) + 1e-20
    purity[:, region] = np.where(is_peak, around.sum(axis=1) / total, 0.0)


@cache
def _noise_purity() -> np.ndarray:
    """The purity that white noise reaches in one frame of five, by region; a tone exceeds it while it lasts."""
    noise = np.random.default_rng(0).standard_normal(10 * RATE).astype(np.float32)
    frames = len(noise) // HOP
    values, purity = np.zeros((frames, WIDTH), np.float32), np.zeros((frames, REGIONS), np.float32)
    _measure(np.pad(noise, _WINDOWS[0][0] // 2), frames, values, purity)
    return np.maximum(np.quantile(purity, 0.8, axis=0), 0.3)


def _keep_tracks(values: np.ndarray, purity: np.ndarray) -> None:
    """Leave the partials that last and hold together; empty the others' places and levels.

    A track is purer than noise in every frame, moves less than three of its window's bins a frame, and lasts longer
    than the window, whose memory makes a chance peak of noise look like a tone for less than that (1 frame in 500).
    """
    for region in range(REGIONS):
        at = int(np.searchsorted(_PARTIAL_FROM, region_centres()[region], side="right")) - 1
        size = _WINDOWS[at][0]
        place, level = values[:, PLACES.start + region], values[:, PARTIALS.start + region]
        bins = region_centres()[region] * 2.0**place * size / RATE
        pure = (purity[:, region] > _noise_purity()[region]) & (level > FLOOR_DB)
        pure &= np.abs(np.diff(bins, prepend=bins[:1])) < 3.0  # a frame of rest separates two tracks
        keep = np.zeros(len(place), bool)
        for start, end in _runs(pure):
            keep[start:end] = end - start > size / HOP
        place[~keep] = 0.0
        level[~keep] = FLOOR_DB


def _find_onsets(samples: np.ndarray, values: np.ndarray) -> None:
    """The strongest onset of each frame: where the level of 2 ms exceeds that of the 8 ms before by 12 dB or more."""
    step, after, before = 32, 2, 8
    values[:, ONSET] = 0.5
    bright = np.diff(samples, prepend=samples[:1]) + np.float32(0.05) * samples  # attacks live in the treble
    energy = (bright.reshape(-1, step).astype(float) ** 2).sum(axis=1) + step * 1e-11
    total = np.concatenate([[0.0], np.cumsum(energy)])
    m = np.arange(len(energy))
    ahead = (total[np.minimum(m + after, len(energy))] - total[m]) / after
    behind = (total[m] - total[np.maximum(m - before, 0)] + np.maximum(before - m, 0) * step * 1e-11) / before
    rise = np.minimum(10.0 * np.log10(np.maximum(ahead, 1e-30) / behind), _MOST_RISE)
    ahead_db = 10 * np.log10(ahead / step)
    for at in np.flatnonzero((rise > 12.0) & (ahead_db > -90.0)):
        near = slice(max(at - 3, 0), at + 4)
        if rise[at] < rise[near].max():
            continue
        first = at * step
        look = np.abs(bright[first : first + after * step])
        peak = first + int(look.argmax())
        tail = bright[first : first + HOP].astype(float) ** 2
        click = (bright[max(peak - 16, 0) : peak + 16].astype(float) ** 2).sum() / max(tail.sum(), 1e-30)
        frame, offset = divmod(peak, HOP)
        if rise[at] > values[frame, RISE]:
            values[frame, RISE] = rise[at]
            values[frame, ONSET] = offset / HOP
            values[frame, CLICK] = min(click, 1.0)


def _begin_at_onsets(values: np.ndarray) -> None:
    """Cut from each partial that an onset began what the window's length put before it."""
    there = values[:, PARTIALS] > FLOOR_DB
    for frame in np.flatnonzero(values[:, RISE]):
        first = max(int(frame) - _REACH - 1, 0)
        young = there[frame] & ~there[first] if first < frame else np.zeros(REGIONS, bool)
        values[first:frame, PLACES][:, young] = 0.0
        values[first:frame, PARTIALS][:, young] = FLOOR_DB


def _runs(flags: Bool[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """Where the flags stand without a gap: begin and end of each stretch."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


# --- decoding ---------------------------------------------------------------------------------------------------------


_STRAIGHT = np.zeros(REGIONS)


class _BandsDecoder(Decoder):
    """Keeps the frames that the next block needs; everything else is determined by their number and the seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._phase = np.zeros(REGIONS)
        self._known = np.tile(REST, (_BEHIND, 1))  # begins `_BEHIND` frames before `_next`
        self._next = 0
        self._done = False

    def push(self, latents: Features) -> Float[np.ndarray, " samples"]:
        if self._done:
            raise InputError("This decoder has finished; ask the voice for another.")
        self._known = np.concatenate([self._known, checked(latents, Bands.space)])
        return self._drain()

    def finish(self) -> Float[np.ndarray, " samples"]:
        left = len(self._known) - _BEHIND
        self._done = True
        self._known = np.concatenate([self._known, np.tile(REST, (_AHEAD + _BLOCK, 1))])
        return self._drain()[: left * HOP]

    def _drain(self) -> Float[np.ndarray, " samples"]:
        parts = [np.zeros(0, np.float32)]
        while len(self._known) >= _BEHIND + _BLOCK + _AHEAD:
            index = np.arange(self._next - _BEHIND, self._next + _BLOCK + _AHEAD)
            part, self._phase = _render(self._known[: len(index)], index, self._phase, self._seed, _STRAIGHT)
            parts.append(part)
            self._known = self._known[_BLOCK:]
            self._next += _BLOCK
        return np.concatenate(parts)


def _render(
    values: Float[np.ndarray, "frames width"],
    index: np.ndarray,
    phase: Float[np.ndarray, " regions"],
    seed: int,
    bend: Float[np.ndarray, " regions"],
) -> tuple[Float[np.ndarray, " samples"], Float[np.ndarray, " regions"]]:
    """A block of `_BLOCK` frames from the frames around it, and the partials' phases where the next block begins.

    `values` begins `_BEHIND` frames before the block and ends `_AHEAD` after it; `index` names each frame's noise.
    `phase` is the partials' at the centre of the frame before the block.
    """
    inner = values[_BEHIND - _REACH : _BEHIND + _BLOCK + _REACH]
    power = _db_to_power(inner[:, PARTIALS])
    target = _db_to_power(inner[:, LEVELS])
    target = np.maximum(target - 1.01 * _partial_power(inner, power), 1e-4 * target)  # a tone's own error is no noise
    first, last = _REACH, _BEHIND + _BLOCK + 2 * _REACH  # the frames into which a window reaches
    noise = _noise(index[first:last], seed)
    onsets = np.flatnonzero(values[:, RISE] >= _LEAST_RISE)
    gate, click = _attacks(values, onsets)
    out = np.zeros((_BLOCK + 4 * _REACH) * HOP, np.float32)
    for at, (layer, hiss) in enumerate(zip(_layers(), noise, strict=True)):
        # Frame i of `inner` is frame i + _BEHIND − 2 _REACH of the noise.
        start = (_BEHIND - 2 * _REACH) * HOP + HOP // 2 - layer.size // 2
        share = _struck(values, onsets, layer, _REACH - at)[_BEHIND - _REACH :][: len(inner)]
        goal = target[:, layer.bands].astype(np.float32)
        spectrum = _shaped(_framed(hiss[start:], layer.size)[: len(inner)], layer, goal * (1 - share))
        rows = np.flatnonzero(share.any(axis=1))
        if len(rows):
            wave = hiss * gate[first * HOP : last * HOP] + click[first * HOP : last * HOP]
            spectrum[rows] += _shaped(_framed(wave[start:], layer.size)[rows], layer, (goal * share)[rows])
        weight = layer.window * np.float32(HOP / (layer.window.astype(float) ** 2).sum())
        offset = _REACH * HOP + HOP // 2 - layer.size // 2
        _overlap_add(out, fft.irfft(spectrum, layer.size, axis=1) * weight, offset)
    sound = out[2 * _REACH * HOP : (2 * _REACH + _BLOCK) * HOP]
    sines, phase = _oscillate(values[_BEHIND - 1 : _BEHIND + _BLOCK + 1], phase, bend)
    return sound + sines, phase


def _overlap_add(out: np.ndarray, frames: np.ndarray, offset: int) -> None:
    size = frames.shape[1]
    for part in range(size // HOP):
        piece = frames[:, part * HOP : (part + 1) * HOP].reshape(-1)
        out[offset + part * HOP : offset + part * HOP + len(piece)] += piece


def _shaped(framed: np.ndarray, layer: _Layer, target: np.ndarray) -> np.ndarray:
    """The spectra of windowed frames, filtered so that the power in each band is the target's.

    The filters overlap, so gains found band by band would fill a narrow valley from its sides; a few multiplicative
    corrections sharpen them (Richardson 1972).
    """
    spectrum = fft.rfft(framed * layer.window, axis=1)
    head = spectrum[:, : layer.bins]
    power = (head.real**2 + head.imag**2) * np.float32(2.0 / (layer.size * (layer.window.astype(float) ** 2).sum()))
    gain = target / np.maximum(power @ layer.response, 1e-12)
    for _ in range(_SHARPENINGS):
        made = (power * (gain @ layer.response.T)) @ layer.response
        gain = gain * np.minimum(target / np.maximum(made, 1e-20), 4.0)
    spectrum[:, : layer.bins] *= np.sqrt(gain @ layer.response.T)
    spectrum[:, layer.bins :] = 0.0
    return spectrum


def _partial_power(values: np.ndarray, power: np.ndarray) -> Float[np.ndarray, "frames bands"]:
    """What the bands measure of the partials themselves."""
    numbers, share = _leak()
    place = (erb_number(_partial_hertz(values)) - numbers[0]) / (numbers[1] - numbers[0])
    place = np.clip(place, 0, len(numbers) - 1.001)
    below = place.astype(int)
    out = np.zeros((len(values), BANDS))
    for region in np.flatnonzero(power.any(axis=0)):
        at, rest = below[:, region], (place - below)[:, region, None]
        out += power[:, region, None] * ((1 - rest) * share[at] + rest * share[at + 1])
    return out


def _partial_hertz(values: np.ndarray) -> Float[np.ndarray, "frames regions"]:
    octaves = np.clip(values[:, PLACES].astype(float), -10.0, 10.0)
    return np.clip(region_centres() * 2.0**octaves, 20.0, RATE / 2 - 200.0)


def _noise(index: np.ndarray, seed: int) -> list[np.ndarray]:
    """White noise of unit power, a stream for each layer; keyed by frame, wherever a block or a loop begins."""
    noise = np.empty((len(_WINDOWS), len(index), HOP), np.float32)
    bits = np.random.Philox(key=np.array([seed % 2**64, 0], np.uint64))
    draw = np.random.Generator(bits)
    state = bits.state  # setting the counter costs a tenth of making a generator for each frame
    state["buffer_pos"], state["has_uint32"] = 4, 0
    for row, frame in enumerate(index):
        state["state"]["counter"] = np.array([0, int(frame) % 2**64, 0, 0], np.uint64)
        bits.state = state
        noise[:, row] = draw.standard_normal((len(_WINDOWS), HOP), np.float32)
    return [stream.reshape(-1) for stream in noise]


def _onset_sample(values: np.ndarray, frame: np.integer) -> int:
    return int(frame) * HOP + int(np.clip(values[frame, ONSET], 0.0, 0.999) * HOP)


def _attacks(values: np.ndarray, onsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gains that fall towards each onset by its rise and open again at it, and the onsets' clicks."""
    click = np.zeros(len(values) * HOP, np.float32)
    gate = np.zeros(len(values) * HOP, np.float32)
    for frame in onsets:
        at = _onset_sample(values, frame)
        first = max(at - _GATE, 0)
        ramp = (np.arange(first, at) - (at - _GATE)) / _GATE
        gate[first:at] = np.minimum(gate[first:at], -min(float(values[frame, RISE]), _MOST_RISE) * ramp)
        share = float(np.clip(values[frame, CLICK], 0.0, 0.95))
        click[at] += np.sqrt(HOP * share / (1.0 - share))
    return 10.0 ** (gate / 20.0), click


def _struck(values: np.ndarray, onsets: np.ndarray, layer: _Layer, reach: int) -> np.ndarray:
    """(frames, bands of the layer): 1 where a band's level rises with an onset in the frame's window, 0 elsewhere.

    The level over `reach` frames from the onset is compared with that as many frames before it, in the mean of nine
    bands, since a single narrow band of noise rises by chance: 4 dB is no rise, 8 is one.
    """
    share = np.zeros((len(values), layer.bands.stop - layer.bands.start), np.float32)
    centre = np.arange(len(values)) * HOP + HOP // 2
    for frame in onsets[(onsets >= reach) & (onsets + reach <= len(values))]:
        rise = values[frame : frame + reach, LEVELS].max(axis=0) - values[frame - reach : frame - 1, LEVELS].max(axis=0)
        rise = np.convolve(np.pad(rise, 4, "edge"), np.full(9, 1 / 9), "valid")[layer.bands]
        near = np.abs(centre - _onset_sample(values, frame)) < layer.size // 2
        share[near] = np.maximum(share[near], np.clip((rise - 4.0) / 4.0, 0.0, 1.0))
    return share


def _segments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, Bool[np.ndarray, "segments regions"]]:
    """Frequency at both ends of the segments between frames, and which segments sound.

    Where a partial begins or ends, the frame in which it sounds lends its frequency to the other end.
    """
    hz = _partial_hertz(values)
    there = values[:, PARTIALS] > FLOOR_DB
    left = np.where(there[:-1], hz[:-1], hz[1:])
    right = np.where(there[1:], hz[1:], hz[:-1])
    return left, right, there[:-1] | there[1:]


def _paths(values: np.ndarray) -> Float[np.ndarray, "segments regions"]:
    """How far each partial's phase goes from one frame's centre to the next, in radians."""
    left, right, _ = _segments(values)
    return np.pi * HOP / RATE * (left + right)


def _oscillate(
    values: np.ndarray, phase: Float[np.ndarray, " regions"], bend: Float[np.ndarray, " regions"]
) -> tuple[np.ndarray, Float[np.ndarray, " regions"]]:
    """The partials from the first sample of the second frame to the last of the last but one.

    `phase` is each partial's at the centre of the first frame; the phase at that of the last but one is returned.
    """
    left, right, sounds = _segments(values)
    steps = _paths(values) - bend
    at_centre = phase + np.concatenate([np.zeros((1, REGIONS)), np.cumsum(steps, axis=0)])
    amplitude = np.sqrt(2.0 * _db_to_power(values[:, PARTIALS].astype(float)))
    out = np.zeros((len(values) - 1) * HOP, np.float32)
    segment, region = np.nonzero(sounds)
    if len(segment):
        t = (np.arange(HOP) / HOP).astype(np.float32)
        start, slope = (
            2 * np.pi * HOP / RATE * left[segment, region],
            np.pi * HOP / RATE * (right - left)[segment, region],
        )
        turn = np.multiply.outer((start - bend[region]).astype(np.float32), t)
        turn += np.multiply.outer(slope.astype(np.float32), t * t)
        turn += np.fmod(at_centre[segment, region], 2 * np.pi).astype(np.float32)[:, None]
        wave = np.multiply.outer((amplitude[segment + 1, region] - amplitude[segment, region]).astype(np.float32), t)
        wave += amplitude[segment, region].astype(np.float32)[:, None]
        wave *= np.sin(turn)
        used, begin = np.unique(segment, return_index=True)
        out.reshape(-1, HOP)[used] = np.add.reduceat(wave, begin, axis=0)
    start = HOP - HOP // 2
    block = out[start : start + (len(values) - 2) * HOP]
    return block, np.fmod(at_centre[-2], 2 * np.pi)
