"""Reading and writing which endpoints there are; each call is one transaction."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update

from palate.errors import ParameterError, UnknownIdError
from palate.store.engine import reading, writing
from palate.store.types import clock
from services.endpoints.source import Source
from services.endpoints.tables import counted, endpoints
from services.variants.store import Arm, RolloutStore

ONLY = "AllTraffic"
"""What SageMaker's own tools call the only variant of an endpoint."""
_LOCK = int.from_bytes(b"endpoint")
"""Names the lock of PostgreSQL that is held by whoever writes here."""


@dataclass(frozen=True)
class Variant:
    """One of the models behind an endpoint.

    digest: the sha256 of the bundle's manifest: what was deployed, to the byte, wherever it is loaded. weight: its part
    of the traffic, of the sum of all. shadow: it is asked, too, but never answers.
    """

    name: str
    source: Source
    digest: str
    kind: str
    weight: float = 1.0
    shadow: bool = False

    @property
    def content(self) -> tuple[str, str]:
        """Equal for equal models, wherever they lie."""
        return self.digest, self.source.part


@dataclass(frozen=True)
class Endpoint:
    """A name and the models deployed behind it. revision: differs at each change."""

    name: str
    variants: tuple[Variant, ...]
    revision: str
    deployed: datetime

    @property
    def weights(self) -> dict[str, float]:
        """Those of the variants that answer."""
        return {each.name: each.weight for each in self.variants if not each.shadow}

    def token(self, variant: Variant) -> str:
        """Names a variant in the counts; another model is another token."""
        text = "\n".join((self.name, variant.name, *variant.content))
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


class Store(RolloutStore):
    """The database of the endpoints. Safe to share between threads."""

    tables = counted

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def all(self) -> list[Endpoint]:
        """Every endpoint, by name."""
        with reading(self.engine) as db:
            return [_endpoint(row) for row in db.execute(select(endpoints).order_by(endpoints.c.name))]

    def get(self, name: str) -> Endpoint:
        """Raises UnknownIdError if there is no endpoint of that name."""
        with reading(self.engine) as db:
            return _held(db, name)

    def put(self, name: str, variants: Sequence[Variant]) -> tuple[Endpoint, bool]:
        """Deploys models behind `name`, in place of what was there; the endpoint, and whether it is new.

        Raises ConflictError while a roll-out moves its weights.
        """
        with writing(self.engine) as db:
            self._changing(db)
            self._refuse_running(db, name)
            replaced = db.execute(delete(endpoints).where(endpoints.c.name == name)).rowcount
            if not replaced:
                self._forget_rollouts(db, name)
            made = Endpoint(name, tuple(variants), secrets.token_hex(16), clock(db))
            db.execute(insert(endpoints).values({**made.__dict__, "variants": _documents(made)}))
        return made, not replaced

    def weigh(self, name: str, weights: Mapping[str, float]) -> Endpoint:
        """Gives the variants named other weights. Raises UnknownIdError, ParameterError, and ConflictError as `put`."""
        with writing(self.engine) as db:
            self._changing(db)
            before = _held(db, name)
            self._refuse_running(db, name)
            for variant in weights:
                if variant not in before.weights:
                    known = ", ".join(before.weights)
                    raise ParameterError(
                        f"there is no variant {variant[:80]!r} with traffic.",
                        where="weights",
                        hint=f"There are: {known}.",
                    )
            if not any({**before.weights, **weights}.values()):
                raise ParameterError("no variant has any traffic.", where="weights")
            return _weighed(db, before, weights)

    def delete(self, name: str) -> None:
        """Takes an endpoint down and stops its roll-out. Raises UnknownIdError if there is none of that name."""
        with writing(self.engine) as db:
            self._changing(db)
            self._end_rollouts(db, name)
            if not db.execute(delete(endpoints).where(endpoints.c.name == name)).rowcount:
                raise unknown(name)

    # -- what roll-outs need to know -------------------------------------------------------------------------------

    def _counting(self, db: Connection) -> None:
        # On SQLite writers come one after the other in any case.
        if db.dialect.name == "postgresql":
            db.execute(select(func.pg_advisory_xact_lock(_LOCK)))

    _changing = _counting

    def _arms(self, db: Connection, name: str) -> list[Arm]:
        found = _held(db, name)
        return [Arm(each.name, found.token(each), each.weight, each.shadow) for each in found.variants]

    def _weigh(self, db: Connection, name: str, weights: Mapping[str, float], who: str, what: str) -> None:
        _weighed(db, _held(db, name), weights)


def unknown(name: str) -> UnknownIdError:
    return UnknownIdError(f"there is no endpoint {name[:80]!r}.", hint="GET /v1/endpoints lists those there are.")


def _held(db: Connection, name: str) -> Endpoint:
    row = db.execute(select(endpoints).where(endpoints.c.name == name)).one_or_none()
    if row is None:
        raise unknown(name)
    return _endpoint(row)


def _weighed(db: Connection, before: Endpoint, weights: Mapping[str, float]) -> Endpoint:
    variants = tuple(replace(each, weight=float(weights.get(each.name, each.weight))) for each in before.variants)
    made = replace(before, variants=variants, revision=secrets.token_hex(16))
    values = {"variants": _documents(made), "revision": made.revision}
    db.execute(update(endpoints).where(endpoints.c.name == before.name).values(values))
    return made


def _documents(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [asdict(each) for each in endpoint.variants]


def _endpoint(row: Row[Any]) -> Endpoint:
    variants = tuple(Variant(**{**each, "source": Source.of(each["source"])}) for each in row.variants)
    return Endpoint(row.name, variants, row.revision, row.deployed)
