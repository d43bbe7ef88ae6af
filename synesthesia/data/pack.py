"""Pack photos, recordings and videos into shards (`synesthesia.shards`): the only way in for data, ours too.

One example is a photo (`KEY.jpg`), a recording or a piece of one (`KEY.hit0.flac`, mono, 32 kHz, level as recorded), or
a moment of a video (both). Its truth:

| entry | what |
|---|---|
| `kind` | what it is of, by name: of a kind of the table, of a folder, or of a video that stands on its own |
| `split`, `cluster` | train, judge or test; examples of one cluster are of one recording or photo and share a split |
| `tier`, `licence` | as in the table; "own" and "not stated" for data without a table |
| `file` | the name of the file in the folder that was packed |
| `pairing` | "co-occurring" for a moment of a video; "paired by kind" for all that only a name puts together |
| `start`, `scale` | of a sound: seconds into the file; what it has to be multiplied by (1 but for overloaded ones) |

Splits lie in shards of their own names (`train-00000.tar`), so that nobody trains on a test by accident.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from .. import media, shards
from ..metrics import copies
from ..senses import Image, InputError, Sound
from .clusters import SPLITS, Split, assign, near_duplicates, same_photos, thumbnail, union
from .table import RATE, SILENT_KIND, Item, photos

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

VERSION = 1
BY_KIND, TOGETHER = "paired by kind", "co-occurring"
LONGEST_SIDE = 512  # pixels; larger photos are reduced to it
LONGEST_PIECE = 60.0  # seconds; longer recordings are cut into pieces of equal length
MOMENT = 4.0  # seconds of a video, about, that one of its pictures stands for
SILENCE = 1e-4  # a recording whose peak is below −80 dB re full scale is no recording
HEARD = 45.0  # seconds of a recording that are compared with others
PER_SHARD = 200  # files
MAX_FILES = 200_000
QUALITY = 92  # of JPEG

Sense = Literal["photo", "sound", "video"]
_SENSES: dict[str, Sense] = {
    **dict.fromkeys(media.PICTURES, "photo"),
    **dict.fromkeys(media.SOUNDS, "sound"),
    **dict.fromkeys(media.VIDEOS, "video"),
}


@dataclass(frozen=True)
class Source:
    """A file to pack and what is true of its examples; `digest` is the SHA-256 of its bytes.

    With `row` it is the small photos of a class that belong to its split, one of the table's rows `zip!class/*`.
    """

    file: str
    sense: Sense
    kind: str
    split: Split
    cluster: str
    tier: str
    licence: str
    digest: str
    row: Item | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Count:
    """What the shards hold of a kind: photos, files of recordings and of videos, clusters of what sounds by split."""

    kind: str
    photos: int
    recordings: int
    videos: int
    clusters: Mapping[str, int]


@dataclass(frozen=True)
class Packed:
    """The shards in the order of their names, what they hold, and the files that were left out with the reasons."""

    shards: tuple[Path, ...]
    counts: tuple[Count, ...]
    left_out: tuple[tuple[str, str], ...]


def pack(folder: str | Path, out: str | Path, *, items: Sequence[Item] | None = None, progress: bool = True) -> Packed:
    """Pack the files of `folder` into shards in the folder `out`.

    With `items`, the rows of a table say what the files are; rows whose file is not there are left out. Without, each
    folder in `folder` is a kind, named as you like ("silent": photos of what makes no sound); videos may also lie in
    `folder` itself, each a kind of its own. Splits are then drawn by cluster: recordings of which one second stands in
    another, photos that look alike, and files of the same bytes go together.

    Shards that are there are kept, so a killed run goes on where it stopped, and the same files give the same bytes.
    Raises InputError when `out` holds anything else, when nothing can be packed, and for videos without the extra
    `video`. Single files that cannot be read are left out.
    """
    folder, out = Path(folder), Path(out)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.")
    if out.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{out} lies in {folder}, which is to be packed; choose another folder for the shards.")
    left_out: dict[str, str] = {}
    if items is None:
        sources = _of_folder(folder, left_out, progress)
    else:
        sources = _of_table(folder, items, left_out)
    if not sources:
        some = "; ".join(f"{file}: {why}" for file, why in list(left_out.items())[:3])
        raise InputError(f"There is nothing to pack in {folder}{f' ({some})' if some else ''}.")
    plan = _plan(sources)
    _claim(out, plan, sources)
    todo = {name: ours for name, ours in plan.items() if not (out / name).exists()}
    with _bar("packing", sum(map(len, todo.values())), progress) as step:
        for name, ours in todo.items():
            for part in out.glob(f".{name}.*.part.tar"):  # what a kill left half-written
                part.unlink(missing_ok=True)
            shards.write(out / name, _examples(folder, name, ours, left_out, step))
    paths = tuple(out / name for name in plan)
    counts, packed = _count(paths)
    for source in sources:
        if source.file not in packed and source.file not in left_out:
            left_out[source.file] = "it gave no example"
    return Packed(paths, counts, tuple(sorted(left_out.items())))


def report(packed: Packed) -> str:
    """What was packed, kind by kind, as a table of text, and what each kind lacks."""
    width = max((len(count.kind) for count in packed.counts), default=4)
    lines = [f"{'kind':{width}}  photos  recordings  videos  clusters: {'  '.join(SPLITS)}"]
    for count in packed.counts:
        by_split = "  ".join(f"{count.clusters.get(split, 0):{len(split)}}" for split in SPLITS)
        lines.append(
            f"{count.kind:{width}}  {count.photos:6}  {count.recordings:10}  {count.videos:6}  {'':9}{by_split}"
            f"  {lacks(count)}".rstrip()
        )
    for file, why in packed.left_out[:20]:
        lines.append(f"left out: {file}: {why}")
    if len(packed.left_out) > 20:
        lines.append(f"left out: {len(packed.left_out) - 20} more")
    return "\n".join([*lines, f"{len(packed.shards)} shards in {packed.shards[0].parent}"])


def lacks(count: Count) -> str:
    """What a kind cannot do with the data it has; "" when it can be learned and measured."""
    if count.kind == SILENT_KIND:
        return ""
    sounding = sum(count.clusters.values())
    said = ["no photos"] * (count.photos + count.videos == 0) + ["no recordings"] * (sounding == 0)
    said += ["a single recording: it cannot be measured"] * (sounding == 1)
    return ", ".join(said)


# --- what there is to pack --------------------------------------------------------------------------------------------


def _of_table(folder: Path, items: Sequence[Item], left_out: dict[str, str]) -> list[Source]:
    sources = []
    digests: dict[Path, str] = {}
    for item in items:
        path = folder / item.file.partition("!")[0]
        if not path.is_file():
            left_out[item.file] = "it is not there"
            continue
        if path not in digests:
            digests[path] = _digest(path)
        known = (item.tier, item.licence, digests[path])
        for split in SPLITS if item.split == "*" else (item.split,):
            row = item if item.split == "*" else None
            sources.append(Source(item.file, item.sense, item.kind, split, item.cluster, *known, row))
    return sources


@dataclass(frozen=True, eq=False)
class _Found:
    """A file of a folder without a table; `group` is the kind for drawing splits, `print` what it is compared by."""

    file: str
    sense: Sense
    kind: str
    group: str
    digest: str
    print: np.ndarray


def _of_folder(folder: Path, left_out: dict[str, str], progress: bool) -> list[Source]:
    listed = sorted(_listed(folder, left_out))
    found = []
    with _bar("reading", len(listed), progress) as step:
        for file, kind, group in listed:
            sense = _SENSES[Path(file).suffix.lower()]
            try:
                if kind == SILENT_KIND and sense != "photo":
                    raise InputError(f"what is in {SILENT_KIND} makes no sound: photos only")
                print_ = _print(folder / file, sense)
                found.append(_Found(file, sense, kind, group, _digest(folder / file), print_))
            except media.MissingExtraError:
                raise
            except InputError as error:
                left_out[file] = str(error)
            step()
    seen = [f for f in found if f.sense == "photo"]
    heard = [f for f in found if f.sense != "photo"]
    return [
        *_drawn(seen, lambda prints: same_photos(np.stack(prints))),
        *_drawn(heard, near_duplicates),
    ]


def _listed(folder: Path, left_out: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Name, kind and group of each photo, sound and video; hidden files and other endings are passed over."""
    count = 0
    for where, inside, names in os.walk(folder):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        for name in sorted(names):
            sense = _SENSES.get(Path(name).suffix.lower())
            if sense is None or name.startswith("."):
                continue
            file = (Path(where) / name).relative_to(folder).as_posix()
            count += 1
            if count > MAX_FILES:
                raise InputError(f"{folder} holds more than {MAX_FILES} files; pack it in parts.")
            if not file.isprintable():
                left_out[ascii(file)] = "its name cannot be printed"
            elif "/" in file:
                kind = file.partition("/")[0]
                yield file, kind, kind
            elif sense == "video":
                yield file, file, ""
            else:
                left_out[file] = "it lies in no folder that names its kind"


