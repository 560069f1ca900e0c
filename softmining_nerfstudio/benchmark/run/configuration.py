"""The configuration of a run: its `ns-train` command, parsed as ns-train does, with the settings of the benchmark."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from textwrap import shorten

import tyro
from nerfstudio.configs.external_methods import ExternalMethodDummyTrainerConfig
from nerfstudio.configs.method_configs import AnnotatedBaseConfigUnion, all_methods
from nerfstudio.engine.trainer import TrainerConfig

from softmining_nerfstudio.benchmark.run.task import Task
from softmining_nerfstudio.training.flags import flag_of
from softmining_nerfstudio.training.scene_kinds import follow_data
from softmining_nerfstudio.training.trainer import SoftMiningTrainerConfig

METHODS = [name for name, config in all_methods.items() if not isinstance(config, ExternalMethodDummyTrainerConfig)]

DECIDED = (
    *("--output-dir", "--method-name", "--experiment-name", "--timestamp", "--relative-model-dir"),
    *("--logging.relative-log-dir", "--viewer.relative-log-filename"),
    *("--load-dir", "--load-step", "--load-checkpoint", "--load-config"),
    *("--max-num-iterations", "--machine.seed", "--vis"),
    *("--steps-per-save", "--steps-per-eval-batch", "--steps-per-eval-image", "--steps-per-eval-all-images"),
    *("--save-only-latest-checkpoint", "--logging.local-writer.max-log-size", "--viewer.quit-on-train-completion"),
)
"""The benchmark itself decides where a run writes, from which checkpoint it goes on, and what `configure` sets."""
KEYS = {"--max-num-iterations": "steps = 2000", "--machine.seed": "seeds = [1, 2, 3]", "--minutes": "minutes = [2]"}
"""What a suite has in place of an option."""
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
    refuse(command, DECIDED)
    if config.data:
        config.pipeline.datamanager.data = config.data  # type: ignore[attr-defined]
    return config


def refuse(command: Sequence[str], flags: Collection[str]) -> None:
    """Check that a command has none of these flags.

    Raises:
        ValueError: it has one; the benchmark would drop it.
    """
    for flag in map(flag_of, command):
        if flag in flags:
            instead = f"; expected the suite's own {KEYS[flag]}" if flag in KEYS else ""
            raise ValueError(f"{flag} is not for a suite: the benchmark decides on it{instead}")


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
