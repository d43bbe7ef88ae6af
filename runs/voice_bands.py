#!/usr/bin/env python3
# Cost: about 10 minutes on one core with soundstream, 2 more for each other voice. Makes the tables of docs/voices.md.
"""What voices keep of real recordings: encode, decode, compare, and ask a judge what it hears.

    python runs/voice_bands.py DATA JUDGE WORK [NAME=VOICE ...]

DATA is the folder of the data, JUDGE holds yamnet.tflite and yamnet_class_map.csv (Apache-2.0; needs the wheel
ai-edge-litert), WORK.jsonl keeps the results, so that a run that was stopped goes on and another voice can be added.
VOICE is whatever `codecs.load_voice` takes, such as soundstream=FOLDER, neural=OUT/final, control=OUT/final of
`synesthesia train voice --control`; each is measured as it is and at about 9, 6 and 3 kbit/s. A voice that cannot be
loaded is a row that says why. Up to `EACH` recordings of every kind's test split, one a cluster, their first 8 s. The
voice `bands` has nothing to train; its design was tried on train splits.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from synesthesia import data, media, metrics
from synesthesia.codecs import load_voice
from synesthesia.codecs.bands import BANDS, CLICK, FLOOR_DB, LEVELS, ONSET, PARTIALS, PLACES, RATE, RISE, WIDTH, Bands
from synesthesia.codecs.voice import TokenVoice, Voice
from synesthesia.data.table import Item
from synesthesia.evaluate.ear import Ear
from synesthesia.metrics.texture import TextureError, texture, texture_error
from synesthesia.senses import InputError, Sound
from synesthesia.spaces import Features

ROOT = Path(__file__).parents[1]
EACH = 4
SECONDS = 8
SEED = 0
COMMON_RATE = 16_000  # at which the ceilings of voices of several rates are compared; the judge's too
KBITS = (9, 6, 3)
# What the rows neural and control of docs/voices.md are; to be written anew with other weights.
TRAINED = """What stands here of both
learned for 55 minutes of one core each (5,602 and 493 steps) by bands and phase alone, and hums: a sine in each band is
nearer to a noise, by its bands, than another noise is. Bins count beside bands since ([log](log.md), 2026-12-01). So
no kind is spoken by `neural`: all are by `bands`, which needs no training."""
EXPECTED = {
    "soundstream": "needs its files and the wheel ai-edge-litert",
    "neural": "no weights yet: not trained",
    "control": "no weights yet: not trained",
}
# Ways to keep the latents of `bands` in few bits: the step of levels in dB, and frames that share their levels.
KEPT = ((3.0, 1), (6.0, 2), (4.0, 4), (9.0, 8))
PER_OCTAVE, PER_FRAME, PER_CLICK = 48, 16, 8  # steps of a partial's place, of an onset's place, and of clicks


def without_extras(values: np.ndarray) -> np.ndarray:
    """The levels alone."""
    values = values.copy()
    values[:, PARTIALS] = FLOOR_DB
    values[:, RISE] = 0.0
    return values


def stilled(values: np.ndarray) -> np.ndarray:
    """The levels' mean power in every frame: noise of the recording's colour."""
    values = without_extras(values)
    values[:, LEVELS] = 10 * np.log10((10 ** (values[:, LEVELS] / 10)).mean(axis=0))
    return values


def counted(values: np.ndarray, step_db: float, hold: int) -> np.ndarray:
    """Latents of `bands` as whole numbers of steps; `hold` frames share the mean power of each band."""
    scale = np.ones(WIDTH)
    scale[LEVELS] = scale[PARTIALS] = scale[RISE] = 1 / step_db
    scale[PLACES], scale[ONSET], scale[CLICK] = PER_OCTAVE, PER_FRAME, PER_CLICK
    values = values.astype(float)
    first = np.arange(0, len(values), hold)
    power = np.add.reduceat(10 ** (values[:, LEVELS] / 10), first) / np.diff([*first, len(values)])[:, None]
    values[:, LEVELS] = np.repeat(10 * np.log10(power), hold, axis=0)[: len(values)]
    for level in (LEVELS, PARTIALS):
        values[:, level] -= FLOOR_DB
    return np.round(values * scale).astype(int)


def rounded(values: np.ndarray, step_db: float, hold: int) -> np.ndarray:
    """The latents that are left of them."""
    out = counted(values, step_db, hold).astype(np.float32)
    for channels, step in ((LEVELS, step_db), (PARTIALS, step_db), (RISE, step_db), (PLACES, 1 / PER_OCTAVE),
                           (ONSET, 1 / PER_FRAME), (CLICK, 1 / PER_CLICK)):  # fmt: skip
        out[:, channels] *= step
    for level in (LEVELS, PARTIALS):
        out[:, level] += FLOOR_DB
    return out


def kept_name(step_db: float, hold: int) -> str:
    return f"bands, {step_db:g} dB" + (f", levels every {10 * hold} ms" if hold > 1 else "")


ROWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bands": lambda values: values,
    "its levels alone": without_extras,
    "steady noise of the same colour": stilled,
}
KEPT_ROWS = {kept_name(*how): partial(rounded, step_db=how[0], hold=how[1]) for how in KEPT}
Say = Callable[[Sound], Sound]


def chosen() -> list[Item]:
    """One file of each of up to `EACH` clusters a kind, in an order that nobody chose: first one of every kind."""
    rounds: list[list[Item]] = [[] for _ in range(EACH)]
    items = data.starter()
    for kind in data.KINDS:
        first: dict[str, Item] = {}
        for item in data.choose(items, "sound", kind, "test"):
            first.setdefault(item.cluster, item)
        order = sorted(first, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        for place, name in zip(rounds, order, strict=False):
            place.append(first[name])
    return [item for place in rounds for item in place]


def loaded(folder: Path, item: Item) -> np.ndarray:
    """The beginning of a recording."""
    return media.read_sound(folder / item.file, rate=RATE).mono[: SECONDS * RATE]


def ways(voice: Voice, name: str) -> Iterator[tuple[str, float | None, Say]]:
    """A voice as it is and at about `KBITS`: name, bits a second (None: not rounded), and what it makes of a sound."""
    yield name, None, lambda sound: voice.decode(voice.encode(sound), SEED)
    if isinstance(voice, TokenVoice):
        book = voice.bits_per_second(1)
        for books in dict.fromkeys(min(voice.codebooks, max(1, round(1000 * k / book))) for k in KBITS):
            bits = voice.bits_per_second(books)
            yield f"{name}, {bits / 1000:.1f} kbit/s", bits, partial(_by_tokens, voice, books)


def _by_tokens(voice: TokenVoice, books: int, sound: Sound) -> Sound:
    return voice.tokens(sound, books).sound(SEED)


def measure(item: Item, other: Item | None, folder: Path, says: dict[str, Say], ear: Ear, known: dict) -> dict:
    """The rows of one recording that are not `known` yet; `other` is another one of its kind."""
    real = loaded(folder, item)
    given = Sound(real[None], RATE)
    low, own = media.resample(given, COMMON_RATE), texture(real, RATE)

    def asked(sound: Sound) -> dict[str, object]:
        heard = ear.kinds(sound)
        return {"first": next(iter(heard)) == item.kind, "three": item.kind in list(heard)[:3], "own": heard[item.kind]}

    def against(samples: np.ndarray) -> dict[str, object]:
        error = texture_error(own, texture(samples, RATE))
        return error._asdict() | {"lsd": metrics.log_spectral_distance(real, samples)}

    out: dict[str, object] = {"file": item.file, "kind": item.kind}
    if "real" not in known:
        out["real"] = asked(given)
    for name in [name for name in says if name not in known]:
        start = time.process_time()
        said = says[name](given)
        took = time.process_time() - start
        made = Sound(said.samples[:, : round(given.seconds * said.rate)], said.rate)  # frames end later than sounds
        mono = media.resample(made, COMMON_RATE)
        row = {"seconds": took / given.seconds, "lsd16": metrics.log_spectral_distance(low.mono, mono.mono)}
        out[name] = asked(made) | row | (against(made.mono) if name in ROWS else {})
    if other is not None and OTHER not in known:
        out[OTHER] = against(loaded(folder, other))
    return out


OTHER = "another recording of the kind"


def kept_kbits(items: list[Item], folder: Path, voice: Bands) -> dict[str, float]:
    """What the latents of `bands` cost when they are kept in steps, in kbit/s.

    Entropy of each channel's steps from frame to frame, in one table for all recordings; levels that frames share are
    counted once.
    """
    counts: dict[str, list[dict[int, int]]] = {kept_name(*how): [{} for _ in range(WIDTH)] for how in KEPT}
    frames = 0
    for item in items:
        values = voice.encode(Sound(loaded(folder, item)[None], RATE)).values
        frames += len(values)
        for step_db, hold in KEPT:
            steps = counted(values, step_db, hold)
            for channel, count in enumerate(counts[kept_name(step_db, hold)]):
                every = hold if channel < BANDS else 1
                for step, n in zip(*np.unique(np.diff(steps[::every, channel]), return_counts=True), strict=True):
                    count[int(step)] = count.get(int(step), 0) + int(n)
    out = {}
    for name, channels in counts.items():
        bits = 0.0
        for count in channels:
            n = np.array(list(count.values()), float)
            bits += float(-(n * np.log2(n / n.sum())).sum())
        out[name] = bits * voice.rate / voice.hop / frames / 1000
    return out


def decoding_seconds(voice: Bands, folder: Path) -> float:
    """Processor seconds for 8 s of a recording with partials and onsets, the best of five."""
    item = data.choose(data.starter(), "sound", "bell", "test")[0]
    samples = np.resize(media.read_sound(folder / item.file, rate=RATE).mono, SECONDS * RATE)
    latents = voice.encode(Sound(samples[None], RATE))
    best = np.inf
    for _ in range(5):
        start = time.process_time()
        voice.decode(latents)
        best = min(best, time.process_time() - start)
    return best


def share(results: list[dict], row: str, key: str) -> str:
    """A share in percent with its interval over recordings."""
    values = np.array([float(r[row][key]) for r in results])
    e = metrics.bootstrap(np.arange(len(values)), lambda index: float(values[index].mean()))
    return f"{100 * e.value:.0f} [{100 * e.low:.0f}, {100 * e.high:.0f}]"


def unchanged(results: list[dict], kbits: dict[str, float]) -> str:
    """The fewest bits with which the judge is not shown to hear less than in the latents as they are."""
    for name in sorted(kbits, key=lambda name: kbits[name]):
        lost = np.array([float(r["bands"]["first"]) - float(r[name]["first"]) for r in results])
        e = metrics.bootstrap(np.arange(len(lost)), lambda index, lost=lost: float(lost[index].mean()))
        if e.low <= 0:
            return (
                f"Rounded to {name.removeprefix('bands, ')}, {kbits[name]:.1f} kbit/s, the judge names "
                f"{100 * e.value:.0f} [{100 * e.low:.0f}, {100 * e.high:.0f}] points fewer\n"
                "first than after `bands` as it is, which the interval does not tell from none; at fewer bits it does."
            )
    return "At each of these the judge names fewer recordings first than after `bands` as it is."


def ceiling(
    results: list[dict], rows: dict[str, tuple[int, float | None]], kbits: dict[str, float], absent: dict[str, str]
) -> str:
    """The section on all voices; `rows` are rates in Hz and kbit/s of those that are not `bands`."""
    rows = {"bands": (RATE, None), **{name: (RATE, value) for name, value in kbits.items()}, **rows}
    lines = [f"| real | – | – | {share(results, 'real', 'first')} | {share(results, 'real', 'three')} | – | – | – |"]
    right = [r for r in results if r["real"]["first"]]
    for name, (rate, value) in rows.items():
        cells = [
            f"{rate / 1000:g}",
            "–" if value is None else f"{value:.1f}",
            share(results, name, "first"),
            share(results, name, "three"),
            f"{sum(bool(r[name]['first']) for r in right)}",
            f"{np.median([r[name]['lsd16'] for r in results]):.1f}",
            f"{np.median([r[name]['seconds'] for r in results]):.3f}" if value is None else "–",
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [f"| {name} | – | – | {why} | – | – | – | – |" for name, why in absent.items()]
    return f"""## All voices at equal bitrate

