"""How `knock/tiny` is trained: eyes by distillation, the physics adapter on worlds, then real photos.

Each stage is a function of its own with its own checkpoint folder; together they are `runs/knock_tiny.sh`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..bridges.knock import ANCHORS, KINDS, LINES, MATTER_MEAN, MATTER_SCALE, Knock, KnockConfig, given_vector
from ..encoders.vision import EyesConfig
from .codebook import learn_codes, set_prototypes, strikes_heard, tokens_of
from .distil import Distiller, Teacher, distil, jitter, lessons
from .knock_data import PROPORTIONS, Photos, World, batch, paired, read_photos, read_world
from .loop import LoopConfig, fit


class Helpers(nn.Module):
    """Read-outs that only training has: what each place of the maps shows, which sort of shape a body is, how drawn.

    A picture tells thousands of truths (the normal, the depth, the material of every pixel); two clicks ask for two.
    """

    def __init__(self, config: KnockConfig, families: int) -> None:
        super().__init__()
        w = config.eyes.widths
        self.geometry = nn.Conv2d(w[1], 5, 1)
        self.geometry16 = nn.Conv2d(w[2], 5, 1)
        self.matter = nn.Conv2d(w[2], KINDS, 1)
        self.matter32 = nn.Conv2d(w[3], KINDS, 1)
        self.family = nn.Linear(config.width, families)
        self.drawn = nn.Linear(config.width, families * PROPORTIONS)

    def dense_loss(
        self, maps: Sequence[torch.Tensor], truth: torch.Tensor, kind: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """`truth` (b, 5, h, w) as in `World.maps`; `kind` (b, KINDS) the share of each component in the material."""
        terms = {}
        for name, m, head in (("geometry8", maps[0], self.geometry), ("geometry16", maps[1], self.geometry16)):
            t = F.interpolate(truth, m.shape[-2:], mode="area")
            guess = head(m)
            on = (t[:, 3:4] > 0.5).float()
            normal = 1 - F.cosine_similarity(guess[:, :3], t[:, :3], dim=1)
            ground = (t[:, :3].square().sum(1) > 0.25).float()
            relief = F.smooth_l1_loss(guess[:, 4], t[:, 4], reduction="none", beta=0.1)
            term = 0.3 * (normal * on[:, 0]).sum() / on.sum().clamp_min(1)
            term = term + 0.3 * (relief * ground).sum() / ground.sum().clamp_min(1)
            terms[name] = term + 0.3 * F.binary_cross_entropy_with_logits(guess[:, 3:4], t[:, 3:4])
        for name, m, head in (("matter16", maps[1], self.matter), ("matter32", maps[2], self.matter32)):
            on = F.interpolate(truth[:, 3:4], m.shape[-2:], mode="area")[:, 0]
            on = on * (on > 0.3)
            miss = -(F.log_softmax(head(m), 1) * kind[:, :, None, None]).sum(1)
            terms[name] = 0.3 * (miss * on).sum() / on.sum().clamp_min(1)
        return terms


def shares(model: Knock, matter: torch.Tensor, sigma: float = 0.3) -> torch.Tensor:
    """How much of each mixture component is in the materials (n, 9): a soft nearest centre, (n, KINDS)."""
    return torch.softmax(-0.5 * (torch.cdist(matter, model.thinker.centres) / sigma).square(), -1)


def mixture_loss(out: dict[str, torch.Tensor], matter: torch.Tensor, sigma: float = 0.18) -> torch.Tensor:
    """−log of the mixture's density at the truth, up to a constant, per click."""
    distance = ((out["means"] - matter[:, None]) / sigma).square().sum(-1).clamp_max(400.0)
    return -torch.logsumexp(F.log_softmax(out["kind"], -1) - 0.5 * distance, -1)


