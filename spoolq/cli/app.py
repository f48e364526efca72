"""The command tree, and the options that stand before the verb."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from itertools import chain
from typing import Annotated, Any, Final

import typer

from spoolq.cli.complaints import wants_json
from spoolq.cli.context import Opened
from spoolq.cli.exits import BY_SIGNAL, USAGE, Refused
from spoolq.cli.grammar import BEFORE_THE_VERB, parse
from spoolq.root import default_root
from spoolq.version import VERSION

# Which module registers which verbs: a command imports its own and no other, for half of what a
# short command costs is imports. For help, and for a verb that nobody knows, there are all.
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "tabled": ("add", "enqueue", "import", "list", "ls", "count", "is", "process", "worker"),
    "repairing": ("repair",),
    "showing": ("show", "info", "why"),
    "looking": ("logs", "result"),
    "waiting": ("wait",),
    "counting": ("stats", "workers", "ps"),
    "steering": ("retry", "hold", "release", "remove", "rm", "kill", "note", "clean"),
    "editing": ("edit",),
    "pausing": ("pause", "resume"),
    "queueing": ("queue",),
    "locking": ("lock", "unlock", "locks"),
    "scheduling": ("schedule",),
    "examining": ("doctor",),
    "installing": ("install",),
    "shells": ("completions",),
    "habits": ("compat",),
    "streaming": ("events", "progress"),
    "minion": ("job",),
}
_LONG: Final = frozenset(
    {
        "editing", "pausing", "repairing", "waiting", "looking", "locking", "tabled", "minion",
        "streaming",
    }
)  # fmt: skip
# Typer brings a Click of its own, or does not: whichever it is, this is what it raises for words.
_UsageError: Final[Any] = typer.BadParameter.__bases__[0]
_WITH_VALUE: Final = ("--root", "--durability", "--color")


def run(words: Sequence[str]) -> int:
    """Run one command line and return its exit code. Raises SpoolError and Refused."""
    verb = _verb(words)
    groups = [group for group, verbs in GROUPS.items() if verb in verbs]
    if not _LONG.intersection(groups):
        # What a short command makes it keeps to its end: looking for rubbish is a tenth of it.
        gc.disable()
    if verb is not None and not groups:
        from spoolq.cli.verbs import unknown

        raise Refused(USAGE, unknown(verb, chain(*GROUPS.values()), _root(words)))
    app = make_app(groups or GROUPS)
    if groups:
        # Typer reads the annotations of every verb it has: 3 ms each.
        app.registered_commands = [
            command
            for command in app.registered_commands
            if verb == (command.name or getattr(command.callback, "__name__", None))
        ]
    tree = typer.main.get_command(app)
    try:
        if "--json" in words and wants_json(words):
            return _plainly(tree, words)
        tree.main(args=list(words), prog_name="spoolq")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else USAGE
    return 0


def _plainly(tree: Any, words: Sequence[str]) -> int:
    """Run it with what is wrong with the words as an error like any other. Raises Refused."""
    try:
        code = tree.main(args=list(words), prog_name="spoolq", standalone_mode=False)
    except _UsageError as error:
        raise Refused(USAGE, error.format_message()) from None
    except typer.Abort:
        return BY_SIGNAL + 2
    return code if isinstance(code, int) else 0


def make_app(groups: Iterable[str]) -> typer.Typer:
    """The command tree with the verbs of these groups."""
    app = typer.Typer(
        name="spoolq",
        help="A job queue that is a directory.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        no_args_is_help=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback(invoke_without_command=True)(before_the_verb)
    for group in groups:
        import_module(f"spoolq.cli.{group}").add_to(app)
    return app


def _verb(words: Sequence[str]) -> str | None:
    """The first word that is no option before the verb, nor the value of one."""
    left = iter(words)
    for word in left:
        if not word.startswith("-"):
            return word
        if word in _WITH_VALUE:
            next(left, None)
    return None


def _root(words: Sequence[str]) -> str:
    before = parse(BEFORE_THE_VERB, words, {})
    return (before[0].get("root") if before else None) or default_root()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(VERSION)
        raise typer.Exit


def before_the_verb(
    context: typer.Context,
    root: Annotated[
        str | None,
        typer.Option(
            "--root",
            metavar="DIR",
            help="The spool. Else $SPOOLQ_ROOT, $MINIQ_ROOT, ~/.local/state/spoolq.",
        ),
    ] = None,
    durability: Annotated[
        str | None,
        typer.Option("--durability", envvar="SPOOLQ_DURABILITY", metavar="full|none"),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    color: Annotated[
        str | None, typer.Option("--color", envvar="SPOOLQ_COLOR", metavar="auto|always|never")
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """A job queue that is a directory."""
    if debug:
        os.environ["SPOOLQ_DEBUG"] = "1"
    if color is not None:
        os.environ["SPOOLQ_COLOR"] = color
        from spoolq.cli.colours import enabled

        enabled()  # a word that says nothing is refused at once
    context.obj = Opened(root, durability)
    if context.invoked_subcommand is None:
        if sys.stdout.isatty():
            status(context.obj)
            return
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(USAGE)


def status(spool: Opened) -> None:
    """What a bare `spoolq` shows to people: the queues, and what is not done."""
    from spoolq.cli import counting, listing
    from spoolq.cli.formats import terminal_width
    from spoolq.selection import Selection

    overview = counting.Overview(spool.backend, spool.backend.stats())
    if overview.queues:
        print("\n".join([*overview.table(terminal_width()), ""]))
    listing.show(spool, Selection(), "table")
