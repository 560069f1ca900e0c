"""Data sets with something wrong in them: the error names the file and says what was expected."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import tyro
from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.data.dataparsers.instant_ngp_dataparser import InstantNGPDataParserConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.data.datasets.depth_dataset import DepthDataset
from nerfstudio.model_components import losses
from PIL import Image

from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSamplerConfig
from softmining_nerfstudio.training.datamanager import SoftMiningDataManager, SoftMiningDataManagerConfig
from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.parsing import hint

SIZE = 24


@pytest.fixture
def scene(blender_scene: Path, tmp_path: Path) -> Path:
    """A scene in Blender layout, to be broken."""
    return shutil.copytree(blender_scene, tmp_path / "disc")


@pytest.fixture
def capture(scene: Path) -> Path:
    """A scene in nerfstudio's layout with masks, to be broken."""
    frames = json.loads((scene / "transforms_train.json").read_text())["frames"]
    for number, frame in enumerate(frames):
        Image.new("L", (SIZE, SIZE), 255).save(scene / "train" / f"mask_{number}.png")
        frame |= {"file_path": f"train/r_{number}.png", "mask_path": f"train/mask_{number}.png"}
    lens = {"fl_x": 30.0, "fl_y": 30.0, "cx": SIZE / 2, "cy": SIZE / 2, "w": SIZE, "h": SIZE}
    (scene / "transforms.json").write_text(json.dumps({**lens, "frames": frames}))
    return scene


def load(parser: DataParserConfig, **options: object) -> SoftMiningDataManager:
    return SoftMiningDataManagerConfig(dataparser=parser, **options).setup(device="cpu")  # type: ignore[arg-type]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


BAD_IMAGES = {
    "missing": (Path.unlink, "No such file"),
    "truncated": (cut, "truncated|cannot identify"),
    "empty": (lambda path: path.write_bytes(b""), "cannot identify image file"),
    "text": (lambda path: path.write_text("not an image"), "cannot identify image file"),
    "grey with alpha": (lambda path: Image.new("LA", (SIZE, SIZE)).save(path), "of the kind LA"),
    "with a palette": (lambda path: Image.new("P", (SIZE, SIZE)).save(path), "of the kind P "),
    "black and white": (lambda path: Image.new("1", (SIZE, SIZE)).save(path), "of the kind 1 "),
    "of 16 bits": (lambda path: Image.new("I;16", (SIZE, SIZE)).save(path), "of the kind I;16.*8 bits a channel"),
    "of another size": (lambda path: Image.new("RGB", (30, 12)).save(path), "30 x 12.*Expected the same size"),
}


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(("damage", "message"), BAD_IMAGES.values(), ids=BAD_IMAGES.keys())
def test_an_image_that_cannot_be_used_is_named(scene: Path, split: str, damage: Callable, message: str) -> None:
    path = scene / split / "r_1.png"
    damage(path)
    with pytest.raises(ValueError, match=message) as caught:
        load(BlenderDataParserConfig(data=scene))
    assert str(caught.value).count(str(path)) == 1
    assert ". Expected" in str(caught.value)
    assert "  " not in str(caught.value)


def with_line_ends_converted(path: Path) -> None:
    """As by a version control that takes it for text."""
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n"))


@pytest.mark.parametrize("damage", [with_line_ends_converted, BAD_IMAGES["empty"][0], BAD_IMAGES["text"][0]])
def test_the_first_image_which_the_parser_reads_itself_is_named_too(scene: Path, damage: Callable) -> None:
    path = scene / "train" / "r_0.png"
    damage(path)
    with pytest.raises(UserError, match=f"blender-data cannot read {path}: .*Expected an image") as caught:
        load(BlenderDataParserConfig(data=scene))
    assert len(str(caught.value).splitlines()) == 1


BAD_MASKS = {
    "truncated": (cut, "truncated|cannot identify"),
    "coloured": (lambda path: Image.new("RGB", (SIZE, SIZE)).save(path), "should have 1 channel"),
    "of another size": (lambda path: Image.new("L", (30, 12)).save(path), "30 x 12 pixels, not 24 x 24"),
}


def test_a_missing_mask_or_depth_is_named_with_its_image(capture: Path) -> None:
    transforms = json.loads((capture / "transforms.json").read_text())
    for view, frame in enumerate(transforms["frames"]):
        frame["depth_file_path"] = f"train/depth_{view}.png"
        Image.new("I;16", (SIZE, SIZE)).save(capture / frame["depth_file_path"])
    (capture / "transforms.json").write_text(json.dumps(transforms))
    for name in ("mask_3.png", "depth_2.png"):
        (path := capture / "train" / name).rename(aside := capture / "aside.png")
        with pytest.raises(UserError, match=rf"{path}: no such file. It goes with .*r_{name[-5]}.png"):
            load(NerfstudioDataParserConfig(data=capture), _target=SoftMiningDataManager[DepthDataset])
        aside.rename(path)
    load(NerfstudioDataParserConfig(data=capture), _target=SoftMiningDataManager[DepthDataset])


