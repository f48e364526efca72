"""Below the low-water mark a worker takes no new jobs, and goes on with everything else."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spoolq import Job, Spool
from spoolq.errors import SpoolFull
from spoolq.loop.plan import Terms
from spoolq.process import process
from tests.client.world import info
from tests.support import wait_for
from tests.worker.conftest import Running
from tests.worker.test_run import Gate

pytestmark = pytest.mark.slow

MORE_THAN_ANY_DISK = 900_000_000_000_000
TOLD = "no new jobs are taken"
OVER = "there is room on the disk again"


@pytest.fixture
def spool(file_spool: Spool) -> Spool:
    return file_spool


@pytest.fixture
def gate(spool: Spool, tmp_path: Path) -> Gate:
    return Gate(spool, tmp_path)


def set_mark(spool: Spool, low_water: int) -> None:
    """Move the mark instead of filling the disk, which others use as well."""
    (Path(str(spool.root)) / "spoolq.toml").write_text(f"low_water = {low_water}\n")
    spool.backend.reload()


def ended(job: Job) -> bool:
    return info(job).state == "finished"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[str], int]:
    """How often the worker's log has said this."""
    caplog.set_level(logging.INFO, "spoolq.worker")

    def said(text: str) -> int:
        return caplog.text.count(text)

    return said


def test_a_worker_below_the_mark_takes_no_new_job_and_beats_on(
    spool: Spool, gate: Gate, running: Running, said: Callable[[str], int]
) -> None:
    job = gate.enqueue()
    set_mark(spool, MORE_THAN_ANY_DISK)
    worker = running(spool, heartbeat_interval=0.1)
    wait_for(lambda: said(TOLD))

    shown = worker.info()
    assert shown is not None
    wait_for(lambda: (now := worker.info()) is not None and now.notified > shown.notified)

    assert info(job).state == "inactive"
    assert (said(TOLD), said(OVER)) == (1, 0)


def test_it_takes_them_once_there_is_room_again_and_says_so_once(
    spool: Spool, gate: Gate, running: Running, said: Callable[[str], int]
) -> None:
    job = gate.enqueue()
    gate.open()
    set_mark(spool, MORE_THAN_ANY_DISK)
    running(spool)
    wait_for(lambda: said(TOLD))

    set_mark(spool, 0)
    wait_for(lambda: ended(job))

    assert (said(TOLD), said(OVER)) == (1, 1)


def test_it_goes_on_with_the_jobs_it_has(
    spool: Spool, gate: Gate, running: Running, said: Callable[[str], int]
) -> None:
    first, second = gate.enqueue(), gate.enqueue()
    running(spool, jobs=1, spare=0)
    wait_for(lambda: gate.started == 1)
    set_mark(spool, MORE_THAN_ANY_DISK)
    wait_for(lambda: said(TOLD))

    gate.open()
    wait_for(lambda: ended(first))

    assert info(second).state == "inactive"


def test_a_worker_that_waits_for_room_can_be_idle_for_too_long(spool: Spool, gate: Gate) -> None:
    job = gate.enqueue()
    set_mark(spool, MORE_THAN_ANY_DISK)

    spool.worker().run(Terms(burst=True, idle_exit=0.1))

    assert info(job).state == "inactive"


def test_process_says_why_it_has_done_nothing(spool: Spool, gate: Gate) -> None:
    job = gate.enqueue()
    set_mark(spool, MORE_THAN_ANY_DISK)

    with pytest.raises(SpoolFull, match="is full"):
        process(spool)

    assert info(job).state == "inactive"


# -- a disk that is really full --------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "spoolq", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path, left: int) -> Path:
    """Fill the file system up to so many bytes; the file that does it."""
    filling = place / "filling"
    free = os.statvfs(place)
    with filling.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - left)
    return filling


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_on_a_full_disk_the_job_that_runs_ends_and_the_next_waits_for_room(
    small_disk: Path, tmp_path: Path, running: Running, said: Callable[[str], int]
) -> None:
    spool = Spool(small_disk / "spool", durability="none")
    gate = Gate(spool, tmp_path)
    first, second = gate.enqueue(), gate.enqueue()
    running(spool, jobs=1, spare=0)
    wait_for(lambda: gate.started == 1)
    filling = fill(small_disk, 0)
    wait_for(lambda: said(TOLD))

    gate.open()
    wait_for(lambda: ended(first))
    assert info(second).state == "inactive"
    filling.unlink()
    wait_for(lambda: ended(second))
