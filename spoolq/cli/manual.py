"""Manual pages, made of the command tree: `python -m spoolq.cli.manual DIR`.

Writes a page for every verb, spoolq.1 and miniq.1 into DIR (docs/man in this repository, from
where they get into the wheel), and `words.json` beside this file. A test says when they are old.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Final

from spoolq.cli.tree import Flag, Verb, as_json, verbs

_EXITS: Final = (
    ("0", "Done."),
    ("1", "No; one of several jobs failed; a problem was found."),
    ("2", "Wrong usage, or a wrong value."),
    ("3", "No such job, task, queue or lock; nothing matched."),
    ("4", "Wrong state: the job is active, or is not; the lock is held."),
    ("5", "The spool cannot be used."),
    ("6", "The queue is closed or full."),
    ("124", "The time to wait ran out."),
    ("125", "spoolq failed before it had a job's code to hand on."),
    ("126, 127, 128+N", "The program cannot run, is not there, was ended by signal N."),
    ("130", "Ctrl-C while watching; the job goes on."),
)
_VARIABLES: Final = (
    ("SPOOLQ_ROOT, MINIQ_ROOT", "The spool, when --root does not say it."),
    ("SPOOLQ_QUEUE", "The queue of new jobs, when --queue does not say it."),
    ("SPOOLQ_LABEL", "The label of new jobs, when --label does not say it."),
    ("SPOOLQ_DURABILITY", "full or none."),
    ("SPOOLQ_AUTOSTART", "never: start no worker for a new command line."),
    ("SPOOLQ_FORMAT", "The form of listings, when -o and --json do not say it."),
    ("SPOOLQ_HINTS", "0: no lines about what to do next."),
    ("SPOOLQ_COLOR, NO_COLOR, FORCE_COLOR", "auto, always or never; never; always."),
    ("SPOOLQ_EDITOR, VISUAL, EDITOR", "What `edit` opens a job in."),
    ("SPOOLQ_DEBUG", "1: show tracebacks."),
)
_ABOUT: Final = (
    "A job queue that is a directory: jobs are files, put in by spoolq add, spoolq enqueue or "
    "mv, and performed by spoolq process, from cron, or by spoolq worker, on every machine that "
    "mounts the directory."
)


def pages() -> dict[str, str]:
    """The text of every page, by its file's name."""
    found = verbs()
    made = {
        f"spoolq-{path.replace(' ', '-')}.1": "\n".join(_page(path, verb)) + "\n"
        for path, verb in found.items()
        if path and not verb.verbs
    }
    made["spoolq.1"] = "\n".join(_overview(found)) + "\n"
    made["miniq.1"] = "\n".join(_miniq()) + "\n"
    return made


def words() -> str:
    """The text of `words.json`."""
    return json.dumps(as_json(verbs()), ensure_ascii=False, indent=0, sort_keys=True) + "\n"


def _page(path: str, verb: Verb) -> Iterator[str]:
    name = f"spoolq-{path.replace(' ', '-')}"
    first = verb.help.partition("\n")[0]
    yield _title(name)
    yield from (".SH NAME", f"{_plain(name)} \\- {_plain(first.rstrip('.'))}")
    yield from (".SH SYNOPSIS", f".B spoolq {path}", _plain(verb.usage))
    yield ".SH DESCRIPTION"
    yield from _paragraphs(verb.help)
    if verb.flags:
        yield ".SH OPTIONS"
        yield from _flags(verb.flags)
    yield from (".SH SEE ALSO", ".BR spoolq (1)")


def _overview(found: dict[str, Verb]) -> Iterator[str]:
    yield _title("spoolq")
    yield from (".SH NAME", "spoolq \\- a job queue that is a directory")
    yield from (".SH SYNOPSIS", ".B spoolq", "[OPTIONS] VERB [ARGS]...")
    yield from (".SH DESCRIPTION", _plain(_ABOUT))
    yield ".SH OPTIONS"
    yield from _flags(found[""].flags)
    yield ".SH VERBS"
    for path, verb in found.items():
        if path and not verb.verbs:
            page = f"spoolq-{path.replace(' ', '-')}"
            about = verb.help.partition("\n")[0]
            yield from (".TP", f".BR {_plain(page)} (1)", _plain(about))
    yield ".SH EXIT STATUS"
    yield from _list(_EXITS)
    yield ".SH ENVIRONMENT"
    yield from _list(_VARIABLES)
    yield from (".SH SEE ALSO", ".BR miniq (1),", ".BR crontab (5),", ".BR flock (1)")


def _miniq() -> Iterator[str]:
    yield _title("miniq")
    yield from (".SH NAME", "miniq \\- enqueue a job of spoolq by name")
    yield from (".SH SYNOPSIS", ".B miniq", "NAME [ARGS]...")
    yield ".SH DESCRIPTION"
    about = (
        "Enqueue jobs/NAME.job, or jobs/NAME, with these arguments, and print the id of the job."
    )
    yield _plain(f"{about} The spool is SPOOLQ_ROOT, else MINIQ_ROOT, else ~/.local/state/spoolq.")
    yield from (".SH SEE ALSO", ".BR spoolq (1),", ".BR spoolq\\-enqueue (1)")


def _title(name: str) -> str:
    return f'.TH {_plain(name).upper()} 1 "" "spoolq" "User Commands"'


def _flags(flags: Iterable[Flag]) -> Iterator[str]:
    for flag in flags:
        names = ", ".join(flag.names) + (f" {flag.metavar}" if flag.metavar else "")
        yield from (".TP", f"\\fB{_plain(names)}\\fR", _plain(flag.help) or "\\&")


def _list(items: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, about in items:
        yield from (".TP", f"\\fB{_plain(name)}\\fR", _plain(about))


def _paragraphs(text: str) -> Iterator[str]:
    for number, part in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        yield _plain(" ".join(part.split()))


def _plain(text: str) -> str:
    """Text in which nothing is a request or an escape of roff."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("'", "\\(aq")
    return f"\\&{text}" if text.startswith(".") else text


def write(directory: str) -> None:
    """Write the pages there, remove those of verbs that are gone, and write `words.json`."""
    made = pages()
    os.makedirs(directory, exist_ok=True)
    for name in os.listdir(directory):
        if name.endswith(".1") and name not in made:
            os.unlink(f"{directory}/{name}")
    for name, text in made.items():
        with open(f"{directory}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    with open(f"{os.path.dirname(__file__)}/words.json", "w", encoding="utf-8") as file:
        file.write(words())


if __name__ == "__main__":
    write(sys.argv[1])
