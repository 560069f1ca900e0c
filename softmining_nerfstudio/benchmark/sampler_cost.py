"""What a sampler alone costs, next to nerfstudio's own PixelSampler: time per step, rays per second, memory, set-up.

The samplers take turns in one process, a few steps at a time, so that whatever disturbs the machine disturbs all of
them; a time is the median over all steps. The clock runs while a batch is chosen (`mine`, which first learns from the
batch before) and stands still while a stand-in for the model colours the rays and back-propagates. Every step is one
of the first, when footprints are widest, but without a warm-up: as they narrow to a pixel, dmc gets cheaper.

The images are windows into one block of random pixels, which overlap where they would need more than 1 GB. So 10,000
images fit into any machine, and yet their pixels lie too far apart for a processor's cache. They are RGBA in float32,
as nerfstudio's VanillaDataManager has them; half of each is transparent.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import FunctionType, ModuleType
from typing import Literal

import torch
from jaxtyping import Float
from nerfstudio.data.pixel_samplers import PixelSampler, PixelSamplerConfig
from rich.progress import Progress
from torch import Tensor

from softmining_nerfstudio.benchmark.errors import BenchmarkError
from softmining_nerfstudio.benchmark.sampler_plot import NERFSTUDIO, Cost, CostReport, Refusal
from softmining_nerfstudio.mining.recipes import SAMPLING_TYPES
from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSampler, SoftMiningPixelSamplerConfig

SAMPLERS = (NERFSTUDIO, *SAMPLING_TYPES)
CLOCK_FUNCTIONS = {"wall": time.perf_counter, "cpu": time.process_time}
TURNS, STEPS_PER_TURN = 20, 5
MOST_PIXELS = 2**26
"""In the block that the images are windows into."""


@dataclass(frozen=True)
class SamplerCost:
    """Measure what every sampler costs, apart from any training, and compare it with nerfstudio's own."""

    images: tuple[int, ...] = (10, 100, 1000, 10000)
    """Sizes of the data set."""
    rays: tuple[int, ...] = (1024, 4096, 16384)
    """Rays per batch."""
    megapixels: float = 0.2
    """Of each image."""
    masks: Literal["none", "half"] = "none"
    """half: a mask hides half of each image."""
    clock: Literal["wall", "cpu"] = "wall"
    """cpu: count what all threads spend on a processor. For a machine that other work keeps busy, with one thread."""
    output: Path | None = None
    """Folder for the measurements (JSON lines) and the plot; without it they are only shown."""

    def __post_init__(self) -> None:
        for name in ("images", "rays"):
            if min(getattr(self, name), default=0) < 1:
                raise BenchmarkError(f"{name} is {getattr(self, name)}; expected numbers of at least 1")
        if not 1e-4 <= self.megapixels <= MOST_PIXELS / 1e6:
            raise BenchmarkError(f"megapixels is {self.megapixels}; expected 0.0001 to {MOST_PIXELS // 10**6}")

    def main(self) -> list[Cost | Refusal]:
        """Measure everything; each number of images and rays is shown and written once it is known."""
        results = CostReport(self.output, {"megapixels": self.megapixels, "masks": self.masks, "clock": self.clock})
        for contestant in self._contestants(1):  # what torch does only once shall be nobody's set-up
            contestant.take_turn(min(self.rays), 1)
        with Progress(console=results.console, transient=True) as progress:
            task = progress.add_task("", total=len(self.images) * len(self.rays) * TURNS)
            for images in sorted(self.images):
                contestants = self._contestants(images)
                for rays in sorted(self.rays):
                    progress.update(task, description=f"{images:,} images, {rays:,} rays")
                    results.add(measure(contestants, rays, lambda: progress.advance(task)))
        results.finish()
        return results.records

    def _contestants(self, images: int) -> list[Contestant]:
        batch = image_batch(images, self.megapixels, self.masks == "half")
        return [Contestant(name, batch, CLOCK_FUNCTIONS[self.clock]) for name in SAMPLERS]


