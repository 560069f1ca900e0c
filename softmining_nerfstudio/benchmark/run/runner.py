"""All runs of a suite, wherever they train. An interrupted run goes on from its last checkpoint.

A results folder holds the measurements (results.py), `suite.json` (record.py), `logs/`, `renders/`, and `runs/`:
nerfstudio's folders without their checkpoints.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from softmining_nerfstudio.benchmark import results
from softmining_nerfstudio.benchmark.errors import NoResultsError, SuiteError
from softmining_nerfstudio.benchmark.results import Failure, Measurement
from softmining_nerfstudio.benchmark.run.progress import Plot, RunsProgress
from softmining_nerfstudio.benchmark.run.task import Task

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

POLL = 0.5
"""Seconds between two looks at the running processes."""


class Workers(Protocol):
    """Whatever trains runs: `local.LocalWorkers` has the meaning of each name."""

    @property
    def about(self) -> dict[str, Any]: ...

    @property
    def current(self) -> list[Task]: ...

    def fill(self, waiting: list[Task]) -> None: ...

    def ended(self) -> Iterable[tuple[Task, Failure | None]]: ...

    def stop(self) -> None: ...


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock a results folder for this process, where the system can lock files.

    Raises:
        SuiteError: another process has locked it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w", encoding="utf-8") as file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):  # others: a file system without locks
                raise SuiteError(
                    f"another softmining-bench is at work in {folder}; wait for it, or use --output"
                ) from error
        yield


def discard_checkpoints(task: Task) -> None:
    """Delete the checkpoints of a finished run; its config.yml stays."""
    for run in (Path(task.folder) / "runs" / task.experiment).glob(f"*/seed-{task.seed}"):
        shutil.rmtree(run / "nerfstudio_models", ignore_errors=True)


def pending(tasks: Sequence[Task], folder: Path) -> tuple[list[Task], list[Measurement]]:
    """The tasks without a final measurement, and all measurements. Discards the checkpoints of finished tasks."""
    try:
        measured, _ = results.load(folder)
    except NoResultsError:
        return list(tasks), []
    finished = {m.run for m in measured if m.final is not None}
    for task in tasks:
        if task.run in finished:
            discard_checkpoints(task)
    return [task for task in tasks if task.run not in finished], measured


def execute(
    tasks: Sequence[Task], folder: Path, workers: Workers, console: Console, plot: Plot | None = None
) -> list[Failure]:
    """Train all tasks and return the failures. Whoever called the workers stops them.

    Args:
        plot: What to show below the progress bars.
    """
    waiting, failures = list(tasks), []
    with RunsProgress(tasks, folder, console, plot) as progress:
        while waiting or workers.current:
            workers.fill(waiting)
            time.sleep(POLL)
            for task, failure in workers.ended():
                if failure:
                    failures.append(failure)
                    results.append(folder, failure)
                else:
                    discard_checkpoints(task)
                progress.say_ended(task, failure)
            progress.show(workers.current)
    return failures
