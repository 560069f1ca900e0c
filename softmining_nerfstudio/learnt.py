"""What the strategies of one training have learnt, by sampling type: in its checkpoints, and in the viewer, where a
person may go over to another and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from softmining_nerfstudio.mining.respawn import Respawn
from softmining_nerfstudio.mining.strategy import Strategy
from softmining_nerfstudio.sampling_types import SoftMiningPixelSamplerConfig

States = Mapping[str, dict[str, Tensor]]
"""Of strategies, by sampling type."""


class Learnt:
    """The strategy at work, and the states of others that somebody may go back to.

    Args:
        config: whose sampling type is at work.
        respawn: knows what may be drawn of each image, and where its edges are.
        generator: the source of all randomness.
    """

    def __init__(self, config: SoftMiningPixelSamplerConfig, respawn: Respawn, generator: torch.Generator) -> None:
        self.config, self.respawn, self.generator = config, respawn, generator
        self.forget()
        self.others: dict[str, dict[str, Tensor]] = {}

    def forget(self) -> None:
        """Begin the strategy at work anew."""
        self.strategy: Strategy = self.config.strategy(self.respawn, self.generator)

    def states(self) -> States:
        """Of all strategies so far."""
        return {**self.others, self.config.sampling_type: self.strategy.state()}

    def go_on(self, config: SoftMiningPixelSamplerConfig, states: States) -> bool:
        """Put the strategy of `config` to work, with what it had learnt by these states.

        Returns:
            Whether it is among them; otherwise it begins anew.

        Raises:
            ValueError: if there is no such strategy; then all stays as it was.
        """
        strategy, own = config.strategy(self.respawn, self.generator), config.sampling_type
        if own in states:
            strategy.load_state(states[own])
        self.config, self.strategy = config, strategy
        self.others = {name: state for name, state in states.items() if name != own}
        return own in states
