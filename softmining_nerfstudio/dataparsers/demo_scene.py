"""The ``demo-scene`` data parser: renders a model ship into the user's cache folder on first use.

No download, no GPU, a few seconds once. The folder has the layout of a NeRF-synthetic scene, so nerfstudio's own
``blender-data`` reads it as well. A manifest lists the size and checksum of every file. It tells a complete scene from
a damaged one, and our folder from a user's.
"""

import contextlib
import errno
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path

import platformdirs
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.dataparsers.blender_dataparser import Blender, BlenderDataParserConfig
from nerfstudio.plugins.registry_dataparser import DataParserSpecification
from nerfstudio.utils.rich_utils import CONSOLE
from PIL import Image

from softmining_nerfstudio.dataparsers.procedural import raycast, ship

DEFAULT_FOLDER = Path(platformdirs.user_cache_dir("softmining_nerfstudio")) / "v1" / "demo-scene"
"""nerfstudio names a run after the last part of this path."""
MANIFEST = "demo-scene.json"
TEMPORARY = ".demo-scene-rendering-"
"""Prefix of the folder that holds a scene while it is rendered."""
ABANDONED = 3600.0
"""Age at which such a folder must come from a killed run, seconds: a rendering takes seconds."""


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the files of a scene."""

    version: int = 1
    """Goes up when the same numbers below give other images; old caches are then rendered again."""
    resolution: int = 200
    """Height and width in pixels."""
    supersampling: int = 2
    """Rays per pixel, along each of its two sides."""
    views: Mapping[str, int] = field(default_factory=lambda: {"train": 60, "val": 8, "test": 8})


FULL = Recipe()


@dataclass
class DemoSceneDataParserConfig(BlenderDataParserConfig):
    """A procedural model ship, rendered on first use; needs no data."""

    _target: type = field(default_factory=lambda: DemoScene)
    """target class to instantiate"""
    data: Path = DEFAULT_FOLDER
    """Folder of the scene. The parser renders into a new or empty folder, and refuses one that is no demo scene."""


class DemoScene(Blender):
    """Renders the scene if it is missing or damaged, then reads it as any Blender scene."""

    config: DemoSceneDataParserConfig

    def _generate_dataparser_outputs(self, split: str = "train") -> DataparserOutputs:
        ensure_scene(self.data, FULL)
        return super()._generate_dataparser_outputs(split)


def ensure_scene(folder: Path, recipe: Recipe) -> None:
    """Leaves a complete scene in ``folder``: the present one, or a new rendering.

    Raises:
        FileExistsError: the folder holds other files. It stays as it was.
        OSError: the file system refuses the scene, for example because the disk is full. No part of it stays behind.
    """
    folder = folder.resolve()
    remove_abandoned(folder)
    if is_complete(folder, recipe):
        return
    occupied = has_other_files(folder)
    if occupied and not (folder / MANIFEST).exists() and folder != DEFAULT_FOLDER.resolve():
        raise FileExistsError(
            f"{folder} is not a demo scene and not empty, so it is left as it is. Name a new or empty folder with "
            "--data, or read this one with the data parser that it was made for, such as blender-data."
        )
    reason = "Incomplete, damaged or outdated: rendering again" if occupied else "Rendering"
    say(f"{reason} the demo scene into {folder} (once, about 5 s)")
    try:
        render_scene(folder, recipe)
    except OSError as error:
        raise OSError(
            error.errno or errno.EIO,
            f"The demo scene cannot be written into {folder}: {error.strerror or error}. Make room or allow writing "
            "there, or name another folder with --data",
        ) from error


def render_scene(folder: Path, recipe: Recipe) -> None:
    """Renders into a temporary folder, then moves the scene into place. Keeps other files in ``folder``, and a complete
    scene of a faster process. Raises OSError if the file system does."""
    # Inside an existing folder: its parent may be read-only or another file system.
    workshop = folder if folder.is_dir() else folder.parent
    workshop.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=workshop, ignore_cleanup_errors=True) as temporary:
        scene = Path(temporary) / "scene"
        write_scene(scene, recipe)
        if is_complete(folder, recipe):
            return
        try:
            scene.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            replace_files(scene, folder)


def remove_abandoned(folder: Path) -> None:
    """Removes the temporary folders that killed renderings have left in or beside ``folder``."""
    for place in (folder, folder.parent):
        for old in place.glob(TEMPORARY + "*"):
            with contextlib.suppress(OSError):
                if time.time() - old.stat().st_mtime > ABANDONED:
                    shutil.rmtree(old)


def replace_files(scene: Path, folder: Path) -> None:
    """Moves the files of ``scene`` over those of ``folder``, one by one. The manifest goes first: it marks the folder
    as ours, and the scene as incomplete until the last file has arrived."""
    files = [path.relative_to(scene) for path in scene.rglob("*") if path.is_file()]
    for name in sorted(files, key=lambda name: name != Path(MANIFEST)):
        (folder / name).parent.mkdir(exist_ok=True)
        os.replace(scene / name, folder / name)


def write_scene(scene: Path, recipe: Recipe) -> None:
    """Renders all splits into the new folder ``scene``, in Blender layout, with its manifest."""
    files: dict[str, dict[str, int]] = {}

    def write(name: str, content: bytes) -> None:
        (scene / name).parent.mkdir(parents=True, exist_ok=True)
        (scene / name).write_bytes(content)
        files[name] = fingerprint(content)

    surfaces = ship.ship()
    for turn, (split, count) in enumerate(recipe.views.items()):
        poses = ship.cameras(count, turn=float(turn))
        frames = []
        for i, image in enumerate(raycast.render(surfaces, poses, recipe.resolution, recipe.supersampling)):
            png = BytesIO()
            Image.fromarray(image.numpy()).save(png, format="PNG")
            write(f"{split}/r_{i}.png", png.getvalue())
            matrix = [*poses[i].tolist(), [0.0, 0.0, 0.0, 1.0]]
            frames.append({"file_path": f"./{split}/r_{i}", "transform_matrix": matrix})
        transforms = {"camera_angle_x": raycast.CAMERA_ANGLE_X, "frames": frames}
        write(f"transforms_{split}.json", json.dumps(transforms, indent=1).encode())
    manifest = {"recipe": asdict(recipe), "files": files}
    (scene / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def is_complete(folder: Path, recipe: Recipe) -> bool:
    """Whether ``folder`` holds the scene of ``recipe`` with every file unchanged. Takes a few milliseconds."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return manifest["recipe"] == asdict(recipe) and all(
            fingerprint((folder / name).read_bytes()) == expected for name, expected in manifest["files"].items()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def has_other_files(folder: Path) -> bool:
    """Whether ``folder`` is a file, or holds more than temporary folders of ours."""
    if not folder.is_dir():
        return folder.exists()
    return any(not entry.name.startswith(TEMPORARY) for entry in folder.iterdir())


def fingerprint(content: bytes) -> dict[str, int]:
    """The manifest's entry of a file: its size in bytes and its CRC-32."""
    return {"bytes": len(content), "crc32": zlib.crc32(content)}


def say(line: str) -> None:
    """Prints one line without wrapping it or reading brackets as markup."""
    CONSOLE.print(line, markup=False, highlight=False, soft_wrap=True)


demo_scene = DataParserSpecification(
    config=DemoSceneDataParserConfig(),
    description="A procedural model ship, rendered on first use: no download.",
)
