#!/usr/bin/env python3
# Cost: about 3 minutes on two cores. 8 users × 200 actions, none of which may be lost. Needs the extra `app`.
"""Serve the app in a process of its own and have users knock, hear and look at once; print what they waited for.

runs/app_load.py [--users 8] [--actions 200] [-o app_load.json]
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import tyro

FLOORS = {"page_ready_s": 12, "knock_p50_ms": 150, "knock_p99_ms": 1000, "growth": 0.05}
AIMS = {"page_ready_s": 5, "knock_p50_ms": 50, "knock_p99_ms": 300, "growth": 0.05}


class Page:
    """One user: what the app's page would send."""

    def __init__(self, address: str, component: int, name: str) -> None:
        self.address, self.component, self.name = address, component, f"load-test-user-{name}"
        self.photo = ""

    def call(self, function: str, request: dict[str, Any]) -> Any:
        body = {"session_hash": self.name, "component_id": self.component, "fn_name": function,
                "data": {"user": self.name, **request}}  # fmt: skip
        asked = urllib.request.Request(
            f"{self.address}gradio_api/component_server",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=300) as answer:
            told = json.load(answer)
        if "error" in told:
            raise RuntimeError(told["error"])
        return told["ok"]

    def wait(self, what: str, settings: dict[str, Any]) -> None:
        job, have, done = self.call("begin", {"what": what, "settings": settings}), 0, False
        while not done:
            told = self.call("more", {"job": job, "have": have})
            have, done = have + len(told["results"]), told["done"]
            if told["error"]:
                raise RuntimeError(told["error"])

    def act(self, k: int) -> tuple[str, float]:
        """The k-th action: mostly knocks, now and then a new photo, a look, a second of sound."""
        began = time.perf_counter()
        if k % 50 == 0:
            self.photo = self.call(
                "open", {"demo": ["beach", "wooden_bowl", "brass_bell", "ceramic_bowl"][k // 50 % 4]}
            )["photo"]
            return "open", time.perf_counter() - began
        if k % 50 == 1:
            self.wait("look", {"photo": self.photo})
            return "look", time.perf_counter() - began
        place = [0.05 + 0.9 * (k * 0.618 % 1), 0.05 + 0.9 * (k * 0.755 % 1)]
        if k % 50 == 25:
            self.wait("hear", {"photo": self.photo, "at": place, "seconds": 1.0})
            return "hear", time.perf_counter() - began
        self.call("perform", {"what": "strike", "settings": {"photo": self.photo, "at": place, "force": 5.0}})
        return "knock", time.perf_counter() - began


def resident(process: int) -> float:
    """MB that a process has in memory (Linux)."""
    told = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", told)[0]) / 1024


def main(users: int = 8, actions: int = 200, port: int = 27_860, output: Path | None = None) -> int:
    """Run the load test.

    Args:
        users: How many at once.
        actions: Of each.
        port: Where the app is served.
        output: The figures, as JSON.
    """
    began = time.perf_counter()
    served = subprocess.Popen(
        [sys.executable, "-m", "synesthesia.cli", "app", "--port", str(port)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert served.stdout is not None
        address = (
            re.findall(r"http://\S+", next(line for line in served.stdout if "http://" in line))[0].rstrip("/") + "/"
        )
        urllib.request.urlopen(address, timeout=60).read()
        ready = time.perf_counter() - began
        config = json.load(urllib.request.urlopen(f"{address}config", timeout=60))
        component = next(c["id"] for c in config["components"] if c["type"] == "html")
        pages = [Page(address, component, str(k)) for k in range(users)]
        times: dict[str, list[float]] = {}
        memory: list[float] = []
        lost: list[str] = []

        def use(page: Page) -> None:
            for k in range(actions):
                try:
                    what, seconds = page.act(k)
                    times.setdefault(what, []).append(1000 * seconds)
                except (OSError, RuntimeError) as error:
                    lost.append(str(error))
                memory.append(resident(served.pid))

        alone = Page(address, component, "alone")
        alone.act(0)
        alone.act(2)
        quiet = [1000 * alone.act(k)[1] for k in range(3, 24)]
        threads = [threading.Thread(target=use, args=(page,)) for page in pages]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        served.terminate()
        served.wait(30)
    half = len(memory) // 2
    later = memory[half:]
    fifth = max(1, len(later) // 5)
    figures = {
        "page_ready_s": round(ready, 2), "knock_p50_ms": round(statistics.median(quiet), 1),
        "knock_p50_ms_at_once": round(statistics.median(times["knock"]), 1),
        "knock_p99_ms": round(sorted(times["knock"])[int(0.99 * len(times["knock"]))], 1),
        "resident_mb": round(memory[-1]), "growth": round(
            statistics.median(later[-fifth:]) / statistics.median(later[:fifth]) - 1, 4
        ),
        "done": sum(map(len, times.values())), "lost": len(lost),
        **{f"{what}_p50_ms": round(statistics.median(took), 1) for what, took in times.items() if what != "knock"},
    }  # fmt: skip
    for name, value in figures.items():
        bounds = f"   (floor {FLOORS[name]:g}, aim {AIMS[name]:g})" if name in FLOORS else ""
        print(f"{name:22} {value:>10}{bounds}")
    if output is not None:
        output.write_text(json.dumps(figures, indent=1))
    return 1 if lost or figures["done"] != users * actions else 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
