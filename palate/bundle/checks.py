"""Is this bundle what was written? Every checksum, nothing missing, nothing added, every array well-formed.

`once` remembers in the user's cache that a bundle was found whole on this machine: a bundle is known again by its
path, its manifest's checksum, and the inode, size and time of each file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from palate.bundle.arrays import open_array, open_ids
from palate.bundle.manifest import (
    CHECKSUM,
    MANIFEST,
    Content,
    FileEntry,
    Manifest,
    SparseEntry,
    manifest_bytes,
    parse_manifest,
)
from palate.errors import BundleDamagedError
from palate.settings import Settings


def verify_bundle(path: str | Path) -> Manifest:
    """Reads every byte of the bundle; its manifest, if all is as it was written.

    Raises BundleDamagedError naming the first file that is missing, truncated, changed or foreign, and what differs;
    BundleError and BundleFormatError as `read_manifest`.
    """
    root, raw = manifest_bytes(path)
    manifest = parse_manifest(root, raw)
    _compare_names(root, manifest)
    for name, entry in manifest.files.items():
        _compare_file(root, name, entry)
    _check_content(root, manifest)
    return manifest


def verified_once(path: str | Path, cache: Path | None = None) -> Manifest:
    """As `verify_bundle`, but only the manifest is read if this machine has verified these very files before."""
    root, raw = manifest_bytes(path)
    manifest = parse_manifest(root, raw)
    record = _record(root, raw, manifest, cache)
    if record is not None and record.exists():
        return manifest
    manifest = verify_bundle(root)
    if record is not None:
        try:
            record.parent.mkdir(parents=True, exist_ok=True)
            record.touch()
        except OSError:  # a read-only home: verified each time instead
            pass
    return manifest


def _record(root: Path, raw: bytes, manifest: Manifest, cache: Path | None) -> Path | None:
    """The file whose presence says "verified"; None where there is no cache or a file is missing."""
    try:
        folder = cache if cache is not None else Settings.read().cache / "verified"
        digest = hashlib.sha256(raw)
        for name in ["", *sorted(manifest.files)]:
            found = os.stat(root / name)
            changes = (found.st_mtime_ns, found.st_ctime_ns, found.st_size) if name else ()
            digest.update(repr((os.path.realpath(root / name), found.st_dev, found.st_ino, *changes)).encode())
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return None
    return folder / digest.hexdigest()


def _compare_names(root: Path, manifest: Manifest) -> None:
    found = set(_files(root)) - {MANIFEST, CHECKSUM}
    missing, foreign = sorted(set(manifest.files) - found), sorted(found - set(manifest.files))
    if missing:
        raise BundleDamagedError("the file is missing.", where=str(root / missing[0]))
    if foreign:
        raise BundleDamagedError("the file does not belong to this bundle.", where=str(root / foreign[0]))


def _files(root: Path) -> Iterator[str]:
    for folder, subfolders, names in os.walk(root):
        for name in [*subfolders, *names]:
            path = Path(folder) / name
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                yield path.relative_to(root).as_posix()
            elif not stat.S_ISDIR(mode):
                raise BundleDamagedError("it is a link or a device, not a plain file.", where=str(path))


def _compare_file(root: Path, name: str, entry: FileEntry) -> None:
    path = root / name
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != entry.size:
                raise BundleDamagedError(f"the file has {size} bytes instead of {entry.size}.", where=str(path))
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleDamagedError(f"the file cannot be read: {error.strerror}.", where=str(path)) from error
    if found != entry.sha256:
        raise BundleDamagedError(
            f"its content was changed: sha256 {found[:12]}... instead of {entry.sha256[:12]}....", where=str(path)
        )


def _check_content(root: Path, content: Content) -> None:
    """That arrays are what the manifest says, and that no index points outside: native code trusts them."""
    for name, entry in content.arrays.items():
        array = open_array(root, entry)
        if isinstance(entry, SparseEntry):
            try:
                array.check_format(full_check=True)
            except ValueError as error:
                raise BundleDamagedError(f"the matrix {name!r} is malformed: {error}.", where=str(root)) from None
    for name, ids in content.ids.items():
        opened = open_ids(root, ids, full=True)
        if not np.array_equal(np.sort(opened.order), np.arange(len(opened))):
            raise BundleDamagedError(f"the order of the ids {name!r} is not a permutation.", where=str(root))
    for part in content.parts.values():
        _check_content(root, part)
