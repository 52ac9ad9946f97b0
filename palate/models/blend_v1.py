"""Blends of the first format, whose weights were parameters: read as blends of today with the rule of thumb."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from palate.models.part_list import Part, write_parts
from palate.models.protocol import Arrays
from palate.models.trust import Scale, rule_of_thumb

_NAMES = {"personal": "als", "content": "content", "popular": "popularity"}
_SETTINGS = {
    "als": ("factors", "regularization", "alpha", "iterations", "seed"),
    "content": ("dims", "seed"),
    "popularity": ("half_life_days",),
}


def is_first_format(arrays: Arrays) -> bool:
    """Whether these arrays are of the first format."""
    return "parts" not in arrays.params["params"] and set(arrays.parts) == set(_NAMES)


def modernised(arrays: Arrays) -> Arrays:
    """The same parts as the current format has them."""
    told = arrays.params["params"]
    chosen = [Part(kind, {name: told[name] for name in names if name in told}) for kind, names in _SETTINGS.items()]
    seen: Any = arrays.arrays["seen"]
    counts = np.diff(seen.indptr), np.bincount(seen.indices, minlength=seen.shape[1])
    trust = rule_of_thumb([False, True], Scale.of(counts[0]), Scale.of(counts[1]))
    scales = np.array([list(asdict(scale).values()) for scale in (trust.user_scale, trust.item_scale)])
    return Arrays(
        {
            **arrays.params,
            "params": {"parts": write_parts(chosen), "seed": told.get("seed", 0)},
            "order": list(_NAMES.values()),
        },
        {**arrays.arrays, "part_weights": trust.parts, "shared_weights": trust.shared, "scales": scales},
        arrays.ids,
        {_NAMES[name]: part for name, part in arrays.parts.items()},
    )
