"""Outlines: what must hold whatever was learned, and a toy world of squares that no patches fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from synesthesia import hub
from synesthesia.bridges.grounding import MAP_SIDE, GroundingConfig, Heard, Locator, LocatorConfig
from synesthesia.bridges.outlining import Belonging, Outline, OutlineConfig, Sight, outline_loss, redrawn
from synesthesia.encoders.audio import FrameEarsConfig
from synesthesia.encoders.base import Earshot, Eyesight, FrameEncoder, Hearing, Look, PatchEncoder
from synesthesia.encoders.vision import EyesConfig, tiny_eyes
from synesthesia.metrics import localisation
from synesthesia.senses import Image, InputError, Region, Sound
from synesthesia.spaces import Features
from synesthesia.train.loop import LoopConfig, fit

TINY = LocatorConfig(
    EyesConfig(64, (8, 8, 16, 16), (1, 1, 1, 1)), FrameEarsConfig((4, 4, 8, 8), 16), GroundingConfig(8, 2, 16)
)
CONFIG = OutlineConfig(16)


@pytest.fixture(scope="module")
def outline() -> Outline:
    torch.manual_seed(0)
    return Outline(10, 8, 2, (6, 5), CONFIG).eval()


def sight(n: int = 3, rows: int = 3, columns: int = 5) -> Sight:
    g = torch.Generator().manual_seed(1)
    fine = [torch.randn(n, width, k * rows, k * columns, generator=g) for width, k in ((6, 2), (5, 4))]
    shared = F.normalize(torch.randn(n, rows, columns, 2, 4, generator=g), dim=-1).flatten(-2)
    patches, sounding = torch.randn(n, rows, columns, 10, generator=g), torch.randn(n, rows, columns, generator=g)
    return Sight(patches, shared, sounding, tuple(fine))


def some(seen: Sight, k: slice) -> Sight:
    return Sight(seen.patches[k], seen.shared[k], seen.sounding[k], tuple(f[k] for f in seen.fine))


# --- the outline alone ---


def test_cells_are_those_of_the_finest_map(outline: Outline) -> None:
    logits, shown = outline(sight(), torch.randn(3, 8))
    assert logits.shape == (3, 12, 20)
    assert shown.shape == (3,)
    coarse = Outline(10, 8, 2, (), CONFIG)  # eyes that tell nothing of what they saw on the way
    assert coarse(Sight(*(getattr(sight(), k) for k in ("patches", "shared", "sounding"))), torch.randn(3, 8))[
        0
    ].shape == (3, 3, 5)


def test_pictures_do_not_depend_on_their_company(outline: Outline) -> None:
    seen, sound = sight(), torch.randn(3, 8)
    together = outline(seen, sound)
    for i in range(3):
        alone = outline(some(seen, slice(i, i + 1)), sound[i : i + 1])
        for a, b in zip(alone, together, strict=True):
            torch.testing.assert_close(a[0], b[i])


def test_what_is_compared_is_what_the_outline_says_of_the_whole(outline: Outline) -> None:
    seen, sound = sight(), torch.randn(3, 8)
    torch.testing.assert_close(outline.compared(seen, sound)[1], outline(seen, sound)[1])


def test_the_truth_has_the_least_loss_whatever_its_size() -> None:
    mask = torch.zeros(3, 8, 8)
    mask[0, 2:4, 2:4] = 1
    mask[1, :, :5] = 1
    mask[2] = 1
    sure = 20 * (2 * mask - 1)
    best = outline_loss(sure, mask)
    assert all(value < 1e-4 for value in best.values())
    for k in range(2):
        missed = sure.clone()
        missed[k] = -20
        off = outline_loss(missed, mask)
        assert off["overlap"].item() == pytest.approx(1 / 3, abs=1e-4), (
            "a small thing missed costs what a large one does"
        )
        assert off["cells"] > best["cells"]
    assert outline_loss(sure.roll(1, 2), mask)["overlap"] > best["overlap"] + 0.1


def test_impossible_widths_are_refused() -> None:
    for width in (0, 10**6):
        with pytest.raises(InputError):
            OutlineConfig(width)


# --- in a locator ---


@pytest.fixture(scope="module")
def locator() -> Locator:
    torch.manual_seed(1)
    return Locator(dataclasses.replace(TINY, outline=CONFIG)).eval()


def asked() -> tuple[Image, Sound]:
    rng = np.random.default_rng(9)
    pixels = rng.integers(0, 255, (60, 80, 3)).astype(np.uint8)
    return Image(pixels), Sound(0.1 * rng.standard_normal((1, 8000)), 16_000)


def test_a_saved_outline_is_the_same_one_and_the_spaces_keep_their_names(locator: Locator, tmp_path: Path) -> None:
    plain = Locator(TINY)
    plain.load_state_dict({k: v for k, v in locator.state_dict().items() if not k.startswith("outline.")})
    before = Locator.load(plain.save(tmp_path / "before"))
    after = Locator.load(locator.save(tmp_path / "after"))
    assert after.grounding.shared == before.grounding.shared
    assert after.eyes.dense == before.eyes.dense
    assert after.config == locator.config
    sha = [hub.read_config(tmp_path / name)["sha256"] for name in ("before", "after")]
    assert sha[0] != sha[1]
    a, b = after.locate(*asked()), locator.locate(*asked())
    np.testing.assert_allclose(a.heat, b.heat, atol=5e-3)
    assert a.confidence == pytest.approx(b.confidence, abs=5e-3)
    assert Locator.load(after.save(tmp_path / "again")).grounding.shared == before.grounding.shared


def test_a_locator_without_an_outline_is_what_it_was(locator: Locator, tmp_path: Path) -> None:
    plain = Locator(TINY).eval()
    loaded = Locator.load(plain.save(tmp_path / "m"))
    assert loaded.outline is None
    (seen,), (heard,) = loaded.see([asked()[0]]), loaded.hear([asked()[1]])
    heat, confidence = loaded.heat(seen, heard)
    found = loaded.find(seen, heard)
    assert found.confidence == confidence
    assert found.heat.max() <= heat.max() + 1e-6
    with pytest.raises(InputError, match="outline"):
        loaded.outlined(seen, heard)


def test_the_map_is_no_brighter_than_the_confidence(locator: Locator) -> None:
    found = locator.locate(*asked())
    assert max(found.heat.shape) == MAP_SIDE
    assert 0 < found.heat.max() <= found.confidence < 1
    region = np.asarray(found.region.mask) == 1
    row, column = int(found.at.y * len(found.heat)), int(found.at.x * found.heat.shape[1])
    assert region[row, column]
    assert region.sum() == (found.heat >= locator.config.threshold * found.heat.max()).sum()


def test_only_the_place_of_a_sound_counts(locator: Locator) -> None:
    """So a phrase, which has a place and no frames, is outlined as a sound is."""
    (seen,), (heard,) = locator.see([asked()[0]]), locator.hear([asked()[1]])
    mean = (heard.frames.values * heard.weight[:, None]).sum(0, keepdims=True)
    one = Heard(Features(mean, heard.frames.space), np.ones(1, np.float32))
    np.testing.assert_allclose(locator.find(seen, one).heat, locator.find(seen, heard).heat, atol=1e-5)


def test_patches_that_were_seen_before_are_outlined_alike(locator: Locator) -> None:
    image, sound = asked()
    (patches,) = locator.eyes.see([image])
    (heard,) = locator.hear([sound])
    a = locator.find(locator.recognise(image, patches), heard)
    np.testing.assert_array_equal(a.heat, locator.find(locator.see([image])[0], heard).heat)


def test_what_the_eyes_saw_on_the_way_is_finer() -> None:
    eyes = tiny_eyes(config=EyesConfig(64, (8, 12, 16, 16), (1, 1, 1, 1))).eval()
    x = torch.rand(2, 3, 64, 96)
    fine = eyes.closer(x)
    rows, columns = eyes(x)[0].shape[1:3]
    assert [f.shape for f in fine] == [
        (2, width, k * rows, k * columns) for width, k in zip(eyes.tower.fine, (2, 4), strict=True)
    ]


# --- a toy world: squares of any width, and their tones ---


class Colours(Eyesight):
    """The mean colour of patches of 16 pixels, and of 8 and 4 on the way; nothing to learn."""

    widths = (6, 6)
    fine = (6, 6)

    def _at(self, pixels: torch.Tensor, side: int) -> torch.Tensor:
        colour = F.avg_pool2d(pixels, side)
        return torch.cat([colour, 1 - colour], 1)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self._at(pixels, 16).permute(0, 2, 3, 1), None

    def closer(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self._at(pixels, 8), self._at(pixels, 4)


class Tones(Earshot):
    """The power in three bands, of every tenth of a second."""

    widths = (3, 3)

    def forward(self, waves: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, None]:
        power = torch.fft.rfft(waves.unflatten(1, (-1, 800))).abs().square()[..., 1:391]
        return (F.avg_pool1d(power, 130) + 1e-3).log(), None


COLOURS = torch.tensor([[0.9, 0.2, 0.2], [0.2, 0.8, 0.2], [0.2, 0.2, 0.9]])
HZ = (500.0, 2000.0, 3300.0)


def squares(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures of two of three kinds of squares, at any place and of any width; masks on cells of 4 pixels; kinds."""
    rng = np.random.default_rng(seed)
    x, masks = torch.rand(n, 3, 128, 128) * 0.15, torch.zeros(n, 2, 128, 128)
    kinds = rng.random((n, 3)).argsort(1)[:, :2]
    for i in range(n):
        for k, left in enumerate((0, 64)):
            side = int(rng.integers(14, 50))
            a, b = int(rng.integers(128 - side)), left + int(rng.integers(64 - side))
            x[i, :, a : a + side, b : b + side] += COLOURS[kinds[i, k]][:, None, None] * 0.85
            masks[i, k, a : a + side, b : b + side] = 1
    return x, F.avg_pool2d(masks, 4), torch.from_numpy(kinds)


