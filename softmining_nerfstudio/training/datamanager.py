"""nerfstudio's VanillaDataManager: mined rays for training, uniform ones for everything else."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Type, get_args  # noqa: UP035

import torch
from nerfstudio.cameras.cameras import CameraType
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.datamanagers.base_datamanager import TDataset, VanillaDataManager, VanillaDataManagerConfig
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader, RandIndicesEvalDataloader
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes
from nerfstudio.utils import comms
from nerfstudio.utils.misc import get_orig_class
from nerfstudio.utils.rich_utils import CONSOLE
from torch import nn

from softmining_nerfstudio.images.keeping import KeepImages
from softmining_nerfstudio.mining.walks import Langevin
from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSampler, SoftMiningPixelSamplerConfig
from softmining_nerfstudio.training import cameras, checks, lens, parsing, random_state, threads
from softmining_nerfstudio.training.course import Course
from softmining_nerfstudio.training.dataset import SoftMiningDataset, exportable
from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.image_batches import batches_of
from softmining_nerfstudio.training.questions import refuse_questions
from softmining_nerfstudio.training.rays import PixelRays
from softmining_nerfstudio.training.reporting import Report

if TYPE_CHECKING:
    from softmining_nerfstudio.training.viewer import MiningPanel

MOST_RAYS = 1 << 20
"""Of a batch: hundreds of times as many as any method has."""


@dataclass
class SoftMiningDataManagerConfig(VanillaDataManagerConfig):
    """A ray-based data manager that mines its training rays.

    Raises:
        ValueError: if a batch has no rays or absurdly many, no images, or a number of repeats below -1.
    """

    # `type` would make tyro warn of generic ones
    _target: Type = field(default_factory=lambda: SoftMiningDataManager)  # noqa: UP006
    pixel_sampler: SoftMiningPixelSamplerConfig = field(default_factory=SoftMiningPixelSamplerConfig)
    """Which pixels the training rays go through, and how much each ray counts."""
    images: KeepImages = KeepImages()
    """Where the images are kept."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("train_num_rays_per_batch", "eval_num_rays_per_batch"):
            if not 1 <= (rays := getattr(self, name)) <= MOST_RAYS:
                raise ValueError(f"{name} is {rays}; expected 1 to {MOST_RAYS}")
        for split in ("train", "eval"):
            at_once, repeats = f"{split}_num_images_to_sample_from", f"{split}_num_times_to_repeat_images"
            if (images := getattr(self, at_once)) != -1 and images < 1:
                raise ValueError(f"{at_once} is {images}; expected at least 1, or -1 for all")
            if (times := getattr(self, repeats)) < -1:
                raise ValueError(f"{repeats} is {times}; expected at least 0, or -1 for always")


