"""The app: verbs as tools, the queue, the door, the endpoints, and the page in a real browser."""

from __future__ import annotations

import base64
import gc
import http.client
import io
import json
import math
import re
import socket
import struct
import threading
import time
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Seen, chromium, until
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia import media, verbs
from synesthesia.app import assets, desk, tools
from synesthesia.app.room import PHOTOS, Room
from synesthesia.senses import Image, InputError, Sound

# Gradio and Playwright leave event loops to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

ROOT = Path(__file__).parents[1]
OUT = ROOT / "out"
BOWL = (0.136, 0.516)


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    made = Room(verbs.load)
    yield made
    made.close()


def png(image: Image) -> str:
    return base64.b64encode(media.encode_png(image)).decode()


# --- tools -----------------------------------------------------------------------------------------------------------


def test_every_command_of_a_verb_is_a_tool() -> None:
    from synesthesia.cli import COMMANDS

    described = {name for name in COMMANDS if hasattr(verbs, name) and name != "load"}
    assert set(tools.tools()) == described


def test_a_tool_has_the_settings_of_its_verb() -> None:
    knock = tools.tools()["knock"]
    kinds = {p.name: p.kind for p in knock.parameters}
    assert kinds["photo"] == "photo"
    assert kinds["at"] == "places"
    assert kinds["force"] == "force"
    assert kinds["mass"] == "factor"
    assert kinds["seed"] == "whole"
    support = next(p for p in knock.parameters if p.name == "support")
    assert support.choices == ("hung", "resting", "held")
    assert all(p.help for tool in tools.tools().values() for p in tool.parameters)


def test_a_file_of_this_machine_is_no_setting() -> None:
    assert "hrtf" not in {p.name for p in tools.tools()["walk"].parameters}


def test_a_new_verb_becomes_a_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    def hum(system: verbs.System, photo: verbs.Photo, loud: float = 1.0, how: str = "low") -> Sound:
        """Hum at a photo.

        Args:
            photo: A photo.
            loud: How loud.
            how: How.
        """
        return Sound(np.zeros(8), 8000)

    hum.__module__ = verbs.__name__
    for name in ("Photo", "System"):
        hum.__globals__.setdefault(name, getattr(verbs, name))
    monkeypatch.setattr(verbs, "hum", hum, raising=False)
    tool = tools.tools()["hum"]
    assert [(p.name, p.kind, p.default) for p in tool.parameters] == [
        ("photo", "photo", None), ("loud", "number", 1.0), ("how", "text", "low"),
    ]  # fmt: skip
    assert tool.about == "Hum at a photo."


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = sorted({p.name for tool in tools.tools().values() for p in tool.parameters})


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(tools.tools())), st.dictionaries(st.sampled_from(NAMES), JSON, max_size=5) | JSON)
def test_whatever_a_request_says_is_read_or_refused(name: str, request: Any) -> None:
    image = Image(np.zeros((16, 16, 3), np.uint8))
    try:
        arguments = tools.tools()[name].read(request, lambda ticket: image)
    except InputError as error:
        assert len(str(error)) < 600
        return
    assert isinstance(arguments, dict)
    assert not any(isinstance(value, (str, Path)) and "/" in str(value) for value in arguments.values())


def test_masks_are_read_row_by_row() -> None:
    values = base64.b64encode(bytes([0, 255, 0, 0, 0, 0])).decode()
    arguments = tools.tools()["hear"].read(
        {"photo": "x", "mask": {"rows": 2, "columns": 3, "values": values}},
        lambda t: Image(np.zeros((16, 16, 3), np.uint8)),
    )
    assert arguments["mask"].mask.tolist() == [[0, 1, 0], [0, 0, 0]]


def test_what_has_names_is_told_by_them() -> None:
    near = verbs.Nearest("a fire", 0.5)
    assert tools.told([near]) == [{"phrase": "a fire", "score": 0.5, "bearing": None, "metres": None, "level_db": None}]


def test_a_sound_is_told_as_it_is() -> None:
    sound = Sound(3 * np.sin(np.arange(800) / 9), 8000)  # beyond full scale
    told = tools.told(sound)
    again = media.read_sound(base64.b64decode(told["audio"]))
    np.testing.assert_allclose(again.samples * told["gain"], sound.samples, atol=2e-4)


# --- the queue -------------------------------------------------------------------------------------------------------


@pytest.fixture
def held() -> Iterator[tuple[desk.Lane, threading.Event, list[str]]]:
    """A lane whose worker is busy until the event is set, and who was served since."""
    together: list[str] = []

    def at_once(group: Any, items: Any) -> list[Any]:
        together.append(f"{group}:{len(items)}")
        return list(items)

    lane, go = desk.Lane("test", at_once), threading.Event()

    def wait(job: desk.Job) -> Iterator[Any]:
        go.wait(10)
        yield None

    first = desk.Job("first", wait)
    lane.put(first)
    while not first.started:
        time.sleep(0.001)
    yield lane, go, together
    go.set()
    lane.close()


