"""Birds without names: pictures of one to three birds of species that nobody has named, and the song of each.

Item i of (seed, split, law) is a pure function of these. Which species there are does not depend on the seed: a split
has its own (`bird_laws.SPLITS`), so those of `val` and `test` are never met in `train`. How a bird sings follows from
how it looks by a hidden law (`bird_laws`), up to its scatter. Files are those of `scenes`, so that whatever reads
scenes reads birds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .. import media
from ..senses import Image, InputError, Sound
from . import bird_laws, bird_places, bird_songs, making, noises, scenes
from .bird_bodies import Pose

VERSION = 1
PER_SHARD = 32
SIZE = (0.17, 0.5)  # of a body's length in the picture's side
FIELD_DEG = (6.0, 14.0)  # of view: a long lens
BED_DB = (18.0, 34.0)  # dB SPL of the air in the open
PHOTOS = (".jpg", ".jpeg", ".png", ".webp")
MOST_PHOTOS = 20_000

Rng = np.random.Generator


@dataclass(frozen=True)
class World:
    """What determines every byte of a world, together with the photos in `photos` ("" for none)."""

    seed: int
    split: str
    side: int
    seconds: float
    law: str
    photos: str
    per_shard: int = PER_SHARD
    version: int = VERSION
    laws: int = bird_laws.VERSION

    def rng(self, index: int) -> Rng:
        """The random stream of one item; the same pictures for either law."""
        number = list(bird_laws.SPLITS).index(self.split)
        return np.random.default_rng(np.random.SeedSequence([self.seed, number, index]))


def loudness(length_m: float) -> float:
    """dB SPL of the loudest second of a song at 1 m: 82 at 18 cm, and 20 lg of the length more.

    Songbirds sing at 80 to 95 dB (Brackenbury 1979, J. Comp. Physiol. A 132, 115); the slope is this world's own.
    """
    return 82.0 + 20.0 * math.log10(length_m / 0.18)


# --- plans -----------------------------------------------------------------------------------------------------------


def _pose(rng: Rng, perch: str) -> Pose:
    side = 0.0 if rng.random() < 0.5 else 180.0
    return Pose(
        rise=float(rng.uniform(8, 35) if perch == "ground" else rng.uniform(18, 55)),
        head=float(rng.normal(7, 8)),
        yaw=side + float(np.clip(rng.normal(0, 22), -50, 50)),
        pitch=float(rng.uniform(-8, 14)),
        gape=float(max(0.0, rng.uniform(-10, 18))),
        tail=float(rng.normal(-2, 8)),
        seed=int(rng.integers(2**31)),
    )


def _birds(rng: Rng, looks: list[dict[str, float]]) -> tuple[bird_places.Bird, ...]:
    """Birds side by side, smaller where there are more, far (small) ones first."""
    count = len(looks)
    ground = rng.random() < 0.3
    middles = (np.arange(count) + 0.5) / count + rng.uniform(-0.1, 0.1, count) / count**0.5
    made = []
    for look, x in zip(looks, rng.permutation(middles), strict=True):
        perch = "ground" if ground else str(rng.choice(["branch", "post"], p=[0.85, 0.15]))
        low, high = SIZE[0], SIZE[1] / (1, 1.45, 1.9)[count - 1]
        # In one place large birds look larger, as far as the picture allows.
        size = float(np.exp(rng.uniform(math.log(low), math.log(high)) + 0.35 * math.log(look["length_m"] / 0.18)))
        size = min(max(size, low), high)
        # Heads stay in the picture, and feet on the ground.
        x = float(np.clip(x, 0.5 * size, 1 - 0.5 * size))
        y = float(rng.uniform(0.68, 0.93) if ground else max(rng.uniform(0.45, 0.85), min(0.95, 1.5 * size)))
        made.append(bird_places.Bird(look, _pose(rng, perch), size, x, y, perch, float(rng.uniform(0, 0.6))))
    return tuple(sorted(made, key=lambda bird: bird.y if ground else bird.size))


@dataclass(frozen=True, eq=False)
class _Singer:
    number: int
    look: dict[str, float]
    song: bird_laws.Song


def _singers(rng: Rng, split: str, law: str) -> list[_Singer]:
    """One to three individuals of different species of a split."""
    count = int(rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15]))
    span = bird_laws.SPLITS[split]
    numbers = rng.choice(len(span), count, replace=False) + span.start
    return [_Singer(int(n), *bird_laws.individual(bird_laws.species(int(n), law), rng)) for n in numbers]


def plan(rng: Rng, looks: list[dict[str, float]], photo: Image | None = None) -> bird_places.Plan:
    """A picture of birds that look like this (`bird_laws.traits`), at random; its birds may come in another order."""
    birds = _birds(rng, looks)
    ground = birds[0].perch == "ground"
    share = [0.0, 0.65, 0.35, 0.0] if ground else [0.6, 0.16, 0.06, 0.18]
    place = str(rng.choice(bird_places.PLACES, p=share))
    light = str(rng.choice(bird_places.LIGHTS, p=[0.45, 0.3, 0.18, 0.07]))
    focus = float(np.exp(rng.uniform(math.log(0.003), math.log(0.02 if ground else 0.04))))
    return bird_places.Plan(int(rng.integers(2**31)), light, place, birds, focus, bool(rng.random() < 0.5), photo)


def portrait(look: Mapping[str, float], side: int) -> Image:
    """A bird that looks like this (`bird_laws.traits`) as a field guide shows it: always in one pose, place and light.

    Larger birds are larger in the picture, though less so than they are.
    """
    pose = Pose(rise=30.0, head=6.0, yaw=0.0, pitch=3.0, gape=0.0, tail=-2.0, seed=7)
    size = float(np.clip(0.36 * (look["length_m"] / 0.18) ** 0.4, 0.24, SIZE[1]))
    bird = bird_places.Bird(dict(look), pose, size, 0.5, 0.72, "branch", 0.0)
    return bird_places.draw(bird_places.Plan(5, "cloudy", "sky", (bird,), 0.03), side)[0]


# --- examples --------------------------------------------------------------------------------------------------------


def item(world: World, index: int) -> tuple[str, dict[str, bytes]]:
    """Item `index`: its key and the bytes of its files (`scenes.files`); a stem for each bird, then the bed.

    truth["sources"] tells of each bird, in the order of masks and sounds: kind "bird"; its species' number;
    `parameters`, its traits in their units; `song`, the parameters of its song; `sung`, what this rendition was;
    distance_m; level_db (dB SPL of its loudest second at the listener, before the air takes treble); where it is seen.
    A sample times truth["scale"] times 2 Pa is sound pressure.
    """
    rng = world.rng(index)
    photo = _photo(rng, world.photos)
    while True:
        singers = _singers(rng, world.split, world.law)
        what = plan(rng, [singer.look for singer in singers], photo)
        picture, masks = bird_places.draw(what, world.side)
        if scenes.seen(masks):
            break
    field = float(rng.uniform(*FIELD_DEG))
    stems, sources = [], []
    for bird, where in zip(what.birds, scenes.where(masks), strict=True):
        singer = next(one for one in singers if one.look is bird.traits)
        away = singer.look["length_m"] / bird.size / (2 * math.tan(math.radians(field) / 2))
        echo = float(rng.uniform(-30, -16)) if rng.random() < 0.5 else None
        wave, sung = bird_songs.sing(
            singer.song, world.seconds, np.random.default_rng(rng.integers(2**31)), echo_db=echo
        )
        level = loudness(singer.look["length_m"]) - 20 * math.log10(away)
        stems.append(_heard(wave, level, away))
        sources.append(
            {"kind": "bird", "species": singer.number, "parameters": singer.look, "song": asdict(singer.song),
             "sung": sung._asdict(), "pose": asdict(bird.pose), "perch": bird.perch, "distance_m": away,
             "level_db": level} | where
        )  # fmt: skip
    bed = float(rng.uniform(*BED_DB))
    stems.append(noises.bed(world.seconds, int(rng.integers(2**31)), bed))
    truth = {
        "key": f"{world.split}-{world.seed}-{index:07d}", "split": world.split, "seed": world.seed, "index": index,
        "law": world.law, "place": what.place if photo is None else "photo", "light": what.light,
        "field_deg": field, "sources": sources, "bed_db": bed,
    }  # fmt: skip
    quality = int(rng.integers(60, 96))
    return str(truth["key"]), scenes.files(np.asarray(picture.pixels), masks, stems, truth, quality)


def _heard(wave: np.ndarray, level: float, metres: float) -> Sound:
    """A song at its level, without the treble that so many metres of air take."""
    loud = noises.REFERENCE * 10 ** (level / 20) / max(noises.loudest_second(wave, bird_songs.RATE), 1e-30)
    size = noises._fast(len(wave))
    loss = noises.air_loss(np.fft.rfftfreq(size, 1 / bird_songs.RATE), metres)
    dull = np.fft.irfft(np.fft.rfft(wave, size) * 10 ** (-loss / 20), size)[: len(wave)]
    return Sound((dull * (loud / noises.FULL_SCALE)).astype(np.float32), bird_songs.RATE)


def _photo(rng: Rng, folder: str) -> Image | None:
    """A photo for the background, of half of the pictures when there is a folder of them."""
    if not folder:
        return None
    found = _photos(folder)
    path = found[int(rng.integers(len(found)))]
    return media.read_image(path) if rng.random() < 0.5 else None


def _photos(folder: str) -> list[Path]:
    path = Path(folder)
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in PHOTOS) if path.is_dir() else []
    if not found or len(found) > MOST_PHOTOS:
        raise InputError(f"{folder} is not a folder of 1 to {MOST_PHOTOS} photos ({', '.join(PHOTOS)}).")
    return found


def generate(
    n: int,
    seed: int,
    out: str | Path,
    split: str = "train",
    workers: int | None = None,
    side: int = 224,
    seconds: float = 5.0,
    law: str = "a",
    photos: str | Path | None = None,
    per_shard: int = PER_SHARD,
    progress: bool = True,
) -> list[Path]:
    """Make pictures 0 to n - 1 of (seed, split, law) in the folder `out` as tar shards; returns the shards' paths.

    Resumes, and depends on neither workers nor kills, as `scenes.generate` does. `photos` is a folder of photos without
    birds, the background of half of the pictures. InputError for what no world can have.
    """
    if split not in bird_laws.SPLITS:
        raise InputError(f"A split is one of {', '.join(bird_laws.SPLITS)}, not {split!r}.")
    if law not in bird_laws.LAWS:
        raise InputError(f"A law is one of {', '.join(bird_laws.LAWS)}, not {law!r}.")
    scenes.check(n, seed, workers, side, seconds, per_shard)
    if photos is not None:
        _photos(str(photos))
    world = World(int(seed), split, int(side), float(seconds), law, str(photos or ""), int(per_shard))
    return making.make(world, item, n, Path(out), workers, progress)
