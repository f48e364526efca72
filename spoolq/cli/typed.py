"""A table of `grammar` as a Typer command: its help, completion, and words for what is wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from spoolq.cli.context import Opened, opened
from spoolq.cli.grammar import Command, Option, spell_out

Run = Callable[[Opened, dict[str, Any], list[str]], int]

_TYPES: Final[dict[str, Any]] = {
    "text": str | None,
    "number": int | None,
    "list": list[str] | None,
    "flag": bool,
    "switch": bool | None,
    "maybe": str | None,
}


def add_command(app: typer.Typer, command: Command, run: Run, *, alias: str | None = None) -> None:
    """Register a command that calls `run` with its options and words, and exits as it says.

    `alias` is another name, which help does not tell of.
    """
    names = _unique(command.options)

    def call(context: typer.Context, words: list[str] | None = None, **given: Any) -> None:
        values: dict[str, Any] = {}
        for name, option in zip(names, command.options, strict=True):
            value = given[name]
            if option.kind == "list" and value:
                values.setdefault(option.name, []).extend(value)
            elif option.kind == "flag" and value:
                values[option.name] = True
            elif option.kind == "maybe" and value is not None:
                values[option.name] = value or True
            elif option.kind not in ("list", "flag") and value is not None:
                values[option.name] = value
        raise typer.Exit(run(opened(context), values, list(words or ())))

    keyword, plain = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    about: dict[str, Any] = {"metavar": command.words, "show_default": False}
    about["help"] = command.words_help or None
    words = Annotated[list[str] | None, typer.Argument(**about)]
    parameters = [inspect.Parameter("context", plain, annotation=typer.Context)]
    if command.words:
        parameters.append(inspect.Parameter("words", plain, default=None, annotation=words))
    for name, option in zip(names, command.options, strict=True):
        default = False if option.kind == "flag" else None
        parameters.append(
            inspect.Parameter(name, keyword, default=default, annotation=_annotation(option))
        )
    call.__name__ = command.name
    call.__doc__ = command.help
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {item.name: item.annotation for item in parameters}

    class Spelled(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            return super().parse_args(ctx, spell_out(command.options, args))

    app.command(
        alias or command.name,
        cls=Spelled,
        hidden=alias is not None,
        context_settings={"allow_interspersed_args": command.mixed},
    )(call)


def _annotation(option: Option) -> Any:
    flags = option.flags
    if option.kind == "switch":
        flags = (f"{flags[0]}/--no-{flags[0].removeprefix('--')}", *flags[1:])
    found = typer.Option(
        *flags,
        metavar=option.metavar or None,
        help=option.help or None,
        envvar=option.env or None,
        hidden=option.hidden,
        show_default=False,
    )
    return Annotated[_TYPES[option.kind], found]


def _unique(options: Sequence[Option]) -> list[str]:
    """A parameter for each: a hidden spelling of another option has that one's name."""
    names: list[str] = []
    for option in options:
        taken = sum(name.partition("__")[0] == option.name for name in names)
        names.append(f"{option.name}__{taken}" if taken else option.name)
    return names
