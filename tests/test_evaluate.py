"""The protocols of `evaluate knock` on models whose quality is known: one that knows the truth, one that is noisy.

The world here is made in code from `physics`, with pictures that are flat colours: what is under test are the
protocols, not anybody's eyes. The truth model recognises an example by the colour of its picture.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synesthesia import shards
from synesthesia.evaluate import baselines, interventions, judge, photos, protocol, report
from synesthesia.evaluate import knock as evaluate_knock
from synesthesia.metrics import bootstrap
from synesthesia.physics import bank, modes, strike
from synesthesia.physics.materials import COATINGS, GROUPS, MATERIALS
from synesthesia.physics.shapes import FAMILIES
from synesthesia.senses import Example, Image, InputError, Sound

RATE = 48_000
COLOURS = {group: k for k, group in enumerate(GROUPS)}
NAMES = dict(zip(GROUPS, ("steel", "glass", "hardwood", "acrylic", "cardboard", "rubber"), strict=True))


@dataclasses.dataclass(frozen=True, eq=False)
class FakePhysics:
    """The fields of the bridge's physics that protocols read, straight from the truth."""

    frequency: np.ndarray
    t60: np.ndarray
    gain: np.ndarray
    wave_speed: np.ndarray
    density: np.ndarray
    loss: np.ndarray
    mass: np.ndarray
    hollow: np.ndarray
    log_f1_mean: np.ndarray
    log_f1_std: np.ndarray
    code: np.ndarray
    code_probs: np.ndarray
    noise: np.ndarray
    prototypes: np.ndarray  # [codes, 4]: loss, then noise

    def with_(
        self,
        mass: float = 1.0,
        stiffness: float = 1.0,
        size: float = 1.0,
        damping: float = 1.0,
        code: int | None = None,
    ) -> FakePhysics:
        loss = 2.2 / (self.frequency * self.t60) * damping
        if code is not None:
            loss = np.full_like(loss, self.prototypes[code, 0])
        f = self.frequency * math.sqrt(stiffness / mass) / size
        noise = self.noise if code is None else np.tile(self.prototypes[code, 1:], (len(self.noise), 1))
        return dataclasses.replace(self, frequency=f, t60=2.2 / (f * loss), noise=noise)


@dataclasses.dataclass(frozen=True, eq=False)
class FakeSeen:
    pooled: np.ndarray
    key: int


class TruthModel:
    """Knows every example by the colour of its picture; `cents` and `deaf` make it worse in known ways."""

    def __init__(self, examples: Sequence[Example], cents: float = 0.0, silent: bool = False) -> None:
        self.items = {_number_of(e.image): baselines.item(e) for e in examples}
        self.cents, self.silent = cents, silent

    def see(self, images: Sequence[Image]) -> list[FakeSeen]:
        out = []
        for image in images:
            k = _number_of(image)
            i = self.items.get(k)
            rng = np.random.default_rng(k)
            pooled = rng.normal(size=12) * 0.1
            pooled[COLOURS[i.group] if i else 0] += 1.0
            out.append(FakeSeen(pooled, k))
        return out

    def think(
        self, seen: list[FakeSeen], points: Any, *, size_m: Any = None, wall_m: Any = None, support: Any = None
    ) -> FakePhysics:
        assert len(points) == len(seen)
        items = [self.items.get(s.key, next(iter(self.items.values()))) for s in seen]
        n = min(len(i.frequency) for i in self.items.values())
        code = np.array([COLOURS[i.group] for i in items])
        f = np.array([i.frequency[:n] for i in items])
        if size_m is None:
            shift = np.random.default_rng(1).normal(size=len(items)) * self.cents
            f = f * 2.0 ** (shift / 1200)[:, None]
        loss = np.array([2.2 / (i.frequency[:n] * i.t60[:n]) for i in items])
        materials = [MATERIALS[NAMES[g]] for g in GROUPS]
        return FakePhysics(
            frequency=f,
            t60=2.2 / (f * loss),
            gain=np.array([i.gain[:n] for i in items]) * (0.0 if self.silent else 1.0),
            wave_speed=np.array([i.wave_speed for i in items]),
            density=np.ones(len(items)),
            loss=np.array([i.loss for i in items]),
            mass=np.array([i.mass for i in items]),
            hollow=np.array([0.9 if i.hollow else 0.2 for i in items]),
            log_f1_mean=np.log(f[:, 0]),
            log_f1_std=np.full(len(items), max(self.cents, 1.0) / 1200 * math.log(2)),
            code=code,
            code_probs=np.eye(16)[code],
            noise=np.array([[0.1, 0.01, 2000.0] for _ in items]),
            prototypes=np.array(
                [[m.loss, 0.1, m.noise_seconds, m.noise_hz] for m in materials] + [[0.01, 0.1, 0.01, 2e3]] * 10
            ),
        )

    def sound(
        self, physics: FakePhysics, force: float, hardness: float, speed: float, seconds: float, rate: int, seed: int
    ) -> list[Sound]:
        out = []
        for f, t, g, noise in zip(physics.frequency, physics.t60, physics.gain, physics.noise, strict=True):
            amplitude = g.astype(np.complex128)
            level = (0.3 * noise[0] * float(np.abs(g).sum()), float(noise[1]), float(noise[2]))
            modal = strike.ModalSound(f, math.log(1000) / t, amplitude, level, 1e-4)
            out.append(bank.render(modal, force, seconds, rate, seed))
        return out

    def hear_code(self, sounds: Sequence[Sound]) -> np.ndarray:
        known = {hash(np.asarray(i.sound.samples).tobytes()): COLOURS[i.group] for i in self.items.values()}
        return np.eye(16)[[known.get(hash(np.asarray(s.samples).tobytes()), 15) for s in sounds]]


