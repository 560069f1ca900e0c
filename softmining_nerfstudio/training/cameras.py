"""What nerfstudio's parsers accept and no model can learn: impossible cameras, two of one image, and all in one place.

Parsers turn, centre and scale the cameras, which spreads a bad number of one frame to all, and blows up what is left
of cameras in one place. The checks therefore look at such scenes a second time, as the files have them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path

import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig, DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset

from softmining_nerfstudio.training.errors import UserError

AS_IN_THE_FILES = {
    "orientation_method": "none",
    "center_method": "none",
    "auto_scale_poses": False,
    "scale_factor": 1.0,
}
LARGEST_SCALE = 1e4
FARTHEST = 1e6
"""Distance from the origin at which single precision leaves no detail."""
SAME_PLACE = 1e-6
"""Spread of the cameras relative to their distance from the file's origin: the noise of single precision."""


def require_settings(parser: DataParserConfig) -> None:
    """Check the numbers of a parser's configuration.

    Raises:
        UserError: if one is not finite, or a scale is not positive, or absurd.
    """
    for field in fields(parser):
        value, flag = getattr(parser, field.name), f"--{field.name.replace('_', '-')}"
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{flag} is {value}; expected a finite number")
        if field.name in ("scale_factor", "scene_scale") and not 1 / LARGEST_SCALE <= value <= LARGEST_SCALE:
            raise UserError(f"{flag} is {value}; expected a number from {1 / LARGEST_SCALE:g} to {LARGEST_SCALE:g}")


def require_cameras(
    parser: DataParserConfig, outputs: DataparserOutputs, datasets: Sequence[InputDataset], reader: str
) -> None:
    """Check the cameras of all data sets of a scene.

    Args:
        outputs: of the training data, for the way back to the coordinates of the files.
        reader: what the parser is called on the command line.

    Raises:
        UserError: if a number is not finite, a camera is impossible, two cameras share an image, or the cameras are in
            one place or absurdly far away.
    """
    views = [(dataset.image_filenames, dataset.cameras) for dataset in datasets]
    for names, cameras in views:
        if cameras.camera_to_worlds.ndim != 3:  # instant-ngp's parser looks a single pose up by a tensor
            raise UserError(
                f"{reader} has no camera for {names[0]}, the only image of its part of the data; expected two or "
                f"more. End the command with {reader} --eval-mode interval --eval-interval 5."
            )
    places = torch.cat([cameras.camera_to_worlds[:, :3, 3] for _, cameras in views]).double()
    offset = outputs.dataparser_transform[:3, 3].double().norm()
    spread = (places - places.mean(dim=0)).norm(dim=1).max()
    if not spread > SAME_PLACE * max(0.1, abs(outputs.dataparser_scale) * float(offset)):
        require_cameras_of_files(parser)
    _require_finite(views)
    _require_possible(views)
    _require_own_images(views)
    if not outputs.scene_box.aabb.isfinite().all():
        raise UserError(f"the scene box of {parser.data} is {outputs.scene_box.aabb.tolist()}; expected finite numbers")
    _require_places(views)
    if (farthest := float(places.norm(dim=1).max())) > FARTHEST:
        raise UserError(
            f"a camera of {parser.data} is {farthest:.3g} from the origin; expected at most {FARTHEST:g}. "
            "Scale the scene down."
        )


def require_cameras_of_files(parser: DataParserConfig) -> None:
    """Check the cameras as the files have them, before anything turns, centres or scales them.

    Raises:
        UserError: if a number is not finite, or the cameras are in one place.
    """
    names = {field.name for field in fields(parser)}
    plain = replace(parser, **{name: value for name, value in AS_IN_THE_FILES.items() if name in names}).setup()
    found = [plain.get_dataparser_outputs(split) for split in ("train", "val")]
    views = [(outputs.image_filenames, outputs.cameras) for outputs in found]
    _require_finite(views)
    _require_places(views)


def _require_finite(views: Iterable[tuple[list[Path], Cameras]]) -> None:
    for names, cameras in views:
        numbers = {"pose": cameras.camera_to_worlds.flatten(1), "distortion": cameras.distortion_params}
        numbers |= {name: getattr(cameras, name) for name in ("fx", "fy", "cx", "cy")}
        for what, values in numbers.items():
            bad = [] if values is None else (~values.isfinite().all(dim=1)).nonzero()[:, 0].tolist()
            if bad:
                others = f", as have {len(bad) - 1} others" if len(bad) > 1 else ""
                raise UserError(
                    f"the camera of {names[bad[0]]} has a number that is not finite in its {what}{others}: "
                    f"{values[bad[0]].tolist()}. Mend or remove the frame."  # type: ignore[index]
                )


def _require_possible(views: Iterable[tuple[list[Path], Cameras]]) -> None:
    """Check that images are not mirrored, and that rays leave the camera where it looks."""
    for names, cameras in views:
        orientation = torch.linalg.det(cameras.camera_to_worlds[:, :3, :3].double())
        numbers = {"rotation of determinant": orientation, "fx of": cameras.fx[:, 0], "fy of": cameras.fy[:, 0]}
        for what, values in numbers.items():
            bad = (values <= 0).nonzero()[:, 0].tolist()
            if bad:
                others = f", as {len(bad) - 1} others" if len(bad) > 1 else ""
                raise UserError(
                    f"the camera of {names[bad[0]]} has a {what} {values[bad[0]]:.3g}{others}; expected a positive "
                    "one. Mend or remove the frame."
                )


def _require_own_images(views: Iterable[tuple[list[Path], Cameras]]) -> None:
    """Check that no image is seen by two cameras; it may be listed twice."""
    poses: dict[Path, torch.Tensor] = {}
    for names, cameras in views:
        for name, pose in zip(names, cameras.camera_to_worlds, strict=True):
            if not torch.allclose(poses.setdefault(name, pose), pose, atol=1e-4):
                raise UserError(
                    f"two cameras in different places have the image {name}; expected one of its own for each. "
                    "(In folders of smaller images, as images_2, nerfstudio finds it by the file's name alone.)"
                )


def _require_places(views: Iterable[tuple[list[Path], Cameras]]) -> None:
    """Check that two cameras differ in place by more than the noise of single precision."""
    names, cameras = zip(*views, strict=True)
    images = {name for some in names for name in some}
    places = torch.cat([some.camera_to_worlds[:, :3, 3] for some in cameras]).double()
    spread = (places - places.mean(dim=0)).norm(dim=1).max()
    noise = 2 * torch.finfo(torch.float32).eps
    if spread > noise * places.norm(dim=1).max() and spread > noise:
        return
    if len(images) == 1:
        raise UserError(f"{next(iter(images))} is the only image; expected images from several places")
    raise UserError(
        f"all {len(images)} cameras are in one place ({next(iter(images))} and the others); "
        "expected a capture from several, as depth cannot be learned from one"
    )
