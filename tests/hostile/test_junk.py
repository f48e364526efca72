"""Foreign names everywhere: none of them stops anybody, and none is lost (faults 40, 44, 48)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from spoolq.files.layout import DIRECTORIES
from spoolq.files.store import FileBackend
from tests.hostile.conftest import OpenSpool, a_day
from tests.hostile.things import NAMES
from tests.support import FakeClock, claim, drain

# What is private to running processes is emptied by repair: there nothing may be left.
KEPT = sorted({*DIRECTORIES, "ids", "."} - {"tmp", "trash", "settling"})


def touch(path: bytes) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))


def directories(root: Path) -> list[bytes]:
    """Every directory of a spool, with one of each that come and go."""
    return [bytes(path) for path in [root, *root.rglob("*")] if path.is_dir()]


def settle_down(files: FileBackend, worker: int, clock: FakeClock) -> None:
    """Fill the spool so that it has every directory it can have."""
    files.enqueue_many(["day"] * 5, queue="day")
    files.enqueue("day", queue="day", delay=1, parents=[1])
    files.enqueue("day", queue="day", delay=2)
    files.lock("day", 1)
    files.broadcast("x")
    first = claim(files, worker, queues=["day"])
    files.finish_job(first["id"], 0)
    second = claim(files, worker, queues=["day"])
    files.fail_job(second["id"], 0)
    for id_ in drain(files, worker, queues=["day"]):
        files.finish_job(id_, 0)
    clock.advance(5)
    for id_ in drain(files, worker, queues=["day"]):
        files.finish_job(id_, 0)
    files.receive(worker)


def count(root: Path) -> int:
    """Every file below the directories where foreign files are to be kept."""
    return sum(len(names) for top in KEPT[1:] for _, _, names in os.walk(bytes(root / top)))


@pytest.mark.slow
@pytest.mark.parametrize("make", [touch, os.mkdir], ids=["files", "directories"])
@pytest.mark.parametrize("name", NAMES.values(), ids=[ascii(name) for name in NAMES])
def test_a_foreign_name_in_every_directory_stops_nobody(
    files: FileBackend,
    worker: int,
    root: Path,
    clock: FakeClock,
    open_spool: OpenSpool,
    name: bytes,
    make: Callable[[bytes], None],
) -> None:
    settle_down(files, worker, clock)
    for directory in directories(root):
        if not os.path.lexists(directory + b"/" + name):
            make(directory + b"/" + name)

    a_day(files, clock)
    a_day(open_spool(), clock)


# One of them looks like a worker, and a worker that does not beat is declared dead.
FOREIGN = {name: path for name, path in NAMES.items() if not name.endswith("0.0.0")}


@pytest.mark.slow
@pytest.mark.parametrize("name", FOREIGN.values(), ids=[ascii(name) for name in FOREIGN])
def test_a_foreign_file_is_never_deleted(
    files: FileBackend, worker: int, root: Path, clock: FakeClock, name: bytes
) -> None:
    planted = 0
    for top in KEPT:
        path = bytes(root / top) + b"/" + name
        if not os.path.lexists(path):
            Path(os.fsdecode(path)).write_bytes(b"precious-thing")
            os.utime(path, (0, 0))
            planted += 1
    a_day(files, clock)
    clock.advance(10**6)
    files.repair()

    kept = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.read_bytes() == b"precious-thing" for path in kept) == planted


def test_junk_is_in_no_count(files: FileBackend, worker: int, root: Path, clock: FakeClock) -> None:
    settle_down(files, worker, clock)
    before, total = files.stats(), files.list_jobs().total
    for directory in directories(root):
        for name in (b".nfs0001", b".DS_Store", b"1.json~", b".1.0.0.a.d1.x2.day.json.Xy3", b"x"):
            touch(directory + b"/" + name)

    assert files.stats() == before
    assert files.list_jobs().total == total


@pytest.mark.slow
@pytest.mark.parametrize("where", ["inactive", "inactive/default/0/0", "finished/0", "tmp"])
def test_ten_thousand_junk_names_cost_a_listing_and_no_more(
    files: FileBackend, worker: int, root: Path, clock: FakeClock, where: str
) -> None:
    files.enqueue_many(["foo"] * 3)
    files.finish_job(claim(files, worker)["id"], 0)
    directory = root / where
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(5_000):
        (directory / f".nfs{number:024x}").touch()
        (directory / f"junk-{number}.json~").touch()

    a_day(files, clock)
    assert len(drain(files, worker)) == 2


def test_a_message_about_a_foreign_name_is_one_printable_line(
    files: FileBackend, root: Path
) -> None:
    bad = os.fsdecode(b"\x1b[2J\n\xff.json")
    (root / "inactive" / bad).write_bytes(b"{")
    os.utime(root / "inactive" / bad, (0, 0))
    files.list_jobs()
    [reason] = (root / "corrupt").glob("*.reason")

    assert reason.name.isprintable()
    assert reason.name.isascii()
    assert reason.read_text().isascii()
    assert reason.read_text().count("\n") == 1
