from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest

from millsight.platform.errors import UserError
from millsight.platform.services.database import Database
from millsight.platform.services.jobs import JobState, JobStore, QueueLimits
from millsight.platform.services.leases import JobQueue
from millsight.platform.services.problems import ProblemError


class Clock:
    """Time that passes when told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "service.db")


@pytest.fixture
def jobs(database: Database, clock: Clock) -> JobStore:
    return JobStore(database, clock=clock)


@pytest.fixture
def queue(database: Database, clock: Clock) -> JobQueue:
    return JobQueue(database, lease_s=10, max_attempts=2, clock=clock)


def test_same_key_and_body_is_the_same_job(jobs):
    first, is_new = jobs.submit("count", {"a": 1, "b": 2}, owner="x", key="k")
    again, is_new_again = jobs.submit("count", {"b": 2, "a": 1}, owner="x", key="k")
    assert (is_new, is_new_again) == (True, False)
    assert first == again
    other, _ = jobs.submit("count", {"a": 1, "b": 2}, owner="y", key="k")
    unkeyed, _ = jobs.submit("count", {"a": 1, "b": 2}, owner="x")
    assert len({first.id, other.id, unkeyed.id}) == 3


@pytest.mark.parametrize(("kind", "body"), [("count", {"a": 2}), ("other", {"a": 1})])
def test_same_key_with_another_request_is_refused(jobs, kind, body):
    jobs.submit("count", {"a": 1}, owner="x", key="k")
    with pytest.raises(ProblemError, match="used for another request") as refused:
        jobs.submit(kind, body, owner="x", key="k")
    assert refused.value.status == 409
    assert len(jobs.page(10)) == 1


def test_a_key_submitted_from_many_threads_at_once_is_one_job(jobs):
    gate = threading.Barrier(8)

    def submit(_: int) -> str:
        gate.wait()
        return jobs.submit("count", {"a": 1}, owner="x", key="k")[0].id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(submit, range(8)))) == 1


def test_every_job_is_claimed_once_by_many_threads_and_in_order(jobs, database):
    submitted = [jobs.submit("count", {"n": n}, owner="x")[0].id for n in range(60)]
    queue = JobQueue(database)

    def take(_: int) -> list[str]:
        taken = []
        while lease := queue.claim(["count"]):
            taken.append(lease.job.id)
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(take, range(4)))
    assert sorted(chain.from_iterable(taken)) == sorted(submitted)
    order = {job: n for n, job in enumerate(submitted)}
    for mine in taken:
        assert mine == sorted(mine, key=order.__getitem__)


def test_a_worker_only_gets_the_kinds_it_knows(jobs, queue):
    jobs.submit("generate", {}, owner="x")
    assert queue.claim(["count"]) is None
    assert queue.claim(["count", "generate"]) is not None


def test_a_lease_that_ran_out_goes_to_another_and_the_first_changes_nothing(jobs, queue, clock):
    job = jobs.submit("count", {}, owner="x")[0].id
    first = queue.claim(["count"])
    clock.now += 9
    assert queue.claim(["count"]) is None
    assert queue.renew(first)
    clock.now += 9
    assert queue.claim(["count"]) is None
    clock.now += 2
    second = queue.claim(["count"])
    assert (second.job.id, second.job.attempts) == (job, 2)
    assert not queue.renew(first)
    assert not queue.progress(first, 5, 10, "late")
    for settle in (queue.finish, queue.fail, queue.retry):
        assert not settle(first, {} if settle == queue.finish else "late")
    assert not queue.stop(first)
    assert jobs.get(job).done == 0
    assert queue.finish(second, {"n": 1})
    assert (jobs.get(job).state, jobs.get(job).result) == (JobState.DONE, {"n": 1})


def test_a_job_that_kills_its_worker_fails_in_the_end(jobs, queue, clock):
    job = jobs.submit("count", {}, owner="x")[0].id
    for _ in range(2):
        assert queue.claim(["count"])
        clock.now += 11
    assert queue.claim(["count"]) is None
    assert jobs.get(job).state == JobState.FAILED
    assert "ended 2 times" in jobs.get(job).error


def test_errors_are_tried_again_and_a_shutdown_is_no_attempt(jobs, queue):
    job = jobs.submit("count", {}, owner="x")[0].id
    queue.stop(queue.claim(["count"]))
    assert (jobs.get(job).state, jobs.get(job).attempts) == (JobState.QUEUED, 0)
    queue.retry(queue.claim(["count"]), "once")
    assert (jobs.get(job).state, jobs.get(job).error) == (JobState.QUEUED, "once")
    queue.retry(queue.claim(["count"]), "twice")
    assert (jobs.get(job).state, jobs.get(job).error) == (JobState.FAILED, "twice")


def test_cancel(jobs, queue, clock):
    waiting, running, orphan = (jobs.submit("count", {"n": n}, owner="x")[0].id for n in range(3))
    assert jobs.cancel(waiting).state == JobState.CANCELLED
    lease = queue.claim(["count"])
    assert jobs.cancel(running).cancelling
    version = jobs.get(running).version
    assert jobs.cancel(running).version == version, "asked for twice, changed once"
    assert not queue.progress(lease, 1, 2, "")
    queue.stop(lease)
    assert jobs.get(running).state == JobState.CANCELLED
    queue.claim(["count"])
    jobs.cancel(orphan)
    clock.now += 11
    assert queue.claim(["count"]) is None
    assert jobs.get(orphan).state == JobState.CANCELLED
    assert jobs.cancel(orphan).version == jobs.get(orphan).version


def test_each_change_raises_the_version(jobs, queue):
    job = jobs.submit("count", {}, owner="x")[0].id
    versions = [jobs.get(job).version]
    lease = queue.claim(["count"])
    versions.append(jobs.get(job).version)
    queue.progress(lease, 1, 2, "")
    versions.append(jobs.get(job).version)
    queue.renew(lease)
    assert jobs.get(job).version == versions[-1], "a renewal is no news"
    queue.finish(lease, {})
    assert [*versions, jobs.get(job).version] == [1, 2, 3, 4]


def test_pages_do_not_move_under_inserts(jobs):
    before = [jobs.submit("count", {"n": n}, owner="x")[0] for n in range(10)]
    seen, cursor = [], None
    while page := jobs.page(3, before=cursor):
        seen += [job.id for job in page]
        cursor = page[-1].seq
        jobs.submit("count", {"late": cursor}, owner="x")
    assert seen == [job.id for job in reversed(before)]


def test_filters_of_the_list(jobs, queue):
    for kind, owner in (("count", "x"), ("count", "y"), ("other", "x")):
        jobs.submit(kind, {}, owner=owner)
    queue.claim(["count"])
    assert [job.owner for job in jobs.page(9, kinds=["count"])] == ["y", "x"]
    assert [job.kind for job in jobs.page(9, owner="x", states=[JobState.QUEUED])] == ["other"]
    assert jobs.counts()[JobState.RUNNING] == 1
    assert jobs.counts()[JobState.FAILED] == 0


def test_queue_limits_count_only_what_waits(database, queue):
    jobs = JobStore(database, QueueLimits(queued=4, queued_per_owner=3, cost_per_owner=10))
    jobs.submit("count", {}, owner="x", cost=6, key="k")
    with pytest.raises(ProblemError, match="cost enough") as refused:
        jobs.submit("count", {}, owner="x", cost=5)
    assert refused.value.status == 429
    assert int(refused.value.headers["Retry-After"]) >= 1
    with pytest.raises(ProblemError, match="in parts") as refused:
        jobs.submit("count", {}, owner="x", cost=11)
    assert refused.value.status == 422
    for owner in ("x", "x", "y"):
        jobs.submit("count", {}, owner=owner)
    with pytest.raises(ProblemError, match="Too many jobs"):
        jobs.submit("count", {}, owner="y")
    assert not jobs.submit("count", {}, owner="x", cost=6, key="k")[1], "a known key always answers"
    queue.finish(queue.claim(["count"]), {})
    jobs.submit("count", {}, owner="x", cost=5)


def test_what_was_committed_is_there_for_another_process(jobs, database):
    job = jobs.submit("count", {"a": [1, None, "ü\ud800"]}, owner="x")[0]
    assert JobStore(Database(database.path)).get(job.id) == job
    assert database.all("PRAGMA journal_mode")[0][0] == "wal"
    assert database.all("PRAGMA synchronous")[0][0] == 2


def test_a_file_that_is_no_database_is_the_users_error(tmp_path):
    (tmp_path / "service.db").write_text("hello" * 1000)
    with pytest.raises(UserError, match=r"service\.db cannot be used"):
        Database(tmp_path / "service.db")


def test_a_newer_database_is_left_alone(database):
    database.connection.execute("PRAGMA user_version=99")
    with pytest.raises(UserError, match="newer millsight"):
        Database(database.path)
