"""A strip of renders, at a common time or at the end: the true view, a render of every method, and the error below:

    e(x) = mean over RGB of |f(x) - f_gt(x)|.

Captions give the time of each render, if one device has trained them all. With few renders the times differ.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image

from softmining_nerfstudio.benchmark.errors import ResultsError
from softmining_nerfstudio.benchmark.report.study import AXIS_NAMES, Study, unit_of
from softmining_nerfstudio.benchmark.results import Measurement, Run

WIDTH = 7.2
"""Width of the figure, inches; that of a page of text."""
COLUMNS = 6
ERROR_COLORS = "inferno"
GAP, CAPTION, TITLE = 0.05, 0.36, 0.26
"""Space between, below and above the images, inches."""


class Moment(NamedTuple):
    """The renders at a common time."""

    time: float
    """Seconds."""
    shown: list[Measurement]
    title: str


def at_equal_time(study: Study, scene: str, folder: Path) -> Moment | None:
    """Each method's render nearest to a common time; None if the baseline has none.

    All come from one seed, the one whose renders cover most methods. The common time is that of the baseline's middle
    render.
    """
    by_seed = [rendered(study, scene, seed, folder) for seed in study.seeds([scene], study.baseline)]
    shown = max((found for found in by_seed if study.baseline in found), key=len, default=None)
    if shown is None:
        return None

    def time(measurement: Measurement) -> float:
        return getattr(measurement, study.clock)

    of_baseline = shown[study.baseline]
    common = time(of_baseline[len(of_baseline) // 2])
    size, unit = unit_of(common)
    title = f"{scene}: the renders nearest to {common / size:.3g} {unit} of {AXIS_NAMES[study.clock]}"
    return Moment(common, [min(ms, key=lambda m: abs(time(m) - common)) for ms in shown.values()], title)


def at_the_end(study: Study, scene: str, folder: Path) -> Moment | None:
    """Each method's render after its last step, from one seed; None if the baseline has none."""
    by_seed = [rendered(study, scene, seed, folder) for seed in study.seeds([scene], study.baseline)]
    ends = [[m for measured in found.values() for m in measured if m.final is not None] for found in by_seed]
    ends = [shown for shown in ends if any(m.method == study.baseline for m in shown)]
    if not ends:
        return None
    shown = max(ends, key=len)
    return Moment(getattr(shown[0], study.clock), shown, f"{scene}: the renders after the last step")


def rendered(study: Study, scene: str, seed: int, folder: Path) -> dict[str, list[Measurement]]:
    """The measurements of each method that have a render in the folder."""
    found = {method: study.runs.get(Run(scene, method, seed), []) for method in study.methods}
    shown = {name: [m for m in found[name] if m.render and (folder / m.render).exists()] for name in found}
    return {name: measured for name, measured in shown.items() if measured}


def strip(moment: Moment, folder: Path, study: Study) -> Figure:
    """Draw the strip, with time and PSNR of all held-out pixels below each render.

    Without `truth.png` beside the renders, it leaves out the true view and the errors.
    """
    images = [read_image(folder / str(m.render)) for m in moment.shown]
    size, unit = unit_of(moment.time)
    times = [f"{getattr(m, study.clock) / size:.3g} {unit}, " for m in moment.shown]
    if len({m.device for m in moment.shown}) > 1:
        times = [""] * len(times)  # they do not compare
    captions = [f"{m.method}\n{time}{m.psnr:.1f} dB" for m, time in zip(moment.shown, times, strict=True)]
    truth_path = (folder / str(moment.shown[0].render)).parent / "truth.png"
    truth = read_image(truth_path) if truth_path.exists() else None
    errors: list[np.ndarray] = []
    if truth is not None:
        errors = [np.abs(image - truth).mean(-1) for image in images]
        images, captions = [truth, *images], ["ground truth", *captions]
    top = float(np.quantile(np.stack(errors), 0.995)) if errors else 1.0
    figure, cells = _grid(len(images), images[0].shape[0] / images[0].shape[1], rows=2 if errors else 1)
    for image, caption, cell in zip(images, captions, cells, strict=True):
        cell[0].imshow(image)
        under = cell[0] if image is truth else cell[-1]
        under.text(0.5, -0.05, caption, transform=under.transAxes, ha="center", va="top", fontsize=7.5)
    for error, cell in zip(errors, cells[1:], strict=False):
        cell[1].imshow(error, cmap=ERROR_COLORS, vmin=0, vmax=top)
    if errors:
        _scale_bar(figure, cells[0][1], top)
    figure.suptitle(moment.title, x=0.0, y=1.0, ha="left", va="top", fontsize=9, fontweight="bold")
    return figure


def _grid(count: int, aspect: float, rows: int) -> tuple[Figure, list[list[Axes]]]:
    """A figure of cells, at most COLUMNS a line. A cell has one image for each of its rows."""
    columns = min(COLUMNS, count)
    width = min((WIDTH - GAP * (columns - 1)) / columns, 2.4)
    step_down = rows * (width * aspect + GAP) + CAPTION
    size = columns * (width + GAP) - GAP, TITLE + math.ceil(count / columns) * step_down
    figure = Figure(size)

    def panel(place: int, row: int) -> Axes:
        left = place % columns * (width + GAP)
        bottom = size[1] - TITLE - place // columns * step_down - row * (width * aspect + GAP) - width * aspect
        axes = figure.add_axes((left / size[0], bottom / size[1], width / size[0], width * aspect / size[1]))
        axes.set_axis_off()
        return axes

    return figure, [[panel(place, row) for row in range(rows)] for place in range(count)]


def _scale_bar(figure: Figure, empty: Axes, top: float) -> None:
    """Draw the colour scale of the errors in the empty place below the true view."""
    scale = ScalarMappable(Normalize(0, top), ERROR_COLORS)
    bar = figure.colorbar(scale, cax=empty.inset_axes((0.1, 0.4, 0.8, 0.08)), orientation="horizontal")
    bar.set_ticks([0, top], labels=["0", f"{top:.2f}"])
    bar.ax.set_title("error, mean |ΔRGB|", fontsize=7, fontweight="normal")
    bar.ax.tick_params(labelsize=7, length=2)
    bar.ax.grid(visible=False)


def read_image(path: Path) -> np.ndarray:
    """The colours of an image, between 0 and 1.

    Raises:
        ResultsError: the file is no whole image.
    """
    try:
        return np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255
    except (OSError, SyntaxError, ValueError) as error:  # PIL's
        raise ResultsError(f"{path} is no whole image ({error}). Delete it to report without it") from error
