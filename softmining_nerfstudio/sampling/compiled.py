"""The two lookups of `mining` that cost most, compiled: contrast at candidates for edges, and colours of footprints.

They give the numbers of the torch code, up to rounding. The torch code runs where numba is missing, on a GPU, for
pixels that are neither float32 nor colours kept as bytes, and where masks or a lens hide pixels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from softmining_nerfstudio.encodings.compiling import compiled
from softmining_nerfstudio.images.order import SHIFT
from softmining_nerfstudio.images.pixels import Pixels
from softmining_nerfstudio.images.readers import in_parts
from softmining_nerfstudio.mining.footprint import SAMPLES, Footprint
from softmining_nerfstudio.mining.pixels.edge_strength import GOLDEN_ANGLE, MIN_CONTRAST, OFFSETS, REACH, TURN, Contrast
from softmining_nerfstudio.mining.pixels.images import Images
from softmining_nerfstudio.mining.pixels.values import Packed
from softmining_nerfstudio.mining.recipes import Recipe

NUMBERS = np.arange(OFFSETS)
BY_ROWS = 40
"""log2 of the side of a square that holds any image."""
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

        def look_up(part: slice) -> None:
            here = (place[part] for place in places)
            _loops().contrast(*listed, *here, *spiral, np.float32(MIN_CONTRAST), out.numpy()[part])

        in_parts(look_up, len(row), _readers(images))
        return out


class CompiledFootprint(Footprint):
    """Footprints by a compiled loop."""

    def _means(
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
            return super()._means(images, slot, pixel, side, generator)
        jitter = torch.rand((len(slot), SAMPLES**2, 2), generator=generator)
        out = torch.empty(len(slot), 3 if len(listed[-1]) else listed[0].shape[1])
        rays = (slot.contiguous().numpy(), pixel.contiguous().numpy(), side.contiguous().numpy(), jitter.numpy())

        def look_up(part: slice) -> None:
            _loops().footprints(*listed, *(ray[part] for ray in rays), SAMPLES, out.numpy()[part])

        in_parts(look_up, len(slot), _readers(images))
        return out


COMPILED_CONTRAST = CompiledContrast()


def _loops() -> Any:
    return compiled("softmining_nerfstudio.sampling.kernels")


def _readers(images: Images) -> int:
    """Threads that look pixels up at once."""
    return images.pixels.readers if isinstance(images.pixels, Pixels) else 1


def _listed(images: Images) -> tuple[Any, ...] | None:
    """How the loops see the images (kernels.py says what each entry is); None where the torch code looks them up."""
    pixels, kept = images.pixels, (BY_ROWS, np.float32(1), np.zeros(0, np.float32))
    if isinstance(pixels, Tensor):
        values, first = pixels, torch.arange(len(pixels)) * (pixels.shape[1] * pixels.shape[2])
    elif isinstance(pixels, Packed):
        values, first = pixels.values, pixels.first
    elif isinstance(pixels, Pixels) and pixels.decoding is not None:
        values, first, over = pixels.values, pixels.first, pixels.decoding.background
        kept = (SHIFT, np.float32(255), np.zeros(0, np.float32) if over is None else over.float().cpu().numpy())
    else:
        return None
    usable = values.dtype == (torch.uint8 if isinstance(pixels, Pixels) else torch.float32)
    usable = usable and values.device.type == "cpu" and values.is_contiguous() and images.all_allowed
    if not usable or _loops() is None:
        return None
    listed = values.flatten(0, -2).numpy()
    return listed, first.contiguous().numpy(), images.sizes.contiguous().numpy(), *kept
