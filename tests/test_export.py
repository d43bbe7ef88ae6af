"""The page that plays from a disk: what stands in it, and what it does in a real browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import numpy as np
import pytest

import synesthesia as syn
from synesthesia import cli, media, verbs
from synesthesia.app import assets, export
from synesthesia.senses import Image, InputError, Sound

BEACH = Path(syn.__file__).parent / "demo" / "beach.jpg"
NAME = '</script><script>alert(1)</script>"&'
CLICK = (0.45, 0.6)


@pytest.fixture(scope="module")
def system() -> verbs.System:
    return syn.load()


@pytest.fixture(scope="module")
def page(system: verbs.System) -> str:
    return export.page(system, BEACH, NAME, seed=3)


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


# --- what stands in it -----------------------------------------------------------------------------------------------


def test_a_page_asks_for_nothing_and_lets_nothing_in(page: str) -> None:
    assert "default-src 'none'" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|importScripts|eval)\s*\(", page)
    assert "alert(1)</script>" not in page
    assert page.count("<script") == 2
    assert len(page) < export.MAX_BYTES


def test_the_same_seed_gives_the_same_page(system: verbs.System, page: str) -> None:
    assert export.page(system, BEACH, NAME, seed=3) == page


def test_what_a_page_plays_is_what_hear_gives(system: verbs.System, page: str, tmp_path: Path) -> None:
    data, stage = data_of(page), system.stage(BEACH, seed=3)
    parts = [*data["parts"], data["bed"]]
    sounds = [*(stem.sound for stem in stage.scene.stems), stage.scene.bed]
    assert len(parts) == len(sounds)
    for part, sound in zip(parts, sounds, strict=True):
        path = tmp_path / "a.flac"
        path.write_bytes(base64.b64decode(part["audio"]))
        np.testing.assert_allclose(media.read_sound(path).mono * part["gain"], sound.mono, atol=2e-4 * part["gain"])
    assert [tuple(part["position"]) for part in data["parts"]] == [spot.position for spot in stage.spots]
    assert {m["licence"] for m in data["made"]["models"]} == {"Apache-2.0", "research use only"}


def test_an_index_escapes_names(photo: Image) -> None:
    text = export.index([("a.html", NAME, photo)])
    assert "<script>alert" not in text
    assert 'href="a.html"' in text


def test_several_photos_become_a_folder(
    photo: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        media.write_image(tmp_path / f"{name}.png", photo)
    monkeypatch.setattr(export, "page", lambda system, image, title, seed: f"<title>{title} {seed}</title>")
    assert cli.main(["export", str(tmp_path), "-o", str(tmp_path / "out"), "--seed", "4"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["index.html", "one.html", "two.html"]
    assert (tmp_path / "out" / "two.html").read_text() == "<title>two 4</title>"
    assert cli.main(["export", str(tmp_path), "-o", str(tmp_path / "out.html")]) == 2
    assert "the name of a folder" in capsys.readouterr().err
    assert cli.main(["export", str(tmp_path / "one.png"), "-o", str(tmp_path / "no" / "a.html")]) == 2


def test_a_page_that_would_be_too_large_is_refused(
    system: verbs.System, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(export, "MAX_BYTES", 100_000)
    with pytest.raises(InputError, match="at most"):
        export.write(system, [BEACH], tmp_path / "a.html")
    assert not list(tmp_path.iterdir())


def test_scripts_are_joined_once_and_in_order() -> None:
    text = assets.script("page")
    assert not re.search(r"^(import|export)\b", text, re.M)
    for name in ("class Engine", "class Picture", "class Plan", "class Scope", "function strike"):
        assert text.count(f"{name} ") + text.count(f"{name}(") == 1
    assert text.index("function strike(") < text.index("class Page ")


def test_scripts_are_of_the_types_that_they_say() -> None:
    if shutil.which("tsc") is None:
        pytest.skip("needs tsc, the checker of TypeScript")
    folder = Path(assets.__file__).parent / "static"
    done = subprocess.run(["tsc", "-p", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# --- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "a.html"
    path.write_text(page)
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as started:
        yield started


@pytest.fixture
def opened(chromium: Any, file: Path) -> Iterator[Any]:
    """The page in a window; at the end nothing was asked of anybody, and nothing complained about."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    tab, seen = context.new_page(), browser.Seen()
    seen.watch(tab)
    tab.goto(file.as_uri())
    browser.until(tab, "globalThis.synesthesia?.picture && document.querySelector('#stems li')")
    yield tab
    context.close()
    assert seen.errors == []
    assert seen.abroad("file:") == []


# What the page struck last, kept where a test can read it.
KEEP = """() => document.addEventListener("struck", (event) => {
  const { samples, rate, physics, settings } = event.detail;
  globalThis.last = { samples: Array.from(samples), rate, physics, settings };
})"""


def strike(tab: Any) -> None:
    tab.click("#tools-knock")
    picture = tab.locator("#picture canvas").first.bounding_box()
    tab.evaluate("globalThis.last = null")
    tab.mouse.click(picture["x"] + CLICK[0] * picture["width"], picture["y"] + CLICK[1] * picture["height"])
    browser.until(tab, "globalThis.last")


