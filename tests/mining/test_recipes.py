"""The table of sampling types, as a reader would write it down."""

import pytest
import torch

from softmining_nerfstudio.mining.pixels.densities import Densities
from softmining_nerfstudio.mining.recipes import RECIPES, SAMPLING_TYPES, Recipe, recipe_of

TABLE = """
    uniform              Uniform             plain     -       contrast  0.1  0   0
    lmc                  Walking             weighted  learns  sobel     0.1  0   0   Langevin
    dmc                  Walking             weighted  learns  contrast  0.1  50  10  Diffusion  edges
    uniform-per-image    UniformPerImage     plain     -       contrast  0.1  0   0
    uniform-weighted     WeightedUniform     weighted  -       contrast  0.1  0   0
    foreground           Foreground          plain     -       contrast  0.1  0   0
    foreground-weighted  WeightedForeground  weighted  -       contrast  0.1  0   0
    edges                StaticEdges         weighted  -       sobel     0.1  0   0
    edges-contrast       StaticEdges         weighted  -       contrast  0.1  50  10
    error-map            ErrorMap            plain     learns  contrast  0.1  0   0
"""
"""Name, strategy, its loss, whether it learns, measure of edges, uniform share, warm-up, coverage, walk, rays on
edges."""


def written(recipe: Recipe, generator: torch.Generator) -> str:
    """The line of a recipe."""
    strategy = recipe.strategy(Densities(2, recipe.edge_strength), generator)
    share, coverage = recipe.uniform_share, recipe.footprint.coverage
    words = [recipe.name, type(strategy).__name__]
    words += ["weighted" if strategy.corrected else "plain", "learns" if strategy.learns else "-"]
    words += [recipe.edge_strength.name, share.fraction, share.warmup_steps, int(coverage)]
    words += [] if recipe.walk is None else [type(recipe.walk).__name__]
    return " ".join(map(str, words + ["edges"] * recipe.edge_rays))


def test_the_recipes_are_those_of_the_table(generator):
    assert [written(RECIPES[name], generator) for name in SAMPLING_TYPES] == [
        " ".join(line.split()) for line in TABLE.strip().splitlines()
    ]
    assert {*RECIPES} == {*SAMPLING_TYPES}


def test_an_unknown_sampling_type_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"'nuts'.*'uniform'.*'dmc'"):
        recipe_of("nuts")
