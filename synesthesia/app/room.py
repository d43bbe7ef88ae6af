"""What the app does for its users, without the web: photos they opened, work they asked for, and what came of it.

Whoever holds a photo's ticket may use it; tickets are long and random, and are told to the one who opened the photo.
Only so many photos are kept: the one that was not used for longest goes first. Nothing is written to a disk.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import io
import json
import secrets
import tempfile
import threading
import time
import zipfile
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from .. import media, verbs
from ..senses import Image, InputError, Scene, Sound
from . import desk, export, tools

MAX_PHOTO_BYTES = 24 * 2**20
LONGEST = 2048  # pixels of the longer side of a photo that is kept
SHOWN = 1600  # and of what is sent back to be looked at
PHOTOS = 24  # that are kept at a time
MADE = 12  # results of a photo that are kept for its download
THUMB = 240
KNOCK_S = 1.5  # of a knock in a download
# Work that takes milliseconds has a worker of its own: a knock does not wait until somebody's sea has been heard.
QUICK = ("knock", "locate")


@dataclass(frozen=True, eq=False)
class Made:
    """One result: which verb with which settings gave which sounds and pictures, and what it says about itself."""

    verb: str
    request: dict[str, Any]
    files: dict[str, Sound | Image]
    about: Any


@dataclass(eq=False)
class Opened:
    """A photo that somebody opened. `image` is always this object, so that eyes look at it once."""

    ticket: str
    name: str
    image: Image
    sha256: str
    stages: OrderedDict[int, Any] = field(default_factory=OrderedDict)
    made: deque[Made] = field(default_factory=lambda: deque(maxlen=MADE))


class Room:
    """The app's state: two systems, each with a worker of its own, the desk where work is asked for, and the photos.

    `load` makes a system; it is called twice, and each system loads only the models of its own verbs.
    """

    def __init__(self, load: Callable[[], verbs.System]) -> None:
        self._systems = {"quick": load(), "long": load()}
        self.tools = tools.tools()
        self.desk = desk.Desk()
        self._lanes = {"quick": desk.Lane("quick", self._knock_together), "long": desk.Lane("long")}
        self._photos: OrderedDict[str, Opened] = OrderedDict()
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._seconds: dict[str, float] = {}

    def warm(self) -> None:
        """Load the weights before somebody waits for them."""

        def load(lane: str, verb: str) -> Callable[[desk.Job], Iterator[Any]]:
            return lambda _: iter([self._systems[lane].model(verb) and None])

        for verb in self._systems["quick"].models:
            lane = "quick" if verb in QUICK else "long"
            self._lanes[lane].put(desk.Job("the app itself", load(lane, verb)))

    def close(self) -> None:
        """No more work is done."""
        for lane in self._lanes.values():
            lane.close()

    # --- photos ---

    @cached_property
    def demos(self) -> dict[str, bytes]:
        """The photos that ship with the project."""
        folder = resources.files("synesthesia") / "demo"
        files = sorted((f for f in folder.iterdir() if f.name.endswith(".jpg")), key=lambda f: f.name)
        return {file.name.removesuffix(".jpg"): file.read_bytes() for file in files}

    def open(self, photo: Any = None, demo: Any = None) -> dict[str, Any]:
        """Take a photo in base64, or one of the project's own by name; its ticket. Raises InputError for bad input."""
        if (photo is None) == (demo is None):
            raise InputError("Give a photo, or the name of one of the project's own: one of them.")
        if demo is not None:
            if not isinstance(demo, str) or demo not in self.demos:
                raise InputError(f"There is no photo of that name here; there are: {', '.join(self.demos)}.")
            data = self.demos[demo]
        else:
            data = tools.read_bytes("A photo", photo, MAX_PHOTO_BYTES)
        with self._reading:  # large photos are read one at a time: memory stays bounded
            image = media.read_image(data)
            if max(image.width, image.height) > LONGEST:
                image = media.read_image(media.encode_jpeg(image, LONGEST, quality=95))
        opened = Opened(secrets.token_urlsafe(24), demo or "photo", image, hashlib.sha256(data).hexdigest())
        with self._lock:
            self._photos[opened.ticket] = opened
            while len(self._photos) > PHOTOS:
                self._photos.popitem(last=False)
        return {
            "photo": opened.ticket, "sha256": opened.sha256, "width": image.width, "height": image.height,
            "kept": PHOTOS,
        }  # fmt: skip

    def photo(self, ticket: Any) -> Opened:
        """The photo of a ticket. Raises InputError where it is unknown, or was forgotten for newer ones."""
        with self._lock:
            opened = self._photos.get(ticket) if isinstance(ticket, str) else None
            if opened is None:
                raise InputError("This photo is not open here (any more); open it again.")
            self._photos.move_to_end(opened.ticket)
            return opened

    def close_photo(self, ticket: Any) -> None:
        """Forget a photo and all that was made of it."""
        with self._lock:
            self._photos.pop(ticket if isinstance(ticket, str) else "", None)

    # --- what the page asks for ---

    def hello(self) -> dict[str, Any]:
        """What a page needs to know before a photo is there."""
        return {
            "tools": [tool.described() for tool in self.tools.values()],
            "made": self.weights,
            "demos": [
                {"name": name, "picture": _jpeg(media.read_image(data), THUMB)} for name, data in self.demos.items()
            ],
            "limits": {"photo_bytes": MAX_PHOTO_BYTES, "sound_bytes": tools.MAX_SOUND_BYTES,
                       "sound_seconds": tools.MAX_SECONDS},
        }  # fmt: skip

    @cached_property
    def weights(self) -> list[dict[str, str]]:
        """Which weights serve, and their licences."""
        return export.models(self._systems["long"], list(self._systems["long"].models))

    def shown(self, ticket: Any) -> dict[str, Any]:
        """The photo to look at, upright."""
        return {"picture": _jpeg(self.photo(ticket).image, SHOWN)}

    def begin(self, user: str, what: Any, request: Any) -> str:
        """Queue a piece of work; its id. `what` is a verb, or `look`, `stage`, `pack`. Raises InputError."""
        return self.desk.put(*self._job(user, what, request)).id

    def do(self, user: str, what: Any, request: Any, seconds: float = 120.0) -> Any:
        """Queue it and wait for it; the last thing it told. Raises InputError, also when it takes too long."""
        lane, job = self._job(user, what, request)
        lane.put(job)
        job.wait_done(seconds)
        if not job.done:
            job.cancelled = True
            lane.remove(job)
            raise InputError(f"This took longer than {seconds:g} s and was given up; ask for something shorter.")
        if job.error is not None:
            raise InputError(job.error)
        if not job.results:
            raise InputError("This was cancelled.")
        return job.results[-1]

    def more(self, user: str, name: Any, have: Any) -> dict[str, Any]:
        """What came of work so far, after the first `have` results; waits a little where nothing is new."""
        if isinstance(have, bool) or not isinstance(have, int) or have < 0:
            raise InputError("How many results you have is a whole number from 0.")
        return self.desk.more(user, name, have)

    def cancel(self, user: str, name: Any) -> None:
        """Have work end."""
        self.desk.cancel(user, name)

    # --- work ---

    def _job(self, user: str, what: Any, request: Any) -> tuple[desk.Lane, desk.Job]:
        own = {"look": self._look, "stage": self._stage, "pack": self._pack, "ears": self._ears}
        if what in own:
            if not isinstance(request, dict):
                raise InputError(f"{what} wants an object of settings.")
            work = own[what]
            return self._lanes["long"], desk.Job(user, lambda _: work(request))
        strike = what == "strike"  # a knock of which the browser makes the sound
        what = "knock" if strike else what
        tool = self.tools.get(what) if isinstance(what, str) else None
        if tool is None:
            raise InputError(f"There is no verb of that name; there are: {', '.join(self.tools)}.")
        photos: list[Opened] = []

        def photo(ticket: str) -> Image:
            photos.append(self.photo(ticket))
            return photos[-1].image

        arguments = tool.read(request, photo)  # bad input is told before anything waits
        lane = self._lanes["quick" if what in QUICK else "long"]
        opened = photos[0] if photos else None
        if strike:
            arguments |= {"seconds": 0.01, "variations": 1}
        group, item = self._alike(tool, arguments, opened, strike)
        return lane, desk.Job(user, lambda _: self._run(tool, arguments, request, opened), group, item)

    def _alike(
        self, tool: tools.Tool, arguments: dict[str, Any], opened: Opened | None, strike: bool
    ) -> tuple[Hashable, Any]:
        """Single knocks of one photo that differ in their place alone are of one group."""
        if opened is None or not tools.one_of_several(tool, arguments):
            return None, None
        rest = tuple(sorted((name, value) for name, value in arguments.items() if name not in ("at", "photo")))
        return (opened.ticket, rest, strike), (arguments, strike)

    def _knock_together(self, group: Hashable, items: Sequence[Any]) -> list[Any]:
        arguments, strike = items[0]
        together: dict[str, Any] = {**arguments, "at": [one["at"] for one, _ in items]}
        hit = verbs.knock(self._systems["quick"], **together)
        out = []
        for click in hit:
            told = tools.told(click)
            if strike:
                del told["sounds"]
            out.append({**self._result("knock", told), "codebook": _codebook(click.physics)})
        return out

    def _result(self, verb: str, told: Any) -> dict[str, Any]:
        """What was told, with the weights that made it."""
        body = told if isinstance(told, dict) else {"result": told}
        return {**body, "verb": verb, "made": self.weights}

    def _run(
        self, tool: tools.Tool, arguments: dict[str, Any], request: dict[str, Any], opened: Opened | None
    ) -> Iterator[Any]:
        system = self._systems["quick" if tool.name in QUICK else "long"]
        began = time.monotonic()
        files: dict[str, Sound | Image] = {}
        # A photo that was put in metres already is not heard again.
        walked = ("scene", "photo or sound") if arguments.get("listener") is not None else ("scene",)
        for name in (p.name for p in tool.parameters if p.kind in walked and isinstance(arguments[p.name], Image)):
            arguments = {**arguments, name: self._staged({"photo": request[name], "seed": arguments.get("seed", 0)})[1]}
        blocks = self._blocks(tool, arguments)
        if blocks is not None:
            seconds, running = blocks
            if tool.name == "hear":
                # What is there, and how sure that is; the sound itself comes block by block.
                brief: dict[str, Any] = {**arguments, "seconds": 0.05}
                scene = verbs.hear(system, **brief)
                yield {"parts": tools.told(scene)["stems"], "headline": verbs.heard_headline(scene)}
            parts, left = [], seconds
            for block in running(system):
                cut = Sound(block.samples[:, : max(0, round(left * block.rate))], block.rate)
                if cut.samples.shape[1]:
                    parts.append(cut)
                    left -= cut.seconds
                    yield {"block": tools.told(cut), "of": seconds}
                if left <= 1e-6:
                    break
            whole = Sound(np.concatenate([part.samples for part in parts], axis=1), parts[0].rate)
            files[tool.name] = whole
            told: Any = {"seconds": whole.seconds, "sound": tools.told(whole)}
        else:
            result = tool.verb(system, **arguments)
            files = dict(_files(tool.name, result))
            told = tools.told(result)
        self._seconds[tool.name] = time.monotonic() - began
        done = self._result(tool.name, told)
        if opened is not None:
            kept = {k: v if not isinstance(v, str) or len(v) < 500 else "(a file)" for k, v in request.items()}
            opened.made.append(Made(tool.name, kept, files, _small(told)))
        yield done

    def _blocks(
        self, tool: tools.Tool, arguments: dict[str, Any]
    ) -> tuple[float, Callable[[verbs.System], Iterator[Sound]]] | None:
        """How a verb's sound is made block after block, and how long it is; None where that cannot be."""
        verb = getattr(verbs, f"{tool.name}_blocks", None)
        if verb is None:
            return None
        known = inspect.signature(verb).parameters
        seconds = arguments.get("seconds", next((p.default for p in tool.parameters if p.name == "seconds"), None))
        rest = {name: value for name, value in arguments.items() if name in known}
        if seconds is None or any(v for n, v in arguments.items() if n not in known and n != "seconds"):
            return None
        if tool.name == "hear" and not rest.keys() & {"at", "box", "mask"}:
            return None  # all of a photo comes as its parts
        return float(seconds), lambda system: verb(system, **rest)

    # --- work that is no verb ---

    def _look(self, request: dict[str, Any]) -> Iterator[Any]:
        """What would sound where, and what looks like what: a grid of patches, and for each how alike others are."""
        opened = self.photo(request.get("photo"))
        ((_, view),) = self._systems["long"].seen("hear", [opened.image])
        values = view.patches.dense.values.reshape(-1, view.patches.dense.values.shape[-1]).astype(np.float32)
        values = values - values.mean(axis=0)
        values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)
        yield {"sounding": tools.grid(np.asarray(view.seen.sounding)), "alike": tools.grid(values @ values.T)}

    def _staged(self, request: dict[str, Any]) -> tuple[Opened, Any, int]:
        opened = self.photo(request.get("photo"))
        seed = request.get("seed", 0)
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InputError("A seed is a whole number.")
        if seed not in opened.stages:
            began = time.monotonic()
            opened.stages[seed] = self._systems["long"].stage(opened.image, seed=seed)
            self._seconds["stage"] = time.monotonic() - began
            while len(opened.stages) > 1:
                opened.stages.popitem(last=False)
        return opened, opened.stages[seed], seed

    def _stage(self, request: dict[str, Any]) -> Iterator[Any]:
        """The whole photo as a scene in metres, to play and to walk through."""
        yield {"expected": self._seconds.get("stage")}
        _, stage, seed = self._staged(request)
        yield {**export.told_stage(stage), "headline": verbs.staged_headline(stage), "seed": seed, "made": self.weights}

    def _ears(self, request: dict[str, Any]) -> Iterator[Any]:
        """A head's responses, for the browser."""
        yield export.ears_table()

    def _pack(self, request: dict[str, Any]) -> Iterator[Any]:
        """Everything that was made of a photo, as a ZIP file: photo, sounds at 48 kHz and 24 bits, scene, settings."""
        opened = self.photo(request.get("photo"))
        made = [*opened.made, *self._knocks(opened, request.get("knocks", []))]
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
            out.writestr("photo.png", media.encode_png(opened.image))
            told = []
            for k, one in enumerate(made, 1):
                yield {"progress": (k - 1) / (len(made) + 1)}
                names = []
                for name, file in one.files.items():
                    path = f"{k:02d}-{name}" + (".wav" if isinstance(file, Sound) else ".png")
                    names.append(path)
                    out.writestr(path, _file(file))
                told.append({"verb": one.verb, "settings": one.request, "files": names, "told": one.about})
            for stage in opened.stages.values():
                for path, data in _scene_files(stage):
                    out.writestr(f"scene/{path}", data)
                for name, sound in [*((f"part-{k}", s.sound) for k, s in enumerate(stage.scene.stems, 1)),
                                    ("bed", stage.scene.bed), ("mix", stage.scene.mix)]:  # fmt: skip
                    out.writestr(f"stems/{name}.wav", _file(sound))
            settings = {"photo_sha256": opened.sha256, "models": self.weights, "results": told}
            out.writestr("settings.json", json.dumps(settings, indent=1, ensure_ascii=False))
        yield {"zip": tools.base64_of(buffer.getvalue()), "name": f"synesthesia-{opened.name}.zip"}

    def _knocks(self, opened: Opened, requests: Any) -> Iterator[Made]:
        """Knocks sound in the browser, by the same formulas; for a download the verb itself strikes."""
        if not isinstance(requests, list) or len(requests) > MADE:
            raise InputError(f"A download holds up to {MADE} knocks.")
        for request in requests:
            arguments: dict[str, Any] = {"seconds": KNOCK_S}
            arguments |= self.tools["knock"].read(request, lambda ticket: self.photo(ticket).image)
            arguments["rate"] = tools.RATE
            hit = verbs.knock(self._systems["long"], **arguments)
            files: dict[str, Sound | Image] = {f"knock-{k}": sound for k, sound in enumerate(hit.sounds, 1)}
            yield Made("knock", {**request, "photo": opened.sha256}, files, [verbs.headline(d) for d in hit.describe()])


