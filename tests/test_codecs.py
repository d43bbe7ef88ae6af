"""One contract for the voices of others, from small checkpoints of their architecture; and SoundStream itself."""

from __future__ import annotations

import importlib.util
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import stirred, write_audioldm2

from synesthesia.codecs import VOICES, load_voice, soundstream
from synesthesia.codecs.bands import Bands
from synesthesia.codecs.voice import RunningVoice, TokenVoice, join
from synesthesia.codecs.windows import NetVoice
from synesthesia.senses import InputError, Sound
from synesthesia.spaces import Features, SpaceError

TEACHERS = Path(__file__).parents[2] / "shared" / "teachers"
HAVE = {name: importlib.util.find_spec(name) is not None for name in ("transformers", "diffusers", "ai_edge_litert")}
NEEDS = {
    "soundstream": ("ai_edge_litert",),
    "audioldm2": ("transformers", "diffusers"),
    **dict.fromkeys(("encodec", "encodec-both-ways", "dac", "dac-odd", "mimi"), ("transformers",)),
}
Load = Callable[[str], RunningVoice]


# --- small checkpoints -----------------------------------------------------------------------------------------------


def _encodec(**more: Any) -> Any:
    from transformers import EncodecConfig, EncodecModel

    sizes = {"num_filters": 4, "hidden_size": 16, "codebook_size": 32, "num_lstm_layers": 1}
    return EncodecModel(EncodecConfig(**{**sizes, "target_bandwidths": [0.75, 1.5], **more}))


def _dac(*ratios: int) -> Any:
    from transformers import DacConfig, DacModel

    return DacModel(DacConfig(encoder_hidden_size=4, decoder_hidden_size=32, downsampling_ratios=list(ratios),
                              n_codebooks=3, codebook_size=32, codebook_dim=4, sampling_rate=16_000))  # fmt: skip


def _mimi() -> Any:
    from transformers import MimiConfig, MimiModel

    return MimiModel(MimiConfig(
        num_filters=4, hidden_size=16, codebook_size=32, codebook_dim=8, vector_quantization_hidden_dimension=8,
        num_quantizers=4, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, head_dim=8,
        intermediate_size=32, sliding_window=20, upsample_groups=16, upsampling_ratios=[8, 6, 5, 4],
    ))  # fmt: skip


MADE: dict[str, Callable[[], Any]] = {
    "encodec": _encodec,
    "encodec-both-ways": lambda: _encodec(sampling_rate=32_000, use_causal_conv=False, upsampling_ratios=[8, 5, 4, 4]),
    "dac": lambda: _dac(2, 4, 8, 8),
    "dac-odd": lambda: _dac(2, 4, 5, 8),
    "mimi": _mimi,
}