def tone(kind: int) -> Sound:
    t = np.arange(4000) / 8000
    return Sound((0.2 * np.sin(2 * np.pi * HZ[kind] * t))[None], 8000)


def vectors(locator: Locator) -> torch.Tensor:
    """Where each tone stands in the shared space."""
    heard = locator.hear([tone(kind) for kind in range(3)])
    return torch.from_numpy(np.stack([(h.frames.values * h.weight[:, None]).sum(0) for h in heard]))


@pytest.fixture(scope="module")
def learned() -> Locator:
    torch.manual_seed(0)
    eyes = PatchEncoder("colours", Colours(), Look(step=16, least=128 * 128, most=128 * 128))
    ears = FrameEncoder("tones", Tones(), Hearing(8000, 800, 200, 0.05, fixed=False))
    model = Locator(dataclasses.replace(TINY, outline=CONFIG), eyes=eyes, ears=ears).requires_grad_(False)
    outline = model.outline
    assert outline is not None
    outline.requires_grad_(True)
    x, masks, kinds = squares(96, 0)
    with torch.no_grad():
        seen, sounds = model.sight(x), vectors(model)
    optimiser = torch.optim.AdamW(outline.parameters(), lr=6e-3)
    rng = np.random.default_rng(1)
    for _ in range(150):
        rows, which = torch.from_numpy(rng.permutation(96)[:16]), torch.from_numpy(rng.integers(2, size=16))
        now = Sight(seen.patches[rows], seen.shared[rows], seen.sounding[rows], tuple(f[rows] for f in seen.fine))
        logits, here = outline(now, sounds[kinds[rows, which]])
        absent = 3 - kinds[rows].sum(1)
        _, no = outline.compared(now, sounds[absent])
        terms = outline_loss(logits, masks[rows, which])
        loss = terms["cells"] + terms["overlap"] + 0.2 * (F.softplus(-here).mean() + F.softplus(no).mean())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.config = dataclasses.replace(model.config, threshold=0.5, confidence=(1.0, 0.0))
    return model.eval()


