"""The file of measurements: what is written is read, whatever became of the process that wrote it."""

import math
from pathlib import Path

import pytest
from rich.console import Console

from softmining_nerfstudio.benchmark import results
from softmining_nerfstudio.benchmark.errors import NoResultsError, ResultsError
from softmining_nerfstudio.benchmark.results import Failure, Measurement, append, load, repair
from softmining_nerfstudio.benchmark.run import progress
from softmining_nerfstudio.benchmark.run.task import Task


def measurement(step: int, method: str = "lmc", **options: object) -> Measurement:
    values = {"seconds": 0.1 * step, "cpu_seconds": 0.2 * step, "psnr": 20.0, "peak_memory": 5, **options}
    return Measurement("chair", method, 1, step, **values)  # type: ignore[arg-type]


def failure(method: str = "lmc") -> Failure:
    return Failure("chair", method, 1, "Fehler: 3 µs\nzu spät")


def test_what_is_appended_is_loaded_in_the_order_of_runs_and_steps(tmp_path: Path) -> None:
    records = [measurement(0, "b"), measurement(100, "b"), measurement(0, "a", render="x.png"), failure("c")]
    for record in records:
        append(tmp_path / "new", record)
    assert load(tmp_path / "new") == ([records[2], records[0], records[1]], [records[3]])


def test_of_a_step_that_was_measured_twice_the_later_line_counts(tmp_path: Path) -> None:
    for psnr in (20.0, 21.0):
        append(tmp_path, measurement(100, psnr=psnr))
    assert load(tmp_path)[0] == [measurement(100, psnr=21.0)]


def test_a_run_of_minutes_may_end_earlier_than_it_had_come_before(tmp_path: Path) -> None:
    first, lost, last = measurement(100), measurement(250), measurement(230, final={"psnr": 20.0})
    for record in (first, lost, last):
        append(tmp_path, record)
    assert load(tmp_path)[0] == [first, last]


def test_what_a_lost_run_of_minutes_measured_is_dropped_by_time(tmp_path: Path) -> None:
    """It lost the checkpoint of step 199, and its steps come at other times now."""
    steps = [(0, 0.0), (100, 10.05), (199, 20.3), (205, 20.1), (300, 30.02)]
    for step, seconds in steps:
        append(tmp_path, measurement(step, seconds=seconds))
    assert [(m.step, m.seconds) for m in load(tmp_path)[0]] == [at for at in steps if at[0] != 199]


def test_a_run_that_begins_anew_counts_anew(tmp_path: Path) -> None:
    for step in (0, 100, 200, 0, 105):
        append(tmp_path, measurement(step))
    assert [m.step for m in load(tmp_path)[0]] == [0, 105]


def test_nan_is_read_back(tmp_path: Path) -> None:
    append(tmp_path, measurement(100, psnr=math.nan, final={"psnr": math.nan}))
    (found,), _ = load(tmp_path)
    assert math.isnan(found.psnr)
    assert found.final is not None
    assert math.isnan(found.final["psnr"])


def test_a_failure_counts_until_its_run_goes_on(tmp_path: Path) -> None:
    append(tmp_path, measurement(100))
    append(tmp_path, failure())
    assert load(tmp_path)[1] == [failure()]
    append(tmp_path, measurement(200))
    assert load(tmp_path)[1] == []
    append(tmp_path, failure())
    assert load(tmp_path)[1] == [failure()]


def test_a_failure_after_the_end_does_not_count(tmp_path: Path) -> None:
    append(tmp_path, measurement(100, final={"psnr": 20.0}))
    append(tmp_path, failure())
    assert load(tmp_path)[1] == []


def test_a_torn_last_line_is_passed_over_and_repaired(tmp_path: Path) -> None:
    path = tmp_path / results.FILE_NAME
    append(tmp_path, measurement(0))
    whole = path.read_bytes()
    for torn in (b'{"scene": "ch', "{'ü".encode()[:-1], b'{"scene": "chair"}'):
        path.write_bytes(whole + torn)
        assert load(tmp_path)[0] == [measurement(0)]
        repair(tmp_path)
        assert path.read_bytes() == whole
    append(tmp_path, measurement(100))
    repair(tmp_path)
    assert [m.step for m in load(tmp_path)[0]] == [0, 100]


def test_a_first_line_that_is_torn_leaves_an_empty_file(tmp_path: Path) -> None:
    repair(tmp_path)  # where there is none, nothing happens
    (tmp_path / results.FILE_NAME).write_text('{"sc')
    repair(tmp_path)
    assert load(tmp_path) == ([], [])


@pytest.mark.parametrize("line", ["{", "3", '{"scene": "chair"}', '{"error": "x"}'])
def test_another_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    append(tmp_path, measurement(0))
    with (tmp_path / results.FILE_NAME).open("a") as file:
        file.write(f"{line}\n")
    append(tmp_path, measurement(100))
    with pytest.raises(ResultsError, match=r"measurements\.jsonl, line 2"):
        load(tmp_path)


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoResultsError, match="nothing"):
        load(tmp_path / "nothing")


def test_a_checkpoint_without_measurements_has_none(tmp_path: Path) -> None:
    assert results.at_checkpoint(tmp_path, measurement(0).run, Path("step-000000099.ckpt")) is None
    append(tmp_path, measurement(100))
    assert results.at_checkpoint(tmp_path, measurement(0).run, Path("step-000000099.ckpt")) == measurement(100)


def test_annotations_are_not_evaluated_again_for_each_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results._kinds.cache_clear()
    evaluated, evaluate = [], results.get_type_hints
    monkeypatch.setattr(results, "get_type_hints", lambda kind: evaluated.append(kind) or evaluate(kind))
    for step in range(20):
        append(tmp_path, measurement(step))
    load(tmp_path)
    assert len(evaluated) == 1


def test_the_time_left_is_that_of_a_run_that_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has less done than before, and no pace until it measures again."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    append(tmp_path, measurement(100))
    task = Task("chair", "lmc", 1, [], str(tmp_path), 200, 100, 10, 1, None, 1)
    shown = progress.RunsProgress([task], tmp_path, Console(quiet=True))
    notes = []
    for step, seconds in ((0, 1), (50, 11)):
        now[0] = seconds
        append(tmp_path, measurement(step))
        shown.show([task])
        notes.append(shown._bars.tasks[0].fields["note"])
    assert notes == ["", "0:00:30 left"]


def test_progress_reads_the_file_again_only_when_it_has_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    monkeypatch.setattr(results, "load", lambda folder: loaded.append(folder) or load(folder))
    task = Task("chair", "lmc", 1, [], str(tmp_path), 200, 100, 10, 1, None, 1)
    shown = progress.RunsProgress([task], tmp_path, Console(quiet=True))
    shown.show([task])
    assert not loaded  # there is none yet
    for step in (0, 100):
        append(tmp_path, measurement(step))
        for _ in range(3):
            shown.show([task])
    assert len(loaded) == 2
