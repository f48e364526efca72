"""The command tree as plain data: what completion offers and what the manual pages say.

`words.json` beside this file is the same data, written by `python -m spoolq.cli.manual`, because
completion has no time to load Typer. A test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import typer

from spoolq.cli.app import GROUPS, make_app

NOTHING: Final = "nothing"
_CHOICES: Final = re.compile(r"[a-z]+(\|[a-z]+)+|[A-Z0-9]{2,5}(\|[A-Z0-9]{2,5})+")
# What a value is, by the flag that takes it, else by the word that stands for it in the help.
_BY_FLAG: Final = {
    "--queue": "queues", "--group": "queues", "--task": "tasks", "--state": "states",
    "--after": "ids", "--after-any": "ids", "--after-fail": "ids", "--parent": "ids", "-a": "ids",
}  # fmt: skip
_BY_WORD: Final = {
    "SEL": "selectors", "ID": "ids", "TASK": "tasks", "STATE": "states", "CMD": "command",
    "DIR": "directories", "FILE": "files", "FILE|-": "files", "QUEUE": "queues", "TARGET": "queues",
}  # fmt: skip


class Flag(NamedTuple):
    """One option. `value` is what its value is, "" when it takes none."""

    names: list[str]
    metavar: str
    help: str
    value: str


class Verb(NamedTuple):
    """One command, or a group of them."""

    help: str
    usage: str
    flags: list[Flag]
    words: list[str]  # what each word behind it is; the last one may come again if `many`
    many: bool
    mixed: bool  # options are taken behind words too
    verbs: list[str]  # of a group


def verbs() -> dict[str, Verb]:
    """Every verb that help tells of, by its words: "" is what stands before them, "install cron"
    a verb of a group."""
    root: Any = typer.main.get_command(make_app(GROUPS))
    return dict(_walk("", root, root.context_class(root, info_name="spoolq")))


def _walk(path: str, command: Any, context: Any) -> Iterator[tuple[str, Verb]]:
    # Typer has its own copy of Click since 0.26 and needs Click before: neither can be named here.
    below = getattr(command, "commands", {})
    shown = {name: each for name, each in below.items() if not each.hidden}
    yield path, _verb(path, command, context, sorted(shown))
    for name, each in sorted(shown.items()):
        inner = each.context_class(each, info_name=name, parent=context)
        yield from _walk(f"{path} {name}".strip(), each, inner)


def _verb(path: str, command: Any, context: Any, below: list[str]) -> Verb:
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item.param_type_name == "option"]
    written = [str(item.metavar or item.name) for item in arguments]
    return Verb(
        command.help or "",
        " ".join(command.collect_usage_pieces(context)),
        [_flag(item) for item in options if not item.hidden],
        [_kind(word, path) for text in written for word in text.split()],
        any(item.nargs == -1 for item in arguments),
        command.context_settings.get("allow_interspersed_args", True) and not below,
        below,
    )


def _flag(option: Any) -> Flag:
    names = [*option.opts, *option.secondary_opts]
    if option.is_flag or option.count:
        return Flag(names, "", option.help or "", "")
    metavar = str(option.metavar or option.type.name.upper())
    by_flag = next((_BY_FLAG[name] for name in names if name in _BY_FLAG), None)
    return Flag(names, metavar, option.help or "", by_flag or _kind(metavar))


def _kind(word: str, path: str = "") -> str:
    """What stands for a word in help as what it is: `selectors`, `choice:a|b`, `nothing`."""
    plain = word.strip("[]").rstrip("….")
    if plain == "NAME" and path.startswith("queue "):
        return "queues"
    if _CHOICES.fullmatch(plain):
        return f"choice:{plain}"
    return _BY_WORD.get(plain, NOTHING)


def as_json(found: dict[str, Verb]) -> dict[str, Any]:
    """The data for `words.json`: what completion needs of it."""
    return {
        path: {
            "help": verb.help.partition("\n")[0],
            "flags": [[flag.names, flag.value, flag.help] for flag in verb.flags],
            "words": verb.words,
            "many": verb.many,
            "mixed": verb.mixed,
            "verbs": verb.verbs,
        }
        for path, verb in found.items()
    }
