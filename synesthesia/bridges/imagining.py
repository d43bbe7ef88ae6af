"""Seeing a sound with a text-to-image model from a hub: `see/audiotoken` and its kin (see `pseudoword`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from .. import hub
from ..encoders import load_ears
from ..encoders.base import FrameEncoder
from ..senses import InputError, Sound
from .picturing import Known
from .pretrained_drawing import SENTENCE, Drawing
from .pseudoword import Pseudoword, PseudowordConfig
from .seeing import Attended, Drawer

if TYPE_CHECKING:
    from jaxtyping import Float


KIND = "pseudoword"  # what a checkpoint of this kind says of itself


@dataclass(frozen=True)
class ImaginingConfig:
    """`ears` and `drawing`: folders or hf:user/repo@commit. `rank`: of what its cross-attention learned, 0 for nothing.

    `sentence`: numbers of the words before the pseudo-words, a constant. `steps` and `guidance` of the diffusion model.
    """

    ears: str
    drawing: str
    bridge: PseudowordConfig
    rank: int = 0
    sentence: tuple[int, ...] = SENTENCE
    steps: int = 25
    guidance: float = 7.5
    seconds: float = 4.0

    def __post_init__(self) -> None:
        if not (0.1 <= self.seconds <= 60 and 1 <= self.steps <= 1000 and 0 <= self.guidance <= 100):
            raise InputError("Seconds go from 0.1 to 60, steps from 1 to 1000, guidance from 0 to 100.")
        if not 0 <= self.rank <= 256 or len(self.sentence) > 40:
            raise InputError("The rank goes from 0 to 256, and a sentence has up to 40 words.")


class Imagining(nn.Module, Drawer):
    """Frozen ears, a pseudo-word, a frozen diffusion model."""

    def __init__(self, config: ImaginingConfig, ears: FrameEncoder, drawing: Drawing) -> None:
        super().__init__()
        self.config = config
        self.ears, self.drawing = ears.eval().requires_grad_(False), drawing
        self.bridge = Pseudoword(config.bridge)
        if (config.bridge.source, config.bridge.target) != (ears.dense, drawing.words):
            raise InputError(
                f"The bridge goes from {config.bridge.source.name} to {config.bridge.target.name}; these ears hear in "
                f"{ears.dense.name}, and {drawing.name} reads {drawing.words.name}."
            )
        self.seconds, self.frame_rate = config.seconds, ears.frame_rate
        self.side, self.stride = drawing.side, drawing.stride

    @classmethod
    def new(
        cls, ears: str, drawing: str, *, count: int = 1, rank: int = 0, sentence: Sequence[int] = SENTENCE,
        seconds: float = 4.0, yes: bool = False,
    ) -> Imagining:  # fmt: skip
        """An untrained bridge between ears and a diffusion model that are found at these places."""
        heard, drawn = load_ears(ears, yes=yes), Drawing.load(drawing, rank, yes=yes)
        bridge = PseudowordConfig(heard.dense, drawn.words, count=count)
        model = cls(ImaginingConfig(ears, drawing, bridge, rank, tuple(sentence), seconds=seconds), heard, drawn)
        model.bridge.fit_length(drawn.vocabulary)
        return model

    @classmethod
    def load(cls, reference: str | Path, *, yes: bool = False) -> Imagining:
        """A checkpoint (see `hub.load_model`) with the ears and the diffusion model that it names, ready to use."""
        config, tensors = hub.load_model(reference, yes=yes)
        try:
            told = dict(config["model"])
            bridge = PseudowordConfig.from_dict(told.pop("bridge"))
            told["sentence"] = tuple(int(number) for number in told["sentence"])
            made = ImaginingConfig(bridge=bridge, **told)
            model = cls(made, load_ears(made.ears, yes=yes), Drawing.load(made.drawing, made.rank, yes=yes))
            if lacking := sorted(model.taught.state_dict().keys() ^ tensors.keys()):
                raise InputError(f"{reference} lacks, or has too many, weights like {lacking[0]}.")
            model.taught.load_state_dict({name: value.float() for name, value in tensors.items()})
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{reference} is no model of pseudo-words: {str(error).splitlines()[0]}") from error
        return model.eval()

    def save(self, folder: str | Path, card: hub.Card | None = None) -> Path:
        """Write a checkpoint folder: the bridge, and what the cross-attention learned; all else stays where it is."""
        return hub.save_model(folder, {"kind": KIND, "model": asdict(self.config)}, self.taught.state_dict(), card)

    @property
    def taught(self) -> nn.ModuleDict:
        """What training changes; all else is somebody else's and stays."""
        return nn.ModuleDict({"bridge": self.bridge, "changes": self.drawing.changes})

    def hear(self, sounds: Sequence[Sound]) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames of sounds (n, time, width), and how many of each are real."""
        heard = [
            np.array(frames.dense.require(self.bridge.source), np.float32) for frames in self.ears.listen(list(sounds))
        ]
        long = max(len(frames) for frames in heard)
        padded = np.stack([np.pad(frames, ((0, long - len(frames)), (0, 0))) for frames in heard])
        return torch.from_numpy(padded), torch.tensor([len(frames) for frames in heard])

    @torch.inference_mode()
    def attend(self, sound: Sound) -> Attended:
        """Listen to the part of a sound that is loudest, and find its pseudo-words."""
        part, start, seconds = self.part(sound)
        return Attended(self.bridge(*self.hear([part]))[0], start, seconds)

    def _weight(self, sound: Sound) -> Float[np.ndarray, " frames"]:
        return np.ones(max(1, round(sound.seconds * self.frame_rate)))

    def _encoded(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.drawing.encode(pictures)

    @torch.inference_mode()
    def _drawn(self, attended: Attended, seeds: Sequence[int], known: Known | None) -> torch.Tensor:
        states = self.drawing.led(attended.tokens[None], self.config.sentence).expand(len(seeds), -1, -1)
        return self.drawing.decode(self.drawing.draw(states, seeds, self.config.steps, self.config.guidance, known))
