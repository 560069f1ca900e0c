"""Runs on a real Ray cluster of two nodes on this machine, one of which is lost in the middle."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from softmining_nerfstudio.benchmark import results
from softmining_nerfstudio.benchmark.environment import environment
from softmining_nerfstudio.benchmark.errors import ClusterError
from softmining_nerfstudio.benchmark.run import nodes, runner
from softmining_nerfstudio.benchmark.run.task import Task

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

from softmining_nerfstudio.benchmark.run.cluster import ClusterWorkers  # noqa: E402

STEPS = 60
STAND_IN = f"""
import json, os, sys, time
from pathlib import Path
from types import SimpleNamespace
from softmining_nerfstudio.benchmark.results import Measurement, append, load
task = json.loads(sys.argv[1])
folder = Path(task["folder"])
if task["method"] == "broken":
    raise MemoryError("no room")
checkpoints = folder / "runs" / f"ball--{{task['method']}}" / "m" / f"seed-{{task['seed']}}" / "nerfstudio_models"
checkpoints.mkdir(parents=True, exist_ok=True)
found = sorted(checkpoints.glob("*.ckpt"))
start = int(found[-1].stem[5:]) + 1 if found else 0
assert not found or load(folder)[0][-1].step == start, "the measurement at the checkpoint is missing"
print(f"begins at {{start}}", flush=True)
for step in range(start + 10 if found else 0, {STEPS} + 1, 10):
    time.sleep(0.0 if task["method"] == "fast" else 0.6)
    render = folder / "renders" / f"{{task['method']}}-{{task['seed']}}" / f"{{step}}.png"
    render.parent.mkdir(parents=True, exist_ok=True)
    render.write_text("picture")
    (render.parent / "truth.png").write_text("truth")
    append(folder, Measurement(
        **{{name: task[name] for name in ("scene", "method", "seed")}}, step=step, seconds=float(step), cpu_seconds=1.0,
        psnr=20.0, peak_memory=1, render=render.relative_to(folder).as_posix(),
        device=os.environ.get("CUDA_VISIBLE_DEVICES") or "cpu",
        final={{"psnr": 20.0}} if step == {STEPS} else None))
    for old in checkpoints.glob("*.ckpt"):
        old.unlink()
    if step and task["method"] != "forgets":
        (checkpoints / f"step-{{step - 1:09d}}.ckpt").write_text("weights")
"""
MARK = b"begins at {start}"
"""What the command of a stand-in has."""
ORDER = ("keeps", "forgets", "fast", "broken")
PROGRAM = (sys.executable, "-c", STAND_IN)


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    """A cluster whose head trains nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[3]), *filter(None, sys.path)]))
        started = cluster_utils.Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
        )
        try:
            yield started
        finally:
            ray.shutdown()
            started.shutdown()


@pytest.fixture
def cluster(head: Any) -> Iterator[Any]:
    """It has two nodes with a core each."""
    nodes = [head.add_node(num_cpus=1) for _ in range(2)]
    yield head
    for node in nodes:
        if node in head.worker_nodes:
            head.remove_node(node)


def tasks(folder: Path, *methods: str) -> list[Task]:
    return [Task("ball", method, 1, [], str(folder), STEPS, 10, 10, 1, None, 1) for method in methods]


def train(cluster: Any, folder: Path, *methods: str) -> list[results.Failure]:
    waiting, measured = runner.pending(tasks(folder, *methods), folder)
    workers = ClusterWorkers(cluster.address, folder, ORDER, [str(folder)], measured, program=PROGRAM)
    try:
        return runner.execute(waiting, folder, workers, Console(quiet=True))
    finally:
        workers.stop()


