"""The table of transitions, held against what the operations do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from spoolq.backend import Backend
from spoolq.model import STATES, State
from spoolq.transitions import TABLE
from tests.support import job_in, lookup

_OPERATIONS: Final[dict[str, Callable[[Backend, int], bool]]] = {
    "finish": lambda backend, job: backend.finish_job(job, 0),
    "fail": lambda backend, job: backend.fail_job(job, 0),
    "retry": lambda backend, job: backend.retry_job(job, 0),
    "edit": lambda backend, job: backend.edit_job(job, 0, priority=1),
    "hold": lambda backend, job: backend.hold_job(job),
    "remove": lambda backend, job: backend.remove_job(job),
}


@pytest.mark.minion(75, 88, 111, 112)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", _OPERATIONS)
def test_an_operation_does_what_the_table_says_and_nothing_else(
    backend: Backend, worker: int, state: State, event: str
) -> None:
    job_id = job_in(state, backend, worker)

    answer = _OPERATIONS[event](backend, job_id)

    job = lookup(backend, job_id)
    ends_in = TABLE.get((state, event))
    assert answer is (ends_in is not None)
    if ends_in is None:
        assert job is not None
        assert job.state == state
    else:
        assert (job.state in ends_in) if job else (not ends_in)
