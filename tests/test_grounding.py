"""Dense alignment: what must hold whatever was learned, and a toy world of squares and tones that is learned."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from synesthesia import encoders, hub
from synesthesia.bridges.grounding import (
    MAP_SIDE,
    Found,
    Grounding,
    GroundingConfig,
    Locator,
    LocatorConfig,
    Places,
    Seen,
    Truth,
    multi_positive,
)
from synesthesia.bridges.outlining import Sight
from synesthesia.encoders.audio import FrameEarsConfig, save_tiny_ears, tiny_ears
from synesthesia.encoders.base import Earshot, Eyesight, FrameEncoder, Hearing, Look, PatchEncoder
from synesthesia.encoders.vision import EyesConfig, save_tiny_eyes, tiny_eyes
from synesthesia.metrics import localisation
from synesthesia.senses import Image, InputError, Region, Sound
from synesthesia.spaces import Features, Space, SpaceError

EYE, EAR = Space("eye.patch", 5), Space("ear.frame", 7)
SMALL = GroundingConfig(width=8, heads=2, hidden=16)
TINY = LocatorConfig(EyesConfig(64, (8, 8, 16, 16), (1, 1, 1, 1)), FrameEarsConfig((4, 4, 8, 8), 16), SMALL)


@pytest.fixture
def grounding() -> Grounding:
    torch.manual_seed(0)
    return Grounding(EYE, EAR, SMALL).eval()


def data(n: int = 3, m: int = 4, rows: int = 4, columns: int = 5, time: int = 6) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(1)
    dense, frames = torch.randn(n, rows, columns, 5, generator=g), torch.randn(m, time, 7, generator=g)
    return dense, frames, torch.full((m,), time)


# --- comparing -------------------------------------------------------------------------------------------------------


def test_the_order_of_frames_does_not_matter(grounding: Grounding) -> None:
    dense, frames, real = data()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(grounding(dense, frames[:, order], real), grounding(dense, frames, real))


def test_padding_does_not_matter(grounding: Grounding) -> None:
    dense, frames, real = data()
    padded = torch.cat([frames, 100 * torch.randn(4, 3, 7)], 1)
    torch.testing.assert_close(grounding(dense, padded, real), grounding(dense, frames, real))
    short = grounding(dense, frames, torch.tensor([2, 6, 1, 6]))
    torch.testing.assert_close(short[:, 0], grounding(dense, frames[:1, :2], real[:1] * 0 + 2)[:, 0])


def test_a_mirrored_grid_gives_mirrored_vectors_and_the_same_score(grounding: Grounding) -> None:
    dense, frames, real = data()
    there, sounds = grounding.look(dense)
    back, same = grounding.look(dense.flip(2))
    torch.testing.assert_close(back.flip(2), there)
    torch.testing.assert_close(same.flip(2), sounds)
    torch.testing.assert_close(grounding(dense.flip(2), frames, real), grounding(dense, frames, real))
    assert not torch.allclose(grounding.look(dense.flip(1))[1].flip(1), sounds), "up and down are not the same"


def test_pictures_and_sounds_do_not_depend_on_their_company(grounding: Grounding) -> None:
    dense, frames, real = data()
    together = grounding(dense, frames, real)
    for i in range(3):
        for j in range(4):
            torch.testing.assert_close(grounding(dense[i : i + 1], frames[j : j + 1], real[:1])[0, 0], together[i, j])


def test_the_best_head_counts(grounding: Grounding) -> None:
    vectors = F.normalize(torch.randn(1, 2, 3, 2, 4), dim=-1)
    frames = F.normalize(torch.randn(1, 5, 2, 4), dim=-1)
    each = torch.einsum("nrchw,mthw->nmhrct", vectors, frames).flatten(3, 4)
    torch.testing.assert_close(grounding.volume(vectors, frames), each.amax(2))


def test_the_peak_lies_between_mean_and_maximum_and_tends_to_the_maximum() -> None:
    volume = torch.rand(2, 3, 20, 4) * 2 - 1
    flat = torch.zeros(2, 20)

    def peak(sharpness: float) -> torch.Tensor:
        return Grounding(EYE, EAR, dataclasses.replace(SMALL, sharpness=sharpness)).peak(volume, flat)

    low, high = peak(5.0), peak(40.0)
    assert (volume.mean(2) < low).all()
    assert (low < high).all()
    assert (high <= volume.amax(2)).all()
    torch.testing.assert_close(peak(1000.0), volume.amax(2), atol=2e-3, rtol=0)
    torch.testing.assert_close(
        Grounding(EYE, EAR, SMALL).peak(volume.repeat(1, 1, 3, 1), flat.repeat(1, 3)),
        Grounding(EYE, EAR, SMALL).peak(volume, flat),
    )  # a thing of three times the size is no better


def test_what_makes_no_sound_is_not_looked_at(grounding: Grounding) -> None:
    volume = torch.tensor([0.9, 0.3, 0.1])[None, None, :, None]
    silent = torch.tensor([[-25.0, 10.0, 10.0]])
    assert grounding.peak(volume, silent).item() < 0.31
    assert grounding.heat(volume[0, 0, :, 0], silent[0]).argmax() == 1


def test_the_heat_is_the_product_of_sounding_at_all_and_of_sounding_like_that(grounding: Grounding) -> None:
    cosine, logit = torch.rand(50) * 2 - 1, torch.randn(50) * 3
    product = (10 * cosine - 5).sigmoid() * logit.sigmoid()  # the scale and offset at the start
    torch.testing.assert_close(grounding.heat(cosine, logit).sigmoid(), product)


def test_sounding_is_a_probability_of_each_patch(grounding: Grounding) -> None:
    dense, *_ = data()
    values = grounding.sounding(dense)
    assert values.shape == dense.shape[:3]
    torch.testing.assert_close(values, grounding.look(dense)[1].sigmoid())
    assert ((values > 0) & (values < 1)).all()


# --- losses ----------------------------------------------------------------------------------------------------------


def test_with_one_positive_the_contrast_is_the_cross_entropy() -> None:
    logits = torch.randn(6, 9)
    right = torch.tensor([3, 1, 8, 0, 5, 5])
    pairs = F.one_hot(right, 9).bool()
    torch.testing.assert_close(multi_positive(logits, pairs), F.cross_entropy(logits, right))


def test_several_positives_should_be_equally_likely() -> None:
    pairs = torch.tensor([[True, True, False]])
    equal = multi_positive(torch.tensor([[5.0, 5.0, -5.0]]), pairs)
    one = multi_positive(torch.tensor([[10.0, 0.0, -5.0]]), pairs)
    assert equal < one
    assert multi_positive(torch.tensor([[30.0, 30.0, -30.0]]), pairs).item() == pytest.approx(math.log(2))


def test_rows_without_a_positive_and_unknown_pairs_teach_nothing() -> None:
    logits = torch.randn(4, 5, requires_grad=True)
    pairs = torch.zeros(4, 5, dtype=torch.bool)
    pairs[1, 2] = pairs[2, 0] = pairs[2, 4] = True
    unknown = torch.zeros_like(pairs)
    unknown[1, 3] = unknown[2, 4] = True  # the latter is a positive, and stays one
    loss = multi_positive(logits, pairs, unknown)
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[[0, 3]] == 0).all()
    assert logits.grad[1, 3] == 0
    assert (logits.grad[1, [0, 1, 4]] > 0).all()
    others = torch.tensor([0, 1, 2, 4])
    one = F.cross_entropy(logits[1:2, others], torch.tensor([2]))
    two = -logits[2].log_softmax(-1)[[0, 4]].mean()
    torch.testing.assert_close(loss, (one + two) / 2)
    assert multi_positive(logits, torch.zeros_like(pairs)).item() == 0


class Given(Grounding):
    """A grounding whose eyes and ears already speak in its space: patches and frames are vectors there."""

    def look(self, dense: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return dense[..., :-1].unflatten(-1, (self.config.heads, -1)), dense[..., -1]

    def listen(self, frames: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return frames.unflatten(-1, (self.config.heads, -1)), torch.full(frames.shape[:2], 1 / frames.shape[1])


def aligned() -> tuple[Grounding, torch.Tensor, torch.Tensor, torch.Tensor, Truth]:
    """Four pictures, each of one thing at one place, and the sounds of the four; all vectors are orthogonal."""
    made = Given(Space("eye", 17), Space("ear", 16), GroundingConfig(width=16, heads=1, hidden=4))
    things = torch.eye(16)
    dense = torch.zeros(4, 3, 3, 17)
    dense[..., :16] = things[8]
    dense[..., 16] = -8.0
    mask = torch.zeros(4, 3, 3)
    for k in range(4):
        dense[k, k % 3, k // 3, :16] = things[k]
        dense[k, k % 3, k // 3, 16] = 8.0
        mask[k, k % 3, k // 3] = 1.0
    frames = things[:4, None].repeat(1, 5, 1)
    each = torch.arange(4)
    return made, dense, frames, torch.full((4,), 5), Truth(torch.eye(4).bool(), None, Places(each, each, mask), mask)


def test_perfect_alignment_gives_the_least_loss() -> None:
    made, dense, frames, real, truth = aligned()
    best = {k: v.item() for k, v in made.loss(dense, frames, real, truth).items()}
    assert best["contrast"] < 1e-4
    assert best["heat"] < 0.02
    assert best["mass"] < 1e-4
    assert best["sounding"] < 1e-3
    elsewhere = made.loss(dense.roll(1, 2), frames, real, truth)
    assert elsewhere["contrast"].item() == pytest.approx(best["contrast"], abs=1e-4)
    for part in ("heat", "mass", "sounding"):
        assert elsewhere[part] > best[part] + 0.3
    exchanged = made.loss(dense, frames.roll(1, 0), real, truth)
    assert exchanged["contrast"] > 3
    assert exchanged["sounding"].item() == pytest.approx(best["sounding"])
    g = torch.Generator().manual_seed(3)
    for _ in range(5):
        blurred = torch.cat(
            [F.normalize(dense[..., :16] + 0.3 * torch.randn(4, 3, 3, 16, generator=g), dim=-1), dense[..., 16:]], -1
        )
        worse = made.loss(blurred, frames, real, truth)
        assert worse["contrast"] > best["contrast"]
        assert worse["heat"] > best["heat"]


def test_an_empty_mask_wants_a_dark_picture() -> None:
    made, dense, frames, real, truth = aligned()
    nowhere = Places(torch.tensor([0, 1]), torch.tensor([2, 3]), torch.zeros(2, 3, 3))
    dark = made.loss(dense, frames, real, dataclasses.replace(truth, places=nowhere))
    assert dark["heat"] < 0.02
    assert dark["mass"] == 0
    shown = dataclasses.replace(nowhere, sound=nowhere.picture)
    assert made.loss(dense, frames, real, dataclasses.replace(truth, places=shown))["heat"] > 0.3


def test_what_is_not_known_costs_nothing_and_has_no_gradient(grounding: Grounding) -> None:
    dense, frames, real = data()
    pairs = torch.eye(3, 4).bool()
    alone = grounding.loss(dense, frames, real, Truth(pairs))
    assert alone["heat"] == alone["mass"] == alone["sounding"] == 0
    part = torch.rand(3, 4, 5)
    part[1] = torch.nan
    some = grounding.loss(dense, frames, real, Truth(pairs, sounding=part))
    rest = grounding.loss(dense[[0, 2]], frames, real, Truth(pairs[[0, 2]], sounding=part[[0, 2]]))
    torch.testing.assert_close(some["sounding"], rest["sounding"])
    torch.stack(list(some.values())).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in grounding.parameters())


def test_weights_of_the_parts_multiply_them(grounding: Grounding) -> None:
    dense, frames, real = data()
    mask = torch.rand(1, 4, 5)
    truth = Truth(torch.eye(3, 4).bool(), None, Places(torch.tensor([1]), torch.tensor([1]), mask), torch.rand(3, 4, 5))
    plain = grounding.loss(dense, frames, real, truth)
    grounding.config = dataclasses.replace(
        SMALL, contrast_weight=2.0, heat_weight=2.0, mass_weight=2 * SMALL.mass_weight, sounding_weight=2.0
    )
    for key, value in grounding.loss(dense, frames, real, truth).items():
        torch.testing.assert_close(value, 2 * plain[key])


def test_a_certain_patch_costs_a_finite_loss(grounding: Grounding) -> None:
    with torch.no_grad():
        grounding.offset.fill_(200.0)
        grounding.eye_sounding[-1].bias.fill_(200.0)
    dense, frames, real = data()
    each = torch.arange(3)
    truth = Truth(torch.eye(3, 4).bool(), None, Places(each, each, torch.zeros(3, 4, 5)), torch.zeros(3, 4, 5))
    terms = grounding.loss(dense, frames, real, truth)
    torch.stack(list(terms.values())).sum().backward()
    assert all(term.isfinite() for term in terms.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in grounding.parameters())


# --- a toy world: coloured squares and their tones -------------------------------------------------------------------


class Colours(Eyesight):
    """The mean colour of patches of 16 pixels, and its complement: mirror-equivariant, nothing to learn."""

    widths = (6, 6)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, None]:
        colour = F.avg_pool2d(pixels, 16).permute(0, 2, 3, 1)
        return torch.cat([colour, 1 - colour], -1), None


class Bands(Earshot):
    """The logarithm of power in 16 bands, of every tenth of a second."""

    widths = (16, 16)

    def forward(self, waves: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, None]:
        power = torch.fft.rfft(waves.unflatten(1, (-1, 800))).abs().square()[..., 1:]
        return (F.avg_pool1d(power, 25) + 1e-3).log(), None


def toy(config: GroundingConfig) -> Locator:
    eyes = PatchEncoder("colours", Colours(), Look(step=16, least=128 * 128, most=128 * 128))
    ears = FrameEncoder("bands", Bands(), Hearing(8000, 800, 200, 0.05, fixed=False))
    return Locator(dataclasses.replace(TINY, grounding=config), eyes=eyes, ears=ears)


COLOURS = np.array([[220, 40, 40], [40, 210, 60], [50, 60, 230], [230, 210, 40]])  # the last makes no sound
HZ = (300.0, 1000.0, 2600.0)


@dataclass(frozen=True, eq=False)
class Collage:
    image: Image
    kinds: tuple[int, int]
    masks: np.ndarray  # (3, 8, 8): of the two kinds, and of the silent square
    sounds: tuple[Sound, Sound, Sound]  # of the two kinds, and of both


def collage(seed: int) -> Collage:
    """Two squares that sound and a yellow one that does not, 32 pixels wide, on dark noise; tones with some noise."""
    rng = np.random.default_rng(seed)
    kinds = tuple(int(k) for k in rng.permutation(3)[:2])
    pixels = rng.integers(20, 60, (128, 128, 3))
    masks = np.zeros((3, 8, 8), np.float32)
    places = [divmod(int(k), 4) for k in rng.permutation(16)[:3]]
    while min(max(abs(a[0] - b[0]), abs(a[1] - b[1])) for a in places for b in places if a != b) < 2:
        places = [divmod(int(k), 4) for k in rng.permutation(16)[:3]]
    for mask, (r, c), kind in zip(masks, places, (*kinds, 3), strict=True):
        mask[2 * r : 2 * r + 2, 2 * c : 2 * c + 2] = 1
        pixels[32 * r : 32 * r + 32, 32 * c : 32 * c + 32] = COLOURS[kind] + rng.integers(-15, 15, 3)
    t = np.arange(4000) / 8000
    a, b = (
        rng.uniform(0.05, 0.3) * np.sin(2 * np.pi * HZ[k] * rng.uniform(0.95, 1.05) * t)
        + 0.002 * rng.standard_normal(4000)
        for k in kinds
    )
    assert len(kinds) == 2
    return Collage(
        Image(pixels.clip(0, 255).astype(np.uint8)), kinds, masks, (Sound(a, 8000), Sound(b, 8000), Sound(a + b, 8000))
    )


def lessons(locator: Locator, pictures: list[Collage]) -> tuple[torch.Tensor, ...]:
    """Patches of the pictures; frames and true masks (picture, sound, …) of each thing alone and of both."""
    dense = np.stack([p.dense.values for p in locator.eyes.see([c.image for c in pictures])])
    frames = np.stack([f.dense.values for f in locator.ears.listen([s for c in pictures for s in c.sounds])])
    masks = np.stack([[c.masks[0], c.masks[1], c.masks[0] + c.masks[1]] for c in pictures])
    return torch.from_numpy(dense), torch.from_numpy(frames).unflatten(0, (-1, 3)), torch.from_numpy(masks)


def truth(pictures: list[Collage], masks: torch.Tensor) -> Truth:
    """All pictures that show all that a sound is made of go with it; those that show a part are left open."""
    things = [set(kinds) for c in pictures for kinds in ((c.kinds[0],), (c.kinds[1],), c.kinds)]
    pairs = torch.tensor([[heard <= set(c.kinds) for heard in things] for c in pictures])
    shared = torch.tensor([[bool(heard & set(c.kinds)) for heard in things] for c in pictures])
    sound = torch.arange(len(things))
    return Truth(pairs, shared & ~pairs, Places(sound // 3, sound, masks.flatten(0, 1)), masks[:, 2])


@pytest.fixture(scope="module")
def learned() -> Locator:
    torch.manual_seed(0)
    locator = toy(GroundingConfig(width=32, heads=2, hidden=48))
    pictures = [collage(seed) for seed in range(80)]
    dense, frames, masks = lessons(locator, pictures)
    optimiser = torch.optim.AdamW(locator.grounding.parameters(), lr=5e-3)
    for step in range(90):
        some = np.random.default_rng(step).permutation(80)[:10]
        known = truth([pictures[i] for i in some], masks[some])
        real = torch.full((30,), frames.shape[2])
        loss = torch.stack(
            list(locator.grounding.loss(dense[some], frames[some].flatten(0, 1), real, known).values())
        ).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    locator.eval()
    held_out = [collage(50_000 + k) for k in range(12)]
    scores = locator.score([c.image for c in held_out], [s for c in held_out for s in c.sounds[:2]])
    shown = np.array([[kind in c.kinds for d in held_out for kind in d.kinds] for c in held_out])
    confidence = localisation.fit_confidence(scores.ravel(), shown.ravel())
    locator.config = dataclasses.replace(locator.config, confidence=confidence)
    return locator


@pytest.fixture(scope="module")
def unseen() -> list[Collage]:
    return [collage(90_000 + k) for k in range(12)]


def on_map(mask: np.ndarray) -> np.ndarray:
    return np.kron(mask, np.ones((MAP_SIDE // 8, MAP_SIDE // 8)))


def test_a_tone_is_located_at_the_square_that_makes_it(learned: Locator, unseen: list[Collage]) -> None:
    ious, hits = [], []
    for c in unseen:
        for mask, sound in zip(c.masks[:2], c.sounds[:2], strict=True):
            found = learned.locate(c.image, sound)
            assert found.heat.shape == (MAP_SIDE, MAP_SIDE)
            ious.append(localisation.iou(np.asarray(found.region.mask), on_map(mask), 0.5))
            hits.append(localisation.pointing(found.heat, on_map(mask)))
            assert found.confidence > 0.5
    assert np.mean(hits) == 1.0
    assert localisation.share_above(np.array(ious)) > 0.9


def test_a_mixture_is_located_at_both_squares(learned: Locator, unseen: list[Collage]) -> None:
    for c in unseen[:6]:
        heat, _ = learned.heat(learned.see([c.image])[0], learned.hear([c.sounds[2]])[0])
        inside = [float(heat[mask > 0].mean()) for mask in c.masks]
        assert min(inside[:2]) > 5 * inside[2]
        assert min(inside[:2]) > 5 * heat[c.masks.sum(0) == 0].mean()


def test_a_tone_of_no_square_is_not_found_with_confidence(learned: Locator, unseen: list[Collage]) -> None:
    sounds = {kind: sound for c in unseen for kind, sound in zip(c.kinds, c.sounds, strict=False)}
    for c in unseen:
        (absent,) = {0, 1, 2} - set(c.kinds)
        found = learned.locate(c.image, sounds[absent])
        assert found.confidence < 0.5
        assert found.heat.max() < 0.5


def test_pictures_and_sounds_find_each_other(learned: Locator, unseen: list[Collage]) -> None:
    """A row's first two sounds are the picture's own; a column's first pictures are those that show the kind."""
    scores = learned.score([c.image for c in unseen], [s for c in unseen for s in c.sounds[:2]])
    shown = np.array([[kind in c.kinds for d in unseen for kind in d.kinds] for c in unseen])
    assert shown[np.arange(12), scores.argmax(1)].all()
    assert shown[scores.argmax(0), np.arange(24)].all()


