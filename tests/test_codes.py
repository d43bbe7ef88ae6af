"""The head that says sound in codes: on the toy world of `test_mapper`, in closed form, and by its symmetries."""

from __future__ import annotations

import dataclasses
from itertools import islice

import numpy as np
import pytest
import torch
from test_mapper import GRAIN, LEFT, MIDDLE, RIGHT, SIDE, STEP, VOICE, clicked, config, pictures, shaken, trained

from synesthesia.bridges.codes import Codes
from synesthesia.bridges.mapper import Mapper, MapperConfig
from synesthesia.codecs import bands
from synesthesia.senses import InputError
from synesthesia.spaces import Features


def small(**changes: object) -> MapperConfig:
    return dataclasses.replace(config("codes", books=2, words=16, axes=6), **changes)


@pytest.fixture(scope="module")
def codes() -> Mapper:
    return trained("codes", 300)


def head_of(mapper: Mapper) -> Codes:
    assert isinstance(mapper.head, Codes)
    return mapper.head


def fitted(**changes: object) -> tuple[Mapper, torch.Tensor]:
    """A mapper whose books were fitted to a smooth random walk, and that walk."""
    g = torch.Generator().manual_seed(2)
    walk = torch.randn(40, 32, 3, generator=g).cumsum(1)
    mapper = Mapper(small(**changes))
    mapper.fit_scale(walk)
    return mapper, walk


def test_it_says_one_of_both_modes_and_the_place_decides_how_often(codes: Mapper) -> None:
    drawn = clicked(codes, 0, 1, LEFT, 200).mean((1, 2))
    assert 0.35 < (drawn > 0).mean() < 0.65
    assert np.median(np.abs(np.abs(drawn) - 1)) < 0.2
    left, right = ((clicked(codes, 1, 2, at, 200)[:, :4].mean((1, 2)) > 0).mean() for at in (LEFT, RIGHT))
    assert left > 0.65
    assert right < 0.35


def test_noise_brings_back_what_codes_leave_out(codes: Mapper) -> None:
    """The spread from frame to frame is that of the truth."""
    condition = codes.look(torch.eye(3).repeat(1, 2)[:, None, None].repeat(50, 1, 1, 1))
    drawn = codes.generate(condition, 4, range(150), guidance=1.0).values
    assert np.sqrt(drawn.var(1, ddof=1).mean()) == pytest.approx(GRAIN, rel=0.2)


def test_it_goes_on_as_it_was_begun(codes: Mapper) -> None:
    n, g = 60, torch.Generator().manual_seed(6)
    condition = codes.look(pictures(torch.zeros(n, dtype=int), torch.zeros(n, dtype=int), g))
    sign = np.where(np.arange(n) % 2, 1.0, -1.0)[:, None, None]
    past = MIDDLE + STEP * sign + GRAIN * np.random.default_rng(0).standard_normal((n, 9, 3))
    given = Features(past.astype(np.float32), VOICE)
    latents = codes.generate(condition, 16, range(n), guidance=1.0, given=given).values
    assert (np.sign(latents.mean((1, 2)) - MIDDLE) == sign[:, 0, 0]).mean() > 0.9


def test_more_books_leave_less_and_noise_has_the_spread_of_what_is_left() -> None:
    mapper, walk = fitted(books=3)
    head, clean = head_of(mapper), mapper.scale(walk)
    spelt = head.spell(clean)
    patches = clean.reshape(40, 16, 6)
    near = head.read(spelt) @ head.axes.T + head.centre
    left = (near - patches[:, :, None]).square().mean((0, 1, 3))
    assert left[0] > 1.2 * left[1] > 1.44 * left[2]
    still = head.unspell(spelt, torch.zeros_like(clean))
    torch.testing.assert_close(still.reshape(40, 16, 6), near[:, :, -1])
    noisy = head.unspell(spelt, torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)))
    assert float((noisy - still).square().mean()) == pytest.approx(float((still - clean).square().mean()), rel=0.15)


def test_as_many_codes_as_sounds_leave_nothing() -> None:
    g = torch.Generator().manual_seed(0)
    few = torch.randn(4, 2, 3, generator=g)
    mapper = Mapper(small(words=64, books=1))
    mapper.fit_scale(few[torch.arange(400) % 4])
    clean = mapper.scale(few)
    torch.testing.assert_close(
        head_of(mapper).unspell(head_of(mapper).spell(clean), torch.zeros_like(clean)), clean, rtol=1e-4, atol=1e-4
    )


def test_the_same_sounds_give_the_same_books() -> None:
    one, other = (head_of(fitted()[0]) for _ in range(2))
    torch.testing.assert_close(one.vectors, other.vectors, rtol=0, atol=0)
    torch.testing.assert_close(one.noisy, other.noisy, rtol=0, atol=0)


