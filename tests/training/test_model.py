"""The corrected loss inside real nerfstudio models and cameras."""

import copy
from dataclasses import dataclass, field

import pytest
import torch
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.field_components.encodings import NeRFEncoding
from nerfstudio.models.base_model import Model, ModelConfig
from nerfstudio.models.nerfacto import NerfactoModel
from nerfstudio.utils.external import TCNN_EXISTS
from torch import nn

from softmining_nerfstudio.methods import softmining_lite
from softmining_nerfstudio.mining.feedback import Feedback, Places
from softmining_nerfstudio.mining.importance import Importance
from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.model import SoftMiningLoss, SoftMiningMixin

RAYS = 16


def cameras(distorted: bool = False) -> Cameras:
    poses = torch.eye(4)[None, :3].repeat(3, 1, 1)
    poses[:, 2, 3] = 4.0
    poses[:, 0, 3] = torch.tensor([-0.3, 0.0, 0.3])
    lens = torch.tensor([[0.1, -0.05, 0.0, 0.0, 0.01, -0.02]]).repeat(3, 1) if distorted else None
    return Cameras(poses, 40.0, 42.0, 16.0, 12.0, width=32, height=24, distortion_params=lens)


def feedback(drift: bool = True, alpha: float = 0.6, rays: int = RAYS) -> tuple[Feedback, torch.Tensor]:
    yx = (torch.rand(rays, 2) * torch.tensor([24.0, 32.0])).floor() + 0.5
    images = torch.randint(3, (rays, 1))
    places = Places(images[:, 0], yx, torch.tensor([[24, 32]]).expand(rays, 2))
    return Feedback(Importance(), alpha, places, yx.clone().requires_grad_(drift)), images


def small_model(**changes: object) -> NerfactoModel:
    config = copy.deepcopy(softmining_lite.config.pipeline.model)
    for name, value in {"num_proposal_samples_per_ray": (8, 8), "num_nerf_samples_per_ray": 8, **changes}.items():
        setattr(config, name, value)
    box = SceneBox(torch.tensor([[-1.5] * 3, [1.5] * 3]))
    return config.setup(scene_box=box, num_train_data=3, metadata={}, device="cpu")


def colour(rays: torch.Tensor) -> torch.Tensor:
    """An analytic scene: a smooth colour for each direction."""
    return 0.5 + 0.3 * torch.sin(rays @ torch.tensor([[7.0, 2.0, -3.0], [1.0, 5.0, 2.0], [0.5, 0.2, 1.0]]))


@pytest.mark.skipif(TCNN_EXISTS, reason="tiny-cuda-nn is here")
def test_the_implementation_that_is_printed_is_the_one_that_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small_model(implementation="tcnn")
    assert "Model on cpu, torch implementation" in capsys.readouterr().out
    monkeypatch.setattr(NeRFEncoding, "__module__", "tinycudann.modules")
    small_model(implementation="torch")
    assert "Model on cpu, tcnn implementation" in capsys.readouterr().out


