"""The progress bars of a suite in the terminal, and a plot below them if there is one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from softmining_nerfstudio.benchmark import results
from softmining_nerfstudio.benchmark.results import Failure, Measurement, Run
from softmining_nerfstudio.benchmark.run.task import Task

Plot = Callable[[Sequence[Measurement]], RenderableType]
"""Draws measurements for the terminal."""


class _Bars(Progress):
    below: RenderableType = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.below:
            yield self.below


class RunsProgress:
    """A bar for all runs and one for each current run. They count steps or seconds up to the last measurement."""

    def __init__(self, tasks: Sequence[Task], folder: Path, console: Console, plot: Plot | None = None) -> None:
        self.tasks, self.folder, self._plot = tasks, folder, plot
        self._bars = _Bars(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
            console=console,
        )  # fmt: skip
        self._all = self._bars.add_task("all runs", total=sum(task.length for task in tasks), note="")
        self._of_run: dict[Run, Any] = {}
        self._started = time.monotonic()
        self._ended: set[Run] = set()
        self._size, self._measured = 0, dict[Run, Measurement]()
        self._done_before = self._done(self._last())

    def __enter__(self) -> RunsProgress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def _last(self) -> dict[Run, Measurement]:
        """The last measurement of every run. Reads the file again once it has grown."""
        path = self.folder / results.FILE_NAME
        size = path.stat().st_size if path.exists() else 0
        if size != self._size:
            measured = results.load(self.folder)[0]
            self._size, self._measured = size, {m.run: m for m in measured}
            if self._plot is not None:
                self._bars.below = self._plot(measured)
        return self._measured

    def _done(self, last: dict[Run, Measurement]) -> float:
        """Steps or seconds that need no waiting: measured ones, and all of a run that has ended."""
        measured = (task.done(last[task.run]) if task.run in last else 0 for task in self.tasks)
        return sum(t.length if t.run in self._ended else done for t, done in zip(self.tasks, measured, strict=True))

    def show(self, current: Sequence[Task]) -> None:
        """Bring the bars up to date."""
        last = self._last()
        done = self._done(last)
        self._bars.update(self._all, completed=done, note=self._time_left(done))
        for task in current:
            if task.run not in self._of_run:
                self._of_run[task.run] = self._bars.add_task(_name(task), total=task.length, note="starting")
            if measured := last.get(task.run):
                bar, note = self._of_run[task.run], f"{measured.psnr:.2f} dB"
                self._bars.update(bar, completed=task.done(measured), note=note)

    def _time_left(self, done: float) -> str:
        """An estimate from the mean pace of this session, or since a run began anew."""
        if done < self._done_before:
            self._done_before, self._started = done, time.monotonic()
        if done == self._done_before:
            return ""
        each = (time.monotonic() - self._started) / (done - self._done_before)
        left = each * (sum(task.length for task in self.tasks) - done)
        return f"{timedelta(seconds=round(left))} left"

    def say_ended(self, task: Task, failure: Failure | None) -> None:
        """Print one line for a run that has ended, in place of its bar."""
        self._ended.add(task.run)
        if (bar := self._of_run.pop(task.run, None)) is not None:
            self._bars.remove_task(bar)
        measured = self._last().get(task.run)
        if failure is not None:
            line = f"[red]{_name(task)}: {escape(failure.error)}[/red]"
        elif measured is None:
            line = f"{_name(task)}: ended without a measurement"
        else:
            line = f"{_name(task)}: {measured.psnr:.2f} dB after {measured.step} steps, {measured.seconds:.0f} s"
        self._bars.console.print(line, highlight=False, soft_wrap=True)


def _name(task: Task) -> str:
    return escape(f"{task.scene}, {task.method}, seed {task.seed}")