def test_squares_that_make_no_sound_stay_dark(learned: Locator, unseen: list[Collage]) -> None:
    for c, seen in zip(unseen, learned.see([c.image for c in unseen]), strict=True):
        assert seen.sounding[c.masks[2] > 0].max() < 0.3
        assert seen.sounding[c.masks.sum(0) == 0].mean() < 0.1
        for mask in c.masks[:2]:
            assert seen.sounding[mask > 0].min() > 0.7


def test_both_squares_are_found_without_any_sound(learned: Locator, unseen: list[Collage]) -> None:
    for c, seen in zip(unseen, learned.see([c.image for c in unseen]), strict=True):
        regions = learned.regions(seen)
        assert len(regions) == 2
        matched = set()
        for region, confidence in regions:
            ious = [localisation.iou(np.asarray(region.mask), on_map(mask), 0.5) for mask in c.masks[:2]]
            assert max(ious) > 0.5
            matched.add(int(np.argmax(ious)))
            assert confidence > 0.7
        assert matched == {0, 1}


def test_a_mirrored_picture_gives_the_mirrored_map(learned: Locator, unseen: list[Collage]) -> None:
    for c in unseen[:3]:
        there = learned.locate(c.image, c.sounds[0])
        back = learned.locate(Image(c.image.pixels[:, ::-1].copy()), c.sounds[0])
        np.testing.assert_allclose(back.heat[:, ::-1], there.heat, atol=1e-4)
        assert back.confidence == pytest.approx(there.confidence, abs=1e-4)
        assert back.region.centre.x == pytest.approx(1 - there.region.centre.x, abs=0.01)
        assert (back.at.x, back.at.y) == pytest.approx((1 - there.at.x, there.at.y), abs=0.05)
        row, column = int(there.at.y * len(there.heat)), int(there.at.x * there.heat.shape[1])
        assert there.heat[row, column] == there.heat.max()


