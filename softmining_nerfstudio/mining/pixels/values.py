"""Values of every pixel of images, looked up pixel by pixel or window by window, however they are kept.

They are a tensor [images, height, width, ...], or a `Source`, whose images may differ in size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int, Shaped
from torch import Tensor


@runtime_checkable
class Source(Protocol):
    """Values of every pixel of images, wherever and however they are kept."""

    @property
    def sizes(self) -> Int[Tensor, "images 2"]:
        """Height and width of each image, pixels."""
        ...

    def __len__(self) -> int:
        """Number of images."""
        ...

    def at(
        self, slot: Int[Tensor, " *#rays"], row: Int[Tensor, " *#rays"], column: Int[Tensor, " *#rays"]
    ) -> Shaped[Tensor, "*rays ..."]:
        """The values at single pixels of images."""
        ...

    def part(self, slot: int, rows: range, columns: range) -> Shaped[Tensor, "rows columns ..."]:
        """The values at some rows and columns of one image."""
        ...


@dataclass(frozen=True)
class Packed:
    """Images of mixed sizes, one after the other in one tensor. One lookup serves pixels of many images."""

    values: Shaped[Tensor, "pixels ..."]
    first: Int[Tensor, " images"]
    """Where each image begins in `values`."""
    sizes: Int[Tensor, "images 2"]
    """Height and width of each image, pixels."""

    @staticmethod
    def move(images: list[Tensor]) -> Packed:
        """Pack images [height, width, channels], and make the list's entries views of the packed ones.

        Image by image: each one's memory is freed before the next is copied, so that nothing is held twice.

        Raises:
            ValueError: if the images differ in their channels.
        """
        channels = {tuple(image.shape[2:]) for image in images}
        if len(channels) > 1:
            raise ValueError(
                f"images of mixed sizes have different channels, {sorted(channels)}; if some are RGBA, set a "
                "background colour in the data parser (alpha_color), or convert them"
            )
        sizes = torch.tensor([image.shape[:2] for image in images])
        last = sizes.prod(-1).cumsum(0)
        packed = Packed(images[0].new_empty((int(last[-1]), *images[0].shape[2:])), last - sizes.prod(-1), sizes)
        for slot, image in enumerate(images):
            packed[slot].copy_(image)
            images[slot] = packed[slot]
        return packed

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, slot: int) -> Shaped[Tensor, "height width ..."]:
        height, width = self.sizes[slot].tolist()
        first = int(self.first[slot])
        return self.values[first : first + height * width].unflatten(0, (height, width))

    def at(
        self, slot: Int[Tensor, " *#rays"], row: Int[Tensor, " *#rays"], column: Int[Tensor, " *#rays"]
    ) -> Shaped[Tensor, "*rays ..."]:
        """The values at single pixels of images."""
        return select(self.values, self.first[slot] + row * self.sizes[slot][..., 1] + column)

    def part(self, slot: int, rows: range, columns: range) -> Shaped[Tensor, "rows columns ..."]:
        """The values at some rows and columns of one image, without a copy."""
        return part(self[slot][None], 0, rows, columns)


def gather(
    values: Tensor | Source,
    slot: Int[Tensor, " *#rays"],
    row: Int[Tensor, " *#rays"],
    column: Int[Tensor, " *#rays"],
) -> Tensor:
    """The values [*rays, ...] at single pixels of images."""
    if not isinstance(values, Tensor):
        return values.at(slot, row, column)
    strides = by_image, by_row, by_column = values.stride()[:3]
    if not by_column or by_image % by_column or by_row % by_column:  # no list of pixels in memory
        return values[slot, row, column]
    last = sum((n - 1) * stride for n, stride in zip(values.shape[:3], strides, strict=True))
    pixels = values.as_strided((last // by_column + 1, *values.shape[3:]), values.stride()[2:])
    return select(pixels, slot * (by_image // by_column) + row * (by_row // by_column) + column)


def part(values: Tensor | Source, slot: int, rows: range, columns: range) -> Shaped[Tensor, "rows columns ..."]:
    """The values at some rows and columns of one image."""
    if not isinstance(values, Tensor):
        return values.part(slot, rows, columns)
    return values[slot, rows.start : rows.stop : rows.step, columns.start : columns.stop : columns.step]


def select(pixels: Shaped[Tensor, "pixels ..."], index: Int[Tensor, " *rays"]) -> Shaped[Tensor, "*rays ..."]:
    """The pixels of these numbers."""
    return pixels.index_select(0, index.flatten().to(pixels.device)).unflatten(0, index.shape)  # faster than [index]


def per_pixel(values: object, sizes: Int[Tensor, "images 2"]) -> bool:
    """Whether `values`, a stack, a list of tensors or a source, hold something for each pixel of images of these
    sizes."""
    if isinstance(values, Source):
        return torch.equal(values.sizes, sizes)
    if isinstance(values, Tensor):
        shape = torch.tensor(values.shape[1:3])
        return values.ndim >= 3 and len(values) == len(sizes) and bool((sizes == shape).all())
    if not isinstance(values, list) or len(values) != len(sizes):
        return False
    return all(isinstance(v, Tensor) and [*v.shape[:2]] == size for v, size in zip(values, sizes.tolist(), strict=True))
