"""The measured costs of the samplers as JSON lines, as tables in the terminal, and as a plot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
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

NERFSTUDIO = "nerfstudio"
FILE_NAME, PLOT_NAME = "sampler.jsonl", "sampler.png"
MARKERS = "osD^vPX*"


@dataclass(frozen=True)
class Cost:
    """The cost of one sampler at one number of images and rays."""

    sampler: str
    """A sampling type, or "nerfstudio"."""
    images: int
    rays: int
    """Rays per batch."""
    milliseconds: float
    """Median time of a step."""
    rays_per_second: float
    ratio: float | None
    """Time of a step relative to nerfstudio's sampler; None if that one failed."""
    memory: int
    """Bytes of the tensors that the sampler holds besides the images."""
    setup_milliseconds: float
    """Time per image from the sampler's creation to its first batch, one step included."""


@dataclass(frozen=True)
class Refusal:
    """The reason why a sampler has no cost."""

    sampler: str
    images: int
    rays: int
    reason: str


class CostReport:
    """Shows every measurement as soon as it is known, and writes it if there is a folder."""

    def __init__(self, folder: Path | None, settings: dict[str, str | float]):
        self.folder, self.console = folder, Console()
        self.records: list[Cost | Refusal] = []
        self.settings = {**settings, **environment()}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / FILE_NAME).write_text(json.dumps({"settings": self.settings}) + "\n", encoding="utf-8")

    def add(self, records: Sequence[Cost | Refusal]) -> None:
        """Show and write the records of one number of images and rays."""
        self.records += records
        self.console.print(table(records))
        for record in records:
            if isinstance(record, Refusal):
                line = f"[yellow]{escape(f'{record.sampler} is left out: {record.reason}')}[/yellow]"
                self.console.print(line, soft_wrap=True, highlight=False)
        if self.folder is not None:
            with (self.folder / FILE_NAME).open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(asdict(record)) + "\n" for record in records)

    def finish(self) -> None:
        """Draw the plot and print where the files are."""
        costs = [record for record in self.records if isinstance(record, Cost)]
        if self.folder is not None and costs:
            settings = "medians of {clock} time, images of {megapixels} MP, masks: {masks}; {cpu}, torch {torch}"
            plot(costs, f"Cost of the sampler alone: {settings.format_map(self.settings)}", self.folder / PLOT_NAME)
            self.console.print(f"{FILE_NAME} and {PLOT_NAME} are in {escape(str(self.folder))}", soft_wrap=True)


def table(records: Sequence[Cost | Refusal]) -> Table:
    """The costs at one number of images and rays."""
    title = f"{records[0].images:,} images, {records[0].rays:,} rays"
    caption = "ratio: to nerfstudio's ms; MB: held besides the images"
    shown = Table(title=title, title_justify="left", caption=caption, caption_justify="left", box=SIMPLE_HEAD)
    shown.add_column("sampler", no_wrap=True)
    for name in ("ms/step", "ratio", "rays/s", "MB", "set-up ms/image"):
        shown.add_column(name, justify="right", no_wrap=True)
    for cost in records:
        if isinstance(cost, Cost):
            shown.add_row(
                cost.sampler,
                f"{cost.milliseconds:.2f}",
                "" if cost.ratio is None else f"{cost.ratio:.1f}",
                f"{cost.rays_per_second:,.0f}",
                f"{cost.memory / 1e6:.2f}",
                f"{cost.setup_milliseconds:.3f}",
            )
    return shown


def plot(costs: Sequence[Cost], heading: str, path: Path) -> None:
    """Time over images and over rays, and memory over images; nerfstudio's sampler is black."""
    images, rays = (_middle(getattr(cost, name) for cost in costs) for name in ("images", "rays"))
    same_rays, same_images = [c for c in costs if c.rays == rays], [c for c in costs if c.images == images]
    with matplotlib.rc_context(STYLE):
        figure = Figure((10.5, 3.2), layout="constrained")
        time_over_images, time_over_rays, memory = figure.subplots(1, 3)
        _draw(time_over_images, same_rays, "images", lambda cost: cost.milliseconds)
        time_over_images.set(title=f"Time, {rays:,} rays per batch", xlabel="images", ylabel="time per step (ms)")
        _draw(time_over_rays, same_images, "rays", lambda cost: cost.milliseconds)
        time_over_rays.set(title=f"Time, {images:,} images", xlabel="rays per batch", ylabel="time per step (ms)")
        _draw(memory, same_rays, "images", lambda cost: cost.memory / 1e6)
        memory.set(title=f"Memory, {rays:,} rays per batch", xlabel="images", ylabel="held besides the images (MB)")
        figure.legend(*time_over_images.get_legend_handles_labels(), loc="outside right center", frameon=False)
        figure.suptitle(heading, fontsize=8, color="#666666")
        figure.savefig(path)


def _middle(values: Iterable[int]) -> int:
    ordered = sorted(set(values))
    return ordered[len(ordered) // 2]


def _draw(axes: Axes, costs: Sequence[Cost], over: str, value: Callable[[Cost], float]) -> None:
    """One line for each sampler. A logarithmic axis has no zero: a sampler of zeros is named instead."""
    samplers = list(dict.fromkeys(cost.sampler for cost in costs))
    for number, sampler in enumerate(samplers):
        own = sorted((getattr(cost, over), value(cost)) for cost in costs if cost.sampler == sampler)
        color = "black" if sampler == NERFSTUDIO else COLORS[(number - 1) % len(COLORS)]
        at, values = zip(*own, strict=True)
        if any(values):
            axes.plot(at, values, color=color, marker=MARKERS[number % len(MARKERS)], label=sampler, markersize=4)
        else:
            axes.text(0.97, 0.04, f"{sampler}: none", transform=axes.transAxes, ha="right")
    ticks = sorted({getattr(cost, over) for cost in costs})
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
