"""The protocols of `evaluate describe`: phrases that were never trained, for photos, sounds and places new to it.

Of 20 photos of different kinds, which does a phrase mean; of 20 recordings, which; where in a drawn place is what it
says; and of two things of one kind, which is the small, strong or far one. Phrases are in templates that were never
trained, with nouns that were (`templates`) or with nouns that were not (`nouns`): those are other spellings, plurals
and compounds of trained ones, for an encoder that has read no corpus cannot know a word that it has never met.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..bridges.grounding import Grounding, Locator
from ..bridges.naming import Naming
from ..data.table import SILENT_KIND
from ..metrics import mean
from ..senses import InputError, Text
from ..train import phrases
from ..train.phrases import DEGREES, Meaning, Thing
from ..train.text import Takes, Views, cut, drawn, listen, photos, recordings, see

if TYPE_CHECKING:
    from jaxtyping import Float

AMONG = 20
DRAWS = 5  # sets of others for each question
MOST_LITTLE = 20  # little photos of a kind
MOST_PAIRS = 60  # of a kind and a parameter

WAYS = {"templates": False, "nouns": True}


def evaluate(
    naming: Naming,
    locator: Locator,
    folder: Path,
    *,
    world: Path | None = None,
    seed: int = 0,
    split: str = "test",
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """All protocols on the shards of `synesthesia data pack` and, where given, a held-out world of scenes."""
    if naming.shared != locator.grounding.shared:
        raise InputError(f"These words are for {naming.shared.name}, not for {locator.grounding.shared.name}.")
    views = see(locator, photos(folder, split, MOST_LITTLE))
    takes = listen(locator, recordings(folder, split, 1))
    tell(f"{len(views.things)} photos and {len(takes.things)} recordings")
    result: dict[str, Any] = {"among": AMONG, "chance": 1 / AMONG, "seed": seed}
    result["retrieval"] = retrieval(naming, locator.grounding, views, takes, seed)
    if world is not None:
        places = list(drawn(world))
        seen = see(locator, ((d.image, d.things, d.masks, d.key) for d in places))
        pieces = ((p, t, d.key) for d in places for t, s in zip(d.things, d.sounds, strict=True) for p in cut(s, 1))
        heard = listen(locator, pieces)
        tell(f"{len(places)} drawn places")
        result["pointing"] = pointing(naming, locator.grounding, seen, seed)
        result["degrees"] = degrees(naming, locator.grounding, seen, heard, seed)
    return result


# --- which of twenty -------------------------------------------------------------------------------------------------


def retrieval(naming: Naming, grounding: Grounding, views: Views, takes: Takes, seed: int) -> dict[str, Any]:
    """R@1 of phrases for photos and for recordings, the large photos also by themselves."""
    things = [some[0] for some in views.things]
    loud = [i for i, t in enumerate(things) if t.kind != SILENT_KIND]
    out: dict[str, Any] = {}
    for way, nouns in WAYS.items():
        texts = _said([things[i] for i in loud], nouns, seed)
        scores = of_views(naming, grounding, texts, views)[:, loud]
        own = [things[i].kind for i in loud], [views.owner[i] for i in loud]
        out[f"phrase to photo, {way}"] = first_of(scores, *own, seed)
        texts = _said(takes.things, nouns, seed + 1)
        scores = of_takes(naming, texts, takes)
        out[f"phrase to sound, {way}"] = first_of(scores, [t.kind for t in takes.things], takes.owner, seed)
    return out


def _said(things: Sequence[Thing], nouns: bool, seed: int) -> list[Text]:
    rng = np.random.default_rng([seed, 21])
    return [Text(phrases.held_out(Meaning(thing.kind), rng, nouns)) for thing in things]


@torch.inference_mode()
def of_views(
    naming: Naming, grounding: Grounding, texts: Sequence[Text], views: Views
) -> Float[np.ndarray, "phrases pictures"]:
    """How well each phrase goes with each picture, as `Locator.match` has it."""
    vectors = _heads(naming, naming.read(texts).as_sound.values)
    rows = [
        grounding.peak(grounding.volume(some.float(), vectors[:, None]), logit.flatten(1))[..., 0]
        for some, logit in zip(views.patches.split(32), views.sounding.split(32), strict=True)
    ]
    return torch.cat(rows).T.numpy()


@torch.inference_mode()
def of_takes(naming: Naming, texts: Sequence[Text], takes: Takes) -> Float[np.ndarray, "phrases sounds"]:
    """How well each phrase goes with each sound, as `Naming.of_sound` has it."""
    vectors = _heads(naming, naming.read(texts).as_place.values)
    rows = [
        torch.einsum("mthw,phw->mpth", some.float(), vectors).amax(-1).mul(weight[:, None]).sum(-1)
        for some, weight in zip(takes.frames.split(32), takes.weight.split(32), strict=True)
    ]
    return torch.cat(rows).T.numpy()


def _heads(naming: Naming, values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values).unflatten(-1, (naming.config.heads, -1))


def first_of(
    scores: Float[np.ndarray, "items items"], kinds: Sequence[str], owners: Sequence[str], seed: int, among: int = AMONG
) -> dict[str, Any]:
    """How often item i is the best for phrase i among it and one item of each of `among` − 1 other kinds.

    A tie is half.
    """
    rng = np.random.default_rng([seed, 22])
    of: dict[str, list[int]] = defaultdict(list)
    for i, kind in enumerate(kinds):
        of[kind].append(i)
    if len(of) < among:
        raise InputError(f"To choose among {among} there must be as many kinds, not {len(of)}.")
    right = np.zeros(len(kinds))
    for i, kind in enumerate(kinds):
        for _ in range(DRAWS):
            others = rng.choice([k for k in sorted(of) if k != kind], among - 1, replace=False)
            best = max(float(scores[i, int(rng.choice(of[k]))]) for k in others)
            right[i] += float(scores[i, i] > best) + 0.5 * float(scores[i, i] == best)
    return mean(right / DRAWS, owners).record()


# --- where, and how much ---------------------------------------------------------------------------------------------


@torch.inference_mode()
def pointing(naming: Naming, grounding: Grounding, views: Views, seed: int) -> dict[str, Any]:
    """How often the likeliest patch for a phrase lies in the thing that it means (half of it or more), and how often a
    random patch does.
    """
    rng = np.random.default_rng([seed, 23])
    hits: dict[str, list[float]] = defaultdict(list)
    owner: list[str] = []
    for i, some in enumerate(views.things):
        masks = views.masks[i]
        assert masks is not None, "drawn places have masks"
        for thing, mask in zip(some, masks, strict=True):
            if float(mask.max()) < 0.5:
                continue
            text = Text(phrases.held_out(Meaning(thing.kind), rng, nouns=False))
            vector = _heads(naming, naming.read([text]).as_sound.values)
            similarity = grounding.volume(views.patches[i : i + 1].float(), vector[:, None])[0, 0, :, 0]
            heat = grounding.heat(similarity, views.sounding[i].flatten())
            hits["phrase"].append(float(mask.flatten()[heat.argmax()] >= 0.5))
            hits["chance"].append(float((mask >= 0.5).float().mean()))
            owner.append(views.owner[i])
    return {name: mean(np.array(values), owner).record() for name, values in hits.items()}


def degrees(naming: Naming, grounding: Grounding, views: Views, takes: Takes, seed: int) -> dict[str, Any]:
    """Of two things of one kind, one with little and one with much of a parameter: does "a small fire" go better with
    the small one than with the large one, and "a large fire" the other way round? Chance is one half.
    """
    rng = np.random.default_rng([seed, 24])
    single = [i for i, some in enumerate(views.things) if len({t.kind for t in some}) == len(some)]
    pictures = [(i, t) for i in single for t in views.things[i]]
    out: dict[str, Any] = {}
    asked = {
        "picture": ([t for _, t in pictures], [views.owner[i] for i, _ in pictures], [i for i, _ in pictures]),
        "sound": (takes.things, takes.owner, list(range(len(takes.things)))),
    }
    for sense, (things, owners, rows) in asked.items():
        right: list[float] = []
        whose: list[str] = []
        each: dict[str, float] = {}
        for kind, parameter in DEGREES:
            few, many = (
                [k for k, t in enumerate(things) if t.kind == kind and (t.degrees or {}).get(parameter) == d]
                for d in (-1, 1)
            )
            pairs = [(int(rng.choice(few)), int(rng.choice(many))) for _ in range(MOST_PAIRS)] if few and many else []
            if not pairs:
                continue
            texts = [Text(phrases.held_out(Meaning(kind, "", parameter, d), rng, nouns=False)) for d in (-1, 1)]
            score = of_views(naming, grounding, texts, views) if sense == "picture" else of_takes(naming, texts, takes)
            table = score[:, rows]
            verdicts = [
                float(np.sign((table[0, a] - table[0, b]) - (table[1, a] - table[1, b])) / 2 + 0.5) for a, b in pairs
            ]
            each[f"{kind}, {parameter}"] = float(np.mean(verdicts))
            right += verdicts
            whose += [owners[a] for a, _ in pairs]
        out[sense] = {**mean(np.array(right), whose).record(), "each": each}
    return out


def table(result: Mapping[str, Any]) -> str:
    """The figures as Markdown."""

    def cell(e: Mapping[str, Any]) -> str:
        return f"{100 * e['value']:.0f} [{100 * e['low']:.0f}, {100 * e['high']:.0f}], n = {e['n']}"

    lines = [f"| what | %, 95 % interval (chance {100 * result['chance']:.0f}) |", "|---|---|"]
    lines += [f"| {name}: R@1 in {result['among']} | {cell(e)} |" for name, e in result["retrieval"].items()]
    if "pointing" in result:
        point = result["pointing"]
        chance = f"chance {100 * point['chance']['value']:.0f}"
        lines.append(
            f"| drawn places: the likeliest patch for a phrase is right ({chance}) | {cell(point['phrase'])} |"
        )
        lines += [f"| little or much of it, two {sense}s of one kind (chance 50) | {cell(e)} |"
                  for sense, e in result["degrees"].items()]  # fmt: skip
    return "\n".join(lines)
