"""Direct sensory mapping: on toy worlds whose truth is known, and by its symmetries."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia.bridges.heads import TOKENS
from synesthesia.bridges.mapper import Head, Mapper, MapperConfig, attention_loss
from synesthesia.codecs import bands
from synesthesia.senses import InputError, Region, Sound
from synesthesia.spaces import Features, Space, SpaceError

EYES, VOICE = Space("toy.patch", 6), Space("toy/1", 3)
SIDE = 4
LEFT, RIGHT = (0.2, 0.5), (0.8, 0.5)
# A toy voice's sounds are high or low for as long as they last. How often they are high depends on the kind of patch.
HIGH = torch.tensor([0.5, 0.85, 0.15])
MIDDLE, STEP, GRAIN = 10.0, 5.0, 1.5


def config(head: Head = "flow", **changes: object) -> MapperConfig:
    small = MapperConfig(EYES, VOICE, head, width=32, layers=2, heads=2, fold=2, block=4, context=2, dropout=0.0)
    return dataclasses.replace(small, **changes)


def pictures(left: torch.Tensor, right: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    """(n, 4, 4, 6): one kind of patch on the left half, one on the right."""
    kinds = torch.stack([left, left, right, right], 1)[:, None].expand(-1, SIDE, -1)
    return torch.eye(3).repeat(1, 2)[kinds] + 0.1 * torch.randn(len(left), SIDE, SIDE, 6, generator=g)


def sounds(kind: torch.Tensor, frames: int, g: torch.Generator) -> torch.Tensor:
    sign = (torch.rand(len(kind), generator=g) < HIGH[kind]).float() * 2 - 1
    return MIDDLE + STEP * sign[:, None, None] + GRAIN * torch.randn(len(kind), frames, 3, generator=g)


def trained(head: Head, steps: int) -> Mapper:
    """Learns from points alone; masks are only looked at, by the attention's loss."""
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(1)
    mapper = Mapper(config(head))
    mapper.fit_scale(sounds(torch.arange(600) % 3, 4, g))
    optimizer = torch.optim.AdamW(mapper.parameters(), 4e-3, weight_decay=0.0)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
    for _ in range(steps):
        left, right = torch.randint(3, (2, 64), generator=g)
        at_left = torch.rand(64, generator=g) < 0.5
        condition = mapper.look(
            pictures(left, right, g), point=torch.where(at_left[:, None], torch.tensor(LEFT), torch.tensor(RIGHT))
        )
        half = torch.zeros(64, SIDE, SIDE)
        half[at_left, :, :2], half[~at_left, :, 2:] = 1.0, 1.0
        latents = sounds(torch.where(at_left, left, right), 8, g)
        loss = mapper.loss(condition, latents, g)["latents"] + 0.1 * attention_loss(condition.weights, half)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    return mapper.eval()


@pytest.fixture(scope="module")
def flow() -> Mapper:
    return trained("flow", 400)