def _print(path: Path, sense: Sense) -> Float[np.ndarray, ...]:
    """What tells whether two files are the same photo or recording; InputError for what cannot be read or is silent."""
    if sense == "photo":
        return thumbnail(media.read_image(path)).astype(np.float32)
    samples = _audible(media.read_sound(path, rate=copies.RATE).mono)
    return copies.log_mel(samples[: round(HEARD * copies.RATE)]).astype(np.float32)


def _drawn(found: Sequence[_Found], alike: Callable[[list[np.ndarray]], Iterator[tuple[int, int]]]) -> Iterator[Source]:
    """Sources with clusters and splits: what is `alike` within a group, or of the same bytes, is one cluster."""
    groups: dict[str, list[int]] = defaultdict(list)
    first: dict[str, int] = {}
    pairs = [(first.setdefault(f.digest, i), i) for i, f in enumerate(found)]
    for i, f in enumerate(found):
        groups[f.group].append(i)
    for ours in groups.values():
        pairs += [(ours[a], ours[b]) for a, b in alike([found[i].print for i in ours])]
    names = [found[i].file for i in union(len(found), pairs)]
    kinds = {group: [names[i] for i in ours] for group, ours in groups.items()}
    split = assign(kinds, lambda name: True)
    for f, name in zip(found, names, strict=True):
        yield Source(f.file, f.sense, f.kind, split[name], name, "own", "not stated", f.digest)


