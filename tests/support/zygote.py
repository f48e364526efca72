"""Commands as processes of their own, without paying for the start of Python each time.

One process has imported the command line; for each request it forks a child that becomes the
command: with its arguments, environment, directory, output files and exit code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Zygote:
    """The process that forks. Use it as a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.support.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            # What another test has left behind has inherited the pipe that tells of the end.
            self._process.kill()
            self._process.wait()
        finally:
            assert self._process.stdout is not None
            self._process.stdout.close()

    def run(
        self,
        program: str,
        words: Sequence[str | bytes],
        *,
        env: Mapping[str, str],
        cwd: Path,
        out: Path,
        err: Path,
    ) -> int:
        """Run `spoolq` or `miniq` with these words to its end; return its exit code."""
        request = {
            "program": program,
            "words": [os.fsdecode(word) for word in words],
            "env": dict(env),
            "cwd": str(cwd),
            "out": str(out),
            "err": str(err),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def serve() -> None:
    """Fork a child for each request on stdin and answer with its exit code on stdout."""
    import spoolq.files.store  # forked children find it imported
    import spoolq.runners.executable  # noqa: F401
    from spoolq.cli import main, miniq
    from spoolq.cli.app import GROUPS, make_app

    make_app(GROUPS)
    programs = {"spoolq": main, "miniq": miniq}
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            become(programs[request["program"]], request)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(command: Callable[[], object], request: dict[str, Any]) -> None:
    """Be this command, and exit as it does."""
    for fd, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, request["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, fd)
        os.close(opened)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = [request["program"], *request["words"]]
    code: object = 1
    try:
        command()
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:  # noqa: BLE001  # the child must never return into the loop
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    serve()