def shaken(mapper: Mapper) -> Mapper:
    """A mapper that was never trained but whose every part does something."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in mapper.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return mapper.eval()


def clicked(mapper: Mapper, left: int, right: int, point: tuple[float, float], n: int) -> np.ndarray:
    """(n, frames, 3) standardised so that −1 and 1 are the two modes: what is heard at a point, for n seeds."""
    g = torch.Generator().manual_seed(9)
    dense = pictures(torch.full((n,), left), torch.full((n,), right), g)
    condition = mapper.look(dense, point=torch.tensor([point]).repeat(n, 1))
    return (mapper.generate(condition, 16, range(n), guidance=1.0).values - MIDDLE) / STEP


def test_a_flow_gives_both_modes_where_a_regression_gives_their_mean(flow: Mapper) -> None:
    drawn = clicked(flow, 0, 1, LEFT, 200).mean((1, 2))
    assert 0.35 < (drawn > 0).mean() < 0.65
    assert np.median(np.abs(np.abs(drawn) - 1)) < 0.15
    heads: tuple[Head, ...] = ("mlp", "transformer")
    for head in heads:
        said = clicked(trained(head, 80), 0, 1, LEFT, 20)
        assert np.abs(said[:, :4]).mean() < 0.3, head


def test_a_flow_of_few_steps_keeps_the_grain(flow: Mapper) -> None:
    """The spread from frame to frame is that of the truth; four Euler steps would leave six tenths of it."""
    condition = flow.look(torch.eye(3).repeat(1, 2)[:, None, None].repeat(50, 1, 1, 1))
    drawn = flow.generate(condition, 4, range(150), guidance=1.0).values
    assert np.sqrt(drawn.var(1, ddof=1).mean()) == pytest.approx(GRAIN, rel=0.2)


def test_the_place_that_is_pointed_at_decides(flow: Mapper) -> None:
    """The same picture: kind 1 on its left is mostly high, kind 2 on its right mostly low."""
    left, right = ((clicked(flow, 1, 2, at, 200)[:, :4].mean((1, 2)) > 0).mean() for at in (LEFT, RIGHT))
    assert left > 0.65
    assert right < 0.35


def test_a_mask_takes_the_place_of_the_attention(flow: Mapper) -> None:
    """Training has never taken a mask in; swapped in, it decides what is heard."""
    n, g = 200, torch.Generator().manual_seed(3)
    dense = pictures(torch.full((n,), 1), torch.full((n,), 2), g)
    share = []
    for x in (0.0, 0.5):
        mask = torch.from_numpy(Region.box(x, 0.0, x + 0.5, 1.0).on(SIDE, SIDE)).repeat(n, 1, 1)
        latents = flow.generate(flow.look(dense, mask), 4, range(n), guidance=1.0).values
        share.append((latents.mean((1, 2)) > MIDDLE).mean())
    assert share[0] > 0.65
    assert share[1] < 0.35


def test_guidance_leads_further_than_the_truth(flow: Mapper) -> None:
    """What is high in 85 of 100 is high more often when the condition's part is doubled; 0 forgets it."""
    n, g = 200, torch.Generator().manual_seed(4)
    condition = flow.look(
        pictures(torch.full((n,), 1), torch.full((n,), 1), g), point=torch.tensor([LEFT]).repeat(n, 1)
    )
    high = {
        w: (flow.generate(condition, 4, range(n), guidance=w).values.mean((1, 2)) > MIDDLE).mean()
        for w in (0.0, 1.0, 3.0)
    }
    assert high[0.0] < high[1.0] < high[3.0]
    assert high[3.0] > 0.8


def test_it_goes_on_as_it_was_begun(flow: Mapper) -> None:
    """Without a past, kind 0 is high in half of all cases; after a beginning it stays what that was."""
    n, g = 60, torch.Generator().manual_seed(6)
    condition = flow.look(pictures(torch.zeros(n, dtype=int), torch.zeros(n, dtype=int), g))
    sign = np.where(np.arange(n) % 2, 1.0, -1.0)[:, None, None]
    past = MIDDLE + STEP * sign + GRAIN * np.random.default_rng(0).standard_normal((n, 9, 3))
    latents = flow.generate(
        condition, 40, range(n), guidance=1.0, given=Features(past.astype(np.float32), VOICE)
    ).values
    stays = np.sign(latents.reshape(n, 10, -1).mean(2) - MIDDLE) == sign[:, 0]
    assert stays[:, 0].mean() > 0.9
    assert stays[:, -1].mean() > 0.8, "ten blocks on, it has not drifted away"


def test_what_is_not_said_is_a_gaussian_of_the_grain() -> None:
    """A network that says nothing: steps along the flow have no error, be they one or many (closed form)."""
    mapper = Mapper(config()).eval()
    mapper.head.grain.copy_(torch.tensor([0.1, 0.5, 2.0]))
    condition = mapper.look(torch.zeros(400, SIDE, SIDE, 6))
    one, many = (mapper.generate(condition, 8, range(400), steps=steps).values for steps in (1, 9))
    np.testing.assert_allclose(one, many, atol=1e-5)
    np.testing.assert_allclose(one.std((0, 1)), [0.1, 0.5, 2.0], rtol=0.05)


def test_the_velocity_is_the_one_along_which_that_gaussian_flows() -> None:
    """Many small steps of dx/dt = v arrive at μ + s z, as the closed form says."""
    head = Mapper(config()).head
    head.grain.copy_(torch.tensor([0.2, 0.7, 1.5]))
    torch.manual_seed(0)
    z, mean = torch.randn(2, 1, 2, 1, 6).double()
    x, count = z, 1000
    for i in range(count):
        x = x + head.velocity(x, mean, torch.full((1, 2), (i + 0.5) / count).double()) / count
    torch.testing.assert_close(x, mean + head.grain.repeat(2) * z, rtol=0, atol=0.02)


