"""The command line: `softmining-bench run | report | sampler | headroom`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.markup import escape

from softmining_nerfstudio.benchmark import results
from softmining_nerfstudio.benchmark.errors import BenchmarkError, SuiteError
from softmining_nerfstudio.benchmark.run import suite_file
from softmining_nerfstudio.benchmark.run.suite import Suite

COMMANDS = {
    "run": "train and measure the methods of a suite",
    "report": "tables and plots of what was measured",
    "sampler": "what the samplers alone cost",
    "headroom": "how much mining could gain on a scene at most",
}


def run(
    suite: tyro.conf.Positional[Path],
    *,
    data: Path | None = None,
    output: Path | None = None,
    jobs: int = 1,
    only_methods: Sequence[str] = (),
    only_scenes: Sequence[str] = (),
    seeds: Sequence[int] = (),
    steps: int | None = None,
) -> int:
    """Train every method of a suite on every scene with every seed; typed again, it goes on where it stopped.

    Args:
        suite: the TOML file, see configs/.
        data: folder of the scenes: what {data} in the suite stands for.
        output: folder of the results; by default results/ and the suite's name.
        jobs: runs at the same time. They disturb each other's wall-clock; the cores are shared out among them.
        only_methods: train these methods of the suite only.
        only_scenes: train these scenes of the suite only.
        seeds: in place of the suite's.
        steps: training steps in place of the suite's, measured as many times (at most every ten steps).

    Returns:
        The exit status: 1 if a run failed, 130 if it was stopped.

    Raises:
        SuiteError: if the suite cannot be run.
        ResultsError: if the folder of the results is damaged.
    """
    read = _suite(suite, seeds, steps)
    methods = _chosen("method", only_methods, read.methods, read)
    scenes = _chosen("scene", only_scenes, read.scenes, read)
    if jobs < 1:
        raise SuiteError(f"--jobs is {jobs}; expected a whole number from 1 on")
    read.require_scenes(scenes, data)

    from softmining_nerfstudio.benchmark.environment import environment
    from softmining_nerfstudio.benchmark.run import plan, runner

    folder, console = output or Path("results") / suite.stem, Console()
    tasks = plan.tasks_of(read, read.runs(methods, scenes, read.seeds), data, folder)
    plan.require_parsable(read, tasks)
    with runner.alone(folder):
        machine = environment() | {"threads": runner.threads(jobs), "jobs": jobs}
        plan.record_suite(read, data, folder, machine)
        results.repair(folder)
        waiting = runner.pending(tasks, folder)
        console.print(f"{len(tasks) - len(waiting)} of {len(tasks)} runs are finished; results go to {folder}")
        try:
            failures = runner.execute(waiting, folder, jobs, console)
        except KeyboardInterrupt:
            _say(console, "Stopped. To go on, type the same again:", shlex.join(["softmining-bench", *sys.argv[1:]]))
            return 130
    if failures:
        console.print(f"{len(failures)} runs failed; to try them again, type the same again.")
    _say(console, "Tables and plots:", f"softmining-bench report {shlex.quote(str(folder))}")
    return 1 if failures else 0


def _suite(path: Path, seeds: Sequence[int], steps: int | None) -> Suite:
    """The suite as the options change it."""
    suite = suite_file.load(path)
    if steps is not None:
        if steps < 1:
            raise SuiteError(f"--steps is {steps}; expected a whole number from 1 on")
        suite = suite.with_steps(steps)
    return replace(suite, seeds=tuple(dict.fromkeys(seeds))) if seeds else suite


def _chosen(what: str, names: Sequence[str], of: dict[str, str], suite: Suite) -> Sequence[str]:
    for name in names:
        if name not in of:
            raise SuiteError(f"{suite.source.path} has no {what} {name!r}. Allowed: {', '.join(of)}")
    return names or tuple(of)


def _say(console: Console, what: str, command: str) -> None:
    """A command to be copied, in one line."""
    console.print(what)
    console.print(f"  {command}", soft_wrap=True, markup=False, highlight=False)


def _target(command: str) -> Any:
    """What tyro calls for a command; imported only when asked for, as that takes seconds."""
    if command == "report":
        from softmining_nerfstudio.benchmark.report.command import report

        return report
    if command == "sampler":
        from softmining_nerfstudio.benchmark.sampler_cost import SamplerCost

        return SamplerCost
    if command == "headroom":
        from softmining_nerfstudio.benchmark.headroom import Headroom

        return Headroom
    return run


def main() -> None:
    """The entry point of `softmining-bench`. Errors that a user can mend are said without a traceback."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in COMMANDS:
        print("usage: softmining-bench COMMAND ...\n")
        print("\n".join(f"  {name:8} {what}" for name, what in COMMANDS.items()))
        print("\nsoftmining-bench COMMAND --help describes the options of one.")
        sys.exit(0 if command in ("-h", "--help") else 2)
    try:
        done = tyro.cli(_target(command), prog=f"softmining-bench {command}", args=sys.argv[2:])
        if command in ("sampler", "headroom"):
            done.main()
    except BenchmarkError as error:
        Console(stderr=True).print(f"[red]{escape(str(error))}[/red]", soft_wrap=True, highlight=False)
        sys.exit(2)
    sys.exit(done if command == "run" else 0)


if __name__ == "__main__":
    main()
