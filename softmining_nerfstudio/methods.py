"""The methods that `ns-train` offers. Entry points: nerfstudio finds them in pyproject.toml."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from enum import Enum
from typing import Union

import torch
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.configs.base_config import LocalWriterConfig, LoggingConfig, MachineConfig, ViewerConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from nerfstudio.plugins.types import MethodSpecification
from nerfstudio.utils.writer import EventName

from softmining_nerfstudio.checkpoints import allow_numpy_scalars
from softmining_nerfstudio.datamanager import SoftMiningDataManagerConfig
from softmining_nerfstudio.dataparsers.demo_scene import DemoSceneDataParserConfig
from softmining_nerfstudio.model import SoftMiningNerfactoModelConfig
from softmining_nerfstudio.trainer import SoftMiningTrainerConfig

allow_numpy_scalars()  # here, as every ns-* command imports its methods before it loads a checkpoint

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
IMPLEMENTATION = "tcnn" if DEVICE == "cuda" and importlib.util.find_spec("tinycudann") else "torch"


class MiningEvent(Enum):
    """The mining numbers that appear in the terminal, beside nerfstudio's own."""

    MEAN_ERROR = "Mean Error"
    EFFECTIVE_SAMPLES = "Effective Samples"
    REDRAWN = "Redrawn"
    ALPHA = "Alpha"


@dataclass
class SoftMiningLocalWriterConfig(LocalWriterConfig):
    """The terminal's table of numbers."""

    stats_to_track: tuple[Union[EventName, MiningEvent], ...] = (  # type: ignore[assignment]
        EventName.ITER_TRAIN_TIME,
        EventName.TRAIN_RAYS_PER_SEC,
        EventName.CURR_TEST_PSNR,
        EventName.ETA,
        *MiningEvent,
    )
    """specifies which stats will be logged/printed to terminal"""


def logging_config() -> LoggingConfig:
    """nerfstudio's logging, with the mining numbers in the terminal."""
    return LoggingConfig(local_writer=SoftMiningLocalWriterConfig(enable=True))


softmining = MethodSpecification(
    SoftMiningTrainerConfig(
        method_name="softmining",
        steps_per_eval_batch=500,
        steps_per_save=2000,
        max_num_iterations=30000,
        mixed_precision=DEVICE == "cuda",
        machine=MachineConfig(device_type=DEVICE),
        logging=logging_config(),
        pipeline=VanillaPipelineConfig(
            datamanager=SoftMiningDataManagerConfig(
                dataparser=NerfstudioDataParserConfig(),
                train_num_rays_per_batch=4096,
                eval_num_rays_per_batch=4096,
            ),
            model=SoftMiningNerfactoModelConfig(
                eval_num_rays_per_chunk=1 << 15,
                average_init_density=0.01,
                camera_optimizer=CameraOptimizerConfig(mode="SO3xR3"),
                implementation=IMPLEMENTATION,
            ),
        ),
        optimizers={
            "proposal_networks": {
                "optimizer": AdamOptimizerConfig(lr=1e-2, eps=1e-15),
                "scheduler": ExponentialDecaySchedulerConfig(lr_final=0.0001, max_steps=200000),
            },
            "fields": {
                "optimizer": AdamOptimizerConfig(lr=1e-2, eps=1e-15),
                "scheduler": ExponentialDecaySchedulerConfig(lr_final=0.0001, max_steps=200000),
            },
            "camera_opt": {
                "optimizer": AdamOptimizerConfig(lr=1e-3, eps=1e-15),
                "scheduler": ExponentialDecaySchedulerConfig(lr_final=1e-4, max_steps=5000),
            },
        },
        viewer=ViewerConfig(num_rays_per_chunk=1 << 15, websocket_host="127.0.0.1"),
        vis="viewer",
    ),
    description="Nerfacto, trained on soft-mined rays: for real captures.",
)

LITE_STEPS = 1000

softmining_lite = MethodSpecification(
    SoftMiningTrainerConfig(
        method_name="softmining-lite",
        steps_per_eval_batch=250,
        steps_per_eval_image=250,
        steps_per_eval_all_images=LITE_STEPS - 1,
        steps_per_save=500,
        max_num_iterations=LITE_STEPS,
        machine=MachineConfig(device_type=DEVICE),
        logging=logging_config(),
        pipeline=VanillaPipelineConfig(
            datamanager=SoftMiningDataManagerConfig(
                dataparser=DemoSceneDataParserConfig(),
                train_num_rays_per_batch=1024,
                eval_num_rays_per_batch=1024,
            ),
            model=SoftMiningNerfactoModelConfig(
                near_plane=2.0,
                far_plane=6.0,
                background_color="white",
                disable_scene_contraction=True,
                distortion_loss_mult=0.0,
                use_appearance_embedding=False,
                camera_optimizer=CameraOptimizerConfig(mode="off"),
                implementation="torch",
                num_levels=8,
                max_res=1024,
                log2_hashmap_size=15,
                hidden_dim=32,
                hidden_dim_color=32,
                num_proposal_samples_per_ray=(32, 16),
                num_nerf_samples_per_ray=16,
                proposal_initial_sampler="uniform",
                proposal_net_args_list=[
                    {"hidden_dim": 16, "log2_hashmap_size": 14, "num_levels": 4, "max_res": 64, "use_linear": False},
                    {"hidden_dim": 16, "log2_hashmap_size": 14, "num_levels": 4, "max_res": 128, "use_linear": False},
                ],
                proposal_weights_anneal_max_num_iters=500,
                average_init_density=0.1,
                eval_num_rays_per_chunk=1 << 13,
            ),
        ),
        optimizers={
            group: {
                "optimizer": AdamOptimizerConfig(lr=2e-2, eps=1e-15),
                "scheduler": ExponentialDecaySchedulerConfig(warmup_steps=100, lr_final=2e-3, max_steps=LITE_STEPS),
            }
            for group in ("proposal_networks", "fields")
        },
        viewer=ViewerConfig(num_rays_per_chunk=1 << 12, websocket_host="127.0.0.1", quit_on_train_completion=True),
        vis="viewer+tensorboard",
    ),
    description="A small nerfacto on soft-mined rays: objects on a plain background, in minutes on a laptop's CPU.",
)
