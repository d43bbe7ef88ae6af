"""The verbs: what a person can do. Each is a short composition of what the other rooms offer; start reading here.

A verb is a function whose first argument is a `System` (which models to use). `system.knock` and `synesthesia.knock`
(on the default preset) are the same function, and its command is derived from its signature and docstring.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Literal, NamedTuple, ParamSpec, TypeAlias, TypeVar

import numpy as np

from . import hub, media
from .senses import MALLETS, SUPPORTS, Image, InputError, Point, Region, Scene, Sound, Strike, Support

if TYPE_CHECKING:
    from .bridges.stage import Stage

P = ParamSpec("P")
R = TypeVar("R")

# What a verb takes for a picture: the sense, a file, a Pillow image, or an array (height, width, 3) of 8 bits.
Photo: TypeAlias = Any
Place: TypeAlias = Point | tuple[float, float]
# Marked, so that the command line can offer its own notation for them: 5 or 1,0,-2; wood or 2e9; 2x.
Force: TypeAlias = Annotated[float | tuple[float, float, float], "newtons"]
Hardness: TypeAlias = Annotated[str | float, "mallet or Pa"]
Factor: TypeAlias = Annotated[float, "factor"]
Box: TypeAlias = Annotated[tuple[float, float, float, float], "box"]
# What a verb takes for a sound (the sense, a file) and for a mask (an array of shares, a black-and-white picture).
Audio: TypeAlias = Any
Mask: TypeAlias = Any
# What a verb takes where words will do: a phrase beside a sound, a list or a file of phrases.
Phrases: TypeAlias = Any
# What a verb takes for a scene (a photo, what `hear` gives, a scene in metres, the folder of one) and for a path in it.
Setting: TypeAlias = Any
Route: TypeAlias = Annotated[Any, "path"]
Ears: TypeAlias = str | Path

GROUND = "walk/ground"  # no weights: distances by the formula alone
LOOP_S = 8.0  # a photo that is walked through sounds in loops of so many seconds
SEEN_PICTURES = 32  # encoded pictures that a system remembers, so that a second click on one is quick


class System:
    """Which model serves which verb. Weights are read at a verb's first use."""

    def __init__(self, models: dict[str, str], *, yes: bool = False) -> None:
        self.models = dict(models)
        self._yes = yes
        self._loaded: dict[str, Any] = {}
        self._seen: OrderedDict[tuple[object, ...], tuple[Image, Any]] = OrderedDict()

    def model(self, verb: str) -> Any:
        """The model of a verb, loaded once. Raises InputError when no model serves the verb or it cannot be loaded."""
        if verb not in self._loaded:
            if verb not in self.models:
                have = [f"{name} ({models[verb]})" for name, models in hub.PRESETS.items() if verb in models]
                raise InputError(
                    f"This system has no model for {verb}; presets that do: {', '.join(have) or 'none'}. "
                    f"Name one: load({verb}=...), or --model on the command line."
                )
            folder = hub.resolve(self.models[verb], yes=self._yes, also=hub.DESCRIPTIONS)
            self._loaded[verb] = _LOADERS[verb](folder)
        return self._loaded[verb]

    def seen(self, verb: str, photos: Sequence[Photo]) -> list[tuple[Image, Any]]:
        """Each picture with what the verb's eyes make of it; pictures seen before are not encoded again."""
        keys = [(verb, *_identity(photo)) for photo in photos]
        new = {key: _image(photo) for key, photo in zip(keys, photos, strict=True) if key not in self._seen}
        fresh = (
            dict(zip(new, zip(new.values(), self.model(verb).see(list(new.values())), strict=True), strict=True))
            if new
            else {}
        )
        pairs = [fresh[key] if key in fresh else self._seen[key] for key in keys]
        for key, pair in zip(keys, pairs, strict=True):
            self._seen[key] = pair
            self._seen.move_to_end(key)
        while len(self._seen) > SEEN_PICTURES:
            self._seen.popitem(last=False)
        return pairs

    def knock(self, photo: Photo | Sequence[Photo], at: Place | Sequence[Place], **settings: Any) -> Hit:
        """Strike a spot of a photo; see `verbs.knock`."""
        return knock(self, photo, at, **settings)

    def hear(self, photo: Photo, **settings: Any) -> Scene:
        """Hear a place in a photo, or all of it; see `verbs.hear`."""
        return hear(self, photo, **settings)

    def hear_blocks(self, photo: Photo, **settings: Any) -> Iterator[Sound]:
        """Hear a photo for as long as one likes; see `verbs.hear_blocks`."""
        return hear_blocks(self, photo, **settings)

    def locate(self, photo: Photo, sound: Audio) -> Any:
        """Find where in a photo a sound comes from; see `verbs.locate`."""
        return locate(self, photo, sound)

    def see(self, sound: Audio, **settings: Any) -> Glimpse:
        """See a sound; see `verbs.see`."""
        return see(self, sound, **settings)

    def describe(self, what: Photo | Audio, **settings: Any) -> list[Nearest]:
        """Say which phrases are nearest to a photo, a place in it, or a sound; see `verbs.describe`."""
        return describe(self, what, **settings)

    def stage(self, scene: Setting, **settings: Any) -> Stage:
        """Put a scene in metres; see `verbs.stage`."""
        return stage(self, scene, **settings)

    def walk(self, scene: Setting, path: Route, **settings: Any) -> Sound:
        """Hear a scene from a path through it; see `verbs.walk`."""
        return walk(self, scene, path, **settings)

    def walk_blocks(self, scene: Setting, path: Route, **settings: Any) -> Iterator[Sound]:
        """The same, block by block; see `verbs.walk_blocks`."""
        return walk_blocks(self, scene, path, **settings)


