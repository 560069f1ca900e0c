"""Footprints: a ray is compared with the mean colour of the part of the image that it stands for.

Rays sample the training images. While rays are few, detail finer than the distance between them is aliasing: noise in
the loss, and in the error that walkers follow. So the images are filtered before they are sampled. A ray's target
colour is the mean over a square around its pixel, of

    side = sqrt(coverage * spread * pixels of the image that may be drawn / rays so far)     pixels.

The square narrows as rays accumulate. It is the pixel alone once there have been `coverage` rays for every such pixel
of one image. One image counts, not all of them, because they show the same scene. Of that image only the fraction
counts that carries the error (`strategies/spread.py`), because mined rays hardly go elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from softmining_nerfstudio.mining.pixels.images import Images
from softmining_nerfstudio.mining.pixels.values import gather

SAMPLES = 4
"""Samples along each side of a footprint. They estimate the mean at the same cost for any side."""


@dataclass(frozen=True)
class Footprint:
    """How wide the footprints are.

    Raises:
        ValueError: if the coverage is negative or not finite.
    """

    coverage: float
    """Rays per pixel until a target colour stops being a local mean. 0 turns the averaging off."""

    def __post_init__(self) -> None:
        if not 0 <= self.coverage < float("inf"):
            raise ValueError(f"coverage is {self.coverage}; expected a finite number of rays per pixel, at least 0")

    def side(self, pixels: Shaped[Tensor, " n"], rays: int, spread: float) -> Float[Tensor, " n"]:
        """The equation above.

        Args:
            pixels: how many of each ray's image may be drawn.
            rays: drawn so far, in all images.
            spread: fraction of the images that carries the error.
        """
        return (self.coverage * spread * pixels / rays).sqrt()

    def colours(
        self,
        images: Images,
        slot: Int[Tensor, " n"],
        pixel: Int[Tensor, "n 2"],
        side: Float[Tensor, " n"],
        generator: torch.Generator,
    ) -> Shaped[Tensor, "n channels"]:
        """The mean colour of each footprint; up to side 1, the pixel's own. A footprint that is SAMPLES coarse pixels
        wide, or more, is looked up in the coarser images where there are such."""
        coarser = images.coarser
        if coarser is None:
            return self._means(images, slot, pixel, side, generator)
        shrink = coarser.sizes[slot] / images.sizes[slot]
        there, shrunk = coarser.pixel_at(slot, (pixel + 0.5) * shrink), side * shrink.prod(-1).sqrt()
        wide = shrunk >= SAMPLES
        fine = self._means(images, slot[~wide], pixel[~wide], side[~wide], generator)
        colours = fine.new_empty((len(slot), fine.shape[-1]))
        colours[~wide] = fine
        colours[wide] = self._means(coarser, slot[wide], there[wide], shrunk[wide], generator)
        return colours

    def _means(
        self,
        images: Images,
        slot: Int[Tensor, " n"],
        pixel: Int[Tensor, "n 2"],
        side: Float[Tensor, " n"],
        generator: torch.Generator,
    ) -> Shaped[Tensor, "n channels"]:
        """The mean over samples of these images. The pixel's row or column stands in for one outside of the image, and
        the pixel itself for one that must not be drawn."""
        across = torch.arange(SAMPLES)
        cell = torch.cartesian_prod(across, across)
        jittered = (cell + torch.rand((len(slot), *cell.shape), generator=generator)) / SAMPLES - 0.5
        pixel, slot = pixel[:, None], slot[:, None]
        place = (pixel + 0.5 + side[:, None, None] * jittered).floor().long()
        place = torch.where((place >= 0) & (place < images.sizes[slot]), place, pixel)
        if not images.all_allowed:
            place = torch.where(images.allowed(slot, *place.unbind(-1))[..., None], place, pixel)
        return mean_colour(gather(images.pixels, slot, *place.unbind(-1)))


def mean_colour(colours: Shaped[Tensor, "n samples channels"]) -> Shaped[Tensor, "n channels"]:
    """The mean over the samples; RGBA so that it blends as they would."""
    rgb, alpha = colours[..., :3].float(), colours[..., 3:].float()
    if alpha.shape[-1]:
        opaque = (alpha * rgb).sum(1) / alpha.sum(1).clamp(min=torch.finfo(rgb.dtype).tiny)
        mean = torch.cat([opaque, alpha.mean(1)], -1)
    else:
        mean = rgb.mean(1)
    return mean.to(colours.dtype) if colours.is_floating_point() else mean.round().to(colours.dtype)
