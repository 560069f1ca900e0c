"""A small scene made of formulas: `surfaces` says what can be drawn, `raycast` draws it, `ship` is what we draw."""
