"""nerfstudio's PixelSampler around a `Miner`: image batches in, pixel batches out."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, TypeVar

import torch
import tyro
import yaml
from jaxtyping import Float
from nerfstudio.data.pixel_samplers import PixelSampler, PixelSamplerConfig
from nerfstudio.utils import comms
from torch import Tensor

from softmining_nerfstudio.images.pixels import Pixels
from softmining_nerfstudio.mining.feedback import Feedback
from softmining_nerfstudio.mining.miner import Miner
from softmining_nerfstudio.mining.recipes import SamplingType
from softmining_nerfstudio.mining.settings import Settings
from softmining_nerfstudio.mining.strategies.walking import Walking
from softmining_nerfstudio.mining.walkers import Walkers
from softmining_nerfstudio.sampling import notices
from softmining_nerfstudio.sampling.batch import ImageBatch, same
from softmining_nerfstudio.sampling.compiled import with_compiled_lookups
from softmining_nerfstudio.sampling.history import History
from softmining_nerfstudio.sampling.in_flight import Drawn, InFlight, Order


@dataclass
class SoftMiningPixelSamplerConfig(PixelSamplerConfig, Settings):
    """Which pixels the training rays go through, and how much each ray counts. config.yml records resolved numbers.

    Raises:
        ValueError: if a setting is unknown, or a number is out of its range.
    """

    _target: type = field(default_factory=lambda: SoftMiningPixelSampler)
    sampling_type: Annotated[SamplingType, tyro.conf.arg(aliases=["--sampling-type"])] = Settings.sampling_type
    """How training rays are chosen. dmc (the default): walkers follow the error without a gradient; a share of the rays
    is on edges. lmc: the paper's walkers, which climb the gradient of the error. uniform: all images alike, and all
    pixels of an image; plain loss, as nerfacto does. The others are controls to compare with: uniform-per-image (as
    many rays in every image), uniform-weighted (uniform rays, corrected loss), foreground and foreground-weighted (RGBA
    images: no transparent pixels), edges (a static density of brightness gradients), edges-contrast (dmc without its
    walkers), error-map (a coarse map of errors, as instant-ngp has it)."""
    # nerfstudio's own, which nothing reads here: the data manager sets the first, and no draw is rejected
    num_rays_per_batch: tyro.conf.Suppress[int] = PixelSamplerConfig.num_rays_per_batch
    keep_full_image: tyro.conf.Suppress[bool] = PixelSamplerConfig.keep_full_image
    rejection_sample_mask: tyro.conf.Suppress[bool] = PixelSamplerConfig.rejection_sample_mask
    max_num_iterations: tyro.conf.Suppress[int] = PixelSamplerConfig.max_num_iterations


yaml.add_representer(
    SoftMiningPixelSamplerConfig, lambda dumper, config: yaml.Dumper.represent_object(dumper, config.resolved())
)  # so that a later change of a default does not redefine old runs

Method = TypeVar("Method", bound=Callable[..., Any])


def _one_at_a_time(method: Method) -> Method:
    """Have one thread at a time in these methods: the viewer's threads change settings while another one trains."""

    @functools.wraps(method)
    def locked(sampler: SoftMiningPixelSampler, *arguments: Any, **options: Any) -> Any:
        with sampler._lock:
            return method(sampler, *arguments, **options)

    return locked  # type: ignore[return-value]


