"""The verdict on the hand-worked results."""

import json
import math
from pathlib import Path

import pytest
from hand_worked import CURVES, SECONDS, markdown_of, write_run, write_suite

from softmining_nerfstudio.benchmark.report.command import report
from softmining_nerfstudio.benchmark.report.reading import read
from softmining_nerfstudio.benchmark.report.speedup import Between, exactly
from softmining_nerfstudio.benchmark.report.study import STOCK, Study
from softmining_nerfstudio.benchmark.report.verdict import verdicts, worded
from softmining_nerfstudio.benchmark.run import suite_file

ABOVE = "On chair mined reached uniform's final PSNR 2.0 times sooner in steps, 1.6 in time; final +2.5 dB; 3 seeds."


def study_of(folder: Path, *methods: str) -> Study:
    return read(folder, "wall", methods).study


def test_the_verdict_stands_on_top(folder: Path, capsys) -> None:
    assert markdown_of(folder).startswith(f"**{ABOVE}**\n")
    assert " ".join(capsys.readouterr().out.split()).startswith(ABOVE)
    report(folder, clock="cpu")
    assert "1.6 in CPU time;" in " ".join(capsys.readouterr().out.split())


def test_a_target_that_was_missed(folder: Path) -> None:
    assert verdicts(study_of(folder, "worse")) == [
        "On chair worse did not reach uniform's final PSNR; final -0.5 dB; 3 seeds."
    ]


def only_runs(folder: Path, *runs: tuple[str, int, float]) -> Study:
    """The study of some methods and seeds on the chair, each so many dB above its usual curve."""
    write_suite(folder)
    for method, seed, above in runs:
        write_run(folder, "chair", method, seed, above=above)
    return study_of(folder)


def test_a_target_that_most_seeds_missed_names_those(tmp_path: Path) -> None:
    runs = [(method, seed, 0.0) for method in ("uniform", "worse") for seed in (1, 2)]
    found = only_runs(tmp_path / "results", *runs, ("uniform", 3, 0.0), ("worse", 3, 2.0))
    assert verdicts(found) == ["On chair worse did not reach uniform's final PSNR in 2 of 3 seeds; final -0.5 dB."]


def test_a_target_that_most_seeds_reached_names_those(tmp_path: Path) -> None:
    runs = [(method, seed, 0.0) for method in ("uniform", "mined") for seed in (1, 2)]
    found = only_runs(tmp_path / "results", *runs, ("uniform", 3, 0.0), ("mined", 3, -5.0))
    assert verdicts(found)[0].endswith("; final +2.5 dB; 2 of 3 seeds.")


def test_a_seed_without_a_finished_reference_counts_neither_way(tmp_path: Path) -> None:
    mined = [("mined", seed, 0.0) for seed in (1, 2, 3)]
    for finished, ending in ((2, "2 seeds (1 more has no"), (1, "1 seed (2 more have no")):
        uniform = [("uniform", seed, 0.0) for seed in range(1, finished + 1)]
        found = only_runs(tmp_path / str(finished), *uniform, *mined)
        assert verdicts(found) == [ABOVE.replace("3 seeds", f"{ending} finished reference)")]
    missed = only_runs(tmp_path / "missed", ("uniform", 1, 0.0), ("worse", 1, 0.0), ("worse", 2, 0.0))
    assert verdicts(missed) == [
        "On chair worse did not reach uniform's final PSNR; final -0.5 dB; 1 seed (1 more has no finished reference)."
    ]


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (exactly(2.04), "2.0 times sooner"),
        (exactly(1.04), "equally soon"),
        (exactly(0.96), "equally soon"),
        (exactly(0.8), "1.2 times later"),
        (exactly(0), "later"),
        (exactly(math.inf), "sooner"),
        (Between(0.97, 1.02), "equally soon"),
        (Between(1.5, 1.9), "1.5 to 1.9 times sooner"),
        (Between(0.9, 1.2), "between 1.1 times later and 1.2 times sooner"),
        (Between(0.9, 1.0), "between 1.1 times later and equally soon"),
    ],
)
def test_a_ratio_in_words(times: Between, words: str) -> None:
    assert worded(times) == words


def test_as_many_steps_are_equally_soon(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(CURVES, "mined", CURVES["uniform"])
    found = only_runs(tmp_path / "results", ("uniform", 1, 0.0), ("mined", 1, 0.0))
    assert verdicts(found) == [
        "On chair mined reached uniform's final PSNR equally soon in steps, 1.2 times later in time; final +0.0 dB; "
        "1 seed."
    ]
    monkeypatch.setitem(SECONDS, "mined", SECONDS["uniform"])
    found = only_runs(tmp_path / "as-fast", ("uniform", 1, 0.0), ("mined", 1, 0.0))
    assert "equally soon in steps and in time; final" in verdicts(found)[0]


def test_a_report_on_a_single_run_of_one_scene_says_so(folder: Path, tmp_path: Path) -> None:
    write_suite(tmp_path / "single")
    write_run(tmp_path / "single", "chair", "uniform", 1)
    markdown = markdown_of(tmp_path / "single")
    assert "seeds 1, 2, 3, 1 finished run; the reference is uniform; time is wall-clock." in markdown
    assert "12 finished runs;" in markdown_of(folder)
    assert "Means over scenes" not in markdown


def test_each_scene_has_a_verdict_on_its_seeds(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    write_suite(folder, ("chair", "fern"))
    for scene, method, seed in (("chair", "uniform", 1), ("fern", "uniform", 1), ("fern", "mined", 1)):
        write_run(folder, scene, method, seed)
    (line,) = verdicts(study_of(folder))
    assert line == ABOVE.replace("chair", "fern").replace("3 seeds", "1 seed")
    assert verdicts(study_of(folder, "uniform")) == []


def test_nerfstudios_own_row_is_a_second_reference(folder: Path, monkeypatch) -> None:
    monkeypatch.setitem(CURVES, "nerfstudio", tuple(value + 1.5 for value in CURVES["uniform"]))
    monkeypatch.setitem(SECONDS, "nerfstudio", 0.1)
    record = json.loads((folder / "suite.json").read_text())
    record["suite"]["methods"] = {"uniform": "", "nerfstudio": "nerfacto-lite", **record["suite"]["methods"]}
    (folder / "suite.json").write_text(json.dumps(record))
    for seed in (1, 2, 3):
        write_run(folder, "chair", "nerfstudio", seed)
    found = study_of(folder)
    assert found.miner == "mined"
    assert found.references == ("uniform", "tuned", "nerfstudio")
    second = " It reached nerfstudio's final PSNR 1.5 times sooner in steps, 1.2 in time; final +1.0 dB; 3 seeds."
    assert verdicts(found) == [ABOVE + second]
    assert verdicts(study_of(folder, "nerfstudio")) == [
        "On chair uniform did not reach nerfstudio's final PSNR; final -1.5 dB; 3 seeds."
    ]
    markdown = markdown_of(folder)
    assert "the reference is uniform, and nerfstudio is nerfacto-lite as nerfstudio trains it" in markdown
    assert "to nerfstudio's PSNR, steps" in markdown


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[3] / "configs").glob("*.toml")), ids=lambda path: path.stem
)
def test_the_suites_of_the_package_name_nerfstudios_own_row_so(path: Path) -> None:
    rows = [name for name, words in suite_file.load(path).methods.items() if words.startswith("nerfacto")]
    assert not rows or rows[0] == STOCK