@pytest.mark.parametrize("spread", [0.1, 0.2, 0.3, 0.5, 1.0, 2.0])
def test_four_steps_keep_the_spread_of_what_is_not_grain(spread: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that says exactly the μ that belongs to N(0, spread²), which no grain of 0.2 explains (closed form)."""
    mapper = Mapper(config())
    head = mapper.head
    head.grain.fill_(0.2)
    run = head.begin(mapper.look(torch.zeros(1, 1, 1, 6)).tokens, 4, 1.0)

    def exact(x: torch.Tensor, told: object, t: float, attends: object) -> torch.Tensor:
        when = torch.tensor([t])
        velocity = (t * spread**2 - (1 - t)) / ((1 - t) ** 2 + (t * spread) ** 2) * x
        slope = head.velocity(torch.zeros_like(x), torch.ones_like(x), when)
        return (velocity - head.velocity(x, torch.zeros_like(x), when)) / slope

    monkeypatch.setattr(run, "_say", exact)
    monkeypatch.setattr(run, "_changes", run._times[:-1])
    noise = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(0))
    kept = run.draw(noise) / noise / spread
    torch.testing.assert_close(kept, kept.mean().expand_as(kept), msg="the same share of all noise")
    assert 0.97 < float(kept.mean()) < 1.26
    euler = math.prod(
        1 + 0.25 * (t * spread**2 - (1 - t)) / ((1 - t) ** 2 + (t * spread) ** 2) for t in (0, 0.25, 0.5, 0.75)
    )
    assert abs(euler) / spread < 0.75


def test_grain_is_what_neighbours_do_not_tell() -> None:
    """White noise is all grain, a slow wave has none; the least width is kept all the same."""
    mapper = Mapper(config())
    t = torch.arange(4000.0)
    wave, noise = (t / 50).sin(), torch.randn(4000, generator=torch.Generator().manual_seed(0))
    mapper.fit_scale(torch.stack([wave, noise, wave + 0.5 * noise], 1)[None])
    assert mapper.head.grain.tolist() == pytest.approx([0.2, 1.0, math.sqrt(0.25 / 0.75)], rel=0.05)


def test_a_block_knows_the_blocks_before_it_and_no_other() -> None:
    """Not those after it and, above all, not its own clean copy, which stands in the same pass."""
    head = shaken(Mapper(config(layers=1))).head
    torch.manual_seed(1)
    clean, noised, told = torch.randn(1, 6, 2, 6), torch.randn(1, 6, 2, 6), torch.randn(1, 32)
    t, never = torch.rand(1, 6), torch.zeros(1, 6, dtype=torch.bool)
    before = head.means(clean, noised, t, told, never)
    for changed in range(6):
        other = clean.clone()
        other[:, changed] += 1.0
        moved = (head.means(other, noised, t, told, never) - before).abs().amax((0, 2, 3)) > 1e-6
        assert moved.tolist() == [changed < block <= changed + 2 for block in range(6)]
        other = noised.clone()
        other[:, changed] += 1.0
        moved = (head.means(clean, other, t, told, never) - before).abs().amax((0, 2, 3)) > 1e-6
        assert moved.tolist() == [block == changed for block in range(6)]


def test_a_block_alone_is_told_no_past() -> None:
    head = shaken(Mapper(config(layers=1))).head
    torch.manual_seed(1)
    clean, noised, told = torch.randn(2, 4, 2, 6), torch.randn(2, 4, 2, 6), torch.randn(2, 32)
    t, alone = torch.rand(2, 4), torch.tensor([[False, True, False, True], [False] * 4])
    before = head.means(clean, noised, t, told, alone)
    moved = (head.means(clean + 1.0, noised, t, told, alone) - before).abs().amax((2, 3)) > 1e-6
    assert moved.tolist() == [[False, False, True, False], [False, True, True, True]]


def test_the_region_learns_what_is_heard_there() -> None:
    """The summary's gradient reaches the look, and its error falls to what the look cannot tell."""
    torch.manual_seed(0)
    mapper = Mapper(config("mlp", summary=1.0))
    dense = torch.randn(2, SIDE, SIDE, 6).repeat_interleave(4, 0)
    loud = torch.where(torch.arange(8) < 4, -1.0, 1.0)[:, None, None]
    latents = loud + 0.1 * torch.randn(8, 16, mapper.target.width)
    mapper.fit_scale(latents)
    optimiser = torch.optim.Adam([*mapper.eye.parameters(), *mapper.summary.parameters()], 3e-3)
    errors = []
    for step in range(60):
        terms = mapper.loss(mapper.look(dense), latents, torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        terms["summary"].backward()
        optimiser.step()
        errors.append(float(terms["summary"].detach()))
    assert errors[-1] < 0.1 * errors[0]


def test_running_says_what_was_learned() -> None:
    """Block by block with what is kept of the past = all blocks in the one pass of training."""
    mapper = shaken(Mapper(config("transformer", layers=3)))
    condition = mapper.look(torch.randn(2, SIDE, SIDE, 6))
    latents = torch.from_numpy(mapper.generate(condition, 28, [0, 0]).values)
    clean = mapper.head.fold(mapper.scale(latents))
    with torch.inference_mode():
        told = mapper.head.told(condition.tokens)
        never = torch.zeros(2, 7, dtype=torch.bool)
        means = mapper.head.means(clean, torch.zeros_like(clean), torch.zeros(2, 7), told, never)
    assert clean.std() > 0.1
    torch.testing.assert_close(means, clean, rtol=1e-4, atol=1e-4)


def test_streamed_is_offline_and_memory_stays(flow: Mapper) -> None:
    condition = flow.look(torch.randn(2, SIDE, SIDE, 6))
    running = flow.stream(condition, [3, 4])
    blocks, memory = [], []
    for block in islice(running, 12):
        blocks.append(block.values)
        memory.append(running.memory)
    np.testing.assert_array_equal(np.concatenate(blocks, 1)[:, :46], flow.generate(condition, 46, [3, 4]).values)
    assert memory[0] < memory[1] == memory[-1]


def test_a_batch_is_its_items_and_a_seed_repeats(flow: Mapper) -> None:
    condition = flow.look(torch.randn(3, SIDE, SIDE, 6), point=torch.rand(3, 2))
    together = flow.generate(condition, 12, [7, 8, 7]).values
    np.testing.assert_array_equal(together, flow.generate(condition, 12, [7, 8, 7]).values)
    for i, seed in enumerate([7, 8, 7]):
        one = condition._replace(tokens=condition.tokens[i : i + 1])
        np.testing.assert_allclose(flow.generate(one, 12, [seed]).values[0], together[i], atol=1e-3)
        assert np.abs(flow.generate(one, 12, [seed + 1]).values[0] - together[i]).max() > 0.1


@given(st.integers(), st.integers())
@settings(max_examples=10, deadline=None)
def test_any_whole_number_is_a_seed(a: int, b: int) -> None:
    mapper = Mapper(config()).eval()
    one, other = (mapper.generate(mapper.look(torch.zeros(1, 1, 1, 6)), 4, [seed]).values for seed in (a, b))
    assert np.isfinite(one).all()
    assert np.array_equal(one, other) == (a % 2**64 == b % 2**64)


def test_the_past_that_can_no_longer_be_felt_is_not_read() -> None:
    mapper = shaken(Mapper(config()))
    condition = mapper.look(torch.randn(1, SIDE, SIDE, 6))
    past = np.random.default_rng(0).standard_normal((1, 31, 3)).astype(np.float32)
    other = past.copy()
    other[:, : 31 - 4 * 2 * 2] += 5.0
    after, same = (mapper.generate(condition, 8, [0], given=Features(p, VOICE)).values for p in (past, other))
    np.testing.assert_array_equal(after, same)
    other[:, -1] += 5.0
    assert np.abs(mapper.generate(condition, 8, [0], given=Features(other, VOICE)).values - after).max() > 1e-3


# --- looking ---


def test_only_what_is_in_the_mask_counts_for_the_region() -> None:
    mapper = shaken(Mapper(config()))
    torch.manual_seed(2)
    dense = torch.randn(1, SIDE, SIDE, 6)
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, 1:3, 1:3] = 1.0
    before = mapper.look(dense, mask)
    outside = torch.where(mask[..., None] > 0, dense, torch.randn_like(dense))
    inside = torch.where(mask[..., None] > 0, torch.randn_like(dense), dense)
    region, picture, place = mapper.look(outside, mask).tokens[0]
    torch.testing.assert_close(region, before.tokens[0, 0])
    torch.testing.assert_close(place, before.tokens[0, 2])
    assert not torch.allclose(picture, before.tokens[0, 1], atol=1e-3)
    assert not torch.allclose(mapper.look(inside, mask).tokens[0, 0], before.tokens[0, 0], atol=1e-3)


def test_a_mirrored_picture_with_a_mirrored_mask_differs_in_its_place_alone() -> None:
    mapper = shaken(Mapper(config()))
    torch.manual_seed(3)
    dense, mask = torch.randn(1, SIDE, 6, 6), torch.rand(1, SIDE, 6)
    mask[..., 4:] = 0.0
    one, other = mapper.look(dense, mask).tokens[0], mapper.look(dense.flip(2), mask.flip(2)).tokens[0]
    torch.testing.assert_close(one[:2], other[:2])
    assert not torch.allclose(one[2], other[2], atol=1e-3)
    twice = mapper.look(dense, 0.5 * mask).tokens[0]
    torch.testing.assert_close(twice, one, msg="a mask is shares of the region, not loudness")


def test_attention_grows_from_the_point(flow: Mapper) -> None:
    """Trained with the masks as its truth: most of it lies on the half that was pointed at."""
    dense = pictures(torch.tensor([1, 1]), torch.tensor([2, 2]), torch.Generator().manual_seed(0))
    weights = flow.look(dense, point=torch.tensor([LEFT, RIGHT])).weights
    torch.testing.assert_close(weights.sum((1, 2)), torch.ones(2))
    assert weights[0, :, :2].sum() > 0.9
    assert weights[1, :, 2:].sum() > 0.9


def test_attention_loss_is_least_on_the_region() -> None:
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, :2] = 1.0
    on, half, beside = torch.zeros(3, 1, SIDE, SIDE)
    on[:, :2], half[:], beside[:, 2:] = 1 / 8, 1 / 16, 1 / 8
    values = [float(attention_loss(weights, mask)) for weights in (on, half, beside)]
    assert values[0] == pytest.approx(0.0, abs=1e-4)
    assert values[1] == pytest.approx(math.log(2), abs=1e-3)
    assert values[2] > 5.0
    weights = on.clone().requires_grad_()
    attention_loss(0.9 * weights + 0.1 * beside, mask).backward()
    assert weights.grad is not None
    assert (weights.grad[:, :2] < 0).all()


