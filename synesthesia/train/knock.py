"""How `knock/tiny` is trained: eyes by distillation, the physics adapter on worlds, real photos, the codebook.

Each stage is a function of its own with its own checkpoint folder; together they are `runs/knock_tiny.sh`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..bridges.knock import ANCHORS, KINDS, LINES, MATTER_MEAN, MATTER_SCALE, Knock, KnockConfig, given_vector
from ..encoders.vision import EyesConfig
from ..senses import SUPPORTS, Example
from ..shards import examples
from .distil import Distiller, Lessons, ask, distil, jitter, study
from .loop import LoopConfig, fit


@dataclass(frozen=True, eq=False)
class World:
    """A world in memory, one row per picture; strikes are (rows, P, ...), lines beyond an object's last are NaN."""

    pictures: np.ndarray  # (n, side, side, 3) uint8
    surround: np.ndarray  # (n, side/4, side/4) bool: where the object is not
    matter: np.ndarray  # (n, 7) in the units of the network
    scalars: np.ndarray  # (n, 4): log size, log wall/size, hollow, log fill
    support: np.ndarray  # (n,) index into SUPPORTS
    log_frequency: np.ndarray  # (n, LINES)
    log_loss: np.ndarray  # (n, LINES) total
    place: np.ndarray  # (n, P, 2)
    normal: np.ndarray  # (n, P, 3)
    log_gain: np.ndarray  # (n, P, LINES)
    shape_key: np.ndarray  # (n,) str
    truth: tuple[dict[str, Any], ...]

    def __len__(self) -> int:
        return len(self.pictures)


def matter_vector(truth: dict[str, Any]) -> np.ndarray:
    """What a material is, as the network learns it, from an example's truth."""
    noise = truth["noise"]
    raw = [np.log(truth["wave_speed"]), np.log(truth["density"]), np.log(truth["loss"]), truth["loss_slope"]]
    raw += [np.log(noise["relative"]), np.log(noise["seconds"]), np.log(noise["hz"])]
    return ((np.array(raw) - MATTER_MEAN) / MATTER_SCALE).astype(np.float32)


def gather(items: Iterable[Example]) -> World:
    """Read a world's examples into arrays."""
    rows: list[tuple[Any, ...]] = []
    for e in items:
        t: dict[str, Any] = e.truth
        a = e.arrays
        lines = min(LINES, len(a["frequency"]))

        def pad(x: np.ndarray, lines: int = lines) -> np.ndarray:
            out = np.full((*x.shape[:-1], LINES), np.nan, np.float32)
            out[..., :lines] = x[..., :lines]
            return out

        f = a["frequency"].astype(np.float64)
        mask = a["mask"][2::4, 2::4] != 1
        fill = t["volume"] / t["size"] ** 3
        scalars = [np.log(t["size"]), np.log(t["wall"] / t["size"]), float(t["hollow"]), np.log(fill)]
        rows.append((
            np.asarray(e.image.pixels), mask, matter_vector(t), np.array(scalars, np.float32),
            SUPPORTS.index(t["support"]), pad(np.log(f)), pad(np.log(2.2 / (f * a["t60"]))),
            a["strike_xy"].astype(np.float32), a["strike_normal"].astype(np.float32),
            pad(np.log(np.maximum(a["gain"].astype(np.float64), 1e-12))), str(t["shape_key"]), t,
        ))  # fmt: skip
    columns = list(zip(*rows, strict=True))
    return World(*[np.stack(c) if k < 10 else np.array(c) for k, c in enumerate(columns[:-1])], columns[-1])  # type: ignore[arg-type]


def read_world(path: Path) -> World:
    """A folder of shards."""
    return gather(examples(path, only={"jpg", "json", "safetensors", "mask.png"}))


