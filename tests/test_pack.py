"""Packing folders into shards: what goes in comes out, once, in one split, with its level and its truth."""

from __future__ import annotations

import contextlib
import json
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia import cli, data, media, shards
from synesthesia.data import pack
from synesthesia.senses import Example, Image, InputError, Sound

RATE = data.RATE


def noise(seed: int, seconds: float = 1.5) -> np.ndarray:
    """A noise with its own way of moving, which is what recordings are told apart by."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    return (0.02 * np.repeat(rng.exponential(1.0, n // 3200 + 1), 3200)[:n] * rng.standard_normal(n)).astype(np.float32)


def picture(seed: int, width: int = 40, height: int = 30) -> Image:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (4, 5, 3), dtype=np.uint8)
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 5 // width
    return Image(coarse[rows][:, columns])


def sound(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    media.write_sound(path, Sound(samples, rate))


def photo(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    media.write_image(path, image)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two kinds with photos and sounds, one with sounds alone, and photos of what makes no sound."""
    home = tmp_path / "mine"
    for n in range(5):
        sound(home / f"Grüße/{n}.wav", noise(n))
        photo(home / f"Grüße/deeper/{n}.png", picture(n))
        photo(home / f"silent/{n}.png", picture(50 + n))
    for n in range(3):
        sound(home / f"b/{n}.flac", noise(10 + n))
        photo(home / f"b/{n}.jpg", picture(10 + n))
    sound(home / "alone/x.ogg", noise(20))
    (home / "b/notes.txt").write_text("not read")
    (home / ".hidden").mkdir()
    return home


def packed(home: Path, out: Path, items: list[data.Item] | None = None) -> dict[str, list[Example]]:
    """The examples by the name of their file."""
    result = pack.pack(home, out, items=items, progress=False)
    found = defaultdict(list)
    for path in result.shards:
        for example in shards.examples(path):
            assert path.name.startswith(f"{example.truth['split']}-"), "a split has shards of its own"
            found[str(example.truth["file"])].append(example)
    return dict(found)


def test_every_photo_and_recording_comes_out_once(folder: Path, tmp_path: Path) -> None:
    found = packed(folder, tmp_path / "out")
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {"b/notes.txt"}
    assert set(found) == names
    for file, examples in found.items():
        (example,) = examples
        truth = example.truth
        assert truth["kind"] == file.split("/")[0]
        assert (truth["tier"], truth["licence"], truth["pairing"]) == ("own", "not stated", pack.BY_KIND)
        if Path(file).suffix in media.SOUNDS:
            assert example.image is shards.UNSEEN
            (got,) = example.sounds
            known = media.read_sound(folder / file).mono
            assert (got.rate, got.channels, truth["start"], truth["scale"]) == (RATE, 1, 0.0, 1.0)
            np.testing.assert_allclose(got.mono, known, atol=2 / 2**15)
        else:
            assert not example.sounds
            seen = example.image.pixels.astype(int)
            assert np.abs(seen - media.read_image(folder / file).pixels).mean() < 12, "JPEG loses a little"


def test_the_same_files_give_the_same_bytes_and_a_stopped_run_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "PER_SHARD", 4)
    first = pack.pack(folder, tmp_path / "a", progress=False)
    assert [p.name for p in first.shards][:2] == ["train-00000.tar", "train-00001.tar"]
    kept, redone = first.shards[0], first.shards[1]
    whole = {p.name: p.read_bytes() for p in first.shards}
    redone.unlink()
    (tmp_path / f"a/.{redone.name}.0123.part.tar").write_bytes(b"half a shard")
    before = kept.stat().st_mtime_ns
    second = pack.pack(folder, tmp_path / "a", progress=False)
    assert kept.stat().st_mtime_ns == before, "what is whole is kept"
    assert second.counts == first.counts
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted([*whole, "pack.json"])
    third = pack.pack(folder, tmp_path / "b", progress=False)
    assert {p.name: p.read_bytes() for p in third.shards} == whole == {p.name: p.read_bytes() for p in second.shards}