def test_two_squares_of_one_colour_are_two_regions_and_one_sound(learned: Locator) -> None:
    pixels = np.full((128, 128, 3), 40, np.uint8)
    pixels[16:48, 16:48] = pixels[80:112, 80:112] = COLOURS[0]
    image = Image(pixels)
    seen = learned.see([image])[0]
    centres = sorted((r.centre.x, r.centre.y) for r, _ in learned.regions(seen))
    np.testing.assert_allclose(centres, [(0.25, 0.25), (0.75, 0.75)], atol=0.03)
    heat, _ = learned.heat(seen, learned.hear([next(
        c.sounds[0] for c in map(collage, range(100)) if c.kinds[0] == 0
    )])[0])  # fmt: skip
    np.testing.assert_allclose(heat[1:3, 1:3], heat[5:7, 5:7], atol=0.02)


# --- regions ---------------------------------------------------------------------------------------------------------


def painted(sounding: np.ndarray, kinds: np.ndarray, config: LocatorConfig = TINY) -> tuple[Locator, Seen]:
    """What was seen, made by hand: how much each patch sounds and which of orthogonal sounds it makes."""
    locator = Locator(config)
    width = config.grounding.width // config.grounding.heads
    vectors = np.concatenate([np.eye(width, dtype=np.float32)[kinds]] * config.grounding.heads, -1)
    rows, columns = kinds.shape
    logits = torch.from_numpy(sounding.astype(np.float32))[None].logit()
    shared = torch.from_numpy(vectors)[None]
    sight = Sight(torch.zeros(1, rows, columns, locator.eyes.dense.width), shared, logits)
    told = Features(vectors, locator.grounding.shared), sounding.astype(np.float32)
    return locator, Seen(*told, columns, rows, sight)


