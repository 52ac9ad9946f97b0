"""Which marks of several people mean the same thing: groups of regions that overlap, at most one of each person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

from labeling.consensus.answers import Floats
from palate.errors import ParameterError

_SAME_LABEL = 1e-6
"""Of two equal overlaps the one with the same label is taken first."""


def groups(overlap: Floats, people: Sequence[str], labels: Sequence[str], least: float) -> list[npt.NDArray[np.int64]]:
    """Regions merged pair by pair, the most alike first, as long as two groups overlap by `least` on average.

    overlap: intersection over union of each two regions, `(n, n)`. people, labels: of each region, `(n,)`. Gives the
    members of each group, in the order of their first member. Two regions of one person never meet in a group, so
    that two marks of theirs stay two things.
    """
    names = np.unique(np.asarray(people), return_inverse=True)[1]
    same = np.equal.outer(np.asarray(labels), np.asarray(labels))
    alike = np.where(overlap > 0, overlap + _SAME_LABEL * same, 0.0)
    _, part = connected_components(alike > 0, directed=False)
    found = []
    for number in range(part.max() + 1 if len(part) else 0):
        members = np.flatnonzero(part == number)
        found += [members[group] for group in _merged(alike[np.ix_(members, members)], names[members], least)]
    return sorted(found, key=lambda group: int(group[0]))


def _merged(alike: Floats, names: npt.NDArray[np.int64], least: float) -> list[npt.NDArray[np.int64]]:
    """Average linkage in one connected part; `total` holds the sums of overlaps between groups."""
    groups: list[list[int]] = [[place] for place in range(len(names))]
    size = np.ones(len(names))
    total = alike.copy()
    apart = np.equal.outer(names, names)  # and so is each group from itself
    while True:
        mean = np.where(apart, -1.0, total / np.outer(size, size))
        first, second = sorted(divmod(int(mean.argmax()), len(names)))
        if mean[first, second] < least:
            return [np.array(sorted(group), dtype=np.int64) for group in groups if group]
        groups[first] += groups[second]
        groups[second] = []
        size[first] += size[second]
        total[first] += total[second]
        total[:, first] += total[:, second]
        apart[first] |= apart[second]
        apart[:, first] |= apart[:, second]
        apart[second] = apart[:, second] = True


def weights_of(people: Sequence[str], weights: Mapping[str, float] | None) -> dict[str, float]:
    """How much each person counts, 1 unless told. Raises ParameterError for a weight that is not above 0."""
    found = {person: float((weights or {}).get(person, 1.0)) for person in people}
    for person, weight in found.items():
        if not (np.isfinite(weight) and weight > 0):
            raise ParameterError(f"the weight of {person[:80]!r} must be above 0, not {weight!r}.", where="weights")
    return found


def require_shares(**values: float) -> None:
    """Raises ParameterError unless each value is from 0 to 1."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ParameterError(f"must be from 0 to 1, not {value!r}.", where=name)


def vote(labels: Sequence[str], weights: Floats) -> tuple[str, float]:
    """The label of most weight, the first in the alphabet of tied ones, and its weight."""
    names, codes = np.unique(np.asarray(labels), return_inverse=True)
    sums = np.bincount(codes, weights)
    best = int(np.argmax(sums >= sums.max() - 1e-9))
    return str(names[best]), float(sums[best])


def weighted_median(values: Floats, weights: Floats) -> tuple[float, float]:
    """The lower and the upper value at half of the weight; they differ if the weight divides evenly there."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    half = reached[-1] / 2
    near = 1e-9 * reached[-1]
    lower = np.searchsorted(reached, half - near)
    upper = min(np.searchsorted(reached, half + near), len(values) - 1)
    return float(values[order[lower]]), float(values[order[upper]])
