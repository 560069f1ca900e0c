"""torch's Adam in one pass over the parameters: the same steps, several times faster on a CPU."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from nerfstudio.engine.optimizers import AdamOptimizerConfig


class FusedAdam(torch.optim.Adam):
    """torch's Adam; fused where all parameters are on a CPU."""

    def __init__(self, params: Iterable[torch.Tensor], **options: float) -> None:
        params = list(params)
        super().__init__(params, fused=all(p.device.type == "cpu" for p in params), **options)  # type: ignore[arg-type]


@dataclass
class FusedAdamOptimizerConfig(AdamOptimizerConfig):
    """nerfstudio's Adam options."""

    _target: type = field(default_factory=lambda: FusedAdam)
