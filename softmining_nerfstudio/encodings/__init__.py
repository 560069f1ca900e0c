"""What a ray costs: the multi-resolution hash grid as compiled loops, for models that run on a processor.

    hash_grid.py   the encoding, with gradients for its table and its positions
    kernels.py     the loops, compiled by numba
    compiling.py   compiles them once into the user's cache; says so, and says where that is not possible
    threads.py     shares a loop out among torch's number of threads

Source: Mueller et al., "Instant Neural Graphics Primitives", SIGGRAPH 2022; hash, levels and interpolation are those of
nerfstudio's torch implementation, to the bit. Nothing here imports nerfstudio, and numba is imported when the first
model is built.
"""
