"""Settings that follow the data, through the command line's own parser."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from nerfstudio.configs.method_configs import all_methods
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.engine.trainer import TrainerConfig
from PIL import Image

from softmining_nerfstudio.benchmark.run.configuration import parse
from softmining_nerfstudio.dataparsers.llff import LLFFDataParserConfig
from softmining_nerfstudio.methods import nerfacto_lite
from softmining_nerfstudio.training.scene_kinds import CAPTURES, OBJECTS, follow_data

LITE_ON_CAPTURES = """--pipeline.datamanager.pixel-sampler.importance.alpha 0.8
  --pipeline.model.near-plane 0.05 --pipeline.model.far-plane 1000 --pipeline.model.background-color last_sample
  --pipeline.model.disable-scene-contraction False --pipeline.model.proposal-initial-sampler piecewise
  --pipeline.model.log2-hashmap-size 17 --pipeline.model.max-res 2048 --pipeline.model.average-init-density 0.01
  --pipeline.model.distortion-loss-mult 0.002"""
NERFACTO_ON_OBJECTS = """--pipeline.model.near-plane 2 --pipeline.model.far-plane 6
  --pipeline.model.background-color white --pipeline.model.disable-scene-contraction True
  --pipeline.model.proposal-initial-sampler uniform --pipeline.model.average-init-density 0.1
  --pipeline.model.distortion-loss-mult 0 --pipeline.model.use-appearance-embedding False
  --pipeline.model.camera-optimizer.mode off"""
"""The words that the two kinds of method needed on the other kind of data."""


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    (tmp_path / "poses_bounds.npy").touch()
    return tmp_path


def followed(words: str, data: Path, *more: object) -> tuple[TrainerConfig, str]:
    """The configuration of a command, as ns-train goes on with it, and what is said."""
    command = [*words.split(), "--data", str(data), *map(str, more)]
    config = parse(command)
    return config, follow_data(config, command)


def settings(config: TrainerConfig) -> tuple[object, object]:
    return config.pipeline.model, config.pipeline.datamanager.pixel_sampler


@pytest.mark.parametrize("sampling_type", ["dmc", "uniform"])
def test_the_small_model_needs_no_further_words_for_a_capture(capture: Path, sampling_type: str) -> None:
    method = f"softmining-lite --sampling-type {sampling_type} "
    config, said = followed(method, capture)
    assert config.pipeline.datamanager.dataparser == LLFFDataParserConfig(data=capture)
    assert settings(config) == settings(parse((method + LITE_ON_CAPTURES).split()))
    assert said.startswith("llff-data reads captures: set alpha 0.8, near_plane 0.05")


@pytest.mark.parametrize("method", ["softmining", "softmining-big", "softmining-huge"])
def test_nerfacto_needs_no_further_words_for_an_object(blender_scene: Path, method: str) -> None:
    config, said = followed(method, blender_scene)
    assert config.pipeline.datamanager.dataparser == BlenderDataParserConfig(data=blender_scene)
    assert settings(config) == settings(parse([method, *NERFACTO_ON_OBJECTS.split()]))
    assert "camera_optimizer off" in said


def test_a_method_on_the_data_it_is_made_for_stays_as_it_is(blender_scene: Path, capture: Path) -> None:
    config, said = followed("softmining-lite", blender_scene)
    assert settings(config) == settings(all_methods["softmining-lite"])
    assert "the settings stay as they are" in said
    assert followed("softmining", capture)[0].pipeline.model == all_methods["softmining"].pipeline.model
    for path, value in OBJECTS.settings.items():  # nerfacto-lite, which follows nothing, is made for objects, too
        assert eval(f"model.{path}", {"model": nerfacto_lite.config.pipeline}) == value


@pytest.mark.parametrize(
    ("flag", "value"), [("--pipeline.model.near-plane", 0.3), ("--pipeline.model.near_plane", 2.0)]
)
def test_a_flag_comes_first_though_it_repeats_the_default(capture: Path, flag: str, value: float) -> None:
    config, said = followed("softmining-lite", capture, flag, value)
    assert config.pipeline.model.near_plane == value
    assert config.pipeline.model.far_plane == 1000.0
    assert "near_plane" not in said
    assert followed("softmining-lite", capture, f"{flag}={value}")[0].pipeline.model.near_plane == value


def test_a_configuration_from_a_file_stays_as_it_was_recorded(capture: Path) -> None:
    config = parse(["softmining-lite", "--data", str(capture)])
    said = follow_data(config, ["ns-train", "softmining-lite", "--load-config", "config.yml"])
    assert config.pipeline.model.near_plane == parse(["softmining-lite"]).pipeline.model.near_plane
    assert said.endswith("the settings stay as they are.")


def test_a_method_under_another_name_follows_the_data_likewise(capture: Path) -> None:
    config = parse(["softmining-lite", "--data", str(capture)])
    config.method_name, config.pipeline.datamanager.data = "mine", capture
    follow_data(config, ["ns-train", "softmining-lite", "--method-name", "mine"])
    assert config.pipeline.model.near_plane == 0.05


def test_two_folders_of_data_are_refused(capture: Path, tmp_path: Path) -> None:
    parser = parse(["softmining-lite", "llff-data", "--data", str(tmp_path / "other")])
    parser.pipeline.datamanager.data = capture
    with pytest.raises(SystemExit, match=r"--data names both .* and .*other; expected one"):
        parser.set_timestamp()
    parser.pipeline.datamanager.data = tmp_path / "other"
    parser.set_timestamp()


def test_the_home_folder_may_be_written_as_a_tilde(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(capture.parent))
    config = parse(["softmining-lite"])
    config.pipeline.datamanager.data = Path("~", capture.name)  # as a shell leaves --data=~/...
    config.set_timestamp()
    follow_data(config)
    assert config.pipeline.datamanager.data == config.pipeline.datamanager.dataparser.data == capture


def test_a_named_parser_is_followed_likewise(capture: Path) -> None:
    command = ["softmining-lite", "nerfstudio-data", "--data", str(capture)]
    follow_data(config := parse(command), command)
    assert config.pipeline.model.max_res == CAPTURES.of_methods["softmining-lite"]["model.max_res"]


def test_the_recorded_configuration_has_the_settings_and_the_parser(
    capture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = parse(["softmining-lite"])
    config.pipeline.datamanager.data = capture  # as ns-train does with --data
    monkeypatch.setattr(sys, "argv", ["ns-train", "softmining-lite"])
    config.print_to_terminal()
    assert "llff-data reads captures" in capsys.readouterr().out
    saved = yaml.load(yaml.dump(config), Loader=yaml.Loader)
    assert saved.pipeline.model == config.pipeline.model
    assert isinstance(saved.pipeline.datamanager.dataparser, LLFFDataParserConfig)
    before = yaml.dump(config)
    follow_data(config)
    assert yaml.dump(config) == before


@pytest.mark.parametrize("method", ["softmining-lite", "softmining"])
def test_data_that_is_not_there_ends_the_command_in_a_line(method: str, tmp_path: Path) -> None:
    config = parse([method])
    config.pipeline.datamanager.data = tmp_path / "nothing-here"
    with pytest.raises(SystemExit, match=r"there is no .*nothing-here"):
        config.set_timestamp()  # what ns-train does first


@pytest.mark.parametrize("method", ["softmining-vanilla", "softmining-tensorf", "softmining-ngp", "softmining-depth"])
def test_every_twin_follows_the_data_as_far_as_it_has_the_settings(method: str, blender_scene: Path) -> None:
    config, _ = followed(method, blender_scene)
    assert getattr(config.pipeline.model, "near_plane", 2.0) == 2.0
    assert isinstance(config.pipeline.datamanager.dataparser, BlenderDataParserConfig)


def copied(scene: Path, folder: Path, scale: float = 1.0, background: tuple[int, ...] | None = None) -> Path:
    """An object at another distance from its cameras, or without an alpha channel."""
    shutil.copytree(scene, folder)
    for path in folder.glob("transforms_*.json"):
        meta = json.loads(path.read_text())
        for frame in meta["frames"]:
            for row in frame["transform_matrix"][:3]:
                row[3] *= scale
        path.write_text(json.dumps(meta))
    for path in folder.glob("*/*.png") if background else ():
        with Image.open(path) as image:
            Image.alpha_composite(Image.new("RGBA", image.size, (*background, 255)), image).convert("RGB").save(path)
    return folder


@pytest.mark.parametrize(("scale", "set_to"), [(0.35, 2.857), (10.0, 0.1), (1.1, 1.0), (12500.0, 1e-4)])
def test_cameras_of_an_object_are_put_where_its_bounds_are_meant_for(
    blender_scene: Path, tmp_path: Path, scale: float, set_to: float
) -> None:
    scene = copied(blender_scene, tmp_path / "scene", scale)
    for more in ((), ("blender-data",)):
        config, said = followed("softmining-lite", scene, *more)
        assert config.pipeline.datamanager.dataparser.scale_factor == set_to
        assert (f"set scale_factor {set_to}" in said) == (set_to != 1.0)
        follow_data(config)
        assert config.pipeline.datamanager.dataparser.scale_factor == set_to
    config, _ = followed("softmining-lite", scene, "blender-data", "--scale-factor", 1.0)
    assert config.pipeline.datamanager.dataparser.scale_factor == 1.0


@pytest.mark.parametrize(
    "command",
    [
        "softmining-lite --pipeline.model.near-plane 0.7",
        "softmining --pipeline.model.far-plane 2.1",
        "softmining-vanilla --pipeline.model.collider-params near_plane 0.7 far_plane 2.1",
    ],
)
def test_bounds_of_ones_own_are_those_of_the_scene_as_it_is(blender_scene: Path, tmp_path: Path, command: str) -> None:
    config, _ = followed(command, copied(blender_scene, tmp_path / "scene", 0.35), "blender-data")
    assert config.pipeline.datamanager.dataparser.scale_factor == 1.0


@pytest.mark.parametrize(
    ("shown", "words", "expected"),
    [
        (None, "", "white"),
        (None, "blender-data --alpha-color None", "white"),
        (None, "blender-data --alpha-color black", "black"),
        (None, "blender-data --alpha-color green", "last_sample"),
        ((255, 253, 255), "", "white"),
        ((0, 2, 1), "", "black"),
        ((90, 90, 90), "", "last_sample"),
    ],
)
@pytest.mark.parametrize("method", ["softmining-lite", "softmining"])
def test_the_background_is_that_of_the_images(
    blender_scene: Path, tmp_path: Path, method: str, shown: tuple[int, ...] | None, words: str, expected: str
) -> None:
    scene = copied(blender_scene, tmp_path / "scene", background=shown)
    assert followed(method, scene, *words.split())[0].pipeline.model.background_color == expected
    mine = followed(f"{method} --pipeline.model.background-color random", scene, *words.split())[0]
    assert mine.pipeline.model.background_color == "random"


def test_a_translucent_border_shows_what_is_behind_it(blender_scene: Path, tmp_path: Path) -> None:
    scene = copied(blender_scene, tmp_path / "scene")
    Image.new("RGBA", (24, 24), (0, 0, 0, 2)).save(scene / "train" / "r_0.png")
    assert followed("softmining", scene)[0].pipeline.model.background_color == "white"


def test_a_close_up_before_transparency_does_not_hide_the_background(blender_scene: Path, tmp_path: Path) -> None:
    scene = copied(blender_scene, tmp_path / "scene")
    close_up = Image.new("RGBA", (24, 24), (90, 90, 90, 255))
    close_up.putpixel((12, 12), (0, 0, 0, 0))
    close_up.save(scene / "train" / "r_0.png")
    assert followed("softmining", scene)[0].pipeline.model.background_color == "white"


def test_a_model_is_told_no_background_that_it_cannot_have(blender_scene: Path, tmp_path: Path) -> None:
    grey = copied(blender_scene, tmp_path / "grey", background=(90, 90, 90))
    black = copied(blender_scene, tmp_path / "black", background=(0, 0, 0))
    assert followed("softmining-ngp", grey)[0].pipeline.model.background_color == "random"  # instant-ngp's own
    assert followed("softmining-ngp", black)[0].pipeline.model.background_color == "black"


@pytest.mark.parametrize("damage", ["transforms_train.json", "train/r_0.png"])
def test_what_cannot_be_read_is_left_to_the_parser(blender_scene: Path, tmp_path: Path, damage: str) -> None:
    scene = copied(blender_scene, tmp_path / "scene")
    (scene / damage).write_text("{}")
    assert followed("softmining-lite", scene, "blender-data")[1].endswith("the settings stay as they are.")
