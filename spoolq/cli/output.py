"""What a command prints: data on stdout, talk on stderr, hostile text made harmless."""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from spoolq.environments import resolved
from spoolq.model import JSON, JobInfo

TIMES: Final = (
    *("created", "delayed", "expires", "started", "finished", "retried", "time"),
    "notified",
)
HIDDEN: Final = "hidden, use --show-env"

_BARE: Final = re.compile(r"[\w@%+=:,./-]+", re.ASCII)  # most words, known at one look
_HARMFUL: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


def say(text: str) -> None:
    """One line of talk."""
    print(text, file=sys.stderr)


def hints() -> bool:
    """Whether somebody is there to read what the next command may be."""
    return sys.stderr.isatty() and sys.stdout.isatty() and os.environ.get("SPOOLQ_HINTS") != "0"


def print_json(value: JSON) -> None:
    """One JSON value on one line, in ASCII: safe in every terminal and every pipe."""
    print(json.dumps(value))


def job_json(job: JobInfo, *, show_env: bool = False, root: str | None = None) -> dict[str, JSON]:
    """A job with Minion's field names; beside each time its ISO 8601 twin `<name>_at`.

    The environment of a command line is left out unless it is asked for: it holds secrets. Then
    it is looked up in the spool at `root`.
    """
    value = with_twins(asdict(job))
    value["history"] = [with_twins(attempt) for attempt in job.history]
    if not show_env and "env" in job.kwargs:
        value["kwargs"] = {**job.kwargs, "env": HIDDEN}
    elif show_env:
        value["kwargs"] = resolved(root, job.kwargs)
    return value


def iso(seconds: float) -> str:
    """A time as ISO 8601 in UTC, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def local(seconds: float | None) -> str:
    """A time for people, in the time zone of this process; a dash for none."""
    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def escape(text: str, *, lines: bool = False) -> str:
    r"""Text with everything that could steer a terminal, or fool its reader, as \x1b or \u202e.

    With `lines` line ends and tabs stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape_character(char, lines=lines) for char in text)


def compact(value: JSON) -> str:
    """A JSON value for people, on one line, escaped."""
    return escape(json.dumps(value, ensure_ascii=False))


def words(job: JobInfo) -> str:
    """The task and its arguments as one would type them; a command line without its `exec`."""
    arguments = [arg if isinstance(arg, str) else json.dumps(arg) for arg in job.args]
    start = [] if job.task == "exec" else [job.task]
    return " ".join(_quote(word) for word in [*start, *arguments])


def digits(number: int) -> str:
    """`1 204`: a number for people."""
    return f"{number:,}".replace(",", " ")


def many(number: int, what: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def status(job: JobInfo) -> str:
    """How the last attempt of a program ended: `0`, `signal 9`, `timeout`; else empty."""
    if job.exit is None:
        return ""
    code, signal, reason = (job.exit.get(key) for key in ("code", "signal", "reason"))
    ways = {"exited": str(code), "signaled": f"signal {signal}"}
    return ways.get(str(reason)) or escape(str(reason))


def with_twins(value: dict[str, Any]) -> dict[str, JSON]:
    """A record with the same as ISO 8601 beside each of its times."""
    twins: dict[str, JSON] = {}
    for name, item in value.items():
        twins[name] = item
        if name in TIMES:
            twins[f"{name}_at"] = None if item is None else iso(item)
    return twins


def _escape_character(char: str, *, lines: bool) -> str:
    if lines and char in "\n\t":
        return char
    if char == " " or unicodedata.category(char) not in _HARMFUL:
        return char
    number = ord(char)
    if char in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[char]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _quote(word: str) -> str:
    if _BARE.fullmatch(word):
        return word
    plain = escape(word)
    if word and plain == word and not set(word) & set(" '\"\\$`&|;<>()*?[]#~!{}"):
        return word
    return json.dumps(word, ensure_ascii=False) if plain == word else f'"{plain}"'
