"""Users and items as columns of a factorization machine: an id, and a list of all that is known of them."""

from __future__ import annotations

from typing import Any

from palate.dataset.schema import Items
from palate.features.facts import read_facts
from palate.features.fields import FieldEncoder
from palate.features.text import label

ITEM_KINDS = {"item": "category", "terms": "list"}
USER_KINDS = {"user": "category", "facts": "list"}


def encoder_of(columns: dict[str, list[Any]], kinds: dict[str, str], min_count: int) -> FieldEncoder:
    """Ids are all learned, other values from `min_count` on."""
    ids, rest = list(kinds)
    first = FieldEncoder.fit({ids: columns[ids]}, {ids: kinds[ids]})
    other = FieldEncoder.fit({rest: columns[rest]}, {rest: kinds[rest]}, min_count)
    return FieldEncoder((*first.fields, *other.fields))


def described(items: Items, first: int) -> dict[str, list[Any]]:
    """Columns of items whose codes begin with `first`."""
    facts = read_facts(items.table["attributes"].to_pylist(), "items")
    rows = zip(items.lists("categories"), items.lists("tags"), facts, strict=True)
    terms = [
        list(
            dict.fromkeys(
                [f"category:{label(each)}" for each in categories]
                + [f"tag:{label(each)}" for each in tags]
                + labels_of(attributes)
            )
        )
        for categories, tags, attributes in rows
    ]
    return {"item": list(range(first, first + len(items))), "terms": terms}


def labels_of(facts: dict[str, Any]) -> list[str]:
    """`attribute=value` for each value that is text, a number or a bool."""
    found = []
    for name, value in facts.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, (str, bool, int, float)):
                found.append(f"{name}={label(str(each))}")
    return list(dict.fromkeys(found))
