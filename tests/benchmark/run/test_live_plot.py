"""The plot in the terminal, with and without colours."""

import io

from rich.console import Console

from softmining_nerfstudio.benchmark.results import Measurement
from softmining_nerfstudio.benchmark.run.live_plot import DOTS, MARGIN, ROWS, LivePlot


def measured(method: str, seed: int, *psnrs: float) -> list[Measurement]:
    return [Measurement("ball", method, seed, 10 * i, i, i, psnr, 1) for i, psnr in enumerate(psnrs)]


def shown(records: list[Measurement], encoding: str = "utf-8", width: int = 60) -> list[str]:
    """The lines of a terminal of this width; one with colours if it knows more than ASCII."""
    raw = io.BytesIO()
    color = "truecolor" if encoding == "utf-8" else None
    file = io.TextIOWrapper(raw, encoding=encoding)
    Console(file=file, width=width, force_terminal=True, color_system=color).print(
        LivePlot(("uniform", "dmc"), 40)(records)
    )
    file.flush()
    return raw.getvalue().decode().splitlines()


RECORDS = measured("uniform", 1, 5.0, 10.0, 12.0) + measured("dmc", 1, 5.0, 11.0, 14.0) + measured("dmc", 2, 5.0, 13.0)


def test_nothing_is_drawn_before_the_first_step_is_measured() -> None:
    assert shown(measured("uniform", 1, 5.0)) == []


def test_a_terminal_that_knows_ascii_only_gets_a_mark_for_each_method() -> None:
    legend, *rows, steps = shown(RECORDS, "ascii")
    assert legend == "PSNR of held-out pixels, dB:  . uniform 12.00  * dmc 14.00"
    assert len(rows) == ROWS
    assert rows[0].startswith(" 14.0 |")
    assert rows[-1].startswith(" 10.0 |")
    middle = MARGIN + round((60 - MARGIN - 2) / 2)  # step 20 of 40: nothing is drawn beyond
    assert rows[0].rstrip()[middle:] == "*"
    assert max(map(len, map(str.rstrip, rows))) == middle + 1
    assert steps.split() == ["0", "40", "steps"]


def test_seeds_are_averaged_where_they_were_measured() -> None:
    lines = shown(RECORDS, "ascii")
    quarter = MARGIN + round((60 - MARGIN - 2) / 4)
    height = round((14 - 12) / (14 - 10) * (ROWS - 1))  # the mean of 11 and 13
    assert lines[1 + height][quarter] == "*"


def test_curves_are_dots_of_braille_in_the_colours_of_the_legend() -> None:
    legend, *rows, _ = shown(RECORDS)
    assert legend.count("\N{BLACK SQUARE}") == 2
    assert any(0x2800 < ord(character) < 0x2900 for row in rows for character in row)
    assert sum(map(sum, DOTS)) == 0xFF
    assert "\x1b[97m" in "".join(rows) or "\x1b[37m" in "".join(rows)


def test_a_psnr_that_is_no_number_is_left_out() -> None:
    legend = shown(measured("dmc", 1, 5.0, 10.0, float("nan")), "ascii")[0]
    assert legend.endswith(". uniform  * dmc 10.00")