class Nearest(NamedTuple):
    """A phrase and how near it is: a cosine, which compares phrases and is no probability.

    Of something that is heard from a place also where it is from there: `bearing` in degrees to the left of where one
    looks (−180 to 180), `metres`, and `level_db`, how loud it is there (RMS, full scale; some 1/r).
    """

    phrase: str
    score: float
    bearing: float | None = None
    metres: float | None = None
    level_db: float | None = None


@dataclass(frozen=True, eq=False)
class Hit:
    """What a knock gave: for each click what was struck (`physics`, batched) and its sounds.

    `sounds` holds `variations` sounds per click, click by click; `hit[i]` is the i-th click alone.
    """

    sounds: tuple[Sound, ...]
    physics: Any
    photos: tuple[Image, ...]
    points: tuple[Point, ...]

    @property
    def sound(self) -> Sound:
        """The first sound."""
        return self.sounds[0]

    @property
    def variations(self) -> int:
        """Sounds per click."""
        return len(self.sounds) // len(self.points)

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> Hit:
        i = range(len(self))[index]
        k = self.variations
        return Hit(self.sounds[i * k : (i + 1) * k], _row(self.physics, i), (self.photos[i],), (self.points[i],))

    def __iter__(self) -> Iterator[Hit]:
        return (self[i] for i in range(len(self)))

    def picture(self) -> Image:
        """The photo with the click, the wave, and the spectrogram with the modes (of the first click and sound)."""
        from . import picture

        p = self.physics
        return picture.draw_knock(
            self.photos[0], self.points[0], self.sound, np.asarray(p.frequency)[0], np.asarray(p.t60)[0],
            np.asarray(p.gain)[0], headline(self.describe()[0]),
        )  # fmt: skip

    def describe(self) -> list[dict[str, Any]]:
        """Per click, in plain numbers: code, tokens, pitch with its 80 % interval, modes with their decay times."""
        return [_describe(_row(self.physics, i), point) for i, point in enumerate(self.points)]

    def _repr_html_(self) -> str:
        return "".join(sound._repr_html_() for sound in self.sounds)


@dataclass(frozen=True, eq=False)
class Glimpse:
    """What a sound looks like: `pictures`, one for each variation.

    They were led by the `seconds` that begin at `start` of a sound that lasts `of`.
    """

    pictures: tuple[Image, ...]
    start: float
    seconds: float
    of: float

    @property
    def grid(self) -> Image:
        """All pictures side by side; one alone is itself."""
        from . import picture

        return picture.draw_grid(self.pictures)

    def _repr_png_(self) -> bytes:
        return self.grid._repr_png_()


