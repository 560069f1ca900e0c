"""Runs on several devices: steps compare, times only on one device."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hand_worked import cells, markdown_of, write_run, write_suite

from softmining_nerfstudio.benchmark import results
from softmining_nerfstudio.benchmark.report import plots
from softmining_nerfstudio.benchmark.report.reading import read
from softmining_nerfstudio.benchmark.report.strip import at_equal_time, at_the_end, strip
from softmining_nerfstudio.benchmark.report.verdict import verdicts
from softmining_nerfstudio.benchmark.results import Run

WHERE = {("uniform", 1): "A", ("uniform", 2): "B", ("uniform", 3): "A", ("mined", 1): "A", ("mined", 2): "A"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seed 1 trained on one device, seed 2 on two."""
    folder = tmp_path / "results"
    write_suite(folder)
    for (method, seed), device in WHERE.items():
        write_run(folder, "chair", method, seed, device=device)
    return folder


def test_a_report_says_which_device_trained_what(folder: Path) -> None:
    markdown = markdown_of(folder)
    assert "A trained chair, seed 1 (all methods); chair, seed 3 (uniform); chair, seed 2 (mined).\n" in markdown
    assert "B trained chair, seed 2 (uniform).\n" in markdown
    assert "Times of different devices, or with other numbers of threads, are not compared." in markdown


def test_times_of_different_devices_are_not_compared_but_steps_are(folder: Path) -> None:
    row = cells(markdown_of(folder), "chair: Speed-up to the final", "mined")
    assert row["to uniform's PSNR, steps"] == "2.00"
    for column in ("to uniform's PSNR, wall-clock", "time per step"):
        assert row[column].endswith("(1 of 2)")
    assert row["gain at equal time, dB"] == "+2.10 (1 of 2)"


def test_a_verdict_without_times_that_compare_says_so(folder: Path) -> None:
    path = folder / results.FILE_NAME
    path.write_text("".join(line for line in path.open() if '"seed": 1' not in line))
    assert verdicts(read(folder).study) == [
        "On chair mined reached uniform's final PSNR 2.0 times sooner in steps; no time compares, as their devices "
        "or threads differ; final +2.5 dB; 1 seed."
    ]
    assert "psnr-over-time" in markdown_of(folder, plots=folder / "plots")  # of uniform on A alone


def test_a_verdict_says_in_how_many_seeds_times_compare(folder: Path) -> None:
    assert verdicts(read(folder).study) == [
        "On chair mined reached uniform's final PSNR 2.0 times sooner in steps, 1.6 in time (1 of 2 seeds); final "
        "+2.5 dB; 2 seeds."
    ]


def test_a_verdict_says_that_the_psnr_was_missed_where_times_compare(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    write_suite(folder)
    for seed in (1, 2, 3):
        write_run(folder, "chair", "uniform", seed, device="A")
        write_run(folder, "chair", "mined", seed, device="A" if seed == 1 else "B", above=-5.0 if seed == 1 else 0.0)
    assert verdicts(read(folder).study) == [
        "On chair mined reached uniform's final PSNR 2.0 times sooner in steps, but not where times compare (1 of 3 "
        "seeds); final +2.5 dB; 2 of 3 seeds."
    ]


@pytest.mark.parametrize(("device", "told"), [("A", "; final +2.5 dB"), ("B", None)])
def test_ends_after_other_numbers_of_steps_compare_on_one_device_alone(
    tmp_path: Path, device: str, told: str | None
) -> None:
    """Trainings of so many minutes."""
    folder = tmp_path / "results"
    write_suite(folder)
    write_run(folder, "chair", "uniform", 1, device="A")
    write_run(folder, "chair", "mined", 1, device=device)
    path = folder / results.FILE_NAME
    lines = [
        line.replace('"step": 400', '"step": 390') if '"method": "mined"' in line else line for line in path.open()
    ]
    path.write_text("".join(lines))
    (verdict,) = verdicts(read(folder).study)
    assert ("final" in verdict.replace("final PSNR", "")) == (told is not None)
    assert told is None or told in verdict


def test_renders_of_several_devices_have_no_time_below_them(folder: Path) -> None:
    study = read(folder).study
    moment = at_the_end(study, "chair", folder)
    assert moment is not None
    for devices, timed in (("A", "A"), True), (("A", "B"), False):
        shown = [replace(m, device=device) for m, device in zip(moment.shown, devices, strict=False)]
        texts = [
            text.get_text() for axes in strip(moment._replace(shown=shown), folder, study).axes for text in axes.texts
        ]
        assert any(" s, " in text for text in texts) == timed
        assert sum(" dB" in text for text in texts) == len(shown)


def test_plots_over_time_show_one_device(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(folder).study.on_one_device()
    assert {(run.method, run.seed) for run in found.runs} == {
        (m, s) for (m, s), device in WHERE.items() if device == "A"
    }
    drawn, curves = {}, plots.curves
    monkeypatch.setattr(
        plots, "curves", lambda study, axis, looks: drawn.update({axis: {*study.runs}}) or curves(study, axis, looks)
    )
    markdown_of(folder, plots=folder / "plots")
    assert len(drawn["step"]) == len(WHERE)
    assert drawn["seconds"] == {*found.runs}


@pytest.mark.parametrize(
    ("threads", "compare"),
    [({}, True), ({"mined": 4}, True), ({"uniform": 4, "mined": 4}, True), ({"uniform": 1, "mined": 4}, False)],
)
def test_times_compare_if_the_runs_had_as_many_threads_as_far_as_is_known(
    threads: dict[str, int], compare: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    write_suite(folder)
    for method in ("uniform", "mined"):
        write_run(folder, "chair", method, 1, device="A")
    path = folder / results.FILE_NAME
    records = [json.loads(line) for line in path.open()]
    path.write_text("".join(json.dumps({**r, "threads": threads.get(r["method"])}) + "\n" for r in records))
    study = read(folder).study
    run = Run("chair", "mined", 1)
    assert study.comparable(run, "uniform", "step")
    assert study.comparable(run, "uniform", "seconds") == compare
    assert {run.method for run in study.on_one_device().runs} == {"uniform", *(["mined"] if compare else [])}


def test_a_run_that_changed_its_device_has_no_time_to_compare(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    write_suite(folder)
    for method in ("uniform", "mined"):
        write_run(folder, "chair", method, 1, device="A")
    path = folder / results.FILE_NAME
    *lines, last = path.read_text().splitlines()
    path.write_text("\n".join([*lines, last.replace('"device": "A"', '"device": "B"')]) + "\n")
    study = read(folder).study
    assert cells(markdown_of(folder), "chair: Speed-up to the final", "mined")["time per step"] == "-"
    assert "A, then B trained chair, seed 1 (mined)" in markdown_of(folder)
    moment = at_equal_time(study.on_one_device(), "chair", folder)
    assert moment is not None
    assert [m.method for m in moment.shown] == ["uniform"]


def test_a_report_names_the_threads_where_they_differ(folder: Path) -> None:
    path = folder / results.FILE_NAME
    lines = [json.loads(line) for line in path.open()]
    for line in lines:
        line |= {"device": "A", "threads": 4 if line["method"] == "mined" else 1}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    markdown = markdown_of(folder)
    assert re.search(r"A with 1 thread trained .*\(uniform\)", markdown)
    assert re.search(r"A with 4 threads trained .*\(mined\)", markdown)
    assert "with other numbers of threads, are not compared." in markdown
