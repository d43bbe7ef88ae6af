"""Words at the edge: phrases brought into the space in which eyes and ears meet, after everything else was trained.

`Naming` reads a phrase and says where in the shared space of a `grounding.Locator` it would stand if it were heard and
where if it were seen. So a phrase lights up a picture as a sound does, and pictures, places in them and sounds can be
described by the nearest of some phrases. It learns from a frozen locator and changes nothing in it; nothing that makes
sound of a picture, or finds a sound in one, knows that it exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import hub, media
from ..encoders.text import TextConfig, TextEncoder, load_text, tiny_text
from ..senses import LONGEST_TEXT, InputError, Region, Text
from ..spaces import Features, Space
from .grounding import Grounding, Heard, Seen

if TYPE_CHECKING:
    from jaxtyping import Float

MOST_PHRASES = 20_000  # to choose from at once
AT_ONCE = 512  # phrases that are compared with a picture or a sound at once
BUILT_IN = "phrases.txt"  # in the package


@dataclass(frozen=True)
class NamingConfig:
    """`text`: sizes of our own encoder, whose weights are part of the checkpoint, or where to find another.

    `shared` is the name of the space that it was trained into, of which `width` and `heads` are those of the grounding.
    """

    shared: str
    width: int
    heads: int
    text: TextConfig | str = field(default_factory=TextConfig)

    def __post_init__(self) -> None:
        if not (1 <= self.heads <= 64 and self.heads <= self.width <= 4096) or self.width % self.heads:
            raise InputError(f"The heads share the width of a space evenly, not {self.heads} of {self.width}.")


@dataclass(frozen=True, eq=False)
class Named:
    """Phrases that were read once: where each would stand as a sound and as a place, both in the shared space."""

    texts: tuple[Text, ...]
    as_sound: Features
    as_place: Features

    def __len__(self) -> int:
        return len(self.texts)


class Naming(nn.Module):
    """`describe/tiny` and its kin: an encoder of phrases and the way from it into a locator's shared space."""

    def __init__(self, config: NamingConfig, *, yes: bool = False) -> None:
        """As `config` says. `yes` agrees to the download of an encoder that it names."""
        super().__init__()
        self.config = config
        named = isinstance(config.text, str)
        self.text: TextEncoder = (
            load_text(config.text, device="cpu", yes=yes).requires_grad_(False)
            if isinstance(config.text, str)
            else tiny_text(config=config.text)
        )
        self._named = named
        self.source, self.shared = self.text.pooled, Space(config.shared, config.width)
        width = self.source.width
        self.as_sound, self.as_place = (
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, config.width))
            for _ in range(2)
        )

    def train(self, mode: bool = True) -> Naming:
        """Training mode, but for an encoder that the config only refers to."""
        super().train(mode)
        if self._named:
            self.text.eval()
        return self

    @classmethod
    def for_grounding(cls, grounding: Grounding, text: TextConfig | str | None = None, *, yes: bool = False) -> Naming:
        """New and untrained, for the space of this grounding."""
        shared, heads = grounding.shared, grounding.config.heads
        return cls(NamingConfig(shared.name, shared.width, heads, text or TextConfig()), yes=yes)

    # --- checkpoints ---

    @classmethod
    def load(cls, reference: str | Path, *, yes: bool = False) -> Naming:
        """A checkpoint (see `hub.load_model`), ready to use, with the encoder of phrases that it names."""
        config, tensors = hub.load_model(reference, yes=yes)
        try:
            told = dict(config["model"])
            if isinstance(told["text"], dict):
                told["text"] = TextConfig(**told["text"])
            model = cls(NamingConfig(**told), yes=yes)
            if model._named and model.source.name != config["spaces"]["text"]:
                raise InputError(
                    f"{reference} was trained with the phrases of {config['spaces']['text']}; {told['text']} now holds "
                    f"{model.source.name}."
                )
            hub.fill(model, tensors, reference, model._elsewhere())
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{reference} is no model of words: {str(error).splitlines()[0]}") from error
        return model.eval()

    def save(self, folder: str | Path, card: hub.Card | None = None) -> Path:
        """Write a checkpoint folder in half precision."""
        config = {"model": asdict(self.config), "spaces": {"text": self.source.name} if self._named else {}}
        return hub.save_model(folder, config, hub.halved(self, self._elsewhere()), card)

    def _elsewhere(self) -> tuple[str, ...]:
        """How the weights begin that another checkpoint holds."""
        return ("text.",) if self._named else ()

    # --- reading ---

    def forward(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Strings → unit vectors for each head, (n, heads, width), as sounds and as places. For training."""
        return self._units(self.text(texts))

    def _units(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first, second = (
            F.normalize(way(x).unflatten(-1, (self.config.heads, -1)), dim=-1) for way in (self.as_sound, self.as_place)
        )
        return first, second

    @torch.inference_mode()
    def read(self, texts: Sequence[Text]) -> Named:
        """Read phrases; any number of pictures and sounds can be compared with them afterwards."""
        if not 1 <= len(texts) <= MOST_PHRASES:
            raise InputError(f"Give between 1 and {MOST_PHRASES} phrases, not {len(texts)}.")
        vectors = torch.from_numpy(self.text.read(texts).require(self.source))
        here = next(self.as_sound.parameters()).device
        ways = [
            np.concatenate([part.flatten(-2).cpu().numpy() for part in parts])
            for parts in zip(*(self._units(some.to(here)) for some in vectors.split(AT_ONCE)), strict=True)
        ]
        return Named(tuple(texts), *(Features(way, self.shared) for way in ways))

    def heard(self, named: Named) -> list[Heard]:
        """Each phrase as if it were a sound of one moment: what a locator looks for in pictures."""
        vectors = named.as_sound.require(self.shared)
        return [Heard(Features(v[None], self.shared), np.ones(1, np.float32)) for v in vectors]

    # --- comparing ---

    def of_place(self, named: Named, seen: Seen, where: Region) -> Float[np.ndarray, " phrases"]:
        """How well each phrase goes with a part of a picture: the cosine, mean over the part. For all of a picture,
        `Locator.match` of what was seen and `heard`.
        """
        share = where.on(*seen.sounding.shape).ravel()
        if not share.any():
            raise InputError("The mask is empty at the resolution of the eyes: it marks no patch of the picture.")
        patches = seen.patches.require(self.shared).reshape(-1, self.config.width)
        parts = [share @ self._best(patches, some) for some in self._parts(named.as_sound)]
        return np.concatenate(parts) / share.sum()

    def of_sound(self, named: Named, heard: Heard) -> Float[np.ndarray, " phrases"]:
        """How well each phrase goes with a sound: the cosine, mean over its moments."""
        frames = heard.frames.require(self.shared)
        return np.concatenate([heard.weight @ self._best(frames, some) for some in self._parts(named.as_place)])

    def _parts(self, vectors: Features) -> list[np.ndarray]:
        values = vectors.require(self.shared)
        return [values[i : i + AT_ONCE] for i in range(0, len(values), AT_ONCE)]

    def _best(self, a: Float[np.ndarray, "n width"], b: Float[np.ndarray, "m width"]) -> Float[np.ndarray, "n m"]:
        """Cosines in the head in which they are largest, as `Grounding.volume`."""
        h = self.config.heads
        return np.einsum("nhw,mhw->hnm", a.reshape(len(a), h, -1), b.reshape(len(b), h, -1)).max(axis=0)


# --- phrases to choose from ------------------------------------------------------------------------------------------


def phrases(source: Any = None) -> list[Text]:
    """Phrases as `Text`: the built-in ones, those of a text file in UTF-8 (one on each line), or some strings.

    Blank lines and lines that begin with # are skipped. Raises InputError for what is empty, too long or too many.
    """
    if source is None:
        lines = (resources.files("synesthesia") / BUILT_IN).read_text(encoding="utf-8").splitlines()
    elif isinstance(source, (str, Path)):
        lines = _lines(Path(source))
    elif isinstance(source, Sequence):
        return [one if isinstance(one, Text) else Text(one) for one in _at_most(source)]
    else:
        raise InputError(f"Phrases are a text file or a list of strings, not a {type(source).__name__}.")
    kept = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not kept:
        raise InputError(f"{source} holds no phrase; write one on each line.")
    return [Text(line) for line in _at_most(kept)]


def _at_most(source: Sequence[Any]) -> Sequence[Any]:
    if len(source) > MOST_PHRASES:
        raise InputError(f"{len(source)} phrases are too many to choose from; give at most {MOST_PHRASES}.")
    if not source:
        raise InputError("Give at least one phrase to choose from.")
    return source


def _lines(path: Path) -> list[str]:
    data = media.read_bytes(path, 4 * LONGEST_TEXT * MOST_PHRASES)
    try:
        return data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8 ({error.reason} at byte {error.start}).") from error
