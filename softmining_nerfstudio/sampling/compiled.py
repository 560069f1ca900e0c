"""The two lookups of `mining` that cost most, compiled: contrast at candidates for edges, and colours of footprints.

They have the numbers of the torch code, to rounding. That code goes on where there is no numba, for images on a GPU,
of other types than float32, and where masks or a lens hide pixels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from softmining_nerfstudio.encodings.compiling import compiled
from softmining_nerfstudio.mining.footprint import SAMPLES, Footprint
from softmining_nerfstudio.mining.pixels.edge_strength import GOLDEN_ANGLE, MIN_CONTRAST, OFFSETS, REACH, TURN, Contrast
from softmining_nerfstudio.mining.pixels.images import Images, Packed
from softmining_nerfstudio.mining.recipes import Recipe

NUMBERS = np.arange(OFFSETS)
DIRECTIONS = np.stack([np.sin(GOLDEN_ANGLE * NUMBERS), np.cos(GOLDEN_ANGLE * NUMBERS)], -1)


def with_compiled_lookups(recipe: Recipe) -> Recipe:
    """The same recipe, with compiled lookups where it has them."""
    edge_strength = COMPILED_CONTRAST if isinstance(recipe.edge_strength, Contrast) else recipe.edge_strength
    return replace(recipe, edge_strength=edge_strength, footprint=CompiledFootprint(recipe.footprint.coverage))


class CompiledContrast(Contrast):
    """Contrast of single pixels by a compiled loop."""

    def at(
        self,
        images: Images,
        slot: Int[Tensor, " *#pixels"],
        row: Int[Tensor, " *pixels"],
        column: Int[Tensor, " *pixels"],
    ) -> Float[Tensor, " *pixels"]:
        """As in torch."""
        listed = _listed(images) if row.ndim == 2 and slot.shape == (len(row), 1) else None
        if listed is None:
            return super().at(images, slot, row, column)
        out = torch.empty(row.shape)
        places = (slot[:, 0].contiguous().numpy(), row.contiguous().numpy(), column.contiguous().numpy())
        spiral = (REACH, TURN, DIRECTIONS, NUMBERS / (OFFSETS - 1))
        _loops().contrast(*listed, *places, *spiral, np.float32(MIN_CONTRAST), out.numpy())
        return out


class CompiledFootprint(Footprint):
    """Footprints by a compiled loop."""

    def colours(
        self,
        images: Images,
        slot: Int[Tensor, " n"],
        pixel: Int[Tensor, "n 2"],
        side: Float[Tensor, " n"],
        generator: torch.Generator,
    ) -> Shaped[Tensor, "n channels"]:
        """As in torch, by the same random numbers."""
        listed = _listed(images)
        if listed is None:
            return super().colours(images, slot, pixel, side, generator)
        jitter = torch.rand((len(slot), SAMPLES**2, 2), generator=generator)
        out = torch.empty(len(slot), listed[0].shape[1])
        rays = (slot.contiguous().numpy(), pixel.contiguous().numpy(), side.contiguous().numpy(), jitter.numpy())
        _loops().footprints(*listed, *rays, SAMPLES, out.numpy())
        return out


COMPILED_CONTRAST = CompiledContrast()


def _loops() -> Any:
    return compiled("softmining_nerfstudio.sampling.kernels")


def _listed(images: Images) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """All pixels of the images in one list, where each image begins in it, and sizes; None for the torch code's."""
    pixels = images.pixels
    values = pixels.values if isinstance(pixels, Packed) else pixels
    usable = values.dtype == torch.float32 and values.device.type == "cpu" and values.is_contiguous()
    if not usable or not images.all_allowed or _loops() is None:
        return None
    if isinstance(pixels, Packed):
        first = pixels.first
    else:
        values, first = values.flatten(0, 2), torch.arange(len(pixels)) * (pixels.shape[1] * pixels.shape[2])
    return values.numpy(), first.contiguous().numpy(), images.sizes.contiguous().numpy()
