"""Which column of a file means what: `ColumnMapping`, read from a short YAML file.

    delimiter: ";"                     # CSV only; a comma unless told (a tab for .tsv)
    header: [who, what, stars]         # CSV only; the names of a file that has no header line
    interactions:
      user: who
      item: what
      weight: stars
      timestamp: {column: when, unit: ms}
      kind: null                       # there is a column `kind`, but it is not one
    items:
      id: sku
      title: name
      categories: {column: shelf, separator: ">"}
    users:
      id: who

What is left out is looked for under its usual names, whatever the case: `user`, `user_id`, `userId`, `item_id`,
`movieId`, `rating`, ... Columns of items and users that mean none of these become attributes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from palate.errors import InputError, SchemaError

INTERACTION_NAMES: dict[str, tuple[str, ...]] = {
    "user": ("user", "userid", "uid", "customer", "customerid", "visitorid"),
    "item": ("item", "itemid", "iid", "movie", "movieid", "product", "productid", "sku", "articleid"),
    "weight": ("weight", "rating", "score", "strength", "stars", "value"),
    "timestamp": ("timestamp", "time", "unixtime", "datetime", "date", "createdat"),
    "kind": ("kind", "event", "eventkind", "eventtype", "action"),
}
ITEM_NAMES: dict[str, tuple[str, ...]] = {
    "id": ("id", *INTERACTION_NAMES["item"]),
    "title": ("title", "name"),
    "text": ("text", "description", "overview", "summary"),
    "categories": ("categories", "category", "genres", "genre"),
    "tags": ("tags", "tag", "keywords"),
    "image": ("image", "imageurl", "poster"),
    "available": ("available", "availability", "instock"),
    "timestamp": ("timestamp", "createdat", "addedat"),
}
USER_NAMES: dict[str, tuple[str, ...]] = {
    "id": ("id", *INTERACTION_NAMES["user"]),
    "categories": ("categories", "category", "genres"),
    "tags": ("tags", "keywords", "interests"),
}
SECTIONS = {"interactions": INTERACTION_NAMES, "items": ITEM_NAMES, "users": USER_NAMES}
"""Section of the mapping to field to its usual column names, in order of preference, lower case without `_`."""

REQUIRED = {"interactions": ("user", "item"), "items": ("id",), "users": ("id",)}
UNITS = ("auto", "s", "ms")
"""Units of numeric timestamps; "auto" takes what is too large for seconds (from 1e11, the year 5138) as ms."""


def plain_name(column: str) -> str:
    """A column's name for comparison: `userId`, `user_id` and `User ID` are the same."""
    return column.strip().lower().replace("_", "").replace(" ", "").replace("-", "")


@dataclass(frozen=True)
class Column:
    """Where one field comes from. `name` None says that the file has no such field, whatever its columns are called.

    separator: between the values of a list in one text cell. unit: of numeric timestamps, one of `UNITS`.
    """

    name: str | None
    separator: str = "|"
    unit: str = "auto"


