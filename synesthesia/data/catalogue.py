"""From a folder of recordings and photos that others collected to the rows of a table: kinds, licences, doubts.

The folder holds `sounds/kinds/kinds.csv` (a kind, a recording, a licence and an origin for each file), `sources.csv`
(origins of all other files), `sounds/tags.csv` (what an AudioSet tagger hears in each file) and the licence lists.
What the names of folders and files do not say is written out here, file by file.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from .. import media
from ..senses import InputError
from .kinds import FOREIGN, KINDS, SILENT
from .table import SILENT_KIND, Item, Tier

MAX_CATALOGUE_BYTES = 64 * 2**20
CONTRADICTED = 0.5  # mean score of a foreign class from which on a file is something else …
UNHEARD = 0.1  # … when no class of its own kind, nor one near it, reaches this

# --- sounds: what the folders' names mean here ------------------------------------------------------------------------

_FOLDERS = {
    "airplane/helicopter": "aircraft", "birds": "songbird", "boat": "boat", "car/traffic": "car", "cat": "cat",
    "chicken/rooster": "chicken", "church bell": "bell", "clock": "clock", "cow": "cow", "crickets/insects": "cricket",
    "crowd/market/cafe": "crowd", "dog": "dog", "door": "door", "drums": "drum", "fire": "fire",
    "footsteps": "footsteps", "frog": "frog", "glass impact": "glass", "guitar": "guitar", "gull": "gull",
    "horse": "horse", "keyboard typing": "typing", "motorcycle": "motorcycle", "owl": "owl", "piano": "piano",
    "pig": "pig", "rain": "rain", "river/stream": "river", "sea waves": "sea", "sheep": "sheep", "siren": "siren",
    "thunder": "thunder", "train": "train", "violin": "violin", "waterfall/fountain": "waterfall", "wind": "wind",
}  # fmt: skip

# (pattern on the file's name, kind or "" to leave it out, reason), the first that fits.
_RELABELLED = (
    ("applause/*applause.ogg", "crowd", "applause of a crowd"),
    ("applause/*osfx-29.ogg", "crowd", "applause of a crowd"),
    ("birds/*duck*", "duck", "a duck"),
    ("crickets_insects/*bee*", "bee", "a bee"),
    ("crickets_insects/*Mosquito*", "bee", "a flying insect"),
    ("crickets_insects/*jungle-night*", "frog", "the tagger hears frogs, .8 and more"),
    ("washing_machine*/*esc10*", "chainsaw", "the folder holds chainsaws"),
    ("washing_machine*/*osfx-56.ogg", "chainsaw", "the folder holds chainsaws"),
    ("metal_impact/*bell-cut*", "bell", "a bell"),
    ("car_traffic/*gear-shift*", "", "a lever, not traffic"),
    ("footsteps/*fatigue*", "", "heartbeats"),
    ("door/*curtain*", "", "a curtain"),
    ("horse/*horse-death*", "", "speech, by the tagger"),
    ("train/*osfx-65*", "", "a maglev train, by music"),
    ("train/*cart-moving*", "", "a mine cart of a game"),
    ("keyboard_typing/*", "typing", ""),
)

_AMBIENCE = {
    "noisekun": {
        "air-plane": "aircraft", "birds-tree": "songbird", "boat": "boat", "coffee": "crowd", "drops": "rain",
        "fire": "fire", "leaves": "wind", "night": "cricket", "playground": "crowd", "rain-on-tent": "rain",
        "rain": "rain", "storm": "thunder", "stream-water": "river", "train": "train", "waterfall": "waterfall",
        "washing-machine": "washing machine", "waves": "sea", "wind": "wind",
    },
    "blanket": {
        "birds": "songbird", "city": "car", "coffee-shop": "crowd", "fireplace": "fire", "rain": "rain",
        "storm": "thunder", "summer-night": "cricket", "train": "train", "waves": "sea",
    },
    "muges": {
        "ambient_fireplace": "fire", "ambient_forest-rain": "rain", "ambient_heavy-rain": "rain",
        "ambient_stream": "river", "ambient_thunderstorm": "thunder", "ambient_wind": "wind",
    },
    "moodist": {
        "animals_beehive": "bee", "animals_birds": "songbird", "animals_cat-purring": "cat", "animals_cows": "cow",
        "animals_crickets": "cricket", "animals_dog-barking": "dog", "animals_frog": "frog",
        "animals_horse-gallop": "horse", "animals_owl": "owl", "animals_seagulls": "gull", "animals_sheep": "sheep",
        "nature_campfire": "fire", "nature_howling-wind": "wind", "nature_river": "river",
        "nature_walk-in-snow": "footsteps", "nature_walk-on-gravel": "footsteps", "nature_walk-on-leaves": "footsteps",
        "nature_waterfall": "waterfall", "nature_waves": "sea", "nature_wind-in-trees": "wind", "nature_wind": "wind",
        "places_cafe": "crowd", "places_crowded-bar": "crowd", "places_restaurant": "crowd",
        "places_laundry-room": "washing machine", "places_subway-station": "train", "rain_heavy-rain": "rain",
        "rain_light-rain": "rain", "rain_rain-on-car-roof": "rain", "rain_rain-on-leaves": "rain",
        "rain_rain-on-tent": "rain", "rain_rain-on-umbrella": "rain", "rain_rain-on-window": "rain",
        "rain_thunder": "thunder", "things_clock": "clock", "things_dryer": "washing machine",
        "things_keyboard": "typing", "things_typewriter": "typing", "things_washing-machine": "washing machine",
        "things_wind-chimes": "bell", "transport_airplane": "aircraft", "transport_inside-a-train": "train",
        "transport_rowing-boat": "boat", "transport_sailboat": "boat", "transport_train": "train",
        "urban_ambulance-siren": "siren", "urban_busy-street": "car", "urban_crowd": "crowd", "urban_highway": "car",
        "urban_road": "car", "urban_traffic": "car",
    },
}  # fmt: skip

# Authors and licences of the ambiences, from the collections' own credit lists.
_AMBIENCE_CREDITS = {
    "noisekun_air-plane": ("SFX Producer", "CC0"), "noisekun_birds-tree": ("SFX Producer", "CC0"),
    "noisekun_coffee": ("SFX Producer", "CC0"), "noisekun_drops": ("SFX Producer", "CC0"),
    "noisekun_fire": ("SFX Producer", "CC0"), "noisekun_leaves": ("Stek59", "CC0"),
    "noisekun_night": ("SFX Producer", "CC0"), "noisekun_rain": ("SFX Producer", "CC0"),
    "noisekun_stream-water": ("SFX Producer", "CC0"), "noisekun_storm": ("Borys Kozielski", "CC0"),
    "noisekun_train": ("vahid", "CC Sampling+"), "noisekun_waterfall": ("Straget", "CC BY"),
    "noisekun_washing-machine": ("QuickSounds.com", "QuickSounds standard licence"),
    "noisekun_waves": ("SFX Producer", "CC0"), "noisekun_wind": ("Felix Blume", "CC0"),
    "noisekun_playground": ("SFX Producer", "CC0"), "noisekun_boat": ("Falcet", "CC0"),
    "noisekun_rain-on-tent": ("Garuda1982", "CC BY 4.0"),
    "blanket_birds": ("kvgarlic", "CC0"), "blanket_city": ("gezortenplotz", "CC BY"),
    "blanket_coffee-shop": ("stephan", "public domain"), "blanket_fireplace": ("ezwa", "public domain"),
    "blanket_rain": ("alex36917", "CC BY"), "blanket_storm": ("Digifish music", "CC BY"),
    "blanket_summer-night": ("Lisa Redfern", "public domain"), "blanket_train": ("SDLx", "CC BY 3.0"),
    "blanket_waves": ("Luftrum", "CC BY"),
    "muges_ambient_fireplace": ("inchadney", "CC0"), "muges_ambient_heavy-rain": ("D W", "CC BY"),
    "muges_ambient_forest-rain": ("Corsica_S", "CC BY"), "muges_ambient_stream": ("mystiscool", "CC BY"),
    "muges_ambient_thunderstorm": ("RHumphries", "CC BY"), "muges_ambient_wind": ("felix.blume", "CC0"),
}  # fmt: skip

# (pattern, kind, tier, licence, author) of the sounds of Minetest Game; what its list does not name counts as BY-SA.
_STEPS: tuple[tuple[str, str, Tier, str, str], ...] = (
    ("default_water_footstep.*", "footsteps", "open", "CC BY 3.0", "AGFX"),
    ("default_snow_footstep.*", "footsteps", "open", "CC0", "Ryding"),
    ("default_hard_footstep.*", "footsteps", "open", "CC BY 3.0", "Erdie"),
    ("default_sand_footstep.*", "footsteps", "open", "CC0", "worthahep88"),
    ("default_metal_footstep.*", "footsteps", "open", "CC0", "mypantsfelldown"),
    ("default_*_footstep*", "footsteps", "research", "CC BY-SA 3.0", "Mito551"),
    ("default_break_glass.1.ogg", "glass", "open", "CC BY 3.0", "cmusounddesign"),
    ("default_break_glass.2.ogg", "glass", "open", "CC BY 3.0", "Tomlija"),
    ("default_break_glass.3.ogg", "glass", "open", "CC BY 3.0", "lsprice"),
    ("doors_*door_*", "door", "research", "not listed; taken as CC BY-SA 3.0", ""),
    ("fire_fire.*", "fire", "research", "not listed; taken as CC BY-SA 3.0", ""),
    ("fire_large.ogg", "fire", "research", "not listed; taken as CC BY-SA 3.0", ""),
    ("fire_small.ogg", "fire", "research", "not listed; taken as CC BY-SA 3.0", ""),
    ("env_sounds_water.*", "river", "research", "not listed; taken as CC BY-SA 3.0", ""),
)

_EFFECTS = (("crowd.ogg", "crowd"), ("rain.ogg", "rain"), ("thunder_*", "thunder"), ("train_whistle*", "train"))

_INSTRUMENTS = {
    "acoustic_guitar": "guitar", "bass_drum": "drum", "hi_hat": "drum", "snare_drum": "drum", "cello": "violin",
    "double_bass": "violin", "violin_or_fiddle": "violin", "clarinet": "flute", "flute": "flute",
    "saxophone": "saxophone",
}  # fmt: skip
_ANIMALS = {"bird": "songbird", **{name: name for name in ("cat", "chicken", "cow", "dog", "frog", "sheep")}}

# Species whose voice or look is not that of a songbird.
_SPECIES = {
    "barred_owl": "owl", "eastern_screech_owl": "owl", "great_horned_owl": "owl", "canada_goose": "duck",
    **dict.fromkeys(("american_bittern", "american_crow", "bald_eagle", "clapper_rail", "common_loon", "killdeer",
                     "red-tailed_hawk", "ring-necked_pheasant", "sandhill_crane", "wild_turkey", "belted_kingfisher",
                     "downy_woodpecker", "hairy_woodpecker", "pileated_woodpecker"), ""),
}  # fmt: skip


@dataclass(frozen=True)
class Recording:
    """A row that has no cluster and no split yet, with the name that its catalogue gives to the recording."""

    item: Item
    recording: str


def sounds(folder: str | Path) -> tuple[list[Recording], list[Recording]]:
    """All recordings of our kinds, and beside them those left out, with the reason in `note`.

    A file is left out when a rule above says so or when the tagger contradicts its name: a class of no kind or of
    another kind has a mean score of `CONTRADICTED` or more, and neither the kind's own classes nor those near it reach
    `UNHEARD`; or when it hears nothing but silence. A tagger that merely fails to name the kind contradicts nothing.
    """
    folder = Path(folder)
    tags = {row["file"]: row["mean_top4"] for row in _rows(folder / "sounds" / "tags.csv", ("file", "mean_top4"))}
    kept: list[Recording] = []
    dropped: list[Recording] = []
    for found in [*_catalogued(folder), *_collected(folder)]:
        doubt = found.item.note or contradiction(found.item.kind, _scores(tags.get(found.item.file, "")))
        if doubt:
            dropped.append(replace(found, item=replace(found.item, note=doubt)))
        else:
            kept.append(found)
    return kept, dropped


def contradiction(kind: str, heard: Mapping[str, float]) -> str:
    """Why a file cannot be of this kind, given mean scores of AudioSet classes; "" when nothing speaks against it."""
    if heard.get("Silence", 0.0) > 0.95:
        return "silence"
    own = {*KINDS[kind].heard, *KINDS[kind].near}
    if max((score for name, score in heard.items() if name in own), default=0.0) >= UNHEARD:
        return ""
    others = {name for other in KINDS.values() for name in other.heard} | set(FOREIGN)
    name, score = max(((n, s) for n, s in heard.items() if n in others), key=lambda p: p[1], default=("", 0.0))
    return f"the tagger hears {name} {score:.2f}" if score >= CONTRADICTED else ""


def photos(folder: str | Path) -> list[Item]:
    """All photos of our kinds and of things that make no sound; those of one class in the zip are one row."""
    folder = Path(folder)
    origin = {row["file"]: row for row in _rows(folder / "sources.csv", _ORIGIN)}
    kind_of = {name: kind.name for kind in KINDS.values() for name in kind.photos}
    kind_of |= dict.fromkeys(SILENT, SILENT_KIND)
    items: list[Item] = []
    class_of: dict[str, str] = {}  # WordNet id → class name
    for file in sorted(origin):
        match = re.fullmatch(r"photos/imagenet_(?:1per_class|200x5)/(n[0-9]{8})(?:_[0-9]+)?_(.+)\.jpg", file)
        if match is None:
            continue
        if "1per_class" in file:
            class_of[match[1]] = match[2]
        if kind := kind_of.get(match[2]):
            items.append(_photo(file, kind, "research", "ImageNet terms", origin[file]))
    for file in sorted(origin):
        if match := re.fullmatch(r"birds/(.+)\.jpg", file):
            kind = _SPECIES.get(match[1], "songbird")
            if kind:
                items.append(_photo(file, kind, "never", "none stated", origin[file]))
    for file in sorted(f for f in origin if f.startswith("photos/materials/glass/")):
        items.append(_photo(file, "glass", "open", "MIT (TrashNet)", origin[file]))
    for wnid in sorted(json.loads(media.read_bytes(folder / "photos/tiny_imagenet_classes.json", 2**20))):
        if kind := kind_of.get(class_of.get(wnid, "")):
            row = {"repository": "Tiny ImageNet", "commit": "", "path": f"train/{wnid}/images", "git_blob": ""}
            item = _photo(f"photos/tiny_imagenet_200x160.zip!{wnid}/*", kind, "research", "ImageNet terms", row)
            items.append(replace(item, split="*", note=class_of[wnid]))
    return items


# --- reading ----------------------------------------------------------------------------------------------------------

_ORIGIN = ("file", "repository", "commit", "path", "git_blob")


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        rows = list(csv.DictReader(io.StringIO(media.read_bytes(path, MAX_CATALOGUE_BYTES).decode(), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV table in UTF-8: {error}.") from error
    if not rows or any(row.get(column) is None for row in rows for column in columns):
        raise InputError(f"{path} lacks a column or a value; it needs {', '.join(columns)}.")
    return rows


def _scores(text: str) -> dict[str, float]:
    """Scores by class of a text like: Speech 0.32; Bee, wasp, etc. 0.07"""
    pairs = (part.rpartition(" ") for part in text.split("; ") if part)
    return {name: float(score) for name, _, score in pairs if re.fullmatch(r"[0-9.]+", score)}


def _photo(file: str, kind: str, tier: Tier, licence: str, row: Mapping[str, str]) -> Item:
    return Item(file, "photo", kind, "test", file, tier, licence, "", *(row[c] for c in _ORIGIN[1:]))


def _sound(
    file: str, kind: str, tier: Tier, licence: str, author: str, row: Mapping[str, str], recording: str, note: str = ""
) -> Recording:
    item = Item(file, "sound", kind, "test", recording, tier, licence, author, *(row[c] for c in _ORIGIN[1:]), note)
    return Recording(item, recording)


def _catalogued(folder: Path) -> list[Recording]:
    """The files of kinds.csv that have one of our kinds."""
    authors = _authors(folder)
    found = []
    columns = ("file", "kind", "recording", "tier", "licence", "repository", "commit", "path", "git_blob")
    for row in _rows(folder / "sounds" / "kinds" / "kinds.csv", columns):
        rule = next((r for r in _RELABELLED if fnmatch(row["file"], r[0])), None)
        kind = _FOLDERS.get(row["kind"], "") if rule is None else rule[1]
        note = rule[2] if rule is not None and not rule[1] else ""
        kind = kind or (_FOLDERS.get(row["kind"], "") if note else "")
        if not kind:
            continue
        tier: Tier = "open" if row["tier"] == "open" else "research"
        named = re.search(r"\(([^()]+)\)$", row["licence"])
        author = authors.get((row["repository"], row["path"].rsplit("/", 1)[-1]), "")
        if not author and named and row["repository"] in ("Fris0uman/CDDA-Soundpacks", "AntumMT/mod-sounds"):
            author = named[1]
        found.append(
            _sound(f"sounds/kinds/{row['file']}", kind, tier, row["licence"], author, row, row["recording"], note)
        )
    return found


def _collected(folder: Path) -> list[Recording]:
    """The files of the other folders of sounds that have one of our kinds."""
    found = []
    for row in _rows(folder / "sources.csv", _ORIGIN):
        file = row["file"]
        top, _, name = file.removeprefix("sounds/").partition("/")
        stem = name.rsplit(".", 1)[0]
        if not (folder / file).is_file():
            continue  # an origin of something that is not in the folder
        if file.startswith("birds/") and file.endswith(".ogg"):
            species = file[6:-4]
            if kind := _SPECIES.get(species, "songbird"):
                found.append(_sound(file, kind, "never", "none stated", "", row, f"birds:{species}"))
        elif top == "ambience":
            house, _, what = stem.partition("_")
            if kind := _AMBIENCE.get(house, {}).get(what):
                author, licence = _AMBIENCE_CREDITS.get(stem, ("", "Pixabay Content Licence or CC0, not told apart"))
                own_terms = licence.startswith(("CC Sampling", "QuickSounds"))
                tier: Tier = "research" if house == "moodist" or own_terms else "open"
                found.append(_sound(file, kind, tier, licence, author, row, f"{house}:{what}"))
        elif top == "steps":
            for pattern, kind, tier, licence, author in _STEPS:
                if fnmatch(name, pattern):
                    recording = f"minetest:{re.sub(r'[.][0-9]+$', '', stem)}"  # takes of one recording are numbered
                    found.append(_sound(file, kind, tier, licence, author, row, recording))
                    break
        elif top == "effects":
            if kind := next((k for pattern, k in _EFFECTS if fnmatch(name, pattern)), ""):
                found.append(_sound(file, kind, "open", "CC BY 4.0", "", row, f"openrct2:{stem}"))
        elif top == "instruments" and (kind := _INSTRUMENTS.get(name.split("/")[0])):
            licence = "CC0 or CC BY (FSDKaggle2018, not told apart)"
            found.append(_sound(file, kind, "research", licence, "", row, f"fsdkaggle:{stem}"))
        elif top == "animals" and (kind := _ANIMALS.get(name.split("/")[0])):
            found.append(_sound(file, kind, "never", "none stated", "", row, f"animals:{stem}"))
    return found


def _authors(folder: Path) -> dict[tuple[str, str], str]:
    """(repository, file name) → author, from the credit lists that name authors one by one."""
    found: dict[tuple[str, str], str] = {}
    for path in sorted((folder / "licences").glob("esc10/*")):
        text = media.read_bytes(path, 2**22).decode("utf-8", "replace")
        for name, author in re.findall(r"\[([0-9]-[0-9]+-[A-Z]\.ogg)\].*? by \*([^*]+)\*", text):
            found["karolpiczak/ESC-10", name] = author
    for path in sorted((folder / "licences").glob("opensfx/*.psfo")):
        text = media.read_bytes(path, 2**22).decode("utf-8", "replace")
        for name, rest in re.findall(r'^"src/wav/(osfx_[0-9]+\.wav)" (.*)$', text, re.M):
            by = re.search(r'\bby "?([^".]+(?:\.[^". ]+)*)"?[.]', rest, re.I)
            if by:
                found["OpenTTD/OpenSFX", name] = by[1]
    return found