def test_a_folder_of_something_else_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pack.pack(folder, out, progress=False)
    sound(folder / "b/new.wav", noise(99))
    before = sorted(p.name for p in out.iterdir())
    with pytest.raises(InputError, match="packed from other files"):
        pack.pack(folder, out, progress=False)
    (out / "pack.json").unlink()
    with pytest.raises(InputError, match=r"no pack\.json"):
        pack.pack(folder, out, progress=False)
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"something else, such as thesis\.txt"):
        pack.pack(folder, out, progress=False)
    assert {p.name for p in out.iterdir()} == {*before, "thesis.txt"} - {"pack.json"}
    with pytest.raises(InputError, match="lies in"):
        pack.pack(folder, folder / "shards", progress=False)
    with pytest.raises(InputError, match="no folder"):
        pack.pack(tmp_path / "none", tmp_path / "c", progress=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nothing to pack"):
        pack.pack(tmp_path / "empty", tmp_path / "c", progress=False)
    assert not (tmp_path / "c").exists()


# --- splits -----------------------------------------------------------------------------------------------------------


def test_copies_of_a_recording_or_photo_share_a_split(tmp_path: Path) -> None:
    home = tmp_path / "mine"
    for n in range(12):
        sound(home / f"dog/{n}.wav", noise(n, 3.0))
        photo(home / f"dog/{n}.png", picture(n))
        sound(home / f"dog/cut{n}.wav", 0.3 * noise(n, 3.0)[12_800:])
        photo(home / f"dog/small{n}.png", picture(n, 80, 60))
        photo(home / f"cat/{n}.png", picture(n))  # of the same bytes, in another kind
    found = packed(home, tmp_path / "out")
    truth = {file: examples[0].truth for file, examples in found.items()}
    for n in range(12):
        assert truth[f"dog/{n}.wav"]["cluster"] == truth[f"dog/cut{n}.wav"]["cluster"]
        same = [truth[f]["cluster"] for f in (f"dog/{n}.png", f"dog/small{n}.png", f"cat/{n}.png")]
        assert len(set(same)) == 1
    for ending in (".wav", ".png"):
        splits = defaultdict(set)
        for file, t in truth.items():
            if file.endswith(ending):
                splits[t["cluster"]].add(t["split"])
        assert all(len(s) == 1 for s in splits.values())
        assert len(splits) == 12, "and only copies"
        assert {split for (split,) in splits.values()} == set(data.SPLITS)


def test_what_a_kind_lacks_is_said(folder: Path, tmp_path: Path) -> None:
    for n in range(3):
        photo(folder / f"mute/{n}.png", picture(30 + n))
    result = pack.pack(folder, tmp_path / "out", progress=False)
    count = {c.kind: c for c in result.counts}
    assert {k: (c.photos, c.recordings, sum(c.clusters.values())) for k, c in count.items()} == {
        "Grüße": (5, 5, 5), "b": (3, 3, 3), "alone": (0, 1, 1), "mute": (3, 0, 0), "silent": (5, 0, 0),
    }  # fmt: skip
    assert {k: pack.lacks(c) for k, c in count.items()} == {
        "Grüße": "", "b": "", "silent": "", "mute": "no recordings",
        "alone": "no photos, a single recording: it cannot be measured",
    }  # fmt: skip
    assert count["Grüße"].clusters == {"train": 3, "judge": 1, "test": 1}
    text = pack.report(result)
    assert [line for line in text.splitlines() if line.startswith("alone") and "a single recording" in line]


def test_what_cannot_be_read_is_left_out_with_a_reason(folder: Path, tmp_path: Path) -> None:
    (folder / "b/broken.wav").write_bytes(b"RIFF nothing")
    (folder / "b/broken.jpg").write_bytes(b"\xff\xd8 nothing")
    sound(folder / "b/hush.wav", np.zeros(RATE, np.float32))
    sound(folder / "silent/roar.wav", noise(40))
    sound(folder / "loose.wav", noise(41))
    result = pack.pack(folder, tmp_path / "out", progress=False)
    reasons = dict(result.left_out)
    assert set(reasons) == {"b/broken.wav", "b/broken.jpg", "b/hush.wav", "silent/roar.wav", "loose.wav"}
    assert reasons["b/hush.wav"] == "it is silent"
    assert "no folder that names its kind" in reasons["loose.wav"]
    assert "left out: b/broken.wav: " in pack.report(result)


# --- examples ---------------------------------------------------------------------------------------------------------


def test_long_recordings_are_cut_without_losing_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "LONGEST_PIECE", 1.0)
    samples = noise(0, 3.3)
    sound(tmp_path / "mine/dog/long.wav", samples)
    pieces = packed(tmp_path / "mine", tmp_path / "out")["dog/long.wav"]
    assert len(pieces) == 4
    assert all(piece.sounds[0].seconds <= 1.0 for piece in pieces)
    np.testing.assert_allclose(np.concatenate([p.sounds[0].mono for p in pieces]), samples, atol=2 / 2**15)
    starts = np.cumsum([0.0, *(p.sounds[0].seconds for p in pieces)])[:-1]
    assert [p.truth["start"] for p in pieces] == pytest.approx(list(starts))
    assert len({p.truth["cluster"] for p in pieces}) == 1
    assert len({p.key for p in pieces}) == 4


