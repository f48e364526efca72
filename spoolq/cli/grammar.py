"""The options of the commands that put work in: one definition, two readers.

`spoolq add` is started in loops, and importing Typer takes longer than all it does. So `parse`
reads a command line that is right by this table; whatever else it meets it leaves to the command
tree, which `typed` makes of the same table and which has the help, the completion and the words
for what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Any, Final, NamedTuple
else:
    from spoolq.tuples import NamedTuple


class Option(NamedTuple):
    """One option of a command."""

    name: str
    flags: tuple[str, ...]
    metavar: str = ""
    help: str = ""
    # text, number, list (of texts, repeatable), flag, switch (--x/--no-x), maybe (--x or --x=TEXT)
    kind: str = "text"
    env: str = ""
    hidden: bool = False

    @property
    def takes_value(self) -> bool:
        """Whether a word follows it."""
        return self.kind in ("text", "number", "list")


class Command(NamedTuple):
    """One command; what follows the options is the job's, word by word, unless they may mix."""

    name: str
    words: str
    help: str
    options: tuple[Option, ...]
    words_help: str = ""
    mixed: bool = False  # options are taken behind words too


_DURATION: Final = "DURATION"

BEFORE_THE_VERB: Final = (
    Option("root", ("--root",), "DIR"),
    Option("durability", ("--durability",), "full|none", env="SPOOLQ_DURABILITY"),
    Option("debug", ("--debug",), kind="flag"),
    Option("color", ("--color",), "auto|always|never", env="SPOOLQ_COLOR"),
)

_JOB: Final = (
    Option("queue", ("--queue", "-q"), "NAME", env="SPOOLQ_QUEUE"),
    Option("priority", ("--priority", "-p"), "N", "Higher goes first.", "number"),
    Option("delay", ("--delay", "-d"), _DURATION, "Not before: 90, 10m, 2h30m."),
    Option("at", ("--at",), "TIME", "Not before: 17:00, tomorrow 9:00, 2026-12-24 18:30."),
    Option("expire", ("--expire", "--expires", "-E"), _DURATION, "Not started after that."),
    Option("timeout", ("--timeout", "-t"), _DURATION, "How long a try may run."),
    Option("attempts", ("--attempts", "-A"), "N", "Tries before it stays failed.", "number"),
    Option("after", ("--after", "--parent", "-P"), "ID…", "Once these have finished.", "list"),
    Option("after_any", ("--after-any",), "ID…", "Once these have ended, failed or not.", "list"),
    Option("label", ("--label", "-L"), "TEXT", "To tell it by: a note.", env="SPOOLQ_LABEL"),
    Option("lax", ("--lax", "-x"), help="A failed one counts as finished.", kind="switch"),
    Option("unique", ("--unique",), "[=KEY]", "Not beside another with that key.", "maybe"),
    Option("hold", ("--hold",), help="Not before somebody releases it.", kind="flag"),
    Option("notes", ("--notes", "-n"), "KEY=JSON", "Or a JSON object. Repeatable.", "list"),
    Option("follow", ("--follow", "-f"), help="Show its output; exit with its code.", kind="flag"),
    Option("wait", ("--wait", "-W"), help="Wait for it; exit with its code.", kind="flag"),
    Option("wait_timeout", ("--wait-timeout",), _DURATION, "Then exit 124; the job goes on."),
    Option("dry_run", ("--dry-run",), help="Print the job and store nothing.", kind="flag"),
    Option("as_json", ("--json",), help="Print JSON.", kind="flag"),
    Option("queue", ("--group", "-g"), "NAME", hidden=True),
    Option("after", ("-a",), "ID…", kind="list", hidden=True),
    Option("label", ("-l",), "TEXT", hidden=True),
    Option("hold", ("--stashed", "-s"), kind="flag", hidden=True),
    Option("priority", ("-o",), "N", kind="number", hidden=True),
    Option("parsable", ("--parsable", "--print-task-id"), kind="flag", hidden=True),
)

ADD: Final = Command(
    "add",
    "CMD…",
    "Add a command line: it runs later in this directory, environment and umask; print its id.",
    (
        Option("line", ("--command", "-c"), "LINE", "Run by /bin/sh."),
        Option("cwd", ("--cwd", "-C"), "DIR", "Run it there."),
        Option("each_line", ("--each-line",), help="One job a line of stdin.", kind="flag"),
        Option("stdin", ("--stdin",), help="Give it what stands on stdin now.", kind="flag"),
        Option("after_fail", ("--after-fail",), "ID…", "If one of these has failed.", "list"),
        Option("no_check", ("--no-check",), help="Whether or not it can be run.", kind="flag"),
        Option("rm", ("--rm",), help="Remove it once it has finished.", kind="flag"),
        *_JOB,
        Option("line", ("--wrap",), "LINE", hidden=True),
        Option("cwd", ("-w",), "DIR", hidden=True),
    ),
)

