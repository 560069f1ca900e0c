"""The method knows nothing of nerfstudio, and nothing heavy is imported before it is needed."""

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from softmining_nerfstudio.mining.walkers import lowest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "softmining_nerfstudio.mining"
FILES = sorted((ROOT / PACKAGE.replace(".", "/")).glob("**/*.py"))
ALLOWED = {"torch", "jaxtyping", *sys.stdlib_module_names}


def imported(source):
    """Names of the modules that a source imports, anywhere in it; relative ones with their leading dots."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def foreign(source):
    """The imports that would tie `mining` to anything but torch, jaxtyping, itself and the standard library."""

    def is_own(name):
        return f"{name}.".startswith(f"{PACKAGE}.") or (name.startswith(".") and not name.startswith(".."))

    return [name for name in imported(source) if not is_own(name) and name.split(".")[0] not in ALLOWED]


def python(code):
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_mining_imports_only_torch_jaxtyping_itself_and_the_standard_library(file):
    assert foreign(file.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import nerfstudio",
        "import torch, numpy as np",
        "from nerfstudio.data import pixel_samplers",
        "import softmining_nerfstudio",
        "from softmining_nerfstudio import model",
        "from softmining_nerfstudio.model import SoftMiningLoss",
        "from softmining_nerfstudio.mining_extras import x",
        "from .. import model",
        "from ..model import SoftMiningLoss",
        "def f():\n    import nerfstudio.cameras.rays",
        "if TYPE_CHECKING:\n    from nerfstudio.cameras.rays import RayBundle",
    ],
)
def test_an_offending_import_is_found(source):
    assert foreign(source)


@pytest.mark.parametrize(
    "source",
    [
        "import math, torch.nn.functional as F",
        "from torch import Tensor",
        "from softmining_nerfstudio.mining.images import Images",
        "from softmining_nerfstudio.mining import cells",
        "from . import cells",
        "from .cells import GRID",
        "from __future__ import annotations",
    ],
)
def test_a_permitted_import_is_not(source):
    assert not foreign(source)


def test_mining_works_without_nerfstudio():
    modules = ", ".join(f"{PACKAGE}.{file.stem}" for file in FILES if file.stem != "__init__")
    done = python(f"import sys; sys.modules['nerfstudio'] = None; import {modules}")
    assert done.returncode == 0, done.stderr


def test_importing_the_plugin_imports_nothing_heavy():
    done = python("import sys; import softmining_nerfstudio; print({'torch', 'nerfstudio', 'numpy'} & {*sys.modules})")
    assert done.stdout.strip() == "set()", done.stdout + done.stderr


def test_the_package_can_be_read_in_the_order_its_docstring_gives():
    """Each module is listed once, and imports only modules listed before it."""
    docstring = ast.get_docstring(ast.parse((FILES[0].parent / "__init__.py").read_text()))
    order = [word.removesuffix(".py") for word in docstring.split() if word.endswith(".py")]
    assert sorted(order) == sorted(file.stem for file in FILES if file.stem != "__init__")
    for position, module in enumerate(order):
        own = {
            name.split(".")[2] for name in imported((FILES[0].parent / f"{module}.py").read_text()) if PACKAGE in name
        }
        assert own <= set(order[:position])


@pytest.mark.skipif(not find_spec("beartype"), reason="beartype, which checks them, is not installed")
def test_the_shapes_in_signatures_are_checked():
    with pytest.raises(TypeError, match="lowest"):
        lowest(torch.zeros(2, 2), 0.5)