def test_regions_are_ordered_by_how_much_sounds_and_limited() -> None:
    kinds = np.repeat(np.arange(4)[None], 6, 0).repeat(3, 1)  # four stripes of three columns
    sounding = np.array([0.6, 0.95, 0.7, 0.8])[kinds]
    locator, seen = painted(sounding, kinds)
    regions = locator.regions(seen)
    np.testing.assert_allclose([c for _, c in regions], [0.95, 0.8, 0.7, 0.6], atol=1e-6)
    np.testing.assert_allclose([r.centre.x for r, _ in regions], [3 / 8, 7 / 8, 5 / 8, 1 / 8], atol=0.02)
    assert [c for _, c in locator.regions(seen, most=2)] == [c for _, c in regions[:2]]
    assert len(locator.regions(seen, threshold=0.75)) == 2
    assert len(locator.regions(seen, alike=-1.0)) == 1, "all sound alike when nothing is asked of it"
    assert locator.regions(seen, threshold=0.99) == []


def test_crumbs_belong_to_what_sounds_alike_near_them() -> None:
    sounding, kinds = np.zeros((10, 12)), np.zeros((10, 12), int)
    sounding[1:5, 1:4] = sounding[1:5, 8:11] = 0.9  # two birds
    sounding[6, 2] = 0.9  # a crumb of the left one
    sounding[8, 8] = 0.9
    kinds[8, 8] = 1  # alone in its sound, and smaller than a region may be
    locator, seen = painted(sounding, kinds)
    two = locator.regions(seen)
    assert len(two) == 2
    sizes = [round(float((r.on(10, 12) > 0.4).sum())) for r, _ in two]
    assert sizes == [13, 12]
    assert two[0][0].centre.x < 0.35


