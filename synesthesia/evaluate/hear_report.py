"""What `evaluate hear` and `evaluate locate` leave: the figures as JSON, and one page with the table and its sounds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import media
from . import report
from .hear import RIVALS, Shown

LEAST_KINDS = 25


@dataclass(frozen=True)
class Aim:
    """One line of the table: what, in which unit, the least that must be reached, and what is aimed at."""

    what: str
    unit: str
    floor: str
    aim: str


AIMS = {
    "two_kinds": Aim("selectivity 2-AFC, held-out photos, two kinds (YAMNet)", "", "≥ 0.80", "≥ 0.92"),
    "one_picture": Aim("selectivity 2-AFC, one kind twice in one picture, held-out scenes", "", "≥ 0.65", "≥ 0.85"),
    "two_pictures": Aim("the same, in two pictures", "", "≥ 0.65", "≥ 0.85"),
    "by_ear": Aim("kind by ear (YAMNet), share of its accuracy on real held-out recordings", "", "≥ 0.60", "≥ 0.95"),
    "by_ear_own": Aim("kind by ear (our own judge), share of its accuracy on real recordings", "", "", ""),
    "neighbour": Aim("one kind twice, lead over the nearest neighbour", "", "interval above 0", "also KAD"),
    "cascade": Aim("one kind twice, lead over the cascade", "", "interval above 0", "also KAD"),
    "worse": Aim("measures in which the model is worse than a rival, intervals apart", "", "", "none"),
    "copied": Aim("windows copied from training, above the real–real rate", "", "≤ 0.02", "none"),
    "laws": Aim("laws within a kind, seen against heard, rank correlation", "", "≥ 0.5", "≥ 0.85"),
    "eight_seconds": Aim("8 s of sound from a click, picture encoded, this machine now", "s", "≤ 2.0", "≤ 0.6"),
    "first_sound": Aim("first sound of a stream, this machine now", "s", "≤ 0.4", "≤ 0.1"),
    "scenes": Aim("localisation on scenes, share of IoU ≥ .5", "", "≥ 0.60", "≥ 0.90"),
    "collages": Aim("localisation on collages of photos, share of IoU ≥ .5", "", "", ""),
}


def _line(name: str, record: Mapping[str, Any], floor: bool | None, aim: bool | None) -> dict[str, Any]:
    measured = record.get("value") is not None
    met = {"floor": floor if measured else None, "aim": aim if measured else None}
    return {"name": name, **asdict(AIMS[name]), **record, "met": met}


def _single(value: float, n: int = 1) -> dict[str, Any]:
    return {"value": value, "low": None, "high": None, "n": n, "objects": n}


def _least(name: str, record: Mapping[str, Any], floor: float, aim: float) -> dict[str, Any]:
    value = math.nan if record["value"] is None else record["value"]
    return _line(name, record, value >= floor, value >= aim)


def hear_table(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines of the table that `evaluate hear` can fill; a floor or an aim that was not measured is None."""
    yamnet = result["by_ear"]["yamnet"]["share"]
    enough = result["kinds"] >= LEAST_KINDS
    lines = [_least("two_kinds", result["two_kinds"]["yamnet"]["rows"]["model"], 0.80, 0.92)]
    one = result.get("one_kind")
    if one is not None:
        lines += [_least(name, one[name]["rows"]["model"], 0.65, 0.85) for name in ("one_picture", "two_pictures")]
    value = math.nan if yamnet["value"] is None else yamnet["value"]
    lines.append(_line("by_ear", yamnet, enough and value >= 0.60, enough and value >= 0.95))
    lines.append(_line("by_ear_own", result["by_ear"]["own"]["share"], None, None))
    for rival in RIVALS:
        if one is None or rival not in one["one_picture"]["lead"]:
            continue
        lead = one["one_picture"]["lead"][rival]
        kad = [_above(d["lead"][rival]) for d in result["distances"].values()]
        lines.append(_line(rival, lead, _above(lead), _above(lead) and all(kad)))
    worse = worse_than(result)
    lines.append(_line("worse", _single(float(len(worse)), len(RIVALS)), None, not worse) | {"worse": worse})
    above = result["copied"]["above"]
    lines.append(_line("copied", above, above["value"] <= 0.02, above["value"] <= 0.0))
    if one is not None:
        lines.append(_least("laws", one["laws"]["rows"]["model"], 0.5, 0.85))
    for name, floor, aim in (("eight_seconds", 2.0, 0.6), ("first_sound", 0.4, 0.1)):
        value = result["speed"][name]
        lines.append(_line(name, _single(value, 3), value <= floor, value <= aim))
    return lines


def _above(lead: Mapping[str, Any]) -> bool:
    return lead["low"] is not None and lead["low"] > 0


def worse_than(result: Mapping[str, Any]) -> list[str]:
    """The measures in which a rival is better than the model, its whole interval on its side."""
    leads = {f"kind by ear, {j}": e["lead"] for j, e in result["by_ear"].items()}
    leads |= {f"KAD, {j}": e["lead"] for j, e in result["distances"].items()}
    leads |= {f"two kinds, {j}": e["lead"] for j, e in result["two_kinds"].items()}
    if "one_kind" in result:
        leads |= {name: result["one_kind"][name]["lead"] for name in ("one_picture", "two_pictures")}
    return [
        f"{name}: {rival}"
        for name, lead in leads.items()
        for rival, e in lead.items()
        if e["high"] is not None and e["high"] < 0
    ]


def locate_table(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines of the table that `evaluate locate` can fill."""
    lines = []
    if "scenes" in result:
        lines.append(_least("scenes", result["scenes"]["rows"]["model"]["share_iou_half"], 0.60, 0.90))
    lines.append(_line("collages", result["collages"]["rows"]["model"]["share_iou_half"], None, None))
    return lines


def write(output: Path, title: str, result: Mapping[str, Any], shown: Sequence[Shown] = ()) -> Path:
    """Write the figures to `output` and the page beside it (`.html`), each whole or not at all; returns the page."""
    text = json.dumps(report.plain(result), indent=1, ensure_ascii=False, allow_nan=False)
    media.write_bytes(output, text.encode())
    page = output.with_suffix(".html")
    media.write_bytes(page, _page(title, result, shown).encode())
    return page


def _page(title: str, result: Mapping[str, Any], shown: Sequence[Shown]) -> str:
    told = report.text(title)
    return "".join([
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{told}</title>",
        f"<style>{report.STYLE}</style><h1>{told}</h1>",
        f"<p>95 % bootstrap intervals over photos, scenes and clips; seed {result['seed']}; photos and recordings are "
        f"{report.text(result['pairing'])}.</p>",
        report.table(result["table"]),
        "<h2>Everything measured</h2>",
        *(report.beside(name, part) for name, part in result.items() if isinstance(part, Mapping)),
        "<h2>Look and listen</h2><div class=cards>" if shown else "",
        *(_card(item) for item in shown),
        "</div>" if shown else "",
    ])  # fmt: skip


def _card(item: Shown) -> str:
    sounds = "".join(
        f"<p><b>{report.text(row)}</b> <span class=dim>heard as {report.text(told)}</span>{report.audio(sound)}</p>"
        for row, (sound, told) in item.sounds.items()
    )
    return f"<div class=card><img alt='' src='{report.jpeg(item.image)}'><p>{report.text(item.kind)}</p>{sounds}</div>"
