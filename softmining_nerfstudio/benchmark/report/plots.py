"""The plots of a report: PSNR over time, speed-up bars, renders at equal time, and the mined rays.

Lines are medians over seeds; bands reach from the least to the most. looks.py gives each method its colour.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from softmining_nerfstudio.benchmark.report import animation
from softmining_nerfstudio.benchmark.report.looks import PANEL, STYLE, Look, looks_of
from softmining_nerfstudio.benchmark.report.pictures import over_steps
from softmining_nerfstudio.benchmark.report.speedup import SeedRange
from softmining_nerfstudio.benchmark.report.strip import at_equal_time, at_the_end, strip
from softmining_nerfstudio.benchmark.report.study import AXIS_NAMES, Axis, Column, Study, unit_of
from softmining_nerfstudio.benchmark.report.tables import number_text
from softmining_nerfstudio.benchmark.results import Run
from softmining_nerfstudio.benchmark.run.suite import file_name

MOST_CURVES = 6
"""The references, the miner, and the next methods of the suite."""
NAME_GAP = 0.056
"""Distance between the names of two lines, as a fraction of the panel's height."""

LEAST_HEIGHT = 1.2
"""Height of a panel of bars, inches: title, a bar, and the labels of the axis."""

Band = tuple[np.ndarray, np.ndarray]
"""Times, and PSNRs of shape (seeds, times)."""


def write(study: Study, folder: Path, directory: Path, most_curves: int | None = MOST_CURVES) -> list[Path]:
    """Draw all plots as PNG and SVG, and animations as WebP, into a directory. The results folder has the renders.

    Args:
        most_curves: Methods in the plots over time; None: all.
    """
    looks = looks_of(study)
    drawn = dict(list(looks.items())[:most_curves])
    with matplotlib.rc_context(STYLE):
        figures, timed = {"psnr-over-steps": curves(study, "step", drawn)}, study.on_one_device()
        if timed.scenes:
            figures["psnr-over-time"] = curves(timed, study.clock, drawn)
        if any(run.method != study.baseline for run in study.runs):
            figures["speed-up"] = bars(study, looks)
        for scene in study.scenes:
            moments = {
                "renders": at_equal_time(timed, scene, folder),
                "final-renders": at_the_end(study, scene, folder),
            }
            for name, moment in moments.items():
                if moment is not None:
                    figures[f"{name}-{file_name(scene)}"] = strip(moment, folder, study)
            if (pictures := over_steps(study, scene, folder)) is not None:
                figures[f"mined-{file_name(scene)}"] = pictures
        paths = save(figures, directory)
    for scene in study.scenes:
        if frames := animation.side_by_side(timed, scene, folder):
            paths.append(directory / f"side-by-side-{file_name(scene)}.webp")
            animation.save(frames, paths[-1])
    return paths