def test_levels_survive_rates_channels_and_overload(tmp_path: Path) -> None:
    t = np.arange(48_000) / 48_000
    tone = np.sin(2 * np.pi * 440 * t)
    sound(tmp_path / "mine/a/stereo.wav", np.stack([0.2 * tone, 0.4 * tone]), 48_000)
    import soundfile

    soundfile.write(tmp_path / "mine/a/loud.wav", 2.5 * tone, 48_000, subtype="FLOAT")
    for file, level in (("a/stereo.wav", 0.3), ("a/loud.wav", 2.5)):
        (example,) = packed(tmp_path / "mine", tmp_path / f"out-{level}")[file]
        scale = example.truth["scale"]
        assert isinstance(scale, float)
        assert example.sounds[0].rate == RATE
        assert (scale * example.sounds[0].mono)[1000:-1000].std() * np.sqrt(2) == pytest.approx(level, rel=1e-3)


def test_large_photos_are_reduced_in_proportion_and_ribbons_stay_pictures(tmp_path: Path) -> None:
    home = tmp_path / "mine"
    photo(home / "a/wide.png", picture(1, 1600, 800))
    photo(home / "a/ribbon.png", picture(2, 3000, 20))
    photo(home / "a/small.png", picture(3, 100, 50))
    sizes = {f: (e.image.width, e.image.height) for f, (e,) in packed(home, tmp_path / "out").items()}
    assert sizes == {"a/wide.png": (512, 256), "a/ribbon.png": (512, 16), "a/small.png": (100, 50)}
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.unique(pack._reduced(Image(stripes))).tolist() == [100], "the mean of what a pixel covers"


# --- tables -----------------------------------------------------------------------------------------------------------


def row(file: str, sense: str, split: str, **changed: str) -> data.Item:
    values = {
        "file": file, "sense": sense, "kind": "dog", "split": split, "cluster": file, "tier": "open", "licence": "CC0",
        "author": "", "repository": "o/r", "commit": "", "path": file, "git_blob": "",
    }  # fmt: skip
    return data.Item(**{**values, **changed})  # ty: ignore[invalid-argument-type]


def test_a_table_says_kind_split_cluster_and_tier(tmp_path: Path) -> None:
    home = tmp_path / "data"
    sound(home / "s/1.ogg", noise(1))
    sound(home / "s/2.ogg", noise(1))  # the same, but the table knows better
    photo(home / "p/1.jpg", picture(1))
    with zipfile.ZipFile(home / "small.zip", "w") as file:
        for n in range(20):
            photo(tmp_path / "x.webp", picture(n, 64, 64))
            file.write(tmp_path / "x.webp", f"n01/n01_{n}.webp")
    items = [
        row("s/1.ogg", "sound", "train", cluster="one"),
        row("s/2.ogg", "sound", "test", tier="never", licence="none stated"),
        row("p/1.jpg", "photo", "judge", kind="silent", tier="research"),
        row("small.zip!n01/*", "photo", "*", kind="cat"),
        row("s/3.ogg", "sound", "train"),
    ]
    found = packed(home, tmp_path / "out", items)
    for item in items[:3]:
        (example,) = found[item.file]
        told = {"kind", "split", "cluster", "tier", "licence", "file"}
        assert {name: example.truth[name] for name in told} == {name: getattr(item, name) for name in told}
    small = found["small.zip!n01/*"]
    assert [e.truth["split"] for e in small] == ["train"] * 16 + ["judge"] * 2 + ["test"] * 2
    assert len({e.truth["cluster"] for e in small}) == 20, "each is a photo of its own"
    assert small[0].image.width == 64
    assert pack.pack(home, tmp_path / "out", items=items, progress=False).left_out == (("s/3.ogg", "it is not there"),)
    with pytest.raises(InputError, match=r"nothing to pack.*not there"):
        pack.pack(home, tmp_path / "none", items=items[4:], progress=False)


