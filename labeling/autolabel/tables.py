"""Files of known labels, for a simulation: CSV, JSON lines or Parquet, read as columns of text."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from palate.errors import InputError, ParameterError, SchemaError


@dataclass(frozen=True)
class Known:
    """Items with their true labels. columns: the others, by name. left_out: rows without a label or a text.

    single: where items have several labels each, all of these, and `labels` has them with `separator` between.
    """

    labels: list[str]
    texts: list[str] | None
    columns: dict[str, list[str | float | None]]
    left_out: int
    single: tuple[str, ...] | None = None
    separator: str = ""

    def __len__(self) -> int:
        return len(self.labels)


def read_known(files: Sequence[Path], label: str, text: str | None, separator: str | None = None) -> Known:
    """Several files one after the other.

    text: the column of texts; without it, all columns but the label's are features. separator: what stands between
    labels where items have several.
    Raises ParameterError for a separator that is blank, InputError for a file that cannot be read, SchemaError for a
    column that is missing.
    """
    if not files:
        raise InputError("there is no file to read.", where="data")
    if separator is not None and not separator.strip():
        raise ParameterError("is nothing but blanks.", where="separator", hint="Take what stands between labels: |")
    if text == label:
        raise SchemaError("the label cannot also be the text.", where=label)
    tables = [_read(path) for path in files]
    for path, table in zip(files, tables, strict=True):
        for wanted in (label, text):
            if wanted is not None and wanted not in table.columns:
                raise SchemaError(
                    f"has no column {wanted!r}.", where=str(path), hint=f"It has: {', '.join(table.columns)}."
                )
    whole = pd.concat(tables, ignore_index=True)
    names = whole[label].map(_text)
    single: tuple[str, ...] | None = None
    if separator is not None:
        sets = names.map(lambda name: sorted({one.strip() for one in name.split(separator)} - {""}))
        names, single = sets.map(separator.join), tuple(sorted(set().union(*sets)))
    usable = names != ""
    if text is not None:
        usable &= whole[text].map(_text) != ""
    kept = whole[usable]
    if kept.empty:
        raise SchemaError("no row has both a label and a text." if text else "no row has a label.", where=str(files[0]))
    features = [] if text is not None else [name for name in whole.columns if name != label]
    if text is None and not features:
        raise SchemaError("has no column but the label's.", where=str(files[0]))
    return Known(
        names[usable].tolist(),
        None if text is None else kept[text].map(_text).tolist(),
        {name: kept[name].tolist() for name in features},
        int(len(whole) - len(kept)),
        single,
        separator or "",
    )


def _text(value: object) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value).strip()


def _read(path: Path) -> pd.DataFrame:
    suffix = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    try:
        if suffix == "parquet":
            table = pd.read_parquet(path)
        elif suffix in ("jsonl", "ndjson"):
            table = pd.read_json(path, lines=True, dtype=False, encoding="utf-8-sig")
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header
                table = pd.read_csv(
                    path,
                    dtype=str,
                    keep_default_na=False,
                    encoding="utf-8-sig",
                    sep="\t" if suffix == "tsv" else ",",
                    index_col=False,
                )
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}.", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"is not UTF-8 text (byte {error.start}).", where=str(path), hint="Convert it: iconv -f latin1 -t utf-8."
        ) from error
    except (ValueError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise InputError(f"cannot be read: {str(error).strip()}", where=str(path)) from error
    table.columns = [str(name) for name in table.columns]
    return table
