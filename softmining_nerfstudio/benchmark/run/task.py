"""One training run of a suite: its `ns-train` command, parsed as ns-train does, and the measurements to make."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import tyro
from nerfstudio.configs.external_methods import ExternalMethodDummyTrainerConfig
from nerfstudio.configs.method_configs import AnnotatedBaseConfigUnion, all_methods
from nerfstudio.engine.trainer import TrainerConfig

from softmining_nerfstudio.benchmark.results import Run
from softmining_nerfstudio.benchmark.run.suite import file_name
from softmining_nerfstudio.training.scenes import follow_data
from softmining_nerfstudio.training.trainer import SoftMiningTrainerConfig

METHODS = [name for name, config in all_methods.items() if not isinstance(config, ExternalMethodDummyTrainerConfig)]


@dataclass(frozen=True)
class Task:
    """A run of a suite and its measurements; `suite.Suite` describes the fields."""

    scene: str
    method: str
    seed: int
    command: list[str]
    folder: str
    """Folder of the results."""
    steps: int
    measure_every: int
    eval_pixels: int
    final_views: int
    strip_view: int | None
    render_every: int

    @property
    def run(self) -> Run:
        """The run that it trains."""
        return Run(self.scene, self.method, self.seed)

    @property
    def experiment(self) -> str:
        """nerfstudio's name of it, the same for every seed. `file_name` gives no double dashes."""
        return f"{file_name(self.scene)}--{file_name(self.method)}"

    @property
    def name(self) -> str:
        """Name of the run's files."""
        return f"{self.experiment}-seed-{self.seed}"

    def is_due(self, step: int) -> bool:
        """Whether to measure after this step."""
        return step % self.measure_every == 0 or step == self.steps

    def is_shown(self, step: int) -> bool:
        """Whether to render the strip's view at this measurement."""
        return self.strip_view is not None and step % (self.measure_every * self.render_every) == 0


def parse(command: list[str]) -> TrainerConfig:
    """The configuration that `ns-train` would train.

    Raises:
        ValueError: ns-train refuses the command.
    """
    if command[0] not in METHODS:
        raise ValueError(f"{command[0]!r} is no method of ns-train. Allowed: {', '.join(METHODS)}")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return tyro.cli(AnnotatedBaseConfigUnion, args=command, prog="ns-train")
    except SystemExit as error:
        raise ValueError(f"ns-train refuses: {_without_frame(said.getvalue())}") from error


def _without_frame(box: str) -> str:
    """tyro's message as one line, without the box."""
    lines = [line.strip(" │╭╮╰╯─") for line in box.splitlines()]
    said = [line for line in lines if line.strip("-") and not line.startswith("For full helptext")]
    return " ".join(" ".join(said).split())


def configure(task: Task) -> TrainerConfig:
    """The configuration of a run, with the settings of the benchmark."""
    config = parse(task.command)
    if config.data:  # as ns-train does
        config.pipeline.datamanager.data = config.data
    if isinstance(config, SoftMiningTrainerConfig):
        follow_data(config, task.command)
    config.output_dir = Path(task.folder) / "runs"
    config.experiment_name = task.experiment
    config.timestamp = f"seed-{task.seed}"
    config.machine.seed = task.seed
    config.max_num_iterations = task.steps
    never = task.steps + 1
    config.steps_per_eval_batch = config.steps_per_eval_image = config.steps_per_eval_all_images = never
    config.steps_per_save = never
    config.save_only_latest_checkpoint = True
    config.vis = "tensorboard"
    config.logging.local_writer.max_log_size = 0  # a log file, not a terminal
    config.viewer.quit_on_train_completion = True
    return config
