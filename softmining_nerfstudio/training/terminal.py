"""The terminal's table of numbers: when training ends, how good it is, how fast, and two numbers of the miner."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Union

from nerfstudio.configs.base_config import LocalWriterConfig
from nerfstudio.utils import writer
from nerfstudio.utils.printing import human_format
from nerfstudio.utils.writer import EventName, LocalWriter

WIDTH = 12
"""Least width of a column, characters."""


class MiningEvent(Enum):
    """Mining numbers that the terminal can show beside nerfstudio's own."""

    MEAN_ERROR = "Mean Error"
    EFFECTIVE_SAMPLES = "Effective Samples"
    REDRAWN = "Redrawn"
    ON_EDGES = "On Edges"
    ALPHA = "Alpha"


def counted(number: int, what: str) -> str:
    """A number of things, as `1 step` and `2 steps`."""
    return f"{number} {what}{'s' * (number != 1)}"


def duration(seconds: float) -> str:
    """A duration to two units."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    EventName.ETA.value: ("ETA", duration),
    EventName.CURR_TEST_PSNR.value: ("Test PSNR", "{:.2f} dB".format),
    EventName.ITER_TRAIN_TIME.value: ("Step time", lambda seconds: f"{seconds * 1000:.0f} ms"),
    EventName.TRAIN_RAYS_PER_SEC.value: ("Rays / s", human_format),
    MiningEvent.EFFECTIVE_SAMPLES.value: (MiningEvent.EFFECTIVE_SAMPLES.value, "{:.2f}".format),
}
"""Event -> title and format of its column; all others have their name and four digits."""


@dataclass
class SoftMiningLocalWriterConfig(LocalWriterConfig):
    """The terminal's table of numbers."""

    _target: type = field(default_factory=lambda: Table)
    stats_to_track: tuple[Union[EventName, MiningEvent], ...] = (  # type: ignore[assignment]
        EventName.ETA,
        EventName.CURR_TEST_PSNR,
        EventName.ITER_TRAIN_TIME,
        EventName.TRAIN_RAYS_PER_SEC,
        MiningEvent.MEAN_ERROR,
        MiningEvent.EFFECTIVE_SAMPLES,
    )
    """Columns of the terminal's table, from left to right. TensorBoard has all numbers."""


class Table(LocalWriter):
    """The same columns in every row: one that has no number now shows its last one, or a dash.

    A terminal keeps the last rows above the banner, cut at its width. A file gets every row.
    """

    def __init__(self, config: SoftMiningLocalWriterConfig, banner_messages: list[str] | None = None) -> None:
        super().__init__(config, banner_messages)
        self.columns = [COLUMNS.get(name, (name, "{:.4f}".format)) for name in self.stats_to_track]
        self.widths = [max(WIDTH, len(title)) for title, _ in self.columns]
        self.last: dict[str, Any] = {}
        self.rows: list[str] = []
        self.shown = 0

    def write_stats_log(self, step: int) -> None:
        """Add a row if a training step has ended that is due; the viewer's events come at any time."""
        del step  # of whatever event came first
        ended = None
        for event in writer.EVENT_STORAGE:
            if event["name"] in self.stats_to_track:
                self.last[event["name"]] = event["event"]
            if event["name"] == EventName.ITER_TRAIN_TIME.value:
                ended = event["step"]
        if ended is not None and ended % writer.GLOBAL_BUFFER["steps_per_log"] == 0:
            self._show(self._row(ended))

    def _row(self, step: int) -> str:
        cells = [f"{step} ({step / writer.GLOBAL_BUFFER['max_iter']:.1%})"]
        for name, (_, shown) in zip(self.stats_to_track, self.columns, strict=True):
            cells.append(shown(float(self.last[name])) if name in self.last else "-")
        return self._line(cells)

    def _line(self, cells: list[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, [16, *self.widths], strict=True)).rstrip()

    def _show(self, row: str) -> None:
        header = self._line(["Step (% done)", *(title for title, _ in self.columns)])
        head, banner = [header, "-" * len(header)], self.past_mssgs[3:]
        most = self.config.max_log_size if sys.stdout.isatty() else 0
        self.rows = [*self.rows, row][-most:] if most else [row]
        if most:
            lines = [*head, *self.rows, *banner]
        else:
            lines = [row] if self.shown else [*banner, *head, row]
        above, self.shown = self.shown, len(lines)
        if most:
            width, end = shutil.get_terminal_size().columns, len(lines) - len(banner)
            lines = [line[:width] if n < end else f"\x1b[30;42m{line[:width]}\x1b[0m" for n, line in enumerate(lines)]
            lines = [f"\x1b[2K{line}" for line in lines]
        print(f"\x1b[{above}A" if most and above else "", "\n".join(lines), sep="", flush=True)
