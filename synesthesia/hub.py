"""Models and where they live: presets, references, weight cards, safetensors in and out, device and seed.

A checkpoint is a folder of three files: `config.json`, `model.safetensors`, `README.md` (the card). A reference names
one: `knock/tiny` (shipped in the package), a folder, or `hf:user/repo@commit`. Pickles are refused, always.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import media
from .senses import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHTS = Path(__file__).parent / "weights"
FILES = ("config.json", "model.safetensors", "README.md")
# What describes a checkpoint of transformers beside its config.json.
DESCRIPTIONS = ("preprocessor_config.json", "model.safetensors.index.json", "README.md")
ONLY_SAFETENSORS = "Weights are read from safetensors only, never from a pickle such as pytorch_model.bin."

# A preset is a dictionary verb → model.
PRESETS: dict[str, dict[str, str]] = {
    "tiny": {
        "knock": "knock/tiny",
        "hear": "hear/tiny",
        "locate": "locate/tiny",
        "see": "see/tiny",
        "describe": "describe/tiny",
        "walk": "walk/tiny",
    }
}

MAX_HEADER = 8 * 2**20
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


# --- cards -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Card:
    """What a person should know before using a weight: where it is from, what it may be used for, how good it is.

    `figures` maps the name of a held-out measurement to its value as text ("212 cents, n = 480"); each has a script in
    `runs/` that makes it.
    """

    name: str
    licence: str
    summary: str
    data: str
    training: str
    limits: str
    figures: Mapping[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """The card as the README.md of a checkpoint, with the header that model hubs read."""
        known = " " not in self.licence  # hubs know licences by identifiers; one in words stands beside "other"
        lines = [
            "---",
            f"license: {self.licence.lower() if known else 'other'}",
            *([] if known else [f"license_name: {self.licence.lower().replace(' ', '-')}"]),
            "library_name: synesthesia",
            "---",
            "",
            f"# {self.name}",
            "",
        ]
        for title, text in (
            ("", self.summary),
            ("Data", self.data),
            ("Training", self.training),
            ("What it cannot do", self.limits),
        ):
            lines += [f"## {title}", ""] * bool(title) + [text, ""]
        if self.figures:
            lines += ["## Figures (held out)", "", "| what | value |", "|---|---|"]
            lines += [f"| {what} | {value} |" for what, value in self.figures.items()] + [""]
        return "\n".join([*lines, f"Licence of the weights: {self.licence}.", ""])


# --- references ------------------------------------------------------------------------------------------------------


def resolve(
    reference: str | Path,
    *,
    yes: bool = False,
    need: Sequence[str] = FILES[:2],
    also: Sequence[str] = FILES[2:],
) -> Path:
    """The folder of a checkpoint: `knock/tiny` (shipped), a folder, or `hf:user/repo@commit`.

    Of a checkpoint on a hub only the files that are `need`ed are fetched, and those of `also` that it has. `yes` agrees
    to a download without asking; less than a megabyte is only told. Raises InputError when there is no such model, when
    it lacks a needed file, when a download was not agreed to, or when it failed (naming HF_ENDPOINT, HF_HOME and
    HF_HUB_OFFLINE, which are honoured).
    """
    text = os.fspath(reference)
    if text.startswith("hf:"):
        return _fetch(text, yes, need, also)
    shipped = WEIGHTS / text.replace("/", "-")
    if re.fullmatch(r"[a-z]+/[a-z0-9-]+", text) and shipped.is_dir():
        return shipped
    folder = Path(text).expanduser()
    if (folder / "config.json").is_file():
        return folder
    if folder.is_dir():
        raise InputError(f"{folder} is no checkpoint: it has no config.json. A checkpoint holds {', '.join(FILES)}.")
    raise InputError(
        f"There is no model {text!r}. Shipped: {', '.join(shipped_models()) or 'none'}; "
        "a folder or hf:user/repo@commit will do as well."
    )


def shipped_models() -> list[str]:
    """The models whose weights are in the package, as references."""
    return sorted(path.parent.name.replace("-", "/", 1) for path in WEIGHTS.glob("*/config.json"))


def preset(name: str = "tiny", **models: str | Path) -> dict[str, str]:
    """A preset with single verbs replaced: `preset("tiny", knock="runs/mine")`. A bare name means `verb/name`."""
    if name not in PRESETS:
        raise InputError(f"There is no preset {name!r}; there are: {', '.join(PRESETS)}.")
    chosen = dict(PRESETS[name])
    for verb, model in models.items():
        text = os.fspath(model)
        chosen[verb] = f"{verb}/{text}" if re.fullmatch(r"[a-z0-9-]+", text) and not Path(text).is_dir() else text
    return chosen


def _fetch(reference: str, yes: bool, need: Sequence[str], also: Sequence[str]) -> Path:
    match = re.fullmatch(r"hf:([\w.-]+/[\w.-]+)@([0-9a-f]{7,40})", reference)
    if match is None:
        raise InputError(
            f"{reference!r} is not of the form hf:user/repo@commit (a commit, so that nobody can swap the weights)."
        )
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    repo, commit = match.groups()
    files = [*need, *also]
    try:
        cached = Path(
            huggingface_hub.snapshot_download(repo, revision=commit, allow_patterns=files, local_files_only=True)
        )
        if all((cached / name).is_file() for name in need):  # a snapshot may be in the cache in part
            return cached
    except LocalEntryNotFoundError:
        pass  # not in the cache yet
    try:
        info = huggingface_hub.HfApi().model_info(repo, revision=commit, files_metadata=True)
        sizes = {part.rfilename: part.size or 0 for part in info.siblings or ()}
        if lacking := [name for name in need if name not in sizes]:
            why = f" {ONLY_SAFETENSORS}" if any(name.endswith(".safetensors") for name in lacking) else ""
            raise InputError(f"{reference} has no {', '.join(lacking)}.{why}")
        size = sum(sizes.get(name, 0) for name in files)
        told = info.card_data or {}
        licence = told.get("license_name") or told.get("license") or "not stated"
        agree(f"{reference}: {size / 2**20:.0f} MB, licence: {licence}.", yes or size < 2**20)
        return Path(huggingface_hub.snapshot_download(repo, revision=commit, allow_patterns=files))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        settings = ", ".join(
            f"{name}={os.environ.get(name) or '(not set)'}" for name in ("HF_ENDPOINT", "HF_HOME", "HF_HUB_OFFLINE")
        )
        raise InputError(f"Cannot fetch {reference}: {error} With {settings}.") from error


def agree(what: str, yes: bool) -> None:
    """Say on stderr what a download is, and ask for it unless `yes`; InputError when nobody agrees."""
    print(what, file=sys.stderr)
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(f"{what} Nobody is there to agree to the download; add --yes (in Python: yes=True).")
    if input("Download? [y/N] ").strip().lower() not in ("y", "yes"):
        raise InputError("Nothing was downloaded.")


# --- checkpoints -----------------------------------------------------------------------------------------------------


def save_model(
    folder: str | Path, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], card: Card | None = None
) -> Path:
    """Write a checkpoint folder. `config` must be JSON; the hash and size of the weights are added to it.

    The weights are written first and the config, which holds their hash, last: a kill in between leaves a checkpoint
    that `load_model` refuses rather than one that mixes two.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = packed(tensors)
    full = {**config, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    if card is not None:
        full["licence"] = card.licence
        media.write_bytes(folder / "README.md", card.markdown().encode())
    media.write_bytes(folder / "model.safetensors", data)
    media.write_bytes(folder / "config.json", (json.dumps(full, indent=2, ensure_ascii=False) + "\n").encode())
    return folder


def packed(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """A safetensors file of these tensors."""
    import safetensors.torch

    return safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def halved(module: nn.Module, without: tuple[str, ...] = ()) -> dict[str, torch.Tensor]:
    """The state of a module in half precision, whole numbers as they are; `without` what begins with any of these."""
    state = module.state_dict()
    return {
        k: v.half() if v.is_floating_point() else v for k, v in state.items() if not (without and k.startswith(without))
    }


def fill(
    module: nn.Module, tensors: Mapping[str, torch.Tensor], reference: object, without: tuple[str, ...] = ()
) -> None:
    """Put weights that `halved` wrote, of the checkpoint `reference`, into a module.

    Raises InputError when some are lacking or too many, and RuntimeError, as torch does, when sizes differ.
    """
    own = {k for k in module.state_dict() if not (without and k.startswith(without))}
    if differing := sorted(own ^ tensors.keys()):
        raise InputError(f"{reference} lacks, or has too many, weights like {differing[0]}.")
    module.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}, strict=False)


