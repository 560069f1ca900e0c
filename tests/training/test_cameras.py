"""Rays through every kind of nerfstudio camera: differentiable in the pixel, from pixels of the kind's own support."""

import math
from types import SimpleNamespace

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras, CameraType

from softmining_nerfstudio.mining.walks import Langevin
from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSampler, SoftMiningPixelSamplerConfig
from softmining_nerfstudio.training.datamanager import SoftMiningDataManager

IMAGES, HEIGHT, WIDTH, RAYS, RADIUS = 3, 32, 64, 200, 14.0


def cameras(kind: CameraType, distortion: tuple[float, ...] | None = None, metadata: dict | None = None) -> Cameras:
    focal = HEIGHT if kind == CameraType.EQUIRECTANGULAR else 50.0
    return Cameras(
        camera_to_worlds=torch.eye(4)[:3].repeat(IMAGES, 1, 1),
        fx=float(focal),
        fy=float(focal),
        cx=WIDTH / 2,
        cy=HEIGHT / 2,
        width=WIDTH,
        height=HEIGHT,
        distortion_params=None if distortion is None else torch.tensor(distortion).repeat(IMAGES, 1),
        camera_type=kind,
        metadata=metadata,
    )


BARREL = (-0.2, 0.05, 0.0, 0.0, 0.01, -0.01)
KINDS = {
    "pinhole": cameras(CameraType.PERSPECTIVE),
    "radial and tangential distortion": cameras(CameraType.PERSPECTIVE, BARREL),
    "fisheye": cameras(CameraType.FISHEYE, metadata={"fisheye_crop_radius": RADIUS}),
    "distorted fisheye": cameras(CameraType.FISHEYE, (0.02, 0.01, 0.0, 0.0, 0.0, 0.0)),
    "equirectangular": cameras(CameraType.EQUIRECTANGULAR),
}


def sampler_of(seen_by: Cameras, drift: float, **options: object) -> SoftMiningPixelSampler:
    """The sampler that the data manager sets up for a data set with these cameras."""
    config = SoftMiningPixelSamplerConfig(sampling_type="lmc", langevin=Langevin(drift=drift), **options)
    manager = SimpleNamespace(device="cpu", config=SimpleNamespace(pixel_sampler=config, patch_size=1))
    filenames = [SimpleNamespace(name=f"{i}.png") for i in range(IMAGES)]
    dataset = SimpleNamespace(cameras=seen_by, image_filenames=filenames)
    return SoftMiningDataManager._get_pixel_sampler(manager, dataset, RAYS)  # type: ignore[arg-type]


def mine(seen_by: Cameras, steps: int, drift: float = 1.0) -> list[tuple[dict, torch.Tensor]]:
    """Batches and pixel centres of a training whose model paints each direction with its own colour."""
    sampler, batches = sampler_of(seen_by, drift), []
    image_batch = {"image_idx": torch.arange(IMAGES), "image": torch.rand(IMAGES, HEIGHT, WIDTH, 3)}
    for step in range(steps):
        batch, yx = sampler.mine(image_batch, step)
        rays = seen_by.generate_rays(camera_indices=batch["indices"][:, :1], coords=yx)
        loss = batch["feedback"].correct(
            lambda target, predicted: ((target - predicted) ** 2).mean(-1), batch["image"], rays.directions.sin()
        )
        if loss.requires_grad:
            loss.backward()
        batches.append((batch, yx))
    sampler.in_flight.settle()
    return batches


@pytest.mark.parametrize("kind", KINDS)
def test_the_score_reaches_the_pixels_through_every_camera(kind: str) -> None:
    for batch, yx in mine(KINDS[kind], 4):
        assert yx.grad is not None
        assert yx.grad.isfinite().all()
        assert (yx.grad != 0).any(-1).float().mean() > 0.9
        assert batch["feedback"].score().isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_a_ray_agrees_with_finite_differences(kind: str) -> None:
    batch, yx = mine(KINDS[kind], 1)[0]
    image, step = batch["indices"][:, :1], 0.05

    def directions(at: torch.Tensor) -> torch.Tensor:
        return KINDS[kind].generate_rays(camera_indices=image, coords=at).directions[:, 0]

    (gradient,) = torch.autograd.grad(directions(yx).sum(), yx)
    for axis, move in enumerate(torch.eye(2) * step):
        difference = (directions(yx.detach() + move) - directions(yx.detach() - move)) / (2 * step)
        torch.testing.assert_close(gradient[:, axis], difference, atol=2e-4, rtol=0.02)


def test_without_drift_no_graph_is_built_through_the_cameras() -> None:
    for _, yx in mine(KINDS["fisheye"], 2, drift=0.0):
        assert not yx.requires_grad


def test_the_crop_radius_of_fisheye_cameras_is_heeded() -> None:
    for batch, _ in mine(KINDS["fisheye"], 15):
        _, row, column = batch["indices"].unbind(-1)
        assert ((row + 0.5 - HEIGHT // 2) ** 2 + (column + 0.5 - WIDTH // 2) ** 2 <= RADIUS**2).all()


def test_panoramas_are_recognised_if_all_cameras_are() -> None:
    assert sampler_of(KINDS["equirectangular"], 0.0).config.is_equirectangular is True
    some = torch.tensor([[CameraType.EQUIRECTANGULAR.value], [1], [1]])
    mixed = Cameras(torch.eye(4)[:3].repeat(3, 1, 1), 32.0, 32.0, 32.0, 16.0, WIDTH, HEIGHT, camera_type=some)
    assert sampler_of(mixed, 0.0).config.is_equirectangular is False


def test_what_cameras_do_not_tell_of_a_lens_may_be_set() -> None:
    config = sampler_of(KINDS["pinhole"], 0.0, is_equirectangular=True, fisheye_crop_radius=5.0).config
    assert (config.is_equirectangular, config.fisheye_crop_radius) == (True, 5.0)
    assert sampler_of(KINDS["fisheye"], 0.0, fisheye_crop_radius=5.0).config.fisheye_crop_radius == RADIUS


def test_uniform_rays_of_panoramas_point_everywhere_alike() -> None:
    sampler = sampler_of(KINDS["equirectangular"], 0.0)
    sampler.set_num_rays_per_batch(8000)
    image_batch = {"image_idx": torch.arange(IMAGES), "image": torch.rand(IMAGES, HEIGHT, WIDTH, 3)}
    indices = sampler.sample(image_batch)["indices"]
    rays = KINDS["equirectangular"].generate_rays(camera_indices=indices[:, :1], coords=indices[:, 1:] + 0.5)
    assert rays.directions.mean(0).norm() < 4 / math.sqrt(8000)
    torch.testing.assert_close(rays.directions.T.cov(), torch.eye(3) / 3, atol=0.02, rtol=0)
