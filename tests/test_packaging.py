"""What `palate spark-package` writes for a bare cluster; `tests/e2e/test_cluster.py` runs on it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path, PurePosixPath

import pytest
from click.testing import CliRunner

import palate
import palate.packaging as packaging
from palate.cli.spark_package import spark_package
from palate.errors import MissingDependencyError
from palate.packaging import ARCHIVES, files_of, is_used, required, write_environment, write_package

ROOT = Path(palate.__file__).parents[1]


def test_what_the_library_needs_is_found_through_what_it_needs_itself() -> None:
    names = {distribution.name.lower() for distribution in required(())}
    assert {"numpy", "scipy", "implicit", "pyarrow", "llvmlite"} <= names  # llvmlite is numba's
    assert not {"palate", "pyspark", "py4j", "flask", "pytest"} & names


def test_extras_bring_their_packages() -> None:
    pytest.importorskip("flask", reason="needs flask: pip install 'palate[serve]'")
    assert "Flask" in {distribution.name for distribution in required(("serve",))}
    assert "pyspark" not in {distribution.name for distribution in required(("spark",))}


def test_files_are_named_as_they_are_imported() -> None:
    numpy = next(distribution for distribution in required(()) if distribution.name == "numpy")
    names = [name for _, name in files_of(numpy)]
    assert "numpy/__init__.py" in names
    assert not [name for name in names if ".." in name]


def test_what_compilers_and_test_suites_read_stays_here() -> None:
    names = {
        "numpy/linalg/__init__.py": True,
        "numpy/testing/__init__.py": True,
        "numpy/_core/tests/_natype.py": True,  # numpy.testing imports it
        "numpy/_core/tests/test_dtype.py": False,
        "numpy/_core/tests/data/umath.csv": False,
        "torch/test/vec_test": False,
        "torch/include/torch/extension.h": False,
        "torch/bin/torch_shm_manager": True,
        "torch/bin/protoc": False,
        "torch/lib/libtorch.so": True,
        "sklearn/_loss/_loss.pyx": False,
    }
    assert {name: is_used(PurePosixPath(name)) for name in names} == names


@pytest.mark.parametrize("compress", ["gzip", "none"])
def test_nothing_is_compiled_that_was_compiled_here(
    compress: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unpacked as Spark unpacks it, a module keeps the bytecode that was packed with it."""
    monkeypatch.setattr(packaging, "required", lambda _: [metadata.distribution("click")])
    path = write_environment(tmp_path, (), compress=compress)
    assert path.name == ARCHIVES[compress]
    subprocess.run(["tar", "-xf", path], check=True, cwd=tmp_path)
    code = "import click.core, palate.errors; print(click.core.__file__, palate.errors.__file__)"
    command = [sys.executable, "-v", "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env={"PYTHONPATH": "."})
    assert ran.stdout.split() == [str(tmp_path / "click" / "core.py"), str(tmp_path / "palate" / "errors.py")]
    assert f"matches {tmp_path / 'click' / 'core.py'}" in ran.stderr


def test_loops_that_were_compiled_here_are_not_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import numpy as np
from palate.kernels.rows_loops import widen
wide = np.zeros((1, 3), np.float32)
widen(np.ones((1, 1), np.float32), np.array([1]), wide, 0, 1)
print(wide.tolist(), sum(widen.stats.cache_hits.values()), sum(widen.stats.cache_misses.values()))
"""
    if not os.access(Path(palate.__file__).parent, os.W_OK):
        pytest.skip("needs an installation of palate beside which numba can write")
    assert run_in(ROOT, code).startswith("[[-inf, 1.0, -inf]]")  # from now on it is compiled
    monkeypatch.setattr(packaging, "required", lambda _: [])
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "-xf", write_environment(tmp_path, (), compress="none")], check=True, cwd=unpacked)
    assert run_in(unpacked, code) == "[[-inf, 1.0, -inf]] 1 0"


def run_in(folder: Path, code: str) -> str:
    """What a Python says that imports Palate from this folder."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment)
    return ran.stdout.strip()


def test_palate_is_imported_from_its_zip(tmp_path: Path) -> None:
    path = write_package(tmp_path)
    with zipfile.ZipFile(path) as archive:
        assert {"palate/__init__.py", "palate/py.typed"} <= set(archive.namelist())
    code = "import palate.models, palate; print(palate.__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(path)}
    )
    assert ran.stdout.startswith(str(path)), ran.stderr


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = packaging.metadata.distribution

    def without_numpy(name: str) -> object:
        if name == "numpy":
            raise packaging.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(packaging.metadata, "distribution", without_numpy)
    with pytest.raises(MissingDependencyError, match="numpy is not installed"):
        required(())


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    ran = CliRunner().invoke(spark_package, ["--only-palate", "--output", str(tmp_path / "dist")])
    assert ran.exit_code == 0
    assert (tmp_path / "dist" / "palate.zip").is_file()
    assert "palate.zip" in ran.output
