"""Checkpoints: torch must be willing to load them, and each must be whole."""

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from nerfstudio.configs.base_config import MachineConfig
from torch import nn

from softmining_nerfstudio.methods import softmining_lite
from softmining_nerfstudio.training.checkpoints import newest, require_whole
from softmining_nerfstudio.training.trainer import SoftMiningTrainer, SoftMiningTrainerConfig


class Arbitrary:
    """What a checkpoint has no business to hold."""


def trainer(folder: Path, **options: object) -> SoftMiningTrainer:
    """A trainer whose pipeline is a small layer."""
    config = SoftMiningTrainerConfig(
        method_name="softmining-lite",
        experiment_name="scene",
        timestamp="run",
        output_dir=folder,
        machine=MachineConfig(device_type="cpu"),
        **options,  # type: ignore[arg-type]
    )
    made = config.setup()
    made.pipeline = nn.Linear(2, 2)
    made.optimizers = SimpleNamespace(optimizers={}, schedulers={})
    return made


def test_only_numbers_are_allowed_beside_tensors(tmp_path: Path) -> None:
    numbers = [np.float64(0.5), np.float32(0.25), np.int64(3), np.int32(4), np.bool_(True)]
    torch.save(numbers, tmp_path / "numbers.pt")
    torch.save(Arbitrary(), tmp_path / "arbitrary.pt")
    code = f"""
import pickle, torch
from softmining_nerfstudio.training.checkpoints import allow_numpy_scalars
def refused(name):
    try:
        torch.load(f"{tmp_path}/{{name}}.pt", weights_only=True)
    except pickle.UnpicklingError:
        return True
assert refused("numbers") and refused("arbitrary")
allow_numpy_scalars()
assert torch.load("{tmp_path}/numbers.pt", weights_only=True) == [0.5, 0.25, 3, 4, True]
assert refused("arbitrary")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("only_latest", [True, False])
def test_the_folder_of_checkpoints_holds_whole_checkpoints_and_nothing_else(tmp_path: Path, only_latest: bool) -> None:
    made = trainer(tmp_path, save_only_latest_checkpoint=only_latest)
    for step in (10, 20, 20):
        made.save_checkpoint(step)
    names = sorted(path.name for path in made.checkpoint_dir.iterdir())  # nerfstudio takes each name for a step
    assert names == ["step-000000010.ckpt", "step-000000020.ckpt"][only_latest:]
    assert [path.name for path in made.checkpoint_dir.parent.iterdir()] == [made.checkpoint_dir.name]
    loaded = torch.load(made.checkpoint_dir / names[-1])
    assert loaded["step"] == 20
    assert torch.equal(loaded["pipeline"]["weight"], made.pipeline.weight)


def killed_while_saving(made: SoftMiningTrainer) -> None:
    def half(state: dict, path: Path) -> None:
        path.write_bytes(b"half of it")
        os.kill(os.getpid(), signal.SIGKILL)

    torch.save = half
    made.save_checkpoint(20)


def test_a_run_killed_while_saving_leaves_its_last_checkpoint_the_newest(tmp_path: Path) -> None:
    made = trainer(tmp_path)
    made.save_checkpoint(10)
    process = multiprocessing.get_context("fork").Process(target=killed_while_saving, args=(made,))
    process.start()
    process.join(timeout=60)
    assert process.exitcode == -signal.SIGKILL
    assert [path.name for path in made.checkpoint_dir.iterdir()] == ["step-000000010.ckpt"]
    assert torch.load(newest(made.checkpoint_dir))["step"] == 10
    made.save_checkpoint(30)
    assert [path.name for path in made.checkpoint_dir.parent.iterdir()] == [made.checkpoint_dir.name]


def test_a_save_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trainer(tmp_path)
    made.save_checkpoint(10)

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        with pytest.raises(OSError, match="No space"):
            made.save_checkpoint(20)
    assert newest(made.checkpoint_dir).name == "step-000000010.ckpt"
    made.save_checkpoint(20)
    assert newest(made.checkpoint_dir).name == "step-000000020.ckpt"


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "something else": lambda path: path.write_text("not a checkpoint"),
}


@pytest.fixture(params=DAMAGES.values(), ids=DAMAGES.keys())
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The checkpoints of a run whose newest one, of step 20, is damaged."""
    made = trainer(tmp_path / "before", save_only_latest_checkpoint=False)
    made.save_checkpoint(10)
    made.save_checkpoint(20)
    request.param(made.checkpoint_dir / "step-000000020.ckpt")
    return made.checkpoint_dir


@pytest.mark.parametrize(
    "options",
    [
        lambda run: {"load_dir": run},
        lambda run: {"load_dir": run, "load_step": 20},
        lambda run: {"load_checkpoint": run / "step-000000020.ckpt"},
    ],
)
def test_training_does_not_start_from_a_damaged_checkpoint(run: Path, tmp_path: Path, options: Callable) -> None:
    message = rf"{run}/step-000000020.ckpt .*{run}/step-000000010.ckpt"
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path / "after", **options(run)).setup()


def test_evaluation_does_not_start_from_a_damaged_checkpoint(run: Path) -> None:
    from nerfstudio.utils.eval_utils import eval_setup  # what ns-eval, ns-viewer, ns-render and ns-export call

    old = softmining_lite.config
    config = SoftMiningTrainerConfig(
        **{part.name: getattr(old, part.name) for part in dataclasses.fields(old) if part.name != "_target"}
    )
    config.output_dir, config.experiment_name, config.timestamp = run.parents[3], "scene", "run"
    (run.parent / "config.yml").write_text(yaml.dump(config))
    with pytest.raises(ValueError, match=r"step-000000020\.ckpt"):
        eval_setup(run.parent / "config.yml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda run: {"load_dir": run.parent}, "{run.parent}/step-.*.ckpt"),
        (lambda run: {"load_dir": run / "nowhere"}, "{run}/nowhere/step-.*.ckpt"),
        (
            lambda run: {"load_dir": run, "load_step": 7},
            "{run}/step-000000007.ckpt .*step-000000001.ckpt",
        ),
        (
            lambda run: {"load_checkpoint": run / "step-3.ckpt"},
            "{run}/step-3.ckpt .*step-000000001.ckpt",
        ),
    ],
)
def test_training_does_not_start_from_a_checkpoint_that_is_not_there(
    tmp_path: Path, options: Callable, message: str
) -> None:
    run = tmp_path / "checkpoints"
    run.mkdir()
    torch.save({"step": 1}, run / "step-000000001.ckpt")
    require_whole(newest(run))
    with pytest.raises(FileNotFoundError, match=message.format(run=run)):
        trainer(tmp_path / "after", **options(run)).setup()


def test_a_damaged_checkpoint_without_others_has_no_remedy(tmp_path: Path) -> None:
    (tmp_path / "step-000000001.ckpt").touch()
    with pytest.raises(ValueError, match=r"step-000000001.ckpt .*\b0 bytes") as caught:
        require_whole(newest(tmp_path))
    assert str(caught.value).count(".ckpt") == 1