class HonestEar:
    """A judge that knows the true sounds by heart and calls everything else by its decay: enough to test protocols."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.sha256 = "test"
        self.ceiling = {"photos": {"value": 1.0}}
        self.known = [(judge.features(e.sounds[0])[0], str(e.truth["group"])) for e in examples]

    def labels(self, head: str) -> tuple[str, ...]:
        return judge.HEADS[head]

    def groups(self, sounds: Sequence[Sound]) -> list[str]:
        heard = [judge.features(s)[0] for s in sounds]
        return [min(self.known, key=lambda k, h=h: float(np.abs(k[0] - h).mean()))[1] for h in heard]

    def hear(self, sounds: Sequence[Sound], head: str) -> np.ndarray:
        return np.tile(np.eye(len(judge.HEADS[head]))[1], (len(sounds), 1))


def _number_of(image: Image) -> int:
    return int(
        np.round(np.asarray(image.pixels)[..., 0].mean() / 8) * 32
        + np.round(np.asarray(image.pixels)[..., 1].mean() / 8)
    )


def make_example(number: int, split: str, group: str, family: str, coating: str = "none") -> Example:
    """An example as the world writes it: a flat picture, the truth, arrays of six strikes, the first one's sound."""
    rng = np.random.default_rng([9, number])
    shape = FAMILIES[family](rng)
    solved = modes.solve(shape, 24)
    material = MATERIALS[NAMES[group]]
    size = float(np.exp(rng.uniform(np.log(0.08), np.log(0.4))))
    support = "hung" if number % 2 else "resting"
    body = strike.prepare(shape, solved, material, size, coating=COATINGS[coating], support=support, seed=number)
    vertices = rng.integers(0, len(shape.vertices), 6)
    gain = np.array([body.gain(np.array(int(v)), -shape.normals[v]) for v in vertices])
    frequency, power, line = strike.lines(body.frequency, np.abs(gain) ** 2)
    t60 = np.bincount(line, body.t60) / np.bincount(line)
    modal = strike.ModalSound(
        frequency, math.log(1000) / t60, np.sqrt(power[0]).astype(np.complex128), body.noise(1e-4), 1e-4
    )
    sound = bank.render(modal, 5.0, 1.0, RATE, number)
    level = float(np.abs(sound.samples).max())
    pixels = np.zeros((24, 24, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = number // 32 * 8, number % 32 * 8
    truth: dict[str, object] = {
        "split": split, "family": family, "shape_key": shape.key, "material": NAMES[group], "group": group,
        "coating": coating, "support": support, "size": size, "wall": shape.wall * size, "hollow": shape.hollow,
        "mass": body.mass, "wave_speed": material.wave_speed, "loss": material.loss, "f1": float(body.frequency.min()),
        "hits": [{"point": 0, "force": 5.0, "hardness": 1e10, "speed": 1.0, "scale": level}],
        "evidence": {"scale_cue": bool(number % 3 == 0), "wall_visible": True},
    }  # fmt: skip
    arrays = {
        "frequency": frequency.astype(np.float32),
        "t60": t60.astype(np.float32),
        "gain": np.sqrt(power).astype(np.float32),
        "strike_xy": np.full((6, 2), 0.5, np.float32),
        "contact_seconds": np.full(6, 2e-4, np.float32),
    }
    return Example(f"{split}{number:04d}", Image(pixels), (Sound(sound.samples / level, RATE),), truth, arrays)


KINDS = ("bowl", "pipe")


@pytest.fixture(scope="module")
def world() -> dict[str, list[Example]]:
    """Six groups × two families of training objects, as many unseen, and coated ones."""
    pairs = [(g, f) for g in GROUPS for f in KINDS]
    train = [make_example(k, "train", g, f) for k, (g, f) in enumerate(pairs)]
    objects = [make_example(100 + k, "objects", g, f) for k, (g, f) in enumerate(pairs)]
    coated = [make_example(200 + k, "combinations", g, "bowl", "fur") for k, g in enumerate(GROUPS[:4] * 2)]
    return {"train": train, "objects": objects, "combinations": coated}


@pytest.fixture
def run(world, tmp_path, monkeypatch):
    """Evaluate a model on the world without writing shards; returns the report."""

    def go(splits: tuple[str, ...] = ("train", "objects"), **settings: Any) -> dict[str, Any]:
        every = [e for split in splits for e in world[split]]
        monkeypatch.setattr(shards, "examples", lambda folder, only=None: iter(every))
        ear = HonestEar(every)
        model = TruthModel(every, **settings)
        return evaluate_knock.evaluate(model, Path("w"), None, Path("t"), ear, tmp_path / "out", seed=3)

    return go


def lines(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {x["name"]: x for x in result["table"]}


# ------------------------------------------------------------------------------------------------------- the whole


def test_the_truth_meets_every_aim(run, tmp_path) -> None:
    result = run(("train", "objects", "combinations"))
    table = lines(result)
    for name in ("f1_given", "f1_photo", "ratios"):
        assert table[name]["value"] == pytest.approx(0.0, abs=0.01)
    assert table["f1_photo"]["met"] == {"floor": True, "aim": True}
    assert table["decay"]["value"] == pytest.approx(0.0, abs=1e-3)
    assert table["mode_distance"]["value"] < 0.3  # the model says fewer lines than there are
    assert table["mode_distance"]["met"]["floor"] is True
    assert table["interventions"]["value"] == 1.0
    assert table["interventions"]["n"] > 10
    assert table["interventions_fields"]["value"] == 1.0
    assert table["coatings"]["value"] == 1.0
    assert table["coatings"]["n"] >= 5
    assert table["tokens"]["value"] == pytest.approx(1.0)
    assert table["kappa"]["value"] == pytest.approx(1.0)
    # Six groups give six codes: agreement alone is not enough where eight must be in use.
    assert table["kappa"]["met"] == {"floor": False, "aim": False}
    assert table["by_ear"]["value"] > 0.8
    assert table["shuffled"]["value"] > 2
    # The rows that need no model are there for every split.
    for split in ("objects", "combinations"):
        assert set(result["splits"][split]) == set(protocol.ROWS)
        truth = result["splits"][split]["truth"]
        assert truth["lsd"]["value"] == truth["mode_distance"]["value"] == truth["f1"]["value"] == 0.0
        assert truth["right"]["value"] == 1.0
        assert "mode_distance" not in result["splits"][split]["silence"]
        assert result["splits"][split]["silence"]["lsd"]["value"] > 0
    stored = json.loads((tmp_path / "out" / "report.json").read_text())
    assert lines(stored)["by_ear"]["value"] == table["by_ear"]["value"]
    page = (tmp_path / "out" / "page.html").read_text()
    assert page.count("<audio") >= 16
    assert "data:image/jpeg;base64," in page
    assert "http" not in page.replace("https://", "http://")


def test_a_pitch_error_of_known_size_is_reported_as_that_size(run) -> None:
    result = run(cents=200.0)
    table = lines(result)
    # The median of |N(0, 200)| is 0.6745 · 200; twelve draws leave it wide.
    assert 60 < table["f1_photo"]["value"] < 240
    assert table["f1_photo"]["low"] <= table["f1_photo"]["value"] <= table["f1_photo"]["high"]
    assert table["f1_given"]["value"] == pytest.approx(0.0, abs=0.01)
    assert table["ratios"]["value"] == pytest.approx(0.0, abs=0.01)
    assert 0.5 < table["coverage"]["value"] <= 1.0
    assert table["mode_distance"]["value"] > 0.05
    assert table["mode_distance_aligned"]["value"] == pytest.approx(table["mode_distance"]["value"] - 0.1, abs=0.15)


def test_a_silent_model_is_not_rewarded(run) -> None:
    table = lines(run(silent=True))
    assert table["mode_distance"]["value"] is None
    assert table["mode_distance"]["met"] == {"floor": None, "aim": None}
    assert table["interventions"]["met"]["floor"] is None
    assert table["by_ear"]["value"] < 0.5


def test_a_world_without_unseen_objects_is_refused(world, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shards, "examples", lambda folder, only=None: iter(world["train"]))
    with pytest.raises(InputError, match="objects"):
        evaluate_knock.evaluate(TruthModel(world["train"]), Path("w"), None, Path("t"), HonestEar([]), tmp_path)


def test_sounds_come_back_at_their_level(world) -> None:
    e = world["objects"][0]
    level = e.truth["hits"][0]["scale"]
    assert np.abs(e.sounds[0].samples).max() == pytest.approx(1.0)
    assert np.abs(baselines.item(e).sound.samples).max() == pytest.approx(level)


def test_an_example_without_truth_is_refused(world) -> None:
    e = world["train"][0]
    with pytest.raises(InputError, match="lacks 'family'"):
        baselines.item(dataclasses.replace(e, truth={k: v for k, v in e.truth.items() if k != "family"}))


# --------------------------------------------------------------------------------------------------------- baselines


@pytest.fixture(scope="module")
def known(world) -> baselines.Bank:
    model = TruthModel(world["train"])
    items = [baselines.item(e) for e in world["train"]]
    return baselines.Bank(items, protocol.pooled(model.see([e.image for e in world["train"]])))


def test_the_group_medoid_is_a_real_strike_of_that_group(known) -> None:
    for group in GROUPS:
        assert known.group_medoid(group).group == group
        assert known.group_medoid(group) in known.items


def test_knn_takes_neighbours_from_different_objects(known) -> None:
    near = known.nearest(known.pooled[4])
    assert near.group == known.items[4].group  # features cluster by group here


def test_the_cascade_answers_with_a_sound_of_its_caption(known) -> None:
    for k, caption in enumerate(known.captions(known.pooled)):
        assert set(caption) == {"size", "support", "coating", "hollow", "family", "material"}
        assert caption["material"] == known.items[k].material
        assert known.cascade(caption).material == caption["material"]


def test_a_caption_that_fits_nothing_loses_words_until_it_fits(known) -> None:
    caption = known.words(known.items[0]) | {"size": "enormous", "support": "glued"}
    assert known.cascade(caption).material == known.items[0].material
    assert known.cascade(caption | {"material": "unobtainium"}) in known.items


def test_a_medoid_is_struck_with_the_force_that_is_given(known) -> None:
    one = known.items[0]
    assert baselines.answer(one, 2 * one.force).sound.samples == pytest.approx(2 * one.sound.samples)
    assert baselines.answer(one, one.force).sound is one.sound


def test_blends_are_called_by_their_nearer_end(known) -> None:
    one = dataclasses.replace(known.items[0], material="glass~steel:0.30")
    assert one.material_word == "glass"
    assert dataclasses.replace(one, material="glass~steel:0.70").material_word == "steel"


def test_the_oracle_knows_all_with_a_cue_and_misses_by_the_size_without(known) -> None:
    one = known.items[0]
    with_cue = dataclasses.replace(one, scale_cue=True)
    assert known.oracle(with_cue).frequency == pytest.approx(one.frequency)
    assert known.oracle(with_cue).sound is one.sound
    blind = dataclasses.replace(one, scale_cue=False)
    expected, _ = known.expected(("family",), one)
    ratio = one.size / math.exp(expected)
    assert known.oracle(blind).frequency == pytest.approx(one.frequency * ratio)
    assert known.oracle(blind).sound.samples.shape == one.sound.samples.shape


def test_a_shuffle_never_answers_with_the_same_object() -> None:
    shapes = ["a", "a", "b", "c", "c", "c", "d"]
    order = baselines.derangement(shapes, 0)
    assert all(shapes[k] != shapes[int(order[k])] for k in range(len(shapes)))


def test_kernel_ridge_separates_what_is_separable() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-2, 1, (60, 4)), rng.normal(2, 1, (60, 4))])
    names = ["left"] * 60 + ["right"] * 60
    probe = baselines.KernelRidge.fit(x, names)
    assert probe.predict(np.array([[-2.0] * 4, [2.0] * 4])) == ["left", "right"]