def job(user: str, served: list[str]) -> desk.Job:
    def work(_: desk.Job) -> Iterator[str]:
        served.append(user)
        yield user

    return desk.Job(user, work)


def test_users_take_turns(held: Any) -> None:
    lane, go, _ = held
    served: list[str] = []
    jobs = [job("many", served) for _ in range(5)] + [job("one", served), job("two", served), job("two", served)]
    for one in jobs:
        lane.put(one)
    assert lane.ahead(jobs[5]) == 1  # not five
    go.set()
    for one in jobs:
        one.wait_done(5)
    assert served == ["many", "one", "two", "many", "two", "many", "many", "many"]


def test_clicks_that_are_alike_are_served_together(held: Any) -> None:
    lane, go, together = held
    jobs = [desk.Job(f"user {k % 2}", lambda _: iter(()), group="bowl", item=k) for k in range(6)]
    for one in jobs:
        lane.put(one)
    go.set()
    for one in jobs:
        one.wait_done(5)
    assert together == ["bowl:6"]
    assert [one.results for one in jobs] == [[k] for k in range(6)]


def test_nobody_fills_the_queue(held: Any) -> None:
    lane, _, _ = held
    for _ in range(desk.PER_USER):
        lane.put(job("greedy", []))
    with pytest.raises(InputError, match="waiting already"):
        lane.put(job("greedy", []))
    lane.put(job("modest", []))


def test_waiting_work_is_cancelled_at_once(held: Any) -> None:
    lane, go, _ = held
    served: list[str] = []
    work = desk.Desk()
    one = work.put(lane, job("me", served))
    with pytest.raises(InputError, match="no such work"):
        work.cancel("somebody else", one.id)
    work.cancel("me", one.id)
    assert work.more("me", one.id, 0)["done"]
    go.set()
    time.sleep(0.05)
    assert served == []


def test_running_work_is_cancelled_at_its_next_result() -> None:
    lane, work, made = desk.Lane("test"), desk.Desk(), []

    def endless(running: desk.Job) -> Iterator[int]:
        for k in range(10_000):
            made.append(k)
            yield k
            time.sleep(0.002)

    one = work.put(lane, desk.Job("me", endless))
    assert work.more("me", one.id, 0)["results"][0] == 0
    work.cancel("me", one.id)
    one.wait_done(5)
    assert one.done
    assert len(made) < 1000
    lane.close()


def test_a_fault_of_ours_is_told_without_its_inside(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: desk.Job) -> Iterator[Any]:
        raise RuntimeError("/a/secret/path")
        yield

    lane = desk.Lane("test")
    one = desk.Job("me", broken)
    lane.put(one)
    one.wait_done(5)
    lane.close()
    assert one.error == desk.FAILED
    assert "/a/secret/path" in capsys.readouterr().err


# --- photos ----------------------------------------------------------------------------------------------------------


def test_the_photo_not_used_for_longest_is_forgotten(photo: Image) -> None:
    shelf = Room(lambda: verbs.System({}))
    first = shelf.open(png(photo))["photo"]
    second = shelf.open(png(photo))["photo"]
    for _ in range(PHOTOS - 1):
        shelf.photo(first)  # still used
        shelf.open(png(photo))
    assert shelf.photo(first).image.width == photo.width
    with pytest.raises(InputError, match="not open"):
        shelf.photo(second)
    shelf.close()


def test_a_large_photo_is_kept_smaller() -> None:
    shelf = Room(lambda: verbs.System({}))
    told = shelf.open(png(Image(np.full((100, 3000, 3), 128, np.uint8))))
    assert (told["width"], told["height"]) == (2048, 68)
    shelf.close()


