#!/usr/bin/env python3
# Cost: about 2 minutes on one core, 1 GB of memory. Makes synesthesia/data/starter.csv, docs/kinds.md, docs/credits.md.
"""The table that training and measuring start from: kinds, near-duplicates joined, splits, licences, authors.

    python runs/starter_table.py FOLDER

FOLDER is the folder of the data (see `synesthesia.data.catalogue`). Recordings are joined when their catalogue says so
or when one second of one stands in the other at some lag (`clusters.near_duplicates`, within a kind), photos when their
thumbnails correlate above .98. Splits are drawn by cluster. The same folder gives the same three files.
"""

from __future__ import annotations

import sys
import zipfile
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from synesthesia import data, media
from synesthesia.data import catalogue, clusters
from synesthesia.data.catalogue import Recording
from synesthesia.data.table import Item, numbered_split
from synesthesia.metrics import copies

ROOT = Path(__file__).parents[1]
TRASHNET_BLOCK = 20  # neighbours show one object; every fifth block is never trained on, as in `evaluate.photos`


def fingerprint(path: Path) -> np.ndarray:
    return copies.log_mel(media.read_sound(path, rate=copies.RATE).mono[: 45 * copies.RATE]).astype(np.float32)


def sounds(folder: Path) -> tuple[list[Item], list[Recording], int]:
    """The recordings with clusters and splits, those left out, and how many pairs of names only the ear joined."""
    found, dropped = catalogue.sounds(folder)
    by_name: dict[str, int] = {}
    pairs = [(by_name.setdefault(r.recording, i), i) for i, r in enumerate(found)]
    heard: set[tuple[str, str]] = set()
    for kind in data.KINDS:
        ours = [i for i, r in enumerate(found) if r.item.kind == kind]
        for a, b in clusters.near_duplicates([fingerprint(folder / found[i].item.file) for i in ours]):
            pairs.append((ours[a], ours[b]))
            first, second = sorted((found[ours[a]].recording, found[ours[b]].recording))
            if first != second:
                heard.add((first, second))
    group = clusters.union(len(found), pairs)
    names = [found[g].recording for g in group]
    kinds: dict[str, list[str]] = defaultdict(list)
    for r, name in zip(found, names, strict=True):
        kinds[r.item.kind].append(name)
    never = {name for r, name in zip(found, names, strict=True) if r.item.tier == "never"}
    split = clusters.assign(kinds, lambda name: name not in never)
    rows = [replace(r.item, cluster=name, split=split[name]) for r, name in zip(found, names, strict=True)]
    return rows, dropped, len(heard)


def photos(folder: Path) -> list[Item]:
    """The photos with clusters and splits; a photo that is also one of the small photos goes where that one goes."""
    items = catalogue.photos(folder)
    single = [item for item in items if item.split != "*"]
    thumbs = np.stack([clusters.thumbnail(media.read_image(folder / item.file)) for item in single])
    group = clusters.union(len(single), clusters.same_photos(thumbs))
    names = [single[g].file for g in group]
    fixed = _among_small(folder, items, single, thumbs)
    for n, item in enumerate(single):
        if item.repository.startswith("congduytran12"):
            block = int(Path(item.file).stem.removeprefix("glass")) // TRASHNET_BLOCK
            names[n] = f"trashnet:glass:{block}"
            fixed[n] = "test" if block % 5 == 0 else "judge" if block % 10 == 1 else "train"
    kinds: dict[str, list[str]] = defaultdict(list)
    never = {name for name, item in zip(names, single, strict=True) if item.tier == "never"}
    for n, (item, name) in enumerate(zip(single, names, strict=True)):
        if n not in fixed:
            kinds[item.kind].append(name)
    split = clusters.assign(kinds, lambda name: name not in never)
    split |= {names[n]: s for n, s in fixed.items()}
    rows = [replace(item, cluster=name, split=split[name]) for item, name in zip(single, names, strict=True)]
    return [*rows, *(item for item in items if item.split == "*")]


def _among_small(folder: Path, items: list[Item], single: list[Item], thumbs: np.ndarray) -> dict[int, clusters.Split]:
    """Split of each single photo that is also one of the small photos of its class."""
    fixed: dict[int, clusters.Split] = {}
    for item in (i for i in items if i.split == "*"):
        archive, wnid = item.file.partition("!")[0], item.class_folder
        mine = [n for n, s in enumerate(single) if f"/{wnid}_" in s.file]
        if not mine:
            continue
        with zipfile.ZipFile(folder / archive) as file:
            for name in sorted(n for n in file.namelist() if n.startswith(f"{wnid}/{wnid}_")):
                thumb = clusters.thumbnail(media.read_image(file.read(name)))
                for n in mine:
                    if thumbs[n] @ thumb > clusters.SAME_PHOTO:
                        fixed[n] = numbered_split(int(name.rsplit("_", 1)[1].removesuffix(".webp")))
    return fixed


