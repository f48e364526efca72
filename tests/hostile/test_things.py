"""What is no plain file, in every place where a file is expected (faults 41 to 43, 47)."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spoolq.errors import SpoolUnavailable
from spoolq.files.store import FileBackend
from tests.files.look import age, drop, file_of, set_aside
from tests.hostile.conftest import OpenSpool, a_day
from tests.hostile.test_content import KINDS, job_in
from tests.hostile.things import THINGS
from tests.support import FakeClock, claim, drain, info, lookup

each_thing = pytest.mark.parametrize("thing", THINGS.values(), ids=THINGS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@each_thing
def test_a_thing_in_place_of_a_job_stops_nobody_and_is_not_followed(
    files: FileBackend,
    worker: int,
    root: Path,
    clock: FakeClock,
    open_spool: OpenSpool,
    kind: str,
    thing: Callable[[Path], object],
) -> None:
    job = job_in(files, worker, clock, kind)
    path = file_of(root, job)
    path.unlink()
    thing(path)
    kind_of_file = stat.S_IFMT(path.lstat().st_mode)
    others = [files.enqueue("good"), files.enqueue("good", priority=3)]
    fresh = open_spool()

    assert lookup(fresh, job) is None
    assert {found.id for found in fresh.list_jobs().rows} == {1, *others}
    assert fresh.note(job, {"k": 1}) is False
    assert fresh.retry_job(job, 0) is False
    claimed = claim(files, worker, queues=["parents"])
    files.finish_job(claimed["id"], 0)
    clock.advance(10)
    assert drain(files, worker) == others[::-1]
    a_day(fresh, clock)
    files.unregister_worker(worker)
    files.repair()

    if kind in ("finished", "failed"):
        assert stat.S_IFMT(path.lstat().st_mode) == kind_of_file
    else:
        [kept] = [found for found in (root / "corrupt").iterdir() if found.suffix != ".reason"]
        assert stat.S_IFMT(kept.lstat().st_mode) == kind_of_file
        assert len(set_aside(root)) == 1
    a_day(files, clock)


@pytest.mark.parametrize("name", ["mine.json", "1.0.0.a.foo.json"])
@each_thing
def test_a_thing_in_the_inbox_is_set_aside_and_is_not_followed(
    files: FileBackend,
    worker: int,
    root: Path,
    clock: FakeClock,
    name: str,
    thing: Callable[[Path], object],
) -> None:
    good = files.enqueue("good")
    path = root / "inactive" / name
    thing(path)
    kind = stat.S_IFMT(path.lstat().st_mode)
    a_day(files, clock)
    age(path)
    files.list_jobs()

    assert not os.path.lexists(path)
    [kept] = [found for found in (root / "corrupt").iterdir() if found.suffix != ".reason"]
    assert stat.S_IFMT(kept.lstat().st_mode) == kind
    assert list(set_aside(root)) == [str(path)]
    assert drain(files, worker) == [good]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["workers", "locks", "commands", "ids", "settling", "places"])
@each_thing
def test_a_thing_in_place_of_what_spoolq_keeps_for_itself_stops_nobody(
    files: FileBackend,
    worker: int,
    root: Path,
    clock: FakeClock,
    open_spool: OpenSpool,
    where: str,
    thing: Callable[[Path], object],
) -> None:
    """In `ids` and `places` only the name counts, so it does not matter what has it."""
    files.register_worker(worker, status={"jobs": 1})
    files.enqueue("foo", queue="other")
    files.lock("x", 60)
    files.broadcast("jobs", [1])
    if where == "settling":
        (root / "settling/1.0.1.a@finished.new").touch()
        (root / "trash/0").mkdir(exist_ok=True)
        (root / "trash/0/1.0.1.a@finished.old").touch()
    for path in [path for path in (root / where).rglob("*") if path.is_file()]:
        path.unlink()
        thing(path)
    fresh = open_spool()

    fresh.list_jobs()
    fresh.list_workers()
    fresh.list_locks()
    fresh.unlock("x")
    fresh.receive(worker)
    a_day(fresh, clock)
    a_day(files, clock)
    clock.advance(10_000)
    fresh.repair()
    fresh.repair()
    a_day(fresh, clock)


def test_a_hard_link_to_a_job_keeps_both_names_from_running(
    files: FileBackend, worker: int, root: Path, clock: FakeClock
) -> None:
    job, good = files.enqueue("foo"), files.enqueue("good")
    os.link(file_of(root, job), root / "mine.json")

    assert drain(files, worker) == [good]
    [reason] = set_aside(root).values()
    assert "hard link" in reason
    assert (root / "mine.json").exists()
    a_day(files, clock)


def test_a_hard_link_of_a_job_into_the_inbox_runs_nothing_twice(
    files: FileBackend, worker: int, root: Path, clock: FakeClock
) -> None:
    job, good = files.enqueue("foo"), files.enqueue("good")
    link = root / "inactive/again.json"
    os.link(file_of(root, job), link)
    age(link)

    assert drain(files, worker) in ([good], [job, good])
    clock.advance(1)
    files.list_jobs()
    assert lookup(files, good) is not None
    assert set_aside(root)


def test_a_queue_that_is_a_link_to_a_directory_elsewhere_is_not_written_to(
    files: FileBackend, worker: int, root: Path, tmp_path: Path, clock: FakeClock
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.txt").write_text("mine")
    (root / "inactive/evil").symlink_to(elsewhere)

    files.dequeue(worker, queues=["evil"])
    files.list_jobs(queues=["evil"])
    files.repair()
    a_day(files, clock)

    assert [path.name for path in elsewhere.iterdir()] == ["mine.txt"]


# -- a file that the system does not let be moved or read ----------------------------------------


@pytest.fixture
def immutable() -> Iterator[Callable[[Path], None]]:
    """Set the immutable flag of a file, until the test ends."""
    made: list[Path] = []

    def make(path: Path) -> None:
        done = subprocess.run(["chattr", "+i", path], capture_output=True, check=False)
        if done.returncode != 0:
            pytest.skip("this file system has no immutable flag, or this is not root")
        made.append(path)

    yield make
    for path in made:
        subprocess.run(["chattr", "-i", path], check=True)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file immutable")
@pytest.mark.parametrize("kind", KINDS)
def test_an_immutable_job_is_passed_over_and_the_others_run(
    files: FileBackend,
    worker: int,
    root: Path,
    clock: FakeClock,
    immutable: Callable[[Path], None],
    kind: str,
) -> None:
    """Found in review: one such file in front of a queue stopped the queue."""
    job = job_in(files, worker, clock, kind)
    immutable(file_of(root, job))
    others = [files.enqueue("good"), files.enqueue("good", priority=3)]

    claimed = claim(files, worker, queues=["parents"])
    files.finish_job(claimed["id"], 0)
    clock.advance(10)
    assert drain(files, worker) == others[::-1]
    a_day(files, clock)
    clock.advance(10**6)
    files.repair()
    a_day(files, clock)

    assert file_of(root, job).exists()
    if kind != "active":
        with pytest.raises(SpoolUnavailable, match="not permitted"):
            files.remove_job(job)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file immutable")
def test_an_immutable_job_runs_when_it_is_one_no_more(
    files: FileBackend, worker: int, root: Path, clock: FakeClock
) -> None:
    job = files.enqueue("foo")
    path = file_of(root, job)
    if subprocess.run(["chattr", "+i", path], capture_output=True, check=False).returncode:
        pytest.skip("this file system has no immutable flag")
    try:
        assert files.dequeue(worker) is None
        assert files.dequeue(worker) is None
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    clock.advance(3600)

    assert claim(files, worker)["id"] == job


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file immutable")
@pytest.mark.parametrize("content", [{"task": "foo"}, b"{"], ids=["a job", "garbage"])
def test_an_immutable_file_in_the_inbox_stops_nobody_and_takes_no_ids(
    files: FileBackend,
    worker: int,
    root: Path,
    clock: FakeClock,
    immutable: Callable[[Path], None],
    content: object,
) -> None:
    immutable(drop(root, "mine.json", content))
    drop(root, "other.json", {"task": "good"})

    assert claim(files, worker)["task"] == "good"
    for _ in range(20):
        clock.advance(1)
        files.list_jobs()
        assert files.dequeue(worker) is None
    assert files.enqueue("next") <= 4
    a_day(files, clock)


def test_a_job_that_may_not_be_read_is_set_aside_and_the_others_run(
    files: FileBackend, worker: int, root: Path, clock: FakeClock, open_spool: OpenSpool
) -> None:
    from spoolq.files.fs import Filesystem

    class Unreadable(Filesystem):
        """What everybody but root sees of a file of mode 000."""

        def _open_to_read(self, path: str) -> int | None:
            if ".secret." in path:
                self._refuse("open", path, PermissionError(13, "Permission denied"))
            return super()._open_to_read(path)

    job, good = files.enqueue("secret"), files.enqueue("good")
    reader = open_spool(filesystem=Unreadable)

    assert lookup(reader, job) is None
    assert drain(reader, worker) == [good]
    [reason] = set_aside(root).values()
    assert "Permission denied" in reason
    a_day(reader, clock)
    assert info(files, good).state == "active"
