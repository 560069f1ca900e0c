"""What a training reports of its miner: numbers and pictures in the log, plots in the viewer, and when it has finished
what to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from nerfstudio.engine.trainer import Trainer
from nerfstudio.utils import comms, writer
from nerfstudio.utils.misc import step_check

from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSampler
from softmining_nerfstudio.training import next_steps
from softmining_nerfstudio.training.looking import pictures

if TYPE_CHECKING:
    from softmining_nerfstudio.training.viewer import MiningPanel


class Report:
    """Of one training.

    Args:
        trainer: whose settings say how often to log and to draw.
        dataset: of the training images.
        sampler: draws the training rays; None where nothing trains.
        panel: in the viewer; None where nothing trains.
    """

    def __init__(
        self,
        trainer: Trainer,
        dataset: InputDataset,
        sampler: SoftMiningPixelSampler | None,
        panel: MiningPanel | None,
    ) -> None:
        self.trainer, self.dataset, self.sampler, self.panel = trainer, dataset, sampler, panel

    def callbacks(self) -> list[TrainingCallback]:
        """What the trainer calls after each step, and when training has ended."""
        return [
            TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], self.log),
            TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], self.draw),
            TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN], self.say_what_next),
        ]

    def log(self, step: int) -> None:
        """The miner's numbers, as often as nerfstudio logs its own."""
        if self.sampler is None or step % writer.GLOBAL_BUFFER["steps_per_log"]:
            return
        statistics = self.sampler.statistics()
        self.sampler.history.add_statistics(step, statistics)
        for name, value in statistics.items():
            writer.put_scalar(name=name, scalar=torch.as_tensor(value), step=step)

    def draw(self, step: int) -> None:
        """The viewer's plots, and pictures of rays and walkers as often as nerfstudio evaluates an image."""
        if self.panel is not None:
            self.panel.after_step()
        if self.sampler is None or not step_check(step, self.trainer.config.steps_per_eval_image, run_at_zero=True):
            return
        image = 0 if self.panel is None else self.panel.shown_image
        for name, picture in pictures(self.dataset, self.sampler, image).items():
            writer.put_image(f"Soft Mining/{name} of {self.sampler.image_names[image]}", picture, step)

    def say_what_next(self, step: int) -> None:
        """The commands that view, evaluate, render and export the run."""
        del step
        if comms.is_main_process():
            next_steps.say(self.trainer)
