"""One call of `run` or `compare`: trains the unfinished runs of a suite, here or on a cluster, and records it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from softmining_nerfstudio.benchmark import results
from softmining_nerfstudio.benchmark.results import Measurement
from softmining_nerfstudio.benchmark.run.suite import Suite

if TYPE_CHECKING:
    from softmining_nerfstudio.benchmark.run.progress import Plot
    from softmining_nerfstudio.benchmark.run.runner import Workers
    from softmining_nerfstudio.benchmark.run.task import Task

STOPPED = 130
"""The exit status after Ctrl-C."""
Hire = Callable[[Suite, Path, Sequence[Measurement]], "Workers"]
"""Gets whatever trains the runs of a suite, for a results folder and the measurements that are there."""


def here(jobs: int | None, lend: bool = True) -> Hire:
    """Train on the devices of this machine.

    Args:
        jobs: Runs at the same time; None: one on each device.
        lend: See `turns.Turns`.
    """

    def hire(suite: Suite, folder: Path, measured: Sequence[Measurement]) -> Workers:
        from softmining_nerfstudio.benchmark.devices import all_devices  # torch takes seconds to import
        from softmining_nerfstudio.benchmark.run.local import LocalWorkers
        from softmining_nerfstudio.benchmark.run.turns import Turns

        del folder
        devices = all_devices()
        order = [suite.baseline, *suite.methods]
        turns = Turns([device.name for device in devices], order, measured, lend)
        return LocalWorkers(devices, jobs or len(devices), turns)

    return hire


def on_cluster(address: str, paths: Sequence[str], jobs: int | None) -> Hire:
    """Train on a Ray cluster.

    Args:
        paths: What every node has to have.
        jobs: Most runs at the same time; None: as many as it takes.
    """

    def hire(suite: Suite, folder: Path, measured: Sequence[Measurement]) -> Workers:
        from softmining_nerfstudio.benchmark.run.cluster import ClusterWorkers

        order = [suite.baseline, *suite.methods]
        return ClusterWorkers(address, folder, order, paths, measured, jobs)

    return hire


def train(
    suite: Suite, tasks: Sequence[Task], data: Path | None, folder: Path, hire: Hire, plot: Plot | None = None
) -> int:
    """Train the unfinished runs; returns the exit status.

    Args:
        plot: What to show below the progress bars.
    """
    from softmining_nerfstudio.benchmark.environment import environment  # nerfstudio takes seconds to import
    from softmining_nerfstudio.benchmark.run import plan, runner

    console = Console()
    with runner.alone(folder):
        results.repair(folder)
        waiting, measured = runner.pending(tasks, folder)
        workers = hire(suite, folder, measured)
        try:
            plan.record_suite(suite, [task.run for task in tasks], data, folder, environment() | workers.about)
            finished = f"{len(tasks) - len(waiting)} of {len(tasks)} runs are finished"
            console.print(f"{finished}; results go to {folder}", markup=False, soft_wrap=True)
            failures = runner.execute(waiting, folder, workers, console, plot)
        except KeyboardInterrupt:
            say(console, "Stopped. The same command goes on:", shlex.join(["softmining-bench", *sys.argv[1:]]))
            return STOPPED
        finally:
            workers.stop()
    if failures:
        runs, them = ("run", "it") if len(failures) == 1 else ("runs", "them")
        console.print(f"{len(failures)} {runs} failed; the same command tries {them} again.")
    return 1 if failures else 0


def say(console: Console, what: str, command: str) -> None:
    """Print a command on one line, for the user to copy."""
    console.print(what)
    console.print(f"  {command}", soft_wrap=True, markup=False, highlight=False)