def bomb() -> bytes:
    """A PNG of a few bytes that claims 60,000 × 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


HOSTILE = {
    "gif bomb": b"GIF89a\xff\xff\xff\xff\xf0\0\0" + b"\0" * 400,
    "svg with script": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>',
    "html": b"<html><script>alert(1)</script></html>",
    "png bomb": bomb(),
    "empty": b"",
    "path": b"../../../../etc/passwd",
    "unicode": "😈\u202e照片".encode(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_photo_is_refused_and_changes_nothing(room: Room, name: str) -> None:
    before = len(room._photos)
    with pytest.raises(InputError) as told:
        room.open(base64.b64encode(HOSTILE[name]).decode())
    assert "<script>" not in str(told.value)
    assert len(room._photos) == before


@pytest.mark.parametrize("value", [None, 3, "", "…", "a" * 50_000_000, {"path": "/etc/passwd"}, ["x"]])
def test_what_is_no_file_is_refused(room: Room, value: Any) -> None:
    with pytest.raises(InputError):
        room.open(value)


def test_a_demo_is_a_name_and_not_a_path(room: Room) -> None:
    for name in ("../weights/hear-tiny/config.json", "beach.jpg", "/etc/passwd", "", "béach"):
        with pytest.raises(InputError):
            room.open(demo=name)


# --- verbs, asked for through the room -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bowl(room: Room) -> str:
    return room.open(demo="wooden_bowl")["photo"]


def test_a_knock_through_the_room_is_the_verb(room: Room, bowl: str) -> None:
    told = room.do("me", "knock", {"photo": bowl, "at": list(BOWL), "seconds": 0.1, "seed": 3})
    direct = verbs.default().knock(room.photo(bowl).image, BOWL, seconds=0.1, seed=3)
    sound = media.read_sound(base64.b64decode(told["sounds"][0]["audio"]))
    np.testing.assert_allclose(sound.samples * told["sounds"][0]["gain"], direct.sound.samples, atol=1e-3)
    assert told["headline"] == [verbs.headline(direct.describe()[0])]
    assert told["made"][0]["licence"] == "Apache-2.0"


def test_knocks_together_are_knocks_alone(room: Room, bowl: str) -> None:
    places = [[0.2, 0.5], [0.5, 0.5], [0.8, 0.4]]
    together = room.do("me", "knock", {"photo": bowl, "at": places, "seconds": 0.02})
    alone = [room.do("me", "strike", {"photo": bowl, "at": place}) for place in places]
    for k, one in enumerate(alone):
        np.testing.assert_allclose(one["physics"][0]["gain"], together["physics"][k]["gain"], rtol=1e-3)
    assert "sounds" not in alone[0]


def test_a_zip_holds_what_was_made(room: Room, bowl: str) -> None:
    knock = {"photo": bowl, "at": list(BOWL), "mass": 2.0, "seconds": 0.1, "variations": 2}
    told = room.do("me", "pack", {"photo": bowl, "knocks": [knock]})
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(told["zip"]))) as file:
        names = file.namelist()
        assert "photo.png" in names
        kept = json.loads(file.read("settings.json"))
        result = kept["results"][-1]
        assert result["settings"]["mass"] == 2.0
        assert len(result["files"]) == 2
        wav = file.read(result["files"][0])
    assert struct.unpack("<I", wav[24:28])[0] == 48_000
    assert struct.unpack("<H", wav[34:36])[0] == 24
    heavier = verbs.default().knock(room.photo(bowl).image, BOWL, seconds=0.1, mass=2.0, rate=48_000)
    read = media.read_sound(wav)
    np.testing.assert_allclose(read.samples, heavier.sound.samples, atol=1e-4)


def test_files_of_a_result_have_names_of_their_own(photo: Image) -> None:
    from synesthesia.app.room import _files
    from synesthesia.senses import Region, Scene, Stem

    sound = Sound(np.zeros(100), 8000)
    scene = Scene(photo, (Stem(Region.whole(), sound, 0.5), Stem(Region.whole(), sound, 0.6)), sound)
    names = [name for name, _ in _files("hear", scene)]
    assert names == ["hear-mix", "hear-stems-1-sound", "hear-stems-2-sound", "hear-bed"]
    assert [name for name, _ in _files("see", photo)] == ["see"]


# --- over HTTP -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app() -> Iterator[Any]:
    """The address of a running app."""
    pytest.importorskip("gradio", reason="the extra `app` is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gradio's own
        from synesthesia.app import serve

        blocks, made = serve.start(verbs.load, port=17_860, wait=False)
    blocks.room = made
    yield blocks
    blocks.close(verbose=False)
    made.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they leave is collected here, and not in somebody else's test
        gc.collect()


def ask(app: Any, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """A request as it stands, without what a well-behaved client would put right."""
    host, port = re.findall(r"//([^:/]+):(\d+)", app.local_url)[0]
    link = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        link.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            link.putheader(name.replace("_", "-"), value)
        if body is not None and "Content_Length" not in headers:
            link.putheader("Content-Length", str(len(body)))
        link.endheaders(body if body is not None else None)
        answer = link.getresponse()
        return answer.status, answer.read()
    finally:
        link.close()


def call(app: Any, name: str, request: Any) -> dict[str, Any]:
    component = next(c["id"] for c in app.config["components"] if c["type"] == "html")
    body = json.dumps({"session_hash": "test", "component_id": component, "fn_name": name, "data": request}).encode()
    status, told = ask(app, "POST", "/gradio_api/component_server", body, Content_Type="application/json")
    assert status == 200, told
    return json.loads(told)


REFUSED = [
    ("GET", "/gradio_api/file=/etc/passwd"), ("GET", "/file=/etc/passwd"), ("GET", "/gradio_api/file=http://127.0.0.1/"),
    ("GET", "/gradio_api/proxy=http://127.0.0.1/"), ("POST", "/gradio_api/upload"), ("GET", "/static/../../config"),
    ("GET", "/static/%2e%2e/%2e%2e/etc/passwd"), ("GET", "/assets/..%2f..%2fetc%2fpasswd"), ("GET", "/login_check"),
    ("GET", "/gradio_api/runs"), ("POST", "/gradio_api/vibe-edit"), ("GET", "/monitoring"),
    ("POST", "/gradio_api/run/knock"),
    ("DELETE", "/"), ("PUT", "/gradio_api/call/knock"), ("GET", "/gradio_api/dev/reload"), ("GET", "/%00"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), REFUSED)
def test_doors_that_nobody_needs_are_shut(app: Any, method: str, path: str) -> None:
    status, told = ask(app, method, path)
    assert status in (404, 405)
    assert "error" in json.loads(told)


def test_only_its_own_page_uses_it(app: Any) -> None:
    assert ask(app, "GET", "/")[0] == 200
    assert ask(app, "GET", "/", Host="evil.example")[0] == 421  # DNS rebinding
    own = app.local_url.rstrip("/")
    assert ask(app, "GET", "/config", Origin=own)[0] == 200
    for origin in ("https://evil.example", "null", own.rpartition(":")[0] + ":9"):
        assert ask(app, "POST", "/gradio_api/call/knock", b'{"data": []}', Origin=origin)[0] == 403
    assert ask(app, "POST", "/gradio_api/call/knock", b'{"data": []}', Sec_Fetch_Site="cross-site")[0] == 403


def test_everywhere_is_by_number_and_not_by_any_name() -> None:
    from synesthesia.app.guard import Guard, names

    door = Guard(None, names("0.0.0.0", {"desk"}), numbers=True)
    scope = {"method": "GET", "path": "/"}
    for host in ("192.168.1.7:7860", "[fe80::1]:7860", "desk", "localhost:7860"):
        assert door._refused(scope, {"host": host}) is None
    for host in ("evil.example", "", "[", "192.168.1.7.evil.example"):
        assert door._refused(scope, {"host": host}) is not None


def test_on_a_public_stage_any_name_will_do_but_no_other_page() -> None:
    import asyncio

    from synesthesia.app.guard import Guard

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def answered(**headers: str) -> dict[str, Any]:
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(message)

        told = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "GET", "path": "/", "headers": told}
        asyncio.run(Guard(inside, None)(scope, None, send))  # ty: ignore[invalid-argument-type]
        return sent[0]

    first = answered(host="somebody-synesthesia.example", origin="https://somebody-synesthesia.example")
    assert first["status"] == 200
    assert b"frame-ancestors *" in dict(first["headers"])[b"content-security-policy"]
    assert answered(host="somebody-synesthesia.example", origin="https://evil.example")["status"] == 403


BODIES = {
    "nothing": b"", "no json": b"\xff\xfe{", "a list": b"[1, 2]",
    "deep": b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no data": b'{"fn_name": "open"}',
    "other types": b'{"session_hash": 3, "component_id": "x", "fn_name": [], "data": 1}',
    "unicode": b'{"data": "\\ud800"}',
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_malformed_body_is_one_sentence(app: Any, name: str) -> None:
    for path in ("/gradio_api/component_server", "/gradio_api/call/knock"):
        status, told = ask(app, "POST", path, BODIES[name], Content_Type="application/json")
        assert status in (400, 413)
        assert json.loads(told)["error"].endswith(".")


def test_a_body_too_large_is_refused_before_it_is_read(app: Any) -> None:
    status, _ = ask(
        app, "POST", "/gradio_api/call/open", None, Content_Length=str(10**9), Content_Type="application/json"
    )
    assert status == 413


USER = "u" * 20


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("open", {"file": base64.b64encode(HOSTILE["svg with script"]).decode()}),
        ("open", {"demo": "../../etc/passwd"}),
        ("open", []), ("open", {}),
        ("perform", {"user": USER, "what": "knock", "settings": {"photo": "x", "at": [2, 2]}}),
        ("perform", {"user": USER, "what": "__class__", "settings": {}}), ("perform", {"user": 3}),
        ("perform", {"user": USER, "what": "stage", "settings": {"photo": "../x"}}),
        ("more", {"user": USER, "job": {}, "have": 0}),
        ("perform", {"user": USER, "what": "knock", "settings": {"photo": "😈\u202e" * 9, "at": [0.5, 0.5]}}),
        ("begin", {"user": USER, "what": "walk", "settings": {"scene": "x", "path": "/etc/passwd"}}),
    ],
)  # fmt: skip
def test_a_malformed_request_is_told_what_is_wrong(app: Any, name: str, request_: Any) -> None:
    before = len(app.room._photos)
    told = call(app, name, request_)
    assert told["error"].endswith(".")
    assert "Traceback" not in told["error"]
    assert len(app.room._photos) == before


def test_nothing_of_one_user_shows_up_for_another(app: Any) -> None:
    mine = call(app, "open", {"demo": "beach"})["ok"]["photo"]
    work = call(app, "begin", {"user": "a" * 20, "what": "strike", "settings": {"photo": mine, "at": [0.5, 0.5]}})["ok"]
    assert "error" in call(app, "more", {"user": "b" * 20, "job": work, "have": 0})
    assert "error" in call(app, "cancel", {"user": "b" * 20, "job": work})
    told = call(app, "more", {"user": "a" * 20, "job": work, "have": 0})["ok"]
    assert told["results"] or not told["done"]
    theirs = call(app, "open", {"demo": "beach"})["ok"]["photo"]
    assert theirs != mine
    call(app, "shut", {"photo": theirs})
    assert "ok" in call(
        app, "perform", {"user": "a" * 20, "what": "strike", "settings": {"photo": mine, "at": [0.5, 0.5]}}
    )


def test_the_example_of_the_docs(app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio_client")
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "docs" / "app.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(example.replace("http://127.0.0.1:7860", app.local_url), {})
    hit = media.read_sound(tmp_path / "hit.wav")
    assert hit.seconds == pytest.approx(1.5, abs=1e-3)
    assert np.abs(hit.samples).max() > 1e-4


def test_the_next_free_port_is_taken() -> None:
    from synesthesia.app.serve import free_port

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port("127.0.0.1", port) > port


# --- what goes with it -----------------------------------------------------------------------------------------------


def test_what_stands_on_a_public_stage_is_this_app() -> None:
    """The container starts a command that there is, at the port that the stage is told."""
    from synesthesia import cli

    docker, told = ((ROOT / "stage" / name).read_text() for name in ("Dockerfile", "README.md"))
    (command,) = re.findall(r"^CMD (.*)$", docker, re.MULTILINE)
    words = json.loads(command)
    assert words[:2] == ["synesthesia", "app"]
    port = words[words.index("--port") + 1]
    assert f"app_port: {port}" in told
    assert f"EXPOSE {port}" in docker
    assert "--public" in words
    with pytest.raises(SystemExit) as ended:
        cli.main([*words[1:], "--help"])
    assert ended.value.code == 0


def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cells = json.loads((ROOT / "docs" / "synesthesia.ipynb").read_text())["cells"]
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code" and not text.startswith("%"):
            exec(compile(text.replace("seconds=4.0", "seconds=0.5"), cell["id"], "exec"), scope)
        assert not cell.get("outputs")
    assert scope["scene"].mix.seconds == pytest.approx(0.5, abs=0.01)
    assert 0 <= scope["found"].confidence <= 1


def test_a_load_is_borne(capsys: pytest.CaptureFixture[str]) -> None:
    from synesthesia import cli

    assert cli.main(["bench", "app", "--users", "3", "--actions", "6", "--port", "27960", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["done"], told["lost"]) == (18, 0)
    assert len(told["rows"]) >= 4
    assert all(row["median_ms"] > 0 for row in told["rows"])


def test_growth_is_of_the_last_by_the_first() -> None:
    from synesthesia.evaluate.load import _growth

    assert _growth([100.0] * 10) == 0
    assert _growth([100.0] * 8 + [110.0] * 2) == pytest.approx(0.1)
    assert _growth([]) is None


# --- in a browser ----------------------------------------------------------------------------------------------------


def test_scripts_declare_nothing_twice() -> None:
    """They are joined into one."""
    names = re.findall(r"^(?:async )?(?:function\*?|class|const|let) (\w+)", assets.script("app"), re.MULTILINE)
    assert len(names) == len(set(names)), sorted(n for n in names if names.count(n) > 1)


def test_both_languages_say_everything() -> None:
    text = assets.read("apptexts.js")
    english, chinese = (set(re.findall(r"^    (\w+):", part, re.MULTILINE)) for part in text.split("TEXTS.zh"))
    assert english == chinese


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as made:
        yield made


class Visit:
    """A page, and whatever it did that it should not."""

    def __init__(self, browser: Any, app: Any, **options: Any) -> None:
        self.page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, "locale": "en", **options})
        self.seen = Seen()
        self.seen.watch(self.page)
        self.address = app.local_url
        self.page.goto(self.address)
        self.page.wait_for_selector("html[data-ready=yes]", timeout=60_000)
        self.page.evaluate("document.addEventListener('struck', e => window.lastStruck = e.detail)")

    def end(self) -> None:
        self.page.close()
        assert self.seen.errors == []
        assert self.seen.abroad(self.address) == []

    def open(self, demo: str) -> None:
        self.page.click(f"[data-demo={demo}]")
        self.page.wait_for_selector("html[data-opened]", timeout=60_000)

    def touch(self, x: float, y: float) -> None:
        self.page.locator("#picture canvas").scroll_into_view_if_needed()
        box = self.page.locator("#picture canvas").bounding_box()
        self.page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])

    def struck(self, since: Any = None) -> np.ndarray:
        """The samples that the page got to hear, once they are new."""
        until(self.page, "window.lastStruck && window.lastStruck.samples.length > 0", 60)
        told = self.page.evaluate(
            "(() => { const s = Array.from(window.lastStruck.samples); window.lastStruck = null; return s; })()"
        )
        return np.array(told)

    def shot(self, name: str) -> None:
        OUT.mkdir(exist_ok=True)
        self.page.screenshot(path=OUT / f"app-{name}.png", full_page=True)

    def slide(self, name: str, value: float) -> None:
        self.page.locator(f"#{name}").evaluate(
            "(field, value) => { field.value = value; field.dispatchEvent(new Event('input', {bubbles: true})); }",
            str(value),
        )


@pytest.fixture
def visit(browser: Any, app: Any) -> Iterator[Visit]:
    made = Visit(browser, app)
    yield made
    made.end()


def pitch(samples: np.ndarray, rate: float = 48_000) -> float:
    """The lowest frequency with a fiftieth of the loudest's power, in Hz: mallet and noise do not move it."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float(np.fft.rfftfreq(len(samples), 1 / rate)[np.flatnonzero(power > 0.02 * power.max())[0]])


