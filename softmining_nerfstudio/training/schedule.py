"""The learning rate over a training: it rises, stays, and falls in the cool-down.

Unlike a decay over a fixed number of steps, it ends well wherever the training ends.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig, Scheduler, SchedulerConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from softmining_nerfstudio.training.course import Course


@dataclass
class ConstantSchedulerConfig(SchedulerConfig):
    """The optimizer's learning rate, for methods that have no schedule."""

    _target: type = field(default_factory=lambda: ConstantScheduler)


class ConstantScheduler(Scheduler):
    """Keeps the learning rate. Its state is of the kind that a cool-down can go on from."""

    def get_scheduler(self, optimizer: Optimizer, lr_init: float) -> LambdaLR:
        """torch's scheduler for an optimizer."""
        del lr_init
        return LambdaLR(optimizer, lambda step: 1.0)


@dataclass
class CoolDownSchedulerConfig(SchedulerConfig):
    """The learning rate rises to the optimizer's, stays there, and falls in the cool-down of the training.

    Raises:
        ValueError: if a number is out of its range.
    """

    _target: type = field(default_factory=lambda: CoolDownScheduler)
    warmup_steps: int = 0
    """Larger starts more gently: steps over which the learning rate rises from 0. Short trainings take fewer, see
    warmup-share."""
    warmup_share: float = 0.2
    """Larger lets short trainings start more gently: the largest fraction of a training in which the rate rises."""
    final: float = 0.025
    """Larger anneals less: the learning rate after the cool-down, as a fraction of the optimizer's."""
    nerfstudio: SchedulerConfig = field(default_factory=ConstantSchedulerConfig)
    """The method's own schedule, which takes the place of this one if there is no cool-down (--cool-down 0)."""

    def __post_init__(self) -> None:
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps is {self.warmup_steps}; expected at least 0")
        if not 0 < self.warmup_share <= 1:
            raise ValueError(f"warmup_share is {self.warmup_share}; expected more than 0, at most 1")
        if not 0 <= self.final <= 1:
            raise ValueError(f"final is {self.final}; expected 0 to 1")


class CoolDownScheduler(Scheduler):
    """Follows a course, rising early in it and falling linearly in its cool-down.

    Args:
        course: of the training. Without one there is no cool-down, and a warm-up of any length.
    """

    config: CoolDownSchedulerConfig

    def __init__(self, config: CoolDownSchedulerConfig, course: Course | None = None) -> None:
        super().__init__(config)
        self.course = course

    def get_scheduler(self, optimizer: Optimizer, lr_init: float) -> LambdaLR:
        """torch's scheduler for an optimizer."""
        del lr_init  # the factor is relative to it
        config, course = self.config, self.course

        def factor(step: int) -> float:
            done, cooled = (course.done, course.cooled) if course else (0.0, 0.0)
            risen = min(max((step + 1) / (config.warmup_steps + 1), done / config.warmup_share), 1.0)
            return risen * (1 - (1 - config.final) * cooled)

        return LambdaLR(optimizer, factor)


def cooling(schedule: SchedulerConfig | None) -> CoolDownSchedulerConfig:
    """A schedule with a cool-down, and with the warm-up of a method's own one."""
    own = copy.deepcopy(schedule) or ConstantSchedulerConfig()
    warmup_steps = own.warmup_steps if isinstance(own, ExponentialDecaySchedulerConfig) else 0
    return CoolDownSchedulerConfig(warmup_steps=warmup_steps, nerfstudio=own)


def on_course(optimizers: dict[str, Any], course: Course) -> dict[str, Any]:
    """The optimizers' configurations, with schedules that follow a course; the methods' own if it has no cool-down."""
    return {name: {**group, "scheduler": _on_course(group["scheduler"], course)} for name, group in optimizers.items()}


def _on_course(schedule: SchedulerConfig | None, course: Course) -> SchedulerConfig | None:
    if not isinstance(schedule, CoolDownSchedulerConfig):
        return schedule
    if course.share == 0:
        return schedule.nerfstudio
    made = copy.copy(schedule)
    made._target = partial(CoolDownScheduler, course=course)  # type: ignore[assignment]
    return made
