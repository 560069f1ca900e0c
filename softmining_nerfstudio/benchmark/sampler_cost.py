"""What a sampler alone costs, next to nerfstudio's own PixelSampler: time per step, rays per second, memory, set-up.

The samplers take turns in one process, a few steps at a time, so that a busy machine disturbs all of them alike. A time
is the median over all steps. The clock runs while a sampler chooses a batch (`mine`, which first learns from the batch
before). It stops while a stand-in for the model colours the rays and back-propagates. There is no warm-up, and every
step counts as one of the first: footprints are widest then, and dmc is most expensive.

The images are windows into one block of random pixels. The windows overlap where the block would exceed 1 GB. So 10,000
images fit into any machine, and their pixels still lie too far apart for a processor's cache. Images are RGBA in
float32, as nerfstudio's VanillaDataManager holds them; half of each is transparent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

import torch
from jaxtyping import Float
from nerfstudio.data.pixel_samplers import PixelSampler, PixelSamplerConfig
from rich.progress import Progress
from torch import Tensor

from softmining_nerfstudio.benchmark.errors import BenchmarkError
from softmining_nerfstudio.benchmark.report.study import ClockName
from softmining_nerfstudio.benchmark.sampler_memory import held_bytes
from softmining_nerfstudio.benchmark.sampler_plot import NERFSTUDIO, Cost, CostReport, Refusal
from softmining_nerfstudio.mining.recipes import SAMPLING_TYPES
from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSampler, SoftMiningPixelSamplerConfig

SAMPLERS = (NERFSTUDIO, *SAMPLING_TYPES)
CLOCK_FUNCTIONS: dict[ClockName, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
TURNS, STEPS_PER_TURN = 20, 5
MOST_PIXELS = 2**26
"""Size of the block behind the images."""


def sampler(
    *,
    images: tuple[int, ...] = (10, 100, 1000, 10000),
    rays: tuple[int, ...] = (1024, 4096, 16384),
    megapixels: float = 0.2,
    masks: Literal["none", "half"] = "none",
    clock: ClockName = "wall",
    output: Path | None = None,
) -> None:
    """Measure what every sampler costs, apart from any training, and compare it with nerfstudio's own.

    Args:
        images: Sizes of the data set.
        rays: Rays per batch.
        megapixels: Size of each image.
        masks: half: a mask hides half of each image.
        clock: cpu: processor time of all threads. Use it on a busy machine, with OMP_NUM_THREADS=1.
        output: Folder for the measurements (JSON lines) and the plot. Without it the command only prints them.

    Raises:
        BenchmarkError: a number is out of range.
    """
    for name, numbers in {"images": images, "rays": rays}.items():
        if min(numbers, default=0) < 1:
            raise BenchmarkError(f"{name} is {numbers}; expected numbers of at least 1")
    if not 1e-4 <= megapixels <= MOST_PIXELS / 1e6:
        raise BenchmarkError(f"megapixels is {megapixels}; expected 0.0001 to {MOST_PIXELS // 10**6}")

    def contestants(count: int) -> list[Contestant]:
        batch = image_batch(count, megapixels, masks == "half")
        return [Contestant(name, batch, CLOCK_FUNCTIONS[clock]) for name in SAMPLERS]

    report = CostReport(output, {"megapixels": megapixels, "masks": masks, "clock": clock})
    for contestant in contestants(1):  # torch's own set-up must not count as a sampler's
        contestant.take_turn(min(rays), 1)
    with Progress(console=report.console, transient=True) as progress:
        task = progress.add_task("", total=len(images) * len(rays) * TURNS)
        for image_count in sorted(images):
            measured = contestants(image_count)
            for ray_count in sorted(rays):
                progress.update(task, description=f"{image_count:,} images, {ray_count:,} rays")
                report.add(measure(measured, ray_count, lambda: progress.advance(task)))
    report.finish()


@dataclass
class Contestant:
    """One sampler. It is set up once and keeps its state when the number of rays changes."""

    name: str
    batch: dict
    clock: Callable[[], float]
    sampler: PixelSampler | None = None
    steps: int = 0
    setup: float = 0.0
    """Milliseconds until the end of the first step."""
    times: list[float] = field(default_factory=list)
    """Milliseconds of every step since the list was last cleared."""
    refusal: str | None = None

    def take_turn(self, rays: int, steps: int) -> None:
        """Do some steps. If one fails, keep the reason in `refusal`."""
        try:
            if self.sampler is None:
                start = self.clock()
                created = self._create(rays)
                self.setup = 1000 * (self.clock() - start) + self._step(created)
                self.sampler = created
            self.sampler.set_num_rays_per_batch(rays)
            self.times += [self._step(self.sampler) for _ in range(steps)]
        except Exception as error:  # the other samplers go on
            self.refusal = f"{type(error).__name__}: {error}"

    def record(self, rays: int, reference: float | None) -> Cost | Refusal:
        """The measured cost; `reference` is the time of a step of nerfstudio's sampler, ms."""
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
        """Choose one batch, report its errors to the sampler, and return the milliseconds of the choice alone."""
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
    """The cost of each contestant at this number of rays per batch, or its refusal."""
    for contestant in contestants:  # until most walkers have a place and have moved
        contestant.refusal = None
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
    """A stand-in for a training step: the model's error is a wave over the image, about 60 by 90 pixels long."""
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
