"""How quick the verbs are on this machine: what a person waits for, beside the floors and aims."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from .. import acoustics, media, verbs
from ..senses import Image, Listener


@dataclass(frozen=True)
class Timing:
    """The median of `repeats` runs in milliseconds, or what `what` says; what it must be (`floor`) and should be."""

    what: str
    median_ms: float
    floor_ms: float
    aim_ms: float
    repeats: int


def knock(repeats: int = 15) -> list[Timing]:
    """Time a click, a new picture, the whole command, and the modes of a body (the last need the extra `worlds`)."""
    with resources.as_file(resources.files("synesthesia") / "demo") as folder:
        name, (x, y) = next(iter(json.loads((folder / "clicks.json").read_text()).items()))
        at = (x, y)
        photo, path = media.read_image(folder / name), folder / name
        system = verbs.load()
        pixels = np.array(photo.pixels)
        rows = [
            _time("click to 1.5 s of sound, picture encoded", lambda: system.knock(photo, at), 30, 10, repeats),
            # A new object each time is a picture that the system has not seen.
            _time("the same with a new picture", lambda: system.knock(Image(pixels), at), 250, 80, repeats),
            _time("whole command, warm cache", lambda: _command(path, at), 8000, 2500, max(3, repeats // 4)),
        ]
    return rows + _modes(max(1, repeats // 5))


def hear(repeats: int = 9, models: Mapping[str, str] | None = None) -> list[Timing]:
    """Time 8 s of sound from a click, the same with a new picture, and the first sound of a stream."""
    with resources.as_file(resources.files("synesthesia") / "demo") as folder:
        photo = media.read_image(folder / "beach.jpg")
    system = verbs.load("tiny", yes=False, **(models or {}))
    at = (0.5, 0.5)
    pixels = np.array(photo.pixels)
    return [
        _time("8 s of sound from a click, picture encoded", lambda: system.hear(photo, at=at), 2000, 600, repeats),
        _time("the same with a new picture", lambda: system.hear(Image(pixels), at=at), 2300, 700, repeats),
        _time(
            "first sound of a stream from a click", lambda: next(system.hear_blocks(photo, at=at)), 400, 100, repeats
        ),
        _time("8 s of the whole picture, all stems", lambda: system.hear(photo), 8000, 2400, max(3, repeats // 3)),
    ]


def growth(models: Mapping[str, str] | None = None) -> float:
    """The peak memory of a command that streams ten minutes of sound, over that for ten seconds."""
    with resources.as_file(resources.files("synesthesia") / "demo") as folder:
        return _peak(folder / "beach.jpg", 600, models or {}) / _peak(folder / "beach.jpg", 10, models or {})


_STREAM = """
import resource, sys
from synesthesia import verbs
photo, seconds, models = sys.argv[1], float(sys.argv[2]), dict(pair.split("=", 1) for pair in sys.argv[3:])
have = 0.0
for block in verbs.load(**models).hear_blocks(photo, at=(0.5, 0.5)):
    have += block.seconds
    if have >= seconds:
        break
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _peak(photo: Path, seconds: float, models: Mapping[str, str]) -> float:
    told = [str(photo), str(seconds), *(f"{verb}={model}" for verb, model in models.items())]
    done = subprocess.run([sys.executable, "-c", _STREAM, *told], check=True, capture_output=True, text=True)
    return float(done.stdout)