# ----------------------------------------------------------------------------------------------------- interventions


@pytest.mark.parametrize("hz", [123.4, 997.0, 7012.3])
def test_the_pitch_of_a_damped_line_is_read_within_a_cent(hz: float) -> None:
    t = np.arange(RATE) / RATE
    wave = np.exp(-5 * t) * np.sin(2 * np.pi * hz * t)
    assert abs(1200 * math.log2(interventions.peak_near(wave, RATE, hz * 1.01) / hz)) < 1.0
    assert math.isnan(interventions.peak_near(wave, RATE, 3 * hz)) or hz > 5000


def test_the_decay_of_a_line_is_read_within_two_per_cent() -> None:
    t = np.arange(RATE) / RATE
    for t60 in (0.3, 1.2):
        wave = np.exp(-math.log(1000) / t60 * t) * np.sin(2 * np.pi * 1500 * t)
        assert interventions.decay_near(wave, RATE, 1500.0) == pytest.approx(t60, rel=0.02)


def test_an_intervention_that_does_nothing_fails(world) -> None:
    every = world["objects"]

    class Stubborn(TruthModel):
        def sound(self, physics, *args, **kwargs):  # plays the same whatever the tokens say
            return super().sound(dataclasses.replace(physics, frequency=self.first, t60=self.times), *args, **kwargs)

        def think(self, *args, **kwargs):
            p = super().think(*args, **kwargs)
            self.first, self.times = p.frequency, p.t60
            return p

    model = Stubborn(every)
    items = [baselines.item(e) for e in every]
    seen = model.see([e.image for e in every])
    physics = model.think(seen, np.full((len(items), 2), 0.5))
    # One batch, so that the stubborn sounds line up with the clicks.
    assert len(items) <= protocol.BATCH
    heard = protocol.Heard(items, [], seen, protocol.pooled(seen), physics, [])
    found, _ = interventions.intervention_lines(model, heard, 0)
    assert found[0]["value"] < 0.2  # in the waveform, where another line may lie by chance
    assert found[1]["value"] == 1.0  # in the modes


