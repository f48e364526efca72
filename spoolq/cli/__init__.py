"""The command line: `spoolq` and `miniq`. Both are thin: they call the same library as programs.

Errors end here, as one line on stderr and an exit code (`exits`); SPOOLQ_DEBUG=1 or --debug
lets their traceback through.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from spoolq.cli.exits import BY_SIGNAL, NO, UNUSABLE, USAGE, Refused, exit_code
from spoolq.errors import SpoolError

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Final

MINIQ_USAGE: Final = "usage: miniq NAME [ARGS…]"


def main() -> None:
    """The console script `spoolq`."""
    _leave(guarded("spoolq", lambda: _spoolq(sys.argv[1:])))


def miniq() -> None:
    """The console script `miniq NAME ARGS…`: enqueue NAME and print the id."""
    _leave(guarded("miniq", lambda: _miniq(sys.argv[1:])))


def _leave(code: int) -> None:
    if code == BY_SIGNAL + 2:
        # RACE: a Ctrl-C that comes into an import which executes text, as that of a namedtuple
        # does, is remembered by Python though it was caught: it would kill itself on its way out.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def guarded(name: str, command: Callable[[], int]) -> int:
    """The exit code of a command, after one line about what went wrong, if anything did."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _open_closed()
    try:
        code = command()
        sys.stdout.flush()
    except (SpoolError, Refused) as error:
        if os.environ.get("SPOOLQ_DEBUG"):
            raise
        from spoolq.cli.complaints import complain

        code = error.code if isinstance(error, Refused) else exit_code(error)
        complain(name, sys.argv[1:] if name == "spoolq" else (), code, str(error))
        return code
    except BrokenPipeError:
        # `spoolq list | head`: nobody reads on. Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO
    except OSError as error:
        if os.environ.get("SPOOLQ_DEBUG"):
            raise
        return _out_of_luck(name, error)
    except KeyboardInterrupt:
        return BY_SIGNAL + 2
    return code


def _open_closed() -> None:
    """Open nothing in the place of standard streams that whoever started us has closed.

    Python has None there, and prints to stdout what is meant for it; and the next file that is
    opened would have its number.
    """
    while True:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > 2:  # that of stderr
            os.close(fd)
            break
        os.set_inheritable(fd, True)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _out_of_luck(name: str, error: OSError) -> int:
    """Say what the system has refused: a file, or, where none is named, what was to be printed."""
    from spoolq.cli.complaints import complain

    code = NO if error.filename is None else UNUSABLE
    reason = error.strerror or str(error)
    what = "what was to be printed" if error.filename is None else os.fsdecode(error.filename)
    with suppress(OSError):
        complain(name, sys.argv[1:], code, f"{what}: {reason}")
    # What is left unwritten is tried once more at the exit, and would be complained of there.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _spoolq(words: Sequence[str]) -> int:
    from spoolq.cli import hot

    code = hot.run(words)
    if code is None:
        from spoolq.cli.app import run

        code = run(words)
    return code


def _miniq(words: Sequence[str]) -> int:
    if words in (["--help"], ["-h"]):
        print(MINIQ_USAGE)
        return 0
    if not words or words[0].startswith("-"):
        print(MINIQ_USAGE, file=sys.stderr)
        return USAGE
    from spoolq.cli import hot  # usage needs no spool

    return hot.miniq(words)
