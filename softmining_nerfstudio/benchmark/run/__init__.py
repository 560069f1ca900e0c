"""Trains and measures a suite: `softmining-bench run`."""
