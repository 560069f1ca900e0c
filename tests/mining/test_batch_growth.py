"""How many rays a batch has."""

import pytest

from softmining_nerfstudio.mining.batch_growth import BatchGrowth


def test_a_batch_grows_from_half_of_its_rays_to_all():
    assert [BatchGrowth(4).at(step, 80) for step in (0, 1, 2, 3, 4, 5, 10**6)] == [40, 50, 60, 70, 80, 80, 80]


def test_it_has_all_of_them_from_the_start_if_there_are_no_steps():
    assert [BatchGrowth(0).at(step, 7) for step in (0, 1, 10**6)] == [7, 7, 7]


def test_there_is_always_a_ray():
    assert [BatchGrowth(4).at(step, 1) for step in (0, 3, 4)] == [1, 1, 1]


def test_fewer_than_no_steps_are_named():
    with pytest.raises(ValueError, match="growth_steps is -1; expected at least 0"):
        BatchGrowth(-1)
