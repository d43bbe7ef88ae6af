"""Tar shards ↔ `Example`, with a decoder per known ending and nothing else: no unpickling, no commands, no paths.

The layout is WebDataset's (members of one item share the name up to the first dot and follow each other), so other
tools can read what is written here. What is read is never trusted: unknown endings, links, absolute or climbing names,
`pipe:` addresses and oversized members are refused with `InputError`.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .senses import Example, Image, InputError, Sound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jaxtyping import Float

# A pixel's depth is stored as 16 bits: this many steps for the farthest pixel of the picture, 0 for nothing there.
_STEPS = 65535
_MEMBER_LIMIT = 64 * 2**20
_PIXEL_LIMIT = 64_000_000
_JPEG_QUALITY = 92


# --- writing -------------------------------------------------------------------------------------------------------


def _png(array: np.ndarray) -> bytes:
    from PIL import Image as Pil

    buffer = io.BytesIO()
    Pil.fromarray(array).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def encode(example: Example) -> dict[str, bytes]:
    """The files of one item, ending → bytes. Arrays named depth, normal and mask become PNGs, the others safetensors."""
    import soundfile
    from PIL import Image as Pil
    from safetensors.numpy import save

    truth = dict(example.truth)
    arrays = dict(example.arrays)
    files: dict[str, bytes] = {}
    buffer = io.BytesIO()
    Pil.fromarray(np.asarray(example.image.pixels)).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    files["jpg"] = buffer.getvalue()
    if (depth := arrays.pop("depth", None)) is not None:
        unit = max(float(depth.max()), 1e-6) / _STEPS
        truth["depth_unit"] = unit
        files["depth.png"] = _png(np.round(depth / unit).astype(np.uint16))
    if (normal := arrays.pop("normal", None)) is not None:
        files["normal.png"] = _png(np.round((np.clip(normal, -1, 1) + 1) * 127.5).astype(np.uint8))
    if (mask := arrays.pop("mask", None)) is not None:
        files["mask.png"] = _png(mask.astype(np.uint8))
    hits = [dict(h) for h in truth.get("hits", [])] if isinstance(truth.get("hits"), list) else []
    for k, sound in enumerate(example.sounds):
        scale = max(float(np.abs(sound.samples).max()), 1e-9)
        hits = hits + [{} for _ in range(k + 1 - len(hits))]
        hits[k]["scale"] = scale
        buffer = io.BytesIO()
        soundfile.write(buffer, (sound.samples / scale * 0.999).T, sound.rate, format="FLAC", subtype="PCM_16")
        files[f"hit{k}.flac"] = buffer.getvalue()
    if hits:
        truth["hits"] = hits
    files["json"] = json.dumps(truth, sort_keys=True).encode()
    if arrays:
        files["safetensors"] = save({k: np.ascontiguousarray(arrays[k]) for k in sorted(arrays)})
    return files


def write_shard(path: Path, examples: Iterable[Example]) -> None:
    """Write a shard under a temporary name and give it its own when it is whole. Equal examples give equal bytes."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
            for example in examples:
                for ending, data in encode(example).items():
                    info = tarfile.TarInfo(f"{example.key}.{ending}")
                    info.size, info.mtime, info.mode = len(data), 0, 0o644
                    tar.addfile(info, io.BytesIO(data))
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


# --- reading -------------------------------------------------------------------------------------------------------


def _image(data: bytes) -> np.ndarray:
    from PIL import Image as Pil

    with Pil.open(io.BytesIO(data), formats=("JPEG", "PNG")) as picture:
        if picture.width * picture.height > _PIXEL_LIMIT:
            raise ValueError(f"{picture.width}×{picture.height} pixels are too many")
        return np.asarray(picture.convert("RGB") if picture.mode not in ("L", "I;16", "I") else picture)


def _json(data: bytes) -> dict[str, object]:
    value = json.loads(data.decode("utf-8"))
    if not isinstance(value, dict):
        raise ValueError("the JSON is not an object")
    return value


def _arrays(data: bytes) -> dict[str, np.ndarray]:
    from safetensors.numpy import load

    return load(data)


def _sound(data: bytes) -> tuple[np.ndarray, int]:
    import soundfile

    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    return samples.T, int(rate)


_DECODERS: dict[str, Callable[[bytes], Any]] = {
    "jpg": _image,
    "png": _image,
    "depth.png": _image,
    "normal.png": _image,
    "mask.png": _image,
    "json": _json,
    "safetensors": _arrays,
    **{f"hit{k}.flac": _sound for k in range(16)},
}


