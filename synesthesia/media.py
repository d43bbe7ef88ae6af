"""Files in and out: pictures and sounds. The only module that uses Pillow, soundfile and PyAV.

Everything read here is taken as hostile: whatever is wrong with a file becomes an `InputError` with a sentence.
Everything is written to a temporary name in the same folder first and then renamed, so no half file is ever left.
"""

from __future__ import annotations

import io
import os
import secrets
import stat
import struct
import warnings
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .senses import Image, InputError, Sound

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

PICTURES = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
SOUNDS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}
VIDEOS = (".mp4", ".mov", ".webm", ".mkv")

MAX_PICTURE_BYTES = 64 * 2**20
MAX_PIXELS = 80_000_000
MIN_SIDE = 16
MAX_SOUND_SAMPLES = 500_000_000  # an hour of stereo at 48 kHz is 346 million

# What decoders raise on hostile bytes (found by tests/test_media.py); anything else is a bug and stays a traceback.
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, OverflowError, MemoryError,
                  struct.error, zlib.error)  # fmt: skip


class MissingExtraError(InputError):
    """A good file that only an extra of this package can read; the message names the extra."""


# --- files -----------------------------------------------------------------------------------------------------------


def read_bytes(path: str | Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes; InputError when it is missing, unreadable or too large."""
    path = Path(path)
    try:
        info = path.stat()
        if stat.S_ISDIR(info.st_mode):
            raise InputError(f"{path} is a folder, not a file.")
        if not stat.S_ISREG(info.st_mode):  # a pipe or a device could block for ever
            raise InputError(f"{path} is not a regular file.")
        if info.st_size > limit:
            raise InputError(f"{path} has {info.st_size / 2**20:.0f} MB; the limit is {limit / 2**20:.0f} MB.")
        with open(path, "rb") as file:
            return file.read(info.st_size)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise InputError(f"Cannot read {str(path)!r}: {getattr(error, 'strerror', None) or error}.") from error


@contextmanager
def atomic(path: str | Path) -> Generator[Path, None, None]:
    """A temporary name beside `path` to write to; renamed to `path` at the end, removed after an error.

    Raises InputError when the folder is missing or may not be written to.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def check_writable(path: str | Path) -> None:
    """InputError now rather than after the work, when `path` could not be written. Leaves an existing file as it is."""
    temporary = _temporary(Path(path))
    try:
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror or error}.") from error


def _temporary(path: Path) -> Path:
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file in it.")
    if not path.parent.is_dir():
        raise InputError(f"Cannot write {path}: there is no folder {path.parent}; make it first.")
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.part{path.suffix}")


# --- pictures --------------------------------------------------------------------------------------------------------


def read_image(source: str | Path | bytes) -> Image:
    """A JPEG, PNG or WebP picture as upright 8-bit sRGB.

    Orientation from EXIF is applied, transparency is laid over white, CMYK, palettes, grey and 16 bits are converted,
    of an animation the first frame is taken. Raises InputError for anything that is not such a picture, is truncated,
    is smaller than 16 pixels on a side, or has more than 80 million pixels (refused before any pixel is decoded).
    """
    name = "The picture" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else read_bytes(source, MAX_PICTURE_BYTES)
    if len(data) > MAX_PICTURE_BYTES:
        raise InputError(f"{name} has {len(data) / 2**20:.0f} MB; the limit is {MAX_PICTURE_BYTES // 2**20} MB.")

    from PIL import Image as Pil

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about odd metadata; its warning on size is our error below
        try:
            picture = Pil.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP"))
        except Pil.UnidentifiedImageError:
            raise InputError(f"{name} is not a JPEG, PNG or WebP picture.") from None
        except Pil.DecompressionBombError:
            raise InputError(f"{name} claims far more than {MAX_PIXELS // 10**6} million pixels; refused.") from None
        except _DECODE_ERRORS as error:
            raise InputError(f"{name} cannot be read as a picture: {error}.") from error
        with picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise InputError(f"{name} has {width} × {height} pixels; the limit is {MAX_PIXELS // 10**6} million.")
            if min(width, height) < MIN_SIDE:
                raise InputError(f"{name} has {width} × {height} pixels; at least {MIN_SIDE} × {MIN_SIDE} are needed.")
            try:
                picture.load()
                return Image(_upright_rgb(picture))
            except _DECODE_ERRORS as error:
                raise InputError(f"{name} is damaged or truncated: {error}.") from error


def image_from_pil(picture: Any) -> Image:
    """A Pillow image as an `Image`, with the same conversions as a file."""
    return Image(_upright_rgb(picture))


