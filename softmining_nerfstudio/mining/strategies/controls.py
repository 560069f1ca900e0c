"""Simpler strategies to compare soft mining with. None of them learns.

Each isolates one possible cause of a gain: the weights, an equal share for every image, skipping the background, or
looking at edges.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from softmining_nerfstudio.mining.pixels.densities import Densities
from softmining_nerfstudio.mining.pixels.images import Images, Packed
from softmining_nerfstudio.mining.strategies.base import Pixels, Strategy


class Uniform(Strategy):
    """All pixels that may be drawn are equally likely; the loss is plain."""

    corrected = False
    learns = False

    def draw(self, images: Images, count: int) -> Pixels:
        """Pixels from anywhere."""
        return self.densities.anywhere(images, count, self.generator)


class WeightedUniform(Uniform):
    """Uniform pixels with the corrected loss: what the weights gain without mining."""

    corrected = True


class UniformPerImage(Uniform):
    """As many uniform pixels in every image, and the plain loss. A lot decides which images get one more."""

    def draw(self, images: Images, count: int) -> Pixels:
        """Uniform pixels of each image in turn."""
        slot = self.densities.every_image(images, count, self.generator)
        return slot, self.densities.uniform(images, slot, self.generator)


class StaticEdges(UniformPerImage):
    """As many pixels in every image, drawn anew from its edge density each step, with the corrected loss."""

    corrected = True

    def draw(self, images: Images, count: int) -> Pixels:
        """Pixels on edges of each image in turn."""
        slot = self.densities.every_image(images, count, self.generator)
        return slot, self.densities.on_edges(images, slot, self.generator)


class Foreground(Uniform):
    """All pixels that are not fully transparent are equally likely; the loss is plain. The uniform share goes anywhere.

    Raises:
        ValueError: if the images have no alpha channel.
    """

    def __init__(self, densities: Densities, generator: torch.Generator) -> None:
        super().__init__(densities, generator)
        self._opaque = Densities(len(densities.share), densities.edge_strength)
        self._images: Images | None = None
        self._foreground: Images | None = None

    def draw(self, images: Images, count: int) -> Pixels:
        """Pixels from anywhere in the foreground."""
        if images is not self._images or self._foreground is None:
            self._images, self._foreground = images, foreground(images)
            self._opaque.see(self._foreground)
        return self._opaque.anywhere(self._foreground, count, self.generator)


class WeightedForeground(Foreground):
    """Foreground pixels with the corrected loss."""

    corrected = True


def foreground(images: Images) -> Images:
    """The same images; only pixels that are not fully transparent may be drawn.

    Raises:
        ValueError: if the images have no alpha channel.
    """
    alpha = _values(images.pixels)[..., 3:]
    if alpha.shape[-1] != 1:
        raise ValueError(
            f"foreground sampling needs RGBA images; these have {_values(images.pixels).shape[-1]} channels "
            "(nerfstudio's Blender parser keeps the alpha channel with --alpha-color None)"
        )
    if images.masks is not None:
        alpha = alpha * _values(images.masks).to(alpha.device)
    if isinstance(images.pixels, Packed):
        return replace(images, masks=replace(images.pixels, values=alpha))
    return replace(images, masks=alpha)


def _values(pixels: Tensor | Packed) -> Tensor:
    return pixels.values if isinstance(pixels, Packed) else pixels
