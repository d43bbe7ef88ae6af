"""Fetch the files of a table from where the public has them: by HTTPS, each checked against the hash that git gives it.

A file's address is HOST/REPOSITORY/COMMIT/PATH. Nothing is trusted but the hash: what does not have it is not written.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import hub, media
from ..senses import InputError
from .table import TIERS, Item, Tier

HOST = "https://raw.githubusercontent.com"
HOST_VARIABLE = "SYNESTHESIA_RAW_HOST"  # names a mirror
MAX_FILE = 64 * 2**20
CONNECTIONS = 6
ATTEMPTS = 4
PAUSE = 1.0  # seconds before the second attempt; doubled before each further one
LONGEST_PAUSE = 60.0
TIMEOUT = 20.0  # seconds that a host may be silent
DEADLINE = 600.0  # seconds that a file may take
ASKED = 24  # files whose sizes are asked for before anything is fetched, to tell about how much it will be

_BUSY = (408, 425, 429, 500, 502, 503, 504)  # what a host answers that may have the file a little later
_NO_SIZES = (405, 501)  # what a host answers that does not tell sizes
_SHOWN = 6  # licences of a tier, origins and failures that are told one by one


@dataclass(frozen=True)
class Fetched:
    """What became of a table's rows: `kept` files were there already, `unknown` rows have no public origin."""

    fetched: int
    kept: int
    unknown: tuple[Item, ...]


class _FetchError(Exception):
    """This file cannot be had; the message says why, after the file's name."""


class _UnreachableError(_FetchError):
    """The host does not answer at all, so that nothing else can be had either."""


