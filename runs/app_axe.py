#!/usr/bin/env python3
# Cost: about a minute on two cores. Prints what axe-core finds wrong with the page for those who need help to use it.
"""Open the app in Chromium, light and dark, empty, knocked on and heard, all of it unfolded, and have axe-core look.

runs/app_axe.py AXE   (AXE: axe.min.js of the npm package axe-core; needs the extra `app` and Playwright)
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from synesthesia import verbs
from synesthesia.app import serve

FLAGS = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]


def main(axe: Path) -> int:
    """1 if anything serious is found."""
    script = axe.read_text()
    blocks, room = serve.start(verbs.load, port=38_860, wait=False)
    found: list[dict[str, Any]] = []

    def look(page: Any, what: str) -> None:
        page.evaluate(script)
        for one in page.evaluate("axe.run()")["violations"]:
            found.append(one)
            print(f"{what}: {one['impact']}, {one['id']}: {one['help']} ({len(one['nodes'])} places)")

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme, locale="en")
            page.goto(blocks.local_url)
            page.wait_for_selector("html[data-ready=yes]", timeout=60_000)
            look(page, f"{scheme}, before a photo")
            page.click("[data-demo=beach]")
            page.wait_for_selector("html[data-opened]", timeout=60_000)
            page.click("#tools-knock")
            page.locator("#picture canvas").click(position={"x": 200, "y": 300})
            page.wait_for_selector("#struck:not([hidden])", timeout=60_000)
            page.click("#hear-all")
            page.wait_for_selector("[data-staged]", timeout=120_000)
            page.evaluate("document.querySelectorAll('details').forEach(one => (one.open = true))")
            look(page, f"{scheme}, all of it")
            page.close()
        browser.close()
    blocks.close()
    room.close()
    print(f"{len(found)} findings")
    return int(any(one["impact"] in ("serious", "critical") for one in found))


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit("Give the file axe.min.js of the npm package axe-core.")
    sys.exit(main(Path(sys.argv[1])))
