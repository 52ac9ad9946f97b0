"""Deployments in the database: each change one transaction, with the next number of its counter and a line of who
changed what."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from palate.errors import UnknownIdError
from palate.store.engine import reading, writing
from services.recommender.counted import next_number
from services.recommender.deployments.records import LISTED, Deployment
from services.recommender.deployments.tables import changes, counted, deployments
from services.variants.store import Arm, RolloutStore


@dataclass(frozen=True)
class Change:
    """Who changed what of a deployment, and when, in seconds since 1970."""

    at: float
    who: str
    what: str


class DeploymentStore(RolloutStore):
    """The deployments in the recommender's database. Safe to share between threads; a method is a transaction."""

    tables = counted

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    # -- deployments -----------------------------------------------------------------------------------------------

    def all(self) -> list[Deployment]:
        """By name."""
        with reading(self.engine) as db:
            return [_deployment(row) for row in db.execute(select(deployments).order_by(deployments.c.name))]

    def get(self, name: str) -> Deployment:
        """Raises UnknownIdError if there is none."""
        with reading(self.engine) as db:
            return _held(db, name)

    def put(self, made: Deployment, who: str) -> tuple[Deployment, bool]:
        """Makes or replaces a deployment: as it is stored, and whether it is new. Raises ConflictError while a roll-out
        moves its weights."""
        with writing(self.engine) as db:
            self._changing(db)
            row = db.execute(select(deployments).where(deployments.c.name == made.name)).first()
            before = None if row is None else _deployment(row)
            self._refuse_running(db, made.name)
            if before is None:
                self._forget_rollouts(db, made.name)
            return _write(db, made, before, who, "replaced" if before else "made"), before is None

    def change(self, name: str, who: str, what: str, change: Callable[[Deployment], Deployment]) -> Deployment:
        """Replaces a deployment by `change(deployment)`; nobody else's change comes between. Raises as `put`.

        what: how the change is told.
        """
        with writing(self.engine) as db:
            self._changing(db)
            before = _held(db, name)
            self._refuse_running(db, name)
            return _write(db, change(before), before, who, what)

    def delete(self, name: str, who: str) -> None:
        """Takes a deployment away and stops its roll-outs. Raises UnknownIdError if there is none."""
        with writing(self.engine) as db:
            self._counting(db)
            self._changing(db)
            before = _held(db, name)
            db.execute(delete(deployments).where(deployments.c.name == name))
            self._end_rollouts(db, name)
            _note(db, before, who, "deleted")

    def history(self, name: str, limit: int = 100) -> list[Change]:
        """Who changed what, the latest first."""
        query = select(changes).where(changes.c.deployment == name).order_by(changes.c.id.desc()).limit(limit)
        with reading(self.engine) as db:
            return [Change(row.at, row.who, row.what) for row in db.execute(query)]

    # -- what roll-outs need to know -------------------------------------------------------------------------------

    def _counting(self, db: Connection) -> None:
        next_number(db, "tallies")

    def _changing(self, db: Connection) -> None:
        next_number(db, "deployments")

    def _arms(self, db: Connection, name: str) -> list[Arm]:
        return [Arm(each.name, each.token, each.weight, each.shadow) for each in _held(db, name).variants]

    def _weigh(self, db: Connection, name: str, weights: Mapping[str, float], who: str, what: str) -> None:
        before = _held(db, name)
        _write(db, before.weighted(weights), before, who, what)


def _held(db: Connection, name: str) -> Deployment:
    row = db.execute(select(deployments).where(deployments.c.name == name)).first()
    if row is None:
        raise UnknownIdError(f"there is no deployment {name[:80]!r}.", where="name", hint=LISTED)
    return _deployment(row)


def _write(db: Connection, made: Deployment, before: Deployment | None, who: str, what: str) -> Deployment:
    made = made.with_tokens(before)
    made = replace(made, revision=before.revision + 1 if before else 1, changed=time.time())
    values = {"document": made.document(), "revision": made.revision, "changed": made.changed}
    if before is None:
        db.execute(insert(deployments).values(name=made.name, **values))
    else:
        db.execute(update(deployments).where(deployments.c.name == made.name).values(**values))
    _note(db, made, who, what)
    return made


def _note(db: Connection, made: Deployment, who: str, what: str) -> None:
    values = {"deployment": made.name, "at": time.time(), "who": who[:250], "what": what}
    db.execute(insert(changes).values(**values, document=made.document()))


def _deployment(row: Row[Any]) -> Deployment:
    return Deployment.of(row.name, row.document, row.revision, row.changed)