ENQUEUE: Final = Command(
    "enqueue",
    "TASK ARGS…",
    "Enqueue an executable of jobs/, or a Python task, by name; print the id.",
    (
        Option("args", ("--args",), "JSON", "The arguments as a list."),
        Option("kwargs", ("--kwargs",), "JSON", "Named arguments, for a Python task."),
        Option("source", ("--from",), "FILE|-", "One job a line: its one argument, or JSON."),
        Option("no_check", ("--no-check",), help="Whether or not the task is known.", kind="flag"),
        *_JOB,
    ),
)

IMPORT: Final = Command(
    "import",
    "FILE|-",
    "Store jobs as `list -o jsonl` writes them, as new ones; print their ids.",
    (
        Option("all_states", ("--all",), help="Those that have ended as well.", kind="flag"),
        Option("dry_run", ("--dry-run",), help="Print the jobs and store nothing.", kind="flag"),
        Option("as_json", ("--json",), help="Print JSON.", kind="flag"),
    ),
)

SELECTORS: Final = (
    "7 9-12 last all state:failed queue:gpu task:resize note:batch=7, or - for stdin."
)
_STATES: Final = "inactive, active, failed, finished, ready, delayed, blocked, held."

_WHICH: Final = (
    Option("state", ("--state", "-S"), "STATE", _STATES, "list"),
    Option("queue", ("--queue", "-q"), "NAME", "Repeatable.", "list"),
    Option("task", ("--task", "-t"), "TASK", "Repeatable.", "list"),
    Option("label", ("--label", "-L"), "TEXT", "A pattern. Repeatable.", "list"),
)
_JSON: Final = Option("as_json", ("--json",), help="Print JSON.", kind="flag")

LIST: Final = Command(
    "list",
    "SEL…",
    "List jobs. Programs are given all of them, the newest first.\n\n"
    "On a terminal: what is not done and what failed lately, what runs first; -a shows all.",
    (
        Option("everything", ("--all", "-a"), help="On a terminal too: what is over.", kind="flag"),
        *_WHICH,
        Option("limit", ("--limit", "-l"), "N", "No more. On a terminal 100.", "number"),
        Option("offset", ("--offset",), "N", "Leave out so many.", "number"),
        Option("show_env", ("--show-env",), help="Environments in JSON too.", kind="flag"),
        Option("output", ("--output", "-o"), "table|json|jsonl|tsv|ids", "Off a terminal: tsv."),
        Option("no_header", ("--no-header",), help="No names above the columns.", kind="flag"),
        _JSON,
    ),
    SELECTORS,
    mixed=True,
)

COUNT: Final = Command(
    "count", "SEL…", "Print how many jobs there are.", (*_WHICH, _JSON), SELECTORS, mixed=True
)

_QUEUES: Final = Option("queues", ("--queue", "-q"), "NAME", "Repeatable.", "list")

PROCESS: Final = Command(
    "process",
    "",
    "Perform everything that is due, then exit. Quiet; any number may run at once.",
    (
        Option("jobs", ("--jobs", "-j"), "N", "How many at once. [1]", "number"),
        _QUEUES,
        Option("limit", ("--limit",), "N", "Start no more than this many.", "number"),
        Option("fail", ("--fail",), help="Exit 1 if a job failed.", kind="flag"),
        _JSON,
    ),
)

