"""The LLFF dataparser: geometry to the pixel, the way back to the file's world, and errors that teach.

The projection here is written from the format's own convention (axes down, right, backwards) and shares no code with
the parser. Pixel coordinates are continuous: the centre of the first pixel is (0.5, 0.5).
"""

import ast
import io
import json
import math
import os
import pickle
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
import tyro
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.plugins.registry_dataparser import DataParserSpecification
from PIL import Image

from softmining_nerfstudio.dataparsers import llff, llff_layout, smaller_images
from softmining_nerfstudio.dataparsers.llff import LLFFDataParserConfig, llff_data

ROOT = Path(__file__).resolve().parents[2]
FERN = Path(os.environ.get("SOFTMINING_DATA", ROOT.parent / "shared" / "data")) / "llff" / "fern"
WIDTH, HEIGHT, FOCAL = 160, 120, 150.0
NEAR, FAR = 4.0, 30.0


def look_at(position, target, up=(0.0, 0.0, 1.0)):
    """A 3x4 matrix in the file's convention, columns down, right, backwards, position."""
    back = np.subtract(position, target) / np.linalg.norm(np.subtract(position, target))
    right = np.cross(up, back) / np.linalg.norm(np.cross(up, back))
    return np.stack([-np.cross(back, right), right, back, position], axis=1)


def forward_facing(n=9, seed=0):
    """n cameras side by side that look along +y at about the same point, ten units away."""
    rng = np.random.default_rng(seed)
    return np.stack([look_at(rng.normal(0, [1, 0.2, 1]), rng.normal([0, 10, 0], 0.5)) for _ in range(n)])


def all_around(n=9, above=1.0):
    """n cameras on a ring of radius 5 around (3, -2, 1), above it and looking at it."""
    angles = 2 * np.pi * np.arange(n) / n
    ring = np.stack([3 + 5 * np.cos(angles), -2 + 5 * np.sin(angles), np.full(n, 1 + above)], axis=1)
    return np.stack([look_at(position, [3, -2, 1]) for position in ring])


def rows_of(matrices, near=NEAR, far=FAR):
    n = len(matrices)
    intrinsics = np.tile(np.array([HEIGHT, WIDTH, FOCAL])[None, :, None], (n, 1, 1))
    return np.hstack([np.concatenate([matrices, intrinsics], axis=2).reshape(n, 15), np.tile([near, far], (n, 1))])


def write_images(folder, n, size=(WIDTH, HEIGHT)):
    folder.mkdir()
    for i in range(n):
        Image.new("RGB", size, (i, 0, 0)).save(folder / f"view_{i:02d}.png")


@pytest.fixture
def capture(tmp_path):
    """Writes a capture: 3x4 matrices, and the size of the images in each folder."""

    def write(matrices, **folders):
        np.save(tmp_path / "poses_bounds.npy", rows_of(matrices))
        for name, size in (folders or {"images": (WIDTH, HEIGHT)}).items():
            write_images(tmp_path / name, len(matrices), size)
        return tmp_path

    return write


def parse(data, split="train", **options):
    return LLFFDataParserConfig(data=data, **options).setup().get_dataparser_outputs(split)


def to_new_frame(outputs, points):
    transform = outputs.dataparser_transform.double().numpy()
    return outputs.dataparser_scale * (points @ transform[:, :3].T + transform[:, 3])


# Geometry


