"""What a demo is told, and where it keeps what it makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from palate.doctor import DEMO_PORTS, free_port
from palate.settings import Settings

HOST = "127.0.0.1"
MODELS = ("popularity", "content", "als", "blend")
"""What is measured, the plainest first; those of TRAINED come from Spark jobs, the last of them is served."""
TRAINED = ("als", "blend")
SERVED = "blend"


@dataclass(frozen=True)
class Ports:
    """The first free ones from the usual ones on."""

    api: int
    labeling: int
    mlflow: int

    @classmethod
    def find(cls) -> Ports:
        found: dict[str, int] = {}
        for name, wanted in DEMO_PORTS.items():
            found[name] = free_port(wanted, HOST, frozenset(found.values()))
        return cls(**found)


@dataclass(frozen=True)
class Plan:
    """home: everything the demo writes lies below it. data: the folder to learn from, None for the usual one."""

    home: Path
    data: Path | None = None
    check: bool = False
    ports: Ports = field(default_factory=Ports.find)

    @property
    def prepared(self) -> Path:
        return self.home / "prepared"

    @property
    def segments(self) -> Path:
        return self.home / "segments"

    @property
    def recommendations(self) -> Path:
        return self.home / "recommendations"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def summary(self) -> Path:
        """The report as JSON; written when everything is up."""
        return self.home / "demo.json"

    def bundle(self, model: str) -> Path:
        return self.home / "models" / model

    @cached_property
    def settings(self) -> Settings:
        """What the processes of the demo share."""
        return Settings.read(home=self.home, tracking_uri="", database_url="", host=HOST)

    @property
    def api(self) -> str:
        return f"http://{HOST}:{self.ports.api}"

    @property
    def labeling(self) -> str:
        return f"http://{HOST}:{self.ports.labeling}"

    @property
    def mlflow(self) -> str:
        return f"http://{HOST}:{self.ports.mlflow}"
