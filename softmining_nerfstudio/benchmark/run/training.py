"""One measured training run: `python -m softmining_nerfstudio.benchmark.run.training TASK`, with TASK in JSON.

nerfstudio's own trainer trains. It pauses for measurements, and the clocks stand still meanwhile. Every measurement
leaves a checkpoint; an interrupted run goes on from the last one, its clocks included. The clocks leave out set-up and
the start of worker processes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from nerfstudio.scripts.train import train_loop
from torch import Tensor

from softmining_nerfstudio.benchmark import devices, results
from softmining_nerfstudio.benchmark.results import Measurement
from softmining_nerfstudio.benchmark.run import evaluation
from softmining_nerfstudio.benchmark.run.clock import Clock, forget_peak_memory, peak_memory
from softmining_nerfstudio.benchmark.run.configuration import configure
from softmining_nerfstudio.benchmark.run.task import Task
from softmining_nerfstudio.training.checkpoints import newest
from softmining_nerfstudio.training.datamanager import SoftMiningDataManager
from softmining_nerfstudio.training.interruption import Interruption
from softmining_nerfstudio.training.looking import pictures
from softmining_nerfstudio.training.perceptual import lazy_lpips
from softmining_nerfstudio.training.questions import refuse_questions
from softmining_nerfstudio.training.rendering import blended
from softmining_nerfstudio.training.trainer import SoftMiningTrainer


class MeasuredTrainer(SoftMiningTrainer):
    """A trainer that measures itself. Its checkpoints are whole or absent, with any trainer as the other base.

    Args:
        last: The measurement at the checkpoint that the run goes on from.
    """

    attended = False

    def __init__(self, config: Any, task: Task, last: Measurement | None, **options: Any) -> None:
        super().__init__(config, **options)
        self.task = task
        self.clock = Clock(self.device)
        self.number = self.peak_memory = 0
        if last is not None:
            self.clock.seconds, self.clock.cpu_seconds = last.seconds, last.cpu_seconds
            self.peak_memory = last.peak_memory

    def setup(self, *arguments: Any, **options: Any) -> None:
        """Set up on the test views, as ns-eval does."""
        del arguments, options
        with lazy_lpips(), refuse_questions():  # builds stock methods offline
            super().setup("test")
        assert self.pipeline.datamanager.eval_dataset is not None
        self.dataset = self.pipeline.datamanager.eval_dataset
        blend = partial(blended, self.pipeline.model)
        self.pixels = evaluation.HeldOutPixels.draw(self.dataset, self.task.eval_pixels, blend)

    def train(self) -> None:
        """Measure before the first step, then train."""
        wait_for_workers(self.pipeline.datamanager)
        forget_peak_memory(self.clock.device)
        self.number = self.task.number(self.course.position)
        if self._start_step == 0:
            self.measure(0)
        self.clock.start()
        super().train()

    def _end_step(self, interruption: Interruption, step: int) -> None:
        super()._end_step(interruption, step)
        self.after_step(step)

    def after_step(self, step: int) -> None:
        """Measure if it is time, off the clock, and leave a checkpoint."""
        last, number = self.course.finished, self.task.number(self.course.position)
        if number > self.number or last:
            self.number = number
            self.clock.stop()
            self.measure(step + 1)
            self.save_checkpoint(step)
            self.clock.start()

    def save_checkpoint(self, step: int) -> None:
        """Leave a checkpoint, unless the run has ended: then nothing goes on from it."""
        if not self.course.finished:
            super().save_checkpoint(step)

    def measure(self, step: int) -> None:
        """Append a measurement to the results."""
        task, model = self.task, self.pipeline.model
        self.peak_memory = max(self.peak_memory, peak_memory(self.clock.device))
        last = self.course.finished
        shown = task.is_shown(self.number, last)
        path, mined = Path("renders") / task.name / f"step-{step:06d}.png", {}
        with evaluation.undisturbed(self.pipeline):
            psnr = self.pixels.psnr(model)
            final = evaluation.whole_views(model, self.dataset, task.final_views) if last else None
            if shown:
                assert task.strip_view is not None
                evaluation.render(model, self.dataset, task.strip_view, Path(task.folder) / path)
                for name, picture in self.mined_pictures().items():
                    mined[name] = path.with_name(f"{name}-{step:06d}.png").as_posix()
                    evaluation.write_image(picture, Path(task.folder) / mined[name])
        record = Measurement(
            **task.run._asdict(),
            step=step,
            seconds=self.clock.seconds,
            cpu_seconds=self.clock.cpu_seconds,
            psnr=psnr,
            peak_memory=self.peak_memory,
            render=path.as_posix() if shown else None,
            final=final,
            mined=mined or None,
            device=devices.name_of(self.clock.device),
            threads=torch.get_num_threads(),
        )
        results.append(Path(task.folder), record)
        forget_peak_memory(self.clock.device)

    def mined_pictures(self) -> dict[str, Tensor]:
        """Pictures of the rays and walkers of the first training image; empty where nothing is mined."""
        datamanager = self.pipeline.datamanager
        if not isinstance(datamanager, SoftMiningDataManager) or datamanager.train_pixel_sampler is None:
            return {}
        return pictures(datamanager.train_dataset, datamanager.train_pixel_sampler, 0)


def wait_for_workers(datamanager: Any) -> None:
    """Wait for the first batch of the worker processes of nerfstudio's ParallelDataManager (stock nerfacto has it).

    Raises:
        RuntimeError: they end without one.
    """
    queue = getattr(datamanager, "data_queue", None)
    while queue is not None and queue.empty():
        if not any(worker.is_alive() for worker in datamanager.data_procs):
            raise RuntimeError("the worker processes that load the data have ended")
        time.sleep(0.01)


def last_measurement(task: Task, checkpoints: Path) -> Measurement | None:
    """The measurement at the newest checkpoint; None if there is no checkpoint to go on from."""
    checkpoint = newest(checkpoints)
    return None if checkpoint is None else results.at_checkpoint(Path(task.folder), task.run, checkpoint)


def train(task: Task) -> None:
    """Train and measure a run to its end, from its last checkpoint if there is one."""
    config = configure(task)
    config.save_config()
    trainer = type("MeasuredTrainer", (MeasuredTrainer, config._target), {})
    checkpoints = config.get_checkpoint_dir()
    last = last_measurement(task, checkpoints)
    if last is not None:
        config.load_dir = checkpoints
    config._target = partial(trainer, task=task, last=last)  # type: ignore[assignment]
    train_loop(0, 1, config)


def take_standard_input() -> int:
    """Put an empty input in place of the parent's pipe, so that no question waits for it; returns the pipe."""
    pipe = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return pipe


def _end_with_parent(pipe: int) -> None:
    """End this process and its workers with the parent, which holds the other end of the pipe."""
    while os.read(pipe, 1):
        pass
    if sys.platform != "win32" and os.getpgrp() == os.getpid():  # the runner gives it a group of its own
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, args=(take_standard_input(),), daemon=True).start()
    train(Task(**json.loads(sys.argv[1])))
