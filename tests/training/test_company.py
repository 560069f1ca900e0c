"""Processes that train together: a lost one is noticed, one that has finished is not missed."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from nerfstudio.configs.base_config import MachineConfig
from torch import distributed

from softmining_nerfstudio.training import company
from softmining_nerfstudio.training.company import Company, in_company, require_gpus, require_same_course
from softmining_nerfstudio.training.course import Course
from softmining_nerfstudio.training.errors import UserError

HOST = Path(__file__).with_name("host.py")
LIMIT = 200
"""Seconds after which a training that was to end has failed."""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(company, "BEAT", 0.05)


def test_a_process_that_is_not_heard_any_more_is_lost(quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    store, ended = distributed.HashStore(), []
    with Company(store, 0, 2, patience=1.5, end=ended.append):
        with Company(store, 1, 2, patience=1.5, end=ended.append):
            time.sleep(3)
            assert ended == []
        time.sleep(4)
    assert ended == [1]
    assert "nothing was heard of process 1" in capsys.readouterr().err


def test_a_process_that_has_finished_is_not_missed(quick: None) -> None:
    store, ended = distributed.HashStore(), []
    with Company(store, 1, 2, patience=1.5, end=ended.append):
        with Company(store, 0, 2, patience=1.5, end=ended.append) as first:
            time.sleep(0.5)
            first.finish()
        time.sleep(4)
    assert ended == []


def test_the_others_wait_while_the_first_process_is_busy_with_its_viewer(quick: None) -> None:
    store, ended = distributed.HashStore(), []
    with Company(store, 0, 2, end=ended.append) as first, Company(store, 1, 2, end=ended.append) as other:
        finishing = threading.Thread(target=other.finish, daemon=True)
        finishing.start()
        finishing.join(1)
        assert finishing.is_alive()
        first.finish()
        finishing.join(10)
        assert not finishing.is_alive()
    assert ended == []


def test_a_broken_connection_is_told_and_other_errors_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    class Trainer:
        world_size = 2

        @in_company
        def train(self, says: str) -> None:
            raise RuntimeError(says)

    monkeypatch.setattr(company, "_own_store", distributed.HashStore)
    monkeypatch.setattr(distributed, "get_rank", lambda: 0)
    with pytest.raises(UserError, match=r"processes is gone: .*Connection closed by peer\).*--load-dir"):
        Trainer().train("Some lines\n[gloo/transport/tcp/pair.cc:553] Connection closed by peer")
    with pytest.raises(RuntimeError, match="shape"):
        Trainer().train("a shape is wrong")
    with pytest.raises(RuntimeError, match="shared memory"):  # no process is gone
        Trainer().train("NCCL error: unhandled system error\nError while creating shared memory segment")


def test_several_processes_on_a_processor_are_refused_in_a_line(tmp_path: Path) -> None:
    words = ["ns-train", "softmining-lite", "--machine.device-type", "cpu", "--machine.num-machines", "2"]
    program = [str(Path(sys.executable).parent / "ns-train"), *words[1:], "--output-dir", str(tmp_path), "demo-scene"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ns-train starts several processes on CUDA GPUs alone; found 2 of cpu" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with pytest.raises(UserError, match=r"cuda, but torch finds no GPU here \(CUDA_VISIBLE_DEVICES is 7\)"):
        require_gpus(MachineConfig(device_type="cuda"))


@pytest.mark.parametrize(("there", "refused"), [(4, False), (3, True)])
def test_more_processes_than_gpus_are_refused(there: int, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6,7,8"[: 2 * there])
    with (
        pytest.raises(UserError, match=rf"num-devices is 4, but torch finds {there} GPUs") if refused else nullcontext()
    ):
        require_gpus(MachineConfig(num_devices=4, num_machines=2))


@pytest.mark.parametrize(
    ("start", "others", "told"),
    [
        (5, Course(30.0, share=0.3), None),
        (
            15,
            Course(30.0, share=0.3),
            "the first goes from step 5 to 30 steps, process 1 goes from step 15 to 30 steps",
        ),
        (5, Course(40.0, share=0.3), "process 1 goes from step 5 to 40 steps"),
    ],
)
def test_processes_that_go_on_from_different_checkpoints_are_refused(
    start: int, others: Course, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process tells all others; here the second one's numbers stand in."""
    exchanged: list[torch.Tensor] = []

    def all_gather(found: list[torch.Tensor], own: torch.Tensor) -> None:
        exchanged.append(own)
        for place, number in zip(found, exchanged, strict=False):
            place.copy_(number)

    monkeypatch.setattr(distributed, "all_gather", all_gather)
    monkeypatch.setattr(distributed, "get_world_size", lambda: len(exchanged) + 1)
    require_same_course(5, Course(30.0, share=0.3), "cpu")
    with pytest.raises(UserError, match=told) if told else nullcontext():
        require_same_course(start, others, "cpu")


def start(folder: Path, scene: Path, name: str, *words: object) -> list[subprocess.Popen[str]]:
    """Both hosts of a training. They meet on the loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    options = ["--vis", "tensorboard", "--experiment-name", "two", "--timestamp", name, "--steps-per-save", 5]
    options += ["--pipeline.datamanager.train-num-rays-per-batch", 48, "--pipeline.model.log2-hashmap-size", 10]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
    hosts = []
    for rank in (0, 1):
        program = [sys.executable, HOST, rank, 2, url, folder / f"{name}-{rank}.pt", "softmining-lite"]
        program += ["--output-dir", folder / f"host{rank}", *options, *words, "blender-data", "--data", scene]
        with (folder / f"{name}-{rank}.log").open("w") as log:
            hosts.append(
                subprocess.Popen(list(map(str, program)), stdout=log, stderr=subprocess.STDOUT, env=environment)
            )
    return hosts


def test_two_hosts_train_one_model_end_together_and_resume(blender_scene: Path, tmp_path: Path) -> None:
    """The second one is killed after some steps."""
    hosts = start(tmp_path, blender_scene, "killed", "--max-num-iterations", 100000)
    try:
        log, deadline = tmp_path / "killed-0.log", time.monotonic() + LIMIT
        while "step 12 done" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            assert [host.poll() for host in hosts] == [None, None], log.read_text()
            time.sleep(0.1)
        hosts[1].send_signal(signal.SIGKILL)
        assert hosts[0].wait(60) == 1
    finally:
        for host in hosts:
            host.kill()
    told = log.read_text().splitlines()[-1]
    assert told.startswith("Training has ended on this machine, as another of the training's processes is gone")
    checkpoints = tmp_path / "host0" / "two" / "softmining-lite" / "killed" / "nerfstudio_models"
    (kept,) = checkpoints.glob("*.ckpt")
    done = int(kept.stem.removeprefix("step-")) + 1

    hosts = start(tmp_path, blender_scene, "resumed", "--max-num-iterations", done + 10, "--load-dir", checkpoints)
    try:
        assert [host.wait(LIMIT) for host in hosts] == [0, 0], (tmp_path / "resumed-0.log").read_text()
    finally:
        for host in hosts:
            host.kill()
    one, two = (torch.load(tmp_path / f"resumed-{rank}.pt") for rank in (0, 1))
    assert len(one["losses"]) == len(two["losses"]) == 10
    assert one["losses"] != two["losses"]  # each has rays of its own
    assert all(map(torch.equal, one["parameters"], two["parameters"]))
    for mine, theirs in zip(one["pixels"], two["pixels"], strict=True):
        assert len({*map(tuple, mine.tolist())} & {*map(tuple, theirs.tolist())}) < 0.3 * len(mine)
