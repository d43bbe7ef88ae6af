"""The voice `neural`: causal, in blocks what it is in one piece, and what its codes promise."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia.codecs import neural, voice
from synesthesia.codecs.neural import AHEAD, HOP, RATE, Net, Neural, NeuralConfig
from synesthesia.codecs.windows import Reach, Windows
from synesthesia.senses import InputError, Sound
from synesthesia.spaces import Features, Space, SpaceError, Tokens

SMALL = NeuralConfig(width=24, fine=2, coarse=1, spoken=2, latent=8, books=4, bits=5, code=4)


def small(seed: int = 0) -> Neural:
    torch.manual_seed(seed)
    net = Net(SMALL)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(0.1 * torch.randn_like(value))
    return Neural(net, f"neural@{seed}")


VOICE = small()


def noise(frames: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(frames * HOP)).astype(np.float32)


def sound(samples: np.ndarray) -> Sound:
    return Sound(samples[None], RATE)


# --- windows ---------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 7), st.integers(0, 9), st.integers(0, 5), st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_windows_answer_every_row_once_and_from_its_surroundings(
    block: int, before: int, after: int, cuts: list[int]
) -> None:
    """A function that sums what is within its reach gives in windows what it gives for everything at once."""
    rows = np.random.default_rng(0).integers(0, 100, (sum(cuts), 1)).astype(np.float32)

    def within(part: np.ndarray) -> np.ndarray:
        return np.array([part[max(0, i - before) : i + after + 1].sum(0) for i in range(len(part))])

    seen: list[int] = []

    def through(part: np.ndarray) -> np.ndarray:
        seen.append(len(part))
        return within(part)

    windows = Windows(through, Reach(block, before, after))
    parts = [answer for piece in np.split(rows, np.cumsum(cuts)[:-1]) for answer in windows.push(piece)]
    np.testing.assert_array_equal(np.concatenate([*parts, *windows.finish()]), within(rows))
    assert max(seen) <= block + before + after, "a window is all that is ever held"


def test_what_has_finished_takes_no_more() -> None:
    decoder, encoder = VOICE.decoder(), VOICE.encoder()
    decoder.finish()
    encoder.finish()
    with pytest.raises(InputError, match="finished"):
        decoder.push(Features(np.zeros((3, 8), np.float32), VOICE.space))
    with pytest.raises(InputError, match="finished"):
        encoder.push(np.zeros(HOP, np.float32))


# --- blocks ----------------------------------------------------------------------------------------------------------


def test_blocks_are_what_the_network_makes_of_everything_at_once() -> None:
    samples = noise(150)
    latents = VOICE.encode(sound(samples))
    with torch.inference_mode():
        z = VOICE.net.encode(torch.from_numpy(samples)[None])
        whole = VOICE.net.decode(z)[0].numpy()
    np.testing.assert_allclose(latents.values, z[0].numpy(), atol=2e-5)
    np.testing.assert_allclose(VOICE.decode(latents).mono, whole, atol=2e-5)
    assert whole.std() > 1e-3


def test_however_it_is_cut_it_is_the_same_bit_for_bit() -> None:
    samples = noise(140)[:-100]
    latents = VOICE.encode(sound(samples))
    whole = VOICE.decode(latents).mono
    rng = np.random.default_rng(0)
    for _ in range(3):
        encoder, decoder = VOICE.encoder(), VOICE.decoder()
        parts = [encoder.push(p) for p in np.split(samples, np.sort(rng.integers(1, len(samples), 6)))]
        np.testing.assert_array_equal(voice.join([*parts, encoder.finish()]).values, latents.values)
        cuts = np.unique(rng.integers(1, len(latents.values), 5))
        said = [decoder.push(Features(p, VOICE.space)) for p in np.split(latents.values, cuts)]
        np.testing.assert_array_equal(np.concatenate([*said, decoder.finish()]), whole)


def test_memory_does_not_grow_with_length() -> None:
    encoder, decoder = VOICE.encoder(), VOICE.decoder()
    held = []
    for n in range(8):
        latents = encoder.push(noise(70, n))
        decoder.push(Features(np.concatenate([latents.values, np.zeros((1, 8), np.float32)]), VOICE.space))
        held.append((len(encoder._windows._known), len(decoder._windows._known)))  # type: ignore[attr-defined]
    assert max(held) <= (32 + VOICE.hears.before, 32 + VOICE.speaks.before + AHEAD)


def test_latents_do_not_know_what_comes() -> None:
    samples = noise(90)
    other = samples.copy()
    other[50 * HOP :] = 0.0
    a, b = (VOICE.encode(sound(s)).values for s in (samples, other))
    np.testing.assert_allclose(a[:50], b[:50], atol=1e-6)
    assert np.abs(a[50:] - b[50:]).max() > 0.01


def test_a_sample_waits_for_two_frames_and_no_more() -> None:
    values = VOICE.encode(sound(noise(90))).values
    changed = values.copy()
    changed[60:] += 1.0
    a, b = (VOICE.decode(Features(v, VOICE.space)).mono for v in (values, changed))
    np.testing.assert_allclose(a[: (60 - AHEAD) * HOP], b[: (60 - AHEAD) * HOP], atol=1e-6)
    assert np.abs(a - b)[(60 - AHEAD) * HOP : 60 * HOP].max() > 1e-4
    decoder = VOICE.decoder()
    assert len(decoder.push(Features(values[: 32 + AHEAD], VOICE.space))) == 32 * HOP


@pytest.mark.parametrize("frames", [1, 5, 33, 80])
def test_a_loop_is_a_period_of_what_goes_on_for_ever(frames: int) -> None:
    values = VOICE.encode(sound(noise(frames, 3))).values
    period = VOICE.loop(Features(values, VOICE.space)).mono
    times = -(-VOICE.speaks.before // frames) + 1
    forever = VOICE.decode(Features(np.tile(values, (times + 1 + AHEAD, 1)), VOICE.space)).mono
    np.testing.assert_allclose(period, forever[times * frames * HOP :][: len(period)], atol=2e-5)


def test_the_sound_is_as_long_as_what_went_in() -> None:
    for samples in (1, HOP, HOP + 1, 40 * HOP - 1):
        latents = VOICE.encode(sound(np.full(samples, 0.1, np.float32)))
        assert len(latents.values) == -(-samples // HOP)
        assert VOICE.decode(latents).samples.shape == (1, len(latents.values) * HOP)


# --- codes -----------------------------------------------------------------------------------------------------------


def test_tokens_know_their_codec_and_decode_themselves() -> None:
    codes = VOICE.tokens(sound(noise(40)), 3)
    assert codes.codes.shape == (40, 3)
    assert codes.codec == VOICE.space.name
    assert len(np.unique(codes.codes)) > 6
    np.testing.assert_array_equal(codes.sound().mono, VOICE.decode(VOICE.latents(codes)).mono)
    with pytest.raises(SpaceError):
        small(1).latents(codes)


def test_rounding_what_is_rounded_changes_nothing_in_the_first_book() -> None:
    """Code 5 of a book with an identity for projections is nearest to itself, whatever its length."""
    net = Net(dataclasses.replace(SMALL, code=8))
    with torch.no_grad():
        for book in net.books:
            for linear in (book.inward, book.outward):
                linear.weight.copy_(torch.eye(8))
                linear.bias.zero_()
    v = Neural(net, "mine")
    every = np.arange(32)[:, None]
    stood = v.latents(Tokens(every, "mine", 32))
    np.testing.assert_array_equal(v.quantise(stood, 1).codes, every)
    np.testing.assert_array_equal(v.quantise(Features(3.0 * stood.values, v.space), 1).codes, every)


def test_learning_and_using_round_alike() -> None:
    z = torch.randn(3, 20, 8)
    with torch.inference_mode():
        rounded, lost = VOICE.net.quantised(z, torch.tensor([0, 2, 4]))
    np.testing.assert_array_equal(rounded[0].numpy(), z[0].numpy())
    for row, books in ((1, 2), (2, 4)):
        codes = VOICE.quantise(Features(z[row].numpy(), VOICE.space), books)
        np.testing.assert_allclose(VOICE.latents(codes).values, rounded[row].numpy(), atol=1e-5)
    assert float(lost) > 0
    with torch.inference_mode():
        assert float(VOICE.net.quantised(z, torch.zeros(3, dtype=torch.long))[1]) == 0.0


def test_the_gradient_of_a_rounded_latent_goes_through_the_books_that_it_used() -> None:
    z = torch.randn(1, 4, 8, requires_grad=True)
    net = Net(SMALL)
    rounded, lost = net.quantised(z, torch.tensor([2]))
    (rounded.square().sum() + lost).backward()
    assert z.grad is not None
    assert float(z.grad.abs().min()) > 0
    learned = [book.codes.grad is not None and bool(book.codes.grad.any()) for book in net.books]
    assert learned == [True, True, False, False]


def test_bits_are_counted() -> None:
    assert VOICE.bits_per_second() == 4 * 5 * 50
    assert VOICE.bits_per_second(1) == 5 * 50
    assert Neural(Net(NeuralConfig(width=8)), "x").bits_per_second(12) == 6000
    for books in (0, 5):
        with pytest.raises(InputError, match="codebooks"):
            VOICE.bits_per_second(books)


# --- bad input -------------------------------------------------------------------------------------------------------


def test_bad_input_is_a_sentence() -> None:
    with pytest.raises(InputError, match="no samples"):
        VOICE.encode(Sound(np.zeros((1, 0)), RATE))
    with pytest.raises(InputError, match="NaN"):
        VOICE.decode(Features(np.full((3, 8), np.nan), VOICE.space))
    with pytest.raises(InputError, match="NaN"):
        VOICE.encoder().push(np.full(10, np.inf, np.float32))
    with pytest.raises(SpaceError):
        VOICE.decode(Features(np.zeros((3, 8)), Space("another", 8)))
    with pytest.raises(InputError, match="frame at least"):
        VOICE.latents(Tokens(np.zeros((0, 2), int), VOICE.space.name, 32))
    with pytest.raises(InputError, match="codebooks"):
        VOICE.latents(Tokens(np.zeros((3, 9), int), VOICE.space.name, 32))
    for bad in ({"width": 0}, {"books": 65}, {"latent": 10**9}):
        with pytest.raises(InputError, match="whole number"):
            NeuralConfig(**bad)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(0.01, 1e6))
def test_any_latents_make_a_finite_sound(seed: int, frames: int, scale: float) -> None:
    values = (scale * np.random.default_rng(seed).standard_normal((frames, 8))).astype(np.float32)
    assert np.isfinite(VOICE.decode(Features(values, VOICE.space)).mono).all()
    codes = VOICE.quantise(Features(values, VOICE.space))
    assert np.isfinite(codes.sound().mono).all()


# --- checkpoints -----------------------------------------------------------------------------------------------------


def test_a_voice_comes_back_from_its_folder(tmp_path: Path) -> None:
    folder = neural.save(VOICE.net, tmp_path / "mine")
    again = neural.load(folder)
    assert again.space.name.startswith("neural@")
    a, b = (v.decode(v.encode(sound(noise(20)))).mono for v in (VOICE, again))
    assert np.abs(a - b).max() < 0.05 * np.abs(a).max(), "half precision is all that is lost"


@pytest.mark.parametrize(
    "change", [{"voice": "bands"}, {"net": 3}, {"net": {"width": 25}}, {"net": {"depth": 1}}, {"net": {"width": 1.5}}]
)
def test_a_damaged_checkpoint_is_a_sentence(tmp_path: Path, change: dict[str, object]) -> None:
    folder = neural.save(VOICE.net, tmp_path / "mine")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(InputError):
        neural.load(folder)
