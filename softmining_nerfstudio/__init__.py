"""Soft mining for nerfstudio: train on the rays that still teach the model something.

Kheradmand et al., "Accelerating Neural Field Training via Soft Mining", CVPR 2024. `mining` is the method; it imports
torch alone. The rooms around it fit it into nerfstudio, which finds them through entry points:

    methods, twins   what `ns-train` offers, and how any ray-based method gets its soft-mining twin
    training         nerfstudio's data manager, model, trainer and viewer around mined rays
    sampling         nerfstudio's PixelSampler around `mining`
    mining           the method
    dataparsers      LLFF captures, and the built-in demo scene
    benchmark        `softmining-bench`
"""

__version__ = "0.1.0"
