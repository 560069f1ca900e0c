"""What is said of the held-out views, in numbers and in commands."""

import json
from itertools import pairwise
from types import SimpleNamespace

import pytest
from nerfstudio.pipelines.base_pipeline import VanillaPipeline
from nerfstudio.utils import writer

from softmining_nerfstudio.training import next_steps
from softmining_nerfstudio.training.held_out import InTime, SoftMiningPipeline, in_time
from softmining_nerfstudio.training.trainer import SoftMiningTrainerConfig


class Loader:
    """Of so many views, whose numbers it hands out."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def get_camera(self, view: int) -> int:
        return view


def pipeline(views: int) -> SoftMiningPipeline:
    made = SoftMiningPipeline.__new__(SoftMiningPipeline)
    made.__dict__["datamanager"] = SimpleNamespace(eval_dataset=range(views))
    return made


@pytest.fixture
def one_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nerfstudio finds of one view: no deviation."""
    metrics = {"psnr": 20.126, "psnr_std": float("nan"), "ssim": 0.5, "lpips": float("nan")}
    monkeypatch.setattr(VanillaPipeline, "get_average_eval_image_metrics", lambda *_: metrics)


@pytest.mark.usefixtures("one_view")
def test_ns_eval_says_what_it_found_in_valid_json(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = pipeline(1).get_average_eval_image_metrics(get_std=True)
    assert json.loads(json.dumps(metrics, allow_nan=False)) == {"psnr": 20.126, "ssim": 0.5}
    assert capsys.readouterr().out == "Evaluated 1 held-out view: PSNR 20.13 dB, SSIM 0.500\n"


@pytest.mark.usefixtures("one_view")
def test_without_views_there_are_no_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert pipeline(0).get_average_eval_image_metrics() == {}
    assert "no held-out views" in capsys.readouterr().out


def commands(trained: int, held_out: int, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """The words of each printed command."""
    datamanager = SimpleNamespace(train_dataset=range(trained), eval_dataset=range(held_out))
    config = SoftMiningTrainerConfig(method_name="softmining-lite", experiment_name="scene", timestamp="run")
    next_steps.say(SimpleNamespace(pipeline=SimpleNamespace(datamanager=datamanager), config=config))  # type: ignore[arg-type]
    return [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  ns-")]


@pytest.mark.parametrize(
    ("trained", "held_out", "expected"),
    [
        (5, 2, ["ns-viewer", "ns-eval", "ns-render --order-poses True", "ns-export"]),
        (5, 1, ["ns-viewer", "ns-eval", "ns-render --order-poses True --pose-source train", "ns-export"]),
        (5, 0, ["ns-viewer", "ns-render --order-poses True --pose-source train", "ns-export"]),
        (1, 1, ["ns-viewer", "ns-eval", "ns-export"]),
    ],
)
def test_only_commands_that_work_are_printed(
    trained: int,
    held_out: int,
    expected: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(next_steps, "rgb_name_of", lambda pipeline: "rgb")
    printed = commands(trained, held_out, capsys)
    assert [line[0] for line in printed] == [command.split()[0] for command in expected]
    for line, command in zip(printed, expected, strict=True):
        assert {*command.split()} <= {*line}
        assert ("--pose-source" in line) == ("--pose-source" in command)
        assert not any(word.endswith(("-output-name", "-output-names")) for word in line)


def test_the_commands_name_the_outputs_of_a_model_with_a_fine_field(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(next_steps, "rgb_name_of", lambda pipeline: "rgb_fine")
    *_, render, export = (" ".join(command) for command in commands(5, 2, capsys))
    assert render.startswith("ns-render")
    assert render.endswith(" --rendered-output-names rgb_fine")
    assert export.startswith("ns-export")
    assert export.endswith(" --rgb-output-name rgb_fine --depth-output-name depth_fine")


@pytest.mark.parametrize(
    ("rays_per_second", "points"), [(0, 10_000), (1000, 10_000), (9000, 100_000), (1e9, 1_000_000), (20_000, 300_000)]
)
def test_an_export_is_sized_for_a_minute_of_this_machine(rays_per_second: float, points: int) -> None:
    assert next_steps.export_points(rays_per_second) == points


def test_the_speed_is_what_nerfstudio_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GLOBAL_BUFFER", {})
    assert next_steps.trained_rays_per_second() == 0
    events = {writer.EventName.TRAIN_RAYS_PER_SEC.value: {"buffer": [], "avg": 12.0}}
    monkeypatch.setattr(writer, "GLOBAL_BUFFER", {"events": events})
    assert next_steps.trained_rays_per_second() == 12


@pytest.mark.parametrize(("seconds", "views", "named"), [(1e9, 10, "All held-out views"), (0.0, 1, "1 of 10 held-out")])
def test_the_evaluation_after_training_ends_in_time(seconds: float, views: int, named: str) -> None:
    manager = SimpleNamespace(fixed_indices_eval_dataloader=(loader := Loader(10)))
    with in_time(manager, seconds) as seen:
        assert isinstance(manager.fixed_indices_eval_dataloader, InTime)
        assert len(list(manager.fixed_indices_eval_dataloader)) == views
    assert manager.fixed_indices_eval_dataloader is loader
    assert seen.named.startswith(named)


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_views_that_are_evaluated_first_are_spread_over_all(count: int) -> None:
    views = list(InTime(Loader(count), 1e9))
    assert sorted(views) == [*range(count)]
    for first in (2, 4, 8):
        if count >= 2 * first:
            found = sorted(views[:first])
            assert max(b - a for a, b in pairwise([*found, count])) <= 2 * count / first
