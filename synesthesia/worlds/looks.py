"""What things look like: procedural textures, and surfaces, grounds and lights drawn at random within a material.

A look reveals the material and promises nothing else: colour, finish, wear and print vary widely inside a group.
Textures are linear-light arrays that tile. Everything is drawn from the generator that is passed in.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .render import Bsdf, rgb, texture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Rng = np.random.Generator
SIDE = 192


# --- noise ---------------------------------------------------------------------------------------------------------


def noise(
    rng: Rng,
    slope: float = 1.5,
    low: float = 2.0,
    stretch: tuple[float, float] = (1, 1),
    side: int = SIDE,
    high: float = 1e9,
) -> np.ndarray:
    """Tiling Gaussian noise [side, side], mean 0, deviation 1; amplitude ∝ 1/f^slope between `low` and `high` cycles.

    `stretch` > 1 along (vertical, horizontal) draws features out in that direction.
    """
    from scipy import fft

    f = np.fft.fftfreq(side, 1 / side)
    r = np.hypot(f[:, None] * stretch[0], f[None, : side // 2 + 1] * stretch[1])
    gain = np.where((r > 0) & (r < high), np.maximum(r, low) ** -slope, 0.0)
    white = rng.standard_normal((side, side), dtype=np.float32)
    out = fft.irfft2(fft.rfft2(white) * gain.astype(np.float32), s=(side, side))
    return np.asarray(out / max(out.std(), 1e-12), dtype=np.float32)


def ridged(rng: Rng, slope: float = 1.4, low: float = 3.0, side: int = SIDE) -> np.ndarray:
    """Creases: sharp ridges where smooth noise crosses zero, 0…1."""
    return np.exp(-np.abs(noise(rng, slope, low, side=side)) * 3.0)


def steps(rng: Rng, low: float = 3.0, side: int = SIDE) -> np.ndarray:
    """Facets of crumpled sheet: the highest of many tilted planes per cell, 0…1, tiling."""
    out = np.zeros((side, side), np.float32)
    y, x = np.mgrid[0:side, 0:side] / side
    for _ in range(int(low * 6)):
        kx, ky = rng.integers(-3, 4, 2)
        wave = (x * kx + y * ky + rng.random()) % 1.0
        out += np.abs(wave - 0.5) * rng.uniform(0.3, 1)
    out -= out.min()
    return out / out.max()


def mix(t: np.ndarray, a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> np.ndarray:
    """Colours between a and b, [..., 3], by t [...] in 0…1."""
    t = np.clip(t, 0, 1)[..., None]
    return (1 - t) * np.asarray(a, np.float32) + t * np.asarray(b, np.float32)


def colour(
    rng: Rng, saturation: tuple[float, float] = (0.3, 1.0), value: tuple[float, float] = (0.1, 0.9)
) -> np.ndarray:
    """A random linear colour."""
    h, s, v = rng.random(), rng.uniform(*saturation), rng.uniform(*value)
    return np.array(colorsys.hsv_to_rgb(h, s, v)) ** 2.2


def jitter(rng: Rng, base: Sequence[float], amount: float = 0.12) -> np.ndarray:
    """A colour near `base`, in brightness and in tint."""
    return np.clip(np.asarray(base) * np.exp(rng.normal(0, amount) + rng.normal(0, amount * 0.4, 3)), 0.005, 0.97)


def pick(rng: Rng, options: Sequence[Any]) -> Any:
    return options[int(rng.integers(len(options)))]


# --- print ---------------------------------------------------------------------------------------------------------

_LETTERS = "ABCDEFGHIJKLMNOPRSTUVWXYZ"


def printed(
    rng: Rng, paper: np.ndarray, *, busy: float, inks: Sequence[np.ndarray], shape: tuple[int, int] = (SIDE, SIDE)
) -> np.ndarray:
    """A page: blocks, picture-like patches, headlines and lines of text on `paper`; linear [h, w, 3]."""
    from PIL import Image, ImageDraw, ImageFont

    h, w = shape
    page = np.broadcast_to(paper, (h, w, 3)).astype(np.float32).copy()

    def area(small: float, large: float) -> tuple[int, int, int, int]:
        bw, bh = (rng.uniform(small, large, 2) * (w, h)).astype(int) + 6
        x0, y0 = int(rng.integers(-bw // 4, w - bw // 2)), int(rng.integers(-bh // 4, h - bh // 2))
        return max(x0, 0), max(y0, 0), min(x0 + int(bw), w), min(y0 + int(bh), h)

    for _ in range(rng.poisson(3 * busy)):
        x0, y0, x1, y1 = area(0.15, 0.7)
        if rng.random() < 0.55:  # something like a photograph
            a, b, c = colour(rng), colour(rng), colour(rng, (0, 0.4), (0.3, 1))
            t = noise(rng, 1.7, 2.0, side=SIDE)[: y1 - y0, : x1 - x0]
            k = noise(rng, 1.4, 3.0, side=SIDE)[: y1 - y0, : x1 - x0]
            if t.shape == (y1 - y0, x1 - x0):
                page[y0:y1, x0:x1] = mix(0.5 + k, mix(0.5 + 0.5 * t, a, b), c)
        else:
            page[y0:y1, x0:x1] = pick(rng, inks) if rng.random() < 0.6 else colour(rng)
    ink_mask = Image.new("L", (w, h), 0)
    draw = ImageDraw.Draw(ink_mask)
    for _ in range(1 + rng.poisson(1 + busy)):
        x, y = float(rng.uniform(0, 0.7) * w), float(rng.uniform(0, 0.85) * h)
        if rng.random() < 0.55:  # a headline
            word = "".join(_LETTERS[int(k)] for k in rng.integers(0, len(_LETTERS), int(rng.integers(2, 9))))
            draw.text((x, y), word, fill=255, font=ImageFont.load_default(float(rng.uniform(0.07, 0.28) * h)))
        else:  # a paragraph
            step, long = rng.uniform(4, 8), rng.uniform(0.2, 0.6) * w
            for row in range(int(rng.integers(3, 14))):
                at = x
                while at < x + long:
                    word = float(rng.uniform(4, 22))
                    draw.rectangle((at, y + row * step, at + word, y + row * step + step * 0.45), fill=200)
                    at += word + 3
    if rng.random() < 0.4 * busy:  # a bar code
        x, y = int(rng.uniform(0, 0.8) * w), int(rng.uniform(0, 0.85) * h)
        for k in range(18):
            if rng.random() < 0.6:
                draw.rectangle((x + 2 * k, y, x + 2 * k + int(rng.integers(0, 2)), y + 24), fill=255)
    t = np.asarray(ink_mask, np.float32) / 255
    if rng.random() < 0.35:
        t = np.rot90(t, int(rng.integers(1, 4))) if h == w else t[::-1, ::-1]
    return mix(t, page, np.broadcast_to(pick(rng, inks), page.shape)).astype(np.float32)


# --- surfaces ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Look:
    """A surface: a Mitsuba BSDF and how many bounces it needs.

    `label` is printed paper that may be wrapped around, `sleeve` a coating over part of the body, `hairs` what stands
    out of it.
    """

    bsdf: Bsdf
    bounces: int = 3
    clear: bool = False
    label: Bsdf | None = None
    hairs: Hairs | None = None
    sleeve: Look | None = None


@dataclass(frozen=True, eq=False)
class Hairs:
    """Fibres standing out of a surface: how many, how long and wide (units of the largest dimension), their colour."""

    count: int
    length: float
    width: float
    droop: float
    bsdf: Bsdf


def _bumped(rng: Rng, inner: Bsdf, height: np.ndarray, depth: float, size: float, scale: float = 1.0) -> Bsdf:
    """`depth` is in units of the body's size; uv counts sizes, so heights are scaled to metres."""
    return {"type": "bumpmap", "arbitrary": texture(height, scale), "scale": depth * size, "bsdf": inner}


