"""The command line: one command per verb, derived from the verb's signature and docstring, and the workshop's doors.

Bad input is one sentence on stderr and exit code 2; Ctrl-C is 130; any other failure is a bug and stays a traceback.
"""

from __future__ import annotations

import inspect
import itertools
import json as json_format
import math
import os
import sys
import textwrap
import typing
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from . import media, verbs
from .senses import InputError, Point, Sound

# --- notations: how a value that has its own meaning is written on the command line ----------------------------------


def _notation(parse: Callable[[str], Any], metavar: str) -> Any:
    def from_text(texts: list[str]) -> Any:
        return parse(texts[0])

    def to_text(value: Any) -> list[str]:
        numbers = (value.x, value.y) if isinstance(value, Point) else value
        return [",".join(map(str, numbers)) if isinstance(numbers, tuple) else str(numbers)]

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1, metavar=metavar, instance_from_str=from_text, is_instance=lambda value: True, str_from_instance=to_text
    )


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{text!r} is not a number, nor several with commas between them.") from None


def _point(text: str) -> Point:
    numbers = _numbers(text)
    if len(numbers) != 2:
        raise InputError(f"A point is X,Y, each from 0 to 1, such as 0.5,0.6; this is {text!r}.")
    return Point(*numbers)


def _force(text: str) -> float | tuple[float, ...]:
    numbers = _numbers(text)
    if len(numbers) not in (1, 3):
        raise InputError(f"A force is one number in newtons or three, X,Y,Z; this is {text!r}.")
    return numbers[0] if len(numbers) == 1 else numbers


def _hardness(text: str) -> str | float:
    return text if text[:1].isalpha() and text[:3] not in ("nan", "inf") else _numbers(text)[0]


def _factor(text: str) -> float:
    return _numbers(text.removesuffix("x"))[0]


def _box(text: str) -> tuple[float, ...]:
    numbers = _numbers(text)
    if len(numbers) != 4:
        raise InputError(f"A box is X0,Y0,X1,Y1, each from 0 to 1, such as 0.2,0.3,0.6,0.9; this is {text!r}.")
    return numbers


_PHOTOS = tyro.conf.Positional[tuple[Path, ...]]
_PLACES = tyro.conf.UseAppendAction[tuple[Annotated[Point, _notation(_point, "X,Y")], ...]]
_NOTATIONS: dict[Any, Any] = {
    verbs.Force: Annotated[Any, _notation(_force, "N|FX,FY,FZ")],
    verbs.Hardness: Annotated[Any, _notation(_hardness, "H|felt|wood|steel")],
    verbs.Factor: Annotated[Any, _notation(_factor, "2x")],
    verbs.Box | None: Annotated[Any, _notation(_box, "X0,Y0,X1,Y1")],
    verbs.Place | None: Annotated[Any, _notation(_point, "X,Y")],
}
_FILE = tyro.conf.Positional[Path]
_PATH = Annotated[Any, _notation(str, "X,Y,Z,YAW;...|FILE.json")]


def _derive(command: Callable[..., int], verb: Callable[..., Any], **special: Any) -> Callable[..., int]:
    """`command(output options…, **settings)` with the verb's settings in place of `**settings`.

    `special` are annotations of parameters that are written in a way of their own. Types, defaults and help come from
    the verb's signature and docstring, so that they cannot drift apart.
    """
    hints = typing.get_type_hints(verb, include_extras=True)
    parameters = [p for p in inspect.signature(verb).parameters.values() if p.name != "system"]
    annotations: dict[str, Any] = {p.name: _NOTATIONS.get(hints[p.name], hints[p.name]) for p in parameters}
    annotations |= special
    own_hints = typing.get_type_hints(command, include_extras=True)
    own = [
        p for p in inspect.signature(command).parameters.values()
        if p.kind is not p.VAR_KEYWORD and p.name not in annotations
    ]  # fmt: skip
    annotations |= {p.name: own_hints[p.name] for p in own}

    own_help = textwrap.indent(inspect.cleandoc(command.__doc__ or ""), "    ")
    return _signed(
        lambda **values: command(**values),
        name=getattr(verb, "__name__", ""),
        help=f"{(inspect.getdoc(verb) or '').rstrip()}\n{own_help}",
        parameters=[p.replace(kind=p.KEYWORD_ONLY, annotation=annotations[p.name]) for p in [*parameters, *own]],
    )


def _signed(function: Any, *, name: str, help: str, parameters: list[inspect.Parameter]) -> Callable[..., int]:
    """The function under another name, with another signature and docstring, for tyro to read."""
    function.__name__, function.__doc__ = name, help
    function.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": int}
    function.__signature__ = inspect.Signature(parameters)
    return function


_CENTRE = Point(0.5, 0.5)


# --- commands --------------------------------------------------------------------------------------------------------