def world_loss(
    model: Knock,
    helpers: Helpers,
    world: World,
    b: dict[str, Any],
    maps: Sequence[torch.Tensor],
    rng: np.random.Generator,
) -> dict[str, torch.Tensor]:
    """All that a world knows about a click, against what the tokens say: `maps` are what the eyes made of `b`."""
    dense = helpers.dense_loss(maps, b["maps"], shares(model, torch.from_numpy(world.matter[b["rows"]])))
    owner = torch.from_numpy(b["owner"])
    rows, n = b["row"], len(b["row"])
    log_size, log_wall = world.scalars[rows, 0], world.scalars[rows, 1]
    told = rng.random(n)  # nothing, the size, the wall, both
    know_size, know_wall = (told > 0.4) & (told < 0.55) | (told > 0.65), told > 0.55
    know_support = rng.random(n) < 0.4
    blank = np.float32(np.nan)
    given = given_vector(
        n, np.exp(rng.normal(0, 0.05, n)), np.where(know_size, np.exp(log_size), blank),
        np.where(know_wall, np.exp(log_size + log_wall), blank), np.where(know_support, world.support[rows], -1),
    )  # fmt: skip
    out = model.thinker([m[owner] for m in maps], b["click"], given)
    on = b["on"]
    seen = F.interpolate(b["maps"][:, 3:4], out["belongs"].shape[1:], mode="area")[owner, 0]
    seen = torch.where(on[:, None, None], seen, 1 - seen)  # beside the object, what belongs is the rest
    dense["belongs"] = 0.3 * F.binary_cross_entropy_with_logits(out["belongs"], seen)
    loss = dense | {"struck": 0.5 * F.binary_cross_entropy_with_logits(out["struck"], on.float())}
    o = {k: v[on] for k, v in out.items() if not k.endswith("token")}
    r = rows[on.numpy()]

    def t(x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(x[r]))

    matter, scalars = t(world.matter), t(world.scalars)
    loss["matter"] = 0.4 * mixture_loss(o, matter).mean()
    loss["kind"] = -0.6 * (F.log_softmax(o["kind"], -1) * shares(model, matter)).sum(-1).mean()
    loss["family"] = 0.15 * F.cross_entropy(helpers.family(out["body_token"][on]), t(world.family))
    drawn = t(world.drawn)
    guess = helpers.drawn(out["modes_token"][on]).unflatten(-1, (-1, PROPORTIONS))
    guess = guess[torch.arange(len(drawn)), t(world.family)]
    told_of = ~drawn.isnan()
    off_drawn = F.smooth_l1_loss(guess, drawn.nan_to_num(0.0), reduction="none", beta=0.3)
    loss["drawn"] = 0.3 * (off_drawn * told_of).sum() / told_of.sum().clamp_min(1)
    unknown = torch.from_numpy(~know_size[on.numpy()]).float()
    whole = torch.from_numpy(b["whole"][b["owner"]][on.numpy()]).float()  # pasted before another picture: no support
    std = o["log_size_std"].exp()
    miss = (o["log_size"] - scalars[:, 0]) / std
    loss["size"] = 0.3 * ((0.5 * miss.square() + o["log_size_std"]) * unknown).mean()
    loss["wall"] = 0.5 * F.smooth_l1_loss(o["log_wall"], scalars[:, 1], beta=0.1)
    loss["fill"] = 0.5 * F.smooth_l1_loss(o["log_fill"], scalars[:, 3], beta=0.1)
    loss["hollow"] = 0.3 * F.binary_cross_entropy_with_logits(o["hollow"], scalars[:, 2])
    support = F.cross_entropy(o["support"], t(world.support), reduction="none")
    loss["support"] = 0.2 * (support * whole).sum() / whole.sum().clamp_min(1)
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

    gain = b["gain"]
    top = gain.nan_to_num(-50).amax(-1, keepdim=True)
    loud = have.float() * (0.1 + torch.sigmoid((gain.nan_to_num(-50) - top) + 3.0))
    loss["decay"] = 0.7 * decay_loss(o["log_extra"], t(world.log_frequency), t(world.log_bare), t(world.log_loss), loud)

    # Gains: level, and the pattern over lines within 60 dB of the loudest.
    target = torch.maximum(gain.nan_to_num(-50), top - 7)
    level = 0.5 * torch.logsumexp(2 * target.masked_fill(~have, -50), -1, keepdim=True)
    guess = torch.maximum(o["log_gain"], top - 9)
    guessed = 0.5 * torch.logsumexp(2 * o["log_gain"].masked_fill(~have, -50), -1, keepdim=True)
    loss["level"] = 0.2 * (guessed - level).abs().mean()
    loss["gain"] = 0.4 * (((guess - guessed) - (target - level)).abs() * loud).sum() / loud.sum()
    return loss