@pytest.mark.parametrize("distorted", [False, True])
def test_the_score_equals_finite_differences_through_nerfstudio_cameras(distorted: bool) -> None:
    mined, camera = feedback()
    target = torch.rand(RAYS, 3)

    def log_loss(yx: torch.Tensor) -> torch.Tensor:
        rays = cameras(distorted).generate_rays(camera_indices=camera, coords=yx)
        return ((colour(rays.directions) - target) ** 2).mean(-1).log()

    rays = cameras(distorted).generate_rays(camera_indices=camera, coords=mined.centres)
    loss = SoftMiningLoss(nn.MSELoss())
    with loss.reporting_to(mined):
        (1024 * loss(target, colour(rays.directions))).backward()
    for axis in range(2):
        step = 0.05 * torch.nn.functional.one_hot(torch.tensor(axis), 2)
        with torch.no_grad():
            slope = (log_loss(mined.centres + step) - log_loss(mined.centres - step)) / 0.1
        torch.testing.assert_close(mined.score()[:, axis], slope, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("background", ["white", "random"])
@pytest.mark.parametrize("poses", ["off", "SO3xR3"])
def test_the_correction_weighs_the_models_own_rays(background: str, poses: str) -> None:
    model = small_model(background_color=background, camera_optimizer=CameraOptimizerConfig(mode=poses)).train()
    mined, camera = feedback()
    image = torch.rand(RAYS, 4)
    outputs = model(cameras().generate_rays(camera_indices=camera, coords=mined.centres))
    seed = torch.get_rng_state()
    losses = model.get_loss_dict(
        outputs, {"image": image, "feedback": mined}, model.get_metrics_dict(outputs, {"image": image})
    )
    torch.set_rng_state(seed)  # the random background that the loss saw
    predicted, target = model.renderer_rgb.blend_background_for_loss_computation(
        outputs["rgb"], outputs["accumulation"], image
    )
    error = (predicted - target).abs().mean(-1)
    weights = Importance().weights(error.detach(), 0.6)
    expected = (weights * ((predicted - target) ** 2).mean(-1)).mean()
    torch.testing.assert_close(losses["rgb_loss"], expected)
    torch.testing.assert_close(mined.error, error.detach())


def gradients(model: NerfactoModel, batches: list, scale: float = 1.0, accumulated: bool = False) -> list:
    """Of the field, after a step over the batches: back-propagated one by one, or as one sum."""
    model.zero_grad()
    total = 0.0
    for mined, camera, image in batches:
        torch.manual_seed(5)
        outputs = model(cameras().generate_rays(camera_indices=camera, coords=mined.centres))
        loss = (
            scale
            * model.get_loss_dict(
                outputs, {"image": image, "feedback": mined}, model.get_metrics_dict(outputs, {"image": image})
            )["rgb_loss"]
        )
        if accumulated:
            loss.backward()
        total = total + loss
    if not accumulated:
        total.backward()
    return [parameter.grad.clone() for parameter in model.field.parameters() if parameter.grad is not None]


@pytest.mark.parametrize(("scale", "accumulated"), [(2.0**16, False), (1.0, True), (0.01, False)])
def test_scaler_accumulation_and_multiplier_change_neither_correction_nor_score(
    scale: float, accumulated: bool
) -> None:
    model = small_model().train()
    batches = []
    for _ in range(2):
        mined, camera = feedback()
        batches.append((mined, camera, torch.rand(RAYS, 3)))
    plain = gradients(model, batches)
    scores = [mined.score() for mined, _, _ in batches]
    for mined, _, _ in batches:
        mined.centres.grad, mined.backpropagated = None, None
    changed = gradients(model, batches, scale, accumulated)
    for one, two in zip(plain, changed, strict=True):
        torch.testing.assert_close(two / scale, one, rtol=1e-3, atol=1e-7)
    for score, (mined, _, _) in zip(scores, batches, strict=True):
        torch.testing.assert_close(mined.score(), score, rtol=1e-3, atol=1e-4)


def test_proposal_networks_do_not_reach_the_score() -> None:
    model = small_model().train()
    for parameter in model.parameters():  # untrained networks are uniform, and agree too well for a loss
        nn.init.normal_(parameter, std=0.7)
    mined, camera = feedback()
    batch = {"image": torch.rand(RAYS, 3), "feedback": mined}
    outputs = model(cameras().generate_rays(camera_indices=camera, coords=mined.centres))
    losses = model.get_loss_dict(outputs, batch, model.get_metrics_dict(outputs, batch))
    losses["interlevel_loss"].backward(retain_graph=True)
    assert mined.centres.grad is None or not mined.centres.grad.any()
    assert any(parameter.grad.any() for parameter in model.proposal_networks.parameters() if parameter.grad is not None)
    losses["rgb_loss"].backward()
    assert mined.centres.grad.any()


def test_eval_losses_are_plain() -> None:
    model = small_model().eval()
    mined, camera = feedback(drift=False)
    image = torch.rand(RAYS, 3)
    outputs = model(cameras().generate_rays(camera_indices=camera, coords=mined.centres))
    loss = model.get_loss_dict(outputs, {"image": image})["rgb_loss"]
    torch.testing.assert_close(loss, nn.functional.mse_loss(outputs["rgb"], image))


def test_a_ray_that_is_not_finite_does_not_reach_the_optimiser() -> None:
    parameter = nn.Parameter(torch.rand(RAYS, 3))
    scale = torch.ones(RAYS, 1)
    scale[3] = torch.inf
    mined, _ = feedback(drift=False)
    loss = SoftMiningLoss(nn.MSELoss())
    with loss.reporting_to(mined):
        loss(torch.rand(RAYS, 3), parameter * scale).backward()
    assert mined.error.isnan().tolist() == [ray == 3 for ray in range(RAYS)]
    assert mined.weights[3] == 0
    others = torch.arange(RAYS) != 3
    assert parameter.grad[others].isfinite().all()
    assert parameter.grad[others].any()


def test_a_training_batch_that_knows_nothing_of_mining_is_refused() -> None:
    model = small_model().train()
    with pytest.raises(TypeError, match="SoftMiningDataManagerConfig"):
        model.get_loss_dict({}, {"image": torch.rand(RAYS, 3)})


def test_the_loss_of_each_ray_must_be_to_be_had() -> None:
    with pytest.raises(TypeError, match=r"CosineSimilarity.*reduction"):
        SoftMiningLoss(nn.CosineSimilarity())


@pytest.mark.parametrize(
    ("attribute", "error", "message"),
    [("field", TypeError, r"Mined .*rgb_loss"), ("occupancy_grid", UserError, r"Mined needs a CUDA GPU.* this is cpu")],
)
def test_a_model_that_cannot_be_mined_here_is_refused(attribute: str, error: type[Exception], message: str) -> None:
    class Plain(Model):
        def populate_modules(self) -> None:
            super().populate_modules()
            setattr(self, attribute, None)

        get_param_groups = get_outputs = get_image_metrics_and_images = lambda *_: None

    class Mined(SoftMiningMixin, Plain):
        pass

    @dataclass
    class MinedConfig(ModelConfig):
        _target: type = field(default_factory=lambda: Mined)

    with pytest.raises(error, match=message):
        MinedConfig().setup(scene_box=SceneBox(torch.tensor([[-1.0] * 3, [1.0] * 3])), num_train_data=1)