def kinds_page(rows: list[Item], dropped: list[Recording], joined: int, small: dict[str, int]) -> str:
    lines = []
    whole = 0
    for kind in data.KINDS.values():
        ours = [r for r in rows if r.kind == kind.name and r.sense == "sound"]
        split = {s: len({r.cluster for r in ours if r.split == s}) for s in data.SPLITS}
        tiers = {t: len({r.cluster for r in ours if r.tier == t}) for t in data.TIERS}
        shots = [r for r in rows if r.kind == kind.name and r.sense == "photo"]
        large = Counter(r.split for r in shots if r.split != "*")
        marks = []
        if split["train"] + split["judge"] + split["test"] == 1:
            marks.append("one recording")
        elif split["judge"] == 0:
            marks.append("no recordings left for a judge")
        if kind.procedural:
            marks.append("pictures are made")
        elif sum(large.values()) < 3 and not small[kind.name]:
            marks.append("two photos")
        both = split["train"] > 0 and split["test"] > 0 and bool(shots) and not kind.procedural
        whole += both
        cells = (
            f"**{kind.name}**" if both else kind.name,
            str(len(ours)), *(str(split[s]) for s in data.SPLITS), *(str(tiers[t]) for t in data.TIERS),
            *(str(large[s]) for s in data.SPLITS), str(small[kind.name] or "–"), "; ".join(marks),
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    gone = "\n".join(f"- `{r.item.file}` ({r.item.kind}): {r.item.note}" for r in dropped)
    total = [r for r in rows if r.sense == "sound"]
    return f"""# Kinds: what there is to learn from

Made by `python runs/starter_table.py FOLDER`; every file stands in `synesthesia/data/starter.csv`. No media ships with
the project. {len(total)} sounds in {len({r.cluster for r in total})} recordings (clusters), {len(data.KINDS)} kinds;
**{whole} kinds (bold) have photos, recordings to train on and other recordings to be measured on.**

- *train*, *judge* and *test* count recordings (clusters): takes of one recording by their catalogue, and files of which
  one second stands in another at some lag (log-mel, correlation above {clusters.SAME_MOVEMENT} and difference below
  {clusters.SAME_DB:g} dB); {joined} pairs of recordings with different names were joined by ear alone. Splits are by
  cluster: *train* for bridges, *judge* for judges and thresholds, *test* for nothing but measuring. What may never be
  trained on goes to judge and test.
- *open*: CC0, CC-BY, public domain, MIT. *research*: weights trained on it say "research use". *never*: measured only.
- *Photos* are of 224 px and more by split; *small* counts the 64-px photos of the same classes (8 of 10 train, 1 judge,
  1 test, by their number). They are ImageNet's (research), TrashNet's glass (open) and birds (never); duplicates are
  joined.
- *pictures are made*: nobody has photos of it here; `worlds` renders them.
- Kinds come from names. Where the tagger contradicts a name (a foreign class at {catalogue.CONTRADICTED} or more,
  nothing near the kind at {catalogue.UNHEARD}) the file is left out, in every split; a tagger that fails to hear a kind
  contradicts nothing.

| kind | files | train | judge | test | open | research | never | photos train | judge | test | small | |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}

{sum(r.kind == data.SILENT_KIND for r in rows)} further rows are photos of things that make no sound ("silent").

## Left out

{gone}
"""


def credits_page(rows: list[Item]) -> str:
    groups: dict[tuple[str, str, str], list[Item]] = defaultdict(list)
    for row in rows:
        groups[row.sense, row.repository, row.commit].append(row)
    lines = []
    for (sense, repository, commit), members in sorted(groups.items()):
        licences = "; ".join(sorted({r.licence for r in members}))
        tiers = ", ".join(t for t in data.TIERS if any(r.tier == t for r in members))
        authors = ", ".join(sorted({r.author for r in members if r.author}, key=str.lower)) or "not named file by file"
        at = f" @ {commit[:12]}" if commit else ""
        lines.append(f"- **{repository}**{at}: {len(members)} {sense}s ({tiers}). {licences}. Authors: {authors}.")
    return f"""# Credits

Weights of `hear` and `locate` learn from the work of these people. Nothing of it ships with the project;
`synesthesia/data/starter.csv` names every file with its origin, licence and author. Made by
`python runs/starter_table.py FOLDER`. Where a collection states a licence but names no authors, its own credit list
applies.

{chr(10).join(lines)}
"""


def main(folder: Path) -> None:
    heard, dropped, joined = sounds(folder)
    seen = photos(folder)
    rows = sorted([*heard, *seen], key=lambda r: (r.sense, r.kind, r.file))
    small: dict[str, int] = defaultdict(int)
    with zipfile.ZipFile(folder / "photos/tiny_imagenet_200x160.zip") as file:
        per_class = Counter(name.split("/")[0] for name in file.namelist() if name.endswith(".webp"))
    for row in seen:
        if row.split == "*":
            small[row.kind] += per_class[row.class_folder]
    data.write(ROOT / "synesthesia/data/starter.csv", rows)
    (ROOT / "docs/kinds.md").write_text(kinds_page(rows, dropped, joined, small))
    (ROOT / "docs/credits.md").write_text(credits_page(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
