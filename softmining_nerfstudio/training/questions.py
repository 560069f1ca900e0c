"""Questions of nerfstudio's parsers (rich's `Confirm.ask`) where nobody can answer them.

The COLMAP parser asks whether to downscale the images; the nerfstudio parser asks whether to make a point cloud.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from rich.prompt import PromptBase

from softmining_nerfstudio.training.errors import UserError


@contextmanager
def refuse_questions() -> Iterator[None]:
    """Turn a question that meets the end of the input into an error that names the question and the remedy.

    Raises:
        UserError: rich asked, and nobody answered.
    """
    try:
        yield
    except EOFError as error:
        frames = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
        asked = next((" ".join(str(asks.prompt).split()) for asks in frames if isinstance(asks, PromptBase)), None)
        if asked is None:  # a file that ends too soon
            raise
        raise UserError(
            f'the data parser asks "{asked}", and nobody can answer without a terminal. Run ns-train once in a '
            "terminal and answer there, or choose what needs no question: --downscale-factor 1 trains on the full-size "
            "images, and a folder images_2 beside images/ holds those of --downscale-factor 2"
        ) from error
