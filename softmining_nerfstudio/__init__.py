"""Soft mining for nerfstudio: train on the rays that still teach the model something.

Kheradmand et al., "Accelerating Neural Field Training via Soft Mining", CVPR 2024. `mining` is the method; it imports
torch alone. The rooms around it fit it into nerfstudio, which finds them through entry points:

    methods, twins   what `ns-train` offers, and how any ray-based method gets its soft-mining twin
    training         nerfstudio's data manager, model, trainer and viewer around mined rays
    sampling         nerfstudio's PixelSampler around `mining`
    mining           the method
    images           training images in memory or on disk, a byte a channel
    encodings        nerfstudio's hash grid as a compiled loop, for CPUs
    dataparsers      LLFF captures, and the built-in demo scene
    benchmark        `softmining-bench`
"""

import sys
import warnings

__version__ = "0.1.0"

BEYOND_A_USER = (
    (FutureWarning, r"`torch\.jit\.script` is deprecated", r"torch\.jit\."),
    (FutureWarning, r"`torch\.cuda\.amp\.", r"nerfstudio\.|nerfacc\."),
    (UserWarning, r"Using a non-tuple sequence for multidimensional indexing", r"nerfstudio\."),
    (UserWarning, r"This DataLoader will create \d+ worker processes", r"torch\.utils\.data\."),
    (UserWarning, r"Converting a tensor with requires_grad=True to a scalar", r"nerfstudio\.utils\.writer"),
)
"""Torch's warnings about nerfstudio's code: category, and patterns of the message and of the module. Nobody sees them
who did not ask for warnings with -W or PYTHONWARNINGS."""

if not sys.warnoptions:
    for category, message, module in BEYOND_A_USER:
        warnings.filterwarnings("ignore", message, category, module)
