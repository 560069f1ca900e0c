"""Read a results folder: the runs of it that are finished and usable, and why others are not."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from softmining_nerfstudio.benchmark import record
from softmining_nerfstudio.benchmark.errors import NoResultsError, ResultsError
from softmining_nerfstudio.benchmark.report.speedup import Curve
from softmining_nerfstudio.benchmark.report.study import AXIS_NAMES, CLOCK_AXES, STOCK, ClockName, Study
from softmining_nerfstudio.benchmark.results import Measurement, Run, load
from softmining_nerfstudio.benchmark.run.suite import budget_name


@dataclass(frozen=True)
class ResultsFolder:
    """The contents of a results folder."""

    study: Study
    record: dict[str, Any]
    """Settings and sessions, see `record.read`."""
    missing: list[str]
    """The runs that the study leaves out, and why."""

    @property
    def budgets(self) -> list[float]:
        """The budgets of a suite with several, minutes; its report has a column for each."""
        minutes = self.record["suite"].get("minutes") or []
        return minutes if len(minutes) > 1 else []


def read(folder: Path, clock: ClockName = "wall", methods: Sequence[str] = ()) -> ResultsFolder:
    """Read a results folder; `report` describes arguments and errors."""
    measurements, failures = load(folder)
    written = record.read(folder)
    if written is None:
        raise NoResultsError(f"there is no {record.FILE_NAME} in {folder}; expected a folder of softmining-bench run")
    suite: dict[str, Any] = written["suite"]
    if unknown := sorted(set(methods) - set(suite["methods"])):
        raise ResultsError(f"no method {', '.join(unknown)} in {folder}; there are {', '.join(suite['methods'])}")
    kept = {*methods, suite["baseline"], *_with_budgets(suite["baseline"], suite)}
    shown = [name for name in suite["methods"] if not methods or name in kept]

    errors = {failure.run: failure.error for failure in failures}
    wanted = record.asked_for(written) | {m.run for m in measurements} | errors.keys()
    planned = [run for run in map(Run._make, product(suite["scenes"], shown, suite["seeds"])) if run in wanted]
    measured = {run: [m for m in measurements if m.run == run] for run in planned}
    reasons = {run: _why_missing(measured[run], errors.get(run), suite["steps"] or "as many as fit") for run in planned}
    runs = {run: measured[run] for run, reason in reasons.items() if reason is None}
    missing = {run: f"{run.scene}, {run.method}, seed {run.seed}: {why}" for run, why in reasons.items() if why}
    finished = {run.method for run in runs}
    baseline, tuned = (_longest(suite.get(key), suite, finished) for key in ("baseline", "tuned_baseline"))
    if baseline not in finished:
        why = "\n".join(line for run, line in missing.items() if run.method == baseline)
        why = why or "--only-methods left it out"
        raise ResultsError(f"no run of the baseline {baseline} is finished in {folder}:\n{why}")
    study = Study(
        baseline,
        tuned=tuned if tuned in finished else None,
        scenes=tuple(scene for scene in suite["scenes"] if scene in {run.scene for run in runs}),
        methods=tuple(name for name in shown if name in finished),
        runs=runs,
        clock=CLOCK_AXES[clock],
        stock=STOCK if STOCK in finished - {baseline, tuned} else None,
    )
    return ResultsFolder(study, written, list(missing.values()))


def without_budget(name: str) -> str:
    """The name of a method of a suite with several budgets, as the suite's file has it."""
    return name.rpartition(", ")[0]


def _with_budgets(name: str, suite: dict[str, Any]) -> list[str]:
    """A method at each budget of a suite, the shortest first."""
    return [budget_name(without_budget(name), budget) for budget in suite.get("minutes") or ()]


def _longest(reference: str | None, suite: dict[str, Any], finished: Collection[str]) -> str | None:
    """A reference; of a suite with budgets, at the longest one that it has finished."""
    named = _with_budgets(reference, suite) if reference else []
    return next((name for name in reversed(named) if name in finished), reference)


def _why_missing(measured: list[Measurement], error: str | None, steps: int | str) -> str | None:
    """Why the study leaves out a run: it failed, diverged, did not end, or is unusable; None if it stays in."""
    last = measured[-1] if measured else None
    if error is not None and (last is None or last.final is None):
        return "failed: " + (error.strip().splitlines() or ["no message"])[-1]
    for m in measured:
        if not math.isfinite(m.psnr) or not math.isfinite((m.final or {}).get("psnr", 0.0)):
            return f"diverged: its PSNR is no number at step {m.step} of {steps}"
    if last is None or last.final is None:
        return f"unfinished, at step {last.step} of {steps} ({last.psnr:.2f} dB)" if last else "not started"
    for axis in AXIS_NAMES:
        try:
            Curve(tuple(getattr(m, axis) for m in measured), tuple(m.psnr for m in measured))
        except ValueError as unusable:
            return f"unusable over {AXIS_NAMES[axis]}: {unusable}"
    return None
