"""How much mining could gain, against loops and against densities drawn at random."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from three_views import Looks, Views

from softmining_nerfstudio.benchmark.errors import BenchmarkError
from softmining_nerfstudio.benchmark.headroom import SQUARES, errors, gain, headroom, squares

HEIGHT, WIDTH = 13, 10


@pytest.fixture
def images() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Two images of errors, of which a mask hides about a third."""
    return [(torch.rand(HEIGHT, WIDTH) ** 3, torch.rand(HEIGHT, WIDTH) > 0.3) for _ in range(2)]


@pytest.mark.parametrize("side", [1, 3, 4, 64])
def test_squares_against_a_loop(images: list, side: int) -> None:
    error, allowed = images[0]
    mean_square, count = squares(error, allowed, side)
    for row in range(-(-HEIGHT // side)):
        for column in range(-(-WIDTH // side)):
            here = slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side)
            inside = error[here][allowed[here]]
            assert count[row, column] == len(inside)
            assert mean_square[row, column] == pytest.approx(float((inside**2).sum()) / max(1, len(inside)), abs=1e-7)


def test_errors_that_are_alike_leave_nothing_to_gain() -> None:
    for error in (0.0, 0.2):
        assert gain([squares(torch.full((8, 8), error), torch.ones(8, 8, dtype=torch.bool), 2)]) == pytest.approx(1)


def test_a_ray_is_worth_two_where_half_of_the_image_is_learnt() -> None:
    error = torch.zeros(8, 8)
    error[:, :4] = 0.1
    everything = torch.ones(8, 8, dtype=torch.bool)
    assert [gain([squares(error, everything, side)]) for side in (1, 2, 4, 8)] == pytest.approx([2, 2, 2, 1])
    assert gain([squares(error, error > 0, 1)]) == pytest.approx(1)  # the rest is masked out


def test_who_knows_more_gains_no_less(images: list) -> None:
    gains = [gain([squares(*image, side) for image in images]) for side in SQUARES]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 1.5
    assert gains[-1] == pytest.approx(1, abs=1e-9)


def test_no_other_density_over_the_squares_gains_more(images: list) -> None:
    mean_square, count = squares(*images[0], 4)
    share, known = count / count.sum(), count > 0
    best = gain([(mean_square, count)])
    for _ in range(100):
        density = mean_square.sqrt() * torch.rand(mean_square.shape) + 1e-3
        density /= (share * density).sum()
        assert float((share * mean_square).sum() / (share * mean_square / density)[known].sum()) <= best


def evaluated(model: Looks) -> Any:
    """A pipeline in eval mode that renders the three views with this model."""
    model.renderer_rgb = SimpleNamespace(blend_background=lambda colours: colours[..., :3])  # type: ignore[attr-defined]
    datamanager = SimpleNamespace(train_dataset=Views())
    return SimpleNamespace(datamanager=datamanager, model=model, training=False, eval=dict, train=bool)


def test_errors_are_those_of_the_training_images_where_a_mask_allows() -> None:
    pipeline = evaluated(Looks())
    for view in (0, 1, 2):
        error, allowed = errors(pipeline, view)
        data = Views()[view]
        seen = Views().cameras[view : view + 1].generate_rays(camera_indices=0).directions.abs()
        torch.testing.assert_close(error, (seen - data["image"][..., :3]).abs().mean(-1))
        assert torch.equal(allowed, data["mask"][..., 0] if "mask" in data else torch.ones_like(allowed))


def test_a_pixel_whose_colour_is_no_number_is_left_out() -> None:
    error, allowed = errors(evaluated(Looks(factor=torch.nan)), 2)
    assert not allowed.any()
    assert gain([squares(error, allowed, 1)]) == 1


def test_bad_options_are_named() -> None:
    with pytest.raises(BenchmarkError, match=r"nowhere/config\.yml"):
        headroom(load_config=Path("nowhere/config.yml"))
    with pytest.raises(BenchmarkError, match=r"views .*0.* 1"):
        headroom(load_config=Path(__file__), views=0)
