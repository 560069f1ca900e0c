"""PSNR over steps as a plot in the terminal: a curve for each method, in dots of braille.

Terminals without colours or with ASCII alone get a letter-sized mark for each method instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import mean

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from softmining_nerfstudio.benchmark.results import Measurement

COLORS = ("white", "bright_red", "bright_blue", "bright_green", "bright_magenta", "bright_yellow", "bright_cyan")
MARKS, SQUARE = ".*+ox#@", "\N{BLACK SQUARE}"
ROWS, MOST_COLUMNS = 12, 100
MARGIN = 7
"""Columns left of the plot, for the numbers."""
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot of a braille character, from 0x2800 on: four rows of two."""

Curve = list[tuple[int, float]]
"""Steps, and the mean PSNR of the seeds that were measured there."""


class LivePlot:
    """Draws the curves of the methods up to their last measurements; an example of `progress.Plot`.

    Args:
        steps: The right end of the plot; None: the last measurement.
    """

    def __init__(self, methods: Sequence[str], steps: int | None) -> None:
        self._methods, self._steps = methods, steps

    def __call__(self, measured: Sequence[Measurement]) -> Curves:
        found: dict[str, dict[int, list[float]]] = {name: {} for name in self._methods}
        for m in measured:
            if m.method in found and m.psnr == m.psnr:  # no NaN
                found[m.method].setdefault(m.step, []).append(m.psnr)
        curves = {name: [(step, mean(psnrs)) for step, psnrs in sorted(of.items())] for name, of in found.items()}
        last = max((step for curve in curves.values() for step, _ in curve), default=0)
        return Curves(curves, self._steps or max(last, 1))


class Curves:
    """A plot that fits itself to the terminal."""

    def __init__(self, curves: dict[str, Curve], steps: int) -> None:
        self.curves, self.steps = curves, steps

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        later = [psnr for curve in self.curves.values() for step, psnr in curve if step > 0]
        if not later:
            return
        plain = options.ascii_only or console.no_color or console.color_system is None
        columns = max(10, min(MOST_COLUMNS, options.max_width) - MARGIN - 1)
        low, high = min(later), max(later)
        yield self._legend(plain)
        cells = self._cells(columns, low, max(high, low + 0.1), plain)
        for row in range(ROWS):
            number = {0: f"{max(high, low + 0.1):.1f}", ROWS - 1: f"{low:.1f}"}.get(row, "")
            line = Text(f"{number:>{MARGIN - 2}} |")
            for column in range(columns):
                line.append(*cells.get((column, row), (" ", "")))
            yield line
        yield Text(" " * MARGIN + "0" + f"{self.steps} steps".rjust(columns - 1))

    def _legend(self, plain: bool) -> Text:
        legend = Text("PSNR of held-out pixels, dB:")
        for place, (name, curve) in enumerate(self.curves.items()):
            color, mark = _look(place)
            last = f" {curve[-1][1]:.2f}" if curve else ""
            legend.append(f"  {mark if plain else SQUARE} {name}{last}", "" if plain else color)
        return legend

    def _cells(self, columns: int, low: float, high: float, plain: bool) -> dict[tuple[int, int], tuple[str, str]]:
        """Character and style of each cell that has some. Later curves lie over earlier ones."""
        across, down = (1, 1) if plain else (2, 4)
        cells: dict[tuple[int, int], tuple[str, str]] = {}
        bits: dict[tuple[int, int], int] = {}
        for place, curve in enumerate(self.curves.values()):
            color, mark = _look(place)
            points = [
                (step / self.steps * (columns * across - 1), (high - max(psnr, low)) / (high - low) * (ROWS * down - 1))
                for step, psnr in curve
            ]
            for x, y in _line(points):
                cell = x // across, y // down
                bits[cell] = bits.get(cell, 0) | DOTS[y % down][x % across]
                cells[cell] = (mark, "") if plain else (chr(0x2800 + bits[cell]), color)
        return cells


def _look(place: int) -> tuple[str, str]:
    return COLORS[place % len(COLORS)], MARKS[place % len(MARKS)]


def _line(points: Sequence[tuple[float, float]]) -> Iterable[tuple[int, int]]:
    """The whole-numbered places on straight lines from point to point."""
    for (x0, y0), (x1, y1) in zip(points, points[1:] or points, strict=False):
        count = max(1, round(max(abs(x1 - x0), abs(y1 - y0))))
        for part in range(count + 1):
            yield round(x0 + (x1 - x0) * part / count), round(y0 + (y1 - y0) * part / count)