@pytest.mark.parametrize("matrices", [forward_facing(), all_around()], ids=["forward-facing", "360"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_rays_at_projected_pixels_pass_through_the_points(capture, matrices, split):
    outputs = parse(capture(matrices, images=(WIDTH, HEIGHT), images_2=(80, 60)), split, downscale_factor=2)
    views = [i for i in range(len(matrices)) if (i % 8 == 0) == (split == "test")]
    rng = np.random.default_rng(1)
    for camera, view in enumerate(views):
        rotation, position = matrices[view][:, :3], matrices[view][:, 3]
        depth = rng.uniform(NEAR, FAR, 50)
        local = np.stack([rng.uniform(-0.4, 0.4, 50) * depth, rng.uniform(-0.5, 0.5, 50) * depth, -depth], axis=1)
        row = (HEIGHT / 2 + FOCAL * local[:, 0] / depth) / 2
        column = (WIDTH / 2 + FOCAL * local[:, 1] / depth) / 2
        points = to_new_frame(outputs, local @ rotation.T + position)

        coords = torch.tensor(np.stack([row, column], axis=1), dtype=torch.float32)
        rays = outputs.cameras.generate_rays(torch.full((50, 1), camera), coords)
        towards = torch.tensor(points).float() - rays.origins
        sine = torch.linalg.cross(rays.directions, towards / towards.norm(dim=1, keepdim=True)).norm(dim=1)
        assert (sine * FOCAL / 2).max() < 1e-3
        assert (rays.directions * towards).sum(dim=1).min() > 0


@pytest.mark.parametrize("matrices", [forward_facing(), all_around()], ids=["forward-facing", "360"])
def test_poses_map_back_to_the_world_of_the_file(capture, matrices):
    outputs = parse(capture(matrices), scale_factor=0.7)
    down, right, back, position = np.moveaxis(np.delete(matrices, [0, 8], axis=0), 2, 0)
    for convention, axes in {"opengl": [right, -down, back], "opencv": [right, down, -back]}.items():
        expected = np.stack([*axes, position], axis=2)
        found = outputs.transform_poses_to_original_space(outputs.cameras.camera_to_worlds, convention)
        np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)


def test_the_saved_transform_maps_points_of_the_file_to_the_new_frame(capture, tmp_path):
    matrices = forward_facing()
    outputs = parse(capture(matrices), "test")
    outputs.save_dataparser_transform(tmp_path / "out" / "dataparser_transforms.json")
    saved = json.loads((tmp_path / "out" / "dataparser_transforms.json").read_text())
    homogeneous = np.append(matrices[8][:, 3], 1)
    found = saved["scale"] * (np.array(saved["transform"]) @ homogeneous)
    np.testing.assert_allclose(found, outputs.cameras.camera_to_worlds[1, :, 3].numpy(), atol=1e-5)


def test_the_average_forward_facing_camera_is_the_identity_and_the_closest_depth_four_thirds(capture):
    data = capture(forward_facing())
    outputs = parse(data, depth_margin=0.0)
    average = torch.cat([outputs.cameras.camera_to_worlds, parse(data, "test").cameras.camera_to_worlds]).mean(dim=0)
    torch.testing.assert_close(average[:, 3], torch.zeros(3), atol=1e-5, rtol=0)
    assert torch.nn.functional.normalize(average[:, 2], dim=0)[2] > 1 - 1e-6
    assert average[0, 1].abs() < 0.05
    assert outputs.metadata == {
        "near": pytest.approx(4 / 3),
        "far": pytest.approx(4 / 3 * FAR / NEAR),
        "capture": "forward-facing",
    }


def test_moving_turning_and_scaling_the_forward_facing_world_changes_nothing(capture, tmp_path):
    matrices = forward_facing()
    expected = parse(capture(matrices))
    turn = look_at([1.0, 2.0, 3.0], [-4.0, 1.0, 0.5])[:, :3]
    moved = 50 * np.concatenate([turn @ matrices[:, :, :3] / 50, turn @ matrices[:, :, 3:] + 7.0], axis=2)
    np.save(tmp_path / "poses_bounds.npy", rows_of(moved, 50 * NEAR, 50 * FAR))
    found = parse(tmp_path)
    torch.testing.assert_close(found.cameras.camera_to_worlds, expected.cameras.camera_to_worlds, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.scene_box.aabb, expected.scene_box.aabb, atol=1e-4, rtol=0)
    assert found.metadata["near"] == pytest.approx(expected.metadata["near"])


def test_cameras_that_look_down_with_opposite_up_axes_are_forward_facing(capture):
    matrices = [look_at([x, 0.0, 10.0], [x, 0.0, 0.0], up=[0.0, 1 - x % 2 * 2, 0.0]) for x in range(4)]
    outputs = parse(capture(np.stack(matrices)))
    assert outputs.metadata["capture"] == "forward-facing"
    torch.testing.assert_close(outputs.cameras.camera_to_worlds[:, :, 2], torch.tensor([[0.0, 0, 1]]).expand(3, 3))
    torch.testing.assert_close(torch.linalg.det(outputs.dataparser_transform[:, :3]), torch.tensor(1.0))


def test_a_ring_of_cameras_is_centred_on_what_it_looks_at_with_z_up_in_the_unit_sphere(capture):
    outputs = parse(capture(all_around()), "train")
    centres = outputs.cameras.camera_to_worlds[:, :, 3]
    np.testing.assert_allclose(to_new_frame(outputs, np.array([3.0, -2, 1])), np.zeros(3), atol=1e-5)
    assert outputs.metadata["capture"] == "360"
    torch.testing.assert_close(centres.norm(dim=1), torch.ones(len(centres)))
    torch.testing.assert_close(centres[:, 2], torch.full((len(centres),), 1 / math.sqrt(26)))


def test_a_360_capture_far_from_its_origin_keeps_its_precision(capture):
    matrices = all_around()
    data = capture(matrices)
    expected = parse(data).cameras.camera_to_worlds
    matrices[:, :, 3] += 1e5
    np.save(data / "poses_bounds.npy", rows_of(matrices))
    torch.testing.assert_close(parse(data).cameras.camera_to_worlds, expected, atol=1e-5, rtol=0)


def test_two_images_all_around_are_enough(capture):
    data = capture(all_around(2))
    assert len(parse(data, "train").cameras) == len(parse(data, "test").cameras) == 1


def test_the_scale_factor_scales_poses_bounds_and_box_alike(capture):
    data = capture(forward_facing())
    once, twice = parse(data), parse(data, scale_factor=2.0)
    torch.testing.assert_close(twice.cameras.camera_to_worlds[:, :, 3], 2 * once.cameras.camera_to_worlds[:, :, 3])
    torch.testing.assert_close(twice.scene_box.aabb, 2 * once.scene_box.aabb)
    assert twice.metadata["far"] == pytest.approx(2 * once.metadata["far"])
    assert twice.dataparser_scale == pytest.approx(2 * once.dataparser_scale)


def test_the_scene_box_holds_every_ray_from_the_closest_to_the_farthest_depth(capture):
    outputs = parse(capture(forward_facing()))
    rays = outputs.cameras.generate_rays(0)
    axis = outputs.cameras.camera_to_worlds[0, :, 2]
    for depth in (outputs.metadata["near"] + 1e-4, outputs.metadata["far"] - 1e-4):
        along = depth / -(rays.directions @ axis)[..., None]
        assert outputs.scene_box.within((rays.origins + along * rays.directions).reshape(-1, 3)).all()


def test_a_horizon_does_not_blow_up_the_scene_box(capture, tmp_path):
    capture(forward_facing())
    np.save(tmp_path / "poses_bounds.npy", rows_of(forward_facing(), NEAR, 1e6))
    outputs = parse(tmp_path)
    assert outputs.scene_box.aabb.abs().max() < 20
    assert outputs.metadata["far"] > 1e5


def test_the_focal_length_follows_the_real_size_of_the_images_not_the_name_of_the_folder(capture):
    outputs = parse(capture(forward_facing(), images_4=(32, 24)), downscale_factor=4)
    camera = outputs.cameras[0]
    assert (camera.width.item(), camera.height.item()) == (32, 24)
    assert (camera.fx.item(), camera.fy.item()) == pytest.approx((FOCAL / 5, FOCAL / 5))
    assert (camera.cx.item(), camera.cy.item()) == (16, 12)


def test_epipolar_lines_of_a_real_capture_pass_within_a_pixel_of_matched_features():
    cv2 = pytest.importorskip("cv2")
    if not (FERN / "images_8").is_dir():
        pytest.skip(f"no real capture at {FERN}: set SOFTMINING_DATA to a folder with llff/fern in it")
    errors = epipolar_errors(cv2, parse(FERN, "train", downscale_factor=8))
    print(f"fern: {len(errors)} matches, median {np.median(errors):.3f} px")
    assert len(errors) > 1000
    assert np.median(errors) < 1.0


def epipolar_errors(cv2, outputs):
    """Symmetric distance (pixels, mean of both images) of SIFT matches between neighbouring views to epipolar lines."""
    sift, matcher, features, errors = cv2.SIFT_create(1000), cv2.BFMatcher(), [], []
    for file in outputs.image_filenames:
        keypoints, descriptors = sift.detectAndCompute(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), None)
        # OpenCV counts from the centre of the first pixel, nerfstudio from its corner.
        features.append((np.array([k.pt for k in keypoints]) + 0.5, descriptors))
    cameras = outputs.cameras
    for i in range(len(features) - 1):
        (points_a, descriptors_a), (points_b, descriptors_b) = features[i], features[i + 1]
        pairs = matcher.knnMatch(descriptors_a, descriptors_b, k=2)
        good = [a for a, b in pairs if a.distance < 0.7 * b.distance]
        a = np.append(points_a[[m.queryIdx for m in good]], np.ones((len(good), 1)), axis=1)
        b = np.append(points_b[[m.trainIdx for m in good]], np.ones((len(good), 1)), axis=1)
        fundamental = fundamental_matrix(cameras[i], cameras[i + 1])
        lines_b, lines_a = a @ fundamental.T, b @ fundamental
        residual = np.abs((b * lines_b).sum(axis=1))
        by_line = [residual / np.linalg.norm(lines[:, :2], axis=1) for lines in (lines_a, lines_b)]
        errors.append((by_line[0] + by_line[1]) / 2)
    return np.concatenate(errors)


