"""How much memory the tensors take that an object holds."""

from __future__ import annotations

import gc
from types import FunctionType, ModuleType

from torch import Tensor


def held_bytes(thing: object, besides: object = None) -> int:
    """Bytes of all tensor storages that `thing` leads to and `besides` does not."""
    excluded = _storages(besides)
    return sum(size for address, size in _storages(thing).items() if address not in excluded)


def _storages(thing: object) -> dict[int, int]:
    """Address and bytes of each storage; attributes, containers and gradients lead to them."""
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
