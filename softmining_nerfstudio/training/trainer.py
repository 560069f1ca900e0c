"""nerfstudio's Trainer, for as long as was asked for, with a cool-down at its end."""

from __future__ import annotations

import errno
import sys
import traceback
from dataclasses import dataclass, field
from typing import Any

import torch
from nerfstudio.utils import comms, writer
from nerfstudio.utils.decorators import check_viewer_enabled
from nerfstudio.utils.rich_utils import CONSOLE

from softmining_nerfstudio.dataparsers.demo_scene import DemoSceneDataParserConfig
from softmining_nerfstudio.training import held_out
from softmining_nerfstudio.training.company import in_company, require_gpus, require_same_course
from softmining_nerfstudio.training.divergence import require_finite_losses, telling_of_memory
from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.flags import require_consistent
from softmining_nerfstudio.training.interruption import Interrupted
from softmining_nerfstudio.training.looking import Thumbnails
from softmining_nerfstudio.training.paced import PacedTrainer, course_of
from softmining_nerfstudio.training.run_folder import RunFolderConfig, require_own_data
from softmining_nerfstudio.training.scene_kinds import follow_data, parser_of
from softmining_nerfstudio.training.terminal import counted
from softmining_nerfstudio.training.threads import leave_busy_cores_alone

_ALL_VIEWS = "Eval Images Metrics Dict (all images)"
"""nerfstudio's name of that event."""
_EVALUATION = 60.0
"""Seconds that the evaluation at the end may take after any training."""
_STEPS_PER_CHECK_ON_GPU = 10
"""A check of the losses waits for the GPU."""


@dataclass
class SoftMiningTrainerConfig(RunFolderConfig):
    """nerfstudio's training options.

    Raises:
        ValueError: if there are no steps to train, or the length or its cool-down is none.
    """

    _target: type = field(default_factory=lambda: SoftMiningTrainer)
    minutes: float | None = None
    """Train for this long in place of max-num-iterations steps. Evaluation, checkpoints and the first step, which
    compiles, do not count. A resumed training goes on to this total."""
    cool_down: float = 0.3
    """Larger anneals for longer: fraction of the training, at its end, in which the learning rates fall. 0: the
    method's own schedule, as nerfstudio has it."""

    def __post_init__(self) -> None:
        if self.max_num_iterations < 1:
            raise ValueError(f"max_num_iterations is {self.max_num_iterations}; expected at least 1")
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"minutes is {self.minutes}; expected more than 0")
        course_of(self)  # refuses the rest

    def set_timestamp(self) -> None:
        """Name the run, and make its folder, if its data can be read; ns-train calls this first.

        Raises:
            UserError: the data cannot be read, flags contradict each other, or nerfstudio cannot start as many
                processes.
        """
        require_consistent(sys.argv)
        require_gpus(self.machine)
        datamanager = self.pipeline.datamanager
        try:
            if datamanager.data is not None:
                datamanager.data = datamanager.data.expanduser()  # a shell leaves --data=~ as it is
            parser = parser_of(self)
        except RuntimeError as error:  # nobody has that home folder
            raise UserError(f"--data {datamanager.data}: {error}") from error
        except (OSError, ValueError) as error:
            raise UserError(str(error)) from error
        if isinstance(parser, DemoSceneDataParserConfig) and parser is not datamanager.dataparser:  # type: ignore[attr-defined]
            require_own_data(self)
        super().set_timestamp()

    def print_to_terminal(self) -> None:
        """Fit the settings to the data, print them, and say so; ns-train calls this before it records them."""
        said = follow_data(self, sys.argv)
        super().print_to_terminal()
        CONSOLE.print(said, markup=False, highlight=False, soft_wrap=True)


