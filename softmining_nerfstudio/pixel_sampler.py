"""nerfstudio's PixelSampler, with a strategy of `mining` choosing the pixels of the training batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy, deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from nerfstudio.data.pixel_samplers import PixelSampler
from nerfstudio.utils import comms
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from softmining_nerfstudio.drawn import Drawn
from softmining_nerfstudio.learnt import Learnt
from softmining_nerfstudio.loaded_images import LoadedImages
from softmining_nerfstudio.mining.feedback import Feedback
from softmining_nerfstudio.mining.footprint import colours_around
from softmining_nerfstudio.mining.images import Images
from softmining_nerfstudio.mining.respawn import Respawn
from softmining_nerfstudio.mining.strategy import Strategy
from softmining_nerfstudio.mining.walkers import Walkers
from softmining_nerfstudio.mining.walking import Walking
from softmining_nerfstudio.sampling_types import SoftMiningPixelSamplerConfig
from softmining_nerfstudio.trace import Trace


@dataclass(frozen=True)
class _Ahead:
    """A batch that is being drawn while the model is still busy with the one before."""

    step: int
    rays: int
    drawn: Future[tuple[Drawn, Callable[[], None]]]
    """And how to take that back."""


class SoftMiningPixelSampler(PixelSampler):
    """Draws training batches with `mine` and plain uniform ones, as every other user of a PixelSampler expects, with
    `sample`. Randomness comes from a generator of its own, seeded with torch's seed.

    Args:
        config: copied, never written to.
        image_names: one for each image of the data set, to name them in messages.
        draws_ahead: where a strategy learns, draw the next batch in a thread of its own while the last one is still
            being back-propagated. The same batches come out; worth it where the model is on a GPU, and this processor
            has little else to do.

    Raises:
        TypeError: if set up by a data manager that cannot hand the strategy its feedback.
        ValueError: on an unknown sampling type, no rays or no images.
    """

    config: SoftMiningPixelSamplerConfig

    def __init__(
        self,
        config: SoftMiningPixelSamplerConfig,
        image_names: list[str] | None = None,
        draws_ahead: bool = False,
        **kwargs: Any,
    ) -> None:
        if image_names is None:
            raise TypeError(
                "the soft-mining pixel sampler was set up by a data manager it does not work with (ParallelDataManager "
                "samples in other processes, which no feedback reaches); use SoftMiningDataManagerConfig"
            )
        if not image_names:
            raise ValueError("the data set has no images to sample rays from")
        super().__init__(deepcopy(config), **kwargs)
        self.image_names = image_names
        self.generator = torch.Generator().manual_seed(torch.initial_seed())
        self.respawn = Respawn(len(image_names), config.edge_strength)
        self.learnt = Learnt(self.config, self.respawn, self.generator)
        self.footprint = config.footprint
        self.rays_so_far: int | float = 0
        """Drawn for training, by all processes: the more, the narrower the footprints."""
        self.trace = Trace()
        self._unreached = False
        """Whether this model's loss has turned out not to depend on where exactly its rays go."""
        self._drawn: Drawn | None = None
        """The batch that has been handed out, until it has been learnt from."""
        self._thread = ThreadPoolExecutor(1, "soft-mining") if draws_ahead else None
        self._ahead: _Ahead | None = None
        self._loaded: LoadedImages | None = None

    @property
    def strategy(self) -> Strategy:
        """The one at work."""
        return self.learnt.strategy

    def set_num_rays_per_batch(self, num_rays_per_batch: int) -> None:
        """Set the number of rays of the next batches; it may change at any time.

        Raises:
            ValueError: if there are none.
        """
        if num_rays_per_batch < 1:
            raise ValueError(f"{num_rays_per_batch} rays per batch; expected at least 1")
        super().set_num_rays_per_batch(num_rays_per_batch)

    def sample(self, image_batch: dict) -> dict:
        """A batch of pixels drawn uniformly, whatever the sampling type."""
        self.settle()
        loaded = self._load(image_batch)
        return loaded.at(*self.respawn.anywhere(loaded.images, self.num_rays_per_batch, self.generator))

    def mine(self, image_batch: dict, step: int) -> tuple[dict, Float[Tensor, "rays 2"]]:
        """A batch for one training step, after the strategy has learnt from the batch before.

        Returns:
            The batch, with the feedback that its loss shall fill in under the key "feedback" (None where the loss is
            plain and nothing is learnt), and the pixel centres to generate its rays from, which require grad where
            the strategy follows the score.

        Raises:
            RuntimeError: if the model did not report the errors of the batch before.
            FloatingPointError: if not one colour of that batch was finite.
        """
        if self._drawn is not None and self._drawn.awaits_loss:
            raise RuntimeError(
                "the model did not report the errors of its last batch: soft mining needs a model whose rgb_loss is "
                "wrapped (soft_mining(config) does it)"
            )
        rays, ahead = self.num_rays_per_batch, self._ahead
        if ahead is None:
            self.settle()
            self._drawn = self._draw(image_batch, step, rays)
        else:
            drawn, take_back = self._drawn_ahead(ahead)
            if (ahead.step, ahead.rays) != (step, rays) or not self._is_loaded(image_batch):
                take_back()
                drawn = self._draw(image_batch, step, rays)
            self._drawn = drawn
        return self._drawn.batch, self._drawn.centres

    def settle(self) -> None:
        """Let the strategy learn from the last batch, once its loss has been computed and back-propagated, and take
        back what has been drawn since.

        Raises:
            FloatingPointError: if not one colour of that batch was finite.
        """
        if self._ahead is not None:
            _, take_back = self._drawn_ahead(self._ahead)
            take_back()
        elif self._drawn is not None and not self._drawn.awaits_loss:
            drawn, self._drawn = self._drawn, None
            self._learn(drawn)

    def _draw(self, image_batch: dict, step: int, rays: int) -> Drawn:
        """The batch of a training step."""
        loaded = self._load(image_batch)
        images, uniform = loaded.images, round(self.config.uniform_share.at(step) * rays)
        drawn = self.strategy.draw(images, rays - uniform)
        anywhere = self.respawn.anywhere(images, uniform, self.generator)
        slot, yx = (torch.cat(parts) for parts in zip(drawn, anywhere, strict=True))
        batch, size = loaded.at(slot, yx), images.sizes[slot]
        pixel = batch["indices"][:, 1:]
        self.rays_so_far += rays * comms.get_world_size()
        side = self.footprint.side(size, self.rays_so_far, self.strategy.spread)
        if (side > 1).any():
            batch["image"] = colours_around(images, slot, pixel, side, self.generator)
        centres = (pixel + 0.5).requires_grad_(self.strategy.needs_score and not self._unreached)
        batch["feedback"] = self._feedback(image_batch, step, centres)
        return Drawn(batch, yx, size, centres, self.strategy.statistics())

    def _feedback(self, image_batch: dict, step: int, centres: Float[Tensor, "rays 2"]) -> Feedback | None:
        """What the loss of a batch shall fill in."""
        if not self.strategy.corrected and not self.strategy.learns:
            return None
        importance = self.config.importance
        alpha = importance.alpha_at(step) if self.strategy.corrected else 0.0
        then = None if self._thread is None else partial(self._draw_ahead, image_batch, step + 1)
        return Feedback(importance, alpha, centres, when_complete=then)

    def _learn(self, drawn: Drawn) -> None:
        """Let the strategy learn from a batch whose loss has been computed."""
        seen = drawn.seen()
        if seen is None:
            return
        if drawn.centres.requires_grad and seen.score is None:
            self._unreached = True
            CONSOLE.print("No gradient reaches the pixel positions through this model: mining goes on without drift.")
        self.trace.add(seen)
        self.strategy.learn(seen)

    def _draw_ahead(self, image_batch: dict, step: int) -> None:
        """Begin with the batch of the next step, for which all is known."""
        assert self._thread is not None
        if self._ahead is None and self._drawn is not None and not self._drawn.awaits_loss:
            rays = self.num_rays_per_batch
            drawn = self._thread.submit(self._learn_and_draw, self._drawn, image_batch, step, rays)
            self._ahead = _Ahead(step, rays, drawn)

    def _learn_and_draw(self, last: Drawn, image_batch: dict, step: int, rays: int) -> tuple[Drawn, Callable[[], None]]:
        """Learn from the last batch, then draw; and how to take the drawing back."""
        self._learn(last)
        strategy, random, rays_so_far = copy(self.strategy), self.generator.get_state(), self.rays_so_far

        def take_back() -> None:
            self.learnt.strategy, self.rays_so_far = strategy, rays_so_far
            self.generator.set_state(random)

        return self._draw(image_batch, step, rays), take_back

    def _drawn_ahead(self, ahead: _Ahead) -> tuple[Drawn, Callable[[], None]]:
        """Wait for the batch drawn ahead; the one before has been learnt from then, whatever comes."""
        self._ahead = self._drawn = None
        return ahead.drawn.result()

    def statistics(self) -> dict[str, float | Float[Tensor, ""]]:
        """What a person wants to know of the batch in flight; empty where nothing was mined."""
        return {} if self._drawn is None else self._drawn.statistics()

    @property
    def walkers(self) -> Walkers | None:
        """The population; None where the strategy has none."""
        return self.strategy.walkers if isinstance(self.strategy, Walking) else None

    def reconfigure(self, config: SoftMiningPixelSamplerConfig) -> None:
        """Go on with other settings, and with what has been learnt."""
        self.settle()
        if config.edge_strength is not self.respawn.edge_strength:
            self.respawn.measure_edges_by(config.edge_strength)
        self.learnt.go_on(config, self.learnt.states())
        self.config, self.footprint = config, config.footprint  # last: who sees it in the viewer finds all else done

    def restart(self) -> None:
        """Forget what has been learnt: all walkers are placed anew."""
        self.settle()
        self.learnt.forget()

    def state(self) -> dict[str, Any]:
        """Strategy and generator, as of the end of the last training step."""
        self.settle()
        return {
            "images": len(self.image_names),
            "rays": self.num_rays_per_batch,
            "rays_so_far": self.rays_so_far,
            "strategies": self.learnt.states(),
            "generator": self.generator.get_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`; where it does not fit, say so in one line and do what is possible."""
        self.settle()
        self.load_progress(state)
        num_images, found = len(self.image_names), state["images"]
        if found != num_images:
            CONSOLE.print(f"The checkpoint's sampler is for {found} images, not {num_images}: starting anew.")
            return
        self.generator.set_state(state["generator"].cpu())
        if not self.learnt.go_on(self.config, state["strategies"]):
            own, others = self.config.sampling_type, ", ".join(self.learnt.others)
            CONSOLE.print(f"The checkpoint's sampling was {others}: starting {own} anew.")
            return
        if state["rays"] != self.num_rays_per_batch:
            rays = self.num_rays_per_batch
            CONSOLE.print(f"The checkpoint's batches were of {state['rays']} rays: going on with batches of {rays}.")

    def load_progress(self, state: dict[str, Any]) -> None:
        """Continue from `state` as far as it concerns all processes; in one that has no footprints they are over."""
        self.rays_so_far = state.get("rays_so_far", math.inf)

    def _load(self, image_batch: dict) -> LoadedImages:
        """The loaded images, prepared when the batch is another than before."""
        if self._loaded is None or not self._is_loaded(image_batch):
            self._loaded = None  # before the next are prepared, so that both are never held
            self._loaded = LoadedImages.of(image_batch, self.config)
            self._see(self._loaded.images)
        return self._loaded

    def _is_loaded(self, image_batch: dict) -> bool:
        """Whether the loaded images are these."""
        return self._loaded is not None and self._loaded.is_of(image_batch)

    def _see(self, images: Images) -> None:
        """Have the densities of images worked out; those that have no pixel to draw are named in a warning."""
        new = self.respawn.see(images)
        empty = images.ids[new][self.respawn.share[images.ids[new]] == 0]
        if len(empty):
            names = ", ".join(self.image_names[image] for image in empty.tolist())
            CONSOLE.print(f"[yellow]No ray is drawn from images whose mask is empty: {names}")
        if not len(self.respawn.drawable(images)):
            raise ValueError(f"the masks of all {len(images)} loaded images are empty: there is no pixel to train on")