def knock(
    system: System,
    photo: Photo | Sequence[Photo],
    at: Place | Sequence[Place],
    force: Force = 5.0,
    hardness: Hardness = "wood",
    speed: float | None = None,
    support: Support | None = None,
    size_m: float | None = None,
    seconds: float = 1.5,
    seed: int = 0,
    variations: int = 1,
    material_code: int | None = None,
    mass: Factor = 1.0,
    stiffness: Factor = 1.0,
    size: Factor = 1.0,
    damping: Factor = 1.0,
    rate: int = 44_100,
) -> Hit:
    """Strike a spot of a photo and hear that spot of that object.

    Before the sound the model says what it thinks it struck (`Hit.physics`); those tokens can be changed by
    `material_code`, `mass`, `stiffness`, `size` and `damping`, and the sound follows. Several photos are all struck at
    all points, photo by photo, in one batch. Raises InputError for bad input.

    Args:
        photo: A photo (JPEG, PNG, WebP), or several.
        at: Where: x,y from 0,0 (top left) to 1,1 (bottom right). Several points are several knocks.
        force: Peak force in newtons along the inward normal, or x,y,z in scene axes (x right, y up, z to the camera).
        hardness: The striker: felt, wood, steel, or its Young's modulus in Pa.
        speed: Striking speed in m/s (nominal 1): faster is a shorter and stronger contact.
        support: How the object is held; by default what the picture shows.
        size_m: Largest dimension of the object in metres, when known: it sharpens the pitch.
        seconds: Length of the sound.
        seed: The same seed gives the same sound.
        variations: How many sounds per point, with the seeds seed, seed + 1, ...
        material_code: Replace the material seen by this code of the material codebook.
        mass: Make the object heavier by this factor.
        stiffness: Make the object stiffer by this factor.
        size: Make the object larger by this factor.
        damping: Make its sound die away faster by this factor.
        rate: Sample rate in Hz.
    """
    photos = list(photo) if isinstance(photo, (list, tuple)) else [photo]
    points = _points(at)
    strike = Strike(points[0], force, _hardness(hardness), speed)
    _check_range("seconds", seconds, 0.01, 60)
    _check_range("size_m", size_m, 1e-3, 100)
    _check_range("variations", variations, 1, 1000)
    _check_range("rate", rate, 8000, 192_000)
    _check_range("seed", seed, 0, 2**62)
    for name, factor in (("mass", mass), ("stiffness", stiffness), ("size", size), ("damping", damping)):
        _check_range(name, factor, 1e-3, 1e3)
    if not photos:
        raise InputError("No photo was given.")

    model = system.model("knock")
    clicks = [(image, seen, point) for image, seen in system.seen("knock", photos) for point in points]
    physics = model.think(
        [seen for _, seen, _ in clicks],
        np.array([(point.x, point.y) for _, _, point in clicks], dtype=np.float32),
        size_m=None if size_m is None else np.full(len(clicks), size_m, dtype=np.float32),
        wall_m=None,
        support=None if support is None else [support] * len(clicks),
    ).with_(mass=mass, stiffness=stiffness, size=size, damping=damping, code=material_code)
    takes = [
        model.sound(physics, strike.force, strike.hardness, speed, seconds, rate, seed + variation)
        for variation in range(variations)
    ]
    return Hit(
        tuple(take[i] for i in range(len(clicks)) for take in takes),
        physics,
        tuple(image for image, _, _ in clicks),
        tuple(point for _, _, point in clicks),
    )


def hear(
    system: System,
    photo: Photo,
    at: Place | None = None,
    box: Box | None = None,
    mask: Mask | None = None,
    seconds: float = 8.0,
    seed: int = 0,
    loop: bool = False,
    given: Audio | None = None,
) -> Scene:
    """Hear a place in a photo, or all of it: every sounding part as a stem, over a bed of ambience.

    With a place the scene has one stem; where the model is not sure that anything sounds there, the stem is silent and
    the bed plays ambience instead of a guess. `Scene.mix` is the sum. Raises InputError for bad input.

    Args:
        photo: A photo (JPEG, PNG, WebP).
        at: A point in it: x,y from 0,0 (top left) to 1,1 (bottom right).
        box: A rectangle in it: x0,y0,x1,y1.
        mask: A black-and-white picture that is white where to listen; any size, laid over the whole photo.
        seconds: Length of the sound.
        seed: The same seed gives the same sound.
        loop: Make one period of a sound that repeats without a seam.
        given: A sound to go on from: it stays as the beginning, and the photo says how it continues.
    """
    check_seconds(seconds)
    model, view, plan, past = _listening(system, photo, at, box, mask, seed, given)
    if loop and past is not None:
        raise InputError("A sound that goes on from another does not come round to its own beginning: no loop.")
    if past is not None:
        return model.go_on(view, plan, past, seconds)
    return model.loop(view, plan, seconds) if loop else model.scene(view, plan, seconds)


def hear_blocks(
    system: System,
    photo: Photo,
    at: Place | None = None,
    box: Box | None = None,
    mask: Mask | None = None,
    seed: int = 0,
) -> Iterator[Sound]:
    """The mix of `hear`, block after block, for as long as one likes; joined they are the same sound."""
    model, _, plan, _ = _listening(system, photo, at, box, mask, seed, None)
    for block in model.blocks(plan):
        yield Sound(block.sum(axis=0, keepdims=True), model.voice.rate)


