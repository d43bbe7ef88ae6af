"""Dense alignment: which places of a picture would make which moments of a sound, with no word in between.

`Grounding` brings the patches of any eyes and the frames of any ears into one space and compares all with all, as
DenseAV does (Hamilton et al., "Separating the Chirp from the Chat", CVPR 2024): patches × frames × heads, the best head
counts, then the best place at each moment, then the mean over the moments. Beside it each patch says whether it looks
like something that sounds at all. `Locator` is eyes, ears and grounding as one checkpoint: where in this picture is
this sound, which of these pictures goes with it, and which parts of a picture would be heard.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import hub
from ..encoders import load_ears, load_eyes
from ..encoders.audio import FrameEars, FrameEarsConfig, tiny_ears
from ..encoders.base import FrameEncoder, Frames, PatchEncoder, Patches
from ..encoders.vision import EyesConfig, EyesTower, tiny_eyes
from ..senses import Image, InputError, Point, Region, Sound
from ..spaces import Features, Space
from .outlining import Outline, OutlineConfig, Sight

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

MAP_SIDE = 224  # cells of the longer side of a map that is laid over a picture
LONGEST_S = 600.0  # of a sound that is looked for, in seconds
SILENT = 1e-5  # −100 dB of full scale
MOST_REGIONS = 6
LEAST_SHARE = 0.01  # of the picture; smaller spots are no region
CRUMB = 0.25  # of the largest piece; smaller pieces of what sounds alike belong to their neighbour
FRAMES_AT_ONCE = 4096


@dataclass(frozen=True)
class GroundingConfig:
    """Sizes of the bridge, and how much each part of its loss counts.

    `width`: of the shared space, all `heads` together. `hidden` and `layers`: of the layers in which a patch takes in
    its neighbours. `sharpness`: the best place is a mean weighted by exp(sharpness × cosine), in training and in use
    alike, so that a score means what it was trained to mean; the larger, the nearer to a maximum.
    """

    width: int = 128
    heads: int = 2
    hidden: int = 256
    layers: int = 1
    sharpness: float = 20.0
    contrast_weight: float = 1.0
    heat_weight: float = 1.0
    mass_weight: float = 0.3
    sounding_weight: float = 1.0

    def __post_init__(self) -> None:
        if not (1 <= self.heads <= 64 and self.heads <= self.width <= 4096 and 1 <= self.hidden <= 8192):
            raise InputError(f"A grounding of these sizes is not built: {self}.")
        if self.width % self.heads or not 0 <= self.layers <= 16 or not 0 < self.sharpness <= 1000:
            raise InputError(f"The heads share the width evenly; layers up to 16, sharpness up to 1000, not {self}.")


@dataclass(frozen=True, eq=False)
class Places:
    """Where the things are that make sounds: `mask[k]` marks, in picture `picture[k]`, what makes sound `sound[k]`.

    For a mixture, all that is in it. An empty mask says that nothing in the picture makes the sound.
    """

    picture: Int[torch.Tensor, " k"]
    sound: Int[torch.Tensor, " k"]
    mask: Float[torch.Tensor, "k rows columns"]


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known about a batch of n pictures and m sounds.

    `pairs`: which picture goes with which sound (any number in a row or column, as of one nameless id all go with all).
    `unknown`: pairs that are neither so nor otherwise, such as a picture of one thing and a mixture it is part of.
    `sounding`: the share of each patch that is something that sounds at all; NaN where nobody knows.
    """

    pairs: Bool[torch.Tensor, "n m"]
    unknown: Bool[torch.Tensor, "n m"] | None = None
    places: Places | None = None
    sounding: Float[torch.Tensor, "n rows columns"] | None = None


