"""Runs on the devices of this machine, each in a process of its own."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from softmining_nerfstudio.benchmark.devices import Device
from softmining_nerfstudio.benchmark.results import Failure
from softmining_nerfstudio.benchmark.run.process import TRAINING, Child
from softmining_nerfstudio.benchmark.run.task import Task
from softmining_nerfstudio.benchmark.run.turns import Turns
from softmining_nerfstudio.training.threads import own_cores

MOST_THREADS_ON_GPU = 4
"""Of a run whose model is on a GPU. With 16 its steps took longer, see configs/results.md."""


class LocalWorkers:
    """Trains several runs at the same time, spread over the devices.

    Args:
        jobs: Runs at the same time.
    """

    def __init__(self, devices: Sequence[Device], jobs: int, turns: Turns, program: Sequence[str] = TRAINING) -> None:
        self._devices, self._jobs, self._turns, self._program = devices, jobs, turns, program
        self._threads = threads(jobs, on_gpus=devices[0].entry is not None)
        self._children: list[tuple[Device, Child]] = []

    @property
    def about(self) -> dict[str, Any]:
        """What a session records of them: runs at the same time, and threads of each."""
        return {"threads": self._threads, "jobs": self._jobs}

    @property
    def current(self) -> list[Task]:
        """The runs that train now."""
        return [child.task for _, child in self._children]

    def fill(self, waiting: list[Task]) -> None:
        """Start waiting runs while there is room, each on a device with the fewest runs."""
        while waiting and len(self._children) < self._jobs:
            busy = Counter(device for device, _ in self._children)
            fewest = min(busy[each] for each in self._devices)
            roomy = {each.name: each for each in self._devices if busy[each] == fewest}
            taken = self._turns.take(waiting, [*roomy])
            if taken is None:
                return
            task, device = taken[0], roomy[taken[1]]
            environment = {"OMP_NUM_THREADS": self._threads, **device.environment}
            self._children.append((device, Child.start(task, environment, self._program)))

    def ended(self) -> Iterator[tuple[Task, Failure | None]]:
        """The runs that have ended since the last look, and why if they failed."""
        for each in list(self._children):
            if each[1].process.poll() is not None:
                self._children.remove(each)
                yield each[1].task, each[1].failure()

    def stop(self) -> None:
        """End the running processes."""
        for _, child in self._children:
            child.stop()


def threads(jobs: int, on_gpus: bool) -> str:
    """Threads of each process: OMP_NUM_THREADS, or its share of the cores, on a GPU at most MOST_THREADS_ON_GPU."""
    share = max(1, len(own_cores()) // jobs)
    return str(threads_asked_for() or (min(share, MOST_THREADS_ON_GPU) if on_gpus else share))


def threads_asked_for() -> int | None:
    """The threads that OMP_NUM_THREADS allows, if any; in a list of OpenMP's, those of its first level."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return (int(first) or None) if first.isdecimal() else None
