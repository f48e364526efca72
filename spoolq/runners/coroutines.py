"""In the child of `aio`: one event loop, a task for each job."""

from __future__ import annotations

import asyncio
import contextvars
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn

from spoolq.runners import Outcome, describe, died
from spoolq.runners.child import answer, exit_status, leave, left_with, not_started
from spoolq.runners.output import OwnOutput, divide
from spoolq.runners.wire import Message, Wire

if TYPE_CHECKING:
    from spoolq.runners.child import Claim

AsyncPerform = Callable[["Claim", Callable[[], None]], Awaitable[Outcome]]


class Coroutines:
    """The work of such a process."""

    def __init__(self, wire: Wire, perform: AsyncPerform, root: str | None) -> None:
        self._wire = wire
        self._perform = perform
        self._root = root
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._dropped: set[int] = set()

    def run(self) -> NoReturn:
        """Perform jobs until the socket is closed."""
        status = 1
        try:
            divide()
            asyncio.run(self._serve())
            status = 0
        except BaseException:  # noqa: BLE001  # nothing may return into the zygote's frames
            traceback.print_exc()
        finally:
            leave(status)

    async def _serve(self) -> None:
        loop, closed = asyncio.get_running_loop(), asyncio.Event()

        def readable() -> None:
            received = self._wire.receive()
            if received is None:
                closed.set()
                loop.remove_reader(self._wire.fileno())
            else:
                self._obey(received[0])

        loop.add_reader(self._wire.fileno(), readable)
        await closed.wait()
        leave(0)  # whatever still runs: nobody wants to know

    def _obey(self, message: Message) -> None:
        word, serial, *rest = message
        task = self._tasks.get(serial)
        if word == "run":
            context = contextvars.Context()
            made = asyncio.get_running_loop().create_task(
                self._attempt(serial, rest[0]), context=context
            )
            self._tasks[serial] = made
        elif task is None:
            return  # it ended before this came
        elif word == "cancel":
            self._wire.send(["heard", serial])
            task.cancel("the job was asked to stop")
        elif word == "drop":
            self._dropped.add(serial)
            self._answer(serial, Outcome(False, died(0, 9)))

    async def _attempt(self, serial: int, claim: Claim) -> None:
        try:
            outcome = await self._outcome(serial, claim)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            # Nobody may have asked for it: what the job awaited was cancelled.
            asked = task is not None and task.cancelling() > 0
            outcome = Outcome(False, died(0, 15) if asked else describe(error))
        if serial not in self._dropped:
            self._answer(serial, outcome)
        self._dropped.discard(serial)

    async def _outcome(self, serial: int, claim: Claim) -> Outcome:
        try:
            output = OwnOutput(self._root, claim["id"], claim["retries"])
        except OSError as error:
            return not_started(error)
        try:
            return await self._perform(claim, lambda: self._wire.send(["settled", serial]))
        except asyncio.CancelledError:
            raise
        except SystemExit as stop:
            return left_with(exit_status(stop.code))
        except BaseException as error:  # noqa: BLE001  # whatever a task raises is its failure
            return Outcome(False, describe(error))
        finally:
            output.end()

    def _answer(self, serial: int, outcome: Outcome) -> None:
        self._tasks.pop(serial, None)
        answer(self._wire, serial, outcome, worn=False)


def become(perform: AsyncPerform, root: str | None) -> Callable[[Wire, Any], object]:
    """What the zygote is told to make of a child."""
    return lambda wire, options: Coroutines(wire, perform, root).run()  # noqa: ARG005
