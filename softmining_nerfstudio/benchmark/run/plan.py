"""What a suite asks for, looked through before the first run starts: every command, and whose results are there."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from softmining_nerfstudio.benchmark import record
from softmining_nerfstudio.benchmark.errors import SuiteError
from softmining_nerfstudio.benchmark.results import Run
from softmining_nerfstudio.benchmark.run.suite import Suite
from softmining_nerfstudio.benchmark.run.task import Task, parse


def tasks_of(suite: Suite, runs: Sequence[Run], data: Path | None, folder: Path) -> list[Task]:
    """What is to be trained; only the first seed is rendered for the strips."""
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
    """Parse every command, before the first one trains.

    Raises:
        SuiteError: if ns-train refuses one.
    """
    commands = {(task.method, task.scene): task.command for task in tasks}
    for (method, scene), command in commands.items():
        try:
            devices = parse(command).machine.num_devices
        except ValueError as error:
            where = suite.source.where(method, "methods"), suite.source.where(scene, "scenes")
            raise SuiteError(f"{where[0]} ({method}), on {where[1]} ({scene}): {error}") from error
        if devices != 1:
            raise SuiteError(
                f"{suite.source.path}: {method} asks for {devices} devices; expected 1, as one is measured"
            )


def record_suite(suite: Suite, data: Path | None, folder: Path, machine: dict[str, Any]) -> None:
    """Write `suite.json`; methods, scenes and seeds may be added later. A session that differs from the last is noted.

    Raises:
        SuiteError: if the folder holds the results of another suite.
        ResultsError: if its `suite.json` is damaged.
    """
    known = record.read(folder) or {"suite": {}, "sessions": []}
    known["suite"] = _merged(suite, known["suite"], folder)
    command = shlex.join(["softmining-bench", *sys.argv[1:]])
    session = {"command": command, "data": data and str(data), "environment": machine}
    if session not in known["sessions"][-1:]:
        known["sessions"].append(session)
    record.write(folder, known)


def _merged(suite: Suite, before: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The settings of a results folder, and what a suite adds to them."""
    merged = dict(before)
    for key, value in suite.as_json().items():
        if key not in before or key in ("title", "baseline", "tuned_baseline"):  # they matter to the report only
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
            f"{where}: {folder} holds results of another suite, where {name} was {before!r} and not {now!r}. Choose "
            "another folder with --output; only methods, scenes and seeds can be added to one."
        )
