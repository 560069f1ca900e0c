"""The plots and strips of the hand-worked results."""

import json
import shutil
from pathlib import Path

import pytest
from hand_worked import markdown_of, write_render, write_run, write_suite
from PIL import Image

from softmining_nerfstudio.benchmark.report import plots
from softmining_nerfstudio.benchmark.report.looks import MINER_COLOR, looks_of
from softmining_nerfstudio.benchmark.report.pictures import over_steps
from softmining_nerfstudio.benchmark.report.reading import read
from softmining_nerfstudio.benchmark.report.strip import at_equal_time, at_the_end


def test_the_plots_are_written_and_linked(folder: Path) -> None:
    markdown = markdown_of(folder, plots=folder / "plots")
    for name in ("psnr-over-steps", "psnr-over-time", "speed-up", "renders-chair", "final-renders-chair"):
        assert f"![{name}](results/plots/{name}.png)" in markdown
        assert (folder / "plots" / f"{name}.svg").stat().st_size > 1000
        with Image.open(folder / "plots" / f"{name}.png") as image:
            assert len(set(image.convert("L").getdata())) > 10


def test_a_strip_shows_the_renders_nearest_to_a_common_time(folder: Path) -> None:
    moment = at_equal_time(read(folder).study, "chair", folder)
    assert moment is not None
    assert moment.time == 20  # the baseline's middle render
    assert {m.method: m.step for m in moment.shown} == {"uniform": 200, "tuned": 200, "mined": 200, "worse": 200}
    assert {m.method: m.seconds for m in moment.shown}["mined"] == 25


def test_the_last_strip_shows_the_renders_after_the_last_step(folder: Path) -> None:
    moment = at_the_end(read(folder).study, "chair", folder)
    assert moment is not None
    assert {m.method: m.step for m in moment.shown} == {"uniform": 400, "tuned": 400, "mined": 400, "worse": 400}
    assert moment.title == "chair: the renders after the last step"


def test_the_miner_is_highlighted_and_others_are_left_out_unless_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = looks_of(read(folder).study)
    assert list(looks) == ["uniform", "tuned", "mined", "worse"]
    assert [name for name, look in looks.items() if look.color == MINER_COLOR] == ["mined"]
    drawn, curves = [], plots.curves
    monkeypatch.setattr(
        plots, "curves", lambda study, axis, looks: drawn.append([*looks]) or curves(study, axis, looks)
    )
    markdown_of(folder, plots=folder / "plots")
    monkeypatch.setattr(plots, "MOST_CURVES", 3)
    markdown_of(folder, plots=folder / "plots")
    markdown_of(folder, plots=folder / "plots", methods=("tuned", "mined", "worse"))
    assert [len(names) for names in drawn[::2]] == [4, 3, 4]
    assert drawn[2] == ["uniform", "tuned", "mined"]


def test_a_scene_that_no_drawn_method_has_finished_has_no_panel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "results"
    write_suite(folder, ("chair", "fern"))
    for scene, method in (("chair", "uniform"), ("chair", "mined"), ("fern", "worse")):
        write_run(folder, scene, method, 1)
    monkeypatch.setattr(plots, "MOST_CURVES", 2)
    markdown_of(folder, plots=folder / "plots")
    study = read(folder).study
    drawn = {name: look for name, look in looks_of(study).items() if name != "worse"}
    assert [axes.get_title() for axes in plots.curves(study, "step", drawn).axes] == ["chair"]


def test_a_single_method_has_room_for_its_bar(folder: Path) -> None:
    study = read(folder, "wall", ("worse",)).study
    figure = plots.bars(study, looks_of(study))
    assert figure.get_figheight() >= 1.2
    assert figure.axes[0].get_ylim() == (-1.0, 1.0)


def test_a_strip_is_of_a_seed_that_was_rendered(folder: Path) -> None:
    """Here the last; what has no render of it is not shown."""
    path, lines = folder / "measurements.jsonl", []
    for line in map(json.loads, path.read_text().splitlines()):
        name = f"{line['method']}-other"
        rendered = line["seed"] == 3 and line["method"] != "worse" and line["step"] % 200 == 0
        lines.append(line | {"render": write_render(folder, name, line["step"]) if rendered else None})
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    moment = at_equal_time(read(folder).study, "chair", folder)
    assert moment is not None
    assert moment.time == 20
    assert {m.method: (m.seed, m.step) for m in moment.shown} == {
        "uniform": (3, 200),
        "tuned": (3, 200),
        "mined": (3, 200),
    }


def test_there_is_no_strip_where_the_renders_are_gone(folder: Path) -> None:
    shutil.rmtree(folder / "renders")
    assert at_equal_time(read(folder).study, "chair", folder) is None
    assert "renders-chair" not in markdown_of(folder, plots=folder / "plots")


def test_what_was_mined_is_shown_over_steps(folder: Path) -> None:
    path, lines = folder / "measurements.jsonl", []
    for line in map(json.loads, path.read_text().splitlines()):
        if (line["method"], line["seed"]) == ("mined", 2) and line["step"]:
            line["mined"] = {kind: write_render(folder, f"mined-{kind}", line["step"]) for kind in ("rays", "walkers")}
        lines.append(line)
    assert over_steps(read(folder).study, "chair", folder) is None
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    figure = over_steps(read(folder).study, "chair", folder)
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes] == [*(f"step {step}" for step in (100, 200, 300, 400)), *[""] * 4]
    assert [axes.get_ylabel() for axes in figure.axes[::4]] == ["mined\nrays", "mined\nwalkers"]
    assert all(len(axes.images) == 1 for axes in figure.axes)
    shutil.rmtree(folder / "renders" / "mined-rays")
    assert len(over_steps(read(folder).study, "chair", folder).axes) == 4
    assert "](results/plots/mined-chair.png)" in markdown_of(folder, plots=folder / "plots")