What the judge hears of {len(results)} recordings after a voice has encoded and decoded them (judge and columns: see
below). *kept*: of the {len(right)} that it names right, how many it still does. *LSD* goes up to {COMMON_RATE // 2000}
kHz, which all voices reach. *time* is that of encoding and decoding on one core as a share of the sound's. A row
without bits is the voice with its latents as they are.

The latents of `bands` are numbers, not codes. Its bits are those of its channels in steps of so many dB (partials in
steps of 1/{PER_OCTAVE} octave), as changes from frame to frame: their entropy, one table a channel for all recordings.
Where frames share levels, partials and onsets keep their 10 ms.
{unchanged(results, kbits)}

`soundstream` is SoundStream as in Lyra V2, trained on speech. `neural` is ours (`synesthesia/codecs/neural.py`), and
`control` EnCodec in its default configuration on the same recordings for the same time; both are trained by
`runs/voice_neural.sh`. {TRAINED}

| voice | kHz | kbit/s | first, % | of three, % | kept | LSD | time |
|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}"""


def heard_by_kind(results: list[dict], kind: str, row: str) -> tuple[int, float]:
    """How many recordings of a kind are named right first, and the kind's mean score."""
    ours = [r[row] for r in results if r["kind"] == kind]
    return sum(bool(r["first"]) for r in ours), float(np.mean([r["own"] for r in ours]))


