"""A scene in metres: where its parts sound from, over which ground, within which walls; and the folder it is kept in.

The folder holds `photo.png`, each part's sound as it is heard at the camera (`01.wav`, …; `bed.wav`), its mask
(`01.png`, …) and `scene.json`, which says the rest in glTF's axes: metres, x right, y up, the camera at the origin
looking along −z. docs/walk.md says how other programs read it. Whatever stands in a folder is taken as hostile.
"""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import media
from ..acoustics import Air, Outdoors, Room, Screen
from ..senses import Image, InputError, Listener, Region, Scene, Sound, Source, Stem

FORMAT, VERSION = "synesthesia scene", 1
AXES = "metres, right-handed, x right, y up, the camera at the origin looking along -z"
MAX_BYTES = 2**20  # of scene.json
MAX_PARTS = 64
MAX_SCREENS = 256
MAX_POSES = 100_000
MAX_PATH_BYTES = 16 * 2**20
SCOPE = 400.0  # metres from the camera; nobody walks farther
JOIN_S = 0.5  # in which the end of a sound that is no loop fades into its beginning

Segment = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Camera:
    """How a photo was taken: vertical field of view, width to height, metres above the ground, where the horizon lies.

    `horizon` is a share of the picture's height from the top. Verticals stay vertical: a horizon off the middle is a
    shifted lens, not a tilted one, which is the same to within the cosine of the tilt.
    """

    fov_deg: float
    aspect: float
    height_m: float = 1.6
    horizon: float = 0.5

    def __post_init__(self) -> None:
        ranges = {"fov_deg": (0.1, 170), "aspect": (0.01, 100), "height_m": (0.01, 1000), "horizon": (-10, 10)}
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"A camera's {name} lies between {low:g} and {high:g}, not {getattr(self, name)}.")

    @property
    def focal(self) -> float:
        """The focal length in heights of the picture."""
        return 0.5 / math.tan(math.radians(self.fov_deg) / 2)

    @property
    def across_deg(self) -> float:
        """The horizontal field of view in degrees."""
        return 2 * math.degrees(math.atan(0.5 * self.aspect / self.focal))

    def project(self, position: tuple[float, float, float]) -> tuple[float, float]:
        """Where in the picture a place in the scene is seen, (x, y) as for a `Point`, but not bound to the picture.

        Raises InputError for what is not in front of the camera.
        """
        x, y, z = position
        if not z < 0:
            raise InputError(f"What stands at z = {z} m is not in front of the camera, which looks along -z.")
        return 0.5 - self.focal * x / (z * self.aspect), self.horizon + self.focal * y / z

    def reach(self, x: float, y: float, metres: float) -> tuple[float, float, float]:
        """The place in the scene that is seen at (x, y) of the picture, so many metres along the view; of `project`
        the inverse."""
        return (x - 0.5) * self.aspect * metres / self.focal, (self.horizon - y) * metres / self.focal, -metres

    def ground(self, y: float) -> float:
        """Metres along the view to the ground that is seen at a height y of the picture; infinite above the horizon.

        z = h f/(y − y_horizon): similar triangles (Hoiem, Efros & Hebert 2008, IJCV 80, §2).
        """
        below = y - self.horizon
        return self.height_m * self.focal / below if below > 0 else math.inf


@dataclass(frozen=True)
class Spot:
    """Where a part of the scene sounds from: (x, y, z) and width in metres.

    `gain` times what is heard of it at the camera is what is heard at one metre.
    """

    position: tuple[float, float, float]
    width: float
    gain: float

    def __post_init__(self) -> None:
        # A source says what is wrong with a place; one without sound costs nothing.
        Source(Sound(np.zeros(0), 1), self.position, self.width)
        if not 0 < self.gain <= 1e6:
            raise InputError(f"A gain lies between 0 and a million, not {self.gain}.")


