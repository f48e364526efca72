"""Selectors on the command line: the words, and what stands on stdin for `-`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final, Protocol

from spoolq.backend import Backend
from spoolq.cli.exits import NOT_FOUND, USAGE, Refused
from spoolq.cli.grammar import SELECTORS
from spoolq.lookup import Found, find, hint
from spoolq.model import JobInfo
from spoolq.selection import LAST, Selection, parse

STDIN: Final = "-"


class HasBackend(Protocol):
    """A Spool, or what a command has opened of one."""

    @property
    def backend(self) -> Backend: ...


def selection(words: Sequence[str]) -> Selection:
    """What the words ask for; `-` stands for those on stdin. Raises Refused, InvalidValue."""
    given: list[str] = []
    for word in words:
        if word != STDIN:
            given.append(word)
            continue
        read = sys.stdin.read().split()
        if not read:
            raise Refused(USAGE, "-: there are no ids on stdin")
        given += read
    return parse(given)


def some_jobs(spool: HasBackend, words: Sequence[str] | None) -> Found:
    """At least one job, newest first. Raises Refused when nothing was asked for, or matched."""
    asked = selection(words or ())
    if asked.is_empty:
        raise Refused(USAGE, f"which jobs? {SELECTORS}")
    found = find(spool.backend, asked)
    if not found.jobs:
        raise Refused(
            NOT_FOUND, f"nothing matched {' '.join(words or ())}{hint(spool.backend, asked)}"
        )
    return found


def some_or_last(spool: HasBackend, words: Sequence[str] | None) -> Found:
    """`some_jobs`; the newest job when nothing was asked for."""
    return some_jobs(spool, words or [LAST])


def one_job(spool: HasBackend, word: str) -> JobInfo:
    """The only job that a word means. Raises Refused when it means several."""
    found = some_jobs(spool, [word])
    if len(found.jobs) > 1:
        raise Refused(USAGE, f"{word} means {len(found.jobs)} jobs; name one")
    return found.jobs[0]
