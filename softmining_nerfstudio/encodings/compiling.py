"""Compile the loops once into the user's cache. Where that is not possible, say so once and leave the work to torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from threading import Timer
from types import ModuleType
from typing import Any

SOON = 4.0
"""Seconds after which a person wants to know what takes so long. Loading from the cache takes less on a busy machine,
too."""


@cache
def compiled(module: str) -> ModuleType | None:
    """A module of loops that numba compiles, with every loop ready to run.

    Args:
        module: its name. Its function `compile_now` calls every loop on arrays without entries.

    Returns:
        The module; None, after one warning, where numba is missing, broken or cannot write its cache.
    """
    notice = Timer(SOON, _say)
    notice.daemon = True
    try:
        with _users_cache():  # imports numba, which takes a while every time
            notice.start()
            loops = import_module(module)
        loops.compile_now()
    except Exception as error:  # numba raises whatever llvmlite, numpy and the operating system do
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        warnings.warn(f"{module} runs in torch, which is several times slower: {reason}", stacklevel=2)
        return None
    finally:
        notice.cancel()
    return loops


@cache
def _say() -> None:
    """Only once: there are several modules of loops."""
    print("Compiling loops, once for this machine: about ten seconds.")


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
