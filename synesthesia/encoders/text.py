"""The encoder of phrases, at the edge: words by their spelling, read in their order, into one vector.

Nothing between a picture and a sound imports this file (pyproject.toml and tests/test_house.py see to it). A word is
the sum of what is known of its spelling: pieces of three to five letters, and the whole of it, each hashed to a row of
a table (Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information", TACL 5, §3.2). So there is no list
of words to be missing from, and "seagulls" is read by what it shares with "gull".
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .. import hub
from ..senses import InputError, Text
from ..spaces import Features, Space

BATCH = 256  # phrases read at once
LONGEST_WORD = 32  # characters of a word that are looked at
FORGOTTEN = (0.5, 0.2)  # shares of whole words and of other pieces that are not looked at while training
WHOLE = "\0"  # marks the whole of a word among its pieces


@dataclass(frozen=True)
class TextConfig:
    """Sizes: `buckets` are the rows of the table of spellings; words after `most_words` are not read."""

    buckets: int = 8192
    width: int = 96
    layers: int = 2
    heads: int = 4
    hidden: int = 192
    most_words: int = 40
    shortest: int = 3
    longest: int = 5

    def __post_init__(self) -> None:
        sizes = 1 <= self.buckets <= 2**20 and 1 <= self.heads <= 64 and 1 <= self.hidden <= 8192
        if not sizes or not (self.heads <= self.width <= 4096 and self.width % self.heads == 0):
            raise InputError(f"An encoder of phrases of these sizes is not built: {self}.")
        if not (0 <= self.layers <= 16 and 1 <= self.most_words <= 512 and 1 <= self.shortest <= self.longest <= 16):
            raise InputError(f"An encoder of phrases of these sizes is not built: {self}.")


def words(text: str) -> list[str]:
    """A phrase in words, without case and compatibility forms; of one without letters and digits, its signs."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.findall(r"\w+", folded) or re.findall(r"\S+", folded) or [folded]


def pieces(word: str, shortest: int, longest: int) -> list[str]:
    """What a word's spelling is made of: the whole, and runs of its letters with its beginning and end marked."""
    marked = f"<{word[:LONGEST_WORD]}>"
    runs = {marked[i : i + n] for n in range(shortest, longest + 1) for i in range(len(marked) - n + 1)}
    return [WHOLE + word[:LONGEST_WORD], *sorted(runs)]


class TextTower(nn.Module):
    """A tower for phrases: n strings → (n, `width`)."""

    width: int


class Speller(TextTower):
    """Our own: words by their spelling, a small Transformer over them, the mean."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config, self.width = config, config.width
        self.table = nn.EmbeddingBag(config.buckets, config.width, mode="mean")
        self.place = nn.Parameter(0.02 * torch.randn(config.most_words, config.width))
        nn.init.normal_(self.table.weight, std=0.5)
        self.layers = nn.ModuleList([
            nn.TransformerEncoderLayer(
                config.width, config.heads, config.hidden, dropout=0.0, activation="gelu", batch_first=True,
                norm_first=True,
            )
            for _ in range(config.layers)
        ])  # fmt: skip
        self.norm = nn.LayerNorm(config.width)
        self._known: dict[str, list[int]] = {}

    def rows(self, word: str) -> list[int]:
        """The rows of the table that a word's pieces fall on: the same everywhere and for ever (CRC-32 of UTF-8)."""
        if word not in self._known:
            if len(self._known) >= 2**16:
                self._known.clear()
            c = self.config
            found = pieces(word, c.shortest, c.longest)
            self._known[word] = [zlib.crc32(p.encode()) % c.buckets for p in found]
        return self._known[word]

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        split = [words(text)[: self.config.most_words] for text in texts]
        each = [self.rows(word) for phrase in split for word in phrase]
        here = self.place.device
        if self.training:  # so that what is spelt in another way is read as well
            each = [_some(rows) for rows in each]
        flat = torch.tensor([row for rows in each for row in rows], device=here)
        starts = torch.tensor(np.cumsum([0, *(len(rows) for rows in each[:-1])]), device=here)
        lengths = torch.tensor([len(phrase) for phrase in split], device=here)
        longest = int(lengths.max())
        real = torch.arange(longest, device=here) < lengths[:, None]
        x = self.place.new_zeros(len(split), longest, self.width)
        x[real] = self.table(flat, starts)
        x = x + self.place[:longest]
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=~real)
        return (self.norm(x) * real[..., None]).sum(1) / lengths[:, None]


def _some(rows: list[int]) -> list[int]:
    """A word's rows without some of them; at least one is kept."""
    chance = torch.rand(len(rows)).tolist()
    whole, rest = FORGOTTEN
    kept = [row for i, (row, c) in enumerate(zip(rows, chance, strict=True)) if c >= (rest if i else whole)]
    return kept or rows[-1:]


class TextEncoder(nn.Module):
    """Any tower for phrases as an encoder; `name` says whose it is and which state of it."""

    def __init__(self, name: str, tower: TextTower) -> None:
        super().__init__()
        self.tower = tower
        self.pooled = Space(f"{name}.phrase", tower.width)

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        """Strings → (n, width). For training."""
        return self.tower(texts)

    @torch.inference_mode()
    def read(self, texts: Sequence[Text]) -> Features:
        """One vector for each phrase, in order; they do not depend on their company."""
        if not texts:
            return Features(np.zeros((0, self.pooled.width), np.float32), self.pooled)
        # Phrases of about one length together, so that one long one does not make all of them long.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i].text))
        out = np.zeros((len(texts), self.pooled.width), np.float32)
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            out[some] = self.tower([texts[i].text for i in some]).float().cpu().numpy()
        return Features(out, self.pooled)


def tiny_text(name: str = "text/new", config: TextConfig | None = None) -> TextEncoder:
    """New, untrained."""
    return TextEncoder(name, Speller(config or TextConfig()))


def _hub_text(reference: str | Path, yes: bool) -> TextEncoder:
    from .pretrained_text import load

    return load(reference, yes=yes)


# The kind that a checkpoint's config.json names → what loads it.
TEXTS: dict[str, Callable[[str | Path, bool], TextEncoder]] = {
    **dict.fromkeys(("clip", "clap"), _hub_text),
}


def load_text(reference: str | Path, *, device: str | None = None, yes: bool = False) -> TextEncoder:
    """An encoder of phrases from a folder or `hf:user/repo@commit`; as `encoders.load_eyes`, but apart from it.

    Our own has no checkpoint by itself: it is part of `bridges.naming`.
    """
    config = hub.read_config(hub.resolve(reference, yes=yes, need=["config.json"], also=hub.DESCRIPTIONS))
    kind = str(config.get("encoder") or config.get("model_type"))
    if kind not in TEXTS:
        raise InputError(f"{reference} is of the kind {kind!r}; phrases are read by {', '.join(TEXTS)}.")
    return TEXTS[kind](reference, yes).to(hub.device(device))
