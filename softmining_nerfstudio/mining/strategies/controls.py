"""Simpler strategies to compare soft mining with. None of them learns.

Each isolates one possible cause of a gain: the weights, an equal share for every image, skipping the background, or
looking at edges.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from softmining_nerfstudio.mining.pixels.densities import Densities
from softmining_nerfstudio.mining.pixels.images import Images
from softmining_nerfstudio.mining.pixels.values import gather, part
from softmining_nerfstudio.mining.strategies.base import Positions, Strategy


class Uniform(Strategy):
    """Draws images in proportion to the share of each that may be drawn, and a uniform pixel in each. Plain loss."""

    corrected = False
    learns = False

    def draw(self, images: Images, count: int) -> Positions:
        """Pixels from anywhere."""
        return self.densities.anywhere(images, count, self.generator)


class WeightedUniform(Uniform):
    """Uniform pixels with the corrected loss: what the weights gain without mining."""

    corrected = True


class UniformPerImage(Uniform):
    """As many uniform pixels in every image, and the plain loss. A lot decides which images get one more."""

    def draw(self, images: Images, count: int) -> Positions:
        """Uniform pixels of each image in turn."""
        slot = self.densities.every_image(images, count, self.generator)
        return slot, self.densities.uniform(images, slot, self.generator)


class StaticEdges(UniformPerImage):
    """As many pixels in every image, drawn anew from its edge density each step, with the corrected loss."""

    corrected = True

    def draw(self, images: Images, count: int) -> Positions:
        """Pixels on edges of each image in turn."""
        slot = self.densities.every_image(images, count, self.generator)
        return slot, self.densities.on_edges(images, slot, self.generator)


class Foreground(Uniform):
    """All pixels that are not fully transparent are equally likely; the loss is plain. The uniform share goes anywhere,
    as do all rays while every loaded image is transparent.

    Raises:
        ValueError: if the images have no alpha channel.
    """

    def __init__(self, densities: Densities, generator: torch.Generator) -> None:
        super().__init__(densities, generator)
        self._opaque = Densities(len(densities.share), densities.edge_strength)
        self._images: Images | None = None
        self._foreground: Images | None = None

    def draw(self, images: Images, count: int) -> Positions:
        """Pixels from anywhere in the foreground."""
        if images is not self._images or self._foreground is None:
            self._images, self._foreground = images, foreground(images)
            self._opaque.see(self._foreground)
        if not len(self._opaque.drawable(self._foreground)):
            return self.densities.anywhere(images, count, self.generator)
        return self._opaque.anywhere(self._foreground, count, self.generator)


class WeightedForeground(Foreground):
    """Foreground pixels with the corrected loss."""

    corrected = True


def foreground(images: Images) -> Images:
    """The same images; only pixels that are not fully transparent may be drawn.

    Raises:
        ValueError: if the images have no alpha channel.
    """
    first = torch.zeros(1, dtype=torch.long)
    if (channels := gather(images.pixels, first, first, first).shape[-1]) != 4:
        raise ValueError(
            f"foreground sampling needs RGBA images; these have {channels} channels "
            "(nerfstudio's Blender parser keeps the alpha channel with --alpha-color None)"
        )
    return replace(images, masks=Opaque(images), notes=None)


@dataclass(frozen=True)
class Opaque:
    """Masks, made where they are looked up: nonzero where a pixel of RGBA images is not fully transparent."""

    images: Images

    @property
    def sizes(self) -> Int[Tensor, "images 2"]:
        """Height and width of each image, pixels."""
        return self.images.sizes

    def __len__(self) -> int:
        return len(self.images)

    def at(
        self, slot: Int[Tensor, " *#rays"], row: Int[Tensor, " *#rays"], column: Int[Tensor, " *#rays"]
    ) -> Shaped[Tensor, "*rays 1"]:
        """The masks at single pixels."""
        alpha, masks = gather(self.images.pixels, slot, row, column)[..., 3:], self.images.masks
        return alpha if masks is None else alpha * gather(masks, slot, row, column).to(alpha.device)

    def part(self, slot: int, rows: range, columns: range) -> Shaped[Tensor, "rows columns 1"]:
        """The masks at some rows and columns of one image."""
        alpha, masks = part(self.images.pixels, slot, rows, columns)[..., 3:], self.images.masks
        return alpha if masks is None else alpha * part(masks, slot, rows, columns).to(alpha.device)
