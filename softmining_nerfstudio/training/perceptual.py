"""LPIPS that fetches its network weights when it first computes a number, not when the model is built."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor, nn

DOWNLOAD_TIMEOUT = 20
"""Seconds without an answer after which a machine counts as offline."""


class LazyLPIPS(nn.Module):
    """torchmetrics' LPIPS (AlexNet); NaN and one warning where its weights cannot be had.

    It is not part of the model's state: checkpoints have no weights of the metric, and load with or without them.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__()
        self._kwargs = kwargs
        self._metric: list[nn.Module] | None = None  # a list, lest nn.Module registers it

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        """LPIPS of images [batch, 3, height, width] in [0, 1]; NaN where there is no network."""
        if self._metric is None:
            self._metric = self._build()
        if not self._metric:
            return predicted.new_tensor(float("nan"))
        return self._metric[0].to(predicted.device)(predicted, target)

    def _build(self) -> list[nn.Module]:
        from torchmetrics.image import lpip  # slow to import, and only needed here and where a model is built

        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
        try:
            return [lpip.LearnedPerceptualImagePatchSimilarity(**self._kwargs)]  # type: ignore[arg-type]
        except (OSError, RuntimeError, ModuleNotFoundError) as error:
            CONSOLE.print(f"[yellow]LPIPS is left out: the weights of its network cannot be had ({error}).")
            return []
        finally:
            socket.setdefaulttimeout(before)


@contextmanager
def lazy_lpips() -> Iterator[None]:
    """Within this context, a model that builds LPIPS gets a `LazyLPIPS`; nerfstudio's models import it where they build
    it."""
    from torchmetrics.image import lpip

    eager = lpip.LearnedPerceptualImagePatchSimilarity
    lpip.LearnedPerceptualImagePatchSimilarity = LazyLPIPS  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        lpip.LearnedPerceptualImagePatchSimilarity = eager  # type: ignore[misc]
