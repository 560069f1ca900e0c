"""A run's folder is named after its data and sampling, belongs to one process, and is loaded from where it lies."""

import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
import yaml
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.utils import eval_utils
from small_trainer import trainer

from softmining_nerfstudio.methods import softmining_lite
from softmining_nerfstudio.training import run_folder
from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.scene_kinds import follow_data
from softmining_nerfstudio.training.trainer import SoftMiningTrainerConfig


def lite(folder: Path) -> SoftMiningTrainerConfig:
    """A run of softmining-lite."""
    config = deepcopy(softmining_lite.config)
    assert isinstance(config, SoftMiningTrainerConfig)
    config.output_dir, config.timestamp = folder, "run"
    return config


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A recorded run with two checkpoints, which hold nothing that could be loaded into a model."""
    config = lite(tmp_path / "outputs")
    follow_data(config)
    config.save_config()
    checkpoints = config.get_checkpoint_dir()
    checkpoints.mkdir()
    for step in (10, 20):
        torch.save({"step": step}, checkpoints / f"step-{step:09d}.ckpt")
    return config.get_base_dir()


def loaded(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> SoftMiningTrainerConfig:
    """What nerfstudio's eval_setup, which ns-eval, ns-viewer, ns-render and ns-export call, would load."""
    found = []

    def stop(config: SoftMiningTrainerConfig, pipeline: object) -> None:
        found.append(config)
        raise InterruptedError

    monkeypatch.setattr(eval_utils, "eval_load_checkpoint", stop)
    monkeypatch.setattr(eval_utils, "Pipeline", torch.nn.Module)
    pipeline = type(yaml.load(config_file.read_text(), Loader=yaml.Loader).pipeline)
    monkeypatch.setattr(pipeline, "setup", lambda self, **options: torch.nn.Linear(1, 1))
    with pytest.raises(InterruptedError):
        eval_utils.eval_setup(config_file)
    return found[0]


