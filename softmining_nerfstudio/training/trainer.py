"""nerfstudio's Trainer, for as long as was asked for, with a cool-down at its end."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.utils import comms, writer
from nerfstudio.utils.decorators import check_viewer_enabled
from nerfstudio.utils.rich_utils import CONSOLE
from torch import distributed

from softmining_nerfstudio.training import held_out
from softmining_nerfstudio.training.company import in_company, require_gpus
from softmining_nerfstudio.training.course import Course
from softmining_nerfstudio.training.divergence import require_finite_losses, telling_of_memory
from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.interruption import Interrupted, Interruption
from softmining_nerfstudio.training.looking import Thumbnails
from softmining_nerfstudio.training.resumable import ResumableTrainer
from softmining_nerfstudio.training.run_folder import RunFolderConfig
from softmining_nerfstudio.training.scene_kinds import follow_data, parser_of
from softmining_nerfstudio.training.schedule import on_course
from softmining_nerfstudio.training.threads import leave_busy_cores_alone

_ALL_VIEWS = "Eval Images Metrics Dict (all images)"
"""nerfstudio's name of that event."""
_STEPS_PER_CHECK_ON_GPU = 10
"""A check of the losses waits for the GPU."""
_STEPS_PER_AGREEMENT = 10
"""Of several processes, on the time and on the end."""
_ENDLESS = sys.maxsize // 2
"""Steps of nerfstudio's loop, which the course ends."""


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
            UserError: the data cannot be read, or nerfstudio cannot start the processes that are asked for.
        """
        require_gpus(self.machine.num_devices * self.machine.num_machines, self.machine.device_type)
        try:
            parser_of(self)
        except (FileNotFoundError, ValueError) as error:
            raise UserError(str(error)) from error
        super().set_timestamp()

    def print_to_terminal(self) -> None:
        """Fit the settings to the data, print them, and say so; ns-train calls this before it records them."""
        said = follow_data(self, sys.argv)
        super().print_to_terminal()
        CONSOLE.print(said, markup=False, highlight=False, soft_wrap=True)


def course_of(config: Any) -> Course:
    """The course that a trainer's configuration asks for; a stock one's has no cool-down."""
    minutes, share = getattr(config, "minutes", None), getattr(config, "cool_down", 0.0)
    if minutes is None:
        return Course(config.max_num_iterations, "steps", share)
    return Course(60 * minutes, "seconds", share)


class SoftMiningTrainer(ResumableTrainer):
    """Trains like nerfstudio's Trainer, to a total of steps or minutes."""

    config: SoftMiningTrainerConfig
    _finish_wanted = False
    _evaluated: int | None = None
    _begun = 0.0
    """When the step at work began."""
    _uncounted = 0.0
    """Seconds of training that the course has not been told yet."""

    def __init__(self, config: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self.course = course_of(config)

    @in_company
    def setup(self, *arguments: Any, **options: Any) -> None:
        """Set up, with threads for the cores that are idle."""
        if torch.device(self.device).type == "cpu":
            leave_busy_cores_alone()
        super().setup(*arguments, **options)

    def setup_optimizers(self) -> Optimizers:
        """Optimizers whose learning rates follow the course."""
        with self.options(optimizers=on_course(self.config.optimizers, self.course)):
            return super().setup_optimizers()

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
            UserError: training has diverged, or its last checkpoint cannot be saved.
        """
        course = self.course
        if course.finished:
            CONSOLE.print(
                f"The checkpoint has {course.steps} steps, {course.seconds / 60:.1f} minutes of training: nothing is "
                "left of what was asked for. More --max-num-iterations or --minutes go on.",
                soft_wrap=True,
            )
            return
        with self.interruption() as interruption, self.options(max_num_iterations=_ENDLESS):
            self.callbacks = [
                TrainingCallback(
                    [TrainingCallbackLocation.BEFORE_TRAIN_ITERATION], partial(self._begin_step, interruption)
                ),
                *self.callbacks,
                TrainingCallback(
                    [TrainingCallbackLocation.AFTER_TRAIN_ITERATION], partial(self._end_step, interruption)
                ),
            ]
            try:
                super().train()
            except FloatingPointError as error:
                raise UserError(str(error)) from error

    def finish(self) -> None:
        """Cool down from the next step on, then end; the viewer's button calls this."""
        self._finish_wanted = True

    def _begin_step(self, interruption: Interruption, step: int) -> None:
        interruption.begin_step(step)
        self._begun = time.perf_counter()

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
        if step > self._start_step:  # the first one compiles
            self._uncounted += time.perf_counter() - self._begun
        return loss, losses, metrics

    def _end_step(self, interruption: Interruption, step: int) -> None:
        """Count the step, keep a checkpoint if the next one is the first to cool down, end if it was the last."""
        course, cooled_before = self.course, self.course.cooling
        seconds, finish = self._told(step)
        course.add_step(seconds)
        if finish:
            course.finish()
        if self.attended and course.cooling and not cooled_before and not course.finished:
            self.save_before_cool_down()
        self.stop_training |= course.finished
        timed = writer.GLOBAL_BUFFER["events"].get(writer.EventName.ITER_TRAIN_TIME.value)
        step_seconds = timed["avg"] if timed else time.perf_counter() - self._begun
        writer.GLOBAL_BUFFER["max_iter"] = course.expected_steps(step_seconds)  # nerfstudio's time left follows it
        interruption.end_step()

    def _told(self, step: int) -> tuple[float, bool]:
        """Seconds since this was last told, and whether to finish; of several processes the first one tells all, now
        and then, as they must agree."""
        if self.world_size > 1 and step % _STEPS_PER_AGREEMENT:
            return 0.0, False
        told = torch.tensor([self._uncounted, self._finish_wanted], dtype=torch.float64)
        self._uncounted, self._finish_wanted = 0.0, False
        if self.world_size > 1:
            told = told.to(self.device)
            distributed.broadcast(told, src=0)
        return float(told[0]), bool(told[1])

    def eval_iteration(self, step: int) -> None:
        """Evaluate if it is due, and show the PSNR of held-out views in the terminal; nerfstudio only logs it."""
        super().eval_iteration(step)
        for event in list(writer.EVENT_STORAGE):
            if event["name"] == "Eval Images Metrics" and "psnr" in event["event"]:
                writer.put_scalar(writer.EventName.CURR_TEST_PSNR, event["event"]["psnr"], step)
            elif event["name"] == _ALL_VIEWS:
                self._evaluated = step
                held_out.say(f"All held-out views after {step + 1} steps", event["event"])

    def _after_train(self) -> None:
        """Save, evaluate all held-out views, and end."""
        self.step = self.course.steps - 1  # nerfstudio's loop counts one on
        self.training_state = "completed"
        self.save_checkpoint(self.step)
        views = self.pipeline.datamanager.eval_dataset
        if self.attended and views and self._evaluated != self.step and comms.is_main_process():
            metrics = self.pipeline.get_average_eval_image_metrics(step=self.step)
            writer.put_dict(_ALL_VIEWS, metrics, self.step)
            held_out.say(f"All held-out views after {self.step + 1} steps", metrics)
        super()._after_train()

    def _train_complete_viewer(self) -> None:
        """Leave the viewer open until a signal comes: all is done and saved, so it is no failure."""
        try:
            super()._train_complete_viewer()
        except Interrupted:
            CONSOLE.print("Closed the viewer.")
