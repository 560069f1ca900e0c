"""torch's Adam in one pass over the parameters: the same steps, several times faster on a CPU; and learning rates that
are those asked for, whatever a checkpoint has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from nerfstudio.engine.optimizers import AdamOptimizerConfig, Optimizers


class FusedAdam(torch.optim.Adam):
    """torch's Adam; fused where all parameters are on a CPU."""

    def __init__(self, params: Iterable[torch.Tensor], **options: float) -> None:
        params = list(params)
        self._fused = all(p.device.type == "cpu" for p in params) or None  # torch chooses where it is None
        super().__init__(params, fused=self._fused, **options)  # type: ignore[arg-type]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state, whatever kind of Adam has left it."""
        # before, as torch moves the step counts of a fused one to the GPU, where any other waits for them in every step
        groups = [{**group, "fused": self._fused} for group in state_dict["param_groups"]]
        super().load_state_dict({**state_dict, "param_groups": groups})


@dataclass
class FusedAdamOptimizerConfig(AdamOptimizerConfig):
    """nerfstudio's Adam options."""

    _target: type = field(default_factory=lambda: FusedAdam)


def take_learning_rates(optimizers: Optimizers) -> None:
    """Go on at the configured learning rates, by the schedules, after a checkpoint with others was loaded."""
    for name, optimizer in optimizers.optimizers.items():
        asked = optimizers.config[name]["optimizer"].lr
        for group in optimizer.param_groups:
            before = group.get("initial_lr", group["lr"])
            group["lr"] = group["lr"] * asked / before if before else asked
            group["initial_lr"] = asked
        if name in optimizers.schedulers:
            scheduler = optimizers.schedulers[name]
            scheduler.base_lrs = [asked] * len(scheduler.base_lrs)
