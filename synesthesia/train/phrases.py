"""The phrases that `describe` learns from, written by us: what things are called, and how one speaks of them.

A phrase is a template around a noun, of a kind of `data.KINDS` or of a finer name that a photo's class gives it, and
for drawn places around what is known of them: how large, how strong, how far. Nouns and templates of which the second
list of each holds are never trained; they measure what spelling and order alone can tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..data.kinds import KINDS, SILENT
from ..data.table import SILENT_KIND
from ..worlds import noises

DISTANCE = "distance_m"
THIRD = 1 / 3  # of a parameter's range (in its logarithm) that counts as little, and as much


@dataclass(frozen=True)
class Words:
    """What a kind is called: nouns, nouns that are never trained, and what it does when it sounds."""

    nouns: tuple[str, ...]
    held: tuple[str, ...]
    doing: tuple[str, ...] = ()


def _words(nouns: str, held: str, doing: str = "") -> Words:
    first, second, third = (tuple(part.strip() for part in text.split(",") if part.strip())
                            for text in (nouns, held, doing))  # fmt: skip
    return Words(first, second, third)


WORDS: Mapping[str, Words] = {
    "sea": _words("sea, ocean, waves, surf, seashore, beach, coast, breakers", "seaside, ocean waves, shore",
                  "breaking, rolling in, crashing"),
    "waterfall": _words("waterfall, falls, cascade, falling water, fountain", "water falls, waterfalls, fountains",
                        "falling, roaring"),
    "river": _words("river, stream, brook, creek, flowing water, running water", "riverside, streams, small creek",
                    "flowing, gurgling, murmuring"),
    "rain": _words("rain, rainfall, raindrops, shower, rainy weather", "rain shower, raining, rain drops",
                   "falling, pattering, dripping"),
    "thunder": _words("thunder, thunderstorm, lightning, thunderclap", "thunder storm, lightning strike, thunders",
                      "rumbling, rolling, striking"),
    "wind": _words("wind, rustling leaves, windy trees, rustle, trees in the wind",
                   "windy weather, winds, leaves rustle", "blowing, howling, rustling"),
    "fire": _words("fire, flames, campfire, burning wood, torch, crackling logs", "camp fire, flame, wood fire",
                   "burning, crackling, hissing"),
    "songbird": _words("songbird, bird, birdsong, small bird, finch, sparrow, robin, warbler",
                       "song bird, birds, bird song", "singing, chirping, twittering"),
    "gull": _words("gull, seagull, sea bird, albatross", "gulls, sea gull", "crying, screeching"),
    "owl": _words("owl, barn owl, tawny owl, night bird", "owls, horned owl", "hooting"),
    "duck": _words("duck, goose, drake, duckling, mallard, swan", "ducks, wild duck, swans", "quacking, honking"),
    "chicken": _words("chicken, hen, rooster, cock, poultry, farmyard fowl", "chickens, hens, roosters",
                      "clucking, crowing, cackling"),
    "dog": _words("dog, hound, puppy, terrier, retriever, shepherd dog, doggy", "dogs, puppies, hounds",
                  "barking, howling, growling, yapping"),
    "cat": _words("cat, kitten, tabby, house cat, kitty, pussycat", "cats, kittens, tabby cat",
                  "meowing, purring, mewing"),
    "cow": _words("cow, cattle, bull, ox, calf, buffalo", "cows, oxen, bulls", "mooing, lowing"),
    "sheep": _words("sheep, lamb, ram, goat, ewe", "lambs, mountain sheep, goats", "bleating, baaing"),
    "horse": _words("horse, pony, mare, stallion, foal", "horses, ponies, race horse",
                    "neighing, galloping, whinnying"),
    "pig": _words("pig, hog, boar, swine, piglet, sow", "pigs, wild boar, piglets", "grunting, oinking, squealing"),
    "frog": _words("frog, toad, bullfrog, tree frog", "frogs, toads, bull frog", "croaking, ribbiting"),
    "cricket": _words("cricket, grasshopper, cicada, insect", "crickets, cicadas, grasshoppers",
                      "chirring, stridulating"),
    "bee": _words("bee, fly, wasp, bumblebee, mosquito, housefly", "bees, honey bee, flies", "buzzing, humming"),
    "car": _words("car, automobile, truck, bus, van, taxi, road traffic, vehicle", "cars, trucks, motor car",
                  "driving past, honking, passing by"),
    "motorcycle": _words("motorcycle, motorbike, moped, scooter", "motorcycles, motor bike, motor scooter",
                         "revving, speeding"),
    "train": _words("train, locomotive, railway, tram, steam engine, railroad", "trains, railway train, steam train",
                    "passing, whistling, rattling by"),
    "aircraft": _words("aircraft, airplane, plane, jet, helicopter, airliner", "airplanes, aeroplane, jet plane",
                       "taking off, flying over, landing"),
    "boat": _words("boat, ship, motorboat, sailing boat, canoe, ferry, yacht", "boats, ships, sail boat",
                   "chugging, sailing"),
    "siren": _words("siren, ambulance, fire engine, police car, emergency vehicle", "sirens, ambulances, police van",
                    "wailing"),
    "chainsaw": _words("chainsaw, power saw, lawn mower, motor saw", "chain saw, lawnmower, chainsaws",
                       "sawing, cutting wood"),
    "washing machine": _words("washing machine, washer, laundry machine, dishwasher", "washing machines, dish washer",
                              "washing, spinning"),
    "bell": _words("bell, church bell, chime, church, bell tower, wind chime", "bells, church bells, chimes",
                   "ringing, tolling, pealing"),
    "clock": _words("clock, wall clock, watch, stopwatch, alarm clock", "clocks, wall clocks, stop watch",
                    "ticking, striking the hour"),
    "typing": _words("typing, keyboard, typewriter, computer keys, laptop", "keyboards, type writer, computer keyboard",
                     "clattering, clicking"),
    "door": _words("door, gate, cupboard door, creaking door, wardrobe", "doors, sliding door, wooden door",
                   "creaking, slamming, opening, closing"),
    "footsteps": _words("footsteps, steps, shoe, boots, walking feet, sandal", "foot steps, shoes, boot",
                        "walking, running"),
    "crowd": _words("crowd, people, voices, restaurant full of people, audience, chatter",
                    "crowds, many people, chattering",
                    "talking, cheering, shouting"),
    "glass": _words("glass, bottle, wine glass, goblet, glass jar", "glasses, bottles, glass bottle",
                    "clinking, breaking, shattering"),
    "drum": _words("drum, drums, drum kit, snare drum, cymbal, percussion", "drum set, snare, drummer",
                   "beating, drumming"),
    "guitar": _words("guitar, acoustic guitar, electric guitar, banjo, strings", "guitars, guitarist, steel guitar",
                     "strumming, playing chords"),
    "violin": _words("violin, fiddle, cello, viola, bowed strings", "violins, violinist, cellos", "being bowed"),
    "flute": _words("flute, clarinet, oboe, panpipe, woodwind, recorder", "flutes, clarinets, pan pipes",
                    "being blown"),
    "saxophone": _words("saxophone, sax, trumpet, trombone, horn, brass instrument", "saxophones, trumpets, brass",
                        "blaring"),
    "piano": _words("piano, grand piano, pianoforte, upright piano, keys of a piano", "pianos, pianist, piano keys",
                    "being played"),
    SILENT_KIND: _words("nothing that sounds, furniture, fruit, a silent thing, food, chair, sofa",
                        "silence, chairs, fruits"),
}  # fmt: skip

# {n}: the noun.
TEMPLATES = (
    "{n}", "{n}", "a {n}", "the {n}", "some {n}", "sound of a {n}", "the sound of {n}", "a photo of a {n}", "{n} sound",
    "a picture of {n}", "I hear a {n}", "this is a {n}", "there is a {n} here", "a recording of {n}", "{n} noise",
    "listen to the {n}", "a {n} somewhere", "noise of {n}", "an old {n}", "I can see {n}", "one {n}",
)  # fmt: skip
HELD_TEMPLATES = (
    "what you hear is a {n}", "here one sees the {n}", "field recording with {n}", "look, a {n}!",
    "an image showing {n}", "could that be a {n}?", "my neighbour's {n}", "{n} in the open",
)  # fmt: skip
DOING_TEMPLATES = ("a {n} {d}", "{n} {d}", "the {n} is {d}", "{d} {n}", "sound of {d} {n}", "the {d} of a {n}")

# Of drawn places: (kind, parameter) → phrases for little and for much of it.
DEGREES: Mapping[tuple[str, str], tuple[tuple[str, ...], tuple[str, ...]]] = {
    ("fire", "size_m"): (("a small {n}", "a little {n}", "tiny {n}", "{n}, low and small"),
                         ("a large {n}", "a big {n}", "a huge {n}", "a blaze", "a bonfire", "{n}, high and large")),
    ("rain", "rate_mm_h"): (("light {n}", "gentle {n}", "a drizzle", "weak {n}", "{n}, just a little"),
                            ("heavy {n}", "pouring {n}", "a downpour", "strong {n}", "{n}, a lot of it")),
    ("rain", "puddles"): (("{n} on the ground", "{n} without puddles"), ("{n} on puddles", "{n} with many puddles")),
    ("sea", "wave_height_m"): (("a calm {n}", "a quiet {n}", "a gentle {n}", "{n} with low waves"),
                               ("a rough {n}", "a stormy {n}", "a wild {n}", "{n} with high waves")),
    ("river", "speed_m_s"): (("a slow {n}", "a lazy {n}", "a calm {n}"),
                             ("a fast {n}", "a rushing {n}", "a wild {n}", "rapids")),
    ("river", "width_m"): (("a narrow {n}", "a small {n}"), ("a wide {n}", "a broad {n}", "a large {n}")),
    ("waterfall", "height_m"): (("a low {n}", "a small {n}"), ("a high {n}", "a tall {n}", "a large {n}")),
    ("waterfall", "width_m"): (("a narrow {n}", "a thin {n}"), ("a wide {n}", "a broad {n}")),
    ("wind", "speed_m_s"): (("a light {n}", "gentle {n}", "a breeze", "weak {n}"),
                            ("strong {n}", "heavy {n}", "a gale", "a storm", "wild {n}")),
    ("wind", "tree_density"): (("{n} with few trees", "{n} in the open"), ("{n} in many trees", "{n} in a forest")),
    ("thunder", "energy_j_m"): (("weak {n}", "faint {n}"), ("mighty {n}", "strong {n}", "violent {n}")),
    **{(kind, DISTANCE): (("{n} nearby", "a near {n}", "close {n}", "{n} right in front of us"),
                          ("{n} far away", "a distant {n}", "{n} in the distance", "a far {n}"))
       for kind in noises.KINDS},
}  # fmt: skip
HELD_DEGREE_TEMPLATES = ("what you hear is {d}", "look, {d}!", "an image showing {d}")


@dataclass(frozen=True)
class Meaning:
    """What a phrase says: the kind; where it says so a finer name, or a parameter of which there is little (−1) or
    much (1).
    """

    kind: str
    name: str = ""
    parameter: str = ""
    degree: int = 0


@dataclass(frozen=True)
class Thing:
    """What is known of a picture's part or a sound: the kind, a finer name ("" where none is known), degrees."""

    kind: str
    name: str = ""
    degrees: Mapping[str, int] | None = None

    def fits(self, meaning: Meaning) -> float:
        """1 where a phrase is true of it, 0 where it is not, NaN where nobody knows."""
        if meaning.kind != self.kind:
            return 0.0
        if meaning.name:
            # What sounds has no finer name, and a finer name's thing sounds like its kind.
            return 1.0 if self.name in ("", meaning.name) else np.nan
        if meaning.parameter:
            known = (self.degrees or {}).get(meaning.parameter)
            return np.nan if known in (None, 0) else float(known == meaning.degree)
        return 1.0