def fundamental_matrix(a, b):
    """F with b^T F a = 0 for pixels a, b of two nerfstudio cameras."""

    def world_to_pixel(camera):
        pose = np.append(camera.camera_to_worlds.double().numpy(), [[0, 0, 0, 1]], axis=0)
        fx, fy, cx, cy = (getattr(camera, name).item() for name in ("fx", "fy", "cx", "cy"))
        return np.array([[fx, 0, -cx, 0], [0, -fy, -cy, 0], [0, 0, -1, 0]]) @ np.linalg.inv(pose)

    project_a, project_b = world_to_pixel(a), world_to_pixel(b)
    x, y, z = project_b @ np.append(a.camera_to_worlds[:, 3].double().numpy(), 1)
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ project_b @ np.linalg.pinv(project_a)


# Splits and folders


@pytest.mark.parametrize("interval", [2, 3, 8])
def test_every_nth_image_is_for_evaluation_and_the_rest_for_training(capture, interval):
    data = capture(forward_facing(12))
    outputs = {split: parse(data, split, eval_interval=interval) for split in ("train", "val", "test")}
    number = {split: [int(file.stem[-2:]) for file in out.image_filenames] for split, out in outputs.items()}
    assert number["test"] == number["val"] == list(range(0, 12, interval))
    assert sorted(number["train"] + number["test"]) == list(range(12))