def _glossy(rng: Rng, diffuse: Bsdf, alpha: float) -> Bsdf:
    if alpha < 0.03:
        return {"type": "plastic", "diffuse_reflectance": diffuse, "nonlinear": False}
    return {"type": "roughplastic", "diffuse_reflectance": diffuse, "alpha": alpha, "distribution": "ggx"}


_METALS = {
    "steel": (0.64, 0.64, 0.65),
    "aluminium": (0.88, 0.89, 0.90),
    "brass": (0.86, 0.66, 0.30),
    "bronze": (0.66, 0.43, 0.23),
    "copper": (0.90, 0.52, 0.38),
    "iron": (0.42, 0.41, 0.41),
    "titanium": (0.58, 0.55, 0.52),
}


def _metal(rng: Rng, name: str, size: float) -> Look:
    tint = jitter(rng, _METALS.get(name, (0.6, 0.6, 0.6)), 0.10)
    finish = rng.choice(
        ["polished", "satin", "brushed", "hammered", "crumpled", "scratched", "dull"],
        p=[0.40, 0.16, 0.16, 0.09, 0.10, 0.09, 0.0],
    )
    if name == "iron":
        finish = "dull"
    smudge = np.clip(1 + 0.03 * noise(rng, 1.6) + 0.015 * noise(rng, 0.6), 0.5, 1.15)
    alpha = {
        "polished": rng.uniform(0.02, 0.07),
        "satin": rng.uniform(0.08, 0.16),
        "hammered": rng.uniform(0.05, 0.18),
        "crumpled": rng.uniform(0.03, 0.16),
        "scratched": rng.uniform(0.06, 0.2),
        "dull": rng.uniform(0.18, 0.30),
        "brushed": 0.2,
    }[finish]
    metal: Bsdf = {"type": "roughconductor", "material": "none", "distribution": "ggx", "alpha": float(alpha)}
    if finish == "brushed":
        lines = noise(rng, 0.3, 4, stretch=(0.02, 1.0) if rng.random() < 0.5 else (1.0, 0.02))
        smudge = smudge * np.clip(1 + 0.10 * lines, 0.6, 1.2)
        metal = _bumped(
            rng, metal | {"alpha": float(rng.uniform(0.08, 0.18))}, lines, 4e-4, size, float(rng.uniform(1, 2))
        )
    elif finish == "scratched":
        fine = noise(rng, 0.2, 8, stretch=(0.05, 1.0)) + noise(rng, 0.2, 8, stretch=(1.0, 0.05))
        smudge = smudge * (1 - 0.25 * (fine > 2.6))
    if name == "iron" and finish == "dull":
        smudge = smudge * np.clip(1 + 0.25 * noise(rng, 0.8, 6), 0.3, 1.6)
    stained = name in ("copper", "bronze", "brass", "steel") and rng.random() < 0.25
    colours = tint * smudge[..., None]
    if stained:
        colours = mix(np.clip(0.4 + 0.4 * noise(rng, 1.6), 0, 0.8), colours, tint * rng.uniform(0.25, 0.6, 3))
    base = {**metal} if metal["type"] != "bumpmap" else metal
    core = base if base["type"] != "bumpmap" else base["bsdf"]
    core["specular_reflectance"] = texture(np.clip(colours, 0, 0.98))
    if finish == "hammered":
        base = _bumped(rng, base, noise(rng, 1.0, 8, high=24), float(rng.uniform(2e-3, 5e-3)), size)
    elif finish == "crumpled":
        fold = steps(rng, 5) if rng.random() < 0.5 else ridged(rng, 1.5, 3)
        base = _bumped(rng, base, fold, float(rng.uniform(0.01, 0.05)), size)
    elif finish in ("satin", "dull"):
        base = _bumped(rng, base, noise(rng, 0.6, 10), float(rng.uniform(2e-5, 1.2e-4)), size)
    label = _label(rng, glossy=True) if rng.random() < 0.12 else None
    return Look({"type": "twosided", "bsdf": base}, 4, label=label)


def _label(rng: Rng, glossy: bool) -> Bsdf:
    paper = colour(rng, (0, 0.9), (0.4, 1)) if rng.random() < 0.7 else np.array([0.85, 0.85, 0.82])
    page = printed(
        rng,
        paper,
        busy=float(rng.uniform(0.6, 2)),
        inks=[colour(rng), colour(rng, (0, 0.2), (0.0, 0.15)), np.array([0.9, 0.9, 0.9])],
    )
    inner = (
        _glossy(rng, texture(page), float(rng.uniform(0.08, 0.3)))
        if glossy
        else {"type": "diffuse", "reflectance": texture(page)}
    )
    return {"type": "twosided", "bsdf": inner}


