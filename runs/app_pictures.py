#!/usr/bin/env python3
# Cost: about a minute on two cores. Makes docs/app.png and docs/app-phone.png from the running app.
"""Open the app in Chromium, knock, hear all, walk, and take its picture. Needs the extra `app` and Playwright."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from synesthesia import media, verbs
from synesthesia.app import serve

DOCS = Path(__file__).parents[1] / "docs"
FLAGS = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]


def opened(page: Page, address: str, demo: str) -> None:
    """The page with one of the project's photos."""
    page.goto(address)
    page.wait_for_selector("html[data-ready=yes]", timeout=60_000)
    page.click(f"[data-demo={demo}]")
    page.wait_for_selector("html[data-opened]", timeout=60_000)


def knock(page: Page, x: float, y: float) -> None:
    page.click("#tools-knock")
    page.evaluate("window.scrollTo(0, 0)")
    box = page.locator("#picture canvas").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.wait_for_selector("#struck:not([hidden])", timeout=60_000)
    page.wait_for_timeout(1500)


def keep(page: Page, name: str, full: bool) -> None:
    """As a JPEG's worth of PNG: what is photographed needs no alpha."""
    shot = media.read_image(page.screenshot(full_page=full))
    media.write_image(DOCS / name, shot)


def main() -> int:
    """Take both pictures."""
    blocks, room = serve.start(verbs.load, port=37_860, wait=False)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en", color_scheme="dark")
        opened(page, blocks.local_url, "beach")
        knock(page, 0.42, 0.9)
        page.click("#hear-all")
        page.wait_for_selector("[data-staged]", timeout=180_000)
        page.evaluate("synesthesia.plan.setListener({ x: -6, y: 0, z: -5, yaw: -25 })")
        page.click("#tools-place")
        page.wait_for_timeout(1500)
        keep(page, "app.png", full=True)
        phone = browser.new_page(viewport={"width": 360, "height": 740}, locale="en", device_scale_factor=2)
        opened(phone, blocks.local_url, "brass_bell")
        knock(phone, 0.815, 0.681)
        keep(phone, "app-phone.png", full=False)
        browser.close()
    blocks.close(verbose=False)
    room.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
