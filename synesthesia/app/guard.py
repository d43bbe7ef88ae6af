"""The door: which requests come in at all. Everything else is refused before any of it is parsed or stored."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

MAX_BODY = 36 * 2**20  # bytes of a request: the largest photo or sound in base64
MAX_DEPTH = 64  # of brackets within brackets

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# What the page and API clients need of Gradio's many routes. There is none that reads or writes a file of a request's
# choosing: no upload, no file=, no proxy=.
_READ = re.compile(
    r"/|/config/?|/theme\.css|/robots\.txt|/favicon\.ico|/manifest\.json|/pwa_icon(/\d+)?|/(static|assets)/[\w@./+-]+"
    r"|/gradio_api/(info/?|openapi\.json|startup-events|app_id/?|theme\.css|queue/data|queue/status"
    r"|heartbeat/[\w-]{1,64}|call/\w{1,40}/[\w-]{1,64})"
)
_WRITE = re.compile(r"/gradio_api/(component_server/?|queue/join/?|call/(v2/)?\w{1,40}/?|cancel/?|reset/?)")
_CSP = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "frame-ancestors {ancestors}; base-uri 'self'; form-action 'self'; object-src 'none'"
)


class Guard:
    """An ASGI application in front of another.

    A request's Host must be one of `hosts` (names without a port; None: any) or, with `numbers`, an address in numbers,
    which no foreign name can stand for. Where a browser says from which page a request comes (Origin), that must be a
    page of the same host: no other page can have a visitor's browser use the app.
    """

    def __init__(self, app: Any, hosts: set[str] | None, numbers: bool = False) -> None:
        self.app = app
        self.hosts = hosts
        self.numbers = numbers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refused(scope, headers)
        if refused is not None:
            await _answer(send, *refused)
            return
        if scope["method"] == "POST":
            body = await _body(receive, headers)
            problem = _problem(body, scope["path"])
            if problem is not None or body is None:
                await _answer(send, *(problem or (413, "")))
                return
            receive = _replay(body, receive)
        await self.app(scope, receive, _headed(send, self.hosts is None))

    def _refused(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = _name(headers.get("host", ""))
        if host is None or not (self.hosts is None or host in self.hosts or (self.numbers and _numeric(host))):
            return 421, "This app does not answer under that name. Start it with --host to have it do so."
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            return 403, "Only the app's own page may use it from a browser."
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") and scope["path"] != "/":
            return 403, "Only the app's own page may use it from a browser."
        path, method = scope["path"], scope["method"]
        if ".." in path or "\\" in path or "\0" in path:
            return 404, "There is nothing here."
        if method in ("GET", "HEAD"):
            return None if _READ.fullmatch(path) else (404, "There is nothing here.")
        if method == "POST":
            return None if _WRITE.fullmatch(path) else (404, "There is nothing here.")
        return 405, "Only GET and POST are understood."


def _name(host: str) -> str | None:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _body(receive: Receive, headers: dict[str, str]) -> bytes | None:
    """All of a request's body; None where it is too large."""
    told = headers.get("content-length", "0")
    if not told.isdigit() or int(told) > MAX_BODY:
        return None
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


def _problem(body: bytes | None, path: str) -> tuple[int, str] | None:
    """What is wrong with a body, before anything else looks at it."""
    if body is None:
        return 413, f"A request has up to {MAX_BODY >> 20} MB."
    if _depth(body) > MAX_DEPTH:
        return 400, "This JSON is nested too deeply."
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return 400, "A request's body is JSON."
    if not isinstance(told, dict):
        return 400, "A request's body is a JSON object."
    if "component_server" in path and not (
        isinstance(told.get("session_hash"), str)
        and len(told["session_hash"]) <= 64
        and isinstance(told.get("component_id"), int)
        and isinstance(told.get("fn_name"), str)
        and "data" in told
    ):
        return 400, "This is not what the app's page would send."
    if "/call/" in path and "/v2/" not in path and not isinstance(told.get("data"), list):
        return 400, 'The body is {"data": [...]} with the settings in their order; docs/app.md shows how.'
    return None


def _depth(body: bytes) -> int:
    """Brackets within brackets, those in texts too: an upper bound that takes no recursion."""
    depth = most = 0
    for found in re.finditer(rb"[\[{]|[\]}]", body):
        depth += 1 if found[0] in b"[{" else -1
        most = max(most, depth)
    return most


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _headed(send: Send, anywhere: bool) -> Send:
    """The answer with headers that keep the page to itself; an app on a model hub's stage stands in a frame there."""
    policy = _CSP.format(ancestors="*" if anywhere else "'self'")
    more = [
        (b"content-security-policy", policy.encode()), (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"), (b"permissions-policy", b"microphone=(self), camera=(self)"),
    ]  # fmt: skip

    async def headed(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *more]
        await send(message)

    return headed


async def _answer(send: Send, status: int, error: str) -> None:
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def names(host: str, more: Iterable[str] = ()) -> set[str]:
    """Under which names an app that listens at `host` is asked for."""
    own = {"127.0.0.1", "localhost", "::1"}
    return own | {host.lower(), *(name.lower() for name in more)}