def preferred(results: list[dict], kinds: list[str], name: str) -> str:
    """In which kinds the judge prefers a voice to `bands`: by recordings named right, then by the mean score."""
    better = [k for k in kinds if heard_by_kind(results, k, name) > heard_by_kind(results, k, "bands")]
    more = [k for k in better if heard_by_kind(results, k, name)[0] > heard_by_kind(results, k, "bands")[0]]
    return (
        f"`{name}` is preferred to `bands` in {len(better)} of {len(kinds)} kinds"
        + (f" ({', '.join(better)})" if better else "")
        + (f", in {len(more)} of them by recordings named right." if better else ".")
    )


def page(results: list[dict], seconds: float, table: str, others: list[str]) -> str:
    """The whole document; `others` are voices beside `bands`, as they are."""
    kinds = [k for k in data.KINDS if any(r["kind"] == k for r in results)]
    lines = [f"| real | {share(results, 'real', 'first')} | {share(results, 'real', 'three')} |" + " – |" * 6]
    for row in (*ROWS, OTHER):
        here = [r for r in results if row in r]
        judged = row in ROWS
        cells = [share(here, row, "first"), share(here, row, "three")] if judged else ["–", "–"]
        numbers = [np.median([r[row][name] for r in here]) for name in ("lsd", *TextureError._fields)]
        cells += [f"{numbers[0]:.1f}", f"{numbers[1]:.1f}", *(f"{n:.3f}" for n in numbers[2:])]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    by_kind = []
    for kind in kinds:
        ours = [r for r in results if r["kind"] == kind]
        lsd = np.median([r["bands"]["lsd"] for r in ours])
        cells = ["{} ({:.2f})".format(*heard_by_kind(results, kind, row)) for row in ("real", *ROWS, *others)]
        by_kind.append(f"| {kind} | {len(ours)} | " + " | ".join(cells) + f" | {lsd:.1f} |")
    both = [r for r in results if r["real"]["first"]]
    kept = sum(bool(r["bands"]["first"]) for r in both)
    return f"""# Voices: what they keep

Made by `python runs/voice_bands.py DATA JUDGE WORK NAME=VOICE ...`. {len(results)} recordings of {len(kinds)} kinds,
from test splits, their first {SECONDS} s; intervals are 95 % over recordings.

{table}

## bands

64 band levels, 32 partials and an onset every 10 ms, decoded in closed form (`synesthesia/codecs/bands.py` documents
every channel). Nothing is trained. {SECONDS} s are decoded in {seconds:.2f} s of one core.

The judge is YAMNet, its classes mapped to our {len(data.KINDS)} kinds (`synesthesia/data/kinds.py`): *first* is how
often the true kind is the clearest of all, *of three* how often it is among three. Its score on real recordings is the
ceiling. Of the {len(both)} recordings that it names right, it names {kept} right after the voice. Median errors against
the recording: *LSD* log-spectral distance, dB (two draws of one noise are 8 dB apart); textures after McDermott
& Simoncelli (2011): band *mean* in dB, *spread*, *skew*, *modulation* (six bands), *correlation* between bands.

| row | first, % | of three, % | LSD | mean | spread | skew | modulation | correlation |
|---|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}

By kind: recordings named right first (and the mean score of the kind); other voices as they are, at their most bits.
{" ".join(preferred(results, kinds, name) for name in others)}

| kind | n | real | bands | levels alone | steady noise | {"".join(f"{name} | " for name in others)}LSD |
|---|---|---|---|---|---|---|{"---|" * len(others)}
{chr(10).join(by_kind)}
"""


