"""The command line: mistakes, and a run on the demo scene that is killed, goes on, and is reported."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from softmining_nerfstudio.benchmark import cli, results
from softmining_nerfstudio.benchmark.report.command import report
from softmining_nerfstudio.benchmark.results import Run
from softmining_nerfstudio.benchmark.run import command

DEMO = Path(__file__).parents[2] / "configs" / "demo.toml"
STEPS = 20


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "no.toml"), "no.toml"),
        (
            ("run", str(DEMO), "--only-methods", "nerf"),
            "'nerf'. Allowed: uniform, nerfstudio, dmc, lmc",
        ),
        (("run", str(DEMO), "--only-scenes", "car"), "'car'. Allowed: ship"),
        (("run", str(DEMO), "--steps", "0"), "--steps is 0"),
        (("run", str(DEMO), "--jobs", "0"), "--jobs is 0"),
        (("compare",), "no data is named"),
        (("compare", "--data", "nowhere"), "there is no "),
        (("compare", "--steps", "0", "demo-scene"), "--steps is 0"),
        (("compare", "--seeds", "-1", "--", "demo-scene"), "--seeds is -1"),
        (("compare", "--methods", "nerf", "demo-scene"), "'nerf'. Allowed: uniform, lmc, dmc"),
        (("report", "nowhere"), "nowhere"),
        (("sampler", "--megapixels", "100"), "100"),
        (("headroom", "--load-config", "nowhere.yml"), "nowhere.yml"),
    ],
)
def test_a_mistake_on_the_command_line_is_said_in_one_line(
    arguments: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["softmining-bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_describes_its_options(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["softmining-bench", name, "--help"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert f"usage: softmining-bench {name}" in capsys.readouterr().out


def test_an_error_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise ValueError("not the user's")

    monkeypatch.setattr(command, "run", fails)
    monkeypatch.setattr(sys, "argv", ["softmining-bench", "run"])
    with pytest.raises(ValueError, match="not the user's"):
        cli.main()


def test_ctrl_c_ends_any_command_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str = "") -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["softmining-bench", "run"])
    for place in ("run.command.run", "cli.resolve_name"):  # at work, or still being imported
        monkeypatch.setattr(f"softmining_nerfstudio.benchmark.{place}", interrupted)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 130


def test_a_killed_demo_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}.items():
        monkeypatch.setenv(name, value)
    options = ["--steps", str(STEPS), "--seeds", "1", "--output", str(tmp_path), "--only-methods", "lmc"]
    suite = tmp_path / "suite.toml"
    suite.write_text(DEMO.read_text().replace('baseline = "uniform"', 'baseline = "lmc"'))  # so that it can be reported
    program = [sys.executable, "-m", "softmining_nerfstudio.benchmark.cli", "run", str(suite), *options]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL) as parent:
        while not list(tmp_path.glob("runs/ship--lmc/*/seed-1/nerfstudio_models/*.ckpt")):
            assert parent.poll() is None
            time.sleep(0.05)
        parent.kill()
    killed, _ = results.load(tmp_path)
    assert [measurement.step for measurement in killed] == [0, 10]
    with (tmp_path / results.FILE_NAME).open("a") as file:
        file.write('{"scene": "sh')  # a line that was being written

    assert command.run(suite, output=tmp_path, only_methods=["lmc"], seeds=[1], steps=STEPS) == 0
    measured, failures = results.load(tmp_path)
    assert not failures
    assert measured[:2] == killed  # neither trained nor measured again
    assert [(m.run, m.step) for m in measured] == [(Run("ship", "lmc", 1), step) for step in (0, 10, 20)]
    assert all(m.threads == 1 for m in measured)
    assert 0 == measured[0].seconds < measured[1].seconds < measured[2].seconds
    assert measured[2].final is not None
    assert {"psnr", "ssim"} <= measured[2].final.keys()
    assert all((tmp_path / str(measurement.render)).exists() for measurement in measured)
    assert "Done loading Nerfstudio checkpoint" in (tmp_path / "logs" / "ship--lmc-seed-1.log").read_text()
    run = tmp_path / "runs" / "ship--lmc" / "softmining-lite-lmc" / "seed-1"
    assert (run / "config.yml").exists()
    assert not (run / "nerfstudio_models").exists()
    assert json.loads((tmp_path / "suite.json").read_text())["sessions"][-1]["environment"]["threads"] == "1"
    report(tmp_path, markdown=tmp_path / "report.md", plots=tmp_path / "plots")
    markdown = (tmp_path / "report.md").read_text()
    assert "ship: PSNR (dB) after so many steps" in markdown
    cells = [*(f"{m.psnr:.2f}" for m in measured[1:]), f"{measured[2].final['psnr']:.2f}"]
    assert f"| lmc | 1 | {' | '.join(cells)} |" in markdown
    assert "](plots/renders-ship.png)" in markdown
    assert not measured[0].mined  # before the first step
    assert measured[2].mined is not None
    assert measured[2].mined.keys() == {"rays", "walkers"}
    assert all((tmp_path / picture).exists() for picture in measured[2].mined.values())
    assert "](plots/mined-ship.png)" in markdown