def test_the_same_picture_has_the_same_regions_in_the_same_order() -> None:
    rng = np.random.default_rng(5)
    locator, seen = painted(rng.random((14, 14)), rng.integers(0, 4, (14, 14)))
    first, second = locator.regions(seen), locator.regions(seen)
    assert 1 <= len(first) <= 6
    for (a, p), (b, q) in zip(first, second, strict=True):
        assert p == q
        np.testing.assert_array_equal(a.mask, b.mask)


@pytest.mark.filterwarnings("error")
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(), st.floats(), st.integers(-2, 9), st.integers(0, 2**31))
def test_any_numbers_give_regions_or_a_sentence(threshold: float, alike: float, most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    locator, seen = painted(rng.random((3, 5)), rng.integers(0, 4, (3, 5)))
    try:
        regions = locator.regions(seen, threshold, alike, most)
    except InputError:
        assert not (0 < threshold <= 1 and -1 <= alike <= 1 and most >= 1)
        return
    assert len(regions) <= most
    assert all(isinstance(r, Region) and threshold - 1e-6 <= c <= 1 for r, c in regions)


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny() -> Locator:
    torch.manual_seed(1)
    return Locator(TINY).eval()


def test_strange_sounds_work_or_are_refused_in_a_sentence(tiny: Locator) -> None:
    rng = np.random.default_rng(0)
    image = Image(rng.integers(0, 255, (40, 60, 3)).astype(np.uint8))
    for sound in (
        Sound(np.full((1, 1), 0.3), 44_100),
        Sound(0.1 * rng.standard_normal((8, 3000)), 16_000),
        Sound(0.1 * rng.standard_normal((1, 3)), 1),
        Sound(0.1 * rng.standard_normal((1, 200)), 768_000),
    ):
        found = tiny.locate(image, sound)
        assert np.isfinite(found.heat).all()
        assert 0 < found.confidence < 1
    left = 0.1 * rng.standard_normal(3000)
    for silent in (np.zeros((2, 4000)), np.zeros((1, 1)), np.zeros((1, 0)), np.stack([left, -left])):
        with pytest.raises(InputError, match="silent"):
            tiny.locate(image, Sound(silent, 16_000))
    with pytest.raises(InputError, match="601 s"):
        tiny.hear([Sound(np.ones((1, 601)), 1)])
    with pytest.raises(InputError, match="NaN"):
        tiny.hear([Sound(np.full((1, 9), np.nan), 16_000)])


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 1), (16, 16), (1600, 16), (16, 1600), (300, 200)])
def test_pictures_of_any_shape_get_a_map_of_their_proportions(tiny: Locator, width: int, height: int) -> None:
    rng = np.random.default_rng(0)
    image = Image(rng.integers(0, 255, (height, width, 3)).astype(np.uint8))
    found = tiny.locate(image, Sound(0.1 * rng.standard_normal((1, 8000)), 16_000))
    assert max(found.heat.shape) == MAP_SIDE
    assert found.heat.shape[1] / found.heat.shape[0] == pytest.approx(width / height, rel=0.3)
    assert found.heat.min() >= 0
    assert found.heat.max() <= 1
    assert found.region.mask.shape == found.heat.shape
    assert found.region.mask[np.unravel_index(found.heat.argmax(), found.heat.shape)] == 1
    assert len(tiny.regions(tiny.see([image])[0], threshold=0.01)) >= 1


