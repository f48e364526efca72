"""Many jobs by one command: `enqueue TASK --from`, `add --each-line` and `import`.

Lines are stored in chunks, each in one durable batch. Whatever ends a command early, it says how
many jobs are stored and with which line to go on: nothing of a chunk is lost silently.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from types import FrameType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, Self

from spoolq.cli.autostart import ensure_served
from spoolq.cli.durations import parse_duration
from spoolq.cli.exits import BY_SIGNAL, NOT_FOUND, USAGE, Refused
from spoolq.cli.given import EXEC, dry_run, job_options
from spoolq.cli.output import HIDDEN, escape, say
from spoolq.cli.progress import Progress
from spoolq.errors import InvalidType, InvalidValue, SpoolError
from spoolq.files import records
from spoolq.transitions import check_flag, check_json, new_record

if TYPE_CHECKING:
    from spoolq.cli.context import Opened
    from spoolq.states import JSON

CHUNK: Final = 5000  # jobs of one batch: beyond it the sync is no longer what it costs

_OPTIONS: Final = frozenset(
    {
        "attempts", "delay", "expire", "hold", "lax", "notes", "parents", "priority", "queue",
        "timeout",
    }
)  # fmt: skip
_DURATIONS: Final = ("delay", "expire", "timeout")
_ENDED: Final = ("active", "finished", "failed")
_PLACE: Final = "{}"


class Request(NamedTuple):
    """A job that one line asks for."""

    line: int
    task: str
    args: list[JSON]
    kwargs: dict[str, JSON] | None
    options: dict[str, Any]
    id: int | None = None  # what it had where it comes from


class BadLineError(Refused):
    """A line is no job."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(USAGE, f"line {line}: {why}")
        self.line = line


def enqueue_lines(opened: Opened, values: dict[str, Any], task: str, source: str) -> int:
    """`enqueue TASK --from FILE|-`: a line is the one argument, a JSON array all of them, a JSON
    object `args`, `kwargs` and options of that job."""
    options = job_options(opened, values)
    with _reading(source) as file:
        requests = (
            _request(number, text, task, options) for number, text in _lines(file) if text.strip()
        )
        return Intake(opened, values, file).run(requests)


def add_each_line(
    opened: Opened, values: dict[str, Any], argv: list[str], surroundings: dict[str, JSON]
) -> int:
    """`add --each-line CMD…`: CMD for each line of stdin, which takes the place of every word
    `{}`, else comes last."""
    options = job_options(opened, values)
    if values.get("line") is not None:
        argv = [*argv, "sh"]  # the line is $1

    def words(text: str) -> list[str]:
        if _PLACE in argv:
            return [text if word == _PLACE else word for word in argv]
        return [*argv, text]

    requests = (
        Request(number, "exec", words(text), surroundings, options)
        for number, text in _lines(sys.stdin.buffer)
        if text.strip()
    )
    return Intake(opened, values, sys.stdin.buffer).run(requests)


def import_jobs(opened: Opened, values: dict[str, Any], words: list[str]) -> int:
    """`import FILE|-`: jobs as `list -o jsonl` writes them, as new jobs with new ids.

    All is read and looked at before anything is stored, and stored from the lowest id up, because
    a list has the newest first and children wait for parents.
    """
    if len(words) != 1:
        raise Refused(USAGE, "import what? spoolq import FILE, or - for stdin")
    now = opened.producer.now()
    with _reading(words[0]) as file:
        found = [_imported(number, text, now) for number, text in _lines(file) if text.strip()]
    done = {request.id for request, state in found if state == "finished"}
    kept = [request for request, state in found if state not in _ENDED or values.get("all_states")]
    kept.sort(key=lambda request: request.id or 0)
    if values.get("all_states"):
        done = set()
    _check_parents(kept, done)
    new: dict[int, int] = {}

    def stored(request: Request, id_: int) -> None:
        if request.id is not None:
            new[request.id] = id_

    def resolve(options: dict[str, Any]) -> dict[str, Any]:
        parents = [new[old] for old in options.get("parents", ()) if old not in done]
        return {**options, "parents": parents}

    if len(kept) < len(found):
        ended = len(found) - len(kept)
        say(f"spoolq: {ended} of {len(found)} jobs were active or have ended: left out (see --all)")
    return Intake(opened, values, None, stored=stored, resolve=resolve).run(iter(kept))


