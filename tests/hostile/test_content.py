"""Files that hold no job, in the inbox and in place of a job (faults 31 to 39)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from spoolq.files.store import FileBackend
from tests.files.look import age, file_of, set_aside, tree
from tests.files.test_records import sealed
from tests.hostile.conftest import OpenSpool, a_day
from tests.hostile.things import CONTENTS
from tests.support import FakeClock, claim, drain, info, lookup

# What a published file may hold although its checksum is right: somebody has computed it.
SEALED: dict[str, Any] = {
    "no task": {"task": ""},
    "wrong types": {"args": "text"},
    "another id": {"id": 2},
    "id 0": {"id": 0},
    "a negative id": {"id": -1},
    "no queue": {"queue": 7},
    "a priority out of range": {"priority": 2**70},
    "a time that is none": {"delayed": "now"},
    "a time too far away": {"expires": 1e14},
    "parents that are no list": {"parents": {"1": 2}},
    "a deep argument": {"args": [[[[[[[[]]]]]]]] * 1},
}


def job_in(files: FileBackend, worker: int, clock: FakeClock, kind: str) -> int:
    """The id of a job in this kind of place, with others before and behind it."""
    parent = files.enqueue("parent", queue="parents")
    by_kind: dict[str, dict[str, Any]] = {
        "delayed": {"delay": 5},
        "waiting": {"parents": [parent]},
    }
    options = by_kind.get(kind, {})
    job = files.enqueue("foo", **options)
    if kind in ("active", "finished", "failed"):
        claim(files, worker)
    if kind == "finished":
        files.finish_job(job, 0)
    if kind == "failed":
        files.fail_job(job, 0)
    return job


KINDS = ["ready", "delayed", "waiting", "active", "finished", "failed"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_damaged_job_stops_nobody_and_is_not_run(
    files: FileBackend,
    worker: int,
    root: Path,
    clock: FakeClock,
    open_spool: OpenSpool,
    kind: str,
    content: bytes,
) -> None:
    job = job_in(files, worker, clock, kind)
    path = file_of(root, job)
    path.write_bytes(content)
    others = [files.enqueue("good"), files.enqueue("good", priority=3)]
    fresh = open_spool()

    assert fresh.list_jobs(ids=[job]).rows == []
    assert {found.id for found in fresh.list_jobs().rows} == {1, *others}
    assert fresh.note(job, {"k": 1}) is False
    assert fresh.retry_job(job, 0) is False
    fresh.list_jobs(notes=["k"], queues=["default"], tasks=["foo"])
    claimed = claim(files, worker, queues=["parents"])
    files.finish_job(claimed["id"], 0)
    clock.advance(10)
    assert drain(files, worker) == others[::-1]
    a_day(fresh, clock)
    files.unregister_worker(worker)
    files.repair()

    if kind in ("finished", "failed"):
        assert path.read_bytes() == content, "nobody had to read it"
        assert fresh.remove_job(job)
    else:
        assert list(set_aside(root).values()) != []
        assert content in tree(root / "corrupt").values()


@pytest.mark.parametrize("change", SEALED.values(), ids=SEALED)
def test_a_wrong_record_with_the_right_checksum_is_set_aside(
    files: FileBackend, worker: int, root: Path, clock: FakeClock, change: dict[str, Any]
) -> None:
    job = files.enqueue("foo")
    other = files.enqueue("good")
    path = file_of(root, job)
    from spoolq.files import records

    path.write_bytes(sealed({**records.decode(path.read_bytes()), **change}))
    first = drain(files, worker)

    if "args" in change and isinstance(change["args"], list):
        assert first == [job, other]  # it is as odd as it is right
        return
    assert first == [other]
    assert len(set_aside(root)) == 1
    a_day(files, clock)


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_dropped_file_that_holds_no_job_is_set_aside(
    files: FileBackend, worker: int, root: Path, clock: FakeClock, content: bytes
) -> None:
    good = files.enqueue("good")
    path = root / "inactive/mine.json"
    path.write_bytes(content)
    a_day(files, clock)
    assert path.exists(), "it may still be being written"

    age(path)
    assert drain(files, worker) == [good]
    clock.advance(1)
    files.list_jobs()

    assert not path.exists()
    assert list(set_aside(root)) == [str(path)]
    assert content in tree(root / "corrupt").values()
    a_day(files, clock)


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_damaged_job_that_is_moved_by_hand_is_set_aside(
    files: FileBackend, worker: int, root: Path, clock: FakeClock, content: bytes
) -> None:
    job = files.enqueue("foo")
    path = file_of(root, job)
    path.write_bytes(content)
    dropped = path.rename(root / "inactive" / path.name)
    age(dropped)
    files.list_jobs()

    assert lookup(files, job) is None
    assert len(set_aside(root)) == 1
    a_day(files, clock)


@pytest.mark.slow
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("half", ["end", "old", "both"])
def test_a_change_under_way_that_is_damaged_stops_nobody(
    files: FileBackend,
    worker: int,
    root: Path,
    clock: FakeClock,
    open_spool: OpenSpool,
    content: bytes,
    half: str,
) -> None:
    """A worker died between the two halves of a supersede, and then one half rotted."""
    from spoolq.files.fs import Filesystem

    class Died(Exception):
        pass

    class Dying(Filesystem):
        def move(self, source: str, target: str, *, private: bool = False) -> bool:
            if source.endswith((".new", ".end")):
                raise Died
            return super().move(source, target, private=private)

    job = files.enqueue("foo")
    dying = open_spool(filesystem=Dying)
    owner = dying.register_worker()
    claim(dying, owner)
    with pytest.raises(Died):
        dying.finish_job(job, 0, "done")
    for path in [*root.rglob(f"{job}.*.end"), *root.rglob(f"{job}.*.old")]:
        if half in (path.suffix[1:], "both"):
            path.write_bytes(content)
    good = files.enqueue("good")

    files.list_jobs(ids=[job])
    files.list_jobs()
    files.note(job, {"k": 1})
    child = files.enqueue("child", parents=[job])
    assert drain(files, worker)[-1] in (good, child)
    a_day(files, clock)
    dying.unregister_worker(owner)
    files.repair()
    files.repair()

    if half == "old":
        assert info(files, job).result == "done"
    elif half == "end":
        found = info(files, job)
        assert (found.state, found.result) == ("inactive", None)
        assert content in tree(root / "corrupt").values()


def test_a_job_whose_file_vanished_is_missing_and_nothing_more(
    files: FileBackend, worker: int, root: Path, clock: FakeClock
) -> None:
    for kind in KINDS:
        job = job_in(files, worker, clock, kind)
        child = files.enqueue("child", parents=[job], queue="children")
        file_of(root, job).unlink()

        assert lookup(files, job) is None
        assert files.remove_job(job) is False
        assert files.retry_job(job, 0) is False
        files.repair()
        assert drain(files, worker, queues=["children"]) == [child]
        drain(files, worker)
    a_day(files, clock)


def test_a_sparse_terabyte_in_place_of_a_job_is_not_read(
    files: FileBackend, worker: int, root: Path
) -> None:
    from tests.hostile.things import THINGS

    job = files.enqueue("foo")
    good = files.enqueue("good")
    path = file_of(root, job)
    path.unlink()
    THINGS["a file of 1 TB"](path)

    assert drain(files, worker) == [good]
    [reason] = set_aside(root).values()
    assert "larger than" in reason


def test_a_file_of_a_newer_minor_version_is_run_and_keeps_what_it_said(
    files: FileBackend, worker: int, root: Path
) -> None:
    from spoolq.files import records

    job = files.enqueue("foo")
    path = file_of(root, job)
    path.write_bytes(sealed({**records.decode(path.read_bytes()), "colour": "green"}))
    claimed = claim(files, worker)
    files.finish_job(claimed["id"], 0, "done")

    assert info(files, job).result == "done"
    assert b'"colour":"green"' in file_of(root, job).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["workers", "locks", "commands"])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_damaged_workers_locks_and_commands_stop_nobody(
    files: FileBackend,
    worker: int,
    root: Path,
    clock: FakeClock,
    open_spool: OpenSpool,
    where: str,
    content: bytes,
) -> None:
    files.register_worker(worker, status={"jobs": 1})
    files.lock("x", 60)
    files.broadcast("jobs", [1])
    for path in (root / where).rglob("*"):
        if path.is_file():
            path.write_bytes(content)
    fresh = open_spool()

    fresh.list_workers()
    fresh.list_locks()
    fresh.unlock("x")
    fresh.lock("x", 60)
    fresh.receive(worker)
    a_day(fresh, clock)
    a_day(files, clock)


@pytest.mark.parametrize(
    "content",
    [
        b'{"host": 1, "pid": "x", "started": "soon", "boot": [], "namespace": {}}',
        b'{"pid": 1e300, "started": 1' + b"0" * 400 + b"}",
        b'{"name": 1, "holds": [[1, 2]], "trail": 7}',
        b'{"name": "x", "holds": [["nan", 1, null]], "trail": []}',
        b'{"name": "x", "holds": [[1' + b"0" * 400 + b", 1, null]], \"trail\": []}",
        b'{"name": "x", "holds": [[9e99, 1, [1]]], "trail": [{}]}',
        b'{"name": "x", "holds": [[9e99, "1", 1]], "trail": ["a"]}',
        b'{"name": ["x"], "holds": {}, "trail": {}}',
        b"[]", b"[[]]", b"{}", b"7", b'"x"', b'["jobs", {"a": [1]}]', b"[1, 2]",
    ],
)  # fmt: skip
def test_well_formed_nonsense_about_workers_locks_and_commands_stops_nobody(
    files: FileBackend, worker: int, root: Path, clock: FakeClock, open_spool: OpenSpool,
    content: bytes,
) -> None:  # fmt: skip
    files.register_worker(worker, status={"jobs": 1})
    files.lock("x", 60)
    files.lock("n" * 500, 60)
    files.broadcast("jobs", [1])
    for where in ("workers", "locks", "commands"):
        for path in (root / where).rglob("*"):
            if path.is_file():
                path.write_bytes(content)
    fresh = open_spool()

    fresh.list_workers()
    fresh.list_locks()
    fresh.acquire_lock("x", 60, worker=worker)
    fresh.receive(worker)
    fresh.repair()
    a_day(fresh, clock)


def test_a_flipped_bit_in_a_published_job_keeps_it_from_running(
    files: FileBackend, worker: int, root: Path
) -> None:
    job = files.enqueue("foo", ["rm -r build"])
    path = file_of(root, job)
    data = bytearray(path.read_bytes())
    data[data.index(b"build")] ^= 1
    path.write_bytes(data)

    assert files.dequeue(worker) is None
    [reason] = set_aside(root).values()
    assert "checksum" in reason
    assert os.listdir(root / "corrupt")
