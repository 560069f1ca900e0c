"""Footprints: a ray is compared with the mean colour of as much of the image as it stands for.

The rays of a training are samples of its images. While they are few, detail that is finer than the distance between
them teaches nothing: it is the noise of aliasing, in the loss and in the error that walkers follow. So the images are
filtered before they are sampled, as in all signal processing, each ray's colour being the mean over a square of

    side = sqrt(coverage * spread * pixels of the image / rays so far)     pixels

around its pixel, which narrows as rays accumulate. Once `coverage` rays have been drawn for every pixel that they go to
of one image, it is the pixel alone; a training that ends before that has not had the rays to tell finer detail. One
image counts, not all of them, because they show the same scene: what the rays of one view tell, those of the others
need not. And of that image the fraction counts on which the error is (`spread.py`), as mined rays hardly go elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from softmining_nerfstudio.mining.images import Images, gather

SAMPLES = 4
"""Pixels looked at along each side of a footprint: the mean is estimated, at the same cost for any side."""


@dataclass(frozen=True)
class Footprint:
    """How wide the footprints are.

    Raises:
        ValueError: if the coverage is negative or not finite.
    """

    coverage: float
    """Rays for every pixel that they go to of one image, until a ray's colour is that of its pixel alone; 0: from the
    start."""

    def __post_init__(self) -> None:
        if not 0 <= self.coverage < float("inf"):
            raise ValueError(f"coverage is {self.coverage}; expected a finite number of rays per pixel, at least 0")

    def side(self, size: Int[Tensor, "n 2"], rays: int | float, spread: float) -> Float[Tensor, " n"]:
        """The equation above.

        Args:
            size: height and width of each ray's image, pixels.
            rays: drawn so far, of all images.
            spread: fraction of the images that the rays go to.
        """
        return (self.coverage * spread * size.prod(-1) / rays).sqrt()


def colours_around(
    images: Images,
    slot: Int[Tensor, " n"],
    pixel: Int[Tensor, "n 2"],
    side: Float[Tensor, " n"],
    generator: torch.Generator,
) -> Shaped[Tensor, "n channels"]:
    """The mean colour of each footprint, of what is in the image and may be drawn; up to side 1, the pixel's own."""
    across = torch.arange(SAMPLES)
    cell = torch.cartesian_prod(across, across)
    jittered = (cell + torch.rand((len(slot), *cell.shape), generator=generator)) / SAMPLES - 0.5
    place = (pixel[:, None] + 0.5 + side[:, None, None] * jittered).floor().long()
    inside = ((place >= 0) & (place < images.sizes[slot][:, None])).all(-1, keepdim=True)
    place = torch.where(inside, place, pixel[:, None])
    counts = inside[..., 0] & images.allowed(slot[:, None], *place.unbind(-1))
    nothing = ~counts.any(-1, keepdim=True)
    place, counts = torch.where(nothing[..., None], pixel[:, None], place), counts | nothing
    return mean_colour(gather(images.pixels, slot[:, None], *place.unbind(-1)), counts)


def mean_colour(
    colours: Shaped[Tensor, "n samples channels"], counts: Bool[Tensor, "n samples"]
) -> Shaped[Tensor, "n channels"]:
    """The mean over those samples that count, of which there are some; RGBA so that it blends as the samples would."""
    rgb, alpha = colours[..., :3].float(), colours[..., 3:].float()
    weight = counts.to(rgb)[..., None]
    opacity = weight * alpha if alpha.shape[-1] else weight
    mean = (opacity * rgb).sum(1) / opacity.sum(1).clamp(min=torch.finfo(rgb.dtype).tiny)
    mean = torch.cat([mean, (weight * alpha).sum(1) / weight.sum(1)], -1)
    return mean.to(colours.dtype) if colours.is_floating_point() else mean.round().to(colours.dtype)