def test_an_interval_beyond_the_last_image_leaves_the_first_for_evaluation(capture):
    data = capture(forward_facing(3))
    assert [f.stem for f in parse(data, "test", eval_interval=100).image_filenames] == ["view_00"]
    assert len(parse(data, "train", eval_interval=100).image_filenames) == 2


def test_nerfstudio_loads_images_of_the_size_the_cameras_have(capture):
    dataset = InputDataset(parse(capture(forward_facing(3), images_4=(40, 30)), downscale_factor=4))
    assert dataset[0]["image"].shape == (30, 40, 3)
    assert (dataset.cameras.height[0], dataset.cameras.width[0]) == (30, 40)
    assert dataset.metadata["capture"] == "forward-facing"


def test_large_images_are_read_at_the_first_power_of_two_within_the_limit(capture, monkeypatch):
    monkeypatch.setattr(llff_layout, "MAX_AUTO_SIDE", 50)
    data = capture(forward_facing(2), images=(160, 120), images_2=(80, 60), images_4=(40, 30), images_8=(20, 15))
    assert {f.parent.name for f in parse(data).image_filenames} == {"images_4"}


def test_the_images_decide_what_is_large_whatever_size_the_poses_file_has(capture, monkeypatch):
    monkeypatch.setattr(llff_layout, "MAX_AUTO_SIDE", 50)
    assert {f.parent.name for f in parse(capture(forward_facing(2), images=(40, 30))).image_filenames} == {"images"}


