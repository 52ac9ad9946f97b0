"""Opening the files of a bundle as arrays, matrices and id maps, without reading or copying them.

All processes that map the same file share its memory. What is mapped is read-only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from palate.bundle.manifest import DenseEntry, IdsEntry, SparseEntry
from palate.dataset.ids import IdMap, plain
from palate.errors import BundleDamagedError, SchemaError


def open_array(root: Path, entry: DenseEntry | SparseEntry) -> Any:
    """The array, memory-mapped and read-only. Raises BundleDamagedError if it is not what the entry says."""
    if isinstance(entry, DenseEntry):
        array = _map(root / entry.file)
        if array.dtype.str != entry.dtype or array.shape != entry.shape:
            raise BundleDamagedError(
                f"it holds {array.dtype.str} {array.shape} instead of {entry.dtype} {entry.shape}.",
                where=str(root / entry.file),
            )
        return array
    data, indices, indptr = (_map(root / name) for name in (entry.data, entry.indices, entry.indptr))
    if data.dtype.str != entry.dtype:
        raise BundleDamagedError(f"it holds {data.dtype.str} instead of {entry.dtype}.", where=str(root / entry.data))
    _refuse_pointers(root / entry.indptr, indptr, len(data), len(indices))
    try:
        matrix = sparse.csr_matrix((data, indices, indptr), shape=entry.shape, copy=False)
    except (ValueError, IndexError, TypeError) as error:
        raise BundleDamagedError(f"the matrix is malformed: {error}.", where=str(root / entry.indptr)) from None
    matrix.has_sorted_indices = True  # known from writing; asking would read all of it, sorting in place would fail
    matrix.has_canonical_format = entry.canonical
    return matrix


def _refuse_pointers(path: Path, indptr: npt.NDArray[Any], n_data: int, n_indices: int) -> None:
    """scipy would cut off what lies behind the last pointer without a word."""
    ends = indptr[-1] if indptr.ndim == 1 and len(indptr) else -1
    if not ends == n_data == n_indices:
        raise BundleDamagedError(
            f"the matrix is malformed: {ends} values by its row pointers, {n_data} stored.", where=str(path)
        )


def _map(path: Path) -> npt.NDArray[Any]:
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise BundleDamagedError("the file is missing.", where=str(path)) from None
    except (ValueError, OSError, EOFError) as error:
        raise BundleDamagedError(f"it is not a numpy array ({error}).", where=str(path)) from None
    if not isinstance(mapped, np.ndarray):
        raise BundleDamagedError("it is not a numpy array.", where=str(path))
    return mapped.view(np.ndarray)


def open_ids(root: Path, entry: IdsEntry, *, full: bool = False) -> IdMap:
    """The id map, memory-mapped. `full` checks every offset and character too."""
    path = root / entry.file
    try:
        with pa.ipc.open_file(pa.memory_map(str(path), "r")) as reader:
            batch = reader.get_batch(0)
        batch.validate(full=full)
        ids, order = batch.column("id"), batch.column("order")
        if len(ids) != entry.count or order.type != pa.int32() or order.null_count:
            raise BundleDamagedError(f"it holds {len(ids)} ids instead of {entry.count}.", where=str(path))
        opened = IdMap(ids, plain(order, np.int32))
    except FileNotFoundError:
        raise BundleDamagedError("the file is missing.", where=str(path)) from None
    except (pa.ArrowException, OSError, KeyError, IndexError, SchemaError) as error:
        raise BundleDamagedError(f"it is not an id table ({error}).", where=str(path)) from None
    if opened.is_integer != (entry.type == "int64"):
        raise BundleDamagedError(f"the ids are not of type {entry.type}.", where=str(path))
    return opened
