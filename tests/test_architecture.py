"""Imports run one way between the rooms of the package, the method knows nothing of nerfstudio, and nothing heavy is
imported before it is needed."""

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from softmining_nerfstudio.mining.walkers import lowest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "softmining_nerfstudio"
LAYERS = [
    ["mining", "encodings", "images", "dataparsers"],
    ["sampling"],
    ["training"],
    ["twins"],
    ["methods"],
    ["benchmark"],
]
"""The rooms. A module imports its own room, and those of the layers before."""
TORCH_ALONE = {
    "mining": {"torch", "jaxtyping"},
    "encodings": {"torch", "jaxtyping", "numpy", "numba", "platformdirs"},
    "images": {"torch", "jaxtyping", "numpy", "PIL", "rich", "psutil", "platformdirs", "filelock"},
}
"""Rooms without nerfstudio: what they import besides the standard library."""


def module_of(file):
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {module_of(file): file.read_text() for file in sorted((ROOT / PACKAGE).glob("**/*.py"))}


def imported(module, source):
    """Names of the modules that a source imports, anywhere in it; of a package's members, as if they were modules."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*module.split(".")[: -node.level], *filter(None, [node.module])])
            base = base if node.level else node.module
            yield from (f"{base}.{alias.name}" for alias in node.names)


def room_of(name):
    """The room of a module of the package; None for the package itself."""
    return name.partition(".")[2].split(".")[0] or None


def offending(module, source):
    """The imports that go against the layers, or tie a room of torch's alone to anything else."""
    own = room_of(module)
    layer = next(n for n, rooms in enumerate(LAYERS) if own in rooms)
    below = {own, "__version__", *(room for rooms in LAYERS[:layer] for room in rooms)}
    for name in imported(module, source):
        if name.split(".")[0] == PACKAGE:
            if room_of(name) not in below:
                yield name
        elif own in TORCH_ALONE and name.split(".")[0] not in TORCH_ALONE[own] | {*sys.stdlib_module_names}:
            yield name


def circle(graph):
    """Modules that import each other in a circle; empty if there are none. `graph` has what each module imports."""
    done = set()

    def visit(module, path):
        if module in path:
            return path[path.index(module) :]
        if module in done or module not in graph:
            return []
        found = next(filter(None, (visit(other, [*path, module]) for other in graph[module])), [])
        done.add(module)
        return found

    return next(filter(None, (visit(module, []) for module in graph)), [])


def modules_imported(module):
    """Modules of the package that a module imports."""
    names = {*imported(module, SOURCES[module])}
    return sorted({name if name in SOURCES else name.rpartition(".")[0] for name in names} & SOURCES.keys() - {PACKAGE})


def python(code):
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_every_room_has_its_layer():
    assert {room_of(module) for module in SOURCES} - {None} == {room for rooms in LAYERS for room in rooms}


@pytest.mark.parametrize("module", [module for module in SOURCES if room_of(module)])
def test_imports_run_one_way(module):
    assert list(offending(module, SOURCES[module])) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mining.miner", "import nerfstudio"),
        ("mining.miner", "import torch, numpy as np"),
        ("mining.miner", "from nerfstudio.data import pixel_samplers"),
        ("mining.miner", "import softmining_nerfstudio"),
        ("mining.miner", "from softmining_nerfstudio import training"),
        ("mining.miner", "from softmining_nerfstudio.mining_extras import x"),
        ("mining.pixels.cells", "from ... import training"),
        ("mining.pixels.cells", "from ...training.model import SoftMiningLoss"),
        ("mining.miner", "def f():\n    import nerfstudio.cameras.rays"),
        ("mining.miner", "if TYPE_CHECKING:\n    from nerfstudio.cameras.rays import RayBundle"),
        ("images.keeping", "import nerfstudio"),
        ("images.keeping", "from softmining_nerfstudio.mining.pixels.images import Images"),
        ("sampling.batch", "from softmining_nerfstudio.training.model import SoftMiningLoss"),
        ("training.model", "from softmining_nerfstudio.twins import soft_mining"),
        ("dataparsers.llff", "from softmining_nerfstudio.mining.miner import Miner"),
        ("twins", "from softmining_nerfstudio import methods"),
        ("methods", "import softmining_nerfstudio.benchmark.cli"),
    ],
)
def test_an_offending_import_is_found(module, source):
    assert list(offending(f"{PACKAGE}.{module}", source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mining.miner", "import math, torch.nn.functional as F"),
        ("mining.miner", "from torch import Tensor"),
        ("mining.miner", "from softmining_nerfstudio.mining.pixels import cells"),
        ("mining.pixels.images", "from . import cells"),
        ("mining.pixels.images", "from .cells import GRID"),
        ("mining.miner", "from __future__ import annotations"),
        ("sampling.batch", "import nerfstudio, softmining_nerfstudio.mining.miner"),
        ("benchmark.cli", "from softmining_nerfstudio.methods import softmining_lite"),
    ],
)
def test_a_permitted_import_is_not(module, source):
    assert not list(offending(f"{PACKAGE}.{module}", source))


def test_no_modules_import_each_other_in_a_circle():
    assert circle({module: modules_imported(module) for module in SOURCES}) == []
    assert circle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c"]


def test_mining_works_without_nerfstudio():
    modules = ", ".join(module for module in SOURCES if room_of(module) == "mining")
    done = python(f"import sys; sys.modules['nerfstudio'] = None; import {modules}")
    assert done.returncode == 0, done.stderr


def test_importing_the_plugin_imports_nothing_heavy():
    done = python("import sys; import softmining_nerfstudio; print({'torch', 'nerfstudio', 'numpy'} & {*sys.modules})")
    assert done.stdout.strip() == "set()", done.stdout + done.stderr


def listed(package):
    """The modules that a package's docstring names, in its order: `word.py`, or `folder/word.py`."""
    words = (word.strip("(,);:.") for word in (ast.get_docstring(ast.parse(SOURCES[package])) or "").split())
    return [f"{package}.{word.removesuffix('.py').replace('/', '.')}" for word in words if word.endswith(".py")]


@pytest.mark.parametrize("room", [room for rooms in LAYERS for room in rooms if (ROOT / PACKAGE / room).is_dir()])
def test_every_room_lists_each_of_its_modules_once(room):
    """Or its folders do."""
    own = [module for module in SOURCES if room_of(module) == room]
    folders = [module for module in own if (ROOT / module.replace(".", "/")).is_dir()]
    assert sorted(module for folder in folders for module in listed(folder)) == sorted({*own} - {*folders})


def test_mining_can_be_read_in_the_order_its_docstring_gives():
    """From the step down: the ground comes last and knows nothing of the rest."""
    order = listed(f"{PACKAGE}.mining")
    ground = [module for module in order if ".pixels." in module]
    assert order[0] == f"{PACKAGE}.mining.miner"
    assert order[-len(ground) :] == ground
    for position, module in enumerate(ground):
        assert {*modules_imported(module)} <= {*ground[:position]}


@pytest.mark.skipif(not find_spec("beartype"), reason="beartype, which checks them, is not installed")
def test_the_shapes_in_signatures_are_checked():
    with pytest.raises(TypeError, match="lowest"):
        lowest(torch.zeros(2, 2), 0.5)
