"""What the data manager hands to nerfstudio: mined rays in training, plain ones to everyone else."""

import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nerfstudio.data.datamanagers.parallel_datamanager import ParallelDataManagerConfig
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.pixel_samplers import PixelSamplerConfig
from nerfstudio.engine.callbacks import TrainingCallbackAttributes, TrainingCallbackLocation

from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSamplerConfig
from softmining_nerfstudio.training import datamanager, reporting
from softmining_nerfstudio.training.datamanager import SoftMiningDataManager, SoftMiningDataManagerConfig
from softmining_nerfstudio.training.dataset import SoftMiningDataset

RAYS, SIZE = 48, 24


def manager(
    scene: Path, sampling_type: str = "lmc", test_mode: str = "val", **options: object
) -> SoftMiningDataManager:
    config = SoftMiningDataManagerConfig(
        dataparser=BlenderDataParserConfig(data=scene),
        train_num_rays_per_batch=RAYS,
        eval_num_rays_per_batch=RAYS,
        **{"pixel_sampler": SoftMiningPixelSamplerConfig(sampling_type=sampling_type), **options},  # type: ignore[arg-type]
    )
    random.seed(42)  # as ns-train does; nerfstudio caches the images in random order
    return config.setup(device="cpu", test_mode=test_mode)


def train(made: SoftMiningDataManager, steps: int, first: int = 0) -> list[dict]:
    """Batches of a training loop whose model is wrong where the noise says."""
    batches = []
    for step in range(first, first + steps):
        rays, batch = made.next_train(step)
        if batch["feedback"] is not None:
            predicted = batch["image"] + 0.1 * torch.sin(7 * rays.directions) * torch.rand(len(rays), 1)
            batch["feedback"].correct(lambda t, p: ((t - p) ** 2).mean(-1), batch["image"], predicted).backward()
        batches.append(batch)
    return batches