def _name(info: tarfile.TarInfo, where: Path) -> tuple[str, str]:
    """Key and ending of a member, or a refusal."""
    name = info.name
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
        raise InputError(f"{where}: the member {name!r} leaves the shard; this file is not safe to read.")
    if not info.isfile():
        raise InputError(f"{where}: the member {name!r} is a link, a folder or a device; only plain files are read.")
    folder, _, base = name.rpartition("/")
    key, dot, ending = base.partition(".")
    if not dot or not key or ending not in _DECODERS:
        known = ", ".join(k for k in _DECODERS if not k.startswith("hit")) + ", hitN.flac"
        raise InputError(f"{where}: {name!r} has an ending that is not read here. Known endings: {known}.")
    if info.size > _MEMBER_LIMIT:
        raise InputError(f"{where}: the member {name!r} has {info.size} bytes; more than {_MEMBER_LIMIT} are not read.")
    return (f"{folder}/{key}" if folder else key), ending


def _assemble(key: str, parts: dict[str, Any], where: Path) -> Example:
    picture = parts.get("jpg", parts.get("png"))
    if picture is None:
        raise InputError(f"{where}: the item {key!r} has no picture (.jpg or .png).")
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    truth: dict[str, Any] = parts.get("json", {})
    arrays: dict[str, np.ndarray] = dict(parts.get("safetensors", {}))
    if "depth.png" in parts:
        arrays["depth"] = (parts["depth.png"].astype(np.float64) * float(truth.get("depth_unit", 1.0))).astype(np.float32)
    if "normal.png" in parts:
        normal = parts["normal.png"].astype(np.float32) / 127.5 - 1
        length = np.linalg.norm(normal, axis=-1, keepdims=True)
        arrays["normal"] = np.where(length > 0.5, normal / np.maximum(length, 1e-6), 0).astype(np.float32)
    if "mask.png" in parts:
        arrays["mask"] = parts["mask.png"]
    hits = truth.get("hits", [])
    sounds = []
    for k in range(16):
        if f"hit{k}.flac" in parts:
            samples, rate = parts[f"hit{k}.flac"]
            scale = float(hits[k].get("scale", 1.0)) if k < len(hits) else 1.0
            sounds.append(Sound(samples * (scale / 0.999), rate))
    return Example(key, Image(picture.astype(np.uint8)), tuple(sounds), truth, arrays)


def _files(path: str | Path) -> list[Path]:
    text = str(path)
    if text.startswith("pipe:") or "://" in text or "|" in text:
        raise InputError(f"{text!r} is a command or an address; shards are read from files and folders only.")
    place = Path(path)
    if place.is_dir():
        found = sorted(place.glob("*.tar"))
        if not found:
            raise InputError(f"{place} holds no shard (*.tar).")
        return found
    if not place.is_file():
        raise InputError(f"There is no shard {place}.")
    return [place]


def examples(path: str | Path, only: Iterable[str] | None = None) -> Iterator[Example]:
    """The items of a shard, or of all shards of a folder in order of name.

    `only` names the endings to decode (for example {"jpg", "json", "safetensors"}), which saves time; all are checked.
    Raises InputError for whatever is not a plain shard of known endings.
    """
    wanted = set(_DECODERS) if only is None else set(only)
    for file in _files(path):
        yield from _read(file, wanted)


def _read(file: Path, wanted: set[str]) -> Iterator[Example]:
    try:
        with tarfile.open(file, "r:") as tar:
            current: str | None = None
            parts: dict[str, Any] = {}
            for info in tar:
                key, ending = _name(info, file)
                if key != current:
                    if current is not None:
                        yield _assemble(current, parts, file)
                    current, parts = key, {}
                if ending not in wanted:
                    continue
                if ending in parts:
                    raise InputError(f"{file}: the item {key!r} has two members .{ending}.")
                member = tar.extractfile(info)
                data = member.read() if member is not None else b""
                try:
                    parts[ending] = _DECODERS[ending](data)
                except Exception as error:  # each decoder has its own errors; all mean a damaged member
                    raise InputError(f"{file}: the member {info.name!r} cannot be decoded ({error}).") from error
            if current is not None:
                yield _assemble(current, parts, file)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{file} is not a whole tar file ({error}).") from error


def point_map(depth: Float[np.ndarray, "h w"], fov_deg: float) -> Float[np.ndarray, "h w 3"]:
    """The 3-D point of every pixel in scene axes, metres, from planar depth; zero where the depth is zero.

    The camera is at the origin looking along −z; `fov_deg` is the angle across the picture's width; pixels are square.
    """
    h, w = depth.shape
    half = np.tan(np.radians(fov_deg) / 2)
    x = ((np.arange(w) + 0.5) / w * 2 - 1) * half
    y = (1 - (np.arange(h) + 0.5) / h * 2) * half * h / w
    return np.stack([x[None, :] * depth, y[:, None] * depth, -depth], axis=-1)
