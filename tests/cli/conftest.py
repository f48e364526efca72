"""A spool of its own for each test, and commands run on it as processes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.zygote import Zygote

REPOSITORY = Path(__file__).parents[2]
SPOOLQ = (sys.executable, "-m", "spoolq")
_OURS = ("SPOOLQ_", "MINIQ_", "NOTIFY_")


@dataclass
class Ran:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


@dataclass
class Shell:
    """Runs commands with a spool of their own."""

    root: Path
    zygote: Zygote
    env: dict[str, str] = field(default_factory=dict)

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command and leave it running."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen([*SPOOLQ, *words], env=self.env, **{**pipes, **options})

    def run(self, *words: str | bytes, program: str = "spoolq", cwd: Path | None = None) -> Ran:
        """Run a command to its end."""
        out, err = self.root.parent / "stdout", self.root.parent / "stderr"
        cwd = cwd or self.root.parent
        code = self.zygote.run(program, words, env=self.env, cwd=cwd, out=out, err=err)
        return Ran(code, out.read_text(), err.read_text())

    def ok(self, *words: str, **options: Any) -> str:
        """Run a command that must succeed in silence on stderr; return its output."""
        ran = self.run(*words, **options)
        assert (ran.code, ran.err) == (0, ""), ran
        return ran.out.strip()

    def json(self, *words: str) -> Any:
        """Run a command with --json behind its verb and parse what it prints."""
        verb, *rest = words
        return json.loads(self.ok(verb, "--json", *rest))

    def add_executable(self, name: str, body: str) -> Path:
        """Put a shell script into jobs/."""
        jobs = self.root / "jobs"
        jobs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root.chmod(0o700)
        path = jobs / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path


@dataclass
class Terminal:
    """Runs commands as somebody at a terminal sees them: stdout and stderr are one screen."""

    shell: Shell

    def run(self, *words: str, columns: int = 80) -> Ran:
        """Run a command to its end; `out` is everything that was seen."""
        ours, theirs = pty.openpty()
        screen = Path(os.ttyname(theirs))
        seen: list[bytes] = []
        reader = threading.Thread(target=self._read, args=(ours, seen))
        reader.start()
        env = {"NO_COLOR": "1", "TERM": "xterm", **self.shell.env}
        env |= {"COLUMNS": str(columns), "TZ": "UTC"}
        code = self.shell.zygote.run(
            "spoolq", words, env=env, cwd=self.shell.root.parent, out=screen, err=screen
        )
        os.close(theirs)
        reader.join()
        os.close(ours)
        return Ran(code, b"".join(seen).decode().replace("\r\n", "\n"), "")

    @staticmethod
    def _read(fd: int, seen: list[bytes]) -> None:
        with suppress(OSError):  # Linux says EIO when the other side is closed
            while block := os.read(fd, 65536):
                seen.append(block)


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    with Zygote() as zygote:
        yield zygote


@pytest.fixture
def shell(tmp_path: Path, zygote: Zygote) -> Shell:
    return make_shell(tmp_path, zygote)


def make_shell(place: Path, zygote: Zygote) -> Shell:
    """A shell with a spool below this directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    root = place / "spool"
    env = {
        **kept,
        "SPOOLQ_ROOT": str(root),
        "SPOOLQ_DURABILITY": "none",
        "SPOOLQ_AUTOSTART": "never",
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "error",
        "COLUMNS": "80",
        "TMPDIR": str(place),
    }
    return Shell(root, zygote, env)


@pytest.fixture
def terminal(shell: Shell) -> Terminal:
    return Terminal(shell)
