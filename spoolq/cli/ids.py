"""Ids as people write them: `7`, `9-12`, `last`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from spoolq.cli.exits import NOT_FOUND, USAGE, Refused
from spoolq.model import JobInfo
from spoolq.spool import Spool

LAST: Final = "last"
MOST: Final = 100_000  # ids a range may have


def parse_ids(words: Iterable[str]) -> list[int]:
    """Ids, in the order given, each once. Raises Refused."""
    ids: dict[int, None] = {}
    for word in words:
        first, dash, last = word.partition("-")
        if not first.isdecimal() or not word.isascii() or (dash and not last.isdecimal()):
            raise Refused(USAGE, f"{word!r} is no id: write 7 or 9-12")
        start, end = int(first), int(last or first)
        if end - start >= MOST:
            raise Refused(USAGE, f"more than {MOST} ids at once: {word}")
        ids.update(dict.fromkeys(range(start, end + 1)))
    return list(ids)


def find_job(spool: Spool, word: str) -> JobInfo:
    """The job with this id, or the newest one for `last`. Raises Refused when there is none."""
    if word == LAST:
        newest: list[JobInfo] = spool.backend.list_jobs(0, 1).rows
        if not newest:
            raise Refused(NOT_FOUND, "there is no job yet")
        return newest[0]
    return find_jobs(spool, [word])[0]


def find_jobs(spool: Spool, words: Iterable[str]) -> list[JobInfo]:
    """The jobs with these ids, in that order. Raises Refused when one of them is not there."""
    ids = parse_ids(words)
    found: dict[int, JobInfo] = {
        info.id: info for info in spool.backend.list_jobs(0, len(ids), ids=ids).rows
    }
    missing = [str(number) for number in ids if number not in found]
    if missing:
        raise Refused(NOT_FOUND, f"no such job: {', '.join(missing[:10])}")
    return [found[number] for number in ids]
