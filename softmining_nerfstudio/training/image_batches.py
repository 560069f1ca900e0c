"""The batches of whole images that pixels are drawn from: all of them, or some that change as training goes on."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from itertools import count, repeat
from typing import Any

import torch
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.utils.dataloaders import CacheDataloader
from nerfstudio.utils import comms
from nerfstudio.utils.rich_utils import CONSOLE

from softmining_nerfstudio.images.capture import ImagesError
from softmining_nerfstudio.images.keeping import KeepImages, keep
from softmining_nerfstudio.images.pixels import Pixels
from softmining_nerfstudio.images.tiles.disk import Prepare
from softmining_nerfstudio.training.capture import capture_of, foreign
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
        masked: whether masks say which pixels are drawn. Batches without any are passed over.

    Raises:
        UserError: if a file cannot be read, the images cannot be kept or moved to a GPU, or all masks are empty.
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
        masked: bool,
    ) -> None:
        self.masked, self.first = masked, dataset.image_filenames[0] if len(dataset) else None
        self.total, self.repeats, self.off_device, self.device = len(dataset), repeats, off_device, device
        self.at_once = self.total if at_once == -1 else min(at_once, self.total)
        sharing = comms.get_local_size() if "image" in off_device else 1  # each GPU needs its own
        try:
            self.kept = keep(capture_of(dataset), options, self.at_once, sharing, CONSOLE, prepare)
        except ImagesError as error:
            raise UserError(str(error)) from error
        if not self.kept.in_memory and torch.device(device).type != "cpu" and "image" not in off_device:
            CONSOLE.print("Images on disk are not moved to the GPU: --pipeline.datamanager.images-on-gpu does nothing.")
        self._all = self._next() if self.at_once == self.total else None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self._all is not None:
            yield from repeat(self._all)
        while True:
            batch = self._next()
            for _ in count() if self.repeats == -1 else range(self.repeats + 1):
                yield batch

    def _next(self) -> dict[str, Any]:
        """A batch with a pixel to draw."""
        empty: set[int] = set()
        while len(empty) < self.total:
            batch = self._load()
            if not self.masked or "mask" not in batch or _leaves_a_pixel(batch["mask"]):
                return batch
            empty.update(batch["image_idx"].tolist())
        raise UserError(
            f"{self.total} of {self.total} masks are empty (black), the first that of {self.first}; expected white "
            "where rays may go"
        )

    def _load(self) -> dict[str, Any]:
        images = random.sample(range(self.total), k=self.at_once)
        try:
            layers = self.kept.of(images)
        except ImagesError as error:
            raise UserError(str(error)) from error
        wanted = layers.keys() - {*self.off_device} if self.kept.in_memory else ()
        try:
            moved = {name: layers[name].to(self.device) for name in wanted}
        except torch.cuda.OutOfMemoryError as error:
            raise UserError(
                f"{self.at_once} images do not fit into the memory of {self.device}. Leave out "
                "--pipeline.datamanager.images-on-gpu and masks-on-gpu, or lower train-num-images-to-sample-from"
            ) from error
        return {"image_idx": torch.tensor(images), **layers, **moved}


def _leaves_a_pixel(masks: Pixels) -> bool:
    """Whether a pixel of any image may be drawn; most often the first image has one."""
    return any(bool(masks.whole(slot).any()) for slot in range(len(masks)))


def batches_of(
    manager: VanillaDataManager[Any],
    dataset: InputDataset,
    at_once: int,
    repeats: int,
    options: KeepImages,
    prepare: Prepare | None = None,
) -> ImageBatches | CacheDataloader:
    """Batches of a data set: kept as bytes where these are what its files hold, else as nerfstudio does, which it says.

    Args:
        manager: whose device it is, and whose settings count for floats and masks.
        at_once, repeats, options, prepare: as in `ImageBatches`.
    """
    excluded = manager.exclude_batch_keys_from_device
    reason = "a data set that is not this package's"
    if isinstance(dataset, SoftMiningDataset) and (reason := foreign(dataset)) is None:
        masked = not manager.config.pixel_sampler.ignore_mask
        return ImageBatches(dataset, at_once, repeats, options, excluded, manager.device, prepare, masked)
    CONSOLE.print(f"Images are kept as floats in memory, as nerfstudio does, because of {reason}.")
    return CacheDataloader(
        dataset,
        num_images_to_sample_from=at_once,
        num_times_to_repeat_images=repeats,
        device=manager.device,
        num_workers=manager.world_size * 4,
        pin_memory=True,
        collate_fn=manager.config.collate_fn,
        exclude_batch_keys_from_device=excluded,
    )
