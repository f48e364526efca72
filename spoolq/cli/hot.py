"""The commands that loops and timers start: straight from the words to the work, past Typer."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from spoolq.cli import grammar
from spoolq.cli.context import Opened

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Any, Final

    Run = Callable[[Opened, dict[str, Any], list[str]], int]

# Which function performs a command; its module is loaded for it alone.
COMMANDS: Final[dict[str, tuple[grammar.Command, str, str]]] = {
    "add": (grammar.ADD, "adding", "add"),
    "enqueue": (grammar.ENQUEUE, "adding", "enqueue"),
    "list": (grammar.LIST, "listing", "list_jobs"),
    "ls": (grammar.LIST, "listing", "list_jobs"),
    "count": (grammar.COUNT, "asking", "count"),
    "is": (grammar.IS, "asking", "is_state"),
    "process": (grammar.PROCESS, "performing", "process"),
    "worker": (grammar.WORKER, "working", "worker"),
}
COMPLETE: Final = "__complete"  # what completion scripts ask
# What a short command makes it keeps to its end: looking for rubbish is a tenth of it.
_SHORT: Final = frozenset({"list", "ls", "count", "is"})


def run(words: Sequence[str]) -> int | None:
    """The exit code; None for a command line that the command tree has to read."""
    if words and words[0] == COMPLETE:
        from spoolq.cli.completing import answer

        return answer(words[1:])
    before = grammar.parse(grammar.BEFORE_THE_VERB, words, os.environ)
    if before is None or not before[1] or before[1][0] not in COMMANDS:
        return None
    chosen, (verb, *rest) = before
    command = COMMANDS[verb][0]
    parsed = grammar.parse(command.options, rest, os.environ, mixed=command.mixed)
    if parsed is None or (parsed[1] and not command.words):
        return None
    if chosen.get("debug"):
        os.environ["SPOOLQ_DEBUG"] = "1"
    if "color" in chosen:
        if chosen["color"] not in ("auto", "always", "never"):
            return None
        os.environ["SPOOLQ_COLOR"] = chosen["color"]
    if verb in _SHORT:
        import gc

        gc.disable()
    return performs(verb)(Opened(chosen.get("root"), chosen.get("durability")), *parsed)


def performs(verb: str) -> Run:
    """The function that performs a command."""
    _, module, function = COMMANDS[verb]
    # importlib is 2 ms, for what this does as well.
    loaded = __import__(f"spoolq.cli.{module}", fromlist=[function])
    found: Run = getattr(loaded, function)
    return found


def miniq(words: Sequence[str]) -> int:
    """`miniq NAME ARGS…`: enqueue NAME and print the id."""
    from spoolq.cli.adding import miniq as act

    return act(Opened(None, None), words)