_GLASS_TINTS = (
    (1, 1, 1),
    (1, 1, 1),
    (0.97, 1, 0.98),
    (0.35, 0.72, 0.36),
    (0.16, 0.45, 0.16),
    (0.60, 0.33, 0.10),
    (0.42, 0.2, 0.06),
    (0.35, 0.55, 0.85),
    (0.8, 0.9, 1),
    (0.75, 0.9, 0.8),
    (0.9, 0.7, 0.75),
)


def _clear(rng: Rng, tint: np.ndarray, ior: float, hollow: bool, haze: float) -> tuple[Bsdf, bool]:
    """Clear stuff. Thin walls pass light straight on; thick bodies bend it."""
    if hollow or rng.random() < 0.3:
        inner: Bsdf = {
            "type": "thindielectric",
            "int_ior": ior,
            "specular_transmittance": rgb(np.clip(np.sqrt(tint), 0.02, 0.995)),
        }
    else:
        inner = {
            "type": "dielectric",
            "int_ior": ior,
            "specular_transmittance": rgb(np.clip(np.sqrt(tint), 0.02, 0.995)),
        }
    if haze > 0.02:
        frost: Bsdf = {
            "type": "twosided",
            "bsdf": {"type": "diffuse", "reflectance": rgb(np.clip(0.3 + 0.6 * tint, 0, 0.9))},
        }
        weight = np.clip(haze * (1 + 0.15 * noise(rng, 1.5)), 0, 0.9)
        inner = {"type": "blendbsdf", "weight": texture(weight), "bsdf_0": inner, "bsdf_1": frost}
    return inner, True


def _glass(rng: Rng, size: float, hollow: bool) -> Look:
    tint = np.array(pick(rng, _GLASS_TINTS)) * rng.uniform(0.9, 1.0)
    if rng.random() < 0.25:
        tint = np.clip(colour(rng, (0.1, 0.8), (0.6, 1.0)) + 0.05, 0, 1)
    haze = float(rng.uniform(0.03, 0.08)) if rng.random() < 0.2 else 0.0
    bsdf, clear = _clear(rng, tint, float(rng.uniform(1.48, 1.6)), hollow, haze)
    return Look(bsdf, 8, clear, _label(rng, glossy=False) if rng.random() < 0.2 else None)


def _ceramic(rng: Rng, name: str, size: float) -> Look:
    kind = rng.random()
    if name == "porcelain" or kind < 0.35:
        base = jitter(rng, (0.82, 0.80, 0.76), 0.05)
    elif kind < 0.68:  # celadon, cobalt, tenmoku, oxblood, straw
        base = jitter(
            rng,
            pick(
                rng,
                [(0.36, 0.45, 0.36), (0.03, 0.06, 0.2), (0.05, 0.03, 0.02), (0.2, 0.03, 0.02), (0.45, 0.34, 0.16)],
            ),
            0.15,
        )
    else:
        base = jitter(
            rng, pick(rng, [(0.55, 0.22, 0.11), (0.45, 0.3, 0.18), (0.62, 0.52, 0.4), (0.2, 0.15, 0.12)]), 0.1
        )
    tex = base * np.clip(1 + 0.05 * noise(rng, 1.6)[..., None], 0.6, 1.3)
    style = rng.random()
    if style < 0.27:  # bands of another glaze
        v = np.linspace(0, 1, SIDE, endpoint=False)[:, None] * np.ones((1, SIDE))
        band = sum(
            (np.abs(v - rng.random()) < rng.uniform(0.01, 0.06)).astype(float) for _ in range(int(rng.integers(1, 4)))
        )
        tex = mix(np.clip(band, 0, 1), tex, colour(rng))
    elif style < 0.57:  # a painted pattern
        tex = mix(
            (noise(rng, 1.5, 6, high=18) > rng.uniform(0.8, 1.5)).astype(float),
            tex,
            pick(rng, [np.array([0.03, 0.08, 0.4]), np.array([0.03, 0.08, 0.4]), np.array([0.25, 0.06, 0.03])]),
        )
    elif style < 0.82:  # speckled stoneware
        tex = mix((noise(rng, 0.1, 20) > 2.2).astype(float), tex, np.array([0.1, 0.06, 0.03]))
    terracotta = kind >= 0.68 and rng.random() < 0.7 and name != "porcelain"
    inner: Bsdf = (
        {"type": "diffuse", "reflectance": texture(np.clip(tex, 0, 0.95))}
        if terracotta
        else _glossy(rng, texture(np.clip(tex, 0, 0.95)), float(pick(rng, [0.0, 0.0, 0.05, 0.1, 0.2])))
    )
    if terracotta or rng.random() < 0.3:
        inner = _bumped(rng, inner, noise(rng, 0.9, 6), float(rng.uniform(5e-4, 2e-3)), size)
    return Look({"type": "twosided", "bsdf": inner})


def _stone(rng: Rng, name: str, size: float) -> Look:
    if name == "marble":
        base = jitter(
            rng,
            pick(rng, [(0.8, 0.79, 0.77), (0.8, 0.75, 0.68), (0.1, 0.12, 0.11), (0.3, 0.12, 0.1), (0.25, 0.35, 0.3)]),
            0.08,
        )
        vein = np.exp(-np.abs(noise(rng, 1.9, 2) + 0.3 * noise(rng, 1.2, 6)) * rng.uniform(5, 14))
        tex = mix(
            vein * rng.uniform(0.4, 0.9),
            base * np.clip(1 + 0.08 * noise(rng, 1.8)[..., None], 0.5, 1.4),
            jitter(rng, (0.35, 0.33, 0.32) if base.mean() > 0.3 else (0.8, 0.8, 0.78), 0.15),
        )
        inner = _glossy(rng, texture(np.clip(tex, 0, 0.95)), float(pick(rng, [0.0, 0.08, 0.2])))
        return Look({"type": "twosided", "bsdf": inner})
    if name == "concrete":
        base = jitter(rng, (0.38, 0.37, 0.35), 0.25)
        tex = base * np.clip(1 + 0.14 * noise(rng, 1.4)[..., None] + 0.1 * noise(rng, 0.2)[..., None], 0.3, 1.8)
        tex = mix((noise(rng, 0.4, 14) > 2.3).astype(float) * 0.8, tex, base * 0.3)
        height = noise(rng, 0.7, 8) - 3.0 * (noise(rng, 0.4, 14) > 2.3)
        return Look(
            {
                "type": "twosided",
                "bsdf": _bumped(
                    rng, {"type": "diffuse", "reflectance": texture(np.clip(tex, 0, 0.9))}, height, 1.2e-3, size
                ),
            }
        )
    base = jitter(
        rng,
        pick(
            rng,
            [
                (0.35, 0.34, 0.33),
                (0.5, 0.4, 0.33),
                (0.14, 0.14, 0.15),
                (0.6, 0.55, 0.45),
                (0.42, 0.24, 0.2),
                (0.25, 0.28, 0.24),
            ],
        ),
        0.15,
    )
    tex = base * np.clip(1 + 0.12 * noise(rng, 1.3)[..., None], 0.4, 1.6)
    for _ in range(int(rng.integers(2, 5))):  # granite, terrazzo: grains of several colours and sizes
        low = float(rng.uniform(8, 45))
        grain = noise(rng, 0.0, 1, high=low) > rng.uniform(0.6, 1.5)
        tex = mix(
            grain * rng.uniform(0.5, 1.0),
            tex,
            jitter(rng, pick(rng, [(0.05, 0.05, 0.05), (0.75, 0.73, 0.7), (0.5, 0.3, 0.25), (0.45, 0.45, 0.45)]), 0.2),
        )
    polished = rng.random() < 0.35
    inner = (
        _glossy(rng, texture(np.clip(tex, 0, 0.95)), float(rng.uniform(0.0, 0.15)))
        if polished
        else {"type": "diffuse", "reflectance": texture(np.clip(tex, 0, 0.95))}
    )
    if not polished:
        inner = _bumped(rng, inner, noise(rng, 1.0, 4), float(rng.uniform(2e-3, 8e-3)), size)
    return Look({"type": "twosided", "bsdf": inner})


