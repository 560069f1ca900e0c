"""Any ray-based method of nerfstudio's trains on mined rays; what cannot be mined says why."""

import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from nerfstudio.configs.method_configs import all_methods
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager, VanillaDataManagerConfig
from nerfstudio.data.datamanagers.parallel_datamanager import ParallelDataManager, ParallelDataManagerConfig
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.data.datasets.depth_dataset import DepthDataset
from nerfstudio.data.pixel_samplers import PairPixelSamplerConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.models.base_model import Model, ModelConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from PIL import Image
from torch import nn

from softmining_nerfstudio.dataparsers.auto import AutoDataParserConfig
from softmining_nerfstudio.methods import TWINS
from softmining_nerfstudio.sampling.ahead import Ahead
from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.schedule import cooling
from softmining_nerfstudio.training.trainer import SoftMiningTrainer
from softmining_nerfstudio.twins import CAMERAS, sequential, soft_mining

RAYS = 64
SMALL = {
    "softmining": {"log2_hashmap_size": 10, "num_proposal_samples_per_ray": (8, 4), "num_nerf_samples_per_ray": 4},
    "softmining-vanilla": {"num_coarse_samples": 4, "num_importance_samples": 4},
    "softmining-mip": {"num_coarse_samples": 4, "num_importance_samples": 4},
    "softmining-tensorf": {"init_resolution": 16, "final_resolution": 16, "num_samples": 4, "num_uniform_samples": 4},
}
SMALL |= dict.fromkeys(("softmining-big", "softmining-huge", "softmining-depth"), SMALL["softmining"])