def multi_positive(
    logits: Float[torch.Tensor, "n m"],
    pairs: Bool[torch.Tensor, "n m"],
    unknown: Bool[torch.Tensor, "n m"] | None = None,
) -> Float[torch.Tensor, ""]:
    """Contrast with several positives: the mean over a row's positives of −log softmax, then over rows that have any.

    The mean of the logarithms wants all positives to be equally likely; the logarithm of their sum would be content
    with one of them. With one positive it is the cross-entropy. (Khosla et al. 2020, Supervised Contrastive Learning,
    eq. 2.)
    """
    if unknown is not None:
        logits = logits.masked_fill(unknown & ~pairs, -1e4)
    count = pairs.sum(-1)
    each = -torch.where(pairs, logits.log_softmax(-1), 0.0).sum(-1) / count.clamp(min=1)
    return each.sum() / (count > 0).sum().clamp(min=1)


class _Around(nn.Module):
    """Each patch takes in its neighbours. Kernels are symmetric, so a mirrored picture gives the mirrored result."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(width, 1, 3, 3) / 3)
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel = (self.kernel + self.kernel.flip(-1)) / 2
        grid = F.pad(x.permute(0, 3, 1, 2), (1, 1, 1, 1), mode="replicate")
        return x + self.mix(F.conv2d(grid, kernel, groups=x.shape[-1]).permute(0, 2, 3, 1))


class _Whole(nn.Module):
    """Each frame takes in the mean of all: what a sound is may show only over seconds. The order does not matter."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spread = nn.Linear(width, width)
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: torch.Tensor, here: torch.Tensor) -> torch.Tensor:
        mean = (x * here[..., None]).sum(1, keepdim=True) / here.sum(1)[:, None, None]
        return x + self.mix(x + self.spread(mean))