def batch(
    world: World, rng: np.random.Generator, pictures: int, clicks: int, size: int, crop: bool = True
) -> dict[str, Any]:
    """Random pictures, cropped and mirrored with their truth; `clicks` strikes on each, some beside the object."""
    rows = rng.choice(len(world), pictures, replace=len(world) < pictures)
    x = torch.from_numpy(world.pictures[rows]).permute(0, 3, 1, 2).float() / 255
    which = np.stack([rng.permutation(world.place.shape[1])[:clicks] for _ in rows])
    place = np.take_along_axis(world.place[rows], which[..., None], 1).copy()
    normal = np.take_along_axis(world.normal[rows], which[..., None], 1).copy()
    gain = np.take_along_axis(world.log_gain[rows], which[..., None], 1)
    off_rows, off_place = [], []
    for i in range(0, pictures, 4):
        free = np.argwhere(world.surround[rows[i]])
        if len(free):
            y, z = free[rng.integers(len(free))]
            off_rows.append(i)
            off_place.append(((z + 0.5) / world.surround.shape[2], (y + 0.5) / world.surround.shape[1]))
    beside = np.array(off_place, np.float32).reshape(-1, 2)
    if crop and rng.random() < 0.7:
        zoom = float(rng.uniform(0.72, 1.0))
        corner = rng.uniform(0, 1 - zoom, 2)
        side = x.shape[-1]
        x0, y0, w = round(corner[0] * side), round(corner[1] * side), round(zoom * side)
        x = x[:, :, y0 : y0 + w, x0 : x0 + w]
        place, beside = ((p - np.array([x0, y0]) / side) * (side / w) for p in (place, beside))
    if rng.random() < 0.5:
        x = x.flip(-1)
        place[..., 0], beside[..., 0], normal[..., 0] = 1 - place[..., 0], 1 - beside[..., 0], -normal[..., 0]
    if x.shape[-1] != size:
        x = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
    owner = np.concatenate([np.repeat(np.arange(pictures), clicks), np.array(off_rows, int)])
    click = np.concatenate([place.reshape(-1, 2), beside]).astype(np.float32)
    inside = np.logical_and(click >= 0, click <= 1).all(axis=1)
    on = np.arange(len(owner)) < pictures * clicks
    kept = np.asarray(inside)[: pictures * clicks]
    return {
        "x": x, "owner": owner[inside], "row": rows[owner[inside]],
        "click": torch.from_numpy(click[inside].astype(np.float32)), "on": torch.from_numpy(on[inside]),
        "normal": torch.from_numpy(normal.reshape(-1, 3)[kept]),
        "gain": torch.from_numpy(gain.reshape(-1, LINES)[kept]),
    }  # fmt: skip


def mixture_loss(out: dict[str, torch.Tensor], matter: torch.Tensor, sigma: float = 0.18) -> torch.Tensor:
    """−log of the mixture's density at the truth, up to a constant, per click."""
    distance = ((out["means"] - matter[:, None]) / sigma).square().sum(-1).clamp_max(400.0)
    return -torch.logsumexp(F.log_softmax(out["kind"], -1) - 0.5 * distance, -1)


