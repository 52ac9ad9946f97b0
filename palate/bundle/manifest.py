"""The manifest of a bundle: what it holds, where it came from, and the checksum of each of its files.

`manifest.json` is plain JSON (numbers that JSON lacks are written as `{"$float": "nan"}`); `manifest.sha256` beside it
holds its checksum in the format of `sha256sum`, so that a flipped bit in the manifest itself is noticed too.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from palate.errors import BundleDamagedError, BundleError, BundleFormatError
from palate.models.protocol import Signature

FORMAT = 1
"""The format this version writes; it reads this one and all before it."""
MANIFEST = "manifest.json"
CHECKSUM = "manifest.sha256"
MAX_MANIFEST = 64 << 20
"""A manifest larger than this many bytes is refused before it is parsed."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def safe_name(name: str, what: str) -> str:
    """`name`, if it may name a file on any system. Raises BundleError otherwise."""
    if not _NAME.fullmatch(name):
        raise BundleError(
            f"{what} cannot be called {name[:80]!r}.",
            hint="Use letters, digits, '_', '-' and '.', not at the start, at most 100.",
        )
    return name


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or "/".join(parts) != path or not all(_NAME.fullmatch(part) for part in parts):
        raise ValueError(f"the file name {path[:80]!r} leads out of the bundle or is not a plain name")
    return path


def plain(value: Any, where: str) -> Any:
    """`value` as JSON has it: tuples become lists, numpy scalars numbers, NaN and infinities `{"$float": ...}`.

    Raises BundleError, naming the place, for anything JSON cannot hold.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, (list, tuple)):
        return [plain(each, f"{where}[{index}]") for index, each in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key == "$float":
                raise BundleError(f"the key {key!r} is not one that a manifest can hold.", where=where)
        return {str(key): plain(each, f"{where}.{key}") for key, each in value.items()}
    raise BundleError(f"a {type(value).__name__} is not JSON.", where=where, hint="Put arrays into `arrays`.")


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return [_restored(each) for each in value]
    if isinstance(value, dict):
        if value.keys() == {"$float"}:
            return float(value["$float"])
        return {key: _restored(each) for key, each in value.items()}
    return value


Json = Annotated[dict[str, Any], BeforeValidator(_restored), PlainSerializer(lambda value: plain(value, "manifest"))]
Numbers = Annotated[
    dict[str, float], BeforeValidator(_restored), PlainSerializer(lambda value: plain(value, "manifest"))
]
FileName = Annotated[str, AfterValidator(_inside)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Model):
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class DenseEntry(_Model):
    """A numpy array in one `.npy` file."""

    type: Literal["dense"] = "dense"
    dtype: str
    shape: tuple[int, ...]
    file: FileName


class SparseEntry(_Model):
    """A CSR matrix in three `.npy` files, its indices sorted within rows; `canonical`: without duplicates."""

    type: Literal["csr"] = "csr"
    dtype: str
    shape: tuple[int, int]
    canonical: bool
    data: FileName
    indices: FileName
    indptr: FileName


class IdsEntry(_Model):
    """An id map as an Arrow IPC file with the columns `id` and `order`."""

    type: Literal["int64", "string"]
    count: int = Field(ge=0)
    file: FileName


class Content(_Model):
    """One artifact: the bundle's own, or a part of it."""

    kind: str
    params: Json
    signature: Signature
    arrays: dict[str, Annotated[DenseEntry | SparseEntry, Field(discriminator="type")]] = {}
    ids: dict[str, IdsEntry] = {}
    parts: dict[str, Content] = {}


class Manifest(Content):
    """What a bundle is: see the fields of Content for the model, and `files` for every file with its checksum.

    metrics: name to number. lineage: whatever JSON tells where the model came from (`fingerprint` is the data's).
    """

    format: int
    palate: str
    created: datetime
    metrics: Numbers = {}
    lineage: Json = {}
    files: dict[FileName, FileEntry]

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the data it was trained on, if the lineage says."""
        found = self.lineage.get("fingerprint")
        return None if found is None else str(found)

    @property
    def size(self) -> int:
        """Bytes of all files but the manifest."""
        return sum(entry.size for entry in self.files.values())

    def encoded(self) -> bytes:
        """The manifest as the bytes of `manifest.json`."""
        return (json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def checksum_line(manifest: bytes) -> bytes:
    """What `manifest.sha256` holds."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()


def read_manifest(path: str | Path) -> Manifest:
    """The manifest of the bundle at `path`, its own checksum verified; the other files are not looked at.

    Raises BundleError if there is no bundle, BundleDamagedError if the manifest is damaged, BundleFormatError if it
    is of a newer format.
    """
    return parse_manifest(*manifest_bytes(path))


def manifest_bytes(path: str | Path) -> tuple[Path, bytes]:
    """The bundle's directory and its manifest's bytes, checked against `manifest.sha256`."""
    root = Path(path)
    file = root / MANIFEST
    if not _is_directory(root):
        raise BundleError("there is no bundle here.", where=str(root)[:200], hint="A bundle is a directory.")
    try:
        if file.stat().st_size > MAX_MANIFEST:
            raise BundleDamagedError(f"{MANIFEST} is larger than {MAX_MANIFEST >> 20} MB.", where=str(file))
        raw = file.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"there is no {MANIFEST}: this is not a bundle.", where=str(root)) from None
    except OSError as error:
        raise BundleError(f"{MANIFEST} cannot be read: {error.strerror}.", where=str(file)) from error
    try:
        said = (root / CHECKSUM).read_bytes()
    except OSError as error:
        raise BundleDamagedError(f"{CHECKSUM} is missing ({error.strerror}).", where=str(root)) from None
    if said != checksum_line(raw):
        raise BundleDamagedError(f"{MANIFEST} differs from the checksum in {CHECKSUM}.", where=str(file))
    return root, raw


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long for any file
        return False


def parse_manifest(root: Path, raw: bytes) -> Manifest:
    where = str(root / MANIFEST)
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BundleDamagedError(f"it is not JSON ({error}).", where=where) from None
    version = document.get("format") if isinstance(document, dict) else None
    if not isinstance(version, int) or version < 1:
        raise BundleFormatError("it does not say its format version.", where=where)
    if version > FORMAT:
        raise BundleFormatError(
            f"format {version} is newer than this Palate reads ({FORMAT}).", where=where, hint="Upgrade Palate."
        )
    try:
        return Manifest.model_validate(document)
    except (ValidationError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "nested too deeply"}
        place = ".".join(str(part) for part in first["loc"])
        raise BundleDamagedError(f"{place or 'it'}: {first['msg']}.", where=where) from None
