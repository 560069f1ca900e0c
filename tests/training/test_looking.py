"""What a person sees of training images is read at the size at which it is shown."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from capture import Capture  # type: ignore[import-not-found]
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.data.datasets.base_dataset import InputDataset
from PIL import Image

from softmining_nerfstudio.training import looking
from softmining_nerfstudio.training.datamanager import SoftMiningDataManager
from softmining_nerfstudio.training.looking import THUMBNAIL, Thumbnails, colours_at, pictures
from softmining_nerfstudio.training.trainer import SoftMiningTrainer


class LargeCapture(Capture):
    width, height, views = 900, 600, 4


@pytest.fixture
def made(tmp_path: Path) -> SoftMiningDataManager:
    capture = LargeCapture(tmp_path)
    waves = np.sin(np.arange(900)[None] / 90 + np.arange(600)[:, None] / 60)
    for view in range(capture.views):
        colours = np.stack([127 + 100 * waves] * 3, -1).astype(np.uint8)
        capture.write(view, Image.fromarray(colours))
    return capture.load(NerfstudioDataParserConfig(data=tmp_path, downscale_factor=1))


def test_some_pixels_are_those_of_the_image(made: SoftMiningDataManager) -> None:
    row, column = torch.tensor([0, 5, 599]), torch.tensor([3, 899])
    expected = made.train_dataset.get_image_float32(1)[row][:, column]
    assert torch.equal(colours_at(made.train_dataset, 1, row, column), expected)


def test_other_peoples_images_are_read_by_their_own_code() -> None:
    theirs = SimpleNamespace(get_image_float32=lambda image: torch.full((4, 4, 3), image / 10))
    assert colours_at(theirs, 3, torch.tensor([0]), torch.tensor([1, 2])).flatten().tolist() == [pytest.approx(0.3)] * 6
    dataset = InputDataset.__new__(InputDataset)
    dataset.get_data = lambda image: {"image": image}
    assert Thumbnails(dataset)[7] == {"image": 7}


def test_the_viewer_gets_thumbnails_that_look_like_the_images(
    made: SoftMiningDataManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    trainer = SoftMiningTrainer.__new__(SoftMiningTrainer)
    viewer = SimpleNamespace(init_scene=lambda train_dataset, **_: seen.append(train_dataset))
    trainer.config = SimpleNamespace(is_viewer_enabled=lambda: True, is_viewer_beta_enabled=lambda: True)  # type: ignore[assignment]
    trainer.config.is_viewer_legacy_enabled = lambda: False  # type: ignore[assignment]
    trainer.pipeline, trainer.viewer_state, trainer.training_state = (
        SimpleNamespace(datamanager=made),
        viewer,
        "training",
    )
    trainer._init_viewer_state()
    (shown,) = seen
    image = shown[2]["image"]
    assert len(shown) == len(made.train_dataset)
    assert shown.cameras is made.train_dataset.cameras
    assert max(image.shape[:2]) == THUMBNAIL
    assert image.shape[1] / image.shape[0] == pytest.approx(1.5, abs=0.01)
    assert abs(float(image.mean()) - float(made.train_dataset[2]["image"].mean())) < 0.01


def test_pictures_of_large_images_are_smaller(made: SoftMiningDataManager, monkeypatch: pytest.MonkeyPatch) -> None:
    _, batch = made.next_train(0)
    predicted = (batch["image"] * 0.9).requires_grad_()
    batch["feedback"].correct(lambda t, p: (t - p).abs().mean(-1), batch["image"], predicted).backward()
    made.next_train(1)
    sampler = made.train_pixel_sampler
    assert sampler is not None
    assert {picture.shape for picture in pictures(made.train_dataset, sampler, 0).values()} == {(600, 900, 3)}
    monkeypatch.setattr(looking, "PICTURE", 300)
    assert {picture.shape for picture in pictures(made.train_dataset, sampler, 0).values()} == {(200, 300, 3)}