def test_another_folder_is_used_and_named_when_the_usual_ones_are_missing(capture, capsys):
    data = capture(forward_facing(2), images_8=(20, 15))
    assert {f.parent.name for f in parse(data).image_filenames} == {"images_8"}
    assert "images_8" in capsys.readouterr().out


def test_a_missing_folder_is_made_and_a_dot_stays_where_it_was(capture):
    data = capture(forward_facing(2))
    for file in (data / "images").iterdir():
        pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        pixels[36:44, 92:108] = 255
        Image.fromarray(pixels).save(file)
    outputs = parse(data, downscale_factor=4)
    assert sorted(f.name for f in data.iterdir()) == ["images", "images_4", "poses_bounds.npy"]
    small = np.asarray(Image.open(outputs.image_filenames[0]).convert("L"), dtype=float)
    assert small.shape == (30, 40)
    row, column = (np.average(np.arange(n) + 0.5, weights=small.sum(axis=1 - axis)) for axis, n in enumerate((30, 40)))
    assert (row, column) == pytest.approx((40 / 4, 100 / 4), abs=0.01)


def test_made_images_keep_the_order_of_their_sources(capture):
    data = capture(forward_facing(3))
    shutil.rmtree(data / "images")
    (data / "images").mkdir()
    for red, name in enumerate(["a.k.PNG", "a.png", "b.png"]):
        Image.new("RGB", (WIDTH, HEIGHT), (100 * red, 0, 0)).save(data / "images" / name)
    files = parse(data, "train", downscale_factor=4).image_filenames
    assert [Image.open(file).getpixel((3, 3))[0] for file in files] == [100, 200]


def test_an_odd_size_may_be_rounded_either_way(capture):
    assert len(parse(capture(forward_facing(2), images_7=(22, 18)), downscale_factor=7).image_filenames) == 1


def test_a_folder_made_by_another_run_meanwhile_is_used(capture, monkeypatch):
    def lose(source, target):
        shutil.copytree(source, target)
        raise OSError("Directory not empty")

    monkeypatch.setattr(os, "rename", lose)
    assert len(parse(capture(forward_facing(2)), downscale_factor=4).image_filenames) == 1


def test_a_folder_that_cannot_be_written_is_a_clear_error(capture, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(ValueError, match=r"images_4: cannot be written.*Permission denied.*--downscale-factor 1"):
        parse(capture(forward_facing(2)), downscale_factor=4)


def test_an_image_that_breaks_off_is_named_and_no_half_made_folder_stays(capture):
    data = capture(forward_facing(2))
    broken = data / "images" / "view_01.png"
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(noise).save(broken)
    broken.write_bytes(broken.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"view_01\.png: cannot be read"):
        parse(data, downscale_factor=4)
    assert sorted(f.name for f in data.iterdir()) == ["images", "poses_bounds.npy"]


# Bad input


def test_a_missing_data_folder_is_named_in_the_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        parse(tmp_path / "nowhere")


def test_a_missing_poses_file_is_named_in_the_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"poses_bounds\.npy: no such file"):
        parse(tmp_path)


