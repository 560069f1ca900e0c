"""The devices of a machine, with a faked listing of GPUs, and the runs that are spread over them."""

import json
import os
import platform
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from softmining_nerfstudio.benchmark import results
from softmining_nerfstudio.benchmark.devices import Device, all_devices, name_of
from softmining_nerfstudio.benchmark.environment import environment
from softmining_nerfstudio.benchmark.results import Run
from softmining_nerfstudio.benchmark.run import local, plan, runner, suite_file
from softmining_nerfstudio.benchmark.run.local import LocalWorkers
from softmining_nerfstudio.benchmark.run.suite import Suite
from softmining_nerfstudio.benchmark.run.task import Task
from softmining_nerfstudio.benchmark.run.turns import Turns

CONFIGS = Path(__file__).parents[2] / "configs"
CARDS = ("A100", "A100", "T4")
UUIDS = ("0a0a0a0a", "1b1b1b1b", "2c2c2c2c")
STAND_IN = """
import json, os, sys, time
from pathlib import Path
from softmining_nerfstudio.benchmark.results import Measurement, append
task = json.loads(sys.argv[1])
time.sleep(0.5)
append(Path(task["folder"]), Measurement(
    **{name: task[name] for name in ("scene", "method", "seed")}, step=task["steps"], seconds=1.0, cpu_seconds=1.0,
    psnr=20.0, peak_memory=1, final={"psnr": 20.0}, device=os.environ["CUDA_VISIBLE_DEVICES"]))
"""


