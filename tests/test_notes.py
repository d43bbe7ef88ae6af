"""Notes: what sings in a sound, as numbers, and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia.codecs import notes
from synesthesia.codecs.notes import NAMES
from synesthesia.metrics import song as judge
from synesthesia.senses import InputError, Sound
from synesthesia.worlds import bird_laws, bird_songs

AT = {name: k for k, name in enumerate(NAMES)}


def note(**told: float) -> np.ndarray:
    plain = dict.fromkeys(NAMES, 0.0) | {"begins": -2.0, "lasts": -2.5, "pitch": 11.5, "trill": 4.5}
    plain |= {"rich": -50.0, "under": -50.0, "interval": -0.6, "breath": -50.0}
    return np.array([(plain | told)[name] for name in NAMES], np.float32)


def whistle(hz: float, seconds: float, rate: int = 32_000) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * hz * t) * np.sin(np.pi * t / seconds) ** 0.5).astype(np.float32)


def test_a_whistle_is_one_note_at_its_pitch() -> None:
    silence = np.zeros(16_000, np.float32)
    heard = notes.listen(Sound(np.concatenate([silence, whistle(2000, 0.3), silence])[None], 32_000))
    assert len(heard.notes) == 1
    assert heard.clear > 0.95
    only = heard.notes[0]
    assert only[AT["pitch"]] == pytest.approx(math.log2(2000), abs=0.005)
    assert 2 ** only[AT["begins"]] == pytest.approx(0.5, abs=0.03)
    assert 2 ** only[AT["lasts"]] == pytest.approx(0.3, abs=0.04)
    assert abs(only[AT["sweep"]]) < 0.02
    assert only[AT["depth"]] < 0.01
    assert only[AT["rich"]] < -40
    assert heard.since == pytest.approx(0.8, abs=0.03)


def test_a_note_comes_back_as_it_was_played() -> None:
    told = [
        note(), note(sweep=0.8), note(sweep=-0.8, pitch=12.0), note(arch=0.4), note(rich=-8.0), note(level=-9.0),
        note(lasts=-1.2, depth=0.25, trill=4.8), note(under=-10.0), note(breath=-22.0, lasts=-1.0), note(lasts=-3.3),
    ]  # fmt: skip
    for one in told:
        one[AT["begins"]] = -0.5
    again = notes.listen(notes.play(np.stack(told), 12.0, 3)).notes
    assert len(again) == len(told)
    again[:, AT["level"]] -= again[0, AT["level"]]  # a breathy note is a little louder
    for name, off in (
        ("begins", 0.03), ("lasts", 0.2), ("level", 2.0), ("pitch", 0.03), ("sweep", 0.12), ("arch", 0.08),
    ):  # fmt: skip
        assert np.abs(again[:, AT[name]] - np.stack(told)[:, AT[name]]).max() < off, name
    assert again[6, AT["trill"]] == pytest.approx(4.8, abs=0.05)
    assert again[6, AT["depth"]] == pytest.approx(0.25, abs=0.05)
    assert again[4, AT["rich"]] == pytest.approx(-8, abs=2)
    assert again[7, AT["under"]] == pytest.approx(-10, abs=2)
    assert again[7, AT["interval"]] == pytest.approx(-0.6, abs=0.05)
    assert again[8, AT["breath"]] == pytest.approx(-22, abs=4)


def test_noise_is_not_made_of_notes() -> None:
    rng = np.random.default_rng(0)
    noise = Sound(0.1 * rng.standard_normal((1, 64_000)).astype(np.float32), 32_000)
    assert notes.listen(noise).clear < 0.15
    silence = notes.listen(Sound(np.zeros((1, 32_000), np.float32), 32_000))
    assert silence.notes.shape == (0, len(NAMES))
    assert silence.clear == 0
    assert silence.since == 1


def test_a_song_is_kept_by_its_notes() -> None:
    """Own song among those of ten species, by the judge of song: what `bands` keeps in .92 and codes in half."""
    own, kept = [], []
    for k in range(20):
        song = bird_laws.song(bird_laws.songs(bird_laws.species(6000 + k, "a").look[None], "a")[0])
        wave, _ = bird_songs.sing(song, 4.0, np.random.default_rng(k))
        heard = notes.listen(Sound(wave[None], bird_songs.RATE))
        own.append(judge.song(wave, bird_songs.RATE))
        kept.append(judge.song(notes.play(heard.notes, 4.0, k).mono, notes.RATE))
    own, kept = np.array(own), np.array(kept)
    spread = np.nanstd(own, axis=0)
    nearest = [int(judge.distance(row, own, spread).argmin()) for row in kept]
    assert nearest == list(range(20))


def test_a_player_does_not_care_how_it_is_asked() -> None:
    song = np.stack([note(pitch=11 + 0.1 * k, breath=-20) for k in range(6)])
    whole = notes.Player(iter(song), 5).take(64_000)
    player = notes.Player(iter(song), 5)
    parts = [player.take(n) for n in (1, 999, 20_000, 0, 7, 42_993)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert np.abs(whole).max() > 0.05
    assert not np.array_equal(notes.Player(iter(song), 6).take(64_000), whole)
    assert np.abs(notes.Player(iter(song), 5).take(96_000)[64_000:]).max() == 0  # no more notes: silence


def test_a_player_goes_on_after_what_was() -> None:
    late = notes.Player(iter([note(begins=0.0)]), 0, begun=0.6).take(32_000)
    assert np.flatnonzero(np.abs(late) > 1e-4)[0] / 32_000 == pytest.approx(0.4, abs=0.02)
    at_once = notes.Player(iter([note(begins=-2.0)]), 0, begun=0.6).take(32_000)
    assert np.flatnonzero(np.abs(at_once) > 1e-4)[0] / 32_000 < 0.02


@settings(max_examples=12, deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=len(NAMES), max_size=len(NAMES)), max_size=4))
def test_any_numbers_are_played(rows: list[list[float]]) -> None:
    made = notes.play(np.array(rows, np.float64).reshape(-1, len(NAMES)), 0.5, 1)
    assert made.mono.shape == (16_000,)
    assert np.isfinite(made.mono).all()


def test_what_are_no_notes_is_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        notes.play(np.full((2, len(NAMES)), np.nan), 1.0, 0)
    with pytest.raises(InputError, match="finite"):
        notes.play(np.zeros((2, 3)), 1.0, 0)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 3000), st.sampled_from([4_000, 8_000, 44_100]), st.integers(0, 2**31))
def test_any_sound_is_listened_to(n: int, rate: int, seed: int) -> None:
    wave = np.random.default_rng(seed).uniform(-1, 1, (1, n)).astype(np.float32)
    heard = notes.listen(Sound(wave, rate))
    assert np.isfinite(heard.notes).all()
    assert 0 <= heard.clear <= 1
