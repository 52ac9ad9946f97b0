"""`palate bundle verify` and `palate bundle show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from palate.bundle import write_bundle
from palate.cli import main


@pytest.fixture
def bundle(tmp_path: Path, filled: Any) -> Path:
    write_bundle(
        filled, tmp_path / "bundle", metrics={"ndcg@10": 0.25, "empty": float("nan")}, lineage={"fingerprint": "f00"}
    )
    return tmp_path / "bundle"


def run(*arguments: str | Path) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_a_whole_bundle(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bundle", "verify", bundle) == 0
    assert "whole. A test-box model, 9 files" in capsys.readouterr().out
    assert run("bundle", "verify", bundle, "--json") == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_a_damaged_bundle(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle / "arrays" / "factors.npy").write_bytes(b"")
    assert run("bundle", "verify", bundle) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "factors.npy: the file has 0 bytes instead of" in said.err
    assert run("bundle", "verify", bundle, "--json") == 2
    assert json.loads(capsys.readouterr().out)["ok"] is False


@pytest.mark.parametrize("command", ["verify", "show"])
def test_not_a_bundle(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_bytes(b"\x00\xff")
    for path in (tmp_path / "none", tmp_path, tmp_path / "file", Path("x" * 5000), Path("new\nline")):
        assert run("bundle", command, path) == 2
        assert "Error: " in capsys.readouterr().err


def test_show(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bundle", "show", bundle) == 0
    said = capsys.readouterr().out
    for part in ("test-box", "f00", "ndcg@10", "0.25", "nan", "factors: dense f4 20 x 4", "seen: csr f4 12 x 20"):
        assert part in said
    for part in ("items: 20 string ids", "users: 3 int64 ids", "part: test-box", "inner: test-box", "alpha = 0.5"):
        assert part in said
    assert run("bundle", "show", bundle, "--json") == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "test-box"
