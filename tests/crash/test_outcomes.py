"""What an outcome is worth that is written down and not committed, and a new job that has a name
and no content yet: the two things that one sync instead of two leaves open."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from spoolq.files.fs import Filesystem
from spoolq.files.store import FileBackend
from spoolq.model import WORKER_GONE
from tests.support import FakeClock

OpenSpool = Callable[..., FileBackend]


class Died(Exception):
    """The process ends here."""


class DiesBeforeCommit(Filesystem):
    """A process that is killed when the new file is written and the old one still there."""

    def move(self, source: str, target: str, *, private: bool = False) -> bool:
        if target.endswith(".old"):
            raise Died
        return super().move(source, target, private=private)


class NextBoot(Filesystem):
    """The same disk after the machine went down and came up again."""

    def __init__(self, root: str, *, durable: bool = True, shared: bool = False) -> None:
        super().__init__(root, durable=durable, shared=shared)
        self.boot = "the-next-boot"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def open_spool(root: Path, clock: FakeClock) -> OpenSpool:
    def open_it(**options: object) -> FileBackend:
        return FileBackend(str(root), **{"clock": clock, "durability": "none", **options})  # type: ignore[arg-type]

    return open_it


def dies_finishing(backend: FileBackend, *, result: str = "done") -> tuple[int, int]:
    """(job, worker) of a process that wrote down the outcome of a job and could not commit it."""
    job, worker = backend.enqueue("foo"), backend.register_worker()
    claimed = backend.dequeue(worker)
    assert claimed is not None
    with pytest.raises(Died):
        backend.finish_job(job, claimed["retries"], result)
    return job, worker


def incidents(root: Path) -> list[str]:
    return [json.loads(path.read_text())["incident"] for path in (root / "incidents").iterdir()]


def shown(backend: FileBackend, job: int) -> tuple[str, object]:
    [info] = backend.list_jobs(ids=[job]).rows
    return info.state, info.result


def test_a_worker_that_was_killed_at_the_commit_has_finished_its_job(open_spool: OpenSpool) -> None:
    """It ran, and what came of it is complete on the disk: it is not run again."""
    job, worker = dies_finishing(open_spool(filesystem=DiesBeforeCommit))
    backend = open_spool()

    backend.unregister_worker(worker)
    backend.repair()

    assert shown(backend, job) == ("finished", "done")


def test_a_child_of_a_job_whose_outcome_repair_commits_may_run(open_spool: OpenSpool) -> None:
    job, worker = dies_finishing(open_spool(filesystem=DiesBeforeCommit))
    backend = open_spool()
    child = backend.enqueue("child", parents=[job])

    backend.unregister_worker(worker)
    backend.repair()

    claimed = backend.dequeue(backend.register_worker())
    assert claimed is not None
    assert claimed["id"] == child


def test_an_outcome_that_is_cut_off_does_not_count(open_spool: OpenSpool, root: Path) -> None:
    job, worker = dies_finishing(open_spool(filesystem=DiesBeforeCommit))
    [staged] = (root / "settling").iterdir()
    staged.write_bytes(staged.read_bytes()[:-9])
    backend = open_spool()

    backend.unregister_worker(worker)
    backend.repair()

    assert shown(backend, job) == ("failed", WORKER_GONE)


def test_a_holder_that_wakes_up_after_repair_has_committed_for_it_is_told_that_it_finished(
    open_spool: OpenSpool, root: Path
) -> None:
    other = open_spool()

    class Sleeps(Filesystem):
        def move(self, source: str, target: str, *, private: bool = False) -> bool:
            if target.endswith(".old"):
                other.unregister_worker(worker)
                other.repair()
            return super().move(source, target, private=private)

    sleeper = open_spool(filesystem=Sleeps)
    worker, job = sleeper.register_worker(), sleeper.enqueue("foo")
    assert sleeper.dequeue(worker)

    assert sleeper.finish_job(job, 0, "done")

    assert shown(other, job) == ("finished", "done")
    assert incidents(root) == []


def test_an_outcome_counts_after_a_boot_though_its_commit_was_lost(open_spool: OpenSpool) -> None:
    job, _ = dies_finishing(open_spool(filesystem=DiesBeforeCommit))

    backend = open_spool(filesystem=NextBoot)

    assert shown(backend, job) == ("finished", "done")


def test_an_outcome_does_not_count_after_a_boot_when_the_job_has_gone_on(
    open_spool: OpenSpool, root: Path
) -> None:
    job, _ = dies_finishing(open_spool(filesystem=DiesBeforeCommit))
    assert open_spool().retry_job(job, 0)

    backend = open_spool(filesystem=NextBoot)

    assert shown(backend, job) == ("inactive", None)
    assert list((root / "settling").iterdir()) == []


def test_a_change_by_somebody_else_does_not_count_after_a_boot_when_it_was_not_committed(
    open_spool: OpenSpool,
) -> None:
    # A note, a retry, a repair: two of them may have been under way at once, and which one was
    # fenced off nobody could tell any more.
    job = open_spool().enqueue("foo")
    with pytest.raises(Died):
        open_spool(filesystem=DiesBeforeCommit).retry_job(job, 0, priority=5)

    [info] = open_spool(filesystem=NextBoot).list_jobs(ids=[job]).rows

    assert (info.retries, info.priority) == (0, 0)


def test_a_new_job_without_its_content_was_never_enqueued(
    open_spool: OpenSpool, root: Path
) -> None:
    backend = open_spool()
    whole, torn = backend.enqueue("foo", ["bar"]), backend.enqueue("foo", ["bar"])
    [path] = root.glob(f"inactive/*/*/*/{torn}.*")
    path.write_bytes(path.read_bytes()[:100])

    after = open_spool(filesystem=NextBoot)

    assert [info.id for info in after.list_jobs().rows] == [whole]
    assert incidents(root) == ["enqueue undone by power loss"]
    assert list((root / "corrupt").iterdir()) == []


def test_a_process_that_was_forked_has_no_claim_of_its_parent(
    open_spool: OpenSpool, root: Path
) -> None:
    """Of two processes with one claim neither could know whose outcome counts."""
    backend = open_spool()
    worker, job = backend.register_worker(), backend.enqueue("foo")
    assert backend.dequeue(worker)
    backend._become_child()
    staged: list[str] = []
    create = backend._fs.create

    def watched(path: str, data: bytes, *, sync: bool = True, urgent: bool = False) -> None:
        staged.append(path)
        create(path, data, sync=sync, urgent=urgent)

    backend._fs.create = watched  # type: ignore[method-assign]

    assert backend.finish_job(job, 0)

    assert [path.rpartition(".")[2] for path in staged] == ["new"]


@pytest.mark.parametrize("operation", ["enqueue", "finish", "fail", "fail and retry"])
def test_a_new_job_and_an_outcome_are_synced_once(open_spool: OpenSpool, operation: str) -> None:
    backend = open_spool(durability="full")
    if backend._fs.kind not in ("ext4", "xfs", "btrfs"):
        pytest.skip("the file system of the temporary directory needs more")
    syncs: list[int] = []
    fsync = backend._fs.sys_fsync

    def counted(fd: int) -> None:
        syncs.append(fd)
        fsync(fd)

    backend._fs.sys_fsync = counted
    worker = backend.register_worker()
    for _ in range(2):  # the first of a bucket makes its directories
        job = backend.enqueue("foo", attempts=2 if "retry" in operation else 1)
        claimed = backend.dequeue(worker)
        assert claimed is not None
        syncs.clear()
        if operation == "enqueue":
            backend.enqueue("bar", queue="other")
        elif operation == "finish":
            assert backend.finish_job(job, 0)
        else:
            assert backend.fail_job(job, 0)

    assert len(syncs) == 1
