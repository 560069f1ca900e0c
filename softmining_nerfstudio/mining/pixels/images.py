"""The images that are loaded now, as walkers see them: sizes, colours, and the area of each pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

Memo = Callable[[str, int, Callable[[], Tensor]], Tensor]
"""Gives what is known of an image under a name, or has it made."""


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


@dataclass(frozen=True)
class Images:
    """Views of the loaded images, without a copy.

    Args:
        ids: index of each loaded image in the data set.
        pixels: one tensor [images, height, width, channels], or a source that may mix sizes; float in [0, 1] or uint8;
            three channels or four (RGBA).
        masks: like `pixels` with one channel, nonzero where a pixel may be drawn; None where all may.
        equirectangular: the images are panoramas with row 0 at the pole; a pixel's area is its solid angle.
        crop_radius: radius of the circle that a fisheye lens exposes, around the middle of the image, in pixels; no
            pixel outside is drawn.
        notes: keeps what is worked out of an image, by name and index in the data set; None where nothing does.
    """

    ids: Int[Tensor, " images"]
    pixels: Tensor | Source
    masks: Tensor | Source | None = None
    equirectangular: bool = False
    crop_radius: float | None = None
    notes: Memo | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    @cached_property
    def sizes(self) -> Int[Tensor, "images 2"]:
        """Height and width of each image, pixels."""
        if isinstance(self.pixels, Tensor):
            return torch.tensor(self.pixels.shape[1:3]).expand(len(self.pixels), 2)
        return self.pixels.sizes

    @property
    def all_allowed(self) -> bool:
        """Whether every pixel may be drawn."""
        return self.masks is None and self.crop_radius is None

    def noted(self, name: str, slot: int, make: Callable[[], Tensor]) -> Tensor:
        """What `make` works out of an image, or has worked out before.

        Args:
            name: says all that it depends on besides the image, and what may be drawn of it.
        """
        if self.notes is None:
            return make()
        drawn = f"{self.masks is not None:d}{self.equirectangular:d}{self.crop_radius}"
        return self.notes(f"{name}-{drawn}", int(self.ids[slot]), make)

    def pixel_at(self, slot: Int[Tensor, " n"], yx: Float[Tensor, "n 2"]) -> Int[Tensor, "n 2"]:
        """The pixel (row, column) at each position."""
        return yx.long().minimum(self.sizes[slot] - 1)

    def grey(
        self, slot: Int[Tensor, " *#rays"], row: Int[Tensor, " *#rays"], column: Int[Tensor, " *#rays"]
    ) -> Float[Tensor, " *rays"]:
        """Brightness of single pixels, in [0, 1]."""
        return luminance(gather(self.pixels, slot, row, column)).to(slot.device)

    def allowed(
        self, slot: Int[Tensor, " *#rays"], row: Int[Tensor, " *rays"], column: Int[Tensor, " *rays"]
    ) -> Bool[Tensor, " *rays"]:
        """Which of these pixels may be drawn."""
        allowed = torch.ones_like(row, dtype=torch.bool)
        if self.masks is not None:
            allowed = gather(self.masks, slot, row, column)[..., 0].bool().to(slot.device)
        if self.crop_radius is not None:
            allowed = allowed & in_circle(row, column, self.sizes[slot], self.crop_radius)
        return allowed

    def allowed_in(self, slot: int, rows: range, columns: range) -> Bool[Tensor, "rows columns"]:
        """Which pixels of a window of one image may be drawn."""
        allowed = torch.ones(len(rows), len(columns), dtype=torch.bool)
        if self.masks is not None:
            allowed = part(self.masks, slot, rows, columns)[..., 0].cpu() != 0
        if self.crop_radius is not None:
            row, column = torch.arange(rows.start, rows.stop)[:, None], torch.arange(columns.start, columns.stop)
            allowed = allowed & in_circle(row, column, self.sizes[slot], self.crop_radius)
        return allowed

    def area(self, slot: Int[Tensor, " *#rays"], row: Int[Tensor, " *#rays"]) -> Float[Tensor, " *rays"]:
        """Solid angle of the pixels of a row, relative to the mean of the image; 1 where it is not a panorama."""
        if not self.equirectangular:
            return torch.ones(torch.broadcast_shapes(slot.shape, row.shape))
        height = self.sizes[slot][..., 0]
        # cos(row) - cos(row + 1) on [0, pi], without the difference of near equals
        return height * torch.sin(torch.pi / (2 * height)) * torch.sin(torch.pi * (row + 0.5) / height)


def in_circle(
    row: Int[Tensor, " *#pixels"], column: Int[Tensor, " *#pixels"], size: Int[Tensor, "*#pixels 2"], radius: float
) -> Bool[Tensor, " *pixels"]:
    """Whether pixel centres are within `radius` of the middle; nerfstudio puts the middle at size // 2."""
    down, right = row + 0.5 - size[..., 0] // 2, column + 0.5 - size[..., 1] // 2
    return down.square() + right.square() <= radius**2


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


def luminance(colours: Tensor) -> Float[Tensor, " *pixels"]:
    """Mean of red, green and blue in [0, 1]. RGBA is laid over white, which makes a silhouette an edge."""
    colours = colours.float() if colours.is_floating_point() else colours / 255
    grey = (colours[..., 0] + colours[..., 1] + colours[..., 2]) / 3  # `mean` over so short an axis is slower
    if colours.shape[-1] == 4:
        grey = grey * colours[..., 3] + 1 - colours[..., 3]
    return grey
