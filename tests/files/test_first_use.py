"""First use, and what is refused: what is no spool is not touched."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from spoolq.errors import NotASpool, SpoolError, SpoolUnavailable, UnsafeSpool, UnsupportedFormat
from spoolq.files.fs import Filesystem
from spoolq.files.layout import DIRECTORIES
from spoolq.files.store import FileBackend
from tests.files.conftest import OpenSpool
from tests.files.look import tree
from tests.race.crowd import at_once, flat
from tests.support import FakeClock

NOBODY = 65534


def test_a_spool_is_made_where_nothing_is(root: Path, open_spool: OpenSpool) -> None:
    open_spool()

    assert (root / "FORMAT").read_text().splitlines()[0] == "spoolq 1"
    assert {*DIRECTORIES, "ids"} <= {path.name for path in root.iterdir()}


def test_missing_directories_above_the_root_are_made(tmp_path: Path, clock: FakeClock) -> None:
    files = FileBackend(str(tmp_path / "a/b/spool"), clock=clock, durability="none")
    assert files.enqueue("foo") == 1


@pytest.mark.parametrize("before", [[], ["jobs"], ["jobs", "spoolq.toml"], ["lost+found"]])
def test_a_spool_is_made_where_a_person_has_begun_one(
    root: Path, open_spool: OpenSpool, before: list[str]
) -> None:
    root.mkdir()
    for name in before:
        (root / name).touch() if "." in name else (root / name).mkdir()

    assert open_spool().enqueue("foo") == 1
    assert {*before} <= {path.name for path in root.iterdir()}


def test_a_relative_root_stays_where_it_was_when_the_process_moves_on(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = FileBackend("spool", clock=clock, durability="none")
    monkeypatch.chdir("/")

    assert files.enqueue("foo") == 1
    assert (tmp_path / "spool/FORMAT").exists()


def test_a_spool_that_is_opened_again_is_as_old_as_it_was(
    open_spool: OpenSpool, clock: FakeClock
) -> None:
    open_spool()
    clock.advance(100)
    assert open_spool().stats()["uptime"] == 100


@pytest.mark.parametrize("name", ["thesis.tex", ".git", "tmp", "inactive", ".hidden"])
def test_a_directory_that_holds_something_else_is_refused_and_not_touched(
    root: Path, open_spool: OpenSpool, name: str
) -> None:
    (root / name).mkdir(parents=True)
    (root / name / "file").write_text("mine")
    before, mode = tree(root), root.stat().st_mode

    with pytest.raises(NotASpool, match="not empty"):
        open_spool()

    assert tree(root) == before
    assert root.stat().st_mode == mode


def test_a_file_is_no_spool(root: Path, open_spool: OpenSpool) -> None:
    root.write_text("mine")
    with pytest.raises(NotASpool, match="not a directory"):
        open_spool()
    assert root.read_text() == "mine"


def test_a_dangling_link_is_no_spool_and_is_not_followed(root: Path, open_spool: OpenSpool) -> None:
    root.symlink_to(root.parent / "elsewhere")
    with pytest.raises(NotASpool):
        open_spool()
    assert not (root.parent / "elsewhere").exists()


def test_a_directory_below_a_file_cannot_be_made(root: Path, clock: FakeClock) -> None:
    root.write_text("mine")
    with pytest.raises(SpoolUnavailable, match="cannot make"):
        FileBackend(str(root / "spool"), clock=clock, durability="none")


@pytest.mark.parametrize(
    "content", [b"spoolq 2\n", b"spoolq 10", b"spoolq 1.1\n", b"", b"\x1b[2J\n", b"\xff\xfe", b"\n"]
)
def test_a_newer_or_unknown_format_is_refused_and_not_touched(
    root: Path, open_spool: OpenSpool, content: bytes
) -> None:
    open_spool().enqueue("foo")
    (root / "FORMAT").unlink()
    (root / "FORMAT").write_bytes(content)
    before = tree(root)

    with pytest.raises(UnsupportedFormat) as caught:
        open_spool()

    assert str(caught.value).isprintable()
    assert tree(root) == before


@pytest.mark.parametrize("kind", ["directory", "link", "pipe"])
def test_a_format_that_is_no_file_is_refused(root: Path, open_spool: OpenSpool, kind: str) -> None:
    root.mkdir()
    path = root / "FORMAT"
    if kind == "directory":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/etc/passwd")
    else:
        os.mkfifo(path)

    with pytest.raises(SpoolUnavailable, match="FORMAT"):
        open_spool()

    assert [found.name for found in root.iterdir()] == ["FORMAT"]


@pytest.mark.parametrize("mode", [0o777, 0o722, 0o720, 0o702, 0o1777])
def test_a_root_that_others_may_write_is_refused(
    root: Path, open_spool: OpenSpool, mode: int
) -> None:
    open_spool()
    root.chmod(mode)

    with pytest.raises(UnsafeSpool, match="chmod go-w"):
        open_spool()


def test_a_new_root_that_others_may_write_is_refused_and_not_touched(
    root: Path, open_spool: OpenSpool
) -> None:
    root.mkdir()
    root.chmod(0o777)

    with pytest.raises(UnsafeSpool):
        open_spool()

    assert list(root.iterdir()) == []
    assert root.stat().st_mode & 0o777 == 0o777


def test_a_directory_above_that_everybody_may_write_is_refused(
    tmp_path: Path, clock: FakeClock
) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)

    with pytest.raises(UnsafeSpool, match="above"):
        FileBackend(str(tmp_path / "open/spool"), clock=clock, durability="none")


def test_a_sticky_directory_above_is_as_good_as_tmp(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)

    assert (
        FileBackend(str(tmp_path / "tmp/spool"), clock=clock, durability="none").enqueue("foo") == 1
    )


@pytest.mark.parametrize("left", [["tmp"], ["tmp", "tmp/format.abc"]])
def test_a_first_use_that_died_before_the_format_is_completed_by_the_next(
    root: Path, open_spool: OpenSpool, left: list[str]
) -> None:
    root.mkdir()
    for name in left:
        (root / name).touch() if "." in name else (root / name).mkdir()

    assert open_spool().enqueue("foo") == 1


@pytest.mark.parametrize("missing", ["reserve", "ids", "trash"])
def test_a_first_use_that_died_after_the_format_is_completed_by_the_next(
    root: Path, open_spool: OpenSpool, missing: str
) -> None:
    open_spool()
    for name in {missing, "reserve"}:
        for path in (root / name).iterdir():
            path.unlink()
        (root / name).rmdir()

    assert open_spool().enqueue("foo") == 1


def test_a_counter_that_is_lost_is_not_started_again(root: Path, open_spool: OpenSpool) -> None:
    files = open_spool()
    files.enqueue("foo")
    [counter] = (root / "ids").glob("job.*")
    counter.unlink()

    with pytest.raises(SpoolUnavailable, match="the counter 'job' is missing"):
        open_spool().enqueue("foo")


@pytest.mark.parametrize("round_", range(5))
def test_of_many_processes_that_make_one_spool_at_once_one_makes_its_counters(
    root: Path, round_: int
) -> None:
    def first_use() -> list[int]:
        files = FileBackend(str(root), durability="none")
        return [files.enqueue("foo") for _ in range(3)] + [-files.register_worker()]

    taken = sorted(flat(at_once(*[first_use] * 6)))

    assert taken == [-6, -5, -4, -3, -2, -1, *range(1, 19)]


def test_a_first_user_that_is_overtaken_while_it_looks_takes_the_others_spool(
    root: Path, open_spool: OpenSpool
) -> None:
    """Found in review: what the quicker one had staged in tmp/ was taken for a foreign file."""
    root.mkdir(mode=0o700)
    (root / "tmp").mkdir()

    class Overtaken(Filesystem):
        overtaken = False

        def list(self, path: str) -> list[str]:
            seen = super().list(path)
            if path == self.root and not Overtaken.overtaken:
                Overtaken.overtaken = True
                assert open_spool().enqueue("first") == 1
                (root / "tmp/ids.staged").mkdir()
            return seen

    assert open_spool(filesystem=Overtaken).enqueue("second") == 2


# -- not root ------------------------------------------------------------------------------------


def as_nobody(root: Path) -> list[object]:
    """What somebody who is not root gets when he enqueues."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            os.write(writing, json.dumps(enqueue_in(root)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said: list[object] = json.loads(answer.read())
    os.waitpid(pid, 0)
    return said