def npy_bytes(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


HUGE = npy_bytes(np.zeros((2, 17))).replace(b"(2, 17), }" + b" " * 12, b"(2" + b"0" * 12 + b", 17), }")
UNREADABLE = {
    "truncated": npy_bytes(rows_of(forward_facing(2)))[:-50],
    "cut in its header": npy_bytes(rows_of(forward_facing(2)))[:40],
    "empty": b"",
    "text": b"3 4 5\n",
    "pickled": pickle.dumps([1, 2]),
    "objects": npy_bytes(np.array([[None] * 17] * 2), allow_pickle=True),
    "broken zip": b"PK\x03\x04 and then nothing of an archive",
    "larger than its file": HUGE,
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_poses_file_is_named_in_the_error(tmp_path, content):
    (tmp_path / "poses_bounds.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"poses_bounds\.npy: cannot be read as a numpy array"):
        parse(tmp_path)


def test_an_archive_of_arrays_is_no_poses_file(tmp_path):
    with (tmp_path / "poses_bounds.npy").open("wb") as file:
        np.savez(file, rows_of(forward_facing(2)))
    with pytest.raises(ValueError, match=r"poses_bounds\.npy: found an archive, expected .*\[n, 17\]"):
        parse(tmp_path)


@pytest.mark.parametrize("array", [np.zeros((3, 15)), np.zeros(17), np.full((3, 17), "a"), np.zeros((3, 17), complex)])
def test_a_wrong_shape_or_type_is_told(tmp_path, array):
    np.save(tmp_path / "poses_bounds.npy", array)
    with pytest.raises(ValueError, match=r"poses_bounds\.npy: found .*shape.*, expected numbers of shape \[n, 17\]"):
        parse(tmp_path)


def test_a_single_image_is_too_few(capture):
    with pytest.raises(ValueError, match=r"poses_bounds\.npy: found 1 rows, expected at least 2"):
        parse(capture(forward_facing(1)))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({3: np.nan}, "not finite"),
        ({16: np.inf}, "not finite"),
        ({0: 3.0}, "no rotation"),
        (dict.fromkeys((0, 5, 10), 0.0), "no rotation"),
        ({4: 0.0}, "height, width or focal length"),
        ({14: -FOCAL}, "height, width or focal length"),
        ({15: 0.0}, "0 < closest < farthest"),
        ({15: FAR}, "0 < closest < farthest"),
    ],
)
def test_a_bad_row_is_named_with_what_is_wrong(capture, tmp_path, entries, message):
    capture(forward_facing(3))
    rows = rows_of(forward_facing(3))
    rows[2, list(entries)] = list(entries.values())
    np.save(tmp_path / "poses_bounds.npy", rows)
    with pytest.raises(ValueError, match=rf"poses_bounds\.npy: row 2 has .*{message}"):
        parse(tmp_path)


def test_a_mirrored_pose_is_no_rotation(capture, tmp_path):
    capture(forward_facing(3))
    mirrored = forward_facing(3)
    mirrored[1, :, 0] *= -1
    np.save(tmp_path / "poses_bounds.npy", rows_of(mirrored))
    with pytest.raises(ValueError, match=r"row 1 has a 3x3 part that is no rotation"):
        parse(tmp_path)


def test_a_capture_without_any_folder_of_images_is_told(capture, tmp_path):
    shutil.rmtree(capture(forward_facing(2)) / "images")
    with pytest.raises(FileNotFoundError, match="found no folder of images, expected images/ or images_N/"):
        parse(tmp_path)


def test_a_requested_folder_that_cannot_be_made_is_an_error_that_lists_the_others(capture):
    with pytest.raises(FileNotFoundError, match=r"images_4: no such folder.*images_8 \(--downscale-factor 8\)"):
        parse(capture(forward_facing(2), images_8=(20, 15)), downscale_factor=4)


@pytest.mark.parametrize("factor", [None, 4], ids=["as they are", "to be made smaller"])
@pytest.mark.parametrize("kept", [0, 1, 2])
def test_fewer_images_than_poses_is_told_with_both_numbers(capture, kept, factor):
    data = capture(forward_facing(3))
    for file in sorted((data / "images").iterdir())[kept:]:
        file.unlink()
    with pytest.raises(ValueError, match=rf"images: found {kept} images .*, expected 3"):
        parse(data, downscale_factor=factor)


def test_files_that_are_not_images_by_name_are_passed_over(capture):
    data = capture(forward_facing(2))
    (data / "images" / "._view_00.png").write_bytes(b"\0\5\x16\7")
    (data / "images" / ".DS_Store").write_bytes(b"")
    (data / "images" / "notes.txt").write_text("tripod")
    assert len(parse(data).image_filenames) == 1


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"], ids=["empty", "text", "cut header"])
def test_a_file_that_is_no_image_is_named_in_the_error(capture, content):
    data = capture(forward_facing(2))
    (data / "images" / "view_01.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"view_01\.png: cannot be read as an image"):
        parse(data)


def test_a_link_to_nowhere_is_named_in_the_error(capture):
    data = capture(forward_facing(2))
    (data / "images" / "view_01.png").unlink()
    (data / "images" / "view_01.png").symlink_to(data / "gone.png")
    with pytest.raises(ValueError, match=r"view_01\.png: cannot be read as an image"):
        parse(data)


def test_an_image_of_another_size_is_named_in_the_error(capture):
    data = capture(forward_facing(2))
    Image.new("RGB", (80, 60)).save(data / "images" / "view_01.png")
    with pytest.raises(ValueError, match=r"view_01\.png: found 80x60 pixels, expected 160x120 like view_00\.png"):
        parse(data)


def test_images_of_another_shape_than_the_poses_are_told(capture):
    with pytest.raises(ValueError, match=r"found 120x160 pixels, expected the aspect ratio of 160x120"):
        parse(capture(forward_facing(2), images=(120, 160)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"downscale_factor": 0}, "downscale_factor is 0"),
        ({"eval_interval": 1}, "eval_interval is 1"),
        ({"scale_factor": 0.0}, r"scale_factor is 0\.0"),
        ({"depth_margin": 1.0}, r"depth_margin 1\.0"),
        ({"split": "all"}, "split is 'all'"),
    ],
)
def test_a_senseless_option_is_named_in_the_error(capture, options, message):
    with pytest.raises(ValueError, match=message):
        parse(capture(forward_facing(2)), **options)


