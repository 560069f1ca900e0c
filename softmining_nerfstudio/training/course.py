"""How long a training lasts, and when its learning rates cool down.

A training has a length, in steps or in seconds of training. Its last share is the cool-down, in which the learning
rates fall, so that any end is a good one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass
class Course:
    """Where a training is, and where it ends.

    Raises:
        ValueError: if it has no length, or the share is not from 0 to 1.
    """

    end: float
    """Length of the training, in `unit`."""
    unit: Literal["steps", "seconds"] = "steps"
    share: float = 0.0
    """Fraction of the length that is cool-down."""
    steps: int = 0
    """Steps that are done."""
    seconds: float = 0.0
    """Time that they took: drawing rays, forward and backward pass, optimizer, nerfstudio's loop. Evaluations and
    checkpoints do not count."""
    begin: float = -1.0
    """Where the cool-down begins, in `unit`."""
    ends_early: bool = False
    """Whether somebody has asked for the end before the length that was asked for."""

    def __post_init__(self) -> None:
        if not 0 < self.end < math.inf:
            raise ValueError(f"a training of {self.end} {self.unit}; expected more than 0")
        if not 0 <= self.share <= 1:
            raise ValueError(f"cool_down is {self.share}; expected 0 to 1")
        if self.begin < 0:
            self.begin = (1 - self.share) * self.end

    @property
    def position(self) -> float:
        """How much of the length is done, in `unit`."""
        return getattr(self, self.unit)

    @property
    def done(self) -> float:
        """Fraction of the length that is done."""
        return self.position / self.end

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return self.position >= self.end

    @property
    def cooling(self) -> bool:
        """Whether the next step belongs to the cool-down."""
        return self.position >= self.begin and self.share > 0

    @property
    def cooled(self) -> float:
        """How much of the cool-down is done, 0 to 1."""
        if not self.cooling:
            return 0.0
        return min((self.position - self.begin) / (self.end - self.begin), 1.0) if self.end > self.begin else 1.0

    def expected_steps(self, step_seconds: float) -> int:
        """The number of steps at the end, if each of the rest takes this long."""
        if self.unit == "steps":
            return round(self.end)
        return self.steps + math.ceil(max(self.end - self.seconds, 0) / step_seconds)

    def add_step(self, seconds: float) -> None:
        """Count a step that took this long."""
        self.steps += 1
        self.seconds += seconds

    def finish(self) -> None:
        """Cool down from here, for the share of the steps so far, and end. A cool-down that has begun goes on."""
        if not self.cooling:
            self.unit, self.begin = "steps", self.steps
            self.end = self.begin + self.steps_to_finish
            self.ends_early = True

    @property
    def steps_to_finish(self) -> int:
        """How many steps a cool-down takes that begins here."""
        return max(1, math.ceil(self.share * self.steps))

    def resume(self, steps: int, recorded: Course | None) -> None:
        """Go on from a checkpoint: in the same cool-down if the length is the same, or else with one that begins when
        the last share of the length does, or here if that is over.

        Args:
            steps: that the checkpoint has done.
            recorded: the course that its training was on; None if it does not say.
        """
        self.steps, self.seconds = steps, recorded.seconds if recorded else 0.0
        if recorded and recorded.length == self.length:
            self.begin = recorded.begin
        else:
            self.begin = max((1 - self.share) * self.end, min(self.position, self.end))

    def goes_beyond(self, recorded: Course) -> bool:
        """Whether it has another length than a training that was recorded, and more of it is left."""
        return self.length != recorded.length and getattr(recorded, self.unit) < self.end

    @property
    def length(self) -> tuple[float, str, float]:
        """What was asked for."""
        return self.end, self.unit, self.share