def test_knock_with_force_and_sliders(visit: Visit) -> None:
    visit.open("wooden_bowl")
    visit.page.click("#tools-knock")
    visit.touch(*BOWL)
    usual = visit.struck()
    assert np.abs(usual).max() > 1e-5
    visit.shot("knock")

    visit.slide("force", 10)
    np.testing.assert_allclose(visit.struck(), 2 * usual, rtol=1e-4, atol=1e-6)  # linear in force
    visit.slide("force", 5)
    visit.struck()
    visit.slide("size", 1)  # twice the size is half the pitch
    assert pitch(visit.struck()) < 0.6 * pitch(usual)
    visit.slide("size", 0)
    visit.struck()
    visit.slide("stiffness", 2)
    stiff = visit.struck()
    assert pitch(stiff) > pitch(usual)
    visit.slide("stiffness", 0)
    visit.struck()
    visit.slide("damping", 2)
    damped = visit.struck()
    tail = slice(4800, None)
    assert (damped[tail] ** 2).sum() < (usual[tail] ** 2).sum()

    # Pulled back, a mallet hits harder the farther it was pulled.
    box = visit.page.locator("#picture canvas").bounding_box()
    x, y = box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"]
    forces = []
    for pull in (40, 160):
        visit.page.mouse.move(x, y)
        visit.page.mouse.down()
        visit.page.mouse.move(x, y + pull, steps=3)
        visit.page.mouse.up()
        until(visit.page, "window.lastStruck")
        forces.append(math.hypot(*visit.page.evaluate("window.lastStruck.settings.force")))
        visit.struck()
    assert forces[1] > 2 * forces[0]


