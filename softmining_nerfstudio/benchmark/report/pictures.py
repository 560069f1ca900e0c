"""The last rays and the walkers in the first training image, over steps.

One row for each method and kind of picture, one column for each step. Methods that learn nothing have no pictures.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from softmining_nerfstudio.benchmark.report.strip import COLUMNS, GAP, TITLE, WIDTH, read_image
from softmining_nerfstudio.benchmark.report.study import Study
from softmining_nerfstudio.benchmark.results import Run

NAMES = 1.2
"""Space left of the pictures for the names of the rows, inches."""


def over_steps(study: Study, scene: str, folder: Path) -> Figure | None:
    """Draw the pictures of a scene; None if the folder has none."""
    rows = {(method, kind): found for method in study.methods for kind, found in _of(study, scene, method, folder)}
    if not rows:
        return None
    steps = _evenly_spaced(sorted({step for found in rows.values() for step in found}))
    images = {key: {step: read_image(path) for step, path in found.items()} for key, found in rows.items()}
    aspect = max(image.shape[0] / image.shape[1] for found in images.values() for image in found.values())
    side = (WIDTH - NAMES) / COLUMNS
    figure = Figure((NAMES + side * len(steps), 2 * TITLE + (side * aspect + GAP) * len(rows)))
    panels = figure.subplots(len(rows), len(steps), squeeze=False)
    top = 1 - 2 * TITLE / figure.get_figheight()
    figure.subplots_adjust(NAMES / figure.get_figwidth(), 0, 1, top, wspace=GAP, hspace=GAP)
    for line, ((method, kind), found) in zip(panels, images.items(), strict=True):
        line[0].set_ylabel(f"{method}\n{kind}", rotation=0, ha="right", va="center", fontsize=7.5)
        for panel, step in zip(line, steps, strict=True):
            panel.set(xticks=[], yticks=[])
            panel.set_frame_on(False)
            if step in found:
                panel.imshow(found[step])
    for panel, step in zip(panels[0], steps, strict=True):
        panel.set_title(f"step {step}", fontsize=7.5, fontweight="normal")
    title = f"{scene}: the last rays, and the walkers, in the first training image"
    figure.suptitle(title, x=0.0, y=1.0, ha="left", va="top", fontsize=9, fontweight="bold")
    return figure


def _of(study: Study, scene: str, method: str, folder: Path) -> list[tuple[str, dict[int, Path]]]:
    """Each kind of picture of a method, by step, from the first seed that has any."""
    for seed in study.seeds([scene], method):
        found: dict[str, dict[int, Path]] = {}
        for measurement in study.runs[Run(scene, method, seed)]:
            for kind, picture in (measurement.mined or {}).items():
                if (folder / picture).exists():
                    found.setdefault(kind, {})[measurement.step] = folder / picture
        if found:
            return list(found.items())
    return []


def _evenly_spaced(steps: list[int]) -> list[int]:
    """At most COLUMNS of the steps, evenly spaced."""
    shown = min(COLUMNS, len(steps))
    return [steps[round(place * (len(steps) - 1) / max(1, shown - 1))] for place in range(shown)]
