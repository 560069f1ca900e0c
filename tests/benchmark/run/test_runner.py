"""Runs of a suite as processes: stand-ins that fail, are killed, or are stopped."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from softmining_nerfstudio.benchmark import results
from softmining_nerfstudio.benchmark.devices import Device
from softmining_nerfstudio.benchmark.errors import SuiteError
from softmining_nerfstudio.benchmark.run import runner
from softmining_nerfstudio.benchmark.run.local import LocalWorkers
from softmining_nerfstudio.benchmark.run.process import Child
from softmining_nerfstudio.benchmark.run.task import Task
from softmining_nerfstudio.benchmark.run.turns import Turns

STAND_IN = """
import json, os, subprocess, sys, time
from pathlib import Path
from softmining_nerfstudio.benchmark.results import Measurement, append
task = json.loads(sys.argv[1])
if task["method"] == "mute":
    sys.exit(1)
print("training", flush=True)
if task["method"] in ("parent", "fallen"):
    worker = subprocess.Popen(["sleep", "60"])
    Path(task["folder"], "worker").write_text(str(worker.pid))
if task["method"] == "fallen":
    os.kill(os.getpid(), 9)
if task["method"] in ("parent", "slow"):
    time.sleep(60)
if task["method"] == "broken":
    raise MemoryError("no room: 3 [GiB]")
if task["method"] == "gpu":
    print("torch.OutOfMemoryError: no room", flush=True)
    print("nerfstudio says: goodbye.", flush=True)
    sys.exit(1)
if task["method"] == "killed":
    os.kill(os.getpid(), 9)
run = {name: task[name] for name in ("scene", "method", "seed")}
append(Path(task["folder"]), Measurement(
    **run, step=task["steps"], seconds=1.0, cpu_seconds=1.0, psnr=20.0, peak_memory=1, final={"psnr": 20.0}))
"""


def task(method: str, folder: Path) -> Task:
    return Task("ball", method, 1, [], str(folder), 100, 50, 10, 1, None, 1)


def execute(folder: Path, *methods: str, jobs: int = 1) -> list[results.Failure]:
    tasks, measured = runner.pending([task(method, folder) for method in methods], folder)
    program = (sys.executable, "-c", STAND_IN)
    workers = LocalWorkers([Device("a processor", None)], jobs, Turns(["a processor"], methods, measured), program)
    try:
        return runner.execute(tasks, folder, workers, Console(quiet=True))
    finally:
        workers.stop()


def test_a_failed_run_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    failures = execute(tmp_path, "broken", "good", "killed", "mute", "better", jobs=2)
    assert {failure.method for failure in failures} == {"broken", "killed", "mute"}
    measured, recorded = results.load(tmp_path)
    assert {measurement.method for measurement in measured} == {"good", "better"}
    errors = {failure.method: failure.error for failure in recorded}
    log = tmp_path / "logs" / "ball--broken-seed-1.log"
    assert errors["broken"] == f"MemoryError: no room: 3 [GiB] (see {log})"
    assert "signal 9" in errors["killed"]
    assert str(tmp_path / "logs" / "ball--mute-seed-1.log") in errors["mute"]
    assert "training" in log.read_text()


def test_an_error_is_that_of_the_last_attempt_and_may_be_dotted(tmp_path: Path) -> None:
    (broken,) = execute(tmp_path, "broken")
    log = tmp_path / "logs" / "ball--gpu-seed-1.log"
    (tmp_path / "logs" / "ball--broken-seed-1.log").rename(log)
    (dotted,) = execute(tmp_path, "gpu")
    assert broken.error.startswith("MemoryError: no room")
    assert dotted.error == f"torch.OutOfMemoryError: no room (see {log})"


def test_running_again_trains_what_is_not_finished(tmp_path: Path) -> None:
    execute(tmp_path, "broken", "good")
    checkpoints = tmp_path / "runs" / "ball--good" / "method" / "seed-1" / "nerfstudio_models"
    checkpoints.mkdir(parents=True)
    waiting, _ = runner.pending([task(method, tmp_path) for method in ("broken", "good", "new")], tmp_path)
    assert [waits.method for waits in waiting] == ["broken", "new"]
    assert checkpoints.parent.exists()
    assert not checkpoints.exists()  # only an interrupted run needs them


def test_ctrl_c_ends_the_running_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Child] = []
    start = Child.start

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Child, "start", lambda *arguments: started.append(start(*arguments)) or started[-1])
    monkeypatch.setattr(runner.RunsProgress, "show", interrupt)
    with pytest.raises(KeyboardInterrupt):
        execute(tmp_path, "slow")
    assert [child.process.returncode for child in started] == [-signal.SIGTERM]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("method", ["parent", "fallen"])
def test_the_worker_processes_of_a_run_end_with_it(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is stopped or killed."""
    worker = tmp_path / "worker"

    def interrupt_once_it_works(*_: object) -> None:
        if worker.exists() and worker.read_text():
            raise KeyboardInterrupt

    if method == "parent":
        monkeypatch.setattr(runner.RunsProgress, "show", interrupt_once_it_works)
        with pytest.raises(KeyboardInterrupt):
            execute(tmp_path, method)
    else:
        assert "signal 9" in execute(tmp_path, method)[0].error
    for _ in range(50):
        if not is_alive(int(worker.read_text())):
            return
        time.sleep(0.02)
    raise AssertionError("the worker process is still there")


def test_two_runners_do_not_share_a_folder(tmp_path: Path) -> None:
    with runner.alone(tmp_path), pytest.raises(SuiteError, match=tmp_path.name):
        with runner.alone(tmp_path):
            pass


@pytest.mark.skipif(runner.fcntl is None, reason="nothing is locked here")
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_folder_that_cannot_be_locked_is_used_all_the_same(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(runner.fcntl, "flock", flock)
    with runner.alone(tmp_path):
        pass


@pytest.mark.parametrize(("entry", "shares"), [(None, ["8", "2", "1"]), ("0", ["4", "2", "1"])])
def test_jobs_share_the_cores_that_they_may_use_unless_told_otherwise(
    entry: str | None, shares: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run on a GPU is slower with more than four threads."""

    def threads(jobs: int) -> str:
        return LocalWorkers([Device("it", entry)], jobs, Turns(["it"], ["a"])).about["threads"]

    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [threads(jobs) for jobs in (1, 3, 20)] == shares
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert threads(3) == "5"


def test_a_run_has_no_standard_input_and_still_ends_with_its_parent() -> None:
    """A question meets the end of the input at once, while the parent's pipe stays open."""
    program = (
        "from softmining_nerfstudio.benchmark.run.training import *\n"
        "pipe = take_standard_input()\n"
        "print([os.read(0, 1), os.read(pipe, 1), os.read(pipe, 1)])"
    )
    asks = subprocess.run([sys.executable, "-c", program], input=b"x", capture_output=True, check=True)
    assert asks.stdout.splitlines()[-1] == b"[b'', b'x', b'']"
