"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The first example of a property may compile a kernel, which takes seconds on a busy machine.
settings.register_profile("compiling", deadline=None)
if "CI" not in os.environ:  # there hypothesis has a profile of its own, also without deadlines
    settings.load_profile("compiling")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and of the peers' outputs; skips where it is absent."""
    path = Path(os.environ.get("ETENDUE_TEST_DATA", "../shared"))
    if not path.is_dir():
        pytest.skip(f"no test data at {path}: set ETENDUE_TEST_DATA to the folder that holds them")
    return path.resolve()
