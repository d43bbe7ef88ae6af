"""One training loop for every bridge.

What happens in a step is a pure function of (seed, step): batches are asked for by number and randomness inside the
loss comes from a generator reseeded at each step. So a run that is killed and resumed gives the same weights as one
that is not.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn


@dataclass(frozen=True)
class LoopConfig:
    """Steps, AdamW, its schedule (linear warm-up, then cosine to zero), and an exponential average of the weights."""

    steps: int
    lr: float = 2e-3
    warmup: int = 100
    weight_decay: float = 0.02
    clip: float = 5.0
    ema: float = 0.998
    seed: int = 0
    checkpoint_every: int = 250


def quick() -> torch.autocast:
    """bfloat16 where the processor knows how (2.6 times as fast); where it would be emulated (8 times as slow) not."""
    return torch.autocast("cpu", torch.bfloat16, enabled=bool(torch.cpu.get_capabilities().get("avx512_bf16", False)))


def fit(
    model: nn.Module,
    loss: Callable[[int, torch.Generator], dict[str, torch.Tensor]],
    config: LoopConfig,
    folder: Path,
    *,
    groups: list[dict[str, object]] | None = None,
) -> nn.Module:
    """Train `model` in place and return it holding the averaged weights.

    `loss(step, generator)` gives named scalars whose sum is minimised. `groups` are AdamW parameter groups (default:
    all the parameters). The state is kept in `folder/loop.safetensors`; a finished or killed run resumes from there.
    """
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "loop.safetensors"
    groups = groups or [{"params": [p for p in model.parameters() if p.requires_grad]}]
    optimiser = torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay, betas=(0.9, 0.99))
    rates = [float(g["lr"]) for g in optimiser.param_groups]
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    parameters = [p for g in optimiser.param_groups for p in g["params"]]
    start = 0
    if path.exists():
        start = _restore(path, model, average, optimiser, parameters)
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
    running: dict[str, float] = {}
    with Progress(*columns, refresh_per_second=0.2) as bar:
        task = bar.add_task(folder.name, total=config.steps, completed=start)
        for step in range(start, config.steps):
            ramp = min(1.0, (step + 1) / max(1, config.warmup)) * 0.5 * (1 + math.cos(math.pi * step / config.steps))
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * ramp
            generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
            torch.manual_seed(config.seed * 1_000_003 + step)
            model.train()
            terms = loss(step, generator)
            total = torch.stack(list(terms.values())).sum()
            optimiser.zero_grad(set_to_none=True)
            total.backward()
            nn.utils.clip_grad_norm_(parameters, config.clip)
            optimiser.step()
            keep = min(config.ema, (step + 1) / (step + 10))
            with torch.no_grad():
                for k, v in model.state_dict().items():
                    if v.is_floating_point():
                        average[k].lerp_(v, 1 - keep)
                    else:
                        average[k].copy_(v)
            for k, v in terms.items():
                running[k] = 0.98 * running.get(k, v.item()) + 0.02 * v.item()
            bar.update(
                task, advance=1, description=f"{folder.name} " + " ".join(f"{k} {v:.3f}" for k, v in running.items())
            )
            last = step + 1 == config.steps
            if last or (step + 1) % config.checkpoint_every == 0:
                _keep(path, model, average, optimiser, parameters, step + 1)
                bar.console.print(
                    f"{folder.name} step {step + 1}: " + " ".join(f"{k} {v:.4f}" for k, v in running.items())
                )
    model.load_state_dict(average)
    return model.eval()


def _keep(
    path: Path,
    model: nn.Module,
    average: dict[str, torch.Tensor],
    optimiser: torch.optim.Optimizer,
    parameters: list[nn.Parameter],
    step: int,
) -> None:
    state = {f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}
    state |= {f"average.{k}": v.contiguous() for k, v in average.items()}
    for i, p in enumerate(parameters):
        for name, value in optimiser.state.get(p, {}).items():
            state[f"optimiser.{i}.{name}"] = torch.as_tensor(value).contiguous()
    temporary = path.with_suffix(".part")
    save_file(state, temporary, {"step": str(step)})
    os.replace(temporary, path)


def _restore(
    path: Path,
    model: nn.Module,
    average: dict[str, torch.Tensor],
    optimiser: torch.optim.Optimizer,
    parameters: list[nn.Parameter],
) -> int:
    from safetensors import safe_open

    with safe_open(path, "pt") as f:
        step = int((f.metadata() or {})["step"])
    state = load_file(path)
    model.load_state_dict({k[6:]: v for k, v in state.items() if k.startswith("model.")})
    average.update({k[8:]: v for k, v in state.items() if k.startswith("average.")})
    for i, p in enumerate(parameters):
        prefix = f"optimiser.{i}."
        mine = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
        if mine:
            optimiser.state[p] = mine
    return step
