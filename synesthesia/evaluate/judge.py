"""The judge of material: hears a strike, nothing else, and says what was struck.

It is trained on strikes of its own, straight from `physics`: other shapes than any world's, sizes, mallets, supports
and listeners at random, level removed. It shares neither weights nor data nor features with the model that it judges.
Two heads, two trainings: six material groups at any support, and the five materials of the real photos on hung
sounds. A figure "by ear" means nothing without the judge's own accuracy on true sounds, `Judge.ceiling`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import media
from ..metrics import bootstrap
from ..physics.materials import COATINGS, GROUPS, MATERIALS, Material, blend
from ..senses import MALLETS, SUPPORTS, InputError, Sound

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int

    from ..physics.strike import ModalSound

RATE = 48_000
SECONDS = 1.0
PHOTO_MATERIALS: tuple[str, ...] = ("cardboard", "glass", "metal", "paper", "plastic")

BANDS = 40
_WINDOW, _HOP = 1024, 256
_EDGES = np.array([0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 29, 38, 50, 65, 85, 110, 143, 184])  # hops; geometric
LINES = 10
_FLOOR_DB = 75.0


# ------------------------------------------------------------------------------------------------------- hearing


@functools.cache
def _filters() -> Float[np.ndarray, "bands bins"]:
    """Triangles on the ERB-rate scale from 60 Hz to 18 kHz, each summing to one (Glasberg & Moore 1990, eq. 4)."""
    bins = np.arange(_WINDOW // 2 + 1) * RATE / _WINDOW
    rate = 21.4 * np.log10(1.0 + 0.00437 * bins)
    low, high = 21.4 * np.log10(1.0 + 0.00437 * np.array([60.0, 18_000.0]))
    centre = np.linspace(low, high, BANDS)
    width = max(centre[1] - centre[0], 1e-9)
    # A bin is 47 Hz wide: the lowest bands must reach at least over their nearest bins.
    reach = np.maximum(width, 21.4 * np.log10(1.0 + 0.00437 * (_hz(centre) + 50.0)) - centre)
    f = np.maximum(0.0, 1.0 - np.abs(rate[None] - centre[:, None]) / reach[:, None])
    return f / f.sum(axis=1, keepdims=True)


def _hz(erb: np.ndarray) -> np.ndarray:
    return (10.0 ** (erb / 21.4) - 1.0) / 0.00437


def _stft(s: np.ndarray, window: int, hop: int) -> np.ndarray:
    frames = np.lib.stride_tricks.sliding_window_view(s, window)[::hop]
    spectrum = np.fft.rfft(frames.astype(np.float32) * np.hanning(window).astype(np.float32), axis=-1)
    return np.abs(spectrum).astype(np.float64) ** 2


def prepare(sound: Sound) -> Float[np.ndarray, " n"]:
    """One second of the sound from its onset at 48 kHz, its peak scaled to one: what is left has no level."""
    s = sound.mono.astype(np.float64)
    if sound.rate != RATE:
        s = media.resample(sound, RATE).mono.astype(np.float64)
    n = int(RATE * SECONDS)
    peak = float(np.abs(s).max()) if len(s) else 0.0
    if peak > 0.0:
        onset = int(np.argmax(np.abs(s) > 0.05 * peak))
        s = s[max(onset - 48, 0) :] / peak
    return np.pad(s[:n], (0, max(n - len(s), 0)))


def _decay(power_db: np.ndarray, step: float) -> np.ndarray:
    """Decay in dB/s of each row of levels over time: a straight line from its peak until 25 dB below it."""
    out = np.zeros(len(power_db))
    for k, row in enumerate(power_db):
        start = int(row.argmax())
        tail = row[start:]
        below = np.flatnonzero(tail < tail[0] - 25.0)
        stop = int(below[0]) + 1 if len(below) else len(tail)
        y = tail[: max(stop, 2)]
        t = np.arange(len(y)) * step
        spread = float(((t - t.mean()) ** 2).sum())
        out[k] = -float(((t - t.mean()) * (y - y.mean())).sum()) / spread if spread > 0 else 0.0
    return np.maximum(out, 0.5)


def features(sound: Sound) -> tuple[Float[np.ndarray, "bands frames"], Float[np.ndarray, " d"]]:
    """What the judge hears: an ERB spectrogram on a geometric time axis, and decay, width and noisiness as numbers.

    The spectrogram is in units of 20 dB below its loudest cell. The numbers: for the strongest spectral lines the log
    frequency, level, and loss factor twice (from the decay of the line and from its width, η = Δf/f), then the decay
    of every band, the broadband envelope, and how flat the spectrum is early and late.
    """
    s = prepare(sound)
    power = _stft(np.pad(s, (_WINDOW // 2, 0)), _WINDOW, _HOP)[: _EDGES[-1]]
    bands = power @ _filters().T
    cells = np.add.reduceat(bands, _EDGES[:-1], axis=0) / np.diff(_EDGES)[:, None]
    top = max(float(cells.max()), 1e-20)
    level = 10.0 * np.log10(np.maximum(cells / top, 10.0 ** (-_FLOOR_DB / 10.0)))
    picture = (level / 20.0 + 1.5).T

    floor = max(float(bands.max()), 1e-20) * 10.0 ** (-_FLOOR_DB / 10.0)
    band_decay = np.log10(_decay(10.0 * np.log10(np.maximum(bands.T, floor)), _HOP / RATE))
    loudness = 10.0 * np.log10(np.maximum(bands.mean(axis=0), floor) / max(float(bands.mean(axis=0).max()), 1e-20))

    early, late = power[1:5].mean(axis=0)[4:384] + 1e-12, power[12:24].mean(axis=0)[4:384] + 1e-12
    flat = [np.log(early).mean() - np.log(early.mean()), np.log(late).mean() - np.log(late.mean())]
    envelope = 10.0 * np.log10(np.maximum(cells.sum(axis=1) / max(float(cells.sum(axis=1).max()), 1e-20), 1e-7))
    numbers = [_lines(s), band_decay - 2.0, loudness / 20.0 + 1.0, envelope / 20.0 + 1.0, np.array(flat) / 3.0]
    return picture.astype(np.float32), np.concatenate(numbers).astype(np.float32)


def _lines(s: np.ndarray) -> np.ndarray:
    """The strongest lines by energy: [level, log f, log η by decay, log η by width] each, then their weighted means."""
    spectrum = np.abs(np.fft.rfft(s, 2 * len(s))) ** 2
    step = RATE / (2.0 * len(s))
    # Peaks of a spectrum smoothed over a few bins, so that doublets and beats count once.
    smooth = np.convolve(spectrum, np.hanning(9) / np.hanning(9).sum(), "same")
    inner = smooth[1:-1]
    peaks = 1 + np.flatnonzero((inner > smooth[:-2]) & (inner >= smooth[2:]))
    peaks = peaks[(peaks * step > 40.0) & (peaks * step < 20_000.0)]
    table = np.tile(np.array([-3.0, 0.0, 0.0, 0.0]), (LINES, 1))
    if len(peaks) == 0 or smooth.max() <= 0.0:
        return np.concatenate([table.ravel(), np.zeros(6)])
    order = peaks[np.argsort(-smooth[peaks], kind="stable")]
    chosen: list[int] = []
    for p in order:  # a peak within 3 % of a stronger one is its skirt
        if all(abs(p - q) > 0.03 * q for q in chosen):
            chosen.append(int(p))
        if len(chosen) == LINES:
            break
    tracks = _stft(s, 4096, 512)
    bin_of = [min(max(round(p * step / (RATE / 4096)), 1), tracks.shape[1] - 2) for p in chosen]
    track = np.stack([tracks[:, b - 1 : b + 2].sum(axis=1) for b in bin_of])
    decay = _decay(10.0 * np.log10(np.maximum(track, max(float(track.max()), 1e-20) * 1e-8)), 512 / RATE)
    for row, (p, rate_db) in enumerate(zip(chosen, decay, strict=True)):
        f = p * step
        reach = max(int(0.2 * p), 12)
        low, high = max(p - reach, 0), min(p + reach + 1, len(smooth))
        # Area over height of a Lorentzian is π/2 of its full width at half power.
        width = float(smooth[low:high].sum()) * step / float(smooth[p]) * 2.0 / np.pi
        loss_decay = 2.2 * rate_db / (60.0 * f)
        table[row] = [
            np.log10(smooth[p] / smooth[chosen[0]]) / 2.0,
            np.log10(f) - 3.0,
            np.log10(np.clip(loss_decay, 1e-5, 1.0)) + 2.0,
            np.log10(np.clip(width / f, 1e-5, 1.0)) + 2.0,
        ]
    weight = 10.0 ** (table[: len(chosen), 0])
    weight = weight / weight.sum()
    used = table[: len(chosen)]
    summary = [
        *(weight @ used[:, 1:]),
        np.log10(len(chosen)),
        float(np.median(used[:, 2])),
        float(np.median(used[:, 3])),
    ]
    return np.concatenate([table.ravel(), np.array(summary)])


# ---------------------------------------------------------------------------------------------------- its own strikes


@dataclass(frozen=True, eq=False)
class Strikes:
    """Strikes as the judge hears them, with what was struck; `shape` names the object, `bare` = no augmentation."""

    picture: Float[np.ndarray, "n bands frames"]
    numbers: Float[np.ndarray, "n d"]
    label: Int[np.ndarray, " n"]
    shape: Int[np.ndarray, " n"]
    bare: np.ndarray


HEADS: dict[str, tuple[str, ...]] = {"groups": GROUPS, "photos": PHOTO_MATERIALS}
# What the folders of the photos hold, in named materials (groups where a name is a group's).
_PHOTO_NAMES = {
    "cardboard": ("cardboard", "corrugated"),
    "glass": ("glass",),
    "metal": tuple(n for n, m in MATERIALS.items() if m.group == "metal"),
    "paper": ("paper",),
    "plastic": tuple(n for n, m in MATERIALS.items() if m.group == "plastic"),
}
_MODES = 96
# Far from any world's seeds (worlds use small ones).
_SEED = 7_340_033


def _choose_material(head: str, label: int, rng: np.random.Generator) -> Material:
    """A material of a class: a named one, or one between two of the class, or (groups) a third of the way out of it."""
    name = HEADS[head][label]
    if head == "photos":
        own = [MATERIALS[n] for n in _PHOTO_NAMES[name]]
    else:
        own = [m for m in MATERIALS.values() if m.group == name]
    one = own[rng.integers(len(own))]
    kind = rng.random()
    if kind < 0.35 and len(own) > 1:
        return blend(one, own[rng.integers(len(own))], float(rng.random()))
    if kind > 0.85 and head == "groups":
        names = list(MATERIALS)
        return blend(one, MATERIALS[names[rng.integers(len(names))]], float(rng.uniform(0.0, 0.35)))
    return one


def _jitter(material: Material, rng: np.random.Generator) -> Material:
    """Constants a little off, as a model's guesses are: 10 % in stiffness and density, 20 % in losses and noise."""
    import dataclasses

    def off(value: float, by: float) -> float:
        return float(value * np.exp(by * rng.standard_normal()))

    return dataclasses.replace(
        material,
        youngs_modulus=off(material.youngs_modulus, 0.1),
        density=off(material.density, 0.1),
        loss=off(material.loss, 0.2),
        rest_loss=off(material.rest_loss, 0.2),
        noise=off(material.noise, 0.2),
        noise_seconds=off(material.noise_seconds, 0.1),
    )


