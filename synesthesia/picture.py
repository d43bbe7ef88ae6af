"""Pictures of what was heard: a knock, a scene, where a sound comes from; and pictures side by side.

Pillow and NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .senses import Image, Listener, Point, Scene, Sound, Source

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

WIDTH, HEIGHT, MARGIN, GAP = 1600, 800, 40, 28
BACKGROUND, INK, FAINT, GRID = (14, 15, 22), (236, 232, 224), (140, 140, 152), (44, 46, 60)
ACCENT = (255, 176, 84)

# Dark violet to warm white, even in lightness (hand-made in the spirit of matplotlib's magma).
_MAP = np.array(
    [(14, 15, 22), (38, 22, 66), (88, 28, 112), (150, 44, 118), (212, 72, 98), (246, 128, 88), (254, 196, 132),
     (255, 248, 224)], dtype=np.float64
)  # fmt: skip

LOW_HZ, RANGE_DB = 60.0, 78.0


def draw_knock(
    photo: Image,
    point: Point,
    sound: Sound,
    frequency: Float[np.ndarray, " modes"],
    t60: Float[np.ndarray, " modes"],
    gain: Float[np.ndarray, " modes"],
    headline: str,
) -> Image:
    """A 1600 × 800 picture of one knock.

    Each mode is a line at its `frequency` in Hz, as long as its decay time `t60` in seconds, the brighter the stronger
    its `gain`; the spectrogram behind is of the sound itself, on the same axes.
    """
    from PIL import Image as Pil
    from PIL import ImageDraw

    canvas = Pil.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
    side = HEIGHT - 2 * MARGIN - 44
    _place_photo(canvas, photo, point, (MARGIN, MARGIN, MARGIN + side, MARGIN + side))
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, HEIGHT - MARGIN - 20), headline, INK, font=_font(21))

    left, right = MARGIN + side + GAP + 56, WIDTH - MARGIN
    split = MARGIN + 190
    _draw_wave(canvas, sound, (left, MARGIN, right, split))
    _draw_spectrogram(canvas, sound, frequency, t60, gain, (left, split + GAP, right, MARGIN + side))
    return Image(np.array(canvas))


def draw_heat(photo: Image, heat: Float[np.ndarray, "rows columns"]) -> Image:
    """The photo, darkened where `heat` (in [0, 1]) is low and warm where it is high."""
    from PIL import Image as Pil

    shape = (photo.width, photo.height)
    large = Pil.fromarray((255 * np.clip(heat, 0, 1)).astype(np.uint8)).resize(shape, Pil.Resampling.BICUBIC)
    share = np.asarray(large, np.float64)[..., None] / 255
    grey = np.asarray(photo.pixels, np.float64).mean(axis=-1, keepdims=True)
    lit = 0.72 * np.asarray(photo.pixels, np.float64) + 0.28 * np.array(ACCENT)
    return Image(np.clip((1 - share) * 0.35 * grey + share * lit, 0, 255).astype(np.uint8))


# Colours of parts of a scene, apart for colour-blind eyes too (Okabe & Ito 2008).
_PARTS = np.array([(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167)])


def draw_scene(scene: Scene) -> Image:
    """The photo with each sounding part in a colour of its own, and beside it the parts' waves in the same colours."""
    from PIL import Image as Pil
    from PIL import ImageDraw

    canvas = Pil.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
    side = HEIGHT - 2 * MARGIN
    colours = _place_parts(canvas, scene, side)

    left, right = MARGIN + side + GAP, WIDTH - MARGIN
    rows = [*((stem.sound, colour) for stem, colour in zip(scene.stems, colours, strict=True)), (scene.bed, FAINT)]
    height = (side - GAP * (len(rows) - 1)) // len(rows)
    draw = ImageDraw.Draw(canvas)
    for k, (sound, colour) in enumerate(rows):
        top = MARGIN + k * (height + GAP)
        middle = top + height // 2
        peaks = _peaks(sound, right - left) * (height // 2)
        draw.line((left, middle, right, middle), GRID)
        for x, peak in enumerate(peaks):
            draw.line((left + x, middle - int(peak), left + x, middle + int(peak)), colour)
        name = f"{k + 1}   {scene.stems[k].confidence:.0%} sure" if k < len(scene.stems) else "bed"
        draw.text((left, top), name, INK, font=_font(18))
    return Image(np.array(canvas))


BETWEEN = 4  # pixels between pictures of a grid


def draw_grid(pictures: Sequence[Image]) -> Image:
    """Pictures of one size in rows, as many in a row as there are rows or one more; one alone stays as it is."""
    if len(pictures) == 1:
        return pictures[0]
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    height, width = pictures[0].height, pictures[0].width
    canvas = np.empty((rows * (height + BETWEEN) - BETWEEN, columns * (width + BETWEEN) - BETWEEN, 3), np.uint8)
    canvas[:] = BACKGROUND
    for k, picture in enumerate(pictures):
        top, left = k // columns * (height + BETWEEN), k % columns * (width + BETWEEN)
        canvas[top : top + height, left : left + width] = picture.pixels
    return Image(canvas)


def _place_parts(canvas: Any, scene: Scene, side: int) -> list[tuple[int, int, int]]:
    """The photo at the left of the canvas, each part in a colour of its own; the colours."""
    from PIL import Image as Pil

    photo = np.asarray(scene.image.pixels, np.float64)
    colours = [(int(r), int(g), int(b)) for r, g, b in (_PARTS[k % len(_PARTS)] for k in range(len(scene.stems)))]
    for stem, colour in zip(scene.stems, colours, strict=True):
        share = Pil.fromarray((255 * stem.region.mask).astype(np.uint8)).resize(
            (scene.image.width, scene.image.height), Pil.Resampling.BICUBIC
        )
        weight = 0.45 * np.asarray(share, np.float64)[..., None] / 255
        photo = (1 - weight) * photo + weight * np.array(colour)
    small = Pil.fromarray(np.clip(photo, 0, 255).astype(np.uint8))
    small.thumbnail((side, side), Pil.Resampling.LANCZOS)
    canvas.paste(small, (MARGIN + (side - small.width) // 2, MARGIN + (side - small.height) // 2))
    return colours


def draw_map(
    scene: Scene,
    sources: Sequence[Source],
    path: Sequence[Listener],
    walls: Sequence[tuple[tuple[float, float], tuple[float, float]]],
    across_deg: float,
) -> Image:
    """The photo with its sounding parts, and beside it the scene from above, the camera looking up the page.

    Sources are as wide as they stretch, in the colours of the parts; walls are from (x, z) to (x, z); the path has an
    arrow where the listener looks. `across_deg` is the camera's horizontal field of view. One square of the grid is as
    many metres as it says.
    """
    from PIL import Image as Pil
    from PIL import ImageDraw

    fine = 2  # drawn larger and reduced
    canvas = Pil.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
    side = HEIGHT - 2 * MARGIN
    colours = _place_parts(canvas, scene, side)

    walked = np.array([(one.position[0], one.position[2]) for one in path])
    stand = np.array([(one.position[0], one.position[2]) for one in sources]).reshape(-1, 2)
    ends = [np.zeros((1, 2)), walked, stand, *(np.array(wall) for wall in walls)]
    low, high = (bound(np.concatenate(ends), axis=0) for bound in (np.min, np.max))
    middle, size = (low + high) / 2, max(1.2 * float((high - low).max()), 4.0)
    scale = fine * side / size
    plan = Pil.new("RGB", (fine * side, fine * side), BACKGROUND)
    draw = ImageDraw.Draw(plan)

    def at(x: float, z: float) -> tuple[float, float]:
        return (x - middle[0] + size / 2) * scale, (z - middle[1] + size / 2) * scale

    step = next(s for s in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000) if size / s <= 10)
    for k in range(math.floor((low.min() - size) / step), math.ceil((high.max() + size) / step) + 1):
        (x, y) = at(k * step, k * step)
        draw.line((x, 0, x, fine * side), GRID, fine)
        draw.line((0, y, fine * side, y), GRID, fine)
    far, half = 2 * size, math.radians(across_deg) / 2
    for way in (-half, half):
        draw.line((*at(0, 0), *at(far * math.sin(way), -far * math.cos(way))), FAINT, fine)
    for start, end in walls:
        draw.line((*at(*start), *at(*end)), INK, 3 * fine)
    for k, source in enumerate(sources):
        (x, z), colour = stand[k], colours[k % len(colours)] if colours else INK
        away = max(math.hypot(x, z), 1e-6)
        along = np.array([-z, x]) / away * source.width / 2  # across the line of sight
        draw.line((*at(x - along[0], z - along[1]), *at(x + along[0], z + along[1])), colour, 4 * fine)
        _disc(draw, at(x, z), 8 * fine, colour)
        draw.text((at(x, z)[0] + 12 * fine, at(x, z)[1]), f"{k + 1}", INK, font=_font(18 * fine), anchor="lm")
    draw.line([at(*one) for one in walked], ACCENT, 2 * fine, joint="curve")
    for i in sorted({round(i * (len(path) - 1) / 11) for i in range(12)}):
        yaw = math.radians(path[i].yaw)
        x, y = at(*walked[i])
        draw.line((x, y, x - 22 * fine * math.sin(yaw), y - 22 * fine * math.cos(yaw)), INK, 2 * fine)
        _disc(draw, (x, y), 4 * fine, ACCENT)
    x, y = at(0, 0)
    draw.polygon([(x, y - 9 * fine), (x - 8 * fine, y + 7 * fine), (x + 8 * fine, y + 7 * fine)], outline=INK)
    draw.text((8 * fine, fine * (side - 8)), f"one square = {step:g} m", FAINT, font=_font(17 * fine), anchor="ls")
    canvas.paste(plan.resize((side, side), Pil.Resampling.LANCZOS), (WIDTH - MARGIN - side, MARGIN))
    return Image(np.array(canvas))


def draw_bandwidth(
    panels: Sequence[tuple[str, Sequence[tuple[str, Sequence[tuple[float, float, float, float]]]]]],
) -> Image:
    """What survives, against the bits that it went through: one panel for each world, 1600 pixels wide.

    A panel has a title and curves; a curve has a name and points (bits, value, low, high), the value and its interval
    in [0, 1]. Infinite bits, where nothing is cut down, are a level line. At most four curves, each in its own colour.
    """
    from PIL import Image as Pil
    from PIL import ImageDraw

    height, foot = 560, 70
    canvas = Pil.new("RGB", (WIDTH, height), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    across = (WIDTH - 2 * MARGIN) // max(len(panels), 1)
    for k, (title, curves) in enumerate(panels):
        left, right = MARGIN + k * across + 52, MARGIN + (k + 1) * across - 12
        top, bottom = MARGIN + 34, height - foot - MARGIN
        draw.text((left, MARGIN - 8), title, INK, font=_font(21))
        most = max((p[0] for _, points in curves for p in points if math.isfinite(p[0])), default=1.0)
        places = [_Axes(left, right, top, bottom, max(most, 1.0))] * len(curves)
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            y = places[0].y(share) if places else bottom
            draw.line((left, y, right, y), GRID)
            draw.text((left - 44, y - 9), f"{share:.2f}", FAINT, font=_font(15))
        for bits in (0, round(most / 2), round(most)):
            x = left + (right - left) * bits / max(most, 1.0)
            draw.text((x - 8, bottom + 8), f"{bits}", FAINT, font=_font(15))
        draw.text((right - 34, bottom + 28), "bits", FAINT, font=_font(15))
        for (_, points), axes, colour in zip(curves, places, _CURVES, strict=False):
            _draw_curve(draw, axes, points, colour)
    names = [name for name, _ in panels[0][1]] if panels else []
    for k, (name, colour) in enumerate(zip(names, _CURVES, strict=False)):
        x = MARGIN + 52 + 370 * k
        draw.line((x, height - MARGIN + 2, x + 30, height - MARGIN + 2), colour, 4)
        draw.text((x + 40, height - MARGIN - 10), name, INK, font=_font(18))
    return Image(np.array(canvas))


_CURVES = (ACCENT, (126, 178, 255), (150, 220, 160), (200, 200, 210))


class _Axes(NamedTuple):
    left: float
    right: float
    top: float
    bottom: float
    bits: float

    def x(self, bits: float) -> float:
        return self.left + (self.right - self.left) * bits / self.bits

    def y(self, share: float) -> float:
        return self.bottom - (self.bottom - self.top) * min(max(share, 0.0), 1.0)


def _draw_curve(
    draw: Any, axes: _Axes, points: Sequence[tuple[float, float, float, float]], colour: tuple[int, int, int]
) -> None:
    """Points in the order of their bits, joined, with their intervals; what has no bits as a level line."""
    cut = sorted(p for p in points if math.isfinite(p[0]))
    draw.line([(axes.x(b), axes.y(v)) for b, v, _, _ in cut], colour, 3)
    for bits, value, low, high in cut:
        x, y = axes.x(bits), axes.y(value)
        draw.line((x, axes.y(low), x, axes.y(high)), colour, 1)
        _disc(draw, (x, y), 5, colour)
    for bits, value, _, _ in points:
        if not math.isfinite(bits):
            for x in range(int(axes.left), int(axes.right), 14):
                draw.line((x, axes.y(value), x + 7, axes.y(value)), colour, 2)


def _disc(draw: Any, at: tuple[float, float], radius: float, colour: tuple[int, int, int]) -> None:
    draw.ellipse((at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius), fill=colour)


def _peaks(sound: Sound, columns: int) -> Float[np.ndarray, " columns"]:
    """The largest magnitude in each of so many equal stretches of time."""
    wave = np.abs(sound.mono)
    wave = np.pad(wave, (0, max(0, columns - len(wave))))
    edges = np.linspace(0, len(wave), columns + 1).astype(int)[:-1]
    return np.maximum.reduceat(wave, edges)


Box = tuple[int, int, int, int]


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _place_photo(canvas: Any, photo: Image, point: Point, box: Box) -> None:
    """The photo, fitted into the box whole, with a ring at the click (drawn at four times the size and reduced)."""
    from PIL import Image as Pil
    from PIL import ImageDraw

    x0, y0, x1, y1 = box
    scale = min((x1 - x0) / photo.width, (y1 - y0) / photo.height)
    width, height = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
    shown = Pil.fromarray(np.asarray(photo.pixels)).resize((width, height), Pil.Resampling.LANCZOS)
    half = 44
    ring = Pil.new("RGBA", (8 * half, 8 * half))
    draw = ImageDraw.Draw(ring)
    for radius, line, colour in (
        (92, 22, (0, 0, 0, 110)), (90, 12, (255, 255, 255, 255)), (152, 18, (0, 0, 0, 70)), (150, 6, (*ACCENT, 230)),
    ):  # fmt: skip
        draw.ellipse(
            (4 * half - radius, 4 * half - radius, 4 * half + radius, 4 * half + radius), outline=colour, width=line
        )
    draw.ellipse((4 * half - 20, 4 * half - 20, 4 * half + 20, 4 * half + 20), fill=(*ACCENT, 255))
    ring = ring.resize((2 * half, 2 * half), Pil.Resampling.LANCZOS)
    shown.paste(ring, (round(point.x * width) - half, round(point.y * height) - half), ring)
    mask = Pil.new("L", (width * 4, height * 4))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, width * 4 - 1, height * 4 - 1), 48, fill=255)
    at = (x0 + (x1 - x0 - width) // 2, y0 + (y1 - y0 - height) // 2)
    canvas.paste(shown, at, mask.resize((width, height), Pil.Resampling.LANCZOS))


def _draw_wave(canvas: Any, sound: Sound, box: Box) -> None:
    """The wave as its extremes per column, drawn at four times the height and reduced; the scale is its own peak."""
    from PIL import Image as Pil
    from PIL import ImageDraw

    x0, y0, x1, y1 = box
    width, height, fine = x1 - x0, y1 - y0, 4
    wave = sound.mono
    peak = float(np.abs(wave).max(initial=0.0))
    columns = np.array_split(wave, width * 2)
    top = np.array([c.max(initial=0.0) for c in columns]) / (peak or 1.0)
    low = np.array([c.min(initial=0.0) for c in columns]) / (peak or 1.0)
    layer = Pil.new("RGB", (width * 2, height * fine), BACKGROUND)
    draw = ImageDraw.Draw(layer)
    middle, reach = height * fine / 2, height * fine / 2 - 4
    draw.line((0, middle, width * 2, middle), GRID, 3)
    for i, (a, b) in enumerate(zip(top, low, strict=True)):
        draw.line((i, middle - a * reach - 1, i, middle - b * reach + 1), ACCENT)
    canvas.paste(layer.resize((width, height), Pil.Resampling.LANCZOS), (x0, y0))
    level = f"peak {20 * np.log10(peak * 2 / 20e-6):.0f} dB SPL" if peak else "silence"  # full scale is 2 Pa
    draw = ImageDraw.Draw(canvas)
    draw.text((x1, y0), level, FAINT, font=_font(17), anchor="ra")


def _draw_spectrogram(
    canvas: Any,
    sound: Sound,
    frequency: Float[np.ndarray, " modes"],
    t60: Float[np.ndarray, " modes"],
    gain: Float[np.ndarray, " modes"],
    box: Box,
) -> None:
    from PIL import Image as Pil
    from PIL import ImageDraw

    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    top_hz = min(20_000.0, sound.rate / 2)
    power = _log_spectrogram(sound, width, height, top_hz)
    canvas.paste(Pil.fromarray(_colours(power)), (x0, y0))

    def row(hz: float) -> float:
        return y1 - height * np.log(hz / LOW_HZ) / np.log(top_hz / LOW_HZ)

    layer = Pil.new("RGBA", (width * 2, height * 2))
    lines = ImageDraw.Draw(layer)
    strength = 20 * np.log10(np.maximum(gain, 1e-30) / max(float(gain.max(initial=0.0)), 1e-30))
    for hz, seconds, level in zip(frequency, t60, strength, strict=True):
        if LOW_HZ < hz < top_hz and level > -50:
            alpha = int(235 * (1 + level / 60))
            y, end = 2 * (row(hz) - y0), 2 * width * min(1.0, seconds / sound.seconds)
            lines.line((0, y, end, y), (255, 255, 255, alpha // 2), 2)
            lines.ellipse((end - 5, y - 5, end + 5, y + 5), fill=(255, 255, 255, alpha))
            lines.line((0, y, 22, y), (255, 255, 255, alpha), 5)
    layer = layer.resize((width, height), Pil.Resampling.LANCZOS)
    canvas.paste(layer, (x0, y0), layer)

    draw, font = ImageDraw.Draw(canvas), _font(17)
    for hz, label in (
        (100, "100"),
        (200, "200"),
        (500, "500"),
        (1000, "1 k"),
        (2000, "2 k"),
        (5000, "5 k"),
        (10_000, "10 k"),
    ):
        if hz < top_hz:
            draw.line((x0 - 8, row(hz), x0 - 3, row(hz)), FAINT, 1)
            draw.text((x0 - 14, row(hz)), label, FAINT, font=font, anchor="rm")
    draw.text((x0 - 14, y0 + 2), "Hz", FAINT, font=font, anchor="ra")
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20) if sound.seconds / s <= 7)
    for k in range(1, int(sound.seconds / step + 1e-9) + 1):
        x = x0 + width * k * step / sound.seconds
        draw.line((x, y1 + 3, x, y1 + 8), FAINT, 1)
        draw.text((min(x, x1), y1 + 12), f"{k * step:g} s", FAINT, font=font, anchor="ma" if x < x1 - 20 else "ra")


def _log_spectrogram(sound: Sound, width: int, height: int, top_hz: float) -> Float[np.ndarray, "height width"]:
    """Level in dB below the loudest point, frequency rising logarithmically from the bottom row."""
    wave = sound.mono.astype(np.float64)
    size = 2 ** int(np.clip(np.round(np.log2(sound.rate * 0.046)), 8, 13))
    padded = np.pad(wave, (size // 2, size))
    # No frame reaches beyond the end, where a hard cut would paint a click that nobody hears.
    starts = np.minimum(np.linspace(0, len(wave), width).astype(int), max(0, len(wave) - size // 2))
    frames = padded[starts[:, None] + np.arange(size)] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    rows_hz = top_hz * (LOW_HZ / top_hz) ** (np.arange(height) / max(height - 1, 1))
    bins = rows_hz * size / sound.rate
    # Energy between the edges of each row, so that a narrow line survives where many bins share a row.
    edges = np.concatenate([[bins[0]], np.sqrt(bins[1:] * bins[:-1]), [bins[-1]]])
    cumulative = np.concatenate([np.zeros((width, 1)), np.cumsum(power, axis=1)], axis=1)
    at = np.clip(edges + 0.5, 0, cumulative.shape[1] - 1)
    whole = np.minimum(at.astype(int), cumulative.shape[1] - 2)
    part = at - whole
    integral = cumulative[:, whole] * (1 - part) + cumulative[:, whole + 1] * part
    density = (integral[:, :-1] - integral[:, 1:]) / np.maximum(at[:-1] - at[1:], 1e-9)
    loudest = float(density.max(initial=0.0)) or 1.0
    return 10 * np.log10(np.maximum(density.T, loudest * 1e-12) / loudest)


def _colours(level_db: Float[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width 3"]:
    t = np.clip(1 + level_db / RANGE_DB, 0, 1) * (len(_MAP) - 1)
    steps = np.arange(len(_MAP))
    return np.stack([np.interp(t, steps, _MAP[:, c]) for c in range(3)], axis=-1).round().astype(np.uint8)
