"""A training step of soft mining: draw rays, let a field learn from them, learn from what they saw.

The whole loop, for any field that predicts colours at pixels:

    images = Images(ids=torch.arange(len(pictures)), pixels=pictures)      # [images, height, width, 3], in [0, 1]
    miner = Miner(recipe_of("dmc"), len(pictures), torch.Generator().manual_seed(0))
    for step in range(steps):
        rays = miner.draw(images, step, 1024)
        predicted = field(rays.image, rays.centres)
        loss = rays.feedback.correct(lambda t, p: ((t - p) ** 2).mean(-1), rays.colours, predicted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        miner.learn(rays.feedback)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from softmining_nerfstudio.mining.feedback import Feedback, Places, Seen
from softmining_nerfstudio.mining.importance import effective_sample_size
from softmining_nerfstudio.mining.pixels.densities import Densities
from softmining_nerfstudio.mining.pixels.images import Images
from softmining_nerfstudio.mining.pixels.values import gather
from softmining_nerfstudio.mining.recipes import Recipe
from softmining_nerfstudio.mining.strategies.base import Strategy


@dataclass(frozen=True)
class Rays:
    """The rays of one training step. They go through pixel centres, where the colours are."""

    slot: Int[Tensor, " rays"]
    """Number of each ray's image among the loaded ones."""
    pixel: Int[Tensor, "rays 2"]
    """Row and column."""
    colours: Shaped[Tensor, "rays channels"]
    """What to compare each ray with: the mean over its footprint."""
    feedback: Feedback
    """For the loss to fill in, and for `Miner.learn`."""

    @property
    def image(self) -> Int[Tensor, " rays"]:
        """Index of each ray's image in the data set."""
        return self.feedback.places.image

    @property
    def centres(self) -> Float[Tensor, "rays 2"]:
        """Pixel centres. They require grad where the strategy follows the score."""
        return self.feedback.centres


