"""One thing at a time that a file server does to its clients, and what must not come of it."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time

import pytest

from spoolq.errors import SpoolUnavailable
from tests.hosts.conftest import World
from tests.hosts.work import all_jobs
from tests.support import wait_for
from tests.support.checker import check_spool, repair_twice
from tests.support.fuse import LOST, Faults, needs_fuse

pytestmark = needs_fuse

# Of every call some: tests/crash loses the reply of each, where no cache lies before the disk.
SWEEP = [
    (call, number, k)
    for call in ("rename", "mkdir", "unlink", "rmdir")
    for number in LOST[call]
    for k in (1, 4, 9)
]


def test_a_job_of_one_host_is_performed_by_the_other(world: World) -> None:
    one, two = world.hosts
    job = one.enqueue("foo", ["hi"])
    worker = two.register_worker()

    claimed = two.dequeue(worker)
    assert claimed is not None
    two.finish_job(job, 0, "done")

    assert [(row.state, row.result) for row in all_jobs(one)] == [("finished", "done")]


@pytest.mark.slow
@pytest.mark.parametrize(("call", "number", "k"), SWEEP)
def test_a_call_whose_reply_was_lost_is_found_done(
    call: str, number: int, k: int, world: World
) -> None:
    one, two = world.hosts
    worker = two.register_worker()
    world.bad(Faults(losing={call: [k, number]}))

    ids = [one.enqueue("foo", delay=0), *one.enqueue_many(["foo", "foo"])]
    for _ in ids:
        claimed = two.dequeue(worker)
        assert claimed is not None
        assert two.finish_job(claimed["id"], claimed["retries"])
    two.unregister_worker(worker)

    assert {row.id: row.state for row in all_jobs(one)} == dict.fromkeys(ids, "finished")
    world.bad(Faults())
    # As the server has it: a client may still not believe in a directory that it made.
    repair_twice(one.repair, two.repair, str(world.root))
    check_spool(str(world.root), acked=ids)


def test_a_job_whose_bucket_was_removed_is_published_though_listings_are_old(
    world: World,
) -> None:
    """Found by the storm: a rename that failed was taken for one whose reply had been lost,
    because an old listing of tmp/ did not show its source; the job was acknowledged and lost."""
    one, two = world.hosts
    first = one.enqueue("foo")
    worker = two.register_worker()
    assert two.dequeue(worker)
    world.bad(Faults(tick=3600))  # no change of a directory is ever seen by its time
    os.listdir(f"{one.root}/tmp")
    bucket = next(world.root.glob("inactive/default/0/*"))
    bucket.rmdir()

    second = one.enqueue("foo")

    world.bad(Faults())
    check_spool(str(world.root), acked=[first, second])


def test_a_claim_that_is_executed_late_is_given_back_at_a_heartbeat(world: World) -> None:
    """Without it the job is active for as long as that worker lives, and nobody runs it."""
    one, two = world.hosts
    job = one.enqueue("foo")
    worker = two.register_worker()
    two.dequeue(worker, tasks=["other"])  # the inbox and the rest is looked at before it counts
    world.mounts[1].set(Faults(late=1, late_by=0.1))

    with pytest.raises(SpoolUnavailable):
        two.dequeue(worker)

    world.bad(Faults())
    wait_for(lambda: any(world.root.glob(f"active/*/{job}.*")))

    def given_back() -> bool:
        two.register_worker(worker)
        return [row.state for row in all_jobs(one)] == ["inactive"]

    wait_for(given_back)  # at the second one, unless this client still believes in no such file
    again = one.dequeue(one.register_worker())
    assert again is not None
    assert (again["id"], again["retries"]) == (job, 0)


def test_a_claim_that_cannot_be_read_is_given_back_at_a_heartbeat(world: World) -> None:
    one, two = world.hosts
    job = one.enqueue("foo")
    worker = two.register_worker()
    real, path = two._tokens.read_with_bytes, world.root

    def refuse(token: object) -> None:
        raise SpoolUnavailable(f"cannot read: {token}", str(path))

    two._tokens.read_with_bytes = refuse  # type: ignore[method-assign]
    with pytest.raises(SpoolUnavailable):
        two.dequeue(worker)
    two._tokens.read_with_bytes = real  # type: ignore[method-assign]
    two.register_worker(worker)
    two.register_worker(worker)

    assert [(row.id, row.state) for row in all_jobs(one)] == [(job, "inactive")]


def test_a_job_that_is_claimed_again_is_not_given_back_for_its_first_claim(world: World) -> None:
    one, two = world.hosts
    job = one.enqueue("foo")
    worker = two.register_worker()
    two.dequeue(worker, tasks=["other"])
    world.mounts[1].set(Faults(failing={"rename": [1, errno.EIO]}))
    with pytest.raises(SpoolUnavailable):
        two.dequeue(worker)
    claimed = two.dequeue(worker)
    assert claimed is not None

    for _ in range(3):
        two.register_worker(worker)

    assert [(row.id, row.state) for row in all_jobs(one)] == [(job, "active")]
    assert two.finish_job(job, 0)


def test_the_time_of_the_spool_is_that_of_its_server(world: World) -> None:
    world.bad(Faults(clock=[(0.0, -7200.0)]))
    one, two = world.hosts
    one._probed = two._probed = -1e9  # as if the last question were long ago

    job = one.enqueue("foo", delay=60)

    [row] = all_jobs(two)
    assert row.id == job
    assert abs(row.created - (time.time() - 7200)) < 5
    assert abs(row.delayed - row.created - 60) < 1


def test_a_server_that_hangs_delays_a_claim_and_does_not_double_it(world: World) -> None:
    one, two = world.hosts
    job = one.enqueue("foo")
    worker = two.register_worker()
    os.kill(world.mounts[1].pid, signal.SIGSTOP)  # every call waits
    answers: list[object] = []
    waiting = threading.Thread(target=lambda: answers.append(two.dequeue(worker)), daemon=True)
    waiting.start()
    claimed = one.dequeue(one.register_worker())
    os.kill(world.mounts[1].pid, signal.SIGCONT)
    waiting.join(20)

    assert claimed is not None
    assert claimed["id"] == job
    assert answers == [None]