def at_step(step: int, method: str, do: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Do something once, with the node that trains a method, when it has measured at a step."""
    show, done = runner.RunsProgress.show, []

    def look(progress: Any, current: Any) -> None:
        show(progress, current)
        here = [m for m in results.load(folder)[0] if (m.method, m.step) == (method, step)] if measured(folder) else []
        if here and not done:
            done.append(True)
            do(str(here[0].device).rpartition("-")[2])

    monkeypatch.setattr(runner.RunsProgress, "show", look)


def measured(folder: Path) -> Counter[tuple[str, int]]:
    """How often there is a measurement of each method and step."""
    there = (folder / results.FILE_NAME).exists()
    return Counter((m.method, m.step) for m in results.load(folder)[0]) if there else Counter()


def begun_at(folder: Path, method: str) -> int:
    """The step at which the last attempt began."""
    return int((folder / "logs" / f"ball--{method}-seed-1.log").read_text().split()[-1])


ALL_STEPS = range(0, STEPS + 1, 10)


@pytest.mark.parametrize(("method", "begins_again_at"), [("keeps", range(20, STEPS)), ("forgets", range(1))])
def test_no_measurement_is_lost_or_doubled_when_a_node_is_lost(
    method: str, begins_again_at: range, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run goes on from its last checkpoint if it kept any, and begins anew otherwise."""

    def lose(node: str) -> None:
        (lost,) = (each for each in cluster.worker_nodes if each.node_id.startswith(node))
        cluster.remove_node(lost, allow_graceful=False)

    at_step(30, method, lose, monkeypatch, tmp_path)
    (failure,) = train(cluster, tmp_path, "keeps", "forgets", "broken", "fast")
    log = tmp_path / "logs" / "ball--broken-seed-1.log"
    assert (failure.method, failure.error) == ("broken", f"MemoryError: no room (see {log})")
    assert "MemoryError" in log.read_text()
    assert measured(tmp_path) == {(name, step): 1 for name in ("keeps", "forgets", "fast") for step in ALL_STEPS}
    assert begun_at(tmp_path, method) in begins_again_at
    found, _ = results.load(tmp_path)
    assert all((tmp_path / str(m.render)).read_text() == "picture" for m in found)
    assert all((tmp_path / str(m.render)).with_name("truth.png").exists() for m in found)
    assert len({m.device for m in found}) == 2  # each names its node


def test_ctrl_c_ends_the_runs_and_the_next_call_goes_on(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        at_step(20, "keeps", interrupt, patch, tmp_path)
        with pytest.raises(KeyboardInterrupt):
            train(cluster, tmp_path, "keeps")
    before = measured(tmp_path)
    assert 0 < len(before) < len(ALL_STEPS)
    time.sleep(2)
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if MARK in path.read_bytes()]
    assert train(cluster, tmp_path, "keeps") == []
    assert begun_at(tmp_path, "keeps") >= 10
    assert measured(tmp_path) == {("keeps", step): 1 for step in ALL_STEPS}


def test_the_log_comes_while_a_run_is_at_work(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    at_step(20, "keeps", lambda _: seen.append(begun_at(tmp_path, "keeps")), monkeypatch, tmp_path)
    assert train(cluster, tmp_path, "keeps") == []
    assert seen == [0]


def test_the_methods_of_a_seed_share_one_of_a_nodes_gpus(head: Any, tmp_path: Path) -> None:
    """Ray counts GPUs that are not there, and tells each run which one is its own."""
    node = head.add_node(num_cpus=0, num_gpus=2)
    try:
        made = [
            Task("ball", method, seed, [], str(tmp_path), STEPS, 10, 10, 1, None, 1)
            for seed in (1, 2)
            for method in ("keeps", "fast", "forgets")
        ]
        workers = ClusterWorkers(head.address, tmp_path, ORDER, program=PROGRAM)
        try:
            assert runner.execute(made, tmp_path, workers, Console(quiet=True)) == []
        finally:
            workers.stop()
    finally:
        head.remove_node(node)
    found = {(m.seed, m.device) for m in results.load(tmp_path)[0]}
    assert sorted(seed for seed, _ in found) == [1, 2]
    assert sorted(str(device).partition(" on ")[0] for _, device in found) == ["0", "1"]


@pytest.mark.parametrize(("gpus", "threads"), [(1, 4), (4, 2), (16, 1)])
def test_a_run_on_a_gpu_has_at_most_four_threads(gpus: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    there = {"Alive": True, "NodeManagerHostname": "host", "NodeID": "1", "Resources": {"CPU": 8.0, "GPU": gpus}}
    assert [node.threads for node in nodes.nodes_of(SimpleNamespace(nodes=lambda: [there]))] == [threads]


def test_an_earlier_sessions_gpus_have_places_on_their_node() -> None:
    """Ray chooses the GPU of a place, so a place stands for any of its node's."""
    two, one = (nodes.Node("1", name, gpus, 1, {"num_gpus": 1}) for name, gpus in (("two", 2), ("one", 1)))
    devices = ["A100 (GPU-0a) on two", "A100 (GPU-1b) on two", "T4 (GPU-2c) on one", "a processor on gone", None]
    made = [results.Measurement("ball", "keeps", seed, 0, 0.0, 0.0, 1.0, 1, device=d) for seed, d in enumerate(devices)]
    assert [(m.seed, m.device) for m in nodes.by_place([two, one], made)] == [
        (0, "two, GPU 1 of 2"),
        (1, "two, GPU 2 of 2"),
        (2, "one"),
    ]


def test_a_node_with_another_commit_is_refused(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {**environment(), "commit": "0123456789ab"}
    monkeypatch.setattr("softmining_nerfstudio.benchmark.run.nodes.environment", lambda: other)
    with pytest.raises(ClusterError, match=r"the node .* has commit .*; expected 0123456789ab, as here"):
        ClusterWorkers(cluster.address, tmp_path, ORDER, program=PROGRAM)


def test_a_session_has_the_environment_of_a_node(cluster: Any, tmp_path: Path) -> None:
    workers = ClusterWorkers(cluster.address, tmp_path, ORDER, program=PROGRAM)
    try:
        assert workers.about.items() >= {"torch": environment()["torch"], "threads": 1, "jobs": 1}.items()
        assert workers.about["cluster"].count("(1 at a time)") == 2
    finally:
        workers.stop()


def test_a_run_that_is_lost_too_often_fails(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softmining_nerfstudio.benchmark.run.cluster.ATTEMPTS", 1)

    def lose(_: str) -> None:
        for node in [*cluster.worker_nodes]:
            cluster.remove_node(node, allow_graceful=False)

    at_step(10, "keeps", lose, monkeypatch, tmp_path)
    (failure,) = train(cluster, tmp_path, "keeps")
    assert failure.error.startswith("lost 1 times, at last with ")
    with pytest.raises(ClusterError, match="no node of the cluster can train"):
        train(cluster, tmp_path, "keeps")


def test_a_node_without_the_data_is_named_before_anything_trains(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"the node .* has no /nowhere/fern; expected the data there"):
        ClusterWorkers(cluster.address, tmp_path, ORDER, ["/nowhere/fern"], program=PROGRAM)