def test_a_ring_of_cameras_cannot_be_read_as_forward_facing(capture):
    with pytest.raises(ValueError, match=r"capture is 'forward-facing', but .*--capture 360"):
        parse(capture(all_around(above=0.0)), capture="forward-facing")


def test_cameras_in_one_place_cannot_be_read_as_all_around(capture):
    turned = np.stack([look_at([1.0, 2, 3], target) for target in ([5.0, 2, 3], [1.0, 6, 3], [-3.0, 2, 3])])
    with pytest.raises(ValueError, match="in one place"):
        parse(capture(turned), capture="360")


# The plugin


def test_nerfstudio_can_register_it_and_set_its_options_from_the_command_line():
    assert isinstance(llff_data, DataParserSpecification)
    union = tyro.extras.subcommand_type_from_defaults({"llff-data": llff_data.config, "other": llff_data.config})
    config = tyro.cli(union, args=["llff-data", "--downscale-factor", "8", "--capture", "360"])
    assert (config.downscale_factor, config.capture, config.eval_interval) == (8, "360", 8)


def foreign_imports(source):
    """Modules of nerfstudio that a dataparser must not import: nerfstudio loads it while importing itself."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom | ast.Import)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    allowed = ("data.dataparsers.", "data.scene_box", "cameras.", "plugins.registry_dataparser", "utils.rich_utils")
    prefixes = tuple(f"nerfstudio.{name}" for name in allowed)
    ours = [name for name in names if name.startswith(("nerfstudio", "softmining_nerfstudio"))]
    return [name for name in ours if not name.startswith((*prefixes, "softmining_nerfstudio.dataparsers"))]


def test_it_imports_nothing_that_imports_it():
    for module in (llff, llff_layout, smaller_images):
        assert foreign_imports(Path(module.__file__).read_text()) == []
    assert foreign_imports("from nerfstudio.configs.method_configs import a") == ["nerfstudio.configs.method_configs"]
