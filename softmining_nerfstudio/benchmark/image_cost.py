"""What images cost: memory, time to the first step, time of a step, kept in the ways that there are.

Each way runs in a process of its own that loads a capture made in code and trains `softmining-lite` on it. A further
process does the same with as many images of a few pixels. What it takes is the program's own; what another one takes
beyond that is due to the images.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.filesize import decimal

from softmining_nerfstudio.benchmark.errors import BenchmarkError
from softmining_nerfstudio.benchmark.image_capture import make_capture
from softmining_nerfstudio.benchmark.image_plot import WAYS, ImageCost, ImageReport, Refusal
from softmining_nerfstudio.images.memory import available
from softmining_nerfstudio.images.tiles.folders import clear as clear_tiles
from softmining_nerfstudio.images.tiles.folders import default_folder

FLOAT_COPIES = 2
"""nerfstudio's loader holds its images twice while it stacks them: colours as four bytes a channel, masks as one."""
CONTROL = 0.001
"""Megapixels of the images that a program is measured with for its own memory."""


def images(
    *,
    count: tuple[int, ...] = (20,),
    megapixels: tuple[float, ...] = (2.0,),
    ways: tuple[str, ...] = tuple(WAYS),
    steps: int = 40,
    masks: bool = False,
    folder: Path | None = None,
    output: Path | None = None,
    clear: bool = False,
) -> None:
    """Measure what images cost: nerfstudio's own loader, bytes in memory, tiles on disk.

    Args:
        count: Images of a capture.
        megapixels: Size of each image.
        ways: How the images are kept.
        steps: Training steps, of which the median is shown. The first is left out.
        masks: Make a mask for each image, too.
        folder: Where captures and tiles are made, and deleted afterwards. By default the system's folder for such.
        output: Folder for the measurements (JSON lines) and the plot. Without it the command only prints them.
        clear: Measure nothing. Delete the tiles of earlier trainings in `folder`, by default the user's cache.

    Raises:
        BenchmarkError: a number or a way is out of range.
    """
    if clear:
        freed = clear_tiles(folder or default_folder())
        Console().print(f"Deleted {decimal(freed)} of tiles in {folder or default_folder()}.", soft_wrap=True)
        return
    if unknown := {*ways} - {*WAYS}:
        raise BenchmarkError(f"ways is {', '.join(sorted(unknown))}; expected some of {', '.join(WAYS)}")
    for name, number in {"count": min(count, default=0), "steps": steps - 1}.items():
        if number < 1:
            raise BenchmarkError(f"{name} is too small; expected at least {1 if name == 'count' else 2}")
    if not all(CONTROL <= size <= 200 for size in megapixels):
        raise BenchmarkError(f"megapixels is {megapixels}; expected {CONTROL} to 200")
    report = ImageReport(output, {"steps": steps, "masks": masks})
    for size in megapixels:
        for number in count:
            with tempfile.TemporaryDirectory(dir=folder) as made:
                report.add(measure(Path(made), number, size, ways, steps, masks))
    report.finish()


def measure(
    folder: Path, count: int, megapixels: float, ways: tuple[str, ...], steps: int, masks: bool
) -> list[ImageCost | Refusal]:
    """Every way of keeping a number of images, in `folder`."""
    make_capture(folder / "control", count, CONTROL, masks)
    make_capture(folder / "made", count, megapixels, masks)
    own = run(folder / "control", folder / "tiles", "memory", steps)
    pixels = int(count * megapixels * 1e6)
    taken, as_floats = pixels * (4 if masks else 3), pixels * (13 if masks else 12)
    found: list[ImageCost | Refusal] = []
    for way in ways:
        needed = {"nerfstudio": FLOAT_COPIES * as_floats, "memory": taken}.get(way, 0)
        if needed > available():
            found.append(Refusal(way, count, megapixels, f"it needs {decimal(needed)} of {decimal(available())}"))
            continue
        if way == "tiles":
            shutil.rmtree(folder / "tiles", ignore_errors=True)
        elif way.startswith("tiles"):
            if not any((folder / "tiles").glob("*/*.tiles")):
                run(folder / "made", folder / "tiles", way, steps)  # writes them
            if way == "tiles, cold":
                forget(folder / "tiles")
        numbers = run(folder / "made", folder / "tiles", way, steps)
        above = numbers["RssAnon"] - own["RssAnon"]
        found.append(
            ImageCost(
                way,
                count,
                megapixels,
                taken,
                resident=numbers["VmRSS"],
                anonymous=numbers["RssAnon"],
                above=above,
                **{name: numbers[name] for name in ("first", "step", "draw", "step_cpu", "draw_cpu")},
            )
        )
    return found


def run(data: Path, tiles: Path, way: str, steps: int) -> dict[str, Any]:
    """The numbers of one process.

    Raises:
        RuntimeError: if it failed.
    """
    settings = {
        "data": str(data),
        "tiles": str(tiles),
        "memory_gb": 0 if way.startswith("tiles") else 1000,
        "as_nerfstudio": way == "nerfstudio",
        "steps": steps,
    }
    command = [sys.executable, "-m", "softmining_nerfstudio.benchmark.image_run", json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{way} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def forget(folder: Path) -> None:
    """Have the system drop what it holds of the tiles in memory."""
    if hasattr(os, "posix_fadvise"):
        for path in folder.glob("*/*.tiles"):
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