def world_loss(
    model: Knock, world: World, rng: np.random.Generator, g: torch.Generator, pictures: int, clicks: int, size: int
) -> dict[str, torch.Tensor]:
    """All that a world knows about a click, against what the tokens say."""
    b = batch(world, rng, pictures, clicks, size)
    maps = model.eyes(jitter(b["x"], g).contiguous(memory_format=torch.channels_last))
    owner = torch.from_numpy(b["owner"])
    rows, n = b["row"], len(b["row"])
    log_size, log_wall = world.scalars[rows, 0], world.scalars[rows, 1]
    know_size, know_wall, know_support = rng.random(n) < 0.4, rng.random(n) < 0.3, rng.random(n) < 0.4
    blank = np.float32(np.nan)
    given = given_vector(
        n, np.exp(rng.normal(0, 0.05, n)), np.where(know_size, np.exp(log_size), blank),
        np.where(know_wall, np.exp(log_size + log_wall), blank), np.where(know_support, world.support[rows], -1),
    )  # fmt: skip
    out = model.thinker([m[owner] for m in maps], b["click"], given)
    on = b["on"]
    loss = {"struck": F.binary_cross_entropy_with_logits(out["struck"], on.float())}
    o = {k: v[on] for k, v in out.items() if k != "matter_token"}
    r = rows[on.numpy()]

    def t(x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(x[r]))

    matter, scalars = t(world.matter), t(world.scalars)
    loss["matter"] = 0.5 * mixture_loss(o, matter).mean()
    unknown = torch.from_numpy(~know_size[on.numpy()]).float()
    std = o["log_size_std"].exp()
    miss = (o["log_size"] - scalars[:, 0]) / std
    loss["size"] = 0.3 * ((0.5 * miss.square() + o["log_size_std"]) * unknown).mean()
    loss["wall"] = 0.5 * F.smooth_l1_loss(o["log_wall"], scalars[:, 1], beta=0.1)
    loss["fill"] = 0.5 * F.smooth_l1_loss(o["log_fill"], scalars[:, 3], beta=0.1)
    loss["hollow"] = 0.3 * F.binary_cross_entropy_with_logits(o["hollow"], scalars[:, 2])
    loss["support"] = 0.2 * F.cross_entropy(o["support"], t(world.support))
    loss["normal"] = 0.3 * (1 - (o["normal"] * b["normal"]).sum(-1)).mean()

    # Lines: dimensionless frequencies f·size/c, matched in order (optimal transport on a line).
    speed = matter[:, 0] * float(MATTER_SCALE[0]) + float(MATTER_MEAN[0])
    shape = t(world.log_frequency) + (scalars[:, 0] - speed)[:, None]
    have = ~shape.isnan()
    weight = have.float() / (1 + 0.15 * torch.arange(LINES))
    gap = (o["log_shape"] - shape.nan_to_num(0.0)).abs()
    loss["first"] = 1.5 * gap[:, 0].mean()
    rise = ((o["log_shape"] - o["log_shape"][:, :1]) - (shape - shape[:, :1]).nan_to_num(0.0)).abs()
    loss["ratios"] = 2.0 * (rise * weight).sum() / weight.sum()
    with torch.no_grad():
        believed = o["matter"][:, 0] * float(MATTER_SCALE[0]) + float(MATTER_MEAN[0])
        off = (o["log_shape"][:, 0] - shape[:, 0]) + (believed - speed) - (o["log_size"] - scalars[:, 0]) * unknown
    loss["spread"] = 0.1 * (off.abs() / o["log_spread"].exp() + o["log_spread"]).clamp_max(20).mean()

    # Losses beside the material's own, at the true frequencies.
    hertz = t(world.log_frequency).nan_to_num(6.0)
    eta, slope = (matter[:, k, None] * float(MATTER_SCALE[k]) + float(MATTER_MEAN[k]) for k in (2, 3))
    own = torch.exp(eta + slope * (hertz - np.log(1000.0)))
    total = torch.log(own + interpolate(o["log_extra"], hertz).exp())
    gain = b["gain"]
    top = gain.nan_to_num(-50).amax(-1, keepdim=True)
    loud = have.float() * (0.1 + torch.sigmoid((gain.nan_to_num(-50) - top) + 3.0))
    loss["decay"] = 0.7 * ((total - t(world.log_loss).nan_to_num(0.0)).abs() * loud).sum() / loud.sum()

    # Gains: level, and the pattern over lines within 60 dB of the loudest.
    target = torch.maximum(gain.nan_to_num(-50), top - 7)
    level = 0.5 * torch.logsumexp(2 * target.masked_fill(~have, -50), -1, keepdim=True)
    guess = torch.maximum(o["log_gain"], top - 9)
    guessed = 0.5 * torch.logsumexp(2 * o["log_gain"].masked_fill(~have, -50), -1, keepdim=True)
    loss["level"] = 0.2 * (guessed - level).abs().mean()
    loss["gain"] = 0.4 * (((guess - guessed) - (target - level)).abs() * loud).sum() / loud.sum()
    return loss


