"""Whose turn it is on a device. Only times of one device compare, so the methods of a scene and seed share one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from softmining_nerfstudio.benchmark.results import Measurement
from softmining_nerfstudio.benchmark.run.task import Task


class Turns:
    """Which run trains next, and on which device.

    Args:
        devices: All of them.
        order: The methods, the baseline first. The last one is lent first: the times of a lent run are lost, and with
            the baseline's those of all others.
        measured: Measurements of earlier sessions. Their scenes and seeds go on where they were, if that is among them.
        lend: Whether a device that would idle takes a run of another one. The steps of that run still compare.
    """

    def __init__(
        self, devices: Collection[str], order: Sequence[str], measured: Iterable[Measurement] = (), lend: bool = True
    ) -> None:
        self._order, self._lend = [*order], lend
        self._owner = {(m.scene, m.seed): m.device for m in measured if m.device in devices}

    def take(self, waiting: list[Task], roomy: Sequence[str]) -> tuple[Task, str] | None:
        """Take the next run for a free device: one of a scene and seed that it owns, else of one that nobody owns, else
        one lent by a busy device.

        Args:
            roomy: The devices with most room. They own what they begin.

        Returns:
            The run and its device; None if all that is left belongs to busy devices, which do not lend it.
        """
        own = [(task, owner) for task in waiting if (owner := self._owner.get((task.scene, task.seed))) in roomy]
        free = [(task, roomy[0]) for task in waiting if (task.scene, task.seed) not in self._owner]
        lendable = sorted(waiting, key=lambda task: self._order.index(task.method)) if self._lend else []
        lent = [(task, roomy[0]) for task in lendable[::-1]]
        for task, device in [*own, *free, *lent]:
            self._owner.setdefault((task.scene, task.seed), device)
            waiting.remove(task)
            return task, device
        return None

    def forget(self, devices: Collection[str]) -> None:
        """Leave the runs of devices that are gone to the others."""
        self._owner = {group: owner for group, owner in self._owner.items() if owner not in devices}