def test_a_long_sound_is_compared_in_blocks_as_in_one_piece(tiny: Locator, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    image = Image(rng.integers(0, 255, (64, 64, 3)).astype(np.uint8))
    (seen,), heard = (
        tiny.see([image]),
        tiny.hear([Sound(0.1 * rng.standard_normal(16_000 * k), 16_000) for k in (2, 1)]),
    )
    whole, sure = tiny.heat(seen, heard[0])
    matched = tiny.match([seen], heard)
    monkeypatch.setattr("synesthesia.bridges.grounding.FRAMES_AT_ONCE", 7)
    heat, confidence = tiny.heat(seen, heard[0])
    np.testing.assert_allclose(heat, whole, rtol=1e-5)
    assert confidence == pytest.approx(sure, rel=1e-5)
    np.testing.assert_allclose(tiny.match([seen], heard), matched, rtol=1e-5)
    for j in range(2):
        np.testing.assert_allclose(tiny.match([seen], heard[j : j + 1])[0, 0], matched[0, j], rtol=1e-5)
    assert tiny.match([], heard).shape == (0, 2)
    assert tiny.match([seen], []).shape == (1, 0)


def test_scores_are_those_that_training_sees(tiny: Locator) -> None:
    rng = np.random.default_rng(4)
    images = [Image(rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)) for _ in range(2)]
    sounds = [Sound(0.1 * rng.standard_normal((1, 9600)), 16_000) for _ in range(3)]
    dense = torch.from_numpy(np.stack([p.dense.values for p in tiny.eyes.see(images)]))
    frames = torch.from_numpy(np.stack([f.dense.values for f in tiny.ears.listen(sounds)]))
    with torch.inference_mode():
        trained = tiny.grounding(dense, frames, torch.full((3,), frames.shape[1])).numpy()
    np.testing.assert_allclose(tiny.score(images, sounds), trained, atol=1e-5)


