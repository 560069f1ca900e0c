"""Adam in one pass takes the steps of nerfstudio's, and goes on from its checkpoints."""

import copy

import pytest
import torch
from nerfstudio.engine.optimizers import AdamOptimizerConfig, Optimizers
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig

from softmining_nerfstudio.training.optimizers import FusedAdamOptimizerConfig, take_learning_rates


def trained(config: AdamOptimizerConfig, steps: int, start: dict | None = None) -> tuple[torch.Tensor, dict]:
    """A few steps from the same start; the parameter, and the optimizer's state."""
    parameter = torch.nn.Parameter(torch.linspace(-1, 1, 40).view(20, 2))
    optimizer = config.setup([parameter])
    if start is not None:
        optimizer.load_state_dict(start)
    for step in range(steps):
        parameter.grad = torch.sin(parameter.detach() * 7 + step) * (torch.arange(20) % 3 > 0)[:, None]
        optimizer.step()
    return parameter.detach(), copy.deepcopy(optimizer.state_dict())


@pytest.mark.parametrize("weight_decay", [0.0, 1e-3])
def test_its_steps_are_those_of_nerfstudios_adam(weight_decay: float) -> None:
    options = {"lr": 3e-2, "eps": 1e-15, "weight_decay": weight_decay}
    expected, state = trained(AdamOptimizerConfig(**options), 30)
    found, own = trained(FusedAdamOptimizerConfig(**options), 30)
    torch.testing.assert_close(found, expected)
    resumed, _ = trained(FusedAdamOptimizerConfig(**options), 5, state)
    torch.testing.assert_close(resumed, trained(AdamOptimizerConfig(**options), 5, own)[0])


def test_it_stays_fused_whatever_adam_has_left_the_checkpoint() -> None:
    _, state = trained(AdamOptimizerConfig(), 1)
    _, resumed = trained(FusedAdamOptimizerConfig(), 1, state)
    assert [group["fused"] for group in resumed["param_groups"]] == [True]


def test_elsewhere_than_on_a_cpu_torch_chooses() -> None:
    made = FusedAdamOptimizerConfig().setup([torch.nn.Parameter(torch.zeros(2, device="meta"))])
    assert made.param_groups[0]["fused"] is None
    _, state = trained(FusedAdamOptimizerConfig(), 1)
    made.load_state_dict(state)
    (of_parameter,) = made.state.values()
    assert of_parameter["exp_avg"].device.type == "meta"
    assert of_parameter["step"].device.type == "cpu"  # Adam reads it in every step
    assert made.param_groups[0]["fused"] is None
    assert state["param_groups"][0]["fused"] is True


def test_the_learning_rate_of_the_configuration_counts_not_that_of_a_checkpoint() -> None:
    def made(rate: float) -> tuple[Optimizers, torch.nn.Parameter]:
        parameter = torch.nn.Parameter(torch.zeros(2))
        schedule = ExponentialDecaySchedulerConfig(lr_final=rate / 10, max_steps=100)
        config = {"fields": {"optimizer": FusedAdamOptimizerConfig(lr=rate), "scheduler": schedule}}
        return Optimizers(config, {"fields": [parameter]}), parameter

    before, _ = made(1e-2)
    for _ in range(50):
        before.optimizer_step("fields")
        before.scheduler_step("fields")
    resumed, _ = made(1e-4)
    resumed.load_optimizers({"fields": before.optimizers["fields"].state_dict()})
    resumed.load_schedulers({"fields": before.schedulers["fields"].state_dict()})
    take_learning_rates(resumed)
    (rate,) = (group["lr"] for group in resumed.optimizers["fields"].param_groups)
    assert rate == pytest.approx(before.optimizers["fields"].param_groups[0]["lr"] / 100)
    resumed.scheduler_step("fields")
    (rate,) = (group["lr"] for group in resumed.optimizers["fields"].param_groups)
    assert rate == pytest.approx(1e-4 * 0.1**0.51)