@dataclass(frozen=True, eq=False)
class Stage:
    """A scene in metres. `spots` are those of its stems, in their order; the bed is heard from all around.

    `loop` tells that the sounds repeat without a seam.
    """

    scene: Scene
    spots: tuple[Spot, ...]
    camera: Camera
    place: Outdoors | Room
    loop: bool = False

    def __post_init__(self) -> None:
        if len(self.spots) != len(self.scene.stems):
            raise InputError(f"A scene of {len(self.scene.stems)} stems has as many places, not {len(self.spots)}.")
        if len(self.spots) > MAX_PARTS:
            raise InputError(f"A scene in metres has up to {MAX_PARTS} parts, not {len(self.spots)}.")
        for position in (s.position for s in self.spots):
            if isinstance(self.place, Room) and not self.place.holds(np.array(position)):
                raise InputError(f"A part of the scene stands at {position}, outside of its room.")

    @property
    def sources(self) -> tuple[Source, ...]:
        """The parts as sources, as loud as at one metre."""
        return tuple(
            Source(Sound(stem.sound.samples * np.float32(spot.gain), stem.sound.rate), spot.position, spot.width)
            for stem, spot in zip(self.scene.stems, self.spots, strict=True)
        )

    @property
    def join(self) -> float:
        """Seconds in which the end of its sounds fades into their beginning, when they come again."""
        return 0.0 if self.loop else JOIN_S

    @property
    def walls(self) -> tuple[Segment, ...]:
        """What stands upright, from above: from (x, z) to (x, z)."""
        found = [(screen.start, screen.end) for screen in self.place.screens]
        if isinstance(self.place, Room):
            (x0, _, z0), (x1, _, z1) = self.place.low, self.place.high
            corners = [(x0, z0), (x1, z0), (x1, z1), (x0, z1)]
            found += list(zip(corners, [*corners[1:], corners[0]], strict=True))
        return tuple(found)

    def check(self, path: Sequence[Listener]) -> None:
        """InputError for a path of fewer than two poses, and for one that leaves the scene."""
        if len(path) < 2:
            raise InputError("A path needs at least two poses x,y,z,yaw; to stand still, give the same one twice.")
        places = np.array([one.position for one in path], float)
        far = np.linalg.norm(places, axis=1)
        if far.max() > SCOPE:
            raise InputError(f"The path goes {far.max():.0f} m away from the camera; the scene ends at {SCOPE:g} m.")
        if isinstance(self.place, Room):
            if not self.place.holds(places):
                raise InputError(f"The path leaves the room, which reaches from {self.place.low} to {self.place.high}.")
        elif self.place.ground is not None and places[:, 1].min() < self.place.level:
            raise InputError(
                f"The path goes below the ground: y = {places[:, 1].min():g} m, and the ground lies at "
                f"{self.place.level:g} m. The camera is at 0."
            )

    # --- folders ---

    def save(self, folder: str | Path) -> Path:
        """Keep the scene as a folder, whole or not at all. Raises InputError where something is already."""
        folder = Path(folder)
        check_new(folder)
        temporary = folder.with_name(f".{folder.name[:100]}.{secrets.token_hex(6)}.part")
        try:
            temporary.mkdir()
            self._write(temporary)
            if folder.is_dir():
                folder.rmdir()  # it is empty
            os.replace(temporary, folder)
        except OSError as error:
            raise InputError(f"Cannot write {folder}: {error.strerror or error}.") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return folder

    def _write(self, folder: Path) -> None:
        scene = self.scene
        sounds = [*(stem.sound for stem in scene.stems), scene.bed]
        # A file holds nothing beyond full scale.
        scale = max(1.0, *(float(np.abs(sound.samples).max(initial=0.0)) for sound in sounds))
        names = [f"{k:02d}" for k in range(1, len(scene.stems) + 1)]
        for name, sound in zip([*names, "bed"], sounds, strict=True):
            media.write_sound(folder / f"{name}.wav", Sound(sound.samples / np.float32(scale), sound.rate), bits=24)
        media.write_image(folder / "photo.png", scene.image)
        for name, stem in zip(names, scene.stems, strict=True):
            media.write_image(folder / f"{name}.png", _mask_image(stem.region))
        parts = [
            {"sound": f"{name}.wav", "mask": f"{name}.png", "position": list(spot.position), "width": spot.width,
             "gain": spot.gain * scale, "confidence": stem.confidence}
            for name, spot, stem in zip(names, self.spots, scene.stems, strict=True)
        ]  # fmt: skip
        told = {
            "format": FORMAT, "version": VERSION, "axes": AXES, "photo": "photo.png", "camera": asdict(self.camera),
            "rate": scene.bed.rate, "seconds": scene.bed.seconds, "loop": self.loop, "scale": scale, "sources": parts,
            "bed": {"sound": "bed.wav", "gain": scale},
        } | _place_told(self.place)  # fmt: skip
        (folder / "scene.json").write_text(json.dumps(told, indent=1, allow_nan=False))

    @classmethod
    def load(cls, folder: str | Path) -> Stage:
        """A scene from its folder. Raises InputError for whatever is missing, damaged, too large or out of range, and
        for a file that does not lie in the folder itself."""
        folder = Path(folder)
        name = str(folder / "scene.json")
        told = _parsed(media.read_bytes(_inside(folder, "scene.json"), MAX_BYTES), name)
        if not isinstance(told, dict) or told.get("format") != FORMAT:
            raise InputError(f"{name} does not describe a scene.")
        if told.get("version") != VERSION:
            raise InputError(f"{name} is of version {told.get('version')!r}; this program reads {VERSION}.")
        try:
            return cls._read(folder, told)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            if isinstance(error, InputError):
                raise InputError(f"{folder}: {error}") from error
            what = f"lacks {error}" if isinstance(error, KeyError) else f"is wrong: {error}"
            raise InputError(f"{name} {what}.") from error

    @classmethod
    def _read(cls, folder: Path, told: Mapping[str, Any]) -> Stage:
        parts = told["sources"]
        if not isinstance(parts, list) or len(parts) > MAX_PARTS:
            raise InputError(f"The sources are a list of up to {MAX_PARTS}.")
        scale = _number(told["scale"])
        if not 1 <= scale <= 1e6:
            raise InputError(f"The scale lies between 1 and a million, not {scale}.")
        spots = tuple(Spot(_triple(p["position"]), _number(p["width"]), _number(p["gain"]) / scale) for p in parts)
        camera = Camera(**{key: _number(value) for key, value in told["camera"].items()})
        place = _place(told)
        image = media.read_image(_inside(folder, told["photo"]))

        def sound(file: Any, longest: int) -> Sound:
            path = _inside(folder, file)
            if path.suffix.lower() not in media.SOUNDS:
                raise InputError(f"The sound {file} is none of {', '.join(media.SOUNDS)}.")
            heard = media.read_sound(path, longest=longest)
            return Sound(heard.samples * np.float32(scale), heard.rate)

        bed = sound(told["bed"]["sound"], media.MAX_SOUND_SAMPLES // (len(parts) + 1))
        stems = []
        for part in parts:
            mask = media.read_image(_inside(folder, part["mask"])).pixels
            region = Region(np.asarray(mask, np.float32).mean(axis=-1) / 255)
            stem = Stem(region, sound(part["sound"], bed.samples.size), _number(part["confidence"]))
            if not 0 <= stem.confidence <= 1:
                raise InputError(f"A confidence lies between 0 and 1, not {stem.confidence}.")
            stems.append(stem)
        return cls(Scene(image, tuple(stems), bed), spots, camera, place, told["loop"] is True)


def check_new(folder: str | Path) -> None:
    """InputError when a scene cannot be kept in this folder: something is there, or nothing may be written there."""
    folder = Path(folder)
    if folder.is_dir():
        if any(folder.iterdir()):
            raise InputError(f"{folder} is not empty; give the scene a folder of its own.")
    elif folder.exists() or not folder.name:
        raise InputError(f"{folder} is a file; give the name of a folder that is not there yet.")
    else:
        media.check_writable(folder)


# --- paths -----------------------------------------------------------------------------------------------------------


def read_path(told: Any) -> tuple[Listener, ...]:
    """A path: "x,y,z,yaw;x,y,z,yaw;…", a JSON file [[x, y, z, yaw], …], or poses as tuples or `Listener`s.

    Raises InputError for anything else, numbers that are not finite, and more than `MAX_POSES` poses.
    """
    poses: Any = told
    if isinstance(told, Path) or (isinstance(told, str) and told.lower().endswith(".json")):
        poses = _parsed(media.read_bytes(told, MAX_PATH_BYTES), str(told))
    elif isinstance(told, str):
        poses = [part.split(",") for part in told.split(";") if part.strip()]
    if not isinstance(poses, (list, tuple, np.ndarray)) or not 1 <= len(poses) <= MAX_POSES:
        raise InputError(f"A path is a list of poses [x, y, z, yaw], up to {MAX_POSES} of them.")
    return tuple(pose if isinstance(pose, Listener) else _pose(pose) for pose in poses)


def _pose(told: Any) -> Listener:
    try:
        if isinstance(told, (str, Mapping)) or len(told) != 4 or any(isinstance(v, bool) for v in told):
            raise ValueError
        x, y, z, yaw = (float(value) for value in told)
    except (TypeError, ValueError, OverflowError):
        shown = ",".join(map(str, told)) if isinstance(told, (list, tuple)) else str(told)
        raise InputError(f"A pose is x,y,z,yaw, such as 1,0,-2,30 (metres, degrees); this is {shown[:80]!r}.") from None
    return Listener((x, y, z), yaw)


# --- what stands in scene.json ---------------------------------------------------------------------------------------


def _place_told(place: Outdoors | Room) -> dict[str, Any]:
    told: dict[str, Any] = {"air": asdict(place.air), "screens": [asdict(screen) for screen in place.screens]}
    if isinstance(place, Room):
        return told | {"room": {"low": place.low, "high": place.high, "absorption": place.absorption}}
    return told | {"ground": None if place.ground is None else {"kind": place.ground, "y": place.level}}


def _place(told: Mapping[str, Any]) -> Outdoors | Room:
    listed = told.get("screens", [])
    if not isinstance(listed, list) or len(listed) > MAX_SCREENS:
        raise InputError(f"The screens are a list of up to {MAX_SCREENS}.")
    screens = tuple(
        Screen(_pair(s["start"]), _pair(s["end"]), _number(s["top"]), tuple(_number(v) for v in s["loss_db"]))
        for s in listed
    )
    air = Air(_number(told["air"]["celsius"]), _number(told["air"]["humidity"]), told["air"]["absorbing"] is True)
    if "room" in told:
        room = told["room"]
        wall = room["absorption"]
        taken = tuple(tuple(_number(v) for v in w) for w in wall) if isinstance(wall, list) else _number(wall)
        return Room(_triple(room["low"]), _triple(room["high"]), taken, screens, air)
    ground = told["ground"]
    if ground is None:
        return Outdoors(None, screens=screens, air=air)
    return Outdoors(str(ground["kind"]), _number(ground["y"]), screens, air)


def _parsed(data: bytes, name: str) -> Any:
    """JSON that is no more than JSON: RFC 8259 knows no NaN."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not a number")

    try:
        return json.loads(data.decode(), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON: {error}.") from error


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"In scene.json {str(value)[:40]!r} stands where a finite number belongs.")
    return float(value)


def _pair(values: Any) -> tuple[float, float]:
    x, z = values
    return _number(x), _number(z)


def _triple(values: Any) -> tuple[float, float, float]:
    x, y, z = values
    return _number(x), _number(y), _number(z)


def _inside(folder: Path, name: Any) -> Path:
    """A file that lies in the folder itself and nowhere else, whatever its name or a link says."""
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]{0,99}", name, re.ASCII):
        raise InputError(f"{str(name)[:60]!r} is no name of a file in the folder itself.")
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.")
    path = folder / name
    if not path.exists():
        raise InputError(f"There is no {name} in the folder {folder}.")
    if path.resolve().parent != folder.resolve():
        raise InputError(f"{name} leads out of the folder {folder}.")
    return path


def _mask_image(region: Region) -> Image:
    """A mask as a grey picture; what is smaller than a picture may be is enlarged, cell by cell."""
    rows, columns = (-(-media.MIN_SIDE // n) for n in region.mask.shape)
    grey = np.round(255 * region.mask).astype(np.uint8).repeat(rows, 0).repeat(columns, 1)
    return Image(np.repeat(grey[..., None], 3, axis=-1))
