"""nerfstudio's pipelines. Their evaluation of all held-out views says what it found and is valid JSON, it may end in
time, and several processes can train them on processors, too."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader
from nerfstudio.pipelines.base_pipeline import Pipeline, VanillaPipeline
from nerfstudio.pipelines.dynamic_batch import DynamicBatchPipeline
from nerfstudio.utils.rich_utils import CONSOLE
from torch.nn.parallel import DistributedDataParallel

from softmining_nerfstudio.training.terminal import counted

_SHOWN = (("psnr", 2, " dB"), ("ssim", 3, ""), ("fine_ssim", 3, ""), ("lpips", 3, ""), ("fine_lpips", 3, ""))
"""Metric, digits, unit."""


def say(which: str, metrics: Mapping[str, Any]) -> None:
    """Print the qualities among the metrics, in one line."""
    found = [
        f"{name.upper()} {float(metrics[name]):.{digits}f}{unit}" for name, digits, unit in _SHOWN if name in metrics
    ]
    CONSOLE.print(f"{which}: {', '.join(found)}", soft_wrap=True)


class InTime:
    """Held-out views in place of a data manager's loader of them: at least one, and no more when a time is over. The
    first ones are spread over all, whatever their number (bit-reversed order, van der Corput 1935).

    Args:
        loader: of all views.
        seconds: after which no view is begun.
    """

    def __init__(self, loader: FixedIndicesEvalDataloader, seconds: float) -> None:
        self.loader, self.seconds, self.done = loader, seconds, 0

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Cameras, dict]]:
        begun, digits = time.perf_counter(), len(self).bit_length()
        order = sorted(range(len(self)), key=lambda view: f"{view:0{digits}b}"[::-1])
        for self.done, view in enumerate(order, 1):
            yield self.loader.get_camera(view)
            if time.perf_counter() - begun > self.seconds:
                return

    @property
    def named(self) -> str:
        """Which views those were."""
        return "All held-out views" if self.done == len(self) else f"{self.done} of {len(self)} held-out views"


@contextmanager
def in_time(manager: Any, seconds: float) -> Iterator[InTime]:
    """Within this context, a pipeline that evaluates all held-out views stops when a time is over."""
    views = InTime(loader := manager.fixed_indices_eval_dataloader, seconds)
    manager.fixed_indices_eval_dataloader = views
    try:
        yield views
    finally:
        manager.fixed_indices_eval_dataloader = loader


class SoftMiningPipelineMixin:
    """Put before a nerfstudio pipeline."""

    datamanager: Any

    def __init__(
        self,
        config: Any,
        device: str,
        test_mode: Any = "val",
        world_size: int = 1,
        local_rank: int = 0,
        grad_scaler: Any = None,
    ) -> None:
        on_cpu = world_size > 1 and torch.device(device).type == "cpu"
        super().__init__(config, device, test_mode, 1 if on_cpu else world_size, local_rank, grad_scaler)  # type: ignore[call-arg]
        if on_cpu:  # nerfstudio names a GPU to DistributedDataParallel
            self._model = DistributedDataParallel(self._model, find_unused_parameters=True)
            self.world_size = world_size

    def get_average_eval_image_metrics(
        self, step: int | None = None, output_path: Any = None, get_std: bool = False
    ) -> dict[str, float]:
        """Mean metrics of all held-out views: those that are numbers, of one view no deviation. ns-eval gives no step;
        it prints no numbers, so they are said here."""
        views = self.datamanager.eval_dataset
        if not views:
            CONSOLE.print("[yellow]There are no held-out views to evaluate.")
            return {}
        metrics = super().get_average_eval_image_metrics(step, output_path, get_std)  # type: ignore[misc]
        metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
        if step is None:
            say(f"Evaluated {counted(len(views), 'held-out view')}", metrics)
        return metrics


class SoftMiningPipeline(SoftMiningPipelineMixin, VanillaPipeline):
    """nerfstudio's pipeline."""


class SoftMiningDynamicBatchPipeline(SoftMiningPipelineMixin, DynamicBatchPipeline):
    """nerfstudio's pipeline of instant-ngp."""


OURS: dict[type[Pipeline], type[Pipeline]] = {
    VanillaPipeline: SoftMiningPipeline,
    DynamicBatchPipeline: SoftMiningDynamicBatchPipeline,
}
"""By nerfstudio's class."""
