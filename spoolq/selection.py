"""Selectors: how people name jobs, in one grammar for the command line and every interface.

    7  9-12  1,4,9  last  last~2  all
    state:failed  queue:gpu  task:resize  label:train*  worker:3  note:batch=7  parent:17
    priority:5

Ids and ranges unite. Words with the same key unite, words with different keys intersect, and ids
count as one more key. `*`, `?` and `[…]` in a queue, a task or a label are patterns.

Pure: `parse` makes a Selection of words, `matches` judges one job; `lookup` reads the spool.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from spoolq.errors import InvalidValue
from spoolq.model import STATES, JobInfo
from spoolq.why import VIEWS, View

LAST: Final = "last"
ALL: Final = "all"
MOST: Final = 100_000  # ids a range may have
KEYS: Final = ("state", "queue", "task", "label", "worker", "note", "parent", "priority", "id")
_NUMBERS: Final = frozenset({"worker", "parent", "priority"})


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked for. Without ids and words it matches every job."""

    ids: frozenset[int] = frozenset()
    """Ids that were named one by one: each of them has to be there."""
    ranges: tuple[range, ...] = ()
    """Ids that were named by their ends: those of them that are there."""
    last: frozenset[int] = frozenset()
    """How many jobs before the newest one; not an id before the spool was asked."""
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    everything: bool = False
    """`all` was said: it unites with every id."""

    @property
    def names_ids(self) -> bool:
        """Whether ids, ranges or `last` say which jobs may be meant."""
        return bool(self.ids or self.ranges or self.last) and not self.everything

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said at all."""
        return not (self.names_ids or self.words or self.everything)

    @property
    def is_one(self) -> bool:
        """Whether it can only mean exactly one job."""
        return len(self.ids) + len(self.last) == 1 and not self.ranges and not self.words

    @property
    def states(self) -> frozenset[str] | None:
        """The states of the contract in which jobs may match; None: any."""
        asked = self.words.get("state")
        if asked is None:
            return None
        return frozenset(word if word in STATES else "inactive" for word in asked)

    def exact(self, key: str) -> list[str] | None:
        """The values of a key, when none of them is a pattern: a backend can look for these."""
        values = self.words.get(key)
        return list(values) if values and not any(map(_is_pattern, values)) else None

    def note_keys(self) -> list[str] | None:
        """The keys of notes that a job has to have one of."""
        values = self.words.get("note")
        return [value.partition("=")[0] for value in values] if values else None

    def matches(self, job: JobInfo, view: View) -> bool:
        """Whether the words allow this job; `view` is `why.view` of it. Ids are not looked at."""
        return all(
            any(_is_match(key, value, job, view) for value in values)
            for key, values in self.words.items()
        )


def parse(words: Iterable[str]) -> Selection:
    """A Selection. Raises InvalidValue, with what was probably meant."""
    ids: dict[int, None] = {}
    ranges: list[range] = []
    last: set[int] = set()
    everything = False
    keyed: dict[str, tuple[str, ...]] = {}
    for word in words:
        key, colon, value = word.partition(":")
        if colon and key != "id":
            keyed[key] = (*keyed.get(key, ()), *_values(key, value, word))
            continue
        for part in (value if colon else word).split(","):
            if part == ALL:
                everything = True
            elif part == LAST or part.startswith(f"{LAST}~"):
                last.add(_whole(part.removeprefix(LAST).removeprefix("~") or "0", part))
            elif "-" in part:
                ranges.append(_range(part))
            else:
                ids[_whole(part, word)] = None
    return Selection(frozenset(ids), tuple(ranges), frozenset(last), keyed, everything)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'failed'?`, or nothing when nothing comes close."""
    import difflib  # for who has made a mistake

    close = difflib.get_close_matches(word, [*known], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _values(key: str, value: str, word: str) -> list[str]:
    if key not in KEYS:
        meant = did_you_mean(key, KEYS) or f" (known: {', '.join(KEYS)})"
        raise InvalidValue(f"{word!r}: there is no key {key!r}{meant}")
    if not value and key != "queue":  # a queue may have an empty name
        raise InvalidValue(f"{word!r}: {key}: what?")
    if key == "state":
        return [_state(part) for part in value.split(",")]
    if key in _NUMBERS:
        digits = value.removeprefix("-") if key == "priority" else value
        _whole(digits, word)
    return [value]


def _state(word: str) -> str:
    known = dict.fromkeys((*STATES, *VIEWS))
    if word not in known:
        meant = did_you_mean(word, known) or f" (known: {', '.join(known)})"
        raise InvalidValue(f"there is no state {word!r}{meant}")
    return word


def _range(word: str) -> range:
    first, _, last = word.partition("-")
    start, end = _whole(first, word), _whole(last, word)
    if end < start:
        raise InvalidValue(f"{word!r} is no range: the smaller id comes first")
    if end - start >= MOST:
        raise InvalidValue(f"more than {MOST} ids at once: {word}")
    return range(start, end + 1)


def _whole(digits: str, word: str) -> int:
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 18:
        known = (LAST, ALL, *(f"{key}:" for key in KEYS))
        meant = did_you_mean(word, known)
        raise InvalidValue(f"{word!r} is no id: write 7, 9-12, last or state:failed{meant}")
    return int(digits)


def _is_match(key: str, value: str, job: JobInfo, view: View) -> bool:
    match key:
        case "state":
            return value in (job.state, view)
        case "queue":
            return _fits(job.queue, value)
        case "task":
            return _fits(job.task, value)
        case "label":
            return _fits(str(job.notes.get("label", "")), value)
        case "note":
            return _has_note(job, value)
        case "worker":
            return job.worker == int(value)
        case "parent":
            return int(value) in job.parents
        case _:
            return job.priority == int(value)


def _has_note(job: JobInfo, value: str) -> bool:
    key, equals, wanted = value.partition("=")
    if key not in job.notes:
        return False
    if not equals:
        return True
    there = job.notes[key]
    return wanted == (there if isinstance(there, str) else json.dumps(there))


def _fits(name: str, pattern: str) -> bool:
    if name == pattern or not _is_pattern(pattern):
        return name == pattern
    from fnmatch import fnmatchcase  # 2 ms, for who has a pattern

    return fnmatchcase(name, pattern)


def _is_pattern(text: str) -> bool:
    return not {"*", "?", "["}.isdisjoint(text)
