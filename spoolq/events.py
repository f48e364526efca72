"""Events: who wants to hear what happens to a spool, a job or a worker, in this process.

Callbacks run at once, in the order they were added, in the process where the event happens, and
get the object they were attached to first. What a callback raises travels on to whoever caused
the event; in a forked child that fails the job [316].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from spoolq.errors import InvalidType, InvalidValue

Callback = Callable[..., object]

_COROUTINE: Final = 0x80  # inspect.CO_COROUTINE


class Emitter:
    """Something with events. `EVENTS` names them; there are no others."""

    __slots__ = ("_callbacks",)

    EVENTS: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self._callbacks: dict[str, list[Callback]] | None = None

    def on(self, event: str, callback: Callback) -> None:
        """Call `callback(self, …)` whenever `event` happens. Raises InvalidValue if none such,
        InvalidType for what cannot be called, or has to be awaited."""
        if event not in self.EVENTS:
            raise InvalidValue(f"unknown event {event!r}: there is {', '.join(self.EVENTS)}")
        check_callback(callback, f"what is called on {event!r}")
        if self._callbacks is None:
            self._callbacks = {}
        self._callbacks.setdefault(event, []).append(callback)

    def emit(self, event: str, *args: Any) -> None:
        """Tell everybody who asked."""
        if self._callbacks is not None:
            for callback in tuple(self._callbacks.get(event, ())):
                callback(self, *args)


def check_callback(callback: object, what: str) -> None:
    """Raises InvalidType for what cannot simply be called."""
    if not callable(callback):
        raise InvalidType(f"{what} is a function, not {callback!r:.60}")
    code = getattr(callback, "__code__", None)
    if code is not None and code.co_flags & _COROUTINE:
        raise InvalidType(f"{what} is a plain function: nobody would await {callback!r:.60}")
