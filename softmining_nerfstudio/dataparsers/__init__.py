"""Data parsers for every nerfstudio method.

    auto.py            looks at a folder, and hands it to the parser that reads it
    llff.py            captures in the LLFF layout; llff_layout.py: its files; smaller_images.py: smaller copies
    instant_ngp.py     nerfstudio's parser of instant-ngp's captures, mended
    demo_scene.py      the built-in scene, rendered on first use by procedural/

`auto`, `demo_scene` and `llff` are entry points and import no method.
"""
