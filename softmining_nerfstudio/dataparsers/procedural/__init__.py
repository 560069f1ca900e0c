"""A small scene made of formulas: `surfaces` defines shapes and paint, `raycast` renders them, `ship` is the model."""