class SoftMiningPixelSampler(PixelSampler):
    """Draws training batches with `mine`, and uniform ones with `sample`, which every other user of a PixelSampler
    calls. Its randomness comes from a generator of its own, seeded with torch's seed.

    Args:
        config: copied, never written to.
        image_names: one for each image of the data set, for messages.
        draws_ahead: while the last batch is still being back-propagated, let a thread learn from it and draw the next
            one. The same batches come out. It pays where a core is idle.

    Raises:
        TypeError: if a data manager sets it up that cannot return the feedback.
        ValueError: if there are no rays or no images.
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
        generator = torch.Generator().manual_seed(torch.initial_seed())
        self.miner = Miner(with_compiled_lookups(self.config.recipe), len(image_names), generator)
        self.history = History()
        self.in_flight = InFlight(self._draw, self._learn, self.miner.remember if draws_ahead else None)
        self._loaded: ImageBatch | None = None
        self._lock = threading.RLock()

    def set_num_rays_per_batch(self, num_rays_per_batch: int) -> None:
        """Set the number of rays of the next batches; it may change at any time.

        Raises:
            ValueError: if there are none.
        """
        if num_rays_per_batch < 1:
            raise ValueError(f"{num_rays_per_batch} rays per batch; expected at least 1")
        super().set_num_rays_per_batch(num_rays_per_batch)

    def note(self, layers: dict[str, Pixels], image: int) -> None:
        """Have worked out, and kept with its tiles, what drawing will need to know of an image.

        Args:
            layers: of all images of the data set.
        """
        batch = {"image_idx": torch.arange(len(self.image_names)), **layers}
        self.miner.densities.note(ImageBatch.of(batch, self.config).images, image)

    @_one_at_a_time
    def sample(self, image_batch: dict) -> dict:
        """A batch of uniform pixels, with every sampling type."""
        self.in_flight.settle()
        loaded = self._load(image_batch)
        slot, yx = self.miner.densities.anywhere(loaded.images, self.num_rays_per_batch, self.miner.generator)
        return loaded.at(slot, loaded.images.pixel_at(slot, yx))

    @_one_at_a_time
    def mine(self, image_batch: dict, step: int) -> tuple[dict, Float[Tensor, "rays 2"]]:
        """A batch for one training step, after the miner has learnt from the batch before.

        Returns:
            The batch, and the pixel centres to generate its rays from, which require grad where the strategy follows
            the score. Under the key "feedback" the batch has the feedback that its loss shall fill in, or None where
            the loss is plain and nothing is learnt.

        Raises:
            RuntimeError: if the model did not report the errors of the batch before.
            FloatingPointError: if no colour of that batch was finite.
        """
        if self.in_flight.awaited:
            raise RuntimeError(
                "the model did not report the errors of its last batch: soft mining needs a model whose rgb_loss is "
                "wrapped (soft_mining(config) does it)"
            )
        order = partial(self._order, image_batch)
        batch, feedback = self.in_flight.next(order(step), following=partial(order, step + 1))
        return batch, feedback.centres

    def _order(self, image_batch: dict, step: int) -> Order:
        return Order(dict(image_batch), step, self.num_rays_per_batch)

    def _draw(self, order: Order) -> Drawn:
        """The batch of a training step."""
        loaded = self._load(order.images)
        rays = self.miner.draw(loaded.images, order.step, order.rays, comms.get_world_size())
        batch = loaded.at(rays.slot, rays.pixel, rays.colours)
        return {**batch, "feedback": rays.feedback if rays.feedback.wanted else None}, rays.feedback

    def _learn(self, feedback: Feedback) -> None:
        seen = self.miner.learn(feedback)
        if seen is not None:
            notices.of_rays(seen, score_wanted=feedback.centres.requires_grad)
            self.history.add(seen)

    def statistics(self) -> dict[str, float | Float[Tensor, ""]]:
        """Numbers of the batch in flight for a person; empty where nothing was mined."""
        feedback = self.in_flight.feedback
        return {} if feedback is None else self.miner.statistics(feedback)

    @property
    def walkers(self) -> Walkers | None:
        """The population; None where the strategy has none."""
        return self.miner.strategy.walkers if isinstance(self.miner.strategy, Walking) else None

    @_one_at_a_time
    def reconfigure(self, config: SoftMiningPixelSamplerConfig) -> None:
        """Go on with other settings, and with what has been learnt."""
        self.in_flight.settle()
        self.miner.reconfigure(with_compiled_lookups(config.recipe))
        self.config = config  # last: who sees it in the viewer finds all else done

    @_one_at_a_time
    def restart(self) -> None:
        """Forget what the strategy at work has learnt: all walkers are placed anew."""
        self.in_flight.settle()
        self.miner.restart()

    @_one_at_a_time
    def state(self) -> dict[str, Any]:
        """What a checkpoint needs, as of the end of the last training step."""
        self.in_flight.settle()
        return {"rays": self.num_rays_per_batch, **self.miner.state()}

    @_one_at_a_time
    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`. Where it does not fit, say so in one line and do what is possible."""
        self.in_flight.settle()
        notices.of_checkpoint(state, len(self.image_names), self.config.sampling_type, self.num_rays_per_batch)
        if state["images"] == len(self.image_names):
            self.miner.load_state(state)
        else:
            self.load_progress(state)

    def load_progress(self, state: dict[str, Any]) -> None:
        """Continue from `state` as far as it concerns all processes: the footprints."""
        self.miner.rays_so_far = state["rays_so_far"]

    def _load(self, image_batch: dict) -> ImageBatch:
        """The loaded images, prepared when the batch is another than before."""
        if self._loaded is None or not same(image_batch, self._loaded.batch):
            self._loaded = None  # let go before the next are prepared
            self._loaded = ImageBatch.of(image_batch, self.config)
            images = self._loaded.images
            new = images.ids[self.miner.see(images)]
            notices.of_masks(new, self.miner.densities.share[new], self.image_names)
        return self._loaded
