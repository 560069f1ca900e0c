"""All runs of a suite, checked before the first one starts: its commands, and the results that are already there."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from softmining_nerfstudio.benchmark import record
from softmining_nerfstudio.benchmark.errors import SuiteError
from softmining_nerfstudio.benchmark.results import Run
from softmining_nerfstudio.benchmark.run.configuration import configure, parse, refuse
from softmining_nerfstudio.benchmark.run.suite import Suite
from softmining_nerfstudio.benchmark.run.task import Task
from softmining_nerfstudio.training.flags import flag_of
from softmining_nerfstudio.training.questions import refuse_questions


def checked(suite: Suite, runs: Sequence[Run], data: Path | None, folder: Path, has_data: bool = True) -> list[Task]:
    """A task for each run, if all of them can be trained.

    Args:
        has_data: Whether the data can be read here.

    Raises:
        SuiteError: one cannot.
    """
    tasks = tasks_of(suite, runs, data, folder)
    require_parsable(suite, tasks)
    if has_data:
        require_views(suite, tasks)
    return tasks


def tasks_of(suite: Suite, runs: Sequence[Run], data: Path | None, folder: Path) -> list[Task]:
    """A task for each run. Only the first seed renders the strip's view."""
    return [
        Task(
            **run._asdict(),
            command=suite.command(run.method, run.scene, data),
            folder=str(folder),
            steps=suite.steps,
            measure_every=suite.measure_every,
            eval_pixels=suite.eval_pixels,
            final_views=suite.final_views,
            strip_view=suite.strip_view if run.seed == suite.seeds[0] else None,
            render_every=suite.render_every,
        )
        for run in runs
    ]


def require_parsable(suite: Suite, tasks: Sequence[Task]) -> None:
    """Parse every command before the first one trains.

    Raises:
        SuiteError: ns-train or the benchmark refuses one.
    """
    commands = {(task.method, task.scene): task.command for task in tasks}
    for (method, scene), command in commands.items():
        try:
            if [*map(flag_of, command)].count("--minutes") > bool(suite.minutes):  # one is the suite's own
                refuse(command, ["--minutes"])
            machine = parse(command).machine
        except ValueError as error:
            where = suite.source.where(method, "methods"), suite.source.where(scene, "scenes")
            raise SuiteError(f"{where[0]} ({method}), on {where[1]} ({scene}): {error}") from error
        if (devices := machine.num_devices * machine.num_machines) != 1:
            raise SuiteError(
                f"{suite.source.path}: {method} asks for {devices} devices; expected 1: the clock measures one device"
            )


def require_views(suite: Suite, tasks: Sequence[Task]) -> None:
    """Check that every scene has held-out views, and the one to render among them.

    Raises:
        SuiteError: a scene has none, or fewer, or cannot be read.
    """
    for task in {task.scene: task for task in tasks}.values():
        datamanager = configure(task).pipeline.datamanager
        parser = getattr(datamanager, "dataparser")  # noqa: B009 (a field of every data manager that draws rays)
        parser.data = datamanager.data or parser.data
        where = f"{suite.source.where(task.scene, 'scenes')} ({task.scene})"
        try:
            with refuse_questions():
                views = len(parser.setup().get_dataparser_outputs(split="test").image_filenames)
        except Exception as error:  # every parser has errors of its own
            raise SuiteError(f"{where}: the scene cannot be read: {str(error) or type(error).__name__}") from error
        if not views:
            raise SuiteError(
                f"{where}: the scene has no held-out views to measure on; expected some. nerfstudio-data --eval-mode "
                "interval holds out every eighth image"
            )
        if suite.strip_view >= views:
            line = suite.source.where("strip_view")
            raise SuiteError(f"{line}: strip_view is {suite.strip_view}, but {where} has the views 0 to {views - 1}")


def record_suite(suite: Suite, runs: Collection[Run], data: Path | None, folder: Path, machine: dict[str, Any]) -> None:
    """Write `suite.json`. It accepts new methods, scenes and seeds, and lists a session that differs from the last one.

    Args:
        runs: Those that the session is asked for.

    Raises:
        SuiteError: the folder holds the results of another suite.
        ResultsError: its `suite.json` is damaged.
    """
    known = record.read(folder) or {"suite": {}, "sessions": []}
    known["suite"] = _merged(suite, known["suite"], folder)
    command = shlex.join(["softmining-bench", *sys.argv[1:]])
    asked = {name: list(dict.fromkeys(getattr(run, of) for run in runs)) for name, of in record.ASKED.items()}
    session = {"command": command, "data": data and str(data), "environment": machine, "asked": asked}
    if session not in known["sessions"][-1:]:
        known["sessions"].append(session)
    record.write(folder, known)


def _merged(suite: Suite, before: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The settings of a results folder with those that a suite adds."""
    merged = dict(before)
    for key, value in suite.as_json().items():
        if key not in before or key in ("title", "baseline", "tuned_baseline"):  # only the report reads them
            merged[key] = value
        elif key in ("methods", "scenes"):
            for name in value.keys() & before[key].keys():
                _require_same(folder, suite.source.where(name, key), name, before[key][name], value[name])
            merged[key] = before[key] | value
        elif key == "seeds":
            merged[key] = list(dict.fromkeys([*before[key], *value]))
        else:
            _require_same(folder, suite.source.where(key), key, before[key], value)
    return merged


def _require_same(folder: Path, where: str, name: str, before: object, now: object) -> None:
    if before != now:
        raise SuiteError(
            f"{where}: {name} is {now!r}, but {folder} holds results of another suite, with {before!r}. Choose another "
            "folder with --output; a folder accepts only new methods, scenes and seeds."
        )
