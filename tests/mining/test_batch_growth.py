"""Batches that grow over training."""

import pytest

from softmining_nerfstudio.mining.batch_growth import BatchGrowth


def test_the_mean_over_training_is_what_was_asked_for():
    rays = [BatchGrowth(0.5, 1000).rays_at(step, 1024) for step in range(1001)]
    assert rays[0] == 512
    assert rays[500] == 1024
    assert rays[1000] == 1536
    assert sum(rays) / len(rays) == pytest.approx(1024, abs=0.5)
    assert rays == sorted(rays)


def test_after_the_last_step_it_stays_as_large():
    assert BatchGrowth(0.25, 10).rays_at(99, 100) == 125


def test_without_a_spread_all_batches_are_alike():
    assert {BatchGrowth().rays_at(step, 77) for step in (0, 500, 5000)} == {77}


def test_there_is_always_a_ray():
    assert BatchGrowth(0.9).rays_at(0, 1) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"spread": 1.0}, r"spread is 1\.0; expected a fraction of the batch, at least 0 and below 1"),
        ({"spread": -0.1}, r"spread is -0\.1"),
        ({"spread": float("nan")}, "spread is nan"),
        ({"steps": 0}, "steps is 0; expected at least 1"),
    ],
)
def test_an_impossible_setting_is_named_with_what_is_allowed(fields, message):
    with pytest.raises(ValueError, match=message):
        BatchGrowth(**fields)
