"""A spool directory with executables in it, and nothing of a spool beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spoolq.runners import Outcome, Run
from spoolq.runners.executable import start_executable


@dataclass
class Attempt:
    """What a runner knows about a job."""

    task: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    id: int = 300
    retries: int = 0


class Programs:
    """A directory that executables can be put into and started from."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("jobs", "logs"):
            (root / name).mkdir(parents=True, mode=0o700)

    def add(self, name: str, text: str, mode: int = 0o755) -> Path:
        """Put an executable into jobs/; a text without `#!` is the body of a shell script."""
        path = self.root / "jobs" / name
        path.write_text(text if text.startswith("#!") or not text else f"#!/bin/sh\n{text}\n")
        path.chmod(mode)
        return path

    def start(self, task: str, *args: Any, **options: Any) -> Run:
        """Start one attempt at a task."""
        attempt = Attempt(task, list(args), options.pop("kwargs", {}))
        return start_executable(attempt, root=str(self.root), **options)

    def run(self, task: str, *args: Any, **options: Any) -> Outcome:
        """Start one attempt and wait for its end."""
        outcome = self.start(task, *args, **options).wait(20)
        assert outcome is not None, "it did not end"
        return outcome

    @property
    def log(self) -> str:
        """What the attempt has written so far."""
        return (self.root / "logs" / "1" / "300.0.log").read_text()


def alive(pid: int) -> bool:
    """Whether this process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
