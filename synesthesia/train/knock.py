"""How `knock/tiny` is trained: eyes by distillation, the physics adapter on worlds, then real photos.

Each stage is a function of its own with its own checkpoint folder; together they are `runs/knock_tiny.sh`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import hub
from ..bridges.knock import ANCHORS, KINDS, LINES, MATTER_MEAN, MATTER_SCALE, Knock, KnockConfig, given_vector
from ..senses import SUPPORTS, InputError
from .codebook import learn_codes, set_prototypes, strikes_heard, tokens_of
from .distil import Distiller, Teacher, distil, jitter, lessons, pupil
from .knock_data import (
    PROPORTIONS,
    Photos,
    Shown,
    World,
    batch,
    paired,
    read_photos,
    read_world,
    show,
    squares,
)
from .loop import LoopConfig, fit, quick
from .straight import STRIKES, shares, straighten

HEARD = 3e-4  # loss factors below this make little difference to any body


class Helpers(nn.Module):
    """Read-outs that only training has: what each place of the maps shows, which sort of shape a body is, how drawn.

    A picture tells thousands of truths (the normal, the depth, the material of every pixel); two clicks ask for two.
    """

    def __init__(self, config: KnockConfig) -> None:
        super().__init__()
        w = config.eyes.widths
        self.geometry = nn.Conv2d(w[1], 6, 1)
        self.geometry16 = nn.Conv2d(w[2], 6, 1)
        self.matter = nn.Conv2d(w[2], KINDS, 1)
        self.matter32 = nn.Conv2d(w[3], KINDS, 1)
        self.family = nn.Linear(config.width, config.sorts)
        seen = 2 * (w[2] + w[3]) + sum(w[1:])
        self.support_seen = nn.Linear(seen, len(SUPPORTS))
        self.drawn = nn.Linear(config.width, config.sorts * PROPORTIONS)

    def dense_loss(
        self, maps: Sequence[torch.Tensor], truth: torch.Tensor, kind: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """`truth` (b, 6, h, w) as in `World.maps`; `kind` (b, KINDS) the share of each component in the material."""
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
            which = [3, 5]  # on the object, on what is beside it
            terms[name] = term + 0.6 * F.binary_cross_entropy_with_logits(guess[:, which], t[:, which])
        for name, m, head in (("matter16", maps[1], self.matter), ("matter32", maps[2], self.matter32)):
            on = F.interpolate(truth[:, 3:4], m.shape[-2:], mode="area")[:, 0]
            on = on * (on > 0.3)
            miss = -(F.log_softmax(head(m), 1) * kind[:, :, None, None]).sum(1)
            terms[name] = 0.3 * (miss * on).sum() / on.sum().clamp_min(1)
        return terms


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
    loss["straight"] = -1.2 * (F.log_softmax(o["straight"], -1) * shares(model, matter)).sum(-1).mean()
    loss["family"] = 0.2 * F.cross_entropy(helpers.family(out["body_token"][on]), t(world.family))
    loss["sort"] = 1.2 * F.cross_entropy(o["sort"], t(world.family))
    loss["coat"] = 0.8 * F.cross_entropy(o["coat"], t(world.coat))
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
    loss["hollow"] = 0.4 * F.binary_cross_entropy_with_logits(o["hollow"], scalars[:, 2])
    asked = whole * torch.from_numpy(~know_support[on.numpy()]).float()
    for name, guess, weight in (("support", o["support"], 0.9), ("support_seen", helpers.support_seen(o["seen"]), 0.3)):
        miss_support = F.cross_entropy(guess, t(world.support), reduction="none")
        loss[name] = weight * (miss_support * asked).sum() / asked.sum().clamp_min(1)
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
    loss["extra"] = 0.4 * extra_loss(o["log_extra"], t(world.log_frequency), t(world.log_extra), loud)

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


def extra_loss(log_extra: torch.Tensor, log_f: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """How far what is lost beside the material's and the support's own is off, in the logarithm above `HEARD`.

    For its own sake: what adds nothing yet to a whole would never learn from the whole that it should.
    """
    guess = interpolate(log_extra, log_f.nan_to_num(6.0)).exp()
    miss = ((guess + HEARD).log() - (truth.nan_to_num(0.0).exp() + HEARD).log()).abs()
    return (miss * weight).sum() / weight.sum()


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
    kind, straight = (-(F.log_softmax(o[k], -1) * shares(model, target)).sum(-1).mean() for k in ("kind", "straight"))
    lines = (torch.from_numpy(x[heard]) for x in (world.log_frequency, world.log_bare, world.log_loss))
    log_f, log_bare, log_loss = lines
    have = (~log_f.isnan()).float()
    return {
        "photos": 0.3 * mixture_loss(o, target).mean() + 0.5 * (kind + straight),
        "photos_decay": 0.3 * decay_loss(o["log_extra"], log_f, log_bare, log_loss, have),
        "photos_struck": 0.1 * F.softplus(-o["struck"]).mean(),
    }


@dataclass(frozen=True, eq=False)
class Teaching:
    """A larger network, the eyes that learn from it, and what they look at beside the world, so many at a time."""

    teacher: Teacher
    student: Distiller
    pictures: Sequence[np.ndarray] | np.ndarray = ()
    count: int = 0


class Trained(nn.Module):
    """What a stage updates: the model, and the read-outs of its teachers (the world's truth, a larger network).

    Eyes that have learned before normalise by what they have met so far, not by the batch: whatever is looked at, and
    as they will when nobody trains them.
    """

    def __init__(self, model: Knock, helpers: Helpers, student: Distiller | None) -> None:
        super().__init__()
        self.model = model
        self.helpers = helpers
        self.heads = student.heads if student else None
        counted = [m.num_batches_tracked for m in model.eyes.modules() if isinstance(m, nn.BatchNorm2d)]
        self.settled = all(int(n) > 0 for n in counted if n is not None)

    def train(self, mode: bool = True) -> Trained:
        super().train(mode)
        if self.settled:
            self.model.eyes.eval()
        return self


# --- stages ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KnockRun:
    """Everything that a training run of `knock` is. Steps count batches; sizes are sides in pixels."""

    eye_steps: int = 1000
    readout_steps: int = 150
    world_steps: int = 1800
    unlabelled_steps: int = 100
    photo_steps: int = 450
    code_steps: int = 600
    pictures: int = 24
    clicks: int = 2
    asked: int = 40  # of what is looked at in a step, so many of the last are shown to the teacher, too
    lessons: int = 24
    photos: int = 16
    size: int = 192
    small: int = 128
    seed: int = 0


def tiny() -> KnockRun:
    """The run of `knock/tiny` from nothing."""
    return KnockRun()


def onward() -> KnockRun:
    """The run of a model that learns on: more pictures, a click on each, photos among them from the first step."""
    return KnockRun(world_steps=2700, pictures=44, clicks=1, photos=12, asked=20)


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
    readouts: bool = False,
) -> Knock:
    """Train eyes and thinker on a world; `teaching` goes on beside it, `photos` teach by pairs.

    `readouts`: only what training alone has learns (`Helpers`, the teacher's heads), so that it does not pull at eyes
    that know more than it does.
    """
    student = teaching.student if teaching else None
    trained = Trained(model, helpers, student).to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([run.seed, 11, step])
        # Coarse first, fine later: half the places to look at for as long as there is most to learn.
        size = run.small if photos is None and step < 0.4 * steps else run.size
        b = batch(world, rng, run.pictures, run.clicks, size)
        looked = [jitter(b["x"], g)]
        shown = None
        if photos is not None:
            shown = show(photos, rng, run.photos, size)
            looked.append(jitter(shown.x, g))
        if teaching is not None and teaching.count:
            looked.append(lessons(teaching.pictures, rng, g, teaching.count, size))
        together = torch.cat(looked).contiguous(memory_format=torch.channels_last)
        with quick():
            seen = tuple(m.float() for m in model.eyes(together))
        counts = [len(x) for x in looked]
        parts = list(zip(*(m.split(counts) for m in seen), strict=True))
        terms = world_loss(model, helpers, world, b, parts[0], rng)
        if shown is not None:
            terms |= photo_loss(model, shown, parts[1], world, partners, rng)
        if teaching is not None:
            answers = teaching.student.loss([m[-run.asked :] for m in seen], teaching.teacher(together[-run.asked :]))
            terms["lessons"] = 0.5 * torch.stack(list(answers.values())).sum()
        return terms

    # The ears, the codebook and the code's direction are learned later, from what all the rest has become.
    thinker = model.thinker
    late = {id(p) for m in (model.ears, thinker.code) for p in m.parameters()} | {id(thinker.codebook)}
    model.requires_grad_(not readouts)
    learning = [p for p in trained.parameters() if p.requires_grad and id(p) not in late]
    groups: list[dict[str, object]] = [{"params": learning}]
    fit(trained, loss, LoopConfig(steps=steps, lr=lr, seed=run.seed, checkpoint_every=200), folder, groups=groups)
    model.requires_grad_(True)
    return model


@torch.inference_mode()
def calibrate(model: Knock, world: World, size: int) -> tuple[float, float]:
    """Factors on the standard deviation of log f₁ so that 80 % intervals hold 80 % of `world`: size unknown, given."""
    factors = []
    for known in (False, True):
        ratios = []
        for start in range(0, len(world), 64):
            part = np.arange(start, min(start + 64, len(world)))
            maps = model.eyes(squares(world.pictures[part], size))
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
    start: str | Path | None = None,
    run: KnockRun | None = None,
) -> Path:
    """Train `knock` and leave checkpoints in `out`: `final`, and `simulation` and `unlabelled` (without a codebook).

    `world`, `validation`: folders of shards. `teacher`: the TensorFlow Lite file to distil from, first on the world's
    pictures; without one the eyes start from nothing. `photos`: a folder per material; their train blocks are first
    looked at without their labels (with the teacher's help), then paired with sounds of their material. Every stage
    resumes. `start`: a model that learns on, in this world and from pairs at once, after what only training has; it had
    photos, and so has all that comes of it, so there are no stages without.
    """
    run = run or (tiny() if start is None else onward())
    torch.manual_seed(run.seed)
    out.mkdir(parents=True, exist_ok=True)
    seen = read_world(world)
    print(f"{len(seen)} pictures of {len(set(seen.shape_key))} shapes")
    sorts = int(seen.family.max()) + 1
    model = Knock(KnockConfig(sorts=sorts)) if start is None else Knock.load(start)
    if model.config.sorts != sorts:  # they are counted through in the order of what a world holds
        raise InputError(
            f"The model knows {model.config.sorts} sorts of shape and {world} holds {sorts}; "
            "give a world with all that the model knows (a few hundred pictures hold them) and no other."
        )
    eyes = dataclasses.replace(model.config.eyes, size=run.size)
    model.config = dataclasses.replace(model.config, eyes=eyes)
    helpers = Helpers(model.config)
    teaching = None
    if teacher is not None:
        master = Teacher(teacher)
        if start is None:
            loop = LoopConfig(run.eye_steps, 3e-3, seed=run.seed)
            student = distil(master, seen.pictures, eyes, loop, 48, out / "eyes", run.small)
            model.eyes = student.eyes
        else:
            student = pupil(master, seen.pictures, model.eyes, run.seed, run.size)
        teaching = Teaching(master, student)
    if start is None:
        model.thinker.centres.copy_(torch.from_numpy(centres(seen.matter, seed=run.seed)))
    real = None if photos is None else read_photos(photos, 256)
    partners = () if real is None else [paired(seen, name) for name in real.names]
    stage = functools.partial(adapt, model, helpers, seen, run=run, teaching=teaching)
    pairs = functools.partial(stage, photos=real, partners=partners)
    if start is not None:
        pairs(out / "read-outs", steps=run.readout_steps, lr=2e-3, readouts=True)
        pairs(out / "world", steps=run.world_steps, lr=7e-4)
    else:
        stage(out / "world", steps=run.world_steps, lr=7e-4)
        if real is not None:
            straighten(model, seen, run.size, run.seed).save(out / "simulation")
            if teaching is not None:  # photos are new to the eyes
                looking = dataclasses.replace(teaching, pictures=real.pixels, count=run.lessons)
                stage(out / "looking", steps=run.unlabelled_steps, lr=5e-4, teaching=looking)
                straighten(model, seen, run.size, run.seed).save(out / "unlabelled")
            before = {k: v.clone() for k, v in model.state_dict().items()}
            pairs(out / "photos", steps=run.photo_steps, lr=5e-4)
            halfway(model, before)
    straighten(model, seen, run.size, run.seed, real, partners)
    finish(model, seen, validation, out / "codes", run, real)
    return model.save(out / "final", card(len(seen), real))


@torch.no_grad()
def halfway(model: nn.Module, before: Mapping[str, torch.Tensor]) -> None:
    """Half way back to the state `before`: most of what was learned since, and of what it cost.

    Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022.
    """
    for k, v in model.state_dict().items():
        if v.is_floating_point():
            v.lerp_(before[k], 0.5)


def card(pictures: int, photos: Photos | None) -> hub.Card:
    """What is known of the weights before they are measured."""
    real = "" if photos is None else f" and {len(photos.pixels)} photos of {len(photos.names)} materials"
    return hub.Card(
        "knock/tiny",
        "Apache-2.0",
        "Knock on a photo: a picture and a click become physics tokens, then modes, then sound. CPU, no download.",
        f"A world of our own, {pictures} path-traced pictures (`synesthesia world knock`){real}.",
        "`runs/knock_tiny.sh`: eyes that learn from a larger network where there is one, eyes and thinker on the "
        "world, pairs of photos and sounds, what is read straight, the codebook.",
        "Not measured yet.",
    )


def finish(model: Knock, seen: World, validation: Path, folder: Path, run: KnockRun, photos: Photos | None) -> None:
    """Codebook, prototypes, and the calibration of the pitch interval, for a model whose tokens are done."""
    model.eval()
    tokens, rows, strikes = tokens_of(model, seen, STRIKES, run.size, run.seed)
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
    """What is thought of the matter of the middle of every photo."""
    out = []
    for start in range(0, len(photos.pixels), 64):
        x = squares(photos.pixels[start : start + 64], size)
        maps = model.eyes(x)
        out.append(model.thinker(maps, torch.full((len(x), 2), 0.5), given_vector(len(x), np.ones(len(x))))["thought"])
    return torch.cat(out)