def locate(system: System, photo: Photo, sound: Audio) -> Any:
    """Find where in a photo a sound would come from, or what a phrase says is to be seen.

    What is returned (`bridges.grounding.Found`) has a map `heat` of probabilities, a `region`, and the `confidence`
    that the photo shows it at all. Raises InputError for bad input, and for a sound that is silent.

    Args:
        photo: A photo (JPEG, PNG, WebP).
        sound: A sound (WAV, FLAC, OGG, MP3), or a phrase, such as "a small fire".
    """
    phrase = _is_phrase(sound)
    heard = None if phrase else _sound(sound)
    ((_, seen),) = system.seen("locate", [photo])
    model = system.model("locate")
    if heard is None:
        naming, named = _named(system, [sound])
        return model.find(seen, naming.heard(named)[0])
    return model.find(seen, model.hear([heard])[0])


def see(
    system: System,
    sound: Audio,
    photo: Photo | None = None,
    mask: Mask | None = None,
    seed: int = 0,
    variations: int = 1,
) -> Glimpse:
    """See a sound: a picture of what it sounds like, or a photo with a part of it drawn to fit the sound.

    A sound may have any length: of a long one the part that says most is found and told. Noise, clipping and
    telephone quality make the picture vaguer. Raises InputError for bad input, and for a sound that is silent.

    Args:
        sound: A sound (WAV, FLAC, OGG, MP3).
        photo: A photo (JPEG, PNG, WebP) of which the part that the mask marks is to be drawn; all else stays.
        mask: A black-and-white picture that is white where to draw; any size, laid over the whole photo.
        seed: The same seed gives the same picture.
        variations: How many pictures, with the seeds seed, seed + 1, ...
    """
    if (photo is None) != (mask is None):
        lacking = "a mask that is white where to draw" if mask is None else "the photo that the mask belongs to"
        raise InputError(f"To fill in a photo, give a photo and a mask; {lacking} is missing.")
    _check_range("seed", seed, 0, 2**62)
    _check_range("variations", variations, 1, 64)
    heard = _sound(sound)
    image = None if photo is None else _image(photo)
    where = None if image is None else _mask(mask, image)
    model, seeds = system.model("see"), [seed + k for k in range(variations)]
    attended = model.attend(heard)
    if image is None or where is None:
        pictures = model.pictures(attended, seeds)
    else:
        pictures = model.fill(attended, image, where, seeds)
    return Glimpse(tuple(pictures), attended.start, attended.seconds, heard.seconds)


def describe(
    system: System,
    what: Photo | Audio | Setting,
    at: Place | None = None,
    listener: Route | None = None,
    phrases: Phrases | None = None,
    most: int = 5,
    seed: int = 0,
) -> list[Nearest]:
    """Say which of some phrases are nearest to a photo, a place in it, or a sound; the nearest first.

    From where a `listener` stands in the scene it tells instead, loudest first, what is heard from there: for each
    thing the nearest phrase, its direction and its distance. A score is a cosine: it says which phrase is nearer, not
    whether one is true. Raises InputError for bad input, and for a sound that is silent.

    Args:
        what: A photo (JPEG, PNG, WebP) or a sound (WAV, FLAC, OGG, MP3); with a listener also the folder of a scene.
        at: A place in the photo, X,Y from 0,0 (top left) to 1,1 (bottom right), instead of all of it.
        listener: Where one stands and looks: x,y,z,yaw in metres from the camera and degrees to the left, as for walk.
        phrases: Phrases to choose from instead of the built-in ones: a text file in UTF-8, one phrase on each line.
        most: How many are told.
        seed: The same seed gives the same sounds to a photo that is listened to.
    """
    _check_range("most", most, 1, 1e6)
    if listener is not None:
        if at is not None:
            raise InputError("Give a point in the photo or a listener in the scene, not both.")
        return _around(system, what, listener, phrases, most, seed)
    sound = _sound(what) if _is_sound(what) else None
    if sound is not None and at is not None:
        raise InputError("A sound has no places; give a point with a photo only.")
    region = None if at is None else Region.around(_points(at)[0])
    naming, named = _named(system, phrases)
    locator = system.model("locate")
    if sound is not None:
        scores = naming.of_sound(named, locator.hear([sound])[0])
    else:
        ((_, seen),) = system.seen("locate", [what])
        if region is None:
            scores = locator.match([seen], naming.heard(named))[0]
        else:
            scores = naming.of_place(named, seen, region)
    order = np.argsort(-scores, kind="stable")[:most]
    return [Nearest(str(named.texts[k]), float(scores[k])) for k in order]


