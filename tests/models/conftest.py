"""A fitted model of every kind that ranks items."""

from __future__ import annotations

import pytest

from palate.models.protocol import Recommender
from tests.models.checkerboard import RECOMMENDERS, fitted


@pytest.fixture(params=RECOMMENDERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(kind: str) -> Recommender:
    """A fitted model of each kind, with string ids. Models are immutable, so tests share it."""
    return fitted(kind)
