"""What may stand next on a command line: `spoolq __complete WORDS…`, which completion scripts ask.

The first line of the answer says what the shell is to do: `values` (one a line, a tab, what it
is), `files`, `directories`, or `command N` when the N-th word begins somebody else's command line.
Nothing here loads Typer, changes the spool, or makes one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence

from spoolq.cli.context import Opened
from spoolq.errors import SpoolError
from spoolq.states import STATES

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Any, Final

    Value = tuple[str, str]
    Table = dict[str, Any]

MOST: Final = 50  # jobs that are offered, the newest ones
# Which jobs a verb can do something about; for the others any.
_FOR_VERB: Final[dict[str, tuple[str, ...]]] = {
    "retry": ("failed",),
    "kill": ("active",),
    "pause": ("active",),
    "resume": ("active",),
    "remove": ("inactive", "finished", "failed"),
    "hold": ("inactive",),
    "release": ("inactive",),
    "edit": ("inactive",),
    "result": ("finished",),
    "clean": ("finished", "failed"),
}
_VIEWS: Final = (*STATES, "ready", "delayed", "blocked", "held")
_KEYS: Final = ("state:", "queue:", "task:", "label:", "note:", "last", "all")


def answer(words: Sequence[str]) -> int:
    """Print what may stand in place of the last word; always 0."""
    with open(f"{os.path.dirname(__file__)}/words.json", encoding="utf-8") as file:
        table = json.load(file)
    for line in Line(table, words).lines():
        print(line)
    return 0


class Line:
    """A command line that is being typed."""

    def __init__(self, table: Table, words: Sequence[str]) -> None:
        """`table` is `words.json`; the last of the words is the one to be completed."""
        self._table = table
        *self._before, self._word = words or [""]
        self._verb = ""
        self._given: dict[str, str] = {}

    def lines(self) -> Iterator[str]:
        """The answer."""
        kind = self._kind()
        if kind in ("files", "directories") or kind.startswith("command "):
            yield kind
            return
        yield "values"
        prefix, equals, _ = self._word.partition("=")
        start = f"{prefix}=" if equals and prefix.startswith("--") else ""
        for value, about in self._values(kind, self._word.removeprefix(start)):
            if f"{start}{value}".startswith(self._word) and value.isprintable():
                yield f"{start}{value}\t{about}".rstrip("\t")

    def _kind(self) -> str:
        """What the last word is: a kind of `tree`, `flags`, `verbs`, or what the shell knows."""
        place, waiting, words, dashes = 0, "", 0, False
        while place < len(self._before):
            word, place = self._before[place], place + 1
            spec = self._table[self._verb]
            if word == "--" and not dashes:
                dashes = True
            elif word.startswith("-") and word != "-" and not dashes:
                waiting = self._option(word)
                if waiting and place < len(self._before):
                    self._given[word], place, waiting = self._before[place], place + 1, ""
            elif spec["verbs"]:
                self._verb = f"{self._verb} {word}".strip()
                if self._verb not in self._table:
                    return "nothing"
            else:
                if spec["words"][words : words + 1] == ["command"]:
                    return f"command {place}"
                words += 1
                if not spec["mixed"] and spec["words"][words : words + 1] != ["command"]:
                    return "files"  # the arguments of a job
        return waiting or self._next(words, dashes=dashes)

    def _next(self, words: int, *, dashes: bool) -> str:
        """What a word is that is no option's value, after so many others."""
        spec = self._table[self._verb]
        if self._word.startswith("-") and not dashes:
            flag, equals, _ = self._word.partition("=")
            return (self._option(flag) or "nothing") if equals else "flags"
        if spec["verbs"]:
            return "verbs"
        kinds: list[str] = spec["words"]
        if words < len(kinds):
            kind = kinds[words]
        elif kinds and spec["many"]:
            kind = kinds[-1]
        else:
            return "nothing"
        return f"command {len(self._before) + 1}" if kind == "command" else kind

    def _option(self, word: str) -> str:
        """What the value is that this option takes from the next word; "" for none."""
        for names, value, _ in self._table[self._verb]["flags"]:
            if word in names:
                return str(value)
        return ""

    def _values(self, kind: str, word: str) -> Iterable[Value]:
        spec = self._table[self._verb]
        if kind == "flags":
            return [
                (name, about)
                for names, _, about in [*spec["flags"], [["--help"], "", "Show its help."]]
                for name in names
                if name.startswith("--") or len(self._word) == 2
            ]
        if kind == "verbs":
            return [
                (verb, self._table[f"{self._verb} {verb}".strip()]["help"])
                for verb in spec["verbs"]
            ]
        if kind.startswith("choice:"):
            return [(value, "") for value in kind.removeprefix("choice:").split("|")]
        if kind == "states":
            return [(state, "") for state in _VIEWS] + [("done", "")] * (self._verb == "is")
        try:
            return self._of_spool(kind, word)
        except (SpoolError, OSError):
            return []

    def _of_spool(self, kind: str, word: str) -> Iterable[Value]:
        opened = Opened(self._given.get("--root"), None)
        if not os.path.isfile(f"{opened.root}/FORMAT"):
            return []  # looking must not make one
        viewer = opened.viewer
        if kind == "queues":
            return [(queue, "") for queue in sorted(viewer.queues())]
        if kind == "tasks":
            return [(task, "") for task in sorted(viewer.tasks())]
        if kind not in ("ids", "selectors"):
            return []
        key, colon, _ = word.partition(":")
        if colon:
            inner = {"state": "states", "queue": "queues", "task": "tasks"}.get(key, "nothing")
            return [(f"{key}:{value}", about) for value, about in self._values(inner, "")]
        states: Any = _FOR_VERB.get(self._verb, STATES)
        found = viewer.newest(states, limit=MOST)
        jobs = [
            (str(id_), _printable(f"{view} — {words}"))
            for id_, view, words in found
            if self._verb != "release" or view == "held"
        ]
        return [*jobs, *((name, "") for name in (_KEYS if kind == "selectors" else ("last",)))]


def _printable(text: str) -> str:
    """A line about a job, harmless in every terminal."""
    plain = "".join(char if char.isprintable() else "?" for char in text)
    return plain if len(plain) <= 60 else f"{plain[:59]}…"
