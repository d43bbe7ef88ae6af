"""Give small eyes what larger ones have learned: distillation of a teacher's dense inner maps.

The teacher (MobileNetV2, Apache-2.0, an int8 TensorFlow Lite file; needs the wheel `ai-edge-litert`) is asked about
exactly the picture that the student sees, cropped, recoloured, mixed with another, so that no two lessons are alike
(Beyer et al., Knowledge distillation: a good teacher is patient and consistent, CVPR 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..encoders.vision import Eyes, EyesConfig
from .loop import LoopConfig, fit, quick

# Inner maps of the teacher by tensor name: (name, side, channels). Three depths: texture, parts, and the pooled whole.
MAPS = (
    ("MobilenetV2/expanded_conv_12/add", 14, 96),
    ("MobilenetV2/expanded_conv_16/project/add_fold", 7, 320),
    ("MobilenetV2/Logits/AvgPool", 1, 1280),
)


class Teacher:
    """The larger network: pictures (n, 3, h, w) in [0, 1] → its maps, each (n, side, side, channels).

    Raises ValueError for a file that is none, and for one without one of the `maps`.
    """

    def __init__(self, path: Path, maps: Sequence[tuple[str, int, int]] = MAPS) -> None:
        from ai_edge_litert.interpreter import Interpreter  # ty: ignore[import-not-found]

        self._maps = maps

        threads = torch.get_num_threads()
        self._net = Interpreter(str(path), experimental_preserve_all_tensors=True, num_threads=threads)
        self._net.allocate_tensors()
        self._entry = self._net.get_input_details()[0]["index"]
        self._details = {d["name"]: d for d in self._net.get_tensor_details()}
        if lacking := [name for name, _, _ in maps if name not in self._details]:
            raise ValueError(f"it has no map {lacking[0]}")

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        large = F.interpolate(x, (224, 224), mode="bilinear", align_corners=False)
        pixels = (large * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        answers = [np.empty((len(x), side, side, channels), np.float32) for _, side, channels in self._maps]
        for j, picture in enumerate(pixels):
            self._net.set_tensor(self._entry, picture[None])
            self._net.invoke()
            for (name, _, _), out in zip(self._maps, answers, strict=True):
                scale, zero = self._details[name]["quantization"]
                out[j] = (self._net.get_tensor(self._details[name]["index"])[0].astype(np.float32) - zero) * scale
        return tuple(torch.from_numpy(a) for a in answers)


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


def crops(
    pictures: Sequence[np.ndarray] | np.ndarray,
    rng: np.random.Generator,
    count: int,
    size: int,
    rows: np.ndarray | None = None,
) -> torch.Tensor:
    """`count` random parts (a sixth to all) of square `pictures` (n, side, side, 3), as (count, 3, size, size).

    `rows` says of which pictures; otherwise they are drawn.
    """
    rows = rng.integers(len(pictures), size=count) if rows is None else rows
    zoom = np.sqrt(rng.uniform(0.16, 1.0, count))
    theta = np.zeros((count, 2, 3), np.float32)
    theta[:, 0, 0] = zoom * np.where(rng.random(count) < 0.5, -1, 1)
    theta[:, 1, 1] = zoom
    theta[:, :, 2] = rng.uniform(-1, 1, (count, 2)) * (1 - zoom)[:, None]
    x = torch.from_numpy(np.stack([pictures[r] for r in rows])).permute(0, 3, 1, 2).float() / 255
    grid = F.affine_grid(torch.from_numpy(theta), [count, 3, size, size], align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


class Distiller(nn.Module):
    """Eyes with three linear read-outs, one per teacher map; the read-outs are thrown away afterwards."""

    def __init__(self, eyes: Eyes, sample: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.eyes = eyes
        w = eyes.config.widths
        inner = (w[2], w[3], w[3])
        self.heads = nn.ModuleList([nn.Linear(i, channels) for i, (_, _, channels) in zip(inner, MAPS, strict=True)])
        for k, answers in enumerate(sample):
            flat = answers.flatten(0, 2)
            self.register_buffer(f"mean{k}", flat.mean(0))
            self.register_buffer(f"scale{k}", flat.std(0) + 1e-3)

    def loss(self, maps: Sequence[torch.Tensor], answers: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """1 − cosine between the standardised maps, place by place; `maps` are what the eyes made of the pictures."""
        _, at16, at32 = maps
        mine = (
            F.interpolate(at16, (14, 14), mode="bilinear", align_corners=False),
            F.interpolate(at32, (7, 7), mode="bilinear", align_corners=False),
            at32.mean((2, 3), keepdim=True),
        )
        out = {}
        for k, (m, a) in enumerate(zip(mine, answers, strict=True)):
            guess = self.heads[k](m.permute(0, 2, 3, 1))
            truth = (a - getattr(self, f"mean{k}")) / getattr(self, f"scale{k}")
            out[f"map{k}"] = 1 - F.cosine_similarity(guess, truth, dim=-1).mean()
        return out


def lessons(
    pictures: Sequence[np.ndarray] | np.ndarray, rng: np.random.Generator, g: torch.Generator, count: int, size: int
) -> torch.Tensor:
    """`count` new pictures to learn from (count, 3, size, size): crops in other colours, half mixed with another."""
    x = jitter(crops(pictures, rng, count, size), g)
    share = np.where(rng.random(count) < 0.5, rng.uniform(0.5, 1.0, count), 1.0).astype(np.float32)
    return torch.lerp(x.roll(1, 0), x, torch.from_numpy(share)[:, None, None, None])


def pupil(teacher: Teacher, pictures: Sequence[np.ndarray] | np.ndarray, eyes: Eyes, seed: int, size: int) -> Distiller:
    """`eyes` with read-outs that have learned nothing yet, for what the teacher says about `pictures`."""
    return Distiller(eyes, teacher(crops(pictures, np.random.default_rng(seed), 256, size)))


def distil(
    teacher: Teacher,
    pictures: Sequence[np.ndarray] | np.ndarray,
    config: EyesConfig,
    loop: LoopConfig,
    batch: int,
    folder: Path,
    small: int,
) -> Distiller:
    """Train new `Eyes` on what the teacher says about `pictures`, at `small` pixels for the first six tenths."""
    student = pupil(teacher, pictures, Eyes(config), loop.seed, config.size)
    student.to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([loop.seed, 3, step])
        x = lessons(pictures, rng, g, batch, small if step < 0.6 * loop.steps else config.size)
        with quick():
            seen = tuple(m.float() for m in student.eyes(x.contiguous(memory_format=torch.channels_last)))
        return student.loss(seen, teacher(x))

    fit(student, loss, loop, folder)
    return student