# ------------------------------------------------------------------------------------------------------------ photos


def test_photos_are_split_by_blocks_and_judged(tmp_path, world) -> None:
    from PIL import Image as Pil

    rng = np.random.default_rng(0)
    for k, material in enumerate(judge.PHOTO_MATERIALS):
        (tmp_path / material).mkdir()
        for number in (1, 15, 21, 40, 45, 101, 119):
            pixels = rng.integers(0, 60, (40, 48, 3)) + np.array([40 * k, 200 - 40 * k, 90])
            Pil.fromarray(pixels.astype(np.uint8)).save(tmp_path / material / f"{material}{number}.jpg")
    found = photos.find(tmp_path)
    assert sorted({int(p.path.stem[len(p.material) :]) for p in found if p.held_out}) == [1, 15, 101, 119]
    result, beside = photos.photo_lines(TruthModel(world["train"]), tmp_path, HonestEar([]), 0, "simulation", None)
    # The stub judge always says "glass": a fifth is right.
    assert result["value"] == pytest.approx(0.2)
    assert result["met"] == {"floor": False, "aim": False}
    assert (result["n"], result["objects"]) == (20, 10)
    assert beside["hand_features"]["value"] > 0.4  # fifteen photos to learn from, one colour to each
    (tmp_path / "glass" / "nameless.jpg").write_bytes((tmp_path / "glass" / "glass1.jpg").read_bytes())
    with pytest.raises(InputError, match="no number"):
        photos.find(tmp_path)


