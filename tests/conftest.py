"""Fixtures for every room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real data sets that `PALATE_TEST_DATA` names (it holds `ml-latest-small/`); skips without."""
    folder = os.environ.get("PALATE_TEST_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the real data sets: set PALATE_TEST_DATA to a folder that holds ml-latest-small/")
    return Path(folder).resolve()
