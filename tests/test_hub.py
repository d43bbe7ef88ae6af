from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import pickle
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from synesthesia import hub
from synesthesia.senses import InputError

CARD = hub.Card(
    name="knock/test", licence="Apache-2.0", summary="A test.", data="None.", training="None.", limits="Everything.",
    figures={"error": "50 cents, n = 3"},
)  # fmt: skip
TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b.half": torch.ones(4).half(), "c": torch.tensor([1, 2])}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return hub.save_model(tmp_path / "model", {"model": {"width": 4}}, TENSORS, CARD)


def test_halved_weights_fill_the_same_module_and_no_other(tmp_path: Path) -> None:
    def made(width: int) -> torch.nn.ModuleDict:
        return torch.nn.ModuleDict({"own": torch.nn.BatchNorm1d(width), "elsewhere": torch.nn.Linear(width, 2)})

    one, other = made(3), made(3)
    torch.nn.init.normal_(one["own"].weight)
    tensors = hub.halved(one, ("elsewhere.",))
    assert {k.split(".")[0] for k in tensors} == {"own"}
    assert tensors["own.weight"].dtype == torch.float16
    assert tensors["own.num_batches_tracked"].dtype == torch.int64
    kept = other["elsewhere"].weight.clone()
    hub.fill(other, tensors, "it", ("elsewhere.",))
    torch.testing.assert_close(other["own"].weight, one["own"].weight, atol=1e-3, rtol=1e-3)
    assert torch.equal(other["elsewhere"].weight, kept)
    with pytest.raises(InputError, match="it lacks, or has too many, weights like elsewhere"):
        hub.fill(other, tensors, "it")
    with pytest.raises(RuntimeError):
        hub.fill(made(4), tensors, "it", ("elsewhere.",))


def test_a_checkpoint_comes_back_as_it_was_saved(checkpoint: Path) -> None:
    config, tensors = hub.load_model(checkpoint)
    assert config["model"] == {"width": 4}
    assert config["licence"] == "Apache-2.0"
    assert config["sha256"] == hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
    assert all(
        torch.equal(tensors[name], value) and tensors[name].dtype == value.dtype for name, value in TENSORS.items()
    )
    assert sorted(p.name for p in checkpoint.iterdir()) == sorted(hub.FILES)
    card = (checkpoint / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert "| error | 50 cents, n = 3 |" in card


def test_a_licence_in_words_has_a_name_that_hubs_take() -> None:
    card = dataclasses.replace(CARD, licence="research use only").markdown()
    assert card.startswith("---\nlicense: other\nlicense_name: research-use-only\n")
    assert card.endswith("Licence of the weights: research use only.\n")


def test_one_changed_bit_is_noticed(checkpoint: Path) -> None:
    data = bytearray((checkpoint / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (checkpoint / "model.safetensors").write_bytes(data)
    with pytest.raises(InputError, match="SHA-256 differs"):
        hub.load_model(checkpoint)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_under_another_name_is_refused_even_with_its_right_hash(checkpoint: Path, protocol: int) -> None:
    refuse(checkpoint, pickle.dumps({"a": 1}, protocol=protocol), "pickle")


def test_a_torch_archive_under_another_name_is_refused(checkpoint: Path) -> None:
    buffer = io.BytesIO()
    torch.save(TENSORS, buffer)
    refuse(checkpoint, buffer.getvalue(), "pickle")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 8,
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 100) + b"{}",
        struct.pack("<Q", 2) + b"{}" + b"trailing",
        save(TENSORS)[:-1],
        save(TENSORS) + b"\0",
    ],
)
def test_what_is_not_quite_safetensors_is_refused(checkpoint: Path, data: bytes) -> None:
    refuse(checkpoint, data, "not a s")


def test_overlapping_tensors_are_refused(checkpoint: Path) -> None:
    part = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = json.dumps({"a": part, "b": part}).encode()
    refuse(checkpoint, struct.pack("<Q", len(header)) + header + bytes(8), "overlap")


def refuse(checkpoint: Path, data: bytes, why: str) -> None:
    """The weights replaced by `data`, with a config that vouches for it, must be refused."""
    (checkpoint / "model.safetensors").write_bytes(data)
    (checkpoint / "config.json").write_text(json.dumps({"sha256": hashlib.sha256(data).hexdigest()}))
    with pytest.raises(InputError, match=why):
        hub.load_model(checkpoint)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=120), where=st.integers(0, 400))
def test_no_bytes_crash_the_check_of_weights(data: bytes, where: int) -> None:
    good = save(TENSORS)
    for bytes_ in (data, struct.pack("<Q", len(data)) + data, good[:where] + data + good[where + len(data) :]):
        try:
            hub.check_safetensors(bytes_, "weights")
        except InputError as error:
            assert str(error).startswith("weights")


