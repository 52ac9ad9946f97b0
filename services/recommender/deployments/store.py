"""Deployments in the database: each change one transaction, with the next number of its counter and a line of who
changed what."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from palate.errors import ConflictError, UnknownIdError
from palate.store.engine import reading, writing
from services.recommender.counted import next_number
from services.recommender.deployments.counts import Counts, CountStore, by_slot
from services.recommender.deployments.records import SLOT, Deployment
from services.recommender.deployments.rollouts import RUNNING, STOPPED, Rollout, Tally, looked
from services.recommender.deployments.tables import changes, deployments, rollouts


@dataclass(frozen=True)
class Change:
    """Who changed what of a deployment, and when, in seconds since 1970."""

    at: float
    who: str
    what: str


class DeploymentStore(CountStore):
    """The deployments in the recommender's database. Safe to share between threads; a method is a transaction."""

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
            next_number(db, "deployments")
            row = db.execute(select(deployments).where(deployments.c.name == made.name)).first()
            before = None if row is None else _deployment(row)
            _refuse_running(db, made.name)
            return _write(db, made, before, who, "replaced" if before else "made"), before is None

    def change(self, name: str, who: str, what: str, change: Callable[[Deployment], Deployment]) -> Deployment:
        """Replaces a deployment by `change(deployment)`; nobody else's change comes between. Raises as `put`.

        what: how the change is told.
        """
        with writing(self.engine) as db:
            next_number(db, "deployments")
            before = _held(db, name)
            _refuse_running(db, name)
            return _write(db, change(before), before, who, what)

    def delete(self, name: str, who: str) -> None:
        """Takes a deployment away and stops its roll-outs. Raises UnknownIdError if there is none."""
        with writing(self.engine) as db:
            _lock_rollouts(db)
            next_number(db, "deployments")
            before = _held(db, name)
            db.execute(delete(deployments).where(deployments.c.name == name))
            stopped = update(rollouts).where(rollouts.c.deployment == name, rollouts.c.state == RUNNING)
            db.execute(stopped.values(state=STOPPED))
            _note(db, before, who, "deleted")

    def history(self, name: str, limit: int = 100) -> list[Change]:
        """Who changed what, the latest first."""
        query = select(changes).where(changes.c.deployment == name).order_by(changes.c.id.desc()).limit(limit)
        with reading(self.engine) as db:
            return [Change(row.at, row.who, row.what) for row in db.execute(query)]

    # -- roll-outs -------------------------------------------------------------------------------------------------

    def begin(self, name: str, who: str, make: Callable[[Deployment], Rollout]) -> tuple[int, Rollout]:
        """Begins the roll-out `make(deployment)`. Raises ConflictError while another one runs."""
        with writing(self.engine) as db:
            next_number(db, "deployments")
            before = _held(db, name)
            _refuse_running(db, name)
            made: Rollout = make(before)
            values = {"deployment": name, "state": made.state, "document": made.document(), "looked": 0.0}
            number = int(db.scalars(insert(rollouts).values(values).returning(rollouts.c.id)).one())
            told = f"roll-out {number} ({made.kind}) to {made.to} begun at {made.steps[0]:.3g}"
            _write(db, before.weighted(made.weights), before, who, told)
            return number, made

    def rollouts(self, name: str, limit: int = 20) -> list[tuple[int, Rollout]]:
        """Those of a deployment, the latest first."""
        query = select(rollouts).where(rollouts.c.deployment == name).order_by(rollouts.c.id.desc()).limit(limit)
        with reading(self.engine) as db:
            return [_rollout(row) for row in db.execute(query)]

    def rollout(self, name: str, number: int) -> Rollout:
        """Raises UnknownIdError if the deployment has no such roll-out."""
        query = select(rollouts).where(rollouts.c.deployment == name, rollouts.c.id == number)
        with reading(self.engine) as db:
            row = db.execute(query).first() if number < 2**31 else None
        if row is None:
            raise UnknownIdError(f"there is no roll-out {number} of {name!r}.", where="rollout")
        return _rollout(row)[1]

    def stop(self, name: str, number: int, who: str) -> Rollout:
        """Ends a roll-out; the weights are those before it again. One that has ended stays as it is."""
        self.rollout(name, number)
        with writing(self.engine) as db:
            _lock_rollouts(db)
            found = _rollout(db.execute(select(rollouts).where(rollouts.c.id == number)).one())[1]
            if found.state != RUNNING:
                return found
            after = replace(found, state=STOPPED, reason=f"Stopped by {who}.", ended=time.time())
            _move(db, name, number, after, who)
            return after

    def due(self, before: float) -> list[int]:
        """Running roll-outs that nobody has looked at since."""
        query = select(rollouts.c.id).where(rollouts.c.state == RUNNING, rollouts.c.looked <= before)
        with reading(self.engine) as db:
            return [int(number) for number in db.scalars(query)]

    def look(self, number: int, now: float, every: float) -> None:
        """Looks at a roll-out, unless somebody did less than `every` seconds ago: of all workers one does it."""
        with writing(self.engine) as db:
            _lock_rollouts(db)
            mine = (rollouts.c.id == number, rollouts.c.state == RUNNING, rollouts.c.looked <= now - every)
            row = db.execute(update(rollouts).where(*mine).values(looked=now).returning(rollouts)).first()
            if row is None:
                return
            rollout = _rollout(row)[1]
            deployment = _held(db, row.deployment)
            tokens = {each.token: each.name for each in deployment.variants if not each.shadow}
            to = next((token for token, name in tokens.items() if name == rollout.to), None)
            if to is None:
                raise UnknownIdError(f"the deployment has no variant {rollout.to!r} any more.")
            since = int(rollout.step_began // SLOT) + 1
            own = sum(by_slot(db, [to], since).values(), Tally())
            blocks = _blocks(by_slot(db, list(tokens), rollout.slot, rollout.settled(now)), to)
            after = looked(rollout, own, blocks, now)
            if (after.state, after.step) != (rollout.state, rollout.step):
                _move(db, row.deployment, number, after, f"roll-out {number}")
            else:
                db.execute(update(rollouts).where(rollouts.c.id == number).values(document=after.document()))


def _held(db: Connection, name: str) -> Deployment:
    row = db.execute(select(deployments).where(deployments.c.name == name)).first()
    if row is None:
        raise UnknownIdError(f"there is no deployment {name[:80]!r}.", where="name")
    return _deployment(row)


def _lock_rollouts(db: Connection) -> None:
    """One look or change at a time; the counts they look at stay, too. Taken before the counter of deployments."""
    next_number(db, "tallies")


def _refuse_running(db: Connection, name: str) -> None:
    number = db.scalar(select(rollouts.c.id).where(rollouts.c.deployment == name, rollouts.c.state == RUNNING))
    if number is not None:
        raise ConflictError(
            f"roll-out {number} moves the weights of {name!r}.", hint="Wait until it has ended, or delete it."
        )


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


def _move(db: Connection, name: str, number: int, after: Rollout, who: str) -> None:
    """Stores where a roll-out stands now, and gives the deployment the weights that go with it."""
    next_number(db, "deployments")
    values = {"state": after.state, "document": after.document()}
    db.execute(update(rollouts).where(rollouts.c.id == number).values(**values))
    before = _held(db, name)
    told = f"roll-out {number} {after.state} at {after.weights[after.to]:.3g}"
    _write(db, before.weighted(after.weights), before, who, f"{told}: {after.reason}" if after.reason else told)


def _note(db: Connection, made: Deployment, who: str, what: str) -> None:
    values = {"deployment": made.name, "at": time.time(), "who": who[:250], "what": what}
    db.execute(insert(changes).values(**values, document=made.document()))


def _blocks(counts: Counts, to: str) -> list[tuple[Tally, Tally]]:
    """Of each slot, in order: what was counted of the variant `to`, and of all others."""
    blocks = []
    for at in sorted({slot for _, slot in counts}):
        own = counts.get((to, at), Tally())
        others = sum((tally for (token, slot), tally in counts.items() if slot == at and token != to), Tally())
        blocks.append((own, others))
    return blocks


def _deployment(row: Row[Any]) -> Deployment:
    return Deployment.of(row.name, row.document, row.revision, row.changed)


def _rollout(row: Row[Any]) -> tuple[int, Rollout]:
    return int(row.id), replace(Rollout.of(row.document), state=row.state)