def save(figures: dict[str, Figure], directory: Path) -> list[Path]:
    """Write figures as PNG and SVG."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"{name}.{kind}" for name in figures for kind in ("png", "svg")]
    for path in paths:
        figures[path.stem].savefig(path, bbox_inches="tight")
    return paths


def curves(study: Study, axis: Axis, looks: dict[str, Look]) -> Figure:
    """PSNR of the held-out pixels for the methods in `looks`, a panel for each scene that one of them has finished."""
    scenes = [scene for scene in study.scenes if any(study.seeds([scene], method) for method in looks)]
    columns = min(2, len(scenes))
    rows = math.ceil(len(scenes) / columns)
    figure = Figure((columns * (PANEL[0] + 1.1), rows * PANEL[1]), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for panel in panels[len(scenes) :]:
        panel.remove()
    longest = max(getattr(measured[-1], axis) for run, measured in study.runs.items() if run.method in looks)
    size, unit = (1, "") if axis == "step" else unit_of(longest)
    label = f"{AXIS_NAMES[axis]} ({unit})" if unit else AXIS_NAMES[axis]
    for panel, scene in zip(panels, scenes, strict=False):
        bands = {method: _band(study, scene, method, axis, size) for method in looks if study.seeds([scene], method)}
        for method, (times, psnrs) in bands.items():
            look = looks[method]
            panel.plot(times, np.median(psnrs, axis=0), color=look.color, linestyle=look.style, linewidth=look.width)
            panel.fill_between(times, psnrs.min(0), psnrs.max(0), color=look.color, alpha=look.band, linewidth=0)
        panel.set(title=scene, xlabel=label, ylabel="PSNR (dB)")
        panel.margins(x=0)
        _zoom(panel, bands.values())
        _name_lines(panel, bands, looks)
    if others := len(study.methods) - len(looks):
        figure.supxlabel(f"The tables have {others} more methods.", fontsize=7, color="#666666")
    return figure


def _band(study: Study, scene: str, method: str, axis: Axis, size: float) -> Band:
    """The curves of all seeds over the times that they share, in units of `size`."""
    found = [study.curve(Run(scene, method, seed), axis) for seed in study.seeds([scene], method)]
    start, end = max(curve.times[0] for curve in found), min(curve.times[-1] for curve in found)
    times = np.unique([time for curve in found for time in curve.times if start <= time <= end])
    return times / size, np.array([np.interp(times, curve.times, curve.psnr) for curve in found])


def _zoom(panel: Axes, bands: Collection[Band]) -> None:
    """Leave out the steep first fifth of the curves, which decides nothing."""
    low = min(float(np.interp(times[-1] / 5, times, np.median(psnrs, axis=0))) for times, psnrs in bands)
    high = max(float(psnrs.max()) for _, psnrs in bands)
    margin = 0.04 * (high - low) or 0.5
    panel.set_ylim(low - margin, high + margin)


def _name_lines(panel: Axes, bands: dict[str, Band], looks: dict[str, Look]) -> None:
    """Write each method's name right of the panel, close to the end of its line but clear of other names."""
    ends = {method: (times[-1], float(np.median(psnrs[:, -1]))) for method, (times, psnrs) in bands.items()}
    low, high = panel.get_ylim()
    order = sorted(ends, key=lambda method: ends[method][1])
    heights = [(ends[method][1] - low) / (high - low) for method in order]
    for index in range(1, len(order)):
        heights[index] = max(heights[index], heights[index - 1] + NAME_GAP)
    heights[-1] = min(heights[-1], 1.0)
    for index in reversed(range(len(order) - 1)):
        heights[index] = min(heights[index], heights[index + 1] - NAME_GAP)
    for method, height in zip(order, heights, strict=True):
        color, style, width, _ = looks[method]
        weight = "bold" if width > 1.2 else "normal"
        shape = {"arrowstyle": "-", "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 0}
        line = shape | {"color": color, "linestyle": style, "linewidth": 0.6}
        where: dict[str, Any] = {"xytext": (1.06, height), "textcoords": "axes fraction", "va": "center"}
        panel.annotate(method, ends[method], **where, color=color, fontweight=weight, arrowprops=line)


def bars(study: Study, looks: dict[str, Look]) -> Figure:
    """Speed-up to the final PSNR of the baselines, one row of panels for each scene."""
    references = study.references
    methods = [method for method in study.methods if method != study.baseline][::-1]
    height = max(LEAST_HEIGHT, 0.5 + 0.19 * len(methods))
    figure = Figure((PANEL[0] * len(references) + 0.8, height * len(study.scenes)), layout="constrained")
    panels = figure.subplots(len(study.scenes), len(references), squeeze=False, sharex=True, sharey=True)
    for row, scene in zip(panels, study.scenes, strict=True):
        for panel, reference in zip(row, references, strict=True):
            for place, method in enumerate(methods):
                _bar(panel, place, study, scene, method, reference, looks[method])
            panel.axvline(1, color="black", linewidth=0.8)
            panel.grid(visible=False, axis="y")
            panel.margins(x=0.12)
            panel.set_title(f"{scene}, to {reference}'s final PSNR")
            panel.set_yticks(range(len(methods)), methods)
            panel.set_ylim(min(-0.5, len(methods) / 2 - 1.5), max(len(methods) - 0.5, len(methods) / 2 + 0.5))
            panel.tick_params(left=False)
    for panel in panels[-1]:
        panel.set_xlabel(f"times sooner (bar: {AXIS_NAMES[study.clock]}, diamond: steps)")
    return figure


def _bar(panel: Axes, place: int, study: Study, scene: str, method: str, reference: str, look: Look) -> None:
    """A bar to the median with whiskers over seeds. A median with two different bounds gets text instead."""

    def over(axis: Axis) -> SeedRange | None:
        return study.seed_range([scene], method, Column("", lambda run: study.sooner(run, reference, axis)))

    times, steps = over(study.clock), over("step")
    if method == reference or times is None or steps is None:
        why = "reference" if method == reference else "not measured" if steps is None else "on another device"
        _say(panel, 0.0, place, why, "#666666")
        return
    seeds = f" ({times.known} of {times.seeds} seeds)" if 0 < times.known < times.seeds else ""
    if not times.median.known:
        reached = number_text(times.median, ".2f") if times.median.low else "not reached"
        _say(panel, 0.0, place, f"{reached}{seeds}", "#666666")
        return
    ends = [times.median.low]
    panel.barh(place, times.median.low, height=0.62, color=look.color, alpha=0.45 if method == study.tuned else 0.85)
    if times.least.known and times.most.known and times.seeds > 1:
        ends = [times.least.low, times.most.low]
        panel.plot(ends, [place, place], color="black", linewidth=1.2, solid_capstyle="butt")
    if steps.median.known:
        ends.append(steps.median.low)
        panel.plot(steps.median.low, place, "D", color="white", markersize=3.5, mec="black", mew=0.7)
    _say(panel, max(ends), place, f"{times.median.low:.2f}x{seeds}", "black")


def _say(panel: Axes, x: float, place: float, text: str, color: str) -> None:
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    panel.annotate(
        text, (x, place), (6, 0), textcoords="offset points", va="center", fontsize=7, color=color, bbox=behind
    )
