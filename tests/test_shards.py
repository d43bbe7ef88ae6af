"""Shards: what is written comes back, and nothing hostile gets further than an InputError."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia import shards
from synesthesia.senses import Example, Image, InputError, Sound

SIDE = 20
RNG = np.random.default_rng(5)
PIXELS = np.broadcast_to(np.linspace(0, 255, SIDE).astype(np.uint8)[:, None, None], (SIDE, SIDE, 3))
DEPTH = RNG.integers(0, 2**16, (SIDE, SIDE), dtype=np.uint16)
NORMAL = RNG.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
MASK = RNG.integers(0, 4, (SIDE, SIDE), dtype=np.uint8)
ARRAYS = {"frequency": np.array([220.0, 603.5], np.float32), "gain": np.ones((6, 2), np.float32), "count": np.int64(3)}
TRUTH = {"depth_scale": 1e-4, "camera": {"fov_deg": 40.0}, "group": "métal", "size": 0.25, "hollow": True}
HITS = [Sound(RNG.uniform(-1, 1, 64), 48_000) for _ in range(11)]

MEMBERS: dict[str, bytes] = {
    "jpg": shards.encode_jpeg(PIXELS),
    "depth.png": shards.encode_png(DEPTH),
    "normal.png": shards.encode_png(NORMAL),
    "mask.png": shards.encode_png(MASK),
    "json": shards.encode_json(TRUTH),
    "safetensors": shards.encode_arrays({name: np.asarray(array) for name, array in ARRAYS.items()}),
    "hit0.flac": shards.encode_flac(HITS[0]),
}


def members(**changed: bytes | None) -> dict[str, bytes]:
    """The good members with some replaced, or left out for None; `_` stands for the dot in an ending."""
    both = {**MEMBERS, **{ending.replace("_", "."): data for ending, data in changed.items()}}
    return {ending: data for ending, data in both.items() if data is not None}


def tar(path: Path, *entries: tuple[str, bytes], form: int = tarfile.USTAR_FORMAT, **header: object) -> Path:
    """A tar file that Python's own writer makes, with any names and kinds."""
    with tarfile.open(path, "w", format=form) as file:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in header.items():
                setattr(info, field, value)
            file.addfile(info, io.BytesIO(data))
    return path


def read(path: Path) -> list[Example]:
    return list(shards.examples(path))