def test_the_browser_strikes_as_the_verb_does(visit: Visit, app: Any) -> None:
    visit.open("wooden_bowl")
    visit.page.click("#tools-knock")
    visit.touch(*BOWL)
    here = visit.struck()
    asked = visit.page.evaluate("synesthesia.struck.asked()")
    image = media.read_image(app.room.demos["wooden_bowl"])
    there = verbs.default().knock(image, tuple(asked["at"]), rate=48_000).sound.samples[0]
    # Noise of the contact is drawn otherwise; what rings is the same.
    spectra = [np.abs(np.fft.rfft(s)) for s in (here, there)]
    assert np.corrcoef(*spectra)[0, 1] > 0.95
    assert 20 * abs(math.log10((here**2).sum() / (there**2).sum())) / 2 < 1.0


def test_upload_hover_click_and_box(visit: Visit, app: Any, tmp_path: Path) -> None:
    photo = tmp_path / "mine.jpg"
    photo.write_bytes(app.room.demos["beach"])
    visit.page.set_input_files("#file", photo)
    visit.page.wait_for_selector("html[data-opened]", timeout=60_000)
    visit.page.wait_for_selector("[data-looked]", timeout=60_000)
    box = visit.page.locator("#picture canvas").bounding_box()
    sure = []
    for x, y in ((0.4, 0.85), (0.1, 0.05)):  # the fire, and the sky
        visit.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        until(visit.page, "synesthesia.root.dataset.hover")
        sure.append(int(visit.page.evaluate("synesthesia.root.dataset.hover")))
    assert sure[0] > sure[1]
    visit.shot("hover")

    visit.page.evaluate("synesthesia.root.addEventListener('heard', e => (window.lastHeard = e.detail))")
    visit.page.evaluate("synesthesia.find('set-hear-seconds').value = '2'")
    visit.touch(0.4, 0.85)
    until(visit.page, "window.lastHeard", 60)
    length, level = visit.page.evaluate("[lastHeard.samples.length, Math.max(...lastHeard.samples)]")
    assert length == pytest.approx(2 * 48_000, abs=500)
    assert 0.001 < level <= 1.0
    assert "seed 0" in visit.page.inner_text("#heard-told")
    assert visit.page.evaluate("location.hash.length") > 10

    visit.page.evaluate("window.lastHeard = null")
    visit.page.click("#tools-box")
    visit.page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.6 * box["height"])
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.95 * box["height"], steps=4)
    visit.page.mouse.up()
    until(visit.page, "window.lastHeard", 60)
    visit.shot("heard")


