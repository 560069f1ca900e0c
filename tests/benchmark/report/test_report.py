"""The tables and notes of a report, on numbers that can be checked by hand."""

import json
from pathlib import Path

import pytest
from hand_worked import cells, markdown_of, write_run, write_suite

from softmining_nerfstudio.benchmark.errors import ResultsError
from softmining_nerfstudio.benchmark.report.command import report
from softmining_nerfstudio.benchmark.results import Failure, Measurement, append


def test_quality_after_so_many_steps_and_at_the_end(folder: Path) -> None:
    row = cells(markdown_of(folder), "chair: PSNR", "mined")
    assert row == {
        "method": "mined",
        "seeds": "3",
        "after 100": "24.00 (23.90 to 24.10)",
        "after 200": "27.00 (26.90 to 27.10)",
        "after 300": "29.00 (28.90 to 29.10)",
        "after 400": "29.50 (29.40 to 29.60)",
        "final PSNR": "29.00 (28.90 to 29.10)",
        "SSIM": "0.900",
    }


def test_speed_ups_to_the_baselines_and_their_cost(folder: Path) -> None:
    row = cells(markdown_of(folder), "chair: Speed-up to the final", "mined")
    assert row["to uniform's PSNR, steps"] == "2.00"  # 400 steps, 200 steps
    assert row["to uniform's PSNR, wall-clock"] == "1.60"  # 40 s, 25 s
    assert row["to tuned's PSNR, steps"] == "1.60"  # 400 steps, 250 steps
    assert row["to tuned's PSNR, wall-clock"] == "1.28"  # 40 s, 31.25 s
    assert row["gain at equal time, dB"] == "+2.10"  # after 40 s, at step 320: 29.1, against 27
    assert row["time per step"] == "1.25"
    assert row["memory, GiB"] == "1.00"


def test_a_speed_up_that_was_not_reached_is_said_to_be(folder: Path) -> None:
    row = cells(markdown_of(folder), "chair: Speed-up to the final", "worse")
    assert row["to uniform's PSNR, steps"] == "not reached (< 1.00)"
    assert cells(markdown_of(folder), "chair: Speed-up to the final", "uniform")["to uniform's PSNR, steps"] == "1.00"


def test_fixed_psnrs_are_the_whole_ones_of_the_baselines_second_half(folder: Path) -> None:
    row = cells(markdown_of(folder), "to fixed PSNR, steps", "mined")
    assert list(row) == ["method", "seeds", "24 dB", "25 dB", "26 dB", "27 dB"]
    # steps of uniform and mined by seed: 310 and 170, 300 and 166.67, 295 and 163.33
    assert row["26 dB"] == "1.81 (1.80 to 1.82)"
    # seed 1 of uniform ends at 26.9, mined is there at 205; in seeds 2 and 3, 400 steps and 200, 390 steps and 196.67
    assert row["27 dB"] == "1.98..2.00 (1.95..1.98 to > 2.00; 2 of 3)"


def test_targets_can_be_given(folder: Path) -> None:
    row = cells(markdown_of(folder, targets=(22.0, 29.5)), "to fixed PSNR, wall-clock", "mined")
    assert row["22 dB"].startswith("1.40 ")  # 15 s, and 100 * 12/14 steps of 0.125 s
    assert row["29.5 dB"] == "> 0.80"  # 40 s are not enough for uniform, 50 s are for mined


def test_cpu_time_as_the_clock(folder: Path) -> None:
    markdown = markdown_of(folder, clock="cpu")
    assert cells(markdown, "chair: Speed-up to the final", "mined")["to uniform's PSNR, CPU time"] == "1.60"


def test_the_mean_over_scenes_is_taken_seed_by_seed(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    write_suite(folder, ("chair", "fern"))
    for seed in (1, 2, 3):
        for scene, above in (("chair", 0.0), ("fern", 2.0)):
            write_run(folder, scene, "uniform", seed, above=above)
            write_run(folder, scene, "mined", seed, above=above)
        write_run(folder, "chair", "tuned", seed)
    markdown = markdown_of(folder)
    assert cells(markdown, "mean over 2 scenes: PSNR", "mined")["after 400"] == "30.50 (30.40 to 30.60)"
    assert cells(markdown, "mean over 2 scenes: Speed-up to", "mined")["to uniform's PSNR, steps"] == "2.00"
    assert "Means over scenes: seed by seed" in markdown
    with pytest.raises(StopIteration):  # it has not finished all scenes
        cells(markdown, "mean over 2 scenes: Speed-up to", "tuned")


def test_runs_that_failed_or_did_not_end_are_listed_and_left_out(folder: Path, capsys: pytest.CaptureFixture) -> None:
    lines = (folder / "measurements.jsonl").read_text().splitlines()
    gone = [line for line in lines if not ('"mined"' in line and '"seed": 3' in line) and '"worse"' not in line]
    (folder / "measurements.jsonl").write_text("\n".join(gone) + "\n")
    write_run(folder, "chair", "mined", 3, ends=False)
    write_run(folder, "chair", "worse", 1, ends=False)
    append(folder, Failure("chair", "worse", 1, "Traceback\nRuntimeError: out of [red]memory"))
    markdown = markdown_of(folder)
    left_out = [
        "chair, mined, seed 3: unfinished, at step 400 of 400 (29.60 dB)",
        "chair, worse, seed 1: failed: RuntimeError: out of [red]memory",
        "chair, worse, seed 2: not started",
    ]
    printed = capsys.readouterr().out
    for line in left_out:
        assert f"- {line}\n" in markdown
        assert line in printed
    row = cells(markdown, "chair: PSNR", "mined")
    assert row["seeds"] == "2"
    assert row["final PSNR"] == "28.95 (28.90 to 29.00)"


def test_a_run_that_diverged_is_left_out(folder: Path) -> None:
    append(folder, Measurement("chair", "mined", 2, 300, 37.5, 75.0, float("nan"), 2**30))
    markdown = markdown_of(folder)
    assert "chair, mined, seed 2: diverged: its PSNR is no number at step 300 of 400" in markdown
    assert cells(markdown, "chair: PSNR", "mined")["seeds"] == "2"


def test_a_seed_without_its_reference_is_counted_as_missing(folder: Path) -> None:
    path = folder / "measurements.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{line}\n" for line in lines if not ('"tuned"' in line and '"seed": 2' in line)))
    row = cells(markdown_of(folder), "chair: Speed-up to the final", "mined")
    assert row["seeds"] == "3"
    assert row["to uniform's PSNR, steps"] == "2.00"
    assert row["to tuned's PSNR, steps"] == "1.60 (2 of 3)"


