"""A page that holds a picture and everything it sounds like, and plays from a disk: no Python, no network.

In it are the photo, its parts' sounds and places, what the model thinks stands at each place of a grid (so that knocks
are made in the browser), and a head's responses. Its policy forbids it to ask anything of any network.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import string
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import hub, media, verbs
from ..senses import Image, InputError, Sound
from . import assets

if TYPE_CHECKING:
    from ..bridges.stage import Stage

MAX_BYTES = 15 * 2**20  # of a page
GRID = 12  # places to knock on, along each side
LONGEST = 1600  # pixels of the photo's longer side
MASK = 64  # cells of a region's mask, along each side
RATE = 48_000  # of the browser's engine, in Hz
_EAR_ROWS, _EAR_COLUMNS = 3, 2  # of the table of ears every third elevation and every second azimuth: 15° and 10°


def page(system: verbs.System, photo: verbs.Photo, title: str, seed: int = 0) -> str:
    """The page of a photo, under a title. The same seed gives the same page. Raises InputError for bad input."""
    stage = system.stage(photo, seed=seed)
    image = stage.scene.image
    places = [((i + 0.5) / GRID, (j + 0.5) / GRID) for j in range(GRID) for i in range(GRID)]
    physics = system.knock(image, places, seconds=0.01, seed=seed).physics
    data = {
        "photo": _jpeg(image, LONGEST),
        **told_stage(stage),
        "knocks": {"rows": GRID, "columns": GRID, "places": told(physics)},
        "codebook": [[_nine(v) for v in row] for row in physics.prototypes],
        "ears": ears_table(),
        "made": {"seed": seed, "models": models(system, ("hear", "knock", "walk"))},
    }
    text = _filled("page", title, assets.style("synesthesia", "page"), assets.script("page"), data)
    if len(text) > MAX_BYTES:
        size = len(text) / 2**20
        raise InputError(f"The page of {title} would have {size:.0f} MB; at most {MAX_BYTES >> 20} are made.")
    return text


def index(pages: Sequence[tuple[str, str, Image]]) -> str:
    """A page with a link to each of `pages`: file name, title, picture."""
    links = "\n".join(
        f'<li><a href="{html.escape(name)}"><img src="{_jpeg(image, 480)}" alt="">'
        f"<span>{html.escape(title)}</span></a></li>"
        for name, title, image in pages
    )
    script = assets.script("gallery")
    return _filled("gallery", "Synesthesia", assets.style("synesthesia", "page"), script, None, links=links)


def told_stage(stage: Stage) -> dict[str, Any]:
    """A scene in metres as the browser plays it: its parts' sounds, places and masks, its bed, its air and walls."""
    scene = stage.scene
    sounds = [*(stem.sound for stem in scene.stems), scene.bed]
    # A file holds nothing beyond full scale.
    scale = max(1.0, *(float(np.abs(sound.samples).max(initial=0.0)) for sound in sounds))
    parts = [
        {"audio": _flac(stem.sound, scale), "gain": scale, "position": list(spot.position), "width": spot.width,
         "confidence": stem.confidence, "mask": _grid(stem.region.on(MASK, MASK))}
        for stem, spot in zip(scene.stems, stage.spots, strict=True)
    ]  # fmt: skip
    air = stage.place.air
    return {
        "parts": parts,
        "bed": {"audio": _flac(scene.bed, scale), "gain": scale},
        "loop": stage.loop,
        "air": {"celsius": air.celsius, "humidity": air.humidity, "absorbing": air.absorbing},
        "across": stage.camera.across_deg,
        "walls": stage.walls,
    }


def told(physics: Any) -> list[dict[str, Any]]:
    """What the model thinks was struck, click by click, as the browser's `strike.js` takes it (`Physics` there)."""
    one = ("wave_speed", "density", "loss", "loss_slope", "rest_loss", "rest_slope", "size_m", "wall_m", "fill",
           "hollow", "log_f1_std")  # fmt: skip
    rows = ("noise", "shape_frequency", "extra_loss", "gain", "support_probs", "code_probs", "normal")
    return [
        {name: _nine(getattr(physics, name)[i]) for name in one}
        | {name: [_nine(v) for v in getattr(physics, name)[i]] for name in rows}
        | {"code": int(physics.code[i]), "struck": str(physics.struck[i])}
        for i in range(len(physics.code))
    ]


