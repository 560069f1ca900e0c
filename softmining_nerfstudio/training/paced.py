"""nerfstudio's Trainer on a course: it counts steps and seconds, cools down, and ends when the course does."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

import torch
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.utils import writer
from nerfstudio.utils.rich_utils import CONSOLE
from torch import distributed

from softmining_nerfstudio.training.course import Course
from softmining_nerfstudio.training.interruption import Interruption
from softmining_nerfstudio.training.resumable import ResumableTrainer
from softmining_nerfstudio.training.schedule import on_course
from softmining_nerfstudio.training.terminal import counted

_STEPS_PER_AGREEMENT = 10
"""Of several processes, on the time and on the end."""
_ENDLESS = sys.maxsize // 2
"""Steps of nerfstudio's loop, which the course ends."""


def course_of(config: Any) -> Course:
    """The course that a trainer's configuration asks for; a stock one's has no cool-down."""
    minutes, share = getattr(config, "minutes", None), getattr(config, "cool_down", 0.0)
    if minutes is None:
        return Course(config.max_num_iterations, "steps", share)
    return Course(60 * minutes, "seconds", share)


class PacedTrainer(ResumableTrainer):
    """Trains to a total of steps or minutes."""

    _finish_wanted = False
    _begun = _ended = 0.0
    """When the step at work began, and when the one before it ended."""
    _uncounted = 0.0
    """Seconds of training that the course has not been told yet."""

    def __init__(self, config: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self.course = course_of(config)

    def setup_optimizers(self) -> Optimizers:
        """Optimizers whose learning rates follow the course."""
        with self.options(optimizers=on_course(self.config.optimizers, self.course)):
            return super().setup_optimizers()

    def train(self) -> None:
        """Train for as long as was asked for.

        Raises:
            SystemExit: a signal has ended it, with the exit status of that signal.
        """
        course = self.course
        if course.finished:
            CONSOLE.print(
                f"The checkpoint has {counted(course.steps, 'step')}, {course.seconds / 60:.1f} minutes of training: "
                "all that was asked for. To train on, give a larger --max-num-iterations or --minutes.",
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
            super().train()

    def finish(self) -> None:
        """Cool down from the next step on, then end; the viewer's button calls this."""
        self._finish_wanted = True

    def _begin_step(self, interruption: Interruption, step: int) -> None:
        del step
        interruption.begin_step()
        self._begun = time.perf_counter()

    def _end_step(self, interruption: Interruption, step: int) -> None:
        """Count the step, keep a checkpoint if the next one is the first to cool down, end if it was the last."""
        course, cooled_before = self.course, self.course.cooling
        if step > self._start_step:  # the first one compiles
            took = time.perf_counter() - self._begun
            # what lies between two steps is longer than a step only if it is an evaluation, a checkpoint or a pause
            self._uncounted += took + min(self._begun - self._ended, took)
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
        self._ended = time.perf_counter()

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