def test_a_partial_that_rests_comes_back_at_rest_and_one_that_sounds_does_not() -> None:
    """What is there and what is not survives the spelling, noise or not."""
    rng = np.random.default_rng(0)
    latents = np.repeat(bands.REST[None], 64 * 16, 0)
    loud = rng.normal(-60, 6, (64 * 16, 1))  # of all bands at once: recordings have few ways to go, too
    latents[:, bands.LEVELS] = loud + rng.normal(0, 0.5, (64 * 16, bands.BANDS))
    first = bands.BANDS + bands.REGIONS
    sounds = np.repeat(rng.random(64 * 4) < 0.5, 4)  # one partial, on or off for a whole patch
    latents[sounds, first] = rng.normal(-40, 3, sounds.sum())
    latents[sounds, bands.BANDS] = rng.normal(0, 0.2, sounds.sum())
    frames = torch.from_numpy(latents.astype(np.float32)).view(64, 16, bands.WIDTH)
    mapper = Mapper(
        dataclasses.replace(small(), target=bands.Bands.space, fold=4, block=16, words=64, books=4, axes=100)
    )
    mapper.fit_scale(frames)
    head = head_of(mapper)
    noise = torch.randn(frames.shape, generator=torch.Generator().manual_seed(1))
    back = mapper.scale.invert(head.unspell(head.spell(mapper.scale(frames)), noise))
    heard = (back[..., first] > bands.FLOOR_DB).flatten().numpy()
    assert (heard == sounds).mean() > 0.98
    assert np.abs(back[..., first].flatten().numpy()[heard & sounds] + 40).mean() < 6


def test_what_rests_still_does_in_half_precision() -> None:
    """As a checkpoint keeps it, a model spells the same sounds."""
    rng = np.random.default_rng(3)
    latents = np.repeat(bands.REST[None], 8 * 16, 0)
    latents[:, bands.LEVELS] = rng.normal(-60, 6, (8 * 16, bands.BANDS))
    levels = rng.normal(-40 - np.arange(bands.REGIONS), 3, (8 * 16, bands.REGIONS))
    latents[:, bands.PARTIALS] = np.where(rng.random(levels.shape) < 0.5, levels, bands.FLOOR_DB)
    frames = torch.from_numpy(latents.astype(np.float32)).view(8, 16, bands.WIDTH)
    mapper = Mapper(dataclasses.replace(small(), target=bands.Bands.space, fold=4, block=16, words=16, axes=20))
    mapper.fit_scale(frames)
    kept = Mapper(mapper.config)
    kept.load_state_dict({name: value.half().float() for name, value in mapper.state_dict().items()})
    before, after = (head_of(m)._patches(m.scale(frames)) for m in (mapper, kept))
    torch.testing.assert_close(after, before, rtol=0.02, atol=0.05)


def test_running_says_what_the_pass_of_training_says() -> None:
    """Patch by patch with what is kept of the past = all patches at once; beyond its reach too."""
    mapper, walk = fitted(layers=2, context=1)
    mapper = shaken(mapper)
    head = head_of(mapper)
    condition = mapper.look(torch.randn(3, SIDE, SIDE, 6))
    said = head.read(head.spell(mapper.scale(walk[:3])))[:, :, -1]
    with torch.inference_mode():
        every = head.hidden(said, head.told(condition.tokens))
        run = head.begin(condition.tokens, 1, 1.0)
        for patch in range(16):
            torch.testing.assert_close(run._step()[:, 0], every[:, patch], rtol=1e-4, atol=1e-4)
            run._last = head.enter(said[:, patch])[:, None]


def test_what_is_said_depends_on_what_was_said_within_reach() -> None:
    mapper, _ = fitted(layers=1, context=2)
    head = head_of(shaken(mapper))
    torch.manual_seed(1)
    said, told = torch.randn(1, 9, 6), torch.randn(1, 32)
    before = head.hidden(said, told)
    for changed in range(9):
        other = said.clone()
        other[:, changed] += 1.0
        moved = (head.hidden(other, told) - before).abs().amax((0, 2)) > 1e-6
        assert moved.tolist() == [changed < patch <= changed + 5 for patch in range(10)]


def test_streamed_is_offline_memory_stays_and_a_seed_repeats(codes: Mapper) -> None:
    condition = codes.look(torch.randn(2, SIDE, SIDE, 6), point=torch.rand(2, 2))
    running = codes.stream(condition, [3, 4])
    blocks, memory = [], []
    for block in islice(running, 12):
        blocks.append(block.values)
        memory.append(running.memory)
    together = codes.generate(condition, 46, [3, 4]).values
    np.testing.assert_array_equal(np.concatenate(blocks, 1)[:, :46], together)
    assert len(set(memory)) == 1
    one = condition._replace(tokens=condition.tokens[1:])
    np.testing.assert_allclose(codes.generate(one, 46, [4]).values[0], together[1], atol=1e-3)
    assert np.abs(codes.generate(one, 46, [5]).values[0] - together[1]).max() > 0.1


def test_guidance_leads_further_than_the_truth(codes: Mapper) -> None:
    n, g = 200, torch.Generator().manual_seed(4)
    condition = codes.look(pictures(torch.ones(n, dtype=int), torch.ones(n, dtype=int), g))
    high = [
        (codes.generate(condition, 4, range(n), guidance=w).values.mean((1, 2)) > MIDDLE).mean()
        for w in (0.0, 1.0, 3.0)
    ]
    assert high[0] < high[1] < high[2]


def test_codes_have_sizes() -> None:
    for change in ({"books": 0}, {"words": -3}, {"axes": 10**6}):
        with pytest.raises(InputError, match="sizes"):
            small(**change)
