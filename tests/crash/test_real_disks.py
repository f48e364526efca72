"""The same on real file systems: what was answered is on the disk when the power goes.

A file system in a file is mounted, a spool in it is used, and the file is copied while that goes
on: the copy is what a disk shows whose machine lost power then. It shows what the kernel has
written out and nothing that only it knew. (That a disk keeps what it was told to flush is taken
for granted.)
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from spoolq.files.fs import Filesystem
from spoolq.files.store import FileBackend

pytestmark = [pytest.mark.slow, pytest.mark.root]


class Kind(NamedTuple):
    """A file system: how it is made, how large it has to be, and what puts it right."""

    make: tuple[str, ...]
    megabytes: int
    check: tuple[str, ...] = ()


KINDS = {
    "ext4": Kind(("mkfs.ext4", "-q"), 64),
    # Without a journal a file system has to be checked after power loss, by a person or at boot.
    "ext4 without a journal": Kind(
        ("mkfs.ext4", "-q", "-O", "^has_journal"), 64, ("fsck.ext4", "-fy")
    ),
    "xfs": Kind(("mkfs.xfs", "-q"), 320),
    "btrfs": Kind(("mkfs.btrfs", "-q"), 256),
}


class NextBoot(Filesystem):
    """The disk of a machine that has come up again."""

    def __init__(self, root: str, *, durable: bool = True, shared: bool = False) -> None:
        super().__init__(root, durable=durable, shared=shared)
        self.boot = "the-next-boot"


class Disk:
    """A file system in a file."""

    def __init__(self, kind: Kind, directory: Path) -> None:
        self.kind = kind
        self.image = directory / "image"
        self.mounted = directory / "mounted"
        self.mounted.mkdir()

    def make(self) -> None:
        with self.image.open("wb") as file:
            file.truncate(self.kind.megabytes * 1024 * 1024)
        run(*self.kind.make, str(self.image))

    def mount(self) -> None:
        run("mount", "-o", "loop", str(self.image), str(self.mounted))

    def unmount(self) -> None:
        if os.path.ismount(self.mounted):
            run("umount", str(self.mounted))

    def after_power_loss(self, directory: Path) -> Disk:
        """Another disk with what is on this one now."""
        directory.mkdir()
        copy = Disk(self.kind, directory)
        run("cp", "--sparse=always", str(self.image), str(copy.image))
        if self.kind.check:
            checked = subprocess.run(
                [*self.kind.check, str(copy.image)], check=False, capture_output=True
            )
            assert checked.returncode < 2  # 1: errors were found and corrected
        return copy


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture(params=list(KINDS))
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    kind = KINDS[request.param]
    if os.geteuid() != 0 or shutil.which(kind.make[0]) is None:
        pytest.skip(f"needs root and {kind.make[0]}")
    (tmp_path / "disk").mkdir()
    found = Disk(kind, tmp_path / "disk")
    found.make()
    try:
        found.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"cannot be mounted here: {error.stderr.decode().strip()}")
    try:
        yield found
    finally:
        found.unmount()


def test_what_was_answered_survives_the_power(disk: Disk, tmp_path: Path) -> None:
    # fsync is all that makes it survive: the spool lies in a directory that is on the disk.
    backend = FileBackend(f"{disk.mounted}/spool", durability="full")
    worker = backend.register_worker()
    answered: dict[int, tuple[str, object]] = {}
    cuts: list[tuple[Disk, dict[int, tuple[str, object]]]] = []
    for number in range(40):
        job = backend.enqueue("foo", [number], attempts=2 if number % 4 == 3 else 1)
        answered[job] = ("inactive", None)
        if number % 2:
            claimed = backend.dequeue(worker)
            assert claimed is not None
            end(backend, claimed["id"], number, answered)
        if number % 5 == 4:
            cut = disk.after_power_loss(tmp_path / f"cut-{number}")
            cuts.append((cut, dict(answered)))
    disk.unmount()

    for cut, wanted in cuts:
        assert seen(cut) == wanted


def end(
    backend: FileBackend, job: int, number: int, answered: dict[int, tuple[str, object]]
) -> None:
    [info] = backend.list_jobs(ids=[job]).rows
    if number % 3:
        assert backend.finish_job(job, info.retries, number)
        answered[job] = ("finished", number)
    else:
        assert backend.fail_job(job, info.retries, f"no {number}")
        state = "inactive" if info.attempts > 1 else "failed"
        answered[job] = (state, f"no {number}")


def seen(disk: Disk) -> dict[int, tuple[str, object]]:
    """The jobs on a disk, as the first one sees them who opens the spool after the boot."""
    disk.mount()
    try:
        backend = FileBackend(f"{disk.mounted}/spool", filesystem=NextBoot)
        rows = backend.list_jobs(0, 1000).rows
        assert os.listdir(f"{backend.root}/corrupt") == []
        return {info.id: (info.state, info.result) for info in rows}
    finally:
        disk.unmount()
