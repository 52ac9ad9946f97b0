"""Settings come from the environment, then the file, then the defaults; a wrong one is named."""

import os

import pytest

from palate.errors import ParameterError
from palate.settings import Settings


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "TRACKING_URI", "DATABASE_URL", "DATABASE_PASSWORD_FILE", "CONFIG"):
        monkeypatch.delenv(f"PALATE_{name}", raising=False)


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(monkeypatch, tmp_path):
    assert Settings.read().model_name == "palate-recommender"
    (tmp_path / "palate.toml").write_text('model_name = "from-file"\nlog_level = "DEBUG"\n')
    assert Settings.read().model_name == "from-file"
    monkeypatch.setenv("PALATE_MODEL_NAME", "from-environment")
    settings = Settings.read()
    assert (settings.model_name, settings.log_level) == ("from-environment", "DEBUG")


def test_stores_lie_under_home_unless_told(tmp_path):
    settings = Settings.read(home=tmp_path)
    assert settings.tracking == f"sqlite:///{tmp_path}/mlflow.db"
    assert settings.database("labeling") == f"sqlite:///{tmp_path}/labeling.db"


def test_a_password_file_fills_the_url(tmp_path):
    (tmp_path / "secret").write_text("p@ss/word\n")
    settings = Settings.read(
        database_url="postgresql+psycopg://palate@db/palate", database_password_file=tmp_path / "secret"
    )
    assert settings.database("recommender") == "postgresql+psycopg://palate:p%40ss%2Fword@db/palate"


def test_what_is_wrong_is_named(monkeypatch, tmp_path):
    with pytest.raises(ParameterError, match="PALATE_DATABASE_PASSWORD_FILE"):
        Settings.read(database_url="sqlite://", database_password_file=tmp_path / "none").database("labeling")
    (tmp_path / "secret").write_text("x")
    with pytest.raises(ParameterError, match="PALATE_DATABASE_URL"):
        Settings.read(database_url="nonsense", database_password_file=tmp_path / "secret").database("labeling")
    monkeypatch.setenv("PALATE_DATABASE_PASSWORD_FILE", "")
    (tmp_path / "palate.toml").write_text("model_name = [1]\n")
    with pytest.raises(ParameterError, match="PALATE_MODEL_NAME"):
        Settings.read()


def test_a_file_that_is_named_is_there(monkeypatch, tmp_path):
    monkeypatch.setenv("PALATE_CONFIG", str(tmp_path / "elsewhere.toml"))
    with pytest.raises(ParameterError, match=r"PALATE_CONFIG: there is no file '.*elsewhere\.toml'"):
        Settings.read()
    monkeypatch.setenv("PALATE_CONFIG", os.devnull)
    assert Settings.read().model_name == "palate-recommender"


def test_a_file_that_is_no_toml_is_named(tmp_path):
    (tmp_path / "palate.toml").write_text("this is = = not toml")
    with pytest.raises(ParameterError, match=r"palate\.toml"):
        Settings.read()
