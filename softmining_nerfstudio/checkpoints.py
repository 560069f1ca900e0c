"""Lets torch >= 2.6 load nerfstudio 1.1.5's checkpoints (nerfstudio issue #3683).

The learning-rate schedulers leave numpy scalars in them, which `torch.load` refuses by default. Allowing just these
number types is safe; loading arbitrary pickles (`weights_only=False`) would not be.
"""

import numpy as np
import torch

NUMBER_TYPES = (np.float32, np.float64, np.int32, np.int64, np.bool_)


def allow_numpy_scalars() -> None:
    """Let `torch.load` rebuild numpy's scalars, in this process."""
    rebuild = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")  # as numpy 1 and numpy 2 pickle it
    torch.serialization.add_safe_globals(
        [*((rebuild, name) for name in names), np.dtype, *(type(np.dtype(number)) for number in NUMBER_TYPES)]
    )
