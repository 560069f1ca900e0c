"""What a training ends with that ends after a given time: the final PSNR over the budgets of a suite with `minutes`.

Each budget is a run of its own, whose learning rates cool down before its end. A curve over the steps of one long run
would not tell: they are still high in its middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from softmining_nerfstudio.benchmark.report.devices import device_of
from softmining_nerfstudio.benchmark.report.looks import PANEL, STYLE, looks_of
from softmining_nerfstudio.benchmark.report.plots import save
from softmining_nerfstudio.benchmark.report.reading import without_budget
from softmining_nerfstudio.benchmark.report.speedup import Between, SeedRange, exactly
from softmining_nerfstudio.benchmark.report.study import STOCK, Column, Study
from softmining_nerfstudio.benchmark.report.tables import Table, range_text
from softmining_nerfstudio.benchmark.results import Run
from softmining_nerfstudio.benchmark.run.suite import budget_name, seconds_text


def tables(study: Study, minutes: Sequence[float]) -> list[Table]:
    """The final PSNR of whole views of each method, a column for each budget, then the gains over the baseline."""
    _, *others = methods = named(study).methods
    header = ["method", *(seconds_text(budget) for budget in minutes)]

    def row(scene: str, method: str, *, minus: bool) -> list[str]:
        ends = (_final(study, scene, method, budget, minus=minus) for budget in minutes)
        return [range_text(end, "+.2f" if minus else ".2f") for end in ends]

    found = []
    for scene in study.scenes:
        rows = [[method, *row(scene, method, minus=False)] for method in methods]
        rows += [[f"{method} minus {methods[0]}", *row(scene, method, minus=True)] for method in others]
        found.append(Table(f"{_headed(study, scene)}: final PSNR (dB) of a training of so many seconds", header, rows))
    return found


def write(study: Study, minutes: Sequence[float], directory: Path) -> list[Path]:
    """Draw the plot as PNG and SVG into a directory."""
    with matplotlib.rc_context(STYLE):
        return save({"budgets": plot(study, minutes)}, directory)


def plot(study: Study, minutes: Sequence[float]) -> Figure:
    """Final PSNR over the budget, which is spaced by its logarithm; a panel for each scene."""
    figure = Figure((len(study.scenes) * (PANEL[0] + 0.6), PANEL[1]), layout="constrained")
    methods, looks = named(study).methods, looks_of(named(study))
    for panel, scene in zip(figure.subplots(1, len(study.scenes), squeeze=False)[0], study.scenes, strict=True):
        for method in methods:
            ends = {budget: _final(study, scene, method, budget) for budget in minutes}
            known = {60 * budget: end for budget, end in ends.items() if end is not None}
            color, style, width, band = looks[method]
            line = {"color": color, "linestyle": style, "linewidth": width, "marker": "o", "markersize": 3}
            panel.plot(list(known), [end.median.low for end in known.values()], **line, label=method)
            low, high = ([getattr(end, side).low for end in known.values()] for side in ("least", "most"))
            panel.fill_between(list(known), low, high, color=color, alpha=band, linewidth=0)
        seconds = [60 * budget for budget in minutes]
        panel.set_xscale("log")
        panel.set_xticks(seconds, [f"{each:g}" for each in seconds])
        panel.set_xticks([], minor=True)
        panel.set(title=_headed(study, scene), xlabel="seconds of training", ylabel="final PSNR (dB)")
        panel.legend(frameon=False, fontsize=7.5, loc="lower right")
    return figure


def named(study: Study) -> Study:
    """The methods without their budgets, the baseline first. It has no runs: it is for names and looks."""
    baseline, tuned = without_budget(study.baseline), study.tuned and without_budget(study.tuned)
    methods = tuple(dict.fromkeys([baseline, *map(without_budget, study.methods)]))
    stock = STOCK if STOCK in {*methods} - {baseline, tuned} else None
    return replace(study, baseline=baseline, tuned=tuned, methods=methods, stock=stock, runs={})


def _headed(study: Study, scene: str) -> str:
    """A scene's name, with the number of devices that its numbers mix."""
    runs = (
        run for run in study.runs if run.scene == scene and study.comparable(run, _reference(study, run), "seconds")
    )
    devices = {device_of(study.runs[run]) for run in runs}
    return f"{scene}, on {len(devices)} devices" if len(devices) > 1 else scene


def _reference(study: Study, run: Run) -> str:
    """The baseline at the budget of a run."""
    return without_budget(study.baseline) + run.method.removeprefix(without_budget(run.method))


def _final(study: Study, scene: str, method: str, budget: float, *, minus: bool = False) -> SeedRange | None:
    """The final PSNR of whole views over seeds, or how far it is above the baseline's of the same seed.

    A seed has a number if the baseline finished it too, on the same device: so no row has a seed or a device that the
    baseline's row lacks.
    """

    def psnr(run: Run) -> float | None:
        return (study.runs[run][-1].final or {}).get("psnr")

    def number(run: Run) -> Between | None:
        reference = _reference(study, run)
        if not study.comparable(run, reference, "seconds"):
            return None
        mine, theirs = psnr(run), psnr(run._replace(method=reference)) if minus else 0.0
        return None if mine is None or theirs is None or not np.isfinite(mine - theirs) else exactly(mine - theirs)

    return study.seed_range([scene], budget_name(method, budget), Column("", number))
