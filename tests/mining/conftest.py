"""What all tests of the method have: a generator of their own, and no other."""

import pytest
import torch


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
