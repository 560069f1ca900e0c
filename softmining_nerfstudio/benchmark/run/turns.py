"""Whose turn it is on a device. Only times of one device compare, so the methods of a scene and seed share one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from softmining_nerfstudio.benchmark.results import Measurement, Run
from softmining_nerfstudio.benchmark.run.task import Task


class Turns:
    """Which run trains next, and on which device.

    Args:
        devices: All of them.
        order: The methods, the baseline first. The last one is lent first: the times of a lent run are lost, and with
            the baseline's those of all others.
        measured: Measurements of earlier sessions. A run that has some goes on where it was, if that is among the
            devices; the others of its scene and seed train where the baseline did, or else most of them.
        lend: Whether a device that would idle takes a run of another one. The steps of that run still compare.
    """

    def __init__(
        self, devices: Collection[str], order: Sequence[str], measured: Iterable[Measurement] = (), lend: bool = True
    ) -> None:
        self._order, self._lend = [*order], lend
        self._begun = {m.run: m.device for m in measured if m.device is not None and m.device in devices}
        self._owner = _owners(self._begun, self._order[0])

    def take(self, waiting: list[Task], roomy: Sequence[str]) -> tuple[Task, str] | None:
        """Take the next run for a free device: one of a scene and seed that it owns, else of one that nobody owns, else
        one lent by a busy device.

        Args:
            roomy: The devices with most room. They own what they begin.

        Returns:
            The run and its device; None if all that is left belongs to busy devices, which do not lend it.
        """
        homes = [(task, self._begun.get(task.run) or self._owner.get((task.scene, task.seed))) for task in waiting]
        own = [(task, home) for task, home in homes if home in roomy]
        free = [(task, roomy[0]) for task, home in homes if home is None]
        lendable = sorted(waiting, key=self._rank) if self._lend else []
        lent = [(task, roomy[0]) for task in lendable[::-1]]
        for task, device in [*own, *free, *lent]:
            self._owner.setdefault((task.scene, task.seed), device)
            waiting.remove(task)
            return task, device
        return None

    def _rank(self, task: Task) -> tuple[bool, bool, int]:
        """What is lent last comes first: the baseline, then runs that have begun, then the suite's first methods."""
        place = self._order.index(task.method)
        return place > 0, task.run not in self._begun, place

    def forget(self, devices: Collection[str]) -> None:
        """Leave the runs of devices that are gone to the others."""
        self._owner = {group: owner for group, owner in self._owner.items() if owner not in devices}
        self._begun = {run: device for run, device in self._begun.items() if device not in devices}


def _owners(begun: dict[Run, str], baseline: str) -> dict[tuple[str, int], str]:
    """The device of each scene and seed: the one that trained the baseline, or else most of the runs."""
    found: dict[tuple[str, int], dict[str, str]] = {}
    for run, device in begun.items():
        found.setdefault((run.scene, run.seed), {})[run.method] = device
    return {group: of.get(baseline) or Counter(of.values()).most_common(1)[0][0] for group, of in found.items()}
