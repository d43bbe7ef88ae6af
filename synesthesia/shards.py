"""Shards: examples in tar files as WebDataset lays them out, read by explicit decoders only.

A shard is a tar file of regular members `KEY.ending`; the members of one key lie together and make one example. The
endings are a closed list (`ENDINGS`, and `hit0.flac`, `hit1.flac`, …). Unlike WebDataset's own reader, nothing is ever
unpickled, fetched or piped through a program: what is not on the list is refused.

Memory is bounded whatever a shard claims: one group of members is held at a time, and members, groups, pixels and
samples have limits that are checked before anything is decoded.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import stat
import struct
import tarfile
import warnings
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from . import hub, media
from .senses import Example, Image, InputError, Sound

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

ENDINGS = ("jpg", "depth.png", "normal.png", "mask.png", "json", "safetensors")
_HIT = re.compile(r"hit(0|[1-9][0-9]?)\.flac")
_MAPS = ("depth", "normal", "mask")

MAX_MEMBER = 64 * 2**20
MAX_GROUP = 256 * 2**20
MAX_JSON = 2**20
MAX_KEY = 200
MAX_PIXELS = 2**24
MAX_SAMPLES = 2**25

_BLOCK = 512
# What Pillow and libsndfile raise on hostile bytes; anything else is a bug and stays a traceback.
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, OverflowError, MemoryError,
                  struct.error, zlib.error)  # fmt: skip

# Stands for a picture that `only` left undecoded or that a recording on its own does not have.
UNSEEN = Image(np.zeros((1, 1, 3), np.uint8))


# --- reading ---------------------------------------------------------------------------------------------------------


def examples(source: str | Path, only: Collection[str] | None = None) -> Iterator[Example]:
    """The examples of a shard, or of all `*.tar` in a folder in the order of their names.

    `.jpg` is the image (`UNSEEN` where there is none, beside at least one sound), `.json` the truth, `.hitN.flac` the
    sounds in the order of N. The arrays are those of `.safetensors` and the maps [H, W]: `depth` in metres along the
    camera's axis (float32, 16-bit values times truth["depth_scale"]), `normal` [H, W, 3] in [-1, 1] (float32), `mask`
    (uint8).

    `only` names the endings to decode, such as {"jpg", "json", "mask.png"}; others are skipped, which is faster. An
    image left out this way is `UNSEEN`; depth needs the truth, so "depth.png" brings "json" with it.

    Raises InputError for a source that is not such a file or folder, and, while iterating, for a shard that is
    damaged or holds anything else.
    """
    if only is not None:
        for ending in only:
            if not _known(ending):
                raise InputError(f"There is no ending {ending!r} to decode; there are {', '.join(ENDINGS)}, hitN.flac.")
        only = {*only, "json"} if "depth.png" in only else set(only)
    return _examples(_shards(source), only)


def point_map(example: Example) -> Float[np.ndarray, "h w 3"]:
    """Where each pixel's surface is: float32 metres in camera axes (x right, y up, looking along −z from the origin).

    From arrays["depth"] (distance along −z; 0 where nothing is, which gives the origin) and the vertical field of view
    truth["camera"]["fov_deg"] of a pinhole camera with square pixels. Raises InputError when one of them is missing.
    """
    depth = example.arrays.get("depth")
    if depth is None or depth.ndim != 2:
        raise InputError(f"{example.key!r} has no depth map; read it with its .depth.png.")
    camera = example.truth.get("camera")
    degrees = _number(camera.get("fov_deg")) if isinstance(camera, dict) else None
    if degrees is None or not 0 < degrees < 180:
        raise InputError(f"{example.key!r} has no camera with a field of view (fov_deg) between 0 and 180 degrees.")
    height, width = depth.shape
    pixel = 2 * math.tan(math.radians(degrees) / 2) / height  # size of a pixel at a distance of 1 m
    x = (np.arange(width) + 0.5 - width / 2) * pixel
    y = (height / 2 - np.arange(height) - 0.5)[:, None] * pixel
    return np.stack([depth * x, depth * y, -depth], axis=-1).astype(np.float32)


def _shards(source: str | Path) -> list[Path]:
    text = os.fspath(source)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", text):  # two letters at least: C: is a drive
        raise InputError(f"{text!r} is not a file or folder on this machine; pipes and addresses are never opened.")
    path = Path(source)
    try:
        if not path.is_dir():
            if path.suffix != ".tar":
                raise InputError(f"{path} is not a shard: its name does not end in .tar.")
            return [path]
        # A name with a leading dot is a shard that is just being written.
        found = sorted(part for part in path.iterdir() if part.suffix == ".tar" and not part.name.startswith("."))
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"Cannot read {text!r}: {getattr(error, 'strerror', None) or error}.") from error
    if not found:
        raise InputError(f"There are no shards (*.tar) in {path}.")
    return found


def _examples(shards: list[Path], only: set[str] | None) -> Iterator[Example]:
    for path in shards:
        with _open(path) as file:
            for key, group in _groups(file, str(path), only):
                yield _decode(key, group, f"{path}: {key}")


def _open(path: Path) -> IO[bytes]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe or a device could block for ever
            raise InputError(f"{path} is not a regular file.")
        return open(path, "rb")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"Cannot read {str(path)!r}: {getattr(error, 'strerror', None) or error}.") from error


def _groups(file: IO[bytes], name: str, only: set[str] | None) -> Iterator[tuple[str, dict[str, bytes | None]]]:
    """The members of each key by their endings; None stands for a member that `only` leaves out."""
    done: set[str] = set()
    key, group, held = "", dict[str, bytes | None](), 0
    for member, size in _members(file, name):
        start, ending = _split(member, name)
        if start != key:
            if group:
                yield key, group
                done.add(key)
            key, group, held = start, {}, 0
            if key in done:
                raise InputError(f"{name}: the members of {key!r} do not lie together, or the key is there twice.")
        if ending in group:
            raise InputError(f"{name} holds two members named {member!r}.")
        if only is not None and ending not in only:
            group[ending] = None
            continue
        held += size
        if held > MAX_GROUP:
            raise InputError(f"{name}: the members of {key!r} exceed {MAX_GROUP // 2**20} MB together.")
        group[ending] = _read(file, size, name)
    if group:
        yield key, group


def _members(file: IO[bytes], name: str) -> Iterator[tuple[str, int]]:
    """Name and size of each member, with the file at its first byte (POSIX.1-1988 ustar, IEEE Std 1003.1 "pax").

    Written out instead of taken from `tarfile`, which follows links, sparse maps, negative sizes and long-name records
    into places a closed format need not go.
    """
    end = os.fstat(file.fileno()).st_size
    long_name: str | None = None
    while True:
        header = _read(file, _BLOCK, name)
        if not any(header):
            break
        _check_header(header, name)
        size = _octal(header[124:136], name)
        kind = header[156:157]
        if size > MAX_MEMBER:
            raise InputError(f"{name} holds a member of {size / 2**20:.0f} MB; the limit is {MAX_MEMBER // 2**20} MB.")
        start = file.tell()
        after = start + size + -size % _BLOCK
        if after > end:
            raise InputError(f"{name} is cut off; make or fetch it again.")
        if kind == b"x":  # pax records for the next member: Python writes them for fractional times and long names
            long_name = _pax_name(_read(file, min(size, 2**16), name), size, name)
        elif kind in (b"0", b"\0"):
            yield _header_name(header) if long_name is None else long_name, size
            long_name = None
        else:
            raise InputError(f"{name} holds a link, a device, a folder or the like; a shard holds regular files only.")
        file.seek(after)
    if long_name is not None or any(_read(file, _BLOCK, name)):
        raise InputError(f"{name} does not end as a tar file does; make or fetch it again.")
    while rest := file.read(2**16):  # padding; a second archive behind the first would be lost silently
        if any(rest):
            raise InputError(f"{name} has something behind its end; make or fetch it again.")


def _check_header(header: bytes, name: str) -> None:
    if header[257:262] != b"ustar":
        raise InputError(f"{name} is not a tar file (ustar).")
    if sum(header) - sum(header[148:156]) + 8 * ord(" ") != _octal(header[148:156], name):
        raise InputError(f"{name} is damaged: the checksum of a member's header is wrong.")


def _header_name(header: bytes) -> str:
    raw = header[:100].split(b"\0")[0]
    if header[257:263] == b"ustar\0" and (prefix := header[345:500].strip(b"\0")):  # GNU keeps times there
        raw = prefix + b"/" + raw
    return raw.decode("utf-8", "replace")


def _octal(digits: bytes, name: str) -> int:
    digits = digits.strip(b" \0")
    if not re.fullmatch(rb"[0-7]+", digits):
        raise InputError(f"{name} is damaged: a number in a member's header is not octal.")
    return int(digits, 8)


def _pax_name(records: bytes, size: int, name: str) -> str | None:
    """The `path` among pax records ("LENGTH key=value\\n"); other records say nothing that is needed here."""
    found: str | None = None
    while records:
        match = re.match(rb"([1-9][0-9]{0,4}) ([A-Za-z.]+)=", records)
        length = int(match[1]) if match else 0
        if match is None or match.end() >= length or length > len(records) or records[length - 1 : length] != b"\n":
            raise InputError(f"{name} is damaged, or its pax header of {size} bytes is too long.")
        if match[2] == b"path":
            found = records[match.end() : length - 1].decode("utf-8", "replace")
        elif match[2] == b"size" or match[2].startswith(b"GNU"):
            raise InputError(f"{name} holds a sparse or very large member; a shard holds small regular files only.")
        records = records[length:]
    return found


def _read(file: IO[bytes], size: int, name: str) -> bytes:
    try:
        data = file.read(size)
    except OSError as error:
        raise InputError(f"Cannot read {name}: {error.strerror or error}.") from error
    if len(data) != size:
        raise InputError(f"{name} is cut off; make or fetch it again.")
    return data


def _split(member: str, name: str) -> tuple[str, str]:
    """Key and ending: the key ends at the first dot, as in WebDataset."""
    key, _, ending = member.partition(".")
    if "/" in member or "\\" in member or member.startswith(".") or not member.isprintable() or "\ufffd" in member:
        raise InputError(f"{name}: {member[:80]!r} is not a member name; it is KEY.ending without any folder.")
    if not 1 <= len(key) <= MAX_KEY:
        raise InputError(f"{name}: the key {key[:20]!r}… has {len(key)} characters; 1 to {MAX_KEY} are allowed.")
    if not _known(ending):
        raise InputError(
            f"{name}: {member[:80]!r} has an ending that is not read; only {', '.join(ENDINGS)} and hitN.flac are."
        )
    return key, ending


def _known(ending: str) -> bool:
    return ending in ENDINGS or _HIT.fullmatch(ending) is not None


def _perceived(endings: Iterable[str]) -> bool:
    """Whether there is anything to see or to hear among the members of an example."""
    return any(ending == "jpg" or _HIT.fullmatch(ending) for ending in endings)


# --- decoding --------------------------------------------------------------------------------------------------------


def _decode(key: str, group: Mapping[str, bytes | None], name: str) -> Example:
    if not _perceived(group):
        raise InputError(f"{name} has no picture ({key}.jpg) and no sound ({key}.hit0.flac).")

    def take(ending: str, decode: Callable[[bytes, str], Any], default: Any) -> Any:
        data = group.get(ending)
        return default if data is None else decode(data, f"{name}.{ending}")

    image = take("jpg", _jpeg, UNSEEN)
    truth = take("json", _json, {})
    arrays: dict[str, np.ndarray] = take("safetensors", _arrays, {})
    if (depth := take("depth.png", _png16, None)) is not None:
        scale = _number(truth.get("depth_scale"))
        if scale is None or not 0 < scale <= 1e3:
            raise InputError(f"{name}.json needs a depth_scale (metres per step of the depth map, positive).")
        arrays["depth"] = depth.astype(np.float32) * np.float32(scale)
    if (normal := take("normal.png", _png_rgb, None)) is not None:
        arrays["normal"] = normal.astype(np.float32) / np.float32(127.5) - np.float32(1)
    if (mask := take("mask.png", _png8, None)) is not None:
        arrays["mask"] = mask
    hits = sorted((int(match[1]), ending) for ending in group if (match := _HIT.fullmatch(ending)))
    sounds = [take(ending, _flac, None) for _, ending in hits]
    return Example(key, image, tuple(sound for sound in sounds if sound is not None), truth, arrays)


def _jpeg(data: bytes, name: str) -> Image:
    if data[:2] != b"\xff\xd8":
        raise InputError(f"{name} is not a JPEG picture.")
    try:
        return media.read_image(data)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _json(data: bytes, name: str) -> dict[str, object]:
    if len(data) > MAX_JSON:
        raise InputError(f"{name} has {len(data)} bytes; the limit is {MAX_JSON}.")
    try:
        truth = json.loads(data.decode("utf-8"), parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON of finite numbers: {error}.") from error
    if not isinstance(truth, dict):
        raise InputError(f"{name} holds no JSON object.")
    return truth


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is not finite")
    return value


def _number(value: object) -> float | None:
    """A JSON number as a float; None for anything else, and for integers beyond all floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _arrays(data: bytes, name: str) -> dict[str, np.ndarray]:
    import safetensors
    import safetensors.numpy

    hub.check_safetensors(data, name)
    try:
        arrays = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, *_DECODE_ERRORS) as error:
        raise InputError(f"{name} is not a sound safetensors file: {error}.") from error
    _check_names(arrays, name)
    return arrays


