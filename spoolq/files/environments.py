"""Keeping environments, see `spoolq.environments`, and letting those go that no job needs.

Whether a job needs one only the jobs say, and while they are read one more may be added. So what
was not used for a week and is in no job is put aside first, under a name that who adds a job does
not find; and an hour later, when whoever had found it has long added the job, it is looked for in
the jobs again: then it is removed, or put back.
"""

from __future__ import annotations

import errno
import os

from spoolq.environments import GONE, LARGEST, encode, is_name, name_of
from spoolq.errors import JobCorrupt, SpoolUnavailable
from spoolq.files import names
from spoolq.files.fs import Filesystem, NoDirectory
from spoolq.files.layout import Layout

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

USED: Final = 86_400.0  # seconds between two touches of one that is used all the time
UNUSED: Final = 7 * 86_400.0  # seconds without a touch after which the jobs are asked
ASIDE: Final = 3600.0  # seconds that one stays aside
_SETTLED: Final = 60.0  # seconds after which who has made one has synced it, too


class Environments:
    """The environments of one spool."""

    def __init__(self, fs: Filesystem, layout: Layout) -> None:
        self._fs = fs
        self._layout = layout
        self._directory = layout.environments

    def keep(self, env: Mapping[str, str], disk_time: float) -> str | None:
        """Keep one, and return its name; None where that cannot be, and the job has to hold it.

        Survives power loss after return. `disk_time` is the time that files are given now. Raises
        SpoolUnavailable.
        """
        data = encode(env)
        name = name_of(data)
        path = f"{self._directory}/{name}"
        if len(data) > LARGEST:
            return None
        try:
            found = self._fs.read(path, LARGEST)
            if found is None:
                self._make(path, data)
                return name
        except JobCorrupt:
            return None
        if found != data:
            return None
        self._use(path, disk_time)
        return name

    def _make(self, path: str, data: bytes) -> None:
        try:
            try:
                self._fs.publish(self._staged(), path, data)
            except NoDirectory:
                self._fs.mkdir(self._directory)
                self._fs.publish(self._staged(), path, data)
        except SpoolUnavailable as refused:
            there = getattr(refused.__cause__, "errno", None) == errno.EEXIST
            if not there or self._fs.read(path, LARGEST) != data:
                raise
            self._fs.sync_work_of_another(path)  # RACE: somebody else was quicker

    def _staged(self) -> str:
        return f"{self._layout.tmp}/environment.{names.nonce()}"

    def _use(self, path: str, disk_time: float) -> None:
        try:
            age = disk_time - os.lstat(path).st_mtime
        except FileNotFoundError:
            return  # RACE: put aside just now, where who performs the job finds it
        if age > USED:
            self._fs.touch(path)
        elif age < _SETTLED:
            self._fs.sync_work_of_another(path)

    def collect(self, now: float, disk_time: float, needed: Callable[[], set[str]]) -> None:
        """Put aside what no job needs, and remove what was put aside long ago. `needed` reads
        which ones jobs name, and is called when there is something to decide."""
        files = [name for name in self._fs.list(self._directory) if self._is_old(name, disk_time)]
        due = {name: since for name in files if (since := _aside_since(name)) is not None}
        due = {name: since for name, since in due.items() if now - since > ASIDE or since > now}
        idle = [name for name in files if is_name(name)]
        if not due and not idle:
            return
        kept = needed()
        for name in idle:
            path = f"{self._directory}/{name}"
            if name in kept:
                self._fs.touch(path)  # the jobs are not asked again for a week
            else:
                self._fs.move(path, f"{path}{GONE}{names.micros(now)}")
        for aside in due:
            name, path = aside.partition(GONE)[0], f"{self._directory}/{aside}"
            if name in kept and not self._fs.has(f"{self._directory}/{name}"):
                self._fs.move(path, f"{self._directory}/{name}")
                self._fs.touch(f"{self._directory}/{name}")
            else:
                self._fs.unlink(path)

    def _is_old(self, name: str, disk_time: float) -> bool:
        try:
            return disk_time - os.lstat(f"{self._directory}/{name}").st_mtime > UNUSED
        except FileNotFoundError:
            return False


def _aside_since(name: str) -> float | None:
    """Since when it is aside; None for anything else."""
    name, gone, micros = name.partition(GONE)
    if not gone or not is_name(name) or not micros.isascii() or not micros.isdigit():
        return None
    return int(micros[:18]) / 1_000_000
