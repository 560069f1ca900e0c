"""The colour and line of each method, the same in every plot."""

from __future__ import annotations

from typing import Any, NamedTuple

from softmining_nerfstudio.benchmark.report.study import Study

MINER_COLOR = "#D55E00"
COLORS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#999933", "#44AA99")
"""Okabe and Ito's palette, then Tol's muted one."""
STYLE: dict[Any, Any] = {
    **{"font.size": 8, "axes.titlesize": 9, "axes.titleweight": "bold", "svg.fonttype": "none"},
    **{"axes.spines.top": False, "axes.spines.right": False, "savefig.dpi": 200, "savefig.facecolor": "white"},
    **{"axes.grid": True, "axes.axisbelow": True, "grid.color": "#e6e6e6", "grid.linewidth": 0.6},
}
PANEL = 3.5, 2.7
"""Width and height of a panel, inches; the width of a column of text."""


class Look(NamedTuple):
    """The line of a method."""

    color: str
    style: Any
    width: float
    band: float
    """Opacity of the band over seeds."""


def looks_of(study: Study) -> dict[str, Look]:
    """The baseline is black, the other references are dashed and dotted; the miner is thick. These come first."""
    looks = {study.baseline: Look("black", "-", 1.6, 0.2)}
    if study.tuned:
        looks[study.tuned] = Look("black", (0, (4, 1.5)), 1.3, 0.15)
    if study.stock:
        looks[study.stock] = Look("#666666", (0, (1, 1)), 1.6, 0.15)
    if study.miner:
        looks[study.miner] = Look(MINER_COLOR, "-", 2.2, 0.25)
    for number, method in enumerate(method for method in study.methods if method not in looks):
        dashes = ("-", (0, (5, 1)), (0, (1, 1)))[number // len(COLORS) % 3]
        looks[method] = Look(COLORS[number % len(COLORS)], dashes, 1.0, 0.12)
    return looks
