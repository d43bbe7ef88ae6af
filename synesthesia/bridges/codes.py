"""The head `codes`: a language of sound without words. What a few frames may be is spelt in codes, a causal
Transformer says which code comes next, and what the codes leave out comes back as noise of a known width.

    frames ─ shaped, folded ─ principal axes ─▶ codes (residual vector quantisation, one after another) ─▶ Transformer
    frames ◀─ unshaped ◀─ noise of what codes leave out ◀─ sum of the codes' vectors ◀─ drawn codes ◀───────────┘

A book of vectors is found by k-means on what the books before have left (residual quantisation, as in SoundStream,
Zeghidour et al. 2021; fitted, not trained). The Transformer reads what was said, patch by patch, and within a patch
each code is told those before it (in small, the depth Transformer of Lee et al., RQ-VAE, CVPR 2022). Noise of the
spread that the codes leave, for each first code its own, keeps a steady noise from sounding smooth. Guidance moves the
logits away from those without a condition (AudioGen, Kreuk et al. 2023).

A partial that does not sound lies far below any that does. Taken as it is, whether it sounds would be most of what the
codes say, so it is brought nearer, and partials count less than levels. On recordings whose kind a judge names this
made as much difference as twice the codes (docs/log.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from ..codecs import bands
from ..spaces import Space
from .heads import Attend, Framed, Run, joined, turned
from .scale import Scale

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from .mapper import MapperConfig

_NEAR = 1.5  # standard deviations below its mean at which a channel that rests is put …
_GAP = 0.8  # … and how far above that it lies at least when it does not
_STILL = 0.05  # standard deviations within which a channel is at rest: half precision moves where that is
_ROUNDS = 8  # of k-means
_FEW = 20  # patches with a first code that say as much about its noise as all patches together
_PARTIAL, _PLACE = 0.7, 0.3  # weight of a partial's level and of its place beside that of a band's level
_TEMPERATURE = 0.8  # below 1, likely codes come more often than they are heard; chosen on photos that teach nothing


class Codes(Framed):
    """Latents, standardised ↔ codes; and a Transformer that says them, led by a condition."""

    gate: torch.Tensor
    weight: torch.Tensor
    rest: torch.Tensor
    centre: torch.Tensor
    axes: torch.Tensor
    vectors: torch.Tensor
    noisy: torch.Tensor

    def __init__(self, config: MapperConfig) -> None:
        super().__init__(config)
        d, width = config.width, config.target.width
        patch = config.fold * width
        dims = min(config.axes, patch)
        self.noise = width + config.books
        scale = Scale(config.target)
        self.register_buffer("gate", scale.gate, persistent=False)
        self.register_buffer("weight", _weights(config.target), persistent=False)
        self.register_buffer("rest", torch.full((width,), -torch.inf))
        self.register_buffer("centre", torch.zeros(patch))
        self.register_buffer("axes", torch.eye(patch)[:, :dims].contiguous())
        self.register_buffer("vectors", torch.zeros(config.books, config.words, dims))
        self.register_buffer("noisy", torch.zeros(config.words, width))
        self.begun = nn.Parameter(torch.randn(d) * 0.02)  # stands for the patch before the first
        self.enter = nn.Linear(dims, d)
        self.after = nn.ModuleList(nn.Linear(dims, d, bias=False) for _ in range(config.books))
        self.say = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(d), nn.Linear(d, d), nn.GELU(), nn.Linear(d, config.words))
            for _ in range(config.books)
        )

    # --- spelling ---

    @torch.no_grad()
    def fit(self, scale: Scale, latents: Float[torch.Tensor, "n frames width"]) -> None:
        """Find axes, books and the noise that they leave on pieces of training sounds; the same for the same pieces."""
        self.rest.copy_((scale.rest - scale.mean) / scale.std)
        x = self._patches(scale(latents)[:, : latents.shape[1] // self.config.fold * self.config.fold]).flatten(0, 1)
        self.centre.copy_(x.mean(0))
        x = x - self.centre
        spread, axes = torch.linalg.eigh((x.T @ x).double() / len(x))
        self.axes.copy_(axes.flip(1)[:, : self.axes.shape[1]])
        short = x @ self.axes
        # What is read should come in about one size, as a layer that was never trained expects.
        size = spread.flip(0)[: self.axes.shape[1]].clamp_min(1e-6).sqrt().mean().float()
        for reads in (self.enter, *self.after):
            assert isinstance(reads, nn.Linear)
            reads.weight.div_(size)
        left, g = short.clone(), torch.Generator().manual_seed(0)
        for book in self.vectors:
            book.copy_(_k_means(left, len(book), g))
            left -= book[_nearest(left, book)]
        left = (x - (short - left) @ self.axes.T).square().unflatten(1, (self.config.fold, -1)).mean(1)
        first = _nearest(short, self.vectors[0])
        total = torch.zeros_like(self.noisy).index_add_(0, first, left) + _FEW * left.mean(0)
        count = torch.bincount(first, minlength=len(self.noisy))[:, None] + _FEW
        self.noisy.copy_((total / count).sqrt())

    def spell(self, clean: Float[torch.Tensor, "n frames width"]) -> Int[torch.Tensor, "n patches books"]:
        """Codes of standardised latents."""
        left = (self._patches(clean) - self.centre) @ self.axes
        codes = []
        for book in self.vectors:
            codes.append(_nearest(left.flatten(0, 1), book).view(left.shape[:2]))
            left = left - book[codes[-1]]
        return torch.stack(codes, -1)

    def read(self, codes: Int[torch.Tensor, "n patches books"]) -> Float[torch.Tensor, "n patches books axes"]:
        """Of each patch, what the codes up to each have said: sums of their vectors."""
        books = torch.arange(codes.shape[-1], device=codes.device)
        return self.vectors[books, codes].cumsum(-2)

    def unspell(
        self, codes: Int[torch.Tensor, "n patches books"], noise: Float[torch.Tensor, "n frames width"]
    ) -> Float[torch.Tensor, "n frames width"]:
        """Standardised latents of codes, with `noise` of spread 1 for what they leave out."""
        left_out = self.noisy[codes[..., 0]].repeat(1, 1, self.config.fold) * self._folded(noise)
        x = self.read(codes)[:, :, -1] @ self.axes.T + self.centre + left_out
        x = x.unflatten(-1, (self.config.fold, -1)).flatten(1, 2) / self.weight
        return torch.where(x < _GAP - _NEAR, self.rest, x).where(self.rest.isfinite(), x)

    def _patches(self, clean: torch.Tensor) -> torch.Tensor:
        """(n, frames, width) → (n, patches, fold · width), shaped: rest brought near, partials made to count less."""
        still = clean <= self.rest + _STILL
        x = torch.where(self.rest.isfinite(), clean.clamp_min(_GAP - _NEAR), clean)
        x = torch.where(still, -_NEAR, x)
        led = self.gate != torch.arange(len(self.gate), device=self.gate.device)
        return self._folded(torch.where(still[..., self.gate] & led, 0.0, x) * self.weight)

    def _folded(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.unflatten(1, (-1, self.config.fold)).flatten(2)

    # --- learning ---

    def loss(self, tokens: torch.Tensor, clean: torch.Tensor, weight: torch.Tensor, g: torch.Generator) -> torch.Tensor:
        """The mean cross-entropy of a code, in nats. `weight` has nothing to add: shaping knows what is there."""
        del weight
        codes = self.spell(clean)
        so_far = self.read(codes)
        n = len(codes)
        told = self.told(tokens)
        forgotten = torch.rand(n, 1, generator=g) < self.config.forget
        told = torch.where(forgotten.to(told.device), self.nothing, told)
        past = so_far[:, :-1, -1]
        strength = self.config.blur * torch.rand(n, 1, 1, generator=g)
        past = past + (strength * torch.randn(past.shape, generator=g)).to(past) * self._unit
        x = self.hidden(past, told)
        errors = [
            F.cross_entropy(self.logits(x, so_far[:, :, book - 1] if book else None, book).flatten(0, 1), right)
            for book, right in enumerate(codes.flatten(0, 1).unbind(-1))
        ]
        return torch.stack(errors).mean()

    def hidden(
        self, past: Float[torch.Tensor, "n before axes"], told: Float[torch.Tensor, "n width"]
    ) -> Float[torch.Tensor, "n patches width"]:
        """What the Transformer says before the first patch and after each of those that were said."""
        told = told[:, None]
        x = torch.cat([self.begun.expand(len(past), 1, -1), self.enter(past)], 1) + told
        at = torch.arange(x.shape[1], device=x.device)
        turns, back = self.turns(at), at[:, None] - at
        sees = (back >= 0) & (back <= self._reach)

        def attend(qkv: torch.Tensor) -> torch.Tensor:
            qk, v = self.split(qkv)
            q, k = turned(qk, turns)
            return joined(F.scaled_dot_product_attention(q, k, v, sees))

        for layer, change in zip(self.layers, self.changed(told), strict=True):
            x = layer(x, change, attend)
        return x

    def logits(self, x: torch.Tensor, so_far: torch.Tensor | None, book: int) -> torch.Tensor:
        """Of the next code of a book, given what the Transformer says and what the codes before it have said."""
        if so_far is not None:
            x = x + self.after[book](so_far)
        return self.say[book](x)

    @property
    def _unit(self) -> torch.Tensor:
        """The spread of each axis among the vectors of the first book."""
        return self.vectors[0].std(0)

    @property
    def _reach(self) -> int:
        """How many patches back are seen."""
        return self.config.context * self.tokens

    # --- saying ---

    def begin(self, tokens: torch.Tensor, steps: int, guidance: float) -> Run:
        """`steps` means nothing here: a code is said at once."""
        del steps
        return _CodesRun(self, tokens, guidance)


class _CodesRun(Run):
    """Patch after patch. Keys and values of what can still be seen are kept, keys turned to their place."""

    def __init__(self, head: Codes, tokens: torch.Tensor, guidance: float) -> None:
        self._head, self._guidance = head, guidance
        told = head.told(tokens)[:, None]
        self._told = told if guidance == 1 else torch.cat([told, head.nothing.expand_as(told)])
        self._changes = head.changed(self._told)
        c = head.config
        # Room for twice the reach: only when it is full is what can still be seen moved to its beginning.
        self._past = tokens.new_zeros(c.layers, 2, len(self._told), c.heads, 2 * head._reach + 1, c.width // c.heads)
        self._filled = 0
        self._last = head.begun.expand(len(tokens), 1, -1)
        self._place = 0
        self._drawn = False

    def kept(self) -> list[torch.Tensor]:
        return [self._past]

    def draw(self, noise: torch.Tensor) -> torch.Tensor:
        head, width = self._head, self._head.config.target.width
        # A normal number's rank is even in [0, 1]; one for each code, from the first frame of its patch.
        ranks = torch.special.ndtr(noise[:, :: head.config.fold, width:].double()).float()
        codes = torch.stack([self._say(rank) for rank in ranks.unbind(1)], 1)
        self._drawn = True
        return head.unspell(codes, noise[..., :width])

    def remember(self, block: torch.Tensor) -> None:
        """What was drawn here is remembered already, as it was said."""
        if not self._drawn:
            for patch in self._head.read(self._head.spell(block))[:, :, -1].unbind(1):
                self._step()
                self._last = self._head.enter(patch)[:, None]
        self._drawn = False

    def _say(self, ranks: Float[torch.Tensor, "n books"]) -> Int[torch.Tensor, "n books"]:
        head, so_far, codes = self._head, None, []
        x = self._step()
        for book, rank in enumerate(ranks.unbind(1)):
            told = so_far if so_far is None or len(x) == len(so_far) else torch.cat([so_far, so_far])
            logits = head.logits(x, told, book)[:, 0]
            if len(logits) > len(ranks):
                led, free = logits.log_softmax(-1).chunk(2)
                logits = torch.lerp(free, led, self._guidance)
            sums = (logits / _TEMPERATURE).softmax(-1).cumsum(-1)
            code = torch.searchsorted(sums, rank[:, None] * sums[:, -1:]).clamp(max=sums.shape[1] - 1)
            said = head.vectors[book][code]
            so_far = said if so_far is None else so_far + said
            codes.append(code[:, 0])
        self._last = head.enter(so_far)
        return torch.stack(codes, 1)

    def _step(self) -> torch.Tensor:
        """What the Transformer says after all that was said, (n or 2 n, 1, width)."""
        head = self._head
        turns = head.turns(torch.tensor([self._place], device=self._told.device))
        x = self._last.repeat(len(self._told) // len(self._last), 1, 1) + self._told
        at, reach = self._filled, head._reach
        if at == self._past.shape[-2]:
            self._past[..., :reach, :] = self._past[..., at - reach :, :].clone()
            at = reach
        seen = slice(max(0, at - reach), at + 1)

        def after(past: torch.Tensor) -> Attend:
            def attend(qkv: torch.Tensor) -> torch.Tensor:
                qk, v = head.split(qkv)
                q, past[0, :, :, at : at + 1] = turned(qk, turns)
                past[1, :, :, at : at + 1] = v
                return joined(F.scaled_dot_product_attention(q, past[0, :, :, seen], past[1, :, :, seen]))

            return attend

        for layer, change, past in zip(head.layers, self._changes, self._past, strict=True):
            x = layer(x, change, after(past))
        self._filled = at + 1
        self._place += 1
        return x


def _weights(space: Space) -> torch.Tensor:
    weights = torch.ones(space.width)
    if space == bands.Bands.space:
        weights[bands.PARTIALS], weights[bands.PLACES] = _PARTIAL, _PLACE
    return weights


def _nearest(x: Float[torch.Tensor, "n axes"], book: Float[torch.Tensor, "words axes"]) -> Int[torch.Tensor, " n"]:
    half = book.square().sum(1) / 2
    return torch.cat([(half - some @ book.T).argmin(1) for some in x.split(2**14)])


def _k_means(x: torch.Tensor, words: int, g: torch.Generator) -> torch.Tensor:
    """(words, axes) centres of x (n, axes); one that nothing is near is put where something is."""
    book = x[torch.randint(len(x), (words,), generator=g)].clone()
    for _ in range(_ROUNDS):
        nearest = _nearest(x, book)
        count = torch.bincount(nearest, minlength=words)[:, None]
        mean = torch.zeros_like(book).index_add_(0, nearest, x) / count.clamp_min(1)
        book = torch.where(count > 0, mean, x[torch.randint(len(x), (words,), generator=g)])
    return book
