"""Strategies, the images that they draw from, and steps of them."""

import torch

from softmining_nerfstudio.mining.feedback import Seen
from softmining_nerfstudio.mining.pixels.densities import Densities
from softmining_nerfstudio.mining.pixels.edge_strength import Sobel
from softmining_nerfstudio.mining.pixels.images import Images
from softmining_nerfstudio.mining.strategies.controls import (
    Foreground,
    StaticEdges,
    Uniform,
    UniformPerImage,
    WeightedForeground,
    WeightedUniform,
)
from softmining_nerfstudio.mining.strategies.error_map import ErrorMap
from softmining_nerfstudio.mining.strategies.walking import Walking
from softmining_nerfstudio.mining.walks import Diffusion, Langevin

N, HEIGHT, WIDTH = 5, 64, 96


def langevin(densities, generator):
    return Walking(densities, generator, Langevin(drift=0.0), edge_rays=False)


def diffusion(densities, generator):
    return Walking(densities, generator, Diffusion(), edge_rays=True)


CONTROLS = [Uniform, WeightedUniform, UniformPerImage, StaticEdges, Foreground, WeightedForeground, ErrorMap]
ALL = [langevin, diffusion, *CONTROLS]


def rgba(generator):
    """Noise. Only its left third is opaque."""
    pixels = torch.rand((N, HEIGHT, WIDTH, 4), generator=generator)
    pixels[..., 3] = (torch.arange(WIDTH) < WIDTH // 3).float()
    return pixels


def setting(make, generator, **options):
    """A strategy, and the images that it draws from; their ids are not their slots."""
    images = Images(torch.arange(N).flip(0), options.pop("pixels", rgba(generator)), **options)
    densities = Densities(N, Sobel())
    densities.see(images)
    return make(densities, generator), images


def seen(images, slot, yx, loss, error=None):
    return Seen(images.ids[slot], yx, images.sizes[slot], loss if error is None else error, loss, None)


def run(strategy, images, steps, count=500, loss_at=lambda image, yx: torch.ones(len(yx))):
    """The draws of several steps. The strategy learns from each."""
    drawn = []
    for _ in range(steps):
        slot, yx = strategy.draw(images, count)
        strategy.learn(seen(images, slot, yx, loss_at(images.ids[slot], yx)))
        drawn.append((slot, yx))
    return torch.cat([slot for slot, _ in drawn]), torch.cat([yx for _, yx in drawn])
