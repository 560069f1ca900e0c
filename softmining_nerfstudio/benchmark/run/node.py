"""One run on a machine of a cluster: it trains in a folder of its own, and reports whatever the run writes there.

Nothing here needs Ray; cluster.py calls it on each node.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from softmining_nerfstudio.benchmark import results
from softmining_nerfstudio.benchmark.devices import ON
from softmining_nerfstudio.benchmark.environment import environment
from softmining_nerfstudio.benchmark.run.process import TRAINING, Child
from softmining_nerfstudio.benchmark.run.task import Task

POLL = 0.5
"""Seconds between two looks at the run."""
LARGEST_CHECKPOINT = 1 << 28
"""Bytes. Larger ones stay on their node, and a run that loses it begins anew."""


@dataclass(frozen=True)
class Order:
    """What a node is to train."""

    task: dict[str, Any]
    """The fields of the `Task`, with the folder that the driver has."""
    node: str
    environment: dict[str, str]
    """Variables for the process of the run."""
    program: Sequence[str] | None = None
    """The command of that process, less the task; None: the node's own, see `process.TRAINING`."""
    files: dict[str, bytes] = field(default_factory=dict)
    """The checkpoint to go on from, by its path in the results folder; empty: begin anew."""
    last: dict[str, Any] | None = None
    """The measurement at that checkpoint."""


@dataclass(frozen=True)
class Report:
    """What a run has written since the last report."""

    files: dict[str, bytes] = field(default_factory=dict)
    """By their paths in the results folder."""
    measurement: dict[str, Any] | None = None
    error: str | None = None
    """Why the run failed; of the last report alone."""


def look(paths: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The environment of the node that calls, and those of the paths that are missing there."""
    return environment(), [path for path in paths if not Path(path).exists()]


def train(order: Order) -> Iterator[Report]:
    """Train a run to its end, and report its measurements as they come."""
    with tempfile.TemporaryDirectory(prefix="softmining-bench-") as name:
        folder = Path(name)
        for path, content in order.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        if order.last is not None:
            results.append(folder, results.Measurement(**order.last))
        news = News(folder, order)
        task = replace(Task(**order.task), folder=name)
        child = Child.start(task, order.environment, order.program or TRAINING)
        try:
            ended = False
            while not ended:
                time.sleep(POLL)
                ended = child.process.poll() is not None
                yield from news.reports()
            failure = child.failure()
            yield Report(error=failure and failure.error.replace(name, order.task["folder"]))
        finally:
            child.stop()


class News:
    """What a run writes into its folder."""

    def __init__(self, folder: Path, order: Order) -> None:
        self._folder, self._node = folder, order.node
        self._read: dict[Path, int] = {}
        """Bytes of the files that grow."""
        self._new_lines(folder / results.FILE_NAME)  # none: the driver has it
        self._sent = {*order.files}

    def reports(self) -> Iterator[Report]:
        """A report for each new measurement, with its pictures, one for a new checkpoint, and the log as it grows."""
        for log in self._folder.glob("logs/*.log"):
            if lines := self._new_lines(log):
                yield Report({log.relative_to(self._folder).as_posix(): lines})
        for line in self._new_lines(self._folder / results.FILE_NAME).splitlines():
            measured = json.loads(line)
            measured["device"] = f"{measured['device'].partition(ON)[0]}{ON}{self._node}"
            pictures = [measured["render"], *(measured["mined"] or {}).values()]
            shown = {picture for picture in pictures if picture}
            shown |= {(Path(picture).parent / "truth.png").as_posix() for picture in shown}
            yield Report(self._contents(shown), measured)
        kept = [*self._folder.glob("runs/*/*/*/config.yml"), *self._folder.glob("runs/*/*/*/nerfstudio_models/*.ckpt")]
        if new := self._contents(path.relative_to(self._folder).as_posix() for path in kept):
            yield Report(new)

    def _new_lines(self, path: Path) -> bytes:
        """The whole lines that were written since the last call."""
        written = path.read_bytes()[self._read.get(path, 0) :] if path.exists() else b""
        lines = written[: written.rfind(b"\n") + 1]
        self._read[path] = self._read.get(path, 0) + len(lines)
        return lines

    def _contents(self, paths: Iterable[str]) -> dict[str, bytes]:
        """The files that were not sent before; a checkpoint may be gone as soon as there is a newer one."""
        found = {}
        for name in {*paths} - self._sent:
            path = self._folder / name
            with suppress(FileNotFoundError):
                if path.stat().st_size <= LARGEST_CHECKPOINT:
                    found[name] = path.read_bytes()
            self._sent.add(name)
        return found