# --- the voice `bands` ---


def sung() -> torch.Tensor:
    """Latents of a tone that comes and goes in noise, with two clicks."""
    t = np.arange(64_000) / 32_000
    wave = 0.01 * np.random.default_rng(0).standard_normal(64_000) + 0.3 * np.sin(2 * np.pi * 1000 * t) * (t % 1 < 0.6)
    wave[[20_000, 50_000]] = 0.9
    return torch.from_numpy(bands.Bands().encode(Sound(wave[None].astype(np.float32), 32_000)).values)


def test_channels_without_meaning_neither_shape_the_scale_nor_weigh_in_the_loss() -> None:
    latents = sung()
    mapper = Mapper(config(target=bands.Bands.space))
    mapper.fit_scale(latents[None])
    present = mapper.scale.present(latents)
    singing = latents[:, bands.PARTIALS] > bands.FLOOR_DB
    assert 0 < singing.float().mean() < 0.5
    assert present[:, bands.LEVELS].all()
    assert torch.equal(present[:, bands.PLACES], singing)
    assert torch.equal(present[:, bands.CLICK], latents[:, bands.RISE] > 0)
    region = int(singing.sum(0).argmax())
    place = latents[singing[:, region], bands.PLACES][:, region]
    assert mapper.scale.mean[bands.PLACES][region] == pytest.approx(float(place.mean()), abs=1e-5)
    # A wrong place costs what it should where there is a partial, and next to nothing where there is none.
    condition = mapper.look(torch.zeros(1, 1, 1, 6))
    costs = []
    for frame in (int(singing[:, region].nonzero()[9]), int((~singing[:, region]).nonzero()[0])):
        wrong = latents[:96].clone()
        wrong[frame, bands.PLACES.start + region] += float(mapper.scale.std[bands.PLACES][region]) * 100
        costs.append(float(mapper.loss(condition, wrong[None], torch.Generator().manual_seed(0))["latents"].detach()))
    right = float(mapper.loss(condition, latents[None, :96], torch.Generator().manual_seed(0))["latents"].detach())
    assert costs[0] - right > 5 * (costs[1] - right) > 0


