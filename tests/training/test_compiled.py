"""Compiled encodings in nerfstudio's models: the same training, checkpoints that go back and forth."""

import copy

import pytest
import torch
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.field_components.encodings import HashEncoding
from nerfstudio.models.nerfacto import NerfactoModel
from torch import nn

from softmining_nerfstudio.encodings import hash_grid
from softmining_nerfstudio.encodings.hash_grid import kernels
from softmining_nerfstudio.methods import softmining_lite
from softmining_nerfstudio.training.compiled import compile_encodings
from softmining_nerfstudio.training.perceptual import lazy_lpips

pytestmark = pytest.mark.skipif(kernels() is None, reason="numba is not installed")
CPU = torch.device("cpu")


def model(**changes: object) -> NerfactoModel:
    """A small nerfacto as nerfstudio has it."""
    config = copy.deepcopy(softmining_lite.config.pipeline.model)
    small = {"num_proposal_samples_per_ray": (8, 8), "num_nerf_samples_per_ray": 8, "log2_hashmap_size": 10}
    for name, value in {**small, **changes}.items():
        setattr(config, name, value)
    torch.manual_seed(0)
    box = SceneBox(torch.tensor([[-1.5] * 3, [1.5] * 3]))
    with lazy_lpips():
        return NerfactoModel(config=config, scene_box=box, num_train_data=3, metadata={}, device="cpu")


def rays(count: int = 32, yx: torch.Tensor | None = None):
    poses = torch.eye(4)[None, :3].repeat(3, 1, 1)
    poses[:, 2, 3] = 4.0
    yx = torch.rand(count, 2, generator=torch.Generator().manual_seed(1)) * 20 if yx is None else yx
    camera = torch.zeros(len(yx), 1, dtype=torch.long)
    return Cameras(poses, 40.0, 42.0, 16.0, 12.0, width=32, height=24).generate_rays(camera, coords=yx)


def gradients(made: NerfactoModel) -> dict[str, torch.Tensor]:
    """Of one training step."""
    made.train().zero_grad()
    torch.manual_seed(2)
    outputs = made(rays())
    batch = {"image": torch.full((32, 3), 0.3), "indices": torch.zeros(32, 3, dtype=torch.long), "feedback": None}
    sum(made.get_loss_dict(outputs, batch, made.get_metrics_dict(outputs, batch)).values()).backward()
    return {name: p.grad for name, p in made.named_parameters() if p.grad is not None}


def compiled_model(**changes: object) -> NerfactoModel:
    made = model(**changes)
    compile_encodings(made, CPU)
    return made


@pytest.mark.parametrize("mode", ["off", "SO3xR3"])
def test_a_training_step_is_nerfstudios(mode: str) -> None:
    own, theirs = (
        gradients(make(camera_optimizer=CameraOptimizerConfig(mode=mode))) for make in (compiled_model, model)
    )
    assert own.keys() == theirs.keys()
    assert any("camera" in name for name in own) == (mode != "off")
    for name, expected in theirs.items():
        torch.testing.assert_close(own[name], expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()), msg=name)


def test_a_checkpoint_goes_back_and_forth() -> None:
    own, theirs = compiled_model(), model()
    for source, target in ((own, theirs), (theirs, own)):
        with torch.no_grad():
            for parameter in source.parameters():
                parameter.uniform_(-0.1, 0.1)
        assert target.load_state_dict(source.state_dict(), strict=True)
        own.eval(), theirs.eval()
        torch.testing.assert_close(own(rays())["rgb"], theirs(rays())["rgb"])


def test_normals_are_nerfstudios() -> None:
    own, theirs = (
        made.eval()(rays())["normals"] for made in (compiled_model(predict_normals=True), model(predict_normals=True))
    )
    torch.testing.assert_close(own, theirs, rtol=1e-3, atol=1e-4)


def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how often the gradient of positions is worked out."""
    calls: list[int] = []
    loop = kernels().position_gradient
    counted = type(
        "Counted", (), {**vars(kernels()), "position_gradient": staticmethod(lambda *a: calls.append(1) or loop(*a))}
    )
    monkeypatch.setattr(hash_grid, "kernels", lambda: counted)
    return calls


def test_the_gradient_of_positions_is_worked_out_only_where_somebody_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = asked_for(monkeypatch)
    gradients(compiled_model())
    assert calls == []
    compiled_model(predict_normals=True).eval()(rays())
    assert calls == [1]
    made = compiled_model().train()
    yx = (torch.rand(8, 2) * 20).requires_grad_()
    made(rays(yx=yx))["rgb"].sum().backward()
    assert len(calls) > 1
    assert yx.grad.abs().sum() > 0


def test_a_model_can_be_copied() -> None:
    made = compiled_model()
    copied = copy.deepcopy(made)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
    assert copied.eval()(rays())["rgb"].std() > 0


def test_on_a_gpu_nothing_is_replaced() -> None:
    made = model()
    compile_encodings(made, torch.device("cuda"))
    assert not any("pytorch_fwd" in vars(module) for module in made.modules())


def test_an_encoding_with_a_forward_pass_of_its_own_keeps_it() -> None:
    class Own(HashEncoding):
        def pytorch_fwd(self, in_tensor: torch.Tensor) -> torch.Tensor:
            return in_tensor.sum(-1, keepdim=True)

    made = nn.Sequential(Own(log2_hashmap_size=4, implementation="torch"))
    compile_encodings(made, CPU)
    assert made(torch.ones(2, 3)).tolist() == [[3], [3]]