class SoftMiningDataManager(VanillaDataManager[TDataset], nn.Module):
    """Hands out mined rays in training mode, and uniform ones in eval mode, in which the exporters draw from it. For
    another data set than images: `SoftMiningDataManager[DepthDataset]`.

    It is a module, so that it hears of eval mode and checkpoints keep its state. nerfstudio 1.1.5's data managers are
    modules, those of its main branch are not.

    Raises:
        UserError: if the data cannot be read or learned from, a parser asks what nobody can answer, patches are asked
            for, or the pixel sampler is not one that mines.
    """

    config: SoftMiningDataManagerConfig
    train_pixel_sampler: SoftMiningPixelSampler | None = None

    panel: MiningPanel | None = None
    """The viewer finds it here."""
    course: Course | None = None
    """The trainer's; checkpoints keep it."""
    _random_state: dict[str, Any] | None = None
    """From the checkpoint that was loaded, until training goes on."""

    def __init__(self, config: SoftMiningDataManagerConfig, *arguments: Any, **options: Any) -> None:
        nn.Module.__init__(self)
        cameras.require_settings(config.dataparser)
        with lens.rescaled_with_cameras() as self._factors:
            try:
                with refuse_questions():
                    super().__init__(config, *arguments, **options)
            except UserError:
                raise
            except Exception as error:
                parsing.explain(error, config.dataparser)
                raise
        if self.train_pixel_sampler is not None:
            from softmining_nerfstudio.training.viewer import MiningPanel  # plotly takes a while to import

            self.panel = MiningPanel(self.train_pixel_sampler)

    @cached_property
    def dataset_type(self) -> type[TDataset]:
        """The data set's class, with errors that name the file."""
        dataset = next(iter(get_args(get_orig_class(self))), InputDataset)
        return type(f"SoftMining{dataset.__name__}", (SoftMiningDataset, dataset), {})

    def setup_train(self) -> None:
        """Check cameras and images, load the images and set up the sampler; say if its walkers have no drift."""
        datasets = (self.train_dataset, self.eval_dataset)
        checks.require_sound(self.config.dataparser, self.train_dataparser_outputs, datasets, self._factors)
        config = self.config
        sampler = self._get_pixel_sampler(self.train_dataset, config.train_num_rays_per_batch)
        at_once, repeats = config.train_num_images_to_sample_from, config.train_num_times_to_repeat_images
        self.train_image_dataloader = batches_of(
            self, self.train_dataset, at_once, repeats, config.images, sampler.note
        )
        self.iter_train_image_dataloader = iter(self.train_image_dataloader)
        self.train_pixel_sampler = sampler
        self.train_ray_generator = PixelRays(self.train_dataset.cameras.to(self.device))
        walk = sampler.config.recipe.walk
        if isinstance(walk, Langevin) and not walk.needs_score:
            CONSOLE.print("The walkers have no drift: they follow the error only by dying and reappearing.")

    def setup_eval(self) -> None:
        """Load the held-out images and set up what draws from them."""
        config = self.config
        at_once, repeats = config.eval_num_images_to_sample_from, config.eval_num_times_to_repeat_images
        self.eval_image_dataloader = batches_of(self, self.eval_dataset, at_once, repeats, config.images)
        self.iter_eval_image_dataloader = iter(self.eval_image_dataloader)
        self.eval_pixel_sampler = self._get_pixel_sampler(self.eval_dataset, config.eval_num_rays_per_batch)
        self.eval_ray_generator = PixelRays(self.eval_dataset.cameras.to(self.device))
        # whole images, each read when it is looked at
        self.fixed_indices_eval_dataloader = FixedIndicesEvalDataloader(self.eval_dataset, device=self.device)
        self.eval_dataloader = RandIndicesEvalDataloader(self.eval_dataset, device=self.device)

    def create_train_dataset(self) -> TDataset:
        """The training images and cameras."""
        return exportable(super().create_train_dataset())

    def create_eval_dataset(self) -> TDataset:
        """The held-out images and cameras."""
        return exportable(super().create_eval_dataset())

    def _get_pixel_sampler(self, dataset: InputDataset, num_rays_per_batch: int) -> SoftMiningPixelSampler:
        config = self.config.pixel_sampler
        if self.config.patch_size > 1:
            raise UserError(f"soft mining draws single pixels; patch_size is {self.config.patch_size}, expected 1")
        if not isinstance(config, SoftMiningPixelSamplerConfig):
            raise UserError(f"pixel_sampler is {type(config).__name__}; expected SoftMiningPixelSamplerConfig")
        names = [path.name for path in dataset.image_filenames]
        cameras = dataset.cameras
        panoramas = bool((cameras.camera_type == CameraType.EQUIRECTANGULAR.value).all())
        return config.setup(
            image_names=names,
            draws_ahead=torch.device(self.device).type == "cuda" or threads.core_to_spare(),
            num_rays_per_batch=num_rays_per_batch,
            is_equirectangular=config.is_equirectangular or panoramas,
            fisheye_crop_radius=(cameras.metadata or {}).get("fisheye_crop_radius", config.fisheye_crop_radius),
        )

    def next_train(self, step: int) -> tuple[RayBundle, dict]:
        """Rays and batch of one training step: mined in training mode, uniform in eval mode.

        Raises:
            UserError: if the images have no pixel that the sampling type may draw.
        """
        assert self.train_pixel_sampler is not None
        self.train_count += 1
        if self.config.train_num_times_to_repeat_images != -1:  # a subset for all training is chosen as at first
            self._restore_random_state()
        image_batch = next(self.iter_train_image_dataloader)
        assert image_batch is not None
        self._restore_random_state()
        if not self.training:
            batch = self.train_pixel_sampler.sample(image_batch)
            return self.train_ray_generator(batch["indices"]), batch
        try:
            batch, yx = self.train_pixel_sampler.mine(image_batch, step)
        except ValueError as error:  # these images and this sampling type do not go together
            raise UserError(str(error)) from error
        # not through the ray generator: it looks coordinates up by integer, which cuts the gradient
        cameras = self.train_ray_generator.cameras
        return cameras.generate_rays(camera_indices=batch["indices"][:, :1], coords=yx), batch

    def _restore_random_state(self) -> None:
        """Go on with the random numbers of the checkpoint that was loaded, if training goes on."""
        if self.training and self._random_state is not None:
            random_state.restore(self._random_state)
            self._random_state = None

    def get_extra_state(self) -> dict[str, Any]:
        """What a checkpoint needs besides tensors of fixed shape, so that training goes on as if never interrupted."""
        sampler = self.train_pixel_sampler
        return {
            "sampler": None if sampler is None else sampler.state(),
            "random": random_state.capture(),
            "course": None if self.course is None else asdict(self.course),
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint was written.

        Of several processes only the first writes checkpoints, and only the first resumes its walkers. The others place
        new walkers by random numbers of their own; with the first one's, all would train on the same rays.
        """
        sampler, saved = self.train_pixel_sampler, state["sampler"]
        if comms.is_main_process():
            self._random_state = state["random"]
        if sampler is not None and saved is not None:
            load = sampler.load_state if comms.is_main_process() else sampler.load_progress
            load(saved)

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        """Report what the miner does."""
        trainer = training_callback_attributes.trainer
        assert trainer is not None
        report = Report(trainer, self.train_dataset, self.train_pixel_sampler, self.panel)
        return [*super().get_training_callbacks(training_callback_attributes), *report.callbacks()]