def _around(
    system: System, scene: Setting, listener: Route, phrases: Phrases | None, most: int, seed: int
) -> list[Nearest]:
    from .bridges.grounding import SILENT
    from .bridges.stage import read_path

    naming, named = _named(system, phrases)
    poses = read_path(listener if isinstance(listener, (str, Path)) else [listener])
    if len(poses) != 1:
        raise InputError(f"A listener stands at one place x,y,z,yaw, not at {len(poses)}.")
    staged = stage(system, scene, seed=seed)
    staged.check(poses * 2)
    (pose,), locator, found = poses, system.model("locate"), []
    for source in staged.sources:
        way = np.subtract(source.position, pose.position)
        metres = float(np.linalg.norm(way))
        heard = Sound(source.sound.samples / np.float32(max(metres, 1.0)), source.sound.rate)
        if np.abs(heard.samples).max() < SILENT:
            continue
        scores = naming.of_sound(named, locator.hear([heard])[0])
        best = int(np.argmax(scores))
        bearing = (np.degrees(np.arctan2(-way[0], -way[2])) - pose.yaw + 180) % 360 - 180
        level = 10 * np.log10(np.mean(np.square(heard.samples, dtype=np.float64)))
        found.append(Nearest(str(named.texts[best]), float(scores[best]), float(bearing), metres, float(level)))
    return sorted(found, key=lambda one: -(one.level_db or 0.0))[:most]


def stage(system: System, scene: Setting, seed: int = 0) -> Stage:
    """A scene in metres (`bridges.stage.Stage`), to walk through, draw, and keep in a folder with `save`.

    A photo is heard first, in loops; what `hear` gave is taken as it is; of a folder the scene in it is read. Distances
    come from the model of walk, a network that sees depth, or, where the system has none or its name is "ground", from
    where things meet the ground. Raises InputError for bad input.
    """
    from .bridges.place import place
    from .bridges.stage import Stage

    if isinstance(scene, Stage):
        return scene
    if isinstance(scene, (str, Path)) and Path(scene).is_dir():
        return Stage.load(scene)
    depth = None if system.models.get("walk", GROUND) == GROUND else system.model("walk")
    if isinstance(scene, Scene):
        return place(scene, depth)
    return place(hear(system, scene, seconds=LOOP_S, seed=seed, loop=True), depth, loop=True)


def walk(
    system: System,
    scene: Setting,
    path: Route,
    seconds: float | None = None,
    hrtf: Ears | None = None,
    format: Literal["binaural", "stereo", "ambix", "mono"] = "binaural",
    level_db: float = 0.0,
    seed: int = 0,
) -> Sound:
    """Walk through a photo or a scene and hear it from there: nearer is louder, and what is on the left is left.

    From where the camera stood it is as loud as what `hear` gives; nothing is normalised, and near a source it may be
    beyond full scale. Raises InputError for bad input and for a path that leaves the scene.

    Args:
        scene: A photo, or the folder of a scene that was kept.
        path: Poses x,y,z,yaw;x,y,z,yaw;... passed at even times, or a JSON file with a list of them. Metres from the
            camera: x right, y up, z backwards; yaw in degrees to the left. With a minus in front: --path=-1,0,0,0;...
        seconds: How long the walk takes. As long as the scene's sounds if not given; in a longer one they come again.
        hrtf: Ears of your own, as a SOFA file (extra `walk`), instead of KEMAR's.
        format: Two ears, two microphones, ambisonics (AmbiX, first order, W Y Z X) or one microphone.
        level_db: How much louder it becomes; give a negative number for a path that goes near a source.
        seed: The same seed gives the same sounds to a photo.
    """
    blocks = list(walk_blocks(system, scene, path, seconds, hrtf, format, level_db, seed))
    return Sound(np.concatenate([block.samples for block in blocks], axis=1), blocks[0].rate)