def test_depths_that_a_method_does_not_read_may_be_missing(capture: Path) -> None:
    transforms = json.loads((capture / "transforms.json").read_text())
    for view, frame in enumerate(transforms["frames"]):
        frame["depth_file_path"] = f"train/depth_{view}.png"
    (capture / "transforms.json").write_text(json.dumps(transforms))
    load(NerfstudioDataParserConfig(data=capture))


def test_depths_that_can_neither_be_read_nor_guessed_are_said(
    capture: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_connection(*_: object, **__: object) -> None:
        raise URLError("unreachable")

    monkeypatch.setattr(losses, "FORCE_PSEUDODEPTH_LOSS", losses.FORCE_PSEUDODEPTH_LOSS)  # put back afterwards
    monkeypatch.setattr(torch.hub, "urlopen", no_connection)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(UserError, match=r"no depth maps.* no internet connection .*Expected a depth_file_path"):
        load(NerfstudioDataParserConfig(data=capture), _target=SoftMiningDataManager[DepthDataset])


@pytest.mark.parametrize(("damage", "message"), BAD_MASKS.values(), ids=BAD_MASKS.keys())
def test_a_mask_that_cannot_be_used_is_named(capture: Path, damage: Callable, message: str) -> None:
    path = capture / "train" / "mask_3.png"
    damage(path)
    with pytest.raises(ValueError, match=message) as caught:
        load(NerfstudioDataParserConfig(data=capture))
    assert f"one-channel mask of its size, {path}" in str(caught.value)


def test_images_and_masks_that_are_right_are_loaded(capture: Path) -> None:
    made = load(NerfstudioDataParserConfig(data=capture), camera_res_scale_factor=0.5)
    assert made.next_train(0)[1]["mask"].all()


def test_images_of_the_sizes_of_their_cameras_are_loaded(capture: Path) -> None:
    transforms = json.loads((capture / "transforms.json").read_text())
    for frame in transforms["frames"]:
        frame |= {"w": SIZE, "h": SIZE, "fl_x": 30.0, "fl_y": 30.0, "cx": SIZE / 2, "cy": SIZE / 2}
        del frame["mask_path"]
    transforms["frames"][2]["w"] = 30
    (capture / "transforms.json").write_text(json.dumps({"frames": transforms["frames"]}))
    Image.new("RGBA", (30, SIZE)).save(capture / "train" / "r_2.png")
    made = load(NerfstudioDataParserConfig(data=capture))
    assert len(made.next_train(0)[1]["image"]) == 1024


def test_an_image_damaged_during_training_is_named(scene: Path) -> None:
    made = load(
        BlenderDataParserConfig(data=scene), train_num_images_to_sample_from=5, train_num_times_to_repeat_images=0
    )
    made.eval()
    made.next_train(0)
    for path in (scene / "train").iterdir():
        cut(path)
    with pytest.raises(ValueError, match=r"cannot use .*/train/r_\d.png"):
        made.next_train(1)


@pytest.mark.parametrize("name", ["transforms_train.json", "transforms_val.json"])
def test_a_missing_list_of_frames_is_named(scene: Path, name: str) -> None:
    (scene / name).unlink()
    with pytest.raises(UserError, match=name):
        load(BlenderDataParserConfig(data=scene))


def test_a_data_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        load(BlenderDataParserConfig(data=tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pixel-sampler.sampling-type", "nuts"], "uniform"),
        (["--pixel-sampler.langevin.drift", "fast"], "float"),
        (["--pixel-sampler.langevin.noise", "-1"], "noise is -1"),
        (["--pixel-sampler.importance.alpha", "2"], "alpha is 2"),
        (["--pixel-sampler.uniform-fraction", "2"], "fraction is 2"),
        (["--pixel-sampler.coverage", "-1"], "coverage is -1"),
        (["--pixel-sampler.langevin.drfit", "2"], "drfit"),
        (["--train-num-images-to-sample-from", "0"], "train_num_images_to_sample_from is 0; expected at least 1"),
        (["--eval-num-images-to-sample-from", "-3"], "eval_num_images_to_sample_from is -3"),
        (["--train-num-times-to-repeat-images", "-2"], "train_num_times_to_repeat_images is -2; expected at least 0"),
    ],
)
def test_a_bad_option_is_explained_on_the_command_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        tyro.cli(SoftMiningDataManagerConfig, args=arguments)
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("parser", [BlenderDataParserConfig, NerfstudioDataParserConfig])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"frames": []}', "lists no frames; expected at least one image"),
        ("{}", "lists no frames; expected at least one image"),
        ('{"frames": [', "cannot read"),
        ("[1, 2]", "cannot read"),
    ],
)
def test_a_capture_without_frames_is_named(
    capture: Path, parser: type[DataParserConfig], content: str, message: str
) -> None:
    path = capture / ("transforms_train.json" if parser is BlenderDataParserConfig else "transforms.json")
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        load(parser(data=capture))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda frame: frame.pop("transform_matrix"), "frame 2 has no transform_matrix"),
        (lambda frame: frame.pop("file_path"), "frame 2 has no file_path"),
        (
            lambda frame: frame["transform_matrix"].pop(),
            r"of train/r_2.png has rows of \[4, 4, 4\] numbers; expected four",
        ),
        (lambda frame: frame.update(transform_matrix=None), "frame 2 has no transform_matrix; expected four rows"),
        (lambda frame: frame.update(file_path=None), "frame 2 has no file_path; expected a path"),
        (lambda frame: frame.update(file_path=7), "frame 2 has 7 as its file_path; expected a path"),
    ],
)
def test_a_frame_without_its_image_or_pose_is_named(capture: Path, damage: Callable, message: str) -> None:
    path = capture / "transforms.json"
    meta = json.loads(path.read_text())
    damage(meta["frames"][2])
    path.write_text(json.dumps(meta))
    with pytest.raises(UserError, match=message) as caught:
        load(NerfstudioDataParserConfig(data=capture))
    assert str(path) in str(caught.value)


