"""What a training ends with that ends after a given time: the final PSNR over the budgets of a suite with `minutes`.

Each budget is a run of its own, whose learning rates cool down before its end. A curve over the steps of one long run
would not tell: they are still high in its middle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from softmining_nerfstudio.benchmark.report.looks import PANEL, looks_of
from softmining_nerfstudio.benchmark.report.speedup import Between, SeedRange, exactly
from softmining_nerfstudio.benchmark.report.study import Column, Study
from softmining_nerfstudio.benchmark.report.tables import Table, range_text
from softmining_nerfstudio.benchmark.results import Run
from softmining_nerfstudio.benchmark.run.suite import budget_name, seconds_text


def tables(study: Study, methods: Sequence[str], minutes: Sequence[float]) -> list[Table]:
    """The final PSNR of whole views of each method, a column for each budget, then the gains over the first method."""
    header = ["method", *(seconds_text(budget) for budget in minutes)]
    found = []
    for scene in study.scenes:
        rows = [
            [method, *(range_text(_final(study, scene, method, budget, methods[0]), ".2f") for budget in minutes)]
            for method in methods
        ]
        gains = [
            [
                f"{method} minus {methods[0]}",
                *(
                    range_text(_final(study, scene, method, budget, methods[0], minus=True), "+.2f")
                    for budget in minutes
                ),
            ]
            for method in methods[1:]
        ]
        found.append(Table(f"{scene}: final PSNR (dB) of a training of so many seconds", header, [*rows, *gains]))
    return found


def plot(study: Study, methods: Sequence[str], minutes: Sequence[float]) -> Figure:
    """Final PSNR over the budget, which is spaced by its logarithm; a panel for each scene."""
    figure = Figure((len(study.scenes) * (PANEL[0] + 0.6), PANEL[1]), layout="constrained")
    looks = list(looks_of(study).values())
    for panel, scene in zip(figure.subplots(1, len(study.scenes), squeeze=False)[0], study.scenes, strict=True):
        for number, method in enumerate(methods):
            ends = {budget: _final(study, scene, method, budget, methods[0]) for budget in minutes}
            known = {60 * budget: end for budget, end in ends.items() if end is not None}
            look = looks[number]
            medians = [end.median.low for end in known.values()]
            panel.plot(list(known), medians, "o-", color=look.color, linewidth=look.width, markersize=3, label=method)
            low, high = ([getattr(end, side).low for end in known.values()] for side in ("least", "most"))
            panel.fill_between(list(known), low, high, color=look.color, alpha=look.band, linewidth=0)
        seconds = [60 * budget for budget in minutes]
        panel.set_xscale("log")
        panel.set_xticks(seconds, [f"{each:g}" for each in seconds])
        panel.set_xticks([], minor=True)
        panel.set(title=scene, xlabel="seconds of training", ylabel="final PSNR (dB)")
        panel.legend(frameon=False, fontsize=7.5, loc="lower right")
    return figure


def _final(study: Study, scene: str, method: str, budget: float, first: str, minus: bool = False) -> SeedRange | None:
    """The final PSNR of whole views over seeds, or how far it is above the first method's of the same seed.

    A seed with which the first method trained on another device has no number.
    """
    other = budget_name(first, budget)

    def psnr(run: Run) -> float | None:
        return (study.runs[run][-1].final or {}).get("psnr")

    def number(run: Run) -> Between | None:
        reference = run._replace(method=other)
        known = reference in study.runs
        if (known or minus) and not study.comparable(run, other, "seconds"):
            return None
        mine, theirs = psnr(run), psnr(reference) if minus else 0.0
        return None if mine is None or theirs is None or not np.isfinite(mine - theirs) else exactly(mine - theirs)

    return study.seed_range([scene], budget_name(method, budget), Column("", number))
