"""The configuration of a run: its `ns-train` command, parsed as ns-train does, with the settings of the benchmark."""

from __future__ import annotations

import contextlib
import io
import sys
from operator import attrgetter
from pathlib import Path
from textwrap import shorten

import tyro
from nerfstudio.configs.external_methods import ExternalMethodDummyTrainerConfig
from nerfstudio.configs.method_configs import AnnotatedBaseConfigUnion, all_methods
from nerfstudio.engine.trainer import TrainerConfig

from softmining_nerfstudio.benchmark.run.task import Task
from softmining_nerfstudio.training.scene_kinds import follow_data
from softmining_nerfstudio.training.trainer import SoftMiningTrainerConfig

METHODS = [name for name, config in all_methods.items() if not isinstance(config, ExternalMethodDummyTrainerConfig)]

DECIDED = (
    *("output_dir", "method_name", "experiment_name", "timestamp", "relative_model_dir", "logging.relative_log_dir"),
    *("viewer.relative_log_filename", "load_dir", "load_step", "load_checkpoint", "load_config"),
)
"""The benchmark itself decides where a run writes, and from which checkpoint it goes on."""
LONGEST_MESSAGE = 500
"""Characters of ns-train's message; it may go on with the help of every method."""


def parse(command: list[str]) -> TrainerConfig:
    """The configuration that `ns-train` would train.

    Raises:
        ValueError: ns-train refuses the command, or the benchmark cannot measure it.
    """
    if command[0] not in METHODS:
        raise ValueError(f"{command[0]!r} is no method of ns-train. Allowed: {', '.join(METHODS)}")
    preset = all_methods[command[0]]
    if not hasattr(preset.pipeline.datamanager, "train_num_rays_per_batch"):
        raise ValueError(
            f"{command[0]} trains on whole images; the benchmark measures methods that train on rays, such as nerfacto"
        )
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            config = tyro.cli(AnnotatedBaseConfigUnion, args=command, prog="ns-train")
    except SystemExit as error:
        message = shorten(_without_frame(said.getvalue()), LONGEST_MESSAGE, placeholder=" ...")
        raise ValueError(f"ns-train refuses: {message}") from error
    for setting in DECIDED:
        if attrgetter(setting)(config) != attrgetter(setting)(preset):
            option = setting.replace("_", "-")
            raise ValueError(f"--{option} is not for a suite: the benchmark decides where runs write and start")
    if config.data:
        config.pipeline.datamanager.data = config.data  # type: ignore[attr-defined]
    return config


def _without_frame(box: str) -> str:
    """tyro's message as one line, without the box."""
    lines = [line.strip(" │╭╮╰╯─") for line in box.splitlines()]
    said = [line for line in lines if line.strip("-") and not line.startswith("For full helptext")]
    return " ".join(" ".join(said).split())


def configure(task: Task) -> TrainerConfig:
    """The configuration of a run, with the settings of the benchmark."""
    config = parse(task.command)
    if isinstance(config, SoftMiningTrainerConfig):
        follow_data(config, task.command)
    config.output_dir = Path(task.folder) / "runs"
    config.experiment_name = task.experiment
    config.timestamp = f"seed-{task.seed}"
    config.machine.seed = task.seed
    if task.minutes is None:
        config.max_num_iterations = task.steps
    never = sys.maxsize
    config.steps_per_eval_batch = config.steps_per_eval_image = config.steps_per_eval_all_images = never
    config.steps_per_save = never
    config.save_only_latest_checkpoint = True
    config.vis = "tensorboard"
    config.logging.local_writer.max_log_size = 0  # a log file, not a terminal
    config.viewer.quit_on_train_completion = True
    return config