@pytest.fixture(scope="module")
def depth_scene(blender_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disc in nerfstudio's format, with depth in millimetres."""
    folder = tmp_path_factory.mktemp("depth") / "disc"
    folder.mkdir()
    frames = json.loads((blender_scene / "transforms_train.json").read_text())["frames"]
    for i, frame in enumerate(frames):
        Image.open(blender_scene / f"{frame['file_path']}.png").save(folder / f"{i}.png")
        Image.fromarray(np.full((24, 24), 4000, np.uint16)).save(folder / f"depth_{i}.png")
        frame |= {"file_path": f"{i}.png", "depth_file_path": f"depth_{i}.png"}
    lens = {"fl_x": 33.0, "fl_y": 33.0, "cx": 12.0, "cy": 12.0, "w": 24, "h": 24, "camera_model": "OPENCV"}
    (folder / "transforms.json").write_text(json.dumps({**lens, "frames": frames}))
    return folder


def small(method: str, data: Path, folder: Path, sampling_type: str = "lmc") -> TrainerConfig:
    """A registered method, cut down to seconds."""
    config = copy.deepcopy(all_methods[method])
    for name, value in SMALL[method].items():
        setattr(config.pipeline.model, name, value)
    parser = NerfstudioDataParserConfig if (data / "transforms.json").exists() else BlenderDataParserConfig
    config.pipeline.datamanager.dataparser = parser(data=data)
    config.pipeline.datamanager.train_num_rays_per_batch = config.pipeline.datamanager.eval_num_rays_per_batch = RAYS
    config.pipeline.datamanager.pixel_sampler.sampling_type = sampling_type
    config.output_dir, config.experiment_name, config.timestamp = folder, "scene", "run"
    config.max_num_iterations, config.vis, config.steps_per_save = 4, "tensorboard", 1000
    return config


def trained(config: TrainerConfig, draws_ahead: bool = False) -> Trainer:
    """The trainer after it has trained to the end, as nerfstudio's own does."""
    torch.manual_seed(0)
    random.seed(0)  # the order that images are loaded in
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    if draws_ahead:  # as on a GPU
        sampler = trainer.pipeline.datamanager.train_pixel_sampler
        sampler.in_flight.ahead = Ahead(sampler.miner.remember)
    trainer.train()
    trainer.pipeline.datamanager.train_pixel_sampler.in_flight.settle()
    return trainer


@pytest.mark.parametrize("method", SMALL)
def test_every_twin_trains_and_its_walkers_learn(
    method: str, blender_scene: Path, depth_scene: Path, tmp_path: Path
) -> None:
    config = small(method, depth_scene if method == "softmining-depth" else blender_scene, tmp_path)
    trainer = trained(config)
    strategy = trainer.pipeline.datamanager.train_pixel_sampler.miner.strategy
    assert strategy.walkers.error.isfinite().any()
    assert 0 < strategy.redrawn < 1
    assert strategy.needs_score == (method not in ("softmining-tensorf", "softmining-depth"))
    assert trainer.pipeline.datamanager.train_pixel_sampler.miner.score_arrives
    assert type(trainer.pipeline.model).__name__.startswith("SoftMining")
    assert len(list(trainer.checkpoint_dir.glob("*.ckpt"))) == 1
    saved = yaml.load(yaml.dump(config), Loader=yaml.Loader)  # as ns-eval does with config.yml
    assert saved.pipeline.model._target == config.pipeline.model._target
    assert saved.pipeline.datamanager._target == config.pipeline.datamanager._target


@pytest.mark.parametrize(
    ("method", "sampling_type"), [("softmining", "dmc"), ("softmining", "lmc"), ("softmining-vanilla", "lmc")]
)
def test_batches_drawn_ahead_train_as_those_drawn_in_time(
    method: str, sampling_type: str, blender_scene: Path, tmp_path: Path
) -> None:
    """The models have one loss, or a coarse and a fine one."""
    in_time, ahead = (
        trained(small(method, blender_scene, tmp_path / str(draws_ahead), sampling_type), draws_ahead)
        for draws_ahead in (False, True)
    )
    one, two = (t.pipeline.datamanager.train_pixel_sampler.state() for t in (in_time, ahead))
    torch.testing.assert_close(one, two, equal_nan=True)


@pytest.mark.parametrize("method", ["softmining-vanilla", "softmining-tensorf", "softmining-depth"])
def test_every_twin_has_a_uniform_one(method: str, blender_scene: Path, depth_scene: Path, tmp_path: Path) -> None:
    data = depth_scene if method == "softmining-depth" else blender_scene
    trainer = trained(small(method, data, tmp_path, "uniform"))
    assert trainer.pipeline.datamanager.train_pixel_sampler.statistics() == {}


def test_tensorf_is_mined_without_drift_and_says_so(
    blender_scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small("softmining-tensorf", blender_scene, tmp_path)
    assert config.pipeline.datamanager.pixel_sampler.langevin.drift == 0
    config.setup(local_rank=0, world_size=1).setup()
    assert capsys.readouterr().out.count("no drift: they follow the error only by dying") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_instant_ngp_without_a_gpu_says_what_to_use_instead(
    blender_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SMALL, "softmining-ngp", {})
    trainer = small("softmining-ngp", blender_scene, tmp_path).setup(local_rank=0, world_size=1)
    with pytest.raises(UserError, match=r"CUDA.* softmining "):
        trainer.setup()


@pytest.mark.parametrize(("name", "parent"), [(name, parent) for name, (parent, _) in TWINS.items()])
def test_a_twin_differs_from_its_parent_in_the_mining_only(name: str, parent: str) -> None:
    twin, config = all_methods[name], sequential(all_methods[parent])
    assert twin.method_name == name
    for group, made in config.optimizers.items():
        own = made["scheduler"] if group == CAMERAS else cooling(made["scheduler"])
        assert twin.optimizers[group]["scheduler"] == own
        assert vars(twin.optimizers[group]["optimizer"]) | {"_target": 0} == vars(made["optimizer"]) | {"_target": 0}
    assert twin.max_num_iterations == config.max_num_iterations
    assert type(twin.pipeline) is type(config.pipeline)
    assert vars(twin.pipeline.model) | {"_target": 0, "implementation": 0} == vars(config.pipeline.model) | {
        "_target": 0,
        "implementation": 0,
    }
    assert twin.pipeline.model._target.mined_from is config.pipeline.model._target
    for field_name in set(vars(config.pipeline.datamanager)) - {"_target", "pixel_sampler", "collate_fn", "dataparser"}:
        ours = getattr(twin.pipeline.datamanager, field_name)
        assert ours == getattr(config.pipeline.datamanager, field_name), field_name
    assert twin.pipeline.datamanager.dataparser == AutoDataParserConfig()
    assert twin._target is SoftMiningTrainer


class OwnDataManager(VanillaDataManager):
    """Somebody's."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: all_methods["splatfacto"], r"splatfacto .*FullImageDatamanagerConfig.*VanillaDataManagerConfig"),
        (lambda: all_methods["generfacto"], r"generfacto .*RandomCamerasDataManagerConfig.*VanillaDataManagerConfig"),
        (lambda: all_methods["nerfacto"], r"ParallelDataManagerConfig.*soft_mining\(sequential\(config\)\)"),
        (lambda: with_datamanager(patch_size=4), r"patches of 4\b.*patch_size 1\b"),
        (lambda: with_datamanager(pixel_sampler=PairPixelSamplerConfig()), "PairPixelSamplerConfig"),
        (
            lambda: with_datamanager(_target=OwnDataManager),
            r"depth-nerfacto .*SoftMiningDataManager ",
        ),
        (lambda: all_methods["softmining-lite"], "softmining-lite .*SoftMiningDataManagerConfig"),
    ],
)
def test_what_cannot_be_mined_says_why_and_what_to_use(change: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        soft_mining(change())


def with_datamanager(**changes: object) -> TrainerConfig:
    config = sequential(all_methods["depth-nerfacto"])  # on nerfstudio's main branch it is parallel
    for name, value in changes.items():
        setattr(config.pipeline.datamanager, name, value)
    return config


class OneColour(Model):
    """A third party's model. It has one colour for everything."""

    def populate_modules(self) -> None:
        super().populate_modules()
        self.colour = nn.Parameter(torch.zeros(3))
        self.rgb_loss = nn.L1Loss()

    def get_param_groups(self) -> dict:
        return {"all": [self.colour]}

    def get_outputs(self, ray_bundle: object) -> dict:
        return {"rgb": self.colour.expand(len(ray_bundle), 3)}  # type: ignore[arg-type]

    def get_loss_dict(self, outputs: dict, batch: dict, metrics_dict: dict | None = None) -> dict:
        return {"rgb_loss": self.rgb_loss(batch["image"][:, :3], outputs["rgb"])}

    def get_image_metrics_and_images(self, outputs: dict, batch: dict) -> tuple[dict, dict]:
        return {}, {}


@dataclass
class OneColourConfig(ModelConfig):
    _target: type = field(default_factory=lambda: OneColour)


def test_a_third_partys_method_is_mined(
    blender_scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = TrainerConfig(
        method_name="one-colour",
        pipeline=VanillaPipelineConfig(
            datamanager=VanillaDataManagerConfig(dataparser=BlenderDataParserConfig(data=blender_scene)),
            model=OneColourConfig(),
        ),
        optimizers={"all": {"optimizer": AdamOptimizerConfig(lr=0.1), "scheduler": None}},
    )
    before = copy.deepcopy(theirs)
    config = soft_mining(theirs)
    assert config.method_name == "softmining-one-colour"
    config.pipeline.datamanager.pixel_sampler.sampling_type = "lmc"
    config.output_dir, config.experiment_name, config.vis = tmp_path, "scene", "tensorboard"
    config.timestamp, config.max_num_iterations = "run", 3
    trainer = trained(config)
    assert theirs == before
    assert trainer.pipeline.model.colour.abs().max() > 0.1
    assert trainer.pipeline.datamanager.train_pixel_sampler.miner.strategy.walkers.error.isfinite().any()
    assert capsys.readouterr().out.count("mining goes on without drift") == 1  # its colour is the same everywhere


def test_a_trainer_of_its_own_is_kept() -> None:
    class Theirs(Trainer):
        pass

    config = sequential(all_methods["depth-nerfacto"])  # on nerfstudio's main branch it is parallel
    config._target = Theirs
    assert soft_mining(config)._target is Theirs


def test_only_the_parallel_data_manager_is_replaced() -> None:
    config = all_methods["nerfacto"]
    changed = sequential(config)
    assert isinstance(config.pipeline.datamanager, ParallelDataManagerConfig)
    assert type(changed.pipeline.datamanager) is VanillaDataManagerConfig
    for name in set(vars(VanillaDataManagerConfig())) - {"_target", "collate_fn"}:
        assert getattr(changed.pipeline.datamanager, name) == getattr(config.pipeline.datamanager, name), name
    assert sequential(changed) == changed
    parallel = ParallelDataManagerConfig(_target=ParallelDataManager[DepthDataset])
    config = copy.deepcopy(config)
    config.pipeline.datamanager = parallel
    assert sequential(config).pipeline.datamanager._target == VanillaDataManager[DepthDataset]
