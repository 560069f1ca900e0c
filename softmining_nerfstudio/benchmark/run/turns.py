"""Whose turn it is on a device. Only times of one device compare, so the methods of a scene and seed share one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from softmining_nerfstudio.benchmark.results import Measurement
from softmining_nerfstudio.benchmark.run.task import Task


class Turns:
    """Which run trains next, and on which device.

    Args:
        devices: All of them.
        measured: Measurements of earlier sessions. Their scenes and seeds go on where they were, if that is among them.
        lend: Whether a device that would idle takes the last run of another one. The steps of that run still compare.
    """

    def __init__(self, devices: Collection[str], measured: Iterable[Measurement] = (), lend: bool = True) -> None:
        self._owner = {(m.scene, m.seed): m.device for m in measured if m.device in devices}
        self._lend = lend

    def take(self, waiting: list[Task], roomy: Sequence[str]) -> tuple[Task, str] | None:
        """Take a run off the list: of a scene and seed that one of these devices owns, or else of nobody's.

        Args:
            roomy: The devices with most room. They own what they begin.

        Returns:
            The run and its device; None if all that is left belongs to busy devices, which do not lend it.
        """
        own = [(task, owner) for task in waiting if (owner := self._owner.get((task.scene, task.seed))) in roomy]
        free = [(task, roomy[0]) for task in waiting if (task.scene, task.seed) not in self._owner]
        lent = [(task, roomy[0]) for task in waiting[::-1] if self._lend]
        for task, device in [*own, *free, *lent]:
            self._owner.setdefault((task.scene, task.seed), device)
            waiting.remove(task)
            return task, device
        return None

    def forget(self, devices: Collection[str]) -> None:
        """Leave the runs of devices that are gone to the others."""
        self._owner = {group: owner for group, owner in self._owner.items() if owner not in devices}