def load_model(reference: str | Path, *, yes: bool = False) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The config and the CPU tensors of a checkpoint, after checking what they claim.

    Raises InputError when the config is not JSON, the weights are not safetensors (a pickle under that name is
    refused), or their SHA-256 is not the one in the config.
    """
    import safetensors
    import safetensors.torch

    folder = resolve(reference, yes=yes)
    config = read_config(folder)
    path = folder / "model.safetensors"
    data = media.read_bytes(path, 64 * 2**30)
    check_safetensors(data, str(path))
    if hashlib.sha256(data).hexdigest() != config.get("sha256"):
        raise InputError(f"{path} is not the file its config.json describes (SHA-256 differs); fetch it again.")
    try:
        return config, safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} is damaged: {error}.") from error


def read_tensors(path: Path, wanted: Callable[[str], object]) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file whose names are `wanted`; the rest of a large file is not read.

    Raises InputError when there is no such file or it is anything but safetensors.
    """
    import safetensors

    if not path.is_file():
        raise InputError(f"{path.parent} holds no {path.name}. {ONLY_SAFETENSORS}")
    try:
        with safetensors.safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if wanted(name)}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a sound safetensors file: {error}. {ONLY_SAFETENSORS}") from error


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """The config.json of a checkpoint (or another of its files); InputError when it is not a JSON object."""
    path = folder / name
    try:
        config = json.loads(media.read_bytes(path, 2**24))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not JSON: {error}.") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} holds no JSON object.")
    return config


