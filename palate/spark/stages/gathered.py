"""Fitting factors in one task that holds all ratings, and bringing them to the driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame
from scipy import sparse

from palate.errors import SchemaError
from palate.kernels.ratings import Side
from palate.memory import free_memory
from palate.models.factors import Factors
from palate.spark.stages.ratings import (
    Read,
    TooManyError,
    in_one_task,
    join,
    memory_limit,
    pack_ids,
    read_ratings,
    split,
    unpack_ids,
)
from palate.spark.stages.tasks import Batches, Results, run_tasks

MEMORY_SHARE = 0.8
"""How much of the memory that is free on the executor the ratings may take before a bounded fit gives up."""

Fitted: TypeAlias = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
Fit: TypeAlias = Callable[[Read], Fitted]


def fit_gathered(
    ratings: DataFrame, names: Mapping[str, str], fit: Fit, seen: bool, engine: str = "native", bounded: bool = False
) -> Factors:
    """User and item factors that `fit` makes of all ratings, on one executor.

    ratings: as `select_ratings` gives them. names: what the user calls the columns. seen: keep which pairs there are.
    bounded: raise TooManyError, instead of going on, once the ratings take more than MEMORY_SHARE of the memory that
    is free there, or of what Spark was told that Python may have.
    """
    told = memory_limit(ratings.sparkSession)

    def work(task: int, batches: Batches) -> Results:
        limit = int(MEMORY_SHARE * min(free_memory(), told or free_memory())) if bounded else None
        try:
            read = read_ratings(batches, names, limit)
        except TooManyError:
            for _ in batches:  # Spark waits until all of a task's input was taken
                pass
            return {"limit": np.asarray(limit)}
        users, items = fit(read)
        found = pack_ids("users", read.users) | pack_ids("items", read.items)
        found |= split("user_factors", users) | split("item_factors", items)
        if seen:
            pairs = _distinct(read.ratings.by_user)
            found |= split("seen.starts", pairs.starts) | split("seen.columns", pairs.columns)
        return found

    parts = run_tasks(in_one_task(ratings), work)
    if not parts:
        raise SchemaError("there are no rows to learn from.", where=names["rating"] or "ratings")
    arrays = parts[0]
    if "limit" in arrays:
        raise TooManyError(f"they take more than the {int(arrays['limit']) >> 20} MB that an executor has for them")
    users, items = unpack_ids("users", arrays), unpack_ids("items", arrays)
    pairs = None
    if seen:
        starts, columns = join("seen.starts", arrays), join("seen.columns", arrays)
        ones = np.ones(len(columns), np.int8)
        pairs = sparse.csr_matrix((ones, columns, starts), shape=(len(users), len(items)))
    return Factors(users, items, join("user_factors", arrays), join("item_factors", arrays), pairs, engine)


def _distinct(side: Side) -> Side:
    """Each pair once."""
    rows = np.repeat(np.arange(len(side), dtype=np.int32), side.counts())
    first = np.ones(len(rows), bool)
    first[1:] = (rows[1:] != rows[:-1]) | (side.columns[1:] != side.columns[:-1])
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows[first], minlength=len(side)))])
    return Side(starts, side.columns[first], side.values[:0])
