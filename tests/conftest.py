"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and of the peers' outputs; skips where it is absent."""
    path = Path(os.environ.get("ETENDUE_TEST_DATA", "../shared"))
    if not path.is_dir():
        pytest.skip(f"no test data at {path}: set ETENDUE_TEST_DATA to the folder that holds them")
    return path.resolve()
