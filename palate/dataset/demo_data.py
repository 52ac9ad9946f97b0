"""Where the demo's data comes from: a folder that was given, else MovieLens downloaded once, else generated."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import stat
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from palate.dataset.generate import generate_dataset, write_dataset
from palate.dataset.readers import guess_format
from palate.errors import InputError, PalateError

URL = "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip"
SHA256 = "696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436"
_LARGEST = 64 << 20
"""Bytes, of the archive and of what is in it: the real one has 1 MB, and 3 MB unpacked."""


class _DownloadFailed(PalateError):
    """Why the real data could not be had; the demo goes on with generated data."""


def demo_folder(
    data: Path | None,
    cache: Path,
    notify: Callable[[str], None],
    *,
    url: str = URL,
    sha256: str = SHA256,
    timeout: float = 10.0,
) -> Path:
    """A folder that `read_dataset` reads.

    data: a folder of one's own, used as it is. Without, ml-latest-small from `cache`, where it is downloaded to once;
    and if that fails, a generated data set, also in the cache, with a line to `notify` that says so and why.
    timeout: seconds without an answer; a download that takes six times as long is given up too.
    Raises InputError if `data` is not a folder of a known format.
    """
    if data is not None:
        return _given(Path(data))
    real = cache / "ml-latest-small"
    if (real / "ratings.csv").is_file() and (real / "movies.csv").is_file():
        return real
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the cache can't be made: {error.strerror}.", where=str(cache)) from None
    notify(f"Downloading MovieLens (ml-latest-small, 1 MB) to {cache} ...")
    try:
        return _download(url, sha256, cache, timeout)
    except _DownloadFailed as error:
        notify(f"MovieLens could not be downloaded ({error.message}). The demo goes on with generated data instead.")
    return _generated(cache)


def _given(folder: Path) -> Path:
    if not folder.exists():
        raise InputError("there is no such folder.", where=str(folder), hint="Give DATA=FOLDER, or leave it out.")
    if not folder.is_dir():
        raise InputError("is a file; a folder is expected.", where=str(folder), hint=f"Give {folder.parent}.")
    guess_format(folder)
    return folder


def _generated(cache: Path) -> Path:
    folder = cache / "generated"
    if not all((folder / f"{name}.parquet").is_file() for name in ("interactions", "items", "users")):
        write_dataset(generate_dataset(), folder)
    return folder


def _download(url: str, sha256: str, cache: Path, timeout: float) -> Path:
    """Fetches, checks and unpacks into a folder beside the final one, then renames it: never half a data set."""
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as folder:
        work = Path(folder)
        archive = work / "archive.zip"
        found = _fetch(url, archive, timeout)
        if found != sha256:
            raise _DownloadFailed(f"the file's hash is {found[:12]}..., {sha256[:12]}... is expected")
        try:
            unpacked = _unpack(archive, work / "unpacked")
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
            raise _DownloadFailed(f"the archive can't be unpacked: {error}") from None
        final = cache / "ml-latest-small"
        if final.exists():
            shutil.rmtree(final, ignore_errors=True)  # it lacks a file, or it would have been used
        try:
            unpacked.rename(final)
        except OSError as error:
            if not (final / "ratings.csv").is_file():  # another demo was faster otherwise
                raise _DownloadFailed(str(error.strerror)) from None
        return final


def _fetch(url: str, path: Path, timeout: float) -> str:
    """Saves what the URL answers; gives its sha256."""
    digest, size, deadline = hashlib.sha256(), 0, time.monotonic() + 6 * timeout
    try:
        # The address is a constant of this module, or a caller's own; not something from the data.
        with urllib.request.urlopen(url, timeout=timeout) as answer, path.open("wb") as file:  # noqa: S310
            while chunk := answer.read(1 << 16):
                size += len(chunk)
                if size > _LARGEST:
                    raise _DownloadFailed(f"it is larger than {_LARGEST >> 20} MB")
                if time.monotonic() > deadline:
                    raise _DownloadFailed("it is too slow")
                digest.update(chunk)
                file.write(chunk)
            expected = answer.headers.get("Content-Length", "")
            if expected.isdigit() and int(expected) != size:
                raise _DownloadFailed(f"it broke off after {size} of {expected} bytes")
    except urllib.error.HTTPError as error:
        error.close()
        raise _DownloadFailed(f"the server answered {error.code}") from None
    except (urllib.error.URLError, OSError, ValueError, http.client.HTTPException) as error:
        raise _DownloadFailed(str(getattr(error, "reason", None) or error or type(error).__name__)) from None
    return digest.hexdigest()


def _unpack(archive: Path, target: Path) -> Path:
    """Unpacks plain files, none of them outside `target`; gives the folder that holds the ratings."""
    with zipfile.ZipFile(archive) as zipped:
        members = [member for member in zipped.infolist() if not member.is_dir()]
        if sum(member.file_size for member in members) > _LARGEST:
            raise _DownloadFailed(f"unpacked it is larger than {_LARGEST >> 20} MB")
        for member in members:
            name = PurePosixPath(member.filename)
            if name.is_absolute() or ".." in name.parts or "\\" in member.filename:
                raise _DownloadFailed(f"the archive holds the path {member.filename!r}")
            if stat.S_ISLNK(member.external_attr >> 16):
                raise _DownloadFailed(f"the archive holds a link, {member.filename!r}")
            path = target.joinpath(*name.parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            with zipped.open(member) as source, path.open("wb") as file:
                shutil.copyfileobj(source, file)
                file.flush()
                os.fsync(file.fileno())
    ratings = next(iter(sorted(target.rglob("ratings.csv"))), None)
    if ratings is None or not (ratings.parent / "movies.csv").is_file():
        raise _DownloadFailed("the archive holds no ratings.csv and movies.csv")
    return ratings.parent
