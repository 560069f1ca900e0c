"""Adam in one pass takes the steps of nerfstudio's, and goes on from its checkpoints."""

import copy

import pytest
import torch
from nerfstudio.engine.optimizers import AdamOptimizerConfig

from softmining_nerfstudio.training.optimizers import FusedAdamOptimizerConfig


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
