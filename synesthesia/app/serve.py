"""The app on the web: one page, and an endpoint for each verb, both made from the verbs themselves. Gradio serves it.

The page talks to a `Room` through functions of one component; the endpoints are Gradio's, so that `gradio_client` and
`curl` can use them. What a request says is JSON throughout; nothing of it becomes the name of a file.
"""

from __future__ import annotations

import inspect
import json
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from .. import verbs
from ..senses import InputError
from . import assets, guard, tools
from .room import Room

PORT = 7860
PORTS = 100  # that are tried
SESSIONS = 256  # of Gradio's own that are remembered
ENDPOINT_S = 120.0  # for which an endpoint works

# What an endpoint says about its parameters to those who look at /gradio_api/info.
_TYPES: dict[str, Any] = {
    "photo": str, "scene": str, "sound": str, "photo or sound": str, "mask": dict, "place": list, "places": list,
    "box": list, "force": Any, "hardness": Any, "factor": float, "path": list, "texts": list, "choice": str,
    "yes": bool, "whole": int, "number": float, "text": str,
}  # fmt: skip


def build(room: Room) -> Any:
    """The page and the endpoints as Gradio blocks."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported
    import gradio as gr

    with gr.Blocks(title="Synesthesia", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(
            html_template=assets.read("app.html"),
            js_on_load=assets.script("app") + "\nstart(element, server);",
            server_functions=_page_functions(room),
            apply_default_css=False,
            elem_id="synesthesia",
        )
        gr.api(_opener(room, gr.Error), api_name="open", concurrency_limit=4)
        for tool in room.tools.values():
            gr.api(_endpoint(room, tool, gr.Error), api_name=tool.name, concurrency_limit=8)
    return blocks.queue(max_size=64, default_concurrency_limit=8)


def _style() -> str:
    """The page's style. What Gradio says about buttons and headings is outweighed, by nesting ours in the page."""
    own = assets.style("synesthesia", "page")
    return (
        f"{assets.style('synesthesia', 'app')}\n.gradio-container .syn-app {{\n{own}\n{assets.style('appinside')}\n}}"
    )


def _page_functions(room: Room) -> list[Callable[[Any], Any]]:
    """What the page can call. Each takes an object and gives {"ok": …} or {"error": a sentence}."""

    def answering(work: Callable[[Mapping[str, Any]], Any], name: str) -> Callable[[Any], Any]:
        def answer(request: Any) -> dict[str, Any]:
            if not isinstance(request, Mapping):
                return {"error": "A request is an object."}
            try:
                return {"ok": work(request)}
            except InputError as error:
                return {"error": str(error)}

        answer.__name__ = name
        return answer

    def user(request: Mapping[str, Any]) -> str:
        told = request.get("user")
        if not isinstance(told, str) or not 16 <= len(told) <= 64:
            raise InputError("A request says who asks: a random text of 16 to 64 characters.")
        return told

    functions: dict[str, Callable[[Mapping[str, Any]], Any]] = {
        "hello": lambda request: room.hello(),
        "open": lambda request: _opened(room, request),
        "shut": lambda request: room.close_photo(request.get("photo")),
        "begin": lambda request: room.begin(user(request), request.get("what"), request.get("settings")),
        "perform": lambda request: room.do(user(request), request.get("what"), request.get("settings")),
        "more": lambda request: room.more(user(request), request.get("job"), request.get("have")),
        "cancel": lambda request: room.cancel(user(request), request.get("job")),
    }
    return [answering(work, name) for name, work in functions.items()]


def _opened(room: Room, request: Mapping[str, Any]) -> dict[str, Any]:
    told = room.open(request.get("file"), request.get("demo"))
    return told | room.shown(told["photo"])


def _opener(room: Room, failure: Callable[..., Exception]) -> Callable[..., dict]:
    def open(file: str | None = None, demo: str | None = None) -> dict:
        """Open a photo and get its ticket, which the verbs take as `photo`.

        Args:
            file: A JPEG, PNG or WebP in base64.
            demo: Instead of a file the name of a photo that ships with the project.
        """
        try:
            return room.open(file, demo)
        except InputError as error:
            raise failure(str(error), print_exception=False) from None

    return open