def test_a_missing_material_folder_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match="cardboard"):
        photos.find(tmp_path)


# ------------------------------------------------------------------------------------------------------------- judge


def decaying(loss: float, gain: float = 0.1, delay: int = 0, f1: float = 500.0) -> Sound:
    t = np.arange(RATE) / RATE
    wave = sum(np.exp(-math.pi * f * loss * t) * np.sin(2 * np.pi * f * t) for f in f1 * np.array([1, 2.76, 5.4]))
    return Sound(gain * np.concatenate([np.zeros(delay), np.asarray(wave)])[None, :RATE], RATE)


@pytest.mark.parametrize("loss", [3e-4, 3e-3, 3e-2])
def test_the_judge_hears_the_loss_factor_of_a_line(loss: float) -> None:
    _, numbers = judge.features(decaying(loss))
    by_decay = 10 ** (numbers[2] - 2.0)
    if loss < 1e-2:
        assert by_decay == pytest.approx(loss, rel=0.15)
    else:  # short decays are read from the width of the line
        assert 10 ** (numbers[3] - 2.0) == pytest.approx(loss, rel=0.15)


def test_the_judge_hears_neither_level_nor_delay() -> None:
    a, b = judge.features(decaying(2e-3)), judge.features(decaying(2e-3, gain=1e-3))
    assert a[0] == pytest.approx(b[0], abs=1e-3)
    assert a[1] == pytest.approx(b[1], abs=1e-3)
    later = judge.features(decaying(2e-3, delay=2000))
    assert np.abs(a[0] - later[0]).mean() < 0.05


