"""Where a run lies: how its folder is named, who may write there, and what is loaded from it.

output_dir / name of the data / method, and sampling type unless it is the default / timestamp
"""

from __future__ import annotations

import errno
import itertools
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.utils.rich_utils import CONSOLE

from softmining_nerfstudio.dataparsers.auto import AutoDataParserConfig
from softmining_nerfstudio.dataparsers.demo_scene import DemoSceneDataParserConfig
from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSamplerConfig
from softmining_nerfstudio.training.checkpoints import newest, require_loadable, step_of
from softmining_nerfstudio.training.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_claimed: dict[Path, int] = {}
"""Folder of each run that this process writes, and its open descriptor. The system unlocks it when the process ends."""


def config_being_loaded() -> Path | None:
    """The config.yml that nerfstudio's `eval_setup` is loading; None outside of it. A configuration is parsed from text
    alone, and does not hear otherwise which file it comes from."""
    frame = sys._getframe()
    while (frame := frame.f_back) is not None:  # type: ignore[assignment]
        if frame.f_code.co_name == "eval_setup" and frame.f_globals["__name__"] == "nerfstudio.utils.eval_utils":
            return frame.f_locals.get("config_path")
    return None


def make(folder: Path, exist_ok: bool = False) -> None:
    """Make the folder of a run.

    Raises:
        FileExistsError: if it is there, unless that is fine.
        UserError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except OSError as error:
        if folder.is_dir():
            raise
        raise UserError(
            f"cannot make {folder}, the folder of the run: {error.strerror}. Name another --output-dir"
        ) from error


def claim(folder: Path) -> None:
    """Keep other processes from training in a folder until this one ends, where the system can lock folders.

    Raises:
        UserError: if another process trains there.
    """
    folder = folder.resolve()
    if fcntl is None or folder in _claimed:
        return
    make(folder, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise UserError(
                f"another process is training in {folder}. Wait for it, or name another --timestamp."
            ) from error
        return  # a file system without locks
    _claimed[folder] = descriptor


@dataclass
class RunFolderConfig(TrainerConfig):
    """A trainer's options; the folder of the run is named after data and sampling."""

    _loaded_from = None
    """Folder of the config.yml that this was loaded from for evaluation: no field, so that no config.yml has it."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Remember which folder a recorded configuration is loaded from, for evaluation."""
        vars(self).update(state)
        if (path := config_being_loaded()) is not None:
            self._loaded_from = path.parent

    def set_timestamp(self) -> None:
        """Name the run after the time, if it has no name. Of runs that start in the same second each gets a folder of
        its own, and a new training gets another one than that of the same name before it."""
        named = self.timestamp != "{timestamp}"
        if named and not self._is_taken():
            return
        if not named:
            super().set_timestamp()
        wanted = self.timestamp
        for number in itertools.count(1):
            self.timestamp = wanted if number == 1 else f"{wanted}-{number}"
            with suppress(FileExistsError):
                make(self.get_base_dir())
                break
        if named:
            CONSOLE.print(f"{wanted} has the checkpoints of another training: this one is {self.timestamp}.")

    def _is_taken(self) -> bool:
        """Whether checkpoints lie in the folder of the run that it does not go on from; they would be deleted."""
        folder = super().get_checkpoint_dir()
        loaded = self.load_dir or (self.load_checkpoint and self.load_checkpoint.parent)
        goes_on = loaded is not None and loaded.resolve() == folder.resolve()
        return newest(folder) is not None and not goes_on

    def set_experiment_name(self) -> None:
        """Name the experiment after the data, wherever they were named."""
        datamanager = self.pipeline.datamanager
        parser = getattr(datamanager, "dataparser", None)
        if isinstance(parser, AutoDataParserConfig) and parser.demo and not (datamanager.data or parser.data):
            parser = parser.found()
        data = datamanager.data or getattr(parser, "data", None)
        if self.experiment_name is None and data is not None:
            folder = data.resolve()
            self.experiment_name = (folder.parent if folder.is_file() else folder).name or None
        super().set_experiment_name()

    def get_base_dir(self) -> Path:
        """Folder of the run: where its config.yml was loaded from, or else where it is recorded to be."""
        return self._loaded_from or self._recorded_base_dir()

    def _recorded_base_dir(self) -> Path:
        base = super().get_base_dir()  # checks the method's name
        kind = getattr(getattr(self.pipeline.datamanager, "pixel_sampler", None), "sampling_type", None)
        if kind in (None, SoftMiningPixelSamplerConfig.sampling_type):
            return base
        return Path(f"{self.output_dir}/{self.experiment_name}/{self.method_name}-{kind}/{self.timestamp}")

    def get_checkpoint_dir(self) -> Path:
        """Folder of this run's checkpoints; ns-eval, ns-viewer, ns-render and ns-export ask for it before they load
        the newest one.

        Raises:
            UserError: if there is none to load, or the newest one is damaged or harmful.
        """
        folder = super().get_checkpoint_dir()
        checkpoint = newest(folder)
        if checkpoint is not None:
            require_loadable(checkpoint)
        if self._loaded_from is not None:
            self._say_if_moved(self._loaded_from)
            if checkpoint is None:
                raise UserError(f"there is no checkpoint in {folder}, beside {self._loaded_from / 'config.yml'}")
            self.load_step = step_of(checkpoint)  # or nerfstudio takes every name in that folder for a step
        return folder

    def _say_if_moved(self, folder: Path) -> None:
        """Say if the run lies elsewhere than where it was trained. A relative folder may be relative to another one."""
        recorded, here = self._recorded_base_dir(), folder.resolve()
        as_recorded = here.parts[-len(recorded.parts) :] == recorded.parts
        if not as_recorded and recorded.resolve() != here:
            CONSOLE.print(f"Loading the run in {folder}; it was trained in {recorded}.", soft_wrap=True, markup=False)

    def save_config(self) -> None:
        """Write config.yml into the folder of the run. Machines that train together may share it.

        Raises:
            UserError: if another process trains there.
        """
        if self.machine.machine_rank == 0:
            claim(self.get_base_dir())
        super().save_config()


def require_own_data(config: TrainerConfig) -> None:
    """Check that a training that goes on does not do so on the demo scene because nobody named its data.

    Raises:
        UserError: if the checkpoint is of another scene.
    """
    loaded = config.load_dir or (config.load_checkpoint and config.load_checkpoint.parent)
    recorded = loaded and loaded.absolute().with_name("config.yml")
    if recorded and recorded.exists() and DemoSceneDataParserConfig.__name__ not in recorded.read_text():
        raise UserError(
            f"no data is named, and the training to go on from, {recorded.parent}, was not on the built-in scene. Name "
            "its data with --data DIR, or demo-scene"
        )


def require_resumable(config: TrainerConfig) -> None:
    """Check the checkpoint that a training goes on from, if there is one.

    Raises:
        UserError: if it is not there, or is damaged or harmful.
    """
    folder, step, checkpoint = config.load_dir, config.load_step, config.load_checkpoint
    if folder is None and step is not None:
        raise UserError(f"--load-step {step} names a checkpoint of --load-dir, which is missing")
    if folder is not None:
        inside = folder / RunFolderConfig.relative_model_dir
        if newest(folder) is None and newest(inside) is not None:
            raise UserError(f"there is no checkpoint in {folder}, the --load-dir. Name {inside}")
        latest = newest(folder) or folder / "step-*.ckpt"
        checkpoint = latest if step is None else folder / f"step-{step:09d}.ckpt"
    if checkpoint is not None:
        require_loadable(checkpoint)