def _endpoint(room: Room, tool: tools.Tool, failure: Callable[..., Exception]) -> Callable[..., dict]:
    """A function with the tool's parameters, which Gradio makes an endpoint of."""

    def endpoint(*values: Any, **named: Any) -> dict:
        request = {p.name: value for p, value in zip(tool.parameters, values, strict=False)} | named
        request = {name: value for name, value in request.items() if value is not None}
        try:
            # Whoever holds a ticket is one user; fairness is among them.
            user = next((str(request[p.name]) for p in tool.parameters if p.kind in ("photo", "scene")
                         and p.name in request), "endpoint")  # fmt: skip
            return room.do(user, tool.name, request, ENDPOINT_S)
        except InputError as error:
            raise failure(str(error), print_exception=False) from None

    endpoint.__name__ = tool.name
    helps = "\n".join(f"    {p.name}: {p.help}" for p in tool.parameters)
    endpoint.__doc__ = f"{tool.help}\n\nArgs:\n{helps}\n"
    hints = {p.name: _TYPES[p.kind] if p.required else _TYPES[p.kind] | None for p in tool.parameters}
    parameters = [
        inspect.Parameter(
            p.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=hints[p.name],
            default=inspect.Parameter.empty if p.required else _plain(p.default),
        )
        for p in sorted(tool.parameters, key=lambda p: not p.required)
    ]  # fmt: skip
    endpoint.__annotations__ = hints | {"return": dict}
    endpoint.__signature__ = inspect.Signature(parameters, return_annotation=dict)  # ty: ignore[missing-attribute]
    return endpoint


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


# --- starting --------------------------------------------------------------------------------------------------------


def free_port(host: str, first: int) -> int:
    """The first port from `first` on that nobody listens at. Raises InputError where there is none."""
    for port in range(first, min(first + PORTS, 65_536)):
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
                return port
        except OSError as error:
            if error.errno not in (98, 48, 10048, 13, 10013):  # in use, or not for us
                raise InputError(f"Cannot listen at {host}: {error.strerror or error}.") from error
    raise InputError(f"All ports from {first} to {first + PORTS - 1} are taken; give another with --port.")


def start(
    load: Callable[[], verbs.System],
    host: str = "127.0.0.1",
    port: int = PORT,
    share: bool = False,
    public: bool = False,
    *,
    wait: bool = True,
) -> tuple[Any, Room]:
    """Serve the app until it is stopped; with `wait` False come back at once, with the blocks (`close` them) and room.

    Raises InputError where the extra `app` is lacking, or nothing can be served there.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio as gr
        from starlette.middleware import Middleware
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("gradio", "starlette"):
            raise
        raise InputError("The app needs the extra `app`: pip install 'synesthesia[app]'.") from None
    if not 1 <= port <= 65_535:
        raise InputError(f"A port lies between 1 and 65535, not {port}.")
    found = free_port(host, port)
    room = Room(load)
    blocks = build(room)
    # Behind a tunnel or a proxy nobody knows the names; the app's own page is still the only one that may use it.
    hosts = None if share or public else guard.names(host, {socket.gethostname(), socket.getfqdn()})
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    blocks.launch(
        server_name=host, server_port=found, share=share, prevent_thread_lock=True, quiet=True, ssr_mode=False,
        theme=theme, head=f"<style>{_style()}</style>", footer_links=[], run_history=False, max_threads=64,
        show_error=True, enable_monitoring=False, state_session_capacity=SESSIONS, max_file_size="1b",
        app_kwargs={"middleware": [Middleware(guard.Guard, hosts=hosts, numbers=host in ("0.0.0.0", "::"))]},
    )  # fmt: skip
    shown = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host
    if wait:
        room.warm()
        if found != port:
            print(f"Port {port} is taken; this is the next free one.")
        print(f"Synesthesia is at http://{shown}:{found} (stop it with Ctrl-C)", flush=True)
        if share:
            print(f"For as long as it runs, everybody who has this link can use it: {blocks.share_url}", flush=True)
        try:
            blocks.block_thread()
        finally:
            room.close()
    blocks.local_url = f"http://{shown}:{found}/"
    return blocks, room