@settings(max_examples=60, deadline=None)
@given(
    header=st.recursive(
        st.none() | st.integers() | st.text(max_size=4),
        lambda c: (
            st.lists(c, max_size=3)
            | st.dictionaries(st.sampled_from(["a", "dtype", "shape", "data_offsets", "__metadata__"]), c, max_size=4)
        ),
    )
)
def test_no_header_crashes_the_check_of_weights(header: object) -> None:
    text = json.dumps(header).encode()
    try:
        hub.check_safetensors(struct.pack("<Q", len(text)) + text, "weights")
    except InputError:
        pass


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff", "[" * 100_000])
def test_a_config_that_is_not_a_json_object_is_refused(checkpoint: Path, text: str) -> None:
    (checkpoint / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match="JSON"):
        hub.load_model(checkpoint)


# --- references ------------------------------------------------------------------------------------------------------


def test_presets_and_their_replacements(checkpoint: Path) -> None:
    tiny = {verb: f"{verb}/tiny" for verb in ("knock", "hear", "locate", "see", "describe", "walk")}
    assert hub.preset() == tiny
    assert hub.preset(knock="large") == tiny | {"knock": "knock/large"}
    assert hub.preset(knock=checkpoint) == tiny | {"knock": str(checkpoint)}
    with pytest.raises(InputError, match="no preset 'huge'"):
        hub.preset("huge")


def test_references(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.resolve(checkpoint) == checkpoint
    with pytest.raises(InputError, match=r"has no config\.json"):
        hub.resolve(tmp_path)
    with pytest.raises(InputError, match="no model 'knock/none'"):
        hub.resolve("knock/none")
    with pytest.raises(InputError, match="user/repo@commit"):
        hub.resolve("hf:user/repo@main")
    checkpoint.rename(tmp_path / "knock-small")
    monkeypatch.setattr(hub, "WEIGHTS", tmp_path)
    assert hub.shipped_models() == ["knock/small"]
    assert hub.resolve("knock/small") == tmp_path / "knock-small"


@pytest.fixture
def remote(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """A hub that has the checkpoint but nothing in the cache; records the downloads."""
    downloads: list[dict[str, object]] = []

    def download(repo: str, **how: object) -> str:
        if how.get("local_files_only"):
            raise LocalEntryNotFoundError("not in the cache")
        downloads.append({"repo": repo, **how})
        return str(checkpoint)

    parts = [
        SimpleNamespace(rfilename="config.json", size=400),
        SimpleNamespace(rfilename="model.safetensors", size=3 * 2**20),
        SimpleNamespace(rfilename="junk.bin", size=2**40),
    ]
    info = SimpleNamespace(siblings=parts, card_data={"license": "cc-by-4.0"})
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: SimpleNamespace(model_info=lambda *a, **k: info))
    return downloads


def test_a_download_is_described_and_agreed_to(
    remote: list[dict[str, object]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = "hf:user/repo@0123456789abcdef"
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(InputError, match="add --yes"):
        hub.load_model(reference)
    assert remote == []
    hub.load_model(reference, yes=True)
    assert remote[0]["revision"] == "0123456789abcdef"
    assert remote[0]["allow_patterns"] == list(hub.FILES)
    assert "3 MB, licence: cc-by-4.0" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "taken"), [("y", 1), ("", 0), ("n", 0)])
def test_a_person_is_asked(
    remote: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch, answer: str, taken: int
) -> None:
    monkeypatch.setattr("builtins.input", lambda question: answer)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    try:
        hub.resolve("hf:user/repo@0123456")
    except InputError as error:
        assert "Nothing was downloaded" in str(error)
    assert len(remote) == taken


def test_a_description_is_fetched_without_asking_but_not_without_telling(
    remote: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    hub.resolve("hf:user/repo@0123456", need=["config.json"], also=["README.md"])
    assert [call["allow_patterns"] for call in remote] == [["config.json", "README.md"]]
    assert "hf:user/repo@0123456: 0 MB, licence: cc-by-4.0" in capsys.readouterr().err


def test_a_cache_that_has_a_part_only_is_completed(
    remote: list[dict[str, object]], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = tmp_path / "part"
    part.mkdir()
    (part / "config.json").write_text("{}")
    fetch = huggingface_hub.snapshot_download
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda repo, **how: str(part) if how.get("local_files_only") else fetch(repo, **how),
    )
    assert hub.resolve("hf:user/repo@0123456", need=["config.json"]) == part
    assert remote == []
    assert hub.resolve("hf:user/repo@0123456", yes=True) == checkpoint
    assert len(remote) == 1


@pytest.mark.parametrize(
    "failure", [OSError("no route"), OfflineModeIsEnabled("offline"), LocalEntryNotFoundError("gone")]
)
def test_a_failed_download_names_the_settings_it_obeys(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def fail(*args: object, **how: object) -> str:
        raise LocalEntryNotFoundError("not in the cache") if how.get("local_files_only") else failure

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: SimpleNamespace(model_info=fail))
    monkeypatch.setenv("HF_ENDPOINT", "mirror.example")
    with pytest.raises(InputError, match=r"HF_ENDPOINT=mirror\.example, HF_HOME=.*, HF_HUB_OFFLINE="):
        hub.resolve("hf:user/repo@0123456", yes=True)


def test_a_pushed_checkpoint_is_named_by_its_commit(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    api = SimpleNamespace(
        create_repo=lambda repo, **how: calls.append(f"create {repo}"),
        upload_folder=lambda **how: (
            calls.append(f"upload {sorted(how['allow_patterns'])}") or SimpleNamespace(oid="abc1234")
        ),
    )
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
    assert hub.push_to_hub(checkpoint, "me/mine") == "hf:me/mine@abc1234"
    assert calls == ["create me/mine", "upload ['README.md', 'config.json', 'model.safetensors']"]
    (checkpoint / "model.safetensors").write_bytes(b"spoiled")
    with pytest.raises(InputError):
        hub.push_to_hub(checkpoint, "me/mine")
    assert len(calls) == 2


# --- device and seed -------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_noise() -> None:
    assert torch.equal(torch.randn(5, generator=hub.generator(3)), torch.randn(5, generator=hub.generator(3)))
    assert not torch.equal(torch.randn(5, generator=hub.generator(3)), torch.randn(5, generator=hub.generator(4)))
    with pytest.raises(InputError, match="seed"):
        hub.generator(-1)


def test_devices() -> None:
    assert hub.device("cpu").type == "cpu"
    assert hub.device().type in ("cpu", "cuda", "mps")
    with pytest.raises(InputError, match="no device 'toaster'"):
        hub.device("toaster")