def interpolate(values: torch.Tensor, log_f: torch.Tensor) -> torch.Tensor:
    """`values` (n, anchors) at ANCHORS, linear in log f, at `log_f` (n, lines)."""
    low, step = float(np.log(ANCHORS[0])), float(np.log(ANCHORS[1] / ANCHORS[0]))
    at = ((log_f - low) / step).clamp(0, len(ANCHORS) - 1 - 1e-4)
    left = at.long()
    part = at - left
    return values.gather(1, left) * (1 - part) + values.gather(1, left + 1) * part


def centres(matter: np.ndarray, count: int = KINDS, seed: int = 0) -> np.ndarray:
    """k-means over the world's materials (numbers, not names): where the mixture's components stand."""
    rng = np.random.default_rng(seed)
    chosen = [matter[rng.integers(len(matter))]]
    for _ in range(count - 1):
        far = np.min([((matter - c) ** 2).sum(1) for c in chosen], 0)
        chosen.append(matter[rng.choice(len(matter), p=far / far.sum())])
    out = np.stack(chosen)
    for _ in range(50):
        nearest = ((matter[:, None] - out[None]) ** 2).sum(-1).argmin(1)
        for k in range(count):
            if (nearest == k).any():
                out[k] = matter[nearest == k].mean(0)
    return out.astype(np.float32)


# --- real photos -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Photos:
    """Real photos of one material each: pixels (n, side, side, 3), and which material each is paired with."""

    pixels: np.ndarray
    material: np.ndarray
    names: tuple[str, ...]


def held_out(path: Path) -> bool:
    """Whether a photo belongs to the test blocks: twenty consecutive file numbers in a hundred."""
    return int("".join(c for c in path.stem if c.isdigit())) // 20 % 5 == 0


def read_photos(folder: Path, side: int, test: bool = False) -> Photos:
    """`folder/<material>/*.jpg`, train blocks or test blocks."""
    from PIL import Image as Pil

    names = tuple(sorted(p.name for p in folder.iterdir() if p.is_dir()))
    pixels, material = [], []
    for k, name in enumerate(names):
        for path in sorted((folder / name).glob("*.jpg")):
            if held_out(path) == test:
                with Pil.open(path) as photo:
                    pixels.append(
                        np.asarray(photo.convert("RGB").resize((side, side), Pil.Resampling.BICUBIC, reducing_gap=3.0))
                    )
                material.append(k)
    return Photos(np.stack(pixels), np.array(material), names)


def photo_loss(
    model: Knock,
    photos: Photos,
    sounds: Sequence[np.ndarray],
    rng: np.random.Generator,
    g: torch.Generator,
    count: int,
    size: int,
) -> dict[str, torch.Tensor]:
    """A photo paired with a sound of its material: the matter token must say what that sound's material is.

    `sounds[k]` holds matter vectors (m, 7) of strikes on the k-th material. Balanced over materials; the click is
    anywhere in the middle.
    """
    material = rng.integers(len(photos.names), size=count)
    rows = np.array([rng.choice(np.flatnonzero(photos.material == k)) for k in material])
    x = torch.from_numpy(photos.pixels[rows]).permute(0, 3, 1, 2).float() / 255
    click = rng.uniform(0.3, 0.7, (count, 2)).astype(np.float32)
    side = x.shape[-1]
    out = []
    for i in range(count):
        zoom = float(rng.uniform(0.6, 1.0))
        w = round(zoom * side)
        low = np.maximum(0, np.ceil(click[i] * side - w + 8)).astype(int)
        high = np.minimum(side - w, np.floor(click[i] * side - 8)).astype(int)
        x0, y0 = (int(rng.integers(a, max(a, b) + 1)) for a, b in zip(low, high, strict=True))
        part = x[i : i + 1, :, y0 : y0 + w, x0 : x0 + w]
        click[i] = np.clip((click[i] * side - (x0, y0)) / w, 0, 1)
        turn = int(rng.integers(4))
        part = torch.rot90(part, turn, (2, 3))
        for _ in range(turn):  # a quarter turn counter-clockwise takes (x, y) to (y, 1 − x)
            click[i] = (click[i, 1], 1 - click[i, 0])
        if rng.random() < 0.5:
            part = part.flip(-1)
            click[i, 0] = 1 - click[i, 0]
        out.append(F.interpolate(part, (size, size), mode="bilinear", antialias=True))
    x = jitter(torch.cat(out), g)
    target = torch.from_numpy(np.stack([sounds[k][rng.integers(len(sounds[k]))] for k in material]))
    support = np.where(rng.random(count) < 0.5, rng.integers(0, 3, count), -1)
    given = given_vector(count, np.exp(rng.normal(0.2, 0.1, count)), None, None, support)
    o = model.thinker(model.eyes(x.contiguous(memory_format=torch.channels_last)), torch.from_numpy(click), given)
    return {"photos": 0.6 * mixture_loss(o, target).mean(), "photos_struck": 0.1 * F.softplus(-o["struck"]).mean()}


