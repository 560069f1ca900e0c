"""Held-out pixels and whole views, on cameras and models that can be followed by hand."""

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from three_views import FOCAL, SIZES, Looks, Views
from torch import Tensor

from softmining_nerfstudio.benchmark.run import evaluation
from softmining_nerfstudio.benchmark.run.evaluation import HeldOutPixels, whole_views


def before_white(colours: Tensor) -> Tensor:
    return colours if colours.shape[-1] == 3 else colours[..., :3] * colours[..., 3:] + 1 - colours[..., 3:]


def drawn(count: int = 60) -> HeldOutPixels:
    return HeldOutPixels.draw(Views(), count, before_white)  # type: ignore[arg-type]


def pixels_of(held_out: HeldOutPixels) -> Iterator[tuple[int, int, int]]:
    """View, row and column, as the colours tell."""
    assert held_out.rays.camera_indices is not None
    for view, colour in zip(held_out.rays.camera_indices.flatten().tolist(), held_out.colours, strict=True):
        first, row, column = (10 * (2 * colour - 1 if view == 0 else colour)).round().int().tolist()
        assert first == view
        yield view, row, column


def test_each_ray_goes_through_the_pixel_whose_colour_is_expected() -> None:
    held_out = drawn()
    pixels = list(pixels_of(held_out))
    for (view, row, column), direction in zip(pixels, held_out.rays.directions[:, 0], strict=True):
        height, width = SIZES[view]
        x, y = (column + 0.5 - width / 2) / FOCAL, -(row + 0.5 - height / 2) / FOCAL
        torch.testing.assert_close(direction, torch.tensor([x, y, -1.0]) / math.sqrt(x * x + y * y + 1))
    assert {view for view, _, _ in pixels} == {0, 1, 2}
    assert len(set(pixels)) == len(pixels)


def test_masked_pixels_are_left_out_and_all_others_can_be_drawn() -> None:
    valid = {(view, row, column) for view, (h, w) in enumerate(SIZES) for row in range(h) for column in range(w)}
    valid -= {(1, row, column) for row in range(10) for column in (2, 3)}
    assert set(pixels_of(drawn(5000))) == valid


def test_the_pixels_depend_on_no_seed() -> None:
    first = drawn()
    torch.manual_seed(5)
    assert torch.equal(first.colours, drawn().colours)


@pytest.mark.parametrize("key", ["rgb", "rgb_fine"])
def test_psnr_against_a_loop(key: str) -> None:
    held_out = drawn()
    errors = [
        (float(seen) - float(true)) ** 2
        for direction, colour in zip(held_out.rays.directions[:, 0].abs(), held_out.colours, strict=True)
        for seen, true in zip(direction, colour, strict=True)
    ]
    expected = 10 * math.log10(1 / (sum(errors) / len(errors)))
    assert held_out.psnr(Looks(key)) == pytest.approx(expected, abs=1e-4)  # type: ignore[arg-type]


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_colours_that_are_no_numbers_have_no_psnr(factor: float) -> None:
    assert math.isnan(drawn().psnr(Looks(factor=factor)))  # type: ignore[arg-type]


def test_psnr_of_the_truth_is_bounded() -> None:
    held_out = drawn()
    model = SimpleNamespace(get_outputs_for_camera_ray_bundle=lambda _: {"rgb": held_out.colours[:, None]})
    assert held_out.psnr(model) == 100  # type: ignore[arg-type]


def metrics_of(metrics: dict[str, float], count: int = 2) -> tuple[dict[str, float], list[tuple[int, int]]]:
    model = Looks(metrics=metrics)
    return whole_views(model, Views(), count), model.seen  # type: ignore[arg-type]


def test_metrics_are_means_over_evenly_spaced_views() -> None:
    assert metrics_of({"psnr": 20.0, "ssim": 0.5}) == ({"psnr": 30.0, "ssim": 0.75}, [SIZES[0], SIZES[2]])
    assert metrics_of({"psnr": 20.0}, 0) == ({"psnr": 40.0}, list(SIZES))
    assert metrics_of({"psnr": 20.0}, 9) == ({"psnr": 40.0}, list(SIZES))


def test_of_a_coarse_and_a_fine_field_the_fine_one_counts() -> None:
    metrics = {"psnr": 20.0, "coarse_psnr": 10.0, "fine_psnr": 20.0, "fine_ssim": 0.5, "fine_lpips": 0.1}
    assert metrics_of(metrics)[0] == pytest.approx({"psnr": 30.0, "ssim": 0.75, "lpips": 0.15})


def test_what_cannot_be_computed_is_absent_and_what_diverged_is_not() -> None:
    found = metrics_of({"psnr": math.nan, "ssim": 0.5, "lpips": math.nan})[0]
    assert found.keys() == {"psnr", "ssim"}
    assert math.isnan(found["psnr"])


def test_a_render_of_what_diverged_can_be_written(tmp_path: Path) -> None:
    model = Looks("rgb_fine", factor=math.nan)
    model.renderer_rgb = SimpleNamespace(blend_background=before_white)  # type: ignore[attr-defined]
    evaluation.render(model, Views(), 0, tmp_path / "new" / "step.png")  # type: ignore[arg-type]
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"step.png", "truth.png"}
