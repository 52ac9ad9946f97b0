"""A folder of bundles: numbered versions that never change, and a small pointer file that says which is current.

ROOT/000001/   a bundle
ROOT/000002/   another
ROOT/current   "000002"
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palate.bundle.files import directory_beside, replace_durably
from palate.bundle.manifest import MANIFEST, read_manifest
from palate.bundle.writer import claim, fill
from palate.errors import BundleDamagedError, BundleError
from palate.models.protocol import Artifact

CURRENT = "current"
_VERSION = re.compile(r"[0-9]{6,}")


def bundle_versions(root: str | Path) -> list[str]:
    """The versions under `root`, oldest first; what killed writers left behind is not among them."""
    folder = Path(root)
    if not folder.is_dir():
        return []
    found = [path.name for path in folder.iterdir() if _VERSION.fullmatch(path.name) and (path / MANIFEST).is_file()]
    return sorted(found, key=int)


def publish_bundle(
    artifact: Artifact,
    root: str | Path,
    *,
    metrics: Mapping[str, float] | None = None,
    lineage: Mapping[str, Any] | None = None,
) -> Path:
    """Writes the artifact as the next version under `root`, and returns that version's directory.

    Any number of processes may publish at once; each gets a version of its own. Does not change which is current.
    Raises BundleError as `write_bundle`.
    """
    folder = Path(root)
    with directory_beside(folder) as beside:
        fill(beside, artifact, metrics, lineage)
        taken = [int(path.name) for path in folder.iterdir() if _VERSION.fullmatch(path.name)]
        number = max(taken, default=0) + 1
        while not claim(beside, folder / f"{number:06d}"):
            number += 1
        return folder / f"{number:06d}"


def set_current(root: str | Path, version: str | int | Path) -> Path:
    """Makes a version the current one, atomically; returns its directory.

    `version` is a number, its name, or the path that `publish_bundle` gave. Raises BundleError if `root` lacks it.
    """
    name = f"{version:06d}" if isinstance(version, int) else Path(version).name
    known = bundle_versions(root)
    if name not in known:
        hint = f"It has: {', '.join(known[-10:])}." if known else "It has none yet."
        raise BundleError(f"there is no version {name!r}.", where=str(root), hint=hint)
    target = Path(root) / name
    read_manifest(target)
    try:
        replace_durably(Path(root) / CURRENT, f"{name}\n".encode())
    except OSError as error:
        raise BundleError(f"the pointer cannot be written: {error.strerror}.", where=str(root)) from error
    return target


def current_bundle(root: str | Path) -> Path:
    """The directory of the current version.

    Raises BundleError if there is no such folder or none was set, BundleDamagedError if it is gone.
    """
    pointer = Path(root) / CURRENT
    try:
        name = pointer.read_text("ascii").strip()
    except FileNotFoundError:
        if not Path(root).is_dir():
            raise BundleError("there is no bundle here.", where=str(root), hint="A bundle is a directory.") from None
        raise BundleError(
            "no version is current.", where=str(root), hint="Publish a bundle and call set_current."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BundleDamagedError(f"the pointer cannot be read ({error}).", where=str(pointer)) from None
    if not _VERSION.fullmatch(name) or not (Path(root) / name / MANIFEST).is_file():
        raise BundleDamagedError(f"it points to {name[:80]!r}, which is not a version here.", where=str(pointer))
    return Path(root) / name
