"""A real browser for tests: Debian's Chromium, led by Playwright; tests are skipped where either is missing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip


@dataclass
class Seen:
    """What went on in a browser: what it asked of a network, and what it complained about."""

    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def watch(self, page: Any) -> None:
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None)

    def abroad(self, *own: str) -> list[str]:
        """Requests to anything but `own` addresses and what stands in the page itself."""
        return [url for url in self.requests if not url.startswith(("data:", "blob:", *own))]


def until(tab: Any, told: str, seconds: float = 20.0) -> None:
    """Wait until an expression holds. Playwright's own waiting evaluates text in the page, which its policy forbids."""
    ends = time.monotonic() + seconds
    while not tab.evaluate(f"() => Boolean({told})"):
        assert time.monotonic() < ends, f"{told} did not come to hold within {seconds:g} s"
        tab.wait_for_timeout(30)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser that has just been started."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs a Chromium on the PATH")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()
