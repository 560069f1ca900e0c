"""A training on a CPU leaves cores alone that others keep busy."""

import os

import psutil
import pytest
import torch

from softmining_nerfstudio.training import threads


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in os.environ if name.startswith("OMP_")]:
        monkeypatch.delenv(name)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)
    threads.idle_cores.cache_clear()


def machine(monkeypatch: pytest.MonkeyPatch, cores: int, load: float) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    shares = [min(max(load - core, 0.0), 1.0) for core in range(cores)]
    others = [100.0] * 3  # cores of the machine that this process may not use
    monkeypatch.setattr(psutil, "cpu_percent", lambda *_, **__: [100 * share for share in shares] + others)
    threads.idle_cores.cache_clear()


@pytest.mark.parametrize(
    ("cores", "load", "expected", "spare"),
    [
        (8, 0.2, 4, True),
        (4, 0.0, 3, True),
        (4, 1.2, 2, True),
        (4, 3.0, 1, False),
        (4, 9.0, 1, False),
        (2, 0.2, 1, True),
        (2, 0.6, 1, False),
    ],
)
def test_torch_takes_the_idle_cores_but_one(
    monkeypatch: pytest.MonkeyPatch, cores: int, load: float, expected: int, spare: bool
) -> None:
    machine(monkeypatch, cores, load)
    assert threads.leave_busy_cores_alone() == torch.get_num_threads() == expected
    assert threads.core_to_spare() == spare


def test_whoever_set_openmps_variables_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 4, 9.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert threads.leave_busy_cores_alone() == 4
    machine(monkeypatch, 8, 0.0)
    assert not threads.core_to_spare()
