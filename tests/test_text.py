"""Text, the third sense: phrases as values, their encoders, and a model of words that meets a locator's space."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import synesthesia as syn
from synesthesia import cli, hub, media, pretrained, verbs
from synesthesia.bridges import naming as room
from synesthesia.bridges.grounding import GroundingConfig, Locator, LocatorConfig
from synesthesia.bridges.naming import Naming, NamingConfig, phrases
from synesthesia.encoders.audio import FrameEarsConfig
from synesthesia.encoders.text import TEXTS, TextConfig, load_text, pieces, tiny_text, words
from synesthesia.encoders.vision import EyesConfig
from synesthesia.evaluate import describe as protocol
from synesthesia.senses import LONGEST_TEXT, Image, InputError, Region, Sound, Text
from synesthesia.train import phrases as grammar
from synesthesia.train import text as training
from synesthesia.train.phrases import Meaning, Thing
from synesthesia.worlds import noises

SMALL = TextConfig(buckets=512, width=32, layers=1, heads=2, hidden=32)


# --- the sense -------------------------------------------------------------------------------------------------------


@given(st.text(max_size=3 * LONGEST_TEXT))
def test_any_string_is_a_phrase_or_refused_in_a_sentence(text: str) -> None:
    try:
        made = Text(text)
    except InputError as error:
        assert str(error).endswith((".", "?"))
        return
    assert 1 <= len(made.text) <= LONGEST_TEXT
    assert made.text == unicodedata.normalize("NFC", text).strip()
    assert Text(made.text) == made
    assert words(made.text)


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "empty"), (" \t ", "empty"), ("\u200b\u2060", "empty"), ("a" * 401, "400"), ("a\nb", "one line"),
     ("\ud800 dog", "Unicode"), ("x" * 10**6, "400")],
)  # fmt: skip
def test_what_is_no_phrase_is_refused(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        Text(text)


def test_two_ways_of_writing_one_letter_are_one_phrase() -> None:
    assert Text("cafe\u0301") == Text("café ")


# --- the encoder -----------------------------------------------------------------------------------------------------


def test_a_word_is_read_without_its_case_and_by_its_pieces() -> None:
    assert words("A DOG, barking!") == ["a", "dog", "barking"]
    assert words("ﬁre") == ["fire"]
    assert words("🔥🔥") == ["🔥🔥"]
    assert words("雨の音") == ["雨の音"]
    shared = set(pieces("seagulls", 3, 5)) & set(pieces("gull", 3, 5))
    assert {"gul", "ull", "gull"} <= shared
    assert not set(pieces("seagulls", 3, 5)) & set(pieces("piano", 3, 5))


def test_rows_are_the_same_everywhere() -> None:
    """Hashes are part of the weights: another machine or version must find the same rows."""
    tower: Any = tiny_text(config=TextConfig()).tower
    assert tower.rows("dog") == [8051, 6028, 6250, 3608, 6525, 5022, 5572]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=6))
def test_a_batch_is_its_singles(texts: list[str]) -> None:
    torch.manual_seed(0)
    encoder = tiny_text(config=SMALL).eval()
    made = []
    for text in texts:
        try:
            made.append(Text(text))
        except InputError:
            continue
    together = encoder.read(made)
    assert together.values.shape == (len(made), 32)
    assert np.isfinite(together.values).all()
    for row, one in zip(together.values, made, strict=True):
        np.testing.assert_allclose(row, encoder.read([one]).values[0], atol=1e-5)


def test_the_order_of_words_counts() -> None:
    torch.manual_seed(0)
    a, b = tiny_text(config=SMALL).eval().read([Text("dog bites man"), Text("man bites dog")]).values
    assert np.abs(a - b).max() > 1e-4


def test_sizes_that_cannot_be_are_refused() -> None:
    for name, value in (("width", 33), ("buckets", 0), ("layers", 17), ("shortest", 6), ("most_words", 0)):
        with pytest.raises(InputError, match="not built"):
            TextConfig(**{name: value})


# --- text towers of others -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("transformers")
    root = tmp_path_factory.mktemp("texts")
    with pretrained.quiet():
        return {kind: checkpoints.write_tokenizer(kind, checkpoints.write(kind, root / kind)) for kind in TEXTS}


def test_every_text_tower_is_tested() -> None:
    assert set(TEXTS) == set(checkpoints.TEXTS)


@pytest.mark.parametrize("kind", list(TEXTS))
def test_a_text_tower_says_what_transformers_says(towers: dict[str, Path], kind: str) -> None:
    import transformers
    from tokenizers import Tokenizer

    texts = [Text("a dog"), Text("heavy rain"), Text("z" * 30)]  # the last is longer than the tower reads
    encoder = load_text(towers[kind], device="cpu")
    assert encoder.pooled.name.startswith(f"{kind}@")
    mine = encoder.read(texts).values
    with pretrained.quiet():
        whole = {"clip": transformers.CLIPModel, "clap": transformers.ClapModel}[kind].from_pretrained(towers[kind])
    split = Tokenizer.from_file(str(towers[kind] / "tokenizer.json"))
    split.enable_truncation({"clip": 16, "clap": 14}[kind])
    for row, text in zip(mine, texts, strict=True):
        ids = torch.tensor([split.encode(text.text).ids])
        with torch.inference_mode():
            hidden = whole.text_model(input_ids=ids, attention_mask=torch.ones_like(ids)).pooler_output
            theirs = whole.text_projection(hidden)[0].numpy()
        np.testing.assert_allclose(row, theirs, atol=1e-5)


def test_a_tower_without_its_tokenizer_is_refused(towers: dict[str, Path], tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(towers["clip"], tmp_path / "clip"))
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="no tokenizer"):
        load_text(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        load_text(folder)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="clip, clap"):
        load_text(folder)


def test_a_tower_of_others_is_named_and_not_kept(towers: dict[str, Path], tmp_path: Path) -> None:
    model = Naming(NamingConfig("grounding/x", 16, 2, str(towers["clip"]))).eval()
    before = model.read([Text("a dog")])
    model.save(tmp_path / "words")
    _, tensors = hub.load_model(tmp_path / "words")
    assert not [name for name in tensors if name.startswith("text.")]
    after = Naming.load(tmp_path / "words").read([Text("a dog")])
    np.testing.assert_allclose(after.as_sound.values, before.as_sound.values, atol=2e-3)
    assert not model.train().text.training


# --- words in a locator's space --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locator() -> Locator:
    torch.manual_seed(0)
    config = LocatorConfig(EyesConfig(64, (8, 8, 16, 16), (1, 1, 1, 1)), FrameEarsConfig((8, 8, 16, 16), 32),
                           GroundingConfig(width=16, heads=2, hidden=16))  # fmt: skip
    return Locator(config, name="test").eval()


@pytest.fixture(scope="module")
def model(locator: Locator) -> Naming:
    torch.manual_seed(1)
    return Naming.for_grounding(locator.grounding, SMALL).eval()


@pytest.fixture
def system(locator: Locator, model: Naming, monkeypatch: pytest.MonkeyPatch) -> verbs.System:
    made = syn.load()
    monkeypatch.setattr(made, "_loaded", {"locate": locator, "describe": model})
    return made


def noise(seconds: float = 1.0, seed: int = 0) -> Sound:
    return Sound(np.random.default_rng(seed).normal(0, 0.1, (1, round(16_000 * seconds))).astype(np.float32), 16_000)


def test_a_checkpoint_comes_back(model: Naming, tmp_path: Path) -> None:
    model.save(tmp_path / "a")
    again = Naming.load(tmp_path / "a")
    assert (again.config, again.shared) == (model.config, model.shared)
    texts = [Text("a dog"), Text("Feuer")]
    np.testing.assert_allclose(again.read(texts).as_place.values, model.read(texts).as_place.values, atol=5e-3)
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    config["model"]["text"]["width"] = 64
    (tmp_path / "a" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="no model of words"):
        Naming.load(tmp_path / "a")
    with pytest.raises(InputError, match="no model of words"):
        Naming.load(Path(hub.WEIGHTS) / "locate-tiny")


def test_a_phrase_is_looked_for_as_a_sound_is(
    system: verbs.System, model: Naming, locator: Locator, photo: Image
) -> None:
    found = system.locate(photo, "a small fire")
    np.testing.assert_array_equal(system.locate(photo, Text("a small fire")).heat, found.heat)
    (seen,) = locator.see([photo])
    (heard,) = model.heard(model.read([Text("a small fire")]))
    np.testing.assert_array_equal(locator.find(seen, heard).heat, found.heat)
    assert np.abs(system.locate(photo, "a violin").heat - found.heat).max() > 1e-4


def test_scores_are_cosines_in_order(system: verbs.System, photo: Image, tmp_path: Path) -> None:
    noise().save(tmp_path / "n.wav")
    media.write_image(tmp_path / "p.png", photo)
    for what in (photo, tmp_path / "p.png", noise(), str(tmp_path / "n.wav")):
        told = system.describe(what, most=7)
        scores = [one.score for one in told]
        assert len(told) == 7
        assert scores == sorted(scores, reverse=True)
        assert all(-1 - 1e-5 <= s <= 1 + 1e-5 for s in scores)
    assert len(system.describe(photo, phrases=["a", "b"])) == 2


def test_a_place_is_the_mean_over_its_patches(model: Naming, locator: Locator, photo: Image) -> None:
    named = model.read([Text("rain"), Text("a cat")])
    (seen,) = locator.see([photo])
    patches = seen.patches.values.reshape(-1, 2, 8)
    words = named.as_sound.values.reshape(2, 2, 8)
    by_hand = np.einsum("phw,mhw->phm", patches, words).max(1).mean(0)
    np.testing.assert_allclose(model.of_place(named, seen, Region.whole()), by_hand, atol=1e-5)
    left, right = (model.of_place(named, seen, Region.box(a, 0, a + 0.5, 1)) for a in (0, 0.5))
    np.testing.assert_allclose((left + right) / 2, by_hand, atol=1e-5)


def test_many_phrases_are_their_parts(model: Naming, locator: Locator, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [Text(f"thing {k}") for k in range(23)]
    (heard,) = locator.hear([noise()])
    whole = model.of_sound(model.read(texts), heard)
    monkeypatch.setattr(room, "AT_ONCE", 5)
    np.testing.assert_allclose(model.of_sound(model.read(texts), heard), whole, atol=1e-6)
    assert np.argmax(whole) == np.argmax([model.of_sound(model.read([t]), heard)[0] for t in texts])


def test_words_of_another_space_are_refused(system: verbs.System, model: Naming, photo: Image) -> None:
    system._loaded["describe"] = Naming(NamingConfig("grounding/other", 16, 2, SMALL)).eval()
    with pytest.raises(InputError, match="do not fit together"):
        system.describe(photo)
    with pytest.raises(InputError, match="do not fit together"):
        system.locate(photo, "a dog")


def test_what_cannot_be_described_is_refused(system: verbs.System, photo: Image, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no places"):
        system.describe(noise(), at=(0.5, 0.5))
    with pytest.raises(InputError, match="outside"):
        system.describe(photo, at=(0.5, 1.5))
    with pytest.raises(InputError, match="silent"):
        system.describe(Sound(np.zeros((1, 16_000), np.float32), 16_000))
    with pytest.raises(InputError, match="most lies"):
        system.describe(photo, most=0)
    with pytest.raises(InputError, match="no file"):
        system.describe(tmp_path / "none.jpg")
    for name in ("none.wav", "folder/none", str(tmp_path / "none")):
        with pytest.raises(InputError, match="no file"):
            system.locate(photo, name)
    with pytest.raises(InputError, match="empty"):
        system.locate(photo, "  ")
    with pytest.raises(InputError, match="not a dict"):
        system.locate(photo, {})


# --- phrases to choose from ------------------------------------------------------------------------------------------


def test_the_built_in_phrases_are_phrases() -> None:
    built_in = phrases()
    assert 50 <= len(built_in) == len(set(built_in)) <= 200


def test_a_file_of_ten_thousand_lines_is_read(system: verbs.System, photo: Image, tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text("# comment\n\n" + "\r\n".join(f"phrase {k} ☔ 雨" for k in range(10_000)), encoding="utf-8-sig")
    assert len(phrases(path)) == 10_000
    (best,) = system.describe(photo, at=(0.2, 0.2), phrases=path, most=1)
    assert best.phrase.startswith("phrase ")


def test_files_of_phrases_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    for data, why in (
        (b"", "no phrase"), (b"\n # only a comment\n", "no phrase"), (b"\xff\xfe d\x00", "UTF-8"),
        (b"a\x00b", "control"),
        (b"a\n" * (room.MOST_PHRASES + 1), "too many"), (b"x" * 500, "400 characters"),
    ):  # fmt: skip
        path.write_bytes(data)
        with pytest.raises(InputError, match=why):
            phrases(path)
    for wrong, why in ((tmp_path / "none.txt", "no file"), (3, "list of strings"), ([], "at least one")):
        with pytest.raises(InputError, match=why):
            phrases(wrong)


@pytest.fixture(scope="module")
def any_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "p.txt"


@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_file_of_phrases_is_read_or_refused(any_file: Path, data: bytes) -> None:
    path = any_file
    path.write_bytes(data)
    try:
        assert phrases(path)
    except InputError as error:
        assert str(error)


def test_the_command_prints_phrases(
    system: verbs.System,
    photo: Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(verbs, "load", lambda **_: system)
    media.write_image(tmp_path / "p.png", photo)
    (tmp_path / "w.txt").write_text("a dog\nein Hund\n犬\n")
    given = [str(tmp_path / "p.png"), "--at", "0.3,0.4", "--phrases", str(tmp_path / "w.txt")]
    assert cli.main(["describe", *given, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {one["phrase"] for one in told} == {"a dog", "ein Hund", "犬"}
    assert cli.main(["describe", *given, "--most", "1"]) == 0
    assert capsys.readouterr().out.split("  ")[-1].strip() == told[0]["phrase"]
    out = str(tmp_path / "h.png")
    assert cli.main(["locate", str(tmp_path / "p.png"), "a small fire", "-o", out]) == 0
    assert cli.main(["locate", str(tmp_path / "p.png"), "", "-o", out]) == 2
    assert "empty" in capsys.readouterr().err


# --- learning --------------------------------------------------------------------------------------------------------


def test_what_a_phrase_says_is_true_false_or_unknown() -> None:
    small = Thing("fire", "", {"size_m": -1, "distance_m": 0})
    assert small.fits(Meaning("fire")) == 1
    assert small.fits(Meaning("rain")) == 0
    assert small.fits(Meaning("fire", "", "size_m", -1)) == 1
    assert small.fits(Meaning("fire", "", "size_m", 1)) == 0
    assert np.isnan(small.fits(Meaning("fire", "", "distance_m", 1)))
    assert np.isnan(Thing("fire").fits(Meaning("fire", "", "size_m", 1)))
    assert np.isnan(Thing("dog", "pug").fits(Meaning("dog", "beagle")))
    assert Thing("dog").fits(Meaning("dog", "beagle")) == 1


def test_held_out_phrases_are_never_trained() -> None:
    for kind, told in grammar.WORDS.items():
        assert told.nouns, kind
        assert told.held, kind
        assert not set(told.nouns) & set(told.held), kind
    assert not set(grammar.TEMPLATES) & set(grammar.HELD_TEMPLATES)
    rng = np.random.default_rng(0)
    trained = {grammar.phrase(Meaning(kind), rng) for kind in grammar.WORDS for _ in range(60)}
    held = {grammar.held_out(Meaning(kind), rng, nouns) for kind in grammar.WORDS for nouns in (True, False)}
    assert not trained & held


def test_degrees_are_thirds_of_what_the_world_draws() -> None:
    low, high = noises.LAWS["fire"].parameters["size_m"]
    sizes = [grammar.degrees("fire", {"size_m": s}, 5.0)["size_m"] for s in np.geomspace(low, high, 7)]
    assert sizes == [-1, -1, -1, 0, 1, 1, 1] or sizes == [-1, -1, 0, 0, 0, 1, 1]
    for kind, law in noises.LAWS.items():
        told = grammar.degrees(kind, {n: v[0] for n, v in law.parameters.items()}, law.distance[1])
        assert set(told) == {p for k, p in grammar.DEGREES if k == kind and (p != "distance_m" or kind != "rain")}


def test_finer_names_come_from_photos_of_that_class() -> None:
    assert grammar.finer("piano", "photos/x/n03928116_13232_piano.jpg") == "piano"
    assert grammar.finer("dog", "photos/x/n02099601_golden_retriever.jpg") == "golden retriever"
    assert grammar.finer("dog", "photos/x/n02099601_siamese_cat.jpg") == ""
    assert grammar.finer("dog", "photos/x/holiday.jpg") == ""


def lessons(locator: Locator, seed: int = 0) -> training.Lessons:
    """Pictures of one colour and sounds of one pitch for each of three kinds."""
    rng = np.random.default_rng(seed)
    kinds, colours = ("dog", "cat", "fire"), ((200, 30, 30), (30, 200, 30), (30, 30, 200))

    def picture(k: int) -> Image:
        return Image((np.array(colours[k]) + rng.integers(-20, 20, (96, 96, 3))).clip(0, 255).astype(np.uint8))

    def sound(k: int) -> Sound:
        t = np.arange(16_000) / 16_000
        tone = np.sin(2 * np.pi * 200 * 4**k * t) + 0.1 * rng.standard_normal(16_000)
        return Sound((0.1 * tone)[None].astype(np.float32), 16_000)

    order = [k for _ in range(6) for k in range(3)]
    views = training.see(locator, ((picture(k), [Thing(kinds[k])], None, str(i)) for i, k in enumerate(order)))
    takes = training.listen(locator, ((sound(k), Thing(kinds[k]), str(i)) for i, k in enumerate(order)))
    return training.Lessons((views, None), (takes, None))


def test_phrases_learn_where_pictures_and_sounds_stand(locator: Locator, tmp_path: Path) -> None:
    """Held-out phrases find held-out pictures and sounds after seconds of training; the locator stays as it was."""
    before = {k: v.clone() for k, v in locator.state_dict().items()}
    torch.manual_seed(0)
    model = Naming.for_grounding(locator.grounding, SMALL)
    run = training.TextRun(steps=150, pictures=9, sounds=9)
    student = training.Student(model, locator, lessons(locator), run)
    training.fit(student, student.loss, training.LoopConfig(run.steps, 5e-3, warmup=5, ema=0.9), tmp_path)
    assert all(torch.equal(v, before[k]) for k, v in locator.state_dict().items())
    other = lessons(locator, seed=1)
    views, takes = other.views[0], other.takes[0]
    model.eval()
    kinds = [some[0].kind for some in views.things]
    texts = [Text(f"what you hear is a {kind}") for kind in kinds]
    seen = protocol.first_of(protocol.of_views(model, locator.grounding, texts, views), kinds, views.owner, 0, among=3)
    heard = protocol.first_of(protocol.of_takes(model, texts, takes), kinds, takes.owner, 0, among=3)
    assert seen["value"] > 0.9
    assert heard["value"] > 0.9


def test_scores_of_many_are_those_of_the_verbs(locator: Locator, model: Naming) -> None:
    found = lessons(locator)
    texts = [Text("a dog"), Text("fire")]
    named = model.read(texts)
    image = Image(np.full((64, 64, 3), 90, np.uint8))
    views = training.see(locator, iter([(image, [Thing("dog")], None, "a")]))
    (seen,) = locator.see([image])
    by_verb = locator.match([seen], model.heard(named))[0]
    np.testing.assert_allclose(protocol.of_views(model, locator.grounding, texts, views)[:, 0], by_verb, atol=2e-3)
    takes = training.listen(locator, iter([(noise(), Thing("dog"), "a")]))
    (heard,) = locator.hear([noise()])
    np.testing.assert_allclose(protocol.of_takes(model, texts, takes)[:, 0], model.of_sound(named, heard), atol=2e-3)
    assert len(found.views[0].things) == 18


def test_chance_is_chance_and_the_right_one_is_right() -> None:
    kinds = [f"kind {k % 30}" for k in range(90)]
    rng = np.random.default_rng(0)
    blind = protocol.first_of(rng.random((90, 90)), kinds, kinds, 0)
    assert blind["low"] < 0.05 < blind["high"]
    same = (np.array(kinds)[:, None] == np.array(kinds)).astype(float)
    assert protocol.first_of(same, kinds, kinds, 0)["value"] == 1
    assert protocol.first_of(np.zeros((90, 90)), kinds, kinds, 0)["value"] == 0.5
    with pytest.raises(InputError, match="as many kinds"):
        protocol.first_of(np.zeros((2, 2)), ["a", "b"], ["a", "b"], 0)
