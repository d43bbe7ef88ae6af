from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pil

from synesthesia import media
from synesthesia.senses import Image, InputError, Sound

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def encoded(picture: Pil.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def solid(mode: str, colour: object, size: tuple[int, int] = (20, 30)) -> Pil.Image:
    return Pil.new(mode, size, colour)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims a size, with next to nothing behind it."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" * 64)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def sine(rate: int = 48_000, seconds: float = 0.5, peak: float = 0.5, channels: int = 1) -> Sound:
    t = np.arange(round(rate * seconds)) / rate
    return Sound(np.tile(peak * np.sin(2 * np.pi * 440 * t), (channels, 1)).astype(np.float32), rate)


# --- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_read_as_it_was_written(kind: str) -> None:
    image = media.read_image(encoded(solid("RGB", (200, 100, 50)), kind))
    assert (image.width, image.height) == (20, 30)
    np.testing.assert_allclose(image.pixels[15, 10].astype(int), (200, 100, 50), atol=4)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (solid("L", 77), (77, 77, 77)),
        (solid("1", 1), (255, 255, 255)),
        (solid("P", 0), (0, 0, 0)),
        (solid("RGBA", (0, 0, 0, 0)), (255, 255, 255)),
        (solid("RGBA", (255, 0, 0, 128)), (255, 127, 127)),
        (solid("LA", (100, 255)), (100, 100, 100)),
        (solid("I;16", 0x8080), (0x80, 0x80, 0x80)),
    ],
)
def test_every_kind_of_pixel_becomes_plain_colour(picture: Pil.Image, expected: tuple[int, int, int]) -> None:
    image = media.read_image(encoded(picture))
    np.testing.assert_allclose(image.pixels[10, 10].astype(int), expected, atol=1)


def test_cmyk_becomes_rgb() -> None:
    image = media.read_image(encoded(solid("CMYK", (0, 255, 255, 0)), "JPEG"))
    np.testing.assert_allclose(image.pixels[10, 10].astype(int), (255, 0, 0), atol=6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_turned_upright(orientation: int) -> None:
    """Pixels stored so that undoing the EXIF orientation gives back the upright picture: red at the top left."""
    upright = np.zeros((40, 24, 3), np.uint8)
    upright[:12, :8] = (255, 0, 0)
    upright[-12:, :8] = (0, 0, 255)
    undo = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.transpose(1, 0, 2),
            6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
            8: lambda a: np.rot90(a, -1)}  # fmt: skip
    exif = Pil.Exif()
    exif[0x0112] = orientation
    stored = Pil.fromarray(np.ascontiguousarray(undo[orientation](upright)))
    image = media.read_image(encoded(stored, "PNG", exif=exif))
    np.testing.assert_array_equal(image.pixels, upright)