def _thin(modal: ModalSound, count: int = 32) -> ModalSound:
    """The lowest `count` lines, pairs merged, all in phase: a strike as a parametric model can say it."""
    import dataclasses

    from ..physics.strike import lines

    f, power, number = lines(modal.frequency, np.abs(modal.amplitude) ** 2)
    decay = np.bincount(number, modal.decay) / np.bincount(number)
    return dataclasses.replace(
        modal, frequency=f[:count], decay=decay[:count], amplitude=np.sqrt(power[:count]).astype(np.complex128)
    )


def strikes(
    head: str, shapes: int, bodies: int, hits: int, cache: Path | None, seed: int = _SEED
) -> Iterator[tuple[Sound, int, int, bool]]:
    """Strikes for a head: (sound, label, shape, bare). Every second one is disturbed as a model's own sound would be.

    `shapes` shapes of all families, of each `bodies` objects (material, size 4 to 80 cm, coating, support, listener at
    random), of each `hits` strikes (vertex, mallet, speed). `cache` keeps the solved modes.
    """
    from ..physics import bank, modes, strike
    from ..physics import shapes as forms

    families = list(forms.FAMILIES.values())
    for number in range(shapes):
        rng = np.random.default_rng([seed, number])
        shape = families[number % len(families)](rng)
        solved = modes.solve(shape, _MODES, cache)
        rng = np.random.default_rng([seed, number, sorted(HEADS).index(head)])
        for b in range(bodies):
            label = int(rng.integers(len(HEADS[head])))
            material = _choose_material(head, label, rng)
            bare = b % 2 == 0
            if not bare:
                material = _jitter(material, rng)
            coating = "none" if head == "photos" or rng.random() < 0.6 else list(COATINGS)[rng.integers(len(COATINGS))]
            away = rng.normal(size=3)
            away[1] = abs(away[1])
            size = float(np.exp(rng.uniform(np.log(0.04), np.log(0.8))))
            body = strike.prepare(
                shape,
                solved,
                material,
                size,
                coating=COATINGS[coating],
                support="hung" if head == "photos" else SUPPORTS[rng.integers(len(SUPPORTS))],
                listener=away / np.linalg.norm(away) * (size + rng.uniform(0.2, 2.0)),
                seed=int(rng.integers(2**31)),
            )
            for _ in range(hits):
                vertex = int(rng.integers(len(shape.vertices)))
                hardness = float(np.exp(rng.uniform(np.log(MALLETS["felt"]), np.log(MALLETS["steel"]))))
                modal = strike.hit(
                    body, vertex, -shape.normals[vertex], hardness=hardness, speed=float(rng.uniform(0.5, 2))
                )
                if not bare:
                    modal = _thin(modal)
                yield bank.render(modal, 1.0, SECONDS, RATE, seed=int(rng.integers(2**31))), label, number, bare


