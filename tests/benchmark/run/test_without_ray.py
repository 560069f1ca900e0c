"""The cluster's extra is not needed for anything else."""

import subprocess
import sys
from pathlib import Path

import pytest

from softmining_nerfstudio.benchmark import cli

DEMO = str(Path(__file__).parents[3] / "configs" / "demo.toml")


def test_a_local_run_imports_nothing_of_ray() -> None:
    modules = ["cli", *(f"run.{name}" for name in ("compare", "local", "plan", "runner", "session", "training"))]
    imports = ", ".join(f"softmining_nerfstudio.benchmark.{name}" for name in modules)
    code = f"import sys, {imports}\nprint('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["False"], done.stderr


def test_a_cluster_without_ray_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["run", DEMO, "--cluster", "auto", "--only-methods", "uniform", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["softmining-bench", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    how = "pip install '.[cluster]' in the folder of this package"
    assert said == f"--cluster needs Ray, which is not installed: {how}\n"
    assert not (tmp_path / "suite.json").exists()
