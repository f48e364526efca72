"""`install systemd|cron --print`: what starts spoolq, with the paths of this place filled in.

Nothing is written: what a machine runs as a service, its administrator puts there.
"""

from __future__ import annotations

import os
import pwd
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

import spoolq
from spoolq.cli import options
from spoolq.cli.context import opened
from spoolq.cli.exits import NOT_FOUND, USAGE, Refused
from spoolq.cli.output import escape, print_json, say

# What the units in systemd/ say as long as nobody has filled them in.
_PROGRAM: Final = "/usr/local/bin/spoolq"
_ROOT: Final = "/srv/spool"
_SYSTEM_PATH: Final = ("/usr/local/bin", "/usr/bin", "/bin")

Print = Annotated[bool, typer.Option("--print", help="Print it; the only thing there is.")]
Queue = Annotated[
    str | None, typer.Option("--queue", "-q", metavar="NAME", help="Perform this queue's jobs.")
]


@dataclass(frozen=True)
class Site:
    """Where spoolq is installed, and for what it is to be started."""

    program: tuple[str, ...]
    root: str
    user: str
    queue: str | None = None


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    install = typer.Typer(help="Have spoolq started by systemd or cron.", rich_markup_mode=None)
    install.command()(systemd)
    install.command()(cron)
    app.add_typer(install, name="install")


def systemd(
    context: typer.Context,
    unit: Annotated[
        str | None, typer.Argument(metavar="[UNIT]", help="Only this one, without its name.")
    ] = None,
    *,
    printed: Print = False,
    user: Annotated[bool, typer.Option("--user", help="For `systemctl --user`.")] = False,
    queue: Queue = None,
    as_json: options.AsJson = False,
) -> None:
    """Units: a worker, one for each queue, `process` by timer and path, and drop-ins."""
    where = "~/.config/systemd/user" if user else "/etc/systemd/system"
    _ask_for_print(printed, f"put the unit you want into {where}, then systemctl enable --now")
    site = _site(context, queue)
    units = {name: fill(text, site) for name, text in read_units(user=user).items()}
    if unit is not None and unit not in units:
        raise Refused(NOT_FOUND, f"no unit {unit!r}; there are {', '.join(units)}")
    if as_json:
        print_json({name: units[name] for name in units if unit in (None, name)})
    elif unit is not None:
        sys.stdout.write(units[unit])
    else:
        sys.stdout.write("\n".join(f"# {where}/{name}\n{units[name]}" for name in units))


def cron(
    context: typer.Context,
    *,
    printed: Print = False,
    queue: Queue = None,
    as_json: options.AsJson = False,
) -> None:
    """A line for `crontab -e` that performs every minute what is due."""
    _ask_for_print(printed, "put the line into `crontab -e` of the user who owns the spool")
    line = cron_line(_site(context, queue))
    if as_json:
        print_json({"line": line})
    else:
        print(line)


def _ask_for_print(printed: bool, advice: str) -> None:
    if not printed:
        raise Refused(USAGE, f"nothing is written by this command: add --print, {advice}")


# -- the place -----------------------------------------------------------------------------------


def _site(context: typer.Context, queue: str | None) -> Site:
    root = os.path.abspath(opened(context).root)
    for name, value in (("root", root), ("queue", queue or "")):
        if not value.isprintable():
            raise Refused(USAGE, f"the {name} {escape(value)} has characters that no unit can have")
    return Site(_program(), root, _user(root), queue)


def _program() -> tuple[str, ...]:
    """The command that is running now, as it is called from anywhere."""
    script = Path(sys.argv[0])
    if script.name == "spoolq" and script.is_absolute() and os.access(script, os.X_OK):
        return (str(script),)
    beside = Path(sys.executable).with_name("spoolq")
    if os.access(beside, os.X_OK):
        return (str(beside),)
    return (sys.executable, "-m", "spoolq")


def _user(root: str) -> str:
    """Who the worker is to be: the owner of the spool, and before there is one whoever asks."""
    try:
        uid = os.stat(root).st_uid
    except OSError:
        uid = os.geteuid()
        say(f"spoolq: {escape(root)} does not exist yet; a unit cannot start before it does")
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


