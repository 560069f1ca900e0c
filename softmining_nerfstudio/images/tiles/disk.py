"""The tiles of a capture, opened; what is missing, changed or damaged is written first."""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.filesize import decimal

from softmining_nerfstudio.images.capture import Capture, ImagesError, Stamp
from softmining_nerfstudio.images.filling import fill
from softmining_nerfstudio.images.kept import Kept
from softmining_nerfstudio.images.pixels import Pixels
from softmining_nerfstudio.images.readers import READERS
from softmining_nerfstudio.images.tiles import folders
from softmining_nerfstudio.images.tiles.coarser import FACTOR, LAYER, coarser, has_coarser
from softmining_nerfstudio.images.tiles.notes import Notes
from softmining_nerfstudio.images.tiles.records import Records
from softmining_nerfstudio.images.tiles.warming import fits, warm
from softmining_nerfstudio.images.tiles.writing import Recorder, TileFiles

VERSION = 1
"""Goes up when the same images give other bytes; tiles of another version are written anew."""


Prepare = Callable[[dict[str, Pixels], int], object]
"""Is called with the layers of all images, and the number of one."""


@dataclass(frozen=True)
class OnDisk(Kept):
    """All images of a capture as files of tiles, mapped into memory: what is looked up is read, and the system holds it
    as long as nobody else needs the memory."""

    pixels: dict[str, Pixels]
    in_memory = False

    def of(self, images: Sequence[int]) -> dict[str, Pixels]:
        """The layers, without a copy."""
        return {name: pixels.of(list(images)) for name, pixels in self.pixels.items()}

    @staticmethod
    def opened(
        capture: Capture, parent: Path | None, console: Console, prepare: Prepare | None = None, reason: str = ""
    ) -> OnDisk:
        """Open the tiles of a capture.

        Args:
            parent: the folder of all tiles; None for that in the user's cache.
            prepare: works out what is kept of an image, when its tiles have just been written. Without it nobody looks
                edges or footprints up, and there are no smaller images for them.
            reason: why on disk, for a person.

        Raises:
            ImagesError: if the folder cannot be written to, the disk has no room, or files change meanwhile.
            Exception: what reading the images raised.
        """
        parent = parent or folders.default_folder()
        pixels = _opened(capture, parent, console, prepare or (lambda *_: None), reason)
        if prepare is not None and has_coarser(capture) and not fits(capture.bytes):
            smaller = coarser(capture, TileFiles.paths(folders.folder_of(capture, parent), capture)[LAYER])
            what = f", {FACTOR} times smaller, for edges and footprints"
            kept = _opened(smaller, parent, console, lambda *_: None, what)
            pixels[LAYER] = replace(pixels[LAYER], coarser=kept[LAYER])
        return OnDisk(pixels)


def _opened(capture: Capture, parent: Path, console: Console, prepare: Prepare, reason: str) -> dict[str, Pixels]:
    """The tiles of a capture, by layer, complete."""
    folder = folders.folder_of(capture, parent)
    with folders.alone_in(folder, console):
        try:
            return _complete(capture, folder, console, prepare, reason)
        except OSError as error:
            raise ImagesError(f"cannot keep tiles in {folder}: {error}. {folders.ELSEWHERE}") from error


def _complete(capture: Capture, folder: Path, console: Console, prepare: Prepare, reason: str) -> dict[str, Pixels]:
    """Map all tiles, once those are written that are missing, of changed files, or damaged. Say before how many bytes
    go where."""
    records = Records(folder / "records.jsonl", _layout(capture))
    if not records.known or not TileFiles.whole(folder, capture):
        records.known.clear()
        for path in folder.iterdir():  # a training that has them open goes on
            path.unlink()
    with TileFiles(folder, capture) as files:
        missing = [image for image in range(len(capture)) if not _is_there(image, capture, records, files)]
    if not records.known.keys().isdisjoint(missing):  # their tiles may be open
        folders.require_room(folder, capture.bytes)
        TileFiles.set_apart(folder, capture)
    with TileFiles(folder, capture) as files:
        where = f"Keeping {len(capture)} images on disk{reason}: {decimal(capture.bytes)} of tiles in {folder}"
        which = f"{len(missing)} of them are read now" if missing else "all are there"
        console.print(f"{where}; {which}.", highlight=False, soft_wrap=True)
        if missing:
            folders.require_room(folder, capture.bytes - files.allocated())
            records.begin_again(missing)
            files.allocate()
        notes = Notes(folder, shown="-".join(str(layer.decoding) for layer in capture.layers.values()))
        notes.forget(missing)
        mapped = {name: _mapped(path, name, capture, notes) for name, path in TileFiles.paths(folder, capture).items()}
        recorder = Recorder(files, records)

        def done(image: int, stamp: Stamp) -> None:
            files.flush()
            prepare(mapped, image)
            recorder.done(image, stamp)

        try:
            fill(capture, missing, files.put, done, console, "Writing tiles")
        finally:
            recorder.finish()
    warm([*TileFiles.paths(folder, capture).values()])
    return mapped


def _is_there(image: int, capture: Capture, records: Records, files: TileFiles) -> bool:
    """Whether the tiles of an image are complete, undamaged and those of its files."""
    known = records.known.get(image)
    return known is not None and known == (capture.stamp(image), files.sums(image))


def _layout(capture: Capture) -> list:
    """What the place and the meaning of the bytes depend on."""
    layers = [[name, str(layer.dtype), layer.channels] for name, layer in capture.layers.items()]
    return [VERSION, layers, capture.sizes.tolist()]


def _mapped(path: Path, name: str, capture: Capture, notes: Notes) -> Pixels:
    layer = capture.layers[name]
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if hasattr(mmap, "MADV_RANDOM"):
        mapped.madvise(mmap.MADV_RANDOM)  # else a lookup reads megabytes around its page
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given buffer is not writable")
        values = torch.frombuffer(mapped, dtype=layer.dtype).view(-1, *layer.channels)
    return Pixels(values, capture.first, capture.sizes, layer.decoding, READERS, notes)