def test_other_spaces_are_refused(tiny: Locator, learned: Locator, unseen: list[Collage]) -> None:
    seen, heard = tiny.see([unseen[0].image])[0], learned.hear([unseen[0].sounds[0]])[0]
    assert seen.patches.space == tiny.grounding.shared
    with pytest.raises(SpaceError):
        tiny.heat(seen, dataclasses.replace(heard, frames=Features(heard.frames.values, Space("grounding/other", 32))))
    with pytest.raises(SpaceError):
        learned.match([seen], [heard])
    other = Locator(TINY, name="other")
    other.eyes.dense = Space("eyes/else.patch", other.eyes.dense.width)
    with pytest.raises(SpaceError):
        other.see([unseen[0].image])


# --- checkpoints -----------------------------------------------------------------------------------------------------


def same(a: Found, b: Found, tolerance: float) -> None:
    np.testing.assert_allclose(a.heat, b.heat, atol=tolerance)
    assert a.confidence == pytest.approx(b.confidence, abs=tolerance)


def picture_and_sound() -> tuple[Image, Sound]:
    rng = np.random.default_rng(9)
    return Image(rng.integers(0, 255, (60, 80, 3)).astype(np.uint8)), Sound(
        0.1 * rng.standard_normal((1, 8000)), 16_000
    )