def _check_names(arrays: Mapping[str, np.ndarray], name: str) -> None:
    if taken := sorted(set(arrays) & set(_MAPS)):
        raise InputError(f"{name} holds arrays named {', '.join(taken)}; these names are the maps'.")


def _png16(data: bytes, name: str) -> np.ndarray:
    return _png(data, name, bits=16, colour=0, what="16-bit grey")


def _png8(data: bytes, name: str) -> np.ndarray:
    return _png(data, name, bits=8, colour=0, what="8-bit grey")


def _png_rgb(data: bytes, name: str) -> np.ndarray:
    return _png(data, name, bits=8, colour=2, what="8-bit RGB")


def _png(data: bytes, name: str, bits: int, colour: int, what: str) -> np.ndarray:
    """The values of a PNG as they are stored; the kind is checked in its IHDR, as Pillow would silently convert."""
    if len(data) < 33 or data[:16] != b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" or data[24:26] != bytes([bits, colour]):
        raise InputError(f"{name} is not a PNG of {what} values.")
    width, height = struct.unpack(">II", data[16:24])
    if not 0 < width * height <= MAX_PIXELS:
        raise InputError(f"{name} has {width} × {height} pixels; the limit is {MAX_PIXELS}.")

    from PIL import Image as Pil

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Pil.open(io.BytesIO(data), formats=("PNG",)) as picture:
                values = np.array(picture)
        except (Pil.DecompressionBombError, *_DECODE_ERRORS) as error:
            raise InputError(f"{name} is damaged: {error}.") from error
    shape = (height, width, 3) if colour == 2 else (height, width)
    if values.shape != shape or values.dtype != (np.uint16 if bits == 16 else np.uint8):
        raise InputError(f"{name} is not a plain PNG of {what} values.")
    return values


