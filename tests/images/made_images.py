"""Images made in code, kept as a capture."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from softmining_nerfstudio.images.capture import Capture, Layer
from softmining_nerfstudio.images.kept import InMemory
from softmining_nerfstudio.images.pixels import Colours, Pixels

SIZES = [(60, 80), (41, 17), (3, 5), (1, 1), (64, 96)]
QUIET = Console(quiet=True)


def images_of(sizes: Sequence[tuple[int, int]] = SIZES, channels: int = 3) -> list[Tensor]:
    """Random bytes."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(256, (*size, channels), generator=generator, dtype=torch.uint8) for size in sizes]


def capture_of(
    images: list[Tensor], files: Sequence[Path] = (), background: Tensor | None = None, masked: bool = True
) -> Capture:
    """A capture of colours and, of their first channel, a mask."""

    def read(image: int) -> dict:
        colours, mask = images[image].numpy(), (images[image][..., :1] > 127).numpy()
        return {"image": lambda first, last: colours[first:last], "mask": lambda first, last: mask[first:last]}

    layers = {"image": Layer(torch.uint8, (images[0].shape[-1],), Colours(background))}
    if masked:
        layers["mask"] = Layer(torch.bool, (1,))
    return Capture(
        sizes=torch.tensor([image.shape[:2] for image in images]),
        layers=layers,
        files=[[file] for file in files] or [[] for _ in images],
        read=read,
        settings="made",
    )


def in_memory(images: list[Tensor], background: Tensor | None = None) -> Pixels:
    """Their colours."""
    return InMemory(capture_of(images, background=background), QUIET).of(range(len(images)))["image"]