def test_walking_turns_the_sound(visit: Visit) -> None:
    visit.open("beach")
    visit.page.click("#hear-all")
    visit.page.wait_for_selector("[data-staged]", timeout=120_000)
    levels = []
    for side in (1, -1):
        # All sources on one side: turned away from them by a quarter.
        visit.page.evaluate(f"synesthesia.plan.setListener({{x: 0, y: 0, z: 0, yaw: {90 * side}}})")
        visit.page.evaluate(
            "synesthesia.stems.root.querySelectorAll('.mute')[synesthesia.stems.root.children.length - 1]"
            ".setAttribute('aria-pressed', 'true'); synesthesia.stems.apply()"
        )
        visit.page.wait_for_timeout(600)
        told = visit.page.evaluate("""async () => { let l = 0, r = 0; for (let k = 0; k < 25; k++) {
            const v = synesthesia.engine.levels(); l += v.left; r += v.right;
            await new Promise(d => setTimeout(d, 40)); }
            return [l, r]; }""")
        levels.append(10 * math.log10(told[0] / told[1]))
    # A listener who turns left has what was ahead on the right.
    assert levels[0] < -1
    assert levels[1] > 1
    visit.shot("walk")


def test_locate_lights_the_picture(visit: Visit, tmp_path: Path) -> None:
    from synesthesia.worlds import noises

    visit.open("beach")
    fire = noises.sound("fire", {"size_m": 1.0}, 3.0, 5.0, seed=0)
    fire.save(tmp_path / "fire.wav")
    visit.page.set_input_files("#sound-file", tmp_path / "fire.wav")
    visit.page.wait_for_selector("#located:not([hidden])", timeout=60_000)
    assert "% sure that the picture shows it" in visit.page.inner_text("#located")
    visit.shot("locate")

    # The same sound, drawn: four pictures, others when asked again, and one where the brush painted into the photo.
    drawn = "Array.from(document.querySelectorAll('#drawn img'), i => [i.dataset.seed, i.src, i.naturalWidth])"
    visit.page.click("#draw")
    until(visit.page, f"{drawn}.length === 4 && {drawn}.every(i => i[2] > 0)", 60)
    first = visit.page.evaluate(drawn)
    assert [seed for seed, *_ in first] == ["0", "1", "2", "3"]
    assert len({picture for _, picture, _ in first}) == 4
    assert "seeds from 0" in visit.page.inner_text("#drawn-told")
    visit.page.click("#draw")
    until(visit.page, f"{drawn}[0][0] === '4'", 60)
    paint(visit, 0.3, 0.7, 0.5)
    visit.page.click("#draw")
    until(visit.page, f"{drawn}.length === 1 && {drawn}[0][2] > 128", 60)
    visit.shot("see")


