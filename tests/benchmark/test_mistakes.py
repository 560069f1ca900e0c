"""Files of the wrong kind, and terminals that know ASCII only, through the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hand_worked import write_render

from softmining_nerfstudio.benchmark import cli

DEMO = str(Path(__file__).parents[2] / "configs" / "demo.toml")
RUN = ("run", DEMO, "--only-methods", "uniform")
COST = ("sampler", "--images", "2", "--rays", "64")

Said = Callable[..., str]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """The one line that a command ends with."""

    def say(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["softmining-bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        return line

    return say


@pytest.mark.parametrize("command", [(*RUN, "--output"), (*COST, "--output"), ("report", "results", "--plots")])
def test_a_file_in_place_of_a_folder(
    command: tuple[str, ...], folder: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    Path("a[").mkdir()
    Path("a[/b]").touch()
    assert "cannot use a[/b]: it is a file; expected a folder" in said(*command, "a[/b]")
    assert "name too long" in said(*command, "a" * 300)


def test_a_folder_in_place_of_a_file(folder: Path, said: Said) -> None:
    assert "it is a folder; expected a file" in said("report", str(folder), "--markdown", str(folder))
    (folder / "lock").mkdir()
    assert "lock: it is a folder; expected a file" in said(*RUN, "--output", str(folder))


def test_an_error_without_a_file_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise OSError("not a file's")

    monkeypatch.setattr("softmining_nerfstudio.benchmark.run.command.run", fails)
    monkeypatch.setattr(sys, "argv", ["softmining-bench", "run"])
    with pytest.raises(OSError, match="not a file's"):
        cli.main()


@pytest.mark.parametrize(
    ("name", "value"), [("step", "100"), ("psnr", None), ("seed", True), ("final", {"psnr": "x"}), ("render", 3)]
)
def test_a_measurement_of_the_wrong_type(name: str, value: object, folder: Path, said: Said) -> None:
    path = folder / "measurements.jsonl"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(first) | {name: value}), *others]) + "\n")
    assert f"line 1: not a measurement ({name} is {value!r}; expected " in said("report", str(folder))


def test_a_setting_of_the_wrong_type(folder: Path, said: Said) -> None:
    record = json.loads((folder / "suite.json").read_text())
    record["suite"]["seeds"] = "1, 2"
    (folder / "suite.json").write_text(json.dumps(record))
    assert "seeds is '1, 2'; expected a list" in said("report", str(folder))


def test_a_truncated_render(folder: Path, said: Said) -> None:
    path = folder / write_render(folder, "chair-mined", 200)
    path.write_bytes(path.read_bytes()[:50])
    assert f"{path} is no whole image" in said("report", str(folder), "--plots", str(folder / "plots"))


@pytest.mark.parametrize("text", ["a: 1", "a: [", "!!python/object:nothing.There {}", "\0"])
def test_headroom_of_a_file_that_is_no_config(text: str, tmp_path: Path, said: Said) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    assert "expected the config.yml of a trained model" in said("headroom", "--load-config", str(path))
    assert "it is a folder" in said("headroom", "--load-config", str(tmp_path))


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_a_seed_that_no_run_could_take(seed: str, said: Said) -> None:
    assert f"--seeds is {seed}; expected whole numbers from 0 to 4294967295" in said("run", DEMO, "--seeds", seed)


def test_a_terminal_that_knows_ascii_only(folder: Path, tmp_path: Path) -> None:
    record = json.loads((folder / "suite.json").read_text())
    record["suite"]["title"] = "größer"
    (folder / "suite.json").write_text(json.dumps(record))
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    for words in (("report", str(folder)), (*COST, "--output", str(tmp_path / "größer"))):
        program = [sys.executable, "-m", "softmining_nerfstudio.benchmark.cli", *words]
        shown = subprocess.run(program, env=ascii_only, capture_output=True, check=False)
        assert shown.returncode == 0, shown.stderr.decode()
        assert b"gr\\xf6\\xdfer" in shown.stdout
