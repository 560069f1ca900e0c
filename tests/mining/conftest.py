"""The shapes in the signatures of `mining` are checked while these tests run, where beartype is installed."""

from importlib.util import find_spec

import pytest
import torch
from jaxtyping import install_import_hook

if find_spec("beartype"):
    install_import_hook("softmining_nerfstudio.mining", "beartype.beartype")


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def _global_generator_is_left_alone():
    """All randomness of a sampler comes from the generator it is given."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before), "torch's global generator was used"