def ears_table() -> dict[str, Any]:
    """KEMAR's left ear as the browser's `ears.js` takes it (`EarsTable` there); the head is symmetric."""
    from ..acoustics import kemar

    ears = kemar(RATE)
    left = ears.responses[::_EAR_ROWS, :-1:_EAR_COLUMNS, 0]  # −180° and 180° are the same
    scale = float(np.abs(left).max()) / 32767
    delays = ears.delays[::_EAR_ROWS, :-1:_EAR_COLUMNS, 0]
    return {
        "rate": ears.rate, "elevations": left.shape[0], "azimuths": left.shape[1], "taps": left.shape[2],
        "scale": scale,
        "responses": _base64(np.round(left / scale).astype("<i2").tobytes()),
        "delays": _base64(delays.astype("<f4").tobytes()),
    }  # fmt: skip


def models(system: verbs.System, names: Sequence[str]) -> list[dict[str, str]]:
    """Which weights serve these verbs, and their licences, as their configuration tells it."""
    out = []
    for verb in names:
        if verb in system.models:
            folder = hub.resolve(system.models[verb], also=hub.DESCRIPTIONS)
            config = hub.read_config(folder)
            licence = str(config.get("licence") or _card_licence(folder))
            out.append({"verb": verb, "name": system.models[verb], "licence": licence})
    return out


def _card_licence(folder: Path) -> str:
    """The licence in the header of a weight's card."""
    card = folder / "README.md"
    head = card.read_text(encoding="utf-8", errors="replace")[:4096] if card.is_file() else ""
    told = dict(re.findall(r"^(license(?:_name)?): *(\S.*)$", head, re.MULTILINE))
    return told["license_name"].replace("-", " ") if "license_name" in told else told.get("license", "not stated")


# --- parts of a page -------------------------------------------------------------------------------------------------


def _filled(template: str, title: str, style: str, script: str, data: Any, **more: str) -> str:
    """A page from its template in `static/`. Only this script and this style may run in it, and nothing be fetched."""
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return string.Template(assets.read(f"{template}.html")).substitute(
        policy=policy, title=html.escape(title), style=style, script=script, data=_json(data), **more
    )


def _hash(text: str) -> str:
    return f"sha256-{_base64(hashlib.sha256(text.encode()).digest())}"


def _json(data: Any) -> str:
    """JSON that ends no script element, whatever names stand in it (HTML Living Standard, §4.12.1.3)."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _jpeg(image: Image, longest: int) -> str:
    return f"data:image/jpeg;base64,{_base64(media.encode_jpeg(image, longest))}"


def _flac(sound: Sound, scale: float) -> str:
    return _base64(media.encode_flac(Sound(sound.samples / np.float32(scale), sound.rate)))


def _grid(shares: np.ndarray) -> dict[str, Any]:
    values = np.round(255 * shares).astype(np.uint8)
    return {"rows": values.shape[0], "columns": values.shape[1], "values": _base64(values.tobytes())}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _nine(value: float) -> float:
    """Nine significant digits: a mode's phase stays right for seconds."""
    return float(f"{value:.9g}")


# --- files -----------------------------------------------------------------------------------------------------------


def write(system: verbs.System, photos: Sequence[Path], output: Path, seed: int = 0) -> list[Path]:
    """Write the page of one photo to a file, or of several to a folder, with an index; the files, the index last.

    Raises InputError for bad input, and for two photos of one name.
    """
    if len(photos) == 1 and output.suffix.lower() in (".html", ".htm"):
        media.check_writable(output)
        media.write_bytes(output, page(system, photos[0], photos[0].stem, seed).encode())
        return [output]
    names = [f"{photo.stem}.html" for photo in photos]
    if len(set(names)) < len(names) or "index.html" in names:
        raise InputError("Pages take their photos' names: give each photo a name of its own, and none the name index.")
    if output.suffix.lower() in (".html", ".htm"):
        raise InputError(f"{output} is one page; for {len(photos)} photos give the name of a folder.")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot make the folder {output}: {error.strerror}.") from error
    shown = []
    for photo, name in zip(photos, names, strict=True):
        image = media.read_image(photo)
        media.write_bytes(output / name, page(system, image, photo.stem, seed).encode())
        shown.append((name, photo.stem, image))
    media.write_bytes(output / "index.html", index(shown).encode())
    return [*(output / name for name in names), output / "index.html"]
