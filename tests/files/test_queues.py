"""What is said of queues, on disk: what it costs, and who notices it when."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from spoolq.errors import QueueClosed, SpoolUnavailable
from spoolq.files.fs import Filesystem
from spoolq.files.store import FileBackend
from tests.support import FakeClock, claim, drain, info

OpenSpool = Callable[..., FileBackend]


class Asked(Filesystem):
    """Notes every path that is listed, read or looked at."""

    paths: ClassVar[list[str]] = []

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(root, **options)
        for name in ("list", "read", "is_directory", "changed", "is_there"):
            setattr(self, name, self._noted(getattr(self, name)))

    def _noted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(path: str, *args: Any, **options: Any) -> Any:
            Asked.paths.append(path)
            return call(path, *args, **options)

        return noted


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def open_spool(root: Path, clock: FakeClock) -> OpenSpool:
    def open_it(**options: Any) -> FileBackend:
        return FileBackend(str(root), **{"clock": clock, "durability": "none", **options})

    return open_it


def about_queues(paths: list[str]) -> list[str]:
    return [path for path in paths if "/control" in path or "/slots" in path]


def test_claiming_and_finishing_asks_nothing_about_a_queue_of_which_nothing_is_said(
    open_spool: OpenSpool,
) -> None:
    files = open_spool(filesystem=Asked)
    files.set_queue("other", limit=3)
    worker, ids = files.register_worker(), files.enqueue_many(["foo"] * 20)
    Asked.paths.clear()

    for id_ in ids:
        claim(files, worker)
        files.finish_job(id_, 0)

    assert about_queues(Asked.paths) == []


def test_enqueueing_looks_once_a_while_whether_the_queue_is_open(
    open_spool: OpenSpool, clock: FakeClock
) -> None:
    files = open_spool(filesystem=Asked)
    Asked.paths.clear()

    for _ in range(20):
        files.enqueue("foo")
    assert len(about_queues(Asked.paths)) == 1

    clock.advance(0.5)
    files.enqueue("foo")
    assert len(about_queues(Asked.paths)) == 2


def test_claiming_from_a_queue_that_once_was_paused_reads_its_state_once_a_second(
    open_spool: OpenSpool,
) -> None:
    files = open_spool(filesystem=Asked)
    files.set_queue("default", paused=True)
    files.set_queue("default", paused=False)
    worker, ids = files.register_worker(), files.enqueue_many(["foo"] * 20)
    claim(files, worker)
    Asked.paths.clear()

    for id_ in ids[1:]:
        claim(files, worker)
        files.finish_job(id_, 0)

    assert about_queues(Asked.paths) == []


def test_another_process_notices_at_once_that_a_queue_was_paused(open_spool: OpenSpool) -> None:
    files, other = open_spool(), open_spool()
    worker, ids = other.register_worker(), files.enqueue_many(["foo"] * 3)
    claim(other, worker)

    files.set_queue("default", paused=True)
    assert other.dequeue(worker) is None

    files.set_queue("default", paused=False)
    assert drain(other, worker) == ids[1:]


def test_it_notices_within_a_second_when_whoever_paused_it_died_before_he_could_tell(
    open_spool: OpenSpool, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, other = open_spool(), open_spool()
    worker = other.register_worker()
    files.set_queue("default", limit=9)  # something was said of it before
    files.enqueue_many(["foo"] * 3)
    claim(other, worker)

    def die(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files._publisher, "bump", die)
    with pytest.raises(KeyboardInterrupt):
        files.set_queue("default", paused=True)
    clock.advance(1)

    assert other.dequeue(worker) is None


def test_another_process_that_enqueues_notices_within_a_second_that_a_queue_was_closed(
    open_spool: OpenSpool, clock: FakeClock
) -> None:
    files, other = open_spool(), open_spool()
    other.enqueue("foo")
    files.set_queue("default", closed=True)
    clock.advance(1)

    with pytest.raises(QueueClosed):
        other.enqueue("foo")


def test_a_job_dropped_into_the_inbox_of_a_closed_queue_waits_there(
    open_spool: OpenSpool, root: Path
) -> None:
    files = open_spool()
    files.set_queue("gpu", closed=True)
    (root / "inactive" / "hello.json").write_text(json.dumps({"task": "foo", "queue": "gpu"}))
    (root / "inactive" / "held.json").write_text(json.dumps({"task": "foo", "hold": True}))

    [job] = files.list_jobs().rows
    assert (job.queue, job.held) == ("default", True)

    files.set_queue("gpu", closed=False)
    assert {job.queue for job in files.list_jobs().rows} == {"default", "gpu"}


def test_moving_a_held_job_into_the_inbox_releases_it(open_spool: OpenSpool, root: Path) -> None:
    files = open_spool()
    job_id = files.enqueue("foo", queue="gpu", hold=True)
    [path] = (root / "inactive" / "gpu" / "held").rglob("*.json")
    path.rename(root / "inactive" / path.name)

    assert not info(files, job_id).held
    assert drain(files, files.register_worker(), queues=["gpu"]) == [job_id]


def test_a_state_that_is_damaged_pauses_the_queue_and_can_be_set_anew(
    open_spool: OpenSpool, root: Path
) -> None:
    files = open_spool()
    files.set_queue("default", limit=2)
    [state] = (root / "inactive" / "default" / "control").glob("state.*")
    state.write_text("{")
    other = open_spool()
    job_id = other.enqueue("foo")
    worker = other.register_worker()

    assert other.dequeue(worker) is None
    assert "damaged" in str(other.controls()["default"].paused)
    other.set_queue("default", paused=False)
    assert drain(other, worker) == [job_id]


def test_slots_that_are_damaged_are_told_by_what_runs(open_spool: OpenSpool, root: Path) -> None:
    files = open_spool()
    files.set_queue("default", limit=1)
    files.enqueue_many(["foo"] * 2)
    worker = files.register_worker()
    claim(files, worker)
    [state] = (root / "inactive" / "default" / "slots").glob("state.*")
    state.write_text("")

    other = open_spool()

    assert other.dequeue(other.register_worker()) is None


def test_an_outcome_stands_though_the_disk_refuses_to_free_its_slot(
    open_spool: OpenSpool, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = open_spool()
    files.set_queue("default", limit=1)
    ids = files.enqueue_many(["foo"] * 2)
    worker = files.register_worker()
    claim(files, worker)

    def refuse(*_: object) -> bool:
        raise SpoolUnavailable("no")

    with monkeypatch.context() as patch:
        patch.setattr(files._slots, "free", refuse)
        assert files.finish_job(ids[0], 0)

    clock.advance(1)
    assert claim(files, worker)["id"] == ids[1]


def test_a_slot_that_somebody_else_should_have_freed_is_free_within_a_second(
    open_spool: OpenSpool, clock: FakeClock
) -> None:
    files, stranger = open_spool(), open_spool()
    files.set_queue("default", limit=1)
    ids = files.enqueue_many(["foo"] * 2)
    worker = files.register_worker()
    claim(files, worker)
    assert files.dequeue(worker) is None

    assert stranger.finish_job(ids[0], 0)  # it knows of no limit
    clock.advance(1)

    assert claim(files, worker)["id"] == ids[1]