class Trained(nn.Module):
    """What a stage updates: the model, and the distillation read-outs when photos are kept in mind."""

    def __init__(self, model: Knock, student: Distiller | None) -> None:
        super().__init__()
        self.model = model
        self.heads = student.heads if student else None


# --- stages ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KnockRun:
    """Everything that a training run of `knock` is. Steps count batches; sizes are sides in pixels."""

    eye_steps: int = 1300
    world_steps: int = 3000
    photo_steps: int = 500
    code_steps: int = 1200
    pictures: int = 40
    clicks: int = 2
    photos: int = 12
    size: int = 128
    seed: int = 0


def tiny() -> KnockRun:
    """The run meant for `knock/tiny`; its first weights were cut short and took detours (docs/log.md)."""
    return KnockRun()


def adapt(
    model: Knock,
    world: World,
    folder: Path,
    run: KnockRun,
    steps: int,
    lr: float,
    *,
    lessons: Lessons | None = None,
    student: Distiller | None = None,
    photos: Photos | None = None,
    sounds: Sequence[np.ndarray] = (),
) -> Knock:
    """Train eyes and thinker on a world; `lessons` keep the teacher in mind, `photos` teach by pairs."""
    trained = Trained(model, student).to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([run.seed, 11, step])
        terms = world_loss(model, world, rng, g, run.pictures, run.clicks, run.size)
        if student is not None and lessons is not None:
            answers = study(student, lessons, rng, g, run.photos, run.size)
            terms["lessons"] = 0.5 * torch.stack(list(answers.values())).sum()
        if photos is not None:
            terms |= photo_loss(model, photos, sounds, rng, g, 2 * run.photos, run.size)
        return terms

    slow = list(model.eyes.parameters())
    ids = {id(p) for p in slow}
    # The ears, the codebook and the code's direction are learned later, from what the tokens have become.
    late = {id(p) for m in (model.ears, model.thinker.code) for p in m.parameters()} | {id(model.thinker.codebook)}
    rest = [p for p in trained.parameters() if id(p) not in ids | late]
    groups: list[dict[str, object]] = [{"params": slow, "lr": lr}, {"params": rest, "lr": lr}]
    fit(trained, loss, LoopConfig(steps=steps, lr=lr, seed=run.seed, checkpoint_every=200), folder, groups=groups)
    return model