def enqueue_in(root: Path) -> list[object]:
    try:
        return ["ids", FileBackend(str(root), durability="none").enqueue("foo")]
    except SpoolError as error:
        return [type(error).__name__, str(error)]


@pytest.fixture
def reachable(tmp_path: Path) -> Path:
    """A directory that everybody can get to, and only its owner can write."""
    for above in (tmp_path, *tmp_path.parents):
        if above.name.startswith(("pytest-", "popen-")) or above == tmp_path:
            above.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("mode", [0o500, 0o555, 0o000])
def test_an_unwritable_directory_is_one_clear_line(reachable: Path, mode: int) -> None:
    root = reachable / "spool"
    root.mkdir()
    if os.geteuid() == 0:
        os.chown(root, NOBODY, NOBODY)
    root.chmod(mode)

    kind, message = as_nobody(root)

    assert kind == "SpoolUnavailable"
    assert str(root) in str(message)
    assert "Permission denied" in str(message)
    assert "\n" not in str(message)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_spool_of_somebody_else_is_one_clear_line(reachable: Path, mode: int) -> None:
    root = reachable / "spool"
    FileBackend(str(root), durability="none")
    root.chmod(mode)

    kind, message = as_nobody(root)

    assert kind in ("SpoolUnavailable", "UnsafeSpool")
    assert str(root) in str(message)
    assert "\n" not in str(message)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work for others")
def test_what_root_makes_in_a_spool_of_another_belongs_to_that_other(reachable: Path) -> None:
    root = reachable / "spool"
    root.mkdir(mode=0o700)
    os.chown(root, NOBODY, NOBODY)
    files = FileBackend(str(root), durability="none")
    worker = files.register_worker(status={"jobs": 1})
    files.enqueue_many(["a", "b"])
    files.enqueue("c", parents=[1])
    files.lock("x", 60)
    files.broadcast("stop")
    for _ in range(2):
        claimed = files.dequeue(worker)
        assert claimed
        files.finish_job(claimed["id"], 0)
    files.repair()

    others = {str(path) for path in root.rglob("*") if path.lstat().st_uid != NOBODY}

    assert others == set()
    assert as_nobody(root) == ["ids", 4]
