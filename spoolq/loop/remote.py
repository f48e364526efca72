"""Remote control: what a worker that runs obeys, wherever the command came from [299-307]."""

from __future__ import annotations

import signal as signals
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from spoolq.loop.plan import count

if TYPE_CHECKING:
    from spoolq.loop.crew import Crew

KILLS: Final = ("INT", "TERM", "KILL", "USR1", "USR2")


def commands(crew: Crew) -> dict[str, Callable[..., object]]:
    """`jobs N`, `spare N`, `kill SIGNAL ID`, `stop ID`, `pause ID` and `resume ID`; nonsense is
    ignored."""

    def kill(worker: object, name: Any = None, id: Any = None, *more: Any) -> None:
        del worker, more
        number = count(id)
        if name in KILLS and number is not None:
            crew.kill(signals.Signals[f"SIG{name}"], number)

    def stop(worker: object, id: Any = None, *more: Any) -> None:
        del more
        kill(worker, "KILL", id)

    def pause(worker: Any, id: Any = None, *more: Any) -> None:
        del more
        number = count(id)
        if number is not None:
            crew.pause(number)
            say_paused(worker.status, crew)

    def resume(worker: Any, id: Any = None, *more: Any) -> None:
        del more
        number = count(id)
        if number is not None:
            crew.resume(number)
            say_paused(worker.status, crew)

    return {
        "jobs": _setting("jobs"),
        "spare": _setting("spare"),
        "kill": kill,
        "stop": stop,
        "pause": pause,
        "resume": resume,
    }


def say_paused(status: dict[str, Any], crew: Crew) -> None:
    """Put the jobs that stand still into a worker's status, as long as there are any."""
    if crew.paused:
        status["paused"] = crew.paused
    else:
        status.pop("paused", None)


def _setting(key: str) -> Callable[..., None]:
    def set_it(worker: Any, value: Any = None, *more: Any) -> None:
        del more
        number = count(value)
        if number is not None:
            worker.status[key] = number

    return set_it