def test_an_unknown_camera_model_is_named_with_those_that_are_known(capture: Path) -> None:
    path = capture / "transforms.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "camera_model": "PINHOLE_2"}))
    with pytest.raises(UserError, match=f"^{path}: camera_model is PINHOLE_2; expected one of SIMPLE_PINHOLE, PINHOLE"):
        load(NerfstudioDataParserConfig(data=capture))


@pytest.mark.parametrize(
    ("parser", "changes", "message"),
    [
        (
            NerfstudioDataParserConfig,
            {"fl_x": None},
            "no fl_x for all frames, and none for frame 0; expected fl_x, fl_y",
        ),
        (NerfstudioDataParserConfig, {"h": None}, "no h for all frames, and none for frame 0; expected fl_x, fl_y"),
        (InstantNGPDataParserConfig, {"fl_x": None, "is_fisheye": True}, r"no focal length .* expected one of fl_x \("),
    ],
)
def test_a_number_of_the_lens_that_a_parser_needs_is_named(
    capture: Path, parser: type[DataParserConfig], changes: dict, message: str
) -> None:
    path = capture / "transforms.json"
    meta = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in meta.items() if value is not None}))
    with pytest.raises(UserError, match=f"^{path} has {message}"):
        load(parser(data=capture))


def test_a_focal_length_is_no_angle_of_view(scene: Path) -> None:
    path = scene / "transforms_train.json"
    path.write_text(json.dumps({"fl_x": 33.0, "frames": json.loads(path.read_text())["frames"]}))
    with pytest.raises(UserError, match=f"^{path} has no camera_angle_x; expected .* radians. blender-data .* fl_x"):
        load(BlenderDataParserConfig(data=scene))


def test_a_backup_of_the_list_of_frames_is_not_blamed(capture: Path) -> None:
    (capture / "transforms_old.json").write_text("{}")
    path = capture / "transforms.json"
    meta = json.loads(path.read_text())
    del meta["frames"][3]["mask_path"]
    path.write_text(json.dumps(meta))
    with pytest.raises(UserError, match=f"cannot read {capture}: Different number of image and mask") as caught:
        load(NerfstudioDataParserConfig(data=capture))
    assert len(str(caught.value).splitlines()) == 1


def test_a_name_with_brackets_is_looked_for_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "view[1].jpg").touch()
    assert hint(tmp_path / "view[1].png") == "Found view[1].jpg there."


def test_a_number_that_is_null_is_told_in_a_line(capture: Path) -> None:
    path = capture / "transforms.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "k1": None}))
    with pytest.raises(UserError, match=rf"^nerfstudio-data cannot read {capture}: TypeError .*NoneType"):
        load(NerfstudioDataParserConfig(data=capture))


def test_images_that_are_not_there_are_counted(capture: Path) -> None:
    for number in (1, 3, 4):
        (capture / "train" / f"r_{number}.png").unlink()
    with pytest.raises(
        UserError,
        match=r"^3 of \d images are not there, the first .*r_1\.png\. .*each frame.*skips frames that have none",
    ):
        load(NerfstudioDataParserConfig(data=capture, eval_mode="all"))


def test_a_sampling_type_that_needs_alpha_says_so(scene: Path) -> None:
    sampler = SoftMiningPixelSamplerConfig(sampling_type="foreground")
    made = load(BlenderDataParserConfig(data=scene), pixel_sampler=sampler)
    with pytest.raises(UserError, match="foreground sampling needs RGBA images"):
        made.next_train(0)


def test_a_scene_without_held_out_views_is_told(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for fraction, told in ((0.5, False), (1.0, True)):
        load(NerfstudioDataParserConfig(data=capture, train_split_fraction=fraction))
        assert ("No view is held out" in capsys.readouterr().out) == told
