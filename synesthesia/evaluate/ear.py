"""A judge with ears: YAMNet, a tagger of AudioSet's 521 classes, asked which of our kinds it hears.

It measures and filters; nothing is trained on its answers. Its file and its class list are not part of the project (see
`runs/voice_bands.py`), and the wheel `ai-edge-litert` is needed to run it.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from .. import media
from ..data import KINDS
from ..senses import InputError, Sound

if TYPE_CHECKING:
    from jaxtyping import Float

RATE = 16_000
WINDOW = 15_600  # samples of one look
HOP = WINDOW // 2
CLASSES = 521


@runtime_checkable
class Listener(Protocol):
    """Who says how much of each kind is in a sound, clearest first: `Ear`, or our own `hear_judge.KindEar`."""

    def kinds(self, sound: Sound) -> dict[str, float]: ...


@runtime_checkable
class Judge(Listener, Protocol):
    """A listener with a space of its own, in which sounds are near or far."""

    def listen(self, sound: Sound) -> tuple[dict[str, float], Float[np.ndarray, " d"]]: ...


class Ear:
    """YAMNet in a folder: `yamnet.tflite` and `yamnet_class_map.csv` (Gemmeke et al. 2017; Apache-2.0)."""

    def __init__(self, folder: str | Path) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter  # ty: ignore[import-not-found]
        except ImportError:
            raise InputError("This judge needs the wheel ai-edge-litert: pip install ai-edge-litert.") from None
        model = Path(folder) / "yamnet.tflite"
        table = media.read_bytes(Path(folder) / "yamnet_class_map.csv", 2**20).decode()
        self.names = [row["display_name"] for row in csv.DictReader(io.StringIO(table))]
        if len(self.names) != CLASSES:
            raise InputError(f"{folder} holds a class map of {len(self.names)} classes instead of {CLASSES}.")
        self._net = Interpreter(model_content=media.read_bytes(model, 2**26), num_threads=1)
        self._net.allocate_tensors()
        at = {name: n for n, name in enumerate(self.names)}
        self._heard = {kind.name: [at[name] for name in kind.heard] for kind in KINDS.values()}

    def scores(self, sound: Sound) -> Float[np.ndarray, "windows classes"]:
        """Scores of all classes for each look of 0.975 s, half a look apart; a shorter sound is padded with silence."""
        wave = media.resample(sound, RATE).mono if sound.rate != RATE else sound.mono
        looks = max(1, -(-(len(wave) - WINDOW) // HOP) + 1)
        wave = np.pad(wave, (0, max(0, (looks - 1) * HOP + WINDOW - len(wave))))
        given, asked = self._net.get_input_details()[0]["index"], self._net.get_output_details()[0]["index"]
        out = []
        for look in range(looks):
            self._net.set_tensor(given, wave[look * HOP : look * HOP + WINDOW].astype(np.float32))
            self._net.invoke()
            out.append(self._net.get_tensor(asked).reshape(-1, CLASSES).mean(axis=0))
        return np.stack(out)

    def listen(self, sound: Sound) -> tuple[dict[str, float], Float[np.ndarray, " classes"]]:
        """How much of each kind is heard, clearest first: the best of its classes in the mean over all looks.

        And the decimal logarithms of that mean, from −4 on: the sound as a place among others.
        """
        mean = self.scores(sound).mean(axis=0)
        heard = {kind: float(mean[classes].max()) for kind, classes in self._heard.items()}
        return dict(sorted(heard.items(), key=lambda pair: -pair[1])), np.log10(mean + 1e-4)

    def kinds(self, sound: Sound) -> dict[str, float]:
        """How much of each kind is heard, clearest first."""
        return self.listen(sound)[0]
