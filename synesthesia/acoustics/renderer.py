"""The renderer: sources and a listener that move, block by block, in real time.

Each block goes through three stages:

1. *Delay.* Every source's sound is kept in a ring, passed through the interpolator's filters, so that each way reads it
   at a time that slides evenly from where the way was to where it is: that is Doppler's shift, without steps. (A way
   is as long as from where the source is now, not from where it was when the sound left: at 20 m/s .3 % in pitch.)
2. *Colour.* A way's spectrum (its gain, the air, ground and screens, the ear's response of its direction) is applied
   by overlap-save, once as it was at the block's start and once as it is at its end; the block fades from one to the
   other. The ways are summed as spectra, so that what comes back are a few transforms, however many ways there are.
3. *The loudspeakers.* Reflections of rooms, wide sources and the bed are panned between `DIRECTIONS` around the head,
   whose responses never change; what rings on in a room comes out of them too, each line of its network from one.

What is given for a block holds at its end; within the block everything moves evenly from what was given before.
Offline is the blocks joined.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.fft

from ..senses import InputError, Listener, Sound, Source
from .filters import BANDS, POWERS, TAPS, band_shapes, interpolator, minimum_phase
from .outdoors import Outdoors
from .receivers import Receiver, receiver
from .rooms import LINES, Room, network
from .sofa import direction

if TYPE_CHECKING:
    from jaxtyping import Float

NEAR = 0.25  # metres; nearer than this a source becomes no louder
REACH = 400.0  # metres; from farther away sound is as late as from here
BLOCK = 256
RATE = 48_000
WIDE = math.radians(45.0)  # half the angle that a source is wide from which on no part of it is a point

# The loudspeakers around the head: eight level ones, four above and four below, left and right alike.
DIRECTIONS = np.concatenate(
    [direction(np.arange(22.5, 360, 45)), direction(np.arange(45, 360, 90), 50.0),
     direction(np.arange(45, 360, 90), -45.0)]
)  # fmt: skip
# Metres of delay for each loudspeaker, so that what is wide or all around does not come together in the middle; in no
# regular steps, which would be heard as a pitch.
_APART = 14 * (np.arange(len(DIRECTIONS)) * 0.618034 + np.arange(len(DIRECTIONS)) ** 2 * 0.1327) % 14


class Renderer:
    """Gives the next block of what a listener hears from `sources` sources in a place.

    `channels` is that of the format (binaural 2, stereo 2, ambix 4, mono 1). Everything is late by `latency` seconds,
    besides the time that sound takes to come.
    """

    def __init__(
        self,
        sources: int,
        place: Outdoors | Room | None = None,
        hears: Receiver | None = None,
        rate: int = RATE,
        block: int = BLOCK,
    ) -> None:
        if not 1 <= sources <= 256:
            raise InputError(f"A renderer takes between 1 and 256 sources, not {sources}.")
        if not 8000 <= rate <= 192_000:
            raise InputError(f"A renderer runs at 8 to 192 kHz, not at {rate} Hz.")
        if not 32 <= block <= 16_384:
            raise InputError(f"A block has between 32 and 16384 samples, not {block}.")
        self.sources, self.rate, self.block = sources, rate, block
        self._place: Outdoors | Room = place or Outdoors()
        self._hears = hears or receiver("binaural", rate)
        if self._hears.rate not in (None, rate):
            raise InputError(
                f"These ears are at {self._hears.rate} Hz, the renderer at {rate} Hz; load them at its rate."
            )
        self.channels, self.latency = self._hears.channels, self._hears.latency
        # The loudspeakers' responses have the ears' delays in them, from −0.4 to 0.6 ms, and what it takes to ring.
        late = round(0.0005 * rate)
        self._size = 1 << (block + self._hears.spare + round(0.0012 * rate)).bit_length()
        self._before = self._size - block
        self._fade = (np.arange(1, block + 1) / block).astype(np.float32)
        # A straight line keeps even motion even; after a leap a bend at its ends would be heard.
        self._leap_fade = 0.5 - 0.5 * np.cos(np.pi * self._fade)

        bins = self._size // 2 + 1
        hz = np.linspace(0, rate / 2, bins)
        losses = np.concatenate([self._place.air.loss(hz)[None], band_shapes(rate, bins)])
        # Of a gain by e; of 1 m of air; of 1 dB in each band.
        log = np.concatenate([np.ones((1, bins)), minimum_phase(-losses)])
        self._colours = np.stack([log.real, log.imag]).astype(np.float32)

        self._ring = _Ring(sources, round(REACH / self._place.air.speed * rate) + 4 * self._size, block)
        self._all, self._points = np.arange(sources), np.zeros(sources)
        self._speakers = self._speaker_spectra(late)
        self._room = _Tail(self._place, rate, block, self._size) if isinstance(self._place, Room) else None
        # One reflection out of several loudspeakers: in one point its pressures add up, at two ears only the bass's do.
        self._norm = 1.0 if self._hears.readings == 1 else 1.5
        self._group, self._walls = self._wall_spectra()
        self._panned = len(self._walls) * len(DIRECTIONS)  # rows that reflections are panned to
        self._wide = False  # whether anything wide or all around has ever sounded
        self._apart = np.round(_APART / self._place.air.speed * rate).astype(np.int64)
        self._diffuse = np.zeros((len(DIRECTIONS), int(self._apart.max()) + block), np.float32)
        self._history = np.zeros((0, self._before), np.float32)
        self._was: _Moment | None = None
        self._pose = (np.zeros((sources, 3)), Listener(), self._points)

    def render(
        self,
        sounds: Float[np.ndarray, "sources block"],
        positions: Float[np.ndarray, "sources 3"],
        listener: Listener,
        widths: Float[np.ndarray, " sources"] | None = None,
        bed: Float[np.ndarray, " block"] | None = None,
    ) -> Float[np.ndarray, "channels block"]:
        """The next block: `sounds` as loud as at one metre, `positions` in metres in scene axes, both at its end.

        `widths` in metres makes sources stretch; `bed` is what is heard from all around, at its level at the ear.
        Raises InputError when shapes do not fit, numbers are not finite, or something is outside a room.
        """
        sounds, positions, widths = self._checked(sounds, positions, widths, bed)
        pose = positions, listener, widths
        now = self._moment(*pose)
        was = now if self._was is None else self._was
        if len(was.gains) < len(now.gains):  # the first wide source or bed
            was = self._moment(*self._pose)
        self._was, self._pose = now, pose
        dull = self._ring.write(sounds)

        # Where a way is suddenly much longer or shorter, its sound fades from the old place to the new one instead.
        leap = np.abs(now.delays - was.delays) > self.block / 2
        glide = np.where(leap, was.delays, now.delays)
        direct = self._ring.read(now.rows, was.delays, glide)
        fade, landed = self._fade, None
        if leap.any():
            fade = self._leap_fade
            landed = self._ring.read(now.rows[leap], now.delays[leap], now.delays[leap], self._before)

        fields = [direct[: now.near]]
        if len(now.gains):
            leaving = arriving = direct[now.near :]
            if landed is not None:
                arriving = leaving.copy()
                arriving[leap[now.near :]] = landed[int(leap[: now.near].sum()) :, -self.block :]
            panned = was.gains @ (leaving * (1 - fade)) + now.gains @ (arriving * fade)
            if self._room is not None:
                fields += [panned[: self._panned], self._room.read()]
            if self._wide:
                fields.append(self._scattered(panned[self._panned :], bed))
        rows = np.concatenate(fields)
        if len(self._history) < len(rows):
            self._history = np.concatenate(
                [self._history, np.zeros((len(rows) - len(self._history), self._before), np.float32)]
            )
        rows = np.concatenate([self._history, rows], axis=1)
        spectra = scipy.fft.rfft(rows)

        near = spectra[: now.near].reshape(-1, self._hears.readings, spectra.shape[-1])
        old = (near * was.spectra).sum(0)
        if landed is not None:
            hop = np.flatnonzero(leap[: now.near])
            rows[hop] = landed[: len(hop)]
            spectra[hop] = scipy.fft.rfft(rows[hop])
        new = (near * now.spectra).sum(0)
        self._history = rows[:, self.block :]
        both = [old, new]
        if len(now.gains):
            both.append(self._still(spectra[now.near :], dull))
        c, out = self.channels, scipy.fft.irfft(np.concatenate(both), self._size)[:, -self.block :]
        heard = out[:c] + (out[c : 2 * c] - out[:c]) * fade
        return heard + out[2 * c :] if len(now.gains) else heard

    def _checked(
        self, sounds: np.ndarray, positions: np.ndarray, widths: np.ndarray | None, bed: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n = self.sources
        sounds, positions = np.asarray(sounds, np.float32), np.asarray(positions, float)
        widths = self._points if widths is None else np.asarray(widths, float)
        if sounds.shape != (n, self.block) or positions.shape != (n, 3) or widths.shape != (n,):
            raise InputError(
                f"This renderer takes sounds ({n}, {self.block}), positions ({n}, 3) and widths ({n},), not "
                f"{sounds.shape}, {positions.shape} and {widths.shape}."
            )
        if bed is not None and np.shape(bed) != (self.block,):
            raise InputError(f"The bed is one block of {self.block} samples, not {np.shape(bed)}.")
        # One sum finds any NaN or infinity.
        total = float(sounds.sum()) + float(positions.sum()) + (0.0 if bed is None else float(np.sum(bed)))
        if widths is not self._points:
            total += float(widths.sum())
            if widths.min() < 0:
                raise InputError("No source has a negative width.")
        if not math.isfinite(total):
            raise InputError("Sounds, positions and widths are finite numbers; here some are NaN or infinite.")
        if bed is not None or (widths is not self._points and widths.any()):
            self._wide = True
        return sounds, positions, widths

    # --- geometry ----------------------------------------------------------------------------------------------------

    def _moment(self, positions: np.ndarray, listener: Listener, widths: np.ndarray) -> _Moment:
        """Everything that geometry says about the end of a block."""
        ear, speed = np.array(listener.position, float), self._place.air.speed
        ways = self._place.ways(positions, ear)
        points = ways.points - ear
        turn = math.radians(listener.yaw)
        s, c = math.sin(turn), math.cos(turn)
        # Scene axes to the head's: front = −z and left = −x turned by the yaw.
        points = points @ np.array([[-s, -c, 0], [0, 0, 1], [-c, s, 0]])
        points[..., 0] += 1e-9  # what is inside the head is in front
        metres = np.sqrt((points * points).sum(-1))
        toward = points / metres[..., None]
        clear = np.maximum(metres, NEAR)
        late = np.minimum(clear, REACH) / speed

        whole = 1 / clear
        level = whole
        if self._wide:
            # A disc of incoherent points: p² = ln(1 + a²/r²)/a² on its axis, which is 1/r² from far.
            radius = np.maximum(widths / 2, 1e-3)
            whole = np.sqrt(np.log1p((radius[:, None] / clear) ** 2)) / radius[:, None]
            half = np.arctan2(radius, metres[:, 0])
            spread = np.minimum(half / WIDE, 1.0) * (np.pi / 2)
            level = whole * np.cos(spread)[:, None]

        k = ways.near
        delays, ears = self._hears.at(toward[:, :k].reshape(-1, 3), self._size)
        colour = self._coloured(
            metres[:, :k].reshape(-1), ways.loss_db[:, :k].reshape(-1, len(BANDS)), level[:, :k].reshape(-1)
        )
        spectra = colour[:, None] * ears
        delays = delays + late[:, :k].reshape(-1, 1)
        sources = self._all
        rows, times, gains = [np.repeat(sources, k * self._hears.readings)], [delays.reshape(-1)], []
        if self._room is not None:
            pan = _panned(toward[:, k:].reshape(-1, 3), 0.0, self._norm) * level[:, k:].reshape(-1, 1)
            walls = len(self._group)
            by_wall = np.zeros((len(self._walls), len(DIRECTIONS), len(positions), walls), np.float32)
            by_wall[self._group, :, :, np.arange(walls)] = pan.reshape(len(positions), walls, -1).transpose(1, 2, 0)
            gains.append(by_wall.reshape(self._panned, -1))
            rows.append(np.repeat(sources, walls))
            times.append(late[:, k:].reshape(-1))
        if self._wide:
            heard = np.sin(spread) * whole[:, 0] * 10 ** (-ways.loss_db[:, 0].mean(1) / 20)
            gains.append((_panned(toward[:, 0], half) * heard[:, None]).T.astype(np.float32))
            rows.append(sources)
            times.append(late[:, 0])
        # The interpolator looks a few samples ahead.
        samples = np.maximum(np.concatenate(times) * self.rate, TAPS // 2)
        return _Moment(np.concatenate(rows), samples, spectra, _diagonal(gains), delays.size)

    def _coloured(self, metres: np.ndarray, loss_db: np.ndarray, gain: np.ndarray) -> np.ndarray:
        """Spectra [ways, bins] of what air, ground and screens let through, times a gain."""
        amount = np.empty((len(metres), 2 + len(BANDS)), np.float32)
        amount[:, 0] = np.log(gain + 1e-20)
        amount[:, 1] = np.minimum(metres, REACH)
        amount[:, 2:] = loss_db
        level, phase = np.exp(amount @ self._colours[0]), amount @ self._colours[1]
        out = np.empty(level.shape, np.complex64)
        out.real, out.imag = level * np.cos(phase), level * np.sin(phase)
        return out

    # --- sound -------------------------------------------------------------------------------------------------------

    def _scattered(self, panned: np.ndarray, bed: np.ndarray | None) -> np.ndarray:
        """What is wide and what is all around, each loudspeaker with a delay of its own."""
        if bed is not None:
            panned = panned + np.asarray(bed, np.float32) / math.sqrt(len(DIRECTIONS))
        line = np.concatenate([self._diffuse, panned], axis=1)
        self._diffuse = line[:, self.block :]
        start = self._diffuse.shape[1] - self._apart
        return line[np.arange(len(line))[:, None], start[:, None] + np.arange(self.block)]

    def _still(self, spectra: np.ndarray, dull: np.ndarray) -> np.ndarray:
        """The loudspeakers' part of the block as spectra [channels, bins]; what rings on is fed back."""
        n = len(DIRECTIONS)
        out = np.zeros((self.channels, spectra.shape[-1]), np.complex64)
        if self._room is not None:
            for i, wall in enumerate(self._walls):
                out += np.einsum("sf,scf->cf", spectra[i * n : (i + 1) * n], wall)
            rung = spectra[self._panned : self._panned + n] * self._room.spectra
            out += np.einsum("sf,scf->cf", rung, self._speakers) * self._room.level
            back = scipy.fft.irfft(rung, self._size)[:, -self.block :]
            self._room.write(back, dull)
            spectra = spectra[self._panned + n :]
        if self._wide:
            out += np.einsum("sf,scf->cf", spectra, self._speakers)
        return out

    def _speaker_spectra(self, late: int) -> np.ndarray:
        """The loudspeakers' spectra [loudspeakers, channels, bins], with the ears' delays in them."""
        delays, spectra = self._hears.at(DIRECTIONS, self._size)
        hz = np.linspace(0, self.rate / 2, self._size // 2 + 1)
        wait = delays + late / self.rate if self._hears.readings > 1 else delays
        turn = np.exp(-2j * np.pi * hz * wait[..., None])
        return np.ascontiguousarray(np.broadcast_to(spectra * turn, (len(delays), self.channels, len(hz)))).astype(
            np.complex64
        )

    def _wall_spectra(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Which walls of a room are alike, [walls], and for each sort of wall the loudspeakers' spectra with what it,
        and the air on the way, let through."""
        if not isinstance(self._place, Room):
            return np.zeros(0, np.int64), []
        sorts, group = np.unique(self._place.walls, axis=0, return_inverse=True)
        free_path = np.full(len(sorts), self._place.free_path)
        colour = self._coloured(free_path, -10 * np.log10(1 - sorts), np.ones(len(sorts)))
        return group.reshape(-1), [self._speakers * one for one in colour]


class _Moment(NamedTuple):
    """What geometry says about one instant.

    `rows` and `delays` [readings]: which source each reading is of and how late, in samples. The first `near` of them
    go with `spectra` [ways, channels, bins], the others are panned by `gains` [loudspeakers, panned readings].
    """

    rows: np.ndarray
    delays: np.ndarray
    spectra: np.ndarray
    gains: np.ndarray
    near: int


_ROW = 8  # numbers kept for each sample, `POWERS` of them used: rows of 32 bytes are gathered three times as quickly


class _Ring:
    """The past of every source, as the interpolator's filters leave it."""

    def __init__(self, sources: int, reach: int, block: int) -> None:
        self._sources, self._block = sources, block
        self._length = 1 << (reach + block).bit_length()  # a power of two wraps by masking
        filters = np.zeros((TAPS, _ROW), np.float32)
        filters[:, :POWERS] = interpolator()[::-1]
        # Several samples are filtered by one row of a matrix, so that less is copied to make the rows.
        self._step = math.gcd(block, 16)
        self._filters = np.zeros((TAPS + self._step - 1, self._step, _ROW), np.float32)
        for i in range(self._step):
            self._filters[i : i + TAPS, i] = filters
        self._filters = self._filters.reshape(len(self._filters), -1)
        self._past = np.zeros((sources, TAPS - 1), np.float32)
        self._samples = np.zeros((sources * self._length, _ROW), np.float32)
        self._view = self._samples.reshape(sources, self._length, _ROW)
        self._ramp = (np.arange(1, block + 1) / block).astype(np.float32)
        self._next = 0

    def write(self, sounds: np.ndarray) -> np.ndarray:
        """Take in the next block; the sum of all sources comes back, with the treble lost that readings lose."""
        line = np.concatenate([self._past, sounds], axis=1)
        self._past = line[:, -(TAPS - 1) :]
        shape = self._sources, self._block // self._step, len(self._filters)
        strides = line.strides[0], self._step * line.strides[1], line.strides[1]
        windows = np.lib.stride_tricks.as_strided(line, shape, strides).reshape(-1, len(self._filters))
        filtered = (windows @ self._filters).reshape(*sounds.shape, _ROW)
        start = self._next & (self._length - 1)
        first = min(self._block, self._length - start)
        self._view[:, start : start + first] = filtered[:, :first]
        self._view[:, : self._block - first] = filtered[:, first:]
        self._next += self._block
        return filtered[..., 0].sum(0)

    def read(self, rows: np.ndarray, start: np.ndarray, end: np.ndarray, before: int = 0) -> np.ndarray:
        """Sources `rows` [n] in the block taken in last, [n, before + block], late by what goes from `start` to `end`.

        With `before` samples before the block as well, all are late by `end`.
        """
        # Whole samples apart from the rest, which is then small enough for 32 bits.
        whole = np.floor(end if before else start)
        if before:
            rest = np.repeat((end - whole).astype(np.float32)[:, None], before + self._block, axis=1)
        else:
            rest = np.multiply.outer((end - start).astype(np.float32), self._ramp)
            rest += (start - whole).astype(np.float32)[:, None]
        up = np.ceil(rest)
        back = rest - up + np.float32(0.5)  # the fraction of a sample, less ½, that the interpolator goes back
        # The filters are TAPS/2 − 1 samples late, and a fraction.
        now = np.arange(self._next - self._block - before, self._next) + TAPS // 2
        index = now - whole.astype(np.int64)[:, None]
        index -= up.astype(np.int64)
        index &= self._length - 1
        index += (rows * self._length)[:, None]
        terms = self._samples.take(index, axis=0)
        value = terms[..., POWERS - 1] * back
        for m in range(POWERS - 2, 0, -1):
            value += terms[..., m]
            value *= back
        return value + terms[..., 0]


class _Tail:
    """A room's network of delay lines as it runs, see `rooms.network`."""

    def __init__(self, room: Room, rate: int, block: int, size: int) -> None:
        self._plan = network(room, rate, block)
        self._block = block
        bins = size // 2 + 1
        rate_of_loss = room.wall_decay @ band_shapes(rate, bins)
        rate_of_loss += room.air.speed * room.air.loss(np.linspace(0, rate / 2, bins))
        self.spectra = np.exp(minimum_phase(-rate_of_loss * (self._plan.lengths / rate)[:, None])).astype(np.complex64)
        self.level = np.float32(self._plan.level)
        self._matrix = self._plan.matrix.astype(np.float32)
        self._length = -(-(int(self._plan.lengths.max()) + block) // block) * block
        self._lines = np.zeros((LINES, self._length), np.float32)
        self._next = 0

    def read(self) -> np.ndarray:
        """What comes out of the lines in this block, [lines, block]."""
        start = self._next - self._plan.lengths
        return self._lines[np.arange(LINES)[:, None], (start[:, None] + np.arange(self._block)) % self._length]

    def write(self, back: np.ndarray, sound: np.ndarray) -> None:
        """Feed the lines with what came out and was coloured, and with the sources' sum."""
        start = self._next % self._length
        self._lines[:, start : start + self._block] = (
            self._matrix @ back + self._plan.feeds[:, None].astype(np.float32) * sound
        )
        self._next += self._block


def _panned(toward: np.ndarray, half: np.ndarray | float, norm: float = 2.0) -> np.ndarray:
    """Gains [n, loudspeakers] of sound from directions [n, 3]: half the power at an angle `half` off.

    (Σ g^norm)^(1/norm) is 1: norm 2 where the loudspeakers' sounds add up as powers, 1 where they do as pressures.
    """
    sharpness = 0.5 * math.log(2) / (1 - np.cos(np.maximum(half, math.radians(20))))
    gains = np.exp((toward @ DIRECTIONS.T - 1) * np.reshape(sharpness, (-1, 1)))
    return gains / (gains**norm).sum(1, keepdims=True) ** (1 / norm)


def _diagonal(blocks: list[np.ndarray]) -> np.ndarray:
    """Matrices along the diagonal of one."""
    if not blocks:
        return np.zeros((0, 0), np.float32)
    out = np.zeros((sum(b.shape[0] for b in blocks), sum(b.shape[1] for b in blocks)), np.float32)
    row = column = 0
    for b in blocks:
        out[row : row + b.shape[0], column : column + b.shape[1]] = b
        row, column = row + b.shape[0], column + b.shape[1]
    return out


# --- offline ---------------------------------------------------------------------------------------------------------


def poses(path: Sequence[Listener], blocks: int) -> Iterator[Listener]:
    """A listener for the end of each of so many blocks, who passes the path's poses at even times.

    Between two poses the position moves evenly and the head turns the short way round.
    """
    if not path:
        raise InputError("A path needs at least one pose, (x, y, z) and a yaw.")
    places = np.array([one.position for one in path], float)
    yaws = np.degrees(np.unwrap(np.radians([one.yaw for one in path])))
    knots = np.linspace(0, 1, len(path)) if len(path) > 1 else np.zeros(1)
    for i in range(1, blocks + 1):
        x, y, z, yaw = (float(np.interp(i / blocks, knots, values)) for values in (*places.T, yaws))
        yield Listener((x, y, z), yaw)


def walk(
    renderer: Renderer,
    sources: Sequence[Source],
    path: Sequence[Listener],
    seconds: float,
    bed: Sound | None = None,
    join: float | None = None,
) -> Iterator[Sound]:
    """What a listener hears on a path in so many seconds, block by block; the last block is cut.

    A sound that is shorter is followed by silence; with `join` it comes again and again, and for so many seconds its
    end fades into its beginning (0 for what repeats without a seam). Raises InputError when rates or numbers do not fit
    the renderer.
    """
    if not (math.isfinite(seconds) and 0 < seconds <= 86_400):
        raise InputError(f"A walk lasts up to a day, not {seconds} s.")
    for sound in (*(one.sound for one in sources), *([] if bed is None else [bed])):
        if sound.rate != renderer.rate or sound.channels != 1:
            raise InputError(
                f"Sources and bed are mono at {renderer.rate} Hz; here is {sound.channels} × {sound.rate}."
            )
    if len(sources) != renderer.sources:
        raise InputError(f"This renderer is for {renderer.sources} sources, not for {len(sources)}.")
    n = round(seconds * renderer.rate)
    positions = np.array([one.position for one in sources], float)
    widths = np.array([one.width for one in sources], float)
    for i, listener in enumerate(poses(path, -(-n // renderer.block))):
        start = i * renderer.block
        sounds = np.stack([_excerpt(one.sound, start, renderer.block, join) for one in sources])
        ambience = None if bed is None else _excerpt(bed, start, renderer.block, join)
        out = renderer.render(sounds, positions, listener, widths, ambience)
        yield Sound(out[:, : n - start], renderer.rate)


def _excerpt(sound: Sound, start: int, length: int, join: float | None) -> np.ndarray:
    wave = sound.samples[0]
    if join is not None and start + length > len(wave) - round(join * sound.rate) and len(wave) > 1:
        return _again(wave, np.arange(start, start + length), min(round(join * sound.rate), len(wave) // 2))
    part = wave[start : start + length]
    return part if len(part) == length else np.pad(part, (0, length - len(part)))


def _again(wave: np.ndarray, when: np.ndarray, join: int) -> np.ndarray:
    """The samples at `when` of a wave that comes again; its last `join` samples fade into its first ones, in power."""
    period = len(wave) - join
    at = when % period
    out = wave[at]
    both = (at < join) & (when >= period)
    share = 0.5 * np.pi * (at[both] + 0.5) / max(join, 1)
    out[both] = out[both] * np.sin(share) + wave[at[both] + period] * np.cos(share)
    return out
