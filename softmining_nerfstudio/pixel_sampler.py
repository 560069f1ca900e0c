"""nerfstudio's PixelSampler, with the walkers of `mining` choosing the pixels of the training batches."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
import tyro
from jaxtyping import Float, Int
from nerfstudio.data.pixel_samplers import PixelSampler, PixelSamplerConfig
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from softmining_nerfstudio.loaded_images import LoadedImages
from softmining_nerfstudio.mining.feedback import Feedback
from softmining_nerfstudio.mining.images import Images, gather
from softmining_nerfstudio.mining.importance import ImportanceConfig, effective_sample_size
from softmining_nerfstudio.mining.respawn import Respawn
from softmining_nerfstudio.mining.walkers import LangevinConfig, Walkers

SAMPLING_TYPES = ("uniform", "lmc")


@dataclass
class SoftMiningPixelSamplerConfig(PixelSamplerConfig):
    """Which pixels the training rays go through, and what they count."""

    _target: type = field(default_factory=lambda: SoftMiningPixelSampler)
    sampling_type: Annotated[Literal["uniform", "lmc"], tyro.conf.arg(aliases=["--sampling-type"])] = "lmc"
    """uniform: every pixel alike, plain loss (what nerfacto does). lmc: soft mining by Langevin Monte-Carlo."""
    langevin: LangevinConfig = field(default_factory=LangevinConfig)
    """How the walkers of lmc move and die."""
    importance: ImportanceConfig = field(default_factory=ImportanceConfig)
    """How the loss of mined rays is corrected."""


@dataclass(frozen=True)
class _Drawn:
    """A batch that has been handed out and whose feedback is awaited; its walkers come first in the batch."""

    walkers: Int[Tensor, " n"]
    size: Int[Tensor, "n 2"]
    feedback: Feedback


class SoftMiningPixelSampler(PixelSampler):
    """Draws training batches with `mine` and plain uniform ones, as every other user of a PixelSampler expects, with
    `sample`. Randomness comes from a generator of its own, seeded with torch's seed.

    Args:
        config: copied, never written to.
        image_names: one for each image of the data set, to name them in messages.

    Raises:
        TypeError: if set up by a data manager that cannot hand the walkers their feedback.
        ValueError: on an unknown sampling type, no rays or no images.
    """

    config: SoftMiningPixelSamplerConfig

    def __init__(
        self, config: SoftMiningPixelSamplerConfig, image_names: list[str] | None = None, **kwargs: Any
    ) -> None:
        if image_names is None:
            raise TypeError(
                "the soft-mining pixel sampler was set up by a data manager it does not work with (ParallelDataManager "
                "samples in other processes, which no feedback reaches); use SoftMiningDataManagerConfig"
            )
        if config.sampling_type not in SAMPLING_TYPES:
            raise ValueError(f"sampling type {config.sampling_type!r} is unknown; expected one of {SAMPLING_TYPES}")
        if not image_names:
            raise ValueError("the data set has no images to sample rays from")
        super().__init__(deepcopy(config), **kwargs)
        self.image_names = image_names
        self.generator = torch.Generator().manual_seed(torch.initial_seed())
        self.respawn = Respawn(len(image_names))
        self.walkers = Walkers.dead(len(image_names), per_image=0)
        self.redrawn = 0.0
        self._drawn: _Drawn | None = None
        self._loaded: LoadedImages | None = None
        self._drawable = torch.zeros(0, dtype=torch.long)

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
        loaded = self._load(image_batch)
        return self._collate(loaded, *self._anywhere(loaded.images, self.num_rays_per_batch))

    def mine(self, image_batch: dict, step: int) -> tuple[dict, Float[Tensor, "rays 2"]]:
        """A batch of mined pixels for one training step, after learning from the batch before.

        Returns:
            The batch, with the feedback that its loss shall fill in under the key "feedback" (None for uniform
            sampling), and the pixel centres to generate its rays from, which require grad where there is drift.

        Raises:
            RuntimeError: if the model did not report the errors of the batch before.
        """
        if self.config.sampling_type == "uniform":
            batch = {**self.sample(image_batch), "feedback": None}
            return batch, batch["indices"][:, 1:] + 0.5
        if self._drawn is not None and self._drawn.feedback.error is None:
            raise RuntimeError(
                "the model did not report the errors of its last batch: soft mining needs a model whose rgb_loss is "
                "wrapped, such as SoftMiningNerfactoModel"
            )
        self.settle()
        loaded = self._load(image_batch)
        uniform = round(self.config.langevin.uniform_fraction * self.num_rays_per_batch)
        walkers, slot, yx = self._walk(loaded, self.num_rays_per_batch - uniform)
        slot_anywhere, yx_anywhere = self._anywhere(loaded.images, uniform)
        slot, yx = torch.cat([slot, slot_anywhere]), torch.cat([yx, yx_anywhere])
        batch = self._collate(loaded, slot, yx)
        centres = (batch["indices"][:, 1:] + 0.5).requires_grad_(self.config.langevin.drift > 0)
        importance = self.config.importance
        batch["feedback"] = Feedback(importance, importance.alpha_at(step), centres)
        self._drawn = _Drawn(walkers, loaded.images.sizes[slot[: len(walkers)]], batch["feedback"])
        return batch, centres

    def settle(self) -> None:
        """Let the walkers learn from the last batch, once its loss has been computed and back-propagated.

        Raises:
            FloatingPointError: if not one colour of that batch was finite.
        """
        if self._drawn is None or self._drawn.feedback.error is None:
            return
        drawn, self._drawn = self._drawn, None
        feedback, n = drawn.feedback, len(drawn.walkers)
        assert feedback.error is not None
        assert feedback.loss is not None
        error, loss, score = feedback.error.cpu(), feedback.loss.cpu(), feedback.score()
        broken = int((~error.isfinite()).sum())
        if broken == len(error):
            raise FloatingPointError(
                "training has diverged: no ray of the last batch has a finite colour. Resume from the last checkpoint "
                "(--load-dir) with a lower learning rate."
            )
        if broken:
            CONSOLE.print(f"[yellow]{broken} of {len(error)} rays had no finite colour and were left out of the loss")
        self.walkers, died = self.walkers.step(
            drawn.walkers,
            error[:n],
            loss[:n],
            None if score is None else score[:n],
            drawn.size,
            self.config.langevin,
            self.generator,
        )
        self.redrawn = float(died.float().mean()) if n else 0.0

    def statistics(self) -> dict[str, float | Float[Tensor, ""]]:
        """What a person wants to know of the batch in flight; empty where nothing was mined."""
        feedback = None if self._drawn is None else self._drawn.feedback
        if feedback is None or feedback.error is None or feedback.weights is None:
            return {}
        return {
            "Mean Error": feedback.error.nanmean(),
            "Effective Samples": effective_sample_size(feedback.weights),
            "Redrawn": self.redrawn,
            "Alpha": feedback.alpha,
        }

    def state(self) -> dict[str, Tensor]:
        """Walkers and generator, as of the end of the last training step."""
        self.settle()
        return {"yx": self.walkers.yx, "error": self.walkers.error, "generator": self.generator.get_state()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from `state`; where it does not fit, say so in one line and do what is possible."""
        num_images, found = len(self.image_names), len(state["yx"])
        if found != num_images:
            CONSOLE.print(f"The checkpoint's walkers are for {found} images, not {num_images}: starting new walkers.")
            return
        self._drawn = None
        self.walkers = Walkers(state["yx"].cpu(), state["error"].cpu())
        self.generator.set_state(state["generator"].cpu())
        if self.config.sampling_type == "lmc":
            needed = self._walkers_per_image(num_images)
            if not self.walkers.per_image:
                CONSOLE.print("The checkpoint has no walkers (its sampling was uniform): starting new ones.")
            elif self.walkers.per_image < needed:
                CONSOLE.print(f"Continuing {self.walkers.per_image} walkers per image, and starting new ones.")

    def _walkers_per_image(self, num_images: int) -> int:
        return math.ceil(self.num_rays_per_batch * (1 - self.config.langevin.uniform_fraction) / num_images)

    def _load(self, image_batch: dict) -> LoadedImages:
        """The loaded images, prepared when the batch is another than before."""
        if self._loaded is None or not self._loaded.is_of(image_batch):
            self._loaded = None  # before the next are prepared, so that both are never held
            self._loaded = LoadedImages.of(image_batch, self.config)
            self._drawable = self._find_drawable(self._loaded.images)
        return self._loaded

    def _find_drawable(self, images: Images) -> Int[Tensor, " drawable"]:
        """Slots of the images that have a pixel to draw, their densities known; the others are named in a warning."""
        new = self.respawn.see(images)
        empty = images.ids[new][self.respawn.share[images.ids[new]] == 0]
        if len(empty):
            names = ", ".join(self.image_names[image] for image in empty.tolist())
            CONSOLE.print(f"[yellow]No ray is drawn from images whose mask is empty: {names}")
        drawable = (self.respawn.share[images.ids] > 0).nonzero()[:, 0]
        if not len(drawable):
            raise ValueError(f"the masks of all {len(images)} loaded images are empty: there is no pixel to train on")
        return drawable

    def _walk(
        self, loaded: LoadedImages, count: int
    ) -> tuple[Int[Tensor, " count"], Int[Tensor, " count"], Float[Tensor, "count 2"]]:
        """`count` walkers, the slots of their images and their positions; the dead, and those that strayed onto a
        masked-out pixel, reappear."""
        images = loaded.images
        per_image = math.ceil(count / len(self._drawable))
        if per_image > self.walkers.per_image:
            self.walkers = self.walkers.grown(per_image)
        slot, walkers = self.walkers.choose(self._drawable, images.ids, count, self.generator)
        yx, error = self.walkers.yx.flatten(0, 1)[walkers], self.walkers.error.flatten()[walkers]
        dead = ~yx.isfinite().all(-1)
        row, column = torch.where(dead[:, None], 0, yx).long().minimum(images.sizes[slot] - 1).unbind(-1)
        strayed = ~dead & ~images.allowed(slot, row, column)
        anywhere, on_edge = strayed | (dead & error.isnan()), dead & ~error.isnan()
        yx[anywhere] = self.respawn.uniform(images, slot[anywhere], self.generator)
        yx[on_edge] = self.respawn.on_edges(images, slot[on_edge], self.generator)
        self.walkers = self.walkers.place(walkers, yx)
        return walkers, slot, yx

    def _anywhere(self, images: Images, count: int) -> tuple[Int[Tensor, " count"], Float[Tensor, "count 2"]]:
        """`count` positions, uniform over what may be drawn of each loaded image, and these weighted by its share."""
        share = self.respawn.share[images.ids]
        slot = (
            torch.multinomial(share, count, replacement=True, generator=self.generator) if count else share[:0].long()
        )
        return slot, self.respawn.uniform(images, slot, self.generator)

    def _collate(self, loaded: LoadedImages, slot: Int[Tensor, " rays"], yx: Float[Tensor, "rays 2"]) -> dict:
        """What every key of the image batch holds at these positions, and `indices` (image, row, column)."""
        row, column = yx.long().minimum(loaded.images.sizes[slot] - 1).unbind(-1)
        batch: dict[str, Any] = {key: gather(values, slot, row, column) for key, values in loaded.values.items()}
        batch["indices"] = torch.stack([loaded.images.ids[slot], row, column], -1)
        if self.config.keep_full_image:
            batch["full_image"] = loaded.batch["image"]
        return batch
