"""A small scene made of formulas: surfaces.py has shapes and paint, raycast.py renders them, ship.py is the model."""