def test_latents_come_back_from_their_standard_form_and_silence_is_silence() -> None:
    latents = sung()
    mapper = Mapper(config(target=bands.Bands.space))
    mapper.fit_scale(latents[None])
    back = mapper.scale.invert(mapper.scale(latents))
    torch.testing.assert_close(back, latents, rtol=0, atol=1e-3)
    g = torch.Generator().manual_seed(0)
    rest = torch.from_numpy(bands.REST.copy()).repeat(100, 1)
    nearly = mapper.scale(rest) + 0.1 * torch.randn(rest.shape, generator=g)
    assert torch.equal(mapper.scale.invert(nearly)[:, bands.BANDS :], rest[:, bands.BANDS :])
    wild = mapper.scale.invert(100 * torch.randn(rest.shape, generator=g))
    assert (wild <= latents.amax(0)).all()
    assert (wild >= latents.amin(0)).all()
    assert (mapper.scale(rest)[:, bands.PARTIALS].abs() <= 4.001).all(), "rest is no outlier"
    bands.Bands().decode(Features(wild.numpy(), bands.Bands.space))


# --- doors ---


def test_other_spaces_are_refused() -> None:
    mapper = Mapper(config()).eval()
    dense = np.zeros((1, SIDE, SIDE, 6), np.float32)
    assert mapper(Features(dense, EYES), 5, [0]).space == VOICE
    with pytest.raises(SpaceError, match=r"other\.patch"):
        mapper.look(Features(dense, Space("other.patch", 6)))
    with pytest.raises(SpaceError):
        mapper.look(torch.zeros(1, SIDE, SIDE, 7))
    condition = mapper.look(torch.zeros(1, SIDE, SIDE, 6))
    with pytest.raises(SpaceError):
        mapper.loss(condition, torch.zeros(1, 8, 4), torch.Generator())
    with pytest.raises(SpaceError):
        mapper.generate(condition, 4, [0], given=Features(np.zeros((1, 4, 3), np.float32), Space("other/1", 3)))