def test_the_judge_survives_silence_clicks_and_short_sounds() -> None:
    for samples in (np.zeros(RATE), np.eye(1, RATE)[0], np.ones(10) * 1e-9):
        picture, numbers = judge.features(Sound(samples[None], RATE))
        assert np.isfinite(picture).all()
        assert np.isfinite(numbers).all()


def test_a_judge_learns_and_is_the_same_after_saving(tmp_path) -> None:
    heard = [judge.features(decaying(loss, f1=f1)) for loss in (4e-4, 2e-2) for f1 in np.geomspace(150, 2000, 40)]
    n = len(heard)
    data = judge.Strikes(
        np.array([h[0] for h in heard]),
        np.array([h[1] for h in heard]),
        np.repeat([0, 1], n // 2),
        np.arange(n),
        np.ones(n, bool),
    )
    trained = {head: judge.train_head(data, len(labels), epochs=25) for head, labels in judge.HEADS.items()}
    ear = judge.Judge({h: t[0] for h, t in trained.items()}, {h: t[1] for h, t in trained.items()}, {"groups": 1})
    sounds = [decaying(4e-4, f1=333.0), decaying(2e-2, f1=333.0)]
    assert ear.groups(sounds) == [GROUPS[0], GROUPS[1]]
    ear.save(tmp_path / "judge.safetensors")
    assert (tmp_path / "judge.safetensors").stat().st_size < 300_000
    again = judge.Judge.load(tmp_path / "judge.safetensors")
    assert again.ceiling == {"groups": 1}
    assert len(again.sha256) == 64
    assert again.hear(sounds, "photos") == pytest.approx(ear.hear(sounds, "photos"), abs=1e-6)
    assert ear.hear([], "groups").shape == (0, 6)


def test_what_is_no_judge_is_refused(tmp_path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"no")
    for path in (tmp_path / "x.safetensors", tmp_path / "missing.safetensors"):
        with pytest.raises(InputError, match="no judge"):
            judge.Judge.load(path)


def test_strikes_are_repeatable_and_half_of_them_bare() -> None:
    first = list(judge.strikes("photos", 1, 2, 1, None))
    again = list(judge.strikes("photos", 1, 2, 1, None))
    assert [(label, shape, bare) for _, label, shape, bare in first] == [(r[1], r[2], r[3]) for r in again]
    assert [bare for *_, bare in first] == [True, False]
    assert np.array_equal(first[0][0].samples, again[0][0].samples)


# ------------------------------------------------------------------------------------------------------------ report


def test_reports_hold_no_nan_and_escape_what_they_print(tmp_path) -> None:
    nothing = bootstrap(np.array([]), lambda i: 0.0)
    result = {
        "row": "<script>",
        "protocol": {
            "interval": "95 %", "resamples": 1000, "seed": 0, "seconds": 1.0, "rate": RATE, "pictures_train": 0,
            "pictures": {"objects": 1}, "objects": {"objects": 1},
        },
        "judge": {},
        "table": [protocol.line("decay", nothing, True, True)],
        "splits": {},
        "value": float("nan"),
    }  # fmt: skip
    report.write(tmp_path, result, [], [])
    stored = json.loads((tmp_path / "report.json").read_text())
    assert stored["value"] is None
    assert stored["table"][0]["met"] == {"floor": None, "aim": None}
    assert "<script>" not in (tmp_path / "page.html").read_text()
