"""What a person sets replaces what the recipe has, and nothing else."""

import re
from dataclasses import fields, replace

import pytest

from softmining_nerfstudio.mining.footprint import Footprint
from softmining_nerfstudio.mining.importance import Importance
from softmining_nerfstudio.mining.pixels.edge_strength import EDGE_STRENGTHS
from softmining_nerfstudio.mining.recipes import RECIPES, SAMPLING_TYPES
from softmining_nerfstudio.mining.settings import Settings
from softmining_nerfstudio.mining.uniform_share import UniformShare
from softmining_nerfstudio.mining.walks import Diffusion, Langevin


@pytest.mark.parametrize("sampling_type", SAMPLING_TYPES)
def test_without_settings_the_recipe_is_that_of_the_sampling_type(sampling_type):
    assert Settings(sampling_type).recipe == RECIPES[sampling_type]


@pytest.mark.parametrize(
    ("setting", "part", "expected"),
    [
        ({"uniform_fraction": 0.3}, "uniform_share", UniformShare(0.3, 50)),
        ({"warmup_steps": 0}, "uniform_share", UniformShare(warmup_steps=0)),
        ({"diffusion": Diffusion(noise=0.1)}, "walk", Diffusion(noise=0.1)),
        ({"edge_rays": False}, "edge_rays", False),
        ({"edges_by": "sobel"}, "edge_strength", EDGE_STRENGTHS["sobel"]),
        ({"coverage": 0.0}, "footprint", Footprint(0.0)),
        ({"importance": Importance(alpha=0.8)}, "importance", Importance(alpha=0.8)),
    ],
)
def test_a_setting_changes_its_part_of_the_recipe(setting, part, expected):
    assert Settings("dmc", **setting).recipe == replace(RECIPES["dmc"], **{part: expected})


def test_the_walk_of_another_sampling_type_changes_nothing():
    settings = Settings("dmc").with_walk(Langevin(drift=1.0))
    assert settings.langevin.drift == 1.0
    assert settings.recipe == RECIPES["dmc"]
    assert replace(settings, sampling_type="lmc").recipe.walk == Langevin(drift=1.0)


@pytest.mark.parametrize("sampling_type", SAMPLING_TYPES)
def test_resolved_settings_leave_nothing_open_and_mean_the_same(sampling_type):
    resolved = Settings(sampling_type).resolved()
    assert all(getattr(resolved, field.name) is not None for field in fields(resolved))
    assert resolved.recipe == RECIPES[sampling_type]


@pytest.mark.parametrize(("name", "value"), [("uniform_fraction", -0.1), ("warmup_steps", -1), ("coverage", -1.0)])
def test_a_number_out_of_its_range_is_refused_at_once(name, value):
    with pytest.raises(ValueError, match=re.escape(str(value))):
        Settings(**{name: value})