def _knock(
    photo: tuple[Path, ...],
    at: tuple[Point, ...],
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
    picture: Path | None = None,
    json: bool = False,
    bits: Literal[16, 24] = 16,
    model: str | None = None,
    yes: bool = False,
    **settings: Any,
) -> int:
    """
    output: The sound file (WAV, FLAC, OGG, MP3), knock.wav unless --json is given. Several sounds: knock-1.wav, ...
    picture: Also draw the photo with the click, the wave and the spectrogram with its modes to this PNG.
    json: Print code, tokens, mode frequencies, decay times and the pitch interval of each click.
    bits: Bits per sample of WAV and FLAC.
    model: Another model: a folder or hf:user/repo@commit.
    yes: Agree to a download without being asked.
    """
    photos = _expand(photo)
    if not at:
        raise InputError("Where? Give a point with --at X,Y, such as --at 0.5,0.6 (0,0 is the top left).")
    if output is None and not json:
        output = Path("knock.wav")
    clicks = len(photos) * len(at)
    sounds = _numbered(output, clicks * max(1, settings["variations"]), media.SOUNDS)
    pictures = _numbered(picture, clicks, media.PICTURES)
    for path in (*sounds, *pictures):
        media.check_writable(path)
    system = verbs.load(yes=yes, **({} if model is None else {"knock": model}))
    hit = system.knock(photos, list(at), **settings)

    for path, sound in zip(sounds, hit.sounds, strict=False):
        sound.save(path, bits=bits)
    for path, click in zip(pictures, hit, strict=False):
        media.write_image(path, click.picture())
    told = hit.describe()
    for i, one in enumerate(told):
        one["photo"] = str(photos[i // len(at)])
        one["sounds"] = [str(path) for path in sounds[i * hit.variations : (i + 1) * hit.variations]]
    if json:
        print(json_format.dumps(told, indent=2, ensure_ascii=False))
    else:
        for one in told:
            print(f"{', '.join(one['sounds'])}: {verbs.headline(one)}")
    return 0


def _hear(
    photo: Path,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("hear.wav"),
    stems: Path | None = None,
    picture: Path | None = None,
    bits: Literal[16, 24] = 16,
    model: str | None = None,
    yes: bool = False,
    **settings: Any,
) -> int:
    """
    output: The sound file (WAV, FLAC, OGG, MP3).
    stems: Also write each part alone, and the bed, to this folder.
    picture: Also draw what sounds where to this PNG.
    bits: Bits per sample of WAV and FLAC.
    model: Another model: a folder or hf:user/repo@commit.
    yes: Agree to a download without being asked.
    """
    for path in (output, *([] if picture is None else [picture])):
        media.check_writable(path)
    system = verbs.load(yes=yes, **({} if model is None else {"hear": model}))
    seconds = settings["seconds"]
    if seconds > _LONG_S and not (settings["loop"] or settings["given"] or stems or picture):
        _write_long(system, photo, output, bits, settings)
        return 0
    scene = system.hear(photo, **settings)
    scene.mix.save(output, bits=bits)
    if stems is not None:
        _make_folder(stems)
        for name, sound in [*((f"{i:02d}", stem.sound) for i, stem in enumerate(scene.stems, 1)), ("bed", scene.bed)]:
            sound.save(stems / f"{name}.wav", bits=bits)
    if picture is not None:
        from .picture import draw_scene

        media.write_image(picture, draw_scene(scene))
    print(f"{output}: {verbs.heard_headline(scene)}")
    return 0


_CONTINUE = Annotated[Path | None, tyro.conf.arg(name="continue")]
_LONG_S = 60.0  # longer sounds are written as they are made


def _write_long(system: verbs.System, photo: Path, output: Path, bits: int, settings: dict[str, Any]) -> None:
    """A long sound block by block: memory does not grow with its length."""
    from rich.progress import Progress

    settings = {name: value for name, value in settings.items() if name not in ("loop", "given")}
    seconds = settings.pop("seconds")
    verbs.check_seconds(seconds)
    blocks = system.hear_blocks(photo, **settings)
    first = next(blocks)
    left = round(seconds * first.rate)
    with Progress(transient=True) as bar, media.sound_writer(output, first.rate, bits=bits) as write:
        task = bar.add_task("hearing", total=left)
        for block in itertools.chain([first], blocks):
            write(block.samples[:, :left])
            left -= block.samples.shape[1]
            bar.update(task, advance=block.samples.shape[1])
            if left <= 0:
                break
    print(f"{output}: {seconds:g} s")


def _locate(
    photo: Path,
    sound: str,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("heat.png"),
    json: bool = False,
    model: str | None = None,
    yes: bool = False,
) -> int:
    """
    output: The photo with the places lit up that would make the sound (PNG).
    json: Print confidence, the likeliest place and the area of the region.
    model: Another model: a folder or hf:user/repo@commit.
    yes: Agree to a download without being asked.
    """
    from .picture import draw_heat

    media.check_writable(output)
    system = verbs.load(yes=yes, **({} if model is None else {"locate": model}))
    found = system.locate(photo, sound)
    media.write_image(output, draw_heat(media.read_image(photo), found.heat))
    told = {"confidence": round(found.confidence, 3), "at": [round(found.at.x, 3), round(found.at.y, 3)],
            "area": round(found.region.area, 3), "picture": str(output)}  # fmt: skip
    if json:
        print(json_format.dumps(told))
    else:
        print(f"{output}: at {found.at.x:.2f},{found.at.y:.2f}, {found.confidence:.0%} sure that the photo shows it")
    return 0


def _see(
    sound: Path,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("see.png"),
    json: bool = False,
    model: str | None = None,
    yes: bool = False,
    **settings: Any,
) -> int:
    """
    output: The picture (PNG, JPEG, WebP); several variations are a grid.
    json: Print which part of the sound was seen.
    model: Another model: a folder or hf:user/repo@commit.
    yes: Agree to a download without being asked.
    """
    media.check_writable(output)
    system = verbs.load(yes=yes, **({} if model is None else {"see": model}))
    glimpse = system.see(sound, **settings)
    media.write_image(output, glimpse.grid)
    if json:
        told = {"start_s": round(glimpse.start, 3), "seconds": round(glimpse.seconds, 3), "of_s": round(glimpse.of, 3),
                "pictures": len(glimpse.pictures), "picture": str(output)}  # fmt: skip
        print(json_format.dumps(told))
    else:
        print(f"{output}: {verbs.seen_headline(glimpse)}")
    return 0


def _describe(
    what: Path,
    json: bool = False,
    model: str | None = None,
    yes: bool = False,
    **settings: Any,
) -> int:
    """
    json: Print phrases and scores as JSON.
    model: Another model: a folder or hf:user/repo@commit.
    yes: Agree to a download without being asked.
    """
    system = verbs.load(yes=yes, **({} if model is None else {"describe": model}))
    nearest = system.describe(what, **settings)
    if json:
        told = [
            {name: value if isinstance(value, str) else round(value, 4)
             for name, value in one._asdict().items() if value is not None}
            for one in nearest
        ]  # fmt: skip
        print(json_format.dumps(told, indent=2, ensure_ascii=False))
    else:
        for one in nearest:
            where = "" if one.bearing is None else f"  ({one.metres:.1f} m, {_way(one.bearing)}, {one.level_db:.0f} dB)"
            print(f"{one.score:6.3f}  {one.phrase}{where}")
        if not nearest:
            print("Nothing is heard from there but ambience.")
    return 0


def _way(bearing: float) -> str:
    """A direction as one says it: 30° to the left, straight ahead."""
    if abs(bearing) < 5:
        return "straight ahead"
    if abs(bearing) > 175:
        return "right behind"
    return f"{abs(bearing):.0f}° to the {'left' if bearing > 0 else 'right'}"


def _walk(
    scene: Path,
    path: str,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("walk.wav"),
    map: Path | None = None,
    keep: Path | None = None,
    bits: Literal[16, 24] = 16,
    model: str | None = None,
    depth: str | None = None,
    yes: bool = False,
    **settings: Any,
) -> int:
    """
    output: The sound file (WAV, FLAC, OGG, MP3).
    map: Also draw the scene from above, with its sources, walls and the path, to this PNG.
    keep: Also keep the scene in this folder, to walk through it again without hearing the photo anew.
    bits: Bits per sample of WAV and FLAC.
    model: Another model of hear: a folder or hf:user/repo@commit.
    depth: Another network that sees depth: a folder, or hf:user/repo@commit of a metric Depth Anything V2; or ground,
        the formula of where things meet the ground.
    yes: Agree to a download without being asked.
    """
    from .bridges.stage import check_new, read_path

    for file in (output, *([] if map is None else [map])):
        media.check_writable(file)
    if keep is not None:
        check_new(keep)
    models = {verb: name for verb, name in (("hear", model), ("walk", depth)) if name is not None}
    system = verbs.load(yes=yes, **models)
    poses = read_path(path)
    stage = system.stage(scene, seed=settings.pop("seed"))
    blocks = system.walk_blocks(stage, poses, **settings)
    seconds, peak = _write_walk(output, blocks, bits, settings["seconds"] or stage.scene.bed.seconds)
    if map is not None:
        from .picture import draw_map

        media.write_image(map, draw_map(stage.scene, stage.sources, poses, stage.walls, stage.camera.across_deg))
    if keep is not None:
        stage.save(keep)
    print(f"{output}: {seconds:.4g} s, {verbs.staged_headline(stage)}")
    if peak > 1:
        over = 20 * math.log10(peak)
        warnings.warn(
            f"{output} is clipped: its peak is {over:.1f} dB above full scale (2 Pa). "
            f"Give --level-db={math.floor(settings['level_db'] - over)}.",
            stacklevel=1,
        )
    return 0


def _write_walk(output: Path, blocks: Iterator[Sound], bits: int, seconds: float) -> tuple[float, float]:
    """Write blocks as they come, so that memory does not grow; how many seconds it became, and its peak."""
    from rich.progress import Progress

    first = next(blocks)
    samples, peak = 0, 0.0
    with (
        Progress(transient=True) as bar,
        media.sound_writer(output, first.rate, first.channels, bits) as write,
    ):
        task = bar.add_task("walking", total=seconds)
        for block in itertools.chain([first], blocks):
            write(block.samples)
            samples += block.samples.shape[1]
            peak = max(peak, float(np.abs(block.samples).max(initial=0.0)))
            bar.update(task, advance=block.seconds)
    return samples / first.rate, peak


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot make the folder {folder}: {error.strerror}.") from error


def _expand(photo: Sequence[Path]) -> list[Path]:
    """Files as they are; a folder as the pictures in it, by name."""
    photos: list[Path] = []
    for path in photo:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in media.PICTURES)
            if not inside:
                raise InputError(f"The folder {path} holds no JPEG, PNG or WebP picture.")
            photos += inside
        else:
            photos.append(path)
    if not photos:
        raise InputError("Which photo? Give a JPEG, PNG or WebP file, or a folder of them.")
    return photos


def _numbered(path: Path | None, count: int, endings: dict[str, str]) -> list[Path]:
    """The path itself for one file; out-1.wav, out-2.wav, ... for several."""
    if path is None:
        return []
    if path.suffix.lower() not in endings:
        raise InputError(f"{path}: the name must end in {', '.join(endings)}.")
    if count == 1:
        return [path]
    digits = len(str(count))
    return [path.with_name(f"{path.stem}-{i:0{digits}d}{path.suffix}") for i in range(1, count + 1)]


def demo(
    photo: tyro.conf.Positional[Path | None] = None,
    at: Annotated[Point, _notation(_point, "X,Y")] = _CENTRE,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out"),
) -> int:
    """Knock on a photo and hear it, or do so with the photos that ship with the project; look for a sound in one of
    them, walk through it, and see a sound.

    Leaves knock.wav and knock.png, hear.wav and hear.png, and without a photo the same of locate, walk and see.

    Args:
        photo: Any photo (JPEG, PNG, WebP).
        at: Where to strike it, X,Y from 0,0 (top left) to 1,1 (bottom right).
        output: The folder to write to.
    """
    from .bridges.stage import read_path
    from .picture import draw_heat, draw_map, draw_scene

    _make_folder(output)
    system = verbs.default()
    with resources.as_file(resources.files("synesthesia") / "demo") as shipped:
        clicks = json_format.loads((shipped / "clicks.json").read_text())
        strikes = (
            [(shipped / name, Point(*where)) for name, where in clicks.items()] if photo is None else [(photo, at)]
        )
        place = media.read_image(shipped / "beach.jpg" if photo is None else photo)
        for i, (path, point) in enumerate(strikes):
            hit = system.knock(path, point)
            base = output / ("knock" if i == 0 else f"knock-{path.stem}")
            hit.sound.save(base.with_suffix(".wav"))
            media.write_image(base.with_suffix(".png"), hit.picture())
            print(f"{path.name} at {point.x:g},{point.y:g}: {verbs.headline(hit.describe()[0])}")
    scene = system.hear(place)
    scene.mix.save(output / "hear.wav")
    media.write_image(output / "hear.png", draw_scene(scene))
    print(f"{'beach.jpg' if photo is None else photo.name}: {verbs.heard_headline(scene)}")
    if photo is None:
        from .worlds import noises

        fire = noises.sound("fire", {"size_m": 1.0}, 4.0, 5.0, seed=0)
        fire.save(output / "locate.wav")
        found = system.locate(place, fire)
        media.write_image(output / "locate.png", draw_heat(place, found.heat))
        sure = f"{found.confidence:.0%} sure"
        print(f"the sound of a fire, looked for in beach.jpg: most likely at {found.at.x:.2f},{found.at.y:.2f}, {sure}")
        stage, path = system.stage(scene), [(0.0, 0.0, 0.0, 0.0), (1.0, 0.0, -2.0, 0.0), (1.0, 0.0, -2.0, 90.0)]
        system.walk(stage, path, level_db=-12.0).save(output / "walk.wav")
        poses = read_path(path)
        plan = draw_map(stage.scene, stage.sources, poses, stage.walls, stage.camera.across_deg)
        media.write_image(output / "walk.png", plan)
        print(f"a walk of two metres into beach.jpg, then a turn to the left: {verbs.staged_headline(stage)}")
        waves = noises.sound("sea", {"wave_height_m": 1.5}, 20.0, 5.0, seed=0)
        waves.save(output / "see.wav")
        glimpse = system.see(waves, variations=4)
        media.write_image(output / "see.png", glimpse.grid)
        print(f"the sound of waves, seen: {verbs.seen_headline(glimpse)}")
    print(f"Listen to the sounds in {output}, and look at the pictures beside them.")
    print("Next: your own photo, with make demo PHOTO=photo.jpg, synesthesia knock photo.jpg --at 0.5,0.5 --mass 2x or")
    print("synesthesia hear photo.jpg --at 0.5,0.5")
    return 0


def export(
    photo: _PHOTOS,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("page.html"),
    seed: int = 0,
    model: str | None = None,
    depth: str | None = None,
    yes: bool = False,
) -> int:
    """Write a page that holds a photo and all that it sounds like: it plays from a disk, without Python or a network.

    In it one hears the photo's parts, knocks on it, changes what was struck, and walks through it. Of several photos it
    is a folder of pages with an index.

    Args:
        photo: Photos (JPEG, PNG, WebP), or folders of them.
        output: The page, or for several photos the folder.
        seed: The same seed gives the same page.
        model: Another model of hear: a folder or hf:user/repo@commit.
        depth: A network that sees depth (Depth Anything V2, metric): a folder or hf:user/repo@commit.
        yes: Agree to a download without being asked.
    """
    from .app import export as room

    photos = _expand(photo)
    models = {verb: name for verb, name in (("hear", model), ("walk", depth)) if name is not None}
    for file in room.write(verbs.load(yes=yes, **models), photos, output, seed):
        print(f"{file}: {file.stat().st_size / 2**20:.1f} MB")
    return 0


def app(
    host: str = "127.0.0.1",
    port: int = 7860,
    share: bool = False,
    public: bool = False,
    model: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    yes: bool = False,
) -> int:
    """Open the app: one page in the browser where a photo is heard, knocked on and walked through, and an HTTP API.

    It answers to this machine alone unless it is told otherwise, and asks nothing of any network.

    Args:
        host: The address to listen at; 0.0.0.0 answers everybody who can reach this machine.
        port: The port; where it is taken, the next free one.
        share: Also give the page a public address, through a tunnel of Gradio's. Everybody who has it can use the app.
        public: Answer under any name and in a frame of any page, as behind a proxy or on the stage of a model hub.
        model: Another model of a verb: verb=folder or verb=hf:user/repo@commit. May be given more than once.
        yes: Agree to downloads without being asked.
    """
    from .app import serve

    models = dict(text.partition("=")[::2] for text in model)
    if "" in models.values():
        raise InputError("A model is verb=folder or verb=hf:user/repo@commit, such as hear=runs/mine.")
    serve.start(lambda: verbs.load(yes=yes, **models), host, port, share, public)
    return 0


def doctor() -> int:
    """Versions, device, mirrors, disk and weights: paste this into a bug report."""
    from . import doctor as room

    print(room.report())
    return 0


_OUT = Annotated[Path, tyro.conf.arg(aliases=["-o"])]


def world_knock(
    output: _OUT,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    split: str = "train",
    photos: Path | None = None,
    workers: int | None = None,
    width: int = 160,
    spp: int = 24,
    coated: float = 0.28,
) -> int:
    """Make objects of known truth: pictures, maps, physics, and the sounds of strikes, as shards (extra `worlds`).

    Resumes where it was stopped; the same seed gives the same bytes whatever the number of workers.

    Args:
        output: The folder for the shards.
        n: How many pictures.
        seed: The same seed makes the same world.
        split: Which part of the world: train, val, or what is held out: objects, families, combinations, invented.
        photos: A folder of photos for backgrounds and light.
        workers: Processes to use; by default one per core.
        width: Side of the square pictures in pixels.
        spp: Samples per pixel of the path tracer.
        coated: Share of things that are meant to have a coating: paint, felt, fur, rust.
    """
    try:
        import mitsuba  # noqa: F401
        import skfem  # noqa: F401
    except ImportError as error:
        raise InputError(f"Worlds need the extra `worlds` ({error.name}): pip install 'synesthesia[worlds]'.") from None
    from .worlds import knock as room

    room.generate(n, seed, output, split=split, photos=photos, workers=workers, width=width, spp=spp, coated=coated)
    return 0


def world_scenes(
    output: _OUT,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    split: str = "train",
    collages: Path | None = None,
    workers: int | None = None,
    side: int = 224,
    seconds: float = 5.0,
) -> int:
    """Make scenes of several sources of known place, mask and sound, as shards: drawn places, or collages of photos.

    Resumes where it was stopped; the same seed gives the same bytes whatever the number of workers.

    Args:
        output: The folder for the shards.
        n: How many scenes.
        seed: The same seed makes the same scenes.
        split: train, val or test (other combinations of parameters); of collages, the split of what they are made from.
        collages: A folder of shards of photos and of sounds, to be pasted and mixed instead of drawn and synthesised.
        workers: Processes to use; by default one per core.
        side: Side of the square pictures in pixels.
        seconds: Length of the sounds.
    """
    if collages is None:
        from .worlds import scenes

        scenes.generate(n, seed, output, split=split, workers=workers, side=side, seconds=seconds)
    else:
        from .worlds import collages as room

        room.generate_collages(collages, n, seed, output, split=split, workers=workers, side=side, seconds=seconds)
    return 0


def world_birds(
    output: _OUT,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    split: str = "train",
    law: Literal["a", "b"] = "a",
    photos: Path | None = None,
    workers: int | None = None,
    side: int = 224,
    seconds: float = 5.0,
) -> int:
    """Make pictures of birds of nameless species, whose songs follow their looks by a hidden law, as shards.

    Resumes where it was stopped; the same seed gives the same bytes whatever the number of workers.

    Args:
        output: The folder for the shards.
        n: How many pictures.
        seed: The same seed makes the same pictures; which species there are does not depend on it.
        split: train, val or test; each has species of its own.
        law: Which law the songs follow.
        photos: A folder of photos without birds, to be the background of half of the pictures.
        workers: Processes to use; by default one per core.
        side: Side of the square pictures in pixels.
        seconds: Length of the sounds.
    """
    from .worlds import birds

    birds.generate(
        n, seed, output, split=split, workers=workers, side=side, seconds=seconds, law=law, photos=photos
    )  # fmt: skip
    return 0


def _tell(text: str) -> None:
    """Progress, beside what is printed."""
    print(text, file=sys.stderr, flush=True)


def _check_figures(output: Path) -> None:
    if output.suffix != ".json":
        raise InputError(f"The figures go into a file that ends in .json, not {output}.")
    media.check_writable(output)


def evaluate_knock(
    world: Path,
    train_world: Path,
    judge: Path,
    output: _OUT = Path("report"),
    photos: Path | None = None,
    learned: Literal["simulation", "unlabelled", "pairs"] = "pairs",
    simulation: Path | None = None,
    unlabelled: Path | None = None,
    n: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None,
    seed: int = 0,
    model: str = "knock/tiny",
    bench: Path | None = None,
) -> int:
    """Measure a knock model on held-out worlds and real photos; writes report.json and page.html.

    Args:
        world: A folder of shards with the splits objects, families, combinations, invented.
        train_world: A folder of shards of the split train, for the baselines.
        judge: The audio-only judge of material (made by runs/judge_knock.sh).
        output: The folder for the report.
        photos: Real photos, one folder per material.
        learned: What the model had of such photos: none, photos without labels, photos paired with sounds.
        simulation: A model that had none, to be measured on the photos as well.
        unlabelled: A model that had photos without labels, to be measured on the photos as well.
        n: At most so many pictures per split.
        seed: Of the bootstrap and the baselines.
        model: The model to measure: knock/tiny, a folder, hf:user/repo@commit.
        bench: What `bench knock --json` printed, to go into the report.
    """
    from .evaluate import knock as room
    from .evaluate.judge import Judge

    timings = None if bench is None else json_format.loads(media.read_bytes(bench, 2**20))
    measured = verbs.load(knock=model).model("knock")
    less = {"simulation": simulation, "unlabelled": unlabelled}
    stages = {name: verbs.load(knock=str(path)).model("knock") for name, path in less.items() if path is not None}
    result = room.evaluate(
        measured,
        world,
        photos,
        train_world,
        Judge.load(judge),
        output,
        n=n,
        seed=seed,
        row=model,
        learned=learned,
        stages=stages,
        bench=timings,
    )
    print(f"{len(result['table'])} figures in {output}/report.json; listen in {output}/page.html")
    return 0


def evaluate_hear(
    shards: tyro.conf.Positional[Path],
    judge: Path,
    output: _OUT = Path("hear.json"),
    model: str = "hear/tiny",
    world: Path | None = None,
    train_world: Path | None = None,
    clips: Path | None = None,
    pairs: int = 80,
    seed: int = 0,
) -> int:
    """Measure a hearing model on held-out photos, recordings and scenes, beside all that it must beat.

    Writes the figures, and beside them a page with the table, pictures and sounds. A judge of our own is taught by the
    recordings of the split judge and kept in the cache folder.

    Args:
        shards: A folder that `synesthesia data pack` made.
        judge: A folder with yamnet.tflite and yamnet_class_map.csv (needs the wheel ai-edge-litert).
        output: The figures, as JSON; the page has the same name and ends in .html.
        model: A name, a folder, or hf:user/repo@commit.
        world: Drawn scenes of the split test, for one kind twice.
        train_world: Drawn scenes of the split train, for what the model must beat there.
        clips: A folder of videos, of which the middle frames are heard (needs the extra `video`).
        pairs: How many pairs of photos of two kinds.
        seed: The same seed draws the same pairs and sounds.
    """
    from .bridges.hearing import Hearing
    from .evaluate import hear as room
    from .evaluate import hear_report

    if pairs < 1:
        raise InputError(f"At least one pair of photos is needed, not {pairs}.")
    _check_figures(output)
    result, shown = room.evaluate(
        Hearing.load(model), shards, judge, world=world, train_world=train_world, clips=clips, seed=seed, pairs=pairs,
        tell=_tell,
    )  # fmt: skip
    result["table"] = hear_report.hear_table(result)
    page = hear_report.write(output, f"evaluate hear: {model}", result, shown)
    print(room.plain(result))
    print(f"{len(result['table'])} figures in {output}; listen in {page}")
    return 0


def evaluate_locate(
    shards: tyro.conf.Positional[Path],
    output: _OUT = Path("locate.json"),
    model: str = "locate/tiny",
    world: Path | None = None,
    pairs: int = 150,
    seed: int = 0,
) -> int:
    """Measure a locator on held-out photos and recordings: where in a pair of photos is this sound, and which is which.

    Args:
        shards: A folder that `synesthesia data pack` made.
        output: The figures, as JSON; the page has the same name and ends in .html.
        model: A name, a folder, or hf:user/repo@commit.
        world: Drawn scenes of the split test, in which each source is looked for by its sound.
        pairs: How many pairs of photos of two kinds.
        seed: The same seed draws the same pairs and sounds.
    """
    from .bridges.grounding import Locator
    from .evaluate import hear_report
    from .evaluate import locate as room

    if pairs < 1:
        raise InputError(f"At least one pair of photos is needed, not {pairs}.")
    _check_figures(output)
    result = room.evaluate(
        Locator.load(model), shards, world=world, seed=seed, pairs=pairs,
        tell=_tell,
    )  # fmt: skip
    result["table"] = hear_report.locate_table(result)
    page = hear_report.write(output, f"evaluate locate: {model}", result)
    print(room.table(result))
    print(f"Figures in {output} and {page}")
    return 0


def evaluate_see(
    shards: tyro.conf.Positional[Path],
    output: _OUT = Path("see.json"),
    model: str = "see/tiny",
    birds: tuple[Path, Path, Path] | None = None,
    strikes: tuple[Path, Path, Path] | None = None,
    hearing: str | None = None,
    eyes: Path | None = None,
    pictures: Path | None = None,
    seed: int = 0,
) -> int:
    """Measure a seeing model on held-out recordings, unseen birds and struck things: is it what one would see?

    Args:
        shards: A folder that `synesthesia data pack` made.
        output: The figures, as JSON.
        model: A name, a folder, or hf:user/repo@commit.
        birds: Three worlds of birds: that the model learned from, of the judge's own, of the split test.
        strikes: The same of struck things.
        hearing: A model of hear, to go from a picture to a sound and back; needs birds.
        eyes: A MobileNetV2 (.tflite, int8) that taught nothing, for the judges to look with instead of hand features.
        pictures: A folder for pictures of every row, side by side.
        seed: The same seed draws the same pictures.
    """
    from .bridges.hearing import Hearing
    from .bridges.seeing import Seeing
    from .evaluate import report
    from .evaluate import see as room
    from .picture import draw_grid

    _check_figures(output)
    if hearing is not None and birds is None:
        raise InputError("To go from a picture to a sound and back takes --birds, whose pictures it begins with.")
    look = room.by_hand if eyes is None else room.Eyes(eyes)
    result, shown = room.evaluate(
        Seeing.load(model), shards, hearing=None if hearing is None else Hearing.load(hearing), bird_worlds=birds,
        strike_worlds=strikes, look=look, seed=seed, tell=_tell,
    )  # fmt: skip
    media.write_bytes(output, json_format.dumps(report.plain(result), indent=1, allow_nan=False).encode())
    if pictures is not None:
        _make_folder(pictures)
        for name, rows in shown.items():
            for row in ("model", "real"):
                some = rows[row][:: max(1, len(rows[row]) // 36)][:36]
                media.write_image(pictures / f"{name}-{row}.png", draw_grid([room.squared(one, 128) for one in some]))
    print(room.table(result))
    print(f"Figures in {output}")
    return 0


def evaluate_describe(
    shards: tyro.conf.Positional[Path],
    output: _OUT = Path("describe.json"),
    model: str = "describe/tiny",
    locator: str = "locate/tiny",
    world: Path | None = None,
    seed: int = 0,
) -> int:
    """Measure a model of words on held-out photos, recordings and places, with phrases that were never trained.

    Args:
        shards: A folder that `synesthesia data pack` made.
        output: The figures, as JSON.
        model: A name, a folder, or hf:user/repo@commit.
        locator: Whose pictures and sounds it has words for.
        world: Drawn scenes of the split test.
        seed: The same seed draws the same phrases and questions.
    """
    from .bridges.grounding import Locator
    from .bridges.naming import Naming
    from .evaluate import describe as room

    media.check_writable(output)
    result = room.evaluate(
        Naming.load(model), Locator.load(locator), shards, world=world, seed=seed,
        tell=_tell,
    )  # fmt: skip
    media.write_bytes(output, json_format.dumps(result, indent=1).encode())
    print(room.table(result))
    return 0


def evaluate_words(
    output: _OUT = Path("words.json"),
    birds: Path | None = None,
    scenes: Path | None = None,
    knock: Path | None = None,
    picture: Path | None = None,
    most: int = 2400,
    judged: int = 60,
    model: str = "hear/tiny",
    striker: str = "knock/tiny",
    seed: int = 0,
) -> int:
    """Measure what words lose: the way through words at rising bandwidth against the direct way, from the same look.

    Args:
        output: The figures, as JSON.
        birds: A folder with train/ and test/ of `synesthesia world birds`.
        scenes: A folder with train/ and test/ of `synesthesia world scenes`.
        knock: A folder with train/ and test/ of `synesthesia world knock`.
        picture: Also draw the curves to this PNG.
        most: At most so many things to learn from (of scenes, a sixth as many of each kind).
        judged: At most so many held-out birds, half as many sources of each kind, four times as many strikes.
        model: The hearing model whose closer look sees birds and scenes: a name, a folder, or hf:user/repo@commit.
        striker: The model of knock whose eyes look at what is struck.
        seed: The same seed draws the same sounds and resamples.
    """
    from .bridges.hearing import Hearing
    from .bridges.knock import Knock
    from .evaluate import words as room
    from .evaluate import words_worlds as worlds

    if most < 20 or judged < 10:
        raise InputError(f"At least 20 things to learn from and 10 to ask about are needed, not {most} and {judged}.")
    if birds is None and scenes is None and knock is None:
        raise InputError("Give at least one world: --birds, --scenes or --knock, a folder with train/ and test/.")
    for path in (output, *([] if picture is None else [picture])):
        media.check_writable(path)

    asked: list[Callable[[], worlds.Asked]] = []
    if birds is not None or scenes is not None:
        hearing = Hearing.load(model)
        if birds is not None:
            asked.append(lambda: worlds.birds(hearing, birds, most, judged, seed, _tell))
        if scenes is not None:
            asked.append(lambda: worlds.laws(hearing, scenes, most // 6, judged // 2, seed, _tell))
    if knock is not None:
        asked.append(lambda: worlds.strikes(Knock.load(striker), knock, most, 4 * judged, _tell))
    parts = [worlds.answer(one(), seed) for one in asked]
    media.write_bytes(output, json_format.dumps({"seed": seed, "worlds": parts}, indent=1).encode())
    if picture is not None:
        media.write_image(picture, room.drawn(parts))
    print("\n\n".join(room.table(part) for part in parts))
    return 0


def evaluate_birds(
    folder: tyro.conf.Positional[Path], output: _OUT = Path("birds.json"), model: str = "locate/tiny"
) -> int:
    """Match photos and recordings of real birds that nobody named, beside chance.

    Args:
        folder: A photo and a recording of each species, under one name.
        output: The figures, as JSON.
        model: A locator: a name, a folder, or hf:user/repo@commit.
    """
    from .bridges.grounding import Locator
    from .evaluate import birds as room

    media.check_writable(output)
    result = room.evaluate(Locator.load(model), folder)
    media.write_bytes(output, json_format.dumps(result, indent=1).encode())
    print(room.table(result))
    return 0


def evaluate_song(
    world: tyro.conf.Positional[Path],
    output: _OUT = Path("song.json"),
    train_world: Path | None = None,
    model: str = "hear/tiny",
    seed: int = 0,
) -> int:
    """Measure whether nameless birds of unseen species are given their own songs.

    Args:
        world: A folder that `synesthesia world birds --split test` made.
        output: The figures, as JSON.
        train_world: The same of the split train, for the row of what the most similar training bird sings.
        model: A hearing model: a name, a folder, or hf:user/repo@commit.
        seed: The same seed makes the same sounds and resamples.
    """
    from .bridges.hearing import Hearing
    from .evaluate import song as room

    media.check_writable(output)
    result = room.evaluate(Hearing.load(model), world, train_world, seed, tell=_tell)
    media.write_bytes(output, json_format.dumps(result, indent=1).encode())
    print(room.table(result))
    return 0


def evaluate_pairs(
    data: tyro.conf.Positional[Path],
    output: _OUT = Path("pairs.json"),
    model: str = "hear/tiny",
    seed: int = 0,
) -> int:
    """Measure whether of two real photos of one kind what must be louder sounds louder, on pairs chosen by eye.

    Args:
        data: The folder of the starter data (`synesthesia data fetch starter`).
        output: The figures, as JSON.
        model: A hearing model: a name, a folder, or hf:user/repo@commit.
        seed: The same seed makes the same sounds and resamples.
    """
    from .bridges.hearing import Hearing
    from .evaluate import pairs as room

    media.check_writable(output)
    result = room.evaluate(Hearing.load(model), data, seed)
    media.write_bytes(output, json_format.dumps(result, indent=1).encode())
    print(room.plain(result))
    return 0


def bench_hear(repeats: int = 9, json: bool = False, model: str | None = None) -> int:
    """How quick hear is here, and how much memory ten minutes take: medians with the machine's name.

    Args:
        repeats: How often each thing is timed.
        json: Print JSON.
        model: Another model: a folder or hf:user/repo@commit.
    """
    from .doctor import machine
    from .evaluate import bench as room

    models = {} if model is None else {"hear": model}
    rows, growth = room.hear(repeats, models), room.growth(models)
    if json:
        print(json_format.dumps({**room.record(rows, machine()), "growth": growth}, indent=2))
    else:
        print(room.table(rows, machine()))
        print(f"memory for 10 min of sound against 10 s: {growth:.3f} × (floor 1.2, aim 1.0)")
    return 0


def evaluate_walk(
    output: _OUT = Path("walk.json"),
    hrtf: Path | None = None,
    heads: tuple[Path, ...] = (),
    rooms: tuple[Path, ...] = (),
) -> int:
    """Measure the renderer of walk: closed forms, and where a judge of direction hears what it renders.

    Args:
        output: The figures, as JSON.
        hrtf: Ears to render with, as a SOFA file, instead of KEMAR's.
        heads: SOFA files of other heads that judge too; a sphere if none is given.
        rooms: SOFA files of real responses to be judged as they are.
    """
    from . import acoustics
    from .evaluate import walk as room

    media.check_writable(output)
    rows = room.evaluate(None if hrtf is None else acoustics.load(hrtf, room.RATE), heads, rooms)
    media.write_bytes(output, json_format.dumps(room.record(rows), indent=1).encode())
    print(room.table(rows))
    return 0


def bench_knock(repeats: int = 15, json: bool = False) -> int:
    """How quick knock is here: medians with the machine's name.

    Args:
        repeats: How often each thing is timed.
        json: Print JSON.
    """
    from .doctor import machine
    from .evaluate import bench as room

    rows = room.knock(repeats)
    print(json_format.dumps(room.record(rows, machine()), indent=2) if json else room.table(rows, machine()))
    return 0


def bench_walk(blocks: int = 2000, json: bool = False) -> int:
    """How quick walk's renderer is here: a block with eight moving sources, with the machine's name.

    Args:
        blocks: How many blocks are timed.
        json: Print JSON.
    """
    from .doctor import machine
    from .evaluate import bench as room

    rows = room.walk(blocks)
    print(json_format.dumps(room.record(rows, machine()), indent=2) if json else room.table(rows, machine()))
    return 0


def bench_app(users: int = 8, actions: int = 200, port: int = 27_860, json: bool = False) -> int:
    """How the app bears its users here, with the machine's name; exit code 1 if any action is lost.

    Args:
        users: How many there are at once.
        actions: What each of them does, one after the other.
        port: Where the app is served meanwhile.
        json: Print JSON.
    """
    from .doctor import machine
    from .evaluate import bench as room
    from .evaluate import load

    found = load.app(users, actions, port)
    rest = {name: value for name, value in vars(found).items() if name != "timings"}
    if json:
        print(json_format.dumps({**room.record(found.timings, machine()), **rest}, indent=2))
    else:
        print(room.table(found.timings, machine()))
        print(f"{found.users} users did {found.done} things, {found.lost} were lost {found.complaint}".rstrip())
        if found.memory_mb is not None and found.growth is not None:
            print(
                f"memory {found.memory_mb:.0f} MB; it grew by {100 * found.growth:.1f} % over the second half (floor 5)"
            )
    return 1 if found.lost else 0


def train_knock(
    world: Path,
    validation: Path,
    output: _OUT,
    photos: Path | None = None,
    teacher: Path | None = None,
    start: str | None = None,
) -> int:
    """Train a knock model; every stage resumes after a kill.

    Args:
        world: A folder of shards of the split train.
        validation: A folder of shards of the split val.
        output: The folder for checkpoints; the last is in final/.
        photos: Real photos, one folder per material, looked at and then paired with sounds of that material.
        teacher: A TensorFlow Lite image network to learn seeing from.
        start: A model that learns on (knock/tiny, a folder) instead of a new one.
    """
    from .train import knock as room

    print(room.train(world, validation, output, photos=photos, teacher=teacher, start=start))
    return 0


def train_eyes(folder: tyro.conf.Positional[Path], output: _OUT, teacher: Path | None = None) -> int:
    """Train eyes/tiny on the photos that nothing is measured on; resumes after a kill.

    Args:
        folder: The folder of the data, with photos/ in it.
        output: The folder for checkpoints; the last is in final/.
        teacher: A TensorFlow Lite image network to learn seeing from; without one they learn from the photos alone.
    """
    from .train import eyes as room

    print(room.train(folder, teacher, output))
    return 0


def train_hear(
    shards: tyro.conf.Positional[Path],
    eyes: str,
    output: _OUT,
    scenes: Path | None = None,
    head: Literal["mlp", "transformer", "flow", "codes"] = "codes",
    voice: str = "bands",
) -> int:
    """Train a locator and a hearing model on photos and recordings, and on drawn scenes; resumes after a kill.

    Args:
        shards: A folder that `synesthesia data pack` made.
        eyes: Whose patches it sees: a folder of `synesthesia train eyes`, DINOv2 and its kin in a folder, or
            hf:user/repo@commit.
        output: The folder for checkpoints; the last are in locator/ and final/.
        scenes: A folder with train/ and val/, both made by `synesthesia world scenes`.
        head: How the mapper says what comes.
        voice: What it speaks with: bands, a folder of a codec, or hf:user/repo@commit.
    """
    from .train import hear as room

    print(room.train(shards, eyes, output, room.HearRun(head=head, voice=voice), scenes))
    return 0


def train_outline(
    shards: tyro.conf.Positional[Path],
    output: _OUT,
    scenes: Path | None = None,
    locator: str = "locate/tiny",
) -> int:
    """Teach a locator to outline what it finds, on photos and recordings, and on drawn scenes; resumes after a kill.

    Args:
        shards: A folder that `synesthesia data pack` made.
        output: The folder for checkpoints; the last is in final/.
        scenes: A folder with train/ and val/, both made by `synesthesia world scenes`.
        locator: Whose eyes, ears and grounding it uses, which stay as they are: a folder that `synesthesia train hear`
            left, a name, or hf:user/repo@commit.
    """
    from .train import outlines as room

    print(room.train(shards, locator, output, scenes))
    return 0


def train_pseudoword(
    shards: tyro.conf.Positional[Path],
    ears: str,
    drawing: str,
    output: _OUT,
    steps: int = 30_000,
    count: int = 1,
    rank: int = 0,
    yes: bool = False,
) -> int:
    """Train a sound to stand in the place of a word of a frozen text-to-image model; resumes after a kill.

    Args:
        shards: A folder that `synesthesia data pack` made.
        ears: Frozen ears: a folder or hf:user/repo@commit (CLAP, AST, our own).
        drawing: Stable Diffusion 1.x or 2.x as diffusers has it: a folder or hf:user/repo@commit.
        output: The folder for checkpoints; the last is in final/.
        steps: Batches of 8.
        count: Pseudo-words for a sound.
        rank: Of what the diffusion model's cross-attention learns (LoRA); 0 leaves it as it is.
        yes: Agree to downloads without being asked.
    """
    from .train import pseudoword as room

    print(room.train(shards, ears, drawing, output, room.PseudowordRun(steps, count=count, rank=rank), yes=yes))
    return 0


def train_see(
    shards: tyro.conf.Positional[Path],
    locator: str,
    output: _OUT,
    worlds: tyro.conf.UseAppendAction[tuple[Path, ...]] = (),
) -> int:
    """Train a seeing model on photos and recordings, and on worlds; resumes after a kill.

    Args:
        shards: A folder that `synesthesia data pack` made.
        locator: Whose ears it hears with: a folder that `synesthesia train hear` left, or hf:user/repo@commit.
        output: The folder for checkpoints; the last is in final/.
        worlds: A folder that `synesthesia world scenes` or `birds` made; may be given more than once.
    """
    from .train import see as room

    print(room.train(shards, locator, output, worlds=worlds))
    return 0


def train_sing(
    shards: tyro.conf.Positional[Path],
    output: _OUT,
    worlds: tyro.conf.UseAppendAction[tuple[Path, ...]],
    hearing: str = "hear/tiny",
) -> int:
    """Teach a hearing model to look closer at what sings and to sing it; resumes after a kill.

    Args:
        shards: A folder that `synesthesia data pack` made.
        output: The folder for checkpoints; the last is in final/.
        worlds: A folder that `synesthesia world birds` or `scenes` made; may be given more than once.
        hearing: The hearing model, whose other skills stay as they are: a folder that `synesthesia train hear` left, a
            name, or hf:user/repo@commit. Of one that sings already the eyes go on learning.
    """
    from .train import sing as room

    print(room.train(shards, hearing, output, worlds))
    return 0


def train_text(
    shards: tyro.conf.Positional[Path],
    output: _OUT,
    locator: str = "locate/tiny",
    scenes: Path | None = None,
    text: str | None = None,
    steps: int = 1300,
) -> int:
    """Train words for what a locator sees and hears, which stays as it is; resumes after a kill.

    Args:
        shards: A folder that `synesthesia data pack` made.
        output: The folder for checkpoints; the last is in final/.
        locator: A name, a folder, or hf:user/repo@commit.
        scenes: A folder with train/, made by `synesthesia world scenes`.
        text: A text tower of CLIP or CLAP instead of our own: a folder or hf:user/repo@commit (extra `hub`).
        steps: How many steps.
    """
    from .encoders.text import TextConfig
    from .train import text as room

    run = room.TextRun(steps=steps, text=text or TextConfig())
    print(room.train(shards, output, locator=locator, scenes=scenes, run=run))
    return 0


def train_depth(shards: tyro.conf.Positional[Path], output: _OUT, locator: str = "locate/tiny") -> int:
    """Train walk/tiny, which tells how far things are, on drawn scenes; resumes after a kill.

    Args:
        shards: A folder that `synesthesia world scenes` made.
        output: The folder for checkpoints; the last is in final/.
        locator: Whose eyes it looks with: a name, a folder or hf:user/repo@commit.
    """
    from .train import depth as room

    print(room.train(shards, output, locator))
    return 0


def train_voice(
    shards: tyro.conf.Positional[Path], output: _OUT, minutes: float | None = None, control: bool = False
) -> int:
    """Train the voice `neural` on recordings; resumes after a kill.

    Args:
        shards: A folder that `synesthesia data pack` made.
        output: The folder for checkpoints; the last is in final/.
        minutes: As many steps as this machine does in so many minutes, instead of the usual number.
        control: EnCodec in its default configuration instead, to compare with (extra `hub`).
    """
    from .train import voice as room

    print(room.train(shards, output, control=control, minutes=minutes))
    return 0


def data_fetch(
    table: tyro.conf.Positional[str],
    output: _OUT,
    tier: tyro.conf.UseAppendAction[tuple[Literal["open", "research", "never"], ...]] = (),
    yes: bool = False,
) -> int:
    """Fetch the recordings and photos that a table names from where the public has them; resumes where it was stopped.

    Sizes, licences and tiers are told first, and asked for. Every file is checked against the hash that git gives it.
    SYNESTHESIA_RAW_HOST names a mirror of the host of raw files.

    Args:
        table: starter, or a CSV table of your own with its columns.
        output: The folder for the files.
        tier: Only this tier (open, research, never); may be given more than once.
        yes: Agree to the download without being asked.
    """
    from .data import fetch as room
    from .data import table as tables

    got = room.fetch(_table(table), output, tiers=tier or tables.TIERS, yes=yes)
    print(f"{got.fetched} files came, {got.kept} were there; {len(got.unknown)} rows have no public file.")
    return 0


def data_pack(folder: tyro.conf.Positional[Path], output: _OUT, table: str | None = None) -> int:
    """Pack photos, recordings and videos into shards to learn from; resumes where it was stopped.

    Without a table, FOLDER holds one folder for each kind of thing, named as you like, with photos, sounds and videos
    of it (`silent`: photos of what makes no sound), or videos on their own. What is the same recording or photo goes
    to the same split: train, judge or test.

    Args:
        folder: The folder of the data.
        output: The folder for the shards.
        table: starter, or a CSV table that says what the files in FOLDER are.
    """
    from .data import pack as room

    packed = room.pack(folder, output, items=None if table is None else _table(table))
    print(room.report(packed))
    return 0


def _table(name: str) -> list[Any]:
    from .data import table as tables

    return tables.starter() if name == "starter" else tables.read(name)


# What stands on the command line; a dictionary is a group. Everything heavy is imported inside the commands.
COMMANDS: dict[str, Any] = {
    "knock": _derive(_knock, verbs.knock, photo=_PHOTOS, at=_PLACES),
    "hear": _derive(_hear, verbs.hear, photo=_FILE, mask=Path | None, given=_CONTINUE),
    "locate": _derive(_locate, verbs.locate, photo=_FILE, sound=tyro.conf.Positional[str]),
    "see": _derive(_see, verbs.see, sound=_FILE, photo=Path | None, mask=Path | None),
    "describe": _derive(_describe, verbs.describe, what=_FILE, listener=_PATH | None, phrases=Path | None),
    "walk": _derive(_walk, verbs.walk, scene=_FILE, path=_PATH, hrtf=Path | None),
    "demo": demo,
    "app": app,
    "export": export,
    "data": {"fetch": data_fetch, "pack": data_pack},
    "world": {"birds": world_birds, "knock": world_knock, "scenes": world_scenes},
    "train": {
        "depth": train_depth,
        "eyes": train_eyes,
        "hear": train_hear,
        "outline": train_outline,
        "knock": train_knock,
        "pseudoword": train_pseudoword,
        "see": train_see,
        "sing": train_sing,
        "text": train_text,
        "voice": train_voice,
    },
    "evaluate": {
        "birds": evaluate_birds,
        "describe": evaluate_describe,
        "hear": evaluate_hear,
        "knock": evaluate_knock,
        "locate": evaluate_locate,
        "pairs": evaluate_pairs,
        "see": evaluate_see,
        "song": evaluate_song,
        "walk": evaluate_walk,
        "words": evaluate_words,
    },
    "bench": {"app": bench_app, "hear": bench_hear, "knock": bench_knock, "walk": bench_walk},
    "doctor": doctor,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    rest = list(sys.argv[1:] if arguments is None else arguments)
    command: Any = COMMANDS
    words = ["synesthesia"]
    while isinstance(command, dict) and rest and rest[0] in command:
        words.append(rest[0])
        command = command[rest.pop(0)]
    if isinstance(command, dict):
        return _help(words, command, rest)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _sentence  # ty: ignore[invalid-assignment]
            return tyro.cli(command, prog=" ".join(words), args=rest, config=(tyro.conf.FlagCreatePairsOff,))
    except InputError as error:
        print(f"synesthesia: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("synesthesia: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`); what Python would still flush at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _help(words: list[str], group: dict[str, Any], rest: list[str]) -> int:
    """The commands of a group with the first line of each; exit code 0 only when help was asked for."""
    if rest == ["--version"] and len(words) == 1:
        from . import __version__

        print(__version__)
        return 0
    asked = not rest or rest[0] in ("-h", "--help")
    out = sys.stdout if asked else sys.stderr
    if not asked:
        print(f"{' '.join(words)}: there is no command {rest[0]!r}.", file=out)
    print(f"usage: {' '.join(words)} COMMAND ...\n", file=out)
    for name, command in group.items():
        inside = (
            f"{', '.join(command)}" if isinstance(command, dict) else (inspect.getdoc(command) or "").splitlines()[0]
        )
        print(f"  {name:10} {inside}", file=out)
    print(f"\n{' '.join(words)} COMMAND --help says more.", file=out)
    return 0 if asked else 2


def _sentence(message: Warning | str, *place: Any, **more: Any) -> None:
    """A warning as a sentence; where in the source it was raised is of no use at a command line."""
    print(f"synesthesia: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
