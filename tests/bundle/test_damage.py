"""Any damage to any file is noticed, and said with the file's name."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palate.bundle import load_bundle, read_manifest, verify_bundle, write_bundle
from palate.bundle.manifest import checksum_line
from palate.errors import BundleDamagedError, BundleError, BundleFormatError

FILES = [
    "manifest.json",
    "manifest.sha256",
    "arrays/factors.npy",
    "arrays/seen.data.npy",
    "arrays/seen.indices.npy",
    "arrays/seen.indptr.npy",
    "ids/items.arrow",
    "ids/users.arrow",
    "parts/part/arrays/w.npy",
    "parts/part/ids/labels.arrow",
    "parts/part/parts/inner/arrays/w.npy",
]


@pytest.fixture
def bundle(tmp_path: Path, filled: Any) -> Path:
    write_bundle(filled, tmp_path / "bundle")
    return tmp_path / "bundle"


def reseal(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the manifest and makes its checksum fit, as somebody with intent would."""
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    change(manifest)
    raw = json.dumps(manifest).encode()
    (bundle / "manifest.json").write_bytes(raw)
    (bundle / "manifest.sha256").write_bytes(checksum_line(raw))


def rewrite(bundle: Path, name: str, array: np.ndarray) -> None:
    """Replaces an array and makes all checksums fit."""
    np.save(bundle / name, array)
    raw = (bundle / name).read_bytes()
    entry = {"sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw)}
    reseal(bundle, lambda manifest: manifest["files"].__setitem__(name, entry))


def test_the_list_above_is_complete(bundle: Path) -> None:
    assert sorted(p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_byte_is_noticed(bundle: Path, name: str) -> None:
    file = bundle / name
    raw = file.read_bytes()
    places = range(len(raw)) if len(raw) <= 1000 else [*range(0, len(raw), 17), len(raw) - 1]
    for place in places:
        file.write_bytes(raw[:place] + bytes([raw[place] ^ (1 << place % 8)]) + raw[place + 1 :])
        with pytest.raises(BundleDamagedError, match=r"manifest|" + Path(name).name):
            verify_bundle(bundle)
    file.write_bytes(raw)
    verify_bundle(bundle)


@pytest.mark.parametrize("name", FILES)
def test_every_truncation_is_noticed(bundle: Path, name: str) -> None:
    file = bundle / name
    raw = file.read_bytes()
    for size in {0, 1, len(raw) // 2, len(raw) - 1}:
        file.write_bytes(raw[:size])
        with pytest.raises(BundleDamagedError):
            verify_bundle(bundle)
        with pytest.raises(BundleDamagedError):
            load_bundle(bundle)
    file.write_bytes(raw + b"\0")
    with pytest.raises(BundleDamagedError):
        verify_bundle(bundle)


@pytest.mark.parametrize("name", FILES)
def test_every_missing_file_is_noticed(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=Path(name).name):
        verify_bundle(bundle)
    with pytest.raises(BundleError, match=Path(name).name):
        load_bundle(bundle, verify="never")


def test_foreign_files_and_links_are_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "arrays" / "extra.npy").write_bytes(b"x")
    with pytest.raises(BundleDamagedError, match=r"extra\.npy: the file does not belong"):
        verify_bundle(bundle)
    (bundle / "arrays" / "extra.npy").unlink()
    target = tmp_path / "elsewhere.npy"
    shutil.move(bundle / "arrays" / "factors.npy", target)
    (bundle / "arrays" / "factors.npy").symlink_to(target)
    with pytest.raises(BundleDamagedError, match="a link"):
        verify_bundle(bundle)


@pytest.mark.parametrize(
    "name", ["../outside.npy", "/etc/passwd", "a/../../b", "a\\b", "./a", "a//b", "", ".hidden", "a/"]
)
def test_a_file_name_that_leads_out_is_refused(bundle: Path, name: str) -> None:
    reseal(bundle, lambda manifest: manifest["arrays"]["factors"].__setitem__("file", name))
    with pytest.raises(BundleDamagedError, match="leads out of the bundle"):
        read_manifest(bundle)
    with pytest.raises(BundleDamagedError):
        load_bundle(bundle, verify="never")


def test_a_name_in_the_list_of_files_that_leads_out_is_refused(bundle: Path) -> None:
    reseal(bundle, lambda manifest: manifest["files"].__setitem__("../x", {"sha256": "0" * 64, "size": 1}))
    with pytest.raises(BundleDamagedError, match="leads out of the bundle"):
        read_manifest(bundle)


@pytest.mark.parametrize("version", [2, 99])
def test_a_newer_format_says_so(bundle: Path, version: int) -> None:
    reseal(bundle, lambda manifest: manifest.update(format=version, new_field={}))
    with pytest.raises(BundleFormatError, match=f"format {version} is newer.*Upgrade"):
        load_bundle(bundle)


@pytest.mark.parametrize("version", [None, "1", 0, -1, 1.5])
def test_a_format_that_is_no_number_is_refused(bundle: Path, version: Any) -> None:
    reseal(bundle, lambda manifest: manifest.update(format=version))
    with pytest.raises(BundleFormatError):
        read_manifest(bundle)


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{}", b"\xff\xfe", b"{" * 10, b"[" * 100_000, b'{"format": 1}'])
def test_a_manifest_that_is_not_one_is_refused(bundle: Path, raw: bytes) -> None:
    (bundle / "manifest.json").write_bytes(raw)
    (bundle / "manifest.sha256").write_bytes(checksum_line(raw))
    with pytest.raises(BundleError):
        verify_bundle(bundle)


def test_a_huge_manifest_is_not_read(bundle: Path) -> None:
    with open(bundle / "manifest.json", "ab") as file:
        file.truncate(65 << 20)
    with pytest.raises(BundleDamagedError, match="larger than 64 MB"):
        read_manifest(bundle)


def test_an_index_that_points_outside_is_refused(bundle: Path) -> None:
    name = "arrays/seen.indices.npy"
    indices = np.load(bundle / name)
    indices[-1] = 10_000
    rewrite(bundle, name, indices)
    with pytest.raises(BundleDamagedError, match="malformed"):
        load_bundle(bundle)


@pytest.mark.parametrize("array", [np.array([0, 1], np.int32), np.zeros(13, np.int32), np.zeros((2, 2), np.int32)])
def test_row_pointers_that_do_not_fit_are_refused(bundle: Path, array: np.ndarray) -> None:
    rewrite(bundle, "arrays/seen.indptr.npy", array)
    with pytest.raises(BundleDamagedError, match="malformed"):
        load_bundle(bundle)


def test_another_shape_than_the_manifest_says_is_refused(bundle: Path) -> None:
    rewrite(bundle, "arrays/factors.npy", np.zeros((2, 2), np.float32))
    with pytest.raises(BundleDamagedError, match="instead of"):
        load_bundle(bundle)


def test_a_pickle_is_not_opened(bundle: Path) -> None:
    np.save(bundle / "arrays" / "factors.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BundleDamagedError, match="not a numpy array"):
        load_bundle(bundle, verify="never")
