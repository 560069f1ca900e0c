"""Soft mining: train a neural field on the rays where it is still wrong, and correct the loss for the choice.

A ray through pixel x of a training image has the error e(x), the mean over RGB of |f(x) - f_gt(x)|. Soft mining draws x
from the density Q(x) ∝ e(x) and minimises

    L = mean_n  l(x_n) / Q(x_n)^alpha,      x_n ~ Q                                                  (paper, eq. 7 - 9)

alpha = 0 is hard mining, alpha = 1 is unbiased importance sampling, soft mining lies between. Q changes with every
optimiser step, so nobody tabulates it: a population of walkers follows it, in the paper by Langevin Monte-Carlo
(eq. 10).

This package serves any neural field that learns from images, not NeRFs alone. It imports torch and jaxtyping only.

Read it from the training step down:

    miner.py          one training step: draw rays, learn from what they saw; the whole loop is in its docstring
    recipes.py        what each sampling type is made of, and every default: one table
    settings.py       what a person may change of them
    feedback.py       what one batch of rays reports back: error, weights, score
    importance.py     error -> weights, and the schedule of alpha
    uniform_share.py  how many rays of a batch are uniform: a tenth, with a warm-up half of the first
    footprint.py      the colour that a ray is compared with while rays are few
    walkers.py        the population, and its step: move, die
    walks.py          how walkers move: Langevin, as in the paper, or Diffusion, without a gradient

    strategies/base.py       what every way of choosing rays does: draw, learn
    strategies/walking.py    soft mining: walkers, and rays on edges
    strategies/spread.py     what fraction of the images carries the error; it sets the share of rays on edges
    strategies/controls.py   strategies to compare with, which learn nothing: uniform, foreground, edges
    strategies/error_map.py  a coarse map of errors, as instant-ngp has it

and last the ground that walkers walk on:

    pixels/values.py         values of pixels, looked up however images are kept
    pixels/images.py         the loaded images and their masks
    pixels/cells.py          coarse densities over an image, and how to draw pixels from them
    pixels/edge_strength.py  what makes a pixel an edge: its brightness gradient, or its contrast to others
    pixels/sparse.py         the pixels of cells that a mask leaves almost empty
    pixels/densities.py      draw pixels uniformly, on edges, or within a cell

Notation: `yx` are continuous pixel coordinates, row first; pixel (r, c) covers [r, r+1) x [c, c+1). `slot` numbers an
image among those loaded, `ids` are its index in the data set. Source: Kheradmand et al., "Accelerating Neural Field
Training via Soft Mining", CVPR 2024 (arXiv 2312.00075).
"""
