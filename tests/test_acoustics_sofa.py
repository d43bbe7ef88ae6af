"""SOFA files: read as they are meant, refused when they are not; and real ones, where they are beside the checkout."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synesthesia import acoustics, cli, hub
from synesthesia.acoustics import sofa
from synesthesia.evaluate import bench
from synesthesia.evaluate import walk as measures
from synesthesia.senses import InputError

h5py = pytest.importorskip("h5py", reason="SOFA files need the extra `walk`")

RATE = 48_000
HEADS = [DATA / "hrtf" / "HRIR_CIRC360.sofa", DATA / "brir" / "surrey_UniS_Anechoic_BRIR_48k.sofa"]
KEMAR = DATA / "hrtf" / "mit_kemar_normal_pinna.sofa"


def write(path: Path, responses: sofa.Responses, change: Callable[[h5py.File], None] = lambda file: None) -> Path:
    """A small SOFA file, with whatever is to be wrong about it."""
    with h5py.File(path, "w") as file:
        file.attrs["Conventions"] = np.bytes_("SOFA")
        file.attrs["Title"], file.attrs["License"] = np.bytes_("a head"), np.bytes_("none")
        file["Data.IR"] = responses.samples
        file["Data.SamplingRate"] = np.array([float(responses.rate)])
        file["Data.Delay"] = np.zeros((1, 2))
        places = np.stack([responses.azimuth % 360, responses.elevation, np.full(len(responses.samples), 1.5)], 1)
        file["SourcePosition"] = places
        file["SourcePosition"].attrs["Type"] = np.bytes_("spherical")
        change(file)
    return path


@pytest.fixture(scope="module")
def head() -> sofa.Responses:
    """A sphere measured every 10° around and at three heights."""
    azimuth, elevation = np.meshgrid(np.arange(0, 360, 10.0), [-40.0, 0.0, 40.0])
    toward = sofa.direction(azimuth.reshape(-1), elevation.reshape(-1))
    return sofa.Responses(toward, acoustics.sphere(RATE).response(toward).astype(float), RATE)


def test_what_is_written_is_read(head: sofa.Responses, tmp_path: Path) -> None:
    read = sofa.read(write(tmp_path / "a.sofa", head))
    np.testing.assert_allclose(read.samples, head.samples)
    np.testing.assert_allclose(read.directions, head.directions, atol=1e-6)
    assert (read.rate, read.title, read.licence) == (RATE, "a head", "none")


def test_cartesian_places_separate_delays_and_swapped_ears(head: sofa.Responses, tmp_path: Path) -> None:
    def cartesian(file: h5py.File) -> None:
        file["SourcePosition"][...] = 1.5 * head.directions
        file["SourcePosition"].attrs["Type"] = np.bytes_("cartesian")

    np.testing.assert_allclose(sofa.read(write(tmp_path / "c.sofa", head, cartesian)).directions, head.directions)

    def late(file: h5py.File) -> None:
        file["Data.Delay"][...] = [[3.0, 5.0]]

    delayed = sofa.read(write(tmp_path / "d.sofa", head, late)).samples
    np.testing.assert_allclose(delayed[:, 0, 3 : 3 + head.samples.shape[-1]], head.samples[:, 0])
    np.testing.assert_allclose(delayed[:, 1, 5:], head.samples[:, 1])

    swapped = sofa.Responses(head.directions, head.samples[:, ::-1], RATE)
    np.testing.assert_allclose(sofa.read(write(tmp_path / "s.sofa", swapped)).samples, head.samples)


def test_a_head_from_a_file_is_that_head(head: sofa.Responses, tmp_path: Path) -> None:
    ears = acoustics.load(write(tmp_path / "a.sofa", head), RATE)
    judge = measures.Judge.of(acoustics.sphere(RATE))
    azimuths = np.arange(-75.0, 80, 10)
    said = judge.azimuth(measures.rendered(azimuths, measures._HERE, acoustics.receiver("binaural", RATE, ears)), RATE)
    assert np.abs(said - azimuths).mean() < 2


def test_a_ring_and_half_a_ring_are_enough(head: sofa.Responses, tmp_path: Path) -> None:
    for keep in (np.abs(head.elevation) < 1, (np.abs(head.elevation) < 1) & (np.abs(head.azimuth) < 91)):
        part = sofa.Responses(head.directions[keep], head.samples[keep], RATE)
        ears = acoustics.load(write(tmp_path / "ring.sofa", part), RATE)
        assert np.isfinite(ears.responses).all()
        ahead = ears.delays[18, 36 + 12, 1] - ears.delays[18, 36 + 12, 0]
        behind = ears.delays[18, 36 + 24, 1] - ears.delays[18, 36 + 24, 0]
        assert ahead > 3e-4
        assert behind > 3e-4


def _drop(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]

    return change


def _endless(file: h5py.File) -> None:
    del file["Data.IR"]
    file.create_dataset("Data.IR", (2**20, 2, 2**20), dtype="f4", chunks=(1, 2, 64))


def _put(name: str, value: np.ndarray) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = value

    return change


@pytest.mark.parametrize(("change", "sentence"), [
    (lambda file: file.attrs.__setitem__("Conventions", "MATLAB"), "not a SOFA one"),
    (_drop("Data.IR"), "holds no Data.IR"),
    (_drop("SourcePosition"), "holds no SourcePosition"),
    (_put("Data.IR", np.zeros((108, 3, 64))), "two ears are"),
    (_put("Data.IR", np.zeros((108, 2, 64))), "silent"),
    (_put("Data.IR", np.full((108, 2, 64), np.nan)), "NaN"),
    (_put("Data.SamplingRate", np.array([7.0])), "between 8 and 192 kHz"),
    (_put("Data.Delay", np.array([[-5.0, 0.0]])), "negative"),
    (_put("SourcePosition", np.zeros((5, 3))), "not a SOFA file"),
    (_put("SourcePosition", np.full((108, 3), np.nan)), "NaN or infinite"),
    (_endless, "values"),
])  # fmt: skip
def test_what_is_wrong_is_said(
    head: sofa.Responses, tmp_path: Path, change: Callable[[h5py.File], None], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        acoustics.load(write(tmp_path / "a.sofa", head, change), RATE)


def test_a_room_is_no_head(head: sofa.Responses, tmp_path: Path) -> None:
    tail = np.random.default_rng(0).standard_normal((*head.samples.shape[:2], 4000)) * 0.05
    room = sofa.Responses(head.directions, np.concatenate([head.samples, tail], axis=-1), RATE)
    with pytest.raises(InputError, match="measured in a room"):
        acoustics.load(write(tmp_path / "room.sofa", room), RATE)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_spoiled_file_is_refused_or_read_but_nothing_else(
    head: sofa.Responses, tmp_path: Path, data: st.DataObject
) -> None:
    part = sofa.Responses(head.directions[:9], head.samples[:9, :, :64] + 1e-3, RATE)
    raw = bytearray(write(tmp_path / "a.sofa", part).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "b.sofa").write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        read = sofa.read(tmp_path / "b.sofa")
    except InputError:
        return
    assert read.samples.shape[1] == 2
    assert np.isfinite(read.samples).all()


def test_a_file_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.sofa").write_text("no such thing")
    with pytest.raises(InputError, match="not a SOFA file"):
        acoustics.load(tmp_path / "a.sofa")
    with pytest.raises(InputError, match="no file"):
        acoustics.load(tmp_path / "none.sofa")
    output = tmp_path / "walk.json"
    assert cli.main(["evaluate", "walk", "--hrtf", str(tmp_path / "a.sofa"), "-o", str(output)]) == 2
    assert "not a SOFA file" in capsys.readouterr().err
    assert not output.exists()


def test_the_command_prints_and_writes_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longer protocols, which have tests of their own, are left out."""
    for name in ("directions", "reverberation", "ambisonics"):
        monkeypatch.setattr(measures, name, lambda *arguments: [])
    assert cli.main(["evaluate", "walk", "-o", str(tmp_path / "walk.json")]) == 0
    rows, told = json.loads((tmp_path / "walk.json").read_text()), capsys.readouterr().out
    assert len(rows) == 4
    for row in rows:
        assert row["aim"] is None or row["value"] <= row["aim"], row
        assert row["what"] in told


