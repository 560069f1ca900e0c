"""nerfstudio's batch of whole images, prepared once for all the steps that draw pixels from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int, Shaped
from nerfstudio.data.pixel_samplers import PixelSamplerConfig
from torch import Tensor

from softmining_nerfstudio.images.pixels import Pixels
from softmining_nerfstudio.mining.pixels.images import Images
from softmining_nerfstudio.mining.pixels.values import Packed, Source, gather, per_pixel


@dataclass(frozen=True)
class ImageBatch:
    """A batch of whole images, and the views of it that a sampler needs."""

    batch: dict
    images: Images
    values: dict[str, Tensor | Source]
    """What the batch holds for each pixel, by key."""

    @staticmethod
    def of(batch: dict, config: PixelSamplerConfig) -> ImageBatch:
        """Prepare a batch. Lists of images of mixed sizes are packed; their entries become views. Sources stay as they
        are.

        Raises:
            ValueError: if a mask is not of the size of its image.
        """
        sizes = _sizes(batch["image"])
        values: dict[str, Tensor | Source] = {
            key: Packed.move(value) if isinstance(value, list) else value
            for key, value in batch.items()
            if per_pixel(value, sizes)
        }
        masked = not config.ignore_mask and batch.get("mask") is not None
        if masked and "mask" not in values:
            raise ValueError("the masks do not have the size of their images")
        images = Images(
            ids=torch.as_tensor(batch["image_idx"]).cpu(),
            pixels=values["image"],
            masks=values["mask"] if masked else None,
            equirectangular=bool(config.is_equirectangular),
            crop_radius=None if config.is_equirectangular else config.fisheye_crop_radius,
        )
        if isinstance(pixels := batch["image"], Pixels):
            images = replace(images, notes=pixels.notes, coarser=_coarser(images, pixels))
        return ImageBatch(dict(batch), images, values)

    def at(
        self,
        slot: Int[Tensor, " rays"],
        pixel: Int[Tensor, "rays 2"],
        colours: Shaped[Tensor, "rays channels"] | None = None,
    ) -> dict[str, Any]:
        """A batch of these pixels, as nerfstudio's own, with `indices` (image, row, column).

        Args:
            colours: in place of the pixels' own.
        """
        row, column = pixel.unbind(-1)
        held = {
            key: colours if key == "image" and colours is not None else gather(values, slot, row, column)
            for key, values in self.values.items()
        }
        return {**held, "indices": torch.stack([self.images.ids[slot], row, column], -1)}


def same(one: dict, other: dict) -> bool:
    """Whether two batches of whole images hold the very same things."""
    return one.keys() == other.keys() and all(value is other[key] for key, value in one.items())


def _sizes(pixels: Tensor | Source | list[Tensor]) -> Int[Tensor, "images 2"]:
    """Height and width of each image, pixels."""
    if isinstance(pixels, Source):
        return pixels.sizes
    shapes = [pixels.shape[1:3]] * len(pixels) if isinstance(pixels, Tensor) else [i.shape[:2] for i in pixels]
    return torch.tensor(shapes)


def _coarser(images: Images, pixels: Pixels) -> Images | None:
    """The same images, smaller, where there are such."""
    return replace(images, pixels=pixels.coarser) if pixels.coarser is not None and images.all_allowed else None
