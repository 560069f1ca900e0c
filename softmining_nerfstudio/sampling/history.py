"""Where the rays of the last steps went, and what errors they saw: for the viewer and TensorBoard."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from nerfstudio.utils.colormaps import apply_float_colormap
from torch import Tensor

from softmining_nerfstudio.mining.feedback import Seen
from softmining_nerfstudio.mining.pixels.cells import GRID, cell_of

MOST_RAYS = 2**18
"""Rays to look back on."""
LONGEST = 2000
"""Entries of a curve over steps. When there are more, the older half is thinned out."""


class History:
    """Keeps what training made anyway; computes nothing until somebody asks."""

    def __init__(self) -> None:
        self._seen: deque[Seen] = deque()
        self._rays = 0
        self._curves: list[tuple[int, dict[str, float]]] = []

    def add(self, seen: Seen) -> None:
        """Remember what the rays of a step saw."""
        self._seen.append(seen)
        self._rays += len(seen.image)
        while self._rays > MOST_RAYS and len(self._seen) > 1:
            self._rays -= len(self._seen.popleft().image)

    def __bool__(self) -> bool:
        return bool(self._seen)

    def add_statistics(self, step: int, statistics: Mapping[str, float | Tensor]) -> None:
        """Remember the numbers of a step."""
        self._curves.append((step, {name: float(value) for name, value in statistics.items()}))
        if len(self._curves) > LONGEST:
            half = LONGEST // 2
            self._curves = self._curves[:half:2] + self._curves[half:]

    def curve(self, name: str) -> tuple[list[int], list[float]]:
        """Steps, and the number of that name at each."""
        known = [(step, statistics[name]) for step, statistics in list(self._curves) if name in statistics]
        return [step for step, _ in known], [value for _, value in known]

    def names(self) -> list[str]:
        """Of the curves."""
        return list(dict.fromkeys(name for _, statistics in list(self._curves) for name in statistics))

    def of_image(self, image: int) -> Int[Tensor, "grid grid"]:
        """Number of rays in each cell of an image."""
        counts = torch.zeros(GRID * GRID, dtype=torch.long)
        for seen in list(self._seen):
            here = seen.image == image
            row, column = cell_of(seen.yx[here].long(), seen.size[here]).clamp(max=GRID - 1).unbind(-1)
            counts.index_add_(0, row * GRID + column, torch.ones_like(row))
        return counts.view(GRID, GRID)

    def per_image(self, num_images: int) -> Float[Tensor, " images"]:
        """Mean error that the rays of each image saw; NaN where there was none."""
        counts, errors = torch.zeros(num_images), torch.zeros(num_images)
        for seen in list(self._seen):
            finite = seen.error.isfinite()
            counts.index_add_(0, seen.image[finite], torch.ones(int(finite.sum())))
            errors.index_add_(0, seen.image[finite], seen.error[finite].float())
        return errors / counts


def heat_map(counts: Int[Tensor, "grid grid"], height: int, width: int) -> Float[Tensor, "height width 3"]:
    """The rays of each cell as a picture of the image's size: black where there was none."""
    relative = counts.float() / counts.max().clamp(min=1)
    row, column = (cell_of(torch.arange(size), torch.tensor(size)) for size in (height, width))
    return apply_float_colormap(relative[row][:, column, None], "inferno")


def over_white(picture: Float[Tensor, "height width channels"]) -> Float[Tensor, "height width 3"]:
    """An image, laid over white if it is RGBA."""
    alpha = picture[..., 3:] if picture.shape[-1] == 4 else 1
    return picture[..., :3] * alpha + 1 - alpha


def with_walkers(
    picture: Float[Tensor, "height width 3"], yx: Float[Tensor, "n 2"], error: Float[Tensor, " n"]
) -> Float[Tensor, "height width 3"]:
    """A dimmed picture with the living walkers on it, coloured by error."""
    picture = picture * 0.4
    alive = yx.isfinite().all(-1)
    size = torch.tensor(picture.shape[:2])
    for offset in torch.cartesian_prod(torch.arange(-1, 2), torch.arange(-1, 2)):
        row, column = (yx[alive].long() + offset).clamp(min=0).minimum(size - 1).unbind(-1)
        picture[row, column] = error_colours(error[alive])
    return picture


def error_colours(error: Float[Tensor, " n"]) -> Float[Tensor, "n 3"]:
    """Colours of errors, relative to the largest; one that is not known yet has that of no error."""
    known = error.nan_to_num(0)
    if not len(known):  # which the colour map refuses
        return torch.zeros(0, 3)
    return apply_float_colormap((known / known.max().clamp(min=1e-6))[:, None], "turbo")
