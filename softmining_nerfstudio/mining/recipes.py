"""What each sampling type is made of. Every default that differs between sampling types stands in `RECIPES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from softmining_nerfstudio.mining.footprint import Footprint
from softmining_nerfstudio.mining.importance import Importance
from softmining_nerfstudio.mining.pixels.densities import Densities
from softmining_nerfstudio.mining.pixels.edge_strength import EDGE_STRENGTHS, EdgeStrength
from softmining_nerfstudio.mining.strategies.base import Strategy
from softmining_nerfstudio.mining.strategies.controls import (
    Foreground,
    StaticEdges,
    Uniform,
    UniformPerImage,
    WeightedForeground,
    WeightedUniform,
)
from softmining_nerfstudio.mining.strategies.error_map import ErrorMap
from softmining_nerfstudio.mining.strategies.walking import Walking
from softmining_nerfstudio.mining.uniform_share import UniformShare
from softmining_nerfstudio.mining.walks import Diffusion, Langevin, Walk

SamplingType = Literal[
    "uniform",
    "lmc",
    "dmc",
    "uniform-per-image",
    "uniform-weighted",
    "foreground",
    "foreground-weighted",
    "edges",
    "edges-contrast",
    "error-map",
]
SAMPLING_TYPES: tuple[SamplingType, ...] = get_args(SamplingType)


@dataclass(frozen=True)
class Recipe:
    """What a sampling type is made of."""

    name: SamplingType
    make: Callable[[Densities, torch.Generator], Strategy] | None = None
    """Builds the strategy; None for walkers, which `walk` describes."""
    walk: Walk | None = None
    """How the walkers move; None where there are none."""
    edge_rays: bool = False
    """Whether a share of the rays is drawn on edges besides the walkers."""
    edge_strength: EdgeStrength = EDGE_STRENGTHS["contrast"]
    """What edges are found by."""
    uniform_share: UniformShare = UniformShare()
    footprint: Footprint = Footprint(0.0)
    importance: Importance = Importance()

    def strategy(self, densities: Densities, generator: torch.Generator) -> Strategy:
        """The strategy that draws the mined rays."""
        if self.walk is not None:
            return Walking(densities, generator, self.walk, self.edge_rays)
        assert self.make is not None
        return self.make(densities, generator)


WARMUP, FOOTPRINTS = UniformShare(warmup_steps=50), Footprint(coverage=10.0)
"""Those of dmc and edges-contrast."""

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("uniform", Uniform),
        Recipe("lmc", walk=Langevin(), edge_strength=EDGE_STRENGTHS["sobel"]),
        Recipe("dmc", walk=Diffusion(), edge_rays=True, uniform_share=WARMUP, footprint=FOOTPRINTS),
        Recipe("uniform-per-image", UniformPerImage),
        Recipe("uniform-weighted", WeightedUniform),
        Recipe("foreground", Foreground),
        Recipe("foreground-weighted", WeightedForeground),
        Recipe("edges", StaticEdges, edge_strength=EDGE_STRENGTHS["sobel"]),
        Recipe("edges-contrast", StaticEdges, uniform_share=WARMUP, footprint=FOOTPRINTS),  # dmc without its walkers
        Recipe("error-map", ErrorMap),
    )
}


def recipe_of(sampling_type: str) -> Recipe:
    """The recipe of a sampling type.

    Raises:
        ValueError: if there is none of that name.
    """
    if sampling_type not in RECIPES:
        raise ValueError(f"sampling type {sampling_type!r} is unknown; expected one of {SAMPLING_TYPES}")
    return RECIPES[sampling_type]