def refused(path: Path | str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        list(shards.examples(path))


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    return tmp_path / "train-00000.tar"


# --- what is written comes back --------------------------------------------------------------------------------------


def test_round_trip(shard: Path) -> None:
    hits = {f"hit{n}.flac": shards.encode_flac(HITS[n]) for n in (10, 9, 1)}  # 10 comes after 9, not after 1
    shards.write(shard, [("a-0", members(**hits)), ("a-1", {"jpg": MEMBERS["jpg"]})])
    first, second = shards.examples(str(shard))
    assert (first.key, second.key) == ("a-0", "a-1")
    assert first.truth == TRUTH
    assert np.abs(first.image.pixels.astype(int) - PIXELS).max() <= 8  # JPEG loses a little
    assert first.arrays["depth"].dtype == np.float32
    np.testing.assert_allclose(first.arrays["depth"], DEPTH * 1e-4, rtol=1e-6)
    np.testing.assert_allclose(first.arrays["normal"], NORMAL / 127.5 - 1, atol=1e-6)
    assert abs(first.arrays["normal"]).max() <= 1
    np.testing.assert_array_equal(first.arrays["mask"], MASK)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(first.arrays[name], array)
        assert first.arrays[name].dtype == array.dtype
        assert first.arrays[name].shape == array.shape
    assert [sound.rate for sound in first.sounds] == [48_000] * 4
    for sound, n in zip(first.sounds, (0, 1, 9, 10), strict=True):
        np.testing.assert_allclose(sound.samples, HITS[n].samples, atol=1 / 2**15)
    assert (second.truth, second.arrays, second.sounds) == ({}, {}, ())


def test_the_same_items_give_the_same_bytes_with_an_anonymous_header(shard: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.tar"
    shards.write(shard, [("a", MEMBERS), ("b", MEMBERS)])
    os.utime(shard, (1, 1))
    shards.write(other, iter([("a", dict(MEMBERS)), ("b", dict(MEMBERS))]))
    assert shard.read_bytes() == other.read_bytes()
    with tarfile.open(other) as file:
        infos = file.getmembers()
    assert [info.name for info in infos] == [f"{key}.{ending}" for key in "ab" for ending in MEMBERS]
    assert {(i.mtime, i.uid, i.gid, i.uname, i.gname, i.mode) for i in infos} == {(0, 0, 0, "", "", 0o644)}
    assert shards.encode_json({"b": 1, "a": [0.5]}) == b'{"a":[0.5],"b":1}'


def test_a_folder_is_read_in_the_order_of_names_without_files_being_written(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        shards.write(tmp_path / f"{name}.tar", [(name, MEMBERS)])
    (tmp_path / ".d.tar.0123.part.tar").write_bytes(b"half a shard")
    (tmp_path / "notes.txt").write_text("not a shard")
    assert [example.key for example in read(tmp_path)] == ["a", "b", "c"]


def test_a_recording_needs_no_picture(shard: Path) -> None:
    shards.write(shard, [("a", {"json": b"{}", "hit0.flac": MEMBERS["hit0.flac"]}), ("b", {"jpg": MEMBERS["jpg"]})])
    heard, seen = read(shard)
    assert heard.image is shards.UNSEEN
    np.testing.assert_allclose(heard.sounds[0].samples, HITS[0].samples, atol=1 / 2**15)
    assert (seen.image.width, seen.sounds) == (SIDE, ())
    (left, _) = shards.examples(shard, only={"json"})
    assert (left.image, left.sounds) == (shards.UNSEEN, ())


def test_an_interrupted_write_leaves_the_old_shard(shard: Path) -> None:
    shards.write(shard, [("old", MEMBERS)])

    def items():
        yield "new", MEMBERS
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shards.write(shard, items())
    assert [example.key for example in read(shard)] == ["old"]
    assert os.listdir(shard.parent) == [shard.name]


def test_only_decodes_the_named_endings(shard: Path) -> None:
    broken = members(hit0_flac=b"never looked at", normal_png=b"nor this")
    shards.write(shard, [("a", broken)])
    (example,) = shards.examples(shard, only={"jpg", "json", "safetensors", "mask.png"})
    assert set(example.arrays) == {*ARRAYS, "mask"}
    assert (example.truth, example.sounds) == (TRUTH, ())
    (example,) = shards.examples(shard, only={"depth.png"})
    assert example.image is shards.UNSEEN
    np.testing.assert_allclose(example.arrays["depth"], DEPTH * 1e-4, rtol=1e-6)
    with pytest.raises(InputError, match="no ending 'png'"):
        shards.examples(shard, only={"png"})
    refused(shard, r"a\.normal\.png is not a PNG")


def test_shards_of_other_writers(shard: Path) -> None:
    entries = [(f"clé.{ending}", data) for ending, data in MEMBERS.items()]
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):  # WebDataset's writer: pax, with fractional times
        tar(shard, *entries, form=form, mtime=1.7e9 + 0.25, uname="someone", mode=0o444)
        (example,) = read(shard)
        assert (example.key, example.truth) == ("clé", TRUTH)
    tar(shard, ("k" * 190 + ".jpg", MEMBERS["jpg"]), form=tarfile.PAX_FORMAT)
    assert read(shard)[0].key == "k" * 190


def test_a_point_map_of_a_slanted_plane() -> None:
    # The plane z = -3 + x/2 + y/4. A ray through the pixel at (u, v, -1) meets it at the depth d = 3 / (1 + u/2 + v/4).
    size = 64
    half = np.tan(np.radians(50) / 2)
    grid = (np.arange(size) + 0.5) / size * 2 - 1
    u, v = np.meshgrid(grid * half, -grid * half)
    depth = (3 / (1 + u / 2 + v / 4)).astype(np.float32)
    example = Example("plane", shards.UNSEEN, truth={"camera": {"fov_deg": 50}}, arrays={"depth": depth})
    points = shards.point_map(example)
    assert points.shape == (size, size, 3)
    assert points.dtype == np.float32
    x, y, z = np.moveaxis(points, -1, 0)
    np.testing.assert_allclose(z, -3 + x / 2 + y / 4, atol=1e-5)
    assert (np.diff(x, axis=1) > 0).all()  # x to the right
    assert (np.diff(y, axis=0) < 0).all()  # y up, rows down
    wall = Example("wall", shards.UNSEEN, truth=example.truth, arrays={"depth": np.full((2, 4), 2, np.float32)})
    flat = shards.point_map(wall)
    np.testing.assert_allclose(flat[0, :, 0], np.array([-1.5, -0.5, 0.5, 1.5]) * 2 * half, rtol=1e-6)
    np.testing.assert_allclose(flat[:, 0, 1], np.array([0.5, -0.5]) * 2 * half, rtol=1e-6)


@pytest.mark.parametrize("camera", [None, 3, {}, {"fov_deg": "wide"}, {"fov_deg": 180}, {"fov_deg": 10**400}])
def test_a_point_map_needs_depth_and_a_camera(camera: object) -> None:
    depth = {"depth": np.ones((4, 4), np.float32)}
    with pytest.raises(InputError, match="field of view"):
        shards.point_map(Example("a", shards.UNSEEN, truth={"camera": camera}, arrays=depth))
    with pytest.raises(InputError, match="no depth map"):
        shards.point_map(Example("a", shards.UNSEEN, truth=TRUTH))


# --- refusals --------------------------------------------------------------------------------------------------------


class Trap:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, ("trapped",)


@pytest.mark.parametrize(
    "ending", ["pkl", "pyd", "pickle", "pt", "pth", "npy", "npz", "cbor", "jpeg", "png", "txt", ""]
)
def test_other_endings_are_refused(shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    monkeypatch.chdir(tmp_path)
    refused(tar(shard, ("a.jpg", MEMBERS["jpg"]), (f"a.{ending}", pickle.dumps(Trap()))), "ending that is not read")
    assert not (tmp_path / "trapped").exists()


def test_a_pickle_under_an_allowed_ending_is_not_run(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for ending in MEMBERS:
        shards.write(shard, [("a", {**MEMBERS, ending: pickle.dumps(Trap())})])
        refused(shard, rf"a\.{ending}")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    "source",
    ["pipe:cat x", "pipe:touch trapped; cat x.tar", "http://example.org/a.tar", "file:///a.tar", "s3://b/a.tar"],
)
def test_pipes_and_addresses_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="never opened"):  # at once, not with the first example
        shards.examples(source)
    with pytest.raises(InputError, match="never opened"):
        shards.examples(Path(source))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["../x.json", "/x.json", "a/b.jpg", "..", "..json", "./a.jpg", "a\\b.jpg", ".jpg", "a\nb.jpg", "C:\\x.jpg"]
)
def test_names_that_climb_are_refused(shard: Path, name: str) -> None:
    refused(tar(shard, (name, MEMBERS["jpg"])), "not a member name")
    refused(
        tar(shard, (name, MEMBERS["jpg"]), form=tarfile.PAX_FORMAT, pax_headers={"path": name}), "not a member name"
    )


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE,
     tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE],
)  # fmt: skip
def test_links_and_devices_are_refused(shard: Path, kind: bytes) -> None:
    refused(tar(shard, ("a.jpg", b""), type=kind, linkname="/etc/passwd"), "regular files only")


