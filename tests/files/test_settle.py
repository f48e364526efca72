"""Outcomes, claims and notes that meet: regressions that state machine and races have found."""

from __future__ import annotations

import pytest

from spoolq.files.fs import Filesystem
from spoolq.files.store import FileBackend
from tests.files.conftest import OpenSpool
from tests.support import FakeClock, claim, drain, info


def test_outcomes_of_two_attempts_of_one_job_are_told_apart(
    files: FileBackend, worker: int
) -> None:
    """Found by the state machine: the stale outcome hid the one that counts."""
    job = files.enqueue("foo")
    claim(files, worker)
    files.retry_job(job, 0)
    claim(files, worker)

    assert files.finish_jobs([(job, 0, "old"), (job, 1, "new"), (job, 1, "late")]) == [
        False, True, False,
    ]  # fmt: skip
    assert info(files, job).result == "new"


class Interrupted(Filesystem):
    """A disk on which something happens just before a certain file is read."""

    before_read = staticmethod(lambda path: None)

    def read(self, path: str, limit: int, *, linked: bool = False) -> bytes | None:
        type(self).before_read(path)
        return super().read(path, limit, linked=linked)


@pytest.fixture
def interrupted(open_spool: OpenSpool, files: FileBackend) -> FileBackend:
    """A process to which something happens just before it reads an active job, three times."""
    times = 0

    def annotate(path: str) -> None:
        nonlocal times
        if "/active/" in path and times < 3:
            times += 1
            assert files.note(1, {"seen": times})

    class Annotated(Interrupted):
        before_read = staticmethod(annotate)

    return open_spool(filesystem=Annotated)


def test_a_note_between_claim_and_reading_does_not_lose_the_claim(
    files: FileBackend, interrupted: FileBackend
) -> None:
    """Found by a race: the job stayed active, and its worker did not know of it."""
    files.enqueue("foo")
    worker = interrupted.register_worker()

    claimed = claim(interrupted, worker)

    assert interrupted.finish_job(claimed["id"], 0, "done")
    assert (info(files, 1).result, info(files, 1).notes) == ("done", {"seen": 3})


def test_a_note_between_look_up_and_reading_does_not_refuse_an_outcome(
    files: FileBackend, worker: int, interrupted: FileBackend
) -> None:
    """Found by a race: `finish` answered False for a job that was running."""
    files.enqueue("foo")
    claim(files, worker)

    assert interrupted.finish_job(1, 0, "done")
    assert info(files, 1).notes == {"seen": 3}


def test_a_note_on_a_job_that_is_being_given_back_does_not_keep_it_active(
    files: FileBackend, worker: int, open_spool: OpenSpool
) -> None:
    """Its parent is unfinished again, which its claimer sees; the note comes before the release."""
    parent = files.enqueue("parent", queue="parents")
    files.finish_job(claim(files, worker, queues=["parents"])["id"], 0)
    child = files.enqueue("child", parents=[parent])
    files.retry_job(parent, 0)

    class Annotated(Filesystem):
        notes = 0

        def move(self, source: str, target: str, *, private: bool = False) -> bool:
            if "/active/" in source and "/waiting/" in target and Annotated.notes < 3:
                Annotated.notes += 1
                assert files.note(child, {"seen": Annotated.notes})
            return super().move(source, target, private=private)

    claimer = open_spool(filesystem=Annotated)

    assert claimer.dequeue(claimer.register_worker()) is None
    assert Annotated.notes == 3
    assert info(files, child).state == "inactive"
    assert files.finish_job(claim(files, worker, queues=["parents"])["id"], 1)
    assert drain(files, worker) == [child]


def test_a_child_that_is_on_its_way_while_its_parent_is_removed_does_not_wait_for_ever(
    files: FileBackend, worker: int, open_spool: OpenSpool
) -> None:
    """Found by a race: whoever removed the parent had dropped the marker of this child, and
    nobody, not even repair, looked for it again."""
    parent = files.enqueue("parent", delay=1000)

    class Slow(Filesystem):
        """The parent is removed between the child's look at it and its publication."""

        def publish(self, staged: str, target: str, data: bytes) -> None:
            if "/waiting/" in target:
                assert files.remove_job(parent)
            super().publish(staged, target, data)

        def move(self, source: str, target: str, *, private: bool = False) -> bool:
            if "/waiting/" in target and "/tmp/" in source:
                assert files.remove_job(parent)
            return super().move(source, target, private=private)

    child = open_spool(filesystem=Slow).enqueue("child", parents=[parent])

    assert files.list_jobs(ids=[parent]).total == 0
    assert drain(files, worker) == [child]


def test_a_job_that_moves_while_it_is_listed_is_in_the_list(
    files: FileBackend, worker: int, open_spool: OpenSpool
) -> None:
    """Found by a race: what was claimed between the two looks was in neither."""
    jobs = files.enqueue_many(["foo"] * 5)

    class Slow(Filesystem):
        """Somebody claims, finishes and retries jobs while this one looks."""

        def list(self, path: str) -> list[str]:
            seen = super().list(path)
            if path.endswith("/active"):
                claimed = files.dequeue(worker)
                if claimed and claimed["retries"] == 0:
                    files.finish_job(claimed["id"], 0)
                if claimed and claimed["id"] == 2 and claimed["retries"] == 0:
                    files.retry_job(2, 0, priority=-1)
            return seen

    reader = open_spool(filesystem=Slow)
    for _ in range(8):
        assert sorted(job.id for job in reader.list_jobs().rows) == jobs


def test_a_change_that_is_committed_and_not_published_is_listed_as_it_will_be(
    files: FileBackend, worker: int, open_spool: OpenSpool
) -> None:
    class Died(Exception):
        pass

    class Dying(Filesystem):
        def move(self, source: str, target: str, *, private: bool = False) -> bool:
            if source.endswith((".new", ".end")):
                raise Died
            return super().move(source, target, private=private)

    dying = open_spool(filesystem=Dying)
    job, other = files.enqueue("foo", notes={"k": 1}), files.enqueue("bar")
    claim(dying, worker)
    with pytest.raises(Died):
        dying.finish_job(job, 0, "done")

    shown = files.list_jobs(tasks=["foo"], states=["finished"], notes=["k"]).rows
    assert [(found.id, found.state, found.result) for found in shown] == [(job, "finished", "done")]
    assert [found.id for found in files.list_jobs().rows] == [other, job]


@pytest.mark.minion(137)
@pytest.mark.parametrize("expire", [0, 5])
def test_a_parent_that_is_given_an_expiry_lets_its_children_go_when_it_expires(
    files: FileBackend, worker: int, clock: FakeClock, expire: float
) -> None:
    """Found by the state machine: nobody was told, and the children waited for a repair."""
    parent = files.enqueue("parent", queue="parents")
    children = [files.enqueue("child", parents=[parent]), files.enqueue("child", parents=[parent])]
    files.retry_job(parent, 0, expire=expire)
    clock.advance(expire)

    assert drain(files, worker) == children


@pytest.mark.minion(137)
@pytest.mark.parametrize("end", ["fail_job", "retry_job"])
def test_a_parent_that_ran_when_its_children_came_lets_them_go_when_it_expires(
    files: FileBackend, worker: int, clock: FakeClock, end: str
) -> None:
    parent = files.enqueue("parent", queue="parents", attempts=3, expire=60)
    claim(files, worker, queues=["parents"])
    child = files.enqueue("child", parents=[parent])
    getattr(files, end)(parent, 0)
    assert files.dequeue(worker) is None
    clock.advance(60)

    assert drain(files, worker) == [child]
