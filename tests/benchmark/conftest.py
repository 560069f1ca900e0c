"""A results folder to report on."""

from pathlib import Path

import pytest
from hand_worked import write_results


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """See `write_results`."""
    return write_results(tmp_path / "results")
