"""Ids as people write them where nothing else makes sense: `7`, `9-12`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from spoolq.cli.exits import USAGE, Refused

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