def fetch(
    items: Iterable[Item],
    out: str | Path,
    *,
    tiers: Collection[Tier] = TIERS,
    yes: bool = False,
    progress: bool = True,
) -> Fetched:
    """Bring the files of a table to the folder `out`, by their names there; rows of other tiers than `tiers` are left.

    Files that are there with the right hash are kept, so that a stopped run goes on where it was. How many files of
    which size, tier and licence there are to fetch is told first, and asked for unless `yes`. Raises InputError for an
    origin that is none, for a file in `out` that is another than the table's, when nobody agrees, when the host cannot
    be reached (naming it and SYNESTHESIA_RAW_HOST), and at the end when some files could not be had.
    """
    folder = Path(out)
    base = host()
    chosen = [item for item in items if item.tier in tiers]
    unknown = tuple(item for item in chosen if not (item.repository and item.commit and item.git_blob))
    known = [item for item in chosen if item.repository and item.commit and item.git_blob]
    addresses = {item.file: address(item, base) for item in known}
    missing = [item for item in known if not _is_here(folder, item)]
    if unknown:
        print(_tell_unknown(unknown), file=sys.stderr)
    if not missing:
        return Fetched(0, len(known), unknown)
    spread = missing[:: -(-len(missing) // ASKED)]
    try:
        sizes = _sizes([addresses[item.file] for item in spread])
    except _FetchError as error:
        raise InputError(_no_answer(base, str(error))) from error
    print(_tell(missing, base), file=sys.stderr)
    hub.agree(_tell_size(len(missing), len(known) - len(missing), sizes, folder), yes)

    try:
        failed = _download(missing, addresses, folder, progress)
    except _UnreachableError as error:
        raise InputError(_no_answer(base, str(error)) + " What came until now is kept.") from error
    if failed:
        listed = "\n  ".join(failed[:_SHOWN] + [f"and {len(failed) - _SHOWN} more"] * (len(failed) > _SHOWN))
        raise InputError(
            f"{len(failed)} of {len(missing)} files could not be had:\n  {listed}\n"
            "Run the same command again to try them once more; what is there is kept."
        )
    return Fetched(len(missing), len(known) - len(missing), unknown)


def host() -> str:
    """Where files are fetched from: SYNESTHESIA_RAW_HOST, else GitHub's host of raw files. InputError for nonsense."""
    base = (os.environ.get(HOST_VARIABLE) or HOST).rstrip("/")
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", base):
        raise InputError(f"{HOST_VARIABLE} has to be an address such as {HOST}, not {base!r}.")
    return base


def address(item: Item, base: str) -> str:
    """The address of a row's file; InputError when its origin is not repository @ commit, path and blob of git."""
    names = item.path.split("/")
    if (
        not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*", item.repository, re.ASCII)
        or not re.fullmatch(r"[0-9a-f]{40}", item.commit)
        or not re.fullmatch(r"[0-9a-f]{40}", item.git_blob)
        or not item.path.isprintable()
        or any(name in ("", ".", "..") for name in names)
    ):
        raise InputError(
            f"{item.file}: {item.repository[:80]!r} @ {item.commit[:40]!r}, {item.path[:80]!r} with the blob "
            f"{item.git_blob[:40]!r} is not a file of a public repository."
        )
    return f"{base}/{item.repository}/{item.commit}/{urllib.parse.quote(item.path)}"


def git_blob(data: bytes) -> str:
    """The hash by which git knows a file: SHA-1 of "blob ", its size, a zero byte, and its bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _is_here(folder: Path, item: Item) -> bool:
    path = folder / item.file
    if not path.exists():
        return False
    if git_blob(media.read_bytes(path, MAX_FILE)) != item.git_blob:
        raise InputError(f"{path} is another file than the table's; move it away, or choose another folder.")
    return True


# --- telling before fetching ------------------------------------------------------------------------------------------


def _tell(items: Sequence[Item], base: str) -> str:
    lines = [f"From {len({item.repository for item in items})} repositories at {base}:"]
    for tier in TIERS:
        ours = [item for item in items if item.tier == tier]
        if ours:
            licences = Counter(item.licence for item in ours).most_common()
            shown = [f"{licence} ({count})" for licence, count in licences[:_SHOWN]]
            shown += [f"{len(licences) - _SHOWN} more"] * (len(licences) > _SHOWN)
            meaning = {"open": "", "research": " (weights say research use)", "never": " (measured only)"}[tier]
            lines.append(f"  {tier}{meaning}: {len(ours)} files. {'; '.join(shown)}.")
    return "\n".join([*lines, "The table names licence and author of every file."])


def _tell_size(count: int, kept: int, sizes: Sequence[int], folder: Path) -> str:
    text = f"{count} files to {folder}"
    if sizes:
        about = "" if len(sizes) == count else "about "
        text += f", {about}{sum(sizes) / len(sizes) * count / 2**20:.1f} MB"
        text += f" (by the sizes of {len(sizes)})" if about else ""
    else:
        text += ", of sizes that the host does not tell"
    return f"{text}; {kept} are there already."


def _tell_unknown(items: Sequence[Item]) -> str:
    named = Counter(item.repository or "no origin" for item in items)
    rows = "; ".join(f"{name}, {count} rows" for name, count in named.most_common(_SHOWN))
    return f"Skipped, as the table names no public file: {rows} (such as {items[0].file})."


def _no_answer(base: str, why: str) -> str:
    return (
        f"{urllib.parse.urlsplit(base).hostname} gives no files: {why}. When it cannot be reached from here, set "
        f"{HOST_VARIABLE} to the address of a mirror that serves REPOSITORY/COMMIT/PATH; HTTPS_PROXY is honoured."
    )


def _sizes(urls: Sequence[str]) -> list[int]:
    """The sizes in bytes that the host tells for these; _FetchError when it has none of them."""
    opener, stop = _opener(), threading.Event()
    sizes: list[int] = []
    why = ""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        try:
            for asked in [pool.submit(_ask, opener, url, stop, "HEAD") for url in urls]:
                try:
                    sizes.append(asked.result()[0])
                except _UnreachableError:
                    raise
                except _FetchError as error:
                    why = str(error)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    if not sizes:
        raise _FetchError(why)
    return [size for size in sizes if size]


# --- fetching ---------------------------------------------------------------------------------------------------------


def _download(items: Sequence[Item], addresses: Mapping[str, str], folder: Path, progress: bool) -> list[str]:
    """Fetch all, several at a time; the files that could not be had, each with the reason. An exception stops all."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("fetching"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    opener, stop = _opener(), threading.Event()
    failed = []
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task("", total=len(items))
        pool = ThreadPoolExecutor(CONNECTIONS)
        try:
            jobs = {pool.submit(_bring, opener, item, addresses[item.file], folder, stop): item for item in items}
            for job in as_completed(jobs):
                try:
                    job.result()
                except _UnreachableError:
                    raise
                except _FetchError as error:
                    failed.append(f"{jobs[job].file}: {error}")
                bar.advance(task)
        finally:  # after an error or Ctrl-C no further file is begun, and those under way are dropped
            stop.set()
            pool.shutdown(cancel_futures=True)
    return sorted(failed)


def _bring(opener: urllib.request.OpenerDirector, item: Item, url: str, folder: Path, stop: threading.Event) -> None:
    _, data = _ask(opener, url, stop)
    found = git_blob(data)
    if found != item.git_blob:
        raise _FetchError(f"the host gave another file (git blob {found[:12]} instead of {item.git_blob[:12]})")
    path = folder / item.file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot make the folder {path.parent}: {error.strerror}.") from error
    media.write_bytes(path, data)


def _ask(
    opener: urllib.request.OpenerDirector, url: str, stop: threading.Event, method: str = "GET"
) -> tuple[int, bytes]:
    """The size that the host claims (0: it does not say) and the body.

    What may pass (a busy host, a broken connection) is tried again, later each time. Raises _FetchError in the end, and
    _UnreachableError when there never was a connection.
    """
    pause = PAUSE
    for left in reversed(range(ATTEMPTS)):
        if stop.is_set():
            raise _FetchError("stopped")
        try:
            with opener.open(urllib.request.Request(url, method=method), timeout=TIMEOUT) as answer:
                size = _number(answer.headers.get("Content-Length"))
                return size, _body(answer, size, stop) if method == "GET" else b""
        except urllib.error.HTTPError as error:
            with error:
                if method == "HEAD" and error.code in _NO_SIZES:
                    return 0, b""
                failure, asked = _FetchError(f"HTTP {error.code} {error.reason}"), error.headers.get("Retry-After")
            if error.code not in _BUSY:
                raise failure from error
            pause = max(pause, _number(asked))
        except (urllib.error.URLError, UnicodeError) as error:
            failure = _UnreachableError(str(getattr(error, "reason", error)))
        except (OSError, http.client.HTTPException) as error:
            failure = _FetchError(f"the connection broke ({error or type(error).__name__})")
        if left:
            stop.wait(min(pause, LONGEST_PAUSE))
            pause *= 2
    raise failure


def _body(answer: Any, size: int, stop: threading.Event) -> bytes:
    """The bytes of an answer, in bounded space and time; an OSError when it ends before the `size` that it claimed."""
    parts, held, deadline = [], 0, time.monotonic() + DEADLINE
    while part := answer.read(2**16):
        parts.append(part)
        held += len(part)
        if max(held, size) > MAX_FILE:
            raise _FetchError(f"it is larger than {MAX_FILE // 2**20} MB")
        if stop.is_set() or time.monotonic() > deadline:
            raise _FetchError("stopped" if stop.is_set() else f"it takes longer than {DEADLINE:.0f} s")
    if held < size:
        raise OSError(f"{held} of {size} bytes came")
    return b"".join(parts)


def _number(header: str | None) -> int:
    """A number of bytes or seconds from a header; 0 for what is none."""
    return int(header) if header and re.fullmatch("[0-9]{1,18}", header) else 0


def _opener() -> urllib.request.OpenerDirector:
    """One that knows http and https only: wherever a redirect may lead, no file of this machine is opened."""
    opener = urllib.request.OpenerDirector()
    opener.addheaders = [("User-Agent", "synesthesia")]
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(), urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(), urllib.request.UnknownHandler(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener
