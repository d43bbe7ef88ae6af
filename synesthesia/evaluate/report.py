"""The report: `report.json` for machines, and one self-contained page with the table, pictures and playable sounds."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import media
from ..senses import Image, Sound

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222;background:#fff}
table{border-collapse:collapse;margin:1em 0;font-variant-numeric:tabular-nums}
td,th{padding:.25em .7em;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}
td.n,th.n{text-align:right}.yes{color:#0a7d32}.no{color:#b3261e}.dim{color:#777}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(250px,1fr));gap:1em}
.card{border:1px solid #ddd;border-radius:8px;padding:.7em}.card img{width:100%;border-radius:5px}
.shot{position:relative}
.shot i{position:absolute;width:14px;height:14px;margin:-9px;border:2px solid #f33;border-radius:50%}
audio{width:100%;height:28px}.card p{margin:.3em 0}
"""


def write(
    out: Path,
    result: Mapping[str, Any],
    shown: Sequence[Mapping[str, Any]],
    gallery: Sequence[tuple[Image, str, str, Sound]],
) -> None:
    """Write `report.json` and `page.html` into the folder `out`, each whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(plain(result), indent=1, ensure_ascii=False, allow_nan=False)
    media.write_bytes(out / "report.json", text.encode())
    media.write_bytes(out / "page.html", page(result, shown, gallery).encode())


def plain(value: Any) -> Any:
    """The same with numpy's scalars as Python's, and null where a number is not finite."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (np.bool_, bool)):
        return bool(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value


def page(
    result: Mapping[str, Any],
    shown: Sequence[Mapping[str, Any]],
    gallery: Sequence[tuple[Image, str, str, Sound]],
) -> str:
    """The page as HTML; pictures and sounds are inside it, nothing is fetched."""
    protocol = result["protocol"]
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>evaluate knock: {text(result['row'])}</title>",
        f"<style>{STYLE}</style><h1>evaluate knock: {text(result['row'])}</h1>",
        f"<p>{text(protocol['interval'])}, {protocol['resamples']} resamples, seed {protocol['seed']}; sounds of "
        f"{protocol['seconds']} s at {protocol['rate']} Hz; "
        + ", ".join(
            f"{text(s)}: {n} pictures of {protocol['objects'][s]} objects" for s, n in protocol["pictures"].items()
        )
        + f"; baselines draw from {protocol['pictures_train']} training pictures.</p>",
        _judge(result["judge"]),
        table(result["table"]),
        "<h2>Beside the table</h2>",
        *(beside(name, result.get(name)) for name in ("pitch", "codebook", "interventions", "photos", "bench")),
        "<h2>Every row, every split</h2>",
        *(_rows(split, rows) for split, rows in result["splits"].items()),
        "<h2>Look and listen</h2><div class=cards>",
        *(_card(item) for item in shown),
        "</div>",
    ]
    if gallery:
        parts += ["<h2>Real photos</h2><div class=cards>", *(_photo(*item) for item in gallery), "</div>"]
    return "".join(parts)


def text(value: object) -> str:
    return html.escape(str(value))


def _number(value: object) -> str:
    return "–" if not isinstance(value, (int, float)) or isinstance(value, bool) else f"{value:.3g}"


def _interval(e: Mapping[str, Any]) -> str:
    return f"{_number(e.get('value'))} <span class=dim>[{_number(e.get('low'))}, {_number(e.get('high'))}]</span>"


def _mark(met: object) -> str:
    return {True: "<span class=yes>✓</span>", False: "<span class=no>✗</span>"}.get(met, "–")  # type: ignore[call-overload]


def _judge(ceiling: Mapping[str, Any]) -> str:
    told = "; ".join(
        f"{text(name)}: {_interval(e)} (n = {e.get('n')})" for name, e in ceiling.items() if isinstance(e, Mapping)
    )
    return f"<p>The judge's own accuracy on true sounds of unseen shapes: {told}.</p>"


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    head = "<tr><th>what<th class=n>value [95 %]<th>unit<th class=n>n<th class=n>objects<th>floor<th><th>aim<th></tr>"
    rows = "".join(
        f"<tr><td>{text(x['what'])}<td class=n>{_interval(x)}<td>{text(x['unit'])}<td class=n>{x['n']}"
        f"<td class=n>{x['objects']}<td>{text(x['floor'])}<td>{_mark(x['met']['floor'])}"
        f"<td>{text(x['aim'])}<td>{_mark(x['met']['aim'])}</tr>"
        for x in lines
    )
    return f"<table>{head}{rows}</table>"


def beside(name: str, numbers: object) -> str:
    """The estimates and single numbers of a part of the report as a list; what is neither is left to report.json."""
    found: list[str] = []

    def walk(path: str, value: object) -> None:
        if isinstance(value, Mapping) and {"value", "low", "high"} <= value.keys():
            found.append(f"<li>{text(path)}: {_interval(value)}")
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                walk(f"{path}, {key}" if path else str(key), inner)
        elif isinstance(value, (int, float)):
            found.append(f"<li>{text(path)}: {_number(value)}")

    walk("", numbers)
    return f"<details><summary>{text(name)}</summary><ul>{''.join(found)}</ul></details>" if found else ""


def _rows(split: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    measures = list(dict.fromkeys(m for row in rows.values() for m in row))
    head = "".join(f"<th class=n>{text(m)}" for m in measures)
    body = "".join(
        f"<tr><td>{text(name)}" + "".join(f"<td class=n>{_interval(row.get(m, {}))}" for m in measures) + "</tr>"
        for name, row in rows.items()
    )
    return f"<h3>{text(split)}</h3><div style='overflow-x:auto'><table><tr><th>row{head}</tr>{body}</table></div>"


def jpeg(image: Image) -> str:
    from PIL import Image as Pil

    picture = Pil.fromarray(np.asarray(image.pixels))
    picture.thumbnail((240, 240))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def audio(sound: Sound) -> str:
    """A player; a sound beyond full scale is turned down to it, and quieter ones are left as they are."""
    small = media.resample(sound, 24_000)
    peak = float(np.abs(small.samples).max(initial=0.0))
    wav = media.encode_wav(Sound(small.samples / np.float32(max(peak, 1.0)), small.rate))
    return f"<audio controls preload=none src='data:audio/wav;base64,{base64.b64encode(wav).decode()}'></audio>"


def _card(item: Mapping[str, Any]) -> str:
    x, y = item["point"]
    sounds = "".join(
        f"<p><b>{text(row)}</b> <span class=dim>heard as {text(told)}</span>{audio(sound)}</p>"
        for row, (sound, told) in item["sounds"].items()
    )
    return (
        f"<div class=card><div class=shot><img alt='' src='{jpeg(item['image'])}'>"
        f"<i style='left:{100 * x:.1f}%;top:{100 * y:.1f}%'></i></div><p class=dim>{text(item['split'])}</p>"
        f"<p>{text(item['truth'])}</p><p class=dim>caption: {text(item['caption'])}</p>{sounds}</div>"
    )


def _photo(image: Image, truth: str, told: str, sound: Sound) -> str:
    return (
        f"<div class=card><img alt='' src='{jpeg(image)}'><p>{text(truth)}, heard as "
        f"<b class={'yes' if truth == told else 'no'}>{text(told)}</b></p>{audio(sound)}</div>"
    )