@dataclass(frozen=True)
class ColumnMapping:
    """Section to field to column; what is not said is found by its usual names. See the module for the YAML."""

    interactions: Mapping[str, Column] = field(default_factory=dict)
    items: Mapping[str, Column] = field(default_factory=dict)
    users: Mapping[str, Column] = field(default_factory=dict)
    delimiter: str | None = None
    header: tuple[str, ...] | None = None

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The mapping in a YAML file. Raises InputError naming file and line for what is not a mapping of this kind."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8-sig")
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}.", where=str(path)) from None
        except UnicodeDecodeError:
            raise InputError("is not UTF-8 text.", where=str(path)) from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{path}:{mark.line + 1}" if mark else str(path)
            raise InputError(f"is not YAML: {getattr(error, 'problem', None) or error}.", where=where) from None
        except RecursionError:
            raise InputError("is nested too deeply.", where=str(path)) from None
        if root is None:
            return cls()
        return cls(**_Reader(path).mapping(root))

    def resolve(self, section: str, columns: Sequence[str], *, where: str) -> dict[str, Column]:
        """Field to the column of a file that holds it, for the fields that the file has.

        Raises SchemaError where a column is named twice, a named column is missing, or a required field is.
        """
        said: Mapping[str, Column] = getattr(self, section)
        twice = [name for name, count in Counter(columns).items() if count > 1]
        if twice:
            raise SchemaError(f"two columns are called {twice[0]!r}.", where=where)
        found: dict[str, Column] = {}
        taken = {column.name for column in said.values()}
        by_name = {plain_name(name): name for name in reversed(columns) if name not in taken}
        for name, usual in SECTIONS[section].items():
            if name in said:
                column = said[name]
                if column.name is None:
                    continue
                if column.name not in columns:
                    raise SchemaError(
                        f"there is no column {column.name!r} for {section}.{name}.",
                        where=where,
                        hint=f"Columns: {_listed(columns)}.",
                    )
                other = next((known for known, each in found.items() if each.name == column.name), None)
                if other is not None:
                    raise SchemaError(
                        f"the column {column.name!r} is given for both {section}.{other} and {section}.{name}.",
                        where=where,
                    )
                found[name] = column
            else:
                match = next((by_name[candidate] for candidate in usual if candidate in by_name), None)
                if match is not None:
                    found[name] = Column(match)
                    by_name.pop(plain_name(match))
        missing = [name for name in REQUIRED[section] if name not in found]
        if missing:
            say = f"Say which it is in a mapping file ({section}: {missing[0]}: COLUMN)."
            raise SchemaError(
                f"there is no column for {section}.{missing[0]}.",
                where=where,
                hint=f"Columns: {_listed(columns)}. {say}",
            )
        return found


DEFAULT_MAPPING = ColumnMapping()


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in columns[:12])
    return f"{shown} and {len(columns) - 12} more" if len(columns) > 12 else shown or "none"


class _Reader:
    """Reads YAML nodes rather than values, so that every complaint names its line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, node: yaml.Node, message: str, hint: str | None = None) -> InputError:
        return InputError(message, where=f"{self.path}:{node.start_mark.line + 1}", hint=hint)

    def pairs(self, node: yaml.Node, known: Sequence[str], what: str) -> dict[str, yaml.Node]:
        """Key to value node. Refuses what is no mapping, unknown keys and repeated ones."""
        if not isinstance(node, yaml.MappingNode):
            raise self.fail(node, f"{what} must be `key: value` lines.")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = str(key.value)
            if name not in known:
                raise self.fail(key, f"{what} has no key {name[:80]!r}.", f"Known: {', '.join(known)}.")
            if name in found:
                raise self.fail(key, f"the key {name!r} comes twice.")
            found[name] = value
        return found

    def text(self, node: yaml.Node, what: str) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            raise self.fail(node, f"{what} must be one word or text.")
        return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)

    def mapping(self, root: yaml.Node) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, node in self.pairs(root, ("delimiter", "header", *SECTIONS), "the mapping").items():
            if key == "delimiter":
                delimiter = self.text(node, key)
                if delimiter is None or len(delimiter.encode()) != 1:
                    raise self.fail(node, 'the delimiter must be one ASCII character, such as ";" or "\\t".')
                result[key] = delimiter
            elif key == "header":
                if not isinstance(node, yaml.SequenceNode):
                    raise self.fail(node, "header must be a list of names.")
                result[key] = tuple(self.text(name, "a name in header") or "" for name in node.value)
            else:
                fields = self.pairs(node, tuple(SECTIONS[key]), key)
                result[key] = {name: self.column(value, name) for name, value in fields.items()}
        return result

    def column(self, node: yaml.Node, name: str) -> Column:
        if isinstance(node, yaml.ScalarNode):
            return Column(self.text(node, name))
        extra = {"timestamp": ("unit",), "categories": ("separator",), "tags": ("separator",)}.get(name, ())
        pairs = self.pairs(node, ("column", *extra), name)
        if "column" not in pairs:
            raise self.fail(node, f"{name} needs a `column`.")
        values = {key: self.text(value, f"{name}.{key}") for key, value in pairs.items()}
        unit, separator = values.get("unit", "auto"), values.get("separator", "|")
        if unit not in UNITS:
            raise self.fail(pairs["unit"], f"unit must be one of {', '.join(UNITS)}, not {unit!r}.")
        if not separator:
            raise self.fail(pairs["separator"], "the separator must not be empty.")
        return Column(values["column"], separator=separator, unit=unit)
