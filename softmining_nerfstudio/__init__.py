"""Soft mining for nerfstudio: train on the rays that still teach the model something.

Kheradmand et al., "Accelerating Neural Field Training via Soft Mining", CVPR 2024. `mining` is the method and
imports torch alone; the modules around it fit it into nerfstudio, which finds them through entry points.
"""

__version__ = "0.1.0"