def test_sessions_are_told_where_they_differ(folder: Path) -> None:
    markdown = markdown_of(folder)
    assert "Measured with torch 2.0.\n\nCommand: softmining-bench run hand.toml\n" in markdown
    assert "--jobs" not in markdown
    record = json.loads((folder / "suite.json").read_text())
    second = {"command": "softmining-bench run hand.toml --jobs 2", "data": None}
    record["suite"] |= {"eval_pixels": 5000, "final_views": 3}
    record["sessions"].append(second | {"environment": {"torch": "2.0", "jobs": 2}})
    (folder / "suite.json").write_text(json.dumps(record))
    markdown = markdown_of(folder)
    assert "Session 1: Measured with torch 2.0.\n" in markdown
    assert "Session 2: Measured with jobs 2.\n" in markdown
    assert "Session 2: Command: softmining-bench run hand.toml --jobs 2\n" in markdown
    assert "(--jobs 2)" in markdown
    assert "5000 held-out pixels" in markdown
    assert "3 whole held-out views" in markdown


def test_what_a_later_session_does_not_tell_is_listed_in_order(folder: Path) -> None:
    record = json.loads((folder / "suite.json").read_text())
    told = dict.fromkeys(("cpu", "cores", "threads", "system", "python", "torch", "nerfstudio"), "1")
    record["sessions"] = [{"environment": told}, {"environment": {}}]
    (folder / "suite.json").write_text(json.dumps(record))
    assert f"Session 2: Measured with {', '.join(f'no {key}' for key in told)}.\n" in markdown_of(folder)


@pytest.mark.parametrize("text", ['{"suite": {"steps"', "[]", '{"suite": {}, "sessions": []}', '{"suite": 3}', "{}"])
def test_a_damaged_suite_is_named(folder: Path, text: str) -> None:
    (folder / "suite.json").write_text(text)
    with pytest.raises(ResultsError, match=r"results.suite\.json"):
        report(folder)


def only(folder: Path, *asked: dict[str, list]) -> None:
    """Let the sessions have asked for less than the whole suite."""
    record = json.loads((folder / "suite.json").read_text())
    (session,) = record["sessions"][:1]
    record["sessions"] = [session | {"asked": session["asked"] | less} for less in asked]
    (folder / "suite.json").write_text(json.dumps(record))


def test_what_no_session_asked_for_is_not_listed(folder: Path) -> None:
    lines = (folder / "measurements.jsonl").read_text().splitlines()
    gone = [line for line in lines if '"worse"' not in line and '"tuned"' not in line]
    (folder / "measurements.jsonl").write_text("\n".join(gone) + "\n")
    assert "chair, tuned, seed 1: not started\n- chair, tuned, seed 2" in markdown_of(folder)
    only(folder, {"methods": ["uniform", "mined"]}, {"methods": ["tuned"], "seeds": [2]})
    assert markdown_of(folder).count("not started") == 1
    assert "chair, tuned, seed 2: not started" in markdown_of(folder)
    only(folder, {"methods": ["uniform", "mined"]})
    assert "Left out" not in markdown_of(folder)
    only(folder, {"methods": ["mined"]})
    (folder / "measurements.jsonl").write_text("\n".join(line for line in gone if "uniform" not in line) + "\n")
    with pytest.raises(ResultsError, match=r"baseline uniform .*\n--only-methods left it out"):
        report(folder)


def test_only_some_methods(folder: Path) -> None:
    markdown = markdown_of(folder, methods=("mined",))
    assert "| mined |" in markdown
    assert "| uniform |" in markdown
    assert "| worse |" not in markdown


def test_what_cannot_be_reported_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"mind .*uniform, tuned, mined, worse"):
        report(folder, methods=("mind",))
    with pytest.raises(ResultsError, match="nothing"):
        report(tmp_path / "nothing")
    measurements = (folder / "measurements.jsonl").read_text().splitlines()
    (folder / "measurements.jsonl").write_text("\n".join(m for m in measurements if '"uniform"' not in m) + "\n")
    with pytest.raises(ResultsError, match=r"baseline uniform .*\n.*seed 1: not started"):
        report(folder)
    (folder / "suite.json").unlink()
    with pytest.raises(ResultsError, match=r"suite\.json"):
        report(folder)
