"""nerfstudio's Trainer. Whatever ends it, a whole and finite checkpoint stays, and a line says how to go on."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from nerfstudio.engine.trainer import Trainer
from nerfstudio.utils.decorators import check_main_thread
from nerfstudio.utils.rich_utils import CONSOLE

from softmining_nerfstudio.training import next_steps, saving
from softmining_nerfstudio.training.checkpoints import course_in, newest, require_loadable, step_of
from softmining_nerfstudio.training.course import Course
from softmining_nerfstudio.training.divergence import require_finite_parameters
from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.interruption import Interrupted, Interruption, say_stopped
from softmining_nerfstudio.training.optimizers import take_learning_rates
from softmining_nerfstudio.training.run_folder import require_resumable

BEFORE_COOL_DOWN = "before_cool_down"
"""Folder beside the checkpoints, with the one to train on from for longer."""


class ResumableTrainer(Trainer):
    """A run that is killed at any moment can be resumed, and one that has ended can be trained on."""

    attended = True
    """Whether a person waits for it: signals end it with a checkpoint, the one from before the cool-down is kept, and
    held-out views are evaluated at the end. Benchmarks turn it off."""
    course: Course
    """Where the training is, and where it ends."""
    _saved: int | None = None

    def setup(self, *arguments: Any, **options: Any) -> None:
        """Check that the checkpoint to resume from is there, whole and harmless, then set up.

        Raises:
            UserError: if it is not.
        """
        require_resumable(self.config)
        with self.interruption():
            super().setup(*arguments, **options)

    def _load_checkpoint(self) -> None:
        chosen = self._chosen_checkpoint()
        where = {} if chosen is None else {"load_dir": chosen.parent, "load_step": step_of(chosen)}
        checkpoint = chosen or self.config.load_checkpoint
        with self.options(**where):  # or nerfstudio takes every name in that folder for a step
            try:
                super()._load_checkpoint()
            except RuntimeError as error:
                if "loading state_dict" not in str(error):
                    raise
                difference = str(error).splitlines()[1].strip()
                raise UserError(
                    f"{checkpoint} does not fit this model or its number of images: {difference} Give the method, "
                    "the options and the data of its config.yml"
                ) from error
        vars(self.pipeline.datamanager)["course"] = self.course  # checkpoints keep it
        if checkpoint is not None:
            take_learning_rates(self.optimizers)
            recorded = course_in(checkpoint)
            self.course.resume(self._start_step, recorded)
            begins = recorded is not None and not recorded.cooled
            self._take_over(checkpoint if begins else newest(checkpoint.absolute().parent.with_name(BEFORE_COOL_DOWN)))

    @check_main_thread
    def _take_over(self, before: Path | None) -> None:
        """Copy the checkpoint before a cool-down that begins here or goes on, so that this run, too, can be trained on
        for longer."""
        own = self.checkpoint_dir.with_name(BEFORE_COOL_DOWN)
        cools_down = self.course.cooling and not self.course.finished
        if not (self.attended and cools_down and before is not None) or before.parent.resolve() == own.resolve():
            return
        try:
            saving.write(own, before.name, partial(saving.copy, before), only_latest=True)
        except UserError as error:
            CONSOLE.print(f"[yellow]{error}. Training goes on.", soft_wrap=True)

    def _chosen_checkpoint(self) -> Path | None:
        """The checkpoint of a folder to go on from: for a longer training than before, the one before its cool-down."""
        folder, step = self.config.load_dir, self.config.load_step
        if folder is None:
            return None
        if step is not None:
            return folder / f"step-{step:09d}.ckpt"
        latest = newest(folder)
        recorded = None if latest is None else course_in(latest)
        if recorded is None or not recorded.cooled or not self.course.goes_beyond(recorded):
            return latest
        before = newest(folder.absolute().with_name(BEFORE_COOL_DOWN))
        if before is None:
            CONSOLE.print("The checkpoint has cooled down: the learning rates rise again.")
            return latest
        require_loadable(before)
        CONSOLE.print(f"Going on from before the cool-down, {before.name}.", highlight=False)
        return before

    @contextmanager
    def interruption(self) -> Iterator[Interruption]:
        """Within this context, a signal ends the process with a checkpoint and the line that resumes."""
        try:
            with Interruption(self.attended and self.world_size == 1) as interruption:
                try:
                    yield interruption
                except Interrupted:
                    self._stop()
                    raise
        except Interrupted as error:
            raise SystemExit(error.exit_status) from None

    def _stop(self) -> None:
        self.training_state = "completed"
        done = self.course.steps
        new = done > self._start_step  # less while a checkpoint is being loaded
        if new:
            self.save_checkpoint(done - 1)
        with suppress(OSError):  # the terminal may be gone
            if not new:
                CONSOLE.print("Stopped before the first step: there is nothing new to save.")
            elif self.course.finished:
                CONSOLE.print(f"Stopped after the last of {done} steps, before the held-out views were all evaluated.")
                next_steps.say(self)
            else:
                say_stopped(self.course, self.checkpoint_dir)

    @contextmanager
    def options(self, **changes: Any) -> Iterator[None]:
        """Within this context, some options are others."""
        asked, self.config = self.config, copy.copy(self.config)
        vars(self.config).update(changes)
        try:
            yield
        finally:
            self.config = asked

    @check_main_thread
    def save_checkpoint(self, step: int) -> None:
        """Write a checkpoint. If the disk refuses it, say so and go on; it is an error only when training ends.

        Raises:
            UserError: if a parameter is not finite, or the last checkpoint cannot be saved. The one before stays.
        """
        if self._saved == step and (self.checkpoint_dir / _name(step)).exists():
            return
        if self._save(step, self.checkpoint_dir, self.config.save_only_latest_checkpoint):
            self._saved = step

    @check_main_thread
    def save_before_cool_down(self) -> None:
        """Keep the checkpoint to train on from for longer, one for a run."""
        self._save(self.course.steps - 1, self.checkpoint_dir.with_name(BEFORE_COOL_DOWN), only_latest=True)

    def _save(self, step: int, folder: Path, only_latest: bool) -> bool:
        """Write a checkpoint into a folder; returns whether the disk took it."""
        require_finite_parameters(self.pipeline, step, self.checkpoint_dir)
        own = self.checkpoint_dir

        def save(into: Path) -> None:
            self.checkpoint_dir = into
            try:
                super(ResumableTrainer, self).save_checkpoint(step)
            finally:
                self.checkpoint_dir = own

        try:
            saving.write(folder, _name(step), save, only_latest)
            return True
        except UserError as error:
            if self.training_state == "completed":
                raise
            CONSOLE.print(f"[yellow]{error}. Training goes on.", soft_wrap=True)
            return False


def _name(step: int) -> str:
    return f"step-{step:09d}.ckpt"