def encode_png(image: Image) -> bytes:
    """The picture as the bytes of a PNG file."""
    from PIL import Image as Pil

    buffer = io.BytesIO()
    Pil.fromarray(np.asarray(image.pixels)).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def write_image(path: str | Path, image: Image) -> None:
    """Write PNG, JPEG (quality 92) or WebP by the ending; whole or not at all."""
    from PIL import Image as Pil

    kind = PICTURES.get(Path(path).suffix.lower())
    if kind is None:
        raise InputError(f"{path}: a picture's name ends in {', '.join(PICTURES)}.")
    with atomic(path) as temporary:
        options = {} if kind == "PNG" else {"quality": 92}
        Pil.fromarray(np.asarray(image.pixels)).save(temporary, kind, **options)


def _upright_rgb(picture: Any) -> UInt8[np.ndarray, "h w 3"]:
    from PIL import Image as Pil

    if picture.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I"):
        grey = np.clip(np.asarray(picture).astype(np.int64), 0, 65535)
        upright = Pil.fromarray(((grey + 128) // 257).astype(np.uint8))
    elif picture.mode == "F":
        raise InputError("A picture of floating-point pixels has no defined white; convert it to 8 bits first.")
    elif picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        over = picture.convert("RGBA")
        upright = Pil.alpha_composite(Pil.new("RGBA", over.size, "white"), over)
    else:
        upright = picture
    turn = _ORIENTATION.get(_exif_orientation(picture))
    if turn is not None:
        upright = upright.transpose(Pil.Transpose[turn])
    return np.array(upright.convert("RGB"))


# EXIF tag 0x0112 → how to turn the stored pixels upright (EXIF 2.32, §4.6.4).
_ORIENTATION = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270",
                7: "TRANSVERSE", 8: "ROTATE_90"}  # fmt: skip


def _exif_orientation(picture: Any) -> int:
    try:
        value = picture.getexif().get(0x0112, 1)
    except _DECODE_ERRORS:
        return 1  # broken metadata is no reason to refuse good pixels
    return value if isinstance(value, int) else 1


# --- sounds ----------------------------------------------------------------------------------------------------------


def read_sound(
    source: str | Path | bytes, rate: int | None = None, *, longest: int = MAX_SOUND_SAMPLES
) -> Sound:  # fmt: skip
    """A WAV, FLAC, OGG or MP3 file (or the sound of a video) as float samples, resampled to `rate` Hz when given.

    Raises InputError for anything else, damage, NaN samples, a file of more than `longest` samples (refused before any
    is decoded), or a video without the extra `video`.
    """
    if not isinstance(source, bytes) and Path(source).suffix.lower() in VIDEOS:
        sound = _read_video_sound(Path(source))
    else:
        sound = _read_soundfile(source, longest)
    return sound if rate is None else resample(sound, rate)


def _read_soundfile(source: str | Path | bytes, longest: int) -> Sound:
    import soundfile

    name = "The sound" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else read_bytes(source, 2**31)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.format not in ("WAV", "WAVEX", "FLAC", "OGG", "MP3", "MPEG"):
                raise InputError(f"{name} is {file.format}, not WAV, FLAC, OGG or MP3.")
            if not 0 <= file.frames * file.channels <= longest:
                raise InputError(f"{name} claims {file.frames} samples in {file.channels} channels; too long.")
            samples, rate = file.read(dtype="float32", always_2d=True).T, file.samplerate
    except (soundfile.SoundFileError, *_DECODE_ERRORS) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} cannot be read as WAV, FLAC, OGG or MP3: {error}") from error
    return Sound(np.ascontiguousarray(samples), rate)


def _read_video_sound(path: Path) -> Sound:
    av = _pyav(path)
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise InputError(f"{path} has no sound.")
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
            frames = [out.to_ndarray() for frame in container.decode(stream) for out in resampler.resample(frame)]
            frames += [out.to_ndarray() for out in resampler.resample(None)]
            rate = int(stream.rate)
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path} cannot be read as a video: {error}.") from error
    if not frames:
        raise InputError(f"{path} has no sound.")
    return Sound(np.concatenate(frames, axis=1), rate)


def _pyav(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    try:
        import av
    except ImportError:
        raise MissingExtraError(
            f"{path} is a video; reading it needs the extra `video`: pip install 'synesthesia[video]'."
        ) from None
    return av


def video_pictures(path: str | Path, times: Sequence[float]) -> Iterator[Image]:
    """The pictures of a video at ascending times in seconds from the beginning of its sound, upright.

    Each is the first picture that is not before its time, or the last of the video. Raises InputError for what is not
    a video with pictures, for pictures beyond 80 million pixels, and without the extra `video`.
    """
    path = Path(path)
    av = _pyav(path)
    wanted = list(times)
    last = None
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path} has no pictures.")
            stream = container.streams.video[0]
            begin = _begin(container.streams.audio[0]) if container.streams.audio else _begin(stream)
            for frame in container.decode(stream):
                if frame.width * frame.height > MAX_PIXELS:
                    raise InputError(f"{path} has pictures of {frame.width} × {frame.height} pixels; too many.")
                last = frame
                while wanted and frame.time is not None and frame.time - begin >= wanted[0]:
                    wanted.pop(0)
                    yield _upright_frame(frame)
                if not wanted:
                    return
            if last is None:
                raise InputError(f"{path} has no pictures.")
            for _ in wanted:
                yield _upright_frame(last)
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path} cannot be read as a video: {error}.") from error


