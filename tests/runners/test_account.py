"""Root works for a spool of somebody else: its functions run as the spool's owner."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from spoolq import Job, Spool
from tests.runners.functions import Stage
from tests.runners.programs import alive
from tests.support import wait_for
from tests.support.ways import open_the_way

OWNER, GROUP = 12345, 23456

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can work for others"),
]


@pytest.fixture
def theirs(tmp_path: Path) -> Spool:
    """A spool of another user, opened by root; as for a service, the way there is open to all."""
    root = tmp_path / "spool"
    root.mkdir(mode=0o700)
    os.chown(root, OWNER, GROUP)
    open_the_way(tmp_path)
    return Spool(root, durability="none")


@pytest.fixture(params=["fork", "pool", "aio"])
def stage(request: pytest.FixtureRequest, theirs: Spool) -> Iterator[Stage]:
    stage = Stage(theirs, request.param)
    yield stage
    stage.close()


def who() -> list[object]:
    ids = [*os.getresuid(), *os.getresgid(), *os.getgroups()]
    return [ids, os.environ["USER"]]


def test_a_function_is_performed_as_the_owner_for_good(stage: Stage) -> None:
    outcome = stage.run(stage.add(who))

    assert outcome.ok, outcome
    assert outcome.result == [[OWNER] * 3 + [GROUP] * 3, str(OWNER)]


def test_what_a_function_leaves_in_the_spool_is_the_owners(stage: Stage) -> None:
    def work(job: Job) -> None:
        print("words")
        job.note(seen=True)
        job.backend.enqueue("child", parents=[job.id])

    async def awork(job: Job) -> None:
        work(job)

    if stage.runner == "aio":
        stage.spool.task(name="work", takes_context=True)(awork)
    else:
        stage.spool.task(name="work", takes_context=True)(work)

    outcome = stage.run("work")

    assert outcome.ok, outcome
    root = Path(str(stage.spool.root))
    assert {path for path in root.rglob("*") if path.lstat().st_uid != OWNER} == set()
    assert stage.log(1) == "words\n"
    assert stage.spool.job(1).info().notes == {"seen": True}  # type: ignore[union-attr]


def test_a_function_still_dies_with_the_process_that_forked_it(
    stage: Stage, tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)

    def hold(started: str) -> None:
        Path(started).touch()
        signal.pause()

    run = stage.start(stage.add(hold), str(tmp_path / "started"))
    wait_for((tmp_path / "started").exists)
    os.kill(stage.performers._zygote.pid, signal.SIGKILL)

    wait_for(lambda: not alive(run.pid))
    assert not stage.end(run).ok


def test_a_job_that_somebody_listens_to_is_performed_as_the_owner_too(theirs: Spool) -> None:
    theirs.add_task("who", who)
    made = theirs.enqueue("who")
    worker = theirs.worker().register()
    job = worker.dequeue(0)
    assert job is not None
    job.on("start", lambda _: None)

    job.perform()

    info = made.info()
    assert info is not None
    assert info.result == [[OWNER] * 3 + [GROUP] * 3, str(OWNER)]


def test_a_spool_of_roots_own_is_performed_as_root(tmp_path: Path) -> None:
    stage = Stage(Spool(tmp_path / "spool", durability="none"), "fork")
    try:
        assert stage.run(stage.add(os.geteuid)).result == 0
    finally:
        stage.close()