def _flac(data: bytes, name: str) -> Sound:
    # STREAMINFO comes first (RFC 9639, §8.2): 20 bits of rate, 3 of channels - 1, 5 of depth - 1, 36 of sample count.
    if len(data) < 42 or data[:4] != b"fLaC" or data[4] & 0x7F != 0:
        raise InputError(f"{name} is not a FLAC sound.")
    packed = int.from_bytes(data[18:26], "big")
    samples = (packed & (2**36 - 1)) * ((packed >> 41 & 7) + 1)
    if not 0 < samples <= MAX_SAMPLES:
        raise InputError(f"{name} claims {samples} samples; 1 to {MAX_SAMPLES} are allowed.")
    try:
        return media.read_sound(data)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


# --- writing ---------------------------------------------------------------------------------------------------------


def write(path: Path, items: Iterable[tuple[str, dict[str, bytes]]]) -> None:
    """Write a shard, whole or not at all: for each item its key and its members' bytes by ending, in the given order.

    The same items give the same bytes (ustar; times, owners and groups are zero). Raises InputError for a name or a
    size that `examples` would refuse, for a key that comes twice, and for a name of more than 100 bytes.
    """
    with (
        media.atomic(path) as temporary,
        tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT, encoding="utf-8") as tar,
    ):
        keys: set[str] = set()
        for key, members in items:
            if key in keys:
                raise InputError(f"{path}: the key {key!r} comes twice.")
            keys.add(key)
            if "." in key:
                raise InputError(f"{path}: the key {key!r} has a dot in it.")
            if not _perceived(members):
                raise InputError(f"{path}: {key!r} has no picture (jpg) and no sound (hit0.flac).")
            if sum(map(len, members.values())) > MAX_GROUP:
                raise InputError(f"{path}: the members of {key!r} exceed {MAX_GROUP // 2**20} MB together.")
            for ending, data in members.items():
                member = tarfile.TarInfo(f"{key}.{ending}")  # times, owner and group of 0, mode 644
                _split(member.name, str(path))
                if len(member.name.encode()) > 100:
                    raise InputError(f"{path}: the name {member.name!r} has more than 100 bytes.")
                if len(data) > MAX_MEMBER:
                    raise InputError(f"{path}: {member.name} exceeds {MAX_MEMBER // 2**20} MB.")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def encode_jpeg(pixels: UInt8[np.ndarray, "h w 3"], quality: int = 90) -> bytes:
    """8-bit sRGB pixels as a JPEG picture (lossy)."""
    from PIL import Image as Pil

    buffer = io.BytesIO()
    Pil.fromarray(np.asarray(Image(pixels).pixels)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def encode_png(array: np.ndarray) -> bytes:
    """A map as a PNG, exactly: uint8 [H, W] or [H, W, 3], or uint16 [H, W]."""
    from PIL import Image as Pil

    kind = (array.dtype, array.shape[2:])
    if array.ndim < 2 or 0 in array.shape or kind not in ((np.uint8, ()), (np.uint8, (3,)), (np.uint16, ())):
        raise InputError(f"A map is uint8 (H, W) or (H, W, 3), or uint16 (H, W), not {array.dtype} {array.shape}.")
    buffer = io.BytesIO()
    Pil.fromarray(np.ascontiguousarray(array)).save(buffer, "PNG")
    return buffer.getvalue()


def encode_json(truth: Mapping[str, object]) -> bytes:
    """A JSON object with sorted keys and without spaces. InputError for NaN, infinity and what JSON cannot say."""
    try:
        text = json.dumps(dict(truth), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
        data = text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"The truth is not JSON of finite numbers: {error}.") from error
    if len(data) > MAX_JSON:
        raise InputError(f"The truth has {len(data)} bytes of JSON; the limit is {MAX_JSON}.")
    return data


def encode_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays by name as a safetensors file; the names depth, normal and mask are the maps'."""
    import safetensors
    import safetensors.numpy

    _check_names(arrays, "The safetensors file")
    try:
        return safetensors.numpy.save({name: np.asarray(array, order="C") for name, array in arrays.items()})
    except (safetensors.SafetensorError, TypeError, ValueError, KeyError) as error:
        raise InputError(f"These arrays cannot be written as safetensors: {error}.") from error


def encode_flac(sound: Sound) -> bytes:
    """A sound as 16-bit FLAC. InputError when it exceeds full scale: scale it, and keep the scale in the truth."""
    import soundfile

    samples = np.asarray(sound.samples)
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > 1:
        raise InputError(f"The sound's peak is {peak:.3g} of full scale; scale it and write the scale into the truth.")
    if not 0 < samples.size <= MAX_SAMPLES:
        raise InputError(f"The sound has {samples.size} samples; 1 to {MAX_SAMPLES} are allowed.")
    buffer = io.BytesIO()
    try:
        soundfile.write(buffer, samples.T, sound.rate, subtype="PCM_16", format="FLAC")
    except (soundfile.SoundFileError, ValueError) as error:
        raise InputError(
            f"A sound of {sound.channels} channels at {sound.rate} Hz cannot be written as FLAC: {error}"
        ) from error
    return buffer.getvalue()
