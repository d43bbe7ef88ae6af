"""Real clips: what a model makes of the middle frame of a video, against the sound that the video itself has.

Nobody has sorted or labelled them, and no model was trained on them. A judge says which kind it hears in the clip's
own sound; how often the made sound is heard as the same kind is printed beside what the sound of another clip reaches.
Retrieval asks whose own sound, of all clips', lies nearest to the made one in the judge's space, and which own sound
the locator finds to go best with the frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from .. import media
from ..metrics import mean
from ..metrics.distributions import frechet_distance, kernel_distance
from ..senses import Image, InputError, Region, Sound
from .ear import Judge
from .hear_rows import Maker, Rival

if TYPE_CHECKING:
    from jaxtyping import Float

SECONDS = 5.0
LONGEST_S = 10.0  # of a clip's own sound
MOST_CLIPS = 500


@runtime_checkable
class Matcher(Protocol):
    """Who says how well pictures and sounds go together: `bridges.grounding.Locator`, or anything like it."""

    def see(self, images: Sequence[Image]) -> Sequence[Any]: ...

    def hear(self, sounds: Sequence[Sound]) -> Sequence[Any]: ...

    def match(self, seen: Sequence[Any], heard: Sequence[Any]) -> Float[np.ndarray, "pictures sounds"]: ...


@dataclass(frozen=True, eq=False)
class Clip:
    """A video's name, its middle frame and its sound."""

    name: str
    image: Image
    sound: Sound


def read(folder: Path) -> tuple[list[Clip], list[str]]:
    """The clips of a folder in the order of their names, and why others were left out. Needs the extra `video`."""
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in media.VIDEOS) if folder.is_dir() else []
    if not files:
        raise InputError(f"{folder} is not a folder with videos ({', '.join(media.VIDEOS)}).")
    clips, left = [], []
    for path in files[:MOST_CLIPS]:
        try:
            sound = media.read_sound(path)
            (image,) = media.video_pictures(path, [sound.seconds / 2])
        except media.MissingExtraError:
            raise
        except InputError as error:
            left.append(str(error))
            continue
        mono = sound.mono[: round(LONGEST_S * sound.rate)]
        if np.abs(mono).max(initial=0.0) < 1e-4:
            left.append(f"{path.name} is silent.")
            continue
        clips.append(Clip(path.stem, image, Sound(mono[None], sound.rate)))
    if len(clips) < 2:
        raise InputError(f"{folder} holds fewer than two clips with pictures and sound: {'; '.join(left)[:200]}")
    return clips, left


def ranks(score: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " n"]:
    """How many columns beat its own (the diagonal) in each row; a tie counts half."""
    own = np.diag(score)[:, None]
    return (score > own).sum(axis=1) + 0.5 * ((score == own).sum(axis=1) - 1)


def evaluate(
    model: Maker,
    locator: Matcher,
    neighbour: Rival,
    cascade: Rival,
    judges: Mapping[str, Judge],
    folder: Path,
    seed: int = 0,
) -> dict[str, Any]:
    """Agreement by ear, KAD and FAD, and retrieval, for each judge; without the extra `video`, why there is none."""
    try:
        clips, left = read(folder)
    except media.MissingExtraError as error:
        return {"skipped": str(error)}
    images, whole = [c.image for c in clips], [Region.whole()] * len(clips)
    seeds = [seed + i for i in range(len(clips))]
    features = model.patches(images, whole)
    made = model.sounds(images, whole, SECONDS, seeds)
    turned = np.roll(np.random.default_rng(seed).permutation(len(clips)), 1)
    order = np.empty(len(clips), int)
    order[np.roll(turned, -1)] = turned  # nobody keeps his own
    rows = {
        "model": made,
        "shuffled": [made[i] for i in order],
        "neighbour": neighbour.sounds(features, SECONDS, seeds),
        "cascade": cascade.sounds(features, SECONDS, seeds),
    }
    out: dict[str, Any] = {"clips": len(clips), "left_out": left}
    for name, judge in judges.items():
        out[name] = _judged(judge, clips, rows)
    score = locator.match(locator.see(images), locator.hear([c.sound for c in clips]))
    names = [c.name for c in clips]
    out["locator"] = {
        "frame_to_sound": _recall(score, names),
        "sound_to_frame": _recall(score.T, names),
        "chance_r1": 1 / len(clips),
    }
    return out


def _judged(judge: Judge, clips: Sequence[Clip], rows: Mapping[str, Sequence[Sound]]) -> dict[str, Any]:
    names = [c.name for c in clips]
    truth = [judge.listen(c.sound) for c in clips]
    first = [next(iter(kinds)) for kinds, _ in truth]
    own = np.stack([place for _, place in truth])
    told: dict[str, Any] = {}
    agree: dict[str, np.ndarray] = {}
    for row, sounds in rows.items():
        heard = [judge.listen(s) for s in sounds]
        place = np.stack([p for _, p in heard])
        order = [list(kinds) for kinds, _ in heard]
        agree[row] = np.array([o[0] == f for o, f in zip(order, first, strict=True)], float)
        three = np.array([f in o[:3] for o, f in zip(order, first, strict=True)], float)
        told[row] = {
            "agree": mean(agree[row], names).record(),
            "of_three": mean(three, names).record(),
            "kad": kernel_distance(own, place),
            "fad": frechet_distance(own, place),
            "retrieval": _recall(-_distances(place, own), names),
        }
    lead = {row: mean(agree["model"] - agree[row], names).record() for row in rows if row != "model"}
    return {"rows": told, "lead": lead}


def _distances(a: np.ndarray, b: np.ndarray) -> Float[np.ndarray, "n m"]:
    return np.sqrt(np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0.0))


def _recall(score: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    rank = ranks(score)
    return {"r1": mean((rank < 1).astype(float), names).record(), "r5": mean((rank < 5).astype(float), names).record()}
