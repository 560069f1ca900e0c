"""Values of every pixel of many images, in memory or on disk, that become what a batch holds where they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from softmining_nerfstudio.images.order import SIDE, entry, in_rows
from softmining_nerfstudio.images.readers import in_parts

Memo = Callable[[str, int, Callable[[], Tensor]], Tensor]
"""Gives what is known of an image under a name, or has it made."""


@dataclass(frozen=True)
class Colours:
    """Bytes become colours from 0 to 1 as nerfstudio has them, to the bit.

    Args:
        background: what RGBA is laid over; None where it stays RGBA.
    """

    background: Float[Tensor, " 3"] | None = None

    def __str__(self) -> str:
        return "plain" if self.background is None else "over" + ",".join(map(str, self.background.tolist()))

    def __call__(self, stored: UInt8[Tensor, "*pixels channels"]) -> Float[Tensor, "*pixels shown"]:
        """The colours of these bytes."""
        colours = stored.float() / torch.full((), 255.0, device=stored.device)  # a GPU multiplies by 1 / a plain number
        if self.background is None or stored.shape[-1] == 3:
            return colours
        alpha = colours[..., 3:]
        return colours[..., :3] * alpha + self.background.to(stored.device) * (1.0 - alpha)


@dataclass(frozen=True)
class Pixels:
    """One kind of values of all images, which may mix sizes. Looking up single pixels never copies an image."""

    values: Shaped[Tensor, "pixels ..."]
    """Image after image, each in tile order (`order.py`)."""
    first: Int[Tensor, " images"]
    """Where each image begins in `values`."""
    sizes: Int[Tensor, "images 2"]
    """Height and width of each image, pixels."""
    decoding: Colours | None = None
    """What the values become where they are read; None where they stay as they are."""
    readers: int = 1
    """Threads that look pixels up at once; more than one where they wait for a disk."""
    notes: Memo | None = None
    """Keeps what is worked out of an image; None where nothing does."""
    coarser: Pixels | None = None
    """The same images, smaller, where a single pixel takes long to be read; None where it does not."""

    def __len__(self) -> int:
        return len(self.first)

    def at(
        self, slot: Int[Tensor, " *#rays"], row: Int[Tensor, " *#rays"], column: Int[Tensor, " *#rays"]
    ) -> Shaped[Tensor, "*rays ..."]:
        """The values at single pixels of images."""
        index = self.first[slot] + entry(row, column, self.sizes[slot])
        index = index.to(self.values.device)
        read = self.values.new_empty((index.numel(), *self.values.shape[1:]))

        def look_up(part: slice) -> None:
            torch.index_select(self.values, 0, index.flatten()[part], out=read[part])

        in_parts(look_up, len(read), self.readers)
        return self._decoded(read.view(*index.shape, *self.values.shape[1:]))

    def part(self, slot: int, rows: range, columns: range) -> Shaped[Tensor, "rows columns ..."]:
        """The values at some rows and columns of one image."""
        if rows.step > 1 or columns.step > 1:
            places = (torch.arange(wanted.start, wanted.stop, wanted.step) for wanted in (rows, columns))
            row, column = torch.meshgrid(*places, indexing="ij")
            return self.at(torch.tensor(slot), row, column)
        height, width = self.sizes[slot].tolist()
        start = rows.start // SIDE * SIDE
        stop = min(-(-rows.stop // SIDE) * SIDE, height)
        first = int(self.first[slot])
        bands = [
            in_rows(self.values[first + top * width : first + min(top + SIDE, stop) * width], width)
            for top in range(start, stop, SIDE)
        ]
        whole = torch.cat(bands) if bands else self.values.new_empty((0, width, *self.values.shape[1:]))
        return self._decoded(whole[rows.start - start : rows.stop - start, columns.start : columns.stop])

    def whole(self, slot: int) -> Shaped[Tensor, "height width ..."]:
        """All values of one image."""
        height, width = self.sizes[slot].tolist()
        return self.part(slot, range(height), range(width))

    def of(self, slots: list[int]) -> Pixels:
        """Some of the images, without a copy."""
        coarser = None if self.coarser is None else self.coarser.of(slots)
        return replace(self, first=self.first[slots], sizes=self.sizes[slots], coarser=coarser)

    def to(self, device: torch.device | str) -> Pixels:
        """The same values on a device."""
        return replace(self, values=self.values.to(device))

    def _decoded(self, stored: Shaped[Tensor, "*pixels"]) -> Tensor:
        return stored if self.decoding is None else self.decoding(stored)
