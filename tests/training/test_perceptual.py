"""LPIPS without its weights: nothing is fetched when a model is built, and nothing fails when they cannot be had."""

import copy
import math
import socket
import urllib.request
from typing import NoReturn

import pytest
import torch
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.models.nerfacto import NerfactoModel, NerfactoModelConfig
from torchmetrics.image import lpip

from softmining_nerfstudio.methods import softmining_lite
from softmining_nerfstudio.training.model import mined
from softmining_nerfstudio.training.perceptual import LazyLPIPS, lazy_lpips


class Network:
    """Stands in for a network that is not there."""

    def __init__(self) -> None:
        self.asked = 0

    def refuse(self, *_: object, **__: object) -> NoReturn:
        self.asked += 1
        raise OSError("no network")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory) -> Network:
    """No network, and no weights from an earlier download."""
    network = Network()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", network.refuse)
    monkeypatch.setattr(socket, "getaddrinfo", network.refuse)
    monkeypatch.setattr(urllib.request, "urlopen", network.refuse)
    monkeypatch.setattr(torch.hub, "urlopen", network.refuse)
    return network


def model() -> NerfactoModel:
    box = SceneBox(torch.tensor([[-1.5] * 3, [1.5] * 3]))
    return copy.deepcopy(softmining_lite.config.pipeline.model).setup(
        scene_box=box, num_train_data=3, metadata={}, device="cpu"
    )


def image_metrics(model: NerfactoModel) -> dict:
    outputs = {"rgb": torch.rand(32, 32, 3), "accumulation": torch.rand(32, 32, 1), "depth": torch.rand(32, 32, 1)}
    outputs |= {f"prop_depth_{i}": outputs["depth"] for i in range(2)}
    return model.get_image_metrics_and_images(outputs, {"image": torch.rand(32, 32, 3)})[0]


def test_building_a_model_does_not_touch_the_network(offline: Network) -> None:
    assert isinstance(model().lpips, LazyLPIPS)
    assert offline.asked == 0


def test_offline_the_other_metrics_are_reported_with_one_warning(
    offline: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    built = model()
    for _ in range(2):
        metrics = image_metrics(built)
        assert "lpips" not in metrics
        assert 0 < metrics["psnr"] < 30
        assert -1 <= metrics["ssim"] <= 1
    assert offline.asked == 1
    assert capsys.readouterr().out.count("LPIPS is left out") == 1


def test_offline_lpips_is_not_a_number(offline: Network) -> None:
    assert LazyLPIPS(normalize=True)(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)).isnan()


def test_a_metric_that_can_be_had_is_reported_and_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    class Metric(torch.nn.Module):
        def __init__(self, **_: object) -> None:
            super().__init__()
            built.append(torch.nn.Parameter(torch.ones(())))
            self.weights = built[-1]

        def forward(self, predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return (predicted - target).abs().mean() * self.weights.detach()

    monkeypatch.setattr(lpip, "LearnedPerceptualImagePatchSimilarity", Metric)
    trained = model()
    keys = set(trained.state_dict())
    assert not built
    assert all(math.isfinite(image_metrics(trained)["lpips"]) for _ in range(2))
    assert len(built) == 1
    assert set(trained.state_dict()) == keys
    assert not any("lpips" in key for key in keys)


def test_torchmetrics_is_left_as_it_was_even_when_a_model_cannot_be_built() -> None:
    eager = lpip.LearnedPerceptualImagePatchSimilarity
    with lazy_lpips():
        assert lpip.LearnedPerceptualImagePatchSimilarity is LazyLPIPS
    assert lpip.LearnedPerceptualImagePatchSimilarity is eager
    with pytest.raises(AttributeError, match="aabb"):
        NerfactoModelConfig(_target=mined(NerfactoModel)).setup(scene_box=None, num_train_data="many")
    assert lpip.LearnedPerceptualImagePatchSimilarity is eager
