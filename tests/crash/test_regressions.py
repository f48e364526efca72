"""What the crash tests have found, the smallest case of each, and its story.

Power loss is taken on a file system that may keep a later change of names and lose an earlier
one (btrfs); on ext4 and XFS most of these could not happen.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from spoolq.errors import SpoolUnavailable
from tests.crash.cutting import act, after, dies_acting, recorded
from tests.crash.dying import changes, killed
from tests.crash.scenarios import SCENARIOS, Scenario
from tests.crash.trial import Fault, Ground, open_spool, perform, verify, verify_together
from tests.support.checker import repair_twice
from tests.support.faults import Kill, LoseReply, Plan, Refuse
from tests.support.powerloss import Tape, cuts, last_cut


def the(name: str) -> Scenario:
    """The scenario of this name."""
    return next(item for item in SCENARIOS if item.name == name)


def cut_after(name: str, scratch: Path) -> None:
    """Act, cut the power when everything was answered, and look at what is left."""
    ground = Ground(the(name), scratch)
    verify(ground, after(ground, last_cut(recorded(ground, "btrfs"), "btrfs"), "btrfs"))


def cut_after_every_death(name: str, scratch: Path) -> None:
    """Die at each change, go on in another process, and cut the power when that one answered."""
    ground, at = Ground(the(name), scratch), 1
    while True:
        root = ground.copy()
        tape = Tape(os.path.dirname(root))
        begun = dies_acting(ground, root, tape, at)
        if begun is None:
            break
        act(ground, root, tape, begun=begun)
        verify_together(ground, after(ground, last_cut(tape, "btrfs"), "btrfs"), begun)
        at += 1
    assert at > 1


# -- power loss ----------------------------------------------------------------------------------


def test_a_finished_job_is_not_back_in_active_too(scratch: Path) -> None:
    """The new file in `finished/` was synced, the move of the old one out of `active/` was not.

    After power loss the job was in both places; its worker was dead, so repair failed it, or let
    it run again, although its outcome had been acknowledged. Of two files of one job the later
    revision counts now, from the first open after the boot.
    """
    cut_after("finish-by-another-process", scratch)


def test_a_job_that_was_removed_stays_removed(scratch: Path) -> None:
    """Removing synced the directory of the newest file, and no change before it.

    After power loss an older file was back in the place from which an outcome had taken it, with
    no newer one beside it to say so: a removed job ran again. What an earlier change has put
    into the trash is synced before the newest file goes.
    """
    cut_after("remove-what-has-just-finished", scratch)


def test_an_id_is_not_given_out_again_when_its_job_was_removed(scratch: Path) -> None:
    """The counter's name is synced every 256 ids, and the ids in use say how far it was.

    The job of the last id was removed, so nothing said so any more, and the next job after the
    power loss got the same id. Removing syncs the counter.
    """
    cut_after("remove-what-has-just-been-enqueued", scratch)


def test_a_file_of_the_inbox_becomes_one_job(scratch: Path) -> None:
    """The job was synced, the move of the dropped file out of `inactive/` was not.

    After power loss the file was back and was taken in as a second job, with another id, so that
    nothing showed that it was the same. The move is synced before the job is published.
    """
    cut_after("inbox-new-job", scratch)


def test_an_outcome_that_was_never_committed_does_not_bring_a_job_back(scratch: Path) -> None:
    """A process died between writing the new file and the commit, and left the new file.

    Another one removed the job. After power loss the recovery saw a new file without a job,
    took the change for committed and published it. Only an old file in the trash says that it
    was; repair syncs `settling/` before it deletes one.
    """
    cut_after_every_death("remove-what-has-just-been-noted", scratch)


def test_a_marker_that_another_process_has_made_is_synced_too(scratch: Path) -> None:
    """A process made the marker in `places/` of a new bucket and died before it synced it.

    The next one found it there and went on: it published and acknowledged a job. After power
    loss the marker was gone, and the job, though it would run, could not be looked up.
    """
    cut_after_every_death("enqueue-with-options", scratch)


def test_an_inbox_of_a_worker_whose_registration_was_lost_is_removed(scratch: Path) -> None:
    """A registration is not synced, making a directory is.

    After power loss `commands/<worker>/` was there for a worker that was never registered, and
    nobody ever looked at it: repair went by the directories in `active/` alone.
    """
    ground = Ground(the("register-a-worker"), scratch)

    for cut in cuts(recorded(ground, "btrfs"), "btrfs"):
        verify(ground, after(ground, cut, "btrfs"))


@pytest.mark.slow
def test_a_reset_that_power_loss_cuts_short_leaves_no_job_without_a_counter(
    scratch: Path,
) -> None:
    """A reset moved all directories aside and emptied them, and synced none of it.

    After power loss `ids/` was back, but empty, or started at 1 again while jobs were there.
    Directories are gone for good before what is in them is deleted, and `ids/` goes last.
    """
    ground = Ground(the("reset-everything"), scratch)

    for cut in cuts(recorded(ground, "btrfs"), "btrfs", seed=2):
        verify(ground, after(ground, cut, "btrfs"))


# -- death ---------------------------------------------------------------------------------------


def test_a_reset_that_is_killed_leaves_a_spool_that_can_be_used(scratch: Path) -> None:
    """A reset moves all directories aside and makes them anew.

    Killed between the two it left a spool without counters, which nobody completed, because
    `reserve/`, which says that the layout is complete, was still there. It goes first now.
    """
    ground = Ground(the("reset-everything"), scratch)
    calls = changes(ground)
    [moved] = [
        at
        for at, call in enumerate(calls, 1)
        if call.kind == "rename" and call.path.endswith("/spool/ids")
    ]

    verify(ground, killed(ground, Kill(moved, "after")))


def test_one_repair_is_enough_to_remove_what_it_has_emptied(scratch: Path) -> None:
    """A stuck parent let its lax child go, after the empty directories had been removed.

    The second repair removed one directory more, so that running it twice was not the same as
    running it once.
    """
    ground = Ground(the("repair-fails-what-is-stuck"), scratch)
    root = ground.copy()
    first, second = (open_spool(root, ground.scenario, ground.now(), Plan()) for _ in range(2))

    repair_twice(first.repair, second.repair, root)


# -- refusals and lost replies -------------------------------------------------------------------


def test_a_command_is_received_although_the_server_loses_a_reply(scratch: Path) -> None:
    """A command counted as received when its unlink succeeded.

    With the reply lost the unlink, sent again by the client, reported that the file was gone:
    the command was taken for one that somebody else had received, and nobody had. It is moved
    away now, and of a move it can be told whether it was this one.
    """
    ground = Ground(the("receive-commands"), scratch)
    root, plan = ground.copy(), LoseReply(1)
    backend = open_spool(root, ground.scenario, ground.now(), plan, mount="nfs")
    answers: list[object] = []

    perform(ground.world(backend, ground.now(), root), ground.scenario.acts, answers.append)

    assert plan.hit is not None
    assert answers == [[["jobs", 1], ["jobs", 2], ["jobs", 3]]]


def test_the_first_job_of_a_shard_ends_on_a_full_disk(scratch: Path) -> None:
    """A file that did not fit was written when the ballast had been given up, a directory not.

    So the first job of a shard to end on a full disk could not: its worker was told that the
    outcome was not stored.
    """
    ground = Ground(the("finish-by-another-process"), scratch)
    root, plan = ground.copy(), Refuse(1, errno.ENOSPC, kinds={"mkdir"})
    with open(f"{root}/reserve/ballast", "xb") as file:
        file.write(bytes(4096))
    backend = open_spool(root, ground.scenario, ground.now(), plan)

    assert ground.scenario.acts[0](ground.world(backend, ground.now(), root)) is True

    assert plan.hit is not None
    verify(ground, Fault(root, [True], plan.born))


def test_a_mode_that_cannot_be_set_is_said_in_one_clear_line(scratch: Path) -> None:
    """First use sets the mode of the root; when that was refused, a bare OSError came out."""
    ground = Ground(the("first-use"), scratch)
    number = next(at for at, call in enumerate(changes(ground), 1) if call.kind == "chmod")
    root, plan = ground.copy(), Refuse(number, 1)

    with pytest.raises(SpoolUnavailable, match="cannot change the mode"):
        open_spool(root, ground.scenario, ground.now(), plan)

    verify(ground, Fault(root, [], []))
