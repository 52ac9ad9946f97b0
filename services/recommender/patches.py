"""JSON merge patch (RFC 7396): what is given replaces, null takes out, objects are merged, the rest stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from palate.web.contract import Model, validate
from services.recommender.bodies import ItemBody, ItemPatch, UserBody, UserPatch
from services.recommender.catalogue import ItemRow
from services.recommender.store import UserRow


def item_change(patch: ItemPatch) -> Callable[[ItemRow], ItemRow]:
    """From an item to what it is with the patch. The change raises FieldErrors if that is no item."""

    def change(row: ItemRow) -> ItemRow:
        after: ItemRow = _patched(ItemBody, row, patch).row(row.id)
        return after

    return change


def user_change(patch: UserPatch) -> Callable[[UserRow], UserRow]:
    """The same for a user."""

    def change(row: UserRow) -> UserRow:
        after: UserRow = _patched(UserBody, row, patch).row(row.id)
        return after

    return change


def merged(target: Any, patch: Any) -> Any:
    """The algorithm of the RFC's section 2; neither argument is written to."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _patched(body: type[Any], row: ItemRow | UserRow, patch: Model) -> Any:
    held = {name: getattr(row, name) for name in body.model_fields}
    held = {name: list(value) if isinstance(value, tuple) else value for name, value in held.items()}
    return validate(body, merged(held, patch.model_dump(exclude_unset=True)))
