"""Keep the images of a capture, and say where."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.filesize import decimal

from softmining_nerfstudio.images.capture import Capture, ImagesError
from softmining_nerfstudio.images.filling import fill
from softmining_nerfstudio.images.memory import GB, SHARE, available
from softmining_nerfstudio.images.pixels import Pixels


@dataclass(frozen=True)
class KeepImages:
    """Where the images are while a model trains on them: in memory, a byte a channel.

    Raises:
        ValueError: if the budget is negative or no number.
    """

    memory_gb: float | None = None
    """Memory for the images of one split and process, GB. By default 40 % of what is free."""

    def __post_init__(self) -> None:
        if self.memory_gb is not None and not 0 <= self.memory_gb < float("inf"):
            raise ValueError(f"memory_gb is {self.memory_gb}; expected a number of gigabytes, at least 0")

    def budget(self, processes: int = 1) -> float:
        """Bytes.

        Args:
            processes: that keep images on this machine.
        """
        return SHARE * available() / processes if self.memory_gb is None else self.memory_gb * GB


class Kept(ABC):
    """The images of a capture, kept somewhere."""

    @abstractmethod
    def of(self, images: Sequence[int]) -> dict[str, Pixels]:
        """Every layer of some of the images, in that order.

        Raises:
            ImagesError: if they cannot be kept.
            Exception: what reading their files raised.
        """


@dataclass(frozen=True)
class InMemory(Kept):
    """Bytes in one buffer for each layer, read when somebody asks for them."""

    capture: Capture
    console: Console

    def of(self, images: Sequence[int]) -> dict[str, Pixels]:
        """The layers, newly read."""
        chosen = self.capture.of(images)
        layers = chosen.layers.items()
        values = {name: torch.empty((chosen.pixels, *layer.channels), dtype=layer.dtype) for name, layer in layers}

        def put(name: str, first: int, pixels: np.ndarray) -> None:
            values[name][first : first + len(pixels)] = torch.from_numpy(pixels)

        fill(chosen, range(len(chosen)), put, lambda *_: None, self.console, "Reading images")
        return {name: Pixels(values[name], chosen.first, chosen.sizes, layer.decoding) for name, layer in layers}


def keep(capture: Capture, options: KeepImages, most: int, processes: int, console: Console) -> Kept:
    """Say in a line how many bytes go where, and refuse what does not fit.

    Args:
        most: images that are used at once; in memory, only these are held.
        processes: that keep images on this machine.

    Raises:
        ImagesError: if they do not fit.
    """
    needed, budget = capture.bytes * most // max(1, len(capture)), options.budget(processes)
    if needed <= budget:
        amount, of = decimal(needed), decimal(int(budget))
        console.print(f"Keeping {most} images in memory: {amount} of at most {of}.", highlight=False)
        return InMemory(capture, console)
    raise ImagesError(
        f"{most} images take {decimal(needed)} of memory; expected at most {decimal(int(budget))}. "
        "--pipeline.datamanager.images.memory-gb sets another limit."
    )
