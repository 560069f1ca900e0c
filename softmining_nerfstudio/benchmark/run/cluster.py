"""Runs on the machines of a Ray cluster: one Ray task each, on a GPU of its own, or on a processor's cores.

The nodes share no files with this machine. They have the package and the data; a run's measurements, pictures and
checkpoints come here as it makes them. A run whose node is lost goes on elsewhere from its last checkpoint.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from softmining_nerfstudio.benchmark.errors import ClusterError
from softmining_nerfstudio.benchmark.results import Failure, Measurement, Run
from softmining_nerfstudio.benchmark.run import node as on_node
from softmining_nerfstudio.benchmark.run import nodes
from softmining_nerfstudio.benchmark.run.nodes import Node
from softmining_nerfstudio.benchmark.run.process import PATIENCE
from softmining_nerfstudio.benchmark.run.received import Received
from softmining_nerfstudio.benchmark.run.task import Task
from softmining_nerfstudio.benchmark.run.turns import Turns

ATTEMPTS = 3
"""The first one, and two after lost nodes."""


@dataclass
class Flight:
    """A run on a node."""

    task: Task
    node: Node
    place: str
    """One of the node's."""
    reports: Any
    """Ray's generator of them."""
    failure: Failure | None = None


class ClusterWorkers:
    """Trains runs on a Ray cluster; `local.LocalWorkers` has the meaning of each method.

    Args:
        address: Of the cluster's head, as HOST:PORT; auto: the cluster that this machine belongs to.
        folder: Of the results.
        order: Of the methods, see `turns.Turns`.
        paths: What every node has to have.
        jobs: Most runs at the same time; None: as many as the nodes take.

    Raises:
        ClusterError: Ray is not installed, there is no cluster, or a node lacks the package or the data.
    """

    def __init__(
        self,
        address: str,
        folder: Path,
        order: Sequence[str],
        paths: Sequence[str] = (),
        measured: Sequence[Measurement] = (),
        jobs: int | None = None,
        program: Sequence[str] | None = None,
    ) -> None:
        self._ray, self._program = nodes.connected(address), program
        self._received = Received(folder)
        self._flights: list[Flight] = []
        self._lost: list[Task] = []
        self._attempts: Counter[Run] = Counter()
        self._doubtful: list[tuple[Node, Any]] = []
        try:
            self._nodes = nodes.sound(self._ray, nodes.nodes_of(self._ray), paths)
        except BaseException:
            self._ray.shutdown()
            raise
        self._jobs = min(jobs or sys.maxsize, sum(node.runs for node in self._nodes))
        places = [place for node in self._nodes for place in node.places]
        self._turns = Turns(places, order, nodes.by_place(self._nodes, measured))

    @property
    def about(self) -> dict[str, Any]:
        """What a session records: the first node's environment, all nodes, and the most runs of one at once."""
        named = ", ".join(f"{node.name} ({node.runs} at a time)" for node in self._nodes)
        most = max(self._nodes, key=lambda node: node.runs)
        jobs = min(self._jobs, most.runs)
        return {**self._nodes[0].environment, "threads": most.threads, "jobs": jobs, "cluster": named}

    @property
    def current(self) -> list[Task]:
        """The runs that train now, or are about to again."""
        return [*(flight.task for flight in self._flights), *self._lost]

    def fill(self, waiting: list[Task]) -> None:
        """Start runs of this list on the nodes with most room. Lost ones come first, once their node is known to be
        gone.

        Raises:
            ClusterError: no node is left.
        """
        waiting[:0], self._lost = self._lost, []
        self._settle_doubts()
        if waiting and not self._nodes and not self._doubtful:
            raise ClusterError("no node of the cluster is left; the same command goes on once there is one")
        while waiting and len(self._flights) < self._jobs and (roomy := self._roomy()):
            taken = self._turns.take(waiting, [*roomy])
            if taken is None:
                return
            task, place = taken
            self._start(task, roomy[place], place)

    def _roomy(self) -> dict[str, Node]:
        """The free places of the nodes with most room."""
        busy = Counter(flight.node.name for flight in self._flights)
        load = {node.name: busy[node.name] / node.runs for node in self._nodes if busy[node.name] < node.runs}
        taken = {flight.place for flight in self._flights if len(flight.node.places) > 1}
        return {
            place: node
            for node in self._nodes
            if load.get(node.name) == min(load.values(), default=1)
            for place in node.places
            if place not in taken
        }

    def _start(self, task: Task, node: Node, place: str) -> None:
        self._attempts[task.run] += 1
        files, last = self._received.start_of(task)
        environment = {"OMP_NUM_THREADS": str(node.threads)}
        order = on_node.Order(asdict(task), node.name, environment, self._program, files, last)
        train = self._ray.remote(num_returns="streaming", max_retries=0, **node.resources)(on_node.train)
        self._flights.append(Flight(task, node, place, train.options(**node.alone).remote(order)))

    def ended(self) -> Iterator[tuple[Task, Failure | None]]:
        """Keep what has been reported, and return the runs that have ended."""
        for flight in list(self._flights):
            try:
                if not self._receive(flight):
                    continue
                failure = flight.failure
            except self._ray.exceptions.RayTaskError as error:
                failure = _failure(flight, nodes.last_line(error))
            except self._ray.exceptions.RayError as error:
                failure = self._lose(flight, error)
                if failure is None:
                    continue
            self._flights.remove(flight)
            yield flight.task, failure

    def _receive(self, flight: Flight) -> bool:
        """Keep the reports that are there; whether the last one was."""
        while self._ray.wait([flight.reports], timeout=0)[0]:
            try:
                report: on_node.Report = self._ray.get(next(flight.reports))
            except StopIteration:
                return True
            self._received.keep(report)
            if report.error is not None:
                flight.failure = _failure(flight, report.error)
        return False

    def _lose(self, flight: Flight, error: Exception) -> Failure | None:
        """Have a run tried again whose node or process is gone; the failure if it was tried often enough."""
        if flight.node in self._nodes:
            self._nodes.remove(flight.node)
            self._doubtful.append((flight.node, nodes.ask(self._ray, flight.node, [])))
        if self._attempts[flight.task.run] >= ATTEMPTS:
            return _failure(flight, f"lost {ATTEMPTS} times, at last with {type(error).__name__} on {flight.node.name}")
        self._flights.remove(flight)
        self._lost.append(flight.task)
        return None

    def _settle_doubts(self) -> None:
        """Use a node again that has lost a run but answers. The runs of one that does not go to the others."""
        for node, answer in list(self._doubtful):
            if not self._ray.wait([answer], timeout=0)[0]:
                continue
            self._doubtful.remove((node, answer))
            try:
                self._ray.get(answer)
                self._nodes.append(node)
            except self._ray.exceptions.RayError:
                self._turns.forget(node.places)

    def stop(self) -> None:
        """End the runs on their nodes, keep what they have reported, and leave the cluster."""
        for flight in self._flights:
            self._ray.cancel(flight.reports, force=False)
        deadline = time.monotonic() + PATIENCE
        with suppress(self._ray.exceptions.RayError):
            while self._flights and time.monotonic() < deadline:
                list(self.ended())
                time.sleep(0.1)
        self._ray.shutdown()  # it ends whatever is left


def _failure(flight: Flight, error: str) -> Failure:
    return Failure(**flight.task.run._asdict(), error=error)
