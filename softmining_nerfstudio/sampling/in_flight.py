"""A batch between its draw and the miner's learning from it, and the next one, drawn meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from softmining_nerfstudio.mining.feedback import Feedback
from softmining_nerfstudio.sampling.ahead import Ahead, Restore
from softmining_nerfstudio.sampling.batch import same

Drawn = tuple[dict[str, Any], Feedback]
"""A batch, and what its loss fills in."""


@dataclass(frozen=True, eq=False)
class Order:
    """What a batch is drawn for."""

    images: dict
    """nerfstudio's batch of whole images."""
    step: int
    rays: int

    def __eq__(self, other: object) -> bool:
        """Whether the other is for the same step and as many rays of the very same images."""
        if not isinstance(other, Order):
            return NotImplemented
        return (self.step, self.rays) == (other.step, other.rays) and same(self.images, other.images)


class InFlight:
    """Hands out batches, one a training step, and has the miner learn from each before the next is drawn.

    Args:
        draw: the batch of an order.
        learn: from what the loss of a batch filled in.
        remember: takes note of all that `draw` changes; the call it returns puts that back. With it, the next batch is
            drawn in a thread as soon as the loss of the last one is known, while that is still being back-propagated.
    """

    def __init__(
        self,
        draw: Callable[[Order], Drawn],
        learn: Callable[[Feedback], None],
        remember: Callable[[], Restore] | None = None,
    ) -> None:
        self._draw, self._learn = draw, learn
        self.ahead: Ahead[Drawn] | None = None if remember is None else Ahead(remember)
        self.feedback: Feedback | None = None
        """That of the batch that was handed out, until it is learnt from."""

    @property
    def awaited(self) -> bool:
        """Whether the loss of the batch that was handed out has still to come."""
        return self.feedback is not None and self.feedback.awaited

    def next(self, order: Order, following: Callable[[], Order]) -> Drawn:
        """Hand out a batch.

        Args:
            following: the order after this one; asked for when the loss of this one is known.

        Raises:
            FloatingPointError: if no colour of the batch before was finite.
        """
        drawn = None
        if self.ahead is not None and self.ahead.begun:
            self.feedback = None  # the thread learns from it
            drawn = self.ahead.take(order)
        self.settle()
        batch, self.feedback = drawn or self._draw(order)
        if self.ahead is not None and self.feedback.wanted:
            self.feedback.when_complete(partial(self._begin, following))
        return batch, self.feedback

    def settle(self) -> None:
        """Learn from the batch that was handed out, if its loss is known, and undo what was drawn since.

        Raises:
            FloatingPointError: if no colour of that batch was finite.
        """
        if self.ahead is not None and self.ahead.begun:
            self.feedback = None
            self.ahead.undo()
        elif self.feedback is not None and not self.feedback.awaited:
            feedback, self.feedback = self.feedback, None
            self._learn(feedback)

    def _begin(self, following: Callable[[], Order]) -> None:
        """Begin with the next batch: all that it depends on is known."""
        assert self.ahead is not None
        if not self.ahead.begun and self.feedback is not None and not self.feedback.awaited:
            order = following()
            self.ahead.begin(order, first=partial(self._learn, self.feedback), work=partial(self._draw, order))
