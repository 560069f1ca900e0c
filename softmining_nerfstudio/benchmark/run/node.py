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

from softmining_nerfstudio import __version__
from softmining_nerfstudio.benchmark import results

ON = " on "
"""Between the name of a device and that of its node."""
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
    program: Sequence[str]
    """The command of that process, less the task."""
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


def look(paths: Sequence[str]) -> tuple[str, list[str]]:
    """The version of this package on the node that calls, and those of the paths that are missing there."""
    return __version__, [path for path in paths if not Path(path).exists()]


def train(order: Order) -> Iterator[Report]:
    """Train a run to its end, and report its measurements as they come."""
    from softmining_nerfstudio.benchmark.run.process import Child  # nerfstudio takes seconds to import
    from softmining_nerfstudio.benchmark.run.task import Task

    with tempfile.TemporaryDirectory(prefix="softmining-bench-") as name:
        folder = Path(name)
        for path, content in order.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        if order.last is not None:
            results.append(folder, results.Measurement(**order.last))
        news = News(folder, order)
        child = Child.start(replace(Task(**order.task), folder=name), order.environment, order.program)
        try:
            ended = False
            while not ended:
                time.sleep(POLL)
                ended = child.process.poll() is not None
                yield from news.reports()
            failure = child.failure()
            log = child.log.relative_to(folder).as_posix()
            error = failure and failure.error.replace(name, order.task["folder"])
            yield Report({log: child.log.read_bytes()}, error=error)
        finally:
            child.stop()


class News:
    """What a run writes into its folder."""

    def __init__(self, folder: Path, order: Order) -> None:
        self._folder, self._node = folder, order.node
        path = folder / results.FILE_NAME
        self._read = path.stat().st_size if path.exists() else 0
        self._sent = {*order.files}

    def reports(self) -> Iterator[Report]:
        """A report for each new measurement, with its pictures, and one for a new checkpoint."""
        path = self._folder / results.FILE_NAME
        written = path.read_bytes()[self._read :] if path.exists() else b""
        lines = written[: written.rfind(b"\n") + 1]
        self._read += len(lines)
        for line in lines.splitlines():
            measured = json.loads(line)
            measured["device"] = f"{measured['device']}{ON}{self._node}"
            pictures = [measured["render"], *(measured["mined"] or {}).values()]
            shown = {picture for picture in pictures if picture}
            shown |= {(Path(picture).parent / "truth.png").as_posix() for picture in shown}
            yield Report(self._contents(shown), measured)
        kept = [*self._folder.glob("runs/*/*/*/config.yml"), *self._folder.glob("runs/*/*/*/nerfstudio_models/*.ckpt")]
        if new := self._contents(path.relative_to(self._folder).as_posix() for path in kept):
            yield Report(new)

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
