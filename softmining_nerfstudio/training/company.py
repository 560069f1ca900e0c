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

from torch import distributed
from torch.distributed import (
    TCPStore,  # pyright: ignore[reportPrivateImportUsage]
    distributed_c10d,
)
from torch.distributed.distributed_c10d import PrefixStore, Store

from softmining_nerfstudio.training.errors import UserError

BEAT = 2.0
"""Seconds between two counts."""
PATIENCE = 40.0
"""Seconds without a count after which a process is lost. A process may be busy for a while."""
_BROKEN = ("Connection closed", "Connection reset", "Broken pipe", "Socket", "NCCL", "gloo")
"""Signs of a partner that is gone, in torch's messages; the most telling first."""

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

    def say_done(self) -> None:
        """Tell the others that this process ends because it has finished."""
        self._store.add(f"softmining/done/{self._rank}", 1)

    def _count(self) -> None:
        """Count, and hear the others. It may hang where a machine is gone; then nobody is heard any more."""
        while not self._left.wait(BEAT):
            try:
                self._store.add(f"softmining/alive/{self._rank}", 1)
                for other, (count, _) in list(self._heard.items()):
                    if self._store.add(f"softmining/done/{other}", 0):
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
        f"Training has ended on this machine, because another process of it is gone: {what}. Start it again on all "
        "machines, with --load-dir to go on from the first machine's last checkpoint."
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
            except RuntimeError as error:
                sign = next((sign for sign in _BROKEN if sign in str(error)), None)
                if sign is None:
                    raise
                raise UserError(_message(f"torch's connection to it failed ({sign})")) from error
            if method.__name__ == "train":
                company.say_done()
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


def require_gpus(processes: int, device_type: str) -> None:
    """Check that nerfstudio can start several processes.

    Raises:
        UserError: it cannot; it would fail with an assertion.
    """
    if processes > 1 and device_type != "cuda":
        raise UserError(
            f"ns-train starts several processes on CUDA GPUs alone; found {processes} of {device_type} "
            "(--machine.num-devices times --machine.num-machines). Expected 1, or --machine.device-type cuda"
        )
