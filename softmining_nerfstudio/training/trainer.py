"""nerfstudio's Trainer. Its checkpoints are whole or absent; an error names a damaged one."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.utils import writer
from nerfstudio.utils.decorators import check_main_thread
from nerfstudio.utils.rich_utils import CONSOLE

from softmining_nerfstudio.training.checkpoints import newest, require_whole
from softmining_nerfstudio.training.scenes import follow_data


@dataclass
class SoftMiningTrainerConfig(TrainerConfig):
    """nerfstudio's training options."""

    _target: type = field(default_factory=lambda: SoftMiningTrainer)

    def print_to_terminal(self) -> None:
        """Fit the settings to the data, print them, and say so; ns-train calls this before it records them.

        Raises:
            SystemExit: the data cannot be read.
        """
        try:
            said = follow_data(self, sys.argv)
        except (FileNotFoundError, ValueError) as error:
            raise SystemExit(str(error)) from None
        super().print_to_terminal()
        CONSOLE.print(said, markup=False, highlight=False, soft_wrap=True)

    def get_checkpoint_dir(self) -> Path:
        """Folder of this run's checkpoints; ns-eval, ns-viewer, ns-render and ns-export ask for it before they load
        one.

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
        """Check that the checkpoint to resume from is there and whole, then set up.

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
        """Evaluate if it is due, and show the PSNR of held-out views in the terminal; nerfstudio only logs it."""
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
        """Write a checkpoint elsewhere, then move it to the others: nerfstudio would take half a file for the
        newest."""
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
