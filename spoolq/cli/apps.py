"""`--app module:spool`: the program whose functions are performed."""

from __future__ import annotations

import importlib
import os
import sys

from spoolq.cli.context import Opened
from spoolq.cli.exits import USAGE, Refused
from spoolq.cli.rooted import check_module, may_look_in
from spoolq.spool import Spool


def load_app(name: str) -> Spool:
    """The Spool that `module:attribute` names; without an attribute it is `spool`.

    The working directory counts as a place for modules, as with `python -m`. Raises Refused with
    what is wrong: no such module, an error while it was imported, no such spool in it; for root
    also a module that somebody else could have written.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or module_name.startswith("."):
        raise Refused(USAGE, f"--app {name!r}: write module:spool, as in an import")
    here = os.getcwd()
    if here not in sys.path and (os.geteuid() != 0 or may_look_in(here, module_name)):
        sys.path.insert(0, here)
    try:
        if os.geteuid() == 0:
            check_module(module_name)
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            places = f"{here} and the places Python looks in"
            raise Refused(
                USAGE, f"--app {name}: no module named {error.name!r} in {places}"
            ) from error
        raise Refused(USAGE, f"--app {name}: importing it failed: {error}") from error
    except Refused:
        raise
    except Exception as error:
        where = _where(error)
        raise Refused(
            USAGE, f"--app {name}: importing it failed: {type(error).__name__}: {error}{where}"
        ) from error
    return _spool_in(found, attribute or "spool", name)


def spool_of(asked: Opened, app: str | None) -> Spool:
    """The spool of a command line; with `app` that of the program, which has to be the same.

    Raises Refused.
    """
    if app is None:
        return asked.spool
    # What was asked for on this command line is what a program that names no directory opens.
    asked.export()
    spool = load_app(app)
    if asked.given and os.path.realpath(asked.root) != os.path.realpath(spool.root or ""):
        raise Refused(USAGE, f"--app {app} works on {spool.root}, not on {asked.root}")
    return spool


def _spool_in(found: object, attribute: str, name: str) -> Spool:
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise Refused(USAGE, f"--app {name}: there is no {part!r} in it") from None
    if not isinstance(found, Spool):
        raise Refused(USAGE, f"--app {name}: {attribute} is a {type(found).__name__}, no Spool")
    if found.root is None:
        raise Refused(USAGE, f"--app {name}: its spool is in memory, where no worker reaches it")
    return found


def _where(error: Exception) -> str:
    """The last line of the program that was being imported."""
    frames = error.__traceback__
    last = None
    while frames is not None:
        if not frames.tb_frame.f_code.co_filename.startswith("<frozen"):
            last = frames
        frames = frames.tb_next
    return f" ({last.tb_frame.f_code.co_filename}:{last.tb_lineno})" if last else ""