def test_only_whole_tar_files_are_read(shard: Path, tmp_path: Path) -> None:
    shards.write(shard, [("a", {"jpg": MEMBERS["jpg"]}), ("b", {"jpg": MEMBERS["jpg"]})])
    good = shard.read_bytes()
    used = 2 * (512 + len(MEMBERS["jpg"]) + -len(MEMBERS["jpg"]) % 512)
    for end in [*range(0, used, 97), used, used + 512, used + 1023]:
        shard.write_bytes(good[:end])
        refused(shard, "cut off")
    shard.write_bytes(good[: used + 1024])  # padding to whole records is not needed
    assert len(read(shard)) == 2
    shard.write_bytes(good + good)
    refused(shard, "behind its end")
    shard.write_bytes(b"x" + good[1:])
    refused(shard, "checksum")
    shard.write_bytes(zlib.compress(bytes(2000)) * 100)
    refused(shard, "not a tar file")

    refused(tmp_path / "none.tar", "Cannot read")
    refused(tmp_path / "shard.zip", "does not end in .tar")
    refused("a\0.tar", "Cannot read")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no shards")
    os.mkfifo(tmp_path / "pipe.tar")
    refused(tmp_path / "pipe.tar", "not a regular file")


def test_names_and_groups(shard: Path) -> None:
    jpg, json = ("a.jpg", MEMBERS["jpg"]), ("a.json", b"{}")
    refused(tar(shard, jpg, json, json), "two members named 'a.json'")
    refused(tar(shard, jpg, ("b.jpg", MEMBERS["jpg"]), json), "lie together")
    refused(tar(shard, json), "no picture")
    refused(tar(shard, ("k" * 201 + ".jpg", MEMBERS["jpg"]), form=tarfile.PAX_FORMAT), "201 characters")


