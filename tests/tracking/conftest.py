"""An MLflow database made once (its migrations take seconds) and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from palate.errors import RegistryError
from palate.tracking import Tracker


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with pytest.raises(RegistryError, match="None is registered yet"):
        Tracker(f"sqlite:///{file}").versions("none")
    return file


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, cache and MLflow's own idea of where to write, all the test's own."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "PALATE_TRACKING_URI", "PALATE_MODEL_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PALATE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def uri(empty_database: Path, tmp_path: Path) -> str:
    (tmp_path / "home").mkdir()
    shutil.copy(empty_database, tmp_path / "home" / "mlflow.db")
    return f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}"


@pytest.fixture
def tracker(uri: str) -> Tracker:
    return Tracker(uri)
