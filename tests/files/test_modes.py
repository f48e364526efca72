"""Who may read and write what a spool makes: its owner alone, or a group."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from spoolq.files.store import FileBackend
from tests.files.conftest import OpenSpool


@pytest.fixture
def odd_umask() -> Iterator[int]:
    """A umask that takes away what a group needs."""
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def use_everything(files: FileBackend) -> None:
    """Make a file and a directory of every kind there is."""
    worker = files.register_worker(status={"jobs": 1})
    files.enqueue_many(["a"] * 3)
    files.enqueue("b", priority=2, notes={"k": 1})
    files.enqueue("c", delay=100)
    files.enqueue("d", parents=[1], queue="other")
    files.note(2, {"k": 2})
    files.lock("x", 60)
    files.broadcast("stop")
    for end in (files.finish_job, files.fail_job):
        claimed = files.dequeue(worker)
        assert claimed
        end(claimed["id"], 0)
    files.dequeue(worker)
    (Path(files.root) / "inactive/mine.json").write_text('{"task": "e"}')
    (Path(files.root) / "inactive/broken.json").write_text("{")
    os.utime(Path(files.root) / "inactive/broken.json", (0, 0))
    files.repair()


def modes(root: Path) -> dict[str, set[int]]:
    """The modes of all directories and of all files below a root, and of the root itself."""
    found: dict[str, set[int]] = {"directories": set(), "files": set()}
    for path in [root, *root.rglob("*")]:
        kind = "directories" if path.is_dir() else "files"
        if not {"corrupt", "trash"} & {*path.parts}:  # there it is as somebody else made it
            found[kind].add(stat.S_IMODE(path.lstat().st_mode))
    return found


def test_a_spool_is_its_owners_alone(files: FileBackend, root: Path) -> None:
    use_everything(files)
    assert modes(root) == {"directories": {0o700}, "files": {0o600}}


def test_a_spool_in_a_directory_that_all_can_read_becomes_its_owners_alone(
    root: Path, open_spool: OpenSpool
) -> None:
    root.mkdir(mode=0o755)
    open_spool()
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_a_spool_of_a_group_can_be_written_by_all_of_it_whatever_the_umask(
    root: Path, open_spool: OpenSpool, odd_umask: int
) -> None:
    root.mkdir(mode=0o750)
    settings = root / "spoolq.toml"
    settings.write_text('mode = "group"\n')
    use_everything(open_spool())
    settings.unlink()

    assert modes(root) == {"directories": {0o2770}, "files": {0o660}}


def test_a_group_may_write_to_a_spool_of_a_group_and_others_may_not(
    root: Path, open_spool: OpenSpool
) -> None:
    root.mkdir(mode=0o770)
    (root / "spoolq.toml").write_text('mode = "group"\n')
    open_spool()

    root.chmod(0o2770)
    open_spool()
    root.chmod(0o2772)
    from spoolq.errors import UnsafeSpool

    with pytest.raises(UnsafeSpool, match="chmod o-w"):
        open_spool()


def test_a_hand_written_job_becomes_a_file_with_the_modes_of_the_spool(
    files: FileBackend, root: Path
) -> None:
    dropped = root / "inactive/mine.json"
    dropped.write_text('{"task": "a"}')
    dropped.chmod(0o666)
    files.list_jobs()

    [job] = (root / "inactive").rglob("1.*.json")
    assert stat.S_IMODE(job.stat().st_mode) == 0o600
