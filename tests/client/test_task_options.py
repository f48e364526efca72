"""What a task says of itself and of its jobs: keys, limits, errors, names, classes."""

from __future__ import annotations

from typing import Any

import pytest

from spoolq import JobFailed, Spool
from spoolq.arguments import to_json
from spoolq.errors import DuplicateJob, InvalidType, InvalidValue
from tests.support import FakeClock
from tests.support import info as info_of


class Gone(Exception):
    pass


class Busy(Exception):
    pass


def failing(spool: Spool, error: Exception, **options: Any) -> Any:
    """The job, as it is after one attempt of a task that raises this."""

    def fails() -> None:
        raise error

    job = spool.task(attempts=3, **options)(fails).enqueue()
    spool.perform_jobs_in_foreground()
    return info_of(spool.backend, job.id)


def test_errors_to_retry_on_are_the_only_ones_worth_another_attempt(spool: Spool) -> None:
    assert failing(spool, Busy(), retry_on=Busy).state == "inactive"
    assert failing(spool, Gone(), retry_on=(Busy, OSError)).state == "failed"


def test_errors_to_give_up_on_leave_no_attempts(spool: Spool) -> None:
    assert failing(spool, Gone(), give_up_on=Gone).state == "failed"
    assert failing(spool, Busy(), give_up_on=Gone).state == "inactive"


def test_a_task_has_a_backoff_of_its_own(spool: Spool) -> None:
    def patience(retries: int, error: Exception) -> float:
        return 100 + retries if isinstance(error, Busy) else 0

    found = failing(spool, Busy(), backoff=patience)

    assert found.delayed == pytest.approx(found.finished + 100)
    assert found.history[0]["error"] is not None


def test_what_is_no_error_is_refused_where_the_task_is_made(spool: Spool) -> None:
    with pytest.raises(InvalidType, match="retry_on"):
        spool.task(retry_on="Busy")(print)  # type: ignore[call-overload]  # the point
    with pytest.raises(InvalidType, match="no option 'retries'"):
        spool.task(retries=3)(print)  # type: ignore[call-overload]  # the point


def test_jobs_under_a_former_name_are_performed(spool: Spool) -> None:
    @spool.task(name="mail.send", aliases=["send_mail"])
    def send(number: int) -> int:
        return number

    old, new = spool.enqueue("send_mail", [1]), send.enqueue(2)
    spool.perform_jobs_in_foreground()

    assert (old.result(0), new.result(0)) == (1, 2)
    assert new.task == "mail.send"


class Double:
    factor = 2

    def run(self, number: int) -> int:
        return self.factor * number


def test_a_class_with_a_method_run_is_a_task(spool: Spool) -> None:
    double = spool.task(Double)

    job = double.enqueue(4)
    spool.perform_jobs_in_foreground()

    assert (job.task, job.result(0), double(5)) == ("Double", 8, 10)
    with pytest.raises(InvalidType):
        double.enqueue("a", "b")  # type: ignore[call-arg, arg-type]  # the point


def test_a_class_without_run_is_none(spool: Spool) -> None:
    with pytest.raises(InvalidType, match="run"):
        spool.task(Gone)


def test_keys_are_made_of_the_arguments_of_the_call(spool: Spool) -> None:
    @spool.task(
        unique="sync {tenant}",
        concurrency=[("tenant:{tenant}", 2), ("all", 5)],
        rate=("api {region}", 100, 3600),
    )
    def sync(tenant: int, region: str = "eu") -> None: ...

    info = info_of(spool.backend, sync.enqueue(7).id)

    assert info.unique is not None
    assert info.unique["key"] == "sync 7"
    assert info.limits == [
        ["concurrency", "tenant:7", 2, None],
        ["concurrency", "all", 5, None],
        ["rate", "api eu", 100, 3600.0],
    ]
    assert sync.enqueue(7).duplicate
    assert not sync.enqueue(8).duplicate


