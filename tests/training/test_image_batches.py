"""The images that training draws from are nerfstudio's, kept as bytes, in the order that its own loader chooses."""

import json
import random
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from capture import Capture  # type: ignore[import-not-found]
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.datasets.depth_dataset import DepthDataset
from nerfstudio.data.utils import dataloaders
from nerfstudio.data.utils.dataloaders import CacheDataloader
from PIL import Image

from softmining_nerfstudio.images.keeping import KeepImages
from softmining_nerfstudio.images.pixels import Pixels
from softmining_nerfstudio.images.tiles import disk
from softmining_nerfstudio.mining.pixels.edge_strength import Contrast
from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSamplerConfig
from softmining_nerfstudio.training import datamanager, image_batches, random_state
from softmining_nerfstudio.training.datamanager import SoftMiningDataManager, SoftMiningDataManagerConfig
from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.image_batches import ImageBatches, batches_of

NOISE = np.random.default_rng(0)


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    """Images of noise, with masks."""
    made = Capture(tmp_path)
    for view in range(made.views):
        made.write(view, Image.fromarray(NOISE.integers(0, 256, (made.height, made.width, 3), np.uint8)))
        mask = made.write(view, Image.fromarray(255 * NOISE.integers(0, 2, (24, 32), np.uint8)), "masks")
        made.transforms["frames"][view]["mask_path"] = str(mask.relative_to(tmp_path))
    return made


def batches(made: SoftMiningDataManager, steps: int = 12) -> list[dict]:
    """What training and evaluation see, as plain tensors."""
    found = []
    for step in range(steps):
        rays, batch = made.next_train(step)
        if (feedback := batch.pop("feedback", None)) is not None:
            predicted = (batch["image"][..., :3] + 0.1 * torch.sin(7 * rays.directions)).requires_grad_()
            feedback.correct(lambda t, p: ((t - p) ** 2).mean(-1), batch["image"][..., :3], predicted).backward()
        found += [batch, made.next_eval(step)[1]]
    return found


def require_same(monkeypatch: pytest.MonkeyPatch, folder: Path, load) -> list[dict]:
    """Batches from nerfstudio's floats, which are those from bytes in memory, from new tiles, and from tiles that are
    there."""
    found = []
    for gigabytes in (1.0, 0.0, 0.0, None):
        if gigabytes is None:
            monkeypatch.setattr(image_batches, "foreign", lambda dataset: "this test")
        for module in (image_batches, dataloaders):  # what checks shapes in tests takes numbers of `random`, too
            monkeypatch.setattr(module, "random", random.Random(1))
        torch.manual_seed(1)
        made = load(images=KeepImages(gigabytes, folder))
        assert isinstance(next(made.iter_train_image_dataloader)["image"], Pixels) is (gigabytes is not None)
        found.append(batches(made))
    *others, floats = found
    for other in others:
        for a, b in zip(floats, other, strict=True):
            assert a.keys() == b.keys()
            for key in a:
                assert a[key].dtype == b[key].dtype, key
                assert torch.equal(a[key], b[key]), key
    return floats


SUBSETS = {"train_num_images_to_sample_from": 3, "train_num_times_to_repeat_images": 2}


