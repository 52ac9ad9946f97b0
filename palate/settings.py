"""Settings: read once at the edge of a process, then passed in. Nothing else in Palate reads the environment.

Each field comes from the environment (`PALATE_HOME`, `PALATE_TRACKING_URI`, ...), else from the TOML file that
`PALATE_CONFIG` names (`palate.toml` in the working directory unless told), else from the default here.
The houses add their own fields by subclassing.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Self

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from palate.errors import ParameterError

CONFIG = "PALATE_CONFIG"
"""The environment variable that names the file."""


class Settings(BaseSettings):
    """What every process of Palate shares."""

    model_config = SettingsConfigDict(env_prefix="PALATE_", extra="ignore", frozen=True)

    home: Path = Path(".palate")
    """Where databases, models and caches live unless a setting says otherwise."""
    tracking_uri: str = ""
    """MLflow's; empty means a SQLite file under `home`."""
    model_name: str = "palate-recommender"
    """The registered model that `promote` and the API use."""
    database_url: str = ""
    """SQLAlchemy's, for the process's own store; empty means a SQLite file under `home`."""
    database_password_file: Path | None = None
    """A file whose text is the password for `database_url`, so that the URL need not hold it."""
    api_url: str = "http://127.0.0.1:8000"
    """Where the recommendation API is, for `palate recommend`."""
    host: str = "127.0.0.1"
    log_level: str = "INFO"

    @property
    def tracking(self) -> str:
        """The MLflow tracking URI in force."""
        return self.tracking_uri or f"sqlite:///{(self.home / 'mlflow.db').resolve()}"

    @property
    def bundles(self) -> Path:
        """Where bundles are published."""
        return self.home / "bundles"

    @property
    def cache(self) -> Path:
        """Downloads that are checked by their hash."""
        return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "palate"

    def database(self, house: str) -> str:
        """The SQLAlchemy URL of one house's store (`recommender`, `labeling`).

        Raises ParameterError if the password file cannot be read or the URL is none.
        """
        if not self.database_url:
            return f"sqlite:///{(self.home / f'{house}.db').resolve()}"
        if self.database_password_file is None:
            return self.database_url
        try:
            password = self.database_password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ParameterError(
                f"the password file cannot be read ({error}).", where="PALATE_DATABASE_PASSWORD_FILE"
            ) from None
        try:
            url = make_url(self.database_url).set(password=password)
        except ArgumentError:
            raise ParameterError(
                "it is no database URL.", where="PALATE_DATABASE_URL", hint="Write postgresql+psycopg://user@host/name."
            ) from None
        return url.render_as_string(hide_password=False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, _file())

    @classmethod
    def read(cls, **overrides: object) -> Self:
        """The settings in force.

        Raises ParameterError naming the first field that does not fit, or the file that is named and not there.
        """
        if CONFIG in os.environ and not _file().exists():
            raise ParameterError(f"there is no file {str(_file())!r}.", where=CONFIG)
        try:
            return cls(**overrides)  # type: ignore[arg-type]
        except ValidationError as error:
            first = error.errors()[0]
            name = "PALATE_" + "_".join(str(part) for part in first["loc"]).upper()
            raise ParameterError(first["msg"] + ".", where=name) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise ParameterError(f"it cannot be read as TOML ({error}).", where=str(_file())) from None


def _file() -> Path:
    return Path(os.environ.get(CONFIG, "palate.toml"))
