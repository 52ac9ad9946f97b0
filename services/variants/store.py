"""Roll-outs in a house's database: begun, paused, stopped, undone, and looked at by one worker at a time."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, insert, select, update

from palate.errors import ConflictError, UnknownIdError
from palate.store.engine import reading, writing
from services.variants.counts import Counts, CountStore
from services.variants.rollouts import DONE, RUNNING, STOPPED, Rollout, looked, paused, resumed
from services.variants.tallies import SLOT, Tally


@dataclass(frozen=True)
class Arm:
    """One of the variants behind a name: under which token it is counted, and its weight; a shadow never answers."""

    name: str
    token: str
    weight: float
    shadow: bool = False


class RolloutStore(CountStore):
    """The roll-outs of a house. Safe to share between threads; a public method is a transaction.

    The house says what its names stand for, and how the weights of one are changed.
    """

    @abstractmethod
    def _changing(self, db: Connection) -> None:
        """Waits until no other transaction changes what stands behind a name. Taken after `_counting`."""

    @abstractmethod
    def _arms(self, db: Connection, name: str) -> list[Arm]:
        """What stands behind a name. Raises UnknownIdError for none."""

    @abstractmethod
    def _weigh(self, db: Connection, name: str, weights: Mapping[str, float], who: str, what: str) -> None:
        """Gives the variants these weights; `_changing` is held. what: how the change is told."""

    def figures(self, name: str, seconds: float | None = None) -> list[tuple[Arm, Tally]]:
        """What was counted of each variant behind a name, in the latest so many seconds or in all that are kept.

        Raises UnknownIdError.
        """
        arms = self.arms(name)
        counts = self.counted([arm.token for arm in arms], 0.0 if seconds is None else time.time() - seconds)
        return [(arm, counts[arm.token]) for arm in arms]

    def arms(self, name: str) -> list[Arm]:
        """The variants behind a name, shadows too. Raises UnknownIdError for none."""
        with reading(self.engine) as db:
            return self._arms(db, name)

    def begin(self, name: str, who: str, make: Callable[[Mapping[str, float]], Rollout]) -> tuple[int, Rollout]:
        """Begins the roll-out `make(weights)`. Raises ConflictError while another one runs, and UnknownIdError."""
        rollouts = self.tables.rollouts
        with writing(self.engine) as db:
            self._counting(db)
            self._changing(db)
            before = weights_of(self._arms(db, name))
            self._refuse_running(db, name)
            made = make(before)
            values = {"deployment": name, "state": made.state, "document": made.document(), "looked": 0.0}
            number = int(db.scalars(insert(rollouts).values(values).returning(rollouts.c.id)).one())
            told = f"roll-out {number} ({made.kind}) to {made.to} begun at {made.steps[0]:.3g}"
            self._weigh(db, name, made.weights, who, told)
            return number, made

    def rollouts(self, name: str, limit: int = 20) -> list[tuple[int, Rollout]]:
        """Those of a name, the latest first."""
        rollouts = self.tables.rollouts
        query = select(rollouts).where(rollouts.c.deployment == name).order_by(rollouts.c.id.desc()).limit(limit)
        with reading(self.engine) as db:
            return [_rollout(row) for row in db.execute(query)]

    def running(self, name: str) -> int | None:
        """The roll-out that moves the weights now."""
        with reading(self.engine) as db:
            return self._running(db, name)

    def rollout(self, name: str, number: int) -> Rollout:
        """Raises UnknownIdError if there is no such roll-out of that name."""
        with reading(self.engine) as db:
            return self._held(db, name, number)

    def stop(self, name: str, number: int, who: str) -> Rollout:
        """Ends a roll-out, or undoes one that is done: the weights are those before it again.

        One that was stopped or rolled back stays as it is. Raises ConflictError if the weights were changed since it
        was done.
        """

        def change(db: Connection, found: Rollout) -> Rollout:
            if found.state == DONE:
                self._refuse_running(db, name)
                if weights_of(self._arms(db, name)) != found.weights:
                    raise ConflictError("the weights were changed since.", hint="Set them as they are to be.")
                return replace(found, state=STOPPED, reason=f"Undone by {who}.", ended=time.time())
            if found.state == RUNNING:
                return replace(found, state=STOPPED, reason=f"Stopped by {who}.", ended=time.time())
            return found

        return self._altered(name, number, who, change)

    def pause(self, name: str, number: int, who: str) -> Rollout:
        """Keeps a roll-out at its step until it is resumed. Raises ConflictError for one that has ended."""
        return self._altered(name, number, who, lambda db, found: paused(_unended(found), time.time()))

    def resume(self, name: str, number: int, who: str) -> Rollout:
        """Lets a paused roll-out go on. Raises ConflictError for one that has ended."""
        return self._altered(name, number, who, lambda db, found: resumed(_unended(found), time.time()))

    def due(self, before: float) -> list[int]:
        """Running roll-outs that nobody has looked at since."""
        rollouts = self.tables.rollouts
        query = select(rollouts.c.id).where(rollouts.c.state == RUNNING, rollouts.c.looked <= before)
        with reading(self.engine) as db:
            return [int(number) for number in db.scalars(query)]

    def look(self, number: int, now: float, every: float) -> None:
        """Looks at a roll-out, unless somebody did less than `every` seconds ago: of all workers one does it."""
        rollouts = self.tables.rollouts
        with writing(self.engine) as db:
            self._counting(db)
            mine = (rollouts.c.id == number, rollouts.c.state == RUNNING, rollouts.c.looked <= now - every)
            row = db.execute(update(rollouts).where(*mine).values(looked=now).returning(rollouts)).first()
            if row is None:
                return
            rollout = _rollout(row)[1]
            tokens = {arm.name: arm.token for arm in self._arms(db, row.deployment) if not arm.shadow}
            to = tokens.get(rollout.to)
            if to is None:
                raise UnknownIdError(f"the deployment has no variant {rollout.to!r} any more.")
            since = int(rollout.step_began // SLOT) + 1
            own = self.totals(db, [to], since)[to]
            blocks = _blocks(self.by_slot(db, list(tokens.values()), rollout.slot, rollout.settled(now)), to)
            after = looked(rollout, own, blocks, now)
            if (after.state, after.step) != (rollout.state, rollout.step):
                self._move(db, row.deployment, number, after, f"roll-out {number}")
            else:
                _keep(db, rollouts, number, after)

    # -- for the house's own changes, within their transactions ----------------------------------------------------

    def _refuse_running(self, db: Connection, name: str) -> None:
        """Raises ConflictError while a roll-out moves the weights."""
        number = self._running(db, name)
        if number is not None:
            raise ConflictError(
                f"roll-out {number} moves the weights of {name!r}.", hint="Wait until it has ended, or delete it."
            )

    def _end_rollouts(self, db: Connection, name: str) -> None:
        """What they are about goes away; `_counting` is held."""
        rollouts = self.tables.rollouts
        running = select(rollouts).where(rollouts.c.deployment == name, rollouts.c.state == RUNNING)
        for number, found in map(_rollout, db.execute(running).all()):
            after = replace(found, state=STOPPED, reason=f"{name} was taken down.", ended=time.time())
            _keep(db, rollouts, number, after)

    def _forget_rollouts(self, db: Connection, name: str) -> None:
        """Something new stands behind a name: what was rolled out there before it was taken down is not its own."""
        db.execute(delete(self.tables.rollouts).where(self.tables.rollouts.c.deployment == name))

    # --------------------------------------------------------------------------------------------------------------

    def _running(self, db: Connection, name: str) -> int | None:
        rollouts = self.tables.rollouts
        found = db.scalar(select(rollouts.c.id).where(rollouts.c.deployment == name, rollouts.c.state == RUNNING))
        return None if found is None else int(found)

    def _held(self, db: Connection, name: str, number: int) -> Rollout:
        rollouts = self.tables.rollouts
        query = select(rollouts).where(rollouts.c.deployment == name, rollouts.c.id == number)
        row = db.execute(query).first() if number < 2**31 else None
        if row is None:
            self._arms(db, name)  # says so if nothing stands behind the name
            raise UnknownIdError(
                f"there is no roll-out {number} of {name[:80]!r}.",
                where="rollout",
                hint="`rollout list`, or GET at .../rollouts, shows those there are.",
            )
        return _rollout(row)[1]

    def _altered(self, name: str, number: int, who: str, change: Callable[[Connection, Rollout], Rollout]) -> Rollout:
        with writing(self.engine) as db:
            self._counting(db)
            self._changing(db)
            found = self._held(db, name, number)
            after = change(db, found)
            if after != found:
                self._move(db, name, number, after, who)
            return after

    def _move(self, db: Connection, name: str, number: int, after: Rollout, who: str) -> None:
        """Stores where a roll-out stands now, and gives its name the weights that go with it."""
        self._changing(db)
        _keep(db, self.tables.rollouts, number, after)
        told = f"roll-out {number} {after.standing} at {after.share:.3g}"
        self._weigh(db, name, after.weights, who, f"{told}: {after.reason}" if after.reason else told)


def weights_of(arms: Iterable[Arm]) -> dict[str, float]:
    """The weights of those that answer."""
    return {arm.name: arm.weight for arm in arms if not arm.shadow}


def _unended(rollout: Rollout) -> Rollout:
    if rollout.state != RUNNING:
        raise ConflictError(f"the roll-out is {rollout.state}.", hint="Begin another one.")
    return rollout


def _blocks(counts: Counts, to: str) -> list[tuple[Tally, Tally]]:
    """Of each slot, in order: what was counted of the variant `to`, and of all others."""
    blocks = []
    for at in sorted({slot for _, slot in counts}):
        own = counts.get((to, at), Tally())
        others = sum((tally for (token, slot), tally in counts.items() if slot == at and token != to), Tally())
        blocks.append((own, others))
    return blocks


def _keep(db: Connection, rollouts: Table, number: int, rollout: Rollout) -> None:
    values = {"state": rollout.state, "document": rollout.document()}
    db.execute(update(rollouts).where(rollouts.c.id == number).values(**values))


def _rollout(row: Row[Any]) -> tuple[int, Rollout]:
    return int(row.id), replace(Rollout.of(row.document), state=row.state)
