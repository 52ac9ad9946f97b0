"""LightGCN's adjacency files: a user and the items, separated by spaces, one user a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from palate.dataset.readers.build import interactions_from
from palate.dataset.readers.raw import file_bytes
from palate.dataset.schema import Interactions
from palate.dataset.validate import check_ids, raise_first
from palate.errors import SchemaError


def read_lightgcn(path: Path) -> Interactions:
    """The pairs of an adjacency file. A line with only a user is legal: the user is known, with no interactions.

    Raises SchemaError naming the line of an id that can't be one, and if there are no pairs at all.
    """
    data = file_bytes(path).replace(b"\r", b" ")
    text = pa.array([data.decode()], pa.large_string())
    lines = pc.utf8_trim_whitespace(pc.split_pattern(text, "\n").flatten())
    numbers = np.flatnonzero(np.asarray(pc.not_equal(lines, ""), dtype=bool))
    tokens = pc.utf8_split_whitespace(lines.take(pa.array(numbers)))
    lengths = np.asarray(pc.list_value_length(tokens), dtype=np.int64)
    flat = tokens.flatten()
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    line_of = np.repeat(np.arange(len(lengths)), lengths)
    is_user = np.zeros(len(flat), dtype=bool)
    is_user[starts] = True
    ids, findings = check_ids(flat, "id", where=str(path))
    if findings and any(finding.rows.any() for finding in findings):
        bad = int(np.argmax(np.logical_or.reduce([finding.rows for finding in findings])))
        raise_first(findings, pa.table({"id": flat}), file=str(path), first_row=int(numbers[line_of[bad]]) + 1 - bad)
    if is_user.all():
        raise SchemaError("no line holds an item.", where=str(path), hint="Each line is `user item item ...`.")
    users = ids.take(pa.array(starts))
    columns = {"user": users.take(pa.array(line_of[~is_user])), "item": ids.filter(pa.array(~is_user))}
    return interactions_from(columns, source=str(path), users=users)