@pytest.mark.parametrize("sampling_type", ["uniform", "lmc", "dmc", "edges"])
@pytest.mark.parametrize("options", [{}, SUBSETS, {"camera_res_scale_factor": 0.5}], ids=["all", "subsets", "smaller"])
def test_batches_of_masked_images_are_those_from_floats(
    capture: Capture, sampling_type: str, options: dict, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sampler = SoftMiningPixelSamplerConfig(sampling_type=sampling_type)
    require_same(monkeypatch, tmp_path / "tiles", partial(capture.load, pixel_sampler=sampler, **options))


@pytest.mark.parametrize(
    ("sampling_type", "background"), [("dmc", "white"), ("dmc", "black"), ("dmc", None), ("foreground", None)]
)
def test_batches_of_rgba_are_those_from_floats(
    blender_scene: Path, sampling_type: str, background: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parser = BlenderDataParserConfig(data=blender_scene, alpha_color=background)
    sampler = SoftMiningPixelSamplerConfig(sampling_type=sampling_type)

    def load(images: KeepImages) -> SoftMiningDataManager:
        return SoftMiningDataManagerConfig(dataparser=parser, pixel_sampler=sampler, images=images).setup(device="cpu")

    require_same(monkeypatch, tmp_path, load)


@pytest.mark.parametrize(("mixed", "factor"), [(False, 1.0), (True, 1.0), (True, 0.5)])
def test_depth_is_kept_as_it_is(
    capture: Capture, mixed: bool, factor: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for view in range(capture.views):
        size = (40, 30) if mixed and view % 2 else (capture.width, capture.height)
        capture.write(view, Image.fromarray(NOISE.integers(0, 256, (*size[::-1], 3), np.uint8)))
        capture.write(view, Image.new("L", size, 255), "masks")
        depth = Image.fromarray(NOISE.integers(1, 60000, size[::-1]).astype(np.uint16))
        path = capture.write(view, depth, "depths")
        lens = {"fl_x": 30.0, "fl_y": 30.0, "cx": size[0] / 2, "cy": size[1] / 2, "w": size[0], "h": size[1]}
        capture.transforms["frames"][view].update(depth_file_path=str(path.relative_to(tmp_path)), **lens)
    for key in ("w", "h", "fl_x", "fl_y", "cx", "cy"):
        del capture.transforms[key]
    (tmp_path / "transforms.json").write_text(json.dumps(capture.transforms))

    unit = 0.001

    def load(images: KeepImages) -> SoftMiningDataManager:
        config = capture.load(images=images).config
        config._target, config.camera_res_scale_factor = SoftMiningDataManager[DepthDataset], factor
        config.dataparser.depth_unit_scale_factor = unit
        return config.setup(device="cpu")

    with monkeypatch.context() as patch:
        floats = require_same(patch, tmp_path / "tiles", load)
    assert floats[0]["depth_image"].dtype == torch.float32
    unit = 0.01  # tiles are there already
    require_same(monkeypatch, tmp_path / "tiles", load)


def test_images_are_chosen_as_nerfstudio_chooses_them(capture: Capture) -> None:
    made = capture.load()
    for at_once, repeats in ((-1, -1), (4, 0), (4, 2), (4, -1), (99, 3)):
        chosen = []
        for build in (
            lambda: batches_of(made, made.train_dataset, at_once, repeats, KeepImages()),  # noqa: B023
            lambda: CacheDataloader(made.train_dataset, at_once, repeats),  # noqa: B023
        ):
            random.seed(3)
            loader = iter(build())
            chosen.append([next(loader)["image_idx"].tolist() for _ in range(12)])
        assert chosen[0] == chosen[1]


def test_a_subset_for_all_training_is_the_same_after_resuming(capture: Capture) -> None:
    found = []
    for state in (None, {"sampler": None, "random": random_state.capture(), "course": None}):
        random.seed(3)
        made = capture.load(train_num_images_to_sample_from=3)
        if state is not None:
            made.set_extra_state(state)
        found.append([{*batch["indices"][:, 0].tolist()} for batch in batches(made, 4)[::2]])
    assert {*map(len, found[0])} == {3}
    assert found[0] == found[1]


def test_a_resumed_training_goes_on_to_other_subsets(capture: Capture) -> None:
    random.seed(3)
    first = capture.load(**SUBSETS)
    seen = [{*batch["indices"][:, 0].tolist()} for batch in batches(first, 4)[::2]]
    state = {"sampler": None, "random": random_state.capture(), "course": None}
    goes_on = {*batches(first, 4)[-2]["indices"][:, 0].tolist()}
    random.seed(3)
    resumed = capture.load(**SUBSETS)
    resumed.set_extra_state(state)
    assert goes_on not in seen
    assert {*batches(resumed, 1)[0]["indices"][:, 0].tolist()} == goes_on


HELD_OUT = 8
"""The view that training does not see."""


def blacken(made: Capture, views: Iterable[int]) -> None:
    for view in views:
        made.write(view, Image.new("L", (made.width, made.height)), "masks")


@pytest.mark.parametrize("gigabytes", [1.0, 0.0])
def test_images_of_which_no_ray_may_be_drawn_are_passed_over(capture: Capture, gigabytes: float) -> None:
    others = {0, 9}
    blacken(capture, {*range(capture.views)} - {HELD_OUT} - others)
    made = capture.load(images=KeepImages(gigabytes, capture.folder / "tiles"), **SUBSETS)
    seen = {int(image) for batch in batches(made, 40)[::2] for image in batch["indices"][:, 0]}
    assert {made.train_dataset.image_filenames[image].name for image in seen} == {*map(capture.name, others)}


@pytest.mark.parametrize("options", [{}, SUBSETS], ids=["all", "subsets"])
def test_masks_that_are_all_empty_are_an_error_unless_they_are_ignored(capture: Capture, options: dict) -> None:
    blacken(capture, {*range(capture.views)} - {HELD_OUT})
    with pytest.raises(UserError, match=r"9 of 9 masks are empty .*frame_0\.png"):
        batches(capture.load(**options))
    batches(capture.load(pixel_sampler=SoftMiningPixelSamplerConfig(ignore_mask=True), **options), 3)


OVERRIDES = {
    "get_image_float32": lambda self, image: InputDataset.get_image_float32(self, image) / 2,
    "get_data": lambda self, image, kind="float32": InputDataset.get_data(self, image, kind),
    "get_metadata": lambda self, data: {"half": data["image"] / 2},
}


@pytest.mark.parametrize("method", OVERRIDES)
def test_other_peoples_data_sets_are_read_by_their_own_code(
    capture: Capture, method: str, capsys: pytest.CaptureFixture
) -> None:
    config = capture.load(pixel_sampler=SoftMiningPixelSamplerConfig(sampling_type="uniform")).config
    config._target = SoftMiningDataManager[type("Theirs", (InputDataset,), {method: OVERRIDES[method]})]
    capsys.readouterr()
    made = config.setup(device="cpu")
    assert f"because of Theirs.{method}" in " ".join(capsys.readouterr().out.split())
    image, row, column = (batch := made.next_train(0)[1])["indices"][0].tolist()
    assert torch.equal(batch["image"][0], made.train_dataset[image]["image"][row, column])


def test_a_truncated_image_among_many_is_named(capture: Capture) -> None:
    path = capture.folder / "images" / capture.name(5)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(UserError, match=f"cannot use .*{capture.name(5)}"):
        capture.load()


def test_a_capture_that_no_file_cache_holds_is_mined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its footprints and edges are those of the smaller images beside its tiles, here of a darker half."""

    class Large(Capture):
        width, height = 160, 130

    monkeypatch.setattr(disk, "fits", lambda _: False)
    made = Large(tmp_path)
    for view in range(made.views):
        noise = NOISE.integers(0, 256, (made.height, made.width, 3), np.uint8)
        noise[:, :80] //= 4
        made.write(view, Image.fromarray(noise))
    loaded = made.load(images=KeepImages(0.0, tmp_path / "tiles"))
    found = [batch for batch in batches(loaded, 20) if "feedback" not in batch][::2]
    assert next(loaded.iter_train_image_dataloader)["image"].coarser.sizes.tolist() == [[32, 40]] * 9
    first, last = found[0], found[-1]
    assert first["image"].std() < last["image"].std()  # footprints narrow
    bright = last["indices"][:, 2] >= 80
    assert last["image"][bright].mean() > 2 * last["image"][~bright].mean()


def test_what_images_take_is_said_and_bounded(capture: Capture, capsys: pytest.CaptureFixture) -> None:
    capture.load()
    assert "Keeping 9 images in memory: 27.6 kB of at most" in capsys.readouterr().out


def test_a_second_start_works_out_no_edges(capture: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    images = KeepImages(0.0, tmp_path / "tiles")
    capture.load(images=images)
    monkeypatch.setattr(Contrast, "of_cells", lambda *_: pytest.fail("worked out again"))
    batches(capture.load(images=images))


@pytest.mark.parametrize("gigabytes", [1.0, 0.0])
def test_an_image_that_vanishes_after_its_check_is_named(
    capture: Capture, gigabytes: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = capture.folder / "images" / capture.name(5)
    check = datamanager.checks.require_sound

    def vanish(*arguments: object) -> None:
        check(*arguments)
        path.unlink()

    monkeypatch.setattr(datamanager.checks, "require_sound", vanish)
    with pytest.raises(UserError, match=f"cannot use .*{capture.name(5)}: .*No such file"):
        capture.load(images=KeepImages(gigabytes, tmp_path / "tiles"))


def test_one_image_of_other_channels_is_named(capture: Capture) -> None:
    capture.write(5, Image.new("RGBA", (capture.width, capture.height)))
    with pytest.raises(UserError, match=rf"{capture.name(5)} has an alpha channel \(RGBA\)"):
        capture.load()


def test_a_folder_for_tiles_that_cannot_be_made_is_named(capture: Capture, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot keep tiles in"):
        capture.load(images=KeepImages(0.0, tmp_path / "file"))


def test_images_that_do_not_fit_on_the_gpu_are_an_error_that_names_the_option(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def to(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(Pixels, "to", to)
    capture.load()
    with pytest.raises(UserError, match=r"^9 images do not fit into the memory of cpu\. Leave out .*images-on-gpu"):
        capture.load(images_on_gpu=True)


@pytest.mark.parametrize(
    ("device", "off_device", "said"), [("meta", (), True), ("meta", ("image",), False), ("cpu", (), False)]
)
def test_images_on_disk_are_said_to_stay_off_the_gpu(
    capture: Capture,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    device: str,
    off_device: tuple[str, ...],
    said: bool,
) -> None:
    dataset = capture.load().train_dataset
    ImageBatches(dataset, -1, -1, KeepImages(0.0, tmp_path / "tiles"), off_device, device, None, False)
    assert ("images-on-gpu does nothing" in " ".join(capsys.readouterr().out.split())) == said
