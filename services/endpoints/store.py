"""Reading and writing which endpoints there are; each call is one transaction."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, delete, insert, select

from palate.errors import UnknownIdError
from palate.store.engine import reading, writing
from palate.store.types import clock
from services.endpoints.source import Source
from services.endpoints.tables import endpoints


@dataclass(frozen=True)
class Endpoint:
    """A name and the model deployed behind it.

    digest: the sha256 of the bundle's manifest: what was deployed, to the byte, wherever it is loaded.
    revision: differs at each deployment.
    """

    name: str
    source: Source
    digest: str
    kind: str
    revision: str
    deployed: datetime


class Store:
    """The database of the endpoints. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def all(self) -> list[Endpoint]:
        """Every endpoint, by name."""
        with reading(self.engine) as db:
            return [_endpoint(row) for row in db.execute(select(endpoints).order_by(endpoints.c.name))]

    def get(self, name: str) -> Endpoint:
        """Raises UnknownIdError if there is no endpoint of that name."""
        with reading(self.engine) as db:
            row = db.execute(select(endpoints).where(endpoints.c.name == name)).one_or_none()
        if row is None:
            raise unknown(name)
        return _endpoint(row)

    def put(self, name: str, source: Source, digest: str, kind: str) -> tuple[Endpoint, bool]:
        """Deploys a model behind `name`, in place of what was there; the endpoint, and whether it is new."""
        with writing(self.engine) as db:
            replaced = db.execute(delete(endpoints).where(endpoints.c.name == name)).rowcount
            made = Endpoint(name, source, digest, kind, secrets.token_hex(16), clock(db))
            db.execute(insert(endpoints).values({**made.__dict__, "source": source.document()}))
        return made, not replaced

    def delete(self, name: str) -> None:
        """Raises UnknownIdError if there is no endpoint of that name."""
        with writing(self.engine) as db:
            if not db.execute(delete(endpoints).where(endpoints.c.name == name)).rowcount:
                raise unknown(name)


def unknown(name: str) -> UnknownIdError:
    return UnknownIdError(f"there is no endpoint {name[:80]!r}.", hint="GET /v1/endpoints lists those there are.")


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(row.name, Source.of(row.source), row.digest, row.kind, row.revision, row.deployed)
