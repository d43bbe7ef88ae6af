"""Encoders: a sense → `Features` in a named space. `load_eyes` and `load_ears` read any checkpoint that is known here.

`EYES` and `EARS` say which architectures are: the kind that a checkpoint's config.json names → what loads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .. import hub
from ..senses import InputError

if TYPE_CHECKING:
    from .base import FrameEncoder, PatchEncoder

T = TypeVar("T")


def _tiny_eyes(reference: str | Path, yes: bool) -> PatchEncoder:
    from .vision import load_tiny_eyes

    return load_tiny_eyes(reference, yes=yes)


def _hub_eyes(reference: str | Path, yes: bool) -> PatchEncoder:
    from .pretrained_eyes import load

    return load(reference, yes=yes)


def _tiny_ears(reference: str | Path, yes: bool) -> FrameEncoder:
    from .audio import load_tiny_ears

    return load_tiny_ears(reference, yes=yes)


def _hub_ears(reference: str | Path, yes: bool) -> FrameEncoder:
    from .pretrained_ears import load

    return load(reference, yes=yes)


# SigLIP 2 comes in two architectures: at one size it is that of SigLIP, at any size ("naflex") one of its own.
EYES: dict[str, Callable[[str | Path, bool], PatchEncoder]] = {
    "tiny-eyes": _tiny_eyes,
    **dict.fromkeys(("dinov2", "dinov2_with_registers", "dinov3_vit"), _hub_eyes),
    **dict.fromkeys(("siglip", "siglip2", "qwen2_5_vl", "qwen3_vl"), _hub_eyes),
}
EARS: dict[str, Callable[[str | Path, bool], FrameEncoder]] = {
    "tiny-ears": _tiny_ears,
    **dict.fromkeys(("clap", "audio-spectrogram-transformer"), _hub_ears),
}


def load_eyes(reference: str | Path, *, device: str | None = None, yes: bool = False) -> PatchEncoder:
    """An encoder of pictures from a folder or `hf:user/repo@commit`, on the named device or the best there is.

    `yes` agrees to a download without asking. Raises InputError when the checkpoint is not one of `EYES`, is damaged
    or is a pickle, or when the extra `hub` is not installed.
    """
    return _load(EYES, "eyes", reference, yes).to(hub.device(device))


def load_ears(reference: str | Path, *, device: str | None = None, yes: bool = False) -> FrameEncoder:
    """An encoder of sounds from a folder or `hf:user/repo@commit`; see `load_eyes`."""
    return _load(EARS, "ears", reference, yes).to(hub.device(device))


def _load(kinds: Mapping[str, Callable[[str | Path, bool], T]], what: str, reference: str | Path, yes: bool) -> T:
    config = hub.read_config(hub.resolve(reference, yes=yes, need=["config.json"], also=hub.DESCRIPTIONS))
    kind = str(config.get("encoder") or config.get("model_type"))
    if kind not in kinds:
        raise InputError(f"{reference} is of the kind {kind!r}; {what} are one of: {', '.join(kinds)}.")
    return kinds[kind](reference, yes)