def test_a_saved_locator_is_the_same_one(tiny: Locator, tmp_path: Path) -> None:
    tiny.config = dataclasses.replace(TINY, threshold=0.37, confidence=(7.5, -2.25), sounding=0.41, alike=0.6)
    loaded = Locator.load(tiny.save(tmp_path / "m"))
    assert loaded.config == tiny.config
    tiny.config = TINY
    assert not loaded.training
    loaded.config = TINY
    same(loaded.locate(*picture_and_sound()), tiny.locate(*picture_and_sound()), 5e-3)
    digest = json.loads((tmp_path / "m" / "config.json").read_text())["sha256"][:12]
    assert loaded.grounding.shared.name == f"grounding/locator@{digest}"
    assert loaded.grounding.source == loaded.eyes.dense == Space(f"eyes/locator@{digest}.patch", tiny.eyes.dense.width)
    assert Locator.load(loaded.save(tmp_path / "again")).grounding.shared == loaded.grounding.shared


def test_eyes_and_ears_may_live_elsewhere(tmp_path: Path) -> None:
    torch.manual_seed(2)
    assert isinstance(TINY.eyes, EyesConfig)
    assert isinstance(TINY.ears, FrameEarsConfig)
    save_tiny_eyes(tiny_eyes(config=TINY.eyes).eval(), tmp_path / "eyes")
    save_tiny_ears(tiny_ears(config=TINY.ears).eval(), tmp_path / "ears")
    config = dataclasses.replace(TINY, eyes=str(tmp_path / "eyes"), ears=str(tmp_path / "ears"))
    made = Locator(config).eval()
    assert made.eyes.dense == encoders.load_eyes(tmp_path / "eyes", device="cpu").dense
    assert {name.split(".")[0] for name, p in made.named_parameters() if p.requires_grad} == {"grounding"}
    assert made.train().grounding.training
    assert not any(part.training for encoder in (made.eyes, made.ears) for part in encoder.modules())
    made.eval()
    loaded = Locator.load(made.save(tmp_path / "m"))
    same(loaded.locate(*picture_and_sound()), made.locate(*picture_and_sound()), 5e-3)
    _, tensors = hub.load_model(tmp_path / "m")
    assert all(name.startswith("grounding.") for name in tensors)
    save_tiny_eyes(tiny_eyes(config=TINY.eyes).eval(), tmp_path / "eyes")  # other weights at the same place
    with pytest.raises(InputError, match="was trained with the eyes"):
        Locator.load(tmp_path / "m")


def test_given_eyes_of_another_size_are_saved_with_that_size(tmp_path: Path) -> None:
    torch.manual_seed(3)
    eyes = tiny_eyes("given", EyesConfig(96, (4, 8, 8, 16), (1, 1, 1, 1))).eval()
    made = Locator(TINY, eyes=eyes).eval()
    same(Locator.load(made.save(tmp_path / "m")).locate(*picture_and_sound()), made.locate(*picture_and_sound()), 5e-3)


def test_given_eyes_that_are_not_ours_are_not_saved(learned: Locator, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="eyes are not our own"):
        learned.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_what_is_no_locator_is_refused(tiny: Locator, tmp_path: Path) -> None:
    save_tiny_eyes(tiny_eyes(config=EyesConfig(64, (8, 8, 16, 16), (1, 1, 1, 1))), tmp_path / "eyes")
    with pytest.raises(InputError, match="not a locator"):
        Locator.load(tmp_path / "eyes")
    folder = tiny.save(tmp_path / "m")
    config, tensors = hub.load_model(folder)
    hub.save_model(folder, {"model": config["model"], "spaces": {}}, dict(list(tensors.items())[1:]))
    with pytest.raises(InputError, match="lacks"):
        Locator.load(folder)


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 40), st.floats(), st.text(max_size=3), st.lists(st.floats(), max_size=3)
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["threshold", "confidence", "sounding", "alike", "eyes", "ears", "grounding", "nonsense"])
    | st.sampled_from(["width", "heads", "hidden", "layers", "sharpness", "mass_weight"]),
    VALUES,
)
def test_a_config_with_anything_in_it_loads_or_is_refused(tiny: Locator, tmp_path: Path, key: str, value: Any) -> None:
    folder = tmp_path / "m"
    if not folder.exists():
        tiny.save(folder)
    config = json.loads((folder / "config.json").read_text())
    part = config["model"]["grounding"] if hasattr(SMALL, key) else config["model"]
    before, known = part.get(key), key in part
    part[key] = value
    (folder / "config.json").write_text(json.dumps(config))
    try:
        assert isinstance(Locator.load(folder), Locator)
        assert known
    except InputError as error:
        assert "\n" not in str(error)
    finally:
        part[key] = before
        if not known:
            del part[key]
        (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "change",
    [{"threshold": 0.0}, {"threshold": float("nan")}, {"sounding": 1.5}, {"alike": 2.0}, {"confidence": (1.0, np.inf)}],
)
def test_thresholds_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        dataclasses.replace(TINY, **change)


@pytest.mark.parametrize("change", [{"heads": 3}, {"heads": 0}, {"width": 10**6, "heads": 1}, {"layers": -1}])
def test_impossible_sizes_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        dataclasses.replace(SMALL, **change)
