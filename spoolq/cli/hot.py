"""The commands that loops start: straight from the words to the job, past Typer."""

from __future__ import annotations

import os
from collections.abc import Sequence

from spoolq.cli import adding, grammar
from spoolq.cli.context import Opened

_RUN = {"add": (grammar.ADD, adding.add), "enqueue": (grammar.ENQUEUE, adding.enqueue)}


def run(words: Sequence[str]) -> int | None:
    """The exit code; None for a command line that the command tree has to read."""
    before = grammar.parse(grammar.BEFORE_THE_VERB, words, os.environ)
    if before is None or not before[1] or before[1][0] not in _RUN:
        return None
    chosen, (verb, *rest) = before
    command, act = _RUN[verb]
    parsed = grammar.parse(command.options, rest, os.environ)
    if parsed is None:
        return None
    if chosen.get("debug"):
        os.environ["SPOOLQ_DEBUG"] = "1"
    return act(Opened(chosen.get("root"), chosen.get("durability")), *parsed)


def miniq(words: Sequence[str]) -> int:
    """`miniq NAME ARGS…`: enqueue NAME and print the id."""
    return adding.miniq(Opened(None, None), words)
