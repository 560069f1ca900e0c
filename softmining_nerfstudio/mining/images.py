"""The images that are loaded now, as the walkers see them: sizes, colours and which pixels may be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Images:
    """Views of the loaded images; nothing is copied.

    Args:
        ids: index of each loaded image in the data set.
        pixels: one tensor [images, height, width, channels], or a list of [height, width, channels] of mixed sizes;
            float in [0, 1] or uint8; three channels or four (RGBA).
        masks: like `pixels` with one channel, nonzero where a pixel may be drawn; None where all may.
    """

    ids: Int[Tensor, " images"]
    pixels: Tensor | Sequence[Tensor]
    masks: Tensor | Sequence[Tensor] | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    @cached_property
    def sizes(self) -> Int[Tensor, "images 2"]:
        """Height and width of each image, pixels."""
        if isinstance(self.pixels, Tensor):
            return torch.tensor(self.pixels.shape[1:3]).expand(len(self.pixels), 2)
        return torch.tensor([image.shape[:2] for image in self.pixels])

    def grey(
        self, slot: Int[Tensor, " *rays"], row: Int[Tensor, " *rays"], column: Int[Tensor, " *rays"]
    ) -> Float[Tensor, " *rays"]:
        """Brightness of single pixels, in [0, 1]."""
        return luminance(gather(self.pixels, slot, row, column)).to(slot.device)

    def allowed(
        self, slot: Int[Tensor, " *rays"], row: Int[Tensor, " *rays"], column: Int[Tensor, " *rays"]
    ) -> Bool[Tensor, " *rays"]:
        """Which of these pixels the masks leave in."""
        if self.masks is None:
            return torch.ones_like(slot, dtype=torch.bool)
        return gather(self.masks, slot, row, column)[..., 0].bool().to(slot.device)


def gather(
    values: Tensor | Sequence[Tensor],
    slot: Int[Tensor, " *rays"],
    row: Int[Tensor, " *rays"],
    column: Int[Tensor, " *rays"],
) -> Tensor:
    """The values [*rays, ...] at single pixels of a stack, or of a list, of images."""
    if isinstance(values, Tensor):
        return values[slot, row, column]
    found = torch.empty((*slot.shape, *values[0].shape[2:]), dtype=values[0].dtype, device=values[0].device)
    for image in slot.unique().tolist():
        here = slot == image
        found[here] = values[image][row[here], column[here]]
    return found


def luminance(colours: Tensor) -> Float[Tensor, " *pixels"]:
    """Mean of red, green and blue in [0, 1]; RGBA is laid over white, so that a silhouette is an edge."""
    colours = colours.float() if colours.is_floating_point() else colours / 255
    grey = colours[..., :3].mean(-1)
    if colours.shape[-1] == 4:
        grey = grey * colours[..., 3] + 1 - colours[..., 3]
    return grey