def _write(kind: str, folder: Path) -> Path:
    torch.manual_seed(0)
    if kind == "audioldm2":
        write_audioldm2(folder)
    else:
        stirred(MADE[kind]()).save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a small checkpoint of a kind; written once, not to be changed."""
    root = tmp_path_factory.mktemp("voices")
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if missing := [name for name in NEEDS[kind] if not HAVE[name]]:
            pytest.skip(f"needs {' and '.join(missing)}")
        if kind == "soundstream":
            if not TEACHERS.is_dir():
                pytest.skip("no ../shared/teachers beside this checkout")
            return TEACHERS
        if kind not in made:
            made[kind] = _write(kind, root / kind)
        return made[kind]

    return folder


@pytest.fixture(scope="module")
def voices(written: Callable[[str], Path]) -> Load:
    loaded: dict[str, RunningVoice] = {}

    def load(kind: str) -> RunningVoice:
        folder = written(kind)
        if kind not in loaded:
            voice = load_voice(folder, device="cpu")
            assert isinstance(voice, RunningVoice)
            loaded[kind] = voice
        return loaded[kind]

    return load


every = pytest.mark.parametrize("kind", list(NEEDS))
with_tokens = pytest.mark.parametrize("kind", [kind for kind in NEEDS if kind != "audioldm2"])
networks = pytest.mark.parametrize("kind", [kind for kind in NEEDS if kind != "soundstream"])


def noise(voice: RunningVoice, seconds: float, seed: int = 0) -> Sound:
    rng = np.random.default_rng(seed)
    samples = 0.1 * rng.standard_normal(max(1, round(seconds * voice.rate)))
    return Sound(samples.astype(np.float32)[None], voice.rate)


# --- the contract ----------------------------------------------------------------------------------------------------


def test_every_kind_is_tested() -> None:
    assert set(VOICES) == {"neural", "encodec", "dac", "mimi", "AudioLDM2Pipeline"}
    assert isinstance(load_voice("bands"), Bands)


@every
def test_a_sound_goes_in_and_a_sound_of_its_length_comes_out(voices: Load, kind: str) -> None:
    voice = voices(kind)
    for seconds in (0.0, 0.31, 1.7):
        sound = noise(voice, seconds)
        latents = voice.encode(sound)
        frames = -(-sound.samples.shape[1] // voice.hop)
        assert latents.values.shape == (frames, voice.space.width)
        assert latents.values.dtype == np.float32
        made = voice.decode(latents)
        assert made.samples.shape == (1, frames * voice.hop)
        assert made.rate == voice.rate
        assert np.isfinite(made.samples).all()
    assert made.mono.std() > 1e-5, "the sound is not silence"


@every
def test_however_it_is_cut_it_is_the_same_bit_for_bit(voices: Load, kind: str) -> None:
    voice = voices(kind)
    samples = noise(voice, 2.3).mono
    latents = voice.encode(Sound(samples[None], voice.rate))
    whole = voice.decode(latents).mono
    rng = np.random.default_rng(0)
    encoder, decoder = voice.encoder(), voice.decoder()
    parts = [encoder.push(part) for part in np.split(samples, np.sort(rng.integers(1, len(samples), 6)))]
    np.testing.assert_array_equal(join([*parts, encoder.finish()]).values, latents.values)
    cuts = np.unique(rng.integers(1, len(latents.values), 4))
    said = [decoder.push(Features(part, voice.space)) for part in np.split(latents.values, cuts)]
    np.testing.assert_array_equal(np.concatenate([*said, decoder.finish()]), whole)


@networks
def test_blocks_are_nearly_what_the_network_makes_of_everything_at_once(voices: Load, kind: str) -> None:
    """To rounding where windows hold all that a network looks at; LSTMs, transformers and norms look at everything."""
    voice = voices(kind)
    assert isinstance(voice, NetVoice)
    blocks = 3 if kind != "audioldm2" else 1.5
    samples = noise(voice, blocks * voice.hears.block * voice.hop / voice.rate).mono
    latents = voice.encode(Sound(samples[None], voice.rate))
    with torch.inference_mode():
        padded = np.pad(samples, (0, -len(samples) % voice.hop))
        heard = voice._hear(voice.here(padded[None])).numpy()
        said = voice._say(voice.here(latents.values))[0].numpy()
    share = {"dac": 1e-4, "dac-odd": 1e-4, "encodec": 0.02, "encodec-both-ways": 0.02}.get(kind, 0.2)
    assert np.sqrt(np.mean((latents.values - heard) ** 2)) <= share * heard.std()
    made = voice.decode(latents).mono
    assert np.sqrt(np.mean((made - said[: len(made)]) ** 2)) <= share * said.std()


@every
def test_memory_does_not_grow_with_length(voices: Load, kind: str) -> None:
    voice = voices(kind)
    if not isinstance(voice, NetVoice):
        pytest.skip("its networks hold what they hold")
    decoder = voice.decoder()
    latents = Features(np.zeros((voice.speaks.block, voice.space.width), np.float32), voice.space)
    held = []
    for _ in range(5):
        decoder.push(latents)
        held.append(len(decoder._windows._known))  # type: ignore[attr-defined]
    reach = voice.speaks
    assert max(held) <= reach.before + reach.block + reach.after


@every
def test_a_loop_goes_on_where_it_began(voices: Load, kind: str) -> None:
    voice = voices(kind)
    latents = voice.encode(noise(voice, 1.0))
    period = voice.loop(latents).mono
    assert len(period) == len(latents.values) * voice.hop
    again = voice.loop(Features(np.roll(latents.values, 5, axis=0), voice.space)).mono
    if kind in ("dac", "dac-odd"):  # turned by five frames it is the same loop, turned
        np.testing.assert_allclose(again, np.roll(period, 5 * voice.hop), atol=1e-4 * np.abs(period).max())
    else:
        assert np.corrcoef(again, np.roll(period, 5 * voice.hop))[0, 1] > 0.9


@with_tokens
def test_tokens_decode_themselves_and_the_first_books_come_first(voices: Load, kind: str) -> None:
    voice = voices(kind)
    assert isinstance(voice, TokenVoice)
    sound = noise(voice, 0.8)
    codes = voice.tokens(sound)
    assert codes.codes.shape[1] == voice.codebooks
    assert len(np.unique(codes.codes)) > 2
    made = codes.sound()
    assert made.samples.shape == (1, len(codes.codes) * voice.hop)
    np.testing.assert_array_equal(voice.tokens(sound, 2).codes, codes.codes[:, :2])
    assert voice.bits_per_second(2) == pytest.approx(2 * np.log2(voice.size) * voice.rate / voice.hop)
    with pytest.raises(InputError, match="codebooks"):
        voice.tokens(sound, voice.codebooks + 1)


@pytest.mark.parametrize("kind", ["encodec", "encodec-both-ways", "dac", "mimi"])
def test_tokens_are_those_of_the_model_itself(voices: Load, kind: str) -> None:
    """In a sound of one window our way in and out is the model's own `encode` and `decode`."""
    voice = voices(kind)
    assert isinstance(voice, NetVoice) and isinstance(voice, TokenVoice)  # noqa: PT018
    frames = voice.hears.block // 2
    samples = noise(voice, frames * voice.hop / voice.rate).mono
    given = torch.tensor(samples)[None, None]
    ours = voice.tokens(Sound(samples[None], voice.rate))
    with torch.inference_mode():
        if kind.startswith("encodec"):
            told = voice.net.encode(given, bandwidth=voice.net.config.target_bandwidths[-1])
            codes, made = told.audio_codes[0, 0], voice.net.decode(told.audio_codes, told.audio_scales).audio_values
        else:
            codes = voice.net.encode(given).audio_codes[0]
            made = voice.net.decode(audio_codes=codes[None]).audio_values
    np.testing.assert_array_equal(ours.codes, codes.T.numpy())
    np.testing.assert_allclose(ours.sound().mono, made.reshape(-1).numpy()[: len(samples)], atol=1e-5)


