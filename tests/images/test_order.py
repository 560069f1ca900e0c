"""Tile order: every pixel once, neighbours close, and back again."""

import pytest
import torch

from softmining_nerfstudio.images.order import SIDE, entry, in_rows, in_squares

SIZES = [(1, 1), (3, 5), (32, 32), (31, 33), (64, 96), (70, 40), (40, 100)]


def numbers(height: int, width: int) -> torch.Tensor:
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return entry(row, column, torch.tensor([height, width]))


@pytest.mark.parametrize("size", SIZES)
def test_every_pixel_has_one_entry(size: tuple[int, int]) -> None:
    assert numbers(*size).flatten().sort().values.tolist() == list(range(size[0] * size[1]))


@pytest.mark.parametrize("size", SIZES)
def test_bands_are_listed_by_that_order_and_come_back(size: tuple[int, int]) -> None:
    height, width = size
    image, number = torch.rand(height, width, 3), numbers(height, width)
    for top in range(0, height, SIDE):
        band = image[top : top + SIDE]
        listed = torch.from_numpy(in_squares(band.numpy()))
        assert torch.equal(listed[(number[top : top + SIDE] - top * width).flatten()], band.flatten(0, 1))
        assert torch.equal(in_rows(listed, width), band)


def test_a_square_is_one_stretch() -> None:
    square = numbers(100, 100)[32:64, 64:96].flatten().sort().values
    assert square[-1] - square[0] == SIDE * SIDE - 1
