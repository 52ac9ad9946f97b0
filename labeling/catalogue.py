"""From the catalogue's items to tasks: what a person sees of an item, and the labels its categories suggest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from labeling.store.definition import NewTask
from palate.dataset.schema import Items
from palate.errors import ParameterError

MAX_CATEGORIES = 60
"""More than this many labels are too many to choose from unless somebody names them on purpose."""


def tasks_of(items: Items, *, only_uncategorised: bool = False) -> Iterator[NewTask]:
    """One task per item, in the catalogue's order: its id, title, text, tags and image.

    Categories stay out of a task: they are what people are asked for.
    """
    columns = zip(
        items.ids.ids.to_pylist(),
        items.strings("title"),
        items.strings("text"),
        items.lists("tags"),
        items.strings("image"),
        items.lists("categories"),
        strict=True,
    )
    for item, title, text, tags, image, categories in columns:
        if only_uncategorised and categories:
            continue
        data = {"item_id": item, "title": title or str(item), "text": text, "tags": tags, "image": image}
        yield NewTask(str(item), {key: value for key, value in data.items() if value not in ("", [])})


def labels_of(items: Items) -> tuple[str, ...]:
    """The catalogue's categories, the most frequent first. Raises ParameterError if they make no choice."""
    counts: Counter[str] = Counter(
        name.strip() for categories in items.lists("categories") for name in categories if name.strip()
    )
    if len(counts) < 2 or len(counts) > MAX_CATEGORIES:
        raise ParameterError(
            f"the items have {len(counts)} categories; a choice needs 2 to {MAX_CATEGORIES}.",
            where="--labels",
            hint="Name the labels: --labels Comedy,Drama,Other.",
        )
    return tuple(name for name, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def parse_labels(text: str) -> Sequence[str]:
    """`a,b,c` as typed on the command line."""
    return tuple(label.strip() for label in text.split(","))
