"""What a budget buys: the report on a suite whose runs last for minutes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hand_worked import cells, markdown_of

from softmining_nerfstudio.benchmark.report.budgets import plot
from softmining_nerfstudio.benchmark.report.looks import MINER_COLOR
from softmining_nerfstudio.benchmark.report.reading import read
from softmining_nerfstudio.benchmark.results import Measurement, append

ENDS = {("uniform", 0.25): 20.0, ("uniform", 1.0): 26.0, ("mined", 0.25): 23.0, ("mined", 1.0): 28.0}
TABLE = "chair: final PSNR (dB) of a training of so many seconds"


@pytest.fixture
def budgets(tmp_path: Path) -> Path:
    """Two methods, two budgets, three seeds that differ by 0.1 dB; the miner gains 3 dB, then 2."""
    folder = tmp_path / "results"
    folder.mkdir()
    names = {(method, minutes): f"{method}, {60 * minutes:g} s" for method, minutes in ENDS}
    suite = {"title": "Budgets", "steps": None, "minutes": [0.25, 1.0], "seeds": [1, 2, 3], "baseline": "uniform, 60 s"}
    suite |= {"methods": dict.fromkeys(names.values(), ""), "scenes": {"chair": ""}}
    session = {"command": "softmining-bench run budgets.toml", "data": None, "environment": {}}
    (folder / "suite.json").write_text(json.dumps({"suite": suite, "sessions": [session]}))
    for (method, minutes), psnr in ENDS.items():
        for seed in (1, 2, 3):
            write_run(folder, names[method, minutes], seed, psnr + 0.1 * (seed - 2))
    return folder


def write_run(folder: Path, name: str, seed: int, end: float) -> None:
    seconds = float(name.split()[-2])
    append(folder, Measurement("chair", name, seed, 0, 0.0, 0.0, 10.0, 2**30))
    append(folder, Measurement("chair", name, seed, 500, seconds, seconds, end, 2**30, None, {"psnr": end}))


def change_suite(folder: Path, **settings: object) -> None:
    record = json.loads((folder / "suite.json").read_text())
    record["suite"] |= settings
    (folder / "suite.json").write_text(json.dumps(record))


def leave_out(folder: Path, name: str, seed: str = "") -> None:
    """Leave out the measurements of a method at a budget, with one seed or all."""
    path = folder / "measurements.jsonl"
    gone = f'"method": "{name}", "seed": {seed}'
    path.write_text("".join(line for line in path.open() if gone not in line))


def test_the_table_has_a_column_for_each_budget_and_the_gain_seed_by_seed(budgets: Path) -> None:
    markdown = markdown_of(budgets)
    assert "runs of 15, 60 seconds" in markdown
    assert cells(markdown, TABLE, "mined")["15 s"] == "23.00 (22.90 to 23.10)"
    assert cells(markdown, TABLE, "mined minus uniform") == {
        "method": "mined minus uniform",
        "15 s": "+3.00",
        "60 s": "+2.00",
    }


def test_the_notes_are_on_the_numbers_of_the_table(budgets: Path) -> None:
    change_suite(budgets, final_views=5)
    markdown = markdown_of(budgets)
    assert "12 finished runs; the reference is uniform.\n" in markdown
    assert markdown.endswith("- Final PSNR is a mean over 5 whole held-out views (all, where there are fewer).\n")
    for other in ("Speed-up", "Gain at equal time", "Means over scenes", "after a number of steps", "CPU time"):
        assert other not in markdown


def test_the_plot_is_written_and_linked(budgets: Path) -> None:
    assert "![budgets](results/plots/budgets.png)" in markdown_of(budgets, plots=budgets / "plots")
    svg = (budgets / "plots" / "budgets.svg").read_text()
    for text in ("seconds of training", "mined", "uniform"):
        assert text in svg


def on_devices(folder: Path, device: Callable[[str, int], str], faster: float = 0.0) -> None:
    """Say which device trained a method and seed. Those on "fast" end with a higher PSNR."""
    path, lines = folder / "measurements.jsonl", []
    for line in map(json.loads, path.read_text().splitlines()):
        name = device(line["method"], line["seed"])
        final = line["final"] and {"psnr": line["psnr"] + (faster if name == "fast" else 0)}
        lines.append(json.dumps(line | {"device": name, "final": final}) + "\n")
    path.write_text("".join(lines))


def test_what_another_device_trained_is_left_out(budgets: Path) -> None:
    """Seed 3 mined on a faster one."""
    on_devices(budgets, lambda name, seed: "fast" if seed == 3 and name.startswith("mined") else "slow", faster=5.0)
    markdown = markdown_of(budgets)
    assert cells(markdown, TABLE, "mined")["15 s"] == "22.95 (22.90 to 23.00; 2 of 3)"
    assert cells(markdown, TABLE, "mined minus uniform")["15 s"] == "+3.00 (2 of 3)"
    assert "fast trained chair, seed 3 (mined, 15 s, mined, 60 s)" in markdown


def test_numbers_of_several_devices_are_said_to_be(budgets: Path) -> None:
    """One device for each budget; a third one, whose numbers are left out, mined seed 3."""
    on_devices(budgets, lambda name, seed: "third" if seed == 3 and "mined" in name else name.split(", ")[1])
    markdown = markdown_of(budgets)
    assert "chair, on 2 devices: final PSNR (dB) of a training of so many seconds" in markdown
    assert "A faster device trains more steps in the same seconds" in markdown
    assert "renders at equal time" not in markdown
    assert plot(read(budgets).study, [0.25, 1.0]).axes[0].get_title() == "chair, on 2 devices"
    on_devices(budgets, lambda name, seed: "slow")
    assert "A faster device" not in markdown_of(budgets)
    assert f"**{TABLE}" in markdown_of(budgets)


def test_a_report_needs_no_run_of_the_longest_budget(budgets: Path) -> None:
    for method in ("uniform", "mined"):
        leave_out(budgets, f"{method}, 60 s")
    assert cells(markdown_of(budgets), TABLE, "mined minus uniform")["15 s"] == "+3.00"


def test_a_budget_without_a_finished_run_is_left_open(budgets: Path) -> None:
    leave_out(budgets, "mined, 15 s")
    assert cells(markdown_of(budgets), TABLE, "mined")["15 s"] == "-"


def test_a_seed_counts_if_the_baseline_has_finished_it(budgets: Path) -> None:
    leave_out(budgets, "uniform, 15 s", "3")
    markdown = markdown_of(budgets)
    assert cells(markdown, TABLE, "uniform")["15 s"] == "19.95 (19.90 to 20.00)"
    assert cells(markdown, TABLE, "mined")["15 s"] == "22.95 (22.90 to 23.00; 2 of 3)"
    leave_out(budgets, "uniform, 15 s")
    assert cells(markdown_of(budgets), TABLE, "mined")["15 s"] == "-"


def test_a_report_on_some_methods_has_the_baseline_at_every_budget(budgets: Path) -> None:
    markdown = markdown_of(budgets, methods=("mined, 15 s",))
    assert cells(markdown, TABLE, "mined minus uniform") == {
        "method": "mined minus uniform",
        "15 s": "+3.00",
        "60 s": "-",
    }
    assert cells(markdown, TABLE, "uniform")["60 s"].startswith("26.00")


def test_the_baseline_comes_first_wherever_the_suite_has_it(budgets: Path) -> None:
    change_suite(
        budgets, methods=dict.fromkeys([f"{name}, {time} s" for name in ("mined", "uniform") for time in (15, 60)], "")
    )
    markdown = markdown_of(budgets)
    assert cells(markdown, TABLE, "mined minus uniform")["15 s"] == "+3.00"
    assert markdown.index("| uniform |") < markdown.index("| mined |")
    assert looks_drawn(budgets) == {"uniform": ("black", "-"), "mined": (MINER_COLOR, "-")}


@pytest.mark.parametrize("longest", [15, 60])
def test_a_line_has_the_look_of_its_method(budgets: Path, longest: int) -> None:
    """The tuned baseline may have finished its short budget alone."""
    others = [f"{name}, {time} s" for name in ("uniform, tuned", "nerfstudio") for time in (15, 60) if time <= longest]
    record = json.loads((budgets / "suite.json").read_text())
    methods = {**record["suite"]["methods"], **dict.fromkeys(others, "")}
    change_suite(budgets, methods=methods, tuned_baseline="uniform, tuned, 60 s")
    for name in others:
        write_run(budgets, name, 1, 24.0)
    drawn = looks_drawn(budgets)
    assert list(drawn) == ["uniform", "mined", "uniform, tuned", "nerfstudio"]
    assert drawn["mined"] == (MINER_COLOR, "-")
    assert drawn["uniform"] == ("black", "-")
    assert drawn["uniform, tuned"] == ("black", "--")
    assert drawn["nerfstudio"] == ("#666666", "--")


def looks_drawn(budgets: Path) -> dict[str, tuple[str, str]]:
    """Colour and style of each line in the legend of the plot; all dashes are alike."""
    panel = plot(read(budgets).study, [0.25, 1.0]).axes[0]
    return {str(line.get_label()): (str(line.get_color()), line.get_linestyle()) for line in panel.lines}
