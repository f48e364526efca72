"""Programs of the examples, as processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.support import wait_for

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


class Running:
    """A process that says on stderr when it is there. Ended with `end`, else killed."""

    def __init__(self, *words: str, cwd: Path, log: Path, says: str, **env: str) -> None:
        self.log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=cwd,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **env},
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
            )
        try:
            wait_for(lambda: self.has_said(says), 30)
        except BaseException:
            self.kill()
            raise

    def has_said(self, pattern: str) -> re.Match[str] | None:
        ended = self.process.poll() is not None
        text = self.log.read_text()
        found = re.search(pattern, text)
        assert found or not ended, text
        return found

    @property
    def url(self) -> str:
        """Where it serves, of a server that says so."""
        found = self.has_said(r"http://127\.0\.0\.1:\d+")
        assert found is not None
        return found[0]

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def fetch(url: str, data: Mapping[str, str] | bytes | None = None) -> tuple[int, str, str]:
    """Status, text and final address; `data` is posted, as a form or as JSON."""
    form = isinstance(data, Mapping)
    body = urllib.parse.urlencode(data).encode() if isinstance(data, Mapping) else data
    asked = urllib.request.Request(url, data=body)
    if not form:
        asked.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(asked, timeout=40) as answer:
            return answer.status, answer.read().decode(), answer.url
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.url or url
