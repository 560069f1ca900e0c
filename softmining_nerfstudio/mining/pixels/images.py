"""The images that are loaded now, as walkers see them: sizes, colours, and the area of each pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.pixels.values import Source, gather, part

Memo = Callable[[str, int, Callable[[], Tensor]], Tensor]
"""Gives what is known of an image under a name, or has it made."""


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
        coarser: the same images, smaller, where a single pixel takes long to be read: edges and wide footprints are
            looked up there. None where it does not, or where not all pixels may be drawn.
    """

    ids: Int[Tensor, " images"]
    pixels: Tensor | Source
    masks: Tensor | Source | None = None
    equirectangular: bool = False
    crop_radius: float | None = None
    notes: Memo | None = None
    coarser: Images | None = None

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
            name: distinguishes whatever the result depends on, besides the image and what may be drawn of it.
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
            row, column = (torch.arange(of.start, of.stop, of.step) for of in (rows, columns))
            allowed = allowed & in_circle(row[:, None], column, self.sizes[slot], self.crop_radius)
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


def luminance(colours: Tensor) -> Float[Tensor, " *pixels"]:
    """Mean of red, green and blue in [0, 1]. RGBA is laid over white, which makes a silhouette an edge."""
    colours = colours.float() if colours.is_floating_point() else colours / 255
    grey = (colours[..., 0] + colours[..., 1] + colours[..., 2]) / 3  # `mean` over so short an axis is slower
    if colours.shape[-1] == 4:
        grey = grey * colours[..., 3] + 1 - colours[..., 3]
    return grey