class Intake:
    """Stores requests in chunks, and says how far it came."""

    def __init__(
        self,
        opened: Opened,
        values: dict[str, Any],
        file: BinaryIO | None,
        *,
        stored: Callable[[Request, int], None] | None = None,
        resolve: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        """`file` is where they are read from, if they are read while they are stored. `stored` is
        told of every job, `resolve` turns the options of some into those they get."""
        if values.get("follow") or values.get("wait"):
            raise Refused(USAGE, "-f and -W stay with one job; these are many")
        self._opened = opened
        self._dry = bool(values.get("dry_run"))
        self._as_json = bool(values.get("as_json"))
        self._stored = stored
        self._resolve = resolve or (lambda options: options)
        self._file = file
        self._size = None if file is None else _size(file)
        self._progress = Progress(self._size)
        self._ids: list[int] = []
        self._line = 0  # the last one that is stored
        self._serve: str | None = None  # the queue of the first command line

    def run(self, requests: Iterator[Request]) -> int:
        """Store them all; the exit code. Raises SpoolError, having said what is stored."""
        chunk: list[Request] = []
        code = 0
        with _Interrupts() as interrupts:
            try:
                for request in requests:
                    chunk.append(request)
                    if len(chunk) == CHUNK:
                        with interrupts.held():
                            self._store(chunk)
                        chunk = []
                with interrupts.held():
                    self._store(chunk)
            except BadLineError as error:
                with interrupts.held():
                    code = self._bad_line(error, chunk)
            except KeyboardInterrupt:
                self._progress.clear()
                say(f"spoolq: interrupted: {self._so_far()}")
                code = BY_SIGNAL + signal.SIGINT
            except SpoolError:
                self._progress.clear()
                say(f"spoolq: {self._so_far()}")
                raise
        if self._ids and self._serve is not None:
            ensure_served(self._opened, self._serve)  # the one started first may have left
        if code == 0:
            self._progress.finish(len(self._ids))
        if self._as_json and not self._dry:
            print(json.dumps({"ids": self._ids}))
        return code

    def _bad_line(self, error: BadLineError, chunk: list[Request]) -> int:
        before = [item for item in chunk if self._line < item.line < error.line]
        self._store(before)
        self._progress.clear()
        say(f"spoolq: {escape(str(error))}")
        say(f"spoolq: {self._so_far()}")
        return USAGE

    def _so_far(self) -> str:
        if not self._ids:
            return "nothing is stored"
        return (
            f"{len(self._ids)} jobs are stored, {self._ids[0]} to {self._ids[-1]}, those up to "
            f"line {self._line}; go on with line {self._line + 1}"
        )

    def _store(self, chunk: list[Request]) -> None:
        if self._dry:
            for request in chunk:
                job = dry_run(request.task, request.args, request.kwargs, request.options)
                print(json.dumps(job))
            return
        for options, group in _groups(chunk):
            self._store_group(group, options)
        self._progress.show(len(self._ids), self._position())

    def _position(self) -> int:
        """How many bytes of the input are read; 0 where nobody asks."""
        return self._file.tell() if self._file is not None and self._size else 0

    def _store_group(self, group: list[Request], options: dict[str, Any]) -> None:
        jobs = [(request.task, request.args, request.kwargs) for request in group]
        try:
            ids = self._opened.spool.enqueue_many(jobs, **self._resolve(options))
        except (InvalidType, InvalidValue) as error:
            raise _first_bad(group, error) from None
        for request, id_ in zip(group, ids, strict=True):
            if self._stored is not None:
                self._stored(request, id_)
        if self._serve is None and group[0].task == EXEC:
            self._serve = options.get("queue", "default")
            ensure_served(self._opened, self._serve)
        self._ids += ids
        self._line = group[-1].line
        if not self._as_json and not sys.stdout.isatty():
            print("\n".join(map(str, ids)), flush=True)


def _groups(chunk: list[Request]) -> Iterator[tuple[dict[str, Any], list[Request]]]:
    """Runs of jobs with the same options: each can be one batch."""
    for options, group in groupby(chunk, key=lambda request: request.options):
        yield options, list(group)


def _first_bad(group: list[Request], error: Exception) -> BadLineError:
    """Which line of a batch that was refused is to blame; those before it are good."""
    for request in group:
        try:
            _check(request)
        except (InvalidType, InvalidValue) as why:
            return BadLineError(request.line, str(why))
    return BadLineError(group[0].line, str(error))


def _check(request: Request) -> None:
    check_flag(request.options.get("hold", False), "hold")
    options = {
        name: value for name, value in request.options.items() if name not in ("parents", "hold")
    }
    records.encode_body(new_record(request.task, request.args, request.kwargs, 0.0, **options))


# -- lines ---------------------------------------------------------------------------------------


def _request(line: int, text: str, task: str, options: dict[str, Any]) -> Request:
    start = text.lstrip()[:1]
    if start not in ("[", "{"):
        return Request(line, task, [text], None, options)
    value = _parse(line, text)
    if isinstance(value, list):
        return Request(line, task, value, None, options)
    args, kwargs = value.pop("args", []), value.pop("kwargs", None)
    own = _line_options(line, value, _OPTIONS)
    if "notes" in own and "notes" in options:
        own["notes"] = {**options["notes"], **own["notes"]}
    request = Request(line, task, args, kwargs, {**options, **own})
    _check_line(request)
    return request


def _line_options(line: int, value: dict[str, Any], known: Iterable[str]) -> dict[str, Any]:
    unknown = value.keys() - set(known)
    if unknown:
        names = ", ".join(sorted({"args", "kwargs", *known}))
        raise BadLineError(line, f"unknown key {min(unknown)!r} (known: {names})")
    own = {name: item for name, item in value.items() if item is not None}
    for name in _DURATIONS:
        if isinstance(own.get(name), str):
            try:
                own[name] = parse_duration(own[name])
            except InvalidValue as error:
                raise BadLineError(line, str(error)) from None
    return own


def _imported(line: int, text: str, now: float) -> tuple[Request, str]:
    """The job of a line of `import`, and its state there."""
    value = _parse(line, text)
    if not isinstance(value, dict) or "task" not in value:
        raise BadLineError(line, "it is no JSON object with a `task`")
    kwargs = value.get("kwargs")
    if isinstance(kwargs, dict) and kwargs.get("env") == HIDDEN:
        raise BadLineError(line, "its environment was left out: list the jobs with --show-env")
    options = {
        name: value[name]
        for name in ("queue", "priority", "attempts", "lax", "notes", "timeout", "parents")
        if value.get(name) is not None
    }
    if value.get("held"):
        options["hold"] = True
    for name, time in (("delay", "delayed"), ("expire", "expires")):
        moment = value.get(time)
        if moment is not None and type(moment) not in (int, float):
            raise BadLineError(line, f"`{time}` is no time in epoch seconds")
        if moment is not None and (name == "expire" or moment > now):
            options[name] = moment - now
        elif value.get(name) is not None:
            options |= _line_options(line, {name: value[name]}, (name,))
    id_, state = value.get("id"), value.get("state", "inactive")
    if id_ is not None and type(id_) is not int:
        raise BadLineError(line, "`id` is no integer")
    request = Request(line, value["task"], value.get("args", []), kwargs, options, id_)
    _check_line(request)
    return request, str(state)


def _check_line(request: Request) -> None:
    try:
        check_json(request.args, "args")
        _check(request)
    except (InvalidType, InvalidValue) as error:
        raise BadLineError(request.line, str(error)) from None


def _check_parents(kept: list[Request], done: set[int | None]) -> None:
    known = set(done)
    for request in kept:
        for parent in request.options.get("parents", ()):
            if parent not in known:
                raise Refused(
                    NOT_FOUND,
                    f"line {request.line}: it waits for job {parent}, which is not among what is "
                    "imported before it; add that one, or drop its parents",
                )
        known.add(request.id)


def _parse(line: int, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadLineError(line, f"it is not JSON: {error}") from None


def _lines(file: BinaryIO) -> Iterator[tuple[int, str]]:
    for number, data in enumerate(file, 1):
        try:
            text = data.removesuffix(b"\n").decode()
        except UnicodeDecodeError as error:
            raise BadLineError(number, f"it is not UTF-8 at byte {error.start}") from None
        yield number, text


@contextmanager
def _reading(source: str) -> Iterator[BinaryIO]:
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(source, "rb")  # noqa: SIM115  # closed below; only the opening is refused
    except OSError as error:
        raise Refused(NOT_FOUND, f"cannot read {source}: {error.strerror}") from None
    with file:
        yield file


def _size(file: BinaryIO) -> int | None:
    """How many bytes a file has; None for a pipe or a terminal."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


class _Interrupts:
    """Ctrl-C between two chunks: within one it waits until it is known what is stored."""

    def __enter__(self) -> Self:
        self._holding = self._pending = False
        self._before = signal.signal(signal.SIGINT, self._caught)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let what is done in this block come to its end."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self._pending:
            raise KeyboardInterrupt

    def _caught(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if not self._holding:
            raise KeyboardInterrupt
        self._pending = True
