"""What is on the clock: training steps alone, by times that are made up here."""

from types import SimpleNamespace

import pytest
import torch

from softmining_nerfstudio.benchmark.run import clock, training
from softmining_nerfstudio.benchmark.run.clock import Clock
from softmining_nerfstudio.benchmark.run.training import MeasuredTrainer, wait_for_workers
from softmining_nerfstudio.training.course import Course
from softmining_nerfstudio.training.trainer import SoftMiningTrainer


class Times:
    """A clock on the wall and one on a processor that stands still half of the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        fake = SimpleNamespace(perf_counter=lambda: self.now, process_time=lambda: self.now / 2)
        monkeypatch.setattr(clock, "time", fake)

    def passes(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    return Times(monkeypatch)


class SlowlyMeasured(MeasuredTrainer):
    """A step takes a second, a measurement 100, a checkpoint 50; four steps, measured every two."""

    def __init__(self, times: Times, start: int = 0) -> None:
        self.times, self._start_step, self.measured = times, start, []
        self.task = SimpleNamespace(number=lambda step: step // 2)  # type: ignore[assignment]
        self.course = Course(4, steps=start)
        self.clock = Clock("cpu")
        self.pipeline = SimpleNamespace(datamanager=SimpleNamespace())  # type: ignore[assignment]
        times.passes(30)  # set-up

    def measure(self, step: int) -> None:
        self.times.passes(100)
        self.measured.append((step, self.clock.seconds, self.clock.cpu_seconds))

    def save_checkpoint(self, step: int) -> None:
        self.times.passes(50)

    def steps(self) -> None:
        for step in range(self._start_step, 4):
            self.times.passes(1)
            self.course.steps = step + 1
            self.after_step(step)


def test_neither_measurements_nor_checkpoints_nor_set_up_are_on_the_clock(
    times: Times, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SoftMiningTrainer, "train", SlowlyMeasured.steps)
    monkeypatch.setattr(training, "forget_peak_memory", lambda _: None)
    trainer = SlowlyMeasured(times)
    trainer.train()
    assert trainer.measured == [(0, 0.0, 0.0), (2, 2.0, 1.0), (4, 4.0, 2.0)]


def test_a_run_that_goes_on_keeps_its_clock(times: Times, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SoftMiningTrainer, "train", SlowlyMeasured.steps)
    monkeypatch.setattr(training, "forget_peak_memory", lambda _: None)
    trainer = SlowlyMeasured(times, start=2)
    trainer.clock.seconds, trainer.clock.cpu_seconds = 7.0, 3.0
    trainer.train()
    assert trainer.measured == [(4, 9.0, 4.0)]


def test_only_a_run_that_has_not_ended_leaves_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last measurement needs none, whoever asks for it."""
    saved: list[int] = []
    monkeypatch.setattr(SoftMiningTrainer, "save_checkpoint", lambda _, step: saved.append(step))
    trainer = MeasuredTrainer.__new__(MeasuredTrainer)
    for steps in (2, 4):
        trainer.course = Course(4, steps=steps)
        trainer.save_checkpoint(steps - 1)
    assert saved == [1]


def test_the_device_that_trains_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    Clock("cpu").stop()
    assert not waited
    Clock("cuda:1").stop()
    assert waited == [torch.device("cuda:1")] * 2


def test_memory_is_that_of_the_device_that_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7 + device.index)
    assert clock.peak_memory(torch.device("cuda:1")) == 8
    assert clock.peak_memory(torch.device("cpu")) > 2**20
    monkeypatch.setattr(clock, "resource", None)
    assert clock.peak_memory(torch.device("cpu")) == 0


@pytest.mark.parametrize("alive", [True, False])
def test_worker_processes_are_waited_for_as_long_as_they_live(alive: bool) -> None:
    answers = iter([True, True, False])
    queue = SimpleNamespace(empty=lambda: next(answers))
    datamanager = SimpleNamespace(data_queue=queue, data_procs=[SimpleNamespace(is_alive=lambda: alive)])
    if alive:
        wait_for_workers(datamanager)
        assert not list(answers)
    else:
        with pytest.raises(RuntimeError, match="worker processes"):
            wait_for_workers(datamanager)
