"""Simpler strategies, against which soft mining has to prove itself; none of them learns.

Comparing with them tells apart what gains: the weights, an equal share for every image, not looking at the background,
or looking at edges.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from softmining_nerfstudio.mining.images import Images, Packed
from softmining_nerfstudio.mining.respawn import Respawn
from softmining_nerfstudio.mining.strategy import Drawn, Strategy


class Uniform(Strategy):
    """Every pixel of an image alike, images by the share of them that may be drawn, and the plain loss."""

    corrected = False
    learns = False

    def draw(self, images: Images, count: int) -> Drawn:
        """Pixels from anywhere."""
        return self.respawn.anywhere(images, count, self.generator)


class WeightedUniform(Uniform):
    """Uniform pixels, but the loss of mined ones: what the weights gain without the mining."""

    corrected = True


class UniformPerImage(Uniform):
    """As many pixels in every image, of which any, and the plain loss; images that get one more take turns by lot."""

    def draw(self, images: Images, count: int) -> Drawn:
        """Pixels from anywhere in each image in turn."""
        slot = self.respawn.every_image(images, count, self.generator)
        return slot, self.respawn.uniform(images, slot, self.generator)


class StaticEdges(UniformPerImage):
    """As many pixels in every image, all of them drawn anew from its edge density: the respawning alone."""

    corrected = True

    def draw(self, images: Images, count: int) -> Drawn:
        """Pixels on edges of each image in turn."""
        slot = self.respawn.every_image(images, count, self.generator)
        return slot, self.respawn.on_edges(images, slot, self.generator)


class Foreground(Uniform):
    """Every pixel alike that is not fully transparent, and the plain loss. The uniform share still goes anywhere.

    Raises:
        ValueError: if the images have no alpha channel.
    """

    def __init__(self, respawn: Respawn, generator: torch.Generator) -> None:
        super().__init__(respawn, generator)
        self._opaque = Respawn(len(respawn.share), respawn.edge_strength)
        self._images: Images | None = None
        self._foreground: Images | None = None

    def draw(self, images: Images, count: int) -> Drawn:
        """Pixels from anywhere in the foreground."""
        if images is not self._images or self._foreground is None:
            self._images, self._foreground = images, foreground(images)
            self._opaque.see(self._foreground)
        return self._opaque.anywhere(self._foreground, count, self.generator)


class WeightedForeground(Foreground):
    """Foreground pixels, and the loss of mined ones."""

    corrected = True


def foreground(images: Images) -> Images:
    """The same images, of which only pixels that are not fully transparent may be drawn.

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
