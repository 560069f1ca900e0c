"""nerfstudio's data set of images, with errors that name the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from pathlib import Path
from traceback import walk_tb
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch
from nerfstudio.data.datasets.base_dataset import InputDataset
from numpy.typing import NDArray
from PIL import ExifTags, Image

from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.parsing import hint

Size = tuple[int, int]
"""Width and height, pixels."""

Dataset = TypeVar("Dataset", bound=InputDataset)


class SoftMiningDataset(InputDataset):
    """Images and masks, with errors that name the file. As a mixin before another data set, it names that one's
    files.

    Raises:
        UserError: if nerfstudio cannot have the network that guesses depth maps, where there are none.
    """

    channels = 3
    """Of the images, once `check_files` has seen them: 4 if one of them is RGBA."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        try:
            super().__init__(*arguments, **options)
        except Exception as error:  # the hub raises RuntimeError, OSError, ImportError ...
            if "torch.hub" not in {frame.f_globals.get("__name__") for frame, _ in walk_tb(error.__traceback__)}:
                raise
            reason = " ".join(str(error).split())
            raise UserError(
                "there are no depth maps, and nerfstudio cannot have the network that guesses them: "
                f"{reason.rstrip('.') or type(error).__name__}. Expected a depth_file_path for each frame, or a "
                "connection. The method softmining needs neither."
            ) from error

    def check_files(self, slack: int) -> None:
        """Compare every image with its camera and with the other images, by their headers.

        Args:
            slack: pixels by which a size may differ, because it was rounded elsewhere. The camera then takes the
                size of its image.

        Raises:
            UserError: if a file is missing or cannot be read, has other colours or another size than expected.
        """
        gone = [path for path in self.image_filenames if not path.exists()]
        if len(gone) > 1:
            raise UserError(
                f"{len(gone)} of {len(self)} images are not there, the first {gone[0]}. {hint(gone[0])}".rstrip()
                + " Expected a file for each frame. instant-ngp-data skips frames that have none."
            )
        modes: dict[str, Path] = {}
        sizes = []
        for index, (name, *others) in enumerate(self.files()):
            for other in others:
                if not other.exists():
                    raise UserError(f"{other}: no such file. It goes with {name}. {hint(other)}".rstrip())
            try:
                with Image.open(name) as image:
                    size, mode = image.size, image.mode
            except Exception as error:  # PIL raises OSError, SyntaxError, struct.error ...
                self._refuse(index, error)
            self._require_kind(index, mode)
            sizes.append(self._loaded(size))
            self._require_size(index, sizes[-1], slack)
            modes.setdefault("RGBA" if mode == "RGBA" else "RGB", name)
        if len(modes) > 1 and self._dataparser_outputs.alpha_color is None:
            raise UserError(
                f"{modes['RGBA']} has an alpha channel (RGBA), and {modes['RGB']} has none. Expected one kind."
            )
        self.channels = 4 if "RGBA" in modes else 3
        if sizes:
            self.cameras.width, self.cameras.height = torch.tensor(sizes).to(self.cameras.width).split(1, dim=1)
        if self.reads_more:  # a depth image takes the size of these cameras
            self._dataparser_outputs = replace(self._dataparser_outputs, cameras=self.cameras)

    @property
    def reads_more(self) -> bool:
        """Whether the data set reads more than images and masks, such as depth."""
        return type(self).get_metadata is not InputDataset.get_metadata

    def files(self) -> Iterator[list[Path]]:
        """The files of each image: its own, its mask, and whatever the metadata name for each image, if it is read."""
        masks = self._dataparser_outputs.mask_filenames
        listed = [self.image_filenames, *([] if masks is None else [masks])]
        if self.reads_more:
            listed += [paths for paths in _path_lists(self.metadata) if len(paths) == len(self)]
        yield from ([Path(path) for path in paths] for paths in zip(*listed, strict=True))

    def get_data(self, image_idx: int, *arguments: Any, **options: Any) -> dict:
        """The image, its mask and whatever else the data set holds.

        Raises:
            UserError: if a file cannot be read, or does not fit its camera.
        """
        with self.naming_files(image_idx):
            data = super().get_data(image_idx, *arguments, **options)
        height, width = data["image"].shape[:2]
        self._require_size(image_idx, (width, height), slack=1)
        return data

    def get_numpy_image(self, image_idx: int) -> NDArray[np.uint8]:
        """The image [height, width, channels], 8 bits a channel.

        Raises:
            UserError: if it is of another kind; nerfstudio would take its numbers for colours.
        """
        with Image.open(self.image_filenames[image_idx]) as image:
            self._require_kind(image_idx, image.mode)
        return super().get_numpy_image(image_idx)

    @contextmanager
    def naming_files(self, image: int) -> Iterator[None]:
        """Within this context, an error is about the files of an image.

        Raises:
            UserError: in place of the error, with their names.
        """
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            self._refuse(image, error)

    def _loaded(self, size: Size) -> Size:
        """The size at which nerfstudio loads an image."""
        factor = self.scale_factor
        return size if factor == 1 else (int(size[0] * factor), int(size[1] * factor))

    def _require_kind(self, index: int, mode: str) -> None:
        if mode not in ("L", "RGB", "RGBA"):
            self._refuse(index, f"it has colours of the kind {mode} (in PIL's terms)")

    def _require_size(self, index: int, size: Size, slack: int) -> None:
        camera = (int(self.cameras.width[index]), int(self.cameras.height[index]))
        if max(abs(size[0] - camera[0]), abs(size[1] - camera[1])) <= slack:
            return
        name, factor = self.image_filenames[index], self.scale_factor
        with Image.open(name) as image:
            width, height = image.size
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5 if size == camera[::-1] else None
        reason = "" if turned is None else " Width and height are swapped: "
        if turned:
            reason += "the EXIF orientation of the file turns it, and nerfstudio reads it unturned."
        elif turned is False:
            reason += "in the camera, or in the image by its EXIF orientation (the file has none now)."
        raise UserError(
            f"cannot use {name}: it has {width} x {height} pixels, and its camera has "
            f"{round(camera[0] / factor)} x {round(camera[1] / factor)}.{reason} Expected the same size."
        )

    def _refuse(self, index: int, reason: Exception | str) -> NoReturn:
        name, masks = self.image_filenames[index], self._dataparser_outputs.mask_filenames
        mask = "" if masks is None else f" and a one-channel mask of its size, {masks[index]}"
        advice = hint(name) if isinstance(reason, FileNotFoundError) and not name.exists() else ""
        sentences = (
            f"cannot use {name}: {_without(name, reason)}.",
            advice,
            f"Expected a grey, RGB or RGBA image of 8 bits a channel{mask}.",
        )
        raise UserError(" ".join(filter(None, sentences))) from (reason if isinstance(reason, Exception) else None)


def _without(path: Path, reason: Exception | str) -> str:
    """What went wrong with a file, without its path."""
    if isinstance(reason, OSError) and reason.strerror and str(reason.filename) == str(path):
        return reason.strerror
    return str(reason).replace(f" {str(path)!r}", "") or type(reason).__name__


def _path_lists(metadata: Mapping[str, Any]) -> Iterator[list[Path]]:
    for value in metadata.values():
        if is_dataclass(value):
            yield from _path_lists(vars(value))
        elif isinstance(value, list) and value and all(isinstance(path, Path) for path in value):
            yield value


def exportable(dataset: Dataset) -> Dataset:
    """Give the cameras metadata: `ns-export cameras` asserts it, and several of nerfstudio's parsers leave it out."""
    if dataset.cameras.metadata is None:
        dataset.cameras.metadata = {}
    return dataset