# -- systemd -------------------------------------------------------------------------------------


def read_units(*, user: bool) -> dict[str, str]:
    """The units that come with spoolq, by the path below the directory of units."""
    base = _shipped()
    directory = base / "user" if user else base
    units = sorted(path for path in directory.iterdir() if path.is_file())
    found = {path.name: path.read_text(encoding="utf-8") for path in units}
    if not user:
        for path in sorted((base / "drop-ins").iterdir()):
            found[f"spoolq-worker.service.d/{path.name}"] = path.read_text(encoding="utf-8")
    return found


def _shipped() -> Path:
    """`systemd/`: in the package where it is installed, beside it in a checkout."""
    package = Path(spoolq.__file__).parent
    inside = package / "systemd"
    return inside if inside.is_dir() else package.parent / "systemd"


def fill(text: str, site: Site) -> str:
    """A unit with the paths, the user and the queue of this place."""
    return "".join(f"{line}\n" for line in _filled_lines(text, site))


def _filled_lines(text: str, site: Site) -> Iterator[str]:
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        change = _FILLED.get(key)
        yield f"{key}={change(value, site)}" if equals and change else line


def _exec(value: str, site: Site) -> str:
    words = [_quoted(site.program[0])]
    # A `$` is a variable in every word but the first.
    words += [_quoted(word).replace("$", "$$") for word in site.program[1:]]
    command = value.replace(_PROGRAM, " ".join(words))
    if site.queue is None or "%i" in value or _PROGRAM not in value:
        return command
    return f"{command} -q {_quoted(site.queue).replace('$', '$$')}"


def _root(value: str, site: Site) -> str:
    return value.replace(_ROOT, _escaped(site.root))


def _plain_root(value: str, site: Site) -> str:
    return value.replace(_ROOT, _unspecified(site.root))


def _protect_home(value: str, site: Site) -> str:
    """What is in somebody's home cannot be run, or worked in, where homes are not to be seen."""
    paths = (site.root, site.program[0])
    homes = ("/home/", "/root/", "/run/user/")
    return "read-only" if any(path.startswith(homes) for path in paths) else value


def _private_tmp(value: str, site: Site) -> str:
    paths = (site.root, site.program[0])
    return "no" if any(path.startswith(("/tmp/", "/var/tmp/")) for path in paths) else value


_FILLED: Final[dict[str, Callable[[str, Site], str]]] = {
    "Description": _plain_root,
    "User": lambda _, site: site.user,
    "ExecStart": _exec,
    "Environment": _root,
    "RequiresMountsFor": _root,
    "ReadWritePaths": _root,
    "PathChanged": _plain_root,
    "ProtectHome": _protect_home,
    "PrivateTmp": _private_tmp,
}


def _quoted(word: str) -> str:
    """One word of a command line of systemd. systemd.service(5), "Command lines"."""
    return f'"{_escaped(word)}"' if set(word) & set(" \"'\\;") else _unspecified(word)


def _escaped(text: str) -> str:
    """Text that stands in double quotes in a unit."""
    return _unspecified(text.replace("\\", "\\\\").replace('"', '\\"'))


def _unspecified(text: str) -> str:
    return text.replace("%", "%%")


# -- cron ----------------------------------------------------------------------------------------


def cron_line(site: Site) -> str:
    """A line of a crontab. It relies on nothing that cron gives: not on its directory, not on its
    PATH, and it needs no lock."""
    directory = os.path.dirname(site.program[0])
    path = ":".join(dict.fromkeys((directory, *_SYSTEM_PATH)))
    words = [*site.program, "process", *(("-q", site.queue) if site.queue else ())]
    command = (
        f"cd / && PATH={shlex.quote(path)} SPOOLQ_ROOT={shlex.quote(site.root)} {shlex.join(words)}"
    )
    # cron takes a bare % for the end of the line.
    return "* * * * * " + command.replace("%", "\\%")
