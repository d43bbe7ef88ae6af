"""What is read straight off what is seen, fitted as a whole once the eyes have learned: materials, sorts of shape,
coverings.

Many small steps with everything else at once do not find what a fit of its own does (docs/log.md, 2026-11-30).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from ..bridges.knock import ANCHORS, LINES, MATTER_MEAN, MATTER_SCALE, Knock, given_vector
from .knock_data import Photos, World, show, squares

STRIKES = 3  # on each picture of a world, here and when codes are learned
PARTS = 4  # of each photo
TOGETHER = 16  # photos that are looked at
REAL = 0.5  # how much photos count for what a thing is made of …
BARE = 0.1  # … and for whether it is covered: those that are paired show bare things


def shares(model: Knock, matter: torch.Tensor, sigma: float = 0.3) -> torch.Tensor:
    """How much of each mixture component is in the materials (n, 9): a soft nearest centre, (n, KINDS)."""
    return torch.softmax(-0.5 * (torch.cdist(matter, model.thinker.centres) / sigma).square(), -1)


@torch.inference_mode()
def straighten(
    model: Knock,
    world: World,
    size: int,
    seed: int,
    photos: Photos | None = None,
    partners: Sequence[np.ndarray] = (),
) -> Knock:
    """Fit how materials, sorts of shape and coverings are read off what is seen: multinomial logistic regression.

    From all pictures of the world at `STRIKES` strikes, as they are and mirrored. Of materials a share `REAL` of the
    weight is that of `photos`, several parts of each, which mean the materials of their `partners` in equal shares; of
    coverings a share `BARE`, for they are bare. Whoever has met coats in worlds alone sees them on every other bottle.
    """
    rng = np.random.default_rng([seed, 7])
    target = shares(model, torch.from_numpy(world.matter))
    seen, rows = [], []
    for start in range(0, len(world), 64):
        part = np.arange(start, min(start + 64, len(world)))
        pictures = squares(world.pictures[part], size)
        which = np.stack([rng.permutation(world.place.shape[1])[:STRIKES] for _ in part])
        click = torch.from_numpy(np.take_along_axis(world.place[part], which[..., None], 1))
        for mirrored in (False, True):
            maps = model.eyes(pictures.flip(-1) if mirrored else pictures)
            for k in range(STRIKES):
                at = torch.stack([1 - click[:, k, 0], click[:, k, 1]], -1) if mirrored else click[:, k]
                seen.append(_seen(model, maps, at))
                rows.append(part)
    x, row = torch.cat(seen), torch.from_numpy(np.concatenate(rows))
    even = torch.full((len(x),), 1.0 / len(x))
    sort, coat = (
        F.one_hot(torch.from_numpy(known), count).float()[row]
        for known, count in ((world.family, model.config.sorts), (world.coat, model.config.coats))
    )
    _fit(model.thinker.sorts.which, x, sort, even)
    describe(model, world)
    if photos is None:
        _fit(model.thinker.straight, x, target[row], even)
        _fit(model.thinker.coats.which, x, coat, even)
        return model
    meant = torch.stack([target[torch.from_numpy(rows)].mean(0) for rows in partners])
    real, of = [], []
    for _ in range(max(PARTS * len(photos.pixels) // TOGETHER, 1)):
        shown = show(photos, rng, TOGETHER, size)
        real.append(_seen(model, model.eyes(shown.x), shown.click))
        of.append(meant[torch.from_numpy(shown.material)])
    both, y = torch.cat([x, *real]), torch.cat(of)
    bare = F.one_hot(torch.zeros(len(y), dtype=torch.long), model.config.coats).float()
    for which, drawn, told, share in (
        (model.thinker.straight, target[row], y, REAL),
        (model.thinker.coats.which, coat, bare, BARE),
    ):
        weight = torch.cat([(1 - share) * even, torch.full((len(y),), share / len(y))])
        _fit(which, both, torch.cat([drawn, told]), weight)
    return model


def _fit(line: torch.nn.Linear, x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> None:
    for into, values in zip((line.weight, line.bias), regression(x, y, weight), strict=True):
        into.copy_(values)


def _seen(model: Knock, maps: Sequence[torch.Tensor], click: torch.Tensor) -> torch.Tensor:
    """What the thinker sees at clicks (n, 2) of pictures: (n, features)."""
    return model.thinker(maps, click, given_vector(len(click), np.ones(len(click))))["seen"]


@torch.inference_mode()
def describe(model: Knock, world: World, least: int = 8, ridge: float = 0.5) -> None:
    """What shapes of each sort and what coverings are like.

    Of shapes usual walls, how many are hollow, and lines as a function of the wall; a line that fewer than `least`
    shapes of the sort have lies where the one before it does. Of coverings the usual loss at `ANCHORS`.
    """
    coats = model.thinker.coats
    for k in range(model.config.coats):
        curves = []
        for i in np.flatnonzero(world.coat == k):
            have = ~np.isnan(world.log_frequency[i])
            curves.append(np.interp(np.log(ANCHORS), world.log_frequency[i, have], world.log_extra[i, have]))
        if curves:
            coats.loss[k] = torch.from_numpy(np.median(curves, axis=0))
    sorts = model.thinker.sorts
    speed = world.matter[:, 0] * MATTER_SCALE[0] + MATTER_MEAN[0]
    shape = world.log_frequency + (world.scalars[:, 0] - speed)[:, None]
    for k in range(model.config.sorts):
        rows = np.flatnonzero(world.family == k)
        if not len(rows):
            continue
        wall = world.scalars[rows, 1]
        usual = float(np.median(wall))
        sorts.wall[k], sorts.hollow[k] = usual, float(world.scalars[rows, 2].mean())
        mean, slope = 0.0, 0.0
        for line in range(LINES):
            have = ~np.isnan(shape[rows, line])
            if have.sum() >= least:
                f, w = shape[rows[have], line], wall[have]
                slope = float(((w - w.mean()) * (f - f.mean())).sum() / (((w - w.mean()) ** 2).sum() + ridge))
                mean = float(f.mean() + slope * (usual - w.mean()))
            sorts.lines[k, line], sorts.slope[k, line] = mean, slope


@torch.inference_mode(False)
def regression(
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