def hear_strikes(head: str, shapes: int, bodies: int, hits: int, cache: Path | None) -> Strikes:
    """The features of `strikes`."""
    heard = [(*features(sound), *rest) for sound, *rest in strikes(head, shapes, bodies, hits, cache)]
    picture, numbers, label, shape, bare = zip(*heard, strict=True)
    return Strikes(np.array(picture), np.array(numbers), np.array(label), np.array(shape), np.array(bare))


# ----------------------------------------------------------------------------------------------------------- the net


def _net(classes: int, numbers: int) -> torch.nn.Module:
    from torch import nn

    class Net(nn.Module):
        """A small conv net over the spectrogram beside an MLP over the numbers; (pictures, numbers) → logits."""

        def __init__(self) -> None:
            super().__init__()
            self.look = nn.Sequential(
                nn.Conv2d(1, 12, (5, 3), (2, 1), (2, 1)),
                nn.ReLU(),
                nn.Conv2d(12, 20, 3, 2, 1),
                nn.ReLU(),
                nn.Conv2d(20, 24, 3, 2, 1),
                nn.ReLU(),
                nn.Flatten(),
                nn.Dropout(0.3),
                nn.Linear(24 * 5 * 5, 48),
            )
            self.count = nn.Sequential(nn.Linear(numbers, 96), nn.ReLU(), nn.Dropout(0.3), nn.Linear(96, 64))
            self.say = nn.Sequential(nn.ReLU(), nn.Dropout(0.3), nn.Linear(112, 64), nn.ReLU(), nn.Linear(64, classes))

        def forward(self, picture: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
            import torch

            return self.say(torch.cat([self.look(picture[:, None]), self.count(number)], -1))

    return Net()


@dataclass(eq=False)
class Judge:
    """Two trained heads. `ceiling` holds the accuracy of each on true sounds of unseen shapes, with interval and n."""

    tensors: dict[str, dict[str, torch.Tensor]]
    scale: dict[str, tuple[np.ndarray, np.ndarray]]
    ceiling: dict[str, Any]
    sha256: str = ""

    def labels(self, head: str) -> tuple[str, ...]:
        return HEADS[head]

    def hear(self, sounds: Sequence[Sound], head: str) -> Float[np.ndarray, "n classes"]:
        """The probability of each label of a head, for each sound."""
        heard = [features(s) for s in sounds]
        if not heard:
            return np.zeros((0, len(HEADS[head])))
        return self.judge(np.array([h[0] for h in heard]), np.array([h[1] for h in heard]), head)

    def judge(self, picture: np.ndarray, numbers: np.ndarray, head: str) -> Float[np.ndarray, "n classes"]:
        import torch

        net = _net(len(HEADS[head]), numbers.shape[1])
        net.load_state_dict(self.tensors[head])
        net.eval()
        mean, std = self.scale[head]
        with torch.inference_mode():
            logits = net(torch.from_numpy(picture), torch.from_numpy(((numbers - mean) / std).astype(np.float32)))
        return logits.softmax(-1).double().numpy()

    def groups(self, sounds: Sequence[Sound]) -> list[str]:
        """The material group heard in each sound."""
        return [GROUPS[k] for k in self.hear(sounds, "groups").argmax(axis=1)]

    def save(self, path: Path) -> None:
        """One safetensors file of half-precision weights; the ceilings are in its metadata."""
        import torch
        from safetensors.torch import save

        flat = {
            f"{head}/{name}": t.half().contiguous() for head, part in self.tensors.items() for name, t in part.items()
        }
        for head, (mean, std) in self.scale.items():
            flat[f"{head}//mean"], flat[f"{head}//std"] = torch.from_numpy(mean), torch.from_numpy(std)
        media.write_bytes(path, save(flat, {"ceiling": json.dumps(self.ceiling)}))

    @classmethod
    def load(cls, path: Path) -> Judge:
        """Raises InputError when the file is missing or is no judge."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            ceiling = json.loads(metadata["ceiling"])
            tensors = {
                head: {
                    n.split("/", 1)[1]: t.float() for n, t in flat.items() if n.startswith(f"{head}/") and "//" not in n
                }
                for head in HEADS
            }
            scale = {head: (flat[f"{head}//mean"].numpy(), flat[f"{head}//std"].numpy()) for head in HEADS}
        except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
            raise InputError(f"{path} is no judge ({error}); make one with runs/judge_knock.sh.") from error
        return cls(tensors, scale, ceiling, hashlib.sha256(Path(path).read_bytes()).hexdigest())


def train_head(
    data: Strikes, classes: int, *, epochs: int = 30, seed: int = 0
) -> tuple[dict[str, torch.Tensor], tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Train one head on four shapes of five; returns its tensors, the scale of the numbers, the rows held out."""
    import torch

    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    held = data.shape % 5 == 4
    mean, std = data.numbers[~held].mean(axis=0), data.numbers[~held].std(axis=0) + 1e-3
    picture = torch.from_numpy(data.picture[~held])
    numbers = torch.from_numpy(((data.numbers[~held] - mean) / std).astype(np.float32))
    label = torch.from_numpy(data.label[~held])
    net = _net(classes, numbers.shape[1])
    batch, n = 64, len(label)
    steps = epochs * (n // batch)
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps + 1)
    net.train()
    for _ in range(epochs):
        order = torch.randperm(n, generator=generator)
        for start in range(0, n - batch + 1, batch):
            k = order[start : start + batch]
            p, x = picture[k], numbers[k]
            # A tilt of the spectrum (another mallet, another listener) and a higher floor of silence are no clues.
            tilt = 0.3 * torch.randn(len(k), 1, 1, generator=generator) * torch.linspace(-1, 1, BANDS)[None, :, None]
            floor = 1.5 - torch.empty(len(k), 1, 1).uniform_(2.2, _FLOOR_DB / 20.0, generator=generator)
            p = torch.maximum(p + tilt, floor) + 0.03 * torch.randn(p.shape, generator=generator)
            x = x + 0.2 * torch.randn(x.shape, generator=generator)
            loss = torch.nn.functional.cross_entropy(net(p, x), label[k], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return {k: v.half().float() for k, v in net.state_dict().items()}, (mean, std), held


def train(cache: Path | None = None, *, shapes: int = 360, seed: int = 0) -> Judge:
    """Train both heads on strikes of their own and measure their ceilings on shapes that they have not heard."""
    judge = Judge({}, {}, {})
    for head, labels in HEADS.items():
        data = hear_strikes(head, shapes, 8 if head == "groups" else 6, 2, cache)
        judge.tensors[head], judge.scale[head], held = train_head(data, len(labels), seed=seed)
        bare = held & data.bare
        told = judge.judge(data.picture[bare], data.numbers[bare], head).argmax(axis=1)
        right = (told == data.label[bare]).astype(float)
        judge.ceiling[head] = {
            **bootstrap(data.shape[bare], lambda i, r=right: float(r[i].mean()), seed=seed).record(),
            "confusion": {
                a: {b: int(((data.label[bare] == i) & (told == j)).sum()) for j, b in enumerate(labels)}
                for i, a in enumerate(labels)
            },
        }
    return judge


def main(path: str, cache: str | None = None) -> None:
    """Train a judge, save it to `path`, and print its ceilings (`cache`: a folder for the solved modes)."""
    judge = train(None if cache is None else Path(cache))
    judge.save(Path(path))
    for head, ceiling in judge.ceiling.items():
        print(
            f"{head}: {ceiling['value']:.3f} [{ceiling['low']:.3f}, {ceiling['high']:.3f}] on true sounds, "
            f"n = {ceiling['n']} strikes of {ceiling['objects']} unseen shapes"
        )
        for truth, told in ceiling["confusion"].items():
            print(f"  {truth:10s}", *(f"{name} {count}" for name, count in told.items() if count))


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
