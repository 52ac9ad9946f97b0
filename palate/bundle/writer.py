"""Writing a bundle: beside its place, every byte on the disk, then renamed. There is no half-written bundle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from palate import __version__
from palate.bundle.files import HashingFile, directory_beside, sync_directory, sync_tree, write_durably
from palate.bundle.manifest import (
    CHECKSUM,
    FORMAT,
    MANIFEST,
    Content,
    DenseEntry,
    FileEntry,
    IdsEntry,
    Manifest,
    SparseEntry,
    checksum_line,
    plain,
    safe_name,
)
from palate.dataset.ids import IdMap
from palate.errors import BundleError, ConflictError
from palate.models.protocol import Array, Artifact


def write_bundle(
    artifact: Artifact,
    path: str | Path,
    *,
    metrics: Mapping[str, float] | None = None,
    lineage: Mapping[str, Any] | None = None,
) -> Manifest:
    """Writes the artifact to the new directory `path`.

    metrics: name to number (NaN is kept). lineage: JSON that says where the model came from; its `fingerprint` is
    the data's. Raises ConflictError if `path` is taken (a bundle is never changed), BundleError for what a bundle
    cannot hold (object arrays, parameters that are not JSON) or if the disk refuses.
    """
    target = require_free(path)
    with directory_beside(target.parent) as beside:
        manifest = fill(beside, artifact, metrics, lineage)
        if not claim(beside, target):
            raise ConflictError("another process has just written here.", where=str(target))
    return manifest


def require_free(path: str | Path) -> Path:
    """Where a bundle may be written, absolute. Raises ConflictError if it is taken, as `write_bundle` does: to be asked
    before long work."""
    target = Path(os.path.abspath(path))
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ConflictError("there is something here already, and a bundle is never changed.", where=str(target))
    return target


def claim(beside: Path, target: Path) -> bool:
    """Renames the finished directory to its place; False if the place is taken."""
    try:
        os.rename(beside, target)  # refuses a directory that holds anything
    except FileExistsError:
        return False
    except OSError:
        if target.exists():
            return False
        raise
    sync_directory(target.parent)
    return True


def fill(
    folder: Path, artifact: Artifact, metrics: Mapping[str, float] | None, lineage: Mapping[str, Any] | None
) -> Manifest:
    """Writes all files of a bundle into an empty folder."""
    files: dict[str, FileEntry] = {}
    content = _write_content(_Folder(folder, files), artifact, "")
    manifest = Manifest(
        **content.__dict__,
        format=FORMAT,
        palate=__version__,
        created=datetime.now(UTC),
        metrics=_numbers(metrics or {}),
        lineage=plain(lineage or {}, "lineage"),
        files=files,
    )
    raw = manifest.encoded()
    write_durably(folder / MANIFEST, lambda file: file.write(raw))
    write_durably(folder / CHECKSUM, lambda file: file.write(checksum_line(raw)))
    sync_tree(folder)
    return manifest


class _Folder:
    """Where files go, and the list of them."""

    def __init__(self, root: Path, files: dict[str, FileEntry]) -> None:
        self.root, self.files = root, files

    def array(self, name: str, array: npt.NDArray[Any]) -> str:
        def write(file: HashingFile) -> None:
            np.lib.format.write_array(file, array, allow_pickle=False)  # type: ignore[no-untyped-call]

        return self._add(name + ".npy", write_durably(self.root / (name + ".npy"), write))

    def ids(self, name: str, ids: IdMap) -> str:
        batch = pa.record_batch({"id": ids.ids, "order": pa.array(ids.order, pa.int32())})

        def write(file: HashingFile) -> None:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_file(sink, batch.schema) as writer:
                writer.write_batch(batch)
            file.write(sink.getvalue())

        return self._add(name + ".arrow", write_durably(self.root / (name + ".arrow"), write))

    def _add(self, name: str, written: HashingFile) -> str:
        self.files[name] = FileEntry(sha256=written.sha256, size=written.size)
        return name


def _write_content(folder: _Folder, artifact: Artifact, prefix: str) -> Content:
    held = artifact.to_arrays()
    where = f"{prefix or artifact.kind}"
    return Content(
        kind=artifact.kind,
        params=plain(held.params, f"{where}: params"),
        signature=artifact.signature(),
        arrays={
            name: _write_array(folder, f"{prefix}arrays/{safe_name(name, 'an array')}", array)
            for name, array in held.arrays.items()
        },
        ids={
            name: IdsEntry(
                type="int64" if ids.is_integer else "string",
                count=len(ids),
                file=folder.ids(f"{prefix}ids/{safe_name(name, 'an id table')}", ids),
            )
            for name, ids in held.ids.items()
        },
        parts={
            name: _write_content(folder, part, f"{prefix}parts/{safe_name(name, 'a part')}/")
            for name, part in held.parts.items()
        },
    )


def _write_array(folder: _Folder, name: str, array: Array) -> DenseEntry | SparseEntry:
    if sparse.issparse(array):
        matrix = sparse.csr_matrix(array)
        if not matrix.has_sorted_indices:  # sorted now: the loaded one is read-only
            matrix = matrix.sorted_indices()
        kind = np.int32 if max(*matrix.shape, matrix.nnz) <= np.iinfo(np.int32).max else np.int64
        _refuse_objects(name, matrix.data)
        return SparseEntry(
            dtype=matrix.dtype.str,
            shape=matrix.shape,
            canonical=bool(matrix.has_canonical_format),
            data=folder.array(f"{name}.data", matrix.data[: matrix.nnz]),
            indices=folder.array(f"{name}.indices", matrix.indices[: matrix.nnz].astype(kind, copy=False)),
            indptr=folder.array(f"{name}.indptr", matrix.indptr.astype(kind, copy=False)),
        )
    dense = np.asarray(array)
    _refuse_objects(name, dense)
    return DenseEntry(dtype=dense.dtype.str, shape=dense.shape, file=folder.array(name, dense))


def _refuse_objects(name: str, array: npt.NDArray[Any]) -> None:
    if array.dtype.hasobject or array.dtype.names is not None:
        raise BundleError(
            f"an array of {array.dtype} cannot be stored without pickle.",
            where=name,
            hint="Store numbers, or fixed-width strings.",
        )


def _numbers(metrics: Mapping[str, float]) -> dict[str, float]:
    for name, value in metrics.items():
        if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
            raise BundleError(f"the metric {name!r} must be a number, not {value!r:.80}.", where="metrics")
    return {name: float(value) for name, value in metrics.items()}
