"""Stacks of images, and pixels of them."""

import torch


def stack(generator, count=3, height=5, width=7, channels=3):
    return torch.rand((count, height, width, channels), generator=generator)


def some_pixels(generator, shape, count=3, height=5, width=7):
    return [torch.randint(bound, shape, generator=generator) for bound in (count, height, width)]
