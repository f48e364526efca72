"""The environments of command lines: kept once, found by every job, and let go in the end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spoolq import environments
from spoolq.files.environments import ASIDE, UNUSED, USED, Environments
from spoolq.files.store import FileBackend
from tests.support import FakeClock, finished_job

ENV = {"PATH": "/bin", "HOME": "/root", "SECRET": "geheim"}


@pytest.fixture
def kept(files: FileBackend) -> Environments:
    return Environments(files._fs, files._layout)


def keep(kept: Environments, env: dict[str, str] = ENV) -> str:
    name = kept.keep(env, os.stat("/proc/self").st_mtime)
    assert name is not None
    return name


def there(root: Path) -> list[str]:
    return sorted(os.listdir(root / "environments"))


def unused(root: Path, name: str) -> Path:
    """It was used for the last time a little more than a week ago."""
    path = root / "environments" / name
    then = path.stat().st_mtime - UNUSED - 60
    os.utime(path, (then, then))
    return path


def test_the_same_environment_is_kept_once(kept: Environments, root: Path) -> None:
    name = keep(kept)

    assert keep(kept, dict(reversed(ENV.items()))) == name
    assert keep(kept, {**ENV, "MORE": ""}) != name
    assert len(there(root)) == 2
    assert environments.read(str(root), name) == ENV


def test_nobody_else_reads_it(kept: Environments, root: Path) -> None:
    path = root / "environments" / keep(kept)

    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o077) == (0o600, 0)


def test_where_something_else_has_its_name_the_job_has_to_hold_it(
    kept: Environments, root: Path
) -> None:
    path = root / "environments" / keep(kept)
    path.write_text("{}")

    assert kept.keep(ENV, 0.0) is None


@pytest.mark.parametrize("damage", ["content", "link", "pipe", "directory"])
def test_one_that_is_damaged_is_no_environment(
    kept: Environments, root: Path, tmp_path: Path, damage: str
) -> None:
    name = keep(kept)
    path = root / "environments" / name
    if damage == "content":
        path.write_bytes(path.read_bytes().replace(b"geheim", b"secret"))
    elif damage == "link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.unlink()
        os.mkfifo(path) if damage == "pipe" else path.mkdir()

    with pytest.raises((ValueError, OSError)):
        environments.read(str(root), name)


@pytest.mark.parametrize("name", ["../FORMAT", "", "a/b", "12345678-", "1234567-12", "ü2345678-1"])
def test_what_is_no_name_is_no_path(kept: Environments, root: Path, name: str) -> None:
    keep(kept)

    with pytest.raises(ValueError, match="no name"):
        environments.read(str(root), name)


def test_one_that_is_used_is_touched_once_a_day(kept: Environments, root: Path) -> None:
    path = root / "environments" / keep(kept)
    now = path.stat().st_mtime
    os.utime(path, (now - USED + 60, now - USED + 60))
    kept.keep(ENV, now)
    assert path.stat().st_mtime == now - USED + 60

    kept.keep(ENV, now + 120)

    assert path.stat().st_mtime >= now


def test_what_no_job_needs_is_put_aside_and_then_removed(
    files: FileBackend, kept: Environments, root: Path, clock: FakeClock
) -> None:
    needed, idle, fresh = (keep(kept, {"N": str(n)}) for n in range(3))
    files.enqueue("exec", ["true"], {"env": needed})
    unused(root, needed)
    unused(root, idle)

    files.repair()
    assert len(there(root)) == 3
    assert {name for name in there(root) if name.startswith(idle)} != {idle}
    assert environments.read(str(root), idle) == {"N": "1"}
    clock.advance(ASIDE + 1)
    files.repair()

    assert there(root) == sorted([needed, fresh])


def test_what_a_job_turns_out_to_need_is_put_back(
    files: FileBackend, kept: Environments, root: Path, clock: FakeClock
) -> None:
    """Whoever added it had found the environment before it was put aside."""
    name = keep(kept)
    unused(root, name)
    files.repair()
    files.enqueue("exec", ["true"], {"env": name})
    clock.advance(ASIDE + 1)

    files.repair()

    assert there(root) == [name]


def test_jobs_that_have_ended_still_have_theirs(
    files: FileBackend, kept: Environments, root: Path, worker: int
) -> None:
    name = keep(kept)
    files.enqueue("exec", ["true"], {"env": name})
    claimed = files.dequeue(worker)
    assert claimed
    files.finish_job(claimed["id"], 0)
    unused(root, name)

    files.repair()

    assert there(root) == [name]


def test_of_what_a_job_needs_the_jobs_are_asked_once_a_week(
    files: FileBackend, kept: Environments, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cron line repairs once a minute: beside one old job it would have read all of them."""
    name = keep(kept)
    files.enqueue("exec", ["true"], {"env": name})
    unused(root, name)
    files.repair()
    monkeypatch.setattr(files._repairer, "_environments_of_jobs", lambda: pytest.fail("read"))

    files.repair()

    assert there(root) == [name]


def test_repair_reads_no_job_where_nothing_is_old(
    files: FileBackend, kept: Environments, worker: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(kept)
    finished_job(files, worker)
    monkeypatch.setattr(files._repairer, "_environments_of_jobs", lambda: pytest.fail("read"))

    files.repair()


def test_a_reset_leaves_none(files: FileBackend, kept: Environments, root: Path) -> None:
    keep(kept)

    files.reset(all=True)

    assert not (root / "environments").exists()
    keep(kept)


def test_who_is_overtaken_uses_what_the_other_has_made(
    files: FileBackend, kept: Environments, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([None])  # not there yet
    read = files._fs.read
    other = keep(kept)
    monkeypatch.setattr(files._fs, "read", lambda *args: next(looks, None) or read(*args))

    assert keep(kept) == other
    assert there(root) == [other]
