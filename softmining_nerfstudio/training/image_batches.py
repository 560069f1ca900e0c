"""The batches of whole images that pixels are drawn from: all of them, or some that change as training goes on."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from itertools import count, repeat
from typing import Any

import torch
from nerfstudio.utils import comms
from nerfstudio.utils.rich_utils import CONSOLE

from softmining_nerfstudio.images.capture import ImagesError
from softmining_nerfstudio.images.keeping import KeepImages, keep
from softmining_nerfstudio.images.tiles.disk import Prepare
from softmining_nerfstudio.training.capture import capture_of
from softmining_nerfstudio.training.dataset import SoftMiningDataset
from softmining_nerfstudio.training.errors import UserError


class ImageBatches:
    """Chosen as nerfstudio's CacheDataloader does, by the same random numbers.

    Args:
        dataset: its files have been checked.
        at_once: images of a batch; -1 for all.
        repeats: times that a batch is used again; -1 to never change it.
        options: where the images are kept.
        off_device: layers that stay off the device, as all do that are kept on disk.
        prepare: works out what is kept of an image on disk.

    Raises:
        UserError: if a file cannot be read, or the images cannot be kept.
    """

    def __init__(
        self,
        dataset: SoftMiningDataset,
        at_once: int,
        repeats: int,
        options: KeepImages,
        off_device: Collection[str],
        device: torch.device | str,
        prepare: Prepare | None,
    ) -> None:
        self.total, self.repeats, self.off_device, self.device = len(dataset), repeats, off_device, device
        self.at_once = self.total if at_once == -1 else min(at_once, self.total)
        sharing = comms.get_local_size() if "image" in off_device else 1  # each GPU needs its own
        try:
            self.kept = keep(capture_of(dataset), options, self.at_once, sharing, CONSOLE, prepare)
        except ImagesError as error:
            raise UserError(str(error)) from error
        self._all = self._load() if self.at_once == self.total else None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self._all is not None:
            yield from repeat(self._all)
        while True:
            batch = self._load()
            for _ in count() if self.repeats == -1 else range(self.repeats + 1):
                yield batch

    def _load(self) -> dict[str, Any]:
        images = random.sample(range(self.total), k=self.at_once)
        try:
            layers = self.kept.of(images)
        except ImagesError as error:
            raise UserError(str(error)) from error
        wanted = layers.keys() - {*self.off_device} if self.kept.in_memory else ()
        moved = {name: layers[name].to(self.device) for name in wanted}
        return {"image_idx": torch.tensor(images), **layers, **moved}
