"""Training: the loop resumes exactly, batches keep pictures and truth together, the losses mean what they say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from synesthesia.bridges.knock import ANCHORS, LINES, Knock, KnockConfig
from synesthesia.encoders.vision import EyesConfig
from synesthesia.train import codebook, knock, knock_data, straight
from synesthesia.train.loop import LoopConfig, fit


def _noisy_regression(model: nn.Linear):
    def loss(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        x = torch.randn(8, 3, generator=g)
        return {"square": (model(x) - x.sum(1, keepdim=True)).square().mean()}

    return loss


def test_a_killed_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    config = LoopConfig(steps=40, lr=0.05, warmup=3, checkpoint_every=10)
    torch.manual_seed(0)
    whole = nn.Linear(3, 1)
    start = {k: v.clone() for k, v in whole.state_dict().items()}
    fit(whole, _noisy_regression(whole), config, tmp_path / "whole")

    killed = nn.Linear(3, 1)
    killed.load_state_dict(start)
    inner = _noisy_regression(killed)

    def dies(step: int, g: torch.Generator) -> dict[str, torch.Tensor]:
        if step == 27:
            raise KeyboardInterrupt
        return inner(step, g)

    with pytest.raises(KeyboardInterrupt):
        fit(killed, dies, config, tmp_path / "killed")
    resumed = nn.Linear(3, 1)
    fit(resumed, _noisy_regression(resumed), config, tmp_path / "killed")
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_training_learns(tmp_path: Path) -> None:
    model = nn.Linear(3, 1)
    fit(model, _noisy_regression(model), LoopConfig(steps=300, lr=0.05, warmup=3), tmp_path)
    torch.testing.assert_close(model.weight, torch.ones(1, 3), atol=0.02, rtol=0)


def _world(n: int = 6, side: int = 40) -> knock_data.World:
    """Pictures whose pixels have the colour (x, y, ½) of their place; strikes lie along a line, normals along it."""
    rng = np.random.default_rng(0)
    ys, xs = (np.mgrid[0:side, 0:side] + 0.5) / side
    picture = np.stack([255 * xs, 255 * ys, np.full_like(xs, 128)], -1).astype(np.uint8)
    small = picture[2::4, 2::4].astype(np.float16) / 255
    maps = np.ones((n, side // 4, side // 4, 6), np.float16)
    maps[..., 4] = small[..., 0]
    angle = rng.uniform(0, 2 * np.pi, n)
    along = np.stack([np.cos(angle), -np.sin(angle)], -1)[:, None]  # y points down in a picture
    place = (0.5 + np.linspace(-0.2, 0.2, 6)[None, :, None] * along).astype(np.float32)
    normal = np.stack([np.cos(angle), np.sin(angle), np.zeros(n)], -1)[:, None].repeat(6, 1).astype(np.float32)
    lines = np.zeros((n, LINES), np.float32)
    return knock_data.World(
        np.repeat(picture[None], n, 0), maps, np.zeros((n, 9), np.float32), np.zeros((n, 4), np.float32),
        np.zeros(n, int), lines, lines, lines, lines, place, normal, np.zeros((n, 6, LINES), np.float32),
        np.array(["a"] * n), np.zeros(n, int), np.zeros(n, int),
        np.zeros((n, knock_data.PROPORTIONS), np.float32), ({},) * n,
    )  # fmt: skip


def test_a_moved_picture_takes_its_truth_along() -> None:
    world = _world()
    for seed in range(12):
        b = knock_data.batch(world, np.random.default_rng(seed), 6, 3, 40)
        at = torch.nn.functional.grid_sample(
            b["x"][b["owner"]], 2 * b["click"][:, None, None] - 1, align_corners=False
        )[:, :2, 0, 0]
        inner = ((b["click"] > 0.1) & (b["click"] < 0.9)).all(1)
        home = torch.tensor(np.array([world.place[r] for r in b["row"]]))
        near = (home - at[:, None]).abs().amax(-1).amin(1)
        assert near[inner].max() < 0.04  # the colour under the click is the place of one of the strikes
        told = torch.nn.functional.grid_sample(
            b["maps"][b["owner"]], 2 * b["click"][:, None, None] - 1, align_corners=False
        )[:, 4, 0, 0]
        assert (told - at[:, 0]).abs()[inner].max() < 0.08  # and the maps moved with the picture
        for k in set(b["owner"]):  # strikes and normals lay along one line, and still do
            mine = np.flatnonzero(b["owner"] == k)
            if len(mine) > 1:
                step = (b["click"][mine[1]] - b["click"][mine[0]]).numpy() * [1, -1]
                normal = b["normal"][mine[0]].numpy()
                assert abs(np.dot(step, normal[:2])) / np.linalg.norm(step) > 0.999
                assert np.linalg.norm(normal) == pytest.approx(1, abs=1e-5)
                order = (home[mine[0]] - at[mine[:2], None]).abs().sum(-1).argmin(1)
                assert np.sign(np.dot(step, normal[:2])) == np.sign(float(order[1] - order[0]))


def test_eyes_normalise_as_they_will_when_nobody_trains_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Knock(KnockConfig(EyesConfig(40, (8, 16, 24, 32), (1, 1, 1, 1)), width=48, heads=4, layers=1))
    run = knock.KnockRun(pictures=4, size=40, small=40)
    states = [{k: v.clone() for k, v in model.eyes.state_dict().items()}]
    for stage in ("first", "second"):  # eyes that have met nothing have nothing else to normalise by than the batch
        knock.adapt(model, knock.Helpers(model.config), _world(), tmp_path / stage, run, 2, 1e-3)
        states.append({k: v.clone() for k, v in model.eyes.state_dict().items()})
    new, once, twice = states
    assert not torch.equal(once["stem.1.running_mean"], new["stem.1.running_mean"])
    assert torch.equal(twice["stem.1.running_mean"], once["stem.1.running_mean"])
    assert not torch.equal(twice["stem.0.weight"], once["stem.0.weight"])


def test_read_outs_learn_before_they_teach(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Knock(KnockConfig(EyesConfig(40, (8, 16, 24, 32), (1, 1, 1, 1)), width=48, heads=4, layers=1))
    run = knock.KnockRun(pictures=4, size=40, small=40)
    knock.adapt(model, knock.Helpers(model.config), _world(), tmp_path / "first", run, 2, 1e-3)  # eyes settle
    helpers = knock.Helpers(model.config)
    before, ignorant = ({k: v.clone() for k, v in part.state_dict().items()} for part in (model, helpers))
    knock.adapt(model, helpers, _world(), tmp_path / "read-outs", run, 3, 1e-2, readouts=True)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not torch.equal(helpers.geometry.weight, ignorant["geometry.weight"])
    assert all(p.requires_grad for p in model.parameters())


def test_an_object_before_another_picture_keeps_its_own_pixels() -> None:
    x = torch.stack([torch.full((3, 8, 8), v) for v in (0.2, 0.8)])
    maps = torch.zeros(2, 6, 8, 8)
    maps[:, 3, :, :4] = 1
    maps[1, 5, :, [1, 7]] = 1  # what the other has beside its object comes along, mirrored and behind
    mixed, told = knock_data._before_another(x, maps, np.array([False, True]))
    assert mixed[0, 0, 4, 0] == pytest.approx(0.2)
    assert mixed[0, 0, 4, 7] == pytest.approx(0.8)
    assert torch.equal(mixed[1], x[1])
    assert torch.equal(told[:, 3], maps[:, 3])
    assert told[0, 5, 0].nonzero().flatten().tolist() == [6]


def test_interpolation_is_linear_in_log_frequency() -> None:
    values = torch.linspace(0, 8, len(ANCHORS))[None]
    middle = torch.tensor(np.log(np.sqrt(ANCHORS[:-1] * ANCHORS[1:])), dtype=torch.float32)[None]
    torch.testing.assert_close(knock.interpolate(values, middle)[0], torch.arange(8) + 0.5, atol=1e-4, rtol=0)
    ends = torch.tensor([[1.0, 12.0]])
    torch.testing.assert_close(knock.interpolate(values, ends), torch.tensor([[0.0, 8.0]]), atol=1e-3, rtol=0)


def test_a_coat_that_is_not_told_yet_is_learned() -> None:
    """A layer loses thousands of times what is told at first; of the whole loss alone it would hardly be learned."""
    log_f = torch.log(torch.tensor([[200.0, 1000.0, 5000.0]]))
    truth, bare = torch.full((1, 3), np.log(0.07)), torch.full((1, 3), np.log(0.005))
    steps = {}
    for name in ("extra", "whole"):
        told = torch.full((1, len(ANCHORS)), -9.0, requires_grad=True)
        if name == "extra":
            loss = knock.extra_loss(told, log_f, truth, torch.ones(1, 3))
        else:
            loss = knock.decay_loss(told, log_f, bare, torch.logaddexp(bare, truth), torch.ones(1, 3))
        loss.backward()
        assert told.grad is not None
        steps[name] = float(told.grad.sum())
    assert steps["extra"] < 8 * steps["whole"] < 0  # both want more of it
    right = torch.full((1, len(ANCHORS)), float(np.log(0.07)))
    assert knock.extra_loss(right, log_f, truth, torch.ones(1, 3)) < 1e-5
    unheard = torch.full((1, 3), float(np.log(2e-5)))
    assert knock.extra_loss(torch.full((1, len(ANCHORS)), -9.0), log_f, unheard, torch.ones(1, 3)) < 0.5


def test_mixture_loss_prefers_the_right_component() -> None:
    means = torch.zeros(1, 3, 7)
    means[0, 1] = 1.0
    truth = torch.ones(1, 7)
    sure = {"means": means, "kind": torch.tensor([[0.0, 5.0, 0.0]])}
    wrong = {"means": means, "kind": torch.tensor([[5.0, 0.0, 0.0]])}
    assert knock.mixture_loss(sure, truth) < 0.1 < knock.mixture_loss(wrong, truth)


def test_sinkhorn_balances() -> None:
    q = codebook.sinkhorn(torch.randn(400, 16, generator=torch.Generator().manual_seed(0)) * 0.1, rounds=20)
    torch.testing.assert_close(q.sum(1), torch.ones(400))
    torch.testing.assert_close(q.sum(0), torch.full((16,), 25.0), rtol=0.02, atol=0)


def test_what_is_read_straight_is_as_likely_as_it_was() -> None:
    """Shares that are the softmax of a line are found again, in whatever units the features come."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 5, generator=g) * torch.tensor([1.0, 10.0, 0.1, 1.0, 3.0]) + 2
    truth = torch.randn(3, 5, generator=g) / torch.tensor([1.0, 10.0, 0.1, 1.0, 3.0])
    level = torch.tensor([0.5, 0.0, -0.5]) - truth @ torch.full((5,), 2.0)
    y = torch.softmax(x @ truth.T + level, -1)
    weight = torch.full((4000,), 1 / 4000)
    slope, found = straight.regression(x, y, weight, ridge=1e-6)
    torch.testing.assert_close(torch.softmax(x @ slope.T + found, -1), y, atol=0.01, rtol=0)
    # What weighs nothing teaches nothing.
    other = torch.cat([y[:2000], y[2000:].roll(1, 1)])
    half = torch.cat([weight[:2000] * 2, torch.zeros(2000)])
    slope, found = straight.regression(x, other, half, ridge=1e-6)
    torch.testing.assert_close(torch.softmax(x @ slope.T + found, -1), y, atol=0.01, rtol=0)


