"""A text-to-image diffusion model from a hub, frozen, in whose constant sentence a sound stands in the place of a word.

Stable Diffusion 1.x and 2.x as diffusers publishes them: `text_encoder/`, `unet/`, `vae/` and the settings of its
`scheduler/`. No tokenizer is read: the sentence is "a photo of a *", its numbers in CLIP's vocabulary are constants.
Stable Diffusion 3 has other parts and is not read. Not yet run on the real checkpoints.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from .. import hub
from ..pretrained import Checkpoint, build, name_of, quiet, transformers_errors
from ..senses import InputError
from ..spaces import Space
from .mapper import drawn_noise
from .picturing import Known

if TYPE_CHECKING:
    from jaxtyping import Float

WEIGHTS = {
    "text_encoder": "text_encoder/model.safetensors",
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
}
SETTINGS = ("scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json")
SENTENCE = (320, 1125, 539, 320)  # "a photo of a"
LED = (".attn2.to_q", ".attn2.to_k", ".attn2.to_v", ".attn2.to_out.0")  # of a U-Net: what attends to the sentence


class LowRank(nn.Module):
    """A linear map and a learned change of it of low rank, none at first (LoRA: Hu et al., ICLR 2022)."""

    def __init__(self, plain: nn.Linear, rank: int) -> None:
        super().__init__()
        self.plain = plain
        self.down = nn.Linear(plain.in_features, rank, bias=False)
        self.up = nn.Linear(rank, plain.out_features, bias=False)
        nn.init.normal_(self.down.weight, std=1 / rank)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.plain(x) + self.up(self.down(x))


class Drawing(nn.Module):
    """The frozen model. `words` is the space of its embeddings of words, `side` the size of its pictures in pixels."""

    def __init__(self, folder: Path, rank: int = 0) -> None:
        from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
        from transformers import CLIPTextConfig, CLIPTextModel

        super().__init__()
        told = {part: hub.read_config(folder, f"{part}/config.json") for part in WEIGHTS}
        tensors = {part: hub.read_tensors(folder / file, bool) for part, file in WEIGHTS.items()}
        self.name = name_of(folder, {f"{part}:{k}": v for part, own in tensors.items() for k, v in own.items()})
        config: Any = CLIPTextConfig.from_dict(told["text_encoder"])
        with quiet():
            self.text: Any = build(CLIPTextModel, config, Checkpoint(self.name, {}, {}, tensors["text_encoder"]))
            self.unet: Any = UNet2DConditionModel.from_config(told["unet"])
            self.vae: Any = AutoencoderKL.from_config(told["vae"])
        self.unet.load_state_dict(tensors["unet"])
        self.vae.load_state_dict(tensors["vae"])
        self.float().eval().requires_grad_(False)
        self.times: Any = DDIMScheduler.from_config(hub.read_config(folder, SETTINGS[0]), clip_sample=False)
        pad = hub.read_config(folder, SETTINGS[1]).get("pad_token")
        self._ends = (int(config.bos_token_id), int(config.eos_token_id))
        # What follows the sentence: the end again (1.x), or the word "!", which is number 0 (2.x).
        self._pad = 0 if (pad.get("content") if isinstance(pad, dict) else pad) == "!" else self._ends[1]
        self._length = int(config.max_position_embeddings)
        self.words = Space(f"words/{self.name}", int(config.hidden_size))
        self.stride = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.side = int(self.unet.config.sample_size) * self.stride
        if rank:
            self._soften(rank)

    @classmethod
    def load(cls, reference: str | Path, rank: int = 0, *, yes: bool = False) -> Drawing:
        """From the folder of a pipeline or `hf:user/repo@commit`; `rank` above 0 lets its cross-attention learn.

        Raises InputError for anything else.
        """
        if importlib.util.find_spec("diffusers") is None:
            raise InputError(f"{reference} needs the extra `hub`: pip install 'synesthesia[hub]'.")
        folder = Path(reference).expanduser()
        if str(reference).startswith("hf:"):
            need = [*SETTINGS, *WEIGHTS.values(), *(f"{part}/config.json" for part in WEIGHTS)]
            folder = hub.resolve(reference, yes=yes, need=need, also=["model_index.json"])
        with transformers_errors(reference):
            return cls(folder, rank)

    def _soften(self, rank: int) -> None:
        torch.manual_seed(0)
        for name, module in list(self.unet.named_modules()):
            if name.endswith(LED) and isinstance(module, nn.Linear):
                parent, _, own = name.rpartition(".")
                setattr(self.unet.get_submodule(parent), own, LowRank(module, rank))

    @property
    def changes(self) -> nn.ModuleDict:
        """What training may change: the low-rank changes of the cross-attention, if there are any."""
        found = {}
        for name, module in self.unet.named_modules():
            if isinstance(module, LowRank):
                found |= {f"{name.replace('.', '/')}/{part}": getattr(module, part) for part in ("down", "up")}
        return nn.ModuleDict(found)

    @property
    def vocabulary(self) -> Float[torch.Tensor, "vocabulary width"]:
        """Embeddings of all words."""
        return self.text.get_input_embeddings().weight

    def led(
        self, words: Float[torch.Tensor, "n count width"], sentence: Sequence[int] = SENTENCE
    ) -> Float[torch.Tensor, "n length state"]:
        """The constant sentence as the text encoder states it, with pseudo-words at its end."""
        first, count = 1 + len(sentence), words.shape[1]
        begin, end = self._ends
        ids = [begin, *sentence, *[end] * count, end]
        ids += [self._pad] * (self._length - len(ids))

        def put(module: nn.Module, given: object, found: torch.Tensor) -> torch.Tensor:
            return torch.cat([found[:, :first], words, found[:, first + count :]], 1)

        hook = self.text.get_input_embeddings().register_forward_hook(put)
        try:
            rows = torch.tensor([ids], device=words.device).expand(len(words), -1)
            return self.text(input_ids=rows).last_hidden_state
        finally:
            hook.remove()

    def empty(self, n: int) -> Float[torch.Tensor, "n length state"]:
        """The sentence without anything in it, from which guidance leads away."""
        begin, end = self._ends
        ids = [begin, end, *[self._pad] * (self._length - 2)]
        with torch.no_grad():
            stated = self.text(input_ids=torch.tensor([ids], device=self.vocabulary.device)).last_hidden_state
        return stated.expand(n, -1, -1)

    def encode(self, pictures: Float[torch.Tensor, "n 3 h w"]) -> Float[torch.Tensor, "n rows columns latent"]:
        """The latents of pictures in [0, 1]: means of the VAE, scaled as its diffusion model knows them."""
        with torch.no_grad():
            latents = self.vae.encode(2 * pictures - 1).latent_dist.mean * self.vae.config.scaling_factor
        return latents.permute(0, 2, 3, 1)

    def decode(self, latents: Float[torch.Tensor, "n rows columns latent"]) -> Float[torch.Tensor, "n 3 h w"]:
        """Pictures in [0, 1]."""
        with torch.no_grad():
            x = self.vae.decode(latents.permute(0, 3, 1, 2) / self.vae.config.scaling_factor).sample
        return (x / 2 + 0.5).clamp(0, 1)

    def loss(
        self, states: torch.Tensor, latents: Float[torch.Tensor, "n rows columns latent"], g: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """The diffusion model's own loss on true latents, led by `states` (n, length, state); `g` is on the CPU."""
        x, n = latents.permute(0, 3, 1, 2), len(latents)
        noise = torch.randn(x.shape, generator=g).to(x)
        t = torch.randint(self.times.config.num_train_timesteps, (n,), generator=g).to(x.device)
        guess = self.unet(self.times.add_noise(x, noise, t), t, encoder_hidden_states=states).sample
        spoken = self.times.config.prediction_type == "v_prediction"
        return {"diffusion": (guess - (self.times.get_velocity(x, noise, t) if spoken else noise)).square().mean()}

    @torch.no_grad()
    def draw(
        self, states: torch.Tensor, seeds: Sequence[int], steps: int, guidance: float, known: Known | None = None
    ) -> Float[torch.Tensor, "n rows columns latent"]:
        """Latents for each seed (DDIM: Song et al., ICLR 2021), led by `states` (n, length, state).

        What is `known` stays: at each step it is put back with as much noise as that step has.
        """
        side = self.side // self.stride
        channels = self.unet.config.in_channels
        drawn = np.stack([drawn_noise(seed, 0, (channels * side, side)) for seed in seeds])
        noise = torch.from_numpy(drawn).to(states).unflatten(1, (channels, side))
        both, x = torch.cat([states, self.empty(len(states))]), noise
        fixed = None
        if known is not None:
            fixed = (known.draw[:, None], known.latents.permute(0, 3, 1, 2))
        self.times.set_timesteps(steps)
        for t in self.times.timesteps:
            if fixed is not None:
                x = torch.where(fixed[0], x, self.times.add_noise(fixed[1], noise, t[None]))
            led, free = self.unet(x.repeat(2, 1, 1, 1), t, encoder_hidden_states=both).sample.chunk(2)
            x = self.times.step(torch.lerp(free, led, guidance), t, x).prev_sample
        if fixed is not None:
            x = torch.where(fixed[0], x, fixed[1])
        return x.permute(0, 2, 3, 1)
