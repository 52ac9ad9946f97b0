"""Counting sort of ratings by one of their codes."""

from __future__ import annotations

from typing import Any

from palate.kernels.compiled import compiled


@compiled
def count(codes: Any, counts: Any) -> None:
    """Adds to `counts[code + 1]` for each code."""
    for code in codes:
        counts[code + 1] += 1


@compiled
def place(keys: Any, values: Any, at: Any, target: Any) -> None:
    """Puts each value at `at[key]` of `target`, and moves `at[key]` on."""
    for index in range(len(keys)):
        key = keys[index]
        target[at[key]] = values[index]
        at[key] += 1


@compiled
def turn(starts: Any, columns: Any, values: Any, at: Any, turned: Any, turned_values: Any) -> None:
    """The transpose of a CSR matrix: `at` are the starts of its rows and is used up."""
    for row in range(len(starts) - 1):
        for index in range(starts[row], starts[row + 1]):
            column = columns[index]
            turned[at[column]] = row
            turned_values[at[column]] = values[index]
            at[column] += 1