def check_safetensors(data: bytes, name: str) -> None:
    """InputError unless `data` is a whole safetensors file with a header of at most 8 MB that covers it exactly."""
    if data[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise InputError(f"{name} is a pickle, which could run any program; only safetensors are read.")
    length = int.from_bytes(data[:8], "little")
    if len(data) < 10 or not 2 <= length <= min(MAX_HEADER, len(data) - 8):
        raise InputError(f"{name} is not a safetensors file: its header is missing or too long.")
    try:
        header = json.loads(data[8 : 8 + length])
        entries = sorted(
            (part["data_offsets"], part["dtype"], part["shape"])
            for key, part in header.items()
            if key != "__metadata__"
        )
        end = 0
        for (start, stop), dtype, shape in entries:
            if start != end or stop - start != _BYTES[dtype] * math.prod(shape) or min(shape, default=0) < 0:
                raise ValueError("tensors overlap or have gaps")
            end = stop
        if end != len(data) - 8 - length:
            raise ValueError("the data is cut off or has something behind it")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InputError(f"{name} is not a sound safetensors file: {error}.") from error


def push_to_hub(folder: str | Path, repo: str, *, private: bool = False) -> str:
    """Upload a checkpoint folder to `user/repo`; returns the reference `hf:user/repo@commit` that fetches it again."""
    import huggingface_hub

    config_and_weights = resolve(folder)
    load_model(config_and_weights)  # never publish what could not be loaded
    api = huggingface_hub.HfApi()
    api.create_repo(repo, private=private, exist_ok=True)
    commit = api.upload_folder(repo_id=repo, folder_path=config_and_weights, allow_patterns=list(FILES))
    return f"hf:{repo}@{commit.oid}"


# --- cache, device and seed ------------------------------------------------------------------------------------------


def cache_folder(what: str) -> Path:
    """Where results that can be made again are kept, by what they are: SYNESTHESIA_CACHE, else ~/.cache/synesthesia."""
    return Path(os.environ.get("SYNESTHESIA_CACHE") or Path.home() / ".cache" / "synesthesia") / what


def device(name: str | None = None) -> torch.device:
    """The named device, or the best there is: CUDA, then Apple's GPU, then the CPU."""
    import torch

    if name is not None:
        try:
            return torch.device(name)
        except RuntimeError as error:
            raise InputError(f"There is no device {name!r}: {str(error).splitlines()[0]}") from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def generator(seed: int) -> torch.Generator:
    """Noise is drawn on the CPU, so that a seed gives the same sound on every device."""
    import torch

    if not 0 <= seed < 2**63:
        raise InputError(f"A seed is a whole number from 0 to 2^63 - 1, not {seed}.")
    return torch.Generator().manual_seed(seed)
