"""Making worlds: whole shards from items, resumable, by any number of processes, with the same bytes.

A world is a frozen dataclass that determines every byte; `item(world, index)` makes one example. A folder remembers in
world.json which world it holds, one entry per split, and refuses another.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from .. import shards
from ..senses import InputError


@runtime_checkable
class World(Protocol):
    """What every world has besides its own fields: a dataclass with a split and the number of items per shard."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def split(self) -> str: ...

    @property
    def per_shard(self) -> int: ...


Item = Callable[[Any, int], tuple[str, dict[str, bytes]]]


def make(world: World, item: Item, n: int, folder: Path, workers: int | None, progress: bool) -> list[Path]:
    """Write items 0 to n - 1 of a world to `folder` as tar shards; returns the shards' paths.

    Shards that are there are kept, so a killed run goes on where it stopped; a run to a larger n adds shards (and makes
    a last one that was not full again). `item` is a function of a module, for workers are processes (default: one per
    core). A folder that holds another world is refused with InputError.
    """
    _claim(folder, world)
    per_shard = world.per_shard
    sizes = {k: min(per_shard, n - k * per_shard) for k in range(-(-n // per_shard))}
    todo = {k: size for k, size in sizes.items() if not _complete(shard_path(folder, world.split, k), size)}
    for k in todo:  # what a kill left half-written
        for part in folder.glob(f".{shard_path(folder, world.split, k).name}.*.part.tar"):
            part.unlink(missing_ok=True)
    if todo:
        _run(world, item, folder, todo, n, workers or os.cpu_count() or 1, progress)
    return [shard_path(folder, world.split, k) for k in sizes]


def shard_path(out: Path, split: str, number: int) -> Path:
    """The file of shard `number`."""
    return out / f"{split}-{number:05d}.tar"


def _shard(world: World, item: Item, out: str, number: int, count: int) -> int:
    """Make one whole shard; it appears under its name only when complete."""
    first = number * world.per_shard
    shards.write(shard_path(Path(out), world.split, number), (item(world, i) for i in range(first, first + count)))
    return count


def _complete(path: Path, count: int) -> bool:
    """Whether the shard is there with at least `count` items (shards are only ever whole)."""
    import tarfile

    if not path.exists():
        return False
    try:
        with tarfile.open(path) as tar:
            return sum(name.endswith(".json") for name in tar.getnames()) >= count
    except tarfile.TarError as error:
        raise InputError(f"{path} is not a shard ({error}); remove it or choose another folder.") from error


def _claim(folder: Path, world: World) -> None:
    """Write world.json (one entry per split), or refuse a folder that holds another world."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "world.json"
    known: dict[str, Any] = {}
    if path.exists():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path} is not JSON ({error}); choose an empty folder.") from error
    mine = asdict(world)
    # A world that was made before it could be asked for something was made as it is by default.
    usual = {f.name: f.default for f in fields(world) if f.default is not MISSING}
    if usual | known.get(world.split, mine) != mine:
        raise InputError(
            f"{folder} holds another world ({known[world.split]}); this one is {mine}. Choose another folder."
        )
    if world.split not in known:
        known[world.split] = mine
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        part.replace(path)


def _leave_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever; it ends with it instead."""
    import multiprocessing
    import threading

    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _run(
    world: World, item: Item, folder: Path, todo: dict[int, int], total: int, workers: int, progress: bool
) -> None:  # fmt: skip
    import multiprocessing

    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(f"{world.split} pictures"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not progress) as bar:
        task = bar.add_task("", total=total, completed=total - sum(todo.values()))
        if workers == 1:
            for number, count in todo.items():
                bar.advance(task, _shard(world, item, str(folder), number, count))
            return
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(name, "1")
        pool = ProcessPoolExecutor(min(workers, len(todo)), multiprocessing.get_context("spawn"), _leave_with_parent)
        try:
            for done in as_completed([pool.submit(_shard, world, item, str(folder), k, c) for k, c in todo.items()]):
                bar.advance(task, done.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
