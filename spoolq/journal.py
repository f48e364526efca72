"""What a worker says, line by line: for people, for programs, and for the systemd journal.

    text     2026-11-27 13:09:11 INFO worker 3 started
    json     {"ts": …, "level": "info", "message": …, "event": …, "job": …, "task": …, …}
    journal  <6>worker 3 started           where JOURNAL_STREAM says that stderr is the journal

Records carry the fields of the JSON as `record.spoolq`, for handlers of a program's own.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

FORMATS: Final = ("text", "json", "journal")
LEVELS: Final = ("debug", "info", "warning", "error")

log = logging.getLogger("spoolq")


def set_up(format: str | None, level: str, stream: TextIO | None = None) -> None:
    """Send what spoolq says to `stream`, else stderr; without a format what suits it."""
    stream = stream or sys.stderr
    chosen = format or ("journal" if is_journal(stream) else "text")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_FORMATTERS[chosen]())
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(level.upper())


def is_journal(stream: TextIO) -> bool:
    """Whether this stream is the very one that systemd has connected to its journal."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


class TextFormatter(logging.Formatter):
    """A line with the local time."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """The line, with what could steer a terminal escaped."""
        return _harmless(super().formatMessage(record))


class JSONFormatter(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        value: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "spoolq", {}),
        }
        if record.exc_info:
            value["traceback"] = self.formatException(record.exc_info)
        return json.dumps(value, default=str)


class JournalFormatter(logging.Formatter):
    """A line without a time, which the journal knows, with the priority in front of each line."""

    def format(self, record: logging.LogRecord) -> str:
        """The lines."""
        priority = _PRIORITIES.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """The message on one line, whatever is in it."""
        return _harmless(record.getMessage())


_PRIORITIES: Final = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
_FORMATTERS: Final[dict[str, type[logging.Formatter]]] = {
    "text": TextFormatter,
    "json": JSONFormatter,
    "journal": JournalFormatter,
}


def _harmless(text: str) -> str:
    """Names of tasks are anybody's: no control character of theirs reaches a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