@dataclass
class Contestant:
    """One sampler, which is set up once and keeps what it has learnt when the number of rays changes."""

    name: str
    batch: dict
    clock: Callable[[], float]
    sampler: PixelSampler | None = None
    steps: int = 0
    setup: float = 0.0
    """Milliseconds up to the end of the first step."""
    times: list[float] = field(default_factory=list)
    """Milliseconds of every step since they were last cleared."""
    refusal: str | None = None

    def take_turn(self, rays: int, steps: int) -> None:
        """Do some steps, or note why that is not possible."""
        try:
            if self.sampler is None:
                start = self.clock()
                self.sampler = self._create(rays)
                self.setup = 1000 * (self.clock() - start) + self._step(self.sampler)
            self.sampler.set_num_rays_per_batch(rays)
            self.times += [self._step(self.sampler) for _ in range(steps)]
        except Exception as error:  # whatever it is: the others go on
            self.refusal = f"{type(error).__name__}: {error}"

    def record(self, rays: int, reference: float | None) -> Cost | Refusal:
        """What was measured; `reference` is the time of a step of nerfstudio's sampler, ms."""
        images = len(self.batch["image"])
        if self.refusal is not None:
            return Refusal(self.name, images, rays, self.refusal)
        ms = median(self.times)
        ratio = None if reference is None else ms / reference
        memory = held_bytes(self.sampler, besides=self.batch)
        return Cost(self.name, images, rays, ms, 1000 * rays / ms, ratio, memory, self.setup / images)

    def _create(self, rays: int) -> PixelSampler:
        if self.name == NERFSTUDIO:
            return PixelSamplerConfig().setup(num_rays_per_batch=rays)
        names = [str(image) for image in range(len(self.batch["image"]))]
        config = SoftMiningPixelSamplerConfig(sampling_type=self.name, warmup_steps=0)  # type: ignore[arg-type]
        return config.setup(image_names=names, num_rays_per_batch=rays)

    def _step(self, sampler: PixelSampler) -> float:
        """Choose one batch and report its errors to the sampler; returns the milliseconds of the choosing."""
        mines = isinstance(sampler, SoftMiningPixelSampler)
        if mines:
            sampler.miner.rays_so_far = 0
        start = self.clock()
        batch, yx = sampler.mine(self.batch, self.steps) if mines else (sampler.sample(self.batch), None)
        milliseconds = 1000 * (self.clock() - start)
        if yx is not None:
            train(batch, yx)
        self.steps += 1
        return milliseconds


def measure(contestants: list[Contestant], rays: int, turn_done: Callable[[], object]) -> list[Cost | Refusal]:
    """The cost of each contestant at this number of rays per batch, or why it has none."""
    for contestant in contestants:  # until most walkers have been placed and have moved
        contestant.take_turn(rays, 5 + 3 * len(contestant.batch["image"]) // rays)
        contestant.times.clear()
    for _ in range(TURNS):
        for contestant in contestants:
            if contestant.refusal is None:
                contestant.take_turn(rays, STEPS_PER_TURN)
        turn_done()
    reference = next((median(c.times) for c in contestants if c.name == NERFSTUDIO and c.times), None)
    return [contestant.record(rays, reference) for contestant in contestants]


def train(batch: dict, yx: Float[Tensor, "rays 2"]) -> None:
    """A stand-in for a training step: the model's error is a wave over the image, of about 60 by 90 pixels."""
    if batch["feedback"] is None:
        return
    target = batch["image"][:, :3]
    predicted = target + 0.1 * torch.sin(yx @ torch.tensor([0.11, 0.07]) + batch["indices"][:, 0])[:, None]
    loss = batch["feedback"].correct(lambda t, p: ((t - p) ** 2).mean(-1), target, predicted)
    if loss.requires_grad:
        loss.backward()


def image_batch(images: int, megapixels: float, masked: bool = False) -> dict:
    """Images of 4:3 as nerfstudio caches them: windows into one block of at most MOST_PIXELS pixels."""
    height, width = round((megapixels * 1e6 * 3 / 4) ** 0.5), round((megapixels * 1e6 * 4 / 3) ** 0.5)
    pixels = min(images * height * width, MOST_PIXELS)
    step = (pixels - height * width) // max(images - 1, 1)
    block = torch.rand(pixels, 4, generator=torch.Generator().manual_seed(0))
    block[:, 3] = torch.arange(pixels) % width < width // 2  # half of each row, wherever an image begins
    image = block.as_strided((images, height, width, 4), (step * 4, width * 4, 4, 1))
    batch = {"image_idx": torch.arange(images), "image": image}
    if masked:
        batch["mask"] = (block[:, 3] > 0).as_strided((images, height, width, 1), (step, width, 1, 1))
    return batch


def held_bytes(thing: object, besides: object = None) -> int:
    """Bytes of the storages of all tensors that can be reached from `thing`, but not from `besides`."""
    excluded = _storages(besides)
    return sum(size for address, size in _storages(thing).items() if address not in excluded)


def _storages(thing: object) -> dict[int, int]:
    """Address and bytes of each storage, found through attributes, containers and gradients."""
    found: dict[int, int] = {}
    seen: dict[int, object] = {}
    waiting = [thing]
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, (type, ModuleType, FunctionType)):  # these lead everywhere
            continue
        seen[id(part)] = part
        if isinstance(part, Tensor):
            found[part.untyped_storage().data_ptr()] = part.untyped_storage().nbytes()
            waiting.append(part.grad)
        else:
            waiting += gc.get_referents(part)
    return found
