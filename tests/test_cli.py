"""The command line, in process; one test starts a process, to see what `--help` imports."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import FakeKnock
from PIL import Image as Pil

from synesthesia import cli, hub, media, verbs
from synesthesia.senses import Image

ROOT = Path(__file__).parents[1]
AT = ["--at", "0.5,0.5"]


@pytest.fixture
def here(tmp_path: Path, photo: Image, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with photo.png in it."""
    monkeypatch.chdir(tmp_path)
    media.write_image("photo.png", photo)
    return tmp_path


def run(*arguments: str) -> int:
    """The exit code of a command, whether it returns or exits."""
    try:
        return cli.main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)


def refused(capsys: pytest.CaptureFixture[str], here: Path, *arguments: str) -> str:
    """The sentence on stderr of a command that must exit with 2 and leave nothing behind."""
    before = sorted(here.rglob("*"))
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert sorted(here.rglob("*")) == before
    assert "Traceback" not in err
    assert out == "" or out.startswith("╭")
    return " ".join((out + err).replace("│", " ").split())


def test_knock_writes_a_sound_and_a_picture(fake: FakeKnock, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("knock", "photo.png", *AT, "--force", "3", "-o", "a.wav", "--picture", "a.png") == 0
    info = soundfile.info("a.wav")
    assert (info.samplerate, info.frames, info.subtype) == (44_100, 66_150, "PCM_16")
    assert media.read_image("a.png").width == 1600
    assert capsys.readouterr().out.startswith("a.wav: code 0")
    assert run("knock", "photo.png", *AT) == 0
    assert Path("knock.wav").is_file()


def test_the_command_does_what_the_verb_does(fake: FakeKnock, here: Path) -> None:
    options = [
        "--force=0,0,-4",
        "--hardness",
        "2e9",
        "--mass",
        "2x",
        "--size",
        "0.5",
        "--seconds",
        "0.2",
        "--seed",
        "3",
    ]
    assert run("knock", "photo.png", *AT, *options, "--rate", "48000", "--bits", "24", "-o", "a.flac") == 0
    hit = verbs.knock(
        verbs.load(),
        "photo.png",
        (0.5, 0.5),
        (0.0, 0.0, -4.0),
        2e9,
        mass=2.0,
        size=0.5,
        seconds=0.2,
        seed=3,
        rate=48_000,
    )
    assert soundfile.info("a.flac").subtype == "PCM_24"
    np.testing.assert_allclose(media.read_sound("a.flac").samples, hit.sound.samples, atol=2e-7)


def test_every_setting_of_the_verb_is_on_the_command_line_with_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("knock", "--help") == 0
    text = capsys.readouterr().out
    for name in inspect.signature(verbs.knock).parameters:
        if name not in ("system", "photo"):
            assert f"--{name.replace('_', '-')}" in text
    assert "Make the object heavier by this factor." in text
    assert "Print code, tokens" in text


def test_json_tells_code_tokens_modes_and_pitch(
    fake: FakeKnock, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("knock", "photo.png", *AT, "--at", "0.1,0.1", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["at"], second["at"]) == ([0.5, 0.5], [0.1, 0.1])
    assert first["pitch"]["median_hz"] == pytest.approx(500)
    assert {"code", "tokens", "modes", "pitch", "support", "photo", "sounds"} <= set(first)
    assert not list(here.glob("*.wav")), "with --json alone nothing is written"


def test_points_variations_and_a_folder_make_one_batch(
    fake: FakeKnock, here: Path, photo: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "photos").mkdir()
    for name in ("b.jpg", "a.webp", "notes.txt"):
        target = here / "photos" / name
        target.write_text("no picture") if name == "notes.txt" else media.write_image(target, photo)
    arguments = [
        "knock",
        "photos",
        *AT,
        "--at",
        "0.2,0.2",
        "--variations",
        "3",
        "--seconds",
        "0.1",
        "-o",
        "x.wav",
        "--json",
    ]
    assert run(*arguments, "--picture", "x.png") == 0
    told = json.loads(capsys.readouterr().out)
    assert [Path(one["photo"]).name for one in told] == ["a.webp", "a.webp", "b.jpg", "b.jpg"]
    assert told[1]["sounds"] == ["x-04.wav", "x-05.wav", "x-06.wav"]
    assert len(list(here.glob("x-*.wav"))) == 12
    assert len(list(here.glob("x-*.png"))) == 4
    assert fake.encoded == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["photo.png"], "--at X,Y"),
        ([*AT], "Which photo"),
        (["none.png", *AT], "no file none.png"),
        (["photo.png", "--at", "0.5"], "A point is X,Y"),
        (["photo.png", "--at", "0.5,1.5"], "outside the picture"),
        (["photo.png", "--at", "a,b"], "not a number"),
        (["photo.png", *AT, "--force", "nan"], "finite"),
        (["photo.png", *AT, "--force=-3"], "points out of the surface"),
        (["photo.png", *AT, "--force", "0,0,3"], "points out of the surface"),
        (["photo.png", *AT, "--force", "1,2"], "one number in newtons or three"),
        (["photo.png", *AT, "--hardness", "butter"], "felt, wood, steel"),
        (["photo.png", *AT, "--seconds=-1"], "seconds lies between"),
        (["photo.png", *AT, "--mass", "heavy"], "not a number"),
        (["photo.png", *AT, "--bits", "12"], "12"),
        (["photo.png", *AT, "--material-code", "77"], "no 77"),
        (["photo.png", *AT, "-o", "none/a.wav"], "no folder none"),
        (["photo.png", *AT, "-o", "a.aiff"], "must end in"),
        (["photo.png", *AT, "--picture", "a.gif"], "must end in"),
        (["photo.png", *AT, "--support", "glued"], "hung"),
        (["photo.png", *AT, "--loud"], "--loud"),
    ],
)
def test_bad_input_is_a_sentence_and_exit_code_2(
    fake: FakeKnock, here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert sentence in refused(capsys, here, "knock", *arguments)


def test_zero_force_is_silence(fake: FakeKnock, here: Path) -> None:
    assert run("knock", "photo.png", *AT, "--force", "0", "-o", "a.wav") == 0
    assert not media.read_sound("a.wav").samples.any()


def test_bad_pictures_are_refused(fake: FakeKnock, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "text.jpg").write_text("hello")
    (here / "cut.png").write_bytes((here / "photo.png").read_bytes()[:200])
    Pil.new("RGB", (1, 1)).save(here / "dot.png")
    (here / "empty").mkdir()
    for name, sentence in (
        ("text.jpg", "not a JPEG"),
        ("cut.png", "truncated"),
        ("dot.png", "at least 16"),
        ("empty", "no JPEG"),
    ):
        assert sentence in refused(capsys, here, "knock", name, *AT, "-o", "a.wav")


def test_an_unwritable_folder_is_refused_before_any_work(
    fake: FakeKnock, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path) -> None:  # root, as in many containers, may write anywhere: the refusal is played
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", forbidden)
    assert "Cannot write a.wav: Permission denied" in refused(capsys, here, "knock", "photo.png", *AT, "-o", "a.wav")
    assert fake.encoded == 0


def test_a_spoiled_checkpoint_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    folder = hub.save_model(here / "model", {}, {"a": torch.zeros(3)})
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-1] + b"\1")
    assert "SHA-256" in refused(capsys, here, "knock", "photo.png", *AT, "--model", "model", "-o", "a.wav")
    (folder / "model.safetensors").write_bytes(b"\x80\x04N.")
    assert "pickle" in refused(capsys, here, "knock", "photo.png", *AT, "--model", "model", "-o", "a.wav")


