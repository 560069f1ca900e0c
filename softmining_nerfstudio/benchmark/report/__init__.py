"""Compares the finished runs of a results folder: `softmining-bench report`."""
