"""How the app bears its users: how soon its page is there, how long knocks take, what it holds in memory.

It is served in a process of its own, and users do over HTTP what its page would do for them, all at once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..senses import InputError
from .bench import Timing

READY_S = 120.0  # for which it may take to start
DEMOS = ("beach", "wooden_bowl", "brass_bell", "ceramic_bowl")
ALONE = 21  # knocks of one user whom nobody disturbs


@dataclass(frozen=True)
class Load:
    """What users met: the timings; how many actions were `done` and `lost`, with what was said of the first.

    `memory_mb` is what the process held in the end, `growth` by which share that grew over the second half of all
    actions; None where the system does not tell (it is read from /proc).
    """

    timings: list[Timing]
    users: int
    done: int
    lost: int
    complaint: str
    memory_mb: float | None
    growth: float | None


class User:
    """Somebody with the app's page open."""

    def __init__(self, address: str, component: int, name: str) -> None:
        self._address, self._component, self._name = address, component, f"user-{name:0>16}"
        self._photo = ""

    def act(self, k: int) -> tuple[str, float]:
        """The k-th action, what it is and its seconds: mostly knocks, now and then a new photo, a look, a sound."""
        began = time.perf_counter()
        if k % 50 == 0:
            what, self._photo = "open", self._call("open", {"demo": DEMOS[k // 50 % len(DEMOS)]})["photo"]
        elif k % 50 == 1:
            what = "look"
            self._wait(what, {"photo": self._photo})
        elif k % 50 == 25:
            what = "hear"
            self._wait(what, {"photo": self._photo, "at": _place(k), "seconds": 1.0})
        else:
            what = "knock"
            self._call("perform", {"what": "strike", "settings": {"photo": self._photo, "at": _place(k), "force": 5.0}})
        return what, time.perf_counter() - began

    def _call(self, function: str, request: dict[str, Any]) -> Any:
        body = {"session_hash": self._name, "component_id": self._component, "fn_name": function,
                "data": {"user": self._name, **request}}  # fmt: skip
        asked = urllib.request.Request(
            f"{self._address}gradio_api/component_server",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=300) as answer:
            told = json.load(answer)
        if "error" in told:
            raise InputError(told["error"])
        return told["ok"]

    def _wait(self, what: str, settings: dict[str, Any]) -> None:
        job, have, done = self._call("begin", {"what": what, "settings": settings}), 0, False
        while not done:
            told = self._call("more", {"job": job, "have": have})
            have, done = have + len(told["results"]), told["done"]
            if told["error"]:
                raise InputError(told["error"])


def _place(k: int) -> list[float]:
    return [0.05 + 0.9 * (k * 0.618 % 1), 0.05 + 0.9 * (k * 0.755 % 1)]


@contextmanager
def served(port: int) -> Generator[tuple[str, int]]:
    """The app at its address, by its process. Raises InputError where it does not start."""
    process = subprocess.Popen(
        [sys.executable, "-m", "synesthesia.cli", "app", "--port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"http://\S+", line):
                yield found[0].rstrip("/") + "/", process.pid
                return
        raise InputError(f"The app did not start: {''.join(said).strip()}")
    finally:
        process.terminate()
        process.wait(30)


def app(users: int = 8, actions: int = 200, port: int = 27_860) -> Load:
    """Serve the app, have one user knock alone, then many at once. Needs the extra `app`.

    The page itself is timed too, where there are Playwright and a Chromium.
    """
    if not (1 <= users <= 64 and 1 <= actions <= 100_000):
        raise InputError("There are 1 to 64 users, and each acts 1 to 100000 times.")
    began = time.perf_counter()
    with served(port) as (address, process):
        urllib.request.urlopen(address, timeout=READY_S).read()
        ready = time.perf_counter() - began
        config = json.load(urllib.request.urlopen(f"{address}config", timeout=READY_S))
        component = next(c["id"] for c in config["components"] if c["type"] == "html")
        alone = User(address, component, "alone")
        quiet = [alone.act(k)[1] for k in (0, *range(2, ALONE + 4))][3:]  # the first have their photo looked at
        browsed = _in_browser(address)
        times: dict[str, list[float]] = {}
        memory: list[float] = []
        lost: list[str] = []

        def use(user: User) -> None:
            for k in range(actions):
                try:
                    what, seconds = user.act(k)
                    times.setdefault(what, []).append(seconds)
                except (OSError, InputError) as error:
                    lost.append(str(error))
                memory.extend(_resident(process))

        threads = [threading.Thread(target=use, args=(User(address, component, str(k)),)) for k in range(users)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    knocks = sorted(times.get("knock", [float("nan")]))
    timings = [
        Timing("the page is there", 1000 * ready, 12_000, 5000, 1),
        Timing("a knock over HTTP, one user: median", 1000 * statistics.median(quiet), 150, 50, len(quiet)),
        *browsed,
        Timing(f"a knock, {users} users: median", 1000 * statistics.median(knocks), 150, 50, len(knocks)),
        Timing(
            f"a knock, {users} users: 99th percentile", 1000 * knocks[int(0.99 * len(knocks))], 1000, 300, len(knocks)
        ),
    ]
    return Load(
        timings,
        users,
        sum(map(len, times.values())),
        len(lost),
        lost[0] if lost else "",
        memory[-1] if memory else None,
        _growth(memory[len(memory) // 2 :]),
    )


def _in_browser(address: str) -> list[Timing]:
    """What one waits for on the page itself; nothing where Playwright or a Chromium is missing."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None or importlib.util.find_spec("playwright") is None:
        return []
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.wait_for_selector("html[data-ready=yes]", timeout=1000 * READY_S)
        page.click("[data-demo=beach]")
        page.wait_for_selector("html[data-opened]", timeout=1000 * READY_S)

        def told(name: str, do: str) -> float:
            page.evaluate(f"() => {{ delete synesthesia.root.dataset.{name}; {do} }}")
            page.wait_for_function(f"synesthesia.root.dataset.{name}", timeout=1000 * READY_S)
            return float(page.evaluate(f"synesthesia.root.dataset.{name}"))

        places = (_place(k) for k in range(ALONE))
        strike = "void synesthesia.knock({{x: {}, y: {}, force: 5, mallet: 'wood'}})"
        knocks = [told("knockMs", strike.format(*place)) for place in places][1:]
        page.click("#hear-all")
        page.wait_for_selector("[data-staged]", timeout=1000 * READY_S)
        walk = "synesthesia.plan.setListener({{x: {0}, y: 0, z: {0}, yaw: {1}}})"
        moves = [told("walkMs", walk.format(-0.1 * k, 9 * k)) for k in range(1, ALONE)]
        browser.close()
    return [
        Timing("a knock in the browser, one user: median", statistics.median(knocks), 150, 50, len(knocks)),
        Timing("the listener moves, the sound has followed: median", statistics.median(moves), 100, 20, len(moves)),
    ]


def _resident(process: int) -> list[float]:
    """MB that a process holds, where /proc tells."""
    try:
        told = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return []
    return [int(re.findall(r"VmRSS:\s+(\d+)", told)[0]) / 1024]


def _growth(memory: list[float]) -> float | None:
    """The last fifth by the first, less one."""
    fifth = max(1, len(memory) // 5)
    return statistics.median(memory[-fifth:]) / statistics.median(memory[:fifth]) - 1 if memory else None