def test_a_call_is_the_same_however_its_arguments_are_given(spool: Spool) -> None:
    @spool.task(unique=True)
    def sync(tenant: int, hosts: set[str], *, lang: str = "en", deep: bool = False) -> None: ...

    job = sync.enqueue(7, {"a", "b"})
    assert sync.enqueue(tenant=7, hosts={"b", "a"}).id == job.id
    assert sync.enqueue(7, hosts={"a", "b"}, lang="en").id == job.id
    assert spool.enqueue("sync", [7, ["a", "b"]], unique=True).id == job.id
    assert not sync.enqueue(7, {"a", "b"}, lang="de").duplicate
    assert not sync.enqueue(8, {"a", "b"}).duplicate
    assert not sync.using(unique=None).enqueue(7, {"a", "b"}).duplicate
    assert sync.using(unique_while="waiting").enqueue(7, {"b", "a"}).id == job.id

    [again, other] = spool.group([sync.call(tenant=7, hosts={"a", "b"}), sync.call(9, {"a"})])
    assert (again.duplicate, other.duplicate) == (True, False)


def test_a_set_has_one_form_in_json() -> None:
    words = [chr(ord("a") + number) for number in range(26)]

    assert to_json(set(words)) == to_json(frozenset(reversed(words))) == words


def test_two_functions_do_not_have_one_name(spool: Spool) -> None:
    @spool.task(aliases=["send_mail"])
    def send() -> None: ...

    def other() -> None: ...

    for taken in ("send", "send_mail"):
        with pytest.raises(InvalidValue, match=f"task '{taken}' is .*send already"):
            spool.task(name=taken)(other)
    spool.task(send.fn)  # the module was loaded again
    spool.add_task("send", other)  # says that it replaces


def test_a_generator_is_no_task(spool: Spool) -> None:
    def numbers() -> Any:
        yield 1

    with pytest.raises(InvalidType, match="generator"):
        spool.task(numbers)


def test_a_hook_that_nobody_would_await_is_refused(spool: Spool) -> None:
    async def load(*_: Any) -> None: ...

    for register in (spool.on_startup, spool.on_shutdown, lambda fn: spool.on("enqueue", fn)):
        with pytest.raises(InvalidType, match="await"):
            register(load)


def test_a_key_that_names_no_argument_is_refused(spool: Spool) -> None:
    @spool.task(unique="{user}")
    def sync(tenant: int) -> None: ...

    with pytest.raises(InvalidValue, match="user"):
        sync.enqueue(7)


def test_a_key_given_for_one_call_is_no_template(spool: Spool) -> None:
    @spool.task(unique="{tenant}")
    def sync(tenant: int) -> None: ...

    job = sync.using(unique="{literally}").enqueue(7)

    assert (info_of(spool.backend, job.id).unique or {})["key"] == "{literally}"


def test_the_job_that_holds_the_key_is_returned_raised_or_replaced(spool: Spool) -> None:
    @spool.task(unique=True)
    def sync(tenant: int) -> str:
        return f"{tenant}"

    first = sync.enqueue(7)

    again = sync.enqueue(7)
    assert (again.id, again.duplicate, again.args) == (first.id, True, [7])
    with pytest.raises(DuplicateJob):
        sync.using(on_conflict="raise").enqueue(7)
    replaced = sync.using(on_conflict="replace").enqueue(7)
    assert not replaced.duplicate
    assert spool.job(first.id) is None


def test_options_of_unique_jobs_without_a_key_are_refused(spool: Spool) -> None:
    with pytest.raises(InvalidType):
        spool.enqueue("foo", unique_for=60)
    with pytest.raises(InvalidType):
        spool.enqueue("foo", on_conflict="raise")
    with pytest.raises(InvalidValue):
        spool.enqueue("foo", unique="k", on_conflict="ignore")  # type: ignore[arg-type]


def test_a_command_line_is_a_job(tmp_path: Any, clock: FakeClock) -> None:
    spool = Spool(tmp_path / "spool", durability="none")
    done = spool.exec(["sh", "-c", "test $WORD = a && test $PWD = /"], cwd="/", env={"WORD": "a"})
    line = spool.exec("exit 3", shell=True, env={}, attempts=1)

    spool.perform_jobs()

    assert done.result(0) is None
    with pytest.raises(JobFailed, match="exit status 3"):
        line.result(0)


@pytest.mark.parametrize(
    ("argv", "shell"), [("true", False), (["true"], True), ([], False), ([1], False)]
)
def test_what_is_no_command_line_is_refused(spool: Spool, argv: Any, shell: bool) -> None:
    with pytest.raises((InvalidType, InvalidValue)):
        spool.exec(argv, shell=shell)


def test_the_environment_of_a_command_line_is_text(spool: Spool) -> None:
    with pytest.raises(InvalidType, match="env"):
        spool.exec(["true"], env={"N": 3})  # type: ignore[dict-item]  # the point
