"""A spool of its own for each test, and commands run on it as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
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


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    with Zygote() as zygote:
        yield zygote


@pytest.fixture
def shell(tmp_path: Path, zygote: Zygote) -> Shell:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    root = tmp_path / "spool"
    env = {
        **kept,
        "SPOOLQ_ROOT": str(root),
        "SPOOLQ_DURABILITY": "none",
        "SPOOLQ_AUTOSTART": "never",
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "error",
        "COLUMNS": "80",
        "TMPDIR": str(tmp_path),
    }
    return Shell(root, zygote, env)
