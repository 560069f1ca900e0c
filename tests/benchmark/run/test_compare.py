"""A comparison on a user's own data, and the suite that it can be saved as."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from PIL import Image

from softmining_nerfstudio.benchmark import results
from softmining_nerfstudio.benchmark.errors import SuiteError
from softmining_nerfstudio.benchmark.run import command, local, plan, session, suite_file
from softmining_nerfstudio.benchmark.run.compare import compare, set_apart
from softmining_nerfstudio.benchmark.run.configuration import configure, parse
from softmining_nerfstudio.benchmark.run.own_data import LONGEST_SIDE, Capture, look_at, suite_of
from softmining_nerfstudio.benchmark.run.suite import Suite
from softmining_nerfstudio.training.scene_kinds import CAPTURES, Settings

CONFIGS = Path(__file__).parents[3] / "configs"


OF_CAPTURES = CAPTURES.settings | CAPTURES.of_methods["softmining-lite"]


def capture(settings: Settings = OF_CAPTURES, side: int = 100, name: str = "fern") -> Capture:
    return Capture(name, ["--data", f"/my data/{name}"], settings, side)


def reloaded(suite: Suite, folder: Path) -> Suite:
    path = folder / "saved.toml"
    path.write_text(suite_file.dump(suite), encoding="utf-8")
    return suite_file.load(path)


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.glob("*.toml")))
def test_a_suite_that_is_written_is_read_as_it_was(name: str, tmp_path: Path) -> None:
    suite = suite_file.load(CONFIGS / name)
    assert reloaded(suite, tmp_path) == suite


def test_a_name_may_have_any_character(tmp_path: Path) -> None:
    suite = suite_of(capture(name='gr\u00f6\u00dfer "7\\8"\t\x7f'), ["lmc", "nerfstudio"], 70, [3, 1])
    assert reloaded(suite, tmp_path) == suite


def test_words_after_a_parser_are_the_parsers() -> None:
    words = ["--data", "fern", "--methods", "dmc", "lmc", "llff-data", "--downscale-factor", "8"]
    assert set_apart(words) == [*words[:5], "--", *words[5:]]
    assert set_apart(["--output", "llff-data", "--data=fern"]) == ["--output", "llff-data", "--data=fern"]


def test_uniform_sampling_is_the_baseline_whether_asked_for_or_not() -> None:
    suite = suite_of(capture(), ["dmc", "uniform"], 1000, [1])
    assert [*suite.methods] == ["uniform", "dmc"]
    assert suite.baseline == "uniform"
    assert suite.arguments == ""
    with pytest.raises(SuiteError, match=r"'nerf'\. Allowed: uniform, lmc, dmc, .*nerfstudio"):
        suite_of(capture(), ["nerf"], 1000, [1])


def test_large_images_are_shrunk_for_all_methods() -> None:
    suite = suite_of(capture(side=4 * LONGEST_SIDE), ["dmc"], 1000, [1])
    configs = [parse(suite.command(method, "fern", None)) for method in suite.methods]
    assert [config.pipeline.datamanager.camera_res_scale_factor for config in configs] == [0.25, 0.25]


@pytest.mark.parametrize("sides", [(960, 540), (720, 480), (1920, 1080), (5760, 3240), (4032, 3024)])
def test_images_and_cameras_are_shrunk_to_the_same_size(sides: tuple[int, int]) -> None:
    """As nerfstudio does, which knows no other data set than its own in its own training."""
    scale = capture(side=max(sides)).scale
    cameras = Cameras(torch.eye(4)[None, :3], 1.0, 1.0, 1.0, 1.0, *sides)
    cameras.rescale_output_resolution(scale)
    assert (int(cameras.width), int(cameras.height)) == (int(sides[0] * scale), int(sides[1] * scale))
    assert LONGEST_SIDE - 6 <= int(cameras.width) <= LONGEST_SIDE


@pytest.mark.parametrize("parser", [[], ["blender-data"], ["auto-data"], ["--pipeline.model.num-levels", "4"]])
def test_all_methods_have_what_the_files_of_an_object_say(
    parser: list[str], blender_scene: Path, tmp_path: Path
) -> None:
    """Its cameras are nearer than NeRF Synthetic's, and it lies before black."""
    scene = shutil.copytree(blender_scene, tmp_path / "scene")
    for path in scene.glob("transforms_*.json"):
        meta = json.loads(path.read_text())
        for frame in meta["frames"]:
            for row in frame["transform_matrix"][:3]:
                row[3] *= 0.25
        path.write_text(json.dumps(meta))
    for path in scene.glob("*/*.png"):
        Image.new("RGB", (24, 24)).save(path)
    suite = suite_of(look_at(scene, parser), ["dmc", "nerfstudio"], 20, [1])
    for task in plan.tasks_of(suite, suite.runs(suite.methods, suite.scenes), None, tmp_path):
        config = configure(task)
        model, reads = config.pipeline.model, config.pipeline.datamanager.dataparser
        assert (model.near_plane, model.far_plane, model.background_color) == (2, 6, "black"), task.method
        assert reads.scale_factor == 4.0, task.method


def test_nerfstudios_learning_rate_falls_over_the_whole_training() -> None:
    config = parse(suite_of(capture(), ["nerfstudio"], 300, [1]).command("nerfstudio", "fern", None))
    assert {group["scheduler"].max_steps for group in config.optimizers.values()} == {300}


