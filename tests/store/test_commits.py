"""Small writes of many threads: together in a commit, yet each with its own outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from palate.errors import ConflictError, StoreError
from palate.store import Commits, open_engine, reading, writing

tables = sa.MetaData()
things = sa.Table("things", tables, sa.Column("id", sa.Integer, primary_key=True))


@pytest.fixture
def made(sqlite: Callable[..., Engine]) -> Engine:
    engine = sqlite()
    with writing(engine) as db:
        tables.create_all(db)
    return engine


def add(number: int) -> Callable[[Connection], int]:
    def work(db: Connection) -> int:
        db.execute(things.insert().values(id=number))
        return number

    return work


def stored(engine: Engine) -> list[int]:
    with reading(engine) as db:
        return sorted(db.scalars(sa.select(things.c.id)))


def at_once(commits: Commits, works: list[Callable[[Connection], Any]]) -> list[Future[Any]]:
    """The outcomes of works that all were asked for while another one was at work."""
    begun, enough = threading.Event(), threading.Event()

    def first(db: Connection) -> None:
        begun.set()
        assert enough.wait(120)

    with ThreadPoolExecutor(len(works) + 1) as threads:
        threads.submit(commits.write, first)
        assert begun.wait(120)
        asked = [threads.submit(commits.write, work) for work in works]
        while len(commits) < len(works):
            time.sleep(0.005)
        enough.set()
    return asked


def test_what_is_asked_at_once_is_committed_together(made: Engine) -> None:
    seen: list[Connection] = []
    commits = Commits(made)
    event.listen(made, "commit", seen.append)
    asked = at_once(commits, [add(number) for number in range(12)])
    assert [each.result() for each in asked] == list(range(12))
    assert len(seen) == 2, "that of the one before, and one for all twelve"
    assert stored(made) == list(range(12))


def test_one_that_fails_is_undone_and_the_others_are_not(made: Engine) -> None:
    def half(db: Connection) -> None:
        db.execute(things.insert().values(id=99))
        raise ZeroDivisionError

    commits = Commits(made)
    asked = at_once(commits, [add(1), half, add(2), add(3)])
    with pytest.raises(ZeroDivisionError):
        asked[1].result()
    assert [each.result() for each in (asked[0], *asked[2:])] == [1, 2, 3]
    assert stored(made) == [1, 2, 3]
    assert commits.write(add(4)) == 4


def test_more_than_fit_one_commit_are_written_in_several(made: Engine) -> None:
    asked = at_once(Commits(made, most=3), [add(number) for number in range(8)])
    assert sorted(each.result() for each in asked) == stored(made) == list(range(8))


def test_a_database_that_stays_locked_is_told_to_all_who_wait(sqlite: Callable[..., Engine]) -> None:
    patient = sqlite()
    with writing(patient) as db:
        tables.create_all(db)
    hasty = open_engine(str(patient.url), busy_seconds=0.1)
    commits = Commits(hasty)
    with writing(patient), ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(commits.write, add(number)) for number in range(4)]
        for each in asked:
            with pytest.raises(StoreError, match="locked"):
                each.result()
    assert (stored(patient), commits.write(add(7))) == ([], 7)
    hasty.dispose()


def test_where_writers_do_not_wait_for_each_other_each_is_by_itself(fresh: Engine) -> None:
    with writing(fresh) as db:
        tables.create_all(db)
    commits = Commits(fresh)
    assert commits.write(add(1)) == 1
    with pytest.raises(ConflictError):
        commits.write(add(1))
    assert stored(fresh) == [1]


def test_whoever_waits_comes_next_until_nobody_does(made: Engine) -> None:
    commits = Commits(made, most=2)

    def many(start: int) -> list[int]:
        return [commits.write(add(number)) for number in range(start, start + 10)]

    with ThreadPoolExecutor(8) as threads:
        written = [threads.submit(many, 10 * each) for each in range(8)]
        assert sorted(number for each in written for number in each.result(60)) == list(range(80))
    assert stored(made) == list(range(80))
    assert len(commits) == 0
    assert commits.write(add(80)) == 80
