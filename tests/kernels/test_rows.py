"""What is done to rows of scores, beside numpy."""

from __future__ import annotations

import numpy as np
import pytest

from palate.kernels.rows import filled, widened

ROWS = pytest.mark.parametrize("rows", [0, 1, 50])


@ROWS
def test_scores_go_to_their_columns_and_the_rest_is_silent(rows: int) -> None:
    scores = np.random.default_rng(0).random((rows, 3), np.float32)
    wide = widened(scores, np.array([4, 0, 2], np.int32), 6)
    expected = np.full((rows, 6), -np.inf, np.float32)
    expected[:, [4, 0, 2]] = scores
    np.testing.assert_array_equal(wide, expected)


@ROWS
def test_zeros_give_way_to_what_stands_for_them(rows: int) -> None:
    scores = np.random.default_rng(0).integers(-1, 2, (rows, 4)).astype(np.float32)
    scores[::2] = 0
    standing = np.array([-0.5, -1, -0.25, -2], np.float32)
    expected, known = np.where(scores == 0, standing, scores), scores.any(axis=1)
    np.testing.assert_array_equal(filled(scores, standing), known)
    np.testing.assert_array_equal(scores, expected)


def test_what_is_no_number_is_not_silent() -> None:
    scores = np.array([[np.nan, 0], [0, 0]], np.float32)
    assert filled(scores, np.array([-1, -2], np.float32)).tolist() == [True, False]
    np.testing.assert_array_equal(scores, [[np.nan, -2], [-1, -2]])
