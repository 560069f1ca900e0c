"""The tables of a report: one row for each method, with medians over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from softmining_nerfstudio.benchmark.report.speedup import Between, SeedRange, exactly, psnr_at
from softmining_nerfstudio.benchmark.report.study import AXIS_NAMES, Axis, Column, Study
from softmining_nerfstudio.benchmark.results import Run


class Table(NamedTuple):
    """A title, column titles, and rows with a cell for each column."""

    title: str
    header: list[str]
    rows: list[list[str]]


def number_text(number: Between, form: str) -> str:
    """The number, or its bounds: `< 0.80` (not reached), `> 1.20`, `1.20..1.30`, or `not reached`."""
    low, high = format(number.low, form), format(number.high, form)
    if number.known:
        return low
    if number.low and number.high < math.inf:
        return f"{low}..{high}"
    if number.high < math.inf:
        return f"< {high}"
    return f"> {low}" if number.low else "not reached"


def range_text(numbers: SeedRange | None, form: str) -> str:
    """Median (least to most, if they are bounded; number of seeds in which it is known, if not all)."""
    if numbers is None:
        return "-"
    median, least, most = (number_text(n, form) for n in (numbers.median, numbers.least, numbers.most))
    if not numbers.known:
        return f"not reached ({median})" if median.startswith("<") else median
    bounded = numbers.least.low > 0 or numbers.most.high < math.inf
    notes = [f"{least} to {most}"] if least != most and bounded else []
    notes += [f"{numbers.known} of {numbers.seeds}"] if numbers.known < numbers.seeds else []
    return f"{median} ({'; '.join(notes)})" if notes else median


def quality(study: Study, scenes: Sequence[str]) -> Table:
    """PSNR at quarters of the steps, and the quality of whole views at the end."""

    def after(step: int) -> Column:
        return Column(f"after {step}", lambda run: _exactly({m.step: m.psnr for m in study.runs[run]}.get(step)))

    def final(title: str, metric: str, form: str) -> Column:
        return Column(title, lambda run: _exactly((study.runs[run][-1].final or {}).get(metric)), form)

    columns = [after(step) for step in _quarters(study, scenes)]
    columns += [final("final PSNR", "psnr", ".2f"), final("SSIM", "ssim", ".3f"), final("LPIPS", "lpips", ".3f")]
    return _table(study, scenes, "PSNR (dB) after so many steps, and quality of whole views at the end", columns)


def speed(study: Study, scenes: Sequence[str]) -> Table:
    """How much sooner each method reaches the final PSNR of the baselines, and its cost."""

    def sooner(reference: str, axis: Axis) -> Column:
        title = f"to {reference}'s PSNR, {AXIS_NAMES[axis]}"
        return Column(title, lambda run: study.sooner(run, reference, axis), ratio=True)

    axes: list[Axis] = ["step", study.clock]
    columns = [sooner(reference, axis) for reference in study.references for axis in axes]
    columns += [
        Column("gain at equal time, dB", study.gain, "+.2f"),
        Column("time per step", study.overhead, ratio=True),
        Column("memory, GiB", lambda run: exactly(max(m.peak_memory for m in study.runs[run]) / 2**30)),
    ]
    return _table(study, scenes, "Speed-up to the final PSNR of the baselines, and its cost", columns)


def fixed(study: Study, scenes: Sequence[str], targets: Sequence[float], axis: Axis) -> Table:
    """How much sooner each method reaches given PSNRs than the baseline."""

    def sooner(target: float) -> Column:
        return Column(f"{target:g} dB", lambda run: study.sooner(run, study.baseline, axis, target), ratio=True)

    title = f"Speed-up over {study.baseline} to fixed PSNR, {AXIS_NAMES[axis]}"
    return _table(study, scenes, title, [sooner(target) for target in targets])


def all_tables(study: Study, targets: Sequence[float] = ()) -> list[Table]:
    """The tables of each scene, then those of the mean over scenes."""
    groups: dict[str, tuple[str, ...]] = {scene: (scene,) for scene in study.scenes}
    if len(study.scenes) > 1:
        groups[f"mean over {len(study.scenes)} scenes"] = study.scenes
    tables = []
    for name, scenes in groups.items():
        fixed_psnrs = targets or whole_decibels(study, scenes)
        axes: tuple[Axis, ...] = ("step", study.clock) if fixed_psnrs else ()
        found = [quality(study, scenes), speed(study, scenes), *(fixed(study, scenes, fixed_psnrs, a) for a in axes)]
        tables += [table._replace(title=f"{name}: {table.title}") for table in found if table.rows]
    return tables


def whole_decibels(study: Study, scenes: Sequence[str]) -> list[int]:
    """The whole dBs that the baseline's median passes in the second half of its steps, in all the scenes."""

    def after(share: float) -> Column:
        def number(run: Run) -> Between | None:
            curve = study.curve(run, "step")
            return _exactly(psnr_at(curve, curve.times[-1] * share))

        return Column("", number)

    passed: list[set[int]] = []
    for scene in scenes:
        start, end = (study.seed_range([scene], study.baseline, after(share)) for share in (0.5, 1.0))
        span = (math.ceil(start.median.low), math.floor(end.median.low) + 1) if start and end else (0, 0)
        passed.append(set(range(*span)))
    return sorted(set.intersection(*passed))


def _exactly(number: float | None) -> Between | None:
    return None if number is None else exactly(number)


def _quarters(study: Study, scenes: Sequence[str]) -> list[int]:
    """The steps closest to the quarters of the last step, among those after which every run was measured."""
    measured = [
        {m.step for m in measurements if m.step} for run, measurements in study.runs.items() if run.scene in scenes
    ]
    steps = sorted(set.intersection(*measured))
    wanted = [steps[-1] * share for share in (0.25, 0.5, 0.75, 1.0)] if steps else []
    return sorted({min(steps, key=lambda step: abs(step - time)) for time in wanted})


def _table(study: Study, scenes: Sequence[str], title: str, columns: Sequence[Column]) -> Table:
    """A row for each method that has finished the scenes, without columns that have no number."""
    methods = [method for method in study.methods if study.seeds(scenes, method)]
    cells = [[range_text(study.seed_range(scenes, m, column), column.form) for m in methods] for column in columns]
    kept = [(column.title, texts) for column, texts in zip(columns, cells, strict=True) if set(texts) != {"-"}]
    counts = [str(len(study.seeds(scenes, method))) for method in methods]
    rows = [list(row) for row in zip(methods, counts, *(texts for _, texts in kept), strict=True)]
    return Table(title, ["method", "seeds", *(name for name, _ in kept)], rows)
