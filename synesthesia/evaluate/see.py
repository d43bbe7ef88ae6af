"""The protocols of `evaluate see`: sounds that taught nothing, pictures that are drawn to them, and judges' eyes.

The judges look with a network that taught nothing (`Eyes`), or by hand features (colour, texture, shape:
`photos.hand_features`), and decide by ridges, taught by pictures that taught nothing else: photos of the split `judge`,
worlds of their own. Each figure has its 95 % bootstrap interval, and what the judge says of real pictures beside it.

- kind by eye: whether the judge names the recording's kind, beside how well the kind can be told from the sound alone
  and how well the judge names real photos of that size;
- unseen birds: traits that the judge reads off the picture against the true ones of the singer and of nine others;
- strikes: the group of material that the judge sees, in things cut out of renders, as the model draws them;
- cycle: picture → `hear` → `see` → picture;
- half a picture filled in with its sound, and with another one's;
- how often a picture is nearer to one of training than real ones are; how long a picture takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .. import metrics, shards
from ..encoders.vision import to_square
from ..metrics import Estimate, bootstrap, mean
from ..metrics.distributions import kernel_distance
from ..senses import Image, InputError, Point, Region, Sound
from ..train.distil import MAPS, Teacher
from ..train.see import close, portrayed, sights
from .baselines import KernelRidge, derangement
from .hear import Held, read
from .hear_rows import excerpt
from .photos import hand_features

if TYPE_CHECKING:
    from jaxtyping import Float

    from ..bridges.hearing import Hearing
    from ..bridges.seeing import Seeing

SECONDS = 4.0
MOST_SOUNDS = 6  # recordings of a kind that are asked about
MOST_LEARNED = 100  # pictures of a kind, and birds times twenty, that judges and baselines learn from
MOST_CYCLES = 60
MOST_FILLED = 100
AMONG = (10, 100)
DRAWS = 10  # of the others, for each question
COARSE = 16  # pixels of a side at which pictures are compared for copies
STEADY = 0.05  # of the median spread of features, below which one does not count
RIDGES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # for each feature
TIMES = 9
# Inner maps that judges look with (see `distil.MAPS`): parts, and the whole twice.
SEEN = (*MAPS[:2], ("MobilenetV2/Conv_1/Relu6", 7, 1280))

Tell = Callable[[str], None]
Rows = dict[str, list[Image]]
Look = Callable[[Sequence[Image], int], "Float[np.ndarray, 'n d']"]


@dataclass(frozen=True, eq=False)
class Asked:
    """A sound, the picture that occurred with it or one of its kind, what it is called, and what it is a part of.

    `portrait`: what it would be drawn as by who knew everything (see `train.see.Sight`), where there is such a thing.
    """

    sound: Sound
    picture: Image
    label: str
    object: str
    traits: Float[np.ndarray, " traits"]
    portrait: Image | None = None


# --- what is read ----------------------------------------------------------------------------------------------------


def recordings(held: Held, kinds: Sequence[str]) -> list[Asked]:
    """Some held-out recordings of each kind, each with a photo of its kind."""
    return [
        Asked(excerpt(sound, SECONDS, n), held.photos[kind][n % len(held.photos[kind])][2], kind, f"{kind}/{n}",
              np.zeros(0))
        for kind in kinds
        for n, sound in enumerate(held.sounds[kind][:MOST_SOUNDS])
    ]  # fmt: skip


def birds(folder: Path, most: int | None = None) -> list[Asked]:
    """The birds of a world, each seen close by and heard alone."""
    found: list[Asked] = []
    for path in sorted(folder.glob("*.tar")):
        for example in shards.examples(path):
            told, masks = example.truth.get("sources"), example.arrays.get("masks")
            if not isinstance(told, list) or masks is None or "parameters" not in told[0]:
                raise InputError(f"{example.key!r} shows no birds; make some with `synesthesia world birds`.")
            clear = [one for one, mask in zip(told, masks, strict=True) if close(mask)]
            for one, sight in zip(clear, list(sights(example))[1:], strict=True):
                traits = np.array(list(one["parameters"].values()), dtype=float)
                found.append(Asked(sight.sound, sight.image, "bird", str(one["species"]), traits, sight.portrait))
            if most is not None and len(found) >= most:
                return found[:most]
    return found


def strikes(folder: Path, most: int) -> list[Asked]:
    """The first strikes of a world of struck things, each thing cut out; the label is the group of material."""
    found = []
    for path in sorted(folder.glob("*.tar")):
        for example in shards.examples(path, only={"jpg", "json", "mask.png", "hit0.flac"}):
            label, shape = example.truth.get("group"), example.truth.get("shape_key")
            if not isinstance(label, str) or not example.sounds:
                raise InputError(f"{example.key!r} is no strike; make some with `synesthesia world knock`.")
            (sight,) = portrayed(sights(example))
            shown = sight.portrait or sight.image
            found.append(Asked(sight.sound, shown, label, str(shape), np.zeros(0)))
            if len(found) == most:
                return found
    return found


# --- judges and baselines --------------------------------------------------------------------------------------------


def squared(image: Image, side: int) -> Image:
    """The picture as a codec has it: a square of so many pixels."""
    return Image((to_square([image], side)[0] * 255).round().byte().permute(1, 2, 0).numpy())


def by_hand(pictures: Sequence[Image], side: int) -> Float[np.ndarray, "n d"]:
    """Hand features of pictures brought to the size of those that are drawn."""
    return np.stack([hand_features(squared(picture, side)) for picture in pictures])


class Eyes:
    """A network's view of pictures brought to that size: mean, spread and maximum over the places of two of its inner
    maps, and the mean of its last.

    It is a MobileNetV2 as an int8 TensorFlow Lite file, of other weights than the one that taught the model's eyes
    (MobileNetV2 on the birds of iNaturalist, 964 species, Apache-2.0, is one). Needs the wheel `ai-edge-litert`.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._net = Teacher(path, SEEN)
        except ImportError:
            raise InputError("These eyes need the wheel ai-edge-litert: pip install ai-edge-litert.") from None
        except ValueError as error:
            raise InputError(f"{path} is no TensorFlow Lite file of a MobileNetV2: {error}") from error

    def __call__(self, pictures: Sequence[Image], side: int) -> Float[np.ndarray, "n d"]:
        seen = []
        for picture in pictures:
            parts, whole, last = (m.flatten(0, 2) for m in self._net(to_square([squared(picture, side)], side)))
            every = [f for m in (parts, whole) for f in (m.mean(0), m.std(0), m.amax(0))]
            seen.append(torch.cat([*every, last.mean(0)]))
        return torch.stack(seen).double().numpy()


