"""What the samplers cost, measured on next to nothing."""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from softmining_nerfstudio.benchmark import sampler_cost
from softmining_nerfstudio.benchmark.errors import BenchmarkError
from softmining_nerfstudio.benchmark.sampler_cost import SAMPLERS, Contestant, image_batch, sampler
from softmining_nerfstudio.benchmark.sampler_memory import held_bytes
from softmining_nerfstudio.benchmark.sampler_plot import NERFSTUDIO, Cost, CostReport, Refusal
from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSampler


@pytest.fixture(autouse=True)
def _few_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler_cost, "TURNS", 2)


def contestant(name: str, **options: object) -> Contestant:
    return Contestant(name, image_batch(3, 0.001), **{"clock": time.perf_counter, **options})  # type: ignore[arg-type]


def costs(records: list) -> list[Cost]:
    return [record for record in records if isinstance(record, Cost)]


def written(folder: Path) -> tuple[dict, list[Cost]]:
    """The settings and the costs in the file of measurements."""
    settings, *lines = map(json.loads, (folder / "sampler.jsonl").read_text().splitlines())
    return settings["settings"], [Cost(**line) for line in lines]


def test_every_sampler_is_measured_shown_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "folder"
    sampler(images=(3, 2), rays=(32, 16), megapixels=0.001, output=folder)
    settings, records = written(folder)
    expected = [(images, rays, sampler) for images in (2, 3) for rays in (16, 32) for sampler in SAMPLERS]
    assert [(cost.images, cost.rays, cost.sampler) for cost in records] == expected
    for cost in records:
        numbers = cost.milliseconds, cost.rays_per_second, cost.setup_milliseconds, cost.ratio or 0
        assert all(0 < number < math.inf for number in numbers)
        assert (cost.memory > 0) == (cost.sampler != NERFSTUDIO)
        assert cost.rays_per_second == pytest.approx(1000 * cost.rays / cost.milliseconds)
    assert settings["megapixels"] == 0.001
    assert (folder / "sampler.png").stat().st_size > 10_000
    printed = capsys.readouterr().out
    assert all(printed.count(f" {name} ") == 4 for name in SAMPLERS)


def test_every_sampler_is_measured_with_masks(tmp_path: Path) -> None:
    sampler(images=(2,), rays=(16,), megapixels=0.001, masks="half", clock="cpu", output=tmp_path)
    assert len(written(tmp_path)[1]) == len(SAMPLERS)


def test_nothing_is_written_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sampler(images=(2,), rays=(8,), megapixels=0.001)
    assert not list(tmp_path.iterdir())


def test_a_sampler_that_refuses_is_listed_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    contestants = [contestant(name) for name in (NERFSTUDIO, "[nuts]", "lmc")]
    stock, refused, lmc = records = sampler_cost.measure(contestants, 16, lambda: None)
    assert isinstance(stock, Cost)
    assert stock.ratio == 1
    assert isinstance(refused, Refusal)
    assert "'[nuts]'" in refused.reason
    assert isinstance(lmc, Cost)
    CostReport(None, {}).add(records)
    printed = capsys.readouterr().out
    assert f"[nuts] is left out: {refused.reason}" in printed
    assert f" {NERFSTUDIO} " in printed


def test_a_sampler_that_fails_at_some_number_of_rays_has_no_cost_there() -> None:
    contestants = [contestant(NERFSTUDIO), contestant("lmc")]
    assert len(costs(sampler_cost.measure(contestants, 16, lambda: None))) == 2
    for one in contestants:
        del one.batch["image_idx"]
    records = sampler_cost.measure(contestants, 32, lambda: None)
    assert [type(record) for record in records] == [Refusal, Refusal]
    assert {record.rays for record in records} == {32}


def test_a_sampler_that_failed_once_is_measured_at_the_next_number_of_rays() -> None:
    contestants = [contestant(NERFSTUDIO), contestant("lmc")]
    numbers = [one.batch.pop("image_idx") for one in contestants]
    assert not costs(sampler_cost.measure(contestants, 16, lambda: None))
    for one, number in zip(contestants, numbers, strict=True):
        one.batch["image_idx"] = number
    found = costs(sampler_cost.measure(contestants, 32, lambda: None))
    assert [cost.sampler for cost in found] == [NERFSTUDIO, "lmc"]
    assert all(cost.setup_milliseconds > 0 for cost in found)