def paint(visit: Visit, x0: float, x1: float, y: float) -> None:
    """A stroke of the brush from left to right."""
    visit.page.click("#tools-mask")
    visit.page.locator("#picture canvas").scroll_into_view_if_needed()
    box = visit.page.locator("#picture canvas").bounding_box()
    visit.page.mouse.move(box["x"] + x0 * box["width"], box["y"] + y * box["height"])
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + x1 * box["width"], box["y"] + y * box["height"], steps=6)
    visit.page.mouse.up()


def test_what_is_painted_is_heard_and_said(visit: Visit) -> None:
    visit.open("beach")
    visit.page.evaluate("synesthesia.root.addEventListener('heard', e => (window.lastHeard = e.detail))")
    visit.page.evaluate("synesthesia.find('set-hear-seconds').value = '1'")
    paint(visit, 0.35, 0.5, 0.85)
    visit.page.click("#listen-mask")
    until(visit.page, "window.lastHeard", 60)
    assert visit.page.evaluate("lastHeard.samples.length") == pytest.approx(48_000, abs=500)
    assert visit.page.evaluate("location.hash") == ""  # no address holds a mask

    visit.page.click("#tool-describe summary")
    visit.page.click("#tool-describe .strong")
    until(visit.page, "document.querySelectorAll('#tool-describe .results li').length >= 5", 60)
    assert re.search(r"fire \(0\.\d\d\)", visit.page.inner_text("#tool-describe output"))


