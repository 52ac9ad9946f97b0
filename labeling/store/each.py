"""A statement for several at once, on PostgreSQL: their values come as arrays, one for each column."""

from __future__ import annotations

from typing import Any

from sqlalchemy import TableValuedAlias, bindparam, column, func, select
from sqlalchemy.dialects.postgresql import ARRAY


def each(name: str, **columns: Any) -> TableValuedAlias:
    """The values as a table of this name: `columns` are their types, and the parameters have the same names.

    PostgreSQL is not shown how many there are: it would plan for each number anew.
    """
    given = [bindparam(said, type_=ARRAY(kind, dimensions=1)) for said, kind in columns.items()]
    named = [column(said, kind) for said, kind in columns.items()]
    return func.unnest(*(select(one).scalar_subquery() for one in given)).table_valued(*named).render_derived(name=name)