class Grounding(nn.Module):
    """Eye patches (`source`) and ear frames (`target`) in one space (`shared`), and what follows from comparing them.

    Patches are (n, rows, columns, width of `source`), frames (m, time, width of `target`), of which the first `real[j]`
    are real and the rest is padding. While training, a few frames drawn from each sound will do for all of them: scores
    are means over frames.
    """

    def __init__(self, source: Space, target: Space, config: GroundingConfig | None = None, name: str = "new") -> None:
        super().__init__()
        self.config = config = config or GroundingConfig()
        self.source, self.target, self.shared = source, target, Space(f"grounding/{name}", config.width)
        h = config.hidden
        self.from_eyes = nn.Sequential(nn.LayerNorm(source.width), nn.Linear(source.width, h))
        self.around = nn.Sequential(*[_Around(h) for _ in range(config.layers)])
        self.eye_vectors = nn.Sequential(nn.LayerNorm(h), nn.Linear(h, config.width))
        self.eye_sounding = nn.Sequential(nn.LayerNorm(h), nn.Linear(h, 1))
        self.from_ears = nn.Sequential(nn.LayerNorm(target.width), nn.Linear(target.width, h))
        self.whole = _Whole(h)
        self.ear_vectors = nn.Sequential(nn.LayerNorm(h), nn.Linear(h, config.width))
        self.ear_weight = nn.Sequential(nn.LayerNorm(h), nn.Linear(h, 1))
        # Of cosines: how fast a difference decides between pairs, and where on a map "yes" begins.
        self.log_contrast = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.offset = nn.Parameter(torch.tensor(-5.0))

    # --- into the shared space ---

    def look(
        self, dense: Float[torch.Tensor, "n rows columns source"]
    ) -> tuple[Float[torch.Tensor, "n rows columns heads width"], Float[torch.Tensor, "n rows columns"]]:
        """Of each patch a unit vector for each head, and the logit that it is something that sounds."""
        x = self.around(self.from_eyes(dense))
        return self._units(self.eye_vectors(x)), self.eye_sounding(x)[..., 0]

    def listen(
        self, frames: Float[torch.Tensor, "m time target"], real: Int[torch.Tensor, " m"]
    ) -> tuple[Float[torch.Tensor, "m time heads width"], Float[torch.Tensor, "m time"]]:
        """Of each frame a unit vector for each head, and how much it counts in the mean over time: weights, sum 1.

        A frame that says little, like a pause between barks, learns to count less; padding counts nothing.
        """
        here = torch.arange(frames.shape[1], device=frames.device) < real[:, None]
        x = self.whole(self.from_ears(frames), here.to(frames.dtype))
        weight = F.logsigmoid(self.ear_weight(x)[..., 0]).masked_fill(~here, -torch.inf).softmax(-1)
        return self._units(self.ear_vectors(x)), weight

    def _units(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(x.unflatten(-1, (self.config.heads, -1)), dim=-1)

    def sounding(self, dense: Float[torch.Tensor, "n rows columns source"]) -> Float[torch.Tensor, "n rows columns"]:
        """How much each patch looks like something that sounds at all, in [0, 1]."""
        return self.look(dense)[1].sigmoid()

    # --- comparing ---

    def volume(
        self,
        patches: Float[torch.Tensor, "n rows columns heads width"],
        frames: Float[torch.Tensor, "m time heads width"],
    ) -> Float[torch.Tensor, "n m patches time"]:
        """The cosine of every patch with every frame in the head in which it is largest; patches row by row."""
        eye, ear = patches.flatten(1, 2).unbind(2), frames.unbind(2)
        best = torch.einsum("npw,mtw->nmpt", eye[0], ear[0])
        for p, f in zip(eye[1:], ear[1:], strict=True):
            best = torch.maximum(best, torch.einsum("npw,mtw->nmpt", p, f))
        return best

    def peak(
        self, volume: Float[torch.Tensor, "n m patches time"], sounding: Float[torch.Tensor, "n patches"]
    ) -> Float[torch.Tensor, "n m time"]:
        """The cosine at the best place of each picture and moment; what does not sound is not looked at.

        The mean with weights ∝ P(sounds) × exp(sharpness × cosine): between mean and maximum, unlike a log-sum-exp,
        and so no larger for large things. `sounding` holds logits.
        """
        weight = self.config.sharpness * volume + F.logsigmoid(sounding)[:, None, :, None]
        return (weight.softmax(2) * volume).sum(2)

    def heat(
        self, similarity: Float[torch.Tensor, "*b patches"], sounding: Float[torch.Tensor, "*b patches"]
    ) -> Float[torch.Tensor, "*b patches"]:
        """The logit that a patch is what makes a sound: it sounds at all, and like that; the two multiply.

        `similarity` is the cosine of patch and sound, mean over time; `sounding` the logit of the former. Of
        p = σ(a)·σ(b) the logit is −log(e^−a + e^−b + e^−(a + b)).
        """
        a, b = -(self.log_scale.exp() * similarity + self.offset), -sounding
        return -torch.stack([a, b, a + b]).logsumexp(0)

    def forward(
        self,
        dense: Float[torch.Tensor, "n rows columns source"],
        frames: Float[torch.Tensor, "m time target"],
        real: Int[torch.Tensor, " m"],
    ) -> Float[torch.Tensor, "n m"]:
        """How well each picture goes with each sound: the cosine at the best place, mean over time."""
        patches, logit = self.look(dense)
        moments, weight = self.listen(frames, real)
        return (self.peak(self.volume(patches, moments), logit.flatten(1)) * weight).sum(-1)

    # --- learning ---

    def loss(
        self,
        dense: Float[torch.Tensor, "n rows columns source"],
        frames: Float[torch.Tensor, "m time target"],
        real: Int[torch.Tensor, " m"],
        truth: Truth,
    ) -> dict[str, torch.Tensor]:
        """Named scalars whose sum is minimised; what is not known in `truth` is zero.

        "contrast": `multi_positive` of the scores, in both directions. "heat": cross-entropy of the map with the mask.
        "mass": −log of the share that the mask has in the attention over the picture, for masks that are not empty.
        "sounding": cross-entropy of sounding at all.
        """
        return self.compared(*self.look(dense), *self.listen(frames, real), truth)

    def compared(
        self,
        patches: Float[torch.Tensor, "n rows columns heads width"],
        logit: Float[torch.Tensor, "n rows columns"],
        moments: Float[torch.Tensor, "m time heads width"],
        weight: Float[torch.Tensor, "m time"],
        truth: Truth,
    ) -> dict[str, torch.Tensor]:
        """`loss` of what `look` and `listen` gave, or of anything else that has its place in the shared space."""
        c = self.config
        volume = self.volume(patches, moments)
        scores = (self.peak(volume, logit.flatten(1)) * weight).sum(-1) * self.log_contrast.exp().clamp(max=100.0)
        turned = None if truth.unknown is None else truth.unknown.T
        contrast = multi_positive(scores, truth.pairs, truth.unknown) + multi_positive(scores.T, truth.pairs.T, turned)
        terms = {"contrast": c.contrast_weight * contrast / 2}
        heat = mass = sounding = scores.new_zeros(())
        if truth.places is not None and len(truth.places.picture):
            similarity = torch.einsum("nmpt,mt->nmp", volume, weight)[truth.places.picture, truth.places.sound]
            here, mask = logit.flatten(1)[truth.places.picture], truth.places.mask.flatten(1)
            heat = F.binary_cross_entropy_with_logits(self.heat(similarity, here), mask)
            attention = (c.sharpness * similarity + F.logsigmoid(here)).log_softmax(-1)
            inside = -(attention + mask.clamp(min=1e-6).log()).logsumexp(-1)
            marked = mask.amax(-1) > 0
            mass = (inside * marked).sum() / marked.sum().clamp(min=1)
        if truth.sounding is not None:
            known = ~truth.sounding.isnan()
            each = F.binary_cross_entropy_with_logits(logit, truth.sounding.nan_to_num(), reduction="none")
            sounding = (each * known).sum() / known.sum().clamp(min=1)
        terms |= {"heat": c.heat_weight * heat, "mass": c.mass_weight * mass, "sounding": c.sounding_weight * sounding}
        return terms


# --- eyes, ears and grounding as one model ---------------------------------------------------------------------------


@dataclass(frozen=True)
class LocatorConfig:
    """`eyes`, `ears`: sizes of our own, whose weights are part of the checkpoint, or where to find others.

    Others (a folder or hf:user/repo@commit) stay as they are: they are neither trained nor saved here.

    Fixed on validation data: a sound's region is where the map has at least `threshold` of its maximum;
    `confidence` (slope, offset) makes a probability of a score; a patch belongs to a region without a sound from
    `sounding` on; two groups of patches sound alike when the mean cosine between them is `alike` or more.
    """

    eyes: EyesConfig | str = field(default_factory=lambda: EyesConfig(size=224))
    ears: FrameEarsConfig | str = field(default_factory=FrameEarsConfig)
    grounding: GroundingConfig = field(default_factory=GroundingConfig)
    outline: OutlineConfig | None = None
    threshold: float = 0.5
    confidence: tuple[float, float] = (10.0, -5.0)
    sounding: float = 0.5
    alike: float = 0.7

    def __post_init__(self) -> None:
        if not (0 < self.threshold <= 1 and 0 < self.sounding <= 1 and -1 <= self.alike <= 1):
            raise InputError(
                f"Thresholds lie between 0 and 1: threshold {self.threshold}, sounding {self.sounding}; "
                f"a cosine between -1 and 1: alike {self.alike}."
            )
        if len(self.confidence) != 2 or not all(math.isfinite(v) for v in self.confidence):
            raise InputError(f"A confidence is made with two finite numbers, not {self.confidence}.")


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture that was looked at once: patches in the shared space, and how much each looks like it sounds [0, 1];
    and what outlines are made from."""

    patches: Features
    sounding: Float[np.ndarray, "rows columns"]
    width: int
    height: int
    sight: Sight


@dataclass(frozen=True, eq=False)
class Heard:
    """A sound that was listened to once: frames in the shared space, and how much each counts (sum 1)."""

    frames: Features
    weight: Float[np.ndarray, " time"]


@dataclass(frozen=True, eq=False)
class Found:
    """Where a picture would make a sound.

    `heat` is the probability of each place, at the picture's proportions; `confidence` that the picture shows it
    anywhere; `region` where it is if so, whatever the confidence.
    """

    heat: Float[np.ndarray, "rows columns"]
    confidence: float
    region: Region

    @property
    def at(self) -> Point:
        """The likeliest place of all, which the middle of a region that is not round may miss."""
        rows, columns = self.heat.shape
        row, column = np.unravel_index(int(np.argmax(self.heat)), self.heat.shape)
        return Point((float(column) + 0.5) / columns, (float(row) + 0.5) / rows)


class Locator(nn.Module):
    """`locate/tiny` and its kin: eyes, ears, and the grounding between them."""

    def __init__(
        self,
        config: LocatorConfig | None = None,
        *,
        eyes: PatchEncoder | None = None,
        ears: FrameEncoder | None = None,
        name: str = "locator",
        yes: bool = False,
    ) -> None:
        """As `config` says, unless eyes or ears are given. `yes` agrees to the download of those that it names."""
        super().__init__()
        self.config = config = config or LocatorConfig()
        self.eyes = eyes or (
            load_eyes(config.eyes, device="cpu", yes=yes)
            if isinstance(config.eyes, str)
            else tiny_eyes(f"eyes/{name}", config.eyes)
        )
        self.ears = ears or (
            load_ears(config.ears, device="cpu", yes=yes)
            if isinstance(config.ears, str)
            else tiny_ears(f"ears/{name}", config.ears)
        )
        for part in self._named().values():
            part.requires_grad_(False)
        self.grounding = Grounding(self.eyes.dense, self.ears.dense, config.grounding, name)
        self.outline = None if config.outline is None else self.new_outline(config.outline)

    def new_outline(self, config: OutlineConfig | None = None) -> Outline:
        """An outline that has learned nothing yet, for these eyes and this grounding."""
        c = self.config.grounding
        return Outline(self.eyes.dense.width, c.width, c.heads, self.eyes.tower.fine, config)

    def _named(self) -> dict[str, PatchEncoder | FrameEncoder]:
        """Those of the encoders that the config only refers to."""
        both: dict[str, PatchEncoder | FrameEncoder] = {"eyes": self.eyes, "ears": self.ears}
        return {key: part for key, part in both.items() if isinstance(getattr(self.config, key), str)}

    def train(self, mode: bool = True) -> Locator:
        """Training mode, but for encoders that the config only refers to."""
        super().train(mode)
        for part in self._named().values():
            part.eval()
        return self

    # --- checkpoints ---

    @classmethod
    def load(cls, reference: str | Path, *, yes: bool = False) -> Locator:
        """A checkpoint (see `hub.load_model`), ready to use, with the eyes and ears that it names."""
        config, tensors = hub.load_model(reference, yes=yes)
        try:
            told = LocatorConfig(**_configs(config["model"]))
            model = cls(told, name=f"locator@{_digest(tensors, config['sha256'])[:12]}", yes=yes)
            for key, part in model._named().items():
                if part.dense.name != config["spaces"][key]:
                    raise InputError(
                        f"{reference} was trained with the {key} {config['spaces'][key]}; "
                        f"{getattr(told, key)} now holds {part.dense.name}."
                    )
            hub.fill(model, tensors, reference, model._elsewhere())
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{reference} is not a locator: {str(error).splitlines()[0]}") from error
        return model.eval()

    def save(self, folder: str | Path, card: hub.Card | None = None) -> Path:
        """Write a checkpoint folder in half precision."""
        named = self._named()
        config = self.config
        for key, tower in (("eyes", self.eyes.tower), ("ears", self.ears.tower)):
            if key in named:
                continue
            if not isinstance(tower, EyesTower | FrameEars):
                raise InputError(f"These {key} are not our own; let the config say where they are to be found.")
            sizes = tower.eyes.config if isinstance(tower, EyesTower) else tower.config
            config = dataclasses.replace(config, **{key: sizes})  # those given may be of other sizes than configured
        spaces = {key: part.dense.name for key, part in named.items()}
        told = {"model": asdict(config), "spaces": spaces}
        return hub.save_model(folder, told, hub.halved(self, self._elsewhere()), card)

    def _elsewhere(self) -> tuple[str, ...]:
        """How the weights begin that other checkpoints hold."""
        return tuple(f"{key}." for key in self._named())

    # --- seeing and hearing, each once ---

    @torch.inference_mode()
    def see(self, images: Sequence[Image]) -> list[Seen]:
        """Encode pictures; any number of sounds can be looked for in them afterwards."""
        return [self.recognise(image, p) for image, p in zip(images, self.eyes.see(images), strict=True)]

    @torch.inference_mode()
    def recognise(self, image: Image, patches: Patches) -> Seen:
        """`see` for a picture that these eyes have seen already."""
        dense = self._tensor(patches.dense.require(self.grounding.source))
        vectors, logit = self.grounding.look(dense[None])
        shared = Features(vectors[0].flatten(-2).cpu().numpy(), self.grounding.shared)
        sight = Sight(dense[None], vectors.flatten(-2), logit, self.eyes.fine(image))
        return Seen(shared, logit[0].sigmoid().cpu().numpy(), image.width, image.height, sight)

    def sight(self, pixels: Float[torch.Tensor, "n 3 height width"]) -> Sight:
        """What an outline is made from, of pictures of the eyes' size. For training."""
        dense = self.eyes(pixels)[0]
        vectors, logit = self.grounding.look(dense)
        return Sight(dense, vectors.flatten(-2), logit, self.eyes.closer(pixels))

    @torch.inference_mode()
    def hear(self, sounds: Sequence[Sound]) -> list[Heard]:
        """Encode sounds. Raises InputError for one that is silent or lasts longer than ten minutes."""
        for sound in sounds:
            if sound.seconds > LONGEST_S:
                raise InputError(
                    f"The sound lasts {sound.seconds:.0f} s; give at most {LONGEST_S:.0f} s of it to look for."
                )
            if np.abs(sound.mono).max(initial=0.0) < SILENT:
                raise InputError("The sound is silent (or its channels cancel out); there is nothing to look for.")
        return [self.understand(frames) for frames in self.ears.listen(sounds)]

    @torch.inference_mode()
    def understand(self, frames: Frames) -> Heard:
        """`hear` for a sound that these ears have heard already."""
        dense = self._tensor(frames.dense.require(self.grounding.target))
        vectors, weight = self.grounding.listen(dense[None], torch.tensor([len(dense)], device=dense.device))
        shared = Features(vectors[0].flatten(-2).cpu().numpy(), self.grounding.shared)
        return Heard(shared, weight[0].cpu().numpy())

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.grounding.offset.device)

    # --- where ---

    @torch.inference_mode()
    def heat(self, seen: Seen, heard: Heard) -> tuple[Float[np.ndarray, "rows columns"], float]:
        """For each patch the probability that it is what makes the sound; the probability that anything here does."""
        frames, weight = self._tensor(heard.frames.require(self.grounding.shared)), self._tensor(heard.weight)
        sounding = self._sounding(seen)
        similarity, score = torch.zeros_like(sounding), 0.0
        for part, volume, peak in self._compare(seen, frames):
            similarity += volume @ weight[part]
            score += float(peak @ weight[part])
        heat = self.grounding.heat(similarity, sounding).sigmoid().view(seen.sounding.shape)
        return heat.cpu().numpy(), self._confidence(score)

    @torch.inference_mode()
    def outlined(self, seen: Seen, heard: Heard) -> tuple[Float[np.ndarray, "rows columns"], float]:
        """`heat` with outlines, for each of the finest cells: where the thing is if the picture shows it, times the
        probability that it does.
        """
        if self.outline is None:
            raise InputError("This locator has not learned to outline.")
        frames = heard.frames.require(self.grounding.shared)
        sound = self._tensor((frames * heard.weight[:, None]).sum(0))
        logits, shown = self.outline(seen.sight, sound[None])
        confidence = self._confidence(float(shown))
        return confidence * logits[0].sigmoid().cpu().numpy(), confidence

    @torch.inference_mode()
    def match(self, seen: Sequence[Seen], heard: Sequence[Heard]) -> Float[np.ndarray, "pictures sounds"]:
        """How well pictures and sounds go together, as cosines: sort a row for sounds, a column for pictures."""
        out = np.zeros((len(seen), len(heard)), np.float32)
        if not heard:
            return out
        frames = self._tensor(np.concatenate([h.frames.require(self.grounding.shared) for h in heard]))
        weight = self._tensor(np.concatenate([h.weight for h in heard]))
        owner = torch.repeat_interleave(torch.tensor([len(h.weight) for h in heard])).to(weight.device)
        for row, picture in zip(out, seen, strict=True):
            scores = torch.zeros(len(heard), device=weight.device)
            for part, _, peak in self._compare(picture, frames):
                scores.index_add_(0, owner[part], peak * weight[part])
            row[:] = scores.cpu().numpy()
        return out

    def _compare(self, seen: Seen, frames: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
        """In blocks of frames: which, their cosines (patches, time), and those at the best places (time,)."""
        heads = (self.config.grounding.heads, -1)
        patches = self._tensor(seen.patches.require(self.grounding.shared)).unflatten(-1, heads)[None]
        sounding = self._sounding(seen)[None]
        for start in range(0, len(frames), FRAMES_AT_ONCE):
            part = slice(start, start + FRAMES_AT_ONCE)
            volume = self.grounding.volume(patches, frames[part].unflatten(-1, heads)[None])
            yield part, volume[0, 0], self.grounding.peak(volume, sounding)[0, 0]

    def _sounding(self, seen: Seen) -> torch.Tensor:
        """The logits, as far as single precision tells a probability from 0 and 1."""
        return self._tensor(seen.sounding).flatten().logit(1e-6)

    def _confidence(self, score: float) -> float:
        slope, offset = self.config.confidence
        return float(1 / (1 + np.exp(-np.clip(slope * score + offset, -50, 50))))

    def score(self, images: Sequence[Image], sounds: Sequence[Sound]) -> Float[np.ndarray, "pictures sounds"]:
        """`match` of pictures and sounds that are needed only once."""
        return self.match(self.see(images), self.hear(sounds))

    def find(self, seen: Seen, heard: Heard) -> Found:
        """Where in a picture the sound would come from."""
        heat, confidence = self.heat(seen, heard) if self.outline is None else self.outlined(seen, heard)
        heat = _enlarge(heat, seen)
        return Found(heat, confidence, Region((heat >= self.config.threshold * heat.max()).astype(np.float32)))

    def locate(self, image: Image, sound: Sound) -> Found:
        """`find` for a picture and a sound that are needed only once."""
        return self.find(self.see([image])[0], self.hear([sound])[0])

    def regions(
        self, seen: Seen, threshold: float | None = None, alike: float | None = None, most: int = MOST_REGIONS
    ) -> list[tuple[Region, float]]:
        """The parts of a picture that would be heard, without any sound: soft masks, and how surely each sounds.

        Patches that sound (from `threshold` on) are grouped by how alike they sound (average linkage, cut at `alike`,
        both the config's by default); groups fall apart into connected pieces, so that two birds are two, but crumbs
        stay with the nearest larger piece. The `most` pieces of the most sounding area are kept, the largest first.
        """
        if most < 1:
            raise InputError(f"At least one region is asked for, not {most}.")
        limits = dataclasses.replace(
            self.config,
            sounding=self.config.sounding if threshold is None else threshold,
            alike=self.config.alike if alike is None else alike,
        )
        pieces = [
            piece
            for group in _alike(seen, limits, self.config.grounding.heads)
            for piece in _pieces(group)
            if piece.mean() >= LEAST_SHARE
        ]
        pieces.sort(key=lambda piece: (-float(seen.sounding[piece].sum()), int(piece.argmax())))
        out = []
        for piece in pieces[:most]:
            soft = np.where(piece, seen.sounding / seen.sounding[piece].max(), 0.0).astype(np.float32)
            out.append((Region(_enlarge(soft, seen)), float(seen.sounding[piece].mean())))
        return out


def _digest(tensors: dict[str, torch.Tensor], whole: str) -> str:
    """The hash that a checkpoint has, or would have without its outline (`whole` has it with all).

    The outline adds nothing to the spaces, which others know by the hash of what makes them.
    """
    rest = {name: values for name, values in tensors.items() if not name.startswith("outline.")}
    return whole if len(rest) == len(tensors) else hashlib.sha256(hub.packed(rest)).hexdigest()


def _configs(told: dict[str, Any]) -> dict[str, Any]:
    """JSON has dictionaries and lists where the configurations have dataclasses and tuples."""
    kinds = {
        "eyes": EyesConfig,
        "ears": FrameEarsConfig,
        "grounding": GroundingConfig,
        "outline": OutlineConfig,
    }

    def tuples(values: dict[str, Any]) -> dict[str, Any]:
        return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}

    return {k: kinds[k](**tuples(v)) if k in kinds and isinstance(v, dict) else v for k, v in tuples(told).items()}


