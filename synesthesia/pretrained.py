"""A tower or a codec out of somebody else's checkpoint: weights alone are read, by safetensors, into a class of
transformers.

What a checkpoint has beside them (a language model, a tokenizer, a classifier) is neither fetched, as far as its files
are split, nor read.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import hub
from .senses import InputError

INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Checkpoint:
    """Somebody's network as read: `name` is user/repo@commit, or folder@digest of the weights for a folder."""

    name: str
    config: Mapping[str, Any]
    preprocessor: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]


def read(reference: str | Path, tower: str, *, yes: bool) -> Checkpoint:
    """Config, preprocessing and the tensors whose names begin with the regular expression `tower` (all, if none do).

    What the expression matches is cut off their names. Raises InputError for a missing or damaged file or a pickle.
    """
    described = ["config.json", "preprocessor_config.json"]
    folder = hub.resolve(reference, yes=yes, need=described, also=hub.DESCRIPTIONS)
    parts = _parts(folder)
    begins = re.compile(tower)
    files = sorted({file for name, file in parts.items() if begins.match(name)} or set(parts.values()))
    folder = hub.resolve(reference, yes=yes, need=[*described, *files], also=hub.DESCRIPTIONS)
    whole = {name: value for file in files for name, value in hub.read_tensors(folder / file, begins.match).items()}
    found = {begins.sub("", name, count=1): value for name, value in whole.items()}
    if not found:
        found = {name: value for file in files for name, value in hub.read_tensors(folder / file, bool).items()}
    config = hub.read_config(folder)
    return Checkpoint(name_of(folder, found), config, hub.read_config(folder, "preprocessor_config.json"), found)


def build(model: Any, config: Any, checkpoint: Checkpoint) -> nn.Module:
    """A `PreTrainedModel` class with the checkpoint's weights in float32, ready to use; every weight must be there."""
    with quiet():
        made, report = model.from_pretrained(
            None, config=config, state_dict=dict(checkpoint.tensors), dtype=torch.float32, output_loading_info=True
        )
    if lacking := sorted(report["missing_keys"]):
        raise InputError(f"{checkpoint.name} lacks {len(lacking)} weights of {model.__name__}, such as {lacking[0]}.")
    return made.eval()


@contextmanager
def transformers_errors(reference: str | Path) -> Generator[None]:
    """Whatever a checkpoint's config or weights make transformers raise becomes one sentence."""
    if importlib.util.find_spec("transformers") is None:
        raise InputError(f"{reference} needs the extra `hub`: pip install 'synesthesia[hub]'.")
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"transformers does not load: {error}. A torchvision of another build than torch breaks it: remove it."
        ) from error
    except (StrictDataclassError, LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        why = " ".join((str(error) or repr(error)).split())[:200]
        raise InputError(f"{reference} does not fit its architecture: {why}") from error


@contextmanager
def quiet() -> Generator[None]:
    """No bars and tables of transformers meanwhile; they are as before afterwards."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _parts(folder: Path) -> dict[str, str]:
    """Name of a tensor → the file that holds it; one file for all when there is no index."""
    if not (folder / INDEX).is_file():
        return {"": "model.safetensors"}
    told = hub.read_config(folder, INDEX).get("weight_map")
    parts = {name: str(file) for name, file in told.items()} if isinstance(told, dict) else {}
    if not parts or not all(re.fullmatch(r"[\w.-]+\.safetensors", file) for file in parts.values()):
        raise InputError(f"{folder / INDEX} does not say which file holds which weight.")
    return parts


def name_of(folder: Path, tensors: Mapping[str, torch.Tensor]) -> str:
    """user/repo@commit of a snapshot in the hub's cache, folder@digest of anything else."""
    repo = folder.parent.parent.name
    if re.fullmatch(r"[0-9a-f]{40}", folder.name) and repo.startswith("models--"):
        return f"{repo.removeprefix('models--').replace('--', '/')}@{folder.name[:12]}"
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy())
    return f"{folder.resolve().name}@{digest.hexdigest()[:12]}"
