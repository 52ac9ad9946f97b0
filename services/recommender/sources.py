"""Where the served model comes from: a bundle, a folder of bundles with a pointer, or an alias in the registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from palate.bundle import current_bundle, load_bundle, read_manifest
from palate.errors import BundleError
from services.recommender.served import Release, release

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Pointer:
    """Which bundle is meant now. `stamp` differs when another bundle lies at the same path."""

    version: str
    path: Path
    stamp: tuple[int, int]


class Source(Protocol):
    def pointer(self) -> Pointer:
        """Which bundle to serve; cheap, asked every second or so. Raises BundleError or RegistryError."""
        ...


@dataclass(frozen=True)
class BundleSource:
    """A bundle's directory, or a folder of bundles of which one is current."""

    path: Path

    def pointer(self) -> Pointer:
        found = self.path if (self.path / _MANIFEST).is_file() else current_bundle(self.path)
        return pointer_to(found.name, found)


@dataclass(frozen=True)
class RegistrySource:
    """The version of a registered model that carries an alias.

    resolve: `(name, alias)` to `(version, path)`, as `palate.tracking.Tracker.resolve`.
    """

    resolve: Callable[[str, str], tuple[str, Path]]
    name: str
    alias: str = "champion"

    def pointer(self) -> Pointer:
        version, path = self.resolve(self.name, self.alias)
        return pointer_to(f"{self.name}/{version}", Path(path))


def pointer_to(version: str, path: Path) -> Pointer:
    try:
        stat = (path / _MANIFEST).stat()
    except OSError as error:
        raise BundleError(f"there is no bundle here ({error.strerror}).", where=str(path)) from error
    return Pointer(version, path, (stat.st_ino, stat.st_mtime_ns))


def load(pointer: Pointer, cache: Path | None = None) -> Release:
    """The model a pointer means, checked and mapped. Raises BundleError saying what is wrong with it."""
    manifest = read_manifest(pointer.path)
    return release(
        pointer.version,
        load_bundle(pointer.path, cache=cache),
        metrics=manifest.metrics,
        trained=manifest.created.isoformat(),
        fingerprint=manifest.fingerprint,
    )
