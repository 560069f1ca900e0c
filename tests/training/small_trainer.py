"""A trainer without data, for tests of what it writes."""

from pathlib import Path
from types import SimpleNamespace

from nerfstudio.configs.base_config import MachineConfig
from torch import nn

from softmining_nerfstudio.training.trainer import SoftMiningTrainer, SoftMiningTrainerConfig


def trainer(folder: Path, **options: object) -> SoftMiningTrainer:
    """A trainer whose pipeline is a small layer."""
    config = SoftMiningTrainerConfig(
        method_name="softmining-lite",
        experiment_name="scene",
        timestamp="run",
        output_dir=folder,
        machine=MachineConfig(device_type="cpu"),
        **options,  # type: ignore[arg-type]
    )
    made = config.setup()
    made.pipeline = nn.Linear(2, 2)
    made.optimizers = SimpleNamespace(optimizers={}, schedulers={})
    return made
