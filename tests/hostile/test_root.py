"""The root and its directories, changed while a process uses them (faults 45 and 46)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spoolq.errors import SpoolUnavailable, UnsafeSpool
from spoolq.files.layout import DIRECTORIES
from spoolq.files.store import FileBackend
from tests.files.look import tree
from tests.hostile.conftest import OpenSpool, a_day
from tests.support import FakeClock, claim

USES: dict[str, Callable[[FileBackend, int], Any]] = {
    "enqueue": lambda files, worker: [files.enqueue("foo") for _ in range(300)],
    "enqueue_many": lambda files, worker: files.enqueue_many(["foo"] * 3),
    "dequeue": lambda files, worker: files.dequeue(worker),
    "finish": lambda files, worker: files.finish_job(1, 0),
    "list": lambda files, worker: files.list_jobs(),
    "stats": lambda files, worker: files.stats(),
    "retry": lambda files, worker: files.retry_job(2, 0),
    "remove": lambda files, worker: files.remove_job(2),
    "repair": lambda files, worker: files.repair(),
}
each_use = pytest.mark.parametrize("use", USES.values(), ids=USES)


@pytest.fixture
def busy(files: FileBackend, worker: int, clock: FakeClock) -> FileBackend:
    """A spool in use: one job runs, others wait, and what is remembered is remembered."""
    files.enqueue_many(["foo"] * 5)
    claim(files, worker)
    files.stats()
    clock.advance(1)
    return files


def refuses(use: Callable[[], Any]) -> str:
    """What a use says that cannot be, in one line; an outcome may be a plain False instead."""
    try:
        answer = use()
    except SpoolUnavailable as error:
        said = str(error)
    else:
        assert answer is False
        said = ""
    assert "\n" not in said
    return said


@each_use
def test_a_root_that_is_gone_is_said_to_be_gone(
    busy: FileBackend, worker: int, root: Path, use: Callable[[FileBackend, int], Any]
) -> None:
    moved = root.rename(root.parent / "moved")
    before = tree(moved)

    assert str(root) in refuses(lambda: use(busy, worker)) or use is USES["finish"]
    assert not root.exists()
    assert tree(moved) == before


@each_use
def test_a_root_that_was_replaced_by_a_link_to_elsewhere_is_not_used(
    busy: FileBackend, worker: int, root: Path, use: Callable[[FileBackend, int], Any]
) -> None:
    root.rename(root.parent / "moved")
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.txt").write_text("mine")
    root.symlink_to(elsewhere)

    assert str(root) in refuses(lambda: use(busy, worker)) or use is USES["finish"]
    assert tree(elsewhere) == {"mine.txt": b"mine"}


@each_use
def test_another_spool_in_its_place_is_not_used(
    busy: FileBackend,
    worker: int,
    root: Path,
    clock: FakeClock,
    use: Callable[[FileBackend, int], Any],
) -> None:
    root.rename(root.parent / "moved")
    other = FileBackend(str(root), clock=clock, durability="none")
    other.enqueue_many(["theirs"] * 3)
    before = tree(root)
    refuses(lambda: use(busy, worker))

    if use not in (USES["enqueue"], USES["finish"]):  # they look at the root now and then
        assert tree(root) == before
    assert {job.task for job in other.list_jobs().rows} <= {"theirs", "foo"}


def test_a_spool_that_was_moved_and_has_a_link_in_its_place_is_the_same_spool(
    busy: FileBackend, worker: int, root: Path, clock: FakeClock
) -> None:
    root.symlink_to(root.rename(root.parent / "larger-disk"))

    a_day(busy, clock)
    assert busy.finish_job(1, 0)


def test_a_spool_that_was_restored_from_a_copy_is_not_used_by_who_knows_the_old_one(
    busy: FileBackend, worker: int, root: Path, open_spool: OpenSpool
) -> None:
    shutil.copytree(root, root.parent / "copy", copy_function=shutil.copy2)
    shutil.rmtree(root)
    (root.parent / "copy").rename(root)

    with pytest.raises(SpoolUnavailable, match="restored"):
        busy.stats()
    assert open_spool().stats()["active_jobs"] == 1


def test_a_link_in_place_of_a_directory_is_refused_every_time(
    busy: FileBackend, root: Path
) -> None:
    """The root is looked at again when its time has changed, and it changes once."""
    (root / "failed").rename(root.parent / "elsewhere")
    (root / "failed").symlink_to(root.parent / "elsewhere")
    os.utime(root, (1_000_000, 1_000_000))

    for _ in range(2):
        with pytest.raises(SpoolUnavailable, match="is a link"):
            busy.stats()


@pytest.mark.parametrize("name", sorted({*DIRECTORIES, "ids"} - {"jobs", "logs"}))
@each_use
def test_a_directory_that_was_replaced_by_a_link_is_not_used(
    busy: FileBackend,
    worker: int,
    root: Path,
    name: str,
    use: Callable[[FileBackend, int], Any],
) -> None:
    elsewhere = root.parent / "elsewhere"
    (root / name).rename(elsewhere)
    (root / name).symlink_to(elsewhere)

    if use is USES["finish"]:
        return  # what runs may end: nothing is lost by it
    assert str(root / name) in refuses(lambda: use(busy, worker))


@pytest.mark.parametrize("name", sorted({*DIRECTORIES, "ids"} - {"jobs", "logs"}))
def test_a_directory_that_is_a_link_is_refused_at_the_start(
    busy: FileBackend, root: Path, open_spool: OpenSpool, name: str
) -> None:
    elsewhere = root.parent / "elsewhere"
    (root / name).rename(elsewhere)
    (root / name).symlink_to(elsewhere)

    with pytest.raises(SpoolUnavailable, match="is a link"):
        open_spool().stats()


@pytest.mark.parametrize("name", ["jobs", "logs"])
def test_executables_and_logs_may_lie_elsewhere(
    busy: FileBackend, root: Path, clock: FakeClock, name: str
) -> None:
    (root / name).rename(root.parent / "elsewhere")
    (root / name).symlink_to(root.parent / "elsewhere")

    a_day(busy, clock)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o707])
def test_a_root_that_was_opened_to_others_is_refused_at_the_next_start(
    busy: FileBackend, root: Path, open_spool: OpenSpool, mode: int
) -> None:
    root.chmod(mode)
    with pytest.raises(UnsafeSpool, match="chmod"):
        open_spool()
    root.chmod(0o700)
    open_spool()