def picture(x: torch.Tensor) -> Image:
    return Image((x.permute(1, 2, 0) * 255).byte().numpy())


def test_squares_are_outlined_finer_than_patches(learned: Locator) -> None:
    """Even the best map of patches would outline them worse."""
    x, masks, kinds = squares(20, 7)
    ious, hits, coarse = [], [], []
    for i in range(20):
        (seen,) = learned.see([picture(x[i])])
        for k in range(2):
            found = learned.find(seen, learned.hear([tone(int(kinds[i, k]))])[0])
            mask = F.interpolate(masks[i, k][None, None], (MAP_SIDE, MAP_SIDE))[0, 0].numpy()
            ious.append(localisation.iou(np.asarray(found.region.mask), mask, 0.5))
            hits.append(localisation.pointing(found.heat, mask))
            patches = F.interpolate(F.avg_pool2d(masks[i, k][None, None], 4), (MAP_SIDE, MAP_SIDE))[0, 0].numpy()
            coarse.append(localisation.iou(patches, mask, 0.5))
    assert np.mean(hits) > 0.95
    assert localisation.share_above(np.array(ious)) > 0.9
    assert np.mean(ious) > np.mean(coarse)


def test_a_tone_of_no_square_lights_up_nothing(learned: Locator) -> None:
    x, _, kinds = squares(10, 8)
    for i in range(10):
        (seen,) = learned.see([picture(x[i])])
        found = learned.find(seen, learned.hear([tone(3 - int(kinds[i].sum()))])[0])
        shown = [learned.find(seen, learned.hear([tone(int(k))])[0]) for k in kinds[i]]
        assert found.confidence < 0.5 < min(f.confidence for f in shown)
        assert found.heat.max() < 0.5


