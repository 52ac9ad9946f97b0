"""What a project's work may come to: answers, money, time; and what it has come to.

Places that are in people's hands count as answers to come, so that a budget of answers or money is never gone beyond:
whoever hands out a place has the budget's row for themselves until that is committed. What was taken and answered is
counted up by the database itself, by triggers (migration 0012), whichever way a place is taken or an answer goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, text, update

from labeling.store.definition import Project
from labeling.store.tables import FREE, answers, budgets, projects, slots
from palate.errors import ParameterError
from palate.store.prepared import Prepared

UNIT = 10_000
"""Of these makes 1 of whatever money the price is in: sums of prices are whole numbers."""
MOST = 10**12
"""The highest bound of each kind."""

_one = select(budgets).where(budgets.c.project_id == bindparam("project"))
_ONE = Prepared(_one)
_HELD = Prepared(_one.with_for_update())


@dataclass(frozen=True)
class Limits:
    """The bounds of a project's work; None where there is none. Raises ParameterError where one makes no sense.

    price: of one answer, with at most 4 decimals, as `money` has, in a currency that nobody asks for. seconds: of
    work, as answers say how long they took.
    """

    answers: int | None = None
    price: float = 0.0
    money: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("answers", "price", "money", "seconds"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= MOST:
                raise ParameterError(f"is not between 0 and {MOST:,}.", where=f"budget.{name}")
        for name in ("price", "money"):
            value = getattr(self, name)
            if value is not None and abs(value * UNIT - round(value * UNIT)) > 1e-3:
                raise ParameterError("has more than 4 decimals.", where=f"budget.{name}")
        if self.answers is self.money is self.seconds is None:
            raise ParameterError(
                "bounds nothing.", where="budget", hint="Give answers, money or seconds; null for none."
            )
        if self.money is not None and not self.price:
            raise ParameterError("needs the price of an answer.", where="budget.money", hint="Give budget.price, too.")


@dataclass(frozen=True)
class Budget:
    """Bounds, and where the work stands: answers given, places in people's hands, seconds that the answers took."""

    limits: Limits
    answered: int
    in_hands: int
    worked: float

    @property
    def spent(self) -> float:
        """The price of all answers given."""
        return round(self.answered * self.limits.price, 4)

    @property
    def reached(self) -> str | None:
        """Which bound keeps any more from being handed out: answers, money or seconds."""
        limits, taken = self.limits, self.answered + self.in_hands
        if limits.answers is not None and taken >= limits.answers:
            return "answers"
        if limits.money is not None and (taken + 1) * round(limits.price * UNIT) > round(limits.money * UNIT):
            return "money"
        # How long a task in somebody's hands will take nobody knows: as long as others did.
        expected = self.worked * taken / self.answered if self.answered else self.worked
        if limits.seconds is not None and expected >= limits.seconds:
            return "seconds"
        return None

    @property
    def why(self) -> str:
        """For people, once a bound is reached."""
        limits = self.limits
        bound = {
            "answers": f"{limits.answers:,} answers" if limits.answers is not None else "",
            "money": f"{limits.money:,.2f} at {limits.price:g} an answer" if limits.money is not None else "",
            "seconds": f"{limits.seconds / 3600:,.1f} hours of work" if limits.seconds is not None else "",
        }[self.reached or "answers"]
        return (
            f"the project's budget, {bound}, is spent or in people's hands: no more tasks are handed out. What is in "
            "your hands can still be answered."
        )


def of(connection: Connection, project: Project, *, hold: bool = False) -> Budget | None:
    """The project's budget, None if it has none. hold: nobody else hands out its places until the transaction ends."""
    if not project.budgeted:
        return None
    row = (_HELD if hold else _ONE).named(connection, project=project.id)
    if row is None:  # taken off meanwhile
        return None
    price, money = row["price"] / UNIT, None if row["money"] is None else row["money"] / UNIT
    limits = Limits(row["answers"], price, money, row["seconds"])
    return Budget(limits, row["answered"], row["taken"] - row["answered"], max(row["worked"], 0.0))


def change(connection: Connection, project: Project, limits: Limits | None) -> None:
    """Give the project these bounds, or none. Below what is spent already they only end the handing out."""
    mine = budgets.c.project_id == project.id
    if limits is None:
        connection.execute(delete(budgets).where(mine))
    else:
        money = None if limits.money is None else round(limits.money * UNIT)
        values: dict[str, Any] = {"answers": limits.answers, "price": round(limits.price * UNIT), "money": money}
        values["seconds"] = limits.seconds
        if not connection.execute(update(budgets).where(mine).values(values)).rowcount:
            connection.execute(insert(budgets), {"project_id": project.id, **values, **_so_far(connection, project)})
    budgeted = limits is not None
    connection.execute(update(projects).where(projects.c.id == project.id).values(budgeted=budgeted))


def _so_far(connection: Connection, project: Project) -> dict[str, Any]:
    """What the triggers go on from. Nobody takes a place or answers between this count and the commit."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"LOCK TABLE {slots.name}, {answers.name} IN SHARE ROW EXCLUSIVE MODE"))
    taken = select(func.count()).where(slots.c.project_id == project.id, slots.c.state != FREE)
    given = select(func.count(), func.coalesce(func.sum(answers.c.seconds), 0.0))
    answered, worked = connection.execute(given.where(answers.c.project_id == project.id)).one()
    return {"taken": connection.execute(taken).scalar_one(), "answered": answered, "worked": worked}
