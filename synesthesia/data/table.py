"""The table of what may be learned from: one row per recording or photo, with its kind, licence, cluster and split."""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .. import media
from ..senses import Image, InputError
from .clusters import SPLITS, Split
from .kinds import KINDS

if TYPE_CHECKING:
    from jaxtyping import Float

Sense = Literal["sound", "photo"]
Tier = Literal["open", "research", "never"]
TIERS: tuple[Tier, ...] = ("open", "research", "never")
RATE = 32_000
MAX_ROWS = 1_000_000
MAX_TABLE_BYTES = 64 * 2**20
SILENT_KIND = "silent"
_NUMBERED = re.compile(r"([^/]+)/\1_([0-9]{1,6})\.webp")


@dataclass(frozen=True)
class Item:
    """A recording or a photo: what it is, whose it is, and what it may be used for.

    `file`: its name under the folder of the data; `zip!class/*` stands for the small photos of one class.
    `split`: "*" for such a class, whose photos are split by their number (`numbered_split`). `cluster`: files of one
    cluster come from one recording. `tier`: open; research (weights say "research use"); never (measured only).
    `repository`, `commit`, `path` and `git_blob` (the SHA-1 that git gives the file) say where the public has it.
    """

    file: str
    sense: Sense
    kind: str
    split: Split | Literal["*"]
    cluster: str
    tier: Tier
    licence: str
    author: str
    repository: str
    commit: str
    path: str
    git_blob: str
    note: str = ""

    def __post_init__(self) -> None:
        parts = self.file.replace("!", "/").split("/")
        if not self.file or not self.file.isprintable() or self.file.startswith("/") or ".." in parts:
            raise InputError(f"{self.file[:80]!r} is not the name of a file under the folder of the data.")
        if "\\" in self.file or ":" in self.file:
            raise InputError(f"{self.file[:80]!r} has a backslash or a colon in it; names here are written with /.")
        if self.kind not in KINDS and self.kind != SILENT_KIND:
            raise InputError(f"{self.file}: there is no kind {self.kind[:40]!r}; there are {', '.join(KINDS)}.")
        if self.split == "*" and not (self.sense == "photo" and self.file.endswith("!" + self.class_folder + "/*")):
            raise InputError(f"{self.file}: only a class of numbered photos, zip!class/*, has no split of its own.")
        if self.tier == "never" and self.split == "train":
            raise InputError(f"{self.file} may never be trained on, but stands in the split train.")

    @property
    def class_folder(self) -> str:
        """The class of a row of numbered photos, which is the name of their folder in the zip."""
        return self.file.partition("!")[2].removesuffix("/*")


COLUMNS = tuple(field.name for field in fields(Item))


def numbered_split(number: int) -> Split:
    """The split of a photo that is known by its number in its class: of ten, eight train, one judges, one tests."""
    return "judge" if number % 10 == 8 else "test" if number % 10 == 9 else "train"