# --- what belongs to a point ---


def test_what_belongs_to_a_point_is_what_is_like_it_down_to_the_finest_cells(tmp_path: Path) -> None:
    """Each picture has two parts of different features, whose border crosses patches and is shown by finer maps alone;
    the part in which the point lies belongs to it."""
    torch.manual_seed(0)
    model, without = Belonging(8, (4,), 16), Belonging(8, (), 16)

    def parts(g: torch.Generator, n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        edge = torch.randint(3, 10, (n, 1, 1), generator=g)
        first = (torch.arange(12) < edge).expand(n, 10, 12).float()
        left, right = 2 * torch.randn(2, n, 8, 1, 1, generator=g)
        share = F.avg_pool2d(first[:, None], 2)
        dense = (share * left + (1 - share) * right + 0.1 * torch.randn(n, 8, 5, 6, generator=g)).permute(0, 2, 3, 1)
        fine = first[:, None] * left[:, :4] + (1 - first[:, None]) * right[:, :4]
        point = torch.rand(n, 2, generator=g)
        on_left = (12 * point[:, :1, None] < edge).float()
        return dense, fine, point, torch.where(on_left > 0, first, 1 - first)

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        dense, fine, point, mask = parts(g, 32)
        coarse = F.avg_pool2d(mask[:, None], 2)[:, 0]
        return {
            "cells": F.binary_cross_entropy_with_logits(model(dense, [fine], point), mask),
            "patches": F.binary_cross_entropy_with_logits(without(dense, [], point), coarse),
        }

    fit(nn.ModuleList([model, without]), loss, LoopConfig(300, 5e-3, warmup=10, ema=0.9), tmp_path)
    with torch.inference_mode():
        dense, fine, point, mask = parts(torch.Generator().manual_seed(99), 64)
        said, rough = model.eval()(dense, [fine], point), without.eval()(dense, [], point)
    assert said.shape == mask.shape == (64, 10, 12)
    assert rough.shape == (64, 5, 6)
    right = ((said > 0) == (mask > 0.5)).float().mean()
    enlarged = F.interpolate(rough[:, None], (10, 12), mode="nearest")[:, 0]
    assert float(right) > max(0.95, float(((enlarged > 0) == (mask > 0.5)).float().mean()) + 0.02)


def test_an_outline_is_drawn_along_colours() -> None:
    """A red ball on a green ground, of which patches tell little more than where it is."""
    y, x = np.mgrid[0:168, 0:224]
    ball = (x - 100) ** 2 + (y - 70) ** 2 < 38**2
    rng = np.random.default_rng(0)
    colours = np.where(ball[..., None], [0.8, 0.2, 0.1], [0.2, 0.6, 0.2]) + rng.normal(0, 0.03, (168, 224, 3))
    image = Image((colours.clip(0, 1) * 255).astype(np.uint8))
    rows, columns = np.mgrid[0:14, 0:14] / 13
    rough = Region(np.exp(-(((columns - 100 / 224) / 0.22) ** 2) - ((rows - 70 / 168) / 0.3) ** 2).astype(np.float32))

    def overlap(region: Region) -> float:
        mask, true = region.on(84, 112), ball[::2, ::2]
        return float(2 * np.minimum(mask, true).sum() / (mask.sum() + true.sum()))

    drawn = redrawn(image, rough)
    assert overlap(rough) < 0.75
    assert overlap(drawn) > 0.93
    # Where colours tell nothing the outline is that of before, only clearer; one that vanishes is left alone.
    plain = redrawn(Image(np.full((64, 64, 3), 90, np.uint8)), rough)
    assert np.corrcoef(plain.on(14, 14).ravel(), (np.asarray(rough.mask) > 0.5).ravel())[0, 1] > 0.8
    faint = Region(0.01 * np.asarray(rough.mask))
    assert redrawn(image, faint) is faint