class SoftMiningTrainer(PacedTrainer):
    """Trains like nerfstudio's Trainer, to a total of steps or minutes."""

    config: SoftMiningTrainerConfig
    _evaluated: int | None = None

    @in_company
    def setup(self, *arguments: Any, **options: Any) -> None:
        """Set up, with threads for the cores that are idle.

        Raises:
            UserError: the service that --vis names cannot be logged in to, or the processes of a training differ.
        """
        if torch.device(self.device).type == "cpu":
            CONSOLE.print(f"Torch's threads: {leave_busy_cores_alone()}.")
        try:
            super().setup(*arguments, **options)
        except Exception as error:
            frames = (frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__))
            if "setup_event_writer" in frames:
                raise UserError(f"--vis {self.config.vis}: {error} viewer and tensorboard need no account.") from error
            raise
        if self.world_size > 1:
            require_same_course(self._start_step, self.course, self.device)

    @check_viewer_enabled
    def _init_viewer_state(self) -> None:
        manager = self.pipeline.datamanager
        assert self.viewer_state is not None
        assert manager.train_dataset is not None
        self.viewer_state.init_scene(
            train_dataset=Thumbnails(manager.train_dataset),  # type: ignore[arg-type]
            train_state=self.training_state,
            eval_dataset=manager.eval_dataset,
        )

    @in_company
    def train(self) -> None:
        """Train for as long as was asked for.

        Raises:
            SystemExit: a signal has ended it, with the exit status of that signal.
            UserError: training has diverged, its last checkpoint cannot be saved, or the disk of its log is full.
        """
        try:
            super().train()
        except FloatingPointError as error:
            raise UserError(str(error)) from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._stop()
            raise UserError(f"the log in {self.base_dir} cannot be written: {error.strerror}") from error

    def train_iteration(self, step: int) -> Any:
        """One step.

        Raises:
            UserError: if a loss term is not finite, or the rays do not fit into the memory.
        """
        with telling_of_memory(self.pipeline.datamanager.get_train_rays_per_batch()):
            loss, losses, metrics = super().train_iteration(step)
        looks = not self.device.startswith("cuda") or step % _STEPS_PER_CHECK_ON_GPU == 0
        if looks and not self.grad_scaler.is_enabled():  # which skips a step whose gradient is not finite
            require_finite_losses(losses, self.pipeline, step, self.checkpoint_dir)
        return loss, losses, metrics

    def eval_iteration(self, step: int) -> None:
        """Evaluate if it is due, and show the PSNR of held-out views in the terminal; nerfstudio only logs it."""
        super().eval_iteration(step)
        for event in list(writer.EVENT_STORAGE):
            if event["name"] == "Eval Images Metrics" and "psnr" in event["event"]:
                writer.put_scalar(writer.EventName.CURR_TEST_PSNR, event["event"]["psnr"], step)
            elif event["name"] == _ALL_VIEWS:
                self._evaluated = step
                held_out.say(f"All held-out views after {counted(step + 1, 'step')}", event["event"])

    def _after_train(self) -> None:
        """Save, evaluate held-out views for as long as training took, or a minute, and end."""
        self.step = max(self.course.steps - 1, 0)  # nerfstudio's loop counts one on
        self.training_state = "completed"
        self.save_checkpoint(self.step)
        views = self.pipeline.datamanager.eval_dataset
        if self.attended and views and self._evaluated != self.step and comms.is_main_process():
            with held_out.in_time(self.pipeline.datamanager, max(self.course.seconds, _EVALUATION)) as seen:
                metrics = self.pipeline.get_average_eval_image_metrics(step=self.step)
            writer.put_dict(_ALL_VIEWS, metrics, self.step)
            held_out.say(f"{seen.named} after {counted(self.step + 1, 'step')}", metrics)
        super()._after_train()

    def _train_complete_viewer(self) -> None:
        """Leave the viewer open until a signal comes: all is done and saved, so it is no failure."""
        try:
            super()._train_complete_viewer()
        except Interrupted:
            CONSOLE.print("Closed the viewer.")
