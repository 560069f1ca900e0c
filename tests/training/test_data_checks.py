"""What is checked before training: each image against its camera and the others, cameras, and fisheye circles."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from capture import Capture  # type: ignore[import-not-found]
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.data.dataparsers.instant_ngp_dataparser import InstantNGPDataParserConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from PIL import Image

from softmining_nerfstudio.dataparsers.llff import LLFFDataParserConfig
from softmining_nerfstudio.training.datamanager import SoftMiningDataManagerConfig
from softmining_nerfstudio.training.errors import UserError


@pytest.fixture
def small_capture(tmp_path: Path) -> Capture:
    """A capture to be broken."""
    return Capture(tmp_path)


# Images and their cameras


@pytest.mark.parametrize("view", [3, 9], ids=["to train on", "held out"])
def test_an_image_that_is_not_as_large_as_its_camera_is_named_with_both_sizes(
    small_capture: Capture, view: int
) -> None:
    frames = small_capture.transforms["frames"]
    for frame in frames:
        frame |= {"w": 32, "h": 24}
    del small_capture.transforms["w"], small_capture.transforms["h"]
    frames[view]["w"] = 33
    with pytest.raises(UserError, match=rf"frame_{view}.png: it has 32 x 24 pixels, and its camera has 33 x 24"):
        small_capture.load(NerfstudioDataParserConfig(data=small_capture.folder, eval_mode="interval", eval_interval=9))


@pytest.mark.parametrize("options", [{}, {"camera_res_scale_factor": 0.5}], ids=["as it is", "scaled"])
def test_a_swapped_width_and_height_is_recognised(small_capture: Capture, options: dict) -> None:
    small_capture.transforms |= {"w": 24, "h": 32}
    with pytest.raises(
        UserError, match=r"32 x 24 pixels, and its camera has 24 x 32. Width and height are swapped.*EXIF"
    ):
        small_capture.load(**options)


def test_an_image_that_its_exif_orientation_turns_is_recognised(small_capture: Capture) -> None:
    turned = Image.Exif()
    turned[0x112] = 6
    small_capture.write(4, Image.new("RGB", (24, 32)), exif=turned)
    with pytest.raises(
        UserError,
        match=r"frame_4.png.*the EXIF orientation of the file turns it, and nerfstudio reads it unturned. Expected",
    ):
        small_capture.load()


@pytest.mark.parametrize("factor", [0.5, 0.29, 0.7])
def test_images_may_be_scaled_with_their_cameras(small_capture: Capture, factor: float) -> None:
    made = small_capture.load(camera_res_scale_factor=factor)
    for dataset in (made.train_dataset, made.eval_dataset):
        for index in range(len(dataset)):
            cameras = dataset.cameras
            assert dataset[index]["image"].shape[:2] == (cameras.height[index].item(), cameras.width[index].item())


def test_a_smaller_image_may_be_rounded_up_where_its_camera_is_rounded_down(small_capture: Capture) -> None:
    for view in range(small_capture.views):
        small_capture.write(view, Image.new("RGB", (7, 5)), "images_5")
    made = small_capture.load(NerfstudioDataParserConfig(data=small_capture.folder, downscale_factor=5))
    assert made.train_dataset.cameras.width.unique().tolist() == [7]
    assert made.eval_dataset.cameras.height.unique().tolist() == [5]


def test_an_image_in_the_folder_of_another_factor_is_refused(small_capture: Capture) -> None:
    for view in range(small_capture.views):
        small_capture.write(view, Image.new("RGB", (8, 6)), "images_2")
    with pytest.raises(UserError, match="8 x 6 pixels, and its camera has 16 x 12"):
        small_capture.load(NerfstudioDataParserConfig(data=small_capture.folder, downscale_factor=2))


def test_images_with_and_without_alpha_are_named_where_nothing_makes_them_alike(small_capture: Capture) -> None:
    small_capture.write(5, Image.new("RGBA", (32, 24)))
    with pytest.raises(UserError, match=r"frame_5.png has an alpha channel \(RGBA\), and .*frame_0.png has none"):
        small_capture.load()


def test_images_with_and_without_alpha_may_be_mixed_over_a_background(blender_scene: Path, tmp_path: Path) -> None:
    for source in blender_scene.rglob("*.*"):
        target = tmp_path / source.relative_to(blender_scene)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(source.read_bytes())
    Image.new("RGB", (24, 24)).save(tmp_path / "train" / "r_1.png")
    SoftMiningDataManagerConfig(dataparser=BlenderDataParserConfig(data=tmp_path)).setup(device="cpu")


# Cameras


def test_a_frame_whose_pose_is_not_finite_is_named(small_capture: Capture) -> None:
    for view in (3, 9):
        small_capture.transforms["frames"][view]["transform_matrix"][0][3] = math.nan
        with pytest.raises(
            UserError, match=rf"camera of .*frame_{view}.png has a number that is not finite in its pose"
        ):
            small_capture.load(
                NerfstudioDataParserConfig(data=small_capture.folder, eval_mode="interval", eval_interval=9)
            )
        small_capture.transforms["frames"][view]["transform_matrix"][0][3] = 1.0


@pytest.mark.parametrize("method", ["pca", "up", "vertical", "none"])
def test_a_rotation_that_is_not_finite_is_named(small_capture: Capture, method: str) -> None:
    small_capture.transforms["frames"][3]["transform_matrix"][1][1] = math.inf
    with pytest.raises(UserError, match=r"frame_3.png has a number that is not finite in its pose"):
        small_capture.load(NerfstudioDataParserConfig(data=small_capture.folder, orientation_method=method))  # type: ignore[arg-type]


def test_an_intrinsic_that_is_not_finite_is_named(small_capture: Capture) -> None:
    for frame in small_capture.transforms["frames"]:
        frame["fl_x"] = 30.0
    del small_capture.transforms["fl_x"]
    small_capture.transforms["frames"][3]["fl_x"] = math.nan
    with pytest.raises(UserError, match=r"frame_3.png has a number that is not finite in its fx"):
        small_capture.load()


@pytest.mark.parametrize("method", ["up", "none"])
def test_a_mirrored_camera_is_named(small_capture: Capture, method: str) -> None:
    for row in small_capture.transforms["frames"][3]["transform_matrix"][:3]:
        row[0] = -row[0]
    with pytest.raises(UserError, match=r"frame_3.png has a rotation of determinant -1; expected a positive one"):
        small_capture.load(NerfstudioDataParserConfig(data=small_capture.folder, orientation_method=method))  # type: ignore[arg-type]


@pytest.mark.parametrize("focal", [0.0, -30.0])
def test_an_impossible_focal_length_is_named(small_capture: Capture, focal: float) -> None:
    small_capture.transforms["fl_y"] = focal
    with pytest.raises(UserError, match=rf"frame_0.png has a fy of {focal:.3g}, as 8 others; expected"):
        small_capture.load()


def test_an_image_of_two_cameras_is_named(small_capture: Capture) -> None:
    """One of them may be held out. An image that is listed twice is no harm."""
    frames = small_capture.transforms["frames"]
    parser = NerfstudioDataParserConfig(data=small_capture.folder, eval_mode="interval", eval_interval=9)
    for view, other in ((3, 4), (9, 4)):
        frames[view], kept = {**frames[view], "file_path": frames[other]["file_path"]}, frames[view]
        with pytest.raises(UserError, match=r"two cameras in different places have the image .*frame_4.png"):
            small_capture.load(parser)
        frames[view] = kept
    frames.append(frames[4])
    small_capture.load(parser)


def test_a_parser_that_fails_on_a_single_held_out_image_is_told_how_to_hold_out_more(small_capture: Capture) -> None:
    parser = InstantNGPDataParserConfig(data=small_capture.folder)
    way = r"End the command with instant-ngp-data --eval-mode interval --eval-interval 5\.$"
    with pytest.raises(UserError, match=rf"no camera for .*frame_8.png, the only image.* {way}"):
        small_capture.load(parser)
    small_capture.load(replace(parser, eval_mode="interval", eval_interval=5))


@pytest.mark.parametrize(("method", "centre"), [("up", "poses"), ("vertical", "focus"), ("none", "none")])
@pytest.mark.parametrize("place", [0.0, 1.0, 123.456])
def test_cameras_in_one_place_are_refused(small_capture: Capture, place: float, method: str, centre: str) -> None:
    for frame in small_capture.transforms["frames"]:
        for row in range(3):
            frame["transform_matrix"][row][3] = place
    parser = NerfstudioDataParserConfig(data=small_capture.folder, orientation_method=method, center_method=centre)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="all 10 cameras are in one place"):
        small_capture.load(parser)


def test_a_single_image_is_refused(small_capture: Capture) -> None:
    del small_capture.transforms["frames"][1:]
    with pytest.raises(UserError, match=r"frame_0.png is the only image"):
        small_capture.load()


def test_a_scene_far_from_its_origin_is_accepted(small_capture: Capture) -> None:
    for frame in small_capture.transforms["frames"]:
        frame["transform_matrix"][0][3] += 1e5
    small_capture.load()


def llff(folder: Path, places: np.ndarray, **options: float) -> LLFFDataParserConfig:
    """A forward-facing capture of the images in images/."""
    matrices = np.zeros((len(places), 3, 5))
    matrices[:, :, :3] = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]
    matrices[:, :, 3] = places
    matrices[:, :, 4] = [24, 32, 30.0]
    rows = np.hstack([matrices.reshape(-1, 15), np.tile([4.0, 9.0], (len(places), 1))])
    np.save(folder / "poses_bounds.npy", rows)
    return LLFFDataParserConfig(data=folder, **options)  # type: ignore[arg-type]


def test_forward_facing_cameras_in_one_place_are_refused(small_capture: Capture) -> None:
    places = np.full((10, 3), 0.3)
    with pytest.raises(UserError, match="all 10 cameras are in one place"):
        small_capture.load(llff(small_capture.folder, places))


@pytest.mark.parametrize("factor", [math.nan, math.inf, 1e30, 1e-30])
def test_an_absurd_scale_is_refused(small_capture: Capture, factor: float) -> None:
    places = np.arange(30).reshape(10, 3)
    with pytest.raises(UserError, match=r"--scale-factor is .*; expected a (finite )?number"):
        small_capture.load(llff(small_capture.folder, places, scale_factor=factor))
    with pytest.raises(UserError, match=r"--scene-scale is .*; expected a (finite )?number"):
        small_capture.load(NerfstudioDataParserConfig(data=small_capture.folder, scene_scale=factor))


def test_a_camera_beyond_single_precision_is_refused(small_capture: Capture) -> None:
    small_capture.transforms["frames"][2]["transform_matrix"][0][3] = 1e9
    parser = NerfstudioDataParserConfig(data=small_capture.folder, auto_scale_poses=False)
    with pytest.raises(UserError, match=r"from the origin; expected at most 1e\+06"):
        small_capture.load(parser)


# The circle of a fisheye lens


def fisheye(capture: Capture, radius: float) -> None:
    capture.transforms |= {"camera_model": "OPENCV_FISHEYE", "fisheye_crop_radius": radius}


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_no_mined_ray_leaves_the_circle_of_smaller_images(small_capture: Capture, factor: int, scale: float) -> None:
    fisheye(small_capture, radius=10.0)
    height, width = small_capture.height // factor, small_capture.width // factor
    if factor == 2:
        for view in range(small_capture.views):
            small_capture.write(view, Image.new("RGB", (width, height)), "images_2")
    parser = NerfstudioDataParserConfig(data=small_capture.folder, downscale_factor=factor)
    made = small_capture.load(parser, camera_res_scale_factor=scale)
    middle = torch.tensor([height, width]) * scale / 2
    for step in range(5):
        batch = made.next_train(step)[1]
        yx, target = batch["indices"][:, 1:] + 0.5, batch["image"]
        batch["feedback"].correct(lambda t, p: ((t - p) ** 2).mean(-1), target, target + 0.1 * torch.rand(len(yx), 1))
        assert (yx - middle).norm(dim=1).max() <= 10 / factor * scale
    assert (made.eval_dataset.cameras.metadata or {})["fisheye_crop_radius"] == 10 / factor * scale


def test_cameras_that_are_rescaled_elsewhere_keep_nerfstudios_ways(small_capture: Capture) -> None:
    fisheye(small_capture, radius=10.0)
    cameras = small_capture.load().train_dataset.cameras
    cameras.rescale_output_resolution(0.5)
    assert (cameras.metadata or {})["fisheye_crop_radius"] == 10


# What is said


def test_the_resolution_and_its_folder_are_said(small_capture: Capture, capsys: pytest.CaptureFixture[str]) -> None:
    small_capture.load(camera_res_scale_factor=0.5)
    said = capsys.readouterr().out
    assert f"9 training images of 16 x 12 pixels from {small_capture.folder}/images, scaled by 0.5.\n" in said
    assert "--downscale-factor" not in said


def test_large_images_come_with_the_options_that_make_them_smaller(
    small_capture: Capture, capsys: pytest.CaptureFixture[str]
) -> None:
    small_capture.transforms |= {"w": 1600, "cx": 800.0}
    for view in range(small_capture.views):
        small_capture.write(view, Image.new("RGB", (1600, 24)))
    small_capture.load()
    said = capsys.readouterr().out
    assert "camera-res-scale-factor 0.5 or nerfstudio-data --downscale-factor 2." in said


# Parsers


def test_a_jpg_where_blender_expects_a_png_is_found(small_capture: Capture) -> None:
    frames = [{"file_path": f"./train/r_{i}", "transform_matrix": np.eye(4).tolist()} for i in range(2)]
    (small_capture.folder / "transforms_train.json").write_text(json.dumps({"camera_angle_x": 0.7, "frames": frames}))
    (small_capture.folder / "train").mkdir()
    Image.new("RGB", (8, 8)).save(small_capture.folder / "train" / "r_0.jpg")
    with pytest.raises(UserError, match=r"train/r_0.png: no such file. blender-data expects it. Found r_0.jpg there."):
        small_capture.load(BlenderDataParserConfig(data=small_capture.folder))


def test_paths_with_backslashes_are_recognised(small_capture: Capture) -> None:
    for frame in small_capture.transforms["frames"]:
        frame["file_path"] = frame["file_path"].replace("/", "\\")
    with pytest.raises(UserError, match=r"no such file.*It has backslashes.*images/frame_0.png is there"):
        small_capture.load()


def test_a_missing_folder_of_smaller_images_is_named(small_capture: Capture) -> None:
    with pytest.raises(UserError, match=r"images_4/frame_0.png.*There is no folder .*images_4"):
        small_capture.load(NerfstudioDataParserConfig(data=small_capture.folder, downscale_factor=4))


def test_without_data_the_option_that_names_it_is_said(
    small_capture: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    with pytest.raises(
        UserError, match=r"empty0/transforms.json: no such file. nerfstudio-data expects it.*--data DIR"
    ):
        small_capture.load(NerfstudioDataParserConfig())


def test_a_list_that_a_parser_misses_is_named_with_the_data(small_capture: Capture) -> None:
    small_capture.transforms["val_filenames"] = [f"images/{small_capture.name(0)}"]
    with pytest.raises(UserError, match=r"nerfstudio-data cannot read .*RuntimeError .* split train is missing"):
        small_capture.load()