def walk_blocks(
    system: System,
    scene: Setting,
    path: Route,
    seconds: float | None = None,
    hrtf: Ears | None = None,
    format: Literal["binaural", "stereo", "ambix", "mono"] = "binaural",
    level_db: float = 0.0,
    seed: int = 0,
) -> Iterator[Sound]:
    """What `walk` gives, block after block; joined they are the same sound. Bad input is told at once."""
    from . import acoustics
    from .bridges.stage import read_path
    from .senses import Source

    _check_range("seconds", seconds, 0.01, 86_400)
    _check_range("level_db", level_db, -120, 60)
    poses = read_path(path)
    ears = None if hrtf is None else Path(hrtf)
    if ears is not None and format != "binaural":
        raise InputError(f"Ears of your own are for the format binaural, not for {format}.")
    staged = stage(system, scene, seed=seed)
    staged.check(poses)
    rate = staged.scene.bed.rate
    sources = staged.sources or (Source(Sound(np.zeros(1), rate), (0.0, 0.0, -1.0)),)  # a bed alone
    hears = acoustics.receiver(format, rate, None if ears is None else acoustics.load(ears, rate))
    renderer = acoustics.Renderer(len(sources), staged.place, hears, rate)
    length = staged.scene.bed.seconds if seconds is None else seconds
    running = acoustics.walk(renderer, sources, poses, length, staged.scene.bed, staged.join)
    level = np.float32(10 ** (level_db / 20))
    return (Sound(block.samples * level, rate) for block in running)


def load(preset: str = "tiny", *, yes: bool = False, **models: str | Path) -> System:
    """A system: a preset with single verbs' models replaced, `load(knock="runs/mine")`. Reads no weights yet.

    `yes` agrees to downloads (`hf:user/repo@commit`) without asking. Raises InputError for an unknown preset or verb.
    """
    if unknown := set(models) - set(_LOADERS):
        raise InputError(f"There is no verb {sorted(unknown)[0]!r}; there are: {', '.join(_LOADERS)}.")
    return System(hub.preset(preset, **models), yes=yes)


@functools.cache
def default() -> System:
    """The system of the default preset, shared by `synesthesia.knock` and its like."""
    return load()


def _on_default(verb: Callable[Concatenate[System, P], R]) -> Callable[P, R]:
    @functools.wraps(verb)
    def on_default(*args: P.args, **kwargs: P.kwargs) -> R:
        return verb(default(), *args, **kwargs)

    return on_default


default_knock = _on_default(knock)
default_hear = _on_default(hear)
default_hear_blocks = _on_default(hear_blocks)
default_locate = _on_default(locate)
default_see = _on_default(see)
default_describe = _on_default(describe)
default_walk = _on_default(walk)
default_walk_blocks = _on_default(walk_blocks)


def seen_headline(glimpse: Glimpse) -> str:
    """One line about a glimpse: how many pictures, and from which part of the sound."""
    count = len(glimpse.pictures)
    pictures = "a picture" if count == 1 else f"{count} pictures"
    if glimpse.seconds >= glimpse.of:
        return f"{pictures} from all of the sound ({glimpse.of:.2f} s)"
    end = glimpse.start + glimpse.seconds
    return f"{pictures} from the part that says most, {glimpse.start:.2f} s to {end:.2f} s of {glimpse.of:.2f} s"


def heard_headline(scene: Scene) -> str:
    """One line about a scene: how many parts sound and how surely."""
    if not scene.stems:
        return "nothing here is known to sound; this is ambience"
    if not any(stem.sound.samples.any() for stem in scene.stems):
        return f"not sure that anything sounds here ({scene.stems[0].confidence:.0%}); this is ambience"
    places = ", ".join(
        f"{s.region.centre.x:.2f},{s.region.centre.y:.2f} ({s.confidence:.0%} sure)" for s in scene.stems
    )
    return f"{len(scene.stems)} sounding {'part' if len(scene.stems) == 1 else 'parts'}, around {places}"


def staged_headline(stage: Stage) -> str:
    """One line about a scene in metres: how many sources, and how far they are from the camera."""
    away = sorted(math.dist(spot.position, (0.0, 0.0, 0.0)) for spot in stage.spots)
    if not away:
        return "nothing here is known to sound; this is ambience"
    metres = f"{_three(away[0])} m" if len(away) == 1 else f"{_three(away[0])} to {_three(away[-1])} m"
    return f"{len(away)} {'source' if len(away) == 1 else 'sources'}, {metres} from the camera"


def check_seconds(seconds: float) -> None:
    """InputError for a length that `hear` does not make."""
    _check_range("seconds", seconds, 0.01, 3600)