@torch.inference_mode()
def tokens_of(
    model: Knock, world: World, clicks: int, size: int, seed: int
) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Matter tokens of `clicks` strikes on every picture, with the row and strike each belongs to."""
    rng = np.random.default_rng(seed)
    tokens, rows, strikes = [], [], []
    for start in range(0, len(world), 64):
        part = np.arange(start, min(start + 64, len(world)))
        x = torch.from_numpy(world.pictures[part]).permute(0, 3, 1, 2).float() / 255
        maps = model.eyes(F.interpolate(x, (size, size), mode="bilinear", antialias=True))
        for _ in range(clicks):
            which = rng.integers(world.place.shape[1], size=len(part))
            click = torch.from_numpy(world.place[part, which])
            tokens.append(model.thinker(maps, click, given_vector(len(part), np.ones(len(part))))["matter_token"])
            rows.append(part)
            strikes.append(which)
    return torch.cat(tokens), np.concatenate(rows), np.concatenate(strikes)


def strikes_heard(world: World, rows: np.ndarray, strikes: np.ndarray, seed: int) -> torch.Tensor:
    """Log-mel pictures (n, bands, frames) of true strikes with random mallets, made from the world's modal truth."""
    from ..encoders.audio import RATE, SECONDS, log_mel
    from ..physics import strike as contact
    from ..physics.bank import contact_noise, modal_bank

    rng = np.random.default_rng(seed)
    n = int(RATE * SECONDS)
    out = []
    for start in range(0, len(rows), 64):
        r, p = rows[start : start + 64], strikes[start : start + 64]
        f = np.exp(world.log_frequency[r].astype(np.float64))
        gone = np.isnan(f) | (f > 0.48 * RATE)
        f = np.where(gone, 100.0, f)
        decay = np.log(1000.0) * f * np.exp(np.nan_to_num(world.log_loss[r], nan=-3.0)) / 2.2
        hardness = np.exp(rng.uniform(np.log(3e8), np.log(2e11), len(r)))
        e, m = (np.array([world.truth[i][name] for i in r]) for name in ("youngs_modulus", "mass"))
        touch = contact.hertz_seconds(hardness, e, m)
        gain = np.where(gone, 0.0, np.exp(np.nan_to_num(world.log_gain[r, p], nan=-50.0).astype(np.float64)))
        amplitude = gain * contact.contact_spectrum(f, touch[:, None])
        waves = modal_bank(torch.from_numpy(f), torch.from_numpy(decay), torch.from_numpy(amplitude), n, RATE).numpy()
        for i, row in enumerate(r):
            noise = world.truth[row]["noise"]
            level = float(np.sqrt(np.sum(np.abs(amplitude[i]) ** 2)))
            burst = contact_noise(
                level * noise["relative"],
                noise["seconds"],
                noise["hz"],
                n,
                RATE,
                int(rng.integers(2**31)),
                touch[i] / 3,
            )
            waves[i] += burst
        out.append(log_mel(torch.from_numpy(waves.astype(np.float32))).half())
    return torch.cat(out)


def sinkhorn(scores: torch.Tensor, rounds: int = 3) -> torch.Tensor:
    """Balanced assignments (Caron et al., SwAV, NeurIPS 2020, §3.1): every row sums to 1, every column to the same."""
    q = torch.exp((scores - scores.max()) / 0.05)
    for _ in range(rounds):
        q = q / q.sum(0, keepdim=True)
        q = q / q.sum(1, keepdim=True)
    return q


def learn_codes(
    model: Knock, tokens: torch.Tensor, mels: torch.Tensor, folder: Path, run: KnockRun, batch_size: int = 256
) -> Knock:
    """The material codebook: picture and sound of a strike must choose the same entry, all entries in use; no labels.

    Swapped prediction across senses; sounds are shifted in pitch (along the log-mel axis) and never show their level.
    """
    book = model.thinker.codebook
    part = nn.ModuleList([model.ears, model.thinker.code])
    holder = nn.ParameterDict({"codebook": book})
    both = nn.ModuleDict({"part": part, "holder": holder})
    queue: list[torch.Tensor] = []

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        rows = torch.randint(len(tokens), (batch_size,), generator=g)
        mel = mels[rows].float()
        shift = int(torch.randint(-5, 6, (1,), generator=g))
        mel = F.pad(mel, (0, 0, max(shift, 0), max(-shift, 0)), value=-14.0)
        mel = mel[:, max(-shift, 0) : max(-shift, 0) + mels.shape[1]]
        c = F.normalize(book, dim=-1)
        seen = F.normalize(
            model.thinker.code(tokens[rows] + 0.05 * torch.randn(tokens[rows].shape, generator=g)), dim=-1
        )
        heard = model.ears(mel)
        with torch.no_grad():
            queue.append(torch.stack([seen, heard]))
            del queue[:-8]
            q = [sinkhorn(torch.cat([x[k] for x in queue]) @ c.T)[-batch_size:] for k in range(2)]
        terms = {}
        for name, x, target in (("seen", seen, q[1]), ("heard", heard, q[0])):
            terms[name] = -(target * F.log_softmax(x @ c.T / 0.1, -1)).sum(-1).mean()
        return terms

    fit(
        both,
        loss,
        LoopConfig(steps=run.code_steps, lr=2e-3, seed=run.seed, weight_decay=1e-3, checkpoint_every=200),
        folder,
    )
    return model