def _begin(stream: Any) -> float:
    return 0.0 if stream.start_time is None else float(stream.start_time * stream.time_base)


def _upright_frame(frame: Any) -> Image:
    return Image(np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)))


def resample(sound: Sound, rate: int) -> Sound:
    """The same sound at another rate (soxr, high quality); the length is rounded to the nearest sample."""
    if not 1 <= rate <= 768_000:
        raise InputError(f"A sample rate is between 1 and 768000 Hz, not {rate}.")
    if rate == sound.rate:
        return sound
    import soxr

    return Sound(soxr.resample(np.asarray(sound.samples).T, sound.rate, rate, quality="HQ").T, rate)


def write_sound(path: str | Path, sound: Sound, bits: int = 16, rate: int | None = None) -> None:
    """Write WAV, FLAC (16 or 24 bits), OGG or MP3 by the ending; whole or not at all.

    Samples beyond full scale are clipped, with a warning that says by how much; nothing is silently normalised.
    """
    kind = SOUNDS.get(Path(path).suffix.lower())
    if kind is None:
        raise InputError(f"{path}: a sound's name ends in {', '.join(SOUNDS)}.")
    write_bytes(path, _encode(sound if rate is None else resample(sound, rate), kind, bits, str(path)))


@contextmanager
def sound_writer(
    path: str | Path, rate: int, channels: int = 1, bits: int = 16
) -> Generator[Callable[[np.ndarray], None], None, None]:
    """A sound file that is written block by block, whole or not at all: memory does not grow with its length.

    What is yielded takes blocks (channels, samples), within full scale. Endings as in `write_sound`.
    """
    import soundfile

    kind = SOUNDS.get(Path(path).suffix.lower())
    if kind is None:
        raise InputError(f"{path}: a sound's name ends in {', '.join(SOUNDS)}.")
    with atomic(path) as temporary:
        try:
            with soundfile.SoundFile(temporary, "w", rate, channels, _subtype(kind, bits), format=kind) as out:

                def write(block: Float[np.ndarray, "channels n"]) -> None:
                    frames = np.clip(block, -1.0, 1.0).T
                    for start in range(0, len(frames), 2**16):  # as in `_encode`
                        out.write(frames[start : start + 2**16])

                yield write
        except soundfile.SoundFileError as error:
            raise InputError(f"{path} cannot be written as {kind} at {rate} Hz: {error}") from error


def encode_wav(sound: Sound, bits: int = 16) -> bytes:
    """The sound as the bytes of a WAV file of 16 or 24 bits."""
    return _encode(sound, "WAV", bits, "The sound")


def _encode(sound: Sound, kind: str, bits: int, name: str) -> bytes:
    import soundfile

    subtype = _subtype(kind, bits)
    file = io.BytesIO()
    try:
        with soundfile.SoundFile(file, "w", sound.rate, sound.channels, subtype, format=kind) as out:
            frames = _clipped(sound, name).T
            for start in range(0, len(frames), 2**16):  # libsndfile's Vorbis encoder overflows its stack on long writes
                out.write(frames[start : start + 2**16])
    except soundfile.SoundFileError as error:
        raise InputError(
            f"{name} cannot be written as {kind} with {sound.channels} channels at {sound.rate} Hz: {error}"
        ) from error
    return file.getvalue()


def _subtype(kind: str, bits: int) -> str:
    if bits not in (16, 24):
        raise InputError(f"A sound is written with 16 or 24 bits, not {bits}.")
    # MP3 wants its container named MP3 and gets its own subtype; OGG is always Vorbis here.
    return {"WAV": f"PCM_{bits}", "FLAC": f"PCM_{bits}", "OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}[kind]


def _clipped(sound: Sound, name: str) -> Float[np.ndarray, "channels n"]:
    samples = np.asarray(sound.samples)
    peak = float(np.abs(samples).max(initial=0.0))
    if peak <= 1.0:
        return samples
    warnings.warn(
        f"{name} is clipped: its peak is {20 * np.log10(peak):.1f} dB above full scale (2 Pa). Strike more softly.",
        stacklevel=3,
    )
    return np.clip(samples, -1.0, 1.0)
