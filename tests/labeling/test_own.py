"""What somebody has done is counted each time while it is little; much of it once a second, and what came since."""

from __future__ import annotations

from labeling.queue.leases import next_task
from labeling.queue.own import Own
from labeling.queue.turns import skip, submit
from labeling.service import Labeling

DRAMA = {"choices": ["Drama"]}


def test_new_answers_count_at_once_and_what_is_gone_within_a_second(store, make_project, monkeypatch):
    monkeypatch.setattr("labeling.queue.own.MANY", 3)
    films, now = make_project(n=12), [0.0]
    own = Own(lambda: now[0])

    def answer():
        with store.write() as db:
            task = next_task(db, films, "ann").task_id
            submit(db, films, "ann", task, DRAMA)
        return task

    def seen():
        with store.write() as db:
            found = own.of(db, films.id, "ann")
            if db.dialect.name == "postgresql":
                assert own.of_each(db, films.id, ["bob", "ann"]) == {"ann": found, "bob": (0, 0)}
        return found

    def drop(task):
        with store.write() as db:
            skip(db, films, "ann", task)

    assert seen() == (0, 0)
    answered = [answer(), answer()]
    assert seen() == (2, 0)
    drop(answered.pop())
    assert seen() == (1, 1), "few are always counted"
    answered += [answer(), answer()]
    assert seen() == (3, 1)
    answered += [answer(), answer()]
    assert seen() == (5, 1), "what is new is counted beside what is remembered"
    drop(answered[0])
    assert seen() == (5, 2), "it is one of those remembered"
    now[0] += 2
    assert seen() == (4, 2)
    drop(answered[1])
    own.forget(films.id, "ann")
    assert seen() == (3, 3)


def test_who_skips_what_they_answered_sees_it_at_once(store, make_project, monkeypatch):
    monkeypatch.setattr("labeling.queue.own.MANY", 1)
    films, service = make_project(n=4), Labeling(store.engine)
    tasks = []
    for _ in range(2):
        tasks.append(service.next_task(films.id, "ann").task.task_id)
        assert service.submit(films.id, "ann", tasks[-1], DRAMA)[0].progress.mine == len(tasks)
    assert service.skip(films.id, "ann", tasks[0]).progress.mine == 1
