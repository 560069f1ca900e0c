"""What a budget buys: the report on a suite whose runs last for minutes."""

import json
from pathlib import Path

import pytest
from hand_worked import cells, markdown_of

from softmining_nerfstudio.benchmark.results import Measurement, append

ENDS = {("uniform", 0.25): 20.0, ("uniform", 1.0): 26.0, ("mined", 0.25): 23.0, ("mined", 1.0): 28.0}


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
            end = psnr + 0.1 * (seed - 2)
            run = ("chair", names[method, minutes], seed)
            append(folder, Measurement(*run, 0, 0.0, 0.0, 10.0, 2**30))
            append(folder, Measurement(*run, 500, 60 * minutes, 60 * minutes, end, 2**30, None, {"psnr": end}))
    return folder


def test_the_table_has_a_column_for_each_budget_and_the_gain_seed_by_seed(budgets: Path) -> None:
    markdown, table = markdown_of(budgets), "chair: final PSNR (dB) of a training of so many seconds"
    assert "runs of 15, 60 seconds" in markdown
    assert cells(markdown, table, "mined")["15 s"] == "23.00 (22.90 to 23.10)"
    assert cells(markdown, table, "mined minus uniform") == {
        "method": "mined minus uniform",
        "15 s": "+3.00",
        "60 s": "+2.00",
    }


def test_the_plot_is_written_and_linked(budgets: Path) -> None:
    assert "![budgets](results/plots/budgets.png)" in markdown_of(budgets, plots=budgets / "plots")
    svg = (budgets / "plots" / "budgets.svg").read_text()
    for text in ("seconds of training", "mined", "uniform"):
        assert text in svg


def test_what_another_device_trained_is_left_out(budgets: Path) -> None:
    """Seed 3 mined on a faster one."""
    path = budgets / "measurements.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        fast = line["seed"] == 3 and line["method"].startswith("mined")
        line |= {"device": "fast" if fast else "slow", "final": line["final"] and {"psnr": line["psnr"] + 5 * fast}}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    markdown, table = markdown_of(budgets), "chair: final PSNR (dB) of a training of so many seconds"
    assert cells(markdown, table, "mined")["15 s"] == "22.95 (22.90 to 23.00; 2 of 3)"
    assert cells(markdown, table, "mined minus uniform")["15 s"] == "+3.00 (2 of 3)"
    assert "fast trained chair, seed 3 (mined, 15 s, mined, 60 s)" in markdown


def test_a_report_needs_no_run_of_the_longest_budget(budgets: Path) -> None:
    path = budgets / "measurements.jsonl"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "60 s" not in line) + "\n")
    table = "chair: final PSNR (dB) of a training of so many seconds"
    assert cells(markdown_of(budgets), table, "mined minus uniform")["15 s"] == "+3.00"


def test_a_budget_without_a_finished_run_is_left_open(budgets: Path) -> None:
    path = budgets / "measurements.jsonl"
    kept = [line for line in path.read_text().splitlines() if "mined, 15 s" not in line]
    path.write_text("\n".join(kept) + "\n")
    table = "chair: final PSNR (dB) of a training of so many seconds"
    assert cells(markdown_of(budgets), table, "mined")["15 s"] == "-"
