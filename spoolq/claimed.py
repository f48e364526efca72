"""What a record says to who performs the job, the same for every backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spoolq.model import Claimed


def claimed(record: Mapping[str, Any]) -> Claimed:
    """What `dequeue` hands out of a job's record; nothing in it is shared with the record."""
    label = record["notes"].get("label")
    return {
        "id": record["id"],
        "task": record["task"],
        "args": copied(record["args"]),  # a task may change them; the record may not [315]
        "kwargs": copied(record["kwargs"]),
        "retries": record["retries"],
        "queue": record["queue"],
        "timeout": record["timeout"],
        "attempts": record["attempts"],
        "parents": record["parents"][:],
        "label": label if isinstance(label, str) else None,
    }


def copied(value: Any) -> Any:
    """A JSON value of its own, all the way down."""
    if type(value) is list:
        return [copied(item) for item in value]
    if type(value) is dict:
        return {key: copied(item) for key, item in value.items()}
    return value
