"""What Django's documentation promises of a task backend (topics/tasks, ref/tasks, ref/signals,
ref/settings#tasks), promise by promise, and what this one promises beside it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.contrib import need
from tests.support import wait_for

need("django")

if TYPE_CHECKING:
    from tests.contrib.django.conftest import Project

Finish = Callable[[Any], Any]


@pytest.fixture
def probe(project: Project) -> Any:
    import probe.tasks  # type: ignore[import-not-found]  # of the project

    return probe.tasks


@pytest.fixture
def framework() -> Any:
    from spoolq.contrib.django import framework

    return framework


class TestTask:
    def test_supports_everything_a_backend_can(self, backend: Any) -> None:
        flags = ("supports_defer", "supports_async_task", "supports_get_result")
        assert all(getattr(backend, flag) for flag in (*flags, "supports_priority"))

    def test_calling_the_function_runs_it_here(self, probe: Any, backend: Any) -> None:
        assert probe.add.call(1, 2) == 3
        assert backend.spool.jobs().total == 0

    def test_using_leaves_the_task_as_it_was(self, probe: Any, backend: Any) -> None:
        changed = probe.mail.using(priority=10, queue_name="default")

        assert (changed.priority, changed.queue_name) == (10, "default")
        assert (probe.mail.priority, probe.mail.queue_name) == (7, "mail")

    @pytest.mark.parametrize("priority", [-101, 101, 1.5])
    def test_a_priority_beyond_100_is_invalid(
        self, probe: Any, backend: Any, framework: Any, priority: float
    ) -> None:
        with pytest.raises(framework.InvalidTask, match="priority"):
            probe.add.using(priority=priority)

    def test_a_queue_that_the_settings_do_not_name_is_invalid(
        self, probe: Any, backend: Any, framework: Any
    ) -> None:
        with pytest.raises(framework.InvalidTask, match="nowhere"):
            probe.add.using(queue_name="nowhere")

    def test_every_queue_is_valid_where_the_settings_say_an_empty_list(
        self, probe: Any, backend: Any
    ) -> None:
        from django.test import override_settings

        tasks = {"default": {**backend._params, "QUEUES": []}}
        with override_settings(TASKS=tasks):
            result = probe.add.using(queue_name="anywhere").enqueue(1, 2)
        assert backend.spool.job(result.id).info().queue == "anywhere"

    def test_a_function_inside_of_another_is_invalid(self, backend: Any, framework: Any) -> None:
        def inner() -> None: ...

        with pytest.raises(framework.InvalidTask, match="module level"):
            backend.task_class(func=inner)

    def test_a_naive_run_after_is_invalid(self, probe: Any, backend: Any, framework: Any) -> None:
        with pytest.raises(framework.InvalidTask, match="aware"):
            probe.add.using(run_after=datetime(2040, 1, 1))  # noqa: DTZ001

    @pytest.mark.parametrize("wrong", [{"attempts": -1}, {"timeout": -1}])
    def test_what_a_spool_cannot_do_is_invalid(
        self, probe: Any, backend: Any, framework: Any, wrong: dict[str, Any]
    ) -> None:
        with pytest.raises(framework.InvalidTask, match=next(iter(wrong))):
            backend.task_class(func=probe.add.func, **wrong)


class TestEnqueue:
    def test_returns_a_ready_result_that_nobody_has_attempted(
        self, probe: Any, backend: Any
    ) -> None:
        before = datetime.now(UTC)
        result = probe.add.enqueue(1, b=2)

        assert (result.status, result.is_finished) == ("READY", False)
        assert (result.args, result.kwargs) == ([1], {"b": 2})
        assert (result.attempts, result.worker_ids, result.errors) == (0, [], [])
        assert before <= result.enqueued_at <= datetime.now(UTC)
        assert [result.started_at, result.last_attempted_at, result.finished_at] == [None] * 3
        assert (result.task, result.backend) == (probe.add, "default")

    def test_the_id_is_a_string_shorter_than_64_characters_and_unique(
        self, probe: Any, backend: Any
    ) -> None:
        ids = [probe.add.enqueue(1, 2).id for _ in range(3)]

        assert all(isinstance(id_, str) and 0 < len(id_) < 64 for id_ in ids)
        assert len(set(ids)) == 3

    def test_makes_a_job_that_every_tool_of_a_spool_shows(self, probe: Any, backend: Any) -> None:
        result = probe.mail.enqueue("ada@example.org")

        info = backend.spool.job(result.id).info()
        assert (info.task, info.args) == ("probe.tasks.mail", ["ada@example.org"])
        assert (info.queue, info.priority) == ("mail", 7)

    def test_refuses_what_is_no_json_and_makes_no_job(self, probe: Any, backend: Any) -> None:
        with pytest.raises(TypeError, match="datetime"):
            probe.add.enqueue(datetime.now(UTC), 2)
        assert backend.spool.jobs().total == 0

    def test_run_after_delays_the_job_until_then(self, probe: Any, backend: Any) -> None:
        at = datetime.now(UTC) + timedelta(hours=1)
        result = probe.add.using(run_after=at).enqueue(1, 2)

        due = backend.spool.job(result.id).info().delayed
        assert at.timestamp() <= due < at.timestamp() + 5
        assert backend.get_result(result.id).task.run_after == at
        assert backend.worker_spool().perform_jobs_in_foreground(queues=["default"]) == 0

    def test_run_after_may_be_a_duration(self, probe: Any, backend: Any) -> None:
        result = probe.add.using(run_after=timedelta(hours=1)).enqueue(1, 2)

        info = backend.spool.job(result.id).info()
        assert info.delayed - info.created == pytest.approx(3600, abs=5)

    def test_a_run_after_that_is_over_means_at_once(self, probe: Any, backend: Any) -> None:
        at = datetime.now(UTC) - timedelta(hours=1)
        probe.add.using(run_after=at).enqueue(1, 2)

        assert backend.worker_spool().perform_jobs_in_foreground(queues=["default"]) == 1

    def test_higher_priorities_run_sooner(self, probe: Any, backend: Any, tmp_path: Path) -> None:
        path = tmp_path / "order"
        for priority in (-100, 0, 100, 3):
            probe.record.using(priority=priority).enqueue(str(path), str(priority))

        backend.worker_spool().perform_jobs_in_foreground(queues=["default"])
        assert path.read_text().split() == ["100", "3", "0", "-100"]

    def test_sends_task_enqueued(self, probe: Any, backend: Any, framework: Any) -> None:
        told: list[Any] = []

        def enqueued(sender: type, task_result: Any, **_: Any) -> None:
            told.append((sender, task_result.id, task_result.status))

        framework.signals.task_enqueued.connect(enqueued)
        try:
            result = probe.add.enqueue(1, 2)
        finally:
            framework.signals.task_enqueued.disconnect(enqueued)
        assert told == [(type(backend), result.id, "READY")]

    def test_of_aenqueue_is_the_same_in_a_coroutine(self, probe: Any, backend: Any) -> None:
        async def both() -> Any:
            result = await probe.add.aenqueue(1, b=2)
            return result.id, await probe.add.aget_result(result.id)

        id_, found = asyncio.run(both())
        assert (found.id, found.args, found.kwargs) == (id_, [1], {"b": 2})


class TestTransactions:
    @pytest.fixture
    def on_commit(self, backend: Any) -> Iterator[Any]:
        from django.test import override_settings

        options = {**backend._params["OPTIONS"], "ENQUEUE_ON_COMMIT": True}
        with override_settings(TASKS={"default": {**backend._params, "OPTIONS": options}}):
            yield backend

    def test_without_the_option_a_job_is_there_before_the_commit(
        self, probe: Any, backend: Any
    ) -> None:
        from django.db import transaction

        with transaction.atomic():
            probe.add.enqueue(1, 2)
            assert backend.spool.jobs().total == 1

    def test_enqueue_on_commit_makes_the_job_when_the_transaction_is_committed(
        self, probe: Any, on_commit: Any
    ) -> None:
        from django.db import transaction

        with transaction.atomic():
            result = probe.add.enqueue(1, 2)
            assert on_commit.spool.jobs().total == 0
            assert (result.id, result.enqueued_at, result.status) == ("", None, "READY")
        assert on_commit.get_result(result.id).enqueued_at == pytest.approx(
            result.enqueued_at, abs=timedelta(seconds=1)
        )

    def test_enqueue_on_commit_makes_no_job_after_a_rollback(
        self, probe: Any, on_commit: Any, framework: Any
    ) -> None:
        from django.db import transaction

        with transaction.atomic():
            result = probe.add.enqueue(1, 2)
            transaction.set_rollback(True)
        assert on_commit.spool.jobs().total == 0
        with pytest.raises(framework.DoesNotExist):
            on_commit.get_result(result.id)

    def test_enqueue_on_commit_makes_it_at_once_outside_of_a_transaction(
        self, probe: Any, on_commit: Any
    ) -> None:
        assert on_commit.get_result(probe.add.enqueue(1, 2).id).status == "READY"

    def test_a_task_may_say_otherwise_than_the_option(self, probe: Any, on_commit: Any) -> None:
        from django.db import transaction

        now = on_commit.task_class(func=probe.add.func, enqueue_on_commit=False)
        with transaction.atomic():
            now.enqueue(1, 2)
            assert on_commit.spool.jobs().total == 1

    def test_the_option_may_stand_where_early_versions_of_django_had_it(self, backend: Any) -> None:
        from spoolq.contrib.django.options import parse

        assert parse({"ENQUEUE_ON_COMMIT": True}).enqueue_on_commit
        assert not parse(
            {"ENQUEUE_ON_COMMIT": True, "OPTIONS": {"ENQUEUE_ON_COMMIT": False}}
        ).enqueue_on_commit

    def test_a_worker_sees_the_row_that_the_transaction_has_made(
        self, project: Project, worker: Any, finish: Finish, probe: Any
    ) -> None:
        from django.db import transaction
        from shop.models import Order  # type: ignore[import-not-found]  # of the project

        with transaction.atomic():  # the project's settings say ENQUEUE_ON_COMMIT
            order = Order.objects.create(email="ada@example.org")
            result = probe.email_of.enqueue(order.pk)
        assert finish(result).return_value == "ada@example.org"


class TestRunning:
    """In the worker process that `manage.py spoolq_worker` is."""

    def test_a_result_is_successful_with_its_return_value(
        self, probe: Any, worker: Any, finish: Finish
    ) -> None:
        result = finish(probe.add.enqueue(20, b=22))

        assert (result.status, result.return_value, result.errors) == ("SUCCESSFUL", 42, [])
        assert result.enqueued_at <= result.started_at <= result.finished_at
        assert result.last_attempted_at == result.started_at
        assert result.attempts == len(result.worker_ids) == 1
        assert [type(id_) for id_ in result.worker_ids] == [str]

    def test_a_running_task_is_running_and_has_no_return_value(
        self, probe: Any, worker: Any, finish: Finish, tmp_path: Path
    ) -> None:
        go = tmp_path / "go"
        result = probe.wait_until.enqueue(str(go))

        def runs() -> bool:
            result.refresh()
            return bool(result.status == "RUNNING")

        wait_for(runs)
        assert (result.is_finished, result.finished_at) == (False, None)
        assert result.started_at is not None
        with pytest.raises(ValueError, match="not finished"):
            _ = result.return_value
        go.touch()
        assert finish(result).return_value == "there"

    def test_arguments_arrive_as_a_round_trip_through_json_leaves_them(
        self, probe: Any, worker: Any, finish: Finish
    ) -> None:
        result = finish(probe.kinds.enqueue((1, 2), {"a": 1}, None, 1.5, text="x"))

        assert result.return_value == ["list", "dict", "NoneType", "float", "str"]

    def test_parameters_may_have_any_name(self, probe: Any, worker: Any, finish: Finish) -> None:
        result = finish(probe.named_like_ours.enqueue(job=1, task=2, args=3, run=4))
        assert result.return_value == 10

    @pytest.mark.parametrize(("what", "value"), [("nothing", None), ("bytes", "text")])
    def test_return_values_are_made_json(
        self, probe: Any, worker: Any, finish: Finish, what: str, value: Any
    ) -> None:
        assert finish(probe.give.enqueue(what)).return_value == value

    def test_a_return_value_that_is_no_json_fails_the_task(
        self, probe: Any, worker: Any, finish: Finish
    ) -> None:
        result = finish(probe.give.enqueue("object"))

        assert (result.status, result.errors[0].exception_class) == ("FAILED", TypeError)

    def test_an_exception_fails_the_task_and_is_kept_with_class_and_traceback(
        self, probe: Any, worker: Any, finish: Finish
    ) -> None:
        result = finish(probe.fail.enqueue("no \x1b paper"))

        assert result.status == "FAILED"
        [error] = result.errors
        assert error.exception_class is probe.Broken
        assert error.traceback.startswith("Traceback (most recent call last)")
        assert "raise Broken(message)" in error.traceback
        assert "contrib/django/performing" not in error.traceback
        with pytest.raises(ValueError, match="failed"):
            _ = result.return_value

    def test_a_task_whose_process_is_killed_fails_without_an_exception_of_its_own(
        self, probe: Any, worker: Any, finish: Finish
    ) -> None:
        from spoolq import JobFailed

        result = finish(probe.die.enqueue())

        assert (result.status, result.attempts) == ("FAILED", 1)
        assert result.errors[0].exception_class is JobFailed
        assert "signal" in result.errors[0].traceback

    def test_a_task_that_was_never_started_has_failed_with_the_reason(
        self, probe: Any, backend: Any
    ) -> None:
        from spoolq.contrib.django.results import result_of

        job = backend.spool.job(probe.add.enqueue(1, 2).id)
        stuck = _replace(job.info(), state="failed", result="Job appears stuck in queue")

        result = result_of(stuck, probe.add, "default")
        assert [error.traceback for error in result.errors] == ["Job appears stuck in queue"]
        assert result.attempts == 0

    def test_every_attempt_has_its_error_and_its_worker(
        self, probe: Any, worker: Any, finish: Finish
    ) -> None:
        twice = worker.task_class(func=probe.describe.func, takes_context=True, attempts=2)
        result = twice.enqueue(fail=True)

        def failed_once() -> bool:
            result.refresh()
            return bool(result.attempts == 1 and result.status == "READY")

        wait_for(failed_once)
        assert (len(result.errors), result.finished_at) == (1, None)
        first = result.started_at
        worker.spool.job(result.id).retry()  # do not wait for the backoff
        finish(result)

        assert (result.status, result.attempts, len(result.worker_ids)) == ("FAILED", 2, 2)
        said = ["'attempt': 1", "'attempt': 2"]
        for text, error in zip(said, result.errors, strict=True):
            assert text in error.traceback
        assert result.started_at == first < result.last_attempted_at

    def test_the_context_knows_the_attempt_and_the_running_result(
        self, probe: Any, worker: Any, finish: Finish
    ) -> None:
        result = finish(probe.describe.enqueue())

        wanted = {"attempt": 1, "id": result.id, "status": "RUNNING", "finished": False}
        assert result.return_value == wanted

    def test_coroutines_run_and_may_use_the_database(
        self, probe: Any, worker: Any, finish: Finish
    ) -> None:
        from shop.models import Order

        Order.objects.create(email="ada@example.org")
        assert finish(probe.count_orders.enqueue()).return_value == Order.objects.count() > 0

    def test_coroutines_take_a_context_too(self, probe: Any, worker: Any, finish: Finish) -> None:
        result = finish(probe.describe_async.enqueue())
        assert result.return_value == result.id

    def test_a_task_that_snoozes_has_no_error(
        self, probe: Any, worker: Any, finish: Finish, tmp_path: Path
    ) -> None:
        result = finish(probe.snooze.enqueue(str(tmp_path / "tired")))
        assert (result.return_value, result.errors) == ("awake", [])

    @pytest.mark.parametrize(
        ("name", "args", "end"), [("add", (1, 2), "SUCCESSFUL"), ("fail", ("x",), "FAILED")]
    )
    def test_sends_task_started_and_task_finished(
        self, project: Project, probe: Any, worker: Any, finish: Finish, name: str, args: Any,
        end: str,
    ) -> None:  # fmt: skip
        result = finish(getattr(probe, name).enqueue(*args))

        told = [line.split() for line in project.told.read_text().splitlines()]
        mine = [words[1:] for words in told if words[0] == result.id]
        assert mine == [["started", "RUNNING"], ["finished", end]]


class TestGetResult:
    def test_finds_it_from_any_thread(self, probe: Any, backend: Any) -> None:
        result = probe.add.enqueue(1, 2)
        found: list[Any] = []

        def look() -> None:
            from spoolq.contrib.django.framework import task_backends

            found.append(task_backends["default"].get_result(result.id))

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert found == [backend.get_result(result.id)]

    def test_finds_it_from_another_process(
        self, project: Project, probe: Any, worker: Any, finish: Finish
    ) -> None:
        result = finish(probe.add.enqueue(1, 2))
        code = "from spoolq.contrib.django.framework import task_backends as b; "
        code += f"print(b['default'].get_result('{result.id}').return_value)"

        asked = project.manage("shell", "-v", "0", "-c", code)
        assert (asked.stdout.split(), asked.stderr) == (["3"], "")

    def test_has_the_task_with_the_options_of_the_job(self, probe: Any, backend: Any) -> None:
        task = probe.add.using(priority=-5, queue_name="mail")

        assert backend.get_result(task.enqueue(1, 2).id).task == task

    @pytest.mark.parametrize("id_", ["999", "", "0", "-1", "x", "1 ", "٣", "9" * 63])
    def test_raises_for_an_id_that_is_not_there(
        self, probe: Any, backend: Any, framework: Any, id_: str
    ) -> None:
        probe.add.enqueue(1, 2)
        with pytest.raises(framework.DoesNotExist):
            backend.get_result(id_)

    def test_raises_for_a_zero_in_front_of_an_id(
        self, probe: Any, backend: Any, framework: Any
    ) -> None:
        result = probe.add.enqueue(1, 2)
        with pytest.raises(framework.DoesNotExist):
            backend.get_result(f"0{result.id}")

    def test_raises_for_a_job_that_is_no_task_of_this_program(
        self, backend: Any, framework: Any
    ) -> None:
        job = backend.spool.enqueue("os.system", ["true"])
        with pytest.raises(framework.DoesNotExist, match=r"os\.system"):
            backend.get_result(str(job.id))

    def test_of_a_task_raises_for_the_result_of_another(self, probe: Any, backend: Any) -> None:
        result = probe.add.enqueue(1, 2)
        with pytest.raises(Exception, match="does not match") as raised:
            probe.mail.get_result(result.id)
        assert type(raised.value).__name__ == "TaskResultMismatch"

    def test_does_not_change_by_itself_but_by_refresh(self, probe: Any, backend: Any) -> None:
        result = probe.add.enqueue(1, 2)
        backend.worker_spool().perform_jobs_in_foreground(queues=["default"])

        assert result.status == "READY"
        result.refresh()
        assert (result.status, result.return_value) == ("SUCCESSFUL", 3)

    def test_arefresh_is_the_same_in_a_coroutine(self, probe: Any, backend: Any) -> None:
        result = probe.add.enqueue(1, 2)
        backend.worker_spool().perform_jobs_in_foreground(queues=["default"])

        asyncio.run(result.arefresh())
        assert result.return_value == 3


class TestChecks:
    def _ids(self, backend: Any) -> list[str]:
        return [message.id for message in backend.check()]

    def _made(self, tmp_path: Path, **changes: Any) -> Any:
        from spoolq.contrib.django import SpoolBackend

        options = {"ROOT": tmp_path / "spool", **changes.pop("OPTIONS", {})}
        return SpoolBackend("default", {"OPTIONS": options, **changes})

    def test_find_nothing_wrong_with_the_example(self, project: Project) -> None:
        checked = project.manage("check", "--fail-level", "WARNING")
        assert checked.returncode == 0, checked.stderr

    def test_make_no_spool(self, backend: Any, tmp_path: Path) -> None:
        assert self._ids(backend) == []
        assert not (tmp_path / "spool").exists()

        (tmp_path / "spool" / "jobs").mkdir(parents=True)
        assert self._ids(backend) == []
        assert os.listdir(tmp_path / "spool") == ["jobs"]

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"ATEMPTS": 3}, "did you mean 'ATTEMPTS'"),
            ({"ATTEMPTS": -1}, "attempts"),
            ({"TIMEOUT": -1}, "timeout"),
            ({"ROOT": "spool"}, "ROOT 'spool'"),
            ({"DURABILITY": "some"}, "some"),
        ],
    )
    def test_say_what_is_wrong_with_an_option(
        self, project: Project, tmp_path: Path, options: dict[str, Any], said: str
    ) -> None:
        [message] = self._made(tmp_path, OPTIONS=options).check()
        assert (message.id, said in message.msg) == ("spoolq.E001", True), message

    def test_say_that_a_directory_is_no_spool(self, project: Project, tmp_path: Path) -> None:
        (tmp_path / "spool").mkdir()
        (tmp_path / "spool" / "thesis.tex").touch()

        assert self._ids(self._made(tmp_path)) == ["spoolq.E002"]

    def test_say_that_two_backends_share_a_spool(self, backend: Any) -> None:
        from django.test import override_settings

        from spoolq.contrib.django.framework import task_backends

        with override_settings(TASKS={"default": backend._params, "other": backend._params}):
            ids = [self._ids(task_backends[alias]) for alias in task_backends]
        assert ids == [[], ["spoolq.E003"]]

    def test_warn_of_a_spool_that_the_web_server_hands_out(
        self, backend: Any, tmp_path: Path
    ) -> None:
        from django.test import override_settings

        with override_settings(MEDIA_ROOT=str(tmp_path)):
            assert self._ids(backend) == ["spoolq.W002"]

    def test_warn_when_the_app_is_not_installed(self, backend: Any) -> None:
        from django.test import modify_settings

        with modify_settings(INSTALLED_APPS={"remove": ["spoolq.contrib.django"]}):
            assert self._ids(backend) == ["spoolq.W001"]


class TestWorkerCommand:
    def test_performs_the_jobs_of_the_queues_that_the_settings_name(
        self, project: Project, probe: Any, backend: Any, tmp_path: Path
    ) -> None:
        result = probe.mail.enqueue("ada@example.org")
        ended = project.manage(
            "spoolq_worker", "--burst", "--pool", SHOP_SPOOL=str(tmp_path / "spool")
        )
        result.refresh()

        assert (ended.returncode, result.status) == (0, "SUCCESSFUL"), ended.stderr

    def test_says_what_is_wrong_with_an_option(self, project: Project) -> None:
        refused = project.manage("spoolq_worker", "--idle-exit", "soon")
        assert refused.returncode == 2
        assert "'soon' is no duration: write 90, 10m, 2h30m or 7d" in refused.stderr

    def test_says_that_a_backend_is_none_of_ours(self, project: Project) -> None:
        refused = project.manage("spoolq_worker", "--backend", "reserve")
        assert refused.returncode == 1
        assert "there is no backend 'reserve' in TASKS, only default" in refused.stderr

    def test_says_that_a_spool_cannot_be_used(self, project: Project, tmp_path: Path) -> None:
        (tmp_path / "FORMAT").write_text("spoolq 99\n")
        refused = project.manage("spoolq_worker", SHOP_SPOOL=str(tmp_path))

        assert refused.returncode == 1
        assert "spoolq.E002" in refused.stderr
        assert "Traceback" not in refused.stderr


class TestExample:
    def test_confirms_an_order_in_the_background(
        self, project: Project, worker: Any, finish: Finish
    ) -> None:
        from django.test import Client
        from shop.models import Order
        from shop.tasks import confirm  # type: ignore[import-not-found]  # of the project

        client = Client()
        page = client.post("/orders/", {"email": "ada@example.org"}).json()["confirmation"]
        finish(confirm.get_result(page.rstrip("/").rpartition("/")[2]))

        assert client.get(page).json() == {"status": "SUCCESSFUL", "attempts": 1}
        assert Order.objects.latest("pk").confirmed

    def test_has_no_page_of_a_confirmation_that_is_not_there(
        self, project: Project, probe: Any, backend: Any
    ) -> None:
        from django.test import Client

        for id_ in ("999", probe.add.enqueue(1, 2).id):
            assert Client().get(f"/confirmations/{id_}/").status_code == 404


def test_a_forked_web_server_opens_the_spool_anew(probe: Any, backend: Any) -> None:
    mine = backend.spool
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, b"same" if backend.spool is mine else b"anew")
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert pipe.read() == "anew"


def _replace(info: Any, **changes: Any) -> Any:
    from dataclasses import replace

    return replace(info, **changes)
