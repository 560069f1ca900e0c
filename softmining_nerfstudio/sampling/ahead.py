"""Work out the next result in a thread while the caller is busy, and undo that if something else comes up."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

Result = TypeVar("Result")
Restore = Callable[[], None]


@dataclass(frozen=True)
class _Begun(Generic[Result]):
    key: object
    done: Future[tuple[Result, Restore]]


class Ahead(Generic[Result]):
    """One result ahead of need.

    Args:
        remember: takes note of all that the work changes. The call it returns puts that back.
    """

    def __init__(self, remember: Callable[[], Restore]) -> None:
        self._remember = remember
        self._thread = ThreadPoolExecutor(1, "soft-mining")
        self._begun: _Begun[Result] | None = None

    @property
    def begun(self) -> bool:
        """Whether a result is under way or ready."""
        return self._begun is not None

    def begin(self, key: object, first: Callable[[], object], work: Callable[[], Result]) -> None:
        """Start in the thread: `first`, which stays done, then `work`, which can be undone.

        Args:
            key: names the result.
        """

        def run() -> tuple[Result, Restore]:
            first()
            restore = self._remember()
            return work(), restore

        self._begun = _Begun(key, self._thread.submit(run))

    def take(self, key: object) -> Result | None:
        """The result, once it is there; None after undoing it if it has another key. If a signal interrupts the wait,
        the result stays under way.

        Raises:
            Exception: whatever `first` or `work` raised.
        """
        assert self._begun is not None
        begun = self._begun
        wait([begun.done])
        self._begun = None
        result, restore = begun.done.result()
        if begun.key == key:
            return result
        restore()
        return None

    def undo(self) -> None:
        """Wait, and put back what `work` changed.

        Raises:
            Exception: whatever `first` or `work` raised.
        """
        self.take(object())  # the key of nothing