WORKER: Final = Command(
    "worker",
    "",
    "Perform jobs until told to end: INT and TERM let what runs end, a second INT does not.\n\n"
    "HUP reads the settings again, USR1 writes what it does to the log.",
    (
        Option("app", ("--app",), "MODULE:SPOOL", "The program with the Python tasks."),
        Option("jobs", ("--jobs", "-j"), "N", "How many at once. [4]", "number"),
        _QUEUES,
        Option("spare", ("--spare", "-s"), "N", "More at once, of high priority. [1]", "number"),
        Option(
            "spare_min_priority",
            ("--spare-min-priority", "-S"),
            "N",
            "What high priority is. [1]",
            "number",
        ),
        Option("limits", ("--limit", "-L"), "TASK=N", "No more of this task. Repeatable.", "list"),
        Option("pool", ("--pool",), help="The same as --runner pool.", kind="flag"),
        Option("runner", ("--runner",), "NAME", "For Python tasks: fork, pool, aio. [fork]"),
        Option("burst", ("--burst",), help="End when nothing is left.", kind="flag"),
        Option("idle_exit", ("--idle-exit",), _DURATION, "End after idling so long."),
        Option("max_jobs", ("--max-jobs",), "N", "End after so many.", "number"),
        Option(
            "grace",
            ("--grace",),
            _DURATION,
            "How long jobs may go on after INT or TERM; then they are given back. [30 s]",
        ),
        Option(
            "command_interval", ("--command-interval", "-C"), _DURATION, "Between commands. [0.5 s]"
        ),
        Option(
            "dequeue_timeout",
            ("--dequeue-timeout", "-D"),
            _DURATION,
            "Longest wait for a job. [5 s]",
        ),
        Option(
            "dispatch_interval", ("--dispatch-interval",), _DURATION, "Between schedules. [30 s]"
        ),
        Option(
            "heartbeat_interval", ("--heartbeat-interval", "-I"), _DURATION, "Between beats. [10 s]"
        ),
        Option(
            "repair_interval", ("--repair-interval", "-R"), _DURATION, "Between repairs. [21600 s]"
        ),
        Option(
            "reload",
            ("--reload",),
            help="Start anew when a file of the program changes.",
            kind="flag",
        ),
        Option("log_format", ("--log-format",), "text|json|journal"),
        Option("log_level", ("--log-level",), "debug|info|warning|error", "[info]"),
    ),
)

IS: Final = Command(
    "is",
    "STATE SEL…",
    "Exit 0 when every one of the jobs is in this state, else 1. Prints nothing.\n\n"
    "`done` is finished or failed.",
    (_JSON,),
    SELECTORS,
    mixed=True,
)


def parse(
    options: Sequence[Option],
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    mixed: bool = False,
) -> tuple[dict[str, Any], list[str]] | None:
    """The options in front of the first word, or `mixed` among the words, and the words.

    What is not given is taken from the environment, if the option has a variable there. None for
    anything that is not plainly right, and for --help.
    """
    known = {flag: option for option in options for flag in option.flags}
    values: dict[str, Any] = {}
    rest, passed = list(reversed(words)), list[str]()
    while rest:
        if not rest[-1].startswith("-") or rest[-1] == "-":
            if not mixed:
                break
            passed.append(rest.pop())
            continue
        word = rest.pop()
        if word == "--":
            break
        if not (_long if word.startswith("--") else _short)(word, rest, known, values):
            return None
    for option in options:
        if option.env and option.name not in values and environment.get(option.env):
            values[option.name] = environment[option.env]
    return values, passed + rest[::-1]


def keyed(values: dict[str, Any]) -> list[str]:
    """The options that say which jobs, as the selectors that they stand for."""
    keys = ("state", "queue", "task", "label")
    return [f"{key}:{word}" for key in keys for word in values.get(key, ())]


def _long(word: str, rest: list[str], known: dict[str, Option], values: dict[str, Any]) -> bool:
    flag, given, value = word.partition("=")
    option = known.get(flag)
    if option is None:
        no = known.get(f"--{flag.removeprefix('--no-')}")
        if given or no is None or no.kind != "switch":
            return False
        values[no.name] = False
        return True
    if option.kind == "maybe":
        values[option.name] = value if given else True
        return bool(value) or not given
    if not option.takes_value:
        return not given and _keep(option, "", values)
    if not given:
        if not rest:
            return False
        value = rest.pop()
    return _keep(option, value, values)


def spell_out(options: Sequence[Option], words: Sequence[str]) -> list[str]:
    """The words for who reads `--x` and `--x=TEXT` alike, with an empty text for none."""
    known = {flag: option for option in options for flag in option.flags}
    found, at = list(words), 0
    while at < len(found) and found[at].startswith("-") and found[at] not in ("-", "--"):
        option = known.get(found[at])
        if option is not None and option.kind == "maybe":
            found[at] += "="
        at += 2 if option is not None and option.takes_value else 1
    return found


def _short(word: str, rest: list[str], known: dict[str, Option], values: dict[str, Any]) -> bool:
    """One or more letters: `-p5`, `-fx`, `-q mail`."""
    for place, letter in enumerate(word[1:], 2):
        option = known.get(f"-{letter}")
        if option is None:
            return False
        if option.takes_value:
            if place == len(word) and not rest:
                return False
            return _keep(option, word[place:] or rest.pop(), values)
        _keep(option, "", values)
    return True


def _keep(option: Option, value: str, values: dict[str, Any]) -> bool:
    if option.kind == "list":
        values.setdefault(option.name, []).append(value)
    elif option.kind == "number":
        try:
            values[option.name] = int(value)
        except ValueError:
            return False
    else:
        values[option.name] = value if option.takes_value else True
    return True