def test_what_does_not_fit_is_refused_with_a_sentence() -> None:
    mapper = Mapper(config()).eval()
    dense = torch.zeros(1, SIDE, SIDE, 6)
    for mask in (torch.zeros(1, SIDE, SIDE), torch.ones(1, 2, 2)):
        with pytest.raises(InputError, match="mask"):
            mapper.look(dense, mask)
    condition = mapper.look(dense)
    with pytest.raises(InputError, match="seed"):
        mapper.stream(condition, [0, 1])
    with pytest.raises(InputError, match="steps"):
        mapper.stream(condition, [0], steps=0)
    with pytest.raises(InputError, match="guidance"):
        mapper.stream(condition, [0], guidance=math.nan)
    with pytest.raises(InputError, match="frame"):
        mapper.generate(condition, 0, [0])
    with pytest.raises(InputError, match="4 frames"):
        mapper.loss(condition, torch.zeros(1, 3, 3), torch.Generator())
    for shape, value in (((1, 3, 3), 0.0), ((2, 8, 3), 0.0), ((1, 8, 3), math.nan)):
        with pytest.raises(InputError, match="go on"):
            mapper.stream(condition, [0], given=Features(np.full(shape, value, np.float32), VOICE))
    with pytest.raises(InputError, match="NaN"):
        mapper.fit_scale(torch.full((1, 4, 3), math.nan))


@pytest.mark.parametrize("head", ["mlp", "transformer", "flow"])
def test_a_mapper_is_its_config_and_its_tensors(head: Head) -> None:
    mapper = shaken(Mapper(config(head)))
    mapper.fit_scale(sounds(torch.zeros(9, dtype=int), 4, torch.Generator()))
    told = MapperConfig.from_dict(json.loads(json.dumps(dataclasses.asdict(mapper.config))))
    assert told == mapper.config
    again = Mapper(told)
    again.load_state_dict(mapper.state_dict())
    dense = torch.randn(1, SIDE, SIDE, 6)
    condition = mapper.look(dense, point=torch.rand(1, 2))
    assert condition.tokens.shape == (1, TOKENS, 32)
    np.testing.assert_array_equal(
        again.eval().generate(condition, 9, [1]).values, mapper.generate(condition, 9, [1]).values
    )


def test_generating_in_the_middle_of_training_is_the_same() -> None:
    mapper = shaken(Mapper(config(dropout=0.5)))
    condition = mapper.look(torch.randn(1, SIDE, SIDE, 6))
    at_rest = mapper.generate(condition, 8, [0]).values
    mapper.train()
    np.testing.assert_array_equal(mapper.generate(condition, 8, [0]).values, at_rest)
    assert mapper.training
    assert mapper.head.layers[0].training


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from([f.name for f in dataclasses.fields(MapperConfig)]), JSON)
@settings(max_examples=80, deadline=None)
def test_a_broken_configuration_is_refused_with_a_sentence(name: str, value: object) -> None:
    told = dataclasses.asdict(config()) | {name: value}
    try:
        assert dataclasses.asdict(MapperConfig.from_dict(told)) == told
    except InputError as error:
        assert "mapper" in str(error)