def test_clipping_is_a_sentence_not_a_trace(fake: FakeKnock, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert run("knock", "photo.png", *AT, "--force", "2000", "-o", "a.wav") == 0
    assert capsys.readouterr().err.startswith("synesthesia: a.wav is clipped")


def test_ctrl_c_is_130_and_a_bug_stays_a_traceback(
    fake: FakeKnock, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(images: list[Image]) -> list[float]:
        raise KeyboardInterrupt

    def bug(images: list[Image]) -> list[float]:
        raise RuntimeError("a bug")

    monkeypatch.setattr(fake, "see", stop)
    assert run("knock", "photo.png", *AT) == 130
    monkeypatch.setattr(fake, "see", bug)
    with pytest.raises(RuntimeError, match="a bug"):
        run("knock", "photo.png", *AT)
    assert [path.name for path in here.iterdir()] == ["photo.png"]


@pytest.mark.skipif(set(hub.PRESETS["tiny"].values()) - set(hub.shipped_models()), reason="no weights in this checkout")
def test_the_demo_with_the_weights_that_ship(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("demo") == 0
    assert "make demo PHOTO=" in capsys.readouterr().out
    left = {path.name for path in (here / "out").iterdir()}
    shown = hub.PRESETS["tiny"].keys() - {"describe"}  # which leaves no file
    assert {f"{verb}.{ending}" for verb in shown for ending in ("wav", "png")} <= left
    sound = media.read_sound("out/knock.wav")
    assert sound.seconds == 1.5
    assert 1e-5 < np.abs(sound.samples).max() <= 1
    assert 1e-3 < np.abs(media.read_sound("out/hear.wav").samples).max() <= 1
    assert run("demo", "photo.png", "--at", "0.1,0.1", "-o", "mine") == 0
    left = {path.name for path in (here / "mine").iterdir()}
    assert left == {"hear.png", "hear.wav", "knock.png", "knock.wav"}
    assert run("knock", "photo.png", *AT, "--json", "--mass", "2x", "--support", "hung") == 0


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    program = (
        "import sys\nfrom synesthesia import cli\n"
        "cli.COMMANDS['count'] = lambda: [print(i) for i in range(10**5)] and 0\nsys.exit(cli.main(['count']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_a_world_without_its_extra_names_it(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mitsuba", None)
    assert "pip install 'synesthesia[worlds]'" in refused(capsys, here, "world", "knock", "-n", "1", "-o", "w")


def test_doctor_reports_and_keeps_secrets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@mirror.example/simple")
    assert run("doctor") == 0
    text = capsys.readouterr().out
    for what in ("python", "machine", "torch", "device", "disk free", "HF_ENDPOINT", "mirror.example"):
        assert what in text
    assert "secret" not in text


def test_help_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    def walk(words: list[str], command: object) -> None:
        assert run(*words, "--help") == 0, words
        if isinstance(command, dict):
            for name, inside in command.items():
                walk([*words, name], inside)

    walk([], cli.COMMANDS)
    capsys.readouterr()
    assert run("sing") == 2
    assert "no command 'sing'" in capsys.readouterr().err
    assert run("--version") == 0


def test_help_imports_nothing_heavy() -> None:
    """`--help` and `import synesthesia` must be quick: no torch, no SciPy, no Pillow."""
    program = (
        "import sys\nfrom synesthesia import cli\n"
        "try:\n    cli.main(['knock', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'scipy', 'PIL', 'soundfile', 'mitsuba', 'skfem', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
