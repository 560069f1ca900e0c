"""nerfstudio's Trainer. Whatever ends it, a whole and finite checkpoint stays, and a line says how to go on."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from nerfstudio.engine.trainer import Trainer
from nerfstudio.utils import comms, writer
from nerfstudio.utils.decorators import check_main_thread, check_viewer_enabled
from nerfstudio.utils.rich_utils import CONSOLE

from softmining_nerfstudio.training import held_out, saving
from softmining_nerfstudio.training.checkpoints import newest, step_of
from softmining_nerfstudio.training.divergence import (
    require_finite_losses,
    require_finite_parameters,
    telling_of_memory,
)
from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.interruption import Interrupted, Interruption, say_stopped
from softmining_nerfstudio.training.looking import Thumbnails
from softmining_nerfstudio.training.run_folder import RunFolderConfig, require_resumable
from softmining_nerfstudio.training.scene_kinds import follow_data, parser_of
from softmining_nerfstudio.training.threads import leave_busy_cores_alone

_ALL_VIEWS = "Eval Images Metrics Dict (all images)"
"""nerfstudio's name of that event."""
_STEPS_PER_CHECK_ON_GPU = 10
"""A check of the losses waits for the GPU."""


@dataclass
class SoftMiningTrainerConfig(RunFolderConfig):
    """nerfstudio's training options.

    Raises:
        ValueError: if there are no steps to train.
    """

    _target: type = field(default_factory=lambda: SoftMiningTrainer)

    def __post_init__(self) -> None:
        if self.max_num_iterations < 1:
            raise ValueError(f"max_num_iterations is {self.max_num_iterations}; expected at least 1")

    def set_timestamp(self) -> None:
        """Name the run, and make its folder, if its data can be read; ns-train calls this first.

        Raises:
            UserError: the data cannot be read.
        """
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


class SoftMiningTrainer(Trainer):
    """Trains like nerfstudio's Trainer, to a total of max_num_iterations steps. A run that is killed at any moment can
    be resumed."""

    config: SoftMiningTrainerConfig
    attended = True
    """Whether signals end it with a checkpoint, and all held-out views are evaluated at the end."""
    _done: int | None = None
    """The last step that is complete."""
    _saved: int | None = None
    _evaluated: int | None = None

    def setup(self, *arguments: Any, **options: Any) -> None:
        """Check that the checkpoint to resume from is there, whole and harmless, then set up.

        Raises:
            UserError: if it is not.
        """
        require_resumable(self.config)
        if torch.device(self.device).type == "cpu":
            leave_busy_cores_alone()
        with self._interruption():
            super().setup(*arguments, **options)

    def _load_checkpoint(self) -> None:
        folder, step = self.config.load_dir, self.config.load_step
        if folder is not None and step is None and (latest := newest(folder)) is not None:
            step = step_of(latest)  # or nerfstudio takes every name in that folder for a step
        with self._options(load_step=step):
            super()._load_checkpoint()

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

    def train(self) -> None:
        """Train up to the number of steps that was asked for.

        Raises:
            SystemExit: a signal has ended it, with the exit status of that signal.
            UserError: training has diverged, or its last checkpoint cannot be saved.
        """
        total = self.config.max_num_iterations
        if self._start_step >= total:
            CONSOLE.print(
                f"The checkpoint has {self._start_step} steps and {total} were asked for: nothing is left to train. "
                "A larger --max-num-iterations goes on.",
                soft_wrap=True,
            )
            return
        with self._interruption() as interruption, self._options(max_num_iterations=total - self._start_step):

            def end(step: int) -> None:
                self._done = step
                interruption.end_step()

            self.callbacks = [
                TrainingCallback([TrainingCallbackLocation.BEFORE_TRAIN_ITERATION], interruption.begin_step),
                *self.callbacks,
                TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], end),
            ]
            try:
                super().train()
            except FloatingPointError as error:
                raise UserError(str(error)) from error

    @contextmanager
    def _interruption(self) -> Iterator[Interruption]:
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
        if self._done is None:
            CONSOLE.print("Stopped before the first step: there is nothing new to save.")
            return
        self.save_checkpoint(self._done)
        say_stopped(self._done, self.checkpoint_dir)

    @contextmanager
    def _options(self, **changes: Any) -> Iterator[None]:
        """Within this context, some options are others."""
        asked, self.config = self.config, copy.copy(self.config)
        vars(self.config).update(changes)
        try:
            yield
        finally:
            self.config = asked

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
                held_out.say(f"All held-out views after {step + 1} steps", event["event"])

    def _after_train(self) -> None:
        """Save, evaluate all held-out views, and end."""
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

    @check_main_thread
    def save_checkpoint(self, step: int) -> None:
        """Write a checkpoint. If the disk refuses it, say so and go on; it is an error only when training ends.

        Raises:
            UserError: if a parameter is not finite, or the last checkpoint cannot be saved. The one before stays.
        """
        name = f"step-{step:09d}.ckpt"
        if self._saved == step and (self.checkpoint_dir / name).exists():
            return
        require_finite_parameters(self.pipeline, step, self.checkpoint_dir)
        folder = self.checkpoint_dir

        def save(into: Any) -> None:
            self.checkpoint_dir = into
            try:
                super(SoftMiningTrainer, self).save_checkpoint(step)
            finally:
                self.checkpoint_dir = folder

        try:
            saving.write(folder, name, save, self.config.save_only_latest_checkpoint)
            self._saved = step
        except UserError as error:
            if self.training_state == "completed":
                raise
            CONSOLE.print(f"[yellow]{error}. Training goes on, and tries again at the next save.", soft_wrap=True)
