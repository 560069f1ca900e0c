"""The learning rate over a training, as nerfstudio sets it up and steps it."""

from typing import Any

import pytest
import torch
from nerfstudio.engine.optimizers import AdamOptimizerConfig, Optimizers
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig

from softmining_nerfstudio.training.course import Course
from softmining_nerfstudio.training.schedule import CoolDownSchedulerConfig, cooling, on_course


def rates(schedule: Any, course: Course, steps: int) -> list[float]:
    """The learning rate of each step, of an optimizer whose own is 2."""
    config = {"fields": {"optimizer": AdamOptimizerConfig(lr=2.0), "scheduler": schedule}}
    optimizers = Optimizers(on_course(config, course), {"fields": [torch.nn.Parameter(torch.zeros(1))]})
    found = []
    for step in range(steps):
        found.append(optimizers.optimizers["fields"].param_groups[0]["lr"])
        optimizers.optimizers["fields"].step()
        course.add_step(1.0)
        optimizers.scheduler_step_all(step)
    return found


@pytest.mark.parametrize("unit", ["steps", "seconds"])
def test_the_rate_rises_stays_and_falls(unit: str) -> None:
    schedule = CoolDownSchedulerConfig(warmup_steps=3, warmup_share=1.0, final=0.1)
    found = rates(schedule, Course(10, unit, 0.4), 10)  # type: ignore[arg-type]
    assert found[:7] == pytest.approx([0.5, 1.0, 1.5, 2, 2, 2, 2])
    assert found[7:] == pytest.approx([2 * (1 - 0.9 * share) for share in (0.25, 0.5, 0.75)])


@pytest.mark.parametrize("unit", ["steps", "seconds"])
def test_a_short_training_rises_in_a_fifth_of_it(unit: str) -> None:
    found = rates(CoolDownSchedulerConfig(warmup_steps=100), Course(20, unit, 0.3), 20)  # type: ignore[arg-type]
    assert found[1:6] == pytest.approx([0.5, 1.0, 1.5, 2, 2])
    assert rates(CoolDownSchedulerConfig(warmup_steps=3), Course(20, "steps", 0.3), 5) == pytest.approx(
        [0.5, 1, 1.5, 2, 2]
    )


def test_a_schedule_takes_the_warm_up_of_the_methods_own() -> None:
    own = ExponentialDecaySchedulerConfig(warmup_steps=7, lr_final=1e-3, max_steps=9)
    assert cooling(own).warmup_steps == 7
    assert cooling(own).nerfstudio == own
    assert cooling(None).warmup_steps == 0


def test_without_a_cool_down_the_schedule_is_nerfstudios_own() -> None:
    own = ExponentialDecaySchedulerConfig(warmup_steps=2, lr_final=1e-3, max_steps=9)
    assert rates(cooling(own), Course(12), 12) == pytest.approx(rates(own, Course(12), 12))
    assert rates(cooling(None), Course(12), 12) == [2.0] * 12


def test_a_course_leaves_other_schedules_and_the_configurations_as_they_are() -> None:
    own, ours = ExponentialDecaySchedulerConfig(), CoolDownSchedulerConfig()
    config = {"a": {"scheduler": own}, "b": {"scheduler": None}, "c": {"scheduler": ours}}
    made = on_course(config, Course(9, "steps", 0.3))
    assert made["a"]["scheduler"] is own
    assert made["b"]["scheduler"] is None
    assert config["c"]["scheduler"] == CoolDownSchedulerConfig()


def test_a_checkpoint_keeps_numbers_alone(tmp_path) -> None:  # type: ignore[no-untyped-def]
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    made = CoolDownSchedulerConfig(warmup_steps=3).setup().get_scheduler(optimizer, 1.0)
    torch.save(made.state_dict(), tmp_path / "schedule")
    made.load_state_dict(torch.load(tmp_path / "schedule", weights_only=True))


def test_either_kind_of_schedule_goes_on_from_the_other() -> None:
    """--cool-down 0 and then a cool-down, of a method without a schedule."""
    kinds = [ours := cooling(None), ours.nerfstudio]
    for config in kinds:
        made = [each.setup().get_scheduler(torch.optim.Adam([torch.zeros(1)], lr=2.0), 2.0) for each in kinds]
        for other in made:
            config.setup().get_scheduler(torch.optim.Adam([torch.zeros(1)], lr=2.0), 2.0).load_state_dict(
                other.state_dict()
            )


@pytest.mark.parametrize("options", [{"warmup_steps": -1}, {"warmup_share": 0.0}, {"final": 1.5}])
def test_numbers_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        CoolDownSchedulerConfig(**options)
