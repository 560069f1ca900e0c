"""What ends a training that cannot go on: numbers that are not finite, rays that no memory holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from softmining_nerfstudio.training.checkpoints import newest
from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.terminal import counted


def require_finite_parameters(module: nn.Module, step: int, folder: Path) -> None:
    """Check that a model can be saved.

    Args:
        step: the last complete one.
        folder: of the checkpoints.

    Raises:
        UserError: if a parameter is not finite.
    """
    if (broken := _non_finite(module)) is not None:
        raise _diverged(f"after {counted(step + 1, 'step')}", f"{broken} is not finite", folder)


def require_finite_losses(losses: Mapping[str, Tensor], module: nn.Module, step: int, folder: Path) -> None:
    """Check the loss terms of a step. Waits for a GPU.

    Raises:
        UserError: if one is not finite.
    """
    for name, value in losses.items():
        if not torch.as_tensor(value).isfinite().all():
            parameter = _non_finite(module)
            beside = f", and so is {parameter}" if parameter else ""
            raise _diverged(f"in step {step + 1}", f"{name} is not finite{beside}", folder)


@contextmanager
def telling_of_memory(rays: int) -> Iterator[None]:
    """Within this context, a step of so many rays is computed.

    Raises:
        UserError: in place of the error of an allocation that failed, on a GPU or on a CPU.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        failed = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or "can't allocate memory" in str(error)
        if not failed:
            raise
        raise UserError(
            f"a step of {rays} rays does not fit into the memory: lower --pipeline.datamanager.train-num-rays-per-batch"
        ) from error


def _non_finite(module: nn.Module) -> str | None:
    return next((name for name, value in module.named_parameters() if not value.isfinite().all()), None)


def _diverged(when: str, what: str, folder: Path) -> UserError:
    good = newest(folder)
    back = f"Resume from the last good checkpoint, {good}," if good else "No checkpoint was written yet: start anew"
    return UserError(f"training has diverged {when}: {what}. {back} with a lower learning rate.")
