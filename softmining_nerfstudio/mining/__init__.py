"""Soft mining: spend the training rays where the model is still wrong, and correct for having done so.

A ray through pixel x of a training image has the error e(x) = |f(x) - f_gt(x)|_1. Soft mining draws x from the density
Q(x) ∝ e(x), and trains on

    L = mean_n  l(x_n) / Q(x_n)^alpha,      x_n ~ Q                                                  (paper, eq. 7 - 9)

where alpha = 0 is hard mining, alpha = 1 is unbiased importance sampling, and soft mining lies between. As Q changes
with every optimiser step it is never tabulated: a population of walkers follows it, in the paper by Langevin
Monte-Carlo (eq. 10).

Read on in the order of one training step:

    images.py         what the walkers walk on: the loaded images and their masks
    cells.py          coarse per-image densities, and drawing pixels from them
    edge_strength.py  what makes a pixel an edge: the brightness gradient, or its contrast to others near and far
    listed.py         the pixels of cells of which a mask leaves hardly any
    respawn.py        where a walker appears: anywhere, or on an edge
    walkers.py        the population, and its step: move, kill
    langevin.py       how walkers move in the paper: up the gradient, shaken by noise
    diffusion.py      how they move by default: without a gradient, in wide steps
    uniform_share.py  how many rays are drawn anywhere instead, at first half of them
    spread.py         how widely the error is spread, by which some are drawn on edges
    footprint.py      the colour that a ray is compared with, while rays are few
    importance.py     error -> weights, and the alpha schedule
    feedback.py       what one batch of rays reports back: error and score
    strategy.py       what any way of choosing rays does: draw, learn
    walking.py        soft mining's: draw walkers and edges, let the walkers learn

and, to compare it with,

    controls.py       strategies that do not learn: uniform, foreground, edges
    error_map.py      a coarse map of errors, as instant-ngp has it

Notation: `yx` are continuous pixel coordinates, row first, pixel (r, c) covering [r, r+1) x [c, c+1); `slot` numbers an
image among those loaded, `ids` are its index in the data set. Source: Kheradmand et al., "Accelerating Neural Field
Training via Soft Mining", CVPR 2024 (arXiv 2312.00075). Imports torch and jaxtyping only.
"""