def test_the_checkpoint_beside_config_yml_is_loaded(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert loaded(run / "config.yml", monkeypatch).load_dir == run / "nerfstudio_models"
    assert "it was trained in" not in capsys.readouterr().out
    copied = Path(shutil.copytree(run, tmp_path / "copied"))
    config = loaded(copied / "config.yml", monkeypatch)
    assert config.load_dir == copied / "nerfstudio_models"
    assert config.get_base_dir() == copied
    assert f"Loading the run in {copied}; it was trained in {run}." in capsys.readouterr().out


def test_a_run_with_a_relative_output_folder_is_loaded_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = lite(Path("outputs"))
    config.save_config()
    run = config.get_base_dir().resolve()
    (run / "nerfstudio_models").mkdir()
    torch.save({"step": 1}, run / "nerfstudio_models" / "step-000000001.ckpt")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert loaded(run / "config.yml", monkeypatch).load_dir == run / "nerfstudio_models"
    assert "it was trained in" not in capsys.readouterr().out


def test_the_newest_checkpoint_is_loaded_whatever_else_lies_there(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (".DS_Store", "notes.txt", "._step-000000030.ckpt"):
        (run / "nerfstudio_models" / name).touch()
    assert loaded(run / "config.yml", monkeypatch).load_step == 20


def test_the_step_that_a_training_resumed_from_is_not_the_one_to_evaluate(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (run / "config.yml").read_text()
    assert "load_step: null" in text
    (run / "config.yml").write_text(text.replace("load_step: null", "load_step: 10"))
    assert loaded(run / "config.yml", monkeypatch).load_step == 20


def test_a_config_without_checkpoints_beside_it_is_told(run: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(run / "config.yml", tmp_path))
    with pytest.raises(UserError, match=f"no checkpoint in {tmp_path}/nerfstudio_models"):
        eval_utils.eval_setup(alone)


def test_a_run_is_named_after_its_data(tmp_path: Path) -> None:
    config = lite(tmp_path)
    assert config.get_base_dir() == tmp_path / "demo-scene" / "softmining-lite" / "run"
    behind, before = lite(tmp_path), lite(tmp_path)
    behind.pipeline.datamanager.dataparser = BlenderDataParserConfig(data=tmp_path / "chair.v2")
    assert behind.get_base_dir().parts[-3] == "chair.v2"
    before.pipeline.datamanager.data = tmp_path / "lego"
    assert before.get_base_dir().parts[-3] == "lego"
    before.experiment_name = None
    (tmp_path / "transforms.json").touch()
    before.pipeline.datamanager.data = tmp_path / "transforms.json"
    assert before.get_base_dir().parts[-3] == tmp_path.name


def test_the_folder_tells_the_sampling_type(tmp_path: Path) -> None:
    config = lite(tmp_path)
    config.pipeline.datamanager.pixel_sampler.sampling_type = "uniform"  # type: ignore[attr-defined]
    assert config.get_base_dir() == tmp_path / "demo-scene" / "softmining-lite-uniform" / "run"
    config.save_config()
    saved = yaml.load((config.get_base_dir() / "config.yml").read_text(), Loader=yaml.Loader)
    assert saved.get_base_dir() == config.get_base_dir()
    assert saved.method_name == "softmining-lite"  # nerfstudio looks the method up by it


def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def same(self: SoftMiningTrainerConfig) -> None:
        self.timestamp = "now"

    monkeypatch.setattr(run_folder.TrainerConfig, "set_timestamp", same)
    names = []
    for _ in range(3):
        config = lite(tmp_path)
        config.timestamp = "{timestamp}"
        config.set_timestamp()
        names.append(config.get_base_dir().name)
    assert names == ["now", "now-2", "now-3"]


@pytest.mark.parametrize(("load_dir", "name"), [(None, "run-2"), ("elsewhere", "run-2"), ("own", "run")])
def test_a_new_training_does_not_take_the_folder_of_another(
    run: Path, tmp_path: Path, load_dir: str | None, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its checkpoints would be deleted. Whoever goes on from them may stay."""
    config = lite(tmp_path / "outputs")
    config.load_dir = {None: None, "elsewhere": tmp_path, "own": run / "nerfstudio_models"}[load_dir]
    config.set_timestamp()
    assert config.get_base_dir() == run.with_name(name)
    assert ("run has the checkpoints of another training: this one is run-2" in capsys.readouterr().out) == (
        name == "run-2"
    )


@pytest.mark.skipif(run_folder.fcntl is None, reason="this system locks no folders")
def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from softmining_nerfstudio.training.run_folder import claim
claim(Path({str(tmp_path)!r}))
print("claimed", flush=True)
input()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "claimed\n"
        with pytest.raises(UserError, match=f"another process is training in {tmp_path}"):
            run_folder.claim(tmp_path)
        first.kill()
        first.wait()
    run_folder.claim(tmp_path)
    run_folder.claim(tmp_path)  # one process may do so twice


@pytest.mark.parametrize("steps", [0, -3])
def test_a_training_without_steps_is_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"max_num_iterations is {steps}; expected at least 1"):
        SoftMiningTrainerConfig(max_num_iterations=steps)


@pytest.mark.parametrize(("option", "value"), [("minutes", 0), ("minutes", float("nan")), ("cool_down", 2)])
def test_a_length_that_is_none_is_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{option} is {value}; expected"):
        SoftMiningTrainerConfig(**{option: value})


def test_a_training_that_has_all_its_steps_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = trainer(tmp_path, max_num_iterations=8)
    made.course.steps = 8
    made.train()
    assert "has 8 steps, 0.0 minutes of training: all that was asked for. To train on, give" in " ".join(
        capsys.readouterr().out.split()
    )
    assert not made.checkpoint_dir.exists()


def test_two_lengths_of_one_training_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", "ns-train softmining-lite --minutes=2 --max_num_iterations 90".split())
    with pytest.raises(UserError, match="two lengths"):
        lite(tmp_path).set_timestamp()


def test_options_beside_a_configuration_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", "ns-train softmining-lite --load-config old.yml --vis viewer --data DIR".split())
    with pytest.raises(UserError, match="leave out --vis, --data, or set them in that file"):
        lite(tmp_path).set_timestamp()


def test_a_training_does_not_go_on_with_the_built_in_scene_for_want_of_data(run: Path, tmp_path: Path) -> None:
    config = lite(tmp_path / "after")
    config.load_dir = run / "nerfstudio_models"
    config.set_timestamp()  # it was on that scene before
    recorded = (run / "config.yml").read_text()
    (run / "config.yml").write_text(recorded.replace("DemoScene", "Blender"))
    with pytest.raises(UserError, match=rf"no data is named, and the training to go on from, {run}, was not"):
        config.set_timestamp()


def test_an_output_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("")
    config = lite(tmp_path / "outputs")
    with pytest.raises(UserError, match=r"cannot make .*outputs.*Name another --output-dir"):
        config.save_config()
    config.timestamp = "{timestamp}"
    with pytest.raises(UserError, match=r"cannot make .*outputs.*Name another --output-dir"):
        config.set_timestamp()