class Miner:
    """Owns the training step: chooses its rays, and learns from what they saw.

    Args:
        recipe: what the sampling type is made of.
        num_images: size of the data set.
        generator: the source of all randomness.
    """

    def __init__(self, recipe: Recipe, num_images: int, generator: torch.Generator) -> None:
        self.recipe, self.num_images, self.generator = recipe, num_images, generator
        self.densities = Densities(num_images, recipe.edge_strength)
        self.rays_so_far = 0
        """Drawn for training, by all processes. Footprints narrow with it."""
        self.restart()
        self._others: dict[str, dict[str, Tensor]] = {}
        """What other strategies had learnt, by sampling type: somebody may go back to them."""
        self.score_arrives = True
        """Whether the loss depends on where exactly the rays go, as far as is known."""

    def restart(self) -> None:
        """Forget what the strategy at work has learnt: all walkers are placed anew."""
        self.strategy: Strategy = self.recipe.strategy(self.densities, self.generator)

    def see(self, images: Images) -> Int[Tensor, " new"]:
        """Work out the densities of images that are loaded for the first time; `draw` does so, too.

        Returns:
            The slots of those images.

        Raises:
            ValueError: if no pixel of the images may be drawn.
        """
        new = self.densities.see(images)
        if not len(self.densities.drawable(images)):
            raise ValueError(f"the masks of all {len(images)} loaded images are empty: there is no pixel to train on")
        return new

    def draw(self, images: Images, step: int, rays: int, processes: int = 1) -> Rays:
        """The rays of one training step: the strategy's, and after them the uniform share.

        Args:
            images: those that are loaded now.
            step: training step; schedules follow it.
            rays: how many to draw.
            processes: how many train together, each with as many rays.

        Raises:
            ValueError: if no pixel of the images may be drawn.
        """
        self.see(images)
        uniform = round(self.recipe.uniform_share.at(step) * rays)
        mined = self.strategy.draw(images, rays - uniform)
        anywhere = self.densities.anywhere(images, uniform, self.generator)
        slot, yx = (torch.cat(parts) for parts in zip(mined, anywhere, strict=True))
        pixel, size = images.pixel_at(slot, yx), images.sizes[slot]
        self.rays_so_far += rays * processes
        drawable = size.prod(-1) * self.densities.share[images.ids[slot]]
        side = self.recipe.footprint.side(drawable, self.rays_so_far, self.strategy.spread)
        if (side > 1).any():
            colours = self.recipe.footprint.colours(images, slot, pixel, side, self.generator)
        else:
            colours = gather(images.pixels, slot, *pixel.unbind(-1))
        return Rays(slot, pixel, colours, self._feedback(step, Places(images.ids[slot], yx, size), pixel))

    def _feedback(self, step: int, places: Places, pixel: Int[Tensor, "rays 2"]) -> Feedback:
        """What the loss of a batch shall fill in."""
        strategy, importance = self.strategy, self.recipe.importance
        return Feedback(
            importance,
            alpha=importance.alpha_at(step) if strategy.corrected else 0.0,
            places=places,
            centres=(pixel + 0.5).requires_grad_(strategy.needs_score and self.score_arrives),
            wanted=strategy.corrected or strategy.learns,
            of_strategy=strategy.statistics(),
        )

    def learn(self, feedback: Feedback) -> Seen | None:
        """Let the strategy learn from a batch after its backward pass.

        Returns:
            What its rays saw; None where nobody asked.

        Raises:
            FloatingPointError: if no ray of the batch had a finite colour.
        """
        if not feedback.wanted:
            return None
        seen = feedback.seen()
        if not seen.error.isfinite().any():
            raise FloatingPointError(
                "training has diverged: no ray of the last batch has a finite colour. Resume from the last checkpoint "
                "with a lower learning rate."
            )
        if feedback.centres.requires_grad and seen.score is None:
            self.score_arrives = False
        self.strategy.learn(seen)
        return seen

    def statistics(self, feedback: Feedback) -> dict[str, float | Float[Tensor, ""]]:
        """Numbers of a batch for a person; empty where nothing was mined, or before its loss is known."""
        if feedback.error is None or feedback.weights is None:
            return {}
        return {
            "Mean Error": feedback.error.nanmean(),
            "Effective Samples": effective_sample_size(feedback.weights),
            **feedback.of_strategy,
            "Alpha": feedback.alpha,
        }

    def remember(self) -> Callable[[], None]:
        """Take note of all that `draw` changes. The returned call puts it back, as if nothing had been drawn since."""
        strategy, random, rays_so_far = copy(self.strategy), self.generator.get_state(), self.rays_so_far

        def restore() -> None:
            self.strategy, self.rays_so_far = strategy, rays_so_far
            self.generator.set_state(random)

        return restore

    def reconfigure(self, recipe: Recipe) -> None:
        """Go on by another recipe, with what has been learnt."""
        if recipe.edge_strength is not self.densities.edge_strength:
            self.densities.measure_edges_by(recipe.edge_strength)
        self._go_on(recipe, self._states())

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs, as of the end of the last training step."""
        return {
            "images": self.num_images,
            "rays_so_far": self.rays_so_far,
            "strategies": self._states(),
            "generator": self.generator.get_state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state` of as many images. If the strategy at work is not in it, it starts anew."""
        self.rays_so_far = state["rays_so_far"]
        self.generator.set_state(state["generator"].cpu())
        self._go_on(self.recipe, state["strategies"])

    def _states(self) -> dict[str, dict[str, Tensor]]:
        """What each strategy has learnt, by sampling type."""
        return {**self._others, self.recipe.name: self.strategy.state()}

    def _go_on(self, recipe: Recipe, states: Mapping[str, dict[str, Tensor]]) -> None:
        """Put a recipe to work with what its strategy had learnt, if the states have it."""
        strategy = recipe.strategy(self.densities, self.generator)
        if recipe.name in states:
            strategy.load_state(states[recipe.name])
        self.recipe, self.strategy = recipe, strategy
        self._others = {name: state for name, state in states.items() if name != recipe.name}
