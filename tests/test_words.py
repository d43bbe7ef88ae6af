"""What words lose: maps, words and their bits, rows whose outcome is known beforehand, and the three worlds."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia import cli
from synesthesia.evaluate import birds as real_birds
from synesthesia.evaluate import words
from synesthesia.evaluate import words_worlds as worlds
from synesthesia.evaluate.words import Examples, Map, Trait, Vocabulary
from synesthesia.senses import Image, Region, Sound
from synesthesia.worlds import bird_laws, noises

SHARED = Path(__file__).parents[2] / "shared" / "data" / "birds"


def toy(n: int, seed: int, noise: float = 0.0) -> Examples:
    """Six traits, which the features show one by one; the sound is two smooth functions of three of them each."""
    rng = np.random.default_rng(seed)
    shares = rng.random((n, 6))
    features = shares + noise * rng.standard_normal(shares.shape)
    sound = np.stack([np.sin(3 * shares[:, 0]) + shares[:, 1] - shares[:, 2], shares[:, 3] * shares[:, 4]], axis=1)
    traits = tuple(Trait(f"trait {k}", shares[:, k]) for k in range(6))
    return Examples(features, traits, sound, tuple(str(i) for i in range(n)))


# --- maps ------------------------------------------------------------------------------------------------------------


def test_a_map_finds_a_smooth_law_and_promises_no_more() -> None:
    train, test = toy(400, 0), toy(200, 1)
    guess = Map.fit(train.features, train.targets)(test.features)
    assert ((guess - test.targets) ** 2).mean() < 0.01 * test.targets.var()
    shuffled = train.targets[np.random.default_rng(0).permutation(400)]
    blind = Map.fit(train.features, shuffled)(test.features)
    assert blind.std() < 0.5 * test.targets.std(), "of noise it knows that there is little to know"


def test_what_is_crossed_was_not_seen() -> None:
    """With features that name each example, a map knows its own examples by heart and the others not at all."""
    rng = np.random.default_rng(0)
    n = 60
    train = Examples(np.eye(n), (), rng.standard_normal((n, 1)), tuple(str(i) for i in range(n)))
    whole = Map.fit(train.features, train.targets)
    whole = Map._solved(whole.points, train.targets, whole.mean, whole.scale, whole.gamma, 1e-6)
    assert np.corrcoef(whole(train.features)[:, 0], train.targets[:, 0])[0, 1] > 0.99
    assert abs(np.corrcoef(words.crossed(whole, train, train.targets)[:, 0], train.targets[:, 0])[0, 1]) < 0.5


# --- words -----------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.integers(1, 4), st.integers(0, 99))
def test_bits_of_equally_frequent_words(degrees: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    traits = [Trait(str(k), rng.standard_normal(degrees * 40)) for k in range(count)]
    said = Vocabulary.of(traits, range(count), degrees).words([t.values for t in traits])
    assert set(np.unique(said)) == set(range(degrees))
    assert words.entropy(said) == pytest.approx(count * math.log2(degrees), abs=1e-6 * count)
    for column, trait in zip(said.T, traits, strict=True):  # a word for more is never said of less
        assert (np.diff(column[np.argsort(trait.values)]) >= 0).all()


def test_a_word_that_is_always_said_says_nothing() -> None:
    assert words.entropy(np.zeros((10, 3), int)) == 0
    assert words.entropy(np.array([[0], [1]])) == 1


def test_the_most_telling_trait_is_told_first() -> None:
    rng = np.random.default_rng(0)
    numbers = [Trait(f"{k}", rng.random(500)) for k in range(5)]
    traits = (*numbers, Trait("kind", rng.integers(0, 3, 500) * 1.0, 3))
    targets = (traits[3].values + 10 * (traits[5].values == 1))[:, None]
    told = words.chosen(Examples(np.zeros((500, 1)), traits, targets, ("x",) * 500), 2, 3)
    assert told == [5, 3]


# --- rows ------------------------------------------------------------------------------------------------------------


def scored(train: Examples, test: Examples) -> dict[tuple[str, str], tuple[float, float]]:
    score = words.correlation(test)
    every = np.arange(len(test))
    return {(r.way, r.bandwidth): (r.bits, score(r)(every)) for r in words.rows(train, test)}


def test_more_words_carry_more_and_a_perfect_speaker_most() -> None:
    found = scored(toy(400, 0, 0.1), toy(300, 1, 0.1))
    names = [name for name, *_ in words.BANDWIDTHS]
    for way in ("words", "told"):
        bits, kept = zip(*(found[way, name] for name in names), strict=True)
        assert all(a < b + 1e-9 for a, b in itertools.pairwise(bits)), (way, bits)
        assert kept[0] < kept[1] < kept[3] + 0.02, (way, kept)
    assert found["told", names[3]][1] > found["words", names[3]][1]
    assert found["truth", "whole"] == (math.inf, 1.0)
    cut = [found["direct", f"{b} bits a number"] for b in words.NUMBER_BITS]
    for bits, (length, _) in zip(words.NUMBER_BITS, cut, strict=True):
        assert length == pytest.approx(2 * bits, rel=0.02)
    assert [kept for _, kept in cut] == sorted(kept for _, kept in cut)
    assert found["direct", "whole"][1] > cut[0][1]


def test_what_has_no_word_is_lost_on_the_way_through_words() -> None:
    """The sound follows something that the eyes see and no trait tells: words are at chance, the direct way is not."""

    def nameless(n: int, seed: int) -> Examples:
        rng = np.random.default_rng(seed)
        features, named = rng.random((n, 3)), rng.random(n)
        return Examples(features, (Trait("other", named),), features[:, :1] ** 2, tuple(map(str, range(n))))

    found = scored(nameless(300, 0), nameless(200, 1))
    assert found["direct", "whole"][1] > 0.95
    for name, *_ in words.BANDWIDTHS:
        assert abs(found["told", name][1]) < 0.25


def test_the_lead_is_paired_and_has_its_interval() -> None:
    train, test = toy(200, 0, 0.2), toy(120, 1, 0.2)
    found = words.rows(train, test)
    told = words.measured(found, test.objects, {"kept": words.correlation(test)}, resamples=50)
    direct = next(t for t in told if (t["way"], t["bandwidth"]) == ("direct", "whole"))
    first = next(t for t in told if (t["way"], t["bandwidth"]) == ("words", "1 word"))
    lead = first["kept, direct's lead"]
    assert lead["value"] == pytest.approx(direct["kept"]["value"] - first["kept"]["value"])
    assert 0 < lead["low"] < lead["value"] < lead["high"]
    part = {"name": "toy", "train": 200, "test": 120, "rows": told}
    text = words.table(part)
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 1 + len(found)
    assert "direct" in text.lower()
    assert words.drawn([part, part]).width == 1600
    json.dumps(told, allow_nan=False)


def test_the_curves_are_drawn_where_they_are() -> None:
    from synesthesia.picture import ACCENT, draw_bandwidth

    def height(value: float, bits: float) -> float:
        pixels = draw_bandwidth([("toy", [("direct", [(bits, value, value, value), (40.0, 0.5, 0.5, 0.5)])])]).pixels
        rows, columns = np.nonzero((pixels[:480] == ACCENT).all(-1))
        return float(rows[columns < columns.min() + 8].mean())

    low, high = height(0.1, 5), height(0.9, 5)
    assert low - high == pytest.approx(0.8 * (560 - 70 - 2 * 40 - 34), abs=4)
    whole = draw_bandwidth([("toy", [("direct", [(math.inf, 0.5, 0.4, 0.6)])])]).pixels
    assert (whole == ACCENT).all(-1).sum(1).max() > 400, "what is not cut down is a level line"


def test_a_choice_is_cut_to_what_is_chosen() -> None:
    rng = np.random.default_rng(0)
    known = np.concatenate([np.eye(4)[rng.permutation(np.arange(400) % 4)], rng.random((400, 2))], axis=1)
    blurred = known + np.concatenate([rng.normal(0, 0.1, (400, 4)), np.zeros((400, 2))], axis=1)
    bits, out = words._cut(known, blurred, 3, kinds=4)
    assert bits == pytest.approx(2 + 3 + 3, abs=0.01)
    np.testing.assert_array_equal(out[:, :4], known[:, :4])
    assert np.abs(out[:, 4:] - known[:, 4:]).max() < 0.1


# --- worlds ----------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=14, max_size=14))
def test_a_song_is_its_deviations(values: list[float]) -> None:
    song = bird_laws.song(np.array(values))
    told = {name: getattr(song, name) for name in bird_laws.VOICE}
    np.testing.assert_allclose(worlds.deviations(told), values, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=28, max_size=28))
def test_traits_are_their_shares(look: list[float]) -> None:
    told = bird_laws.traits(np.array(look))
    shares = [worlds.share(bird_laws.TRAITS[name], told[name]) for name in bird_laws.TRAITS]
    np.testing.assert_allclose(shares, (np.array(look) + 1) / 2, atol=1e-9)


def test_what_is_said_of_a_source_makes_it_again() -> None:
    for kind, law in noises.LAWS.items():
        parameters = {n: math.sqrt(low * high) for n, (low, high) in law.parameters.items()}
        away = law.distance[0] ** 0.25 * law.distance[1] ** 0.75
        source = worlds.Source("s", Image(np.zeros((4, 4, 3), np.uint8)), Region.whole(), kind, parameters, away,
                               Sound(np.zeros((1, 4)), 4))  # fmt: skip
        row = np.concatenate([np.eye(len(noises.KINDS))[noises.KINDS.index(kind)], worlds._shares(source)])
        again, values, metres = worlds.said(row)
        assert again == kind
        assert values == pytest.approx(parameters)
        assert metres == pytest.approx(away)
        noises.check(again, values, metres)
        wild = worlds.said(row + np.random.default_rng(0).normal(0, 3, len(row)))
        noises.check(*wild)  # whatever a map says can be made


def test_own_songs_are_found_and_noise_is_at_chance() -> None:
    rng = np.random.default_rng(0)
    own = rng.standard_normal((60, 13))
    spread = np.ones(13)
    assert worlds.identified(own + 0.01, own, np.arange(60), spread, 0).mean() == 1
    assert worlds.identified(rng.standard_normal((60, 13)), own, np.arange(60), spread, 0).mean() == pytest.approx(
        0.1, abs=0.06
    )


def test_bad_input_is_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "words", "-o", str(tmp_path / "w.json")]) == 2
    assert "at least one world" in capsys.readouterr().err
    assert cli.main(["evaluate", "words", "--most", "3", "-o", str(tmp_path / "w.json")]) == 2
    assert cli.main(["evaluate", "birds", str(tmp_path), "-o", str(tmp_path / "b.json")]) == 2
    assert "pairs" in capsys.readouterr().err
    assert cli.main(["evaluate", "birds", str(tmp_path / "none"), "-o", str(tmp_path / "b.json")]) == 2


# --- real birds ------------------------------------------------------------------------------------------------------


def test_a_table_of_pairs_is_read_both_ways() -> None:
    perfect = real_birds.retrieved(np.eye(20))
    assert perfect["photo to recording, R@1"]["value"] == perfect["recording to photo, R@1"]["value"] == 1
    blind = real_birds.retrieved(np.zeros((20, 20)))
    assert blind["photo to recording, R@10"]["value"] in (0.0, 1.0)
    chance = real_birds.retrieved(np.random.default_rng(0).random((400, 400)))
    told = chance["photo to recording, mean reciprocal rank"]
    assert told["value"] == pytest.approx(told["chance"], abs=0.01)
    one_way = np.eye(20)
    one_way[3] = 0.5
    one_way[3, 3] = 0.4
    assert real_birds.retrieved(one_way)["photo to recording, R@1"]["value"] == pytest.approx(0.95)
    assert "20 photos" in real_birds.table(real_birds.retrieved(one_way))


@pytest.mark.data
def test_real_birds_are_read_in_pairs() -> None:
    if not SHARED.is_dir():
        pytest.skip("no real birds beside the repository")
    found = real_birds.read(SHARED)
    assert len(found) == 49
    assert all(sound.seconds > 1 and min(image.pixels.shape[:2]) > 50 for _, image, sound in found)
