"""What went wrong, on stderr: a line for people, an object for who asked for JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

from spoolq.cli import grammar
from spoolq.cli.exits import CLOSED, CONFLICT, NO, NOT_FOUND, UNUSABLE, USAGE
from spoolq.cli.output import escape, say

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Final

KINDS: Final = {
    NO: "no",
    USAGE: "usage",
    NOT_FOUND: "not-found",
    CONFLICT: "conflict",
    UNUSABLE: "unusable",
    CLOSED: "closed",
}
_JOBS_OWN: Final = {"add": grammar.ADD, "enqueue": grammar.ENQUEUE}


def complain(name: str, words: Sequence[str], code: int, message: str) -> None:
    """Say why the command line `words` of the program `name` exits with `code`."""
    if wants_json(words):
        say(json.dumps({"error": {"code": code, "kind": KINDS[code], "message": message}}))
    else:
        say(f"{name}: {escape(message)}")


def wants_json(words: Sequence[str]) -> bool:
    """Whether a command line, right or wrong, asks for JSON: `--json`, `-o json`, `-o jsonl`."""
    before = grammar.parse(grammar.BEFORE_THE_VERB, words, {})
    verb, *rest = before[1] if before is not None and before[1] else [""]
    rest = rest[: rest.index("--")] if "--" in rest else rest
    if verb in _JOBS_OWN:
        rest = _options(_JOBS_OWN[verb], rest)
    elif {"-o", "--output"} & set(rest):
        pairs = pairwise(rest)
        if any(a in ("-o", "--output") and b in ("json", "jsonl") for a, b in pairs):
            return True
    return "--json" in rest


def _options(command: grammar.Command, words: Sequence[str]) -> list[str]:
    """Those of the words that come before the first of the job's own."""
    valued = {flag for option in command.options if option.takes_value for flag in option.flags}
    found, left = list[str](), iter(words)
    for word in left:
        if not word.startswith("-"):
            break
        found.append(word)
        if word in valued:
            next(left, None)
    return found
