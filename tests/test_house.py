"""The house itself: what is asserted rather than promised about the architecture."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import jaxtyping
import numpy as np
import pytest

import synesthesia
from synesthesia import hub
from synesthesia.spaces import Features, Space

ROOT = Path(__file__).parents[1]
PACKAGE = Path(synesthesia.__file__).parent
WORDS = {"transformers", "tokenizers", "sentencepiece", "tiktoken", "nltk", "Text"}
# Text, the third sense, stands at the edge: these know of it, and nothing on the way from picture to sound knows them.
EDGE = {PACKAGE / f"{name}.py" for name in ("encoders/text", "encoders/pretrained_text", "bridges/naming")}
EDGES = {"text", "pretrained_text", "naming"}
TOWERS = {
    PACKAGE / f"{name}.py"
    for name in (
        "pretrained",
        "bridges/pretrained_depth",
        "bridges/pretrained_drawing",
        "encoders/pretrained_eyes",
        "encoders/pretrained_ears",
        "codecs/pretrained",
        "codecs/pretrained_mel",
    )
}


def imports(path: Path) -> set[str]:
    """Every name that a source file imports, at any depth: top modules and imported names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").split(".")[0], *(alias.name for alias in node.names)}
    return found


def test_no_word_on_the_way_from_picture_to_sound() -> None:
    """No room between a picture and a sound imports a tokenizer or the Text sense; neither does anything they load."""
    rooms = ("senses", "spaces", "media", "hub", "pretrained", "verbs", "encoders", "codecs", "physics", "acoustics",
             "bridges")  # fmt: skip
    files = [
        path for room in rooms for path in [PACKAGE / f"{room}.py", *(PACKAGE / room).rglob("*.py")] if path.is_file()
    ]
    assert len(files) >= 10
    assert set(files) >= EDGE
    for path in set(files) - EDGE:
        found = imports(path)
        if path != PACKAGE / "verbs.py":  # of which the next test tells
            assert not found & EDGES, path
        if path in TOWERS:  # somebody else's eyes, ears and voices, by their classes and nothing else
            found -= {"AutoencoderKL", "TokenVoice"}  # an encoder of spectrograms or pictures; tokens of sound, ours
            if path.stem == "pretrained_drawing":  # in whose constant sentence a sound takes the place of a word
                found -= {"CLIPTextModel", "CLIPTextConfig"}
            assert "transformers" in found, f"{path} need not be an exception any more"
            assert not [name for name in found if re.search("Text|Token|Processor|Auto|Causal|Generation", name)], path
            found.remove("transformers")
        assert not found & WORDS, path
    program = (
        "import sys\nimport synesthesia.verbs, synesthesia.bridges.knock, synesthesia.encoders, synesthesia.codecs\n"
        f"sys.exit(str({WORDS!r} & set(sys.modules)) if {WORDS!r} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_only_describe_and_locate_speak_of_words() -> None:
    """The model of words is asked for in one place of `verbs`, and no verb that makes sound reaches that place."""
    functions = {
        node.name: node
        for node in ast.parse((PACKAGE / "verbs.py").read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    naming = {name for name, node in functions.items() if "bridges.naming" in ast.unparse(node)}
    assert naming == {"_named", "_load_describe"}

    def reached(name: str) -> set[str]:
        seen, todo = set(), [name]
        while todo:
            seen.add(here := todo.pop())
            called = {n.id for n in ast.walk(functions[here]) if isinstance(n, ast.Name)} & functions.keys()
            todo += called - seen
        return seen

    sounding = {"knock", "hear", "hear_blocks", "stage", "walk", "walk_blocks"}
    assert sounding < functions.keys()
    assert "_named" in reached("describe") & reached("locate")
    for name in sounding:
        assert not reached(name) & {*naming, "_is_phrase"}, name


def test_hearing_a_photo_loads_no_words() -> None:
    """What hear, knock and locate load, they load without the model of words."""
    program = (
        "import sys\nimport synesthesia.bridges.hearing, synesthesia.bridges.knock, synesthesia.bridges.grounding\n"
        "import synesthesia.bridges.stage, synesthesia.bridges.place, synesthesia.verbs\n"
        "words = [m for m in sys.modules if m.startswith('synesthesia.') and m.rpartition('.')[2] in "
        f"{EDGES!r}]\nsys.exit(str(words) if words else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_the_contract_about_words_names_every_room_but_theirs() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = (c for c in project["tool"]["importlinter"]["contracts"] if "at the edge" in c["name"])
    named = set(contract["source_modules"])
    for room in ("bridges", "encoders"):
        files = {path for path in (PACKAGE / room).glob("*.py") if path.stem != "__init__"} - EDGE
        assert {f"synesthesia.{room}.{path.stem}" for path in files} <= named


def test_shapes_are_checked_while_testing() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        Features(np.zeros(3, dtype=int), Space("eye", 3))


def test_nothing_is_a_pickle() -> None:
    for path in PACKAGE.rglob("*"):
        assert path.suffix not in (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".npy"), path
        if path.suffix == ".py":
            assert "pickle" not in imports(path), path
            assert not re.search(r"(?<!safetensors\.)torch\.load\(", path.read_text()), path


def test_shipped_weights_are_small_and_sound() -> None:
    total = 0
    for name in hub.shipped_models():
        config, tensors = hub.load_model(name)
        assert tensors
        total += config["bytes"]
    assert total < 64 * 2**20


def test_the_demo_ships_its_photos() -> None:
    import json

    folder = resources.files("synesthesia") / "demo"
    clicks = json.loads((folder / "clicks.json").read_text())
    assert clicks
    for name, (x, y) in clicks.items():
        assert (folder / name).is_file()
        assert 0 <= x <= 1
        assert 0 <= y <= 1


def test_a_broken_torchvision_is_not_brought_along() -> None:
    """With a torch of another build it is worse than none: half of the ecosystem then fails on import."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    assert not [d for d in wanted if d.startswith(("torchvision", "torchaudio"))]
    assert not [d for d in project["dependencies"] if "==" in d or "<" in d], "no pins that fight a user's own torch"


def test_the_constraints_pin_everything_that_is_installed_by_name() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    for requirement in [
        *project["dependencies"],
        *(d for extra in project["optional-dependencies"].values() for d in extra),
    ]:
        name = re.split(r"[<>=\[;]", requirement)[0].lower().replace("_", "-")
        assert name in pins, f"{name} is not pinned in constraints.txt"
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()


def test_the_readme_says_the_two_commands_in_both_languages() -> None:
    for name in ("README.md", "README.zh-CN.md"):
        first_screen = (ROOT / name).read_text()[:3000]
        assert "make demo" in first_screen
        assert "make test" in first_screen
        assert "import synesthesia" in first_screen


@pytest.mark.skipif(set(hub.PRESETS["tiny"].values()) - set(hub.shipped_models()), reason="no weights in this checkout")
def test_the_snippet_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: synesthesia.Image
) -> None:
    from synesthesia import media

    monkeypatch.chdir(tmp_path)
    # A thing that can be knocked on: of noise anything may be told, a body as light as paper, too, which clips.
    (tmp_path / "photo.jpg").write_bytes((ROOT / "synesthesia" / "demo" / "brass_bell.jpg").read_bytes())
    media.write_image("beach.jpg", photo)
    noise = synesthesia.Sound(np.random.default_rng(0).normal(0, 0.1, (1, 16_000)).astype(np.float32), 16_000)
    for name in ("crackle.wav", "waves.wav"):
        noise.save(name)
    for name in ("README.md", "README.zh-CN.md"):
        snippet = (ROOT / name).read_text().split("```python\n")[1].split("```")[0]
        exec(compile(snippet, name, "exec"), {})
        assert (tmp_path / "hit.wav").is_file()
        (tmp_path / "hit.wav").unlink()


def test_the_guide_to_extending_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = (ROOT / "docs" / "extending.md").read_text().split("```python\n")[1:]
    scope: dict[str, object] = {}
    for block in blocks:
        exec(compile(block.split("```")[0], "docs/extending.md", "exec"), scope)
    assert (tmp_path / "mine" / "README.md").is_file()