def _enlarge(grid: Float[np.ndarray, "_ _"], seen: Seen) -> Float[np.ndarray, "rows columns"]:
    """A map at the proportions of the picture, `MAP_SIDE` cells on the longer side; linear between centres."""
    longer = max(seen.width, seen.height)
    size = tuple(max(1, round(MAP_SIDE * side / longer)) for side in (seen.height, seen.width))
    large = F.interpolate(torch.from_numpy(grid)[None, None], size, mode="bilinear", align_corners=False)
    return large[0, 0].clamp(0, 1).numpy()


def _alike(seen: Seen, limits: LocatorConfig, heads: int) -> Iterator[Bool[np.ndarray, "rows columns"]]:
    """Groups of sounding patches that sound alike, as masks."""
    from scipy.cluster.hierarchy import fcluster, linkage

    active = seen.sounding >= limits.sounding
    vectors = seen.patches.values[active] / math.sqrt(heads)
    labels = np.ones(len(vectors), int)
    if len(vectors) > 1:
        apart = np.maximum(1 - (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)], 0.0)
        labels = fcluster(linkage(apart, "average"), 1 - limits.alike, "distance")
    for label in np.unique(labels):
        group = np.zeros_like(active)
        group[active] = labels == label
        yield group


def _pieces(group: Bool[np.ndarray, "rows columns"]) -> Iterator[Bool[np.ndarray, "rows columns"]]:
    """The connected pieces of a mask (corners connect); those under `CRUMB` of the largest go to the nearest."""
    from scipy import ndimage

    labels, count = ndimage.label(group, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    large = 1 + np.flatnonzero(sizes >= CRUMB * sizes.max())
    away = np.stack([ndimage.distance_transform_edt(labels != k) for k in large])
    for small in np.setdiff1d(np.arange(1, count + 1), large):
        nearest = large[away[:, labels == small].min(1).argmin()]
        labels[labels == small] = nearest
    for k in large:
        yield labels == k
