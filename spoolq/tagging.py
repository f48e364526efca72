"""Log records of a running job say which job: for formatters and handlers of the program's own.

Every `logging.LogRecord` of this process has `spoolq_job`, `spoolq_task`, `spoolq_queue` and
`spoolq_retries` from when it first performs a job; outside of a job they are None. The prefix is
there because `extra=` of a program must not meet a name that is taken: logging refuses that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

_tagged = False


def tag_records(current: Callable[[], Any]) -> None:
    """Begin to; once a process, and again in no fork. `current` says which job runs here."""
    global _tagged
    if _tagged:
        return
    _tagged = True
    make = logging.getLogRecordFactory()

    def tagged(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record, job = make(*args, **kwargs), current()
        record.spoolq_job = getattr(job, "id", None)
        record.spoolq_task = getattr(job, "task", None)
        record.spoolq_queue = getattr(job, "queue", None)
        record.spoolq_retries = getattr(job, "retries", None)
        return record

    logging.setLogRecordFactory(tagged)