def test_sizes_are_limited_before_reading(shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = tarfile.TarInfo("a.jpg")
    header.size = shards.MAX_MEMBER + 1
    shard.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + bytes(1024))
    refused(shard, "the limit is 64 MB")
    header.size = 2**40  # beyond 11 octal digits: base 256
    shard.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    refused(shard, "not octal")
    refused(tar(shard, ("a.jpg", b""), form=tarfile.PAX_FORMAT, pax_headers={"size": "99"}), "sparse or very large")
    refused(tar(shard, ("a.jpg", b""), form=tarfile.PAX_FORMAT, pax_headers={"comment": "c" * 70_000}), "too long")
    shards.write(shard, [("a", MEMBERS)])
    monkeypatch.setattr(shards, "MAX_GROUP", 1000)
    refused(shard, "together")


def png(array: np.ndarray) -> bytes:
    return shards.encode_png(array)


@pytest.mark.parametrize(
    ("ending", "data", "words"),
    [
        ("json", b"[]", "no JSON object"),
        ("json", b'{"a":NaN}', "finite"),
        ("json", b'{"a":-Infinity}', "finite"),
        ("json", b'{"a":1e999}', "finite"),
        ("json", b'{"a":' + b"9" * 5000 + b"}", "finite"),
        ("json", b"{", "JSON"),
        ("json", b"\xff{}", "JSON"),
        ("json", b"[" * 100_000, "JSON"),
        ("json", b'{"a":"' + b"a" * 2**20 + b'"}', "the limit"),
        ("json", b"{}", "needs a depth_scale"),
        ("json", b'{"depth_scale":true}', "needs a depth_scale"),
        ("json", b'{"depth_scale":0}', "needs a depth_scale"),
        ("json", b'{"depth_scale":' + b"9" * 400 + b"}", "needs a depth_scale"),
        ("jpg", png(NORMAL), "not a JPEG"),
        ("jpg", MEMBERS["jpg"][:200], "cannot be read"),
        ("depth.png", png(MASK), "16-bit grey"),
        ("depth.png", png(NORMAL), "16-bit grey"),
        ("normal.png", png(DEPTH), "8-bit RGB"),
        ("mask.png", png(NORMAL), "8-bit grey"),
        ("mask.png", MEMBERS["jpg"], "8-bit grey"),
        ("mask.png", MEMBERS["mask.png"][:-30], "damaged"),
        ("mask.png", MEMBERS["mask.png"][:16] + b"\0\1\0\0\0\1\0\0" + MEMBERS["mask.png"][24:], "the limit"),
        ("safetensors", b"PK\3\4 a pickle of torch", "pickle"),
        ("safetensors", MEMBERS["safetensors"][:-1], "safetensors"),
        ("safetensors", MEMBERS["safetensors"].replace(b'"frequency"', b'"depth"    '), "named depth"),
        ("hit0.flac", b"RIFF" + bytes(60), "not a FLAC"),
        ("hit0.flac", MEMBERS["hit0.flac"][:60], "hit0"),
        ("hit0.flac", MEMBERS["hit0.flac"][:21] + b"\xff" * 5 + MEMBERS["hit0.flac"][26:], "claims"),
    ],
)
def test_wrong_contents_are_refused(shard: Path, ending: str, data: bytes, words: str) -> None:
    shards.write(shard, [("a", {**MEMBERS, ending: data})])
    refused(shard, words)


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([("a", MEMBERS), ("a", MEMBERS)], "twice"),
        ([("a.b", MEMBERS)], "a dot"),
        ([("a.mask", {"jpg": b"", "png": b""})], "a dot"),
        ([("../a", MEMBERS)], "a dot"),
        ([("b/a", MEMBERS)], "not a member name"),
        ([("", MEMBERS)], "not a member name"),
        ([("a", {"jpg": b"", "pkl": b""})], "not read"),
        ([("a", {"json": b"{}"})], "no picture"),
        ([("k" * 100, MEMBERS)], "100 bytes"),
        ([("k" * 201, MEMBERS)], "201 characters"),
        ([("a", {"jpg": bytes(shards.MAX_MEMBER + 1)})], "exceeds 64 MB"),
    ],
)
def test_what_could_not_be_read_is_not_written(
    shard: Path, items: list[tuple[str, dict[str, bytes]]], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        shards.write(shard, items)
    assert os.listdir(shard.parent) == []


@pytest.mark.parametrize(
    ("encode", "words"),
    [
        (lambda: shards.encode_json({"a": float("nan")}), "finite"),
        (lambda: shards.encode_json({"a": [np.float64("inf")]}), "finite"),
        (lambda: shards.encode_json({"a": MASK}), "finite"),
        (lambda: shards.encode_json({"a": "a" * 2**20}), "the limit"),
        (lambda: shards.encode_png(MASK.astype(np.float32)), "A map is"),
        (lambda: shards.encode_png(np.zeros((4, 4, 4), np.uint8)), "A map is"),
        (lambda: shards.encode_arrays({"mask": MASK}), "named mask"),
        (lambda: shards.encode_arrays({"a": np.array(["text"])}), "safetensors"),
        (lambda: shards.encode_flac(Sound(np.array([0.0, -1.01]), 48_000)), "peak is 1.01"),
        (lambda: shards.encode_flac(Sound(np.zeros((1, 0)), 48_000)), "0 samples"),
        (lambda: shards.encode_flac(Sound(np.zeros((9, 64)), 48_000)), "9 channels"),
    ],
)
def test_what_cannot_be_encoded(encode: Callable[[], bytes], words: str) -> None:
    with pytest.raises(InputError, match=words):
        encode()


# --- any bytes at all ------------------------------------------------------------------------------------------------


def survive(data: bytes) -> None:
    """Reading these bytes gives examples or an InputError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tar"
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            for example in shards.examples(path):
                assert isinstance(example.image, Image)
                shards.point_map(example)


def checked(header: bytes) -> bytes:
    """The header with its checksum put right, so that a mutation gets past it."""
    blank = header[:148] + b" " * 8 + header[156:]
    return header[:148] + b"%06o\0 " % sum(blank) + header[156:]


GOOD = Path(tempfile.mkdtemp()) / "good.tar"
shards.write(GOOD, [("a", MEMBERS), ("b", MEMBERS)])
BYTES = GOOD.read_bytes()
GOOD.unlink()
GOOD.parent.rmdir()
USED = len(BYTES.rstrip(b"\0")) + 512


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=2000), st.booleans())
def test_any_bytes(data: bytes, header: bool) -> None:
    block = data[:512].ljust(512, b"\0")
    survive(checked(block[:257] + b"ustar\x0000" + block[265:]) + data[512:] if header else data)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, USED - 1), st.binary(min_size=1, max_size=6)), min_size=1, max_size=4),
    st.one_of(st.none(), st.integers(0, len(BYTES))),
)
def test_any_change_of_a_good_shard(changes: list[tuple[int, bytes]], end: int | None) -> None:
    data = bytearray(BYTES)
    for place, new in changes:
        data[place : place + len(new)] = new
    survive(bytes(data[:end]))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 511), st.binary(min_size=1, max_size=12))
def test_any_change_of_a_header_with_a_right_checksum(place: int, new: bytes) -> None:
    header = (BYTES[:place] + new + BYTES[place + len(new) :])[:512]
    survive(checked(header) + BYTES[512:])


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(MEMBERS)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), min_size=1, max_size=3),
    st.floats(0, 1),
    st.booleans(),
)
def test_any_change_of_a_member(ending: str, changes: list[tuple[float, bytes]], part: float, cut: bool) -> None:
    data = bytearray(MEMBERS[ending])
    for place, new in changes:
        start = int(place * len(data))
        data[start : start + len(new)] = new
    if cut:
        data = data[: int(part * len(data))]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as file:
        for name, content in {**MEMBERS, ending: bytes(data)}.items():
            info = tarfile.TarInfo(f"a.{name}")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    survive(buffer.getvalue())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_pax_records(records: bytes) -> None:
    info = tarfile.TarInfo("PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    header = info.tobuf(tarfile.USTAR_FORMAT)
    survive(header + records + bytes(-len(records) % 512) + BYTES)