def test_a_table_of_nothing_but_broken_files_gives_no_example(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.ogg").write_bytes(b"OggS nothing")
    result = pack.pack(tmp_path / "data", tmp_path / "out", items=[row("a.ogg", "sound", "train")], progress=False)
    assert result.counts == ()
    assert [file for file, _ in result.left_out] == ["a.ogg"]
    assert "left out: a.ogg" in pack.report(result)
    assert not list(shards.examples(tmp_path / "out"))


@pytest.mark.data
def test_real_rows_of_the_starter_table(tmp_path: Path) -> None:
    gulls = [i for i in data.starter() if i.kind == "gull"]
    items = [next(i for i in gulls if i.sense == "sound"), *(i for i in gulls if i.sense == "photo")]
    found = packed(DATA, tmp_path / "out", items)
    assert set(found) == {i.file for i in items}
    assert sum(map(len, found.values())) >= 160


# --- videos -----------------------------------------------------------------------------------------------------------


def video(path: Path, seconds: float, *, mute: bool = False, turned: int = 0) -> None:
    """Grey brightens by 20 a second; the tone rises by 100 Hz a second from 300 Hz."""
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        pictures = out.add_stream("mpeg4", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sounds = None if mute else out.add_stream("aac", rate=32_000)
        if sounds is not None:
            sounds.layout = "mono"
        for n in range(round(10 * seconds)):
            grey = np.full((48, 64, 3), 20 + 2 * n, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts = n
            out.mux(pictures.encode(frame))
        out.mux(pictures.encode(None))
        if sounds is not None:
            t = np.arange(round(32_000 * seconds)) / 32_000
            wave = (0.3 * np.sin(2 * np.pi * (300 * t + 50 * t**2))).astype(np.float32)
            for start in range(0, len(wave), 1024):
                part = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
                part.sample_rate, part.pts = 32_000, start
                out.mux(sounds.encode(part))
            out.mux(sounds.encode(None))


def test_the_moments_of_a_video_are_seen_and_heard_together(tmp_path: Path) -> None:
    video(tmp_path / "mine/a.mp4", 9.0)
    video(tmp_path / "mine/street/b.mp4", 3.0)
    video(tmp_path / "mine/street/mute.mp4", 3.0, mute=True)
    found = packed(tmp_path / "mine", tmp_path / "out")
    assert {file: len(moments) for file, moments in found.items()} == {"a.mp4": 2, "street/b.mp4": 1}
    assert found["street/b.mp4"][0].truth["kind"] == "street"
    for n, moment in enumerate(found["a.mp4"]):
        middle = 2.25 + 4.5 * n
        assert moment.truth["pairing"] == pack.TOGETHER
        assert moment.truth["kind"] == "a.mp4"
        assert moment.sounds[0].seconds == pytest.approx(4.5, abs=0.1)
        assert np.mean(moment.image.pixels) == pytest.approx(20 + 20 * middle, abs=5)
        wave = moment.sounds[0].mono
        centre = wave[len(wave) // 2 - 4096 : len(wave) // 2 + 4096]
        hertz = np.abs(np.fft.rfft(centre * np.hanning(8192))).argmax() * RATE / 8192
        assert hertz == pytest.approx(300 + 100 * middle, abs=15), "the picture is of the middle of its sound"
    assert found["a.mp4"][0].truth["cluster"] == found["a.mp4"][1].truth["cluster"]


def test_videos_without_the_extra_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.mp4").write_bytes(b"anything")
    with pytest.raises(InputError, match=r"synesthesia\[video\]"):
        pack.pack(tmp_path / "mine", tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_what_is_no_video_is_left_out(tmp_path: Path) -> None:
    pytest.importorskip("av")
    video(tmp_path / "mine/a.mp4", 2.0)
    (tmp_path / "mine/b.mp4").write_bytes(b"nothing of a video")
    assert set(packed(tmp_path / "mine", tmp_path / "out")) == {"a.mp4"}
    with pytest.raises(InputError, match="cannot be read as a video"):
        next(media.video_pictures(tmp_path / "mine/b.mp4", [0.0]))


# --- anything at all --------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b/c", "silent", "é", "b.c"]),
            st.sampled_from([".wav", ".jpg", ".ogg", ".png", ".txt"]),
            st.binary(max_size=60),
        ),
        max_size=4,
    )
)
def test_hostile_files_are_left_out(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[str, str, bytes]]
) -> None:
    home = tmp_path_factory.mktemp("any")
    photo(home / "mine/good/1.png", picture(1))
    for n, (kind, ending, content) in enumerate(files):
        path = home / "mine" / kind / f"{n}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    result = pack.pack(home / "mine", home / "out", progress=False)
    assert [c.kind for c in result.counts] == ["good"]
    assert len(result.left_out) == sum(ending != ".txt" for _, ending, _ in files)


@settings(max_examples=20, deadline=None)
@given(
    st.binary(max_size=80)
    | st.dictionaries(st.sampled_from(["files", "sha256", "version"]), st.integers()).map(
        lambda d: json.dumps(d).encode()
    )
)
def test_any_pack_json_is_refused_or_right(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    home = tmp_path_factory.mktemp("any")
    photo(home / "mine/good/1.png", picture(1))
    (home / "out").mkdir()
    (home / "out/pack.json").write_bytes(content)
    with contextlib.suppress(InputError):
        pack.pack(home / "mine", home / "out", progress=False)
        pytest.fail("no such file is of this packing")


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "pack", str(folder), "-o", str(tmp_path / "out")]) == 0
    assert "shards in" in capsys.readouterr().out
    assert cli.main(["data", "pack", str(folder), "-o", str(tmp_path / "two"), "--table", "starter"]) == 2
    assert "nothing to pack" in capsys.readouterr().err
