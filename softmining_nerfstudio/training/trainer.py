"""nerfstudio's Trainer, with checkpoints that are whole or absent, and an error that names the one that is not."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.utils import writer
from nerfstudio.utils.decorators import check_main_thread
from nerfstudio.utils.rich_utils import CONSOLE

from softmining_nerfstudio.training.checkpoints import newest, require_whole


@dataclass
class SoftMiningTrainerConfig(TrainerConfig):
    """nerfstudio's training options."""

    _target: type = field(default_factory=lambda: SoftMiningTrainer)

    def get_checkpoint_dir(self) -> Path:
        """Where the checkpoints of this run are; ns-eval, ns-viewer, ns-render and ns-export ask before they load.

        Raises:
            ValueError: if the newest one is damaged.
        """
        folder = super().get_checkpoint_dir()
        if (checkpoint := newest(folder)) is not None:
            require_whole(checkpoint)
        return folder


class SoftMiningTrainer(Trainer):
    """Trains like nerfstudio's Trainer. A run that is killed at any moment can be resumed."""

    config: SoftMiningTrainerConfig

    def setup(self, *arguments: Any, **options: Any) -> None:
        """Set up, once it is known that the checkpoint to resume from is there and whole.

        Raises:
            FileNotFoundError: if it is not there.
            ValueError: if it is damaged.
        """
        folder, step, checkpoint = self.config.load_dir, self.config.load_step, self.config.load_checkpoint
        if folder is not None:
            latest = newest(folder) or folder / "step-*.ckpt"
            checkpoint = latest if step is None else folder / f"step-{step:09d}.ckpt"
        if checkpoint is not None:
            require_whole(checkpoint)
        super().setup(*arguments, **options)

    def eval_iteration(self, step: int) -> None:
        """Evaluate where that is due, and show in the terminal what nerfstudio only logs: the PSNR of unseen views."""
        super().eval_iteration(step)
        for event in list(writer.EVENT_STORAGE):
            if event["name"] == "Eval Images Metrics" and "psnr" in event["event"]:
                writer.put_scalar(writer.EventName.CURR_TEST_PSNR, event["event"]["psnr"], step)
            elif event["name"] == "Eval Images Metrics Dict (all images)":
                qualities = [
                    f"{name.upper()} {float(value):.{digits}f}{unit}"
                    for name, digits, unit in (("psnr", 2, " dB"), ("ssim", 3, ""), ("fine_ssim", 3, ""))
                    if (value := event["event"].get(name)) is not None
                ]
                CONSOLE.print(f"All held-out views after {step + 1} steps: {', '.join(qualities)}")

    @check_main_thread
    def save_checkpoint(self, step: int) -> None:
        """Write a checkpoint elsewhere, then move it to the others: half a file there would be taken for the newest."""
        folder, name = self.checkpoint_dir, f"step-{step:09d}.ckpt"
        unfinished = self.checkpoint_dir = folder.with_name(f"{folder.name}.unfinished")
        try:
            super().save_checkpoint(step)
        finally:
            self.checkpoint_dir = folder
        folder.mkdir(parents=True, exist_ok=True)
        (unfinished / name).replace(folder / name)
        shutil.rmtree(unfinished)
        if self.config.save_only_latest_checkpoint:
            for path in folder.glob("*.ckpt"):
                if path.name != name:
                    path.unlink()