def test_what_photos_show_is_bare() -> None:
    """A world in which half of the things have a coat; photos that look like those that have."""
    torch.manual_seed(0)
    model = Knock(KnockConfig(EyesConfig(40, (8, 16, 24, 32), (1, 1, 1, 1)), width=48, heads=4, layers=1)).eval()
    world = _world()
    coated = np.arange(len(world)) % 2
    world = dataclasses.replace(world, coat=coated)
    photos = knock_data.Photos(world.pictures[coated == 1], np.zeros((coated == 1).sum(), int), ("glass",))
    shown = knock_data.show(photos, np.random.default_rng(1), 32, 40)
    with torch.no_grad():
        seen = straight._seen(model, model.eyes(shown.x), shown.click)

    @torch.no_grad()
    def bare(*more: object) -> float:
        straight.straighten(model, world, 40, 0, *more)  # type: ignore[arg-type]
        return float(model.thinker.coats.which(seen).softmax(-1)[:, 0].mean())

    assert bare(photos, [np.arange(len(world))]) > bare() + 0.02


def test_centres_find_clusters() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 5, (4, 7))
    found = knock.centres((truth[rng.integers(4, size=400)] + rng.normal(0, 0.1, (400, 7))).astype(np.float32), 4)
    assert np.abs(truth[:, None] - found[None]).max(-1).min(1).max() < 0.1


