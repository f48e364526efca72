"""Questions with a short answer: `count` and `is`.

Scripts ask them in loops, so what names can answer is answered without loading the library.
"""

from __future__ import annotations

import json

from spoolq.cli.exits import NO, NOT_FOUND, USAGE, Refused
from spoolq.cli.grammar import keyed

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Final

    from spoolq.cli.context import Opened
    from spoolq.states import State

_DONE: Final[tuple[State, ...]] = ("finished", "failed")
_STATES: Final[dict[str, tuple[State, ...]]] = {
    "inactive": ("inactive",),
    "active": ("active",),
    "finished": ("finished",),
    "failed": ("failed",),
    "done": _DONE,
}


def count(opened: Opened, values: dict[str, Any], words: list[str]) -> int:
    """`spoolq count`: the exit code."""
    asked = [*words, *keyed(values)]
    number = _count_names(opened, asked)
    if number is None:
        number = _count_all(opened, asked)
    print(json.dumps({"count": number}) if values.get("as_json") else number)
    return 0


def is_state(opened: Opened, values: dict[str, Any], words: list[str]) -> int:
    """`spoolq is STATE SEL…`: 0 when every one is in this state, else 1."""
    if not words:
        raise Refused(USAGE, "is what? spoolq is STATE SEL…")
    state, *which = words
    answers = _ask_names(opened, state, which)
    if answers is None:
        answers = _ask_all(opened, state, which)
    if values.get("as_json"):
        print(json.dumps([{"id": id_, "is": answer} for id_, answer in answers.items()]))
    return 0 if all(answers.values()) else NO


def _count_names(opened: Opened, asked: Sequence[str]) -> int | None:
    """The number, if names tell it: of states, and of plain queues."""
    states: set[State] = set()
    queues: set[str] = set()
    for word in asked:
        key, _, value = word.partition(":")
        if key == "state" and all(part in _STATES and part != "done" for part in value.split(",")):
            states.update(*(_STATES[part] for part in value.split(",")))
        elif key == "queue" and value and {"*", "?", "["}.isdisjoint(value):
            queues.add(value)
        else:
            return None
    if not opened.viewer.ready:
        return None
    every: tuple[State, ...] = (*_STATES["inactive"], *_STATES["active"], *_DONE)
    return opened.viewer.count(states or every, queues or None)


def _ask_names(opened: Opened, state: str, which: Sequence[str]) -> dict[int, bool] | None:
    """The answers, if names tell them: for ids that are written out."""
    ids = _plain_ids(",".join(which).split(",")) if which else None
    if ids is None or state not in _STATES or not opened.viewer.ready:
        return None
    found = opened.viewer.states(ids)
    if found is None:
        return None
    missing = [str(id_) for id_ in ids if id_ not in found]
    if missing:
        raise Refused(NOT_FOUND, f"no such job: {', '.join(sorted(missing, key=int)[:10])}")
    return {id_: found[id_] in _STATES[state] for id_ in sorted(ids, reverse=True)}


def _plain_ids(words: Iterable[str]) -> set[int] | None:
    found = set()
    for word in words:
        if not (word.isascii() and word.isdecimal()) or len(word) > 18:
            return None
        found.add(int(word))
    return found


def _count_all(opened: Opened, asked: Sequence[str]) -> int:
    from spoolq.cli.listing import count_jobs
    from spoolq.cli.selecting import selection

    return count_jobs(opened.backend, selection(asked))


def _ask_all(opened: Opened, state: str, which: list[str]) -> dict[int, bool]:
    from spoolq.cli.selecting import some_jobs
    from spoolq.selection import parse

    states = {*_DONE} if state == "done" else {*parse([f"state:{state}"]).words["state"]}
    found = some_jobs(opened, which)
    return {job.id: not states.isdisjoint({job.state, found.view(job)}) for job in found.jobs}