@pytest.mark.parametrize("name", ["lmc", "uniform-weighted"])
def test_the_model_does_not_run_on_the_clock(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now, train = [0.0], sampler_cost.train

    def train_for_an_hour(*arguments: object) -> None:
        train(*arguments)  # type: ignore[arg-type]
        now[0] += 3600

    monkeypatch.setattr(sampler_cost, "train", train_for_an_hour)
    measured = contestant(name, clock=lambda: now[0])
    measured.take_turn(16, 3)
    assert measured.times == [0, 0, 0]
    assert measured.setup == 0
    assert now == [4 * 3600]


def test_every_step_has_the_widest_footprints_and_the_fewest_uniform_rays() -> None:
    measured = contestant("dmc")
    measured.take_turn(rays=1000, steps=20)
    assert measured.sampler.miner.rays_so_far == 1000
    share = measured.sampler.config.recipe.uniform_share
    assert share.at(0) == share.at(10**6)


def test_the_stand_in_gives_the_walkers_errors_and_a_score() -> None:
    measured = contestant("lmc")
    measured.take_turn(30, 1)
    assert isinstance(measured.sampler, SoftMiningPixelSampler)
    drawn, yx = measured.sampler.mine(measured.batch, 1)
    sampler_cost.train(drawn, yx)
    assert 0.01 < drawn["feedback"].error.mean() < 0.1
    score = drawn["feedback"].score()
    assert score.isfinite().all()
    assert score.abs().median() > 0.01


@dataclass
class Holder:
    """Something with tensors in every place where a sampler may have them."""

    image: torch.Tensor
    window: torch.Tensor
    parts: list
    attributes: dict


def test_memory_is_that_of_every_storage_once_without_the_images() -> None:
    image, leaf = torch.zeros(5, 7), torch.zeros(10, requires_grad=True)
    leaf.grad = torch.zeros(10)
    wide, repeated = torch.zeros(100, dtype=torch.int16), torch.zeros(1, dtype=torch.double).expand(50)
    holder = Holder(image, image[1:], [leaf, leaf.detach()[3:], (wide[:1],)], {"a": {"b": repeated}})
    holder.attributes["itself"] = holder
    assert held_bytes(holder, besides={"image": image}) == 40 + 40 + 200 + 8
    assert held_bytes(holder) == 40 + 40 + 200 + 8 + 5 * 7 * 4


def test_memory_of_nerfstudios_sampler_is_nothing_and_that_of_ours_grows_with_the_images() -> None:
    few, many = (
        sampler_cost.measure([Contestant(n, image_batch(images, 0.001), time.perf_counter) for n in SAMPLERS], 16, int)
        for images in (4, 8)
    )
    for one, two in zip(costs(few), costs(many), strict=True):
        assert one.memory == 0 if one.sampler == NERFSTUDIO else 1.5 * one.memory < two.memory < 2.5 * one.memory
    image_bytes = image_batch(8, 0.001)["image"].untyped_storage().nbytes()
    assert all(cost.memory < image_bytes + 8 * 12_000 for cost in costs(many))


def test_images_are_windows_into_one_block_that_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    apart = image_batch(5, 0.0012, masked=True)
    assert apart["image"].shape == (5, 30, 40, 4)
    assert apart["image"].untyped_storage().nbytes() == 5 * 30 * 40 * 16
    monkeypatch.setattr(sampler_cost, "MOST_PIXELS", 2000)
    for batch in (apart, image_batch(5, 0.0012, masked=True), image_batch(1, 0.0012, masked=True)):
        image, mask = batch["image"], batch["mask"]
        assert image.untyped_storage().nbytes() <= (2000 if batch is not apart else 6000) * 16
        assert torch.equal(image[..., 3:] > 0, mask)
        assert (mask.float().mean((1, 2, 3)) == 0.5).all()
        assert len(image[:, 0, 0, 0].unique()) == len(image)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": ()}, r"images .*\(\)"),
        ({"images": (10, 0)}, r"images .*\(10, 0\).* 1"),
        ({"rays": (-1,)}, r"rays .*\(-1,\)"),
        ({"megapixels": 0.0}, r"megapixels .*0\.0;.*0\.0001 .*67"),
        ({"megapixels": math.nan}, "megapixels .*nan"),
        ({"megapixels": 100.0}, r"megapixels .*100\.0"),
    ],
)
def test_bad_settings_are_named(options: dict, message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        sampler(**options)
