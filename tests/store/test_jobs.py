from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.engine import Engine

from palate.errors import InputError, ParameterError, UnknownIdError
from palate.store import Job, JobContext, Jobs, LeaseLostError, run_worker


@pytest.fixture
def jobs(engine: Engine) -> Jobs:
    return Jobs(engine, lease_seconds=60)


@pytest.fixture
def hasty(engine: Engine) -> Jobs:
    return Jobs(engine, lease_seconds=0.2)


def claimed(jobs: Jobs, worker: str = "w") -> Job:
    job = jobs.claim(worker, ["train"])
    assert job is not None
    return job


def until_ended(jobs: Jobs, job_id: int, seconds: float = 120) -> Job:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job = jobs.get(job_id)
        if job.state in ("done", "failed", "cancelled"):
            return job
        time.sleep(0.02)
    raise AssertionError(f"still {jobs.get(job_id)}")


def test_a_job_goes_through_its_life(jobs: Jobs) -> None:
    number = jobs.enqueue("train", {"rank": 64})
    assert jobs.get(number).state == "queued"
    assert jobs.claim("w", ["other"]) is None
    job = claimed(jobs)
    assert (job.id, job.payload, job.state, job.attempt) == (number, {"rank": 64}, "running", 1)
    assert jobs.claim("w2", ["train"]) is None
    assert jobs.heartbeat(job, 0.5, "half")
    assert (jobs.get(number).progress, jobs.get(number).message) == (0.5, "half")
    jobs.finish(job, {"ndcg": 0.3})
    ended = jobs.get(number)
    assert (ended.state, ended.result, ended.progress) == ("done", {"ndcg": 0.3}, 1.0)
    assert [job.id for job in jobs.list(state="done", kind="train")] == [number]


def test_the_oldest_is_taken_first_and_a_delayed_one_waits(jobs: Jobs) -> None:
    jobs.enqueue("train", "late", delay=3600)
    jobs.enqueue("train", "a")
    jobs.enqueue("train", "b")
    assert [claimed(jobs).payload, claimed(jobs).payload] == ["a", "b"]
    assert jobs.claim("w", ["train"]) is None


def test_a_key_is_enqueued_once(jobs: Jobs) -> None:
    with ThreadPoolExecutor(4) as pool:
        numbers = set(pool.map(lambda _: jobs.enqueue("train", key="nightly"), range(8)))
    assert len(numbers) == 1
    assert jobs.enqueue("other", key="nightly") not in numbers


def test_a_lease_that_ran_out_is_given_to_another_and_the_first_is_refused(jobs: Jobs, hasty: Jobs) -> None:
    number = jobs.enqueue("train")
    slow = claimed(hasty, "slow")
    time.sleep(0.25)
    other = claimed(jobs, "other")
    assert (other.id, other.attempt, other.worker) == (number, 2, "other")
    for late in (lambda: jobs.heartbeat(slow), lambda: jobs.finish(slow, 1), lambda: jobs.fail(slow, "x")):
        with pytest.raises(LeaseLostError):
            late()
    jobs.finish(other, 2)
    assert jobs.get(number).result == 2


def test_heartbeats_keep_a_lease(engine: Engine) -> None:
    jobs = Jobs(engine, lease_seconds=1)
    jobs.enqueue("train")
    job = claimed(jobs)
    for _ in range(3):
        time.sleep(0.4)
        assert jobs.heartbeat(job)
        assert jobs.claim("thief", ["train"]) is None


def test_failures_are_retried_until_the_attempts_are_used_up(jobs: Jobs) -> None:
    number = jobs.enqueue("train", max_attempts=2)
    jobs.fail(claimed(jobs), "first", delay=0)
    assert (jobs.get(number).state, jobs.get(number).error) == ("queued", "first")
    jobs.fail(claimed(jobs), "second", delay=0)
    assert (jobs.get(number).state, jobs.get(number).error) == ("failed", "second")


def test_a_job_whose_workers_vanish_fails_at_last(jobs: Jobs, hasty: Jobs) -> None:
    number = jobs.enqueue("train", max_attempts=1)
    claimed(hasty)
    time.sleep(0.25)
    assert jobs.claim("w", ["train"]) is None
    assert jobs.get(number).state == "failed"
    assert "vanished" in (jobs.get(number).error or "")


def test_cancelling(jobs: Jobs) -> None:
    waiting, running = jobs.enqueue("other"), jobs.enqueue("train")
    job = claimed(jobs)
    for number in (waiting, running):
        jobs.cancel(number)
    assert jobs.get(waiting).state == "cancelled"
    assert jobs.get(running).state == "running"
    assert jobs.heartbeat(job) is False
    jobs.confirm_cancel(job)
    assert jobs.get(running).state == "cancelled"
    jobs.cancel(running)
    with pytest.raises(UnknownIdError):
        jobs.cancel(10**6)


def test_many_claimers_share_without_doubles(jobs: Jobs) -> None:
    numbers = {jobs.enqueue("train", i) for i in range(30)}
    taken: Counter[int] = Counter()

    def work(worker: int) -> None:
        while (job := jobs.claim(f"w{worker}", ["train"])) is not None:
            taken[job.id] += 1
            jobs.finish(job)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert set(taken) == numbers
    assert set(taken.values()) == {1}


