"""The material codebook that pictures and sounds share, learned without labels by swapped prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..bridges.knock import ALIKE, Knock, given_vector
from .knock_data import World, squares
from .loop import LoopConfig, fit


@torch.inference_mode()
def tokens_of(
    model: Knock, world: World, clicks: int, size: int, seed: int
) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """What is thought of the matter of `clicks` strikes on every picture, with the row and strike each belongs to."""
    rng = np.random.default_rng(seed)
    tokens, rows, strikes = [], [], []
    for start in range(0, len(world), 64):
        part = np.arange(start, min(start + 64, len(world)))
        maps = model.eyes(squares(world.pictures[part], size))
        for _ in range(clicks):
            which = rng.integers(world.place.shape[1], size=len(part))
            click = torch.from_numpy(world.place[part, which])
            tokens.append(model.thinker(maps, click, given_vector(len(part), np.ones(len(part))))["thought"])
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
    model: Knock, tokens: torch.Tensor, mels: torch.Tensor, folder: Path, steps: int, seed: int, batch_size: int = 256
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
        # Codes alone start from nothing in common and stay there: picture and sound of one strike are pulled together
        # first (InfoNCE: van den Oord et al., 2018), then sorted.
        same = torch.arange(batch_size)
        alike = seen @ heard.T / 0.1
        terms = {"pairs": 0.5 * (F.cross_entropy(alike, same) + F.cross_entropy(alike.T, same))}
        for name, x, target in (("seen", seen, q[1]), ("heard", heard, q[0])):
            terms[name] = -(target * F.log_softmax(x @ c.T / 0.1, -1)).sum(-1).mean()
        return terms

    fit(
        both,
        loss,
        LoopConfig(steps=steps, lr=2e-3, seed=seed, weight_decay=1e-3, checkpoint_every=200),
        folder,
    )
    return model


@torch.inference_mode()
def set_prototypes(model: Knock, tokens: torch.Tensor, matter: np.ndarray) -> np.ndarray:
    """What each code means: of the materials that pictures put there the one that most resemble. Returns the usage.

    Not the nearest to their middle: what pictures take for each other sounds like neither in between.
    """
    c = F.normalize(model.thinker.codebook, dim=-1)
    codes = (F.normalize(model.thinker.code(tokens), dim=-1) @ c.T).argmax(-1).numpy()
    for k in range(len(c)):
        mine = torch.from_numpy(matter[codes == k] if (codes == k).any() else matter)
        like = torch.exp(-0.5 * (torch.cdist(mine, mine) / ALIKE).square()).sum(1)
        model.thinker.prototypes[k] = mine[like.argmax()]
    return np.bincount(codes, minlength=len(c)) / len(codes)
