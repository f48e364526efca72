"""What tests share: a clock they can move, waiting for a condition, and short ways to look."""

from spoolq.testing import FakeClock
from tests.support.jobs import claim, drain, failed_job, finished_job, info, job_in, lookup
from tests.support.names import ODD_NAMES
from tests.support.waiting import wait_for, wait_for_progress

__all__ = [
    "ODD_NAMES",
    "FakeClock",
    "claim",
    "drain",
    "failed_job",
    "finished_job",
    "info",
    "job_in",
    "lookup",
    "wait_for",
    "wait_for_progress",
]
