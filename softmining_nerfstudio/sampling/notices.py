"""What the sampler tells a person: one line where something is not as they may expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float, Int
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from softmining_nerfstudio.mining.feedback import Seen


def of_masks(image: Int[Tensor, " new"], share: Float[Tensor, " new"], names: Sequence[str]) -> None:
    """Name the images that have no pixel to draw.

    Args:
        image: indices in the data set.
        share: fraction of each that may be drawn.
        names: of all images of the data set.
    """
    if empty := [names[int(index)] for index in image[share == 0]]:
        CONSOLE.print(f"[yellow]No ray is drawn from images whose mask is empty: {', '.join(empty)}")


def of_rays(seen: Seen, score_wanted: bool) -> None:
    """Count the rays without a finite colour, and say if walkers go without the score that they follow."""
    if broken := int((~seen.error.isfinite()).sum()):
        CONSOLE.print(f"[yellow]{broken} of {len(seen.error)} rays had no finite colour; the loss leaves them out.")
    if score_wanted and seen.score is None:
        CONSOLE.print("No gradient reaches the pixel positions through this model: mining goes on without drift.")


def of_checkpoint(state: Mapping[str, Any], images: int, sampling_type: str, rays: int) -> None:
    """Say in which respect the sampler of a checkpoint was another one.

    Args:
        state: of the checkpoint's sampler.
        images, sampling_type, rays: what this sampler has.
    """
    if state["images"] != images:
        CONSOLE.print(f"The checkpoint's sampler is for {state['images']} images, not {images}: starting anew.")
    elif sampling_type not in state["strategies"]:
        others = ", ".join(state["strategies"])
        CONSOLE.print(f"The checkpoint's sampling was {others}: starting {sampling_type} anew.")
    elif state["rays"] != rays:
        CONSOLE.print(f"The checkpoint's batches had {state['rays']} rays: going on with batches of {rays}.")
