"""Versions under a root: published whole or not at all, by any number of processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from palate.bundle import bundle_versions, current_bundle, load_bundle, publish_bundle, set_current, verify_bundle
from palate.errors import BundleDamagedError, BundleError

_PUBLISH = """
import sys
from palate.bundle import publish_bundle
from palate.models.kmeans import KMeans
for _ in range(5):
    publish_bundle(KMeans([[float(sys.argv[2])]]), sys.argv[1])
"""


def test_two_processes_publish_at_once(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", _PUBLISH, tmp_path, str(n)]) for n in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert bundle_versions(tmp_path) == [f"{n:06d}" for n in range(1, 11)]
    for version in bundle_versions(tmp_path):
        verify_bundle(tmp_path / version)
    values = [
        load_bundle(tmp_path / version).to_arrays().arrays["centers"][0, 0] for version in bundle_versions(tmp_path)
    ]
    assert sorted(values) == [0.0] * 5 + [1.0] * 5
    assert [path.name for path in tmp_path.iterdir() if not path.name.isdigit()] == []


def test_current_moves(tmp_path: Path, filled: Any) -> None:
    with pytest.raises(BundleError, match="there is no bundle here"):
        current_bundle(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="no version is current"):
        current_bundle(tmp_path)
    first, second = publish_bundle(filled, tmp_path), publish_bundle(filled, tmp_path)
    with pytest.raises(BundleError, match="no version is current"):
        current_bundle(tmp_path)
    assert set_current(tmp_path, first) == first
    assert current_bundle(tmp_path) == first
    set_current(tmp_path, 2)
    assert current_bundle(tmp_path) == second
    set_current(tmp_path, "000001")
    assert current_bundle(tmp_path) == first


@pytest.mark.parametrize("version", ["000009", 9, "../000001x", "", "current"])
def test_an_unknown_version_cannot_be_current(tmp_path: Path, filled: Any, version: Any) -> None:
    publish_bundle(filled, tmp_path)
    with pytest.raises(BundleError, match=r"there is no version.*000001"):
        set_current(tmp_path, version)


def test_a_damaged_version_cannot_be_current(tmp_path: Path, filled: Any) -> None:
    path = publish_bundle(filled, tmp_path)
    (path / "manifest.json").write_text("{}")
    with pytest.raises(BundleDamagedError):
        set_current(tmp_path, path)


@pytest.mark.parametrize("content", [b"", b"000002", b"../000001", b"\xff", b"/etc", b"000001/.."])
def test_a_pointer_to_nothing_is_damage(tmp_path: Path, filled: Any, content: bytes) -> None:
    publish_bundle(filled, tmp_path)
    (tmp_path / "current").write_bytes(content)
    with pytest.raises(BundleDamagedError, match=r"pointer|points to"):
        current_bundle(tmp_path)


def test_what_a_killed_writer_left_is_no_version(tmp_path: Path, filled: Any) -> None:
    first = publish_bundle(filled, tmp_path)
    recent, old = tmp_path / ".tmp-recent", tmp_path / ".tmp-old"
    for leftover in (recent, old):
        leftover.mkdir()
        (leftover / "manifest.json").write_bytes((first / "manifest.json").read_bytes())
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    assert bundle_versions(tmp_path) == ["000001"]
    assert publish_bundle(filled, tmp_path).name == "000002"
    assert recent.exists(), "another writer may still be at work there"
    assert not old.exists()


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path, filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(BundleError, match="No space left on device"):
            publish_bundle(filled, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert publish_bundle(filled, tmp_path).name == "000001"


def test_no_folder_no_versions(tmp_path: Path) -> None:
    assert bundle_versions(tmp_path / "none") == []
    with pytest.raises(BundleError, match="It has none yet"):
        set_current(tmp_path / "none", 1)