def read(source: str | Path | bytes) -> list[Item]:
    """The rows of a table (CSV, UTF-8, with the columns `COLUMNS`); InputError for anything else."""
    name = "The table" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else media.read_bytes(source, MAX_TABLE_BYTES)
    try:
        rows = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True)
        if tuple(next(rows, ())) != COLUMNS:
            raise InputError(f"{name} is not such a table: its first line has to be {','.join(COLUMNS)}.")
        items = []
        for row in rows:
            if len(row) != len(COLUMNS) or len(items) >= MAX_ROWS:
                raise InputError(f"{name}, line {rows.line_num}: {len(row)} columns instead of {len(COLUMNS)}.")
            items.append(_item(dict(zip(COLUMNS, row, strict=True))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{name} is not a CSV table in UTF-8: {error}.") from error
    if len({item.file for item in items}) != len(items):
        raise InputError(f"{name} names a file twice.")
    return items


_WORDS: dict[str, tuple[str, ...]] = {"sense": ("sound", "photo"), "tier": TIERS, "split": (*SPLITS, "*")}


def _item(row: dict[str, Any]) -> Item:
    for column, words in _WORDS.items():
        if row[column] not in words:
            raise InputError(f"{row['file'][:80]!r}: the {column} is one of {', '.join(words)}, not {row[column]!r}.")
    return Item(**row)


def write(path: str | Path, items: Iterable[Item]) -> None:
    """Write a table, whole or not at all, in the order given."""
    text = io.StringIO(newline="")
    out = csv.writer(text, lineterminator="\n")
    out.writerow(COLUMNS)
    out.writerows(astuple(item) for item in items)
    media.write_bytes(path, text.getvalue().encode())


def starter() -> list[Item]:
    """The table that the shipped weights are trained and measured with: names and origins only, no media."""
    return read((resources.files("synesthesia.data") / "starter.csv").read_bytes())


def choose(items: Iterable[Item], sense: Sense, kind: str, split: Split, tiers: Collection[Tier] = TIERS) -> list[Item]:
    """The rows of one sense, kind, split and of the allowed tiers; a class of numbered photos belongs to all splits."""
    if kind not in KINDS and kind != SILENT_KIND:
        raise InputError(f"There is no kind {kind!r}; there are {', '.join(KINDS)}.")
    return [
        item for item in items
        if item.sense == sense and item.kind == kind and item.split in (split, "*") and item.tier in tiers
    ]  # fmt: skip


def sounds(
    folder: str | Path, kind: str, split: Split, *, tiers: Collection[Tier] = TIERS, items: Iterable[Item] | None = None
) -> Iterator[tuple[Item, Float[np.ndarray, " n"]]]:
    """The recordings of a kind as mono float32 at 32 kHz, [samples] each, full scale ±1, level as recorded.

    `folder` holds the files by the names of the table (`items`, by default the starter table). Raises InputError for a
    file that is missing or damaged.
    """
    for item in choose(starter() if items is None else items, "sound", kind, split, tiers):
        yield item, media.read_sound(Path(folder) / item.file, rate=RATE).mono


def photos(
    folder: str | Path, kind: str, split: Split, *, tiers: Collection[Tier] = TIERS, items: Iterable[Item] | None = None
) -> Iterator[tuple[Item, Image]]:
    """The photos of a kind ("silent": of things that make no sound), upright sRGB of any size, 64 pixels and more.

    Of a row for a class of small photos, each photo of the split is given with that row. Raises InputError for a file
    that is missing or damaged.
    """
    for item in choose(starter() if items is None else items, "photo", kind, split, tiers):
        if item.split == "*":
            yield from ((item, image) for image in _numbered(Path(folder), item, split))
        else:
            yield item, media.read_image(Path(folder) / item.file)


def photo(folder: str | Path, name: str) -> Image:
    """One photo under the folder of the data: a file, or `zip!class/photo`. Raises InputError if it cannot be read."""
    file, _, entry = name.partition("!")
    path = Path(folder) / file
    if not entry:
        return media.read_image(path)
    try:
        state = path.stat()
        archive, _ = _archive(path, state.st_size, state.st_mtime_ns)
        info = archive.getinfo(entry)
        if info.file_size > media.MAX_PICTURE_BYTES:
            raise InputError(f"{path} claims a picture of {info.file_size} bytes.")
        return media.read_image(archive.read(info))
    except KeyError:
        raise InputError(f"There is no {entry} in {path}.") from None
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error


def _numbered(folder: Path, item: Item, split: Split) -> Iterator[Image]:
    path = folder / item.file.partition("!")[0]
    try:
        state = path.stat()
        file, classes = _archive(path, state.st_size, state.st_mtime_ns)
        for number, info in classes.get(item.class_folder, ()):
            if numbered_split(number) != split:
                continue
            if info.file_size > media.MAX_PICTURE_BYTES:
                raise InputError(f"{path} claims a picture of {info.file_size} bytes.")
            yield media.read_image(file.read(info))
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error


@lru_cache(maxsize=1)
def _archive(
    path: Path, size: int, changed: int
) -> tuple[zipfile.ZipFile, dict[str, list[tuple[int, zipfile.ZipInfo]]]]:
    """An archive, kept open while its size and time stay, and its numbered photos by class in the order of names.

    To read the names of 32,000 photos takes longer than to read the photos of a class.
    """
    file = zipfile.ZipFile(path)
    classes: dict[str, list[tuple[int, zipfile.ZipInfo]]] = {}
    for info in sorted(file.infolist(), key=lambda i: i.filename):
        if match := _NUMBERED.fullmatch(info.filename):
            classes.setdefault(match[1], []).append((int(match[2]), info))
    return file, classes