def walk(blocks: int = 2000) -> list[Timing]:
    """Time a block of 256 samples at 48 kHz with eight moving sources and a moving, turning head, for two ears.

    In open air over ground; the same with all of them wide and a bed; in a room. A block is there every 5.3 ms. With
    pyroomacoustics installed the open air is held against a room of that library set up anew for each block.
    """
    room = acoustics.Room((-6.0, -1.6, -8.0), (6.0, 2.4, 4.0))
    rows, outdoors = [], 0.0
    for what, place, wide in (
        ("open air", acoustics.Outdoors(), False),
        ("open air, wide sources and bed", acoustics.Outdoors(), True),
        ("a room", room, False),
    ):
        ms = 1000 * np.array(_blocks(place, wide, blocks))
        outdoors = outdoors or float(np.median(ms))
        rows += [
            Timing(f"a block, {what}: median", float(np.median(ms)), 2.5, 0.5, blocks),
            Timing(f"a block, {what}: 99th percentile", float(np.quantile(ms, 0.99)), 5.3, 1.0, blocks),
        ]
    try:
        theirs = 1000 * float(np.median(_blocks_by_others(max(5, blocks // 200))))
    except ImportError:
        return rows
    share = "open air, for each ms of pyroomacoustics + scipy"
    return [*rows, Timing(share, outdoors / theirs, 1 / 3, 1 / 10, max(5, blocks // 200))]


def _scene(block: int) -> tuple[np.ndarray, np.ndarray, Listener]:
    """Positions [8, 3] and sounds [8, 256] of eight sources that circle, and a listener who walks and turns."""
    angle = np.arange(8) * 0.8 + 0.002 * block * np.linspace(0.5, 1.5, 8)
    positions = np.stack([3 * np.cos(angle), np.linspace(-0.5, 0.8, 8), 3 * np.sin(angle)], axis=1)
    sound = np.random.default_rng(block).standard_normal((8, acoustics.BLOCK)).astype(np.float32) * 0.1
    return positions, sound, Listener((0.5 * np.sin(0.01 * block), 0.0, 0.0), 0.5 * block)


def _blocks(place: acoustics.Outdoors | acoustics.Room, wide: bool, blocks: int) -> list[float]:
    """Seconds for each block."""
    renderer = acoustics.Renderer(8, place)
    widths = np.full(8, 2.0) if wide else None
    seconds = []
    for i in range(20 + blocks):
        positions, sound, listener = _scene(i)
        bed = sound[0] if wide else None
        start = time.perf_counter()
        renderer.render(sound, positions, listener, widths, bed)
        seconds.append(time.perf_counter() - start)
    return seconds[20:]  # the first blocks fill caches


def _blocks_by_others(blocks: int) -> list[float]:
    """The open air as one would have it without us: a room whose floor alone reflects, two microphones a head apart."""
    import pyroomacoustics as pra  # ty: ignore[import-not-found]
    from scipy.signal import fftconvolve

    walls = {name: pra.Material(0.3 if name == "floor" else 1.0) for name in
             ("east", "west", "north", "south", "ceiling", "floor")}  # fmt: skip
    seconds = []
    kept = np.zeros((2, 2**16))
    for i in range(blocks):
        positions, sound, listener = _scene(i)
        start = time.perf_counter()
        room = pra.ShoeBox([20, 20, 10], fs=acoustics.RATE, materials=walls, max_order=1, air_absorption=True)
        for position in positions:
            room.add_source(np.array([10, 10, 1.6]) + position[[0, 2, 1]] * [1, -1, 1])
        yaw = np.radians(listener.yaw)
        ear = 0.09 * np.array([np.cos(yaw), np.sin(yaw), 0])
        here = np.array([10 + listener.position[0], 10, 1.6])
        room.add_microphone_array(np.stack([here - ear, here + ear], axis=1))
        room.compute_rir()
        for channel, source in np.ndindex(2, 8):
            heard = fftconvolve(sound[source], room.rir[channel][source])
            kept[channel, : len(heard)] += heard
        kept = np.concatenate([kept[:, acoustics.BLOCK :], np.zeros((2, acoustics.BLOCK))], axis=1)
        seconds.append(time.perf_counter() - start)
    return seconds


def table(rows: list[Timing], machine: str) -> str:
    """The timings as text."""
    wide = max(len(row.what) for row in rows)
    lines = [machine, f"{'':{wide}} {'measured':>9} {'floor':>9} {'aim':>9}"]
    for row in rows:
        figures = (f"{ms:6.{0 if ms > 6 else 3}f} ms" for ms in (row.median_ms, row.floor_ms, row.aim_ms))
        lines.append(f"{row.what:{wide}} {' '.join(figures)}")
    return "\n".join(lines)


def record(rows: list[Timing], machine: str) -> dict[str, object]:
    """The timings as JSON, for the report."""
    return {"machine": machine, "rows": [asdict(row) for row in rows]}


def _time(what: str, work: Callable[[], object], floor_ms: float, aim_ms: float, repeats: int) -> Timing:
    work()  # the first run reads weights and fills caches
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return Timing(what, 1000 * statistics.median(seconds), floor_ms, aim_ms, repeats)


def _command(photo: Path, at: tuple[float, float]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "synesthesia.cli", "knock", str(photo), "--at", f"{at[0]},{at[1]}"]
        subprocess.run([*command, "-o", str(Path(folder) / "a.wav")], check=True, stdout=subprocess.DEVNULL)


def _modes(repeats: int) -> list[Timing]:
    try:
        import skfem  # noqa: F401
    except ImportError:
        return []
    from ..physics import modes, shapes

    bowl = shapes.FAMILIES["bowl"](np.random.default_rng(0))
    bodies = [shapes.invented(np.random.default_rng(seed)) for seed in range(8)]
    tetrahedra = min(bodies, key=lambda body: abs(_unknowns(body.elements, len(body.nodes)) - 15_000))
    unknowns = _unknowns(tetrahedra.elements, len(tetrahedra.nodes))
    return [
        _time("128 modes, a body of revolution", lambda: modes.solve(bowl, 128), 2000, 600, repeats),
        _time(
            f"128 modes, tetrahedra, {unknowns / 1000:.0f} k unknowns",
            lambda: modes.solve(tetrahedra, 128),
            6000,
            4000,
            repeats,
        ),
    ]


def _unknowns(tetrahedra: np.ndarray, corners: int) -> int:
    """Degrees of freedom of quadratic tetrahedra: three per corner and per edge."""
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    edges = np.sort(np.concatenate([tetrahedra[:, pair] for pair in pairs]), axis=1)
    return 3 * (corners + len(np.unique(edges, axis=0)))
