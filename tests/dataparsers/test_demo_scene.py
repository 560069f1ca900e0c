"""The demo scene is what nerfstudio expects, its folder always a whole scene, and nobody's files are harmed."""

import errno
import json
import os
import time
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.plugins.registry_dataparser import DataParserSpecification
from PIL import Image

from softmining_nerfstudio.dataparsers import demo_scene
from softmining_nerfstudio.dataparsers.demo_scene import (
    MANIFEST,
    TEMPORARY,
    DemoSceneDataParserConfig,
    Recipe,
    ensure_scene,
    is_complete,
)
from softmining_nerfstudio.dataparsers.procedural import ship

SMALL = Recipe(resolution=44, supersampling=1, views={"train": 5, "val": 2, "test": 2})


@pytest.fixture(scope="module", autouse=True)
def small():
    """Everything here is about files, so a few surfaces in a few small views will do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_scene, "FULL", SMALL)
        patch.setattr(ship, "ship", ship.plinth)
        yield


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    """A complete small scene, to be read only."""
    folder = tmp_path_factory.mktemp("rendered") / "demo-scene"
    ensure_scene(folder, SMALL)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fail_at_the_third_file(monkeypatch, error: BaseException) -> None:
    original, calls = Path.write_bytes, []

    def write_bytes(path: Path, content: bytes) -> int:
        calls.append(path)
        if len(calls) == 3:
            raise error
        return original(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)


def test_same_bytes_on_every_run_whatever_the_number_of_threads(rendered, tmp_path):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        ensure_scene(tmp_path / "again", SMALL)
        assert torch.get_num_threads() == 3, "rendering must give the threads back"
    finally:
        torch.set_num_threads(threads)
    assert contents(tmp_path / "again") == contents(rendered)


def test_rendering_leaves_the_global_random_numbers_alone(tmp_path):
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    ensure_scene(tmp_path / "scene", SMALL)
    assert torch.equal(before, torch.get_rng_state())
    assert (numpy_before == np.random.get_state()[1]).all()  # noqa: NPY002


# What nerfstudio reads


def test_nerfstudios_own_blender_parser_reads_the_same(rendered):
    for split, count in SMALL.views.items():
        ours = DemoSceneDataParserConfig(data=rendered).setup().get_dataparser_outputs(split)
        stock = BlenderDataParserConfig(data=rendered).setup().get_dataparser_outputs(split)
        assert len(ours.image_filenames) == count
        assert ours.image_filenames == stock.image_filenames
        assert torch.equal(ours.cameras.camera_to_worlds, stock.cameras.camera_to_worlds)
        assert torch.equal(ours.cameras.fx, stock.cameras.fx)
        assert torch.equal(ours.scene_box.aabb, stock.scene_box.aabb)
        assert torch.equal(ours.alpha_color, stock.alpha_color)
        for i in range(count):
            assert torch.equal(InputDataset(ours)[i]["image"], InputDataset(stock)[i]["image"])


def test_nerfstudios_rays_through_opaque_pixels_hit_the_scene_and_others_do_not(rendered):
    outputs = DemoSceneDataParserConfig(data=rendered).setup().get_dataparser_outputs("val")
    rays = outputs.cameras[:1].generate_rays(camera_indices=0)
    origins, directions = rays.origins.reshape(-1, 3).T, rays.directions.reshape(-1, 3).T
    hits = torch.stack([surface.first_hit(origins, directions) for surface in ship.ship()]).amin(0).isfinite()
    alpha = torch.from_numpy(np.array(Image.open(outputs.image_filenames[0])))[..., 3].flatten()
    # One ray per pixel was rendered, through its middle: only rounding at an edge may tell the two apart.
    assert (hits == (alpha > 0)).float().mean() > 0.998


def test_the_scene_factor_and_the_background_are_still_the_users(rendered):
    config = DemoSceneDataParserConfig(data=rendered, scale_factor=0.5, alpha_color=None)
    outputs = config.setup().get_dataparser_outputs("train")
    assert outputs.alpha_color is None
    torch.testing.assert_close(outputs.cameras.camera_to_worlds[..., 3].norm(dim=-1), torch.full((5,), 2.0))


def test_the_entry_point_is_a_data_parser_specification():
    target = "softmining_nerfstudio.dataparsers.demo_scene:demo_scene"
    specification = EntryPoint("demo-scene", target, "nerfstudio.dataparser_configs").load()
    assert isinstance(specification, DataParserSpecification)
    assert specification.config.data.stem == "demo-scene", "nerfstudio names the run after it"


# The folder


def test_nothing_is_rendered_before_the_data_are_asked_for(tmp_path):
    DemoSceneDataParserConfig(data=tmp_path / "scene").setup()
    assert not list(tmp_path.iterdir())


def test_a_complete_scene_is_neither_rendered_nor_written_again(rendered, monkeypatch, capsys):
    monkeypatch.setattr(demo_scene, "write_scene", no_space)
    started = time.perf_counter()
    ensure_scene(rendered, SMALL)
    assert time.perf_counter() - started < 0.2
    assert capsys.readouterr().out == ""


def test_rendering_says_so_in_one_line(tmp_path, capsys):
    folder = tmp_path / ("long [bold] name " * 8) / "scene"
    ensure_scene(folder, SMALL)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Rendering")
    assert str(folder) in line


def test_an_existing_empty_folder_is_filled(tmp_path):
    ensure_scene(tmp_path, SMALL)
    assert is_complete(tmp_path, SMALL)
    assert not list(tmp_path.glob(TEMPORARY + "*"))


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), RuntimeError("anything")])
@pytest.mark.parametrize("exists", [False, True])
def test_an_interrupted_rendering_leaves_no_half_scene(tmp_path, monkeypatch, interruption, exists):
    folder = tmp_path / "scene"
    if exists:
        folder.mkdir()
    with monkeypatch.context() as patch:
        fail_at_the_third_file(patch, interruption)
        with pytest.raises(type(interruption)):
            ensure_scene(folder, SMALL)
    assert not contents(tmp_path)
    assert list(tmp_path.iterdir()) == ([folder] if exists else [])
    ensure_scene(folder, SMALL)
    assert is_complete(folder, SMALL)


def test_what_a_killed_rendering_left_is_ignored_and_later_removed(tmp_path):
    folder = tmp_path / "scene"
    old, recent, inside = tmp_path / f"{TEMPORARY}old", tmp_path / f"{TEMPORARY}recent", folder / f"{TEMPORARY}inside"
    for left in (old, recent, inside):
        (left / "scene").mkdir(parents=True)
    for left in (old, inside):
        os.utime(left, (time.time() - 2 * demo_scene.ABANDONED,) * 2)
    ensure_scene(folder, SMALL)
    assert is_complete(folder, SMALL)
    assert recent.exists(), "it may be of a process that is still rendering"
    assert not old.exists()
    assert not inside.exists()


def truncate_an_image(folder: Path) -> None:
    path = folder / "train/r_1.png"
    path.write_bytes(path.read_bytes()[:-20])


def empty_an_image(folder: Path) -> None:
    (folder / "val/r_0.png").write_bytes(b"")


def remove_an_image(folder: Path) -> None:
    (folder / "test/r_1.png").unlink()


def flip_a_bit(folder: Path) -> None:
    path = folder / "train/r_0.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def break_the_poses(folder: Path) -> None:
    (folder / "transforms_train.json").write_text('{"frames": [')


def break_the_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")


def empty_the_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("[]")


def pretend_an_older_version(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["recipe"]["version"] -= 1
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "damage",
    [
        truncate_an_image,
        empty_an_image,
        remove_an_image,
        flip_a_bit,
        break_the_poses,
        break_the_manifest,
        empty_the_manifest,
        pretend_an_older_version,
    ],
)
def test_a_damaged_or_outdated_scene_is_rendered_again_beside_the_users_files(rendered, tmp_path, capsys, damage):
    for name, content in contents(rendered).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    camera_path = tmp_path / "camera_paths" / "mine.json"  # nerfstudio's viewer saves them there
    camera_path.parent.mkdir()
    camera_path.write_text("precious")
    damage(tmp_path)
    assert not is_complete(tmp_path, SMALL)
    ensure_scene(tmp_path, SMALL)
    assert "rendering again" in capsys.readouterr().out
    assert contents(tmp_path) == contents(rendered) | {"camera_paths/mine.json": b"precious"}


def test_the_cache_folder_is_rebuilt_even_without_its_manifest(rendered, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_scene, "DEFAULT_FOLDER", tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "r_0.png").write_bytes(b"half an im")
    ensure_scene(tmp_path, SMALL)
    assert contents(tmp_path) == contents(rendered)


def test_a_folder_of_the_users_is_refused_and_left_alone(tmp_path):
    (tmp_path / "transforms_train.json").write_text("{}")
    with pytest.raises(FileExistsError, match="not a demo scene") as refusal:
        ensure_scene(tmp_path, SMALL)
    assert str(tmp_path) in str(refusal.value)
    assert contents(tmp_path) == {"transforms_train.json": b"{}"}


def test_a_file_of_the_users_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not a demo scene"):
        ensure_scene(tmp_path / "notes.txt", SMALL)
    assert contents(tmp_path) == {"notes.txt": b"mine"}


@pytest.mark.parametrize("exists", [False, True])
def test_two_processes_rendering_at_once_both_end_well(rendered, tmp_path, monkeypatch, exists):
    folder = tmp_path / "scene"
    if exists:
        folder.mkdir()
    original, others = demo_scene.write_scene, []

    def overtaken(scene: Path, recipe: Recipe) -> None:
        original(scene, recipe)
        if not others:
            others.append("rendering")
            ensure_scene(folder, recipe)

    monkeypatch.setattr(demo_scene, "write_scene", overtaken)
    ensure_scene(folder, SMALL)
    assert contents(folder) == contents(rendered)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_process_that_is_overtaken_while_it_puts_its_files_in_place_ends_well(rendered, tmp_path):
    demo_scene.write_scene(tmp_path / "ours", SMALL)
    ensure_scene(tmp_path / "theirs", SMALL)
    demo_scene.replace_files(tmp_path / "ours", tmp_path / "theirs")
    assert contents(tmp_path / "theirs") == contents(rendered)


def test_a_full_disk_is_explained_and_leaves_nothing(tmp_path, monkeypatch):
    fail_at_the_third_file(monkeypatch, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(OSError, match="--data") as failure:
        ensure_scene(tmp_path / "scene", SMALL)
    assert failure.value.errno == errno.ENOSPC
    assert str(tmp_path / "scene") in str(failure.value)
    assert os.strerror(errno.ENOSPC) in str(failure.value)
    assert not list(tmp_path.iterdir())


def test_an_unwritable_folder_is_explained(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(demo_scene.tempfile, "mkdtemp", denied)
    with pytest.raises(PermissionError, match="--data") as failure:
        ensure_scene(tmp_path / "scene", SMALL)
    assert str(tmp_path / "scene") in str(failure.value)
    assert not list(tmp_path.iterdir())


def test_a_cache_below_a_file_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="--data"):
        ensure_scene(tmp_path / "file" / "scene", SMALL)
