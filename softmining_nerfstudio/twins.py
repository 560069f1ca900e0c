"""The soft-mining twin of any ray-based nerfstudio method: the same model, optimisers and data, on mined rays."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields
from typing import Any, TypeVar, get_args, get_origin

import torch
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager, VanillaDataManagerConfig
from nerfstudio.data.datamanagers.parallel_datamanager import ParallelDataManagerConfig
from nerfstudio.data.pixel_samplers import PixelSamplerConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.models.depth_nerfacto import DepthNerfactoModel
from nerfstudio.models.instant_ngp import NGPModel
from nerfstudio.models.tensorf import TensoRFModel
from nerfstudio.utils.external import TCNN_EXISTS

from softmining_nerfstudio.mining.walks import Langevin
from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSamplerConfig
from softmining_nerfstudio.training.checkpoints import allow_numpy_scalars
from softmining_nerfstudio.training.datamanager import SoftMiningDataManager, SoftMiningDataManagerConfig
from softmining_nerfstudio.training.held_out import OURS
from softmining_nerfstudio.training.model import mined
from softmining_nerfstudio.training.optimizers import FusedAdamOptimizerConfig
from softmining_nerfstudio.training.schedule import cooling
from softmining_nerfstudio.training.terminal import SoftMiningLocalWriterConfig
from softmining_nerfstudio.training.trainer import SoftMiningTrainerConfig

allow_numpy_scalars()  # here, as every ns-* command imports its methods before it loads a checkpoint

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
IMPLEMENTATION = "tcnn" if DEVICE == "cuda" and TCNN_EXISTS else "torch"

NO_SCORE = (TensoRFModel, NGPModel, DepthNerfactoModel)
"""Models that give pixels no gradient of the colour loss alone: the first two detach their sample positions, and in the
third the depth loss reaches the pixels, too. Their walkers have no drift, even with lmc."""

CAMERAS = "camera_opt"
"""nerfstudio's name of the optimizer of the camera poses, whose learning rate falls early, however long training is."""

Config = TypeVar("Config")


def soft_mining(config: TrainerConfig, method_name: str | None = None) -> TrainerConfig:
    """The configuration of a method on mined rays, for the device of this machine; all else as it was.

    Args:
        config: of a method that draws single pixels with a VanillaDataManager, and whose model computes its colour
            loss with `self.rgb_loss`. It stays unchanged.
        method_name: the twin's name; softmining-NAME by default.

    Raises:
        ValueError: if its rays cannot be mined. The message says why, and what to use instead.
    """
    twin = deepcopy(config)
    twin.pipeline.datamanager = _mining_datamanager(twin)
    if issubclass(twin.pipeline.model._target, NO_SCORE):
        twin.pipeline.datamanager.pixel_sampler.langevin = Langevin(drift=0.0)
    twin.method_name = method_name or f"softmining-{config.method_name}"
    twin.pipeline.model._target = mined(twin.pipeline.model._target)
    twin.pipeline._target = OURS.get(twin.pipeline._target, twin.pipeline._target)
    if getattr(twin.pipeline.model, "implementation", "torch") == "tcnn":
        twin.pipeline.model.implementation = IMPLEMENTATION  # type: ignore[attr-defined]
    for group in twin.optimizers.values():
        if type(group["optimizer"]) is AdamOptimizerConfig:
            group["optimizer"] = _with_fields_of(group["optimizer"], FusedAdamOptimizerConfig)
    twin.machine.device_type = DEVICE
    twin.mixed_precision = config.mixed_precision and DEVICE == "cuda"
    writer = twin.logging.local_writer
    twin.logging.local_writer = SoftMiningLocalWriterConfig(enable=writer.enable, max_log_size=writer.max_log_size)
    twin.viewer.websocket_host = "127.0.0.1"
    if type(twin) is not TrainerConfig or twin._target is not Trainer:
        return twin  # a trainer of its own
    for name, group in twin.optimizers.items():
        if name != CAMERAS:
            group["scheduler"] = cooling(group["scheduler"])
    return _with_fields_of(twin, SoftMiningTrainerConfig)


def sequential(config: TrainerConfig) -> TrainerConfig:
    """The configuration of a method with a VanillaDataManager in place of its ParallelDataManager."""
    changed = deepcopy(config)
    parallel = changed.pipeline.datamanager
    if isinstance(parallel, ParallelDataManagerConfig):
        changed.pipeline.datamanager = _with_fields_of(parallel, VanillaDataManagerConfig)
        if dataset := get_args(parallel._target):
            changed.pipeline.datamanager._target = VanillaDataManager[dataset[0]]
    return changed


def _mining_datamanager(config: TrainerConfig) -> SoftMiningDataManagerConfig:
    """A data manager like the configured one, on mined rays.

    Raises:
        ValueError: if there can be none.
    """
    datamanager, name = config.pipeline.datamanager, config.method_name
    kind = type(datamanager).__name__
    if isinstance(datamanager, ParallelDataManagerConfig):
        raise ValueError(
            f"{name} has a {kind}, which samples in other processes, where no feedback from the loss reaches it. Use "
            "a VanillaDataManagerConfig: soft_mining(sequential(config))"
        )
    if not isinstance(datamanager, VanillaDataManagerConfig):
        raise ValueError(
            f"{name} has a {kind}, which hands out no batches of rays (splatting methods train on whole images). "
            "Expected a method with a VanillaDataManagerConfig, such as nerfacto"
        )
    target = datamanager._target
    if (get_origin(target) or target) is not VanillaDataManager or type(datamanager) is not VanillaDataManagerConfig:
        raise ValueError(
            f"{name} has a data manager of its own, {kind}. Expected a VanillaDataManagerConfig; derive that data "
            "manager from SoftMiningDataManager instead"
        )
    if datamanager.patch_size > 1 or type(datamanager.pixel_sampler) is not PixelSamplerConfig:
        raise ValueError(
            f"{name} draws its pixels with {type(datamanager.pixel_sampler).__name__} in patches of "
            f"{datamanager.patch_size}: pixels that belong together cannot be mined one by one. Expected single pixels "
            "(PixelSamplerConfig, patch_size 1)"
        )
    mining = _with_fields_of(datamanager, SoftMiningDataManagerConfig)
    mining.pixel_sampler = _with_fields_of(datamanager.pixel_sampler, SoftMiningPixelSamplerConfig)
    if dataset := get_args(target):
        mining._target = SoftMiningDataManager[dataset[0]]
    return mining


def _with_fields_of(config: Any, kind: type[Config]) -> Config:
    """A configuration of another kind, with the fields that both have."""
    shared = {f.name for f in fields(kind) if f.init} & {f.name for f in fields(config)}  # type: ignore[arg-type]
    return kind(**{name: getattr(config, name) for name in shared - {"_target"}})
