"""`softmining-bench compare`: does mining pay on your own data? Trains, plots meanwhile, and reports."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import tyro
from rich.console import Console

from softmining_nerfstudio.benchmark.errors import ResultsError, SuiteError
from softmining_nerfstudio.benchmark.run import command, session, suite_file
from softmining_nerfstudio.benchmark.run.suite import Suite, file_name


def compare(
    parser: tyro.conf.Positional[tuple[str, ...]] = (),
    *,
    data: Path | None = None,
    methods: Sequence[str] = ("dmc",),
    steps: int = 1000,
    minutes: float | None = None,
    seeds: Sequence[int] = (1,),
    jobs: int | None = None,
    output: Path | None = None,
    save_suite: Path | None = None,
) -> int:
    """Train softmining-lite with mined and with uniform rays on your own data, and report how they compare.

    The same command goes on with a stopped comparison. Images are shrunk to 504 pixels on their longer side.

    Args:
        parser: The data's parser and its options, as after ns-train METHOD. Default: the one that fits the folder.
        data: Folder of the data. Without it, name a parser that needs none, such as demo-scene.
        methods: What to compare with uniform sampling: sampling types, or nerfstudio for its own training.
        steps: Training steps of each run. The learning rates cool down at its end.
        minutes: Train each run for this long, in place of steps. nerfstudio's own training knows no such limit.
        seeds: Each method trains once with each seed. Three tell how much the result varies.
        jobs: Runs at the same time. Default: on a processor all methods at once, at most one per core; on GPUs one seed
            on each, because only times of one device compare.
        output: Folder of the results. Default: results/compare- and the name of the data.
        save_suite: File for the suite, TOML. softmining-bench run trains it again, with your changes.

    Returns:
        The exit status: 1 if a run failed, 130 if the user stopped it.

    Raises:
        SuiteError: the data cannot be read, or an option is wrong.
        ResultsError: the results folder is damaged.
    """
    from softmining_nerfstudio.benchmark.devices import all_devices  # torch and nerfstudio take seconds to import
    from softmining_nerfstudio.benchmark.report.command import report
    from softmining_nerfstudio.benchmark.run import plan
    from softmining_nerfstudio.benchmark.run.live_plot import LivePlot
    from softmining_nerfstudio.benchmark.run.own_data import look_at, suite_of
    from softmining_nerfstudio.training.threads import own_cores

    command.require_count("--steps", steps)
    command.require_count("--jobs", jobs)
    command.require_seeds(seeds)
    capture = look_at(data, parser)
    asked = suite_of(capture, methods, steps, tuple(dict.fromkeys(seeds)), minutes)
    suite = asked.with_budgets()
    folder = output or Path("results") / f"compare-{file_name(capture.name)}"
    console = Console(highlight=False)
    side = f", shrunk from {capture.side} pixels by {capture.scale:g}" if capture.scale < 1 else ""
    length = f"{steps} steps" if minutes is None else f"{minutes:g} minutes"
    console.print(f"Comparing {suite.title}, {length}{side}.", markup=False, soft_wrap=True)

    gpus = [device for device in all_devices() if device.entry is not None]
    own = jobs or (min(len(gpus), len(suite.seeds)) if gpus else min(len(own_cores()), len(suite.methods)))
    tasks = plan.checked(suite, suite.runs(suite.methods, suite.scenes), None, folder)
    if save_suite is not None:
        _save(asked, save_suite)
    plot = LivePlot(tuple(suite.methods), steps if minutes is None else None)
    status = session.train(suite, tasks, None, folder, session.here(own, lend=jobs is not None), plot)
    if status != session.STOPPED:
        try:
            report(folder, markdown=folder / "report.md", plots=folder / "plots")
        except ResultsError as error:
            if status == 0:
                raise
            console.print(str(error), markup=False, soft_wrap=True)  # nothing to compare with: a run has failed
    return status


def _save(suite: Suite, path: Path) -> None:
    """Write the suite to a file, unless another one is there.

    Raises:
        SuiteError: there is.
    """
    text = suite_file.dump(suite)
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
        raise SuiteError(f"--save-suite: {path} holds something else; choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    Console().print(f"Saved {shlex.quote(str(path))}", markup=False, highlight=False, soft_wrap=True)


def set_apart(words: Sequence[str]) -> list[str]:
    """The command line with a `--` before the first word that names a data parser, whose options follow."""
    from nerfstudio.configs.dataparser_configs import all_dataparsers  # it takes seconds to import

    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        if word in all_dataparsers and not (before.startswith("--") and "=" not in before):
            return [*words[:place], "--", *words[place:]]
    return list(words)
