"""The training of voices: what the loss says, what is drawn, and that a run learns and resumes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from synesthesia import media
from synesthesia.codecs import neural
from synesthesia.codecs.bands import erb_hertz, erb_number
from synesthesia.codecs.neural import NeuralConfig
from synesthesia.data.pack import pack
from synesthesia.senses import InputError, Sound
from synesthesia.train.hear_data import Sounds, read
from synesthesia.train.loop import LoopConfig, fit
from synesthesia.train.voice import (
    LOUD_DB,
    SCALES,
    SOFT_DB,
    NeuralStudent,
    VoiceRun,
    _responses,
    chances,
    learned_code,
    lesson,
    spectral_loss,
    train,
)

RATE = 32_000
SMALL = NeuralConfig(width=32, fine=1, coarse=1, spoken=1, latent=16, books=3, bits=6, code=4)
RUN = VoiceRun(steps=2, batch=2, frames=20, net=SMALL)
HAVE_TRANSFORMERS = importlib.util.find_spec("transformers") is not None


def tone(hz: float, amplitude: float = 0.1, seconds: float = 0.5) -> torch.Tensor:
    return amplitude * torch.sin(2 * np.pi * hz * torch.arange(round(seconds * RATE)) / RATE)[None]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("mine"), np.random.default_rng(0)
    t = np.arange(RATE) / RATE
    for kind in ("hum", "hiss"):
        (folder / kind).mkdir()
        for k in range(8):
            wave = rng.standard_normal(len(t)) if kind == "hiss" else np.sin(2 * np.pi * rng.uniform(150, 900) * t)
            media.write_sound(folder / kind / f"{k}.wav", Sound(0.1 * wave.astype(np.float32)[None], RATE))
    out = tmp_path_factory.mktemp("shards")
    pack(folder, out)
    return out


# --- loss ------------------------------------------------------------------------------------------------------------


def test_the_same_is_no_loss_and_twice_as_loud_is_log_two() -> None:
    noise = 0.1 * torch.randn(2, RATE // 2, generator=torch.Generator().manual_seed(0))
    assert sum(float(v) for v in spectral_loss(noise, noise, RATE).values()) == 0.0
    assert float(spectral_loss(2 * noise, noise, RATE)["bands"]) == pytest.approx(4 * np.log(2), rel=0.02)


def test_a_loss_grows_with_the_interval_and_with_the_delay() -> None:
    by_pitch = [float(spectral_loss(tone(1000 * r), tone(1000), RATE)["bands"]) for r in (1.0, 1.1, 1.4)]
    assert by_pitch == sorted(by_pitch)
    assert by_pitch[0] < 1e-6 < 0.01 < by_pitch[1]
    click = torch.zeros(1, RATE // 2)
    click[0, 8000] = 0.5
    by_delay = [float(spectral_loss(click.roll(d), click, RATE)["bands"]) for d in (0, 64, 1024)]
    assert by_delay == sorted(by_delay)
    assert by_delay[1] > 0.01, "two milliseconds are heard"


def test_the_phase_counts_where_the_level_does_not() -> None:
    terms = spectral_loss(-tone(1000), tone(1000), RATE)
    assert float(terms["bands"]) < 1e-4 < float(terms["phase"])


def test_a_sine_in_each_band_is_no_noise() -> None:
    """By bands alone it is nearer to a noise than another noise is, and a codec learns to hum."""
    g = torch.Generator().manual_seed(0)
    noise, again = 0.1 * torch.randn(2, 1, RATE // 2, generator=g)
    hz = torch.from_numpy(erb_hertz(np.linspace(*erb_number(np.array([40.0, 15_500.0])), 96)))[:, None]
    phase = 2 * torch.pi * torch.rand(96, 1, generator=g)
    sines = (0.108 * hz + 24.7).sqrt() * (2 * torch.pi * hz * torch.arange(RATE // 2) / RATE + phase).sin()
    hum = sines.sum(0)[None].float()
    as_hum, as_noise = (spectral_loss(made, noise, RATE) for made in (hum * (noise.std() / hum.std()), again))
    assert float(as_hum["bands"]) < float(as_noise["bands"])
    assert float(as_hum["bins"]) > 3 * float(as_noise["bins"])


def test_no_frequency_is_left_out() -> None:
    for window, count in SCALES:
        response = _responses(window, count, RATE)
        hz = torch.arange(len(response)) * RATE / window
        assert float(response.sum(1)[(hz > 400) & (hz < 11_000)].min()) > 0.95, "no frequency falls between bands"
        assert (response.sum(0) > 0).float().mean() > 0.85


# --- what is drawn ---------------------------------------------------------------------------------------------------


def test_kinds_then_recordings_then_pieces_are_drawn_evenly() -> None:
    kind = np.array([0, 0, 0, 0, 1])
    cluster = np.array([7, 7, 7, 8, 9])
    sounds = Sounds(torch.zeros(5, 131).half(), torch.zeros(5, 320).half(), np.arange(6), kind, cluster)
    np.testing.assert_allclose(chances(sounds), [1 / 12, 1 / 12, 1 / 12, 1 / 4, 1 / 2])


def test_crops_come_at_levels_from_soft_to_loud(shards: Path) -> None:
    sounds = read(shards, "train").sounds
    rng = np.random.default_rng(0)
    waves = torch.cat([lesson(sounds, chances(sounds), rng, VoiceRun(batch=16, frames=50)) for _ in range(4)])
    assert waves.shape == (64, 50 * 320)
    level = 10 * np.log10((waves**2).mean(1).numpy())
    assert SOFT_DB - 2 < level.min() < SOFT_DB + 8
    assert LOUD_DB - 8 < level.max() < LOUD_DB + 2


# --- learning --------------------------------------------------------------------------------------------------------


def test_one_second_of_sound_is_learned_a_little(tmp_path: Path) -> None:
    torch.manual_seed(0)
    student = NeuralStudent(SMALL)
    real = tone(440, 0.2, 1.0) + 0.02 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(1))
    seen: list[float] = []

    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        made, lost = student.again(real, g)
        terms = spectral_loss(made, real, RATE)
        seen.append(float(terms["bands"].detach()))
        return terms | {"codes": lost}

    fit(student, loss, LoopConfig(40, 4e-3, warmup=5, ema=0.8), tmp_path)
    assert np.mean(seen[-5:]) < 0.5 * np.mean(seen[:3])
    voice = neural.Neural(student.net, "mine")
    sound = Sound(real.numpy(), RATE)
    made = torch.tensor(voice.decode(voice.encode(sound)).samples)
    other = tone(440 * 1.5, 0.2, 1.0)
    assert float(spectral_loss(made, real, RATE)["bands"]) < float(spectral_loss(other, real, RATE)["bands"])


def test_a_run_leaves_a_voice_and_again_the_same(shards: Path, tmp_path: Path) -> None:
    one, two = (train(shards, tmp_path / name, RUN) for name in "ab")
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()
    voice = neural.load(one)
    assert voice.rate == RATE
    assert np.isfinite(voice.decode(voice.encode(Sound(tone(300).numpy(), RATE))).mono).all()


def test_minutes_become_steps_once(shards: Path, tmp_path: Path) -> None:
    train(shards, tmp_path, RUN, minutes=1e-4)
    told = json.loads((tmp_path / "steps.json").read_text())
    assert told["steps"] >= 1
    stamp = (tmp_path / "voice" / "loop.safetensors").stat().st_mtime_ns
    train(shards, tmp_path, RUN, minutes=1e-4)
    assert (tmp_path / "voice" / "loop.safetensors").stat().st_mtime_ns == stamp, "a finished run is not run again"
    with pytest.raises(InputError, match="another folder"):
        train(shards, tmp_path, RUN, minutes=5.0)


def test_bad_runs_are_sentences(shards: Path, tmp_path: Path) -> None:
    for minutes in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="positive number"):
            train(shards, tmp_path, RUN, minutes=minutes)
    with pytest.raises(InputError, match="even number"):
        train(shards, tmp_path, VoiceRun(frames=3))
    with pytest.raises(InputError):
        train(tmp_path / "nowhere", tmp_path / "out")


# --- the control -----------------------------------------------------------------------------------------------------


def test_a_codebook_moves_to_what_falls_to_it_and_drops_what_is_not_used() -> None:
    class Book(SimpleNamespace):
        def quantize(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cdist(x, self.embed).argmin(1)

    book = Book(embed=torch.zeros(4, 2), embed_avg=torch.zeros(4, 2), cluster_size=torch.zeros(4))
    g = torch.Generator().manual_seed(0)
    places = torch.tensor([[5.0, 5.0], [-5.0, 5.0]])
    for _ in range(600):
        points = places[torch.randint(2, (1, 64), generator=g)] + 0.1 * torch.randn(1, 64, 2, generator=g)
        chosen = learned_code(book, points, g)
    assert float((chosen - points).norm(dim=-1).max()) < 1.0
    assert float(torch.cdist(places, book.embed).min(1).values.max()) < 0.2


@pytest.mark.skipif(not HAVE_TRANSFORMERS, reason="the control needs transformers (extra `hub`)")
def test_the_control_is_trained_by_the_same_loop(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    from synesthesia.codecs import load_voice

    config = transformers.EncodecConfig(num_filters=4, hidden_size=16, codebook_size=16, num_lstm_layers=1)
    with monkeypatch.context() as small:
        small.setattr(transformers, "EncodecConfig", lambda: config)
        folder = train(shards, tmp_path, RUN, control=True)
    voice = load_voice(folder, device="cpu")
    assert voice.rate == 24_000
    made = voice.decode(voice.encode(Sound(tone(300).numpy(), RATE)))
    assert made.seconds == pytest.approx(0.5, abs=0.02)
    assert float(voice.net.quantizer.layers[0].codebook.embed.abs().max()) > 0, "the books have learned"