def pitch(sound: Sound) -> float:
    """The frequency of the lowest line with a fiftieth of the loudest's power: which is loudest the mallet decides."""
    power = np.abs(np.fft.rfft(sound.mono * np.hanning(sound.mono.size))) ** 2
    hz = np.fft.rfftfreq(sound.mono.size, 1 / sound.rate)
    power[hz < 20] = 0
    low = hz[np.argmax(power > 0.02 * power.max())]
    return float(hz[np.argmax(np.where((hz >= low) & (hz < 1.4 * low), power, 0))])


def raised(before: Sound, after: Sound) -> float:
    """By which factor all lines have moved, however loud each is: the shift at which both spectra agree best."""
    step = 0.004
    edges = np.arange(np.log(150.0), np.log(12_000.0), step)
    spectra = []
    for sound in (before, after):
        power = np.abs(np.fft.rfft(sound.mono * np.hanning(sound.mono.size))) ** 2
        hz = np.maximum(np.fft.rfftfreq(sound.mono.size, 1 / sound.rate), 1e-3)
        binned = np.histogram(np.log(hz), edges, weights=power)[0] ** 0.2
        spectra.append(binned - binned.mean())
    shifts = np.arange(1 - len(spectra[0]), len(spectra[0]))
    return float(np.exp(step * shifts[np.argmax(np.correlate(spectra[1], spectra[0], "full"))]))


def struck(tab: Any) -> Sound:
    last = tab.evaluate("globalThis.last")
    return Sound(np.array(last["samples"], np.float32)[None], last["rate"])


def test_a_knock_in_the_browser_sounds_as_ours(opened: Any, system: verbs.System) -> None:
    opened.evaluate(KEEP)
    strike(opened)
    mine = struck(opened)
    last = opened.evaluate("globalThis.last")
    cell = [(int(c * export.GRID) + 0.5) / export.GRID for c in CLICK]
    ours = system.knock(BEACH, (cell[0], cell[1]), force=last["settings"]["force"], rate=mine.rate).sound
    assert mine.samples.shape == ours.samples.shape
    assert pitch(mine) == pytest.approx(pitch(ours), rel=0.01)
    levels = [10 * np.log10(np.mean(s.mono[: s.rate // 2] ** 2)) for s in (mine, ours)]
    assert levels[0] == pytest.approx(levels[1], abs=1.5)
    assert opened.locator("#struck").is_visible()


def test_stiffer_is_higher_and_heavier_lower(opened: Any) -> None:
    opened.evaluate(KEEP)
    strike(opened)
    before = struck(opened)
    for name, value, higher in (("stiffness", "1.5", True), ("stiffness", "0", None), ("mass", "1.5", False)):
        opened.evaluate("globalThis.last = null")
        opened.locator(f"#{name}").fill(value)
        browser.until(opened, "globalThis.last")
        expected = {True: 2**0.75, None: 1.0, False: 2**-0.75}[higher]
        assert raised(before, struck(opened)) == pytest.approx(expected, rel=0.02)


def test_the_ear_that_is_turned_to_a_part_hears_more_of_it(opened: Any) -> None:
    (part, *_) = opened.evaluate("synesthesia.data.parts.map((part) => part.position)")
    opened.click("#play")
    opened.click("#solo-0")
    opened.locator("#walking").check()
    toward = np.degrees(np.arctan2(-part[0], -part[2]))
    ears = {}
    for side, yaw in (("left", toward - 90), ("right", toward + 90)):  # it stands to that side of who looks there
        opened.evaluate("(yaw) => synesthesia.plan.setListener({ x: 0, y: 0, z: 0, yaw })", float(yaw))
        opened.wait_for_timeout(300)
        read = "() => { const l = synesthesia.engine.levels(); return [l.left, l.right]; }"
        heard = []
        for _ in range(12):
            heard.append(opened.evaluate(read))
            opened.wait_for_timeout(60)
        ears[side] = np.mean(heard, axis=0)
    # A wide thing is heard by both.
    assert ears["left"][0] > 1.3 * ears["left"][1] > 0
    assert ears["right"][1] > 1.3 * ears["right"][0] > 0


def test_it_can_be_used_with_keys_alone(opened: Any) -> None:
    opened.evaluate(KEEP)
    opened.focus("#play")
    opened.keyboard.press("Enter")
    browser.until(opened, "synesthesia.engine.playing")
    opened.focus("#tools [tabindex='0']")
    opened.keyboard.press("ArrowRight")
    assert opened.evaluate("synesthesia.picture.tool") == "knock"
    opened.focus("#picture canvas")
    opened.keyboard.press("Enter")
    browser.until(opened, "globalThis.last")
    before = opened.evaluate("synesthesia.plan.listener")
    opened.focus("#plan canvas")
    opened.keyboard.press("ArrowUp")
    opened.keyboard.press("q")
    after = opened.evaluate("synesthesia.plan.listener")
    assert after["z"] < before["z"]
    assert after["yaw"] > before["yaw"]


def test_two_languages_two_lights_and_a_small_screen(opened: Any) -> None:
    english = opened.inner_text("main")
    opened.click("#language")
    assert opened.evaluate("document.documentElement.lang") == "zh-CN"
    assert opened.inner_text("main") != english
    assert re.search("[\u4e00-\u9fff]", opened.inner_text("main"))
    light = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    opened.click("#theme")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") != light
    opened.set_viewport_size({"width": 360, "height": 740})
    opened.wait_for_timeout(100)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360
