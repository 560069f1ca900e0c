"""nerfstudio's torch hash encodings, run by compiled loops: same table, same numbers, several times faster on a CPU."""

from __future__ import annotations

from functools import partial
from types import MethodType
from typing import Any

import torch
from nerfstudio.field_components.encodings import HashEncoding
from nerfstudio.fields.base_field import Field
from torch import Tensor, nn

from softmining_nerfstudio.encodings.hash_grid import can_encode, hash_encode, kernels

_WANTS_NORMALS = "_wants_normals"


def compile_encodings(model: nn.Module, device: torch.device) -> None:
    """Let every HashEncoding of a model that runs torch on a CPU run the compiled loops. Parameters stay as they are.

    Args:
        model: any module; tiny-cuda-nn's encodings are left alone, and so are those of an own forward pass.
        device: that the model will run on.
    """
    if device.type != "cpu":
        return
    for module in model.modules():
        if isinstance(module, HashEncoding) and _runs_nerfstudios_torch(module) and kernels() is not None:
            module.pytorch_fwd = MethodType(_encode, module)
    for field in model.modules():
        if isinstance(field, Field):
            _skip_unread_gradients(field)


def _runs_nerfstudios_torch(encoding: HashEncoding) -> bool:
    return encoding.tcnn_encoding is None and type(encoding).pytorch_fwd is HashEncoding.pytorch_fwd


def _encode(self: HashEncoding, in_tensor: Tensor) -> Tensor:
    """In place of HashEncoding.pytorch_fwd."""
    if can_encode(in_tensor, self.hash_table):
        return hash_encode(in_tensor, self.hash_table, self.scalings)
    return HashEncoding.pytorch_fwd(self, in_tensor)


def _skip_unread_gradients(field: Field) -> None:
    """Spare the gradient of a field's sample positions where nobody reads it.

    nerfstudio's fields set `requires_grad` on their positions, so that normals can be had from them. Without normals,
    and if the positions depend on nothing that is trained (pixels, camera poses), that gradient goes nowhere.
    """
    field.forward = MethodType(_forward, field)  # nerfstudio's models call `forward` itself, past any hook
    for module in field.modules():
        if isinstance(module, HashEncoding):
            module.register_forward_pre_hook(partial(_without_unread_gradient, field))


def _forward(self: Field, *arguments: Any, **options: Any) -> Any:
    """In place of Field.forward: it says whether normals are wanted. Whoever asks for densities alone may want them."""
    vars(self)[_WANTS_NORMALS] = options.get("compute_normals", arguments[1] if len(arguments) > 1 else False)
    try:
        return type(self).forward(self, *arguments, **options)
    finally:
        vars(self)[_WANTS_NORMALS] = True


def _without_unread_gradient(field: Field, _: nn.Module, arguments: tuple) -> tuple:
    positions, *others = arguments
    locations = field._sample_locations
    unread = not vars(field).get(_WANTS_NORMALS, True) and locations is not None and locations.is_leaf
    if unread and positions._base is locations:
        positions = positions.detach()
    return (positions, *others)