@torch.inference_mode()
def set_prototypes(model: Knock, tokens: torch.Tensor, matter: np.ndarray) -> np.ndarray:
    """What each code means: the material nearest to the middle of those that pictures put there. Returns the usage."""
    c = F.normalize(model.thinker.codebook, dim=-1)
    codes = (F.normalize(model.thinker.code(tokens), dim=-1) @ c.T).argmax(-1).numpy()
    middle = np.median(matter, 0)
    for k in range(len(c)):
        mine = matter[codes == k]
        if len(mine):
            middle = np.median(mine, 0)
            middle = mine[((mine - middle) ** 2).sum(1).argmin()]
        model.thinker.prototypes[k] = torch.from_numpy(middle.astype(np.float32))
    return np.bincount(codes, minlength=len(c)) / len(codes)


@torch.inference_mode()
def calibrate(model: Knock, world: World, size: int) -> tuple[float, float]:
    """Factors on the standard deviation of log f₁ so that 80 % intervals hold 80 % of `world`: size unknown, given."""
    factors = []
    for known in (False, True):
        ratios = []
        for start in range(0, len(world), 64):
            part = np.arange(start, min(start + 64, len(world)))
            x = torch.from_numpy(world.pictures[part]).permute(0, 3, 1, 2).float() / 255
            maps = model.eyes(F.interpolate(x, (size, size), mode="bilinear", antialias=True))
            given = given_vector(len(part), np.ones(len(part)), np.exp(world.scalars[part, 0]) if known else None)
            o = model.thinker(maps, torch.from_numpy(world.place[part, 0]), given)
            speed = o["matter"][:, 0].numpy() * MATTER_SCALE[0] + MATTER_MEAN[0]
            size_ = world.scalars[part, 0] if known else o["log_size"].numpy()
            guess = o["log_shape"][:, 0].numpy() + speed - size_
            ratios.append(np.abs(guess - world.log_frequency[part, 0]) / np.exp(o["log_spread"].numpy()))
        factors.append(float(np.quantile(np.concatenate(ratios), 0.8) / 1.2816))
    return factors[0], factors[1]


# Which of the world's materials a photo of the paired folder may sound like.
PAIRS: dict[str, tuple[str, ...]] = {
    "cardboard": ("cardboard", "corrugated"),
    "glass": ("glass",),
    "metal": ("aluminium", "steel", "iron", "titanium", "brass", "copper", "bronze"),
    "paper": ("paper",),
    "plastic": ("hard_plastic", "pet", "polycarbonate", "acrylic", "soft_plastic"),
}


def paired(world: World, name: str) -> np.ndarray:
    """Rows of the world whose material a photo of the folder `name` is paired with; both ends of a blend must fit."""
    allowed = PAIRS[name]
    ok = [all(part in allowed for part in str(t["material"]).split(":")[0].split("~")) for t in world.truth]
    return np.flatnonzero(ok)


