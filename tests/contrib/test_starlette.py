"""The lifespan helper, and docs/examples/fastapi with its worker beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from spoolq import Spool
from spoolq.errors import InvalidValue
from tests.contrib import need
from tests.contrib.running import EXAMPLES, Running, fetch
from tests.support import wait_for

pytestmark = pytest.mark.slow

need("starlette", "fastapi", "uvicorn")

from starlette.requests import HTTPConnection  # noqa: E402

from spoolq.contrib.fastapi import get_spool  # noqa: E402
from spoolq.contrib.starlette import lifespan  # noqa: E402


def serve(root: Path, log: Path) -> Running:
    return Running(
        "uvicorn", "words:app", "--port", "0",
        cwd=EXAMPLES / "fastapi", log=log, says="running on", SPOOLQ_ROOT=str(root),
    )  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("words")
    running = serve(home / "spool", home / "log")
    yield running
    running.kill()


class TestExample:
    def test_counts_words_in_the_background_and_waits_for_them(self, served: Running) -> None:
        status, text, _ = fetch(f"{served.url}/counts", b'{"text": "to be or not to be"}')
        assert status == 202

        status, text, _ = fetch(f"{served.url}/counts/{json.loads(text)['id']}?wait=30")
        assert (status, json.loads(text)) == (200, {"to": 2, "be": 2, "or": 1, "not": 1})

    def test_says_that_a_count_is_not_there(self, served: Running) -> None:
        assert fetch(f"{served.url}/counts/999")[0] == 404

    def test_refuses_what_is_no_text(self, served: Running) -> None:
        assert fetch(f"{served.url}/counts", b'{"text": 7}')[0] == 422


class TestWorkerBeside:
    @staticmethod
    def pids(spool: Spool) -> list[int]:
        return [worker.pid for worker in spool.workers()]

    @staticmethod
    def is_there(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
    def test_ends_with_the_server(self, tmp_path: Path, number: int) -> None:
        running = serve(tmp_path / "spool", tmp_path / "log")
        try:
            spool = Spool(tmp_path / "spool")
            wait_for(lambda: self.pids(spool), 30)
            [pid] = self.pids(spool)

            running.end(number)
            wait_for(lambda: not self.is_there(pid), 30)
        finally:
            running.kill()
        assert self.pids(spool.repair()) == []

    def test_another_one_starts_when_it_dies(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("spoolq.contrib.beside.AGAIN", 0.0)
        monkeypatch.chdir(EXAMPLES / "fastapi")
        monkeypatch.setenv("SPOOLQ_ROOT", str(tmp_path / "spool"))
        spool = Spool(tmp_path / "spool")

        async def live() -> int:
            async with lifespan(spool, worker="words:spool", queues=["mail"])(None):
                first = await self._next(spool, set())
                os.kill(first, signal.SIGKILL)
                second = await self._next(spool, {first})
                assert next(iter(spool.workers())).status["queues"] == ["mail"]
                return second

        second = asyncio.run(live())
        assert not self.is_there(second)

    async def _next(self, spool: Spool, known: set[int]) -> int:
        async with asyncio.timeout(30):
            while not (new := set(self.pids(spool)) - known):
                await asyncio.sleep(0.01)
        return new.pop()

    def test_that_cannot_start_is_logged_and_not_tried_again(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        spool = Spool(tmp_path / "spool")

        async def live() -> None:
            async with lifespan(spool, worker="no_such_module:spool")(None), asyncio.timeout(30):
                while not caplog.messages:
                    await asyncio.sleep(0.01)

        asyncio.run(live())
        assert caplog.messages == [
            "the worker beside this server could not start, and nobody performs its jobs"
        ]

    def test_is_refused_for_a_spool_in_memory(self) -> None:
        with pytest.raises(InvalidValue, match="in memory"):
            lifespan(Spool("memory:"), worker="words:spool")


class TestLifespan:
    def test_puts_the_spool_beside_the_state_of_the_application(self) -> None:
        spool = Spool("memory:")
        lived: list[str] = []

        @contextlib.asynccontextmanager
        async def inner(app: Any) -> AsyncIterator[dict[str, Any]]:
            lived.append(f"begins {app}")
            yield {"database": "there"}
            lived.append("ends")

        async def live() -> Any:
            async with lifespan(spool, inner=inner)("shop") as state:
                return state

        assert asyncio.run(live()) == {"database": "there", "spool": spool}
        assert lived == ["begins shop", "ends"]

    def test_a_dependency_without_it_says_what_to_do(self) -> None:
        with pytest.raises(RuntimeError, match="lifespan"):
            get_spool(HTTPConnection({"type": "http", "state": {}}))