def _digest(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error


# --- shards -----------------------------------------------------------------------------------------------------------


def _plan(sources: Sequence[Source]) -> dict[str, list[Source]]:
    """The files of each shard: those of a split in the order of a hash of their names, so that kinds are mixed."""
    plan = {}
    for split in SPLITS:
        ours = [source for source in sources if source.split == split]
        ours.sort(key=lambda source: hashlib.sha256(source.file.encode()).digest())
        for number in range(-(-len(ours) // PER_SHARD)):
            plan[f"{split}-{number:05d}.tar"] = ours[number * PER_SHARD : (number + 1) * PER_SHARD]
    return plan


def _claim(out: Path, plan: Mapping[str, Sequence[Source]], sources: Sequence[Source]) -> None:
    """Write pack.json, or refuse a folder that holds another packing or anything else."""
    rules = [VERSION, LONGEST_SIDE, LONGEST_PIECE, MOMENT, SILENCE, PER_SHARD, QUALITY, RATE]
    rows = sorted(astuple(replace(source, row=None)) for source in sources)
    text = json.dumps([rules, rows])
    mine = {"files": len(sources), "sha256": hashlib.sha256(text.encode()).hexdigest(), "version": VERSION}
    path = out / "pack.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        others = sorted(p.name for p in out.iterdir() if not (p.name.startswith(".") and ".part" in p.name))
    except OSError as error:
        raise InputError(f"Cannot make the folder {out}: {error.strerror}.") from error
    if not others:
        media.write_bytes(path, shards.encode_json(mine))
        return
    if strange := [name for name in others if name not in plan and name != path.name]:
        raise InputError(f"{out} holds something else, such as {strange[0]}; choose an empty folder.")
    try:
        known = json.loads(media.read_bytes(path, 2**16))
    except ValueError as error:  # InputError is one
        raise InputError(f"{out} holds shards, but no pack.json that tells what of; choose an empty folder.") from error
    if known != mine:
        raise InputError(f"{out} was packed from other files, or by other rules; remove it or choose another folder.")


def _examples(
    folder: Path, name: str, sources: Sequence[Source], left_out: dict[str, str], step: Callable[[], None]
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The examples of a shard, one file after another; what cannot be read is left out."""
    first = int(name.removesuffix(".tar").rpartition("-")[2]) * PER_SHARD
    for number, source in enumerate(sources, first):
        known: dict[str, object] = {
            "kind": source.kind, "split": source.split, "cluster": source.cluster, "tier": source.tier,
            "licence": source.licence, "file": source.file, "pairing": TOGETHER if source.sense == "video" else BY_KIND,
        }  # fmt: skip
        try:
            for part, (members, more) in enumerate(_parts(folder, source)):
                truth = shards.encode_json({**known, **more})
                yield f"{source.split}-{number:06d}-{part:05d}", {**members, "json": truth}
        except media.MissingExtraError:
            raise
        except InputError as error:
            left_out[source.file] = str(error)
        step()


def _parts(folder: Path, source: Source) -> Iterator[tuple[dict[str, bytes], dict[str, object]]]:
    """The members of each example of a file, and what is true of that example alone."""
    path = folder / source.file
    if source.row is not None:
        small = photos(folder, source.kind, source.split, items=[source.row])
        for number, (_, image) in enumerate(small):  # each is a photo of its own
            yield {"jpg": _jpeg(image)}, {"cluster": f"{source.cluster}:{source.split}:{number}"}
    elif source.sense == "photo":
        yield {"jpg": _jpeg(media.read_image(path))}, {}
    else:
        samples = _audible(media.read_sound(path, rate=RATE).mono)
        seconds = len(samples) / RATE
        video = source.sense == "video"
        count = max(1, round(seconds / MOMENT)) if video else int(np.ceil(seconds / LONGEST_PIECE))
        edges = np.linspace(0, len(samples), count + 1).round().astype(int)
        scale = max(1.0, float(np.abs(samples).max()))
        pictures = media.video_pictures(path, list((edges[:-1] + edges[1:]) / 2 / RATE)) if video else [None] * count
        for start, end, picture in zip(edges[:-1], edges[1:], pictures, strict=True):
            if np.abs(samples[start:end]).max() > SILENCE:
                seen = {} if picture is None else {"jpg": _jpeg(picture)}
                heard = {"hit0.flac": shards.encode_flac(Sound(samples[start:end] / scale, RATE))}
                yield {**seen, **heard}, {"start": float(start / RATE), "scale": scale}


def _audible(samples: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    if np.abs(samples).max(initial=0.0) <= SILENCE:
        raise InputError("it is silent")
    return samples


def _jpeg(image: Image) -> bytes:
    return shards.encode_jpeg(_reduced(image), QUALITY)


def _reduced(image: Image) -> UInt8[np.ndarray, "h w 3"]:
    """The picture, area-averaged to at most `LONGEST_SIDE` pixels; ribbons keep the 16 that a picture has to have."""
    longest = max(image.width, image.height)
    if longest <= LONGEST_SIDE:
        return np.asarray(image.pixels)

    from PIL import Image as Pil

    size = [max(media.MIN_SIDE, round(side * LONGEST_SIDE / longest)) for side in (image.width, image.height)]
    return np.asarray(Pil.fromarray(np.asarray(image.pixels)).resize((size[0], size[1]), Pil.Resampling.BOX))


# --- counting ---------------------------------------------------------------------------------------------------------


def _count(paths: Sequence[Path]) -> tuple[tuple[Count, ...], set[str]]:
    """What the shards hold by kind, and the files that gave an example."""
    seen: dict[str, int] = defaultdict(int)
    heard: dict[str, set[str]] = defaultdict(set)
    filmed: dict[str, set[str]] = defaultdict(set)
    clusters: dict[str, set[tuple[str, str]]] = defaultdict(set)
    packed = set()
    for path in paths:
        for example in shards.examples(path, only={"json"}):
            truth = {name: str(value) for name, value in example.truth.items()}
            kind, file = truth["kind"], truth["file"]
            packed.add(file)
            if "scale" not in truth:
                seen[kind] += 1
                continue
            (filmed if truth["pairing"] == TOGETHER else heard)[kind].add(file)
            clusters[kind].add((truth["split"], truth["cluster"]))
    kinds = sorted({*seen, *clusters})
    counts = tuple(
        Count(
            kind, seen[kind], len(heard[kind]), len(filmed[kind]),
            {split: sum(s == split for s, _ in clusters[kind]) for split in SPLITS},
        ) for kind in kinds
    )  # fmt: skip
    return counts, packed


@contextmanager
def _bar(what: str, total: int, shown: bool) -> Generator[Callable[[], None], None, None]:
    """A bar on stderr; what it gives is called after each of `total` files."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not (shown and total)) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
