"""The other processes of a training on several GPUs or machines. If one is lost, the rest end with a message.

Torch waits for half an hour in a collective operation whose partner is gone. So each process counts up a number in the
store at which all of them met, and watches the numbers of the others.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch
from nerfstudio.configs.base_config import MachineConfig
from torch import distributed
from torch.distributed import (
    TCPStore,  # pyright: ignore[reportPrivateImportUsage]
    distributed_c10d,
)
from torch.distributed.distributed_c10d import PrefixStore, Store

from softmining_nerfstudio.training.course import Course
from softmining_nerfstudio.training.errors import UserError

BEAT = 2.0
"""Seconds between two counts."""
PATIENCE = 40.0
"""Seconds without a count after which a process is lost. A process may be busy for a while."""
_BROKEN = ("Connection closed", "Connection reset", "Broken pipe", "likely closed", "gloo", "remote process exited")
"""Signs of a partner that is gone, in torch's messages."""

Method = TypeVar("Method", bound=Callable[..., Any])


class Company:
    """Within this context, this process ends if another one is lost.

    Args:
        end: Ends this process; an exception could not, as torch is waiting.
    """

    def __init__(
        self,
        store: Store,
        rank: int,
        processes: int,
        patience: float = PATIENCE,
        end: Callable[[int], Any] = os._exit,
    ) -> None:
        self._store, self._rank, self._patience, self._end = store, rank, patience, end
        self._left = threading.Event()
        now = time.monotonic()
        self._heard = {other: (0, now) for other in range(processes) if other != rank}

    def __enter__(self) -> Company:
        for work in (self._count, self._watch):
            threading.Thread(target=work, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._left.set()

    def finish(self) -> None:
        """Tell the others that this process ends because it has finished, and wait for the first one to say so.

        The first evaluates and leaves its viewer open. Meanwhile the others would be in the last barrier of ns-train,
        in which torch waits for half an hour and then ends all.
        """
        self._store.add(f"softmining/done/{self._rank}", 1)
        while not self._is_done(0) and not self._left.is_set():
            time.sleep(BEAT)

    def _is_done(self, process: int) -> bool:
        return self._store.add(f"softmining/done/{process}", 0) > 0

    def _count(self) -> None:
        """Count, and hear the others. It may hang where a machine is gone; then nobody is heard any more."""
        while not self._left.wait(BEAT):
            try:
                self._store.add(f"softmining/alive/{self._rank}", 1)
                for other, (count, _) in list(self._heard.items()):
                    if self._is_done(other):
                        del self._heard[other]
                    elif (heard := self._store.add(f"softmining/alive/{other}", 0)) != count:
                        self._heard[other] = (heard, time.monotonic())
            except RuntimeError:  # the store is gone, and with it the first process
                return

    def _watch(self) -> None:
        while not self._left.wait(1.0):
            now = time.monotonic()
            lost = [other for other, (_, heard) in list(self._heard.items()) if now - heard > self._patience]
            if lost and not self._left.is_set():
                print(_message(f"nothing was heard of process {lost[0]} for {self._patience:.0f} s"), file=sys.stderr)
                sys.stderr.flush()
                self._end(1)
                return


def _message(what: str) -> str:
    return (
        f"Training has ended on this machine, as another of the training's processes is gone: {what}. Start it again "
        "on all machines, with --load-dir to go on from the first machine's last checkpoint."
    )


def in_company(method: Method) -> Method:
    """Watch the other processes, if there are any, during a method of a trainer.

    Raises:
        UserError: one of them is gone.
    """

    @functools.wraps(method)
    def watched(trainer: Any, *arguments: Any, **options: Any) -> Any:
        store = _own_store() if trainer.world_size > 1 else None
        if store is None:
            return method(trainer, *arguments, **options)
        with Company(store, distributed.get_rank(), trainer.world_size) as company:
            try:
                found = method(trainer, *arguments, **options)
                if method.__name__ == "train":
                    company.finish()
            except RuntimeError as error:
                line = next((line for line in str(error).splitlines() if any(sign in line for sign in _BROKEN)), None)
                if line is None:
                    raise
                raise UserError(_message(f"torch's connection to it failed ({line.strip()})")) from error
            return found

    return watched  # type: ignore[return-value]


def _own_store() -> Store | None:
    """A connection of its own to the TCP store; None if the processes met elsewhere. Torch may hold the common one for
    as long as it waits."""
    if not distributed.is_initialized():
        return None
    store = distributed_c10d._get_default_store()
    while isinstance(store, PrefixStore):
        store = store.underlying_store
    if not isinstance(store, TCPStore):
        return None
    return TCPStore(
        store.host, store.port, is_master=False, timeout=timedelta(seconds=PATIENCE), wait_for_workers=False
    )


def require_gpus(machine: MachineConfig) -> None:
    """Check that nerfstudio can start the processes that are asked for.

    Raises:
        UserError: it cannot; it would fail with an assertion.
    """
    here, machines = machine.num_devices, machine.num_machines
    found = torch.cuda.device_count()
    visible = f"CUDA_VISIBLE_DEVICES is {os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}"
    if machine.device_type == "cuda" and not found:
        raise UserError(f"--machine.device-type is cuda, but torch finds no GPU here ({visible}); expected cpu")
    if here * machines == 1:
        return
    if machine.device_type != "cuda":
        raise UserError(
            f"ns-train starts several processes on CUDA GPUs alone; found {here * machines} of {machine.device_type} "
            "(--machine.num-devices times --machine.num-machines). Expected 1, or --machine.device-type cuda"
        )
    if here > found:
        raise UserError(
            f"--machine.num-devices is {here}, but torch finds {found} GPUs here; expected at most as many ({visible})"
        )


def require_same_course(start: int, course: Course, device: str | torch.device) -> None:
    """Check that all processes go on from the same step to the same end; nothing else would notice.

    Args:
        start: The step from which this one goes on.
        device: of this process, where torch's processes can exchange tensors.

    Raises:
        UserError: they do not.
    """
    own = torch.tensor([start, course.end, course.begin, course.seconds], dtype=torch.float64, device=device)
    all_of_them = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(all_of_them, own)
    first = all_of_them[0]
    for process, other in enumerate(all_of_them):
        if not torch.equal(other, first):
            told = [f"from step {int(step)} to {end:g} {course.unit}" for step, end, *_ in (first, other)]
            raise UserError(
                f"the processes of this training differ: the first goes {told[0]}, process {process} goes {told[1]}. "
                "Give all machines the same options, and the same checkpoints in --load-dir (its folder "
                "before_cool_down, too)"
            )
