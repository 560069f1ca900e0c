"""Which images are complete: a file that lines are added to, and of each image the last line counts.

The first line is the layout. An image's line has the stamp of its files and sums over a few of its bytes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from softmining_nerfstudio.images.capture import Stamp

Sums = dict[str, int]
"""Of each layer, over some bytes of an image."""


class Records:
    """The records of one folder.

    Args:
        layout: where which bytes lie. Records of another layout are forgotten.
    """

    def __init__(self, path: Path, layout: Any) -> None:
        self.path, self.layout = path, json.loads(json.dumps(layout))
        self.known: dict[int, tuple[Stamp, Sums]] = {}
        """What is complete."""
        self._lock = threading.Lock()
        self._read()

    def _read(self) -> None:
        """Take over what a former process recorded. A last line that is not whole was being written when it ended."""
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        try:
            if json.loads(lines[0]) != self.layout:
                return
            for record in map(json.loads, lines[1:-1]):
                stamp = tuple((size, time) for size, time in record["stamp"])
                self.known[record["image"]] = stamp, record["sums"]
        except (ValueError, LookupError, TypeError):  # damaged
            self.known.clear()

    def begin_again(self, images: Sequence[int]) -> None:
        """Write anew what is known, without some images."""
        for image in images:
            self.known.pop(image, None)
        lines = [json.dumps(self.layout), *(_line(image, *known) for image, known in self.known.items())]
        beside = self.path.with_suffix(".new")
        beside.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        beside.replace(self.path)

    def add(self, complete: Sequence[tuple[int, Stamp, Sums]]) -> None:
        """Note that images are complete."""
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{_line(*record)}\n" for record in complete))


def _line(image: int, stamp: Stamp, sums: Sums) -> str:
    return json.dumps({"image": image, "stamp": stamp, "sums": sums})
