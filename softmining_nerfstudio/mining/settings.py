"""What a person may change of a sampling type: settings in, a recipe out.

None stands for what the sampling type's own recipe has.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from softmining_nerfstudio.mining.footprint import Footprint
from softmining_nerfstudio.mining.importance import Importance
from softmining_nerfstudio.mining.pixels.edge_strength import EDGE_STRENGTHS
from softmining_nerfstudio.mining.recipes import Recipe, SamplingType, recipe_of
from softmining_nerfstudio.mining.uniform_share import UniformShare
from softmining_nerfstudio.mining.walks import Diffusion, Langevin, Walk

Own = TypeVar("Own", bound="Settings")


@dataclass
class Settings:
    """A sampling type, and what differs from its recipe.

    Raises:
        ValueError: if the sampling type or the measure of edges is unknown, or a number is out of its range.
    """

    sampling_type: SamplingType = "dmc"
    """The recipe to start from."""
    uniform_fraction: float = UniformShare.fraction
    """Larger revisits easy regions more often. Fraction of every batch that is uniform over all loaded images, with
    every sampling type."""
    warmup_steps: int | None = None
    """Larger warms up for longer. Steps over which the uniform share would fall from one half to 0; it stops at
    uniform-fraction. 0: no warm-up. By default 50 with dmc and edges-contrast, 0 with the others."""
    langevin: Langevin = field(default_factory=Langevin)
    """How the walkers of lmc move and die."""
    diffusion: Diffusion = field(default_factory=Diffusion)
    """How the walkers of dmc move and die."""
    edge_rays: bool | None = None
    """Draw a share of the rays on edges. It grows as walkers find less error. By default yes with dmc, no with lmc; the
    others have no walkers."""
    edges_by: Literal["sobel", "contrast"] | None = None
    """What an edge is, where rays go and dead walkers reappear. sobel: a pixel of large brightness gradient, as in the
    paper. contrast: a pixel whose brightness differs from that of pixels at several distances. By default sobel with
    lmc and edges, contrast with the others."""
    coverage: float | None = None
    """Rays per pixel until a target colour stops being a local mean around its pixel. 0 turns the averaging off. By
    default 10 with dmc and edges-contrast, 0 with the others."""
    importance: Importance = field(default_factory=Importance)
    """How the loss of mined rays is corrected for their choice."""

    def __post_init__(self) -> None:
        _ = self.recipe  # refuses what is none

    @property
    def recipe(self) -> Recipe:
        """What the sampling type is made of, with these settings in place of its own."""
        base = recipe_of(self.sampling_type)
        warmup_steps, coverage = base.uniform_share.warmup_steps, base.footprint.coverage
        edges_by = self.edges_by or base.edge_strength.name
        if edges_by not in EDGE_STRENGTHS:
            raise ValueError(f"edges_by is {edges_by!r}; expected one of {tuple(EDGE_STRENGTHS)}")
        return replace(
            base,
            walk=base.walk and getattr(self, _FIELDS[type(base.walk)]),
            edge_rays=base.edge_rays if self.edge_rays is None else self.edge_rays,
            edge_strength=EDGE_STRENGTHS[edges_by],
            uniform_share=UniformShare(
                self.uniform_fraction, warmup_steps if self.warmup_steps is None else self.warmup_steps
            ),
            footprint=Footprint(coverage if self.coverage is None else self.coverage),
            importance=self.importance,
        )

    def with_walk(self: Own, walk: Walk) -> Own:
        """The same settings with another walk."""
        return replace(self, **{_FIELDS[type(walk)]: walk})

    def resolved(self: Own) -> Own:
        """The same settings with the recipe's numbers in place of None."""
        recipe = self.recipe
        return replace(
            self,
            warmup_steps=recipe.uniform_share.warmup_steps,
            edge_rays=recipe.edge_rays,
            edges_by=recipe.edge_strength.name,
            coverage=recipe.footprint.coverage,
        )


_FIELDS: dict[type[Walk], str] = {Langevin: "langevin", Diffusion: "diffusion"}
"""The setting that holds each walk."""
