"""The multi-resolution hash grid, differentiable in its table and its positions."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from softmining_nerfstudio.encodings.compiling import compiled
from softmining_nerfstudio.encodings.threads import share


def kernels() -> Any:
    """The compiled loops; None where they cannot be had."""
    return compiled("softmining_nerfstudio.encodings.kernels")


def can_encode(x: Tensor, table: Tensor) -> bool:
    """Whether the compiled loops serve these tensors: on a processor, float32 or float64, both of one kind."""
    of_a_kind = x.dtype == table.dtype and x.dtype in (torch.float32, torch.float64)
    return of_a_kind and x.device.type == table.device.type == "cpu" and kernels() is not None


def hash_encode(
    x: Float[Tensor, "*points 3"], table: Float[Tensor, "rows features"], scalings: Float[Tensor, " levels"]
) -> Float[Tensor, "*points levels*features"]:
    """Features of positions: trilinear interpolation in a hashed grid of each level.

    Args:
        x: positions; the scene is in [0, 1], others are hashed alike.
        table: features of all levels, one after the other; a power of two of rows a level.
        scalings: cells of a level along each axis.

    Raises:
        RuntimeError: when somebody asks for a second derivative.
    """
    encoded = _HashGrid.apply(x.reshape(-1, 3), table, scalings)
    return encoded.view(*x.shape[:-1], encoded.shape[-1])


class _HashGrid(torch.autograd.Function):
    """The encoding of points [n, 3]. Each gradient is worked out only where autograd asks for it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, scalings: Tensor) -> Tensor:
        x, table, scalings = (tensor.detach().contiguous() for tensor in (x, table, scalings.to(x.dtype)))
        ctx.save_for_backward(x, table, scalings)
        out = x.new_empty(len(x), len(scalings) * table.shape[1])
        arguments = (x.numpy(), table.numpy(), scalings.numpy(), len(table) // len(scalings), _lanes(table))
        share(lambda first, last: kernels().encode(*arguments, out.numpy(), first, last), len(x))
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # type: ignore[override]
        if torch.is_grad_enabled():
            raise RuntimeError(
                "the compiled hash grid has no second derivative: backward(create_graph=True) asked for one"
            )
        x, table, scalings = (tensor.numpy() for tensor in ctx.saved_tensors)
        size, lanes = len(table) // len(scalings), _lanes(table)
        of_features = gradient.contiguous().numpy()
        of_x = of_table = None
        if ctx.needs_input_grad[0]:
            of_x = torch.empty(x.shape, dtype=gradient.dtype)
            arguments = (x, table, of_features, scalings, size, lanes, of_x.numpy())
            share(lambda first, last: kernels().position_gradient(*arguments, first, last), len(x))
        if ctx.needs_input_grad[1]:
            of_table = torch.zeros(table.shape, dtype=gradient.dtype)
            by_level = (x, of_features, scalings, size, lanes, of_table.numpy())
            share(lambda first, last: kernels().table_gradient(*by_level, first, last), len(scalings), least=1)
        return of_x, of_table, None


def _lanes(table: Any) -> tuple[int, ...]:
    """A tuple of as many entries as there are features: numba compiles loops of known length."""
    return (0,) * table.shape[1]
