"""Data sets of our own, usable by every nerfstudio method. Each module is an entry point and imports no method."""
