"""The images of a capture, kept somewhere: in memory here, on disk in `tiles/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from rich.console import Console

from softmining_nerfstudio.images.capture import Capture
from softmining_nerfstudio.images.filling import fill
from softmining_nerfstudio.images.pixels import Pixels


class Kept(ABC):
    """The images of a capture, kept somewhere."""

    in_memory: ClassVar[bool]

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
    in_memory = True

    def of(self, images: Sequence[int]) -> dict[str, Pixels]:
        """The layers, newly read."""
        chosen = self.capture.of(images)
        layers = chosen.layers.items()
        values = {name: torch.empty((chosen.pixels, *layer.channels), dtype=layer.dtype) for name, layer in layers}

        def put(name: str, first: int, pixels: np.ndarray) -> None:
            values[name][first : first + len(pixels)] = torch.from_numpy(pixels)

        fill(chosen, range(len(chosen)), put, lambda *_: None, self.console, "Reading images")
        return {name: Pixels(values[name], chosen.first, chosen.sizes, layer.decoding) for name, layer in layers}
