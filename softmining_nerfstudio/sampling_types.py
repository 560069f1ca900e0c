"""The ways of choosing training rays that a user may name, and their settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

import torch
import tyro
from nerfstudio.data.pixel_samplers import PixelSamplerConfig

from softmining_nerfstudio.mining.controls import (
    Foreground,
    StaticEdges,
    Uniform,
    UniformPerImage,
    WeightedForeground,
    WeightedUniform,
)
from softmining_nerfstudio.mining.diffusion import DiffusionConfig
from softmining_nerfstudio.mining.edge_strength import Contrast, EdgeStrength, Sobel
from softmining_nerfstudio.mining.error_map import ErrorMap
from softmining_nerfstudio.mining.footprint import Footprint
from softmining_nerfstudio.mining.importance import ImportanceConfig
from softmining_nerfstudio.mining.langevin import LangevinConfig
from softmining_nerfstudio.mining.respawn import Respawn
from softmining_nerfstudio.mining.strategy import Strategy
from softmining_nerfstudio.mining.uniform_share import UniformShare
from softmining_nerfstudio.mining.walkers import Walk
from softmining_nerfstudio.mining.walking import Walking

SamplingType = Literal[
    "uniform",
    "lmc",
    "dmc",
    "uniform-per-image",
    "uniform-weighted",
    "foreground",
    "foreground-weighted",
    "edges",
    "error-map",
]
SAMPLING_TYPES: tuple[SamplingType, ...] = get_args(SamplingType)
COVERAGE = 10.0
"""Of dmc: rays for every pixel that they go to of one image, until which they have footprints."""
WARMUP_STEPS = 50
"""Of dmc: training steps within which its rays take over from uniform ones."""
EDGE_STRENGTHS: dict[str, EdgeStrength] = {"sobel": Sobel(), "contrast": Contrast()}
CONTROLS: dict[str, type[Strategy]] = {
    "uniform": Uniform,
    "uniform-per-image": UniformPerImage,
    "uniform-weighted": WeightedUniform,
    "foreground": Foreground,
    "foreground-weighted": WeightedForeground,
    "edges": StaticEdges,
    "error-map": ErrorMap,
}


@dataclass
class SoftMiningPixelSamplerConfig(PixelSamplerConfig):
    """Which pixels the training rays go through, and what they count.

    Raises:
        ValueError: if the uniform fraction is outside of [0, 1], there are fewer than 0 warm-up steps, the coverage
            is negative or not finite, or the measure of edges is unknown.
    """

    _target: type = field(default_factory=lambda: _sampler())
    sampling_type: Annotated[SamplingType, tyro.conf.arg(aliases=["--sampling-type"])] = "dmc"
    """uniform: every pixel alike, plain loss (what nerfacto does). lmc: soft mining by Langevin Monte-Carlo, as in the
    paper. dmc: soft mining by diffusion Monte-Carlo, which needs no gradient, with a warm-up, a share of the rays on
    edges, by contrast, and footprints. The others are controls for benchmarks: see mining/controls.py and
    mining/error_map.py."""
    uniform_fraction: float = 0.1
    """Fraction of every batch drawn uniformly from all loaded images, whatever the sampling type."""
    warmup_steps: int | None = None
    """Half of the first batch is uniform, and less within so many training steps, down to that fraction: mined rays
    can spoil the start of a training (see mining/uniform_share.py). By default 50 with dmc, 0 with all others."""
    langevin: LangevinConfig = field(default_factory=LangevinConfig)
    """How the walkers of lmc move and die."""
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    """How the walkers of dmc move and die."""
    importance: ImportanceConfig = field(default_factory=ImportanceConfig)
    """How the loss of mined rays is corrected."""
    edges_by: Literal["sobel", "contrast"] | None = None
    """By what edges are drawn, where dead walkers reappear, too: sobel, the brightness gradient as in the paper, or
    contrast, the difference in brightness at several distances (see mining/edge_strength.py). By default contrast with
    dmc, sobel with lmc and edges; the others have no rays on edges."""
    coverage: float | None = None
    """Until there have been so many rays for every pixel of one image (with dmc and lmc, of the part of it on which the
    error is), a ray's colour is a mean over the image around its pixel, over the less, the more rays there have been
    (see mining/footprint.py). 0: that of its pixel from the start. By default 10 with dmc, 0 with all others."""

    def __post_init__(self) -> None:
        _ = self.uniform_share, self.footprint, self.edge_strength  # which refuse what is none

    @property
    def uniform_share(self) -> UniformShare:
        """How much of a batch is uniform."""
        warmup = WARMUP_STEPS if self.sampling_type == "dmc" else 0
        return UniformShare(self.uniform_fraction, warmup if self.warmup_steps is None else self.warmup_steps)

    @property
    def footprint(self) -> Footprint:
        """What a ray's colour is the mean of."""
        coverage = COVERAGE if self.sampling_type == "dmc" else 0.0
        return Footprint(coverage if self.coverage is None else self.coverage)

    @property
    def edge_strength(self) -> EdgeStrength:
        """By what edges are drawn."""
        measure = self.edges_by or ("sobel" if self.sampling_type in ("lmc", "edges") else "contrast")
        if measure not in EDGE_STRENGTHS:
            raise ValueError(f"edges_by is {measure!r}; expected one of {tuple(EDGE_STRENGTHS)}")
        return EDGE_STRENGTHS[measure]

    def strategy(self, respawn: Respawn, generator: torch.Generator) -> Strategy:
        """The strategy that the sampling type names.

        Raises:
            ValueError: if there is none of that name.
        """
        walks: dict[str, Walk] = {"lmc": self.langevin, "dmc": self.diffusion}
        if self.sampling_type in walks:
            return Walking(respawn, generator, walks[self.sampling_type])
        if self.sampling_type not in CONTROLS:
            raise ValueError(f"sampling type {self.sampling_type!r} is unknown; expected one of {SAMPLING_TYPES}")
        return CONTROLS[self.sampling_type](respawn, generator)


def _sampler() -> type:
    from softmining_nerfstudio.pixel_sampler import SoftMiningPixelSampler  # which imports this module

    return SoftMiningPixelSampler
