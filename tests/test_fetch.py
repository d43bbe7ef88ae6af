"""Fetching a table's files, from a host on this machine's loopback: nothing gets in that does not have the hash."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import threading
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia import cli, data
from synesthesia.data import fetch
from synesthesia.senses import InputError

COMMIT = "c0ffee" + "0" * 34
FILES = {f"sounds/clip {n} ä#%?.wav": b"take %d" % n * (n + 1) for n in range(9)}
Answer = Callable[[http.server.BaseHTTPRequestHandler, bytes], None]


def item(name: str, content: bytes, **changed: str) -> data.Item:
    """A row for a file of the public repository o/r, kept here under another name."""
    number = "".join(c for c in name if c.isdigit())
    row = data.Item(
        f"kinds/dog/{number}.ogg", "sound", "dog", "train", f"r{number}", "open", "CC0", "somebody", "o/r", COMMIT,
        name, fetch.git_blob(content),
    )  # fmt: skip
    return replace(row, **changed)


ITEMS = [item(name, content) for name, content in FILES.items()]


@dataclass
class Host:
    """What the host answers, and what it was asked: `answers` stand in for single files, `base` is its address."""

    base: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    answers: dict[str, list[Answer]] = field(default_factory=dict)


def send(handler: http.server.BaseHTTPRequestHandler, content: bytes, *, code: int = 200, size: int = -1) -> None:
    handler.send_response(code)
    handler.send_header("Content-Length", str(len(content) if size < 0 else size))
    if code == 302:
        handler.send_header("Location", "file:///etc/passwd")
    handler.end_headers()
    if handler.command == "GET":
        handler.wfile.write(content)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    made = Host()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = urllib.parse.unquote(self.path).removeprefix(f"/mirror/o/r/{COMMIT}/")
            made.asked[f"{self.command} {name}"] += 1
            queue = made.answers.get(name, []) if self.command == "GET" else []
            if queue:
                (queue.pop(0) if len(queue) > 1 else queue[0])(self, FILES.get(name, b""))
            else:
                send(self, FILES.get(name, b""), code=200 if name in FILES else 404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made.base = f"http://127.0.0.1:{server.server_port}/mirror"
    monkeypatch.setenv(fetch.HOST_VARIABLE, made.base + "/")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(fetch, "PAUSE", 0.01)
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def bring(out: Path, items: list[data.Item] = ITEMS, **options: object) -> fetch.Fetched:
    return fetch.fetch(items, out, **{"yes": True, "progress": False, **options})


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


WHOLE = {i.file: FILES[i.path] for i in ITEMS}


def test_the_hash_is_that_of_git(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"some\0bytes\n")
    told = subprocess.run(["git", "hash-object", "--no-filters", tmp_path / "a"], capture_output=True, check=True)
    assert fetch.git_blob(b"some\0bytes\n") == told.stdout.decode().strip()


def test_a_table_is_fetched_once_and_kept(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bring(tmp_path) == fetch.Fetched(len(ITEMS), 0, ())
    assert files(tmp_path) == WHOLE
    told = capsys.readouterr().err
    for words in (host.base, "open: 9 files. CC0 (9)", "9 files to", "0.0 MB", "0 are there"):
        assert words in told
    before = dict(host.asked)
    assert bring(tmp_path) == fetch.Fetched(0, len(ITEMS), ())
    assert host.asked == before, "what is there is not asked for again"
    (tmp_path / ITEMS[3].file).unlink()
    assert bring(tmp_path) == fetch.Fetched(1, len(ITEMS) - 1, ())
    assert files(tmp_path) == WHOLE


def test_only_some_tiers_and_only_public_origins(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = [*ITEMS]
    items[0] = replace(ITEMS[0], tier="research")
    items[1] = replace(ITEMS[1], repository="")
    items[2] = replace(ITEMS[2], repository="Some Set", commit="")
    assert bring(tmp_path, items, tiers=("open",)) == fetch.Fetched(6, 0, (items[1], items[2]))
    assert set(files(tmp_path)) == {i.file for i in items[3:]}
    told = capsys.readouterr().err
    assert "no origin, 1 rows; Some Set, 1 rows" in told
    assert "research" not in told


def test_nothing_is_fetched_without_consent(host: Host, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="add --yes"):
        bring(tmp_path, yes=False)
    assert not files(tmp_path)
    assert not [asked for asked in host.asked if asked.startswith("GET")]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda h, c: send(h, c + b"!"), "another file"),
        (lambda h, c: send(h, c[:-3], size=len(c)), "bytes came|broke"),
        (lambda h, c: send(h, b"", code=404), "HTTP 404"),
        (lambda h, c: send(h, b"", code=503), "HTTP 503"),
        (lambda h, c: send(h, c, size=fetch.MAX_FILE + 1), "larger than"),
    ],
    ids=["wrong", "truncated", "gone", "busy", "huge"],
)
def test_a_bad_answer_is_told_and_nothing_of_it_is_written(
    host: Host, tmp_path: Path, answer: Answer, words: str
) -> None:
    bad = ITEMS[4]
    host.answers[bad.path] = [answer]
    with pytest.raises(InputError, match=rf"1 of 9 files could not be had(.|\n)*{bad.file}.*({words})"):
        bring(tmp_path)
    assert files(tmp_path) == {name: content for name, content in WHOLE.items() if name != bad.file}
    host.answers.clear()
    assert bring(tmp_path) == fetch.Fetched(1, 8, ())
    assert files(tmp_path) == WHOLE


def test_what_may_pass_is_tried_again(host: Host, tmp_path: Path) -> None:
    names = [i.path for i in ITEMS]
    host.answers[names[0]] = [lambda h, c: send(h, b"", code=429), send]
    host.answers[names[1]] = [lambda h, c: send(h, c[:2], size=len(c)), lambda h, c: h.connection.close(), send]
    bring(tmp_path)
    assert files(tmp_path) == WHOLE
    assert [host.asked[f"GET {name}"] for name in names[:3]] == [2, 3, 1]


def test_a_redirect_to_a_file_of_this_machine_is_not_followed(host: Host, tmp_path: Path) -> None:
    host.answers[ITEMS[0].path] = [lambda h, c: send(h, b"", code=302)]
    with pytest.raises(InputError, match="HTTP 302"):
        bring(tmp_path)
    assert ITEMS[0].file not in files(tmp_path)


def test_a_file_of_the_users_is_not_overwritten(host: Host, tmp_path: Path) -> None:
    path = tmp_path / ITEMS[0].file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="another file than the table's"):
        bring(tmp_path)
    assert files(tmp_path) == {ITEMS[0].file: b"mine"}
    assert not host.asked


def test_stopping_leaves_whole_files_only(host: Host, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Ctrl-C while files are coming: what came whole stays, and the next run goes on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may have begun without
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    waiting = threading.Event()

    def interrupt(handler: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:2])
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        waiting.wait(0.2)
        handler.wfile.write(content[2:])

    host.answers[ITEMS[2].path] = [interrupt, send]
    with pytest.raises(KeyboardInterrupt):
        bring(tmp_path)
    assert files(tmp_path).items() <= WHOLE.items()
    assert len(files(tmp_path)) < len(WHOLE)
    bring(tmp_path)
    assert files(tmp_path) == WHOLE


def test_an_unreachable_host_is_named_with_its_override(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for base in ("http://127.0.0.1:9", "http://a..b"):
        monkeypatch.setenv(fetch.HOST_VARIABLE, base)
        with pytest.raises(InputError, match=rf"(127.0.0.1|a..b) gives no files: .*{fetch.HOST_VARIABLE}"):
            bring(tmp_path)
    monkeypatch.setenv(fetch.HOST_VARIABLE, host.base + "/elsewhere")
    with pytest.raises(InputError, match=r"127\.0\.0\.1 gives no files: HTTP 404"):
        bring(tmp_path)
    for nonsense in ("mirror.example", "file:///etc", "https://", "https://a b", "https://me:secret@a", "ftp://a"):
        monkeypatch.setenv(fetch.HOST_VARIABLE, nonsense)
        with pytest.raises(InputError, match="has to be an address"):
            bring(tmp_path)
    assert not files(tmp_path)


def test_a_host_that_breaks_off_in_the_middle_is_unreachable(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_sizes", lambda urls: [1])
    monkeypatch.setenv(fetch.HOST_VARIABLE, "http://127.0.0.1:9")
    with pytest.raises(InputError, match="What came until now is kept"):
        bring(tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        {"path": "../../../other/repo/main/x.wav"}, {"path": "/x.wav"}, {"path": "a//b"}, {"path": "a/./b"},
        {"path": ""}, {"path": "a\nb"}, {"repository": "../r"}, {"repository": "o/r/s"}, {"repository": "o/.."},
        {"repository": "o/r?x"}, {"repository": "o r/s"}, {"commit": "main"}, {"commit": "../" + "0" * 37},
        {"git_blob": "0" * 39}, {"git_blob": "G" * 40},
    ],
)  # fmt: skip
def test_an_origin_that_climbs_is_refused_before_anything_is_asked(
    host: Host, tmp_path: Path, changed: dict[str, str]
) -> None:
    with pytest.raises(InputError, match="not a file of a public repository"):
        bring(tmp_path, [ITEMS[0], replace(ITEMS[1], **changed)])
    assert not host.asked
    assert not files(tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=20), st.text(max_size=40), st.text(max_size=20), st.text("0123456789abcdef", max_size=41))
def test_any_origin_gives_an_address_under_its_repository_or_a_sentence(
    repository: str, commit: str, path: str, blob: str
) -> None:
    row = replace(ITEMS[0], repository=repository, commit=commit, path=path, git_blob=blob)
    for one in (row, replace(ITEMS[0], path=path), replace(ITEMS[0], repository=repository)):
        try:
            url = fetch.address(one, "https://host.example")
        except InputError:
            continue
        parts = urllib.parse.urlsplit(url)
        assert (parts.netloc, parts.query, parts.fragment) == ("host.example", "", "")
        assert urllib.parse.unquote(parts.path) == os.path.normpath(f"/{one.repository}/{one.commit}/{one.path}")
        assert url.isascii()


def test_every_public_row_of_the_starter_table_has_an_address() -> None:
    items = [i for i in data.starter() if i.commit]
    assert len(items) > 2000
    assert all(fetch.address(i, fetch.HOST).startswith(f"{fetch.HOST}/{i.repository}/{i.commit}/") for i in items)


def test_the_command(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "table.csv"
    data.write(table, [*ITEMS[1:], replace(ITEMS[0], tier="research")])
    out = tmp_path / "out"
    assert cli.main(["data", "fetch", str(table), "-o", str(out), "--tier", "open"]) == 2
    assert "add --yes" in capsys.readouterr().err
    assert cli.main(["data", "fetch", str(table), "-o", str(out), "--tier", "open", "--yes"]) == 0
    assert "8 files" in capsys.readouterr().out
    assert files(out) == {i.file: FILES[i.path] for i in ITEMS[1:]}
    assert cli.main(["data", "fetch", "nothing.csv", "-o", str(out)]) == 2