def degrees(kind: str, parameters: Mapping[str, float], distance_m: float) -> dict[str, int]:
    """−1, 0, 1 for the lower, middle and upper third of each parameter's range, in its logarithm."""
    law = noises.LAWS[kind]
    spans = {**law.parameters, DISTANCE: law.distance}
    out = {}
    for parameter, value in {**parameters, DISTANCE: distance_m}.items():
        low, high = spans[parameter]
        if high > low and (kind, parameter) in DEGREES:
            share = np.log(value / low) / np.log(high / low)
            out[parameter] = int(share > 1 - THIRD) - int(share < THIRD)
    return out


def finer(kind: str, file: str) -> str:
    """The finer name that the file of a photo or a recording gives it, such as "golden retriever" or "clarinet"."""
    stem = file.rpartition("/")[2].rpartition(".")[0]
    named = re.fullmatch(r"n\d{8}_(?:\d+_)?(.+)", stem)
    classes = SILENT if kind == SILENT_KIND else KINDS[kind].photos if kind in KINDS else ()
    if named and named[1] in classes:
        return named[1].replace("_", " ")
    return ""


def phrase(meaning: Meaning, rng: np.random.Generator) -> str:
    """A phrase that says it, by chance, of those that are trained."""
    words = WORDS[meaning.kind]
    noun = meaning.name or str(rng.choice(words.nouns))
    if meaning.parameter:
        some = DEGREES[meaning.kind, meaning.parameter][meaning.degree > 0]
        return str(rng.choice(some)).format(n=noun)
    if words.doing and rng.random() < 0.3:
        return str(rng.choice(DOING_TEMPLATES)).format(n=noun, d=rng.choice(words.doing))
    return str(rng.choice(TEMPLATES)).format(n=noun)


def held_out(meaning: Meaning, rng: np.random.Generator, nouns: bool) -> str:
    """A phrase that says it in a template that is never trained, with (`nouns`) such a noun too."""
    words = WORDS[meaning.kind]
    noun = str(rng.choice(words.held if nouns else words.nouns))
    if meaning.parameter:
        some = DEGREES[meaning.kind, meaning.parameter][meaning.degree > 0]
        return str(rng.choice(HELD_DEGREE_TEMPLATES)).format(d=str(rng.choice(some)).format(n=noun))
    return str(rng.choice(HELD_TEMPLATES)).format(n=noun)


def misspelt(text: str, rng: np.random.Generator) -> str:
    """The phrase with a letter lost, doubled or exchanged with the next."""
    if len(text) < 4:
        return text
    i = int(rng.integers(len(text) - 1))
    return (text[:i] + text[i + 1 :], text[: i + 1] + text[i:], text[:i] + text[i + 1] + text[i] + text[i + 2 :])[
        int(rng.integers(3))
    ]
