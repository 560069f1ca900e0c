"""`softmining-bench run`: train and measure a suite, or go on with it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.console import Console

from softmining_nerfstudio.benchmark import results
from softmining_nerfstudio.benchmark.errors import SuiteError
from softmining_nerfstudio.benchmark.results import Run
from softmining_nerfstudio.benchmark.run import suite_file
from softmining_nerfstudio.benchmark.run.suite import Suite

if TYPE_CHECKING:
    from softmining_nerfstudio.benchmark.run.progress import Plot

STOPPED = 130
"""The exit status after Ctrl-C."""


def run(
    suite: tyro.conf.Positional[Path],
    *,
    data: Path | None = None,
    output: Path | None = None,
    jobs: int | None = None,
    only_methods: Sequence[str] = (),
    only_scenes: Sequence[str] = (),
    seeds: Sequence[int] = (),
    steps: int | None = None,
) -> int:
    """Train every method of a suite on every scene with every seed. The same command goes on with a stopped suite.

    Args:
        suite: TOML file of the suite, see configs/.
        data: Folder of the scenes. It replaces {data} in the suite.
        output: Folder of the results. Default: results/ and the suite's name.
        jobs: Runs at the same time. Default: one on each GPU that CUDA_VISIBLE_DEVICES leaves, or one on the processor.
            They share the cores and disturb each other's wall-clock.
        only_methods: Train only these methods of the suite.
        only_scenes: Train only these scenes of the suite.
        seeds: Replace the suite's seeds.
        steps: Replace the suite's training steps. The number of measurements stays, at most one every ten steps.

    Returns:
        The exit status: 1 if a run failed, 130 if the user stopped it.

    Raises:
        SuiteError: the suite cannot be run.
        ResultsError: the results folder is damaged.
    """
    read = _suite(suite, seeds, steps)
    methods = _chosen("method", only_methods, read.methods, read)
    scenes = _chosen("scene", only_scenes, read.scenes, read)
    require_count("--jobs", jobs)
    read.require_scenes(scenes, data)
    folder = output or Path("results") / suite.stem
    status = train(read, read.runs(methods, scenes, read.seeds), data, folder, jobs)
    if status != STOPPED:
        _say(Console(), "Tables and plots:", f"softmining-bench report {shlex.quote(str(folder))}")
    return status


def _suite(path: Path, seeds: Sequence[int], steps: int | None) -> Suite:
    """The suite with the changes that the options ask for."""
    suite = suite_file.load(path)
    require_count("--steps", steps)
    if steps is not None:
        suite = suite.with_steps(steps)
    if seeds:
        require_seeds(seeds)
        suite = replace(suite, seeds=tuple(dict.fromkeys(seeds)))
    return suite


def _chosen(what: str, names: Sequence[str], of: dict[str, str], suite: Suite) -> Sequence[str]:
    for name in names:
        if name not in of:
            raise SuiteError(f"{suite.source.path} has no {what} {name!r}. Allowed: {', '.join(of)}")
    return names or tuple(of)


def require_count(option: str, count: int | None) -> None:
    """Check the value of an option that counts something.

    Raises:
        SuiteError: it is less than one.
    """
    if count is not None and count < 1:
        raise SuiteError(f"{option} is {count}; expected a whole number from 1 on")


def require_seeds(seeds: Sequence[int]) -> None:
    """Check the seeds of the command line.

    Raises:
        SuiteError: there are none, or one is too large.
    """
    if not suite_file.SEEDS.fits(list(dict.fromkeys(seeds))):
        raise SuiteError(f"--seeds is {' '.join(map(str, seeds))}; expected whole numbers from 0 to {2**32 - 1}")


def train(
    suite: Suite, runs: Sequence[Run], data: Path | None, folder: Path, jobs: int | None, plot: Plot | None = None
) -> int:
    """Train the unfinished runs; returns the exit status."""
    from softmining_nerfstudio.benchmark.devices import all_devices  # torch and nerfstudio take seconds to import
    from softmining_nerfstudio.benchmark.environment import environment
    from softmining_nerfstudio.benchmark.run import local, plan, runner
    from softmining_nerfstudio.benchmark.run.turns import Turns

    console, tasks = Console(), plan.tasks_of(suite, runs, data, folder)
    plan.require_parsable(suite, tasks)
    plan.require_strip_view(suite, tasks)
    with runner.alone(folder):
        devices = all_devices()
        jobs = jobs or len(devices)
        machine = environment() | {"threads": local.threads(jobs), "jobs": jobs}
        plan.record_suite(suite, data, folder, machine)
        results.repair(folder)
        waiting, measured = runner.pending(tasks, folder)
        finished = f"{len(tasks) - len(waiting)} of {len(tasks)} runs are finished"
        console.print(f"{finished}; results go to {folder}", markup=False, soft_wrap=True)
        try:
            workers = local.LocalWorkers(devices, jobs, Turns(measured))
            failures = runner.execute(waiting, folder, workers, console, plot)
        except KeyboardInterrupt:
            _say(console, "Stopped. The same command goes on:", shlex.join(["softmining-bench", *sys.argv[1:]]))
            return STOPPED
    if failures:
        console.print(f"{len(failures)} runs failed; the same command tries them again.")
    return 1 if failures else 0


def _say(console: Console, what: str, command: str) -> None:
    """Print a command on one line, for the user to copy."""
    console.print(what)
    console.print(f"  {command}", soft_wrap=True, markup=False, highlight=False)
