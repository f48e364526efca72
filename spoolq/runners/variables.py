"""The variables that speak of a job: a program finds them, a Python task, and what it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

OF_SOME: Final = ("SPOOLQ_SLOT", "SPOOLQ_LABEL", "SPOOLQ_PARENTS", "SPOOLQ_DEADLINE")
"""Those that not every job has."""


def variables(job: Mapping[str, Any], root: str | None, now: float) -> dict[str, str]:
    """Those of one attempt that begins `now`, in seconds since the epoch by this host's clock.

    `job` is what was claimed, with `worker`, the id of who claimed it; what it lacks is left out.

        SPOOLQ_ROOT SPOOLQ_JOB_ID SPOOLQ_TASK SPOOLQ_QUEUE SPOOLQ_WORKER
        SPOOLQ_ATTEMPT SPOOLQ_ATTEMPTS   which try this is, from 1, and how many there may be
        SPOOLQ_SLOT                      which of the jobs that its worker runs at once, from 0
        SPOOLQ_LABEL                     its label
        SPOOLQ_PARENTS                   the ids of the jobs it has waited for, apart by blanks
        SPOOLQ_DEADLINE                  when its timeout ends it
    """
    parents, timeout = job.get("parents"), job.get("timeout")
    found = {
        "SPOOLQ_ROOT": root,
        "SPOOLQ_JOB_ID": job["id"],
        "SPOOLQ_TASK": job["task"],
        "SPOOLQ_QUEUE": job["queue"],
        "SPOOLQ_WORKER": job.get("worker"),
        "SPOOLQ_ATTEMPT": job["retries"] + 1,
        "SPOOLQ_ATTEMPTS": job.get("attempts"),
        "SPOOLQ_SLOT": job.get("slot"),
        "SPOOLQ_LABEL": job.get("label"),
        "SPOOLQ_PARENTS": " ".join(map(str, parents)) if parents else None,
        "SPOOLQ_DEADLINE": int(now + timeout) if timeout else None,
    }
    # A name of the job's may be anything but NUL, which no variable can hold.
    return {
        name: str(value).replace("\0", "") for name, value in found.items() if value is not None
    }