def uniformity(indices: torch.Tensor, images: int) -> float:
    """Chi-square per degree of freedom of the pixels over a 4 x 4 grid in each image: about 1 where uniform."""
    image, row, column = indices.unbind(-1)
    cell = (image * 4 + row * 4 // SIZE) * 4 + column * 4 // SIZE
    counts = torch.bincount(cell, minlength=images * 16)
    expected = len(indices) / (images * 16)
    return float(((counts - expected) ** 2 / expected).sum() / (images * 16 - 1))


def test_training_rays_are_mined_and_carry_feedback(blender_scene: Path) -> None:
    made = manager(blender_scene)
    for batch in train(made, 4):
        assert len(batch["image"]) == RAYS
        assert batch["feedback"].error is not None
        assert batch["feedback"].score().isfinite().all()
    assert made.train_count == 4


@pytest.mark.parametrize("sampling_type", ["uniform", "lmc"])
def test_rays_are_those_that_nerfstudio_generates_for_the_same_pixels(blender_scene: Path, sampling_type: str) -> None:
    made = manager(blender_scene, sampling_type)
    for step in range(3):
        rays, batch = made.next_train(step)
        if batch["feedback"] is not None:
            predicted = batch["image"] + rays.directions
            batch["feedback"].correct(lambda t, p: ((t - p) ** 2).mean(-1), batch["image"], predicted).backward()
        expected = made.train_ray_generator(batch["indices"])
        for name in ("origins", "directions", "pixel_area", "camera_indices"):
            torch.testing.assert_close(getattr(rays, name), getattr(expected, name), msg=name)
        assert rays.metadata.keys() == expected.metadata.keys()
        assert rays.directions.requires_grad == (sampling_type == "lmc")


def test_the_exporter_gets_uniform_rays_and_leaves_the_walkers_alone(blender_scene: Path) -> None:
    made = manager(blender_scene)
    train(made, 5)
    made.train_pixel_sampler.in_flight.settle()
    before = made.train_pixel_sampler.miner.strategy.walkers
    made.eval()
    made.train_pixel_sampler.num_rays_per_batch = 32768
    with torch.no_grad():
        rays, batch = made.next_train(0)
    assert len(rays) == 32768
    assert "feedback" not in batch
    assert not rays.directions.requires_grad
    assert uniformity(batch["indices"], images=6) < 2
    after = made.train_pixel_sampler.miner.strategy.walkers
    assert after.per_image == before.per_image
    torch.testing.assert_close(after.yx, before.yx, equal_nan=True)
    made.train()
    made.train_pixel_sampler.num_rays_per_batch = RAYS
    assert len(train(made, 1, first=5)[0]["image"]) == RAYS


def test_evaluation_batches_are_uniform_and_plain(blender_scene: Path) -> None:
    made = manager(blender_scene)
    made.eval_pixel_sampler.num_rays_per_batch = 8192
    for _ in range(2):
        rays, batch = made.next_eval(0)
        assert "feedback" not in batch
        assert not rays.directions.requires_grad
        assert uniformity(batch["indices"], images=2) < 2
    assert made.eval_count == 2


def test_the_loaded_images_may_change_during_training(blender_scene: Path) -> None:
    made = manager(blender_scene, train_num_images_to_sample_from=2, train_num_times_to_repeat_images=3)
    images = {image: made.train_dataset[image]["image"] for image in range(6)}
    loaded = []
    for batch in train(made, 40):
        loaded.append(tuple(batch["indices"][:, 0].unique().tolist()))
        for colour, (image, row, column) in zip(batch["image"], batch["indices"].tolist(), strict=True):
            torch.testing.assert_close(colour, images[image][row, column])
    assert all(len(pair) <= 2 for pair in loaded)
    assert {image for pair in loaded for image in pair} == set(range(6))


@pytest.mark.parametrize(("every", "drawn"), [(0, []), (2, [0, 2, 4])])
def test_pictures_are_drawn_when_an_image_would_be_evaluated(
    blender_scene: Path, monkeypatch: pytest.MonkeyPatch, every: int, drawn: list[int]
) -> None:
    made, steps = manager(blender_scene), []
    monkeypatch.setattr(reporting, "pictures", lambda dataset, sampler, image: {"rays": image})
    monkeypatch.setattr(reporting.writer, "put_image", lambda name, picture, step: steps.append(step))
    monkeypatch.setattr(reporting.writer, "GLOBAL_BUFFER", {"steps_per_log": 10})
    trainer = SimpleNamespace(config=SimpleNamespace(steps_per_eval_image=every))
    attributes = TrainingCallbackAttributes(optimizers=None, grad_scaler=None, pipeline=None, trainer=trainer)
    for step in range(5):
        for callback in made.get_training_callbacks(attributes):
            callback.run_callback_at_location(step, TrainingCallbackLocation.AFTER_TRAIN_ITERATION)
    assert steps == drawn


def test_patches_are_refused(blender_scene: Path) -> None:
    with pytest.raises(ValueError, match=r"patch_size is 2\b"):
        manager(blender_scene, patch_size=2)


def test_another_pixel_sampler_is_refused(blender_scene: Path) -> None:
    with pytest.raises(ValueError, match="pixel_sampler is PixelSamplerConfig"):
        manager(blender_scene, pixel_sampler=PixelSamplerConfig())


def test_a_data_manager_that_samples_in_other_processes_is_refused(blender_scene: Path) -> None:
    config = ParallelDataManagerConfig(
        dataparser=BlenderDataParserConfig(data=blender_scene), pixel_sampler=SoftMiningPixelSamplerConfig()
    )
    with pytest.raises(TypeError, match=r"ParallelDataManager .*SoftMiningDataManagerConfig"):
        config.setup(device="cpu")


def saved(made: SoftMiningDataManager, folder: Path) -> dict:
    """Its state, as it comes back from a checkpoint."""
    torch.save(made.state_dict(), folder / "state.pt")
    return torch.load(folder / "state.pt", weights_only=True)


def random_numbers() -> list[float]:
    return [random.random(), np.random.rand(), torch.rand(()).item()]  # noqa: NPY002


def test_a_restored_data_manager_goes_on_bit_for_bit(blender_scene: Path, tmp_path: Path) -> None:
    made = manager(blender_scene)
    train(made, 5)
    state = saved(made, tmp_path)
    expected, numbers = train(made, 5, first=5), random_numbers()
    torch.manual_seed(123)
    other = manager(blender_scene)
    other.load_state_dict(state)
    assert random_numbers() != numbers
    for one, two in zip(expected, train(other, 5, first=5), strict=True):
        assert torch.equal(one["image"], two["image"])
        assert torch.equal(one["indices"], two["indices"])
    assert random_numbers() == numbers


def test_evaluation_leaves_the_random_numbers_of_its_own_process(blender_scene: Path, tmp_path: Path) -> None:
    made = manager(blender_scene).eval()
    state = saved(made, tmp_path)
    used = random_numbers()
    made.load_state_dict(state)
    made.next_train(0)
    made.next_eval(0)
    assert random_numbers() != used


def test_only_the_process_that_wrote_a_checkpoint_resumes_its_walkers(
    blender_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = manager(blender_scene)
    first = train(made, 5)[-1]
    state = saved(made, tmp_path)
    monkeypatch.setattr(datamanager.comms, "is_main_process", lambda: False)
    torch.manual_seed(1)
    other = manager(blender_scene)
    before = other.train_pixel_sampler.miner.generator.get_state()
    other.load_state_dict(state)
    assert torch.equal(other.train_pixel_sampler.miner.generator.get_state(), before)
    assert other.train_pixel_sampler.miner.rays_so_far == made.train_pixel_sampler.miner.rays_so_far > 0
    assert not torch.equal(train(other, 1, first=5)[0]["indices"], first["indices"])


def test_a_checkpoint_is_viewed_without_a_sampler(blender_scene: Path, tmp_path: Path) -> None:
    made = manager(blender_scene)
    train(made, 2)
    viewed = manager(blender_scene, test_mode="inference").eval()
    assert viewed.train_pixel_sampler is None
    viewed.load_state_dict(saved(made, tmp_path))
    assert viewed.get_extra_state()["sampler"] is None
    made.load_state_dict(saved(viewed, tmp_path))
    train(made, 1)


def test_walkers_survive_a_run_with_uniform_sampling(blender_scene: Path, tmp_path: Path) -> None:
    mined = manager(blender_scene)
    train(mined, 5)
    state = saved(mined, tmp_path)
    uniform = manager(blender_scene, "uniform")
    uniform.load_state_dict(state)
    assert train(uniform, 3)[-1]["feedback"] is None
    again = manager(blender_scene)
    again.load_state_dict(saved(uniform, tmp_path))
    walkers = state["_extra_state"]["sampler"]["strategies"]["lmc"]["yx"]
    torch.testing.assert_close(again.train_pixel_sampler.miner.strategy.walkers.yx, walkers, equal_nan=True)
    assert len(train(again, 3)) == 3


def test_a_data_manager_may_be_given_another_kind_of_data_set(blender_scene: Path) -> None:
    class Depths(InputDataset):
        def get_metadata(self, data: dict) -> dict:
            return {"depth": data["image"][..., :1]}

    config = SoftMiningDataManagerConfig(dataparser=BlenderDataParserConfig(data=blender_scene))
    config._target = SoftMiningDataManager[Depths]
    made = config.setup()
    assert isinstance(made.train_dataset, SoftMiningDataset)
    assert isinstance(made.train_dataset, Depths)
    _, batch = made.next_train(0)
    assert torch.equal(batch["depth"], batch["image"][:, :1])
    assert isinstance(manager(blender_scene).train_dataset, SoftMiningDataset)