_WOODS = {
    "hardwood": [(0.30, 0.14, 0.06), (0.42, 0.23, 0.11), (0.16, 0.07, 0.035), (0.52, 0.34, 0.18), (0.33, 0.11, 0.06)],
    "softwood": [(0.70, 0.48, 0.26), (0.75, 0.56, 0.33), (0.62, 0.40, 0.2), (0.78, 0.62, 0.42)],
    "plywood": [(0.68, 0.50, 0.30), (0.58, 0.38, 0.2)],
    "bamboo": [(0.72, 0.55, 0.27), (0.60, 0.42, 0.18)],
}


def wood_grain(rng: Rng, base: np.ndarray, knots: bool = True) -> np.ndarray:
    """Growth rings cut by a board, rays and pores; the grain runs along u. Tiles nearly."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    warp = 0.12 * noise(rng, 1.8, 1.5, stretch=(1.0, 4.0))
    rings = rng.integers(3, 14)
    field = y * rings + warp * rings * rng.uniform(0.3, 1.2)
    if knots and rng.random() < 0.4:
        cx, cy, reach = rng.random(), rng.random(), rng.uniform(0.04, 0.1)
        d2 = ((x - cx) / (3 * reach)) ** 2 + ((y - cy) / reach) ** 2
        field = field + 1.6 * np.exp(-d2)
    ring = (field % 1.0) ** rng.uniform(1.2, 3)
    fibre = noise(rng, 0.5, 6, stretch=(1.0, 40.0))
    pores = noise(rng, 0.1, 20, stretch=(1.0, 18.0)) > 2.0
    dark = base * rng.uniform(0.35, 0.65)
    t = np.clip(0.1 + rng.uniform(0.55, 0.9) * ring + 0.10 * fibre, 0, 1)
    out = mix(t, base, dark) * np.clip(1 + 0.10 * noise(rng, 1.7)[..., None], 0.6, 1.4)
    return np.clip(mix(pores * 0.5, out, dark * 0.6), 0.003, 0.95)


def _wood(rng: Rng, name: str, size: float) -> Look:
    base = jitter(rng, pick(rng, _WOODS.get(name, _WOODS["hardwood"])), 0.14)
    tex = wood_grain(rng, base)
    if name == "bamboo" and rng.random() < 0.7:
        strips = (np.arange(SIDE) // int(rng.integers(12, 30))) % 7
        tex = tex * (0.85 + 0.05 * strips)[:, None, None]
    if rng.random() < 0.5:
        tex = tex.transpose(1, 0, 2)
    varnish = rng.random()
    scale = float(rng.uniform(0.8, 2.0))
    diffuse = texture(np.clip(tex, 0, 0.95), scale)
    inner = (
        {"type": "diffuse", "reflectance": diffuse}
        if varnish < 0.45
        else _glossy(rng, diffuse, float(rng.uniform(0.08, 0.35)))
    )
    if varnish < 0.6:
        inner = _bumped(rng, inner, tex.mean(-1) / max(tex.mean(), 1e-3), float(rng.uniform(3e-4, 1.5e-3)), size, scale)
    return Look({"type": "twosided", "bsdf": inner})


def _plastic(rng: Rng, name: str, size: float, hollow: bool) -> Look:
    clear = {"pet": 0.6, "acrylic": 0.45, "polycarbonate": 0.3, "hard_plastic": 0.03, "soft_plastic": 0.06}.get(
        name, 0.1
    )
    if rng.random() < clear:
        tint = np.array(
            pick(rng, [(1, 1, 1), (1, 1, 1), (0.9, 0.96, 1), (0.75, 0.9, 1), (0.4, 0.8, 0.5), (0.95, 0.95, 0.9)])
        )
        if name == "acrylic" and rng.random() < 0.8:
            tint = np.clip(colour(rng, (0.7, 1), (0.7, 1.0)) + 0.02, 0, 1)
        bsdf, is_clear = _clear(rng, tint, float(rng.uniform(1.36, 1.5)), hollow, float(rng.uniform(0.04, 0.3)))
        if rng.random() < 0.75 and bsdf["type"] == "thindielectric":
            bsdf = _bumped(rng, bsdf, ridged(rng, 1.6, 3), 0.01, size)
        return Look(bsdf, 8, is_clear, _label(rng, glossy=True) if rng.random() < 0.6 else None)
    kind = rng.random()
    if kind < 0.84:
        base = colour(rng, (0.75, 1.0), (0.5, 1.0))
    elif kind < 0.95:
        base = jitter(rng, pick(rng, [(0.85, 0.85, 0.84), (0.78, 0.78, 0.75), (0.7, 0.72, 0.72)]), 0.06)
    else:
        base = jitter(rng, pick(rng, [(0.02, 0.02, 0.02), (0.08, 0.08, 0.09), (0.3, 0.3, 0.31)]), 0.2)
    tex = np.clip(base * np.clip(1 + 0.015 * noise(rng, 1.6)[..., None], 0.8, 1.2), 0.004, 0.95)
    soft = name == "soft_plastic"
    inner = _glossy(rng, texture(tex), float(rng.uniform(0.1, 0.22) if soft else rng.uniform(0.0, 0.12)))
    if soft and base.mean() > 0.4 and rng.random() < 0.6:  # milky polyethylene lets light through
        through: Bsdf = {"type": "thindielectric", "int_ior": 1.3}
        inner = {
            "type": "blendbsdf",
            "weight": float(rng.uniform(0.55, 0.85)),
            "bsdf_0": through,
            "bsdf_1": {"type": "twosided", "bsdf": inner},
        }
        return Look(inner, 8, True, _label(rng, glossy=True) if rng.random() < 0.35 else None)
    if rng.random() < 0.35:
        inner = _bumped(rng, inner, noise(rng, 0.3, 20), float(rng.uniform(1e-4, 5e-4)), size)
    elif rng.random() < 0.2:  # ribs
        rib = np.sin(np.arange(SIDE) / SIDE * 2 * np.pi * int(rng.integers(8, 30)))
        inner = _bumped(rng, inner, np.repeat(rib[:, None], SIDE, 1), float(rng.uniform(1e-3, 4e-3)), size)
    return Look({"type": "twosided", "bsdf": inner}, label=_label(rng, glossy=True) if rng.random() < 0.25 else None)


def _paper(rng: Rng, name: str, size: float) -> Look:
    if name == "paper":
        base = jitter(
            rng, pick(rng, [(0.85, 0.85, 0.84), (0.84, 0.82, 0.76), (0.7, 0.66, 0.55), (0.80, 0.83, 0.86)]), 0.05
        )
        if rng.random() < 0.12:
            base = colour(rng, (0.15, 0.6), (0.6, 0.95))
        busy = rng.random()
        inks = [np.array([0.02, 0.02, 0.025]), colour(rng), colour(rng)]
        tex = base * np.clip(1 + 0.02 * noise(rng, 0.2)[..., None], 0.8, 1.1)
        if busy > 0.15:
            tex = printed(
                rng, tex, busy=float(rng.uniform(0.2, 0.6) if busy < 0.55 else rng.uniform(1.2, 3)), inks=inks
            )
        scale = float(rng.uniform(0.8, 1.6))
        tex = np.clip(tex, 0, 0.93)
        magazine = busy > 0.75
        inner = (
            _glossy(rng, texture(tex, scale), float(rng.uniform(0.2, 0.4)))
            if magazine
            else {"type": "diffuse", "reflectance": texture(tex, scale)}
        )
        fold = steps(rng, 4) if rng.random() < 0.5 else ridged(rng, 1.6, 2)
        return Look({"type": "twosided", "bsdf": _bumped(rng, inner, fold, float(rng.uniform(0.012, 0.05)), size)})
    base = jitter(
        rng,
        pick(rng, [(0.48, 0.31, 0.17), (0.52, 0.36, 0.21), (0.40, 0.26, 0.14), (0.58, 0.43, 0.28), (0.42, 0.33, 0.25)]),
        0.10,
    )
    if rng.random() < 0.12:
        base = jitter(rng, (0.75, 0.74, 0.7), 0.05)
    fibres = noise(rng, 0.3, 8, stretch=(1, 3)) + noise(rng, 0.3, 8, stretch=(3, 1))
    tex = base * np.clip(1 + 0.05 * fibres[..., None] + 0.05 * noise(rng, 1.6)[..., None], 0.5, 1.4)
    tex = mix((noise(rng, 0.0, 1, stretch=(1, 4)) > 2.9) * 0.5, tex, base * 0.4)
    flutes = int(rng.integers(16, 44))
    wave = np.sin(np.arange(SIDE) / SIDE * 2 * np.pi * flutes)
    corrugated = name == "corrugated" or rng.random() < 0.35
    if corrugated:
        tex = tex * (1 + rng.uniform(0.05, 0.14) * wave)[:, None, None]
    if rng.random() < 0.6:
        inks = [
            np.array([0.03, 0.025, 0.02]),
            pick(rng, [np.array([0.4, 0.03, 0.02]), np.array([0.03, 0.1, 0.25]), np.array([0.05, 0.2, 0.08])]),
        ]
        tex = printed(rng, tex, busy=float(rng.uniform(0.0, 0.35)), inks=inks)
    if rng.random() < 0.3:  # packing tape
        y0, thick = int(rng.integers(0, SIDE)), int(rng.integers(14, 44))
        tape = np.zeros((SIDE, SIDE))
        tape[np.arange(y0, y0 + thick) % SIDE] = 1
        tape = tape if rng.random() < 0.5 else tape.T
        tex = mix(
            tape * rng.uniform(0.25, 0.6), tex, pick(rng, [np.array([0.55, 0.38, 0.18]), np.array([0.7, 0.68, 0.6])])
        )
    height = (
        0.4 * noise(rng, 0.6, 8)
        + 2 * ridged(rng, 1.7, 2) * (rng.random() < 0.5)
        + (3.0 * wave[:, None] if corrugated else 0)
    )
    scale = float(rng.uniform(0.8, 1.5))
    tex = np.clip(tex, 0, 0.9)
    if rng.random() < 0.5:
        tex, height = tex.transpose(1, 0, 2), height.T
    inner = {"type": "diffuse", "reflectance": texture(tex, scale)}
    return Look({"type": "twosided", "bsdf": _bumped(rng, inner, height, float(rng.uniform(2e-4, 1e-3)), size, scale)})


def _rubber(rng: Rng, name: str, size: float) -> Look:
    if name == "cork":
        base = jitter(rng, (0.50, 0.30, 0.16), 0.15)
        tex = base * np.clip(1 + 0.22 * noise(rng, 0.4, 10)[..., None], 0.3, 1.7)
        tex = mix((noise(rng, 0.4, 16) > 1.7).astype(float) * 0.8, tex, base * 0.25)
        return Look(
            {
                "type": "twosided",
                "bsdf": _bumped(
                    rng,
                    {"type": "diffuse", "reflectance": texture(np.clip(tex, 0, 0.9))},
                    noise(rng, 0.5, 10),
                    1.5e-3,
                    size,
                ),
            }
        )
    if name == "foam":
        base = jitter(rng, (0.75, 0.72, 0.5), 0.1) if rng.random() < 0.3 else colour(rng, (0.1, 0.85), (0.25, 0.95))
        if rng.random() < 0.25:
            base = jitter(rng, pick(rng, [(0.85, 0.85, 0.85), (0.06, 0.06, 0.065), (0.25, 0.25, 0.26)]), 0.1)
        cells = float(rng.uniform(10, 28))
        pores = noise(rng, 0.0, 1, high=cells)
        holes = np.clip(pores - rng.uniform(0.1, 0.5), 0, 1.5)
        tex = np.clip(
            base * np.clip(1 - 0.65 * holes[..., None] + 0.04 * noise(rng, 1.2)[..., None], 0.1, 1.2), 0.004, 0.93
        )
        return Look(
            {
                "type": "twosided",
                "bsdf": _bumped(
                    rng, {"type": "diffuse", "reflectance": texture(tex)}, -holes, float(rng.uniform(3e-3, 8e-3)), size
                ),
            }
        )
    if rng.random() < 0.88:
        base = jitter(
            rng, pick(rng, [(0.015, 0.015, 0.016), (0.03, 0.03, 0.032), (0.06, 0.055, 0.05), (0.12, 0.12, 0.12)]), 0.25
        )
    else:
        base = jitter(
            rng,
            pick(
                rng,
                [
                    (0.45, 0.08, 0.05),
                    (0.5, 0.25, 0.2),
                    (0.65, 0.3, 0.32),
                ],
            ),
            0.2,
        )
    dust = np.clip(0.10 * noise(rng, 1.3) + 0.05 * noise(rng, 0.3), 0, 0.5) * rng.uniform(0, 0.8)
    tex = np.clip(mix(dust, np.broadcast_to(base, (SIDE, SIDE, 3)), np.array([0.4, 0.38, 0.35])), 0.004, 0.9)
    inner: Bsdf = {
        "type": "roughplastic",
        "diffuse_reflectance": texture(tex),
        "alpha": float(rng.uniform(0.35, 0.6)),
        "int_ior": 1.3,
    }
    if rng.random() < 0.7:  # treads, ribs, studs
        y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE * 2 * np.pi
        n, m = rng.integers(6, 22), rng.integers(0, 22)
        height = np.clip(3 * np.sin(y * n) * (np.sin(x * m) if m > 4 else 1), -1, 1)
        inner = _bumped(rng, inner, height, float(rng.uniform(1e-3, 4e-3)), size)
    else:
        inner = _bumped(rng, inner, noise(rng, 0.3, 16), float(rng.uniform(2e-4, 8e-4)), size)
    return Look({"type": "twosided", "bsdf": inner})


def bare(rng: Rng, name: str, group: str, size: float, hollow: bool) -> Look:
    """The uncoated surface of a material by its name, `size` in metres."""
    if group == "metal":
        return _metal(rng, name, size)
    if name == "glass":
        return _glass(rng, size, hollow)
    if name in ("porcelain", "ceramic"):
        return _ceramic(rng, name, size)
    if group == "mineral":
        return _stone(rng, name, size)
    if group == "wood":
        return _wood(rng, name, size)
    if group == "plastic":
        return _plastic(rng, name, size, hollow)
    if group == "paper":
        return _paper(rng, name, size)
    return _rubber(rng, name, size)


def inlaid(rng: Rng, look: Look, other: Look, share: float) -> Look:
    """A composite: patches of `other` over about `share` of the surface of `look`, as in terrazzo."""
    field = noise(rng, 1.2, 5)
    weight = (field > np.quantile(field, 1 - share)).astype(np.float32)
    bsdf = {"type": "blendbsdf", "weight": texture(weight), "bsdf_0": look.bsdf, "bsdf_1": other.bsdf}
    return replace(look, bsdf=bsdf, bounces=max(look.bounces, other.bounces), clear=look.clear or other.clear)


def coated(rng: Rng, look: Look, coating: str, size: float) -> Look:
    """The surface with a coating on it; "none" leaves it as it is.

    A coating leaves part of what it covers to be seen: rust eats patches, paint, felt and fur are worn as a sleeve.
    """
    if coating == "none":
        return look
    if coating == "rust":
        field = noise(rng, 1.4, 2)
        weight = np.clip(3 * (field - np.quantile(field, float(rng.uniform(0.35, 0.6)))), 0, 1)
        a, b = jitter(rng, (0.28, 0.10, 0.04), 0.2), jitter(rng, (0.10, 0.04, 0.025), 0.2)
        tex = mix(0.5 + 0.5 * noise(rng, 0.9, 4), a, b)
        crust: Bsdf = {"type": "diffuse", "reflectance": texture(np.clip(tex, 0, 0.8), 1.5)}
        crust = _bumped(rng, crust, noise(rng, 0.7, 8), 1.5e-3, size)
        rusty: Bsdf = {"type": "blendbsdf", "weight": texture(weight)}
        if look.bsdf["type"] == "twosided":
            both = {"type": "twosided", "bsdf": rusty | {"bsdf_0": look.bsdf["bsdf"], "bsdf_1": crust}}
        else:  # a composite has its sides already
            both = rusty | {"bsdf_0": look.bsdf, "bsdf_1": {"type": "twosided", "bsdf": crust}}
        return Look(both, look.bounces)
    sleeve = _paint(rng, size) if coating == "paint" else _fabric(rng, size, furry=coating == "fur")
    return replace(look, sleeve=sleeve, bounces=max(look.bounces, sleeve.bounces))


def _paint(rng: Rng, size: float) -> Look:
    base = colour(rng, (0.4, 1), (0.2, 0.95)) if rng.random() < 0.8 else jitter(rng, (0.8, 0.8, 0.78), 0.1)
    tex = np.clip(base * np.clip(1 + 0.02 * noise(rng, 1.5)[..., None], 0.8, 1.2), 0, 0.95)
    strokes = noise(rng, 0.8, 8, stretch=(1, 6))
    inner = _bumped(
        rng, _glossy(rng, texture(tex), float(rng.uniform(0.0, 0.2))), strokes, float(rng.uniform(1e-4, 5e-4)), size
    )
    return Look({"type": "twosided", "bsdf": inner})


_FURS = (
    (0.25, 0.14, 0.07),
    (0.5, 0.36, 0.2),
    (0.7, 0.66, 0.6),
    (0.05, 0.045, 0.04),
    (0.3, 0.28, 0.27),
    (0.5, 0.22, 0.08),
)
_FELTS = ((0.35, 0.35, 0.35), (0.7, 0.68, 0.62), (0.06, 0.06, 0.07))


def _fabric(rng: Rng, size: float, furry: bool) -> Look:
    natural = 0.8 if furry else 0.3
    base = (
        jitter(rng, pick(rng, _FURS if furry else _FELTS), 0.2)
        if rng.random() < natural
        else colour(rng, (0.3, 0.95), (0.15, 0.85))
    )
    mottle = 1 + 0.18 * noise(rng, 0.4, 8)[..., None] + 0.12 * noise(rng, 1.6)[..., None]
    tex = np.clip(base * np.clip(mottle, 0.3, 1.8), 0.004, 0.9)
    inner = _bumped(rng, {"type": "diffuse", "reflectance": texture(tex, 2.0)}, noise(rng, 0.5, 8), 3e-3, size, 2.0)
    fibre = texture(np.clip(base * (1 + 0.3 * noise(rng, 0.2)[..., None]), 0.004, 0.9))
    strand: Bsdf = {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": fibre}}
    hairs = (
        Hairs(9000, float(rng.uniform(0.035, 0.08)), 0.0035, float(rng.uniform(0.2, 0.9)), strand)
        if furry
        else Hairs(5000, float(rng.uniform(0.006, 0.014)), 0.0022, 0.2, strand)
    )
    return Look({"type": "twosided", "bsdf": inner}, 4, hairs=hairs)


# --- grounds -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Ground:
    """What things stand on; uv of the ground counts `unit` metres. `cue`: it shows lengths of a known size."""

    bsdf: Bsdf
    unit: float
    cue: bool
    name: str


def _photo(rng: Rng, photos: Sequence[Path]) -> np.ndarray:
    from PIL import Image

    with Image.open(pick(rng, photos)) as picture:
        small = picture.convert("RGB").resize((SIDE, SIDE))
    return (np.asarray(small, np.float32) / 255) ** 2.2


def ground(rng: Rng, size: float, cue: bool, photos: Sequence[Path] = ()) -> Ground:
    """A random ground under a body of `size` metres; without `cue` its pattern scales with the body."""
    if cue:
        return _measured_ground(rng)
    unit = size * float(np.exp(rng.uniform(np.log(0.8), np.log(6))))
    kind = float(rng.random())
    if photos and rng.random() < 0.5:
        return Ground(
            {
                "type": "twosided",
                "bsdf": {"type": "diffuse", "reflectance": texture(np.clip(_photo(rng, photos), 0, 0.9))},
            },
            unit,
            False,
            "photo",
        )
    if kind < 0.5:  # a plain board
        if rng.random() < 0.7:
            base = jitter(
                rng,
                pick(
                    rng,
                    [(0.78, 0.77, 0.75), (0.7, 0.68, 0.64), (0.6, 0.6, 0.62), (0.72, 0.63, 0.55), (0.65, 0.68, 0.75)],
                ),
                0.12,
            )
        else:
            base = colour(rng, (0.0, 0.55), (0.05, 0.95))
        tex = base * np.clip(
            1 + rng.uniform(0, 0.03) * noise(rng, 1.7)[..., None] + rng.uniform(0, 0.03) * noise(rng, 0.2)[..., None],
            0.5,
            1.5,
        )
        name = "board"
    elif kind < 0.68:
        name, tex = "planks", _planks(rng)
    elif kind < 0.78:
        name = "tiles"
        a, b = colour(rng, (0, 0.4), (0.3, 0.95)), colour(rng, (0, 0.5), (0.05, 0.6))
        tex = _grid(rng, a, b if rng.random() < 0.5 else None, int(rng.integers(2, 6)), float(rng.uniform(0.01, 0.04)))
    elif kind < 0.9:
        name = "cloth"
        base = colour(rng, (0, 0.8), (0.1, 0.9))
        weave = np.sin(np.arange(SIDE) * np.pi / rng.integers(2, 6))
        tex = base * np.clip(
            1 + 0.12 * (weave[:, None] * weave[None])[..., None] + 0.08 * noise(rng, 1.2)[..., None], 0.3, 1.5
        )
        if rng.random() < 0.3:
            stripe = (np.arange(SIDE) // int(rng.integers(10, 60))) % 2
            tex = mix(np.repeat(stripe[:, None] * 0.8, SIDE, 1), tex, colour(rng))
    else:
        name = "rough"
        base = jitter(rng, pick(rng, [(0.3, 0.29, 0.27), (0.2, 0.25, 0.12), (0.4, 0.3, 0.2), (0.5, 0.5, 0.48)]), 0.3)
        tex = base * np.clip(1 + 0.35 * noise(rng, 1.0, 3)[..., None], 0.2, 2.0)
        tex = mix((noise(rng, 0.0, 1, high=40) > 1.5) * 0.6, tex, jitter(rng, (0.4, 0.4, 0.38), 0.4))
    diffuse = texture(np.clip(tex, 0.004, 0.92).astype(np.float32))
    shine = rng.random()
    inner = (
        _glossy(rng, diffuse, float(rng.uniform(0.1, 0.4)))
        if name in ("board", "planks", "tiles") and shine < 0.3
        else {"type": "diffuse", "reflectance": diffuse}
    )
    return Ground({"type": "twosided", "bsdf": inner}, unit, False, name)


def _planks(rng: Rng) -> np.ndarray:
    base = jitter(rng, pick(rng, [c for colours in _WOODS.values() for c in colours]), 0.15)
    count = int(rng.integers(2, 7))
    tex = wood_grain(rng, base, knots=False)
    edges = (np.arange(SIDE) * count // SIDE).astype(int)
    shade = np.exp(rng.normal(0, 0.15, count))[edges]
    shift = rng.integers(0, SIDE, count)
    tex = np.stack([np.roll(tex[i], shift[edges[i]], axis=0) for i in range(SIDE)]) * shade[:, None, None]
    gap = (np.arange(SIDE) * count % SIDE) < 1.3 * count
    tex[gap] *= 0.25
    return tex.transpose(1, 0, 2) if rng.random() < 0.5 else tex


def _grid(
    rng: Rng, a: np.ndarray, b: np.ndarray | None, cells: int, joint: float, line: np.ndarray | None = None
) -> np.ndarray:
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE * cells
    tex = np.broadcast_to(a, (SIDE, SIDE, 3)) * np.clip(1 + 0.05 * noise(rng, 1.3)[..., None], 0.6, 1.3)
    if b is not None and cells % 2 == 0:
        tex = mix(((np.floor(x) + np.floor(y)) % 2), tex, b)
    lines = ((x % 1 < joint) | (y % 1 < joint)).astype(float)
    return mix(lines, tex, a * 0.35 if line is None else line)


def _measured_ground(rng: Rng) -> Ground:
    """10-cm tiles or chequers, or a cutting mat with a line each centimetre and a bold one each five."""
    light = colour(rng, (0, 0.3), (0.5, 0.95))
    kind = rng.random()
    if kind < 0.4:  # two tiles of 10 cm
        tex = _grid(rng, light, colour(rng, (0, 0.4), (0.02, 0.4)), 2, 0.0)
        return Ground(
            {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": texture(tex)}},
            0.2,
            True,
            "chequers of 10 cm",
        )
    if kind < 0.65:
        tex = _grid(rng, light, None, 2, float(rng.uniform(0.02, 0.05)))
        return Ground({"type": "twosided", "bsdf": _glossy(rng, texture(tex), 0.15)}, 0.2, True, "tiles of 10 cm")
    base = pick(
        rng,
        [
            np.array([0.02, 0.18, 0.12]),
            np.array([0.03, 0.07, 0.2]),
            np.array([0.03, 0.03, 0.035]),
            np.array([0.8, 0.8, 0.78]),
        ],
    )
    line = np.array([0.75, 0.75, 0.6]) if base.mean() < 0.4 else np.array([0.05, 0.05, 0.3])
    tex = _grid(rng, base, None, 10, 0.09, mix(np.array(0.5), base, line))
    bold = _grid(rng, base, None, 2, 0.035, line)
    tex = np.where(np.abs(bold - line).sum(-1, keepdims=True) < 1e-6, line, tex)
    return Ground(
        {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": texture(np.clip(tex, 0, 0.9))}},
        0.1,
        True,
        "mat with lines of 1 cm",
    )


def skin(rng: Rng) -> Bsdf:
    """The skin of a finger."""
    base = jitter(
        rng,
        pick(rng, [(0.62, 0.36, 0.27), (0.5, 0.27, 0.18), (0.3, 0.15, 0.09), (0.13, 0.065, 0.04), (0.7, 0.46, 0.37)]),
        0.1,
    )
    return {
        "type": "twosided",
        "bsdf": {"type": "roughplastic", "diffuse_reflectance": rgb(base), "alpha": 0.4, "int_ior": 1.35},
    }


def plain(rng: Rng) -> Bsdf:
    """The surface of a thing that merely stands about."""
    inner: Bsdf = pick(
        rng,
        [
            {"type": "diffuse", "reflectance": rgb(colour(rng, (0, 1), (0.05, 0.95)))},
            {"type": "roughplastic", "diffuse_reflectance": rgb(colour(rng)), "alpha": 0.15},
            {
                "type": "roughconductor",
                "material": "none",
                "alpha": 0.2,
                "specular_reflectance": rgb(jitter(rng, (0.6, 0.6, 0.6))),
            },
        ],
    )
    return {"type": "twosided", "bsdf": inner}


# --- light ---------------------------------------------------------------------------------------------------------


def environment(rng: Rng, photos: Sequence[Path] = ()) -> Bsdf:
    """Light from all around: an overcast sky, a gradient, a room with soft boxes and windows, or a photo."""
    mi_array = _environment(rng, photos)
    from .render import _mitsuba

    mi = _mitsuba()
    return {"type": "envmap", "bitmap": mi.Bitmap(np.ascontiguousarray(mi_array, np.float32)), "scale": 1.0}


def _environment(rng: Rng, photos: Sequence[Path]) -> np.ndarray:
    h, w = 64, 128
    v, u = np.mgrid[0:h, 0:w]
    up = np.cos((v + 0.5) / h * np.pi)  # +1 straight up
    warm = np.exp(rng.normal(0, 0.12) * np.array([1.0, 0.1, -1.0]))
    if photos and rng.random() < 0.5:
        picture = _photo(rng, photos)
        rows = np.linspace(0, SIDE - 1, h).astype(int)
        cols = np.abs(np.linspace(-SIDE + 1, SIDE - 1, w)).astype(int)
        out = picture[rows][:, cols] * (1 + 6 * np.clip(picture[rows][:, cols].mean(-1, keepdims=True) - 0.6, 0, 1))
        out = out + 0.15
    else:
        # What a mirror shows makes metal metal: surroundings that differ from side to side, none of them black.
        top, low = np.exp(rng.uniform(np.log(0.5), np.log(1.8))), rng.uniform(0.15, 0.7)
        wall = colour(rng, (0, 0.35), (0.6, 1.0))
        out = mix(0.5 + 0.5 * up, wall * low, np.ones(3) * top)
        if rng.random() < 0.8:  # a room: walls that differ, a floor
            sector = (u * int(rng.integers(3, 7)) // w).astype(int)
            shade = np.exp(rng.normal(0, 0.7, 7))
            out = out * np.where(np.abs(up) < rng.uniform(0.4, 0.8), shade[sector], 1.0)[..., None]
        for _ in range(int(rng.integers(1, 5))):  # soft boxes, windows, lamps
            cu, cv = rng.uniform(0, w), h * np.arccos(rng.uniform(0.05, 0.98)) / np.pi
            hu, hv = np.exp(rng.uniform(np.log(1.2), np.log(16))), np.exp(rng.uniform(np.log(1.2), np.log(9)))
            du = np.minimum(np.abs(u - cu), w - np.abs(u - cu)) * np.maximum(np.sin((v + 0.5) / h * np.pi), 0.2)
            power = np.exp(rng.uniform(np.log(30), np.log(400))) / (hu * hv) ** 0.8
            inside = (du < hu) & (np.abs(v - cv) < hv)
            if rng.random() < 0.3:  # panes
                inside &= (np.abs(du - hu / 2) > 0.6) & (np.abs(v - cv) > 0.6)
            out = out + (inside * power)[..., None] * np.exp(rng.normal(0, 0.08) * np.array([1.0, 0, -1.0]))
    return np.clip(out * warm, 0.01, 200)
