"""Data parsers for every nerfstudio method. `demo_scene` and `llff` are entry points and import no method."""