def train(
    world: Path,
    validation: Path,
    out: Path,
    photos: Path | None = None,
    teacher: Path | None = None,
    unlabelled: Path | None = None,
    run: KnockRun | None = None,
) -> Path:
    """Train `knock` and leave checkpoints in `out`: one per stage and the last, `out/final`.

    `world`, `validation`: folders of shards. `photos`: a folder per material, paired with sounds of that material.
    `teacher`: the TensorFlow Lite file to distil from, on `unlabelled` photos (or the train blocks of `photos`);
    without one the eyes start from nothing. Every stage resumes.
    """
    run = run or tiny()
    torch.manual_seed(run.seed)
    out.mkdir(parents=True, exist_ok=True)
    seen = read_world(world)
    print(f"{len(seen)} pictures of {len(set(seen.shape_key))} shapes")
    model = Knock(KnockConfig(EyesConfig(run.size)))
    model.thinker.centres.copy_(torch.from_numpy(centres(seen.matter, seed=run.seed)))
    lessons = student = None
    if teacher is not None:
        source = unlabelled or photos
        if source is None:
            raise ValueError("A teacher needs photos to speak about: give `photos` or `unlabelled`.")
        files = [p for p in sorted(source.rglob("*.jpg")) if source != photos or not held_out(p)]
        lessons = ask(teacher, files, max(1, 15000 // len(files)), run.size, run.seed, out / "lessons.safetensors")
        loop = LoopConfig(steps=run.eye_steps, lr=3e-3, seed=run.seed)
        student = distil(lessons, model.config.eyes, loop, 64, out / "eyes")
        model.eyes = student.eyes
    adapt(model, seen, out / "world", run, run.world_steps, 6e-4, lessons=lessons, student=student)
    finish(model, seen, validation, out / "world-codes", run, None)
    model.save(out / ("unlabelled" if photos is not None and teacher is not None else "simulation"))
    if photos is None:
        return model.save(out / "final")
    real = read_photos(photos, 192)
    rows = [paired(seen, name) for name in real.names]
    adapt(
        model,
        seen,
        out / "photos",
        run,
        run.photo_steps,
        4e-4,
        lessons=lessons,
        student=student,
        photos=real,
        sounds=[seen.matter[r] for r in rows],
    )
    finish(model, seen, validation, out / "photo-codes", run, real)
    return model.save(out / "final")


def finish(model: Knock, seen: World, validation: Path, folder: Path, run: KnockRun, photos: Photos | None) -> None:
    """Codebook, prototypes, and the calibration of the pitch interval, for a model whose tokens are done."""
    import dataclasses

    model.eval()
    tokens, rows, strikes = tokens_of(model, seen, 2, run.size, run.seed)
    mels = strikes_heard(seen, rows, strikes, run.seed)
    if photos is not None:
        more = photo_tokens(model, photos, run.size)
        rng = np.random.default_rng([run.seed, 5])
        partners = np.array([rng.choice(paired(seen, photos.names[k])) for k in photos.material])
        heard = strikes_heard(seen, partners, rng.integers(seen.place.shape[1], size=len(partners)), run.seed + 1)
        # A fifth of what the codebook learns from is real.
        again = np.resize(np.arange(len(more)), len(tokens) // 4)
        learn_codes(model, torch.cat([tokens, more[again]]), torch.cat([mels, heard[again]]), folder, run)
    else:
        learn_codes(model, tokens, mels, folder, run)
    usage = set_prototypes(model, tokens, seen.matter[rows])
    held = read_world(validation)
    model.config = dataclasses.replace(model.config, spread=calibrate(model, held, run.size))
    print(f"codes in use {np.sum(usage > 0.03)}, spread {model.config.spread}")


@torch.inference_mode()
def photo_tokens(model: Knock, photos: Photos, size: int) -> torch.Tensor:
    """Matter tokens of the middle of every photo."""
    out = []
    for start in range(0, len(photos.pixels), 64):
        x = torch.from_numpy(photos.pixels[start : start + 64]).permute(0, 3, 1, 2).float() / 255
        maps = model.eyes(F.interpolate(x, (size, size), mode="bilinear", antialias=True))
        out.append(
            model.thinker(maps, torch.full((len(x), 2), 0.5), given_vector(len(x), np.ones(len(x))))["matter_token"]
        )
    return torch.cat(out)
