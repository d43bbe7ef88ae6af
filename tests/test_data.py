"""The table of recordings and photos: what it promises, how it is read, and how splits are drawn."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia import data, media
from synesthesia.data import catalogue, clusters, table
from synesthesia.metrics import copies
from synesthesia.senses import Image, InputError, Sound

ROW = data.Item(
    "sounds/a.flac", "sound", "dog", "train", "a", "open", "CC0", "somebody", "o/r", "c0ffee", "a.wav", "b10b"
)


def pictured() -> list[str]:
    return [kind.name for kind in data.KINDS.values() if kind.photos and not kind.procedural]


# --- the starter table -----------------------------------------------------------------------------------------------


def test_at_least_25_kinds_can_be_learned_and_measured() -> None:
    items = data.starter()
    whole = [
        kind
        for kind in pictured()
        if all(data.choose(items, "sound", kind, s) for s in ("train", "test"))
        and data.choose(items, "photo", kind, "train")
    ]
    assert len(whole) >= 25
    assert sum(bool(data.choose(items, "sound", kind, "judge")) for kind in whole) >= 25


def test_no_recording_is_in_two_splits() -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    for item in data.starter():
        splits[item.cluster].add(item.split)
    assert all(len(s) == 1 for s in splits.values())


def test_what_may_never_be_trained_on_is_not() -> None:
    items = data.starter()
    assert any(item.tier == "never" for item in items)
    assert not [item for item in items if item.tier == "never" and item.split == "train"]
    assert not [item for item in data.choose(items, "sound", "dog", "train", tiers=("open",)) if item.tier != "open"]


def test_every_row_says_where_it_comes_from_and_no_row_names_a_machine() -> None:
    for item in data.starter():
        assert item.licence
        assert item.repository
        assert item.path
        assert item.split == "*" or len(item.git_blob) == 40
        assert not item.file.startswith(("/", "~"))


def test_kinds_without_photos_are_marked() -> None:
    items = data.starter()
    for kind in data.KINDS.values():
        photos = [i for i in items if i.sense == "photo" and i.kind == kind.name and i.tier != "never"]
        assert photos or kind.procedural, kind.name
    for name in ("fire", "rain", "wind", "thunder", "river"):
        assert data.KINDS[name].procedural


def test_a_class_of_photos_belongs_to_one_kind() -> None:
    names = [photo for kind in data.KINDS.values() for photo in kind.photos] + list(data.SILENT)
    assert len(names) == len(set(names))


# --- reading and writing ----------------------------------------------------------------------------------------------


def test_a_table_comes_back(tmp_path: Path) -> None:
    items = data.starter()
    data.write(tmp_path / "t.csv", items)
    assert data.read(tmp_path / "t.csv") == items


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"file": "../secret.wav"}, "not the name"),
        ({"file": "/etc/passwd"}, "not the name"),
        ({"file": "c:\\a.wav"}, "backslash"),
        ({"file": "https://a/b.wav"}, "colon"),
        ({"kind": "dragon"}, "no kind"),
        ({"sense": "smell"}, "sense is one of"),
        ({"split": "*"}, "numbered photos"),
        ({"split": "exam"}, "split is one of"),
        ({"tier": "free"}, "tier is one of"),
        ({"tier": "never"}, "never be trained on"),
    ],
)
def test_a_bad_row_is_a_sentence(changed: dict[str, str], message: str) -> None:
    values = {**{c: getattr(ROW, c) for c in table.COLUMNS}, **changed}
    with pytest.raises(InputError, match=message):
        data.read((",".join(table.COLUMNS) + "\n" + ",".join(values.values()) + "\n").encode())


def test_a_file_named_twice_is_refused(tmp_path: Path) -> None:
    data.write(tmp_path / "t.csv", [ROW, ROW])
    with pytest.raises(InputError, match="twice"):
        data.read(tmp_path / "t.csv")


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200), st.text(max_size=200).map(lambda t: (",".join(table.COLUMNS) + "\n" + t).encode())
    )
)
def test_hostile_tables_are_read_or_refused(text: bytes) -> None:
    try:
        data.read(text)
    except InputError:
        pass


def small_world(folder: Path) -> list[data.Item]:
    (folder / "sounds").mkdir()
    t = np.arange(48_000) / 48_000
    media.write_sound(folder / "sounds/a.flac", Sound(np.stack([0.5 * np.sin(6.28 * 500 * t)] * 2), 48_000))
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "photos.zip", "w") as file:
        for n in range(10):
            picture = folder / "p.webp"
            media.write_image(folder / "p.png", Image(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)))
            from PIL import Image as Pil

            Pil.open(folder / "p.png").save(picture)
            file.write(picture, f"n01/n01_{n}.webp")
    photo = data.Item("photos.zip!n01/*", "photo", "dog", "*", "p", "research", "x", "", "o/r", "", "n01", "")
    return [ROW, photo]


def test_sounds_are_mono_at_32_kilohertz_and_photos_are_split_by_number(tmp_path: Path) -> None:
    items = small_world(tmp_path)
    [(item, samples)] = data.sounds(tmp_path, "dog", "train", items=items)
    assert item == ROW
    assert samples.dtype == np.float32
    assert samples.shape == (data.RATE,)
    assert abs(samples.std() - 0.5 / np.sqrt(2)) < 1e-2, "the level is the recording's"
    counts = {split: len(list(data.photos(tmp_path, "dog", split, items=items))) for split in data.SPLITS}
    assert counts == {"train": 8, "judge": 1, "test": 1}
    assert not list(data.sounds(tmp_path, "dog", "test", items=items))


def test_what_is_missing_is_a_sentence(tmp_path: Path) -> None:
    items = small_world(tmp_path)
    (tmp_path / "sounds/a.flac").unlink()
    (tmp_path / "photos.zip").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(InputError, match="no file"):
        list(data.sounds(tmp_path, "dog", "train", items=items))
    with pytest.raises(InputError, match="cannot be read"):
        list(data.photos(tmp_path, "dog", "train", items=items))
    with pytest.raises(InputError, match="no kind"):
        list(data.sounds(tmp_path, "dragon", "train", items=items))


# --- clusters and splits ----------------------------------------------------------------------------------------------


def test_pairs_make_groups() -> None:
    assert clusters.union(6, [(0, 2), (4, 2), (1, 5)]) == [0, 1, 0, 3, 0, 1]


def test_a_recording_cut_and_made_quieter_is_a_near_duplicate_and_another_is_not() -> None:
    rng = np.random.default_rng(0)
    waves = [
        (np.repeat(rng.exponential(1.0, 60), 1600) * rng.standard_normal(96_000)).astype(np.float32) for _ in range(3)
    ]
    waves.append(0.2 * waves[1][20_123:70_000])
    pairs = set(clusters.near_duplicates([copies.log_mel(w) for w in waves]))
    assert pairs == {(3, 1), (1, 3)} or pairs == {(3, 1)}


def test_two_steady_noises_are_two_recordings() -> None:
    rng = np.random.default_rng(1)
    prints = [copies.log_mel(rng.standard_normal(64_000).astype(np.float32)) for _ in range(2)]
    assert not list(clusters.near_duplicates(prints))


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcde"), st.lists(st.sampled_from([f"r{n}" for n in range(20)]), min_size=1)),
    st.sets(st.sampled_from([f"r{n}" for n in range(20)])),
)
def test_every_cluster_gets_one_split_and_each_kind_what_it_can(kinds: dict[str, list[str]], never: set[str]) -> None:
    split = clusters.assign(kinds, lambda name: name not in never)
    assert set(split) == {name for names in kinds.values() for name in names}
    assert all(split[name] != "train" for name in never & set(split))
    for names in kinds.values():
        trainable = {n for n in names if n not in never}
        if len(kinds) == 1 and trainable:
            got = [split[n] for n in trainable]
            assert "train" in got
            if len(trainable) >= 2:
                assert "test" in got
            if len(trainable) >= 3:
                assert "judge" in got
    assert split == clusters.assign(kinds, lambda name: name not in never)


# --- the catalogue ----------------------------------------------------------------------------------------------------


def test_a_tagger_contradicts_only_when_it_hears_something_else_clearly() -> None:
    assert catalogue.contradiction("horse", {"Speech": 0.67, "Screaming": 0.09})
    assert not catalogue.contradiction("horse", {"Speech": 0.67, "Horse": 0.2})
    assert not catalogue.contradiction("horse", {"Sound effect": 0.3}), "failing to hear it is no contradiction"
    assert not catalogue.contradiction("crowd", {"Speech": 0.95})
    assert catalogue.contradiction("cricket", {"Silence": 1.0}) == "silence"


@pytest.mark.data
def test_the_folder_holds_what_the_table_names() -> None:
    items = data.starter()
    missing = [i.file for i in items if not (DATA / i.file.partition("!")[0]).is_file()]
    assert not missing
    found, _ = catalogue.sounds(DATA)
    assert {r.item.file for r in found} == {i.file for i in items if i.sense == "sound"}
    assert {i.file for i in catalogue.photos(DATA)} == {i.file for i in items if i.sense == "photo"}


@pytest.mark.data
def test_a_sound_and_a_photo_of_the_starter_table_are_read() -> None:
    item, samples = next(data.sounds(DATA, "dog", "test"))
    assert item.kind == "dog"
    assert len(samples) > 1000
    assert next(data.photos(DATA, "dog", "judge"))[1].width >= 64
    assert next(data.photos(DATA, "frog", "test", tiers=("research",)))[1].width >= 64


def test_a_damaged_catalogue_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        catalogue.sounds(tmp_path)
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds/tags.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="UTF-8"):
        catalogue.sounds(tmp_path)
    (tmp_path / "sounds/tags.csv").write_text("file\nx\n")
    with pytest.raises(InputError, match="mean_top4"):
        catalogue.sounds(tmp_path)
