"""What a bare cluster needs to run Palate: the packages of this environment, as files that spark-submit ships.

The archive holds the very files that are installed here, so that driver and executors cannot differ, and nothing is
downloaded. It is a folder for PYTHONPATH: the cluster's machines bring the interpreter (same minor version), the
archive everything else, bytecode too, so that no executor compiles what it imports, and the machine code of those loops
that were compiled here. pyspark is left out, since a cluster has its own, and so is what only compilers and test suites
read.
"""

from __future__ import annotations

import platform
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from importlib.util import cache_from_source
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from palate.errors import MissingDependencyError
from palate.files import written_whole

ARCHIVES = {"gzip": "palate-environment.tar.gz", "none": "palate-environment.tar"}
"""By how they are compressed."""
PACKAGE = "palate.zip"
LEFT_OUT = frozenset({"palate", "pyspark", "py4j"})
"""Palate itself is added from its folder, which an editable installation keeps elsewhere."""
SOURCES = frozenset({".a", ".c", ".cc", ".cmake", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".pxd", ".pxi", ".pyx"})
"""Read by compilers and linkers alone."""


def required(extras: Iterable[str]) -> list[metadata.Distribution]:
    """The installed distributions that palate with these extras needs, in alphabetical order, without LEFT_OUT.

    Raises MissingDependencyError for one that is not installed.
    """
    found = needed(tuple(extras))
    return [found[name] for name in sorted(found) if name not in LEFT_OUT]


def needed(extras: Iterable[str]) -> dict[str, metadata.Distribution]:
    """All that pip installs for palate with these extras, itself among it, by normalized name. Raises likewise."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [("palate", frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise MissingDependencyError(
                f"{name} is not installed here.", hint=f"Install it: pip install 'palate[{','.join(extras)}]'."
            ) from None
        found[name] = distribution
        waiting += _needs(distribution, wanted)
    return found


def _needs(distribution: metadata.Distribution, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    from packaging.requirements import Requirement

    for line in distribution.requires or []:
        needed = Requirement(line)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in (extras or {""})):
            yield re.sub(r"[-_.]+", "-", needed.name).lower(), frozenset(needed.extras)


def files_of(distribution: metadata.Distribution) -> Iterator[tuple[Path, str]]:
    """(file on disk, its name below a folder on PYTHONPATH) of what a program can come to use of a distribution; for
    Python's files, their bytecode too where pip left it, which stays valid as long as their times are kept."""
    for file in distribution.files or []:
        if ".." in file.parts or "__pycache__" in file.parts or file.is_absolute() or not is_used(file):
            continue
        path = Path(str(distribution.locate_file(file)))
        if not path.is_file():
            continue
        yield path, file.as_posix()
        if file.suffix == ".py" and (compiled := Path(cache_from_source(str(path)))).is_file():
            yield compiled, cache_from_source(file.as_posix())


def is_used(file: PurePosixPath) -> bool:
    """Whether a program can come to use the file, by its name below a folder on PYTHONPATH; not what a compiler or a
    test suite reads."""
    if {"test", "tests"}.intersection(file.parts[:-1]):  # numpy.testing imports a helper from numpy's tests
        return file.suffix == ".py" and not file.name.startswith("test_")
    if file.parts[:2] == ("torch", "bin"):  # tests and protoc; without the third torch is not imported
        return file.name == "torch_shm_manager"
    return file.suffix not in SOURCES


def own_files() -> Iterator[tuple[Path, str]]:
    """The same of the package palate itself."""
    root = Path(__file__).parent
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path, path.relative_to(root.parent).as_posix()


def own_machine_code() -> Iterator[tuple[Path, str]]:
    """What Python and numba have compiled of the package palate on this machine, for machines of its kind."""
    root = Path(__file__).parent
    for path in sorted(root.rglob("__pycache__/*")):
        if path.suffix in (".nbi", ".nbc") or path.name.endswith(f".{sys.implementation.cache_tag}.pyc"):
            yield path, path.relative_to(root.parent).as_posix()


def write_package(folder: Path) -> Path:
    """`palate.zip` for --py-files: palate alone, for clusters that have its dependencies."""
    path = folder / PACKAGE
    with written_whole(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for source, name in own_files():
            archive.write(source, name)
    return path


def write_environment(folder: Path, extras: Iterable[str], *, compress: str = "gzip") -> Path:
    """The archive for --archives: palate and all that it needs with these extras. compress: a key of ARCHIVES."""
    path = folder / ARCHIVES[compress]
    distributions = required(tuple(extras))
    with written_whole(path) as file, _opened(file, compress) as archive:
        for source, name in (*own_files(), *own_machine_code()):
            archive.add(source, name, recursive=False, filter=_whole_seconds)
        for distribution in distributions:
            for source, name in files_of(distribution):
                archive.add(source, name, recursive=False, filter=_whole_seconds)
    return path


def _opened(file: BinaryIO, compress: str) -> tarfile.TarFile:
    if compress == "gzip":
        return tarfile.open(fileobj=file, mode="w:gz", compresslevel=1)
    return tarfile.open(fileobj=file, mode="w")


def _whole_seconds(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Bytecode asks for no more, and a fraction would take a header of its own."""
    entry.mtime = int(entry.mtime)
    return entry


def machine() -> str:
    """What the cluster's machines have to be, since the packages hold compiled code."""
    return f"Python {sys.version_info.major}.{sys.version_info.minor} on {platform.system()} {platform.machine()}"