def headline(told: dict[str, Any]) -> str:
    """One line about a click from `Hit.describe`, with numbers and no words for materials."""
    tokens, pitch = told["tokens"], told["pitch"]
    low, high = pitch["interval_80_hz"]
    ring = max((mode["t60_s"] for mode in told["modes"]), default=0.0)
    return (
        f"code {told['code']}   {_three(pitch['median_hz'])} Hz ({_three(low)} to {_three(high)})   "
        f"rings {_three(ring)} s   {_three(100 * tokens['size_m'])} cm   {_three(tokens['mass_kg'])} kg   "
        f"hollow {tokens['hollow']:.0%}"
    )


# --- what the verbs share --------------------------------------------------------------------------------------------


def _load_knock(folder: Path) -> Any:
    from .bridges.knock import Knock

    return Knock.load(folder)


def _load_hear(folder: Path) -> Any:
    from .bridges.hearing import Hearing

    return Hearing.load(folder)


def _load_locate(folder: Path) -> Any:
    from .bridges.grounding import Locator

    return Locator.load(folder)


def _load_see(folder: Path) -> Any:
    from .bridges.imagining import KIND, Imagining
    from .bridges.seeing import Seeing

    words = hub.read_config(folder).get("kind") == KIND
    return Imagining.load(folder) if words else Seeing.load(folder)


def _load_describe(folder: Path) -> Any:
    from .bridges.naming import Naming

    return Naming.load(folder)


def _load_walk(folder: Path) -> Any:
    if "model_type" in hub.read_config(folder):  # somebody else's, as transformers keeps it
        from .bridges.pretrained_depth import DepthAnything

        return DepthAnything.load(folder)
    from .bridges.depth import Surveyor

    return Surveyor.load(folder)


_LOADERS: dict[str, Callable[[Path], Any]] = {
    "knock": _load_knock, "hear": _load_hear, "locate": _load_locate, "see": _load_see,
    "describe": _load_describe, "walk": _load_walk,
}  # fmt: skip


def _listening(
    system: System, photo: Photo, at: Any, box: Any, mask: Any, seed: int, given: Any
) -> tuple[Any, Any, Any, Sound | None]:
    """What `hear` and `hear_blocks` begin with: the model, what it sees, what it is going to play, and from where."""
    if sum(part is not None for part in (at, box, mask)) > 1:
        raise InputError("Say where with a point, a box or a mask: one of them.")
    _check_range("seed", seed, 0, 2**62)
    spot = None
    if at is not None:
        (spot,) = _points(at)
    elif box is not None:
        spot = Region.box(*_four(box))
    past = None if given is None else _sound(given)
    model = system.model("hear")
    ((image, view),) = system.seen("hear", [photo])
    if mask is not None:
        spot = _mask(mask, image)
    if past is not None and spot is None:
        spot = Region.whole()
    return model, view, model.plan(view, spot, seed), past


def _four(box: Any) -> tuple[float, float, float, float]:
    if not isinstance(box, (list, tuple)) or len(box) != 4:
        raise InputError(f"A box is (x0, y0, x1, y1), each between 0 and 1; this is {box!r}.")
    x0, y0, x1, y1 = (float(v) for v in box)
    return x0, y0, x1, y1


def _mask(mask: Mask, image: Image) -> Region:
    if isinstance(mask, Region):
        return mask
    if isinstance(mask, np.ndarray) and mask.ndim == 2:
        shares = mask.astype(np.float32)
    else:
        shares = np.asarray(_image(mask).pixels, np.float32).mean(axis=-1) / 255
    if shares.shape != (image.height, image.width):
        warnings.warn(
            f"The mask has {shares.shape[1]} x {shares.shape[0]} pixels, the photo {image.width} x {image.height}; "
            "it is laid over all of the photo.",
            stacklevel=5,
        )
    return Region(shares)


def _named(system: System, phrases: Phrases | None) -> tuple[Any, Any]:
    """The model of words and phrases as it reads them; InputError when it speaks of another locator's space."""
    from .bridges.naming import phrases as read

    texts = read(phrases)
    naming, space = system.model("describe"), system.model("locate").grounding.shared
    if naming.shared != space:
        raise InputError(
            f"{system.models['describe']} has words for what {naming.shared.name} sees and hears, and "
            f"{system.models['locate']} is {space.name}: they do not fit together. Train words for it: "
            "synesthesia train text SHARDS --locator ..."
        )
    return naming, naming.read(texts)


def _is_phrase(sound: Audio) -> bool:
    """Whether it is words and not a sound: a string that neither is a file nor looks like the name of one."""
    if not isinstance(sound, str):
        return type(sound).__name__ == "Text"
    return not (re.search(r"\.\w{2,4}$", sound) or re.fullmatch(r"\S*[/\\]\S*", sound) or _is_file(sound))


