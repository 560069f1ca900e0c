"""Folders of smaller images: written whole or not at all, and marked with their sources.

The mark is a hidden file. It lists each source with its size in bytes and its time of change, and each image that was
written. A folder without it is the user's and stays as it is; so does one whose images the user replaced or added to.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from pathlib import Path

from nerfstudio.utils.rich_utils import CONSOLE
from PIL import Image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MARK = ".softmining-made-from.json"


def images_in(folder: Path) -> list[Path]:
    """The images of a folder, sorted by name. Hidden files are none: macOS leaves `._*` beside each image."""
    return sorted(
        (f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".")),
        key=lambda file: file.name,
    )


def is_outdated(folder: Path, source: Path) -> bool:
    """Whether `folder` was made from other images than `source` holds now. Warns if that may be so, and the folder is
    the user's."""
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
        sources, written = mark["sources"], mark["written"]
    except FileNotFoundError:
        _warn_of_other_names(folder, source)
        return False
    except (OSError, ValueError, LookupError, TypeError):
        _say_kept(folder, f"its {MARK} is damaged")
        return False
    if sources == _fingerprints(images_in(source)):
        return False
    if written != _fingerprints(images_in(folder)):
        _say_kept(folder, f"{source} has changed since, and so has this folder")
        return False
    return True


def write_smaller(files: list[Path], folder: Path, size: tuple[int, int]) -> None:
    """Write `files` at `size` (width and height) to `folder`, in place of an outdated one.

    Raises:
        ValueError: an image is unreadable or has no 8 bits a channel, or the file system refuses the folder.
    """
    outdated = folder.is_dir()
    reason = f"{files[0].parent.name}/ has changed since they were made" if outdated else "once"
    CONSOLE.print(
        f"Writing {len(files)} images of {size[0]} x {size[1]} pixels to {folder} ({reason}).",
        markup=False,
        soft_wrap=True,
    )
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            sources = _fingerprints(files)
            for i, file in enumerate(files):
                # Numbers keep the order of the rows, whatever the names of the sources.
                _read(file).resize(size, Image.Resampling.LANCZOS).save(made / f"image{i:05d}.png")
            mark = {"sources": sources, "written": _fingerprints(images_in(made))}
            (made / MARK).write_text(json.dumps(mark, indent=1), encoding="utf-8")
            if outdated:
                with contextlib.suppress(FileNotFoundError):  # another run is as far
                    os.rename(folder, Path(scratch) / "outdated")
            os.rename(made, folder)
    except OSError as error:
        if folder.is_dir() and not is_outdated(folder, files[0].parent):
            return  # Another run was faster; its folder holds the same.
        raise ValueError(
            f"{folder}: cannot be written ({error}). Make {folder.parent} writable, or use the images as they are: "
            "llff-data --downscale-factor 1."
        ) from error


def _read(file: Path) -> Image.Image:
    """An image with 8 bits a channel: grey, RGB or RGBA. PIL weighs the colours of RGBA by alpha when it resizes.

    Raises:
        ValueError: it is unreadable, or has other bits, which PIL would clip.
    """
    try:
        with Image.open(file) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(
                    f"{file}: has colours of the kind {image.mode} (in PIL's terms), expected 8 bits a channel."
                )
            if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
                return image.convert("RGBA")
            return image.convert("L" if image.mode in ("1", "L") else "RGB")
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{file}: cannot be read as an image ({error}).") from error


def _fingerprints(files: list[Path]) -> dict[str, list[int]]:
    """Size in bytes and time of change (nanoseconds) by name. A link to nowhere has neither."""
    states = ((file.name, file.stat() if file.exists() else None) for file in files)
    return {name: [state.st_size, state.st_mtime_ns] if state else [] for name, state in states}


def _warn_of_other_names(folder: Path, source: Path) -> None:
    names, others = ({file.stem for file in images_in(place)} for place in (folder, source))
    # LLFF's own tool counts its smaller images, which tells nothing of their sources.
    if unknown := sorted(name for name in names - others if not re.fullmatch(r"image\d+", name)):
        _say_kept(folder, f"{unknown[0]} is not the name of an image in {source}")


def _say_kept(folder: Path, reason: str) -> None:
    CONSOLE.print(
        f"Using {folder} as it is, though {reason}. Remove or rename it to have it made from images/.",
        style="yellow",
        markup=False,
        soft_wrap=True,
    )
