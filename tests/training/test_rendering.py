"""What training images are compared with: rendered by a real model, through the cameras as they are refined."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig

from softmining_nerfstudio import methods
from softmining_nerfstudio.methods import softmining_lite
from softmining_nerfstudio.sampling.history import over_white
from softmining_nerfstudio.training.rendering import current_error, rgb_name_of

ROW, COLUMN = torch.arange(1, 24, 5), torch.arange(2, 24, 4)


def set_up(config: Any, scene: Path) -> Any:
    """A pipeline in training mode."""
    config.datamanager.dataparser = BlenderDataParserConfig(data=scene, alpha_color=None)
    made = config.setup(device="cpu")
    made.train()
    return made


@pytest.fixture
def pipeline(blender_scene: Path) -> Any:
    config = copy.deepcopy(softmining_lite.config.pipeline)
    config.model.camera_optimizer = CameraOptimizerConfig(mode="SO3xR3")
    return set_up(config, blender_scene)


def seen(pipeline: Any) -> list[RayBundle]:
    """The rays that its model is asked for from now on; it renders black, and must be in eval mode for it."""
    rendered, model = [], pipeline.model

    def black(rays: RayBundle) -> dict:
        assert not model.training
        rendered.append(rays)
        return {"rgb": torch.zeros(*rays.shape, 3)}

    model.get_outputs_for_camera_ray_bundle = black
    return rendered


def test_the_error_of_pixels_is_that_of_what_the_model_renders_now(pipeline: Any) -> None:
    error = current_error(pipeline, 1, ROW, COLUMN)
    assert error.shape == (len(ROW), len(COLUMN))
    assert error.isfinite().all()
    assert pipeline.training
    assert pipeline.model.training
    rendered, dataset = seen(pipeline), pipeline.datamanager.train_dataset
    image = over_white(dataset.get_image_float32(1))
    torch.testing.assert_close(current_error(pipeline, 1, ROW, COLUMN), image[ROW][:, COLUMN].mean(-1))
    of_pixels = dataset.cameras[1:2].generate_rays(0).directions[ROW][:, COLUMN]
    torch.testing.assert_close(rendered[0].directions, of_pixels)
    del pipeline.model.renderer_rgb  # which not every model has
    torch.testing.assert_close(current_error(pipeline, 1, ROW, COLUMN), image[ROW][:, COLUMN].mean(-1))


def test_rays_go_through_the_camera_as_training_has_refined_it(pipeline: Any) -> None:
    rendered = seen(pipeline)
    current_error(pipeline, 1, ROW, COLUMN)
    adjustment = pipeline.model.camera_optimizer.pose_adjustment.data
    adjustment[0] = 7.0  # of another image
    adjustment[1] = torch.tensor([0.1, 0.2, 0.3, 0.0, 0.0, torch.pi / 2])
    current_error(pipeline, 1, ROW, COLUMN)
    before, after = rendered
    torch.testing.assert_close(after.origins - before.origins, adjustment[1, :3].expand_as(after.origins))
    x, y, z = before.directions.unbind(-1)
    torch.testing.assert_close(after.directions, torch.stack([-y, x, z], -1))


def test_a_model_tells_what_it_calls_its_colours(pipeline: Any, blender_scene: Path) -> None:
    assert rgb_name_of(pipeline) == "rgb"
    assert pipeline.model.training
    for method in ("softmining_vanilla", "softmining_mip"):
        assert rgb_name_of(set_up(getattr(methods, method).config.pipeline, blender_scene)) == "rgb_fine"
