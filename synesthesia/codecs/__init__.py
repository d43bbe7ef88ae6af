"""Codecs: a sound ↔ latents or tokens of a voice. `load_voice` reads any checkpoint that is known here.

`VOICES` says which are: the kind that a checkpoint names → what loads it. `bands` needs no checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .. import hub
from ..senses import InputError

if TYPE_CHECKING:
    from .voice import Voice
    from .windows import NetVoice

PIPELINE = "model_index.json"  # of diffusers, in place of config.json


def _neural(reference: str | Path, yes: bool) -> NetVoice:
    from .neural import load

    return load(reference, yes=yes)


def _hub(reference: str | Path, yes: bool) -> NetVoice:
    from .pretrained import load

    return load(reference, yes=yes)


def _mel(reference: str | Path, yes: bool) -> NetVoice:
    from .pretrained_mel import load

    return load(reference, yes=yes)


VOICES: dict[str, Callable[[str | Path, bool], NetVoice]] = {
    "neural": _neural,
    **dict.fromkeys(("encodec", "dac", "mimi"), _hub),
    "AudioLDM2Pipeline": _mel,
}


def load_voice(reference: str | Path, *, device: str | None = None, yes: bool = False) -> Voice:
    """A voice: `bands`, a folder, or `hf:user/repo@commit`, on the named device or the best there is.

    A folder may hold a checkpoint of one of `VOICES`, or SoundStream as in Lyra V2 (see `soundstream`). `yes` agrees to
    a download without asking. Raises InputError when it is none of these, is damaged or is a pickle, or when what runs
    it is not installed.
    """
    if reference == "bands":
        from .bands import Bands

        return Bands()
    if not str(reference).startswith("hf:"):
        from .soundstream import FILES, SoundStream

        if all((Path(reference).expanduser() / name).is_file() for name in FILES):
            return SoundStream(Path(reference).expanduser())
    kind = _kind(reference, yes)
    if kind not in VOICES:
        raise InputError(f"{reference} is of the kind {kind!r}; voices are one of: bands, {', '.join(VOICES)}.")
    return VOICES[kind](reference, yes).to(hub.device(device))


def described(reference: str | Path, *, yes: bool) -> Path:
    """The folder of a checkpoint of transformers or of a pipeline of diffusers, with what describes it."""
    if (Path(reference).expanduser() / PIPELINE).is_file():
        return Path(reference).expanduser()
    try:
        return hub.resolve(reference, yes=yes, need=["config.json"], also=hub.DESCRIPTIONS)
    except InputError:
        if not str(reference).startswith("hf:"):
            raise
        return hub.resolve(reference, yes=yes, need=[PIPELINE], also=[])


def _kind(reference: str | Path, yes: bool) -> str:
    folder = described(reference, yes=yes)
    if (folder / "config.json").is_file():
        config = hub.read_config(folder)
        return str(config.get("voice") or config.get("model_type"))
    return str(hub.read_config(folder, PIPELINE).get("_class_name"))