def main(folder: Path, judge: Path, work: Path, named: list[str]) -> None:
    bands, ear = Bands(), Ear(judge)
    says: dict[str, Say] = {
        name: partial(_changed, bands, change) for name, change in {**ROWS, **KEPT_ROWS}.items()
    }  # fmt: skip
    rows: dict[str, tuple[int, float | None]] = {}
    absent = dict(EXPECTED)
    for name, reference in (text.split("=", 1) for text in named):
        try:
            voice = load_voice(reference, device="cpu")
        except InputError as error:
            absent[name] = str(error)
            continue
        absent.pop(name, None)
        for row, bits, say in ways(voice, name):
            says[row] = say
            rows[row] = (voice.rate, None if bits is None else bits / 1000)
    store = work.with_suffix(".jsonl")
    results: dict[str, dict] = {}
    for line in store.read_text().splitlines() if store.exists() else []:
        told = json.loads(line)
        results.setdefault(told["file"], {}).update(told)
    items = chosen()
    with store.open("a") as out:
        for item in items:
            known = results.setdefault(item.file, {})
            if all(name in known for name in (*says, "real")):
                continue
            other = next((i for i in items if i.kind == item.kind and i.cluster != item.cluster), None)
            new = measure(item, other, folder, says, ear, known)
            known.update(new)
            out.write(json.dumps(new) + "\n")
            out.flush()
    found = [results[item.file] for item in items]
    kbits = kept_kbits(items, folder, bands)
    others = [name for name, (_, bits) in rows.items() if bits is None]
    text = page(found, decoding_seconds(bands, folder), ceiling(found, rows, kbits, absent), others)
    (ROOT / "docs/voices.md").write_text(text)


def _changed(voice: Bands, change: Callable[[np.ndarray], np.ndarray], sound: Sound) -> Sound:
    return voice.decode(Features(change(_encoded(voice, sound)), voice.space), SEED)


@lru_cache(maxsize=1)
def _encoded(voice: Bands, sound: Sound) -> np.ndarray:
    return voice.encode(sound).values


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), sys.argv[4:])