def test_blocks_are_timed() -> None:
    rows = bench.walk(blocks=20)
    assert len(rows) >= 6
    assert all(0 < row.median_ms < 1000 for row in rows)


@pytest.mark.data
@pytest.mark.skipif(not KEMAR.is_file(), reason="no measured heads beside this checkout")
def test_the_ears_that_ship_are_what_the_script_makes(tmp_path: Path) -> None:
    """Direction by direction the same cues as the measurement they were made from."""
    measured = sofa.read(KEMAR)
    level = (np.abs(measured.elevation) < 1) & (np.abs(measured.azimuth) < 170)
    shipped = acoustics.kemar(measured.rate).response(measured.directions[level], 512).astype(float)
    times, levels = measures.cues(shipped, measured.rate)
    true_times, true_levels = measures.cues(measured.samples[level], measured.rate)
    assert np.median(np.abs(times - true_times)) < 15e-6
    assert np.median(np.abs(levels - true_levels)) < 0.5


@pytest.mark.data
@pytest.mark.skipif(not all(path.is_file() for path in HEADS), reason="no measured heads beside this checkout")
def test_other_heads_hear_it_where_it_is() -> None:
    hears, own = acoustics.receiver("binaural", RATE), measures.Judge.of(acoustics.kemar(RATE))
    judges = [measures.Judge.measured(sofa.read(path)) for path in HEADS]
    same, other, turn = measures.directions(hears, own, judges)
    assert (same.met, other.met, turn.met) == ("aim", "aim", "aim")


@pytest.mark.data
@pytest.mark.skipif(not KEMAR.is_file(), reason="no measured rooms beside this checkout")
def test_the_judge_hears_real_rooms() -> None:
    """Responses measured in an office and in an anechoic room, with a head that is not KEMAR's."""
    files = [DATA / "brir" / f"surrey_UniS_{name}.sofa" for name in ("Anechoic_BRIR_48k", "Room_A_BRIR_16k")]
    rows = measures.real_rooms(files, measures.Judge.of(acoustics.kemar(RATE)))
    errors = [row.value for row in rows if "azimuth" in row.what]
    assert max(errors) < 4
    late = next(row.value for row in rows if "T60" in row.what)
    assert late == pytest.approx(0.32, rel=0.2), "the .32 s that its makers give for room A"


@pytest.mark.data
@pytest.mark.skipif(not KEMAR.is_file(), reason="no measured heads beside this checkout")
def test_the_script_makes_the_same_ears_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = hub.read_config(hub.resolve("ears/kemar"))
    monkeypatch.setattr(hub, "WEIGHTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["hrtf_kemar.py", str(KEMAR)])
    runpy.run_path(str(Path(__file__).parents[1] / "runs" / "hrtf_kemar.py"), run_name="__main__")
    made = hub.read_config(tmp_path / "ears-kemar")
    assert made["bytes"] == shipped["bytes"] < 2**20
    assert made["scale"] == pytest.approx(shipped["scale"])
