"""The parser that looks at the folder first."""

import json
from pathlib import Path

import numpy as np
import pytest
from nerfstudio.data.dataparsers.blender_dataparser import Blender, BlenderDataParserConfig
from nerfstudio.data.dataparsers.instant_ngp_dataparser import InstantNGPDataParserConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from PIL import Image

from softmining_nerfstudio.dataparsers.auto import AutoDataParserConfig
from softmining_nerfstudio.dataparsers.demo_scene import DemoSceneDataParserConfig
from softmining_nerfstudio.dataparsers.llff import LLFFDataParserConfig


@pytest.mark.parametrize(
    ("files", "parser"),
    [
        (["transforms.json", "images"], NerfstudioDataParserConfig),
        (["transforms_train.json", "transforms_val.json"], BlenderDataParserConfig),
        (["poses_bounds.npy", "images_8"], LLFFDataParserConfig),
        (["transforms.json", "poses_bounds.npy"], NerfstudioDataParserConfig),
    ],
)
def test_the_files_of_a_folder_name_its_parser(tmp_path: Path, files: list[str], parser: type) -> None:
    for name in files:
        (tmp_path / name).touch()
    for found in (AutoDataParserConfig(data=tmp_path).found(), AutoDataParserConfig(demo=True).found(tmp_path)):
        assert type(found) is parser
        assert found.data == tmp_path


def test_a_transforms_file_by_another_name_is_a_capture(tmp_path: Path) -> None:
    (path := tmp_path / "half.json").touch()
    assert AutoDataParserConfig(data=path).found() == NerfstudioDataParserConfig(data=path)


@pytest.mark.parametrize(
    ("meta", "parser"),
    [
        ({"camera_angle_x": 0.7}, InstantNGPDataParserConfig),
        ({"x_fov": 40.0}, InstantNGPDataParserConfig),
        ({"fl_x": 30.0, "is_fisheye": True}, InstantNGPDataParserConfig),
        ({"fl_x": 30.0, "is_fisheye": True, "camera_model": "OPENCV_FISHEYE"}, NerfstudioDataParserConfig),
        ({"fl_x": 30.0, "camera_angle_x": 0.7, "is_fisheye": False}, NerfstudioDataParserConfig),
        ({"frames": [{"fl_x": 30.0}], "camera_angle_x": 0.7}, NerfstudioDataParserConfig),
        ({}, NerfstudioDataParserConfig),
    ],
)
def test_what_only_instant_ngp_writes_is_read_by_its_parser(tmp_path: Path, meta: dict, parser: type) -> None:
    (path := tmp_path / "transforms.json").write_text(json.dumps({"frames": [{}], **meta}))
    assert type(AutoDataParserConfig(data=tmp_path).found()) is parser
    assert type(AutoDataParserConfig(data=path).found()) is parser


@pytest.mark.parametrize(
    ("meta", "focal"),
    [
        ({"camera_angle_x": 0.98, "camera_angle_y": 0.6}, (59.99, 77.58)),
        ({"x_fov": 60.0, "y_fov": 40.0}, (55.43, 65.94)),
        ({"fl_x": 60.0, "fl_y": 50.0, "is_fisheye": True}, (60.0, 50.0)),
        ({"camera_angle_x": 0.98}, (59.99, 59.99)),
    ],
)
def test_instant_ngps_focal_lengths_may_differ(tmp_path: Path, meta: dict, focal: tuple[float, float]) -> None:
    frames = []
    for view in range(4):
        Image.new("RGB", (64, 48)).save(tmp_path / f"{view}.png")
        frames.append({"file_path": f"{view}.png", "transform_matrix": np.eye(4).tolist()})
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": frames, **meta}))
    parser = AutoDataParserConfig(data=tmp_path).setup()
    assert len(parser.get_dataparser_outputs("val").cameras) == 0  # of so few images
    cameras = parser.get_dataparser_outputs("train").cameras
    assert float(cameras.fx[0]) == pytest.approx(focal[0], abs=0.01)
    assert cameras.fy.flatten().tolist() == pytest.approx([focal[1]] * len(cameras), abs=0.01)


def test_a_folder_of_colmap_is_told_where_its_model_is(tmp_path: Path) -> None:
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"colmap --data DIR --colmap-path sparse/0$"):
        AutoDataParserConfig(data=tmp_path).found()


@pytest.mark.parametrize("demo", [False, True])
def test_a_folder_that_is_not_there_is_never_the_demo_scene(tmp_path: Path, demo: bool) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no .*nothing-here"):
        AutoDataParserConfig(demo=demo).found(tmp_path / "nothing-here")
    assert not list(tmp_path.iterdir())


def test_the_demo_scene_is_read_where_no_data_is_named() -> None:
    assert AutoDataParserConfig(demo=True).found() == DemoSceneDataParserConfig()
    with pytest.raises(FileNotFoundError, match="--data DIR"):
        AutoDataParserConfig().found()


def test_an_unknown_folder_is_told_by_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is empty"):
        AutoDataParserConfig().found(tmp_path)
    for name in [*"abcdefghij", ".hidden"]:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"holds a, b, c, d, e, f, g, h and 2 more.*poses_bounds\.npy"):
        AutoDataParserConfig().found(tmp_path)
    with pytest.raises(ValueError, match="is a file"):
        AutoDataParserConfig().found(tmp_path / "a")


def test_a_folder_of_scenes_names_one_of_them(blender_scene: Path) -> None:
    with pytest.raises(ValueError, match=rf"poses_bounds\.npy; {blender_scene} is one$"):
        AutoDataParserConfig().found(blender_scene.parent)


def test_a_part_of_an_object_is_no_capture(blender_scene: Path) -> None:
    with pytest.raises(ValueError, match=f"a part of a NeRF Synthetic scene. Name its folder, {blender_scene}. If"):
        AutoDataParserConfig().found(blender_scene / "transforms_test.json")


def test_a_capture_may_have_the_file_name_of_an_object(tmp_path: Path) -> None:
    path = tmp_path / "transforms_train.json"
    path.write_text(json.dumps({"fl_x": 60.0, "frames": [{}]}))
    assert AutoDataParserConfig().found(path) == NerfstudioDataParserConfig(data=path)


def test_it_sets_up_the_parser_of_what_is_there(blender_scene: Path) -> None:
    parser = AutoDataParserConfig(data=blender_scene).setup()
    assert isinstance(parser, Blender)
    assert len(parser.get_dataparser_outputs("train").image_filenames) == 6


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "scene.json").mkdir()
    (tmp_path / "scene.json" / "transforms_train.json").write_text("")
    assert AutoDataParserConfig().found(Path("~/scene.json")) == BlenderDataParserConfig(data=tmp_path / "scene.json")
