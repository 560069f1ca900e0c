"""`softmining-bench report`: tables of a results folder in the terminal and in Markdown, and plots.

It compares finished runs and lists the others.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import rich.box
import rich.table
import tyro
from rich.console import Console

from softmining_nerfstudio.benchmark.report import budgets as budget_report
from softmining_nerfstudio.benchmark.report import plots as drawing
from softmining_nerfstudio.benchmark.report.about import about, notes
from softmining_nerfstudio.benchmark.report.reading import ResultsFolder, read
from softmining_nerfstudio.benchmark.report.study import ClockName
from softmining_nerfstudio.benchmark.report.tables import Table, all_tables
from softmining_nerfstudio.benchmark.report.verdict import verdicts


def report(
    folder: tyro.conf.Positional[Path],
    *,
    clock: ClockName = "wall",
    markdown: Path | None = None,
    plots: Path | None = None,
    targets: tuple[float, ...] = (),
    methods: tuple[str, ...] = (),
) -> None:
    """Print the report on a results folder. Write it too, if asked to.

    Args:
        folder: Folder into which `softmining-bench run` wrote measurements.jsonl and suite.json.
        clock: The time to compare. wall: the wall-clock. cpu: the processor time of all threads; other work of the
            machine disturbs it less, but it says nothing where a GPU trains.
        markdown: File for the same tables.
        plots: Folder for the plots, as PNG and SVG.
        targets: The fixed PSNRs, dB. Default: the whole dBs that the baseline passes in its second half.
        methods: Report only on these and the baseline. Default: all in the tables; in the plots over steps and time the
            references, the miner and a few others.

    Raises:
        ResultsError: there are no results, the baseline has no finished run, the suite has no such method, or a record
            is malformed.
    """
    found = read(folder, clock, methods)
    budgets = found.budgets
    tables = budget_report.tables(found.study, budgets) if budgets else all_tables(found.study, targets)
    console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 160)
    if not budgets:
        console.print("\n".join([*verdicts(found.study), ""]))
    console.print("\n".join(about(found)), end="\n\n")
    for table in tables:
        console.print(_for_terminal(table), end="\n\n")
    console.print("\n".join(notes(found)))
    if found.missing:
        console.print("\n".join(["", "Left out:", *found.missing]))
    drawn: list[Path] = []
    if plots and budgets:
        drawn = budget_report.write(found.study, budgets, plots)
    elif plots:
        drawn = drawing.write(found.study, folder, plots, None if methods else drawing.MOST_CURVES)
    if markdown:
        markdown.parent.mkdir(parents=True, exist_ok=True)
        links = [Path(os.path.relpath(path, markdown.parent)).as_posix() for path in drawn]
        markdown.write_text(_markdown(found, tables, links), encoding="utf-8")
        console.print(f"Wrote {markdown}")


def _for_terminal(table: Table) -> rich.table.Table:
    shown = rich.table.Table(title=table.title, title_justify="left", title_style="bold", box=rich.box.SIMPLE_HEAD)
    shown.add_column(table.header[0], no_wrap=True)
    for title in table.header[1:]:
        shown.add_column(title, justify="right")
    for row in table.rows:
        shown.add_row(*row)
    return shown


def _markdown(found: ResultsFolder, tables: Sequence[Table], plots: Sequence[str]) -> str:
    def row(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    parts = [] if found.budgets else [f"**{verdict}**" for verdict in verdicts(found.study)]
    parts.append("\n\n".join(about(found)))
    for table in tables:
        rule = ["---", *["---:"] * (len(table.header) - 1)]
        parts.append(f"**{table.title}**\n\n" + "\n".join(map(row, [table.header, rule, *table.rows])))
    parts.append("\n".join(f"- {note}" for note in notes(found)))
    if found.missing:
        parts.append("Left out:\n\n" + "\n".join(f"- {run}" for run in found.missing))
    parts += [f"![{Path(path).stem}]({path})" for path in plots if not path.endswith(".svg")]
    return "\n\n".join(parts) + "\n"
