"""What rounded factors leave to be looked at holds all of the true best, and little else."""

from __future__ import annotations

import numpy as np
import pytest

from palate.errors import ParameterError
from palate.kernels.compact import FORMS, Compact, Form, may_be_best
from palate.kernels.top_n import Targets, top_n

RANDOM = np.random.default_rng(5)


def best(queries: np.ndarray, targets: np.ndarray, n: int, form: Form, barred: np.ndarray | None = None) -> list[set]:
    """The codes of the best by their exact products, of what the rounded ones leave."""
    made, found = Compact.of(targets, form), []
    for query in queries:
        few = may_be_best(query, made, n, barred)
        assert (np.diff(few) > 0).all()
        found.append(set(few[np.argsort(-(targets[few] @ query), kind="stable")[:n]].tolist()))
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("n", "width"), [(1, 1), (63, 5), (64, 8), (130, 33), (3000, 64)])
def test_none_of_the_best_is_missed(form: Form, n: int, width: int) -> None:
    targets = RANDOM.standard_normal((n, width)) * np.exp(RANDOM.standard_normal((n, 1)))
    targets = targets.astype(np.float32)
    targets[::5] *= np.logspace(-3, 3, width, dtype=np.float32)  # components that one scale does not suit
    queries = RANDOM.standard_normal((20, width)).astype(np.float32)
    barred = RANDOM.random(n) < 0.3
    for left_out in (None, barred):
        kept = targets if left_out is None else np.where(left_out[:, None], 0, targets)
        expected = queries @ kept.T if left_out is None else np.where(left_out, -np.inf, queries @ targets.T)
        held = min(10, n if left_out is None else int((~left_out).sum()))
        order = np.argsort(-expected, axis=1, kind="stable")[:, :held]
        assert best(queries, targets, 10, form, left_out) == [set(row.tolist()) for row in order]


@pytest.mark.parametrize(("form", "bytes_each"), [("int8", 1), ("float16", 2)])
def test_what_is_left_to_look_at_is_little(form: Form, bytes_each: int) -> None:
    targets = RANDOM.standard_normal((20_000, 64)).astype(np.float32)
    made = Compact.of(targets, form)
    assert made.blocks.itemsize == bytes_each
    few = [len(may_be_best(query, made, 20)) for query in RANDOM.standard_normal((20, 64)).astype(np.float32)]
    assert min(few) >= 20
    assert np.mean(few) < 60


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1e-40, 1e-30, 1e-6, 1e6, 1e15])
def test_numbers_of_any_size(form: Form, size: float) -> None:
    targets = (RANDOM.standard_normal((500, 16)) * size).astype(np.float32)
    query = RANDOM.standard_normal(16).astype(np.float32)
    expected, _ = top_n(query[None], Targets.of(targets), 5)
    assert set(expected[0].tolist()) <= set(may_be_best(query, Compact.of(targets, form), 5).tolist())


def test_more_than_there_are_nothing_and_equals() -> None:
    zeros = Compact.of(np.zeros((4, 3), np.float32))
    assert may_be_best(np.ones(3, np.float32), zeros, 2).tolist() == []
    assert may_be_best(np.ones(3, np.float32), Compact.of(np.zeros((0, 3), np.float32)), 2).tolist() == []
    equal = Compact.of(np.ones((90, 3), np.float32))
    assert may_be_best(np.ones(3, np.float32), equal, 100).tolist() == list(range(90))
    assert may_be_best(np.ones(3, np.float32), equal, 2).tolist() == list(range(90)), (
        "which of them come first is theirs"
    )
    assert may_be_best(np.ones(3, np.float32), equal, 2, np.ones(90, bool)).tolist() == []


def test_what_cannot_be_rounded_is_refused() -> None:
    with pytest.raises(ParameterError, match="int8 or float16"):
        Compact.of(np.ones((2, 2), np.float32), "int4")  # type: ignore[arg-type]
    for wrong in (np.nan, np.inf):
        with pytest.raises(ParameterError, match="finite"):
            Compact.of(np.full((2, 2), wrong, np.float32))