def test_blocks_of_file_numbers_are_held_out_together() -> None:
    held = [n for n in range(400) if knock_data.held_out(Path(f"glass{n}.jpg"))]
    assert held == [*range(20), *range(100, 120), *range(200, 220), *range(300, 320)]


def test_what_a_shape_was_drawn_with_is_told_within_its_sort() -> None:
    truths = [{"params": {"height": h, "wall": 0.1}} for h in (1.0, 3.0)] + [{"params": {"r0": 2.0}}]
    told = knock_data.proportions(truths, np.array([0, 0, 1]))
    np.testing.assert_allclose(told[:2, :2], [[-1, 0], [1, 0]], atol=2e-3)
    assert np.isnan(told[:2, 2:]).all()
    assert told[2, 0] == 0
    mixed = knock_data.proportions([{"params": {"a": 1.0}}, {"params": {"b": 1.0}}], np.array([0, 0]))
    assert np.isnan(mixed).all()


def test_dense_losses_vanish_for_the_truth_and_not_for_another() -> None:
    truth = torch.zeros(1, 6, 8, 8)
    truth[:, 2], truth[:, 3], truth[:, 4] = 1.0, 1.0, 0.2
    kind = torch.zeros(1, knock.KINDS)
    kind[0, 3] = 1.0
    helpers = knock.Helpers(knock.KnockConfig())
    for p in helpers.parameters():
        nn.init.zeros_(p)
    with torch.no_grad():
        for head in (helpers.geometry, helpers.geometry16):
            head.bias.copy_(torch.tensor([0, 0, 5.0, 20.0, 0.2, -20.0]))
        for head in (helpers.matter, helpers.matter32):
            head.bias[3] = 20.0
    w = knock.KnockConfig().eyes.widths
    maps = [torch.zeros(1, w[k], 8, 8) for k in (1, 2, 3)]
    assert sum(helpers.dense_loss(maps, truth, kind).values()) < 1e-3
    turned = truth.clone()
    turned[:, 2] = -1.0
    assert helpers.dense_loss(maps, turned, kind)["geometry8"] > 0.5
    assert helpers.dense_loss(maps, truth, kind.roll(1, 1))["matter16"] > 1.0


