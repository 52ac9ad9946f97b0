"""A small artifact that holds whatever it is given, listed among the kinds for one test."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from scipy import sparse

from palate.dataset.ids import IdMap
from palate.models import KINDS
from palate.models.protocol import Arrays, Signature


class Box:
    """Holds Arrays; predicts what it was given."""

    kind: ClassVar[str] = "test-box"

    def __init__(self, arrays: Arrays) -> None:
        self.held = arrays

    def signature(self) -> Signature:
        return Signature({"x": "double"}, {"y": "double"})

    def predict(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        return {"y": batch["x"]}

    def to_arrays(self) -> Arrays:
        return self.held

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        return cls(arrays)


@pytest.fixture(scope="module", autouse=True)
def _box_is_a_kind() -> Any:
    module = types.ModuleType("palate_test_box")
    module.Box = Box  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "palate_test_box", module)
        patch.setitem(KINDS, Box.kind, "palate_test_box:Box")
        yield


@pytest.fixture(scope="session")
def box() -> type[Box]:
    return Box


@pytest.fixture(scope="session")
def filled() -> Box:
    """One of everything: dense, sparse, ids of both types, a part with a part."""
    rng = np.random.default_rng(3)
    inner = Box(Arrays(arrays={"w": np.arange(4)}))
    part = Box(Arrays({"name": "part"}, {"w": np.eye(2)}, {"labels": IdMap(["x"])}, {"inner": inner}))
    return Box(
        Arrays(
            {"alpha": 0.5, "names": ["a", "ü"], "nested": {"none": None}},
            {
                "factors": rng.normal(size=(20, 4)).astype(np.float32),
                "seen": sparse.random(12, 20, 0.3, format="csr", dtype=np.float32, random_state=rng),
            },
            {"items": IdMap([f"item-{n}" for n in rng.permutation(20)]), "users": IdMap([5, -7, 2**62])},
            {"part": part},
        )
    )


@pytest.fixture(autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache of the test's own."""
    home = tmp_path_factory.mktemp("cache") / "home"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return home
