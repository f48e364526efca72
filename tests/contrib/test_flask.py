"""`spoolq.contrib.flask`: what the link checker does not show."""

from __future__ import annotations

from pathlib import Path

import pytest

from spoolq import Job, Spool
from tests.contrib import need

need("flask")

from flask import Flask, current_app, g  # noqa: E402

from spoolq.contrib.flask import get_spool, init_app, put_into_context  # noqa: E402


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", durability="none")


@pytest.fixture
def app(spool: Spool) -> Flask:
    made = Flask("shop")
    init_app(made, spool)
    return made


def test_the_current_application_knows_its_spool(app: Flask, spool: Spool) -> None:
    with app.app_context():
        assert get_spool() is spool


def test_an_application_without_one_says_what_to_do() -> None:
    with Flask("bare").app_context(), pytest.raises(RuntimeError, match="init_app"):
        get_spool()


def test_tasks_run_in_a_context_of_their_own_that_is_torn_down(app: Flask, spool: Spool) -> None:
    torn: list[str] = []

    @app.teardown_appcontext
    def tear(_: object) -> None:
        torn.append(g.who)

    @spool.task
    def who(name: str) -> str:
        assert "who" not in g
        g.who = name
        return current_app.name

    @spool.task(takes_context=True)
    async def which(job: Job, name: str) -> int:
        g.who = name
        return job.id

    first, second = who.enqueue("ada"), which.enqueue("bob")
    put_into_context(app, spool)
    spool.perform_jobs_in_foreground()

    assert (first.result(timeout=1), second.result(timeout=1)) == ("shop", second.id)
    assert torn == ["ada", "bob"]


def test_tasks_keep_their_annotations_in_a_context(app: Flask, spool: Spool) -> None:
    @spool.task
    def parent(path: Path) -> Path:
        return path.parent

    @spool.task
    def name(path: Path) -> str:
        return path.name

    job = name.enqueue(Path("/srv/a.png"))
    put_into_context(app, spool)
    spool.perform_jobs_in_foreground()
    assert job.result(timeout=1) == "a.png"


def test_the_command_refuses_what_it_does_not_know(app: Flask) -> None:
    ended = app.test_cli_runner().invoke(args=["spoolq", "worker", "--jbos", "4"])
    assert ended.exit_code == 2


def test_the_command_lists_its_options(app: Flask) -> None:
    ended = app.test_cli_runner().invoke(args=["spoolq", "worker", "--help"])
    assert ended.exit_code == 0
    assert "--idle-exit DURATION" in ended.output