def _codebook(physics: Any) -> list[list[float]]:
    return [[float(f"{v:.9g}") for v in row] for row in physics.prototypes]


def _files(name: str, result: Any) -> Iterator[tuple[str, Sound | Image]]:
    """The sounds and pictures in a result, by names for files; of a scene not the photo, which is there anyway."""
    if isinstance(result, (Sound, Image)):
        yield name, result
    elif isinstance(result, (list, tuple)):
        for k, one in enumerate(result, 1):
            yield from _files(f"{name}-{k}", one)
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        if isinstance(result, Scene):
            yield f"{name}-mix", result.mix
        for f in dataclasses.fields(result):
            if f.name not in ("image", "photos"):
                yield from _files(f"{name}-{f.name}", getattr(result, f.name))


def _small(told: Any) -> Any:
    """What a result says about itself, without its sounds, pictures and maps."""
    if isinstance(told, dict):
        heavy = ("audio", "picture", "values", "physics", "codebook")
        return {k: _small(v) for k, v in told.items() if k not in heavy}
    return [_small(v) for v in told] if isinstance(told, list) else told


def _file(file: Sound | Image) -> bytes:
    if isinstance(file, Image):
        return media.encode_png(file)
    sound = media.resample(file, tools.RATE)
    most = max(1.0, float(np.abs(sound.samples).max(initial=0.0)))  # nothing is clipped
    return media.encode_wav(Sound(sound.samples / np.float32(most), sound.rate), bits=24)


def _scene_files(stage: Any) -> list[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory(prefix="synesthesia-") as folder:
        kept = stage.save(Path(folder) / "scene")
        return [(file.name, file.read_bytes()) for file in sorted(kept.iterdir())]


def _jpeg(image: Image, longest: int) -> str:
    return f"data:image/jpeg;base64,{tools.base64_of(media.encode_jpeg(image, longest))}"