def test_a_decompression_bomb_is_refused_before_a_pixel_is_decoded() -> None:
    for side in (30_000, 9_200):
        with pytest.raises(InputError, match="million"):
            media.read_image(png_claiming(side, side))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "not a JPEG, PNG or WebP"),
        (b"hello, this is text", "not a JPEG, PNG or WebP"),
        (encoded(solid("RGB", 0), "GIF"), "not a JPEG, PNG or WebP"),
        (encoded(solid("RGB", 0), "TIFF"), "not a JPEG, PNG or WebP"),
        (encoded(solid("RGB", 0, (1, 1))), "at least 16"),
        (encoded(solid("RGB", 0, (400, 15))), "at least 16"),
        (png_claiming(100, 100), "damaged or truncated"),
    ],
)
def test_bad_pictures_get_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        media.read_image(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_picture_is_refused(kind: str) -> None:
    noise = Pil.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, kind)
    with pytest.raises(InputError):
        media.read_image(data[: len(data) // 2])


@QUICK
@given(data=st.binary(max_size=200), kind=st.sampled_from(["PNG", "JPEG", "WEBP"]), where=st.integers(0, 2000))
def test_no_bytes_crash_the_reader_of_pictures(data: bytes, kind: str, where: int) -> None:
    good = encoded(solid("RGB", (1, 2, 3)), kind)
    where %= len(good)
    for bytes_ in (data, good[:where] + data + good[where + len(data) :], good[:where]):
        try:
            assert isinstance(media.read_image(bytes_), Image)
        except InputError as error:
            assert str(error).startswith("The picture")


def test_files_that_are_not_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        media.read_image(tmp_path / "none.png")
    with pytest.raises(InputError, match="folder"):
        media.read_image(tmp_path)
    with pytest.raises(InputError, match="Cannot read"):
        media.read_image("a\0b.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(InputError, match="regular file"):
            media.read_image(tmp_path / "pipe.png")


def test_pictures_are_written_by_their_ending(tmp_path: Path, photo: Image) -> None:
    for name in ("a.png", "a.jpg", "a.webp"):
        media.write_image(tmp_path / name, photo)
        back = media.read_image(tmp_path / name)
        assert np.abs(back.pixels.astype(int) - photo.pixels).mean() < (0.01 if name == "a.png" else 12)
    with pytest.raises(InputError, match="ends in"):
        media.write_image(tmp_path / "a.bmp", photo)


# --- sounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "bits", "tolerance"), [(".wav", 16, 4e-5), (".wav", 24, 2e-7), (".flac", 16, 4e-5), (".flac", 24, 2e-7)]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_lossless_file_gives_the_sound_back(
    tmp_path: Path, ending: str, bits: int, tolerance: float, channels: int
) -> None:
    sound = sine(channels=channels)
    sound.save(tmp_path / f"a{ending}", bits=bits)
    back = media.read_sound(tmp_path / f"a{ending}")
    assert back.rate == sound.rate
    np.testing.assert_allclose(back.samples, sound.samples, atol=tolerance)
    assert soundfile.info(tmp_path / f"a{ending}").subtype == f"PCM_{bits}"


@pytest.mark.parametrize("ending", [".ogg", ".mp3"])
def test_a_lossy_file_sounds_alike(tmp_path: Path, ending: str) -> None:
    sound = sine(seconds=2.0)
    sound.save(tmp_path / f"a{ending}")
    back = media.read_sound(tmp_path / f"a{ending}").mono
    spectrum = np.abs(np.fft.rfft(back))
    assert np.argmax(spectrum) * 48_000 / len(back) == pytest.approx(440, abs=2)
    assert np.std(back[5000:-5000]) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)


def test_resampling_keeps_pitch_and_level() -> None:
    slow = media.resample(sine(48_000, 1.0), 16_000)
    assert slow.samples.shape == (1, 16_000)
    t = np.arange(16_000) / 16_000
    np.testing.assert_allclose(slow.mono[500:-500], (0.5 * np.sin(2 * np.pi * 440 * t))[500:-500], atol=2e-3)


def test_clipping_is_said_and_never_becomes_normalisation(tmp_path: Path) -> None:
    loud = sine(peak=2.0)
    with pytest.warns(UserWarning, match=r"6\.0 dB above full scale"):
        loud.save(tmp_path / "loud.wav")
    back = media.read_sound(tmp_path / "loud.wav").mono
    np.testing.assert_allclose(back, np.clip(loud.mono, -1, 1), atol=5e-5)
    sine(peak=0.01).save(tmp_path / "soft.wav")
    assert np.abs(media.read_sound(tmp_path / "soft.wav").mono).max() == pytest.approx(0.01, rel=0.01)


def test_a_sound_that_a_format_cannot_hold_gets_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="MP3"):
        Sound(np.zeros((5, 100), np.float32), 44_100).save(tmp_path / "a.mp3")
    with pytest.raises(InputError, match="16 or 24 bits"):
        sine().save(tmp_path / "a.wav", bits=12)
    with pytest.raises(InputError, match="ends in"):
        sine().save(tmp_path / "a.aiff")
    with pytest.raises(InputError, match="no folder"):
        sine().save(tmp_path / "none" / "a.wav")
    with pytest.raises(InputError, match="is a folder"):
        (tmp_path / "d.wav").mkdir()
        sine().save(tmp_path / "d.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["d.wav"]


@QUICK
@given(data=st.binary(max_size=300), ending=st.sampled_from(["WAV", "FLAC", "OGG", "MP3"]), where=st.integers(0, 9000))
def test_no_bytes_crash_the_reader_of_sounds(data: bytes, ending: str, where: int) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, sine(8000, 0.2).mono, 8000, format=ending)
    good = buffer.getvalue()
    where %= len(good)
    for bytes_ in (data, good[:where] + data + good[where + len(data) :], good[:where]):
        try:
            assert isinstance(media.read_sound(bytes_), Sound)
        except InputError:
            pass


def test_a_wav_of_nan_is_refused() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(10, np.nan), 8000, format="WAV", subtype="FLOAT")
    with pytest.raises(InputError, match="NaN"):
        media.read_sound(buffer.getvalue())


def test_a_video_without_the_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"....ftyp")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"pip install 'synesthesia\[video\]'"):
        media.read_sound(tmp_path / "a.mp4")


def test_the_sound_of_a_video(tmp_path: Path) -> None:
    import av

    samples = sine(48_000, 1.0).samples
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        for start in range(0, 48_000, 1024):
            block = np.ascontiguousarray(samples[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            frame.rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    sound = media.read_sound(tmp_path / "a.mp4", rate=24_000)
    assert sound.rate == 24_000
    assert sound.seconds == pytest.approx(1.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(sound.mono))
    assert np.argmax(spectrum) / sound.seconds == pytest.approx(440, abs=3)
    (tmp_path / "broken.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:300])
    with pytest.raises(InputError, match="cannot be read as a video"):
        media.read_sound(tmp_path / "broken.mp4")


# --- whole or not at all ---------------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), media.atomic(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"
    media.check_writable(target)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"
