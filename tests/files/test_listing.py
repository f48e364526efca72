"""Lists and counts over files: exact at once, and cheap where names and places can tell."""

from __future__ import annotations

from pathlib import Path

from spoolq.files.store import FileBackend
from tests.files.conftest import OpenSpool
from tests.files.counting import Counting, counted
from tests.files.look import file_of
from tests.support import FakeClock, claim


def test_every_count_is_exact_right_after_every_change(
    open_spool: OpenSpool, clock: FakeClock
) -> None:
    """Counts are remembered by directory, and two changes may fall into one tick of its clock."""
    files, other = open_spool(), open_spool()
    worker = files.register_worker()
    inactive = active = finished = failed = 0
    for round_ in range(40):
        files.enqueue_many(["foo"] * 3)
        inactive += 3
        job = claim(files, worker)
        active, inactive = active + 1, inactive - 1
        if round_ % 3 == 0:
            files.finish_job(job["id"], 0)
            active, finished = active - 1, finished + 1
        elif round_ % 3 == 1:
            files.fail_job(job["id"], 0)
            active, failed = active - 1, failed + 1
        if round_ % 4 == 0 and failed:
            [newest] = files.list_jobs(0, 1, states=["failed"]).rows
            files.retry_job(newest.id, newest.retries, priority=-1)
            failed, inactive = failed - 1, inactive + 1
        for asked in (files, other):
            stats = asked.stats()
            counts = [stats[f"{state}_jobs"] for state in ("inactive", "active")]
            assert counts == [inactive, active]
            assert (stats["finished_jobs"], stats["failed_jobs"]) == (finished, failed)
            assert asked.list_jobs(0, 0).total == inactive + active + finished + failed


def test_a_count_is_exact_after_a_change_by_hand(files: FileBackend, root: Path) -> None:
    jobs = files.enqueue_many(["foo"] * 10)
    assert files.stats()["inactive_jobs"] == 10
    file_of(root, jobs[4]).unlink()

    assert files.stats()["inactive_jobs"] == 9
    assert files.list_jobs().total == 9


def test_a_delayed_job_that_has_expired_is_not_counted_as_delayed(
    files: FileBackend, clock: FakeClock
) -> None:
    """Found by the state machine."""
    files.enqueue("foo", delay=100, expire=5)
    files.enqueue("foo", delay=100, expire=50)
    clock.advance(10)

    assert files.stats()["delayed_jobs"] == 1


def test_queues_narrow_what_is_asked_for_by_id(files: FileBackend) -> None:
    """Found by the state machine."""
    job = files.enqueue("foo", queue="a")
    page = files.list_jobs(ids=[job], queues=["b"])

    assert (page.rows, page.total) == ([], 0)
    assert files.list_jobs(ids=[job], queues=[]).total == 0
    assert files.list_jobs(ids=[job], queues=["a"]).total == 1


def test_a_job_in_transit_while_it_is_listed_is_listed_once(open_spool: OpenSpool) -> None:
    files = open_spool()
    worker = files.register_worker()
    job = files.enqueue("foo")

    class Slow(Counting):
        """Somebody claims and finishes the job between two listings of this reader."""

        def list(self, path: str) -> list[str]:
            seen = super().list(path)
            if path.endswith("/places/0"):
                claimed = files.dequeue(worker)
                if claimed:
                    files.finish_job(job, 0)
            return seen

    [shown] = open_spool(filesystem=Slow).list_jobs().rows
    assert shown.id == job


def test_a_listing_of_names_reads_no_file_but_those_it_shows(open_spool: OpenSpool) -> None:
    files = open_spool(filesystem=Counting)
    files.enqueue_many([("foo", [], None)] * 30 + [("bar", [], None)] * 3)
    with counted() as costs:
        page = files.list_jobs(0, 2, tasks=["bar"], states=["inactive"])
        total = page.total

    assert ([job.task for job in page.rows], total) == (["bar", "bar"], 3)
    assert costs["read"] == 2


def test_a_backend_in_a_forked_child_knows_nothing_wrong(
    open_spool: OpenSpool, tmp_path: Path
) -> None:
    import os

    files = open_spool()
    worker = files.register_worker()
    files.enqueue_many(["foo"] * 4)
    mine = [claim(files, worker)["id"]]
    theirs = tmp_path / "theirs"
    pid = os.fork()
    if pid == 0:
        child = files.register_worker()
        theirs.write_text(f"{claim(files, child)['id']} {files.enqueue('bar')}")
        os._exit(0)
    os.waitpid(pid, 0)
    mine += [claim(files, worker)["id"], files.enqueue("baz")]

    # Two workers now, so the next claim is one of the first few.
    assert (mine[0], mine[2]) == (1, 6)
    assert mine[1] in (3, 4)
    assert theirs.read_text() == "2 5"