# --- what one of them promises ---------------------------------------------------------------------------------------


def test_the_spectrogram_of_audioldm_hears_a_tone_in_its_band(voices: Load) -> None:
    voice: Any = voices("audioldm2")
    samples = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    mel = voice.mel(torch.tensor(samples)[None])[0].numpy()
    assert mel.shape == (100, 64)
    centres = voice.net.bank.numpy().argmax(0) * 16_000 / 1024
    assert abs(centres[mel[50].argmax()] - 1000) < 60
    soft = voice.mel(torch.tensor(samples / 2)[None])[0].numpy()
    loud = mel[10:90].max(1)
    np.testing.assert_allclose(loud - soft[10:90].max(1), np.log(2), atol=1e-3)


def test_soundstream_keeps_what_it_hears_when_it_was(voices: Load) -> None:
    voice = voices("soundstream")
    rng = np.random.default_rng(0)
    t = np.arange(2 * voice.rate)
    bursts = rng.standard_normal(len(t)) * np.exp(-(t % 8000) / 400) * (t % 8000 > 0)
    made = voice.decode(voice.encode(Sound((0.2 * bursts).astype(np.float32)[None], voice.rate))).mono
    power = [np.convolve(x**2, np.ones(160), "same") for x in (bursts, made)]
    assert np.corrcoef(*power)[0, 1] > 0.8
    lag = np.correlate(power[1][::16], power[0][::16], "full").argmax() - (len(t) // 16 - 1)
    assert abs(lag * 16 / voice.rate) < 0.005, "it is not late"


def test_more_books_are_nearer(voices: Load) -> None:
    voice = voices("soundstream")
    assert isinstance(voice, TokenVoice)
    latents = voice.encode(noise(voice, 1.0))
    error = [
        float(np.mean((voice.latents(voice.quantise(latents, books)).values - latents.values) ** 2))
        for books in (1, 4, 16, 46)
    ]
    assert error == sorted(error, reverse=True)
    assert error[-1] < 0.2 * error[0]
    assert voice.bits_per_second(16) == 3200


# --- bad input -------------------------------------------------------------------------------------------------------


@every
def test_what_is_not_its_own_is_refused(voices: Load, kind: str) -> None:
    voice = voices(kind)
    with pytest.raises(SpaceError):
        voice.decode(Features(np.zeros((3, 131), np.float32), Bands.space))
    with pytest.raises(InputError, match="NaN"):
        voice.decode(Features(np.full((3, voice.space.width), np.nan, np.float32), voice.space))
    with pytest.raises(InputError, match="no samples"):
        voice.encode(Sound(np.zeros((1, 0)), voice.rate))
    decoder, encoder = voice.decoder(), voice.encoder()
    decoder.finish()
    encoder.finish()
    with pytest.raises(InputError, match="finished"):
        decoder.push(Features(np.zeros((1, voice.space.width), np.float32), voice.space))
    with pytest.raises(InputError, match="finished"):
        encoder.push(np.zeros(voice.hop, np.float32))


@pytest.mark.parametrize("kind", ["encodec", "audioldm2"])
def test_a_pickle_is_refused(written: Callable[[str], Path], tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(written(kind), folder)
    weights = next(folder.rglob("*.safetensors"))
    weights.write_bytes(pickle.dumps({"weight": 1}))
    with pytest.raises(InputError, match="safetensors"):
        load_voice(folder)
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(InputError, match="safetensors"):
        load_voice(folder)


def test_a_stereo_encodec_is_refused(tmp_path: Path) -> None:
    if not HAVE["transformers"]:
        pytest.skip("needs transformers")
    stirred(_encodec(audio_channels=2, normalize=True)).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(InputError, match="stereo"):
        load_voice(tmp_path)


@pytest.mark.parametrize("told", ["[]", "{", '{"model_type": "bert"}', "{}", '{"voice": "bands"}'])
def test_what_is_no_voice_is_a_sentence(tmp_path: Path, told: str) -> None:
    (tmp_path / "config.json").write_text(told)
    with pytest.raises(InputError):
        load_voice(tmp_path)
    with pytest.raises(InputError, match="no model"):
        load_voice(tmp_path / "nowhere")


def test_a_folder_of_nonsense_is_no_soundstream(tmp_path: Path) -> None:
    if not HAVE["ai_edge_litert"]:
        pytest.skip("needs ai_edge_litert")
    for name in soundstream.FILES:
        (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not the network"):
        load_voice(tmp_path)
