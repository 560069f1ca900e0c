"""What tells the controls apart: how they choose images, and pixels in them."""

import pytest
import torch
from drawing import HEIGHT, WIDTH, N, rgba, run, setting

from softmining_nerfstudio.mining.strategies.controls import (
    Foreground,
    StaticEdges,
    Uniform,
    UniformPerImage,
    WeightedUniform,
)


@pytest.mark.parametrize("make", [UniformPerImage, StaticEdges])
@pytest.mark.parametrize(("count", "counts"), [(500, {100}), (502, {100, 101}), (3, {0, 1})])
def test_every_image_gets_its_share_whatever_its_mask(make, count, counts, generator):
    masks = torch.ones(N, HEIGHT, WIDTH, 1)
    masks[1, 3:] = 0
    strategy, images = setting(make, generator, masks=masks)
    slot, _ = strategy.draw(images, count)
    assert {*slot.bincount(minlength=N).tolist()} == counts


@pytest.mark.parametrize("make", [Uniform, WeightedUniform, UniformPerImage, Foreground])
def test_pixels_are_uniform_over_what_is_drawn_from(make, generator):
    strategy, images = setting(make, generator)
    _, yx = run(strategy, images, 20, 1000)
    width = WIDTH // 3 if make is Foreground else WIDTH
    assert yx[:, 1].max() < width
    blocks = (yx / torch.tensor([HEIGHT / 4, width / 4])).long() @ torch.tensor([4, 1])
    torch.testing.assert_close(blocks.bincount(minlength=16) / len(yx), torch.full((16,), 1 / 16), atol=0.01, rtol=0)


def test_foreground_weighs_images_by_how_much_of_it_they_show(generator):
    pixels = rgba(generator)
    pixels[1:, ..., 3] = 0
    pixels[1, :, : WIDTH // 6, 3] = 0.01  # nearly transparent pixels count
    strategy, images = setting(Foreground, generator, pixels=pixels)
    slot, _ = run(strategy, images, 10, 900)
    torch.testing.assert_close(
        slot.bincount(minlength=N) / 9000, torch.tensor([2 / 3, 1 / 3, 0, 0, 0]), atol=0.02, rtol=0
    )


def test_foreground_of_transparent_images_goes_anywhere(generator):
    pixels = rgba(generator)
    pixels[..., 3] = 0
    strategy, images = setting(Foreground, generator, pixels=pixels)
    _, yx = run(strategy, images, 2, 900)
    assert (yx[:, 1] > WIDTH / 2).float().mean() > 0.4


def test_foreground_without_an_alpha_channel_says_how_to_have_one(generator):
    strategy, images = setting(Foreground, generator, pixels=torch.zeros(N, HEIGHT, WIDTH, 3))
    with pytest.raises(ValueError, match=r"RGBA .*\b3 channels .*--alpha-color None"):
        strategy.draw(images, 5)


def test_static_edges_are_found(generator):
    pixels = torch.zeros(N, HEIGHT, WIDTH, 3)
    pixels[:, :, WIDTH // 2 :] = 1
    strategy, images = setting(StaticEdges, generator, pixels=pixels)
    _, yx = run(strategy, images, 10)
    assert ((yx[:, 1] - WIDTH / 2).abs() <= 3).float().mean() > 0.9
