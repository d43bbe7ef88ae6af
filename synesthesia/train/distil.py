"""Give small eyes what larger ones have learned: distillation of a teacher's dense inner maps.

The teacher (MobileNetV2, Apache-2.0, an int8 TensorFlow Lite file; needs the wheel `ai-edge-litert`) is asked once for
many random crops; its answers are cached, and the student then sees those crops again and again under other colours and
blurs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import nn
from torch.nn import functional as F

from ..encoders.vision import Eyes, EyesConfig
from .loop import LoopConfig, fit

# Inner maps of the teacher by tensor name: (name, side, channels). Three depths: texture, parts, and the pooled whole.
MAPS = (
    ("MobilenetV2/expanded_conv_12/add", 14, 96),
    ("MobilenetV2/expanded_conv_16/project/add_fold", 7, 320),
    ("MobilenetV2/Logits/AvgPool", 1, 1280),
)


@dataclass(frozen=True)
class Lessons:
    """Crops (n, size, size, 3) uint8 and the teacher's answers, each (n, side, side, channels) float16."""

    crops: np.ndarray
    maps: tuple[np.ndarray, ...]


def crops(
    photos: Sequence[Path] | np.ndarray, each: int, size: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Random crops, (size, size, 3) for the student, (224, 224, 3) for the teacher; every fourth the whole picture.

    `photos` are files, or pictures (n, h, w, 3) uint8.
    """
    from PIL import Image as Pil

    for i, source in enumerate(photos):
        if isinstance(source, Path):
            with Pil.open(source) as opened:
                photo = opened.convert("RGB")
        else:
            photo = Pil.fromarray(source)
        w, h = photo.size
        for k in range(each):
            rng = np.random.default_rng(np.random.SeedSequence([seed, i, k]))
            share = 1.0 if k % 4 == 0 else float(rng.uniform(0.15, 1.0))
            ratio = 1.0 if k % 4 == 0 else float(np.exp(rng.uniform(-0.3, 0.3)))
            cw, ch = min(w, w * (share * ratio) ** 0.5), min(h, h * (share / ratio) ** 0.5)
            x, y = float(rng.uniform(0, w - cw)), float(rng.uniform(0, h - ch))
            box = (x, y, x + cw, y + ch)
            small, large = (photo.resize((s, s), Pil.Resampling.BICUBIC, box=box) for s in (size, 224))
            yield np.asarray(small), np.asarray(large)


def ask(teacher: Path, photos: Sequence[Path] | np.ndarray, each: int, size: int, seed: int, cache: Path) -> Lessons:
    """The teacher's answers for `each` crops of every photo, kept in `cache`."""
    if not cache.exists():
        from ai_edge_litert.interpreter import Interpreter  # ty: ignore[import-not-found]

        net = Interpreter(str(teacher), experimental_preserve_all_tensors=True, num_threads=1)
        net.allocate_tensors()
        entry = net.get_input_details()[0]["index"]
        details = {d["name"]: d for d in net.get_tensor_details()}
        n = len(photos) * each
        seen = np.empty((n, size, size, 3), np.uint8)
        answers = [np.empty((n, side, side, channels), np.float16) for _, side, channels in MAPS]
        for j, (small, large) in enumerate(crops(photos, each, size, seed)):
            seen[j] = small
            net.set_tensor(entry, large[None])
            net.invoke()
            for (name, _, _), out in zip(MAPS, answers, strict=True):
                scale, zero = details[name]["quantization"]
                out[j] = (net.get_tensor(details[name]["index"])[0].astype(np.float32) - zero) * scale
        cache.parent.mkdir(parents=True, exist_ok=True)
        save_file({"crops": seen} | {f"map{k}": a for k, a in enumerate(answers)}, cache)
    state = load_file(cache)
    return Lessons(state["crops"], tuple(state[f"map{k}"] for k in range(len(MAPS))))


def jitter(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    """Other colours, exposure, contrast, blur and noise on pictures (n, 3, h, w) in [0, 1]; each picture its own."""
    n = x.shape[0]

    def u(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=g)

    x = x.clamp_min(1e-4).pow(torch.exp(u(-0.4, 0.4, 1, 1, 1)))
    x.mul_(torch.exp(u(-0.25, 0.25, 1, 1, 1)) * torch.exp(u(-0.12, 0.12, 3, 1, 1)))
    x = torch.lerp(x.mean(1, keepdim=True), x, u(0.5, 1.4, 1, 1, 1))
    x.sub_(0.5).mul_(u(0.75, 1.25, 1, 1, 1)).add_(0.5)
    softness = u(-1.0, 1.0, 1, 1, 1)
    rows = (softness > 0).flatten().nonzero()[:, 0]
    soft = F.avg_pool2d(F.pad(x[rows], (1, 1, 1, 1), mode="replicate"), 3, 1)
    x[rows] = torch.lerp(x[rows], soft, softness[rows])
    x.add_(torch.randn(x.shape, generator=g).mul_(u(0, 0.03, 1, 1, 1)))
    return x.clamp_(0, 1)


class Distiller(nn.Module):
    """Eyes with three linear read-outs, one per teacher map; the read-outs are thrown away afterwards."""

    def __init__(self, eyes: Eyes, lessons: Lessons) -> None:
        super().__init__()
        self.eyes = eyes
        w = eyes.config.widths
        inner = (w[2], w[3], w[3])
        self.heads = nn.ModuleList([nn.Linear(i, channels) for i, (_, _, channels) in zip(inner, MAPS, strict=True)])
        for k, answers in enumerate(lessons.maps):
            sample = torch.from_numpy(answers[:: max(1, len(answers) // 500)]).float().flatten(0, 2)
            self.register_buffer(f"mean{k}", sample.mean(0))
            self.register_buffer(f"scale{k}", sample.std(0) + 1e-3)

    def loss(self, x: torch.Tensor, answers: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """1 − cosine between the standardised maps, place by place."""
        _, at16, at32 = self.eyes(x)
        mine = (
            F.interpolate(at16, (14, 14), mode="bilinear", align_corners=False),
            F.interpolate(at32, (7, 7), mode="bilinear", align_corners=False),
            at32.mean((2, 3), keepdim=True),
        )
        out = {}
        for k, (m, a) in enumerate(zip(mine, answers, strict=True)):
            guess = self.heads[k](m.permute(0, 2, 3, 1))
            truth = (a.float() - getattr(self, f"mean{k}")) / getattr(self, f"scale{k}")
            out[f"map{k}"] = 1 - F.cosine_similarity(guess, truth, dim=-1).mean()
        return out


def study(
    student: Distiller, lessons: Lessons, rng: np.random.Generator, g: torch.Generator, count: int, size: int
) -> dict[str, torch.Tensor]:
    """The student's loss on `count` lessons, seen in other colours and half the time mirrored."""
    rows = rng.integers(len(lessons.crops), size=count)
    x = torch.from_numpy(lessons.crops[rows]).permute(0, 3, 1, 2).float() / 255
    answers = [torch.from_numpy(m[rows]) for m in lessons.maps]
    if rng.random() < 0.5:
        x = x.flip(-1)
        answers = [a.flip(2) for a in answers]
    if x.shape[-1] != size:
        x = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
    return student.loss(jitter(x, g).contiguous(memory_format=torch.channels_last), answers)


def distil(lessons: Lessons, config: EyesConfig, loop: LoopConfig, batch: int, folder: Path) -> Distiller:
    """Train new `Eyes` on cached lessons."""
    student = Distiller(Eyes(config), lessons).to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        return study(student, lessons, np.random.default_rng([loop.seed, step]), g, batch, config.size)

    fit(student, loss, loop, folder)
    return student
