"""The testing kit, as somebody's tests use it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from spoolq import Spool
from spoolq.errors import InvalidType
from spoolq.files.store import FileBackend
from spoolq.testing import Drained, FakeClock, SpoolUnderTest, under_test


@pytest.fixture
def program(tmp_path: Path) -> Spool:
    """The spool of a program, with two tasks."""
    program = Spool(tmp_path / "program", durability="none")

    @program.task(queue="mail")
    def welcome(user: int, *, lang: str = "en") -> str:
        if user == 0:
            raise ValueError("nobody")
        return f"{user} {lang}"

    @program.task(attempts=2)
    def sign_up(user: int) -> None:
        program.enqueue("welcome", [user], queue="mail", delay=0)

    return program


@pytest.fixture
def spool(program: Spool, tmp_path: Path) -> Iterator[SpoolUnderTest]:
    clock = FakeClock()
    backend = FileBackend(str(tmp_path / "spool"), clock=clock, durability="none")
    with under_test(backend, clock, program) as tested:
        yield tested


def test_what_a_program_enqueues_is_found(program: Spool, spool: SpoolUnderTest) -> None:
    program.tasks["welcome"].enqueue(7, lang="de")

    info = spool.assert_enqueued("welcome", args=[7], kwargs={"lang": "de"}, queue="mail")

    assert info.state == "inactive"


def test_an_argument_is_the_same_by_position_and_by_name(
    program: Spool, spool: SpoolUnderTest
) -> None:
    program.tasks["welcome"].enqueue(7)

    spool.assert_enqueued(program.tasks["welcome"], kwargs={"user": 7})


def test_keyword_arguments_alone_fit_whatever_the_others_are(
    program: Spool, spool: SpoolUnderTest
) -> None:
    welcome = program.tasks["welcome"]
    welcome.enqueue(7, lang="de")

    spool.assert_enqueued(welcome, kwargs={"lang": "de"})
    spool.assert_enqueued("welcome", kwargs={"user": 7})
    spool.refute_enqueued(welcome, kwargs={"lang": "en"})
    spool.refute_enqueued(welcome, args=[], kwargs={"lang": "de"})


def test_a_field_that_there_is_not_is_an_error_and_nothing_that_does_not_fit(
    spool: SpoolUnderTest,
) -> None:
    with pytest.raises(InvalidType, match="no field 'qeue'"):
        spool.refute_enqueued("welcome", qeue="mail")


def test_what_was_asked_for_is_told_of_the_jobs_that_are_there(
    program: Spool, spool: SpoolUnderTest
) -> None:
    program.tasks["welcome"].using(priority=3).enqueue(7)

    with pytest.raises(AssertionError, match=r"1 welcome\(7\) queue=mail priority=3 inactive"):
        spool.assert_enqueued("welcome", priority=5)


def test_a_test_that_is_a_coroutine_drains_tasks_that_are(
    program: Spool, spool: SpoolUnderTest
) -> None:
    @program.task
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    async def test() -> int:
        job = await double.aenqueue(4)
        assert spool.drain() == Drained(finished=1)
        return await job

    assert asyncio.run(test()) == 8


def test_inline_it_does_not_matter_who_enqueues(program: Spool, spool: SpoolUnderTest) -> None:
    call = program.tasks["welcome"].make(7)
    with spool.inline():
        ids = spool.enqueue_many([call], queue="mail") + program.enqueue_many([call], queue="mail")

    assert [info and info.result for info in spool.wait(ids, timeout=0)] == ["7 en", "7 en"]


def test_a_job_that_is_not_there_fails_the_test_and_says_what_is(
    program: Spool, spool: SpoolUnderTest
) -> None:
    program.tasks["welcome"].using(delay=60).enqueue(7, lang="de")

    with pytest.raises(AssertionError) as caught:
        spool.assert_enqueued("welcome", args=[8])

    assert str(caught.value) == (
        "not enqueued: welcome, args=[8]\n"
        "enqueued were:\n"
        "  1 welcome(7, lang='de') queue=mail delay=60 inactive"
    )


def test_a_test_that_enqueues_nothing_is_told_so(spool: SpoolUnderTest) -> None:
    with pytest.raises(AssertionError, match="nothing was enqueued"):
        spool.assert_enqueued("welcome")


def test_a_job_that_should_not_be_there_fails_the_test(
    program: Spool, spool: SpoolUnderTest
) -> None:
    program.tasks["welcome"].enqueue(7)
    spool.refute_enqueued("sign_up")

    with pytest.raises(
        AssertionError, match=r"enqueued: welcome\nenqueued were:\n  1 welcome\(7\)"
    ):
        spool.refute_enqueued("welcome")


def test_a_delay_is_compared(program: Spool, spool: SpoolUnderTest) -> None:
    program.tasks["welcome"].using(delay=60).enqueue(7)

    spool.assert_enqueued("welcome", delay=60)
    spool.assert_enqueued("welcome", delay=pytest.approx(59, abs=2))
    spool.refute_enqueued("welcome", delay=61)


def test_all_that_fit_come_in_the_order_they_were_enqueued(
    program: Spool, spool: SpoolUnderTest
) -> None:
    for user in (3, 1, 2):
        program.tasks["welcome"].enqueue(user)

    assert [info.args for info in spool.all_enqueued("welcome")] == [[3], [1], [2]]


def test_draining_performs_also_what_jobs_enqueue(program: Spool, spool: SpoolUnderTest) -> None:
    program.tasks["sign_up"].enqueue(7)

    assert spool.drain() == Drained(finished=2)
    assert [info.result for info in spool.jobs(tasks=["welcome"])] == ["7 en"]


def test_draining_raises_what_a_task_raises_after_its_job_has_failed(
    program: Spool, spool: SpoolUnderTest
) -> None:
    program.tasks["welcome"].enqueue(0)

    with pytest.raises(ValueError, match="nobody"):
        spool.drain()

    assert [info.state for info in spool.jobs()] == ["failed"]


def test_draining_can_count_failures_instead(program: Spool, spool: SpoolUnderTest) -> None:
    program.tasks["welcome"].enqueue(0)
    program.tasks["welcome"].enqueue(1)
    program.tasks["welcome"].using(attempts=2).enqueue(0)

    assert spool.drain(raises=False) == Drained(finished=1, failed=1, retried=1)


def test_time_that_passes_makes_delays_due(program: Spool, spool: SpoolUnderTest) -> None:
    program.tasks["welcome"].using(delay=timedelta(hours=1)).enqueue(7)
    assert spool.drain() == Drained()

    spool.advance(hours=1)

    assert spool.drain() == Drained(finished=1)


def test_inline_a_job_has_run_when_it_is_enqueued(program: Spool, spool: SpoolUnderTest) -> None:
    with spool.inline():
        job = program.tasks["welcome"].enqueue(7)

    assert job.result(timeout=0) == "7 en"


def test_inline_a_failure_is_raised_where_the_job_is_enqueued(
    program: Spool, spool: SpoolUnderTest
) -> None:
    with spool.inline(), pytest.raises(ValueError, match="nobody"):
        program.tasks["welcome"].enqueue(0)


def test_inline_a_job_that_has_to_wait_does(program: Spool, spool: SpoolUnderTest) -> None:
    with spool.inline():
        program.tasks["welcome"].using(delay=60).enqueue(7)

    spool.assert_enqueued("welcome")


def test_afterwards_the_program_has_its_own_spool_again(program: Spool, tmp_path: Path) -> None:
    clock = FakeClock()
    own = program.backend
    with under_test(FileBackend(str(tmp_path / "spool"), clock=clock), clock, program) as spool:
        program.tasks["welcome"].enqueue(7)
        spool.assert_enqueued("welcome")

    assert program.backend is own
    assert list(program.jobs()) == []


PROGRAM = """
from spoolq import Spool

spool = Spool()


@spool.task
def add(one: int, two: int) -> int:
    return one + two
"""

TESTS = """
from shop import add


def test_one(spool):
    job = add.enqueue(1, 2)
    spool.assert_enqueued(add, args=[1, 2])
    assert spool.drain().finished == 1
    assert job.result(timeout=0) == 3


def test_two(spool):
    spool.refute_enqueued()
"""


@pytest.mark.slow
def test_the_fixture_comes_with_the_package(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(PROGRAM)
    (tmp_path / "test_shop.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nspoolq_app = shop:spool\n")

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "2 passed" in run.stdout, run.stdout + run.stderr
