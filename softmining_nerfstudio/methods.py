"""The methods that `ns-train` offers. nerfstudio finds them by the entry points in pyproject.toml.

A twin of one of nerfstudio's own methods is made when somebody asks for it: nerfstudio imports this module while it is
still listing its own.
"""

from __future__ import annotations

from typing import cast

from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.configs.base_config import MachineConfig, ViewerConfig
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManagerConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.models.nerfacto import NerfactoModelConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from nerfstudio.plugins.types import MethodSpecification

from softmining_nerfstudio.dataparsers.auto import AutoDataParserConfig
from softmining_nerfstudio.twins import DEVICE, sequential, soft_mining

TWINS = {
    "softmining": ("nerfacto", "Nerfacto, trained on soft-mined rays: for real captures."),
    "softmining-big": ("nerfacto-big", "Nerfacto-big, trained on soft-mined rays."),
    "softmining-huge": ("nerfacto-huge", "Nerfacto-huge, trained on soft-mined rays."),
    "softmining-depth": (
        "depth-nerfacto",
        "Depth-nerfacto on soft-mined rays. Needs depth maps; without them nerfstudio downloads a network that guesses "
        "them, for --pipeline.model.depth-loss-type SPARSENERF_RANKING alone.",
    ),
    "softmining-ngp": ("instant-ngp", "Instant-NGP, trained on soft-mined rays. Needs a CUDA GPU."),
    "softmining-vanilla": ("vanilla-nerf", "The original NeRF, trained on soft-mined rays. (slow)"),
    "softmining-mip": ("mipnerf", "Mip-NeRF, trained on soft-mined rays. (slow)"),
    "softmining-tensorf": ("tensorf", "TensoRF, trained on soft-mined rays, without drift."),
}
"""Name -> nerfstudio's method, description."""


def __getattr__(name: str) -> MethodSpecification:
    """A twin, by its name with underscores."""
    method = name.replace("_", "-")
    if method not in TWINS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nerfstudio.configs.method_configs import method_configs  # not earlier: see above

    parent, description = TWINS[method]
    twin = soft_mining(sequential(cast(TrainerConfig, method_configs[parent])), method)
    cast(VanillaDataManagerConfig, twin.pipeline.datamanager).dataparser = AutoDataParserConfig()
    return MethodSpecification(twin, description)


LITE_STEPS = 1000
"""Of nerfacto-lite."""

nerfacto_lite = MethodSpecification(
    TrainerConfig(
        method_name="nerfacto-lite",
        machine=MachineConfig(device_type=DEVICE),
        steps_per_eval_batch=250,
        steps_per_eval_image=250,
        steps_per_save=500,
        max_num_iterations=LITE_STEPS,
        pipeline=VanillaPipelineConfig(
            datamanager=VanillaDataManagerConfig(
                dataparser=AutoDataParserConfig(demo=True),
                train_num_rays_per_batch=1024,
                eval_num_rays_per_batch=1024,
            ),
            model=NerfactoModelConfig(
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
                    {
                        "hidden_dim": 16,
                        "log2_hashmap_size": 14,
                        "num_levels": 4,
                        "max_res": size,
                        "use_linear": False,
                    }
                    for size in (64, 128)
                ],
                proposal_weights_anneal_max_num_iters=500,
                average_init_density=0.1,
                eval_num_rays_per_chunk=1 << 13,
            ),
        ),
        optimizers={
            group: {
                "optimizer": AdamOptimizerConfig(lr=4e-2, eps=1e-15),
                "scheduler": ExponentialDecaySchedulerConfig(warmup_steps=100, lr_final=4e-3, max_steps=LITE_STEPS),
            }
            for group in ("proposal_networks", "fields")
        },
        viewer=ViewerConfig(num_rays_per_chunk=1 << 12, quit_on_train_completion=True),
        vis="viewer+tensorboard",
    ),
    description="A small nerfacto as nerfstudio trains it: the reference that softmining-lite is compared with.",
)


def _lite() -> TrainerConfig:
    """Nerfacto-lite on mined rays, in half of its steps. The anneal of the proposal weights is halved, too, so that it
    ends before the training does."""
    twin = soft_mining(nerfacto_lite.config, "softmining-lite")
    twin.max_num_iterations = LITE_STEPS // 2
    cast(NerfactoModelConfig, twin.pipeline.model).proposal_weights_anneal_max_num_iters = 250
    return twin


softmining_lite = MethodSpecification(
    _lite(), description="A small nerfacto on soft-mined rays: an object or a capture, in minutes on a laptop's CPU."
)
