"""Phrases by somebody else's networks: the text towers of CLIP and CLAP, at the edge like `encoders.text`.

The tower is read by its class and its tokenizer from `tokenizer.json`, which is data and runs nothing. The vector is
that of the joint space, not normalised, as transformers gives it (tests/test_text.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from .. import hub
from ..pretrained import Checkpoint, build, read, transformers_errors
from ..senses import InputError
from .text import TextEncoder, TextTower

# Where a checkpoint keeps its text tower beside other things.
TOWER = r"(?=text_(?:model|projection)\.)"
TOKENIZER = "tokenizer.json"


def load(reference: str | Path, *, yes: bool = False) -> TextEncoder:
    """The text tower of a checkpoint of transformers; see `encoders.text.load_text`."""
    with transformers_errors(reference):
        checkpoint = read(reference, TOWER, yes=yes)
        folder = hub.resolve(reference, yes=yes, need=["config.json", TOKENIZER], also=hub.DESCRIPTIONS)
        if not (folder / TOKENIZER).is_file():
            raise InputError(f"{reference} has no {TOKENIZER}; without it no phrase can be told to its text tower.")
        model, length = _ADAPTERS[checkpoint.config["model_type"]](checkpoint)
        return TextEncoder(checkpoint.name, _Tower(model, folder / TOKENIZER, length)).eval()


class _Tower(TextTower):
    """`length`: of the longest phrase in tokens; of a longer one the beginning is read."""

    def __init__(self, model: Any, tokenizer: Path, length: int) -> None:
        super().__init__()
        from tokenizers import Tokenizer

        self.model = model
        self.width = int(model.config.projection_dim)
        try:
            self._split = Tokenizer.from_file(str(tokenizer))
        except Exception as error:  # the library raises nothing narrower
            raise InputError(f"{tokenizer} is no tokenizer: {error}.") from error
        self._split.enable_truncation(length)
        self._split.no_padding()

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        ids = [encoding.ids for encoding in self._split.encode_batch(list(texts))]
        here = next(self.model.parameters()).device
        most = max(1, *(len(row) for row in ids))
        # What fills up is masked, and never read; any token will do.
        batch = torch.tensor([row + [row[-1] if row else 0] * (most - len(row)) for row in ids], device=here)
        real = torch.tensor([[1] * len(row) + [0] * (most - len(row)) for row in ids], device=here)
        return self.model(input_ids=batch, attention_mask=real).text_embeds


def _clip(checkpoint: Checkpoint) -> tuple[Any, int]:
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    told = {**checkpoint.config["text_config"], "projection_dim": checkpoint.config["projection_dim"]}
    config: Any = CLIPTextConfig.from_dict(told)
    return build(CLIPTextModelWithProjection, config, checkpoint), config.max_position_embeddings


def _clap(checkpoint: Checkpoint) -> tuple[Any, int]:
    from transformers import ClapTextConfig, ClapTextModelWithProjection

    told = {**checkpoint.config["text_config"], "projection_dim": checkpoint.config["projection_dim"]}
    config: Any = ClapTextConfig.from_dict(told)
    # RoBERTa counts positions from behind the number of its padding token.
    return build(
        ClapTextModelWithProjection, config, checkpoint
    ), config.max_position_embeddings - config.pad_token_id - 1


_ADAPTERS = {"clip": _clip, "clap": _clap}