def test_a_path_is_walked_again_and_downloaded(visit: Visit, tmp_path: Path) -> None:
    visit.open("beach")
    visit.page.click("#hear-all")
    visit.page.wait_for_selector("[data-staged]", timeout=120_000)
    visit.page.click("#record")
    for step in range(5):
        visit.page.evaluate(
            f"synesthesia.plan.setListener({{x: {-0.4 * step}, y: 0, z: {-0.5 * step}, yaw: {9 * step}}})"
        )
        visit.page.wait_for_timeout(300)
    visit.page.click("#record")
    with visit.page.expect_download(timeout=120_000) as download:
        visit.page.click("#render")
    download.value.save_as(tmp_path / "walk.wav")
    walked = media.read_sound(tmp_path / "walk.wav")
    assert walked.samples.shape[0] == 2
    assert 1.0 <= walked.seconds <= 4.0
    assert np.abs(walked.samples).max() > 1e-4


def test_a_download_holds_as_many_knocks_as_one_likes(visit: Visit, tmp_path: Path) -> None:
    visit.open("wooden_bowl")
    visit.page.click("#tools-knock")
    visit.page.evaluate("synesthesia.find('set-knock-variations').value = '3'")
    visit.touch(*BOWL)
    visit.struck()
    with visit.page.expect_download(timeout=60_000) as download:
        visit.page.click("#download")
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as file:
        (result,) = json.loads(file.read("settings.json"))["results"]
        sounds = [file.read(name) for name in result["files"]]
    assert len(set(sounds)) == 3
    assert result["settings"]["variations"] == 3


def test_long_work_is_cancelled(visit: Visit) -> None:
    visit.open("beach")
    visit.page.evaluate("synesthesia.find('set-hear-seconds').value = '60'")
    visit.touch(0.4, 0.85)
    until(visit.page, "!document.querySelector('#busy').hidden && document.querySelector('#progress').value > 0", 60)
    visit.page.click("#cancel")
    until(visit.page, "document.querySelector('#busy').hidden", 20)
    assert visit.page.evaluate("document.querySelector('#problem').hidden")
    visit.page.evaluate("synesthesia.find('set-hear-seconds').value = '1'")
    visit.page.evaluate("synesthesia.root.addEventListener('heard', e => (window.lastHeard = e.detail))")
    visit.touch(0.4, 0.85)  # and the next is served
    until(visit.page, "window.lastHeard", 60)


def test_chinese_dark_and_a_phone(browser: Any, app: Any) -> None:
    visit = Visit(browser, app, viewport={"width": 360, "height": 740}, color_scheme="dark", has_touch=True)
    assert visit.page.get_attribute("html", "data-theme") == "dark"
    visit.page.click("#language")
    assert visit.page.inner_text("#welcome-title") == "把照片拖到这里，或选择一张"
    assert visit.page.get_attribute("html", "lang") == "zh-CN"
    visit.open("brass_bell")
    visit.page.click("#tools-knock")
    visit.touch(0.8, 0.68)
    visit.struck()
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
    visit.shot("phone")
    visit.end()


def test_with_the_keyboard_alone(visit: Visit) -> None:
    page = visit.page

    def reach(selector: str) -> None:
        for _ in range(60):
            if page.evaluate("s => document.activeElement?.matches(s)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {selector}")

    reach("[data-demo=ceramic_bowl]")
    page.keyboard.press("Enter")
    page.wait_for_selector("html[data-opened]", timeout=60_000)
    page.evaluate("document.activeElement?.blur()")
    reach("#tools-place")
    page.keyboard.press("ArrowLeft")  # round to the last: knock
    assert page.get_attribute("#tools-knock", "aria-checked") == "true"
    for _ in range(40):
        if page.evaluate("document.activeElement?.matches('#picture canvas')"):
            break
        page.keyboard.press("Shift+Tab")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    assert np.abs(visit.struck()).max() > 0
    visit.shot("keyboard")


def test_a_link_repeats_a_knock(browser: Any, app: Any, visit: Visit) -> None:
    visit.open("brass_bell")
    visit.page.click("#tools-knock")
    visit.touch(0.8, 0.68)
    visit.struck()
    visit.slide("mass", 1)
    first = visit.struck()
    link = visit.page.evaluate("new URL(synesthesia.link(), location.href).href")
    other = Visit(browser, app)
    other.page.goto("about:blank")
    other.page.goto(link)
    other.page.wait_for_selector("html[data-opened]", timeout=60_000)
    asked = other.page.evaluate("synesthesia.struck.asked()")
    assert asked == visit.page.evaluate("synesthesia.struck.asked()")
    assert asked["mass"] == 2
    sounds = [page.evaluate("Array.from(synesthesia.struck.samples)") for page in (visit.page, other.page)]
    np.testing.assert_allclose(sounds[0], sounds[1], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(sounds[0], first, rtol=1e-6, atol=1e-9)
    other.end()
