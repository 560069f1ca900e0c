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
from nerfstudio.engine.trainer import Trainer
from nerfstudio.utils import comms
from small_trainer import trainer

from softmining_nerfstudio.methods import softmining_lite
from softmining_nerfstudio.training import next_steps, resumable
from softmining_nerfstudio.training.checkpoints import newest, require_loadable, require_whole
from softmining_nerfstudio.training.course import Course
from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.interruption import Interrupted
from softmining_nerfstudio.training.trainer import SoftMiningTrainer, SoftMiningTrainerConfig


class Arbitrary:
    """What a checkpoint has no business to hold."""


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


@pytest.mark.parametrize(
    ("start", "steps", "says", "saved"),
    [
        (100, 0, "there is nothing new to save", []),  # while a checkpoint is being loaded
        (5, 5, "there is nothing new to save", []),
        (5, 7, "Stopped after 7 steps. Resume with:", ["step-000000006.ckpt"]),
        (5, 8, "Stopped after the last of 8 steps", ["step-000000007.ckpt"]),
    ],
)
def test_whatever_is_stopped_leaves_what_is_new(
    start: int,
    steps: int,
    says: str,
    saved: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(next_steps, "rgb_name_of", lambda pipeline: "rgb")
    made = trainer(tmp_path, max_num_iterations=8)
    made.pipeline.datamanager = SimpleNamespace(train_dataset=[1, 2], eval_dataset=[1])
    made._start_step, made.course.steps = start, steps
    with pytest.raises(SystemExit), made.interruption():
        raise Interrupted(signal.SIGINT)
    said = capsys.readouterr().out
    assert says in said
    assert ("ns-viewer --load-config" in said) == (steps == 8)
    assert [path.name for path in made.checkpoint_dir.glob("*")] == saved


def test_a_cool_down_that_goes_on_takes_the_checkpoint_before_it_along(tmp_path: Path) -> None:
    old, made = tmp_path / "old" / "before_cool_down", trainer(tmp_path, max_num_iterations=8)
    old.mkdir(parents=True)
    torch.save({"step": 4}, old / "step-000000004.ckpt")
    for steps, expected in ((5, []), (8, []), (6, ["step-000000004.ckpt"])):
        made.course.steps = steps
        made._take_over(newest(old))
        own = made.checkpoint_dir.with_name("before_cool_down")
        assert [path.name for path in own.glob("*")] == expected
    made._take_over(newest(own))
    assert torch.load(own / "step-000000004.ckpt") == {"step": 4}


@pytest.mark.parametrize(("total", "kept"), [(100, []), (20, ["step-000000015.ckpt"])])
def test_a_cool_down_that_begins_where_a_training_stopped_keeps_that_checkpoint(
    total: int, kept: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after 16 of 100 steps: to cool down from there, or to go on."""
    checkpoints = tmp_path / "old" / "nerfstudio_models"
    checkpoints.mkdir(parents=True)
    torch.save({"step": 15}, checkpoints / "step-000000015.ckpt")
    monkeypatch.setattr(Trainer, "_load_checkpoint", lambda self: setattr(self, "_start_step", 16))
    monkeypatch.setattr(resumable, "course_in", lambda checkpoint: Course(100, "steps", 0.3, steps=16))
    made = trainer(tmp_path / "after", load_dir=checkpoints, max_num_iterations=total)
    made.pipeline.datamanager = SimpleNamespace()
    made._load_checkpoint()
    assert [path.name for path in made.checkpoint_dir.with_name("before_cool_down").glob("*")] == kept


def test_one_process_alone_takes_it_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, made = tmp_path / "old" / "before_cool_down", trainer(tmp_path, max_num_iterations=8)
    old.mkdir(parents=True)
    torch.save({"step": 4}, old / "step-000000004.ckpt")
    made.course.steps = 6
    monkeypatch.setattr(comms, "get_rank", lambda: 1)
    made._take_over(newest(old))
    assert not made.checkpoint_dir.with_name("before_cool_down").exists()


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
        (lambda run: {"load_step": 7}, "--load-step 7 names a checkpoint of --load-dir, which is missing"),
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
    with pytest.raises(UserError, match=message.format(run=run)):
        trainer(tmp_path / "after", **options(run)).setup()


def test_the_folder_of_a_run_is_told_from_that_of_its_checkpoints(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"no checkpoint in {run.parent}, the --load-dir. Name {run}"):
        trainer(tmp_path / "after", load_dir=run.parent).setup()


def test_a_checkpoint_is_found_from_within_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"step": 7}, tmp_path / "step-000000007.ckpt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resumable, "course_in", lambda checkpoint: Course(8, "steps", 0.3, steps=8))
    made = trainer(tmp_path / "after", load_dir=Path(), max_num_iterations=20)
    assert made._chosen_checkpoint() == Path("step-000000007.ckpt")


def test_a_checkpoint_of_another_model_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: Trainer) -> None:
        torch.nn.Linear(2, 3).load_state_dict(torch.nn.Linear(2, 2).state_dict())

    torch.save({"step": 7}, tmp_path / "step-000000007.ckpt")
    monkeypatch.setattr(Trainer, "_load_checkpoint", load)
    made = trainer(tmp_path / "after", load_checkpoint=tmp_path / "step-000000007.ckpt")
    with pytest.raises(UserError, match=r"7\.ckpt does not fit .*: size mismatch for weight: .*config\.yml$"):
        made._load_checkpoint()


def test_a_damaged_checkpoint_without_others_has_no_remedy(tmp_path: Path) -> None:
    (tmp_path / "step-000000001.ckpt").touch()
    with pytest.raises(ValueError, match=r"step-000000001.ckpt .*\b0 bytes") as caught:
        require_whole(newest(tmp_path))
    assert str(caught.value).count(".ckpt") == 1


def test_a_checkpoint_that_would_run_code_is_refused_before_nerfstudio_loads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # as torch before 2.6 loads by default
    run, mark = tmp_path / "checkpoints", tmp_path / "it ran"
    run.mkdir()
    bomb = run / "step-000000001.ckpt"
    torch.save({"step": 1, "pipeline": Bomb(mark)}, bomb)
    for options in ({"load_dir": run}, {"load_checkpoint": bomb}):
        with pytest.raises(UserError, match=r"step-000000001\.ckpt .*more than tensors"):
            trainer(tmp_path / "after", **options).setup()
    with pytest.raises(UserError, match="more than tensors"):
        require_loadable(bomb)
    assert not mark.exists()


class Bomb:
    """Unpickling it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


def test_files_of_other_names_are_no_checkpoints(tmp_path: Path) -> None:
    made = trainer(tmp_path)
    made.save_checkpoint(10)
    others = [".DS_Store", "._step-000000099.ckpt", "step-best.ckpt", "step-000000099.ckpt.tmp", "notes.txt"]
    for name in others:
        (made.checkpoint_dir / name).touch()
    assert newest(made.checkpoint_dir).name == "step-000000010.ckpt"
    made.save_checkpoint(20)
    assert sorted(p.name for p in made.checkpoint_dir.iterdir()) == sorted([*others, "step-000000020.ckpt"])


def test_an_error_that_a_person_can_mend_ends_without_a_traceback() -> None:
    code = "from softmining_nerfstudio.training.errors import UserError; raise UserError('the disk is full')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (1, "the disk is full\n")
