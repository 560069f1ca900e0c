"""The measured costs of images as JSON lines, as tables in the terminal, and as a plot."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from softmining_nerfstudio.benchmark.environment import environment
from softmining_nerfstudio.benchmark.report.looks import COLORS, STYLE

WAYS = {
    "nerfstudio": "as floats, by nerfstudio's loader",
    "memory": "as bytes in memory",
    "tiles": "as tiles, which this start writes",
    "tiles, again": "as tiles that are there",
    "tiles, cold": "as tiles that are there, and not in the system's memory",
}
FILE_NAME, PLOT_NAME = "images.jsonl", "images.png"


@dataclass(frozen=True)
class ImageCost:
    """What images cost, kept in one way."""

    way: str
    images: int
    megapixels: float
    taken: int
    """Bytes of the images and masks, one a channel."""
    resident: int
    """Largest number of bytes in memory. Of tiles, the system drops what others need."""
    anonymous: int
    """Largest number of those that no file backs."""
    above: int
    """Anonymous bytes beyond those of the same program on images of a few pixels."""
    first: float
    """Seconds from the start of the process to the end of the first step, imports included."""
    step: float
    """Median time of a training step, ms."""
    draw: float
    """Median time of drawing its batch, ms."""
    step_cpu: float
    """Median time that all threads spent on a processor in a step, ms: for a machine that does other work."""
    draw_cpu: float
    """The same of drawing its batch."""


@dataclass(frozen=True)
class Refusal:
    """The reason why a way has no cost."""

    way: str
    images: int
    megapixels: float
    reason: str


class ImageReport:
    """Shows every measurement as soon as it is known, and writes it if there is a folder."""

    def __init__(self, folder: Path | None, settings: dict[str, str | int | bool]) -> None:
        self.folder, self.console = folder, Console()
        self.costs: list[ImageCost] = []
        self.settings = {**settings, **environment()}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / FILE_NAME).write_text(json.dumps({"settings": self.settings}) + "\n", encoding="utf-8")

    def add(self, records: Sequence[ImageCost | Refusal]) -> None:
        """Show and write the records of one capture."""
        costs = [record for record in records if isinstance(record, ImageCost)]
        self.costs += costs
        if costs:
            self.console.print(table(costs))
        for record in records:
            if isinstance(record, Refusal):
                said = f"{record.images} x {record.megapixels:g} MP, {record.way} is left out: {record.reason}"
                self.console.print(f"[yellow]{escape(said)}[/yellow]", soft_wrap=True, highlight=False)
        if self.folder is not None:
            with (self.folder / FILE_NAME).open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(asdict(record)) + "\n" for record in records)

    def finish(self) -> None:
        """Draw the plot and print where the files are."""
        if self.folder is not None and self.costs:
            heading = "softmining-lite; {cpu}, {threads} threads, torch {torch}".format_map(self.settings)
            plot(self.costs, f"What images cost: {heading}", self.folder / PLOT_NAME)
            self.console.print(f"{FILE_NAME} and {PLOT_NAME} are in {escape(str(self.folder))}", soft_wrap=True)


def table(costs: Sequence[ImageCost]) -> Table:
    """The costs of one capture."""
    one = costs[0]
    title = f"{one.images:,} images of {one.megapixels:g} MP, {one.taken / 1e9:.3g} GB as bytes"
    caption = "anon.: GB that no file backs; images: of these, theirs; step, draw and cpu: ms"
    shown = Table(title=title, title_justify="left", caption=caption, caption_justify="left", box=SIMPLE_HEAD)
    shown.add_column("kept", no_wrap=True)
    for name in ("GB", "anon.", "images", "first s", "step", "cpu", "draw", "cpu"):
        shown.add_column(name, justify="right", no_wrap=True)
    for cost in costs:
        sizes = (f"{size / 1e9:.2f}" for size in (cost.resident, cost.anonymous, cost.above))
        times = (f"{ms:.0f}" for ms in (cost.step, cost.step_cpu, cost.draw, cost.draw_cpu))
        shown.add_row(cost.way, *sizes, f"{cost.first:.0f}", *times)
    return shown


def plot(costs: Sequence[ImageCost], heading: str, path: Path) -> None:
    """Memory, time to the first step and time of a step, of every capture and way."""
    with matplotlib.rc_context(STYLE):
        figure = Figure((10.5, 3.2), layout="constrained")
        memory, first, step = figure.subplots(1, 3)
        _draw(memory, costs, lambda cost: cost.anonymous / 1e9)
        memory.set(title="Memory that no file backs", ylabel="GB")
        _draw(first, costs, lambda cost: cost.first)
        first.set(title="Start to the first step", ylabel="s")
        _draw(step, costs, lambda cost: cost.step)
        step.set(title="Training step", ylabel="ms")
        figure.legend(*memory.get_legend_handles_labels(), loc="outside right center", frameon=False)
        figure.suptitle(heading, fontsize=8, color="#666666")
        figure.savefig(path)


def _draw(axes: Axes, costs: Sequence[ImageCost], value: Callable[[ImageCost], float]) -> None:
    """Bars: a group for each capture, a colour for each way."""
    captures = list(dict.fromkeys((cost.images, cost.megapixels) for cost in costs))
    width = 0.8 / len(WAYS)
    for number, way in enumerate(WAYS):
        if not (own := [cost for cost in costs if cost.way == way]):
            continue
        at = [captures.index((cost.images, cost.megapixels)) + (number - len(WAYS) / 2 + 0.5) * width for cost in own]
        color = "black" if number == 0 else COLORS[number - 1]
        axes.bar(at, [value(cost) for cost in own], width, color=color, label=way)
    axes.set_xticks(range(len(captures)), [f"{images:,} x\n{size:g} MP" for images, size in captures])