def test_what_shapes_of_a_sort_are_like_is_found_again() -> None:
    rng = np.random.default_rng(0)
    n = 80
    family = np.arange(n) % 2
    wall = rng.normal(-3, 0.4, n).astype(np.float32)
    lines = np.array([[0.0, 0.5], [1.0, 0.2]])[family] + np.array([[0.9], [0.1]])[family] * wall[:, None]
    frequency = np.full((n, LINES), np.nan, np.float32)
    frequency[:, :2] = lines + 7.6  # bodies of 1 m in which sound travels at e^7.6 m/s
    scalars = np.stack([np.zeros(n), wall, family, np.zeros(n)], -1).astype(np.float32)
    world = dataclasses.replace(_world(n), family=family, scalars=scalars, log_frequency=frequency)
    model = Knock(KnockConfig(EyesConfig(40, (8, 16, 24, 32), (1, 1, 1, 1)), width=48, heads=4, layers=1, sorts=3))
    straight.describe(model, world)
    sorts = model.thinker.sorts
    assert sorts.hollow.tolist() == [0.0, 1.0, 0.0]
    sorts.which.bias.data = torch.tensor([-20.0, 20.0, -20.0])  # surely of the second sort
    seen = torch.zeros(2, sorts.which.in_features)
    told, hollow, found = sorts(seen, torch.tensor([-2.0, 5.0]), torch.tensor([True, False]))
    assert told[0] == -2.0
    assert float(told[1]) == pytest.approx(float(np.median(wall[family == 1])), abs=1e-4)
    assert hollow.tolist() == pytest.approx([1.0, 1.0])
    torch.testing.assert_close(found[0, :2], torch.tensor([0.8, 0.0]).cummax(0).values, atol=0.02, rtol=0)
    assert (found[:, 2:] == found[:, 1:2]).all()  # lines that no shape of the sort had


def test_what_coverings_cost_is_found_again() -> None:
    n = 60
    coat = np.arange(n) % 2
    frequency = np.log(np.geomspace(60, 15000, LINES))[None].repeat(n, 0).astype(np.float32)
    curve = np.stack([np.full(LINES, -9.0), -3.0 + 0.2 * (frequency[0] - np.log(1000.0))])
    extra = (curve[coat] + np.random.default_rng(0).normal(0, 0.05, (n, 1))).astype(np.float32)
    world = dataclasses.replace(_world(n), coat=coat, log_frequency=frequency, log_extra=extra)
    model = Knock(KnockConfig(EyesConfig(40, (8, 16, 24, 32), (1, 1, 1, 1)), width=48, heads=4, layers=1, coats=3))
    straight.describe(model, world)
    coats = model.thinker.coats
    seen = torch.zeros(1, coats.which.in_features)
    for likely, told in ((0.2, np.full(len(ANCHORS), -9.0)), (0.3, -3.0 + 0.2 * np.log(ANCHORS / 1000))):
        coats.which.bias.data = torch.tensor([1 - likely, likely, 0.0]).clamp_min(1e-9).log()
        np.testing.assert_allclose(coats(seen)[0].detach()[1:-1], told[1:-1], atol=0.06)
    assert (coats.loss[2] == -8.0).all()  # of which there was none


def test_half_way_back_is_the_mean() -> None:
    model, other = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    nn.init.normal_(model.weight)
    nn.init.normal_(other.weight)
    middle = (model.weight + other.weight).detach() / 2
    knock.halfway(model, other.state_dict())
    torch.testing.assert_close(model.weight.detach(), middle)
    assert int(model.num_batches_tracked) == 0  # what is counted stays
