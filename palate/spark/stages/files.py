"""Bundles through Hadoop's FileSystem, so that a stage is saved to and loaded from any URI Spark knows."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from palate.bundle import load_bundle, write_bundle
from palate.errors import BundleDamagedError, ConflictError
from palate.models.protocol import Artifact


def exists(spark: SparkSession, uri: str) -> bool:
    """Whether there is something at `uri`."""
    fs, path, _ = _file_system(spark, uri)
    return bool(fs.exists(path))


def require_free(spark: SparkSession, uri: str) -> None:
    """Raises ConflictError if there is something at `uri`."""
    if exists(spark, uri):
        raise ConflictError(
            "there is something here already.", where=uri, hint="Replace it with stage.write().overwrite().save(path)."
        )


def store_bundle(spark: SparkSession, artifact: Artifact, uri: str) -> None:
    """Writes the artifact as a bundle at `uri`, which must be free."""
    fs, to, new_path = _file_system(spark, uri)
    local = _local(fs, to)
    if local is not None:  # no copy, and none of the .crc files that Hadoop puts beside local ones
        write_bundle(artifact, local)
        return
    with tempfile.TemporaryDirectory(prefix="palate-bundle-") as folder:
        bundle = Path(folder) / "bundle"
        write_bundle(artifact, bundle)
        fs.mkdirs(to.getParent())
        fs.copyFromLocalFile(False, False, new_path(bundle.as_uri()), to)


def fetch_bundle(spark: SparkSession, uri: str) -> Artifact:
    """The artifact of the bundle at `uri`, checked and mapped into memory.

    A copy of a remote one lives in a temporary folder for as long as the artifact does. Raises BundleDamagedError,
    BundleFormatError.
    """
    fs, source, new_path = _file_system(spark, uri)
    if not fs.exists(source):
        raise BundleDamagedError("there is no bundle beside the stage's metadata.", where=uri)
    local = _local(fs, source)
    if local is not None:
        return load_bundle(local)
    folder = Path(tempfile.mkdtemp(prefix="palate-bundle-"))
    try:
        fs.copyToLocalFile(False, source, new_path((folder / "bundle").as_uri()), True)
        artifact = load_bundle(folder / "bundle")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(artifact, shutil.rmtree, folder, ignore_errors=True)
    return artifact


def _file_system(spark: SparkSession, uri: str) -> tuple[Any, Any, Any]:
    """The FileSystem of a URI, its Path there, and what makes more Paths."""
    new_path: Any = spark.sparkContext._jvm.org.apache.hadoop.fs.Path  # type: ignore[union-attr]
    path = new_path(uri)
    return path.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf()), path, new_path


def _local(fs: Any, path: Any) -> Path | None:
    """The path on this machine's disk, if that is what the FileSystem is."""
    return Path(fs.makeQualified(path).toUri().getPath()) if fs.getUri().getScheme() == "file" else None