def _is_sound(what: Photo | Audio) -> bool:
    if isinstance(what, Sound):
        return True
    return isinstance(what, (str, Path)) and Path(what).suffix.lower() in media.SOUNDS


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long a name, a null byte
        return False


def _sound(sound: Audio) -> Sound:
    if isinstance(sound, Sound):
        return sound
    if isinstance(sound, (str, Path, bytes)):
        return media.read_sound(sound)
    raise InputError(f"A sound is a Sound or a file, not a {type(sound).__name__}.")


def _image(photo: Photo) -> Image:
    if isinstance(photo, Image):
        return photo
    if isinstance(photo, (str, Path, bytes)):
        return media.read_image(photo)
    if isinstance(photo, np.ndarray):
        return Image(photo)
    if hasattr(photo, "getexif"):  # a Pillow image, without importing Pillow to ask
        return media.image_from_pil(photo)
    raise InputError(f"A photo is an Image, a file, a Pillow image or an array, not a {type(photo).__name__}.")


def _identity(photo: Photo) -> tuple[object, ...]:
    """Equal for the same picture: a file until it changes, an object for as long as it is remembered."""
    if isinstance(photo, (str, Path)):
        try:
            info = Path(photo).stat()
        except (OSError, ValueError):
            return (str(photo),)  # reading it will say what is wrong
        return (str(photo), info.st_mtime_ns, info.st_size)
    if isinstance(photo, Image):
        return (photo,)  # senses compare by identity, and the key keeps this one alive
    return (object(),)  # arrays and Pillow images may change between two calls: never remembered


def _points(at: Any) -> list[Point]:
    several = at if isinstance(at, (list, tuple)) and at and not isinstance(at[0], (int, float)) else [at]
    points = []
    for one in several:
        if isinstance(one, Point):
            points.append(one)
        elif isinstance(one, (list, tuple)) and len(one) == 2:
            points.append(Point(float(one[0]), float(one[1])))
        else:
            raise InputError(f"A point is (x, y), each between 0 and 1; this is {one!r}.")
    return points


def _hardness(hardness: str | float) -> float:
    if isinstance(hardness, str):
        if hardness not in MALLETS:
            raise InputError(f"Hardness is {', '.join(MALLETS)} or a Young's modulus in Pa, not {hardness!r}.")
        return MALLETS[hardness]
    return float(hardness)


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        raise InputError(f"{name} lies between {low:g} and {high:g}, not {value}.")


# Fields of a physical state that are the model's, the same for every click.
_SHARED = {"prototypes"}


def _row(physics: Any, i: int) -> Any:
    """The i-th click of a batched physical state, still batched (of one)."""
    values = {f.name: getattr(physics, f.name) for f in dataclasses.fields(physics) if f.name not in _SHARED}
    return dataclasses.replace(physics, **{name: value[i : i + 1] for name, value in values.items()})


def _describe(physics: Any, point: Point) -> dict[str, Any]:
    mean, spread = float(physics.log_f1_mean[0]), float(physics.log_f1_std[0])
    half = 1.2816 * spread  # the 10th and 90th percentile of a normal distribution
    names = ("wave_speed", "density", "youngs_modulus", "loss", "size_m", "wall_m", "hollow", "mass")
    units = {
        "wave_speed": "wave_speed_m_s",
        "density": "density_kg_m3",
        "youngs_modulus": "youngs_modulus_pa",
        "mass": "mass_kg",
    }
    return {
        "at": [point.x, point.y],
        "struck": str(physics.struck[0]),
        "code": int(physics.code[0]),
        "code_probabilities": [_short(p) for p in physics.code_probs[0]],
        "tokens": {units.get(name, name): _short(getattr(physics, name)[0]) for name in names},
        "support": dict(zip(SUPPORTS, map(_short, physics.support_probs[0]), strict=True)),
        "pitch": {
            "median_hz": _short(math.exp(mean)),
            "interval_80_hz": [_short(math.exp(mean - half)), _short(math.exp(mean + half))],
        },
        "modes": [
            {"hz": _short(f), "t60_s": _short(t), "gain": _short(g)}
            for f, t, g in zip(physics.frequency[0], physics.t60[0], physics.gain[0], strict=True)
        ],
    }


def _short(value: float) -> float:
    """Six significant digits: more would be a pretence."""
    return float(f"{value:.6g}")


def _three(value: float) -> str:
    """Three significant digits without an exponent."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{float(f'{value:.3g}'):.0f}"