@pytest.fixture(autouse=True)
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three GPUs; CUDA counts and numbers those that CUDA_VISIBLE_DEVICES leaves, of parts (MIG) the first one."""

    def visible() -> list[int]:
        entries = os.environ.get("CUDA_VISIBLE_DEVICES")
        if entries is None:
            return [*range(len(CARDS))]
        numbers = [int(e.strip()[-1]) for e in entries.split(",") if e]
        return numbers[:1] if "MIG-" in entries else numbers

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(visible()))
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(visible()))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: gpu(visible()[index]))


def gpu(number: int) -> SimpleNamespace:
    return SimpleNamespace(name=CARDS[number], uuid=f"{UUIDS[number]}-9b5e-11ee-b9d1-0242ac120002")


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, {"0": "A100 (GPU-0a0a0a0a)", "1": "A100 (GPU-1b1b1b1b)", "2": "T4 (GPU-2c2c2c2c)"}),
        ("2, 0", {"2": "T4 (GPU-2c2c2c2c)", "0": "A100 (GPU-0a0a0a0a)"}),
        ("GPU-2c2,1", {"GPU-2c2": "T4 (GPU-2c2c2c2c)", "1": "A100 (GPU-1b1b1b1b)"}),
        ("MIG-aa0, MIG-bb0", {"MIG-aa0": "A100 (MIG-aa0)", "MIG-bb0": "A100 (MIG-bb0)"}),
    ],
)
def test_devices_are_those_that_cuda_visible_devices_leaves(
    visible: str | None, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert {device.entry: device.name for device in all_devices()} == expected
    assert environment()["gpu"] == ", ".join(expected.values())


def test_a_run_names_its_device_as_the_listing_does(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = all_devices()
    for device in listed:
        for name, value in device.environment.items():
            monkeypatch.setenv(name, value)
        assert name_of(torch.device("cuda:0")) == device.name
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (processor,) = all_devices()
    assert processor == Device(name_of(torch.device("cpu")), None)
    assert processor.name.endswith(f" on {platform.node()}")
    assert processor.environment == {}
    assert environment()["gpu"] is None


def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert environment()["cores"] == 2


def trained_on(folder: Path, methods: list[str], seeds: list[int], jobs: int) -> dict[tuple[str, int], str]:
    """The CUDA_VISIBLE_DEVICES that each run had."""
    tasks = [
        Task("ball", method, seed, [], str(folder), 100, 50, 10, 1, None, 1) for seed in seeds for method in methods
    ]
    waiting, measured = runner.pending(tasks, folder)
    devices = all_devices()
    turns = Turns([device.name for device in devices], methods, measured)
    workers = LocalWorkers(devices, jobs, turns, (sys.executable, "-c", STAND_IN))
    assert not runner.execute(waiting, folder, workers, Console(quiet=True))
    return {(m.method, m.seed): str(m.device) for m in results.load(folder)[0]}


def test_runs_are_spread_over_the_gpus_and_a_seeds_methods_share_one(tmp_path: Path) -> None:
    found = trained_on(tmp_path, ["uniform", "dmc"], [1, 2, 3], jobs=3)
    assert {found["uniform", seed] for seed in (1, 2, 3)} == {"0", "1", "2"}
    assert all(found["uniform", seed] == found["dmc", seed] for seed in (1, 2, 3))


def test_a_gpu_that_would_idle_takes_a_run_of_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-2c2,1")
    assert Counter(trained_on(tmp_path, ["uniform", "dmc"], [1], jobs=2).values()) == {"GPU-2c2": 1, "1": 1}


def test_more_jobs_than_gpus_share_them_evenly(tmp_path: Path) -> None:
    found = trained_on(tmp_path, ["a"], [1, 2, 3, 4, 5, 6], jobs=6)
    assert Counter(found.values()) == {"0": 2, "1": 2, "2": 2}


def waiting(*seeds: int) -> list[Task]:
    return [Task("ball", method, seed, [], "", 100, 50, 10, 1, None, 1) for seed in seeds for method in ("a", "b")]


def measured_on(device: str, method: str = "a") -> results.Measurement:
    return results.Measurement("ball", method, 1, 100, 1.0, 1.0, 20.0, 1, device=device)


def test_a_seed_goes_on_where_an_earlier_session_trained_it() -> None:
    turns = Turns(["A100", "T4"], ["a", "b"], [measured_on("T4")])
    tasks = waiting(1, 2)
    assert [turns.take(tasks, [device]) for device in ("A100", "T4")] == [
        (waiting(2)[0], "A100"),
        (waiting(1)[0], "T4"),
    ]


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ({"b": "T4", "c": "A100"}, {"b": "T4", "c": "A100"}),  # each goes on where its checkpoint's times are
        ({"a": "A100", "b": "T4", "c": "T4"}, {"d": "A100"}),
        ({"b": "A100", "c": "A100", "d": "T4"}, {"a": "A100"}),
    ],
)
def test_a_run_goes_on_where_it_was_and_the_others_of_its_seed_where_the_baseline_was(
    measured: dict[str, str], expected: dict[str, str]
) -> None:
    """Or where most of them were, if the baseline was nowhere."""
    turns = Turns(["A100", "T4"], [*"abcd"], [measured_on(device, method) for method, device in measured.items()])
    tasks = [Task("ball", method, 1, [], "", 100, 50, 10, 1, None, 1) for method in expected]
    taken = {task.method: device for task, device in (turns.take(tasks, ["T4", "A100"]) or () for _ in expected)}
    assert taken == expected


def test_a_device_that_is_gone_owns_nothing() -> None:
    turns = Turns(["A100", "V100"], ["a", "b"], [measured_on("T4")])
    tasks = waiting(1)
    assert [turns.take(tasks, ["A100"]), turns.take(tasks, ["V100", "A100"])] == [(t, "A100") for t in waiting(1)]


def test_of_idle_devices_the_owner_goes_on_first() -> None:
    turns = Turns(["A100", "T4"], ["a", "b"], [measured_on("T4")])
    assert turns.take(waiting(1), ["A100", "T4"]) == (waiting(1)[0], "T4")


def test_a_device_may_keep_its_runs() -> None:
    turns = Turns(["A100", "T4"], ["a", "b"], [measured_on("T4")], lend=False)
    tasks = waiting(1)
    assert turns.take(tasks, ["A100"]) is None
    assert tasks == waiting(1)
    turns.forget(["T4"])
    assert turns.take(tasks, ["A100"]) == (waiting(1)[0], "A100")


def trained_by(gpus: int, suite: Suite) -> tuple[int, dict[Run, int]]:
    """For how long GPUs of equal speed train a suite, in runs, and which one trains which run."""
    tasks = plan.tasks_of(suite, suite.runs(suite.methods, suite.scenes), Path("data"), Path("out"))
    turns, found, rounds = Turns([*map(str, range(gpus))], [suite.baseline, *suite.methods]), {}, 0
    while tasks:
        roomy = [*map(str, range(gpus))]
        while tasks and roomy:
            task, device = turns.take(tasks, roomy) or pytest.fail("a GPU idles")
            roomy.remove(device)
            found[task.run] = int(device)
        rounds += 1
    return rounds, found


def test_the_method_that_stands_last_is_lent_and_the_baseline_is_not() -> None:
    """The times of a lent run are lost; with the baseline's all others of its seed would be."""
    rounds, found = trained_by(4, suite_file.load(CONFIGS / "blender-short.toml"))
    compare = Counter(run.method for run, gpu in found.items() if found[run._replace(method="uniform")] == gpu)
    assert rounds == 8
    assert compare["dmc"] == compare["uniform"] == 3
    assert compare.total() - compare["uniform"] >= 20


@pytest.mark.parametrize(("asked", "threads"), [("4,2", "4"), ("0", "1"), ("many", "1"), (" 3 ", "3")])
def test_threads_are_as_openmp_takes_them(asked: str, threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert local.threads(10**6, on_gpus=False) == threads


def test_a_measurement_without_a_device_can_still_be_read(tmp_path: Path) -> None:
    """Results of earlier versions."""
    results.append(tmp_path, results.Measurement("ball", "a", 1, 0, 0.0, 0.0, 1.0, 1))
    path = tmp_path / results.FILE_NAME
    fields = json.loads(path.read_text())
    assert fields.pop("device") is None
    path.write_text(json.dumps(fields) + "\n")
    assert results.load(tmp_path)[0][0].device is None
