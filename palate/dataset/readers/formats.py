"""The formats by name, and the guess which one a path is in."""

from __future__ import annotations

import gzip
import zlib
from enum import StrEnum
from pathlib import Path

from palate.dataset.readers.movielens import has_movielens
from palate.dataset.readers.raw import CSV_SUFFIXES, JSONL_SUFFIXES, bare_suffix
from palate.errors import InputError, ParameterError


class Format(StrEnum):
    """What `--format` may say."""

    AUTO = "auto"
    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"
    MOVIELENS = "movielens"
    LIGHTGCN = "lightgcn"


FORMATS: tuple[str, ...] = tuple(Format)
"""The names, for a command line's choices."""

SUFFIXES = {Format.CSV: CSV_SUFFIXES, Format.PARQUET: (".parquet",), Format.JSONL: JSONL_SUFFIXES}
TABLE_NAMES = {
    "interactions": ("interactions", "ratings", "events"),
    "items": ("items", "catalogue", "catalog", "movies", "products"),
    "users": ("users",),
}
"""Section to the names, without suffix, that its file may have in a folder."""


def parse_format(name: str) -> Format:
    """The format of that name. Raises ParameterError for any other."""
    try:
        return Format(name)
    except ValueError:
        known = ", ".join(FORMATS)
        raise ParameterError(
            f"there is no format {str(name)[:60]!r}.", where="format", hint=f"Known: {known}."
        ) from None


def guess_format(path: str | Path) -> Format:
    """The format of a file or folder by its names, and where these say nothing by its first line.

    Raises InputError if there is no such path, or nothing in it is of a known format.
    """
    path = Path(path)
    if path.is_dir():
        return _guess_folder(path)
    if not path.exists():
        raise InputError("there is no such file or folder.", where=str(path))
    suffix = bare_suffix(path)
    for known, suffixes in SUFFIXES.items():
        if suffix in suffixes:
            return known
    return _guess_file(path)


def find_table(folder: Path, section: str, known: Format) -> Path | None:
    """The file (or folder of Parquet parts) that holds a section in a folder."""
    for name in TABLE_NAMES[section]:
        for suffix in SUFFIXES[known]:
            for candidate in (folder / f"{name}{suffix}", folder / f"{name}{suffix}.gz"):
                if candidate.exists():
                    return candidate
        if known is Format.PARQUET and any((folder / name).glob("**/*.parquet")):
            return folder / name
    return None


def _guess_folder(folder: Path) -> Format:
    if has_movielens(folder):
        return Format.MOVIELENS
    for known in SUFFIXES:
        if find_table(folder, "interactions", known) is not None:
            return known
    if any(folder.glob("*.parquet")):
        return Format.PARQUET
    held = ", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "nothing"
    raise InputError(
        "no file in the folder is known as interactions.",
        where=str(folder),
        hint=f"It holds: {held}. Expected: interactions.csv, .parquet or .jsonl, or a MovieLens folder.",
    )


def _guess_file(path: Path) -> Format:
    try:
        with path.open("rb") as file:
            head = file.read(4096)
        if head[:2] == b"\x1f\x8b":
            head = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(head, 4096)
    except (OSError, gzip.BadGzipFile, zlib.error):
        return Format.CSV  # its reader says what is wrong with the file
    line = head.lstrip().split(b"\n", 1)[0]
    if head[:4] == b"PAR1":
        return Format.PARQUET
    if line.startswith(b"{"):
        return Format.JSONL
    if b"::" in line:
        return Format.MOVIELENS
    return Format.CSV if any(mark in line for mark in (b",", b"\t", b";", b"\0")) else Format.LIGHTGCN