def decay_loss(
    log_extra: torch.Tensor, log_f: torch.Tensor, log_bare: torch.Tensor, log_loss: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """How far the whole loss factor is off, in the logarithm, when `log_extra` is added to what is known."""
    total = torch.logaddexp(log_bare.nan_to_num(-5.0), interpolate(log_extra, log_f.nan_to_num(6.0)))
    return ((total - log_loss.nan_to_num(0.0)).abs() * weight).sum() / weight.sum()


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


PARTS = 4  # of each photo, when what is read straight is fitted


@dataclass(frozen=True, eq=False)
class Shown:
    """Parts of real photos (n, 3, size, size), where each is clicked (n, 2), and its material (n,)."""

    x: torch.Tensor
    click: torch.Tensor
    material: np.ndarray


def show(photos: Photos, rng: np.random.Generator, count: int, size: int) -> Shown:
    """`count` photos, balanced over materials: zoomed, turned and mirrored, clicked anywhere in the middle."""
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
    return Shown(torch.cat(out), torch.from_numpy(click), material)


def photo_loss(
    model: Knock,
    shown: Shown,
    maps: Sequence[torch.Tensor],
    world: World,
    partners: Sequence[np.ndarray],
    rng: np.random.Generator,
) -> dict[str, torch.Tensor]:
    """A photo paired with a sound of its material: the tokens must say what that sound is made of and how it decays.

    `partners[k]` are rows of `world` made of the k-th material; the partner's support is told.
    """
    heard = np.array([partners[k][rng.integers(len(partners[k]))] for k in shown.material])
    target = torch.from_numpy(world.matter[heard])
    given = given_vector(len(heard), np.exp(rng.normal(0.2, 0.1, len(heard))), None, None, world.support[heard])
    o = model.thinker(maps, shown.click, given)
    kind = -(F.log_softmax(o["kind"], -1) * shares(model, target)).sum(-1).mean()
    lines = (torch.from_numpy(x[heard]) for x in (world.log_frequency, world.log_bare, world.log_loss))
    log_f, log_bare, log_loss = lines
    have = (~log_f.isnan()).float()
    return {
        "photos": 0.3 * mixture_loss(o, target).mean() + 0.5 * kind,
        "photos_decay": 0.3 * decay_loss(o["log_extra"], log_f, log_bare, log_loss, have),
        "photos_struck": 0.1 * F.softplus(-o["struck"]).mean(),
    }


@dataclass(frozen=True, eq=False)
class Teaching:
    """A larger network, the eyes that learn from it, and what they look at together, so many at a time."""

    teacher: Teacher
    student: Distiller
    pictures: Sequence[np.ndarray] | np.ndarray
    count: int


class Trained(nn.Module):
    """What a stage updates: the model, and the read-outs of its teachers (the world's truth, a larger network)."""

    def __init__(self, model: Knock, helpers: Helpers, student: Distiller | None) -> None:
        super().__init__()
        self.model = model
        self.helpers = helpers
        self.heads = student.heads if student else None


# --- read straight off what is seen -----------------------------------------------------------------------------------


@torch.inference_mode()
def straighten(
    model: Knock, world: World, run: KnockRun, photos: Photos | None = None, partners: Sequence[np.ndarray] = ()
) -> Knock:
    """Fit how kinds of material are read off what is seen, as a whole: multinomial logistic regression.

    From all pictures of the world at two strikes, as they are and mirrored; a fourth of the weight is that of `photos`,
    several parts of each, which mean the materials of their `partners` in equal shares.
    """
    rng = np.random.default_rng([run.seed, 7])
    target = shares(model, torch.from_numpy(world.matter))
    x, y = [], []
    for mirrored in (False, True):
        which = rng.integers(world.place.shape[1], size=len(world))
        click = torch.from_numpy(world.place[np.arange(len(world)), which])
        x.append(_seen(model, world.pictures, click, run.size, mirrored))
        y.append(target)
    weight = [torch.full((2 * len(world),), 1.0 / (2 * len(world)))]
    if photos is not None:
        meant = torch.stack([target[torch.from_numpy(rows)].mean(0) for rows in partners])
        for _ in range(PARTS * len(photos.pixels) // run.photos):
            shown = show(photos, rng, run.photos, run.size)
            maps = model.eyes(shown.x)
            given = given_vector(run.photos, np.ones(run.photos))
            x.append(model.thinker(maps, shown.click, given)["seen"])
            y.append(meant[torch.from_numpy(shown.material)])
        count = sum(map(len, x)) - 2 * len(world)
        weight = [0.75 * weight[0], torch.full((count,), 0.25 / count)]
    fit = _regression(torch.cat(x), torch.cat(y), torch.cat(weight))
    model.thinker.straight.weight.copy_(fit[0])
    model.thinker.straight.bias.copy_(fit[1])
    return model


def _seen(model: Knock, pictures: np.ndarray, click: torch.Tensor, size: int, mirrored: bool = False) -> torch.Tensor:
    """What the thinker sees of pictures (n, side, side, 3) at clicks (n, 2): (n, features)."""
    if mirrored:
        click = torch.stack([1 - click[:, 0], click[:, 1]], -1)
    out = []
    for start in range(0, len(pictures), 64):
        x = torch.from_numpy(pictures[start : start + 64]).permute(0, 3, 1, 2).float() / 255
        maps = model.eyes(F.interpolate(x.flip(-1) if mirrored else x, (size, size), mode="bilinear", antialias=True))
        out.append(model.thinker(maps, click[start : start + 64], given_vector(len(x), np.ones(len(x))))["seen"])
    return torch.cat(out)


@torch.inference_mode(False)
def _regression(
    x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor, ridge: float = 1e-2
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (kinds, features) and biases of the logits of shares `y` (n, kinds); `ridge` on standardised features."""
    x, y, weight = x.clone(), y.clone(), weight.clone()
    middle, spread = x.mean(0), x.std(0) + 1e-3
    x = (x - middle) / spread
    slope = torch.zeros(y.shape[1], x.shape[1], requires_grad=True)
    level = torch.zeros(y.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([slope, level], max_iter=60, history_size=10, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        miss = -(F.log_softmax(F.linear(x, slope, level), -1) * y).sum(-1)
        total = (miss * weight).sum() + ridge * slope.square().sum()
        total.backward()
        return total

    optimiser.step(loss)
    slope, level = slope.detach(), level.detach()
    return slope / spread, level - (slope / spread) @ middle


# --- stages ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KnockRun:
    """Everything that a training run of `knock` is. Steps count batches; sizes are sides in pixels."""

    eye_steps: int = 1000
    world_steps: int = 2400
    unlabelled_steps: int = 100
    photo_steps: int = 350
    code_steps: int = 600
    pictures: int = 28
    clicks: int = 2
    lessons: int = 12
    photos: int = 24
    size: int = 128
    small: int = 96
    seed: int = 0


def tiny() -> KnockRun:
    """The run of `knock/tiny`."""
    return KnockRun()


def adapt(
    model: Knock,
    helpers: Helpers,
    world: World,
    folder: Path,
    run: KnockRun,
    steps: int,
    lr: float,
    *,
    teaching: Teaching | None = None,
    photos: Photos | None = None,
    partners: Sequence[np.ndarray] = (),
) -> Knock:
    """Train eyes and thinker on a world; `teaching` goes on beside it, `photos` teach by pairs."""
    student = teaching.student if teaching else None
    trained = Trained(model, helpers, student).to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([run.seed, 11, step])
        # Coarse first, fine later: half the places to look at for as long as there is most to learn.
        size = run.small if photos is None and step < 0.4 * steps else run.size
        b = batch(world, rng, run.pictures, run.clicks, size)
        looked = [jitter(b["x"], g)]
        if teaching is not None:
            looked.append(lessons(teaching.pictures, rng, g, teaching.count, size))
        shown = None
        if photos is not None:
            shown = show(photos, rng, run.photos, size)
            looked.append(jitter(shown.x, g))
        # One look at everything: apart, each source would be normalised by its own statistics, and none as later.
        seen = model.eyes(torch.cat(looked).contiguous(memory_format=torch.channels_last))
        counts = [len(x) for x in looked]
        parts = list(zip(*(m.split(counts) for m in seen), strict=True))
        terms = world_loss(model, helpers, world, b, parts[0], rng)
        if teaching is not None:
            answers = teaching.student.loss(parts[1], teaching.teacher(looked[1]))
            terms["lessons"] = 0.5 * torch.stack(list(answers.values())).sum()
        if shown is not None:
            terms |= photo_loss(model, shown, parts[-1], world, partners, rng)
        return terms

    slow = list(model.eyes.parameters())
    ids = {id(p) for p in slow}
    # The ears, the codebook, the code's direction and what is read straight are learned later, from what all the rest
    # has become.
    thinker = model.thinker
    late = {id(p) for m in (model.ears, thinker.code, thinker.straight) for p in m.parameters()}
    late.add(id(thinker.codebook))
    rest = [p for p in trained.parameters() if id(p) not in ids | late]
    # What the eyes have from their teacher is worth more than what they can learn from a few thousand pictures.
    groups: list[dict[str, object]] = [{"params": slow, "lr": 0.5 * lr}, {"params": rest, "lr": lr}]
    fit(trained, loss, LoopConfig(steps=steps, lr=lr, seed=run.seed, checkpoint_every=200), folder, groups=groups)
    return model


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


def train(
    world: Path,
    validation: Path,
    out: Path,
    photos: Path | None = None,
    teacher: Path | None = None,
    run: KnockRun | None = None,
) -> Path:
    """Train `knock` and leave checkpoints in `out`: `final`, and `simulation` and `unlabelled` (without a codebook).

    `world`, `validation`: folders of shards. `teacher`: the TensorFlow Lite file to distil from, first on the world's
    pictures; without one the eyes start from nothing. `photos`: a folder per material; their train blocks are first
    looked at without their labels (with the teacher's help), then paired with sounds of their material. Every stage
    resumes.
    """
    run = run or tiny()
    torch.manual_seed(run.seed)
    out.mkdir(parents=True, exist_ok=True)
    seen = read_world(world)
    print(f"{len(seen)} pictures of {len(set(seen.shape_key))} shapes")
    model = Knock(KnockConfig(EyesConfig(run.size)))
    helpers = Helpers(model.config, int(seen.family.max()) + 1)
    model.thinker.centres.copy_(torch.from_numpy(centres(seen.matter, seed=run.seed)))
    teaching = None
    if teacher is not None:
        master = Teacher(teacher)
        loop = LoopConfig(run.eye_steps, 3e-3, seed=run.seed)
        student = distil(master, seen.pictures, model.config.eyes, loop, 48, out / "eyes", run.small)
        model.eyes = student.eyes
        teaching = Teaching(master, student, seen.pictures, run.lessons)
    adapt(model, helpers, seen, out / "world", run, run.world_steps, 7e-4, teaching=teaching)
    if photos is None:
        finish(straighten(model, seen, run), seen, validation, out / "codes", run, None)
        return model.save(out / "final")
    straighten(model, seen, run).save(out / "simulation")
    real = read_photos(photos, 192)
    if teaching is not None:
        teaching = dataclasses.replace(
            teaching, pictures=real.pixels, count=3 * run.lessons
        )  # they are new to the eyes
        adapt(model, helpers, seen, out / "looking", run, run.unlabelled_steps, 5e-4, teaching=teaching)
        teaching = dataclasses.replace(teaching, count=run.lessons)
        straighten(model, seen, run).save(out / "unlabelled")
    partners = [paired(seen, name) for name in real.names]
    pairs = {"photos": real, "partners": partners}
    adapt(model, helpers, seen, out / "photos", run, run.photo_steps, 5e-4, teaching=teaching, **pairs)
    straighten(model, seen, run, real, partners)
    finish(model, seen, validation, out / "codes", run, real)
    return model.save(out / "final")


def finish(model: Knock, seen: World, validation: Path, folder: Path, run: KnockRun, photos: Photos | None) -> None:
    """Codebook, prototypes, and the calibration of the pitch interval, for a model whose tokens are done."""
    model.eval()
    tokens, rows, strikes = tokens_of(model, seen, 1, run.size, run.seed)
    mels = strikes_heard(seen, rows, strikes, run.seed)
    heard, thought = mels, tokens
    if photos is not None:  # a fifth of what the codebook learns from is real
        more = photo_tokens(model, photos, run.size)
        rng = np.random.default_rng([run.seed, 5])
        partners = np.array([rng.choice(paired(seen, photos.names[k])) for k in photos.material])
        struck = rng.integers(seen.place.shape[1], size=len(partners))
        again = np.resize(np.arange(len(more)), len(tokens) // 4)
        thought = torch.cat([tokens, more[again]])
        heard = torch.cat([mels, strikes_heard(seen, partners, struck, run.seed + 1)[again]])
    learn_codes(model, thought, heard, folder, run.code_steps, run.seed)
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
