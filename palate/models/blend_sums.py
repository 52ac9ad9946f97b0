"""The arithmetic of a blend: scores of its parts standardised, and added up with weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from palate.kernels.threads import in_threads
from palate.models.protocol import Floats


def standards_of(scores: Floats) -> tuple[Floats, Floats]:
    """The mean of each row over what it ranks, and one over its deviation, `(n,)` each."""
    from palate.kernels.blend_loops import standards

    means, scales = np.empty(len(scores), np.float32), np.empty(len(scores), np.float32)
    in_threads(lambda first, last: standards(scores[first:last], means[first:last], scales[first:last]), len(scores))
    return means, scales


def add(
    scores: Floats,
    rows: tuple[Floats, Floats, npt.NDArray[np.bool_]],
    weights: tuple[Floats, Floats, float, float],
    total: Floats,
    heard: npt.NDArray[np.bool_],
) -> None:
    """Adds a part to the total. rows: what `standards_of` gave, and which users it knows. weights: by user, by item, of
    the root, where silent."""
    from palate.kernels.blend_loops import add_part

    by_user, by_item, root, silent = weights

    def work(first: int, last: int) -> None:
        part = slice(first, last)
        means, scales, knows = (values[part] for values in rows)
        own = means, scales, knows, by_user[part], by_item, root, silent
        add_part(scores[part], *own, total[part], heard[part])

    in_threads(work, len(total))


def mixed(first: Floats, second: Floats, share: Floats) -> Floats:
    """`share * first + (1 - share) * second`; where one is silent (-inf), the other alone."""
    either = np.where(first > -np.inf, first, second)
    other = np.where(second > -np.inf, second, first)
    silent = either == -np.inf
    either[silent] = other[silent] = 0
    mixed: Floats = other + share * (either - other)
    mixed[silent] = -np.inf
    return mixed
