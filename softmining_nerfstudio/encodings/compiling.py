"""Compile the loops once into the user's cache. Where that is not possible, say so once and leave the work to torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Timer
from types import ModuleType
from typing import Any

import numpy as np

SOON = 1.5
"""Seconds after which a person wants to know what takes so long. Loading from the cache takes less."""


@cache
def kernels() -> ModuleType | None:
    """The compiled loops; None, after one warning, where numba is missing, broken or cannot write its cache."""
    notice = Timer(SOON, print, ["Compiling the hash grid, once for this machine: about ten seconds."])
    notice.daemon = True
    notice.start()
    try:
        with _users_cache():
            from softmining_nerfstudio.encodings import kernels as compiled
        _compile(compiled)
    except Exception as error:  # numba raises whatever llvmlite, numpy and the operating system do
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        warnings.warn(f"the hash grid runs in torch, which is several times slower: {reason}", stacklevel=2)
        return None
    finally:
        notice.cancel()
    return compiled


@contextmanager
def _users_cache() -> Iterator[None]:
    """Within this context, functions that numba decorates are cached in the user's folder, unless NUMBA_CACHE_DIR says
    otherwise."""
    import platformdirs
    from numba.core import config

    settings: Any = config  # made from the environment, without types
    before = settings.CACHE_DIR
    if not before:
        settings.CACHE_DIR = str(platformdirs.user_cache_path("softmining_nerfstudio") / "numba")
    try:
        yield
    finally:
        settings.CACHE_DIR = before


def _compile(compiled: ModuleType) -> None:
    """Call every loop on the kinds of arrays that models have, with no points."""
    x, table, scalings = (np.zeros(shape, np.float32) for shape in ((0, 3), (1, 2), (1,)))
    features, lanes = np.zeros((0, 2), np.float32), (0, 0)
    compiled.encode(x, table, scalings, 1, lanes, features, 0, 0)
    compiled.table_gradient(x, features, scalings, 1, lanes, table, 0, 0)
    compiled.position_gradient(x, table, features, scalings, 1, lanes, x, 0, 0)