@pytest.mark.parametrize("payload", [float("nan"), {1, 2}, object()])
def test_payloads_that_are_not_json(jobs: Jobs, payload: object) -> None:
    with pytest.raises(ParameterError, match="not JSON"):
        jobs.enqueue("train", payload)


def test_a_kind_is_needed(jobs: Jobs) -> None:
    with pytest.raises(ParameterError, match="kind"):
        jobs.enqueue("")


class TestWorker:
    """`run_worker`, in a thread of its own."""

    @pytest.fixture
    def start(self, engine: Engine):  # type: ignore[no-untyped-def]
        running: list[tuple[threading.Thread, threading.Event]] = []

        def begin(**handlers):  # type: ignore[no-untyped-def]
            stop = threading.Event()
            options = {"lease_seconds": 0.3, "poll_seconds": 0.02}
            thread = threading.Thread(target=run_worker, args=(engine, handlers, stop), kwargs=options)
            thread.start()
            running.append((thread, stop))
            return thread, stop

        yield begin
        for thread, stop in running:
            stop.set()
            thread.join(120)
            assert not thread.is_alive()

    def test_a_result_or_an_error_that_cannot_be_kept_leaves_the_worker_at_work(self, jobs: Jobs, start) -> None:  # type: ignore[no-untyped-def]
        def train(context: JobContext) -> object:
            if context.payload == "raise":
                raise InputError("NUL \0 and half a pair \ud800")
            return {"set": set(), "nan": float("nan")}.get(context.payload, "well")

        numbers = [jobs.enqueue("train", payload) for payload in ("set", "nan", "raise", "good")]
        start(train=train)
        end = time.monotonic() + 120
        while jobs.get(numbers[-1]).state != "done" and time.monotonic() < end:
            time.sleep(0.02)
        assert [jobs.get(number).state for number in numbers] == ["failed", "failed", "failed", "done"]
        assert jobs.get(numbers[0]).error == "The result is not JSON."
        assert jobs.get(numbers[2]).error == "NUL  and half a pair ?"

    def test_work_is_done_and_bad_input_is_not_tried_again(self, jobs: Jobs, start) -> None:  # type: ignore[no-untyped-def]
        def train(context: JobContext) -> int:
            context.progress(0.5, "half")
            if context.payload < 0:
                raise InputError("must not be negative.", where="rank")
            return int(context.payload) * 2

        good, bad = jobs.enqueue("train", 21), jobs.enqueue("train", -1)
        start(train=train)
        assert until_ended(jobs, good).result == 42
        ended = until_ended(jobs, bad)
        assert (ended.state, ended.attempt, ended.error) == ("failed", 1, "rank: must not be negative.")

    def test_a_long_job_keeps_its_lease_without_reporting(self, jobs: Jobs, start) -> None:  # type: ignore[no-untyped-def]
        number = jobs.enqueue("train")
        start(train=lambda context: time.sleep(0.8))
        ended = until_ended(jobs, number)
        assert (ended.state, ended.attempt) == ("done", 1)

    def test_a_running_job_is_cancelled(self, jobs: Jobs, start) -> None:  # type: ignore[no-untyped-def]
        begun = threading.Event()

        def endless(context: JobContext) -> None:
            begun.set()
            while True:
                time.sleep(0.01)
                context.check()

        number = jobs.enqueue("train")
        start(train=endless)
        assert begun.wait(120)
        jobs.cancel(number)
        assert until_ended(jobs, number).state == "cancelled"

    def test_a_stopped_worker_gives_its_job_back(self, jobs: Jobs, start) -> None:  # type: ignore[no-untyped-def]
        begun = threading.Event()

        def endless(context: JobContext) -> None:
            begun.set()
            while True:
                time.sleep(0.01)
                context.progress(0.1)

        number = jobs.enqueue("train", max_attempts=1)
        thread, stop = start(train=endless)
        assert begun.wait(120)
        stop.set()
        thread.join(120)
        assert jobs.get(number).state == "queued"
        start(train=lambda context: "resumed")
        assert until_ended(jobs, number).result == "resumed"

    def test_a_killed_worker_is_replaced(self, jobs: Jobs, address: str, start) -> None:  # type: ignore[no-untyped-def]
        number = jobs.enqueue("train")
        code = (
            "import threading, time; from palate.store import *\n"
            f"run_worker(open_engine({address!r}), {{'train': lambda c: time.sleep(60)}}, threading.Event(), "
            "lease_seconds=0.5, poll_seconds=0.02)"
        )
        victim = subprocess.Popen([sys.executable, "-c", code])
        try:
            end = time.monotonic() + 30
            while jobs.get(number).state != "running" and time.monotonic() < end:
                time.sleep(0.05)
            assert jobs.get(number).state == "running"
        finally:
            victim.kill()
            victim.wait()
        start(train=lambda context: "done by another")
        ended = until_ended(jobs, number)
        assert (ended.result, ended.attempt) == ("done by another", 2)
