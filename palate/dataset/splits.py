"""Splits: some rows to learn from, the others to measure by. Both sides keep the id maps of the whole.

Every split is reproducible: the same data, parameters and seed give the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from palate.dataset.schema import Interactions, Seconds
from palate.errors import ParameterError, SchemaError

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """`train` and `test` part the rows of one data set; both have its id maps, so codes mean the same in each."""

    train: Interactions
    test: Interactions


def random_split(interactions: Interactions, test: float = 0.2, seed: int = 0) -> Split:
    """A random share of the rows for testing."""
    _share(test, "test")
    n = len(interactions)
    held = np.zeros(n, dtype=bool)
    held[np.random.default_rng(seed).permutation(n)[: round(n * test)]] = True
    return _parted(interactions, held, "random")


def leave_last_out(interactions: Interactions, n: int = 1) -> Split:
    """The last `n` interactions of each user for testing; a user always keeps at least one for training."""
    if n < 1:
        raise ParameterError(f"n must be at least 1, not {n}.", where="n")
    from_end, counts = _from_end(interactions)
    return _parted(interactions, from_end < np.minimum(n, counts - 1), "leave_last_out")


def leave_last_fraction(interactions: Interactions, fraction: float = 0.2) -> Split:
    """The last `fraction` of each user's history by time for testing, rounded down but one at least.

    Users with one interaction stay in training altogether.
    """
    _share(fraction, "fraction")
    from_end, counts = _from_end(interactions)
    # 1e-9: a fifth of 10 is 2, though 10 * 0.2 may be a hair less in floating point
    held = np.maximum(np.floor(counts * fraction + 1e-9), 1)
    return _parted(interactions, from_end < np.minimum(held, counts - 1), "leave_last_fraction")


def time_split(interactions: Interactions, fraction: float | None = None, at: float | None = None) -> Split:
    """Everything from one moment on for testing: `at` (seconds since 1970 UTC), or so that about `fraction` is held.

    Rows of the same second are never parted. A fifth is held if neither is given.
    """
    timestamps = _timestamps(interactions)
    if at is not None and fraction is not None:
        raise ParameterError("give either a fraction or a moment, not both.", where="at")
    if at is None:
        fraction = 0.2 if fraction is None else fraction
        _share(fraction, "fraction")
        if len(timestamps) == 0:
            raise SchemaError("there are no interactions to split.", where="time")
        at = float(np.sort(timestamps)[min(int(len(timestamps) * (1 - fraction)), len(timestamps) - 1)])
    return _parted(interactions, timestamps >= at, "time")


def cold_items(interactions: Interactions, holdout: float = 0.2, seed: int = 0) -> Split:
    """All rows of a random share of the items for testing: training has never met them."""
    return _parted(interactions, _cold(interactions.item_codes, holdout, seed), "cold_items")


def cold_users(interactions: Interactions, holdout: float = 0.2, seed: int = 0) -> Split:
    """All rows of a random share of the users for testing: training has never met them."""
    return _parted(interactions, _cold(interactions.user_codes, holdout, seed), "cold_users")


METHODS: dict[str, Callable[..., Split]] = {
    "random": random_split,
    "leave_last_out": leave_last_out,
    "leave_last_fraction": leave_last_fraction,
    "time": time_split,
    "cold_items": cold_items,
    "cold_users": cold_users,
}
"""The splits by name, for command lines."""


def split(interactions: Interactions, method: str, **values: Any) -> Split:
    """The split of that name (see `METHODS`). Raises ParameterError for an unknown name or parameter."""
    if method not in METHODS:
        raise ParameterError(f"there is no split {method[:60]!r}.", where="split", hint=f"Known: {', '.join(METHODS)}.")
    function = METHODS[method]
    known = function.__code__.co_varnames[1 : function.__code__.co_argcount]
    wrong = sorted(set(values) - set(known))
    if wrong:
        raise ParameterError(
            f"the split {method} has no parameter {wrong[0]!r}.", where="split", hint=f"It has: {', '.join(known)}."
        )
    return function(interactions, **values)


def _share(value: float, name: str) -> None:
    if not 0 < value < 1:
        raise ParameterError(f"{name} must lie between 0 and 1, not {value}.", where=name)


def _timestamps(interactions: Interactions) -> Seconds:
    if interactions.timestamps is None:
        raise SchemaError(
            "this split goes by time, but the interactions have no timestamps.",
            where="timestamp",
            hint="Take a random split, or name the column in a mapping file.",
        )
    return interactions.timestamps


def _from_end(interactions: Interactions) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Per row its place from the end of the user's history (0 is the last), and that history's length.

    Of rows of the same second the one with the larger item code counts as later, then the one further down,
    so that the order of the file decides only between repetitions of one pair.
    """
    timestamps, users = _timestamps(interactions), interactions.user_codes
    order = np.lexsort((interactions.item_codes, timestamps, users))
    per_user = np.bincount(users, minlength=interactions.n_users).astype(np.int64)
    ends = np.cumsum(per_user)
    place = np.empty(len(users), dtype=np.int64)
    place[order] = ends[users[order]] - 1 - np.arange(len(users))
    return place, per_user[users]


def _cold(codes: npt.NDArray[np.int32], holdout: float, seed: int) -> Mask:
    """Rows of a random share of the codes that occur; one of them at least, and never all."""
    _share(holdout, "holdout")
    present = np.unique(codes)
    count = min(max(round(len(present) * holdout), 1), len(present) - 1)
    chosen = np.random.default_rng(seed).permutation(present)[: max(count, 0)]
    return np.isin(codes, chosen)


def _parted(interactions: Interactions, held: Mask, name: str) -> Split:
    n_held = int(held.sum())
    if n_held in (0, len(held)):
        side = "training" if n_held else "testing"
        raise SchemaError(
            f"{len(interactions)} interactions of {len(np.unique(interactions.user_codes))} users leave nothing for "
            f"{side}.",
            where=f"split {name}",
            hint="Give more data, or another share.",
        )
    return Split(interactions.take(~held), interactions.take(held))
