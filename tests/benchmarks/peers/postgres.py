"""Minion on a PostgreSQL cluster of its own, on the same disk, synced as PostgreSQL does."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import quote

from tests.benchmarks.processes import Helper

SCRIPT = os.path.join(os.path.dirname(__file__), "minion.pl")
USER = "postgres"


class Missing(Exception):
    """Something that is needed for this peer is not installed."""


@contextmanager
def minion(root: str) -> Iterator[Helper]:
    """Minion on a fresh cluster below `root`, both gone afterwards. Missing says what is not here.

    PostgreSQL's settings are its defaults: fsync and synchronous_commit are on.
    """
    programs = _programs()
    _require_perl_modules()
    owner = _owner()
    data = os.path.join(root, "postgres")
    with tempfile.TemporaryDirectory(prefix="pg-") as sockets:
        # Not below `root`: the path of a Unix socket may not be longer than 107 bytes.
        os.mkdir(data, 0o700)
        for directory in (data, sockets):
            os.chown(directory, owner, -1)
        with _server(programs, data, sockets):
            address = f"postgresql://{USER}@{quote(sockets, safe='')}/postgres"
            with Helper(["perl", SCRIPT, address]) as helper:
                yield helper
        shutil.rmtree(data)


@contextmanager
def _server(programs: str, data: str, sockets: str) -> Iterator[None]:
    _run([f"{programs}/initdb", "-D", data, "-A", "trust", "-U", USER, "--no-sync"])
    control = [f"{programs}/pg_ctl", "-D", data, "-w", "-l", f"{data}/log"]
    options = f"-c listen_addresses='' -c unix_socket_directories='{sockets}'"
    _run([*control, "-o", options, "start"])
    try:
        yield
    finally:
        _run([*control, "-m", "fast", "stop"])


def _programs() -> str:
    found = shutil.which("initdb")
    if found:
        return os.path.dirname(found)
    versions = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    if not versions:
        raise Missing("PostgreSQL")
    return os.path.dirname(versions[-1])


def _require_perl_modules() -> None:
    if shutil.which("perl") is None:
        raise Missing("Perl")
    check = ["perl", "-MMinion", "-MMojo::Pg", "-e", "1"]
    if subprocess.run(check, check=False, capture_output=True).returncode:
        raise Missing("Minion and Mojo::Pg for Perl")


def _owner() -> int:
    """Whose the cluster is: PostgreSQL refuses to run as root."""
    if os.geteuid():
        return os.geteuid()
    try:
        return pwd.getpwnam(USER).pw_uid
    except KeyError:
        raise Missing(f"the user {USER}") from None


def _run(argv: Sequence[str]) -> None:
    command = ["runuser", "-u", USER, "--", *argv] if os.geteuid() == 0 else list(argv)
    done = subprocess.run(
        command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/"
    )
    if done.returncode:
        sys.stderr.buffer.write(done.stderr)
        raise RuntimeError(f"{os.path.basename(argv[0])} failed with status {done.returncode}")
