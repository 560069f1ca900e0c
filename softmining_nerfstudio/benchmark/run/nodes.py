"""The machines of a Ray cluster that can train: those with GPUs, or all if there is no GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from softmining_nerfstudio.benchmark.devices import ON
from softmining_nerfstudio.benchmark.environment import environment
from softmining_nerfstudio.benchmark.errors import ClusterError
from softmining_nerfstudio.benchmark.results import Measurement
from softmining_nerfstudio.benchmark.run import node as on_node
from softmining_nerfstudio.benchmark.run.local import MOST_THREADS_ON_GPU, threads_asked_for

INSTALL = "pip install '.[cluster]' in the folder of this package"
SAME = ("softmining-nerfstudio", "commit")
"""Fields of the environment that driver and node must share, unless one of them is unknown."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    id: str
    name: str
    runs: int
    """Runs at the same time."""
    threads: int
    """Of each run."""
    resources: dict[str, float]
    """What Ray sets aside for each run."""
    environment: dict[str, Any] = field(default_factory=dict)
    """Machine and software."""

    @property
    def places(self) -> list[str]:
        """The names of its devices. Ray assigns the GPUs: a run that starts when another ends gets the GPU that became
        free."""
        if "num_gpus" not in self.resources or self.runs == 1:
            return [self.name]
        return [f"{self.name}, GPU {number} of {self.runs}" for number in range(1, self.runs + 1)]

    @property
    def alone(self) -> dict[str, Any]:
        """Options of a Ray task that belongs on this node and no other."""
        strategies = import_module("ray.util.scheduling_strategies")
        return {"scheduling_strategy": strategies.NodeAffinitySchedulingStrategy(self.id, soft=False)}


def connected(address: str) -> Any:
    """The module of Ray, connected to a cluster.

    Raises:
        ClusterError: Ray is not installed, or there is no cluster.
    """
    try:
        ray = import_module("ray")
    except ImportError as error:
        raise ClusterError(f"--cluster needs Ray, which is not installed: {INSTALL}") from error
    if "://" in address:
        raise ClusterError(f"--cluster is {address}; expected HOST:PORT of the cluster's head, or auto")
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        advice = "ray start --head starts one on this machine, and ray start --address HOST:PORT joins one"
        raise ClusterError(f"no Ray cluster at {address} ({last_line(error)}); {advice}") from error
    return ray


def nodes_of(ray: Any) -> list[Node]:
    """The nodes that train."""
    alive = [each for each in ray.nodes() if each["Alive"]]
    kind = "GPU" if any(each["Resources"].get("GPU", 0) >= 1 for each in alive) else "CPU"
    hosts = Counter(each["NodeManagerHostname"] for each in alive)
    asked = threads_asked_for()
    nodes = []
    for each in alive:
        host, there = each["NodeManagerHostname"], each["Resources"]
        name = host if hosts[host] == 1 else f"{host}-{each['NodeID'][:6]}"
        cores, gpus = int(there.get("CPU", 0)), int(there.get("GPU", 0))
        threads = asked or (1 if kind == "CPU" else max(1, min(MOST_THREADS_ON_GPU, cores // max(1, gpus))))
        if kind == "GPU" and gpus:
            nodes.append(Node(each["NodeID"], name, gpus, threads, {"num_gpus": 1, "num_cpus": 0}))
        elif kind == "CPU" and cores >= threads:
            nodes.append(Node(each["NodeID"], name, cores // threads, threads, {"num_cpus": threads}))
    return nodes


def by_place(nodes: Sequence[Node], measured: Sequence[Measurement]) -> list[Measurement]:
    """The measurements that these nodes made, each with a place of its node for its device."""
    places = {}
    for node in nodes:
        there = sorted({m.device for m in measured if m.device is not None and m.device.rpartition(ON)[2] == node.name})
        places |= {device: node.places[number % len(node.places)] for number, device in enumerate(there)}
    return [replace(m, device=places[m.device]) for m in measured if m.device in places]


def ask(ray: Any, node: Node, paths: Sequence[str]) -> Any:
    """Have a node tell its environment, and which paths it lacks; Ray's reference to the answer."""
    look = ray.remote(num_cpus=0, max_retries=0)(on_node.look)
    return look.options(**node.alone).remote(list(paths))


def sound(ray: Any, nodes: Sequence[Node], paths: Sequence[str]) -> list[Node]:
    """The nodes that answer.

    Raises:
        ClusterError: one has another version of the package, or lacks a path; or none answers.
    """
    here, found = environment(), []
    for node, answer in [(node, ask(ray, node, paths)) for node in nodes]:
        try:
            there, missing = ray.get(answer)
        except ray.exceptions.RayTaskError as error:
            raise ClusterError(f"the node {node.name} cannot run the benchmark: {last_line(error)}") from error
        except ray.exceptions.RayError:  # it is gone
            continue
        for name in SAME:
            if None not in (here[name], there[name]) and here[name] != there[name]:
                what = f"{name} {there[name]}; expected {here[name]}, as here"
                raise ClusterError(f"the node {node.name} has {what}")
        if missing:
            raise ClusterError(f"the node {node.name} has no {missing[0]}; expected the data there on every node")
        found.append(replace(node, environment=there))
    if not found:
        raise ClusterError(
            "no node of the cluster can train; expected one with a GPU, or with OMP_NUM_THREADS cores (1)"
        )
    return found


def last_line(error: Exception) -> str:
    """The last line of an error's message; Ray's begin with a traceback."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