class Namer:
    """Kernel ridge on the features that vary in what it learned from.

    A colour that hardly occurs there would, measured in its own spread, put any picture that has it beyond all others.
    """

    def __init__(self, x: Float[np.ndarray, "n d"], names: Sequence[str]) -> None:
        spread = x.std(0)
        self._varied = spread > STEADY * np.median(spread[spread > 0])
        self._ridge = KernelRidge.fit(x[:, self._varied], names)
        self.labels = self._ridge.labels

    def predict(self, x: Float[np.ndarray, "n d"]) -> list[str]:
        return self._ridge.predict(x[:, self._varied])


@dataclass(frozen=True, eq=False)
class Reader:
    """Ridge regression from features to traits, in standard deviations."""

    centre: Float[np.ndarray, " d"]
    size: Float[np.ndarray, " d"]
    weights: Float[np.ndarray, "d traits"]
    middle: Float[np.ndarray, " traits"]
    spread: Float[np.ndarray, " traits"]

    @staticmethod
    def teach(x: Float[np.ndarray, "n d"], traits: Float[np.ndarray, "n traits"]) -> Reader:
        """The ridge is the one that reads a held-out fifth best."""
        middle, spread = traits.mean(0), traits.std(0) + 1e-9
        centre, size = x.mean(0), np.maximum(x.std(0), STEADY * np.median(x.std(0)) + 1e-9)
        a, y = (x - centre) / size, (traits - middle) / spread
        held = np.random.default_rng(0).permutation(len(a))[: max(1, len(a) // 5)]
        kept = np.setdiff1d(np.arange(len(a)), held)
        # By what examples have in common, not by what features have: there may be more features than examples.
        common = a @ a.T / a.shape[1]

        def fitted(rows: np.ndarray, ridge: float) -> np.ndarray:
            return np.linalg.solve(common[np.ix_(rows, rows)] + ridge * np.eye(len(rows)), y[rows])

        def error(ridge: float) -> float:
            return float(np.square(common[np.ix_(held, kept)] @ fitted(kept, ridge) - y[held]).mean())

        weights = a.T @ fitted(np.arange(len(a)), min(RIDGES, key=error)) / a.shape[1]
        return Reader(centre, size, weights, middle, spread)

    def read(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n traits"]:
        return (x - self.centre) / self.size @ self.weights

    def true(self, traits: Float[np.ndarray, "n traits"]) -> Float[np.ndarray, "n traits"]:
        return (traits - self.middle) / self.spread


class Ears:
    """What the model's ears make of sounds: baselines hear with the same ears."""

    def __init__(self, model: Seeing) -> None:
        self._model = model

    def __call__(self, sounds: Sequence[Sound]) -> Float[np.ndarray, "n width"]:
        """Mean and spread over the frames of the salient part."""
        out = []
        for sound in sounds:
            (frames,) = self._model.locator.ears.listen([self._model.part(sound)[0]])
            values = np.asarray(frames.dense.values, np.float64)
            out.append(np.concatenate([values.mean(0), values.std(0)]))
        return np.stack(out)


def drawn(model: Seeing, sounds: Sequence[Sound], seed: int) -> list[Image]:
    """A picture for each sound."""
    return [model.pictures(model.attend(sound), [seed + n])[0] for n, sound in enumerate(sounds)]


def through(model: Seeing, pictures: Sequence[Image]) -> list[Image]:
    """What the codec keeps of pictures: the ceiling of all that is drawn in it."""
    with torch.inference_mode():
        x = model.codec.decode(model.codec.encode(to_square(pictures, model.config.codec.side)))
    return [Image((one * 255).round().byte().permute(1, 2, 0).numpy()) for one in x]


def nearest(known: Float[np.ndarray, "m d"], asked: Float[np.ndarray, "n d"]) -> np.ndarray:
    """The row of `known` nearest to each of `asked`, in standard deviations of `known`."""
    size = known.std(0) + 1e-9
    return np.array([int(np.square((known - one) / size).sum(1).argmin()) for one in asked])


def medoids(pictures: Sequence[Image], labels: Sequence[str], side: int) -> dict[str, Image]:
    """Of each label the most typical picture, by hand features."""
    found, x = {}, by_hand(pictures, side)
    for label in sorted(set(labels)):
        mine = [n for n, one in enumerate(labels) if one == label]
        found[label] = pictures[mine[metrics.medoid(x[mine])]]
    return found


# --- protocols -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Known:
    """What baselines know: sounds, the picture of each, and what both are called."""

    sounds: Sequence[Sound]
    pictures: Sequence[Image]
    labels: Sequence[str]


def all_rows(model: Seeing, asked: Sequence[Asked], known: Known, seed: int) -> tuple[Rows, list[str]]:
    """The model's pictures and its rivals', and what the sounds are called by ears alone."""
    side, ears = model.config.codec.side, Ears(model)
    learned, heard = ears(known.sounds), ears([a.sound for a in asked])
    names = KernelRidge.fit(learned, list(known.labels)).predict(heard)
    typical = medoids(known.pictures, list(known.labels), side)
    average = np.mean([squared(picture, side).pixels for picture in known.pictures], axis=0)
    own = drawn(model, [a.sound for a in asked], seed)
    order = derangement([a.object for a in asked], seed)
    rows = {
        "model": own,
        "shuffled": [own[n] for n in order],
        "mean": [Image(average.round().astype(np.uint8))] * len(asked),
        "neighbour": [known.pictures[n] for n in nearest(learned, heard)],
        "cascade": [typical[name] for name in names],
        "codec": through(model, [a.picture for a in asked]),
        "real": [a.picture for a in asked],
    }
    return rows, names


def by_label(
    model: Seeing, asked: Sequence[Asked], rows: Rows, names: Sequence[str], judge: Namer, look: Look
) -> dict[str, Any]:
    """How often a judge sees what the sound is called; the model's share of what ears and judge allow."""
    side = model.config.codec.side
    labels, objects = np.array([a.label for a in asked]), np.array([a.object for a in asked])
    right = {row: (np.array(judge.predict(look(pictures, side))) == labels) for row, pictures in rows.items()}
    heard = np.array(names) == labels

    def share(index: np.ndarray) -> float:
        ceiling = float(heard[index].mean() * right["real"][index].mean())
        return float(right["model"][index].mean()) / ceiling if ceiling else float("nan")

    return {
        "labels": len(set(labels)),
        "chance": 1 / len(judge.labels),
        "by_ears_alone": mean(heard.astype(float), objects).record(),
        "by_eye": {row: mean(values.astype(float), objects).record() for row, values in right.items()},
        "share": bootstrap(objects, share).record(),
    }


def identity(reader: Reader, x: Float[np.ndarray, "n d"], asked: Sequence[Asked], among: int, seed: int) -> Estimate:
    """How often the traits that are read off a picture are nearest to its own bird's among so many of other species."""
    read, true = reader.read(x), reader.true(np.stack([a.traits for a in asked]))
    species, rng = np.array([a.object for a in asked]), np.random.default_rng([seed, among])
    share = np.zeros(len(asked))
    for n in range(len(asked)):
        others = np.flatnonzero(species != species[n])
        for _ in range(DRAWS):
            some = np.append(rng.choice(others, min(among - 1, len(others)), replace=False), n)
            gaps = np.square(true[some] - read[n]).sum(1)
            share[n] += bool(gaps[-1] < gaps[:-1].min()) / DRAWS
    return mean(share, species)


def of_birds(
    model: Seeing, asked: Sequence[Asked], known: Known, reader: Reader, look: Look, seed: int
) -> tuple[dict[str, Any], Rows]:
    """Identity among ten and a hundred, and how well traits can be read back, for all rows."""
    side = model.config.codec.side
    rows, _ = all_rows(model, asked, known, seed)
    del rows["cascade"]  # nobody has named them: see `evaluate words`
    rows["portrait"] = [a.portrait or a.picture for a in asked]
    true = reader.true(np.stack([a.traits for a in asked]))
    species = np.array([a.object for a in asked])
    told: dict[str, Any] = {}
    for row, pictures in rows.items():
        x = look(pictures, side)
        read = reader.read(x)

        def correlation(index: np.ndarray, read: np.ndarray = read) -> float:
            a, b = read[index] - read[index].mean(0), true[index] - true[index].mean(0)
            size = np.sqrt(np.square(a).sum(0) * np.square(b).sum(0))
            return float(np.mean(np.divide((a * b).sum(0), size, out=np.zeros_like(size), where=size > 1e-9)))

        told[row] = {f"among_{k}": identity(reader, x, asked, k, seed).record() for k in AMONG if k <= len(asked)}
        told[row]["traits"] = bootstrap(species, correlation).record()
    return {"rows": told, "birds": len(asked), "species": len(set(species))}, rows


def cycle(
    model: Seeing, hearing: Hearing, asked: Sequence[Asked], reader: Reader, look: Look, seed: int
) -> dict[str, Any]:
    """Picture → sound → picture: whether it is still the same bird. It is clicked in the middle."""
    some = list(asked[:MOST_CYCLES])
    sounds = hearing.sounds(
        [a.picture for a in some], [Point(0.5, 0.5)] * len(some), SECONDS, range(seed, seed + len(some))
    )
    x = look(drawn(model, sounds, seed), model.config.codec.side)
    return identity(reader, x, some, AMONG[0], seed).record()


def filled(model: Seeing, asked: Sequence[Asked], seed: int) -> dict[str, Any]:
    """The right half of pictures drawn to their sound and to another's: distances from the true half, by hand features.

    `lead`: how much nearer it comes with its own sound.
    """
    some = list(asked[:MOST_FILLED])
    side, order = model.config.codec.side, derangement([a.object for a in some], seed)
    mask = np.zeros((side, side), np.float32)
    mask[:, side // 2 :] = 1.0
    where, gaps = Region(mask), []
    for n, one in enumerate(some):
        picture = squared(one.picture, side)
        true = hand_features(_right(picture))
        pair = []
        for sound in (one.sound, some[order[n]].sound):
            (made,) = model.fill(model.attend(sound), picture, where, [seed + n])
            pair.append(float(np.linalg.norm(hand_features(_right(made)) - true)))
        gaps.append(pair)
    own, other = np.array(gaps).T
    objects = np.array([a.object for a in some])
    return {
        "own": mean(own, objects).record(),
        "another": mean(other, objects).record(),
        "lead": mean(other - own, objects).record(),
    }


def _right(picture: Image) -> Image:
    return Image(np.ascontiguousarray(picture.pixels[:, picture.width // 2 :]))


def memorised(made: Sequence[Image], real: Sequence[Image], learned: Sequence[Image]) -> dict[str, Any]:
    """The share of pictures nearer to one of training than all but the nearest hundredth of real ones are."""

    def coarse(pictures: Sequence[Image]) -> np.ndarray:
        return np.stack([np.asarray(squared(p, COARSE).pixels, np.float64).ravel() for p in pictures])

    known = coarse(learned)

    def gaps(pictures: Sequence[Image]) -> np.ndarray:
        return np.array([np.abs(known - one).mean(1).min() for one in coarse(pictures)])

    limit = float(np.percentile(gaps(real), 1))
    near = (gaps(made) < limit).astype(float)
    return {"limit": limit, "share": mean(near, np.arange(len(near)).astype(str)).record()}


def seconds(model: Seeing, sound: Sound) -> float:
    """The median time from a sound to its picture, here and now."""
    taken = []
    for n in range(TIMES):
        start = time.perf_counter()
        model.pictures(model.attend(sound), [n])
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def evaluate(
    model: Seeing,
    folder: Path,
    *,
    hearing: Hearing | None = None,
    bird_worlds: tuple[Path, Path, Path] | None = None,
    strike_worlds: tuple[Path, Path, Path] | None = None,
    look: Look = by_hand,
    seed: int = 0,
    tell: Tell = lambda text: None,
) -> tuple[dict[str, Any], dict[str, Rows]]:
    """All protocols on the shards of `synesthesia data pack`, and on worlds where they are given.

    Worlds are three each: one that the model learned from (for the baselines), one that only the judge learns from, and
    one of the split test. `hearing` closes the cycle. `look` is how judges see. Gives the figures, and the
    pictures of all rows.
    """
    side = model.config.codec.side
    train, judging, test = (read(folder, split, MOST_LEARNED) for split in ("train", "judge", "test"))
    kinds = [
        kind for kind in sorted(test.sounds)
        if all(held.photos.get(kind) for held in (train, judging, test)) and train.sounds.get(kind)
    ]  # fmt: skip
    if len(kinds) < 2:
        raise InputError(f"{folder} has too few kinds with photos and recordings in train, judge and test.")
    asked, shown = recordings(test, kinds), {}
    known = Known(
        [excerpt(s, SECONDS, 0) for kind in kinds for s in train.sounds[kind][:MOST_LEARNED]],
        [train.photos[kind][n % len(train.photos[kind])][2]
         for kind in kinds for n, _ in enumerate(train.sounds[kind][:MOST_LEARNED])],
        [kind for kind in kinds for _ in train.sounds[kind][:MOST_LEARNED]],
    )  # fmt: skip
    rows, names = all_rows(model, asked, known, seed)
    pictures = [(kind, image) for kind in kinds for _, _, image in judging.photos[kind]]
    judge = Namer(look([image for _, image in pictures], side), [kind for kind, _ in pictures])
    result: dict[str, Any] = {"seed": seed, "kinds": by_label(model, asked, rows, names, judge, look)}
    real = [image for kind in kinds for _, _, image in test.photos[kind]]
    features = by_hand(real, side)
    result["distance"] = {
        row: kernel_distance(features, by_hand(rows[row], side)) for row in ("model", "neighbour", "codec")
    }
    result["memorised"] = memorised(rows["model"], real, [p for kind in kinds for _, _, p in train.photos[kind]])
    result["filled"] = {"photos": filled(model, asked, seed)}
    result["seconds"] = seconds(model, asked[0].sound)
    shown["kinds"] = rows
    tell(f"{len(asked)} recordings of {len(kinds)} kinds seen")
    if bird_worlds is not None:
        learned, own, unseen = (birds(path, 20 * MOST_LEARNED) for path in bird_worlds)
        # As they are and as portraits: what is drawn is one, and what is real is the other.
        taught = [a.picture for a in own] + [a.portrait or a.picture for a in own]
        reader = Reader.teach(look(taught, side), np.stack([a.traits for a in own] * 2))
        library = Known([a.sound for a in learned], [a.picture for a in learned], [a.object for a in learned])
        result["birds"], shown["birds"] = of_birds(model, unseen, library, reader, look, seed)
        result["filled"]["birds"] = filled(model, unseen, seed)
        portraits = [replace(a, picture=a.portrait or a.picture) for a in unseen]
        result["filled"]["portraits of birds"] = filled(model, portraits, seed)
        tell(f"{len(unseen)} birds seen")
        if hearing is not None:
            result["cycle"] = cycle(model, hearing, unseen, reader, look, seed)
            tell("cycle closed")
    if strike_worlds is not None:
        learned, own, unseen = (strikes(path, 5 * MOST_LEARNED) for path in strike_worlds)
        library = Known([a.sound for a in learned], [a.picture for a in learned], [a.label for a in learned])
        material = Namer(look([a.picture for a in own], side), [a.label for a in own])
        rows, names = all_rows(model, unseen, library, seed)
        result["strikes"], shown["strikes"] = by_label(model, unseen, rows, names, material, look), rows
        tell(f"{len(unseen)} strikes seen")
    return result, shown


def table(result: Mapping[str, Any]) -> str:
    """The figures as lines of text, with floors and aims."""

    def said(e: Mapping[str, Any], scale: float = 100.0) -> str:
        if e["value"] is None:
            return "not measured"
        return f"{scale * e['value']:.1f} [{scale * e['low']:.1f}, {scale * e['high']:.1f}] (n = {e['n']})"

    kinds = result["kinds"]
    lines = [
        f"kind by eye, share of ears × judge, %: {said(kinds['share'])}; floor 50, aim 90; {kinds['labels']} kinds",
        *(f"  by eye, {row}, %: {said(e)}" for row, e in kinds["by_eye"].items()),
        f"  by ears alone, %: {said(kinds['by_ears_alone'])}; chance {100 * kinds['chance']:.1f}",
        "distance from real photos (hand features): "
        + ", ".join(f"{row} {value:.2f}" for row, value in result["distance"].items()),
    ]
    if "birds" in result:
        told = result["birds"]["rows"]
        lines.append(f"unseen birds, right one among 10, %: {said(told['model']['among_10'])}; floor 60, aim 90")
        for row, figures in told.items():
            lines.append(f"  {row}: " + ", ".join(f"{k} {said(e)}" for k, e in figures.items()))
    if "cycle" in result:
        lines.append(f"picture → sound → picture, among 10, %: {said(result['cycle'])}; floor 40, aim 85")
    if "strikes" in result:
        strikes = result["strikes"]
        lines.append(f"material by eye from a strike, share, %: {said(strikes['share'])}; floor 80, aim 95")
        lines += [f"  by eye, {row}, %: {said(e)}" for row, e in strikes["by_eye"].items()]
        lines.append(f"  by ears alone, %: {said(strikes['by_ears_alone'])}")
    for name, gaps in result["filled"].items():
        lines.append(f"half filled in, {name}, nearer with its own sound by {said(gaps['lead'], 1.0)}: above 0")
    lines.append(f"nearer to training than real ones, %: {said(result['memorised']['share'])}; floor 5, aim 1")
    lines.append(f"a picture takes {result['seconds']:.2f} s here and now; floor 3, aim 0.8")
    return "\n".join(lines)
