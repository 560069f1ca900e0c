"""Whose turn it is on a device. Only times of one device compare, so the methods of a scene and seed share one."""

from __future__ import annotations

from collections.abc import Iterable

from softmining_nerfstudio.benchmark.results import Measurement
from softmining_nerfstudio.benchmark.run.task import Task


class Turns:
    """Which run a device trains next.

    Args:
        measured: Measurements of earlier sessions. Their scenes and seeds go on where they were.
    """

    def __init__(self, measured: Iterable[Measurement] = ()) -> None:
        self._owner = {(m.scene, m.seed): m.device for m in measured if m.device is not None}

    def take(self, waiting: list[Task], device: str) -> Task:
        """Take a run off the list: of a scene and seed of this device, or else of nobody's.

        A device that would idle takes the last run of another one. The steps of that run still compare.
        """
        own = [task for task in waiting if self._owner.get((task.scene, task.seed)) == device]
        free = [task for task in waiting if (task.scene, task.seed) not in self._owner]
        task = (own or free or waiting[::-1])[0]
        self._owner.setdefault((task.scene, task.seed), device)
        waiting.remove(task)
        return task

    def forget(self, device: str) -> None:
        """Leave the runs of a device that is gone to the others."""
        self._owner = {group: owner for group, owner in self._owner.items() if owner != device}