def test_a_comparison_may_take_minutes_but_not_of_nerfstudios_own_training(tmp_path: Path) -> None:
    suite = suite_of(capture(), ["dmc"], 1000, [1], minutes=2)
    assert parse(suite.with_budgets().command("dmc", "fern", None)).minutes == 2
    assert reloaded(suite, tmp_path) == suite
    (task, *_) = plan.tasks_of(suite, suite.runs(suite.methods, suite.scenes), None, tmp_path)
    numbers = [task.number(position) for position in range(0, 120, 2)]
    assert sorted(set(numbers)) == [*range(20)]  # however fast the steps are; one more at the end
    assert [number for number in range(20) if task.is_shown(number)] == [0, 4, 8, 12, 16]
    with pytest.raises(SuiteError, match="--minutes is 0; expected a number above 0"):
        suite_of(capture(), ["dmc"], 1000, [1], minutes=0)
    with pytest.raises(SuiteError, match="nerfstudio's own training lasts for steps"):
        suite_of(capture(), ["dmc", "nerfstudio"], 1000, [1], minutes=0.5)


def test_nerfstudios_own_training_has_the_settings_that_the_suites_give_it() -> None:
    suites = {"fern": suite_file.load(CONFIGS / "llff-cpu.toml"), "ship": suite_file.load(CONFIGS / "demo.toml")}
    for settings, scene in ((OF_CAPTURES, "fern"), ({}, "ship")):
        own = suite_of(capture(settings), ["nerfstudio"], 1000, [1])
        assert parse(own.command("nerfstudio", "fern", None)).pipeline.model == (
            parse(suites[scene].command("nerfstudio", scene, Path("data"))).pipeline.model
        )


def test_data_that_cannot_be_read_is_refused(tmp_path: Path, blender_scene: Path) -> None:
    (tmp_path / "empty").mkdir()
    for data, parser, says in (
        (None, [], "no data is named: add --data DIR"),
        (tmp_path / "nowhere", [], "there is no "),
        (tmp_path / "empty", [], "is empty. Expected a folder with one of transforms.json"),
        (tmp_path / "empty", ["blender-data"], "transforms_train.json: no such file"),
        (blender_scene, ["blender-data", "--scale", "x"], "ns-train refuses: .*--scale"),
    ):
        with pytest.raises(SuiteError, match=says):
            look_at(data, parser)


def test_data_may_be_named_after_its_parser(blender_scene: Path) -> None:
    found = look_at(None, ("blender-data", "--data", str(blender_scene), "--scale-factor", "2"))
    assert found == look_at(blender_scene, ("blender-data", "--scale-factor", "2"))
    assert (found.name, found.settings, found.side) == ("disc", {}, 24)
    assert found.words[:2] == ["--data", str(blender_scene)]


def test_a_file_is_not_replaced_by_another_suite(blender_scene: Path, tmp_path: Path) -> None:
    taken = tmp_path / "mine.toml"
    taken.write_text("mine")
    with pytest.raises(SuiteError, match=r"mine\.toml holds something else"):
        compare(data=blender_scene, save_suite=taken, output=tmp_path / "results")
    assert taken.read_text() == "mine"
    with pytest.raises(SuiteError, match="--minutes"):
        compare(data=blender_scene, minutes=0, save_suite=tmp_path / "new.toml")
    assert not (tmp_path / "new.toml").exists()


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("dmc", "2 runs failed; the same command tries them again."),
        ("uniform", "1 run failed; the same command tries it again."),
    ],
)
def test_a_comparison_whose_baseline_fails_says_so(
    method: str,
    says: str,
    blender_scene: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = (sys.executable, "-c", "raise MemoryError('no room')")
    monkeypatch.setattr(local.LocalWorkers.__init__, "__defaults__", (broken,))
    assert compare(data=blender_scene, methods=[method], steps=20, output=tmp_path) == 1
    said = capsys.readouterr().out
    assert says in said
    assert "no run of the baseline uniform is finished" in said


def test_no_more_methods_train_at_once_than_there_are_cores(
    blender_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(jobs: int, lend: bool) -> None:
        raise SuiteError(f"{jobs} at once, {lend}")

    monkeypatch.setattr(session, "here", here)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1}, raising=False)
    with pytest.raises(SuiteError, match="1 at once, False"):
        compare(data=blender_scene, output=tmp_path)


def test_a_comparison_reports_and_its_saved_suite_trains_the_same(
    blender_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    assert compare(data=blender_scene, steps=20, seeds=[4], jobs=2, save_suite=Path("saved.toml")) == 0
    folder = tmp_path / "results" / "compare-disc"
    markdown = (folder / "report.md").read_text()
    assert markdown.startswith("**On disc dmc ")
    for picture in ("psnr-over-steps", "psnr-over-time", "renders-disc", "final-renders-disc"):
        assert f"](plots/{picture}.png)" in markdown
        assert (folder / "plots" / f"{picture}.png").exists()
    measured, failures = results.load(folder)
    assert not failures
    assert {(m.method, m.step) for m in measured} == {
        (name, step) for name in ("uniform", "dmc") for step in (0, 10, 20)
    }
    assert all(m.device for m in measured)

    assert command.run(tmp_path / "saved.toml", jobs=2) == 0
    again, _ = results.load(tmp_path / "results" / "saved")
    assert [(m.run, m.step, m.psnr) for m in again] == [(m.run, m.step, m.psnr) for m in measured]
    suites = [
        json.loads((tmp_path / "results" / name / "suite.json").read_text()) for name in ("compare-disc", "saved")
    ]
    assert suites[0]["suite"] == suites[1]["suite"]
